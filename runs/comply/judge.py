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
        make=held.make,
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


#: Faults whose verdict already grants the accuracy of what a function reads and gives.
_GRANTED = frozenset({"did not follow its control function", "did not obey", "too little current", "returned too fast"})
_WAYS = (("further out", 1.0), ("further in", -1.0))


def _doubted(trace: Trace, held: Held, findings: list[Finding]) -> list[Finding]:
    """Failures that vanish when voltage or frequency is read differently by its accuracy become indeterminate."""
    again: dict[Reading, list[Finding]] = {}

    def judged(reading: Reading) -> list[Finding]:
        if reading not in again:
            op = Operation(Path(trace, held, reading))
            again[reading] = [finding for clause in CLAUSES for finding in clause(op)]
        return again[reading]

    return [
        _doubt(finding, judged) if finding.result == "fail" and finding.fault not in _GRANTED else finding
        for finding in findings
    ]


def _doubt(finding: Finding, judged: Callable[[Reading], list[Finding]]) -> Finding:
    """The finding, indeterminate where some reading within accuracy shows no such fault in any clause."""
    volts, hertz = accuracy.voltage(finding.limit_s), accuracy.frequency(finding.limit_s)
    for way, sign in _WAYS:
        for words, reading in (
            (f"voltage {volts:g} pu {way}", Reading(voltage=sign * volts)),
            (f"frequency {1000 * hertz:g} mHz {way}", Reading(frequency=sign * hertz)),
        ):
            if not any(f.result == "fail" and f.fault == finding.fault for f in judged(reading)):
                note = f"inside the accuracy of Table 3: with {words} it would not fail"
                return finding.model_copy(update={"result": "indeterminate", "warnings": [*finding.warnings, note]})
    return finding
