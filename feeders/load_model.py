"""A calibrated load: from the parameters of a temperature response to the load at times and temperatures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from feeders.time_tables import Floats, Instants
from solvers.temperature_response import Drivers, Structure, day_types, design, weighted_mean

CALIBRATED = Path(__file__).parent / "tables" / "calibrated"  #: the parameter files that come with the project
KIND = "temperature_response"


@dataclass(frozen=True)
class LoadCalendar:
    """The days that matter to a load besides the week, as days of the wall clock."""

    zone: str  #: IANA name, or a fixed offset as +01:00
    holidays: Instants  #: datetime64[D]
    periods: Mapping[str, tuple[tuple[date, date], ...]]  #: name -> first and last days
    middle: datetime  #: of what was fitted, from which the trend counts; local wall clock

    def as_mapping(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "zone": self.zone,
            "holidays": [str(day) for day in self.holidays],
            "periods": {name: [[str(a), str(b)] for a, b in spans] for name, spans in self.periods.items()},
            "middle": self.middle.isoformat(sep=" "),
        }

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> LoadCalendar:
        """The inverse of `as_mapping`."""
        return cls(
            str(mapping["zone"]),
            np.array([str(day) for day in mapping["holidays"]], dtype="datetime64[D]"),
            {
                str(name): tuple((date.fromisoformat(str(a)), date.fromisoformat(str(b))) for a, b in spans)
                for name, spans in mapping["periods"].items()
            },
            datetime.fromisoformat(str(mapping["middle"])),
        )

    def within(self, name: str, days: Instants) -> Floats:
        """1 for each of `days` (n) in the period `name`, else 0."""
        found = np.zeros(len(days))
        for first, last in self.periods[name]:
            found[(days >= np.datetime64(first)) & (days <= np.datetime64(last))] = 1.0
        return found


def drivers(structure: Structure, calendar: LoadCalendar, wall: Instants, temperature: Floats, step: float) -> Drivers:
    """What the load depends on at the `wall` clock times (n), `step` [h] apart, with `temperature` (n) [degC]."""
    days = wall.astype("datetime64[D]")
    years = days.astype("datetime64[Y]")
    hour = (wall - days).astype("timedelta64[s]").astype(float) / 3600
    since = (wall.astype("datetime64[s]") - np.datetime64(calendar.middle, "s")).astype(float)
    periods = [calendar.within(name, days) for name in structure.periods]
    return Drivers(
        hour=hour,
        day_type=day_types(days, calendar.holidays),
        year_day=(wall - years.astype("datetime64[s]")).astype("timedelta64[s]").astype(float) / 86_400,
        years=since / (365.25 * 86_400),
        temperatures=np.stack([weighted_mean(temperature, hours, step) for hours in structure.lags], axis=1),
        periods=np.stack(periods, axis=1) if periods else np.zeros((0, 0)),
    )


def zone_of(text: str) -> Any:
    """A zone from its IANA name or a fixed offset. Raises ValueError, ZoneInfoNotFoundError."""
    if text[:1] in "+-":
        return timezone((-1 if text[0] == "-" else 1) * timedelta(hours=int(text[1:3]), minutes=int(text[-2:])))
    return UTC if text == "UTC" else ZoneInfo(text)


def wall_clock(standard: Instants, zone: str) -> Instants:
    """The wall clock (n) at local standard times (n) of `zone`: daylight saving is added."""
    place = zone_of(zone)
    hours = standard.astype("datetime64[h]")
    shifts = {}
    for hour in np.unique(hours):
        local = hour.astype("datetime64[s]").item().replace(tzinfo=UTC) - _standard_offset(place, hour.item().year)
        shifts[hour] = np.timedelta64(
            round((local.astimezone(place).utcoffset() - _standard_offset(place, local.year)).total_seconds()), "s"
        )
    return np.asarray(standard.astype("datetime64[s]") + np.array([shifts[hour] for hour in hours]))


def standard_offset(zone: str, year: int) -> float:
    """How far local standard time of `zone` is ahead of UTC [h]."""
    return _standard_offset(zone_of(zone), year).total_seconds() / 3600


def _standard_offset(place: Any, year: int) -> timedelta:
    """Of local standard time from UTC: the smaller of those in January and July."""
    offsets = [datetime(year, month, 15, tzinfo=UTC).astimezone(place).utcoffset() for month in (1, 7)]
    return min(offset for offset in offsets if offset is not None)


@dataclass(frozen=True)
class LoadModel:
    """A fitted load: ln y = mean + design @ coefficients."""

    structure: Structure
    calendar: LoadCalendar
    mean: float  #: of ln y, y in MW
    coefficients: Floats  #: (p)

    @classmethod
    def of(cls, structure: Mapping[str, Any], parameters: Mapping[str, Floats], quantity: str) -> LoadModel:
        """From a parameter file's structure, and its parameters as arrays. Raises KeyError if it lacks one."""
        shape = Structure.from_mapping(structure["models"][quantity])
        terms: Sequence[str] = structure["terms"][quantity]
        parts = [np.ravel(parameters[f"{quantity}.{term}"]) for term in terms]
        return cls(
            shape,
            LoadCalendar.from_mapping(structure["calendar"]),
            float(parameters[f"{quantity}.mean"]),
            np.concatenate(parts),
        )

    def load(self, standard: Instants, temperature: Floats) -> Floats:
        """The load (n) [MW] at evenly spaced local standard times (n) with `temperature` (n) [degC].

        The first day's mean stands for what was before.
        """
        step = float((standard[1] - standard[0]) / np.timedelta64(1, "s")) / 3600
        wall = wall_clock(standard, self.calendar.zone)
        columns, _ = design(self.structure, drivers(self.structure, self.calendar, wall, temperature, step))
        return np.exp(self.mean + columns @ self.coefficients)
