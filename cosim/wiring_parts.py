"""What the wiring handles: federates and links while a federation is being put together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cosim.contract import Federate, Port
from cosim.federation import LinkSpec
from cosim.settings import Settings
from cosim.yaml_places import Location


@dataclass(frozen=True)
class Part:
    """A federate while the federation is being put together."""

    name: str
    location: Location
    kind: str
    config: Settings
    federate: Federate
    ports: Sequence[Port]
    left_out: Sequence[str] = ()

    def port(self, name: str, direction: str) -> Port | None:
        """The port of that name and direction, if there is one."""
        return next((port for port in self.ports if port.name == name and port.direction == direction), None)


@dataclass(frozen=True)
class Wish:
    """A link that is wanted, and the place to name if it cannot be had."""

    link: LinkSpec
    location: Location
