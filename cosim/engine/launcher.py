"""Launching the processes of a federation: what the supervisor needs of it, and the ordinary way on this machine."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import psutil

from cosim.engine import strays
from cosim.engine.files import LOOPBACK
from cosim.federation import Federation

LEAVE = 12.0  #: [s] for a killed process to be gone

#: One thread per numeric library: federates run side by side, and threads change the order of sums.
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def own_python(module: str) -> list[str]:
    """The command that runs a module with this Python; with `own_path`, from the code that runs here."""
    return [sys.executable, "-P", "-m", module]


def own_path() -> dict[str, str]:
    """The environment by which a child imports the code that runs here, whatever its working directory holds.

    `python -m` alone would look there first, and so run another checkout's code in its place.
    """
    import cosim

    own = str(Path(str(cosim.__file__)).parents[1])
    given = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    return {"PYTHONPATH": os.pathsep.join(dict.fromkeys([own, *given, str(Path.cwd())]))}


class Process(Protocol):
    """One process of a federation, wherever it runs."""

    def poll(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs. Raises OSError where its files cannot be kept."""

    def lost(self) -> str:
        """Why nothing can be known of it any more; "" as long as it can."""

    def processor_time(self) -> float:
        """Used by the thread that starts federates, and by children [s]: the broker's own threads never rest."""

    def memory(self) -> int:
        """Resident memory [B]."""


class Launch(Protocol):
    """The processes of one run; their status, journals, failures and logs are in the run's scratch folder."""

    @property
    def processes(self) -> dict[str, Process]:
        """Those that were started, by name."""

    def start(self) -> None:
        """Start all of them. Raises OSError, MachineError."""

    def end(self) -> None:
        """End what still runs, with all its children; after it nothing in the scratch folder changes any more."""


class Launcher(Protocol):
    """A way to launch federations; several runs may use it at once."""

    def launch(self, federation: Federation, scratch: Path) -> Launch:
        """The launch of one run, not yet started."""


@dataclass(frozen=True)
class HostCall:
    """One call of `cosim.engine.host`."""

    scratch: Path
    process: str
    interface: str  #: the address by which processes on other machines reach this one
    environment: dict[str, str]

    @property
    def log(self) -> Path:
        """Where its output goes."""
        return self.scratch / f"{self.process}.log"


class LocalProcess:
    """A process of this machine that leads a process group of its own."""

    def __init__(self, pid: int, poll: Callable[[], int | None]) -> None:
        self.pid, self._poll = pid, poll
        self._watched: psutil.Process | None = None
        with contextlib.suppress(psutil.Error):  # it may have ended
            self._watched = psutil.Process(pid)

    def poll(self) -> int | None:
        """Its exit code; None while it runs."""
        return self._poll()

    def lost(self) -> str:
        """Of a process on this machine all is known."""
        return ""

    def kill(self) -> None:
        """Kill it and all of its group."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def processor_time(self) -> float:
        """Used by its main thread and by its children, those that still run among them [s]."""
        if self._watched is None:
            return 0.0
        used = 0.0
        with contextlib.suppress(psutil.Error):
            threads, times = self._watched.threads(), self._watched.cpu_times()
            used += sum(thread.user_time + thread.system_time for thread in threads if thread.id == self.pid)
            used += times.children_user + times.children_system
            for child in self._watched.children(recursive=True):
                with contextlib.suppress(psutil.Error):  # it may have ended
                    times = child.cpu_times()
                    used += times.user + times.system + times.children_user + times.children_system
        return used

    def memory(self) -> int:
        """Resident memory [B]."""
        if self._watched is not None:
            with contextlib.suppress(psutil.Error):
                return int(self._watched.memory_info().rss)
        return 0


class LocalLaunch:
    """Processes of a run on this machine, each begun by `begin`."""

    def __init__(
        self,
        names: Sequence[str],
        scratch: Path,
        begin: Callable[[HostCall], tuple[LocalProcess, Callable[[float], None]]],
        interface: str = LOOPBACK,
    ) -> None:
        """`begin` starts one and gives, beside it, how to wait for its end for so many seconds at most."""
        self._names, self._scratch, self._begin, self._interface = names, scratch, begin, interface
        self.local: dict[str, LocalProcess] = {}
        self._waits: list[Callable[[float], None]] = []

    @property
    def processes(self) -> dict[str, Process]:
        """Those that were started, by name."""
        return dict(self.local)

    def start(self) -> None:
        """Start all. Raises OSError."""
        temporary = self._scratch / "temporary"
        temporary.mkdir()
        environment = {**ONE_THREAD, "TMPDIR": str(temporary), strays.MARK: str(self._scratch)}
        for name in self._names:
            self.local[name], wait = self._begin(HostCall(self._scratch, name, self._interface, environment))
            self._waits.append(wait)

    def end(self) -> None:
        """Kill every process with its group and what left it, and wait until it is gone."""
        begun = strays.descendants(process.pid for process in self.local.values())
        for process, wait in zip(self.local.values(), self._waits, strict=True):
            process.kill()
            wait(LEAVE)
        strays.kill(begun, str(self._scratch))


def begin_cold(call: HostCall) -> tuple[LocalProcess, Callable[[float], None]]:
    """Start a Python of its own, which imports all that it needs. Raises OSError."""
    with call.log.open("wb") as log:
        words = [str(call.scratch), call.interface, call.process, str(os.getpid())]
        child = subprocess.Popen(
            [*own_python("cosim.engine.host"), *words],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for the supervisor alone
            env={**os.environ, **own_path(), **call.environment},
        )

    def wait(seconds: float) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(seconds)

    return LocalProcess(child.pid, child.poll), wait


class ColdLauncher:
    """Each process is a Python of its own: what `cosim run` uses."""

    def launch(self, federation: Federation, scratch: Path) -> LocalLaunch:
        """The launch of one run on this machine."""
        return LocalLaunch(list(federation.processes), scratch, begin_cold)
