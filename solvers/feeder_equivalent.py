"""A feeder without its network: thermostat-controlled homes, water tanks, static load and head losses, on arrays.

The homes are those of GridLAB-D's house model, each with two thermal nodes (equivalent thermal parameters):

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

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]
Bools = NDArray[np.bool_]
Integers = NDArray[np.int64]

KW_PER_BTU_H = 1.0 / 3412.142  #: [kW] per Btu/h
WATER_HEAT = 4.186 / 3600.0  #: [kWh/(L K)]
FAN_MOTOR = 0.7457 / 8 / 0.88  #: [kW] drawn by a fan motor of 1/8 hp, the unit in which GridLAB-D sizes fans

#: Thermal resistances [degF sf h/Btu] of roof, wall, floor, window and door, and air changes an hour, for GridLAB-D's
#: levels of `thermal_integrity_level`, from VERY_LITTLE to VERY_GOOD: as its house objects report them.
INTEGRITY_LEVELS = np.array(
    [
        [11.0, 4.0, 4.0, 1 / 1.27, 3.0, 1.5],
        [19.0, 11.0, 4.0, 1 / 0.81, 3.0, 1.5],
        [19.0, 11.0, 11.0, 1 / 0.81, 3.0, 1.0],
        [30.0, 11.0, 11.0, 1 / 0.60, 3.0, 1.0],
        [30.0, 19.0, 19.0, 1 / 0.60, 3.0, 1.0],
        [30.0, 19.0, 22.0, 1 / 0.47, 5.0, 0.5],
        [48.0, 22.0, 30.0, 1 / 0.31, 11.0, 0.5],
    ]
)


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


def thermal_homes(
    floor_area: Floats,
    integrity: Integers,
    cooling: Bools,
    cop: Floats,
    oversizing: Floats,
    setpoint: Floats,
    deadband: Floats,
) -> ThermalHomes:
    """The homes that GridLAB-D makes of the same drawn properties, with its defaults for all others.

    Parameters
    ----------
    floor_area
        (homes,) [m2]
    integrity
        (homes,) row of `INTEGRITY_LEVELS`.
    cooling
        (homes,) has an air conditioner.
    cop
        (homes,) at 35 degC [1].
    oversizing
        (homes,) share by which the air conditioner is larger than designed [1].
    setpoint, deadband
        (homes,) cooling set-point [degC] and the whole width of its band [K].

    """
    area = floor_area / 0.3048**2  # [sf], as all below is in GridLAB-D's units
    roof, wall, floor, window, door, changes = INTEGRITY_LEVELS[integrity].T
    gross = 2 * (1.5 + 1) * 8.0 * np.sqrt(area / 1.5)  # walls: aspect ratio 1.5, 8 ft high, one storey
    glass, doors = 0.15 * gross, 4 * 19.5
    opaque = gross - glass - doors
    volumetric = 8.0 * area * 0.0735 * 0.2402  # heat capacity of the air [Btu/degF]
    conductance = area / roof + area / floor + opaque / wall + glass / window + doors / door + volumetric * changes
    aperture = glass * 0.67 * 0.6  # shading and transmission [sf]
    gains = 167.09 * area**0.442  # design internal gains [Btu/h]
    design = (1 + oversizing) * 1.3 * (conductance * (95 - 75) + gains + 195 * aperture)
    capacity = np.ceil(design / 6000) * 6000  # [Btu/h], in half tons
    per_kelvin = KW_PER_BTU_H * 1.8
    return ThermalHomes(
        envelope=conductance * per_kelvin,
        coupling=1.46 * (opaque + 1.5 * gross + area) * per_kelvin,
        air=3 * volumetric * per_kelvin,
        mass=(2.0 * area - 2 * volumetric) * per_kelvin,
        aperture=aperture * 0.3048**2,
        capacity=np.where(cooling, capacity * KW_PER_BTU_H, 0.0),
        cop=cop,
        fan=np.where(cooling, (np.floor(capacity / 24000) + 1) * FAN_MOTOR, 0.0),
        setpoint=setpoint,
        deadband=deadband,
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
