"""The supervisor's deputy on a Dask worker: it runs some of a run's processes there, and tells how they are.

Nothing but the scheduler and the workers' own network is needed: no common file system, and the supervisor's machine
need not be reachable. The deputy keeps a scratch folder like the supervisor's; in each exchange the supervisor gets
what has been added to it, and gives what the processes here must know of those elsewhere. Who hears nothing of the
supervisor for long ends the processes: the supervisor is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import pickle
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cosim.engine import process_log
from cosim.engine.files import BROKER_FILE, ENGINE_LOGS, FEDERATION_FILE, WORKING, write_private
from cosim.engine.launcher import LocalLaunch, begin_cold
from cosim.engine.status import ROW, StatusTable
from cosim.errors import MachineError
from cosim.federation import Federation

LEASE = 15.0  #: [s] without a word of the supervisor after which the processes are ended
HOLD = 0.2  #: [s] that an answer is held back at most while there is nothing to tell
EXCHANGE = "cosim_exchange"  #: how a worker's server knows the exchange; `Client.run` would log each
_LOOK = 0.01  #: [s] between two looks at whether there is

_LOG = ".log"
_GROWING = (".rows", _LOG)  #: files that only grow; others appear as a whole
_WHOLE = (".columns.json", ".error.json", BROKER_FILE)


@dataclass(frozen=True)
class Order:
    """What a deputy has to do."""

    run: str  #: names the run among all that use these workers
    federation: str  #: as JSON
    processes: tuple[str, ...]  #: those to run here
    interface: str  #: the address by which the others reach this worker's machine
    files: Mapping[str, bytes] = field(default_factory=dict)  #: input files that this machine lacks, by their path


@dataclass(frozen=True)
class News:
    """What the supervisor tells."""

    sizes: Mapping[str, int]  #: [B] what it has of each file
    rows: bytes  #: the status of all federates
    broker: bytes  #: the broker's address; empty until it is known


@dataclass(frozen=True)
class Report:
    """What a deputy tells."""

    rows: bytes  #: the status of its own federates, in their order
    ages: tuple[float, ...]  #: [s] since each entered its phase; clocks differ from machine to machine
    pieces: tuple[tuple[str, int, bytes], ...]  #: file name, position, what stands there
    codes: Mapping[str, int | None]  #: exit code of each process
    processor: Mapping[str, float]  #: [s]
    memory: Mapping[str, int]  #: [B]


class Deputy:
    """One run's deputy on one worker."""

    def __init__(self, order: Order, folder: Path) -> None:
        """Begin; the scratch folder is made in `folder`. Raises OSError."""
        self.run = order.run
        self.scratch = Path(tempfile.mkdtemp(prefix="cosim-", dir=folder))
        federation = Federation.model_validate_json(_with_files(order, self.scratch))
        (self.scratch / FEDERATION_FILE).write_text(federation.model_dump_json())
        names = [spec.name for spec in federation.federates]
        self.status = StatusTable.create(self.scratch, names)
        self._own = np.array([spec.process in order.processes for spec in federation.federates])
        self._launch = LocalLaunch(order.processes, self.scratch, begin_cold, order.interface)
        self._heard = time.monotonic()
        self._told: object = None
        self._given: set[str] = set()  # files that came from the supervisor
        self._refusal: OSError | None = None
        self._started, self._asked, self._ended = (threading.Event() for _ in range(3))
        # A thread of its own: the processes end with the thread that started them, which must be no passing one.
        threading.Thread(target=self._serve, name="cosim-deputy", daemon=True).start()

    def _serve(self) -> None:
        try:
            self._launch.start()
        except OSError as error:
            self._refusal = error
        self._started.set()
        while not self._asked.wait(0.5) and time.monotonic() - self._heard < LEASE:
            pass
        self._launch.end()
        self._ended.set()
        if not self._asked.is_set():
            self.remove()
            _DEPUTIES.pop(self.run, None)

    async def exchange(self, news: News) -> Report:
        """Take the news; report as soon as there is something to tell. Raises OSError if nothing could be started."""
        self._heard = time.monotonic()
        self._take(news)
        until = self._heard + HOLD
        while (state := self._state()) == self._told and time.monotonic() < until:
            await asyncio.sleep(_LOOK)
        self._told = state
        return self._report(news)

    def end(self, news: News) -> Report:
        """End all processes; what there is to tell at the end."""
        self._asked.set()
        self._ended.wait()
        return self._report(news)

    def remove(self) -> None:
        """Remove the scratch folder."""
        shutil.rmtree(self.scratch, ignore_errors=True)

    def _take(self, news: News) -> None:
        """What goes on elsewhere: the hosts here look up where the broker is, and who has finished."""
        rows = np.frombuffer(news.rows, dtype=ROW)
        self.status.rows["time"][~self._own] = rows["time"][~self._own]
        self.status.rows["phase"][~self._own] = rows["phase"][~self._own]
        broker = self.scratch / BROKER_FILE
        if news.broker and not broker.exists():
            self._given.add(BROKER_FILE)
            write_private(broker, news.broker)

    def _state(self) -> object:
        codes = [process.poll() for process in self._launch.local.values()]
        sizes = [(str(path), path.stat().st_size) for path in self._files()]
        return self.status.rows[self._own].tobytes(), codes, sizes

    def _report(self, news: News) -> Report:
        """Status first, files after: what the status says has happened is in the files that go with it."""
        if self._refusal is not None:
            raise self._refusal
        processes = dict(self._launch.local)
        codes = {name: process.poll() for name, process in processes.items()}
        rows = self.status.rows[self._own].copy()
        now = time.monotonic()
        return Report(
            rows=rows.tobytes(),
            ages=tuple((now - rows["stamp"]).tolist()),
            pieces=tuple(self._pieces(news.sizes)),
            codes=codes,
            processor={name: process.processor_time() for name, process in processes.items()},
            memory={name: process.memory() for name, process in processes.items()},
        )

    def _files(self) -> list[Path]:
        own = (path for path in self.scratch.iterdir() if path.name not in self._given)
        mirrored = sorted(path for path in own if path.name.endswith((*_GROWING, *_WHOLE)))
        mirrored += sorted(self.scratch.glob(ENGINE_LOGS))
        if self._ended.is_set():  # what federates wrote in their working folders is whole only now
            mirrored += sorted(path for path in self.scratch.glob(f"*{WORKING}/**/*") if path.is_file())
        return mirrored

    def _pieces(self, sizes: Mapping[str, int]) -> Iterator[tuple[str, int, bytes]]:
        """What the supervisor lacks of each file."""
        for path in self._files():
            name = str(path.relative_to(self.scratch))
            known, size = sizes.get(name, 0), path.stat().st_size
            if name in sizes and size <= known:
                continue
            end = size
            if name.endswith(_LOG) and size > (kept := process_log.KEPT):  # the middle stays here
                process_log.limit(path)
                known, end = (known, kept // 2) if known < kept // 2 else (max(known, size - kept // 2), size)
            with path.open("rb") as file:
                file.seek(known)
                yield name, known, file.read(end - known)


def is_growing(name: str) -> bool:
    """Whether a file of that name only grows, so that a part of it is of use."""
    return name.endswith(_GROWING)


def _with_files(order: Order, scratch: Path) -> str:
    """The federation as JSON, its settings naming copies of the files that this machine lacks."""
    mapping = json.loads(order.federation)
    places = {}
    for number, (path, content) in enumerate(order.files.items()):
        copy = scratch / "inputs" / str(number) / Path(path).name
        copy.parent.mkdir(parents=True)
        copy.write_bytes(content)
        places[path] = str(copy)
    mapping["federates"] = _replaced(mapping["federates"], places)
    return json.dumps(mapping)


def _replaced(value: Any, places: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return places.get(value, value)
    if isinstance(value, dict):
        return {key: _replaced(item, places) for key, item in value.items()}
    if isinstance(value, list):
        return [_replaced(item, places) for item in value]
    return value


# What the supervisor calls on a worker -------------------------------------------------------------------------------

_DEPUTIES: dict[str, Deputy] = {}


def survey(hashes: Mapping[str, str]) -> tuple[dict[str, str], str, list[str]]:
    """The versions and the hash of the code here, and which input files (path -> SHA-256) are not here as there."""
    from cosim.code_identity import code_hash
    from cosim.manifest import versions

    lacking = []
    for path, known in hashes.items():
        try:
            same = hashlib.sha256(Path(path).read_bytes()).hexdigest() == known
        except OSError:
            same = False
        if not same:
            lacking.append(path)
    return versions(), code_hash(), lacking


def begin(order: Order, dask_worker: Any) -> None:
    """Begin a run's deputy. Raises OSError."""
    folder = Path(dask_worker.local_directory)  # Dask clears it, even where the worker is killed
    folder.mkdir(parents=True, exist_ok=True)
    _DEPUTIES[order.run] = Deputy(order, folder)
    dask_worker.handlers.setdefault(EXCHANGE, _exchange)


async def _exchange(run: str, news: bytes) -> bytes:
    """Exchange news with a run's deputy: a pickled report, or the error that there is in its place."""
    try:
        return pickle.dumps(await _DEPUTIES[run].exchange(pickle.loads(news)))
    except KeyError:
        return pickle.dumps(MachineError("ended its processes, as it heard nothing of the supervisor for long"))
    except OSError as error:
        return pickle.dumps(error)


async def end(run: str, news: News) -> Report | None:
    """End a run's deputy and remove all that is left of it; its last words, None if there was none."""
    deputy = _DEPUTIES.pop(run, None)
    if deputy is None:
        return None
    try:
        return await asyncio.to_thread(deputy.end, news)
    finally:
        with contextlib.suppress(OSError):
            deputy.remove()
