"""The figures of an event window, over seconds from its opening."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from runs.recorded import Floats, Recorded
from runs.report import style
from runs.report.chart import Chart, View, plain
from runs.report.series import compact, thin
from runs.window_results import (
    DYNAMICS,
    Opened,
    der_text,
    der_voltages,
    federate_of,
    first_trips,
    in_window,
    multiplier,
    opened,
)

#: What must trip (solid) by category and, for units before 2018, by IEEE 1547-2003 Table 1: name, threshold [pu],
#: time [s]. IEEE 1547-2018 Tables 12 and 13, defaults of categories II and III.
TRIPS = (
    ("III", ((0.50, 2.0), (0.88, 21.0)), style.SERIES[2]),
    ("II", ((0.45, 0.16), (0.70, 10.0)), style.SERIES[1]),
    ("1547-2003", ((0.50, 0.16), (0.88, 2.0)), style.LIMIT),
)
LEVELS = (0.88, 0.70, 0.50)  #: [pu] below which the time of each DER is measured
SHOWN = 2000  #: DER at most in a scatter


def event_window(view: View) -> Iterator[Chart]:
    """Frequency, voltages, power lost and trips in the window."""
    window = opened(view.run)
    if window is None:
        return
    yield _frequency(view, window)
    yield _voltage(view, window)
    for feeder, federate in window.feeders.items():
        yield _lost(view, window, feeder, federate)
        if view.run.get(federate, "tripped_by") is not None:
            yield _scatter(view, window, feeder, federate)
            yield _map(view, window, feeder, federate)


def _seconds_chart(title: str, unit: str, **more: Any) -> Chart:
    chart = Chart(title, **more)
    chart.layout["xaxis"] = {"title": {"text": "seconds after the window opened"}}
    chart.axes(unit)
    return chart


def _line(chart: Chart, times: Floats, values: Floats, name: str, colour: str, **more: Any) -> None:
    nanoseconds, kept = thin(np.round(times * 1e9).astype(np.int64), values)
    chart.add(x=nanoseconds / 1e9, y=compact(kept), name=plain(name), line={"width": 2, "color": colour}, **more)


def _frequency(view: View, window: Opened) -> Chart:
    """Of the machines, over the undisturbed twin, and without what DER no longer gave."""
    chart = _seconds_chart("Frequency in the event window", "frequency [Hz]")
    for run, name, colour in ((view.twin, view.names[0], style.BASELINE), (view.run, view.run_name, style.DISTURBED)):
        variable = None if run is None else run.get(DYNAMICS, "coi_frequency")
        if variable is not None and variable.times.size:
            _line(chart, window.seconds(variable), in_window(variable, window), name or "frequency", colour)
    variable = view.run.get(DYNAMICS, "coi_frequency")
    if variable is None or not variable.times.size:
        return chart
    found = None if view.summary.window is None else view.summary.window.frequency
    if found is not None:
        low = f"Lowest {found.lowest_hz:.3f} Hz at {found.lowest_s:.2f} s"
        chart.note = f"{low}, highest {found.highest_hz:.3f} Hz at {found.highest_s:.2f} s."
    without = _without_der(view.run, window)
    if without is not None:
        times, change = without
        values = in_window(variable, window)
        _line(chart, times, values - change, "had DER kept their power (estimate)", style.SERIES[1])
    return chart


def _without_der(run: Recorded, window: Opened) -> tuple[Floats, Floats] | None:
    """(time,) [s] and the change of frequency [Hz] that the DER's missing power made, by the light model.

    One mass with the ratings that the generators gave at the opening: H 4 s, droop 5 %, damping 1.
    """
    from solvers.frequency_response import FrequencyResponse, Machines, typical_governors

    generation = run.get(DYNAMICS, "generation")
    missing = _missing(run, window)
    if generation is None or missing is None or not np.ptp(missing):
        return None
    first = np.asarray(generation.array[0]).real
    first = first[first > 0]
    full = np.ones(first.size)
    machines = Machines(first / 0.8, 4.0 * full, 0.0 * full, 0.2 * full)
    governors = typical_governors(first.size, 0.05)
    response = FrequencyResponse(machines, governors, 0.8 * full, nominal=60.0, load_damping=float(first.sum()))
    times = window.seconds(generation)
    change = np.zeros(times.size)
    for k in range(1, times.size):
        response.advance(float(times[k] - times[k - 1]), float(missing[k - 1] - missing[0]))
        change[k] = response.frequency - 60.0
    return times, change


def _missing(run: Recorded, window: Opened) -> Floats | None:
    """(time,) power [MW] of all DER that was there at the opening and is not, at the times of the dynamics."""
    generation = run.get(DYNAMICS, "generation")
    total: Floats | None = None
    for federate in window.feeders.values():
        power = run.get(federate, "der_power")
        if power is None or generation is None:
            continue
        at = np.searchsorted(power.times, generation.times)
        values = power.values.real[at] * multiplier(run, federate)
        total = values[0] - values if total is None else total + values[0] - values
    return total


def _voltage(view: View, window: Opened) -> Chart:
    """Lowest, median and highest of the nodes of each feeder."""
    chart = _seconds_chart("Voltages of the feeders in the event window", "voltage [pu]")
    for number, (feeder, federate) in enumerate(window.feeders.items()):
        variable = view.run.get(federate, "node_voltage")
        if variable is None:
            continue
        values, times = in_window(variable, window), window.seconds(variable)
        colour = style.SERIES[number % len(style.SERIES)]
        for which, part in (("lowest", values.min(axis=1)), ("highest", values.max(axis=1))):
            _line(chart, times, part, f"{feeder}, {which}", colour, opacity=1.0 if which == "lowest" else 0.5)
    feeders = () if view.summary.window is None else view.summary.window.feeders
    backs = [f.recovered_s for f in feeders if f.recovered_s is not None]
    if len(backs) == len(feeders) and backs:
        chart.note = f"All nodes are above 0.9 pu from {max(backs):.2f} s on."
    elif feeders:
        chart.note = "Not all nodes are back above 0.9 pu when the window closes."
    return chart


def _lost(view: View, window: Opened, feeder: str, federate: str) -> Chart:
    """Power that DER do not give or loads do not get, stacked by cause."""
    chart = _seconds_chart(f"Power lost behind {feeder} by cause", "lost power [MW]")
    power = view.run.get(federate, "lost_power")
    if power is None:
        return chart
    values, times = in_window(power, window) * multiplier(view.run, federate), window.seconds(power)
    number = 0
    for column, cause in enumerate(power.labels["cause"]):
        if values[:, column].max(initial=0.0) > 1e-3:
            kept = _rows(times.size)
            chart.add(
                x=times[kept],
                y=compact(values[kept, column]),
                name=cause.replace("_", " "),
                stackgroup="lost",
                line={"width": 0.5, "color": style.SERIES[number % len(style.SERIES)]},
            )
            number += 1
    feeders = () if view.summary.window is None else view.summary.window.feeders
    found = next((f for f in feeders if f.feeder == feeder), None)
    if found is not None and found.der:
        text = der_text(found)
        chart.note = f"{text[0].upper()}{text[1:]}."
    return chart


def _rows(count: int) -> Any:
    """The rows of a stack that are drawn: its parts need the same times."""
    return np.unique(np.linspace(0, count - 1, min(count, 1500)).astype(int))


def _scatter(view: View, window: Opened, feeder: str, federate: str) -> Chart:
    """For every DER the longest time below each level and the lowest voltage then, over what must trip."""
    chart = Chart(f"How long and how low: DER of {feeder}")
    voltage, tripped_by = der_voltages(view.run, window, federate), view.run.get(federate, "tripped_by")
    if voltage is None or tripped_by is None:
        return chart
    tripped = first_trips(in_window(tripped_by, window).astype(int)) > 0
    lowest = voltage.min(axis=2)
    step = window.step / 1e9
    kept = np.unique(np.linspace(0, lowest.shape[1] - 1, min(lowest.shape[1], SHOWN)).astype(int))
    for which, name, colour in ((~tripped, "stayed", style.SERIES[0]), (tripped, "tripped", style.LIMIT)):
        times, lows = [np.zeros(0)], [np.zeros(0)]
        for level in LEVELS:
            lasting, low = longest_below(lowest[:, kept[which[kept]]], level)
            times.append(lasting[lasting > 0] * step)
            lows.append(low[lasting > 0])
        x, y = np.concatenate(times), np.concatenate(lows)
        if x.size:
            chart.add(
                x=compact(x),
                y=compact(y),
                name=name,
                mode="markers",
                marker={"size": 5, "color": colour, "opacity": 0.5},
            )
    for name, rows, colour in TRIPS:
        (deep, soon), (shallow, late) = rows
        corners = [soon, soon, late, late, 1000.0], [0.0, deep, deep, shallow, shallow]
        chart.add(
            x=corners[0], y=corners[1], name=f"must trip, {name}", line={"color": colour, "width": 1.5, "dash": "dash"}
        )
    title = "longest time below 0.88, 0.7, 0.5 pu [s]"
    chart.layout["xaxis"] = {"type": "log", "title": {"text": title}, "range": [-2.4, 1.6]}
    chart.axes("lowest voltage then [pu]", range=[0.0, 1.0])
    chart.note = "A point right of and below a line had to trip under those settings."
    return chart


def longest_below(voltage: Floats, level: float) -> tuple[Floats, Floats]:
    """(der,) steps of the longest unbroken time below `level` of (time, der), and the lowest voltage in it."""
    count = voltage.shape[1]
    lasting, low = np.zeros(count), np.full(count, np.inf)
    longest, lowest = np.zeros(count), np.full(count, np.inf)
    for row in voltage:
        below = row < level
        lasting = np.where(below, lasting + 1, 0)
        low = np.where(below, np.minimum(low, row), np.inf)
        longer = lasting > longest
        longest, lowest = np.where(longer, lasting, longest), np.where(longer, low, lowest)
    return longest, lowest


def _map(view: View, window: Opened, feeder: str, federate: str) -> Chart:
    """The feeder as it is drawn, each node coloured by the share of its DER that tripped."""
    chart = Chart(f"Where DER tripped: {feeder}")
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
            "size": 9,
            "color": compact(100.0 * share),
            "cmin": 0,
            "cmax": 100,
            "colorscale": [[0, style.SERIES[0]], [1, style.LIMIT]],
            "showscale": True,
            "colorbar": {"title": {"text": "tripped [%]"}},
        },
    )
    hidden = {"visible": False}
    chart.layout |= {"xaxis": hidden, "yaxis": hidden | {"scaleanchor": "x"}}
    chart.note = f"{int(tripped.sum())} of {tripped.size} DER tripped in the window."
    return chart
