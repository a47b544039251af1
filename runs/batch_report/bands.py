"""Quantile bands over time, of the outputs that a batch has kept."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosim.batch_dataset import quantiles_over_last
from cosim.batch_folder import run_folder
from cosim.results import BASELINE, RESULTS
from runs.batch.figures import PARTS
from runs.batch_report.factors import Floats, Outcome, by_strength
from runs.batch_report.responses import SHARES
from runs.recorded import PERTURBATIONS, Recorded, Variable
from runs.report import style
from runs.report.chart import Chart, plain
from runs.report.series import compact, thin_band
from runs.summary import names_of

MOST = 6  #: outputs that are drawn
FEWEST = 3  #: runs that make a band
LARGEST = 40_000_000  #: numbers of an output over all runs that are read for its band
PARTS_DRAWN = 6  #: most values of a factor that get a band of their own
HOUR_NS = 3.6e12


@dataclass(frozen=True)
class Series:
    """An output of all runs that count, as one series each."""

    times: NDArray[Any]  #: local time, or since the start
    values: Floats  #: (run, time), NaN where a run has none
    unit: str
    how: str  #: how its elements became one series


def bands(outcome: Outcome) -> Iterator[Chart]:
    """For each kept output its band, over that of the twins, and the band of their difference."""
    run = next((name for name in outcome.table["run"][outcome.good] if _has_results(outcome, name)), None)
    if run is None:
        return
    first = outcome.batch.run(run)
    recorded = Recorded(first)
    names = names_of(recorded, None if first.baseline is None else Recorded(first.baseline))
    for variable in _chosen(recorded, int(outcome.good.sum())):
        ours = _series(outcome, variable, baseline=False)
        if np.isfinite(ours.values).any(axis=1).sum() < FEWEST:
            continue
        twins = (run_folder(outcome.batch.folder, run) / BASELINE / RESULTS / variable.group / variable.name).is_dir()
        theirs = _series(outcome, variable, baseline=True) if twins else None
        yield _both(variable, ours, theirs, names)
        if theirs is not None and np.array_equal(ours.times, theirs.times):
            yield _difference(outcome, variable, ours, theirs, names)


def _has_results(outcome: Outcome, run: str) -> bool:
    folder = run_folder(outcome.batch.folder, run) / RESULTS
    return folder.is_dir() and any(folder.glob("*/time"))


def _chosen(recorded: Recorded, runs: int) -> list[Variable]:
    """The outputs that are drawn: loads first, nothing that is too large or says nothing."""
    found = [variable for group in recorded.groups.values() for variable in group.values()]
    drawn = [
        variable
        for variable in found
        if not variable.name.startswith("used ")
        and variable.group != PERTURBATIONS
        and variable.times.size > 1
        and runs * math.prod(variable.array.shape) <= LARGEST
    ]
    loads = {variable.key for variable in (*recorded.powers, *recorded.loads)}
    return sorted(drawn, key=lambda variable: variable.key not in loads)[:MOST]


def _series(outcome: Outcome, variable: Variable, *, baseline: bool) -> Series:
    """An output of every good run, its elements added where it is a power, else their mean. Raises ResultsError."""
    array = outcome.batch.results(variable.key, baseline=baseline, elapsed=_starts_differ(outcome))
    values = np.asarray(array.transpose("run", "time", ...).data[np.flatnonzero(outcome.good)])
    unit = PARTS["real"].get(variable.unit, variable.unit) if np.iscomplexobj(values) else variable.unit
    flat = values.real.astype(float).reshape(*values.shape[:2], -1)
    if flat.shape[2] == 1:
        return Series(array["time"].to_numpy(), flat[:, :, 0], unit, "")
    dimension = " and ".join(variable.labels)
    if variable.is_power:
        return Series(array["time"].to_numpy(), flat.sum(axis=2), unit, f", sum over {dimension}")
    return Series(array["time"].to_numpy(), flat.mean(axis=2), unit, f", mean over {dimension}")


def _starts_differ(outcome: Outcome) -> bool:
    """Whether a parameter moves the start of the runs."""
    return any(entry["path"].startswith("horizon.start") for entry in outcome.batch.description["parameters"].values())


def _empty_chart(variable: Variable, series: Series, title: str, **options: Any) -> Chart:
    """A chart over local time, or over the time since the start."""
    chart = Chart(title, **options)
    if np.issubdtype(series.times.dtype, np.datetime64):
        first = series.times[0].astype("datetime64[s]").item()
        chart.layout["xaxis"] = {
            "type": "date",
            "title": {"text": f"local standard time from {first.day} {first:%B %Y}"},
            "hoverformat": "%H:%M, %-d %b",
        }
    else:
        chart.layout["xaxis"] = {"title": {"text": "time since the start [h]"}}
    chart.axes(f"{variable.name} [{series.unit}]")
    return chart


def _both(variable: Variable, ours: Series, theirs: Series | None, names: tuple[str, str]) -> Chart:
    """The band of the runs over that of their twins; `names` of both, the twins' first."""
    chart = _empty_chart(variable, ours, f"{variable.key} over all runs", height=320, wide=theirs is None)
    if theirs is not None:
        _add(chart, theirs.times, theirs.values, names[0], style.BASELINE)
    _add(chart, ours.times, ours.values, "" if theirs is None else names[1], style.DISTURBED)
    chart.note = f"{variable.title.capitalize()}{ours.how}; 5 to 95 % of {len(ours.values)} good runs, and the median."
    return chart


def _difference(outcome: Outcome, variable: Variable, ours: Series, theirs: Series, names: tuple[str, str]) -> Chart:
    """The band of runs less twins; one for each value of the factor that matters most, if it has few."""
    title = f"{variable.key}: {names[1]} less {names[0]}"
    difference = Series(ours.times, ours.values - theirs.values, ours.unit, ours.how)
    chart = _empty_chart(variable, difference, title, height=320)
    chart.axes(f"change of {variable.name} [{ours.unit}]", zeroline=True, zerolinecolor=style.REST)
    name, parts = _split(outcome)
    for (value, chosen), colour in zip(parts.items(), style.SERIES, strict=False):
        _add(chart, difference.times, difference.values[chosen], value, colour, opacity=0.2 if len(parts) == 1 else 0.1)
    by = f" for each {name}" if name else ""
    chart.note = f"5 to 95 % of the good runs{by}, and the median, of each run less its own twin."
    return chart


def _split(outcome: Outcome) -> tuple[str, dict[str, NDArray[np.intp]]]:
    """The factor of few values that matters most over all figures, and the good runs of each value."""
    everything = {"": np.arange(int(outcome.good.sum()))}
    few = [factor for factor in outcome.factors if 2 <= len(factor.codes(outcome.good)[1]) <= PARTS_DRAWN]
    if not few:
        return "", everything
    sizes = dict.fromkeys((factor.name for factor in few), 0.0)
    for figure in outcome.figures:
        for factor, found in by_strength(few, figure, outcome.counted(figure)):
            sizes[factor.name] += found.size
    best = max(few, key=lambda factor: sizes[factor.name])
    codes, names = best.codes(outcome.good)
    parts = {f"{name} {best.unit}".strip(): np.flatnonzero(codes == code) for code, name in enumerate(names)}
    return best.name, {name: chosen for name, chosen in parts.items() if chosen.size >= FEWEST} or everything


def _add(chart: Chart, times: NDArray[Any], values: Floats, name: str, colour: str, opacity: float = 0.2) -> None:
    """A band (run, time) with its median."""
    if np.issubdtype(times.dtype, np.datetime64):
        x = times.astype("datetime64[ns]").astype(np.int64)
        scale, axis = 1e6, "date"
    else:
        x, scale, axis = times.astype("timedelta64[ns]").astype(np.int64), HOUR_NS, "linear"
    found = quantiles_over_last(values.T, SHARES)
    there = np.isfinite(found).all(axis=1)
    thinned, low, middle, high = thin_band(x[there], *found[there].T)
    along = thinned / scale
    line = {"x": along, "legendgroup": plain(name), "name": plain(name), "showlegend": False, "hoverinfo": "skip"}
    chart.add(y=compact(low), line={"width": 0}, **line)
    fill = {"fill": "tonexty", "fillcolor": style.faded(colour, opacity)}
    chart.add(y=compact(high), line={"width": 0}, **fill, **line)
    shown = {"showlegend": bool(name), "hoverinfo": "x+y+name", "line": {"width": 2, "color": colour}}
    chart.add(y=compact(middle), **(line | shown))
    chart.layout["xaxis"]["type"] = axis
