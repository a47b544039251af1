"""Runs a federation in processes, watches it, and ends it whatever happens: nothing hangs, nothing is left.

Each federate writes where it stands into shared memory; the supervisor polls that, the exit codes and the
failures written down, and names the first cause: who, at what simulated time, why. HELICS alone takes 20 s
to notice a killed federate, never notices a hung one, and reports success in both cases.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from cosim.contract import Time
from cosim.engine import process_log
from cosim.engine.failure import Failure, read_failures
from cosim.engine.files import ENGINE_LOGS, FEDERATION_FILE, FILES, SCRATCH, WORKING
from cosim.engine.launcher import ColdLauncher, Launch, Launcher, Process
from cosim.engine.machine import of_machine, remedy_of
from cosim.engine.recorder import Recorder
from cosim.engine.status import PHRASES, Phase, StatusTable
from cosim.errors import MachineError
from cosim.federation import Federation
from cosim.units import format_duration

POLL = 0.03  #: [s] between two looks
GRACE = 1.5  #: [s] to find the first cause once something failed
LOOK_FOR_WORK = 0.5  #: [s] between two looks at who starts: its children must be searched for
LAST_WORDS = 4  #: lines that are quoted of a process that ended by itself
MOST_SAID = 600  #: characters of them
LINGER = 3.0  #: [s] that a process may take to end after its federates have

#: The phases before the first step; who is in the first of them is the one that the others wait for.
_STARTING = (Phase.BUILDING, Phase.STARTING, Phase.CREATED, Phase.JOINING)


@dataclass(frozen=True)
class Progress:
    """How far a run is."""

    time: Time  #: [ns] simulated; what every federate has reached
    duration: Time  #: [ns]
    starting: bool
    wall: float  #: [s] since the first step
    slowest: str  #: the federate that has computed longest
    slowest_share: float  #: its share of the wall time [1]


@dataclass
class Outcome:
    """How a federation ended."""

    fault: Fault | None = None
    interrupted: bool = False  #: it was ended from outside
    reached: dict[str, Time] = field(default_factory=dict)  #: [ns] each federate's simulated time at the end
    steps: dict[str, int] = field(default_factory=dict)
    busy: dict[str, float] = field(default_factory=dict)  #: [s] wall time in each federate's own methods
    startup: float = 0.0  #: [s] from the call to the first step
    wall: float = 0.0  #: [s] from the first step to the end
    peak_memory: int = 0  #: [B] the largest sum of the processes' resident memory that was seen


@dataclass(frozen=True)
class Fault:
    """Why a run ended early."""

    federate: str  #: "" if it was none
    time: Time  #: [ns] simulated
    cause: str
    remedy: str
    detail: str = ""  #: traceback or the end of the log

    def __str__(self) -> str:
        who = f"federate '{self.federate}' " if self.federate else ""
        return f"{who}at simulated {format_duration(self.time)}: {self.cause} {self.remedy}".rstrip()


@dataclass(frozen=True)
class _Work:
    """What a starting process has worked."""

    since: float  #: [s] when it was last seen to have used the processor
    used: float  #: [s] of processor time up to then, with its children
    looked: float  #: [s] when it was looked at
    first: float  #: [s] of processor time at the first look


class Supervisor:
    """One run of one federation."""

    def __init__(
        self, federation: Federation, folder: Path, launcher: Launcher, stop: threading.Event | None = None
    ) -> None:
        """`folder` is where results go; scratch files live in a subfolder of it while the run goes on."""
        self.federation = federation
        self.folder = folder
        self.scratch = folder.absolute() / SCRATCH  # a federate's process works elsewhere
        self.stop = stop or threading.Event()
        self._launch: Launch = launcher.launch(federation, self.scratch)
        self._idle: dict[str, _Work] = {}
        self._began = time.monotonic()
        self._first_step: float | None = None
        self.outcome = Outcome()

    def run(self, progress: Callable[[Progress], None] | None = None) -> Outcome:
        """Run to the end, to the first fault, or until `stop` is set. What was recorded up to then is in `folder`."""
        recorder = None
        try:
            self._prepare()
            recorder = Recorder(self.scratch, self.folder, self.federation)
            self._launch.start()
            self.outcome.fault = self._watch(recorder, progress)
        except OSError as error:
            self.outcome.fault = Fault("", self._slowest_time(), *of_machine(error))
        finally:
            if self.stop.is_set() and self.outcome.fault is None:
                self.outcome.interrupted = True
                self.outcome.fault = Fault("", self._slowest_time(), "interrupted.", "Run it again.")
            self._kill()
            self._close()
            self._collect(recorder)
            shutil.rmtree(self.scratch, ignore_errors=True)
            if recorder is not None and self.outcome.fault is not None:
                with contextlib.suppress(OSError):
                    recorder.mend()
        return self.outcome

    def _prepare(self) -> None:
        shutil.rmtree(self.scratch, ignore_errors=True)
        self.scratch.mkdir(parents=True, mode=0o700)  # the broker's key is in it
        (self.scratch / FEDERATION_FILE).write_text(self.federation.model_dump_json())
        self.status = StatusTable.create(self.scratch, [spec.name for spec in self.federation.federates])

    @property
    def _processes(self) -> dict[str, Process]:
        return self._launch.processes

    def _watch(self, recorder: Recorder, progress: Callable[[Progress], None] | None) -> Fault | None:
        """Poll until all is done (None) or something is wrong (what)."""
        looks = 0
        while True:
            fault = self._failed() or self._died() or self._hung()
            if fault is not None or self.stop.is_set():
                return fault
            if all(process.poll() == 0 for process in self._processes.values()) or self._all_done_for(LINGER):
                return None
            recorder.take_full_chunks()
            looks += 1
            if looks % 10 == 1:
                self._measure_memory()
                for _, path in (entry for name in self._processes for entry in self._logs(name)):
                    process_log.limit(path)
                if progress is not None:
                    progress(self._progress())
            self.stop.wait(POLL)

    def _all_done_for(self, seconds: float) -> bool:
        """Whether every federate has closed in good order and the processes only fail to end themselves."""
        rows = self.status.rows
        return bool((rows["phase"] == Phase.DONE).all() and time.monotonic() - rows["stamp"].max() > seconds)

    # What can be wrong -------------------------------------------------------------------------------------

    def _failed(self) -> Fault | None:
        """A federate wrote down a failure; wait a little for the first cause if this one only followed."""
        for index in np.flatnonzero(self.status.rows["errno"]):
            row = self.status.rows[index]
            error = OSError(int(row["errno"]), os.strerror(int(row["errno"])))
            return Fault(self.status.names[index], int(row["time"]), *of_machine(error))
        failures = read_failures(self.scratch)
        until = time.monotonic() + GRACE
        while failures and failures[0].secondary and time.monotonic() < until:
            died = self._died()
            if died is not None:
                return died
            time.sleep(POLL)
            failures = read_failures(self.scratch)
        return self._explain(failures[0]) if failures else None

    def _explain(self, failure: Failure) -> Fault:
        detail = "" if failure.expected else failure.traceback
        cause = failure.message if failure.expected else f"raised {failure.kind}: {failure.message}"
        cause = cause.rstrip(".") + "."
        if failure.errno is not None:
            return Fault(failure.federate, failure.time, cause, remedy_of(failure.errno), detail)
        remedy = "" if failure.expected else "This is a fault of the model; its traceback is in run.log."
        return Fault(failure.federate, failure.time, cause, remedy, detail)

    def _died(self) -> Fault | None:
        """A process ended without its federates being done."""
        for name, process in self._processes.items():
            lost, code = process.lost(), process.poll()
            if code is None and not lost:
                continue
            members = self.federation.processes[name]
            unfinished = [spec for spec in members if self._phase(spec.name) not in (Phase.DONE, Phase.FAILED)]
            failed = any(self._phase(spec.name) == Phase.FAILED for spec in members)
            if not unfinished and (code == 0 or failed):
                continue
            if any(not failure.secondary for failure in read_failures(self.scratch)):
                continue
            spec = min(unfinished or members, key=lambda entry: self._rank(entry.name))
            row = self.status.row(spec.name)
            how, remedy = (lost, _LOST_REMEDY) if code is None else _ending(code)
            early = ", before the stop time" if row["time"] < self.federation.duration else ""
            cause = f"its process {how} while it {PHRASES[Phase(int(row['phase']))]}{early}."
            if code is not None and (said := self._last_words(name)):
                cause = f"{cause.rstrip('.')}. Its last words: {said.rstrip('.')}."
            others = [entry.name for entry in unfinished if entry is not spec]
            if others:
                cause += f" It shared the process with {', '.join(others)}."
            return Fault(spec.name, int(row["time"]), cause, remedy, self._log_end(name))
        return None

    def _rank(self, name: str) -> int:
        """Who is named when a process of several dies: first who was computing."""
        order = (Phase.COMPUTING, Phase.CLOSING, Phase.STARTING, Phase.BUILDING)
        return order.index(self._phase(name)) if self._phase(name) in order else len(order)

    def _hung(self) -> Fault | None:
        """Someone computes or starts for too long, or all wait for each other."""
        now = time.monotonic()
        limits = self.federation.limits
        rows = self.status.rows
        phases = rows["phase"].copy()
        if self._first_step is None and (phases >= Phase.COMPUTING).any():
            self._first_step = now
        starting = sorted(np.flatnonzero(phases < Phase.COMPUTING), key=lambda index: _STARTING.index(phases[index]))
        at_work = [index for index in starting if phases[index] in (Phase.BUILDING, Phase.STARTING)]
        for index in at_work or starting:  # the others wait for those at work
            fault = self._stuck_at_start(self.status.names[index], now)
            if fault is not None:
                return fault
        if starting:
            return None
        allowed_ns = np.where(rows["steps"] > 0, limits.step, limits.start)
        computing = (phases == Phase.COMPUTING) | (phases == Phase.CLOSING)
        for index in np.flatnonzero(computing & (now - rows["stamp"] > allowed_ns / 1e9)):
            # it may have gone on between the two looks
            name, row, allowed = self.status.names[index], rows[index], int(allowed_ns[index])
            if row["phase"] in (Phase.COMPUTING, Phase.CLOSING) and now - row["stamp"] > allowed / 1e9:
                doing = PHRASES[Phase(int(row["phase"]))].removeprefix("was ")
                cause = f"hangs: it has been {doing} for more than {format_duration(allowed)}."
                limit = "limits.step" if row["steps"] else "limits.start"
                remedy = f"If its model needs that long, raise {limit} (now {format_duration(allowed)})."
                return Fault(name, int(row["time"]), cause, remedy, self._log_end(self._process_of(name)))
        if (phases == Phase.WAITING).any() and ((phases == Phase.WAITING) | (phases == Phase.DONE)).all():
            return self._deadlock(now)
        return None

    def _deadlock(self, now: float) -> Fault | None:
        rows = self.status.rows
        if now - rows["stamp"].max() <= self.federation.limits.step / 1e9:
            return None
        waiting = [n for n in self.status.names if self._phase(n) == Phase.WAITING]
        name = min(waiting, key=lambda n: int(self.status.row(n)["time"]))
        where = ", ".join(f"'{n}' at {format_duration(int(self.status.row(n)['time']))}" for n in waiting)
        cause = f"nothing moves: every federate waits for another ({where})."
        return Fault(name, int(self.status.row(name)["time"]), cause, "Check the links of the federate that is behind.")

    def _stuck_at_start(self, name: str, now: float) -> Fault | None:
        """A federate works too long to start, or sits there without using the processor.

        On a busy machine work takes longer: who works is held to processor time, who does not to the clock.
        """
        limits = self.federation.limits
        row = self.status.row(name)
        phrase = PHRASES[Phase(int(row["phase"]))]
        if row["phase"] not in (Phase.BUILDING, Phase.STARTING):
            waited = now - max(self._began, float(self.status.rows["stamp"].max()))
            return self._late(name, phrase, "") if waited > limits.start / 1e9 else None
        seen = self._idle.get(name)
        if seen is not None and now - seen.looked < min(LOOK_FOR_WORK, limits.idle / 1e9):
            return None
        used = self._processes[self._process_of(name)].processor_time()
        if seen is None:
            self._idle[name] = _Work(now, used, now, used)
        elif used - seen.first > limits.start / 1e9:
            return self._late(name, phrase, " of processor time")
        elif abs(used - seen.used) > 0.02:  # a child that ended may take its share along
            self._idle[name] = replace(seen, since=now, used=used, looked=now)
        elif now - seen.since > limits.idle / 1e9:
            allowed = format_duration(limits.idle)
            cause = f"never joins: it {phrase} and has used no processor time for more than {allowed}."
            remedy = f"It may wait for something outside; if that is right, raise limits.idle (now {allowed})."
            return Fault(name, 0, cause, remedy, self._log_end(self._process_of(name)))
        else:
            self._idle[name] = replace(seen, looked=now)
        return None

    def _late(self, name: str, phrase: str, kind: str) -> Fault:
        """A federate that has not joined in the time that `limits.start` allows."""
        allowed = format_duration(self.federation.limits.start)
        cause = f"did not join within {allowed}{kind}: it {phrase}."
        remedy = f"If its engine needs longer, raise limits.start (now {allowed})."
        return Fault(name, 0, cause, remedy, self._log_end(self._process_of(name)))

    # Small helpers -----------------------------------------------------------------------------------------

    def _phase(self, name: str) -> Phase:
        return Phase(int(self.status.row(name)["phase"]))

    def _process_of(self, name: str) -> str:
        return next(spec.process for spec in self.federation.federates if spec.name == name)

    def _log_end(self, process: str) -> str:
        texts = [process_log.end_of(path) for _, path in self._logs(process)]
        return "\n".join(line for text in texts for line in text.splitlines()[-30:])

    def _logs(self, process: str) -> list[tuple[str, Path]]:
        """What a process and its engines say, each file with a title."""
        members = {f"{spec.name}.scratch": spec.name for spec in self.federation.processes[process]}
        engines = [path for path in sorted(self.scratch.glob(ENGINE_LOGS)) if path.parent.name in members]
        own = (f"process {process}", self.scratch / f"{process}.log")
        return [own, *((f"{path.name} of {members[path.parent.name]}", path) for path in engines)]

    def _last_words(self, process: str) -> str:
        """The last lines that the engines of a process that ended, or it itself, have written; "" for silence."""
        own, *engines = (process_log.end_of(path) for _, path in self._logs(process))
        lines = ([line.strip() for line in text.splitlines() if line.strip()] for text in (*engines, own))
        said = next((found for found in lines if found), [])
        return " | ".join(said[-LAST_WORDS:])[-MOST_SAID:]

    def _slowest_time(self) -> Time:
        rows = getattr(self, "status", None)
        return int(rows.rows["time"].min()) if rows is not None else 0

    def _measure_memory(self) -> None:
        total = sum(process.memory() for process in self._processes.values())
        self.outcome.peak_memory = max(self.outcome.peak_memory, total)

    def _progress(self) -> Progress:
        rows = self.status.rows
        first = self._first_step
        wall = 0.0 if first is None else time.monotonic() - first
        slowest = int(rows["busy"].argmax())
        share = rows["busy"][slowest] / wall if wall else 0.0
        return Progress(
            int(rows["time"].min()),
            self.federation.duration,
            first is None,
            wall,
            self.status.names[slowest],
            float(share),
        )

    # The end -----------------------------------------------------------------------------------------------

    def _kill(self) -> None:
        """End every process of the run with all its children; after a failure they may close first."""
        until = time.monotonic() + GRACE
        while self._closes_after_failure() and time.monotonic() < until:
            time.sleep(POLL)
        self._launch.end()

    def _closes_after_failure(self) -> bool:
        """Whether federates that heard of another's failure are still closing; those that hang never do."""
        running = [process for process in self._processes.values() if process.poll() is None]
        return bool(running) and self.outcome.fault is not None and bool(read_failures(self.scratch))

    def _close(self) -> None:
        """Keep the processes' output, their engines' logs and the files that they wrote beside the results."""
        with contextlib.suppress(OSError), (self.folder / "run.log").open("w", encoding="utf-8") as log:
            for title, path in (entry for name in self._processes for entry in self._logs(name)):
                with contextlib.suppress(FileNotFoundError):  # what is lost on its way may have said nothing
                    process_log.append(path, title, log)
            if self.outcome.fault is not None:
                log.write(f"== fault\n{self.outcome.fault}\n{self.outcome.fault.detail}\n")
        with contextlib.suppress(OSError):
            for folder in self.scratch.glob(f"*{WORKING}"):
                if any(folder.iterdir()):
                    (self.folder / FILES).mkdir(exist_ok=True)
                    folder.rename(self.folder / FILES / folder.name.removesuffix(WORKING))

    def _collect(self, recorder: Recorder | None) -> None:
        """Store what was recorded, and how far each federate came."""
        if recorder is not None:
            try:
                recorder.finish()
            except OSError as error:
                if self.outcome.fault is None:
                    self.outcome.fault = Fault("", self._slowest_time(), *of_machine(error))
        if not hasattr(self, "status"):
            return
        now = time.monotonic()
        first = self._first_step or now
        self.outcome.startup, self.outcome.wall = first - self._began, now - first
        for name, row in zip(self.status.names, self.status.rows, strict=True):
            self.outcome.reached[name] = int(row["time"])
            self.outcome.steps[name] = int(row["steps"])
            self.outcome.busy[name] = float(row["busy"])


_LOST_REMEDY = "Look at the log of that worker; if its machine is gone, start another worker, and run again."


def _ending(code: int) -> tuple[str, str]:
    """How an exit code reads, and what to do next."""
    if code == -signal.SIGKILL:
        return "was killed by SIGKILL", "If you did not kill it, the machine may have run out of memory."
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    return how, "Look at the end of its output in run.log."


def run_federation(
    federation: Federation,
    folder: Path,
    progress: Callable[[Progress], None] | None = None,
    stop: threading.Event | None = None,
    launcher: Launcher | None = None,
) -> Outcome:
    """Run `federation` with results in `folder`, its processes started by `launcher` (default: here, cold).

    Raises MachineError if the folder cannot be made or the launcher has no machine to start them on.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MachineError(f"cannot make the folder {folder}: {error.strerror}. {remedy_of(error.errno)}") from None
    return Supervisor(federation, folder, launcher or ColdLauncher(), stop).run(progress)
