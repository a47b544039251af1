"""Sun, weather and clock in a GridLAB-D model that somebody else wrote: they are the scenario's, not the model's.

GridLAB-D works out where the sun stands from its clock and the longitude of its climate and solar objects. The clock of
a model that is stepped from outside runs in local standard time and is called UTC, so each longitude counts from the
meridian of that zone instead of Greenwich. The engine's `timezone` is no way to the same: stepped from outside, the
sun of a model in EST+5 stands where it does in UTC0 (measured: GridLAB-D 6.0.0, the same PV power to 1e-6).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from feeders.glm import Site
from feeders.glm_reader import GlmModel

SEEING_SUN = ("climate", "solar")  #: classes that work out where the sun stands

_DEGREES = re.compile(r"(\d+)([NSEW])(?:(\d+)(?::([\d.]+))?)?", re.IGNORECASE)


@dataclass(frozen=True)
class SunObject:
    """An object that sees the sun, as its model states it."""

    kind: str  #: "climate" or "solar"
    name: str
    latitude: float | None  #: [deg], north positive; None: not stated
    longitude: float | None  #: [deg], east positive
    weather_file: str  #: that it reads itself; "" if none


def sun_objects(model: GlmModel) -> list[SunObject]:
    """The objects of a model that see the sun."""
    return [_sun_object(item.kind, item.properties) for item in model.of(*SEEING_SUN)]


def sun_edits(model: GlmModel, site: Site) -> Iterator[tuple[int, int, str]]:
    """What to replace in a model's text, so that what sees the sun stands at `site` and no climate reads a file.

    A solar object that states no place takes its climate's.
    """
    place = {"latitude": f"{site.latitude:.12g}", "longitude": f"{site.solar_longitude:.12g}"}
    for item in model.of(*SEEING_SUN):
        moved = place if item.kind == "climate" or "longitude" in item.properties else {}
        for name, value in (moved | {"tmyfile": '""'} if "tmyfile" in item.properties else moved).items():
            if name in item.spans:
                yield (*item.spans[name], value)
            else:
                yield item.body, item.body, f" {name} {value};"


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
