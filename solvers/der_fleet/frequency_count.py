"""The 299 s of frequency ride-through, cumulative in any ten minutes (Table 19)."""

from __future__ import annotations

from typing import Final

import numpy as np

from solvers.der_fleet.arrays import ROUNDING, Booleans, Floats
from solvers.ieee1547_tables import FREQUENCY_WINDOW, RIDE_THROUGH

REQUIRED: Final = next(row.minimum for row in RIDE_THROUGH if row.quantity == "frequency" and row.mode == "mandatory")

#: Excursions remembered. When there are more in ten minutes the two oldest are joined, their durations kept.
MEMORY: Final = 16


class FrequencyCount:
    """Time spent beyond one side of the continuous region; the excursions of the last ten minutes are kept."""

    def __init__(self, n: int) -> None:
        self.n = n
        self.start: Floats | None = None  #: (MEMORY, n) [s], the latest last; made when first needed
        self.end: Floats | None = None  #: (MEMORY, n) [s]
        self.running = np.zeros(n, bool)

    def step(self, dt_s: float, time_s: float, beyond: Booleans) -> Booleans | None:
        """(n,) whose required time is over at the end of the step from `time_s` [s]; None: nobody's.

        `beyond` (n,): frequency is beyond this side of the continuous region during the step.
        """
        if self.start is None or self.end is None:
            if not beyond.any():
                return None
            self.start = np.full((MEMORY, self.n), -np.inf)
            self.end = np.full((MEMORY, self.n), -np.inf)
        new = beyond & ~self.running
        if new.any():
            self._open(np.flatnonzero(new), time_s)
        now = time_s + dt_s
        self.end[-1, beyond] = now
        self.running = beyond.copy()
        if not beyond.any():
            return None
        oldest = now - FREQUENCY_WINDOW
        spent = np.maximum(self.end, oldest) - np.maximum(self.start, oldest)
        return np.asarray(beyond & (spent.sum(axis=0) > REQUIRED + ROUNDING))

    def _open(self, rows: np.typing.NDArray[np.intp], time_s: float) -> None:
        """Begin an excursion of the DER `rows`; where the memory is full the two oldest are joined."""
        starts, ends = self.start, self.end
        if starts is None or ends is None:
            return
        start, end = starts[:, rows], ends[:, rows]
        duration = np.where(np.isfinite(start[0]), end[0] - start[0], 0.0)
        start[1] -= duration
        starts[:-1, rows], ends[:-1, rows] = start[1:], end[1:]
        starts[-1, rows] = ends[-1, rows] = time_s
