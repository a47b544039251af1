"""What is measured on recorded series: energies, what a trip sheds, what comes back, extremes.

A recorded value holds from its time until the next one; the last holds as long as the one before it did.
All functions work on arrays over time.
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


def held_hours(times: Times, step: Time) -> Floats:
    """How long [h] each value at `times` [ns] holds; a lone one holds for `step` [ns]."""
    if times.size < 2:
        return np.full(times.size, step / HOUR)
    return np.diff(times, append=2 * times[-1] - times[-2]) / HOUR


def energy(power: Floats, hours: Floats) -> float:
    """Energy [MWh] of `power` [MW]."""
    return float(power @ hours)


def energy_shed(baseline: Floats, disturbed: Floats, hours: Floats, out: Flags) -> float:
    """Energy [MWh] not drawn while devices were `out`: the integral of max(baseline - disturbed, 0) then."""
    return float(np.maximum(baseline - disturbed, 0.0)[out] @ hours[out])


def energy_rebound(baseline: Floats, disturbed: Floats, hours: Floats, out: Flags) -> float:
    """Energy [MWh] drawn on top: the integral of max(disturbed - baseline, 0) from the first time `out` to the end."""
    after = np.logical_or.accumulate(out)
    return float(np.maximum(disturbed - baseline, 0.0)[after] @ hours[after])


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
