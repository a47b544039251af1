"""The verdict in the terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.markup import escape

from runs.comply.requirement import Requirement
from runs.comply.verdict import EXERCISED, ORDER, Finding, Verdict, pick

if TYPE_CHECKING:
    from rich.console import Console

    from runs.comply.judgement import Judgement, Least

STYLE = {
    "fail": "bold red",
    "indeterminate": "yellow",
    "permitted": "cyan",
    "pass": "green",
    "not exercised": "dim",
    "not checkable": "dim",
}
_SHOWN = 10  #: DER, kinds of findings and warnings that are shown singly
_NAMED = 6  #: DER that are named of many alike
_TRIPPED = "tripped though ride-through was required"  #: what is told first
_HEADS = {"indeterminate": "indeter-\nminate", "permitted": "permit-\nted"}


def print_judgement(judgement: Judgement, console: Console) -> None:
    """The result, the clauses, what failed and why, and the warnings."""
    result = judgement.result
    count = len(judgement.der)
    detail = ", ".join(f"{number} {name}" for name, number in judgement.counts.items())
    console.print(f"[{STYLE[result]}]{result.upper()}[/]  {count} DER: {detail}", highlight=False)
    if judgement.time_zero:
        console.print(f"[dim]Times count from {judgement.time_zero}.[/]", highlight=False)
    if count == 1:
        _print_findings(judgement.der[0], console)
        _print_warnings(judgement.der[0], console)
    else:
        console.print(f"Held to: {held_to(judgement.der)}", highlight=False)
        _print_clauses(judgement, console)
        for kind in kinds(judgement.der, ("fail", "indeterminate"))[:_SHOWN]:
            console.print(kind_in_words(kind, console_markup=True), highlight=False)
        _print_fleet(judgement, console)
        _print_fleet_warnings(judgement, console)


@dataclass(frozen=True)
class Kind:
    """Findings of one clause that say the same of several DER."""

    worst: Finding
    worst_der: str
    der: tuple[str, ...]
    makes: tuple[str, ...]
    reasons: tuple[str, ...]  #: of the doubt


def kinds(verdicts: Sequence[Verdict], results: Sequence[str]) -> list[Kind]:
    """The findings with one of `results`, those that say the same put together, the gravest and most frequent first."""
    groups: dict[tuple[object, ...], list[tuple[Verdict, Finding]]] = {}
    for verdict in verdicts:
        for finding in verdict.findings:
            if finding.result in results:
                key = (finding.result, finding.clause, finding.fault, tuple(_reasons(finding)))
                groups.setdefault(key, []).append((verdict, finding))
    found = []
    for entries in groups.values():
        worst = pick([finding for _, finding in entries])
        found.append(
            Kind(
                worst,
                next(verdict.der for verdict, finding in entries if finding is worst),
                tuple(verdict.der for verdict, _ in entries),
                tuple(dict.fromkeys(verdict.make for verdict, _ in entries if verdict.make)),
                tuple(_reasons(worst)),
            )
        )
    return sorted(
        found, key=lambda kind: (ORDER.index(kind.worst.result), kind.worst.fault != _TRIPPED, -len(kind.der))
    )


def _reasons(finding: Finding) -> list[str]:
    """What leaves a doubt; not that a number of the standard is not verified."""
    return [warning for warning in finding.warnings if not warning.startswith("IEEE 1547")]


def kind_in_words(kind: Kind, *, console_markup: bool = False) -> str:
    """A kind of findings: clause and fault; who; the worst of them; why it is in doubt."""
    worst = kind.worst
    clause = f"{worst.clause.split()[0]} {worst.title}"
    head = f"[{STYLE[worst.result]}]{worst.result}[/]" if console_markup else worst.result
    limits = margin(worst).replace("\n", ", ")
    lines = [
        f"{head}  {clause}" + (f": {'perhaps ' * (worst.result != 'fail')}{worst.fault}" if worst.fault else ""),
        f"  {who(kind.der, kind.makes)}",
        f"  {'worst ' if len(kind.der) > 1 else ''}{kind.worst_der}: {worst.explanation}"
        + (f" (margin {limits})" if limits else ""),
        *(f"  because {reason}" for reason in kind.reasons),
    ]
    return "\n".join([lines[0], *(escape(line) if console_markup else line for line in lines[1:])])


def who(names: Sequence[str], makes: Sequence[str] = ()) -> str:
    """How many DER, of which makes, and the first names."""
    made = f" ({', '.join(makes)})" if makes else ""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{len(names)} DER{made}: {', '.join(names[:_NAMED])}{more}"


def held_to(verdicts: Sequence[Verdict]) -> str:
    """What the DER are held to, with how many of each."""
    words = Counter(
        f"Category {v.category}" + (f" (made as {v.make})" if v.make and v.make != v.category else "") for v in verdicts
    )
    if len(words) == 1:
        return next(iter(words))
    return "; ".join(f"{number} {name}" for name, number in words.most_common())


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
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    shown = {clause: counts for clause, counts in judgement.clauses.items() if set(counts) & EXERCISED}
    names = [name for name in ORDER if name in EXERCISED and any(name in counts for counts in shown.values())]
    titles = {finding.clause: finding.title for verdict in judgement.der for finding in verdict.findings}
    table = Table("clause, DER by result", box=SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    for name in names:
        table.add_column(_HEADS.get(name, name), justify="right", no_wrap=True, style=STYLE[name])
    table.add_column("least\nmargin", justify="right", no_wrap=True)
    table.add_column("of DER", no_wrap=True)
    for clause, counts in shown.items():
        least = judgement.least.get(clause)
        table.add_row(
            f"{clause.split()[0]} {titles[clause]}",
            *(str(counts.get(name, "")) for name in names),
            margin(least) if least else "",
            least.der if least else "",
        )
    console.print(table)


def _print_fleet(judgement: Judgement, console: Console) -> None:
    fleet = judgement.fleet
    if not fleet.losses:
        console.print("No DER lost output.")
        return
    unit = fleet.unit
    console.print(f"Lost {fleet.lost:.3f} {unit} in all, returned {fleet.returned:.3f} {unit}. The most at a time:")
    for cause, (names, makes) in who_lost(judgement).items():
        most = fleet.lost_most[cause]
        console.print(f"{most:8.3f} {unit}  {escape(cause)}\n{'':13}{escape(who(names, makes))}", highlight=False)


def who_lost(judgement: Judgement) -> dict[str, tuple[list[str], list[str]]]:
    """Cause -> the DER that lost output by it, and their makes; where the most was lost first."""
    found: dict[str, tuple[list[str], list[str]]] = {}
    most = judgement.fleet.lost_most
    for cause in sorted(most, key=lambda cause: -most[cause]):
        own = [v for v in judgement.der if any(outage["cause"] == cause for outage in v.outages)]
        found[cause] = [v.der for v in own], list(dict.fromkeys(v.make for v in own if v.make))
    return found


def _print_warnings(verdict: Verdict, console: Console) -> None:
    told = [w for f in verdict.findings if f.result in ("fail", "indeterminate", "pass") for w in f.warnings]
    warnings = list(dict.fromkeys([*verdict.warnings, *told]))
    for warning in warnings[:_SHOWN]:
        console.print(f"[yellow]warning[/] {escape(warning)}", highlight=False)
    if len(warnings) > _SHOWN:
        console.print(f"and {len(warnings) - _SHOWN} more warnings (--json)")


def _print_fleet_warnings(judgement: Judgement, console: Console) -> None:
    """Each kind of warning in a line: many DER say the same."""
    for warning in fleet_warnings(judgement.der)[:_SHOWN]:
        console.print(f"[yellow]warning[/] {escape(warning)}", highlight=False)


def fleet_warnings(verdicts: Sequence[Verdict]) -> list[str]:
    """What has to be said of the verdicts of many DER, without what each finding says of itself."""
    outside: dict[str, set[str]] = {}
    numbers: set[str] = set()
    others: Counter[str] = Counter()
    for verdict in verdicts:
        told = [w for f in verdict.findings if f.result in ("fail", "indeterminate", "pass") for w in f.warnings]
        numbers |= {w.split(": ")[0] for w in (*verdict.warnings, *told) if w.startswith("IEEE 1547")}
        for warning in verdict.warnings:
            if " is outside " in warning:
                outside.setdefault(warning.split()[0], set()).add(verdict.der)
            elif not warning.startswith("IEEE 1547"):
                others[warning] += 1
    found = [f"{count} DER: {warning}" for warning, count in others.most_common()]
    if outside:
        count = len(set().union(*outside.values()))
        found.append(f"{count} DER are set outside the ranges of the standard: {', '.join(outside)}")
    if numbers:
        places = sorted({number.partition(") ")[2].removesuffix(" [not verified]") for number in numbers})
        found.append(f"numbers no open source states or on which sources differ (--json): {'; '.join(places)}")
    return found


def margin(finding: Finding | Least) -> str:
    """A margin in words."""
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
