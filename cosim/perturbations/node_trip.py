"""NodeTrip: disconnects spot loads of a feeder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from pydantic import Field

from cosim.contract import Array, Port, Time
from cosim.errors import ConfigError
from cosim.perturbations import Target, ports_named, require_label
from cosim.perturbations._timed import TimedPerturbation
from cosim.registry import unknown


class NodeTrip(TimedPerturbation):
    """Disconnects the spot loads at nodes of a feeder that an event window follows."""

    feeder: str
    """The feeder's name."""
    nodes: tuple[str, ...] = Field(min_length=1)
    """The nodes."""

    def targets(self, inputs: Mapping[str, Sequence[Port]]) -> list[Target]:
        able = ports_named(inputs, "load_available")
        found = [target for target in able if target.federate in (self.feeder, f"{self.feeder}_window")]
        if not found:
            names = [target.federate.removesuffix("_window") for target in able]
            raise ConfigError("feeder", unknown("feeder of an event window", self.feeder, names) + ".")
        for position, node in enumerate(self.nodes):
            require_label(found[0], "node", node, f"nodes.{position}")
        return found

    def effect(self, elapsed: Time, target: Target, random: np.random.Generator) -> Array:
        available = np.ones(target.port.shape)
        labels = list(target.port.coordinates["node"])
        available[[labels.index(node) for node in self.nodes]] = float(self.over(elapsed))
        return available
