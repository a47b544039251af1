"""Air conditioners that stall at low voltage, stay stalled, and are switched off by their thermal protection.

Motor D of the composite load model: its performance curves while it runs, a constant impedance once it has stalled,
restart of a share of the motors, and thermal trip. A unit is one motor or the many at one place; what is a share of
many is the expectation for one. All stalled motors of a unit see the same voltage; those that can restart (A) and
those that cannot (B) heat up apart.

The model is that of Lu, Xie and Huang, "Air Conditioner Compressor Performance Model", PNNL-17796, 2008. The running
curves (the k and n, the break voltage) are the same in four open implementations, NREL's PyDSS (MotorStall), GridLAB-D
(performance_motor), GridPACK (acmotor) and InterPSS (LD1PAC), the slopes with frequency in the last three. Otherwise
they differ. Here are the values of PyDSS; each field names the others'. Laboratory ranges are PyDSS' as well.

The load of a stalled motor is I²R on its stall resistance, so its relay follows, with V in per unit,

    T_th dθ/dt = I² R_stall - θ,   I² = V² / (R_stall² + X_stall²) stalled, (p² + q²) / V² running              (1)

and of motors with relays set evenly from θ1 to θ2 the share (θ - θ1) / (θ2 - θ1) is off.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]
Complexes = NDArray[np.complex128]

_ROUNDING: Final = 1e-9  #: [s] by which a sum of steps may miss a time
_NOMINAL_FREQUENCY: Final = 60.0  #: [Hz]
_LEAST_VOLTAGE: Final = 1e-3  #: [pu] below which a current is not computed from a power


@dataclass(frozen=True)
class StallParameters:
    """Parameters of all units; voltages [pu], times [s], impedances and powers [pu of the running power]."""

    stall_voltage: float = 0.55
    """Motors stall below it: laboratory range 0.45 to 0.60; GridPACK and InterPSS 0.60, GridLAB-D 0.70."""
    stall_time: float = 0.032
    """For which the voltage must be that low; the others 0.033 s."""
    break_voltage: float = 0.86
    """Where the running curve bends."""
    stall_resistance: float = 0.1
    stall_reactance: float = 0.1
    """Of laboratory tests; GridLAB-D and GridPACK 0.124 + j0.114, InterPSS 0.114 + j0.104."""
    restart_share: float = 0.2
    """Share of motors that can restart; GridPACK and InterPSS 0."""
    restart_voltage: float = 0.95
    """Above which they do; GridPACK and InterPSS 0.9, GridLAB-D 0.7."""
    restart_time: float = 0.3
    """For which the voltage must be that high; the others 0.4 s."""
    thermal_time: float = 4.0
    """Time constant of the thermal relay; GridPACK 10 s, InterPSS 15 s."""
    thermal_first: float = 0.7
    """θ at which the first relay opens; to the last one, as InterPSS; GridPACK 1.3 to 4.3."""
    thermal_last: float = 1.9
    """θ at which the last one has opened."""
    lockout: float = 300.0
    """After the last trip until the motors are switched on again (GridLAB-D's motor reconnect time)."""
    power_factor: float = 0.98
    """At nominal voltage, CompPF [not verified]; PyDSS 0.939, the others 0.97."""
    kp1: float = 0.0
    np1: float = 1.0
    kq1: float = 6.0
    nq1: float = 2.0
    kp2: float = 12.0
    np2: float = 3.2
    kq2: float = 11.0
    nq2: float = 2.5
    frequency_slope_p: float = 1.0
    """CmpKpf [pu/pu]."""
    frequency_slope_q: float = -3.3
    """CmpKqf [pu/pu]."""

    @property
    def stalled(self) -> complex:
        """Power of a stalled motor at 1 pu [pu of its running power]."""
        r, x = self.stall_resistance, self.stall_reactance
        return (r + 1j * x) / (r * r + x * x)

    def running(self, voltage: Floats, frequency_hz: float = _NOMINAL_FREQUENCY) -> Complexes:
        """(units,) power of a running motor [pu of that at 1 pu and nominal frequency].

        Above the break voltage Vb: p = P0 + Kp1 (V - Vb)^Np1; below it P0 + Kp2 (Vb - V)^Np2; q likewise. A motor
        never draws more than it would stalled.
        """
        high = np.maximum(voltage - self.break_voltage, 0.0)
        room = 1.0 - self.break_voltage
        tangent = np.sqrt(1.0 - self.power_factor**2) / self.power_factor
        p = 1.0 + self.kp1 * (high**self.np1 - room**self.np1)
        q = tangent + self.kq1 * (high**self.nq1 - room**self.nq1)
        low = self.break_voltage - voltage
        if float(low.max(initial=0.0)) > 0.0:
            low = np.maximum(low, 0.0)
            p = p + self.kp2 * low**self.np2
            q = q + self.kq2 * low**self.nq2
        off = frequency_hz / _NOMINAL_FREQUENCY - 1.0
        p = p * (1.0 + self.frequency_slope_p * off)
        q = q * (1.0 + self.frequency_slope_q * off)
        stalled = self.stalled * voltage**2
        return np.asarray(np.minimum(p, stalled.real) + 1j * np.minimum(q, stalled.imag))


class AirConditioners:
    """`n` units. State (n,): stalled or not, relays' θ, share switched off, timers; A restart, B do not.

    `step` lets time pass at a held voltage, `settle` so much of it that only settled states count; `running_demand` and
    `stalled_demand` say what is drawn at any voltage.
    """

    def __init__(self, n: int, parameters: StallParameters | None = None) -> None:
        self.n = n
        self.parameters = parameters or StallParameters()
        share = self.parameters.restart_share
        self.weight = np.array([share, 1.0 - share])[:, None]  #: (2, 1) of A and B
        self.stalled: Booleans = np.zeros((2, n), bool)
        self.heat: Floats = np.zeros((2, n))  #: θ
        self.off: Floats = np.zeros((2, n))  #: share of A and of B that is switched off by its relay
        self._low = np.zeros(n)  #: [s] below the stall voltage
        self._high = np.zeros(n)  #: [s] above the restart voltage
        self._since = np.zeros(n)  #: [s] since the last relay opened
        self._started = False

    @property
    def running_share(self) -> Floats:
        """(n,) of each unit's motors."""
        return np.asarray((self.weight * (1.0 - self.off) * ~self.stalled).sum(axis=0))

    @property
    def stalled_share(self) -> Floats:
        """(n,) connected and stalled."""
        return np.asarray((self.weight * (1.0 - self.off) * self.stalled).sum(axis=0))

    @property
    def tripped_share(self) -> Floats:
        """(n,) switched off by thermal relays."""
        return np.asarray((self.weight * self.off).sum(axis=0))

    def running_demand(self, voltage: Floats, frequency_hz: float = _NOMINAL_FREQUENCY) -> Complexes:
        """(n,) power of the running motors at `voltage` (n,) [pu of the unit's power]."""
        return np.asarray(self.running_share * self.parameters.running(voltage, frequency_hz), dtype=np.complex128)

    def stalled_demand(self) -> Complexes:
        """(n,) power of the stalled motors at 1 pu [pu of the unit's power]; in proportion to the voltage's square."""
        return np.asarray(self.stalled_share * self.parameters.stalled, dtype=np.complex128)

    def step(self, dt_s: float, voltage: Floats) -> None:
        """Let `dt_s` [s] pass at `voltage` (n,) [pu]."""
        given = self.parameters
        running = given.running(voltage)
        carried = np.abs(running) ** 2 / np.maximum(voltage, _LEAST_VOLTAGE) ** 2 * given.stall_resistance
        stalled = (np.abs(given.stalled) * voltage) ** 2 * given.stall_resistance
        if not self._started:
            self.heat[:] = carried
            self._started = True
        self._low = np.where(voltage < given.stall_voltage, self._low + dt_s, 0.0)
        self._high = np.where(voltage > given.restart_voltage, self._high + dt_s, 0.0)
        self.stalled[0] &= self._high < given.restart_time - _ROUNDING
        self.stalled |= self._low >= given.stall_time - _ROUNDING
        self.heat = _towards(self.heat, np.where(self.stalled, stalled, carried), dt_s / given.thermal_time)
        opened = np.clip((self.heat - given.thermal_first) / (given.thermal_last - given.thermal_first), 0.0, 1.0)
        self._switch(dt_s, voltage, np.maximum(self.off, opened), carried)

    def settle(self, dt_s: float, voltage: Floats) -> None:
        """Let `dt_s` [s] pass at `voltage` (n,) [pu] in which nobody stalls, as in a step of a minute.

        Who had stalled has run again, or been switched off: at 0.62 pu and more all relays open within seconds (1).
        Where the voltage is too low for the first relay to open, they came to rest, and start with the voltage.
        """
        given = self.parameters
        running = given.running(voltage)
        carried = np.abs(running) ** 2 / np.maximum(voltage, _LEAST_VOLTAGE) ** 2 * given.stall_resistance
        self.stalled[0] &= voltage <= given.restart_voltage
        heats = (np.abs(given.stalled) * voltage) ** 2 * given.stall_resistance >= given.thermal_first
        off = np.where(self.stalled & heats, 1.0, self.off)
        self.stalled[:] = False
        self.heat[:] = carried
        self._started = True
        self._low[:] = 0.0
        self._high[:] = 0.0
        self._switch(dt_s, voltage, off, carried)

    def _switch(self, dt_s: float, voltage: Floats, off: Floats, carried: Floats) -> None:
        """Switch off the shares `off` (2, n), and on again all those whose lockout is over: `carried` (n,) heats."""
        given = self.parameters
        grown = (off > self.off).any(axis=0)
        self.off = off
        self._since = np.where(grown | ~self.off.any(axis=0), 0.0, self._since + dt_s)
        back = (self._since >= given.lockout - _ROUNDING) & (voltage > given.restart_voltage)
        if back.any():
            self.off[:, back] = 0.0
            self.stalled[:, back] = False
            self.heat[:, back] = carried[back]


def _towards(value: Floats, goal: Floats, time_constants: float) -> Floats:
    """First order, exact for a held goal."""
    return np.asarray(goal + (value - goal) * np.exp(-time_constants))
