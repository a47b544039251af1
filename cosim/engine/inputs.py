"""A federate's inputs, gathered from its links."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cosim.contract import Array, Exchange, Message, Port, Time
from cosim.engine.journal import Column
from cosim.engine.row import Layout, Row
from cosim.errors import ContractError
from cosim.federation import LinkSpec
from cosim.units import format_duration


class Source(Protocol):
    """Where values and messages come from: the engine's switchboard, or a plain loop that needs none."""

    def value(self, position: int) -> Array | None:
        """Where the newest value of the link at `position` lies, always the same array; None if none ever came."""

    def receive(self) -> list[Message]:
        """Take all messages that have come."""


class Inputs:
    """The input values of one federate: from links, summed where several end at one place."""

    def __init__(self, ports: Sequence[Port], links: Sequence[LinkSpec]) -> None:
        self._ports = {port.name: port for port in ports if port.direction == "in"}
        self._links = links
        self._places = [
            (link.destination.port, link.destination.index(self._ports[link.destination.port])) for link in links
        ]
        self._base = {name: _initial(port) for name, port in self._ports.items()}
        self._values = [self._share_of_initial(position) for position in range(len(links))]
        self._missing = list(range(len(links)))  #: the links on which nothing has come yet
        for port, index in self._places:
            self._base[port][index] = 0.0
        self._boundary = [position for position, link in enumerate(links) if link.tolerance is not None]
        self._watched = Row(self._layout(links[position]) for position in self._boundary)
        self.messages: list[Message] = []

    def _share_of_initial(self, position: int) -> Array:
        """What a link holds before anything came: links to one place share its initial value evenly."""
        link, (port, index) = self._links[position], self._places[position]
        sharing = sum(other.destination == link.destination for other in self._links)
        initial = self._base[port][index]
        return np.ascontiguousarray(initial / (link.gain * sharing)).reshape(np.shape(initial))

    def _layout(self, link: LinkSpec) -> Layout:
        port = self._ports[link.destination.port]
        return Layout(link.destination.shape(port), port.is_complex)

    def column(self, link: LinkSpec) -> Column:
        """How the used value of a link with a tolerance is recorded."""
        port = self._ports[link.destination.port]
        skip = 0 if link.destination.label is None else 1
        coordinates = dict(list(port.coordinates.items())[skip:])
        return Column(
            f"used {link.key}",
            port.unit,
            f"{port.title}, as used",
            coordinates,
            port.is_complex,
            link=link.key,
        )

    def read(self, source: Source, *, complete: bool) -> None:
        """Take what has come. If `complete`, raise ContractError naming a link where nothing came that had to."""
        for position in tuple(self._missing):
            link, value = self._links[position], source.value(position)
            if value is not None:
                self._values[position] = value
                self._missing.remove(position)
            elif complete and not (link.lagged or link.late):
                raise ContractError(f"link {link.key} carried nothing: '{link.source.federate}' has published no value")
        self.messages += source.receive()

    def take(self) -> Exchange:
        """Every input port's value in its shape, and the messages; notes what is used."""
        values = {name: base.copy() for name, base in self._base.items()}
        for link, (port, index), value in zip(self._links, self._places, self._values, strict=True):
            values[port][index] += link.gain * value
        for used, position in zip(self._watched.arrays, self._boundary, strict=True):
            used[...] = self._values[position]
        return Exchange(values, tuple(self.messages))

    @property
    def used(self) -> NDArray[np.float64]:
        """The values of the links with a tolerance, as the last solution used them, in one row."""
        return self._watched.numbers

    def agree(self) -> bool:
        """Whether every link with a tolerance now holds what the last solution used, up to the tolerance."""
        return all(
            bool(np.all(np.abs(link.gain * (self._values[position] - used)) <= link.tolerance))
            for used, position in zip(self._watched.arrays, self._boundary, strict=True)
            if (link := self._links[position]).tolerance is not None
        )

    def silent(self, steps: int) -> list[str]:
        """The links on which nothing ever came; in the only step of a run nothing can have come over a lagged one."""
        links = (self._links[position] for position in self._missing)
        return [link.key for link in links if not (link.lagged and steps == 1)]


def _initial(port: Port) -> Array:
    value = 0.0 if port.initial is None else port.initial
    return np.array(np.broadcast_to(np.asarray(value, dtype=complex if port.is_complex else float), port.shape))


def check_next_time(time: Time, following: Time | None, step: Time) -> None:
    """Raise ContractError if `following`, what next_time(`time`) gave, is no later multiple of the base step [ns]."""
    if following is not None and following <= time:
        raise ContractError(
            f"next_time at {format_duration(time)} must give a later time, got {format_duration(following)}"
        )
    if following is not None and following % step:
        raise ContractError(
            f"next_time at {format_duration(time)} must give a multiple of the base step {format_duration(step)}, "
            f"got {format_duration(following)}"
        )
