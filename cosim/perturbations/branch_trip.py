"""BranchTrip: takes a line or transformer out of service."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from pydantic import Field

from cosim.contract import Array, Port, Time
from cosim.perturbations import Target
from cosim.perturbations._timed import TimedPerturbation
from cosim.perturbations._unit_trip import unit_effect, unit_targets


class BranchTrip(TimedPerturbation):
    """Takes a line or transformer out of service."""

    branch: str = Field(coerce_numbers_to_str=True)
    """The branch's label, as in the results."""

    def targets(self, inputs: Mapping[str, Sequence[Port]]) -> list[Target]:
        return unit_targets(inputs, "branch", self.branch, "branch")

    def effect(self, elapsed: Time, target: Target, random: np.random.Generator) -> Array:
        return unit_effect(self, elapsed, target, self.branch)
