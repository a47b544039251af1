"""Faults around a run: Ctrl-C, a killed supervisor, a full disk, a twin that fails, other runs on the machine."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

import cosim
from cosim.errors import CosimError, MachineError
from cosim.scenario import from_mapping

MODELS = Path(__file__).parent / "models"
ENDS_WITHIN = 10.0  #: [s] wall time

#: A run that takes minutes of wall time unless something ends it: 1 ms of waiting a step.
LONG = {
    "name": "long",
    "horizon": {"start": "2014-01-16 00:00", "duration": "100 d"},
    "federates": [
        {"name": "a", "model": {"kind": "follower.py"}},
        {"name": "b", "model": {"kind": "saboteur_alone.py", "at": "200 d"}},
    ],
    "links": [{"source": "a.y", "destination": "b.x"}, {"source": "b.y", "destination": "a.x", "lagged": True}],
    "outputs": {"chunk": "1 h"},
    "limits": {"start": "30 s"},
}

DRIVER = """
import sys, json, pathlib, cosim
from cosim.scenario import from_mapping
scenario = from_mapping(json.loads(sys.argv[1]), pathlib.Path(sys.argv[2]))
cosim.run(scenario, sys.argv[3])
"""


def processes_of(folder: Path) -> list[psutil.Process]:
    """Running federate processes that name `folder` in their command line."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            words = process.cmdline()
            alive = process.status() != psutil.STATUS_ZOMBIE
            if alive and "cosim.engine.host" in words and any(str(folder) in word for word in words):
                found.append(process)
    return found


def wait_until(condition: Callable[[], Any], seconds: float, what: str) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"after {seconds} s still not: {what}"
        time.sleep(0.02)


def listens(port: int, folder: Path) -> bool:
    """Whether a process of the run in `folder` listens on `port`; other runs on the machine may use any port."""
    own = {process.pid for process in processes_of(folder)}
    return any(e.pid in own and e.laddr.port == port and e.status == "LISTEN" for e in psutil.net_connections("tcp"))


@contextlib.contextmanager
def running(folder: Path, scenario: dict[str, Any] = LONG, command: list[str] | None = None) -> Iterator[Any]:
    """A driver process whose federation is stepping."""
    command = command or [sys.executable, "-c", DRIVER, json.dumps(scenario), str(MODELS), str(folder)]
    driver = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
    try:
        rows = folder / ".scratch" / "a.rows"
        wait_until(lambda: rows.exists() and rows.stat().st_size > 5000, 60, "stepping")
        yield driver
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(driver.pid, signal.SIGKILL)
        driver.wait(10)
        for stream in (driver.stderr, driver.stdout):
            stream.close()
        for process in processes_of(folder):
            process.kill()


def test_ctrl_c_ends_a_run_and_keeps_its_results(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with running(folder) as driver:
        port = json.loads((folder / ".scratch" / "broker.json").read_text())["port"]
        assert listens(port, folder)
        began = time.monotonic()
        os.kill(driver.pid, signal.SIGINT)
        driver.wait(ENDS_WITHIN)
        assert time.monotonic() - began < ENDS_WITHIN
        assert driver.returncode in (-signal.SIGINT, 130)
        assert processes_of(folder) == []
        assert not listens(port, folder)
        assert not (folder / ".scratch").exists()
    opened = cosim.open(folder)
    assert not opened.trustworthy
    assert "interrupted" in opened.verdict.fault
    assert opened.results["a"].sizes["time"] > 20


def test_ctrl_c_at_the_command_line_exits_with_130(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    scenario = {**LONG, "federates": [dict(entry) for entry in LONG["federates"]]}
    for entry in scenario["federates"]:
        entry["model"] = {**entry["model"], "kind": str(MODELS / entry["model"]["kind"])}
    (tmp_path / "long.yaml").write_text(json.dumps(scenario))  # JSON is YAML
    command = [sys.executable, "-m", "runs.cli", "run", str(tmp_path / "long.yaml"), "--out", str(folder)]
    with running(folder, command=command) as driver:
        os.killpg(driver.pid, signal.SIGINT)  # as a terminal does: to the whole group
        driver.wait(ENDS_WITHIN)
        assert driver.returncode == 130
        assert processes_of(folder) == []
        assert b"Traceback" not in driver.stderr.read()
    assert not (folder / ".scratch").exists()
    assert cosim.open(folder).results["a"].sizes["time"] > 20


def test_a_run_that_cannot_be_trusted_exits_with_1(tmp_path: Path) -> None:
    kind = MODELS / "saboteur.py"
    (tmp_path / "failing.yaml").write_text(
        "name: failing\nhorizon: {start: 2014-01-16 00:00, duration: 1 h}\n"
        f"federates:\n  - {{name: bad, model: {{kind: {kind}, fault: raise}}}}\n"
    )
    command = [sys.executable, "-m", "runs.cli", "run", str(tmp_path / "failing.yaml"), "--out", str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    told = " ".join(done.stderr.split())
    assert "federate 'bad' at simulated 20 min: raised ZeroDivisionError: the model divided by nothing." in told
    assert "Traceback" not in done.stderr


def test_a_run_does_not_outlive_its_supervisor(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with running(folder) as driver:
        port = json.loads((folder / ".scratch" / "broker.json").read_text())["port"]
        assert len(processes_of(folder)) == 2
        driver.kill()
        wait_until(lambda: not processes_of(folder), 5, "the federates are gone")
        assert not listens(port, folder)
    assert cosim.open(folder)  # no verdict, but the folder of a run: it can be used again
    scenario = {**LONG, "horizon": {"start": "2014-01-16 00:00", "duration": "10 min"}}
    again = cosim.run(from_mapping(scenario, MODELS), folder, overwrite=True)
    assert again.trustworthy
    assert not (folder / ".scratch").exists()


def test_killing_one_run_leaves_the_other_alone(run_to_end: Callable, tmp_path: Path) -> None:
    scenario = {**LONG, "horizon": {"start": "2014-01-16 00:00", "duration": "12 h"}}
    alone = run_to_end(scenario, tmp_path / "alone")
    with running(tmp_path / "killed") as driver:
        killer = subprocess.Popen(["sh", "-c", f"sleep 1; kill -9 {driver.pid}"])
        beside = run_to_end(scenario, tmp_path / "beside")
        killer.wait(10)
    assert (alone.fault, beside.fault) == ("", "")
    assert alone.run.manifest["digest"] == beside.run.manifest["digest"]


@pytest.mark.parametrize("process", ["main", "b"])
def test_a_process_killed_from_outside(tmp_path: Path, process: str) -> None:
    folder = tmp_path / "run"
    with running(folder) as driver:
        (victim,) = [entry for entry in processes_of(folder) if entry.cmdline()[-2] == process]
        began = time.monotonic()
        victim.kill()
        driver.wait(ENDS_WITHIN)
        assert time.monotonic() - began < ENDS_WITHIN
        assert processes_of(folder) == []
    fault = cosim.open(folder).verdict.fault
    assert "killed by SIGKILL" in fault
    named = ("federate 'b'",) if process == "b" else ("federate 'a'", "federate 'communications'")
    assert fault.startswith(named)


def test_a_stopped_process_counts_as_hung(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with running(folder, {**LONG, "limits": {"step": "1 s", "start": "30 s"}}) as driver:
        (victim,) = [entry for entry in processes_of(folder) if entry.cmdline()[-2] == "b"]
        victim.suspend()
        driver.wait(ENDS_WITHIN)
        assert processes_of(folder) == []
    assert cosim.open(folder).verdict.fault


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(folder)], check=False)
    if done.returncode != 0:
        pytest.skip("mounting a small tmpfs needs rights that this user does not have")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("chunk", ["4 h", "10 min"], ids=["journal fills it", "store fills it"])
@pytest.mark.parametrize("width", [200, 5000], ids=["narrow", "wide"])
def test_a_full_disk(small_disk: Path, chunk: str, width: int) -> None:
    scenario = {
        "name": "filler",
        "horizon": {"start": "2014-01-16 00:00", "duration": "50 h"},
        "federates": [{"name": "filler", "model": {"kind": "filler.py", "width": width}}],
        "outputs": {"chunk": chunk},
    }
    folder = small_disk / "run"
    began = time.monotonic()
    run = cosim.run(from_mapping(scenario, MODELS), folder)
    assert time.monotonic() - began < ENDS_WITHIN + run.manifest["timings"]["startup_s"]
    assert not run.trustworthy
    assert "No space left" in run.verdict.fault
    assert "Free space" in run.verdict.fault
    assert "simulated" in run.verdict.fault
    assert not (folder / ".scratch").exists()
    assert processes_of(folder) == []
    results = cosim.open(folder).results
    if "filler" not in results.children and chunk == "10 min" and width == 200:
        return  # on a busy machine the journal fills the disk before the first chunk is stored; nothing fits then
    stored = results["filler"]
    steps = stored.sizes["time"]
    assert steps > 0
    # nothing is made up where nothing could be written
    assert stored["step"].values.tolist() == list(range(1, steps + 1))
    assert (np.diff(stored["time"].values) == np.timedelta64(60, "s")).all()
    assert (stored["noise"].values > 0).all()


def test_a_disk_that_is_full_from_the_start(small_disk: Path) -> None:
    with contextlib.suppress(OSError), (small_disk / "filling").open("wb") as file:
        file.write(bytes(4_000_000))
    scenario = {**LONG, "horizon": {"start": "2014-01-16 00:00", "duration": "10 min"}}
    began = time.monotonic()
    with pytest.raises(MachineError, match="No space left"):
        cosim.run(from_mapping(scenario, MODELS), small_disk / "run")
    assert time.monotonic() - began < ENDS_WITHIN
    assert processes_of(small_disk) == []


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    scenario = from_mapping({**LONG, "horizon": {"start": "2014-01-16 00:00", "duration": "10 min"}}, MODELS)
    with pytest.raises(CosimError, match="--out"):
        cosim.run(scenario, tmp_path / "file" / "run")
    with pytest.raises(CosimError, match="--out"):
        cosim.run(scenario, tmp_path)


def test_a_fault_ends_the_twin_too(run_to_end: Callable) -> None:
    """The disturbed run fails; its undisturbed twin would go on for minutes."""
    scenario = {
        "name": "twins",
        "horizon": {"start": "2014-01-16 00:00", "duration": "10 d"},
        "federates": [
            {"name": "fragile", "model": {"kind": "fragile.py"}},
            {"name": "slow", "model": {"kind": "sleeper.py"}},
        ],
        "perturbations": [{"kind": "LoadChange", "bus": "A", "power": 5, "time": "10 min"}],
    }
    end = run_to_end(scenario)
    assert end.wall < ENDS_WITHIN
    assert "federate 'fragile' at simulated 10 min: the load changed by 5 MW" in end.fault
    twin = end.run.baseline
    assert not twin.trustworthy
    assert "ended, as the run beside it failed" in twin.verdict.fault
    assert 5 < twin.results["slow"].sizes["time"] < 10 * 1440


def test_nothing_is_left_in_the_temporary_folder() -> None:
    """A faulty run with a /tmp of its own, which is empty afterwards."""
    if any(Path(path).is_relative_to("/tmp") for path in (sys.prefix, MODELS)):
        pytest.skip("the project itself lies in /tmp, which this test hides")
    place = Path("/var/tmp") / f"cosim_test_{os.getpid()}"
    place.mkdir()
    try:
        shutil.copytree(MODELS, place / "models")
        scenario = {
            "name": "pair",
            "horizon": {"start": "2014-01-16 00:00", "duration": "1 h"},
            "federates": [{"name": "bad", "model": {"kind": "saboteur_alone.py", "fault": "kill"}}],
        }
        driver = [sys.executable, "-c", DRIVER, json.dumps(scenario), str(place / "models"), str(place / "run")]
        script = 'mount -t tmpfs none /tmp && "$@"; ls -A /tmp'
        command = ["unshare", "--mount", "sh", "-c", script, "sh", *driver]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        if "unshare" in done.stderr or "mount" in done.stderr:
            pytest.skip("a mount namespace needs rights that this user does not have")
        assert done.stderr == ""
        assert done.stdout == ""
        assert "SIGKILL" in cosim.open(place / "run").verdict.fault
    finally:
        shutil.rmtree(place)
