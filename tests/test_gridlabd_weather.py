"""The weather that ports bring acts in GridLAB-D as its own reader's does, and the sun stands where it should."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from gridlabd_alone import alone

from feeders.glm import WEATHER, Clock, Site
from feeders.gridlabd_engine import Engine
from feeders.homes import HomeDistributions, draw_homes
from feeders.homes_glm import SQUARE_FEET, home_object, place_homes
from feeders.neighbourhood import Neighbourhood, RunningNeighbourhood, Weather, all_available, climate_properties
from feeders.published_feeder import load_feeder

CLOCK = Clock(datetime(2014, 1, 16, 9), timedelta(hours=4), 60, timedelta(minutes=60))
MELBOURNE = Site(-37.81, 144.96, 10.0)
PHOENIX = Site(33.43, -112.02, -7.0)
HOMES = 10


def _weather(moment: datetime) -> Weather:
    """Another weather every hour: the finest that GridLAB-D's reader keeps apart."""
    k = (moment - CLOCK.start) // timedelta(hours=1)
    return Weather(30.0 + 3 * k, 0.5 - 0.05 * k, 2.0 + 0.5 * k, 500.0 + 60 * k, 600.0 + 30 * k, 120.0 + 6 * k)


def _plan() -> Neighbourhood:
    feeder = load_feeder("ieee13")
    # No air conditioners: a thermostat that switches a minute later for 1e-6 K would hide what is compared. No water
    # heaters: GridLAB-D alone knows nothing of the tanks, which warm the homes.
    shares = HomeDistributions(cooling_share=0.0, pv_share=1.0, battery_share=0.0, ev_share=0.0, water_heater_share=0.0)
    homes = draw_homes(HOMES, shares, np.random.default_rng(3))
    return Neighbourhood(feeder, homes, place_homes(feeder, HOMES))


def _by_ports(site: Site, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """(steps, homes) indoor temperature [degC] and PV power [kW] of four hours."""
    running = RunningNeighbourhood(_plan(), CLOCK, site, folder)
    found = []
    for k in range(240):
        moment = CLOCK.start + timedelta(minutes=k)
        found.append(running.step(moment, all_available(HOMES, _weather(moment))))
    return np.stack([o.home_temperature for o in found]), np.stack([o.pv_power for o in found])


def _by_reader(site: Site, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """The same, with the weather from a file that GridLAB-D reads itself."""
    rows = []
    moment = CLOCK.model_start - timedelta(hours=1)
    while moment <= CLOCK.start + timedelta(hours=5):
        # In the warm-up the ports bring the first weather.
        values = climate_properties(_weather(max(moment, CLOCK.start)))
        rows.append(f"{moment:%m:%d:%H:%M:%S}," + ",".join(f"{values[c]:.15g}" for c in _COLUMNS))
        moment += timedelta(hours=1)
    head = "temperature,humidity,wind_speed,solar_dir,solar_diff,solar_global"
    file = folder / "weather.csv"
    file.write_text(
        f"$lat_deg={site.latitude}\n$long_deg={site.solar_longitude}\n$timezone_offset=0\n{head}\n"
        + "\n".join(rows)
        + "\n"
    )
    text = _plan().glm(CLOCK, site)
    start = text.index("object climate {")
    end = text.index("}\n", start) + 2
    reader = f'object csv_reader {{\n  name reader;\n  filename "{file}";\n}}\n'
    climate = f'object climate {{\n  name {WEATHER};\n  tmyfile "{file}";\n  reader reader;\n}}\n'
    engine = Engine(text[:start] + reader + climate + text[end:], folder)
    temperature, power = [], []
    for k in range(-59, 240):
        engine.step_to(CLOCK.start + timedelta(minutes=k))
        if k >= 0:
            temperature.append((engine.read_real("house", "air_temperature") - 32) / 1.8)
            power.append(engine.read_complex("inverter", "VA_Out").real / 1e3)
    return np.stack(temperature), np.stack(power)


_COLUMNS = ("temperature", "humidity", "wind_speed", "solar_direct", "solar_diffuse", "solar_global")


def test_ports_bring_the_weather_as_gridlabds_own_reader_does(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("ports", "reader")]
    for folder in folders:
        folder.mkdir()
    temperature, power = alone(_by_ports, MELBOURNE, folders[0])
    native_temperature, native_power = alone(_by_reader, MELBOURNE, folders[1])
    assert np.abs(temperature - native_temperature).max() < 1e-6
    assert np.abs(power - native_power).max() < 2e-3
    assert power.max() > 1.0


def _sun(site: Site, hours: list[float], weather: Weather, folder: Path) -> np.ndarray:
    """(hours, 6) irradiance [W/m2] on the horizontal, on walls N, E, S, W, and on the first roof."""
    engine = Engine(_plan().glm(Clock(datetime(2014, 1, 16), timedelta(days=1), 60), site), folder)
    found = []
    for hour in hours:
        for name, value in climate_properties(weather).items():
            engine.write(WEATHER, name, value)
        engine.step_to(datetime(2014, 1, 16) + timedelta(hours=hour))
        walls = [engine.read(WEATHER, f"solar_{w}").real for w in ("horiz", "north", "east", "south", "west")]
        found.append([*walls, engine.read(home_object("pv", 0), "Insolation").real])
    return np.array(found) * SQUARE_FEET


@pytest.mark.parametrize("site", [MELBOURNE, PHOENIX], ids=["south", "north"])
def test_the_sun_is_where_pvlib_sees_it(site: Site, tmp_path: Path) -> None:
    """Irradiance on walls and roof against pvlib's transposition, in both hemispheres."""
    pd = pytest.importorskip("pandas")
    pvlib = pytest.importorskip("pvlib")
    hours = [9.0, 11.0, 13.0, 15.0]
    dni, dhi, ghi = 800.0, 100.0, 600.0
    found = alone(_sun, site, hours, Weather(30.0, 0.3, 2.0, ghi, dni, dhi), tmp_path)
    times = pd.DatetimeIndex([datetime(2014, 1, 16) + timedelta(hours=h) for h in hours])
    utc = times.tz_localize("UTC") - pd.Timedelta(hours=site.utc_offset)
    sun = pvlib.solarposition.get_solarposition(utc, site.latitude, site.longitude)

    def plane(tilt: float, azimuth: float) -> np.ndarray:
        total = pvlib.irradiance.get_total_irradiance(
            tilt, azimuth, sun.zenith, sun.azimuth, dni, ghi, dhi, albedo=0.3, model="isotropic"
        )
        return np.asarray(total.poa_global)

    homes = _plan().homes
    equator = 0.0 if site.latitude < 0 else 180.0
    west = -1.0 if site.latitude < 0 else 1.0
    roof = plane(homes.pv_tilt[0], (equator + west * homes.pv_azimuth[0]) % 360)
    horizontal = dni * np.cos(np.deg2rad(sun.zenith)) + dhi
    walls = [plane(90.0, azimuth) for azimuth in (0.0, 90.0, 180.0, 270.0)]
    # GridLAB-D gives walls the whole diffuse sky and no ground; pvlib half of the sky and the ground: 90 W/m2
    # of ground less 50 W/m2 of sky apart. Roofs differ by the diffuse model (Perez there): 8 %.
    assert found[:, 0] == pytest.approx(np.asarray(horizontal), abs=10)
    for column, wall in enumerate(walls, start=1):
        assert np.abs(found[:, column] - wall).max() < 55
    assert found[:, 5] == pytest.approx(roof, rel=0.08)
