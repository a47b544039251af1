"""What stands for a feeder in an event window is held against the feeder of the day, before the window opens."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cosim.federation import FederateSpec, Federation, StandIn
from cosim.scenario import Limits, from_mapping
from cosim.stand_ins import stand_ins
from cosim.wiring import wire

SECOND = 10**9
DAY = np.array([3.0 + 0.6j, 2.0 + 0.4j, 1.0 + 0.2j])  #: [MVA] by phase


def federation() -> Federation:
    opening = StandIn.model_validate({"federate": "oak", "opening": "120 s"})
    own = FederateSpec(name="oak_window", kind="x", settings={}, slot=1, process="main", stands_for=opening)
    day = FederateSpec(name="oak", kind="x", settings={}, slot=1, process="main")
    return Federation.model_validate(
        {
            "scenario": "s",
            "seed": 1,
            "start": "2014-01-16",
            "duration": "180 s",
            "step": "60 s",
            "chunk": "1 h",
            "federates": (day, own),
            "links": (),
            "limits": Limits(),
        }
    )


def check(of_window: Any, times: tuple[int, ...] = (0, 60, 120)) -> Any:
    """What is found where the day's feeder draws `DAY`, and the window's `of_window` at 0, 60 and 120 s."""
    store: Any = {
        "oak": {"time": np.array([0, 60, 120]) * SECOND, "power": np.tile(DAY, (3, 1))},
        "oak_window": {"time": np.array(times) * SECOND, "day_power": np.array(of_window)},
    }
    (found,) = stand_ins(federation(), store)
    return found


def test_the_same_feeder() -> None:
    assert check([DAY, 1.015 * DAY, DAY]).passed


@pytest.mark.parametrize(
    ("other", "share"),
    [
        (1.1 * DAY, 10.0),
        (DAY.real + 0.75j * DAY.imag, 4.9),
        (DAY[::-1], 66.7),
        (DAY / 3, 66.7),
        (-DAY, 200.0),
        (DAY.conj(), 39.2),
    ],
    ids=[
        "larger",
        "a quarter less reactive power",
        "phases swapped",
        "per phase for total",
        "sign",
        "reactive power's sign",
    ],
)
def test_another_feeder(other: Any, share: float) -> None:
    """Shares of the day's apparent power: 2 |3 - 1| / 6 of swapped phases; 2 · 0.2 / √1.04 of the other sign of Q."""
    found = check([DAY, other, DAY])
    assert not found.passed
    assert f"at most {share:.3g} % (limit 2 %), at 1 min" in found.detail


def test_what_the_window_changes_is_no_difference() -> None:
    assert check([DAY, DAY, 0 * DAY]).passed
    assert check([DAY, 0 * DAY, DAY], (0, 61, 120)).passed, "there is no power of the day at 61 s"


def test_the_wiring_says_who_stands_for_whom() -> None:
    scenario: dict[str, Any] = {
        "name": "window",
        "horizon": {"start": "2014-01-16 12:00", "duration": "5 min"},
        "feeders": [{"name": "oak", "model": {"kind": "opendss_feeder", "feeder": "ieee13"}}],
        "event_window": {"at": "2 min", "duration": "1 s", "feeders": [{"name": "oak"}]},
    }
    found = {spec.name: spec.stands_for for spec in wire(from_mapping(scenario)).federates}
    assert found["oak"] is None
    assert found["oak_window"] == StandIn.model_validate({"federate": "oak", "opening": "2 min"})
    scenario["event_window"]["feeders"] = [{"name": "oak", "model": {"der": [{"name": "pv", "count": 9}]}}]
    with_der = wire(from_mapping(scenario))
    assert {spec.name: spec.stands_for for spec in with_der.federates} == found
    (said,) = (entry for entry in with_der.left_out if entry.federate == "oak_window")
    assert "DER of `der` (pv) are not in 'oak' of the day" in said.what


def test_what_was_not_recorded_is_no_agreement() -> None:
    store: Any = {"oak": {"time": np.array([0]), "power": DAY[None]}, "oak_window": {"time": np.array([0])}}
    (found,) = stand_ins(federation(), store)
    assert not found.passed


def test_the_grid_begins_with_what_the_stand_in_draws() -> None:
    """It knows the sun and the day's feeder by then: with all DER at their rating the first step was 30 MVA off."""
    scenario: dict[str, Any] = {
        "name": "window",
        "horizon": {"start": "2014-01-16 17:00", "duration": "5 min"},
        "weather": {"table": "melbourne_2014_01"},
        "transmission": {"case": "case39"},
        "feeders": [{"name": "oak", "bus": 15, "model": {"kind": "opendss_feeder", "regulators": "automatic"}}],
        "event_window": {"at": "2 min", "duration": "1 s", "sources": "sun", "feeders": [{"name": "oak"}]},
    }
    specs = {spec.name: spec for spec in wire(from_mapping(scenario)).federates}
    first, of_sun, of_window = (specs[name].opening for name in ("oak", "window", "oak_window"))
    assert first is not None
    assert of_sun is not None
    assert of_window is not None
    assert max(first, of_sun) < of_window < specs["transmission"].slot
