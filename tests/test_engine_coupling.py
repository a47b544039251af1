"""Coupling of a grid and feeders whose answers are known in closed form.

Grid: v = 1 - z m p. Feeder: p = b (1 + r t) + s (v - 1). Loose: p_n = b_n - s z m p_(n-1), with p_(-1) = 0.
Iterated: the fixed point p = b_n / (1 + s z m), as long as s z m < 1.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cosim
from benchmarks.plain_loop import run_plain
from cosim.scenario import from_mapping

MODELS = Path(__file__).parent / "models"
HOUR = 3600e9
IMPEDANCE, BASE, RISE, SLOPE, MULTIPLIER = 0.02, 3.0, 0.5, 6.0, 2.0  # the models' settings, and the feeder's


def scenario(feeders: dict[str, dict[str, Any]] | None = None, kind: str = "linear_feeder.py", **coupling: Any) -> dict:
    """A grid with feeders on its buses, by name: bus and settings."""
    feeders = feeders or {"oak": {"bus": "A"}}
    return {
        "name": "coupled",
        "horizon": {"start": "2014-01-16 00:00", "duration": "20 min"},
        "transmission": {"kind": "linear_grid.py"},
        "feeders": [
            {
                "name": name,
                "bus": settings["bus"],
                "multiplier": MULTIPLIER,
                "model": {"kind": kind, **{key: value for key, value in settings.items() if key != "bus"}},
            }
            for name, settings in feeders.items()
        ],
        "coupling": coupling,
        "limits": {"step": "5 s", "start": "60 s"},
    }


def base_load(times: np.ndarray) -> np.ndarray:
    return BASE * (1 + RISE * times / HOUR)


POWER_LINK = "oak.power->transmission.feeder_load[A]"
VOLTAGE_LINK = "transmission.voltage[A]->oak.head_voltage"


def nanoseconds(group: Any) -> np.ndarray:
    """The times of a group, since its start [ns]."""
    times = group["time"].values
    return (times - np.datetime64("2014-01-16T00:00", "ns")).astype(np.int64)


def test_loose_coupling_is_one_step_behind_and_says_so(run_to_end: Callable) -> None:
    end = run_to_end(scenario(mode="loose", power_tolerance=10))
    assert end.run.trustworthy
    results = end.run.results
    power = results["oak"]["power"].values
    expected, before = [], 0.0
    for base in base_load(nanoseconds(results["oak"])):
        before = base - SLOPE * IMPEDANCE * MULTIPLIER * before
        expected.append(before)
    np.testing.assert_allclose(power.sum(axis=1).real, expected, rtol=1e-12)
    # used at step n: what held at step n - 1, nothing at the first; exactly, for it is the same number
    held_before = np.vstack([np.zeros((1, 3)), power[:-1]])
    mismatch = np.abs(MULTIPLIER * (power - held_before)).max(axis=1)
    assert results["coupling"][POWER_LINK].values.tolist() == mismatch.tolist()
    assert results["coupling"][VOLTAGE_LINK].values.tolist() == [0.0] * 20


def test_loose_coupling_beyond_its_tolerance_is_not_trusted(run_to_end: Callable) -> None:
    end = run_to_end(scenario(mode="loose", power_tolerance=1e-3))
    assert not end.run.trustworthy
    assert end.run.verdict.fault is None
    (failed,) = end.run.verdict.failed
    assert failed.name == f"boundary mismatch {POWER_LINK}"
    assert failed.remedy is not None
    assert failed.remedy.startswith("Raise coupling.power_tolerance if that much is acceptable")
    assert failed.time == 0  # the first step, where the grid begins from no load at all
    assert failed.detail.startswith("at most 2 MVA")


@pytest.mark.parametrize("placement", ["shared", "separate"])
def test_a_lagged_boundary_begins_from_what_its_source_will_about_give(run_to_end: Callable, placement: str) -> None:
    """At 1 pu the feeder draws b = 3 MW: p_(-1) = 3 in the closed form. Without that the first step is 2 MVA off."""
    feeders = {"oak": {"bus": "A", "opens": True}, "elm": {"bus": "B", "opens": True}}
    written = {**scenario(feeders, mode="loose", power_tolerance=0.5), "placement": placement}
    end = run_to_end(written)
    assert end.run.trustworthy
    results = end.run.results
    expected, before = [], BASE
    for base in base_load(nanoseconds(results["oak"])):
        before = base - SLOPE * IMPEDANCE * MULTIPLIER * before
        expected.append(before)
    np.testing.assert_allclose(results["oak"]["power"].values.sum(axis=1).real, expected, rtol=1e-12)
    mismatch = results["coupling"][POWER_LINK].values
    assert mismatch[0] == pytest.approx(MULTIPLIER * (BASE - expected[0]) / 3)  # the voltage's part alone
    assert mismatch[0] < 0.5
    kept, _ = run_plain(cosim.wire(from_mapping(written, MODELS)), keep=True)
    assert [step["power"].tolist() for step in kept["oak"]] == results["oak"]["power"].values.tolist()


def test_iterated_coupling_finds_the_fixed_point(run_to_end: Callable, tmp_path: Any) -> None:
    tolerance = 1e-9
    ends = [
        run_to_end(scenario(mode="iterated", power_tolerance=tolerance, voltage_tolerance=tolerance), tmp_path / name)
        for name in ("first", "second")
    ]
    results = ends[0].run.results
    assert ends[0].run.trustworthy
    power = results["oak"]["power"].values.sum(axis=1).real
    fixed = base_load(nanoseconds(results["oak"])) / (1 + SLOPE * IMPEDANCE * MULTIPLIER)
    np.testing.assert_allclose(power, fixed, atol=3 * tolerance)
    rounds = results["coupling"]["rounds"].values
    # the error shrinks by s z m = 0.24 a round: from 3 MW to 1e-9 in about 15
    assert rounds.min() > 5
    assert rounds.max() <= 18
    for link in (POWER_LINK, VOLTAGE_LINK):
        assert results["coupling"][link].values.max() <= tolerance
    assert ends[0].run.manifest["digest"] == ends[1].run.manifest["digest"]


def test_coupling_that_does_not_converge_is_not_trusted(run_to_end: Callable) -> None:
    # s z m = 60 * 0.02 * 2 = 2.4: each round doubles the error
    feeders = {"oak": {"bus": "A", "slope": 60.0}}
    end = run_to_end(scenario(feeders, mode="iterated", power_tolerance=1e-6, max_rounds=8))
    assert not end.run.trustworthy
    assert end.run.verdict.fault is None
    assert f"boundary mismatch {POWER_LINK}" in [check.name for check in end.run.verdict.failed] or (
        f"boundary mismatch {VOLTAGE_LINK}" in [check.name for check in end.run.verdict.failed]
    )
    assert end.run.results["coupling"]["rounds"].values.tolist() == [8.0] * 20


def test_a_feeder_that_cannot_repeat_a_step_is_lagged_beside_one_that_can(run_to_end: Callable) -> None:
    mapping = scenario({"oak": {"bus": "A"}, "elm": {"bus": "B"}}, mode="iterated", power_tolerance=10)
    mapping["feeders"][1]["model"]["kind"] = "linear_feeder_once.py"
    end = run_to_end(mapping)
    assert end.run.trustworthy
    coupling = end.run.results["coupling"]
    assert coupling["elm.power->transmission.feeder_load[B]"].attrs["lagged"]
    assert not coupling[POWER_LINK].attrs["lagged"]


@pytest.mark.parametrize("intervals", [("60 s", "300 s"), ("300 s", "60 s")])
def test_feeders_at_different_rates(run_to_end: Callable, intervals: tuple[str, str]) -> None:
    names = dict(zip(("oak", "elm"), intervals, strict=True))
    feeders = {name: {"bus": bus, "interval": names[name]} for name, bus in (("oak", "A"), ("elm", "B"))}
    end = run_to_end(scenario(feeders, mode="loose", power_tolerance=10))
    assert end.run.trustworthy
    coupling = end.run.results["coupling"]
    assert coupling.sizes["time"] == 20
    for name, bus in (("oak", "A"), ("elm", "B")):
        mismatch = coupling[f"{name}.power->transmission.feeder_load[{bus}]"].values
        assert np.isfinite(mismatch).sum() == (20 if names[name] == "60 s" else 4)


def test_two_rings_iterate_each_for_itself(run_to_end: Callable) -> None:
    """y = 1 + x / 2 twice in a ring has the fixed point y = 2."""
    links, federates = [], []
    for first, second in (("a", "b"), ("c", "d")):
        for source, destination in ((first, second), (second, first)):
            federates.append({"name": source, "model": {"kind": "linear_loop.py"}})
            links.append({"source": f"{source}.y", "destination": f"{destination}.x", "tolerance": 1e-8})
    mapping = {
        "name": "rings",
        "horizon": {"start": "2014-01-16 00:00", "duration": "5 min"},
        "federates": federates,
        "links": links,
        "coupling": {"max_rounds": 40},
    }
    end = run_to_end(mapping)
    assert end.run.trustworthy
    for name in "abcd":
        np.testing.assert_allclose(end.run.results[name]["y"].values, 2.0, atol=1e-7)
    rounds = [name for name in end.run.results["coupling"] if "rounds" in name]
    assert len(rounds) == 2
