"""VoltageSag: imposes a sag on the head of the feeders at a bus."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
from pydantic import Field

from cosim.contract import Array, Port, Time
from cosim.perturbations import Target
from cosim.perturbations._head import at_bus, head_targets
from cosim.perturbations._timed import TimedPerturbation


class VoltageSag(TimedPerturbation):
    """Lowers the voltage at the head of the feeders at a bus to a share of what it is, in an event window."""

    window_only: ClassVar[bool] = True

    bus: str = Field(coerce_numbers_to_str=True)
    """The bus where the feeders hang; without a transmission grid the feeder's name."""
    residual: float = Field(ge=0.02, le=1.5)
    """What is left of the voltage [1]; above 1 a swell."""

    def targets(self, inputs: Mapping[str, Sequence[Port]]) -> list[Target]:
        return head_targets(inputs, "voltage_factor", self.bus)

    def effect(self, elapsed: Time, target: Target, random: np.random.Generator) -> Array:
        return at_bus(target, self.bus, 1.0 if self.over(elapsed) else self.residual, 1.0)
