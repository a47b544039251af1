"""All errors of the project, sorted by who must act.

CosimError
├── ScenarioError        the scenario's author: wrong input, found before anything starts (exit 2)
├── ModelError           the model's author: a federate broke the contract or could not solve
│   ├── SolverError          a power flow, dispatch or other solver found no solution
│   └── ContractError        a federate's ports, times or values are not what it declared
├── MachineError         the machine: a process died, hung, never joined; the disk is full
└── ResultsError         the owner of a results folder: it is missing, damaged or out of step
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

MOST_SHOWN = 20  #: faults of one input that its message holds; all are in `faults`
LONGEST_PROBLEM = 1000  #: [characters] of a fault's text that a message holds: what is wrong may be a value of pages


@dataclass(frozen=True)
class Fault:
    """One fault of the input: where it stands, what is wrong, what to do next."""

    place: str  #: for example "heat.yaml:12: feeders[0].bus"
    problem: str
    remedy: str = ""

    def __str__(self) -> str:
        long = len(self.problem) > LONGEST_PROBLEM
        problem = f"{self.problem[:LONGEST_PROBLEM]}... ({len(self.problem):,} characters)" if long else self.problem
        return f"{self.place}: {problem}" + (f" {self.remedy}" if self.remedy else "")


class CosimError(Exception):
    """Base of all errors that the project raises on purpose."""

    exit_code = 1


class ScenarioError(CosimError):
    """The input is wrong; holds every fault that was found, not just the first."""

    exit_code = 2

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        more = len(self.faults) - MOST_SHOWN
        shown = [str(fault) for fault in self.faults[:MOST_SHOWN]]
        super().__init__("\n".join(shown + ([f"and {more} more faults"] if more > 0 else [])))


class ConfigError(CosimError):
    """A federate refuses its settings; wiring turns it into a `ScenarioError` with the place.

    `field` is the dotted path inside the federate's `Config`, "" for the whole of it.
    """

    exit_code = 2

    def __init__(self, field: str, problem: str, remedy: str = "") -> None:
        self.field, self.problem, self.remedy = field, problem, remedy
        super().__init__(str(Fault(field or "settings", problem, remedy)))


class UnknownFactError(ConfigError):
    """A federate needs a fact (`cosim.contract.Fact`) that nobody states."""


class ModelError(CosimError):
    """A model cannot go on; the engine adds which federate and at what simulated time."""


class SolverError(ModelError):
    """A solver found no solution (diverged, infeasible, unbounded)."""


class ContractError(ModelError):
    """A federate did not keep the contract of `cosim/contract.py`."""


class MachineError(CosimError):
    """The machine failed the run: a process died, hung or never joined, the disk is full."""


class ResultsError(CosimError):
    """A results folder cannot be trusted or opened."""

    exit_code = 2
