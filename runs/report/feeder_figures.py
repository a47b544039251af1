"""The figures of feeders, their homes and devices, and of the weather over them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from runs import measures
from runs.measures import HOUR
from runs.recorded import NODE_VOLTAGE, PERTURBATIONS, Floats, Times, Variable
from runs.report import style
from runs.report.chart import Chart, View, add_band, add_limit, add_line, plain, span, time_chart
from runs.summary import RANGE_A, Voltage, energy_text, hours_of, power_text, trip_text

FEEDERS = 4  #: so many feeders get figures of their own, those with the largest effect first
DEVICES = (
    ("hvac_power", "Thermostats: power of heating and cooling"),
    ("ev_power", "EV chargers"),
    ("water_heater_power", "Water heaters"),
)
QUANTILES = (0.1, 0.5, 0.9)


def weather(view: View) -> Iterator[Chart]:
    """The air temperature with the thresholds of the perturbations, and the sun."""
    for group in view.run.groups:
        temperature = view.run.get(group, "temperature")
        if temperature is None or temperature.labels or temperature.unit != "degC" or not temperature.times.size:
            continue
        values = temperature.values.real
        chart = time_chart(view, "Air temperature", "air temperature [°C]")
        hottest = int(values.argmax())
        when = view.clock(view.run.local(int(temperature.times[hottest])))
        chart.note = f"Highest {values.max():.1f} °C at {when}, lowest {values.min():.1f} °C."
        add_line(chart, view, temperature.times, values, "", color=style.DISTURBED)
        thresholds = sorted(
            {
                float(settings["condition"][bound])
                for settings in view.run.settings(PERTURBATIONS).get("perturbations", ())
                for bound in ("temperature_at_least", "temperature_at_most")
                if settings.get("condition", {}).get(bound) is not None
            }
        )
        for threshold in thresholds:
            add_limit(chart, threshold, f"trips at {threshold:g} °C")
        chart.axes("air temperature [°C]", range=span(values, np.array(thresholds or values[0])))
        yield chart
        yield from _sun(view, group)


def _sun(view: View, group: str) -> Iterator[Chart]:
    irradiance, pv = view.run.get(group, "ghi"), _homes(view, "pv_power")
    if irradiance is None or not irradiance.times.size or not irradiance.values.any():
        return
    chart = time_chart(view, "Sun on the ground", "irradiance [W/m²]")
    names = {"ghi": "global horizontal", "dni": "direct normal", "dhi": "diffuse horizontal"}
    for (name, title), colour in zip(names.items(), (style.DISTURBED, *style.SERIES[1:3]), strict=True):
        variable = view.run.get(group, name)
        if variable is not None:
            add_line(chart, view, variable.times, variable.values.real, title, color=colour)
    chart.note = f"Global horizontal irradiance up to {irradiance.values.real.max():,.0f} W/m²."
    if pv:
        _, power = _total(pv)
        chart.note += f" Rooftop PV gives up to {power_text(float(power.max()))}."
    yield chart


def feeder_loads(view: View) -> Iterator[Chart]:
    """The power of each feeder before and after, the largest effects first."""
    order = {load.federate: load for load in view.summary.loads if load.title.startswith("power of")}
    chosen = sorted(order.values(), key=lambda load: load.order)
    variables = {variable.group: variable for variable in view.run.powers}
    for load in chosen[:FEEDERS]:
        title = f"Load of {load.federate}"
        if load.was_hit:
            title += ": what the disturbance takes off and what comes back"
        chart = power_chart(view, title, [variables[load.federate]])
        chart.wide, chart.height = True, 340
        if len(chart.traces) == 2:  # what lies between the two is what was shed and came back
            chart.traces[1].update(fill="tonexty", fillcolor=style.faded(style.DISTURBED, 0.2))
        chart.note = f"Peak {power_text(load.peak_mw.value)} at {view.clock(load.peak_mw.time)}"
        if load.baseline_peak_mw is not None:
            chart.note += (
                f", {view.names[0]} {power_text(load.baseline_peak_mw.value)} at "
                f"{view.clock(load.baseline_peak_mw.time)}"
            )
        chart.note += "."
        if load.was_hit:
            chart.note += f" Shed {trip_text(load, view.clock)}."
            if load.rebound_ended == "over":
                chart.note += (
                    f" From then to the end of the run net {energy_text(load.later_mwh or 0.0)}, noise and all."
                )
        yield chart


def power_chart(view: View, title: str, variables: list[Variable], colour: str = style.DISTURBED) -> Chart:
    """The sum of some powers, before and after, in MW or kW."""
    times, power = _total(variables)
    unit, factor = _power_unit(power)
    chart = time_chart(view, title, f"active power [{unit}]")
    before = [other for other in (view.other(variable) for variable in variables) if other is not None]
    if before:
        add_line(chart, view, *_scaled(*_total(before), factor), view.names[0], color=style.BASELINE)
    add_line(chart, view, times, factor * power, view.run_name, color=colour)
    low, high = min(0.0, 1.1 * factor * float(power.min())), factor * float(power.max())
    if before:
        high = max(high, factor * float(_total(before)[1].max()))
    chart.axes(f"active power [{unit}]", range=[low, 1.16 * high] if high > low else None)
    return chart


def _scaled(times: Times, values: Floats, factor: float) -> tuple[Times, Floats]:
    return times, factor * values


def _total(variables: list[Variable]) -> tuple[Times, Floats]:
    """The sum [MW] of powers over the times that all of them have."""
    times = variables[0].times
    for variable in variables[1:]:
        times = np.intersect1d(times, variable.times)
    total = np.zeros(times.size)
    for variable in variables:
        total += variable.total_power()[np.isin(variable.times, times)]
    return times, total


def _power_unit(power: Floats) -> tuple[str, float]:
    return ("kW", 1e3) if power.size and np.abs(power).max() < 1.0 else ("MW", 1.0)


def _homes(view: View, name: str) -> list[Variable]:
    """What every feeder with homes recorded of a quantity."""
    found = [view.run.get(group, name) for group in view.run.having(name)]
    return [
        variable for variable in found if variable is not None and "home" in variable.labels and variable.times.size
    ]


def homes(view: View) -> Iterator[Chart]:
    """Indoor temperature, devices, PV and batteries, over all homes together."""
    temperatures = _homes(view, "home_temperature")
    if temperatures:
        yield _home_temperature(view, temperatures)
    for name, title in DEVICES:
        variables = _homes(view, name)
        if variables and any(variable.values.any() for variable in variables):
            chart = power_chart(view, title, variables)
            chart.note = _device_note(view, variables)
            yield chart
    yield from _generation(view)


def _home_temperature(view: View, variables: list[Variable]) -> Chart:
    count = sum(len(variable.labels["home"]) for variable in variables)
    chart = time_chart(view, f"Indoor temperature of {count:,} homes", "indoor air temperature [°C]")
    before = [other for other in (view.other(variable) for variable in variables) if other is not None]
    ranges = []
    for found, colour, which in ((before, style.BASELINE, view.names[0]), (variables, style.DISTURBED, view.run_name)):
        if found:
            times, band = _pooled(found)
            parts = ("10 % of homes below", "median home", "90 % of homes below")
            add_band(chart, view, times, band, banded(which, "10 to 90 %"), parts, colour)
            median = f"{band[:, 1].min():.1f} to {band[:, 1].max():.1f} °C"
            ranges.append(median + (f" {which}" if which else ""))
    chart.note = f"Median from {', '.join(reversed(ranges))}."
    return chart


def banded(which: str, band: str) -> str:
    """The legend's entry of a run that is drawn as a median in a band."""
    return f"{which} (median, {band})" if which else f"median, {band}"


def _pooled(variables: list[Variable]) -> tuple[Times, Floats]:
    """Quantiles over the homes of all feeders together."""
    if len(variables) == 1:
        return measures.bands(variables[0], QUANTILES)
    times = variables[0].times
    for variable in variables[1:]:
        times = np.intersect1d(times, variable.times)
    pooled = np.concatenate([v.values.real[np.isin(v.times, times)] for v in variables], axis=1)
    return times, np.quantile(pooled, QUANTILES, axis=1).T


def _device_note(view: View, variables: list[Variable]) -> str:
    times, power = _total(variables)
    hours = hours_of(view.run, times)
    note = f"Peak {power_text(float(power.max()))}, {energy_text(measures.energy(power, hours))}"
    before = [other for other in (view.other(variable) for variable in variables) if other is not None]
    if before:
        other_times, other = _total(before)
        other_energy = measures.energy(other, hours_of(view.run, other_times))
        note += f"; {view.names[0]} {power_text(float(other.max()))}, {energy_text(other_energy)}"
    return note + "."


def _generation(view: View) -> Iterator[Chart]:
    """Rooftop PV and batteries in one chart."""
    pv, battery = _homes(view, "pv_power"), _homes(view, "battery_power")
    found = [variables for variables in (pv, battery) if variables and any(v.values.any() for v in variables)]
    if not found:
        return
    unit, factor = _power_unit(np.concatenate([_total(variables)[1] for variables in found]))
    chart = time_chart(view, "Rooftop PV and home batteries", f"active power [{unit}]")
    if pv in found:
        add_line(chart, view, *_scaled(*_total(pv), factor), "PV, given", color=style.SERIES[1])
    if battery in found:
        before = [other for other in (view.other(variable) for variable in battery) if other is not None]
        if before:
            name = f"batteries, {view.names[0]}"
            add_line(chart, view, *_scaled(*_total(before), factor), name, color=style.BASELINE)
        add_line(chart, view, *_scaled(*_total(battery), factor), "batteries, drawn", color=style.SERIES[2])
        chart.note = "Batteries charge above zero and serve their homes below it."
    yield chart


# ----------------------------------------------------------------------------------------- voltage


def feeder_voltages(view: View) -> Iterator[Chart]:
    """The voltage band along each feeder, and the nodes in the worst hour."""
    variables = [variable for variable in view.run.voltages if variable.name == NODE_VOLTAGE]
    worst = {voltage.federate: voltage for voltage in view.summary.voltages}
    known = [variable for variable in variables if variable.group in worst]
    for variable in sorted(known, key=lambda v: -abs(worst[v.group].worst.value - 1.0))[:FEEDERS]:
        yield voltage_band(
            view, variable, worst[variable.group], f"Voltage along {variable.group}", "node voltage [pu]"
        )
        yield _profile(view, variable, worst[variable.group])


def voltage_band(view: View, variable: Variable, voltage: Voltage, title: str, unit: str) -> Chart:
    """The lowest, median and highest voltage over time, with the limits that hold there."""
    chart = time_chart(view, title, unit)
    times, band = measures.bands(variable, (0.0, 0.5, 1.0))
    other = view.other(variable)
    if other is not None:
        before_times, before = measures.bands(other, (0.0, 0.5, 1.0))
        add_line(chart, view, before_times, before[:, 0], f"{view.names[0]}, lowest and highest", color=style.BASELINE)
        add_line(chart, view, before_times, before[:, 2], "", color=style.BASELINE)
    name = banded(view.run_name, "lowest to highest")
    add_band(chart, view, times, band, name, ("lowest", "median", "highest"), style.DISTURBED)
    if voltage.limits is not None:
        _range_a(chart, band)
    noun = "node" if variable.name == NODE_VOLTAGE else "bus"
    low, high = (view.at(extreme, ".3f", "pu", noun) for extreme in (voltage.lowest_pu, voltage.highest_pu))
    chart.note = f"Lowest {low}; highest {high}."
    return chart


def _range_a(chart: Chart, values: Floats) -> None:
    low, high = RANGE_A
    add_limit(chart, low, f"{low:g} pu, ANSI C84.1 range A", above=False)
    add_limit(chart, high, f"{high:g} pu, ANSI C84.1 range A")
    chart.layout["yaxis"]["range"] = span(values, np.array(RANGE_A))


def _profile(view: View, variable: Variable, voltage: Voltage) -> Chart:
    """Each node's lowest (or highest) voltage within the hour around the worst moment, phase by phase."""
    worst = voltage.worst
    instant = round((worst.time - view.run.start).total_seconds() * 1e9)
    inside = np.abs(variable.times - instant) <= HOUR // 2
    sizes = np.abs(variable.values[inside])
    below = worst.value < 1.0
    values = sizes.min(axis=0) if below else sizes.max(axis=0)
    nodes, phases = np.array([_node_and_phase(label) for label in variable.labels["node_phase"]]).T
    names = np.unique(nodes)
    mean = np.array([values[nodes == name].mean() for name in names])
    place = {str(name): rank for rank, name in enumerate(names[np.argsort(-mean, kind="stable")])}
    which = "lowest" if below else "highest"
    chart = Chart(f"Nodes of {variable.group} in the worst hour")
    chart.note = f"Each node's {which} voltage within half an hour of {view.clock(worst.time)}, highest first."
    for phase, colour in zip(np.unique(phases), style.SERIES, strict=False):
        own = (phases == phase) & (values > 0)
        chart.add(
            x=np.array([place[str(name)] for name in nodes[own]], dtype=np.int32),
            y=values[own].astype(np.float32),
            text=[plain(label) for label in np.array(variable.labels["node_phase"])[own]],
            mode="markers",
            marker={"size": 5, "color": colour},
            name=f"phase {plain(str(phase))}" if phase else "nodes",
            hovertemplate="%{text}: %{y:.4f} pu<extra></extra>",
        )
    shown = list(place)[:: max(1, len(place) // 12)]
    chart.layout["xaxis"] = {
        "title": {"text": f"node, {len(place)} by falling voltage"},
        "tickvals": [place[name] for name in shown],
        "ticktext": [plain(name) for name in shown],
        "range": [-0.02 * len(place) - 0.5, 1.02 * len(place) - 0.5],
    }
    chart.layout["hovermode"] = "closest"
    chart.axes("node voltage [pu]")
    _range_a(chart, values[values > 0])
    return chart


def _node_and_phase(label: str) -> tuple[str, str]:
    node, dot, phase = label.rpartition(".")
    return (node, phase) if dot else (label, "")
