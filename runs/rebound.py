"""What trips shed and what comes back, told from noise.

A run and its undisturbed twin are equal to the bit until something trips. From then on thermostats drift out of step
with their twins, and the difference of the two powers never is 0 again, though nothing comes back any more. So all
energies here are net (what is drawn more and what is drawn less cancel), over stated times, with the noise stated.

What comes back is over when the net energy that came back has no direction any more: in the next hour, in the next
two, and in the next four, it is at least a quarter of the time above and at least a quarter below what it is now, and
what it is after the four is not among the tenth that is highest or lowest. Noise comes back to where it was, so that
holds soon once there is only noise, and never while the energy rises or falls. (Even a random walk, which comes back
least, has one path in three that is between a quarter and three quarters of the time above its start: the arcsine law,
P. Lévy, Compositio Mathematica 7 (1939), 283-339.) That needs no knowledge of the noise and looks four hours ahead: a
run that is longer finds the same. What came back is the mean level of these four hours.

With one pair of runs the noise is known only from what follows: from the net energies over equal spans of time, from
when the rebound is over to the end of the run or the next trip. Spans that are too long for that count as made of
independent shorter ones; thermostats make up for what they did too much, so for them this is on the safe side.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from cosim.contract import Time
from runs.measures import HOUR, Flags, block_means, levels
from runs.recorded import Floats, Times

LOOKS = 12  #: at what came back in an hour; in a step, if that is longer
AHEAD = (12, 24, 48)  #: so many looks, in each of which it must have no direction
NO_STEP = 0.99  #: of the range of nearly all: where it rises from one level to another, start and end are that apart
CHUNK = 2000  #: looks at once
MIDDLE = (0.25, 0.75)  #: shares of the time between which is what it is now,
NEARLY_ALL = (0.1, 0.9)  #: and what it is after the longest
NEGLIGIBLE = 0.005  #: of what was shed: a direction that does not matter
WINDOWS = 4  #: that the noise must hold at least of those whose energy tells it
CONFIDENCE = 2.0  #: standard deviations that hold 95 %
STANDS_OUT = 3.0  #: root mean squares of the noise, above which the highest of many means is a peak

#: How the counting of what came back ended.
Ended = Literal["over", "the run ended", "the next trip began", "still out"]


@dataclass(frozen=True)
class Return:
    """What came back after one trip."""

    first: Time  #: [ns] when all devices were back
    end: Time  #: [ns] when it was over, or else the next trip began or the run ended
    energy: float  #: [MWh] net; where it is over the mean level of the four hours after that, else up to `end`
    over: bool


@dataclass(frozen=True)
class Peak:
    """The highest mean over 15 minutes of what is drawn beyond the twin while it comes back."""

    power: float  #: [MW]
    time: Time  #: [ns] when the 15 minutes begin
    noise: float | None  #: [MW] 95 % of such means of noise alone are within plus or minus this; None: not known


@dataclass(frozen=True)
class Rebound:
    """What all trips of a run shed, and what came back after them."""

    shed: float  #: [MWh] net while devices were out; below 0 where more was drawn
    shed_noise: float | None  #: [MWh] noise alone is within plus or minus this, in 95 % of cases; None: not known
    returns: Sequence[Return]  #: one after each trip that ended
    noise: float | None  #: [MWh] of the energy that came back, as that of what was shed
    to_end: float | None  #: [MWh] net from the last return to the end of the run, be it over or not
    peak: Peak | None  #: None where nothing stands out of the noise
    ended: Ended

    @property
    def energy(self) -> float | None:
        """[MWh] net, of all `returns` together; None where nothing returned."""
        return sum(found.energy for found in self.returns) if self.returns else None


def rebound_of(edges: Times, difference: Floats, out: Flags) -> Rebound | None:
    """What trips shed and what came back after them.

    `difference` (n) [MW] is what was drawn beyond the undisturbed twin, each value between two of the `edges` (n + 1)
    [ns]; `out` (n) says whether devices were out then. None where none ever was.
    """
    if not out.any():
        return None
    widths = np.diff(edges)
    level = levels(edges, difference)
    shed = -float(np.diff(level)[out].sum())
    pitch = max(HOUR, int(np.median(widths))) // LOOKS
    gaps = _gaps(edges, out)
    returns = [_return(edges, level, gap, pitch, NEGLIGIBLE * abs(shed)) for gap in gaps]
    quiet = _longest([(found.end, last) for found, (_, last) in zip(returns, gaps, strict=True) if found.over])
    shed_noise = noise = block_noise = None
    if quiet is not None:
        sampled = np.interp(np.arange(quiet[0], quiet[1] + 1, pitch), edges, level)
        shed_noise = noise_of(sampled, int(widths[out].sum()) / pitch)
        spans = [(found.end - found.first) / pitch + found.over * AHEAD[-1] / 2 for found in returns]  # to mid-level
        noise = math.hypot(*(noise_of(sampled, span) for span in spans)) + NEGLIGIBLE * abs(shed)
        block_noise = _root_mean_square(block_means(edges, level, *quiet)[1])
    return Rebound(
        shed=shed,
        shed_noise=shed_noise,
        returns=returns,
        noise=noise,
        to_end=None if out[-1] else float(level[-1] - np.interp(gaps[-1][0], edges, level)),
        peak=_peak(edges, level, returns, block_noise),
        ended=_ended(returns, still_out=bool(out[-1])),
    )


def _gaps(edges: Times, out: Flags) -> list[tuple[Time, Time]]:
    """From when all are back to when the next trip begins, or the run ends."""
    turns = np.flatnonzero(np.diff(np.concatenate([[False], out, [True]]).astype(int)))
    # the first trips, then in turn: all are back, the next trips; the last turn is the end of the run
    bounds = edges[turns[1:]]
    return [(int(first), int(last)) for first, last in zip(bounds[::2], bounds[1::2], strict=False)]


def _longest(stretches: Sequence[tuple[Time, Time]]) -> tuple[Time, Time] | None:
    return max(stretches, key=lambda stretch: stretch[1] - stretch[0], default=None)


def _return(edges: Times, level: Floats, gap: tuple[Time, Time], pitch: Time, negligible: float) -> Return:
    """What came back within a gap between trips."""
    first, last = gap
    times = np.arange(first, last + 1, pitch)
    sampled = np.interp(times, edges, level)
    found = settles(sampled, AHEAD, negligible)
    if found is None:
        return Return(first, last, float(np.interp(last, edges, level)) - float(sampled[0]), over=False)
    kept = sampled[found : found + AHEAD[-1] + 1]
    return Return(first, int(times[found]), float(kept.mean() - sampled[0]), over=True)


def settles(level: Floats, ahead: Sequence[int], negligible: float = 0.0) -> int | None:
    """The first position from which on a level (n) has no direction, over each of so many values `ahead` of it.

    It is in the middle of each window then, and at the end of the longest it does not stand out. None where it has a
    direction as far as can be seen. Changes of no more than `negligible` are none.
    """
    furthest = max(ahead)
    for begin in range(0, level.size - furthest, CHUNK):
        now = level[begin : min(begin + CHUNK, level.size - furthest)]
        holds = np.ones(now.size, dtype=bool)
        for width in sorted(ahead):
            windows = sliding_window_view(level[begin : begin + now.size + width], width + 1)
            low, high = np.quantile(windows, MIDDLE, axis=1)
            holds &= (now >= low - negligible) & (now <= high + negligible)
        then = windows[:, -1]
        least, most = np.quantile(windows, NEARLY_ALL, axis=1)
        holds &= (then >= least - negligible) & (then <= most + negligible)
        holds &= np.abs(then - now) <= np.maximum(NO_STEP * (most - least), negligible)
        if holds.any():
            return begin + int(holds.argmax())
    return None


def noise_of(level: Floats, span: float) -> float:
    """Within plus or minus what noise changes a level over a `span` [values], in 95 % of cases.

    `level` (n) is of noise alone. Two standard deviations of Student's distribution, which come within 2 % of its
    quantile from 4 degrees of freedom on.
    """
    width = int(max(1, min(span, (level.size - 1) // WINDOWS)))
    windows = (level.size - 1) / width
    longer = max(span / width, 1.0)
    return (
        CONFIDENCE * math.sqrt(longer * windows / (windows - 2.0)) * _root_mean_square(level[width:] - level[:-width])
    )


def _root_mean_square(values: Floats) -> float:
    return float(np.sqrt(np.mean(values**2)))


def _peak(edges: Times, level: Floats, returns: Sequence[Return], noise: float | None) -> Peak | None:
    found = None
    for one in returns:
        if one.end > one.first:
            begins, means = block_means(edges, level, one.first, one.end)
            best = int(means.argmax())
            if means[best] > STANDS_OUT * (noise or 0.0) and (found is None or means[best] > found.power):
                found = Peak(float(means[best]), int(begins[best]), None if noise is None else CONFIDENCE * noise)
    return found


def _ended(returns: Sequence[Return], *, still_out: bool) -> Ended:
    if still_out:
        return "still out"
    if not returns[-1].over:
        return "the run ended"
    return "over" if all(found.over for found in returns) else "the next trip began"
