"""Arrays that lie one after the other in one row of numbers, which can be sent, checked and written as a whole."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import accumulate, pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cosim.contract import Array


class Layout(NamedTuple):
    """Of one array in a row."""

    shape: tuple[int, ...]
    is_complex: bool

    @property
    def size(self) -> int:
        """How many numbers it is; a complex one is two."""
        return math.prod(self.shape) * (2 if self.is_complex else 1)


class Row:
    """A row of numbers and the arrays in it: who changes one changes the other."""

    def __init__(self, layouts: Iterable[Layout]) -> None:
        known = tuple(layouts)
        ends = list(accumulate((layout.size for layout in known), initial=0))
        self.numbers: NDArray[np.float64] = np.zeros(ends[-1])
        parts = (self.numbers[start:end] for start, end in pairwise(ends))
        self.arrays: tuple[Array, ...] = tuple(
            (part.view(np.complex128) if layout.is_complex else part).reshape(layout.shape)
            for part, layout in zip(parts, known, strict=True)
        )


def numbers_of(array: Array) -> NDArray[np.float64]:
    """The numbers of an array that lies in one piece, as a view."""
    return array.reshape(-1).view(np.float64)
