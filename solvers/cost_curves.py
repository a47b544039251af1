"""Cost functions of generators as convex piecewise linear curves, as a linear programme holds them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from solvers.ptdf import BoolArray, FloatArray, IntArray


@dataclass(frozen=True)
class CostCurves:
    """Convex piecewise linear costs of G generators in S segments, ordered by generator."""

    base: FloatArray  #: (G,) [$/h] cost at p_min
    generator: IntArray  #: (S,) position of the generator, ascending; each has at least one segment
    width: FloatArray  #: (S,) [MW]; the widths of a generator sum to p_max - p_min
    slope: FloatArray  #: (S,) [$/MWh], not falling within a generator

    @property
    def curved(self) -> BoolArray:
        """(G,) whether a generator has more than one segment."""
        return np.bincount(self.generator, minlength=len(self.base)) > 1

    @property
    def first(self) -> IntArray:
        """(G,) each generator's first segment."""
        return np.searchsorted(self.generator, np.arange(len(self.base)))


def cost_curves(
    polynomial: FloatArray, points: FloatArray, p_min: FloatArray, p_max: FloatArray, segments: int
) -> CostCurves:
    """Cut cost functions into segments.

    A linear programme holds convex costs only; where a cost is not (falling heat rates), its convex
    envelope stands for it, the largest convex function that is nowhere above it.

    Parameters (G generators, P points):
        polynomial: (G, 3) c0 [$/h], c1 [$/MWh], c2 [$/MW²h]; used where `points` has none.
        points: (G, P, 2) [MW], [$/h] of piecewise linear costs, NaN-padded; their own segments are
            kept, the first and last extended to the limits.
        p_min, p_max: (G,) [MW].
        segments: number of equal segments of a quadratic cost. Chords overestimate the cost by at most
            c2 width² / 4 and miss the marginal cost by at most c2 width.
    """
    given: BoolArray = np.logical_or.reduce(~np.isnan(points[:, :, 0]), axis=1)
    spread = p_max - p_min
    count = np.where(~given & (polynomial[:, 2] > 0.0) & (spread > 0.0), segments, 1)
    generator = np.repeat(np.arange(len(p_min)), count)
    step = np.arange(len(generator)) - np.repeat(np.cumsum(count) - count, count)
    width = (spread / count)[generator]
    left = p_min[generator] + step * width
    slope = polynomial[generator, 1] + polynomial[generator, 2] * (2 * left + width)
    base = polynomial[:, 0] + (polynomial[:, 1] + polynomial[:, 2] * p_min) * p_min
    smooth = ~given[generator]
    parts = [(generator[smooth], width[smooth], slope[smooth])]
    for one in np.flatnonzero(given):
        own = points[one][~np.isnan(points[one, :, 0])]
        base[one], widths, slopes = _piecewise(own, p_min[one], p_max[one])
        parts.append((np.full(len(widths), one), widths, slopes))
    owner, width, slope = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(owner, kind="stable")
    return CostCurves(base, owner[order], width[order], slope[order])


def _piecewise(own: FloatArray, p_min: float, p_max: float) -> tuple[float, FloatArray, FloatArray]:
    """Cost at p_min, widths and slopes between the limits of one piecewise linear cost (P, 2)."""
    megawatt, cost = _convex_envelope(own).T
    slopes = np.diff(cost) / np.diff(megawatt) if len(megawatt) > 1 else np.zeros(1)
    inner = megawatt[1:-1][(megawatt[1:-1] > p_min) & (megawatt[1:-1] < p_max)]
    edges = np.r_[p_min, inner, p_max]
    middle = (edges[1:] + edges[:-1]) / 2
    slope = slopes[np.clip(np.searchsorted(megawatt, middle) - 1, 0, len(slopes) - 1)]
    first = int(np.clip(np.searchsorted(megawatt, p_min, side="right") - 1, 0, len(slopes) - 1))
    return float(cost[first] + slopes[first] * (p_min - megawatt[first])), np.diff(edges), slope


def _convex_envelope(points: FloatArray) -> FloatArray:
    """The lower convex hull of points (P, 2), from left to right (Andrew's monotone chain)."""
    hull: list[FloatArray] = []
    for point in points[np.argsort(points[:, 0], kind="stable")]:
        while len(hull) > 1:
            (ax, ay), (bx, by) = hull[-2], hull[-1]
            if (bx - ax) * (point[1] - ay) - (by - ay) * (point[0] - ax) > 0.0:
                break
            hull.pop()
        if not hull or point[0] > hull[-1][0]:
            hull.append(point)
    return np.array(hull)
