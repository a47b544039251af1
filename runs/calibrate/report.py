"""The calibration's report: one file, everything inside; looks like the report of a run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cosim.calibrated import Parameter, Score
from runs.calibrate.run import Calibration
from runs.calibrate.split import FIT
from runs.report import page, style
from runs.report.cards import Card

HERE = Path(__file__).parent
SECTIONS = ("Held-out events", "Measured against simulated", "Residuals")  #: first, in this order; others after
LISTED = 8  #: entries of a parameter's list that the table shows


@dataclass(frozen=True)
class ParameterRow:
    """A parameter as the table shows it."""

    name: str
    value: str
    interval: str
    identified: bool
    note: str


def write_report(done: Calibration, path: Path) -> Path:
    """Write the page. Raises OSError."""
    path.write_text(render(done), encoding="utf-8")
    return path


def render(done: Calibration) -> str:
    """The whole page."""
    import jinja2
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    made = done.parameters.provenance
    sections, figures = _sections(done)
    folder = Path(page.__file__).parent
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("page.html").render(
        title=f"{done.parameters.name} · cosim calibration",
        calibration=done.parameters,
        made=made,
        cards=list(_cards(made.scores)),
        sections=sections,
        names=list(dict.fromkeys(name for score in made.scores for name in score.baselines)),
        rows=[_row(name, parameter) for name, parameter in done.parameters.parameters.items()],
        facts=dict(done.outcome.facts),
        seconds=f"{done.seconds:.1f}",
        css=Markup((folder / "page.css").read_text(encoding="utf-8")),
        figures=page.script_json({"template": style.template(), "figures": figures}),
        plotly=Markup(get_plotlyjs()),
        script=Markup((folder / "page.js").read_text(encoding="utf-8")),
    )


def _sections(done: Calibration) -> tuple[list[tuple[str, list[Any]]], list[dict[str, Any]]]:
    """The figures by section, numbered through the page, and what plotly draws."""
    known = list(dict.fromkeys([*SECTIONS, *(figure.section for figure in done.figures)]))
    sections: list[tuple[str, list[Any]]] = []
    drawn: list[dict[str, Any]] = []
    for title in known:
        own = [figure for figure in done.figures if figure.section == title]
        if own:
            sections.append((title, list(enumerate(own, start=len(drawn)))))
            drawn += [{"data": list(figure.data), "layout": dict(figure.layout)} for figure in own]
    return sections, drawn


def _cards(scores: Sequence[Score]) -> Iterator[Card]:
    """The first score of each quantity on each part that the fit has not seen."""
    seen: set[tuple[str, str]] = set()
    for score in scores:
        key = (score.part, score.quantity)
        if score.part.endswith(FIT) or key in seen or not score.baselines:
            continue
        seen.add(key)
        best = min(score.baselines, key=lambda name: abs(score.baselines[name]))
        note = f"{score.score}; best baseline ({best}) {score.baselines[best]:.3g} {score.unit}"
        worse = abs(score.value) > abs(score.baselines[best])
        yield Card(f"{score.quantity}: {score.part}", f"{score.value:.3g}", score.unit, note, alarm=worse)


def _row(name: str, parameter: Parameter) -> ParameterRow:
    interval = ""
    if parameter.interval is not None:
        low, high = parameter.interval
        interval = f"{_text(low)} to {_text(high)}" if isinstance(low, float) else "each, see parameters.yaml"
    return ParameterRow(
        name,
        _text(parameter.value) + (f" {parameter.unit}" if parameter.unit != "1" else ""),
        interval,
        parameter.identified,
        parameter.note,
    )


def _text(value: Any) -> str:
    if not isinstance(value, tuple):
        return f"{value:.5g}"
    shown = ", ".join(_text(item) for item in value[:LISTED])
    return f"[{shown}{f', and {len(value) - LISTED} more' if len(value) > LISTED else ''}]"
