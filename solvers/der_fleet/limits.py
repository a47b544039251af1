"""What a DER can put out: reactive capability (5.2, Table 7), apparent power and current, and which power gives way."""

from __future__ import annotations

import numpy as np

from solvers.der_fleet.arrays import Floats, Integers
from solvers.der_fleet.reactive_power import Curve, watt_var_curve
from solvers.der_fleet.settings import FleetSettings
from solvers.ieee1547_tables import NORMAL_CATEGORIES, REACTIVE_CAPABILITY

_FULL_FROM = REACTIVE_CAPABILITY[0].full_from  #: [pu] active power from which Table 7 asks for all reactive power
_HALVINGS = 40


class Limits:
    """No state; active and apparent rating are both 1 pu."""

    def __init__(self, settings: FleetSettings) -> None:
        normal = np.searchsorted(NORMAL_CATEGORIES, settings.choices["normal_category"])
        self.inject, self.absorb = settings["Q_max_inject_pu"], settings["Q_max_absorb_pu"]
        self.inject_least = np.array([row.inject for row in REACTIVE_CAPABILITY])[normal]
        self.absorb_least = np.array([row.absorb for row in REACTIVE_CAPABILITY])[normal]
        self.reduced = settings.flags["Q_reduced_at_low_power"] & ~settings.flags["battery"]
        self.any_reduced = bool(self.reduced.any())
        self.active_first = settings.is_("priority", "active")
        self.current = settings["I_max_pu"]
        self.watt_var = settings.is_("reactive_mode", "watt_var")
        self.factor = settings.is_("reactive_mode", "constant_power_factor")
        self.curve = watt_var_curve(settings)
        self.least_voltage = float((1.0 / self.current).max()) if settings.n else 1.0

    def apply(self, active_pu: Floats, reactive_pu: Floats, voltage_pu: Floats, lowest: float) -> tuple[Floats, Floats]:
        """(n,) active and reactive power [pu] within the limits; new arrays.

        `voltage_pu` (n,) mean of the phases, `lowest` [pu] no more than any of them.
        """
        inject, absorb = self.inject, self.absorb
        if self.any_reduced:
            size = np.abs(active_pu)
            if float(size.min()) < _FULL_FROM:
                share = np.where(self.reduced, np.minimum(size / _FULL_FROM, 1.0), 1.0)
                inject, absorb = inject * share, absorb * share
        reactive = np.minimum(reactive_pu, inject)
        np.maximum(reactive, -absorb, out=reactive)
        active = active_pu.copy()
        squared = active * active
        squared += reactive * reactive
        if lowest >= self.least_voltage:
            most = None
            over = np.flatnonzero(squared > 1.0 + 1e-12)
        else:
            most = np.minimum(1.0, voltage_pu * self.current)
            over = np.flatnonzero(squared > most * most + 1e-12)
        if over.size:
            circle = np.ones(over.size) if most is None else most[over]
            active[over], reactive[over] = self._give_way(active[over], reactive[over], circle, over)
        return active, reactive

    def _give_way(self, active: Floats, reactive: Floats, most: Floats, rows: Integers) -> tuple[Floats, Floats]:
        """The DER `rows`, all beyond `most` [pu] apparent power, brought back onto it."""
        # Volt-var and constant reactive power: reactive power first, but with active priority no more of it than
        # Table 7 asks for.
        least = self.active_first[rows]
        kept = np.where(least, np.clip(reactive, -self.absorb_least[rows], self.inject_least[rows]), reactive)
        kept = np.clip(kept, -most, most)
        left = np.sqrt(np.maximum(most**2 - kept**2, 0.0))
        p, q = np.clip(active, -left, left), kept
        # Constant power factor: both shrink in proportion.
        factor = self.factor[rows]
        if factor.any():
            share = most / np.hypot(active, reactive)
            p, q = np.where(factor, active * share, p), np.where(factor, reactive * share, q)
        # Watt-var: active power shrinks along the curve.
        follows = np.flatnonzero(self.watt_var[rows])
        if follows.size:
            curve = Curve(self.curve.points[:, rows[follows]], self.curve.values[:, rows[follows]])
            largest, along = _intersection(curve, most[follows], np.sign(active[follows]))
            p[follows] = np.clip(active[follows], -largest, largest)
            q[follows] = np.sign(reactive[follows]) * np.minimum(np.abs(reactive[follows]), np.abs(along))
        return p, q


def _intersection(curve: Curve, most: Floats, sign: Floats) -> tuple[Floats, Floats]:
    """(k,) |P| and Q [pu] where a watt-var curve meets the circle of `most` [pu], on the side of `sign`."""
    low, high = np.zeros_like(most), most.copy()
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        inside = np.hypot(middle, curve.at(sign * middle)) <= most
        low, high = np.where(inside, middle, low), np.where(inside, high, middle)
    return low, curve.at(sign * low)
