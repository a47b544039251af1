"""What the tests of the engine share: running a scenario to its end, whatever that is, and what it leaves behind."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from cosim.engine.launcher import ColdLauncher, Launcher
from cosim.engine.warm import WarmLauncher
from cosim.federation import Federation
from cosim.scenario import from_mapping

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


class Noted:
    """A launcher that notes which processes it starts: each leads a session of its own, and what it starts is in it."""

    def __init__(self, launcher: Launcher) -> None:
        self._launcher = launcher
        self.sessions: set[int] = set()

    def launch(self, federation: Federation, scratch: Path) -> Any:
        launch: Any = self._launcher.launch(federation, scratch)
        start = launch.start

        def noting() -> None:
            try:
                start()
            finally:
                self.sessions |= {process.pid for process in launch.local.values()}

        launch.start = noting
        return launch

    def assert_nothing_left(self, folder: Path) -> None:
        """No process (and so no port), no scratch folder."""
        left = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, ProcessLookupError):
                own = os.getsid(process.pid) in self.sessions or any(str(folder) in word for word in process.cmdline())
                if own and process.status() != psutil.STATUS_ZOMBIE:
                    left.append(process)
        assert left == []
        assert list(folder.rglob(".scratch")) == []


@pytest.fixture
def private_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for temporary files that only this test uses, and that must be empty at its end."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


@pytest.fixture(scope="session")
def zygote() -> Iterator[WarmLauncher]:
    """A warm launcher, whose processes are what started ones are (tests/test_launch.py)."""
    with WarmLauncher() as launcher:
        yield launcher


@pytest.fixture
def run_to_end(tmp_path: Path, private_tmp: Path, zygote: WarmLauncher) -> Callable[..., End]:
    """Run a scenario given as plain data; assert that it ends in time and leaves nothing behind.

    Its processes are forked from a warm one, or, if `cold`, started as `cosim run` does.
    """
    import cosim

    def run(mapping: dict[str, Any], out: Path | None = None, *, cold: bool = False, **options: Any) -> End:
        folder = out or tmp_path / "run"
        scenario = from_mapping(mapping, MODELS)
        launcher = Noted(options.pop("launcher", None) or (ColdLauncher() if cold else zygote))
        elsewhere = "workers" in options  # which start the processes themselves
        began = time.monotonic()
        result = cosim.run(scenario, out=folder, launcher=None if elsewhere else launcher, **options)
        wall = time.monotonic() - began
        assert launcher.sessions or elsewhere
        launcher.assert_nothing_left(folder)
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
