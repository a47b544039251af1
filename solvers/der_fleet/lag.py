"""First-order response with a given open-loop response time, exact for any step."""

from __future__ import annotations

import math

import numpy as np

from solvers.der_fleet.arrays import Floats

#: Time constants in an open-loop response time, which ends at 90 % of the change (1547.1: 90 % at Tr).
TIME_CONSTANTS = math.log(10.0)


class Lag:
    """How far first-order responses come in a step; the answer for the last step length is kept."""

    def __init__(self, response_s: Floats) -> None:
        """`response_s` (n,): open-loop response times [s] to 90 %; 0 responds at once."""
        self._response = response_s
        self._dt = math.nan
        self._share: Floats = np.empty(0)

    def share(self, dt_s: float) -> Floats:
        """(n,) share of the way to a held target that `dt_s` [s] covers: 1 - exp(-dt / tau)."""
        if dt_s != self._dt:
            rate = np.full(len(self._response), np.inf)
            np.divide(dt_s * TIME_CONSTANTS, self._response, out=rate, where=self._response > 0.0)
            self._share, self._dt = -np.expm1(-rate), dt_s
        return self._share
