"""Summary figures of a run: ready ones by name, and reductions of any recorded output.

They are computed in the worker from the full results, so that a batch need not keep the series. The formulas are
those of a run's summary (`runs/summary.py`, `runs/measures.py`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from pydantic import field_validator, model_validator

from cosim.contract import Port
from cosim.federation import PortReference
from cosim.registry import unknown
from cosim.settings import Settings
from cosim.simulation import Run
from cosim.units import UNITS, convert
from runs.measures import HOUR, hold_edges, weighted_quantile
from runs.recorded import NODE_VOLTAGE, Floats, Recorded, Times, Variable
from runs.summary import Load, Summary, duration_of, hours_of, step_of, summarise_recorded
from runs.window_results import FollowedFeeder

REDUCTIONS = ("max", "min", "mean", "sum", "energy", "first", "last", "time_of_max", "time_of_min")
WITH_NUMBER = ("quantile", "duration_above", "duration_below")
_CALL = re.compile(r"^(\w+)\(\s*([-+.\deE]+)\s*\)$")


@dataclass(frozen=True)
class Ready:
    """A figure that is known by name."""

    title: str
    unit: str
    outputs: tuple[str, ...]  #: outputs of which one federate must record at least one
    of: Callable[[Summary, str | None], Iterable[float | None]]
    combine: Callable[[Iterable[float]], float]
    needs_twin: Literal["", "undisturbed", "der held"] = ""  #: which twin, if any


def _loads(summary: Summary, federate: str | None) -> list[Load]:
    """Of the named federate; else of every feeder, or of the transmission grid where there is no feeder."""
    if federate is not None:
        return [load for load in summary.loads if load.federate == federate]
    feeders = [load for load in summary.loads if load.title.startswith("power of")]
    return feeders or list(summary.loads)


def _of_loads(read: Callable[[Load], float | None]) -> Callable[[Summary, str | None], Iterator[float | None]]:
    return lambda summary, federate: (read(load) for load in _loads(summary, federate))


def _known(value: float | None) -> float:
    """A figure of a load, NaN where it has none: together with others there is then none either."""
    return math.nan if value is None else value


def _came_back(load: Load, value: float | None) -> float | None:
    """A figure of what came back after a trip, where that is over; 0 where nothing was shed."""
    if not load.shed_mwh:
        return load.shed_mwh
    return _known(value if load.rebound_ended == "over" else None)


def _rebound_peak(load: Load) -> float | None:
    """0 where nothing was shed, or nothing stands out of the noise."""
    if not load.shed_mwh:
        return load.shed_mwh
    if load.rebound_ended == "still out":
        return math.nan
    return 0.0 if load.rebound_peak_mw is None else load.rebound_peak_mw.value


def _root_sum_square(values: Iterable[float]) -> float:
    return math.hypot(*values)


def _voltages(summary: Summary, federate: str | None) -> Iterator[tuple[float, float]]:
    """Lowest and highest [pu]; of all feeders unless a federate is named, of the grid where there are none."""
    feeders = any(entry.variable == NODE_VOLTAGE for entry in summary.voltages)
    for entry in summary.voltages:
        if entry.federate == federate or (federate is None and (not feeders or entry.variable == NODE_VOLTAGE)):
            yield entry.lowest_pu.value, entry.highest_pu.value


def _followed(summary: Summary, federate: str | None) -> Iterator[FollowedFeeder]:
    """The feeders of the event window, or the one whose federate is named."""
    feeders = () if summary.window is None else summary.window.feeders
    return (entry for entry in feeders if federate in (None, f"{entry.feeder}_window"))


def _chosen(entries: Iterable[Any], federate: str | None) -> Iterator[Any]:
    return (entry for entry in entries if federate in (None, entry.federate))


POWER = ("power", "load")
VOLTAGE = (NODE_VOLTAGE, "voltage")
READY: Mapping[str, Ready] = {
    "peak_load": Ready("highest load at a step", "MW", POWER, _of_loads(lambda load: load.peak_mw.value), max),
    "peak_demand": Ready(
        "highest mean load over 15 minutes", "MW", POWER, _of_loads(lambda load: load.peak_demand_mw.value), max
    ),
    "energy": Ready("energy drawn", "MWh", POWER, _of_loads(lambda load: load.energy_mwh), sum),
    "energy_shed": Ready(
        "net energy not drawn while the disturbance acts",
        "MWh",
        POWER,
        _of_loads(lambda load: load.shed_mwh),
        sum,
        "undisturbed",
    ),
    "energy_rebound": Ready(
        "net energy drawn on top from the return until that is over; none where the next trip or the end comes first",
        "MWh",
        POWER,
        _of_loads(lambda load: _came_back(load, load.rebound_mwh)),
        sum,
        "undisturbed",
    ),
    "energy_rebound_noise": Ready(
        "plus or minus which noise may have added to the energy that came back, in 95 % of cases",
        "MWh",
        POWER,
        _of_loads(lambda load: _came_back(load, load.rebound_noise_mwh)),
        _root_sum_square,
        "undisturbed",
    ),
    "energy_after_return": Ready(
        "net energy drawn on top from the last return to the end of the run, over or not",
        "MWh",
        POWER,
        _of_loads(lambda load: load.shed_mwh if not load.shed_mwh else _known(load.after_return_mwh)),
        sum,
        "undisturbed",
    ),
    "rebound_peak": Ready(
        "highest mean over 15 minutes of the load above the undisturbed one while it comes back",
        "MW",
        POWER,
        _of_loads(_rebound_peak),
        max,
        "undisturbed",
    ),
    "baseline_peak_load": Ready(
        "highest undisturbed load at a step",
        "MW",
        POWER,
        _of_loads(lambda load: None if load.baseline_peak_mw is None else load.baseline_peak_mw.value),
        max,
        "undisturbed",
    ),
    "minimum_voltage": Ready("lowest voltage", "pu", VOLTAGE, lambda s, f: (low for low, _ in _voltages(s, f)), min),
    "maximum_voltage": Ready("highest voltage", "pu", VOLTAGE, lambda s, f: (high for _, high in _voltages(s, f)), max),
    "cost": Ready("cost of dispatch", "$", ("cost",), lambda s, f: (entry.cost for entry in _chosen(s.costs, f)), sum),
    "highest_price": Ready(
        "highest locational marginal price",
        "$/MWh",
        ("lmp",),
        lambda s, f: (entry.highest_price and entry.highest_price.value for entry in _chosen(s.costs, f)),
        max,
    ),
    "unserved_energy": Ready(
        "load that could not be served",
        "MWh",
        ("load_shed", "unserved_load"),
        lambda s, f: (e.energy_mwh for e in s.not_served if f in (None, e.variable.partition(".")[0])),
        sum,
    ),
    "messages_lost": Ready(
        "messages that never arrived",
        "1",
        ("dropped",),
        lambda s, f: (float(entry.dropped) for entry in _chosen(s.messages, f)),
        sum,
    ),
    "message_latency": Ready(
        "mean latency of delivered messages",
        "s",
        ("delivered",),
        lambda s, f: (entry.mean_latency_s for entry in _chosen(s.messages, f)),
        max,
    ),
    "der_tripped": Ready(
        "DER that tripped in the event window, of all feeders",
        "1",
        ("tripped_by",),
        lambda s, f: (sum(entry.tripped.values()) * entry.stands_for for entry in _followed(s, f)),
        sum,
    ),
    "der_tripped_power": Ready(
        "most power of DER that tripped in the event window",
        "MW",
        ("tripped_by",),
        lambda s, f: (entry.tripped_mw for entry in _followed(s, f)),
        sum,
    ),
    "der_lost_power": Ready(
        "most power that DER did not give in the event window, tripped or not",
        "MW",
        ("tripped_by",),
        lambda s, f: (entry.der_lost_mw for entry in _followed(s, f)),
        sum,
    ),
    "frequency_nadir": Ready(
        "lowest frequency of the machines in the event window",
        "Hz",
        ("coi_frequency",),
        lambda s, f: () if s.window is None or s.window.frequency is None else (s.window.frequency.lowest_hz,),
        min,
    ),
    "frequency_nadir_der_held": Ready(
        "lowest frequency of the machines in the event window of the twin with DER held",
        "Hz",
        ("coi_frequency",),
        lambda s, f: (
            () if s.window is None or s.window.frequency_der_held is None else (s.window.frequency_der_held.lowest_hz,)
        ),
        min,
        "der held",
    ),
    "boundary_mismatch": Ready(
        "worst boundary mismatch as a share of its tolerance",
        "1",
        (),
        lambda s, f: (entry.share for entry in s.mismatches),
        max,
    ),
    "devices_affected": Ready(
        "most devices or units out at once",
        "1",
        ("affected",),
        lambda s, f: (
            float(max((spell.affected for spell in entry.spells), default=0))
            for entry in s.perturbations
            if f in (None, entry.name)
        ),
        max,
    ),
}


class FigureSpec(Settings):
    """One summary figure of each run: `figure`, a ready one, or `of`, any recorded output."""

    figure: str | None = None
    """A ready figure's name."""
    federate: str | None = None
    """Of a ready figure: whose; by default of all feeders together."""
    of: str | None = None
    """A recorded output: `federate.port`, or one label of it as `federate.port[label]`."""
    elements: Literal["sum", "mean", "max", "min"] = "sum"
    """How the output's elements become one series."""
    part: Literal["real", "imaginary", "magnitude"] = "real"
    """Of a complex output: which part."""
    reduce: str = "max"
    """How the series becomes a number: max and min (at a step), mean (over the time), energy (the integral over hours),
    first, last, time_of_max and time_of_min (hours since the start), quantile(0.95) (of the time), duration_above(4.5)
    and duration_below(0.95) (hours); sum over the steps, of numbers that are counted anew at each."""
    minus_baseline: bool = False
    """Take the twin's series off first: undisturbed, or with DER held in the event window."""
    during: tuple[str, str] | None = None
    """Only between these times of each day, as [17:00, 20:00]; a first one later than the second spans midnight."""
    unit: str | None = None
    """The unit of the number; by default the output's."""
    title: str = ""
    """What it is, in a few words, for tables and reports."""

    @field_validator("reduce")
    @classmethod
    def _known(cls, reduce: str) -> str:
        call = _CALL.match(reduce)
        if (call and call[1] in WITH_NUMBER) or reduce in REDUCTIONS:
            if call and call[1] == "quantile" and not 0 <= float(call[2]) <= 1:
                raise ValueError(f"must be a quantile between 0 and 1, got {reduce}")
            return reduce
        if reduce in WITH_NUMBER:
            raise ValueError(f"needs a number, as {reduce}(0.95)")
        raise ValueError(unknown("reduction", reduce, (*REDUCTIONS, *(f"{name}(x)" for name in WITH_NUMBER))))

    @field_validator("during")
    @classmethod
    def _clock(cls, during: tuple[str, str] | None) -> tuple[str, str] | None:
        for text in during or ():
            _nanoseconds(text)
        return during

    @model_validator(mode="after")
    def _one_kind(self) -> FigureSpec:
        if (self.figure is None) == (self.of is None):
            raise ValueError("must have either figure, the name of a ready one, or of, a recorded output")
        if self.figure is not None:
            if self.figure not in READY:
                raise ValueError(unknown("figure", self.figure, READY))
            own = ("figure", "federate", "unit", "title")
            fields = type(self).model_fields
            given = [name for name in fields if name not in own and getattr(self, name) != fields[name].default]
            if given:
                raise ValueError(f"a ready figure has no {', '.join(given)}; use `of`")
        if self.of is not None:
            if self.federate is not None:
                raise ValueError("has `of`, which names the federate already; leave `federate` out")
            PortReference.parse(self.of)
        if self.unit is not None and self.unit not in UNITS:
            raise ValueError(unknown("unit", self.unit, UNITS))
        return self

    @property
    def needs_twin(self) -> bool:
        """Whether there must be a twin."""
        return self.minus_baseline or (self.figure is not None and READY[self.figure].needs_twin != "")


def named_figures(given: Any) -> Any:
    """Figures as written, a list of ready ones or texts in a mapping, as a mapping of name -> settings."""
    if isinstance(given, list) and all(isinstance(entry, str) for entry in given):
        given = {entry: entry for entry in given}
    if not isinstance(given, dict):
        return given
    return {name: {"figure": entry} if isinstance(entry, str) else entry for name, entry in given.items()}


def _nanoseconds(clock: str) -> int:
    """A time of day `17:00` as [ns] since midnight. Raises ValueError."""
    match = re.fullmatch(r"(\d{1,2}):(\d{2})", clock)
    if match is None or int(match[1]) > 24 or int(match[2]) > 59 or (int(match[1]) == 24 and int(match[2])):
        raise ValueError(f"must be times of day as `17:00`, in quotes, got {clock!r}")
    return (int(match[1]) * 60 + int(match[2])) * 60 * 10**9


# ------------------------------------------------------------------------------------ before a run


def figure_problem(
    spec: FigureSpec, outputs: Mapping[str, Mapping[str, Port]], *, has_twin: bool, der_held: bool = False
) -> str:
    """Why a figure can never be computed of a run with these outputs (federate -> port -> it); "" if it can.

    `der_held`: the twin is not undisturbed, but has its DER held in the event window.
    """
    wanted = "" if spec.figure is None else READY[spec.figure].needs_twin
    if spec.needs_twin and not has_twin:
        which = "twin with DER held" if wanted == "der held" else "undisturbed twin"
        return f"needs the {which}; the scenario has no perturbations, or the batch says `baseline: false`"
    if wanted and (wanted == "der held") != der_held:
        found = "has its DER held in the event window" if der_held else "is undisturbed"
        return f"needs another twin: that of this scenario {found}"
    if spec.figure is not None:
        return _ready_problem(spec, outputs)
    reference = PortReference.parse(str(spec.of))
    if reference.federate not in outputs:
        return unknown("federate", reference.federate, outputs)
    ports = outputs[reference.federate]
    if reference.port not in ports:
        return unknown("output", reference.port, ports, repr(reference.federate))
    port = ports[reference.port]
    try:
        reference.index(port)
    except ValueError:
        dimension, labels = next(iter(port.coordinates.items()), ("label", ()))
        return unknown(dimension, str(reference.label), labels, repr(spec.of))
    try:
        _, unit = reduced_unit(spec, port.unit)
        _check_unit(unit, spec.unit)
    except ValueError as error:
        return str(error)
    return ""


def _ready_problem(spec: FigureSpec, outputs: Mapping[str, Mapping[str, Port]]) -> str:
    ready = READY[str(spec.figure)]
    if spec.federate is not None and spec.figure != "devices_affected" and spec.federate not in outputs:
        return unknown("federate", spec.federate, outputs)
    whose = [spec.federate] if spec.federate in outputs else list(outputs)
    if ready.outputs and not any(set(ready.outputs) & set(outputs[name]) for name in whose if name is not None):
        where = f"'{spec.federate}' has" if spec.federate else "no federate has"
        none = " no" if spec.federate else ""
        return f"{where}{none} output {' or '.join(ready.outputs)}"
    try:
        _check_unit(ready.unit, spec.unit)
    except ValueError as error:
        return str(error)
    return ""


def _check_unit(unit: str, wanted: str | None) -> None:
    """Raise ValueError if a number in `unit` cannot be given in the wanted one."""
    if wanted is not None:
        if unit not in UNITS:
            raise ValueError(f"comes in {unit} and cannot be given in {wanted}; leave `unit` out")
        convert(0.0, unit, wanted)


#: The unit of a quantity's integral over hours.
INTEGRALS = {"MW": "MWh", "kW": "kWh", "$/h": "$"}

#: The unit of each part of a complex power.
PARTS: Mapping[str, Mapping[str, str]] = {
    "real": {"MVA": "MW", "kVA": "kW"},
    "imaginary": {"MVA": "Mvar", "kVA": "kvar"},
    "magnitude": {},
}


def reduced_unit(spec: FigureSpec, unit: str) -> tuple[float, str]:
    """Factor and unit of the reduced number of an output in `unit`. Raises ValueError."""
    if spec.reduce.startswith(("time_of", "duration")):
        return 1.0, "h"
    of_part = PARTS[spec.part].get(unit, unit)
    if spec.reduce == "sum" and unit != "1":
        raise ValueError(
            f"has no sum that means anything: in {of_part}, it grows with the number of steps; use mean"
            + (" or energy" if of_part in INTEGRALS or of_part == "W" else "")
        )
    if spec.reduce != "energy":
        return 1.0, of_part
    if of_part == "W":
        return 1e-3, "kWh"
    if of_part not in INTEGRALS:
        raise ValueError(f"has no energy, as it is in {of_part}")
    return 1.0, INTEGRALS[of_part]


# ------------------------------------------------------------------------------------- after a run


def compute_figures(run: Run, specs: Mapping[str, FigureSpec]) -> dict[str, float | None]:
    """The figures of a finished run; None where one has no value in it: what it needs was not recorded, or its span
    of the day is empty. That no run of a batch can have it is found by the plan, see `figure_problem`.
    """
    if not specs:
        return {}
    recorded = Recorded(run)
    twin = None if run.baseline is None else Recorded(run.baseline)
    summary = None
    found: dict[str, float | None] = {}
    for name, spec in specs.items():
        if spec.needs_twin and twin is None:
            found[name] = None
        elif spec.figure is not None:
            summary = summary or summarise_recorded(recorded, twin)
            found[name] = _ready(spec, summary)
        else:
            found[name] = _reduced(spec, recorded, twin)
    return found


def unit_and_title(spec: FigureSpec, outputs: Mapping[str, Mapping[str, Port]]) -> tuple[str, str]:
    """Unit and title of a figure that can be computed of these outputs (federate -> port -> it)."""
    if spec.figure is not None:
        ready = READY[spec.figure]
        whose = f" of {spec.federate}" if spec.federate else ""
        return spec.unit or ready.unit, spec.title or ready.title + whose
    reference = PortReference.parse(str(spec.of))
    _, unit = reduced_unit(spec, outputs[reference.federate][reference.port].unit)
    above = " less the undisturbed one" if spec.minus_baseline else ""
    return spec.unit or unit, spec.title or f"{spec.reduce.replace('_', ' ')} of {spec.of}{above}"


def _ready(spec: FigureSpec, summary: Summary) -> float | None:
    ready = READY[str(spec.figure)]
    present = [value for value in ready.of(summary, spec.federate) if value is not None]
    if not present or any(math.isnan(value) for value in present):
        return None
    return convert(float(ready.combine(present)), ready.unit, spec.unit or ready.unit)


def _reduced(spec: FigureSpec, run: Recorded, twin: Recorded | None) -> float | None:
    variable = _variable(spec, run)
    if variable is None:
        return None
    times, series = variable.times, _series(spec, variable)
    if spec.minus_baseline:
        other = None if twin is None else _variable(spec, twin)
        if other is None:
            return None
        times, here, there = np.intersect1d(times, other.times, return_indices=True)
        series = series[here] - _series(spec, other)[there]
    hours = hours_of(run, times)
    if spec.during is not None:
        hours = _hours_inside(hold_edges(times, step_of(run), duration_of(run)), run, spec.during)
        times, series, hours = times[hours > 0.0], series[hours > 0.0], hours[hours > 0.0]
    if not times.size:
        return None
    factor, unit = reduced_unit(spec, variable.unit)
    value = factor * _number(spec.reduce, times, series, hours)
    return value if spec.unit in (None, unit) else _difference(value, unit, str(spec.unit), spec)


def _difference(value: float, unit: str, wanted: str, spec: FigureSpec) -> float:
    """`value` in the wanted unit; a difference of two temperatures has no zero point."""
    converted = convert(value, unit, wanted)
    return converted - convert(0.0, unit, wanted) if spec.minus_baseline else converted


def series_of(spec: FigureSpec, run: Recorded) -> tuple[Times, Floats] | None:
    """Times [ns] (n) and values (n) of the series that a figure reduces; None if the run did not record it."""
    variable = _variable(spec, run)
    return None if variable is None else (variable.times, _series(spec, variable))


def _variable(spec: FigureSpec, run: Recorded) -> Variable | None:
    """The output that a figure reduces, if the run recorded it, and the label with it."""
    reference = PortReference.parse(str(spec.of))
    variable = run.get(reference.federate, reference.port)
    if variable is None or not variable.times.size:
        return None
    missing = reference.label is not None and reference.label not in next(iter(variable.labels.values()), ())
    return None if missing else variable


def _series(spec: FigureSpec, variable: Variable) -> Floats:
    """The values that a figure reduces, one at each time."""
    label = PortReference.parse(str(spec.of)).label
    index = None if label is None else next(iter(variable.labels.values())).index(label)
    combine: Callable[..., Any] = getattr(np, spec.elements)
    blocks = [np.zeros(0)]
    for _, block in variable.blocks():
        chosen = (block if index is None else block[:, index]).reshape(len(block), -1)
        blocks.append(combine(_part(chosen, spec.part), axis=1))
    return np.concatenate(blocks)


def _part(values: Any, part: str) -> Floats:
    if part == "magnitude":
        return np.asarray(np.abs(values))
    return np.asarray(values.imag if part == "imaginary" else values.real, dtype=float)


def _hours_inside(edges: Times, run: Recorded, during: tuple[str, str]) -> Floats:
    """How long [h] each value, which holds between two of the `edges` (n + 1) [ns], does so in the span of the day."""
    day = 24 * HOUR
    midnight = run.start.replace(hour=0, minute=0, second=0, microsecond=0)
    clock = edges + round((run.start - midnight).total_seconds() * 1e9)
    first, last = (_nanoseconds(text) for text in during)
    begin, end = min(first, last), max(first, last)
    passed = clock // day * (end - begin) + np.clip(clock % day - begin, 0, end - begin)
    inside = np.diff(passed)  # one that spans midnight is what the other leaves of the day
    return np.asarray((inside if first < last else np.diff(clock) - inside) / HOUR)


def _number(reduce: str, times: Times, series: Floats, hours: Floats) -> float:
    call = _CALL.match(reduce)
    if call is not None:
        bound = float(call[2])
        if call[1] == "quantile":
            return weighted_quantile(series, hours, bound)
        beyond = series > bound if call[1] == "duration_above" else series < bound
        return float(hours[beyond].sum())
    if reduce in ("time_of_max", "time_of_min"):
        place = series.argmax() if reduce == "time_of_max" else series.argmin()
        return float(times[place]) / HOUR
    simple: dict[str, Callable[[], Any]] = {
        "max": series.max,
        "min": series.min,
        "mean": lambda: series @ hours / hours.sum(),
        "sum": series.sum,
        "energy": lambda: series @ hours,
        "first": lambda: series[0],
        "last": lambda: series[-1],
    }
    return float(simple[reduce]())


__all__ = ["READY", "FigureSpec", "compute_figures", "figure_problem", "named_figures", "series_of", "unit_and_title"]
