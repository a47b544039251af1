"""What resuming and the cache do with finished runs: found by content, checked, and never lost."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner
from written_runs import MINUTE, Written, constant, out

from cosim.batch_folder import ROW, finish_run, run_folder
from cosim.errors import ScenarioError
from runs.batch.cache import Cache
from runs.batch.earlier import SUPERSEDED, Settled, settle
from runs.batch.executor import Choice, run_batch
from runs.batch.plan import Plan
from runs.batch.row import Row
from runs.batch.table import collect
from runs.batch.task import WORK, as_written, finished_row, publish
from runs.cli import app
from tests.batches import plan_of, small_scenario, write_batch_file


def plan_with(folder: Path, seeds: Sequence[int], name: str = "tiny") -> Plan:
    return plan_of(folder, small_scenario("10 min"), [{"grid": {"seed": list(seeds)}}], name=name, figures={})


def make(plan: Plan, folder: Path) -> Path:
    """A finished batch; each run's digest tells its seed."""
    for variant in plan.variants:
        where = run_folder(folder, variant.run)
        power = [(out("power", "MW", "power"), constant(1.0, 3))]
        Written({"oak": power}, duration=30 * MINUTE).write(where)
        row = Row(
            run=variant.run,
            number=variant.number,
            key=variant.key,
            parameters=variant.parameters,
            outcome="good",
            digest=f"seed {variant.parameters['seed']}",
            log=f"runs/{variant.run}/run.log",
        )
        finish_run(where, as_written(row))
    collect(folder, plan)
    return folder


def settled(plan: Plan, folder: Path) -> Settled:
    return settle(folder, plan, lambda row, variant: False)


def on_disk(folder: Path) -> dict[str, str]:
    """The digest of each run's row, by its folder."""
    found = {path.parent: finished_row(path.parent) for path in sorted(folder.glob(f"*/*/{ROW}"))}
    return {str(path.relative_to(folder)): row.digest for path, row in found.items() if row is not None}


def test_an_extended_grid_keeps_its_runs_under_new_numbers(tmp_path: Path) -> None:
    folder = make(plan_with(tmp_path, [3, 1, 2]), tmp_path / "out")
    wider = plan_with(tmp_path, [1, 7, 2, 3])
    found = settled(wider, folder)
    assert (found.replaced, found.superseded) == (0, 0)
    assert on_disk(folder) == {"runs/0001": "seed 1", "runs/0003": "seed 2", "runs/0004": "seed 3"}
    for variant in wider.variants:
        row = finished_row(run_folder(folder, variant.run))
        if variant.run != "0002":
            assert row is not None
            assert row == found.kept[variant.run]
            assert (row.run, row.number, row.key) == (variant.run, variant.number, variant.key)
            assert row.parameters == variant.parameters
            assert row.log == f"runs/{variant.run}/run.log"
    assert [row.parameters["seed"] for row in collect(folder, wider)] == [1, 2, 3]


def test_what_the_plan_no_longer_has_is_put_aside_and_comes_back(tmp_path: Path) -> None:
    whole = plan_with(tmp_path, [1, 2, 3])
    folder = make(whole, tmp_path / "out")
    found = settled(plan_with(tmp_path, [2]), folder)
    assert (sorted(found.kept), found.superseded) == (["0001"], 2)
    aside = {path: told for path, told in on_disk(folder).items() if path.startswith(SUPERSEDED)}
    assert sorted(aside.values()) == ["seed 1", "seed 3"]
    collect(folder, plan_with(tmp_path, [2]))
    assert sorted(settled(whole, folder).kept) == ["0001", "0002", "0003"]
    assert on_disk(folder) == {"runs/0001": "seed 1", "runs/0002": "seed 2", "runs/0003": "seed 3"}


def test_a_run_that_changed_stays_until_its_replacement_is_there(tmp_path: Path) -> None:
    folder = make(plan_with(tmp_path, [1, 2]), tmp_path / "out")
    changed = plan_with(tmp_path, [1, 9])
    found = settled(changed, folder)
    assert (sorted(found.kept), found.replaced) == (["0001"], 1)
    assert on_disk(folder) == {"runs/0001": "seed 1", "runs/0002": "seed 2"}
    assert [row.run for row in collect(folder, changed)] == ["0001"]
    made = folder / WORK / "0002"
    made.mkdir(parents=True)
    row = Row(run="0002", number=2, key=changed.variants[1].key, outcome="good", digest="seed 9")
    assert publish(row, made, run_folder(folder, "0002")) == row
    assert on_disk(folder) == {"runs/0001": "seed 1", "runs/0002": "seed 9"}
    assert sorted(path.name for path in (folder / "runs").iterdir()) == ["0001", "0002"]


def test_a_row_that_was_edited_is_made_again(tmp_path: Path) -> None:
    plan = plan_with(tmp_path, [1, 2])
    folder = make(plan, tmp_path / "out")
    row = run_folder(folder, "0002") / ROW
    row.write_text(row.read_text().replace("seed 2", "seed 5"))
    assert sorted(settled(plan, folder).kept) == ["0001"]
    assert on_disk(folder) == {"runs/0001": "seed 1"}


def test_the_folder_of_another_batch_is_refused_and_not_touched(tmp_path: Path) -> None:
    folder = make(plan_with(tmp_path, [1, 2]), tmp_path / "out")
    before = on_disk(folder), (folder / "batch.json").read_bytes()
    other = plan_with(tmp_path, [3], name="other")
    with pytest.raises(ScenarioError, match="holds the batch 'tiny', not 'other'") as raised:
        run_batch(other, folder, Choice(resume=True), lambda state: None)
    assert raised.value.exit_code == 2
    assert (on_disk(folder), (folder / "batch.json").read_bytes()) == before


@pytest.mark.parametrize("damaged", ["results.zarr/oak/power/0", ROW])
def test_a_damaged_run_leaves_the_cache_and_a_new_one_takes_its_place(tmp_path: Path, damaged: str) -> None:
    plan = plan_with(tmp_path, [1])
    variant = plan.variants[0]
    folder = make(plan, tmp_path / "out")
    run = run_folder(folder, variant.run)
    row = Row.model_validate_json((run / ROW).read_text())
    cache = Cache(tmp_path / "cache")
    cache.store(row, run)
    assert cache.take(variant, tmp_path / "good") is not None
    [entry] = (tmp_path / "cache").glob(f"*/runs/{variant.key}")
    for taken_first in (True, False):
        (entry / damaged).rename(entry / "old")  # links stay as they are
        (entry / damaged).write_bytes((entry / "old").read_bytes().replace(b"seed 1", b"seed 5"))
        (entry / "old").unlink()
        if damaged != ROW:
            content = bytearray((entry / damaged).read_bytes())
            content[len(content) // 2] ^= 0xFF
            (entry / damaged).write_bytes(content)
        if taken_first:
            assert cache.take(variant, tmp_path / "bad") is None
            assert not entry.exists()
        cache.store(row, run, new=True)
        found = cache.take(variant, tmp_path / f"again{taken_first}")
        assert found is not None
        assert found.digest == "seed 1"
    assert json.loads((run / ROW).read_text())["digest"] == "seed 1"


def test_a_dry_run_of_nothing_but_invalid_runs_has_failed(tmp_path: Path) -> None:
    file = write_batch_file(tmp_path, small_scenario("10 min"), [{"grid": {"seed": [-1, -2]}}])
    done = CliRunner().invoke(app, ["batch", str(file), "--out", str(tmp_path / "out"), "--dry-run"])
    assert done.exit_code == 1
    assert "2 invalid" in done.stdout
