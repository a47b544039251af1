"""Giving the runs of a batch to workers, and taking in what they have made.

Each run is given to one worker, which was asked before (`runs/batch/admission.py`), and a few at a time, so that who
joins late gets work too. Whether a worker is lost is judged here, not by those who may stand still with it: it is gone
from the scheduler, or has sent no sign of life for long, or sits on a run beyond all its limits. A run counts when its
files are seen here, as they were written.
"""

from __future__ import annotations

import os
import queue
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from distributed import CancelledError, KilledWorker
from distributed.comm.core import CommClosedError

from cosim.batch_folder import LOG
from cosim.code_identity import code_hash
from cosim.errors import CosimError, MachineError
from cosim.manifest import versions
from runs.batch.admission import Answer, NotAdmittedError, Question, came_back
from runs.batch.cluster import Cluster, ask_in_worker, run_in_worker
from runs.batch.plan import Plan, Variant
from runs.batch.row import Row
from runs.batch.task import DASK, GRACE, STOPPED, WORK, RunTask, made_of, take_in
from runs.dask_clusters import unprotected

LOOK = 0.25  #: [s] between two looks at the workers and the progress
SILENT = 30.0  #: [s] without a sign of life after which a worker is lost; Dask's come every second or less
STUCK = 60.0  #: [s] beyond all limits of a run after which its worker is lost
ALONE = 300.0  #: [s] without any worker left after which the batch ends
LONELY = 10.0  #: [s] without any worker after which that is said
VISIBLE = 30.0  #: [s] for files from another machine, where the shared disk does not show them yet
WAIT_FOR_END = 10.0  #: [s] for runs on other machines to end once nobody wants them
AGAIN = 5  #: how often a run is given out beyond its retries when workers are lost
BLIND = 3  #: runs that a worker may leave unseen before it gets no more

_PROBE = 1_000  #: the priority of a question among tasks


@dataclass
class _Worker:
    """What is known of a worker."""

    address: str
    threads: int
    sign: float = 0.0  #: its last sign of life, on the scheduler's clock
    heard: float = field(default_factory=time.monotonic)  #: when that was new here
    admitted: bool = False
    refusal: str = ""  #: why it gets no work
    silent: bool = False  #: it gave no sign of life, and is asked anew when it does
    question: Any = None  #: the future of its answer
    given: dict[str, _Given] = field(default_factory=dict)  #: what it has to do, by key
    unseen: int = 0  #: runs that it made and that are not here


@dataclass
class _Given:
    """A run that a worker has to make."""

    variant: Variant
    future: Any
    began: float | None = None  #: when it was seen to have begun


@dataclass
class _Arriving:
    """A run that was made, and whose files are not all here yet."""

    variant: Variant
    worker: str
    until: float


class Dispatcher:
    """The runs of a batch that are on a cluster."""

    def __init__(self, plan: Plan, folder: Path, session: str, cluster: Cluster, kinds: tuple[str, ...]) -> None:
        self.plan, self.folder, self.cluster, self.kinds, self.session = plan, folder, cluster, kinds, session
        self.question = Question(session, folder.resolve(), code_hash(), versions(), _inputs(plan), kinds)
        self.notes: deque[str] = deque()  #: to be said once
        self._topic = f"cosim-batch-{session}"
        self._inbox: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._workers: dict[str, _Worker] = {}
        self._waiting: deque[Variant] = deque()
        self._arriving: list[_Arriving] = []
        self._times: Counter[str] = Counter()  # run -> how often it was given out
        self._lost_begun: Counter[str] = Counter()  # run -> how often its worker was lost at it
        self._asked = 0
        self._alone = time.monotonic()  # since when there is nobody
        self._seen_any = self._said = self._warned = False

    def run(self, variants: list[Variant], hear: Callable[[dict[str, Any]], None]) -> Iterator[Row | None]:
        """Make the runs of all `variants`: the row of each that has come in, and None at each look between.

        `hear` is told when one begins. Raises MachineError where the batch cannot go on.
        """
        self.question.write_token()
        self._waiting.extend(variants)
        self.cluster.client.subscribe_topic(self._topic, lambda event: self._inbox.put(("event", event[1])))
        end_watch = self.cluster.watch(lambda known: self._inbox.put(("workers", known)))
        left = len(variants)
        try:
            while left:
                for row in self._look(hear):
                    left -= 1
                    yield row
                yield None
        except BaseException:
            self._abandon()
            raise
        finally:
            end_watch()

    def _look(self, hear: Callable[[dict[str, Any]], None]) -> Iterator[Row]:
        """Take what has come in, judge the workers, give out work. Raises MachineError."""
        what, item = self._next()
        if self.cluster.lost:
            raise self._lost()
        if what == "workers":
            self._know(item)
            self._judge()
        elif what == "event" and item["event"] == "answer":
            self._admit(item["worker"], Answer(item["token"], item["refusal"]))
        elif what == "event":
            self._begun(item)
            hear(item)
        elif what == "asked":
            self._not_answered(*item)
        elif what == "done":
            self._done(*item)
        yield from self._take_in()
        self._give_out()

    def _next(self) -> tuple[str, Any]:
        try:
            return self._inbox.get(timeout=LOOK)
        except queue.Empty:
            return "", None

    # Workers -------------------------------------------------------------------------------------------------

    def _know(self, known: Mapping[str, Any]) -> None:
        """Take note of who there is; new ones are asked, of lost ones the work is given to others."""
        self.cluster.keep_up()
        now = time.monotonic()
        for address, told in known.items():
            worker = self._workers.get(address)
            if worker is None:
                self._warn(address)
                worker = self._workers[address] = _Worker(address, max(1, told["nthreads"]))
                self._ask(worker)
            if told["last_seen"] != worker.sign:
                worker.sign, worker.heard = told["last_seen"], now
        for address in [address for address in self._workers if address not in known]:
            self._lose(self._workers.pop(address), "is gone")

    def _warn(self, address: str) -> None:
        """Say once that other machines can reach a part of the cluster without TLS."""
        warning = unprotected([self.cluster.address, address])
        if warning and not self._warned:
            self._warned = True
            self.notes.append(warning)

    def _judge(self) -> None:
        """Who sends no sign of life, or sits on a run beyond its limits, is lost. Raises MachineError if all are."""
        now = time.monotonic()
        for worker in list(self._workers.values()):
            silent = now - worker.heard > SILENT
            stuck = any(self._is_stuck(given, now) for given in worker.given.values())
            if (silent or stuck) and not worker.refusal:
                self.cluster.kill(worker.address)
                why = f"gives no sign of life for {SILENT:.0f} s" if silent else "does not end a run beyond its limits"
                worker.refusal, worker.admitted, worker.silent = why, False, silent
                self._lose(worker, why)
            elif worker.silent and not silent:  # it only stood still
                worker.refusal, worker.silent = "", False
                self._ask(worker)
        usable = [worker for worker in self._workers.values() if not worker.refusal]
        if usable:
            self._alone, self._seen_any, self._said = now, True, False
            return
        refused = {worker.address: worker.refusal for worker in self._workers.values()}
        if (refused and not self._seen_any) or (now - self._alone > ALONE and (self._seen_any or refused)):
            raise self._nobody(refused)
        if now - self._alone > LONELY and not self._said:
            self._said = True
            self.notes.append(f"no worker of {self.cluster.address} can take part now; waiting for one")

    def _is_stuck(self, given: _Given, now: float) -> bool:
        limits = self.plan.batch.limits
        if given.began is None or limits.time is None:
            return False
        once = limits.time / 1e9 + GRACE + STOPPED
        return now - given.began > once * (self.plan.batch.retries + 1) + STUCK

    def _ask(self, worker: _Worker) -> None:
        """Ask a worker whether it may take part; its answer comes in when it has one."""
        self._asked += 1
        key = f"cosim-question-{self.session}-{self._asked}"
        question = worker.question = self.cluster.client.submit(
            ask_in_worker,
            self.question,
            self._topic,
            key=key,
            workers=[worker.address],
            pure=False,
            priority=_PROBE,
        )
        question.add_done_callback(lambda _: self._inbox.put(("asked", (worker, question))))

    def _not_answered(self, worker: _Worker, question: Any) -> None:
        """The question has ended; an answer to it is an event. Raises MachineError if all workers are refused."""
        if worker.question is not question or self._workers.get(worker.address) is not worker:
            return
        error = None if question.status == "finished" else self._error(question)
        if error is not None:  # a worker that is not as this machine, most likely
            self._refuse(worker, f"cannot run cosim ({type(error).__name__}: {error})")
        elif question.status != "finished":
            self._ask(worker)

    def _admit(self, address: str, given: Answer) -> None:
        """Take a worker's answer: from now on it gets work, or it is refused. Raises MachineError if all are."""
        worker = self._workers.get(address)
        if worker is None or worker.refusal:
            return
        worker.question = None
        if given.refusal:
            self._refuse(worker, given.refusal)
        elif not self._comes_back(given):
            self._refuse(worker, f"writes into another folder than {self.folder}: what it wrote has not come here")
        else:
            worker.admitted = True

    def _comes_back(self, given: Answer) -> bool:
        until = time.monotonic() + VISIBLE
        while not came_back(self.question, given):
            if time.monotonic() > until:
                return False
            time.sleep(0.05)
        return True

    def _refuse(self, worker: _Worker, why: str) -> None:
        worker.refusal, worker.admitted = why, False
        self.notes.append(f"the Dask worker {worker.address} is refused: it {why}")
        self._take_back(worker)
        usable = [one for one in self._workers.values() if not one.refusal]
        if not usable:
            raise self._nobody({one.address: one.refusal for one in self._workers.values()})

    def _lose(self, worker: _Worker, why: str) -> None:
        if worker.given:
            runs = ", ".join(given.variant.run for given in worker.given.values())
            self.notes.append(f"the Dask worker {worker.address} is lost: it {why}; others make {runs}")
        self._take_back(worker)

    def _take_back(self, worker: _Worker) -> None:
        """What a worker had to do is for others."""
        given, worker.given = worker.given, {}
        for one in given.values():
            with suppress(Exception):
                self.cluster.client.cancel([one.future], force=True)
            self._again(one)

    def _nobody(self, refused: Mapping[str, str]) -> MachineError:
        if not refused:
            return MachineError(
                f"the Dask scheduler at {self.cluster.address} has had no worker for {ALONE:.0f} s; start some, then "
                "add --resume to go on"
            )
        (address, why), more = next(iter(refused.items())), len(refused) - 1
        others = f" (and {more} more are refused)" if more else ""
        return MachineError(
            f"no worker of {self.cluster.address} can take part: the Dask worker {address}{others} {why}. Workers need "
            "the Python, the packages, the code and the folders of this machine; mend that, then add --resume to go on"
        )

    # Runs ----------------------------------------------------------------------------------------------------

    def _give_out(self) -> None:
        """Keep each worker busy; one run in reserve, as long as there are more than the workers' threads."""
        admitted = [worker for worker in self._workers.values() if worker.admitted]
        threads = sum(worker.threads for worker in admitted)
        for worker in admitted:
            while self._waiting and len(worker.given) < worker.threads + (len(self._waiting) > threads):
                self._give(worker, self._waiting.popleft())

    def _give(self, worker: _Worker, variant: Variant) -> None:
        self._times[variant.run] += 1
        key = f"{self.plan.batch.name}-{variant.run}-{self.session}-{self._times[variant.run]}"
        future = self.cluster.client.submit(
            run_in_worker,
            self._task(variant),
            key,
            self._topic,
            key=key,
            workers=[worker.address],
            pure=False,
        )
        worker.given[key] = _Given(variant, future)
        future.add_done_callback(lambda _: self._inbox.put(("done", (worker, key))))

    def _task(self, variant: Variant) -> RunTask:
        settings = self.plan.batch
        return RunTask(
            variant=variant,
            out=self.folder.resolve(),
            session=self.session,
            limits=settings.limits,
            retries=settings.retries,
            baseline=settings.baseline,
            keep=settings.keep,
            figures=settings.figures,
            report=settings.report_per_run,
            code=self.question.code,
            kinds=self.kinds,
        )

    def _begun(self, event: Mapping[str, Any]) -> None:
        worker = self._workers.get(event["worker"])
        given = worker.given.get(event["key"]) if worker is not None else None
        if given is not None:
            given.began = time.monotonic()

    def _done(self, worker: _Worker, key: str) -> None:
        """A run has come to its end, or its worker has. Raises MachineError where the batch cannot go on."""
        given = worker.given.get(key)
        if given is None:
            return  # given to another meanwhile
        if given.future.status == "finished":
            del worker.given[key]
            given.future.release()
            self._arriving.append(_Arriving(given.variant, worker.address, time.monotonic() + VISIBLE))
            return
        error = self._error(given.future)
        if error is None:  # Dask gave it up, as its worker was lost
            if self.cluster.lost:
                raise self._lost()
            self._again(worker.given.pop(key))
        elif isinstance(error, NotAdmittedError) and str(error):
            self._refuse(worker, str(error))
        elif isinstance(error, NotAdmittedError):  # another process at its address
            worker.admitted = False
            self._take_back(worker)
            self._ask(worker)
        elif isinstance(error, CosimError):
            raise MachineError(f"{error}, then add --resume to go on")
        else:
            raise MachineError(
                f"run {given.variant.run} cannot be made by the worker {worker.address}: {type(error).__name__}: "
                f"{error}. Workers need the Python, packages and folders of this machine; then add --resume to go on"
            )

    @staticmethod
    def _error(future: Any) -> BaseException | None:
        """What a task has raised; None if it was given up for no fault of its own."""
        try:
            error: BaseException | None = future.exception(timeout=VISIBLE)
        except (CancelledError, CommClosedError, TimeoutError):
            return None
        return None if isinstance(error, CancelledError | CommClosedError | KilledWorker) else error

    def _again(self, given: _Given) -> None:
        """Give a run to another worker, unless it is made already. Raises MachineError if that happens too often."""
        run = given.variant.run
        made, _ = made_of(given.variant, self.folder)
        if made is not None:
            self._arriving.append(_Arriving(given.variant, made.row.worker, time.monotonic() + VISIBLE))
            return
        self._lost_begun[run] += given.began is not None
        most = self.plan.batch.retries + AGAIN
        if self._lost_begun[run] > most or self._times[run] > 10 * most:
            raise MachineError(
                f"run {run} comes to no end on the workers of {self.cluster.address}: {self._times[run]} were lost, or "
                f"what they made did not come here; see {LOG} in the folder"
            )
        self._waiting.appendleft(given.variant)

    def _take_in(self) -> Iterator[Row]:
        """The rows of runs whose files are here as they were written."""
        arriving, self._arriving = self._arriving, []
        for one in arriving:
            made, problem = made_of(one.variant, self.folder)
            if made is not None:
                yield take_in(made, self.folder)
            elif time.monotonic() < one.until:
                self._arriving.append(one)
            else:
                self._unseen(one, problem)

    def _unseen(self, one: _Arriving, problem: str) -> None:
        self.notes.append(f"run {one.variant.run}, made by {one.worker}, does not count: {problem}")
        worker = self._workers.get(one.worker)
        if worker is not None and not worker.refusal:
            worker.unseen += 1
            if worker.unseen >= BLIND:
                self._refuse(worker, f"made {worker.unseen} runs that did not come here")
        self._again(_Given(one.variant, None, time.monotonic()))

    # The end -------------------------------------------------------------------------------------------------

    def _lost(self) -> MachineError:
        return MachineError(
            f"the Dask scheduler at {self.cluster.address} was lost; what is finished is kept. "
            "Start a scheduler, then add --resume to go on"
        )

    def _abandon(self) -> None:
        """End what still runs: the workers see that nobody wants it any more."""
        if self.cluster.lost:
            return
        futures = [given.future for worker in self._workers.values() for given in worker.given.values()]
        with suppress(Exception):
            self.cluster.client.cancel(futures, force=True)
        until = time.monotonic() + WAIT_FOR_END
        busy = [worker for worker in self._workers.values() if not worker.refusal]
        while busy and time.monotonic() < until and self._any_going_on():
            time.sleep(0.05)

    def _any_going_on(self) -> bool:
        runs = [run for run in (self.folder / WORK).iterdir() if run.is_dir() and run.name != DASK]
        return any(attempt.is_dir() for run in runs for attempt in run.iterdir())


def _inputs(plan: Plan) -> dict[str, str]:
    """SHA-256 of all input files of a plan, by their path."""
    shapes = {id(variant.inputs): (variant.folder, variant.inputs) for variant in plan.valid}
    return {
        os.path.normpath(folder / path): sha256 for folder, inputs in shapes.values() for path, sha256 in inputs.items()
    }
