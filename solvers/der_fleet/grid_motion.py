"""Rate of change of frequency (6.5.2.5) and phase-angle jumps (6.5.2.6), as a DER measures them.

Both are first-order and exact for any step: the rate of change over a window of `ROCOF_WINDOW`, the angle's change
within a cycle. Angles are deviations from the nominal ones in a frame that turns with the frequency: they move in a
jump only.
"""

from __future__ import annotations

import math

import numpy as np

from solvers.der_fleet.arrays import Booleans, Floats
from solvers.der_fleet.settings import FleetSettings
from solvers.ieee1547_tables import (
    ABNORMAL_CATEGORIES,
    NOMINAL_FREQUENCY,
    PHASE_JUMP_INDIVIDUAL,
    PHASE_JUMP_POSITIVE_SEQUENCE,
    PHASE_JUMP_SINGLE_PHASE,
    ROCOF,
    ROCOF_WINDOW,
)

_PHASES = np.radians([0.0, -120.0, 120.0])
_ROTATION = np.exp(1j * np.radians([0.0, 120.0, -120.0])) / 3.0  #: to the positive sequence
_ANGLE_ROUNDING = 1e-6  #: [deg]


class RateOfChange:
    """State (n,): the filtered rate of change of frequency [Hz/s]."""

    def __init__(self, settings: FleetSettings) -> None:
        rows = sorted(ROCOF, key=lambda row: ABNORMAL_CATEGORIES.index(row.category or "I"))
        self.required: Floats = np.array([row.value for row in rows])[settings.category]
        self.trip = settings["ROCOF_trip_Hz_s"]
        self.rate = np.zeros(settings.n)
        self._before: Floats | None = None
        self._moving = False

    def retain(self, other: RateOfChange) -> None:
        """Take over the state from before a change of settings."""
        self.rate, self._before, self._moving = other.rate, other._before, other._moving

    def step(self, dt_s: float, frequency_hz: Floats) -> tuple[Booleans, Booleans] | None:
        """(n,) who trips, and who may trip as more than required is asked; None: frequency has not moved."""
        if self._before is None:
            self._before = frequency_hz.copy()
        change = frequency_hz - self._before
        moving = bool(change.any())
        if not moving and not self._moving:
            return None
        keep = math.exp(-dt_s / ROCOF_WINDOW.value)
        self.rate *= keep
        self.rate += change * ((1.0 - keep) / dt_s)
        self._before = frequency_hz.copy()
        size = np.abs(self.rate)
        self._moving = bool(size.max() > 1e-9)
        return size > self.trip, size > self.required * (1.0 + 1e-9)


class PhaseJump:
    """State: the angles' recent changes [deg], of the positive sequence (n,) and of each phase (n, 3)."""

    def __init__(self, settings: FleetSettings) -> None:
        self.single = ~settings.flags["three_phase"]
        self.trip = settings["PJ_trip_deg"]
        self.sequence = np.zeros(settings.n)
        self.phases = np.zeros((settings.n, 3))
        self._before: Floats | None = None
        self._sequence_before = np.zeros(settings.n)
        self._moving = False

    def retain(self, other: PhaseJump) -> None:
        """Take over the state from before a change of settings."""
        for name in ("sequence", "phases", "_before", "_sequence_before", "_moving"):
            setattr(self, name, getattr(other, name))

    def step(self, dt_s: float, voltage_pu: Floats, angle_deg: Floats) -> tuple[Booleans, Booleans, Booleans] | None:
        """(n,) who sees a jump, who trips by it, who may trip as it is larger than must be ridden through."""
        if self._before is None:
            self._before, self._sequence_before = angle_deg.copy(), self._positive_sequence(voltage_pu, angle_deg)
        moved = bool((angle_deg != self._before).any())
        if not moved and not self._moving:
            # The sequence's angle follows unbalance as well, which is no jump of the phases.
            return None
        keep = math.exp(-dt_s * NOMINAL_FREQUENCY)
        sequence = self._positive_sequence(voltage_pu, angle_deg)
        self.phases = self.phases * keep + _wrapped(angle_deg - self._before)
        self.sequence = self.sequence * keep + (_wrapped(sequence - self._sequence_before) if moved else 0.0)
        self._before, self._sequence_before = angle_deg.copy(), sequence
        of_phase = np.abs(self.phases)
        size = np.where(self.single, of_phase[:, 0], np.abs(self.sequence))
        largest = of_phase.max(axis=1)
        self._moving = bool(largest.max() > _ANGLE_ROUNDING)
        beyond = np.where(
            self.single,
            size > PHASE_JUMP_SINGLE_PHASE.value + _ANGLE_ROUNDING,
            (size > PHASE_JUMP_POSITIVE_SEQUENCE.value + _ANGLE_ROUNDING)
            | (largest >= PHASE_JUMP_INDIVIDUAL.value - _ANGLE_ROUNDING),
        )
        seen = np.where(self.single, of_phase[:, 0], largest) > 1.0
        return seen, size > self.trip, beyond

    def _positive_sequence(self, voltage_pu: Floats, angle_deg: Floats) -> Floats:
        phasor = voltage_pu * np.exp(1j * (np.radians(angle_deg) + _PHASES))
        return np.asarray(np.degrees(np.angle(phasor @ _ROTATION)))


def _wrapped(angle_deg: Floats) -> Floats:
    """The same angle within -180 to 180 [deg]."""
    return np.asarray((angle_deg + 180.0) % 360.0 - 180.0)
