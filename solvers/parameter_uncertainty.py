"""How well data determine fitted parameters: intervals, and which parameters the data cannot tell apart.

Least squares at its optimum: residuals r (m) and their derivatives J (m, p) with respect to parameters that lie between
0 and 1, their bounds. With A = J'J + P, P the precision of prior knowledge, the covariance is the sandwich
A^-1 B A^-1, B = sum over groups of s² J' R J, plus P: s² is the variance of the residuals of a group (a series), R
the correlation of a first-order autoregressive error where the residuals show one (G. A. F. Seber and C. J. Wild,
Nonlinear Regression, 1989, sections 2.1, 6.2 and 12.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

LEVEL = 0.95
WEAK = 0.25  #: a half-width of the interval, as a share of the bounds' distance, from which on data say too little
TAKES_PART = 0.3  #: the share in a weak direction from which on a parameter belongs to it
STRONG = 0.95  #: a correlation that is worth a word
AT_BOUND = 1e-3  #: of the bounds' distance
MOST_LASTING = 0.98
FLOOR = 1e-10  #: of the largest information: below it a direction has none that differences could show
NOTHING = 1e6  #: the variance along a direction of which the data say nothing


@dataclass(frozen=True)
class Uncertainty:
    """Of p parameters between 0 and 1."""

    covariance: Floats  #: (p, p)
    half: Floats  #: (p) half-widths of the 95 % intervals
    noise: Floats  #: (groups) standard deviation of the residuals, in their own unit
    lasting: Floats  #: (groups) correlation of a residual with the one before
    identified: NDArray[np.bool_]  #: (p)
    confused: Sequence[tuple[int, ...]]  #: sets of parameters of which the data determine fewer combinations
    correlated: Sequence[tuple[int, int, float]]  #: pairs that are told apart, but hardly
    at_bound: Integers  #: (p) -1 at the lower bound, 1 at the upper, else 0
    directions: Floats  #: (p, p) columns: combinations of parameters, the best known first
    spread: Floats  #: (p) standard deviation along each


def uncertainty(
    residuals: Floats,
    derivatives: Floats,
    group: Integers,
    place: Floats,
    prior: Floats | None = None,
    known: Floats | None = None,
) -> Uncertainty:
    """Uncertainty at the optimum `place` (p).

    `residuals` (m) and `derivatives` (m, p) are in units in which all groups count alike; `group` (m) numbers the
    series; `prior` (p, p) is the precision of prior knowledge in the same units; `known` (groups) the standard
    deviation of a group's error where it is known, else NaN.
    """
    from scipy.stats import t as student

    count, size = derivatives.shape
    groups = int(group.max()) + 1 if count else 0
    prior = np.zeros((size, size)) if prior is None else prior
    known = np.full(groups, np.nan) if known is None else known
    inverse, unknown = _inverse(derivatives.T @ derivatives + prior)
    spent = float(np.trace(inverse @ (derivatives.T @ derivatives)))  # prior knowledge keeps them off the noise
    freedom = max(count - spent, 1.0)
    noise, lasting = np.zeros(groups), np.zeros(groups)
    effective = 0.0
    middle = prior.copy()
    for number in range(groups):
        rows = group == number
        own, slopes, n = residuals[rows], derivatives[rows], int(rows.sum())
        lasting[number] = _lasting(own, size)
        noise[number] = np.sqrt(float(own @ own) / n * count / freedom) if np.isnan(known[number]) else known[number]
        middle += noise[number] ** 2 * _lagged(slopes, lasting[number])
        effective += n * (1 - lasting[number]) / (1 + lasting[number])
    covariance = inverse @ middle @ inverse + NOTHING * unknown
    spreads, axes = np.linalg.eigh((covariance + covariance.T) / 2)
    spreads = np.sqrt(np.maximum(spreads, 0.0))
    factor = float(student.ppf(0.5 + LEVEL / 2, max(effective - spent, 1.0)))
    deviation = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    half = factor * deviation
    at_bound = np.where(place <= AT_BOUND, -1, np.where(place >= 1 - AT_BOUND, 1, 0))
    confused = [
        tuple(np.flatnonzero(np.abs(axes[:, column]) > TAKES_PART).tolist())
        for column in range(size)
        if factor * spreads[column] > WEAK
    ]
    with np.errstate(divide="ignore", invalid="ignore"):
        correlation = np.nan_to_num(covariance / np.outer(deviation, deviation))
    identified = (half <= WEAK) & (at_bound == 0)
    correlated = [
        (one, two, float(correlation[one, two]))
        for one in range(size)
        for two in range(one + 1, size)
        if abs(correlation[one, two]) > STRONG and identified[one] and identified[two]
    ]
    return Uncertainty(
        covariance, half, noise, lasting, identified, confused, correlated, at_bound.astype(np.int64), axes, spreads
    )


def _lasting(residuals: Floats, size: int) -> float:
    """The correlation of a residual with the one before; 0 unless it is more than chance gives (5 %)."""
    n = len(residuals)
    if n < max(10, 3 * size) or not np.any(residuals):
        return 0.0
    found = float(residuals[1:] @ residuals[:-1] / (residuals @ residuals))
    # n residuals that p parameters were fitted to are correlated by about -p/n where the errors are not
    found += size / n
    return float(np.clip(found, 0.0, MOST_LASTING)) if found > 1.96 / np.sqrt(n) else 0.0


def _lagged(slopes: Floats, lasting: float) -> Floats:
    """J' R J (p, p) of a first-order autoregressive error, R[i, j] = lasting^|i - j|."""
    from scipy.linalg import toeplitz

    total: Floats = slopes.T @ slopes
    reach = len(slopes)
    if lasting <= 0:
        return total
    lags = min(reach - 1, int(np.ceil(np.log(1e-4) / np.log(lasting))))
    if reach <= 2000:
        column = np.where(np.arange(reach) <= lags, lasting ** np.arange(reach, dtype=float), 0.0)
        return np.asarray(slopes.T @ (toeplitz(column) @ slopes))
    for lag in range(1, lags + 1):
        cross = slopes[lag:].T @ slopes[:-lag]
        total = total + lasting**lag * (cross + cross.T)
    return total


def _inverse(information: Floats) -> tuple[Floats, Floats]:
    """The inverse (p, p) of a symmetric matrix on what it has information of, and the projection on what it has not."""
    values, vectors = np.linalg.eigh(information)
    there = values > max(float(values[-1]), 0.0) * FLOOR
    inverse = np.zeros_like(values)
    inverse[there] = 1 / values[there]
    rest = vectors[:, ~there]
    return np.asarray(vectors * inverse @ vectors.T), np.asarray(rest @ rest.T)


__all__ = ["LEVEL", "Uncertainty", "uncertainty"]
