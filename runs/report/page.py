"""The report as one file: everything that it needs is inside, nothing is loaded from anywhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cosim.errors import MachineError
from cosim.results import REPORT
from cosim.simulation import Run
from cosim.units import format_duration
from runs.recorded import Recorded
from runs.report import feeder_figures, grid_figures, ride_through, style, window_figures
from runs.report.cards import cards
from runs.report.chart import Chart, View
from runs.report.ride_through import Table
from runs.summary import summarise_recorded, twin_called

HERE = Path(__file__).parent
WINDOW_SECTION = "Event window"


@dataclass(frozen=True)
class Section:
    """Figures under one heading, numbered through the page."""

    title: str
    charts: list[tuple[int, Chart]]
    tables: list[Table] = field(default_factory=list)


def write_report(run: Run, path: Path | None = None) -> Path:
    """Write the report of `run` beside its twin to `path`, by default into its folder.

    Raises ResultsError if the run cannot be read, MachineError if the file cannot be written.
    """
    recorded = Recorded(run)
    twin = None if run.baseline is None else Recorded(run.baseline)
    summary = summarise_recorded(recorded, twin)
    view = View(recorded, twin, summary, summary.names, twin_called(summary.names))
    return _write(view, view.summary.scenario, path or run.folder / REPORT)


def write_comparison_report(first: Run, second: Run, path: Path) -> Path:
    """Write the report of `second` to `path`, drawn over `first` in place of its own undisturbed twin.

    Raises ResultsError if a run cannot be read, MachineError if the file cannot be written.
    """
    ours, theirs = Recorded(second), Recorded(first)
    names = (f"first ({first.folder.name})", f"second ({second.folder.name})")
    name = f"run in {first.folder.name}"
    view = View(ours, theirs, summarise_recorded(ours, theirs, name), names, name)
    return _write(view, f"{second.folder.name} against {first.folder.name}", path)


def _write(view: View, heading: str, path: Path) -> Path:
    text = render(view, heading)
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise MachineError(f"cannot write {path}: {error.strerror}; choose another place with --out") from None
    return path


def render(view: View, heading: str) -> str:
    """The whole page."""
    import jinja2
    import yaml
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    sections = _sections(view)
    figures = [chart.figure() for section in sections for _, chart in section.charts]
    manifest = view.run.run.manifest
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )

    verdicts = [("This run", view.run.run.verdict)]
    if view.twin is not None:
        verdicts.append((f"The {view.twin_name}", view.twin.run.verdict))
    half = view.run.run.half_step
    if half is not None:
        verdicts.append(("The run at half the step", half.verdict))
    return environment.get_template("page.html").render(
        title=f"{heading} · cosim report",
        heading=heading,
        summary=view.summary,
        facts=_facts(view),
        verdicts=verdicts,
        clock=lambda time: view.clock(view.run.local(time)),
        cards=list(cards(view)),
        sections=sections,
        facts_table=list(_facts_table(manifest)),
        times=list(_times(manifest)),
        versions=list(manifest["versions"].items()),
        inputs=list(manifest["inputs_sha256"].items()),
        scenario=yaml.safe_dump(manifest["scenario"], sort_keys=False, allow_unicode=True, width=100),
        version=manifest["versions"]["cosim"],
        legend=f"{view.names[0].capitalize()} is grey, {view.names[1]} blue." if view.twin is not None else "",
        has_figures=bool(figures),
        css=Markup((HERE / "page.css").read_text(encoding="utf-8")),
        figures=script_json({"template": style.template(), "figures": figures}),
        plotly=Markup(get_plotlyjs()),
        script=Markup((HERE / "page.js").read_text(encoding="utf-8")),
    )


def script_json(value: Any) -> Any:
    """JSON that may stand inside a script element: no text in it can end the element."""
    from markupsafe import Markup
    from plotly.utils import PlotlyJSONEncoder

    text = json.dumps(value, cls=PlotlyJSONEncoder, separators=(",", ":"))
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))


def _sections(view: View) -> list[Section]:
    """The figures that this run has, in the order in which one asks."""
    parts = {
        WINDOW_SECTION: window_figures.event_window(view),
        "Feeders": feeder_figures.feeder_loads(view),
        "Homes and devices": feeder_figures.homes(view),
        "Weather": feeder_figures.weather(view),
        "Voltage along the feeders": feeder_figures.feeder_voltages(view),
        "Transmission": grid_figures.transmission(view),
        "Dispatch": grid_figures.dispatch(view),
        "Federates of your own": grid_figures.own_federates(view),
        "Communications": grid_figures.communications(view),
        "Coupling and computing": _coupling_and_time(view),
    }
    sections = []
    number = 0
    for title, charts in parts.items():
        drawn = list(enumerate(_in_full_rows([chart for chart in charts if chart.drawn]), start=number))
        number += len(drawn)
        tables = list(ride_through.verdicts(view)) if title == WINDOW_SECTION else []
        if drawn:
            sections.append(Section(title, drawn, tables))
    return sections


def _in_full_rows(charts: list[Chart]) -> list[Chart]:
    """Widen each chart that would stand alone in a row of two."""
    alone: Chart | None = None
    for chart in [*charts, None]:
        if chart is None or chart.wide:
            if alone is not None:
                alone.wide = True
            alone = None
        else:
            alone = chart if alone is None else None
    return charts


def _coupling_and_time(view: View) -> Iterator[Chart]:
    yield from grid_figures.boundary(view)
    yield from grid_figures.time_spent(view)


def _facts(view: View) -> str:
    summary = view.summary
    start = f"{summary.start:%A} {summary.start.day} {summary.start:%B %Y}, {summary.start:%H:%M}"
    duration = format_duration(round(summary.duration_s * 1e9))
    step = view.run.federation["step"]
    return f"From {start} (local standard time), {duration} in steps of {step}, seed {summary.seed}"


def _facts_table(manifest: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    timings, machine = manifest["timings"], manifest["machine"]
    yield "Digest of the results", manifest["digest"]
    yield "Hash of the scenario", manifest["scenario_sha256"]
    yield "Seed", manifest["seed"]
    yield "Start-up", f"{timings['startup_s']:.2f} s"
    yield "Simulation", f"{timings['simulation_s']:.2f} s"
    yield "Peak memory", f"{timings['peak_memory_MB']:,.0f} MB"
    yield "Machine", f"{machine['system']}, {machine['cores']} cores"


def _times(manifest: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Computing time and steps of each federate, the slowest first."""
    timings = manifest["timings"]
    wall = timings["simulation_s"]
    specs = {spec["name"]: spec for spec in manifest["federation"]["federates"]}
    for name, busy in sorted(timings["busy_s"].items(), key=lambda item: -item[1]):
        steps = timings["steps"].get(name, 0)
        yield {
            "name": name,
            "kind": Path(specs[name]["kind"]).name,
            "process": specs[name]["process"],
            "steps": steps,
            "busy": busy,
            "per_step": 1e3 * busy / max(steps, 1),
            "share": 100.0 * busy / wall if wall > 0 else 0.0,
        }
