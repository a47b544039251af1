"""The Dask cluster that a batch runs on: one of its own on this machine, or any scheduler by its address."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dask
from distributed import Client, LocalCluster, Reschedule, WorkerPlugin, get_worker
from distributed.comm.addressing import get_address_host_port

from cosim.code_identity import code_hash
from cosim.errors import Fault, MachineError, ScenarioError
from runs.batch.admission import NotAdmittedError, Question, answer, require_admitted
from runs.batch.task import OtherError, RunTask, Stopped, Zygotes, make

CONNECT = 10.0  #: [s] to reach a scheduler
CLOSE = 10.0  #: [s] for the workers of an own cluster to end in good order
ASK = 1.0  #: [s] between two questions to the scheduler about its workers
UNANSWERED = 60.0  #: [s] after which a scheduler that does not answer is lost

#: Of the cluster on this machine. Its own statistics cost processor time; that a run kills its workers is counted by
#: the runs themselves (`runs/batch/task.py`), which know who was running.
_SETTINGS = {
    "distributed.worker.profile.enabled": False,
    "distributed.admin.system-monitor.gil.enabled": False,
    "distributed.scheduler.allowed-failures": 1000,
    "distributed.deploy.lost-worker-timeout": "600 s",  # a killed worker starts again, if slowly on a busy machine
}

#: A worker in one of these states takes part no more.
_LEAVING = ("closing", "closing_gracefully", "closed", "failed", "stopping", "stopped")


@dataclass
class Cluster:
    """A connection to a cluster."""

    client: Any  #: `distributed.Client`, whose methods are mostly untyped
    address: str  #: of the scheduler
    dashboard: str  #: its address in a browser, "" if it has none
    local: Any = None  #: the cluster itself, where it is of our own: it ends with the batch
    workers: int = 0  #: how many it shall have
    _heard: float = field(default_factory=time.monotonic)  #: when the scheduler last answered

    @property
    def lost(self) -> bool:
        """Whether the scheduler can no longer be reached, or does not answer."""
        return str(self.client.status) != "running" or time.monotonic() - self._heard > UNANSWERED

    def watch(self, tell: Callable[[dict[str, Any]], None]) -> Callable[[], None]:
        """Have `tell` called every second with what the scheduler knows of its workers, by address; how to end that.

        Asked in the client's own loop, so that a scheduler that stands still keeps nobody waiting here.
        """
        self._heard = time.monotonic()

        async def ask() -> None:
            while True:
                with contextlib.suppress(OSError):  # a connection that is lost shows in the client's status
                    known = await self.client.scheduler.identity(n_workers=-1)
                    self._heard = time.monotonic()
                    tell(known["workers"])
                await asyncio.sleep(ASK)

        asking = asyncio.run_coroutine_threadsafe(ask(), self.client.loop.asyncio_loop)

        def end() -> None:
            asking.cancel()

        return end

    def keep_up(self) -> None:
        """Have Dask replace workers that it has given up, as it does on a busy machine where one starts slowly."""
        if self.local is not None and len(self.local.workers) < self.workers:
            self.local.scale(self.workers)

    def kill(self, address: str) -> None:
        """Kill a worker of the own cluster that is lost, though it may only stand still; Dask starts another."""
        for nanny in list(getattr(self.local, "workers", {}).values()):
            if nanny.worker_address == address and nanny.pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(nanny.pid, signal.SIGKILL)


def check_address(scheduler: str) -> None:
    """Raises ScenarioError for what is no address of a scheduler."""
    try:
        _, port = get_address_host_port(scheduler)
        wrong = "" if port is None or 0 < port < 65536 else f"has no possible port: {port}"
    except (ValueError, TypeError):
        wrong = f"'{scheduler}' is no address"
    if wrong:
        raise ScenarioError([Fault("--scheduler", f"{wrong}.", "Give it as tcp://HOST:PORT, as the scheduler prints.")])


@contextmanager
def connect(scheduler: str | None, workers: int, scratch: Path, kinds: tuple[str, ...]) -> Iterator[Cluster]:
    """A cluster; one of our own has zygotes that import what federates of `kinds` need.

    Without a `scheduler`, one of `workers` processes on this machine that ends with the context and has its files in
    `scratch`. Raises MachineError if no scheduler answers.
    """
    _quiet()
    new_client: Any = Client
    with contextlib.ExitStack() as stack:
        stack.enter_context(dask.config.set(_SETTINGS))
        if scheduler is None:
            cluster = stack.enter_context(_local(workers, scratch))
            client = stack.enter_context(_closing(new_client(cluster, set_as_default=False)))
            client.register_plugin(_Own(kinds, code_hash()), name=f"cosim-{os.urandom(4).hex()}")
            cluster.scale(workers)
        else:
            try:
                client = new_client(scheduler, timeout=CONNECT, set_as_default=False)
            except (OSError, ValueError) as error:
                raise MachineError(
                    f"no Dask scheduler answers at {scheduler} ({error}); start one with `dask scheduler`, "
                    "or leave --scheduler out to use this machine"
                ) from None
            stack.enter_context(_closing(client))
        address, dashboard = str(client.scheduler.address), client.dashboard_link or ""
        yield Cluster(client, address, dashboard, cluster if scheduler is None else None, workers)


@contextmanager
def _local(workers: int, scratch: Path) -> Iterator[Any]:
    """Workers on this machine, none yet started: they start when the client is there."""
    new_cluster: Any = LocalCluster
    others = set(multiprocessing.active_children())
    cluster = new_cluster(
        n_workers=0,
        threads_per_worker=1,
        processes=True,
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
        memory_limit=0,  # runs are in processes of their own, and have limits of their own
        local_directory=str(scratch),
        silence_logs=logging.CRITICAL,
    )
    try:
        yield cluster
    finally:
        with contextlib.suppress(Exception):
            cluster.close(timeout=CLOSE)
        # One that stands still would be waited for without limit when this process exits.
        left = [process for process in multiprocessing.active_children() if process not in others]
        for process in left:
            process.kill()
        for process in left:
            process.join(CLOSE)


@contextmanager
def _closing(client: Any) -> Iterator[Any]:
    try:
        yield client
    finally:
        with contextlib.suppress(Exception):
            client.close(timeout=CLOSE)


def _quiet() -> None:
    """What Dask logs is for its developers; what matters to a batch is said by the batch."""
    for name in ("distributed", "distributed.client", "distributed.nanny", "distributed.scheduler", "tornado"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


class _Own(WorkerPlugin):
    """What each worker of an own cluster does when it joins: its zygote imports while the first run is on its way."""

    def __init__(self, kinds: tuple[str, ...], code: str) -> None:
        self.kinds, self.code = kinds, code

    def setup(self, worker: Any) -> None:
        """In the worker, as it starts."""
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the client, which ends its workers
        Zygotes.of_this_process().prepare(self.kinds, self.code)


def ask_in_worker(question: Question, topic: str) -> None:
    """Dask's task: ask this worker; its answer is an event, which arrives even if the worker is then gone."""
    worker = get_worker()
    given = answer(question)
    told = {"event": "answer", "worker": worker.address, "token": given.token, "refusal": given.refusal}
    worker.log_event(topic, told)


def run_in_worker(task: RunTask, key: str, topic: str) -> None:
    """Dask's task: make one run here, as long as the scheduler wants it from us; it is in its folder then.

    Raises Reschedule when it no longer does (nobody waits for it), and NotAdmittedError where this worker was not
    asked, or would compute something else.
    """
    require_admitted(task.session)
    worker = get_worker()

    def stop() -> bool:
        state = worker.state.tasks.get(key)
        return worker.status.name in _LEAVING or state is None or state.state == "cancelled"

    worker.log_event(topic, {"event": "started", "run": task.variant.run, "key": key, "worker": worker.address})
    try:
        make(task, stop, worker.address)
    except Stopped:
        raise Reschedule from None
    except OtherError as error:
        raise NotAdmittedError(str(error)) from None
