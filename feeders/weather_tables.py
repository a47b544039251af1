"""Weather of a place over the scenario's span, from a table, a measured file or a typical year.

What ships: the tables in `tables/weather/`, and three typical years that come with pvlib. Files may
be tables (CSV, see `tables/weather/README.md`), TMY3 (CSV), TMY2 (.tm2, .tmy2) or EnergyPlus weather (.epw).
pandas and pvlib are imported only where a typical year is read or irradiance is worked out.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from feeders.time_tables import Column, Floats, Instants, Side, TimeTable, TimeTableError, read_time_table

TABLES = Path(__file__).parent / "tables" / "weather"

#: Typical years that the package pvlib ships: name -> file in its folder `data`.
PVLIB_FILES = {
    "greensboro_tmy3": "723170TYA.CSV",
    "sand_point_tmy3": "703165TY.csv",
    "miami_tmy2": "12839.tm2",
}

IRRADIANCES = ("ghi", "dni", "dhi")

#: Wider than any record; what lies outside is a missing-value code (99.9, 999, 9999, -9900) or a wrong unit.
COLUMNS = (
    Column("temperature", "degC", -90.0, 60.0),
    Column("relative_humidity", "1", 0.0, 1.1),
    Column("wind_speed", "m/s", 0.0, 120.0),
    Column("ghi", "W/m2", 0.0, 1600.0),
    Column("dni", "W/m2", 0.0, 1500.0),
    Column("dhi", "W/m2", 0.0, 1200.0),
)

TMY2 = (".tm2", ".tmy2")  #: how the names of such files end

_HOURS_A_YEAR = 8760
_HOUR = np.timedelta64(1, "h")
_PARTS_AN_HOUR = 20  #: into which an hour is cut to average the clear sky over it


@dataclass(frozen=True)
class Site:
    """Where on Earth: degrees [deg] north and east, `altitude` [m], `utc_offset` [h] of standard time."""

    latitude: float
    longitude: float
    altitude: float
    utc_offset: float


@dataclass(frozen=True)
class TypicalYear:
    """8,760 hours that stand for any year, from 1 January 00:00 to 31 December 24:00 standard time.

    Each of `columns` (8760). Row k holds the mean irradiance of the hour from k to k + 1, and the other quantities at
    its end: what the files' own documents say of a row labelled k + 1.

    - TMY2: radiation is what came "during the 60 minutes preceding the hour indicated", other elements were observed
      "at the hour indicated" (W. Marion and K. Urban, User's Manual for TMY2s, NREL/SP-463-7668, 1995, section 3);
    - TMY3: irradiance is of the 60-minute period that ends at the timestamp, temperature, humidity and wind are "at the
      time indicated" (S. Wilcox and W. Marion, Users Manual for TMY3 Data Sets, NREL/TP-581-43156, 2008, section 1);
    - EPW: radiation is of the minutes "preceding the time indicated", temperature, humidity and wind "at the time
      indicated" (EnergyPlus Auxiliary Programs, Weather Converter, EPW data dictionary).

    Times are local standard time in all three.
    """

    name: str
    columns: Mapping[str, Floats]
    facts: Mapping[str, float]


def shipped() -> list[str]:
    """The names that `read` knows besides files."""
    return sorted([*(path.stem for path in TABLES.glob("*.csv")), *PVLIB_FILES])


def read(name: str, stamps: Side | None = None) -> TimeTable | TypicalYear:
    """Read the shipped weather called `name`, or the file of that path; of a table, `stamps` says what a row is.

    Raises TimeTableError if there is none of that name, or the file is not what its suffix says or
    lacks values, and if `stamps` are given of a typical year, whose rows are defined.
    """
    weather = _read(name, stamps)
    if stamps is not None and isinstance(weather, TypicalYear):
        raise TimeTableError(f"'{name}' is a typical year: what its rows are is defined. Leave out `stamps`.")
    return weather


def _read(name: str, stamps: Side | None) -> TimeTable | TypicalYear:
    if name in PVLIB_FILES:
        return _read_typical_year(_pvlib_folder() / PVLIB_FILES[name], name)
    table = TABLES / f"{name}.csv"
    path = table if table.is_file() else Path(name)
    if not path.is_file():
        raise TimeTableError(
            f"there is no weather '{name}'. Use one of: {', '.join(shipped())}; "
            "or the path of a .csv, .tm2, .tmy2 or .epw file."
        )
    suffix = path.suffix.lower()
    if suffix in (*TMY2, ".epw") or (suffix == ".csv" and _is_tmy3(path)):
        return _read_typical_year(path, path.name)
    if suffix == ".csv":
        weather = read_time_table(path, COLUMNS, ["temperature"], stamps)
        some = [column for column in IRRADIANCES if column in weather.columns]
        if some and len(some) < len(IRRADIANCES):
            raise TimeTableError(f"'{path.name}' has {', '.join(some)} but needs ghi, dni and dhi, or none.")
        return weather
    raise TimeTableError(f"'{path.name}' must be a .csv, .tm2, .tmy2 or .epw file.")


def _pvlib_folder() -> Path:
    """The folder `data` of pvlib, found without importing pvlib."""
    found = importlib.util.find_spec("pvlib")
    if found is None or found.origin is None:
        raise TimeTableError("the package pvlib is not installed. Install the project again.")
    return Path(found.origin).parent / "data"


def _is_tmy3(path: Path) -> bool:
    with path.open(encoding="utf-8", errors="replace") as file:
        file.readline()
        return file.readline().startswith("Date (MM/DD/YYYY),Time (HH:MM)")


def _read_typical_year(path: Path, name: str) -> TypicalYear:
    """Read a TMY3, TMY2 or EPW file with pvlib and check that it is a whole year of possible values."""
    from pvlib import iotools

    suffix = path.suffix.lower()
    try:
        if suffix in TMY2:
            data, place = iotools.read_tmy2(path)
            # Tenths of a degree and of a metre a second (TMY2 user's manual, table 3-2).
            scaled = {
                "temperature": data["DryBulb"] / 10,
                "relative_humidity": data["RHum"] / 100,
                "wind_speed": data["Wspd"] / 10,
                "ghi": data["GHI"],
                "dni": data["DNI"],
                "dhi": data["DHI"],
            }
        else:
            data, place = iotools.read_epw(path) if suffix == ".epw" else iotools.read_tmy3(path)
            scaled = {
                "temperature": data["temp_air"],
                "relative_humidity": data["relative_humidity"] / 100,
                "wind_speed": data["wind_speed"],
                **{name: data[name] for name in IRRADIANCES},
            }
        columns = {key: np.array(value, float) for key, value in scaled.items()}
        facts = {key: float(place[key]) for key in ("latitude", "longitude", "altitude")}
        facts["utc_offset"] = float(place["TZ"])
        when = data.index.month.to_numpy(), data.index.day.to_numpy()
    # pvlib promises no exceptions of its own; these are what its parsers raise on damaged files.
    except (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise TimeTableError(f"'{path.name}' is not a readable {suffix} weather file: {error!r}") from error
    _check_typical_year(path.name, columns)
    _check_calendar(path.name, *when)
    return TypicalYear(name, columns, facts)


def _check_typical_year(name: str, columns: Mapping[str, Floats]) -> None:
    hours = len(columns["temperature"])
    if hours != _HOURS_A_YEAR:
        raise TimeTableError(f"'{name}' has {hours} data rows; a typical year has {_HOURS_A_YEAR}.")
    for column in COLUMNS:
        column.check(columns[column.name], f"'{name}'")
        # A stub file reads as zeros and would pass for cold, dark, still weather.
        if np.ptp(columns[column.name]) == 0:
            raise TimeTableError(
                f"'{name}' is a stub: it has the same {column.name} all year, "
                f"{columns[column.name][0]:g} [{column.unit}]. Give a file with data."
            )


def _check_calendar(name: str, month: NDArray[np.int64], day: NDArray[np.int64]) -> None:
    """Raise TimeTableError unless the hours (8760) run from 1 January to 31 December: rows are found by their place.

    At noon all formats agree which day a row is of, whether its label is that of the hour's start or end.
    """
    days = np.arange("2001-01-01", "2002-01-01", dtype="datetime64[D]")
    months = days.astype("datetime64[M]")
    expected = months.astype(int) % 12 + 1, (days - months.astype("datetime64[D]")).astype(int) + 1
    wrong = np.flatnonzero((month[12::24] != expected[0]) | (day[12::24] != expected[1]))
    if len(wrong):
        row = 12 + 24 * wrong[0]
        raise TimeTableError(
            f"'{name}', data row {row + 1} is of {day[row]}.{month[row]}. where {expected[1][wrong[0]]}."
            f"{expected[0][wrong[0]]}. must stand: a typical year runs from 1 January to 31 December. Sort its rows."
        )


def hours_of_year(instants: Instants) -> NDArray[np.int64]:
    """The row (m) of a typical year for each of `instants` (m); 29 February takes that of the 28th."""
    day = instants.astype("datetime64[D]")
    year = day.astype("datetime64[Y]")
    number = (day - year.astype("datetime64[D]")).astype(int)
    leap = ((year + 1).astype("datetime64[D]") - year.astype("datetime64[D]")).astype(int) == 366
    number = np.where(leap & (number >= 59), number - 1, number)
    hour = (instants - day).astype("timedelta64[h]").astype(int)
    return np.asarray(number * 24 + hour)


def clear_sky(site: Site, instants: Instants) -> dict[str, Floats]:
    """Irradiance [W/m²] of a cloudless sky at `instants` (m): ghi, dni and dhi, each (m).

    The Ineichen-Perez model with pvlib's monthly climatology of Linke turbidity (P. Ineichen and
    R. Perez, Solar Energy 73, 2002, doi:10.1016/S0038-092X(02)00045-2; the turbidity is that of the
    SoDa service, as shipped by pvlib).
    """
    import pandas as pd
    from pvlib.location import Location

    universal = instants - np.timedelta64(round(site.utc_offset * 3600), "s")
    place = Location(site.latitude, site.longitude, tz="UTC", altitude=site.altitude)
    sky: Any = place.get_clearsky(pd.DatetimeIndex(universal, tz="UTC"), model="ineichen")
    return {name: sky[name].to_numpy(float) for name in IRRADIANCES}


def with_clear_sky_shape(mean: Floats, sky_mean: Floats, sky: Floats, interval: NDArray[np.int64]) -> Floats:
    """Irradiance [W/m²] at instants (m), from its means over intervals (n).

    `mean` (n) the means to keep, `sky_mean` (n) those of the clear sky, `sky` (m) the clear sky at the
    instants, `interval` (m) in which of the intervals each instant lies. Within an interval the
    clear-sky index mean / sky_mean is constant, so that the mean is kept and the sun rises and sets when
    it does. Where the index would pass 2, or there is next to no sun, the mean itself is taken: the
    index is then a quotient of two small numbers.
    """
    usable = (sky_mean > 1.0) & (mean <= 2 * sky_mean)
    index = np.divide(mean, sky_mean, out=np.zeros_like(mean), where=usable)
    return np.where(usable[interval], index[interval] * sky, mean[interval])


def site_of(weather: TimeTable | TypicalYear, **stated: float | None) -> Site | None:
    """The place whose clear sky `weather` needs; None where the table has its own irradiance.

    `stated` are fields of `Site` that go before those of the weather's own facts. Raises
    TimeTableError if one is in neither.
    """
    if isinstance(weather, TimeTable) and "ghi" in weather.columns:
        return None
    facts = {**weather.facts, **{name: value for name, value in stated.items() if value is not None}}
    names = [field.name for field in fields(Site)]
    missing = [name for name in names if name not in facts]
    if missing:
        raise TimeTableError(
            f"'{weather.name}' has no irradiance; that of a clear sky needs the {', '.join(missing)}. "
            "State it in the weather's settings or in the table's comment lines."
        )
    return Site(**{name: facts[name] for name in names})


def temperature(weather: TimeTable | TypicalYear, instants: Instants) -> Floats:
    """The air temperature [degC] at ascending `instants` (m), as `resample` gives it; needs no place."""
    table = weather if isinstance(weather, TimeTable) else _calendar(weather, instants)[0]
    return table.at("temperature", instants)


def _calendar(weather: TypicalYear, instants: Instants) -> tuple[TimeTable, NDArray[np.int64]]:
    """The hours of a typical year around ascending `instants` (m), at their ends, and in which hour each instant is.

    One hour more on the left: the value at the start of an hour is that at the end of the one before.
    """
    first = instants[0].astype("datetime64[h]") - _HOUR
    interval = (instants.astype("datetime64[h]") - first).astype(int)
    hours = first + np.arange(interval[-1] + 1) * _HOUR
    row = hours_of_year(hours)
    return TimeTable(weather.name, hours + _HOUR, {name: one[row] for name, one in weather.columns.items()}), interval


def resample(weather: TimeTable | TypicalYear, site: Site | None, instants: Instants) -> dict[str, Floats]:
    """The weather at ascending `instants` (m): each of `COLUMNS` that it knows, and irradiance, each (m).

    `site` is what `site_of` gave. A table is linear between rows that are instants, and holds means; where it has no
    irradiance, that of the clear sky is given. A typical year is linear in temperature, humidity and wind; its
    irradiance keeps its hourly means (see `with_clear_sky_shape`).
    """
    if isinstance(weather, TimeTable):
        values = {name: weather.at(name, instants) for name in weather.columns}
        return values if site is None else values | clear_sky(site, instants)
    if site is None:
        raise TimeTableError(f"'{weather.name}' is a typical year and needs its place.")
    calendar, interval = _calendar(weather, instants)
    hours: Instants = np.asarray(calendar.time - _HOUR, "datetime64[s]")
    year = calendar.columns
    values = {name: calendar.at(name, instants) for name in year if name not in IRRADIANCES}
    part = np.timedelta64(3600 // _PARTS_AN_HOUR, "s")
    middles: Any = hours[:, None].astype("datetime64[s]") + part // 2 + np.arange(_PARTS_AN_HOUR) * part
    parts, sky = clear_sky(site, middles.ravel()), clear_sky(site, instants)
    for name in IRRADIANCES:
        sky_mean = parts[name].reshape(middles.shape).mean(axis=1)
        values[name] = with_clear_sky_shape(year[name], sky_mean, sky[name], interval)
    return values
