"""A calibrated equivalent of a published feeder with homes: no engine, no process, and it may repeat a step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from cosim.calibrated import parameter_file, read_parameter_file, require
from cosim.contract import Array, Balance, Context, Exchange, Fact, Federate, Port, Stock, Time
from cosim.errors import ConfigError, ContractError, SolverError
from cosim.home_powers import HEAD, feeder_balances, home_power_ports
from cosim.home_stocks import home_stock_ports, home_stocks
from cosim.metering import Meter, Request, requested
from cosim.seeds import generator
from cosim.settings import Settings, without_effect
from cosim.site import PlaceSettings, needed
from cosim.units import Duration, Temperature, quantity, written
from feeders.equivalents import (
    NAMES,
    TABLES,
    Equivalent,
    Outputs,
    RunningEquivalent,
    State,
    Sun,
    plan,
    sun_path,
)
from feeders.glm import GlmError
from feeders.head_voltage import HeadVoltageError, is_dead
from feeders.home_batteries import ONE_WAY
from feeders.homes import HomeDistributions, HomesError
from feeders.idle_homes import idle_settings
from feeders.neighbourhood import Inputs, Neighbourhood, Weather
from feeders.published_feeder import PHASES, FeederTableError
from feeders.time_tables import grid
from feeders.water_tanks import tanks_of

Share = Annotated[float, Field(ge=0, le=1)]

KIND = "feeder_equivalent"  #: of the calibration
DEVICE_CLASSES = ("thermostat", "ev_charger", "water_heater", "home")
WEATHER = (
    ("temperature", "degC", "air temperature"),
    ("relative_humidity", "1", "relative humidity"),
    ("wind_speed", "m/s", "wind speed"),
    ("ghi", "W/m2", "global horizontal irradiance"),
    ("dni", "W/m2", "direct normal irradiance"),
    ("dhi", "W/m2", "diffuse horizontal irradiance"),
)
BALANCE_LIMIT = 1e-9  #: [MW] the parts add up by construction


class Homes(Settings):
    """How many homes and what they have; all else is as in the detailed feeder (kind gridlabd_feeder)."""

    count: int = Field(default=100, ge=1, le=20_000)
    """Number of homes."""
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
    """Share of the homes with PV that have a battery too [1]."""
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
    plug_power_median: Annotated[float, quantity("kW"), Field(ge=0)] = 0.55
    """Median over the homes of the day's mean power of lights, plugs and appliances [kW]."""
    ev_power: Annotated[float, quantity("kW"), Field(ge=0)] = 7.2
    """Power of an EV charger [kW]."""


class EquivalentFeeder(Federate):
    """The equivalent of a feeder with homes: static load, temperature response and devices, fitted to a detailed run.

    It draws and places the homes as the detailed feeder of the same name, seed and settings does, so the same devices
    trip and return. Between the homes and the head stand, in place of lines and regulators, the parameters of
    `parameters`; their file states the error against the detailed feeder on days and events that the fit did not see.
    Only the magnitude of `head_voltage` counts. There are no node voltages: for these take the detailed feeder.
    """

    iterative: ClassVar[bool] = True
    messaging: ClassVar[Literal["none", "agent", "carrier"]] = "agent"

    class Config(PlaceSettings):
        """Settings of the equivalent."""

        feeder: str = "ieee123"
        """The published feeder that it stands for: ieee13 or ieee123."""
        parameters: parameter_file(TABLES, KIND) = "ieee123"  # type: ignore[valid-type]
        """The fitted parameters: a name shipped (ieee123), or a file that `cosim calibrate` made."""
        homes: Homes = Homes()
        """The homes."""
        warm_up: Duration = Field(default=written("1 h"), ge=0)
        """How long the homes live in the first weather before the start, so that they are not in step."""
        metering_interval: Duration = Field(default=written("15 min"), gt=0)
        """A meter reading, the mean power at the head, is sent at each multiple of it."""
        meter_to: str = ""
        """The agent that gets the meter readings; none: they are not sent."""

    config: EquivalentFeeder.Config

    def __init__(self, config: EquivalentFeeder.Config, context: Context) -> None:
        super().__init__(config, context)
        for field, value in (("warm_up", config.warm_up), ("metering_interval", config.metering_interval)):
            if value % context.step:
                raise ConfigError(
                    field,
                    f"must be a multiple of the step of {context.step // 10**9} s, got {value / 1e9:g} s",
                    "Change it or the step.",
                )
        self._plan = self._make_plan()
        self._site = needed(config, context.name, "homes see the sun")
        self._model = RunningEquivalent(self._plan, self._parameters(), context.step / 1e9)
        self._sun: tuple[Sun, ...] = ()
        self._state: State | None = None
        self._request = Request()
        self._received: tuple[Time, Request] = (-1, self._request)
        self._meter = Meter(context.name, config.meter_to, config.metering_interval)
        self._next: tuple[State, Request, Meter] | None = None

    def ports(self) -> Sequence[Port]:
        """As those of the detailed feeder, without its network."""
        homes = {"home": tuple(str(k + 1) for k in range(self.config.homes.count))}
        devices = {"device_class": DEVICE_CLASSES, **homes}
        phase = {"phase": tuple(PHASES)}
        head = "voltage at the head, positive sequence"
        return (
            Port(HEAD, "pu", "in", head, initial=1.0, is_complex=True),
            *(Port(name, unit, "in", title) for name, unit, title in WEATHER),
            Port("load_scale", "1", "in", "factor on the spot loads that homes do not replace", initial=1.0),
            Port("device_available", "1", "in", "device may run", devices, initial=self._there()),
            Port("power", "MVA", "out", "power drawn at the feeder's head", phase, is_complex=True, needs=(HEAD,)),
            Port("home_temperature", "degC", "out", "indoor air temperature", homes),
            *home_power_ports(homes),
            *home_stock_ports(homes),
            Port("spot_load", "MW", "out", "power of the spot loads that homes do not replace"),
            Port("sun_elevation", "deg", "out", "height of the sun above the horizon", sun="elevation"),
            Port("losses", "MW", "out", "losses of lines, transformers and services"),
            Port("energy_balance", "MW", "out", "head - losses - spot loads - homes", limit=BALANCE_LIMIT),
        )

    def facts(self) -> Sequence[Fact]:
        """The place where it stands."""
        return (self._site,)

    def stocks(self) -> Sequence[Stock]:
        """The homes' batteries, vehicles and water tanks."""
        homes = self._plan.homes
        vehicle = homes.ev_battery * (homes.ev_power > 0)
        return home_stocks(homes.battery_energy, ONE_WAY, vehicle, tanks_of(homes).capacity)

    def balances(self) -> Sequence[Balance]:
        """Head, spot loads and homes."""
        published = float(self._plan.feeder.spot_loads.power.real.sum()) / 1e3
        return feeder_balances(BALANCE_LIMIT, published, self._plan.highest_plug_power())

    def left_out(self) -> Sequence[str]:
        """Settings that have no effect with the others."""
        config, home = self.config, self.config.homes
        given = {name: getattr(home, name) for name in home.model_fields_set}
        unread = () if config.meter_to else without_effect(config, ["metering_interval"], "nobody gets the readings")
        return (*idle_settings(given, self._plan.homes), *unread)

    def recipients(self) -> Sequence[str]:
        """Who gets the meter readings."""
        return (self.config.meter_to,) if self.config.meter_to else ()

    def start(self, folder: Path) -> None:
        """Work out where the sun stands; imports pandas and pvlib."""
        context, site = self.context, self._site
        instants = grid(context.start, context.duration, context.step)
        self._sun = sun_path(instants, site.latitude, site.longitude, site.utc_offset)

    def solve(self, time: Time, inputs: Exchange) -> Exchange:
        """What the feeder draws at `time`; may be repeated."""
        if not self._sun:
            raise ContractError("solve was called before start")
        # A request that came at this time holds for a repeated solve too.
        request = requested(self._received[1] if self._received[0] == time else self._request, inputs.messages)
        self._received = (time, request)
        values = self._inputs(inputs.values, request.at(time))
        try:
            is_dead(values.head_voltage)
        except HeadVoltageError as error:
            raise SolverError(f"{error}.") from None
        hour, sun = self._hour(time), self._sun[time // self.context.step]
        state = self._state
        if state is None:
            state = self._model.warmed_up(hour, sun, values, self.config.warm_up // self.context.step)
        outputs = self._model.solve(state, hour, sun, values)
        arrays = _arrays(outputs) | {"sun_elevation": np.asarray(sun.elevation)}
        meter, messages = self._meter.reading(time, float(outputs.power.real.sum()))
        self._next = self._model.after(state, hour, values, outputs), request, meter
        return Exchange(arrays, messages)

    def commit(self, time: Time) -> None:
        """Accept the last solution."""
        if self._next is not None:
            self._state, self._request, self._meter = self._next

    def _inputs(self, values: Mapping[str, Array], offset: float) -> Inputs:
        allowed = np.asarray(values["device_available"]).real > 0.5
        allowed |= np.asarray(self._there()) < 0.5  # what is not there cannot be held back
        return Inputs(
            head_voltage=float(np.abs(values["head_voltage"])),
            weather=Weather(**{name: float(np.real(values[name])) for name, _, _ in WEATHER}),
            spot_load_scale=float(np.real(values["load_scale"])),
            thermostat=allowed[0],
            ev_charger=allowed[1],
            water_heater=allowed[2],
            home=allowed[3],
            thermostat_offset=offset,
        )

    def _hour(self, time: Time) -> float:
        """Time of day [h]."""
        moment = self.context.start + timedelta(seconds=time / 1e9)
        return moment.hour + moment.minute / 60 + moment.second / 3600

    def _make_plan(self) -> Neighbourhood:
        config, context, home = self.config, self.context, self.config.homes
        try:
            distributions = HomeDistributions(**home.model_dump(exclude={"count"}))
            return plan(config.feeder, home.count, distributions, generator(context.seed, context.name, "homes"))
        except FeederTableError as error:
            raise ConfigError("feeder", str(error), "Choose one of them.") from error
        except (HomesError, GlmError) as error:
            raise ConfigError("homes", str(error), "Change it.") from error

    def _parameters(self) -> Equivalent:
        """The fitted parameters. Raises ConfigError where they are of another feeder or incomplete."""
        file = read_parameter_file(Path(self.config.parameters))
        require(file, NAMES, "parameters")
        fitted = file.structure.get("feeder")
        if fitted != self.config.feeder:
            raise ConfigError(
                "parameters",
                f"'{file.name}' was fitted to the feeder {fitted}, this is {self.config.feeder}.",
                "Fit them to this feeder with `cosim calibrate`.",
            )
        return Equivalent(**{name: float(file.value(name)) for name in NAMES})

    def _there(self) -> tuple[tuple[float, ...], ...]:
        """1 for a device that a home has, 0 for one that it has not, (device_class, home)."""
        homes = self._plan.homes
        has = (homes.thermostat, homes.ev_power > 0, homes.water_power > 0, np.ones(len(homes), dtype=bool))
        return tuple(tuple(row.astype(float).tolist()) for row in has)


def _arrays(outputs: Outputs) -> dict[str, Array]:
    return {
        "power": outputs.power,
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
        "energy_balance": np.asarray(outputs.balance),
    }
