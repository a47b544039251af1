"""State of charge of batteries, and what it leaves of their power."""

from __future__ import annotations

import numpy as np

from solvers.der_fleet.arrays import Floats
from solvers.der_fleet.settings import FleetSettings


class Batteries:
    """State (n,): state of charge [pu of capacity]; 0.5 and without meaning for DER that are no battery."""

    def __init__(self, settings: FleetSettings) -> None:
        self.battery = settings.flags["battery"]
        self.any = bool(self.battery.any())
        self.hours = settings["storage_h"]
        self.efficiency = settings["storage_efficiency"]
        self.charge_limit = settings["P_charge_max_pu"]
        self.charge = settings["storage_start_pu"].copy()

    def retain(self, other: Batteries) -> None:
        """Take over the state from before a change of settings."""
        self.charge = other.charge

    def demand(self, dt_s: float, wanted_pu: Floats) -> Floats:
        """(n,) `wanted_pu` [pu of rating] (positive: discharging) as far as charge and charging allow."""
        seconds = self.hours * 3600.0
        with np.errstate(invalid="ignore"):
            most = np.where(np.isinf(seconds), np.inf, self.charge * seconds / dt_s)
            least = np.where(
                np.isinf(seconds), np.inf, (1.0 - self.charge) * seconds / (np.maximum(self.efficiency, 1e-9) * dt_s)
            )
        return np.clip(wanted_pu, -np.minimum(self.charge_limit, least), np.minimum(1.0, most))

    def step(self, dt_s: float, active_pu: Floats) -> None:
        """Count the energy of a step at `active_pu` (n,) [pu of rating]."""
        np.clip(self.after(self.charge, dt_s, active_pu), 0.0, 1.0, out=self.charge)

    def after(self, charge: Floats, dt_s: float, active_pu: Floats) -> Floats:
        """(n,) state of charge [pu of capacity] `dt_s` [s] after `charge` (n,), at `active_pu` (n,) [pu of rating]."""
        drawn = np.where(active_pu < 0.0, active_pu * self.efficiency, active_pu)
        return np.asarray(charge - drawn * dt_s / (self.hours * 3600.0))
