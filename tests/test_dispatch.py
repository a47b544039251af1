"""The dispatch solver: closed forms, limits over time, faults, and an independent formulation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linprog
from scipy.sparse import coo_array

from feeders.transmission_case import load_case
from solvers.cost_curves import cost_curves
from solvers.dispatch import (
    DispatchError,
    DispatchInfeasible,
    DispatchSolution,
    DispatchTimeout,
    RollingDispatch,
    look_ahead,
)
from solvers.dispatch_model import DispatchNetwork, Storages

Floats = NDArray[np.float64]
VOLL = 5000.0


def build(
    *,
    buses: int,
    lines: list[tuple[int, int]],
    rating: ArrayLike,
    generator_bus: list[int],
    p_max: ArrayLike,
    price: ArrayLike = 0.0,
    p_min: ArrayLike = 0.0,
    ramp: ArrayLike = np.inf,
    quadratic: ArrayLike = 0.0,
    reactance: ArrayLike = 0.1,
    shift: ArrayLike = 0.0,
    segments: int = 4,
    storages: Storages | None = None,
) -> DispatchNetwork:
    count, branches = len(generator_bus), len(lines)
    ends = np.array(lines, dtype=np.int64).reshape(-1, 2)

    def full(values: ArrayLike, size: int) -> Floats:
        return np.broadcast_to(np.asarray(values, dtype=float), (size,)).copy()

    low, high = full(p_min, count), full(p_max, count)
    polynomial = np.column_stack([np.zeros(count), full(price, count), full(quadratic, count)])
    return DispatchNetwork(
        buses=tuple(f"b{i}" for i in range(buses)),
        branches=tuple(f"l{i}" for i in range(branches)),
        generators=tuple(f"g{i}" for i in range(count)),
        base_mva=100.0,
        from_bus=ends[:, 0],
        to_bus=ends[:, 1],
        reactance=full(reactance, branches),
        tap=np.ones(branches),
        shift=full(shift, branches),
        rating=full(rating, branches),
        generator_bus=np.array(generator_bus, dtype=np.int64),
        p_min=low,
        p_max=high,
        ramp=full(ramp, count),
        costs=cost_curves(polynomial, np.zeros((count, 0, 2)), low, high, segments),
        storages=storages or Storages.none(),
    )


def battery(bus: int, **changes: float) -> Storages:
    unit = {
        "power": 50.0,
        "energy": 100.0,
        "efficiency": 1.0,
        "final_energy": 0.0,
        "terminal_value": 0.0,
        "cycle_cost": 0.0,
    } | changes
    return Storages(np.array([bus]), **{name: np.array([value]) for name, value in unit.items()})


def solver(
    network: DispatchNetwork, hours: ArrayLike = (1.0,), voll: float | None = VOLL, wall_seconds: float = 60.0
) -> RollingDispatch:
    return RollingDispatch(network, np.asarray(hours, dtype=float), value_of_lost_load=voll, wall_seconds=wall_seconds)


def flat(network: DispatchNetwork, *loads: list[float]) -> Floats:
    """Loads (T, n): one list per period."""
    return np.array(loads, dtype=float)


# ---------------------------------------------------------------- closed forms

TWO_BUSES = build(
    buses=2, lines=[(0, 1)], rating=[50.0], generator_bus=[0, 1], p_max=[200.0, 200.0], price=[10.0, 30.0]
)


def test_two_buses_without_congestion_have_one_price() -> None:
    solution = solver(TWO_BUSES).solve(flat(TWO_BUSES, [20.0, 30.0]))
    np.testing.assert_allclose(solution.power, [[50.0, 0.0]], atol=1e-9)
    np.testing.assert_allclose(solution.lmp, [[10.0, 10.0]])
    assert solution.cost[0] == pytest.approx(500.0)
    assert solution.stats.line_rows == 0


def test_two_buses_with_congestion_have_two_prices() -> None:
    # the line carries its 50 MW, the remaining 70 MW behind it come from the dear unit
    solution = solver(TWO_BUSES).solve(flat(TWO_BUSES, [20.0, 120.0]))
    np.testing.assert_allclose(solution.power, [[70.0, 70.0]])
    np.testing.assert_allclose(solution.lmp, [[10.0, 30.0]])
    np.testing.assert_allclose(solution.flow, [[50.0]])
    assert solution.cost[0] == pytest.approx(70 * 10 + 70 * 30)
    assert solution.stats.line_rows == 1


def test_a_line_limit_holds_against_the_branch_direction() -> None:
    network = replace(TWO_BUSES, from_bus=TWO_BUSES.to_bus, to_bus=TWO_BUSES.from_bus)
    solution = solver(network).solve(flat(network, [20.0, 120.0]))
    np.testing.assert_allclose(solution.flow, [[-50.0]])
    np.testing.assert_allclose(solution.lmp, [[10.0, 30.0]])


def test_merit_order() -> None:
    network = build(
        buses=1, lines=[], rating=[], generator_bus=[0, 0, 0], p_max=[40.0, 60.0, 100.0], price=[25.0, 5.0, 40.0]
    )
    once = solver(network)
    for load, power, price in (
        (30.0, [0.0, 30.0, 0.0], 5.0),
        (80.0, [20.0, 60.0, 0.0], 25.0),
        (150.0, [40.0, 60.0, 50.0], 40.0),
    ):
        solution = once.solve(flat(network, [load]))
        np.testing.assert_allclose(solution.power, [power], atol=1e-9)
        np.testing.assert_allclose(solution.lmp, [[price]])


def test_prices_and_costs_are_per_hour_whatever_the_period() -> None:
    solution = solver(TWO_BUSES, [1 / 12, 0.5, 2.0]).solve(np.tile([20.0, 120.0], (3, 1)))
    np.testing.assert_allclose(solution.lmp, np.tile([10.0, 30.0], (3, 1)))
    np.testing.assert_allclose(solution.cost, 2800.0)
    assert solution.objective == pytest.approx(2800.0 * (1 / 12 + 0.5 + 2.0))


def test_quadratic_costs_are_cut_into_chords() -> None:
    # cost 0.1 p² + 2 p in 4 segments of 25 MW: slopes at the middles 2 + 0.2 (12.5, 37.5, ...)
    network = build(buses=1, lines=[], rating=[], generator_bus=[0], p_max=100.0, price=2.0, quadratic=0.1, segments=4)
    np.testing.assert_allclose(network.costs.slope, [4.5, 9.5, 14.5, 19.5])
    solution = solver(network).solve(flat(network, [50.0]))
    assert solution.cost[0] == pytest.approx(0.1 * 50**2 + 2 * 50)  # exact at a break point
    assert solver(network).solve(flat(network, [60.0])).lmp[0, 0] == pytest.approx(14.5)


def test_a_piecewise_cost_keeps_its_points_and_reaches_the_limits() -> None:
    points = np.array([[[10.0, 100.0], [20.0, 300.0], [40.0, 900.0]]])
    curves = cost_curves(np.zeros((1, 3)), points, np.array([5.0]), np.array([50.0]), 9)
    np.testing.assert_allclose(curves.width, [15.0, 30.0])
    np.testing.assert_allclose(curves.slope, [20.0, 30.0])
    np.testing.assert_allclose(curves.base, [0.0])


def test_a_cost_that_is_not_convex_gives_way_to_its_envelope() -> None:
    points = np.array([[[0.0, 0.0], [10.0, 200.0], [20.0, 300.0], [np.nan, np.nan]]])
    curves = cost_curves(np.zeros((1, 3)), points, np.array([0.0]), np.array([20.0]), 9)
    np.testing.assert_allclose(curves.width, [20.0])
    np.testing.assert_allclose(curves.slope, [15.0])
    concave = cost_curves(np.array([[0.0, 10.0, -0.1]]), np.zeros((1, 0, 2)), np.array([0.0]), np.array([20.0]), 9)
    np.testing.assert_allclose(concave.slope, [8.0])  # the chord of 10 p - 0.1 p²


def test_units_with_minimum_negative_and_zero_limits() -> None:
    network = build(
        buses=1,
        lines=[],
        rating=[],
        generator_bus=[0, 0, 0, 0],
        p_min=[20.0, -30.0, 0.0, 0.0],
        p_max=[50.0, 0.0, 0.0, 100.0],
        price=[90.0, 15.0, 1.0, 10.0],
        quadratic=[0.1, 0.0, 0.0, 0.01],
    )
    # the dear unit stands at its minimum; the pump (negative limits) runs as 10 to 12 $/MWh < 15 $/MWh
    solution = solver(network).solve(flat(network, [40.0]))
    np.testing.assert_allclose(solution.power, [[20.0, -30.0, 0.0, 50.0]], atol=1e-9)
    cost = (90 * 20 + 0.1 * 20**2) - 15 * 30 + (10 * 50 + 0.01 * 50**2)
    assert solution.cost[0] == pytest.approx(cost)
    assert solution.objective == pytest.approx(cost)


def test_zero_cost_units_set_a_zero_price() -> None:
    network = build(buses=1, lines=[], rating=[], generator_bus=[0, 0], p_max=[100.0, 50.0], price=[0.0, 20.0])
    solution = solver(network).solve(flat(network, [70.0]))
    np.testing.assert_allclose(solution.lmp, [[0.0]], atol=1e-9)
    assert solution.cost[0] == pytest.approx(0.0, abs=1e-9)


def test_a_phase_shifter_moves_power_to_the_free_line() -> None:
    # two equal lines of 60 MW share 100 MW in halves; a shift that drives +20 MW round overloads one
    shift = 20.0 * 2 * 0.1 / 100.0
    network = build(
        buses=2,
        lines=[(0, 1), (0, 1)],
        rating=[60.0, 60.0],
        generator_bus=[0, 1],
        p_max=[300.0, 300.0],
        price=[10.0, 30.0],
        shift=[0.0, shift],
    )
    solution = solver(network).solve(flat(network, [0.0, 100.0]))
    np.testing.assert_allclose(solution.flow, [[60.0, 20.0]])
    np.testing.assert_allclose(solution.power, [[80.0, 20.0]])


# ---------------------------------------------------------------- over time


def test_ramps_bind_over_periods() -> None:
    # the cheap unit may gain 1 MW/min = 10 MW per 10 min; the dear unit covers the rest of the rise
    network = build(
        buses=1, lines=[], rating=[], generator_bus=[0, 0], p_max=200.0, price=[10.0, 50.0], ramp=[1.0, 100.0]
    )
    hours = np.full(3, 1 / 6)
    solution = solver(network, hours).solve(flat(network, [100.0], [130.0], [130.0]), previous=np.array([95.0, 0.0]))
    np.testing.assert_allclose(solution.power[:, 0], [100.0, 110.0, 120.0])
    np.testing.assert_allclose(solution.power[:, 1], [0.0, 20.0, 10.0], atol=1e-9)


def test_the_first_ramp_counts_from_the_previous_setpoint() -> None:
    network = build(
        buses=1, lines=[], rating=[], generator_bus=[0, 0], p_max=200.0, price=[10.0, 50.0], ramp=[1.0, 100.0]
    )
    once = solver(network, [1 / 6])
    free = once.solve(flat(network, [130.0]))
    np.testing.assert_allclose(free.power, [[130.0, 0.0]], atol=1e-9)
    held = once.solve(flat(network, [130.0]), previous=np.array([95.0, 0.0]))
    np.testing.assert_allclose(held.power, [[105.0, 25.0]])


def test_ramps_between_blocks_count_from_middle_to_middle() -> None:
    # 10 min then 30 min: the middles are 20 min apart
    network = build(
        buses=1, lines=[], rating=[], generator_bus=[0, 0], p_max=200.0, price=[10.0, 50.0], ramp=[1.0, 100.0]
    )
    solution = solver(network, [1 / 6, 0.5]).solve(flat(network, [100.0], [150.0]), previous=np.array([100.0, 0.0]))
    np.testing.assert_allclose(solution.power[1], [120.0, 30.0])


def test_a_slow_unit_starts_before_it_is_needed() -> None:
    # 50 MW come over the line; the unit behind it must give 20 MW now and 60 MW next, and gains 20 MW a period
    network = replace(TWO_BUSES, ramp=np.array([np.inf, 1.0]))
    once = solver(network, [1 / 3, 1 / 3])
    previous = np.array([100.0, 20.0])
    alone = once.solve(flat(network, [80.0, 70.0], [80.0, 70.0]), previous=previous)
    np.testing.assert_allclose(alone.power[0], [130.0, 20.0])
    ahead = once.solve(flat(network, [80.0, 70.0], [40.0, 110.0]), previous=previous)
    np.testing.assert_allclose(ahead.power, [[110.0, 40.0], [90.0, 60.0]])


def test_storage_buys_low_and_sells_high() -> None:
    # 10 $/MWh, then 50 $/MWh: store 50 MW × 1 h; η = 0.81 gives 0.9 each way
    network = build(
        buses=1,
        lines=[],
        rating=[],
        generator_bus=[0, 0],
        p_max=[100.0, 200.0],
        price=[10.0, 50.0],
        storages=battery(0, efficiency=0.81, power=40.0),
    )
    solution = solver(network, [1.0, 1.0]).solve(flat(network, [50.0], [150.0]), stored=np.array([0.0]))
    np.testing.assert_allclose(solution.charge[:, 0], [40.0, 0.0], atol=1e-9)
    np.testing.assert_allclose(solution.discharge[:, 0], [0.0, 40.0 * 0.81], atol=1e-9)
    np.testing.assert_allclose(solution.energy[:, 0], [36.0, 0.0], atol=1e-9)
    assert solution.objective == pytest.approx(10 * 90 + 10 * 100 + 50 * (50 - 32.4))


def test_storage_stays_idle_where_the_spread_is_below_its_losses() -> None:
    network = build(
        buses=1,
        lines=[],
        rating=[],
        generator_bus=[0, 0],
        p_max=[100.0, 200.0],
        price=[45.0, 50.0],
        storages=battery(0, efficiency=0.81),
    )
    solution = solver(network, [1.0, 1.0]).solve(flat(network, [50.0], [150.0]), stored=np.array([0.0]))
    np.testing.assert_allclose(solution.charge, 0.0, atol=1e-9)


def test_storage_returns_to_its_target_or_is_worth_its_terminal_value() -> None:
    def end(**changes: float) -> float:
        network = build(
            buses=1, lines=[], rating=[], generator_bus=[0], p_max=500.0, price=20.0, storages=battery(0, **changes)
        )
        solution = solver(network, [1.0, 1.0]).solve(flat(network, [100.0], [100.0]), stored=np.array([40.0]))
        return float(solution.energy[-1, 0])

    assert end() == pytest.approx(0.0)
    assert end(final_energy=40.0) == pytest.approx(40.0)
    assert end(terminal_value=19.0) == pytest.approx(0.0)
    assert end(terminal_value=21.0) == pytest.approx(100.0)


def test_look_ahead_is_fine_first_and_covers_the_horizon() -> None:
    hours = look_ahead(300.0, 4 * 3600.0)
    assert len(hours) == 18
    np.testing.assert_allclose(hours[:12], 1 / 12)
    np.testing.assert_allclose(hours[12:], 0.5)
    np.testing.assert_allclose(look_ahead(300.0, 6 * 3600.0)[-2:], 1.0)
    for horizon in (300.0, 3000.0, 3900.0, 5100.0, 86400.0):
        assert look_ahead(300.0, horizon).sum() == pytest.approx(horizon / 3600.0)


# ---------------------------------------------------------------- shortage, faults


def test_shortage_is_shed_at_the_value_of_lost_load() -> None:
    solution = solver(TWO_BUSES).solve(flat(TWO_BUSES, [0.0, 300.0]))
    # 50 MW over the line, 200 MW of the unit behind it, 50 MW shed behind the line
    np.testing.assert_allclose(solution.shed, [[0.0, 50.0]], atol=1e-9)
    np.testing.assert_allclose(solution.lmp, [[10.0, VOLL]])
    assert solution.cost[0] == pytest.approx(50 * 10 + 200 * 30 + 50 * VOLL)
    assert np.abs(solution.mismatch).max() < 1e-9


def test_a_line_that_only_shedding_can_relieve() -> None:
    network = build(buses=2, lines=[(0, 1)], rating=[50.0], generator_bus=[0], p_max=[200.0], price=[10.0])
    solution = solver(network).solve(flat(network, [20.0, 80.0]))
    np.testing.assert_allclose(solution.shed, [[0.0, 30.0]])
    np.testing.assert_allclose(solution.lmp, [[10.0, VOLL]])


def test_a_load_that_is_no_number_is_refused() -> None:
    with pytest.raises(DispatchError, match="load of buses b1 is not a finite number"):
        solver(TWO_BUSES).solve(flat(TWO_BUSES, [20.0, np.nan]))


def test_a_storage_that_is_cut_off_stands_still() -> None:
    network = replace(TWO_BUSES, storages=battery(1, final_energy=60.0))
    cut = np.array([False])
    solution = solver(network).solve(flat(network, [80.0, 0.0]), branch_available=cut, stored=np.array([40.0]))
    np.testing.assert_allclose(solution.energy, [[40.0]])


def test_shedding_opens_where_energy_is_dearer_than_lost_load_though_feasible() -> None:
    # line 0-1 binds; one more MW at bus 1 costs 170 $/MWh though 90 $/MWh units are free: shed instead
    network = build(
        buses=3,
        lines=[(0, 1), (1, 2), (0, 2)],
        rating=[25.0, 1000.0, 1000.0],
        generator_bus=[0, 2],
        p_max=[500.0, 500.0],
        price=[10.0, 90.0],
    )
    cheap, dear = (solver(network, voll=voll).solve(flat(network, [0.0, 60.0, 0.0])) for voll in (100.0, 10_000.0))
    assert dear.shed.sum() == pytest.approx(0.0)
    assert dear.lmp[0, 1] == pytest.approx(2 * 90 - 10)  # 2 MW more at bus 2, 1 MW less at bus 0
    assert cheap.shed.sum() > 1.0
    assert cheap.lmp[0, 1] == pytest.approx(100.0)
    assert cheap.objective < dear.objective


def test_a_generator_trip_is_covered_by_the_others_despite_its_ramp() -> None:
    network = build(
        buses=1, lines=[], rating=[], generator_bus=[0, 0], p_max=100.0, price=[10.0, 50.0], ramp=[0.1, 100.0]
    )
    once = solver(network, [1 / 12, 1 / 12])
    load = flat(network, [80.0], [80.0])
    before = once.solve(load)
    out = once.solve(load, previous=before.power[0], generator_available=np.array([False, True]))
    np.testing.assert_allclose(out.power, [[0.0, 80.0], [0.0, 80.0]], atol=1e-9)
    assert out.lmp[0, 0] == pytest.approx(50.0)
    back = once.solve(load, previous=out.power[0])
    np.testing.assert_allclose(back.power[:, 0], [0.5, 1.0])  # 0.1 MW/min from standstill


def test_a_unit_that_comes_back_may_jump_to_its_minimum() -> None:
    network = build(
        buses=1, lines=[], rating=[], generator_bus=[0, 0], p_min=[30.0, 0.0], p_max=100.0, price=[10.0, 50.0], ramp=0.1
    )
    solution = solver(network, [1 / 12]).solve(flat(network, [80.0]), previous=np.array([0.0, 50.0]))
    np.testing.assert_allclose(solution.power, [[30.0, 50.0]])


RING = build(
    buses=3,
    lines=[(0, 1), (1, 2), (0, 2)],
    rating=[120.0, 100.0, 70.0],
    generator_bus=[0, 2],
    p_max=[300.0, 300.0],
    price=[10.0, 40.0],
)


def test_a_branch_trip_moves_the_flows_and_comes_back() -> None:
    once = solver(RING)
    load = flat(RING, [0.0, 0.0, 120.0])
    before = once.solve(load)
    assert before.flow[0, 2] == pytest.approx(70.0)
    out = once.solve(load, branch_available=np.array([True, True, False]))
    np.testing.assert_allclose(out.flow, [[100.0, 100.0, 0.0]], atol=1e-9)
    np.testing.assert_allclose(out.power, [[100.0, 20.0]])
    np.testing.assert_allclose(out.lmp, [[10.0, 10.0, 40.0]])
    again = once.solve(load)
    np.testing.assert_allclose(again.power, before.power)
    np.testing.assert_allclose(again.lmp, before.lmp)


def test_what_a_branch_trip_cuts_off_is_lost() -> None:
    once = solver(TWO_BUSES)
    out = once.solve(flat(TWO_BUSES, [80.0, 30.0]), branch_available=np.array([False]))
    np.testing.assert_allclose(out.power, [[80.0, 0.0]], atol=1e-9)
    np.testing.assert_allclose(out.shed, [[0.0, 30.0]])
    assert out.cost[0] == pytest.approx(80 * 10 + 30 * VOLL)
    assert out.lmp[0, 1] == VOLL
    with pytest.raises(DispatchInfeasible, match=r"buses b1 are cut off with 30\.0 MW") as caught:
        solver(TWO_BUSES, voll=None).solve(flat(TWO_BUSES, [80.0, 30.0]), branch_available=np.array([False]))
    assert caught.value.family == "branch availability"


def test_every_family_of_limits_is_named() -> None:
    def family(network: DispatchNetwork, load: list[list[float]], voll: float | None, **given: ArrayLike) -> str:
        with pytest.raises(DispatchInfeasible) as caught:
            solver(network, np.full(len(load), 1 / 12), voll).solve(
                np.array(load), **{name: np.asarray(value, dtype=float) for name, value in given.items()}
            )
        message = str(caught.value)
        assert caught.value.family in message
        assert f"load {min(map(sum, load)):.1f} to {max(map(sum, load)):.1f} MW" in message
        assert ("value_of_lost_load" in message) == (voll is None)
        return caught.value.family

    one = {"buses": 1, "lines": [], "rating": []}
    unit = build(**one, generator_bus=[0], p_min=40.0, p_max=100.0, price=10.0, ramp=1.0)  # type: ignore[arg-type]
    assert family(unit, [[120.0]], None) == "generation capacity"
    assert family(unit, [[30.0]], VOLL) == "minimum generation"
    assert family(unit, [[50.0], [90.0]], None) == "ramp limits"
    assert family(unit, [[50.0], [50.0]], VOLL, previous=[90.0]) == "ramp limits"
    assert family(unit, [[50.0]], None, previous=[80.0]) == "ramp limits"
    assert family(TWO_BUSES, [[0.0, 255.0]], None) == "line limits"
    stored = replace(unit, storages=battery(0, final_energy=80.0))
    assert family(stored, [[50.0]], VOLL, stored=[0.0]) == "storage targets"
    pocket = replace(TWO_BUSES, p_min=np.array([60.0, 0.0]))
    assert family(pocket, [[0.0, 100.0]], VOLL) == "line limits"
    both = replace(unit, storages=battery(0, final_energy=80.0, power=5.0))
    assert family(both, [[30.0]], VOLL, stored=[0.0]) == "several families of limits together"


def test_an_infeasible_solve_leaves_the_solver_usable() -> None:
    once = solver(TWO_BUSES, voll=None)
    good = once.solve(flat(TWO_BUSES, [20.0, 120.0]))
    with pytest.raises(DispatchInfeasible):
        once.solve(flat(TWO_BUSES, [20.0, 1200.0]))
    again = once.solve(flat(TWO_BUSES, [20.0, 120.0]))
    np.testing.assert_allclose(again.power, good.power)
    np.testing.assert_allclose(again.lmp, good.lmp)


def test_the_wall_guard_raises_instead_of_answering() -> None:
    with pytest.raises(DispatchTimeout, match=r"not solved within 1e-09 s\. Shorten the look-ahead"):
        solver(TWO_BUSES, wall_seconds=1e-9).solve(flat(TWO_BUSES, [20.0, 120.0]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"p_max": np.array([-1.0, 200.0])}, "p_max must not be below p_min; it is not so for g0"),
        ({"p_min": np.array([0.0, -np.inf])}, "p_min must be finite; it is not so for g1"),
        ({"ramp": np.array([0.0, 1.0])}, "ramp must be above 0 MW/min; it is not so for g0"),
        ({"rating": np.array([0.0])}, "rating must be above 0 MW, inf for unlimited; it is not so for l0"),
    ],
)
def test_a_network_that_makes_no_sense_is_refused(change: dict[str, Floats], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(TWO_BUSES, **change)  # type: ignore[arg-type]


# ---------------------------------------------------------------- warm, again, and independently


@dataclass(frozen=True)
class Problem:
    network: DispatchNetwork
    hours: Floats
    load: Floats
    previous: Floats
    stored: Floats


def random_problem(seed: int) -> Problem:
    """A small meshed grid with ramps, tight lines, a storage and loads that may exceed what there is."""
    rng = np.random.default_rng(seed)
    buses, units = int(rng.integers(2, 7)), int(rng.integers(2, 6))
    lines = [(int(rng.integers(0, bus)), bus) for bus in range(1, buses)]
    lines += [tuple(rng.choice(buses, 2, replace=False).tolist()) for _ in range(int(rng.integers(0, 4)))]
    p_max = rng.uniform(30.0, 120.0, units)
    network = build(
        buses=buses,
        lines=lines,
        rating=np.where(rng.random(len(lines)) < 0.3, np.inf, rng.uniform(20.0, 90.0, len(lines))),
        generator_bus=rng.integers(0, buses, units).tolist(),
        p_max=p_max,
        price=rng.uniform(5.0, 60.0, units),
        quadratic=np.where(rng.random(units) < 0.5, rng.uniform(0.01, 0.2, units), 0.0),
        ramp=rng.uniform(0.5, 4.0, units),
        reactance=rng.uniform(0.05, 0.3, len(lines)),
        shift=np.where(rng.random(len(lines)) < 0.2, rng.uniform(-0.05, 0.05, len(lines)), 0.0),
        storages=battery(int(rng.integers(0, buses)), power=20.0, energy=30.0, efficiency=0.8, cycle_cost=0.5),
    )
    hours = np.array([1 / 12, 1 / 12, 0.25, 0.5])
    load = rng.uniform(0.0, 1.0, (len(hours), buses)) * rng.uniform(0.2, 1.1) * p_max.sum() / buses * 2
    return Problem(network, hours, load, rng.uniform(0.0, 1.0, units) * p_max, rng.uniform(0.0, 30.0, 1))


class AngleFormulation:
    """The same dispatch by bus angles, every line and every shedding variable present, with scipy."""

    def __init__(self, problem: Problem) -> None:
        net = problem.network
        self.problem = problem
        periods = len(problem.hours)
        self.sizes = {
            "segment": len(net.costs.slope),
            "angle": len(net.buses),
            "shed": len(net.buses),
            "charge": len(net.storages.bus),
            "discharge": len(net.storages.bus),
            "energy": len(net.storages.bus),
        }
        starts = np.cumsum([0, *self.sizes.values()])
        self.offset: dict[str, int] = dict(zip(self.sizes, starts[:-1].tolist(), strict=True))
        self.width = int(starts[-1])
        self.count = self.width * periods

    def column(self, name: str, item: int | np.integer[Any], period: int) -> int:
        return self.width * period + self.offset[name] + int(item)

    def solve(self, load: Floats) -> tuple[float, Floats]:
        """Objective [$] and LMPs (T, n) [$/MWh]."""
        problem, net = self.problem, self.problem.network
        hours, costs, storage = problem.hours, net.costs, net.storages
        cost, low, high = np.zeros(self.count), np.full(self.count, -np.inf), np.full(self.count, np.inf)
        equal: list[tuple[dict[int, float], float]] = []
        below: list[tuple[dict[int, float], float]] = []
        root = np.sqrt(storage.efficiency)
        for t, hour in enumerate(hours):
            for s in range(len(costs.slope)):
                place = self.column("segment", s, t)
                cost[place], low[place], high[place] = hour * costs.slope[s], 0.0, costs.width[s]
            for bus in range(len(net.buses)):
                place = self.column("shed", bus, t)
                cost[place], low[place], high[place] = hour * VOLL, 0.0, load[t, bus]
            low[self.column("angle", 0, t)] = high[self.column("angle", 0, t)] = 0.0
            for k in range(len(storage.bus)):
                cost[self.column("discharge", k, t)] = hour * storage.cycle_cost[k]
                for name, most in (
                    ("charge", storage.power[k]),
                    ("discharge", storage.power[k]),
                    ("energy", storage.energy[k]),
                ):
                    low[self.column(name, k, t)], high[self.column(name, k, t)] = 0.0, most
        # the nodal balances come first: their duals are the prices
        for t in range(len(hours)):
            for bus in range(len(net.buses)):
                row = {self.column("shed", bus, t): 1.0}
                side = load[t, bus] - net.p_min[net.generator_bus == bus].sum()
                for s, unit in enumerate(costs.generator):
                    if net.generator_bus[unit] == bus:
                        row[self.column("segment", s, t)] = 1.0
                for k, place in enumerate(storage.bus):
                    if place == bus:
                        row |= {self.column("discharge", k, t): 1.0, self.column("charge", k, t): -1.0}
                for i, j, x, shift in zip(net.from_bus, net.to_bus, net.reactance * net.tap, net.shift, strict=True):
                    if bus in (i, j):
                        sign, b = (1.0 if bus == i else -1.0), net.base_mva / x
                        for end, value in ((i, -sign * b), (j, sign * b)):
                            row[self.column("angle", end, t)] = row.get(self.column("angle", end, t), 0.0) + value
                        side -= sign * b * shift
                equal.append((row, side))
        for t, hour in enumerate(hours):
            for i, j, x, shift, rating in zip(
                net.from_bus, net.to_bus, net.reactance * net.tap, net.shift, net.rating, strict=True
            ):
                if np.isfinite(rating):
                    b = net.base_mva / x
                    row = {self.column("angle", i, t): b, self.column("angle", j, t): -b}
                    below.append((row, rating + b * shift))
                    below.append(({place: -value for place, value in row.items()}, rating - b * shift))
            for unit in range(len(net.generators)):
                if t == 0 and np.isnan(problem.previous[unit]):
                    continue
                now = {self.column("segment", s, t): 1.0 for s in np.flatnonzero(costs.generator == unit)}
                minutes = 60 * (hours[0] if t == 0 else (hours[t - 1] + hour) / 2)
                before = {}
                if t:
                    before = {self.column("segment", s, t - 1): -1.0 for s in np.flatnonzero(costs.generator == unit)}
                start = net.p_min[unit] * (t > 0) - net.p_min[unit] + (0.0 if t else problem.previous[unit])
                row = now | before
                below.append((row, net.ramp[unit] * minutes + start))
                below.append(({place: -v for place, v in row.items()}, net.ramp[unit] * minutes - start))
            for k in range(len(storage.bus)):
                row = {
                    self.column("energy", k, t): 1.0,
                    self.column("charge", k, t): -hour * root[k],
                    self.column("discharge", k, t): hour / root[k],
                }
                if t:
                    row[self.column("energy", k, t - 1)] = -1.0
                equal.append((row, 0.0 if t else problem.stored[k]))
        answer = linprog(
            cost,
            A_ub=self.matrix(below),
            b_ub=[side for _, side in below],
            A_eq=self.matrix(equal),
            b_eq=[side for _, side in equal],
            bounds=np.column_stack([low, high]),
            method="highs",
        )
        assert answer.status in (0, 2)
        if answer.status == 2:
            return np.inf, np.zeros(load.shape)
        count = load.size
        return float(answer.fun), answer.eqlin.marginals[:count].reshape(load.shape) / hours[:, None]

    def matrix(self, rows: list[tuple[dict[int, float], float]]) -> coo_array:
        number = [row for row, (entries, _) in enumerate(rows) for _ in entries]
        place = [column for entries, _ in rows for column in entries]
        value = [value for entries, _ in rows for value in entries.values()]
        return coo_array((value, (number, place)), shape=(len(rows), self.count))


def lazily(problem: Problem, load: Floats) -> DispatchSolution:
    return solver(problem.network, problem.hours).solve(load, previous=problem.previous, stored=problem.stored)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 100_000))
def test_same_optimum_as_by_bus_angles(seed: int) -> None:
    problem = random_problem(seed)
    independent = AngleFormulation(problem)
    expected, _ = independent.solve(problem.load)
    try:
        solution = lazily(problem, problem.load)
    except DispatchInfeasible:
        assert expected == np.inf
        return
    assert solution.objective == pytest.approx(expected, rel=1e-7, abs=1e-6)
    assert np.abs(solution.mismatch).max() < 1e-6
    assert (np.abs(solution.flow) <= problem.network.rating + 1e-3).all()
    # prices are subgradients of the cost: no other load may cost less than they say (also where the
    # optimum is degenerate and several prices are right)
    rng = np.random.default_rng(seed)
    for _ in range(3):
        other = np.maximum(problem.load + rng.normal(0.0, 3.0, problem.load.shape), 0.0)
        cost, _ = independent.solve(other)
        said = expected + ((other - problem.load) * solution.lmp * problem.hours[:, None]).sum()
        assert cost >= said - 1e-5 * max(1.0, abs(said))


def test_same_prices_as_by_bus_angles_where_they_are_unique() -> None:
    compared = 0
    for seed in range(30):
        problem = random_problem(seed)
        independent = AngleFormulation(problem)
        expected, price = independent.solve(problem.load)
        if expected == np.inf:
            continue
        nudged = independent.solve(problem.load + 1e-4)[1], independent.solve(np.maximum(problem.load - 1e-4, 0.0))[1]
        if any(np.abs(other - price).max() > 1e-6 for other in nudged):
            continue  # on a kink of the cost: two prices are right
        np.testing.assert_allclose(lazily(problem, problem.load).lmp, np.minimum(price, VOLL), atol=1e-5)
        compared += 1
    assert compared >= 10


def published(name: str, rating_factor: float, rating: float) -> Problem:
    """A published case over six periods with ramps and a minimum, its lines narrowed so that several bind."""
    case = load_case(name)
    generators, branches = case.generators, case.branches
    assert generators.costs is not None
    low, high = 0.1 * generators.highest_active, generators.highest_active
    # ratings all different: where two lines in series bind at once, the price between them is open
    rated = np.where(branches.rating > 0.0, branches.rating * rating_factor, rating) + 0.1 * np.arange(len(branches))
    network = DispatchNetwork(
        buses=case.buses.label,
        branches=branches.label,
        generators=generators.label,
        base_mva=case.base_mva,
        from_bus=branches.from_bus,
        to_bus=branches.to_bus,
        reactance=branches.reactance,
        tap=branches.ratio,
        shift=branches.shift,
        rating=rated,
        generator_bus=generators.bus,
        p_min=low,
        p_max=high,
        ramp=np.maximum(0.01 * high, 0.5),
        costs=cost_curves(generators.costs.polynomial, generators.costs.points, low, high, 5),
        storages=battery(3, power=40.0, energy=100.0, efficiency=0.85, cycle_cost=0.1),
    )
    hours = np.array([1 / 12, 1 / 12, 1 / 12, 0.5, 0.5, 1.0])
    shape = np.array([0.87, 0.88, 0.89, 0.93, 0.97, 0.9])
    unknown = np.full(len(high), np.nan)
    return Problem(network, hours, shape[:, None] * case.buses.load.real, unknown, np.array([50.0]))


@pytest.mark.parametrize(("name", "factor", "rating"), [("case39", 0.62, np.inf), ("case118", 1.0, 160.0)])
def test_published_cases_cost_the_same_by_bus_angles(name: str, factor: float, rating: float) -> None:
    problem = published(name, factor, rating)
    independent = AngleFormulation(problem)
    expected, price = independent.solve(problem.load)
    solution = lazily(problem, problem.load)
    base = problem.network.costs.base.sum() * problem.hours.sum()  # the other formulation counts from p_min
    assert solution.objective - base == pytest.approx(expected, rel=1e-7)
    assert solution.stats.line_rows > 3
    assert np.ptp(solution.lmp[0]) > 1.0
    np.testing.assert_allclose(solution.lmp, np.minimum(price, VOLL), atol=1e-4)


def test_lmp_is_what_one_more_megawatt_costs() -> None:
    # ACTIVE limits on both sides: a congested ring with quadratic costs and 400 segments
    network = replace(
        RING,
        costs=cost_curves(
            np.array([[0.0, 10.0, 0.05], [0.0, 40.0, 0.02]]), np.zeros((2, 0, 2)), RING.p_min, RING.p_max, 60
        ),
    )
    once = solver(network, [1 / 12, 0.5])
    load = np.array([[15.3, 31.7, 121.9], [10.1, 45.2, 131.4]])
    base = once.solve(load)
    assert base.stats.line_rows > 0
    assert np.ptp(base.lmp[0]) > 1.0
    for period, bus in np.ndindex(*load.shape):
        more = load.copy()
        more[period, bus] += 0.01
        change = (once.solve(more).objective - base.objective) / 0.01 / once.hours[period]
        assert change == pytest.approx(base.lmp[period, bus], abs=1e-4)


def test_warm_equals_cold() -> None:
    # without the storage, which leaves it open when to store: the optimum is one point
    problem = random_problem(5)
    network = replace(problem.network, storages=Storages.none())
    warm = solver(network, problem.hours)
    rng = np.random.default_rng(1)
    for _ in range(8):
        load = problem.load * rng.uniform(0.5, 1.1, problem.load.shape)
        one = warm.solve(load, previous=problem.previous)
        other = solver(network, problem.hours).solve(load, previous=problem.previous)
        assert one.objective == pytest.approx(other.objective, rel=1e-9)
        np.testing.assert_allclose(one.power, other.power, atol=1e-6)
        np.testing.assert_allclose(one.lmp, other.lmp, atol=1e-6)


@pytest.mark.parametrize("seed", range(8))
def test_warm_equals_cold_through_trips(seed: int) -> None:
    problem, rng = random_problem(seed), np.random.default_rng(seed + 1)
    network = problem.network
    warm = solver(network, problem.hours)
    for _ in range(5):
        load = problem.load * rng.uniform(0.4, 1.2, problem.load.shape)
        units, lines = rng.random(len(network.generators)) > 0.15, rng.random(len(network.branches)) > 0.1

        def answer(one: RollingDispatch) -> tuple[str, float]:
            try:
                solution = one.solve(
                    load,  # noqa: B023 - called within the same pass of the loop
                    generator_available=units,  # noqa: B023
                    branch_available=lines,  # noqa: B023
                    previous=problem.previous,
                    stored=problem.stored,
                )
            except DispatchInfeasible as error:
                return error.family, 0.0
            return "feasible", solution.objective

        kept, fresh = answer(warm), answer(solver(network, problem.hours))
        assert kept[0] == fresh[0]
        assert kept[1] == pytest.approx(fresh[1], rel=1e-9)


def test_two_runs_of_the_same_inputs_are_bit_identical() -> None:
    problem = random_problem(11)

    def run() -> list[bytes]:
        once, rng = solver(problem.network, problem.hours), np.random.default_rng(3)
        answers = []
        for _ in range(6):
            load = problem.load * rng.uniform(0.5, 1.1, problem.load.shape)
            solution = once.solve(load, previous=problem.previous, stored=problem.stored)
            answers.append(solution.power.tobytes() + solution.lmp.tobytes() + solution.energy.tobytes())
        return answers

    assert run() == run()


def test_line_rows_stay_for_the_next_solve() -> None:
    once = solver(TWO_BUSES)
    first = once.solve(flat(TWO_BUSES, [20.0, 120.0]))
    second = once.solve(flat(TWO_BUSES, [20.0, 125.0]))
    assert (first.stats.rounds, first.stats.lines_added) == (2, 1)
    assert (second.stats.rounds, second.stats.lines_added) == (1, 0)
    assert first.stats.build_seconds == second.stats.build_seconds > 0.0
