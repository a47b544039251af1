"""Each function of the fleet against the standard's own description, with numbers worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from solvers.der_fleet import ELEMENTS, DerFleet, FleetOutput, Mode, SettingsError, fleet_settings
from solvers.der_fleet.common_file_format import LABELS, translate
from solvers.der_fleet.settings import FLAGS, NUMBERS


def _fleet(n: int = 1, *, seed: int = 0, in_service: bool = True, **values: object) -> DerFleet:
    return DerFleet(fleet_settings(n, values), seed, in_service=in_service)


def _hold(
    fleet: DerFleet, seconds: float, *, dt: float = 0.01, v=1.0, f: float = 60.0, p=1.0, angle=None
) -> FleetOutput:
    """Hold these inputs; `v` one number, or one for each phase."""
    n = fleet.settings.n
    voltage = np.broadcast_to(np.asarray(v, float), (n, 3)).copy()
    angles = None if angle is None else np.broadcast_to(np.asarray(angle, float), (n, 3)).copy()
    power = np.broadcast_to(np.asarray(p, float), (n,)).copy()
    for _ in range(round(seconds / dt)):
        output = fleet.step(dt, voltage, angles, np.full(n, f), power)
    return output


# --- Reactive power ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("normal", "voltage", "q"),
    [
        # Table 8's defaults, by hand: A falls 0.25 over 0.1 pu, B 0.44 over 0.06 pu beyond 0.98 and 1.02.
        ("A", 0.90, 0.25),
        ("A", 1.00, 0.0),
        ("A", 1.05, -0.125),
        ("A", 1.09, -0.225),
        ("A", 1.10, -0.25),
        ("B", 0.92, 0.44),
        ("B", 0.95, 0.22),
        ("B", 1.00, 0.0),
        ("B", 1.05, -0.22),
        ("B", 1.08, -0.44),
    ],
)
def test_volt_var_settles_on_the_curve(normal: str, voltage: float, q: float) -> None:
    fleet = _fleet(normal_category=normal, reactive_mode="volt_var")
    assert _hold(fleet, 60.0, dt=0.1, v=voltage, p=0.6).q_pu[0] == pytest.approx(q, abs=1e-9)


@pytest.mark.parametrize("dt", [0.001, 0.01, 0.1, 1.0])
def test_open_loop_response_is_90_percent_at_its_time_for_any_step(dt: float) -> None:
    fleet = _fleet(reactive_mode="volt_var", VV_response_s=5.0)
    _hold(fleet, 1.0, dt=dt, p=0.5)
    assert _hold(fleet, 5.0, dt=dt, v=1.08, p=0.5).q_pu[0] == pytest.approx(-0.44 * 0.9, abs=1e-9)


def test_autonomous_reference_follows_with_its_time_constant() -> None:
    fleet = _fleet(reactive_mode="volt_var", VV_auto_Vref=True, VV_Vref_time_s=300.0, VV_response_s=1.0)
    _hold(fleet, 1.0, dt=1.0, p=0.5)
    settled = _hold(fleet, 300.0, dt=1.0, v=1.04, p=0.5)
    reference = 1.0 + 0.04 * (1.0 - math.exp(-1.0))
    assert settled.q_pu[0] == pytest.approx(-0.44 * max(1.04 - reference - 0.02, 0.0) / 0.06, abs=1e-3)
    assert _hold(fleet, 3000.0, dt=1.0, v=1.04, p=0.5).q_pu[0] == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize(
    ("values", "p", "q"),
    [
        ({"reactive_mode": "constant_power_factor", "PF_power_factor": 0.9}, 0.8, 0.8 * math.tan(math.acos(0.9))),
        (
            {"reactive_mode": "constant_power_factor", "PF_power_factor": 0.95, "PF_absorbing": True},
            0.5,
            -0.5 * math.tan(math.acos(0.95)),
        ),
        ({"reactive_mode": "constant_reactive_power", "Q_setpoint_pu": -0.3}, 0.5, -0.3),
        ({"reactive_mode": "watt_var"}, 0.5, 0.0),
        ({"reactive_mode": "watt_var"}, 0.75, -0.22),
        ({"reactive_mode": "watt_var", "normal_category": "A"}, 0.75, -0.125),
        ({"reactive_mode": "watt_var", "battery": True}, -0.75, 0.22),
    ],
)
def test_other_reactive_power_modes(values: dict[str, object], p: float, q: float) -> None:
    output = _hold(_fleet(**values), 1.0, p=p)
    assert (output.p_pu[0], output.q_pu[0]) == (pytest.approx(p), pytest.approx(q))


def test_capability_shrinks_with_active_power_below_20_percent() -> None:
    fleet = _fleet(2, reactive_mode="volt_var", normal_category=["A", "B"], VV_Q4_pu=[-0.25, -0.44])
    assert _hold(fleet, 1.0, v=1.1, p=0.1).q_pu == pytest.approx([-0.125, -0.22])


# --- Limits ------------------------------------------------------------------------------------------------------


def test_reactive_power_goes_first_under_the_apparent_power_limit() -> None:
    fleet = _fleet(2, reactive_mode="volt_var", priority=["reactive", "active"])
    output = _hold(fleet, 1.0, v=1.09)
    assert output.q_pu == pytest.approx([-0.44, -0.44])
    assert output.p_pu == pytest.approx(math.sqrt(1 - 0.44**2))


def test_priority_beyond_table_7() -> None:
    """A unit that can do more than Table 7: with active priority only Table 7's share goes before active power."""
    values = {"reactive_mode": "constant_reactive_power", "Q_setpoint_pu": -0.6, "Q_max_absorb_pu": 0.6}
    settings = fleet_settings(2, {**values, "priority": ["reactive", "active"]}, check=False)
    output = _hold(DerFleet(settings), 1.0)
    assert output.q_pu == pytest.approx([-0.6, -0.44])
    assert output.p_pu == pytest.approx([0.8, math.sqrt(1 - 0.44**2)])


def test_constant_power_factor_keeps_its_factor_at_the_limit() -> None:
    output = _hold(_fleet(PF_power_factor=0.95), 1.0)
    assert output.p_pu[0] == pytest.approx(0.95)
    assert np.hypot(output.p_pu, output.q_pu)[0] == pytest.approx(1.0)


def test_watt_var_keeps_to_its_curve_at_the_limit() -> None:
    output = _hold(_fleet(reactive_mode="watt_var"), 1.0)
    p, q = output.p_pu[0], output.q_pu[0]
    assert np.hypot(p, q) == pytest.approx(1.0)
    assert q == pytest.approx(-0.44 * (p - 0.5) / 0.5)


def test_current_limit_in_a_sag() -> None:
    fleet = _fleet()
    _hold(fleet, 0.1)
    assert _hold(fleet, 0.1, v=0.6).p_pu[0] == pytest.approx(0.72)  # 1.2 pu of current at 0.6 pu


# --- Active power ------------------------------------------------------------------------------------------------


def test_volt_watt_default_curve() -> None:
    fleet = _fleet(VW_enabled=True)
    assert _hold(fleet, 1.0, v=1.08).p_pu[0] == pytest.approx(0.5)  # half way from 1.06 (1.0) to 1.10 (0.0)


def test_volt_watt_p2_is_the_lesser_of_a_fifth_and_the_minimum() -> None:
    assert fleet_settings(3, {"P_min_pu": [0.0, 0.1, 0.5]})["VW_P2_pu"] == pytest.approx([0.0, 0.1, 0.2])
    assert fleet_settings(1, profile_name="PSCo")["VW_P2_pu"] == pytest.approx([0.2])


@pytest.mark.parametrize(
    ("frequency", "before", "after"),
    [
        (60.036, 0.8, 0.8),  # inside the deadband
        (60.636, 0.8, 0.8 - 0.6 / (60 * 0.05)),
        (61.136, 0.3, 0.0),  # no less than nothing
        (59.364, 0.5, 0.5),  # PV has no more to give
    ],
)
def test_frequency_droop(frequency: float, before: float, after: float) -> None:
    fleet = _fleet()
    _hold(fleet, 1.0, dt=0.1, p=before)
    assert _hold(fleet, 60.0, dt=0.1, f=frequency, p=before).p_pu[0] == pytest.approx(after, abs=1e-6)


def test_droop_raises_a_curtailed_unit_and_counts_from_the_power_before() -> None:
    fleet = _fleet(AP_limit_enabled=True, AP_limit_pu=0.4)
    assert _hold(fleet, 1.0, dt=0.1).p_pu[0] == pytest.approx(0.4)
    assert _hold(fleet, 60.0, dt=0.1, f=59.664).p_pu[0] == pytest.approx(0.4 + 0.3 / 3.0, abs=1e-6)
    assert _hold(fleet, 60.0, dt=0.1).p_pu[0] == pytest.approx(0.4, abs=1e-3)


def test_droop_counts_from_the_output_before_a_sag() -> None:
    """Frequency that rises while the current limit or cessation holds the output down: 0.7 - (0.3 - 0.036) / 3."""
    for sag in (0.3, 0.6):
        fleet = _fleet()
        _hold(fleet, 1.0, p=0.7)
        _hold(fleet, 0.04, v=sag, p=0.7)
        _hold(fleet, 0.11, v=sag, f=60.3, p=0.7)
        assert _hold(fleet, 30.0, f=60.3, p=0.7).p_pu[0] == pytest.approx(0.7 - 0.264 / 3.0, abs=1e-6)


def test_droop_lets_a_battery_charge() -> None:
    fleet = _fleet(battery=True)
    _hold(fleet, 1.0, dt=0.1, p=0.1)
    assert _hold(fleet, 60.0, dt=0.1, f=61.036, p=0.1).p_pu[0] == pytest.approx(0.1 - 1.0 / 3.0, abs=1e-6)


def test_active_power_limit_is_reached_in_time_and_lifted_again() -> None:
    fleet = _fleet(2, AP_limit_enabled=[True, False])
    _hold(fleet, 1.0, dt=0.1)
    fleet.change({"AP_limit_pu": 0.4}, [True, False])
    assert _hold(fleet, 9.0, dt=0.1).p_pu == pytest.approx([0.7, 1.0])
    assert _hold(fleet, 9.0, dt=0.1).p_pu == pytest.approx([0.4, 1.0])
    fleet.change({"AP_limit_enabled": False}, [True, False])
    assert _hold(fleet, 30.0, dt=0.1).p_pu == pytest.approx([1.0, 1.0])


def test_battery_runs_empty_and_full() -> None:
    fleet = _fleet(2, battery=True, storage_h=0.01, storage_start_pu=0.5)  # 18 s at full power either way
    output = _hold(fleet, 17.0, dt=1.0, p=[1.0, -1.0])
    assert output.p_pu == pytest.approx([1.0, -1.0])
    output = _hold(fleet, 3.0, dt=1.0, p=[1.0, -1.0])
    assert output.p_pu == pytest.approx([0.0, 0.0])
    assert fleet.batteries.charge == pytest.approx([0.0, 1.0])


def test_charging_loses_energy_and_discharging_does_not() -> None:
    fleet = _fleet(2, battery=True, storage_h=0.1, storage_efficiency=0.8)
    _hold(fleet, 36.0, dt=1.0, p=[1.0, -1.0])
    assert fleet.batteries.charge == pytest.approx([0.4, 0.58])


# --- Cessation and return ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("category", "response"), [("I", 0.10), ("III", 0.05)])
def test_output_stops_after_the_response_time_and_not_before(category: str, response: float) -> None:
    fleet = _fleet(category=category)
    _hold(fleet, 0.1, dt=0.01)
    assert _hold(fleet, response - 0.01, v=0.2).p_pu[0] > 0.0
    assert _hold(fleet, 0.01, v=0.2).p_pu[0] == 0.0


def test_output_returns_on_a_ramp() -> None:
    fleet = _fleet(category="III")
    _hold(fleet, 0.5, v=1.0)
    _hold(fleet, 0.5, v=0.2)
    assert _hold(fleet, 0.2, v=1.0).p_pu[0] == pytest.approx(0.5)
    assert _hold(fleet, 0.2, v=1.0).p_pu[0] == pytest.approx(1.0)


def test_permissive_operation_ceases_where_it_is_chosen() -> None:
    fleet = _fleet(2, category="II", RT_permissive_ceases=[False, True], UV2_trip_s=2.0)
    _hold(fleet, 0.1)
    output = _hold(fleet, 0.2, v=0.5)
    assert output.mode.tolist() == [Mode.PERMISSIVE] * 2
    assert output.p_pu == pytest.approx([0.6, 0.0])


def test_cessation_threshold_is_movable() -> None:
    fleet = _fleet(2, MC_V_low_pu=[0.5, 0.6])
    assert _hold(fleet, 0.1, v=0.55).mode.tolist() == [Mode.MANDATORY, Mode.MOMENTARY_CESSATION]


# --- Phases ------------------------------------------------------------------------------------------------------


def test_the_worst_phase_decides_and_a_single_phase_unit_sees_its_own() -> None:
    fleet = _fleet(2, category="I", three_phase=[True, False])
    output = _hold(fleet, 0.2, v=[1.0, 0.4, 1.0])
    assert output.tripped.tolist() == [True, False]
    fleet = _fleet(2, category="I", three_phase=[True, False])
    assert _hold(fleet, 0.2, v=[1.25, 1.0, 1.0]).tripped.tolist() == [True, True]


@pytest.mark.parametrize("phase", [0, 1, 2])
@pytest.mark.parametrize(("level", "element"), [(0.4, "UV2"), (1.25, "OV2")])
def test_any_one_phase_trips(phase: int, level: float, element: str) -> None:
    voltage = [1.0, 1.0, 1.0]
    voltage[phase] = level
    output = _hold(_fleet(category="I"), 0.2, v=voltage)
    assert ELEMENTS[output.element[0]] == element


@pytest.mark.parametrize(
    ("voltage", "frequency", "mode"),
    [
        ([0.4, 1.15, 1.0], 60.0, Mode.CEASE_TO_ENERGIZE),  # below 0.50 pu and permissive above 1.10 pu
        ([0.8, 1.15, 1.0], 60.0, Mode.PERMISSIVE),  # mandatory below, permissive above
        ([0.8, 1.25, 1.0], 60.0, Mode.CEASE_TO_ENERGIZE),
        ([0.6, 0.6, 0.6], 58.7, Mode.PERMISSIVE),  # frequency asks for mandatory operation
        ([0.8, 0.8, 0.8], 62.1, Mode.MANDATORY),  # frequency asks for nothing
    ],
)
def test_of_several_modes_the_gravest_holds(voltage: list[float], frequency: float, mode: Mode) -> None:
    assert _hold(_fleet(category="I"), 0.01, v=voltage, f=frequency).mode[0] == mode


def test_phase_to_phase_voltage_counts_where_it_applies() -> None:
    """Phase a 60 deg late is opposite to c: 1 pu each, but 2 / sqrt(3) = 1.155 pu between them."""
    fleet = _fleet(2, phase_to_phase=[False, True])
    output = _hold(fleet, 0.1, angle=[-60.0, 0.0, 0.0])
    assert output.mode.tolist() == [Mode.CONTINUOUS, Mode.MOMENTARY_CESSATION]
    balanced = _fleet(1, phase_to_phase=True)
    assert _hold(balanced, 0.1, v=1.1).mode[0] == Mode.CONTINUOUS  # round-off must not carry 1.10 pu across


# --- Frequency count, consecutive disturbances, rate of change, phase jump ---------------------------


def test_299_seconds_are_cumulative_in_ten_minutes() -> None:
    fleet = _fleet(2, may_trip=["at_once", "never"])
    for _ in range(2):
        output = _hold(fleet, 149.0, dt=0.5, f=61.5)
        assert not output.may_trip.any()
        _ramp(fleet, 61.5, 60.0)
        _hold(fleet, 20.0, dt=0.5)
        _ramp(fleet, 60.0, 61.2)
    output = _hold(fleet, 2.0, dt=0.5, f=61.3)
    assert output.tripped.tolist() == [True, False]
    assert ELEMENTS[output.element[0]] == "MAY_TRIP"


def _ramp(fleet: DerFleet, start: float, end: float) -> None:
    """Slowly enough for any category's rate of change."""
    for frequency in np.linspace(start, end, 41):
        _hold(fleet, 0.1, dt=0.1, f=float(frequency))


def test_the_count_forgets_what_is_older_than_ten_minutes() -> None:
    fleet = _fleet(may_trip="at_once")
    for _ in range(4):
        output = _hold(fleet, 149.0, dt=0.5, f=61.4)
        _ramp(fleet, 61.4, 60.0)
        _hold(fleet, 300.0, dt=0.5)
        _ramp(fleet, 60.0, 61.2)
    assert not output.tripped[0]


@pytest.mark.parametrize(("category", "sets", "gap"), [("I", 2, 20.0), ("II", 2, 10.0), ("III", 3, 5.0)])
def test_consecutive_disturbances(category: str, sets: int, gap: float) -> None:
    """Table 17: so many sets are ridden through; with the next one the DER may trip."""
    fleet = _fleet(category=category, may_trip="at_once")
    for number in range(1, sets + 2):
        output = _hold(fleet, 0.3, dt=0.1, v=0.8)
        assert bool(output.tripped[0]) is (number > sets)
        _hold(fleet, gap, dt=0.1)


def test_ride_through_times_add_up_within_a_set() -> None:
    """Category I at 0.75 pu: 0.9 s in all, unless 20 s of good voltage lie between."""
    fleet = _fleet(category="I", may_trip="at_once")
    _hold(fleet, 0.5, v=0.75)
    _hold(fleet, 19.0, dt=0.1)
    assert _hold(fleet, 0.5, v=0.75).tripped[0]
    fleet = _fleet(category="I", may_trip="at_once")
    _hold(fleet, 0.5, v=0.75)
    _hold(fleet, 20.0, dt=0.1)
    assert not _hold(fleet, 0.5, v=0.75).tripped[0]


def test_a_short_dip_starts_the_gap_between_sets_anew() -> None:
    fleet = _fleet(category="I", may_trip="at_once")
    _hold(fleet, 0.5, v=0.75)
    for _ in range(2):
        _hold(fleet, 15.0, dt=0.1)
        _hold(fleet, 0.01, v=0.8)
    assert _hold(fleet, 0.5, v=0.75).tripped[0]


@pytest.mark.parametrize("dt", [0.001, 0.01, 0.1])
@pytest.mark.parametrize(("category", "limit"), [("I", 0.5), ("II", 2.0), ("III", 3.0)])
def test_rate_of_change_up_to_the_limit_is_ridden_through(category: str, limit: float, dt: float) -> None:
    for factor, trips in ((1.0, False), (1.1, True)):
        fleet = _fleet(category=category, may_trip="at_once")
        frequency = 60.0
        for _ in range(round(0.4 / dt)):
            frequency += factor * limit * dt
            output = _hold(fleet, dt, dt=dt, f=frequency)
        assert bool(output.tripped[0]) is trips


def test_a_legacy_rate_of_change_relay_trips() -> None:
    fleet = _fleet(ROCOF_trip_Hz_s=3.0)
    frequency = 60.0
    for _ in range(40):
        frequency -= 0.04
        output = _hold(fleet, 0.01, f=frequency)
    assert ELEMENTS[output.element[0]] == "ROCOF"


@pytest.mark.parametrize(
    ("three_phase", "angle", "trips"),
    [
        (True, [20.0, 20.0, 20.0], False),
        (True, [21.0, 21.0, 21.0], True),
        (True, [59.0, 0.0, 0.0], False),
        (True, [60.0, 0.0, 0.0], True),
        (False, [60.0, 0.0, 0.0], False),
        (False, [61.0, 0.0, 0.0], True),
    ],
)
def test_phase_angle_jump(three_phase: bool, angle: list[float], trips: bool) -> None:
    for dt in (0.001, 0.01, 0.1):
        fleet = _fleet(three_phase=three_phase, may_trip="at_once")
        _hold(fleet, 0.2, dt=dt, angle=[0.0, 0.0, 0.0])
        assert bool(_hold(fleet, 0.2, dt=dt, angle=angle).tripped[0]) is trips


def test_cessation_after_a_jump_and_vector_shift() -> None:
    fleet = _fleet(2, PJ_cessation_s=[0.3, 0.0])
    _hold(fleet, 0.2, angle=[0.0, 0.0, 0.0])
    assert _hold(fleet, 0.2, angle=[15.0, 15.0, 15.0]).p_pu == pytest.approx([0.0, 1.0])
    assert _hold(fleet, 0.7, angle=[15.0, 15.0, 15.0]).p_pu == pytest.approx([1.0, 1.0])
    settings = fleet_settings(1, {"PJ_trip_deg": 6.0}, check=False)  # as in Great Britain in August 2019
    legacy = DerFleet(settings)
    _hold(legacy, 0.2, angle=[0.0, 0.0, 0.0])
    output = _hold(legacy, 0.1, angle=[7.0, 7.0, 7.0])
    assert ELEMENTS[output.element[0]] == "PHASE_JUMP"


# --- May-trip regions --------------------------------------------------------------------------------------------


def test_may_trip_by_lot_depends_on_the_seed_and_on_nothing_else() -> None:
    n = 400

    def tripped(seed: int, dt: float) -> np.ndarray:
        fleet = _fleet(n, seed=seed, category="II", may_trip="random", may_trip_probability=0.3)
        return _hold(fleet, 4.0, dt=dt, v=0.66).tripped

    first = tripped(1, 0.01)
    assert 0.2 < first.mean() < 0.4
    assert np.array_equal(first, tripped(1, 0.1))
    assert not np.array_equal(first, tripped(2, 0.01))


# --- Enter service -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dt", [0.01, 0.1, 1.0])
def test_cold_start_waits_and_ramps(dt: float) -> None:
    fleet = _fleet(in_service=False, ES_delay_s=10.0, ES_ramp_s=20.0)
    before = _hold(fleet, 10.0 - dt, dt=dt)
    assert before.tripped[0]
    assert before.p_pu[0] == 0.0
    entered = _hold(fleet, dt, dt=dt)
    assert not entered.tripped[0]
    assert entered.reenter_time_s[0] == pytest.approx(10.0)
    assert _hold(fleet, 10.0, dt=dt).p_pu[0] == pytest.approx(0.5, abs=1e-9)
    assert _hold(fleet, 10.0, dt=dt).mode[0] == Mode.CONTINUOUS


@pytest.mark.parametrize(
    ("v", "f"), [(0.916, 60.0), (1.051, 60.0), (1.0, 59.49), (1.0, 60.11), ([1.0, 1.0, 0.9], 60.0)]
)
def test_criteria_must_hold_without_a_break(v: object, f: float) -> None:
    fleet = _fleet(in_service=False, ES_delay_s=10.0)
    _hold(fleet, 9.0, dt=0.1)
    _hold(fleet, 0.1, dt=0.1, v=v, f=f)
    assert _hold(fleet, 9.9, dt=0.1).tripped[0]
    assert not _hold(fleet, 0.2, dt=0.1).tripped[0]


def test_criteria_include_their_own_limits() -> None:
    for v, f in ((0.917, 59.5), (1.05, 60.1)):
        fleet = _fleet(in_service=False, ES_delay_s=1.0)
        assert not _hold(fleet, 1.0, dt=0.1, v=v, f=f).tripped[0]


def test_randomised_delay_spreads_the_fleet_and_replaces_the_ramp() -> None:
    fleet = _fleet(500, seed=3, in_service=False, ES_delay_s=10.0, ES_randomised=True, ES_random_delay_s=100.0)
    _hold(fleet, 60.0, dt=0.5)
    output = _hold(fleet, 60.0, dt=0.5)
    wait = output.reenter_time_s - 10.0
    assert 0.0 <= wait.min() < 5.0
    assert 95.0 < wait.max() <= 100.0
    assert wait.mean() == pytest.approx(50.0, abs=5.0)
    assert output.p_pu == pytest.approx(1.0)


def test_permit_service_off_trips_and_on_lets_in_again() -> None:
    fleet = _fleet(2, ES_delay_s=5.0, ES_ramp_s=1.0)
    _hold(fleet, 1.0, dt=0.1)
    fleet.change({"ES_permit_service": False}, [True, False])
    output = _hold(fleet, 0.1, dt=0.1)
    assert output.p_pu.tolist() == [0.0, 1.0]
    assert ELEMENTS[output.element[0]] == "PERMIT_SERVICE"
    _hold(fleet, 10.0, dt=0.1)
    fleet.change({"ES_permit_service": True}, [True, False])
    assert _hold(fleet, 4.9, dt=0.1).tripped[0]
    assert _hold(fleet, 2.0, dt=0.1).p_pu[0] == pytest.approx(1.0)


# --- Settings ----------------------------------------------------------------------------------------------------


def test_defaults_of_each_category_stand_in_one_fleet() -> None:
    settings = fleet_settings(3, {"category": ["I", "II", "III"]})
    assert settings["UV1_trip_s"].tolist() == [2.0, 10.0, 21.0]
    assert settings["OV1_trip_s"].tolist() == [2.0, 2.0, 13.0]


def test_values_for_single_devices_are_checked_by_category() -> None:
    values = {"category": ["I", "II", "III"], "UV1_trip_s": [np.nan, 5.0, np.nan]}
    assert fleet_settings(3, values)["UV1_trip_s"].tolist() == [2.0, 5.0, 21.0]
    values["UV1_trip_s"] = [1.0, 5.0, 60.0]
    with pytest.raises(SettingsError) as caught:
        fleet_settings(3, values)
    assert "Category I/B (1547a-2020) allows 2 to 21 s, got 1 (1 DER)" in str(caught.value)
    assert "Category III/B" in str(caught.value)


def test_profiles_load() -> None:
    strict = fleet_settings(2, profile_name="PSCo")
    assert strict["UV1_trip_s"].tolist() == [5.0, 5.0]
    assert strict.flags["VW_enabled"].all()
    assert fleet_settings(1, profile_name="Rule 21")["UV2_trip_s"].tolist() == [1.5]
    with pytest.raises(SettingsError, match="UV2_trip_s"):
        fleet_settings(1, profile_name="Rule 21", edition="2018")
    with pytest.raises(SettingsError, match="PSCo, Rule 21"):
        fleet_settings(1, profile_name="HECO")


def test_settings_of_the_wrong_kind_are_refused() -> None:
    with pytest.raises(SettingsError, match="true or false"):
        fleet_settings(2, {"battery": "yes"})
    with pytest.raises(SettingsError, match="a number"):
        fleet_settings(2, {"UV1_trip_s": "long"})
    with pytest.raises(SettingsError, match="a number"):
        fleet_settings(2, {"UV1_trip_s": [3.0, 4.0, 5.0]})
    with pytest.raises(SettingsError, match="500 kVA"):
        fleet_settings(1, {"ES_randomised": True, "rating_kVA": 600.0})
    with pytest.raises(SettingsError, match="VV_V2_pu"):
        fleet_settings(1, {"VV_V1_pu": 0.97})


def test_settings_under_the_labels_of_the_common_file_format() -> None:
    translated = translate(
        {
            "NP_ABNORMAL_OP_CAT": "CAT_II",
            "NP_NORMAL_OP_CAT": "CAT_A",
            "NP_PHASE": "SINGLE",
            "NP_VA_MAX": 50_000,
            "QV_MODE_ENABLE": "ENABLED",
            "CONST_PF_MODE_ENABLE": "DISABLED",
            "UV1_TRIP_T": 5.0,
            "OF1_TRIP_F": 61.5,
            "ES_RAMP_RATE": 0,
            "ES_RANDOMIZED_DELAY": 200,
            "AP_LIMIT_ENABLE": 1,
        }
    )
    settings = fleet_settings(1, translated)
    assert settings.choices["category"][0] == "II"
    assert settings.choices["reactive_mode"][0] == "volt_var"
    assert settings["VV_V4_pu"][0] == 1.10
    assert settings["UV1_trip_s"][0] == 5.0
    assert settings["OF1_trip_Hz"][0] == 61.5
    assert settings["rating_kVA"][0] == 50.0
    assert settings["ES_random_delay_s"][0] == 200.0
    assert settings.flags["ES_randomised"][0]
    assert settings.flags["AP_limit_enabled"][0]
    assert not settings.flags["three_phase"][0]
    with pytest.raises(SettingsError, match="QV_CURVE_V5"):
        translate({"QV_CURVE_V5": 1.2})
    with pytest.raises(SettingsError, match="ENABLED or DISABLED"):
        translate({"QV_MODE_ENABLE": "maybe"})


def test_every_label_names_a_setting() -> None:
    assert set(LABELS.values()) <= set(NUMBERS) | set(FLAGS)


def test_a_running_unit_keeps_its_category_and_its_timers() -> None:
    fleet = _fleet(2, category="II")
    _hold(fleet, 0.5)
    _hold(fleet, 3.0, v=0.69)
    fleet.change({"UV1_trip_s": 4.0}, [True, False])
    assert _hold(fleet, 1.0, v=0.69).tripped.tolist() == [True, False]
    with pytest.raises(SettingsError, match="cannot change"):
        fleet.change({"category": "III"})


def test_inputs_that_are_no_measurement_are_refused() -> None:
    fleet = _fleet(2)
    for v, f in ((np.nan, 60.0), (-0.1, 60.0), (1.0, np.nan), (1.0, 0.0), (np.inf, 60.0)):
        with pytest.raises(ValueError, match="must be magnitudes"):
            _hold(fleet, 0.01, v=v, f=f)
    with pytest.raises(ValueError, match="2 DER need voltages"):
        fleet.step(0.01, np.ones((3, 3)), None, np.full(2, 60.0), np.ones(2))
    with pytest.raises(ValueError, match="positive step"):
        fleet.step(0.0, np.ones((2, 3)), None, np.full(2, 60.0), np.ones(2))


@pytest.mark.parametrize("dt", [0.01, 0.05, 0.1, 0.5])
def test_momentary_cessation_and_return_do_not_depend_on_the_step(dt: float) -> None:
    fleet = _fleet(RT_recovery_s=0.4)
    _hold(fleet, 0.5, dt=dt)
    assert _hold(fleet, 0.5, dt=dt, v=0.2).p_pu[0] == 0.0
    assert _hold(fleet, 0.5, dt=dt).p_pu[0] == 1.0
