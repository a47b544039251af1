"""The runner: plays every chosen sequence to a device and judges what comes back."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import groupby
from math import isinf

from cosim.errors import ConfigError
from runs.bench1547.criteria import Finding
from runs.bench1547.device import Maker
from runs.bench1547.families import FAMILIES, all_sequences
from runs.bench1547.result import BenchReport, Measured, Outcome, Row, measured
from runs.bench1547.sequence import Plan, Sequence1547
from runs.bench1547.stand import Trace, record

_SHOWN = 10  #: failures kept in a row


@dataclass(frozen=True)
class Judged:
    """A sequence, its traces and its row; `case` is the index of the decisive one."""

    sequence: Sequence1547
    traces: Sequence[Trace]
    row: Row
    case: int
    findings: Sequence[Finding]  #: of that case


def bench(
    make: Maker,
    *,
    device: str = "device",
    plan: Plan | None = None,
    pattern: str = "*",
    progress: Callable[[int, int], None] | None = None,
) -> tuple[BenchReport, list[Judged]]:
    """Run the sequences of `plan` whose names fit `pattern` on the device that `make` makes.

    `device` is its name in the report; `progress` hears (cases done, cases in all). Gives the report and what is needed
    to draw it. Raises `ConfigError` where no sequence fits.
    """
    used = plan or Plan()
    chosen = choose(used, pattern)
    started = time.perf_counter()
    total, done = sum(len(sequence.cases) for sequence in chosen), 0

    def report(count: int) -> None:
        nonlocal done
        done += count
        if progress is not None:
            progress(done, total)

    judged: list[Judged] = []
    # family by family: members that run side by side share their time steps, so they had better be alike
    for _, family in groupby(chosen, key=lambda sequence: sequence.family):
        sequences = list(family)
        jobs = [case.job for sequence in sequences for case in sequence.cases]
        traces = iter(record(make, jobs, used.dt, report))
        judged += [judge(sequence, [next(traces) for _ in sequence.cases]) for sequence in sequences]
    rows = tuple(item.row for item in judged)
    summary = BenchReport(
        device=device,
        category=used.category,
        normal_category=used.normal,
        edition=used.edition,
        dt_s=used.dt,
        seconds=time.perf_counter() - started,
        passed=not any(row.outcome == "fail" for row in rows) and any(row.outcome == "pass" for row in rows),
        rows=rows,
    )
    return summary, judged


def choose(plan: Plan, pattern: str) -> list[Sequence1547]:
    """The sequences of `plan` whose name, or family, fits the comma-separated `pattern`."""
    patterns = [part.strip() for part in pattern.split(",") if part.strip()]
    found = [
        sequence
        for sequence in all_sequences(plan)
        if any(fnmatchcase(sequence.name, part) or sequence.family == part for part in patterns)
    ]
    if not found:
        raise ConfigError(
            "sequences",
            f"no sequence of category {plan.category} fits '{pattern}'",
            f"Give a family ({', '.join(FAMILIES)}) or a pattern such as 'voltage_trip/UV1/*'.",
        )
    return found


def judge(sequence: Sequence1547, traces: Sequence[Trace]) -> Judged:
    """The row of a sequence from its traces."""
    found: list[tuple[int, Finding]] = []
    for number, (case, trace) in enumerate(zip(sequence.cases, traces, strict=True)):
        found += [(number, finding) for finding in case.check(trace)]
    found += [(0, finding) for finding in sequence.compare(traces)]
    # a number tells more than "never", and the sequence's own quantity more than its by-products
    failed = sorted(
        (item for item in found if not item[1].passed),
        key=lambda item: (isinf(item[1].measured), not item[1].lead, item[1].relative),
    )
    lead = [item for item in found if item[1].lead] or found
    decisive = failed[0] if failed else min(lead, key=lambda item: item[1].relative, default=None)

    def shown(item: tuple[int, Finding]) -> Measured:
        return measured(sequence.cases[item[0]].label, item[1])

    row = Row(
        sequence=sequence.name,
        family=sequence.family,
        title=sequence.title,
        clause=sequence.clause,
        requirement=sequence.requirement,
        outcome=_outcome(sequence, found, failed),
        cases=len(sequence.cases),
        findings=len(found),
        failures=len(failed),
        decisive=shown(decisive) if decisive else None,
        failed=tuple(shown(item) for item in failed[:_SHOWN]),
        note=sequence.note,
    )
    shown_case = decisive[0] if decisive else 0
    return Judged(sequence, traces, row, shown_case, [finding for number, finding in found if number == shown_case])


def _outcome(
    sequence: Sequence1547, found: Sequence[tuple[int, Finding]], failed: Sequence[tuple[int, Finding]]
) -> Outcome:
    if not found:
        return "not exercised"
    if not failed:
        return "pass"
    return "indeterminate" if sequence.disputed else "fail"
