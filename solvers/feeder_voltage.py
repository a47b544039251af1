"""Quasi-static voltages of an unbalanced feeder whose linear part is reduced to the ports where devices are connected.

A port is a phase of a node (wye) or a pair of phases (delta). Lines, transformers, regulators at their taps and
capacitors are linear, so the ports' voltages are

    v = N h + Z i(v)                                                                                         (1)

with the head's voltages `h`, the voltages without devices `N h`, the ports' impedance matrix `Z` and the currents
`i` that the devices put in. It is solved by a chord iteration, v - J⁻¹ (v - N h - Z i(v)): with J = 1 it is the
implicit Z-bus Gauss method (Chen et al., "Distribution system power flow analysis - a rigid approach", IEEE
Transactions on Power Delivery 6(3), 1991); where that contracts slowly, as with many stalled motors, J becomes the
Jacobian matrix at the present voltage and the iteration Newton's.

Everything is in per unit of the ports' nominal voltages, powers and currents in MVA; a device at 1 pu that draws
1 MVA draws a current of 1 MVA.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]

#: [pu] below which constant power and constant current become constant impedance, as PSS/E's PQBRAK (0.7 by default)
POWER_BREAK = 0.7
#: [pu] the same for `PortDemand.injection` and `.limited`: without a voltage to follow, an inverter gives no current
INJECTION_BREAK = 0.2
_SLOW = 0.7  #: of the error that an iteration leaves, above which it is worth a Jacobian matrix
_MOST_ITERATIONS = 60


class CollapseError(Exception):
    """There is no voltage at which the devices draw what they ask for, or none was found."""


@dataclass(frozen=True)
class ReducedFeeder:
    """The linear part of a feeder, as seen from its head and from its ports."""

    no_load: Complexes  #: (ports, 3) voltage [pu] by the head's phase voltages [pu]
    impedance: Complexes  #: (ports, ports) voltage [pu] by injected current [MVA]
    node_no_load: Complexes  #: (node phases, 3) as `no_load`, of every reported node phase
    node_impedance: Complexes  #: (node phases, ports)
    head_admittance: Complexes  #: (3, 3) current into the head [MVA] by its phase voltages [pu]
    head_share: Complexes  #: (3, ports) current into the head [MVA] by injected current [MVA]

    def node_voltage(self, head: Complexes, injected: Complexes) -> Complexes:
        """(node phases,) voltage [pu], from the head's voltage (3,) [pu] and the ports' currents (ports,) [MVA]."""
        return np.asarray(self.node_no_load @ head + self.node_impedance @ injected)

    def head_power(self, head: Complexes, injected: Complexes) -> Complexes:
        """(3,) power [MVA] that enters the feeder at its head."""
        return np.asarray(head * np.conj(self.head_admittance @ head + self.head_share @ injected))


@dataclass(frozen=True)
class PortDemand:
    """What the devices at each port draw, all (ports,) [MVA] at 1 pu; negative where they inject."""

    power: Complexes  #: constant power, constant impedance below `power_break`
    current: Complexes  #: constant current at constant power factor, likewise
    impedance: Complexes  #: constant impedance
    injection: Complexes  #: constant power that is put in, down to 0.2 pu: inverters, and motors (negative)
    limited: Complexes  #: constant current that is put in, likewise: inverters at their limit
    power_break: float = POWER_BREAK  #: [pu]

    def injected_current(self, voltage: Complexes) -> Complexes:
        """(ports,) current [MVA] that the devices put in at `voltage` (ports,) [pu]."""
        size = np.abs(voltage)
        at_least = np.maximum(size, self.power_break)
        inverter = np.maximum(size, INJECTION_BREAK)
        factor = self.injection / (inverter * inverter)
        factor += self.limited / inverter
        factor -= self.power / (at_least * at_least)
        factor -= self.current / at_least
        factor -= self.impedance
        return np.asarray(np.conj(factor) * voltage)

    def _slopes(self, voltage: Complexes) -> tuple[Complexes, Complexes]:
        """(ports,) derivatives of the injected current by the voltage and by its conjugate."""
        size = np.abs(voltage)
        direct = -np.conj(self.impedance)
        conjugate = np.zeros_like(direct)
        square = np.divide(voltage, size, out=np.zeros_like(voltage), where=size > 0.0) ** 2
        for power, sign, floor, order in (
            (self.power, -1.0, self.power_break, 2),
            (self.current, -1.0, self.power_break, 1),
            (self.injection, 1.0, INJECTION_BREAK, 2),
            (self.limited, 1.0, INJECTION_BREAK, 1),
        ):
            above = size > floor
            slope = sign * np.conj(power) / np.maximum(size, floor) ** order
            # i = s* v / |v|^k: di/dv = (1 - k/2) s* / |v|^k, di/dv* = -(k/2) s* v² / |v|^(k + 2)
            direct = direct + np.where(above, 1.0 - order / 2.0, 1.0) * slope
            conjugate = conjugate - np.where(above, order / 2.0, 0.0) * slope * square
        return direct, conjugate


@dataclass(frozen=True)
class Solution:
    """The ports at one instant."""

    voltage: Complexes  #: (ports,) [pu]
    injected: Complexes  #: (ports,) current [MVA] at that voltage
    mismatch: float  #: [pu] the largest of what equation (1) is missed by
    iterations: int


class PortVoltages:
    """Solves equation (1). No state: the same arguments give the same result to the last bit."""

    def __init__(self, feeder: ReducedFeeder, tolerance: float = 1e-7) -> None:
        """`tolerance` [pu]: the largest mismatch of a voltage that is left."""
        self.feeder, self.tolerance = feeder, tolerance

    def solve(self, head: Complexes, demand: PortDemand, start: Complexes | None = None) -> Solution:
        """Voltages with the head at `head` (3,) [pu], from `start` (ports,) [pu] or from no load.

        Raises CollapseError where the iteration finds no solution.
        """
        impedance = self.feeder.impedance
        no_load = self.feeder.no_load @ head
        voltage = no_load if start is None else start
        inverse: Floats | None = None
        before = np.inf
        for iteration in range(1, _MOST_ITERATIONS + 1):
            injected = demand.injected_current(voltage)
            missed = no_load + impedance @ injected
            missed -= voltage
            error = float(np.abs(missed).max(initial=0.0))
            if error <= self.tolerance:
                return Solution(voltage, injected, error, iteration)
            if not error < np.inf:
                break
            if iteration > 1 and error > _SLOW * before:
                inverse = self._inverse(demand, voltage)
            before = error
            voltage = voltage + (missed if inverse is None else _apply(inverse, missed))
        raise CollapseError(
            f"no voltages were found in {_MOST_ITERATIONS} iterations with the head at "
            f"{np.abs(head).min():.4g} to {np.abs(head).max():.4g} pu: the devices draw more than the feeder carries"
        )

    def _inverse(self, demand: PortDemand, voltage: Complexes) -> Floats:
        """(2 ports, 2 ports) inverse of the Jacobian matrix of v - N h - Z i(v), real parts first."""
        direct, conjugate = demand._slopes(voltage)
        a = np.eye(len(voltage)) - self.feeder.impedance * direct
        b = -self.feeder.impedance * conjugate
        jacobian = np.block([[a.real + b.real, b.imag - a.imag], [a.imag + b.imag, a.real - b.real]])
        try:
            return np.asarray(np.linalg.inv(jacobian))
        except np.linalg.LinAlgError:
            raise CollapseError("the feeder is at the very limit of what it carries") from None


def _apply(inverse: Floats, missed: Complexes) -> Complexes:
    count = len(missed)
    moved = inverse @ np.concatenate([missed.real, missed.imag])
    return np.asarray(moved[:count] + 1j * moved[count:])
