"""Two batches against each other: runs of equal parameters, and how their figures differ."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from cosim.batch_folder import FIGURE, PARAMETER, Batch
from cosim.errors import ResultsError
from cosim.settings import Settings

if TYPE_CHECKING:
    import pandas
    from rich.console import Console

MOST_SHOWN = 10


class FigureDifference(Settings):
    """By how much a figure of the second batch differs from that of the first, over runs that both have it of."""

    figure: str
    unit: str
    runs: int
    """How many pairs of runs have it."""
    first_mean: float
    second_mean: float
    largest: float
    """The largest absolute difference of a pair."""
    first_run: str
    """The pair of the largest difference."""
    second_run: str


class Changed(Settings):
    """A pair of runs that ended otherwise."""

    first_run: str
    second_run: str
    first: str
    """The outcome."""
    second: str


class BatchComparison(Settings):
    """All in which two batches differ."""

    first: str
    second: str
    """The folders."""
    matched_by: tuple[str, ...]
    """The parameters (and group) by which runs were paired."""
    pairs: int
    identical: int
    """Pairs whose results are bit-identical."""
    only_first: tuple[str, ...]
    only_second: tuple[str, ...]
    """Runs without a counterpart."""
    outcomes: tuple[Changed, ...]
    figures: tuple[FigureDifference, ...]


def compare_batches(first: Batch, second: Batch) -> BatchComparison:
    """Pair runs by group and the parameters that both batches vary. Raises ResultsError if several fit one."""
    by = _common(first, second)
    ours, theirs = _keyed(first, by), _keyed(second, by)
    both = [key for key in ours if key in theirs]
    pairs = [(ours[key], theirs[key]) for key in both]
    units = first.table.attrs["units"]
    figures = [name for name in first.figures if name in second.figures]
    return BatchComparison(
        first=str(first.folder),
        second=str(second.folder),
        matched_by=by,
        pairs=len(pairs),
        identical=sum(bool(one["digest"]) and one["digest"] == other["digest"] for one, other in pairs),
        only_first=tuple(row["run"] for key, row in ours.items() if key not in theirs),
        only_second=tuple(row["run"] for key, row in theirs.items() if key not in ours),
        outcomes=tuple(
            Changed(first_run=one["run"], second_run=other["run"], first=one["outcome"], second=other["outcome"])
            for one, other in pairs
            if one["outcome"] != other["outcome"]
        ),
        figures=tuple(
            found for name in figures if (found := _difference(name, units.get(FIGURE + name, ""), pairs)) is not None
        ),
    )


def _common(first: Batch, second: Batch) -> tuple[str, ...]:
    """The columns by which runs are paired."""
    shared = [PARAMETER + name for name in first.parameters if name in second.parameters]
    if not shared:
        raise ResultsError(f"{first.folder} and {second.folder} vary no parameter in common; compare single runs")
    units = [batch.table.attrs["units"] for batch in (first, second)]
    other = [name for name in shared if units[0][name] != units[1][name]]
    if other:
        raise ResultsError(
            f"'{other[0]}' is in {units[0][other[0]]} in one batch and in {units[1][other[0]]} in the other"
        )
    grouped = all((batch.table["group"] != "").any() for batch in (first, second))
    return (*(("group",) if grouped else ()), *shared)


def _keyed(batch: Batch, by: tuple[str, ...]) -> dict[tuple[Any, ...], dict[str, Any]]:
    """Every run's row by its values of the columns `by`."""
    table: pandas.DataFrame = batch.table
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in table.to_dict("records"):
        key = tuple(None if isinstance(row[name], float) and math.isnan(row[name]) else row[name] for name in by)
        if key in found:
            raise ResultsError(
                f"runs {found[key]['run']} and {row['run']} of {batch.folder} have the same parameters of those that "
                "both batches vary; compare batches that vary the same"
            )
        found[key] = row
    return found


def _difference(name: str, unit: str, pairs: list[tuple[dict[str, Any], dict[str, Any]]]) -> FigureDifference | None:
    """A figure over all pairs that have it."""
    values = np.array([[one[FIGURE + name], other[FIGURE + name]] for one, other in pairs], dtype=float).reshape(-1, 2)
    there = np.flatnonzero(np.isfinite(values).all(axis=1))
    if not there.size:
        return None
    differences = np.abs(values[there, 1] - values[there, 0])
    worst = pairs[int(there[int(differences.argmax())])]
    return FigureDifference(
        figure=name,
        unit=unit,
        runs=int(there.size),
        first_mean=float(values[there, 0].mean()),
        second_mean=float(values[there, 1].mean()),
        largest=float(differences.max()),
        first_run=worst[0]["run"],
        second_run=worst[1]["run"],
    )


def print_batch_comparison(found: BatchComparison, console: Console) -> None:
    """Print it: the pairs, then the figures."""
    from rich.table import Table
    from rich.text import Text

    console.print(Text(f"first:  {found.first}\nsecond: {found.second}"), soft_wrap=True)
    by = ", ".join(name.removeprefix(PARAMETER) for name in found.matched_by)
    console.print(Text(f"{found.pairs} pairs of runs by {by}; {found.identical} are bit-identical"), soft_wrap=True)
    for which, runs in (("first", found.only_first), ("second", found.only_second)):
        if runs:
            console.print(Text(f"only in the {which}: {_few(runs)}", "yellow"), soft_wrap=True)
    for change in found.outcomes[:MOST_SHOWN]:
        text = f"run {change.first_run} was {change.first}, run {change.second_run} is {change.second}"
        console.print(Text(text, "yellow"), soft_wrap=True)
    if found.figures:
        table = Table("figure", "unit", "mean of first", "mean of second", "largest difference", "in runs")
        for entry in found.figures:
            numbers = (f"{entry.first_mean:.4g}", f"{entry.second_mean:.4g}", f"{entry.largest:.4g}")
            where = f"{entry.first_run}, {entry.second_run}" if entry.largest > 0 else ""
            table.add_row(*(Text(cell) for cell in (entry.figure, entry.unit, *numbers, where)))
        console.print(table)


def _few(runs: tuple[str, ...]) -> str:
    more = len(runs) - MOST_SHOWN
    return ", ".join(runs[:MOST_SHOWN]) + (f" and {more} more" if more > 0 else "")
