"""How load depends on temperature, with its thermal lag, on the time of the week, the season and special days.

The logarithm of the load is a sum of smooth terms,

    ln y = m + profile(day type, hour) + season(day of year, hour) + sum over lags of f(T, hour) + ...

each of cubic B-splines with penalties on their second differences (P. H. C. Eilers and B. D. Marx, Flexible smoothing
with B-splines and penalties, Statistical Science 11(2), 1996), so that what the data do not determine stays straight:
also beyond the hottest day of the fit. T is the temperature and its exponentially weighted means, the thermal lag of
buildings (T. Hong, P. Wang, L. White, Weather station selection for electric load forecasting, 2015, use moving means
of 24 h likewise). Two terms run with the wall clock by which people live: the hour and the day.

The level of the load may have a memory: with weights a of whole weeks d, a forecast of ln y at t is

    f(t) + sum a_d (ln y - f)(t - d)

and the same filter is applied to both sides in the fit (generalised least squares), so that the slow drift of the level
does not pass for an effect of the temperature. Without memory the forecast needs no measured load.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Integers = NDArray[np.int64]

DAY_TYPES = ("Monday", "Tuesday to Thursday", "Friday", "Saturday", "Sunday or holiday")
HOLIDAY = len(DAY_TYPES) - 1
WORKDAYS = 3  #: the first so many day types
YEAR = 365.25  #: [d]
TINY_PENALTY = 1e-6  #: on every coefficient, so that constants shared by terms have one solution


@dataclass(frozen=True)
class Structure:
    """What is chosen and not fitted."""

    lags: tuple[float, ...] = (0.0, 24.0, 72.0)  #: [h] time constants of the temperature's weighted means; 0: itself
    ranges: tuple[tuple[float, float], ...] = ((0.0, 45.0), (3.0, 36.0), (5.0, 32.0))  #: [degC] of each, by knots
    knot: float = 3.0  #: [K] between knots of the temperature
    fine: int = 24  #: functions over the hours of the day of the time-of-week profile
    coarse: int = 8  #: functions over the hours of the day with which other terms change
    season: int = 10  #: functions over the year; 0: no season
    workday_lags: int = 2  #: for the first so many lags the response differs on working days
    turn_of_year: bool = True  #: working days from 20 December to 30 January differ
    trend: bool = True  #: the level changes by a constant rate
    periods: tuple[str, ...] = ()  #: periods with a daily profile of their own, such as a month of fasting

    def as_mapping(self) -> dict[str, Any]:
        """Plain data."""
        return {
            name: [list(item) if isinstance(item, tuple) else item for item in value]
            if isinstance(value, tuple)
            else value
            for name, value in vars(self).items()
        }

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> Structure:
        """The inverse of `as_mapping`; other keys are left alone."""
        known = {name: mapping[name] for name in cls.__dataclass_fields__ if name in mapping}
        for name in ("lags", "periods"):
            known[name] = tuple(known.get(name, ()))
        known["ranges"] = tuple((float(low), float(high)) for low, high in known["ranges"])
        return cls(**known)


@dataclass(frozen=True)
class Drivers:
    """What the load depends on, n rows."""

    hour: Floats  #: (n) [h] of the wall clock, 0 ... 24
    day_type: Integers  #: (n) position in `DAY_TYPES`
    year_day: Floats  #: (n) [d] since 1 January
    years: Floats  #: (n) [years] since the middle of what was fitted
    temperatures: Floats  #: (n, lags) [degC]
    periods: Floats = field(default_factory=lambda: np.zeros((0, 0)))  #: (n, periods) 1 within, else 0

    def rows(self, chosen: NDArray[Any]) -> Drivers:
        """The drivers of the rows `chosen`."""
        periods = self.periods[chosen] if self.periods.size else self.periods
        return Drivers(
            self.hour[chosen],
            self.day_type[chosen],
            self.year_day[chosen],
            self.years[chosen],
            self.temperatures[chosen],
            periods,
        )


@dataclass(frozen=True)
class Term:
    """Columns of the design matrix that belong together."""

    name: str
    columns: slice
    penalties: tuple[Floats, ...]  #: (columns, columns) each
    group: str  #: which smoothness counts: "profile", "season", "temperature", "period" or ""


def weighted_mean(temperature: Floats, hours: float, step: float, start: float | None = None) -> Floats:
    """Exponentially weighted mean (n) of `temperature` (n) [degC] with the time constant `hours` [h].

    `step` [h] between the rows; `start` [degC] is the mean before the first, by default the first day's.
    """
    from scipy.signal import lfilter

    if hours <= 0:
        return temperature
    keep = np.exp(-step / hours)
    first = float(np.mean(temperature[: max(1, round(24 / step))])) if start is None else start
    mean, _ = lfilter([1 - keep], [1, -keep], temperature, zi=[keep * first])
    return np.asarray(mean)


def day_types(days: NDArray[np.datetime64], holidays: NDArray[np.datetime64]) -> Integers:
    """The day type (n) of `days` (n, datetime64[D]); `holidays` count as Sundays."""
    weekday = (days.astype("datetime64[D]").astype(np.int64) + 3) % 7  # 1 January 1970 was a Thursday
    types = np.array([0, 1, 1, 1, 2, 3, 4])[weekday]
    return np.where(np.isin(days.astype("datetime64[D]"), holidays), HOLIDAY, types)


def splines(x: Floats, low: float, high: float, count: int) -> Floats:
    """Uniform cubic B-splines (n, count + 3) at `x` (n), on `count` equal intervals from `low` to `high`.

    Beyond the ends they are continued along their tangents, so that a sum of them is straight there.
    """
    width = (high - low) / count
    inside = np.clip(x, low, high)
    position = (inside - low) / width
    interval = np.minimum(position.astype(np.int64), count - 1)
    u = position - interval
    values = np.zeros((len(x), count + 3))
    row = np.arange(len(x))
    pieces = ((1 - u) ** 3, 3 * u**3 - 6 * u**2 + 4, -3 * u**3 + 3 * u**2 + 3 * u + 1, u**3)
    slopes = (-((1 - u) ** 2), 3 * u**2 - 4 * u, -3 * u**2 + 2 * u + 1, u**2)
    beyond = (x - inside) / width
    for number, (piece, slope) in enumerate(zip(pieces, slopes, strict=True)):
        values[row, interval + number] = piece / 6 + slope / 2 * beyond
    return values


def cyclic_splines(x: Floats, period: float, count: int) -> Floats:
    """Uniform cubic B-splines (n, count) over a circle of `period`, at `x` (n)."""
    values = splines(np.mod(x, period), 0.0, period, count)
    folded = values[:, :count].copy()
    folded[:, :3] += values[:, count:]
    return folded


def products(one: Floats, two: Floats) -> Floats:
    """Row by row every product of a column of `one` (n, a) with one of `two` (n, b): (n, a b)."""
    return np.asarray((one[:, :, None] * two[:, None, :]).reshape(len(one), -1))


def _bends(count: int, *, cyclic: bool) -> Floats:
    """The penalty (count, count) on second differences."""
    one = np.eye(count)
    differences = np.roll(one, 1, 0) - 2 * one + np.roll(one, -1, 0) if cyclic else np.diff(one, 2, axis=0)
    return np.asarray(differences.T @ differences)


def design(structure: Structure, drivers: Drivers) -> tuple[Floats, list[Term]]:
    """The design matrix (n, p) and its terms."""
    fine = cyclic_splines(drivers.hour, 24.0, structure.fine)
    coarse = cyclic_splines(drivers.hour, 24.0, structure.coarse)
    daily = _bends(structure.coarse, cyclic=True)
    types = np.eye(len(DAY_TYPES))[drivers.day_type]
    working = (drivers.day_type < WORKDAYS).astype(float)[:, None]
    blocks: list[tuple[str, Floats, tuple[Any, ...], str]] = []

    def add(name: str, over: Floats, bends: Floats, group: str, extra: tuple[Floats, ...] = ()) -> None:
        count = over.shape[1]
        penalties = (np.kron(bends, np.eye(structure.coarse)), np.kron(np.eye(count), daily), *extra)
        blocks.append((name, products(over, coarse), penalties, group))

    profile = np.kron(np.eye(len(DAY_TYPES)), _bends(structure.fine, cyclic=True))
    blocks.append(("profile", products(types, fine), (profile,), "profile"))
    if structure.season:
        season = cyclic_splines(drivers.year_day, YEAR, structure.season)
        add("season", season, _bends(structure.season, cyclic=True), "season")
    for number, (hours, (low, high)) in enumerate(zip(structure.lags, structure.ranges, strict=True)):
        knots = splines(drivers.temperatures[:, number], low, high, round((high - low) / structure.knot))
        bends = _bends(knots.shape[1], cyclic=False)
        add(f"temperature_{hours:g}h", knots, bends, "temperature")
        if number < structure.workday_lags:
            whole = np.eye(knots.shape[1] * structure.coarse)
            add(f"temperature_{hours:g}h_workday", knots * working, bends, "temperature", (whole,))
    if structure.turn_of_year:
        # 2 January was chosen as the middle: the days around it are holidays for most
        since = np.mod(drivers.year_day + YEAR / 2, YEAR) - YEAR / 2
        inside = ((since > -12) & (since < 30)).astype(float)[:, None]
        around = splines(np.clip(since, -12, 30), -12.0, 30.0, 7) * inside * working
        blocks.append(
            ("turn_of_year", products(around, coarse), (np.eye(around.shape[1] * structure.coarse),), "period")
        )
    for number, name in enumerate(structure.periods):
        inside = drivers.periods[:, number : number + 1]
        blocks.append((name, inside * fine, (0.1 * np.eye(structure.fine),), "period"))
    if structure.trend:
        blocks.append(("trend", drivers.years[:, None], (np.zeros((1, 1)),), ""))
    terms, first = [], 0
    for name, columns, penalties, group in blocks:
        terms.append(Term(name, slice(first, first + columns.shape[1]), penalties, group))
        first += columns.shape[1]
    return np.hstack([columns for _, columns, _, _ in blocks]), terms


@dataclass(frozen=True)
class Smoothness:
    """Weights of the penalties, in rows of half an hour."""

    temperature: float = 30.0
    season: float = 30.0
    profile: float = 3.0
    period: float = 3.0

    def penalty(self, terms: Sequence[Term], rows_an_hour: float) -> Floats:
        """The penalty matrix (p, p)."""
        size = terms[-1].columns.stop
        total = TINY_PENALTY * np.eye(size)
        for term in terms:
            weight = getattr(self, term.group, 0.0) * rows_an_hour / 2
            for matrix in term.penalties:
                total[term.columns, term.columns] += weight * matrix
        return total


Memory = Mapping[int, float]  #: lag [d] -> weight; whole weeks


def filtered(values: Floats, memory: Memory, rows_a_day: int) -> Floats:
    """`values` (n, ...) less their weighted past; NaN where the past is not there."""
    result = np.array(values, dtype=float)
    for days, weight in memory.items():
        back = days * rows_a_day
        result[back:] -= weight * values[:-back]
        result[:back] = np.nan
    return result


def reaches(rows: Flags, memory: Memory, rows_a_day: int) -> Flags:
    """From which rows (n) the memory reaches one of `rows` (n)."""
    found = np.zeros(len(rows), np.bool_)
    for days in memory:
        back = days * rows_a_day
        found[back:] |= rows[:-back]
    return found


@dataclass(frozen=True)
class Choice:
    """One way to fit: what cross-validation chooses between."""

    structure: Structure
    memory: Mapping[int, float]
    smoothness: Smoothness


@dataclass(frozen=True)
class Fit:
    """A fitted response."""

    structure: Structure
    terms: tuple[Term, ...]
    mean: float  #: of ln y
    coefficients: Floats  #: (p)
    covariance: Floats  #: (p, p); robust against autocorrelation within blocks
    information: Floats  #: (p, p): the share of the data (not of the penalties) in the coefficients' precision
    memory: Mapping[int, float]
    smoothness: Smoothness
    deviation: float  #: of the residuals of ln y [1], out of sample

    def term(self, name: str) -> Term:
        """The term called `name`. Raises KeyError."""
        for term in self.terms:
            if term.name == name:
                return term
        raise KeyError(name)

    def predict(self, drivers: Drivers) -> Floats:
        """Ln of the load (n), without memory."""
        columns, _ = design(self.structure, drivers)
        return np.asarray(self.mean + columns @ self.coefficients)


def with_memory(prediction: Floats, measured: Floats, memory: Memory, rows_a_day: int) -> Floats:
    """The forecast of ln y (n) from `prediction` (n) and the deviations of ln y `measured` (n) so many days before.

    Where the past is missing its deviation counts as 0.
    """
    deviation = measured - prediction
    deviation = np.where(np.isfinite(deviation), deviation, 0.0)
    result = prediction.copy()
    for days, weight in memory.items():
        back = days * rows_a_day
        result[back:] += weight * deviation[:-back]
    return result


def fit(
    structure: Structure,
    drivers: Drivers,
    load: Floats,
    rows: Flags,
    blocks: Integers,
    memory: Memory,
    smoothness: Smoothness,
    rows_a_day: int,
    hidden: Flags | None = None,
) -> Fit:
    """Fit to the `rows` (n) of ln `load` (n); `blocks` (n) number stretches within which residuals are correlated.

    Rows whose memory reaches a `hidden` row (n; by default all but `rows`) are left out. The covariance is that of
    clustered residuals (K.-Y. Liang and S. L. Zeger, Biometrika 73(1), 1986), with the penalties as prior knowledge of
    the same weight (G. Marra and S. N. Wood, Scandinavian Journal of Statistics 39(1), 2012).
    """
    from scipy.linalg import cho_factor, cho_solve

    with np.errstate(divide="ignore", invalid="ignore"):
        log = np.log(load)
    used = rows & np.isfinite(log) & np.isfinite(drivers.temperatures).all(axis=1)
    used &= ~reaches(~rows if hidden is None else hidden, memory, rows_a_day)
    mean = float(log[used].mean())
    columns, terms = design(structure, drivers)
    left = filtered(log - mean, memory, rows_a_day)
    right = filtered(columns, memory, rows_a_day)
    used &= np.isfinite(left) & np.isfinite(right).all(axis=1)
    x, y = right[used], left[used]
    gram = x.T @ x
    penalty = smoothness.penalty(terms, rows_a_day / 24)
    factor = cho_factor(gram + penalty)
    coefficients = cho_solve(factor, x.T @ y)
    residual = y - x @ coefficients
    inverse = cho_solve(factor, np.eye(len(gram)))
    information = inverse @ gram
    freedom = float(np.trace(information))
    scale = float(residual @ residual) / max(len(y) - freedom, 1.0)
    starts = np.flatnonzero(np.r_[True, np.diff(blocks[used]) != 0])
    scores = np.add.reduceat(x * residual[:, None], starts, axis=0)
    many = len(starts)
    meat = scores.T @ scores * (many / max(many - 1, 1)) * (len(y) / max(len(y) - freedom, 1.0))
    inflation = max(float(np.trace(meat)) / (scale * float(np.trace(gram))), 1.0)
    covariance = inverse @ (meat + inflation * scale * penalty) @ inverse
    return Fit(
        structure,
        tuple(terms),
        mean,
        coefficients,
        (covariance + covariance.T) / 2,
        information,
        dict(memory),
        smoothness,
        float(np.sqrt(scale)),
    )


@dataclass(frozen=True)
class Trial:
    """One choice and its cross-validated error."""

    choice: Choice
    error: float  #: on the left-out folds [%], CV(RMSE) or MAPE
    losses: Floats = field(default_factory=lambda: np.zeros(0))  #: (blocks) their parts of what the error is made of


def cross_validate(
    structure: Structure,
    drivers: Drivers,
    loads: Floats,
    rows: Flags,
    folds: Integers,
    blocks: Integers,
    memories: Sequence[Memory],
    smoothness: Sequence[Smoothness],
    rows_a_day: int,
    every: int = 1,
    loss: Literal["CV(RMSE)", "MAPE"] = "CV(RMSE)",
) -> list[list[Trial]]:
    """Blocked cross-validation within `rows` (n): each of the `folds` (n) predicted from the others.

    `blocks` (n) number the stretches of days that the folds consist of; errors are summed for each.

    `loads` (n, m): the trials of each of the m loads, which share the drivers. All choices are compared on the same
    rows, those that the longest memory of all may use. `every`: of the rows only each such one counts. A memory that
    leaves less than a tenth of the rows to fit to is not tried.
    """
    from scipy.linalg import cho_factor, cho_solve

    with np.errstate(divide="ignore", invalid="ignore"):
        log = np.log(loads)
    good = rows & np.isfinite(log).all(axis=1) & np.isfinite(drivers.temperatures).all(axis=1)
    columns, terms = design(structure, drivers)
    usable = []
    for memory in memories:
        long_enough = np.arange(len(log)) >= max(memory, default=0) * rows_a_day
        own = good & long_enough & ~reaches(~good, memory, rows_a_day)
        if own.sum() >= 0.1 * good.sum():
            usable.append((memory, own))
    common = np.logical_and.reduce([own for _, own in usable])
    thin = np.zeros(len(log), np.bool_)
    thin[::every] = True
    counted, block = np.unique(blocks[common & thin], return_inverse=True)
    position = np.zeros(len(log), np.int64)
    position[common & thin] = block
    judged = loads[common & thin]
    mean = log[good].mean(axis=0)
    trials: list[list[Trial]] = [[] for _ in range(loads.shape[1])]
    for memory, allowed in usable:
        chosen = np.flatnonzero(allowed & thin)
        x, y = columns[chosen], log[chosen] - mean
        for days, weight in memory.items():
            before = chosen - days * rows_a_day
            x, y = x - weight * columns[before], y - weight * (log[before] - mean)
        fold = folds[chosen]
        parts = [fold == number for number in np.unique(fold)]
        grams = [x[part].T @ x[part] for part in parts]
        moments = [x[part].T @ y[part] for part in parts]
        whole, moment = sum(grams), sum(moments)
        for smooth in smoothness:
            penalty = smooth.penalty(terms, rows_a_day / 24 / every)
            losses = np.zeros((len(counted), loads.shape[1]))
            for part, gram, own_moment in zip(parts, grams, moments, strict=True):
                factor = cho_factor(whole - gram + penalty, overwrite_a=True, check_finite=False)
                coefficients = cho_solve(factor, moment - own_moment, check_finite=False)
                seen = part & common[chosen]
                truth = loads[chosen[seen]]
                guess = np.exp(log[chosen[seen]] - (y[seen] - x[seen] @ coefficients))
                miss = guess - truth
                np.add.at(losses, position[chosen[seen]], miss**2 if loss == "CV(RMSE)" else np.abs(miss / truth))
            means = losses.sum(axis=0) / len(judged)
            errors = 100 * (np.sqrt(means) / judged.mean(axis=0) if loss == "CV(RMSE)" else means)
            for found, error, by_part in zip(trials, errors, losses.T, strict=True):
                found.append(Trial(Choice(structure, dict(memory), smooth), float(error), by_part))
    return trials


def indistinct(trials: Sequence[Trial]) -> list[Trial]:
    """The trials that cross-validation cannot tell from the best: worse by no more than one standard error.

    That of the difference, over the blocks (the one-standard-error rule of T. Hastie, R. Tibshirani and J. Friedman,
    The Elements of Statistical Learning, 2009, section 7.10, on paired differences: what makes a block hard is the
    same for both). The best comes first.
    """
    best = min(trials, key=lambda trial: trial.error)
    found = [best]
    for trial in trials:
        worse = trial.losses - best.losses
        count = len(worse)
        error = np.sqrt(count / max(count - 1, 1) * np.sum((worse - worse.mean()) ** 2))
        if trial is not best and worse.sum() <= error:
            found.append(trial)
    return found
