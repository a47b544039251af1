"""The waveforms that both models get: several hundred, made by rule and with a fixed seed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from solvers.ieee1547_tables import ride_through, trip_settings

NOMINAL = (1.0, 1.0, 1.0)


@dataclass(frozen=True)
class Hold:
    """Inputs held for `seconds` [s]."""

    seconds: float
    voltage: tuple[float, float, float] = NOMINAL  #: [pu]
    frequency: float = 60.0  #: [Hz]
    power: float = 1.0  #: [pu] available, or (battery) asked for


@dataclass(frozen=True)
class Case:
    """One waveform on one DER; settings by the fleet's names."""

    name: str
    group: str
    holds: tuple[Hold, ...]
    settings: dict[str, Any] = field(default_factory=dict)
    dt: float = 0.02  #: [s]
    in_service: bool = True


#: Clearing times [s] short enough to be seen; both models get the same, and neither is asked about ranges here.
SHORT = {
    "I": {"OV1_trip_s": 1.0, "UV1_trip_s": 2.0},
    "II": {"OV1_trip_s": 1.0, "UV1_trip_s": 2.4},
    "III": {"OV1_trip_s": 1.4, "UV1_trip_s": 2.4, "UV2_trip_s": 1.2},
}
SHORT_FREQUENCY = {"OF1_trip_s": 1.0, "UF1_trip_s": 1.4}
LEAD = Hold(0.2)


def _balanced(value: float) -> tuple[float, float, float]:
    return (value, value, value)


def all_cases() -> list[Case]:
    """Every case, in a fixed order."""
    rng = np.random.default_rng(1547)
    makers = (
        _voltage,
        _frequency,
        lambda: _unbalance(rng),
        lambda: _single_phase(rng),
        lambda: _consecutive(rng),
        _recovery,
        _volt_var,
        _other_reactive,
        _volt_watt,
        _droop,
        _enter_service,
        _limits,
        _battery,
    )
    # Output returns at once, unless a case says otherwise: OpenDER ramps every rise of active current, see "recovery".
    return [replace(case, settings={"RT_recovery_s": 0.0, **case.settings}) for make in makers for case in make()]


def _voltage() -> Iterator[Case]:
    for category in ("I", "II", "III"):
        edges = {row.threshold for row in trip_settings(category) if row.quantity == "voltage"}
        edges |= {edge for row in ride_through(category, "voltage") for edge in (row.low, row.high)}
        for edge in sorted(edge for edge in edges if 0.0 < edge < 2.0):
            for offset in (-0.01, 0.0, 0.01):
                level = round(edge + offset, 6)
                yield Case(
                    f"voltage {category} {level:g}",
                    "voltage",
                    (LEAD, Hold(2.6, _balanced(level)), Hold(0.8)),
                    {"category": category, **SHORT[category]},
                )


def _frequency() -> Iterator[Case]:
    for category in ("I", "II", "III"):
        edges = {row.threshold for row in trip_settings(category) if row.quantity == "frequency"}
        edges |= {edge for row in ride_through(category, "frequency") for edge in (row.low, row.high)}
        for edge in sorted(edge for edge in edges if 0.0 < edge < 100.0):
            for offset in (-0.02, 0.0, 0.02):
                level = round(edge + offset, 6)
                yield Case(
                    f"frequency {category} {level:g}",
                    "frequency",
                    (LEAD, Hold(1.8, frequency=level), Hold(0.4)),
                    # Droop is compared by itself; here the modes and trips count.
                    {"category": category, **SHORT_FREQUENCY, "FD_enabled": False},
                )


def _unbalance(rng: np.random.Generator) -> Iterator[Case]:
    for index in range(45):
        category = ("I", "II", "III")[index % 3]
        phases = rng.choice([0.3, 0.48, 0.6, 0.75, 0.9, 1.0, 1.05, 1.12, 1.18, 1.22], 3)
        yield Case(
            f"unbalance {category} {phases[0]:g}/{phases[1]:g}/{phases[2]:g}",
            "unbalance",
            (LEAD, Hold(1.4, (float(phases[0]), float(phases[1]), float(phases[2]))), Hold(0.6)),
            {"category": category, **SHORT[category], "phase_to_phase": True},
        )


def _single_phase(rng: np.random.Generator) -> Iterator[Case]:
    for index in range(24):
        category = ("I", "II", "III")[index % 3]
        level = round(float(rng.uniform(0.2, 1.25)), 3)
        yield Case(
            f"single-phase {category} {level:g}",
            "single-phase",
            (LEAD, Hold(1.4, (level, 1.0, 1.0)), Hold(0.6)),
            {"category": category, **SHORT[category], "three_phase": False},
        )


def _consecutive(rng: np.random.Generator) -> Iterator[Case]:
    for index in range(60):
        category = ("I", "II", "III")[index % 3]
        holds = [LEAD]
        for _ in range(int(rng.integers(2, 5))):
            level = round(float(rng.choice([0.25, 0.4, 0.55, 0.68, 0.8, 1.12, 1.16, 1.19])), 3)
            holds.append(Hold(float(rng.integers(2, 40)) * 0.02, _balanced(level)))
            holds.append(Hold(float(rng.integers(1, 30)) * 0.02))
        yield Case(
            f"consecutive {category} #{index + 1}",
            "consecutive",
            (*holds, Hold(0.5)),
            {"category": category, **SHORT[category]},
        )


def _recovery() -> Iterator[Case]:
    for category in ("I", "II", "III"):
        for level in (0.2, 0.4, 0.8, 1.15):
            for power in (1.0, 0.5):
                yield Case(
                    f"recovery {category} from {level:g} pu, P {power:g}",
                    "recovery",
                    (Hold(0.2, power=power), Hold(0.14, _balanced(level), power=power), Hold(0.8, power=power)),
                    {"category": category, **SHORT[category], "RT_recovery_s": 0.4, "I_max_pu": 1.0},
                )


def _volt_var() -> Iterator[Case]:
    for normal in ("A", "B"):
        for level in (0.89, 0.91, 0.94, 0.97, 0.985, 1.0, 1.015, 1.03, 1.05, 1.07, 1.09):
            for response in (1.0, 5.0):
                yield Case(
                    f"volt-var {normal} {level:g} pu, {response:g} s",
                    "volt-var",
                    (Hold(0.5, power=0.7), Hold(3.0, _balanced(level), power=0.7), Hold(1.0, power=0.7)),
                    {"normal_category": normal, "reactive_mode": "volt_var", "VV_response_s": response},
                    dt=0.05,
                )
    for level in (0.96, 1.04, 1.07):
        yield Case(
            f"volt-var autonomous Vref {level:g} pu",
            "volt-var",
            (Hold(10.0, power=0.7), Hold(600.0, _balanced(level), power=0.7), Hold(100.0, power=0.7)),
            {"reactive_mode": "volt_var", "VV_auto_Vref": True, "VV_Vref_time_s": 300.0},
            dt=1.0,
        )
    for phases in ((1.0, 1.05, 1.08), (0.9, 1.0, 1.0), (0.95, 0.93, 0.99)):
        yield Case(
            f"volt-var unbalanced {phases[0]:g}/{phases[1]:g}/{phases[2]:g}",
            "volt-var",
            (Hold(0.5, power=0.5), Hold(5.0, phases, power=0.5)),
            {"reactive_mode": "volt_var", "phase_to_phase": True},
            dt=0.05,
        )


def _other_reactive() -> Iterator[Case]:
    modes: tuple[tuple[str, dict[str, Any]], ...] = (
        ("power factor 0.9 injecting", {"reactive_mode": "constant_power_factor", "PF_power_factor": 0.9}),
        (
            "power factor 0.95 absorbing",
            {"reactive_mode": "constant_power_factor", "PF_power_factor": 0.95, "PF_absorbing": True},
        ),
        ("constant 0.3", {"reactive_mode": "constant_reactive_power", "Q_setpoint_pu": 0.3}),
        ("constant -0.44", {"reactive_mode": "constant_reactive_power", "Q_setpoint_pu": -0.44}),
        ("watt-var B", {"reactive_mode": "watt_var"}),
        ("watt-var A", {"reactive_mode": "watt_var", "normal_category": "A"}),
    )
    for name, settings in modes:
        for before, after in ((0.5, 0.9), (0.8, 0.3), (0.6, 0.1), (0.3, 0.02)):
            yield Case(
                f"reactive: {name}, P {before:g} to {after:g}",
                "reactive power",
                (Hold(0.5, power=before), Hold(4.0, power=after)),
                settings,
                dt=0.05,
            )


def _volt_watt() -> Iterator[Case]:
    for level in (1.05, 1.06, 1.065, 1.07, 1.08, 1.09, 1.1):
        for power in (1.0, 0.4):
            yield Case(
                f"volt-watt {level:g} pu, P {power:g}",
                "volt-watt",
                (Hold(0.5, power=power), Hold(5.0, _balanced(level), power=power), Hold(3.0, power=power)),
                {"VW_enabled": True, "VW_response_s": 2.0},
                dt=0.05,
            )


def _droop() -> Iterator[Case]:
    for level in (58.9, 59.5, 59.9, 59.964, 59.97, 60.03, 60.036, 60.1, 60.5, 61.0, 61.15):
        for limit in (None, 0.5):
            settings: dict[str, Any] = {"FD_response_s": 1.0}
            if limit is not None:
                settings |= {"AP_limit_enabled": True, "AP_limit_pu": limit}
            yield Case(
                f"droop {level:g} Hz" + ("" if limit is None else f", limited to {limit:g}"),
                "droop",
                (Hold(0.5, power=0.9), Hold(3.0, frequency=level, power=0.9), Hold(3.0, power=0.9)),
                settings,
                dt=0.05,
            )
    yield Case(
        "droop with falling sun",
        "droop",
        (Hold(0.5, power=0.9), Hold(2.0, frequency=60.3, power=0.9), Hold(2.0, frequency=60.3, power=0.4)),
        {"FD_response_s": 1.0},
        dt=0.05,
    )
    yield Case(
        "droop over, then under",
        "droop",
        (Hold(0.5, power=0.8), Hold(2.0, frequency=60.6, power=0.8), Hold(2.0, frequency=59.4, power=0.8)),
        {"FD_response_s": 1.0},
        dt=0.05,
    )


def _enter_service() -> Iterator[Case]:
    quick = {"ES_delay_s": 2.0, "ES_ramp_s": 3.0}
    away = Hold(0.5, _balanced(0.5))
    for voltage, frequency in (
        (1.0, 60.0),
        (0.917, 60.0),
        (0.92, 60.0),
        (0.91, 60.0),
        (1.05, 60.0),
        (1.06, 60.0),
        (1.0, 59.5),
        (1.0, 59.4),
        (1.0, 60.1),
        (1.0, 60.2),
    ):
        yield Case(
            f"cold start at {voltage:g} pu, {frequency:g} Hz",
            "enter service",
            # The first step away from the criteria: OpenDER's timers need it, see the differences.
            (away, Hold(8.0, _balanced(voltage), frequency)),
            {**quick, "FD_enabled": False},
            dt=0.05,
            in_service=False,
        )
    yield Case("cold start on a healthy grid", "enter service", (Hold(8.0),), quick, dt=0.05, in_service=False)
    for category in ("I", "II", "III"):
        for level in (0.3, 0.6, 1.18, 1.25):
            yield Case(
                f"trip and return {category} {level:g}",
                "enter service",
                (LEAD, Hold(2.6, _balanced(level)), Hold(8.0)),
                {"category": category, **SHORT[category], **quick},
                dt=0.02,
            )
    yield Case(
        "criteria broken while waiting",
        "enter service",
        (away, Hold(1.5), Hold(0.2, _balanced(0.9)), Hold(6.0)),
        quick,
        dt=0.05,
        in_service=False,
    )
    yield Case(
        "sag while ramping",
        "enter service",
        (away, Hold(3.5), Hold(0.3, _balanced(0.8)), Hold(4.0)),
        quick,
        dt=0.05,
        in_service=False,
    )
    yield Case(
        "ramp with little sun",
        "enter service",
        (away, Hold(7.0, power=0.4)),
        quick,
        dt=0.05,
        in_service=False,
    )


def _limits() -> Iterator[Case]:
    for normal, level in (("A", 1.09), ("B", 1.09), ("B", 0.93), ("B", 1.06)):
        for priority in ("reactive", "active"):
            yield Case(
                f"priority {normal} {level:g} pu, {priority}",
                "limits",
                (Hold(0.5), Hold(4.0, _balanced(level))),
                {"normal_category": normal, "reactive_mode": "volt_var", "priority": priority, "VV_response_s": 1.0},
                dt=0.05,
            )
    for limit in (0.8, 0.5, 0.2, 0.0):
        yield Case(
            f"active-power limit {limit:g}",
            "limits",
            (Hold(1.0), Hold(1.0, power=0.6)),
            {"AP_limit_enabled": True, "AP_limit_pu": limit},
            dt=0.05,
        )
    for mode in ("constant_power_factor", "watt_var"):
        yield Case(
            f"apparent-power limit, {mode.replace('_', ' ')}",
            "limits",
            (Hold(0.5, power=0.5), Hold(4.0)),
            {"reactive_mode": mode, "PF_power_factor": 0.9, "PF_absorbing": True},
            dt=0.05,
        )


def _battery() -> Iterator[Case]:
    for power in (1.0, 0.5, -0.5, -1.0):
        for settings in ({}, {"reactive_mode": "volt_var"}, {"reactive_mode": "watt_var"}):
            mode = str(settings.get("reactive_mode", "unity")).replace("_", " ")
            yield Case(
                f"battery {power:g}, {mode}",
                "battery",
                (Hold(0.5, power=power), Hold(3.0, _balanced(1.06), power=power), Hold(1.0, power=power)),
                {"battery": True, **settings},
                dt=0.05,
            )
    for frequency in (60.5, 59.5):
        yield Case(
            f"battery droop {frequency:g} Hz",
            "battery",
            (Hold(0.5, power=0.2), Hold(3.0, frequency=frequency, power=0.2), Hold(3.0, power=0.2)),
            {"battery": True, "FD_response_s": 1.0},
            dt=0.05,
        )
