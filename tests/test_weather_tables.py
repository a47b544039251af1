import csv
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from feeders import time_tables, weather_tables
from feeders.time_tables import TimeTableError
from feeders.weather_tables import Site

H = 3600 * 10**9
MELBOURNE = Site(-37.81, 144.97, 31.0, 10.0)
SHARED = Path(__file__).parents[1].parent / "shared" / "data" / "vic_elec_2012_2014" / "vic_elec.csv"


def instants(start, hours, step_minutes=1):
    return time_tables.grid(start, int(hours * H), step_minutes * 60 * 10**9)


def written(folder, text, name="weather.csv"):
    path = folder / name
    path.write_text(text)
    return str(path)


def test_the_shipped_table_states_its_span_and_place():
    table = weather_tables.read("melbourne_2014_01")
    assert table.time[0] == np.datetime64("2014-01-12T00:00")
    assert table.time[-1] == np.datetime64("2014-01-19T00:00")
    assert len(table.time) == 7 * 48 + 1
    assert weather_tables.site_of(table) == MELBOURNE
    # Four days above 41 °C, 14 to 17 January 2014 (README of the source data).
    for day in (14, 15, 16, 17):
        on_day = table.time.astype("datetime64[D]") == np.datetime64(f"2014-01-{day}")
        assert table.columns["temperature"][on_day].max() > 41


@pytest.mark.skipif(not SHARED.is_file(), reason="the shared measured data is not beside the repository")
@pytest.mark.parametrize(
    ("folder", "name", "column", "source"),
    [
        ("weather", "melbourne_2014_01", weather_tables.COLUMNS[0], "temp_C"),
        ("demand", "victoria_2014_01", time_tables.Column("demand", "MW", 0, 1e5), "demand_MW"),
    ],
)
def test_the_shipped_tables_are_the_source_ten_hours_ahead_of_utc(folder, name, column, source):
    path = weather_tables.TABLES.parent / folder / f"{name}.csv"
    table = time_tables.read_time_table(path, [column], [column.name])
    with SHARED.open(newline="") as file:
        rows = {row["time_utc"]: row for row in csv.DictReader(file)}
    for time, value in zip(table.time.tolist(), table.columns[column.name], strict=True):
        row = rows[f"{time - timedelta(hours=10):%Y-%m-%dT%H:%MZ}"]
        assert value == float(row[source])
        # The source's own local time is daylight time, one hour ahead of the table's.
        assert row["time_local"] == f"{time + timedelta(hours=1):%Y-%m-%dT%H:%M:%S}+1100"


def test_a_table_is_linear_between_rows():
    table = weather_tables.read("melbourne_2014_01")
    values = weather_tables.resample(table, MELBOURNE, instants(datetime(2014, 1, 16), 24, 10))
    rows = table.columns["temperature"][4 * 48 :][:2]
    expected = [rows[0], (2 * rows[0] + rows[1]) / 3, (rows[0] + 2 * rows[1]) / 3, rows[1]]
    np.testing.assert_allclose(values["temperature"][:4], expected, rtol=1e-12)


# Published sun times for Melbourne, 1 and 6 January 2026 (timeandtool.com, daylight time less one hour);
# the calendar shifts them by less than a minute between years.
@pytest.mark.parametrize(
    ("day", "sunrise", "noon", "sunset"),
    [(1, (5, 1), (12, 23), (19, 45)), (6, (5, 6), (12, 25), (19, 45))],
)
def test_the_sun_keeps_the_published_times(day, sunrise, noon, sunset):
    sky = weather_tables.clear_sky(MELBOURNE, instants(datetime(2014, 1, day), 24))
    minutes = np.flatnonzero(sky["ghi"] > 0)
    # The model's sun is up when its centre is; the published one when its upper rim is, refracted:
    # 0.83 degrees or about five minutes earlier.
    assert minutes[0] == pytest.approx(sunrise[0] * 60 + sunrise[1], abs=7)
    assert minutes[-1] == pytest.approx(sunset[0] * 60 + sunset[1], abs=7)
    # Around the highest sun irradiance is flat; the middle of the day is where it is symmetric.
    assert (minutes[0] + minutes[-1]) / 2 == pytest.approx(noon[0] * 60 + noon[1], abs=1.5)
    assert int(np.argmax(sky["ghi"])) == pytest.approx(noon[0] * 60 + noon[1], abs=5)


def test_a_clear_summer_sky_is_within_physical_bounds():
    sky = weather_tables.clear_sky(MELBOURNE, instants(datetime(2014, 1, 16), 24))
    # A cloudless midsummer noon at this latitude gives about 1,000 W/m²; the sun gives 1,361 (IAU 2015)
    # times 1.034 in early January outside the air.
    assert 900 < sky["ghi"].max() < 1100
    assert 750 < sky["dni"].max() < 1050
    assert 50 < sky["dhi"].max() < 250
    for component in sky.values():
        assert component.min() == 0
    assert (sky["dhi"] <= sky["ghi"] + 1e-9).all()
    assert (sky["ghi"] <= sky["dhi"] + sky["dni"] + 1e-9).all()
    assert sky["ghi"].sum() / 60 == pytest.approx(8_500, rel=0.1)  # [Wh/m²] a clear January day


SPOT_ROWS = {
    # Printed in the files: 1 January, hour ending 13:00.
    "greensboro_tmy3": {"ghi": 155.0, "dni": 0.0, "relative_humidity": 0.93, "wind_speed": 5.2},
    "miami_tmy2": {"ghi": 145.0, "dni": 9.0, "dhi": 137.0},
}


@pytest.mark.parametrize("name", SPOT_ROWS)
def test_typical_years_hold_what_is_printed_in_their_files(name):
    year = weather_tables.read(name)
    for column, value in SPOT_ROWS[name].items():
        assert year.columns[column][12] == pytest.approx(value)


def test_a_first_row_is_the_hour_ending_at_one():
    year = weather_tables.read("miami_tmy2")
    # First line of the file: "...200A70150A7073A7...161A7": 20.0 degC dry, 15.0 dew, 73 %.
    assert year.columns["temperature"][0] == pytest.approx(20.0)
    assert year.columns["relative_humidity"][0] == pytest.approx(0.73)
    values = weather_tables.resample(year, weather_tables.site_of(year), instants(datetime(2023, 1, 1, 1), 1, 60))
    assert values["temperature"].tolist() == pytest.approx([20.0, 20.6])


@pytest.mark.parametrize("name", sorted(weather_tables.PVLIB_FILES))
def test_every_shipped_typical_year_reads(name):
    year = weather_tables.read(name)
    assert {len(column) for column in year.columns.values()} == {8760}
    assert {*year.facts} == {"latitude", "longitude", "altitude", "utc_offset"}


def test_resampled_irradiance_keeps_its_hourly_means():
    year = weather_tables.read("greensboro_tmy3")
    start = datetime(2025, 7, 15)
    step = 60 * 10**9
    # Half a step into each minute: the mean of these is the midpoint rule over the hour.
    middles = time_tables.grid(start, 24 * H, step)[:-1] + np.timedelta64(30, "s")
    values = weather_tables.resample(year, weather_tables.site_of(year), middles)
    first = 195 * 24
    for name in weather_tables.IRRADIANCES:
        hourly = values[name].reshape(24, 60).mean(axis=1)
        np.testing.assert_allclose(hourly, year.columns[name][first : first + 24], rtol=0.02, atol=3)
    assert values["ghi"].max() > 800
    # The sun of mid-July in Greensboro is up from about 05:15 to 19:35 standard time.
    assert values["ghi"][: 5 * 60].max() == 0


def test_the_clear_sky_index_keeps_the_mean_and_the_shape():
    mean, sky_mean = np.array([0.0, 50.0, 300.0, 40.0]), np.array([0.0, 100.0, 400.0, 10.0])
    sky = np.array([0.0, 80.0, 120.0, 400.0, 10.0])
    interval = np.array([0, 1, 1, 2, 3])
    # 50/100 of 80 and of 120; 300/400 of 400; an index of 4 is not believed: the mean.
    expected = [0.0, 40.0, 60.0, 300.0, 40.0]
    np.testing.assert_allclose(weather_tables.with_clear_sky_shape(mean, sky_mean, sky, interval), expected)


@pytest.mark.parametrize(
    ("moment", "row"),
    [
        ("2023-01-01T00:00", 0),
        ("2023-12-31T23:59", 8759),
        ("2024-02-28T05:30", 58 * 24 + 5),
        ("2024-02-29T05:30", 58 * 24 + 5),
        ("2024-03-01T05:30", 59 * 24 + 5),
        ("2023-03-01T05:30", 59 * 24 + 5),
        ("2024-12-31T23:00", 8759),
    ],
)
def test_calendar_hours_map_to_rows_of_the_typical_year(moment, row):
    assert weather_tables.hours_of_year(np.array([moment], "datetime64[ns]")).tolist() == [row]


def test_a_typical_year_runs_over_new_year():
    year = weather_tables.read("miami_tmy2")
    site = weather_tables.site_of(year)
    values = weather_tables.resample(year, site, instants(datetime(2023, 12, 31, 23), 3, 60))
    rows = year.columns["temperature"]
    assert values["temperature"].tolist() == pytest.approx([rows[8758], rows[8759], rows[0], rows[1]])


GOOD = "time,temperature [degC]\n2014-01-16 00:00,20\n2014-01-16 01:00,21\n2014-01-16 02:00,22\n"


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("temperature [degC]", "temperature [degF]", "unknown column 'temperature \\[degF\\]'"),
        ("temperature [degC]", "temp", "unknown column 'temp'.*Allowed are: time, temperature"),
        ("temperature [degC]", "wind_speed [m/s]", "no column 'temperature \\[degC\\]'"),
        ("time,", "when,", "unknown column 'when'"),
        (",21", ",", "data row 2.*must be a number, got ''"),
        (",21", ",nan", "data row 2.*got nan"),
        (",21", ",NA", "data row 2.*got 'NA'"),
        (",21", ",104", "data row 2.*from -90 to 60 \\[degC\\], got 104.*convert the unit"),
        (",21", ",21,5", "data row 2: 3 cells"),
        ("2014-01-16 01:00", "2014-01-16 01:30", "data row 3.*evenly spaced"),
        ("2014-01-16 01:00", "2014-01-15 23:00", "data row 2.*evenly spaced and ascend"),
        ("2014-01-16 01:00", "2014-01-16T01:00+10:00", "data row 2.*has a zone"),
        ("2014-01-16 01:00", "16/01/2014", "data row 2.*must look like"),
        (GOOD[24:], "\n2014-01-16 00:00,20\n", "1 data rows"),
        (GOOD, "", "0 data rows"),
        ("temperature [degC]", "temperature [degC],ghi [W/m2]", "cells"),
        # a place that passes for a remark cannot be held against the scenario's
        ("time,", "# latitude: 37.81 S\ntime,", "`latitude: 37.81 S` is not read.*north is positive"),
        ("time,", "# Lon: 144.97\ntime,", "`Lon: 144.97` is not read. Write `# longitude: ...`"),
        ("time,", "# time zone: +10 h\ntime,", "Write `# utc_offset: ...`"),
        ("time,", "# Stamps: ending\ntime,", "`# stamps:` must be instant, start, end, got 'ending'"),
    ],
)
def test_a_damaged_table_is_refused_with_its_row(tmp_path, old, new, problem):
    assert old in GOOD
    path = written(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(TimeTableError, match=problem):
        weather_tables.read(path)


def test_a_good_table_of_ones_own_reads(tmp_path):
    table = weather_tables.read(written(tmp_path, "# latitude: 1.5\n# a remark: in words\n\n" + GOOD))
    assert table.columns["temperature"].tolist() == [20, 21, 22]
    assert dict(table.facts) == {"latitude": 1.5}


def test_remarks_in_words_are_no_facts(tmp_path):
    remarks = "# utc: the source's clock\n# Latitude: -37.81\n# station: 87031\n# Stamps: end\n"
    table = weather_tables.read(written(tmp_path, remarks + GOOD, "w.csv"))
    assert table.facts == {"latitude": -37.81, "station": 87031}
    assert table.stamps == "end"


def test_irradiance_in_a_table_is_all_or_none(tmp_path):
    text = "time,temperature [degC],ghi [W/m2]\n2014-01-16 00:00,20,0\n2014-01-16 01:00,21,0\n"
    with pytest.raises(TimeTableError, match="needs ghi, dni and dhi"):
        weather_tables.read(written(tmp_path, text))


def test_measured_irradiance_of_a_table_is_used(tmp_path):
    header = "time,temperature [degC],ghi [W/m2],dni [W/m2],dhi [W/m2]"
    rows = ["2014-01-16 12:00,20,600,500,100", "2014-01-16 13:00,21,800,700,100"]
    table = weather_tables.read(written(tmp_path, "\n".join([header, *rows])))
    assert weather_tables.site_of(table) is None
    values = weather_tables.resample(table, None, instants(datetime(2014, 1, 16, 12), 1, 30))
    assert values["ghi"].tolist() == [600, 700, 800]


def test_a_table_without_place_or_irradiance_needs_the_place(tmp_path):
    table = weather_tables.read(written(tmp_path, GOOD))
    with pytest.raises(TimeTableError, match="latitude, longitude, altitude, utc_offset"):
        weather_tables.site_of(table)
    with pytest.raises(TimeTableError, match="needs the altitude, utc_offset"):
        weather_tables.site_of(table, latitude=1.0, longitude=2.0)
    stated = weather_tables.site_of(table, latitude=1.0, longitude=2.0, altitude=3.0, utc_offset=4.0)
    assert stated == Site(1.0, 2.0, 3.0, 4.0)


def test_unknown_weather_names_what_there_is(tmp_path):
    with pytest.raises(TimeTableError, match="greensboro_tmy3, melbourne_2014_01, miami_tmy2"):
        weather_tables.read("atlantis")
    with pytest.raises(TimeTableError, match=r"must be a \.csv, \.tm2, \.tmy2 or \.epw"):
        weather_tables.read(written(tmp_path, "x", "weather.nc"))


EPW_HEAD = (
    "LOCATION,Nowhere,-,-,test,0,-37.8,145.0,10.0,31.0\nDESIGN CONDITIONS,0\n"
    "TYPICAL/EXTREME PERIODS,0\nGROUND TEMPERATURES,0\nHOLIDAYS/DAYLIGHT SAVINGS,No,0,0,0\n"
    "COMMENTS 1,\nCOMMENTS 2,\nDATA PERIODS,1,1,Data,Sunday, 1/ 1,12/31\n"
)


def epw(temperature, radiation, hours=8760, first=datetime(2015, 1, 1)):
    """An EPW file whose hours repeat the given functions of the hour of day."""
    lines = [EPW_HEAD]
    for hour in range(hours):
        day = first + timedelta(hours=hour)
        t, g = temperature(day.hour), radiation(day.hour)
        stamp = f"{day.year},{day.month},{day.day},{day.hour + 1},60,?"
        lines.append(
            f"{stamp},{t},{t},{50 + g / 20},101325,0,0,300,{g},{g / 2},{g / 2},0,0,0,0,0,{1 + g / 500},"
            "0,0,9999,99999,9,999999999,0,0,0,88,0,0,0\n"
        )
    return "".join(lines)


def test_an_epw_file_reads(tmp_path):
    text = epw(lambda hour: 10 + hour, lambda hour: 400 if 6 <= hour < 18 else 0)
    year = weather_tables.read(written(tmp_path, text, "city.epw"))
    assert year.facts["latitude"] == -37.8
    assert year.columns["temperature"][:3].tolist() == [10, 11, 12]
    site = weather_tables.site_of(year)
    values = weather_tables.resample(year, site, instants(datetime(2024, 5, 1, 1), 2, 30))
    assert values["temperature"].tolist() == pytest.approx([10, 10.5, 11, 11.5, 12])


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (EPW_HEAD, "0 data rows; a typical year has 8760"),
        ("LOCATION,x\n", "not a readable .epw"),
        ("", "not a readable .epw"),
        (epw(lambda hour: 10 + hour, lambda hour: hour, hours=48), "48 data rows"),
        # of a measured year from July to June: read by their place, its rows gave January the sun of July
        (epw(lambda hour: 10 + hour, lambda hour: hour, first=datetime(2015, 7, 1)), r"data row 13 is of 1\.7\."),
        (epw(lambda hour: 0, lambda hour: 0), "is a stub.*same temperature all year, 0"),
        (epw(lambda hour: 10 + hour, lambda hour: 0), "is a stub"),
        (epw(lambda hour: 99.9, lambda hour: hour), "data row 1.*from -90 to 60"),
        (epw(lambda hour: hour, lambda hour: 9999 if hour == 7 else 0), "data row 8"),
    ],
)
def test_a_stub_epw_file_is_refused(tmp_path, text, problem):
    with pytest.raises(TimeTableError, match=problem):
        weather_tables.read(written(tmp_path, text, "stub.epw"))


def test_a_damaged_tmy2_file_is_refused(tmp_path):
    path = written(tmp_path, " 12839 MIAMI                  FL  -5 N 25 48 W  80 16     2\n 6201\n", "x.tm2")
    with pytest.raises(TimeTableError, match=r"not a readable \.tm2"):
        weather_tables.read(path)
