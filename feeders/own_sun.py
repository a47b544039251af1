"""Sun, weather and clock in a GridLAB-D model that somebody else wrote: they are the scenario's, not the model's.

GridLAB-D works out where the sun stands from its clock and the longitude of its climate and solar objects. The clock of
a model that is stepped from outside runs in local standard time and is called UTC, so each longitude counts from the
meridian of that zone instead of Greenwich. The engine's `timezone` is no way to the same: stepped from outside, the
sun of a model in EST+5 stands where it does in UTC0 (measured: GridLAB-D 6.0.0, the same PV power to 1e-6).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from feeders.gridlabd_engine import Engine

SEEING_SUN = ("climate", "solar")  #: classes that work out where the sun stands

_TOKEN = re.compile(r'"[^"]*"|[{};]|[^\s{};"]+')
_DEGREES = re.compile(r"(\d+)([NSEW])(?:(\d+)(?::([\d.]+))?)?", re.IGNORECASE)


@dataclass(frozen=True)
class SunObject:
    """An object that sees the sun, as its model states it."""

    kind: str  #: "climate" or "solar"
    name: str
    latitude: float | None  #: [deg], north positive; None: not stated
    longitude: float | None  #: [deg], east positive
    weather_file: str  #: that it reads itself; "" if none


def sun_objects(text: str) -> list[SunObject]:
    """The objects of GLM `text`, without its comments, that see the sun; included files are not looked into."""
    found: list[SunObject] = []
    open_objects: list[tuple[str, dict[str, str]]] = []
    statement: list[str] = []
    for token in _TOKEN.findall(text):
        if token == "{":
            kind = statement[-1].partition(":")[0] if "object" in statement else ""
            open_objects.append((kind, {}))
        elif token == "}":
            kind, properties = open_objects.pop() if open_objects else ("", {})
            if kind in SEEING_SUN:
                found.append(_sun_object(kind, properties))
        elif token == ";":
            if open_objects and len(statement) > 1:
                open_objects[-1][1][statement[0]] = " ".join(statement[1:]).strip('"')
        else:
            statement.append(token)
            continue
        statement = []
    return found


def own_zone(text: str) -> str:
    """The time zone in the clock of GLM `text`, "" if it states none."""
    found = re.search(r"\btimezone\s+\"?([^;\"]+?)\"?\s*;", text)
    return found[1] if found else ""


def objects_in_engine(engine: Engine) -> list[SunObject]:
    """The objects that see the sun in a loaded model, those of included files too."""
    return [_sun_object(kind, one) for kind in SEEING_SUN for one in engine.objects(kind)]


def move_to(engine: Engine, objects: list[SunObject], latitude: float, solar_longitude: float) -> None:
    """Put what sees the sun to a place [deg], and have no climate read weather of its own.

    `solar_longitude` counts from the meridian of the local zone. A solar object that states no place takes its
    climate's. Must come before the first step. Raises EngineError.
    """
    for one in objects:
        if one.weather_file:
            engine.write(one.name, "tmyfile", "")
        if one.kind == "climate" or one.longitude is not None:
            engine.write(one.name, "latitude", latitude)
            engine.write(one.name, "longitude", solar_longitude)


def _sun_object(kind: str, properties: Mapping[str, object]) -> SunObject:
    place = [_degrees(properties.get(name)) for name in ("latitude", "longitude")]
    file = str(properties.get("tmyfile", "")).strip('"')
    return SunObject(kind, str(properties.get("name", "")), place[0], place[1], file)


def _degrees(value: object) -> float | None:
    """A coordinate [deg] as GridLAB-D takes it, `-79.95` or `79W57:00`; None if it is none."""
    text = str(value)
    found = _DEGREES.fullmatch(text)
    if found:
        whole = float(found[1]) + float(found[3] or 0) / 60 + float(found[4] or 0) / 3600
        return -whole if found[2].upper() in "SW" else whole
    try:
        return float(text)
    except ValueError:
        return None
