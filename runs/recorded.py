"""What a run recorded, by variable, straight from its Zarr store.

`Run.results` gives the same as an xarray.DataTree for analysis; this reads without xarray and pandas, whose
import takes longer than all that a summary and a report do, and in blocks, so that a grid of 80,000 buses
fits into memory. A failed run is read as far as it got.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosim.contract import Array, Time
from cosim.federation import Federation
from cosim.results import COUPLING, RESULTS
from cosim.simulation import Run
from cosim.stored_arrays import StoredArray, arrays, groups
from cosim.units import UNITS

Floats = NDArray[np.float64]
Times = NDArray[np.int64]

BLOCK = 32_000_000  #: [B] read at once
PERTURBATIONS = "perturbations"  #: the federate that the wiring adds for a scenario's perturbations
NODE_VOLTAGE = "node_voltage"  #: the voltages of a feeder
BUS_VOLTAGE = "voltage"  #: those of a transmission grid
POWERS = ("power", "apparent power")  #: dimensions of units whose real part is an active power


@dataclass(frozen=True)
class Variable:
    """One recorded quantity of one federate, of shape (time, *dimensions), read when asked."""

    group: str
    name: str
    unit: str
    title: str
    labels: Mapping[str, tuple[str, ...]]  #: dimension beyond time -> labels
    times: Times  #: [ns] since the start
    attributes: Mapping[str, Any]
    array: StoredArray

    @property
    def key(self) -> str:
        return f"{self.group}.{self.name}"

    @property
    def values(self) -> Array:
        """All of it; what a crash left of the last step is cut off."""
        return np.asarray(self.array[: self.times.size])

    def blocks(self) -> Iterator[tuple[Times, Array]]:
        """It in pieces of whole chunks along time, no larger than needs be."""
        row = max(1, int(np.prod(self.array.shape[1:])) * self.array.dtype.itemsize)
        chunk = self.array.chunks[0]
        rows = max(1, BLOCK // (row * chunk)) * chunk
        for first in range(0, self.times.size, rows):
            last = min(first + rows, self.times.size)
            yield self.times[first:last], np.asarray(self.array[first:last])

    @property
    def is_power(self) -> bool:
        return UNITS[self.unit][0] in POWERS

    def total_power(self) -> Floats:
        """The active power of all its elements together at each time [MW]."""
        factor = UNITS[self.unit][1]
        sums = [block.real.reshape(len(block), -1).sum(axis=1) for _, block in self.blocks()]
        return factor * np.concatenate([np.zeros(0), *sums])


class Recorded:
    """The groups and variables of a run's store; empty where the run left none."""

    def __init__(self, run: Run) -> None:
        """Open the store. Raises ResultsError if the run has no manifest."""
        self.run = run
        self.federation: Mapping[str, Any] = run.manifest["federation"]
        self.start = datetime.fromisoformat(self.federation["start"])
        self.groups: dict[str, dict[str, Variable]] = {}
        store = run.folder / RESULTS
        for name in groups(store):
            variables = _variables(name, arrays(store / name))
            if name == COUPLING:
                self.coupling = variables
            else:
                self.groups[name] = variables

    coupling: Mapping[str, Variable] = {}  #: boundary link -> mismatch

    def having(self, *names: str) -> list[str]:
        """The federates that recorded all of `names`."""
        return [group for group, variables in self.groups.items() if set(names) <= set(variables)]

    def get(self, group: str, name: str) -> Variable | None:
        """A variable, if it was recorded."""
        return self.groups.get(group, {}).get(name)

    @property
    def powers(self) -> list[Variable]:
        """The power that each feeder, or another federate with an output `power`, draws."""
        found = [variables["power"] for variables in self.groups.values() if "power" in variables]
        return [variable for variable in found if variable.is_power]

    @property
    def loads(self) -> list[Variable]:
        """The total load of each transmission grid."""
        found = [variables["load"] for variables in self.groups.values() if "load" in variables]
        return [variable for variable in found if variable.is_power and not variable.labels]

    @property
    def voltages(self) -> list[Variable]:
        """Voltages in per unit, by node of a feeder or by bus."""
        names = (NODE_VOLTAGE, BUS_VOLTAGE)
        found = [variables[name] for variables in self.groups.values() for name in names if name in variables]
        return [variable for variable in found if variable.unit == "pu" and len(variable.labels) == 1]

    @cached_property
    def carrier(self) -> str | None:
        """The federate that carries the messages, if there is one."""
        return Federation.model_validate(self.federation).carrier

    @property
    def reached(self) -> Time:
        """The last recorded time [ns]; -1 if nothing was recorded."""
        return max((int(v.times[-1]) for vs in self.groups.values() for v in vs.values() if v.times.size), default=-1)

    def local(self, time: Time) -> datetime:
        """Local standard time at `time` [ns]."""
        return self.start + timedelta(microseconds=time / 1000)

    def settings(self, group: str) -> Mapping[str, Any]:
        """The settings with which a federate ran; empty if there is no such federate."""
        found = [spec["settings"] for spec in self.federation["federates"] if spec["name"] == group]
        return found[0] if found else {}


def _variables(group: str, arrays: Mapping[str, StoredArray]) -> dict[str, Variable]:
    if "time" not in arrays:
        return {}
    times = arrays["time"][...]
    found = {}
    for name, array in arrays.items():
        first, *others = array.dimensions
        if name == "time" or first != "time":
            continue
        labels = {dimension: tuple(str(label) for label in arrays[dimension][...]) for dimension in others}
        rows = min(times.size, len(array))
        unit, title = array.attributes["units"], array.attributes["long_name"]
        found[name] = Variable(group, name, unit, title, labels, times[:rows], array.attributes, array)
    return found
