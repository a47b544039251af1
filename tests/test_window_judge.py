"""The judge on event windows: every DER in the state that its own voltage demands, who failed and why.

What is expected is worked out here from the recorded voltages with the tables' numbers, not with the project's code:
IEEE 1547-2003, Table 1 (V < 0.50 pu: 0.16 s; V < 0.88 pu: 2.00 s; V > 1.10 pu: 1.00 s) and IEEE 1547-2018, Table 16
(category III: 0.88 to 1.10 pu continuous, 0.50 to 0.88 pu mandatory operation, below 0.50 pu momentary cessation within
0.083 s) and Table 13 (V < 0.88 pu: 21 s; V < 0.50 pu: 2 s).
"""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import zarr
from test_window_feeder import OHMS, two_buses
from typer.testing import CliRunner

import cosim
from cosim.engine.warm import WarmLauncher
from cosim.scenario import from_mapping
from feeders.window_model import DerSite, Drive, WindowPlan
from feeders.window_model import WindowFeeder as Model
from runs.comply import comply, read_fleet, requirements
from runs.comply.judge import judge_trace
from runs.comply.own_settings import own_settings
from runs.comply.settings import Held
from runs.comply.trace import Trace
from solvers.der_fleet import Mode
from solvers.der_fleet.mixture import mixed_settings

STEP = 0.01  # [s] of the window
SET_IN, LASTS = 0.3, 0.15  # [s] after the opening
TRIPPED = "tripped though ride-through was required"
TOO_LATE = "ceased too late"


def scenario(legacy_share: float, duration: str, horizon: str = "2 min", **changes: Any) -> Any:
    """A fault of 0.15 s at the next bus of the 39-bus grid at 40 degC: below and above 0.50 pu in the fault, then
    stalled air conditioners hold the voltage below 0.88 pu on a part of the feeder, for two seconds and longer."""
    model = {
        "stall": {"thermal_time": "10 s"},
        "der": [{"name": "pv", "count": 60, "rating": 5, "makes": {"III": 1.0}, "legacy_share": legacy_share}],
    }
    window = {
        "at": "17:01",
        "duration": duration,
        "step": "10 ms",
        "mean_mismatch": 1,
        "transmission": {"kind": "frequency_response", "machines": "ieee39"},
        "feeders": [{"name": "oak", "model": model}],
        "disturbances": [
            {"kind": "BusFault", "bus": 16, "time": f"{SET_IN} s", "lasting": f"{LASTS} s", "reactance": 0.0066}
        ],
    }
    return from_mapping(
        {
            "name": "ride",
            "horizon": {"start": "2014-01-16 17:00", "duration": horizon, "step": "60 s"},
            "weather": {"table": "melbourne_2014_01"},
            "transmission": {"case": "case39"},
            "feeders": [{"name": "oak", "bus": "15", "multiplier": 40, "model": {"kind": "opendss_feeder"}}],
            "event_window": window | changes,
            "coupling": {"power_tolerance": 500, "voltage_tolerance": 0.5},
        }
    )


@pytest.fixture(scope="module")
def new(tmp_path_factory: pytest.TempPathFactory, zygote: WarmLauncher) -> Path:
    """All DER of category III with its defaults."""
    return run(tmp_path_factory.mktemp("new") / "run", scenario(0.0, "1.5 s"), zygote)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory, zygote: WarmLauncher) -> Path:
    """Half of them from before 2018."""
    return run(tmp_path_factory.mktemp("mixed") / "run", scenario(0.5, "3.5 s"), zygote)


def run(folder: Path, of: Any, zygote: WarmLauncher | None = None) -> Path:
    done = cosim.run(of, out=folder, baseline=False, launcher=zygote)
    assert done.verdict.trustworthy, done.verdict.failed
    return folder


class Recorded:
    """What the run recorded of its DER, from the opening of the window on."""

    def __init__(self, folder: Path) -> None:
        opened = cosim.open(folder)
        data = opened.results["oak_window"].ds
        times = (data.time.values.astype("datetime64[ns]") - np.datetime64("2014-01-16T17:01", "ns")).astype(np.int64)
        inside = times >= 0
        self.time = times[inside] / 1e9
        self.names = [str(name) for name in data.der.values]
        self.voltage, self.power, self.mode, self.tripped = (
            data[name].values[inside] for name in ("v_pu", "p_pu", "mode", "tripped_by")
        )
        federation = cosim.federation.Federation.model_validate(opened.manifest["federation"])
        feeder = federation.build(next(spec for spec in federation.federates if spec.name == "oak_window"))
        self.legacy = np.array([make == "1547-2003" for make in feeder.makes])  # type: ignore[attr-defined]

    def longest(self, mask: np.ndarray) -> np.ndarray:
        """(der,) [s] for which `mask` (times, der) held without a break."""
        most, lasting = np.zeros(mask.shape[1]), np.zeros(mask.shape[1])
        for row, step in zip(mask[:-1], np.diff(self.time), strict=True):
            lasting = np.where(row, lasting + step, 0.0)
            most = np.maximum(most, lasting)
        return most

    def named(self, mask: np.ndarray) -> set[str]:
        return {name for name, named in zip(self.names, mask, strict=True) if named}


@cache
def judge(folder: Path, *options: str) -> tuple[int, dict[str, Any]]:
    """`cosim comply`: its exit code and the JSON."""
    from runs.cli import app

    done = CliRunner().invoke(app, ["comply", str(folder), "--json", *options])
    assert done.exit_code in (0, 3), done.output
    return done.exit_code, json.loads(done.stdout)


def found(judged: dict[str, Any], *results: str) -> dict[str, dict[str, str]]:
    """DER -> clause -> fault, of the findings with one of `results`."""
    told = {
        verdict["der"]: {f["clause"]: f["fault"] for f in verdict["findings"] if f["result"] in results}
        for verdict in judged["der"]
    }
    return {name: faults for name, faults in told.items() if faults}


# ------------------------------------------------------------------------------------------ category III


def test_every_der_is_in_the_state_that_its_voltage_demands(new: Path) -> None:
    """Table 16 row by row, a step after the voltage came there; no DER trips, none fails, none is left in doubt."""
    in_the_state_demanded(new)


@pytest.mark.long
def test_every_der_is_in_the_state_that_its_voltage_demands_with_andes(tmp_path: Path) -> None:
    """The same behind a fault in ANDES."""
    pytest.importorskip("andes", reason="the extra 'dynamics' is not installed")
    transmission = {"kind": "andes_dynamics", "case": "ieee39"}
    in_the_state_demanded(run(tmp_path / "run", scenario(0.0, "2.5 s", transmission=transmission)))


def in_the_state_demanded(folder: Path) -> None:
    seen = Recorded(folder)
    voltage = seen.voltage
    demanded = np.select(
        [voltage < 0.5, voltage < 0.88, voltage <= 1.1],
        [Mode.MOMENTARY_CESSATION, Mode.MANDATORY, Mode.CONTINUOUS],
        -1,
    )
    assert (demanded >= 0).all()
    at = (seen.time >= SET_IN - 1e-9) & (seen.time < SET_IN + LASTS - 1e-9)
    assert {int(mode) for mode in np.unique(demanded[at])} == {Mode.MANDATORY, Mode.MOMENTARY_CESSATION}
    np.testing.assert_array_equal(seen.mode[1:], demanded[:-1])
    ceased = seen.power[np.searchsorted(seen.time, SET_IN + 0.083 + STEP)] == 0.0
    just_before = (seen.time >= SET_IN + 0.033) & (seen.time < SET_IN + 0.083)  # 0.05 s, the DER's response
    np.testing.assert_array_equal(ceased, (voltage[just_before] < 0.5).all(axis=0))
    code, judged = judge(folder)
    assert (code, judged["result"], judged["counts"]) == (0, "pass", {"pass": 60})
    assert not any(set(counts) & {"fail", "indeterminate", "permitted"} for counts in judged["clauses"].values())
    low = {verdict["der"] for verdict in judged["der"] if verdict["outages"]}
    assert low == seen.named((seen.power[seen.time >= 0.0] == 0.0).any(axis=0))


def test_the_modes_that_the_judge_asks_for(new: Path) -> None:
    """Of each DER, from when to when: the rows of Table 16 that its voltage is in."""
    seen = Recorded(new)
    words = {"continuous": 0, "mandatory": 1, "momentary_cessation": 2}
    rows = np.select([seen.voltage < 0.5, seen.voltage < 0.88], [2, 1], 0)
    for k, demand in enumerate(requirements(new, read_fleet(None, None, der=own_settings(new, None)))):
        assert (demand.der, demand.shall_trip_by_s, demand.no_trip_before_s) == (seen.names[k], None, None)
        asked = np.full(len(seen.time), -1)
        for start, end, mode in demand.required_modes:
            asked[(seen.time >= start - 1e-9) & (seen.time < end - 1e-9)] = words[mode]
        np.testing.assert_array_equal(asked, rows[:, k], err_msg=demand.der)


def test_each_der_and_clause_has_its_margin(new: Path) -> None:
    """Those in cessation ceased with 0.083 s less their response; mandatory operation lasts 20 s, or 10 s below 0.7."""
    seen = Recorded(new)
    _, judged = judge(new)
    for k, verdict in enumerate(judged["der"]):
        margins = {f["clause"]: f["margin_s"] for f in verdict["findings"] if f["result"] == "pass"}
        if verdict["outages"]:
            assert margins["6.4.2.3 cessation"] == pytest.approx(0.083 - 0.05, abs=1e-9)  # MC_response_s: 0.05 s
        if "6.4.2.3 mandatory" in margins:
            spent = [
                limit - seen.longest((seen.voltage >= low) & (seen.voltage < high))[k]
                for low, high, limit in ((0.5, 0.7, 10.0), (0.7, 0.88, 20.0))
                if ((seen.voltage[:, k] >= low) & (seen.voltage[:, k] < high)).any()
            ]
            assert margins["6.4.2.3 mandatory"] == pytest.approx(min(spent), abs=STEP + 1e-9)
        if "6.4.2.7" in margins:
            assert 0.0 <= margins["6.4.2.7"] <= 0.4
    least = judged["least"]["6.4.2.3 mandatory"]
    mandatory = [f for v in judged["der"] for f in v["findings"] if f["clause"] == "6.4.2.3 mandatory"]
    assert least["margin_s"] == min(f["margin_s"] for f in mandatory if f["result"] == "pass")


# --------------------------------------------------------------------------------------- from before 2018


def tripping(seen: Recorded) -> np.ndarray:
    """(der,) those from before 2018 that Table 1 of 1547-2003 trips within the window."""
    below = {limit: seen.longest(seen.voltage < limit) for limit in (0.5, 0.88)}
    high = seen.longest(seen.voltage > 1.1)
    return seen.legacy & ((below[0.5] >= 0.16) | (below[0.88] >= 2.0 - 1e-9) | (high >= 1.0))


def test_legacies_are_judged_as_they_are_set(mixed: Path) -> None:
    """Nobody fails; who tripped is named with the element and its reason."""
    seen = Recorded(mixed)
    trips = tripping(seen)
    assert 3 < trips.sum() < seen.legacy.sum() - 3
    code, judged = judge(mixed)
    assert (code, judged["counts"]) == (0, {"pass": 60})
    assert {v["der"]: v["make"] for v in judged["der"]} == {
        name: "1547-2003" if old else "III" for name, old in zip(seen.names, seen.legacy, strict=True)
    }
    tripped = {v["der"]: v["outages"][-1] for v in judged["der"] if v["outages"] and v["outages"][-1]["end_s"] > 3.5}
    assert set(tripped) == seen.named(trips) == seen.named((seen.tripped > 0).any(axis=0))
    for outage in tripped.values():
        assert outage["cause"] == "shall trip UV1"
        assert outage["start_s"] == pytest.approx(SET_IN + 2.0, abs=STEP + 1e-9)
    assert judged["clauses"]["6.4.1 UV1"]["pass"] == trips.sum()
    assert judged["fleet"]["lost_most"]["shall trip UV1"] == pytest.approx(0.005 * trips.sum() * sun(seen), rel=0.01)


def sun(seen: Recorded) -> float:
    """Power of the DER before the fault [pu]."""
    return float(seen.power[np.searchsorted(seen.time, SET_IN) - 1].mean())


def test_legacies_held_to_category_iii(mixed: Path) -> None:
    """Those that tripped fail, and those that took 0.1 s to cease below 0.5 pu where Table 16 gives 0.083 s."""
    seen = Recorded(mixed)
    trips = tripping(seen)
    late = seen.legacy & (seen.longest(seen.voltage < 0.5) > 0.083 + STEP)
    code, judged = judge(mixed, "--legacies-as", "III")
    assert code == 3
    failed = found(judged, "fail")
    assert set(failed) == seen.named(trips | late)
    assert judged["counts"].get("indeterminate", 0) == 0
    by_fault = {
        fault: {name for name, faults in failed.items() if fault in faults.values()} for fault in (TRIPPED, TOO_LATE)
    }
    assert by_fault == {TRIPPED: seen.named(trips), TOO_LATE: seen.named(late)}
    for verdict in judged["der"]:
        told = next((f for f in verdict["findings"] if f["fault"] == TRIPPED), None)
        if told is None:
            continue
        k = seen.names.index(verdict["der"])
        last = int(np.searchsorted(seen.time, told["evidence"]["start_s"] - 1e-9)) - 1
        assert told["clause"] == "6.4.2.3 mandatory"
        assert f"at {seen.voltage[last, k]:.3f} pu" in told["explanation"]
        assert "of 20 s that must be ridden through" in told["explanation"]
        # In mandatory operation since the fault was cleared, or since it set in where the voltage stayed above 0.7 pu.
        assert told["margin_s"] == pytest.approx(2.0 - LASTS - 20.0, abs=2 * STEP)


# ----------------------------------------------------------------------------------------- planted defects


def plant(place: Path, name: str, since: float, until: float, **values: float | None) -> None:
    """Change what one DER recorded from `since` to `until` [s] in the run in `place`; None: as before the fault."""
    seen = Recorded(place)
    skipped = len(cosim.open(place).results["oak_window"].time) - len(seen.time)
    first, stop = np.searchsorted(seen.time, [since - 1e-9, until - 1e-9]) + skipped
    column = seen.names.index(name)
    for variable, value in values.items():
        store: Any = zarr.open(str(place / "results.zarr" / "oak_window" / variable))
        changed = np.array(store[:])
        before = changed[skipped + int(np.searchsorted(seen.time, SET_IN)) - 1, column]
        changed[first:stop, column] = before if value is None else value
        store[:] = changed


OFF: dict[str, float | None] = {"p_pu": 0.0, "q_pu": 0.0}
OUT: dict[str, float | None] = {**OFF, "tripped_by": 4.0, "mode": 7.0}
ON: dict[str, float | None] = {"p_pu": None, "q_pu": None, "tripped_by": 0.0}
CLEARED = SET_IN + LASTS
LATE = "returned too slowly"


@pytest.fixture(scope="module")
def defects(mixed: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, str], dict[str, Any]]:
    """A copy of the run in which six DER recorded what they should not have done: defect -> DER; the judgement."""
    seen = Recorded(mixed)
    after = seen.voltage[(seen.time >= CLEARED - 1e-9) & (seen.time < CLEARED + 1.0)]
    ceased = seen.power[np.searchsorted(seen.time, CLEARED - STEP)] == 0.0
    who = {
        "trip in mandatory operation": ~seen.legacy
        & (seen.longest((seen.voltage >= 0.5) & (seen.voltage < 0.88)) > 1.2),
        "trip in continuous operation": ~seen.legacy & (seen.voltage[seen.time > 0.5] > 0.88).all(axis=0),
        "no trip": seen.legacy & (seen.longest(seen.voltage < 0.88) > 2.2),
        "late to continuous operation": ~seen.legacy & ceased & (after >= 0.88).all(axis=0),
        "late to mandatory operation": ~seen.legacy & ceased & (after < 0.88).all(axis=0),
        "no cessation": ~seen.legacy & (seen.longest(seen.voltage < 0.5) >= LASTS - 1e-9),
    }
    chosen: dict[str, str] = {}
    for defect, mask in who.items():
        chosen[defect] = sorted(seen.named(mask) - set(chosen.values()))[0]
    place = tmp_path_factory.mktemp("planted") / "run"
    shutil.copytree(mixed, place)
    for defect, since, until, values in (
        ("trip in mandatory operation", 1.0, 99.0, OUT),
        ("trip in continuous operation", 1.5, 99.0, OUT),
        ("no trip", SET_IN + 2.0, 99.0, ON),
        ("late to continuous operation", CLEARED - STEP, CLEARED + 0.8, OFF),
        ("late to mandatory operation", CLEARED - STEP, CLEARED + 0.8, OFF),
        ("no cessation", SET_IN, CLEARED + 0.4, ON),
    ):
        plant(place, chosen[defect], since, until, **values)
    return chosen, judge(place)[1]


def test_who_did_nothing_wrong_is_not_blamed(defects: tuple[dict[str, str], dict[str, Any]]) -> None:
    chosen, judged = defects
    assert set(found(judged, "fail", "indeterminate")) == set(chosen.values())
    assert judged["counts"] == {"fail": 6, "pass": 54}


@pytest.mark.parametrize(
    ("defect", "expected"),
    [
        ("trip in mandatory operation", {"6.4.2.3 mandatory": TRIPPED}),
        ("trip in continuous operation", {"6.4.2.2": TRIPPED}),
        ("no trip", {"6.4.1 UV1": "did not trip though it had to"}),
        ("late to continuous operation", {"6.4.2.7": LATE}),
        ("late to mandatory operation", {"6.4.2.7": LATE}),
        ("no cessation", {"6.4.2.3 cessation": "did not cease though it had to"}),
    ],
)
def test_a_planted_defect_is_found(
    defects: tuple[dict[str, str], dict[str, Any]], defect: str, expected: dict[str, str]
) -> None:
    """In the clause that it breaks, and in no other."""
    chosen, judged = defects
    assert found(judged, "fail", "indeterminate")[chosen[defect]] == expected


# -------------------------------------------------------------------------------- what no sample shows


def test_what_no_sample_shows_is_in_doubt() -> None:
    """Samples of a window until 0.2 s after a cessation, then one a minute: nobody can tell when output was back."""
    time = np.append(np.arange(-60.0, 0.0, 60.0), np.append(np.arange(0.0, 0.65, STEP), [60.0, 120.0]))
    voltage = np.where((time > 0.295) & (time < 0.445), 0.4, 1.0)
    power = np.where((time > 0.345) & (time < 1.0), 0.0, 0.8)
    trace = Trace("der", time, voltage[None], np.full(time.size, 60.0), power, np.zeros(time.size), sampling=STEP)
    verdict, _ = judge_trace(trace, Held(category="III", accuracy="exact"))
    (doubt,) = [f for f in verdict.findings if f.result in ("fail", "indeterminate")]
    assert (doubt.clause, doubt.result) == ("6.4.2.7", "indeterminate")
    assert any("outside the window samples are 59.36 s apart, too far to see 0.4 s" in w for w in doubt.warnings)
    gone = replace(trace, active=np.where((time > 0.345) & (time < 99.0), 0.0, 0.8))
    verdict, _ = judge_trace(gone, Held(category="III", accuracy="exact"))
    # Away for two minutes it had tripped, and is back before the 300 s of Table 4 are over.
    assert {f.fault for f in verdict.findings if f.result == "fail"} == {TRIPPED, "returned too early"}


@pytest.mark.long
def test_a_window_that_closes_too_early_is_said_so(tmp_path: Path) -> None:
    """It closes 0.2 s after the fault was cleared: whether output was back within 0.4 s, no sample shows."""
    place = run(tmp_path / "run", scenario(0.0, "650 ms", "3 min", feeders=few(40)))
    seen = Recorded(place)
    code, judged = judge(place)
    assert (code, judged["counts"].get("fail", 0)) == (0, 0)
    assert set(found(judged, "indeterminate")) == seen.named(seen.longest(seen.voltage < 0.5) >= 0.05)
    for verdict in judged["der"]:
        for told in verdict["findings"]:
            if told["result"] == "indeterminate":
                assert told["clause"] in ("6.4.2.7", "6.4.1 UV1", "6.4.1 OV1", "6.4.2.4 cessation")
                assert any("outside the window samples are" in reason for reason in told["warnings"])


def few(count: int) -> list[dict[str, Any]]:
    return [{"name": "oak", "model": {"der": [{"name": "pv", "count": count, "rating": 5, "makes": {"III": 1.0}}]}}]


# --------------------------------------------------------------------------------------- two buses by hand


def terminal(head: float, power: float) -> float:
    """|V| [pu] at the far end of the line where `power` [MW] is put in at unity power factor.

    With z = Z / (4.16 kV)²: V⁴ - (2 r P + E²) V² + |z|² P² = 0, the upper root.
    """
    z = OHMS / 4.16**2
    b = 2.0 * z.real * power + head**2
    return math.sqrt((b + math.sqrt(b**2 - 4.0 * abs(z) ** 2 * power**2)) / 2.0)


def limited(head: float, rating: float) -> float:
    """|V| [pu] with a current of 1.2 pu of `rating` [MVA] in phase with it: V = √(E² - x² I²) + r I."""
    z, current = OHMS / 4.16**2, 1.2 * rating
    return math.sqrt(head**2 - (z.imag * current) ** 2) + z.real * current


HEAD, RATING = 0.80, 0.3  # [pu] the sag; [MVA] of each DER
FROM, TO, END = 0.1, 4.5, 5.5  # [s] the sag, and the end


def cascade(folder: Path) -> Path:
    """Three DER behind one line while the head sags: the traces of a run of the feeder, as a CSV file."""
    feeder = two_buses()
    names = ("old", "strict", "new")
    plan = WindowPlan(feeder, der=[DerSite(name, "end", "ABC") for name in names])
    # `strict` trips below 0.85 pu after 2 s: both within the ranges of Table 12.
    undervoltage = {"UV1_trip_V_pu": np.array([np.nan, 0.85, np.nan]), "UV1_trip_s": np.array([np.nan, 2.0, np.nan])}
    makes = ["1547-2003", "II", "III"]
    settings = mixed_settings(makes, {"rating_kVA": RATING * 1e3, "three_phase": True} | undervoltage)
    model = Model(plan, settings, tolerance=1e-10)
    none = np.zeros(0)
    rows = []
    for k in range(round(END / STEP) + 1):
        time = k * STEP
        head = HEAD if FROM - 1e-9 <= time < TO - 1e-9 else 1.0
        drive = Drive(
            head * feeder.source.voltage, 60.0, 1.0, none, 0.0, none.astype(complex), none, none, np.ones(len(names))
        )
        if k:
            model.advance(STEP)
        state = model.solve(drive)
        model.accept(state, drive)
        row = {"time_s": round(time, 9), "f_hz": 60.0}
        for i, name in enumerate(names):
            power = state.der_power[i]
            row |= {f"{name}:v_pu": state.der_voltage[i, 0], f"{name}:p_pu": power.real, f"{name}:q_pu": power.imag}
        rows.append(row)
    pd.DataFrame(rows).to_csv(folder / "cascade.csv", index=False)
    return folder / "cascade.csv"


OWN = {
    "old": {"category": "I", "UV1_trip_V_pu": 0.88, "UV1_trip_s": 2.0, "UV2_trip_V_pu": 0.5, "UV2_trip_s": 0.16},
    "strict": {"category": "II", "UV1_trip_V_pu": 0.85, "UV1_trip_s": 2.0},
    "new": {"category": "III"},
}


def test_a_cascade_on_two_buses_by_hand(tmp_path: Path) -> None:
    """All three: 0.859 pu, `old` trips after 2 s below 0.88 pu. Without it 0.843 pu, `strict` trips after 2 s below
    0.85 pu. Alone, `new` rides through 0.823 pu: it has 20 s. Held to category III, `old` and `strict` fail."""
    three, two, one = terminal(HEAD, 3 * RATING), terminal(HEAD, 2 * RATING), limited(HEAD, RATING)
    assert two > 1.0 / 1.2 > one  # the current limit of 1.2 pu is reached by the last one only
    assert three == pytest.approx(0.859, abs=5e-4)
    assert 0.85 < three < 0.88
    assert two == pytest.approx(0.843, abs=5e-4)
    assert one == pytest.approx(0.823, abs=5e-4)
    trace = cascade(tmp_path)
    recorded = pd.read_csv(trace)
    for time, voltage in (
        (FROM, three),
        (2.05, three),
        (2.15, two),
        (4.05, two),
        (4.15, one),
        (TO + 0.1, terminal(1.0, RATING)),
    ):
        row = recorded.iloc[int(np.searchsorted(recorded.time_s, time - 1e-9))]
        assert row["new:v_pu"] == pytest.approx(voltage, abs=1e-7), time
    by_hand = {"old": FROM + 2.0, "strict": FROM + 2.0 + 2.0}

    fleet = read_fleet(None, None, der={name: {**own, "accuracy": "exact"} for name, own in OWN.items()})
    own = comply(trace, fleet).judgement
    assert own.counts == {"pass": 3}
    outages = {verdict.der: verdict.outages for verdict in own.der}
    assert outages["new"] == []
    for name, time in by_hand.items():
        (outage,) = outages[name]
        assert outage["cause"] == "shall trip UV1"
        assert outage["start_s"] == pytest.approx(time, abs=STEP + 1e-9)

    held = comply(trace, read_fleet("III", accuracy="exact")).judgement
    assert held.counts == {"fail": 2, "pass": 1}
    voltages = {"old": three, "strict": two}
    since = {"old": FROM, "strict": FROM}  # both are in mandatory operation from the sag's begin
    for verdict in held.der:
        failed = [f for f in verdict.findings if f.result == "fail"]
        if verdict.der == "new":
            assert failed == []
            continue
        (told,) = failed
        assert (told.clause, told.fault) == ("6.4.2.3 mandatory", TRIPPED)
        assert told.margin_s == pytest.approx(by_hand[verdict.der] - since[verdict.der] - 20.0, abs=STEP + 1e-9)
        assert f"at {voltages[verdict.der]:.3f} pu" in told.explanation
