"""Weather at one place: from a table, a measured file or a typical year, the same for all who are linked.

Reading, interpolation and the clear sky are in `feeders/weather_tables.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np
from pydantic import BeforeValidator, Field

from cosim.contract import Context, Exchange, Fact, Federate, Port, Time
from cosim.errors import ConfigError, UnknownFactError
from cosim.settings import NameOrFile, without_effect
from cosim.site import ADD_SITE, NAMES, PlaceSettings, completed
from cosim.units import Temperature, convert, quantity
from feeders import time_tables, weather_tables
from feeders.time_tables import Floats, Side, TimeTableError


def _temperature_difference(text: object) -> object:
    """Read `"3 degF"` as a difference [K], where the scales' zero points do not matter."""
    words = str(text).split()
    if len(words) == 2:
        return convert(float(words[0]), words[1], "degC") - convert(0.0, words[1], "degC")
    return text


#: [degC] WMO's records are -89.2 (Vostok, 1983) and 56.7 (Death Valley, 1913).
TEMPERATURES = (-90.0, 60.0)
BRIGHTEST = 2000.0  #: [W/m2] the sun gives 1,361 outside the air; broken clouds have added a third to that for minutes


class Weather(Federate):
    """Temperature, humidity, wind and irradiance at each base step.

    Values between the rows of a table are linear, unless its rows are means. Humidity that the source lacks follows
    from the dew point, wind from the stated speed, irradiance from a clear sky over the stated place.
    """

    preload: ClassVar[tuple[str, ...]] = ("pandas", "pvlib.atmosphere", "pvlib.iotools", "pvlib.location")

    class Config(PlaceSettings):
        """Settings of the weather."""

        table: NameOrFile = "melbourne_2014_01"
        """A shipped weather (melbourne_2014_01, greensboro_tmy3, miami_tmy2, sand_point_tmy3) or a file:
        a table (.csv), TMY3 (.csv), TMY2 (.tm2, .tmy2) or EPW (.epw). A typical year serves for any year."""
        stamps: Side | None = None
        """What a row of a table is: `instant`, the values at its time, linear in between; `start` or `end`, the means
        of the interval that starts or ends at its time, held in it. None: as the table's line `# stamps: ...` says,
        else instants. A typical year's irradiance is means of the hour that ends, all else instants, by definition."""
        temperature_offset: Annotated[float, BeforeValidator(_temperature_difference)] = 0.0
        """Added to the temperature [K]: a warming. Relative humidity stays as the source states it."""
        irradiance_scale: float = Field(default=1.0, ge=0)
        """All irradiance is multiplied by it [1]."""
        wind_speed_scale: float = Field(default=1.0, ge=0)
        """The wind speed is multiplied by it [1]."""
        dew_point: Temperature = 10.0
        """Where the source has no humidity: the constant dew point from which it follows (assumed)."""
        wind_speed: Annotated[float, quantity("m/s")] = Field(default=4.0, ge=0)
        """Where the source has no wind: its constant speed (assumed)."""
        altitude: float | None = Field(default=None, ge=-500, le=9000)
        """Metres above the sea; none: as the scenario's `site` or the source states."""

    config: Weather.Config

    def __init__(self, config: Weather.Config, context: Context) -> None:
        super().__init__(config, context)
        try:
            self._weather = weather_tables.read(config.table, config.stamps)
            if isinstance(self._weather, time_tables.TimeTable):
                self._weather.require_span(context.start, context.duration, context.step)
        except TimeTableError as error:
            raise ConfigError("table", str(error)) from error
        statements = self._statements()
        known = {name: value for _, statement in statements for name, value in statement.items()}
        stated = {name: known.get(name) for name in ("latitude", "longitude", "utc_offset")}
        try:
            self._site = weather_tables.site_of(self._weather, **stated, altitude=known.get("elevation"))
        except TimeTableError as error:
            raise UnknownFactError("", str(error), ADD_SITE) from error
        place = completed(known, None, statements[-1][0])
        self._facts = [place, *(completed(statement, place, source) for source, statement in statements)]
        self._values: dict[str, Floats] = {}

    def ports(self) -> Sequence[Port]:
        """All are scalars; the titles say where each comes from."""
        source, known = self._weather.name, self._weather.columns
        sky = source if "ghi" in known else "clear sky, Ineichen model"
        wind = source if "wind_speed" in known else "a constant"
        humidity = source if "relative_humidity" in known else f"dew point of {self.config.dew_point:g} degC"
        sun = (0.0, BRIGHTEST * max(1.0, self.config.irradiance_scale))
        return (
            Port("temperature", "degC", "out", f"air temperature ({source})", range=TEMPERATURES),
            Port("relative_humidity", "1", "out", f"relative humidity ({humidity})", range=(0.0, 1.0)),
            Port("wind_speed", "m/s", "out", f"wind speed ({wind})", range=(0.0, np.inf)),
            Port("ghi", "W/m2", "out", f"global horizontal irradiance ({sky})", range=sun, sun="daylight"),
            Port("dni", "W/m2", "out", f"direct normal irradiance ({sky})", range=sun, sun="daylight"),
            Port("dhi", "W/m2", "out", f"diffuse horizontal irradiance ({sky})", range=sun, sun="daylight"),
        )

    def left_out(self) -> Sequence[str]:
        """What stands in for columns that the source has itself."""
        known, config = self._weather.columns, self.config
        humid = without_effect(config, ["dew_point"], "the source has the humidity itself")
        windy = without_effect(config, ["wind_speed"], "the source has the wind itself")
        return (
            *(humid if "relative_humidity" in known else ()),
            *(windy if "wind_speed" in known else ()),
        )

    def facts(self) -> Sequence[Fact]:
        """The place of the weather, then what each who states it says of it."""
        return [fact for fact in self._facts if fact is not None]

    def _statements(self) -> list[tuple[str, dict[str, float]]]:
        """Who states what of the place, by the names of `Site`: the source, the settings and the scenario.

        The later goes before; only those that state something.
        """
        names = {name: name for name in NAMES} | {"altitude": "elevation"}
        config, facts = self.config, self._weather.facts
        given = {} if config.site is None else asdict(config.site)
        found = [
            (f"the weather '{self._weather.name}'", {names[name]: facts[name] for name in names if name in facts}),
            (f"the settings of '{self.context.name}'", {names[name]: getattr(config, name) for name in names}),
            (given.pop("source", ""), given),
        ]
        stated = [(source, {name: value for name, value in one.items() if value is not None}) for source, one in found]
        return [(source, one) for source, one in stated if one] or [("", {})]

    def start(self, folder: Path) -> None:
        """Work out the weather of the whole run; imports pandas and pvlib."""
        instants = time_tables.grid(self.context.start, self.context.duration, self.context.step)
        values = weather_tables.resample(self._weather, self._site, instants)
        values["temperature"] = values["temperature"] + self.config.temperature_offset
        if "relative_humidity" not in values:
            from pvlib.atmosphere import rh_from_tdew

            values["relative_humidity"] = rh_from_tdew(values["temperature"], self.config.dew_point) / 100
        values["relative_humidity"] = np.minimum(values["relative_humidity"], 1.0)
        wind = values.get("wind_speed", np.full(len(instants), self.config.wind_speed))
        values["wind_speed"] = wind * self.config.wind_speed_scale
        for name in weather_tables.IRRADIANCES:
            values[name] = values[name] * self.config.irradiance_scale
        self._values = values

    def solve(self, time: Time, inputs: Exchange) -> Exchange:
        """The weather at `time`."""
        index = time // self.context.step
        return Exchange({name: np.asarray(column[index]) for name, column in self._values.items()})
