"""Short hands for findings."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from runs.comply.verdict import Fault, Finding, Result, pick
from solvers.ieee1547_tables import Citation


def finding(
    clause: str,
    title: str,
    requirement: str,
    citation: Citation,
    result: Result,
    explanation: str,
    *,
    fault: Fault | None = None,
    margin_s: float | None = None,
    margin_pu: float | None = None,
    evidence: dict[str, Any] | None = None,
    warnings: Iterable[str] = (),
    limit_s: float | None = None,
) -> Finding:
    """A finding; a number that is not verified, or on which sources disagree, is said in its warnings."""
    doubts = []
    if not citation.verified:
        doubts.append(f"{citation}: no open source states this number")
    if citation.disagreement:
        doubts.append(f"{citation}: {citation.disagreement}")
    return Finding(
        clause=clause,
        title=title,
        result=result,
        requirement=requirement,
        citation=str(citation),
        explanation=explanation,
        fault=fault if result in ("fail", "indeterminate") else None,
        margin_s=None if margin_s is None else round(margin_s, 9) + 0.0,  # no negative zero
        margin_pu=None if margin_pu is None else round(margin_pu, 6) + 0.0,
        evidence=evidence or {},
        warnings=[*warnings, *doubts],
        limit_s=limit_s,
    )


def summed_up(findings: list[Finding]) -> Finding:
    """The one that stands for all; says of how many."""
    chosen = pick(findings)
    if len(findings) == 1:
        return chosen
    count = sum(f.result == chosen.result for f in findings)
    warnings = list(dict.fromkeys(w for f in findings for w in f.warnings))
    evidence = {**chosen.evidence, "occasions": len(findings), f"of them {chosen.result}": count}
    return chosen.model_copy(update={"warnings": warnings, "evidence": evidence})


NO_OUTPUT = "the trace has neither p_pu and q_pu nor i_pu"
