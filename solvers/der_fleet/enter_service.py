"""Entering service, after a trip or at a cold start (4.10): criteria, delay, then a ramp or a randomised delay."""

from __future__ import annotations

import numpy as np

from solvers.der_fleet.arrays import ROUNDING, Booleans, Floats
from solvers.der_fleet.may_trip import lots
from solvers.der_fleet.phases import Measured
from solvers.der_fleet.settings import FleetSettings


class EnterService:
    """State (n,): out of service, seconds for which the criteria hold, delay drawn, cap on active power."""

    def __init__(self, settings: FleetSettings, seed: int, *, in_service: Booleans) -> None:
        n = settings.n
        self.seed = seed
        self.low, self.high = settings["ES_V_low_pu"], settings["ES_V_high_pu"]
        self.slow, self.fast = settings["ES_f_low_Hz"], settings["ES_f_high_Hz"]
        self.delay, self.ramp = settings["ES_delay_s"], settings["ES_ramp_s"]
        self.randomised = settings.flags["ES_randomised"]
        self.largest = settings["ES_random_delay_s"]
        self.permit = settings.flags["ES_permit_service"]
        self.least = settings["P_min_pu"]
        self.battery = settings.flags["battery"]
        self.out = ~in_service
        self.cap = np.where(in_service, 1.0, 0.0)  #: [pu] of rating
        self.waited = np.zeros(n)  #: [s]
        self.occasion = np.zeros(n, np.intp)
        self.drawn = np.zeros(n)  #: [s] randomised delay of the coming entry
        self.reentered = np.full(n, np.nan)  #: [s] time of the latest entry
        self._draw(np.flatnonzero(self.out))
        self._all_in = bool(in_service.all())

    def retain(self, other: EnterService) -> None:
        """Take over the state from before a change of settings."""
        for name in ("out", "cap", "waited", "occasion", "drawn", "reentered", "_all_in"):
            setattr(self, name, getattr(other, name))

    def trip(self, which: Booleans) -> None:
        """Put `which` (n,), in service till now, out of service, before the step."""
        self.out |= which
        self.cap[which] = 0.0
        self.waited[which] = 0.0
        self._draw(np.flatnonzero(which))
        self._all_in = False

    def _draw(self, rows: np.typing.NDArray[np.intp]) -> None:
        self.occasion[rows] += 1
        self.drawn[rows] = np.where(
            self.randomised[rows], lots(self.seed, 2, rows, self.occasion[rows]) * self.largest[rows], 0.0
        )

    def step(self, dt_s: float, time_s: float, measured: Measured, available_pu: Floats) -> Floats | None:
        """(n,) cap on active power [pu of rating] after the step from `time_s` [s]; None: all in full service."""
        if self._all_in:
            return None
        good = (measured.low >= self.low) & (measured.high <= self.high)
        good &= (measured.frequency >= self.slow) & (measured.frequency <= self.fast)
        good &= self.permit & (self.battery | (available_pu >= self.least))
        good &= self.out
        self.waited = np.where(good, self.waited + dt_s, 0.0)
        needed = self.delay + self.drawn
        entering = good & (self.waited >= needed - ROUNDING)
        # What is left of the step after the moment of entry already belongs to the ramp.
        rest = np.where(entering, np.clip(self.waited - needed, 0.0, dt_s), dt_s)
        if entering.any():
            self.reentered[entering] = time_s + dt_s - rest[entering]
            self.out &= ~entering
        rising = ~self.out & (self.cap < 1.0)
        rise = np.where(self.randomised, 1.0, rest / self.ramp)
        self.cap = np.where(rising, np.minimum(self.cap + rise, 1.0), self.cap)
        self.cap[self.cap > 1.0 - ROUNDING] = 1.0
        self._all_in = bool((self.cap >= 1.0).all())
        return self.cap
