"""What the bench found: a row for each sequence, the whole as one object that serialises to JSON."""

from __future__ import annotations

from math import isfinite
from typing import Literal

from cosim.settings import Settings
from runs.bench1547.criteria import Finding

Outcome = Literal["pass", "fail", "indeterminate", "not exercised"]


class Measured(Settings):
    """One measured value against its limits; null stands for no limit, or for a thing that never happened."""

    case: str
    quantity: str
    unit: str
    measured: float | None
    low: float | None
    high: float | None
    margin: float | None
    """Distance to the nearer limit, negative outside."""
    passed: bool
    start_s: float
    """Where in the test it was measured."""
    end_s: float


class Row(Settings):
    """The result of one sequence."""

    sequence: str
    family: str
    title: str
    clause: str
    """Of IEEE 1547.1-2020."""
    requirement: str
    """Clause and table of IEEE 1547-2018."""
    outcome: Outcome
    cases: int
    """Repeats and variants that were run."""
    findings: int
    failures: int
    decisive: Measured | None
    """The worst failure; where there is none, the sequence's own quantity with the least margin."""
    failed: tuple[Measured, ...]
    """The failures, worst first, at most ten."""
    note: str
    """What of the sequence is unverified or in dispute."""


class BenchReport(Settings):
    """The bench's verdict on one device."""

    device: str
    category: str
    normal_category: str
    edition: str
    dt_s: float
    seconds: float
    """How long the bench took."""
    passed: bool
    rows: tuple[Row, ...]

    def count(self, outcome: Outcome) -> int:
        """How many rows ended so."""
        return sum(row.outcome == outcome for row in self.rows)


def measured(case: str, finding: Finding) -> Measured:
    """A finding as it is reported."""
    return Measured(
        case=case,
        quantity=finding.quantity,
        unit=finding.unit,
        measured=_finite(finding.measured),
        low=_finite(finding.low),
        high=_finite(finding.high),
        margin=_finite(finding.margin),
        passed=finding.passed,
        start_s=finding.start,
        end_s=finding.end,
    )


def _finite(value: float) -> float | None:
    return float(value) if isfinite(value) else None
