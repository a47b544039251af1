"""One run of a batch, as a worker does it: in a child process, within its limits, in a folder of its own.

A run is made in a folder of its own under `.work/`, and finished there. Whoever asked for it puts it into its place
once it has seen that all is there as it was written. Two that make the same run at once (one of them was thought lost)
do not meet, and a worker that nobody waits for any more changes nothing.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cosim.batch_folder import ROW, RUNS, finish_run, run_folder
from cosim.code_identity import code_hash
from cosim.engine.files import SCRATCH
from cosim.errors import MachineError
from cosim.registry import federate_kinds
from cosim.results import BASELINE
from cosim.stored_files import damage
from cosim.units import format_duration
from runs.batch.file import RunLimits
from runs.batch.plan import Variant
from runs.batch.row import Row, read_row
from runs.batch.zygote import Zygote

WORK = ".work"  #: the subfolder of a batch's folder where unfinished runs are
DASK = "dask"  #: the subfolder of it that the workers on this machine use
LOG = "run.log"
OUTPUT = "output.log"  #: what the run's own process printed, beside its folder as long as it runs

POLL = 0.1  #: [s] between two looks at the time and at who wants the run
MEMORY_POLL = 0.5  #: [s] between two looks at the memory, which cost more
GRACE = 8.0  #: [s] for a run to end in good order once its time is over
STOPPED_POLL = 2.0  #: [s] between two looks at whether a process of the run stands still
STOPPED = 15.0  #: [s] after which one that does is lost
KILLED_WITHIN = 5.0  #: [s] that the end of a killed run may take to be told

FINISHED, MACHINE, DISK, OTHER, INTERRUPTED = 0, 75, 28, 76, 130  #: exit codes of a run's process


class Stopped(Exception):  # noqa: N818 - it is no error
    """Nobody wants the run any more."""


class OtherError(MachineError):
    """The worker would not compute what the client means: other code, or other input files."""


class DiskFullError(MachineError):
    """There is no room for results; the batch cannot go on."""


@dataclass(frozen=True)
class RunTask:
    """All that a worker must know to make one run; small, it travels to the worker."""

    variant: Variant
    out: Path  #: the batch's folder
    session: str  #: of the client that wants it; a try counts as lost only within one
    limits: RunLimits
    retries: int
    baseline: bool
    keep: tuple[str, ...]
    figures: Mapping[str, Any]
    report: bool
    code: str = ""  #: hash of the code that the client runs; "" where that is this process's
    kinds: tuple[str, ...] = ()  #: of federates, worth importing before

    @property
    def folder(self) -> Path:
        """Where the finished run is."""
        return run_folder(self.out, self.variant.run)


@dataclass(frozen=True)
class Made:
    """A run that was made, and where it waits to be put into its place."""

    row: Row
    folder: Path


def execute(task: RunTask, stop: Callable[[], bool], worker: str = "") -> Row:
    """Make the run here and put it into its place, unless it is there already; its row. Raises as `make` does."""
    done = finished_row(task.folder)
    if done is not None and done.key == task.variant.key:
        return done
    made = make(task, stop, worker)
    try:
        return take_in(made, task.out)
    except OSError as error:
        raise _of_disk(task, error) from None


def make(task: RunTask, stop: Callable[[], bool], worker: str = "") -> Made:
    """Make the run in a folder of its own.

    Raises Stopped if `stop` says so, OtherError, DiskFullError, MachineError where the folder cannot be written.
    """
    try:
        tries = _Tries(task)
        while True:
            if tries.count > task.retries:
                times = f"{tries.count} time" + "s" * (tries.count > 1)
                error = (
                    f"its worker was lost each of the {times} it ran; it may need more memory than the worker has. "
                    "Set limits.memory in the batch file, so that it ends before its worker does."
                )
                lost = row_of(task.variant, "lost", error=error, code=task.code)
                return _finish(task, _new_folder(task), lost, tries, worker)
            with tries.begin():
                folder = _new_folder(task)
                code, row = _attempt(task, folder, stop, worker)
            if code != MACHINE or tries.count > task.retries:
                return _finish(task, folder, row, tries, worker)
            shutil.rmtree(folder, ignore_errors=True)
    except OSError as error:
        raise _of_disk(task, error) from None


def finished_row(folder: Path) -> Row | None:
    """The row of the run in `folder`; None if there is no finished one."""
    try:
        return read_row(folder / ROW)
    except (OSError, ValueError):
        return None


def row_of(variant: Variant, outcome: Any, **known: Any) -> Row:
    """A row with what the plan knows of a run."""
    return Row(
        run=variant.run,
        number=variant.number,
        group=variant.group,
        key=variant.key,
        parameters=variant.parameters,
        outcome=outcome,
        **known,
    )


class _Tries:
    """How often a run was begun by this client and never ended: kept on disk, as the one who counts may be killed."""

    def __init__(self, task: RunTask) -> None:
        self.folder = task.out / WORK / task.variant.run
        self.folder.mkdir(parents=True, exist_ok=True)
        self._file = self.folder / f"{task.session}.tries"
        self.count = self._file.stat().st_size if self._file.exists() else 0

    @contextmanager
    def begin(self) -> Iterator[None]:
        """Count one more, unless it is stopped."""
        with self._file.open("ab") as file:
            file.write(b".")
        self.count += 1
        try:
            yield
        except Stopped:
            with contextlib.suppress(OSError):
                os.truncate(self._file, self.count - 1)
                if self.count == 1:
                    self._file.unlink()
                    self.folder.rmdir()  # unless another works there
            raise


def _new_folder(task: RunTask) -> Path:
    """A new folder to make the run in; another worker, thought lost, may have its own beside it."""
    folder = task.out / WORK / task.variant.run / secrets.token_hex(8)
    folder.mkdir(parents=True)
    return folder


def _attempt(task: RunTask, folder: Path, stop: Callable[[], bool], worker: str) -> tuple[int, Row]:
    """One try in a process of its own: its exit code, and the row.

    Raises Stopped, OtherError, DiskFullError, OSError.
    """
    from runs.batch.child import Work

    began = time.monotonic()
    output = folder.with_name(f"{folder.name}.{OUTPUT}")
    try:
        with Zygotes.of_this_process().take(task.kinds, task.code) as zygote:
            zygote.start(Work(task, folder), output)
            code, exceeded = _watch(task, zygote, stop)
    except OtherError:
        _remove(folder, output)
        raise
    except MachineError as error:
        _note(folder, output)
        wall = time.monotonic() - began
        lost = row_of(task.variant, "failed", error=str(error), code=task.code, wall_s=wall, worker=worker)
        return MACHINE, lost
    except Stopped:
        _remove(folder, output)
        raise
    row = finished_row(folder) if code in (FINISHED, MACHINE, OTHER) else None
    if code in (DISK, OTHER):
        _remove(folder, output)  # room for what has been finished
        raise _no_room(task) if code == DISK else OtherError(row.error if row else "it has other input files")
    if row is None:
        _note(folder, output)
        why = _OVER[exceeded](task) if exceeded else _ended_badly(code)
        row = row_of(task.variant, exceeded or "failed", error=why, code=task.code)
        code = FINISHED if exceeded else MACHINE
    output.unlink(missing_ok=True)
    return code, row.update(wall_s=time.monotonic() - began, worker=worker)


def _watch(task: RunTask, zygote: Zygote, stop: Callable[[], bool]) -> tuple[int, str | None]:
    """Wait for the run's process; its exit code, and which limit it exceeded. Raises Stopped, MachineError.

    Nothing here waits for a process that stands still: what does not answer to its end is killed with all it started.
    """
    began = looked = stood = seen = time.monotonic()
    limit = None if task.limits.time is None else task.limits.time / 1e9
    exceeded: str | None = None
    while (code := zygote.wait(POLL)) is None:
        now = time.monotonic()
        if stop():
            _kill(zygote)
            raise Stopped
        if limit is not None and now - began > limit:
            if exceeded is not None:
                return _kill(zygote), exceeded
            zygote.signal(signal.SIGTERM)
            exceeded, limit = "timeout", now - began + GRACE
        if task.limits.memory is not None and now - looked > MEMORY_POLL:
            looked = now
            if zygote.memory() > task.limits.memory:
                return _kill(zygote), "memory"
        if now - seen > STOPPED_POLL:
            seen, stood = now, stood if zygote.stopped() else now
            if seen - stood > STOPPED:
                _kill(zygote)
                raise MachineError(f"a process of the run stood still for {STOPPED:.0f} s (SIGSTOP), and was ended")
    return code, exceeded


def _kill(zygote: Zygote) -> int:
    """End the run with all that it started; its exit code. Where the zygote does not tell it, that ends too."""
    zygote.signal(signal.SIGKILL)
    code = zygote.wait(KILLED_WITHIN)
    if code is None:
        zygote.kill()
    return -signal.SIGKILL if code is None else code


def _too_long(task: RunTask) -> str:
    limit = format_duration(task.limits.time or 0)
    return f"took longer than limits.time ({limit}) and was ended; raise the limit, or see where it was in its {LOG}"


def _too_large(task: RunTask) -> str:
    limit = f"{(task.limits.memory or 0) / 1e6:g} MB"
    return f"used more memory than limits.memory ({limit}) and was ended; raise the limit, or make the run smaller"


_OVER: Mapping[str, Callable[[RunTask], str]] = {"timeout": _too_long, "memory": _too_large}


def _ended_badly(code: int) -> str:
    how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    return f"the run's process was {how}; if nobody did that, the machine may have run out of memory. See its {LOG}"


def _remove(folder: Path, output: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    output.unlink(missing_ok=True)


def _note(folder: Path, output: Path) -> None:
    """Make a log of what the processes of an ended run printed."""
    parts = [(folder / LOG).read_text(errors="replace")] if (folder / LOG).exists() else []
    for path in (*sorted((folder / SCRATCH).glob("*.log")), output):
        text = path.read_text(errors="replace") if path.exists() else ""
        if text.strip():
            parts.append(f"== process {'run' if path is output else path.stem}\n{text}\n")
    output.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        (folder / LOG).write_text("".join(parts))


def _finish(task: RunTask, folder: Path, row: Row, tries: _Tries, worker: str) -> Made:
    """Finish a run where it was made. Raises OSError."""
    for scratch in (folder / SCRATCH, folder / BASELINE / SCRATCH):
        shutil.rmtree(scratch, ignore_errors=True)
    log = f"{RUNS}/{task.variant.run}/{LOG}" if (folder / LOG).exists() else ""
    row = row.update(attempts=max(1, tries.count), worker=worker, log=log)
    finish_run(folder, as_written(row))
    return Made(row, folder)


def made_of(variant: Variant, out: Path) -> tuple[Made | None, str]:
    """A run that a worker has made, whole as it was written, if there is one; else what is wrong with what there is."""
    around, problem = out / WORK / variant.run, "nothing of it has come here"
    for folder in sorted(around.iterdir()) if around.is_dir() else ():
        row = finished_row(folder)
        if row is None or row.key != variant.key:
            continue
        if row.code != code_hash():
            problem = "it was made by other code"
            continue
        found = damage(folder, always=(ROW,))
        if not found:
            return Made(row, folder), ""
        problem = found[0]
    return None, problem


def take_in(made: Made, out: Path) -> Row:
    """Put a run that was made into its place in the batch's folder `out`, and clear up after it. Raises OSError."""
    place = run_folder(out, made.row.run)
    place.parent.mkdir(exist_ok=True)
    swap(made.folder, place)
    shutil.rmtree(out / WORK / made.row.run, ignore_errors=True)
    return made.row


def publish(row: Row, folder: Path, place: Path) -> Row:
    """Finish the run in `folder` and put it into `place`. Raises OSError."""
    finish_run(folder, as_written(row))
    place.parent.mkdir(exist_ok=True)
    swap(folder, place)
    return row


def swap(folder: Path, place: Path) -> None:
    """Put the run in `folder` into `place`; what was there goes only after. Raises OSError."""
    old = place.with_name(f".{place.name}.{secrets.token_hex(4)}")
    if place.exists():
        place.rename(old)
    folder.rename(place)
    shutil.rmtree(old, ignore_errors=True)


def as_written(row: Row) -> str:
    """A row as its file holds it."""
    return row.model_dump_json(indent=1) + "\n"


def _no_room(task: RunTask) -> DiskFullError:
    return DiskFullError(f"no space left for results in {task.out}; free space there")


def _of_disk(task: RunTask, error: OSError) -> MachineError:
    if is_full(error):
        return _no_room(task)
    return MachineError(f"cannot write to {error.filename or task.out}: {error.strerror}; mend that")


def is_full(error: OSError) -> bool:
    """Whether the disk is full, or what this user may have of it."""
    import errno

    return error.errno in (errno.ENOSPC, errno.EDQUOT)


class Zygotes:
    """The zygotes of a worker: one for each of its threads that runs something.

    They stay for a while after a batch, for the next one whose code is the same.
    """

    _here: Zygotes | None = None

    def __init__(self) -> None:
        self._idle: list[tuple[Zygote, str]] = []  # with the hash of their code
        self._lock = threading.Lock()

    @classmethod
    def of_this_process(cls) -> Zygotes:
        """Those of this process."""
        if cls._here is None:
            cls._here = cls()
        return cls._here

    def prepare(self, kinds: Sequence[str], code: str) -> None:
        """Have one that has imported what federates of `kinds` need; it need not be waited for."""
        self._give_back(self._fitting(kinds, code), code)

    @contextmanager
    def take(self, kinds: Sequence[str], code: str) -> Iterator[Zygote]:
        """One for a run with federates of `kinds`, which nobody else uses.

        Raises MachineError if it is lost, OtherError if the code here is not that of the hash `code`.
        """
        zygote = self._fitting(kinds, code)
        try:
            if code and zygote.code != code:
                raise OtherError("runs other code of cosim, or has other versions of its packages")
            yield zygote
        except Stopped:
            self._give_back(zygote, code)
            raise
        except BaseException:
            zygote.close()
            raise
        self._give_back(zygote, code)

    def close(self) -> None:
        """End those that are idle; a worker's end ends all."""
        with self._lock:
            while self._idle:
                self._idle.pop()[0].close()

    def _fitting(self, kinds: Sequence[str], code: str) -> Zygote:
        with self._lock:
            for entry in list(self._idle):
                zygote, its_code = entry
                if its_code != code or not zygote.alive:
                    self._idle.remove(entry)
                    zygote.close()
                elif set(kinds) <= set(zygote.kinds):
                    self._idle.remove(entry)
                    return zygote
            if self._idle:
                self._idle.pop()[0].close()  # one for other scenarios
        return Zygote(kinds)

    def _give_back(self, zygote: Zygote, code: str) -> None:
        with self._lock:
            self._idle.append((zygote, code))


def kinds_of(scenario: Any) -> tuple[str, ...]:
    """The project's federate kinds that a scenario, as plain data, names."""
    from cosim.scenario import DEFAULT_KINDS

    found = {DEFAULT_KINDS["communications"], *(kind for section, kind in DEFAULT_KINDS.items() if section in scenario)}

    def look(value: Any) -> None:
        if isinstance(value, Mapping):
            if isinstance(value.get("kind"), str):
                found.add(value["kind"])
            for item in value.values():
                look(item)
        elif isinstance(value, list | tuple):
            for item in value:
                look(item)

    look(scenario)
    return tuple(sorted(found & set(federate_kinds())))
