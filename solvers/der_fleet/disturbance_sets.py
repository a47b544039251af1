"""Voltage disturbances one after another: how long a DER has ridden through, and how many (6.4.2.5, Table 17).

Ride-through times add up within a disturbance set: a set ends when the voltage has been in the continuous region for
the category's minimum gap. Beyond the number of sets within the window, or beyond the minimum time of the region
where the voltage is, a DER may trip.
"""

from __future__ import annotations

import numpy as np

from solvers.der_fleet.arrays import ROUNDING, Booleans, Floats
from solvers.der_fleet.ride_through import Asked, Mode
from solvers.der_fleet.settings import FleetSettings
from solvers.ieee1547_tables import ABNORMAL_CATEGORIES, CONSECUTIVE


class DisturbanceSets:
    """State (n,): time below and above in the open set, time since, sets counted, when counting began."""

    def __init__(self, settings: FleetSettings) -> None:
        n, category = settings.n, settings.category
        rows = sorted(CONSECUTIVE, key=lambda row: ABNORMAL_CATEGORIES.index(row.category))
        self.allowed = np.array([row.sets for row in rows])[category]
        self.gap: Floats = np.array([row.minimum_gap for row in rows])[category]
        self.window: Floats = np.array([row.window * 60.0 for row in rows])[category]
        self.below = np.zeros(n)  #: [s] cumulative in the open set
        self.above = np.zeros(n)  #: [s] cumulative in the open set
        self.quiet = np.zeros(n)  #: [s] in the continuous region since the last excursion of the open set
        self.open = np.zeros(n, bool)
        self.count = np.zeros(n, np.int64)  #: sets since `since`
        self.since = np.full(n, -np.inf)  #: [s] start of the first set counted
        self._any_open = False

    def retain(self, other: DisturbanceSets) -> None:
        """Take over the state from before a change of settings."""
        for name in ("below", "above", "quiet", "open", "count", "since", "_any_open"):
            setattr(self, name, getattr(other, name))

    def step(self, dt_s: float, time_s: float, asked: Asked | None) -> Booleans | None:
        """(n,) who may trip by voltage at the end of the step that starts at `time_s` [s]; None: nobody."""
        disturbed = None if asked is None else asked.below | asked.above
        if asked is None or disturbed is None or not disturbed.any():
            if self._any_open:
                self.quiet[self.open] += dt_s
                self._close()
            return None
        new = disturbed & ~self.open
        if new.any():
            restart = new & (time_s - self.since > self.window)
            self.count[restart], self.since[restart] = 0, time_s
            self.count[new] += 1
            self.open |= new
        self.quiet[disturbed] = 0.0
        self.quiet[self.open & ~disturbed] += dt_s
        self.below[asked.below] += dt_s
        self.above[asked.above] += dt_s
        self._close()
        over = (self.below > asked.low_minimum + ROUNDING) | (self.above > asked.high_minimum + ROUNDING)
        return np.asarray(over | (disturbed & (self.count > self.allowed)) | (asked.mode == Mode.CEASE_TO_ENERGIZE))

    def _close(self) -> None:
        done = self.open & (self.quiet >= self.gap - ROUNDING)
        if done.any():
            self.open &= ~done
            self.below[done] = self.above[done] = self.quiet[done] = 0.0
        self._any_open = bool(self.open.any())
