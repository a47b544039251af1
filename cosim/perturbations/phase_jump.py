"""PhaseJump: turns the voltage at the head of the feeders at a bus, as switching does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from cosim.contract import Array, Port, Time
from cosim.perturbations import Target
from cosim.perturbations._head import at_bus, head_targets
from cosim.perturbations._timed import TimedPerturbation
from cosim.units import quantity


class PhaseJump(TimedPerturbation):
    """Turns the voltage's angle at the head of the feeders at a bus. The switching of a line makes jumps by itself."""

    window_only: ClassVar[bool] = True
    may_stay: ClassVar[bool] = True
    combine: ClassVar[Literal["multiply", "add"]] = "add"

    bus: str = Field(coerce_numbers_to_str=True)
    """The bus where the feeders hang; without a transmission grid the feeder's name."""
    angle: Annotated[float, quantity("deg")] = Field(ge=-180, le=180)
    """By how much, positive ahead [deg]."""

    def targets(self, inputs: Mapping[str, Sequence[Port]]) -> list[Target]:
        return head_targets(inputs, "angle_change", self.bus)

    def effect(self, elapsed: Time, target: Target, random: np.random.Generator) -> Array:
        return at_bus(target, self.bus, 0.0 if self.over(elapsed) else self.angle, 0.0)
