"""Sabotage of what was recorded: each turns a good verdict bad and is named in it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

import cosim
from cosim.engine.supervisor import Outcome
from cosim.federation import Federation
from cosim.results import digest
from cosim.scenario import from_mapping
from cosim.verdict import Verdict, judge
from cosim.wiring import wire

MODELS = Path(__file__).parent / "models"
LINK = "transmission.voltage[A]->oak.head_voltage"
MINUTE = 60 * 10**9

SCENARIO = {
    "name": "judged",
    "horizon": {"start": "2014-01-16 00:00", "duration": "20 min"},
    "transmission": {"kind": "linear_grid.py"},
    "feeders": [{"name": "oak", "bus": "A", "model": {"kind": "linear_feeder.py"}}],
    "federates": [{"name": "scale", "model": {"kind": "balance.py"}}],
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A good run that nobody writes to."""
    run = cosim.run(from_mapping(SCENARIO, MODELS), tmp_path_factory.mktemp("judged") / "run")
    assert run.trustworthy
    return run


@pytest.fixture
def good(run: Any, tmp_path: Path) -> tuple[Federation, Path, Outcome, Any]:
    """A copy of a good run: what judged it, and its store, open for writing."""
    folder = tmp_path / "copy"
    shutil.copytree(run.folder, folder)
    federation = wire(from_mapping(SCENARIO, MODELS))
    names = [spec.name for spec in federation.federates]
    outcome = Outcome(reached=dict.fromkeys(names, federation.duration), steps=dict.fromkeys(names, 20))
    assert judge(federation, folder, outcome).trustworthy
    store = zarr.open_group(str(folder / "results.zarr"), mode="r+", use_consolidated=False)
    return federation, folder, outcome, store


def only_failed(verdict: Verdict) -> Any:
    assert not verdict.trustworthy
    (failed,) = verdict.failed
    return failed


def test_nan_is_named(good: tuple) -> None:
    federation, folder, outcome, store = good
    store["oak"]["power"][7, 1] = np.nan
    failed = only_failed(judge(federation, folder, outcome))
    assert (failed.name, failed.federate) == ("recorded", "oak")
    assert "power holds NaN" in failed.detail


def test_a_limit_exceeded_is_named(good: tuple) -> None:
    federation, folder, outcome, store = good
    store["scale"]["error"][4] = -0.5
    failed = only_failed(judge(federation, folder, outcome))
    assert (failed.name, failed.federate, failed.time) == ("error of scale", "scale", 4 * MINUTE)
    assert failed.detail == "at most 0.5 MW (limit 0.1 MW), at 4 min"


def test_a_mismatch_is_named(good: tuple) -> None:
    federation, folder, outcome, store = good
    store["coupling"][LINK][9] = 0.25
    failed = only_failed(judge(federation, folder, outcome))
    assert (failed.name, failed.federate, failed.time) == (f"boundary mismatch {LINK}", "oak", 9 * MINUTE)
    assert failed.remedy == "Raise coupling.voltage_tolerance if that much is acceptable, or shorten horizon.step."


def test_a_mismatch_of_nan_is_named(good: tuple) -> None:
    federation, folder, outcome, store = good
    store["coupling"][LINK][9] = np.nan
    assert only_failed(judge(federation, folder, outcome)).name == f"boundary mismatch {LINK}"


def test_a_mismatch_that_was_not_recorded_is_named(good: tuple) -> None:
    federation, folder, outcome, store = good
    del store["coupling"][LINK]
    assert only_failed(judge(federation, folder, outcome)).detail == "was not recorded"


def test_missing_steps_are_named(good: tuple) -> None:
    federation, folder, outcome, store = good
    for _, array in store["scale"].arrays():
        array.resize((18, *array.shape[1:]))
    failed = only_failed(judge(federation, folder, outcome))
    assert (failed.name, failed.federate, failed.detail) == ("recorded", "scale", "18 of 20 steps are stored")


def test_one_variable_that_ends_early_is_named(good: tuple) -> None:
    federation, folder, outcome, store = good
    store["scale"]["error"].resize((18,))
    assert "error has 18 of 20 steps" in only_failed(judge(federation, folder, outcome)).detail


def test_times_that_do_not_rise_are_named(good: tuple) -> None:
    federation, folder, outcome, store = good
    store["scale"]["time"][3] = 0
    assert "times do not rise" in only_failed(judge(federation, folder, outcome)).detail


def test_a_federate_without_results_is_named(good: tuple) -> None:
    federation, folder, outcome, store = good
    del store["scale"]
    assert {check.federate for check in judge(federation, folder, outcome).failed} == {"scale"}


def test_a_federate_that_stopped_early_is_named(good: tuple) -> None:
    federation, folder, outcome, _ = good
    outcome.reached["oak"] = 5 * MINUTE
    failed = only_failed(judge(federation, folder, outcome))
    assert (failed.name, failed.federate, failed.detail) == ("stop time", "oak", "'oak' reached 5 min of 20 min")


def test_no_store_is_named(good: tuple) -> None:
    federation, folder, outcome, _ = good
    (folder / "results.zarr").rename(folder / "moved.zarr")
    assert "cannot be opened" in only_failed(judge(federation, folder, outcome)).detail


def test_the_digest_sees_a_single_bit(good: tuple) -> None:
    _, folder, _, store = good
    before = digest(folder)
    value = store["oak"]["power"][7, 1]
    store["oak"]["power"][7, 1] = np.nextafter(value.real, np.inf)
    assert digest(folder) != before
    store["oak"]["power"][7, 1] = value
    assert digest(folder) == before


def test_a_limit_that_a_federate_exceeds_while_it_runs(run_to_end: Callable) -> None:
    scenario = {**SCENARIO, "federates": [{"name": "scale", "model": {"kind": "balance.py", "error": 0.2}}]}
    end = run_to_end(scenario)
    failed = only_failed(end.run.verdict)
    assert (failed.name, failed.federate) == ("error of scale", "scale")
    assert end.fault == ""
