"""The course of air temperature over days of which the lows and highs are known."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: How far below the day's high the air is, in parts of the day's range, at 1:00 to 24:00 of local standard time (ASHRAE
#: Handbook Fundamentals, 2009, chapter 14, table 6, of design days).
BELOW_HIGH = 0.01 * np.array(
    [88, 92, 95, 98, 100, 98, 91, 74, 55, 38, 23, 13, 5, 0, 0, 6, 14, 24, 39, 50, 59, 68, 75, 82], dtype=np.float64
)
LOWEST, HIGHEST = 5.0, 14.5  #: [h] of the shape


def temperature_between_extremes(low: Floats, high: Floats, hours: Floats) -> Floats:
    """Air temperature at `hours` since the first day's midnight of local standard time (n) [degC].

    `low` and `high` are (days,) [degC]. From each high the air falls to the low of the day after, so that nothing jumps
    at midnight; before the first low and after the last high the days go on as the first and the last.
    """
    day = np.floor_divide(hours, 24).astype(np.int64)
    hour = hours - 24 * day
    last = len(low) - 1
    next_low = np.clip(day + (hour > HIGHEST), 0, last)
    high_before = np.clip(day - (hour < LOWEST), 0, last)
    below = np.interp(hour, np.arange(25), np.concatenate([BELOW_HIGH[-1:], BELOW_HIGH]))
    found: Floats = high[high_before] - below * (high[high_before] - low[next_low])
    return found
