"""How the cost of a step grows with the number of homes."""

from __future__ import annotations

from pathlib import Path

import pytest
from gridlabd_alone import alone

from feeders.gridlabd_bare import Times, run_bare


def _run(homes: int, folder: Path) -> Times:
    return run_bare(folder, homes=homes, steps=60, read=True)


@pytest.mark.long
def test_cost_per_step_grows_no_faster_than_the_homes(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("hundred", "thousand")]
    for folder in folders:
        folder.mkdir()
    hundred, thousand = alone(_run, 100, folders[0]), alone(_run, 1000, folders[1])
    # CPU times: 9 and 59 ms on a 2-core machine; the feeder's own 130 nodes cost 3 ms of both.
    assert thousand.step < 10 * hundred.step
    assert thousand.memory < 3 * hundred.memory


def test_the_bare_run_does_what_the_federate_does(tmp_path: Path) -> None:
    times = alone(_run, 10, tmp_path)
    assert times.steps == 60
    assert 0 < times.step < 1.0
    assert (tmp_path / "gridlabd.log").exists()
