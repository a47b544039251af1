"""The Dask cluster that a batch runs on: one of its own on this machine, or any scheduler by its address."""

from __future__ import annotations

import asyncio
import contextlib
import logging
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
from distributed import Client, Reschedule, WorkerPlugin, get_worker

from cosim.code_identity import code_hash
from runs.batch.admission import NotAdmittedError, Question, answer, require_admitted
from runs.batch.task import OtherError, RunTask, Stopped, Zygotes, make
from runs.dask_clusters import CLOSE, Tls, connected, own_cluster

ASK = 1.0  #: [s] between two questions to the scheduler about its workers
UNANSWERED = 60.0  #: [s] after which a scheduler that does not answer is lost

#: That a run kills its workers is counted by the runs themselves (`runs/batch/task.py`), which know who was running.
_SETTINGS = {
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


@contextmanager
def connect(
    scheduler: str | None,
    workers: int,
    scratch: Path,
    kinds: tuple[str, ...],
    *,
    tls: Tls | None = None,
    dashboard: bool = False,
) -> Iterator[Cluster]:
    """A cluster; one of our own has zygotes that import what federates of `kinds` need.

    Without a `scheduler`, one of `workers` processes on this machine that ends with the context and has its files in
    `scratch`. Raises ScenarioError, MachineError if no scheduler answers.
    """
    _quiet()
    new_client: Any = Client
    with contextlib.ExitStack() as stack:
        stack.enter_context(dask.config.set(_SETTINGS))
        local = None
        if scheduler is None:
            local = stack.enter_context(own_cluster(scratch, dashboard=dashboard))
            client = stack.enter_context(_closing(new_client(local, set_as_default=False)))
            client.register_plugin(_Own(kinds, code_hash()), name=f"cosim-{os.urandom(4).hex()}")
            local.scale(workers)
        else:
            client = stack.enter_context(_closing(connected(scheduler, tls)))
        shown = client.dashboard_link if dashboard or scheduler is not None else ""
        yield Cluster(client, str(client.scheduler.address), shown or "", local, workers)


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
