"""The part that what is imposed on feeders' heads in an event window shares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from cosim.contract import Array, Port
from cosim.errors import ConfigError
from cosim.perturbations import Target, ports_named, require_label


def head_targets(inputs: Mapping[str, Sequence[Port]], port: str, bus: str) -> list[Target]:
    """The boundary's input of that name. Raises ConfigError if there is no event window or no such bus."""
    found = ports_named(inputs, port)
    if not found:
        raise ConfigError("bus", "this scenario has no event window.", "Add `event_window`.")
    for target in found:
        require_label(target, "bus", bus, "bus")
    return found


def at_bus(target: Target, bus: str, value: float, elsewhere: float) -> Array:
    """`value` at the bus, `elsewhere` at the others."""
    values = np.full(target.port.shape, elsewhere)
    values[list(target.port.coordinates["bus"]).index(bus)] = value
    return values
