"""Loads in an event window: hand-computed points, stall, restart, thermal trip, closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest

from solvers.air_conditioner_stall import AirConditioners, StallParameters
from solvers.window_loads import StaticLoads

STEP = 0.005  # [s]
PARAMETERS = StallParameters()


def pass_time(units: AirConditioners, seconds: float, voltage: float, step: float = STEP) -> None:
    for _ in range(round(seconds / step)):
        units.step(step, np.full(units.n, voltage))


def started(**parameters: float) -> AirConditioners:
    units = AirConditioners(1, StallParameters(**parameters))
    pass_time(units, 0.1, 1.0)
    return units


# ---------------------------------------------------------------------------------------- ZIP and frequency


def test_zip_by_hand() -> None:
    """10 MW + 5 Mvar; P: 30 % Z, 20 % I, 50 % P; Q: all Z. At 0.9 pu: 10 (0.243 + 0.18 + 0.5) and 5 · 0.81."""
    loads = StaticLoads((0.3, 1.0), (0.2, 0.0))
    drawn = loads.demand(np.array([10.0 + 5.0j])).at(0.9)
    assert drawn[0] == pytest.approx(9.23 + 4.05j, abs=1e-12)


def test_frequency_by_hand() -> None:
    """1 % below nominal with slopes 0.8 and -2.2: P falls by 0.8 %, Q rises by 2.2 %."""
    drawn = StaticLoads(frequency_slope=(0.8, -2.2)).demand(np.array([100.0 + 50.0j]), 59.4).at(1.0)
    assert drawn[0] == pytest.approx(99.2 + 51.1j, abs=1e-12)


def test_the_reference_voltage_is_where_the_given_power_is_drawn() -> None:
    power, reference = np.array([3.0 + 1.0j, 2.0 + 0.0j]), np.array([0.97, 1.03])
    demand = StaticLoads((0.4, 0.5), (0.3, 0.2)).demand(power, reference=reference)
    assert demand.at(reference) == pytest.approx(power, abs=1e-12)
    assert demand.at(reference * 0.5)[0].real == pytest.approx(3.0 * (0.4 * 0.25 + 0.3 * 0.5 + 0.3))


# --------------------------------------------------------------------------------------- while motors run


def test_running_curve_by_hand() -> None:
    """The composite load model's curve: P is 1 above 0.86 pu; at 0.66 pu P = 1 + 12 · 0.2^3.2, Q by both branches."""
    q0 = math.tan(math.acos(0.98)) - 6.0 * 0.14**2
    found = PARAMETERS.running(np.array([1.0, 0.93, 0.86, 0.66]))
    assert found.real == pytest.approx([1.0, 1.0, 1.0, 1.0 + 12.0 * 0.2**3.2], abs=1e-12)
    assert found.imag == pytest.approx([q0 + 6 * 0.14**2, q0 + 6 * 0.07**2, q0, q0 + 11.0 * 0.2**2.5], abs=1e-12)
    # 1 % under-frequency: CmpKpf 1, CmpKqf -3.3
    slow = PARAMETERS.running(np.array([1.0]), 59.4)[0]
    assert slow.real == pytest.approx(0.99, abs=1e-12)
    assert slow.imag == pytest.approx(math.tan(math.acos(0.98)) * 1.033, abs=1e-12)


def test_a_stalled_motor_is_an_impedance() -> None:
    """0.1 + j0.1 pu: 5 + j5 pu of power at nominal voltage, 3.5 and 5 times being PyDSS's simple model."""
    assert PARAMETERS.stalled == pytest.approx(1.0 / np.conj(0.1 + 0.1j))
    assert PARAMETERS.stalled == pytest.approx(5.0 + 5.0j)


def test_the_running_curve_never_exceeds_the_stalled_motor() -> None:
    voltage = np.linspace(0.0, 1.1, 500)
    running, stalled = PARAMETERS.running(voltage), PARAMETERS.stalled * voltage**2
    assert (running.real <= stalled.real + 1e-12).all()
    assert (running.imag <= stalled.imag + 1e-12).all()
    assert np.abs(np.diff(running)).max() < 0.05  # and has no jump


# ------------------------------------------------------------------------------------------------- stalling


@pytest.mark.parametrize(
    ("voltage", "seconds", "stalls"),
    [(0.54, 0.035, True), (0.54, 0.030, False), (0.56, 1.0, False), (0.1, 0.035, True), (0.55, 1.0, False)],
)
def test_stalls_below_the_stall_voltage_for_the_stall_time(voltage: float, seconds: float, stalls: bool) -> None:
    """V < 0.55 pu for 32 ms."""
    units = started()
    pass_time(units, seconds, voltage)
    assert (units.stalled_share[0] == pytest.approx(1.0)) == stalls
    assert (units.running_share[0] == pytest.approx(1.0)) != stalls


def test_an_interrupted_sag_starts_the_stall_time_anew() -> None:
    units = started()
    for _ in range(10):
        pass_time(units, 0.03, 0.4)
        pass_time(units, STEP, 0.7)
    assert units.stalled_share[0] == 0.0


def test_the_restart_share_restarts_and_the_rest_does_not() -> None:
    """Frst 0.2 at Vrst 0.95 for Trst 0.3 s; no restart at 0.94 pu."""
    units = started(thermal_time=1e9)  # relays that never warm up
    pass_time(units, 0.05, 0.4)
    pass_time(units, 2.0, 0.94)
    assert units.stalled_share[0] == pytest.approx(1.0)
    pass_time(units, 0.29, 0.97)
    assert units.running_share[0] == 0.0
    pass_time(units, 0.01, 0.97)
    assert units.running_share[0] == pytest.approx(0.2)
    pass_time(units, 5.0, 0.97)
    assert units.stalled_share[0] == pytest.approx(0.8)
    drawn = units.running_demand(np.array([0.97])) + units.stalled_demand() * 0.97**2
    assert drawn[0].real == pytest.approx(0.2 + 0.8 * 5.0 * 0.97**2)


# -------------------------------------------------------------------------------------------- thermal relays


def first_trip(voltage: float, parameters: StallParameters = PARAMETERS) -> float:
    """When the first relay opens after a stall at a held voltage: θ∞ - (θ∞ - θ0) exp(-t / T) = 0.7, θ∞ = V² G."""
    running = abs(parameters.running(np.array([1.0]))[0]) ** 2 * parameters.stall_resistance
    final = voltage**2 * parameters.stalled.real
    return parameters.thermal_time * math.log((final - running) / (final - parameters.thermal_first))


@pytest.mark.parametrize("voltage", [0.45, 0.6, 0.8])
def test_the_first_relay_opens_when_the_closed_form_says(voltage: float) -> None:
    units = started()
    units.stalled[:] = True
    expected, passed = first_trip(voltage), 0.0
    while units.tripped_share[0] == 0.0:
        units.step(STEP, np.array([voltage]))
        passed += STEP
    assert passed == pytest.approx(expected, abs=1.01 * STEP)


@pytest.mark.parametrize("voltage", [0.5, 0.7])
def test_the_share_that_trips_in_the_end(voltage: float) -> None:
    """θ∞ = V² / 0.2: at 0.5 pu 1.25, (1.25 - 0.7) / 1.2 = 45.8 % of the relays; at 0.7 pu 2.45, all of them."""
    units = started()
    units.stalled[:] = True
    pass_time(units, 100.0, voltage, step=0.1)
    assert units.tripped_share[0] == pytest.approx(min((voltage**2 * 5.0 - 0.7) / 1.2, 1.0), abs=1e-6)


def test_what_is_off_by_its_relay_draws_nothing_and_comes_back_after_the_lockout() -> None:
    units = started()
    units.stalled[:] = True
    pass_time(units, 10.0, 0.9, step=0.02)
    assert units.tripped_share[0] == pytest.approx(1.0)
    assert units.stalled_demand()[0] == 0.0
    assert units.running_demand(np.array([1.0]))[0] == 0.0
    pass_time(units, 280.0, 1.0, step=1.0)
    assert units.tripped_share[0] == pytest.approx(1.0)
    pass_time(units, 40.0, 1.0, step=1.0)
    assert units.running_share[0] == pytest.approx(1.0)
    assert units.running_demand(np.array([1.0]))[0].real == pytest.approx(1.0)


def test_running_motors_do_not_trip() -> None:
    units = started()
    pass_time(units, 60.0, 0.75, step=0.1)
    assert units.tripped_share[0] == 0.0


def test_heat_does_not_depend_on_the_step() -> None:
    """The relay's first order is exact at a held voltage."""
    fine, coarse = started(), started()
    for units, step in ((fine, 0.001), (coarse, 0.02)):
        units.stalled[:] = True
        pass_time(units, 3.0, 0.65, step)
    assert fine.heat == pytest.approx(coarse.heat, rel=1e-9)
    assert fine.tripped_share == pytest.approx(coarse.tripped_share, rel=1e-9)


def test_units_do_not_touch_each_other() -> None:
    together = AirConditioners(3)
    voltages = [np.array([1.0, 0.5, 0.9])] * 20 + [np.array([1.0, 0.97, 0.2])] * 100
    for voltage in voltages:
        together.step(STEP, voltage)
    for k in range(3):
        alone = AirConditioners(1)
        for voltage in voltages:
            alone.step(STEP, voltage[k : k + 1])
        assert alone.stalled_share[0] == together.stalled_share[k]
        assert alone.heat[:, 0] == pytest.approx(together.heat[:, k], rel=1e-12)
    assert together.running_share[0] == 1.0
    assert 0.0 < together.running_share[1] <= 0.2
    assert together.stalled_share[2] == 1.0
    assert together.running_share + together.stalled_share + together.tripped_share == pytest.approx(np.ones(3))
