"""Data that are wrong are named before anything is fitted: the file, the column, the rows, what to do.

The good data are those of the tutorial; each test spoils a copy in one way.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from cosim.errors import ScenarioError
from runs.calibrate.file import load_calibration
from runs.calibrate.run import check

EXAMPLES = Path(__file__).parents[1] / "docs" / "examples"
SHARED = Path(__file__).parents[1].parent / "shared" / "data"
BAD_FILES = sorted((Path(__file__).parent / "bad_calibrations").glob("*.yaml"))


@pytest.fixture(scope="module")
def good() -> pd.DataFrame:
    return pd.read_csv(EXAMPLES / "victoria_summer.csv", comment="#")


def written(folder: Path, table: pd.DataFrame, **changes: Any) -> Path:
    """A calibration of `table`; `changes` go into its data."""
    table.to_csv(folder / "load.csv", index=False)
    text = yaml.safe_load((EXAMPLES / "victoria_summer.yaml").read_text())
    text["data"][0] |= {"file": "load.csv", **changes}
    path = folder / "calibration.yaml"
    path.write_text(yaml.safe_dump(text))
    return path


def faults(path: Path) -> list[str]:
    with pytest.raises(ScenarioError) as refused:
        check(path)
    return [str(fault) for fault in refused.value.faults]


def naive(table: pd.DataFrame, zone: str) -> pd.DataFrame:
    """The times written by the clock of `zone`, without offsets."""
    times = pd.to_datetime(table["time_utc"], utc=True).dt.tz_convert(zone).dt.tz_localize(None)
    return table.assign(time_utc=times.dt.strftime("%Y-%m-%d %H:%M"))


def test_the_good_data_are_good(tmp_path: Path, good: pd.DataFrame) -> None:
    tables, notices = check(written(tmp_path, good))
    assert len(tables["data"].utc) == 3288
    assert tables["data"].step == 3600
    assert notices == []
    # 14 October 13:00 UTC; Melbourne's wall clock has been 11 h ahead since 6 October
    assert str(tables["data"].wall[0]) == "2013-10-15T00:00:00"


def test_a_zone_that_is_wrong_by_ten_hours(tmp_path: Path, good: pd.DataFrame) -> None:
    """Melbourne's clock stated as UTC: by the time of day at which temperature and load move."""
    utc = {"column": "time_utc", "zone": "UTC", "local": "Australia/Melbourne"}
    (found,) = faults(written(tmp_path, naive(good, "Australia/Melbourne"), time=utc))
    assert re.search(r"load\.csv, demand_MW: the load is lowest at 1\d:30 .* zone is wrong, in all 3,288 rows", found)
    assert "time.zone" in found


def test_a_zone_that_is_wrong_by_hours_shows_in_the_temperature(tmp_path: Path, good: pd.DataFrame) -> None:
    """Six hours: the load's night would pass for late; the temperature's afternoon does not."""
    moved = {"column": "time_utc", "zone": "UTC", "local": "Asia/Karachi"}
    (found,) = faults(written(tmp_path, good, time=moved))
    assert "zone is wrong" in found


def test_offsets_that_contradict_the_zone(tmp_path: Path, good: pd.DataFrame) -> None:
    (found,) = faults(written(tmp_path, good, time={"column": "time_utc", "zone": "Australia/Melbourne"}))
    assert "load.csv, time_utc: the stated zone contradicts row 1" in found


@pytest.mark.parametrize(
    ("zone", "words"),
    [
        ("Australia/Brisbane", "the morning rise moves by an hour .* when the clocks of Australia/Melbourne change"),
        ("UTC", "the load is lowest at 17:30"),
    ],
)
def test_a_local_zone_whose_clocks_do_not_change(zone: str, words: str) -> None:
    source = SHARED / "vic_elec_2012_2014" / "vic_elec.csv"
    if not source.is_file():
        pytest.skip("the shared data are not here")
    path = Path(__file__).parents[1] / "runs" / "calibrations" / "victoria.yaml"
    file = load_calibration(path)
    data = file.data[0]
    other = data.model_copy(update={"time": data.time.model_copy(update={"local": zone})})
    spoilt = file.model_copy(update={"data": (other,)})
    with pytest.raises(ScenarioError, match=words):
        check(spoilt)


@pytest.mark.parametrize(
    ("time", "words"),
    [
        ({"column": "time", "zone": "Africa/Casablanca"}, "an hour that the clocks of Africa/Casablanca skip"),
        ({"column": "time", "zone": "+01:00", "local": "Africa/Casablanca"}, "the morning rise moves by an hour"),
        ({"column": "time", "zone": "+08:00", "local": "+01:00"}, "the stated zone is wrong"),
    ],
)
def test_tetouan_runs_by_no_clock_with_daylight_saving(time: dict[str, str], words: str) -> None:
    if not (SHARED / "tetouan_zones_2017").is_dir():
        pytest.skip("the shared data are not here")
    file = load_calibration(Path(__file__).parents[1] / "runs" / "calibrations" / "tetouan.yaml")
    clock = file.data[0].time.update(**({"local": None} | time))
    spoilt = file.model_copy(update={"data": (file.data[0].model_copy(update={"time": clock}),)})
    with pytest.raises(ScenarioError, match=words):
        check(spoilt)


def autumn() -> pd.DataFrame:
    """Rows across Melbourne's clock change of 6 April 2014, 3:00 to 2:00, by the wall clock."""
    utc = pd.date_range("2014-03-20", "2014-04-20", freq="h", tz="UTC")
    wall = utc.tz_convert("Australia/Melbourne").tz_localize(None)
    hour = wall.hour.to_numpy()
    load = 4700 - 900 * np.cos(2 * np.pi * (hour - 4) / 24) + 20 * (wall.dayofweek < 5)
    temperature = 18 - 5 * np.cos(2 * np.pi * (hour - 4) / 24)
    return pd.DataFrame(
        {"time_utc": wall.strftime("%Y-%m-%d %H:%M"), "demand_MW": load, "temp_C": temperature, "holiday": 0}
    )


AUTUMN = {"column": "time_utc", "zone": "Australia/Melbourne"}


def late_split(path: Path) -> Path:
    text = yaml.safe_load(path.read_text())
    text["split"] = {"held_out": [["2014-04-10", "2014-04-17"]]}
    path.write_text(yaml.safe_dump(text))
    return path


def test_the_hour_that_comes_twice_is_known_by_its_zone(tmp_path: Path) -> None:
    tables, _ = check(late_split(written(tmp_path, autumn(), time=AUTUMN)))
    assert (np.diff(tables["data"].utc).astype(int) == 3600).all()


def test_a_doubled_hour_on_a_clock_without_daylight_saving(tmp_path: Path) -> None:
    table = autumn()
    (found,) = faults(late_split(written(tmp_path, table, time=AUTUMN | {"zone": "+10:00"})))
    assert re.search(r"load\.csv, time_utc: 1 rows repeat .* row \d+ \(2014-04-06 02:00 local\)", found)
    assert "clock change" in found


def test_a_doubled_hour_that_was_dropped(tmp_path: Path) -> None:
    table = autumn().drop_duplicates("time_utc")
    (found,) = faults(late_split(written(tmp_path, table, time=AUTUMN)))
    assert re.search(r"2014-04-06 02:00:00, comes twice on the clocks of Australia/Melbourne but stands", found)


def test_a_fifth_of_the_values_missing(tmp_path: Path, good: pd.DataFrame) -> None:
    gone = good.copy()
    gone.loc[gone.index % 5 == 0, "demand_MW"] = np.nan
    (found,) = faults(written(tmp_path, gone))
    assert "load.csv, demand_MW: 658 of 3,288 values (20.0%) are missing, from 2013-10-15 00:00" in found
    assert "nothing is filled" in found


def test_a_fifth_of_the_rows_missing(tmp_path: Path, good: pd.DataFrame) -> None:
    found = faults(written(tmp_path, good[good.index % 5 != 2]))
    assert any("demand_MW" in fault and "are missing" in fault for fault in found)


def test_a_small_gap_is_reported_and_not_filled(tmp_path: Path, good: pd.DataFrame) -> None:
    tables, notices = check(written(tmp_path, good.drop(index=range(100, 110))))
    assert "10 rows are missing, between 2013-10-19 03:00 to 2013-10-19 14:00 (10 rows); not filled" in notices[0]
    assert np.isnan(tables["data"].columns["load"][100:110]).all()


def test_units_off_by_a_thousand_in_the_whole_column(tmp_path: Path, good: pd.DataFrame) -> None:
    (found,) = faults(written(tmp_path, good.assign(demand_MW=good["demand_MW"] / 1000)))
    assert "load.csv, demand_MW: has a mean of" in found
    assert "over all 3,288 rows" in found
    assert "the unit is wrong" in found


def test_units_off_by_a_thousand_in_some_rows(tmp_path: Path, good: pd.DataFrame) -> None:
    spoilt = good.astype({"demand_MW": float})
    spoilt.loc[500:700, "demand_MW"] /= 1000
    (found,) = faults(written(tmp_path, spoilt))
    assert "201 values, first in row 501 and last in row 701, are about" in found
    assert "units off by 1,000" in found


def test_an_impossible_temperature_by_its_unit(tmp_path: Path, good: pd.DataFrame) -> None:
    (found,) = faults(written(tmp_path, good.assign(temp_C=good["temp_C"] + 273.15)))
    assert "load.csv, temp_C: 3288 values (100.0%) are impossible" in found
    assert "Check the unit" in found


@pytest.mark.parametrize("column", ["demand_MW", "temp_C"])
def test_a_constant_column(tmp_path: Path, good: pd.DataFrame, column: str) -> None:
    found = faults(written(tmp_path, good.assign(**{column: 19})))
    assert any(f"load.csv, {column}: is 19" in fault and "in all 3,288 rows" in fault for fault in found)


def test_outliers_are_named_and_left_out(tmp_path: Path, good: pd.DataFrame) -> None:
    spoilt = good.copy()
    spoilt.loc[[40, 41], "demand_MW"] = 40000
    columns = yaml.safe_load((EXAMPLES / "victoria_summer.yaml").read_text())["data"][0]["columns"]
    columns["load"]["range"] = [1000, 15000]
    tables, notices = check(written(tmp_path, spoilt, columns=columns))
    assert "2 values outside 1000 to 15000 MW are left out as outliers, first in row 41" in notices[0]
    assert np.isnan(tables["data"].columns["load"][[40, 41]]).all()


def test_words_among_the_numbers(tmp_path: Path, good: pd.DataFrame) -> None:
    spoilt = good.astype({"demand_MW": object})
    spoilt.loc[7, "demand_MW"] = "n/m"
    (found,) = faults(written(tmp_path, spoilt))
    assert "load.csv, demand_MW: is no number in row 8: 'n/m'" in found


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: b"", "load.csv: is not readable as csv: No columns"),
        (lambda text: text.encode("utf-16"), "load.csv: is not text in UTF-8"),
        (lambda text: text.replace(",", ";").encode(), "is one column, .* State `separator: ';'`"),
        (
            lambda text: re.sub(r"^[^,\n]*(?=,4\d{3})", "", text, count=1, flags=re.MULTILINE).encode(),
            "time_utc: is empty in row",
        ),
        (
            lambda text: "\n".join([text.split("\n")[0], *text.split("\n")[:0:-1]]).encode(),
            "time runs back in 3287 rows",
        ),
        (lambda text: re.sub(r",4\d{3}[.\d]*,", ",0,", text, count=3).encode(), "demand_MW: is 0 in 3 rows"),
    ],
)
def test_odd_files(tmp_path: Path, good: pd.DataFrame, change: Callable[[str], bytes], words: str) -> None:
    path = written(tmp_path, good)
    (tmp_path / "load.csv").write_bytes(change(good.to_csv(index=False)))
    (found,) = faults(path)
    assert re.search(words, found)


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path: Path, good: pd.DataFrame) -> None:
    path = written(tmp_path, good)
    (tmp_path / "load.csv").write_bytes(b"\xef\xbb\xbf" + (tmp_path / "load.csv").read_bytes())
    assert len(check(path)[0]["data"].utc) == 3288


def test_decimal_commas_are_told(tmp_path: Path, good: pd.DataFrame) -> None:
    path = written(tmp_path, good, separator=";")
    good.to_csv(tmp_path / "load.csv", index=False, sep=";", decimal=",")
    (found,) = faults(path)
    assert "State `decimal: ','`" in found


def test_parquet_and_zarr_read_as_csv(tmp_path: Path, good: pd.DataFrame) -> None:
    import xarray

    path = written(tmp_path, good)
    expected = check(path)[0]["data"]
    good.to_parquet(tmp_path / "load.parquet")
    xarray.Dataset({name: ("row", good[name].to_numpy()) for name in good.columns if name != "time_utc"}).assign(
        time=("row", pd.to_datetime(good["time_utc"], utc=True).dt.tz_localize(None).to_numpy("datetime64[ns]"))
    ).to_zarr(tmp_path / "load.zarr", zarr_format=2)
    for name, column in (("load.parquet", "time_utc"), ("load.zarr", "time")):
        text = yaml.safe_load(path.read_text())
        text["data"][0] |= {"file": name}
        text["data"][0]["time"]["column"] = column
        (tmp_path / "other.yaml").write_text(yaml.safe_dump(text))
        found = check(tmp_path / "other.yaml")[0]["data"]
        assert (found.utc == expected.utc).all()
        assert (found.columns["load"] == expected.columns["load"]).all()


@pytest.mark.parametrize("file", BAD_FILES, ids=lambda file: file.stem)
def test_a_bad_calibration_file_is_refused_with_its_faults(file: Path, tmp_path: Path) -> None:
    """Each header says what is expected: the line, the place and the words."""
    shutil.copy(EXAMPLES / "victoria_summer.csv", tmp_path)
    path = Path(shutil.copy(file, tmp_path))
    expected = re.findall(r"^# expect: (.*)$", file.read_text(), re.MULTILINE)
    found = faults(path)
    assert len(found) == len(expected), found
    for words in expected:
        assert any(words in fault for fault in found), found
