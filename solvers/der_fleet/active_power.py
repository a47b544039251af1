"""Active power wanted: what is available, under the limit (4.6.2), volt-watt (5.4.2) and frequency-droop (6.5.2.7)."""

from __future__ import annotations

import numpy as np

from solvers.der_fleet.arrays import Booleans, Floats
from solvers.der_fleet.lag import Lag
from solvers.der_fleet.phases import Measured
from solvers.der_fleet.reactive_power import Curve
from solvers.der_fleet.settings import FleetSettings
from solvers.ieee1547_tables import NOMINAL_FREQUENCY

_SETTLED = 1e-3  #: [pu] between droop's output and the normal one, below which droop hands back


class PowerLimit:
    """The active-power limit; state (n,): the limit in force [pu], which moves to a new one at a steady rate."""

    def __init__(self, settings: FleetSettings) -> None:
        self.any = bool(settings.flags["AP_limit_enabled"].any())
        self.goal = np.where(settings.flags["AP_limit_enabled"], settings["AP_limit_pu"], 1.0)
        self.response = settings["AP_response_s"]
        self.limit = self.goal.copy()

    def retain(self, other: PowerLimit) -> None:
        """Take over the state from before a change of settings."""
        self.limit = other.limit
        self.any = self.any or bool((self.limit < 1.0).any())

    def step(self, dt_s: float) -> Floats | None:
        """(n,) limit [pu of rating] at the end of the step; None: none."""
        if not self.any:
            return None
        most = np.full_like(self.limit, np.inf)
        np.divide(dt_s, self.response, out=most, where=self.response > 0.0)
        self.limit = self.limit + np.clip(self.goal - self.limit, -most, most)
        return self.limit


class VoltWatt:
    """Volt-watt; state (n,): the limit in force [pu]."""

    def __init__(self, settings: FleetSettings) -> None:
        self.enabled = settings.flags["VW_enabled"]
        self.any = bool(self.enabled.any())
        self.curve = Curve(
            np.stack([settings["VW_V1_pu"], settings["VW_V2_pu"]]),
            np.stack([settings["VW_P1_pu"], settings["VW_P2_pu"]]),
        )
        self.lag = Lag(settings["VW_response_s"])
        self.limit: Floats | None = None

    def retain(self, other: VoltWatt) -> None:
        """Take over the state from before a change of settings."""
        self.limit = other.limit

    def step(self, dt_s: float, voltage_pu: Floats) -> Floats | None:
        """(n,) limit [pu of rating] at the end of the step; None: none."""
        if not self.any:
            return None
        target = np.where(self.enabled, self.curve.at(voltage_pu), 1.0)
        if self.limit is None:
            self.limit = target
        else:
            self.limit = self.limit + (target - self.limit) * self.lag.share(dt_s)
        return self.limit


class Droop:
    """Frequency-droop; state (n,): active or not, pre-disturbance power, output [pu]."""

    def __init__(self, settings: FleetSettings) -> None:
        n = settings.n
        enabled = settings.flags["FD_enabled"]
        self.upper = np.where(enabled, NOMINAL_FREQUENCY + settings["FD_dbOF_Hz"], np.inf)  #: [Hz]
        self.lower = np.where(enabled, NOMINAL_FREQUENCY - settings["FD_dbUF_Hz"], -np.inf)  #: [Hz]
        self.per_hertz_over = 1.0 / (NOMINAL_FREQUENCY * settings["FD_kOF_pu"])  #: [pu/Hz]
        self.per_hertz_under = 1.0 / (NOMINAL_FREQUENCY * settings["FD_kUF_pu"])  #: [pu/Hz]
        self.least = np.where(settings.flags["battery"], -settings["P_charge_max_pu"], settings["P_min_pu"])
        self.battery = settings.flags["battery"]
        self.lag = Lag(settings["FD_response_s"])
        self.nearest = (float(self.lower.max()), float(self.upper.min())) if n else (0.0, 0.0)
        self.active = np.zeros(n, bool)
        self.over = np.zeros(n, bool)
        self.under = np.zeros(n, bool)
        self.before = np.zeros(n)  #: [pu] pre-disturbance power
        self.output = np.zeros(n)  #: [pu]
        self._any_active = False

    def retain(self, other: Droop) -> None:
        """Take over the state from before a change of settings."""
        for name in ("active", "over", "under", "before", "output", "_any_active"):
            setattr(self, name, getattr(other, name))

    def step(self, dt_s: float, measured: Measured, normal_pu: Floats, most_pu: Floats, earlier_pu: Floats) -> Floats:
        """(n,) active power [pu of rating] at the end of the step.

        `normal_pu` (n,) without droop; `most_pu` (n,) that the source can give; `earlier_pu` (n,) put out before.
        """
        outside = measured.slowest < self.nearest[0] or measured.fastest > self.nearest[1]
        if not outside and not self._any_active:
            return normal_pu
        frequency = measured.frequency
        over, under = frequency > self.upper, frequency < self.lower
        beginning = (over & ~self.over) | (under & ~self.under)
        self.before = np.where(beginning, earlier_pu, self.before)
        self.output = np.where(beginning & ~self.active, earlier_pu, self.output)
        self.over, self.under = over, under
        # p = p_pre -/+ (|f - 60| - db) / (60 k), 6.5.2.7.2
        down = np.maximum(self.before - (frequency - self.upper) * self.per_hertz_over, self.least)
        up = np.minimum(self.before + (self.lower - frequency) * self.per_hertz_under, most_pu)
        target = np.where(over, np.minimum(down, self.before), np.where(under, np.maximum(up, self.least), normal_pu))
        self.active |= over | under
        self.output = np.where(self.active, self.output + (target - self.output) * self.lag.share(dt_s), normal_pu)
        self.active &= over | under | (np.abs(target - self.output) > _SETTLED)
        self._any_active = bool(self.active.any())
        return np.where(self.active, np.minimum(self.output, most_pu), normal_pu)

    def reset(self, rows: Booleans) -> None:
        """The DER `rows` (n,) are out of service: droop begins anew when they return."""
        self.active[rows] = self.over[rows] = self.under[rows] = False
        self.output[rows] = 0.0


class ActivePower:
    """All functions of active power together."""

    def __init__(self, settings: FleetSettings) -> None:
        self.limit = PowerLimit(settings)
        self.volt_watt = VoltWatt(settings)
        self.droop = Droop(settings)

    def retain(self, other: ActivePower) -> None:
        """Take over the state from before a change of settings."""
        self.limit.retain(other.limit)
        self.volt_watt.retain(other.volt_watt)
        self.droop.retain(other.droop)

    def step(self, dt_s: float, measured: Measured, source_pu: Floats, most_pu: Floats, earlier_pu: Floats) -> Floats:
        """(n,) active power wanted [pu of rating], positive when generating, at the end of the step.

        `source_pu` (n,): what the source gives (PV) or is asked for (battery); `most_pu` (n,): what it could give;
        `earlier_pu` (n,): output at the step's start.
        """
        limit = self.limit.step(dt_s)
        volt_watt = self.volt_watt.step(dt_s, measured.mean)
        normal = source_pu if limit is None else np.minimum(source_pu, limit)
        if volt_watt is not None:
            normal = np.minimum(normal, volt_watt)
        wanted = self.droop.step(dt_s, measured, normal, most_pu, earlier_pu)
        if volt_watt is not None and wanted is not normal:
            wanted = np.minimum(wanted, volt_watt)
        return wanted
