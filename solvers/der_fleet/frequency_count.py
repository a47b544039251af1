"""The 299 s of frequency ride-through, cumulative in any ten minutes (Table 19)."""

from __future__ import annotations

from typing import Final

import numpy as np

from solvers.der_fleet.arrays import ROUNDING, Booleans, Floats, Integers
from solvers.ieee1547_tables import FREQUENCY_WINDOW, RIDE_THROUGH

REQUIRED: Final = next(row.minimum for row in RIDE_THROUGH if row.quantity == "frequency" and row.mode == "mandatory")

#: Excursions remembered. When there are more in ten minutes the two oldest are joined, their durations kept.
MEMORY: Final = 16


_LONG_AGO: Final = -1e9  #: [s]


class FrequencyCount:
    """Time spent beyond one side of the continuous region; the excursions of the last ten minutes are kept."""

    def __init__(self, n: int) -> None:
        self.n = n
        self.spans: Floats = np.empty((2, 0, n))  #: (start and end, MEMORY, n) [s], latest last; made when needed
        self.running = np.zeros(n, bool)
        self._any_running = False

    def step(self, dt_s: float, time_s: float, beyond: Booleans | None) -> Booleans | None:
        """(n,) whose required time is over at the end of the step from `time_s` [s]; None: nobody's.

        `beyond` (n,): frequency is beyond this side of the continuous region during the step; None: nobody's.
        """
        if beyond is None or not beyond.any():
            if self._any_running:
                self.running[:] = self._any_running = False
            return None
        if self.spans.shape[1] == 0:
            self.spans = np.full((2, MEMORY, self.n), _LONG_AGO)
        new = beyond & ~self.running
        if new.any():
            self._open(np.flatnonzero(new), time_s)
        self.running, self._any_running = beyond.copy(), True
        now = time_s + dt_s
        self.spans[1, -1, beyond] = now
        start, end = np.maximum(self.spans, now - FREQUENCY_WINDOW)
        return np.asarray(beyond & ((end - start).sum(axis=0) > REQUIRED + ROUNDING))

    def _open(self, rows: Integers, time_s: float) -> None:
        """Begin an excursion of the DER `rows`; the oldest place is freed by joining it to the next."""
        kept = self.spans[:, 1:, rows]
        kept[0, 0] -= self.spans[1, 0, rows] - self.spans[0, 0, rows]
        self.spans[:, :-1, rows] = kept
        self.spans[:, -1, rows] = time_s
