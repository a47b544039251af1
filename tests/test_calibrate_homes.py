"""House populations: what is drawn from calibrated parameters, against measured homes and against GridLAB-D."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import cosim
from cosim.calibrated import ParameterFile, read_parameter_file
from cosim.contract import Context
from cosim.seeds import generator
from federates.gridlabd_feeder import GridlabdFeeder, Homes
from feeders.home_populations import CALIBRATED, charging_population, distributions_of
from feeders.homes import PLUG_SHAPE, HomeDistributions, HomesError, draw_homes, normal_quantile, plug_power
from feeders.thermal_homes import houses_of
from runs.calibrate.data import read_table, read_tables
from runs.calibrate.file import CalibrationFile, load_calibration
from runs.calibrate.target import Table, Task, target_class
from runs.calibrate.targets.house_population import HousePopulation, climate_of_days, simulate_homes
from solvers.diurnal_temperature import BELOW_HIGH, temperature_between_extremes
from solvers.house_population import Climate, simulate

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared" / "data"
LOADS = SHARED / "fontana_17homes_2016_17" / "homes_load_hourly.csv"
WEATHER = ROOT / "feeders" / "tables" / "daily_weather" / "riverside_2017.csv"
measured_homes = pytest.mark.skipif(not LOADS.exists(), reason="the measured homes are not beside the project")
GENERATION = ("home12_kWh", "home15_kWh")


def _fontana() -> ParameterFile:
    return read_parameter_file(CALIBRATED / "fontana_june_2017.yaml")


def _measured(first: str, last: str, *, without: tuple[str, ...] = GENERATION) -> np.ndarray:
    """(hours, homes) [kW]"""
    table = pd.read_csv(LOADS, index_col=0, parse_dates=[0])
    homes = [name for name in table if name.startswith("home") and name not in without]
    values: np.ndarray = table.loc[first:last, homes].to_numpy()
    return values


def _calibration() -> tuple[CalibrationFile, HousePopulation]:
    file = load_calibration(ROOT / "runs" / "calibrations" / "fontana_homes.yaml")
    return file, HousePopulation(HousePopulation.Config.model_validate(file.target.settings))


def _climate() -> tuple[Climate, np.ndarray]:
    """June and July at Riverside, half-hourly, and its hours by the clock of Pacific daylight time."""
    table = pd.read_csv(WEATHER, comment="#", index_col=0, parse_dates=[0])
    utc = table.index.to_numpy("datetime64[s]") + np.timedelta64(8, "h")
    columns = {name.rsplit("_", 1 if "degC" in name else 2)[0]: table[name].to_numpy(float) for name in table}
    weather = Table("weather", utc, utc, utc, columns)
    wall = utc[0] - np.timedelta64(7, "h") + np.arange(24 * len(utc)) * np.timedelta64(3600, "s")
    return climate_of_days(weather, 34.1, -117.43), wall


def _drawn(first: str, last: str) -> tuple[np.ndarray, np.ndarray]:
    """(hours, homes) [kW] of a hundred homes of the shipped population, and the hours by the wall clock."""
    climate, wall = _climate()
    settings = distributions_of(_fontana(), {"ev_share": 0.0, "pv_share": 0.0})
    day = wall.astype("datetime64[D]")
    chosen = (day >= np.datetime64(first)) & (day <= np.datetime64(last))
    return simulate_homes(settings, 100, climate, wall, 2017)[chosen], wall[chosen]


def test_highs_and_lows_are_those_that_the_weather_service_gave_to_newspapers() -> None:
    """104 degF on 20 June (The Press-Enterprise of that day), 108 degF on 8 July (Pasadena Star-News of that day)."""
    table = pd.read_csv(WEATHER, comment="#", index_col=0)
    assert table.loc["2017-06-20", "high_degC"] == pytest.approx((104 - 32) / 1.8, abs=0.06)
    assert table.loc["2017-07-08", "high_degC"] == pytest.approx((108 - 32) / 1.8, abs=0.06)
    assert (table["low_degC"] < table["high_degC"]).all()
    assert (table["dew_point_degC"] < table["high_degC"]).all()


def test_the_shape_of_a_day_has_the_mean_that_was_measured() -> None:
    """CIMIS station 44 (U.C. Riverside), June 2017: highs 31.57, lows 15.83, daily means 23.04 degC on average."""
    low, high = np.full(30, 15.83), np.full(30, 31.57)
    course = temperature_between_extremes(low, high, np.arange(0, 720, 0.5))
    assert course.mean() == pytest.approx(23.04, abs=0.3)


def test_temperature_meets_each_low_and_high_and_never_jumps() -> None:
    low, high = np.array([15.0, 20.0, 12.0]), np.array([30.0, 40.0, 25.0])
    hours = np.arange(0, 72, 0.25)
    course = temperature_between_extremes(low, high, hours)
    assert course[hours % 24 == 5].tolist() == low.tolist()
    assert course[hours % 24 == 14.5].tolist() == high.tolist()
    assert np.abs(np.diff(course)).max() < 0.25 * np.abs(np.diff(BELOW_HIGH)).max() * 28 + 1e-9


@measured_homes
def test_two_columns_of_the_measured_homes_are_generation() -> None:
    """They are zero at night in every month: why the calibration leaves them out."""
    table = pd.read_csv(LOADS, index_col=0, parse_dates=[0])
    night = table[table.index.hour.isin([22, 23, 0, 1, 2, 3, 4])].filter(like="kWh").median()
    assert set(night[night < 0.01].index) == set(GENERATION)


@measured_homes
def test_the_heat_wave_of_july_is_predicted_from_june() -> None:
    """7 to 10 July 2017, never fitted to; the fifteen columns that are loads."""
    drawn, wall = _drawn("2017-07-07", "2017-07-10")
    measured = _measured("2017-07-07", "2017-07-10")
    model, mean = drawn.mean(axis=1), measured.mean(axis=1)
    assert model.max() == pytest.approx(mean.max(), rel=0.10)
    for day, (mine, theirs) in enumerate(zip(model.reshape(4, 24), mean.reshape(4, 24), strict=True)):
        assert mine.sum() == pytest.approx(theirs.sum(), rel=0.07), day
    days = [v.reshape(4, 24).mean(axis=0) for v in (model, mean)]
    assert abs(int(days[0].argmax()) - int(days[1].argmax())) <= 1
    assert days[0].max() == pytest.approx(days[1].max(), rel=0.10)
    # Not met: the highest hour of all four days, 17:00 for 15:00.
    assert [int(wall[v.argmax()].astype("datetime64[h]").astype(int) % 24) for v in (model, mean)] == [17, 15]
    # Single homes: fifteen tell a standard deviation to a factor of 0.73 to 1.58 (chi square, 95 %).
    level = [h.mean(axis=0) for h in (drawn, measured)]
    assert 0.73 < np.std(level[0], ddof=1) / np.std(level[1], ddof=1) < 1.58
    assert np.mean((level[0] >= level[1].min()) & (level[0] <= level[1].max())) > 0.8


@measured_homes
def test_the_shipped_population_has_the_scores_that_it_states() -> None:
    """To 0.05 % of what they were when the population was fitted: the homes' model has changed a little since."""
    stated = {(s.part, s.quantity, s.score): s.value for s in _fontana().provenance.scores}
    drawn = _drawn("2017-07-07", "2017-07-10")[0].mean(axis=1)
    measured = _measured("2017-07-07", "2017-07-10").mean(axis=1)
    part = "heat wave"
    assert stated[part, "mean power of a home", "peak error"] == pytest.approx(
        100 * (drawn.max() / measured.max() - 1), abs=0.05
    )
    assert stated[part, "energy of a day", "mean error"] == pytest.approx(
        100 * np.mean(drawn.reshape(4, 24).sum(axis=1) / measured.reshape(4, 24).sum(axis=1) - 1), abs=0.05
    )


@measured_homes
@pytest.mark.long
@pytest.mark.timeout(600)
def test_the_shipped_calibration_finds_the_shipped_population(tmp_path: Path) -> None:
    file, target = _calibration()
    task = Task(file, read_tables(file, target.needs), tmp_path)
    assert not target.check(task)
    outcome = target.calibrate(task)
    for name, parameter in _fontana().parameters.items():
        assert np.asarray(outcome.parameters[name].value) == pytest.approx(np.asarray(parameter.value), rel=0.02), name


_GRIDLABD = """
import json, sys, numpy as np
from datetime import datetime, timedelta
from pathlib import Path
from cosim.calibrated import read_parameter_file
from feeders.glm import Clock, Site
from feeders.home_populations import CALIBRATED, distributions_of, drawn_days
from feeders.homes import draw_homes
from feeders.homes_glm import place_homes
from feeders.neighbourhood import Neighbourhood, RunningNeighbourhood, Weather, all_available
from feeders.published_feeder import load_feeder
folder = Path(sys.argv[1])
given = json.loads((folder / "weather.json").read_text())
settings = distributions_of(read_parameter_file(CALIBRATED / "fontana_june_2017.yaml"), dict(ev_share=0, pv_share=0))
homes = draw_homes(30, settings, np.random.default_rng(1), stratified=True)
feeder, start = load_feeder("ieee13"), datetime(2017, 7, 7)
clock = Clock(start, timedelta(hours=24), 300, timedelta(hours=1))
homes, days = drawn_days(homes, settings, None, clock, lambda what: np.random.default_rng(2))
plan = Neighbourhood(feeder, homes, place_homes(feeder, 30), "none", days)
running = RunningNeighbourhood(plan, clock, Site(34.1, -117.43, -7.0), folder)
out = dict(hvac=[], plugs=days.plug_power.tolist(), home=[], air=[], mass=[])
for k in range(288):
    weather = Weather(given["temperature"][k // 6], 0.35, 2.0, 0.0, given["dni"][k // 6], given["dhi"][k // 6])
    step = running.step(start + timedelta(minutes=5 * k), all_available(30, weather))
    out["hvac"].append(step.hvac_power.tolist())
    out["home"].append(step.home_power.tolist())
    out["air"].append(step.home_temperature.tolist())
    if not k:
        out["mass"] = ((running.engine.read_real("house", "mass_temperature") - 32) / 1.8).tolist()
(folder / "out.json").write_text(json.dumps(out))
"""


def test_calibrated_homes_live_in_gridlabd_as_in_the_fit(tmp_path: Path) -> None:
    """Envelope, thermal mass, shading, capacity and each hour's plugs reach GridLAB-D."""
    climate, wall = _climate()
    began = 2 * int(np.flatnonzero(wall == np.datetime64("2017-07-07"))[0])
    day = slice(began, began + 48)
    direct, diffuse = np.zeros(48), climate.irradiance[day]  # without a beam both see the same on every wall
    given = {"temperature": climate.temperature[day].tolist(), "dni": direct.tolist(), "dhi": diffuse.tolist()}
    (tmp_path / "weather.json").write_text(json.dumps(given))
    subprocess.run([sys.executable, "-c", _GRIDLABD, str(tmp_path)], cwd=ROOT, check=True, timeout=200)
    theirs = {name: np.array(v) for name, v in json.loads((tmp_path / "out.json").read_text()).items()}
    settings = distributions_of(_fontana(), {"ev_share": 0.0, "pv_share": 0.0})
    homes = draw_homes(30, settings, np.random.default_rng(1), stratified=True)
    gains = np.repeat(theirs["plugs"][1:25], 12, axis=0) * 0.9e3
    fine = Climate(*(np.repeat(v, 6) for v in (climate.temperature[day], diffuse, np.full(48, 0.35))))
    course = simulate(houses_of(homes), fine, gains, 300.0, air=theirs["air"][0], mass=theirs["mass"], cycling=True)
    assert course.cooling_power.sum() == pytest.approx(theirs["hvac"].sum(), rel=0.02)
    rest = theirs["home"] - theirs["hvac"]  # plugs, at the voltage of the service
    assert rest.mean(axis=1).reshape(24, 12)[:, 6] == pytest.approx(theirs["plugs"][1:25].mean(axis=1), rel=0.06)


def test_a_scenario_takes_the_population_and_its_own_settings_win() -> None:
    given = Homes.model_validate({"count": 60, "population": "fontana_june_2017", "cop_mean": 3.0})
    config = GridlabdFeeder.Config(feeder="ieee13", homes=given, latitude=-37.81, longitude=144.96, utc_offset=10)
    context = Context("oak", 1, datetime(2014, 1, 16), 3600 * 10**9, 60 * 10**9)
    plan = GridlabdFeeder(config, context)._plan
    assert plan is not None
    file = _fontana()
    assert plan.homes.cop.mean() == pytest.approx(3.0, abs=0.02)
    assert np.median(plan.homes.envelope) == pytest.approx(float(file.value("envelope")), rel=0.02)
    assert not plan.homes.water_power.any()
    assert plan.days.plug_power is not None
    assert plan.days.plug_power.shape[1] == 60


def test_without_a_population_nothing_changes() -> None:
    """A home's properties are quantiles of the numbers that they were before there were calibrated populations."""
    homes = draw_homes(3, HomeDistributions(), generator(2014, "oak", "homes"))
    numbers = generator(2014, "oak", "homes").random((3, 24))
    assert homes.floor_area.tolist() == (170.0 * np.exp(0.30 * normal_quantile(numbers[:, 6]))).tolist()
    assert (homes.ev_power > 0).tolist() == (numbers[:, 2] < 0.3).tolist()
    assert homes.envelope.tolist() == [1.0, 1.0, 1.0]
    assert not homes.cooling_capacity.any()


def test_stratified_homes_have_the_means_of_their_population() -> None:
    settings = HomeDistributions(envelope=0.9, envelope_spread=0.3, cooling_setpoint_spread=2.0)
    homes = draw_homes(100, settings, np.random.default_rng(1), stratified=True)
    assert np.median(homes.envelope) == pytest.approx(0.9, rel=0.02)
    assert homes.cooling_setpoint.mean() == pytest.approx(24.0, abs=0.1)
    assert (homes.ev_power > 0).sum() == 30


def test_plugs_keep_their_mean_and_deviate_as_stated() -> None:
    settings = HomeDistributions(plug_noise=0.6, plug_noise_correlation=0.5)
    homes = draw_homes(120, settings, np.random.default_rng(1))
    power = plug_power(homes, settings, datetime(2014, 1, 16), 24 * 28, np.random.default_rng(2))
    still = plug_power(homes, HomeDistributions(), datetime(2014, 1, 16), 24 * 28, np.random.default_rng(2))
    assert power.mean() == pytest.approx(still.mean(), rel=0.015)
    score = np.log(power / still)
    assert score.std() == pytest.approx(0.6, rel=0.02)
    assert np.corrcoef(score[:-1].ravel(), score[1:].ravel())[0, 1] == pytest.approx(0.5, abs=0.02)


def test_plugs_follow_the_clock_the_weekend_and_the_homes_skew() -> None:
    from dataclasses import replace

    peak = tuple(24.0 if hour == 18 else 0.0 for hour in range(24))
    settings = HomeDistributions(plug_shape=peak, plug_weekend_shape=PLUG_SHAPE)
    homes = replace(draw_homes(2, settings, np.random.default_rng(1)), schedule_skew=np.array([0.0, 3600.0]))
    power = plug_power(homes, settings, datetime(2014, 1, 17, 12), 24, np.random.default_rng(2))  # a Friday
    assert np.flatnonzero(power[:12, 0]).tolist() == [6]
    assert np.flatnonzero(power[:12, 1]).tolist() == [7]
    assert (power[12:] > 0).all()  # Saturday


def test_a_population_that_homes_are_not_drawn_from_is_named() -> None:
    file = _fontana()
    wrong = file.model_copy(update={"parameters": {**file.parameters, "colour": file.parameters["envelope"]}})
    with pytest.raises(HomesError, match="colour"):
        distributions_of(wrong, {})
    with pytest.raises(HomesError, match="has cooling_capacity"):
        charging_population(file)


def test_a_wrong_kind_of_population_is_refused() -> None:
    with pytest.raises(ValueError, match="house_population is needed"):
        Homes.model_validate({"population": "trondheim_2019"})


def test_the_default_scenario_runs_with_calibrated_populations() -> None:
    scenario = cosim.load(ROOT / "runs" / "scenarios" / "heat_wave_neighbourhood.yaml")
    homes = scenario.model_dump(mode="json")["feeders"][0]["model"]["homes"]
    assert Path(homes["population"]).stem == "fontana_june_2017"
    assert Path(homes["ev_population"]).stem == "trondheim_2019"


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_population_is_found_again_from_what_its_homes_drew(tmp_path: Path) -> None:
    """Forty drawn homes with noise as measured ones: the held-out mean and the parameters that count come back."""
    days = np.arange("2017-05-29", "2017-07-13", dtype="datetime64[D]")
    utc = np.arange("2017-05-29T08", "2017-07-12T08", dtype="datetime64[h]")
    low = 16 + np.random.default_rng(3).normal(0, 3.5, len(days))
    weather = {
        "day": days.astype(str),
        "low": low,
        "high": low + 17,
        "dew": low - 2,
        "sun": 290 + np.arange(len(days)) % 2,
    }
    pd.DataFrame(weather).to_csv(tmp_path / "weather.csv", index=False)
    known = {
        "envelope": 0.8,
        "thermal_mass": 2.0,  # what the priors hold likely: the intervals are worth no more than they
        "cooling_setpoint_mean": 24.5,
        "cooling_setpoint_spread": 2.2,
        "plug_noise": 0.5,
    }
    blank = np.linspace(0.5, 1.0, len(utc))
    file = _written(tmp_path, "homes.csv", {"t": utc.astype(str)} | {f"h{k}": blank for k in range(40)})
    kind = target_class("house_population")
    target = kind(kind.Config.model_validate(file.target.settings))
    climate = climate_of_days(read_table(file.data_file("weather"), kind.needs[1]), 34.1, -117.43)
    settings = distributions_of(_fontana(), {**known, "ev_share": 0.0, "pv_share": 0.0})
    wall = np.asarray(utc - np.timedelta64(7, "h"), dtype="datetime64[s]")
    steps = 2 * len(utc)
    climate = Climate(climate.temperature[:steps], climate.irradiance[:steps], climate.humidity[:steps])
    drawn = simulate_homes(settings, 40, climate, wall, 11)
    file = _written(tmp_path, "homes.csv", {"t": utc.astype(str)} | {f"h{k}": drawn[:, k] for k in range(40)})
    outcome = target.calibrate(Task(file, read_tables(file, kind.needs), tmp_path))
    scores = {(s.part, s.quantity, s.score): s.value for s in outcome.scores}
    assert scores["held-out", "mean power of a home", "CV(RMSE)"] < 10
    assert abs(scores["held-out", "energy of a day", "mean error"]) < 4
    assert 60 < scores["held-out", "single homes", "spread of mean power over the measured spread"] < 160
    for name in ("envelope", "cooling_setpoint_mean"):
        interval = outcome.parameters[name].interval
        assert interval is not None
        low, high = (np.asarray(end).item() for end in interval)
        # One set of homes, whose shading lies off its prior: within twice the width of the 95 % interval.
        assert known[name] == pytest.approx((low + high) / 2, abs=high - low), name


def _written(folder: Path, name: str, columns: Mapping[str, Any]) -> CalibrationFile:
    """The calibration of made-up homes, with their loads."""
    pd.DataFrame(columns).to_csv(folder / name, index=False)
    homes = "\n".join(f"      home{k:02d}: {{column: h{k}, unit: kWh}}" for k in range(40))
    (folder / "file.yaml").write_text(f"""
name: made_up
data:
  - name: homes
    file: homes.csv
    source: a simulation
    licence: none
    time: {{column: t, zone: UTC, local: "-07:00"}}
    columns:
{homes}
  - name: weather
    file: weather.csv
    source: made up
    licence: none
    time: {{column: day, zone: "-08:00", local: "-07:00"}}
    columns:
      low: {{column: low, unit: degC}}
      high: {{column: high, unit: degC}}
      dew_point: {{column: dew, unit: degC}}
      radiation: {{column: sun, unit: W/m2}}
split: {{fit: [[2017-06-01, 2017-06-30]], held_out: [[2017-07-01, 2017-07-11]]}}
target:
  kind: house_population
  latitude: 34.1
  longitude: -117.43
  fixed: {{floor_area_median: 180, floor_area_spread: 0.25, cooling_share: 1.0, cop_mean: 3.8, cop_spread: 0.4,
           envelope_spread: 0.2, cooling_capacity_spread: 0.2}}
""")
    return load_calibration(folder / "file.yaml")
