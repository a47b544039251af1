"""Whether an output follows a moving target with a given open-loop response time, for any waveform.

A first-order response x' = (u - x) / τ to a target u that stays within [low, high] comes nearer to that interval by
exp(-t / τ), whatever u does inside it. With the open-loop response time T = ln(10) τ (90 % of a step), the distance
after T is at most a tenth of what it was. So no model of the DER has to be simulated to judge one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from runs.comply.operation import Operation
from runs.comply.spans import Mask
from runs.comply.trace import Array

_PARTS = 20  #: blocks into which a response time is divided


@dataclass(frozen=True)
class Target:
    """Where the output is to be [pu], sample by sample, measurement accuracy granted."""

    low: Array
    high: Array


@dataclass(frozen=True)
class Following:
    """The worst moment."""

    excess: float  #: [pu] beyond what the response may still be away; not above 0: followed
    time: float  #: [s]
    measured: float  #: [pu]
    low: float  #: [pu] of the target over the response time before
    high: float  #: [pu]
    windows: int  #: how many moments could be judged
    reach_low: float  #: [pu] the least target that was asked for
    reach_high: float  #: [pu] the greatest

    @property
    def told(self) -> str:
        asked = f"{self.low:.3f} to {self.high:.3f} pu was asked for"
        return f"at worst {self.measured:.3f} pu at {self.time:g} s, where {asked}"


def follow(
    op: Operation, target: Target, measured: Array, response: float, eligible: Mask, residue: float = 0.1
) -> Following | None:
    """The worst moment at which `measured` was not within `target`; None: none could be judged.

    Judged are moments before which all samples were `eligible` for `response` [s]. `residue` is the part of an earlier
    distance that may still be left after it.
    """
    time = op.path.trace.time
    longest = float(np.diff(time).max())
    width = max(response / _PARTS, longest)
    count = int(np.ceil(response / width)) + 1
    edges = np.arange(time[0], time[-1] + width, width)
    starts = np.unique(np.searchsorted(time, edges - 1e-9))
    starts = starts[starts < time.size]
    if starts.size <= count + 1 or not eligible.any():
        return None
    fit = np.logical_and.reduceat(eligible, starts)
    low, high = np.minimum.reduceat(target.low, starts), np.maximum.reduceat(target.high, starts)
    last = np.append(starts[1:], time.size) - 1
    windows = np.lib.stride_tricks.sliding_window_view
    good = windows(fit, count + 1).all(axis=1)
    if not good.any():
        return None
    least, most = windows(low[1:], count).min(axis=1)[good], windows(high[1:], count).max(axis=1)[good]
    begun, ended = measured[last[:-count]][good], measured[last[count:]][good]
    remote = np.maximum(np.maximum(least - begun, begun - most), 0.0)
    away = np.maximum(least - ended, ended - most) - residue * remote
    worst = int(away.argmax())
    return Following(
        float(away[worst]),
        float(time[last[count:]][good][worst]),
        float(ended[worst]),
        float(least[worst]),
        float(most[worst]),
        int(good.sum()),
        float(least.min()),
        float(most.max()),
    )
