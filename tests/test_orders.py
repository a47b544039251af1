"""Orders do not outlive outages: each row of the table in docs/orders.md, at the federate that obeys."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from test_transmission_federate import BATTERY, MIN, Rig

import cosim
from benchmarks.plain_loop import run_plain
from cosim.contract import Message
from cosim.held_orders import HeldOrders
from cosim.metering import Request, requested
from cosim.scenario import from_mapping

RAMP = 13.04  #: [MW/min] 2 % of unit 33's 652 MW


def order(agent: str, sent: int, **payload: float) -> Message:
    return Message("dispatch", f"transmission/{agent}", sent * MIN, payload)


def unit_33(rig: Rig) -> int:
    return list(rig.ports["generation"].coordinates["generator"]).index("33")


def cut_off(rig: Rig) -> np.ndarray:
    """Bus 12 is dead."""
    return rig.one("branch_available", "12-11", 0) * rig.one("branch_available", "12-13", 0)


def test_the_newest_order_counts_whenever_it_comes() -> None:
    held = HeldOrders.none(2)
    held.take(0, 5.0, 3)
    held.take(0, 7.0, 2)
    assert held.amount[0] == 5.0
    held.take(0, 8.0, 3)
    assert held.amount[0] == 8.0
    held.end(np.array([True, True]), 4)
    held.take(0, 9.0, 4)  # sent as it went out
    held.take(1, 9.0, 4)
    assert held.void.tolist() == [True, False]
    assert np.isnan(held.amount[1])
    held.take(0, 6.0, 5)
    assert (held.amount[0], held.void[0]) == (6.0, False)


@pytest.mark.parametrize(
    ("agent", "payload", "output"),
    [
        ("33", "setpoint_MW", "generation"),
        ("bus 16", "load_shed_MW", "load_shed"),
        ("storage big", "storage_MW", "storage"),
    ],
)
def test_an_order_that_comes_late_overrides_no_newer_one(agent: str, payload: str, output: str) -> None:
    rig = Rig(storage=[BATTERY], slack="reference", ramp=100)
    rig.step(0)
    first = rig.step(2, late=[order(agent, 1, **{payload: 40.0})])
    second = rig.step(3, late=[order(agent, 0, **{payload: 20.0})])
    at = (unit_33(rig),) if output == "generation" else ()
    assert np.real(first[output][at]) == pytest.approx(40.0)
    assert np.real(second[output][at]) == pytest.approx(40.0)


def test_a_unit_that_was_out_waits_for_an_order_and_climbs_from_zero() -> None:
    rig = Rig(slack="reference")
    unit = unit_33(rig)
    rig.step(0, {"33": 446.0})
    out = {"generator_available": rig.one("generator_available", "33", 0.0)}
    assert rig.step(1, **out)["setpoint_shortfall"][unit] == pytest.approx(446.0)
    rig.step(2, late=[order("33", 1, setpoint_MW=446.0)], **out)  # sent as it was lost
    back = rig.step(3)
    assert back["generation"][unit] == 0
    assert back["setpoint_shortfall"][unit] == pytest.approx(446.0)
    given = [rig.step(minute, {"33": 65.2} if minute == 4 else {})["generation"][unit].real for minute in range(4, 9)]
    assert given == pytest.approx([RAMP, 2 * RAMP, 3 * RAMP, 4 * RAMP, 65.2], abs=0.1)


def test_a_unit_that_was_never_ordered_climbs_to_the_dispatch_of_the_case() -> None:
    rig = Rig()
    unit = unit_33(rig)
    rig.step(0)
    rig.step(1, generator_available=rig.one("generator_available", "33", 0.0))
    assert [rig.step(minute)["generation"][unit].real for minute in (2, 3)] == pytest.approx([RAMP, 2 * RAMP])


def test_a_lost_link_leaves_the_last_setpoint() -> None:
    rig = Rig(slack="reference")
    rig.step(0, {"33": 446.0})
    assert rig.step(60)["generation"][unit_33(rig)].real == pytest.approx(446.0)


def test_shedding_holds_through_an_outage_of_its_bus() -> None:
    rig = Rig()
    shed = [
        rig.step(minute, {"bus 12": {"load_shed_MW": 5.0}} if not minute else {}, **changed)["load_shed"]
        for minute, changed in enumerate(({}, {"branch_available": cut_off(rig)}, {}))
    ]
    assert np.array(shed) == pytest.approx([5.0, 0.0, 5.0])


def test_a_storage_is_idle_after_its_bus_was_dead_until_it_is_ordered_anew() -> None:
    rig = Rig(storage=[BATTERY | {"bus": "12"}])
    rig.step(0, {"storage big": {"storage_MW": 5.0}})
    dead = rig.step(1, branch_available=cut_off(rig))
    assert (float(dead["storage"]), float(dead["storage_shortfall"][0])) == (0.0, 5.0)
    back = rig.step(2)
    assert float(back["storage"]) == 0.0
    assert back["storage_energy"] == pytest.approx(dead["storage_energy"])
    assert float(rig.step(3, {"storage big": {"storage_MW": 4.0}})["storage"]) == 4.0


def test_a_request_of_demand_response_runs_out_and_a_late_one_overrides_none() -> None:
    def request(sent: int, offset: float, until: float) -> Message:
        return Message("dispatch", "oak", sent * MIN, {"thermostat_offset_degC": offset, "until_s": until})

    held = requested(Request(), [request(2, 2.0, 600.0), request(1, 3.0, 900.0)])
    assert [held.at(time * MIN) for time in (5, 10, 12)] == [2.0, 0.0, 0.0]
    assert requested(held, [request(3, 0.0, 600.0)]).at(5 * MIN) == 0.0


def test_telemetry_tells_what_is_out_and_what_was_done() -> None:
    rig = Rig(storage=[BATTERY], telemetry_to="operator", telemetry_interval="2 min")
    rig.step(0, {"33": 446.0, "bus 16": {"load_shed_MW": 50.0}, "storage big": {"storage_MW": 60.0}})
    rig.step(1)
    assert rig.told == []
    gone = {"generator_available": rig.one("generator_available", "33", 0.0)}
    outputs = rig.step(2, branch_available=rig.one("branch_available", "16-17", 0.0), **gone)
    (told,) = rig.told
    assert told.destination == "operator"
    payload: Any = told.payload
    assert (payload["time_s"], payload["generators_out"], payload["branches_out"]) == (120.0, ["33"], ["16-17"])
    assert (payload["shedding"], payload["shed_MW"], payload["storage_MW"]) == (["16"], [50.0], [60.0])
    assert payload["storage_MWh"] == pytest.approx([200 - 2 / 0.9], abs=1e-5)
    assert payload["generation_MW"] == pytest.approx(outputs["generation"].real, abs=1e-5)
    assert payload["load_MW"] == pytest.approx(outputs["load"].real + 50.0)


@pytest.mark.parametrize(("interval", "time", "lasting"), [("5 min", 10, 10), ("15 min", 10, 18)])
def test_a_tripped_unit_returns_by_what_the_dispatch_orders_since(
    tmp_path: Any, interval: str, time: int, lasting: int
) -> None:
    """A unit of 652 MW without a ramp in its case: 65.2 MW in the first 5 minutes, and 65.2 MW more in each 5.

    Reduced from a case in which it took up its set-point of 446 MW at once.
    """
    scenario = {
        "name": "returns",
        "horizon": {"start": "2014-01-16 14:00", "duration": "46 min", "step": "60 s"},
        "demand": {"table": None, "scale": 0.8},
        "transmission": {"case": "case39"},
        "dispatch": {"interval": interval, "lookahead": "1 h"},
        "perturbations": [
            {"kind": "GeneratorTrip", "generator": "33", "time": f"{time} min", "lasting": f"{lasting} min"}
        ],
    }
    kept, _ = run_plain(cosim.wire(from_mapping(scenario, tmp_path)), keep=True)
    unit = unit_33(Rig())
    given = np.array([step["generation"][unit].real for step in kept["transmission"]])
    ordered = np.array([step["setpoint"][unit] for step in kept["dispatch"]])
    every = int(interval.split()[0])
    back = time + lasting
    told = -(-(back + 1) // every) * every  # the first dispatch that has heard of the return
    assert given[time : told + 1] == pytest.approx(0.0, abs=1e-9)
    assert given[told + 1] == pytest.approx(RAMP, abs=0.1)
    first = ordered[told // every]
    assert first == pytest.approx(every * RAMP, abs=0.1)
    climbing = given[told + 1 : told + 1 + every]
    assert np.diff(climbing) == pytest.approx(RAMP, abs=0.1)
    assert climbing[-1] == pytest.approx(first, abs=6.0)  # at its order it shares the slack again
