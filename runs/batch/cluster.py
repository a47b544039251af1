"""The Dask cluster that a batch runs on: one of its own on this machine, or any scheduler by its address."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dask
from distributed import Client, LocalCluster, Reschedule, WorkerPlugin, get_worker
from distributed.comm.addressing import get_address_host_port

from cosim.code_identity import code_hash
from cosim.errors import Fault, MachineError, ScenarioError
from cosim.manifest import versions
from runs.batch.row import Row
from runs.batch.task import RunTask, Stopped, Zygotes, execute

CONNECT = 10.0  #: [s] to reach a scheduler
CLOSE = 10.0  #: [s] for the workers of an own cluster to end in good order

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


@dataclass(frozen=True)
class Cluster:
    """A connection to a cluster."""

    client: Any  #: `distributed.Client`, whose methods are mostly untyped
    address: str  #: of the scheduler
    dashboard: str  #: its address in a browser, "" if it has none
    local: Any = None  #: the cluster itself, where it is of our own: it ends with the batch
    workers: int = 0  #: how many it shall have

    @property
    def lost(self) -> bool:
        """Whether the scheduler can no longer be reached."""
        return str(self.client.status) != "running"

    def keep_up(self) -> None:
        """Have Dask replace workers that it has given up, as it does on a busy machine where one starts slowly."""
        if self.local is not None and len(self.local.workers) < self.workers:
            self.local.scale(self.workers)


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
    """A cluster with zygotes that have imported what federates of `kinds` need.

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
        else:
            try:
                client = new_client(scheduler, timeout=CONNECT, set_as_default=False)
            except (OSError, ValueError) as error:
                raise MachineError(
                    f"no Dask scheduler answers at {scheduler} ({error}); start one with `dask scheduler`, "
                    "or leave --scheduler out to use this machine"
                ) from None
            stack.enter_context(_closing(client))
        name = f"cosim-{os.urandom(4).hex()}"
        client.register_plugin(_Warm(kinds, code_hash(), own=scheduler is None), name=name)
        if scheduler is None:
            cluster.scale(workers)
        try:
            address, dashboard = str(client.scheduler.address), client.dashboard_link or ""
            yield Cluster(client, address, dashboard, cluster if scheduler is None else None, workers)
        finally:
            if scheduler is not None and str(client.status) == "running":
                with contextlib.suppress(Exception):
                    client.unregister_worker_plugin(name)


@contextmanager
def _local(workers: int, scratch: Path) -> Iterator[Any]:
    """Workers on this machine, none yet started: they start when the client is there."""
    new_cluster: Any = LocalCluster
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


class _Warm(WorkerPlugin):
    """What each worker does when it joins: it makes its zygote, which imports while the first run is on its way."""

    def __init__(self, kinds: tuple[str, ...], code: str, own: bool) -> None:
        self.kinds, self.code, self.own = kinds, code, own

    def setup(self, worker: Any) -> None:
        """In the worker, as it starts."""
        if self.own and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the client, which ends its workers
        Zygotes.of_this_process().prepare(self.kinds, self.code)


def run_in_worker(task: RunTask, key: str, topic: str) -> Row:
    """Dask's task: make one run here, as long as the scheduler wants it from us.

    Raises Reschedule when it no longer does (a task is then given to another worker, or nobody waits for it), and
    MachineError where this worker would compute something else.
    """
    worker = get_worker()
    _check_versions(task, worker.address)

    def stop() -> bool:
        state = worker.state.tasks.get(key)
        return worker.status.name in _LEAVING or state is None or state.state == "cancelled"

    worker.log_event(topic, {"event": "started", "run": task.variant.run, "worker": worker.address})
    try:
        return execute(task, stop, worker.address)
    except Stopped:
        raise Reschedule from None


def _check_versions(task: RunTask, address: str) -> None:
    """Other versions can give other results. Raises MachineError."""
    here = versions()
    other = [
        f"{name} {here.get(name)} instead of {wanted}"
        for name, wanted in task.versions.items()
        if here.get(name) != wanted
    ]
    if other:
        raise MachineError(f"the Dask worker {address} has {', '.join(other)}; install the same versions everywhere")
