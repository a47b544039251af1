"""Fifty faults at random on one batch, elsewhere and with TLS: every row right, none lost, none double."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

import cosim
from cosim.code_identity import code_hash
from runs.batch.row import read_row
from tests.batches import MODELS, write_batch_file
from tests.clusters import ROOT, Scheduler, other_code

RUNS = 60
FAULTS = 50
WORKERS = 3
LASTS = 1_200.0  #: [s] that all of it may take
PAUSE = (0.3, 2.0)  #: [s] between two faults
STANDS = (2.0, 12.0)  #: [s] that what was stopped stands still; longer than the client waits for a worker now and then
STANDS_LONG = 40.0


def certificates(folder: Path) -> list[str]:
    """Files of a certificate and its key, which also is the authority; as options of `dask` and of `cosim`."""
    from distributed import Security

    made: Any = Security.temporary()  # type: ignore[no-untyped-call]
    folder.mkdir()
    for name, text in (("cert.pem", made.tls_client_cert), ("key.pem", made.tls_client_key)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o600)
    cert, key = str(folder / "cert.pem"), str(folder / "key.pem")
    return [cert, cert, key]


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[bool]:
    """A disk of 48 MB in `folder`; false where that needs rights that this user does not have."""
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "none", str(folder)], check=False)
    try:
        yield done.returncode == 0
    finally:
        if done.returncode == 0:
            subprocess.run(["umount", "-l", str(folder)], check=True)


class Chaos:
    """The batch, and what is done to it."""

    def __init__(self, scheduler: Scheduler, command: list[str], out: Path, other: Path, *, small: bool) -> None:
        self.random = random.Random(20140116)
        self.scheduler, self.command, self.out, self.other, self.small = scheduler, command, out, other, small
        self.slots = [scheduler.worker() for _ in range(WORKERS)]
        self.stopped: list[tuple[float, psutil.Process]] = []  # until when
        self.replaced: list[tuple[float, int]] = []  # until when, which slot has other code
        self.done: Counter[str] = Counter()
        self.log = out.parent / "client.log"
        self.client = self.start()

    def start(self) -> subprocess.Popen[bytes]:
        """Start the client, or go on."""
        resume = ["--resume"] if (self.out / "batch.json").exists() else []
        with self.log.open("ab") as log:
            return subprocess.Popen([*self.command, *resume], stdout=log, stderr=log, cwd=ROOT, start_new_session=True)

    def run(self) -> None:
        """All the faults, then undisturbed to the end."""
        until = time.monotonic() + LASTS
        while sum(self.done.values()) < FAULTS:
            assert time.monotonic() < until, f"not over after {LASTS:.0f} s: {self.done}, see {self.log}"
            time.sleep(self.random.uniform(*PAUSE))
            self.go_on()
            fault = self.random.choice(
                [self.kill, self.kill, self.stop, self.stop, self.fill, self.interrupt, self.replace]
            )
            self.done[fault.__name__] += bool(fault())
        self.go_on(now=True)
        while self.client.poll() != 0:
            assert time.monotonic() < until, f"not over after {LASTS:.0f} s: {self.done}, see {self.log}"
            self.go_on()
            time.sleep(0.5)

    def go_on(self, *, now: bool = False) -> None:
        """What stood still long enough goes on, other code goes, an ended client is started again."""
        moment = time.monotonic()
        for end, process in [entry for entry in self.stopped if now or entry[0] < moment]:
            self.stopped.remove((end, process))
            with contextlib.suppress(psutil.Error):
                process.resume()
        for end, slot in [entry for entry in self.replaced if now or entry[0] < moment]:
            self.replaced.remove((end, slot))
            self.restart(slot, ROOT)
        for slot, worker in enumerate(self.slots):
            if worker.poll() is not None:
                self.restart(slot, ROOT)
        if self.client.poll() is not None and self.client.returncode != 0:
            assert self.client.returncode in (1, -signal.SIGKILL), self.log.read_text()[-2000:]
            self.client = self.start()
        elif self.client.poll() == 0 and sum(self.done.values()) < FAULTS:
            self.damage()
            self.client = self.start()

    def restart(self, slot: int, root: Path) -> None:
        """Put another worker in a slot's place."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.slots[slot].pid, signal.SIGKILL)
        self.slots[slot].wait(20)
        self.slots[slot] = self.scheduler.worker(root=root)

    def victim(self) -> psutil.Process | None:
        """A process of a worker, of the one that starts its runs, or of a run."""
        found = []
        for slot in self.slots:
            with contextlib.suppress(psutil.Error):
                found += psutil.Process(slot.pid).children(recursive=True)
        living = [one for one in found if one.is_running() and "resource_tracker" not in " ".join(_words(one))]
        return self.random.choice(living) if living else None

    def kill(self) -> bool:
        """SIGKILL."""
        return self.to_victim(lambda process: process.kill())

    def stop(self) -> bool:
        """SIGSTOP, and later SIGCONT."""

        def stop(process: psutil.Process) -> None:
            process.suspend()
            long = self.random.random() < 0.2
            self.stopped.append((time.monotonic() + (STANDS_LONG if long else self.random.uniform(*STANDS)), process))

        return self.to_victim(stop)

    def to_victim(self, what: Callable[[psutil.Process], None]) -> bool:
        """Do it to one of them, if there is one."""
        process = self.victim()
        with contextlib.suppress(psutil.Error):
            if process is not None:
                what(process)
                return True
        return False

    def fill(self) -> bool:
        """A full disk, for a while."""
        if not self.small:
            return False
        filler = self.out.parent / "filler"
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(1_000_000))
        time.sleep(self.random.uniform(0.5, 3.0))
        filler.unlink()
        return True

    def interrupt(self) -> bool:
        """The client is killed; it is started again later."""
        if self.client.poll() is not None:
            return False
        self.client.kill()
        self.client.wait(20)
        return True

    def replace(self) -> bool:
        """A worker is replaced by one with other code, for a while."""
        if self.replaced:
            return False
        slot = self.random.randrange(WORKERS)
        self.restart(slot, self.other)
        self.replaced.append((time.monotonic() + self.random.uniform(5, 15), slot))
        return True

    def damage(self) -> None:
        """Flip a byte of a finished run, or remove a file of it."""
        chunk = self.random.choice(sorted(self.out.glob("runs/*/results.zarr/a/k/[0-9]*")))
        if self.random.random() < 0.5:
            chunk.unlink()
        else:
            content = bytearray(chunk.read_bytes())
            content[self.random.randrange(len(content))] ^= 1 << self.random.randrange(8)
            chunk.write_bytes(content)
        self.done["damage"] += 1


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


@pytest.mark.long
@pytest.mark.timeout(1500)
def test_fifty_faults_lose_and_falsify_nothing(tmp_path: Path) -> None:
    """The last value of run n is `1000 n + 9`, by the federate's formula; other code adds a half."""
    ca, cert, key = certificates(tmp_path / "tls")
    scenario = {
        "name": "numbers",
        "horizon": {"start": "2014-01-16 00:00", "duration": "10 min"},
        "federates": [{"name": "a", "model": {"kind": str(MODELS / "numbered.py"), "pause": 0.1}}],
        "limits": {"step": "20 s", "start": "120 s", "idle": "60 s"},
    }
    vary = [{"grid": {"federates[a].model.number": {"start": 1, "stop": RUNS, "step": 1}}}]
    settings = {"limits": {"time": "90 s"}, "retries": 30, "figures": {"last": {"of": "a.k", "reduce": "last"}}}
    file = write_batch_file(tmp_path / "file", scenario, vary, **settings)
    options = ["--tls-ca-file", ca, "--tls-cert", cert, "--tls-key", key]
    with small_disk(tmp_path / "disk") as small, Scheduler(tmp_path / "dask", options) as scheduler:
        out = tmp_path / "disk" / "out"
        words = [sys.executable, "-m", "runs.cli", "batch", str(file), "--out", str(out), "--no-report"]
        words += ["--scheduler", scheduler.address, "--tls-ca", ca, "--tls-cert", cert, "--tls-key", key]
        chaos = Chaos(scheduler, words, out, other_code(tmp_path / "other"), small=small)
        try:
            chaos.run()
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(chaos.client.pid, signal.SIGKILL)
            chaos.client.wait(20)
        print(dict(chaos.done))
        check(out)


def check(out: Path) -> None:
    """Every planned run has its row once, and each is right."""
    table = cosim.open_batch(out, verify=True).table
    assert list(table["run"]) == [f"{number:04d}" for number in range(1, RUNS + 1)]
    assert set(table["outcome"]) == {"good"}
    assert list(table["figure.last"]) == [1000.0 * number + 9 for number in range(1, RUNS + 1)]
    assert set(table["code"]) == {code_hash()}
    rows = sorted(out.glob("runs/*/row.json"))
    assert [read_row(row).number for row in rows] == list(range(1, RUNS + 1))
    assert not (out / ".work").exists()
