"""The bench's table in the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runs.bench1547.result import BenchReport, Measured, Row

if TYPE_CHECKING:
    from rich.console import Console

_STYLE = {"pass": "green", "fail": "bold red", "indeterminate": "yellow", "not exercised": "dim"}


def print_report(report: BenchReport, console: Console) -> None:
    """One line for each sequence, the notes beneath, and the sum."""
    from rich.table import Column, Table
    from rich.text import Text

    table = Table(
        "result",
        Column("sequence", overflow="fold"),
        Column("measured", overflow="fold"),
        "limits",
        "margin",
        "1547.1",
        Column("IEEE 1547-2018", overflow="fold"),
        title=f"IEEE 1547.1 bench: {report.device}, category {report.category}/{report.normal_category}",
        title_justify="left",
    )
    notes: dict[str, int] = {}
    for row in report.rows:
        mark = f" [{notes.setdefault(row.note, len(notes) + 1)}]" if row.note else ""
        table.add_row(
            Text(row.outcome, style=_STYLE[row.outcome]),
            Text(f"{row.sequence}{mark}"),
            Text(measured_text(row)),
            Text("" if row.decisive is None else limits_text(row.decisive)),
            Text("" if row.decisive is None else number(row.decisive.margin)),
            Text(row.clause),
            Text(row.requirement),
        )
    console.print(table)
    for note, count in notes.items():
        console.print(Text(f"[{count}] {note}"))
    console.print(Text(summary(report)))


def summary(report: BenchReport) -> str:
    """The sum in one line."""
    counts = ", ".join(
        f"{report.count(outcome)} {outcome}"
        for outcome in ("pass", "fail", "indeterminate", "not exercised")
        if report.count(outcome)
    )
    return f"{'PASSED' if report.passed else 'FAILED'}: {counts}, in {report.seconds:.0f} s"


def measured_text(row: Row) -> str:
    """What decided the row."""
    if row.decisive is None:
        return "the device takes no change of settings while it runs"
    found = row.decisive
    value = "never" if found.measured is None else f"{number(found.measured)} {_unit(found)}".rstrip()
    return f"{found.quantity} ({found.case}): {value}"


def limits_text(found: Measured) -> str:
    """The limits of a measured value."""
    unit = _unit(found)
    if found.low is not None and found.high is not None:
        return f"{number(found.low)} to {number(found.high)} {unit}".rstrip()
    if found.low is not None:
        return f"at least {number(found.low)} {unit}".rstrip()
    return f"at most {number(found.high)} {unit}".rstrip()


def number(value: float | None) -> str:
    """Four digits; "" for none."""
    return "" if value is None else f"{value:.4g}" if abs(value) >= 5e-5 else "0"


def _unit(found: Measured) -> str:
    return "" if found.unit == "1" else found.unit
