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

from feeders import water_tanks
from feeders.home_batteries import possible_output, stored_after
from feeders.homes import (
    PLUG_SHAPE,
    HomeDistributions,
    at_hour,
    charge,
    draw_homes,
    needed_after,
    needed_at_start,
    self_consumption,
    temperature_at_start,
    thermostat_shifts,
)
from feeders.homes_glm import place_homes
from feeders.neighbourhood import Inputs, Neighbourhood, Weather, available
from feeders.published_feeder import load_feeder
from feeders.thermal_homes import heaters_of, houses_of
from solvers import feeder_equivalent as model
from solvers import home_heating

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]
Bools = NDArray[np.bool_]

TABLES = Path(__file__).parent / "tables" / "equivalents"

LONGEST = 60.0  #: [s] longer steps are cut into equal parts, so that thermostats act in time
PLUG_ZIP = (0.3, 0.3)  #: shares of constant impedance and current of plugs, as `feeders/homes_glm.py` has them
TAN_PLUG = float(np.tan(np.arccos(0.97)))  #: reactive over active power of plugs, there
TAN_VEHICLE = float(np.tan(np.arccos(0.99)))  #: of chargers, there


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
class Outputs:
    """The state at one time; (homes,) powers are positive where the home draws [kW]."""

    power: Complexes  #: (3,) at the head [MVA]
    losses: float  #: [MW]
    spot_load: float  #: of the remaining spot loads [MW]
    balance: float  #: head - losses - spot loads - homes [MW]
    home_temperature: Floats  #: [degC]
    home_power: Floats
    hvac_power: Floats
    ev_power: Floats
    water_heater_power: Floats
    pv_power: Floats  #: positive where the roof gives
    battery_power: Floats  #: positive where the battery charges
    battery_energy: Floats  #: [kWh]
    ev_energy_needed: Floats  #: what the vehicle is short of [kWh]
    ev_energy_driven: Floats  #: by which it came short in the step that ends [kWh]
    water_heater_energy: Floats  #: heat in the tank above 0 degC [kWh]
    water_heater_draw: Floats  #: heat drawn with hot water, mean of the step that ends
    water_heater_loss: Floats  #: heat lost through the tank's wall, mean of the step that ends


@dataclass(frozen=True)
class State:
    """What the past has left, (homes,) each."""

    air: Floats  #: [degC]
    mass: Floats  #: [degC]
    cooling: Bools  #: the compressor runs
    tank: Floats  #: [degC]
    heating: Bools  #: furnace, element or heat pump runs
    heated: Floats  #: how long that has run [h]
    auxiliary: Bools  #: auxiliary heat in the place of the heat pump's compressor
    tank_heating: Bools  #: the tank's element is on
    tank_drawn: Floats  #: heat drawn with hot water in the step before [kW]
    tank_lost: Floats  #: heat lost through the tank's wall in the step before [kW]
    needed: Floats  #: what each vehicle is short of [kWh]
    driven: Floats  #: by which it came short in the step before [kWh]
    battery_wanted: Floats  #: output that would bring the home's exchange to zero, a step ago [kW]
    stored: Floats  #: in the battery [kWh]


@dataclass(frozen=True)
class Sun:
    """Where the sun stands at one time."""

    zenith: float  #: cosine of its angle from the vertical [1]
    azimuth: float  #: from the direction of the equator, westwards positive [rad]

    @property
    def elevation(self) -> float:
        """Its height above the horizon [deg]."""
        return float(np.rad2deg(np.arcsin(self.zenith)))


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
        self._tanks = water_tanks.tanks_of(homes)
        self._phase = np.eye(3)[plan.placement.phase[plan.placement.transformer]]  # (homes, 3)
        loads = plan.feeder.spot_loads
        shares = {"PQ": (0.0, 0.0), "I": (0.0, 1.0), "Z": (1.0, 0.0)}
        self._spot = loads.power / 1e3  # (loads, 3) [MVA]
        self._impedance, self._current = np.array([shares[kind] for kind in loads.model]).reshape(-1, 2).T

    def start(self, hour: float, outdoors: float) -> State:
        """The state at time of day `hour` [h] and `outdoors` [degC] before the warm-up."""
        homes = self.plan.homes
        indoors = temperature_at_start(homes, self._conductance, outdoors)
        off, none = np.zeros(len(homes), dtype=np.bool_), np.zeros(len(homes))
        return State(
            air=indoors,
            mass=indoors,
            cooling=off,
            tank=homes.water_temperature,
            heating=off,
            heated=np.zeros(len(homes)),
            auxiliary=off,
            tank_heating=off,
            tank_drawn=none,
            tank_lost=none,
            needed=needed_at_start(homes, hour),
            driven=none,
            battery_wanted=none,
            stored=homes.battery_charge * homes.battery_energy,
        )

    def solve(self, state: State, hour: float, sun: Sun, inputs: Inputs) -> Outputs:
        """What the feeder draws at time of day `hour` [h] in `state`."""
        homes, step = self.plan.homes, self._step / 3600.0
        reached = self.load_voltage(inputs.head_voltage)
        supplied = inputs.supplied
        state = self.switched(state, inputs)
        _, drawn = model.cooling_at(self._thermal, inputs.weather.temperature, inputs.weather.relative_humidity)
        hvac = np.where(state.cooling, drawn, 0.0) + self._heating(state, inputs.weather.temperature, reached)[1]
        plug = np.where(supplied, self._plug(hour) * model.zip_factor(reached, *PLUG_ZIP), 0.0)
        vehicle = charge(homes, state.needed, hour, step, inputs.ev_charger & supplied)
        draw = water_tanks.draw_at(self._tanks, hour)
        share = water_tanks.element_share(self._tanks, state.tank_heating, state.tank, state.air, draw, step)
        water = homes.water_power * share
        roof = np.where(supplied, self.roofs(sun, inputs.weather), 0.0)
        wanted = np.where(supplied, state.battery_wanted, 0.0)
        battery = -possible_output(wanted, state.stored, homes.battery_energy, step)
        active = hvac + plug + vehicle + water - roof + battery
        reactive = plug * TAN_PLUG + vehicle * TAN_VEHICLE
        at_homes = self._phase.T @ (active + 1j * reactive) / 1e3
        if inputs.dead:
            spot = power = np.zeros(3, dtype=np.complex128)
        else:
            spot = self.spot_load(inputs.head_voltage, inputs.spot_load_scale)
            power = self.head(spot + at_homes, inputs.head_voltage)
        losses = float((power - spot - at_homes).real.sum())
        return Outputs(
            power=power,
            losses=losses,
            spot_load=float(spot.real.sum()),
            balance=float(power.real.sum()) - losses - float(spot.real.sum()) - float(active.sum()) / 1e3,
            home_temperature=state.air,
            home_power=active,
            hvac_power=hvac,
            ev_power=vehicle,
            water_heater_power=water,
            pv_power=roof,
            battery_power=battery,
            battery_energy=state.stored,
            ev_energy_needed=state.needed,
            ev_energy_driven=state.driven,
            water_heater_energy=water_tanks.energy(self._tanks, state.tank),
            water_heater_draw=state.tank_drawn,
            water_heater_loss=state.tank_lost,
        )

    def _heating(self, state: State, outdoors: float, voltage: float) -> tuple[Floats | float, Floats | float]:
        """Heat given and power drawn (homes,) [kW] by what heats, at `outdoors` [degC] and `voltage` [pu]."""
        if not state.heating.any():
            return 0.0, 0.0
        given, drawn = home_heating.heating_at(self._heaters, state.auxiliary, outdoors, voltage)
        return np.where(state.heating, given, 0.0), np.where(state.heating, drawn, 0.0)

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
        homes, half, may = self._thermal, self._thermal.deadband / 2, inputs.thermostat & inputs.supplied
        cooler, warmer = thermostat_shifts(self.plan.homes, inputs.thermostat_offset)
        setpoint = homes.setpoint + cooler
        cooling = model.thermostat(state.cooling, state.air, setpoint + half, setpoint - half)
        cooling &= may & (homes.capacity > 0)
        heating, auxiliary = home_heating.switched(
            self._heaters,
            state.heating,
            state.auxiliary,
            state.heated,
            state.air,
            inputs.weather.temperature,
            self._heaters.setpoint + warmer,
            homes.deadband,
        )
        element = inputs.water_heater & inputs.supplied
        tank_heating = water_tanks.switched(self._tanks, state.tank_heating, state.tank, element)
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
        reached, step = self.load_voltage(inputs.head_voltage), self._step / 3600.0
        plug = np.where(inputs.supplied, self._plug(hour), 0.0)
        draw = water_tanks.draw_at(self._tanks, hour)
        tank, drawn, lost = water_tanks.after(
            self._tanks, state.tank, outputs.water_heater_power, state.air, draw, step
        )
        gains = 0.9 * plug + lost + sun
        for _ in range(self._parts):
            state = self.switched(state, inputs)
            given, _ = self._heating(state, weather.temperature, reached)
            cooled = np.where(state.cooling, parameters.cooling * removed, 0.0)
            air, mass = model.next_temperatures(
                self._thermal,
                self._thermal_step,
                state.air,
                state.mass,
                weather.temperature,
                gains / 2 - cooled + given,
                gains / 2,
            )
            heated = np.where(state.heating, state.heated + self._hours, 0.0)
            state = replace(state, air=air, mass=mass, heated=heated)
        net = outputs.home_power - outputs.battery_power
        needed, driven = needed_after(homes, state.needed, outputs.ev_power, hour, step)
        return replace(
            state,
            tank=tank,
            tank_drawn=drawn,
            tank_lost=lost,
            needed=needed,
            driven=driven,
            battery_wanted=self_consumption(net, np.where(inputs.supplied, homes.battery_power, 0.0)),
            stored=stored_after(state.stored, -outputs.battery_power, homes.battery_energy, step),
        )

    def warmed_up(self, hour: float, sun: Sun, inputs: Inputs, steps: int) -> State:
        """The state at time of day `hour` [h] after a while in the first weather, with all available and supplied.

        The vehicles are as they were: time has passed for all else.
        """
        inputs = available(inputs)
        state = first = self.start(hour, inputs.weather.temperature)
        for _ in range(steps):
            state = self.after(state, hour, inputs, self.solve(state, hour, sun, inputs))
        return replace(state, needed=first.needed, driven=first.driven)

    def _plug(self, hour: float) -> Floats:
        """Power of lights, plugs and appliances (homes,) at 1 pu [kW]."""
        homes = self.plan.homes
        return homes.plug_power * at_hour(PLUG_SHAPE, hour, homes.schedule_skew)

    def roofs(self, sun: Sun, weather: Weather) -> Floats:
        """Power that the roofs give (homes,) [kW], at most the inverter's."""
        homes = self.plan.homes
        tilt, facing = np.deg2rad(homes.pv_tilt), np.deg2rad(homes.pv_azimuth)
        flat = np.sqrt(max(1.0 - sun.zenith**2, 0.0))
        incidence = np.cos(tilt) * sun.zenith + np.sin(tilt) * flat * np.cos(sun.azimuth - facing)
        beam = weather.dni * np.maximum(incidence, 0.0) if sun.zenith > 0 else 0.0
        irradiance = beam + weather.dhi * (1 + np.cos(tilt)) / 2
        return np.clip(self.parameters.pv * homes.pv_power * irradiance / 1e3, 0.0, homes.pv_power)


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
