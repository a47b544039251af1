"""One run on several Dask workers: its processes spread over them, supervised from here as if they ran here.

The process with the broker goes to a worker too: workers reach each other, and whoever calls may stand far from them,
behind the scheduler. Each worker has a deputy (`cosim/engine/deputy.py`). A thread
for each brings what is new there into the run's scratch folder: the supervisor and the recorder see no difference.
"""

from __future__ import annotations

import asyncio
import contextlib
import pickle
import secrets
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from cosim.engine import deputy
from cosim.engine.deputy import News, Order, Report
from cosim.engine.files import BROKER_FILE, LOOPBACK, write_private
from cosim.engine.launcher import LEAVE, Process
from cosim.engine.status import ROW, StatusTable
from cosim.errors import MachineError
from cosim.federation import MAIN_PROCESS, Federation

if TYPE_CHECKING:
    from distributed import Client

ANSWERS_WITHIN = 10.0  #: [s] that a scheduler may take to be reached
CALLED_WITHIN = 120.0  #: [s] that a worker may take to begin, first imports on a busy machine included
SILENT = 6.0  #: [s] without an answer after which a worker counts as lost; less than `limits.step` by default
_PATIENCE = 0.5  #: [s] to wait for an answer before asking whether the worker is still there


@dataclass(frozen=True)
class Worker:
    """A Dask worker."""

    address: str
    host: str  #: the address of its machine
    threads: int


def place(processes: Sequence[str], workers: Sequence[Worker]) -> dict[str, Worker]:
    """Which worker runs which process: the main one first, each where there is most room.

    The main process counts as half: it has the light federates.
    """
    load = dict.fromkeys(range(len(workers)), 0.0)
    placed = {}
    for name in sorted(processes, key=lambda name: name != MAIN_PROCESS):
        weight = 0.5 if name == MAIN_PROCESS else 1.0
        chosen = min(load, key=lambda number: (load[number] + weight) / workers[number].threads)
        load[chosen] += weight
        placed[name] = workers[chosen]
    return placed


class WorkersLauncher:
    """Launches on the workers of a Dask cluster; a context manager."""

    def __init__(self, cluster: Client | str) -> None:
        """`cluster` is a client, which stays open, or a scheduler's address."""
        self._cluster = cluster
        self._own: Any = None

    def __enter__(self) -> WorkersLauncher:
        """Connect. Raises MachineError if nobody answers there, or there are no workers."""
        import distributed
        from distributed.comm.addressing import get_address_host_port

        connect: Any = distributed.Client
        if isinstance(self._cluster, str):
            try:
                get_address_host_port(self._cluster)
                self._own = connect(self._cluster, timeout=ANSWERS_WITHIN, set_as_default=False)
            except (OSError, ValueError) as error:  # a time-out is an OSError
                raise MachineError(
                    f"no Dask scheduler answers at {self._cluster} ({error}); start one with `dask scheduler` and "
                    "workers with `dask worker`, and give its address"
                ) from None
        self.client: Any = self._own or self._cluster
        self.workers()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._own is not None:
            self._own.close()

    def workers(self) -> list[Worker]:
        """The workers that there are now, in the order of their addresses. Raises MachineError if there are none."""
        from distributed.comm.addressing import get_address_host

        known = self.client.scheduler_info(n_workers=-1)["workers"]
        found = []
        for address, entry in sorted(known.items()):
            host = LOOPBACK if address.startswith("inproc://") else get_address_host(address)
            found.append(Worker(address, host, max(1, entry["nthreads"])))
        if not found:
            where = self.client.scheduler.address
            raise MachineError(f"the Dask scheduler at {where} has no workers; start some with `dask worker {where}`")
        return found

    def launch(self, federation: Federation, scratch: Path) -> _WorkersLaunch:
        """The launch of one run on the workers that there are now. Raises MachineError."""
        return _WorkersLaunch(self.client, self.workers(), federation, scratch)


class _WorkersLaunch:
    """The processes of one run, on several workers."""

    def __init__(self, client: Any, workers: Sequence[Worker], federation: Federation, scratch: Path) -> None:
        self._client, self._federation, self._scratch = client, federation, scratch
        self._placed = place(list(federation.processes), workers)
        self._posts: list[_Post] = []

    @property
    def processes(self) -> dict[str, Process]:
        """Those that were started, by name."""
        found = {name: process for post in self._posts for name, process in post.processes.items()}
        return {name: found[name] for name in self._placed if name in found}

    def start(self) -> None:
        """Start a deputy on each worker. Raises MachineError."""
        workers = list(dict.fromkeys(self._placed.values()))
        lacking = self._survey([worker.address for worker in workers])
        one_machine = len({worker.host for worker in workers}) == 1
        run = secrets.token_hex(8)
        for worker in workers:
            order = Order(
                run=run,
                federation=self._federation.model_dump_json(),
                processes=tuple(name for name, at in self._placed.items() if at == worker),
                interface=LOOPBACK if one_machine else worker.host,
                files={path: Path(path).read_bytes() for path in lacking[worker.address]},
            )
            post = _Post(self._client, worker, order, self._federation, self._scratch)
            self._posts.append(post)
            post.begin()

    def _survey(self, addresses: Sequence[str]) -> dict[str, list[str]]:
        """The input files that each worker lacks. Raises MachineError if one has other code or versions than we."""
        from cosim.code_identity import code_hash
        from cosim.manifest import input_hashes, versions

        own, lacking = versions(), {}
        try:
            found = _call(self._client, deputy.survey, input_hashes(self._federation), workers=addresses)
        except ImportError as error:
            raise MachineError(f"a Dask worker cannot run federates: {error}; install cosim on every worker") from None
        except OSError as error:
            raise MachineError(f"a Dask worker cannot be reached: {error}; run again") from None
        for address, (theirs, code, files) in found.items():
            other = [
                f"{name} {theirs.get(name)} (here {own.get(name)})" for name in own if theirs.get(name) != own[name]
            ]
            if other:
                raise MachineError(
                    f"the Dask worker {address} has {', '.join(other)}; install the same versions on every machine, as "
                    "others can give other results"
                )
            if code != code_hash():
                raise MachineError(
                    f"the Dask worker {address} runs other code of cosim than we, and can give other results; "
                    "install the same on every machine"
                )
            lacking[address] = files
        return lacking

    def end(self) -> None:
        """End what still runs, on all workers at once, and take what there is left to record."""
        threads = [threading.Thread(target=post.end, daemon=True) for post in self._posts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(2 * LEAVE)


def _call(client: Any, function: Any, argument: Any, workers: Sequence[str]) -> Any:
    """What a function gives on each worker, by address. Raises TimeoutError (an OSError) where one stands still.

    `Client.run` is this without a limit.
    """
    return client.sync(client._run, function, argument, workers=list(workers), callback_timeout=CALLED_WITHIN)


class _Post:
    """One worker's deputy, seen from here: brings what is new there into the scratch folder."""

    def __init__(self, client: Any, worker: Worker, order: Order, federation: Federation, scratch: Path) -> None:
        self.worker, self._client, self._order, self._scratch = worker, client, order, scratch
        names = [spec.name for spec in federation.federates]
        self._status = StatusTable(scratch, names)
        self._own = np.array([spec.process in order.processes for spec in federation.federates])
        self._sizes: dict[str, int] = {}
        self._last: Report | None = None
        self._heard = time.monotonic()
        self._lost = ""
        self._full: OSError | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name=f"cosim-post {worker.address}", daemon=True)
        self.processes: dict[str, Process] = {name: _RemoteProcess(self, name) for name in order.processes}

    def begin(self) -> None:
        """Begin the deputy. Raises MachineError."""
        try:
            _call(self._client, deputy.begin, self._order, workers=[self.worker.address])
        except OSError as error:
            raise MachineError(f"the Dask worker {self.worker.address} cannot start a run: {error}") from None
        self._heard = time.monotonic()
        self._thread.start()

    def end(self) -> None:
        """End the deputy; nothing is written any more after it."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(SILENT)
        if self._thread.is_alive() or self._lost:
            return
        with contextlib.suppress(Exception):  # a worker that is gone has nothing left
            found = self._client.run(deputy.end, self._order.run, self._news(), workers=[self.worker.address])
            report = found[self.worker.address]
            if report is not None:
                self._take(report)

    def report(self) -> Report | None:
        """The last report. Raises OSError if it could not be kept here."""
        if self._full is not None:
            raise self._full
        return self._last

    def lost(self) -> str:
        """Why the worker is lost; "" if it is not."""
        silence = time.monotonic() - self._heard
        if not self._lost and not self._stop.is_set() and silence > SILENT:
            return f"was lost: the Dask worker {self.worker.address} has not answered for {silence:.0f} s"
        return self._lost

    def _follow(self) -> None:
        while not self._stop.is_set():
            try:
                report = self._ask()
            except Exception as error:
                self._lost = f"was lost: the Dask worker {self.worker.address} {_reason(error)}"
                return
            self._heard = time.monotonic()
            try:
                self._take(report)
            except OSError as error:
                self._full = error
                return

    def _ask(self) -> Report:
        message = {"op": deputy.EXCHANGE, "run": self._order.run, "news": pickle.dumps(self._news())}
        answers = self._client.sync(self._answers, message)
        answer = pickle.loads(answers[self.worker.address])
        if isinstance(answer, Exception):
            raise answer
        return answer  # type: ignore[no-any-return]

    async def _answers(self, message: dict[str, Any]) -> Mapping[str, bytes]:
        """What the worker answers. Raises MachineError if it is gone: Dask would try to reach it for long."""
        scheduler, address = self._client.scheduler, self.worker.address
        asked = asyncio.ensure_future(scheduler.broadcast(msg=message, workers=[address], on_error="return_pickle"))
        while not (await asyncio.wait({asked}, timeout=_PATIENCE))[0]:
            if address not in (await scheduler.identity(n_workers=-1))["workers"]:
                asked.cancel()
                raise MachineError("is gone")
        return await asked  # type: ignore[no-any-return]

    def _news(self) -> News:
        broker = self._scratch / BROKER_FILE
        known = broker.read_bytes() if broker.exists() else b""
        return News(dict(self._sizes), self._status.rows.tobytes(), known)

    def _take(self, report: Report) -> None:
        """Files first, status after: what the status says has happened is in files that are here. Raises OSError."""
        for name, position, piece in sorted(report.pieces, key=lambda entry: not deputy.is_growing(entry[0])):
            self._keep(name, position, piece)
        rows = np.frombuffer(report.rows, dtype=ROW).copy()
        rows["stamp"] = time.monotonic() - np.array(report.ages)
        for key in ("time", "stamp", "busy", "steps", "errno", "phase"):
            self._status.rows[key][self._own] = rows[key]
        self._last = report

    def _keep(self, name: str, position: int, piece: bytes) -> None:
        path = self._scratch / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if deputy.is_growing(name):
            with path.open("ab") as file:
                file.truncate(position)
                file.write(piece)
        else:
            write_private(path, piece)
        self._sizes[name] = position + len(piece)


class _RemoteProcess:
    """A process on a worker, as its deputy tells of it."""

    def __init__(self, post: _Post, name: str) -> None:
        self._post, self._name = post, name

    def poll(self) -> int | None:
        """Its exit code; None while it runs. Raises OSError where its files cannot be kept here."""
        return self._of("codes", None)  # type: ignore[no-any-return]

    def lost(self) -> str:
        """Why nothing can be known of it any more; "" as long as it can."""
        return self._post.lost() if self.poll() is None else ""

    def processor_time(self) -> float:
        """Used by its main thread and by its children [s]."""
        return float(self._of("processor", 0.0))

    def memory(self) -> int:
        """Resident memory [B]."""
        return int(self._of("memory", 0))

    def _of(self, what: str, default: Any) -> Any:
        report = self._post.report()
        told: Mapping[str, Any] = {} if report is None else getattr(report, what)
        return told.get(self._name, default)


def _reason(error: Exception) -> str:
    """Why an exchange failed, in a few words."""
    if isinstance(error, MachineError):
        return str(error)
    return f"or its scheduler is gone ({type(error).__name__}: {error})"
