"""The bench itself: its signals, criteria and verdicts; twenty planted defects that it must catch.

Reference numbers: docs of the criteria are in runs/bench1547/criteria.py (IEEE 1547-2018 Table 3 and 1547.1-2020 4.2 as
UL1741SB and svp_1547.1 carry them); the priority steps' powers are those published with 1547.1's Tables 38 and 39.
"""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from math import inf
from pathlib import Path

import numpy as np
import plotly.graph_objects
import pytest
import typer
from typer.testing import CliRunner

from cosim.errors import ConfigError, ScenarioError
from runs.bench1547 import command
from runs.bench1547.criteria import Finding, band, ceased_after, response, time_accuracy
from runs.bench1547.device import OTHER_SETTINGS, Bank, load_device, maker_of
from runs.bench1547.families import FAMILIES, all_sequences, priority
from runs.bench1547.fleet_device import FleetBank
from runs.bench1547.report import thinned, write_report
from runs.bench1547.runner import bench, choose
from runs.bench1547.sequence import Plan
from runs.bench1547.stand import Job, Trace, grid, record
from runs.bench1547.wave import FREQUENCY, VOLTAGE, Wave
from solvers import ieee1547_tables as tables

INVERTERS = Path(__file__).parent / "models" / "inverters_under_test.py"
DOCS = Path(__file__).parents[1] / "docs" / "bench1547.md"


def _inverters():
    spec = importlib.util.spec_from_file_location("inverters_under_test", INVERTERS)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


inverters = _inverters()


def run(kind, pattern, **plan):
    report, _ = bench(maker_of(kind), plan=Plan(**plan), pattern=pattern)
    return report


def trace_of(p, *, dt=0.1, q=None):
    p = np.asarray(p, float)
    time = dt * np.arange(1, len(p) + 1)
    inputs = np.tile([1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 60.0, 1.0], (len(p), 1))
    return Trace(time, np.full(len(p), dt), inputs, p, np.zeros(len(p)) if q is None else np.asarray(q, float), True)


# -- signals


def test_a_step_takes_effect_at_its_time_and_a_ramp_in_between():
    wave = Wave().hold(1.0).to(voltage=0.5).hold(1.0).to(frequency=61.0, over=2.0)
    sampled = wave.sample(np.array([0.999, 1.0, 1.5, 3.0, 4.0]))
    np.testing.assert_allclose(sampled[:, VOLTAGE][:, 2], [1.0, 0.5, 0.5, 0.5, 0.5])
    np.testing.assert_allclose(sampled[:, FREQUENCY], [60.0, 60.0, 60.0, 60.5, 61.0])


def test_the_grid_meets_every_breakpoint_with_fine_steps_after_it():
    points = np.array([0.0, 1.0, 1.003, 30.0, 300.0])
    ends = grid(points, 0.01)
    steps = np.diff(ends, prepend=0.0)
    assert np.isin(points[1:], ends).all()
    assert steps.min() >= 0.001 - 1e-9
    assert steps.max() <= 0.76
    after = np.searchsorted(ends, 30.0)
    np.testing.assert_allclose(steps[after + 1 : after + 20], 0.01)
    assert len(ends) < 3000


# -- criteria


def test_time_accuracy_is_two_cycles_below_five_seconds_and_one_percent_above():
    assert time_accuracy(0.16) == pytest.approx(2 / 60)
    assert time_accuracy(4.99) == pytest.approx(2 / 60)
    assert time_accuracy(300.0) == pytest.approx(3.0)


def test_band_widens_by_the_slope_and_the_accuracy_of_y():
    low, high = band(lambda v: -2.0 * v, 1.0, 0.01, 0.05)
    assert (low, high) == (pytest.approx(-2.03 - 0.075), pytest.approx(-1.97 + 0.075))


def test_ceased_is_the_end_of_the_first_quiet_step_that_stays_quiet():
    trace = trace_of([1, 1, 0, 1, 0, 0, 0])
    assert ceased_after(trace, 0.2, 0.7) == pytest.approx(0.3)
    assert ceased_after(trace_of([1, 1, 1]), 0.0, 0.3) == inf
    assert ceased_after(trace_of([0, 0, 0], q=[0.2, 0.2, 0]), 0.0, 0.3) == pytest.approx(0.3)


def test_finding_margin_counts_to_the_nearer_limit():
    assert Finding("x", "s", 3.0, 1.0, 10.0).margin == 2.0
    assert not Finding("x", "s", inf, high=10.0).passed
    assert Finding("x", "s", 10.0, high=10.0).passed


@pytest.mark.parametrize(
    ("actual", "asked", "fast_allowed", "good"),
    [(5.0, 5.0, False, True), (10.0, 5.0, False, False), (0.1, 5.0, False, False), (0.1, 5.0, True, True)],
)
def test_response_time_is_judged_at_ninety_percent(actual, asked, fast_allowed, good):
    time = np.arange(1, 2001) * 0.02
    p = np.where(time <= 5.0, 0.0, 1.0 - 0.1 ** ((time - 5.0) / actual))
    found = response(
        trace_of(p, dt=0.02),
        p,
        name="p",
        start=5.0,
        end=40.0,
        expected=(0.9, 1.1),
        response_time=asked,
        two_sided=not fast_allowed,
    )
    assert [finding.passed for finding in found] == [True, good]


def test_priority_steps_are_the_published_ones():
    # 1547.1-2020 Tables 38 and 39 with droop in full digits
    assert [step[2] for step in priority.STEPS] == [0.5, 0.4, 0.302, 0.4, 0.4, 0.601, 0.5, 0.701]


# -- sequences


@pytest.mark.parametrize("category", tables.ABNORMAL_CATEGORIES)
@pytest.mark.parametrize("normal", tables.NORMAL_CATEGORIES)
def test_every_family_has_sequences_with_unique_names(category, normal):
    sequences = all_sequences(Plan(category=category, normal=normal))
    names = [sequence.name for sequence in sequences]
    assert len(set(names)) == len(names)
    families = {sequence.family for sequence in sequences}
    assert families == set(FAMILIES) - ({"voltage_ride_through"} if category == "I" else set())


def test_a_device_gets_every_documented_setting():
    settings = Plan().settings()
    assert set(OTHER_SETTINGS) <= set(settings)
    assert {row.name for row in tables.SETTINGS} <= set(settings)


def test_trip_tests_cover_the_ends_of_every_range():
    plan = Plan(category="II")
    for row in plan.trips():
        own = [s for s in all_sequences(plan) if s.name.split("/")[1] == row.element and "trip" in s.family]
        seconds = {s.cases[0].settings[f"{row.element}_trip_s"] for s in own}
        assert seconds == {row.clearing_range[0], row.clearing, row.clearing_range[1]}
        assert all(len([c for c in s.cases if "repeat" in c.label]) in (5, 20) for s in own)


def test_unverified_and_disputed_numbers_are_said_in_the_row():
    report = run(FleetBank, "voltage_ride_through/low/*,voltage_trip/UV1/0.88pu/21s")
    by_name = {row.sequence: row for row in report.rows}
    assert "unresolved" in by_name["voltage_ride_through/low/printed/high"].note
    assert "no open source" in by_name["voltage_ride_through/low/table/high"].note
    assert "1547a-2020" in by_name["voltage_trip/UV1/0.88pu/21s"].note


# -- planted defects

DEFECTS = {
    "SlowTimer": "voltage_trip/UV1/0.88pu/21s",
    "FastTimer": "frequency_trip/OF1/61.2Hz/300s",
    "NeverTrips": "frequency_trip/UF2/56.5Hz/0.16s",
    "OnePhaseOnly": "voltage_trip/UV2/0.5pu/2s",
    "TripsInMandatoryOperation": "voltage_ride_through/low/table/high",
    "NoCessation": "voltage_ride_through/high/high",
    "SlowRestore": "voltage_ride_through/high/low",
    "PhaseJumpTrip": "phase_angle/all_phases_+20_deg",
    "RocofTrip": "rocof/category",
    "NoRamp": "enter_service/case1",
    "EntersEarly": "enter_service/case1",
    "DelayGoesOn": "enter_service/case1",
    "PermitIgnored": "enter_service/case5",
    "WrongResponseTime": "volt_var/characteristic1/1pu",
    "WrongCurve": "volt_var/characteristic1/0.2pu",
    "NoDeadband": "droop/over/characteristic3/1pu",
    "PrioritySwapped": "priority/volt_var",
    "WrongSide": "constant_reactive/power_factor/0.9_absorbing",
    "LimitIgnored": "active_power_limit/33%",
    "VoltWattLate": "volt_watt/characteristic1/1pu",
}


@pytest.mark.long  # the fleet model passes the same rows in test_fleet_passes_category_iii
def test_the_sound_inverter_passes_what_catches_the_defects():
    report = run(inverters.Inverter, ",".join(DEFECTS.values()))
    assert [row.sequence for row in report.rows if row.outcome != "pass"] == []
    assert report.passed


@pytest.mark.parametrize(("defect", "sequence"), DEFECTS.items())
def test_planted_defect_is_caught(defect, sequence):
    report = run(getattr(inverters, defect), sequence)
    assert not report.passed
    assert report.rows[0].outcome == "fail"
    assert report.rows[0].decisive is not None
    assert not report.rows[0].decisive.passed


def test_a_slow_timer_is_measured():
    row = run(inverters.SlowTimer, "voltage_trip/UV1/0.88pu/21s").rows[0]
    assert row.decisive.quantity == "clearing time"
    assert row.decisive.measured == pytest.approx(1.1 * 21.0, abs=0.3)  # the step has grown by then
    assert row.decisive.high == pytest.approx(21.0 + 1.5 * 0.21 + 0.01)


# -- the fleet with settings that are not those it was given


def tampered(**changes):
    """A fleet that quietly takes other values for some settings."""

    class Tampered(FleetBank):
        def restart(self, settings, *, in_service):
            own = [
                {**s, **{name: new(s[name]) if callable(new) else new for name, new in changes.items()}}
                for s in settings
            ]
            super().restart(own, in_service=in_service)

    return Tampered


TAMPERED = [
    ({"OV1_trip_s": lambda s: 1.1 * s}, "voltage_trip/OV1/1.1pu/13s"),
    ({"UV1_trip_V_pu": lambda v: v - 0.025}, "voltage_trip/UV1/0.88pu/21s"),
    ({"OF2_trip_Hz": lambda f: f - 0.03}, "frequency_trip/OF2/62Hz/0.16s"),
    ({"OF2_trip_Hz": lambda f: f + 0.03}, "frequency_trip/OF2/62Hz/0.16s"),
    ({"three_phase": False}, "voltage_trip/OV2/*"),
    ({"category": "II"}, "voltage_ride_through/high/high"),
    ({"MC_response_s": 0.3}, "voltage_ride_through/high/low"),
    ({"MC_V_low_pu": 0.6}, "voltage_ride_through/low/table/high"),
    ({"RT_recovery_s": 2.0}, "voltage_ride_through/high/low"),
    ({"ROCOF_trip_Hz_s": 2.0}, "rocof"),
    ({"PJ_trip_deg": 10.0}, "phase_angle/all*"),
    ({"PJ_cessation_s": 0.8}, "phase_angle/phase_a"),
    ({"ES_ramp_s": 1.0}, "enter_service/case1"),
    ({"VV_response_s": lambda s: 2.0 * s}, "volt_var/characteristic1/1pu"),
    ({"VV_V4_pu": 1.10, "VV_Q4_pu": -0.25}, "volt_var/characteristic1/0.66pu"),
    ({"FD_dbOF_Hz": 0.017}, "droop/over/characteristic3/1pu"),
    ({"FD_kUF_pu": lambda k: 1.5 * k}, "droop/under/characteristic1/0.5pu"),
    ({"AP_limit_pu": 1.0}, "priority/watt_var"),
    ({"VW_P2_pu": 0.8}, "volt_watt/characteristic1/1pu"),
    ({"PF_absorbing": False}, "constant_reactive/power_factor/0.9_absorbing"),
]


@pytest.mark.parametrize(("changes", "pattern"), TAMPERED, ids=["-".join(changes) for changes, _ in TAMPERED])
def test_a_fleet_with_other_settings_is_caught(changes, pattern):
    assert "fail" in {row.outcome for row in run(tampered(**changes), pattern).rows}


@pytest.mark.parametrize("category", ["II", "III"])
@pytest.mark.parametrize(
    "choice", [{"RT_permissive_ceases": True}, {"may_trip": "at_once"}], ids=["ceases", "trips at once"]
)
def test_what_the_standard_leaves_open_passes_inside_its_tables(category, choice):
    report = run(tampered(**choice), "voltage_ride_through/low/table/*", category=category)
    assert [(row.sequence, row.decisive) for row in report.rows if row.outcome != "pass"] == []


# -- what the bench does not decide


def test_a_failure_on_disputed_conditions_is_indeterminate_not_failed():
    class TripsBelowHalf(inverters.Inverter):
        """Table 16 lets it trip after 1 s below 0.50 pu; 1547.1's printed conditions ask for 10 s."""

        def trips(self, dt, v, f):
            super().trips(dt, v, f)
            self.abnormal_s = self.abnormal_s + dt if self.lowest(v) < 0.5 else 0.0
            if self.abnormal_s > 1.05:
                self.out = True

    report = run(TripsBelowHalf, "voltage_ride_through/low/*")
    outcomes = {row.sequence.split("/")[2]: row.outcome for row in report.rows}
    assert outcomes == {"table": "pass", "printed": "indeterminate"}
    assert report.passed


def test_without_change_the_steps_that_need_it_are_not_exercised():
    class Fixed:
        phases = 3

        def __init__(self):
            self.inner = inverters.Inverter()

        def restart(self, settings, *, in_service):
            self.inner.restart(settings, in_service=in_service)

        def step(self, *inputs):
            return self.inner.step(*inputs)

    report = run(Fixed, "enter_service/case5,volt_watt/characteristic1/1pu")
    assert [row.outcome for row in report.rows] == ["not exercised", "pass"]


def test_nothing_exercised_is_not_a_pass():
    class Fixed(inverters.Inverter):
        change = None

    assert not run(Fixed, "enter_service/case5").passed


def test_a_single_phase_device_is_tested_on_its_one_phase():
    class SinglePhase(inverters.Inverter):
        phases = 1

        def step(self, dt_s, voltage_pu, angle_deg, frequency_hz, available_pu):
            assert voltage_pu.shape == angle_deg.shape == (1,)
            self.angle = self.angle[:1]
            return super().step(dt_s, voltage_pu, angle_deg, frequency_hz, available_pu)

    report = run(SinglePhase, "voltage_trip/OV2/*,phase_angle,voltage_ride_through/high/high", phases=1)
    assert report.passed
    assert {row.sequence for row in report.rows if row.family == "phase_angle"} == {
        "phase_angle/single_phase",
        "phase_angle/all_phases_+20_deg",
        "phase_angle/all_phases_-20_deg",
    }


# -- banks


class Spy(Bank):
    """Counts what runs side by side."""

    together = 2
    made = ()

    def __init__(self, members):
        super().__init__(members)
        Spy.made = (*Spy.made, members)

    def restart(self, settings, *, in_service):
        pass

    def step(self, dt_s, voltage_pu, angle_deg, frequency_hz, available_pu):
        return voltage_pu[:, 0].copy(), frequency_hz - 60.0


def test_waves_of_one_length_share_a_bank_up_to_its_size_and_keep_their_order():
    Spy.made = ()
    waves = [Wave(voltage=0.1 * k).hold(10.0 if k < 3 else 100.0) for k in range(4)]
    traces = record(Spy, [Job({}, wave) for wave in waves], 0.1)
    np.testing.assert_allclose([trace.p[-1] for trace in traces], [0.0, 0.1, 0.2, 0.3])
    assert [trace.time[-1] for trace in traces] == [10.0, 10.0, 10.0, 100.0]
    assert sorted(Spy.made[1:]) == [2]  # the first is the probe, which also plays the single ones


def test_side_by_side_and_alone_give_the_fleet_the_same_verdicts():
    class Alone(FleetBank):
        together = 1

    pattern = "voltage_trip/UV2/0.5pu/2s,droop/over/characteristic1/1pu"
    together, alone = run(FleetBank, pattern), run(Alone, pattern)
    for row, other in zip(together.rows, alone.rows, strict=True):
        assert row.outcome == other.outcome == "pass"
        assert row.decisive.margin == pytest.approx(other.decisive.margin, abs=0.02)


@pytest.mark.parametrize("dt", [0.004, 0.02])
def test_the_step_does_not_decide(dt):
    report, _ = bench(
        FleetBank, plan=Plan(dt=dt), pattern="voltage_trip/OV2/*,phase_angle,voltage_ride_through/high/high"
    )
    assert report.passed


# -- the fleet


@pytest.mark.parametrize("family", [family for family in FAMILIES if family not in ("volt_var", "enter_service")])
def test_fleet_passes_category_iii(family):
    report = run(FleetBank, family)
    assert [(row.sequence, row.decisive) for row in report.rows if row.outcome != "pass"] == []


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("category", tables.ABNORMAL_CATEGORIES)
@pytest.mark.parametrize("normal", tables.NORMAL_CATEGORIES)
def test_fleet_passes_the_whole_bench(category, normal):
    report = run(FleetBank, "*", category=category, normal=normal)
    assert [(row.sequence, row.decisive) for row in report.rows if row.outcome != "pass"] == []


# -- loading and the command line


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("nothing", "names no device"),
        ("no_such_module:Thing", "cannot be imported"),
        ("/nowhere/device.py:Thing", "there is no file"),
        (f"{INVERTERS}:Absent", "has no class 'Absent'"),
        ("pathlib:PurePath", "has no restart and no step"),
    ],
)
def test_a_device_that_cannot_be_tested_is_refused_with_a_reason(entry, message):
    with pytest.raises(ConfigError, match=message):
        load_device(entry)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda: (float("nan"), 0.0), "gave no finite power"),
        (lambda: 1.0, "its step raised TypeError"),
        (lambda: {}["P"], "its step raised KeyError"),
    ],
)
def test_a_device_that_breaks_is_named_as_the_cause(answer, message):
    class Broken(inverters.Inverter):
        def step(self, *inputs):
            return answer()

    with pytest.raises(ConfigError, match=message):
        run(Broken, "phase_angle/phase_a")


def test_opender_missing_is_one_clear_message(monkeypatch):
    monkeypatch.setitem(sys.modules, "opender", None)
    with pytest.raises(ConfigError, match="pip install opender"):
        load_device("opender")


def invoke(*arguments):
    app = typer.Typer()
    command.register(app)
    app.command("other")(lambda: None)  # so that typer keeps the subcommands' names
    return CliRunner().invoke(app, ["bench1547", *arguments])


def test_command_prints_json_and_exits_0(tmp_path):
    out = tmp_path / "bench.html"
    result = invoke("--sequences", "frequency_trip/UF2/56.5Hz/0.16s,priority", "--json", "--out", str(out))
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert found["passed"] is True
    assert {row["outcome"] for row in found["rows"]} == {"pass"}
    assert found["rows"][0]["decisive"]["margin"] > 0
    page = out.read_text()
    assert "<script src" not in page
    assert "http" not in re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)


def test_command_exits_3_where_the_device_fails_and_shows_it():
    result = invoke("--device", f"{INVERTERS}:PhaseJumpTrip", "--sequences", "phase_angle/all*")
    assert result.exit_code == 3
    assert "FAILED" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--category", "IV"), "--category: must be one of I, II, III, got 'IV'"),
        (("--dt", "1"), "--dt: must lie between"),
        (("--sequences", "nonsense"), "no sequence of category III fits 'nonsense'"),
        (("--device", "nonsense"), "--device: 'nonsense' names no device"),
    ],
)
def test_command_refuses_bad_input(arguments, message):
    result = invoke(*arguments)
    assert isinstance(result.exception, ScenarioError)
    assert result.exception.exit_code == 2
    assert message in str(result.exception)


def test_registering_the_command_loads_nothing_heavy():
    code = (
        "import sys, runs.bench1547.command\n"
        "print(sorted({'plotly', 'rich.table', 'pandas', 'scipy', 'opender'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_choose_takes_families_and_patterns():
    assert {s.family for s in choose(Plan(), "rocof, phase_angle/phase_*")} == {"rocof", "phase_angle"}


# -- the report


def test_thinning_keeps_every_move():
    values = np.concatenate([np.zeros(5000), [1.0], np.zeros(4999)])
    _, kept = thinned(trace_of(values), values)
    assert max(kept) == 1.0
    assert len(kept) < 1000


def test_report_draws_every_sequence(tmp_path):
    report, judged = bench(FleetBank, pattern="phase_angle,priority")
    page = write_report(report, judged, tmp_path / "deep" / "bench.html").read_text()
    assert page.count("data-figure=") == len(report.rows)
    figures = json.loads(re.search(r"const figures=(\[.*?\]);\n", page, flags=re.DOTALL).group(1))
    for figure in figures:
        assert len(plotly.graph_objects.Figure(figure).data) in (6, 8)  # voltages, frequency or angles, P, Q


# -- the tutorial


def test_the_page_lists_every_family():
    listed = re.findall(r"^\| `(\w+)` \|", DOCS.read_text(), flags=re.MULTILINE)
    assert tuple(listed) == FAMILIES


def test_the_tutorial_device_runs_and_does_as_the_page_says(tmp_path):
    code = re.search(r"```python\n(.*?)```", DOCS.read_text(), flags=re.DOTALL).group(1)
    path = tmp_path / "my_inverter.py"
    path.write_text(code)
    good = invoke("--device", f"{path}:MyInverter", "--sequences", "voltage_trip/OV*", "--json")
    assert good.exit_code == 0
    bad = invoke("--device", f"{path}:MyInverter", "--sequences", "phase_angle,volt_watt/characteristic1/1pu", "--json")
    assert bad.exit_code == 3
    outcomes = {row["family"]: row["outcome"] for row in json.loads(bad.stdout)["rows"]}
    assert outcomes == {"phase_angle": "pass", "volt_watt": "fail"}


# -- OpenDER, a test extra


OPENDER = "volt_var/characteristic1/1pu,priority/volt_var,enter_service/case5,voltage_trip/OV2/*,phase_angle/phase_a"


def test_opender_passes_a_sample_of_the_bench():
    pytest.importorskip("opender", reason="OpenDER is an optional extra: pip install opender")
    report, _ = bench(load_device("opender"), plan=Plan(), pattern=OPENDER)
    assert [(row.sequence, row.decisive) for row in report.rows if row.outcome != "pass"] == []


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("category", tables.ABNORMAL_CATEGORIES)
def test_opender_passes_the_whole_bench(category):
    # its known departures lie at exactly 1.10, 1.20, 0.50 pu and at the ends of frequency rows, which no test in the
    # manner of 1547.1 touches: steps keep twice the accuracy from the set-points
    pytest.importorskip("opender", reason="OpenDER is an optional extra: pip install opender")
    report, _ = bench(load_device("opender"), plan=Plan(category=category))
    assert [(row.sequence, row.decisive) for row in report.rows if row.outcome != "pass"] == []
