"""GridLAB-D in this process, driven step by step, with every answer checked.

GridLAB-D holds one model per process, keeps the GIL, ends the process at some errors and hangs after
others. `Engine` never calls what would hang, keeps all that GridLAB-D says in a log file, and raises
`EngineError` with the end of that log.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from feeders.glm import FORMATS
from feeders.gridlabd_library import load_library

LOG = "gridlabd.log"
MODEL = "model.glm"
_CHECK = """
import sys
from feeders.gridlabd_library import load_library
engine = load_library()()
for name, value in {formats!r}.items():
    engine.set_global(name, value)
sys.exit(0 if engine.load({path!r}).value == 0 else 1)
"""


#: How a power flow without a solution reads in GridLAB-D's log.
_NO_SOLUTION = re.compile(
    r"failed to converge|did not converge|convergence iteration limit|singular|no plausible", re.I
)
_NO_CAUSE = (
    "WARNING",
    "Processing",
    "FATAL    [INIT] : failed to load",
)  #: lines of the log that name no error's cause
_DATES = ("%Y-%m-%d %H:%M:%S", "%m-%d-%Y %H:%M:%S", "%d-%m-%Y %H:%M:%S")  #: as a model's `dateformat` may be

Places = Callable[[int], str]  #: where a line of a model stands in the files that it is made of, as `file(line)`


class EngineError(Exception):
    """GridLAB-D refused a model, a value or a step."""


class PowerFlowError(EngineError):
    """The power flow has no solution."""


class Engine:
    """One loaded model."""

    def __init__(self, text: str, folder: Path, places: Places | None = None) -> None:
        """Load the GLM `text`; `folder` gets the model and the log.

        Raises
        ------
        EngineError
            If the model does not load, with GridLAB-D's `file(line)`. Some faults, such as an unknown
            unit, end the process instead (code 255): `check_model` first what others wrote.

        """
        self.folder = folder.absolute()
        self.log = self.folder / LOG
        self._places = places
        path = _write_model(text, self.folder)
        with self._quietly():
            self._engine: Any = load_library()()
            for name, value in FORMATS.items():
                self._engine.set_global(name, value)
            code = self._engine.load(str(path))
            for name, value in FORMATS.items():  # the model may have set others
                self._engine.set_global(name, value)
        self._alive = code.value == 0 and self._engine.object_get_count() > 0
        if not self._alive:
            raise EngineError(f"GridLAB-D does not load the model: {quote(self.log, places, first=True)}")

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
        if code.value != 0 or reached[:19] not in {moment.strftime(form) for form in _DATES}:
            said = self.said()
            what = "failed" if code.value != 0 else f"stopped at {reached}"
            kind = PowerFlowError if _NO_SOLUTION.search(said) else EngineError
            raise kind(f"GridLAB-D {what} on the way to {moment}: {said}")
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

    def said(self) -> str:
        """The last errors that GridLAB-D wrote."""
        return quote(self.log, self._places)

    def flush(self) -> None:
        """Write what GridLAB-D's recorders hold back: its own end would end the process."""
        ctypes.CDLL(None).fflush(None)

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


def check_model(text: str, folder: Path, places: Places | None = None) -> None:
    """Load a model in another process, since some faults end the process that loads it.

    Raises
    ------
    EngineError
        With GridLAB-D's own `file(line)` message.

    """
    path = _write_model(text, folder.absolute())
    code = _CHECK.format(formats=dict(FORMATS), path=str(path))
    with (folder / LOG).open("wb") as log:
        done = subprocess.run([sys.executable, "-c", code], cwd=folder, stdout=log, stderr=log, check=False)
    if done.returncode not in (0, 1):
        said = quote(folder / LOG, places, first=True)
        raise EngineError(
            f"GridLAB-D ended with code {done.returncode} while it loaded the model, as it does at a unit "
            f"that it does not know: {said}"
        )
    if done.returncode == 1:
        raise EngineError(f"GridLAB-D does not load the model: {quote(folder / LOG, places, first=True)}")


def _write_model(text: str, folder: Path) -> Path:
    path = folder / MODEL
    path.write_text(text, "utf-8", errors="surrogateescape")
    return path


def quote(log: Path, places: Places | None = None, *, first: bool = False) -> str:
    """The last errors in a log of GridLAB-D (or the first), or its last lines if it holds no error.

    Lines of the model are named by the files that it is made of, if their `places` are given.
    """
    said = log.read_text(errors="replace").splitlines() if log.exists() else []
    said = [line.strip() for line in said if line.strip()]
    errors = [line for line in said if not line.startswith(_NO_CAUSE)]
    lines = errors[:4] if first else (errors or said)[-4:]
    if places is not None:
        model = re.compile(re.escape(str(log.absolute().with_name(MODEL))) + r"\((\d+)\)")
        lines = [model.sub(lambda match: places(int(match[1])), line) for line in lines]
    return " | ".join(lines) or "it said nothing"


def _text(value: float | complex | str) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, complex | np.complexfloating):
        return f"{value.real:+.17g}{value.imag:+.17g}j"
    return f"{float(value):+.17g}"
