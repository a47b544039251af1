from datetime import datetime

import numpy as np
import pytest
from pydantic import ValidationError

from cosim.contract import Context, Exchange
from cosim.errors import ConfigError
from federates.demand import Demand

S = 10**9
MIN, H = 60 * S, 3600 * S


def demand(settings=None, **changes):
    fields = {"name": "demand", "seed": 7, "start": datetime(2014, 1, 16), "duration": 24 * H, "step": MIN}
    return Demand(Demand.Config.model_validate(settings or {}), Context(**{**fields, **changes}))


def solve(federate, time):
    values = federate.solve(time, Exchange()).values
    federate.commit(time)
    ports = {port.name: port for port in federate.ports()}
    assert {name: value.shape for name, value in values.items()} == {name: port.shape for name, port in ports.items()}
    assert all(np.isfinite(value).all() for value in values.values())
    return values


def test_its_ports():
    ports = {port.name: port for port in demand().ports()}
    assert {name: (port.unit, port.direction) for name, port in ports.items()} == {
        "load_scale": ("1", "out"),
        "load_scale_forecast": ("1", "out"),
    }
    leads = ports["load_scale_forecast"].coordinates["lead"]
    assert len(leads) == 48
    assert leads[:2] == ("5 min", "10 min")
    assert leads[-1] == "4 h"


def test_the_peak_of_the_heat_wave_is_the_reference():
    federate = demand()
    scales = np.array([solve(federate, time)["load_scale"] for time in range(0, 24 * H, 30 * MIN)])
    # The source's highest demand, 9,345.004 MW, on 16 January at 17:00 daylight time.
    assert scales.max() == 1.0
    assert np.argmax(scales) * 30 == 16 * 60
    # Sunday the 12th peaked at 4,704 MW.
    sunday = demand(start=datetime(2014, 1, 12))
    highest = max(float(solve(sunday, time)["load_scale"]) for time in range(0, 24 * H, 30 * MIN))
    assert highest == pytest.approx(4704 / 9345, abs=1e-4)


def test_a_reference_and_a_scale():
    federate = demand({"reference": "5 MW", "scale": 2.0})
    assert solve(federate, 16 * H)["load_scale"] == pytest.approx(2 * 9345.004 / 5)


def test_it_is_linear_between_rows():
    federate = demand()
    values = [float(solve(federate, time)["load_scale"]) for time in (0, 10 * MIN, 30 * MIN)]
    assert values[1] == pytest.approx(values[0] + (values[2] - values[0]) / 3)


def test_a_perfect_forecast_comes_true():
    federate = demand({"interval": "30 min", "lookahead": "2 h"})
    forecast = solve(federate, 10 * H)["load_scale_forecast"]
    later = [float(solve(federate, 10 * H + lead * 30 * MIN)["load_scale"]) for lead in (1, 2, 3, 4)]
    np.testing.assert_array_equal(forecast, later)


def test_past_the_end_of_the_table_the_forecast_holds_the_last_row():
    federate = demand(start=datetime(2014, 1, 18))
    values = solve(federate, 24 * H - MIN)
    assert len(np.unique(values["load_scale_forecast"])) == 1


def test_the_error_of_the_forecast_grows_with_the_lead_as_stated():
    persistence, stated, leads = 0.9, 0.03, 12
    settings = {
        "table": None,
        "interval": "5 min",
        "lookahead": "60 min",
        "forecast_error": stated,
        "forecast_persistence": persistence,
    }
    # One error path from each of many seeds, so that they are independent.
    errors = np.array([solve(demand(settings, seed=seed), 0)["load_scale_forecast"] - 1 for seed in range(2000)])
    # Closed form of an AR(1) forecast error: variance in proportion to 1 - r^(2 k).
    lead = np.arange(1, leads + 1)
    expected = stated * np.sqrt((1 - persistence ** (2 * lead)) / (1 - persistence ** (2 * leads)))
    np.testing.assert_allclose(errors.std(axis=0), expected, rtol=0.08)
    np.testing.assert_allclose(errors.mean(axis=0), 0, atol=5 * stated / np.sqrt(2000))


def test_the_forecast_for_one_time_is_revised_by_what_has_come_in_between():
    settings = {"table": None, "interval": "5 min", "lookahead": "20 min"}
    settings |= {"forecast_error": 0.05, "forecast_persistence": 0.8}
    federate = demand(settings)
    issued = np.array([solve(federate, step * 5 * MIN)["load_scale_forecast"] for step in range(20)]) - 1
    # One interval later the error at the same target has lost the innovation that is now known:
    # e(i, k) - e(i + 1, k - 1) = r^(k - 1) w(i + 1), and e(i, 1) = w(i + 1).
    for k in (1, 2, 3):
        np.testing.assert_allclose(issued[:-1, k] - issued[1:, k - 1], 0.8**k * issued[:-1, 0], atol=1e-12)


def test_between_issues_the_error_stays():
    settings = {"table": None, "forecast_error": 0.05}
    federate = demand(settings)
    first, second = (solve(federate, time)["load_scale_forecast"] for time in (5 * MIN, 9 * MIN))
    np.testing.assert_array_equal(first, second)


def test_one_seed_one_forecast():
    settings = {"forecast_error": 0.02}
    one, same, other = (solve(demand(settings, seed=seed), 3 * H)["load_scale_forecast"] for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert (one != other).all()
    # The truth does not depend on it.
    assert solve(demand(settings, seed=1), 0)["load_scale"] == solve(demand(seed=2), 0)["load_scale"]


def test_a_constant_load():
    federate = demand({"table": None, "scale": 0.7}, start=datetime(1999, 1, 1))
    values = solve(federate, H)
    assert values["load_scale"] == 0.7
    assert (values["load_scale_forecast"] == 0.7).all()


def test_a_table_of_ones_own(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("time,demand [MW]\n2014-01-16 00:00,50\n2014-01-17 00:00,100\n")
    assert solve(demand({"table": str(path)}), 12 * H)["load_scale"] == pytest.approx(0.75)


@pytest.mark.parametrize(
    ("settings", "changes", "problem"),
    [
        ({"table": "atlantis"}, {}, "Use one of: victoria_2014_01"),
        ({}, {"start": datetime(2014, 1, 11, 23)}, "covers 2014-01-12 00:00 to 2014-01-19 00:00"),
        ({}, {"duration": 100 * H}, "needs 2014-01-16 00:00 to 2014-01-20 03:59"),
    ],
)
def test_demand_that_is_not_there_is_refused(settings, changes, problem):
    with pytest.raises(ConfigError, match=problem) as caught:
        demand(settings, **changes)
    assert caught.value.field == "table"


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ("time,demand [GW]\n2014-01-16 00:00,5\n2014-01-17 00:00,5\n", "unknown column"),
        ("time,demand [MW]\n2014-01-16 00:00,0\n2014-01-17 00:00,0\n", "no demand above 0 MW"),
        ("time,demand [MW]\n2014-01-16 00:00,5\n2014-01-17 00:00,-9999\n", "data row 2"),
    ],
)
def test_a_wrong_table_is_refused(tmp_path, rows, problem):
    path = tmp_path / "mine.csv"
    path.write_text(rows)
    with pytest.raises(ConfigError, match=problem):
        demand({"table": str(path)})


@pytest.mark.parametrize(
    "settings",
    [
        {"interval": "7 min", "lookahead": "1 h"},
        {"interval": "0 s"},
        {"lookahead": 4},
        {"table": None, "reference": 5},
        {"reference": "0 MW"},
        {"reference": "5 MWh"},
        {"scale": 0},
        {"forecast_error": 2},
        {"forecast_persistence": 1},
        {"table": "missing.csv"},
    ],
)
def test_wrong_settings_are_refused(settings):
    with pytest.raises(ValidationError):
        demand(settings)
