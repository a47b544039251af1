import subprocess
import sys
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from cosim.contract import Context, Exchange
from cosim.errors import ConfigError
from federates.weather import Weather

S = 10**9
H = 3600 * S


def weather(settings=None, **changes):
    fields = {"name": "weather", "seed": 7, "start": datetime(2014, 1, 16), "duration": 24 * H, "step": 60 * S}
    return Weather(Weather.Config.model_validate(settings or {}), Context(**{**fields, **changes}))


def day(settings=None, **changes):
    """Every output over the run, by name, each (steps)."""
    federate = weather(settings, **changes)
    federate.start(Path())
    ports = federate.ports()
    rows, time = [], 0
    while time is not None and time < federate.context.duration:
        values = federate.solve(time, Exchange()).values
        federate.commit(time)
        assert {name: value.shape for name, value in values.items()} == {port.name: port.shape for port in ports}
        rows.append([values[port.name] for port in ports])
        time = federate.next_time(time)
    federate.close()
    outputs = np.array(rows)
    assert np.isfinite(outputs).all()
    return dict(zip([port.name for port in ports], outputs.T, strict=True))


def test_it_gives_six_scalars_and_takes_nothing():
    ports = {port.name: port for port in weather().ports()}
    units = {name: port.unit for name, port in ports.items()}
    assert units == {
        "temperature": "degC",
        "relative_humidity": "1",
        "wind_speed": "m/s",
        "ghi": "W/m2",
        "dni": "W/m2",
        "dhi": "W/m2",
    }
    assert all(port.direction == "out" and port.shape == () for port in ports.values())
    assert "clear sky" in ports["ghi"].title
    assert "melbourne_2014_01" in ports["temperature"].title


def test_the_heat_wave_day():
    values = day()
    # The highest row of the table on 16 January; a step meets every row.
    assert values["temperature"].max() == pytest.approx(43.2)
    assert 900 < values["ghi"].max() < 1100
    # Dew point 10 degC at 43.2 degC: 12.26 hPa of 87.25 hPa by the Magnus formula.
    assert values["relative_humidity"].min() == pytest.approx(12.26 / 87.25, rel=1e-3)
    assert (values["wind_speed"] == 4.0).all()
    assert np.argmax(values["temperature"]) > np.argmax(values["ghi"])


def test_the_scalings():
    plain = day()
    changed = day({"temperature_offset": 2, "irradiance_scale": 0.5, "wind_speed_scale": 3, "wind_speed": "9 km/h"})
    np.testing.assert_allclose(changed["temperature"], plain["temperature"] + 2)
    np.testing.assert_allclose(changed["ghi"], plain["ghi"] / 2)
    np.testing.assert_allclose(changed["wind_speed"], 7.5)
    assert (changed["relative_humidity"] < plain["relative_humidity"]).all()


@pytest.mark.parametrize(
    ("written", "kelvin"), [(1.5, 1.5), ("1.5 K", 1.5), ("1.5 degC", 1.5), ("9 degF", 5.0), ("-1 K", -1.0)]
)
def test_an_offset_is_a_difference_of_temperatures(written, kelvin):
    config = Weather.Config.model_validate({"temperature_offset": written})
    assert config.temperature_offset == pytest.approx(kelvin)
    assert config.update(irradiance_scale=0.5).temperature_offset == config.temperature_offset


def test_a_typical_year_stands_in_for_any_date():
    values = day({"table": "miami_tmy2"}, start=datetime(2024, 2, 29))
    assert 10 < values["temperature"].mean() < 30
    assert values["relative_humidity"].max() <= 1
    titles = {port.name: port.title for port in weather({"table": "miami_tmy2"}).ports()}
    assert all("miami_tmy2" in title for title in titles.values())


def test_short_windows_of_small_steps():
    values = day(start=datetime(2014, 1, 16, 12), duration=S // 10, step=S // 250)
    assert len(values["ghi"]) == 25
    assert np.ptp(values["temperature"]) < 1e-3


def test_two_runs_are_the_same():
    first, second = day(), day()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])


@pytest.mark.parametrize(
    ("settings", "changes", "field", "problem"),
    [
        ({"table": "atlantis"}, {}, "table", "Use one of: greensboro_tmy3, melbourne_2014_01"),
        ({}, {"start": datetime(2014, 1, 11)}, "table", "covers 2014-01-12 00:00 to 2014-01-19 00:00"),
        ({}, {"start": datetime(2014, 1, 18, 12)}, "table", "needs 2014-01-18 12:00 to 2014-01-19 11:59"),
        ({}, {"start": datetime(2024, 7, 1)}, "table", "Move the scenario's start"),
    ],
)
def test_weather_that_is_not_there_is_refused(settings, changes, field, problem):
    with pytest.raises(ConfigError, match=problem) as caught:
        weather(settings, **changes)
    assert caught.value.field == field


def test_a_table_without_a_place_is_refused(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("time,temperature [degC]\n2014-01-16 00:00,20\n2014-01-17 00:00,21\n")
    with pytest.raises(ConfigError, match="clear sky needs the latitude"):
        weather({"table": str(path)})
    placed = {"table": str(path), "latitude": 0, "longitude": 0, "altitude": 0, "utc_offset": 0}
    assert day(placed)["ghi"].max() > 500


@pytest.mark.parametrize(
    "settings",
    [
        {"table": "missing/file.epw"},
        {"irradiance_scale": -1},
        {"latitude": 100},
        {"temperature_offset": "2 MW"},
        {"wind_speed": "3 degC"},
        {"wind": 3},
    ],
)
def test_wrong_settings_are_refused(settings):
    with pytest.raises(ValidationError):
        weather(settings)


def test_the_shipped_table_needs_no_heavy_import_before_the_start():
    code = (
        "import sys; from datetime import datetime; from cosim.contract import Context;"
        "from federates.weather import Weather; from federates.demand import Demand;"
        "from federates.communications import Communications;"
        "c = Context('x', 1, datetime(2014, 1, 16), 10**12, 10**9);"
        "[len(f(f.Config(), c).ports()) for f in (Weather, Demand, Communications)];"
        "print([name for name in ('pandas', 'pvlib', 'scipy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
