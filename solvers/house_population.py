"""A population of houses with thermostats, in numpy: many homes at once, fast enough to fit.

Each house is the equivalent-thermal-parameter model of GridLAB-D's `house` (two nodes, air and mass):

    Ca dTa/dt = Ua (To - Ta) + Hm (Tm - Ta) + Qa        Cm dTm/dt = Hm (Ta - Tm) + Qm

with the parameters, the air conditioner and the split of gains that GridLAB-D 6 derives from floor area and insulation
(its documentation, "Residential module", and `house_e`). Half of the solar and half of the internal gains go to each
node. Both nodes are advanced exactly for inputs that are constant over a step. Units here are SI; the constants of the
original, in feet and Btu, are turned into SI where they stand.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solvers.home_heating import GAS, HEAT_PUMP, HEATING_SUPPLY, design_capacity

Floats = NDArray[np.float64]

FOOT = 0.3048  #: [m]
BTU = 1055.05585262  #: [J]
FAHRENHEIT = 5 / 9  #: a difference of 1 degF [K]
WATT_PER_BTU_H = BTU / 3600
_PER_DEGREE = WATT_PER_BTU_H / FAHRENHEIT  #: 1 Btu/(h degF) [W/K]
_HORSEPOWER = 745.7  #: [W]

#: R-values of roof, wall, floor, door [degF sf h/Btu], U-value of windows, air changes per hour: GridLAB-D's
#: levels of thermal integrity, from the worst.
INTEGRITY_LEVELS = np.array(
    [
        (11, 4, 4, 3, 1.27, 1.5),
        (19, 11, 4, 3, 0.81, 1.5),
        (19, 11, 11, 3, 0.81, 1.0),
        (30, 11, 11, 3, 0.6, 1.0),
        (30, 19, 19, 3, 0.6, 1.0),
        (30, 19, 22, 5, 0.47, 0.5),
        (48, 22, 30, 11, 0.31, 0.5),
    ]
)
SHGC = 0.67  #: of GridLAB-D's default windows
_SCREEN = 0.6  #: share of the sun that passes a window's screen
_CEILING, _STOREYS, _ASPECT, _WINDOWS, _PARTITIONS = 8.0, 1.0, 1.5, 0.15, 1.5
_DOORS = 4 * 3.0 * 78 / 12  #: area of four doors [sf]
_AIR = 0.0735 * 0.2402  #: heat capacity of air [Btu/(cf degF)]
_LATENT = 0.3
_SUPPLY = 25.0  #: what the air is cooled by, 75 to 50 degF [degF]


@dataclass(frozen=True)
class Houses:
    """(homes,) arrays."""

    conductance: Floats  #: Ua, of envelope and air exchange [W/K]
    coupling: Floats  #: Hm, between air and mass [W/K]
    air_capacity: Floats  #: Ca [J/K]
    mass_capacity: Floats  #: Cm [J/K]
    aperture: Floats  #: window area times what of the sun passes [m2]
    cooling_capacity: Floats  #: total, sensible and latent, at 35 degC [W]; 0: no air conditioner
    cop: Floats  #: at 35 degC
    fan_power: Floats  #: while it cools or heats [W]
    setpoint: Floats  #: for cooling [degC]
    deadband: Floats  #: whole width [K]
    heating_capacity: Floats  #: of the furnace, of the element, or of the heat pump at 8.3 degC outdoors [W of heat]
    auxiliary_capacity: Floats  #: of a heat pump's auxiliary heat; 0: none [W]

    def __len__(self) -> int:
        return len(self.conductance)


def houses(
    floor_area: Floats,
    integrity: NDArray[np.int64],
    cooling: NDArray[np.bool_],
    *,
    cop: Floats,
    oversizing: Floats,
    setpoint: Floats,
    deadband: Floats,
    envelope: Floats | float = 1.0,
    thermal_mass: Floats | float = 2.0,
    shading: Floats | float = 1.0,
    capacity: Floats | None = None,
    heating: NDArray[np.int64] | int = GAS,
    auxiliary: NDArray[np.bool_] | bool = False,
) -> Houses:
    """The parameters that GridLAB-D's `house` derives.

    Parameters
    ----------
    floor_area
        (homes,) [m2]
    integrity
        (homes,) row of INTEGRITY_LEVELS.
    cooling
        (homes,) whether there is an air conditioner.
    cop, oversizing, setpoint, deadband
        (homes,) at 35 degC; share above the design load; [degC]; [K].
    envelope
        Factor on the conductance of envelope and air exchange that the level has.
    thermal_mass
        Per floor area [Btu/(degF sf)], as GridLAB-D has it; 2 is its default.
    shading
        Factor on the sun that passes the windows.
    capacity
        (homes,) rated cooling capacity [W]; none: GridLAB-D's design rule.
    heating
        (homes,) index into `home_heating.HEATING`. A heat pump is the air conditioner reversed, of the same capacity.
    auxiliary
        (homes,) whether a heat pump has auxiliary heat.

    """
    area = floor_area / FOOT**2
    roof, wall, floor, door, window, changes = INTEGRITY_LEVELS[integrity].T
    walls = 2 * _STOREYS * (_ASPECT + 1) * _CEILING * np.sqrt(area / _ASPECT / _STOREYS)
    windows = walls * _WINDOWS
    solid = walls - windows - _DOORS
    shell = area / roof + area / floor + solid / wall + windows * window + _DOORS / door
    volume = _CEILING * area
    ua = (shell + changes * volume * _AIR) * envelope
    aperture = windows * SHGC * shading * _SCREEN
    if capacity is None:
        load = ua * (95 - 75) + 167.09 * area**0.442 + 195.0 * aperture
        rated = np.ceil((1 + oversizing) * (1 + _LATENT) * load / 6000) * 6000
    else:
        rated = capacity / WATT_PER_BTU_H
    rated = np.where(cooling, rated, 0.0)
    design = design_capacity(ua, oversizing)
    heated = np.where(np.equal(heating, HEAT_PUMP), rated, design)
    helped = np.where(np.equal(heating, HEAT_PUMP) & auxiliary, design, 0.0)
    cooled_air = rated / (1 + _LATENT) / (_AIR * _SUPPLY) / 60
    airflow = np.maximum(cooled_air, np.maximum(heated, helped) / (_AIR * HEATING_SUPPLY) / 60)
    fan = np.ceil(0.117 * 0.5 * airflow / 0.42 / _HORSEPOWER * 8) / 8 * _HORSEPOWER / 0.88
    air = 3 * _AIR * volume
    return Houses(
        conductance=ua * _PER_DEGREE,
        coupling=1.46 * (solid + walls * _PARTITIONS + area * _STOREYS) * _PER_DEGREE,
        air_capacity=air * BTU / FAHRENHEIT,
        mass_capacity=(thermal_mass * area - 2 * air / 3) * BTU / FAHRENHEIT,
        aperture=aperture * FOOT**2,
        cooling_capacity=rated * WATT_PER_BTU_H,
        cop=cop,
        fan_power=fan,
        setpoint=setpoint,
        deadband=deadband,
        heating_capacity=heated * WATT_PER_BTU_H,
        auxiliary_capacity=helped * WATT_PER_BTU_H,
    )


def mean_wall_irradiance(direct_normal: Floats, diffuse: Floats, elevation: Floats) -> Floats:
    """Irradiance on a wall, mean over all directions that it may face [W/m2].

    `elevation` is the sun's [rad]. The mean of cos+ over a circle is 1/pi; GridLAB-D takes eight directions.
    """
    beam: Floats = np.where(elevation > 0, direct_normal * np.cos(elevation) / np.pi, 0.0)
    return beam + diffuse


def cooling_performance(temperature: Floats, humidity: Floats) -> tuple[Floats, Floats, Floats]:
    """What a cooling unit of 1 W capacity and COP 1 does at outdoor `temperature` [degC] and `humidity` [1].

    Capacity [W], electric power [W], share of the capacity that is sensible [1]. GridLAB-D's default curves: both
    capacity and COP are about 1 at 95 degF; COP stays below 40 degF.
    """
    outdoor = temperature / FAHRENHEIT + 32
    capacity: Floats = 1.48924533 - 0.00514995 * outdoor
    power: Floats = capacity * (-0.01363961 + 0.01066989 * np.maximum(outdoor, 40.0))
    sensible: Floats = 1 / (1.1 + _LATENT / (1 + np.exp(4 - 10 * humidity)))
    return capacity, power, sensible


@dataclass(frozen=True)
class Climate:
    """(steps,) what acts on every house over each step."""

    temperature: Floats  #: outdoors [degC]
    irradiance: Floats  #: on walls, mean over directions [W/m2]
    humidity: Floats  #: [1]


@dataclass(frozen=True)
class Course:
    """What the houses did; (steps, homes)."""

    cooling_power: Floats  #: mean over the step, with the fan [kW]
    air_temperature: Floats  #: at the step's end [degC]
    mass_temperature: Floats  #: at the step's end [degC]


def simulate(
    houses: Houses,
    climate: Climate,
    gains: Floats,
    step: float,
    *,
    air: Floats | None = None,
    mass: Floats | None = None,
    cycling: bool = False,
    available: NDArray[np.bool_] | None = None,
) -> Course:
    """Let the houses live through a climate.

    Parameters
    ----------
    houses
        The homes.
    climate
        (steps,) the climate over each step.
    gains
        (steps, homes) or (steps, 1) internal gains [W].
    step
        [s]
    air, mass
        (homes,) temperatures at the start [degC]; none: at the set-point.
    cycling
        Thermostats with their deadband switch at the steps' ends; else each air conditioner gives, within its
        capacity, just what keeps the set-point: the mean over its cycles, and a smooth function of the parameters.
    available
        (steps, homes) false where an air conditioner may not run; none: all may, always.

    """
    free, air_to, mass_to = _transition(houses, step)
    ta = houses.setpoint.copy() if air is None else air.astype(np.float64)
    tm = ta.copy() if mass is None else mass.astype(np.float64)
    capacity, power, sensible = cooling_performance(climate.temperature, climate.humidity)
    rated = capacity[:, None] * houses.cooling_capacity
    heat = np.maximum(rated * sensible[:, None] - houses.fan_power, 0.0)  # taken from the air while it runs [W]
    drawn = (power[:, None] * houses.cooling_capacity / houses.cop + houses.fan_power) / 1e3
    sun = climate.irradiance[:, None] * houses.aperture
    half = 0.5 * (sun + gains)
    into_air = half + houses.conductance * climate.temperature[:, None]
    course = Course(*(np.empty((len(climate.temperature), len(houses))) for _ in range(3)))
    running = np.zeros(len(houses), dtype=bool)
    may = np.ones_like(rated, dtype=bool) if available is None else available
    low, high = houses.setpoint - houses.deadband / 2, houses.setpoint + houses.deadband / 2
    for k in range(len(into_air)):
        if cycling:
            running = (np.where(running, ta > low, ta > high)) & may[k] & (heat[k] > 0)
            duty = running.astype(np.float64)
        else:
            rest = free[0, 0] * ta + free[0, 1] * tm + air_to[0] * into_air[k] + mass_to[0] * half[k]
            with np.errstate(divide="ignore", invalid="ignore"):
                wanted = (rest - houses.setpoint) / air_to[0] / heat[k]
            duty = np.where(may[k] & (heat[k] > 0), np.clip(np.nan_to_num(wanted), 0.0, 1.0), 0.0)
        qa = into_air[k] - duty * heat[k]
        ta, tm = (
            free[0, 0] * ta + free[0, 1] * tm + air_to[0] * qa + mass_to[0] * half[k],
            free[1, 0] * ta + free[1, 1] * tm + air_to[1] * qa + mass_to[1] * half[k],
        )
        course.cooling_power[k] = duty * drawn[k]
        course.air_temperature[k], course.mass_temperature[k] = ta, tm
    return course


def _transition(houses: Houses, step: float) -> tuple[Floats, Floats, Floats]:
    """The exact step of dT/dt = A T + (qa/Ca, qm/Cm) for constant qa, qm.

    (2, 2, homes) factor on the temperatures; (2, homes) factors on qa and on qm [K/W].
    """
    a = np.array(
        [
            [-(houses.conductance + houses.coupling) / houses.air_capacity, houses.coupling / houses.air_capacity],
            [houses.coupling / houses.mass_capacity, -houses.coupling / houses.mass_capacity],
        ]
    )
    trace, det = a[0, 0] + a[1, 1], a[0, 0] * a[1, 1] - a[0, 1] * a[1, 0]
    root = np.sqrt(trace**2 / 4 - det)  # both eigenvalues are real and negative: the product a01 a10 is positive
    fast, slow = trace / 2 - root, trace / 2 + root
    ef, es = np.exp(fast * step), np.exp(slow * step)
    identity = np.eye(2)[:, :, None]
    free = (es * (a - fast * identity) - ef * (a - slow * identity)) / (slow - fast)
    inverse = np.array([[a[1, 1], -a[0, 1]], [-a[1, 0], a[0, 0]]]) / det
    integral = np.einsum("ijh,jkh->ikh", inverse, free - identity)
    return free, integral[:, 0] / houses.air_capacity, integral[:, 1] / houses.mass_capacity
