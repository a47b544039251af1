"""Shall-trip: a timer for each element, running while its quantity is beyond its threshold (6.4.1, 6.5.1)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from solvers.der_fleet.arrays import ROUNDING, Booleans, Codes, Floats
from solvers.der_fleet.phases import Measured
from solvers.der_fleet.settings import FleetSettings, trip_names

#: The elements by their codes. Where two act at the same moment the first one is named.
TRIP_ELEMENTS = ("OV2", "UV2", "OV1", "UV1", "OF2", "UF2", "OF1", "UF1")


@dataclass(frozen=True)
class Fired:
    """What shall trip in a step."""

    which: Booleans  #: (n,)
    element: Codes  #: (n,) index into TRIP_ELEMENTS where `which`
    offset: Floats  #: (n,) [s] from the step's start to the moment, where `which`


class _Element:
    """One element of all DER."""

    def __init__(self, over: bool, threshold: Floats, clearing: Floats) -> None:
        self.over, self.threshold, self.clearing = over, threshold, clearing
        self.timer = np.zeros(len(threshold))  #: [s] since the quantity is beyond the threshold
        self.running = False
        self._nearest = float(threshold.min() if over else threshold.max()) if len(threshold) else 0.0

    def retain(self, other: _Element) -> None:
        self.timer, self.running = other.timer, other.running

    def step(self, dt_s: float, quantity: Floats, extreme: float) -> Booleans | None:
        """(n,) where the clearing time is over; None where surely nowhere. `extreme`: of `quantity` on its side."""
        beyond_any = extreme > self._nearest if self.over else extreme < self._nearest
        if not beyond_any:
            if self.running:
                self.timer[:] = 0.0
                self.running = False
            return None
        beyond = quantity > self.threshold if self.over else quantity < self.threshold
        self.timer += dt_s
        self.timer *= beyond
        self.running = True
        return self.timer >= self.clearing - ROUNDING


class TripTimers:
    """The eight elements' timers; state: seconds beyond the threshold."""

    def __init__(self, settings: FleetSettings) -> None:
        self.n = settings.n
        self.elements = [_element(settings, name) for name in TRIP_ELEMENTS]

    def retain(self, other: TripTimers) -> None:
        """Take over the state of the timers before a change of settings."""
        for own, earlier in zip(self.elements, other.elements, strict=True):
            own.retain(earlier)

    def step(self, dt_s: float, measured: Measured) -> Fired | None:
        """What fires within the next `dt_s` [s]; None: nothing."""
        over_voltage, under_voltage = (measured.high, measured.highest), (measured.low, measured.lowest)
        over_frequency, under_frequency = (
            (measured.frequency, measured.fastest),
            (measured.frequency, measured.slowest),
        )
        fired: Fired | None = None
        for code, element in enumerate(self.elements):
            if code < 4:
                quantity, extreme = over_voltage if element.over else under_voltage
            else:
                quantity, extreme = over_frequency if element.over else under_frequency
            due = element.step(dt_s, quantity, extreme)
            if due is None or not due.any():
                continue
            if fired is None:
                fired = Fired(np.zeros(self.n, bool), np.full(self.n, -1, np.int8), np.full(self.n, np.inf))
            offset = np.clip(element.clearing - (element.timer - dt_s), 0.0, dt_s)
            first = due & (offset < fired.offset)
            fired.which[first] = True
            fired.element[first] = code
            fired.offset[first] = offset[first]
        return fired


def _element(settings: FleetSettings, name: str) -> _Element:
    threshold, clearing = trip_names(name)
    return _Element(name.startswith("O"), settings[threshold], settings[clearing])
