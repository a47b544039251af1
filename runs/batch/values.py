"""The values of a varied parameter: a list, a range, or a distribution to sample."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field, model_validator

from cosim.settings import Settings

Bound = int | float | str  #: a number, or a number and its unit as text
DIGITS = 10  #: significant digits of computed values, so that 0.1 * 3 reads 0.3
MOST_VALUES = 1_000_000


def split(value: Any) -> tuple[float, str] | None:
    """A number and its unit ("" without one) of a value as written; None if it is none of the kind."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value), ""
    number, _, unit = str(value).strip().partition(" ")
    try:
        return float(number), unit.strip()
    except ValueError:
        return None


def same_unit(values: Iterable[Any]) -> str | None:
    """The unit that all values are written in, "" for bare numbers; None if they are no numbers of one unit."""
    found = [split(value) for value in values]
    units = {entry[1] for entry in found if entry is not None}
    return units.pop() if None not in found and len(units) == 1 else None


def written(number: float, unit: str, *, whole: bool = False) -> Any:
    """A computed number as it could stand in a scenario."""
    rounded = round(number) if whole else float(f"{number:.{DIGITS}g}")
    return f"{rounded:.{DIGITS}g} {unit}" if unit else rounded


def _bounds(low: Any, high: Any) -> tuple[float, float, str]:
    """Two bounds in one unit. Raises ValueError."""
    ends = [split(low), split(high)]
    for text, end in zip((low, high), ends, strict=True):
        if end is None or not math.isfinite(end[0]):
            raise ValueError(f"must have numbers as bounds, with the same unit or none, got {text!r}")
    (first, unit), (last, other) = ends  # type: ignore[misc]
    if unit != other:
        raise ValueError(f"must have both bounds in one unit, got '{low}' and '{high}'")
    return first, last, unit


class _Values(Settings):
    """A parameter's values: a list, or `start` and `stop` with `step` or `count`."""

    values: tuple[Any, ...] | None = None
    """The values themselves; a list in the place of the mapping means the same."""
    start: Bound | None = None
    """The first value, bare or with a unit, as `38 degC`."""
    stop: Bound | None = None
    """The last value, itself included where the steps meet it."""
    step: Bound | None = None
    """From one value to the next, in the unit of `start`."""
    count: int | None = Field(default=None, ge=2, le=MOST_VALUES)
    """How many values, evenly spaced from `start` to `stop`."""
    scale: Literal["linear", "log"] = "linear"
    """How `count` values are spaced."""

    @model_validator(mode="after")
    def _possible(self) -> _Values:
        if not self.all():
            raise ValueError("must hold at least one value")
        return self

    def all(self) -> tuple[Any, ...]:
        """Every value, as it could stand in a scenario. Raises ValueError."""
        if self.values is not None:
            if (self.start, self.stop, self.step, self.count) != (None, None, None, None):
                raise ValueError("must be a list of values or a range, not both")
            return self.values
        if self.start is None or self.stop is None or (self.step is None) == (self.count is None):
            raise ValueError("must be a list of values, or a range with start, stop and one of step and count")
        first, last, unit = _bounds(self.start, self.stop)
        if self.count is not None:
            return self._spaced(first, last, unit, self.count)
        if self.scale == "log":
            raise ValueError("needs count with the log scale")
        step, _, _ = _bounds(self.step, self.start)
        if step == 0 or (last - first) / step < 0:
            raise ValueError(f"never gets from {self.start} to {self.stop} in steps of {self.step}")
        count = math.floor((last - first) / step + 1e-9) + 1
        if count > MOST_VALUES:
            raise ValueError(f"has {count:,} values; at most {MOST_VALUES:,} are possible")
        whole = all(isinstance(value, int) for value in (self.start, self.step))
        return tuple(written(first + number * step, unit, whole=whole) for number in range(count))

    def _spaced(self, first: float, last: float, unit: str, count: int) -> tuple[Any, ...]:
        if self.scale == "log" and (first <= 0 or last <= 0):
            raise ValueError(f"needs bounds above 0 with the log scale, got {self.start} and {self.stop}")
        space = np.geomspace if self.scale == "log" else np.linspace
        spaced = space(first, last, count)
        whole = all(isinstance(v, int) for v in (self.start, self.stop)) and np.array_equal(spaced, np.round(spaced))
        return tuple(written(float(value), unit, whole=whole) for value in spaced)


#: A list, or a mapping with a range.
Values = Annotated[_Values, BeforeValidator(lambda given: {"values": given} if isinstance(given, list) else given)]


class Distribution(Settings):
    """What a sampled parameter is drawn from."""

    distribution: Literal["uniform", "log_uniform", "integer", "choice"] = "uniform"
    """Even between the bounds, even in the logarithm, whole numbers with both bounds, or one of `values`."""
    low: Bound | None = None
    """The lower bound, bare or with a unit, as `38 degC`."""
    high: Bound | None = None
    """The upper bound, in the same unit."""
    values: tuple[Any, ...] = ()
    """Of `choice`: what is drawn from, all equally likely."""

    @model_validator(mode="after")
    def _possible(self) -> Distribution:
        if self.distribution == "choice":
            if not self.values or self.low is not None or self.high is not None:
                raise ValueError("choice needs values, and neither low nor high")
            return self
        if self.values or self.low is None or self.high is None:
            raise ValueError(f"{self.distribution} needs low and high, and no values")
        low, high, _ = _bounds(self.low, self.high)
        if not low < high:
            raise ValueError(f"low must be below high, got {self.low} and {self.high}")
        if self.distribution == "log_uniform" and low <= 0:
            raise ValueError(f"log_uniform needs bounds above 0, got {self.low}")
        if self.distribution == "integer" and not (low.is_integer() and high.is_integer()):
            raise ValueError(f"integer needs whole bounds, got {self.low} and {self.high}")
        return self

    def at(self, quantiles: NDArray[np.float64]) -> Sequence[Any]:
        """The values at `quantiles` in [0, 1), as they could stand in a scenario."""
        if self.distribution == "choice":
            places = np.minimum((quantiles * len(self.values)).astype(int), len(self.values) - 1)
            return [self.values[place] for place in places]
        low, high, unit = _bounds(self.low, self.high)
        if self.distribution == "integer":
            drawn = np.minimum(np.floor(low + quantiles * (high - low + 1)), high)
            return [written(float(value), unit, whole=True) for value in drawn]
        if self.distribution == "log_uniform":
            drawn = np.exp(np.log(low) + quantiles * (np.log(high) - np.log(low)))
        else:
            drawn = low + quantiles * (high - low)
        return [written(float(value), unit) for value in drawn]
