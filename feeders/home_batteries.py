"""Home batteries on arrays: what one can give or take in a step, and what it then holds.

Not GridLAB-D's `battery`: that goes on charging behind an open meter, and past full and empty within a step.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

INVERTER = 0.96  #: efficiency of the inverter, either way (assumed)
CELLS = 0.9**0.5  #: efficiency of the battery itself one way: 90 % there and back (assumed)
ONE_WAY = INVERTER * CELLS  #: from the terminals into the battery, or back [1]


def possible_output(wanted: Floats, stored: Floats, capacity: Floats, step: float) -> Floats:
    """What batteries give (positive) or take at their terminals over `step` [h], in the shape of `wanted` [kW].

    As far as they hold or have room for it [kWh]: one that runs empty or full within the step gives or takes the mean.
    """
    most = stored * ONE_WAY / step
    least = (stored - capacity) / ONE_WAY / step
    given: Floats = np.clip(wanted, least, most)
    return given


def stored_after(stored: Floats, output: Floats, capacity: Floats, step: float) -> Floats:
    """What they hold [kWh] after giving `output` [kW] for `step` [h]."""
    into = np.where(output < 0.0, -output * ONE_WAY, -output / ONE_WAY)
    held: Floats = np.clip(stored + into * step, 0.0, capacity)  # of rounding alone
    return held
