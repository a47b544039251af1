"""Stopping the output in momentary cessation and cease to energize, and restoring it (6.4.2.7)."""

from __future__ import annotations

import numpy as np

from solvers.der_fleet.arrays import ROUNDING, Booleans, Codes, Floats
from solvers.der_fleet.ride_through import Mode
from solvers.der_fleet.settings import FleetSettings


class Cessation:
    """State (n,): the share of the output that is there, seconds for which cessation has been asked."""

    def __init__(self, settings: FleetSettings) -> None:
        n = settings.n
        self.recovery = settings["RT_recovery_s"]
        self.permissive = settings.flags["RT_permissive_ceases"]
        self.momentary = settings["MC_response_s"]
        self.cease = settings["CE_response_s"]
        self.jump = settings["PJ_cessation_s"]
        self.share = np.ones(n)
        self.asked_for = np.zeros(n)  #: [s]
        self.jump_left = np.zeros(n)  #: [s] of cessation after a phase-angle jump
        self._idle = True

    def retain(self, other: Cessation) -> None:
        """Take over the state from before a change of settings."""
        for name in ("share", "asked_for", "jump_left", "_idle"):
            setattr(self, name, getattr(other, name))

    def step(self, dt_s: float, mode: Codes | None, jumped: Booleans | None) -> Floats | None:
        """(n,) share of the output at the end of the step; None: all of it everywhere.

        `mode` (n,) asked for by voltage and frequency, None: continuous; `jumped` (n,): a phase-angle jump is seen.
        """
        if mode is None and jumped is None and self._idle:
            return None
        if jumped is not None:
            self.jump_left[jumped] = self.jump[jumped]
        ceasing = self._ceasing(mode)
        self.asked_for = np.where(ceasing, self.asked_for + dt_s, 0.0)
        after_jump = np.clip(self.jump_left, 0.0, dt_s)  # the part of this step that is spent in cessation after a jump
        self.jump_left -= after_jump
        off = (ceasing & (self.asked_for >= self._response(mode) - ROUNDING)) | (self.jump_left > 0.0)
        rise = np.full_like(self.share, np.inf)
        np.divide(dt_s - after_jump, self.recovery, out=rise, where=self.recovery > 0.0)
        start = np.where(after_jump > 0.0, 0.0, self.share)
        # While cessation is asked for but not yet due, the output stays what it was.
        self.share = np.where(off, 0.0, np.where(ceasing, start, np.minimum(start + rise, 1.0)))
        self._idle = bool((self.share >= 1.0).all()) and not ceasing.any()
        return None if self._idle else self.share

    def _ceasing(self, mode: Codes | None) -> Booleans:
        if mode is None:
            return np.zeros(len(self.share), bool)
        ceasing = (mode == Mode.MOMENTARY_CESSATION) | (mode == Mode.CEASE_TO_ENERGIZE)
        return np.asarray(ceasing | ((mode == Mode.PERMISSIVE) & self.permissive))

    def _response(self, mode: Codes | None) -> Floats:
        if mode is None:
            return self.cease
        return np.where(mode == Mode.MOMENTARY_CESSATION, self.momentary, self.cease)

    def reset(self, rows: Booleans) -> None:
        """Forget what the DER `rows` (n,), which have tripped, were doing."""
        self.share[rows], self.asked_for[rows], self.jump_left[rows] = 1.0, 0.0, 0.0
