"""A process that has imported everything and forks a child for each run: a run starts in milliseconds.

A worker talks to its zygote over a pipe, and both ends watch it: a zygote whose worker is gone, killed or not, ends,
and what it had forked ends with it. The zygote stays single-threaded and never touches an engine or HELICS: only so
is a fork safe. It takes in the orphans of its children (a run's own processes), so that ending a run means ending
every process that came of it, whoever started it.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import os
import select
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from functools import cached_property
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil

from cosim.code_identity import code_hash
from cosim.engine.launcher import own_path, own_python
from cosim.engine.lifeline import die_with_parent
from cosim.engine.zygote import needed_by, threads_at_risk
from cosim.errors import MachineError

POLL = 0.05  #: [s] between two looks where the system has no file descriptors of processes
IDLE = 60.0  #: [s] after which one that nobody uses ends
STARTS_WITHIN = 120.0  #: [s] that the imports may take, on a busy machine
ENDS_WITHIN = 10.0  #: [s] that a killed process may take to be gone
_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h

#: What a run's child and its hosts need, imported once.
PRELOADED = (
    "cosim.engine.host",
    "numcodecs",
    "cosim.simulation",
    "cosim.wiring",
    "runs.batch.child",
)

Work = Callable[[threading.Event], int]  #: what a child does: given the event that asks it to stop; its exit code


class Zygote:
    """A worker's end: one run at a time."""

    def __init__(self, kinds: Sequence[str] = ()) -> None:
        """Start it; it imports what every run needs, and what federates of `kinds` do, where that goes well."""
        self.kinds = tuple(kinds)
        self._pipe, there = Pipe()
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        self._process = subprocess.Popen(
            [*own_python("runs.batch.zygote"), str(there.fileno()), *kinds],
            pass_fds=[there.fileno()],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, **own_path(), **threads},
        )
        there.close()
        self._child: int | None = None

    @cached_property
    def code(self) -> str:
        """The hash of the code that its runs run, as it has imported it. Raises MachineError."""
        try:
            return str(self._answer())
        except (EOFError, OSError):
            raise self._lost() from None

    @property
    def alive(self) -> bool:
        """Whether it can fork."""
        return self._process.poll() is None

    def start(self, work: Work, log: Path) -> None:
        """Fork a child that does `work` (it must pickle) and writes what it prints to `log`. Raises MachineError."""
        _ = self.code  # it tells this first
        try:
            self._pipe.send((work, str(log)))
            self._child = self._answer()
        except (EOFError, OSError):
            raise self._lost() from None

    def _answer(self) -> Any:
        if not self._pipe.poll(STARTS_WITHIN):
            raise MachineError(f"no process for runs came up within {STARTS_WITHIN:.0f} s; the machine is too busy")
        return self._pipe.recv()

    def wait(self, seconds: float) -> int | None:
        """The exit code of the child (negative: its signal), or None if it runs on. Raises MachineError.

        When it has ended, so has every process that it started.
        """
        try:
            if not self._pipe.poll(seconds):
                return None
            code: int = self._pipe.recv()
        except (EOFError, OSError):
            raise self._lost() from None
        self._child = None
        return code

    def signal(self, number: int) -> None:
        """Send the child a signal; SIGKILL ends it with all that it started."""
        with contextlib.suppress(OSError):
            self._pipe.send(number)

    def memory(self) -> int:
        """Resident memory of the child and all that it started [B]; pages that they share count once."""
        child = self._child
        return 0 if child is None else sum(_resident(process) for process in _tree(child))

    def stopped(self) -> bool:
        """Whether it, its child or a process of that stands still (SIGSTOP), and so answers to nothing but SIGKILL."""
        return any(_is_stopped(process) for process in _tree(self._process.pid))

    def close(self) -> None:
        """End it, and what it still runs."""
        self._pipe.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End it at once, and all that came of it, even where they stand still."""
        for process in reversed(_tree(self._process.pid)):
            with contextlib.suppress(psutil.Error):
                process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(ENDS_WITHIN)

    def _lost(self) -> MachineError:
        self.close()
        code = self._process.returncode
        how = f"killed by {signal.Signals(-code).name}" if code and code < 0 else f"ended with exit code {code}"
        return MachineError(f"the process that starts runs was {how}; the machine may have run out of memory")


def _tree(pid: int) -> list[psutil.Process]:
    try:
        first = psutil.Process(pid)
        return [first, *first.children(recursive=True)]
    except psutil.Error:
        return []


def _is_stopped(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_STOPPED
    except psutil.Error:
        return False


def _resident(process: psutil.Process) -> int:
    """The process' share of the memory that it uses [B]: forked processes share most of theirs."""
    try:
        for line in Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return 1024 * int(line.split()[1])
    except OSError:
        with contextlib.suppress(psutil.Error):
            return int(process.memory_info().rss)
    return 0


# The zygote's end ----------------------------------------------------------------------------------------------------


def serve(pipe: Connection) -> None:
    """Say which code runs here; fork a child for each work that comes, until the worker is gone or wants nothing."""
    pipe.send(code_hash())
    while True:
        if not pipe.poll(IDLE):
            return
        try:
            request = pipe.recv()
        except (EOFError, OSError):
            return
        if isinstance(request, int):
            continue  # a signal for a child that had just ended
        work, log = request
        parent = os.getpid()
        child = os.fork()
        if child == 0:
            pipe.close()
            _be_child(work, Path(log), parent)
        pipe.send(child)
        code = _attend(pipe, child)
        if code is None:
            return
        pipe.send(code)


def _attend(pipe: Connection, child: int) -> int | None:
    """Pass on signals until the child has ended; its exit code. None: the worker is gone, and so is the child."""
    gone = os.pidfd_open(child) if hasattr(os, "pidfd_open") else None
    try:
        while True:
            watched: list[Any] = [pipe] if gone is None else [pipe, gone]
            ready, _, _ = select.select(watched, [], [], POLL if gone is None else None)
            if pipe in ready:
                try:
                    os.kill(child, pipe.recv())
                except ProcessLookupError:
                    pass
                except (EOFError, OSError):
                    _end_all()
                    return None
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                _end_all()
                return os.waitstatus_to_exitcode(status)
    finally:
        if gone is not None:
            os.close(gone)


def _end_all() -> None:
    """End every process that is left of a run: children, and orphans that came to this process."""
    while True:
        for process in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                process.kill()
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.002)


def _be_child(work: Work, log: Path, parent: int) -> None:
    """What a forked child does; it never returns."""
    code = 1
    try:
        os.setsid()
        die_with_parent(parent)
        with log.open("ab", buffering=0) as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        stop = threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: stop.set())
        code = work(stop)
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(BaseException):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _preload(kinds: Sequence[str]) -> None:
    """Import what runs need; a kind that cannot be read fails in its own run, and is told from there."""
    for module in PRELOADED:
        importlib.import_module(module)
    for module in {module for kind in kinds for module in needed_by(kind)}:
        with contextlib.suppress(Exception):
            importlib.import_module(module)
    if kinds and threads_at_risk():  # a module has started a thread, which no fork survives: without those, then
        os.execv(sys.executable, [*own_python("runs.batch.zygote"), sys.argv[1]])


def main() -> None:
    """Import what runs need, and serve."""
    pipe = Connection(int(sys.argv[1]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1)
    _preload(sys.argv[2:])
    gc.collect()
    gc.freeze()  # the children share these pages as long as no collection touches them
    serve(pipe)


if __name__ == "__main__":
    main()
