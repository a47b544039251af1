"""A small inverter of its own making, and the same with planted defects, to test the bench with.

It shares no code with the fleet model and is told nothing of the tests: it reads its settings and acts on them.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt
from typing import ClassVar

import numpy as np


class Inverter:
    """A three-phase PV inverter as IEEE 1547-2018 wants it."""

    phases = 3
    timer_scale: ClassVar[Mapping[str, float]] = {}  # element -> factor on its clearing time
    response_scale = 1.0  # on volt-var's response time
    restore_s = 0.3
    jump_trip_deg = 1000.0
    rocof_trip_hz_s = 1000.0

    def restart(self, settings, *, in_service):
        self.s = dict(settings)
        self.timers = dict.fromkeys(("OV2", "OV1", "UV1", "UV2", "OF2", "OF1", "UF1", "UF2"), 0.0)
        self.out = not in_service
        self.entered = 1.0 if in_service else 0.0
        self.healthy_s = 0.0
        self.share = 1.0
        self.lags = {}
        self.before = None
        self.angle = np.zeros(3)
        self.frequency = 60.0
        self.abnormal_s = 0.0
        self.rng = np.random.default_rng(7)
        self.wait_s = self.delay()
        self.p = 0.0

    def change(self, settings):
        self.s.update(settings)

    # -- trips and ride-through

    def lowest(self, v):
        return min(v)

    def highest(self, v):
        return max(v)

    def beyond(self, element, v, f):
        value = {"U": self.lowest, "O": self.highest}[element[0]](v) if element[1] == "V" else f
        limit = self.s[f"{element}_trip_V_pu" if element[1] == "V" else f"{element}_trip_Hz"]
        return value > limit if element[0] == "O" else value < limit

    def trips(self, dt, v, f):
        for element in self.timers:
            self.timers[element] = self.timers[element] + dt if self.beyond(element, v, f) else 0.0
            if self.timers[element] >= self.s[f"{element}_trip_s"] * self.timer_scale.get(element, 1.0) - 1e-9:
                self.out = True
        if not self.s["ES_permit_service"]:
            self.out = True

    def ceases(self, v):
        low, high = self.lowest(v), self.highest(v)
        if self.s["category"] == "III":
            return low < 0.5 or high > 1.1
        return low < 0.3 or high > 1.2

    # -- enter service

    def delay(self):
        if self.s["ES_randomised"]:
            return self.s["ES_delay_s"] + self.rng.uniform(0.0, self.s["ES_random_delay_s"]) + self.unlike()
        return self.s["ES_delay_s"]

    def unlike(self):
        """Every inverter draws its own delay."""
        Inverter.count = getattr(Inverter, "count", 0) + 1
        return 0.001 * (Inverter.count % 50)

    def enters(self, dt, v, f):
        s = self.s
        inside = s["ES_V_low_pu"] <= self.lowest(v) and self.highest(v) <= s["ES_V_high_pu"]
        inside = inside and s["ES_f_low_Hz"] <= f <= s["ES_f_high_Hz"]
        if not self.out:
            if self.entered < 1.0:
                self.entered = min(1.0, self.entered + (1.0 if s["ES_randomised"] else dt / s["ES_ramp_s"]))
            return
        self.entered = 0.0
        self.healthy_s = self.healthy_s + dt if inside and s["ES_permit_service"] else self.unhealthy()
        if self.healthy_s >= self.wait_s and inside and s["ES_permit_service"]:
            self.out = False
            self.healthy_s = 0.0
            self.wait_s = self.delay()

    def unhealthy(self):
        self.wait_s = self.delay()
        return 0.0

    # -- power

    def lag(self, name, target, dt, response):
        value = self.lags.get(name, target)
        self.lags[name] = target + (value - target) * 0.1 ** (dt / response)
        return self.lags[name]

    def deadbands(self):
        return self.s["FD_dbOF_Hz"], self.s["FD_dbUF_Hz"]

    def active(self, dt, v, f, available):
        s = self.s
        limit = self.lag("limit", s["AP_limit_pu"] if s["AP_limit_enabled"] else 1.0, dt, 10.0)
        volt_watt = 1.0
        if s["VW_enabled"]:
            line = np.interp(np.mean(v), (s["VW_V1_pu"], s["VW_V2_pu"]), (s["VW_P1_pu"], s["VW_P2_pu"]))
            volt_watt = self.lag("volt_watt", line, dt, s["VW_response_s"])
        over, under = f - 60.0 - self.deadbands()[0], 60.0 - self.deadbands()[1] - f
        if max(over, under) <= 0.0:
            if abs(self.lags.get("droop", 0.0)) < 1e-3:
                self.before = None
            move = 0.0
        else:
            if self.before is None:
                self.before = self.p
            move = -over / (60.0 * s["FD_kOF_pu"]) if over > 0 else under / (60.0 * s["FD_kUF_pu"])
        move = self.lag("droop", move, dt, s["FD_response_s"])
        return self.combine(limit, volt_watt, move, available)

    def combine(self, limit, volt_watt, move, available):
        if self.before is None:
            return min(available, limit, volt_watt)
        start = self.before if abs(move) > 1e-3 else min(available, limit, volt_watt)
        return max(0.0, min(start + move, available, volt_watt))

    def curve(self):
        s = self.s
        return [s[f"VV_V{i}_pu"] for i in (1, 2, 3, 4)], [s[f"VV_Q{i}_pu"] for i in (1, 2, 3, 4)]

    def reactive(self, dt, v, p):
        s = self.s
        mode = s["reactive_mode"]
        if mode == "volt_var":
            reference = 1.0
            if s["VV_auto_Vref"]:
                reference = self.lag("reference", float(np.mean(v)), dt, s["VV_Vref_time_s"] * np.log(10.0))
            volts, vars_ = self.curve()
            target = float(np.interp(np.mean(v) - reference + 1.0, volts, vars_))
            return self.lag("q", target, dt, s["VV_response_s"] * self.response_scale)
        if mode == "watt_var":
            points = [s[f"WV_P{i}_pu"] for i in (1, 2, 3)], [s[f"WV_Q{i}_pu"] for i in (1, 2, 3)]
            target = float(np.interp(p, *points))
        elif mode == "constant_reactive_power":
            target = s["Q_setpoint_pu"]
        else:
            target = p * sqrt(1.0 / s["PF_power_factor"] ** 2 - 1.0) * (-1.0 if s["PF_absorbing"] else 1.0)
        return self.lag("q", target, dt, 3.0)

    def step(self, dt_s, voltage_pu, angle_deg, frequency_hz, available_pu):
        v, f = [float(x) for x in voltage_pu], float(frequency_hz)
        if np.abs(angle_deg - self.angle).max() > self.jump_trip_deg:
            self.out = True
        if abs(f - self.frequency) / dt_s > self.rocof_trip_hz_s:
            self.out = True
        self.angle, self.frequency = np.array(angle_deg), f
        self.trips(dt_s, v, f)
        self.enters(dt_s, v, f)
        self.share = 0.0 if self.ceases(v) else min(1.0, self.share + dt_s / self.restore_s)
        if self.out:
            self.lags.clear()
            self.before = None
            self.p = 0.0
            return 0.0, 0.0
        p = self.active(dt_s, v, f, available_pu)
        wanted = self.reactive(dt_s, v, min(p, 0.999))
        q = float(np.clip(wanted, -0.6, 0.6))
        if self.s["reactive_mode"] == "constant_power_factor":
            p = min(p, self.s["PF_power_factor"])
        p = min(p, sqrt(1.0 - q * q), self.entered)
        self.p = p
        scale = min(1.0, 1.2 * float(np.mean(v)) / max(sqrt(p * p + q * q), 1e-9))
        return p * scale * self.share, q * scale * self.share


class SlowTimer(Inverter):
    timer_scale: ClassVar[Mapping[str, float]] = {"UV1": 1.1}


class FastTimer(Inverter):
    timer_scale: ClassVar[Mapping[str, float]] = {"OF1": 0.9}


class NeverTrips(Inverter):
    def beyond(self, element, v, f):
        return element != "UF2" and super().beyond(element, v, f)


class OnePhaseOnly(Inverter):
    def lowest(self, v):
        return v[0]


class TripsInMandatoryOperation(Inverter):
    def trips(self, dt, v, f):
        super().trips(dt, v, f)
        self.abnormal_s = self.abnormal_s + dt if self.lowest(v) < 0.88 else 0.0
        if self.abnormal_s > 1.9:
            self.out = True


class NoCessation(Inverter):
    def ceases(self, v):
        return False


class SlowRestore(Inverter):
    restore_s = 2.0


class PhaseJumpTrip(Inverter):
    jump_trip_deg = 15.0


class RocofTrip(Inverter):
    rocof_trip_hz_s = 1.0


class NoRamp(Inverter):
    def enters(self, dt, v, f):
        super().enters(dt, v, f)
        self.entered = 0.0 if self.out else 1.0


class EntersEarly(Inverter):
    def delay(self):
        return 0.9 * super().delay()


class DelayGoesOn(Inverter):
    def unhealthy(self):
        return self.healthy_s  # an excursion must start the delay again


class PermitIgnored(Inverter):
    def restart(self, settings, *, in_service):
        super().restart(settings, in_service=in_service)
        self.s["ES_permit_service"] = True

    def change(self, settings):
        super().change({**settings, "ES_permit_service": True})


class WrongResponseTime(Inverter):
    response_scale = 2.0


class WrongCurve(Inverter):
    def curve(self):
        return [0.90, 1.00, 1.00, 1.10], [0.25, 0.0, 0.0, -0.25]  # category A's on a category B device


class NoDeadband(Inverter):
    def deadbands(self):
        return 0.0, 0.0


class PrioritySwapped(Inverter):
    def combine(self, limit, volt_watt, move, available):
        return max(0.0, min(limit, volt_watt, available) + min(move, 0.0))  # the limit caps droop


class WrongSide(Inverter):
    def reactive(self, dt, v, p):
        return abs(super().reactive(dt, v, p))


class LimitIgnored(Inverter):
    def change(self, settings):
        super().change({name: value for name, value in settings.items() if not name.startswith("AP")})


class VoltWattLate(Inverter):
    def restart(self, settings, *, in_service):
        super().restart({**settings, "VW_V1_pu": 1.09}, in_service=in_service)
