"""Two runs against each other: known differences, and runs that have little in common."""

from __future__ import annotations

import json
from datetime import datetime
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from written_runs import Written, constant, out

from cosim.simulation import Run
from runs.compare import Comparison, Difference, compare, print_comparison


def shown(comparison: Comparison) -> str:
    text = StringIO()
    print_comparison(comparison, Console(file=text, width=140))
    return text.getvalue()


def named(comparison: Comparison, variable: str) -> Difference:
    return next(entry for entry in comparison.variables if entry.variable == variable)


def grid(voltage: np.ndarray, buses: tuple[str, ...] = ("1", "2")) -> Written:
    return Written({"grid": [(out("voltage", "pu", is_complex=True, bus=buses), voltage)]})


def test_equal_runs_are_identical(tmp_path: Path) -> None:
    runs = [grid(np.full((144, 2), 1.0 + 0j)).write(tmp_path / name) for name in "ab"]
    comparison = compare(*runs)
    assert comparison.identical
    assert comparison.changes == ()
    assert (named(comparison, "grid.voltage").largest, named(comparison, "grid.voltage").rms) == (0.0, 0.0)
    assert named(comparison, "grid.voltage").time is None
    assert "bit-identical" in shown(comparison)


def test_a_known_difference_is_found_where_and_when_it_is(tmp_path: Path) -> None:
    before, after = (np.full((144, 2), 1.0 + 0j) for _ in range(2))
    after[60, 1] = 1.0 + 0.12j
    comparison = compare(grid(before).write(tmp_path / "a"), grid(after).write(tmp_path / "b"))
    found = named(comparison, "grid.voltage")
    assert not comparison.identical
    assert found.largest == pytest.approx(0.12)
    assert found.rms == pytest.approx(0.12 / np.sqrt(288))
    assert found.relative == pytest.approx(0.12 / abs(1 + 0.12j))
    assert (found.time, found.where) == (datetime(2014, 1, 16, 10, 0), "2")
    assert "grid.voltage" in shown(comparison)


def test_a_residual_counts_against_its_limit_and_not_against_its_own_noise(tmp_path: Path) -> None:
    from cosim.contract import Port

    port = Port("energy_balance", "MW", "out", "balance", limit=0.01)
    runs = [Written({"grid": [(port, constant(value))]}).write(tmp_path / f"{value}") for value in (1e-12, -1e-12)]
    assert named(compare(*runs), "grid.energy_balance").relative == pytest.approx(2e-10)


def test_only_common_times_are_compared(tmp_path: Path) -> None:
    whole = Written({"a": [(out("x", "1"), np.arange(144.0))]}).write(tmp_path / "a")
    half = Written({"a": [(out("x", "1"), np.arange(72.0))]}, fault="'a' died").write(tmp_path / "b")
    comparison = compare(whole, half)
    found = named(comparison, "a.x")
    assert (found.largest, found.times) == (0.0, 72)
    assert not comparison.second_trustworthy
    assert "cannot be trusted" in shown(comparison)


def test_every_other_time_of_a_slower_run(tmp_path: Path) -> None:
    fast = Written({"a": [(out("x", "1"), np.arange(144.0))]})
    slow = Written({"a": [(out("x", "1"), 2.0 * np.arange(72.0) + 0.5)]}, step=2 * fast.step)
    found = named(compare(fast.write(tmp_path / "a"), slow.write(tmp_path / "b")), "a.x")
    assert (found.largest, found.rms, found.times) == (0.5, pytest.approx(0.5), 72)


def test_what_does_not_fit_is_said(tmp_path: Path) -> None:
    x = constant(1.0)
    first = Written(
        {
            "grid": [(out("voltage", "pu", bus=("1", "2")), np.ones((144, 2))), (out("losses", "MW"), x)],
            "alone": [(out("x", "1"), x)],
            "units": [(out("x", "kW"), x)],
            "shape": [(out("x", "1"), x)],
            "names": [(out("x", "1", home=("h1",)), x[:, None])],
        }
    )
    second = Written(
        {
            "grid": [(out("voltage", "pu", bus=("1", "2", "3")), np.ones((144, 3)))],
            "units": [(out("x", "MW"), x)],
            "shape": [(out("x", "1", home=("h1",)), x[:, None])],
            "names": [(out("x", "1", home=("h2",)), x[:, None])],
        }
    )
    comparison = compare(first.write(tmp_path / "a"), second.write(tmp_path / "b"))
    assert comparison.variables == ()
    assert set(comparison.not_compared) == {
        "alone: only the first run recorded it",
        "grid.losses: only the first run recorded it",
        "grid.voltage: the labels of bus differ, 2 against 3",
        "units.x: the units differ, kW against MW",
        "shape.x: the dimensions differ, a scalar against home",
        "names.x: the labels of home differ, 'h1' against 'h2'",
    }
    assert shown(comparison).count("not compared") == 6


def test_changed_settings_are_named_by_their_place(tmp_path: Path) -> None:
    outputs = {"a": [(out("x", "1"), constant(1.0))]}
    trip = {"kind": "GeneratorTrip", "generator": "33", "time": "14 h"}
    first = Written(outputs, scenario={"seed": 2, "perturbations": [trip]}).write(tmp_path / "a")
    second = Written(outputs, scenario={"perturbations": [trip | {"time": "15 h"}]}).write(tmp_path / "b")
    changes = {change.setting: (change.first, change.second) for change in compare(first, second).changes}
    assert changes == {"seed": (2, None), "perturbations[0].time": ("14 h", "15 h")}
    assert "perturbations[0].time" in shown(compare(first, second))


def test_a_run_that_recorded_nothing(tmp_path: Path) -> None:
    nothing: Run = Written({}, fault="'a' never started").write(tmp_path / "b")
    something = Written({"a": [(out("x", "1"), constant(1.0))]}).write(tmp_path / "a")
    assert compare(something, nothing).not_compared == ("a: only the first run recorded it",)


def test_as_json_it_reads_back(tmp_path: Path) -> None:
    runs = [grid(np.full((144, 2), value + 0j)).write(tmp_path / f"{value}") for value in (1.0, 1.1)]
    comparison = compare(*runs)
    assert Comparison.model_validate(json.loads(comparison.model_dump_json())) == comparison
