"""One figure of the report: a Plotly chart over local time, with what all of them have in common.

The run is drawn strong over its undisturbed twin in grey; times at which a perturbation acts are shaded.
"""

from __future__ import annotations

import html
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

import numpy as np

from runs.recorded import Floats, Recorded, Times, Variable
from runs.report import style
from runs.report.series import compact, coordinates, thin, thin_band
from runs.summary import Extreme, Summary, clock_text

HOUR_MS = 3.6e6


@dataclass(frozen=True)
class View:
    """What the figures are made from: a run, the run to hold it against, and the figures of both."""

    run: Recorded
    twin: Recorded | None
    summary: Summary
    names: tuple[str, str] = ("undisturbed", "disturbed")  #: how the legend calls the twin and the run
    twin_name: str = "undisturbed twin"

    @property
    def start_ms(self) -> float:
        """The start as Plotly counts [ms since 1970]; its axes show what they get, so local time stays local."""
        return self.run.start.replace(tzinfo=UTC).timestamp() * 1e3

    @property
    def duration(self) -> timedelta:
        return timedelta(seconds=self.summary.duration_s)

    @cached_property
    def axis_title(self) -> str:
        start = self.run.start
        last = start + self.duration - timedelta(microseconds=1)
        first_day, last_day = f"{start.day} {start:%B %Y}", f"{last.day} {last:%B %Y}"
        return f"local standard time, {first_day}" + ("" if first_day == last_day else f" to {last_day}")

    @property
    def run_name(self) -> str:
        """How the legend calls the run; without a twin it needs no name."""
        return self.names[1] if self.twin is not None else ""

    def other(self, variable: Variable) -> Variable | None:
        """The twin's counterpart of a variable, if there is one over the same elements."""
        found = None if self.twin is None else self.twin.get(variable.group, variable.name)
        return found if found is not None and found.labels == variable.labels and found.times.size else None

    def clock(self, time: datetime) -> str:
        """A time of day, with the day where the run spans several."""
        return clock_text(time, self.run.start, self.duration)

    def at(self, extreme: Extreme, digits: str, unit: str, noun: str) -> str:
        """A value with its place, such as the `noun` bus, and time."""
        where = f" at {noun} {extreme.where}" if extreme.where else ""
        return f"{extreme.value:{digits}} {unit}{where}, {self.clock(extreme.time)}"


@dataclass
class Chart:
    """A figure with its heading and a sentence that says what it shows in numbers."""

    title: str
    note: str = ""
    wide: bool = False
    height: int = 300  #: [px]
    traces: list[Any] = field(default_factory=list)
    layout: dict[str, Any] = field(default_factory=dict)
    shapes: list[dict[str, Any]] = field(default_factory=list)
    annotations: list[dict[str, Any]] = field(default_factory=list)

    @property
    def drawn(self) -> bool:
        return bool(self.traces)

    def figure(self) -> dict[str, Any]:
        """The data and layout for Plotly, checked against its schema."""
        import plotly.graph_objects as go

        if not any(trace.showlegend is not False and trace.name for trace in self.traces):
            self.layout = {"showlegend": False, "margin": {"t": 14}} | self.layout
        layout = self.layout | {"height": self.height, "shapes": self.shapes, "annotations": self.annotations}
        found: dict[str, Any] = go.Figure(self.traces, layout).to_dict()
        found["layout"].pop("template", None)
        return found

    def add(self, **trace: Any) -> None:
        """A line, or what else a scatter trace can be."""
        self.traces.append(_graph_objects().Scatter(**({"mode": "lines"} | trace)))

    def key(self, name: str, colour: str) -> None:
        """An entry of the legend that stands for several traces."""
        self.add(x=[None], y=[None], name=name, legendgroup=name, line={"color": colour, "width": 2}, hoverinfo="skip")

    def bar(self, **trace: Any) -> None:
        """Bars."""
        self.traces.append(_graph_objects().Bar(**trace))

    def axes(self, unit: str, **more: Any) -> None:
        """What the vertical axis shows, with its unit in brackets, or just the unit."""
        self.layout["yaxis"] = {"title": {"text": plain(unit)}} | more


def _graph_objects() -> Any:
    import plotly.graph_objects as go

    return go


def plain(text: str) -> str:
    """Text of a user, without the markup that Plotly would read in it."""
    return html.escape(text, quote=False)


def time_chart(view: View, title: str, unit: str, **options: Any) -> Chart:
    """An empty chart over the run's time, with the perturbations' times shaded."""
    chart = Chart(title, **options)
    end_ms = view.start_ms + view.summary.speed.simulated_s * 1e3  # a failed run is drawn as far as it got
    axis: dict[str, Any] = {
        "type": "date",
        "range": [view.start_ms, end_ms],
        "title": {"text": view.axis_title},
        "hoverformat": "%H:%M, %-d %b",
    }
    shown = (end_ms - view.start_ms) / HOUR_MS
    if 0.5 <= shown <= 26:
        hours = next(h for h in (0.25, 0.5, 1, 2, 3) if h == 3 or shown <= 8 * h)
        axis |= {"tickformat": "%H:%M", "dtick": hours * HOUR_MS, "tick0": "2000-01-01"}
    chart.layout["xaxis"] = axis
    chart.axes(unit)
    _shade(chart, view, end_ms)
    return chart


def _shade(chart: Chart, view: View, end_ms: float) -> None:
    """Shade the times at which each perturbation acts, and name them along the upper edge."""
    row = 0
    for perturbation in view.summary.perturbations:
        for spell in perturbation.spells:
            first = spell.onset.replace(tzinfo=UTC).timestamp() * 1e3
            last = end_ms if spell.end is None else spell.end.replace(tzinfo=UTC).timestamp() * 1e3
            chart.shapes.append(
                {
                    "type": "rect",
                    "xref": "x",
                    "yref": "paper",
                    "x0": first,
                    "x1": last,
                    "y0": 0,
                    "y1": 1,
                    "fillcolor": style.WINDOW,
                    "line": {"width": 0},
                    "layer": "below",
                }
            )
        if perturbation.spells and row < 3:
            first = perturbation.spells[0].onset.replace(tzinfo=UTC).timestamp() * 1e3
            late = first > 0.8 * end_ms + 0.2 * view.start_ms
            chart.annotations.append(
                {
                    "text": plain(perturbation.name),
                    "x": first,
                    "y": 1,
                    "yref": "paper",
                    "xanchor": "right" if late else "left",
                    "yanchor": "top",
                    "yshift": -14 * row,
                    "showarrow": False,
                    "bgcolor": "rgba(255, 255, 255, 0.6)",
                    "borderpad": 1,
                    "font": {"size": 11, "color": style.WINDOW_TEXT},
                }
            )
            row += 1


def add_line(chart: Chart, view: View, times: Times, values: Floats, name: str, **line: Any) -> None:
    """A line over time; `step=True` for values that hold until the next."""
    shape = "hv" if line.pop("step", False) else "linear"
    if shape == "hv":
        times, values = _held(times, values)
    thinned, kept = thin(times, values)
    chart.add(
        **coordinates(thinned, view.start_ms),
        y=compact(kept),
        name=plain(name),
        line={"width": 2, "shape": shape} | line,
        showlegend=bool(name),
        hovertemplate="%{y:.4~g}" + ("" if name else "<extra></extra>"),
    )


def add_band(
    chart: Chart,
    view: View,
    times: Times,
    band: Floats,
    name: str,
    parts: tuple[str, str, str],
    colour: str,
    *,
    step: bool = False,
) -> None:
    """A shaded band (time, 3) with its middle as a line, one entry `name` in the legend; hovering shows `parts`."""
    shape = "hv" if step else "linear"
    if step:
        times, band = _held(times, band)
    thinned, *curves = thin_band(times, *band.T)
    line = {"width": 0, "shape": shape, "color": colour}
    low, middle, high = (
        {
            **coordinates(thinned, view.start_ms),
            "y": compact(values),
            "name": plain(part),
            "legendgroup": plain(name),
            "showlegend": False,
            "line": line,
            "hovertemplate": "%{y:.4~g}",
        }
        for values, part in zip(curves, parts, strict=True)
    )
    chart.add(**low)
    chart.add(**high | {"fill": "tonexty", "fillcolor": style.faded(colour, 0.2)})
    chart.add(**middle | {"line": line | {"width": 2}})
    chart.key(plain(name), colour)


def _held(times: Times, values: Floats) -> tuple[Times, Floats]:
    """With the last value held for one more interval."""
    if times.size < 2:
        return times, values
    return np.append(times, 2 * times[-1] - times[-2]), np.concatenate([values, values[-1:]])


def add_limit(chart: Chart, value: float, text: str, *, above: bool = True) -> None:
    """A dashed line across the chart with its name at the right end."""
    chart.shapes.append(
        {
            "type": "line",
            "xref": "paper",
            "x0": 0,
            "x1": 1,
            "y0": value,
            "y1": value,
            "line": {"color": style.LIMIT, "width": 1.5, "dash": "dash"},
        }
    )
    chart.annotations.append(
        {
            "text": plain(text),
            "xref": "paper",
            "x": 1,
            "y": value,
            "xanchor": "right",
            "yanchor": "bottom" if above else "top",
            "showarrow": False,
            "bgcolor": "rgba(255, 255, 255, 0.7)",
            "borderpad": 1,
            "font": {"size": 11, "color": style.LIMIT},
        }
    )


def span(*values: Floats | float) -> list[float]:
    """A range of an axis that holds all values, with room above them for a word."""
    flat = np.concatenate([np.ravel(value) for value in values])
    low, high = float(flat.min()), float(flat.max())
    room = high - low or abs(high) or 1.0
    return [low - 0.1 * room, high + 0.16 * room]
