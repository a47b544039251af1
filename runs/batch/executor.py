"""Running a batch: what is finished stays, what is missing runs on Dask, and the table is made of the rows on disk.

Whatever ends a batch early (Ctrl-C, a lost scheduler, a full disk, SIGKILL), every run that has its row is finished,
and the next call goes on from there.
"""

from __future__ import annotations

import fcntl
import os
import queue
import secrets
import shutil
import socket
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from cosim.batch_folder import BATCH, LOG, run_folder, write_batch
from cosim.code_identity import code_hash
from cosim.errors import CosimError, Fault, MachineError, ScenarioError
from cosim.manifest import versions
from runs.batch.cache import Cache
from runs.batch.earlier import SUPERSEDED, read_earlier, settle
from runs.batch.events import EventLog
from runs.batch.plan import Plan, Variant
from runs.batch.progress import Show, State
from runs.batch.row import CACHEABLE, Row
from runs.batch.table import collect, describe
from runs.batch.task import WORK, RunTask, finished_row, is_full, kinds_of, publish, row_of

if TYPE_CHECKING:
    from runs.batch.cluster import Cluster

LOCK = ".lock"
DASK = "dask"  #: the subfolder of `.work` that the workers on this machine use
LOOK = 0.25  #: [s] between two looks at the scheduler and the progress
WAIT_FOR_END = 10.0  #: [s] for runs on other machines to end once nobody wants them
VISIBLE = 30.0  #: [s] for a row from another machine, where the shared disk does not show it yet
AGAIN = 5  #: how often a task is submitted beyond its retries when Dask gives it up


@dataclass(frozen=True)
class Choice:
    """Which runs are wanted, and where they run."""

    resume: bool = False
    rerun_failed: bool = False
    rerun: Collection[str] = ()  #: names of runs to make again in any case
    workers: int = 1  #: on this machine, without a scheduler
    scheduler: str | None = None
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
        from runs.batch.cluster import check_address

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
                if new and isinstance(error, MachineError) and batch.nothing_made:
                    shutil.rmtree(folder, ignore_errors=True)  # so that the same command can be given again
                raise
        shutil.rmtree(folder / WORK, ignore_errors=True)
        try:
            collect(folder, plan)
        except OSError as error:
            raise _cannot_write(folder, error) from None
        return Ended(folder, tuple(batch.rows[variant.run] for variant in plan.variants))


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
            (out / WORK).mkdir()
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
        from runs.batch.cluster import connect

        kinds = kinds_of(variants[0].scenario)
        workers = min(self.choice.workers, len(variants))
        with connect(self.choice.scheduler, workers, self.folder / WORK / DASK, kinds) as cluster:
            self.connected = True
            self.state.dashboard, self.state.began = cluster.dashboard, time.monotonic()
            self.log.write("cluster", scheduler=cluster.address, dashboard=cluster.dashboard)
            _OnDask(self, cluster, kinds).run(variants)

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


class _OnDask:
    """The runs of a batch that are on a cluster."""

    def __init__(self, batch: _Batch, cluster: Cluster, kinds: tuple[str, ...]) -> None:
        self.batch, self.cluster, self.kinds = batch, cluster, kinds
        self.session = secrets.token_hex(8)
        self._topic = f"cosim-batch-{self.session}"
        self._inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()  # events, and the keys of finished tasks
        self._futures: dict[str, tuple[Any, Variant]] = {}
        self._submitted: dict[str, int] = {}  # run -> how often

    def run(self, variants: list[Variant]) -> None:
        """Make the runs of all `variants`. Raises MachineError where the batch cannot go on."""
        self.cluster.client.subscribe_topic(self._topic, lambda event: self._inbox.put(event[1]))
        try:
            for variant in variants:
                self._submit(variant)
            while self._futures:
                self._look()
        except BaseException:
            self._abandon()
            raise

    def _submit(self, variant: Variant) -> None:
        from runs.batch.cluster import run_in_worker

        settings = self.batch.plan.batch
        task = RunTask(
            variant=variant,
            out=self.batch.folder.resolve(),
            session=self.session,
            limits=settings.limits,
            retries=settings.retries,
            baseline=settings.baseline,
            keep=settings.keep,
            figures=settings.figures,
            report=settings.report_per_run,
            code=code_hash(),
            versions=versions(),
            kinds=self.kinds,
        )
        count = self._submitted[variant.run] = self._submitted.get(variant.run, 0) + 1
        key = f"{settings.name}-{variant.run}-{self.session}-{count}"
        future = self.cluster.client.submit(run_in_worker, task, key, self._topic, key=key, pure=False)
        self._futures[key] = (future, variant)
        future.add_done_callback(lambda done: self._inbox.put(done.key))

    def _look(self) -> None:
        """Take what has come in. Raises MachineError where the batch cannot go on."""
        try:
            item = self._inbox.get(timeout=LOOK)
        except queue.Empty:
            item = None
        if self.cluster.lost:
            raise self._lost()
        self.cluster.keep_up()
        if isinstance(item, dict):
            self.batch.hear(item)
        elif item in self._futures:
            future, variant = self._futures.pop(item)
            row = self._result(future, variant)
            future.release()
            if row is not None:
                self.batch.finish(row)
            else:
                self._submit_again(variant)
        self.batch.show(self.batch.state)

    def _submit_again(self, variant: Variant) -> None:
        """Dask gave the run up because workers were lost: once more, it finds out itself whether it was the cause."""
        if self._submitted[variant.run] > self.batch.plan.batch.retries + AGAIN:
            where = self.cluster.address
            raise MachineError(f"run {variant.run} comes to no end on the workers of {where}; see {LOG} in the folder")
        self.batch.log.write("run submitted again", run=variant.run)
        self._submit(variant)

    def _result(self, future: Any, variant: Variant) -> Row | None:
        """The row of a run; None if Dask gave it up. Raises MachineError."""
        from distributed import CancelledError, KilledWorker
        from distributed.comm.core import CommClosedError

        try:
            row = self._written(variant) if future.status == "finished" else None
            if row is None:
                row = future.result(timeout=VISIBLE)
        except KilledWorker:
            return None
        except (CancelledError, CommClosedError, TimeoutError):
            if self.cluster.lost:
                raise self._lost() from None
            return None
        except CosimError as error:
            raise MachineError(f"{error}, then add --resume to go on") from None
        except Exception as error:  # a worker that is not as this machine, most likely
            raise MachineError(
                f"run {variant.run} cannot be made by a worker of {self.cluster.address}: "
                f"{type(error).__name__}: {error}. Its workers need the Python, packages and folders of this machine; "
                "then add --resume to go on"
            ) from error
        return row

    def _written(self, variant: Variant) -> Row | None:
        """The row on disk: whether its worker still lives does not matter to it."""
        row = finished_row(run_folder(self.batch.folder, variant.run))
        return row if row is not None and row.key == variant.key else None

    def _lost(self) -> MachineError:
        state = self.batch.state
        return MachineError(
            f"the Dask scheduler at {self.cluster.address} was lost; {state.finished} of {state.total} runs are "
            "finished and kept. Start a scheduler, then add --resume to go on"
        )

    def _abandon(self) -> None:
        """End what still runs: the workers see that nobody wants it any more."""
        if self.cluster.lost:
            return
        with suppress(Exception):
            self.cluster.client.cancel([future for future, _ in self._futures.values()], force=True)
        until = time.monotonic() + WAIT_FOR_END
        while time.monotonic() < until and self._any_going_on():
            time.sleep(0.05)

    def _any_going_on(self) -> bool:
        return any(entry.name != DASK for entry in (self.batch.folder / WORK).iterdir())
