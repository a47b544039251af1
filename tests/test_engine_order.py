"""Who steps before whom, and which sample is read: each situation drawn, and the expected reads as text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np


def tickers(duration: str, links: Sequence[dict[str, Any]], step: str = "60 s", **intervals: str) -> dict[str, Any]:
    """A scenario of tickers, each with its interval."""
    return {
        "name": "tickers",
        "horizon": {"start": "2014-01-16 00:00", "duration": duration, "step": step},
        "federates": [
            {"name": name, "model": {"kind": "ticker.py", "interval": interval}} for name, interval in intervals.items()
        ],
        "links": list(links),
        "limits": {"step": "5 s", "start": "60 s"},
    }


def link(source: str, destination: str, **more: Any) -> dict[str, Any]:
    return {"source": f"{source}.stamp", "destination": f"{destination}.x", **more}


def reads(end: Any, *names: str, unit: float = 60.0) -> list[str]:
    """What each federate saw at each of its steps, as `b@2 saw 1` in minutes, in the order of time and name."""
    assert end.fault == ""
    assert end.run.trustworthy
    lines = []
    for name in names:
        group = end.run.results[name]
        for stamp, saw in zip(group["stamp"].values / unit, group["saw"].values, strict=True):
            lines.append((stamp, name, f"{name}@{stamp:g} saw " + ("nothing" if saw == -1 else f"{saw / unit:g}")))
    return [text for _, _, text in sorted(lines)]


def same(found: list[str], expected: str) -> None:
    """Compare the reads with the expected text; the failure lists what is missing and what is unexpected."""
    wanted = [line.strip() for line in expected.strip().splitlines()]
    missing = [line for line in wanted if line not in found]
    unexpected = [line for line in found if line not in wanted]
    assert (missing, unexpected) == ([], [])
    assert found == wanted


def test_a_chain_reads_values_of_the_same_time(run_to_end: Callable) -> None:
    """
    a ──> b ──> c      all each minute: within a minute a, then b, then c, whatever their names
    """
    end = run_to_end(tickers("2 min", [link("z", "m"), link("m", "a")], a="60 s", m="60 s", z="60 s"))
    same(
        reads(end, "z", "m", "a"),
        """
        a@0 saw 0
        m@0 saw 0
        z@0 saw nothing
        a@1 saw 1
        m@1 saw 1
        z@1 saw nothing
        """,
    )


def test_a_lagged_link_reads_the_step_before(run_to_end: Callable) -> None:
    """
    a ──> b      each minute; b's answer reaches a a minute later
    ^ · · ·
    """
    end = run_to_end(tickers("3 min", [link("a", "b"), link("b", "a", lagged=True)], a="60 s", b="60 s"))
    same(
        reads(end, "a", "b"),
        """
        a@0 saw nothing
        b@0 saw 0
        a@1 saw 0
        b@1 saw 1
        a@2 saw 1
        b@2 saw 2
        """,
    )


def test_a_slow_reader_takes_the_newest_sample(run_to_end: Callable) -> None:
    """
    fast:  0 1 2 3 4 5 6 ...  minutes
           │         │
    slow:  0         5
    """
    end = run_to_end(tickers("11 min", [link("fast", "slow")], fast="60 s", slow="300 s"))
    same(
        reads(end, "slow"),
        """
        slow@0 saw 0
        slow@5 saw 5
        slow@10 saw 10
        """,
    )


def test_a_fast_reader_keeps_the_last_sample(run_to_end: Callable) -> None:
    """
    slow:  0         5
           ├─┬─┬─┬─┐ ├─┐
    fast:  0 1 2 3 4 5 6  minutes
    """
    end = run_to_end(tickers("7 min", [link("slow", "fast")], fast="60 s", slow="300 s"))
    same(
        reads(end, "fast"),
        """
        fast@0 saw 0
        fast@1 saw 0
        fast@2 saw 0
        fast@3 saw 0
        fast@4 saw 0
        fast@5 saw 5
        fast@6 saw 5
        """,
    )


def test_a_lagged_slow_source_is_read_one_of_the_readers_steps_later(run_to_end: Callable) -> None:
    """
    slow:  0         5
            ╲─┬─┬─┬─┬─╲
    fast:  0 1 2 3 4 5 6  minutes
    """
    links = [link("slow", "fast", lagged=True), link("fast", "slow")]
    end = run_to_end(tickers("7 min", links, fast="60 s", slow="300 s"))
    same(
        reads(end, "fast", "slow"),
        """
        fast@0 saw nothing
        slow@0 saw 0
        fast@1 saw 0
        fast@2 saw 0
        fast@3 saw 0
        fast@4 saw 0
        fast@5 saw 0
        slow@5 saw 5
        fast@6 saw 5
        """,
    )


def test_intervals_that_do_not_divide_each_other(run_to_end: Callable) -> None:
    """
    two:    0   2   4   6
    three:  0     3     6   minutes; they meet every six
    """
    end = run_to_end(tickers("7 min", [link("two", "three")], two="120 s", three="180 s"))
    same(
        reads(end, "three"),
        """
        three@0 saw 0
        three@3 saw 2
        three@6 saw 6
        """,
    )


def test_links_to_one_place_add_up_with_their_gains(run_to_end: Callable) -> None:
    """
    a ─(2)──> c
    b ─(-1)─> c
    """
    links = [link("a", "c", gain=2), link("b", "c", gain=-1)]
    end = run_to_end(tickers("3 min", links, a="60 s", b="60 s", c="60 s"))
    assert end.run.results["c"]["saw"].values.tolist() == [0.0, 60.0, 120.0]


def test_a_reader_far_slower_than_its_source_does_not_stop_it(run_to_end: Callable) -> None:
    """
    fast:  0 1 2 3 ... 600 ...  seconds
           │            │
    slow:  0           600
    """
    end = run_to_end(tickers("901 s", [link("fast", "slow")], step="1 s", fast="1 s", slow="600 s"))
    assert reads(end, "slow", unit=1.0) == ["slow@0 saw 0", "slow@600 saw 600"]


def test_a_source_far_slower_than_its_reader(run_to_end: Callable) -> None:
    """
    slow:  0           600
           ├─┬─┬─ ... ─┼─
    fast:  0 1 2 ...  600 ...  seconds
    """
    end = run_to_end(tickers("901 s", [link("slow", "fast")], step="1 s", fast="1 s", slow="600 s"))
    assert reads(end, "fast", unit=1.0)[598:602] == [
        "fast@598 saw 0",
        "fast@599 saw 0",
        "fast@600 saw 600",
        "fast@601 saw 600",
    ]


def test_years_keep_their_nanoseconds(run_to_end: Callable) -> None:
    """A double holds 2^53 ns exactly, 104 days: beyond, times must not drift."""
    end = run_to_end(tickers("3650 d", [link("a", "b")], step="73 d", a="73 d", b="73 d"))
    day = 86400.0
    assert reads(end, "b", unit=day)[-1] == "b@3577 saw 3577"
    assert np.unique(np.diff(end.run.results["b"]["time"].values)).size == 1
