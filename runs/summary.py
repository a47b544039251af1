"""A run in one screen: what the disturbance did, what it cost, and whether it can be trusted.

`summarise` finds its figures by what was recorded, not by the federates' names: what is absent is left out,
and a run that failed is summarised as far as it got. The formulas are in `runs/measures.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from cosim.check import Check
from cosim.contract import Time
from cosim.federation import LeftOut
from cosim.settings import Settings
from cosim.simulation import Run
from cosim.units import format_duration
from cosim.verdict import Verdict
from cosim.window_wiring import window_name
from runs import measures, rebound
from runs.measures import Flags
from runs.recorded import NODE_VOLTAGE, PERTURBATIONS, Floats, Recorded, Times, Variable
from runs.window_results import DYNAMICS, WindowSummary, differ_by_der, summarise_window, window_rows

if TYPE_CHECKING:
    from rich.console import Console

RANGE_A = (0.95, 1.05)  #: [pu] service voltage, ANSI C84.1-2020 range A
SHOWN = 3  #: the most lines that the terminal shows of a kind
NOUNS = {"thermostat": "thermostats", "ev_charger": "EV chargers", "water_heater": "water heaters", "home": "homes"}
EFFECTS = {
    "BusFault": "short-circuited",
    "VoltageSag": "sagged",
    "PhaseJump": "jumped in angle",
    "VoltageTrace": "given a voltage",
    "FrequencyTrace": "given a frequency",
}  #: what a perturbation of a kind does to its target; others put it out
UNDISTURBED = ("undisturbed", "disturbed")  #: a twin and its run
DER_HELD = ("DER held", "DER respond")  #: of an event window with DER
ROUNDING = 1e-9  #: of the energy drawn: what solvers round
TARGETS = ("generator", "branch", "link", "bus")  #: the settings that name a perturbation's one target


class Extreme(Settings):
    """A largest or smallest value."""

    value: float
    time: datetime
    """Local standard time."""
    where: str | None = None


class Load(Settings):
    """The active power of a feeder, or of all load of a transmission grid."""

    federate: str
    title: str
    peak_mw: Extreme
    """At a step."""
    peak_demand_mw: Extreme
    """The highest mean over 15 minutes, with the time at which they begin: it does not depend on the step."""
    energy_mwh: float
    baseline_peak_mw: Extreme | None = None
    """Of the undisturbed twin, as is every `baseline_` value; it is there only if there is a twin."""
    baseline_energy_mwh: float | None = None
    shed_mwh: float | None = None
    """Net energy not drawn while a perturbation acts on it: what was drawn less, less what was drawn more; below 0 if
    more was drawn. All of this is in `runs/rebound.py`."""
    shed_noise_mwh: float | None = None
    """Noise alone adds up to no more than this in as long a time, in 95 % of cases; none where it is not known."""
    rebound_mwh: float | None = None
    """Net energy drawn beyond the undisturbed twin from each return until it is over; where it was not over, until the
    next trip or the end of the run, see `rebound_ended`. None where nothing was shed or nothing returned."""
    rebound_noise_mwh: float | None = None
    """As `shed_noise_mwh`, of the rebound."""
    rebound_share: float | None = None
    """Rebound over shed [1]; none where no more was shed than noise sheds."""
    rebound_from: datetime | None = None
    """The last return."""
    rebound_until: datetime | None = None
    """When it was over after that, or no longer followed."""
    rebound_ended: rebound.Ended | None = None
    """Whether it is over, or why it was not followed to its end."""
    after_return_mwh: float | None = None
    """Net energy from the last return to the end of the run, be the rebound over or not."""
    later_mwh: float | None = None
    """Of that, what came after the rebound was over, or 0: noise, and what returned later still."""
    rebound_peak_mw: Extreme | None = None
    """The highest mean over 15 minutes of what is drawn beyond the twin while it comes back, with the time at which
    they begin; none where noise is as high."""
    rebound_peak_noise_mw: float | None = None
    """As `shed_noise_mwh`, of a mean over 15 minutes."""

    @property
    def was_hit(self) -> bool:
        """Whether more was shed, or drawn on top, than noise is."""
        return self.shed_mwh is not None and abs(self.shed_mwh) > (self.shed_noise_mwh or 0.0)

    @property
    def order(self) -> tuple[bool, float]:
        """By which loads are sorted: those that were hit first, by how much; then the larger."""
        return not self.was_hit, -abs((self.was_hit and self.shed_mwh) or self.energy_mwh)


class Voltage(Settings):
    """Voltages over the nodes of a feeder or the buses of a grid; dead ones (0 pu) are left out."""

    federate: str
    variable: str
    lowest_pu: Extreme
    highest_pu: Extreme
    baseline_lowest_pu: Extreme | None = None
    baseline_highest_pu: Extreme | None = None

    @property
    def limits(self) -> tuple[float, float] | None:
        """Range A for the nodes of a feeder; the voltages of a transmission grid are its operator's matter."""
        return RANGE_A if self.variable == NODE_VOLTAGE else None

    @property
    def worst(self) -> Extreme:
        """The one that is farther from 1 pu."""
        return max(self.lowest_pu, self.highest_pu, key=lambda extreme: abs(extreme.value - 1.0))


class Cost(Settings):
    """What a dispatch costs: generation, storage wear and lost load."""

    federate: str
    cost: float
    """[$] over the run."""
    baseline_cost: float | None = None
    highest_price: Extreme | None = None
    """The highest locational marginal price [$/MWh]."""
    baseline_highest_price: Extreme | None = None


class NotServed(Settings):
    """Load that could not be served: shed by a dispatch, or at buses without supply."""

    variable: str
    title: str
    energy_mwh: float
    baseline_energy_mwh: float | None = None


class Messages(Settings):
    """What a communications network did."""

    federate: str
    sent: int
    delivered: int
    dropped: int
    in_flight: int
    mean_latency_s: float | None = None
    """Over all messages that were delivered."""
    longest_latency_s: float | None = None
    latency_95: str | None = None
    """The latency class within which 95 % of the messages arrived."""


class Mismatch(Settings):
    """The worst disagreement on a boundary link."""

    link: str
    unit: str
    worst: Extreme
    tolerance: float

    @property
    def share(self) -> float:
        """Of the tolerance [1]."""
        return self.worst.value / self.tolerance


class Spell(Settings):
    """A time during which a perturbation acts."""

    onset: datetime
    end: datetime | None
    """None: to the end of what was recorded."""
    affected: int
    """The most devices or units at once."""


class Perturbation(Settings):
    """What a perturbation did."""

    name: str
    kind: str
    spells: tuple[Spell, ...]
    text: str
    """In one sentence."""


class Speed(Settings):
    """How fast it went."""

    simulated_s: float
    wall_s: float
    startup_s: float
    ratio: float | None
    """Simulated over wall time [1], without start-up."""
    slowest: str | None
    slowest_share: float | None
    """The slowest federate's own computing time over the wall time [1]."""
    peak_memory_mb: float | None


class Summary(Settings):
    """The figures of a run."""

    scenario: str
    description: str
    seed: int
    start: datetime
    duration_s: float
    trustworthy: bool
    verdict: str
    """In one line."""
    fault: str | None
    failed_checks: tuple[Check, ...]
    """Of the run, then of its twin, then of the run at half the step."""
    to_look_at: tuple[Check, ...] = ()
    """Physics of the run to look at: beyond what an engineer expects, which does not make it untrustworthy."""
    baseline_to_look_at: tuple[Check, ...] = ()
    """Likewise of the twin."""
    has_baseline: bool
    names: tuple[str, str] = UNDISTURBED
    """What the twin and the run are called."""
    loads: tuple[Load, ...]
    voltages: tuple[Voltage, ...]
    costs: tuple[Cost, ...]
    not_served: tuple[NotServed, ...]
    messages: tuple[Messages, ...]
    mismatches: tuple[Mismatch, ...]
    perturbations: tuple[Perturbation, ...]
    calibrated: tuple[str, ...] = ()
    """The calibrated parameters that it uses: fitted to what, with which error, from which data."""
    settings_given: tuple[str, ...] = ()
    """Settings given in place of the scenario file's, as `path=value`."""
    left_out: tuple[str, ...] = ()
    """What the scenario and its files hold and nobody uses."""
    window: WindowSummary | None = None
    """The event window, if there is one."""
    speed: Speed


def summarise(run: Run) -> Summary:
    """The figures of `run`, beside those of its twin. Raises ResultsError if it is no run."""
    recorded = Recorded(run)
    twin = None if run.baseline is None else Recorded(run.baseline)
    return summarise_recorded(recorded, twin)


def names_of(run: Recorded, twin: Recorded | None) -> tuple[str, str]:
    """What a twin and its run are called: that of an event window in which DER respond has them held."""
    return DER_HELD if differ_by_der(run, twin) else UNDISTURBED


def twin_called(names: tuple[str, str]) -> str:
    """What a twin is called in a sentence."""
    return "twin with DER held" if names == DER_HELD else "undisturbed twin"


def summarise_recorded(run: Recorded, twin: Recorded | None, twin_name: str | None = None) -> Summary:
    """As `summarise`, from what is already open; the twin may be any run to hold it against, with a name."""
    names = names_of(run, twin) if twin_name is None else UNDISTURBED
    half = None if run.run.half_step is None else Recorded(run.run.half_step)
    beside = {twin_name or twin_called(names): twin, "run at half the step": half}
    verdicts = {"": run.run.verdict} | {name: one.run.verdict for name, one in beside.items() if one is not None}
    scenario = run.run.manifest["scenario"]
    return Summary(
        scenario=run.federation["scenario"],
        description=scenario.get("description", ""),
        seed=run.federation["seed"],
        start=run.start,
        duration_s=duration_of(run) / 1e9,
        trustworthy=all(verdict.trustworthy for verdict in verdicts.values()),
        verdict=_verdict(verdicts),
        fault=next((verdict.fault for verdict in verdicts.values() if verdict.fault), None),
        failed_checks=tuple(check for verdict in verdicts.values() for check in verdict.failed),
        to_look_at=run.run.verdict.to_look_at,
        baseline_to_look_at=() if twin is None else twin.run.verdict.to_look_at,
        has_baseline=twin is not None,
        names=names,
        loads=tuple(_loads(run, twin)),
        voltages=tuple(_voltages(run, twin)),
        costs=tuple(_costs(run, twin)),
        not_served=tuple(_not_served(run, twin)),
        messages=tuple(_messages(run)),
        mismatches=tuple(_mismatches(run)),
        perturbations=tuple(_perturbations(run)),
        calibrated=tuple(
            f"{entry['federate']}: {entry['headline']}" for entry in run.run.manifest.get("calibrated", ())
        ),
        settings_given=tuple(run.run.manifest.get("set", ())),
        left_out=tuple(str(LeftOut.model_validate(entry)) for entry in run.federation.get("left_out", ())),
        window=summarise_window(run, twin, half),
        speed=_speed(run),
    )


def acting(run: Recorded, federate: str | None = None) -> tuple[Times, Flags]:
    """When any perturbation acts; empty without one.

    Of a `federate` count those that act on it by name, if there are any, else all but those that act on messages alone.
    """
    active = run.get(PERTURBATIONS, "active")
    if active is None:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=bool)
    names = next(iter(active.labels.values()))
    chosen = [name in _acting_on(run, federate, names) for name in names]
    acts: Flags = active.values.real[:, chosen].max(axis=1, initial=0.0) > 0.0
    return active.times, acts


def _acting_on(run: Recorded, federate: str | None, names: Collection[str]) -> Collection[str]:
    """Which perturbations count for a federate."""
    targets = run.settings(PERTURBATIONS).get("targets", ())
    if federate is None or not targets:
        return names
    own = {name for target in targets if target["federate"] == federate for name in target["perturbations"]}
    if own:
        return own
    return {name for target in targets if target["federate"] != run.carrier for name in target["perturbations"]}


def acting_spells(run: Recorded) -> list[measures.Spell]:
    """The stretches of time in which any perturbation acts."""
    return measures.spells(*acting(run))


def duration_of(run: Recorded) -> Time:
    """The horizon [ns]."""
    from cosim.units import parse

    return round(parse(run.federation["duration"], "s", bare=False) * 1e9)


def step_of(run: Recorded) -> Time:
    """The base step [ns]."""
    from cosim.units import parse

    return round(parse(run.federation["step"], "s", bare=False) * 1e9)


def hours_of(run: Recorded, times: Times) -> Floats:
    """How long [h] each value at `times` [ns] of a run holds."""
    return measures.held_hours(times, step_of(run), duration_of(run))


def _extreme(run: Recorded, found: measures.Extreme) -> Extreme:
    return Extreme(value=found.value, time=run.local(found.time), where=found.label)


def _highest(run: Recorded, times: Times, values: Floats) -> Extreme:
    position = int(values.argmax())
    return Extreme(value=float(values[position]), time=run.local(int(times[position])))


def _demand(run: Recorded, times: Times, power: Floats) -> Extreme:
    """The highest mean over 15 minutes."""
    edges = measures.hold_edges(times, step_of(run), duration_of(run))
    begins, means = measures.block_means(edges, measures.levels(edges, power), int(edges[0]), int(edges[-1]))
    return _highest(run, begins, means)


# ---------------------------------------------------------------------------------------- verdict


def _verdict(verdicts: Mapping[str, Verdict]) -> str:
    """Of the run, called "", and of what was run beside it."""
    checks = sum(len(verdict.checks) for verdict in verdicts.values())
    if all(verdict.trustworthy for verdict in verdicts.values()):
        included = " and ".join(f"the {name}'s" for name in verdicts if name)
        return f"can be trusted: all {checks} checks passed" + (f" ({included} included)" if included else "")
    parts = [
        f"{len(verdict.failed)} of {len(verdict.checks)} checks {f'of the {name} ' if name else ''}failed"
        for name, verdict in verdicts.items()
        if not verdict.trustworthy
    ]
    return f"cannot be trusted: {', '.join(parts)}"


# ------------------------------------------------------------------------------------ the figures


def _counterpart(twin: Recorded | None, variable: Variable) -> Variable | None:
    """The same variable of the twin, if it recorded it over the same elements and to the same end."""
    found = None if twin is None else twin.get(variable.group, variable.name)
    if found is None or found.labels != variable.labels or not found.times.size:
        return None
    return found if variable.times.size and found.times[-1] == variable.times[-1] else None


def _loads(run: Recorded, twin: Recorded | None) -> Iterator[Load]:
    for variable in [*run.powers, *run.loads]:
        if not variable.times.size:
            continue
        title = f"load of {variable.group}" if variable in run.loads else f"power of {variable.group}"
        power = variable.total_power()
        values: dict[str, Any] = {
            "federate": variable.group,
            "title": title,
            "peak_mw": _highest(run, variable.times, power),
            "peak_demand_mw": _demand(run, variable.times, power),
            "energy_mwh": measures.energy(power, hours_of(run, variable.times)),
        }
        other = _counterpart(twin, variable)
        if twin is not None and other is not None:
            before = other.total_power()
            values["baseline_peak_mw"] = _highest(twin, other.times, before)
            values["baseline_energy_mwh"] = measures.energy(before, hours_of(twin, other.times))
            if not in_window_only(variable.group) and names_of(run, twin) == UNDISTURBED:
                values |= _trip(run, variable, power, other.times, before)
        yield Load(**values)


def in_window_only(group: str) -> bool:
    """Whether a federate is of an event window: what it draws for some milliseconds is neither shed nor a rebound."""
    return group == DYNAMICS or group.endswith(window_name(""))


def _trip(run: Recorded, variable: Variable, power: Floats, other: Times, before: Floats) -> dict[str, Any]:
    """What was shed and came back, over the times that both recorded."""
    common, ours, theirs = np.intersect1d(variable.times, other, assume_unique=True, return_indices=True)
    disturbed, baseline = power[ours], before[theirs]
    drawn = measures.energy(np.abs(baseline), hours_of(run, common))
    dark = (np.abs(disturbed) <= ROUNDING * np.abs(baseline)) & (baseline != 0.0)  # whatever took its supply
    out = measures.holds_at(*acting(run, variable.group), common) | dark
    edges = measures.hold_edges(common, step_of(run), duration_of(run))
    found = rebound.rebound_of(edges, disturbed - baseline, out)
    if found is None:
        return {}
    if abs(found.shed) <= ROUNDING * max(drawn, ROUNDING):
        return {"shed_mwh": 0.0}
    values: dict[str, Any] = {"shed_mwh": found.shed, "shed_noise_mwh": found.shed_noise, "rebound_ended": found.ended}
    if found.energy is not None:
        told = found.shed > (found.shed_noise or 0.0)
        values |= {
            "rebound_mwh": found.energy,
            "rebound_noise_mwh": found.noise,
            "rebound_share": found.energy / found.shed if told else None,
            "rebound_from": run.local(found.returns[-1].first),
            "rebound_until": run.local(found.returns[-1].end),
            "after_return_mwh": found.to_end,
            "later_mwh": None if found.to_end is None else found.to_end - found.returns[-1].energy,
        }
    if found.peak is not None:
        values["rebound_peak_mw"] = Extreme(value=found.peak.power, time=run.local(found.peak.time))
        values["rebound_peak_noise_mw"] = found.peak.noise
    return values


def _voltages(run: Recorded, twin: Recorded | None) -> Iterator[Voltage]:
    for variable in run.voltages:
        found = measures.lowest_and_highest(variable)
        if found is None:
            continue
        values: dict[str, Any] = {"lowest_pu": _extreme(run, found[0]), "highest_pu": _extreme(run, found[1])}
        other = _counterpart(twin, variable)
        before = None if other is None else measures.lowest_and_highest(other)
        if twin is not None and before is not None:
            values["baseline_lowest_pu"] = _extreme(twin, before[0])
            values["baseline_highest_pu"] = _extreme(twin, before[1])
        yield Voltage(federate=variable.group, variable=variable.name, **values)


def _costs(run: Recorded, twin: Recorded | None) -> Iterator[Cost]:
    for group in run.groups:
        variable = run.get(group, "cost")
        if variable is None or variable.unit != "$/h" or not variable.times.size:
            continue
        values: dict[str, Any] = {"cost": _integral(run, variable), "highest_price": _highest_price(run, group)}
        other = _counterpart(twin, variable)
        if twin is not None and other is not None:
            values |= {
                "baseline_cost": _integral(twin, other),
                "baseline_highest_price": _highest_price(twin, group),
            }
        yield Cost(federate=group, **values)


def _integral(run: Recorded, variable: Variable) -> float:
    """Integral over the run of the sum over all elements."""
    values = variable.values.real.reshape(variable.times.size, -1).sum(axis=1)
    return float(values @ hours_of(run, variable.times))


def _highest_price(run: Recorded, group: str) -> Extreme | None:
    price = run.get(group, "lmp")
    if price is None or not price.times.size:
        return None
    values = price.values.real
    row, column = divmod(int(values.argmax()), values.shape[1])
    label = next(iter(price.labels.values()))[column]
    return Extreme(value=float(values[row, column]), time=run.local(int(price.times[row])), where=label)


def _not_served(run: Recorded, twin: Recorded | None) -> Iterator[NotServed]:
    """What a grid carried out; only where there is none, what a dispatch ordered."""
    grids = [variables for variables in run.groups.values() if "unserved_load" in variables]
    for variables in grids or run.groups.values():
        for name in ("load_shed", "unserved_load"):
            variable = variables.get(name)
            if variable is None or variable.unit != "MW":
                continue
            other = _counterpart(twin, variable)
            yield NotServed(
                variable=variable.key,
                title=variable.title,
                energy_mwh=_integral(run, variable),
                baseline_energy_mwh=None if twin is None or other is None else _integral(twin, other),
            )


def _messages(run: Recorded) -> Iterator[Messages]:
    for group in run.having("sent", "delivered", "dropped", "in_flight"):
        variables = run.groups[group]
        if not variables["sent"].times.size:
            continue
        last: dict[str, Any] = {
            name: int(variables[name].values[-1].sum()) for name in ("sent", "delivered", "dropped", "in_flight")
        }
        latency: dict[str, Any] = {}
        if last["delivered"] and "latency_mean" in variables:
            now = np.diff(variables["delivered"].values, axis=0, prepend=0.0)
            total = float((variables["latency_mean"].values * now).sum())
            latency["mean_latency_s"] = total / last["delivered"]
        if last["delivered"] and "latency_max" in variables:
            latency["longest_latency_s"] = float(variables["latency_max"].values.max())
        if last["delivered"] and "latency_histogram" in variables:
            histogram = variables["latency_histogram"]
            share = np.cumsum(histogram.values[-1].sum(axis=0)) / last["delivered"]
            latency["latency_95"] = list(histogram.labels.values())[-1][int(np.argmax(share >= 0.95))]
        yield Messages(federate=group, **last, **latency)


def mismatch_of(variable: Variable) -> tuple[Times, Floats]:
    """A boundary link's mismatch."""
    times, values = variable.times, variable.values.real
    known = np.isfinite(values)  # where a run ended early not both of its ends had solved
    return times[known], values[known]


def _mismatches(run: Recorded) -> Iterator[Mismatch]:
    for key, variable in run.coupling.items():
        if "tolerance" not in variable.attributes:
            continue
        times, values = mismatch_of(variable)
        if times.size:
            yield Mismatch(
                link=key,
                unit=variable.unit,
                worst=_highest(run, times, values),
                tolerance=float(variable.attributes["tolerance"]),
            )


def _speed(run: Recorded) -> Speed:
    timings = run.run.manifest["timings"]
    wall, busy = timings["simulation_s"], timings["busy_s"]
    slowest = max(busy, key=lambda name: busy[name], default=None)
    complete = not run.run.verdict.fault
    simulated = duration_of(run) if complete else min(duration_of(run), run.reached + step_of(run))
    return Speed(
        simulated_s=simulated / 1e9,
        wall_s=wall,
        startup_s=timings["startup_s"],
        ratio=simulated / 1e9 / wall if wall > 0 else None,
        slowest=slowest,
        # the supervisor saw the first step up to one look after it began
        slowest_share=min(busy[slowest] / wall, 1.0) if slowest is not None and wall > 0 else None,
        peak_memory_mb=timings.get("peak_memory_MB"),
    )


# ---------------------------------------------------------------------------------- perturbations


def _perturbations(run: Recorded) -> Iterator[Perturbation]:
    active, affected = run.get(PERTURBATIONS, "active"), run.get(PERTURBATIONS, "affected")
    for number, settings in enumerate(run.settings(PERTURBATIONS).get("perturbations", ())):
        found: list[Spell] = []
        if active is not None and affected is not None:
            count = affected.values.real[:, number]
            for spell in measures.spells(active.times, active.values.real[:, number] > 0):
                inside = (active.times >= spell.first) & (active.times < (spell.end or active.times[-1] + 1))
                end = None if spell.end is None else run.local(spell.end)
                found.append(Spell(onset=run.local(spell.first), end=end, affected=int(count[inside].max())))
        yield Perturbation(
            name=settings["name"],
            kind=settings["kind"],
            spells=tuple(found),
            text=_happened(run, settings, found),
        )


def _happened(run: Recorded, settings: Mapping[str, Any], found: list[Spell]) -> str:
    if not found:
        ended = "" if not run.run.verdict.fault else " before the run ended"
        return f"{_never(run, settings)}{ended}: nothing tripped"
    return "; ".join(
        f"set in at {clock(run, spell.onset)}, {_what(settings, spell.affected)} " + _how_long(run, spell)
        for spell in found
    )


def _how_long(run: Recorded, spell: Spell) -> str:
    if spell.end is None:
        return "to the end"
    lasting = spell.end - spell.onset
    if lasting < timedelta(seconds=10):
        return "for " + format_duration(round(lasting / timedelta(microseconds=1)) * 1000)
    return "until " + clock(run, spell.end)


def _never(run: Recorded, settings: Mapping[str, Any]) -> str:
    """Why nothing tripped, and how near it came."""
    condition = settings.get("condition")
    if condition is None:
        return "did not set in"
    bounds = [
        (condition[name], words, extreme, nearest)
        for name, words, extreme, nearest in (
            ("temperature_at_least", "or more", "highest", np.max),
            ("temperature_at_most", "or less", "lowest", np.min),
        )
        if condition.get(name) is not None
    ]
    if not bounds:
        return "condition never met"
    felt = [
        variables["temperature"].values.real
        for variables in run.groups.values()
        if "temperature" in variables
        and variables["temperature"].unit == "degC"
        and variables["temperature"].times.size
    ]
    held = condition.get("held_for", "0 s")
    needs = " and ".join(f"{bound:g} °C {words}" for bound, words, _, _ in bounds)
    needs += "" if held.startswith("0 ") else f" for {held}"
    came = [f", {extreme} {nearest(np.concatenate(felt)):.1f} °C" for _, _, extreme, nearest in bounds if felt]
    return f"condition never met (needs {needs}{''.join(came)})"


def _what(settings: Mapping[str, Any], affected: int) -> str:
    devices = settings.get("devices")
    if devices:
        nouns = [NOUNS.get(device, device) for device in devices]
        return f"{affected} {nouns[0]} out" if len(nouns) == 1 else f"{affected} devices ({', '.join(nouns)}) out"
    named = [f"{target} {settings[target]}" for target in TARGETS if target in settings]
    change = settings.get("power")
    effect = EFFECTS.get(settings["kind"], "out") if change is None else f"load changed by {change:+g} MW"
    return f"{named[0]} {effect}" if named else f"{affected} affected"


def clock(run: Recorded, time: datetime) -> str:
    """A time of day, with the day where the run spans several."""
    return clock_text(time, run.start, timedelta(microseconds=duration_of(run) / 1000))


def clock_text(time: datetime, start: datetime, duration: timedelta) -> str:
    """`time` as 13:40; with its day if the run of `duration` leaves the day of its `start`; seconds only if any."""
    same_day = (start + duration - timedelta(microseconds=1)).date() == start.date()
    text = time.strftime("%H:%M:%S" if time.second or time.microsecond else "%H:%M")
    if time.microsecond:
        text += f".{time.microsecond // 1000:03}".rstrip("0")
    return text if same_day and time.date() == start.date() else f"{time.day} {time:%b} {text}"


# ------------------------------------------------------------------------------- in the terminal


def print_summary(summary: Summary, console: Console) -> None:
    """Print it on one screen: at most 24 lines, and as many as an event window needs."""
    from rich.table import Table
    from rich.text import Text

    badge = Text(
        " GOOD " if summary.trustworthy else " BAD ", "bold white on " + ("green" if summary.trustworthy else "red")
    )
    start = f"{summary.start:%a} {summary.start.day} {summary.start:%b %Y %H:%M}"
    duration = format_duration(round(summary.duration_s * 1e9))
    console.print(Text.assemble((summary.scenario, "bold"), f"  {start}, {duration}, seed {summary.seed}"))
    console.print(Text.assemble(badge, f" {summary.verdict}"))
    failed = Table.grid(padding=(0, 1))  # wrapped: the value, the limit and what to do stand at the end
    failed.add_column(style="red", no_wrap=True)
    failed.add_column(style="red", overflow="fold")
    lines = [check.text for check in summary.failed_checks if check.detail != summary.fault]
    for line in _at_most(lines, "failed checks"):
        failed.add_row("  ✘", Text(line))
    if failed.row_count:
        console.print(failed)
    seen = list(look_at_lines(summary))
    if seen:
        looked = Table.grid(padding=(0, 1))
        looked.add_column(style="yellow", no_wrap=True)
        looked.add_column(style="yellow", overflow="fold")
        for line in _at_most(seen, "in verdict.json and the report"):
            looked.add_row("Look at", Text(line))
        console.print(looked)
    for line in _at_most([f"{p.kind} '{p.name}': {p.text}" for p in summary.perturbations], "perturbations"):
        console.print(Text(line, "yellow"), no_wrap=True, overflow="ellipsis")
    table = Table(box=None, pad_edge=False, header_style="dim", show_header=summary.has_baseline)
    for heading in ("", *summary.names) if summary.has_baseline else ("", ""):
        table.add_column(heading, no_wrap=True, overflow="ellipsis")
    for row in figure_rows(summary):
        cells = row if summary.has_baseline else (row[0], row[2])
        table.add_row(*(Text(cell) for cell in cells))
    if table.row_count:
        console.print(table)
    if summary.window is not None:
        told = Table(box=None, pad_edge=False, show_header=False)
        told.add_column(no_wrap=True, style="dim")
        told.add_column()
        for name, text in window_rows(summary.window):
            told.add_row(name, Text(text))
        console.print(told)
    for name, text in remark_rows(summary):
        console.print(Text.assemble((f"{name}  ", "dim"), text), no_wrap=True, overflow="ellipsis")


def look_at_lines(summary: Summary) -> Iterator[str]:
    """Physics to look at, in words: of the run, and what only its twin has."""
    ours, theirs = ({check.name for check in found} for found in (summary.to_look_at, summary.baseline_to_look_at))
    twin = twin_called(summary.names)
    for check in summary.to_look_at:
        yield check.text + (f" (the {twin} too)" if check.name in theirs else "")
    for check in summary.baseline_to_look_at:
        if check.name not in ours:
            yield f"{check.text} (the {twin} only)"


def _at_most(lines: list[str], noun: str) -> list[str]:
    """The first few, the last of them saying how many more there are."""
    more = len(lines) - SHOWN + 1
    return lines if more <= 1 else [*lines[: SHOWN - 1], f"and {more} more {noun}"]


def figure_rows(summary: Summary) -> Iterator[tuple[str, str, str]]:
    """What is measured, its value without and with the disturbance; of each kind the largest few."""

    def when(extreme: Extreme) -> str:
        return clock_text(extreme.time, summary.start, timedelta(seconds=summary.duration_s))

    def at(extreme: Extreme | None, digits: str) -> str:
        if extreme is None:
            return ""
        where = f" at {extreme.where}" if extreme.where else ""
        return f"{extreme.value:{digits}}{where}, {when(extreme)}"

    for load in sorted(summary.loads, key=lambda load: load.order)[:SHOWN]:
        yield f"Peak {load.title} [MW]", at(load.baseline_peak_mw, ",.4g"), at(load.peak_mw, ",.4g")
    for voltage in _by_distance(summary)[: SHOWN - 1]:
        before, name = voltage.baseline_lowest_pu, f"voltage {voltage.federate} [pu]"
        yield f"Lowest {name}", at(before, ".3f"), at(voltage.lowest_pu, ".3f")
        if voltage.highest_pu.value > RANGE_A[1]:
            yield f"Highest {name}", at(voltage.baseline_highest_pu, ".3f"), at(voltage.highest_pu, ".3f")
    if summary.costs:
        cost = sum(entry.cost for entry in summary.costs)
        before_cost = total_of(entry.baseline_cost for entry in summary.costs)
        change = "" if before_cost is None else f" ({cost - before_cost:+,.0f})"
        yield "Cost of dispatch [$]", "" if before_cost is None else f"{before_cost:,.0f}", f"{cost:,.0f}{change}"
    if summary.not_served:
        total = sum(entry.energy_mwh for entry in summary.not_served)
        before_total = total_of(entry.baseline_energy_mwh for entry in summary.not_served)
        yield "Energy not served [MWh]", "" if before_total is None else f"{before_total:,.3g}", f"{total:,.3g}"


def total_of(values: Iterable[float | None]) -> float | None:
    """The sum; None if any is not known, as of a twin that ended early."""
    found = list(values)
    return None if None in found else sum(value for value in found if value is not None)


def _by_shed(summary: Summary) -> list[Load]:
    return sorted((load for load in summary.loads if load.was_hit), key=lambda load: load.order)


def _by_distance(summary: Summary) -> list[Voltage]:
    return sorted(summary.voltages, key=lambda voltage: -abs(voltage.worst.value - 1.0))


#: What is said of a rebound that was not followed to its end.
UNFINISHED: Mapping[rebound.Ended, str] = {
    "the run ended": "not over at the end of the run",
    "the next trip began": "not over when the next trip began",
    "still out": "still out at the end of the run",
}


def trip_text(load: Load, when: Callable[[datetime], str]) -> str:
    """What was shed and came back, in a few words; `when` writes a time."""
    shed, unfinished = load.shed_mwh or 0.0, UNFINISHED.get(load.rebound_ended or "over")
    text = energy_text(abs(shed)) + (" drawn on top" if shed < 0.0 else "")
    text += "" if unfinished is None else f", {unfinished}"
    if load.rebound_mwh is not None and load.rebound_until is not None:
        back = noisy_text(load.rebound_mwh, load.rebound_noise_mwh)
        share = "" if load.rebound_share is None else f" ({load.rebound_share:.0%})"
        text += f", {back} came back by {when(load.rebound_until)}{share}"
    peak = load.rebound_peak_mw
    return text if peak is None else f"{text}, 15-min peak +{power_text(peak.value)} at {when(peak.time)}"


def noisy_text(energy: float, noise: float | None) -> str:
    """An energy [MWh] with its noise, to as many digits as that leaves: 96 ± 11 kWh."""
    if not noise:
        return energy_text(energy)
    factor, unit = (1e3, "kWh") if max(abs(energy), noise) < 1.0 else (1.0, "MWh")
    digits = max(0, 1 - math.floor(math.log10(noise * factor)))
    return f"{energy * factor:,.{digits}f} ± {noise * factor:,.{digits}f} {unit}"


def power_text(power: float) -> str:
    """A power [MW] in the unit that suits it."""
    return f"{power * 1e3:,.4g} kW" if abs(power) < 1.0 else f"{power:,.4g} MW"


def energy_text(energy: float) -> str:
    """An energy [MWh] in the unit that suits it."""
    return f"{energy * 1e3:,.4g} kWh" if abs(energy) < 1.0 else f"{energy:,.4g} MWh"


def remark_rows(summary: Summary) -> Iterator[tuple[str, str]]:
    """What was shed, messages, boundary and speed: a name and a line each."""

    def moment(time: datetime) -> str:
        return clock_text(time, summary.start, timedelta(seconds=summary.duration_s))

    for load in _by_shed(summary)[: SHOWN - 1]:
        yield "Shed", f"{load.federate} {trip_text(load, moment)}"
    for messages in summary.messages:
        text = f"{messages.delivered:,} delivered, {messages.dropped:,} dropped"
        if messages.mean_latency_s is not None:
            text += f"; latency {seconds(messages.mean_latency_s)} on average"
        if messages.longest_latency_s is not None:
            text += f", {seconds(messages.longest_latency_s)} at most"
        yield "Messages", text
    if summary.mismatches:
        worst = max(summary.mismatches, key=lambda mismatch: mismatch.share)
        size = f"{worst.worst.value:.3g} of {worst.tolerance:g} {worst.unit}, {moment(worst.worst.time)}"
        yield "Boundary", f"mismatch at most {size} ({worst.link})"
    for line in _at_most(list(summary.calibrated), "calibrated inputs"):
        yield "Calibrated", line
    for line in _at_most(list(summary.settings_given), "settings given"):
        yield "Set", line
    for line in _at_most(list(summary.left_out), "things that nobody uses"):
        yield "Not used", line
    speed = summary.speed
    text = f"{speed.simulated_s / 3600:,.4g} h in {speed.wall_s:,.3g} s after {speed.startup_s:,.3g} s of start-up"
    if speed.ratio is not None:
        text += f", {speed.ratio:,.0f} x real time"
    if speed.slowest is not None and speed.slowest_share is not None:
        text += f"; slowest: {speed.slowest} ({speed.slowest_share:.0%})"
    yield "Speed", text


def seconds(value: float) -> str:
    """A duration [s] in a unit that suits it."""
    if value >= 1.0:
        return f"{value:.3g} s"
    return f"{value * 1e3:.3g} ms" if value >= 1e-3 else f"{value * 1e6:.3g} µs"


__all__ = ["Summary", "print_summary", "summarise"]
