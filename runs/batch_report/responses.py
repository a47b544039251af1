"""The figures of a batch's report: what matters most, each response to each parameter, distributions, computing."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosim.batch_dataset import quantiles_over_last
from runs.batch_report.factors import GROUP, Factor, Figure, Floats, Outcome, Strength, by_strength, strength
from runs.report import style
from runs.report.chart import Chart, plain

SHARES = (0.05, 0.5, 0.95)  #: the quantiles of every band
BANDS = "bands and bars hold 5 to 95 % of them, lines are medians"
IN_ROW = 4  #: panels side by side
PANEL = 230  #: [px] height of a row of panels
ENOUGH = 5  #: values that make quantiles worth drawing
FEW_VALUES = 3.0  #: from so many runs a value on, bands are drawn at the values themselves
SMOOTH = 40  #: from so many runs on, bands of sampled parameters are drawn over neighbouring runs
BINS = 12  #: at most so many parts of a sampled parameter's range
TICKS = 12  #: most values of a text that get a name on the axis
GOLDEN = (math.sqrt(5) - 1) / 2


def quantiles(values: Floats) -> Floats:
    """The quantiles SHARES of `values` (run,)."""
    return np.asarray(quantiles_over_last(values, SHARES), dtype=float)


def number(value: float, unit: str = "", digits: int = 4) -> str:
    """A figure's value for the eye."""
    digits += unit == "Hz"  # frequencies differ in the last ones
    text = f"{value:,.0f}" if 10**digits <= abs(value) < 1e9 else f"{value:,.{digits}g}"
    return text + (f" {unit}" if unit else "")


def axis_text(figure: Figure) -> str:
    """What an axis of a figure says."""
    return f"{figure.name} [{figure.unit or '1'}]"


def group_colours(outcome: Outcome) -> dict[str, str]:
    """A colour for each group; for all runs the same where there are none, or too many to tell apart."""
    if not 1 < len(outcome.groups) <= len(style.SERIES):
        return {}
    return dict(zip(outcome.groups, style.SERIES, strict=False))


# --------------------------------------------------------------------------------- what matters most


def what_matters(outcome: Outcome) -> Iterator[Chart]:
    """A map of the strengths: a row a figure, a column a factor."""
    rows = [
        [strength(factor, figure, outcome.counted(figure)) for factor in outcome.factors] for figure in outcome.figures
    ]
    if not rows or not outcome.factors or not any(np.isfinite(entry.value) for row in rows for entry in row):
        return
    chart = Chart("What goes with what", wide=True, height=110 + 34 * len(rows))
    chart.traces.append(_heatmap(outcome, rows))
    chart.layout |= {"hovermode": "closest", "margin": {"t": 14, "b": 60}}
    chart.layout["xaxis"] = {"showgrid": False, "tickangle": 0 if len(outcome.factors) <= 12 else -35}
    chart.layout["yaxis"] = {"autorange": "reversed", "showgrid": False}
    chart.note = _strongest(outcome, rows) + (
        "ρ is Spearman's rank correlation: +1 where the figure only rises with the parameter, -1 where it only falls; "
        "a response that rises and falls shows little of it. ε stands for values without an order (groups, texts, "
        "seeds): the root of the share of the ranks' variance between them, less what chance gives. Neither says "
        f"what causes what. {_chance(outcome)}– : it cannot be told from these runs."
    )
    yield chart


def _heatmap(outcome: Outcome, rows: list[list[Strength]]) -> Any:
    import plotly.graph_objects as go

    return go.Heatmap(
        z=[[entry.size if np.isfinite(entry.value) else None for entry in row] for row in rows],
        x=[plain(factor.name) for factor in outcome.factors],
        y=[plain(figure.name) for figure in outcome.figures],
        text=[[entry.text for entry in row] for row in rows],
        texttemplate="%{text}",
        colorscale=[[0, "#f6f8fa"], [1, "#4f9fd0"]],
        zmin=0,
        zmax=1,
        xgap=3,
        ygap=3,
        showscale=False,
        hovertemplate="%{y} with %{x}: %{text}<extra></extra>",
    )


def _chance(outcome: Outcome) -> str:
    """In words: how large a rank correlation is by chance, 1.96 of its standard deviations, 1 / sqrt(runs - 1)."""
    runs = int(outcome.good.sum())
    return f"In {runs:,} runs a ρ within ±{1.96 / math.sqrt(runs - 1):.2f} may be chance. " if runs >= 10 else ""


def _strongest(outcome: Outcome, rows: list[list[Strength]]) -> str:
    """In words: what each figure goes with most."""
    parts = []
    for figure, row in list(zip(outcome.figures, rows, strict=True))[:4]:
        best = max(range(len(row)), key=lambda position: row[position].size)
        if row[best].size >= 0.3:
            parts.append(f"{figure.name} goes most with {outcome.factors[best].name} ({row[best].text})")
    return "; ".join(parts) + ". " if parts else ""


# ------------------------------------------------------------------------------------------ responses


def responses(outcome: Outcome) -> Iterator[Chart]:
    """For each figure a row of panels, one for each factor, the strongest first."""
    from plotly.subplots import make_subplots

    colours = group_colours(outcome)
    for figure in outcome.figures:
        counted = outcome.counted(figure)
        panels = by_strength(outcome.factors, figure, counted)
        if counted.sum() < 2 or not panels:
            continue
        columns = min(IN_ROW, len(panels))
        rows = math.ceil(len(panels) / columns)
        height = 60 + (PANEL + 50) * rows
        grid = make_subplots(
            rows,
            columns,
            shared_yaxes="all",
            horizontal_spacing=0.025,
            vertical_spacing=min(0.3, 80 / height) if rows > 1 else 0,
        )
        for position, (factor, found) in enumerate(panels):
            row, column = position // columns + 1, position % columns + 1
            _panel(grid, row, column, outcome, factor, figure, colours)
            title = plain(factor.title) + ("" if found.text == "–" else f"  ·  {found.text}")
            grid.update_xaxes(title_text=title, row=row, col=column)
            if column == 1:
                grid.update_yaxes(title_text=plain(axis_text(figure)), row=row, col=column)
        chart = Chart(figure.name, wide=True, height=height)
        chart.traces = list(grid.data)
        chart.layout = grid.layout.to_plotly_json() | {"hovermode": "closest"}
        chart.layout.pop("template", None)
        for name, colour in (colours or {"a good run": style.DISTURBED}).items():
            chart.traces.append(_key(name, colour))
        if np.any(outcome.table["outcome"] == "untrusted"):
            chart.traces.append(_key("not to be trusted, not counted", style.LIMIT, symbol="x-thin-open"))
        chart.note = f"{figure.title}; {_spread(figure.values[counted], figure.unit)}. A dot is a run; {BANDS}."
        yield chart


def _key(name: str, colour: str, symbol: str = "circle") -> Any:
    import plotly.graph_objects as go

    marker = {"color": colour, "size": 8, "symbol": symbol}
    return go.Scatter(x=[None], y=[None], mode="markers", name=plain(name), marker=marker, hoverinfo="skip")


def _spread(values: Floats, unit: str) -> str:
    """In words: median and range."""
    if values.size < ENOUGH:
        return f"from {number(values.min())} to {number(values.max(), unit)} in {values.size} runs"
    low, middle, high = quantiles(values)
    return f"median {number(middle, unit)}, 5 to 95 % of {values.size} runs from {number(low)} to {number(high, unit)}"


def _panel(
    grid: Any, row: int, column: int, outcome: Outcome, factor: Factor, figure: Figure, colours: dict[str, str]
) -> None:
    """One factor: a dot a run, and the band."""
    counted = outcome.counted(figure)
    if factor.is_number and not factor.values[counted].isna().any():
        x = factor.values.to_numpy(dtype=float)
        if factor.nominal:
            _add_bars(grid, row, column, x[counted], figure.values[counted])
        elif (band := numeric_band(x[counted], figure.values[counted])) is not None:
            _add_band(grid, row, column, *band)
    else:
        codes, names = factor.codes(slice(None))
        x = codes + 0.5 * (np.modf(GOLDEN * np.arange(codes.size))[0] - 0.5)  # beside each other, not at random
        _add_bars(grid, row, column, codes[counted].astype(float), figure.values[counted])
        every = math.ceil(len(names) / TICKS)
        places = list(range(0, len(names), every))
        ticks = {"tickvals": places, "ticktext": [plain(names[place]) for place in places]}
        grid.update_xaxes(range=[-0.6, len(names) - 0.4], showgrid=False, row=row, col=column, **ticks)
    _add_dots(grid, row, column, outcome, x, figure, colours)


def numeric_band(x: Floats, y: Floats) -> tuple[Floats, Floats] | None:
    """Places (value,) and quantiles (value, 3) of `y` over `x`: at the values where several runs share one, else over
    neighbouring runs where there are many; None where there are too few.
    """
    values, inverse, counts = np.unique(x, return_inverse=True, return_counts=True)
    if x.size >= FEW_VALUES * values.size:
        there = np.flatnonzero(counts >= FEW_VALUES)
        if there.size < 2:
            return None
        return values[there], np.array([quantiles(y[inverse == place]) for place in there])
    if x.size < SMOOTH:
        return None
    parts = np.array_split(np.argsort(x, kind="stable"), min(BINS, x.size // 10))
    return np.array([np.median(x[part]) for part in parts]), np.array([quantiles(y[part]) for part in parts])


def _add_band(grid: Any, row: int, column: int, x: Floats, band: Floats) -> None:
    import plotly.graph_objects as go

    plain_line = {"x": x, "mode": "lines", "showlegend": False, "hoverinfo": "skip"}
    grid.add_trace(go.Scatter(y=band[:, 0], line={"width": 0}, **plain_line), row, column)
    fill = {"fill": "tonexty", "fillcolor": style.faded(style.BASELINE, 0.22), "line": {"width": 0}}
    grid.add_trace(go.Scatter(y=band[:, 2], **plain_line, **fill), row, column)
    grid.add_trace(go.Scatter(y=band[:, 1], line={"color": style.INK, "width": 1.6}, **plain_line), row, column)


def _add_bars(grid: Any, row: int, column: int, x: Floats, y: Floats) -> None:
    """For each place of a value without order its quantiles, as a mark with a bar."""
    import plotly.graph_objects as go

    found = {place: quantiles(y[x == place]) for place in np.unique(x) if (x == place).sum() >= FEW_VALUES}
    if not found:
        return
    band = np.array(list(found.values()))
    error = {
        "type": "data",
        "symmetric": False,
        "array": band[:, 2] - band[:, 1],
        "arrayminus": band[:, 1] - band[:, 0],
        "color": style.INK,
        "thickness": 1.4,
        "width": 5,
    }
    marker = {
        "symbol": "line-ew-open",
        "size": max(8, min(18, 200 // len(found))),
        "color": style.INK,
        "line": {"width": 2.2},
    }
    grid.add_trace(
        go.Scatter(
            x=list(found),
            y=band[:, 1],
            mode="markers",
            error_y=error,
            marker=marker,
            showlegend=False,
            hovertemplate="median %{y:.4~g}<extra></extra>",
        ),
        row,
        column,
    )


def _add_dots(
    grid: Any, row: int, column: int, outcome: Outcome, x: Floats, figure: Figure, colours: dict[str, str]
) -> None:
    import plotly.graph_objects as go

    counted = outcome.counted(figure)
    runs = outcome.table["run"].to_numpy()
    untrusted = (outcome.table["outcome"] == "untrusted").to_numpy() & np.isfinite(figure.values)
    parts = {colour: counted & (outcome.table[GROUP] == name).to_numpy() for name, colour in colours.items()}
    for colour, chosen in (parts or {style.DISTURBED: counted}).items():
        marker = {"size": 5, "color": colour, "opacity": 0.75 if counted.sum() <= 100 else 0.4}
        grid.add_trace(_dots(go, x, figure, runs, chosen, marker), row, column)
    if untrusted.any():
        cross = {"size": 7, "symbol": "x-thin-open", "color": style.LIMIT, "line": {"width": 1.6}}
        grid.add_trace(_dots(go, x, figure, runs, untrusted, cross), row, column)


def _dots(go: Any, x: Floats, figure: Figure, runs: Any, chosen: NDArray[np.bool_], marker: dict[str, Any]) -> Any:
    return go.Scatter(
        x=x[chosen].astype(np.float32),
        y=figure.values[chosen].astype(np.float32),
        text=list(runs[chosen]),
        mode="markers",
        marker=marker,
        showlegend=False,
        hovertemplate="run %{text}: %{y:.4~g}<extra></extra>",
    )


# -------------------------------------------------------------------------------------- distributions


def distributions(outcome: Outcome) -> Iterator[Chart]:
    """A histogram of each figure, its groups stacked."""
    colours = group_colours(outcome)
    group = outcome.table[GROUP].to_numpy()
    for figure in outcome.figures:
        counted = outcome.counted(figure)
        values = figure.values[counted]
        if values.size < ENOUGH or np.ptp(values) <= 1e-9 * np.abs(values).max():
            continue
        edges = np.histogram_bin_edges(values, bins=min(40, 2 * math.ceil(math.sqrt(values.size))))
        chart = Chart(figure.name, height=260)
        for name, colour in (colours or {"": style.DISTURBED}).items():
            chosen = figure.values[counted & (group == name)] if colours else values
            chart.bar(
                x=(edges[:-1] + edges[1:]) / 2,
                y=np.histogram(chosen, edges)[0],
                width=np.diff(edges),
                name=plain(name),
                showlegend=bool(name),
                marker={"color": colour, "line": {"width": 0.6, "color": "white"}},
                hovertemplate="%{y} runs" + ("" if name else "<extra></extra>"),
            )
        chart.layout |= {"barmode": "stack", "bargap": 0}
        chart.layout["xaxis"] = {"title": {"text": plain(axis_text(figure))}}
        chart.axes("runs [1]", rangemode="tozero")
        for value, text in zip(quantiles(values), ("5 %", "median", "95 %"), strict=True):
            _mark(chart, float(value), text)
        chart.note = f"{figure.title}; {_spread(values, figure.unit)}."
        yield chart


def _mark(chart: Chart, x: float, text: str) -> None:
    """A line from the axis up, with its name at its end."""
    line = {"color": style.INK, "width": 1.2, "dash": "dot"}
    chart.shapes.append({"type": "line", "x0": x, "x1": x, "yref": "paper", "y0": 0, "y1": 1, "line": line})
    chart.annotations.append(
        {
            "text": text,
            "x": x,
            "y": 1,
            "yref": "paper",
            "yanchor": "top",
            "xanchor": "left",
            "showarrow": False,
            "bgcolor": "rgba(255, 255, 255, 0.75)",
            "borderpad": 1,
            "font": {"size": 11, "color": style.MUTED},
        }
    )


# ------------------------------------------------------------------------------------------- computing


def computing(outcome: Outcome) -> Iterator[Chart]:
    """What each run took, in their order."""
    table = outcome.table[~outcome.table["cached"].astype(bool)]
    parts = (
        ("Wall time of each run", "seconds.wall", "wall time [s]"),
        ("Memory of each run", "memory_mb", "memory [MB]"),
    )
    for title, column, axis in parts:
        values = table[column].to_numpy(dtype=float)
        there = np.isfinite(values)
        if there.sum() < 2:
            continue
        chart = Chart(title, height=240)
        for name, wanted, colour in (("good", True, style.DISTURBED), ("not good", False, style.LIMIT)):
            chosen = there & ((table["outcome"] == "good").to_numpy() == wanted)
            if chosen.any():
                chart.add(
                    x=table["number"].to_numpy()[chosen],
                    y=values[chosen].astype(np.float32),
                    text=list(table["run"].to_numpy()[chosen]),
                    mode="markers",
                    name=name,
                    marker={"size": 5, "color": colour, "opacity": 0.7},
                    hovertemplate="run %{text}: %{y:.4~g}<extra></extra>",
                )
        chart.layout |= {"hovermode": "closest", "xaxis": {"title": {"text": "run, by its number"}}}
        chart.axes(axis, rangemode="tozero")
        low, middle, high = quantiles(values[there])
        slowest = table["run"].to_numpy()[there][int(values[there].argmax())]
        unit = "s" if column.startswith("seconds") else "MB"
        chart.note = (
            f"Median {number(middle, unit)}, 5 to 95 % from {number(low)} to {number(high, unit)}; "
            f"most: run {slowest} with {number(float(values[there].max()), unit)}."
        )
        yield chart
