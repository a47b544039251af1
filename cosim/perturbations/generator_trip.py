"""GeneratorTrip: takes a generator out of service."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
from pydantic import Field

from cosim.contract import Array, Port, Time
from cosim.perturbations import Target
from cosim.perturbations._timed import TimedPerturbation
from cosim.perturbations._unit_trip import unit_effect, unit_targets


class GeneratorTrip(TimedPerturbation):
    """Takes a generator out of service."""

    returns_in_window: ClassVar[bool] = False

    generator: str = Field(coerce_numbers_to_str=True)
    """The generator's label, as in the results."""

    def targets(self, inputs: Mapping[str, Sequence[Port]]) -> list[Target]:
        return unit_targets(inputs, "generator", self.generator, "generator")

    def effect(self, elapsed: Time, target: Target, random: np.random.Generator) -> Array:
        return unit_effect(self, elapsed, target, self.generator)
