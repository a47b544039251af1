"""What the inputs of a federate were, worked out from what was recorded of those who gave them.

A link takes the newest value that its source had given before the destination's turn, times its gain; several links to
one place add up. Of a link with a tolerance the destination recorded what it used.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosim.check import Store
from cosim.contract import Port
from cosim.federation import Federation, LinkSpec, is_recorded
from cosim.stored_arrays import StoredArray


class UnknownInputError(Exception):
    """An input cannot be worked out: the output that is named was not recorded, or left out."""


def brought(ports: Sequence[Port], links: Iterable[LinkSpec], name: str) -> dict[str, Any]:
    """How the links bring an input, as plain data: its unit, shape, value at rest, and each link with its place."""
    port = next(port for port in ports if port.direction == "in" and port.name == name)
    ending = [link for link in links if link.destination.port == name]
    rest = np.asarray(0.0 if port.initial is None else port.initial, dtype=complex)
    return {
        "unit": port.unit,
        "shape": list(port.shape),
        "rest": rest.real.tolist(),
        "links": [[link.key, list(link.destination.index(port))] for link in ending],
    }


class RecordedInputs:
    """The inputs of one federate at each of its recorded steps."""

    def __init__(self, federation: Federation, store: Store, name: str) -> None:
        self._federation, self._store, self._own = federation, store, store[name]
        self._links = {link.key: link for link in federation.links_to(name)}
        self._slot = {spec.name: spec.slot for spec in federation.federates}
        self._opens = {spec.name: spec.opening is not None for spec in federation.federates}
        self._name = name
        self._known: dict[str, NDArray[Any]] = {}

    @property
    def times(self) -> NDArray[np.int64]:
        """The recorded steps [ns]."""
        times: NDArray[np.int64] = self._own["time"][...]
        return times

    def value(self, name: str, how: Mapping[str, Any]) -> NDArray[Any]:
        """An input (steps, ...) that came as `brought` says. Raises UnknownInputError, ResultsError."""
        if name not in self._known:
            self._known[name] = self._gathered(how)
        return self._known[name]

    def output(self, name: str) -> StoredArray:
        """An output of the federate itself. Raises UnknownInputError."""
        return self._recorded(self._name, name)

    def _gathered(self, how: Mapping[str, Any]) -> NDArray[Any]:
        count = len(self.times)
        rest = np.broadcast_to(np.asarray(how["rest"], dtype=float), how["shape"])
        places = [tuple(place) for _, place in how["links"]]
        base = np.broadcast_to(rest, (count, *rest.shape)).astype(complex)
        for place in places:
            base[(slice(None), *place)] = 0.0
        for (key, _), place in zip(how["links"], places, strict=True):
            base[(slice(None), *place)] += self._carried(self._links[key], rest[place] / places.count(place))
        return base

    def _carried(self, link: LinkSpec, before: Any) -> Any:
        """What a link brought at each step; `before` as long as nothing had come."""
        used = self._own.get(f"used {link.key}")
        if used is not None:
            return link.gain * used[...]
        source, own = self._slot[link.source.federate], self._slot[link.destination.federate]
        if source == own:
            raise UnknownInputError(f"{link.source} at the step before, or at the same")
        if link.lagged and self._opens[link.source.federate]:
            raise UnknownInputError(f"{link.source} before its first step, at its opening")
        array = self._recorded(link.source.federate, link.source.port)
        values = array[...]
        if link.source.label is not None:
            labels = self._store[link.source.federate][array.dimensions[1]][...].tolist()
            values = values[:, labels.index(link.source.label)]
        given: NDArray[np.int64] = self._store[link.source.federate]["time"][...]
        rows = np.searchsorted(given, self.times, side="right" if source < own else "left") - 1
        carried = link.gain * values[np.maximum(rows, 0)]
        carried[rows < 0] = before
        return carried

    def _recorded(self, federate: str, port: str) -> StoredArray:
        array = self._store.get(federate, {}).get(port)
        steps = self._store.get(federate, {}).get("time")
        if array is None or steps is None or len(array) != len(steps):
            raise UnknownInputError(f"{federate}.{port}")
        return array

    def left_out(self, error: UnknownInputError) -> bool:
        """Whether what is not known was not to be recorded: the verdict says so elsewhere."""
        return not is_recorded(str(error), self._federation.exclude) or " " in str(error)
