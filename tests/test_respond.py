"""`cosim respond`: answers in the waveform's own time, and one clear message for what is no waveform."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from cosim.errors import ScenarioError
from runs.respond import device_settings, read_settings, register, respond
from runs.waveform import read_waveform


def _write(path: Path, columns: dict[str, np.ndarray]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*(values.tolist() for values in columns.values()), strict=True))
    return path


def _wave(*, start: float = 0.0, end: float = 10.0, dt: float = 0.01, low: float = 1.0, onset: float = 1.0, until=5.0):
    time = np.round(start + np.arange(round((end - start) / dt) + 1) * dt, 9)
    voltage = np.where((time >= onset - 1e-9) & (time < until - 1e-9), low, 1.0)
    return {"time_s": time, "v_pu": voltage, "f_hz": np.full(len(time), 60.0)}


def _app() -> typer.Typer:
    app = typer.Typer()
    app.callback()(lambda: None)
    register(app)
    return app


def test_trip_in_the_files_own_time(tmp_path: Path) -> None:
    path = _write(tmp_path / "wave.csv", _wave(start=100.0, end=110.0, low=0.4, onset=101.0, until=105.0))
    result = CliRunner().invoke(_app(), ["respond", str(path), "--category", "III", "--json"])
    answer = json.loads(result.stdout)
    assert (answer["tripped"], answer["element"], answer["trip_time_s"]) == (True, "UV2", 103.0)
    assert answer["modes"] == [
        [100.0, 101.0, "continuous"],
        [101.0, 103.0, "momentary_cessation"],
        [103.0, 110.0, "tripped"],
    ]
    assert answer["reenter_time_s"] is None


@pytest.mark.parametrize("dt", [0.001, 0.01, 0.1])
def test_the_trip_moment_does_not_depend_on_the_sampling(tmp_path: Path, dt: float) -> None:
    path = _write(tmp_path / "wave.csv", _wave(dt=dt, low=0.4))
    answer = respond(path, device_settings({"category": "II"}))
    assert (answer.element, answer.trip_time_s) == ("UV2", pytest.approx(1.16, abs=1e-6))


def test_reenters_after_delay_and_series_can_be_read_back(tmp_path: Path) -> None:
    path = _write(tmp_path / "wave.csv", _wave(dt=0.1, end=60.0, low=0.4, until=5.0))
    out = tmp_path / "series.csv"
    settings = device_settings({"category": "II", "ES_delay_s": 20.0, "ES_ramp_s": 10.0})
    answer = respond(path, settings, power_pu=0.5, out=out)
    assert answer.reenter_time_s == pytest.approx(25.0, abs=1e-6)
    assert [mode for _, _, mode in answer.modes][-3:] == ["tripped", "entering_service", "continuous"]
    with out.open() as file:
        rows = list(csv.DictReader(file))
    power = {round(float(row["time_s"]), 1): float(row["p_pu"]) for row in rows}
    assert power[0.0] == pytest.approx(0.5)
    assert power[20.0] == 0.0
    assert power[27.5] == pytest.approx(0.25, abs=0.011)  # 2.5 s into a ramp of 10 s to rated power
    assert power[60.0] == pytest.approx(0.5)
    assert read_waveform(out).voltage_pu.min() == 0.4


def test_phases_decide_by_the_worst(tmp_path: Path) -> None:
    wave = _wave(low=0.4)
    columns = {"time_s": wave["time_s"], "va_pu": np.ones_like(wave["v_pu"]), "vb_pu": wave["v_pu"]}
    columns |= {"vc_pu": np.ones_like(wave["v_pu"]), "f_hz": wave["f_hz"]}
    answer = respond(_write(tmp_path / "wave.csv", columns), device_settings({"category": "I"}))
    assert (answer.element, answer.trip_time_s) == ("UV2", 1.16)


def test_settings_by_eprilabel_by_own_name_and_by_profile(tmp_path: Path) -> None:
    wave = _write(tmp_path / "wave.csv", _wave(low=0.6, until=8.0))
    assert respond(wave, device_settings({"category": "II"})).element is None
    epri = tmp_path / "settings.csv"
    epri.write_text("PARAMETER,VALUE\nNP_ABNORMAL_OP_CAT,CAT_II\nUV1_TRIP_T-AS,3.0\n")
    assert respond(wave, device_settings(read_settings(epri))).trip_time_s == 4.0
    own = tmp_path / "settings.yaml"
    own.write_text("category: II\nUV1_trip_s: 4.0\n")
    assert respond(wave, device_settings(read_settings(own))).trip_time_s == 5.0
    assert respond(wave, device_settings({}, profile="PSCo")).trip_time_s == 6.0  # UV1 0.70 pu, 5.0 s


def test_cold_start_waits_for_the_delay(tmp_path: Path) -> None:
    path = _write(tmp_path / "wave.csv", _wave(dt=0.1, end=30.0))
    result = CliRunner().invoke(_app(), ["respond", str(path), "--category", "III", "--json", "--cold-start"])
    answer = json.loads(result.stdout)
    assert (answer["tripped"], answer["reenter_time_s"]) == (False, None)
    assert answer["modes"] == [[0.0, 30.0, "tripped"]]


def _changed(change: str) -> dict[str, np.ndarray]:
    wave = _wave(low=0.8)
    if change == "gap":
        keep = (wave["time_s"] < 3.0) | (wave["time_s"] > 3.5)
        return {name: values[keep] for name, values in wave.items()}
    if change == "order":
        wave["time_s"][50] = 0.2
    elif change == "nan":
        wave["v_pu"][7] = np.nan
    elif change == "volts":
        wave["v_pu"] = wave["v_pu"] * 277.0
    elif change == "percent":
        wave["v_pu"] = wave["v_pu"] * 100.0
    elif change == "50 Hz":
        wave["f_hz"] = wave["f_hz"] - 10.0
    elif change == "frequency in pu":
        wave["f_hz"] = wave["f_hz"] / 60.0
    elif change == "phase":
        wave["va_pu"] = wave["vb_pu"] = wave.pop("v_pu")
    elif change == "no frequency":
        del wave["f_hz"]
    elif change == "instantaneous":
        wave["v_pu"] = np.sin(2 * np.pi * 60.0 * wave["time_s"] + 0.1)
    return wave


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("gap", "gap"),
        ("order", "does not increase"),
        ("nan", "NaN"),
        ("volts", "volts, not per unit"),
        ("percent", "percent or volts, not per unit"),
        ("50 Hz", "50 Hz grid"),
        ("frequency in pu", "not Hz"),
        ("phase", "vc_pu"),
        ("no frequency", "f_hz"),
        ("instantaneous", "RMS"),
    ],
)
def test_bad_input_gets_one_clear_message(tmp_path: Path, change: str, says: str) -> None:
    path = _write(tmp_path / "wave.csv", _changed(change))
    with pytest.raises(ScenarioError, match=says) as caught:
        read_waveform(path)
    assert len(caught.value.faults) == 1
    assert caught.value.faults[0].remedy


def test_a_lasting_change_of_sampling_is_no_gap(tmp_path: Path) -> None:
    wave = _wave(dt=0.01, low=0.4)
    keep = (np.abs(wave["time_s"] * 10 - np.round(wave["time_s"] * 10)) < 1e-6) | (np.abs(wave["time_s"] - 1.5) < 1.0)
    path = _write(tmp_path / "wave.csv", {name: values[keep] for name, values in wave.items()})
    assert respond(path, device_settings({"category": "II"})).trip_time_s == 1.16


def test_settings_outside_their_range_are_refused() -> None:
    with pytest.raises(ScenarioError, match=r"UV1_trip_s: Category III/B .2018. allows 21 to 50 s, got 5"):
        device_settings({"category": "III", "UV1_trip_s": 5.0}, edition="2018")
    device_settings({"category": "III", "UV1_trip_s": 5.0}, edition="1547a-2020")
    with pytest.raises(ScenarioError, match="no setting 'UV1_time'"):
        device_settings({"UV1_time": 5.0})
    with pytest.raises(ScenarioError, match="one of III, II, I, got IV"):
        device_settings({"category": "IV"})
