"""One run on several Dask workers: the same bits as in one place, and the same verdicts when something goes wrong.

The workers are real ones: processes of their own, each at another address, as on two machines.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

import cosim
from cosim.engine.workers import Worker, place
from cosim.errors import MachineError
from cosim.scenario import from_mapping
from cosim.simulation import Interrupted

ROOT = Path(__file__).parents[1]
MODELS = Path(__file__).parent / "models"
HOSTS = ("127.0.0.1", "127.0.0.2")
SCHEDULER = {"host": HOSTS[0], "dashboard": False, "dashboard_address": f"{HOSTS[0]}:0"}
ENDS_WITHIN = 25.0  #: [s] wall time after a fault: what Dask needs to see that a worker is gone comes on top


@dataclass
class Cluster:
    """A scheduler and two workers."""

    client: Any
    address: str
    folder: Path  #: of the workers' scratch files

    def hosts(self) -> dict[str, psutil.Process]:
        """The processes of federates on its workers, by name."""
        found = {}
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                words = process.cmdline()
                if (
                    "cosim.engine.host" in words
                    and alive([process])
                    and any(str(self.folder) in word for word in words)
                ):
                    found[words[-2]] = process
        return found

    def left(self) -> list[Any]:
        """What runs have left on the workers: processes and scratch folders."""
        return [*self.hosts().values(), *self.folder.glob("dask-scratch-space/*/cosim-*")]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two workers, each a process at an address of its own, under nannies that start them again when they die."""
    from distributed import Client, Nanny, Scheduler, SpecCluster

    folder = tmp_path_factory.mktemp("workers")
    options = {"nthreads": 1, "dashboard_address": ":0", "local_directory": str(folder)}
    workers = {host: {"cls": Nanny, "options": {"host": host, **options}} for host in HOSTS}
    scheduler = {"cls": Scheduler, "options": SCHEDULER}
    with SpecCluster(workers=workers, scheduler=scheduler, silence_logs="ERROR") as spec, Client(spec) as client:
        client.wait_for_workers(2)
        yield Cluster(client, spec.scheduler_address, folder)


@pytest.fixture(autouse=True)
def nothing_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """No run leaves a process or file on a worker, and both workers are there for the next test."""
    yield
    if "cluster" in request.fixturenames:
        used: Cluster = request.getfixturevalue("cluster")
        wait_until(lambda: not used.left(), 10, f"nothing is left of {used.left()}")
        used.client.wait_for_workers(2)


def wait_until(condition: Callable[[], Any], seconds: float, what: str) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"after {seconds} s still not: {what}"
        time.sleep(0.02)


def alive(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    return [process for process in processes if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]


def long(pair: dict[str, Any], **limits: str) -> dict[str, Any]:
    """A pair that would run for minutes."""
    pair["federates"][1]["model"]["at"] = "200 d"
    pair["horizon"]["duration"] = "100 d"
    pair["limits"] |= {"step": "8 s", **limits}
    return pair


class InBackground:
    """A run in a thread, and how to wait until it steps."""

    def __init__(self, mapping: dict[str, Any], out: Path, cluster: Cluster) -> None:
        self.stop, self.run, self.error = threading.Event(), None, None
        self._thread = threading.Thread(target=self._run, args=(from_mapping(mapping, MODELS), out, cluster))
        self._thread.start()
        rows = out / ".scratch" / "bad.rows"
        wait_until(lambda: rows.exists() and rows.stat().st_size > 500, 60, "it steps")

    def _run(self, scenario: cosim.Scenario, out: Path, cluster: Cluster) -> None:
        try:
            self.run = cosim.run(scenario, out, stop=self.stop, workers=cluster.client)
        except Exception as error:
            self.error = error

    def join(self) -> Any:
        self._thread.join(ENDS_WITHIN)
        assert not self._thread.is_alive()
        return self.run


# Where what runs -----------------------------------------------------------------------------------------------------


def test_processes_go_where_there_is_room() -> None:
    small, large = Worker("a", "a", 1), Worker("b", "b", 3)
    names = ["f1", "main", *(f"f{number}" for number in range(2, 9))]
    placed = place(names, [small, large])
    assert placed["main"] == large
    assert [sum(at == worker for at in placed.values()) for worker in (small, large)] == [2, 7]
    assert place(names, [small, large]) == placed


def test_the_same_bits_on_two_workers_as_here(cluster: Cluster, tmp_path: Path) -> None:
    """Five processes, with values and messages with random delays and losses across."""
    mapping = {
        "name": "five",
        "horizon": {"start": "2014-01-16 00:00", "duration": "30 min"},
        "federates": [
            {"name": "a", "model": {"kind": "talker.py", "to": "b"}},
            {"name": "b", "model": {"kind": "talker.py", "to": "a"}},
            {"name": "c", "model": {"kind": "follower.py"}},
            {"name": "d", "model": {"kind": "follower.py", "gain": 0.3}},
        ],
        "links": [{"source": "c.y", "destination": "d.x"}, {"source": "d.y", "destination": "c.x", "lagged": True}],
        "communications": {"profile": "rf_mesh"},
        "placement": "separate",
    }
    scenario = from_mapping(mapping, MODELS)
    here = cosim.run(scenario, tmp_path / "here")
    seen: dict[str, set[str]] = {}

    def look(_: str, state: Any) -> None:
        for name, process in cluster.hosts().items():
            with contextlib.suppress(psutil.Error):
                listens = process.net_connections("tcp")
                seen.setdefault(name, set()).update(e.laddr.ip for e in listens if e.status == "LISTEN")

    spread = cosim.run(scenario, tmp_path / "spread", workers=cluster.address, progress=look)
    assert spread.trustworthy, (spread.verdict, (spread.folder / "run.log").read_text())
    assert spread.manifest["digest"] == here.manifest["digest"]
    assert spread.manifest["timings"]["steps"] == here.manifest["timings"]["steps"]
    assert spread.manifest["timings"]["peak_memory_MB"] > 100
    assert len(seen) == 5
    assert {address for addresses in seen.values() for address in addresses} == set(HOSTS)  # both, and no other


@pytest.mark.long
def test_input_files_need_not_be_on_the_worker(tmp_path: Path) -> None:
    """The worker sees an empty folder where the federates' files are, as another machine would."""
    from distributed import Client, Scheduler, SpecCluster

    models = Path("/var/tmp") / f"cosim_models_{os.getpid()}"
    models.mkdir()
    try:
        shutil.copy(MODELS / "follower.py", models)
        federates = [{"name": name, "model": {"kind": "follower.py"}} for name in "ab"]
        links = [{"source": "a.y", "destination": "b.x"}, {"source": "b.y", "destination": "a.x", "lagged": True}]
        horizon = {"start": "2014-01-16 00:00", "duration": "1 h"}
        mapping = {"name": "files", "horizon": horizon, "placement": "separate", "federates": federates, "links": links}
        scenario = from_mapping(mapping, models)
        here = cosim.run(scenario, tmp_path / "here")
        spec = {"cls": Scheduler, "options": SCHEDULER}
        with SpecCluster(scheduler=spec) as bare, Client(bare, set_as_default=False) as client:
            words = ["-m", "distributed.cli.dask_worker", bare.scheduler_address, "--no-dashboard", "--no-nanny"]
            words += ["--host", HOSTS[0], "--local-directory", str(tmp_path)]
            script = f'mount -t tmpfs none {models} && exec "$@"'
            with (tmp_path / "log").open("w") as log:
                worker = subprocess.Popen(
                    ["unshare", "--mount", "sh", "-c", script, "sh", sys.executable, *words], stdout=log, stderr=log
                )
            try:
                wait_until(lambda: client.scheduler_info()["workers"] or worker.poll() is not None, 60, "it joins")
                if worker.poll() is not None:
                    pytest.skip("a mount namespace needs rights that this user does not have")
                spread = cosim.run(scenario, tmp_path / "spread", workers=client)
            finally:
                worker.terminate()
                worker.wait(20)
        assert spread.trustworthy, (spread.verdict, (spread.folder / "run.log").read_text())
        assert spread.manifest["digest"] == here.manifest["digest"]
    finally:
        shutil.rmtree(models)


# What can go wrong ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("raise", ["raised ZeroDivisionError: the model divided by nothing", "run.log"]),
        pytest.param("kill", ["killed by SIGKILL", "computing"], marks=pytest.mark.long),
        pytest.param("loop", ["hangs: it has been computing", "limits.step (now 2 s)"], marks=pytest.mark.long),
    ],
)
def test_a_federate_fails_on_a_worker(
    cluster: Cluster, run_to_end: Callable, pair: Callable, fault: str, words: list[str]
) -> None:
    end = run_to_end(pair("saboteur_alone.py", fault=fault), workers=cluster.client)
    assert end.wall - end.run.manifest["timings"]["startup_s"] < ENDS_WITHIN
    for word in ("federate 'bad' at simulated 20 min", *words):
        assert word in end.fault
    assert end.run.results["bad"]["level"].values.tolist() == list(range(20))  # all that it had committed has come
    if fault == "raise":
        assert "saboteur.py" in (end.run.folder / "run.log").read_text()


@pytest.mark.parametrize("number", [pytest.param(0, marks=pytest.mark.long), 1], ids=["with the broker", "without"])
def test_a_worker_is_killed(cluster: Cluster, pair: Callable, tmp_path: Path, number: int) -> None:
    running = InBackground(long(pair("saboteur_alone.py")), tmp_path / "run", cluster)
    address = sorted(cluster.client.scheduler_info()["workers"])[number]
    hosts = cluster.hosts()
    assert set(hosts) == {"main", "bad"}
    os.kill(cluster.client.run(os.getpid, workers=[address])[address], signal.SIGKILL)
    began = time.monotonic()
    run = running.join()
    assert time.monotonic() - began < ENDS_WITHIN
    named = ("good", "communications") if number == 0 else ("bad",)
    assert any(run.verdict.fault.startswith(f"federate '{name}'") for name in named)
    assert f"was lost: the Dask worker {address}" in run.verdict.fault
    assert run.results["bad"].sizes["time"] > 5
    wait_until(lambda: not alive(hosts.values()), 5, "its processes are gone")


@pytest.mark.long
def test_a_worker_that_stands_still(cluster: Cluster, pair: Callable, tmp_path: Path) -> None:
    running = InBackground(long(pair("saboteur_alone.py"), step="60 s"), tmp_path / "run", cluster)
    address = sorted(cluster.client.scheduler_info()["workers"])[1]
    worker = psutil.Process(cluster.client.run(os.getpid, workers=[address])[address])
    worker.suspend()
    try:
        run = running.join()
    finally:
        worker.resume()
    assert f"was lost: the Dask worker {address} has not answered for 6 s" in run.verdict.fault
    # when it goes on it hears nothing more of the run, and ends what it has of it
    wait_until(lambda: not cluster.left(), 30, "the worker has cleared up")


@pytest.mark.long
def test_a_worker_that_stands_still_before_the_run(
    cluster: Cluster, pair: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked which files it lacks, and does not answer."""
    monkeypatch.setattr("cosim.engine.workers.CALLED_WITHIN", 3.0)
    address = sorted(cluster.client.scheduler_info()["workers"])[1]
    worker = psutil.Process(cluster.client.run(os.getpid, workers=[address])[address])
    worker.suspend()
    try:
        run = cosim.run(from_mapping(pair("saboteur_alone.py"), MODELS), tmp_path / "run", workers=cluster.client)
        told = run.verdict.fault or ""
    except MachineError as error:
        told = str(error)
    finally:
        worker.resume()
    assert "a Dask worker cannot be reached" in told


def test_a_worker_with_other_code_takes_no_part(
    cluster: Cluster, pair: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here the supervisor's own hash is another; the versions are the same."""
    monkeypatch.setattr("cosim.code_identity.code_hash", lambda: "of another tree")
    try:
        told = cosim.run(from_mapping(pair(), MODELS), tmp_path / "run", workers=cluster.client).verdict.fault or ""
    except MachineError as error:
        told = str(error)
    assert "runs other code of cosim than we" in told


def test_an_interrupted_run(cluster: Cluster, pair: Callable, tmp_path: Path) -> None:
    running = InBackground(long(pair("saboteur_alone.py")), tmp_path / "run", cluster)
    running.stop.set()
    running.join()
    assert isinstance(running.error, Interrupted)
    assert not cluster.left()
    opened = cosim.open(tmp_path / "run")
    assert "interrupted" in opened.verdict.fault
    assert opened.results["bad"].sizes["time"] > 5


DRIVER = """
import sys, json, pathlib, cosim
from cosim.scenario import from_mapping
if __name__ == "__main__":
    cosim.run(from_mapping(json.loads(sys.argv[1]), pathlib.Path(sys.argv[2])), sys.argv[3], workers=sys.argv[4])
"""


@pytest.mark.long
def test_workers_do_not_go_on_without_their_supervisor(cluster: Cluster, pair: Callable, tmp_path: Path) -> None:
    mapping = long(pair("saboteur_alone.py"))
    words = [json.dumps(mapping), str(MODELS), str(tmp_path / "run"), cluster.address]
    driver = subprocess.Popen([sys.executable, "-c", DRIVER, *words])
    rows = tmp_path / "run" / ".scratch" / "bad.rows"
    wait_until(lambda: rows.exists() and rows.stat().st_size > 500, 60, "it steps")
    assert set(cluster.hosts()) == {"main", "bad"}
    driver.kill()
    driver.wait()
    wait_until(lambda: not cluster.left(), 30, "the workers have cleared up")


@pytest.mark.long
@pytest.mark.timeout(300)
def test_the_scheduler_is_killed(pair: Callable, tmp_path: Path) -> None:
    """The run ends with what was recorded; the workers end with their scheduler, and what they ran with them."""
    words = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", HOSTS[0], "--port", "0"]
    file = tmp_path / "scheduler.json"
    started = [
        subprocess.Popen(
            [*words, "--scheduler-file", str(file), "--no-dashboard", "--dashboard-address", ":0"],
            stderr=subprocess.DEVNULL,
        )
    ]
    try:
        wait_until(file.exists, 30, "the scheduler listens")
        address = json.loads(file.read_text())["address"]
        for host in HOSTS:
            options = [
                "--host",
                host,
                "--local-directory",
                str(tmp_path / "workers"),
                "--no-dashboard",
                "--nthreads",
                "1",
            ]
            command = [sys.executable, "-m", "distributed.cli.dask_worker", address, *options]
            started.append(subprocess.Popen(command, stderr=subprocess.DEVNULL))
        from distributed import Client

        with contextlib.suppress(OSError), Client(address) as client:
            client.wait_for_workers(2)
            used = Cluster(client, address, tmp_path / "workers")
            running = InBackground(long(pair("saboteur_alone.py")), tmp_path / "run", used)
            started[0].kill()
            run = running.join()
        assert "was lost: the Dask worker" in run.verdict.fault
        assert "scheduler" in run.verdict.fault
        assert run.results["bad"].sizes["time"] > 5
        wait_until(lambda: not used.hosts(), 60, "no process is left")
    finally:
        for process in started:
            process.kill()
            process.wait()


def test_no_scheduler_there(tmp_path: Path, pair: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cosim.engine.workers.ANSWERS_WITHIN", 0.5)
    for address in ("tcp://127.0.0.1:9", "nonsense"):
        with pytest.raises(MachineError, match=r"no Dask scheduler answers at .*start one with `dask scheduler`"):
            cosim.run(from_mapping(pair(), MODELS), tmp_path / "run", workers=address)
    assert not (tmp_path / "run").exists()


@pytest.mark.long
def test_a_town_on_two_workers(cluster: Cluster, tmp_path: Path) -> None:
    """Ten feeders with 1,100 homes, half an hour of the hot day."""
    town = cosim.load(ROOT / "runs" / "scenarios" / "town.yaml")
    town = town.update(horizon={"start": "2014-01-16T14:00:00", "duration": "30 min", "step": "60 s"}, perturbations=[])
    here = cosim.run(town, tmp_path / "here")
    spread = cosim.run(town, tmp_path / "spread", workers=cluster.client)
    assert spread.trustworthy, spread.verdict
    assert spread.manifest["digest"] == here.manifest["digest"]
