"""The transmission grid as arrays: what the power flow, the dispatch and the case files share.

Quantities, signs and the branch model are MATPOWER's (MATPOWER User's Manual 8.1, appendix B,
https://matpower.org/doc), but buses are positions (0, 1, ...) everywhere except in labels.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]
Complexes = NDArray[np.complex128]

PQ, PV, REFERENCE, ISOLATED = 1, 2, 3, 4  #: bus types


class CaseError(ValueError):
    """A transmission case is unknown, cannot be read, or is not a grid that can be solved."""


@dataclass(frozen=True)
class Buses:
    """One entry per bus."""

    label: tuple[str, ...]  #: MATPOWER's bus number as text
    kind: Integers  #: PQ 1, PV 2, reference 3, isolated 4
    load: Complexes  #: [MVA] consumption
    shunt: Complexes  #: [MVA at 1 pu] admittance Gs + jBs; a capacitor is positive imaginary
    voltage: Complexes  #: [pu] the file's own solution or first guess
    base_voltage: Floats  #: [kV]
    lowest_voltage: Floats  #: [pu]
    highest_voltage: Floats  #: [pu]
    area: Integers

    def __len__(self) -> int:
        return len(self.label)


@dataclass(frozen=True)
class Branches:
    """One entry per line or transformer; the ideal transformer stands at the `from_bus` end."""

    label: tuple[str, ...]  #: "1-2"; the second one between the same buses is "1-2-2"
    from_bus: Integers  #: position in `Buses`
    to_bus: Integers
    resistance: Floats  #: [pu]
    reactance: Floats  #: [pu]
    susceptance: Floats  #: [pu] total line charging
    ratio: Floats  #: [1] off-nominal turns ratio, 1 for a line
    shift: Floats  #: [rad] phase shift, positive delays the `to_bus` end
    rating: Floats  #: [MVA] 0 where unrated
    in_service: Booleans

    def __len__(self) -> int:
        return len(self.label)


@dataclass(frozen=True)
class Costs:
    """Cost of each generator's active power."""

    startup: Floats  #: [$]
    shutdown: Floats  #: [$]
    polynomial: Floats  #: (generator, 3) [$/h], [$/MWh], [$/MW²h]: c0, c1, c2; zeros where piecewise
    points: Floats  #: (generator, point, 2) [MW], [$/h] of a piecewise linear cost, NaN where none


@dataclass(frozen=True)
class Generators:
    """One entry per generator."""

    label: tuple[str, ...]  #: "30"; "30-1", "30-2", ... where several stand at bus 30
    bus: Integers  #: position in `Buses`
    power: Complexes  #: [MVA] the file's dispatch
    lowest_active: Floats  #: [MW]
    highest_active: Floats  #: [MW]
    lowest_reactive: Floats  #: [Mvar]
    highest_reactive: Floats  #: [Mvar]
    voltage_setpoint: Floats  #: [pu]
    ramp: Floats  #: [MW/min] infinite where the case gives none
    in_service: Booleans
    fuel: tuple[str, ...]  #: MATPOWER's `genfuel`, "" where unknown
    costs: Costs | None  #: None where the case gives none

    def __len__(self) -> int:
        return len(self.label)


@dataclass(frozen=True)
class DcLines:
    """One entry per DC line: a fixed withdrawal at one bus, a fixed injection at the other."""

    label: tuple[str, ...]
    from_bus: Integers
    to_bus: Integers
    from_power: Complexes  #: [MVA] flow into the line at `from_bus`
    to_power: Complexes  #: [MVA] flow out of the line at `to_bus`; reactive power is an injection
    in_service: Booleans

    def __len__(self) -> int:
        return len(self.label)


@dataclass(frozen=True)
class TransmissionCase:
    """A whole transmission grid; every array is read-only."""

    name: str
    base_mva: float  #: [MVA]
    buses: Buses
    branches: Branches
    generators: Generators
    dc_lines: DcLines
    left_out: tuple[str, ...] = ()  #: what its file holds and nobody uses, a sentence each

    def bus_position(self, label: str) -> int:
        """The position of the bus called `label`. Raises CaseError with the closest labels."""
        try:
            return self.buses.label.index(label)
        except ValueError:
            raise CaseError(f"{self.name} has no bus '{label}'. {closest_names(label, self.buses.label)}") from None

    def loss_share(self) -> float:
        """Losses in the case's own dispatch, of its load [1]; the two injections of a DC line are among both."""
        generation = float(self.generators.power.real[self.generators.in_service].sum())
        load = float(self.buses.load.real.sum())
        return max(generation - load, 0.0) / load if load > 0.0 else 0.0

    def dc_injection(self) -> Complexes:
        """What the DC lines inject into each bus [MVA], shape (bus,).

        As in MATPOWER, a DC line is a generator at each end: active power leaves the AC grid at
        `from_bus` and returns at `to_bus`; both converters inject their reactive power.
        """
        lines, injection = self.dc_lines, np.zeros(len(self.buses), dtype=complex)
        sending = -lines.from_power.real + 1j * lines.from_power.imag
        np.add.at(injection, lines.from_bus, np.where(lines.in_service, sending, 0))
        np.add.at(injection, lines.to_bus, np.where(lines.in_service, lines.to_power, 0))
        return injection


def closest_names(name: str, known: Sequence[str]) -> str:
    """The end of an error message: the names in `known` that are most like `name`."""
    close = difflib.get_close_matches(name, known, 5, 0.5) if len(known) < 5_000 else []
    return "Closest: " + ", ".join(close or [*known[:5], "..."])
