"""The equivalent of a feeder, fitted to detailed runs of it and scored on days, homes and a trip that it never saw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

import cosim
from cosim.calibrated import Criterion, Parameter, Score
from cosim.errors import Fault, ResultsError, SolverError
from cosim.federation import Federation
from cosim.manifest import scenario_hash
from cosim.scenario import Scenario
from cosim.seeds import generator
from cosim.settings import InputFile, Settings
from cosim.simulation import Run
from cosim.site import needed
from feeders.equivalents import (
    NAMES,
    Equivalent,
    Outputs,
    RunningEquivalent,
    Sun,
    plan,
    sun_path,
)
from feeders.homes import HomeDistributions
from feeders.neighbourhood import Inputs, Neighbourhood, Weather
from feeders.time_tables import grid
from runs.calibrate.target import Figure, Outcome, Target, Task
from runs.rebound import rebound_of

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]
Bools = NDArray[np.bool_]

DETAILED = "gridlabd_feeder"
PLACING = ("per_transformer", "power_per_home", "nodes")
WEATHER = ("temperature", "relative_humidity", "wind_speed", "ghi", "dni", "dhi")
BLOCK = 30  #: [min] means of so long are fitted: thermostats switch by chance within it
HOUR = 3600 * 10**9
ANEW = "feeder with other homes"  #: a name under which other homes are drawn

#: Unit, bounds and meaning of each parameter.
MEANING = {
    "load_voltage": ("pu", 0.8, 1.2, "voltage of the loads while the head is at 1 pu"),
    "voltage_reach": (
        "1",
        -1.0,
        1.5,
        "share of a change of the head's voltage that passes the regulators",
    ),
    "losses": ("1", 0.0, 0.5, "losses of a phase per square of its power [1/MVA]"),
    "reactance": ("1", 0.0, 1.0, "reactive losses of a phase per square of its power [1/MVA]"),
    "shunt": ("Mvar", 0.0, 5.0, "reactive power that capacitors give at 1 pu"),
    "cooling": ("1", 0.5, 1.5, "factor on the heat that air conditioners remove"),
    "solar_gain": ("1", 0.0, 4.0, "factor on the heat that the sun brings into the homes"),
    "pv": ("1", 0.3, 1.2, "factor on the power of the roofs"),
}


@dataclass(frozen=True)
class History:
    """A detailed feeder's run: what acted on it and what it drew, over time (n)."""

    feeder: str
    neighbourhood: Neighbourhood  #: with the same homes
    others: Neighbourhood  #: with homes of the same distributions, drawn anew
    start: datetime
    step: int  #: [ns]
    warm_up: int  #: [ns]
    voltage: Floats  #: (n) [pu]
    weather: Floats  #: (n, 6) in the order of WEATHER
    scale: Floats  #: (n) [1]
    available: Bools  #: (n, 4, homes)
    sun: Sequence[Sun]
    power: Complexes  #: (n, 3) at the head [MVA]
    hvac: Floats  #: (n) of all homes [kW]
    pv: Floats  #: (n) of all homes [kW]
    homes: Floats  #: (n, homes) at their meters [kW]
    vehicles: Floats  #: (n, homes) charging [kW]
    losses: Floats  #: (n) [MW]

    @property
    def times(self) -> NDArray[np.int64]:
        return np.arange(len(self.voltage), dtype=np.int64) * self.step


class FeederEquivalent(Target):
    """The parameters of the kind equivalent_feeder, from runs of the detailed feeder.

    The runs are made where they are missing. Fitted are means over 30 minutes, by least squares, each parameter to what
    the detailed feeder recorded of its part: what air conditioners draw, roofs give, the static load, losses, and the
    reactive power at the head. The active power at the head, which counts in a larger grid, is scored.
    """

    objectives: ClassVar[Mapping[str, str]] = {
        "least squares": "of means over 30 minutes of each part of the feeder that was recorded",
    }
    baselines: ClassVar[Mapping[str, str]] = {
        "degree-hour regression": "the head's power as a linear function of load scale, degree hours and sun",
    }

    class Config(Settings):
        """Settings of the target."""

        fit: tuple[InputFile, ...] = Field(min_length=1)
        """Scenarios with one detailed feeder (kind gridlabd_feeder), to fit to."""
        held_out: tuple[InputFile, ...] = Field(min_length=1)
        """Scenarios to score on; one with a trip of devices is scored on what the trip sheds and what returns too."""

    config: FeederEquivalent.Config

    def check(self, task: Task) -> Sequence[Fault]:
        """Each scenario must have one detailed feeder, recorded, and nothing of a held-out one may be fitted to."""
        faults = []
        for field in ("fit", "held_out"):
            for number, path in enumerate(getattr(self.config, field)):
                place = task.file.document.place(("target", field, number))
                scenario = cosim.load(path)
                if [feeder.model.kind for feeder in scenario.feeders] != [DETAILED]:
                    faults.append(Fault(place, f"must have one feeder of kind {DETAILED}.", "Change the scenario."))
                if any("glm" in feeder.model.settings for feeder in scenario.feeders):
                    problem = (
                        "its feeder is a GridLAB-D model of your own, of which no equivalent is made: it keeps homes."
                    )
                    faults.append(Fault(place, problem, "Take a published feeder, or run the model itself."))
                for name in ("population", "ev_population"):
                    if any(name in feeder.model.settings.get("homes", {}) for feeder in scenario.feeders):
                        problem = f"its homes are drawn with `{name}`, which the equivalent does not know."
                        faults.append(Fault(place, problem, "Leave it out."))
                if field == "held_out" and any(_overlap(scenario, cosim.load(other)) for other in self.config.fit):
                    problem = "its days and homes are among those that are fitted to."
                    faults.append(Fault(place, problem, "Give it other days or another seed."))
        return faults

    def calibrate(self, task: Task) -> Outcome:
        """Make the runs, fit, score."""
        fitted = [_history(run) for path in self.config.fit for run in _runs(task, path)]
        held = [list(map(_history, _runs(task, path))) for path in self.config.held_out]
        feeders = {history.feeder for history in [*fitted, *(one for group in held for one in group)]}
        if len(feeders) > 1:
            raise SolverError(f"the scenarios have different feeders ({', '.join(sorted(feeders))}); fit one at a time")
        task.progress("fitting")
        parameters, warnings = _fit(fitted, task)
        task.progress("scoring")
        best = Equivalent(**{name: float(parameters[name].array) for name in NAMES})
        scores: list[Score] = []
        figures: list[Figure] = []
        regression = _DegreeHours(fitted)
        for history in fitted:
            scores += _accuracy("fit", history, simulate(history, best), regression)
        for group in held:
            undisturbed = group[-1]
            drawn = simulate(undisturbed, best)
            scores += _accuracy("held-out", undisturbed, drawn, regression)
            scores += _other_homes(undisturbed, best)
            figures.append(_figure("Held-out days", undisturbed, drawn))
            if len(group) > 1:
                disturbed = simulate(group[0], best)
                scores += _trip(group[0], undisturbed, disturbed, drawn)
                figures.append(_figure("Held-out days with the trip", group[0], disturbed))
        return Outcome(
            parameters=parameters,
            structure={"feeder": feeders.pop(), "homes_of_the_fit": len(fitted[0].neighbourhood.homes)},
            fitted=f"runs of the detailed feeder: {_named(self.config.fit)}",
            held_out=f"runs on other days and with other homes: {_named(self.config.held_out)}",
            scores=scores,
            figures=figures,
            warnings=warnings,
        )


# ----------------------------------------------------------------------------------- the detailed runs


def _runs(task: Task, path: Path) -> list[Run]:
    """The run of a scenario, then its undisturbed twin if it has one; an earlier run of the same scenario serves."""
    scenario = cosim.load(path)
    folder = task.folder / "detailed" / scenario.name
    try:
        run = cosim.open(folder)
        same = run.manifest["scenario_sha256"] == scenario_hash(scenario) and run.trustworthy
    except ResultsError:
        same = False
    if not same:
        task.progress(f"running the detailed feeder: {scenario.name}")
        run = cosim.run(scenario, folder, overwrite=folder.exists())
    if not run.trustworthy:
        raise SolverError(f"the detailed run in {folder} cannot be trusted; look at its verdict")
    return [run] if run.baseline is None else [run, run.baseline]


def _overlap(one: Scenario, two: Scenario) -> bool:
    """Whether two scenarios have common days and the same homes."""
    ends = [np.datetime64(s.horizon.start, "ns") + np.timedelta64(s.horizon.duration, "ns") for s in (one, two)]
    starts = [np.datetime64(s.horizon.start, "ns") for s in (one, two)]
    return one.seed == two.seed and bool(max(starts) < min(ends))


def _history(run: Run) -> History:
    """Read what the detailed feeder of a run met and did."""
    federation = Federation.model_validate(run.manifest["federation"])
    spec = next(entry for entry in federation.federates if entry.kind == DETAILED)
    context, settings = federation.context(spec.name), spec.settings
    found = run.results[spec.name].ds
    instants = grid(context.start, context.duration, context.step)[:-1]  # it holds the end too
    count = len(instants)

    def given(port: str) -> Any:
        """The input `port` over time: what the linked output was."""
        link = next((item for item in federation.links_to(spec.name) if item.destination.port == port), None)
        return None if link is None else run.results[link.source.federate].ds[link.source.port].values

    homes = settings["homes"]
    drawn = {field.name: homes[field.name] for field in fields(HomeDistributions) if field.name in homes}
    placing = {name: homes[name] for name in PLACING}

    def neighbourhood(name: str) -> Neighbourhood:
        random = generator(context.seed, name, "homes")
        return plan(settings["feeder"], homes["count"], HomeDistributions(**drawn), random, **placing)

    voltage, scale, available = given("head_voltage"), given("load_scale"), given("device_available")
    same = neighbourhood(spec.name)
    built = federation.build(spec)
    site = needed(built.config, spec.name, "homes see the sun")
    own = same.homes  # what a home has not cannot be held back
    there = np.stack([own.thermostat, own.ev_power > 0, own.water_power > 0, np.ones(len(own), bool)])
    return History(
        feeder=settings["feeder"],
        neighbourhood=same,
        others=neighbourhood(ANEW),
        start=context.start,
        step=context.step,
        warm_up=int(built.config.warm_up),
        voltage=np.ones(count) if voltage is None else np.abs(voltage),
        weather=np.stack([given(name) for name in WEATHER], axis=1),
        scale=np.ones(count) if scale is None else scale,
        available=np.ones((count, *there.shape), bool) if available is None else (available > 0.5) | ~there,
        sun=sun_path(instants, site.latitude, site.longitude, site.utc_offset),
        power=found["power"].values,
        hvac=found["hvac_power"].values.sum(axis=1),
        pv=found["pv_power"].values.sum(axis=1),
        homes=found["home_power"].values,
        vehicles=found["ev_power"].values,
        losses=found["losses"].values,
    )


# -------------------------------------------------------------------------------- the equivalent's answer


@dataclass(frozen=True)
class Answer:
    """What the equivalent does under a history, over time (n)."""

    power: Complexes  #: (n, 3) [MVA]
    hvac: Floats  #: of all homes [kW]


def simulate(history: History, parameters: Equivalent) -> Answer:
    """The equivalent under what acted on the detailed feeder."""
    model = RunningEquivalent(history.neighbourhood, parameters, history.step / 1e9)
    weather = [Weather(*row) for row in history.weather.tolist()]
    hours = _hours_of_day(history).tolist()

    def inputs(k: int) -> Inputs:
        return Inputs(float(history.voltage[k]), weather[k], float(history.scale[k]), *history.available[k])

    state = model.warmed_up(hours[0], history.sun[0], inputs(0), history.warm_up // history.step)
    found: list[Outputs] = []
    for k, hour in enumerate(hours):
        found.append(model.solve(state, hour, history.sun[k], inputs(k)))
        state = model.after(state, hour, inputs(k), found[-1])
    return Answer(
        power=np.array([one.power for one in found]),
        hvac=np.array([one.hvac_power.sum() for one in found]),
    )


# --------------------------------------------------------------------------------------------- the fit

#: What is fitted to what, one after the other: each to the series of the detailed run that depends on it most.
STAGES = (
    (("cooling", "solar_gain"), "hvac"),
    (("pv",), "pv"),
    (("load_voltage", "voltage_reach"), "static load"),
    (("losses",), "losses"),
    (("reactance", "shunt"), "reactive power"),
)


def _fit(histories: Sequence[History], task: Task) -> tuple[dict[str, Parameter], list[str]]:
    """Least squares, stage by stage; intervals from the curvature, widened for residuals that last."""
    best = Equivalent()
    found: dict[str, Parameter] = {}
    warnings: list[str] = []
    for names, series in STAGES:
        task.progress(f"fitting {', '.join(names)} to {series}")
        stage = _fit_stage(histories, best, names, series)
        found |= stage
        best = replace(best, **{name: float(stage[name].array) for name in names})
        for name, parameter in stage.items():
            if not parameter.identified and parameter.interval is not None:
                low, high = parameter.interval
                warnings.append(f"{name} is not determined by the data: {low:.3g} to {high:.3g}")
    return {name: found[name] for name in NAMES}, warnings


def _fit_stage(
    histories: Sequence[History], start: Equivalent, names: Sequence[str], series: str
) -> dict[str, Parameter]:
    """Fit the parameters `names`, all others as in `start`, to one series."""
    from scipy.optimize import least_squares

    low, high = (np.array([MEANING[name][bound] for name in names], dtype=float) for bound in (1, 2))
    begin = np.array([getattr(start, name) for name in names])

    def residuals(values: Floats) -> Floats:
        trial = replace(start, **dict(zip(names, values.tolist(), strict=True)))
        parts = []
        for history in histories:
            mine, theirs = _series(history, trial, series)
            parts.append(_means(history, mine) - _means(history, theirs))
        return np.concatenate(parts)

    # Thermostats make the error a rough function of the parameters: differences over small steps would see noise.
    step = 0.04 if series == "hvac" else 1e-4
    result = least_squares(
        residuals, begin, bounds=(low, high), x_scale=np.maximum(np.abs(begin), 0.1), diff_step=step, max_nfev=15
    )
    degrees = max(len(result.fun) - len(names), 1)
    lasting = float(np.clip(np.corrcoef(result.fun[:-1], result.fun[1:])[0, 1], 0.0, 0.95))
    covariance = np.linalg.pinv(result.jac.T @ result.jac) * float(result.fun @ result.fun) / degrees
    covariance *= (1 + lasting) / (1 - lasting)
    spread = np.sqrt(np.diag(covariance))
    correlation = covariance / np.outer(spread, spread)
    np.fill_diagonal(correlation, 0.0)
    fitted = {}
    for k, name in enumerate(names):
        unit, least, most, words = MEANING[name]
        value, half = float(result.x[k]), 1.96 * float(spread[k])
        confused = [names[j] for j in np.flatnonzero(np.abs(correlation[k]) > 0.95).tolist()]
        fitted[name] = Parameter(
            value=round(value, 6),
            unit=unit,
            interval=(round(value - half, 6), round(value + half, 6)),
            identified=half < 0.25 * (most - least) and not confused,
            note=words + (f"; cannot be told from {', '.join(confused)}" if confused else ""),
        )
    return fitted


def _series(history: History, trial: Equivalent, series: str) -> tuple[Floats, Floats]:
    """A series of the equivalent and the detailed feeder's own, (n) each.

    What the network's parameters are fitted to takes the homes from the detailed run: they are not at fault for them.
    """
    if series == "hvac":
        return simulate(history, trial).hvac, history.hvac
    model = RunningEquivalent(history.neighbourhood, trial, history.step / 1e9)
    if series == "pv":
        mine = [model.roofs(sun, Weather(*row)).sum() for sun, row in zip(history.sun, history.weather, strict=True)]
        return np.array(mine), history.pv
    spot = np.array([model.spot_load(v, scale) for v, scale in zip(history.voltage, history.scale, strict=True)])
    static = history.power.sum(axis=1).real - history.losses - history.homes.sum(axis=1) / 1e3
    if series == "static load":
        return spot.sum(axis=1).real, static
    delivered = spot + model.at_homes(history.homes, history.vehicles, _hours_of_day(history), history.voltage)
    head = model.head(delivered, history.voltage[:, None])
    if series == "losses":
        return (head - delivered).sum(axis=1).real, history.losses
    return head.sum(axis=1).imag, history.power.sum(axis=1).imag


def _hours_of_day(history: History) -> Floats:
    """Time of day (n) [h]."""
    begin = history.start.hour + history.start.minute / 60 + history.start.second / 3600
    hours: Floats = (begin + np.arange(len(history.voltage)) * history.step / HOUR) % 24
    return hours


def _means(history: History, series: Floats, minutes: int = BLOCK) -> Floats:
    """Means over `minutes`, of whole stretches only."""
    size = max(1, minutes * 60 * 10**9 // history.step)
    kept = len(series) // size * size
    means: Floats = series[:kept].reshape(-1, size).mean(axis=1)
    return means


# ------------------------------------------------------------------------------------------- the scores


class _DegreeHours:
    """The baseline: the head's power as a linear function of load scale, degree-hours above 24 degC and the sun."""

    def __init__(self, histories: Sequence[History]) -> None:
        columns = np.concatenate([self._columns(history) for history in histories])
        power = np.concatenate([history.power.sum(axis=1).real for history in histories])
        self._weights = np.linalg.lstsq(columns, power, rcond=None)[0]

    @staticmethod
    def _columns(history: History) -> Floats:
        warm = np.maximum(history.weather[:, 0] - 24.0, 0.0)
        return np.stack([np.ones(len(warm)), history.scale, warm, history.weather[:, 3]], axis=1)

    def power(self, history: History) -> Floats:
        """The head's active power (n) [MW]."""
        predicted: Floats = self._columns(history) @ self._weights
        return predicted


def _accuracy(part: str, history: History, answer: Answer, regression: _DegreeHours) -> list[Score]:
    """Hourly errors of the head's active and reactive power, beside the baseline's."""
    truth, mine = history.power.sum(axis=1), answer.power.sum(axis=1)
    base = regression.power(history)
    guideline = "ASHRAE Guideline 14"
    scores = []
    for name, limit, function in (("CV(RMSE)", 30.0, _cv_rmse), ("NMBE", 10.0, _nmbe), ("peak error", None, _peak)):
        hourly = [_means(history, series, 60) for series in (truth.real, mine.real, base)]
        value = function(hourly[0], hourly[1])
        criteria = (
            ()
            if limit is None
            else (
                Criterion(
                    name=guideline,
                    limit=limit,
                    scale="one building, hourly",
                    applies=False,
                    met=bool(abs(value) <= limit),
                ),
            )
        )
        scores.append(
            Score(
                part=part,
                quantity="active power at the head, hourly",
                score=name,
                value=round(value, 3),
                baselines={"degree-hour regression": round(function(hourly[0], hourly[2]), 3)},
                criteria=criteria,
            )
        )
    reactive = [_means(history, series, 60) for series in (truth.imag, mine.imag)]
    size = float(np.abs(_means(history, np.abs(truth), 60)).mean())
    error = 100 * float(np.sqrt(np.mean((reactive[1] - reactive[0]) ** 2))) / size
    scores.append(
        Score(
            part=part,
            quantity="reactive power at the head, hourly, of the mean apparent power",
            score="RMSE",
            value=round(error, 3),
        )
    )
    cooling = [_means(history, series, 60) for series in (history.hvac, answer.hvac)]
    quantity = "power of air conditioners, hourly"
    scores.append(Score(part=part, quantity=quantity, score="CV(RMSE)", value=round(_cv_rmse(*cooling), 3)))
    return scores


def _other_homes(history: History, best: Equivalent) -> list[Score]:
    """The error with homes of the same distributions, but not the same homes: that of a feeder known by its shares."""
    answer = simulate(replace(history, neighbourhood=history.others), best)
    truth, mine = (_means(history, one.power.sum(axis=1).real, 60) for one in (history, answer))
    quantity = "active power at the head, hourly, with other homes of the same distributions"
    return [
        Score(part="held-out", quantity=quantity, score="CV(RMSE)", value=round(_cv_rmse(truth, mine), 3)),
        Score(part="held-out", quantity=quantity, score="NMBE", value=round(_nmbe(truth, mine), 3)),
    ]


def _trip(disturbed: History, undisturbed: History, answer: Answer, calm: Answer) -> list[Score]:
    """What the trip sheds and what returns, net: the equivalent's against the detailed feeder's."""
    times = disturbed.times
    edges = np.append(times, times[-1] + disturbed.step)
    out: Bools = np.logical_not(disturbed.available.reshape(len(times), -1).all(axis=1))
    pairs = (undisturbed.power, disturbed.power), (calm.power, answer.power)
    truth, mine = (rebound_of(edges, (after - before).sum(axis=1).real, out) for before, after in pairs)
    if truth is None or mine is None:
        return []
    found: dict[str, tuple[float, float]] = {"energy shed": (truth.shed, mine.shed)}
    if truth.energy is not None and mine.energy is not None and truth.ended == mine.ended == "over":
        found["rebound"] = truth.energy, mine.energy
    if truth.peak is not None and mine.peak is not None:
        found["rebound peak, mean of 15 min"] = truth.peak.power, mine.peak.power
    return [
        Score(part="trip", quantity=name, score="error", value=round(100 * (equivalent / detailed - 1), 3))
        for name, (detailed, equivalent) in found.items()
    ]


def _cv_rmse(truth: Floats, mine: Floats) -> float:
    return 100 * float(np.sqrt(np.mean((mine - truth) ** 2)) / np.mean(truth))


def _nmbe(truth: Floats, mine: Floats) -> float:
    return 100 * float(np.mean(mine - truth) / np.mean(truth))


def _peak(truth: Floats, mine: Floats) -> float:
    return 100 * (float(mine.max()) / float(truth.max()) - 1)


def _figure(title: str, history: History, answer: Answer) -> Figure:
    instants = np.datetime64(history.start, "s") + np.arange(len(history.voltage)) * np.timedelta64(
        history.step // 10**9, "s"
    )
    size = max(1, 15 * 60 * 10**9 // history.step)
    stamps = [str(one) for one in instants[::size]]
    lines: Sequence[tuple[str, History | Answer]] = (("detailed", history), ("equivalent", answer))
    traces: list[Mapping[str, Any]] = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": name,
            "x": stamps,
            "y": [round(value, 5) for value in _means(history, one.power.sum(axis=1).real, 15).tolist()],
        }
        for name, one in lines
    ]
    return Figure(title, "Active power at the head [MW], means of 15 minutes.", traces, wide=True)


def _named(paths: Sequence[Path]) -> str:
    return ", ".join(f"{path.parent.name}/{path.name}" for path in paths)
