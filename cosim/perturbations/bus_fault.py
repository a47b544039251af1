"""BusFault: a three-phase fault at a transmission bus, and its clearing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from cosim.contract import Array, Port, Time
from cosim.errors import ConfigError
from cosim.perturbations import Target, ports_named, require_label
from cosim.perturbations._timed import TimedPerturbation


class BusFault(TimedPerturbation):
    """A three-phase fault to earth at a bus; `lasting` is its clearing time. A line that is opened to clear it is a
    BranchTrip at the time of the clearing.
    """

    window_only: ClassVar[bool] = True
    combine: ClassVar[Literal["multiply", "add"]] = "add"

    bus: str = Field(coerce_numbers_to_str=True)
    """The transmission bus."""
    resistance: float = Field(default=0.0, ge=0)
    """Resistance of the fault [pu on the system's base]."""
    reactance: float = Field(default=1e-4, ge=0)
    """Reactance of the fault [pu on the system's base]."""

    @model_validator(mode="after")
    def _some_impedance(self) -> Self:
        if abs(complex(self.resistance, self.reactance)) < 1e-5:
            raise ValueError("resistance and reactance must be at least 0.00001 pu together: a dead short has no model")
        return self

    def targets(self, inputs: Mapping[str, Sequence[Port]]) -> list[Target]:
        found = ports_named(inputs, "fault_admittance")
        if not found:
            raise ConfigError("bus", "this scenario has no transmission dynamics.", "Add `event_window.transmission`.")
        for target in found:
            require_label(target, "bus", self.bus, "bus")
        return found

    def effect(self, elapsed: Time, target: Target, random: np.random.Generator) -> Array:
        admittance = np.zeros(target.port.shape, dtype=complex)
        if not self.over(elapsed):
            position = list(target.port.coordinates["bus"]).index(self.bus)
            admittance[position] = 1 / complex(self.resistance, self.reactance)
        return admittance
