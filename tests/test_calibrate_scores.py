"""Scores, splits and the parts of the temperature response, against numbers and rules from elsewhere."""

from datetime import date, timedelta

import numpy as np
import pytest
from pydantic import ValidationError

from feeders.load_model import wall_clock
from runs.calibrate.split import Split, iso_weeks
from solvers import baselines, scores
from solvers.temperature_response import cyclic_splines, day_types, splines, weighted_mean, with_memory


def test_scores_of_a_worked_example() -> None:
    """By hand after ASHRAE Guideline 14-2014, 5.2.11.3: errors 10, -10, 20 on 100, 200, 300 (mean 200)."""
    measured, predicted = np.array([100.0, 200, 300, np.nan]), np.array([110.0, 190, 320, 5])
    assert scores.cv_rmse(measured, predicted) == pytest.approx(100 * np.sqrt(200) / 200)
    assert scores.nmbe(measured, predicted) == pytest.approx(100 * (20 / 3) / 200)
    assert scores.mape(measured, predicted) == pytest.approx((10 + 5 + 20 / 3) / 3)
    assert scores.peak_error(measured, predicted) == pytest.approx(100 * (320 / 300 - 1))


def test_iso_weeks_are_those_of_the_calendar() -> None:
    days = [date(2009, 12, 20) + timedelta(days=k) for k in range(2600)]
    expected = [day.isocalendar().week for day in days]
    assert iso_weeks(np.array(days, dtype="datetime64[D]")).tolist() == expected


def test_held_out_weeks_and_fit_share_no_day() -> None:
    split = Split(held_out_weeks=4, held_out=((date(2017, 7, 1), date(2017, 7, 31)),))
    days = np.arange(np.datetime64("2017-01-01"), np.datetime64("2018-01-01"))
    held = split.held_out_days(days)
    assert not (held & split.fit_days(days)).any()
    assert held[days == np.datetime64("2017-01-25")].all()  # week 4
    assert held[(days >= np.datetime64("2017-07-01")) & (days <= np.datetime64("2017-07-31"))].all()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"fit": [["2013-01-01", "2014-01-13"]], "held_out": [["2014-01-01", "2014-12-31"]]}, "leak into the fit"),
        (
            {
                "fit": [["2012-01-01", "2012-06-30"]],
                "held_out": [["2014-01-01", "2014-12-31"]],
                "events": {"e": ["2012-03-01", "2012-03-02"]},
            },
            "leak into the fit",
        ),
        ({"fit": [["2012-01-01", "2012-06-30"]]}, "must hold something out"),
        ({"held_out": [["2014-01-02", "2014-01-01"]]}, "must not come before"),
    ],
)
def test_a_split_that_leaks_is_refused(given: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Split.model_validate(given)


def test_splines_add_up_and_go_on_straight() -> None:
    """De Boor: B-splines sum to one; outside the knots a sum of them must be linear."""
    x = np.linspace(-10, 60, 141)
    basis = splines(x, 0.0, 45.0, 15)
    assert basis.sum(axis=1) == pytest.approx(np.ones(141))
    # coefficients equal to their knots' means give back x, inside and out
    knots = (np.arange(18) - 1) * 3.0
    assert basis @ knots == pytest.approx(x)
    around = cyclic_splines(np.array([0.0, 24.0, 12.0, 36.0]), 24.0, 8)
    assert around[0] == pytest.approx(around[1])
    assert around[2] == pytest.approx(around[3])


def test_weighted_mean_is_that_of_a_first_order_lag() -> None:
    """A step of 1 K reaches 1 - 1/e after one time constant."""
    step = np.r_[np.zeros(48), np.ones(49)]
    mean = weighted_mean(step, 24.0, 0.5, start=0.0)
    assert mean[47] == 0
    assert mean[48 + 47] == pytest.approx(1 - np.exp(-1))
    assert weighted_mean(step, 0.0, 0.5) is step


def test_day_types() -> None:
    days = np.arange(np.datetime64("2014-01-13"), np.datetime64("2014-01-20"))  # a Monday
    assert day_types(days, np.array(["2014-01-14"], "datetime64[D]")).tolist() == [0, 4, 1, 1, 2, 3, 4]


def test_memory_takes_only_the_past_that_it_names() -> None:
    rng = np.random.default_rng(1)
    model, measured = rng.normal(size=60), rng.normal(size=60)
    forecast = with_memory(model, measured, {7: 0.5, 14: 0.25}, 2)
    assert forecast[40] == pytest.approx(
        model[40] + 0.5 * (measured[26] - model[26]) + 0.25 * (measured[12] - model[12])
    )
    changed = measured.copy()
    changed[27:] += 100.0  # anything later than 7 days before row 40
    assert with_memory(model, changed, {7: 0.5, 14: 0.25}, 2)[40] == forecast[40]


def test_baselines_on_loads_that_they_describe_exactly() -> None:
    hours = np.arange(24 * 7 * 30)
    wall = np.datetime64("2013-01-01T00:00", "s") + hours * np.timedelta64(3600, "s")
    temperature = 20 + 12 * np.sin(2 * np.pi * hours / (24 * 90)) + 5 * np.sin(2 * np.pi * hours / 24)
    week = 1000 + 200 * np.sin(2 * np.pi * hours / 168)
    load = week + 30 * np.maximum(temperature - 22, 0) + 10 * np.maximum(16 - temperature, 0)
    fit = hours < 24 * 7 * 20
    assert scores.cv_rmse(load[~fit], baselines.degree_hours(wall, temperature, load, fit)[~fit]) < 1e-6
    assert scores.cv_rmse(week[24 * 7 :], baselines.week_before(week, 24)[24 * 7 :]) < 1e-9


def test_wall_clock_has_the_clock_changes_of_the_zone() -> None:
    """Melbourne left daylight time on 6 April 2014 at 3:00 (Summer Time Order 2007, Victoria)."""
    hours = np.arange(np.datetime64("2014-04-06T00:00", "s"), np.datetime64("2014-04-06T04:00", "s"), 3600)
    wall = wall_clock(hours, "Australia/Melbourne")
    assert [str(time)[11:16] for time in wall] == ["01:00", "02:00", "02:00", "03:00"]
    assert (wall_clock(hours, "+10:00") == hours).all()
