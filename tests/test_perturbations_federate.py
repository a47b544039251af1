"""When the perturbations of an event window are looked at, and which values other processes get of them."""

from __future__ import annotations

import importlib.util
from datetime import datetime
from typing import Any

import pytest

import cosim
from cosim.contract import Context
from cosim.engine.warm import WarmLauncher
from cosim.errors import ScenarioError
from cosim.federation import Span
from cosim.scenario import from_mapping
from federates.perturbations import Perturbations

MS, MINUTE = 10**6, 60 * 10**9
FAULT = {"kind": "BusFault", "name": "fault", "bus": "1", "time": "300.5 s", "lasting": "152 ms"}
TRACE_HEADER = "time_s,voltage\n"


def times(*perturbations: dict[str, Any]) -> list[int]:
    """Every time [ns] at which the federate steps in ten minutes with a window of 1 s at five minutes."""
    window = {"at": "5 min", "duration": "1 s", "step": "5 ms", "day_step": "1 min"}
    config = Perturbations.Config.model_validate({"perturbations": perturbations, "targets": (), "times": window})
    start = datetime(2014, 1, 16, 17)
    context = Context(name="perturbations", seed=1, start=start, duration=10 * MINUTE, step=5 * MS)
    federate = Perturbations(config, context)
    found, time = [], federate.next_time(-1)
    while time is not None and time < 10 * MINUTE:
        found.append(time)
        time = federate.next_time(time)
    return found


def test_in_the_window_it_steps_where_something_changes() -> None:
    """300.5 s + 152 ms is between two steps of 5 ms: the later one, as at every step it would have been."""
    day = [minute * MINUTE for minute in range(10)]
    inside = [300_500 * MS, 300_655 * MS, 301_000 * MS]
    assert times(FAULT) == sorted(day + inside)


def test_where_changes_are_not_known_it_steps_always(tmp_path: Any) -> None:
    (tmp_path / "trace.csv").write_text(TRACE_HEADER + "0,1\n0.5,0.4\n")
    trace = {
        "kind": "VoltageTrace",
        "name": "trace",
        "bus": "oak",
        "file": str(tmp_path / "trace.csv"),
        "time": "5 min",
    }
    assert len([time for time in times(FAULT, trace) if 5 * MINUTE <= time < 5 * MINUTE + 1000 * MS]) == 200


@pytest.mark.parametrize(
    ("start", "end", "meets"),
    [
        (0, 0, False),
        (0, 1000, True),
        (2000, 2000, True),
        (3000, 3000, True),
        (3001, 60_000, False),
        (3001, 61_000, True),
    ],
)
def test_a_span_meets_what_it_overlaps(start: int, end: int, meets: bool) -> None:
    """A federate that acts from 1 to 3 us after each multiple of 60 us."""
    assert Span(60_000, 1000, 3000).meets(start, end) is meets


DAY = {"start": "2014-01-16 12:00", "duration": "10 min", "step": "60 s"}


def windowed(*disturbances: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Two feeders of 114 and 13 nodes without a transmission grid, and a window of 0.5 s at 12:05."""
    window = {"at": "12:05", "duration": "500 ms", "feeders": [{"name": "oak"}, {"name": "elm"}]}
    return {
        "name": "two_feeders",
        "horizon": DAY,
        "feeders": [
            {"name": "oak", "model": {"kind": "opendss_feeder"}},
            {"name": "elm", "model": {"kind": "opendss_feeder", "feeder": "ieee13"}},
        ],
        "event_window": window | {"disturbances": list(disturbances)} | changes,
    }


def test_results_open_where_one_dimension_has_two_sizes(tmp_path: Any, zygote: WarmLauncher) -> None:
    """The nodes of the two feeders are a dimension each; both hold the share that tripped, to the nearest node."""
    trip = {"kind": "LoadTrip", "devices": ["spot_load"], "share": 0.3, "time": "100 ms", "lasting": "2 min"}
    run = cosim.run(from_mapping(windowed(trip), tmp_path), tmp_path / "run", baseline=False, launcher=zygote)
    assert run.trustworthy, run.verdict.failed
    perturbed = run.results["perturbations"]
    sizes = []
    for feeder in ("oak", "elm"):
        available = perturbed[f"{feeder}_window.load_available"]
        sizes.append(available.shape[1])
        out = float((available.values.min(axis=0) == 0).sum())
        assert abs(out - 0.3 * available.shape[1]) <= 1
    assert sizes[0] != sizes[1]


SAG = {"kind": "VoltageSag", "bus": "oak", "residual": 0.8}


@pytest.mark.parametrize(
    ("disturbance", "words"),
    [
        (SAG | {"time": "500 ms", "lasting": "50 ms"}, "sets in when the window has closed"),
        (SAG | {"time": "400 ms", "lasting": "200 ms"}, "lasts until the window has closed"),
    ],
)
def test_what_the_window_cannot_hold_is_refused(disturbance: dict[str, Any], words: str) -> None:
    with pytest.raises(ScenarioError, match=words):
        cosim.wire(from_mapping(windowed(disturbance)))


def test_what_acts_at_the_steps_of_a_window_is_refused_in_the_day() -> None:
    day = windowed() | {"perturbations": [SAG | {"time": "2 min", "lasting": "200 ms"}]}
    with pytest.raises(ScenarioError, match=r"perturbations\[0\].*event_window.disturbances"):
        cosim.wire(from_mapping(day))


def test_a_window_before_the_start_is_refused() -> None:
    with pytest.raises(ScenarioError, match=r"event_window.at: must not be before the start, got '-5 min'"):
        from_mapping(windowed(at="-5 min"))


def test_a_trace_in_percent_is_refused(tmp_path: Any) -> None:
    (tmp_path / "trace.csv").write_text(TRACE_HEADER + "0,100\n0.2,60\n")
    trace = {"kind": "VoltageTrace", "bus": "oak", "file": "trace.csv", "time": "100 ms"}
    with pytest.raises(ScenarioError, match="has 100 in column 'voltage', which must lie within 0 and 2"):
        cosim.wire(from_mapping(windowed(trace), tmp_path))


def test_a_generator_does_not_return_within_the_window() -> None:
    scenario = {
        "name": "trip",
        "horizon": DAY,
        "transmission": {"case": "case39"},
        "event_window": {
            "at": "12:05",
            "duration": "2 s",
            "transmission": {"kind": "frequency_response", "machines": "ieee39"},
            "disturbances": [{"kind": "GeneratorTrip", "generator": "38", "time": "1 s", "lasting": "500 ms"}],
        },
    }
    if importlib.util.find_spec("andes") is None:
        pytest.skip("the machines come with ANDES")
    with pytest.raises(ScenarioError, match="ends in the window"):
        cosim.wire(from_mapping(scenario))


def test_an_outage_of_a_link_comes_before_the_messages() -> None:
    """What disturbs the carrier of the messages solves before it, and everything else after."""
    scenario = {
        "name": "outage",
        "horizon": DAY,
        "transmission": {"case": "case39"},
        "dispatch": {},
        "perturbations": [{"kind": "CommunicationOutage", "link": "default", "time": "2 min", "lasting": "2 min"}],
    }
    slot = {spec.name: spec.slot for spec in cosim.wire(from_mapping(scenario)).federates}
    assert slot["perturbations"] < slot["communications"] < min(slot["dispatch"], slot["transmission"])
