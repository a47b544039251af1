"""The sun of the scenario's place, worked out apart from the models that see it, and what they say held against it.

A wrong place, clock or unit of an angle leaves all balances whole; the sun shows it: power from it at night, or another
height of it than there is over the place.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosim.check import Check
from cosim.port_statements import where
from cosim.site import Site
from cosim.units import format_duration

#: [deg] Lower than this, the end of astronomical twilight, there is no light of the sun at all. Between two rows of a
#: table of hours that are linear in between light reaches into the night, but no deeper than that.
NIGHT = -18.0
#: [deg] How far a model's sun may be from it. GridLAB-D's declination (Cooper, Solar Energy 12, 1969) is off by up
#: to a degree about the equinoxes, its equation of time by a quarter; refraction lifts the sun by half of one.
APART = 2.0
_WRONG = "The place or the clock of the federate is not the scenario's: do not use its results."
_J2000 = np.datetime64("2000-01-01T12:00", "ns")


def elevation(times: NDArray[np.int64], start: datetime, site: Site) -> NDArray[np.float64]:
    """Height (n) of the sun above the horizon [deg] at `times` (n) [ns] after `start`, in the place's standard time.

    The Astronomical Almanac's formulas of low precision, good to 0.01 deg from 1950 to 2050, without refraction
    (J. J. Michalsky, Solar Energy 40, 1988, doi:10.1016/0038-092X(88)90045-X).
    """
    local = np.datetime64(start, "ns") + times.astype("timedelta64[ns]")
    days = (local - _J2000) / np.timedelta64(1, "D") - site.utc_offset / 24
    mean_longitude = 280.460 + 0.9856474 * days
    anomaly = np.deg2rad(357.528 + 0.9856003 * days)
    longitude = np.deg2rad(mean_longitude + 1.915 * np.sin(anomaly) + 0.020 * np.sin(2 * anomaly))
    obliquity = np.deg2rad(23.439 - 4e-7 * days)
    right_ascension = np.arctan2(np.cos(obliquity) * np.sin(longitude), np.cos(longitude))
    declination = np.arcsin(np.sin(obliquity) * np.sin(longitude))
    sidereal = np.deg2rad((6.697375 + 0.0657098242 * days + (days + 0.5) % 1.0 * 24.0) * 15.0 + site.longitude)
    hour_angle, latitude = sidereal - right_ascension, np.deg2rad(site.latitude)
    sine = np.sin(declination) * np.sin(latitude) + np.cos(declination) * np.cos(latitude) * np.cos(hour_angle)
    height: NDArray[np.float64] = np.rad2deg(np.arcsin(np.clip(sine, -1.0, 1.0)))
    return height


def check_sun(group: Mapping[str, Any], name: str, start: datetime, site: Site | None) -> Iterator[Check]:
    """What a federate says of the sun against that over the scenario's place. Raises ResultsError."""
    seeing = {key: array for key, array in group.items() if "sun" in array.attributes}
    if not seeing or site is None:
        return
    times = group["time"][...]
    there = elevation(times, start, site)
    for key, array in seeing.items():
        values = array[...][: len(times)]
        high = there.reshape(-1, *[1] * (values.ndim - 1))
        seen = array.attributes["sun"] == "elevation"
        wrong = np.abs(values - high) if seen else np.where(high < NIGHT, np.abs(values), 0.0)
        title = f"sun in {key.replace('_', ' ')} of {name}"
        beyond = ~(wrong <= (APART if seen else 0.0))
        if not beyond.any():
            most = f"at most {wrong.max():.2g} deg from the sun's height" if seen else "nothing at night"
            yield Check(name=title, passed=True, detail=f"{most} at {site}", federate=name)
            continue
        place = np.unravel_index(int(np.where(beyond, np.nan_to_num(wrong, nan=np.inf), -1.0).argmax()), values.shape)
        time, unit = int(times[place[0]]), array.attributes["units"]
        steps = int(beyond.reshape(len(times), -1).any(axis=1).sum())
        detail = (
            f"{values[place]:.4g} {unit}{where(group, array, place[1:])} at {format_duration(time)}, when the sun is "
            f"{there[place[0]]:.1f} deg high at {site}; so in {steps} of {len(times)} steps"
        )
        yield Check(name=title, passed=False, detail=detail, federate=name, time=time, remedy=_WRONG)
