"""FrequencyTrace: imposes a frequency trace on the feeders at a bus."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import numpy as np

from cosim.contract import Array, Port, Time
from cosim.perturbations import Target
from cosim.perturbations._head import at_bus, head_targets
from cosim.perturbations._trace import Trace


class FrequencyTrace(Trace):
    """Adds a trace to the frequency that feeders at a bus have in an event window."""

    combine: ClassVar[Literal["multiply", "add"]] = "add"
    reach: ClassVar[tuple[float, float]] = (-20.0, 20.0)

    column: str = "frequency"
    """The column of the change of frequency [Hz]."""

    def targets(self, inputs: Mapping[str, Sequence[Port]]) -> list[Target]:
        return head_targets(inputs, "frequency_change", self.bus)

    def effect(self, elapsed: Time, target: Target, random: np.random.Generator) -> Array:
        return at_bus(target, self.bus, self.value(elapsed), 0.0)
