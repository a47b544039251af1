"""EV charging: the fit gives back what sessions were drawn from, and sessions like those held out."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cosim.calibrated import read_parameter_file
from feeders.ev_sessions import HomeSessions, Vehicles, home_sessions
from feeders.home_populations import CALIBRATED, charging_population
from solvers.ev_charging import (
    ChargingPopulation,
    Sessions,
    charging_profile,
    draw_chargers,
    draw_sessions,
    fit_population,
    is_weekend,
    ks_distance,
    stratified,
)

ROOT = Path(__file__).parents[1]
RECORDED = ROOT.parent / "shared" / "data" / "ev_residential_trondheim" / "Dataset_1_EV_charging_reports.csv"
recorded = pytest.mark.skipif(not RECORDED.exists(), reason="the recorded sessions are not beside the project")


@cache
def _shipped() -> ChargingPopulation:
    return charging_population(read_parameter_file(CALIBRATED / "trondheim_2019.yaml"))


def _drawn(count: int, days: int, seed: int = 1) -> tuple[Sessions, np.ndarray]:
    rng = np.random.default_rng(seed)
    chargers = draw_chargers(_shipped(), stratified(count, rng))
    sessions = draw_sessions(_shipped(), chargers, np.arange(-14, days), rng)
    return sessions.take(sessions.day >= 0), chargers.power


def test_sessions_of_a_charger_do_not_overlap_and_get_what_their_charger_gives() -> None:
    sessions, power = _drawn(200, 56)
    same = np.diff(sessions.charger) == 0
    assert (np.diff(sessions.start)[same] >= sessions.parking[:-1][same]).all()
    assert (sessions.energy <= power[sessions.charger] * sessions.parking + 1e-9).all()
    assert ((sessions.arrival >= 0) & (sessions.arrival < 24)).all()
    assert (sessions.parking >= 0).all()


def test_the_fit_gives_back_the_population_that_sessions_were_drawn_from() -> None:
    known = _shipped()
    sessions, _ = _drawn(100, 98)
    found = fit_population(sessions, np.ones((100, 98), dtype=bool))
    again, _ = _redrawn(found)
    for name, limit in (("arrival", 0.025), ("parking", 0.03), ("energy", 0.04)):
        assert ks_distance(getattr(again, name), getattr(sessions, name)) < limit
    assert found.weekend_use == pytest.approx(known.weekend_use, abs=0.05)
    assert found.own == pytest.approx(known.own, abs=0.15)


def _redrawn(population: ChargingPopulation) -> tuple[Sessions, np.ndarray]:
    rng = np.random.default_rng(5)
    chargers = draw_chargers(population, stratified(300, rng))
    sessions = draw_sessions(population, chargers, np.arange(-14, 70), rng)
    return sessions.take(sessions.day >= 0), chargers.power


def test_fewer_sessions_at_the_weekend() -> None:
    sessions, _ = _drawn(400, 70)
    weekend = is_weekend(sessions.day) == 1
    assert (weekend.sum() / 2) / ((~weekend).sum() / 5) == pytest.approx(_shipped().weekend_use, abs=0.06)


@recorded
def test_drawn_sessions_are_like_those_of_weeks_held_out() -> None:
    """ISO weeks divisible by four were not fitted to; 1.358 is the Kolmogorov distribution's 95th percentile."""
    table = pd.read_csv(RECORDED, sep=";", decimal=",")
    begin = pd.to_datetime(table.Start_plugin, format="%d.%m.%Y %H:%M")
    unseen = (table.User_type == "Private") & (table.Duration_hours > 0) & (begin.dt.isocalendar().week % 4 == 0)
    sessions, _ = _drawn(1000, 70)
    band = 1.358 * np.sqrt(1 / unseen.sum() + 1 / len(sessions))
    hour = (begin.dt.hour + begin.dt.minute / 60)[unseen].to_numpy()
    assert unseen.sum() > 1300
    assert ks_distance(sessions.arrival, hour) < band
    assert ks_distance(sessions.parking, table.Duration_hours[unseen].to_numpy()) < band
    assert ks_distance(sessions.energy, table.El_kWh[unseen].to_numpy()) < band


@recorded
@pytest.mark.long
def test_the_calibration_file_makes_the_shipped_parameters(tmp_path: Path) -> None:
    from runs.calibrate.data import read_tables
    from runs.calibrate.file import load_calibration
    from runs.calibrate.target import Task, target_class

    file = load_calibration(ROOT / "runs" / "calibrations" / "trondheim_ev.yaml")
    kind = target_class(file.target.kind)
    target = kind(kind.Config.model_validate(file.target.settings))
    task = Task(file, read_tables(file, kind.needs), tmp_path)
    assert not target.check(task)
    outcome = target.calibrate(task)
    shipped = read_parameter_file(CALIBRATED / "trondheim_2019.yaml")
    for name, parameter in outcome.parameters.items():
        assert parameter.array == pytest.approx(shipped.value(name), abs=2e-3), name
    scores = {(s.part, s.quantity, s.score): s for s in outcome.scores}
    for quantity in ("arrival hour", "parking time", "energy"):
        assert scores["held-out", quantity, "KS distance"].criteria[0].met
        assert scores["chargers not seen", quantity, "KS distance"].criteria[0].met
    assert abs(scores["held-out", "mean daily peak of a charger", "error"].value) < 10


def test_a_profile_holds_the_energy_of_its_sessions() -> None:
    sessions, power = _drawn(50, 28)
    profile = charging_profile(sessions, power, 40)
    assert profile.sum() == pytest.approx(sessions.energy.sum(), rel=1e-9)
    assert (profile <= power + 1e-9).all()
    assert charging_profile(sessions, power, 40, 0.25).sum() == pytest.approx(sessions.energy.sum(), rel=1e-9)


def test_ks_distance_counts_ties() -> None:
    # By hand: the steps are at 1 and 2; below 2 it is 2/3 against 1/3.
    assert ks_distance(np.array([1.0, 1.0, 2.0]), np.array([1.0, 2.0, 2.0])) == pytest.approx(1 / 3)


@pytest.fixture
def two() -> HomeSessions:
    """Home 0 charges 14.4 kWh from 1:00 to 9:00; home 1 came before the start and leaves at 0:30."""
    seconds = np.array([-3600, 3600]), np.array([1800, 9 * 3600])
    return HomeSessions(np.array([1, 0]), *seconds, np.array([50.0, 14.4]))


def test_vehicles_charge_from_arrival_until_they_are_full_or_leave(two: HomeSessions) -> None:
    vehicles = Vehicles(two, np.array([7.2, 3.6]), 0)
    yes = np.ones(2, dtype=bool)
    power = np.array([vehicles.power(60 * k, 60, yes) for k in range(600)])
    assert power[:, 0].sum() / 60 == pytest.approx(14.4)
    assert np.flatnonzero(power[:, 0] > 1e-9)[[0, -1]].tolist() == [60, 179]
    assert np.flatnonzero(power[:, 1] > 1e-9)[[0, -1]].tolist() == [0, 29]
    assert power[:, 1].max() == 3.6


def test_what_is_held_back_is_charged_while_the_vehicle_is_there(two: HomeSessions) -> None:
    vehicles = Vehicles(two, np.array([7.2, 3.6]), 0)
    power = np.array([vehicles.power(60 * k, 60, np.array([k >= 240, True])) for k in range(600)])
    assert np.flatnonzero(power[:, 0])[0] == 240
    assert power[:, 0].sum() / 60 == pytest.approx(14.4)


def test_home_sessions_begin_on_the_right_day_of_the_week() -> None:
    """More sessions a weekday than a Saturday or Sunday, whatever the weekday of the start."""
    rng = np.random.default_rng(2)
    chargers = draw_chargers(_shipped(), stratified(400, rng))
    start = datetime(2014, 1, 16, 6)  # a Thursday
    found = home_sessions(_shipped(), chargers, np.arange(400), start, timedelta(days=28), rng)
    assert (found.departure > 0).all()
    began = [(start + timedelta(seconds=int(s))).weekday() for s in found.arrival[found.arrival > 0]]
    count = np.bincount(began, minlength=7) / 4
    assert count[5:].mean() / count[:5].mean() == pytest.approx(_shipped().weekend_use, abs=0.1)
    assert (np.diff(found.arrival) >= 0).all()
