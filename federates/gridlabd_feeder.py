"""A published distribution feeder with homes in GridLAB-D, or a GridLAB-D model of your own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from cosim.calibrated import parameter_file, read_parameter_file
from cosim.contract import Array, Balance, Context, Exchange, Fact, Federate, Port, Stock, Time
from cosim.errors import ConfigError, ContractError, ModelError, SolverError
from cosim.home_powers import HEAD, feeder_balances, home_power_ports
from cosim.home_stocks import home_stock_ports, home_stocks
from cosim.metering import Meter, Request, requested
from cosim.seeds import generator
from cosim.settings import InputFile, Settings, without_effect
from cosim.site import PlaceSettings, Site, needed
from cosim.units import Duration, Temperature, quantity, written
from feeders.glm import Clock, GlmError, Solver
from feeders.glm import Site as SunSite
from feeders.gridlabd_engine import EngineError, PowerFlowError
from feeders.head_voltage import HeadVoltageError
from feeders.home_batteries import ONE_WAY
from feeders.home_populations import CALIBRATED, charging_population, distributions_of, drawn_days
from feeders.homes import HomeDistributions, HomesError, draw_homes
from feeders.homes import Homes as DrawnHomes
from feeders.homes_glm import place_homes
from feeders.idle_homes import idle_settings
from feeders.neighbourhood import Inputs, Neighbourhood, Outputs, RunningNeighbourhood, Weather
from feeders.opendss_model import regulator_labels
from feeders.own_model import OwnModel, OwnModelError, OwnPlan
from feeders.own_sun import SunObject, sun_objects
from feeders.published_feeder import PHASES, VOLTAGE_BAND, FeederTableError, PublishedFeeder, load_feeder
from feeders.water_tanks import tanks_of

Share = Annotated[float, Field(ge=0, le=1)]
KiloWatt = Annotated[float, quantity("kW"), Field(ge=0)]

DEVICE_CLASSES = ("thermostat", "ev_charger", "water_heater", "home")
WEATHER = (
    ("temperature", "degC", "air temperature"),
    ("relative_humidity", "1", "relative humidity"),
    ("wind_speed", "m/s", "wind speed"),
    ("ghi", "W/m2", "global horizontal irradiance"),
    ("dni", "W/m2", "direct normal irradiance"),
    ("dhi", "W/m2", "diffuse horizontal irradiance"),
)
#: The largest mismatch of head, losses, loads and homes, as a share of the published load. The power flow
#: stops at voltage changes below 1e-4; over hot days that left at most 3e-5 on both feeders.
BALANCE_SHARE = 2e-4
SHORTEST_CYCLE = 120 * 10**9  #: [ns] GridLAB-D's thermostats end what they began less than so long ago
UNKNOWN_POWER = 0.5  #: [kW] of a home that the meter sees and no device has: those settle a solution apart


class Homes(Settings):
    """How many homes, what they have, and where they stand."""

    count: int = Field(default=100, ge=1, le=20_000)
    """Number of homes."""
    population: parameter_file(CALIBRATED, "house_population") | None = None  # type: ignore[valid-type]
    """Calibrated distributions of houses, air conditioners, set-points and plugs: a name that comes with the project,
    or a file that `cosim calibrate` made. A setting below that differs from its default wins; none: those below."""
    ev_population: parameter_file(CALIBRATED, "ev_charging") | None = None  # type: ignore[valid-type]
    """Calibrated EV charging, a session at a time: a name or a file, as above; none: each vehicle comes, charges and
    leaves every day alike."""
    cooling_share: Share = 0.95
    """Homes with central air conditioning [1]."""
    heat_pump_share: Share = 0.0
    """Homes that a heat pump heats and cools [1]; what neither a heat pump nor resistance heats has a gas furnace."""
    resistance_share: Share = 0.0
    """Homes heated by electric resistance [1]."""
    auxiliary_share: Share = 1.0
    """Heat pumps with electric auxiliary heat [1]. It takes the compressor's place in a home that has grown a deadband
    colder than where heating sets in, until the home is warm."""
    auxiliary_lockout: Temperature | None = None
    """Outdoor temperature at or below which auxiliary heat takes the compressor's place in any case; none: at none."""
    water_heater_share: Share = 0.5
    """Homes with an electric storage water heater [1]."""
    ev_share: Share = 0.3
    """Homes with an electric vehicle [1]."""
    pv_share: Share = 0.3
    """Homes with rooftop PV [1]."""
    battery_share: Share = 0.4
    """Share of the homes with PV that have a battery too [1]; it serves the home's own consumption."""
    floor_area_median: float = Field(default=170.0, ge=40, le=600)
    """Median floor area [m2]."""
    envelope: float = Field(default=1.0, gt=0)
    """Factor on the heat that walls, windows and air exchange let through, over that of the drawn insulation [1]."""
    cop_mean: float = Field(default=3.3, ge=1.5, le=6)
    """Mean cooling coefficient of performance at 35 degC [1]."""
    cooling_setpoint_mean: Temperature = 24.0
    """Mean cooling set-point."""
    cooling_setpoint_spread: float = Field(default=1.2, ge=0)
    """Standard deviation of the cooling set-points [K]."""
    heating_setpoint: Temperature = 18.0
    """Mean heating set-point."""
    heating_setpoint_spread: float = Field(default=0.0, ge=0)
    """Standard deviation of the heating set-points [K]; where they come close, the cooling set-point gives way."""
    heating_cop_mean: float = Field(default=3.3, ge=1.5, le=6)
    """Mean heating coefficient of performance of heat pumps at 8.3 degC outdoors, without the fan [1]."""
    deadband: float = Field(default=1.1, gt=0, le=5)
    """Whole width of the thermostats' deadband [K]."""
    plug_power_median: KiloWatt = 0.55
    """Median over the homes of the day's mean power of lights, plugs and appliances [kW]."""
    ev_power: KiloWatt = 7.2
    """Power of an EV charger [kW]."""
    pv_power_min: KiloWatt = 3.0
    """Smallest rooftop [kW]."""
    pv_power_max: KiloWatt = 8.0
    """Largest rooftop [kW]."""
    pv_volt_var: Literal["none", "A", "B"] = "none"
    """Volt-var of the PV inverters: none, or the default curve of IEEE 1547-2018 Table 8 for a normal category.

    Each acts on its meter's voltage of the step before; its apparent-power rating is 1.12 times its PV's power.
    """
    battery_power: KiloWatt = 5.0
    """Power of a home battery [kW]."""
    battery_energy: Annotated[float, quantity("kWh"), Field(gt=0)] = 13.5
    """Usable energy of a home battery [kWh]."""
    per_transformer: int = Field(default=10, ge=1, le=50)
    """Largest number of homes on one centre-tapped transformer."""
    power_per_home: Annotated[float, quantity("kW"), Field(gt=0)] = 4.0
    """Published spot load that one home takes the place of [kW]."""
    nodes: tuple[str, ...] = ()
    """Nodes of the published feeder where homes may stand; none: all with a wye spot load."""


class GridlabdFeeder(Federate):
    """A feeder in GridLAB-D.

    Homes take the place of an equal part of the published spot loads; the rest follows
    `load_scale`. Only the magnitude of `head_voltage` counts: a feeder does not feel its angle.
    A battery charges from its home's surplus and serves its demand, a step behind the meter.
    """

    needs_process: ClassVar[bool] = True
    messaging: ClassVar[Literal["none", "agent", "carrier"]] = "agent"
    preload: ClassVar[tuple[str, ...]] = ("gridlabd",)

    class Config(PlaceSettings):
        """Settings of the feeder."""

        feeder: str = "ieee123"
        """A published feeder: ieee13 or ieee123."""
        homes: Homes = Homes()
        """The homes on the published feeder."""
        regulators: Literal["automatic", "published taps"] = "automatic"
        """Whether voltage regulators act, with their published line-drop settings, or stay."""
        warm_up: Duration = Field(default=written("1 h"), gt=0)
        """How long the homes live in the first weather before the start, so that they are not in step."""
        metering_interval: Duration = Field(default=written("15 min"), gt=0)
        """A meter reading, the mean power at the head, is sent at each multiple of it."""
        meter_to: str = ""
        """The agent that gets the meter readings; none: they are not sent."""
        glm: InputFile | None = None
        """A GridLAB-D model of your own in place of the published feeder; the guards are added to it. Paths in it count
        from the file that names them; what it writes is kept in the run's folder under `files/`."""
        glm_files: tuple[InputFile, ...] = ()
        """With `glm`: filled in with the files that it includes and reads, in the order in which it names them."""
        swing: str = ""
        """With `glm`: the name of its swing, a meter, a node or a substation."""
        climate: str = ""
        """With `glm`: the name of its climate object, to be set from the weather, as all others of the model are; none:
        it has none. It stands at the scenario's place and reads no weather file of its own."""
        meters: tuple[str, ...] = ()
        """With `glm`: the names of the meters to report as homes."""

    config: GridlabdFeeder.Config

    def __init__(self, config: GridlabdFeeder.Config, context: Context) -> None:
        super().__init__(config, context)
        self._clock = self._make_clock()
        self._distributions = HomeDistributions()
        self._plan = None if config.glm is not None else self._make_plan()
        self._site = config.placed(f"'{context.name}'")
        self._sun_objects: Sequence[SunObject] = ()
        if self._plan is not None:
            self._site = needed(config, context.name, "homes see the sun")
        self._running: RunningNeighbourhood | OwnModel | None = None
        self._asked = Request()
        self._meter = Meter(context.name, config.meter_to, config.metering_interval)
        self._own = None if config.glm is None else self._read_own(config.glm)

    def ports(self) -> Sequence[Port]:
        """`device_available` is 1 for a device that may run, 0 for one that may not."""
        if self._plan is None:
            return self._own_ports()
        feeder, homes = self._plan.feeder, {"home": self._home_labels()}
        limit = self._balance_limit
        devices = {"device_class": DEVICE_CLASSES, **homes}
        return (
            self._head_voltage(),
            *self._weather_ports(),
            Port("load_scale", "1", "in", "factor on the spot loads that homes do not replace", initial=1.0),
            Port("device_available", "1", "in", "device may run", devices, initial=self._there(self._plan.homes)),
            self._power(),
            Port(
                "node_voltage",
                "pu",
                "out",
                f"voltage of {feeder.name}",
                {"node_phase": self._plan.node_phases},
                expected=VOLTAGE_BAND,
                absent=0.0,
            ),
            Port("home_temperature", "degC", "out", "indoor air temperature", homes),
            *home_power_ports(homes, SHORTEST_CYCLE),
            Port("spot_load", "MW", "out", "power of the spot loads that homes do not replace"),
            Port("sun_elevation", "deg", "out", "height of the sun above the horizon", sun="elevation"),
            *self._volt_var_ports(homes),
            *self._tap_ports(feeder),
            *home_stock_ports(homes),
            Port("losses", "MW", "out", "losses of lines, transformers and services"),
            Port("energy_balance", "MW", "out", "head - losses - spot loads - homes", limit=limit),
        )

    def facts(self) -> Sequence[Fact]:
        """The place where it stands, if that is known, and where a model of its own says that it stands."""
        return () if self._site is None else (self._site, *self._places(self._sun_objects))

    def left_out(self) -> Sequence[str]:
        """Settings that have no effect with the others; what of a model of your own the scenario does not reach."""
        config = self.config
        unread = () if config.meter_to else without_effect(config, ["metering_interval"], "nobody gets the readings")
        if self._plan is None:
            return (*unread, *(self._own.left_out(self._clock) if self._own is not None else ()))
        given = {name: getattr(config.homes, name) for name in config.homes.model_fields_set}
        return (*unread, *idle_settings(given, self._plan.homes, self._distributions))

    def stocks(self) -> Sequence[Stock]:
        """The homes' batteries, vehicles and water tanks."""
        if self._plan is None:
            return ()
        homes = self._plan.homes
        vehicle = homes.ev_battery * (homes.ev_power > 0) if self._plan.days.sessions is None else None
        return home_stocks(homes.battery_energy, ONE_WAY, vehicle, tanks_of(homes).capacity)

    def balances(self) -> Sequence[Balance]:
        """Head, spot loads and homes; of a model of your own nothing is known."""
        if self._plan is None:
            return ()
        published = float(self._plan.feeder.spot_loads.power.real.sum()) / 1e3
        return feeder_balances(self._balance_limit, published, self._plan.highest_plug_power(), UNKNOWN_POWER)

    @property
    def _balance_limit(self) -> float:
        """Of the power flow's errors [MW]."""
        return BALANCE_SHARE * float(load_feeder(self.config.feeder).spot_loads.power.real.sum()) / 1e3

    def window_settings(self) -> Mapping[str, Any] | None:
        """The published feeder, the homes' places and their PV; none for a model of your own."""
        if self._plan is None:
            return None
        homes = self.config.homes
        return {
            "feeder": self.config.feeder,
            "homes": homes.count,
            "per_transformer": homes.per_transformer,
            "power_per_home": homes.power_per_home,
            "nodes": homes.nodes,
            "homes_with_elements": int(self._plan.homes.has_element.sum()),
            "home_pv_rating": self._plan.homes.pv_power.tolist() if self._plan.homes.pv_power.any() else (),
        }

    def recipients(self) -> Sequence[str]:
        """Who gets the meter readings."""
        return (self.config.meter_to,) if self.config.meter_to else ()

    def close(self) -> None:
        """Have what a model of your own writes on the disk."""
        if isinstance(self._running, OwnModel):
            self._running.close()

    def start(self, folder: Path) -> None:
        """Load the model; what GridLAB-D says is in `folder`/gridlabd.log, and at last in the run's run.log."""
        config = self.config
        try:
            if self._plan is not None:
                solver = Solver(regulators=config.regulators)
                self._running = RunningNeighbourhood(self._plan, self._clock, self._sun_site(), folder, solver)
            elif self._own is not None:
                site = None if self._site is None else self._sun_site()
                self._running = OwnModel(self._own, self._clock, site, folder)
        except (EngineError, GlmError) as error:
            raise ModelError(f"{error}. Correct the model; all that GridLAB-D said is in run.log.") from error

    def opening(self, time: Time, inputs: Exchange) -> Exchange | None:
        """Go through half of the warm-up: about what the feeder draws in its first step."""
        moment = self._moment(time)
        if self.config.warm_up < 4 * self.context.step or self._running is None:  # too short to halve
            return None
        with _in_words():
            if isinstance(self._running, OwnModel):
                return Exchange(self._own_outputs(*self._running.open(moment, *self._own_inputs(inputs.values))))
            return Exchange(self._outputs(self._running.open(moment, self._inputs(inputs.values, 0.0))))

    def _moment(self, time: Time) -> datetime:
        return self.context.start + timedelta(seconds=time // 10**9)

    def solve(self, time: Time, inputs: Exchange) -> Exchange:
        """Advance GridLAB-D to `time`."""
        self._asked = requested(self._asked, inputs.messages)
        with _in_words():
            values = self._step(self._moment(time), inputs.values, self._asked.at(time))
        self._meter, messages = self._meter.reading(time, float(np.sum(values["power"].real)))
        return Exchange(values, messages)

    def _step(self, moment: datetime, values: Mapping[str, Array], offset: float) -> dict[str, Array]:
        if isinstance(self._running, OwnModel):
            return self._own_outputs(*self._running.step(moment, *self._own_inputs(values)))
        if self._running is None:
            raise ContractError("solve was called before start")
        return self._outputs(self._running.step(moment, self._inputs(values, offset)))

    def _own_inputs(self, values: Mapping[str, Array]) -> tuple[float, Weather | None]:
        return float(np.abs(values["head_voltage"])), self._weather(values) if self.config.climate else None

    def _own_outputs(self, power: NDArray[np.complex128], meters: NDArray[np.float64]) -> dict[str, Array]:
        return {"power": power} | ({"home_power": meters} if self.config.meters else {})

    def _inputs(self, values: Mapping[str, Array], offset: float) -> Inputs:
        allowed = np.asarray(values["device_available"]).real > 0.5
        if self._plan is not None:
            allowed |= np.asarray(self._there(self._plan.homes)) < 0.5  # what is not there cannot be held back
        return Inputs(
            head_voltage=float(np.abs(values["head_voltage"])),
            weather=self._weather(values),
            spot_load_scale=float(np.real(values["load_scale"])),
            thermostat=allowed[0],
            ev_charger=allowed[1],
            water_heater=allowed[2],
            home=allowed[3],
            thermostat_offset=offset,
        )

    def _outputs(self, outputs: Outputs) -> dict[str, Array]:
        arrays = _arrays(outputs)
        arrays |= {"pv_reactive_power": outputs.pv_reactive_power} if self._volt_var else {}
        return arrays | ({"tap": outputs.taps} if self.config.regulators == "automatic" else {})

    def _weather(self, values: Mapping[str, Array]) -> Weather:
        return Weather(**{name: float(np.real(values[name])) for name, _, _ in WEATHER})

    def _make_clock(self) -> Clock:
        context, config = self.context, self.config
        if context.step % 10**9:
            raise ConfigError("", "GridLAB-D steps in whole seconds", "Give the horizon a step in whole seconds.")
        for field, value in (("warm_up", config.warm_up), ("metering_interval", config.metering_interval)):
            if value < context.step or value % context.step:
                raise ConfigError(
                    field,
                    f"must be a multiple of the step of {context.step // 10**9} s, got {value / 1e9:g} s",
                    "Change it or the step.",
                )
        seconds = timedelta(seconds=1)
        return Clock(
            start=context.start,
            duration=context.duration // 10**9 * seconds,
            step=context.step // 10**9,
            warm_up=config.warm_up // 10**9 * seconds,
        )

    def _make_plan(self) -> Neighbourhood:
        config, home = self.config, self.config.homes
        placing = {"per_transformer", "power_per_home", "nodes"}
        drawn = home.model_dump(exclude={"count", "pv_volt_var", "population", "ev_population", *placing})
        self._refuse(("swing", "climate", "meters", "glm_files"), "belongs to a model of your own", "Give `glm` too.")
        try:
            feeder = load_feeder(config.feeder)
        except FeederTableError as error:
            raise ConfigError("feeder", str(error), "Choose one of them.") from error
        try:
            distributions = HomeDistributions(**drawn)
            if home.population is not None:
                changed = {name: value for name, value in drawn.items() if value != getattr(Homes(), name)}
                distributions = distributions_of(read_parameter_file(Path(home.population)), changed)
            self._distributions = distributions
            random = generator(self.context.seed, self.context.name, "homes")
            homes = draw_homes(home.count, distributions, random, stratified=home.population is not None)
            charging = None
            if home.ev_population is not None:
                charging = charging_population(read_parameter_file(Path(home.ev_population)))
            homes, days = drawn_days(
                homes,
                distributions if home.population is not None else None,
                charging,
                self._clock,
                lambda what: generator(self.context.seed, self.context.name, what),
            )
        except HomesError as error:
            raise ConfigError("homes", str(error), "Change it.") from error
        try:
            placement = place_homes(feeder, home.count, **home.model_dump(include=placing))
        except GlmError as error:
            raise ConfigError("homes.nodes", str(error), "Choose other nodes.") from error
        return Neighbourhood(feeder, homes, placement, home.pv_volt_var, days)

    def _read_own(self, path: Path) -> OwnPlan:
        self._refuse(("feeder", "homes", "regulators"), "belongs to a published feeder", "Leave out it or `glm`.")
        config = self.config
        try:
            plan = OwnPlan(path, config.swing, config.climate, config.meters, config.glm_files or None)
        except OwnModelError as error:
            raise ConfigError(error.setting, str(error), error.remedy) from error
        self.config = config.model_copy(update={"glm_files": tuple(plan.model.files)})
        self._sun_objects = sun_objects(plan.model)
        climates = [one for one in self._sun_objects if one.kind == "climate"]
        follows = self.config.site is not None or any(one.weather_file for one in climates)
        if climates and not self.config.climate and follows:
            problem = f"the climate object '{climates[0].name}' of {path.name} does not follow the scenario's weather"
            raise ConfigError("climate", problem, f"Give `climate: {climates[0].name or '(its name)'}`.")
        if self.config.climate or any(one.longitude is not None for one in self._sun_objects):
            self._site = needed(self.config, self.context.name, f"{path.name} sees the sun")
        return plan

    def _places(self, objects: Sequence[SunObject]) -> Sequence[Site]:
        """What the objects of a model of its own state of the place; its clock is the scenario's."""
        if self._site is None or self.config.glm is None:
            return ()
        offset, file = self._site.utc_offset, self.config.glm.name
        return [
            Site(one.latitude, one.longitude, offset, None, f"the {one.kind} object '{one.name}' of {file}")
            for one in objects
            if one.latitude is not None and one.longitude is not None
        ]

    def _refuse(self, names: Sequence[str], problem: str, remedy: str) -> None:
        """Refuse the first of the settings `names` that is not left at its default."""
        for name in names:
            if getattr(self.config, name) != getattr(GridlabdFeeder.Config(), name):
                raise ConfigError(name, problem, remedy)

    def _own_ports(self) -> Sequence[Port]:
        homes = {"home": self.config.meters}
        return (
            self._head_voltage(),
            *(self._weather_ports() if self.config.climate else ()),
            self._power(),
            *([Port("home_power", "kW", "out", "power drawn at the meter", homes)] if self.config.meters else ()),
        )

    @property
    def _volt_var(self) -> bool:
        return self.config.homes.pv_volt_var != "none"

    def _volt_var_ports(self, homes: Mapping[str, tuple[str, ...]]) -> Sequence[Port]:
        title = "reactive power injected by the PV inverter"
        return (Port("pv_reactive_power", "kvar", "out", title, homes),) if self._volt_var else ()

    def _tap_ports(self, feeder: PublishedFeeder) -> Sequence[Port]:
        if self.config.regulators != "automatic":
            return ()
        return (Port("tap", "1", "out", "regulator tap, 0.625 % each", {"regulator": regulator_labels(feeder)}),)

    @staticmethod
    def _there(homes: DrawnHomes) -> tuple[tuple[float, ...], ...]:
        """1 for a device that a home has, 0 for one that it has not, (device_class, home)."""
        has = (homes.thermostat, homes.ev_power > 0, homes.water_power > 0, np.ones(len(homes), dtype=bool))
        return tuple(tuple(row.astype(float).tolist()) for row in has)

    def _sun_site(self) -> SunSite:
        if self._site is None:
            raise ContractError("a feeder with homes was built without a place")
        return SunSite(self._site.latitude, self._site.longitude, self._site.utc_offset)

    def _home_labels(self) -> tuple[str, ...]:
        return tuple(str(k + 1) for k in range(self.config.homes.count))

    @staticmethod
    def _head_voltage() -> Port:
        title = "voltage at the head, positive sequence"
        return Port(HEAD, "pu", "in", title, initial=1.0, is_complex=True)

    @staticmethod
    def _power() -> Port:
        title = "power drawn at the feeder's head"
        return Port("power", "MVA", "out", title, {"phase": tuple(PHASES)}, is_complex=True, needs=(HEAD,))

    @staticmethod
    def _weather_ports() -> Sequence[Port]:
        return tuple(Port(name, unit, "in", title) for name, unit, title in WEATHER)


@contextmanager
def _in_words() -> Iterator[None]:
    """Faults of GridLAB-D as those of the solver or the model."""
    try:
        yield
    except HeadVoltageError as error:
        raise SolverError(f"{error}.") from None
    except PowerFlowError as error:
        raise SolverError(
            f"{error}. Look at head_voltage and the loads just before; a collapse of the voltage or a model "
            "with a loop or an island has no solution."
        ) from error
    except EngineError as error:
        raise ModelError(f"{error}. Correct the model; all that GridLAB-D said is in run.log.") from error


def _arrays(outputs: Outputs) -> dict[str, Array]:
    return {
        "power": outputs.power,
        "node_voltage": outputs.node_voltage,
        "home_temperature": outputs.home_temperature,
        "home_power": outputs.home_power,
        "hvac_power": outputs.hvac_power,
        "ev_power": outputs.ev_power,
        "water_heater_power": outputs.water_heater_power,
        "pv_power": outputs.pv_power,
        "battery_power": outputs.battery_power,
        "battery_energy": outputs.battery_energy,
        "ev_energy_needed": outputs.ev_energy_needed,
        "ev_energy_driven": outputs.ev_energy_driven,
        "water_heater_energy": outputs.water_heater_energy,
        "water_heater_draw": outputs.water_heater_draw,
        "water_heater_loss": outputs.water_heater_loss,
        "losses": np.asarray(outputs.losses),
        "spot_load": np.asarray(outputs.spot_load),
        "sun_elevation": np.asarray(outputs.sun_elevation),
        "energy_balance": np.asarray(outputs.balance),
    }
