"""Bus voltages in the first moments of a disturbance: machines behind their subtransient reactance.

The classical short-circuit calculation with loads (P. M. Anderson, Analysis of Faulted Power Systems, 1995): every
machine is a constant voltage behind x'', every load the admittance that it had at the opening. The admittance matrix
is factorised once for what is in service; what is connected beside, faults and changes of load, is superposed:

    V = V0 - Z[:, c] Y (1 + Z[c, c] Y)^-1 V0[c]        Y: the admittances connected at the buses c

Excitation and governors do not act, so a voltage is right for some tenths of a second after an event, not after.
"""

from __future__ import annotations

import numpy as np

from solvers.admittance import branch_admittances, bus_admittance
from solvers.transmission_grid import Booleans, Complexes, Floats, TransmissionCase

CONSTANT_POWER_ABOVE = 0.7  #: [1] of its first voltage; PSS/E's default for constant-power loads (PQBRAK)


class SubtransientNetwork:
    """A grid whose machines are constant voltages behind a reactance."""

    def __init__(
        self,
        case: TransmissionCase,
        reactance: Floats,
        voltage: Complexes,
        generation: Complexes,
        generator: Booleans,
        branch: Booleans,
    ) -> None:
        """At the power flow `voltage` (bus,) [pu], `generation` (generator,) [MVA], with what is in service.

        `reactance` (generator,) is x'' [pu on the system's base]. The load of each bus follows from the power flow.
        """
        self._case, self._branches = case, branch_admittances(case.branches)
        network = bus_admittance(case, self._branches, branch)
        drawn = -voltage * np.conj(network @ voltage)
        np.add.at(drawn, case.generators.bus, generation / case.base_mva)
        self.load: Complexes = drawn * case.base_mva  #: [MVA] (bus,)
        self._load_admittance = np.conj(drawn) / np.maximum(np.abs(voltage), 1e-6) ** 2
        self._machine_admittance = 1 / (1j * reactance)
        at_bus = voltage[case.generators.bus]
        current = np.conj(generation / case.base_mva / np.where(at_bus == 0, 1, at_bus))
        self._source = current + self._machine_admittance * at_bus  #: [pu] (generator,) of the Norton equivalent
        self._service: tuple[bytes, bytes] | None = None
        self._factorise(generator, branch)

    def voltage(self, generator: Booleans, branch: Booleans, connected: Complexes) -> Complexes:
        """Bus voltages [pu] (bus,), 0 where dead.

        `generator` (generator,) and `branch` (branch,) in service; `connected` (bus,) [pu] admittance to earth.
        """
        self._factorise(generator, branch)
        at = np.flatnonzero((connected != 0) & self.alive)
        if not len(at):
            return self._undisturbed
        impedance = self._columns(at)
        weighted = impedance[at] * connected[at]
        local = np.linalg.solve(np.eye(len(at)) + weighted, self._undisturbed[at])
        voltage: Complexes = self._undisturbed - impedance @ (connected[at] * local)
        return np.where(self.alive, voltage, 0)

    def generation(self, voltage: Complexes, generator: Booleans) -> Complexes:
        """Power [MVA] (generator,) that the machines give at `voltage` (bus,) [pu]."""
        at = voltage[self._case.generators.bus]
        power: Complexes = at * np.conj(self._source - self._machine_admittance * at) * self._case.base_mva
        return np.where(generator, power, 0)

    def mismatch(self, voltage: Complexes, generator: Booleans, connected: Complexes) -> float:
        """Largest mismatch of a bus [MVA]: machines - loads - `connected` - branches."""
        drawn = (self._load_admittance + connected) * voltage + self._network @ voltage
        power = -voltage * np.conj(drawn) * self._case.base_mva
        np.add.at(power, self._case.generators.bus, self.generation(voltage, generator))
        return float(np.abs(np.where(self.alive, power, 0)).max())

    def _columns(self, at: np.ndarray) -> Complexes:
        """The columns `at` of the impedance matrix [pu] (bus, at)."""
        missing = [bus for bus in at.tolist() if bus not in self._column]
        if missing:
            unit = np.zeros((len(self._case.buses), len(missing)), dtype=complex)
            unit[missing, np.arange(len(missing))] = 1
            self._column.update(zip(missing, self._solve(unit).T, strict=True))
        return np.column_stack([self._column[bus] for bus in at.tolist()])

    def _factorise(self, generator: Booleans, branch: Booleans) -> None:
        service = (generator.tobytes(), branch.tobytes())
        if service == self._service:
            return
        from scipy.sparse import diags_array
        from scipy.sparse.csgraph import connected_components
        from scipy.sparse.linalg import splu

        self._network = bus_admittance(self._case, self._branches, branch)
        _, part = connected_components(abs(self._network), directed=False)
        self.alive: Booleans = np.isin(part, part[self._case.generators.bus[generator]])
        diagonal = self._load_admittance.copy()
        np.add.at(diagonal, self._case.generators.bus, np.where(generator, self._machine_admittance, 0))
        diagonal = np.where(self.alive, diagonal, 1)  # a dead part must not make the matrix singular
        self._solve = splu((self._network + diags_array(diagonal)).tocsc()).solve
        self._column: dict[int, Complexes] = {}
        injected = np.zeros(len(self._case.buses), dtype=complex)
        np.add.at(injected, self._case.generators.bus, np.where(generator, self._source, 0))
        self._undisturbed: Complexes = np.where(self.alive, self._solve(injected), 0)
        self._service = service


def served_load(load: Complexes, voltage: Floats, first: Floats) -> Complexes:
    """What is drawn [MVA] (bus,) of `load` [MVA] at `voltage` [pu] after `first` [pu], magnitudes.

    All of it down to 0.7 of the first voltage, below that in proportion to the square of the voltage.
    """
    ratio = voltage / np.where(first > 0, first, 1)
    served: Complexes = load * np.minimum(1.0, (ratio / CONSTANT_POWER_ABOVE) ** 2)
    return served
