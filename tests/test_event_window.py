"""The event window in a scenario: opened at the day's state, its boundary, and the way back to the day."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import cosim
from cosim.contract import Port
from cosim.engine.warm import WarmLauncher
from cosim.errors import ScenarioError
from cosim.federation import Federation
from cosim.scenario import Scenario, from_mapping
from cosim.window_wiring import der_responding
from cosim.wiring import wire
from feeders.window_model import CAUSES
from runs.batch.figures import FigureSpec, compute_figures, figure_problem
from runs.summary import summarise
from solvers.der_fleet import ELEMENTS, Mode

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("andes") is None,
    reason='the machines of the 39-bus grid come with ANDES: pip install "cosim[dynamics]"',
)
MULTIPLIER, BUS = 40, "15"
DAY = {"kind": "opendss_feeder", "regulators": "automatic"}
MINUTE, S, MS = 60 * 10**9, 10**9, 10**6
OPENS, LASTS, STEP = 5 * MINUTE, 1000 * MS, 5 * MS
FAULT = {"kind": "BusFault", "bus": 16, "time": "5 ms", "lasting": "50 ms"}
UV2 = ELEMENTS.index("UV2") + 1


def mapping(**changes: Any) -> dict[str, Any]:
    """The 39-bus grid, 40 IEEE 123-node feeders, 200 DER on each, a fault of 0.2 s at the next bus."""
    window = {
        "at": "17:05",
        "duration": "1 s",
        "step": "5 ms",
        "sources": "sun",
        "transmission": {"kind": "frequency_response", "machines": "ieee39"},
        "feeders": [
            {
                "name": "oak",
                "model": {
                    "stall": {"stall_voltage": 0.3},
                    "der": [{"name": "pv", "count": 200, "rating": 5, "makes": {"III": 1.0}, "legacy_share": 0.4}],
                },
            }
        ],
        "disturbances": [
            {
                "kind": "BusFault",
                "name": "fault",
                "bus": 16,
                "time": "300 ms",
                "lasting": "200 ms",
                "reactance": 0.008,
            }
        ],
    }
    return {
        "name": "small",
        "horizon": {"start": "2014-01-16 17:00", "duration": "17 min", "step": "60 s"},
        "weather": {"table": "melbourne_2014_01"},
        "demand": {"table": "victoria_2014_01"},
        "transmission": {"case": "case39"},
        "feeders": [{"name": "oak", "bus": BUS, "multiplier": MULTIPLIER, "model": DAY}],
        "event_window": window | changes,
        "coupling": {"power_tolerance": 25},
    }


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, zygote: WarmLauncher) -> Any:
    folder = tmp_path_factory.mktemp("window") / "run"
    return cosim.run(from_mapping(mapping()), out=folder, baseline=False, launcher=zygote)


def group(run: Any, name: str) -> Any:
    return run.results[name].ds


def since_start(run: Any, name: str) -> np.ndarray:
    """The times [ns] at which a federate stepped."""
    times = group(run, name).time.values.astype("datetime64[ns]")
    return (times - np.datetime64("2014-01-16T17:00", "ns")).astype(np.int64)


def test_the_run_can_be_trusted(run: Any) -> None:
    assert run.verdict.trustworthy, run.verdict.failed


def test_the_day_keeps_its_step_and_the_window_has_its_own(run: Any) -> None:
    day = np.arange(17) * MINUTE
    inside = np.arange(OPENS, OPENS + LASTS, STEP)
    np.testing.assert_array_equal(since_start(run, "transmission"), day)
    np.testing.assert_array_equal(since_start(run, "oak"), day)
    np.testing.assert_array_equal(since_start(run, "dynamics"), inside)
    followed = np.union1d(day, np.append(inside, OPENS + LASTS))
    np.testing.assert_array_equal(since_start(run, "oak_window"), followed)
    np.testing.assert_array_equal(since_start(run, "window"), followed)


def test_it_opens_at_the_state_of_the_day(run: Any) -> None:
    """The dynamics' first voltages and powers are those of the power flow at that minute."""
    minute = OPENS // MINUTE
    day, first = group(run, "transmission"), group(run, "dynamics")
    np.testing.assert_allclose(first.voltage.values[0], day.voltage.values[minute], atol=1e-9)
    np.testing.assert_allclose(first.generation.values[0], day.generation.values[minute], atol=1e-6)


def test_the_feeder_sees_the_window_inside_and_the_day_outside(run: Any) -> None:
    """Magnitude and, inside, angle of bus 15; the angle does not jump when the window closes."""
    times, head = since_start(run, "window"), group(run, "window").head_voltage.values[:, 0]
    bus = list(group(run, "dynamics").bus.values).index(BUS)
    inside = (times >= OPENS) & (times < OPENS + LASTS)
    np.testing.assert_array_equal(head[inside], group(run, "dynamics").voltage.values[:, bus])
    at_day = np.isin(times, since_start(run, "transmission")) & ~inside
    day = group(run, "transmission").voltage.values[np.isin(since_start(run, "transmission"), times[at_day]), bus]
    np.testing.assert_allclose(np.abs(head[at_day]), np.abs(day), atol=1e-12)
    last = int(np.flatnonzero(inside)[-1])
    assert abs(np.angle(head[last + 1] / head[last])) < 1e-9


def test_the_fault_is_there_for_its_time(run: Any) -> None:
    """Bus 16 is low from 300 to 500 ms after the opening and near its first voltage else."""
    dynamics = group(run, "dynamics")
    size = np.abs(dynamics.voltage.values[:, list(dynamics.bus.values).index("16")])
    since = since_start(run, "dynamics") - OPENS
    low = (since >= 300 * MS) & (since < 500 * MS)
    assert size[low].max() < 0.6
    assert size[~low].min() > 0.9


def test_mismatch_and_energy_of_the_boundary(run: Any) -> None:
    """Recomputed from what each side recorded: |S of the dynamics - S of the feeders| of each step of the window."""
    window, times = group(run, "window"), since_start(run, "window")
    own = group(run, "oak_window").power.values.sum(axis=1) * MULTIPLIER
    inside = np.flatnonzero((times >= OPENS) & (times < OPENS + LASTS))
    grid = group(run, "dynamics").feeder_power.values[:, 0]
    expected = np.abs(grid - own[inside])
    np.testing.assert_allclose(window.mismatch.values[inside + 1, 0], expected, atol=1e-9)
    share = 100.0 * expected.mean() / np.abs(own[inside]).mean()
    assert float(window.mean_mismatch[-1]) == pytest.approx(share, rel=1e-9)
    energies = float(window.grid_energy[-1]), float(window.feeder_energy[-1])
    assert energies[0] == pytest.approx(grid.real.sum() * 0.005 / 3600, abs=1e-9)
    assert energies[1] == pytest.approx(own[inside].real.sum() * 0.005 / 3600, abs=1e-9)
    check = next(check for check in run.verdict.checks if check.name == "mean mismatch of window")
    assert check.passed
    assert check.time is not None


def demanded(run: Any) -> tuple[np.ndarray, np.ndarray]:
    """(der,) whether it is from before 2018, and how long its voltage was below 0.5 pu without a break [s]."""
    der = group(run, "oak_window")
    since = since_start(run, "oak_window") - OPENS
    low = der.v_pu.values[(since >= 300 * MS) & (since < 500 * MS)] < 0.5
    longest, lasting = np.zeros(low.shape[1], int), np.zeros(low.shape[1], int)
    for row in low:
        lasting = np.where(row, lasting + 1, 0)
        longest = np.maximum(longest, lasting)
    return np.array(federate(run, "oak_window").makes) == "1547-2003", longest * 0.005


def test_every_der_is_in_the_state_that_its_voltage_demands(run: Any) -> None:
    """IEEE 1547-2003, Table 1: below 0.5 pu for 0.16 s trips; Category III ceases below it in 0.083 s (Table 16)."""
    der = group(run, "oak_window")
    since = since_start(run, "oak_window") - OPENS
    legacy, below = demanded(run)
    out = legacy & (below > 0.16)
    assert 10 < out.sum() < legacy.sum() - 10
    np.testing.assert_array_equal(der.tripped_by.values[np.searchsorted(since, 600 * MS)], np.where(out, UV2, 0))
    ceased = der["mode"].values[np.searchsorted(since, 495 * MS)] == Mode.MOMENTARY_CESSATION
    assert ceased[~legacy & (below >= 0.2)].all()
    assert not ceased[legacy | (below == 0.0)].any()
    assert 0 < ceased.sum() < (~legacy).sum()
    at = np.flatnonzero((der.tripped_by.values[:, legacy & (below >= 0.2)] > 0).all(axis=1))[0]
    assert 460 * MS <= since[at] <= 470 * MS  # 0.16 s after the onset, to two steps


def federate(run: Any, name: str) -> Any:
    federation = Federation.model_validate(run.manifest["federation"])
    return federation.build(next(spec for spec in federation.federates if spec.name == name))


def test_what_tripped_stays_out_until_it_may_enter_service(run: Any) -> None:
    """At least the 300 s of IEEE 1547-2018 Table 4 (and of 2003, 4.2.6: up to five minutes), and it is missed in the
    day's power flow for as long."""
    der, times = group(run, "oak_window"), since_start(run, "oak_window")
    out = (der.tripped_by.values > 0).sum(axis=1)
    legacy, below = demanded(run)
    count = int((legacy & (below > 0.16)).sum())
    closed = OPENS + LASTS
    assert (out[(times >= closed) & (times < closed + 299 * 10**9)] == count).all()
    assert out[-1] < count / 2
    lost = der.lost_power.values[:, CAUSES.index("UV2")]
    minute = OPENS // MINUTE + 3
    sun = float(group(run, "window").sun[np.searchsorted(times, minute * MINUTE)])
    assert lost[np.searchsorted(times, minute * MINUTE)] == pytest.approx(count * 0.005 * sun, rel=1e-6)
    used = group(run, "transmission")[f"used oak_window.power->transmission.feeder_load[{BUS}]"].values.sum(axis=1)
    given = der.power.values[np.searchsorted(times, (minute - 1) * MINUTE)].sum()
    assert used[minute] == pytest.approx(given, abs=1e-12)


def test_the_twin_has_the_window_without_its_disturbances() -> None:
    """Where there are no DER whose response could be left out."""
    twin = from_mapping(mapping()).undisturbed()
    assert twin.event_window is not None
    assert twin.event_window.disturbances == ()
    federation = wire(twin)
    assert {"dynamics", "oak_window", "window"} <= {spec.name for spec in federation.federates}
    assert "perturbations" not in {spec.name for spec in federation.federates}


@pytest.mark.parametrize(
    ("changes", "responding"),
    [({}, True), ({"der_response": False}, False), ({"feeders": [{"name": "oak"}]}, False), ({"feeders": []}, False)],
)
def test_whose_twin_has_its_der_held(changes: dict[str, Any], responding: bool) -> None:
    """Where there are DER that respond; the twin of others is undisturbed."""
    scenario = from_mapping(mapping(**changes))
    assert der_responding(scenario, wire(scenario)) is responding


MORE_LOAD = {"kind": "LoadChange", "name": "more", "bus": 20, "power": 50, "time": "2 min", "lasting": "2 h"}


def shorter() -> Scenario:
    """With a perturbation of the day in it."""
    given = mapping()
    given["horizon"]["duration"] = "8 min"
    given["perturbations"] = [MORE_LOAD]
    return from_mapping(given)


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory, zygote: WarmLauncher) -> Any:
    """The shorter one with its twin and at half the step."""
    return cosim.run(shorter(), out=tmp_path_factory.mktemp("beside") / "run", half_step=True, launcher=zygote)


def test_two_runs_are_bit_identical(beside: Any, tmp_path: Path, zygote: WarmLauncher) -> None:
    """And what runs beside one changes nothing."""
    again = cosim.run(shorter(), out=tmp_path / "again", baseline=False, launcher=zygote)
    assert again.manifest["digest"] == beside.manifest["digest"]
    assert beside.baseline is not None
    assert beside.baseline.manifest["digest"] != beside.manifest["digest"]


def test_in_the_twin_der_give_what_they_gave_at_the_opening(beside: Any) -> None:
    """No trip, cessation or control in the window; before it both are the same to the bit; after it they respond."""
    own, held = group(beside, "oak_window"), group(beside.baseline, "oak_window")
    times = since_start(beside, "oak_window")
    before, inside = times <= OPENS, (times >= OPENS) & (times <= OPENS + LASTS)
    assert beside.trustworthy
    assert beside.baseline.manifest["scenario"]["event_window"]["der_response"] is False
    np.testing.assert_array_equal(held.p_pu.values[before], own.p_pu.values[before])
    first = held.p_pu.values[np.searchsorted(times, OPENS)]
    limit = 1.2 * held.v_pu.values[inside]  # a current limit of 1.2 pu, as all makes have
    np.testing.assert_allclose(held.p_pu.values[inside], np.minimum(first, limit), atol=1e-6)
    assert (held.tripped_by.values == 0).all()
    assert (own.tripped_by.values[inside][-1] > 0).sum() > 10
    sun = np.interp(times, times, group(beside, "window").sun.values)
    np.testing.assert_allclose(held.p_pu.values[-1], sun[-1], atol=0.01)  # it follows the day's sun again


def test_the_twin_has_the_same_disturbances(beside: Any) -> None:
    """The fault and the day's perturbation act in both, so the frequencies differ by the DER's response alone."""
    for name in ("active", "affected"):
        np.testing.assert_array_equal(
            group(beside, "perturbations")[name].values, group(beside.baseline, "perturbations")[name].values
        )
    own, held = (group(run, "dynamics").coi_frequency.values for run in (beside, beside.baseline))
    power = [group(run, "oak_window").der_power.values for run in (beside, beside.baseline)]
    times = since_start(beside, "oak_window")
    onset = int(np.searchsorted(times, OPENS + 300 * MS)) - int(np.searchsorted(times, OPENS))
    np.testing.assert_allclose(own[: onset + 1], held[: onset + 1], atol=1e-4)
    missing = (power[1] - power[0])[np.searchsorted(times, OPENS + 600 * MS)]
    assert missing > 0.05
    assert own[-1] < held[-1]


def test_a_change_of_load_that_the_day_has_already_changes_nothing_at_the_opening(beside: Any) -> None:
    """50 MW on top would let the frequency fall by 5 mHz in 0.3 s: f0 dP / (2 H S), H S of the ten machines 78 GWs."""
    frequency = group(beside, "dynamics").coi_frequency.values
    assert np.abs(frequency[:60] - 60.0).max() < 5e-4


def test_a_step_half_as_long(beside: Any) -> None:
    federation = Federation.model_validate(beside.half_step.manifest["federation"])
    assert federation.step == STEP // 2
    halved = since_start(beside.half_step, "dynamics")
    np.testing.assert_array_equal(halved, np.arange(OPENS, OPENS + LASTS, STEP // 2))


def test_a_batch_has_the_nadir_with_der_held_and_no_shedding(beside: Any) -> None:
    """What needs an undisturbed twin is refused, as this one is as much disturbed as the run."""
    found = compute_figures(beside, {"nadir": FigureSpec(figure="frequency_nadir_der_held")})
    assert found["nadir"] == group(beside.baseline, "dynamics").coi_frequency.values.min()
    outputs = {"oak_window": {"power": Port("power", "MVA", "out", "")}}
    text = figure_problem(FigureSpec(figure="energy_shed"), outputs, has_twin=True, der_held=True)
    assert text == "needs another twin: that of this scenario has its DER held in the event window"
    assert figure_problem(FigureSpec(figure="energy_shed"), outputs, has_twin=True) == ""
    assert compute_figures(beside, {"shed": FigureSpec(figure="energy_shed")})["shed"] is None


def test_half_the_step_changes_lost_power_by_less_than_a_percent(beside: Any) -> None:
    """The largest loss, that of the tripped DER and of each element, where timers along the feeder decide."""
    window = summarise(beside).window
    assert window is not None
    assert window.halving is not None
    assert {change.figure for change in window.halving.power} == {"DER power lost", "DER power tripped", "UV2"}
    for change in window.halving.power:
        assert change.full > 0.1, change.figure
        assert abs(change.half / change.full - 1.0) < 0.01, change.figure
    tripped = next(change for change in window.halving.power if change.figure == "DER power tripped")
    out = group(beside.half_step, "oak_window")
    times = since_start(beside.half_step, "oak_window")
    at_close = out.lost_power.values[np.searchsorted(times, OPENS + LASTS), CAUSES.index("UV2")] * MULTIPLIER
    assert tripped.half == pytest.approx(at_close, rel=1e-9)
    (oak,) = window.feeders
    assert 10 < sum(oak.tripped.values()) < oak.makes["1547-2003"] - 10


@pytest.mark.long
def test_half_the_step_in_andes(tmp_path: Path) -> None:
    """A fault of 0.25 s, three makes: two runs are bit-identical, and half the step changes less than 1 %."""
    pytest.importorskip("andes", reason="andes is an extra")
    given = mapping(duration="3 s", transmission={"kind": "andes_dynamics", "case": "ieee39"})
    given["horizon"]["duration"] = "7 min"
    window = given["event_window"]
    window["disturbances"][0] |= {"reactance": 0.012, "lasting": "250 ms"}  # it leaves voltages about 0.5 pu
    given["perturbations"] = [MORE_LOAD]
    makes = {"III": 0.6, "II": 0.4}
    window["feeders"][0]["model"] = {
        "der": [{"name": "pv", "count": 500, "rating": 3, "makes": makes, "legacy_share": 0.3}]
    }
    run = cosim.run(from_mapping(given), out=tmp_path / "run", baseline=False, half_step=True)
    assert run.trustworthy, run.cause
    found = summarise(run).window
    assert found is not None
    assert found.halving is not None
    tripped = sum(found.feeders[0].tripped.values())
    assert 20 < tripped < found.feeders[0].makes["1547-2003"]
    assert found.halving.largest < 0.01
    frequency = group(run, "dynamics").coi_frequency.values
    assert np.abs(frequency[:60] - 60.0).max() < 5e-4  # what the day has more of load is in the opening already
    again = cosim.run(from_mapping(given), out=tmp_path / "again", baseline=False)
    assert again.manifest["digest"] == run.manifest["digest"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"step": "1 ms"}, "event_window.step: half of 1 ms is no step of at least 1 ms"), (None, "no event window")],
)
def test_a_step_that_cannot_be_halved_is_refused(changes: dict[str, Any] | None, words: str, tmp_path: Path) -> None:
    given = mapping(**(changes or {}))
    if changes is None:
        del given["event_window"]
    with pytest.raises(ScenarioError, match=words):
        cosim.run(from_mapping(given), out=tmp_path / "run", half_step=True)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("written", "start", "expected"),
    [
        ("18:30", "2014-01-16 17:00", 90 * MINUTE),
        ("18:30:15", "2014-01-16 17:00", 90 * MINUTE + 15 * 10**9),
        ("01:00", "2014-01-16 17:00", 8 * 60 * MINUTE),
        ("90 min", "2014-01-16 17:00", 90 * MINUTE),
    ],
)
def test_when_it_opens(written: str, start: str, expected: int) -> None:
    scenario = from_mapping({"name": "a", "horizon": {"start": start}, "event_window": {"at": written}})
    assert scenario.event_window is not None
    assert scenario.event_window.opening(scenario.horizon.start) == expected


def refused(changes: dict[str, Any], **sections: Any) -> str:
    with pytest.raises(ScenarioError) as caught:
        wire(from_mapping({**mapping(**changes), **sections}))
    return str(caught.value)


@pytest.mark.parametrize(
    ("changes", "sections", "words"),
    [
        ({"at": "17:05:30"}, {}, ["event_window.at", "not a multiple of the day's step of 1 min"]),
        ({"at": "17:30"}, {}, ["event_window.at", "the run ends before"]),
        ({"at": 1110}, {}, ["event_window.at", "in quotes"]),
        ({"at": "25:00"}, {}, ["event_window.at", "time of day"]),
        ({"step": "7 ms"}, {}, ["whole number of the window's steps"]),
        ({"step": "0.1 ms"}, {}, ["event_window.step", "at least 1 ms"]),
        ({"feeders": [{"name": "elm"}]}, {}, ["event_window.feeders[0].name", "elm"]),
        ({"feeders": [{"name": "oak"}, {"name": "oak"}]}, {}, ["event_window.feeders[1].name", "twice"]),
        ({"feeders": [], "transmission": None, "disturbances": []}, {}, ["neither"]),
        ({}, {"weather": None}, ["event_window.sources", "Add `weather`"]),
        ({}, {"coupling": {"mode": "iterated"}}, ["coupling.mode"]),
        ({"transmission": {"kind": "frequency_response", "inertia": 3}}, {}, ["event_window.transmission.inertia"]),
        ({"disturbances": [FAULT | {"bus": 99}]}, {}, ["disturbances[0].bus", "99"]),
        ({"disturbances": [FAULT | {"lasting": None}]}, {}, ["disturbances[0].lasting", "Say how long"]),
        ({"disturbances": [FAULT | {"time": "0 s"}]}, {}, ["disturbances[0].time", "5 ms after the opening"]),
        ({"at": "17:00"}, {}, ["event_window.at", "Open it a step later"]),
        ({"disturbances": [{"kind": "BusFualt", "bus": 16, "time": "5 ms"}]}, {}, ["disturbances[0].kind"]),
        (
            {"disturbances": [{"kind": "VoltageSag", "bus": 16, "time": "5 ms", "lasting": "5 ms", "residual": 0.5}]},
            {},
            ["[0].bus", "15"],
        ),
    ],
)
def test_what_is_refused_with_its_place(changes: dict[str, Any], sections: dict[str, Any], words: list[str]) -> None:
    text = refused(changes, **sections)
    for word in words:
        assert word in text


@pytest.mark.parametrize(
    ("times", "words"),
    [
        (
            {"time": "501 ms"},
            ["[0].time: 501 ms is not a multiple of the window's step of 5 ms. Write 500 ms or 505 ms, or", "to 1 ms"],
        ),
        ({"time": "0.3333 s", "lasting": "100 ms"}, ["[0].time: 333300 us is not", "Write 330 ms or 335 ms."]),
        ({"time": "500 ms", "lasting": "3 ms"}, ["[0].lasting: 3 ms is not a multiple", "Write 5 ms, or set"]),
        ({"time": "2 ms", "lasting": "10 ms"}, ["[0].time: 2 ms is not a multiple", "Write 0 s or 5 ms, or set"]),
    ],
)
def test_a_disturbance_between_two_steps_is_refused(times: dict[str, str], words: list[str]) -> None:
    """It would act at the later step; one that is over before that, never."""
    text = refused({"disturbances": [{"kind": "BusFault", "bus": 16, **times}]})
    for word in words:
        assert word in text
    given = {"name": "grid", "model": {"kind": "frequency_response", "machines": "ieee39"}}
    day = {"horizon": {"start": "2014-01-16", "duration": "1 s", "step": "5 ms"}, "federates": [given]}
    plain = {"name": "plain", **day, "perturbations": [{"kind": "BusFault", "bus": 16, **times}]}
    with pytest.raises(ScenarioError) as caught:
        wire(from_mapping(plain))
    assert words[0].replace("window's", "run's") in str(caught.value)


@pytest.mark.parametrize(
    "model",
    [
        {"kind": "gridlabd_feeder", "glm": "own.glm", "swing": "source"},
        {"kind": "equivalent_feeder", "homes": {"count": 50}},
    ],
)
def test_a_window_on_a_feeder_that_nothing_there_represents_is_refused(tmp_path: Path, model: dict[str, Any]) -> None:
    """The IEEE 123-node feeder stood in for any: 3.565 MW where the user's own model of 0.9 MW hung."""
    swing = "object meter { name source; bustype SWING; phases ABCN; nominal_voltage 2401.78; }"
    (tmp_path / "own.glm").write_text(f"clock {{ timezone UTC0; }}\nmodule powerflow;\n{swing}\n")
    given = mapping() | {"feeders": [{"name": "oak", "bus": "15", "model": model}]}
    with pytest.raises(ScenarioError) as caught:
        wire(from_mapping(given, tmp_path))
    assert "event_window.feeders[0].name" in str(caught.value)
    assert "no model of its kind stands for it" in str(caught.value)


@pytest.mark.parametrize("other", [{"feeder": "ieee13"}, {"homes": 12}])
def test_a_window_on_another_feeder_than_the_days_is_refused(other: dict[str, Any]) -> None:
    homes = {"count": 4, "pv_share": 0}
    day = {"name": "oak", "bus": "15", "model": {"kind": "gridlabd_feeder", "homes": homes}}
    text = refused({"feeders": [{"name": "oak", "model": other}]}, feeders=[day], demand={})
    (name,) = other
    assert f"event_window.feeders[0].model.{name}: differs from 'oak' of the day" in text


def test_a_step_too_coarse_for_a_clause_is_refused() -> None:
    """Category III has 0.083 s to momentary cessation (Table 16): at least two steps must fit."""
    text = refused({"step": "50 ms", "duration": "2 s"})
    assert "event_window.feeders[0].model" in text
    assert "too coarse to judge" in text
    assert "0.083" in text


# ------------------------------------------------------------------------------- imposed on the feeder alone


def alone(*disturbances: dict[str, Any], **window: Any) -> Scenario:
    """One feeder without a transmission grid, 40 DER, a window of half a second."""
    model = {"der": [{"name": "pv", "count": 40, "rating": 5, "legacy_share": 0.5}]}
    return from_mapping(
        {
            "name": "alone",
            "horizon": {"start": "2014-01-16 12:00", "duration": "3 min", "step": "60 s"},
            "feeders": [{"name": "oak", "model": {"kind": "opendss_feeder"}}],
            "event_window": {
                "at": "1 min",
                "duration": "500 ms",
                "feeders": [{"name": "oak", "model": model}],
                "disturbances": list(disturbances),
                **window,
            },
        }
    )


def test_imposed_traces_sags_and_jumps(tmp_path: Path, zygote: WarmLauncher) -> None:
    """What the files say, at their times, on top of each other; loads that trip are gone."""
    (tmp_path / "v.csv").write_text("time_s,voltage\n0,1\n0.1,0.8\n0.2,1\n")
    (tmp_path / "f.csv").write_text("time_s,frequency\n0,0\n0.1,-0.2\n")
    scenario = alone(
        {"kind": "VoltageTrace", "bus": "oak", "file": str(tmp_path / "v.csv"), "time": "100 ms"},
        {"kind": "FrequencyTrace", "bus": "oak", "file": str(tmp_path / "f.csv"), "time": "100 ms"},
        {"kind": "VoltageSag", "bus": "oak", "residual": 0.9, "time": "5 ms", "lasting": "45 ms"},
        {"kind": "PhaseJump", "bus": "oak", "angle": 20, "time": "300 ms"},
        {"kind": "NodeTrip", "feeder": "oak", "nodes": ["48", "76"], "time": "400 ms"},
    )
    run = cosim.run(scenario, out=tmp_path / "run", baseline=False, launcher=zygote)
    assert run.verdict.trustworthy, run.verdict.failed
    window = group(run, "window")
    times = (window.time.values.astype("datetime64[ns]") - np.datetime64("2014-01-16T12:01", "ns")).astype(np.int64)
    head, frequency = window.head_voltage.values[:, 0], window.head_frequency.values[:, 0]

    def at(ms: float) -> int:
        return int(np.searchsorted(times, ms * MS))

    for ms, voltage in (
        (0, 1.0),
        (5, 0.9),
        (45, 0.9),
        (50, 1.0),
        (100, 1.0),
        (150, 0.9),
        (200, 0.8),
        (250, 0.9),
        (305, 1.0),
    ):
        assert abs(head[at(ms)]) == pytest.approx(voltage, abs=1e-12), ms
    for ms, change in ((0, 0.0), (150, -0.1), (200, -0.2), (450, -0.2)):
        assert frequency[at(ms)] == pytest.approx(60.0 + change, abs=1e-12), ms
    assert np.degrees(np.angle(head[at(295)])) == pytest.approx(0.0, abs=1e-12)
    assert np.degrees(np.angle(head[at(300)])) == pytest.approx(20.0, abs=1e-9)
    lost = group(run, "oak_window").lost_power.values[:, CAUSES.index("load_trip")]
    assert lost[at(395)] == 0.0
    # IEEE 123: 210 kW at node 48, 105 + 70 + 70 kW at node 76
    assert lost[at(400)] == pytest.approx(0.455, abs=1e-9)


def test_spot_loads_and_what_else_can_trip_in_the_window(tmp_path: Path, zygote: WarmLauncher) -> None:
    """Half of the nodes with spot loads for 0.2 s; what homes draw in parts is held, so that it cannot trip there."""
    trip = {"kind": "LoadTrip", "devices": ["spot_load"], "share": 0.5, "time": "100 ms", "lasting": "200 ms"}
    run = cosim.run(alone(trip), out=tmp_path / "run", baseline=False, launcher=zygote)
    assert run.verdict.trustworthy, run.verdict.failed
    feeder = group(run, "oak_window")
    times = (feeder.time.values.astype("datetime64[ns]") - np.datetime64("2014-01-16T12:01", "ns")).astype(np.int64)
    lost, count = (feeder[name].values[:, CAUSES.index("load_trip")] for name in ("lost_power", "lost_count"))
    inside = (times >= 100 * MS) & (times < 300 * MS)
    assert (lost[~inside] == 0.0).all()
    # IEEE 123: 3.49 MW of spot loads at 85 nodes
    assert (lost[inside] == lost[inside][0]).all()
    assert 0.3 * 3.49 < lost[inside][0] < 0.7 * 3.49
    assert 42 <= count[inside][0] < 60  # some of the nodes have loads on several phases
    before, after = (float(feeder.load_power[np.searchsorted(times, ms * MS)]) for ms in (50, 150))
    assert before - after == pytest.approx(lost[inside][0], rel=0.1)
    wrong = trip | {"devices": ["ev_charger"]}
    with pytest.raises(ScenarioError, match=r"disturbances\[0\].devices\[0\]: 'ev_charger' cannot trip in the window"):
        wire(alone(wrong))
    with pytest.raises(ScenarioError, match="no feeder of this scenario has devices"):
        wire(alone(trip | {"devices": ["home"]}))
    plain = {"perturbations": [trip | {"time": "1 min"}], "event_window": None}
    with pytest.raises(ScenarioError, match="no event window follows a feeder with spot loads"):
        wire(from_mapping({**alone().as_mapping(), **plain}))


def test_der_see_the_trace_of_a_file_and_a_jump_of_phase(tmp_path: Path, zygote: WarmLauncher) -> None:
    """The voltage at each DER, over what it was, is the file's factor; its frequency the file's; a jump trips some.

    The drop along the feeder moves the share a little.
    """
    (tmp_path / "v.csv").write_text("time_s,voltage\n0,1\n0.1,0.7\n\n0.2,0.7\n0.3,1.04\n")
    (tmp_path / "f.csv").write_text("time_s,voltage,frequency\n0,1,0\n0.2,1,-0.6\n")
    scenario = alone(
        {"kind": "VoltageTrace", "bus": "oak", "file": str(tmp_path / "v.csv"), "time": "50 ms"},
        {"kind": "FrequencyTrace", "bus": "oak", "file": str(tmp_path / "f.csv"), "time": "50 ms"},
        {"kind": "PhaseJump", "bus": "oak", "angle": 30, "time": "400 ms"},
    )
    document = scenario.as_mapping()
    document["event_window"]["feeders"][0]["model"]["der"] = [
        {"name": "blind", "count": 20, "makes": {"III": 1}},
        {"name": "jumpy", "count": 20, "makes": {"III": 1}, "settings": {"PJ_trip_deg": 20.0}},
    ]
    run = cosim.run(from_mapping(document), out=tmp_path / "run", baseline=False, launcher=zygote)
    assert run.verdict.trustworthy, run.verdict.failed
    der = group(run, "oak_window")
    times = (der.time.values.astype("datetime64[ns]") - np.datetime64("2014-01-16T12:01", "ns")).astype(np.int64) / S
    inside = (times >= 0.0) & (times < 0.5)
    factor = np.interp(times[inside] - 0.05, [0.0, 0.1, 0.2, 0.3], [1.0, 0.7, 0.7, 1.04])
    seen = der.v_pu.values[inside]
    np.testing.assert_allclose(seen / seen[0], np.broadcast_to(factor[:, None], seen.shape), atol=0.03)
    np.testing.assert_allclose(der.f_hz.values[inside], 60.0 - 0.6 * np.clip((times[inside] - 0.05) / 0.2, 0.0, 1.0))
    tripped_by = der.tripped_by.values
    assert (tripped_by[times < 0.4] == 0).all()
    last = tripped_by[np.searchsorted(times, 0.495)]
    assert last.tolist() == [0] * 20 + [ELEMENTS.index("PHASE_JUMP") + 1] * 20


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("time_s,voltage\n0,1\n0,0.8\n", r"v\.csv:3: time_s must rise, got 0 after 0"),
        ("time_s,voltage\n0,1\n\n0.1,low\n", r"v\.csv:4: voltage must be a finite number, got 'low'"),
        ("time_s,voltage\n0,1\n0.1\n", r"v\.csv:3: voltage must be a finite number, got ''"),
        ("time_s,volts\n0,1\n1,0.8\n", r"v\.csv:1: has no column voltage; it has time_s, volts"),
        ("time_s,voltage\n", r"v\.csv:1: has no line of values"),
        ("", r"v\.csv:1: has no column time_s; it has none"),
    ],
)
def test_a_trace_that_cannot_be_used_is_refused(lines: str, words: str, tmp_path: Path) -> None:
    """With the file and the line."""
    (tmp_path / "v.csv").write_text(lines)
    with pytest.raises(ScenarioError, match=words):
        alone({"kind": "VoltageTrace", "bus": "oak", "file": str(tmp_path / "v.csv"), "time": "1 ms"})


def test_the_scenario_that_comes_with_the_project() -> None:
    """It is complete, and it is the one that its description promises."""
    path = Path(__file__).parents[1] / "runs" / "scenarios" / "fault_ride_through.yaml"
    federation = wire(cosim.load(path))
    window = yaml.safe_load(path.read_text())["event_window"]
    assert sum(group["count"] for group in window["feeders"][0]["model"]["der"]) == 1000
    assert window["disturbances"][0]["lasting"] == "150 ms"
    spec = next(spec for spec in federation.federates if spec.name == "oak_window")
    assert spec.settings["homes"] == 100
    assert sum(rating > 0 for rating in spec.settings["home_pv_rating"]) == 30
    links = {link.key for link in federation.links}
    assert "oak.tap->oak_window.tap" in links
    assert "oak_window.hvac_in_service->oak.device_available[thermostat]" in links


def test_air_conditioners_that_trip_do_so_in_the_window_too() -> None:
    """What the perturbation leaves on is so on both sides of the boundary between window and day."""
    path = Path(__file__).parents[1] / "runs" / "scenarios" / "fault_ride_through.yaml"
    given = cosim.load(path).as_mapping()
    trip = {"kind": "LoadTrip", "devices": ["thermostat"], "share": 0.5, "time": "2 s", "lasting": "10 min"}
    given["event_window"]["disturbances"].append(trip)
    links = {link.key for link in wire(from_mapping(given, path.parent)).links}
    assert "perturbations.oak.device_available[thermostat]->oak_window.hvac_available" in links
    assert "perturbations.oak.device_available[thermostat]->oak.device_available[thermostat]" in links


@pytest.mark.parametrize("where", ["in the window", "from before it"])
def test_a_feeder_behind_a_dead_bus_is_dark_and_returns(tmp_path: Path, zygote: WarmLauncher, where: str) -> None:
    """Both lines of bus 15 trip: 0 MW from then on, at the close too; a day that connects them has its feeder back.

    Motors that were at rest at the opening start with the voltage, so the feeder returns with what it drew before.
    """
    trips = [{"kind": "BranchTrip", "branch": branch} for branch in ("14-15", "15-16")]
    day, window = [], [one | {"time": "50 ms"} for one in trips]
    if where == "from before it":
        day, window = [one | {"time": "1 min", "lasting": "2 min"} for one in trips], []
    scenario = from_mapping(
        {
            "name": "dark",
            "horizon": {"start": "2014-01-16 17:00", "duration": "4 min", "step": "60 s"},
            "weather": {"table": "melbourne_2014_01"},
            "transmission": {"case": "case39"},
            "feeders": [{"name": "oak", "bus": "15", "multiplier": 10, "model": {"kind": "opendss_feeder"}}],
            "event_window": {
                "at": "2 min",
                "duration": "200 ms",
                "step": "10 ms",
                "mean_mismatch": 1,
                "transmission": {"kind": "frequency_response"},
                "feeders": [{"name": "oak"}],
                "disturbances": window,
            },
            "perturbations": day,
            "coupling": {"power_tolerance": 1000, "voltage_tolerance": 2},
        }
    )
    run = cosim.run(scenario, out=tmp_path / "run", baseline=False, launcher=zygote)
    assert run.trustworthy, run.verdict.failed
    results = run.results["oak_window"].ds
    seconds = (results.time.values - results.time.values[0]) / np.timedelta64(1, "s")
    power = np.abs(results["power"].values.sum(axis=1))
    dark = (seconds > 120.06) if where == "in the window" else (seconds > 59.0) & (seconds < 179.0)
    assert dark.sum() > 10
    assert power[dark].max() < 1e-9
    assert power[0] > 3.0
    if where == "from before it":
        assert power[seconds >= 180.0] == pytest.approx(power[0], rel=0.02)
