"""Forecasts that a calibrated load model must beat: what anyone would try first, on the same data."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from solvers.temperature_response import weighted_mean

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Instants = NDArray[np.datetime64]

HEATING = (14.0, 16.0, 18.0)  #: [degC] bases of heating degree hours to choose from
COOLING = (18.0, 20.0, 22.0, 24.0)  #: [degC] likewise of cooling degree hours


def week_before(load: Floats, rows_a_day: int) -> Floats:
    """The measured load (n) of the same slot a week before; NaN in the first week. It uses data 7 days old."""
    shifted = np.full(len(load), np.nan)
    shifted[7 * rows_a_day :] = load[: -7 * rows_a_day]
    return shifted


def degree_hours(wall: Instants, temperature: Floats, load: Floats, fit: Flags) -> Floats:
    """Linear regression (n) of the load on the hour of the week, and on heating and cooling degree hours.

    Fitted to the rows `fit` (n) with least squares; of the base temperatures those that fit best there.
    """
    slot = _hour_of_week(wall)
    known = fit & np.isfinite(load) & np.isfinite(temperature)
    count = np.maximum(np.bincount(slot[known], minlength=168), 1)

    def centred(values: Floats) -> tuple[Floats, Floats]:
        """Less the mean of the hour of the week (Frisch, Waugh and Lovell: so the 168 hours need no columns)."""
        means = np.bincount(slot[known], values[known], 168) / count
        return values - means[slot], means[slot]

    left, level = centred(load)
    best, least = np.full(len(load), np.nan), np.inf
    for heating in HEATING:
        for cooling in COOLING:
            degrees = (np.maximum(heating - temperature, 0.0), np.maximum(temperature - cooling, 0.0))
            right = np.stack([centred(column)[0] for column in degrees], axis=1)
            slopes = np.linalg.lstsq(right[known], left[known], rcond=None)[0]
            guess = level + right @ slopes
            error = float(np.mean((guess - load)[known] ** 2))
            if error < least:
                best, least = guess, error
    return best


def hong(wall: Instants, temperature: Floats, load: Floats, fit: Flags, step: float) -> Floats:
    """The benchmark model of T. Hong (n) with lags of the temperature; `step` [h] between the rows.

    Trend, month, weekday by hour, cubic temperature by month and by hour (T. Hong, Short term electric load
    forecasting, dissertation, North Carolina State University, 2010), and cubic means of the last 24 and 72 h by hour;
    fitted to the rows `fit` (n).
    """
    month = (wall.astype("datetime64[M]").astype(np.int64)) % 12
    hour = _hour_of_week(wall)
    months, hours = np.eye(12)[month], np.eye(24)[hour % 24]
    trend = np.linspace(-0.5, 0.5, len(wall))[:, None]
    blocks = [trend, months, np.eye(168)[hour]]
    for tau in (0.0, 24.0, 72.0):
        mean = weighted_mean(np.nan_to_num(temperature, nan=float(np.nanmean(temperature))), tau, step)
        scaled = (mean - np.nanmean(temperature)) / np.nanstd(temperature)
        for power in (1, 2, 3):
            blocks.append(hours * scaled[:, None] ** power)
            if not tau:
                blocks.append(months * scaled[:, None] ** power)
    return _regression(blocks, load, fit & np.isfinite(temperature))


def _hour_of_week(wall: Instants) -> NDArray[np.int64]:
    hours = wall.astype("datetime64[h]").astype(np.int64)
    return np.asarray((hours + 3 * 24) % 168)  # 1 January 1970 was a Thursday; 0 is Monday 00:00


def _regression(blocks: list[Floats], load: Floats, fit: Flags) -> Floats:
    x = np.hstack(blocks)
    known = fit & np.isfinite(load) & np.isfinite(x).all(axis=1)
    # columns depend on each other (every block holds a constant): a ridge far below rounding of the load
    gram = x[known].T @ x[known]
    ridge = 1e-9 * np.trace(gram) / len(gram) * np.eye(len(gram))
    mean = load[known].mean()
    return np.asarray(mean + x @ np.linalg.solve(gram + ridge, x[known].T @ (load[known] - mean)))
