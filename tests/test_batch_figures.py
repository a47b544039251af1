"""Summary figures of a run: known series, and the numbers that follow from them by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from written_runs import Written, constant, out

from cosim.simulation import Run
from runs.batch.figures import READY, FigureSpec, compute_figures
from runs.batch.plan import Plan
from runs.batch.row import Row

HOURS = np.arange(144) / 6  #: of each value since midnight


def during(first: float, last: float) -> np.ndarray:
    return (first <= HOURS) & (last > HOURS)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A feeder of 5 MW that loses 1 MW from 14 to 16 h and draws 1.5 MW more from 16 to 17 h, a grid and a dispatch."""
    power = constant(5.0) - 1.0 * during(14, 16) + 1.5 * during(16, 17) + 0.5j
    out_now = during(14, 16)[:, None].astype(float)
    nodes = np.tile([1.0, 0.97, 0.0], (144, 1)).astype(complex)  # the last is dead
    nodes[96, 1] = 0.91j
    buses = {"bus": ("1", "2")}
    price = np.full((144, 2), 10.0)
    price[100, 1] = 90.0
    counts = np.cumsum(np.ones(144))

    def of(power: Any, *, acts: bool) -> Written:
        outputs: dict[str, Any] = {
            "suburb": [
                (out("power", "MVA", is_complex=True), power),
                (out("node_voltage", "pu", is_complex=True, node_phase=("a", "b", "c")), nodes),
                (out("home_power", "kW", home=("x", "y")), np.stack([HOURS, 2 * HOURS], axis=1)),
            ],
            "dispatch": [
                (out("cost", "$/h"), constant(50.0)),
                (out("lmp", "$/MWh", **buses), price),
                (out("load_shed", "MW", **buses), np.stack([2.0 * during(3, 4), 1.0 * during(3, 6)], axis=1)),
            ],
            "communications": [
                (out(name, "1", link=("l",)), (factor * counts)[:, None])
                for name, factor in (("sent", 4.0), ("delivered", 3.0), ("dropped", 1.0), ("in_flight", 0.0))
            ],
            "weather": [(out("temperature", "degC"), 20.0 + HOURS)],
        }
        trip = {"kind": "LoadTrip", "name": "t", "devices": ["thermostat"], "time": "14 h"}
        if acts:
            port = {"perturbation": ("t",)}
            outputs["perturbations"] = [
                (out("active", "1", **port), out_now),
                (out("affected", "1", **port), 60 * out_now),
            ]
        return Written(outputs, perturbations=[trip] if acts else [])

    folder = tmp_path_factory.mktemp("figures") / "run"
    return of(power, acts=True).write(folder, of(constant(5.0) + 0.5j, acts=False))


WINDOW = ("der_lost_power", "der_tripped", "der_tripped_power", "frequency_nadir", "frequency_nadir_der_held")


def figure(run: Run, **spec: Any) -> float | None:
    return compute_figures(run, {"x": FigureSpec.model_validate(spec)})["x"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("peak_load", 6.5),
        ("peak_demand", 6.5),
        ("baseline_peak_load", 5.0),
        ("energy", 24 * 5 - 2 + 1.5),
        ("energy_shed", 2.0),
        ("energy_rebound", 1.5),
        ("energy_rebound_noise", 0.005 * 2.0),  # there is no noise, but half a percent of what was shed is neglected
        ("energy_after_return", 1.5),
        ("rebound_peak", 1.5),
        ("minimum_voltage", 0.91),
        ("maximum_voltage", 1.0),
        ("cost", 1200.0),
        ("highest_price", 90.0),
        ("unserved_energy", 2.0 + 3.0),
        ("messages_lost", 144.0),
        ("devices_affected", 60.0),
        ("message_latency", None),  # nobody recorded it
        ("boundary_mismatch", None),  # there is no boundary
        *((name, None) for name in WINDOW),  # there is no event window; in one: tests/test_event_window.py
    ],
)
def test_ready_figures_are_those_of_the_series(run: Run, name: str, expected: float | None) -> None:
    assert figure(run, figure=name) == (expected if expected is None else pytest.approx(expected))


def test_every_ready_figure_is_tested() -> None:
    marks = test_ready_figures_are_those_of_the_series.pytestmark  # type: ignore[attr-defined]
    assert {case[0] for case in marks[0].args[1]} == set(READY)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"of": "suburb.power", "reduce": "max"}, 6.5),
        ({"of": "suburb.power", "reduce": "max", "part": "imaginary"}, 0.5),
        ({"of": "suburb.power", "reduce": "min", "part": "magnitude"}, np.hypot(4, 0.5)),
        ({"of": "suburb.power", "reduce": "max", "unit": "kW"}, 6500.0),
        ({"of": "suburb.power", "reduce": "energy"}, 119.5),
        ({"of": "suburb.power", "reduce": "energy", "minus_baseline": True}, -0.5),
        ({"of": "suburb.power", "reduce": "max", "minus_baseline": True}, 1.5),
        ({"of": "suburb.power", "reduce": "time_of_max"}, 16.0),
        ({"of": "suburb.power", "reduce": "time_of_min"}, 14.0),
        ({"of": "suburb.power", "reduce": "duration_above(5.2)"}, 1.0),
        ({"of": "suburb.power", "reduce": "duration_below(4.5)"}, 2.0),
        ({"of": "suburb.power", "reduce": "mean", "during": ["14:00", "17:00"]}, (2 * 4 + 6.5) / 3),
        ({"of": "suburb.power", "reduce": "max", "during": ["17:00", "14:00"]}, 5.0),  # over midnight
        ({"of": "suburb.home_power", "reduce": "energy"}, 3 * HOURS.sum() / 6),
        ({"of": "suburb.home_power[y]", "reduce": "last"}, 2 * HOURS[-1]),
        ({"of": "suburb.home_power", "elements": "max", "reduce": "first"}, 0.0),
        ({"of": "perturbations.affected", "reduce": "sum"}, 60 * 12),
        ({"of": "weather.temperature", "reduce": "quantile(0.25)"}, 20 + HOURS[35]),  # the 36th of 144 values
        ({"of": "weather.temperature", "reduce": "first", "unit": "degF"}, 68.0),
        ({"of": "weather.temperature", "reduce": "max", "minus_baseline": True, "unit": "degF"}, 0.0),
        ({"of": "suburb.home_power[z]"}, None),
        ({"of": "suburb.nothing"}, None),
        ({"of": "nobody.power"}, None),
        ({"of": "perturbations.active", "minus_baseline": True}, None),
    ],
)
def test_reductions_are_those_of_the_series(run: Run, spec: dict[str, Any], expected: float | None) -> None:
    assert figure(run, **spec) == (expected if expected is None else pytest.approx(expected, abs=1e-9))


def test_a_figure_of_the_twin_has_no_value_without_one(run: Run) -> None:
    alone = Run(run.folder / "baseline")
    assert figure(alone, figure="energy_shed") is None
    assert figure(alone, of="suburb.power", minus_baseline=True) is None


def test_units_and_titles_reach_the_table(tmp_path: Path) -> None:
    from runs.batch.file import batch_from_mapping
    from runs.batch.plan import make_plan
    from runs.batch.table import describe, table_of

    (tmp_path / "base.yaml").write_text(
        "name: base\nhorizon: {start: 2014-01-16 12:00, duration: 30 min}\nweather: {}\n"
    )
    figures = {
        "hottest": {"of": "weather.temperature", "unit": "degF", "title": "hottest hour"},
        "sun": {"of": "weather.temperature", "reduce": "time_of_max"},
    }
    plan: Plan = make_plan(batch_from_mapping({"name": "b", "scenario": "base.yaml", "figures": figures}, tmp_path))
    assert plan.figures == {"hottest": ("degF", "hottest hour"), "sun": ("h", "time of max of weather.temperature")}
    assert describe(plan)["figures"]["hottest"] == {"unit": "degF", "title": "hottest hour"}
    row = Row(run="0001", number=1, outcome="good", figures={"hottest": 104.0, "sun": None})
    table = table_of(plan, [row])
    assert table["figure.hottest"][0] == 104.0
    assert table["figure.sun"].isna().all()
