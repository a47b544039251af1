"""The search for the best point: least squares with parallel differences, or Optuna's samplers, batch by batch.

Nothing here depends on how many workers there are, nor on the clock: the same file gives the same points, the same
results, and a search that starts again asks for the same runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosim.errors import SolverError
from runs.calibrate.loop.lockstep import Simulate, in_lockstep
from runs.calibrate.loop.searched import Searched, starting_points
from runs.calibrate.loop.simulations import SpentError

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

INSIDE = 1e-6  #: least squares starts so far from the bounds, as its steps shrink towards them
FAILED = 1e4  #: what each residual counts at a point whose run failed: the search turns back
SHIFT = 1e-7  #: by which the slope of prior knowledge is found


@dataclass(frozen=True)
class Problem:
    """What is minimised: the squares of weighted residuals, and of how surprising the parameters are."""

    parameters: Sequence[Searched]
    measured: Floats  #: (m) of those that count
    counts: Flags  #: which of what is simulated counts: as many as the simulation gives, m True
    unit: Floats  #: (m) in which each residual counts as one
    weighs_priors: bool = True  #: False while the noise is not known, against which prior knowledge weighs

    def residuals(self, simulated: Floats) -> Floats:
        """(k, m) of what is simulated (k, all)."""
        return np.asarray((simulated[:, self.counts] - self.measured) / self.unit)

    def surprises(self, places: Floats) -> Floats:
        """(k, p) of points (k, p)."""
        if not self.weighs_priors:
            return np.zeros((len(places), 0))
        return np.stack([each.surprise(places[:, n]) for n, each in enumerate(self.parameters)], axis=1)

    def slopes_of_surprises(self, place: Floats) -> Floats:
        """Their derivatives (p, p) at a point (p); (0, p) where priors do not weigh."""
        if not self.weighs_priors:
            return np.zeros((0, len(place)))
        rises = self.surprises(place[None, :] + SHIFT) - self.surprises(place[None, :])
        return np.diag(rises[0] / SHIFT)

    def all_residuals(self, places: Floats, simulated: Floats) -> Floats:
        """(k, m + p); large at points whose run failed."""
        own = self.residuals(simulated)
        own[~np.isfinite(own).all(axis=1)] = FAILED
        return np.concatenate([own, self.surprises(places)], axis=1)

    def cost(self, places: Floats, simulated: Floats) -> Floats:
        """The sum of squares (k)."""
        squares: Floats = (self.all_residuals(places, simulated) ** 2).sum(axis=1)
        return squares


@dataclass(frozen=True)
class Found:
    """Where a search ended."""

    place: Floats  #: (p)
    cost: float
    why: str  #: it ended, in words


class Derivatives:
    """Derivatives of what is simulated, by differences; kept for points near the one where they were made."""

    def __init__(self, parameters: Sequence[Searched], simulate: Simulate, reach: float, *, central: bool) -> None:
        self._simulate, self._reach, self._central = simulate, reach, central
        self._steps = np.array([each.step for each in parameters])
        self._made: list[tuple[Floats, Floats]] = []
        self.unevenness: Floats | None = None  #: (all, p) of the last central ones: what no straight line explains

    def at(self, place: Floats) -> Floats:
        """(all, p) at `place` (p), or near. Raises SolverError if the runs there fail."""
        near = [(float(np.abs(place - where).max()), found) for where, found in self._made]
        close = [entry for entry in near if entry[0] <= self._reach]
        if close:
            return min(close, key=lambda entry: entry[0])[1]
        size = len(place)
        steps = np.diag(self._steps)
        up, down = np.minimum(place + steps, 1.0), np.maximum(place - steps, 0.0)
        if not self._central:  # towards the side with more room
            towards = np.diag(place + steps) <= 1.0
            up = np.where(towards[:, None], up, place)
            down = np.where(towards[:, None], place, down)
        ends = self._simulate(np.concatenate([up, down]))
        width = np.diag(up) - np.diag(down)
        found = ((ends[:size] - ends[size:]) / width[:, None]).T
        if self._central:
            self.unevenness = ((ends[:size] + ends[size:]) / 2 - self._simulate(place[None, :])).T
        self._made.append((place.copy(), found))
        return np.asarray(found)


def least_squares(problem: Problem, start: Floats, simulate: Simulate, tolerance: float, reach: float) -> Found:
    """The trust-region reflective algorithm of SciPy from one start; its differences are simulated at once."""
    from scipy.optimize import least_squares as solve

    derivatives = Derivatives(problem.parameters, simulate, reach, central=False)
    best = Found(start, np.inf, "")

    def residuals(place: Floats) -> Floats:
        nonlocal best
        simulated = simulate(place[None, :])
        if np.isinf(best.cost) and not np.isfinite(problem.residuals(simulated)).all():
            raise SolverError("the run at the start of a search failed")
        total: Floats = problem.all_residuals(place[None, :], simulated)[0]
        cost = float(total @ total)
        if cost < best.cost:
            best = Found(place.copy(), cost, "")
        return total

    def slopes(place: Floats) -> Floats:
        found = derivatives.at(place)[problem.counts] / problem.unit[:, None]
        if not np.isfinite(found).all():
            raise SolverError("a run beside a point of the search failed")
        return np.concatenate([found, problem.slopes_of_surprises(place)])

    try:
        result = solve(
            residuals,
            np.clip(start, INSIDE, 1 - INSIDE),
            slopes,
            bounds=(0.0, 1.0),
            ftol=tolerance,
            xtol=tolerance,
            gtol=None,
            max_nfev=100,
        )
    except SpentError:
        return Found(best.place, best.cost, "no more runs were allowed")
    why = {2: "no step improved it by more than the tolerance", 3: "steps became shorter than the tolerance"}
    why[4] = f"{why[2]}, and {why[3]}"
    return Found(best.place, best.cost, why.get(result.status, "100 steps"))


def multi_start(
    problem: Problem, starts: int, seed: int, simulate: Simulate, tolerance: float, reach: float
) -> list[Found]:
    """Least squares from the first guess, and from the best of points spread over the bounds; the best comes first."""
    first = starting_points(problem.parameters, 1, seed)
    chosen = first
    if starts > 1:
        spread = starting_points(problem.parameters, 1 + 4 * (starts - 1), seed)[1:]
        cost = problem.cost(spread, simulate(spread))
        chosen = np.concatenate([first, spread[np.argsort(cost, kind="stable")[: starts - 1]]])
    searches: list[Callable[[Simulate], Found]] = [
        partial(_search, problem, start, tolerance=tolerance, reach=reach) for start in chosen
    ]
    return sorted(in_lockstep(searches, simulate), key=lambda found: found.cost)


def _search(problem: Problem, start: Floats, simulate: Simulate, *, tolerance: float, reach: float) -> Found:
    return least_squares(problem, start, simulate, tolerance, reach)


def sampled(
    problem: Problem, kind: str, seed: int, simulate: Simulate, size: int, patience: int, tolerance: float
) -> list[Found]:
    """Optuna's samplers: ask for `size` points, simulate them at once, tell; until nothing improves any more."""
    import warnings

    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    names = [f"p{number}" for number in range(len(problem.parameters))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler: Any = (
            optuna.samplers.CmaEsSampler(seed=seed, popsize=size)
            if kind == "cma"
            else optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=True, n_startup_trials=size)
        )
    study = optuna.create_study(sampler=sampler)
    distributions: dict[str, Any] = {name: optuna.distributions.FloatDistribution(0.0, 1.0) for name in names}
    start = np.array([each.begin for each in problem.parameters])
    study.enqueue_trial(dict(zip(names, start.tolist(), strict=True)))
    best = Found(start, np.inf, "")
    idle = 0
    while idle < patience:
        trials = [study.ask(distributions) for _ in range(size)]
        places = np.array([[trial.params[name] for name in names] for trial in trials])
        try:
            simulated = simulate(places)
        except SpentError:
            return [Found(best.place, best.cost, "no more runs were allowed")]
        costs = problem.cost(places, simulated)
        for trial, cost in zip(trials, costs.tolist(), strict=True):
            study.tell(trial, cost)
        least = int(np.argmin(costs))
        idle = 0 if costs[least] < best.cost * (1 - tolerance) else idle + 1
        if costs[least] < best.cost:
            best = Found(places[least], float(costs[least]), "")
    return [Found(best.place, best.cost, f"{patience} batches of {size} points improved it no more")]


__all__ = ["Derivatives", "Found", "Problem", "multi_start", "sampled"]
