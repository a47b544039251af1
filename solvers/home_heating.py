"""How homes are heated: gas furnaces, electric resistance, and heat pumps with auxiliary heat.

Sizes, curves and thermostat are those that GridLAB-D 6 gives its `house` (source file `house_e.cpp`, functions `init`,
`update_system` and `sync_thermostat`): a heat pump's capacity and COP fall with the outdoor temperature, and auxiliary
heat takes the compressor's place, never its side. Defrosting is not modelled, neither there nor here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

#: The kinds, as GridLAB-D names them; gas draws only its fan's power.
HEATING = ("GAS", "RESISTANCE", "HEAT_PUMP")
GAS, RESISTANCE, HEAT_PUMP = range(3)
SHORTEST_CYCLE = 120 / 3600  #: of GridLAB-D's thermostat [h]
NO_LOCKOUT = -273.15  #: [degC] colder it never is

DESIGN_RISE = 70.0  #: from GridLAB-D's coldest design day, 0 degF, to its design set-point, 70 degF [degF]
HEATING_SUPPLY = 80.0  #: what the air is heated by, from 70 to 150 degF [degF]
#: Shares of constant impedance and current of what a compressor and a fan draw, there.
COMPRESSOR_ZIP = (0.2, 0.0)
FAN_ZIP = (0.2534, 0.7332)


@dataclass(frozen=True)
class Heaters:
    """(homes,) arrays of what heats."""

    kind: NDArray[np.int64]  #: index into HEATING
    capacity: Floats  #: of the furnace, of the element, or of the heat pump at 8.3 degC outdoors [kW of heat]
    cop: Floats  #: of the heat pump at 8.3 degC outdoors [1]
    auxiliary: Floats  #: power of the heat pump's auxiliary heat; 0: none [kW]
    lockout: Floats  #: outdoor temperature at or below which auxiliary heat does all [degC], or NO_LOCKOUT
    fan: Floats  #: power of the fan [kW]
    setpoint: Floats  #: [degC]


def design_capacity(conductance: Floats, oversizing: Floats) -> Floats:
    """Heat [Btu/h] (homes,) of furnaces, elements and auxiliary heat, by GridLAB-D's design rule.

    `conductance` [Btu/(h degF)]; `oversizing` is the share above the design load [1].
    """
    return np.ceil((1 + oversizing) * conductance * DESIGN_RISE / 10_000) * 10_000


def heat_pump_performance(outdoors: float) -> tuple[float, float]:
    """Capacity and power [1] of a heat pump of capacity 1 and COP 1 at `outdoors` [degC]. Both are 1 at 47 degF.

    GridLAB-D's default curves; the power's follows the COP's, which stays above 80 degF.
    """
    warmth = outdoors * 1.8 + 32.0
    capacity = 0.34148808 + 0.00894102 * warmth + 0.00010787 * warmth**2
    rated = min(warmth, 80.0)
    inverse_cop = 2.03914613 - 0.03906753 * rated + 0.00045617 * rated**2 - 0.00000203 * rated**3
    return capacity, capacity * inverse_cop


def switched(
    heaters: Heaters,
    on: Bools,
    auxiliary: Bools,
    ran: Floats,
    air: Floats,
    outdoors: float,
    setpoint: Floats,
    deadband: Floats,
) -> tuple[Bools, Bools]:
    """Which homes are heated, and which of them by auxiliary heat, after the thermostats have acted; (homes,) each.

    Heating starts half a `deadband` [K] below the `setpoint` [degC] and stops half a one above. Auxiliary heat takes
    over from the compressor a whole deadband below its start, or when it is as cold `outdoors` [degC] as the lockout
    and heating `ran` for the thermostat's shortest cycle [h], and stays until heating stops. `on` and `auxiliary` are
    those before.
    """
    low = setpoint - deadband / 2
    runs = (air < low) | (on & (air <= setpoint + deadband / 2))
    takes_over = auxiliary | (air < low - deadband) | ((ran >= SHORTEST_CYCLE - 1e-9) & (outdoors <= heaters.lockout))
    return runs, runs & takes_over & (heaters.auxiliary > 0)


def heating_at(heaters: Heaters, auxiliary: Bools, outdoors: float, voltage: Floats | float) -> tuple[Floats, Floats]:
    """Heat given to the air and power drawn [kW] (homes,) where heating runs, at `outdoors` [degC].

    An element's heat and power go with the square of the `voltage` [pu], one or (homes,). The fan's power is
    drawn and warms the air.
    """
    of_capacity, of_power = heat_pump_performance(outdoors)
    square, compressor = np.square(voltage), _zip(voltage, *COMPRESSOR_ZIP)
    pump, element = heaters.kind == HEAT_PUMP, heaters.kind == RESISTANCE
    heat = heaters.capacity * np.where(pump, of_capacity * compressor, np.where(element, square, 1.0))
    fan = heaters.fan * np.where(pump & ~auxiliary, compressor, _zip(voltage, *FAN_ZIP))
    drawn = np.where(pump, heaters.capacity * of_power / heaters.cop * compressor, np.where(element, heat, 0.0))
    helped = heaters.auxiliary * square
    return np.where(auxiliary, helped, heat) + heaters.fan, np.where(auxiliary, helped, drawn) + fan


def _zip(voltage: Floats | float, impedance: float, current: float) -> Floats:
    factor: Floats = impedance * np.square(voltage) + current * np.asarray(voltage) + (1.0 - impedance - current)
    return factor
