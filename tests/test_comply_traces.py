"""Traces: what is unfit gets one clear message and never a verdict; every kind of source gives the same trace."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cosim.errors import ScenarioError
from runs.comply import comply, read_fleet
from runs.comply.reading import open_source
from runs.comply.settings import Held
from runs.comply.trace import Trace

FLEET = read_fleet("III", rating_kVA=100.0)


def good(end: float = 5.0, dt: float = 0.01) -> pd.DataFrame:
    """A sag to 0.6 pu that is ridden through."""
    time = np.round(np.arange(0.0, end, dt), 9)
    volts = np.where((time >= 1.0) & (time < 2.0), 0.6, 1.0)
    three = dict.fromkeys(("va_pu", "vb_pu", "vc_pu"), volts)
    return pd.DataFrame({"time_s": time, **three, "f_hz": 60.0, "p_pu": 0.8, "q_pu": 0.0})


Change = Callable[[pd.DataFrame], pd.DataFrame]

BAD: dict[str, tuple[Change, str]] = {
    "gap": (lambda d: d.drop(index=range(200, 260)), "a gap of 0.61 s after 1.99 s"),
    "one sample lost": (lambda d: d.drop(index=150), "a gap of 0.02 s after 1.49 s"),
    "time goes back": (lambda d: pd.concat([d[:200], d[100:]]), "time does not increase: 1.99 s is followed by 1 s"),
    "time stands still": (lambda d: d.assign(time_s=d.time_s.where(d.index != 100, d.time_s[99])), "does not increase"),
    "NaN in voltage": (lambda d: d.assign(vb_pu=d.vb_pu.where(d.index != 77)), "vb_pu is not a number in 1 of 500"),
    "NaN in time": (lambda d: d.assign(time_s=d.time_s.where(d.index != 5)), "time_s is not a number in sample 6"),
    "NaN in power": (lambda d: d.assign(p_pu=np.nan), "p_pu is not a number in 500 of 500"),
    "volts": (lambda d: d.assign(**{f"v{p}_pu": d[f"v{p}_pu"] * 277.0 for p in "abc"}), "looks like volts"),
    "percent": (lambda d: d.assign(**{f"v{p}_pu": d[f"v{p}_pu"] * 100.0 for p in "abc"}), "looks like percent"),
    "instantaneous": (lambda d: d.assign(va_pu=np.sin(d.time_s * 377.0)), "negative"),
    "kilowatts": (lambda d: d.assign(p_pu=d.p_pu * 100.0), "p_pu reaches 80"),
    "a phase missing": (lambda d: d.drop(columns="vb_pu"), "there is va_pu and vc_pu but no vb_pu"),
    "a dead phase": (lambda d: d.assign(vc_pu=0.0), "vc_pu is 0 in every sample"),
    "50 Hz": (lambda d: d.assign(f_hz=50.0), "data of a 50 Hz system"),
    "per-unit frequency": (lambda d: d.assign(f_hz=1.0), "f_hz lies between 1 and 1"),
    "no frequency": (lambda d: d.drop(columns="f_hz"), "has no column f_hz"),
    "no time": (lambda d: d.drop(columns="time_s"), "has no column time_s"),
    "no voltage": (lambda d: d.drop(columns=["va_pu", "vb_pu", "vc_pu"]), "has no column v_pu"),
    "no output": (lambda d: d.drop(columns=["p_pu", "q_pu"]), "neither p_pu and q_pu nor i_pu"),
    "text": (lambda d: d.assign(p_pu=d.p_pu.astype(object).where(d.index != 3, "off")), "p_pu is 'off' in sample 4"),
    "two samples": (lambda d: d[:2], "has 2 samples"),
    "empty": (lambda d: d[:0], "has 0 samples"),
    "false reading": (lambda d: d.assign(va_pu=d.va_pu.where(d.index != 9, 7.0)), "va_pu reaches 7 pu"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_trace(name: str, tmp_path: Path) -> None:
    change, message = BAD[name]
    place = tmp_path / "trace.csv"
    change(good()).to_csv(place, index=False)
    with pytest.raises(ScenarioError) as raised:
        comply(place, FLEET)
    assert message in str(raised.value)
    assert raised.value.exit_code == 2
    assert len(raised.value.faults) == 1


def test_a_lasting_change_of_step_is_no_gap(tmp_path: Path) -> None:
    place = tmp_path / "trace.csv"
    rows = good(20.0)
    slow = rows[(rows.time_s < 0.5) | (rows.time_s > 4.0)][::10]
    mixed = pd.concat([slow, rows[(rows.time_s >= 0.5) & (rows.time_s <= 4.0)]]).sort_values("time_s")
    mixed.drop_duplicates("time_s").to_csv(place, index=False)
    assert comply(place, FLEET).judgement.result == "pass"


def test_unreadable_files_are_said_so(tmp_path: Path) -> None:
    for name, content in (("a.csv", b"\xff\xfe\x00\x01"), ("b.parquet", b"no"), ("c.txt", b""), ("d.cfg", b"x\ny\n")):
        place = tmp_path / name
        place.write_bytes(content)
        with pytest.raises(ScenarioError):
            comply(place, FLEET)
    with pytest.raises(ScenarioError, match="no such file"):
        comply(tmp_path / "none.csv", FLEET)


def only(source: Path, **options: object) -> Trace:
    (trace,) = open_source(source, FLEET, **options).traces((0, 1))  # type: ignore[arg-type]
    return trace


def test_parquet_is_read_as_csv(tmp_path: Path) -> None:
    good().to_csv(tmp_path / "t.csv", index=False)
    good().to_parquet(tmp_path / "t.parquet")
    good().astype("float32").to_parquet(tmp_path / "single.parquet")
    first, second, single = (only(tmp_path / n) for n in ("t.csv", "t.parquet", "single.parquet"))
    for other in (second, single):
        np.testing.assert_array_equal(first.voltage, other.voltage)
        np.testing.assert_allclose(first.time, other.time, atol=1e-6)
        np.testing.assert_array_equal(first.active, other.active)


@pytest.mark.parametrize("kind", ["csv", "parquet", "grouped"])
@pytest.mark.parametrize("layout", ["long", "wide"])
def test_many_der_in_a_file(tmp_path: Path, kind: str, layout: str) -> None:
    rows = good().drop(columns=["vb_pu", "vc_pu"]).rename(columns={"va_pu": "v_pu"})
    tripped = rows.assign(p_pu=np.where(rows.time_s >= 1.5, 0.0, 0.8))
    if layout == "long":
        frame = pd.concat([rows.assign(der="sound"), tripped.assign(der="faulty")])
    else:
        frame = rows.drop(columns=["p_pu", "q_pu"]).assign(
            **{"sound:p_pu": rows.p_pu, "faulty:p_pu": tripped.p_pu, "sound:q_pu": 0.0, "faulty:q_pu": 0.0}
        )
    place = tmp_path / f"fleet.{'csv' if kind == 'csv' else 'parquet'}"
    if kind == "csv":
        frame.to_csv(place, index=False)
    else:
        frame.to_parquet(place, index=False, row_group_size=len(rows) if kind == "grouped" else len(frame))
    judgement = comply(place, FLEET).judgement
    assert {v.der: v.result for v in judgement.der} == {"sound": "pass", "faulty": "fail"}
    assert judgement.fleet.unit == "MW"
    assert judgement.fleet.lost == pytest.approx(0.08)
    assert judgement.fleet.returned == 0.0


def test_two_processes_find_the_same(tmp_path: Path) -> None:
    rows = good().drop(columns=["vb_pu", "vc_pu"]).rename(columns={"va_pu": "v_pu"})
    frames = [rows.assign(der=f"d{i}", p_pu=np.where(rows.time_s >= 1.0 + 0.3 * i, 0.0, 0.8)) for i in range(5)]
    place = tmp_path / "fleet.parquet"
    pd.concat(frames).to_parquet(place, index=False, row_group_size=len(rows))
    one, two = (comply(place, FLEET, workers=n).judgement for n in (1, 2))
    assert one == two


def test_a_runs_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder as `cosim run` leaves it: a group with time (ns) and DER, power in kW."""
    import xarray

    rows = good()
    der = ["one", "two"]
    both = np.stack([rows.va_pu, rows.va_pu], axis=1)
    power = np.stack([rows.p_pu, np.where(rows.time_s >= 1.5, 0.0, 0.8)], axis=1) * 100.0
    dimensions = ("time", "der")
    group = xarray.Dataset(
        {
            "v_pu": (dimensions, both, {"units": "pu"}),
            "f_hz": (("time",), rows.f_hz.to_numpy(), {"units": "Hz"}),
            "active_power": (dimensions, power, {"units": "kW"}),
            "reactive_power": (dimensions, 0.0 * power, {"units": "kvar"}),
        },
        coords={"time": (rows.time_s.to_numpy() * 1e9).round().astype(np.int64), "der": der},
    )
    xarray.DataTree.from_dict({"/inverters": group, "/weather": xarray.Dataset({"x": ("time", [1.0])})}).to_zarr(
        tmp_path / "results.zarr", consolidated=False, zarr_format=2
    )
    (tmp_path / "verdict.json").write_text("{}")
    judgement = comply(tmp_path, FLEET).judgement
    assert {v.der: v.result for v in judgement.der} == {"one": "pass", "two": "fail"}
    with pytest.raises(ScenarioError, match="has no DER traces"):
        comply(tmp_path, FLEET, group="weather")


def write_comtrade(place: Path, time: np.ndarray, channels: list[tuple[str, str, str, np.ndarray]]) -> None:
    """An ASCII record of the 1999 edition: (name, phase, unit, values)."""
    lines = ["feeder,judge,1999", f"{len(channels)},{len(channels)}A,0D"]
    scales = []
    for number, (name, phase, unit, values) in enumerate(channels, 1):
        scale = max(float(np.abs(values).max()), 1e-9) / 90_000.0
        scales.append(scale)
        lines.append(f"{number},{name},{phase},,{unit},{scale:.12g},0,0,-99999,99999,1,1,P")
    rate = 1.0 / (time[1] - time[0])
    lines += [
        "60",
        "1",
        f"{rate:.6g},{time.size}",
        "01/01/2024,00:00:00.000000",
        "01/01/2024,00:00:00.000000",
        "ASCII",
        "1",
    ]
    place.write_text("\n".join(lines) + "\n")
    rows = [
        ",".join(
            [str(k + 1), str(round(t * 1e6)), *(str(round(c[3][k] / s)) for c, s in zip(channels, scales, strict=True))]
        )
        for k, t in enumerate(time)
    ]
    place.with_suffix(".dat").write_text("\n".join(rows) + "\n")


def test_comtrade_of_waves(tmp_path: Path) -> None:
    """A record of instantaneous values: 277 V, a sag to 0.6 from 1 s to 2 s, 100 kVA at unity power factor."""
    pytest.importorskip("comtrade", reason="the extra 'comply' is not installed")
    time = np.arange(0.0, 3.0, 1.0 / 1920.0)
    size = np.where((time >= 1.0) & (time < 2.0), 0.6, 1.0)
    channels = []
    for phase, turn in zip("ABC", (0.0, -2.0, 2.0), strict=True):
        wave = np.sqrt(2.0) * np.cos(2 * np.pi * 60.0 * time + turn * np.pi / 3.0)
        channels.append((f"V{phase}", phase, "V", 277.0 * size * wave))
        channels.append((f"I{phase}", phase, "A", 80e3 / 3.0 / 277.0 * wave))
    place = tmp_path / "record.cfg"
    write_comtrade(place, time, channels)
    trace = only(place, nominal_volts=277.0)
    before, during = trace.time < 0.9, (trace.time > 1.1) & (trace.time < 1.9)
    np.testing.assert_allclose(trace.voltage[:, before], 1.0, atol=2e-3)
    np.testing.assert_allclose(trace.voltage[:, during], 0.6, atol=2e-3)
    np.testing.assert_allclose(trace.frequency[during], 60.0, atol=0.01)
    assert trace.active is not None
    assert trace.reactive is not None
    np.testing.assert_allclose(trace.active[before], 0.8, atol=3e-3)
    np.testing.assert_allclose(trace.reactive[before], 0.0, atol=3e-3)
    assert comply(place, FLEET, nominal_volts=277.0).judgement.result == "pass"
    with pytest.raises(ScenarioError, match="--nominal-volts"):
        comply(place, FLEET)


def test_comtrade_of_rms_values(tmp_path: Path) -> None:
    pytest.importorskip("comtrade", reason="the extra 'comply' is not installed")
    rows = good()
    names = [name for name in rows.columns if name != "time_s"]
    write_comtrade(tmp_path / "rms.cfg", rows.time_s.to_numpy(), [(n, "", "", rows[n].to_numpy()) for n in names])
    trace = only(tmp_path / "rms.cfg")
    np.testing.assert_allclose(trace.voltage[0], rows.va_pu, atol=1e-4)
    assert comply(tmp_path / "rms.cfg", FLEET).judgement.result == "pass"


class TestSettings:
    def test_file_with_a_profile_and_single_der(self, tmp_path: Path) -> None:
        place = tmp_path / "settings.yaml"
        place.write_text(
            "profile: PSCo\nrating_kVA: 250\nmay_trip: at_once\nder:\n  odd: {UV1_trip_s: 7.0, category: III}\n"
        )
        fleet = read_fleet("II", place)
        elements = {e.name: e for e in fleet.held("any").elements}
        assert elements["UV1"].clearing == 5.0
        odd = fleet.held("odd")
        assert {e.name: e.clearing for e in odd.elements}["UV1"] == 7.0
        assert fleet.held("any").rating_kVA == 250.0

    def test_all_faults_at_once(self, tmp_path: Path) -> None:
        place = tmp_path / "settings.yaml"
        place.write_text("UV1_trip: 3\nES_delay_s: soon\nprofile: nowhere\nedition: 2003\n")
        with pytest.raises(ScenarioError) as raised:
            read_fleet("III", place)
        text = str(raised.value)
        assert "UV1_trip" in text
        assert "Did you mean" in text
        assert "soon" in text
        assert "nowhere" in text
        assert "edition" in text

    def test_a_setting_outside_its_range_is_warned_of(self) -> None:
        held = Held(category="III", edition="2018", values={"UV1_trip_s": 5.0, "ES_delay_s": 700.0})
        assert len(held.warnings) == 2
        assert "UV1 clearing time 5 s is outside 21 to 50 s" in held.warnings[0]
        assert not Held(category="III", values={"UV1_trip_s": 5.0}).warnings

    def test_table_of_der(self, tmp_path: Path) -> None:
        place = tmp_path / "fleet.csv"
        place.write_text("der,category,rating_kVA,VW_enabled\na,II,30,true\nb,III,600,\n")
        fleet = read_fleet(None, place)
        assert (fleet.held("a").category, fleet.held("b").category) == ("II", "III")
        assert fleet.held("a").switched("VW_enabled") is True
        assert fleet.held("b").ceased_reactive == 0.03
