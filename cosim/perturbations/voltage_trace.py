"""VoltageTrace: imposes a voltage trace on the head of the feeders at a bus."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from cosim.contract import Array, Port, Time
from cosim.perturbations import Target
from cosim.perturbations._head import at_bus, head_targets
from cosim.perturbations._trace import Trace


class VoltageTrace(Trace):
    """Multiplies the voltage at the head of the feeders at a bus with a trace, in an event window."""

    reach: ClassVar[tuple[float, float]] = (0.0, 2.0)

    column: str = "voltage"
    """The column of the factor on the voltage [1]."""

    def targets(self, inputs: Mapping[str, Sequence[Port]]) -> list[Target]:
        return head_targets(inputs, "voltage_factor", self.bus)

    def effect(self, elapsed: Time, target: Target, random: np.random.Generator) -> Array:
        return at_bus(target, self.bus, self.value(elapsed), 1.0)
