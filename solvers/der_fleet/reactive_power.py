"""Reactive power wanted: volt-var, watt-var, constant power factor or constant reactive power (5.3)."""

from __future__ import annotations

import numpy as np

from solvers.der_fleet.arrays import Booleans, Floats, Integers
from solvers.der_fleet.lag import Lag
from solvers.der_fleet.settings import FleetSettings
from solvers.ieee1547_tables import setting

_VREF_RANGE = (setting("VV_Vref_pu", "I", "A").low, setting("VV_Vref_pu", "I", "A").high)


class Curve:
    """A polyline for each DER, level outside its points, which ascend and may coincide."""

    def __init__(self, points: Floats, values: Floats) -> None:
        """`points`, `values` (k, n)."""
        self.points, self.values = points, values
        self.first = values[0]
        # A level stretch adds nothing, whatever its width.
        self._parts = [
            (points[i], 1.0 / np.maximum(points[i + 1] - points[i], 1e-12), values[i + 1] - values[i])
            for i in range(len(points) - 1)
            if (values[i + 1] != values[i]).any()
        ]

    def at(self, x: Floats) -> Floats:
        """(n,) the polyline at `x` (n,)."""
        result: Floats = self.first.copy()
        for start, per_width, rise in self._parts:
            share = x - start
            share *= per_width
            np.clip(share, 0.0, 1.0, out=share)
            share *= rise
            result += share
        return result


def volt_var(voltage_pu: Floats, curve: Curve, reference_pu: Floats | float = 1.0) -> Floats:
    """(n,) reactive power [pu of apparent-power rating] of the volt-var curve (5.3.3), positive when injecting.

    The curve's voltages are those at a reference of 1 pu; it moves with `reference_pu` [pu].
    """
    return curve.at(voltage_pu - (np.asarray(reference_pu) - 1.0))


def volt_var_curve(settings: FleetSettings) -> Curve:
    """Each DER's volt-var curve."""
    return Curve(
        np.stack([settings[f"VV_V{i}_pu"] for i in (1, 2, 3, 4)]),
        np.stack([settings[f"VV_Q{i}_pu"] for i in (1, 2, 3, 4)]),
    )


def watt_var_curve(settings: FleetSettings) -> Curve:
    """Each DER's watt-var curve over active power, from full charging to full generation."""
    points = [settings[f"WV_P{i}_charge_pu"] for i in (3, 2, 1)] + [settings[f"WV_P{i}_pu"] for i in (1, 2, 3)]
    values = [settings[f"WV_Q{i}_charge_pu"] for i in (3, 2, 1)] + [settings[f"WV_Q{i}_pu"] for i in (1, 2, 3)]
    return Curve(np.stack(points), np.stack(values))


def reactive_per_active(settings: FleetSettings) -> Floats:
    """(n,) Q / P of constant power factor, signed as Q while generating."""
    factor = np.clip(settings["PF_power_factor"], 1e-6, 1.0)
    size = np.sqrt(1.0 - factor**2) / factor
    return np.where(settings.flags["PF_absorbing"], -size, size)


class ReactivePower:
    """State (n,): reactive power wanted [pu] after its response, autonomous reference voltage [pu]."""

    def __init__(self, settings: FleetSettings) -> None:
        self.n = settings.n
        self.volt_var_rows, self.watt_var_rows, self.factor_rows, constant = (
            np.flatnonzero(settings.is_("reactive_mode", mode))
            for mode in ("volt_var", "watt_var", "constant_power_factor", "constant_reactive_power")
        )
        self._only_volt_var = len(self.volt_var_rows) == self.n
        self.volt_var_curve = _of(volt_var_curve(settings), self.volt_var_rows)
        self.watt_var_curve = _of(watt_var_curve(settings), self.watt_var_rows)
        self.ratio = reactive_per_active(settings)[self.factor_rows]
        self.target = np.zeros(self.n)
        self.target[constant] = settings["Q_setpoint_pu"][constant]
        response = settings["VV_response_s"].copy()
        response[self.watt_var_rows] = settings["WV_response_s"][self.watt_var_rows]
        response[self.factor_rows] = settings["PF_response_s"][self.factor_rows]
        response[constant] = settings["Q_response_s"][constant]
        self.lag = Lag(response)
        self.automatic: Booleans = settings.flags["VV_auto_Vref"][self.volt_var_rows]
        self.reference = settings["VV_Vref_pu"][self.volt_var_rows]
        self._any_automatic = bool(self.automatic.any())
        self._shifted = self._any_automatic or bool((self.reference != 1.0).any())
        self.reference_time = settings["VV_Vref_time_s"][self.volt_var_rows]
        self.tracked: Floats | None = None  #: [pu] low-passed voltage of the volt-var DER
        self.wanted = np.zeros(self.n)
        self._started = False

    def retain(self, other: ReactivePower) -> None:
        """Take over the state from before a change of settings."""
        self.wanted, self._started = other.wanted, other._started
        if other.tracked is not None and np.array_equal(other.volt_var_rows, self.volt_var_rows):
            self.tracked = other.tracked

    def step(self, dt_s: float, voltage_pu: Floats, active_pu: Floats) -> Floats:
        """(n,) reactive power wanted [pu of apparent-power rating] at the end of the step."""
        target = self._target(dt_s, voltage_pu, active_pu)
        if not self._started:
            self.wanted, self._started = target.copy(), True
            return self.wanted
        gap = target - self.wanted
        gap *= self.lag.share(dt_s)
        self.wanted += gap
        return self.wanted

    def _target(self, dt_s: float, voltage_pu: Floats, active_pu: Floats) -> Floats:
        if self._only_volt_var:
            return self._volt_var(dt_s, voltage_pu)
        if len(self.volt_var_rows):
            self.target[self.volt_var_rows] = self._volt_var(dt_s, voltage_pu[self.volt_var_rows])
        if len(self.watt_var_rows):
            self.target[self.watt_var_rows] = self.watt_var_curve.at(active_pu[self.watt_var_rows])
        if len(self.factor_rows):
            self.target[self.factor_rows] = active_pu[self.factor_rows] * self.ratio
        return self.target

    def _volt_var(self, dt_s: float, voltage_pu: Floats) -> Floats:
        if not self._shifted:
            return self.volt_var_curve.at(voltage_pu)
        reference = self.reference
        if self._any_automatic:
            if self.tracked is None:
                self.tracked = voltage_pu.copy()
            self.tracked -= (self.tracked - voltage_pu) * -np.expm1(-dt_s / self.reference_time)
            reference = np.where(self.automatic, np.clip(self.tracked, *_VREF_RANGE), self.reference)
        return volt_var(voltage_pu, self.volt_var_curve, reference)

    def reset(self, rows: Booleans) -> None:
        """The DER `rows` (n,) are out of service: no reactive power wanted, to begin from there."""
        self.wanted[rows] = 0.0


def _of(curve: Curve, rows: Integers) -> Curve:
    return Curve(curve.points[:, rows], curve.values[:, rows])
