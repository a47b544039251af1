"""The light dynamics: frequency against its closed form, sags against two buses by hand, measures of a frequency."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cosim.contract import Context, Exchange
from cosim.errors import ConfigError, SolverError
from cosim.perturbations import Target
from cosim.perturbations.bus_fault import BusFault
from federates.frequency_response import AggregateDynamics
from feeders.transmission_case import load_case
from solvers.frequency_measures import AngleFrequency, SlidingRate, nadir, rate_of_change, recovery_time
from solvers.frequency_response import (
    FrequencyResponse,
    Governors,
    Machines,
    sfr_nadir,
    sfr_step_response,
    typical_governors,
)
from solvers.voltage_sag import SubtransientNetwork, served_load

MS = 10**6
ONE = np.ones(1)

# Anderson and Mirheydar (1990): the typical values of their section on the low-order model
SFR = {"inertia": 4.0, "damping": 1.0, "droop": 0.05, "reheat": 8.0, "high": 0.3, "gain": 0.95}


def low_order(size: float = 1000.0) -> FrequencyResponse:
    """The low-order model as one machine: no valve time, lead FH·TR, lag TR, droop R/Km, no limits."""
    governors = Governors(
        droop=ONE * SFR["droop"] / SFR["gain"],
        valve_time=0 * ONE,
        lead_time=ONE * SFR["high"] * SFR["reheat"],
        lag_time=ONE * SFR["reheat"],
        turbine_damping=0 * ONE,
        lowest=-np.inf * ONE,
        highest=np.inf * ONE,
    )
    machines = Machines(ONE * size, ONE * SFR["inertia"], 0 * ONE, 0.2 * ONE)
    return FrequencyResponse(machines, governors, 0 * ONE, load_damping=SFR["damping"] * size)


@pytest.mark.parametrize("step", [0.005, 0.1, 1.0])
def test_a_load_step_follows_the_closed_form_at_any_step(step: float) -> None:
    model, size = low_order(), 1000.0
    time = np.arange(0, 20, step)
    frequency = [model.frequency]
    for _ in time[1:]:
        model.advance(step, 0.1 * size)
        frequency.append(model.frequency)
    assert np.array(frequency) == pytest.approx(60 * (1 + sfr_step_response(time, 0.1, **SFR)), abs=1e-6)


def test_the_closed_form_starts_ends_and_turns_where_it_must() -> None:
    late = sfr_step_response(np.array([0.0, 500.0]), 0.1, **SFR)
    assert late[0] == pytest.approx(0, abs=1e-12)
    assert late[1] == pytest.approx(-0.1 / (SFR["damping"] + SFR["gain"] / SFR["droop"]), rel=1e-9)  # the droop's law
    time, depth = sfr_nadir(0.1, **SFR)
    samples = np.linspace(0, 20, 200_001)
    found = nadir(samples, sfr_step_response(samples, 0.1, **SFR))
    assert found == pytest.approx((time, depth), abs=1e-4)
    slope = sfr_step_response(np.array([1e-6]), 0.1, **SFR)[0] / 1e-6
    assert slope == pytest.approx(-0.1 / (2 * SFR["inertia"]), rel=1e-4)  # the swing equation alone


def test_a_closed_form_that_does_not_swing_is_refused() -> None:
    with pytest.raises(ValueError, match="damping ratio below 1"):
        sfr_nadir(0.1, **{**SFR, "droop": 1.0, "high": 1.0})


def machines(count: int, rating: float = 100.0) -> Machines:
    full = np.ones(count)
    return Machines(rating * full, 4.0 * full, 0 * full, 0.2 * full)


def test_the_frequency_settles_where_the_droops_of_all_meet() -> None:
    model = FrequencyResponse(machines(4), typical_governors(4), np.full(4, 0.5))
    for _ in range(600):
        model.advance(0.1, 20.0)
    assert model.frequency == pytest.approx(60 * (1 - 20.0 / 400 * 0.05), abs=1e-6)
    assert model.mechanical_power == pytest.approx(np.full(4, 5.0), abs=1e-5)
    assert model.rate(20.0) == pytest.approx(0, abs=1e-6)


def test_a_full_valve_gives_no_more_and_the_frequency_falls_as_the_swing_equation_says() -> None:
    model = FrequencyResponse(machines(2), typical_governors(2), np.array([1.0, 0.95]))
    for _ in range(1_600):
        model.advance(0.05, 30.0)
    assert model.mechanical_power == pytest.approx([0.0, 5.0], abs=1e-2)  # 5 MW is all the room there is
    assert model.rate(30.0) == pytest.approx(-60 * 25.0 / (2 * 4.0 * 200), rel=1e-3)
    for _ in range(1_600):
        model.advance(0.05, -300.0)
    assert model.frequency > 60, "a valve at its limit must come back"


def test_a_trip_takes_its_inertia_and_governor_along() -> None:
    model = FrequencyResponse(machines(4), typical_governors(4), np.full(4, 0.5))
    model.trip(np.array([True, False, False, False]))
    assert model.rate(50.0) == pytest.approx(-60 * 50.0 / (2 * 4.0 * 300), rel=1e-9)
    for _ in range(600):
        model.advance(0.1, 30.0)
    assert model.mechanical_power == pytest.approx([0, 10, 10, 10], abs=1e-4)
    with pytest.raises(ValueError, match="no generator"):
        model.trip(np.ones(4, dtype=bool))


# ---- measures --------------------------------------------------------------------------------------------------------


def test_recovery_ends_with_the_last_crossing() -> None:
    time = np.linspace(0, 10, 2001)
    frequency = 60 - 0.5 * np.exp(-time)
    assert recovery_time(time, frequency, 60.0, 0.1) == pytest.approx(np.log(5.0), abs=1e-5)
    assert recovery_time(time, frequency, 60.0, 0.1, since=1.0) == pytest.approx(np.log(5.0) - 1, abs=1e-5)
    assert recovery_time(time, frequency, 60.0, 0.6) == 0.0
    assert recovery_time(time, frequency - 1, 60.0, 0.1) == float("inf")


def test_the_rate_of_change_of_a_ramp_and_while_samples_come() -> None:
    time = np.arange(0, 3, 0.03)
    frequency = 60 - 0.4 * np.maximum(time - 1, 0)
    rate = rate_of_change(time, frequency, 0.5)
    assert rate[time <= 1] == pytest.approx(0, abs=1e-9)
    assert rate[time >= 1.54] == pytest.approx(-0.4, abs=1e-9)
    sliding = SlidingRate(0.5)
    came = [sliding.add(at, value) for at, value in zip(time.tolist(), frequency.tolist(), strict=True)]
    assert came == pytest.approx(rate.tolist(), abs=1e-9)


def test_a_meter_of_angles_shows_a_ramp_in_full_and_a_jump_as_its_two_exponentials() -> None:
    lag, washout = 0.02, 0.1
    meter = AngleFrequency(np.zeros(2), 60.0, lag, washout)
    for number in range(1, 401):
        meter.advance(0.005, np.array([2 * np.pi * 0.3 * number * 0.005, 0.0]))
    assert meter.frequency == pytest.approx([60.3, 60.0], abs=1e-6)
    meter = AngleFrequency(np.zeros(1), 60.0, lag, washout)
    meter.jump(np.array([0.5]))
    for number in range(1, 100):
        meter.advance(0.004, np.array([0.5]))
        time = number * 0.004
        # 1/(2 pi) · s/((1 + s Tw)(1 + s Tl)) · 0.5/s, transformed back by hand
        wanted = 0.5 / (2 * np.pi) * (np.exp(-time / washout) - np.exp(-time / lag)) / (washout - lag)
        assert meter.frequency[0] - 60 == pytest.approx(wanted, abs=1e-9)


def test_a_meter_restarts_at_the_frequency_that_it_is_given() -> None:
    meter = AngleFrequency(np.zeros(2), 60.0, 0.02, 0.1)
    meter.restart(np.array([True, False]), np.array([1.0, 1.0]), 59.5)
    assert meter.frequency == pytest.approx([59.5, 60.0])


# ---- sags ------------------------------------------------------------------------------------------------------------

TWO_BUS = """mpc.baseMVA = 100;
mpc.bus = [1 3 0 0 0 0 1 1 0 230 1 1.1 0.9; 2 1 0 0 0 0 1 1 0 230 1 1.1 0.9];
mpc.gen = [1  0  0  200  -200  1  100  1  200  0   0 0 0 0 0 0  0  0  0  0  0];
mpc.branch = [1 2 0 0.1 0 200 0 0 0 0 1];
"""


def test_a_sag_on_two_buses_is_the_voltage_divider(tmp_path: Path) -> None:
    (tmp_path / "two.m").write_text(TWO_BUS)
    case = load_case(tmp_path / "two.m")
    on = np.ones(1, dtype=bool)
    network = SubtransientNetwork(case, np.array([0.2]), np.ones(2, complex), np.zeros(1, complex), on, on)
    fault = np.array([0, 1 / 0.05j])
    voltage = network.voltage(on, on, fault)
    assert voltage == pytest.approx([0.15 / 0.35, 0.05 / 0.35], abs=1e-12)  # x'' 0.2, line 0.1, fault 0.05
    assert network.mismatch(voltage, on, fault) < 1e-9
    assert network.generation(voltage, on)[0].imag == pytest.approx(0.15 / 0.35 * (1 - 0.15 / 0.35) / 0.2 * 100)
    assert network.voltage(on, ~on, np.zeros(2, complex)) == pytest.approx([1, 0])  # bus 2 is dead
    assert network.voltage(on, on, np.zeros(2, complex)) == pytest.approx([1, 1])


def test_superposition_gives_what_a_whole_solution_gives() -> None:
    """Against a dense solution with the admittances in the matrix, and machines as Thevenin sources."""
    from solvers.admittance import branch_admittances, bus_admittance

    case = load_case("case39")
    generators, branches = case.generators.in_service, case.branches.in_service
    voltage = case.buses.voltage
    matrix = bus_admittance(case, branch_admittances(case.branches), branches).toarray()
    at = case.generators.bus
    generation = np.zeros(len(case.generators), complex)
    generation[:] = (voltage * np.conj(matrix @ voltage))[at] * case.base_mva + case.buses.load[at]
    reactance = np.full(len(case.generators), 0.02)
    network = SubtransientNetwork(case, reactance, voltage, generation, generators, branches)
    connected = np.zeros(len(case.buses), complex)
    connected[[3, 15, 20]] = [1 / 0.01j, 20 / 0.3j, 2 - 1j]
    found = network.voltage(generators, branches, connected)
    inner = voltage[at] + 1j * reactance * np.conj(generation / case.base_mva / voltage[at])
    load = np.conj(network.load / case.base_mva) / np.abs(voltage) ** 2
    machine = np.zeros(len(case.buses), complex)
    machine[at] = 1 / (1j * reactance)
    source = np.zeros(len(case.buses), complex)
    source[at] = inner / (1j * reactance)
    assert found == pytest.approx(np.linalg.solve(matrix + np.diag(load + machine + connected), source), abs=1e-9)
    assert network.voltage(generators, branches, 0 * connected) == pytest.approx(voltage, abs=1e-9)


def test_load_keeps_its_power_until_seven_tenths() -> None:
    load = np.full(4, 10 + 2j)
    served = served_load(load, np.array([1.0, 0.71, 0.35, 0.0]), np.array([1.0, 1.0, 1.0, 1.0]))
    assert served == pytest.approx([10 + 2j, 10 + 2j, (10 + 2j) / 4, 0])


# ---- the federate ----------------------------------------------------------------------------------------------------


class Rig:
    """A started federate at 5 ms; inputs at their initial values but those given."""

    def __init__(self, **config: Any) -> None:
        context = Context("grid", 1, datetime(2014, 1, 16), 60_000 * MS, 5 * MS)
        self.federate = AggregateDynamics(AggregateDynamics.Config.model_validate(config), context)
        self.ports = {(port.name, port.direction): port for port in self.federate.ports()}
        self.federate.start(Path())
        self.time = self.federate.next_time(-1)

    def one(self, name: str, label: str, value: complex) -> np.ndarray:
        port = self.ports[name, "in"]
        array = np.full(port.shape, port.initial, dtype=complex if port.is_complex else float)
        array[list(next(iter(port.coordinates.values()))).index(label)] = value
        return array

    def solve(self, **values: Any) -> dict[str, np.ndarray]:
        given = {}
        for (name, direction), port in self.ports.items():
            if direction == "in":
                value = np.asarray(values.get(name, port.initial), dtype=complex if port.is_complex else float)
                given[name] = np.array(np.broadcast_to(value, port.shape))
        assert self.time is not None
        out = dict(self.federate.solve(self.time, Exchange(given)).values)
        assert set(out) == {name for name, direction in self.ports if direction == "out"}
        assert all(np.isfinite(value).all() for value in out.values())
        self.time = self.federate.next_time(self.time)
        return out


def test_a_grid_left_alone_stays_at_rest() -> None:
    rig = Rig(feeder_buses=["15"])
    first = rig.solve()
    for _ in range(20):
        last = rig.solve()
    assert last["coi_frequency"] == pytest.approx(60.0, abs=1e-9)
    assert last["voltage"] == pytest.approx(first["voltage"], abs=1e-6)
    assert last["feeder_power"] == pytest.approx([320 + 153j], rel=1e-6)
    assert last["load"].real == pytest.approx(6254.23, rel=1e-6)  # the case's total


def test_a_generator_trip_starts_with_the_swing_equation_and_ends_with_the_droop() -> None:
    rig = Rig(load_damping=0.0, step="5 ms")
    first = rig.solve()
    out = rig.one("generator_available", "36", 0.0)
    rig.solve(generator_available=out)
    second = rig.solve()  # the generator may run again, but stays out
    case = load_case("case39")
    rating = np.delete(np.maximum(case.generators.highest_active, np.abs(case.generators.power)), 6)
    slope = (second["coi_frequency"] - 60.0) / 0.005
    lost = first["generation"][6].real
    assert slope == pytest.approx(-60 * lost / (2 * 4.0 * rating.sum()), rel=2e-2)
    assert second["generator_in_service"][6] == 0
    assert second["generation"][6] == 0


def test_more_load_than_can_be_carried_fails_the_limit_before_the_run_ends() -> None:
    """4,000 MW more than 6,254: no governor has that in reserve. The verdict sees it before the end."""
    rig = Rig(load_damping=0.0, step="20 ms")
    rig.solve()
    more, deviations = rig.one("load_change", "16", 4000.0), [0.0]

    def fall() -> None:
        while len(deviations) < 5000:
            deviations.append(float(rig.solve(load_change=more)["frequency_deviation"]))

    with pytest.raises(SolverError, match=r"fallen to \d\d\.\d Hz: .* Trip or add less, or shed load"):
        fall()
    assert rig.ports["frequency_deviation", "out"].limit == 10.0
    assert -51.0 < min(deviations) < -10.0


def test_a_feeder_that_sheds_load_raises_the_frequency_and_its_voltage() -> None:
    rig = Rig(feeder_buses=["15"], load_damping=0.0)
    first = rig.solve()
    for _ in range(10):
        last = rig.solve(feeder_load=np.zeros(3))
    assert last["coi_frequency"] > 60.0
    assert abs(last["voltage"][14]) > abs(first["voltage"][14])
    assert last["rocof"] > 0


def test_a_fault_sags_all_buses_and_is_over_when_cleared() -> None:
    rig = Rig()
    first = rig.solve()
    fault = rig.one("fault_admittance", "16", 1 / 0.001j)
    during = rig.solve(fault_admittance=fault)
    assert np.abs(during["voltage"][15]) < 0.15
    assert (np.abs(during["voltage"]) < np.abs(first["voltage"])).all()
    assert during["voltage_lowest"] == pytest.approx(np.abs(during["voltage"]))
    after = rig.solve()
    assert np.abs(after["voltage"]) == pytest.approx(np.abs(first["voltage"]), abs=1e-9)
    assert after["voltage_lowest"] == pytest.approx(np.abs(during["voltage"]))
    assert after["coi_frequency"] > 60.0  # load was lost during the fault


def test_the_window_is_where_it_is_asked_for() -> None:
    rig = Rig(at="100 ms", duration="20 ms", step="10 ms")
    assert rig.time == 100 * MS
    assert rig.federate.next_time(100 * MS) == 110 * MS
    assert rig.federate.next_time(110 * MS) is None


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"case": "case3999"}, "case"),
        ({"feeder_buses": ["4000"]}, "feeder_buses"),
        ({"step": "7 ms"}, "step"),
        ({"at": "1 ms"}, "at"),
    ],
)
def test_wrong_settings_are_refused_with_their_field(config: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Rig(**config)
    assert caught.value.field == field


def test_a_grid_without_generators_is_an_error_with_advice() -> None:
    rig = Rig()
    rig.solve()
    with pytest.raises(SolverError, match="whole grid is dead"):
        rig.solve(generator_available=np.zeros(10))


def test_a_bus_fault_is_an_admittance_until_it_is_cleared() -> None:
    fault = BusFault.model_validate({"time": "1 s", "lasting": "150 ms", "bus": 2, "reactance": 0.01})
    port = Rig().ports["fault_admittance", "in"]
    target, random = Target("grid", port), np.random.default_rng(1)
    assert fault.effect(149 * MS, target, random)[1] == pytest.approx(-100j)
    assert np.count_nonzero(fault.effect(149 * MS, target, random)) == 1
    assert not fault.effect(150 * MS, target, random).any()
    with pytest.raises(ValueError, match="dead short"):
        BusFault.model_validate({"time": "1 s", "bus": 2, "reactance": 0})
    with pytest.raises(ConfigError, match="no transmission dynamics"):
        fault.targets({})
