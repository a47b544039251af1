"""The place on Earth: one fact of a scenario, which all that sees the sun or the clock takes.

It comes from the scenario's `site`, or from the weather's file where that states one. A federate that needs it has a
setting `site: Site | None`, which the wiring fills in; one whose own settings may state it derives them from
`PlaceSettings`. Two statements that contradict each other are refused by the wiring.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import asin, cos, radians, sin, sqrt
from typing import Annotated

from pydantic import Field
from pydantic.json_schema import SkipJsonSchema

from cosim.errors import UnknownFactError
from cosim.settings import Settings

Latitude = Annotated[float, Field(ge=-90, le=90)]
Longitude = Annotated[float, Field(ge=-180, le=180)]
UtcOffset = Annotated[float, Field(ge=-12, le=14)]
Elevation = Annotated[float, Field(ge=-500, le=9000)]

#: [km] How far two statements of one place may be apart. Coordinates rounded to a tenth of a degree are off by up to
#: 8 km; beyond 10 km it is another place. There the sun is up to half a minute early or late (4 min a degree).
FARTHEST = 10.0

#: [m] How far two statements of its elevation may be apart: 300 m change the air's pressure, and with it the mass of
#: air that the sun shines through, by 3.5 % (ICAO standard atmosphere).
HIGHEST = 300.0

EARTH_RADIUS = 6371.0  #: [km], mean

NAMES = ("latitude", "longitude", "utc_offset")  #: what a place cannot do without

#: What to do where a place is needed and nobody states one.
ADD_SITE = "Add `weather` whose file has a place, or `site: {latitude: ..., longitude: ..., utc_offset: ...}`."


@dataclass(frozen=True)
class Site:
    """A place on Earth, and who states it."""

    latitude: Latitude  #: [deg], north is positive
    longitude: Longitude  #: [deg], east is positive
    utc_offset: UtcOffset  #: [h] that local standard time is ahead of UTC
    elevation: Elevation | None = None  #: [m] above the sea
    source: str = ""  #: who states it, for example "site" or "the weather 'greensboro_tmy3'"

    def distance(self, latitude: float, longitude: float) -> float:
        """The way over ground [km] to another place [deg], on a sphere (haversine)."""
        north, east = radians(latitude - self.latitude), radians(longitude - self.longitude)
        chord = sin(north / 2) ** 2 + cos(radians(self.latitude)) * cos(radians(latitude)) * sin(east / 2) ** 2
        return 2 * EARTH_RADIUS * asin(sqrt(min(chord, 1.0)))

    def contradiction(self, other: Site) -> str:
        """What cannot be true of both, in words; empty if they agree."""
        apart = self.distance(other.latitude, other.longitude)
        differences = []
        if apart > FARTHEST:
            differences.append(f"{apart:,.0f} km apart")
        if abs(self.utc_offset - other.utc_offset) > 1e-6:
            differences.append(f"{abs(self.utc_offset - other.utc_offset):g} h apart on the clock")
        if None not in (self.elevation, other.elevation):
            rise = abs((self.elevation or 0.0) - (other.elevation or 0.0))
            differences += [f"{rise:,.0f} m apart in elevation"] if rise > HIGHEST else []
        if not differences:
            return ""
        return f"{other.source} is at {other}, {self.source} at {self}: {' and '.join(differences)}"

    def __str__(self) -> str:
        north, east = "N" if self.latitude >= 0 else "S", "E" if self.longitude >= 0 else "W"
        height = "" if self.elevation is None else f", {self.elevation:g} m"
        return f"{abs(self.latitude):g} {north}, {abs(self.longitude):g} {east}, UTC{self.utc_offset:+g}{height}"


class SiteSettings(Settings):
    """Where on Earth the scenario plays: all that sees the sun or the clock takes it from here."""

    latitude: Latitude
    """Degrees north of the equator."""
    longitude: Longitude
    """Degrees east of Greenwich."""
    utc_offset: UtcOffset
    """Hours that local standard time, the scenario's clock, is ahead of UTC."""
    elevation: Elevation | None = None
    """Metres above the sea; none: as the weather states."""


class PlaceSettings(Settings):
    """Settings of a federate that stands at the scenario's place and may state it itself."""

    site: SkipJsonSchema[Site | None] = None
    """The scenario's place: its `site`, or the weather's own place. The wiring fills it in."""
    latitude: Latitude | None = None
    """Degrees north of the equator; none: the scenario's place. Another place than that is refused."""
    longitude: Longitude | None = None
    """Degrees east of Greenwich; none: the scenario's place."""
    utc_offset: UtcOffset | None = None
    """Hours that local standard time is ahead of UTC; none: the scenario's place."""

    def placed(self, source: str) -> Site | None:
        """The place that `source` stands at, by its own settings and the scenario's; None if something is missing."""
        stated = {name: value for name in NAMES if (value := getattr(self, name)) is not None}
        return completed(stated, self.site, source)


def needed(settings: PlaceSettings, name: str, why: str) -> Site:
    """The place of the federate `name`, which needs it because of `why`.

    Raises UnknownFactError if nobody states it.
    """
    site = settings.placed(f"'{name}'")
    if site is None:
        raise UnknownFactError("", f"{why}, and neither the weather nor the scenario states a place", ADD_SITE)
    return site


def completed(stated: Mapping[str, float], site: Site | None, source: str) -> Site | None:
    """The place that `source` states, `site` where it states nothing; None if neither knows all that is needed."""
    known = {} if site is None else {name: getattr(site, name) for name in (*NAMES, "elevation")}
    known |= stated
    if any(known.get(name) is None for name in NAMES):
        return None
    if not stated and site is not None:
        return site
    return Site(known["latitude"], known["longitude"], known["utc_offset"], known.get("elevation"), source)
