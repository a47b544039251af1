"""What was measured, and what a run gives in its place: series over time, and summary figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field

from cosim.contract import Port
from cosim.federation import PortReference
from cosim.scenario import Scenario
from cosim.settings import Settings
from cosim.wiring import wire
from runs.batch.figures import PARTS, FigureSpec, series_of
from runs.batch.keep import is_kept
from runs.calibrate.target import Flags, Floats, Table
from runs.measures import HOUR, hold_edges
from runs.recorded import Recorded
from runs.summary import duration_of, step_of

Nanoseconds = NDArray[np.int64]
Outputs = Mapping[str, Mapping[str, Port]]  #: federate -> port -> it

FIGURES = "figures"  #: how scores name the summary figures


class MeasuredSeries(Settings):
    """A measured series, a column of the data of its own name, and the recorded output that it is held against."""

    of: str
    """A recorded output: `federate.port`, or one label of it as `federate.port[label]`."""
    elements: Literal["sum", "mean", "max", "min"] = "sum"
    """How the output's elements become one series."""
    part: Literal["real", "imaginary", "magnitude"] = "real"
    """Of a complex output: which part."""
    data: str = "data"
    """Which data it stands in."""
    stamps: Literal["instant", "start", "end"] | None = None
    """What the time of a row means: the row is the mean over the interval that starts then, or ends then, or the value
    at that instant; none: what the data's `time.stamps` says of all its columns."""
    noise: float | None = Field(default=None, gt=0)
    """The standard deviation of the measurement's error [the output's unit]; none: it is estimated from what the best
    fit leaves."""

    @property
    def spec(self) -> FigureSpec:
        """The output as figures of batches name it."""
        return FigureSpec(of=self.of, elements=self.elements, part=self.part)


class MeasuredFigure(Settings):
    """A measured number, and the summary figure of a run that it is held against."""

    compute: Annotated[
        FigureSpec, BeforeValidator(lambda given: {"figure": given} if isinstance(given, str) else given)
    ]
    """The figure as batches compute it: the name of a ready one, or what to compute."""
    measured: float
    """What was measured [the figure's unit]."""
    noise: float = Field(gt=0)
    """The standard deviation of its error [the figure's unit]."""


def outputs_of(scenario: Scenario) -> Outputs:
    """What a run of `scenario` records. Raises ScenarioError."""
    federation = wire(scenario)
    return {
        spec.name: {
            port.name: port
            for port in federation.build(spec).ports()
            if port.direction == "out" and not is_kept(f"{spec.name}.{port.name}", federation.exclude)
        }
        for spec in federation.federates
    }


def unit_of(series: MeasuredSeries, outputs: Outputs) -> str:
    """The unit of a series. Raises KeyError where it is not recorded."""
    reference = PortReference.parse(series.of)
    unit = outputs[reference.federate][reference.port].unit
    return PARTS[series.part].get(unit, unit)


@dataclass(frozen=True)
class ObservedSeries:
    """The rows of a measured series that a run reaches: n of them."""

    name: str
    spec: FigureSpec
    unit: str
    table: Table
    rows: NDArray[np.int64]  #: (n) their positions in the table
    begin: Nanoseconds  #: (n) since the scenario's start
    end: Nanoseconds  #: (n) equal to `begin` for instants
    measured: Floats  #: (n)
    fitted: Flags  #: (n) which of them count in the fit
    noise: float | None

    def simulated(self, run: Recorded) -> Floats:
        """The run's values (n) in their place; NaN where it recorded none."""
        found = series_of(self.spec, run)
        if found is None or not found[0].size:
            return np.full(len(self.rows), np.nan)
        times, values = found
        if (self.begin == self.end).all():
            return np.asarray(values[np.maximum(np.searchsorted(times, self.begin, side="right") - 1, 0)])
        edges = hold_edges(times, step_of(run), duration_of(run))
        integral = np.concatenate(
            [[0.0], np.cumsum(values * np.diff(edges) / HOUR)]
        )  # linear between edges, as values are held
        total = np.interp(self.end, edges, integral) - np.interp(self.begin, edges, integral)
        return np.asarray(total / ((self.end - self.begin) / HOUR))


def observe(
    name: str, series: MeasuredSeries, unit: str, table: Table, scenario: Scenario, fitted: Flags
) -> ObservedSeries:
    """The rows of `table` whose time a run of `scenario` covers, and that hold a number; `fitted` (rows of table)."""
    start = np.datetime64(scenario.horizon.start, "ns")
    stamp = (table.standard.astype("datetime64[ns]") - start).astype(np.int64)
    instants = table.instants if series.stamps is None else series.stamps == "instant"
    width = 0 if instants else table.step * 10**9
    begin = stamp - width if series.stamps == "end" else stamp
    end = begin + width
    values = np.asarray(table.columns[name], dtype=float)
    rows = np.flatnonzero((begin >= 0) & (end <= scenario.horizon.duration) & np.isfinite(values))
    return ObservedSeries(
        name, series.spec, unit, table, rows, begin[rows], end[rows], values[rows], fitted[rows], series.noise
    )


@dataclass(frozen=True)
class Observed:
    """All that was measured, as one vector of m numbers: the series one after the other, then the figures."""

    series: Sequence[ObservedSeries]
    figures: Mapping[str, MeasuredFigure] = field(default_factory=dict)

    @property
    def measured(self) -> Floats:
        """(m)."""
        parts = [each.measured for each in self.series]
        return np.concatenate([*parts, [each.measured for each in self.figures.values()]])

    @property
    def fitted(self) -> Flags:
        """Which of them count in the fit (m)."""
        return np.concatenate([*(each.fitted for each in self.series), np.ones(len(self.figures), bool)])

    @property
    def group(self) -> NDArray[np.int64]:
        """The number of its series (m); every figure is a group of its own."""
        counts = [len(each.rows) for each in self.series] + [1] * len(self.figures)
        return np.repeat(np.arange(len(counts)), counts)

    @property
    def known_noise(self) -> Floats:
        """The stated standard deviation of each group (groups); NaN where it is to be estimated."""
        stated = [np.nan if each.noise is None else each.noise for each in self.series]
        return np.array([*stated, *(each.noise for each in self.figures.values())])

    @property
    def spread(self) -> Floats:
        """The size of each group's values (groups), by which they compare before their noise is known."""
        sizes = [float(np.std(each.measured[each.fitted])) or 1.0 for each in self.series]
        return np.array([*sizes, *(each.noise for each in self.figures.values())])

    def simulated(self, run: Recorded, figures: Mapping[str, Any]) -> Floats:
        """What a run gives in their place (m); NaN where it has nothing."""
        parts = [each.simulated(run) for each in self.series]
        numbers = [np.nan if figures.get(name) is None else float(figures[name]) for name in self.figures]
        return np.concatenate([*parts, numbers])

    def parts(self, vector: Floats) -> Sequence[Floats]:
        """A vector (m) by series, the figures last."""
        return np.split(vector, np.cumsum([len(each.rows) for each in self.series]))


__all__ = ["MeasuredFigure", "MeasuredSeries", "Observed", "ObservedSeries", "observe", "outputs_of", "unit_of"]
