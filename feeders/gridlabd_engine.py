"""GridLAB-D in this process, driven step by step, with every answer checked.

GridLAB-D holds one model per process, keeps the GIL, ends the process at some errors and hangs after
others. `Engine` never calls what would hang, keeps all that GridLAB-D says in a log file, and raises
`EngineError` with the end of that log.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from feeders.glm import FORMATS
from feeders.gridlabd_library import load_library

LOG = "gridlabd.log"
_CHECK = """
import sys
from feeders.gridlabd_library import load_library
engine = load_library()()
for name, value in {formats!r}.items():
    engine.set_global(name, value)
sys.exit(0 if engine.load({path!r}).value == 0 else 1)
"""


class EngineError(Exception):
    """GridLAB-D refused a model, a value or a step."""


class Engine:
    """One loaded model."""

    def __init__(self, text: str, folder: Path) -> None:
        """Load the GLM `text`; `folder` gets the model, the log and GridLAB-D's side files.

        Raises
        ------
        EngineError
            If the model does not load, with GridLAB-D's `file(line)`. Some faults, such as an unknown
            unit, end the process instead (code 255): `check_model` first what others wrote.

        """
        self.folder = folder.absolute()
        self.log = self.folder / LOG
        path = self.folder / "model.glm"
        path.write_text(text)
        with self._quietly():
            self._engine: Any = load_library()()
            for name, value in FORMATS.items():
                self._engine.set_global(name, value)
            code = self._engine.load(str(path))
        self._alive = code.value == 0 and self._engine.object_get_count() > 0
        if not self._alive:
            raise EngineError(f"GridLAB-D does not load the model: {quote(self.log, first=True)}")

    def step_to(self, moment: datetime) -> None:
        """Advance to `moment`, which must be a whole second after the present one.

        Raises
        ------
        EngineError
            If the power flow does not converge or the clock is not where it was sent; the engine is
            then dead, since GridLAB-D hangs if it is asked again.

        """
        if not self._alive:
            raise EngineError("GridLAB-D failed before and cannot go on")
        self._alive = False
        with self._quietly():
            code, reached = self._engine.step_to(f"{moment:%Y-%m-%dT%H:%M:%S}")
        if code.value != 0:
            raise EngineError(f"GridLAB-D failed on the way to {moment}: {self.said()}")
        if reached[:19] != f"{moment:%Y-%m-%d %H:%M:%S}":
            raise EngineError(f"GridLAB-D stopped at {reached} on the way to {moment}: {self.said()}")
        self._alive = True

    def write(self, name: str, prop: str, value: float | complex | str) -> None:
        """Set a property, in GridLAB-D's own unit for it."""
        code = self._engine.set_property(name, prop, _text(value))
        if code.value != 0:
            raise EngineError(f"GridLAB-D takes no {_text(value)!r} for {name}.{prop}: {self.said()}")

    def read(self, name: str, prop: str) -> complex:
        """One property."""
        code, text = self._engine.get_property(name, prop)
        if code.value != 0:
            raise EngineError(f"GridLAB-D has no {name}.{prop}")
        return complex(text.split(" ", 1)[0])

    def read_real(self, kind: str, prop: str) -> NDArray[np.float64]:
        """(objects,) a real property of all objects of a class, in the order of `names`."""
        texts = self._engine.get_properties_by_class(kind, prop).values()
        return np.array([float(t.split(" ", 1)[0]) for t in texts], dtype=np.float64)

    def read_complex(self, kind: str, prop: str) -> NDArray[np.complex128]:
        """(objects,) a complex property of all objects of a class, in the order of `names`."""
        texts = self._engine.get_properties_by_class(kind, prop).values()
        return np.array([complex(t.split(" ", 1)[0]) for t in texts], dtype=np.complex128)

    def read_word(self, kind: str, prop: str) -> NDArray[np.str_]:
        """(objects,) an enumeration's keyword of all objects of a class, in the order of `names`."""
        return np.array(list(self._engine.get_properties_by_class(kind, prop).values()), dtype=np.str_)

    def names(self, kind: str) -> Sequence[str]:
        """The names of all objects of a class, in the order of the bulk reads: sorted."""
        return tuple(sorted(self._engine.get_objects_by_class(kind)))

    def objects(self, kind: str) -> list[Mapping[str, Any]]:
        """Every object of a class with all its properties, also with those that `read` does not give: its place."""
        if not self.names(kind):
            return []
        path = self.folder / "objects.json"
        with self._quietly():
            self._engine.save_checkpoint(str(path))
        text = path.read_text()
        path.unlink()
        return list(json.loads(text)["objects"][kind]["instances"])

    def said(self) -> str:
        """The last errors that GridLAB-D wrote."""
        return quote(self.log)

    @contextlib.contextmanager
    def _quietly(self) -> Iterator[None]:
        """Send the process's standard output and error, which GridLAB-D writes to, into the log."""
        sys.stdout.flush()
        sys.stderr.flush()
        log = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        kept = [(fd, os.dup(fd)) for fd in (1, 2)]
        try:
            for fd, _ in kept:
                os.dup2(log, fd)
            yield
        finally:
            for fd, copy in kept:
                os.dup2(copy, fd)
                os.close(copy)
            os.close(log)


def check_model(text: str, folder: Path) -> None:
    """Load a model in another process, since some faults end the process that loads it.

    Raises
    ------
    EngineError
        With GridLAB-D's own `file(line)` message.

    """
    path = folder.absolute() / "model.glm"
    path.write_text(text)
    code = _CHECK.format(formats=dict(FORMATS), path=str(path))
    with (folder / LOG).open("wb") as log:
        done = subprocess.run([sys.executable, "-c", code], cwd=folder, stdout=log, stderr=log, check=False)
    if done.returncode not in (0, 1):
        said = quote(folder / LOG, first=True)
        raise EngineError(
            f"GridLAB-D ended with code {done.returncode} while it loaded the model, as it does at a unit "
            f"that it does not know: {said}"
        )
    if done.returncode == 1:
        raise EngineError(f"GridLAB-D does not load the model: {quote(folder / LOG, first=True)}")


def quote(log: Path, *, first: bool = False) -> str:
    """The last errors in a log of GridLAB-D (or the first), or its last lines if it holds no error."""
    said = log.read_text(errors="replace").splitlines() if log.exists() else []
    said = [line.strip() for line in said if line.strip()]
    errors = [line for line in said if not line.startswith(("WARNING", "Processing"))]
    lines = errors[:4] if first else (errors or said)[-4:]
    return " | ".join(lines) or f"it said nothing (log: {log})"


def _text(value: float | complex | str) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, complex | np.complexfloating):
        return f"{value.real:+.17g}{value.imag:+.17g}j"
    return f"{float(value):+.17g}"
