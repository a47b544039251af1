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
from feeders.homes import (
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


@dataclass(frozen=True)
class Outputs:
    """The state at one time; home powers are (homes,) [kW], positive where the home draws."""

    power: Complexes  #: (3,) into the feeder at its head [MVA]
    node_voltage: Floats  #: (node phases,) magnitude [pu]
    losses: float  #: in lines, transformers, regulators and services [MW]
    spot_load: float  #: of the remaining spot loads [MW]
    balance: float  #: head - losses - spot loads - homes [MW]
    home_temperature: Floats  #: indoor air [degC]
    home_power: Floats  #: at the meter
    hvac_power: Floats
    ev_power: Floats
    water_heater_power: Floats
    pv_power: Floats  #: positive where the roof gives
    pv_reactive_power: Floats  #: positive where the roof's inverter injects [kvar]
    battery_power: Floats  #: positive where the battery charges
    battery_energy: Floats  #: [kWh]
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
        self._water = np.flatnonzero(homes.water_power)
        self._pv = np.flatnonzero(homes.pv_power)
        self._battery = np.flatnonzero(homes.battery_power)
        self._controls = tuple(regulator_controls(plan.feeder))
        self._node_row = self._match_nodes()
        self._expect("house", count)
        self._expect("triplex_meter", count)
        self._expect("waterheater", len(self._water))
        self._expect("inverter", len(self._battery) + len(self._pv))
        self._expect("battery", len(self._battery))
        self._step_hours = clock.step / 3600.0
        self._written = _Written(count)
        self._needed = needed_at_start(homes, _hour(clock.start))
        sessions = plan.days.sessions
        self._vehicles = None if sessions is None else Vehicles(sessions, homes.ev_power, 0)
        self._battery_wanted = np.zeros(count)
        self._volt_var = PvVoltVar(homes.pv_power[self._pv], plan.pv_volt_var) if plan.pv_volt_var != "none" else None
        self._reactive_wanted = np.zeros(count)
        self._warm = False

    def step(self, moment: datetime, inputs: Inputs) -> Outputs:
        """Advance to `moment`, a coupling interval after the last, and read the state there.

        The first step goes through the warm-up, with the inputs of its end.

        Raises
        ------
        EngineError
            If the power flow fails or gives voltages that no feeder in service has.

        """
        homes = self.plan.homes
        hour = _hour(moment)
        if self._vehicles is None:
            ev_power = charge(homes, self._needed, hour, self._step_hours, inputs.ev_charger & inputs.home)
        else:
            since = round((moment - self.clock.start).total_seconds())
            ev_power = self._vehicles.power(since, self.clock.step, inputs.ev_charger & inputs.home)
        self.advance(moment, inputs, ev_power)
        outputs = self.read(inputs, ev_power)
        self._needed = needed_after(homes, self._needed, ev_power, hour, self._step_hours)
        # The control acts a step later: it sees the meter as it is now.
        self._battery_wanted = self_consumption(
            outputs.home_power - outputs.battery_power, np.where(inputs.home, homes.battery_power, 0.0)
        )
        if self._volt_var is not None:
            # A dark home's inverter has no voltage to act on and begins again from no reactive power.
            voltage = np.where(inputs.home, self.home_voltages(), 1.0)[self._pv]
            wanted = self._volt_var.step(self.clock.step, voltage, outputs.pv_power[self._pv])
            self._reactive_wanted = self._spread(self._pv, wanted)
        return outputs

    def advance(self, moment: datetime, inputs: Inputs, ev_power: Floats) -> None:
        """Write what has changed and step GridLAB-D to `moment`, through the warm-up if it is the first."""
        if not self._warm:
            self._warm_up(moment, inputs, ev_power)
            self._warm = True
        self.write(inputs, ev_power)
        self._write_plugs(moment)
        self.engine.step_to(moment)

    def _warm_up(self, moment: datetime, inputs: Inputs, ev_power: Floats) -> None:
        """Step to just before `moment`, with its inputs."""
        yes = np.ones(len(self.plan.homes), dtype=np.bool_)
        self._start_temperatures(inputs.weather.temperature)
        # Before its first step GridLAB-D initialises; a device or meter that is off by then stays off.
        self.write(replace(inputs, thermostat=yes, ev_charger=yes, water_heater=yes, home=yes), ev_power)
        ahead = self.clock.model_start + timedelta(seconds=self.clock.step)
        while ahead < moment:
            self._write_plugs(ahead)
            self.engine.step_to(ahead)
            self.write(inputs, ev_power)
            ahead += timedelta(seconds=self.clock.step)

    def _start_temperatures(self, outdoors: float) -> None:
        """Let the homes that need heating at `outdoors` [degC] start in the deadband of their heating."""
        homes = self.plan.homes
        start = temperature_at_start(homes, houses_of(homes).conductance, outdoors)
        for k in np.flatnonzero(start != homes.temperature).tolist():
            for name in ("air_temperature", "mass_temperature"):
                self.engine.write(home_object("house", k), name, float(fahrenheit(start[k])))

    def write(self, inputs: Inputs, ev_power: Floats) -> None:
        """Write what has changed since the last step."""
        homes, old, engine = self.plan.homes, self._written, self.engine
        climate = climate_properties(inputs.weather)
        for name, value in climate.items():
            if old.climate.get(name) != value:
                engine.write(WEATHER, name, value)
        old.climate = climate
        if old.head_voltage != inputs.head_voltage:
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
        # Without supply its element would go on heating the tank, though the meter shows nothing.
        heats = inputs.water_heater & inputs.home
        for k in self._water[heats[self._water] != old.water_heater[self._water]].tolist():
            mode = "OV_NORMAL" if heats[k] else "OV_OFF"
            engine.write(home_object("water_heater", k), "re_override", mode)
        for k in np.flatnonzero(inputs.home != old.home).tolist():
            status = "IN_SERVICE" if inputs.home[k] else "OUT_OF_SERVICE"
            engine.write(home_object("meter", k), "service_status", status)
        old.thermostat, old.water_heater, old.home = inputs.thermostat, heats, inputs.home
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
        # Watts below one are not worth a write.
        wanted = np.where(inputs.home, self._battery_wanted, 0.0)
        for k in np.flatnonzero(np.abs(wanted - old.battery) > 1e-3).tolist():
            engine.write(home_object("battery_inverter", k), "P_Out", wanted[k] * 1e3)
            old.battery[k] = wanted[k]
        reactive = np.where(inputs.home, self._reactive_wanted, 0.0)
        for k in np.flatnonzero(np.abs(reactive - old.pv_reactive) > 1e-3).tolist():
            engine.write(home_object("pv_reactive", k), "constant_power_12", complex(0.0, -reactive[k] * 1e3))
            old.pv_reactive[k] = reactive[k]

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
        homes, engine = self.plan.homes, self.engine
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
        inverter = engine.read_complex("inverter", "VA_Out").real / 1e3  # "battery_..." sorts before "pv_..."
        cut = len(self._battery)
        # Not `power_losses`: that takes the magnitude of each phase's loss, and mutual coupling makes the
        # loss of a single phase negative.
        losses = sum(self._sum(kind, "power_in") - self._sum(kind, "power_out") for kind in _LINKS) / 1e6
        spot = float(self.spot_load_power(voltage, inputs.spot_load_scale).real.sum() / 1e3)
        charge_state = engine.read_real("battery", "state_of_charge")
        return Outputs(
            power=power,
            node_voltage=magnitude,
            losses=losses,
            spot_load=spot,
            balance=float(power.real.sum()) - losses - spot - float(home_power.sum()) / 1e3,
            home_temperature=celsius(engine.read_real("house", "air_temperature")),
            home_power=home_power,
            hvac_power=self._hvac_power(),
            ev_power=ev_power,
            water_heater_power=self._spread(self._water, engine.read_real("waterheater", "actual_load")),
            pv_power=np.where(inputs.home, self._spread(self._pv, inverter[cut:]), 0.0),
            pv_reactive_power=self._written.pv_reactive.copy(),
            battery_power=np.where(inputs.home, -self._spread(self._battery, inverter[:cut]), 0.0),
            battery_energy=self._spread(self._battery, charge_state) * homes.battery_energy,
            taps=np.array([engine.read(f"regulator_{k}", f"tap_{PHASES[i]}").real for k, i in self._controls]),
        )

    def _hvac_power(self) -> Floats:
        """(homes,) power of heating and cooling [kW]."""
        power, homes = self.engine.read_real("house", "hvac_load"), self.plan.homes
        if not homes.has_element.any():
            return power
        # `hvac_load` gives an element the voltage's effect on a compressor, and the voltage before the last solution.
        mode = self.engine.read_word("house", "system_mode")
        helped = (mode == "AUX") & homes.auxiliary
        element = helped | ((mode == "HEAT") & (homes.heating == RESISTANCE))
        _, drawn = heating_at(self._heaters, helped, 0.0, self.home_voltages())
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

    def __post_init__(self) -> None:
        self.thermostat = self.water_heater = self.home = np.ones(self.count, dtype=np.bool_)
        self.ev_power = np.zeros(self.count)
        self.battery = np.zeros(self.count)
        self.pv_reactive = np.zeros(self.count)


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
