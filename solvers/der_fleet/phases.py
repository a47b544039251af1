"""What a DER measures: the worst of the applicable phase quantities for protection, their mean for control."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from solvers.der_fleet.arrays import Booleans, Floats


@dataclass(frozen=True)
class Measured:
    """Arrays (n,), and their extremes over all DER, by which a function sees at a glance that nothing is abnormal."""

    low: Floats  #: [pu] lowest applicable phase voltage
    high: Floats  #: [pu] highest applicable phase voltage
    mean: Floats  #: [pu] mean applicable voltage, which control functions see
    frequency: Floats  #: [Hz]
    lowest: float  #: [pu]
    highest: float  #: [pu]
    slowest: float  #: [Hz]
    fastest: float  #: [Hz]


def measure(
    voltage_pu: Floats, angle_deg: Floats | None, frequency_hz: Floats, three_phase: Booleans, phase_to_phase: Booleans
) -> Measured:
    """The applicable quantities of each DER.

    `voltage_pu` (n, 3) [pu of nominal]; a single-phase unit uses column 0. `angle_deg` (n, 3) [deg] is the deviation
    from the nominal 0, -120, 120, None for none. Where `phase_to_phase` (n,) is true the three phase-to-phase
    voltages apply as well (a unit that is connected to them). Raises ValueError for what is no magnitude or frequency.
    """
    if not three_phase.all():
        voltage_pu = np.where(three_phase[:, None], voltage_pu, voltage_pu[:, :1])
    a, b, c = voltage_pu[:, 0], voltage_pu[:, 1], voltage_pu[:, 2]
    low, high, mean = np.minimum(a, b), np.maximum(a, b), a + b
    np.minimum(low, c, out=low)
    np.maximum(high, c, out=high)
    mean += c
    mean /= 3.0
    # The mean of three equal numbers may differ from them in the last digit; a curve's corner must not notice.
    np.clip(mean, low, high, out=mean)
    if phase_to_phase.any():
        _include_phase_to_phase(low, high, voltage_pu, angle_deg, phase_to_phase & three_phase)
    lowest, highest = float(low.min()), float(high.max())
    slowest, fastest = float(frequency_hz.min()), float(frequency_hz.max())
    if not (0.0 <= lowest <= highest < np.inf and 0.0 < slowest <= fastest < np.inf):  # NaN fails as well
        raise ValueError(
            f"voltages must be magnitudes and frequencies positive, got {lowest:g} to {highest:g} pu and {slowest:g} "
            f"to {fastest:g} Hz; look for NaN in what drives the fleet"
        )
    return Measured(low, high, mean, frequency_hz, lowest, highest, slowest, fastest)


def _include_phase_to_phase(
    low: Floats, high: Floats, voltage_pu: Floats, angle_deg: Floats | None, applies: Booleans
) -> None:
    """Widen `low` and `high` by the phase-to-phase voltages [pu of nominal phase-to-phase], in place."""
    rows = np.flatnonzero(applies)
    magnitude = voltage_pu[rows]
    angle = np.zeros_like(magnitude) if angle_deg is None else np.radians(angle_deg[rows])
    phasor = magnitude * np.exp(1j * (angle + np.radians([0.0, -120.0, 120.0])))
    between = np.abs(phasor - np.roll(phasor, -1, axis=1)) / np.sqrt(3.0)
    # Balanced phases give the phase voltage back but for rounding, which must not carry a boundary across.
    between = np.where(np.isclose(between, magnitude, rtol=1e-12, atol=0.0), magnitude, between)
    low[rows] = np.minimum(low[rows], between.min(axis=1))
    high[rows] = np.maximum(high[rows], between.max(axis=1))
