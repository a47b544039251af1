"""The transmission federate: contract, load, set-points, ramps, outages, repeated solves."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from cosim.contract import Context, Exchange, Message
from cosim.errors import ConfigError, ContractError, SolverError
from federates.transmission import Transmission
from feeders.transmission_case import load_case

MIN = 60 * 10**9
CONTEXT = Context("transmission", 1, datetime(2014, 1, 14), 24 * 60 * MIN, MIN)

RAMPED = """mpc.baseMVA = 100;
mpc.bus = [1 3 0 0 0 0 1 1 0 230 1 1.1 0.9; 2 1 100 20 0 0 1 1 0 230 1 1.1 0.9];
mpc.gen = [
    1  60  0  200  -200  1  100  1  200  20  0 0 0 0 0 0  5  0  0  0  0;
    1  40  0  200  -200  1  100  1  200  0   0 0 0 0 0 0  0  0  0  0  0;
];
mpc.branch = [1 2 0.001 0.05 0 200 0 0 0 0 1];
"""


class Rig:
    """A started federate with inputs at their initial values, one change at a time."""

    def __init__(self, **config) -> None:
        self.federate = Transmission(Transmission.Config(**config), CONTEXT)
        self.ports = {port.name: port for port in self.federate.ports()}
        self.federate.start(Path())

    def solve(
        self, minute: int, messages: Mapping[str, float | Mapping[str, float]] | None = None, late=(), **values
    ) -> dict[str, np.ndarray]:
        """Set-points are given by generator, other orders as payloads by agent."""
        inputs = {
            name: np.full(port.shape, port.initial, dtype=complex if port.is_complex else float)
            for name, port in self.ports.items()
            if port.direction == "in"
        }
        assert set(values) <= set(inputs)
        sent = [
            Message(
                "dispatch",
                f"transmission/{agent}",
                minute * MIN,
                order if isinstance(order, Mapping) else {"setpoint_MW": order},
            )
            for agent, order in (messages or {}).items()
        ]
        exchanged = self.federate.solve(minute * MIN, Exchange(inputs | values, [*sent, *late]))
        outputs = exchanged.values
        for name, port in self.ports.items():
            if port.direction == "out":
                assert np.shape(outputs[name]) == port.shape
                assert np.isfinite(outputs[name]).all()
                assert np.iscomplexobj(outputs[name]) == port.is_complex
                assert port.limit is None or abs(outputs[name]) <= port.limit
                assert port.range is None or np.all((outputs[name] >= port.range[0]) & (outputs[name] <= port.range[1]))
        self.told = list(exchanged.messages)
        supply = outputs["generation"].real.sum() + outputs["storage"]
        assert supply == pytest.approx(outputs["load"].real + outputs["losses"], abs=1e-3)
        return dict(outputs)

    def step(
        self, minute: int, messages: Mapping[str, float | Mapping[str, float]] | None = None, **values
    ) -> dict[str, np.ndarray]:
        outputs = self.solve(minute, messages, **values)
        self.federate.commit(minute * MIN)
        return outputs

    def one(self, port: str, label: str, value: complex) -> np.ndarray:
        """The port's initial values, but `value` at `label`."""
        found = self.ports[port]
        array = np.full(found.shape, found.initial, dtype=complex if found.is_complex else float)
        array[next(iter(found.coordinates.values())).index(label)] = value
        return array


def test_unchanged_it_is_the_published_case() -> None:
    rig, case = Rig(slack="reference"), load_case("case39")
    outputs = rig.step(0)
    assert np.abs(outputs["voltage"] - case.buses.voltage).max() < 1e-6
    assert np.abs(outputs["generation"] - case.generators.power).max() < 0.01
    assert outputs["losses"] == pytest.approx(43.64, abs=0.01)  # pandapower's, too
    assert outputs["load"] == pytest.approx(6254.23 + 1387.1j)


def test_a_unit_that_its_case_dispatches_beyond_its_own_limits_is_told() -> None:
    """case39 has unit 31 at 677.871 MW of 646 (its mpc.gen), which the power flow leaves as it is."""
    excess = Rig(slack="reference").solve(0)["limit_excess"]
    unit = load_case("case39").generators.label.index("31")
    assert excess[unit] == pytest.approx(677.871 - 646.0, abs=0.05)
    assert not np.delete(excess, unit).any()


def test_load_follows_scale_multiplier_and_change() -> None:
    rig = Rig(load_multiplier=0.9)
    outputs = rig.step(0, load_scale=np.array(1.1), load_change=rig.one("load_change", "16", 50 + 10j))
    assert outputs["load"] == pytest.approx(0.99 * (6254.23 + 1387.1j) + 50 + 10j)
    # without set-points the case's dispatch follows the load; the rest is losses
    assert abs(outputs["slack_deviation"]) < 60


def test_feeders_replace_the_load_of_their_bus() -> None:
    rig = Rig(feeder_buses=("15", "16"))
    case = load_case("case39")
    replaced = case.buses.load[[case.bus_position("15"), case.bus_position("16")]].sum()
    # before the feeders have answered, their buses carry the case's load
    assert rig.step(0)["load"] == pytest.approx(case.buses.load.sum())
    phases = np.array([[50 + 10j, 60 + 20j, 70 + 30j], [1, 2, 3]])
    outputs = rig.step(1, feeder_load=phases, load_scale=np.array(0.5))
    assert outputs["load"] == pytest.approx(0.5 * (case.buses.load.sum() - replaced) + phases.sum())


def test_more_feeder_load_lowers_the_voltage_there() -> None:
    rig = Rig(feeder_buses=("15",))
    bus = rig.ports["voltage"].coordinates["bus"].index("15")
    voltages = [
        abs(rig.step(minute, feeder_load=np.full((1, 3), load))["voltage"][bus])
        for minute, load in enumerate((0j, 100 + 50j, 200 + 100j))
    ]
    assert voltages == sorted(voltages, reverse=True)
    assert voltages[0] - voltages[2] > 0.01


def test_setpoint_holds_until_the_next() -> None:
    rig = Rig(slack="reference", ramp=100)
    generator = rig.ports["generation"].coordinates["generator"].index("30")
    assert rig.step(0)["generation"][generator].real == pytest.approx(250)
    assert rig.step(1, {"30": 300})["generation"][generator].real == pytest.approx(300)
    assert rig.step(2, load_scale=np.array(1.01))["generation"][generator].real == pytest.approx(300)
    assert rig.step(3, {"30": 200})["generation"][generator].real == pytest.approx(200)


def test_setpoint_beyond_the_limits_stops_there_and_the_rest_is_told() -> None:
    rig = Rig(slack="reference", ramp=100)
    generator = rig.ports["generation"].coordinates["generator"].index("30")
    above, below = rig.step(0, {"30": 5_000}), rig.step(1, {"30": -10})
    assert above["generation"][generator].real == pytest.approx(1_040)
    assert above["setpoint_shortfall"][generator] == pytest.approx(3_960)
    assert below["generation"][generator].real == pytest.approx(0)
    assert below["setpoint_shortfall"][generator] == pytest.approx(-10)


def test_ramps_are_kept(tmp_path: Path) -> None:
    case = tmp_path / "ramped.m"
    case.write_text(RAMPED)
    rig = Rig(case=str(case), ramp=100)
    scheduled = []
    for minute, messages in enumerate(
        ({"1-1": 60, "1-2": 40}, {"1-1": 72, "1-2": 150}, {}, {}, {"1-1": 71}, {"1-1": 10}, {})
    ):
        rig.step(minute, messages)
        scheduled.append(rig.federate._committed.units.output.tolist())
    # 5 MW/min for the first; none is given for the second, so 100 % of 200 MW a minute; 20 MW is the lower limit
    assert [first for first, _ in scheduled] == pytest.approx([60, 65, 70, 72, 71, 66, 61])
    assert [second for _, second in scheduled] == pytest.approx([40] + [150] * 6)


def test_where_the_case_has_no_ramp_it_is_a_share_of_the_capacity() -> None:
    """2 % of unit 33's 652 MW a minute, as the dispatch counts on: 65.2 MW in its 5 minutes."""
    rig = Rig()
    unit = rig.ports["generation"].coordinates["generator"].index("33")
    rig.step(0, {"33": 400})
    given = []
    for minute in range(1, 7):
        rig.step(minute, {"33": 465.2} if minute == 1 else {})
        given.append(rig.federate._committed.units.output[unit])
    assert given == pytest.approx([413.04, 426.08, 439.12, 452.16, 465.2, 465.2])


def test_the_first_setpoints_are_where_a_run_begins() -> None:
    rig = Rig(slack="reference")
    first = np.array([250.0, np.nan, 600.0, 500.0, 400.0, 500.0, 400.0, 450.0, 700.0, 900.0])
    outputs = rig.step(0, setpoint=first)
    held = ~np.isnan(first)
    assert outputs["generation"].real[held] == pytest.approx(first[held])
    again = rig.step(1, setpoint=np.zeros(10))  # later ones come as messages
    assert again["generation"].real[held] == pytest.approx(first[held])


def test_branch_trip() -> None:
    rig = Rig()
    branch = rig.ports["branch_loading"].coordinates["branch"].index("16-17")
    before = rig.step(0)["branch_loading"]
    after = rig.step(1, branch_available=rig.one("branch_available", "16-17", 0))["branch_loading"]
    assert before[branch] > 10
    assert after[branch] == 0
    assert rig.step(2)["branch_loading"] == pytest.approx(before, abs=1e-3)


def test_a_dead_bus_is_told() -> None:
    rig = Rig()
    tripped = rig.one("branch_available", "12-11", 0) * rig.one("branch_available", "12-13", 0)
    outputs = rig.step(0, branch_available=tripped)
    assert outputs["unserved_load"] == pytest.approx(8.53)
    assert outputs["voltage"][rig.ports["voltage"].coordinates["bus"].index("12")] == 0


BUS_16 = 329 + 32.3j  #: [MVA] case39's load at bus 16
WHOLE = 6254.23 + 1387.1j  #: [MVA] all of it


def test_ordered_load_is_shed_with_its_reactive_power_until_the_order_ends() -> None:
    rig = Rig()
    assert rig.step(0)["load_shed"] == 0
    shed = rig.step(1, {"bus 16": {"load_shed_MW": 50}})
    assert shed["load"] == pytest.approx(WHOLE - BUS_16 * 50 / 329)
    assert shed["load_shed"] == 50
    assert rig.step(2)["load"] == shed["load"]  # no message came: the last one holds
    more = rig.step(3, {"bus 16": {"load_shed_MW": 60}, "bus 15": {"load_shed_MW": 32}})
    assert more["load"] == pytest.approx(WHOLE - BUS_16 * 60 / 329 - (320 + 153j) / 10)
    assert more["load_shed"] == pytest.approx(92)
    ended = rig.step(4, {"bus 16": {"load_shed_MW": 0}})
    assert ended["load"] == pytest.approx(WHOLE - (320 + 153j) / 10)


def test_what_is_shed_is_no_more_than_the_load_that_there_is() -> None:
    rig = Rig()
    for minute, scale in enumerate((1.0, 0.1, 0.5)):
        outputs = rig.step(minute, {"bus 16": {"load_shed_MW": 100}} if not minute else {}, load_scale=np.array(scale))
        carried = min(100, 329 * scale)
        assert outputs["load_shed"] == pytest.approx(carried)
        assert outputs["load"] == pytest.approx(scale * WHOLE - BUS_16 * carried / 329)
    # bus 2 has no load, so bus 16's order stays all that is carried out
    assert rig.step(3, {"bus 2": {"load_shed_MW": 100}})["load_shed"] == pytest.approx(100)


def test_feeders_and_load_changes_are_not_shed() -> None:
    rig = Rig(feeder_buses=("15",))
    given = {"feeder_load": np.full((1, 3), 100 + 30j), "load_change": rig.one("load_change", "16", 40 + 0j)}
    before = rig.step(0, **given)
    after = rig.step(1, {"bus 15": {"load_shed_MW": 100}, "bus 16": {"load_shed_MW": 400}}, **given)
    assert after["load_shed"] == pytest.approx(329)
    assert before["load"] - after["load"] == pytest.approx(BUS_16)


BATTERY = {"name": "big", "bus": "16", "power": 100, "energy": 400, "initial": 200, "efficiency": 0.81}


def test_storage_gives_and_takes_what_is_ordered() -> None:
    rig = Rig(storage=[BATTERY])
    before = rig.step(0)
    generated = before["generation"].real.sum()
    bus = rig.ports["voltage"].coordinates["bus"].index("16")
    for minute, power in enumerate((100, None, -80, 0), start=1):
        outputs = rig.step(minute, {} if power is None else {"storage big": {"storage_MW": power}})
        held = 100 if power is None else power
        assert outputs["storage"] == outputs["storage_power"] == held
        assert outputs["storage_shortfall"] == 0
        assert outputs["load"] == before["load"]  # storage is no load
        added = outputs["losses"] - before["losses"]
        assert outputs["generation"].real.sum() == pytest.approx(generated - held + added, abs=1e-3)
        turned = np.angle(outputs["voltage"][bus] / before["voltage"][bus])
        assert np.sign(np.round(turned, 6)) == np.sign(held)  # power put in advances the angle


def test_storage_gives_no_more_than_it_holds_whatever_is_ordered() -> None:
    """Two minutes at 60 MW through sqrt(0.81) take 2 * 60 / 60 / 0.9 = 2.222 MWh; then it is empty."""
    rig = Rig(storage=[BATTERY | {"initial": 2.5}, BATTERY | {"name": "full", "initial": 399.6}])
    told = []
    for minute in range(5):
        orders = {"storage big": {"storage_MW": 60}, "storage full": {"storage_MW": -500}} if not minute else {}
        outputs = rig.step(minute, orders)
        told.append([*outputs["storage_power"], *outputs["storage_energy"], *outputs["storage_shortfall"]])
    giving, taking, low, high, owed, refused = np.array(told).T
    assert giving == pytest.approx([60, 60, (2.5 - 2 / 0.9) * 0.9 * 60, 0, 0])
    assert low == pytest.approx([2.5, 2.5 - 1 / 0.9, 2.5 - 2 / 0.9, 0, 0], abs=1e-9)
    assert owed == pytest.approx(60 - giving)
    # -500 MW is beyond its 100 MW, and 0.4 MWh of room take 0.4 / 0.9 * 60 = 26.7 MW for a minute
    assert taking == pytest.approx([-0.4 / 0.9 * 60, 0, 0, 0, 0], abs=1e-9)
    assert high == pytest.approx([399.6, 400, 400, 400, 400])
    assert refused == pytest.approx(-500 - taking)


def test_the_newest_order_of_a_time_counts() -> None:
    rig = Rig(storage=[BATTERY])
    rig.solve(0, {"bus 16": {"load_shed_MW": 7}, "storage big": {"storage_MW": 5}})
    outputs = rig.step(0, {"storage big": {"storage_MW": 6}})
    assert (outputs["storage"], outputs["load_shed"]) == (6, 7)


def test_at_a_dead_bus_nothing_is_shed_and_no_storage_gives() -> None:
    rig = Rig(storage=[BATTERY | {"bus": "12"}])
    tripped = rig.one("branch_available", "12-11", 0) * rig.one("branch_available", "12-13", 0)
    outputs = rig.step(0, {"bus 12": {"load_shed_MW": 8}, "storage big": {"storage_MW": 3}}, branch_available=tripped)
    assert outputs["unserved_load"] == pytest.approx(8.53)  # all of it: nothing is shed there
    assert outputs["load_shed"] == 0  # and nothing of what is dead is shed
    assert outputs["storage"] == 0
    assert outputs["storage_shortfall"] == 3
    assert rig.step(1, branch_available=tripped)["storage_energy"] == 200
    assert outputs["load"].real == pytest.approx(6254.23 - 8.53)


def test_repeated_solves_change_nothing() -> None:
    """Probing other inputs and repeating before each commit gives the same bits as a straight run."""
    straight, probing = (Rig(feeder_buses=("15",), storage=[BATTERY]) for _ in range(2))
    for minute in range(6):
        orders = {"bus 16": {"load_shed_MW": 40 - 8 * minute}, "storage big": {"storage_MW": 10 * minute}}
        messages = {"30": 250 + 10 * minute} | orders if minute % 2 else {}
        values = {"feeder_load": np.full((1, 3), 100 + minute + 30j), "load_scale": np.array(1 + 0.01 * minute)}
        expected = straight.step(minute, messages, **values)
        probing.solve(minute, messages, **values | {"feeder_load": np.full((1, 3), 90 + 0j)})
        tripped = probing.one("branch_available", "16-17", 0)
        probing.solve(minute, {}, **values | {"branch_available": tripped})
        first = probing.solve(minute, messages, **values)
        again = probing.step(minute, {}, **values)  # a message counts for all solves of its time
        for name, value in expected.items():
            assert value.tobytes() == first[name].tobytes() == again[name].tobytes()


def test_a_setpoint_that_was_never_committed_is_forgotten_only_with_its_time() -> None:
    rig = Rig(slack="reference", ramp=100)
    generator = rig.ports["generation"].coordinates["generator"].index("30")
    rig.step(0)
    rig.solve(1, {"30": 300})
    rig.solve(1, {"30": 310})
    assert rig.step(1)["generation"][generator].real == pytest.approx(310)
    assert rig.step(2)["generation"][generator].real == pytest.approx(310)


@pytest.mark.parametrize(
    ("destination", "payload", "message"),
    [
        ("transmission/99", {"setpoint_MW": 1.0}, "no generator, no bus and no storage of case39"),
        ("transmission", {"setpoint_MW": 1.0}, "no generator, no bus and no storage of case39"),
        ("transmission/30", {"power": 1.0}, "must hold"),
        ("transmission/30", {"setpoint_MW": "full"}, "must hold"),
        ("transmission/30", {"setpoint_MW": True}, "must hold"),
        ("transmission/30", {"setpoint_MW": float("nan")}, "a finite number"),
        ("transmission/30", {"setpoint_MW": 1.0, "load_shed_MW": 1.0}, "must hold"),
        ("transmission/30", {"storage_MW": 1.0}, r'must hold {"setpoint_MW": a finite number}, holds'),
        ("transmission/bus 99", {"load_shed_MW": 1.0}, "case39 has no bus '99'.*39"),
        ("transmission/bus 16", {"setpoint_MW": 1.0}, r"load_shed_MW.*, holds {'setpoint_MW': 1.0}"),
        ("transmission/bus 16", {}, "must hold"),
        ("transmission/bus 16", {"load_shed_MW": -1.0}, "must shed 0 MW or more, asks for -1 MW"),
        ("transmission/bus 16", {"load_shed_MW": "all"}, "must hold"),
        ("transmission/bus 16", {"storage_MW": 1.0}, "must hold"),
        ("transmission/storage big", {"storage_MW": float("inf")}, "a finite number"),
        ("transmission/storage big", {"storage_MW": None}, "a finite number"),
        ("transmission/storage small", {"storage_MW": 1.0}, "no generator, no bus and no storage .*storage big"),
    ],
)
def test_wrong_messages_are_refused(destination: str, payload: dict, message: str) -> None:
    rig = Rig(storage=[BATTERY])
    values = {name: np.full(port.shape, port.initial) for name, port in rig.ports.items() if port.direction == "in"}
    with pytest.raises(ContractError, match=message):
        rig.federate.solve(0, Exchange(values, [Message("dispatch", destination, 0, payload)]))


def test_a_day_of_load_scales_is_solved() -> None:
    rig = Rig()
    for minute, scale in enumerate((1.0, 0.8, 0.6, 0.4, 0.7, 1.0, 1.2, 1.3)):
        voltage = np.abs(rig.step(minute, load_scale=np.array(scale))["voltage"])
        assert voltage.min() > 0.94
        assert voltage.max() < 1.1


def test_reactive_limits_by_choice() -> None:
    free, held = Rig().step(0), Rig(reactive_limits=True).step(0)
    assert free["reactive_excess"] == pytest.approx(1.37, abs=0.02)  # case39's header: bus 37, 1.37 below
    assert held["reactive_excess"] == pytest.approx(0, abs=1e-6)


def test_divergence_is_a_solver_error() -> None:
    rig = Rig()
    with pytest.raises(SolverError, match=r"case39 did not converge .* at bus"):
        rig.step(0, load_scale=np.array(3.0))


@pytest.mark.parametrize(
    ("config", "field", "message"),
    [
        ({"case": "case38"}, "case", "no transmission case 'case38'.*case39"),
        ({"feeder_buses": ("40",)}, "feeder_buses", "no bus '40'"),
        ({"feeder_buses": ("4", "4")}, "feeder_buses", "twice"),
        ({"storage": (BATTERY | {"bus": "40"},)}, "storage.0.bus", "no bus '40'"),
        ({"storage": (BATTERY, BATTERY)}, "storage.1.name", "'big' is there twice"),
    ],
)
def test_wrong_settings_are_refused(config: dict, field: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        Transmission(Transmission.Config(**config), CONTEXT)
    assert error.value.field == field


def test_any_case_by_name() -> None:
    rig = Rig(case="case_ACTIVSg2000", feeder_buses=("1004",))
    outputs = rig.step(0)
    assert outputs["voltage"].shape == (2000,)


def test_construction_loads_no_engine() -> None:
    code = (
        "import sys; from datetime import datetime; from cosim.contract import Context;"
        "from federates.transmission import Transmission;"
        "t = Transmission(Transmission.Config(), Context('t', 1, datetime(2014, 1, 1), 10**12, 10**9)); t.ports();"
        "print([m for m in ('pandas', 'scipy', 'pandapower', 'lightsim2grid') if m in sys.modules]);"
        "t.start(None); print([m for m in ('pandapower',) if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["[]", "[]"]
