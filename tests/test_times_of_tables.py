"""Which time a row of a table stands for, and that all who read one table see the same at the same time."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from cosim.contract import Context, Exchange
from cosim.errors import ConfigError
from cosim.metering import Meter
from federates.demand import Demand
from federates.weather import Weather
from feeders import time_tables, weather_tables
from feeders.time_tables import SIDES, Side, TimeTable, TimeTableError

MINUTE = 60 * 10**9
START = datetime(2014, 7, 14)
HOURS = np.arange(np.datetime64("2014-07-14T00:00"), np.datetime64("2014-07-14T06:00"), np.timedelta64(60, "m"))
STEPS = np.arange(np.datetime64("2014-07-14T02:00"), np.datetime64("2014-07-14T04:00"), np.timedelta64(5, "m"))


def _table(stamps: Side) -> TimeTable:
    return TimeTable("own", HOURS, {"demand": np.array([10.0, 20, 60, 20, 40, 10])}, stamps=stamps)


def test_a_row_is_an_instant_or_the_mean_of_an_interval() -> None:
    """By hand: rows at 02:00, 03:00 and 04:00 are 60, 20 and 40."""
    assert _table("instant").at("demand", STEPS)[[0, 6, 12]].tolist() == [60, 40, 20]
    assert _table("start").at("demand", STEPS)[[0, 6, 11, 12]].tolist() == [60, 60, 60, 20]
    assert _table("end").at("demand", STEPS)[[0, 6, 11, 12]].tolist() == [20, 20, 20, 40]


@pytest.mark.parametrize("minutes", [1, 5, 20, 60])
@pytest.mark.parametrize(("stamps", "mean"), [("start", 40.0), ("end", 30.0)])
def test_means_keep_their_energy_at_any_step(stamps: Side, mean: float, minutes: int) -> None:
    """Of 02:00 to 04:00: rows 60 and 20 where intervals start, 20 and 40 where they end, at the time."""
    steps = np.arange(STEPS[0], STEPS[0] + np.timedelta64(120, "m"), np.timedelta64(minutes, "m"))
    assert _table(stamps).at("demand", steps).mean() == pytest.approx(mean)


def test_the_span_of_means_is_that_of_their_intervals() -> None:
    hour = 60 * MINUTE
    _table("start").require_span(datetime(2014, 7, 14, 5), hour, MINUTE)
    _table("end").require_span(datetime(2014, 7, 13, 23), 6 * hour, MINUTE)
    with pytest.raises(TimeTableError, match="covers 2014-07-13 23:00 to 2014-07-14 05:00"):
        _table("end").require_span(datetime(2014, 7, 14, 5), hour, MINUTE)
    with pytest.raises(TimeTableError, match="means of 3600 s, and steps of 7200 s would leave some out"):
        _table("start").require_span(START, 4 * hour, 2 * hour)


def _written(folder: Path, head: str = "", rows: int = 24 * 9) -> Path:
    path = folder / "own.csv"
    temperature = 20 + 10 * np.sin(np.arange(rows) / 24 * 2 * np.pi) + np.arange(rows) % 5
    times = [datetime(2014, 7, 10) + timedelta(hours=k) for k in range(rows)]
    place = "# latitude: 25.8\n# longitude: -80.27\n# altitude: 2\n# utc_offset: -5\n"
    lines = [f"{time:%Y-%m-%d %H:%M},{value:.3f}" for time, value in zip(times, temperature, strict=True)]
    path.write_text(head + place + "time,temperature [degC]\n" + "\n".join(lines) + "\n")
    return path


def test_the_tables_line_says_what_its_rows_are_and_a_setting_goes_before(tmp_path: Path) -> None:
    path = _written(tmp_path, "# stamps: end\n")
    found = [weather_tables.read(str(path), stamps) for stamps in (None, "start")]
    assert [table.stamps for table in found if isinstance(table, TimeTable)] == ["end", "start"]
    plain = weather_tables.read(str(_written(tmp_path)))
    assert isinstance(plain, TimeTable)
    assert plain.stamps == "instant"
    with pytest.raises(TimeTableError, match="must be instant, start, end, got 'middle'"):
        weather_tables.read(str(_written(tmp_path, "# stamps: middle\n")))
    with pytest.raises(TimeTableError, match="what its rows are is defined"):
        weather_tables.read("miami_tmy2", "start")
    context = Context("weather", 1, START, 60 * MINUTE, MINUTE)
    with pytest.raises(ConfigError, match="Leave out `stamps`"):
        Weather(Weather.Config.model_validate({"table": "miami_tmy2", "stamps": "end"}), context)


# ------------------------------------------------------------------- all who read one table see the same


def _published(table: str, stamps: Side | None, step: int = 30) -> np.ndarray:
    """The temperature that the weather gives over two days."""
    context = Context("weather", 1, START, 48 * 60 * MINUTE, step * MINUTE)
    weather = Weather(Weather.Config.model_validate({"table": table, "stamps": stamps}), context)
    weather.start(Path())
    return np.array([float(weather.solve(k * step * MINUTE, Exchange()).values["temperature"]) for k in range(96)])


def _scales(table: str, stamps: Side | None) -> np.ndarray:
    """The load scale of a calibrated model over the same two days."""
    settings = {"model": "victoria_2012_2013", "weather_table": table, "weather_stamps": stamps}
    context = Context("demand", 1, START, 48 * 60 * MINUTE, 30 * MINUTE)
    demand = Demand(Demand.Config.model_validate(settings), context)
    return np.array([float(demand.solve(k * 30 * MINUTE, Exchange()).values["load_scale"]) for k in range(96)])


def test_a_demand_model_sees_the_typical_year_that_the_weather_gives(tmp_path: Path) -> None:
    """The weather federate's own values, written as a table of instants, give the same load scale as the year itself.

    The year's temperature was once read at the beginning of the hour at whose end it holds: 2.2 % of peak apart.
    """
    first, last = START - timedelta(days=15), START + timedelta(days=3)
    context = Context("weather", 1, first, (last - first) // timedelta(microseconds=1) * 1000, 30 * MINUTE)
    weather = Weather(Weather.Config.model_validate({"table": "miami_tmy2"}), context)
    weather.start(Path())
    rows = ["time,temperature [degC]"]
    for k in range(18 * 48):
        value = float(weather.solve(k * 30 * MINUTE, Exchange()).values["temperature"])
        rows.append(f"{first + timedelta(minutes=30 * k):%Y-%m-%d %H:%M},{value!r}")
    (tmp_path / "same.csv").write_text("\n".join(rows) + "\n")
    np.testing.assert_allclose(_scales("miami_tmy2", None), _scales(str(tmp_path / "same.csv"), None), rtol=1e-12)


@pytest.mark.parametrize("stamps", SIDES)
def test_weather_and_demand_read_a_table_alike(stamps: Side, tmp_path: Path) -> None:
    path = str(_written(tmp_path))
    table = weather_tables.read(path, stamps)
    instants = time_tables.grid(START, 48 * 60 * MINUTE, 30 * MINUTE)[:-1]
    np.testing.assert_array_equal(_published(path, stamps), weather_tables.temperature(table, instants))


def test_a_table_of_the_hours_ends_is_that_of_their_starts_an_hour_later(tmp_path: Path) -> None:
    path = str(_written(tmp_path))
    starts, ends = _published(path, "start"), _published(path, "end")
    np.testing.assert_array_equal(ends[:-2], starts[2:])


# --------------------------------------------------------------------------------------------- meters


def test_readings_add_up_to_the_energy_of_the_results() -> None:
    """A value holds until the next step, whatever the steps: 1 MW for 2 min, 4 for 3, 2 for 5."""
    meter, sent = Meter("oak", "dispatch", 5 * MINUTE), []
    for minute, power in ((0, 1.0), (2, 4.0), (5, 2.0), (10, 9.0)):
        meter, messages = meter.reading(minute * MINUTE, power)
        sent += messages
    assert [(m.sent, m.payload["power_MW"]) for m in sent] == [
        (5 * MINUTE, pytest.approx((1 * 2 + 4 * 3) / 5)),
        (10 * MINUTE, pytest.approx(2.0)),
    ]
    assert [m.payload["interval_s"] for m in sent] == [300.0, 300.0]
