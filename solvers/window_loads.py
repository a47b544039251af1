"""Loads that follow voltage and frequency at once: constant impedance, current and power (ZIP), and frequency.

For a load of P0 + jQ0 at the reference voltage V0 and nominal frequency f0 (IEEE Task Force on Load Representation,
"Standard load models for power flow and dynamic performance simulation", IEEE Transactions on Power Systems 10(3),
1995):

    P = P0 (z_P (V/V0)² + i_P V/V0 + p_P) (1 + k_P (f - f0)/f0)                                                (1)

and the same with Q. Air conditioners, which also stall, are in `air_conditioner_stall.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]

NOMINAL_FREQUENCY = 60.0  #: [Hz]


@dataclass(frozen=True)
class Demand:
    """What loads draw, split by how it follows the voltage; all (loads,) at 1 pu, in the unit of the power given."""

    power: Complexes  #: constant
    current: Complexes  #: in proportion to the voltage
    impedance: Complexes  #: in proportion to its square

    def at(self, voltage: ArrayLike) -> Complexes:
        """(loads,) power drawn at `voltage` [pu]."""
        size = np.asarray(voltage, dtype=np.float64)
        return np.asarray(self.power + self.current * size + self.impedance * size**2)


@dataclass(frozen=True)
class StaticLoads:
    """Shares and slopes of loads, each one for all or (loads,)."""

    impedance_share: ArrayLike = (0.0, 0.0)  #: (2,) or (2, loads): z_P and z_Q of equation (1) [1]
    current_share: ArrayLike = (0.0, 0.0)  #: i_P and i_Q; the rest is constant power
    frequency_slope: ArrayLike = (0.0, 0.0)  #: k_P and k_Q [pu/pu]

    def demand(self, power: Complexes, frequency_hz: float = NOMINAL_FREQUENCY, reference: ArrayLike = 1.0) -> Demand:
        """What loads draw that draw `power` (loads,) at nominal frequency and `reference` (loads,) voltage [pu]."""
        slope = _rows(self.frequency_slope) * (frequency_hz / NOMINAL_FREQUENCY - 1.0)
        parts = np.stack([power.real, power.imag]) * (1.0 + slope)  # (2, loads)
        z, i = _rows(self.impedance_share), _rows(self.current_share)
        base = np.asarray(reference, dtype=np.float64)
        return Demand(
            power=_joined((1.0 - z - i) * parts),
            current=_joined(i * parts / base),
            impedance=_joined(z * parts / base**2),
        )


def _rows(values: ArrayLike) -> Floats:
    """(2, 1) or (2, loads)."""
    array = np.asarray(values, dtype=np.float64)
    return array[:, None] if array.ndim == 1 else array


def _joined(parts: Floats) -> Complexes:
    return np.asarray(parts[0] + 1j * parts[1])
