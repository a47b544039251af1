"""The batch's report as one file: everything that it needs is inside, nothing is loaded from anywhere."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from cosim.batch_folder import LOG, TABLE, Batch
from cosim.errors import MachineError
from cosim.results import REPORT
from runs.batch.estimate import duration_text
from runs.batch_report import bands, maps, responses, tables
from runs.batch_report.factors import Outcome, shown, together
from runs.report import style
from runs.report.cards import Card
from runs.report.chart import Chart
from runs.report.page import HERE as RUN_PAGE
from runs.report.page import Section, script_json

HERE = Path(__file__).parent
CARDS = 5  #: figures that get a card
VALUES = 6  #: values of a parameter that are named


def write_batch_report(batch: Batch, path: Path | None = None, *, again: str = "") -> Path:
    """Write the report of `batch` to `path`, by default into its folder; its links lead from there to the runs.

    `again`: the command that runs again what failed. Raises ResultsError if the batch cannot be read, MachineError if
    the file cannot be written.
    """
    path = path or batch.folder / REPORT
    outcome = Outcome(batch)
    try:
        tables.write_extreme_reports(outcome)
        path.write_text(render(outcome, path, again or _again(batch)), encoding="utf-8")
    except OSError as error:
        raise MachineError(f"cannot write {path}: {error.strerror}; choose another place with --out") from None
    return path


def _again(batch: Batch) -> str:
    """The command that runs again what failed, as far as the folder knows it."""
    written = batch.description
    file = Path(written["folder"]) / written["file"] if written.get("file") else Path("FILE")
    return shlex.join(["cosim", "batch", str(file), "--rerun-failed", "--out", str(batch.folder)])


def render(outcome: Outcome, path: Path, again: str) -> str:
    """The whole page."""
    import jinja2
    import yaml
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    batch = outcome.batch
    written = batch.description
    links = tables.Links(outcome, path)
    sections = _sections(outcome)
    figures = [chart.figure() for section in sections for _, chart in section.charts]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    css = (RUN_PAGE / "page.css").read_text(encoding="utf-8") + (HERE / "page.css").read_text(encoding="utf-8")
    failed = int((~outcome.good).sum())
    return environment.get_template("page.html").render(
        title=f"{written['batch']['name']} · cosim batch report",
        heading=written["batch"]["name"],
        description=written["batch"].get("description", ""),
        facts=_facts(outcome),
        varied=list(_varied(outcome)),
        remarks=list(_remarks(outcome)),
        complete=len(outcome.table) == written["runs"],
        finished=len(outcome.table),
        planned=written["runs"],
        failed=failed,
        outcomes=tables.outcomes_text(outcome),
        causes=list(tables.common_causes(outcome)),
        failures=tables.failures(outcome, links),
        most_failed=tables.MOST_FAILED,
        again=again,
        cards=list(_cards(outcome)),
        rows=list(tables.figure_rows(outcome, links)),
        factors=outcome.factors,
        figures_shown=outcome.figures,
        all_runs=list(tables.all_runs(outcome, links)),
        table=links.to(batch.folder / TABLE),
        log=links.to(batch.folder / LOG),
        sections=sections,
        made=list(_made(outcome)),
        versions=list(written["versions"].items()),
        batch=yaml.safe_dump(written["batch"], sort_keys=False, allow_unicode=True, width=100),
        version=written["versions"]["cosim"],
        has_figures=bool(figures),
        css=Markup(css),
        figures=script_json({"template": style.template(), "figures": figures}),
        plotly=Markup(get_plotlyjs()),
        script=Markup((RUN_PAGE / "page.js").read_text(encoding="utf-8")),
    )


def _sections(outcome: Outcome) -> list[Section]:
    """The figures that this batch has, in the order in which one asks."""
    parts = {
        "Maps": maps.maps(outcome),
        "What matters most": responses.what_matters(outcome),
        "Response of each figure to each parameter": responses.responses(outcome),
        "Over time": bands.bands(outcome),
        "Distributions": responses.distributions(outcome),
        "Computing": responses.computing(outcome),
    }
    numbers = count()
    sections = []
    for title, charts in parts.items():
        drawn = [(next(numbers), chart) for chart in _in_full_rows([chart for chart in charts if chart.drawn])]
        if drawn:
            sections.append(Section(title, drawn))
    return sections


def _in_full_rows(charts: list[Chart]) -> list[Chart]:
    """The last one of an odd number of narrow charts is as wide as two."""
    narrow = [chart for chart in charts if not chart.wide]
    if len(narrow) % 2:
        narrow[-1].wide = True
    return charts


def _facts(outcome: Outcome) -> str:
    written = outcome.batch.description
    groups = f" in {len(outcome.groups)} groups" if outcome.groups else ""
    return f"{written['runs']:,} runs of {written['scenario']}{groups}; seed of the batch {written['seed']}"


def _varied(outcome: Outcome) -> Iterator[tuple[str, str]]:
    """What was varied, and over which values."""
    for factor in outcome.factors:
        values = factor.values.dropna()
        unit = f" {factor.unit}" if factor.unit else ""
        names = [shown(value) for value in (np.unique(values) if factor.is_number else values.unique())]
        if len(names) <= VALUES:
            yield factor.name, ", ".join(names) + unit
        elif factor.is_number:
            yield factor.name, f"{len(names):,} values from {values.min():.4g} to {values.max():.4g}{unit}"
        else:
            yield factor.name, f"{len(names):,} values: {', '.join(names[: VALUES - 1])}, …"


def _remarks(outcome: Outcome) -> Iterator[str]:
    """What a reader of the figures must know."""
    for name, value in outcome.constant.items():
        yield f"{name} is {value} in all finished runs, so nothing can be said of its effect."
    for first, second in together(outcome):
        yield f"{first} and {second} change together: these runs cannot tell their effects apart."
    empty = [name for name in outcome.batch.figures if name not in {figure.name for figure in outcome.figures}]
    if empty and outcome.good.any():
        yield f"No good run has the figure {', '.join(empty)}."
    untrusted = int((outcome.table["outcome"] == "untrusted").sum())
    if untrusted:
        yield f"{untrusted} runs cannot be trusted: they are drawn as crosses and counted nowhere."
    strange = int((outcome.table["to_look_at"].fillna(0) > 0).sum())
    if strange:
        yield (
            f"In {strange} of {len(outcome.table)} runs there is physics to look at, beyond what an engineer would "
            "expect: the column to_look_at counts it, and each run's verdict.json names it."
        )


def _cards(outcome: Outcome) -> Iterator[Card]:
    """What matters most, of what there is."""
    good, total = int(outcome.good.sum()), outcome.batch.description["runs"]
    yield Card("Good runs", f"{good:,}", f"of {total:,}", tables.outcomes_text(outcome), alarm=good < total)
    for figure in outcome.figures[:CARDS]:
        values = figure.values[outcome.counted(figure)]
        low, middle, high = responses.quantiles(values)
        note = f"5 to 95 %: {responses.number(low)} to {responses.number(high)}; {figure.title}"
        label = f"{figure.name}, median" if values.size > 1 else figure.name
        yield Card(label, responses.number(middle), figure.unit, note if values.size > 1 else figure.title)
    fresh = outcome.table[~outcome.table["cached"].astype(bool)]
    wall = float(np.nansum(fresh["seconds.wall"]))
    days = float(np.nansum(fresh["seconds.simulated"])) / 86400
    if wall > 0:
        note = f"{days:,.3g} simulated days; one run {responses.number(float(np.nanmedian(fresh['seconds.wall'])))} s"
        yield Card("Wall time of all runs", duration_text(wall), "", note)


def _made(outcome: Outcome) -> Iterator[tuple[str, Any]]:
    written = outcome.batch.description
    yield "Scenario", written["scenario"]
    yield "Hash of the plan", written["plan_sha256"]
    yield "Seed", written["seed"]
    cached = int(outcome.table["cached"].sum())
    if cached:
        yield "Taken from the cache", f"{cached:,} runs"
    memory = outcome.table["memory_mb"].max()
    if memory == memory:
        yield "Largest memory of a run", f"{memory:,.0f} MB"
    again = int((outcome.table["attempts"] > 1).sum())
    if again:
        yield "Started more than once", f"{again:,} runs whose process was lost"
