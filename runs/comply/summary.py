"""The verdict in the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape

from runs.comply.requirement import Requirement
from runs.comply.verdict import EXERCISED, ORDER, Finding, Verdict

if TYPE_CHECKING:
    from rich.console import Console

    from runs.comply.judgement import Judgement

STYLE = {
    "fail": "bold red",
    "indeterminate": "yellow",
    "permitted": "cyan",
    "pass": "green",
    "not exercised": "dim",
    "not checkable": "dim",
}
_SHOWN = 10  #: DER and warnings that are shown singly


def print_judgement(judgement: Judgement, console: Console) -> None:
    """The result, the clauses, what failed and why, and the warnings."""
    result = judgement.result
    count = len(judgement.der)
    detail = ", ".join(f"{number} {name}" for name, number in judgement.counts.items())
    console.print(f"[{STYLE[result]}]{result.upper()}[/]  {count} DER: {detail}", highlight=False)
    if count == 1:
        _print_findings(judgement.der[0], console)
    else:
        _print_clauses(judgement, console)
        worst = sorted(judgement.der, key=lambda v: ORDER.index(v.result))[:_SHOWN]
        for verdict in worst:
            for finding in verdict.findings:
                if finding.result in ("fail", "indeterminate"):
                    console.print(f"  {verdict.der}: {_line(finding)}", highlight=False)
        _print_fleet(judgement, console)
    _print_warnings(judgement, console)


def _print_findings(verdict: Verdict, console: Console) -> None:
    from rich.table import Table

    table = Table(
        "clause",
        "result",
        "margin",
        "what was seen",
        title=f"{verdict.der}, Category {verdict.category}",
        title_justify="left",
    )
    for finding in verdict.findings:
        if finding.result not in EXERCISED:
            continue
        table.add_row(
            f"{finding.clause}\n[dim]{finding.title}[/]",
            f"[{STYLE[finding.result]}]{finding.result}[/]",
            margin(finding),
            escape((f"{finding.fault}: " if finding.fault else "") + finding.explanation),
        )
    console.print(table)
    for name in ("not exercised", "not checkable"):
        rest = [finding.clause for finding in verdict.findings if finding.result == name]
        if rest:
            console.print(f"[dim]{name}: {', '.join(rest)}[/]", highlight=False)


def _print_clauses(judgement: Judgement, console: Console) -> None:
    from rich.table import Table

    table = Table("clause", *ORDER, title="DER by result", title_justify="left")
    for clause, counts in judgement.clauses.items():
        if not set(counts) & EXERCISED:
            continue
        table.add_row(clause, *(f"[{STYLE[name]}]{counts[name]}[/]" if name in counts else "" for name in ORDER))
    console.print(table)


def _print_fleet(judgement: Judgement, console: Console) -> None:
    fleet = judgement.fleet
    if fleet.losses:
        console.print(
            f"Lost {fleet.lost:.3f} {fleet.unit}, returned {fleet.returned:.3f} {fleet.unit}; the most at a time:"
        )
        for cause, most in sorted(fleet.lost_most.items(), key=lambda item: -item[1]):
            console.print(f"  {most:10.3f} {fleet.unit}  {cause}", highlight=False)


def _print_warnings(judgement: Judgement, console: Console) -> None:
    warnings = list(
        dict.fromkeys(
            warning
            for verdict in judgement.der
            for warning in (
                *verdict.warnings,
                *(w for f in verdict.findings if f.result in ("fail", "indeterminate", "pass") for w in f.warnings),
            )
        )
    )
    for warning in warnings[:_SHOWN]:
        console.print(f"[yellow]warning[/] {escape(warning)}", highlight=False)
    if len(warnings) > _SHOWN:
        console.print(f"and {len(warnings) - _SHOWN} more warnings (--json)")


def _line(finding: Finding) -> str:
    fault = f"{finding.fault}: " if finding.fault else ""
    return f"[{STYLE[finding.result]}]{finding.clause}[/] {escape(fault + finding.explanation)}"


def margin(finding: Finding) -> str:
    """A finding's margin in words."""
    parts = []
    if finding.margin_s is not None:
        parts.append(f"{finding.margin_s:+.3g} s")
    if finding.margin_pu is not None:
        parts.append(f"{finding.margin_pu:+.3g} pu")
    return "\n".join(parts)


def print_requirement(requirement: Requirement, console: Console) -> None:
    """What a waveform demands."""
    from rich.table import Table

    console.print(f"{requirement.der}, Category {requirement.category}, {requirement.edition}", highlight=False)
    by = requirement.shall_trip_by_s
    console.print(
        "shall trip by    " + (f"{by:g} s ({requirement.element})" if by is not None else "never"), highlight=False
    )
    before = requirement.no_trip_before_s
    console.print("no trip before   " + (f"{before:g} s" if before is not None else "at all"), highlight=False)
    table = Table("from s", "to s", "required mode")
    for start, end, mode in requirement.required_modes:
        table.add_row(f"{start:g}", f"{end:g}", mode.replace("_", " "))
    console.print(table)
    for warning in requirement.warnings:
        console.print(f"[yellow]warning[/] {escape(warning)}", highlight=False)
