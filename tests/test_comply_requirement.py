"""Demands that a single step does not show: sums over dips, sets, windows, unequal phases, stricter settings."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from comply_cases.simulate import failures, steps, verdict

from runs.comply.requirement import Requirement, requirement
from runs.comply.settings import Held, read_fleet
from runs.comply.trace import Trace


def waveform(
    voltage: list[tuple[float, float]], end: float, frequency: list[tuple[float, float]] | None = None, dt: float = 0.01
) -> Trace:
    time, volts = steps(voltage, end, dt)
    _, hertz = steps(frequency or [], end, dt, 60.0)
    return Trace("case", time, volts[None], hertz)


def demand(trace: Trace, category: str = "III", **values: float) -> Requirement:
    return requirement(trace, Held.model_validate({"category": category, "values": values}))


def test_dips_of_one_set_add_up() -> None:
    """0.6 pu is to be ridden through for 10 s: 6 s in the first dip leave 4 s in the second, a second later."""
    found = demand(waveform([(1.0, 0.6), (7.0, 1.0), (8.0, 0.6), (14.0, 1.0)], 20.0))
    assert found.no_trip_before_s == pytest.approx(12.0)
    apart = demand(waveform([(1.0, 0.6), (7.0, 1.0), (12.0, 0.6), (18.0, 1.0)], 25.0))
    assert apart.no_trip_before_s is None  # Table 17: 5 s part the sets


def test_a_deeper_dip_uses_up_the_time_of_a_shallower_one() -> None:
    """Below 0.88 pu 20 s in all: 9 s at 0.6 pu leave 11 s at 0.8 pu."""
    found = demand(waveform([(1.0, 0.6), (10.0, 0.8), (25.0, 1.0)], 30.0))
    assert found.no_trip_before_s == pytest.approx(21.0)
    assert found.shall_trip_by_s == pytest.approx(22.0)


@pytest.mark.parametrize(("hurry", "allowed"), [(1.02, None), (0.98, True)])
def test_along_the_slope_of_category_ii(hurry: float, allowed: bool | None) -> None:
    """1547.1 returns at 0.115 pu/s, along the slope of 8.7 s/pu: a little faster stays inside, slower does not."""
    time = np.round(np.arange(0.0, 12.0, 0.005), 9)
    volts = np.where(time >= 1.0, np.maximum(0.66, 0.66 + (time - 1.0 - 3.08 / hurry) / 8.7 * hurry), 1.0)
    volts = np.where(volts > 0.88, 1.0, volts)
    found = demand(Trace("ramp", time, volts[None], np.full(time.size, 60.0)), "II")
    assert (found.no_trip_before_s is not None) == bool(allowed)


def test_frequency_counts_over_ten_minutes() -> None:
    """299 s in any 600 s (Table 19): 200 s, a pause of 50 s, then 99 s more."""
    wave = [(1.0, 61.5), (201.0, 60.0), (251.0, 61.5), (451.0, 60.0)]
    assert demand(waveform([], 460.0, wave, 0.1)).no_trip_before_s == pytest.approx(350.0)
    wave = [(1.0, 61.5), (201.0, 60.0), (602.0, 61.5), (802.0, 60.0)]
    assert demand(waveform([], 810.0, wave, 0.1)).no_trip_before_s is None


def test_the_worst_phase_decides() -> None:
    trace = waveform([(1.0, 0.3), (4.0, 1.0)], 6.0)
    normal = np.ones(trace.time.size)
    found = demand(replace(trace, voltage=np.stack([normal, trace.voltage[0], normal])))
    assert (found.element, found.shall_trip_by_s) == ("UV2", pytest.approx(3.0))


def test_a_stricter_setting_goes_before_ride_through() -> None:
    """A utility's UV1 of 0.70 pu in 5 s, where Category III would ride through 10 s."""
    wave = waveform([(1.0, 0.6), (9.0, 1.0)], 12.0)
    found = demand(wave, UV1_trip_V_pu=0.70, UV1_trip_s=5.0)
    assert (found.shall_trip_by_s, found.no_trip_before_s) == (pytest.approx(6.0), pytest.approx(6.0))
    held = {"values": {"UV1_trip_V_pu": 0.70, "UV1_trip_s": 5.0}}
    assert verdict(tripped(wave, 6.0), **held).result == "pass"
    assert "tripped though" in "".join(failures(verdict(tripped(wave, 4.0), **held)).values())
    assert "did not trip" in "".join(failures(verdict(tripped(wave, 99.0), **held)).values())


def test_profile_of_a_utility() -> None:
    held = read_fleet("II", None, profile="PSCo").common
    found = requirement(waveform([(1.0, 0.4), (3.0, 1.0)], 5.0), held)
    assert (found.element, found.shall_trip_by_s) == ("UV2", pytest.approx(1.32))


def tripped(trace: Trace, moment: float) -> Trace:
    power = np.where(trace.time >= moment - 1e-9, 0.0, 0.8)
    return replace(trace, active=power, reactive=np.zeros(power.size))


@pytest.mark.parametrize(("which", "result"), [(1, "fail"), (2, "fail"), (3, "permitted")])
def test_consecutive_disturbances(which: int, result: str) -> None:
    """Category III rides through three sets (Table 17); in a fourth it may trip."""
    starts = [1.0, 11.0, 21.0, 31.0]
    wave = waveform([pair for s in starts for pair in ((s, 0.6), (s + 1.0, 1.0))], 40.0)
    found = verdict(tripped(wave, starts[which] + 0.5))
    (own,) = [f for f in found.findings if f.clause == "6.4.2.5"]
    assert own.result == result, own
    assert found.result == ("pass" if result == "permitted" else "fail")


def test_a_fast_change_of_frequency_allows_a_trip() -> None:
    """3 Hz/s for Category III (Table 21): a step allows a trip there and then, not ten seconds later."""
    wave = waveform([], 20.0, [(1.0, 58.0)])
    assert any("ROCOF" in warning for warning in demand(wave).warnings)
    assert verdict(tripped(wave, 1.1)).result == "pass"
    assert "tripped though" in "".join(failures(verdict(tripped(wave, 11.0))).values())


def test_output_that_fades_is_no_trip() -> None:
    trace = waveform([], 60.0)
    power = np.clip(0.8 - trace.time / 50.0, 0.0, None)
    assert verdict(replace(trace, active=power, reactive=0.0 * power)).result != "fail"
    gone = replace(trace, active=np.where(trace.time > 30.0, 0.0, 0.8), reactive=0.0 * power)
    assert failures(verdict(gone)).keys() == {"6.4.2.2"}
    cloud = replace(gone, available=np.where(trace.time > 30.0, 0.0, 0.8))
    assert verdict(cloud).result != "fail"


def test_current_in_place_of_power() -> None:
    trace = waveform([(1.0, 0.6), (5.0, 1.0)], 20.0)
    assert verdict(replace(trace, current=np.full(trace.time.size, 0.8))).result == "pass"
    found = verdict(replace(trace, current=np.where(trace.time > 3.0, 0.0, 0.8)))
    assert "6.4.2.3 mandatory" in failures(found)
    found = verdict(replace(trace, current=np.where((trace.time > 1.5) & (trace.time < 5.0), 0.5, 0.8)))
    assert "too little current" in "".join(failures(found).values())


def test_permission_and_limit() -> None:
    trace = waveform([], 60.0, dt=0.1)
    size = trace.time.size
    output = {"active": np.full(size, 0.8), "reactive": np.zeros(size)}
    permit = np.where(trace.time >= 10.0, 0.0, 1.0)
    limit = np.where(trace.time >= 10.0, 0.4, 1.0)
    deaf = replace(trace, permit=permit, **output)
    assert failures(verdict(deaf))["4.6.1"].startswith("did not obey")
    assert failures(verdict(replace(trace, limit=limit, **output)))["4.6.2"].startswith("did not obey")
    gone = np.where(trace.time >= 11.0, 0.0, 0.8)
    assert verdict(replace(deaf, active=gone)).result == "pass"
    less = np.where(trace.time >= 30.0, 0.4, 0.8)
    assert verdict(replace(trace, limit=limit, active=less, reactive=np.zeros(size))).result == "pass"
