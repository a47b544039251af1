"""A published feeder with homes, stepped in GridLAB-D: arrays in, arrays out.

`Neighbourhood` is the plan (cheap, no engine); `RunningNeighbourhood` is the model in GridLAB-D. Each
step writes what has changed, advances, and reads everything in bulk.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from feeders import water_tanks
from feeders.ev_sessions import HomeSessions, Vehicles
from feeders.glm import (
    HEAD,
    SQRT3,
    WEATHER,
    Clock,
    Site,
    Solver,
    feeder_glm,
    live_nodes,
    load_name,
    load_property,
    load_values,
    node_name,
    nominal_phasors,
)
from feeders.gridlabd_engine import Engine, EngineError, PowerFlowError
from feeders.head_voltage import is_dead
from feeders.home_batteries import possible_output, stored_after
from feeders.homes import (
    PLUG_SHAPE,
    Homes,
    charge,
    needed_after,
    needed_at_start,
    self_consumption,
    temperature_at_start,
    thermostat_shifts,
)
from feeders.homes_glm import SQUARE_FEET, Placement, celsius, fahrenheit, home_object, home_objects, without_replaced
from feeders.opendss_model import regulator_controls
from feeders.published_feeder import PHASES, PublishedFeeder, with_lumped_distributed_loads
from feeders.pv_volt_var import PvVoltVar
from feeders.thermal_homes import heaters_of, houses_of
from solvers.home_heating import RESISTANCE, heating_at

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]
Bools = NDArray[np.bool_]

PLAUSIBLE = (0.5, 1.5)  #: [pu] a node voltage outside is no solution of a feeder in service
_LINKS = ("overhead_line", "underground_line", "regulator", "switch", "transformer", "triplex_line")
_SERVICE_VOLTS = 240.0  #: between the two legs of a service, where an inverter is connected [V]
_MPH = 1 / 0.44704  #: per m/s


@dataclass(frozen=True)
class Weather:
    """The weather at one time."""

    temperature: float  #: [degC]
    relative_humidity: float  #: [1]
    wind_speed: float  #: [m/s]
    ghi: float  #: global horizontal irradiance [W/m2]
    dni: float  #: direct normal irradiance [W/m2]
    dhi: float  #: diffuse horizontal irradiance [W/m2]


@dataclass(frozen=True)
class Inputs:
    """What acts on the neighbourhood at one time; arrays are (homes,)."""

    head_voltage: float  #: magnitude at the head [pu of the published voltage]
    weather: Weather
    spot_load_scale: float  #: [1] on the spot loads that homes do not replace
    thermostat: Bools  #: false: air conditioner and heating stay off
    ev_charger: Bools  #: false: the vehicle does not charge
    water_heater: Bools  #: false: the element stays off
    home: Bools  #: false: the home's meter is open
    thermostat_offset: float = 0.0  #: by which cooling sets in warmer and electric heating colder [K]

    @property
    def dead(self) -> bool:
        """Whether the whole feeder is dark. Raises HeadVoltageError for a voltage between dead and in service."""
        return is_dead(self.head_voltage)

    @property
    def supplied(self) -> Bools:
        """The homes that have a voltage."""
        return np.zeros_like(self.home) if self.dead else self.home


def available(inputs: Inputs) -> Inputs:
    """The same where nothing has tripped and the head is alive."""
    yes = np.ones_like(inputs.home)
    voltage = 1.0 if inputs.dead else inputs.head_voltage
    return replace(inputs, head_voltage=voltage, thermostat=yes, ev_charger=yes, water_heater=yes, home=yes)


@dataclass(frozen=True)
class Outputs:
    """The state at one time; home powers are (homes,) [kW], positive where the home draws."""

    power: Complexes  #: (3,) into the feeder at its head [MVA]
    node_voltage: Floats  #: (node phases,) magnitude [pu]
    losses: float  #: in lines, transformers, regulators and services [MW]
    spot_load: float  #: of the remaining spot loads [MW]
    balance: float  #: head - losses - spot loads - homes [MW]
    sun_elevation: float  #: height of the sun above the horizon, as GridLAB-D has it [deg]
    home_temperature: Floats  #: indoor air [degC]
    home_power: Floats  #: at the meter
    hvac_power: Floats
    ev_power: Floats
    water_heater_power: Floats
    pv_power: Floats  #: positive where the roof gives
    pv_reactive_power: Floats  #: positive where the roof's inverter injects [kvar]
    battery_power: Floats  #: positive where the battery charges
    battery_energy: Floats  #: [kWh]
    ev_energy_needed: Floats  #: what the vehicle is short of [kWh]
    ev_energy_driven: Floats  #: by which it came short in the step that ends [kWh]
    water_heater_energy: Floats  #: heat in the tank above 0 degC [kWh]
    water_heater_draw: Floats  #: heat drawn with hot water, mean of the step that ends
    water_heater_loss: Floats  #: heat lost through the tank's wall, mean of the step that ends
    taps: Floats  #: (regulator controls,) as in `regulator_controls`


@dataclass(frozen=True)
class HomeDays:
    """What the homes' people do, where it differs from day to day; what is None follows the homes' mean day."""

    plug_power: Floats | None = None  #: (hours, homes) of lights, plugs and appliances [kW], from `plug_start` on
    plug_start: datetime = datetime.min  #: a full hour
    sessions: HomeSessions | None = None  #: of the vehicles


class Neighbourhood:
    """The plan of a feeder with homes."""

    def __init__(
        self,
        feeder: PublishedFeeder,
        homes: Homes,
        placement: Placement,
        pv_volt_var: Literal["none", "A", "B"] = "none",
        days: HomeDays | None = None,
    ) -> None:
        """`pv_volt_var`: the normal category whose default volt-var curve the PV inverters follow."""
        self.homes = homes
        self.days = days or HomeDays()
        self.pv_volt_var = pv_volt_var
        self.placement = placement
        self.feeder = with_lumped_distributed_loads(without_replaced(feeder, placement))
        nodes = self.feeder.nodes
        live = live_nodes(self.feeder)
        #: (node phases,) index of node and phase of each reported voltage
        self.node_index = np.array([k for k, n in enumerate(nodes.name) if n in live for _ in nodes.phases[k]])
        self.phase_index = np.array(
            [PHASES.index(p) for k, n in enumerate(nodes.name) if n in live for p in nodes.phases[k]]
        )

    @property
    def node_phases(self) -> tuple[str, ...]:
        """Labels of the reported voltages, for example "671.A"."""
        return tuple(
            f"{self.feeder.nodes.name[k]}.{PHASES[p]}" for k, p in zip(self.node_index, self.phase_index, strict=True)
        )

    def highest_plug_power(self) -> Floats:
        """The most that lights, plugs and appliances (homes,) are set to draw at 1 pu [kW]."""
        drawn = self.days.plug_power
        return self.homes.plug_power * max(PLUG_SHAPE) if drawn is None else drawn.max(axis=0)

    def glm(self, clock: Clock, site: Site, solver: Solver | None = None) -> str:
        """The model's GLM text."""
        volt_var = self.pv_volt_var != "none"
        objects = home_objects(
            self.feeder,
            self.homes,
            self.placement,
            site,
            volt_var=volt_var,
            plugs_written=self.days.plug_power is not None,
        )
        return feeder_glm(self.feeder, clock, site=site, solver=solver, extra=objects)


class RunningNeighbourhood:
    """The neighbourhood in GridLAB-D, from `clock.start` on."""

    def __init__(
        self, plan: Neighbourhood, clock: Clock, site: Site, folder: Path, solver: Solver | None = None
    ) -> None:
        """Load the model; raises EngineError if GridLAB-D refuses it."""
        self.plan, self.clock = plan, clock
        self.engine = Engine(plan.glm(clock, site, solver), folder)
        homes, count = plan.homes, len(plan.homes)
        self._volts = plan.feeder.nodes.kv * 1e3 / SQRT3
        self._load_node = np.array(
            [plan.feeder.nodes.name.index(n) for n in plan.feeder.spot_loads.node], dtype=np.int64
        )
        self._load_value = load_values(plan.feeder.spot_loads, plan.feeder.nodes.kv[self._load_node])
        self._nominal = np.abs(nominal_phasors(plan.feeder.spot_loads.delta, plan.feeder.nodes.kv[self._load_node]))
        exponent = {"PQ": 0.0, "I": 1.0, "Z": 2.0}
        self._exponent = np.array([exponent[m] for m in plan.feeder.spot_loads.model])[:, None]
        self._heaters = heaters_of(homes, houses_of(homes))
        self._pv = np.flatnonzero(homes.pv_power)
        self._tanks = water_tanks.tanks_of(homes)
        self._controls = tuple(regulator_controls(plan.feeder))
        self._automatic = (solver or Solver()).regulators == "automatic"
        self._node_row = self._match_nodes()
        self._expect("house", count)
        self._expect("triplex_meter", count)
        self._expect("inverter", len(self._pv))
        self._step_hours = clock.step / 3600.0
        self._written = _Written(count)
        self._needed = needed_at_start(homes, _hour(clock.start))
        sessions = plan.days.sessions
        self._vehicles = None if sessions is None else Vehicles(sessions, homes.ev_power, 0)
        self._driven = np.zeros(count)
        self._battery_wanted = np.zeros(count)
        self._stored = homes.battery_charge * homes.battery_energy
        self._tank, self._tank_on = homes.water_temperature, np.zeros(count, dtype=np.bool_)
        self._tank_power, self._tank_draw, self._tank_lost = np.zeros(count), np.zeros(count), np.zeros(count)
        self._air = homes.temperature  # around the tanks
        self._service_voltage = np.ones(count)  # [pu] of the last solution
        self._volt_var = PvVoltVar(homes.pv_power[self._pv], plan.pv_volt_var) if plan.pv_volt_var != "none" else None
        self._reactive_wanted = np.zeros(count)
        self._ahead = clock.model_start + timedelta(seconds=clock.step)  #: the next step of the warm-up
        self._opened: Floats | None = None  #: what the vehicles draw in the first step, once it is worked out

    def step(self, moment: datetime, inputs: Inputs) -> Outputs:
        """Advance to `moment`, a coupling interval after the last, and read the state there.

        The first step goes through the warm-up, with the inputs of its end.

        Raises
        ------
        EngineError
            If the power flow fails or gives voltages that no feeder in service has.

        """
        homes, hour = self.plan.homes, _hour(moment)
        ev_power = self._charging(moment, inputs) if self._opened is None else self._opened
        self._opened = None
        self.advance(moment, inputs, ev_power)
        outputs = self.read(inputs, ev_power)
        if self._vehicles is None:
            self._needed, self._driven = needed_after(homes, self._needed, ev_power, hour, self._step_hours)
        self._stored = stored_after(self._stored, -outputs.battery_power, homes.battery_energy, self._step_hours)
        # The control acts a step later: it sees the meter as it is now.
        self._battery_wanted = self_consumption(
            outputs.home_power - outputs.battery_power, np.where(inputs.supplied, homes.battery_power, 0.0)
        )
        if self._volt_var is not None:
            # A dark home's inverter has no voltage to act on and begins again from no reactive power.
            voltage = np.where(inputs.supplied, self._service_voltage, 1.0)[self._pv]
            wanted = self._volt_var.step(self.clock.step, voltage, outputs.pv_power[self._pv])
            self._reactive_wanted = self._spread(self._pv, wanted)
        return outputs

    def open(self, moment: datetime, inputs: Inputs) -> Outputs:
        """Go through half of the warm-up, and read the state: about what `step` to `moment` will find.

        The other half is left to `step`: regulators settle at the voltage that the head then has.

        Raises
        ------
        EngineError
            If the power flow fails or gives voltages that no feeder in service has.

        """
        self._opened = self._charging(moment, inputs)
        self._warm_up(moment - self.clock.warm_up / 2, inputs, self._opened)
        return self.read(inputs, self._opened)

    def _charging(self, moment: datetime, inputs: Inputs) -> Floats:
        """(homes,) power of the vehicles' chargers in the step from `moment` on [kW]."""
        charges = inputs.ev_charger & inputs.supplied
        if self._vehicles is None:
            return charge(self.plan.homes, self._needed, _hour(moment), self._step_hours, charges)
        since = round((moment - self.clock.start).total_seconds())
        ev_power = self._vehicles.power(since, self.clock.step, charges)
        self._needed, self._driven = self._vehicles.needed_before, self._vehicles.driven
        return ev_power

    def advance(self, moment: datetime, inputs: Inputs, ev_power: Floats) -> None:
        """Write what has changed and step GridLAB-D to `moment`, through the warm-up if it is the first."""
        if self._ahead < self.clock.start:
            self._warm_up(moment, inputs, ev_power)
        self._heat_water(moment, inputs)
        self.write(inputs, ev_power)
        self._write_plugs(moment)
        self.engine.step_to(moment)

    def _warm_up(self, until: datetime, inputs: Inputs, ev_power: Floats) -> None:
        """Step to just before `until`, in its weather, with all available and supplied.

        What is off at the start goes off at the start. GridLAB-D would keep off what is off as it initialises.
        """
        inputs, tick = available(inputs), timedelta(seconds=self.clock.step)
        if self._ahead == self.clock.model_start + tick:
            self._start_temperatures(inputs.weather.temperature)
        self.write(inputs, ev_power)
        while self._ahead < until:
            self._write_plugs(self._ahead)
            self.engine.step_to(self._ahead)
            self._heat_water(self._ahead, inputs)
            self.write(inputs, ev_power)
            self._ahead += tick

    def _heat_water(self, moment: datetime, inputs: Inputs) -> None:
        """Bring the tanks to `moment`, and say what heats them from then on."""
        tanks, step = self._tanks, self._step_hours
        self._tank, self._tank_drawn, self._tank_lost = water_tanks.after(
            tanks, self._tank, self._tank_power, self._air, self._tank_draw, step
        )
        self._tank_draw = water_tanks.draw_at(tanks, _hour(moment))
        self._tank_on = water_tanks.switched(tanks, self._tank_on, self._tank, inputs.water_heater & inputs.supplied)
        share = water_tanks.element_share(tanks, self._tank_on, self._tank, self._air, self._tank_draw, step)
        self._tank_power = tanks.power * share

    def _start_temperatures(self, outdoors: float) -> None:
        """Let the homes that need heating at `outdoors` [degC] start in the deadband of their heating."""
        homes = self.plan.homes
        start = temperature_at_start(homes, houses_of(homes).conductance, outdoors)
        for k in np.flatnonzero(start != homes.temperature).tolist():
            for name in ("air_temperature", "mass_temperature"):
                self.engine.write(home_object("house", k), name, float(fahrenheit(start[k])))
        self._air = start

    def write(self, inputs: Inputs, ev_power: Floats) -> None:
        """Write what has changed since the last step."""
        homes, old, engine = self.plan.homes, self._written, self.engine
        climate = climate_properties(inputs.weather)
        for name, value in climate.items():
            if old.climate.get(name) != value:
                engine.write(WEATHER, name, value)
        old.climate = climate
        if old.head_voltage != inputs.head_voltage and not inputs.dead:
            source = self.plan.feeder.source
            volts = source.voltage * source.kv * 1e3 / SQRT3 * inputs.head_voltage
            for p, value in zip(PHASES, volts, strict=True):
                engine.write(HEAD, f"voltage_{p}", complex(value))
            old.head_voltage = inputs.head_voltage
        if old.scale != inputs.spot_load_scale:
            self._write_spot_loads(inputs.spot_load_scale)
            old.scale = inputs.spot_load_scale
        for k in np.flatnonzero(inputs.thermostat != old.thermostat).tolist():
            engine.write(home_object("house", k), "thermostat_mode", "AUTO" if inputs.thermostat[k] else "OFF")
        for k in np.flatnonzero(inputs.supplied != old.supplied).tolist():
            status = "IN_SERVICE" if inputs.supplied[k] else "OUT_OF_SERVICE"
            engine.write(home_object("meter", k), "service_status", status)
        old.thermostat, old.supplied = inputs.thermostat, inputs.supplied
        if old.dead != inputs.dead:
            self._hold_taps(inputs.dead)
            old.dead = inputs.dead
        if old.offset != inputs.thermostat_offset:
            cooling, heating = thermostat_shifts(homes, inputs.thermostat_offset)
            for k in np.flatnonzero(homes.cooling).tolist():
                setpoint = float(fahrenheit(homes.cooling_setpoint[k] + cooling[k]))
                engine.write(home_object("house", k), "cooling_setpoint", setpoint)
            for k in np.flatnonzero(homes.electric_heating).tolist():
                setpoint = float(fahrenheit(homes.heating_setpoint[k] + heating[k]))
                engine.write(home_object("house", k), "heating_setpoint", setpoint)
            old.offset = inputs.thermostat_offset
        for k in np.flatnonzero(ev_power != old.ev_power).tolist():
            engine.write(home_object("ev", k), "base_power", ev_power[k])
        old.ev_power = ev_power
        for k in np.flatnonzero(self._tank_power != old.tank_power).tolist():
            engine.write(home_object("water_heater", k), "base_power", self._tank_power[k])
        old.tank_power = self._tank_power
        # Watts below one are not worth a write.
        wanted = np.where(inputs.supplied, self._battery_wanted, 0.0)
        given = possible_output(wanted, self._stored, homes.battery_energy, self._step_hours)
        goes_on = (given != 0.0) == (old.battery != 0.0)
        goes_on &= old.battery == possible_output(old.battery, self._stored, homes.battery_energy, self._step_hours)
        for k in np.flatnonzero((np.abs(given - old.battery) > 1e-3) | ~goes_on).tolist():
            engine.write(home_object("battery", k), "constant_power_12", complex(-given[k] * 1e3, 0.0))
            old.battery[k] = given[k]
        reactive = np.where(inputs.supplied, self._reactive_wanted, 0.0)
        for k in np.flatnonzero(np.abs(reactive - old.pv_reactive) > 1e-3).tolist():
            engine.write(home_object("pv_reactive", k), "constant_power_12", complex(0.0, -reactive[k] * 1e3))
            old.pv_reactive[k] = reactive[k]

    def _hold_taps(self, dead: bool) -> None:
        """Let no regulator move while it has no voltage."""
        for k in dict.fromkeys(k for k, _ in self._controls) if self._automatic else ():
            self.engine.write(f"regulator_configuration_{k}", "Control", "MANUAL" if dead else "LINE_DROP_COMP")

    def _write_plugs(self, moment: datetime) -> None:
        """Write the power of plugs for the hour that ends at `moment` or holds it."""
        days = self.plan.days
        if days.plug_power is None:
            return
        hour = int((moment - timedelta(seconds=1) - days.plug_start) // timedelta(hours=1))
        if hour != self._written.plug_hour:
            row = days.plug_power[min(max(hour, 0), len(days.plug_power) - 1)]
            for k, power in enumerate(row.tolist()):
                self.engine.write(home_object("plug", k), "base_power", power)
            self._written.plug_hour = hour

    def read(self, inputs: Inputs, ev_power: Floats) -> Outputs:
        """Read the state, in bulk."""
        engine = self.engine
        voltage = self.node_voltages()
        magnitude = (np.abs(voltage) / self._volts[:, None])[self.plan.node_index, self.plan.phase_index]
        low, high = PLAUSIBLE
        wrong = ~((magnitude >= low) & (magnitude <= high))  # also true for NaN
        if wrong.any():
            labels = self.plan.node_phases
            worst = ", ".join(f"{labels[k]} {magnitude[k]:.3g} pu" for k in np.flatnonzero(wrong)[:5])
            raise PowerFlowError(
                f"the power flow gives voltages outside {low} to {high} pu at {wrong.sum()} node phases: {worst}"
            )
        power = np.array([engine.read(HEAD, f"measured_power_{p}") for p in PHASES], dtype=np.complex128) / 1e6
        home_power = engine.read_real("triplex_meter", "measured_real_power") / 1e3
        roofs = self._spread(self._pv, engine.read_complex("inverter", "VA_Out").real / 1e3)
        self._service_voltage = self.home_voltages()
        self._tank_power = self._tank_power * self._service_voltage**2  # an element is a resistance
        self._air = celsius(engine.read_real("house", "air_temperature"))
        # Not `power_losses`: that takes the magnitude of each phase's loss, and mutual coupling makes the
        # loss of a single phase negative.
        losses = sum(self._sum(kind, "power_in") - self._sum(kind, "power_out") for kind in _LINKS) / 1e6
        spot = float(self.spot_load_power(voltage, inputs.spot_load_scale).real.sum() / 1e3)
        outputs = Outputs(
            power=power,
            node_voltage=magnitude,
            losses=losses,
            spot_load=spot,
            balance=float(power.real.sum()) - losses - spot - float(home_power.sum()) / 1e3,
            sun_elevation=float(np.rad2deg(engine.read(WEATHER, "solar_elevation").real)),
            home_temperature=self._air,
            home_power=home_power,
            hvac_power=self._hvac_power(),
            ev_power=ev_power,
            water_heater_power=self._tank_power,
            pv_power=np.where(inputs.supplied, roofs, 0.0),
            pv_reactive_power=self._written.pv_reactive.copy(),
            battery_power=-self._written.battery,
            battery_energy=self._stored,
            ev_energy_needed=self._needed,
            ev_energy_driven=self._driven,
            water_heater_energy=water_tanks.energy(self._tanks, self._tank),
            water_heater_draw=self._tank_drawn,
            water_heater_loss=self._tank_lost,
            taps=np.array([engine.read(f"regulator_{k}", f"tap_{PHASES[i]}").real for k, i in self._controls]),
        )
        return _dark(outputs) if inputs.dead else outputs

    def _hvac_power(self) -> Floats:
        """(homes,) power of heating and cooling [kW]."""
        power, homes = self.engine.read_real("house", "hvac_load"), self.plan.homes
        if not homes.has_element.any():
            return power
        # `hvac_load` gives an element the voltage's effect on a compressor, and the voltage before the last solution.
        mode = self.engine.read_word("house", "system_mode")
        helped = (mode == "AUX") & homes.auxiliary
        element = helped | ((mode == "HEAT") & (homes.heating == RESISTANCE))
        _, drawn = heating_at(self._heaters, helped, 0.0, self._service_voltage)
        return np.where(element & (power > 0.0), drawn, power)

    def node_voltages(self) -> Complexes:
        """(nodes, 3) line-to-neutral voltage of every published node [V]."""
        source = self.plan.feeder.source.node
        found = np.stack([self.engine.read_complex("node", f"voltage_{p}") for p in PHASES], axis=1)
        voltage = np.zeros((len(self._volts), 3), dtype=np.complex128)
        voltage[self._node_row >= 0] = found[self._node_row[self._node_row >= 0]]
        head = [self.engine.read(HEAD, f"voltage_{p}") for p in PHASES]
        voltage[self.plan.feeder.nodes.name.index(source)] = head
        return voltage

    def home_voltages(self) -> Floats:
        """(homes,) magnitude between the legs at each home's meter [pu]."""
        volts: Floats = np.abs(self.engine.read_complex("triplex_meter", "voltage_12")) / _SERVICE_VOLTS
        return volts

    def spot_load_power(self, voltage: Complexes, scale: float) -> Complexes:
        """(loads, 3) power that the spot loads draw at these node voltages [kVA]."""
        loads = self.plan.feeder.spot_loads
        across = voltage[self._load_node]
        across = np.where(loads.delta[:, None], across - np.roll(across, -1, axis=1), across)
        drawn: Complexes = loads.power * scale * (np.abs(across) / self._nominal) ** self._exponent
        return drawn

    def _write_spot_loads(self, scale: float) -> None:
        models = self.plan.feeder.spot_loads.model
        for k, p in zip(*np.nonzero(self._load_value), strict=True):
            if models[k] != "Z":
                value = self._load_value[k, p] * scale
            else:
                value = self._load_value[k, p] / scale if scale else 0.0  # GridLAB-D's 0 ohm is no load
            self.engine.write(load_name(k), f"{load_property(models[k])}_{PHASES[p]}", complex(value))

    def _match_nodes(self) -> NDArray[np.int64]:
        """(nodes,) the row of each published node in bulk reads; -1 for the head and dead stubs."""
        row = {name: k for k, name in enumerate(self.engine.names("node"))}
        return np.array([row.get(node_name(n), -1) for n in self.plan.feeder.nodes.name], dtype=np.int64)

    def _expect(self, kind: str, count: int) -> None:
        found = len(self.engine.names(kind))
        if found != count:
            raise EngineError(f"GridLAB-D holds {found} objects {kind} where {count} were written")

    def _sum(self, kind: str, prop: str) -> float:
        return float(self.engine.read_complex(kind, prop).real.sum())

    def _spread(self, index: NDArray[np.int64], values: Floats) -> Floats:
        spread = np.zeros(len(self.plan.homes))
        spread[index] = values
        return spread


@dataclass
class _Written:
    """What GridLAB-D was last told."""

    count: int
    climate: dict[str, float] = field(default_factory=dict)
    head_voltage: float = 1.0
    scale: float = 1.0
    offset: float = 0.0
    plug_hour: int = -1
    dead: bool = False

    def __post_init__(self) -> None:
        self.thermostat = self.supplied = np.ones(self.count, dtype=np.bool_)
        self.ev_power = self.tank_power = np.zeros(self.count)
        self.battery = np.zeros(self.count)
        self.pv_reactive = np.zeros(self.count)


def _dark(outputs: Outputs) -> Outputs:
    """The same behind a dead head, where GridLAB-D, which needs a source, still has its lines and loads supplied."""
    none = np.zeros_like
    power, voltage = none(outputs.power), none(outputs.node_voltage)
    return replace(outputs, power=power, node_voltage=voltage, losses=0.0, spot_load=0.0, balance=0.0)


def climate_properties(weather: Weather) -> dict[str, float]:
    """The weather as GridLAB-D's climate object takes it: degF, pu, mph, W/sf."""
    return {
        "temperature": float(fahrenheit(weather.temperature)),
        "humidity": weather.relative_humidity,
        "wind_speed": weather.wind_speed * _MPH,
        "solar_global": weather.ghi / SQUARE_FEET,
        "solar_direct": weather.dni / SQUARE_FEET,
        "solar_diffuse": weather.dhi / SQUARE_FEET,
    }


def all_available(count: int, weather: Weather, **changes: float) -> Inputs:
    """Inputs under which every device is available, at 1 pu and scale 1 unless `changes` say otherwise."""
    yes = np.ones(count, dtype=np.bool_)
    return replace(Inputs(1.0, weather, 1.0, yes, yes, yes, yes), **changes)  # type: ignore[arg-type]


def _hour(moment: datetime) -> float:
    return moment.hour + moment.minute / 60 + moment.second / 3600
