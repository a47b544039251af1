"""The figures of transmission, dispatch, communications, coupling, and of where the time goes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from runs import measures
from runs.recorded import BUS_VOLTAGE, Floats, Variable
from runs.report import style
from runs.report.chart import Chart, View, add_band, add_limit, add_line, plain, span, time_chart
from runs.report.feeder_figures import banded, power_chart, voltage_band
from runs.summary import hours_of, mismatch_of, power_text, seconds

STACKED = 8  #: so many generators are drawn by themselves, the rest together
BUSES = 3  #: so many feeders' buses get a price line of their own
LINKS = 6  #: so many boundary links are drawn, the worst ones
OWN = 6  #: so many outputs of a federate of the user's own are drawn


# ------------------------------------------------------------------------------------ transmission


def transmission(view: View) -> Iterator[Chart]:
    """Total load and the voltage band of each transmission grid."""
    for variable in view.run.loads:
        load = next((entry for entry in view.summary.loads if entry.federate == variable.group), None)
        if load is None:
            continue
        chart = power_chart(view, f"Total load of {variable.group}", [variable])
        chart.note = f"Peak {power_text(load.peak_mw.value)} at {view.clock(load.peak_mw.time)}."
        drawn = np.concatenate([trace.y for trace in chart.traces])
        chart.axes(chart.layout["yaxis"]["title"]["text"], range=span(drawn))  # a system's load is far from zero
        yield chart
    for variable in view.run.voltages:
        voltage = next((entry for entry in view.summary.voltages if entry.federate == variable.group), None)
        if variable.name == BUS_VOLTAGE and voltage is not None:
            yield voltage_band(view, variable, voltage, f"Bus voltages of {variable.group}", "bus voltage [pu]")
    for group in view.run.having("branch_loading"):
        yield from _branch_loading(view, view.run.groups[group]["branch_loading"])


def _branch_loading(view: View, variable: Variable) -> Iterator[Chart]:
    """The most loaded branch at each time."""
    parts = [(times, block.real.max(axis=1), block.real.max(axis=0)) for times, block in variable.blocks()]
    if not parts or variable.unit != "%":
        return
    highest = np.concatenate([part[1] for part in parts])
    by_branch = np.max([part[2] for part in parts], axis=0)
    if not highest.any():
        return
    chart = time_chart(view, f"Most loaded branch of {variable.group}", "loading [% of rating]")
    other = view.other(variable)
    if other is not None:
        before = np.concatenate([block.real.max(axis=1) for _, block in other.blocks()])
        add_line(chart, view, other.times, before, view.names[0], color=style.BASELINE)
    add_line(chart, view, variable.times, highest, view.run_name, color=style.DISTURBED)
    add_limit(chart, 100.0, "rating")
    chart.axes("loading [% of rating]", range=[0.0, 1.12 * max(100.0, float(highest.max()))])
    label = next(iter(variable.labels.values()))[int(by_branch.argmax())]
    when = view.clock(view.run.local(int(variable.times[int(highest.argmax())])))
    over = int(np.count_nonzero(by_branch > 100.0))
    chart.note = f"Up to {highest.max():,.0f} % on branch {label} at {when}; " + (
        f"{over} of {by_branch.size} branches exceed their rating at some time." if over else "none exceeds its rating."
    )
    yield chart


# ---------------------------------------------------------------------------------------- dispatch


def dispatch(view: View) -> Iterator[Chart]:
    """Prices and the stack of generators of each dispatch."""
    for group in view.run.having("lmp"):
        variable = view.run.groups[group]["lmp"]
        if variable.times.size:
            yield _prices(view, variable)
    for group in view.run.having("setpoint"):
        variable = view.run.groups[group]["setpoint"]
        if variable.times.size and variable.is_power:
            yield _stack(view, variable)
            yield from _storage(view, group)


def _prices(view: View, variable: Variable) -> Chart:
    chart = time_chart(view, "Locational marginal prices", "price [$/MWh]")
    times, band = measures.bands(variable, (0.0, 0.5, 1.0))
    parts = ("lowest", "median bus", "highest")
    add_band(chart, view, times, band, "median bus (all buses shaded)", parts, style.SERIES[0], step=True)
    buses = next(iter(variable.labels.values()))
    hung = list(dict.fromkeys(feeder.get("bus") for feeder in view.run.run.manifest["scenario"].get("feeders", ())))
    other = view.other(variable)
    for bus, colour in zip([str(b) for b in hung if str(b) in buses][:BUSES], style.SERIES[1:], strict=False):
        position = buses.index(bus)
        if other is not None:
            before = other.values.real[:, position]
            name = f"bus {bus}, {view.names[0]}"
            add_line(chart, view, other.times, before, name, color=style.BASELINE, step=True)
        add_line(chart, view, times, variable.values.real[:, position], f"bus {bus}", color=colour, step=True)
    if not hung and other is not None:
        _, before_band = measures.bands(other, (0.0, 0.5, 1.0))
        name = f"median bus, {view.names[0]}"
        add_line(chart, view, other.times, before_band[:, 1], name, color=style.BASELINE, step=True)
    cost = next((entry for entry in view.summary.costs if entry.federate == variable.group), None)
    if cost is not None and cost.highest_price is not None:
        chart.note = f"Highest price {view.at(cost.highest_price, ',.2f', '$/MWh', 'bus')}."
    if band.min() > 0.0 and band.max() > 20.0 * np.median(band[:, 1]):
        chart.axes("price [$/MWh], logarithmic", type="log", dtick=1)
    return chart


def _stack(view: View, variable: Variable) -> Chart:
    """Set-points stacked, the largest generators by themselves; those that take power are stacked below zero."""
    values = variable.values.real
    labels = np.array(next(iter(variable.labels.values())))
    order = np.argsort(-np.abs(values.T @ hours_of(view.run, variable.times)), kind="stable")
    chart = time_chart(
        view, f"{variable.group.capitalize()}: who generates", "active power [MW]", wide=True, height=360
    )
    rest = values[:, order[STACKED:]].sum(axis=1)
    layers: list[tuple[str, Floats, str]] = [
        (f"generator {labels[column]}", values[:, column], colour)
        for column, colour in zip(order[:STACKED], style.SERIES, strict=False)
    ]
    if order.size > STACKED:
        layers.append((f"{order.size - STACKED} others", rest, style.REST))
    for name, power, colour in layers:
        add_line(chart, view, variable.times, power, name, color=colour, width=0.5, step=True)
        chart.traces[-1].update(
            stackgroup="given" if power.sum() >= 0 else "taken",
            fillcolor=style.faded(colour, 0.75),
            hovertemplate="%{y:,.0f} MW",
        )
    other = view.other(variable)
    if other is not None:
        before = other.values.real.sum(axis=1)
        name = f"total, {view.names[0]}"
        add_line(chart, view, other.times, before, name, color=style.INK, width=1.5, dash="dot", step=True)
    chart.layout["legend"] = {"orientation": "v", "x": 1.01, "y": 1, "yanchor": "top", "traceorder": "reversed"}
    chart.layout["margin"] = {"l": 62, "r": 150, "t": 16, "b": 46}
    total = values.sum(axis=1)
    running = int(np.count_nonzero(np.abs(values).max(axis=0) > 1e-6))
    chart.note = f"{running} of {order.size} generators run; in total up to {total.max():,.0f} MW."
    return chart


def _storage(view: View, group: str) -> Iterator[Chart]:
    power = view.run.get(group, "storage_power")
    if power is None or not power.times.size:
        return
    chart = time_chart(view, f"Storage of {group}", "active power, discharging above zero [MW]")
    names = next(iter(power.labels.values()))
    for position, (name, colour) in enumerate(zip(names, style.SERIES, strict=False)):
        add_line(chart, view, power.times, power.values.real[:, position], name, color=colour, step=True)
    chart.note = f"{len(names)} storage unit{'s' * (len(names) > 1)}" + (
        f", the first {len(style.SERIES)} shown." if len(names) > len(style.SERIES) else "."
    )
    yield chart


# ---------------------------------------------------------------------------------- communications


def communications(view: View) -> Iterator[Chart]:
    """How long messages took, and how many arrived or were lost in each stretch of time."""
    for messages in view.summary.messages:
        if messages.sent == 0:
            continue
        variables = view.run.groups[messages.federate]
        if messages.delivered and "latency_histogram" in variables:
            chart = _latency(variables["latency_histogram"])
            chart.note = f"{messages.delivered:,} messages delivered"
            if messages.mean_latency_s is not None and messages.longest_latency_s is not None:
                chart.note += (
                    f" in {seconds(messages.mean_latency_s)} on average, at most {seconds(messages.longest_latency_s)}"
                )
            chart.note += "."
            yield chart
        yield _traffic(view, variables["delivered"], variables["dropped"])


def _latency(variable: Variable) -> Chart:
    """Each link's messages by latency class; classes beyond the slowest message are left out."""
    counts = variable.values.real[-1]
    links, bins = variable.labels.values()
    used = np.flatnonzero(counts.sum(axis=0))
    shown = slice(max(0, int(used[0]) - 1), int(used[-1]) + 2)
    chart = Chart("Message latency")
    for number, (link, row) in enumerate(zip(links, counts, strict=True)):
        if row.any():
            chart.bar(
                x=[plain(_class_text(label)).replace(" ", "<br>") for label in bins[shown]],
                y=100.0 * row[shown] / row.sum(),
                name=f"link {plain(link)} ({row.sum():,.0f} messages)",
                marker={"color": style.SERIES[number % len(style.SERIES)]},
                hovertemplate="%{x}: %{y:.3~g} %",
            )
    chart.layout |= {"barmode": "group", "bargap": 0.15, "showlegend": True}
    title = {"text": "latency from sending to delivery, up to"}
    chart.layout["xaxis"] = {"title": title, "type": "category", "tickangle": 0, "tickfont": {"size": 11}}
    chart.axes("share of the link's messages [%]", rangemode="tozero")
    return chart


def _class_text(label: str) -> str:
    """A latency class such as "up to 0.002 s" in a few letters: its upper end, or > and its lower."""
    words = label.split(" ")
    return (">" if words[0] == "above" else "") + seconds(float(words[-2]))


def _traffic(view: View, delivered: Variable, dropped: Variable) -> Chart:
    """Messages delivered and dropped in each of about 48 stretches of the run."""
    chart = time_chart(view, "Messages delivered and dropped", "messages [1]")
    end = round(view.summary.duration_s * 1e9)
    width = max(end // 48, 1)
    edges = np.arange(0, end, width)
    stacked = np.zeros(edges.size)
    for variable, name, colour in ((delivered, "delivered", style.DISTURBED), (dropped, "dropped", style.LIMIT)):
        now = np.diff(variable.values.real.sum(axis=1), prepend=0.0)
        counts = np.bincount(variable.times // width, now, minlength=edges.size)[: edges.size]
        stacked += counts
        chart.bar(
            x=view.start_ms + (edges + width / 2) / 1e6,
            y=counts,
            width=width / 1e6 * 0.9,
            name=name,
            marker={"color": colour},
            hovertemplate="%{y:,}",
        )
    chart.layout["barmode"] = "stack"
    chart.axes("messages [1]", range=[0.0, 1.15 * max(1.0, float(stacked.max()))])
    total = [float(variable.values.real[-1].sum()) for variable in (delivered, dropped)]
    chart.note = f"In stretches of {width / 6e10:,.4g} min: {total[0]:,.0f} delivered, " + (
        f"{total[1]:,.0f} dropped ({total[1] / max(sum(total), 1):.2%})." if total[1] else "none dropped."
    )
    return chart


# ---------------------------------------------------------------------------------------- coupling


def boundary(view: View) -> Iterator[Chart]:
    """The mismatch of each boundary link as a share of its tolerance."""
    worst = sorted(view.summary.mismatches, key=lambda mismatch: -mismatch.share)[:LINKS]
    if not worst:
        return
    chart = time_chart(view, "Boundary mismatch", "mismatch [% of tolerance]", wide=True)
    shares = []
    for mismatch, colour in zip(worst, style.SERIES, strict=False):
        times, values = mismatch_of(view.run.coupling[mismatch.link])
        shares.append(100.0 * values / mismatch.tolerance)
        name = f"{mismatch.link.replace('->', ' → ')} (of {mismatch.tolerance:g} {mismatch.unit})"
        add_line(chart, view, times, shares[-1], name, color=colour, width=1.5)
    add_limit(chart, 100.0, "tolerance")
    chart.axes("mismatch [% of tolerance]", range=[0.0, 1.12 * max(100.0, *(float(s.max()) for s in shares))])
    first = worst[0]
    chart.note = (
        f"What one side used against what then held at the other. Worst {first.worst.value:.3g} of "
        f"{first.tolerance:g} {first.unit} at {view.clock(first.worst.time)}."
    )
    yield chart


# ----------------------------------------------------------------------------- the user's federates


def own_federates(view: View) -> Iterator[Chart]:
    """The outputs of the scenario's own federates, as a line or a band over all elements."""
    names = [entry["name"] for entry in view.run.run.manifest["scenario"].get("federates", ())]
    for name in names:
        variables = [v for v in view.run.groups.get(name, {}).values() if v.times.size]
        for variable in [v for v in variables if not v.name.startswith("used ")][:OWN]:
            yield _own(view, variable)


def _own(view: View, variable: Variable) -> Chart:
    kind = "magnitude of " if np.iscomplexobj(variable.array[:0]) else ""
    chart = time_chart(view, f"{variable.group}: {variable.title}", f"{kind}{variable.name} [{variable.unit}]")
    times, band = measures.bands(variable, (0.0, 0.5, 1.0))
    other = view.other(variable)
    if other is not None:
        before_times, before = measures.bands(other, (0.5,))
        add_line(chart, view, before_times, before[:, 0], view.names[0], color=style.BASELINE)
    if variable.labels:
        name = banded(view.run_name, "lowest to highest")
        add_band(chart, view, times, band, name, ("lowest", "median", "highest"), style.DISTURBED)
    else:
        add_line(chart, view, times, band[:, 1], view.run_name, color=style.DISTURBED)
    chart.axes(f"{kind}{variable.name} [{variable.unit}]", range=span(band))
    chart.note = f"From {band.min():.4g} to {band.max():.4g} {variable.unit}."
    return chart


# --------------------------------------------------------------------------------------- wall time


def time_spent(view: View) -> Iterator[Chart]:
    """Each federate's own computing time beside the wall time of the run."""
    timings = view.run.run.manifest["timings"]
    busy = sorted(timings["busy_s"].items(), key=lambda item: item[1])
    if not busy:
        return
    chart = Chart("Where the time goes", height=max(220, 80 + 26 * len(busy)))
    chart.bar(
        x=[value for _, value in busy],
        y=[plain(name) for name, _ in busy],
        orientation="h",
        marker={"color": style.DISTURBED},
        text=[f"{value:.3g} s" for _, value in busy],
        textposition="outside",
        cliponaxis=False,
        hovertemplate="%{y}: %{x:.4g} s<extra></extra>",
    )
    wall = timings["simulation_s"]
    chart.shapes.append(
        {
            "type": "line",
            "x0": wall,
            "x1": wall,
            "yref": "paper",
            "y0": 0,
            "y1": 1,
            "line": {"color": style.LIMIT, "dash": "dash", "width": 1.5},
        }
    )
    chart.annotations.append(
        {
            "text": f"wall time {wall:.3g} s",
            "x": wall,
            "xanchor": "right",
            "y": 1,
            "yref": "paper",
            "yanchor": "bottom",
            "showarrow": False,
            "font": {"size": 11, "color": style.LIMIT},
        }
    )
    longest = max(wall, busy[-1][1])
    chart.layout["xaxis"] = {"title": {"text": "computing time [s]"}, "range": [0, 1.12 * longest or 1.0]}
    chart.layout["hovermode"] = "closest"
    chart.axes("", type="category")
    chart.note = "Federates of different processes compute at the same time; the rest of the wall time is waiting."
    yield chart
