"""Defects planted in a copy of the fleet model, each caught by the judge; the sound model passes the same waveforms.

A defect is a setting that the model should not have (its check of ranges is off), a part of its state replaced, or its
output changed. The judge holds it to the category and the settings that it was meant to have.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from types import MethodType
from typing import Any

import numpy as np
import pytest
from comply_cases.simulate import answer, failures, steps, verdict

from runs.comply.trace import Trace
from solvers.der_fleet import DerFleet


@dataclass(frozen=True)
class Wave:
    """What is imposed: (from s, value) of voltage and frequency."""

    end: float
    voltage: list[tuple[float, float]] = field(default_factory=list)
    frequency: list[tuple[float, float]] = field(default_factory=list)
    dt: float = 0.01
    phase_b_only: bool = False
    angle: list[tuple[float, float]] = field(default_factory=list)
    ramp_hz: tuple[float, float, float] | None = None  #: from s, Hz/s, until s

    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
        time, volts = steps(self.voltage, self.end, self.dt)
        _, hertz = steps(self.frequency, self.end, self.dt, 60.0)
        if self.ramp_hz is not None:
            begin, slope, end = self.ramp_hz
            hertz = hertz + slope * np.clip(time - begin, 0.0, end - begin)
        if self.phase_b_only:
            volts = np.stack([np.ones(time.size), volts, np.ones(time.size)], axis=1)
        angle = steps(self.angle, self.end, self.dt, 0.0)[1] if self.angle else None
        return time, volts, hertz, angle


@dataclass(frozen=True)
class Defect:
    """What is wrong with the model, on which waveform it shows, and what the judge should say."""

    wave: Wave
    fault: str
    wrong: dict[str, Any] = field(default_factory=dict)  #: settings that it should not have
    right: dict[str, Any] = field(default_factory=dict)  #: settings that both are meant to have
    held: dict[str, Any] = field(default_factory=dict)  #: what the judge is told, beside Category III
    alter: Callable[[DerFleet], None] | None = None
    output: Callable[[Trace], Trace] | None = None


SAG_08 = Wave(30.0, [(1.0, 0.8), (27.0, 1.0)], dt=0.02)
SAG_03 = Wave(4.0, [(1.0, 0.3), (1.8, 1.0)])
AFTER_TRIP = Wave(620.0, [(1.0, 0.3), (4.0, 1.0)], dt=0.1)
VOLT_VAR = Wave(60.0, [(5.0, 1.06), (30.0, 0.95)], dt=0.05)
VOLT_VAR_SET = {"reactive_mode": "volt_var"}
OVER = Wave(40.0, frequency=[(5.0, 61.0), (30.0, 60.0)], dt=0.05)
LONG_58 = Wave(350.0, frequency=[(1.0, 58.0), (345.0, 60.0)], dt=0.1)


def sticky(fleet: DerFleet) -> None:
    """A timer that does not reset when voltage comes back."""
    element = fleet.timers.elements[3]

    def step(self: Any, dt_s: float, quantity: np.ndarray, extreme: float) -> np.ndarray:
        self.timer += dt_s * (quantity < self.threshold)
        return np.asarray(self.timer >= self.clearing - 1e-9)

    element.step = MethodType(step, element)  # type: ignore[method-assign]


def forgetful(fleet: DerFleet) -> None:
    """A timer that resets every ten seconds though the voltage stays low."""
    element = fleet.timers.elements[3]
    step = element.step

    def resetting(self: Any, dt_s: float, quantity: np.ndarray, extreme: float) -> np.ndarray | None:
        self.timer[self.timer >= 10.0] = 0.0
        return step(dt_s, quantity, extreme)

    element.step = MethodType(resetting, element)  # type: ignore[method-assign]


def impatient(fleet: DerFleet) -> None:
    """A delay to enter service that goes on counting while voltage is out of the window."""
    entry = fleet.enter_service
    step = entry.step

    def counting(self: Any, *arguments: Any) -> np.ndarray | None:
        before = self.waited.copy()
        cap = step(*arguments)
        self.waited = np.where(self.out, np.maximum(self.waited, before), self.waited)
        return cap

    entry.step = MethodType(counting, entry)  # type: ignore[method-assign]


def with_power(trace: Trace, change: Callable[[Trace], np.ndarray]) -> Trace:
    return replace(trace, active=change(trace))


def leaking(trace: Trace) -> Trace:
    """Reactive power that stays when the output has ceased."""
    assert trace.active is not None
    assert trace.reactive is not None
    return replace(trace, reactive=np.where(np.abs(trace.active) < 1e-6, 0.15, trace.reactive))


def jump(part: float) -> Callable[[Trace], Trace]:
    """A return in one step of `part` of the rating."""
    return lambda trace: with_power(trace, lambda t: np.where(t.active > 0.001, np.maximum(t.active, part), 0.0))


DEFECTS: dict[str, Defect] = {
    "UV1 10 % slow": Defect(SAG_08, "tripped too late", {"UV1_trip_s": 23.1}),
    "UV1 30 % fast": Defect(SAG_08, "tripped though ride-through was required", {"UV1_trip_s": 14.7}),
    "UV1 missing": Defect(SAG_08, "did not trip though it had to", {"UV1_trip_V_pu": 0.0}),
    "UV1 never resets": Defect(
        Wave(50.0, [(1.0, 0.8), (16.0, 1.0), (22.0, 0.8), (37.0, 1.0)], dt=0.02),
        "tripped though ride-through was required",
        alter=sticky,
    ),
    "UV1 resets when it should not": Defect(SAG_08, "did not trip though it had to", alter=forgetful),
    "OV1 10 % slow": Defect(
        # In momentary cessation a late trip cannot be seen; in Categories I and II the output goes on until it.
        Wave(20.0, [(1.0, 1.15), (12.0, 1.0)]),
        "tripped too late",
        {"OV1_trip_s": 2.2},
        {"category": "II"},
        {"category": "II"},
    ),
    "UV2 missing": Defect(Wave(6.0, [(1.0, 0.3), (4.0, 1.0)]), "did not trip though it had to", {"UV2_trip_V_pu": 0.0}),
    "OF2 missing": Defect(
        Wave(5.0, frequency=[(1.0, 62.4), (3.0, 60.0)]), "did not trip though it had to", {"OF2_trip_Hz": 66.0}
    ),
    "UF1 10 % slow": Defect(LONG_58, "tripped too late", {"UF1_trip_s": 330.0}),
    "OF1 after 10 s": Defect(
        Wave(30.0, frequency=[(1.0, 61.5), (25.0, 60.0)]),
        "tripped though ride-through was required",
        {"OF1_trip_s": 10.0},
    ),
    "Category II in place of III": Defect(SAG_03, "tripped though ride-through was required", {"category": "II"}),
    "Category III in place of I": Defect(
        Wave(6.0, [(1.0, 0.4), (3.5, 1.0)]),
        "did not trip though it had to",
        {"category": "III", "UV2_trip_s": 5.0},
        held={"category": "I"},
        right={"category": "I"},
    ),
    "wrong open end at 0.88 pu": Defect(
        Wave(30.0, [(1.0, 0.88), (28.0, 1.0)]),
        "tripped though ride-through was required",
        {"UV1_trip_V_pu": 0.8800001},
        held={"accuracy": "exact"},
    ),
    "trips in continuous operation": Defect(
        Wave(10.0, [(1.0, 0.90), (8.0, 1.0)]),
        "tripped though ride-through was required",
        {"UV1_trip_V_pu": 0.93, "UV1_trip_s": 2.0},
    ),
    "momentary cessation in mandatory operation": Defect(
        Wave(8.0, [(1.0, 0.6), (4.0, 1.0)]), "ceased though operation was required", {"MC_V_low_pu": 0.65}
    ),
    "no momentary cessation": Defect(SAG_03, "did not cease though it had to", {"MC_V_low_pu": 0.0}),
    "momentary cessation too slow": Defect(SAG_03, "ceased too late", {"MC_response_s": 0.25}),
    "cease to energize too slow": Defect(
        Wave(4.0, [(1.0, 0.47), (2.0, 1.0)]),
        "ceased too late",
        {"CE_response_s": 0.4},
        {"category": "I"},
        {"category": "I"},
    ),
    "output restored too slowly": Defect(SAG_03, "returned too slowly", {"RT_recovery_s": 2.0}),
    "enters service too early": Defect(AFTER_TRIP, "returned too early", {"ES_delay_s": 250.0}),
    "no enter-service window": Defect(
        Wave(400.0, [(1.0, 0.3), (4.0, 0.90)], dt=0.05), "returned too early", {"ES_V_low_pu": 0.80}
    ),
    "enter-service delay does not start again": Defect(
        Wave(400.0, [(1.0, 0.3), (4.0, 1.0), (200.0, 0.9), (205.0, 1.0)], dt=0.05),
        "returned too early",
        alter=impatient,
    ),
    "missing ramp": Defect(AFTER_TRIP, "returned too fast", {"ES_ramp_s": 1.0}),
    "ramp 10 % fast": Defect(AFTER_TRIP, "returned too fast", {"ES_ramp_s": 270.0}),
    "returns in one step of 40 %": Defect(AFTER_TRIP, "returned too fast", output=jump(0.4)),
    "volt-var of the wrong sign": Defect(
        VOLT_VAR,
        "did not follow its control function",
        {"VV_Q1_pu": -0.44, "VV_Q4_pu": 0.44},
        VOLT_VAR_SET,
        VOLT_VAR_SET,
    ),
    "volt-var too slow": Defect(
        VOLT_VAR, "did not follow its control function", {"VV_response_s": 20.0}, VOLT_VAR_SET, VOLT_VAR_SET
    ),
    "volt-var missing": Defect(
        VOLT_VAR,
        "did not follow its control function",
        {"reactive_mode": "constant_power_factor"},
        VOLT_VAR_SET,
        VOLT_VAR_SET,
    ),
    "power factor 0.9 in place of 1": Defect(
        VOLT_VAR,
        "did not follow its control function",
        {"PF_power_factor": 0.9},
        {},
        {"reactive_mode": "constant_power_factor"},
    ),
    "watt-var missing": Defect(
        VOLT_VAR,
        "did not follow its control function",
        {"reactive_mode": "constant_power_factor"},
        {"reactive_mode": "watt_var"},
        {"reactive_mode": "watt_var"},
    ),
    "volt-watt missing": Defect(
        Wave(60.0, [(5.0, 1.095)], dt=0.05),
        "did not follow its control function",
        {"VW_enabled": False},
        {"VW_enabled": True},
        {"values": {"VW_enabled": True}},
    ),
    "missing droop": Defect(OVER, "did not follow its control function", {"FD_enabled": False}),
    "droop too weak": Defect(OVER, "did not follow its control function", {"FD_kOF_pu": 0.08}),
    "droop too slow": Defect(OVER, "did not follow its control function", {"FD_response_s": 20.0}),
    "deaf to the worst phase": Defect(
        Wave(30.0, [(1.0, 0.7), (28.0, 1.0)], phase_b_only=True),
        "did not trip though it had to",
        {"three_phase": False},
    ),
    "vector-shift relay": Defect(
        Wave(6.0, angle=[(1.0, 15.0)]), "tripped though ride-through was required", {"PJ_trip_deg": 6.0}
    ),
    "ROCOF relay": Defect(
        Wave(6.0, ramp_hz=(1.0, -2.0, 1.5)), "tripped though ride-through was required", {"ROCOF_trip_Hz_s": 1.0}
    ),
    "reactive power left after a trip": Defect(
        Wave(6.0, [(1.0, 0.3), (4.0, 1.0)]), "did not cease though it had to", output=leaking
    ),
}


def trace_of(defect: Defect, *, sound: bool) -> Trace:
    time, volts, hertz, angle = defect.wave.arrays()
    settings = defect.right if sound else {**defect.right, **defect.wrong}
    alter = None if sound else defect.alter
    trace = answer(time, volts, hertz, available=0.9, angle=angle, alter=alter, **settings)
    return trace if sound or defect.output is None else defect.output(trace)


@pytest.mark.parametrize("name", DEFECTS)
def test_defect_is_caught_and_the_sound_model_is_not(name: str) -> None:
    defect = DEFECTS[name]
    sound = verdict(trace_of(defect, sound=True), **defect.held)
    assert sound.result != "fail", failures(sound)
    found = verdict(trace_of(defect, sound=False), **defect.held)
    assert found.result == "fail", [(f.clause, f.result, f.explanation) for f in found.findings if f.fault]
    assert defect.fault in " ".join(failures(found).values()), failures(found)


def test_there_are_enough_of_them() -> None:
    assert len(DEFECTS) >= 20
