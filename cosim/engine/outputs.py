"""A federate's outputs, held against its ports and kept in one row: others read them there, the journal writes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosim.contract import Array, Exchange, Port
from cosim.engine.row import Layout, Row
from cosim.errors import ContractError
from cosim.federation import PortReference


class Outputs:
    """The last solution of one federate."""

    def __init__(self, ports: Sequence[Port]) -> None:
        """`ports` in the order in which they are to lie in the row; all are outputs."""
        self._ports = {port.name: port for port in ports}
        self._row = Row(map(_layout, ports))
        self.arrays: Mapping[str, Array] = dict(zip(self._ports, self._row.arrays, strict=True))
        self._places = tuple((port, self.arrays[port.name], port.shape) for port in ports)

    def part(self, reference: PortReference) -> Array:
        """Where a port lies, or the part of it that has a label."""
        place: tuple[Any, ...] = (*reference.index(self._ports[reference.port]), ...)
        found: Array = self.arrays[reference.port][place]
        return found

    def numbers(self, ports: Sequence[Port]) -> NDArray[np.float64]:
        """The numbers of `ports`, the first ones in the row."""
        return self._row.numbers[: sum(_layout(port).size for port in ports)]

    def accept(self, solution: Exchange) -> None:
        """Copy every output into the row. Raises ContractError naming the port that it does not fit."""
        if not isinstance(solution, Exchange):
            raise ContractError(f"solve must return an Exchange, got {type(solution).__name__}")
        values = solution.values
        if values.keys() != self.arrays.keys():
            missing, extra = sorted(set(self.arrays) - set(values)), sorted(set(values) - set(self.arrays))
            raise ContractError(f"solve must give every output and no other; missing: {missing}, not declared: {extra}")
        for port, array, shape in self._places:
            given = values[port.name]
            if isinstance(given, np.ma.MaskedArray) and given.mask.any():
                raise ContractError(f"output '{port.name}' [{port.unit}] holds masked values: missing data is no value")
            value = np.asarray(given)
            if value.shape != shape:
                raise ContractError(f"output '{port.name}' must have the shape {shape}, got {value.shape}")
            kind = value.dtype.kind
            if kind not in "biufc":
                raise ContractError(f"output '{port.name}' must hold numbers, got values of type {value.dtype}")
            if kind == "c" and not port.is_complex:
                raise ContractError(f"output '{port.name}' is declared real, got complex values")
            array[...] = value
        if not np.isfinite(self._row.numbers).all():
            port = next(port for port, array, _ in self._places if not np.isfinite(array).all())
            raise ContractError(f"output '{port.name}' [{port.unit}] holds NaN or infinity")


def _layout(port: Port) -> Layout:
    return Layout(port.shape, port.is_complex)
