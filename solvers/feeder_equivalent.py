"""A feeder without its network: thermostat-controlled homes, water tanks, static load and head losses, on arrays.

The homes are those of GridLAB-D's house model (`solvers/house_population.py`), each with two thermal nodes:

    Ca dTa/dt = Ua (To - Ta) + Hm (Tm - Ta) + Qa        air
    Cm dTm/dt = Hm (Ta - Tm) + Qm                       mass

(Pratt and Taylor, *Development and Testing of an Equivalent Thermal Parameter Model*, PNNL, 1994; GridLAB-D,
"Residential module user's guide"). Between two steps weather and gains are constant, so that the step is exact.
The network is reduced to a share of the head's voltage that reaches the loads, losses that grow with the square
of the current, and a shunt.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solvers.house_population import Houses

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]
Bools = NDArray[np.bool_]

WATER_HEAT = 4.186 / 3600.0  #: [kWh/(L K)]


@dataclass(frozen=True)
class ThermalHomes:
    """(homes,) arrays of what holds, lets through and removes heat."""

    envelope: Floats  #: from air to outdoors [kW/K]
    coupling: Floats  #: from air to mass [kW/K]
    air: Floats  #: heat capacity of the air [kWh/K]
    mass: Floats  #: heat capacity of the mass [kWh/K]
    aperture: Floats  #: solar gain per irradiance on the walls [m2]
    capacity: Floats  #: of the air conditioner, sensible and latent, at 35 degC; 0 without one [kW]
    cop: Floats  #: coefficient of performance at 35 degC [1]
    fan: Floats  #: power of its fan [kW]
    setpoint: Floats  #: for cooling [degC]
    deadband: Floats  #: whole width [K]


def thermal_homes(houses: Houses) -> ThermalHomes:
    """Houses in kilowatts and kilowatt-hours."""
    return ThermalHomes(
        envelope=houses.conductance / 1e3,
        coupling=houses.coupling / 1e3,
        air=houses.air_capacity / 3.6e6,
        mass=houses.mass_capacity / 3.6e6,
        aperture=houses.aperture,
        capacity=houses.cooling_capacity / 1e3,
        cop=houses.cop,
        fan=houses.fan_power / 1e3,
        setpoint=houses.setpoint,
        deadband=houses.deadband,
    )


@dataclass(frozen=True)
class ThermalStep:
    """How far the temperatures go to their steady state in one step: exp(A Δt), (homes,) each."""

    air_from_air: Floats
    air_from_mass: Floats
    mass_from_air: Floats
    mass_from_mass: Floats


def thermal_step(homes: ThermalHomes, hours: float) -> ThermalStep:
    """The exact step over `hours` [h]: the exponential of the two nodes' matrix, in closed form."""
    a = -(homes.envelope + homes.coupling) / homes.air
    b = homes.coupling / homes.air
    c = homes.coupling / homes.mass
    d = -homes.coupling / homes.mass
    mean, half = (a + d) / 2, np.sqrt((a - d) ** 2 / 4 + b * c)  # b, c > 0: two real eigenvalues
    slow, fast = np.exp((mean + half) * hours), np.exp((mean - half) * hours)
    even, odd = (slow + fast) / 2, (slow - fast) / (2 * half)
    return ThermalStep(even + odd * (a - mean), odd * b, odd * c, even + odd * (d - mean))


def next_temperatures(
    homes: ThermalHomes,
    step: ThermalStep,
    air: Floats,
    mass: Floats,
    outdoors: float,
    air_gain: Floats,
    mass_gain: Floats,
) -> tuple[Floats, Floats]:
    """Air and mass temperature [degC] (homes,) after a step with constant gains [kW] and weather [degC]."""
    steady_air = outdoors + (air_gain + mass_gain) / homes.envelope
    steady_mass = steady_air + mass_gain / homes.coupling
    from_air, from_mass = air - steady_air, mass - steady_mass
    return (
        steady_air + step.air_from_air * from_air + step.air_from_mass * from_mass,
        steady_mass + step.mass_from_air * from_air + step.mass_from_mass * from_mass,
    )


def thermostat(on: Bools, value: Floats, start_above: Floats, stop_below: Floats) -> Bools:
    """Which devices run: started above the one value, stopped below the other, between them as before."""
    runs: Bools = (value > start_above) | (on & (value >= stop_below))
    return runs


def cooling_at(homes: ThermalHomes, outdoors: float, relative_humidity: float) -> tuple[Floats, Floats]:
    """Heat removed from the air and power drawn [kW] (homes,) by air conditioners that run.

    Capacity and COP change with the outdoor temperature as GridLAB-D's default curves; part of the capacity dries
    the air instead of cooling it. The fan's power is drawn and warms the air.
    """
    warmth = outdoors * 1.8 + 32.0
    capacity = homes.capacity * (1.48924533 - 0.00514995 * warmth)
    power = capacity / homes.cop * max(-0.01363961 + 0.01066989 * warmth, 0.1)
    latent = 0.3 / (1.0 + np.exp(4.0 - 10.0 * relative_humidity))
    return capacity / (1.0 + latent) - homes.fan, power + homes.fan


def wall_irradiance(dni: float, dhi: float, ghi: float) -> float:
    """Mean irradiance [W/m2] on vertical walls that face all directions alike, without what the ground reflects.

    A beam at zenith angle z gives a wall that it shines on sin z cos φ; the mean over all azimuths φ is sin z / π.
    """
    cos_zenith = min(max((ghi - dhi) / dni, 0.0), 1.0) if dni > 1.0 else 0.0
    return dni * float(np.sqrt(1.0 - cos_zenith**2)) / np.pi + dhi / 2 if dni > 1.0 else dhi / 2


def zip_factor(voltage: Floats | float, impedance: Floats | float, current: Floats | float) -> Floats:
    """Power of a load over its power at 1 pu: shares of constant impedance, constant current and the rest."""
    factor: Floats = impedance * np.square(voltage) + current * np.asarray(voltage) + (1.0 - impedance - current)
    return factor


def head_power(delivered: Complexes, voltage: Floats | float, impedance: complex, shunt: float) -> Complexes:
    """Power (..., 3) [MVA] at the head at `voltage` [pu] that delivers `delivered` (..., 3) [MVA] to loads.

    Each phase loses `impedance` [1/MVA] times the square of its current, and has a third of the shunt's reactive
    power [Mvar], which a capacitor gives. Solved to the first order: the loss of the loss is left out.
    """
    carried = delivered - 1j * shunt / 3 * np.square(voltage)
    power: Complexes = carried + impedance * np.square(np.abs(carried)) / np.square(voltage)
    return power
