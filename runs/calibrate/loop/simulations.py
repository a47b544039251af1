"""Simulating points: each a run of the real co-simulation, many at once on Dask, none ever run twice.

Every generation of points is a batch (`runs/batch`). Of each run the numbers that are compared with the measured ones
are kept under its content hash; the run itself goes. A calibration that was killed finds them, and of the generation
that it was in, the finished runs.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cosim.batch_folder import run_folder
from cosim.errors import Fault, MachineError, ScenarioError, SolverError
from cosim.simulation import open_run
from cosim.stored_files import write_atomically
from runs.batch.file import BatchFile, RunLimits, batch_from_mapping
from runs.batch.plan import Plan, Variant, make_plan
from runs.batch.row import Row
from runs.calibrate.loop.observed import Observed
from runs.calibrate.loop.searched import Searched, as_written
from runs.recorded import Recorded

if TYPE_CHECKING:
    from runs.batch.cluster import Cluster
    from runs.calibrate.target import Task

Floats = NDArray[np.float64]

LOOP = "loop"  #: the subfolder of the calibration's folder
RUNNING = "running"  #: of it: the batch that runs
KEPT = "simulated"  #: of it: what is kept of each generation
DASK = "dask"
HOUR = 3600.0


class SpentError(Exception):
    """No more runs are allowed."""


def batch_of(
    name: str,
    scenario: Path,
    settings: Mapping[str, Any],
    parameters: Mapping[str, Searched],
    observed: Observed | None,
    seeds: Sequence[int],
    limits: RunLimits,
) -> BatchFile:
    """The batch that every generation is, with one point yet. Raises ScenarioError."""
    figures = {} if observed is None else {key: each.compute for key, each in observed.figures.items()}
    series = () if observed is None else observed.series
    written: dict[str, Any] = {
        "name": f"{name}_loop",
        "scenario": str(scenario),
        "baseline": any(spec.needs_twin for spec in figures.values()),
        "parameters": {key: each.path for key, each in parameters.items()},
        "set": dict(settings),
        "vary": [{"list": [as_written(parameters, np.array([each.begin for each in parameters.values()]))]}],
        "keep": sorted({str(each.spec.of).partition("[")[0] for each in series}) or "none",
        "figures": {key: spec.model_dump(mode="json", exclude_defaults=True) for key, spec in figures.items()},
        "limits": limits.model_dump(mode="json", exclude_defaults=True),
    }
    if seeds:
        written["vary"].append({"list": [{"seed": seed} for seed in seeds]})
    return batch_from_mapping(written, scenario.parent)


def at_points(batch: BatchFile, points: Sequence[Mapping[str, Any]]) -> Plan:
    """The plan of one generation: a run for every point, and for every seed of it."""
    first, *others = batch.vary
    block = type(first)(list=tuple(dict(point) for point in points))
    return make_plan(batch.model_copy(update={"vary": (block, *others)}))


class Simulations:
    """Simulates points; a context, as the Dask cluster on this machine ends with it."""

    def __init__(
        self, task: Task, batch: BatchFile, parameters: Mapping[str, Searched], observed: Observed, most: int
    ) -> None:
        self._task, self._batch, self._parameters, self._observed = task, batch, parameters, observed
        self._most = most
        self._seeds = len(batch.vary[1].list) if len(batch.vary) > 1 else 1
        self._folder = task.folder / LOOP
        self._known: dict[str, Floats] = {}  #: content hash -> (m)
        self._errors: dict[str, str] = {}  #: of runs that failed
        self._asked: dict[str, Floats] = {}  #: a point as written -> (m), the mean over the seeds
        self._stack = ExitStack()
        self._own: Cluster | None = None
        self._generation = 0
        self.runs = 0  #: made now
        self.kept = 0  #: of an earlier call
        self.seconds = 0.0  #: in which they were made
        if not task.resume:
            shutil.rmtree(self._folder, ignore_errors=True)
        (self._folder / KEPT).mkdir(parents=True, exist_ok=True)
        for path in sorted((self._folder / KEPT).glob("*.json")):
            self._generation += 1
            for key, entry in json.loads(path.read_text()).items():
                self._remember(key, entry)
        self._found = frozenset({*self._known, *self._errors})

    def __enter__(self) -> Simulations:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def points(self) -> int:
        """How many different points were asked for."""
        return len(self._asked)

    @property
    def per_hour(self) -> float:
        """Runs made in an hour."""
        return self.runs / self.seconds * HOUR if self.seconds else 0.0

    @property
    def first_error(self) -> str:
        """Of the runs that failed."""
        return next(iter(self._errors.values()), "")

    def allow(self, more: int) -> None:
        """Allow more points than there are now."""
        self._most = len(self._asked) + more

    @property
    def simulated(self) -> Floats:
        """What every point gave (points, m), in the order in which they were asked for."""
        return np.stack(list(self._asked.values()))

    def __call__(self, places: Floats) -> Floats:
        """What is simulated (k, m) at points (k, parameters) in [0, 1]; NaN where a run failed.

        Raises SpentError when more points are asked for than allowed, MachineError.
        """
        written = [as_written(self._parameters, place) for place in places]
        names = [json.dumps(point) for point in written]
        new = {name: point for name, point in zip(names, written, strict=True) if name not in self._asked}
        if len(self._asked) + len(new) > self._most:
            raise SpentError
        if new:
            self._simulate(new)
        return np.stack([self._asked[name] for name in names])

    def _simulate(self, points: Mapping[str, Mapping[str, Any]]) -> None:
        plan = at_points(self._batch, list(points.values()))
        missing = [v for v in plan.variants if v.valid and v.key not in self._known and v.key not in self._errors]
        if missing:
            self._run(plan, missing)
        self.kept += len({variant.key for variant in plan.valid} & self._found)
        for number, name in enumerate(points):
            own = plan.variants[number * self._seeds : (number + 1) * self._seeds]
            self._asked[name] = np.mean([self._of(variant) for variant in own], axis=0)

    def _of(self, variant: Variant) -> Floats:
        """What a run gave; NaN if it cannot run or failed."""
        if not variant.valid:
            self._errors.setdefault(f"invalid {variant.run}", variant.error)
        found = self._known.get(variant.key)
        return np.full(len(self._observed.measured), np.nan) if found is None else found

    def _run(self, plan: Plan, missing: Sequence[Variant]) -> None:
        """Make the runs that are missing, and keep what counts of them. Raises MachineError."""
        from runs.batch.executor import Choice, run_batch

        task, folder = self._task, self._folder / RUNNING
        unique = list({variant.key: variant for variant in missing}.values())
        only = Plan(plan.batch, tuple(unique), plan.figures)
        began = time.monotonic()
        own = None if task.scheduler is not None else self._cluster(unique[0])
        choice = Choice(resume=True, workers=task.workers, scheduler=task.scheduler, cluster=own)
        done = self.runs

        def show(state: Any) -> None:
            speed = f", {self.per_hour:,.0f} runs/h" if self.runs else ""
            task.progress(
                f"point {self.points + 1} of at most {self._most}: run {done + state.finished} of "
                f"{done + state.total}{speed}"
            )

        ended = run_batch(only, folder, choice, show)
        kept: dict[str, Any] = {}
        for row in ended.rows:
            kept[row.key] = self._reduced(row, folder)
        self._generation += 1
        path = self._folder / KEPT / f"{self._generation:05d}.json"
        try:
            write_atomically(path, json.dumps(kept))
        except OSError as error:
            raise MachineError(
                f"cannot write to {path}: {error.strerror}; free space there, then add --resume"
            ) from None
        for key, entry in kept.items():
            self._remember(key, entry)
        shutil.rmtree(folder, ignore_errors=True)
        self.runs += len(unique)
        self.seconds += time.monotonic() - began

    def _reduced(self, row: Row, folder: Path) -> list[float | None] | str:
        """What is kept of a run: its numbers, or its error. Raises MachineError if the machine was at fault."""
        if row.outcome in ("timeout", "memory", "lost"):
            told = ", ".join(f"{name} = {value}" for name, value in row.parameters.items())
            raise MachineError(f"a run with {told} ended early: {row.error} Then add --resume to go on")
        if row.outcome != "good":
            return row.error or row.outcome
        run = Recorded(open_run(run_folder(folder, row.run)))
        values = self._observed.simulated(run, row.figures)
        return [float(value) if np.isfinite(value) else None for value in values]

    def _remember(self, key: str, entry: Any) -> None:
        if isinstance(entry, str):
            self._errors[key] = entry
        else:
            self._known[key] = np.array([np.nan if value is None else value for value in entry], dtype=float)

    def _cluster(self, variant: Variant) -> Cluster:
        """The cluster on this machine; it starts with the first run that is needed."""
        from runs.batch.cluster import connect
        from runs.batch.task import kinds_of

        if self._own is None:
            self._task.progress("starting the workers")
            scratch = self._folder / DASK
            self._own = self._stack.enter_context(
                connect(None, self._task.workers, scratch, kinds_of(variant.scenario))
            )
            self._stack.callback(shutil.rmtree, scratch, ignore_errors=True)
        return self._own


def check_points(batch: BatchFile, parameters: Mapping[str, Searched], place: str) -> list[Fault]:
    """What is wrong with the scenario at the first guess and at the corners where all is low, or high."""
    points = [
        as_written(parameters, np.array([at(each) for each in parameters.values()]))
        for at in (lambda each: each.begin, lambda each: 0.0, lambda each: 1.0)
    ]
    try:
        plan = at_points(batch, points)
    except ScenarioError as error:
        return list(error.faults)
    wrong = list(dict.fromkeys(variant.error for variant in plan.invalid))
    return [Fault(place, f"the scenario cannot run {error}", "Change the bounds.") for error in wrong]


def failed(simulations: Simulations, what: str) -> SolverError:
    """The error of a search that cannot go on as runs failed."""
    return SolverError(f"{what}: {simulations.first_error or 'the runs recorded nothing to compare'}")


__all__ = ["Simulations", "SpentError", "at_points", "batch_of", "check_points", "failed"]
