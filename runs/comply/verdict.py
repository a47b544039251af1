"""The words of a verdict: what was found for one clause and one DER."""

from __future__ import annotations

import math
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Result = Literal["pass", "fail", "permitted", "indeterminate", "not exercised", "not checkable"]
Fault = Literal[
    "tripped though ride-through was required",
    "ceased though operation was required",
    "did not trip though it had to",
    "tripped too late",
    "did not cease though it had to",
    "ceased too late",
    "returned too early",
    "returned too fast",
    "returned too slowly",
    "too little current",
    "did not follow its control function",
    "did not obey",
]

#: From the one that decides to the one that says least.
ORDER: tuple[Result, ...] = ("fail", "indeterminate", "permitted", "pass", "not exercised", "not checkable")


#: Results of clauses that the trace put to the test.
EXERCISED: frozenset[Result] = frozenset({"fail", "indeterminate", "permitted", "pass"})


class Finding(BaseModel):
    """What was found for one clause."""

    model_config = ConfigDict(frozen=True)

    clause: str  #: for example "6.4.1 UV1"
    title: str
    result: Result
    requirement: str  #: what is demanded
    citation: str  #: table row and edition
    explanation: str = ""  #: what was seen, in a sentence
    fault: Fault | None = None
    margin_s: float | None = None  #: time to the nearest boundary [s], negative: beyond it
    margin_pu: float | None = None  #: distance to the nearest boundary [pu] of voltage, current or power (Hz / 60)
    evidence: dict[str, Any] = Field(default_factory=dict)
    warnings: list[str] = Field(default_factory=list)
    limit_s: float | None = Field(default=None, exclude=True)  #: the time that decided; says which accuracy applies


def worst(results: list[Result]) -> Result:
    """The result that stands for several of one clause."""
    return min(results, key=ORDER.index) if results else "not exercised"


def pick(findings: list[Finding]) -> Finding:
    """The finding that stands for several of one clause: the worst, and of equals the one with the least margin.

    A trip that was not allowed goes before any other fault.
    """
    return min(findings, key=_rank)


def _rank(finding: Finding) -> tuple[int, bool, float, float]:
    tripped = finding.fault == "tripped though ride-through was required"
    return (ORDER.index(finding.result), not tripped, *_margins(finding))


def nearness(finding: Finding) -> tuple[bool, float, float]:
    """Orders the findings of one clause on several DER by how near each came to its boundary, or how far beyond it.

    Who failed goes first; then the seconds decide, and of equal ones the pu.
    """
    return (finding.result != "fail", *_margins(finding))


def _margins(finding: Finding) -> tuple[float, float]:
    seconds, per_unit = (math.inf if margin is None else margin for margin in (finding.margin_s, finding.margin_pu))
    return seconds, per_unit


class Verdict(BaseModel):
    """What was found for one DER."""

    model_config = ConfigDict(frozen=True)

    der: str
    make: str  #: what it was made as, in words; "": not known
    category: str
    normal_category: str
    edition: str
    rating_kVA: float | None  # noqa: N815 - the settings' name
    result: Result
    findings: list[Finding]
    outages: list[dict[str, Any]]
    warnings: list[str]


def conclude(findings: list[Finding]) -> Result:
    """A DER's result: failed if a clause failed; else in doubt if one is; else passed if anything was exercised."""
    results: set[Result] = {finding.result for finding in findings}
    for result in ("fail", "indeterminate"):
        if result in results:
            return result
    return "pass" if results & {"pass", "permitted"} else "not exercised"
