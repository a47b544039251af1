"""The system's load shape: how large the load is against its reference, now and in the hours to come."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator
from pydantic.json_schema import SkipJsonSchema

from cosim import seeds
from cosim.calibrated import parameter_file, read_parameter_file
from cosim.contract import Context, Exchange, Federate, Port, Time
from cosim.errors import ConfigError
from cosim.settings import NameOrFile, Settings, without_effect
from cosim.site import Site
from cosim.units import PositiveDuration, Power, format_duration, written
from feeders import time_tables, weather_tables
from feeders.load_model import CALIBRATED, KIND, LoadModel, standard_offset
from feeders.time_tables import Column, Floats, Instants, Side, TimeTable, TimeTableError

TABLES = Path(time_tables.__file__).parent / "tables" / "demand"

HISTORY = np.timedelta64(14, "D")  #: of weather that a model takes before the run, where there is as much
#: Times the stated error of a forecast that the mean error of a run may be: a short run has one draw of it.
FARTHEST = 6.0
ROUNDING = 1e-9  #: of a forecast without error [1]
STEP = 1800  #: [s] between a model's values

#: No national demand has reached 2 TW; what lies outside is a missing-value code or another unit.
COLUMNS = (Column("demand", "MW", 0.0, 2e6),)


class Demand(Federate):
    """The load scale at each base step, and a forecast of it by lead time.

    load_scale = scale * demand / reference, linear between the table's rows unless they are means. The forecast
    for a lead past the table's end takes the last row.

    With a `model` the demand follows the scenario's temperature, its thermal lag and the calendar instead of a table
    (see `solvers/temperature_response.py`); the forecast knows the weather that will be.

    The forecast is that of an autoregressive disturbance x of order one that is known up to now: with
    innovations w of one interval each, the relative error at lead k is

        e(i, k) = sum over m = 1 ... k of persistence^(k - m) w(i + m)

    so that it grows with the lead, and forecasts issued one after another for one time agree ever
    more as that time comes (G. E. P. Box and G. M. Jenkins, Time Series Analysis, 1970, ch. 5). The
    innovations are normal, sized so that the standard deviation at the longest lead is
    `forecast_error`, and depend on the run's seed.
    """

    class Config(Settings):
        """Settings of the system's load shape."""

        site: SkipJsonSchema[Site | None] = None
        """The scenario's place; the wiring fills it in."""
        table: NameOrFile | None = "victoria_2014_01"
        """A shipped demand (victoria_2014_01) or a table (.csv, see feeders/tables/demand/README.md);
        none: the load is constant."""
        stamps: Side | None = None
        """What a row of the table is: `instant`, its value at its time, linear in between; `start` or `end`, the mean
        of the interval that starts or ends at its time, held in it. None: as the table's line `# stamps: ...` says,
        else instants."""
        model: parameter_file(CALIBRATED, KIND) | None = None  # type: ignore[valid-type]
        """A calibrated load (victoria_2012_2013) or a file that `cosim calibrate` made, in place of the table: the
        demand then follows the scenario's weather."""
        quantity: str | None = None
        """Of a model with several loads, which; none: the first."""
        weather_table: NameOrFile | None = None
        """The weather that the model follows; none: the scenario's."""
        weather_stamps: Side | None = None
        """What a row of that weather is, as `stamps`; if not given, as the scenario's weather says."""
        temperature_offset: float = 0.0
        """Added to its temperature [K]; if not given, the scenario weather's."""
        reference: Power | None = None
        """The demand at which the load scale is `scale`; none: the highest of the whole table, of a model that of the
        run."""
        scale: float = Field(default=1.0, gt=0)
        """The load scale [1] at the reference demand; without a table, always."""
        interval: PositiveDuration = written("5 min")
        """Time between the leads of the forecast."""
        lookahead: PositiveDuration = written("4 h")
        """The longest lead, a multiple of `interval`."""
        forecast_error: float = Field(default=0.0, ge=0, le=1)
        """Standard deviation of the forecast's relative error at the longest lead [1]; 0: no error."""
        forecast_persistence: float = Field(default=0.95, ge=0, lt=1)
        """How much of the forecast's error lasts from one interval to the next [1]."""

        @model_validator(mode="after")
        def _whole_leads(self) -> Demand.Config:
            if self.lookahead % self.interval:
                raise ValueError(
                    f"lookahead must be a multiple of interval, {format_duration(self.interval)}, "
                    f"got {format_duration(self.lookahead)}"
                )
            if self.table is None and self.model is None and self.reference is not None:
                raise ValueError("reference has no meaning without a table; remove it, or name a table")
            if self.reference is not None and self.reference <= 0:
                raise ValueError(f"reference must be above 0 MW, got {self.reference:g} MW")
            return self

    config: Demand.Config

    def __init__(self, config: Demand.Config, context: Context) -> None:
        super().__init__(config, context)
        self._leads = np.arange(1, config.lookahead // config.interval + 1) * config.interval
        self._foreign_zone = ""  # of a model whose people live by another clock than the scenario's
        if config.model is not None:
            self._table: TimeTable | None = self._modelled(config.model)
        else:
            self._table = None if config.table is None else self._read(config.table)
        self._highest = 0.0 if self._table is None else self._highest_of(self._table)
        self._innovations = self._draw_innovations()
        # Lower triangle: what each innovation up to a lead still counts at that lead.
        steps = np.arange(len(self._leads))
        age = steps[:, None] - steps[None, :]
        self._memory = np.where(age >= 0, config.forecast_persistence ** np.maximum(age, 0.0), 0.0)

    def ports(self) -> Sequence[Port]:
        """The forecast's leads are labelled by their duration."""
        source = "constant" if self._table is None else self._table.name
        leads = {"lead": tuple(format_duration(int(lead)) for lead in self._leads)}
        return (
            Port("load_scale", "1", "out", f"system load over its reference ({source})"),
            Port(
                "load_scale_forecast",
                "1",
                "out",
                f"forecast of the load scale by lead ({source})",
                leads,
                foretells=("load_scale", max(ROUNDING, FARTHEST * self.config.forecast_error)),
            ),
        )

    def left_out(self) -> Sequence[str]:
        """Settings of a model without one, of a forecast's error without one."""
        config = self.config
        found = []
        if config.model is None:
            found += without_effect(
                config, ["quantity", "weather_table", "weather_stamps", "temperature_offset"], "there is no `model`"
            )
        else:
            found += without_effect(config, ["table", "stamps"], "the demand follows the `model`")
        if self._foreign_zone:
            found.append(
                f"the clock of {self._foreign_zone}, whose people the model's load is of, is not the scenario's: their "
                "hours, holidays and daylight saving are taken as if it were."
            )
        if config.forecast_error == 0:
            found += without_effect(config, ["forecast_persistence"], "`forecast_error` is 0")
        return found

    def solve(self, time: Time, inputs: Exchange) -> Exchange:
        """The load scale at `time`, and the forecast issued then."""
        scale = self._scale(np.array([time]))[0]
        forecast = self._scale(time + self._leads)
        if self.config.forecast_error > 0:
            issued = time // self.config.interval
            coming = self._innovations[issued : issued + len(self._leads)]
            forecast = np.maximum(forecast * (1 + self._memory @ coming), 0.0)
        return Exchange({"load_scale": np.asarray(scale), "load_scale_forecast": forecast})

    def _read(self, name: str) -> TimeTable:
        """The table, checked to cover the run. Raises ConfigError."""
        shipped = TABLES / f"{name}.csv"
        path = shipped if shipped.is_file() else Path(name)
        if not path.is_file():
            known = ", ".join(sorted(table.stem for table in TABLES.glob("*.csv")))
            raise ConfigError(
                "table",
                f"there is no demand table '{name}'.",
                f"Use one of: {known}; or the path of a .csv file.",
            )
        try:
            table = time_tables.read_time_table(path, COLUMNS, ["demand"], self.config.stamps)
            table.require_span(self.context.start, self.context.duration, self.context.step)
        except TimeTableError as error:
            raise ConfigError("table", str(error)) from error
        if table.columns["demand"].max() <= 0:
            raise ConfigError("table", f"'{name}' has no demand above 0 MW.", "Give a table with demand.")
        return table

    def _highest_of(self, table: TimeTable) -> float:
        """A measured table's highest demand [MW], a model's in the run: how far a forecast looks must not matter."""
        if self.config.model is None:
            return float(table.columns["demand"].max())
        steps = time_tables.grid(self.context.start, self.context.duration, self.context.step)[:-1]
        return float(table.at("demand", steps).max())

    def _modelled(self, path: str) -> TimeTable:
        """The demand that the model gives in the scenario's weather, from its first row on. Raises ConfigError."""
        file = read_parameter_file(Path(path))
        loads = list(file.structure.get("models", ()))
        quantity = self.config.quantity or (loads[0] if loads else "")
        if quantity not in loads:
            raise ConfigError(
                "quantity", f"'{file.name}' has no load '{quantity}'.", f"Use one of: {', '.join(loads)}."
            )
        if file.structure["models"][quantity].get("memory"):
            raise ConfigError(
                "model",
                f"{quantity} of '{file.name}' needs the measured load of weeks before.",
                "Calibrate it with memory: [{}].",
            )
        try:
            model = LoadModel.of(file.structure, {name: p.array for name, p in file.parameters.items()}, quantity)
        except (KeyError, ValueError) as error:
            raise ConfigError("model", f"'{file.name}' is not complete: {error}.", "Calibrate again.") from None
        times, temperature = self._temperature()
        zone, site = model.calendar.zone, self.config.site
        if site is not None and abs(standard_offset(zone, self.context.start.year) - site.utc_offset) > 1e-6:
            self._foreign_zone = zone
        load = model.load(times, temperature + self.config.temperature_offset)
        own = times >= np.datetime64(self.context.start, "s") - np.timedelta64(STEP, "s")  # the lag needed the rest
        return TimeTable(file.name, times[own], {"demand": load[own]})

    def _temperature(self) -> tuple[Instants, Floats]:
        """Half-hourly times and temperatures [degC] up to the longest lead of the last step. Raises ConfigError.

        They begin as far before the run as the weather reaches, at most `HISTORY`: the model has thermal lag.
        """
        if self.config.weather_table is None:
            problem = "a model follows the weather, and the scenario has none of kind weather."
            raise ConfigError("model", problem, "Add a weather section, or give weather_table.")
        try:
            weather = weather_tables.read(self.config.weather_table, self.config.weather_stamps)
        except TimeTableError as error:
            raise ConfigError("weather_table", str(error)) from error
        start = np.datetime64(self.context.start, "s")
        end = start + np.timedelta64((self.context.duration + self.config.lookahead) // 10**9 + STEP, "s")
        first = start - HISTORY
        if isinstance(weather, TimeTable):
            first = max(first, weather.time[0].astype("datetime64[s]"))
        first = first.astype("datetime64[h]").astype("datetime64[s]")
        times = np.arange(first, end, np.timedelta64(STEP, "s"))
        return times, weather_tables.temperature(weather, times)

    def _scale(self, times: NDArray[np.int64]) -> Floats:
        """The true load scale (n) at `times` [ns] (n)."""
        if self._table is None:
            return np.full(len(times), self.config.scale)
        reference = self.config.reference or self._highest
        instants = np.datetime64(self.context.start, "ns") + times.astype("timedelta64[ns]")
        return self.config.scale * self._table.at("demand", instants) / reference

    def _draw_innovations(self) -> Floats:
        """One innovation [1] for each interval from the start to the last lead of the last step."""
        config, leads = self.config, len(self._leads)
        count = self.context.duration // config.interval + leads + 1
        draw = seeds.generator(self.context.seed, self.context.name, "forecast").standard_normal(count)
        # Variance at lead K: sigma² (1 + r² + ... + r^(2 (K - 1))).
        longest = np.sqrt(np.sum(config.forecast_persistence ** (2 * np.arange(leads))))
        return np.asarray(draw * (config.forecast_error / longest))
