"""A warm start: a run's processes are forked from one that has imported what they need, instead of started anew.

For whoever runs many federations from one process. The forked processes are what the started ones are: a session of
their own, their output in a log, gone when who asked for them is gone; and the results are the same to the bit.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import select
import signal
import socket
import subprocess
import threading
from pathlib import Path
from types import TracebackType
from typing import Any

from cosim.engine.launcher import (
    ONE_THREAD,
    HostCall,
    LocalLaunch,
    LocalProcess,
    begin_cold,
    own_path,
    own_python,
)
from cosim.errors import MachineError
from cosim.federation import Federation

ANSWERS_WITHIN = 180.0  #: [s] that the first imports may take, on a busy machine
_KILLED = -9  #: the exit code of a process whose zygote has ended: it was killed with it


class WarmLauncher:
    """Launches from a zygote that ends with `close` or with this process.

    Where the system has no pidfd (other than Linux), and where a federate's module starts threads when imported, the
    processes are started cold.
    """

    def __init__(self, *, forked: bool = False) -> None:
        """The zygote is started with the first run; or, if `forked`, forked here and now with what is imported here.

        Forking asks for a process that has one thread and has not used HELICS. Raises MachineError.
        """
        self._lock = threading.Lock()
        self._zygote: _Zygote | None = None
        self._cold = not hasattr(os, "pidfd_open")
        self._forked = forked
        if forked and not self._cold:
            threads = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
            if threads:
                raise MachineError(f"a process with threads ({', '.join(threads)}) cannot be forked; fork it earlier")
            self._zygote = _Zygote(forked=True)

    @property
    def warm(self) -> bool:
        """Whether it forks; it starts processes cold where it cannot."""
        return not self._cold

    def launch(self, federation: Federation, scratch: Path) -> LocalLaunch:
        """The launch of one run on this machine."""
        kinds = {name: [spec.kind for spec in specs] for name, specs in federation.processes.items()}

        def begin(call: HostCall) -> Any:
            return begin_cold(call) if self._cold else self._fork(call, kinds[call.process])

        return LocalLaunch(list(kinds), scratch, begin)

    def close(self) -> None:
        """End the zygote, and with it what it has forked."""
        with self._lock:
            if self._zygote is not None:
                self._zygote.close()
                self._zygote = None

    def __enter__(self) -> WarmLauncher:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _fork(self, call: HostCall, kinds: list[str]) -> Any:
        request = {
            "kinds": kinds,
            "scratch": str(call.scratch.absolute()),
            "interface": call.interface,
            "process": call.process,
            "log": str(call.log.absolute()),
            "environment": {**os.environ, **call.environment},
            "directory": str(Path.cwd()),
        }
        line = _Line(self._address(), request)
        if line.error:
            self._cold = True
            return begin_cold(call)
        return LocalProcess(line.pid, line.poll), line.wait

    def _address(self) -> str:
        with self._lock:
            if self._zygote is not None and not self._zygote.alive():
                self._zygote.close()
                self._zygote = None
            if self._zygote is None:
                if self._forked:
                    raise MachineError("the process from which others are forked has ended; run again")
                self._zygote = _Zygote()
            return self._zygote.name


class _Zygote:
    """The process that forks others, from the side of its owner."""

    def __init__(self, *, forked: bool = False) -> None:
        """Start it, or fork it. It need not be waited for: who connects too early stands in line."""
        self.name = f"cosim-zygote-{secrets.token_hex(16)}"
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind("\0" + self.name)  # a name in no file system: it goes with the last who holds the socket
            listener.listen(64)
            self._started = None if forked else self._start(listener)
            self.pid = self._fork(listener) if self._started is None else self._started.pid
        self._handle = os.pidfd_open(self.pid)

    @staticmethod
    def _start(listener: socket.socket) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*own_python("cosim.engine.zygote"), str(listener.fileno()), str(os.getpid())],
            pass_fds=[listener.fileno()],
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for its owner
            env={**os.environ, **own_path(), **ONE_THREAD},
        )

    @staticmethod
    def _fork(listener: socket.socket) -> int:
        from cosim.engine.zygote import serve_forked

        owner, pid = os.getpid(), os.fork()
        if pid == 0:
            serve_forked(listener, owner)
        return pid

    def alive(self) -> bool:
        """Whether it runs."""
        return not select.select([self._handle], [], [], 0)[0]

    def close(self) -> None:
        """End it."""
        os.kill(self.pid, signal.SIGKILL)  # it is our child, not waited for: nobody else has its id
        if self._started is None:
            os.waitpid(self.pid, 0)
        else:
            self._started.wait()
        os.close(self._handle)


class _Line:
    """The connection to the zygote that stands for one process."""

    def __init__(self, name: str, request: dict[str, Any]) -> None:
        """Ask for the process. Raises MachineError."""
        self._socket = socket.socket(socket.AF_UNIX)
        self._buffer = b""
        self._code: int | None = None
        try:
            self._socket.connect("\0" + name)
            self._socket.sendall(json.dumps(request).encode() + b"\n")
            answer = self._next(ANSWERS_WITHIN)
        except OSError as error:
            raise MachineError(f"the process from which others are forked is gone ({error}); run again") from None
        if answer is None:
            raise MachineError("the process from which others are forked has ended; run again")
        self.pid: int = answer.get("pid", 0)
        self.error: str = answer.get("error", "")

    def poll(self) -> int | None:
        """The exit code; None while it runs."""
        return self._look(0)

    def wait(self, seconds: float) -> None:
        """Wait for the exit code, then hang up."""
        self._look(seconds)
        self._socket.close()

    def _look(self, seconds: float) -> int | None:
        if self._code is None and self._socket.fileno() >= 0:
            with contextlib.suppress(TimeoutError):
                answer = self._next(seconds)
                self._code = _KILLED if answer is None else int(answer["code"])
        return self._code

    def _next(self, seconds: float) -> dict[str, Any] | None:
        """The next line, within so many seconds; None if the zygote has ended. Raises TimeoutError."""
        while b"\n" not in self._buffer:
            if not select.select([self._socket], [], [], seconds)[0]:
                raise TimeoutError
            try:
                more = self._socket.recv(4096)
            except ConnectionError:
                more = b""
            if not more:
                return None
            self._buffer += more
        line, _, self._buffer = self._buffer.partition(b"\n")
        return dict(json.loads(line))
