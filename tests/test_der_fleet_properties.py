"""Properties that hold for any waveform: step size, vector and scalar, order of DER, modes only as the tables allow."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from solvers.der_fleet import DerFleet, FleetOutput, Mode, fleet_settings
from solvers.ieee1547_tables import ABNORMAL_CATEGORIES, ride_through

QUICK = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)


@dataclass(frozen=True)
class Wave:
    """Levels held for multiples of 0.1 s."""

    tenths: list[int]
    voltage: list[list[float]]
    frequency: list[float]


_LEVELS = st.sampled_from(
    [0.0, 0.2, 0.299, 0.4, 0.45, 0.5, 0.6, 0.65, 0.7, 0.8, 0.88, 0.95, 1.0, 1.05, 1.1, 1.16, 1.19, 1.25]
)
_FREQUENCIES = st.sampled_from([56.0, 57.0, 58.6, 59.9, 60.0, 60.0, 60.0, 60.5, 61.5, 62.0, 62.5])


@st.composite
def waves(draw: st.DrawFn) -> Wave:
    count = draw(st.integers(2, 6))
    tenths = [draw(st.integers(1, 25)) for _ in range(count)]
    voltage = []
    for _ in range(count):
        level = draw(_LEVELS)
        voltage.append([level] * 3 if draw(st.booleans()) else [level, draw(_LEVELS), 1.0])
    return Wave([3, *tenths, 30], [[1.0] * 3, *voltage, [1.0] * 3], [60.0, *(draw(_FREQUENCIES) for _ in tenths), 60.0])


def _values(n: int, rng: np.random.Generator) -> dict[str, object]:
    return {
        "category": rng.choice(ABNORMAL_CATEGORIES, n),
        "normal_category": np.full(n, "B"),
        "reactive_mode": rng.choice(["volt_var", "constant_power_factor", "watt_var", "constant_reactive_power"], n),
        "three_phase": rng.random(n) < 0.7,
        "battery": rng.random(n) < 0.3,
        "VW_enabled": rng.random(n) < 0.5,
        "may_trip": rng.choice(["never", "at_once"], n),
        "PF_power_factor": rng.uniform(0.9, 1.0, n),
        "Q_setpoint_pu": rng.uniform(-0.4, 0.4, n),
        "ES_delay_s": np.full(n, 1.0),
        "ES_ramp_s": rng.uniform(1.0, 5.0, n),
        "OV1_trip_s": rng.choice([1.0, 2.0, 5.0], n),
    }


def _run(fleet: DerFleet, wave: Wave, dt: float, power: np.ndarray) -> list[FleetOutput]:
    """The output at every tenth of a second."""
    n, outputs = fleet.settings.n, []
    per_tenth = round(0.1 / dt)
    for tenths, voltage, frequency in zip(wave.tenths, wave.voltage, wave.frequency, strict=True):
        volts, hertz = np.tile(np.array(voltage), (n, 1)), np.full(n, frequency)
        for _ in range(tenths):
            for _ in range(per_tenth):
                last = fleet.step(dt, volts, None, hertz, power)
            outputs.append(last)
    return outputs


def _subset(values: dict[str, object], rows: np.ndarray) -> dict[str, object]:
    return {name: np.asarray(value)[rows] for name, value in values.items()}


@QUICK
@given(waves(), st.integers(0, 2**16))
def test_the_step_does_not_matter(wave: Wave, seed: int) -> None:
    """Trips, entries and modes are the same at 20 ms and at 100 ms, their moments exactly; powers at the end."""
    rng = np.random.default_rng(seed)
    values, power = _values(12, rng), rng.uniform(0.0, 1.0, 12)
    # Lots apart, only the may-trip region's end is found by the step it is in.
    values["may_trip"] = "never"
    fine = _run(DerFleet(fleet_settings(12, values)), wave, 0.02, power)
    coarse = _run(DerFleet(fleet_settings(12, values)), wave, 0.1, power)
    for one, other in zip(fine, coarse, strict=True):
        assert np.array_equal(one.tripped, other.tripped)
        assert np.array_equal(one.element, other.element)
        assert np.array_equal(one.mode, other.mode)
        np.testing.assert_allclose(one.trip_time_s, other.trip_time_s, atol=1e-7)
        np.testing.assert_allclose(one.reenter_time_s, other.reenter_time_s, atol=1e-7)


def test_powers_at_1_10_and_100_ms_agree_when_nothing_moves_within_a_step() -> None:
    """Lags are exact; what may differ by up to a step is what one function hands to another."""
    wave = Wave([5, 20, 10, 5, 30], [[1.0] * 3, [1.05] * 3, [0.9] * 3, [0.4] * 3, [1.0] * 3], [60.0] * 5)
    values = {"category": "III", "reactive_mode": "volt_var", "VW_enabled": True, "UV2_trip_s": 5.0}
    runs = [_run(DerFleet(fleet_settings(1, values)), wave, dt, np.array([0.8])) for dt in (0.001, 0.01, 0.1)]
    for fine, medium, coarse in zip(*runs, strict=True):
        assert fine.p_pu == pytest.approx(medium.p_pu, abs=1e-9)
        assert fine.q_pu == pytest.approx(medium.q_pu, abs=1e-9)
        assert fine.p_pu == pytest.approx(coarse.p_pu, abs=1e-9)
        assert fine.q_pu == pytest.approx(coarse.q_pu, abs=1e-9)


@QUICK
@given(waves(), st.integers(0, 2**16))
def test_vector_equals_scalar_and_order_does_not_matter(wave: Wave, seed: int) -> None:
    rng = np.random.default_rng(seed)
    values, power = _values(4, rng), rng.uniform(-0.5, 1.0, 4)
    together = _run(DerFleet(fleet_settings(4, values)), wave, 0.05, power)
    alone = [
        _run(DerFleet(fleet_settings(1, _subset(values, np.array([i])))), wave, 0.05, power[i : i + 1])
        for i in range(4)
    ]
    shuffle = rng.permutation(4)
    shuffled = _run(DerFleet(fleet_settings(4, _subset(values, shuffle))), wave, 0.05, power[shuffle])
    for k, output in enumerate(together):
        for name in ("p_pu", "q_pu", "mode", "tripped", "element", "trip_time_s", "reenter_time_s"):
            whole = getattr(output, name)
            np.testing.assert_array_equal(whole, np.concatenate([getattr(run[k], name) for run in alone]))
            np.testing.assert_array_equal(whole[shuffle], getattr(shuffled[k], name))


@QUICK
@given(waves(), st.integers(0, 2**16))
def test_modes_are_those_of_the_tables_and_powers_stay_within_the_ratings(wave: Wave, seed: int) -> None:
    rng = np.random.default_rng(seed)
    values, power = _values(9, rng), rng.uniform(-1.0, 1.0, 9)
    fleet = DerFleet(fleet_settings(9, values))
    possible = {
        category: {row.mode for row in ride_through(category, "voltage")} | {"mandatory", "unspecified"}
        for category in ABNORMAL_CATEGORIES
    }
    for output in _run(fleet, wave, 0.05, power):
        assert (np.hypot(output.p_pu, output.q_pu) <= 1.0 + 1e-9).all()
        assert not output.p_pu[output.tripped].any()
        assert not output.q_pu[output.tripped].any()
        assert (output.p_pu[~np.asarray(values["battery"])] >= 0.0).all()
        for index, code in enumerate(output.mode):
            mode = Mode(code)
            if mode not in (Mode.TRIPPED, Mode.ENTERING_SERVICE):
                assert mode.name.lower() in possible[values["category"][index]]


def test_two_runs_with_one_seed_are_bit_identical() -> None:
    wave = Wave([3, 40, 40], [[1.0] * 3, [0.66] * 3, [1.0] * 3], [60.0] * 3)
    values = {
        "category": "II",
        "may_trip": "random",
        "ES_randomised": True,
        "ES_delay_s": 0.5,
        "ES_random_delay_s": 3.0,
    }
    runs = [_run(DerFleet(fleet_settings(50, values), 7), wave, 0.05, np.ones(50))[-1] for _ in range(2)]
    assert np.array_equal(runs[0].p_pu, runs[1].p_pu)
    assert np.array_equal(runs[0].reenter_time_s, runs[1].reenter_time_s, equal_nan=True)
    other = _run(DerFleet(fleet_settings(50, values), 8), wave, 0.05, np.ones(50))[-1]
    assert not np.array_equal(runs[0].reenter_time_s, other.reenter_time_s, equal_nan=True)
