"""What the tests of the engine share: running a scenario to its end, whatever that is, and what it leaves behind."""

from __future__ import annotations

import contextlib
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


class Watcher:
    """Notes the processes of the runs in a folder, and theirs, while they go on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: set[psutil.Process] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Watcher:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.02):
            for process in psutil.Process().children():
                with contextlib.suppress(psutil.Error):
                    if any(str(self.folder) in word for word in process.cmdline()):
                        self.processes.update({process, *process.children(recursive=True)})

    def assert_nothing_left(self) -> None:
        """No process, no port, no scratch folder."""
        assert processes_of(self.folder) == []
        assert [entry for entry in self.processes if entry.is_running() and entry.status() != "zombie"] == []
        own = {process.pid for process in self.processes}
        assert [entry for entry in psutil.net_connections("tcp") if entry.pid in own] == []
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
        scenario = from_mapping(mapping, MODELS)
        began = time.monotonic()
        with Watcher(folder) as watcher:
            result = cosim.run(scenario, out=folder, **options)
        wall = time.monotonic() - began
        watcher.assert_nothing_left()
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
