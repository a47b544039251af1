"""What comes back after a trip: series with known answers, noise of several kinds, and what must not change it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cosim
from runs.rebound import AHEAD, Rebound, noise_of, rebound_of, settles
from runs.summary import summarise

REBOUND = Path(__file__).parent / "reference_cases" / "rebound"
HOUR = 3600 * 10**9
MINUTE = HOUR // 60
Series = np.ndarray[Any, Any]

SHED, OFF, BACK = 2.0, 13.0, 15.0  #: [MW], [h], [h]


def hours(duration: float, step: int = MINUTE) -> Series:
    """The times [h] of a run."""
    return np.arange(0, round(duration * HOUR), step) / HOUR


def box(time: Series) -> Series:
    """2 MW less from 13 to 15 h, and 1 MW more for two hours after: 4 MWh shed, 2 come back [MW]."""
    return -SHED * ((time >= OFF) & (time < BACK)) + 1.0 * ((time >= BACK) & (time < BACK + 2))


def fading(time: Series) -> Series:
    """As `box`, but 2 MWh come back with a time constant of 40 min."""
    since = np.maximum(time - BACK, 0.0)
    return -SHED * ((time >= OFF) & (time < BACK)) + 3.0 * np.exp(-since * 1.5) * (time >= BACK)


def ringing(time: Series) -> Series:
    """Compressors that start together: what comes back swings every 20 min, and as much below 0 in the end."""
    since = np.maximum(time - BACK, 0.0)
    return fading(time) * (1.0 + np.cos(2 * np.pi * 3.0 * since))


def found(time: Series, difference: Series, out: Series | None = None, step: int = MINUTE) -> Rebound:
    """The rebound of a series in equal steps."""
    edges = np.append(np.round(time * HOUR), round(time[-1] * HOUR) + step).astype(np.int64)
    result = rebound_of(edges, difference, (time >= OFF) & (time < BACK) if out is None else out)
    assert result is not None
    return result


# ------------------------------------------------------------------------------------------- the noise


def cycling(time: Series, random: np.random.Generator) -> Series:
    """[MW] of 300 compressors of 3 kW that are out of step with their twins: each draws the same energy a cycle."""
    total = np.zeros(time.size)
    for period, duty in zip(random.uniform(0.2, 0.7, 300), random.uniform(0.3, 0.7, 300), strict=True):
        phases = random.uniform(0, 1, 2)
        wander = np.cumsum(random.normal(0, 0.01, (2, time.size)), axis=1)
        ours, theirs = ((time / period + phase + one) % 1 < duty for phase, one in zip(phases, wander, strict=True))
        total += 0.003 * (ours.astype(float) - theirs)
    return total


def autoregressive(time: Series, random: np.random.Generator, memory: float = 1 / 6) -> Series:
    """[MW] noise that forgets within `memory` [h] and makes up for nothing, so that its energy is a random walk."""
    from scipy.signal import lfilter

    keep = np.exp(-(time[1] - time[0]) / memory)
    shocks = random.normal(0, 0.15 * np.sqrt(1 - keep**2), time.size)
    return np.asarray(lfilter([1.0], [1.0, -keep], shocks))


def white(time: Series, random: np.random.Generator) -> Series:
    return random.normal(0, 0.3, time.size)


def by_day(time: Series, random: np.random.Generator) -> Series:
    """Noise that makes up for itself, and sleeps at night."""
    kept = autoregressive(np.append(time, 2 * time[-1] - time[-2]), random, 0.5)
    return 5.0 * np.diff(kept) * (1 - np.cos(2 * np.pi * time / 24))


NOISES = (cycling, autoregressive, white, by_day)


@pytest.mark.parametrize("noise", NOISES, ids=lambda noise: noise.__name__)
@pytest.mark.parametrize("shape", [box, fading, ringing], ids=lambda shape: shape.__name__)
def test_energy_is_found_within_its_noise_for_any_horizon(
    shape: Callable[[Series], Series], noise: Callable[[Series, np.random.Generator], Series]
) -> None:
    """The truth is the integral of what was put in; of 24 draws the stated 95 % must hold for all but a few."""
    time = hours(96)
    truth = float(shape(time)[time >= BACK].sum() / 60)
    hits, seen = 0, 0
    for seed in range(12):
        difference = shape(time) + noise(time, np.random.default_rng(seed)) * (time >= OFF)
        for duration in (30, 96):
            result = found(time[: duration * 60], difference[: duration * 60])
            if result.ended == "over":
                assert result.noise is not None
                assert result.energy is not None
                hits, seen = hits + (abs(result.energy - truth) <= result.noise), seen + 1
    assert seen >= 18
    assert hits >= 0.75 * seen


@pytest.mark.parametrize("noise", NOISES, ids=lambda noise: noise.__name__)
def test_of_noise_alone_nothing_comes_back(noise: Callable[[Series, np.random.Generator], Series]) -> None:
    """The integral of what is drawn more grows by hundreds of kWh; the net energy stays within its noise."""
    time = hours(96)
    off = -SHED * ((time >= OFF) & (time < BACK))
    results = [found(time, off + noise(time, np.random.default_rng(seed)) * (time >= BACK)) for seed in range(12)]
    assert all(result.ended == "over" for result in results)
    within = [abs(result.energy or 0.0) <= (result.noise or 0.0) for result in results]
    assert sum(within) >= 9
    assert sum(result.peak is None for result in results) >= 8


@given(seed=st.integers(0, 1000), kind=st.sampled_from([cycling, by_day, white]), more=st.integers(1, 72))
@settings(max_examples=15, deadline=None)
def test_a_longer_run_finds_the_same_energy(seed: int, kind: Any, more: int) -> None:
    time = hours(24 + more)
    difference = box(time) + kind(time, np.random.default_rng(seed)) * (time >= OFF)
    short, long = found(time[: 24 * 60], difference[: 24 * 60]), found(time, difference)
    if short.ended == "over":
        assert (long.energy, long.returns[0].end, long.ended) == (short.energy, short.returns[0].end, "over")
    assert long.shed == short.shed


@given(seed=st.integers(0, 1000), shift=st.integers(1, 500), size=st.floats(1e-3, 1e3))
@settings(max_examples=15, deadline=None)
def test_a_shifted_start_and_another_size_change_nothing(seed: int, shift: int, size: float) -> None:
    """A run that begins earlier, and one with more of the same feeders."""
    time = hours(36)
    difference = box(time) + white(time, np.random.default_rng(seed)) * (time >= OFF)
    out = (time >= OFF) & (time < BACK)
    base = found(time, difference)
    ahead = np.zeros(shift)
    moved = found(hours(36 + shift / 60), size * np.concatenate([ahead, difference]), np.concatenate([ahead > 0, out]))
    assert moved.energy == pytest.approx(size * (base.energy or 0.0), rel=1e-6, abs=1e-9)
    assert moved.shed == pytest.approx(size * base.shed)
    assert [one.end - shift * MINUTE for one in moved.returns] == [one.end for one in base.returns]


@pytest.mark.parametrize("shape", [box, fading, ringing], ids=lambda shape: shape.__name__)
@pytest.mark.parametrize("minutes", [1, 2, 5, 15])
def test_a_longer_step_finds_the_same_within_the_noise(shape: Callable[[Series], Series], minutes: int) -> None:
    """Each value the mean over its step, as a meter gives it."""
    time = hours(48)
    difference = shape(time) + cycling(time, np.random.default_rng(3)) * (time >= OFF)
    fine = found(time, difference)
    coarse = found(time[::minutes], difference.reshape(-1, minutes).mean(axis=1), step=minutes * MINUTE)
    assert fine.energy is not None
    assert coarse.energy is not None
    assert fine.noise is not None
    assert coarse.energy == pytest.approx(fine.energy, abs=fine.noise)
    assert coarse.shed == pytest.approx(fine.shed, rel=1e-9)


# ------------------------------------------------------------------------------------------ definitions


def test_without_noise_the_figures_are_exact() -> None:
    time = hours(24)
    result = found(time, box(time))
    assert (result.shed, result.energy, result.to_end) == pytest.approx((4.0, 2.0, 2.0))
    assert result.returns[0].end == pytest.approx((BACK + 2) * HOUR, abs=5 * MINUTE)
    assert result.peak is not None
    assert (result.peak.power, result.peak.time) == (pytest.approx(1.0), round(BACK * HOUR))


def test_a_run_too_short_to_tell_says_so_and_states_no_noise() -> None:
    time = hours(20.9)  # over at 17 h, and 3.9 h follow
    result = found(time, box(time))
    assert (result.ended, result.noise, result.shed_noise) == ("the run ended", None, None)
    assert result.energy == pytest.approx(2.0)
    assert not result.returns[0].over


def test_out_to_the_end_nothing_returned() -> None:
    time = hours(15)
    result = found(time, box(time))
    assert (result.ended, result.energy, result.to_end, result.peak) == ("still out", None, None, None)


def test_staggered_returns_count_as_out_until_the_last() -> None:
    """Half of it back an hour earlier, with a rebound of its own that is net of what is still out."""
    time = hours(24)
    difference = box(time) + 1.5 * ((time >= 14) & (time < 15))
    assert found(time, difference).shed == pytest.approx(4.0 - 1.5)


def test_trips_that_overlap_are_one() -> None:
    time = hours(24)
    first, second = (time >= 10) & (time < 12), (time >= 11) & (time < 13)
    difference = -1.0 * first - 1.0 * second + 0.5 * ((time >= 13) & (time < 15))
    result = found(time, difference, first | second)
    assert (result.shed, result.energy, len(result.returns)) == (pytest.approx(4.0), pytest.approx(1.0), 1)


def test_two_trips_far_apart_have_a_rebound_each() -> None:
    time = hours(48)
    difference = box(time) + 0.5 * box(time - 20)
    out = (difference < 0) & (time < 40)
    result = found(time, difference, out)
    assert (result.shed, result.energy, result.ended) == (pytest.approx(6.0), pytest.approx(3.0), "over")
    assert [one.energy for one in result.returns] == pytest.approx([2.0, 1.0])


def test_a_trip_before_the_first_rebound_is_over_is_said() -> None:
    time = hours(48)
    difference = box(time)
    difference[(time >= 16) & (time < 17)] = -1.0
    result = found(time, difference, (difference < 0))
    assert result.ended == "the next trip began"
    assert [one.over for one in result.returns] == [False, True]
    assert result.shed == pytest.approx(5.0)


def test_vehicles_that_charge_later_are_waited_for() -> None:
    """Nothing for two hours, then what was missed: it has a direction within the four hours looked ahead."""
    time = hours(36)
    off = -SHED * ((time >= OFF) & (time < BACK))
    result = found(time, off + 1.0 * ((time >= BACK + 2) & (time < BACK + 4)))
    assert result.energy == pytest.approx(2.0)


def test_what_comes_later_than_that_stands_in_the_energy_to_the_end() -> None:
    time = hours(36)
    off = -SHED * ((time >= OFF) & (time < BACK))
    result = found(time, off + 1.0 * ((time >= BACK + 9) & (time < BACK + 11)))
    assert result.energy == pytest.approx(0.0)
    assert result.to_end == pytest.approx(2.0)


@pytest.mark.parametrize("minutes", [20, 30, 60, 120])
def test_steps_of_any_length(minutes: int) -> None:
    time = hours(48, minutes * MINUTE)
    result = found(time, box(time), step=minutes * MINUTE)
    if minutes <= 60:  # with 2 h it is out for one step, from 14 to 16 h
        assert (result.shed, result.energy) == pytest.approx((4.0, 2.0))
    assert result.ended == "over"
    assert np.isfinite(result.noise or np.nan)


def test_a_level_settles_where_it_has_no_direction() -> None:
    rising = np.minimum(np.arange(200.0), 30.0)
    assert settles(rising, AHEAD) == 30
    assert settles(np.arange(200.0), AHEAD) is None
    assert settles(np.zeros(48), AHEAD) is None  # too short to look ahead
    assert settles(np.zeros(49), AHEAD) == 0


def test_noise_is_that_of_the_windows() -> None:
    """Of independent steps of 1 the energy over 25 has a standard deviation of 5; 2 % are kept for few windows."""
    level = np.concatenate([[0.0], np.cumsum(np.random.default_rng(1).choice([-1.0, 1.0], 100_000))])
    assert noise_of(level, 25) == pytest.approx(10.0, rel=0.05)
    assert noise_of(level[:101], 100) == pytest.approx(2 * np.sqrt(2) * 10, rel=0.5)  # from windows of 25


# ------------------------------------------------------------------------------------------ as recorded


def recorded(name: str, duration: float, off: float, back: float) -> Rebound:
    """The rebound [kWh] of a series as GridLAB-D gave it, see the case's README."""
    difference = np.load(REBOUND / "differences.npz")[name].astype(float)[: round(duration * 60)]
    time = hours(duration)
    return found(time, difference, (time >= off) & (time < back))


@pytest.mark.parametrize(("days", "to_end"), [(1, 97.2), (4, 99.8)])
def test_thermostats_over_one_and_over_four_days(days: int, to_end: float) -> None:
    """Net 97 and 100 of 199 kWh, summed up by hand; the level is the same whatever the horizon."""
    result = recorded("loadtrip", 24 * days, 13, 15.5)
    assert result.shed == pytest.approx(198.7, abs=0.1)
    assert result.to_end == pytest.approx(to_end, abs=0.1)
    assert result.ended == "over"
    assert result.energy == pytest.approx(96.1, abs=0.1)
    assert result.noise is not None
    assert abs(to_end - 96.1) < result.noise < 12.0
    assert result.peak is not None
    assert result.peak.power == pytest.approx(34.4, abs=0.1)  # not the +79.5 kW of a minute of the third day
    assert 15.5 * HOUR <= result.peak.time < 20 * HOUR


def test_water_heaters() -> None:
    """Net 25 of 37 kWh by the end of the run, of a level that swings between 25 and 32."""
    result = recorded("water_heaters", 72, 30, 34)
    assert result.shed == pytest.approx(37.3, abs=0.1)
    assert result.to_end == pytest.approx(25.0, abs=0.1)
    assert result.ended == "over"
    assert result.energy == pytest.approx(29.0, abs=0.1)
    assert result.noise is not None
    assert result.noise == pytest.approx(5.6, abs=0.1)


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("step", ["60 s", "5 min"])
def test_the_scenario_sheds_and_returns_as_recorded(step: str, tmp_path: Path) -> None:
    """In GridLAB-D, at two steps: the same net energy within the noise that is stated."""
    text = (REBOUND / "loadtrip.yaml").read_text(encoding="utf-8").replace("60 s", step)
    (tmp_path / "scenario.yaml").write_text(text, encoding="utf-8")
    (load,) = summarise(cosim.run(cosim.load(tmp_path / "scenario.yaml"), out=tmp_path / "run")).loads
    assert load.shed_mwh == pytest.approx(0.1987, rel=0.03)
    assert load.rebound_ended == "over"
    assert load.rebound_noise_mwh is not None
    assert load.rebound_mwh == pytest.approx(0.0972, abs=load.rebound_noise_mwh)
    assert load.after_return_mwh == pytest.approx(0.0972, abs=load.rebound_noise_mwh)
