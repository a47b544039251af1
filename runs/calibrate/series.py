"""Scoring and drawing a predicted series: for every target that predicts a load over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from cosim.calibrated import Criterion, Score
from runs.calibrate.split import FIT, HELD_OUT, Split
from runs.calibrate.target import Figure, Flags, Floats, Table
from runs.report import style
from runs.report.series import compact, thin
from solvers import scores

Scale = Literal["building", "distribution network", "system"]

#: Hourly criteria: ASHRAE Guideline 14-2014, 5.2.11.3.2; IPMVP as commonly cited (its volume I gives 20 % for hourly
#: models). Both were written for one building.
CRITERIA = {
    "CV(RMSE)": (("ASHRAE Guideline 14", 30.0), ("IPMVP", 20.0)),
    "NMBE": (("ASHRAE Guideline 14", 10.0),),
}
BINS, LEAST_IN_BIN = 24, 5  #: of residuals over temperature and hour
RESIDUALS = "Residuals"  #: the section of the report
WRITTEN_FOR = "one building, hourly"


def criteria(score: str, value: float, scale: Scale) -> tuple[Criterion, ...]:
    """The published limits of a score; for larger loads than a building they are shown and do not apply."""
    return tuple(
        Criterion(name=name, limit=limit, scale=WRITTEN_FOR, applies=scale == "building", met=abs(value) <= limit)
        for name, limit in CRITERIA.get(score, ())
    )


def parts_of(split: Split, table: Table, used: Flags) -> dict[str, Flags]:
    """The rows (n) of the fit (as far as `used`), of what is held out, and of each event."""
    days = table.days
    return {
        FIT: split.fit_days(days) & used,
        HELD_OUT: split.held_out_days(days),
        **{name: split.event_days(name, days) for name in split.events},
    }


def score_series(
    quantity: str,
    measured: Floats,
    predicted: Floats,
    baselines: Mapping[str, Floats],
    parts: Mapping[str, Flags],
    scale: Scale,
    label: str = "",
) -> list[Score]:
    """Every score of `predicted` (n) and of each baseline (n) on each part; all on the same rows.

    Rows count where the measured and every predicted series are numbers. `label` goes before the name of the part.
    """
    found = []
    for part, rows in parts.items():
        common = rows & scores.comparable(measured, predicted)
        for series in baselines.values():
            common &= np.isfinite(series)
        if not common.any():
            continue
        for name, function in scores.SCORES.items():
            value = function(measured[common], predicted[common])
            found.append(
                Score(
                    part=f"{label}{part}",
                    quantity=quantity,
                    score=name,
                    value=_rounded(value),
                    baselines={key: _rounded(function(measured[common], x[common])) for key, x in baselines.items()},
                    criteria=criteria(name, value, scale),
                )
            )
    return found


def _rounded(value: float) -> float:
    return float(f"{value:.5g}")


def series_figures(
    quantity: str,
    unit: str,
    table: Table,
    measured: Floats,
    predicted: Floats,
    baseline: tuple[str, Floats],
    parts: Mapping[str, Flags],
    temperature: Floats | None,
) -> list[Figure]:
    """Measured against simulated: events large, what was held out, and the residuals over temperature and hour."""
    figures = []
    events = {name: rows for name, rows in parts.items() if name not in (FIT, HELD_OUT)}
    held_out = parts[HELD_OUT]
    if not events:
        events = {"the held-out days with the highest load": _around_peak(table, measured, held_out)}
    for name, rows in events.items():
        lines = [
            _line(table, series, rows, text, colour, dash)
            for series, text, colour, dash in (
                (baseline[1], baseline[0], style.BASELINE, "dot"),
                (measured, "measured", style.INK, "solid"),
                (predicted, "simulated", style.DISTURBED, "solid"),
            )
        ]
        figures.append(
            Figure(
                f"{quantity}: {name}",
                f"Held out: the fit never saw these days. {_errors(measured, predicted, baseline, rows)}",
                lines,
                _axes("local wall clock", f"{quantity} [{unit}]"),
                section="Held-out events",
                wide=True,
                height=460,
            )
        )
    daily = [
        _daily(table, series, held_out, text, colour)
        for series, text, colour in ((measured, "measured", style.INK), (predicted, "simulated", style.DISTURBED))
    ]
    figures.append(
        Figure(
            f"{quantity}: daily mean and peak, held out",
            "Lines: means; dots: the day's highest.",
            [trace for pair in daily for trace in pair],
            _axes("", f"{quantity} [{unit}]"),
            wide=True,
        )
    )
    residual = 100 * (predicted / measured - 1)
    hours = (table.wall - table.days).astype("timedelta64[s]").astype(float) / 3600
    axes = [("hour of the day [h]", hours)]
    if temperature is not None:
        axes.insert(0, ("temperature [°C]", temperature))
    for title, x in axes:
        figures.append(_residuals(quantity, title, x, residual, held_out))
    figures.append(_scatter(quantity, unit, measured, predicted, held_out))
    return figures


def _around_peak(table: Table, measured: Floats, rows: Flags) -> Flags:
    """The seven held-out days around the highest load."""
    peak = table.days[int(np.nanargmax(np.where(rows, measured, -np.inf)))]
    return np.asarray(rows & (table.days >= peak - 3) & (table.days <= peak + 3))


def _errors(measured: Floats, predicted: Floats, baseline: tuple[str, Floats], rows: Flags) -> str:
    """The scores on `rows` (n) in words."""
    known = rows & scores.comparable(measured, predicted)
    told = [f"{name} {function(measured[known], predicted[known]):.1f} %" for name, function in scores.SCORES.items()]
    known &= np.isfinite(baseline[1])
    if known.any():
        told.append(f"CV(RMSE) of {baseline[0]} {scores.cv_rmse(measured[known], baseline[1][known]):.1f} %")
    return "; ".join(told) + "."


def _axes(x: str, y: str) -> dict[str, Any]:
    return {"xaxis": {"title": {"text": x}}, "yaxis": {"title": {"text": y}}}


def _line(table: Table, series: Floats, rows: Flags, name: str, colour: str, dash: str) -> dict[str, Any]:
    times = table.wall[rows].astype("datetime64[s]").astype(np.int64) * 10**9
    kept, values = (
        thin(times, np.nan_to_num(series[rows], nan=0.0)) if np.isfinite(series[rows]).all() else (times, series[rows])
    )
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": [_text(t) for t in kept],
        "y": compact(values),
        "line": {"color": colour, "dash": dash, "width": 1.6},
    }


def _text(nanoseconds: int) -> str:
    return str(np.datetime64(int(nanoseconds) // 10**9, "s")).replace("T", " ")


def _daily(table: Table, series: Floats, rows: Flags, name: str, colour: str) -> list[dict[str, Any]]:
    known = rows & np.isfinite(series)
    days, position = np.unique(table.days[known], return_inverse=True)
    means = np.bincount(position, series[known]) / np.bincount(position)
    peaks = np.full(len(days), -np.inf)
    np.maximum.at(peaks, position, series[known])
    gaps = np.flatnonzero(np.diff(days) > np.timedelta64(1, "D")) + 1  # no line where nothing was held out
    days, means, peaks = (
        np.insert(each, gaps, none) for each, none in ((days, "NaT"), (means, np.nan), (peaks, np.nan))
    )
    x = [None if np.isnat(day) else str(day) for day in days]
    return [
        {
            "type": "scatter",
            "mode": "lines",
            "name": f"{name}, mean",
            "x": x,
            "y": compact(means),
            "line": {"color": colour, "width": 1.4},
        },
        {
            "type": "scatter",
            "mode": "markers",
            "name": f"{name}, peak",
            "x": x,
            "y": compact(peaks),
            "marker": {"color": colour, "size": 4},
        },
    ]


def _residuals(quantity: str, title: str, x: Floats, residual: Floats, rows: Flags) -> Figure:
    """Median and quartiles of the residuals over bins of `x`, of equal width so that the ends are seen."""
    known = rows & np.isfinite(residual) & np.isfinite(x)
    edges = np.linspace(x[known].min(), x[known].max(), BINS + 1)
    bins = np.clip(np.searchsorted(edges, x[known], side="right") - 1, 0, BINS - 1)
    centres, bands = [], []
    for number in range(BINS):
        own = bins == number
        if own.sum() >= LEAST_IN_BIN:
            centres.append(float(np.median(x[known][own])))
            bands.append(np.percentile(residual[known][own], [5, 25, 50, 75, 95]))
    if not bands:
        centres, bands = [float(np.median(x[known]))], [np.percentile(residual[known], [5, 25, 50, 75, 95])]
    low, quarter, middle, three, high = np.array(bands).T
    band = {"type": "scatter", "mode": "lines", "line": {"width": 0}, "x": centres, "hoverinfo": "skip"}
    traces = [
        {**band, "y": compact(low), "showlegend": False},
        {
            **band,
            "y": compact(high),
            "fill": "tonexty",
            "fillcolor": style.faded(style.DISTURBED, 0.12),
            "name": "90 %",
        },
        {**band, "y": compact(quarter), "showlegend": False},
        {
            **band,
            "y": compact(three),
            "fill": "tonexty",
            "fillcolor": style.faded(style.DISTURBED, 0.25),
            "name": "50 %",
        },
        {
            "type": "scatter",
            "mode": "lines+markers",
            "name": "median",
            "x": centres,
            "y": compact(middle),
            "line": {"color": style.DISTURBED},
        },
    ]
    return Figure(
        f"{quantity}: residuals over {title.split(' [')[0]}",
        "Held out; simulated over measured, less one.",
        traces,
        _axes(title, "residual [%]"),
        section=RESIDUALS,
    )


def _scatter(quantity: str, unit: str, measured: Floats, predicted: Floats, rows: Flags) -> Figure:
    known = np.flatnonzero(rows & np.isfinite(measured) & np.isfinite(predicted))
    shown = known[:: max(1, len(known) // 2500)]
    ends = [float(measured[known].min()), float(measured[known].max())]
    traces: Sequence[dict[str, Any]] = [
        {
            "type": "scattergl",
            "mode": "markers",
            "name": "held out",
            "x": compact(measured[shown]),
            "y": compact(predicted[shown]),
            "marker": {"size": 3, "color": style.faded(style.DISTURBED, 0.35)},
        },
        {"type": "scatter", "mode": "lines", "name": "equal", "x": ends, "y": ends, "line": {"color": style.LIMIT}},
    ]
    return Figure(
        f"{quantity}: simulated over measured",
        "Held out.",
        traces,
        _axes(f"measured [{unit}]", f"simulated [{unit}]") | {"hovermode": "closest"},
        section=RESIDUALS,
    )
