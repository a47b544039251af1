"""Each figure over every combination of two or three parameters: maps, a colour and a number a combination."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from runs.batch_report.factors import Factor, Figure, Floats, Outcome
from runs.batch_report.responses import axis_text, number
from runs.report.chart import Chart, plain

MOST_VALUES = 16  #: of a parameter
MOST_MAPS = 6  #: side by side
FEWEST = 2  #: parameters, and values of each

#: From light to dark, the same for every kind of sight and in grey.
COLOURS = [[0, "#f7f7f7"], [0.35, "#f5c98f"], [0.7, "#d9711f"], [1, "#7f2704"]]


def maps(outcome: Outcome) -> Iterator[Chart]:
    """A row of maps for each figure, where the runs are a full grid of two or three parameters.

    The first parameter goes up, the second across; a third has a map for each value. Draws that differ in their seed
    alone are averaged.
    """
    factors = [factor for factor in outcome.factors if not factor.is_seed]
    codes = [factor.codes(slice(None)) for factor in factors]
    sizes = [len(names) for _, names in codes]
    if not FEWEST <= len(factors) <= 3 or max(sizes) > MOST_VALUES or (len(sizes) == 3 and sizes[2] > MOST_MAPS):
        return
    cells = np.ravel_multi_index([code for code, _ in codes], sizes)
    if np.unique(cells).size < np.prod(sizes):
        return  # no full grid
    names = [found for _, found in codes]
    for figure in outcome.figures:
        yield _figure(factors, names, figure, _means(cells, figure, outcome.counted(figure), sizes))


def _means(cells: NDArray[np.intp], figure: Figure, counted: NDArray[np.bool_], sizes: list[int]) -> Floats:
    """The mean (*values of each parameter) of the good runs of each combination; NaN where there is none."""
    total = int(np.prod(sizes))
    runs = np.bincount(cells[counted], minlength=total)
    sums = np.bincount(cells[counted], weights=figure.values[counted], minlength=total)
    means = np.divide(sums, runs, out=np.full(total, np.nan), where=runs > 0)
    return np.asarray(means.reshape(sizes))


def _figure(factors: list[Factor], names: list[list[str]], figure: Figure, means: Floats) -> Chart:
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    least = figure.title.startswith("lowest")  # there the lowest is what is looked for
    facets = names[2] if len(names) == 3 else [""]
    titles = [f"{plain(factors[2].title)}: {plain(name)}" for name in facets] if len(names) == 3 else None
    grid = make_subplots(1, len(facets), shared_yaxes=True, horizontal_spacing=0.015, subplot_titles=titles)
    shown = means[..., None] if means.ndim == 2 else means
    for column in range(len(facets)):
        values = shown[:, :, column]
        grid.add_trace(
            go.Heatmap(
                z=[[None if np.isnan(value) else float(value) for value in row] for row in values],
                x=[plain(name) for name in names[1]],
                y=[plain(name) for name in names[0]],
                text=[["–" if np.isnan(value) else number(float(value), digits=3) for value in row] for row in values],
                texttemplate="%{text}",
                coloraxis="coloraxis",
                xgap=2,
                ygap=2,
                hovertemplate=f"{plain(factors[0].name)} %{{y}}, {plain(factors[1].name)} %{{x}}: %{{text}}"
                f" {plain(figure.unit)}<extra></extra>",
            ),
            1,
            column + 1,
        )
    grid.update_xaxes(type="category", showgrid=False, title_text=plain(factors[1].title))
    grid.update_yaxes(type="category", showgrid=False, autorange="reversed")
    grid.update_yaxes(title_text=plain(factors[0].title), col=1)
    chart = Chart(f"Map of {figure.name}", wide=True, height=150 + 34 * len(names[0]))
    chart.traces = list(grid.data)
    chart.annotations = [annotation.to_plotly_json() | {"font": {"size": 12}} for annotation in grid.layout.annotations]
    chart.layout = grid.layout.to_plotly_json() | {
        "hovermode": "closest",
        "margin": {"t": 34 if len(names) == 3 else 14},
        "coloraxis": {
            "colorscale": COLOURS,
            "reversescale": least,
            "colorbar": {"title": {"text": plain(axis_text(figure).removeprefix(figure.name).strip())}},
        },
    }
    chart.layout.pop("template", None)
    chart.layout.pop("annotations", None)
    where = np.unravel_index(int(np.nanargmin(means) if least else np.nanargmax(means)), means.shape)
    at = ", ".join(f"{f.name} {name[k]} {f.unit}".strip() for f, name, k in zip(factors, names, where, strict=True))
    end = "lowest" if least else "highest"
    chart.note = f"{figure.title}; {end} {number(float(means[where]), figure.unit)} with {at}."
    return chart
