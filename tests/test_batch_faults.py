"""One run of a batch in a worker: its limits, and what a fault of the model or the machine makes of it."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

import cosim
from cosim.batch_folder import run_problems
from runs.batch.row import read_row
from runs.batch.task import DiskFullError, Stopped, Zygotes
from tests.batches import plan_of, processes_in, run_one, small_scenario, wait_until

SEEDS = [{"seeds": {"count": 1}}]


@pytest.fixture(scope="module", autouse=True)
def _zygotes() -> Iterator[None]:
    """The zygotes of this process, and nothing left of them."""
    yield
    Zygotes.of_this_process().close()
    assert zygotes() == []


def zygotes() -> list[psutil.Process]:
    """The zygotes that this process has started."""
    return [child for child in psutil.Process().children() if "runs.batch.zygote" in child.cmdline()]


def hosts_in(folder: Path) -> list[psutil.Process]:
    """The processes of the federation that is going on in `folder`: they have their logs there open."""
    return [process for process in processes_in(folder) if any("main.log" in e.path for e in process.open_files())]


def test_a_run_in_a_batch_is_the_run_alone(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, small_scenario(), SEEDS, report_per_run=True)
    alone = cosim.run(plan.variants[0].load(), tmp_path / "alone")
    rows = [run_one(plan, tmp_path / name) for name in ("out", "other")]
    assert [row.digest for row in rows] == [alone.manifest["digest"]] * 2
    assert rows[0].figures == {"heard": alone.results["a"]["heard"].values.sum()}
    assert (rows[0].outcome, rows[0].verdict, rows[0].error, rows[0].attempts) == ("good", "good", "", 1)
    folder = tmp_path / "out" / "runs" / "0001"
    assert read_row(folder / "row.json") == rows[0]
    assert run_problems(tmp_path / "out", "0001", verify=True) == []
    assert (folder / "report.html").stat().st_size > 10_000
    assert list((tmp_path / "out" / ".work").iterdir()) == []
    assert processes_in(tmp_path) == []


def test_a_finished_run_is_not_made_again(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, small_scenario("10 min"), SEEDS)
    row = run_one(plan, tmp_path / "out")
    written = (tmp_path / "out" / "runs" / "0001" / "row.json").stat().st_mtime_ns
    assert run_one(plan, tmp_path / "out") == row
    assert (tmp_path / "out" / "runs" / "0001" / "row.json").stat().st_mtime_ns == written


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("raise", "federate 'bad' at simulated 20 min: raised ZeroDivisionError: the model divided by nothing."),
        pytest.param("nan", "federate 'bad' at simulated 20 min: ", marks=pytest.mark.long),
    ],
)
def test_a_fault_of_the_model_is_a_row_after_one_try(tmp_path: Path, fault: str, words: str) -> None:
    row = run_one(plan_of(tmp_path, small_scenario(fault=fault), SEEDS), tmp_path / "out")
    assert (row.outcome, row.verdict, row.attempts) == ("failed", "bad", 1)
    assert row.error.startswith(words)
    log = (tmp_path / "out" / row.log).read_text()
    assert row.error.splitlines()[0] in log


def test_a_lost_process_is_tried_again_and_then_told(tmp_path: Path) -> None:
    """The federate's process kills itself each time: for all that can be seen from outside, the machine did it."""
    row = run_one(plan_of(tmp_path, small_scenario(fault="kill"), SEEDS, retries=1), tmp_path / "out")
    assert (row.outcome, row.attempts) == ("failed", 2)
    assert "killed by SIGKILL" in row.error


def test_a_hang_ends_with_the_time_limit(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, small_scenario(fault="sleep"), SEEDS, limits={"time": "4 s"})
    row = run_one(plan, tmp_path / "out")
    assert (row.outcome, row.attempts) == ("timeout", 1)
    assert row.error.startswith("took longer than limits.time (4 s) and was ended; raise the limit")
    assert "interrupted" in (tmp_path / "out" / row.log).read_text()
    opened = cosim.open(tmp_path / "out" / "runs" / "0001")
    assert opened.results["bad"].sizes["time"] == 20  # what it had recorded is kept
    assert processes_in(tmp_path) == []


def test_a_run_ends_with_the_memory_limit(tmp_path: Path) -> None:
    scenario = small_scenario(kind="hungry.py")
    row = run_one(plan_of(tmp_path, scenario, SEEDS, limits={"memory": "400 MB"}), tmp_path / "out")
    assert (row.outcome, row.attempts) == ("memory", 1)
    assert row.error.startswith("used more memory than limits.memory (400 MB) and was ended")
    assert processes_in(tmp_path) == []


def sleeping(tmp_path: Path, **batch: Any) -> Any:
    """A run that goes on until it is ended, in a thread: its plan, the processes of its federation, how to stop it."""
    plan = plan_of(tmp_path, small_scenario(fault="sleep"), SEEDS, **batch)
    stop, ends = threading.Event(), []

    def work() -> None:
        try:
            ends.append(run_one(plan, tmp_path / "out", stop.is_set))
        except Stopped:
            ends.append(None)

    thread = threading.Thread(target=work)
    thread.start()
    wait_until(lambda: hosts_in(tmp_path), 60, "the federation has started")
    return thread, stop, ends


def test_a_run_that_nobody_wants_leaves_nothing(tmp_path: Path) -> None:
    thread, stop, ends = sleeping(tmp_path)
    stop.set()
    thread.join(20)
    assert ends == [None]
    assert processes_in(tmp_path) == []
    assert list((tmp_path / "out" / ".work").iterdir()) == []
    assert not (tmp_path / "out" / "runs").exists()


def test_the_end_of_a_zygote_ends_its_run(tmp_path: Path) -> None:
    """A worker that is killed takes its zygote along; here the zygote goes, and the run is told as lost."""
    thread, _, ends = sleeping(tmp_path, retries=0)
    (zygote,) = zygotes()
    zygote.kill()
    thread.join(20)
    wait_until(lambda: not processes_in(tmp_path), 5, "the processes of the run are gone")
    assert (ends[0].outcome, ends[0].attempts) == ("failed", 1)
    assert "killed by SIGKILL" in ends[0].error


@pytest.mark.long
def test_the_processes_of_a_run_do_not_outlive_it(tmp_path: Path) -> None:
    """The run's own process is killed: what it had started goes too, before the run is told as lost."""
    thread, _, ends = sleeping(tmp_path, retries=0)
    (zygote,) = zygotes()
    (child,) = zygote.children()
    child.kill()
    thread.join(20)
    assert processes_in(tmp_path) == []
    assert ends[0].outcome == "failed"
    assert "killed by SIGKILL" in ends[0].error


def test_a_full_disk_ends_the_batch_not_the_run(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(disk)], check=False)
    if done.returncode != 0:
        pytest.skip("mounting a small tmpfs needs rights that this user does not have")
    try:
        scenario = small_scenario("50 h", kind="filler.py", width=5000)
        plan = plan_of(tmp_path, scenario, SEEDS)
        with pytest.raises(DiskFullError, match=f"no space left for results in {disk}/out; free space there"):
            run_one(plan, disk / "out")
        assert processes_in(disk) == []
        assert not (disk / "out" / "runs").exists()
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, small_scenario("10 min"), SEEDS)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".work").write_text("in the way")
    with pytest.raises(cosim.errors.MachineError, match=r"cannot write to .*\.work"):
        run_one(plan, tmp_path / "out")
