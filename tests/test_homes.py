"""Homes are drawn as stated: shares, means, ranges, and how draws relate to each other."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feeders.homes import (
    PLUG_SHAPE,
    WATER_SHAPE,
    HomeDistributions,
    HomesError,
    charge,
    draw_homes,
    needed_after,
    needed_at_start,
    normal_quantile,
    plugged_in,
    self_consumption,
    spread_evenly,
)

MANY = draw_homes(4000, HomeDistributions(), np.random.default_rng(7))


def test_shares_and_means_are_those_stated() -> None:
    d = HomeDistributions()
    assert MANY.cooling.mean() == pytest.approx(d.cooling_share, abs=0.02)
    assert (MANY.water_power > 0).mean() == pytest.approx(d.water_heater_share, abs=0.03)
    assert (MANY.ev_power > 0).mean() == pytest.approx(d.ev_share, abs=0.03)
    assert (MANY.pv_power > 0).mean() == pytest.approx(d.pv_share, abs=0.03)
    assert (MANY.battery_power > 0).sum() / (MANY.pv_power > 0).sum() == pytest.approx(d.battery_share, abs=0.05)
    assert MANY.cooling_setpoint.mean() == pytest.approx(d.cooling_setpoint_mean, abs=0.1)
    assert MANY.cooling_setpoint.std() == pytest.approx(d.cooling_setpoint_spread, rel=0.05)
    assert np.median(MANY.floor_area) == pytest.approx(d.floor_area_median, rel=0.03)
    assert np.log(MANY.floor_area).std() == pytest.approx(d.floor_area_spread, rel=0.05)
    assert np.median(MANY.ev_energy) == pytest.approx(d.ev_energy_median, rel=0.05)
    weights = np.array(d.integrity_weights) / sum(d.integrity_weights)
    assert np.bincount(MANY.integrity, minlength=7) / len(MANY) == pytest.approx(weights, abs=0.02)


def test_indoor_temperatures_start_anywhere_in_the_deadband() -> None:
    position = (MANY.temperature - MANY.cooling_setpoint) / MANY.deadband
    assert np.abs(position).max() <= 0.5
    assert np.histogram(position, bins=10, range=(-0.5, 0.5))[0].min() > 300  # uniform: 400 each


def test_batteries_need_pv_and_what_is_absent_has_no_power() -> None:
    assert not (MANY.battery_power[MANY.pv_power == 0]).any()
    assert not MANY.battery_energy[MANY.battery_power == 0].any()


def test_shapes_have_mean_one() -> None:
    assert np.mean(PLUG_SHAPE) == pytest.approx(1, abs=0.005)
    assert np.mean(WATER_SHAPE) == pytest.approx(1, abs=0.005)


@settings(max_examples=20)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32))
def test_the_first_homes_stay_when_more_are_drawn(few: int, more: int, seed: int) -> None:
    a = draw_homes(few, HomeDistributions(), np.random.default_rng(seed))
    b = draw_homes(few + more, HomeDistributions(), np.random.default_rng(seed))
    for field in fields(a):
        assert np.array_equal(getattr(a, field.name), getattr(b, field.name)[:few])


@settings(max_examples=20)
@given(st.floats(0, 1), st.floats(0, 1), st.integers(0, 2**32))
def test_a_larger_share_keeps_the_owners_and_all_else(one: float, other: float, seed: int) -> None:
    low, high = sorted((one, other))
    a = draw_homes(30, HomeDistributions(ev_share=low), np.random.default_rng(seed))
    b = draw_homes(30, HomeDistributions(ev_share=high), np.random.default_rng(seed))
    assert not ((a.ev_power > 0) & ~(b.ev_power > 0)).any()
    for field in fields(a):
        if field.name != "ev_power":
            assert np.array_equal(getattr(a, field.name), getattr(b, field.name))


@given(st.integers(0, 2**32))
def test_homes_stay_in_range(seed: int) -> None:
    homes = draw_homes(20, HomeDistributions(), np.random.default_rng(seed))
    for field in fields(homes):
        assert np.isfinite(getattr(homes, field.name)).all()
    assert (homes.cooling_setpoint >= homes.heating_setpoint + 2 * homes.deadband).all()
    assert (homes.schedule_skew % 60 == 0).all()
    assert ((homes.battery_charge >= 0) & (homes.battery_charge <= 1)).all()


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"ev_share": 1.1}, "ev_share"),
        ({"floor_area_median": -1.0}, "floor_area_median"),
        ({"water_power": float("nan")}, "water_power"),
        ({"integrity_weights": (1.0, 2.0)}, "integrity_weights"),
        ({"heating_setpoint": 23.0}, "heating_setpoint"),
        ({"pv_power_max": 1.0}, "pv_power_max"),
    ],
)
def test_bad_parameters_are_named(change: dict[str, float], word: str) -> None:
    with pytest.raises(HomesError, match=word):
        replace(HomeDistributions(), **change)  # type: ignore[arg-type]


def test_no_homes_is_an_error() -> None:
    with pytest.raises(HomesError, match="at least 1"):
        draw_homes(0, HomeDistributions(), np.random.default_rng(1))


def test_normal_quantile_known_values() -> None:
    # Abramowitz and Stegun, table 26.5.
    assert normal_quantile(np.array([0.5, 0.975, 0.025])) == pytest.approx([0, 1.959964, -1.959964], abs=1e-6)


def _vehicles(hours: float, hour: float, allowed: bool) -> tuple[np.ndarray, np.ndarray]:
    """Need [kWh] and energy charged [kWh] after `hours` of minutes from `hour`, all chargers alike."""
    needed, total = needed_at_start(MANY, hour), np.zeros(len(MANY))
    for minute in range(round(hours * 60)):
        now = (hour + minute / 60) % 24
        power = charge(MANY, needed, now, 1 / 60, np.full(len(MANY), allowed))
        assert (power <= MANY.ev_power).all()
        assert not power[~plugged_in(MANY, now)].any()
        needed, _ = needed_after(MANY, needed, power, now, 1 / 60)
        total += power / 60
    return needed, total


def test_a_day_charges_what_a_day_drives() -> None:
    start = needed_at_start(MANY, 0.0)
    needed, total = _vehicles(24, 0.0, True)
    owner = MANY.ev_power > 0
    assert total[owner] == pytest.approx((start + MANY.ev_energy - needed)[owner], abs=1e-9)
    assert not total[~owner].any()
    # 7.2 kW fills 10.8 kWh in 1.5 h of the 13 h that a car stays.
    assert needed[owner].mean() < start[owner].mean() + 0.5


def test_what_is_not_charged_is_charged_later() -> None:
    blocked, nothing = _vehicles(6, 16.0, False)
    assert not nothing.any()
    free, charged = _vehicles(6, 16.0, True)
    owner = MANY.ev_power > 0
    assert (blocked - free)[owner] == pytest.approx(charged[owner], abs=1e-9)


def test_arrival_on_the_minute_counts_once() -> None:
    homes = draw_homes(1, HomeDistributions(ev_share=1), np.random.default_rng(1))
    homes = replace(homes, ev_arrival=np.array([18.0]), ev_departure=np.array([8.0]), ev_energy=np.array([20.0]))
    assert needed_at_start(homes, 18.0) == pytest.approx([20.0])
    before, driven = needed_after(homes, np.zeros(1), np.zeros(1), 18.0 - 1 / 60, 1 / 60)
    assert driven == pytest.approx([20.0])
    assert before == pytest.approx([20.0])
    power = charge(homes, before, 18.0, 1 / 60, np.array([True]))
    assert power == pytest.approx([7.2])
    assert needed_after(homes, before, power, 18.0, 1 / 60)[0] == pytest.approx([20.0 - 0.12])


def test_self_consumption() -> None:
    rating = np.array([5.0, 5.0, 5.0, 0.0])
    assert self_consumption(np.array([3.0, -8.0, 9.0, 4.0]), rating).tolist() == [3.0, -5.0, 5.0, 0.0]


@given(st.integers(1, 50), st.integers(0, 50))
def test_spread_evenly(count: int, extra: int) -> None:
    chosen = spread_evenly(count, count + extra)
    assert len(set(chosen)) == count
    assert 0 <= min(chosen) <= max(chosen) < count + extra
