"""The judge: what the standard requires of what was measured. It knows no DER model, only traces and tables."""

from __future__ import annotations

from collections.abc import Callable

from runs.comply import accuracy
from runs.comply.clauses import (
    active_power,
    applicable_voltages,
    cease_to_energize,
    control_capability,
    enter_service,
    frequency_ride_through,
    reactive_power,
    shall_trip,
    voltage_ride_through,
)
from runs.comply.operation import Operation
from runs.comply.path import Path, Reading
from runs.comply.requirement import doubts, fast_change_warnings, start_warnings
from runs.comply.settings import Held
from runs.comply.trace import Trace
from runs.comply.verdict import Finding, Verdict, conclude

Clause = Callable[[Operation], list[Finding]]

CLAUSES: tuple[Clause, ...] = (
    applicable_voltages.judge,
    cease_to_energize.judge,
    control_capability.judge,
    enter_service.judge,
    reactive_power.judge,
    active_power.judge,
    shall_trip.judge,
    voltage_ride_through.judge,
    frequency_ride_through.judge,
)


def judge_trace(trace: Trace, held: Held) -> tuple[Verdict, Operation]:
    """The verdict on one DER, and its conduct as it was read."""
    op = Operation(Path(trace, held))
    findings = [finding for clause in CLAUSES for finding in clause(op)]
    if held.accuracy == "table 3":
        findings = _doubted(trace, held, findings)
    findings.sort(key=lambda f: [int(part) for part in f.clause.split()[0].split(".")])
    verdict = Verdict(
        der=trace.name,
        category=held.category,
        normal_category=held.normal_category,
        edition=held.edition,
        rating_kVA=held.rating_kVA,
        result=conclude(findings),
        findings=findings,
        outages=[outage.told() for outage in op.outages],
        warnings=[*held.warnings, *start_warnings(op.path), *fast_change_warnings(op.path), *doubts(op.path)],
    )
    return verdict, op


def _doubted(trace: Trace, held: Held, findings: list[Finding]) -> list[Finding]:
    """Failures that vanish when voltage or frequency is read differently by its accuracy become indeterminate."""
    failed = [f for f in findings if f.result == "fail"]
    if not failed:
        return findings
    cleared: dict[str, str] = {}
    for finding in failed:
        volts, hertz = accuracy.voltage(finding.limit_s), accuracy.frequency(finding.limit_s)
        readings = [(f"voltage read {volts:g} pu {way}", Reading(voltage=sign * volts)) for way, sign in _WAYS] + [
            (f"frequency read {1000 * hertz:g} mHz {way}", Reading(frequency=sign * hertz)) for way, sign in _WAYS
        ]
        for words, reading in readings:
            op = _read(trace, held, reading)
            again = [f for clause in CLAUSES for f in clause(op) if f.clause == finding.clause]
            if all(f.result != "fail" for f in again) and not _moved_elsewhere(op, finding):
                cleared[finding.clause] = words
                break
    return [
        f.model_copy(
            update={
                "result": "indeterminate",
                "warnings": [
                    *f.warnings,
                    f"inside the accuracy of Table 3: with {cleared[f.clause]} it would not fail",
                ],
            }
        )
        if f.result == "fail" and f.clause in cleared
        else f
        for f in findings
    ]


_WAYS = (("further out", 1.0), ("further in", -1.0))


def _read(trace: Trace, held: Held, reading: Reading) -> Operation:
    return Operation(Path(trace, held, reading))


def _moved_elsewhere(op: Operation, finding: Finding) -> bool:
    """Whether the failure is only told of another clause under this reading."""
    others = [f for clause in CLAUSES for f in clause(op) if f.result == "fail"]
    return any(f.fault == finding.fault for f in others)
