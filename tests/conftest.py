"""What the tests of the engine share: running a scenario to its end, whatever that is, and what it leaves behind."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

MODELS = Path(__file__).parent / "models"

FAULT_ENDS_WITHIN = 10.0  #: [s] wall time, from the call to the end of everything


@dataclass(frozen=True)
class End:
    """How a run ended, and how long that took [s]."""

    run: Any
    wall: float

    @property
    def fault(self) -> str:
        """The text of the fault that ended it."""
        return self.run.verdict.fault or ""


def processes_of(folder: Path) -> list[psutil.Process]:
    """Every process that names `folder` in its command line."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if any(str(folder) in word for word in process.cmdline()) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def is_open(port: int) -> bool:
    """Whether someone listens on 127.0.0.1:`port`."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Watcher:
    """Notes the broker ports and processes of the runs in a folder while they go on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports: set[int] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Watcher:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        import json

        while not self._stop.wait(0.005):
            for file in (self.folder / ".scratch/broker.json", self.folder / "baseline/.scratch/broker.json"):
                with contextlib.suppress(OSError):
                    self.ports.add(json.loads(file.read_text())["port"])

    def assert_nothing_left(self) -> None:
        """No process, no port, no scratch folder."""
        assert processes_of(self.folder) == []
        assert [port for port in self.ports if is_open(port)] == []
        assert list(self.folder.rglob(".scratch")) == []


@pytest.fixture
def private_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for temporary files that only this test uses, and that must be empty at its end."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


@pytest.fixture
def run_to_end(tmp_path: Path, private_tmp: Path) -> Callable[..., End]:
    """Run a scenario given as plain data; assert that it ends in time and leaves nothing behind."""
    import cosim
    from cosim.scenario import from_mapping

    def run(mapping: dict[str, Any], out: Path | None = None, **options: Any) -> End:
        folder = out or tmp_path / "run"
        children = set(psutil.Process().children(recursive=True))
        scenario = from_mapping(mapping, MODELS)
        began = time.monotonic()
        with Watcher(folder) as watcher:
            result = cosim.run(scenario, out=folder, **options)
        wall = time.monotonic() - began
        watcher.assert_nothing_left()
        assert set(psutil.Process().children(recursive=True)) <= children
        return End(result, wall)

    return run


@pytest.fixture
def pair() -> Callable[..., dict[str, Any]]:
    """A scenario of a saboteur with the given settings, and a follower linked with it both ways."""

    def scenario(kind: str = "saboteur.py", duration: str = "1 h", **settings: Any) -> dict[str, Any]:
        return {
            "name": "pair",
            "horizon": {"start": "2014-01-16 00:00", "duration": duration},
            "federates": [
                {"name": "good", "model": {"kind": "follower.py"}},
                {"name": "bad", "model": {"kind": kind, **settings}},
            ],
            "links": [
                {"source": "bad.y", "destination": "good.x"},
                {"source": "good.y", "destination": "bad.x", "lagged": True},
            ],
            "limits": {"step": "2 s", "start": "60 s", "idle": "4 s"},
        }

    return scenario
