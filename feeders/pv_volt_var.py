"""Volt-var of rooftop PV inverters (IEEE 1547-2018, 5.3.3), by the DER fleet's functions, for all roofs at once."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: Apparent-power rating of an inverter by the PV's power, to which GridLAB-D limits its active power. From
#: 1 / sqrt(1 - 0.44**2) = 1.114 on, the most reactive power that Category B asks for (Table 7, 44 % of the
#: apparent-power rating) leaves room for all active power; so neither ever gives way to the other.
OVERSIZE = 1.12


class PvVoltVar:
    """Inverters (n,) with the default curve and response of their normal category.

    The first-order response ends at 90 % of the change after 5 s (Category B) or 10 s (A), so a step of a
    minute holds its steady state and a step of a few seconds does not. A DER's reactive power falls with its
    active power below 20 % of the rating (Table 7): none at night. Reactive power has priority, but see OVERSIZE.

    Where a step is longer than the response, an inverter acts on a voltage from before its last move, and many
    on a weak transformer would swing between two steps for ever. So a move against the last one goes half the way:
    that settles wherever the curve's slope times the voltage's answer stays below 3, instead of below 1.
    """

    def __init__(self, pv_power: Floats, category: Literal["A", "B"]) -> None:
        """`pv_power` (n,) [kW]."""
        # Only where they are used: a feeder without volt-var need not wait for the fleet's import.
        from solvers.der_fleet.limits import Limits
        from solvers.der_fleet.reactive_power import ReactivePower
        from solvers.der_fleet.settings import fleet_settings

        settings = fleet_settings(len(pv_power), {"reactive_mode": "volt_var", "normal_category": category})
        self.rating = pv_power * OVERSIZE  #: (n,) [kVA]
        self._response = ReactivePower(settings)
        self._limits = Limits(settings)
        self._held = np.zeros(settings.n)  #: [pu] of `rating`
        self._moved = np.zeros(settings.n)  #: [pu] in the last step

    def step(self, seconds: float, voltage: Floats, active: Floats) -> Floats:
        """(n,) reactive power injected [kvar] once `voltage` (n,) [pu] and `active` (n,) [kW] held for `seconds`."""
        active_pu = active / self.rating
        wanted = self._response.step(seconds, voltage, active_pu)
        _, reactive = self._limits.apply(active_pu, wanted, voltage, float(voltage.min(initial=1.0)))
        move = reactive - self._held
        self._moved = np.where(move * self._moved < 0.0, 0.5 * move, move)
        self._held += self._moved
        return self._held * self.rating
