"""Where a run's processes work and what is kept of it: nothing reaches the caller's folder, and no log is lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


def scenario(**settings: Any) -> dict[str, Any]:
    return {
        "name": "scribe",
        "horizon": {"start": "2014-01-16 00:00", "duration": "5 min"},
        "federates": [{"name": "pen", "model": {"kind": "scribe.py", **settings}}],
        "limits": {"idle": "1 s"},
    }


@pytest.mark.parametrize("cold", [False, True])
def test_what_federates_write_is_kept_in_the_runs_folder(
    run_to_end: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cold: bool
) -> None:
    """Also where the results go to a relative path with a blank and an umlaut."""
    (caller := tmp_path / "caller").mkdir()
    monkeypatch.chdir(caller)
    end = run_to_end(scenario(), Path("my results/ä"), cold=cold)
    assert end.run.trustworthy
    assert [entry.name for entry in caller.iterdir()] == ["my results"]
    kept = caller / "my results" / "ä" / "files" / "pen"
    assert (kept / "note.txt").read_text() == "written by a bare name"
    assert (kept / "deep" / "table.csv").exists()


def test_the_engines_last_lines_are_the_error_and_its_log_survives(run_to_end: Callable) -> None:
    end = run_to_end(scenario(exit_code=255))
    assert "ended with exit code 255" in end.fault
    assert "engine: pole 7 is not in the model" in end.fault
    assert "engine: loading" in (end.run.folder / "run.log").read_text()


def test_a_child_that_works_counts_as_work(run_to_end: Callable) -> None:
    """Three times as long as a start may go without processor time, and no matter how slow the machine is."""
    end = run_to_end(scenario(child_works=3.0))
    assert end.run.trustworthy, end.fault
