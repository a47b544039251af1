"""What generators are scheduled to give: inside their limits and ramps; arrays over generators [MW]."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solvers.transmission_grid import Booleans, Floats, Generators

ASSUMED_RAMP = 2.0  #: [%/min] of their capacity, of generators for which a case has none: an assumption


def ramps(generators: Generators, assumed: float) -> Floats:
    """Ramp limits [MW/min]: the case's, else `assumed` [%/min] of the capacity; infinite for a unit of no size."""
    lowest = np.where(generators.in_service, generators.lowest_active, 0.0)
    highest = np.where(generators.in_service, generators.highest_active, 0.0)
    capacity = np.maximum(np.abs(lowest), np.abs(highest))
    default = np.where(capacity > 0.0, assumed / 100.0 * capacity, np.inf)
    return np.where(np.isfinite(generators.ramp), generators.ramp, default)


@dataclass(frozen=True)
class Limits:
    """Between which powers each generator may be scheduled, and how fast it moves."""

    low: Floats  #: [MW]
    high: Floats  #: [MW]
    ramp: Floats  #: [MW/min]
    lowest: Floats  #: [MW] what the case states, wherever it dispatches the generator
    highest: Floats  #: [MW] as above

    @classmethod
    def of(cls, generators: Generators, minimum_generation: float, assumed_ramp: float) -> Limits:
        """`minimum_generation` [1] is the share of the lowest power that holds.

        Some cases dispatch a generator beyond its own limits (case39 at bus 31); it is left there, and `lowest` and
        `highest` tell.
        """
        in_case = np.where(generators.in_service, generators.power.real, 0.0)
        low, lowest = (
            np.where(power > 0, minimum_generation * power, power)
            for power in (np.minimum(generators.lowest_active, in_case), generators.lowest_active)
        )
        highest = generators.highest_active
        return cls(low, np.maximum(highest, in_case), ramps(generators, assumed_ramp), lowest, highest)


def moved(wanted: Floats, before: Floats, minutes: float, limits: Limits, limited: NDArray[np.bool_]) -> Floats:
    """Where units are that want to give `wanted` [MW] and gave `before` `minutes` ago; only `limited` ones ramp."""
    room = limits.ramp * minutes
    return np.where(limited, np.clip(wanted, before - room, before + room), wanted)


def beyond_limits(given: Floats, limits: Limits, running: Booleans) -> Floats:
    """How much more than its maximum (positive) or less than its minimum (negative) each running unit gives [MW]."""
    beyond: Floats = np.maximum(given - limits.highest, 0.0) + np.minimum(given - limits.lowest, 0.0)
    return np.where(running, beyond, 0.0)


def beyond_ramps(given: Floats, before: Floats, minutes: float, limits: Limits, running: Booleans) -> Floats:
    """How much faster than its ramp allows each unit that ran and runs has moved [MW/min]."""
    with np.errstate(invalid="ignore"):
        beyond: Floats = np.maximum(np.abs(given - before) / minutes - limits.ramp, 0.0)
    return np.where(running, beyond, 0.0)
