"""CommunicationOutage: makes a communication link lose every message sent on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from pydantic import Field

from cosim.contract import Array, Port, Time
from cosim.perturbations import Target
from cosim.perturbations._timed import TimedPerturbation
from cosim.perturbations._unit_trip import unit_effect, unit_targets


class CommunicationOutage(TimedPerturbation):
    """Makes a communication link lose every message sent on it."""

    link: str = Field(coerce_numbers_to_str=True)
    """The link's name in the `communications` section."""

    def targets(self, inputs: Mapping[str, Sequence[Port]]) -> list[Target]:
        return unit_targets(inputs, "link", self.link, "link")

    def effect(self, elapsed: Time, target: Target, random: np.random.Generator) -> Array:
        return unit_effect(self, elapsed, target, self.link)
