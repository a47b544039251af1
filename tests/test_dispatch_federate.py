"""The dispatch federate: what it knows of the load, what it says to generators and feeders."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from cosim.contract import Array, Context, Exchange, Message
from cosim.errors import ConfigError, ContractError, SolverError
from federates.dispatch import Dispatch

MIN, H = 60 * 10**9, 3600 * 10**9
STEPS = 48  # leads of 5 min in 4 h

# three buses in a line; the cheap unit at 1, the dear one at 3, the line 2-3 carries 60 MW
CASE = """function mpc = small
mpc.version = '2';
mpc.baseMVA = 100;
mpc.bus = [
 1 3 0   0 0 0 1 1 0 230 1 1.1 0.9;
 2 1 100 0 0 0 1 1 0 230 1 1.1 0.9;
 3 1 50  0 0 0 1 1 0 230 1 1.1 0.9;
];
mpc.gen = [
 1 0 0 300 -300 1 100 1 300 0;
 3 0 0 300 -300 1 100 1 200 {p_min};
 3 0 0 300 -300 1 100 0 200 0;
];
mpc.branch = [
 1 2 0.01 0.1 0 0  0 0 0 0 1 -360 360;
 2 3 0.01 0.1 0 60 0 0 0 0 {line} -360 360;
];
mpc.gencost = [
 2 0 0 2 20 0;
 2 0 0 2 80 0;
 2 0 0 2 1 0;
];
"""


def case_file(folder: Path, p_min: float = 0.0, line: int = 1) -> str:
    path = folder / "small.m"
    path.write_text(CASE.format(p_min=p_min, line=line))
    return str(path)


def federate(folder: Path, case: str | None = None, **settings: Any) -> Dispatch:
    config = Dispatch.Config.model_validate(
        {"case": case or case_file(folder), "setpoints_to": "grid", "ramp": 100.0} | settings
    )
    return Dispatch(config, Context("operator", 1, datetime(2014, 1, 14), 24 * H, MIN))


def inputs(dispatch: Dispatch, *messages: Message, **values: Any) -> Exchange:
    """Every input at its initial value, or as given."""
    ports = [port for port in dispatch.ports() if port.direction == "in"]
    return Exchange(
        {port.name: np.broadcast_to(np.asarray(values.get(port.name, port.initial)), port.shape) for port in ports},
        messages,
    )


def run(dispatch: Dispatch, time: int, exchange: Exchange) -> Exchange:
    out = dispatch.solve(time, exchange)
    dispatch.commit(time)
    return out


def reading(source: str, time: int, power: float) -> Message:
    return Message(source, "operator", time, {"power_MW": power, "time_s": time / 1e9})


def telemetry(dispatch: Dispatch, time: int, **told: Any) -> Message:
    """What the grid tells: all in service, at the dispatch's last set-points, no losses, but for what is `told`."""
    units, storages = len(dispatch._case.generators), dispatch.config.storage
    payload = {
        "time_s": time / 1e9,
        "generation_MW": np.where(
            np.isnan(dispatch._previous), [150.0, *[0.0] * (units - 1)], dispatch._previous
        ).tolist(),
        "generators_out": [],
        "branches_out": [],
        "losses_MW": 0.0,
        "load_MW": 150.0,
        "shedding": [],
        "shed_MW": [],
        "storage_MW": [0.0] * len(storages),
        "storage_MWh": dispatch._stored.tolist(),
    }
    return Message("grid", "operator", time, payload | told)


def total(out: Exchange) -> float:
    return float(out.values["planned_load"].real)


def real(values: Array) -> list[float]:
    return [round(float(value), 6) for value in np.atleast_1d(values.real)]


FEEDERS = [{"name": "north", "bus": "2", "multiplier": 10.0}, {"name": "south", "bus": "2", "multiplier": 5.0}]


def test_every_output_has_its_ports_shape_and_the_balance_holds(tmp_path: Path) -> None:
    storage = [{"name": "battery", "bus": 3, "power": 10, "energy": "20 MWh", "initial": 10}]
    dispatch = federate(tmp_path, storage=storage)
    dispatch.start(tmp_path)
    out = run(dispatch, 0, inputs(dispatch))
    expected = {port.name: port.shape for port in dispatch.ports() if port.direction == "out"}
    assert {name: np.shape(value) for name, value in out.values.items()} == expected
    (balance,) = (port for port in dispatch.ports() if port.limit is not None)
    assert abs(float(out.values[balance.name].real)) < 1e-9
    assert real(out.values["setpoint"]) == [150.0, 0.0, 0.0]
    assert real(out.values["lmp"]) == [20.0, 20.0, 20.0]
    assert real(out.values["cost"]) == [3000.0]
    dispatch.close()


def test_setpoints_go_to_the_generators_in_service_once_an_interval(tmp_path: Path) -> None:
    dispatch = federate(tmp_path)
    dispatch.start(tmp_path)
    out = run(dispatch, 0, inputs(dispatch))
    assert [(m.source, m.destination, m.sent) for m in out.messages] == [
        ("operator", "grid/1", 0),
        ("operator", "grid/3-1", 0),
    ]
    assert [m.payload["setpoint_MW"] for m in out.messages] == pytest.approx([150.0, 0.0])
    assert [dispatch.next_time(time) for time in (-1, 0, MIN, 5 * MIN)] == [0, 5 * MIN, 5 * MIN, 10 * MIN]


def test_a_tripped_generator_stops_and_gets_no_message(tmp_path: Path) -> None:
    dispatch = federate(tmp_path, line_limit_factor=2.0)
    dispatch.start(tmp_path)
    run(dispatch, 0, inputs(dispatch))
    told = telemetry(dispatch, 4 * MIN, generators_out=["1"], generation_MW=[0.0, 0.0, 0.0])
    out = run(dispatch, 5 * MIN, inputs(dispatch, told))
    assert real(out.values["setpoint"]) == [0.0, 150.0, 0.0]
    assert [message.destination for message in out.messages] == ["grid/3-1"]
    assert real(out.values["lmp"]) == [80.0, 80.0, 80.0]


def test_a_tripped_branch_splits_prices_and_sheds_what_it_cuts_off(tmp_path: Path) -> None:
    dispatch = federate(tmp_path)
    dispatch.start(tmp_path)
    out = run(dispatch, 0, inputs(dispatch, telemetry(dispatch, 0, branches_out=["2-3"])))
    assert real(out.values["load_shed"]) == [0.0, 0.0, 50.0]
    assert real(out.values["setpoint"]) == [100.0, 0.0, 0.0]


def test_load_follows_the_scale_and_losses_are_added(tmp_path: Path) -> None:
    dispatch = federate(tmp_path, load_multiplier=2.0)
    dispatch.start(tmp_path)
    told = telemetry(dispatch, 0, losses_MW=6.0)
    out = run(dispatch, 0, inputs(dispatch, told, load_scale=0.5, load_scale_forecast=np.full(STEPS, 0.5)))
    assert total(out) == pytest.approx(156.0)


def test_the_interval_is_dispatched_for_its_mean_load(tmp_path: Path) -> None:
    dispatch = federate(tmp_path)
    dispatch.start(tmp_path)
    rising = 1.0 + 0.1 * np.arange(1, STEPS + 1)
    assert total(run(dispatch, 0, inputs(dispatch, load_scale_forecast=rising))) == pytest.approx(150 * 1.05)
    assert total(run(dispatch, 5 * MIN, inputs(dispatch, load_scale=1.2))) == pytest.approx(150 * 1.2)  # no forecast


def test_the_line_limit_factor_narrows_the_lines(tmp_path: Path) -> None:
    dispatch = federate(tmp_path, line_limit_factor=0.5)
    dispatch.start(tmp_path)
    out = run(dispatch, 0, inputs(dispatch))
    assert real(out.values["setpoint"])[:2] == pytest.approx([130.0, 20.0])
    assert real(out.values["lmp"]) == pytest.approx([20.0, 20.0, 80.0])


def test_readings_replace_the_cases_load_once_all_feeders_of_a_bus_reported(tmp_path: Path) -> None:
    dispatch = federate(tmp_path, feeders=FEEDERS)
    dispatch.start(tmp_path)
    assert total(run(dispatch, 0, inputs(dispatch))) == pytest.approx(150.0)
    assert total(run(dispatch, 5 * MIN, inputs(dispatch, reading("north", 5 * MIN, 4.0)))) == pytest.approx(150.0)
    out = run(dispatch, 10 * MIN, inputs(dispatch, reading("south/meter", 10 * MIN, 2.0)))
    assert total(out) == pytest.approx(50.0 + 10 * 4.0 + 5 * 2.0)


def test_a_reading_is_shaped_by_the_forecast(tmp_path: Path) -> None:
    dispatch = federate(tmp_path, feeders=FEEDERS[:1])
    dispatch.start(tmp_path)
    run(dispatch, 0, inputs(dispatch, load_scale=0.5))
    # read at 0 when the scale was 0.5, delivered at 5 min when it is 1: twice the reading
    out = run(dispatch, 5 * MIN, inputs(dispatch, reading("north", 0, 3.0), load_scale=1.0))
    assert total(out) == pytest.approx(50.0 + 2 * 30.0)


def test_an_older_reading_that_comes_late_changes_nothing(tmp_path: Path) -> None:
    dispatch = federate(tmp_path, feeders=FEEDERS[:1])
    dispatch.start(tmp_path)
    run(dispatch, 0, inputs(dispatch, reading("north", 0, 4.0)))
    out = run(dispatch, 5 * MIN, inputs(dispatch, reading("north", 4 * MIN, 5.0), reading("north", 2 * MIN, 9.0)))
    assert total(out) == pytest.approx(100.0)


def test_messages_that_are_no_reading_are_refused(tmp_path: Path) -> None:
    dispatch = federate(tmp_path, feeders=FEEDERS[:1])
    dispatch.start(tmp_path)
    with pytest.raises(ContractError, match=r"meter readings .* from north; got .* from 'west'"):
        dispatch.solve(0, inputs(dispatch, reading("west", 0, 1.0)))
    with pytest.raises(ContractError, match="power_MW and time_s"):
        dispatch.solve(0, inputs(dispatch, Message("north", "operator", 0, {"power": 1.0})))


def test_demand_response_is_asked_where_it_is_dear_and_not_again_while_it_holds(tmp_path: Path) -> None:
    feeders = [{"name": "cheap", "bus": "2"}, {"name": "dear", "bus": "3"}]
    response = {"price_threshold": 50.0, "offset": 1.5, "duration": "10 min"}
    dispatch = federate(tmp_path, feeders=feeders, demand_response=response)
    dispatch.start(tmp_path)

    def requests(time: int, scale: float) -> list[tuple[str, Any]]:
        out = run(dispatch, time, inputs(dispatch, load_scale=scale))
        return [(m.destination, dict(m.payload)) for m in out.messages if "setpoint_MW" not in m.payload]

    assert requests(0, 1.0) == []
    # 75 MW at bus 3, 60 MW over the line: 80 $/MWh there
    assert requests(5 * MIN, 1.5) == [("dear", {"thermostat_offset_degC": 1.5, "until_s": 900.0})]
    assert requests(10 * MIN, 1.5) == []
    assert requests(15 * MIN, 1.5) == [("dear", {"thermostat_offset_degC": 1.5, "until_s": 1500.0})]


def test_demand_response_asks_named_feeders_and_where_load_is_shed(tmp_path: Path) -> None:
    feeders = [{"name": "one", "bus": "3"}, {"name": "two", "bus": "3"}]
    response = {"price_threshold": 1e6, "feeders": ["two"]}
    dispatch = federate(tmp_path, feeders=feeders, demand_response=response)
    dispatch.start(tmp_path)
    out = run(dispatch, 0, inputs(dispatch, load_scale=6.0))
    assert real(out.values["load_shed"])[2] > 0.0
    assert [m.destination for m in out.messages if "until_s" in m.payload] == ["two"]


def test_stored_energy_rolls_from_interval_to_interval(tmp_path: Path) -> None:
    # charge at 20 $/MWh now for the 80 $/MWh that comes when line 2-3 binds
    storage = [{"name": "battery", "bus": "3", "power": 12, "energy": 20, "initial": 5, "efficiency": 0.81}]
    dispatch = federate(tmp_path, storage=storage, lookahead="10 min")
    dispatch.start(tmp_path)
    first = run(dispatch, 0, inputs(dispatch, load_scale=0.5, load_scale_forecast=[0.5, 3.0]))
    assert real(first.values["storage_level"]) == [25.0]
    power = real(first.values["storage_power"])[0]
    assert power < -1.0
    second = run(dispatch, 5 * MIN, inputs(dispatch, load_scale=3.0, load_scale_forecast=[3.0, 3.0]))
    assert real(second.values["storage_level"])[0] == pytest.approx(5 * (5.0 - power * 0.9 / 12))


def test_stored_energy_is_what_the_grid_tells_and_what_flowed_since(tmp_path: Path) -> None:
    # told at minute 4: 6 MWh and giving 9 MW; by minute 5 that took 9 / 60 / 0.9 MWh, whatever was planned
    storage = [{"name": "battery", "bus": "3", "power": 12, "energy": 20, "initial": 5, "efficiency": 0.81}]
    dispatch = federate(tmp_path, storage=storage, lookahead="10 min")
    dispatch.start(tmp_path)
    run(dispatch, 0, inputs(dispatch))
    told = telemetry(dispatch, 4 * MIN, storage_MWh=[6.0], storage_MW=[9.0])
    out = run(dispatch, 5 * MIN, inputs(dispatch, told))
    assert real(out.values["storage_level"]) == [pytest.approx(5 * (6.0 - 9 / 60 / 0.9), abs=1e-6)]


def test_a_storage_that_fell_behind_its_plan_comes_as_near_its_target_as_it_can(tmp_path: Path) -> None:
    storage = [{"name": "battery", "bus": "3", "power": 12, "energy": 20, "initial": 10}]
    dispatch = federate(tmp_path, storage=storage, lookahead="10 min")
    dispatch.start(tmp_path)
    run(dispatch, 0, inputs(dispatch))
    out = run(dispatch, 5 * MIN, inputs(dispatch, telemetry(dispatch, 4 * MIN, storage_MWh=[1.0])))
    assert real(out.values["storage_power"]) == [-12.0]


def test_units_are_where_they_are_told_and_on_their_way_since(tmp_path: Path) -> None:
    # ramp 1 % of 300 MW a minute; told at minute 4 to stand at 60 MW instead of the 100 MW ordered: 63 MW by minute 5
    dispatch = federate(tmp_path, ramp=1.0, line_limit_factor=2.0)
    dispatch.start(tmp_path)
    run(dispatch, 0, inputs(dispatch, load_scale=2 / 3))
    told = telemetry(dispatch, 4 * MIN, generation_MW=[60.0, 0.0, 0.0])
    out = run(dispatch, 5 * MIN, inputs(dispatch, told, load_scale=2 / 3))
    assert real(out.values["setpoint"])[0] == pytest.approx(63.0 + 15.0)


def test_a_forecast_is_held_against_what_came(tmp_path: Path) -> None:
    dispatch = federate(tmp_path)
    dispatch.start(tmp_path)
    assert real(run(dispatch, 0, inputs(dispatch)).values["forecast_error"]) == [0.0]
    told = telemetry(dispatch, 4 * MIN, load_MW=120.0, losses_MW=5.0)  # 150 MW were planned
    assert real(run(dispatch, 5 * MIN, inputs(dispatch, told)).values["forecast_error"]) == [20.0]


def test_older_telemetry_that_comes_late_changes_nothing(tmp_path: Path) -> None:
    dispatch = federate(tmp_path, line_limit_factor=2.0)
    dispatch.start(tmp_path)
    new, old = telemetry(dispatch, 4 * MIN), telemetry(dispatch, 3 * MIN, generators_out=["1"])
    out = run(dispatch, 5 * MIN, inputs(dispatch, new, old))
    assert real(out.values["setpoint"]) == [150.0, 0.0, 0.0]


def test_telemetry_of_another_grid_is_refused(tmp_path: Path) -> None:
    dispatch = federate(tmp_path)
    dispatch.start(tmp_path)
    with pytest.raises(ContractError, match=r"no telemetry of small \(1 of 3 finite numbers\)"):
        dispatch.solve(0, inputs(dispatch, telemetry(dispatch, 0, generation_MW=[1.0])))


def orders(out: Exchange, key: str) -> list[tuple[str, float]]:
    """Destination and amount of the messages that hold `key`."""
    return [(m.destination, round(m.payload[key], 6)) for m in out.messages if key in m.payload]


def test_shedding_is_ordered_at_its_buses_and_ended_once(tmp_path: Path) -> None:
    dispatch = federate(tmp_path)
    dispatch.start(tmp_path)
    said = []
    for step, (scale, cut, shedding) in enumerate(
        ((1.0, [], []), (1.0, ["2-3"], []), (0.8, ["2-3"], ["3"]), (1.0, [], ["3"]), (1.0, [], ["3"]), (1.0, [], []))
    ):
        told = telemetry(dispatch, 5 * step * MIN, branches_out=cut, shedding=shedding)
        said.append(orders(run(dispatch, 5 * step * MIN, inputs(dispatch, told, load_scale=scale)), "load_shed_MW"))
    # without line 2-3, bus 3 is cut off with 50 MW times the scale; the end is repeated while shedding is told
    ended = [("grid/bus 3", 0.0)]
    assert said == [[], [("grid/bus 3", 50.0)], [("grid/bus 3", 40.0)], ended, ended, []]


def test_an_end_of_shedding_that_was_not_committed_is_said_again(tmp_path: Path) -> None:
    dispatch = federate(tmp_path)
    dispatch.start(tmp_path)
    run(dispatch, 0, inputs(dispatch, telemetry(dispatch, 0, branches_out=["2-3"])))
    whole = telemetry(dispatch, 4 * MIN)
    for _ in range(2):
        assert orders(dispatch.solve(5 * MIN, inputs(dispatch, whole)), "load_shed_MW") == [("grid/bus 3", 0.0)]
    dispatch.commit(5 * MIN)
    assert orders(dispatch.solve(10 * MIN, inputs(dispatch)), "load_shed_MW") == []


def test_what_is_shed_stays_in_the_forecast(tmp_path: Path) -> None:
    dispatch = federate(tmp_path)
    dispatch.start(tmp_path)
    for step in range(3):  # 500 MW of generation for 600 MW of load
        out = run(dispatch, 5 * step * MIN, inputs(dispatch, load_scale=4.0))
        assert total(out) == pytest.approx(600.0)
        assert sum(amount for _, amount in orders(out, "load_shed_MW")) == pytest.approx(100.0)


def test_storages_power_goes_to_them_each_interval(tmp_path: Path) -> None:
    # all of 20 MW for 5 min at bus 3, where the line binds and energy is dear; the one at bus 1 has none to give
    storage = [
        {"name": name, "bus": bus, "power": 10, "energy": 20, "initial": initial, "efficiency": 1, "final": 0}
        for name, bus, initial in (("a", 3, 10), ("b", 3, 10), ("c", 1, 0))
    ]
    dispatch = federate(tmp_path, storage=storage, lookahead="5 min")
    dispatch.start(tmp_path)
    for step in range(2):
        out = run(dispatch, 5 * step * MIN, inputs(dispatch, load_scale=2.0))
        expected = [("grid/storage a", 10.0), ("grid/storage b", 10.0), ("grid/storage c", 0.0)]
        assert orders(out, "storage_MW") == expected
        assert real(out.values["storage_power"]) == [10.0, 10.0, 0.0]


def test_generator_costs_can_be_replaced(tmp_path: Path) -> None:
    dispatch = federate(tmp_path, costs=[{"generator": "1", "price": "100 $/MWh"}], line_limit_factor=2.0)
    dispatch.start(tmp_path)
    out = run(dispatch, 0, inputs(dispatch))
    assert real(out.values["setpoint"]) == [0.0, 150.0, 0.0]


def test_an_infeasible_dispatch_says_why_and_what_to_do(tmp_path: Path) -> None:
    dispatch = federate(tmp_path, value_of_lost_load=None)
    dispatch.start(tmp_path)
    with pytest.raises(SolverError, match=r"infeasible because of generation capacity: load 750\.0 .* Add generation"):
        dispatch.solve(0, inputs(dispatch, load_scale=5.0))
    dispatch = federate(tmp_path, case_file(tmp_path, p_min=160.0))
    dispatch.start(tmp_path)
    with pytest.raises(SolverError, match=r"minimum generation.*from 160\.0 to 500\.0 MW"):
        dispatch.solve(0, inputs(dispatch))


def test_a_case_of_two_islands_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SolverError, match="2 islands with load and generation"):
        federate(tmp_path, case_file(tmp_path, line=0)).start(tmp_path)


@pytest.mark.parametrize(
    ("settings", "field", "problem"),
    [
        ({"case": "case38"}, "case", "case39"),
        ({"feeders": [{"name": "a", "bus": "7"}]}, "feeders.0.bus", "'7'"),
        ({"storage": [{"name": "s", "bus": "x", "power": 1, "energy": 1, "initial": 0}]}, "storage.0.bus", "'x'"),
        (
            {"storage": [{"name": "s", "bus": "1", "power": 1, "energy": 1, "initial": 0}] * 2},
            "storage.1.name",
            "'s' is there twice",
        ),
        ({"costs": [{"generator": "9", "price": 1}]}, "costs.0.generator", "no generator '9'"),
        (
            {"demand_response": {"price_threshold": 1, "feeders": ["west"]}},
            "demand_response.feeders.0",
            "no attached feeder 'west'",
        ),
    ],
)
def test_settings_that_do_not_fit_the_case_are_refused(
    tmp_path: Path, settings: dict[str, Any], field: str, problem: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        federate(tmp_path, **settings)
    assert caught.value.field == field
    assert problem in caught.value.problem


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"lookahead": "7 min"}, "lookahead must be a multiple of interval, got 7 min and 5 min"),
        ({"interval": 300}, "has no unit"),
        ({"segments": 0}, "greater than or equal to 1"),
        ({"value_of_lost_load": 0}, "greater than 0"),
        (
            {"storage": [{"name": "s", "bus": "1", "power": 1, "energy": 1, "initial": 2}]},
            "initial must be at most the capacity 1 MWh, got 2 MWh",
        ),
        ({"look_ahead": "4 h"}, "Extra inputs are not permitted"),
    ],
)
def test_settings_that_make_no_sense_are_refused(tmp_path: Path, settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        federate(tmp_path, **settings)


def test_a_case_without_costs_needs_a_price_for_each_generator(tmp_path: Path) -> None:
    path = tmp_path / "free.m"
    path.write_text(CASE.format(p_min=0, line=1).partition("mpc.gencost")[0])
    with pytest.raises(ConfigError, match="none are given for generators 3-1"):
        federate(tmp_path, str(path), costs=[{"generator": "1", "price": 5}])
    prices = [{"generator": "1", "price": 5}, {"generator": "3-1", "price": 6}]
    dispatch = federate(tmp_path, str(path), costs=prices)
    dispatch.start(tmp_path)
    assert real(run(dispatch, 0, inputs(dispatch)).values["lmp"]) == [5.0, 5.0, 5.0]


def test_a_day_is_bit_identical_when_run_again(tmp_path: Path) -> None:
    def day() -> list[bytes]:
        storage = [{"name": "battery", "bus": "16", "power": 100, "energy": 400, "initial": 200}]
        dispatch = federate(
            tmp_path, "case39", feeders=[{"name": "north", "bus": "20", "multiplier": 100}], storage=storage
        )
        dispatch.start(tmp_path)
        answers = []
        for step in range(60):
            scale = 0.8 - 0.2 * np.cos(2 * np.pi * (4 * step + np.arange(STEPS + 1)) / 288)
            messages = [reading("north", 5 * step * MIN, 3.0 + 0.1 * (step % 7))] if step % 3 == 1 else []
            messages += [telemetry(dispatch, 5 * step * MIN, generators_out=[] if step < 30 else ["33"])]
            exchange = inputs(
                dispatch,
                *messages,
                load_scale=scale[0],
                load_scale_forecast=scale[1:],
            )
            out = run(dispatch, 5 * step * MIN, exchange)
            answers += [value.tobytes() for value in out.values.values()]
        return answers

    assert day() == day()


def test_building_and_asking_for_ports_starts_no_engine() -> None:
    code = (
        "import sys; from datetime import datetime; from cosim.contract import Context; "
        "from federates.dispatch import Dispatch; "
        "Dispatch(Dispatch.Config(), Context('d', 1, datetime(2014, 1, 14), 10**9, 10**9)).ports(); "
        "print([name for name in ('pyomo', 'highspy', 'scipy', 'pandas') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
