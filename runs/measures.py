"""What is measured on recorded series: energies, extremes, quantiles. What trips do: `runs/rebound.py`.

A recorded value holds from its time until the next one; the last holds as long as the one before it did, and never
beyond the end of the run. All functions work on arrays over time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cosim.contract import Time
from runs.recorded import Floats, Times, Variable

Flags = NDArray[np.bool_]

HOUR = 3600 * 10**9
ROUNDING = 1e-9  #: of a sum
BLOCK = HOUR // 4  #: [ns] the interval over which demand is metered, and a peak is a mean


def hold_edges(times: Times, step: Time, end: Time) -> Times:
    """Between which times [ns] (n + 1) values at `times` (n) hold; a lone one for `step`, the last not beyond `end`."""
    if not times.size:
        return times
    last = int(times[-1])
    length = last - int(times[-2]) if times.size > 1 else step
    return np.append(times, max(min(last + length, end), last))


def held_hours(times: Times, step: Time, end: Time) -> Floats:
    """How long [h] each value at `times` [ns] holds; a lone one for `step`, the last not beyond `end`, both [ns]."""
    return np.diff(hold_edges(times, step, end)) / HOUR


def energy(power: Floats, hours: Floats) -> float:
    """Energy [MWh] of `power` [MW]."""
    return float(power @ hours)


def levels(edges: Times, power: Floats) -> Floats:
    """Energy [MWh] from the first of the `edges` (n + 1) [ns] to each, of `power` (n) [MW]; linear between them."""
    return np.concatenate([[0.0], np.cumsum(power * np.diff(edges) / HOUR)])


def block_means(edges: Times, level: Floats, first: Time, last: Time) -> tuple[Times, Floats]:
    """The mean power [MW] over each 15 minutes that begin at an edge from `first` on and end by `last` [ns].

    Of a `level` (n + 1) [MWh], see `levels`. Where there are less than 15 minutes it is the mean over all.
    """
    length = min(BLOCK, last - first)
    begins = edges[(edges >= first) & (edges <= last - length)]
    return begins, (np.interp(begins + length, edges, level) - np.interp(begins, edges, level)) / (length / HOUR)


def weighted_quantile(values: Floats, hours: Floats, share: float) -> float:
    """The lowest of `values` (n) that is not exceeded for a `share` of the time; each holds for `hours` (n)."""
    order = np.argsort(values)
    below = np.cumsum(hours[order])
    place = np.searchsorted(below, share * below[-1] * (1.0 - ROUNDING))
    return float(values[order[min(int(place), values.size - 1)]])


def holds_at(times: Times, values: Flags, when: Times) -> Flags:
    """What holds at `when` of a series that changes at `times`; false before its first time."""
    if times.size == 0:
        return np.zeros(when.size, dtype=bool)
    index = np.searchsorted(times, when, side="right") - 1
    return (index >= 0) & values[np.maximum(index, 0)]


@dataclass(frozen=True)
class Spell:
    """A stretch of time in which something holds: [first, end) [ns]; no end if it holds to the last."""

    first: Time
    end: Time | None


def spells(times: Times, holds: Flags) -> list[Spell]:
    """The unbroken stretches in which `holds` is true."""
    edges = np.diff(np.concatenate([[False], holds]).astype(int))
    starts, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    return [
        Spell(int(times[start]), int(times[ends[number]]) if number < ends.size else None)
        for number, start in enumerate(starts)
    ]


@dataclass(frozen=True)
class Extreme:
    """A largest or smallest value, when, and at which label."""

    value: float
    time: Time
    label: str | None = None


def lowest_and_highest(variable: Variable) -> tuple[Extreme, Extreme] | None:
    """The extremes of magnitudes over all elements and times; what is exactly 0 is dead, and left out."""
    labels = next(iter(variable.labels.values()))
    low: Extreme | None = None
    high: Extreme | None = None
    for times, block in variable.blocks():
        size = np.abs(block)
        alive = np.where(size > 0.0, size, np.inf)
        for position, is_low in ((int(alive.argmin()), True), (int(size.argmax()), False)):
            row, column = divmod(position, len(labels))
            found = Extreme(float(size[row, column]), int(times[row]), labels[column])
            if found.value == 0.0:
                continue
            if is_low and (low is None or found.value < low.value):
                low = found
            if not is_low and (high is None or found.value > high.value):
                high = found
    return None if low is None or high is None else (low, high)


def bands(variable: Variable, shares: Sequence[float]) -> tuple[Times, Floats]:
    """Quantiles (time, shares) of the magnitudes (real values as they are) over all elements.

    Elements that are exactly 0 throughout a block are dead or unused in a voltage [pu], and left out there.
    """
    found = [np.zeros((0, len(shares)))]
    for _, block in variable.blocks():
        values = np.abs(block) if np.iscomplexobj(block) else block
        values = values.reshape(len(values), -1)
        if variable.unit == "pu" and not values.all():
            values = np.where(values > 0.0, values, np.nan)
            values = values[:, ~np.isnan(values).all(axis=0)]
            values = np.where(np.isnan(values).all(axis=1, keepdims=True), 0.0, values)
            found.append(np.nanquantile(values, shares, axis=1).T)
        else:
            found.append(np.quantile(values, shares, axis=1).T)
    return variable.times, np.concatenate(found)
