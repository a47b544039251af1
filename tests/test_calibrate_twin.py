"""The twin test: parameters come back from data that a scenario itself produced, with noise, inside their intervals.

Of 40 repeats whose 95 % intervals are right, 38 hold the truth on average; at least 35 do with a probability of 98.6 %
(binomial distribution). So the count must be 35 or more for every parameter.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runs.calibrate.file import load_calibration
from runs.calibrate.loop.inference import Searching, fit_least_squares, judge, problem_of
from runs.calibrate.loop.lockstep import in_lockstep
from runs.calibrate.loop.search import Derivatives
from runs.calibrate.loop.simulations import Simulations
from runs.calibrate.run import _checked, calibrate
from runs.calibrate.targets.scenario import ScenarioParameters
from tests.twins import NOISE, SEARCHED, TRUTH, twin


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_forty_twins_come_back_inside_their_intervals(tmp_path: Path) -> None:
    """Every repeat has noise of its own, and is searched with the real co-simulation; all side by side."""
    repeats = 40
    path = twin(tmp_path, noise=0.0, reach=0.5)
    target, task = _checked(load_calibration(path), tmp_path / "out", 2, None, False, lambda text: None)
    assert isinstance(target, ScenarioParameters)
    observed = target._observed(task, target._batch(task.file, None))
    searched = target.config.parameters
    parameters = list(searched.values())
    inside, places, halves = [], [], []
    truth = np.array([float(each.place(np.array(TRUTH[name]))) for name, each in searched.items()])
    how = Searching(tolerance=target.config.tolerance, reach=target.config.reach)
    with Simulations(task, target._batch(task.file, observed), searched, observed, 10_000) as simulations:
        problems = []
        for number in range(repeats):
            noise = NOISE * np.random.default_rng([7, number]).standard_normal(len(observed.measured))
            problems.append(problem_of(parameters, observed, observed.measured + noise))
        fits: list[Callable[..., Any]] = [partial(_fit, problem, observed, how) for problem in problems]
        found = in_lockstep(fits, simulations)
        derivatives = Derivatives(parameters, simulations, 0.5, central=True)
        derivatives.at(truth)  # taken once, as the repeats end near each other
        for problem, best, _ in found:
            sure = judge(problem, observed, best.place, simulations, derivatives)
            assert sure.identified.all()
            inside.append(np.abs(best.place - truth) <= sure.half)
            places.append(best.place)
            halves.append(sure.half)
    counts = np.sum(inside, axis=0)
    print(f"of {repeats} repeats inside: {dict(zip(searched, counts.tolist(), strict=True))}, {simulations.runs} runs,")
    print(f"{simulations.per_hour:.0f} runs/h; spread of estimates {np.std(places, axis=0, ddof=1)},")
    print(f"mean half-width {np.mean(halves, axis=0)}, bias {np.mean(places, axis=0) - truth}")
    assert (counts >= 35).all(), counts
    # and the intervals are no wider than the estimates scatter: within three standard errors of a deviation from 40
    ratio = np.mean(halves, axis=0) / 2.01 / np.std(places, axis=0, ddof=1)
    assert ((ratio > 0.66) & (ratio < 1.5)).all(), ratio


def _fit(problem: Any, observed: Any, how: Searching, simulate: Any) -> Any:
    return fit_least_squares(problem, observed, simulate, how)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_pair_with_one_effect_is_flagged_and_not_called_precise(tmp_path: Path) -> None:
    """The load scale is `scale` times the demand over `reference`: no data can tell the two apart."""
    pair = {
        "offset": SEARCHED["offset"],
        "reference": SEARCHED["reference"],
        "scale": {"path": "demand.scale", "low": 0.8, "high": 1.2},
    }
    done = calibrate(twin(tmp_path, parameters=pair), tmp_path / "out", workers=2, report=False)
    parameters = done.parameters.parameters
    assert not parameters["reference"].identified
    assert not parameters["scale"].identified
    assert "Cannot be told apart from scale" in parameters["reference"].note
    assert any("cannot tell reference and scale apart" in warning for warning in done.parameters.provenance.warnings)
    assert parameters["offset"].identified
    low, high = parameters["offset"].interval or (0.0, 0.0)
    assert np.all(np.array(low) <= TRUTH["offset"])
    assert np.all(TRUTH["offset"] <= np.array(high))
    assert parameters["scale"].interval == (0.8, 1.2)
