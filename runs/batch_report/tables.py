"""The tables of a batch's report: figures, extreme runs, what failed and why."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cosim.batch_folder import run_folder
from cosim.results import MANIFEST, REPORT, RESULTS, read_json
from runs.batch_report.factors import Factor, Figure, Outcome, by_strength, shown
from runs.batch_report.responses import number, quantiles

NAMED = 5  #: parameters of a run that are named in a table
EXTREMES = 3  #: runs at each end of a figure
MOST_FAILED = 50  #: kinds of failures that are listed
RUNS_OF_FAILURE = 6  #: runs that are named of each
NOT_TRUSTED = "it cannot be trusted; its report and verdict.json say which check failed"
MOST_LISTED = 300  #: runs in the table of all runs
REPORTS = 6  #: runs at the ends whose reports are written, if they can be and are not there


@dataclass(frozen=True)
class Link:
    """A run, with a link to what there is to look at."""

    run: str
    target: str  #: relative to the report; "" if there is nothing
    is_report: bool = False


@dataclass(frozen=True)
class Extreme:
    """A run at an end of a figure."""

    link: Link
    value: str
    parameters: str


@dataclass(frozen=True)
class FigureRow:
    """A figure over all good runs."""

    figure: Figure
    runs: int
    cells: tuple[str, ...]  #: 5 %, median, 95 %, mean
    highest: tuple[Extreme, ...]  #: the highest first
    lowest: tuple[Extreme, ...]  #: the lowest first


@dataclass(frozen=True)
class FailedRun:
    """A run that did not come to a good end."""

    link: Link
    log: str  #: its log, relative to the report; "" if there is none
    parameters: str


@dataclass(frozen=True)
class Failure:
    """Runs that ended in the same way, with the same error."""

    outcome: str
    error: str
    more: str  #: the further lines of the error
    count: int
    runs: tuple[FailedRun, ...]  #: the first of them


class Links:
    """Links from the report's place into the batch's folder."""

    def __init__(self, outcome: Outcome, report: Path) -> None:
        self.folder = outcome.batch.folder
        self._from = report.resolve().parent

    def to(self, path: Path) -> str:
        """A link to a file or folder; "" if it is not there."""
        return Path(os.path.relpath(path.resolve(), self._from)).as_posix() if path.exists() else ""

    def run(self, run: str) -> Link:
        """A link to the run's report, or else to its folder."""
        folder = run_folder(self.folder, run)
        report = folder / REPORT
        return Link(run, self.to(report if report.is_file() else folder), report.is_file())


def figure_rows(outcome: Outcome, links: Links) -> Iterator[FigureRow]:
    """Each figure: quantiles, and the runs at both ends."""
    for figure in outcome.figures:
        there = np.flatnonzero(outcome.counted(figure))
        values = figure.values[there]
        order = there[np.argsort(values, kind="stable")]
        low, middle, high = quantiles(values)
        cells = tuple(number(value) for value in (low, middle, high, float(values.mean())))
        few = min(EXTREMES, max(1, there.size // 2))
        highest, lowest = (
            tuple(_extreme(outcome, links, figure, int(position)) for position in chosen)
            for chosen in (order[::-1][:few], order[:few])
        )
        yield FigureRow(figure, int(there.size), cells, highest, lowest if there.size > 1 else ())


def _extreme(outcome: Outcome, links: Links, figure: Figure, position: int) -> Extreme:
    run = str(outcome.table["run"].iloc[position])
    value = number(float(figure.values[position]), figure.unit)
    strongest = [factor for factor, _ in by_strength(outcome.factors, figure, outcome.counted(figure))]
    return Extreme(links.run(run), value, parameters_text(strongest, position))


def parameters_text(factors: Sequence[Factor], position: int) -> str:
    """The values of the first NAMED of `factors` in the run at `position` of the table."""
    parts = []
    for factor in factors:
        value = factor.values.iloc[position]
        if value is not None and value == value:
            text = f"{value:.4g}" if isinstance(value, float) else shown(value)
            parts.append(f"{factor.name} {text}" + (f" {factor.unit}" if factor.unit else ""))
    return ", ".join(parts[:NAMED]) + (", …" if len(parts) > NAMED else "")


def write_extreme_reports(outcome: Outcome) -> None:
    """Write the reports of the runs at the ends of the first figures, where all their results were kept.

    A run of which outputs were dropped gets none: its report would be one of half a run.
    """
    from runs.report import write_report

    wanted: list[str] = []
    for figure in outcome.figures:
        there = np.flatnonzero(outcome.counted(figure))
        values = figure.values[there]
        ends = there[[int(values.argmax()), int(values.argmin())]]
        wanted += [str(run) for run in outcome.table["run"].iloc[ends]]
    for run in list(dict.fromkeys(wanted))[:REPORTS]:
        folder = run_folder(outcome.batch.folder, run)
        whole = (folder / RESULTS).is_dir() and not read_json(folder, MANIFEST).get("dropped")
        if whole and not (folder / REPORT).is_file():
            write_report(outcome.batch.run(run))


def failures(outcome: Outcome, links: Links) -> list[Failure]:
    """The runs that did not come to a good end, together where outcome and error are the same; most of them first."""
    table = outcome.table
    alike: dict[tuple[str, str], list[int]] = {}
    for position in np.flatnonzero(~outcome.good):
        row = table.iloc[int(position)]
        alike.setdefault((row["outcome"], _cause(row["error"], row["outcome"])), []).append(int(position))
    found = []
    for (ended, error), positions in sorted(alike.items(), key=lambda item: -len(item[1])):
        first, *more = error.splitlines()
        runs = tuple(_failed_run(outcome, links, position) for position in positions[:RUNS_OF_FAILURE])
        found.append(Failure(ended, first, "\n".join(more), len(positions), runs))
    return found


def _cause(error: str, outcome: str) -> str:
    """The error without the run's own parameters in front."""
    if outcome == "invalid" and error.startswith("with "):
        return error.partition(": ")[2] or error
    return error or NOT_TRUSTED


def _failed_run(outcome: Outcome, links: Links, position: int) -> FailedRun:
    row = outcome.table.iloc[position]
    log = links.to(links.folder / row["log"]) if row["log"] else ""
    return FailedRun(links.run(row["run"]), log, parameters_text(outcome.factors, position))


def common_causes(outcome: Outcome) -> Iterator[str]:
    """Values of parameters with which every run failed, while others did not."""
    if not outcome.good.any():
        return
    for factor in outcome.factors:
        codes, names = factor.codes(slice(None))
        bad = np.bincount(codes, weights=~outcome.good)
        every = np.bincount(codes)
        for code in np.flatnonzero((bad == every) & (every > 1)):
            unit = f" {factor.unit}" if factor.unit else ""
            yield f"all {every[code]} runs with {factor.name} = {names[code]}{unit} failed"


def outcomes_text(outcome: Outcome) -> str:
    """How many runs had which outcome."""
    return ", ".join(f"{count:,} {name}" for name, count in Counter(outcome.table["outcome"]).most_common())


def all_runs(outcome: Outcome, links: Links) -> Iterator[tuple[Link, str, list[str]]]:
    """The first MOST_LISTED runs: outcome, then factors, then figures."""
    for position in range(min(MOST_LISTED, len(outcome.table))):
        row = outcome.table.iloc[position]
        cells = [shown(factor.values.iloc[position]) for factor in outcome.factors]
        cells += [_cell(figure.values[position]) for figure in outcome.figures]
        yield links.run(row["run"]), row["outcome"], cells


def _cell(value: Any) -> str:
    return number(float(value)) if np.isfinite(value) else ""
