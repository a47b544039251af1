"""What must not change a measure: a shorter step, a longer run, an earlier start, a load that both runs have."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from written_runs import MINUTE, START, Written, out

from cosim.simulation import Run
from runs.batch.figures import FigureSpec, compute_figures
from runs.measures import HOUR, block_means, held_hours, hold_edges, levels, weighted_quantile

Series = np.ndarray[Any, Any]
STEPS = 3 * 24 * 60 // 10  #: of 10 min in three days

FIGURES = {
    "shed": {"figure": "energy_shed"},
    "rebound": {"figure": "energy_rebound"},
    "after": {"figure": "energy_after_return"},
    "rebound_peak": {"figure": "rebound_peak"},
    "demand": {"figure": "peak_demand"},
    "energy": {"figure": "energy"},
    "cost": {"figure": "cost"},
    "unserved": {"figure": "unserved_energy"},
    "mean": {"of": "suburb.power", "reduce": "mean"},
    "median": {"of": "suburb.power", "reduce": "quantile(0.5)"},
    "low": {"of": "suburb.power", "reduce": "quantile(0.05)", "during": ["12:05", "17:35"]},
    "above": {"of": "suburb.power", "reduce": "duration_above(5.01)"},
    "evening": {"of": "suburb.power", "reduce": "energy", "during": ["12:03", "17:31"]},
    "night": {"of": "suburb.power", "reduce": "energy", "during": ["17:31", "12:03"]},
}
OF_THE_TRIP = ("shed", "rebound", "rebound_peak")


def figures(folder: Path, count: int = STEPS, split: int = 1, ahead: int = 0, load: float = 0.0) -> dict[str, float]:
    """The figures of a feeder of 5 MW with a trip of 2 h, what comes back, and noise for ever after.

    For so many steps, each `split` into shorter ones in which the same value holds, after `ahead` more of nothing;
    `load` [MW] is added to the run and to its twin.
    """
    hours = np.arange(count) / 6
    noise = np.random.default_rng(7).choice([-0.2, 0.2], STEPS)[:count] * (hours >= 15)
    power = 5.0 + load - 1.0 * ((hours >= 13) & (hours < 15)) + 0.5 * ((hours >= 15) & (hours < 17)) + noise
    acts = ((hours >= 13) & (hours < 15)).astype(float)

    def spread(values: Series) -> Series:
        return np.repeat(np.concatenate([np.full(ahead, values[0]), values]), split)

    def of(power: Series, acting: Series | None) -> Written:
        outputs: dict[str, Any] = {
            "suburb": [(out("power", "MVA", is_complex=True), spread(power).astype(complex))],
            "dispatch": [(out("cost", "$/h"), spread(10 * power)), (out("load_shed", "MW"), spread(acts))],
        }
        if acting is not None:
            port = {"perturbation": ("t",)}
            outputs["perturbations"] = [
                (out(name, "1", **port), spread(acting)[:, None]) for name in ("active", "affected")
            ]
        trips = [] if acting is None else [{"kind": "LoadTrip", "name": "t", "devices": ["thermostat"], "time": "13 h"}]
        step = 10 * MINUTE // split
        return Written(outputs, step=step, duration=step * split * (count + ahead), perturbations=trips)

    run: Run = of(power, acts).write(folder, of(np.full(count, 5.0 + load), None))
    found = compute_figures(run, {name: FigureSpec.model_validate(spec) for name, spec in FIGURES.items()})
    return {name: np.nan if value is None else value for name, value in found.items()}


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    found = figures(tmp_path_factory.mktemp("usual") / "r")
    assert np.isfinite(list(found.values())).all()
    assert found["evening"] + found["night"] == pytest.approx(found["energy"])
    return found


def test_a_shorter_step_with_the_same_values(usual: dict[str, float], tmp_path: Path) -> None:
    assert figures(tmp_path / "r", split=5) == pytest.approx(usual, rel=1e-6)


@pytest.mark.parametrize("hours", [24, 48])
def test_a_longer_run(hours: int, usual: dict[str, float], tmp_path: Path) -> None:
    found = figures(tmp_path / "r", count=6 * hours)
    assert {name: found[name] for name in OF_THE_TRIP} == pytest.approx({name: usual[name] for name in OF_THE_TRIP})


def test_an_earlier_start(usual: dict[str, float], tmp_path: Path) -> None:
    found = figures(tmp_path / "r", ahead=60)
    names = (*OF_THE_TRIP, "after", "demand", "above")
    assert {name: found[name] for name in names} == pytest.approx({name: usual[name] for name in names})


def test_a_load_that_both_have(usual: dict[str, float], tmp_path: Path) -> None:
    found = figures(tmp_path / "r", load=3.0)
    names = (*OF_THE_TRIP, "after")
    assert {name: found[name] for name in names} == pytest.approx({name: usual[name] for name in names})
    assert found["energy"] == pytest.approx(usual["energy"] + 3.0 * 72)


lengths = st.lists(st.integers(1, 40), min_size=2, max_size=30)


@given(lengths=lengths, seed=st.integers(0, 99), cut=st.integers(1, 5))
@settings(max_examples=60, deadline=None)
def test_energy_mean_demand_and_quantiles_do_not_know_the_steps(lengths: list[int], seed: int, cut: int) -> None:
    """Each value split into equal parts holds the same over the same time; the steps need not be equal."""
    values = np.random.default_rng(seed).normal(size=len(lengths))
    edges = np.concatenate([[0], np.cumsum(lengths)]) * MINUTE
    fine = np.interp(np.arange(len(lengths) * cut + 1) / cut, np.arange(edges.size), edges).astype(np.int64)
    more = np.repeat(values, cut)
    assert levels(fine, more)[::cut] == pytest.approx(levels(edges, values))
    for share in (0.0, 0.1, 0.5, 0.9, 1.0):
        quantiles = [weighted_quantile(v, np.diff(e) / HOUR, share) for v, e in ((values, edges), (more, fine))]
        assert quantiles[0] == quantiles[1]
    highest = [block_means(e, levels(e, v), 0, int(e[-1]))[1].max() for v, e in ((values, edges), (more, fine))]
    assert highest[1] >= highest[0] - 1e-12  # it may begin at more times


@given(lengths=lengths, end=st.integers(1, 2000))
@settings(max_examples=60, deadline=None)
def test_nothing_holds_beyond_the_end(lengths: list[int], end: int) -> None:
    times = np.cumsum(lengths) * MINUTE
    until = max(end * MINUTE, int(times[-1]))
    hours = held_hours(times, MINUTE, until)
    assert (hours >= 0).all()
    assert times[0] + hours.sum() * HOUR <= until + 1
    assert hold_edges(times, MINUTE, until)[:-1].tolist() == times.tolist()


def test_the_start_of_the_written_runs_is_midnight() -> None:
    """What spans of the day count from."""
    assert START - START.replace(hour=0) == timedelta(0)
