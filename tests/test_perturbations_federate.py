"""When the perturbations of an event window are looked at, and which values other processes get of them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from cosim.contract import Context
from cosim.federation import Span
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
