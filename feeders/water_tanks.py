"""Electric storage water heaters on arrays: one temperature a tank, exact over a step.

Not GridLAB-D's `waterheater`: where the element cannot follow the draw, as in any outage, it divides the tank in two
layers whose heat falls by a sixth less than what is drawn from them, and it heats at the voltage of another step.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from feeders.homes import WATER_SHAPE, Homes, at_hour
from solvers.feeder_equivalent import WATER_HEAT, thermostat
from solvers.house_population import WATT_PER_BTU_H

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

LOSS = 2.4 * WATT_PER_BTU_H / 1e3 * 1.8  #: conductance of a tank's wall [kW/K], 2.4 Btu/(h degF) (assumed)
BAND = 2.0  #: half of the thermostat's deadband [K] (assumed)
INLET = 20.0  #: temperature of the water that comes in [degC] (assumed)
INDOORS = 24.0  #: [degC] of the home that the shares of `lost_share` are for
NEAR = 0.05  #: [K] below the upper limit the element stops, so that it does not end in ever shorter pulses


@dataclass(frozen=True)
class WaterTanks:
    """(homes,) arrays; the element of a home without a tank has power 0."""

    heat: Floats  #: that warms it by a degree [kWh/K]
    power: Floats  #: of the element at nominal voltage [kW]
    setpoint: Floats  #: [degC]
    draw: Floats  #: mean over the day, as the heat of a degree [kW/K]
    skew: Floats  #: the home's day is this much later [s]

    @property
    def there(self) -> Bools:
        """The homes that have one."""
        found: Bools = self.power > 0.0
        return found

    @property
    def capacity(self) -> Floats:
        """Heat above 0 degC at which the water boils [kWh]."""
        return np.where(self.there, 100.0 * self.heat, 0.0)


def tanks_of(homes: Homes) -> WaterTanks:
    """The tanks of homes."""
    return WaterTanks(
        WATER_HEAT * homes.water_volume,
        homes.water_power,
        homes.water_setpoint,
        WATER_HEAT * homes.water_draw / 24.0,
        homes.schedule_skew,
    )


def draw_at(tanks: WaterTanks, hour: float) -> Floats:
    """Hot water drawn at time of day `hour` [h], as the heat of a degree [kW/K]."""
    return tanks.draw * at_hour(WATER_SHAPE, hour, tanks.skew)


def energy(tanks: WaterTanks, temperature: Floats) -> Floats:
    """Heat in the tanks above 0 degC [kWh]."""
    return np.where(tanks.there, tanks.heat * temperature, 0.0)


def lost_share(tanks: WaterTanks) -> Floats:
    """Share of the element's heat that goes through the wall into the home, in the mean of a day [1]."""
    lost, drawn = LOSS * (tanks.setpoint - INDOORS), tanks.draw * (tanks.setpoint - INLET)
    return np.where(tanks.there, lost / (lost + drawn), 0.0)


def switched(tanks: WaterTanks, heating: Bools, temperature: Floats, allowed: Bools) -> Bools:
    """Which elements are on after the thermostats have acted."""
    # A tank is heated when it is cold: the thermostat of minus its temperature.
    warm = tanks.setpoint + BAND - NEAR
    runs = thermostat(heating, -temperature, BAND - tanks.setpoint, -warm)
    return runs & allowed & tanks.there


def element_share(
    tanks: WaterTanks, heating: Bools, temperature: Floats, air: Floats, draw: Floats, step: float
) -> Floats:
    """Share of the next `step` [h] in which each element is on [1]: below 1 where the tank is warm before its end."""
    rate, left = _decay(tanks, draw, step)
    target = (tanks.setpoint + BAND - temperature * left) / (1.0 - left)
    needed = rate * target - LOSS * air - draw * INLET
    share = np.divide(needed, tanks.power, out=np.zeros_like(needed), where=tanks.there)
    return np.where(heating, np.clip(share, 0.0, 1.0), 0.0)


def after(
    tanks: WaterTanks, temperature: Floats, power: Floats, air: Floats, draw: Floats, step: float
) -> tuple[Floats, Floats, Floats]:
    """The state of tanks `step` [h] later, under what lasts that long.

    Parameters
    ----------
    tanks
        The tanks.
    temperature
        (homes,) [degC].
    power
        (homes,) that heats each [kW].
    air
        (homes,) around each [degC].
    draw
        (homes,) hot water drawn, as the heat of a degree [kW/K].
    step
        [h]

    Returns
    -------
    Temperature [degC], mean heat drawn with hot water and mean heat lost through the wall [kW], (homes,) each.

    """
    rate, left = _decay(tanks, draw, step)
    final = (power + LOSS * air + draw * INLET) / rate
    later = final + (temperature - final) * left
    # What was neither stored nor put in has gone, by the wall and with the water, at one mean temperature.
    mean = final - (later - temperature) * tanks.heat / (rate * step)
    there = tanks.there
    drawn, lost = np.where(there, draw * (mean - INLET), 0.0), np.where(there, LOSS * (mean - air), 0.0)
    return np.where(there, later, temperature), drawn, lost


def _decay(tanks: WaterTanks, draw: Floats, step: float) -> tuple[Floats, Floats]:
    """Heat that leaves by wall and draw per degree [kW/K], and the share of a difference that is left after `step`."""
    rate = LOSS + draw
    left: Floats = np.exp(-rate * step / tanks.heat)
    return rate, left
