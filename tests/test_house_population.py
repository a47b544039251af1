"""The houses of `solvers/house_population.py` are GridLAB-D's: same parameters, same temperatures, same power."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pvlib
import pytest

from feeders.homes import PLUG_SHAPE, HomeDistributions, draw_homes
from solvers.house_population import Climate, Houses, cooling_performance, houses, mean_wall_irradiance, simulate

ROOT = Path(__file__).parents[1]
COUNT, HOURS = 28, 18
_GRIDLABD = f"""
import json, sys, numpy as np
from datetime import datetime, timedelta
from pathlib import Path
from feeders.glm import Clock, Site
from feeders.gridlabd_bare import hot_day
from feeders.homes import HomeDistributions, draw_homes
from feeders.homes_glm import place_homes
from feeders.neighbourhood import Neighbourhood, RunningNeighbourhood, all_available
from feeders.published_feeder import load_feeder
feeder, start = load_feeder("ieee13"), datetime(2014, 1, 16)
homes = draw_homes({COUNT}, HomeDistributions(ev_share=0, pv_share=0, water_heater_share=0), np.random.default_rng(1))
plan = Neighbourhood(feeder, homes, place_homes(feeder, {COUNT}))
clock = Clock(start, timedelta(hours={HOURS}), 60, timedelta(hours=1))
running = RunningNeighbourhood(plan, clock, Site(-37.81, 144.96, 10.0), Path(sys.argv[1]))
power, air, mass, read = [], [], [], running.engine.read_real
for k in range(60 * {HOURS}):
    moment = start + timedelta(minutes=k)
    out = running.step(moment, all_available({COUNT}, hot_day(moment)))
    power.append(out.hvac_power.tolist())
    air.append(out.home_temperature.tolist())
    mass.append(((read("house", "mass_temperature") - 32) / 1.8).tolist())
names = ("UA", "mass_heat_coeff", "mass_heat_capacity", "solar_heatgain_factor", "design_cooling_capacity",
         "fan_design_power")
read = {{name: read("house", name).tolist() for name in names}}
Path(sys.argv[1], "out.json").write_text(json.dumps(dict(power=power, air=air, mass=mass, **read)))
"""


def _homes() -> tuple[Houses, np.ndarray, np.ndarray]:
    distributions = HomeDistributions(ev_share=0, pv_share=0, water_heater_share=0)
    drawn = draw_homes(COUNT, distributions, np.random.default_rng(1))
    same = houses(
        drawn.floor_area,
        drawn.integrity,
        drawn.cooling,
        cop=drawn.cop,
        oversizing=drawn.oversizing,
        setpoint=drawn.cooling_setpoint,
        deadband=drawn.deadband,
    )
    hour = ((np.arange(60 * HOURS)[:, None] - drawn.schedule_skew / 60) // 60 % 24).astype(int)
    return same, np.array(PLUG_SHAPE)[hour] * drawn.plug_power * 0.9e3, drawn.cooling


def _climate() -> Climate:
    from feeders.gridlabd_bare import hot_day

    moments = pd.date_range("2014-01-16", periods=60 * HOURS, freq="min", tz="Etc/GMT-10")
    weather = [hot_day(moment) for moment in moments]
    elevation = np.radians(pvlib.solarposition.get_solarposition(moments, -37.81, 144.96).elevation.to_numpy())
    direct, diffuse = np.array([w.dni for w in weather]), np.array([w.dhi for w in weather])
    return Climate(
        np.array([w.temperature for w in weather]),
        mean_wall_irradiance(direct, diffuse, elevation),
        np.array([w.relative_humidity for w in weather]),
    )


@pytest.fixture(scope="module")
def gridlabd(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    """18 h of a 43 degC day in real GridLAB-D; it can be loaded once in a process, so in one of its own."""
    folder = tmp_path_factory.mktemp("gridlabd")
    subprocess.run([sys.executable, "-c", _GRIDLABD, str(folder)], cwd=ROOT, check=True, timeout=200)
    return {name: np.array(values) for name, values in json.loads((folder / "out.json").read_text()).items()}


def test_parameters_are_those_that_gridlabd_derives(gridlabd: dict[str, np.ndarray]) -> None:
    same, _, cooling = _homes()
    btu_h = 1055.05585262 / 3600
    assert same.conductance == pytest.approx(gridlabd["UA"] * btu_h * 1.8, rel=1e-6)
    assert same.coupling == pytest.approx(gridlabd["mass_heat_coeff"] * btu_h * 1.8, rel=1e-6)
    assert same.mass_capacity == pytest.approx(gridlabd["mass_heat_capacity"] * 1055.05585262 * 1.8, rel=1e-6)
    assert same.aperture == pytest.approx(gridlabd["solar_heatgain_factor"] * 0.3048**2, rel=1e-6)
    assert same.cooling_capacity == pytest.approx(gridlabd["design_cooling_capacity"] * btu_h, rel=1e-6)
    assert same.fan_power[cooling] == pytest.approx(gridlabd["fan_design_power"][cooling], rel=1e-6)


def test_a_hot_day_is_lived_as_in_gridlabd(gridlabd: dict[str, np.ndarray]) -> None:
    same, gains, cooling = _homes()
    power, air, mass = gridlabd["power"], gridlabd["air"], gridlabd["mass"]
    course = simulate(same, _climate(), gains, 60.0, air=air[0], mass=mass[0], cycling=True)
    assert course.cooling_power.sum() == pytest.approx(power.sum(), rel=0.005)
    ratio = course.cooling_power.sum(0)[cooling] / power.sum(0)[cooling]
    assert np.abs(ratio - 1).max() < 0.015  # each home's energy
    hourly, theirs = (p.mean(1).reshape(HOURS, 60).mean(1) for p in (course.cooling_power, power))
    assert np.abs(hourly - theirs).max() < 0.03 * theirs.max()
    # Homes without an air conditioner follow the weather alone.
    assert np.abs(course.air_temperature[:-1, ~cooling] - air[1:, ~cooling]).max() < 0.15


def test_the_mean_over_the_cycles_needs_no_cycles() -> None:
    same, gains, _ = _homes()
    climate = _climate()
    minutes = simulate(same, climate, gains, 60.0, cycling=True).cooling_power.sum() / 60
    ten = Climate(climate.temperature[::10], climate.irradiance[::10], climate.humidity[::10])
    smooth = simulate(same, ten, gains[::10], 600.0).cooling_power.sum() / 6
    assert smooth == pytest.approx(minutes, rel=0.03)


def test_heat_is_kept() -> None:
    """A house at rest with its surroundings stays; without inputs its heat decays to the outdoors' only."""
    same, _, _ = _homes()
    none = np.zeros((600, 1))
    still = simulate(same, Climate(np.full(600, 20.0), np.zeros(600), np.zeros(600)), none, 600.0)
    off = simulate(
        same,
        Climate(np.full(6000, 20.0), np.zeros(6000), np.zeros(6000)),
        np.zeros((6000, 1)),
        600.0,
        available=np.zeros((6000, COUNT), bool),
    )
    assert np.abs(off.air_temperature[-1] - 20).max() < 1e-3
    assert not off.cooling_power.any()
    assert (still.air_temperature <= same.setpoint + 1e-9).all()


def test_an_air_conditioner_is_rated_at_95_degf() -> None:
    capacity, power, sensible = cooling_performance(np.array([35.0]), np.array([0.4]))
    assert capacity == pytest.approx([1.0], abs=1e-4)
    assert power == pytest.approx([1.0], abs=1e-4)
    assert sensible == pytest.approx([0.8], abs=1e-3)  # 1 / (1.1 + 0.3 / 2)
