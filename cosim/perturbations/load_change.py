"""LoadChange: the load at a transmission bus changes by a given power."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from cosim.contract import Array, Port, Time
from cosim.errors import ConfigError
from cosim.perturbations import Target, ports_named, require_label
from cosim.perturbations._timed import TimedPerturbation
from cosim.units import Power, quantity


class LoadChange(TimedPerturbation):
    """Adds a power to the load at a bus."""

    combine: ClassVar[Literal["multiply", "add"]] = "add"

    bus: str = Field(coerce_numbers_to_str=True)
    """The transmission bus."""
    power: Power = 0.0
    """Added active power; negative takes load away [MW]."""
    reactive_power: Annotated[float, quantity("Mvar")] = 0.0
    """Added reactive power [Mvar]."""

    def targets(self, inputs: Mapping[str, Sequence[Port]]) -> list[Target]:
        found = ports_named(inputs, "load_change")
        if not found:
            raise ConfigError("bus", "this scenario has no transmission grid.", "Add a `transmission` section.")
        for target in found:
            require_label(target, "bus", self.bus, "bus")
        return found

    def effect(self, elapsed: Time, target: Target, random: np.random.Generator) -> Array:
        change = np.zeros(target.port.shape, dtype=complex)
        if not self.over(elapsed):
            change[list(target.port.coordinates["bus"]).index(self.bus)] = complex(self.power, self.reactive_power)
        return change
