"""Any parameters of a scenario, fitted by running the real co-simulation inside the loop, on Dask."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

import cosim
from cosim.calibrated import Score
from cosim.errors import Fault, ScenarioError, SolverError
from cosim.scenario import Scenario
from cosim.settings import InputFile, Settings
from cosim.site import Site
from runs.batch.figures import figure_problem
from runs.batch.file import BatchFile, RunLimits
from runs.batch.plan import variant_scenario
from runs.calibrate.file import CalibrationFile
from runs.calibrate.loop.inference import (
    Searching,
    fit_least_squares,
    judge,
    parameters_of,
    problem_of,
    roughness,
    warnings_of,
    weighted_by_noise,
)
from runs.calibrate.loop.observed import FIGURES, MeasuredFigure, MeasuredSeries, Observed, observe, outputs_of, unit_of
from runs.calibrate.loop.search import Derivatives, Found, Problem, sampled
from runs.calibrate.loop.searched import Searched, as_written
from runs.calibrate.loop.simulations import Simulations, batch_of, check_points, failed
from runs.calibrate.series import Scale, parts_of, score_series
from runs.calibrate.split import FIT
from runs.calibrate.target import Figure, Flags, Floats, Need, Needs, Outcome, Table, Target, Task
from runs.report import style
from runs.report.series import compact
from solvers import baselines
from solvers.parameter_uncertainty import Uncertainty

DAY = 86_400  #: [s]
SAME = 0.02  #: of the bounds' distance: ends of searches that are so near are one
ROUGH = 0.5  #: a share of the residuals from which on roughness is worth a word
TEMPERATURE = Need("temperature", "degC", -60, 60, required=False, daily="temperature")


class ScenarioParameters(Target):
    """Parameters of a scenario by their path, fitted so that its runs give what was measured.

    Least squares takes derivatives by differences, all simulated at once; where results are a rough or broken function
    of the parameters, Optuna's samplers search. The simulated homes, noise and losses are the same in every run (the
    scenario's seed, or the mean over several): runs differ by their parameters alone.
    """

    objectives: ClassVar[Mapping[str, str]] = {
        "least squares": "of simulated less measured, each series and figure by its noise, with priors",
    }
    baselines: ClassVar[Mapping[str, str]] = {
        "before calibration": "the scenario with the parameters at their start",
        "week before": "the measured value of the same slot a week before",
        "degree hours": "regression on the hour of the week and heating and cooling degree hours",
    }

    class Config(Settings):
        """Settings of the target."""

        scenario: InputFile
        """The scenario; a relative path counts from the calibration file's folder."""
        set: dict[str, Any] = Field(default_factory=dict)
        """Settings that differ from the scenario's and are not fitted: path -> value."""
        parameters: dict[str, Searched] = Field(min_length=1)
        """What is fitted: name -> path, bounds, start, prior."""
        series: dict[str, MeasuredSeries] = Field(default_factory=dict)
        """Measured series: name of the data's column -> the recorded output."""
        figures: dict[str, MeasuredFigure] = Field(default_factory=dict)
        """Measured summary figures: name -> how runs compute it, and what was measured."""
        seeds: tuple[int, ...] = ()
        """Seeds of the scenario over which results are averaged; none: the scenario's own."""
        optimiser: Literal["least_squares", "tpe", "cma"] = "least_squares"
        """least_squares: for smooth results, fewest runs. tpe (tree-structured Parzen estimator) or cma (covariance
        matrix adaptation, from two parameters on): for rough ones, many more runs."""
        starts: int = Field(default=1, ge=1, le=100)
        """Least squares from so many points: the first guess, and the best of four times as many others."""
        runs: int = Field(default=300, ge=2, le=1_000_000)
        """At most so many points are simulated in the search."""
        tolerance: float = Field(default=1e-4, gt=0, lt=1)
        """The search ends when the sum of squares, or the point, changes by less than this share [1]."""
        reach: float = Field(default=0.02, ge=0, le=0.5)
        """Derivatives are kept within this share of the bounds' distance around where they were taken [1]."""
        batch: int = Field(default=8, ge=1, le=10_000)
        """tpe and cma: points that are simulated at once. The result depends on it, not on the number of workers."""
        patience: int = Field(default=5, ge=1)
        """tpe and cma: end after so many batches without improvement."""
        limits: RunLimits = RunLimits()
        """What one run may take."""
        scale: Scale = "distribution network"
        """What the series are of: published criteria apply to a building only."""

        @model_validator(mode="after")
        def _something_measured(self) -> ScenarioParameters.Config:
            if not self.series and not self.figures:
                raise ValueError("needs series or figures that were measured")
            if both := sorted({*self.series} & {*self.figures}):
                raise ValueError(f"'{both[0]}' names a series and a figure; rename one")
            if self.optimiser == "least_squares" and any(each.whole for each in self.parameters.values()):
                raise ValueError("least_squares has no whole numbers; take tpe, or cma")
            least = (
                4 * (self.starts - 1) + len(self.parameters) + 1 if self.optimiser == "least_squares" else self.batch
            )
            if self.runs < least:
                raise ValueError(f"runs must be at least {least} for the first step of the search, got {self.runs}")
            if self.optimiser == "cma" and len(self.parameters) < 2:
                raise ValueError("cma needs two parameters or more; take tpe")
            return self

    config: ScenarioParameters.Config

    def reads(self, file: CalibrationFile) -> Sequence[Needs]:
        """A column for each measured series, in the unit of the recorded output. Raises ScenarioError."""
        place = file.document.place
        try:
            outputs = outputs_of(variant_scenario(self._batch(file, None), None, {}))
        except ScenarioError as error:
            faults = [Fault(place(("target", "scenario")), f"the scenario is wrong: {fault}") for fault in error.faults]
            raise ScenarioError(faults) from None
        faults = []
        for name, series in self.config.series.items():
            problem = figure_problem(series.spec, outputs, has_twin=False)
            if problem:
                faults.append(Fault(place(("target", "series", name, "of")), f"{problem}.", "See `cosim wire`."))
        for name, figure in self.config.figures.items():
            problem = figure_problem(figure.compute, outputs, has_twin=True)
            if problem:
                faults.append(Fault(place(("target", "figures", name, "compute")), f"{problem}.", "See `cosim wire`."))
        if faults:
            raise ScenarioError(faults)
        needs = []
        for data in dict.fromkeys(series.data for series in self.config.series.values()):
            columns = [
                Need(name, unit_of(series, outputs))
                for name, series in self.config.series.items()
                if series.data == data
            ]
            if not any(need.name == TEMPERATURE.name for need in columns):
                columns.append(TEMPERATURE)
            needs.append(Needs(columns, data))
        return needs

    def check(self, task: Task) -> Sequence[Fault]:
        """The scenario must run at the bounds, and the data must reach it."""
        place = task.file.document.place
        batch = self._batch(task.file, None)
        faults = check_points(batch, self.config.parameters, place(("target", "parameters")))
        for name, series in self.config.series.items():
            if series.stamps is not None and "stamps" in task.file.data_file(series.data).time.model_fields_set:
                problem = "says what a row is, and the `time` of its data does too."
                faults.append(Fault(place(("target", "series", name, "stamps")), problem, "Say it once."))
        if not faults:
            faults += self._other_clocks(task, batch)
        if not faults:
            for each in self._observed(task, batch).series:
                if not each.fitted.any():
                    problem = (
                        f"no row of it lies in a fit period and in the scenario's horizon ({len(each.rows)} in it)."
                    )
                    remedy = "Correct horizon, split, or the zone of the data."
                    faults.append(Fault(place(("target", "series", each.name)), problem, remedy))
        return faults

    def _other_clocks(self, task: Task, batch: BatchFile) -> list[Fault]:
        """Data whose local standard time is not the scenario's clock: its rows would be compared at the wrong hour."""
        first = {name: each.written(each.begin) for name, each in self.config.parameters.items()}
        site = _site_of(variant_scenario(batch, None, first))
        faults = []
        for number, data in enumerate(task.file.data if site is not None else ()):
            table = task.tables[data.name]
            offset = float((table.standard[0] - table.utc[0]) / np.timedelta64(3600, "s"))
            if site is not None and abs(offset - site.utc_offset) > 1e-6:
                name = "zone" if data.time.local is None else "local"
                place = task.file.document.place(("data", number, "time", name))
                problem = (
                    f"local standard time is UTC{offset:+g} here, and {site.source} is at UTC{site.utc_offset:+g}."
                )
                faults.append(Fault(place, problem, "State in `local` the zone of the scenario's place."))
        return faults

    def _batch(self, file: CalibrationFile, observed: Observed | None) -> BatchFile:
        config = self.config
        try:
            return batch_of(
                file.name, config.scenario, config.set, config.parameters, observed, config.seeds, config.limits
            )
        except ScenarioError as error:
            here = file.document.place(("target",))
            raise ScenarioError([Fault(here, str(fault)) for fault in error.faults]) from None

    def _observed(self, task: Task, batch: BatchFile) -> Observed:
        """What was measured, as far as the scenario's horizon reaches."""
        first = {name: each.written(each.begin) for name, each in self.config.parameters.items()}
        scenario = variant_scenario(batch, None, first)
        outputs = outputs_of(scenario)
        found = []
        for name, series in self.config.series.items():
            table = task.tables[series.data]
            rows = self._fit_rows(task, table)
            found.append(observe(name, series, unit_of(series, outputs), table, scenario, rows))
        return Observed(found, self.config.figures)

    def _fit_rows(self, task: Task, table: Table) -> Flags:
        split = task.file.split
        return np.ones(len(table.utc), bool) if split is None else split.fit_days(table.days)

    def calibrate(self, task: Task) -> Outcome:
        """Search, judge, score. Raises SolverError, MachineError."""
        config = self.config
        parameters = list(config.parameters.values())
        observed = self._observed(task, self._batch(task.file, None))
        batch = self._batch(task.file, observed)
        problem = problem_of(parameters, observed, observed.measured)
        beyond = 4 * len(parameters) + 2  # points for derivatives at the end, whatever the search took
        with Simulations(task, batch, config.parameters, observed, config.runs) as simulations:
            try:
                problem, best, searches = self._search(task, problem, observed, simulations)
            except SolverError as error:
                raise failed(simulations, str(error)) from None
            if not np.isfinite(problem.residuals(simulations(best.place[None, :]))).all():
                raise failed(simulations, "no run of the search succeeded")
            task.progress("derivatives at the best point")
            simulations.allow(beyond)
            derivatives = Derivatives(parameters, simulations, 0.0, central=True)
            sure = judge(problem, observed, best.place, simulations, derivatives)
            rough = roughness(problem, derivatives)
            first = np.array([[each.begin for each in parameters]])
            fitted, before = simulations(np.concatenate([best.place[None, :], first]))
        told = parameters_of(config.parameters, best.place, sure)
        fitted_text, held_text = self._in_words(task, observed)
        return Outcome(
            parameters=told,
            structure={
                "scenario": config.scenario.name,
                "set": {
                    **config.set,
                    **{
                        config.parameters[name].path: value
                        for name, value in as_written(config.parameters, best.place).items()
                    },
                },
            },
            fitted=fitted_text,
            held_out=held_text,
            scores=self._scores(task, observed, fitted, before),
            figures=[*_figures(observed, fitted, before), _progress(simulations, problem)],
            warnings=[
                *_unfinished(best, searches),
                *_uneven(rough, problem.residuals(fitted[None, :])[0]),
                *warnings_of(config.parameters, sure),
            ],
            facts=dict(_facts(simulations, best, searches, problem, observed, sure, config.parameters)),
        )

    def _search(
        self, task: Task, problem: Problem, observed: Observed, simulations: Simulations
    ) -> tuple[Problem, Found, list[Found]]:
        config, seed = self.config, task.file.seed
        if config.optimiser == "least_squares":
            how = Searching(config.starts, config.tolerance, config.reach, seed)
            return fit_least_squares(problem, observed, simulations, how)
        found = sampled(problem, config.optimiser, seed, simulations, config.batch, config.patience, config.tolerance)
        again = weighted_by_noise(problem, observed, found[0].place, simulations)
        return again or problem, found[0], found

    def _in_words(self, task: Task, observed: Observed) -> tuple[str, str]:
        parts = []
        for each in observed.series:
            stamps = each.table.standard[each.rows[each.fitted]].astype("datetime64[m]")
            parts.append(f"{each.name}, {len(stamps)} rows from {stamps[0]} to {stamps[-1]}".replace("T", " "))
        parts += [f"{name}" for name in observed.figures]
        held = ""
        if task.file.split is not None and observed.series:
            held = task.file.split.in_words(observed.series[0].table.days)[1]
        return "; ".join(parts), held

    def _scores(self, task: Task, observed: Observed, fitted: Floats, before: Floats) -> list[Score]:
        """Of each series on each part beside baselines; of figures the errors."""
        scores: list[Score] = []
        mine, theirs = observed.parts(fitted), observed.parts(before)
        for number, each in enumerate(observed.series):
            full = [_spread_out(each.table, each.rows, values[number]) for values in (mine, theirs)]
            rows = self._fit_rows(task, each.table)
            split = task.file.split
            parts = {FIT: rows} if split is None else parts_of(split, each.table, rows)
            measured = np.asarray(each.table.columns[each.name], dtype=float)
            references = {"before calibration": full[1], **_baselines(each.table, measured, rows)}
            inside = np.zeros(len(rows), bool)
            inside[each.rows] = True
            # a baseline that says nothing within the horizon would leave no common row
            references = {name: x for name, x in references.items() if np.isfinite(x[inside]).all()}
            scores += score_series(each.name, measured, full[0], references, parts, self.config.scale)
        start = sum(len(each.rows) for each in observed.series)
        for number, (name, figure) in enumerate(observed.figures.items(), start=start):
            error, first = (100 * (float(v[number]) / figure.measured - 1) for v in (fitted, before))
            scores.append(
                Score(
                    part=FIT,
                    quantity=f"{name} ({FIGURES})",
                    score="error",
                    value=_rounded(error),
                    baselines={"before calibration": _rounded(first)},
                )
            )
        return scores


def _site_of(scenario: Scenario) -> Site | None:
    """The place of a scenario: its own, or its weather's."""
    federation = cosim.wire(scenario)
    weather = [federation.build(spec).facts() for spec in federation.federates if spec.name == "weather"]
    facts = [*scenario.facts(), *(fact for found in weather for fact in found)]
    return next((fact for fact in facts if isinstance(fact, Site)), None)


def _baselines(table: Table, measured: Floats, fitted: Flags) -> dict[str, Floats]:
    """The two that every calibration is held against, where the data are enough for them."""
    found = {}
    if table.step and len(table.utc) > 7 * DAY // table.step and DAY % table.step == 0:
        found["week before"] = baselines.week_before(measured, DAY // table.step)
    if "temperature" in table.columns and table.step and len(np.unique(table.days[fitted])) >= 7:
        temperature = np.asarray(table.columns["temperature"], dtype=float)
        found["degree hours"] = baselines.degree_hours(table.wall, temperature, measured, fitted)
    return found


def _spread_out(table: Table, rows: NDArray[np.int64], values: Floats) -> Floats:
    """Values at `rows` of a table as a column of it, NaN elsewhere."""
    full = np.full(len(table.utc), np.nan)
    full[rows] = values
    return full


def _unfinished(best: Found, searches: Sequence[Found]) -> Iterator[str]:
    if "no more runs" in best.why or "100 steps" in best.why:
        yield f"the search ended early: {best.why}; raise target.runs, then add --resume to go on from there"
    apart = [found for found in searches[1:] if np.abs(found.place - searches[0].place).max() > SAME]
    if apart:
        yield (
            f"{len(apart)} of {len(searches)} starts ended elsewhere: there are several optima, or the results are a "
            "rough function of the parameters; the intervals are those of the best one. Take more starts, or tpe"
        )


def _uneven(rough: Floats | None, left: Floats) -> Iterator[str]:
    remains = float(np.sqrt(np.mean(left**2)))
    size = 0.0 if rough is None else float(np.sqrt(np.mean(rough**2)))
    if size > ROUGH * remains:
        yield (
            "the results are a rough function of the parameters: over the steps of the differences by "
            f"{size / max(remains, 1e-12):.1f} times what the fit leaves. The intervals are wider for it; average over "
            "seeds, or simulate more devices"
        )


def _facts(
    simulations: Simulations,
    best: Found,
    searches: Sequence[Found],
    problem: Problem,
    observed: Observed,
    sure: Uncertainty,
    parameters: Mapping[str, Searched],
) -> Iterator[tuple[str, str]]:
    """More lines of the report."""
    speed = f", {simulations.per_hour:,.0f} runs/h" if simulations.runs else ""
    kept = f", {simulations.kept} kept from before" if simulations.kept else ""
    yield "runs of the co-simulation", f"{simulations.runs} now{speed}{kept}; {simulations.points} points"
    yield "search", best.why
    if len(searches) > 1:
        near = sum(np.abs(found.place - searches[0].place).max() <= SAME for found in searches)
        ends = ", ".join(f"{found.cost:.5g}" for found in searches)
        yield "starts", f"{near} of {len(searches)} ended at the best point; sums of squares {ends}"
    names = list(parameters)
    group = observed.group[problem.counts]
    labels = [*(each.name for each in observed.series), *observed.figures]
    for position, number in enumerate(np.unique(group).tolist()):
        if number < len(observed.series):
            size = sure.noise[position] * problem.unit[group == number][0]
            unit = observed.series[number].unit
            text = f"{size:.3g}{'' if unit == '1' else ' ' + unit}"
            yield (
                f"{labels[number]}: standard deviation of the residuals",
                text
                + (
                    f", each correlated by {sure.lasting[position]:.2f} with the one before"
                    if sure.lasting[position] > 0
                    else ""
                ),
            )
    for column in range(len(names)):
        shares = " ".join(f"{share:+.2f} {name}" for share, name in zip(sure.directions[:, column], names, strict=True))
        told = f"standard deviation {sure.spread[column]:.2g} of the bounds' distance"
        yield f"direction {column + 1} of {len(names)}, best known first", f"{shares}: {told}"


def _figures(observed: Observed, fitted: Floats, before: Floats) -> Iterator[Figure]:
    """Measured against simulated, and what is left over the hours of the day."""
    mine, theirs = observed.parts(fitted), observed.parts(before)
    for number, each in enumerate(observed.series):
        stamps = [str(t).replace("T", " ") for t in each.table.standard[each.rows].astype("datetime64[s]")]
        lines = [
            {
                "type": "scatter",
                "mode": "lines",
                "name": name,
                "x": stamps,
                "y": compact(values),
                "line": {"color": colour, "dash": dash, "width": 1.6},
            }
            for name, values, colour, dash in (
                ("before calibration", theirs[number], style.BASELINE, "dot"),
                ("measured", each.measured, style.INK, "solid"),
                ("simulated", mine[number], style.DISTURBED, "solid"),
            )
        ]
        note = "Fitted and held-out rows." if not each.fitted.all() else "All rows were fitted to."
        axes = {"xaxis": {"title": {"text": "standard time"}}, "yaxis": {"title": {"text": f"[{each.unit}]"}}}
        yield Figure(each.name, note, lines, axes, wide=True, height=420)
        left: list[Mapping[str, Any]] = [
            {
                "type": "scatter",
                "mode": "markers",
                "name": name,
                "x": compact((each.begin[rows] / 3.6e12) % 24),
                "y": compact((mine[number] - each.measured)[rows]),
                "marker": {"color": colour, "size": 5},
            }
            for name, rows, colour in (("fitted", each.fitted, style.DISTURBED), ("held out", ~each.fitted, style.INK))
            if rows.any()
        ]
        axes = {
            "xaxis": {"title": {"text": "hours since the start, of each day [h]"}},
            "yaxis": {"title": {"text": f"simulated less measured [{each.unit}]"}},
        }
        yield Figure(f"{each.name}: residuals", "What the best point leaves.", left, axes, section="Residuals")


def _progress(simulations: Simulations, problem: Problem) -> Figure:
    """The sum of squares of every point, in the order in which they were asked for."""
    simulated = simulations.simulated
    costs = (problem.residuals(simulated) ** 2).sum(axis=1)
    order = np.arange(1, len(costs) + 1)
    good = np.isfinite(costs)
    least = np.minimum.accumulate(np.where(good, costs, np.inf))
    traces: list[Mapping[str, Any]] = [
        {
            "type": "scatter",
            "mode": mode,
            "name": name,
            "x": order[rows].tolist(),
            "y": compact(values[rows]),
            "marker": {"color": style.INK, "size": 5},
            "line": {"color": style.DISTURBED},
        }
        for name, mode, values, rows in (
            ("each point", "markers", costs, good),
            ("the best so far", "lines", least, np.isfinite(least)),
        )
    ]
    axes = {
        "xaxis": {"title": {"text": "point"}},
        "yaxis": {"title": {"text": "sum of squares"}, "type": "log"},
    }
    return Figure("The search", "Points in the order in which they were simulated.", traces, axes, section="Search")


def _rounded(value: float) -> float:
    return float(f"{value:.5g}")
