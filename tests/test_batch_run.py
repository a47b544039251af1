"""Batches on Dask: workers, clients and schedulers that are lost, what resuming repeats, and the command line."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from typer.testing import CliRunner

import cosim
from cosim.batch_folder import CIRCUMSTANCES
from cosim.errors import MachineError, ScenarioError
from runs.batch.executor import Choice, Ended, run_batch
from runs.batch.plan import Plan
from tests.batches import (
    MODELS,
    events_of,
    plan_of,
    processes_in,
    small_scenario,
    started,
    wait_until,
    write_batch_file,
)

FAULT = "federates[bad].model.fault"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A scheduler with two workers that are there before a batch comes, and after it."""
    import dask
    from distributed import LocalCluster

    settings = {
        "distributed.scheduler.allowed-failures": 3,
        "distributed.worker.profile.enabled": False,
        "distributed.deploy.lost-worker-timeout": "600 s",  # of killed workers, on a busy machine
    }
    with dask.config.set(settings):
        found = LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            memory_limit=0,
            dashboard_address="127.0.0.1:0",
            local_directory=str(tmp_path_factory.mktemp("dask")),
            silence_logs=60,
        )
        with found:
            yield found


@pytest.fixture
def execute(cluster: Any) -> Callable[..., Ended]:
    """Run a batch on that cluster."""

    def run(plan: Plan, out: Path, **choice: Any) -> Ended:
        return run_batch(plan, out, Choice(scheduler=cluster.scheduler_address, **choice), lambda state: None)

    return run


def table_of(folder: Path) -> Any:
    """What came out of a batch, whoever made it and how."""
    return cosim.open_batch(folder).table.drop(columns=list(CIRCUMSTANCES))


def finished(folder: Path) -> list[str]:
    """The runs that are finished in the folder of a batch."""
    return sorted(path.parent.name for path in folder.glob("runs/*/row.json"))


@contextlib.contextmanager
def killing_workers(cluster: Any, folder: Path, every: int, times: int) -> Iterator[list[int]]:
    """Meanwhile kill a worker each time that so many more runs have finished; yields those that were killed."""
    killed: list[int] = []
    over = threading.Event()

    def kill() -> None:
        while len(killed) < times and not over.wait(0.05):
            if len(finished(folder)) >= every * (len(killed) + 1):
                workers = list(cluster.workers.values())
                pid = workers[len(killed) % len(workers)].pid
                if pid is not None and pid not in killed:
                    killed.append(pid)
                    os.kill(pid, signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield killed
    finally:
        over.set()
        thread.join()


def faulty(good: int) -> list[dict[str, Any]]:
    """So many runs that end well, and among them one that fails, one that hangs and one that cannot run."""
    runs: list[dict[str, Any]] = [{"seed": n, FAULT: "none", "limits.step": "60 s"} for n in range(1, good + 4)]
    runs[good // 3][FAULT] = "raise"
    runs[good // 2] |= {FAULT: "sleep", "limits.step": "2 s"}
    runs[good - 1]["seed"] = -1
    return [{"list": runs}]


def check_disturbed(execute: Callable[..., Ended], cluster: Any, tmp_path: Path, good: int, every: int) -> None:
    """A batch whose workers are killed as it goes on ends as one that nobody disturbs."""
    plan = plan_of(tmp_path, small_scenario(), faulty(good), retries=5)
    out = tmp_path / "disturbed"
    times = good // every
    with killing_workers(cluster, out, every, times) as killed:
        ended = execute(plan, out)
    assert len(killed) == times
    outcomes = Counter(row.outcome for row in ended.rows)
    assert outcomes == {"good": good, "failed": 2, "invalid": 1}
    failed = {row.run: row.error for row in ended.failed}
    raised, hung, invalid = (f"{index + 1:04d}" for index in (good // 3, good // 2, good - 1))
    assert "raised ZeroDivisionError: the model divided by nothing" in failed[raised]
    assert "hangs: it has been computing for more than 2 s" in failed[hung]
    assert "seed: must be at least 0" in failed[invalid]
    assert processes_in(tmp_path) == []
    assert not (out / ".work").exists()
    again = Counter(started(out))
    assert sum(again.values()) <= good + 2 + 3 * times  # a lost run starts again, and one that had not told its end
    execute(plan, tmp_path / "undisturbed")
    assert table_of(out).equals(table_of(tmp_path / "undisturbed"))


@pytest.mark.timeout(300)
def test_workers_are_killed_and_no_run_is_lost(execute: Callable[..., Ended], cluster: Any, tmp_path: Path) -> None:
    check_disturbed(execute, cluster, tmp_path, good=6, every=3)


@pytest.mark.long
@pytest.mark.timeout(2400)
def test_two_hundred_runs_with_ten_workers_killed(execute: Callable[..., Ended], cluster: Any, tmp_path: Path) -> None:
    check_disturbed(execute, cluster, tmp_path, good=197, every=20)


def test_the_same_bits_alone_and_on_any_number_of_workers(execute: Callable[..., Ended], tmp_path: Path) -> None:
    plan = plan_of(tmp_path, small_scenario(), [{"seeds": {"count": 2}}])
    alone = [cosim.run(variant.load(), tmp_path / variant.run).manifest["digest"] for variant in plan.variants]
    on_two = execute(plan, tmp_path / "two")
    on_one = run_batch(plan, tmp_path / "one", Choice(workers=1), lambda state: None)
    assert len(set(alone)) == 2
    assert [row.digest for row in on_two.rows] == [row.digest for row in on_one.rows] == alone
    assert table_of(tmp_path / "two").equals(table_of(tmp_path / "one"))


def test_a_full_disk_ends_the_batch_and_keeps_what_is_finished(execute: Callable[..., Ended], tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(disk)], check=False)
    if done.returncode != 0:
        pytest.skip("mounting a small tmpfs needs rights that this user does not have")
    try:
        runs = [{"seed": seed, "horizon.duration": "8 h" if seed == 2 else "10 min"} for seed in (1, 2, 3)]
        scenario = small_scenario("10 min", kind="filler.py", width=1000)
        plan = plan_of(tmp_path, scenario, [{"list": runs}])
        out = disk / "out"
        with pytest.raises(MachineError, match=r"no space left for results in .*out; free space there.*add --resume"):
            execute(plan, out)
        assert processes_in(disk) == []
        kept = finished(out)
        assert "0002" not in kept
        subprocess.run(["mount", "-o", "remount,size=200m", str(disk)], check=True)
        ended = execute(plan, out, resume=True)
        assert [row.outcome for row in ended.rows] == ["good"] * 3
        assert all(started(out).count(run) == 1 for run in kept)
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_run_that_kills_its_worker_is_given_up_alone(execute: Callable[..., Ended], tmp_path: Path) -> None:
    """The others go on, even though they stood in line at the workers that were lost."""
    vary = [{"list": [{"seed": number, "federates[bad].model.kills": number == 2} for number in range(1, 6)]}]
    plan = plan_of(tmp_path, small_scenario("600 s", kind="worker_killer.py"), vary, retries=1)
    ended = execute(plan, tmp_path / "out")
    assert [row.outcome for row in ended.rows] == ["good", "lost", "good", "good", "good"]
    assert ended.rows[1].error.startswith("its worker was lost each of the 2 times it ran")
    assert ended.rows[1].attempts == 2
    assert processes_in(tmp_path) == []


def test_only_what_has_changed_runs_again(execute: Callable[..., Ended], tmp_path: Path) -> None:
    cache = tmp_path / "cache"

    def plan(gain: str, fault: str) -> Plan:
        vary = [{"list": [{"seed": 1, FAULT: "none"}, {"seed": 2, FAULT: fault}, {"seed": 3, FAULT: "none"}]}]
        return plan_of(tmp_path, small_scenario("600 s", interval=gain), vary)

    first = execute(plan("60 s", "raise"), tmp_path / "first", cache=cache)  # it would fail after 20 minutes
    assert sorted(started(tmp_path / "first")) == ["0001", "0002", "0003"]
    with pytest.raises(MachineError, match="holds a batch; add --resume"):
        execute(plan("60 s", "raise"), tmp_path / "first")

    execute(plan("60 s", "raise"), tmp_path / "first", resume=True)
    assert len(started(tmp_path / "first")) == 3
    execute(plan("60 s", "raise"), tmp_path / "first", resume=True, rerun=["0003"])
    assert started(tmp_path / "first")[3:] == ["0003"]
    changed = execute(plan("60 s", "none"), tmp_path / "first", resume=True, cache=cache)
    assert started(tmp_path / "first")[4:] == ["0002"]
    assert [row.digest for row in changed.rows] == [row.digest for row in first.rows]  # no fault within ten minutes

    other = execute(plan("60 s", "none"), tmp_path / "other", cache=cache)
    assert started(tmp_path / "other") == []
    assert all(row.cached for row in other.rows)
    assert table_of(tmp_path / "other").equals(table_of(tmp_path / "first"))
    assert cosim.open_batch(tmp_path / "other", verify=True).run("0002").trustworthy
    execute(plan("120 s", "none"), tmp_path / "slower", cache=cache)
    assert sorted(started(tmp_path / "slower")) == ["0001", "0002", "0003"]


def test_a_damaged_run_is_made_again(execute: Callable[..., Ended], tmp_path: Path) -> None:
    plan = plan_of(tmp_path, small_scenario("10 min"), [{"seeds": {"count": 2}}])
    execute(plan, tmp_path / "out")
    before = table_of(tmp_path / "out")
    (tmp_path / "out" / "runs" / "0002" / "manifest.json").write_text("{}")
    execute(plan, tmp_path / "out", resume=True)
    assert started(tmp_path / "out")[2:] == ["0002"]
    assert table_of(tmp_path / "out").equals(before)


def test_two_clients_cannot_use_one_folder(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, small_scenario("10 min"), [{"seeds": {"count": 1}}])
    (tmp_path / "out").mkdir()
    with (tmp_path / "out" / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write("process 123 on somewhere")
        lock.flush()
        with pytest.raises(MachineError, match="is in use by process 123 on somewhere; wait for it, or choose another"):
            run_batch(plan, tmp_path / "out", Choice(), lambda state: None)


def test_another_folder_is_not_touched(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, small_scenario("10 min"), [{"seeds": {"count": 1}}])
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "diary.txt").write_text("mine")
    for resume in (False, True):
        with pytest.raises(MachineError, match="choose another with --out"):
            run_batch(plan, tmp_path / "out", Choice(resume=resume), lambda state: None)
    assert [entry.name for entry in (tmp_path / "out").iterdir()] == ["diary.txt"]


def test_no_scheduler_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runs.dask_clusters.CONNECT", 1.0)  # [s] in place of ten
    plan = plan_of(tmp_path, small_scenario("10 min"), [{"seeds": {"count": 1}}])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # and does not listen
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(MachineError, match=f"no Dask scheduler answers at {address}"):
            run_batch(plan, tmp_path / "out", Choice(scheduler=address), lambda state: None)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("address", ["nowhere", "tcp://127.0.0.1:abc", "smoke://signal:1", "tcp://127.0.0.1:99999"])
def test_what_is_no_address_of_a_scheduler_is_wrong_input(tmp_path: Path, address: str) -> None:
    plan = plan_of(tmp_path, small_scenario("10 min"), [{"seeds": {"count": 1}}])
    with pytest.raises(ScenarioError, match="--scheduler: ") as raised:
        run_batch(plan, tmp_path / "out", Choice(scheduler=address), lambda state: None)
    assert raised.value.exit_code == 2
    assert not (tmp_path / "out").exists()


# The command line --------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def command(file: Path, out: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """`cosim batch` as a user starts it, with the terminal's process group."""
    words = [sys.executable, "-m", "runs.cli", "batch", str(file), "--out", str(out), *options]
    client = subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        yield client
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(client.pid, signal.SIGKILL)
        client.communicate(timeout=10)


def family(client: subprocess.Popen[str]) -> list[psutil.Process]:
    """The client's processes, and theirs."""
    return psutil.Process(client.pid).children(recursive=True)


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    return [entry for entry in processes if entry.is_running() and entry.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.timeout(300)
def test_a_client_that_is_killed_or_interrupted_loses_no_finished_run(
    execute: Callable[..., Ended], tmp_path: Path
) -> None:
    vary = [{"list": [{"seed": number, FAULT: "none" if number < 4 else "sleep"} for number in range(1, 6)]}]
    scenario = small_scenario("40 min", at="35 min")
    file = write_batch_file(tmp_path, scenario, vary)
    out = tmp_path / "out"
    with command(file, out, "--workers", "2") as client:
        wait_until(lambda: len(finished(out)) >= 2, 90, "two runs are finished")
        processes = family(client)
        client.kill()
        wait_until(lambda: not alive(processes), 10, "everything that the client had started has ended")
    kept = finished(out)
    rows = {run: (out / "runs" / run / "row.json").read_bytes() for run in kept}

    with command(file, out, "--workers", "1", "--resume") as client:
        wait_until(lambda: len(finished(out)) == 3 and "0004" in started(out)[-2:], 90, "the fourth run has started")
        processes = family(client)
        os.killpg(client.pid, signal.SIGINT)  # as a terminal does: to the whole group
        _, told = client.communicate(timeout=30)
        assert client.returncode == 130
        assert "Traceback" not in told
        assert f"3 of 5 runs are finished and kept in {out}; add --resume to go on" in told
        wait_until(lambda: not alive(processes), 3, "everything that the client had started has ended")
    assert processes_in(tmp_path) == []
    assert finished(out) == ["0001", "0002", "0003"]
    assert list(cosim.open_batch(out).table["run"]) == ["0001", "0002", "0003"]

    changed = plan_of(tmp_path, scenario, [{"list": vary[0]["list"][:3]}])  # without those that hang
    ended = execute(changed, out, resume=True)
    assert [row.run for row in ended.rows] == ["0001", "0002", "0003"]
    assert {run: (out / "runs" / run / "row.json").read_bytes() for run in kept} == rows
    assert all(started(out).count(run) == 1 for run in kept)
    execute(changed, tmp_path / "uninterrupted")
    assert table_of(out).equals(table_of(tmp_path / "uninterrupted"))


def test_the_scheduler_is_lost(tmp_path: Path) -> None:
    file = write_batch_file(tmp_path, small_scenario("10 min"), [{"seeds": {"count": 40}}])
    place = tmp_path / "scheduler.json"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "start_new_session": True}
    dask = [sys.executable, "-m", "dask"]
    scheduler = subprocess.Popen(
        [*dask, "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(place)],
        **quiet,
    )
    processes = [scheduler]
    try:
        wait_until(place.exists, 60, "the scheduler has started")
        options = ["--nthreads", "1", "--no-dashboard", "--local-directory", str(tmp_path / "dask"), "--death-timeout"]
        worker = subprocess.Popen([*dask, "worker", "--scheduler-file", str(place), *options, "30"], **quiet)
        processes.append(worker)
        address = wait_until(lambda: json.loads(place.read_text() or "{}"), 10, "its address")["address"]
        out = tmp_path / "out"
        with command(file, out, "--scheduler", address) as client:
            wait_until(lambda: len(finished(out)) >= 2, 90, "two runs are finished")
            scheduler.kill()
            _, told = client.communicate(timeout=30)
        assert client.returncode == 1
        assert "Traceback" not in told
        assert f"the Dask scheduler at {address} was lost; " in told
        assert "Start a scheduler, then add --resume to go on" in told
        wait_until(lambda: not processes_in(out), 15, "no run goes on")
        kept = finished(out)
        assert 2 <= len(kept) < 40
    finally:
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)


def test_failed_runs_are_counted_and_the_command_that_reruns_them_is_told(cluster: Any, tmp_path: Path) -> None:
    from runs.cli import app

    vary = [{"list": [{"seed": 1, FAULT: "none"}, {"seed": 2, FAULT: "raise"}, {"seed": -3, FAULT: "none"}]}]
    file = write_batch_file(tmp_path, small_scenario(at="5 min"), vary)
    words = ["batch", str(file), "--out", str(tmp_path / "out"), "--scheduler", cluster.scheduler_address]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 1
    assert "2 of 3 runs failed or cannot be trusted" in done.stderr
    assert "run 0002, failed: federate 'bad' at simulated 5 min: raised ZeroDivisionError" in done.stderr
    again = done.stderr.splitlines()[-1].removeprefix("To run just those again: ")
    assert again.startswith(f"cosim batch {file} --rerun-failed --out {tmp_path / 'out'}")
    assert "3 runs: 1 good, 1 failed, 1 invalid" in done.stdout
    done = CliRunner().invoke(app, [*again.split()[1:], "--json"])
    assert done.exit_code == 1
    told = json.loads(done.stdout)
    assert told["outcomes"] == {"good": 1, "failed": 1, "invalid": 1}
    assert [entry["run"] for entry in told["failed"]] == ["0002", "0003"]
    begun = started(tmp_path / "out")
    assert (sorted(begun[:2]), begun[2:]) == (["0001", "0002"], ["0002"])  # two workers start in no order
    done = CliRunner().invoke(app, [*words, "--rerun", "0009"])
    assert "there is no run '0009'" in str(done.exception)


def test_events_say_what_happened(execute: Callable[..., Ended], tmp_path: Path) -> None:
    plan = plan_of(tmp_path, small_scenario("10 min"), [{"seeds": {"count": 1}}])
    execute(plan, tmp_path / "out")
    events = events_of(tmp_path / "out")
    assert [event["event"] for event in events] == [
        "batch started",
        "cluster",
        "run started",
        "run finished",
        "batch finished",
    ]
    assert events[3]["outcome"] == "good"
    assert MODELS.name not in json.dumps(events[0])
