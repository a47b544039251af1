"""What can be calibrated: the contract of a target.

A target is one file `runs/calibrate/targets/<kind>.py` with one `Target` in it. `cosim calibrate` reads and checks the
data that the target `needs`, calls `check`, then `calibrate`, and writes the outcome: the parameter file, the scores,
the report. A target that regresses time series uses `runs/calibrate/series.py` for scores, baselines and figures.
"""

from __future__ import annotations

import importlib
import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from cosim.calibrated import Parameter, Score
from cosim.errors import ContractError, Fault
from cosim.registry import submodules, unknown
from cosim.settings import Settings
from runs.calibrate.file import CalibrationFile

Floats = NDArray[np.float64]
Instants = NDArray[np.datetime64]
Flags = NDArray[np.bool_]

PACKAGE = "runs.calibrate.targets"


class UnknownTargetError(LookupError):
    """No target of that kind; the text names the nearest that there are."""


@dataclass(frozen=True)
class Need:
    """A column that a target needs: it arrives in `unit`; values outside `low` to `high` [unit] are impossible."""

    name: str
    unit: str  #: of `cosim.units`, or "time", or "text"
    low: float = -np.inf
    high: float = np.inf
    required: bool = True
    many: bool = False  #: any number of columns whose names begin with `name`, for example zone1, zone2
    may_be_constant: bool = False  #: else a column that never changes is refused
    daily: Literal["", "load", "temperature", "sun"] = ""  #: its course over the day, by which a wrong zone is found


@dataclass(frozen=True)
class Needs:
    """The data that a target needs, by the `name` that they have in the calibration file."""

    columns: Sequence[Need]
    data: str = "data"
    regular: bool = True  #: a row every so many minutes; False: sessions, events, one row each


@dataclass(frozen=True)
class Table:
    """Checked data. Missing and impossible values are NaN; rows that are missing are not there."""

    name: str
    utc: Instants  #: (n) datetime64[s], ascending
    standard: Instants  #: (n) local standard time, the clock of scenarios
    wall: Instants  #: (n) local wall clock, with daylight saving: what people live by
    columns: Mapping[str, NDArray[Any]]  #: (n) each, in the unit of its `Need`
    step: int = 0  #: [s] between rows; 0: irregular
    notices: Sequence[str] = ()  #: gaps and outliers, in words
    instants: bool = False  #: whether rows are values at their times, not means from there on

    @property
    def days(self) -> Instants:
        """The day (n) of the wall clock, datetime64[D]."""
        return self.wall.astype("datetime64[D]")

    def rows(self, chosen: NDArray[Any]) -> Table:
        """The table of the rows `chosen` (flags or positions)."""
        columns = {name: column[chosen] for name, column in self.columns.items()}
        times = {"utc": self.utc[chosen], "standard": self.standard[chosen], "wall": self.wall[chosen]}
        return replace(self, columns=columns, **times)


@dataclass(frozen=True)
class Task:
    """What a target is given."""

    file: CalibrationFile
    tables: Mapping[str, Table]  #: the data, by name
    folder: Path  #: for checkpoints; kept from one call to the next where the user resumes
    workers: int = 1  #: on this machine, without a scheduler
    scheduler: str | None = None  #: the address of a Dask scheduler on which simulations run
    resume: bool = False
    progress: Callable[[str], None] = lambda text: None  #: say what goes on, in a few words


@dataclass(frozen=True)
class Figure:
    """A figure of the report: a plotly figure as plain data."""

    title: str
    note: str
    data: Sequence[Mapping[str, Any]]  #: plotly traces
    layout: Mapping[str, Any] = field(default_factory=dict)
    section: str = "Measured against simulated"
    wide: bool = False
    height: int = 340  #: [px]


@dataclass(frozen=True)
class Outcome:
    """What a calibration found."""

    parameters: Mapping[str, Parameter]
    structure: Mapping[str, Any]
    fitted: str  #: what it was fitted to, in words
    held_out: str  #: what it was scored on and never saw, in words
    scores: Sequence[Score]
    figures: Sequence[Figure] = ()
    warnings: Sequence[str] = ()  #: what a user must know, also of which parameters cannot be told apart
    facts: Mapping[str, str] = field(default_factory=dict)  #: more lines of the report: name -> text


class Target(ABC):
    """Something that can be calibrated."""

    needs: ClassVar[Sequence[Needs]] = ()
    objectives: ClassVar[Mapping[str, str]] = {}  #: what it can make small: name -> in words; the first by default
    baselines: ClassVar[Mapping[str, str]] = {}  #: what it can be held against: name -> in words

    class Config(Settings):
        """The settings beside `kind` in the calibration file."""

    def __init__(self, config: Any) -> None:
        self.config = config

    def reads(self, file: CalibrationFile) -> Sequence[Needs]:
        """The data that it needs; a target whose settings decide on that says it here. Raises ScenarioError."""
        return self.needs

    def objective_of(self, file: CalibrationFile) -> str:
        """What the fit makes small, in words; nothing where the target does not say."""
        name = file.objective or next(iter(self.objectives), "")
        return f"{name}: {self.objectives[name]}" if name else ""

    def check(self, task: Task) -> Sequence[Fault]:
        """What is wrong with data or settings beyond what was checked already; called before the fit starts."""
        return ()

    @abstractmethod
    def calibrate(self, task: Task) -> Outcome:
        """Fit, score, and say what is uncertain. Raises SolverError where the fit fails."""


@cache
def target_class(kind: str) -> type[Target]:
    """The class of `kind`. Raises UnknownTargetError, ContractError."""
    kinds = submodules(PACKAGE)
    if kind not in kinds:
        raise UnknownTargetError(unknown("calibration target", kind, kinds))
    module = importlib.import_module(f"{PACKAGE}.{kind}")
    own = [
        item
        for item in vars(module).values()
        if inspect.isclass(item) and issubclass(item, Target) and item.__module__ == module.__name__
    ]
    if len(own) != 1 or inspect.isabstract(own[0]):
        raise ContractError(f"{PACKAGE}.{kind} must define exactly one whole Target, got {len(own)}")
    return own[0]
