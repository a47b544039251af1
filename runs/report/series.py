"""Long series made small enough for a screen, without losing their extremes."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runs.recorded import Floats, Times

POINTS = 1500  #: a figure is at most about this many pixels wide
BUCKETS = 500  #: a longer series keeps the lowest and the highest value in each of so many stretches


def thin(times: Times, values: Floats) -> tuple[Times, Floats]:
    """At most POINTS of a series; of a longer one the first, last, and each stretch's lowest and highest."""
    if times.size <= POINTS:
        return times, values
    edges = _edges(times)
    kept = {0, times.size - 1}
    for first, last in pairwise(edges.tolist()):
        kept |= {first + int(values[first:last].argmin()), first + int(values[first:last].argmax())}
    index = np.array(sorted(kept))
    return times[index], values[index]


def thin_band(times: Times, low: Floats, middle: Floats, high: Floats) -> tuple[Times, Floats, Floats, Floats]:
    """A band with at most POINTS times; of a longer one each stretch's lowest low, median and highest high."""
    if times.size <= POINTS:
        return times, low, middle, high
    edges = _edges(times)[:-1]
    medians = np.array([np.median(part) for part in np.split(middle, edges[1:])])
    return times[edges], np.minimum.reduceat(low, edges), medians, np.maximum.reduceat(high, edges)


def _edges(times: Times) -> NDArray[np.intp]:
    """Where stretches begin, and the end: of equal count; where steps differ half of them of equal time."""
    steps = np.diff(times)
    if np.all(steps == steps[0]):
        return np.linspace(0, times.size, BUCKETS + 1).astype(np.intp)
    counts = np.linspace(0, times.size, BUCKETS // 2 + 1).astype(np.intp)
    spans = np.searchsorted(times, np.linspace(times[0], times[-1], BUCKETS // 2 + 1))
    return np.unique(np.concatenate([counts, spans]))


def coordinates(times: Times, start_ms: float) -> dict[str, Any]:
    """The times [ns] of a trace as Plotly takes them [ms since 1970]: first and step where they are regular."""
    milliseconds = start_ms + times / 1e6
    steps = np.diff(milliseconds)
    if steps.size and np.all(steps == steps[0]):
        return {"x0": float(milliseconds[0]), "dx": float(steps[0])}
    return {"x": milliseconds}


def compact(values: Floats) -> Any:
    """Values in single precision: seven digits are more than a screen shows."""
    return values.astype(np.float32)
