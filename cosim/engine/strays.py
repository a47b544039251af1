"""Processes that a federate started and that left its process group, as daemons do: they end with the run.

They are known in two ways. While their parent lives they are its descendants. And each process of a run, with all that
it starts, has the run's mark in its environment, where the kernel shows it. What throws away its environment, and
whose parent has ended before the run does, is not found.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

import psutil

MARK = "COSIM_SCRATCH"  #: the environment variable with the run's scratch folder
_LOOKS = 5  #: a process that is found may just be starting another


def descendants(pids: Iterable[int]) -> list[psutil.Process]:
    """All that the processes `pids` and their children have started and that runs."""
    found: list[psutil.Process] = []
    for pid in pids:
        with contextlib.suppress(psutil.Error):  # it may have ended
            found += psutil.Process(pid).children(recursive=True)
    return found


def kill(begun: Iterable[psutil.Process], mark: str) -> None:
    """Kill what was `begun`, and every process with the run's `mark`."""
    for process in begun:
        with contextlib.suppress(psutil.Error):  # it knows when its number is another's by now
            process.kill()
    for _ in range(_LOOKS):
        marked = _marked(f"{MARK}={mark}".encode())
        if not marked:
            return
        for process in marked:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(marked, timeout=1.0)


def _marked(entry: bytes) -> list[psutil.Process]:
    """The processes of this user that began with `entry` in their environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, psutil.Error):  # another user's, or gone
            if entry in (folder / "environ").read_bytes().split(b"\0") and int(folder.name) != os.getpid():
                found.append(psutil.Process(int(folder.name)))
    return found
