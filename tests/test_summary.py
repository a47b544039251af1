"""The figures of a summary against closed forms, and the screen that shows them."""

from __future__ import annotations

import json
from datetime import datetime
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from written_runs import MINUTE, Written, constant, out

import cosim
from cosim.check import Check
from cosim.simulation import Progress
from runs import measures
from runs.progress import describe
from runs.recorded import Recorded
from runs.report import write_report
from runs.summary import Summary, clock, energy_text, noisy_text, power_text, print_summary, seconds, summarise

PHASES = ("A", "B", "C")
TRIP = {
    "kind": "LoadTripWeather",
    "name": "heat",
    "devices": ["thermostat"],
    "share": 0.6,
    "condition": {"temperature_at_least": 40.0, "held_for": "30 min"},
}


def during(first_hour: float, last_hour: float) -> np.ndarray[Any, Any]:
    """True from the first to before the last hour, in steps of 10 min."""
    hours = np.arange(144) / 6
    return (hours >= first_hour) & (hours < last_hour)


def feeder(power: np.ndarray[Any, Any]) -> list[tuple[Any, Any]]:
    """A feeder that draws `power` [MW] in equal parts on three phases."""
    three = np.repeat(power[:, None], 3, axis=1) / 3 * (1 + 0.5j)
    return [(out("power", "MVA", is_complex=True, phase=PHASES), three)]


def disturbance(active: np.ndarray[Any, Any], affected: int, name: str = "heat") -> list[tuple[Any, Any]]:
    """What the perturbations federate records."""
    port = {"perturbation": (name,)}
    return [
        (out("active", "1", **port), active[:, None].astype(float)),
        (out("affected", "1", **port), affected * active[:, None].astype(float)),
    ]


def tripped(shed: float = 1.0, back: float = 0.0) -> tuple[Written, Written]:
    """A feeder of 5 MW that loses `shed` [MW] from 14 to 16 h and draws `back` [MW] more from 16 to 17 h."""
    power = constant(5.0) - shed * during(14, 16) + back * during(16, 17)
    run = Written({"suburb": feeder(power), "perturbations": disturbance(during(14, 16), 60)}, perturbations=[TRIP])
    return run, Written({"suburb": feeder(constant(5.0))})


def shown(summary: Summary, width: int = 100) -> str:
    """What the terminal shows."""
    text = StringIO()
    print_summary(summary, Console(file=text, width=width))
    return text.getvalue()


class TestTrip:
    def test_one_megawatt_for_two_hours_is_two_megawatt_hours(self, tmp_path: Path) -> None:
        run, twin = tripped()
        (load,) = summarise(run.write(tmp_path / "r", twin)).loads
        assert load.shed_mwh == pytest.approx(2.0)
        assert load.rebound_mwh == pytest.approx(0.0)
        assert load.energy_mwh == pytest.approx(24 * 5 - 2)
        assert load.baseline_energy_mwh == pytest.approx(24 * 5)

    def test_what_comes_back_is_net_and_has_a_time_at_which_it_is_over(self, tmp_path: Path) -> None:
        run, twin = tripped(back=1.5)
        (load,) = summarise(run.write(tmp_path / "r", twin)).loads
        assert load.rebound_mwh == pytest.approx(1.5)
        assert load.rebound_share == pytest.approx(0.75)
        assert load.rebound_ended == "over"
        assert (load.rebound_from, load.rebound_until) == (datetime(2014, 1, 16, 16, 0), datetime(2014, 1, 16, 17, 0))
        assert load.after_return_mwh == pytest.approx(1.5)
        assert load.rebound_noise_mwh == pytest.approx(0.005 * 2.0)  # there is none but what is neglected
        assert load.rebound_peak_mw is not None
        assert load.rebound_peak_mw.value == pytest.approx(1.5)
        assert load.rebound_peak_mw.time == datetime(2014, 1, 16, 16, 0)
        assert load.peak_mw.value == pytest.approx(6.5)
        assert load.peak_demand_mw.value == pytest.approx(6.5)

    def test_a_run_that_ends_before_the_rebound_says_so(self, tmp_path: Path) -> None:
        power = constant(5.0) - during(19, 21) + 0.5 * during(21, 24)
        run, twin = tripped()
        acts = disturbance(during(19, 21), 60)
        run.outputs = {"suburb": feeder(power), "perturbations": acts}
        summary = summarise(run.write(tmp_path / "r", twin))
        assert summary.loads[0].rebound_ended == "the run ended"
        assert summary.loads[0].rebound_noise_mwh is None
        assert "2 MWh, not over at the end of the run, 1.5 MWh came back by 17 Jan 00:00 (75%)" in shown(summary)

    def test_what_comes_later_still_stands_beside_it(self, tmp_path: Path) -> None:
        """As of vehicles that left before they were charged."""
        run, twin = tripped()
        power = constant(5.0) - during(6, 8) + 0.5 * during(8, 9) + 0.5 * during(20, 21)
        run.outputs = {"suburb": feeder(power), "perturbations": disturbance(during(6, 8), 60)}
        summary = summarise(run.write(tmp_path / "r", twin))
        assert summary.loads[0].rebound_mwh == pytest.approx(0.5)
        assert summary.loads[0].later_mwh == pytest.approx(0.5)

    def test_what_is_out_to_the_end_has_not_come_back(self, tmp_path: Path) -> None:
        run, twin = tripped()
        run.outputs = {
            "suburb": feeder(constant(5.0) - during(20, 24)),
            "perturbations": disturbance(during(20, 24), 60),
        }
        summary = summarise(run.write(tmp_path / "r", twin))
        assert (summary.loads[0].shed_mwh, summary.loads[0].rebound_mwh) == (pytest.approx(4.0), None)
        assert "4 MWh, still out at the end of the run" in shown(summary)

    def test_only_what_acts_on_a_feeder_counts_for_it(self, tmp_path: Path) -> None:
        """Messages that are lost all day take no load off."""
        run, twin = tripped(back=1.5)
        port = {"perturbation": ("heat", "radio")}
        acts = np.stack([during(14, 16), during(0, 24)], axis=1).astype(float)
        run.outputs = {
            **run.outputs,
            "perturbations": [(out("active", "1", **port), acts), (out("affected", "1", **port), acts)],
        }
        run.perturbations = [TRIP, {"kind": "CommunicationOutage", "name": "radio", "time": "0 h"}]
        run.targets = [("suburb", ("heat",)), ("network", ("radio",))]
        (load,) = summarise(run.write(tmp_path / "r", twin)).loads
        assert (load.shed_mwh, load.rebound_mwh) == (pytest.approx(2.0), pytest.approx(1.5))

    def test_a_feeder_without_supply_is_out_whatever_took_it(self, tmp_path: Path) -> None:
        run, twin = tripped()
        power = constant(5.0) - 1.0 * during(14, 16) - 5.0 * during(2, 3) + 2.0 * during(3, 4)
        run.outputs = {**run.outputs, "suburb": feeder(power)}
        (load,) = summarise(run.write(tmp_path / "r", twin)).loads
        assert (load.shed_mwh, load.rebound_mwh) == (pytest.approx(7.0), pytest.approx(2.0))

    def test_a_lower_load_outside_the_trip_is_not_shed(self, tmp_path: Path) -> None:
        power = constant(5.0) - 1.0 * during(14, 16) - 3.0 * during(2, 4)
        run, twin = tripped()
        run.outputs = {**run.outputs, "suburb": feeder(power)}
        (load,) = summarise(run.write(tmp_path / "r", twin)).loads
        assert load.shed_mwh == pytest.approx(2.0)

    def test_what_is_shed_is_net(self, tmp_path: Path) -> None:
        """Of noise around nothing there is as much above as below; only what is drawn less would have grown with it."""
        run, twin = tripped(shed=0.0)
        power = constant(5.0) + np.where(np.arange(144) % 2, 1.0, -1.0) * during(14, 20)
        run.outputs = {**run.outputs, "suburb": feeder(power)}
        (load,) = summarise(run.write(tmp_path / "r", twin)).loads
        assert load.shed_mwh == pytest.approx(0.0)
        assert load.rebound_share is None
        assert not load.was_hit

    def test_a_load_that_rises_is_drawn_on_top(self, tmp_path: Path) -> None:
        run, twin = tripped(shed=-1.0)
        summary = summarise(run.write(tmp_path / "r", twin))
        (load,) = summary.loads
        assert (load.shed_mwh, load.rebound_share) == (pytest.approx(-2.0), None)
        assert "2 MWh drawn on top" in shown(summary)

    def test_without_a_twin_there_is_nothing_to_hold_it_against(self, tmp_path: Path) -> None:
        (load,) = summarise(tripped()[0].write(tmp_path / "r")).loads
        assert load.shed_mwh is None
        assert load.baseline_peak_mw is None
        assert load.peak_mw.value == pytest.approx(5.0)

    def test_a_twin_that_ended_early_gives_no_peak_or_energy_to_hold_against(self, tmp_path: Path) -> None:
        run, _ = tripped()
        short = Written({"suburb": feeder(constant(5.0, 60))}, fault="'suburb' died")
        (load,) = summarise(run.write(tmp_path / "r", short)).loads
        assert load.baseline_energy_mwh is None


class TestPerturbations:
    def test_it_says_when_how_many_and_how_long(self, tmp_path: Path) -> None:
        summary = summarise(tripped()[0].write(tmp_path / "r"))
        assert summary.perturbations[0].text == "set in at 14:00, 60 thermostats out until 16:00"

    def test_a_condition_that_is_never_met_is_said(self, tmp_path: Path) -> None:
        weather = [(out("temperature", "degC"), np.linspace(20.0, 36.0, 144))]
        outputs = {"weather": weather, "perturbations": disturbance(during(0, 0), 60)}
        summary = summarise(Written(outputs, perturbations=[TRIP]).write(tmp_path / "r"))
        text = "condition never met (needs 40 °C or more for 30 min, highest 36.0 °C): nothing tripped"
        assert summary.perturbations[0].text == text
        assert text[:40] in shown(summary)

    def test_cold_that_never_came_is_said_as_cold(self, tmp_path: Path) -> None:
        weather = [(out("temperature", "degC"), np.linspace(-8.0, 3.0, 144))]
        outputs = {"weather": weather, "perturbations": disturbance(during(0, 0), 60)}
        cold = {**TRIP, "condition": {"temperature_at_most": -10.0, "held_for": "1 h"}}
        summary = summarise(Written(outputs, perturbations=[cold]).write(tmp_path / "r"))
        text = "condition never met (needs -10 °C or less for 1 h, lowest -8.0 °C): nothing tripped"
        assert summary.perturbations[0].text == text

    def test_one_that_acts_to_the_end_has_no_end(self, tmp_path: Path) -> None:
        trip = {"kind": "GeneratorTrip", "name": "lost", "generator": "33", "time": "14 h"}
        outputs = {"perturbations": disturbance(during(14, 24), 1, "lost")}
        (item,) = summarise(Written(outputs, perturbations=[trip]).write(tmp_path / "r")).perturbations
        assert item.text == "set in at 14:00, generator 33 out to the end"
        assert item.spells[0].end is None


class TestGrid:
    def test_worst_voltage_is_where_and_when_it_was_written(self, tmp_path: Path) -> None:
        voltage = np.full((144, 3), 1.0, dtype=complex)
        voltage[97, 1] = 0.93j
        voltage[:, 2] = 0.0  # dead
        port = out("node_voltage", "pu", is_complex=True, node_phase=("1.A", "7.B", "9.C"))
        (found,) = summarise(Written({"suburb": [(port, voltage)]}).write(tmp_path / "r")).voltages
        assert found.worst == found.lowest_pu
        assert (found.worst.value, found.worst.where) == (pytest.approx(0.93), "7.B")
        assert found.worst.time == datetime(2014, 1, 16, 16, 10)
        assert found.highest_pu.value == 1.0

    def test_cost_and_energy_not_served_are_integrals(self, tmp_path: Path) -> None:
        buses = {"bus": ("1", "2")}
        price = np.full((144, 2), 10.0)
        price[100, 1] = 9000.0
        outputs = [
            (out("cost", "$/h"), constant(50.0)),
            (out("lmp", "$/MWh", **buses), price),
            (out("load_shed", "MW", **buses), np.stack([2.0 * during(3, 4), 1.0 * during(3, 6)], axis=1)),
        ]
        twin = Written({"dispatch": [(out("cost", "$/h"), constant(40.0))]})
        summary = summarise(Written({"dispatch": outputs}).write(tmp_path / "r", twin))
        (cost,) = summary.costs
        assert (cost.cost, cost.baseline_cost) == (pytest.approx(1200.0), pytest.approx(960.0))
        assert cost.highest_price is not None
        assert (cost.highest_price.value, cost.highest_price.where) == (9000.0, "2")
        assert summary.not_served[0].energy_mwh == pytest.approx(5.0)

    def test_boundary_mismatch_counts_from_the_first_step_on(self, tmp_path: Path) -> None:
        held = constant(3.0 + 0j)
        used = np.full(144, 3.0 + 0j)
        used[0], used[50] = 3.0 - 0.125j, 3.0 + 0.25j
        run = Written(
            {"a": [(out("s", "MVA", is_complex=True), held)], "b": [(out("y", "1"), constant(1.0))]},
            links=[("a.s", "b.x", 2.0, used)],
        )
        (mismatch,) = summarise(run.write(tmp_path / "r")).mismatches
        assert mismatch.worst.value == pytest.approx(0.25)
        assert mismatch.worst.time == datetime(2014, 1, 16, 8, 20)
        assert mismatch.share == pytest.approx(0.125)
        used[0] = 2.5 + 0j
        first = summarise(Written(run.outputs, links=[("a.s", "b.x", 2.0, used)]).write(tmp_path / "first"))
        assert first.mismatches[0].worst.value == pytest.approx(0.5)
        assert first.mismatches[0].worst.time == datetime(2014, 1, 16)

    def test_mean_latency_weighs_by_messages(self, tmp_path: Path) -> None:
        link = {"link": ("fast", "slow")}
        delivered = np.cumsum(np.tile([3.0, 1.0], (144, 1)), axis=0)
        histogram = np.stack([delivered[:, 0], np.zeros(144), delivered[:, 1], np.zeros(144)], axis=1).reshape(-1, 2, 2)
        zeros = np.zeros((144, 2))
        outputs = [
            (out("sent", "1", **link), delivered + 1),
            (out("delivered", "1", **link), delivered),
            (out("dropped", "1", **link), zeros),
            (out("in_flight", "1", **link), zeros + 1),
            (out("latency_mean", "s", **link), np.tile([0.01, 0.05], (144, 1))),
            (out("latency_max", "s", **link), np.tile([0.02, 0.09], (144, 1))),
            (out("latency_histogram", "1", **link, latency_bin=("up to 0.1 s", "above 0.1 s")), histogram),
        ]
        (messages,) = summarise(Written({"radio": outputs}).write(tmp_path / "r")).messages
        assert (messages.delivered, messages.sent, messages.in_flight) == (576, 578, 2)
        assert messages.mean_latency_s == pytest.approx(0.02)
        assert messages.longest_latency_s == 0.09
        assert messages.latency_95 == "up to 0.1 s"


class TestScreen:
    def test_a_run_of_everything_fits_on_one_screen(self, tmp_path: Path) -> None:
        nodes = out("node_voltage", "pu", is_complex=True, node_phase=("1.A", "2.A"))
        many = {
            f"feeder_{number}": [*feeder(constant(5.0)), (nodes, np.full((144, 2), 1.2 + 0j))] for number in range(9)
        }
        failed = [Check(name=f"check {number}", passed=False, detail="was bad " * 15) for number in range(9)]
        trips = [TRIP | {"name": f"heat {number}"} for number in range(5)]
        names = tuple(f"heat {number}" for number in range(5))
        active = np.tile(during(14, 16)[:, None], (1, 5)).astype(float)
        acts = [(out("active", "1", perturbation=names), active), (out("affected", "1", perturbation=names), active)]
        run = Written({**many, "perturbations": acts}, perturbations=trips, checks=failed)
        twin = Written({name: feeder(constant(6.0)) for name in many})
        text = shown(summarise(run.write(tmp_path / "r", twin)), width=80)
        assert len(text.splitlines()) <= 23  # and the line that names the folder
        assert max(len(line) for line in text.splitlines()) <= 80
        assert "and 7 more failed checks" in text

    def test_good_and_bad_are_said(self, tmp_path: Path) -> None:
        assert "GOOD" in shown(summarise(tripped()[0].write(tmp_path / "a")))
        bad = Written({"suburb": feeder(constant(5.0))}, checks=[Check(name="links", passed=False, detail="silent")])
        text = shown(summarise(bad.write(tmp_path / "b")))
        assert "BAD" in text
        assert "links: silent" in text

    def test_a_failed_check_is_wrapped_and_not_cut(self, tmp_path: Path) -> None:
        """As in a pipe, where a line has 80 columns."""
        check = Check(
            name="boundary mismatch north_of_the_river_window.power->transmission.feeder_load[16]",
            passed=False,
            detail="at most 12.3 MVA (limit 5 MVA), at 12:05:00.5",
            remedy="Raise coupling.power_tolerance if that much is acceptable, or shorten horizon.step.",
        )
        bad = Written({"suburb": feeder(constant(5.0))}, checks=[check])
        text = shown(summarise(bad.write(tmp_path / "r")), width=80)
        assert max(len(line) for line in text.splitlines()) <= 80
        assert f"✘ {check.name}: {check.detail}. {check.remedy}" in " ".join(text.split())

    def test_physics_to_look_at_is_said_of_the_run_and_of_what_only_its_twin_has(self, tmp_path: Path) -> None:
        def look(name: str) -> Check:
            return Check(name=name, passed=False, detail="7 MW at 3 min")

        run, twin = tripped()
        run.to_look_at, twin.to_look_at = [look("slack"), look("ramp")], [look("ramp"), look("losses")]
        summary = summarise(run.write(tmp_path / "r", twin))
        assert summary.trustworthy
        text = " ".join(shown(summary).split())
        for line in (
            "slack: 7 MW at 3 min",
            "ramp: 7 MW at 3 min (the undisturbed twin too)",
            "losses: 7 MW at 3 min (the undisturbed twin only)",
        ):
            assert f"Look at {line}" in text
        assert [check["name"] for check in summary.model_dump(mode="json")["to_look_at"]] == ["slack", "ramp"]
        page = write_report(cosim.open(tmp_path / "r")).read_text()
        assert "This run: physics to look at" in page
        assert "The undisturbed twin: physics to look at" in page

    def test_markup_in_names_is_shown_as_it_is(self, tmp_path: Path) -> None:
        trip = TRIP | {"name": "[red]x[/red]"}
        outputs = {"perturbations": disturbance(during(14, 16), 1, "[red]x[/red]")}
        assert "[red]x[/red]" in shown(summarise(Written(outputs, perturbations=[trip]).write(tmp_path / "r")))

    def test_as_json_it_reads_back(self, tmp_path: Path) -> None:
        run, twin = tripped(back=1.0)
        summary = summarise(run.write(tmp_path / "r", twin))
        assert Summary.model_validate(json.loads(summary.model_dump_json())) == summary


class TestPartial:
    def test_a_run_that_recorded_nothing_is_summarised(self, tmp_path: Path) -> None:
        summary = summarise(Written({}, fault="'suburb' never started").write(tmp_path / "r"))
        assert not summary.trustworthy
        assert summary.loads == ()
        assert "BAD" in shown(summary)

    def test_a_run_that_ended_early_is_summarised_as_far_as_it_got(self, tmp_path: Path) -> None:
        run = Written({"suburb": feeder(constant(5.0, 30))}, fault="'suburb' died")
        summary = summarise(run.write(tmp_path / "r"))
        assert summary.loads[0].energy_mwh == pytest.approx(25.0)
        assert summary.speed.simulated_s == 5 * 3600.0

    def test_rows_that_a_crash_cut_off_are_left_out(self, tmp_path: Path) -> None:
        import zarr

        written = Written({"suburb": feeder(constant(5.0))}).write(tmp_path / "r")
        store = zarr.open_group(str(tmp_path / "r/results.zarr"), mode="r+", use_consolidated=False)
        store["suburb/power"].resize((100, 3))
        variable = Recorded(written).groups["suburb"]["power"]
        assert variable.times.size == 100
        assert variable.total_power() == pytest.approx(np.full(100, 5.0))


@pytest.mark.parametrize(("share", "words"), [(0.4, "oak (40%)"), (30.38, "oak (100%)")])
def test_no_federate_takes_more_than_all_of_the_time(share: float, words: str) -> None:
    """Just after the first step, too, before which it may have computed for long."""
    progress = Progress(time=MINUTE, duration=60 * MINUTE, starting=False, wall=2.0, slowest="oak", slowest_share=share)
    assert describe(progress) == f"30 x real time, slowest: {words}"


class TestMeasures:
    def test_values_hold_until_the_next_and_the_last_as_long_as_the_one_before(self) -> None:
        times, day = np.array([0, 10, 40]) * MINUTE, 24 * 60 * MINUTE
        assert measures.held_hours(times, MINUTE, day) == pytest.approx([1 / 6, 0.5, 0.5])
        assert measures.held_hours(times[:1], MINUTE, day) == pytest.approx([1 / 60])
        assert measures.held_hours(times[:0], MINUTE, day).size == 0

    def test_nothing_holds_beyond_the_end_of_the_run(self) -> None:
        """As of a dispatch every 40 min in a run of 1 h."""
        times = np.array([0, 40]) * MINUTE
        assert measures.held_hours(times, MINUTE, 60 * MINUTE) == pytest.approx([2 / 3, 1 / 3])
        assert measures.held_hours(times, MINUTE, 40 * MINUTE) == pytest.approx([2 / 3, 0.0])

    def test_spells(self) -> None:
        times = np.arange(6) * MINUTE
        holds = np.array([True, False, True, True, False, True])
        first, second, third = measures.spells(times, holds)
        assert (first.first, first.end) == (0, MINUTE)
        assert (second.first, second.end) == (2 * MINUTE, 4 * MINUTE)
        assert (third.first, third.end) == (5 * MINUTE, None)

    def test_what_holds_between_the_times_of_a_slower_series(self) -> None:
        times, values = np.array([10, 20]), np.array([True, False])
        assert measures.holds_at(times, values, np.array([5, 10, 15, 20, 99])).tolist() == [
            False,
            True,
            True,
            False,
            False,
        ]

    def test_bands_leave_dead_nodes_out(self, tmp_path: Path) -> None:
        voltage = np.tile([1.0, 0.98, 0.0], (144, 1))
        voltage[10] = 0.0
        port = out("node_voltage", "pu", node_phase=("1", "2", "3"))
        run = Written({"suburb": [(port, voltage)]}).write(tmp_path / "r")
        _, band = measures.bands(Recorded(run).groups["suburb"]["node_voltage"], (0.0, 0.5, 1.0))
        assert band[0] == pytest.approx([0.98, 0.99, 1.0])
        assert band[10] == pytest.approx([0.0, 0.0, 0.0])


class TestWords:
    def test_units_suit_the_size(self) -> None:
        assert power_text(0.4261) == "426.1 kW"
        assert power_text(6142.2) == "6,142 MW"
        assert energy_text(0.5) == "500 kWh"
        assert noisy_text(0.0961, 0.0109) == "96 ± 11 kWh"
        assert noisy_text(0.0290, 0.0056) == "29.0 ± 5.6 kWh"
        assert noisy_text(1.5, 0.01) == "1.500 ± 0.010 MWh"
        assert noisy_text(1.5, None) == "1.5 MWh"
        assert [seconds(value) for value in (2.5, 0.0123, 4e-5)] == ["2.5 s", "12.3 ms", "40 µs"]

    def test_the_day_is_named_where_there_are_several(self, tmp_path: Path) -> None:
        run = Recorded(Written({"suburb": feeder(constant(5.0))}, duration=48 * 60 * MINUTE).write(tmp_path / "r"))
        assert clock(run, datetime(2014, 1, 17, 4, 30)) == "17 Jan 04:30"
