"""The equivalent of a published feeder with homes: no network and no engine, arrays only.

The homes are drawn and placed as for the detailed model (`feeders/homes.py`, `feeders/homes_glm.py`), so the same
devices are there, trip and return. Their heat, tanks, vehicles, roofs and batteries are those of the detailed model in
a simpler form; the network between them and the head is what `NetworkParameters` say, fitted to a detailed run.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from feeders.homes import (
    PLUG_SHAPE,
    WATER_SHAPE,
    HomeDistributions,
    charge,
    draw_homes,
    needed_after,
    needed_at_start,
    self_consumption,
    temperature_at_start,
    thermostat_shifts,
)
from feeders.homes_glm import place_homes
from feeders.neighbourhood import Neighbourhood, Weather
from feeders.published_feeder import load_feeder
from feeders.thermal_homes import heaters_of, houses_of
from solvers import feeder_equivalent as model
from solvers import home_heating
from solvers.house_population import WATT_PER_BTU_H

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]
Bools = NDArray[np.bool_]

TABLES = Path(__file__).parent / "tables" / "equivalents"

LONGEST = 60.0  #: [s] longer steps are cut into equal parts, so that thermostats act in time
PLUG_ZIP = (0.3, 0.3)  #: shares of constant impedance and current of plugs, as `feeders/homes_glm.py` has them
TAN_PLUG = float(np.tan(np.arccos(0.97)))  #: reactive over active power of plugs, there
TAN_VEHICLE = float(np.tan(np.arccos(0.99)))  #: of chargers, there
TANK_LOSS = 2.4 * WATT_PER_BTU_H / 1e3 * 1.8  #: [kW/K] of a water tank, as `feeders/homes_glm.py` has it
TANK_BAND = 2.0  #: [K] half of the tank's deadband there
INLET = 20.0  #: [degC] of the water that comes in, there
INVERTER = 0.96  #: efficiency of the inverters of PV and batteries, there
BATTERY = 0.9**0.5  #: efficiency of a battery one way, there


@dataclass(frozen=True)
class Equivalent:
    """What is fitted: the network, and factors on what the homes draw."""

    load_voltage: float = 1.0  #: voltage of the loads while the head is at 1 pu [pu]
    voltage_reach: float = 0.1  #: share of a change of the head's voltage that reaches the loads, past regulators [1]
    losses: float = 0.03  #: of a phase, per square of its power [1/MVA]
    reactance: float = 0.06  #: reactive power of a phase, per square of its power [1/MVA]
    shunt: float = 0.75  #: reactive power that the feeder's capacitors give at 1 pu [Mvar]
    cooling: float = 1.0  #: on the heat that air conditioners remove [1]
    solar_gain: float = 1.0  #: on the heat that the sun brings into the homes [1]
    pv: float = 0.9  #: on the power of the roofs [1]


NAMES = tuple(field.name for field in fields(Equivalent))


def plan(
    feeder: str, count: int, distributions: HomeDistributions, generator: np.random.Generator, **placing: Any
) -> Neighbourhood:
    """The published feeder with `count` homes, drawn and placed as the detailed feeder does.

    Raises FeederTableError, HomesError, GlmError.
    """
    published = load_feeder(feeder)
    homes = draw_homes(count, distributions, generator)
    return Neighbourhood(published, homes, place_homes(published, count, **placing))


@dataclass(frozen=True)
class Inputs:
    """What acts on the feeder at one time; arrays are (homes,)."""

    head_voltage: float  #: [pu]
    weather: Weather
    spot_load_scale: float  #: [1]
    thermostat: Bools
    ev_charger: Bools
    water_heater: Bools
    home: Bools
    thermostat_offset: float = 0.0  #: [K]


@dataclass(frozen=True)
class Outputs:
    """The state at one time; (homes,) powers are positive where the home draws [kW]."""

    power: Complexes  #: (3,) at the head [MVA]
    losses: float  #: [MW]
    balance: float  #: head - losses - spot loads - homes [MW]
    home_temperature: Floats  #: [degC]
    home_power: Floats
    hvac_power: Floats
    ev_power: Floats
    water_heater_power: Floats
    pv_power: Floats  #: positive where the roof gives
    battery_power: Floats  #: positive where the battery charges
    battery_energy: Floats  #: [kWh]


@dataclass(frozen=True)
class State:
    """What the past has left, (homes,) each."""

    air: Floats  #: [degC]
    mass: Floats  #: [degC]
    cooling: Bools  #: the compressor runs
    tank: Floats  #: [degC]
    heating: Bools  #: furnace, element or heat pump runs
    auxiliary: Bools  #: auxiliary heat in the place of the heat pump's compressor
    tank_heating: Bools  #: the tank's element is on
    needed: Floats  #: what each vehicle is short of [kWh]
    battery_wanted: Floats  #: output that would bring the home's exchange to zero, a step ago [kW]
    stored: Floats  #: in the battery [kWh]


@dataclass(frozen=True)
class Sun:
    """Where the sun stands at one time."""

    zenith: float  #: cosine of its angle from the vertical [1]
    azimuth: float  #: from the direction of the equator, westwards positive [rad]


class RunningEquivalent:
    """The equivalent of a neighbourhood: a function of its state and inputs, and the state's next value."""

    def __init__(self, plan: Neighbourhood, parameters: Equivalent, step: float) -> None:
        """`step` [s] between two times."""
        self.plan, self.parameters, self._step = plan, parameters, step
        homes = plan.homes
        self._parts = max(1, int(np.ceil(step / LONGEST - 1e-9)))
        self._hours = step / 3600.0 / self._parts
        houses = houses_of(homes)
        self._conductance = houses.conductance
        self._heaters = heaters_of(homes, houses)
        self._thermal = model.thermal_homes(houses)
        self._thermal_step = model.thermal_step(self._thermal, self._hours)
        self._tank_heat = model.WATER_HEAT * homes.water_volume  # [kWh/K]
        self._has_tank = homes.water_power > 0
        self._phase = np.eye(3)[plan.placement.phase[plan.placement.transformer]]  # (homes, 3)
        loads = plan.feeder.spot_loads
        shares = {"PQ": (0.0, 0.0), "I": (0.0, 1.0), "Z": (1.0, 0.0)}
        self._spot = loads.power / 1e3  # (loads, 3) [MVA]
        self._impedance, self._current = np.array([shares[kind] for kind in loads.model]).reshape(-1, 2).T

    def start(self, hour: float, outdoors: float) -> State:
        """The state at time of day `hour` [h] and `outdoors` [degC] before the warm-up."""
        homes = self.plan.homes
        indoors = temperature_at_start(homes, self._conductance, outdoors)
        off = np.zeros(len(homes), dtype=np.bool_)
        return State(
            air=indoors,
            mass=indoors,
            cooling=off,
            tank=homes.water_temperature,
            heating=off,
            auxiliary=off,
            tank_heating=off,
            needed=needed_at_start(homes, hour),
            battery_wanted=np.zeros(len(homes)),
            stored=homes.battery_charge * homes.battery_energy,
        )

    def solve(self, state: State, hour: float, sun: Sun, inputs: Inputs) -> Outputs:
        """What the feeder draws at time of day `hour` [h] in `state`."""
        homes = self.plan.homes
        reached = self.load_voltage(inputs.head_voltage)
        supplied = inputs.home
        state = self.switched(state, inputs)
        _, drawn = model.cooling_at(self._thermal, inputs.weather.temperature, inputs.weather.relative_humidity)
        _, for_heat = home_heating.heating_at(self._heaters, state.auxiliary, inputs.weather.temperature, reached)
        hvac = np.where(state.cooling, drawn, 0.0) + np.where(state.heating, for_heat, 0.0)
        plug = np.where(supplied, self._plug(hour) * model.zip_factor(reached, *PLUG_ZIP), 0.0)
        vehicle = charge(homes, state.needed, hour, self._step / 3600.0, inputs.ev_charger & supplied)
        water = np.where(state.tank_heating, homes.water_power, 0.0)
        roof = np.where(supplied, self.roofs(sun, inputs.weather), 0.0)
        battery = -np.where(supplied, self._battery_output(state), 0.0)
        active = hvac + plug + vehicle + water - roof + battery
        reactive = plug * TAN_PLUG + vehicle * TAN_VEHICLE
        at_homes = self._phase.T @ (active + 1j * reactive) / 1e3
        spot = self.spot_load(inputs.head_voltage, inputs.spot_load_scale)
        power = self.head(spot + at_homes, inputs.head_voltage)
        losses = float((power - spot - at_homes).real.sum())
        return Outputs(
            power=power,
            losses=losses,
            balance=float(power.real.sum()) - losses - float(spot.real.sum()) - float(active.sum()) / 1e3,
            home_temperature=state.air,
            home_power=active,
            hvac_power=hvac,
            ev_power=vehicle,
            water_heater_power=water,
            pv_power=roof,
            battery_power=battery,
            battery_energy=state.stored,
        )

    def load_voltage(self, head_voltage: float) -> float:
        """Voltage of the loads [pu] under that of the head [pu]."""
        return self.parameters.load_voltage + self.parameters.voltage_reach * (head_voltage - 1.0)

    def spot_load(self, head_voltage: float, scale: float) -> Complexes:
        """Power (3,) [MVA] of the published spot loads that homes do not replace."""
        factor = model.zip_factor(self.load_voltage(head_voltage), self._impedance, self._current)
        power: Complexes = (self._spot * factor[:, None]).sum(axis=0) * scale
        return power

    def head(self, delivered: Complexes, voltage: Floats | float) -> Complexes:
        """Power (..., 3) [MVA] at the head that delivers `delivered` (..., 3) [MVA]."""
        impedance = complex(self.parameters.losses, self.parameters.reactance)
        return model.head_power(delivered, voltage, impedance, self.parameters.shunt)

    def at_homes(self, home: Floats, vehicle: Floats, hours: Floats, voltage: Floats) -> Complexes:
        """Power (n, 3) [MVA] of homes whose meters show `home` and chargers `vehicle` (n, homes) [kW].

        At times of day `hours` (n) [h], under the head's `voltage` (n) [pu].
        """
        factor = [float(model.zip_factor(self.load_voltage(v), *PLUG_ZIP)) for v in voltage.tolist()]
        plug = np.array([self._plug(hour) for hour in hours.tolist()]) * np.array(factor)[:, None]
        power: Complexes = (home + 1j * (plug * TAN_PLUG + vehicle * TAN_VEHICLE)) @ self._phase / 1e3
        return power

    def switched(self, state: State, inputs: Inputs) -> State:
        """The state after thermostats have acted on it."""
        homes, half, may = self._thermal, self._thermal.deadband / 2, inputs.thermostat & inputs.home
        cooler, warmer = thermostat_shifts(self.plan.homes, inputs.thermostat_offset)
        setpoint = homes.setpoint + cooler
        cooling = model.thermostat(state.cooling, state.air, setpoint + half, setpoint - half)
        cooling &= may & (homes.capacity > 0)
        heating, auxiliary = home_heating.switched(
            self._heaters,
            state.heating,
            state.auxiliary,
            state.air,
            inputs.weather.temperature,
            self._heaters.setpoint + warmer,
            homes.deadband,
        )
        tank = self.plan.homes.water_setpoint
        # A tank is heated when it is cold: the thermostat of minus its temperature.
        tank_heating = model.thermostat(state.tank_heating, -state.tank, TANK_BAND - tank, -TANK_BAND - tank)
        tank_heating &= inputs.water_heater & inputs.home & self._has_tank
        return replace(
            state, cooling=cooling, heating=heating & may, auxiliary=auxiliary & may, tank_heating=tank_heating
        )

    def after(self, state: State, hour: float, inputs: Inputs, outputs: Outputs) -> State:
        """The state a step later; `outputs` are those of `solve` at `hour` [h]."""
        homes, parameters = self.plan.homes, self.parameters
        weather = inputs.weather
        removed, _ = model.cooling_at(self._thermal, weather.temperature, weather.relative_humidity)
        wall = model.wall_irradiance(weather.dni, weather.dhi, weather.ghi) / 1e3  # [kW/m2]
        sun = parameters.solar_gain * self._thermal.aperture * wall
        reached = self.load_voltage(inputs.head_voltage)
        plug = np.where(inputs.home, self._plug(hour), 0.0)
        draw = self._draw(hour) * model.WATER_HEAT  # [kW/K]
        for _ in range(self._parts):
            state = self.switched(state, inputs)
            tank_loss = np.where(self._has_tank, TANK_LOSS * (state.tank - state.air), 0.0)
            gains = 0.9 * plug + tank_loss + sun
            given, _ = home_heating.heating_at(self._heaters, state.auxiliary, weather.temperature, reached)
            cooled = np.where(state.cooling, parameters.cooling * removed, 0.0)
            air, mass = model.next_temperatures(
                self._thermal,
                self._thermal_step,
                state.air,
                state.mass,
                weather.temperature,
                gains / 2 - cooled + np.where(state.heating, given, 0.0),
                gains / 2,
            )
            heat = np.where(state.tank_heating, homes.water_power, 0.0) - tank_loss - draw * (state.tank - INLET)
            tank = np.where(self._has_tank, state.tank + heat * self._hours / self._tank_heat, state.tank)
            state = replace(state, air=air, mass=mass, tank=tank)
        step = self._step / 3600.0
        flow = -outputs.battery_power  # [kW] given
        into = np.where(flow < 0, -flow * INVERTER * BATTERY, -flow / (INVERTER * BATTERY))
        stored = np.clip(state.stored + into * step, 0.0, homes.battery_energy)
        net = outputs.home_power - outputs.battery_power
        return replace(
            state,
            needed=needed_after(homes, state.needed, outputs.ev_power, hour, step),
            battery_wanted=self_consumption(net, np.where(inputs.home, homes.battery_power, 0.0)),
            stored=stored,
        )

    def with_vehicles_of(self, state: State, other: State) -> State:
        """`state` with what the vehicles of `other` are short of: time has passed for all else."""
        return replace(state, needed=other.needed)

    def _plug(self, hour: float) -> Floats:
        """Power of lights, plugs and appliances (homes,) at 1 pu [kW]."""
        homes = self.plan.homes
        return homes.plug_power * _shape(PLUG_SHAPE, hour, homes.schedule_skew)

    def _draw(self, hour: float) -> Floats:
        """Hot water drawn (homes,) [L/h]."""
        homes = self.plan.homes
        return homes.water_draw / 24.0 * _shape(WATER_SHAPE, hour, homes.schedule_skew)

    def roofs(self, sun: Sun, weather: Weather) -> Floats:
        """Power that the roofs give (homes,) [kW], at most the inverter's."""
        homes = self.plan.homes
        tilt, facing = np.deg2rad(homes.pv_tilt), np.deg2rad(homes.pv_azimuth)
        flat = np.sqrt(max(1.0 - sun.zenith**2, 0.0))
        incidence = np.cos(tilt) * sun.zenith + np.sin(tilt) * flat * np.cos(sun.azimuth - facing)
        beam = weather.dni * np.maximum(incidence, 0.0) if sun.zenith > 0 else 0.0
        irradiance = beam + weather.dhi * (1 + np.cos(tilt)) / 2
        return np.clip(self.parameters.pv * homes.pv_power * irradiance / 1e3, 0.0, homes.pv_power)

    def _battery_output(self, state: State) -> Floats:
        """What the batteries give (homes,) [kW], as far as they hold or have room for it."""
        step = self._step / 3600.0
        room = self.plan.homes.battery_energy - state.stored
        most = state.stored * INVERTER * BATTERY / step
        least = -room / (INVERTER * BATTERY) / step
        return np.clip(state.battery_wanted, least, most)


def _shape(shape: tuple[float, ...], hour: float, skew: Floats) -> Floats:
    """A day's shape (homes,) at time of day `hour` [h], later by `skew` [s] in each home."""
    index = np.floor(hour - skew / 3600.0 + 1e-9).astype(np.int64) % 24
    return np.asarray(shape)[index]


def sun_path(instants: NDArray[np.datetime64], latitude: float, longitude: float, utc_offset: float) -> tuple[Sun, ...]:
    """Where the sun stands at each of `instants` (n), in local standard time [ns]; imports pandas and pvlib."""
    import pandas as pd
    from pvlib.solarposition import get_solarposition

    utc = instants - np.timedelta64(round(utc_offset * 3600), "s")
    found = get_solarposition(pd.DatetimeIndex(utc, tz="UTC"), latitude, longitude)
    zenith = np.cos(np.deg2rad(found["zenith"].to_numpy()))
    azimuth = np.deg2rad(found["azimuth"].to_numpy())  # from north, clockwise
    westwards = azimuth - np.pi if latitude >= 0 else -azimuth
    return tuple(Sun(float(z), float(a)) for z, a in zip(zenith, westwards, strict=True))
