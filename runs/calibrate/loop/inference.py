"""From the best point to parameters with intervals, and to what the data cannot tell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cosim.calibrated import Parameter
from cosim.errors import SolverError
from runs.calibrate.loop.lockstep import Simulate
from runs.calibrate.loop.observed import Observed
from runs.calibrate.loop.search import Derivatives, Found, Problem, least_squares, multi_start
from runs.calibrate.loop.searched import Searched
from solvers.parameter_uncertainty import Uncertainty, uncertainty

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Searching:
    """How least squares searches."""

    starts: int = 1
    tolerance: float = 1e-4
    reach: float = 0.02
    seed: int = 1


def problem_of(parameters: Sequence[Searched], observed: Observed, measured: Floats) -> Problem:
    """The problem whose residuals count by the noise that is known, else by the spread of their series.

    `measured` (all) stands in place of what was measured: the same, or a twin's.
    """
    counts = observed.fitted
    known = observed.known_noise
    unit = np.where(np.isnan(known), observed.spread, known)
    return Problem(parameters, measured[counts], counts, unit[observed.group[counts]], not np.isnan(known).any())


def weighted_by_noise(problem: Problem, observed: Observed, place: Floats, simulate: Simulate) -> Problem | None:
    """The problem weighted by the noise that the best point leaves; None if that changes nothing.

    Weights matter where there are several series, or prior knowledge: what it counts depends on the noise.
    """
    if problem.weighs_priors:
        return None
    known, group = observed.known_noise, observed.group[problem.counts]
    residual = problem.residuals(simulate(place[None, :]))[0]
    unit = problem.unit.copy()
    for number in np.flatnonzero(np.isnan(known)).tolist():
        own = group == number
        if own.any():
            freedom = max(int(own.sum()) - len(place), 1)
            size = np.sqrt(float(residual[own] @ residual[own]) / freedom)
            unit[own] *= max(size, 1e-9)
    better = replace(problem, unit=unit, weighs_priors=True)
    alone = len(np.unique(group)) == 1 and not better.surprises(place[None, :]).any()
    return None if alone and not any(each.prior.spread for each in problem.parameters) else better


def fit_least_squares(
    problem: Problem, observed: Observed, simulate: Simulate, how: Searching
) -> tuple[Problem, Found, list[Found]]:
    """Search; where weights or priors depend on the noise, estimate it and search once more from the best.

    The problem as weighted in the end, its best point, and where every start ended.
    """
    found = multi_start(problem, how.starts, how.seed, simulate, how.tolerance, how.reach)
    again = weighted_by_noise(problem, observed, found[0].place, simulate)
    if again is None:
        return problem, found[0], found
    return again, least_squares(again, found[0].place, simulate, how.tolerance, how.reach), found


def judge(
    problem: Problem, observed: Observed, place: Floats, simulate: Simulate, derivatives: Derivatives
) -> Uncertainty:
    """The uncertainty at the best point. Raises SolverError if runs beside it fail."""
    slopes = derivatives.at(place)[problem.counts]
    if not np.isfinite(slopes).all():
        raise SolverError("a run beside the best point failed, so nothing can be said of its uncertainty")
    group = observed.group[problem.counts]
    numbers, position = np.unique(group, return_inverse=True)
    prior = problem.slopes_of_surprises(place)
    first = np.array([problem.unit[group == number][0] for number in numbers])
    residuals, slopes = problem.residuals(simulate(place[None, :]))[0], slopes / problem.unit[:, None]
    known = observed.known_noise[numbers] / first
    plain = uncertainty(residuals, slopes, position, place, prior.T @ prior, known)
    rough = roughness(problem, derivatives)
    if rough is None or not rough.any():
        return plain
    # the search meets the roughness as it meets noise: its best point is displaced by both
    squares = np.array([np.mean(rough[position == number] ** 2) for number in range(len(numbers))])
    return uncertainty(residuals, slopes, position, place, prior.T @ prior, np.sqrt(plain.noise**2 + squares))


def roughness(problem: Problem, derivatives: Derivatives) -> Floats | None:
    """How far results lie off a straight line over the differences' steps (m), as a standard deviation.

    The mean of two ends less the middle, of errors that are as large in each, has 1.5 times their variance.
    """
    if derivatives.unevenness is None:
        return None
    off = derivatives.unevenness[problem.counts] / problem.unit[:, None]
    return np.asarray(np.sqrt(np.mean(off**2, axis=1) / 1.5))


def parameters_of(searched: Mapping[str, Searched], place: Floats, found: Uncertainty) -> dict[str, Parameter]:
    """The parameters with intervals, within their bounds."""
    names = list(searched)
    result = {}
    for number, (name, each) in enumerate(searched.items()):
        low, high = (
            float(each.value(np.clip(place[number] + sign * found.half[number], 0.0, 1.0))) for sign in (-1, 1)
        )
        notes = [f"Set at {each.path}."]
        if found.at_bound[number]:
            side = "lower" if found.at_bound[number] < 0 else "upper"
            notes.append(f"At its {side} bound: the data want it beyond, and the interval does not hold.")
        others = sorted({other for members in found.confused if number in members for other in members} - {number})
        if not found.identified[number] and others:
            notes.append(f"Cannot be told apart from {', '.join(names[other] for other in others)}.")
        elif not found.identified[number] and not found.at_bound[number]:
            notes.append("The data say little of it: the interval is more than half of the distance of its bounds.")
        notes += [
            f"Strongly correlated with {names[two if number == one else one]} ({value:+.3f})."
            for one, two, value in found.correlated
            if number in (one, two)
        ]
        result[name] = Parameter(
            value=_rounded(float(each.value(np.array(place[number])))),
            unit=each.unit or "1",
            interval=(_rounded(low), _rounded(high)),
            identified=bool(found.identified[number]),
            note=" ".join(notes),
        )
    return result


def warnings_of(searched: Mapping[str, Searched], found: Uncertainty) -> Iterator[str]:
    """What a user must know of the parameters."""
    names = list(searched)
    for members in found.confused:
        named = [names[number] for number in members]
        if len(named) > 1:
            yield f"the data cannot tell {' and '.join(named)} apart: only a combination of them is determined"
        else:
            yield f"the data say little of {named[0]}"
    for number, side in enumerate(found.at_bound):
        if side:
            yield f"{names[number]} is at its {'lower' if side < 0 else 'upper'} bound"
    for one, two, value in found.correlated:
        yield f"{names[one]} and {names[two]} are told apart, but hardly: correlation {value:+.3f}"


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")


__all__ = [
    "Searching",
    "fit_least_squares",
    "judge",
    "parameters_of",
    "problem_of",
    "roughness",
    "warnings_of",
    "weighted_by_noise",
]
