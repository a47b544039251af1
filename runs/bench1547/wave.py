"""What the test source does to a device: voltage, angle, frequency and available power over time.

Piecewise linear, with steps; also the times at which settings change on the running device.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from runs.bench1547.device import Array, Settings

#: Columns of a sampled wave: voltage of phases a, b, c [pu], angle of phases a, b, c [deg], frequency [Hz], power [pu].
VOLTAGE, ANGLE, FREQUENCY, AVAILABLE = slice(0, 3), slice(3, 6), 6, 7
COLUMNS = 8

_MILLISECONDS = 3  # digits: knots lie on whole milliseconds, so that no step is shorter


class Wave:
    """A test signal, built from left to right: `hold` lets time pass, `to` steps or ramps, `change` sets settings."""

    def __init__(self, *, voltage: ArrayLike = 1.0, frequency: float = 60.0, available: float = 1.0) -> None:
        start = np.zeros(COLUMNS)
        start[VOLTAGE], start[FREQUENCY], start[AVAILABLE] = voltage, frequency, available
        self._times: list[float] = [0.0]
        self._values: list[Array] = [start]
        self._changes: list[tuple[float, Settings]] = []
        self._watched: list[float] = []

    @property
    def end(self) -> float:
        """The time [s] built so far."""
        return self._times[-1]

    @property
    def changes(self) -> Sequence[tuple[float, Settings]]:
        """When [s] which settings change on the running device."""
        return self._changes

    def hold(self, seconds: float) -> Wave:
        """Let time pass with all as it is."""
        self._add(self.end + seconds, self._values[-1])
        return self

    def to(
        self,
        *,
        voltage: ArrayLike | None = None,
        angle: ArrayLike | None = None,
        frequency: float | None = None,
        available: float | None = None,
        over: float = 0.0,
    ) -> Wave:
        """Go to new values at once, or by a ramp `over` so many seconds."""
        value = self._values[-1].copy()
        for column, new in ((VOLTAGE, voltage), (ANGLE, angle), (FREQUENCY, frequency), (AVAILABLE, available)):
            if new is not None:
                value[column] = new
        self._add(self.end + over, value)
        return self

    def change(self, settings: Mapping[str, float | str | bool]) -> Wave:
        """Give the running device new values for some settings, now."""
        self._changes.append((self.end, settings))
        return self

    def watch(self, after: float) -> Wave:
        """Step finely from `after` seconds from now on: something is expected to happen there."""
        self._watched.append(round(self.end + after, _MILLISECONDS))
        return self

    def breakpoints(self) -> NDArray[np.float64]:
        """Every time [s] at which something changes or is expected, ends included."""
        times = self._times + [time for time, _ in self._changes] + [time for time in self._watched if time < self.end]
        return np.unique(np.array(times))

    def sample(self, times: Array) -> Array:
        """The values at `times` [s], shape (len(times), COLUMNS); at a step, the value after it."""
        knots, values = np.array(self._times), np.array(self._values)
        last = np.clip(np.searchsorted(knots, times, side="right") - 1, 0, len(knots) - 2)
        length = knots[last + 1] - knots[last]
        share = np.clip((times - knots[last]) / np.where(length > 0, length, 1.0), 0.0, 1.0)
        sampled: Array = values[last] + share[:, None] * (values[last + 1] - values[last])
        return sampled

    def _add(self, time: float, value: Array) -> None:
        self._times.append(round(time, _MILLISECONDS))
        self._values.append(value)
