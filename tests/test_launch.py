"""How the processes of a run are launched: forked from a warm one they are what started ones are; a folder is one
run's."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

import cosim
from cosim.engine.launcher import LocalLaunch
from cosim.engine.warm import WarmLauncher
from cosim.errors import MachineError
from cosim.scenario import from_mapping
from cosim.simulation import Interrupted

ROOT = Path(__file__).parents[1]
MODELS = Path(__file__).parent / "models"

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="a warm start needs pidfd, which is Linux'")


class Noting(WarmLauncher):
    """A warm launcher that notes which processes it forked."""

    def __init__(self) -> None:
        super().__init__()
        self.forked: dict[str, psutil.Process] = {}

    def launch(self, federation: Any, scratch: Path) -> LocalLaunch:
        launch = super().launch(federation, scratch)
        start = launch.start

        def noting() -> None:
            start()
            self.forked |= {name: psutil.Process(process.pid) for name, process in launch.local.items()}

        launch.start = noting  # type: ignore[method-assign]
        return launch

    def alive(self) -> list[psutil.Process]:
        """Those that still run."""
        return [process for process in self.forked.values() if process.is_running()]


@pytest.fixture(scope="module")
def shared() -> Iterator[Noting]:
    with Noting() as launcher:
        yield launcher


@pytest.fixture
def warm(shared: Noting) -> Iterator[Noting]:
    """A warm launcher, with nothing left of the processes that it forked for the test."""
    shared.forked.clear()
    yield shared
    assert shared.alive() == []


def wait_until(condition: Callable[[], Any], seconds: float, what: str) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"after {seconds} s still not: {what}"
        time.sleep(0.02)


def test_the_same_bits_warm_as_cold(tmp_path: Path, warm: Noting) -> None:
    """GridLAB-D, power flow, dispatch, weather and demand, from modules imported before the fork."""
    horizon = {"start": "2014-01-16T14:00:00", "duration": "3 min", "step": "60 s"}
    scenario = cosim.load(ROOT / "runs" / "scenarios" / "heat_wave_neighbourhood.yaml")
    scenario = scenario.update(horizon=horizon, perturbations=[])
    cold = cosim.run(scenario, tmp_path / "cold")
    forked = cosim.run(scenario, tmp_path / "forked", launcher=warm)
    assert forked.trustworthy
    assert forked.manifest["digest"] == cold.manifest["digest"]
    assert {process.ppid() for process in warm.alive()} == set()


@pytest.mark.long
def test_a_run_and_its_twin_at_once(tmp_path: Path, warm: Noting) -> None:
    mapping = {
        "name": "twins",
        "horizon": {"start": "2014-01-16 00:00", "duration": "1 h"},
        "transmission": {"case": "case39"},
        "perturbations": [{"kind": "LoadChange", "bus": 4, "power": 5, "time": "10 min"}],
    }
    run = cosim.run(from_mapping(mapping, MODELS), tmp_path / "run", launcher=warm)
    assert run.trustworthy
    assert run.baseline is not None


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("raise", ["raised ZeroDivisionError: the model divided by nothing", "run.log"]),
        ("kill", ["killed by SIGKILL", "computing"]),
        pytest.param("exit_5", ["exit code 5"], marks=pytest.mark.long),
        pytest.param("loop", ["hangs: it has been computing", "limits.step (now 2 s)"], marks=pytest.mark.long),
    ],
)
def test_faults_of_forked_processes(
    run_to_end: Callable, pair: Callable, warm: Noting, fault: str, words: list[str]
) -> None:
    end = run_to_end(pair("saboteur_alone.py", fault=fault), launcher=warm)
    for word in ("federate 'bad' at simulated 20 min", *words):
        assert word in end.fault
    assert end.run.results["bad"]["level"].values.tolist() == list(range(20))
    if fault == "raise":
        assert "saboteur.py" in (end.run.folder / "run.log").read_text()


class Running:
    """A warm run of a pair that would go on for minutes, in a thread."""

    def __init__(self, pair: Callable, out: Path, launcher: Noting) -> None:
        mapping = pair("saboteur_alone.py", duration="100 d", at="200 d")
        self.stop, self.error = threading.Event(), None
        self._thread = threading.Thread(target=self._run, args=(from_mapping(mapping, MODELS), out, launcher))
        self._thread.start()
        rows = out / ".scratch" / "bad.rows"
        wait_until(lambda: rows.exists() and rows.stat().st_size > 500, 60, "it steps")
        assert set(launcher.forked) == {"main", "bad"}

    def _run(self, scenario: cosim.Scenario, out: Path, launcher: Noting) -> None:
        try:
            cosim.run(scenario, out, stop=self.stop, launcher=launcher)
        except BaseException as error:
            self.error = error

    def join(self) -> None:
        self._thread.join(30)
        assert not self._thread.is_alive()


def test_forked_processes_lead_sessions_of_their_own(tmp_path: Path, pair: Callable, warm: Noting) -> None:
    """Ctrl-C in the terminal does not reach them, and killing one takes its children along; one numeric thread each."""
    running = Running(pair, tmp_path / "run", warm)
    for process in warm.forked.values():
        assert os.getsid(process.pid) == os.getpgid(process.pid) == process.pid
        files = {Path(f"/proc/{process.pid}/fd/{number}").resolve() for number in (1, 2)}
        assert {path.suffix for path in files} == {".log"}
        environment = process.environ()  # as it was given to the zygote
        assert environment["OMP_NUM_THREADS"] == "1"
    running.stop.set()
    running.join()
    assert isinstance(running.error, Interrupted)


def test_the_zygote_is_killed(tmp_path: Path, pair: Callable) -> None:
    """What it had forked ends with it, the run says so, and the next run has another one."""
    with Noting() as launcher:
        running = Running(pair, tmp_path / "run", launcher)
        zygote = next(iter(launcher.forked.values())).parent()
        zygote.kill()
        running.join()
        assert "killed by SIGKILL" in cosim.open(tmp_path / "run").verdict.fault
        wait_until(lambda: not launcher.alive(), 5, "what it forked is gone")
        again = cosim.run(from_mapping(pair(), MODELS), tmp_path / "again", launcher=launcher)
        assert again.trustworthy


DRIVER = """
import sys, json, pathlib, cosim
from cosim.engine.warm import WarmLauncher
from cosim.scenario import from_mapping
launcher = WarmLauncher(forked=sys.argv[4] == "forked")
cosim.run(from_mapping(json.loads(sys.argv[1]), pathlib.Path(sys.argv[2])), sys.argv[3], launcher=launcher)
"""


@pytest.mark.parametrize("how", [pytest.param("started", marks=pytest.mark.long), "forked"])
def test_nothing_outlives_the_supervisor(tmp_path: Path, pair: Callable, how: str) -> None:
    """SIGKILL of who runs: the zygote, started or forked from it, and what that forked, are gone at once."""
    mapping = pair("saboteur_alone.py", duration="100 d", at="200 d")
    folder = tmp_path / "run"
    words = [json.dumps(mapping), str(MODELS), str(folder), how]
    driver = subprocess.Popen([sys.executable, "-c", DRIVER, *words])
    try:
        rows = folder / ".scratch" / "bad.rows"
        wait_until(lambda: rows.exists() and rows.stat().st_size > 500, 60, "it steps")
        below = psutil.Process(driver.pid).children(recursive=True)
        assert len(below) == 3
        with pytest.raises(MachineError, match="in use by another run"):
            cosim.run(from_mapping(pair(), MODELS), folder, overwrite=True)
    finally:
        driver.kill()
        driver.wait()
    wait_until(lambda: not [p for p in below if running(p)], 5, "they are gone")
    with pytest.raises(MachineError, match="add --overwrite"):
        cosim.run(from_mapping(pair(), MODELS), folder)
    assert cosim.run(from_mapping(pair(), MODELS), folder, overwrite=True).trustworthy
    assert not (folder / ".scratch").exists()


def running(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def test_a_folder_in_which_a_run_was_killed_before_its_first_result(tmp_path: Path, pair: Callable) -> None:
    (tmp_path / "run" / ".scratch").mkdir(parents=True)
    assert cosim.run(from_mapping(pair(), MODELS), tmp_path / "run", overwrite=True).trustworthy


def test_a_zygote_forks_only_from_one_thread(tmp_path: Path) -> None:
    event = threading.Event()
    thread = threading.Thread(target=event.wait, name="in the way")
    thread.start()
    try:
        with pytest.raises(MachineError, match=r"with threads .*in the way"):
            WarmLauncher(forked=True)
    finally:
        event.set()
        thread.join()


@pytest.mark.long
def test_a_federate_whose_module_starts_a_thread_is_started_cold(tmp_path: Path, pair: Callable) -> None:
    """A fork would not have the thread; the run goes on with processes of their own."""
    package = tmp_path / "threaded_federate-1.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: threaded-federate\nVersion: 1\n")
    (package / "entry_points.txt").write_text("[cosim.federates]\nthreaded = threaded_federate:Follower\n")
    source = (MODELS / "follower.py").read_text()
    start = "\nimport threading, time\nthreading.Thread(target=time.sleep, args=(1e6,), daemon=True).start()\n"
    (tmp_path / "threaded_federate.py").write_text(source + start)
    mapping = {**pair(), "federates": [{"name": "good", "model": {"kind": "threaded"}}], "links": []}
    driver = DRIVER + "print(launcher.warm)"
    words = [json.dumps(mapping), str(MODELS), str(tmp_path / "run"), "started"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-c", driver, *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=100)
    assert done.stdout.split() == ["False"]
    assert cosim.open(tmp_path / "run").trustworthy


@pytest.mark.long
def test_sigterm_ends_a_forked_process_at_once(tmp_path: Path, pair: Callable, warm: Noting) -> None:
    """Whatever handler the process from which it was forked has: it dies of it, and the run says so."""
    running = Running(pair, tmp_path / "run", warm)
    os.kill(warm.forked["bad"].pid, signal.SIGTERM)
    running.join()
    assert "killed by SIGTERM" in cosim.open(tmp_path / "run").verdict.fault
