"""Links join quantities, not lengths: by their labels, each with its meaning, or they are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cosim
from cosim.errors import ScenarioError
from cosim.federation import Federation
from cosim.scenario import from_mapping

MODELS = Path(__file__).parent / "models"


def mapping(given: dict[str, Any], taken: dict[str, Any], *links: dict[str, Any]) -> dict[str, Any]:
    """Two federates of labelled ports, `a` that gives and `b` that takes."""
    ends = {"a": given, "b": taken}
    return {
        "name": "labels",
        "horizon": {"start": "2014-01-16 00:00", "duration": "2 min"},
        "federates": [{"name": name, "model": {"kind": "labelled.py", **own}} for name, own in ends.items()],
        "links": list(links) or [{"source": "a.y", "destination": "b.x"}],
    }


def wired(given: dict[str, Any], taken: dict[str, Any], *links: dict[str, Any]) -> Federation:
    return cosim.wire(from_mapping(mapping(given, taken, *links), MODELS))


def refused(given: dict[str, Any], taken: dict[str, Any], *links: dict[str, Any]) -> str:
    with pytest.raises(ScenarioError) as caught:
        wired(given, taken, *links)
    return str(caught.value)


@pytest.mark.parametrize(
    ("given", "taken", "words"),
    [
        ({}, {"labels": ["c", "b", "a"]}, "in another order. Say `by_label: true`"),
        ({}, {"labels": ["a", "c"]}, "only 2 of its 3. Say `by_label: true`"),
        ({}, {"labels": ["a", "b", "d"]}, "the source has a, b, c, and not d of the destination"),
        ({}, {"dimension": "home"}, "the source is over bus, the destination over home"),
        ({"unit": "MW"}, {"unit": "kW"}, "the source is in MW, the destination in kW"),
        ({"labels": ["1 h", "2 h"]}, {"labels": ["30 min", "1 h"]}, "and not 30 min of the destination"),
    ],
)
def test_other_labels_are_refused(given: dict[str, Any], taken: dict[str, Any], words: str) -> None:
    assert words in refused(given, taken)


def test_times_are_compared_by_value() -> None:
    assert len(wired({"labels": ["60 min", "2 h"]}, {"labels": ["1 h", "120 min"]}).links) == 1


def test_joined_by_label(tmp_path: Path) -> None:
    """What `a` gives at a, b, c, d is 1, 2, 3, 4; so `b` must see 4, 2 and 1 at d, b and a, whatever the order."""
    link = {"source": "a.y", "destination": "b.x", "by_label": True}
    scenario = mapping({"labels": ["a", "b", "c", "d"]}, {"labels": ["d", "b", "a"]}, link)
    run = cosim.run(from_mapping(scenario, MODELS), tmp_path / "run")
    assert run.trustworthy
    assert np.array_equal(run.results["b"]["seen"].values, [[4.0, 2.0, 1.0]] * 2)


def test_joined_by_label_needs_the_labels() -> None:
    link = {"source": "a.y", "destination": "b.x", "by_label": True}
    assert "links[0].by_label" in refused({}, {"labels": ["a", "z"]}, link)
    assert "the source has no bus z" in refused({}, {"labels": ["a", "z"]}, link)
    assert "names one too" in refused({}, {}, link | {"source": "a.y[a]"})
    assert "over one dimension" in refused({}, {"dimension": "home"}, link)
    assert "there is no output 'z'" in refused({}, {}, link | {"source": "a.z"})


@pytest.mark.parametrize(("unit", "rest"), [("pu", 1.0), ("degC", 0.0), ("1", 1.0), ("$/MWh", 0.0)])
def test_what_does_not_add_up_takes_one_link_or_a_mean(unit: str, rest: float) -> None:
    """Two voltages at one place are no voltage of 2 pu; an availability and a second one no more available."""
    of_kind = {"unit": unit, "rest": rest}
    whole, at_label = (
        {"source": "a.y", "destination": "b.x"},
        {"source": "b.y[b]", "destination": "b.x[a]", "lagged": True},
    )
    text = refused(of_kind, of_kind, whole, at_label)
    assert "links[1]" in text
    assert "would add up to 2 times" in text
    both = wired(of_kind, of_kind, whole | {"gain": 0.25}, {**whole, "source": "b.y", "gain": 0.75, "lagged": True})
    assert len(both.links) == 2


def test_powers_add_up() -> None:
    links = [{"source": "a.y", "destination": "b.x"}, {"source": "a.seen", "destination": "b.x"}]
    assert len(wired({}, {}, *links).links) == 2


def test_a_link_beside_the_one_that_the_wiring_makes() -> None:
    """A feeder at a bus has its head's voltage; a second link there would give it 2 pu."""
    scenario = {
        "name": "twice",
        "horizon": {"start": "2014-01-16 00:00", "duration": "2 min"},
        "transmission": {"case": "case39"},
        "feeders": [{"name": "oak", "bus": 15, "model": {"kind": "opendss_feeder", "feeder": "ieee13"}}],
        "links": [{"source": "transmission.voltage[15]", "destination": "oak.head_voltage"}],
    }
    with pytest.raises(ScenarioError, match=r"links\[0\].*oak.head_voltage takes .* would add up to 2 times pu"):
        cosim.wire(from_mapping(scenario))


LEADS = {
    "name": "leads",
    "horizon": {"start": "2014-01-16 00:00", "duration": "1 h", "step": "5 min"},
    "demand": {"table": "victoria_2014_01", "interval": "1 h", "lookahead": "4 h"},
    "transmission": {"case": "case39"},
    "dispatch": {"interval": "30 min", "lookahead": "2 h"},
}


def test_leads_of_hours_are_not_read_as_half_hours() -> None:
    """Read by position, leads of 1 to 4 h as 30 min to 2 h gave a forecast error of 91 MW rms instead of 12.5."""
    with pytest.raises(
        ScenarioError, match=r"leads are 1 h, 2 h, 3 h, 4 h, the destination's 30 min, 1 h, 90 min, 2 h"
    ):
        cosim.wire(from_mapping(LEADS))
    assert cosim.wire(from_mapping(LEADS | {"demand": {"table": "victoria_2014_01"}})).links


def test_finer_leads_serve_by_label(tmp_path: Path) -> None:
    """The forecast for 30 min is that of the demand's lead of 30 min, its sixth, not its first."""
    link = {"source": "demand.load_scale_forecast", "destination": "dispatch.load_scale_forecast", "by_label": True}
    finer = LEADS | {"demand": {"table": "victoria_2014_01", "interval": "5 min"}, "links": [link]}
    joined = {
        entry.source.label: entry.destination.label
        for entry in cosim.wire(from_mapping(finer)).links
        if entry.source.port == "load_scale_forecast"
    }
    assert joined == {lead: lead for lead in ("30 min", "1 h", "90 min", "2 h")}
