"""The figures of an event window, over seconds from its opening."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

import numpy as np

from runs.recorded import Floats, Recorded
from runs.report import style
from runs.report.chart import Chart, View, add_limit, plain
from runs.report.series import compact, thin
from runs.window_results import (
    DYNAMICS,
    OF_LOADS,
    RECOVERED_VOLTAGE,
    Opened,
    der_text,
    der_voltages,
    federate_of,
    first_trips,
    frequency_text,
    halving_text,
    in_window,
    makes_of,
    multiplier,
    opened,
)
from solvers.der_fleet.legacy import LEGACIES

#: Levels of voltage [pu] at or beyond which the time of each DER is measured: below nominal, and above.
LOW_LEVELS = (0.05, 0.10, 0.15, 0.20, 0.25, 0.30, 0.35, 0.40, 0.45, 0.50, 0.55, 0.60, 0.65, 0.70, 0.75, 0.80, 0.88)
HIGH_LEVELS = (1.10, 1.12, 1.14, 1.16, 1.18, 1.20, 1.25, 1.30)
SPAN = (0.003, 60.0, 0.0, 1.35)  #: of the figure of voltage over time: first and last [s], lowest and highest [pu]

#: Colours of what the ride-through tables ask for, and where they ask for nothing.
REGIONS = {
    "continuous": "rgba(0, 158, 115, 0.12)",
    "mandatory": "rgba(0, 114, 178, 0.12)",
    "permissive": "rgba(240, 180, 0, 0.18)",
    "momentary_cessation": "rgba(204, 121, 167, 0.20)",
    "cease_to_energize": "rgba(213, 94, 0, 0.12)",
    "unspecified": "rgba(95, 99, 104, 0.08)",
    "none": "rgba(95, 99, 104, 0.12)",
}
DASHES = ("dash", "dot", "dashdot", "longdash", "longdashdot")
SYMBOLS = ("x", "diamond", "square", "triangle-up", "star")

#: What takes power from DER, and from loads, in words; an element that trips is written as "tripped by OV1".
CAUSES = {
    "momentary_cessation": "momentary cessation",
    "cease_to_energize": "ceased to energize",
    "entering_service": "entering service",
    "limited": "limited or ramping back",
    "ac_stall": "air conditioners stalled",
    "ac_thermal_trip": "air conditioners off by thermal relay",
    "load_trip": "loads tripped",
}
COLOURS = {
    "OV2": "#7a4fa3",
    "UV2": style.LIMIT,
    "OV1": "#a64d79",
    "UV1": "#8a3800",
    "momentary_cessation": style.SERIES[3],
    "cease_to_energize": style.SERIES[1],
    "entering_service": style.SERIES[5],
    "limited": style.SERIES[4],
    "ac_stall": style.SERIES[0],
    "ac_thermal_trip": style.SERIES[1],
    "load_trip": style.SERIES[3],
}


def event_window(view: View) -> Iterator[Chart]:
    """Frequency, voltages, power lost and trips in the window."""
    window = opened(view.run)
    if window is None:
        return
    yield _frequency(view, window)
    yield _voltage(view, window)
    for feeder, federate in window.feeders.items():
        yield from _lost(view, window, feeder, federate)
        tripped_by = view.run.get(federate, "tripped_by")
        if tripped_by is not None and window.inside(tripped_by).any():
            yield _scatter(view, window, feeder, federate)
            yield _map(view, window, feeder, federate)
            yield _other_settings(view, feeder)


def _seconds_chart(title: str, unit: str, **more: Any) -> Chart:
    chart = Chart(title, **more)
    chart.layout["xaxis"] = {"title": {"text": "seconds after the window opened"}}
    chart.axes(unit)
    return chart


def _line(
    chart: Chart, times: Floats, values: Floats, name: str, colour: str, dash: str = "solid", **more: Any
) -> None:
    nanoseconds, kept = thin(np.round(times * 1e9).astype(np.int64), values)
    chart.add(
        x=nanoseconds / 1e9, y=compact(kept), name=plain(name), line={"width": 2, "color": colour, "dash": dash}, **more
    )


def _frequency(view: View, window: Opened) -> Chart:
    """Of the machines, over that of the twin; of an event window with DER that is the run with DER held."""
    chart = _seconds_chart("Frequency in the event window", "frequency [Hz]")
    for run, name, colour in ((view.twin, view.names[0], style.BASELINE), (view.run, view.run_name, style.DISTURBED)):
        variable = None if run is None else run.get(DYNAMICS, "coi_frequency")
        if variable is not None and variable.times.size:
            _line(chart, window.seconds(variable), in_window(variable, window), name or "frequency", colour)
    found = view.summary.window
    if found is None or found.frequency is None:
        return chart
    if found.frequency_der_held is not None and view.twin is not None:
        _difference(chart, view.run, view.twin, window)
    own, held = found.frequency, found.frequency_der_held
    chart.note = f"{_upper(frequency_text(own))}."
    if held is not None:
        lost = sum(feeder.tripped_mw for feeder in found.feeders)
        most = sum(feeder.der_lost_mw for feeder in found.feeders)
        chart.note = (
            f"DER respond: {frequency_text(own)}; they gave up to {most:.3g} MW less, {lost:.3g} MW of it tripped. "
            f"DER held, a run of its own in which they keep giving what they gave at the opening: "
            f"{frequency_text(held)}."
        )
    elif found.der_respond:
        chart.note += " What it would be with DER held is not known, as the twin was not run."
    return chart


def _difference(chart: Chart, run: Recorded, twin: Recorded, window: Opened) -> None:
    """What the response of DER changes of the frequency [mHz], on an axis of its own on the right."""
    own, held = (one.get(DYNAMICS, "coi_frequency") for one in (run, twin))
    if own is None or held is None:
        return
    values, before = in_window(own, window), in_window(held, window)
    if values.size != before.size:
        return
    _line(
        chart,
        window.seconds(own),
        1e3 * (values - before),
        "change by it (right)",
        style.SERIES[1],
        dash="dot",
        yaxis="y2",
    )
    chart.layout["yaxis2"] = {
        "title": {"text": "change [mHz]"},
        "overlaying": "y",
        "side": "right",
        "tickmode": "auto",
        "showgrid": False,
        "zeroline": False,
        "automargin": True,
    }


def _upper(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}"


def _voltage(view: View, window: Opened) -> Chart:
    """Lowest and highest of the nodes of each feeder."""
    chart = _seconds_chart("Voltages of the feeders in the event window", "voltage [pu]")
    for number, (feeder, federate) in enumerate(window.feeders.items()):
        variable = view.run.get(federate, "node_voltage")
        if variable is None:
            continue
        values, times = in_window(variable, window), window.seconds(variable)
        colour = style.SERIES[number % len(style.SERIES)]
        for which, part, dash in (("lowest", values.min(axis=1), "solid"), ("highest", values.max(axis=1), "dot")):
            _line(chart, times, part, f"{feeder}, {which} of its nodes", colour, dash=dash)
    add_limit(chart, RECOVERED_VOLTAGE, f"{RECOVERED_VOLTAGE:g} pu", above=False)
    feeders = () if view.summary.window is None else view.summary.window.feeders
    lows = [f"{f.feeder} {f.lowest_pu:.3f} to {f.highest_pu:.3f} pu" for f in feeders]
    backs = [f.recovered_s for f in feeders if f.recovered_s is not None]
    if len(backs) == len(feeders) and backs:
        chart.note = f"{'; '.join(lows)}. All nodes are above {RECOVERED_VOLTAGE:g} pu from {max(backs):.2f} s on."
    elif feeders:
        chart.note = f"{'; '.join(lows)}. Not all nodes are back above {RECOVERED_VOLTAGE:g} pu at the close."
    return chart


def _lost(view: View, window: Opened, feeder: str, federate: str) -> Iterator[Chart]:
    """Power that DER do not give, and power that loads do not get, each stacked by cause."""
    power = view.run.get(federate, "lost_power")
    if power is None:
        return
    times, share = window.seconds(power), multiplier(view.run, federate)
    values = in_window(power, window) * share
    causes = power.labels["cause"]
    feeders = () if view.summary.window is None else view.summary.window.feeders
    found = next((f for f in feeders if f.feeder == feeder), None)
    many = "" if share == 1 else f"Of all {share:g} feeders. "
    of_der = _seconds_chart(f"Power that DER of {feeder} did not give, by cause", "lost power [MW]")
    _stack(of_der, times, values, causes, [k for k, cause in enumerate(causes) if cause not in OF_LOADS])
    if found is not None and found.der:
        text = der_text(found)
        of_der.note = f"{many}{_upper(text)}."
    halving = None if view.summary.window is None else view.summary.window.halving
    if halving is not None:
        of_der.note += f" A step of {halving_text(halving)}."
    yield of_der
    of_loads = _seconds_chart(f"Loads of {feeder}: what they did not get, and what stalled motors drew", "power [MW]")
    rows = [k for k, cause in enumerate(causes) if cause in OF_LOADS]
    _stack(of_loads, times, values, causes, rows)
    stalled = view.run.get(federate, "stalled_power")
    if stalled is not None and in_window(stalled, window).max(initial=0.0) > 0.0:
        drawn = in_window(stalled, window) * share
        _line(of_loads, window.seconds(stalled), drawn, "drawn by stalled air conditioners", style.INK, dash="dot")
        last = values[-1, rows].sum()
        most = f"Stalled air conditioners drew up to {drawn.max():.3g} MW"
        of_loads.note = f"{many}{most}; {last:.3g} MW of loads are off at the close."
    yield of_loads


def _stack(chart: Chart, times: Floats, values: Floats, causes: Sequence[str], columns: Sequence[int]) -> None:
    """The columns of `values` [MW] (time, causes) that are not 0, one upon the other."""
    kept = _rows(times.size)
    for number, column in enumerate(k for k in columns if values[:, k].max(initial=0.0) > 1e-3):
        cause = causes[column]
        colour = COLOURS.get(cause, style.SERIES[-1 - number % 3])
        chart.add(
            x=times[kept],
            y=compact(values[kept, column]),
            name=CAUSES.get(cause, f"tripped by {cause}"),
            stackgroup="lost",
            fillcolor=style.faded(colour, 0.6),
            line={"width": 1, "color": colour},
            hovertemplate="%{y:.4~g} MW",
        )


def _rows(count: int) -> Any:
    """The rows of a stack that are drawn: its parts need the same times."""
    return np.unique(np.linspace(0, count - 1, min(count, 1500)).astype(int))


def _scatter(view: View, window: Opened, feeder: str, federate: str) -> Chart:
    """For how long each DER's voltage was at a level or beyond, over what is asked for and what must trip."""
    chart = Chart(f"How low or high, and how long: the voltage of every DER of {feeder}", wide=True, height=440)
    voltage, tripped_by = der_voltages(view.run, window, federate), view.run.get(federate, "tripped_by")
    if voltage is None or tripped_by is None:
        return chart
    from solvers.der_fleet import ELEMENTS
    from solvers.der_fleet.mixture import make_settings

    makes = makes_of(view.run, federate)
    each = sorted(set(makes), key=lambda make: -makes.count(make))
    category = str(make_settings(each[0])["category"])
    _regions(chart, category)
    for make, dash in zip(each, DASHES, strict=False):
        _must_trip(chart, make, dash)
    code = first_trips(in_window(tripped_by, window).astype(int))
    step = window.step / 1e9
    lasting = np.concatenate(
        [
            longest_beyond(voltage.min(axis=2), np.array(LOW_LEVELS)),
            longest_beyond(-voltage.max(axis=2), -np.array(HIGH_LEVELS)),
        ]
    )
    levels = np.array((*LOW_LEVELS, *HIGH_LEVELS))
    for number, which in enumerate(np.unique(code)):
        rows, columns = np.nonzero(lasting[:, code == which])
        dots = np.stack([lasting[:, code == which][rows, columns] * step, levels[rows]])
        unique, count = np.unique(dots, axis=1, return_counts=True)
        name = "stayed" if which == 0 else f"tripped by {ELEMENTS[which - 1]}"
        chart.add(
            x=compact(unique[0]),
            y=compact(unique[1]),
            name=f"{name} ({int((code == which).sum())} DER)",
            mode="markers",
            text=[f"{amount} DER, {name}" for amount in count.tolist()],
            hovertemplate="%{text}: %{y:.2f} pu or beyond for %{x:.3~g} s<extra></extra>",
            marker={
                "size": 6 if which == 0 else 8,
                "color": style.SERIES[0] if which == 0 else style.LIMIT,
                "opacity": 0.55 if which == 0 else 0.9,
                "symbol": "circle" if which == 0 else SYMBOLS[(number - 1) % len(SYMBOLS)],
            },
        )
    first, last, bottom, top = SPAN
    ticks = [0.01, 0.1, 1, 10]
    chart.layout["xaxis"] = {
        "type": "log",
        "title": {"text": "longest time without a break at this voltage or beyond [s]"},
        "range": [float(np.log10(first)), float(np.log10(last))],
        "tickvals": ticks,
        "ticktext": [f"{tick:g}" for tick in ticks],
    }
    chart.layout["hovermode"] = "closest"
    chart.layout["legend"] = {"orientation": "v", "x": 1.01, "y": 1, "yanchor": "top"}
    chart.layout["margin"] = {"t": 14}
    chart.axes("voltage [pu]", range=[bottom, top])
    asked = f"Shaded: what IEEE 1547-2018 asks of category {category}"
    chart.note = f"{asked}. A dot beyond a line, on its right, had to trip with those settings."
    return chart


def _regions(chart: Chart, category: str) -> None:
    """Shade what the ride-through table of a category asks for; past its shortest time nothing is asked."""
    from solvers import ieee1547_tables as tables

    first, last, bottom, top = SPAN
    named: set[str] = set()
    for row in tables.ride_through(cast(tables.AbnormalCategory, category), "voltage"):
        low, high = max(row.low, bottom), min(row.high, top)
        if high <= low:
            continue
        until = [last, last]
        if np.isfinite(row.minimum):
            until = [row.minimum, row.minimum + row.slope * (high - row.low)]
        elif np.isnan(row.minimum) and np.isfinite(row.response):
            until = [row.response, row.response]
        chart.add(
            x=[first, *until, first],
            y=[low, low, high, high],
            fill="toself",
            fillcolor=REGIONS[row.mode],
            line={"width": 0},
            name=row.mode.replace("_", " "),
            legendgroup=row.mode,
            showlegend=row.mode not in named,
            hoverinfo="skip",
        )
        named.add(row.mode)


def _must_trip(chart: Chart, make: str, dash: str) -> None:
    """Lines beyond which a make has to trip, under and over nominal voltage."""
    from solvers.der_fleet.mixture import mixed_settings

    settings = mixed_settings([make])
    last, bottom, top = SPAN[1:]
    for side, end, show in (("UV", bottom, True), ("OV", top, False)):
        deep, soon, shallow, late = (
            float(settings[f"{side}{number}_trip_{what}"][0]) for number in (2, 1) for what in ("V_pu", "s")
        )
        chart.add(
            x=[soon, soon, max(late, soon), max(late, soon), last],
            y=[end, deep, deep, shallow, shallow],
            name=f"must trip: {make}",
            legendgroup=f"must trip {make}",
            showlegend=show,
            line={"color": style.INK if make in LEGACIES else style.MUTED, "width": 1.5, "dash": dash},
            hoverinfo="skip",
        )


def longest_beyond(voltage: Floats, levels: Floats) -> Floats:
    """(levels, der) steps of the longest unbroken time in which (time, der) voltages are below each level."""
    lasting = np.zeros((levels.size, voltage.shape[1]))
    longest = lasting.copy()
    for row in voltage:
        lasting = np.where(row < levels[:, None], lasting + 1, 0)
        np.maximum(longest, lasting, out=longest)
    return longest


def _other_settings(view: View, feeder: str) -> Chart:
    """How many DER would have tripped with the settings of each make."""
    chart = Chart(f"With other settings: DER of {feeder} that would have tripped", height=420)
    feeders = () if view.summary.window is None else view.summary.window.feeders
    found = next((f for f in feeders if f.feeder == feeder), None)
    if found is None or not found.would_trip:
        return chart
    tripped = sum(found.tripped.values())
    names = [*found.would_trip, "as it was"]
    counts = [*found.would_trip.values(), tripped]
    order = sorted(range(len(names)), key=lambda k: -counts[k])
    chart.bar(
        x=[counts[k] for k in order],
        y=[names[k] for k in order],
        orientation="h",
        text=[f"{counts[k]:,}" for k in order],
        textposition="outside",
        cliponaxis=False,
        marker={"color": [style.DISTURBED if names[k] == "as it was" else style.BASELINE for k in order]},
        hoverinfo="skip",
    )
    chart.layout["xaxis"] = {"title": {"text": f"DER of {found.der} that would have tripped"}, "rangemode": "tozero"}
    chart.layout["yaxis"] = {"automargin": True}
    chart.note = (
        "Each replayed, with all settings of one make, under the voltages and the frequency that were recorded; "
        "what the grid would then have done is not in it. Run the scenario with `makes` changed to see that."
    )
    return chart


def _map(view: View, window: Opened, feeder: str, federate: str) -> Chart:
    """The feeder as it is drawn, each node coloured by the share of its DER that tripped."""
    chart = Chart(f"Where DER tripped: {feeder}", height=420)
    tripped_by = view.run.get(federate, "tripped_by")
    if tripped_by is None:
        return chart
    plan = federate_of(view.run, federate).plan
    nodes, lines = plan.published.nodes, plan.published.lines
    place = {name: xy for name, xy in zip(nodes.name, nodes.xy.tolist(), strict=True) if np.isfinite(xy).all()}
    if not place:
        return chart
    x: list[float | None] = []
    y: list[float | None] = []
    for one, other in zip(lines.from_node, lines.to_node, strict=True):
        if one in place and other in place:
            x += [place[one][0], place[other][0], None]
            y += [place[one][1], place[other][1], None]
    chart.add(x=x, y=y, line={"color": style.REST, "width": 1.5}, showlegend=False, hoverinfo="skip")
    tripped = first_trips(in_window(tripped_by, window).astype(int)) > 0
    services = {service.name: service.node for service in plan.services}
    at: dict[str, list[bool]] = {}
    for site, out in zip(plan.der, tripped.tolist(), strict=True):
        at.setdefault(services.get(site.node, site.node), []).append(out)
    drawn = [node for node in at if node in place]
    share = np.array([np.mean(at[node]) for node in drawn])
    chart.add(
        x=[place[node][0] for node in drawn],
        y=[place[node][1] for node in drawn],
        mode="markers",
        showlegend=False,
        text=[f"node {node}: {sum(at[node])} of {len(at[node])} DER tripped" for node in drawn],
        hovertemplate="%{text}<extra></extra>",
        marker={
            "size": 10,
            "color": compact(100.0 * share),
            "cmin": 0,
            "cmax": 100,
            "colorscale": [[0, "#f2f2f2"], [0.5, "#f0a860"], [1, "#8a3800"]],
            "line": {"width": 1, "color": style.MUTED},
            "showscale": True,
            "colorbar": {"title": {"text": "tripped [%]"}, "thickness": 14},
        },
    )
    hidden = {"visible": False}
    chart.layout |= {"xaxis": hidden, "yaxis": hidden | {"scaleanchor": "x"}, "hovermode": "closest"}
    at_all = sum(any(at[node]) for node in drawn)
    chart.note = (
        f"{int(tripped.sum())} of {tripped.size} DER tripped in the window, at {at_all} of {len(drawn)} places. Each "
        "dot is a node; its colour is the share of its DER."
    )
    return chart
