"""Running a batch: what is finished stays, what is missing runs on Dask, and the table is made of the rows on disk.

Whatever ends a batch early (Ctrl-C, a lost scheduler, a full disk, SIGKILL), every run that has its row is finished,
and the next call goes on from there.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import socket
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from cosim.batch_folder import BATCH, LOG, run_folder, write_batch
from cosim.errors import CosimError, Fault, MachineError, ScenarioError
from runs.batch.cache import Cache
from runs.batch.earlier import SUPERSEDED, read_earlier, settle
from runs.batch.events import EventLog
from runs.batch.plan import Plan, Variant
from runs.batch.progress import Show, State
from runs.batch.row import CACHEABLE, Row
from runs.batch.table import collect, describe
from runs.batch.task import DASK, WORK, is_full, kinds_of, publish, row_of

if TYPE_CHECKING:
    from runs.batch.cluster import Cluster
    from runs.batch.dispatch import Dispatcher
    from runs.dask_clusters import Tls

LOCK = ".lock"


@dataclass(frozen=True)
class Choice:
    """Which runs are wanted, and where they run."""

    resume: bool = False
    rerun_failed: bool = False
    rerun: Collection[str] = ()  #: names of runs to make again in any case
    workers: int = 1  #: on this machine, without a scheduler
    scheduler: str | None = None
    tls: Tls | None = None  #: the files by which that scheduler knows us
    dashboard: bool = False  #: Dask's, of the workers on this machine
    cluster: Cluster | None = None  #: one that is there already, and goes on after the batch
    cache: Path | None = None
    verify: Literal["full", "quick"] = "full"  #: whether finished runs are held against their hashes, or their sizes


@dataclass(frozen=True)
class Ended:
    """A batch that came to its end."""

    folder: Path
    rows: tuple[Row, ...]  #: of all runs, in order

    @property
    def failed(self) -> tuple[Row, ...]:
        """Those that did not run to a good end."""
        return tuple(row for row in self.rows if row.outcome != "good")


def run_batch(plan: Plan, out: Path, choice: Choice, show: Show) -> Ended:
    """Make every run of `plan` that is not finished in `out`, and the table.

    Raises ScenarioError for the folder of another batch, MachineError where it cannot go on (folder, disk, scheduler),
    KeyboardInterrupt; what is finished is kept and in the table.
    """
    if choice.scheduler is not None:
        from runs.dask_clusters import check_address

        check_address(choice.scheduler)
    new = not out.exists()
    with _batch_folder(plan, out, choice) as folder:
        with EventLog(folder / LOG) as log:
            batch = _Batch(plan, folder, choice, show, log)
            try:
                batch.run()
            except BaseException as error:
                batch.note_end(error)
                with suppress(OSError, ValueError):
                    collect(folder, plan)
                if new and isinstance(error, CosimError) and batch.nothing_made:
                    shutil.rmtree(folder, ignore_errors=True)  # so that the same command can be given again
                raise
        shutil.rmtree(folder / WORK, ignore_errors=True)
        try:
            rows = collect(folder, plan)
        except OSError as error:
            raise _cannot_write(folder, error) from None
        return Ended(folder, _all_there(folder, plan, rows))


def _all_there(folder: Path, plan: Plan, rows: Sequence[Row]) -> tuple[Row, ...]:
    """The rows as they are on disk, of every planned run. Raises MachineError if one is not there."""
    found = {row.run for row in rows}
    lacking = [variant.run for variant in plan.variants if variant.run not in found]
    if lacking:
        raise MachineError(
            f"{len(lacking)} of {len(plan.variants)} runs are not in {folder}, though they were made; the first is "
            f"{lacking[0]}. Something else changes that folder; add --resume to make them again"
        )
    return tuple(rows)


@contextmanager
def _batch_folder(plan: Plan, out: Path, choice: Choice) -> Iterator[Path]:
    """The batch's folder, which no other client uses meanwhile. Raises MachineError."""
    if out.exists() and not choice.resume:
        if (out / BATCH).is_file():
            raise MachineError(f"{out} holds a batch; add --resume to go on with it, or choose another with --out")
        if not out.is_dir() or any(entry.name != LOCK for entry in out.iterdir()):
            raise MachineError(f"{out} exists and is not empty; choose another with --out")
    try:
        out.mkdir(parents=True, exist_ok=True)
        if not (out / BATCH).is_file() and any(entry.name != LOCK for entry in out.iterdir()):
            raise MachineError(f"{out} is not the folder of a batch; choose another with --out")
        with (out / LOCK).open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                who = lock.read().strip() or "another process"
                raise MachineError(f"{out} is in use by {who}; wait for it, or choose another with --out") from None
            lock.truncate(0)
            lock.write(f"process {os.getpid()} on {socket.gethostname()}")
            lock.flush()
            earlier = read_earlier(out)
            _check_name(plan, out, earlier)
            shutil.rmtree(out / WORK, ignore_errors=True)
            (out / WORK).mkdir(mode=0o700)  # workers' sockets and what they have not finished
            write_batch(out, describe(plan))
            try:
                yield out
            finally:
                lock.truncate(0)
    except OSError as error:
        raise _cannot_write(out, error) from None


def _check_name(plan: Plan, out: Path, earlier: Mapping[str, Any]) -> None:
    """Refuse to go on in the folder of another batch. Raises ScenarioError."""
    name, other = plan.batch.name, earlier.get("batch", {}).get("name", plan.batch.name)
    if other != name:
        problem = f"holds the batch '{other}', not '{name}'."
        raise ScenarioError([Fault(str(out), problem, "Choose another folder with --out, or go on with that batch.")])


def _cannot_write(folder: Path, error: OSError) -> MachineError:
    if is_full(error):
        return MachineError(f"no space left for results in {folder}; free space there, then add --resume to go on")
    return MachineError(f"cannot write to {error.filename or folder}: {error.strerror}; choose another with --out")


class _Batch:
    """One execution of a plan."""

    def __init__(self, plan: Plan, folder: Path, choice: Choice, show: Show, log: EventLog) -> None:
        self.plan, self.folder, self.choice, self.show, self.log = plan, folder, choice, show, log
        self.rows: dict[str, Row] = {}
        self.state = State(len(plan.variants))
        self.cache = Cache(choice.cache) if choice.cache is not None else None
        self.connected = False

    @property
    def nothing_made(self) -> bool:
        """Whether it ended before it had workers, with no run to keep."""
        return not self.connected and not any(row.finished_well for row in self.rows.values())

    def run(self) -> None:
        """Make what is missing."""
        self.log.write("batch started", runs=len(self.plan.variants), plan=self.plan.hash)
        self._settle()
        missing = [variant for variant in self.plan.variants if not self._is_there(variant)]
        runnable = [variant for variant in missing if variant.valid]
        for variant in missing:
            if not variant.valid:
                self._refuse(variant)
        self.show(self.state)
        if runnable:
            self._run_on_cluster(runnable)
        self.log.write("batch finished", failed=self.state.failed)

    def note_end(self, error: BaseException) -> None:
        """Log why the batch ends early; where the log cannot be written, so be it."""
        why = "interrupted" if isinstance(error, KeyboardInterrupt) else str(error)
        with suppress(OSError):
            self.log.write("batch ended early", why=why, finished=self.state.finished)

    # What is there already -----------------------------------------------------------------------------------

    def _settle(self) -> None:
        """Keep every finished run that still fits, under the name that the plan gives it."""
        settled = settle(self.folder, self.plan, self._again, full=self.choice.verify == "full")
        for run, problem in settled.damaged.items():
            self.log.write("run damaged", run=run, problem=problem)
        for row in settled.kept.values():
            if self.cache is not None:
                self.cache.store(row, run_folder(self.folder, row.run))
            self._keep(row, "run kept")
        if settled.damaged:
            run, problem = next(iter(settled.damaged.items()))
            self.state.notes.append(f"{len(settled.damaged)} finished runs are damaged; the first, {run}: {problem}")
        if settled.replaced:
            self.state.notes.append(f"{settled.replaced} finished runs no longer match and will be replaced")
        if settled.superseded:
            where = self.folder / SUPERSEDED
            self.state.notes.append(f"{settled.superseded} finished runs are no longer in the batch; kept in {where}")

    def _again(self, row: Row, variant: Variant) -> bool:
        """Whether a finished run that fits shall be made again."""
        return variant.run in self.choice.rerun or (self.choice.rerun_failed and row.outcome not in CACHEABLE)

    def _is_there(self, variant: Variant) -> bool:
        """Whether the run is finished, here or in the cache."""
        if variant.run in self.rows:
            return True
        again = self.choice.rerun_failed or variant.run in self.choice.rerun
        if self.cache is not None and variant.valid and not again:
            row = self.cache.take(variant, self.folder)
            if row is not None:
                return self._keep(row, "run taken from the cache")
        return False

    def _keep(self, row: Row, event: str) -> bool:
        self.rows[row.run] = row
        self.state.finish(row, kept=True)
        self.log.write(event, run=row.run, key=row.key, outcome=row.outcome)
        return True

    def _refuse(self, variant: Variant) -> None:
        """The row of a variant that cannot run."""
        row = row_of(variant, "invalid", error=variant.error)
        made = self.folder / WORK / variant.run
        made.mkdir(parents=True, exist_ok=True)
        publish(row, made, run_folder(self.folder, variant.run))
        self.finish(row)

    def _run_on_cluster(self, variants: list[Variant]) -> None:
        from runs.batch.dispatch import Dispatcher

        kinds = kinds_of(variants[0].scenario)
        with self._cluster(len(variants), kinds) as cluster:
            self.connected = True
            self.state.dashboard, self.state.began = cluster.dashboard, time.monotonic()
            self.log.write("cluster", scheduler=cluster.address, dashboard=cluster.dashboard)
            dispatcher = Dispatcher(self.plan, self.folder, secrets.token_hex(8), cluster, kinds)
            for row in dispatcher.run(variants, self.hear):
                self._note(dispatcher)
                if row is not None:
                    self.finish(row)
                self.show(self.state)

    def _cluster(self, runs: int, kinds: tuple[str, ...]) -> AbstractContextManager[Cluster]:
        from runs.batch.cluster import connect

        choice = self.choice
        if choice.cluster is not None:
            return nullcontext(choice.cluster)
        if choice.tls is not None and choice.tls.warning:
            self.state.notes.append(choice.tls.warning)
        scratch, workers = self.folder / WORK / DASK, min(choice.workers, runs)
        return connect(choice.scheduler, workers, scratch, kinds, tls=choice.tls, dashboard=choice.dashboard)

    def _note(self, dispatcher: Dispatcher) -> None:
        """Say and log what the dispatcher has to say of its workers."""
        while dispatcher.notes:
            note = dispatcher.notes.popleft()
            self.state.notes.append(note)
            self.log.write("worker", note=note)

    def hear(self, event: dict[str, Any]) -> None:
        """An event from a worker."""
        self.log.write("run started", run=event["run"], worker=event["worker"])
        if event["run"] not in self.rows:
            self.state.running.add(event["run"])

    def finish(self, row: Row) -> None:
        """Take note of a run's end."""
        self.rows[row.run] = row
        self.state.finish(row)
        event = {"good": "run finished", "untrusted": "run finished"}.get(row.outcome, "run failed")
        self.log.write(
            event,
            run=row.run,
            outcome=row.outcome,
            error=row.error,
            seconds=row.wall_s,
            attempts=row.attempts,
            worker=row.worker,
        )
        if self.cache is not None:
            self.cache.store(row, run_folder(self.folder, row.run), new=True)
