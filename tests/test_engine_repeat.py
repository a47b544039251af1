"""One seed, one digest: repeated runs, runs side by side, other seeds, replay."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import cosim
from cosim.errors import ResultsError
from cosim.scenario import from_mapping, load
from cosim.simulation import replay
from cosim.stored_files import list_files

MODELS = Path(__file__).parent / "models"


def talkers(seed: int = 1, **communications: Any) -> dict[str, Any]:
    """Two agents that talk over a slow radio network with random latencies and losses, one in its own process."""
    return {
        "name": "talkers",
        "seed": seed,
        "horizon": {"start": "2014-01-16 00:00", "duration": "30 min"},
        "federates": [
            {"name": "a", "model": {"kind": "talker.py", "to": "b"}},
            {"name": "b", "model": {"kind": "talker_alone.py", "to": "a/part"}},
        ],
        "communications": {"profile": "rf_mesh", **communications},
        "limits": {"step": "5 s", "start": "60 s"},
    }


def test_one_seed_gives_one_digest_and_another_seed_another(run_to_end: Callable, tmp_path: Path) -> None:
    ends = [run_to_end(talkers(seed), tmp_path / name) for seed, name in ((1, "one"), (1, "again"), (2, "two"))]
    assert all(end.run.trustworthy for end in ends)
    one, again, two = (end.run.manifest["digest"] for end in ends)
    assert one == again
    assert one != two
    heard = ends[0].run.results["a"]["heard"].values
    # a minute's messages come with the next step, or at a later one, or never: the network is not the ideal one
    assert heard[0] == 0
    assert 60 < heard.sum() < 90
    assert (ends[0].run.results["a"]["delay"].values >= heard * 60).all()


def test_two_runs_at_once_do_not_touch_each_other(tmp_path: Path) -> None:
    scenario = from_mapping(talkers(), MODELS)
    with ThreadPoolExecutor(2) as pool:
        runs = list(pool.map(lambda name: cosim.run(scenario, tmp_path / name), ("first", "second")))
    assert [run.verdict.fault for run in runs] == [None, None]
    assert runs[0].manifest["digest"] == runs[1].manifest["digest"]


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A run to be replayed."""
    return cosim.run(from_mapping(talkers(), MODELS), tmp_path_factory.mktemp("replay") / "run")


def test_replay_is_identical(old: Any, tmp_path: Path) -> None:
    new, same = replay(old.folder, tmp_path / "replayed")
    assert same
    assert new.trustworthy
    assert new.manifest["digest"] == old.manifest["digest"]
    assert new.manifest["scenario_sha256"] == old.manifest["scenario_sha256"]


def test_replay_sees_another_result(old: Any, tmp_path: Path) -> None:
    """The folder is whole, but its scenario is of a shorter run than the one that left its values."""
    shutil.copytree(old.folder, tmp_path / "copy")
    manifest = json.loads((tmp_path / "copy" / "manifest.json").read_text())
    manifest["scenario"]["horizon"]["duration"] = "120 s"
    (tmp_path / "copy" / "manifest.json").write_text(json.dumps(manifest))
    list_files(tmp_path / "copy")
    again, same = replay(tmp_path / "copy", tmp_path / "replayed")
    assert again.trustworthy
    assert not same


def test_replay_refuses_a_changed_model(tmp_path: Path) -> None:
    shutil.copy(MODELS / "follower.py", tmp_path / "follower.py")
    (tmp_path / "scenario.yaml").write_text(
        "name: one\nhorizon: {start: 2014-01-16 00:00, duration: 10 min}\n"
        "federates:\n  - {name: a, model: {kind: follower.py}}\n"
    )
    old = cosim.run(load(tmp_path / "scenario.yaml"), tmp_path / "run")
    assert old.trustworthy
    with (tmp_path / "follower.py").open("a") as file:
        file.write("# changed\n")
    with pytest.raises(ResultsError, match=r"input files have changed since .*follower\.py"):
        replay(old.folder, tmp_path / "replayed")
    assert not (tmp_path / "replayed").exists()


def test_replay_refuses_a_missing_model(tmp_path: Path) -> None:
    shutil.copy(MODELS / "follower.py", tmp_path / "follower.py")
    (tmp_path / "scenario.yaml").write_text(
        "name: one\nhorizon: {start: 2014-01-16 00:00, duration: 10 min}\n"
        "federates:\n  - {name: a, model: {kind: follower.py}}\n"
    )
    old = cosim.run(load(tmp_path / "scenario.yaml"), tmp_path / "run")
    (tmp_path / "follower.py").unlink()
    with pytest.raises(ResultsError, match=r"follower\.py"):
        replay(old.folder, tmp_path / "replayed")


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_hundred_runs_in_a_row_are_all_good(tmp_path: Path) -> None:
    """Races at the start and the end of a federation show in one run of some tens."""
    entry = {**talkers(), "horizon": {"start": "2014-01-16 00:00", "duration": "10 min"}}
    scenario = from_mapping(entry, MODELS)
    runs = [cosim.run(scenario, tmp_path / f"run_{number}") for number in range(100)]
    assert [run.verdict.fault for run in runs if not run.trustworthy] == []
    assert len({run.manifest["digest"] for run in runs}) == 1
