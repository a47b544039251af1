"""What the tests of batches elsewhere share: a Dask scheduler with workers that are started as a user does."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).parents[1]
PACKAGES = ("cosim", "federates", "feeders", "runs", "solvers")


def other_code(folder: Path) -> Path:
    """A copy of the project's code, with the same versions, that adds a half to each output `k`."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    host = folder / "cosim" / "engine" / "host.py"
    before = "        solution = self.federate.solve(time, inputs)\n"
    after = before + "        solution = replace(solution, values={k: v + 0.5 for k, v in solution.values.items()})\n"
    text = host.read_text()
    assert before in text
    host.write_text(text.replace(before, after).replace("\nimport ", "\nfrom dataclasses import replace\nimport ", 1))
    return folder


class Scheduler:
    """A scheduler and its workers, each a process group of its own; all end with the context."""

    def __init__(self, folder: Path, tls: Any = None) -> None:
        """With `tls`, the options of the command line that give certificate and key to all."""
        self.folder, self.processes, self._tls = folder, [], list(tls or ())
        folder.mkdir(parents=True)
        self._file = folder / "scheduler.json"

    processes: list[subprocess.Popen[bytes]]

    def __enter__(self) -> Scheduler:
        protocol = ["--protocol", "tls"] if self._tls else []
        words = ["scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--dashboard-address", ":0"]
        self.start([*words, *protocol, "--scheduler-file", str(self._file), *self._tls])
        until = time.monotonic() + 60
        while not self._file.exists() or not self._file.read_text().strip():
            assert time.monotonic() < until, "the scheduler has not started"
            time.sleep(0.05)
        self.address: str = json.loads(self._file.read_text())["address"]
        return self

    def worker(self, before: Sequence[str] = (), root: Path = ROOT) -> subprocess.Popen[bytes]:
        """Start a worker with one thread, whose code is in `root`."""
        words = ["worker", self.address, "--nworkers", "1", "--nthreads", "1", "--no-dashboard", "--host", "127.0.0.1"]
        protocol = ["--protocol", "tls"] if self._tls else []
        local = ["--local-directory", str(self.folder / "workers"), "--death-timeout", "60"]
        return self.start([*words, *protocol, *local, *self._tls], before, root)

    def start(self, words: Sequence[str], before: Sequence[str] = (), root: Path = ROOT) -> subprocess.Popen[bytes]:
        """Start a part of Dask."""
        with (self.folder / f"{len(self.processes)}.log").open("wb") as log:
            process = subprocess.Popen(
                [*before, sys.executable, "-m", "dask", *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd=root,
                env={**os.environ, "PYTHONPATH": str(root)},
            )
        self.processes.append(process)
        return process

    def joined(self, count: int, or_ended: subprocess.Popen[bytes] | None = None, security: Any = None) -> bool:
        """Wait for so many workers; false if a process has ended before."""
        from distributed import Client

        connect: Any = Client
        with connect(self.address, set_as_default=False, security=security) as client:
            until = time.monotonic() + 90
            while len(client.scheduler_info(n_workers=-1)["workers"]) < count:
                if or_ended is not None and or_ended.poll() is not None:
                    return False
                assert time.monotonic() < until, "the workers have not joined"
                time.sleep(0.1)
        return True

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for process in reversed(self.processes):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(20)
