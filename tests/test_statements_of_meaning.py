"""What a federate states of its ports: refused where it cannot hold, held with the allowances that are stated."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cosim.balance import balance_faults
from cosim.contract import Balance, Port, Term
from cosim.federation import Federation, OrderSpec, PortReference
from cosim.needs import needs_faults
from cosim.obedience import check_orders
from cosim.scenario import from_mapping
from cosim.stored_arrays import DIMENSIONS, arrays, create_group, write_array
from cosim.verdict import Verdict
from cosim.wiring import wire
from tests.conftest import MODELS, End
from tests.test_defects_of_meaning import AFTERNOON

MINUTE = 60 * 10**9
PHASE = {"phase": ("A", "B", "C")}
PORTS = (
    Port("voltage", "pu", "in", "", initial=1.0),
    Port("available", "1", "in", "", {"device": ("x", "y"), **PHASE}, initial=1.0),
    Port("power", "MVA", "out", "", PHASE, is_complex=True),
    Port("load", "kW", "out", ""),
    Port("pair", "kW", "out", "", {"two": ("1", "2")}),
    Port("temperature", "degC", "out", ""),
)
SOUND = Balance("sound", "MW", (Term("power", total=True), Term("load", -1.0)), (0.0, 0.0), where=("voltage", 0.9, 1.1))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"terms": (Term("available"),)}, "must begin with an output"),
        ({"terms": (Term("power"), Term("temperature"))}, "names 'temperature', which is no power"),
        ({"terms": (Term("power"), Term("nothing"))}, "names 'nothing'"),
        ({"terms": (Term("power"), Term("pair"))}, "different lengths"),
        ({"unit": "kWh"}, "is in kWh, which is no power"),
        ({"where": ("nothing", 0.0, 1.0)}, "names 'nothing'"),
    ],
)
def test_a_balance_that_cannot_hold_is_refused(change: Mapping[str, Any], problem: str) -> None:
    assert list(balance_faults(PORTS, [SOUND])) == []
    (found,) = balance_faults(PORTS, [replace(SOUND, **change)])
    assert problem in found


@pytest.mark.parametrize(
    ("needs", "problem"),
    [
        ("voltage", None),
        ("available[x]", None),
        ("available", "which is of another length"),
        ("available[z]", "which is no input"),
        ("load", "which is no input"),
    ],
)
def test_a_need_that_is_no_input_is_refused(needs: str, problem: str | None) -> None:
    ports = [port if port.name != "power" else replace(port, needs=(needs,)) for port in PORTS]
    found = list(needs_faults(ports))
    assert found == [] if problem is None else problem in found[0]


# ------------------------------------------------------------------ orders

#: Orders each 5 minutes; the receiver steps each minute and gets them a minute later.
SENT = np.array([[100.0], [120.0], [90.0], [130.0]])
HELD = np.repeat(np.array([0.0, 100.0, 120.0, 90.0, 130.0]), [1, 5, 5, 5, 4])[:, None]


def obeyed(folder: Path, held: np.ndarray, lost: Sequence[int] = (), waiting: Sequence[int] = ()) -> Any:
    """The check of orders to one unit; at the minutes `lost` a message is lost, at `waiting` one is under way."""
    minutes = np.arange(20, dtype=np.int64)
    flight = np.isin(minutes % 5, [0]) | np.isin(minutes, waiting)
    groups = {
        "grid": {"time": minutes * MINUTE, "order": held},
        "operator": {"time": minutes[::5] * MINUTE, "setpoint": SENT},
        "network": {
            "time": minutes * MINUTE,
            "in_flight": flight.astype(float)[:, None],
            "dropped": np.cumsum(np.isin(minutes, lost)).astype(float)[:, None],
        },
    }
    for name, values in groups.items():
        create_group(folder / name)
        write_array(folder / name / "unit", np.array(["30"]), {DIMENSIONS: ["unit"]})
        for key, array in values.items():
            dimensions = ["time", "unit"][: array.ndim]
            write_array(folder / name / key, array, {"units": "MW", DIMENSIONS: dimensions})

    class Orders:
        orders = (OrderSpec(obeying=_port("grid.order"), ordered=_port("operator.setpoint")),)
        carrier = "network"

    federation: Federation = Orders()  # type: ignore[assignment]  # all that the check asks of it
    (check,) = check_orders(federation, {name: arrays(folder / name) for name in groups})
    return check


def _port(text: str) -> PortReference:
    return PortReference.parse(text)


def _kept(until: int) -> np.ndarray:
    """The second order held up to a minute, though newer ones came."""
    held = HELD.copy()
    held[11:until] = 120.0
    return held


def test_orders_that_come_a_step_later_are_obeyed(tmp_path: Path) -> None:
    assert obeyed(tmp_path, HELD).passed


def test_an_order_that_was_never_given_is_found(tmp_path: Path) -> None:
    held = HELD.copy()
    held[7] = 130.0  # given only at 15 minutes
    check = obeyed(tmp_path, held)
    assert not check.passed
    assert check.detail == "130 MW at unit 30 was never ordered, first at 7 min; so in 1 of 20 steps"


def test_a_stale_order_is_found_once_the_newer_has_surely_come(tmp_path: Path) -> None:
    assert obeyed(tmp_path / "a", _kept(12)).passed  # it may have come late within the step
    check = obeyed(tmp_path / "b", _kept(16))
    assert not check.passed
    assert "120 MW at unit 30 is no longer ordered, first at 12 min" in check.detail


@pytest.mark.parametrize("fate", [{"lost": [11]}, {"waiting": [11, 12, 13, 14]}])
def test_what_the_network_lost_or_holds_may_be_missing(fate: Mapping[str, Any], tmp_path: Path) -> None:
    assert obeyed(tmp_path, _kept(16), **fate).passed


def test_an_operator_is_held_to_its_orders_only_where_nobody_else_may_give_any() -> None:
    assert [str(order.ordered) for order in wire(from_mapping(AFTERNOON)).orders] == [
        "dispatch.setpoint",
        "dispatch.storage_power",
    ]
    stranger = {"name": "stranger", "model": {"kind": "talker.py", "to": "transmission"}}
    assert wire(from_mapping(AFTERNOON | {"federates": [stranger]}, MODELS)).orders == ()


# ------------------------------------------------------------------ whole runs


def only(verdict: Verdict) -> str:
    (failed,) = verdict.failed
    return failed.text


def test_a_run_with_a_model_that_contradicts_itself_is_not_trusted(run_to_end: Callable[..., End]) -> None:
    """A feeder of the user's own in processes of its own: it says that its phases are its load, and they are not."""
    end = run_to_end(
        {
            "name": "torn",
            "horizon": {"start": "2014-01-16 00:00", "duration": "10 min"},
            "federates": [{"name": "oak", "model": {"kind": "torn_feeder.py"}}],
        }
    )
    assert not end.run.trustworthy
    assert only(end.run.verdict) == (
        "phases of oak: power 3 + load -0.003 MW leave 2.997 MW at 0 s (possible: 0 to 0 MW), outside in 10 of 10 "
        "steps. What was recorded contradicts itself: do not use the results."
    )


@pytest.mark.long
def test_a_feeder_in_gridlabd_with_another_clock_is_found(run_to_end: Callable[..., End], tmp_path: Path) -> None:
    """GridLAB-D's sun is that of a clock eight hours off, which the PV and its balances do not show."""
    homes = {"count": 6, "pv_share": 1.0}
    scenario: dict[str, Any] = {
        "name": "clock",
        "horizon": {"start": "2014-01-16 15:00", "duration": "1 h", "step": "5 min"},
        "weather": {"table": "melbourne_2014_01"},
        "feeders": [{"name": "oak", "model": {"kind": "gridlabd_feeder", "feeder": "ieee13", "homes": homes}}],
    }
    assert run_to_end(scenario, tmp_path / "sound").run.trustworthy
    scenario["feeders"][0]["model"]["kind"] = "wrong_clock.py"
    text = only(run_to_end(scenario, tmp_path / "wrong").run.verdict)
    assert text.startswith("sun in sun elevation of oak: ")
    assert "deg high at 37.81 S, 144.97 E, UTC+10" in text
