"""A batch's folder: what is damaged is found when it is opened, and all runs open as one."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import xarray
from written_runs import MINUTE, Written, constant, out

import cosim
from cosim.batch_folder import (
    BATCH,
    ROW,
    TABLE,
    Batch,
    batch_problems,
    checked_batch,
    finish_run,
    run_folder,
    write_batch,
)
from cosim.errors import ResultsError
from cosim.results import digest
from cosim.stored_files import FILES
from runs.batch.figures import compute_figures
from runs.batch.file import batch_from_mapping
from runs.batch.keep import keep_only
from runs.batch.plan import Plan, make_plan
from runs.batch.row import Row
from runs.batch.table import collect

MODELS = Path(__file__).parent / "models"
GAINS = (0.1, 0.2, 0.3, 0.4)


def written(gain: float, homes: int = 2, count: int = 144) -> Written:
    """A feeder that draws `gain` [MW] at first and 1 kW less at each step, with `homes` homes at 1 pu."""
    power = gain - 0.001 * np.arange(count)
    labels = tuple(f"home_{number}" for number in range(1, homes + 1))
    return Written(
        {
            "oak": [
                (out("power", "MVA", "power", is_complex=True), power + 0.1j),
                (out("voltage", "pu", "voltage", home=labels), np.ones((count, homes))),
            ],
            "weather": [(out("temperature", "degC", "air temperature"), constant(20.0, count))],
        },
        duration=count * 10 * MINUTE,
    )


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """Four runs, of which the last is invalid, and figures of them."""
    folder = tmp_path_factory.mktemp("batch")
    scenario = {
        "name": "base",
        "horizon": {"start": "2014-01-16 00:00", "duration": "24 h"},
        "federates": [{"name": "oak", "model": {"kind": str(MODELS / "follower.py")}}],
    }
    (folder / "base.yaml").write_text(json.dumps(scenario))
    batch = {
        "name": "b",
        "scenario": "base.yaml",
        "parameters": {"gain": "federates[oak].model.gain"},
        "vary": [{"grid": {"gain": [*GAINS[:3], "much"], "horizon.step": ["60 s"]}}],
    }
    return make_plan(batch_from_mapping(batch, folder))


Make = Callable[..., Path]


def make(plan: Plan, folder: Path, runs: dict[int, Written], keep: tuple[str, ...] = ("*",)) -> Path:
    """A batch's folder of `runs`, by their number; of the others the valid ones have failed."""
    for variant in plan.variants:
        where = run_folder(folder, variant.run)
        row: dict[str, Any] = {"run": variant.run, "number": variant.number, "parameters": variant.parameters}
        if variant.number in runs:
            run = runs[variant.number].write(where)
            row |= {"outcome": "good", "verdict": "good", "key": variant.key, "digest": run.manifest["digest"]}
            keep_only(run, keep)
        else:
            where.mkdir(parents=True)
            outcome = "failed" if variant.valid else "invalid"
            row |= {"outcome": outcome, "error": variant.error or "'oak' died", "key": variant.key}
        finish_run(where, Row.model_validate(row).model_dump_json())
    write_batch(folder, {"started": True})
    collect(folder, plan)
    return folder


@pytest.fixture(scope="module")
def two_good(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A batch of which the third run failed and the fourth was invalid; to be copied."""
    return make(plan, tmp_path_factory.mktemp("two_good") / "batch", {1: written(0.1), 2: written(0.2)})


@pytest.fixture
def made(plan: Plan, two_good: Path, tmp_path: Path) -> Make:
    """A batch's folder: of these runs, or a copy of `two_good`."""

    def give(runs: dict[int, Written] | None = None, **options: Any) -> Path:
        folder = tmp_path / "batch"
        return Path(shutil.copytree(two_good, folder)) if runs is None else make(plan, folder, runs, **options)

    return give


# ------------------------------------------------------------------------------------------ opening


def test_the_table_has_a_row_for_every_run(made: Make) -> None:
    table = cosim.open_batch(made(), verify=True).table
    assert list(table["run"]) == ["0001", "0002", "0003", "0004"]
    assert list(table["outcome"]) == ["good", "good", "failed", "invalid"]
    assert table["error"][2] == "'oak' died"
    assert "must be a number, got 'much'" in table["error"][3]
    assert list(table["param.gain"]) == ["0.1", "0.2", "0.3", "much"]  # not all are numbers
    assert list(table["param.horizon.step"]) == [60.0] * 4
    assert table.attrs["units"]["param.horizon.step"] == "s"


def test_all_runs_open_as_one_and_failed_ones_are_nan(made: Make) -> None:
    batch = cosim.open_batch(made())
    power = batch.results("oak.power")
    assert isinstance(power.data, __import__("dask.array").array.Array)
    assert power.dims == ("run", "time")
    assert power.sizes == {"run": 4, "time": 144}
    assert list(power["outcome"].values) == ["good", "good", "failed", "invalid"]
    assert list(power["gain"].values) == ["0.1", "0.2", "0.3", "much"]
    assert (power.attrs["units"], power.attrs["long_name"]) == ("MVA", "power")
    values = power.values
    expected = 0.1 - 0.001 * np.arange(144) + 0.1j
    assert np.array_equal(values[0], expected)
    assert np.array_equal(values[1], 0.2 - 0.001 * np.arange(144) + 0.1j)
    assert np.isnan(values[2:]).all()
    assert power["time"].values[0] == np.datetime64("2014-01-16T00:00")
    alone = batch.run("0001").results["oak"]["power"]
    assert np.array_equal(alone.values, values[0])


def test_a_whole_federate_is_a_dataset(made: Make) -> None:
    dataset = cosim.open_batch(made()).results("oak")
    assert isinstance(dataset, xarray.Dataset)
    assert {"power", "voltage"} <= set(dataset.data_vars)
    assert dataset["voltage"].dims == ("run", "time", "home")


def test_other_labels_and_other_lengths_are_joined(made: Make) -> None:
    """Twelve homes beside two: their order stays that of the feeder, in which home_10 does not come before home_2."""
    folder = made({1: written(0.1), 2: written(0.2, homes=12, count=72)})
    voltage = cosim.open_batch(folder).results("oak.voltage")
    assert list(voltage["home"].values) == [f"home_{number}" for number in range(1, 13)]
    values = voltage.values
    assert values.shape == (4, 144, 12)
    assert np.isfinite(values[0]).sum() == 144 * 2
    assert np.isfinite(values[1]).sum() == 72 * 12


def test_an_output_that_only_some_runs_have(made: Make) -> None:
    alone = Written({"weather": [(out("temperature", "degC"), constant(30.0))]})
    folder = made({1: written(0.1), 2: alone})
    batch = cosim.open_batch(folder)
    assert list(batch.results("oak.power")["recorded"].values) == [True, False, False, False]
    assert list(batch.results("weather.temperature").mean("time").values[:2]) == [20.0, 30.0]


def test_units_that_differ_are_not_mixed(made: Make) -> None:
    other = Written({"oak": [(out("power", "kW"), constant(30.0))]})
    batch = cosim.open_batch(made({1: written(0.1), 2: other}))
    with pytest.raises(ResultsError, match="'power' is in MVA in run 0001 and in kW in run 0002"):
        batch.results("oak.power")


def test_runs_of_different_days_align_by_the_time_since_their_start(made: Make) -> None:
    batch = cosim.open_batch(made())
    power = batch.results("oak.power", elapsed=True)
    assert power["time"].values[6] == np.timedelta64(1, "h")


def test_quantiles_are_those_of_numpy(made: Make) -> None:
    batch = cosim.open_batch(made({1: written(0.1), 2: written(0.2), 3: written(0.9)}))
    bands = batch.quantiles("oak.power", (0.1, 0.5)).compute()
    stacked = np.stack([gain - 0.001 * np.arange(144) for gain in (0.1, 0.2, 0.9)])
    assert bands.dims == ("quantile", "time")
    np.testing.assert_allclose(bands.values, np.quantile(stacked, (0.1, 0.5), axis=0), rtol=1e-12)
    by = batch.quantiles("oak.power", (0.5,), by="gain").compute()
    assert list(by["gain"].values) == ["0.1", "0.2", "0.3"]
    np.testing.assert_allclose(by.isel(quantile=0).values, stacked, rtol=1e-12)
    with pytest.raises(ResultsError, match=r"there is no parameter 'gian'. Did you mean: gain\? There are 7 in all"):
        batch.quantiles("oak.power", by="gian")


def test_what_is_not_there_is_named(made: Make) -> None:
    batch = cosim.open_batch(made())
    with pytest.raises(ResultsError, match=r"no run has it: there is no output 'oak\.powr'.*oak\.power"):
        batch.results("oak.powr")
    with pytest.raises(ResultsError, match=r"no undisturbed twin in .* has stored results"):
        batch.results("oak.power", baseline=True)
    with pytest.raises(ResultsError, match=r"there is no run '0009'"):
        batch.run("0009")
    with pytest.raises(ResultsError, match=r"there is no run '9'"):
        batch.run(9)
    assert batch.run(2).folder == batch.run("0002").folder
    with pytest.raises(ResultsError, match=r"run 0004 never ran: .*must be a number"):
        batch.run("0004")
    with pytest.raises(ResultsError, match="is not the folder of a batch"):
        cosim.open_batch(batch.folder / "runs")


def test_undisturbed_twins_open_too(plan: Plan, tmp_path: Path) -> None:
    folder = tmp_path / "batch"
    for variant in plan.variants[:1]:
        where = run_folder(folder, variant.run)
        written(0.1).write(where, baseline=written(0.5))
        finish_run(where, Row(run=variant.run, number=1, outcome="good", key=variant.key).model_dump_json())
    write_batch(folder, {})
    collect(folder, plan)
    batch = checked_batch(folder)
    assert float(batch.results("oak.power", baseline=True).real.max().compute()) == 0.5
    (folder / "runs/0001/baseline/results.zarr/oak/power/0").write_bytes(b"")
    with pytest.raises(ResultsError, match=r"run 0001: baseline/results\.zarr/oak/power/0 has 0 bytes"):
        cosim.open_batch(folder)


# ----------------------------------------------------------------------------------------- sabotage


def chunk(folder: Path, run: str = "0002") -> Path:
    return folder / "runs" / run / "results.zarr" / "oak" / "power" / "0"


def truncate(folder: Path) -> None:
    path = chunk(folder)
    path.write_bytes(path.read_bytes()[:-10])


def flip(folder: Path) -> None:
    path = chunk(folder)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def edit_row(folder: Path) -> None:
    path = folder / "runs/0002" / ROW
    path.write_text(path.read_text().replace('"outcome":"good"', '"outcome":"failed"'))


def rewrite(folder: Path) -> None:
    row = (folder / "runs/0002" / ROW).read_text()
    finish_run(folder / "runs/0002", row.replace('"outcome":"good"', '"outcome":"failed"'))


def edit_table(folder: Path) -> None:
    table = pandas.read_parquet(folder / TABLE)
    table.loc[1, "outcome"] = "failed"
    table.to_parquet(folder / TABLE)


def finish_another(folder: Path) -> None:
    shutil.copytree(folder / "runs/0002", folder / "runs/0007")


SABOTAGE: list[tuple[Callable[[Path], Any], str]] = [
    (truncate, r"run 0002: results\.zarr/oak/power/0 has [\d,]+ bytes instead of [\d,]+"),
    (lambda folder: chunk(folder).unlink(), r"run 0002: results\.zarr/oak/power/0 is missing"),
    (lambda folder: shutil.rmtree(chunk(folder).parent), r"run 0002: results\.zarr/oak/power is missing"),
    (lambda folder: shutil.rmtree(folder / "runs/0002"), r"run 0002: its folder .* is missing"),
    (lambda folder: shutil.rmtree(folder / "runs"), r"run 0001: its folder .* is missing"),
    (lambda folder: (folder / "runs/0002" / ROW).unlink(), r"run 0002: it has no row\.json, so it is not finished"),
    (lambda folder: (folder / "runs/0002" / ROW).write_text("{"), r"run 0002: row\.json has 1 bytes instead of"),
    (lambda folder: (folder / "runs/0002" / FILES).unlink(), r"run 0002: its list of files files\.json cannot be"),
    (lambda folder: (folder / "runs/0002/verdict.json").write_text("{}"), r"run 0002: verdict\.json has 2 bytes"),
    (lambda folder: chunk(folder).with_name("99").touch(), r"run 0002: results\.zarr/oak/power/99 was added"),
    (edit_row, r"run 0002: row\.json has [\d,]+ bytes instead of"),
    (rewrite, r"run 0002: the table is out of step with its row\.json"),
    (edit_table, r"table\.parquet is not the one that batch\.json describes"),
    (finish_another, r"run 0007: it is finished, but not in the table"),
    (lambda folder: (folder / TABLE).unlink(), r"4 runs are finished, but there is no table\.parquet"),
    (lambda folder: (folder / BATCH).unlink(), r"is not the folder of a batch"),
    (lambda folder: (folder / BATCH).write_text("{"), r"batch\.json is damaged"),
]


@pytest.mark.parametrize(("sabotage", "told"), SABOTAGE, ids=range(len(SABOTAGE)))
def test_damage_is_found_when_the_batch_is_opened(made: Make, sabotage: Callable[[Path], Any], told: str) -> None:
    folder = made()
    cosim.open_batch(folder)
    sabotage(folder)
    with pytest.raises(ResultsError, match=told) as raised:
        cosim.open_batch(folder)
    if (folder / BATCH).is_file() and "damaged:" not in str(raised.value):
        assert f"`cosim batch FILE --resume --out {folder}` runs again what is damaged" in str(raised.value)


def test_a_flipped_byte_is_found_when_every_byte_is_compared(made: Make) -> None:
    folder = made()
    flip(folder)
    cosim.open_batch(folder)
    with pytest.raises(ResultsError, match=r"run 0002: .*power/0 holds other bytes than were written") as raised:
        cosim.open_batch(folder, verify=True)
    assert f"--resume --out {folder}`" in str(raised.value)


def test_batches_are_compared_and_reported_from_their_bytes(two_good: Path, made: Make) -> None:
    """The rows' digests are equal; the values behind one of them no longer are what it was made of."""
    from typer.testing import CliRunner

    from runs.cli import app

    folder = made()
    flip(folder)
    for words in (["compare", str(two_good), str(folder)], ["report", str(folder)]):
        done = CliRunner().invoke(app, words)
        assert isinstance(done.exception, ResultsError)
        assert "run 0002: results.zarr/oak/power/0 holds other bytes than were written" in str(done.exception)


def test_a_flipped_row_is_found_without_comparing_every_byte(made: Make) -> None:
    """It has its old size, and it is what the table was made from."""
    folder = made()
    path = folder / "runs/0002" / ROW
    path.write_text(path.read_text().replace('"outcome":"good"', '"outcome":"lost"'))
    with pytest.raises(ResultsError, match=r"run 0002: row\.json holds other bytes than were written"):
        cosim.open_batch(folder)


def test_planned_runs_that_are_missing_are_said(plan: Plan, made: Make, caplog: pytest.LogCaptureFixture) -> None:
    """Four are planned: a table of three is whole as far as it goes, and no answer to the batch's question."""
    folder = made()
    shutil.rmtree(folder / "runs/0003")
    collect(folder, plan)
    batch = cosim.open_batch(folder)
    [said] = caplog.messages
    assert said.startswith(f"1 of the 4 planned runs in {folder} have not been made; `cosim batch FILE --resume")
    assert batch.missing == ("0003",)
    with pytest.raises(ResultsError, match="run 0003: it is planned, but not in the table"):
        cosim.open_batch(folder, verify=True)


def test_an_empty_table_is_no_verified_batch(plan: Plan, tmp_path: Path) -> None:
    """What a worker leaves that writes into a folder of its own: a table without a row."""
    write_batch(tmp_path, {})
    collect(tmp_path, plan)
    with pytest.raises(ResultsError, match="run 0001: it is planned, but not in the table"):
        cosim.open_batch(tmp_path, verify=True)


def test_of_much_damage_the_first_is_named_and_the_rest_counted(made: Make) -> None:
    folder = made()
    for path in (folder / "runs/0001/results.zarr").rglob("*"):
        if path.is_file():
            path.write_bytes(b"")
    with pytest.raises(ResultsError, match=r"and \d+ more"):
        cosim.open_batch(folder)
    assert {problem.run for problem in batch_problems(folder)} == {"0001"}


def test_reports_and_logs_may_change(made: Make) -> None:
    folder = made()
    (folder / "runs/0001/report.html").write_text("again")
    (folder / "runs/0001/run.log").write_text("noise")
    cosim.open_batch(folder, verify=True)


def test_a_row_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    """The process is killed at the last moment before the row has its name."""
    code = (
        "import os, signal, sys; from pathlib import Path; from cosim.batch_folder import finish_run\n"
        "Path.replace = lambda self, to: to.name == 'row.json' and os.kill(os.getpid(), signal.SIGKILL) "
        "or os.replace(self, to)\n"
        "finish_run(Path(sys.argv[1]), '{}')"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False, timeout=60)
    assert done.returncode == -9
    assert not (tmp_path / ROW).exists()
    finish_run(tmp_path, "{}")
    assert json.loads((tmp_path / ROW).read_text()) == {}


# ------------------------------------------------------------------------------------------- keeping


def test_what_is_not_kept_goes_and_the_digest_stays(tmp_path: Path) -> None:
    full = written(0.1).write(tmp_path / "full", baseline=written(0.3))
    less = written(0.1).write(tmp_path / "less", baseline=written(0.3))
    keep_only(less, ["oak.pow*"])
    less = cosim.open(less.folder)
    assert less.manifest["digest"] == full.manifest["digest"]
    assert less.manifest["dropped"] == ["oak.voltage", "weather.temperature"]
    assert less.baseline is not None
    for one, other in ((less, full), (less.baseline, full.baseline)):
        assert set(one.results.children) == {"oak"}
        assert set(one.results["oak"].data_vars) == {"power"}
        assert set(one.results["oak"].coords) == {"time"}  # no home is left
        assert np.array_equal(one.results["oak"]["power"].values, other.results["oak"]["power"].values)
        assert one.verdict == other.verdict
    assert less.trustworthy
    consolidated = xarray.open_datatree(less.folder / "results.zarr", engine="zarr", consolidated=True)
    assert set(consolidated["oak"].data_vars) == {"power"}
    assert [path.name for path in less.folder.glob(".results*")] == []
    assert compute_figures(less, {}) == {}


def test_keeping_everything_changes_nothing_and_nothing_leaves_an_empty_store(tmp_path: Path) -> None:
    run = written(0.1).write(tmp_path / "run")
    before = digest(run.folder)
    keep_only(run, ["*"])
    assert digest(run.folder) == before
    keep_only(run, [])
    assert list(cosim.open(run.folder).results.children) == []
    assert cosim.open(run.folder).verdict.trustworthy


def test_a_batch_that_keeps_nothing_says_so(made: Make) -> None:
    batch = cosim.open_batch(made({1: written(0.1)}, keep=()), verify=True)
    assert isinstance(batch, Batch)
    with pytest.raises(ResultsError, match=r"no run in .* has stored results; see `keep`"):
        batch.results("oak.power")


# ----------------------------------------------------------------------------------------- comparing


def test_two_batches_are_compared_run_by_run(plan: Plan, two_good: Path, made: Make) -> None:
    from runs.cli import app

    other = made()
    shutil.rmtree(other / "runs/0003")
    row = json.loads((other / "runs/0002" / ROW).read_text())
    finish_run(other / "runs/0002", json.dumps({**row, "outcome": "untrusted", "digest": "other"}))
    collect(other, plan)
    from typer.testing import CliRunner

    done = CliRunner().invoke(app, ["compare", str(two_good), str(other), "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert (found["pairs"], found["identical"]) == (3, 1)
    assert found["matched_by"] == ["param.gain", "param.horizon.step"]
    assert (found["only_first"], found["only_second"]) == (["0003"], [])
    assert found["outcomes"] == [
        {"first_run": "0002", "second_run": "0002", "first": "good", "second": "untrusted"},
    ]
