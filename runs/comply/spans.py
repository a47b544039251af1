"""Stretches of samples in which something holds."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


def spans(mask: Mask) -> list[tuple[int, int]]:
    """The stretches [first, past the last) of samples in which `mask` holds, in order."""
    if not mask.any():
        return []
    edges = np.flatnonzero(mask[1:] != mask[:-1]) + 1
    bounds = np.concatenate([[0] if mask[0] else [], edges, [mask.size] if mask[-1] else []]).astype(int)
    return [(int(a), int(b)) for a, b in zip(bounds[::2], bounds[1::2], strict=True)]


def constant_spans(codes: NDArray[np.int8]) -> list[tuple[int, int, int]]:
    """The stretches (first, past the last, code) in which `codes` is constant."""
    edges = np.concatenate([[0], np.flatnonzero(codes[1:] != codes[:-1]) + 1, [codes.size]])
    return [(int(a), int(b), int(codes[a])) for a, b in itertools.pairwise(edges)]


def time_at(time: NDArray[np.float64], index: int, end: float) -> float:
    """The time of a sample [s]; past the last one, the time up to which the last sample counts."""
    return float(time[index]) if index < time.size else end
