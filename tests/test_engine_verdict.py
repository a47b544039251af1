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
from cosim.errors import ScenarioError
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


def test_a_value_beyond_its_physical_range_is_named(good: tuple) -> None:
    federation, folder, outcome, store = good
    store["scale"]["stored"][5] = 0.0 - 1e-12  # a solver's rounding
    assert judge(federation, folder, outcome).trustworthy
    store["scale"]["stored"][6:8] = -0.01
    failed = only_failed(judge(federation, folder, outcome))
    assert (failed.name, failed.federate, failed.time) == ("stored of scale", "scale", 6 * MINUTE)
    assert failed.detail == "-0.01 MWh at 6 min (possible: 0 to 10 MWh), outside in 2 of 20 steps"


def test_what_is_not_expected_is_said_and_leaves_the_run_trusted(good: tuple) -> None:
    federation, folder, outcome, store = good
    assert (judge(federation, folder, outcome).to_look_at, judge(federation, folder, outcome).expectations) == ((), 1)
    store["scale"]["head"][3, 1] = -0.87j  # the bus is dead (0 pu) at all other times, which is no low voltage
    verdict = judge(federation, folder, outcome)
    (found,) = verdict.to_look_at
    assert verdict.trustworthy
    assert not found.passed
    assert found.text == (
        "head of scale: 0.87 pu at bus 2 at 3 min (expected: 0.9 to 1.1 pu), outside in 1 of 20 steps. "
        "Look at the tap changers."
    )


def test_an_expectation_that_nobody_looked_at_is_said(good: tuple) -> None:
    _, folder, outcome, _ = good
    federation = wire(from_mapping({**SCENARIO, "outputs": {"exclude": ["scale.head"]}}, MODELS))
    assert federation.unlooked == ("scale.head",)
    assert "`outputs.exclude` leaves it out" in judge(federation, folder, outcome).to_look_at[0].detail


@pytest.mark.parametrize("output", ["scale.error", "scale.stor*"])
def test_what_the_verdict_is_made_from_cannot_be_left_out(output: str) -> None:
    with pytest.raises(ScenarioError, match="from which the verdict is made"):
        wire(from_mapping({**SCENARIO, "outputs": {"exclude": [output]}}, MODELS))


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
    for array in (array for _, array in store["scale"].arrays() if array.shape[0] == 20):
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
