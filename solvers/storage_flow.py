"""What storages can carry out of an order, and what it leaves in them; arrays over storages.

Energy E [MWh], power P [MW] into the grid, length h of the step [h], round trip efficiency η, shared equally:

    -min(P_max, (capacity - E) / (√η h)) <= P <= min(P_max, √η E / h)
    E after = E - h P / √η  while it gives,   E - h √η P  while it takes
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def possible_power(
    wanted: Floats, energy: Floats, power: Floats, capacity: Floats, efficiency: Floats, hours: float
) -> Floats:
    """The power [MW] next to `wanted` that each storage can hold for `hours` with its `energy` [MWh]."""
    one_way = np.sqrt(efficiency)
    giving = np.minimum(power, one_way * energy / hours)
    taking = np.minimum(power, (capacity - energy) / (one_way * hours))
    possible: Floats = np.clip(wanted, -taking, giving)
    return possible


def energy_after(energy: Floats, power: Floats, capacity: Floats, efficiency: Floats, hours: float) -> Floats:
    """The energy [MWh] after `hours` at `power` [MW]; rounding does not lead beyond empty and full."""
    one_way = np.sqrt(efficiency)
    change = np.where(power >= 0.0, power / one_way, power * one_way) * hours
    after: Floats = np.clip(energy - change, 0.0, capacity)
    return after
