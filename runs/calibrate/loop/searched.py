"""A parameter that is searched: where it acts, its bounds, its scale, and what is known of it beforehand.

The search sees every parameter as a number from 0 (its lower bound) to 1 (its upper bound), even in the value or in its
logarithm; so all are of one size, and none can leave its bounds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from cosim.settings import Settings
from runs.batch.values import Bound, split, written

Floats = NDArray[np.float64]


class Prior(Settings):
    """What is known of a parameter before the fit; without one every value within the bounds is as likely."""

    distribution: Literal["uniform", "normal", "lognormal"] = "uniform"
    """Even within the bounds; normal around `centre`; or normal in the logarithm."""
    centre: float | None = None
    """The mean of a normal, the median of a lognormal distribution [the parameter's unit]."""
    spread: float | None = Field(default=None, gt=0)
    """The standard deviation: of a normal distribution [the parameter's unit], of the logarithm of a lognormal one."""

    @model_validator(mode="after")
    def _complete(self) -> Prior:
        given = [self.centre is not None, self.spread is not None]
        if self.distribution == "uniform" and any(given):
            raise ValueError("a uniform prior has neither centre nor spread: the bounds say it all")
        if self.distribution != "uniform" and not all(given):
            raise ValueError(f"a {self.distribution} prior needs centre and spread")
        if self.distribution == "lognormal" and self.centre is not None and self.centre <= 0:
            raise ValueError(f"a lognormal prior needs a centre above 0, got {self.centre:g}")
        return self


class Searched(Settings):
    """A parameter of the scenario that is fitted."""

    path: str
    """Where it acts: a path into the scenario as batches write it, such as `feeders[oak].model.homes.cooling_share`."""
    low: Bound
    """The lowest value, bare or with a unit, as `22 degC`."""
    high: Bound
    """The highest value, in the same unit."""
    start: Bound | None = None
    """Where the first search begins; none: in the middle."""
    scale: Literal["linear", "log"] = "linear"
    """Whether the search takes equal steps in the value or in its logarithm."""
    whole: bool = False
    """Whole numbers only; for the optimisers tpe and cma."""
    step: float = Field(default=0.02, gt=0, le=0.25)
    """The step by which the effect of the parameter is found, as a share of the distance of its bounds [1]. Larger
    where the results are a rough function of it, as with thermostats or few homes."""
    prior: Prior = Prior()
    """What is known beforehand."""

    @model_validator(mode="after")
    def _possible(self) -> Searched:
        ends = [split(value) for value in (self.low, self.high, self.start) if value is not None]
        if any(end is None or not math.isfinite(end[0]) for end in ends):
            raise ValueError("low, high and start must be numbers, with one unit or none")
        if len({end[1] for end in ends if end is not None}) > 1:
            raise ValueError(f"low, high and start must be in one unit, got {self.low}, {self.high} and {self.start}")
        low, high = self.bounds
        if not low < high:
            raise ValueError(f"low must be below high, got {self.low} and {self.high}")
        if self.scale == "log" and low <= 0:
            raise ValueError(f"the log scale needs bounds above 0, got {self.low}")
        if not 0 <= self.begin <= 1:
            raise ValueError(f"start must lie between low and high, got {self.start}")
        if self.whole and not (low.is_integer() and high.is_integer()):
            raise ValueError(f"whole numbers need whole bounds, got {self.low} and {self.high}")
        return self

    @property
    def bounds(self) -> tuple[float, float]:
        """Low and high [unit]."""
        return _number(self.low), _number(self.high)

    @property
    def unit(self) -> str:
        """The unit in which the bounds are written; "" for none."""
        found = split(self.low)
        return found[1] if found else ""

    @property
    def begin(self) -> float:
        """Where the first search begins, in [0, 1]."""
        return 0.5 if self.start is None else float(self.place(np.array(_number(self.start))))

    def value(self, place: Floats) -> Floats:
        """The values [unit] at `place` in [0, 1], any shape."""
        low, high = self.bounds
        if self.scale == "log":
            return np.asarray(np.exp(np.log(low) + place * (np.log(high) - np.log(low))))
        return np.asarray(low + place * (high - low))

    def place(self, value: Floats) -> Floats:
        """Where values [unit] lie, 0 at `low` and 1 at `high`; any shape."""
        low, high = self.bounds
        if self.scale == "log":
            return np.asarray((np.log(value) - np.log(low)) / (np.log(high) - np.log(low)))
        return np.asarray((value - low) / (high - low))

    def written(self, place: float) -> Any:
        """The value at `place` as it stands in the scenario."""
        return written(float(self.value(np.array(place))), self.unit, whole=self.whole)

    def surprise(self, place: Floats) -> Floats:
        """How many standard deviations of the prior the value at `place` lies off its centre; 0 without a prior."""
        prior = self.prior
        if prior.centre is None or prior.spread is None:
            return np.zeros(np.shape(place))
        value = self.value(place)
        if prior.distribution == "lognormal":
            return np.asarray((np.log(np.maximum(value, 1e-300)) - math.log(prior.centre)) / prior.spread)
        return np.asarray((value - prior.centre) / prior.spread)


def _number(text: Bound) -> float:
    found = split(text)
    return math.nan if found is None else found[0]


def starting_points(parameters: Sequence[Searched], count: int, seed: int) -> Floats:
    """The first guess, and Sobol points of the box beside it: (count, parameters) in [0, 1]."""
    from scipy.stats import qmc

    first = np.array([[each.begin for each in parameters]])
    if count == 1:
        return first
    sampler = qmc.Sobol(len(parameters), rng=seed)
    drawn = sampler.random_base2(math.ceil(math.log2(count - 1)) if count > 2 else 0)[: count - 1]
    return np.concatenate([first, drawn])


def as_written(parameters: Mapping[str, Searched], point: Floats) -> dict[str, Any]:
    """A point (parameters,) as values of the scenario, by the parameters' names."""
    return {name: each.written(float(place)) for (name, each), place in zip(parameters.items(), point, strict=True)}


__all__ = ["Prior", "Searched", "as_written", "starting_points"]
