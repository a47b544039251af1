"""Who trips where the standard allows it: never, at once, or some of them by lot.

A lot is drawn for each disturbance of each DER, so it depends on the seed, the DER's place and the number of its
disturbance, and neither on the step nor on what other DER do.
"""

from __future__ import annotations

import numpy as np

from solvers.der_fleet.arrays import Booleans, Floats, Integers
from solvers.der_fleet.settings import FleetSettings


def lots(seed: int, purpose: int, rows: Integers, occasion: Integers) -> Floats:
    """(rows,) uniform numbers in [0, 1) keyed by seed, purpose, DER and occasion (SplitMix64, Steele et al. 2014)."""
    with np.errstate(over="ignore"):
        state = np.full(len(rows), seed & 0xFFFFFFFFFFFFFFFF, np.uint64)
        for key in (np.full(len(rows), purpose), rows, occasion):
            state = _mix(state + np.asarray(key, np.uint64) * np.uint64(0x9E3779B97F4A7C15))
    return np.asarray((state >> np.uint64(11)) * 2.0**-53)


def _mix(state: np.typing.NDArray[np.uint64]) -> np.typing.NDArray[np.uint64]:
    state = state + np.uint64(0x9E3779B97F4A7C15)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(state ^ (state >> np.uint64(31)))


class MayTrip:
    """State (n,): inside a may-trip region or not, how often it was entered."""

    def __init__(self, settings: FleetSettings, seed: int) -> None:
        self.seed = seed
        self.at_once = settings.is_("may_trip", "at_once")
        self.random = settings.is_("may_trip", "random")
        self.probability = settings["may_trip_probability"]
        self.inside = np.zeros(settings.n, bool)
        self.occasion = np.zeros(settings.n, np.intp)
        self._any_inside = False

    def retain(self, other: MayTrip) -> None:
        """Take over the state from before a change of settings."""
        self.inside, self.occasion, self._any_inside = other.inside, other.occasion, other._any_inside

    def step(self, allowed: Booleans | None) -> Booleans | None:
        """(n,) who uses the permission `allowed` (n,) in this step, on entering the region; None: nobody."""
        if allowed is None:
            if self._any_inside:
                self.inside[:] = False
                self._any_inside = False
            return None
        entering = allowed & ~self.inside
        self.inside = allowed
        self._any_inside = bool(allowed.any())
        if not entering.any():
            return None
        self.occasion[entering] += 1
        trips = entering & self.at_once
        drawing = np.flatnonzero(entering & self.random)
        if drawing.size:
            trips[drawing] = lots(self.seed, 1, drawing, self.occasion[drawing]) < self.probability[drawing]
        return trips if trips.any() else None
