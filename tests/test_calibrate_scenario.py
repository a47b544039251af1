"""Calibration inside the loop: search, intervals and what data cannot tell, against results that others published."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from cosim.calibrated import read_parameter_file
from cosim.errors import ScenarioError, SolverError
from runs.calibrate.loop.inference import roughness
from runs.calibrate.loop.lockstep import Simulate, in_lockstep
from runs.calibrate.loop.search import FAILED, Derivatives, Problem, multi_start, sampled
from runs.calibrate.loop.searched import Prior, Searched, starting_points
from runs.calibrate.loop.simulations import SpentError
from runs.calibrate.run import calibrate
from runs.calibrate.run import check as check_file
from solvers.parameter_uncertainty import uncertainty
from tests.twins import SCENARIO, TRUTH, twin

Floats = NDArray[np.float64]

# NIST Statistical Reference Datasets, nonlinear regression, Misra1a (D. Misra, 1978): y = b1 (1 - exp(-b2 x)).
MISRA_Y = "10.07 14.73 17.94 23.93 29.61 35.18 40.02 44.82 50.76 55.05 61.01 66.40 75.47 81.78"
MISRA_X = "77.6 114.9 141.1 190.8 239.9 289.0 332.8 378.4 434.8 477.3 536.8 593.1 689.1 760.0"
CERTIFIED = np.array([2.3894212918e02, 5.5015643181e-04])
CERTIFIED_DEVIATION = np.array([2.7070075241e00, 7.2668688436e-06])
CERTIFIED_NOISE = 1.0187876330e-01


def searched(low: float, high: float, **more: Any) -> Searched:
    return Searched(path="seed", low=low, high=high, **{"step": 1e-4, **more})


def problem(parameters: list[Searched], measured: Floats) -> Problem:
    return Problem(parameters, measured, np.ones(len(measured), bool), np.ones(len(measured)))


def misra() -> tuple[list[Searched], Floats, Simulate]:
    x, y = (np.array(text.split(), dtype=float) for text in (MISRA_X, MISRA_Y))
    parameters = [searched(50, 600), searched(5e-5, 5e-3, scale="log")]

    def simulate(places: Floats) -> Floats:
        one, two = (each.value(places[:, number]) for number, each in enumerate(parameters))
        return np.asarray(one[:, None] * (1 - np.exp(-two[:, None] * x)))

    return parameters, y, simulate


def test_least_squares_finds_what_nist_certifies() -> None:
    parameters, y, simulate = misra()
    own = problem(parameters, y)
    best = multi_start(own, 3, 1, simulate, 1e-10, 0.0)[0]
    values = np.array([float(each.value(place)) for each, place in zip(parameters, best.place, strict=True)])
    assert values == pytest.approx(CERTIFIED, rel=1e-4)
    slopes = Derivatives(parameters, simulate, 0.0, central=True).at(best.place)
    mixed = np.argsort(np.arange(14) * 5 % 14)  # NIST takes the errors as independent; in order of x they are not
    residuals = own.residuals(simulate(best.place[None]))[0]
    found = uncertainty(residuals[mixed], slopes[mixed], np.zeros(14, int), best.place)
    assert found.noise == pytest.approx([CERTIFIED_NOISE], rel=1e-4)
    deviation = np.sqrt(np.diag(found.covariance)) * [550, values[1] * np.log(100)]
    assert deviation == pytest.approx(CERTIFIED_DEVIATION, rel=1e-3)
    assert len(found.correlated) == 1  # NIST's Misra1a is known for it: correlation -0.999


def test_starts_side_by_side_end_as_one_after_the_other() -> None:
    parameters, y, simulate = misra()
    generations = []

    def counting(places: Floats) -> Floats:
        generations.append(len(places))
        return simulate(places)

    def search(ask: Simulate, start: float) -> float:
        found = multi_start(problem([searched(50, 600, start=start), parameters[1]], y), 1, 1, ask, 1e-8, 0.0)
        return found[0].cost

    starts = (100.0, 300.0, 590.0)
    searches: list[Callable[[Simulate], float]] = [partial(search, start=start) for start in starts]
    together = in_lockstep(searches, counting)
    assert together == [search(simulate, start) for start in starts]
    assert max(generations) >= 6  # three searches' differences at once


def test_an_error_of_one_search_ends_all() -> None:
    def good(ask: Simulate) -> None:
        while True:
            ask(np.zeros((1, 1)))

    def bad(ask: Simulate) -> None:
        ask(np.zeros((1, 1)))
        raise SolverError("no way")

    with pytest.raises(SolverError, match="no way"):
        in_lockstep([good, bad, good], lambda places: places)

    def spent(places: Floats) -> Floats:
        raise SpentError

    parameters, y, simulate = misra()
    left = 20

    def some(places: Floats) -> Floats:
        nonlocal left
        left -= len(places)
        if left < 0:
            raise SpentError
        return simulate(places)

    found = multi_start(problem(parameters, y), 3, 1, some, 1e-10, 0.0)  # each search gives the best that it has
    assert [each.why for each in found] == ["no more runs were allowed"] * 3

    with pytest.raises(SpentError):
        in_lockstep([good, good], spent)


# ---- intervals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lasting", [0.0, 0.6])
def test_intervals_hold_the_truth_in_95_percent(lasting: float) -> None:
    """Of 1000 repeats of a linear fit, whose theory is exact for white noise; within three standard errors."""
    random = np.random.default_rng(3)
    time = np.linspace(0, 1, 200)
    slopes = np.stack([np.ones(200), np.sin(2 * np.pi * time), time], axis=1) * 0.5
    truth, inside, repeats = np.array([0.4, 0.5, 0.6]), np.zeros(3), 1000
    for _ in range(repeats):
        noise = random.standard_normal(200)
        for k in range(1, 200):
            noise[k] = lasting * noise[k - 1] + np.sqrt(1 - lasting**2) * noise[k]
        measured = slopes @ truth + 0.02 * noise
        place = np.linalg.lstsq(slopes, measured, rcond=None)[0]
        found = uncertainty(slopes @ place - measured, slopes, np.zeros(200, int), place)
        inside += np.abs(place - truth) <= found.half
        assert found.identified.all()
    assert (inside / repeats > 0.95 - 3 * np.sqrt(0.95 * 0.05 / repeats) - (0.02 if lasting else 0.0)).all(), inside
    assert (inside / repeats < 0.985).all(), inside


def test_what_the_data_cannot_tell_apart_is_named_together() -> None:
    random = np.random.default_rng(1)
    one, two = random.standard_normal((2, 50))
    slopes = np.stack([one, two, -2 * two, 1e-4 * one * two], axis=1)  # a pair with one effect, and one with hardly any
    place, noise = np.array([0.5, 0.3, 0.4, 0.5]), 0.01 * random.standard_normal(50)
    found = uncertainty(noise, slopes, np.zeros(50, int), place)
    assert found.identified.tolist() == [True, False, False, False]
    assert set(found.confused) == {(1, 2), (3,)}
    prior = np.zeros((4, 4))
    prior[1, 1] = 1e6  # known beforehand to a thousandth, in units of the residuals
    told = uncertainty(noise, slopes, np.zeros(50, int), place, prior)
    assert told.identified.tolist() == [True, True, True, False]


def test_how_rough_results_are_is_found_beside_the_best_point() -> None:
    random = np.random.default_rng(2)
    slopes = random.standard_normal((400, 2))

    def simulate(places: Floats) -> Floats:
        """A plane, and at every point errors of its own of standard deviation 0.05."""
        own = [np.random.default_rng(np.round(1e6 * place).astype(int)).standard_normal(400) for place in places]
        return np.asarray(places @ slopes.T + 0.05 * np.array(own))

    parameters = [searched(0, 1, step=0.1), searched(0, 1, step=0.1)]
    derivatives = Derivatives(parameters, simulate, 0.0, central=True)
    derivatives.at(np.array([0.4, 0.6]))
    rough = roughness(problem(parameters, np.zeros(400)), derivatives)
    assert rough is not None
    assert np.sqrt(np.mean(rough**2)) == pytest.approx(0.05, rel=0.1)


def test_a_parameter_at_its_bound_is_not_called_sure() -> None:
    slopes = np.eye(20)[:, :2]
    found = uncertainty(np.full(20, 1e-3), slopes, np.zeros(20, int), np.array([0.0, 0.5]))
    assert found.at_bound.tolist() == [-1, 0]
    assert found.identified.tolist() == [False, True]


# ---- searched parameters ---------------------------------------------------------------------------------------------


def test_parameters_go_from_their_bounds_to_one_and_back() -> None:
    warm = Searched(path="a", low="20 degC", high="30 degC", start="22 degC")
    assert warm.begin == pytest.approx(0.2)
    assert (warm.written(0.25), warm.unit) == ("22.5 degC", "degC")
    slow = Searched(
        path="a", low=0.01, high=100, scale="log", prior=Prior(distribution="lognormal", centre=1, spread=2)
    )
    assert slow.written(0.5) == pytest.approx(1)
    assert slow.surprise(np.array([0.5, 1.0])) == pytest.approx([0, np.log(100) / 2])
    assert Searched(path="a", low=2, high=9, whole=True).written(0.3) == 4
    points = starting_points([warm, slow], 9, seed=1)
    assert points.shape == (9, 2)
    assert np.array_equal(points, starting_points([warm, slow], 9, seed=1))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"low": 3, "high": 2}, "low must be below high"),
        ({"low": "1 MW", "high": "2 kW"}, "must be in one unit"),
        ({"low": 0, "high": 2, "scale": "log"}, "log scale needs bounds above 0"),
        ({"low": 0, "high": 2, "start": 3}, "start must lie between"),
        ({"low": 0, "high": 2, "prior": {"distribution": "normal", "centre": 1}}, "needs centre and spread"),
        ({"low": 0.5, "high": 2, "whole": True}, "whole numbers need whole bounds"),
    ],
)
def test_wrong_parameters_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Searched.model_validate({"path": "a", **wrong})


# ---- Optuna ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["tpe", "cma"])
def test_samplers_find_the_bottom_of_a_broken_bowl_and_repeat_themselves(kind: str) -> None:
    """Steps and a hole in which runs fail; the best is at (0.7, 0.2)."""

    def simulate(places: Floats) -> Floats:
        found = np.floor((places - [0.7, 0.2]) * 50) / 50
        found[places[:, 0] < 0.1] = np.nan
        return found

    own = problem([searched(0, 1), searched(0, 1)], np.zeros(2))
    first, again = (sampled(own, kind, 4, simulate, 8, 6, 1e-4)[0] for _ in range(2))
    assert first.place == pytest.approx([0.7, 0.2], abs=0.08)
    assert np.array_equal(first.place, again.place)
    assert own.cost(np.zeros((1, 2)), simulate(np.zeros((1, 2))))[0] == pytest.approx(2 * FAILED**2)


# ---- inside the loop -------------------------------------------------------------------------------------------------


def kept(folder: Path) -> Counter[str]:
    """How often each run was made."""
    return Counter(key for path in (folder / "loop/simulated").glob("*.json") for key in json.loads(path.read_text()))


@pytest.mark.long
def test_a_calibration_runs_the_co_simulation_and_goes_on_where_it_was_killed(tmp_path: Path) -> None:
    path = twin(tmp_path, tolerance=1e-2, reach=0.5)
    done = calibrate(path, tmp_path / "whole", workers=2, report=True)
    parameters = done.parameters.parameters
    for name, truth in TRUTH.items():
        low, high = parameters[name].interval or (0.0, 0.0)
        assert np.all(np.array(low) <= truth)
        assert np.all(truth <= np.array(high))
        assert parameters[name].identified
    assert done.scores[0].value < 1.5 < done.scores[0].baselines["before calibration"]
    assert "runs/h" in done.outcome.facts["runs of the co-simulation"]
    assert set(kept(tmp_path / "whole").values()) == {1}
    assert read_parameter_file(tmp_path / "whole/parameters.yaml").structure["set"].keys() == {
        "weather.temperature_offset",
        "demand.reference",
    }
    # as one that was killed before its last two generations: these are run, the others are not, with one worker less
    shutil.copytree(tmp_path / "whole/loop", tmp_path / "killed/loop")
    generations = sorted((tmp_path / "killed/loop/simulated").glob("*.json"))
    for late in generations[-2:]:
        late.unlink()
    before = kept(tmp_path / "killed")
    again = calibrate(path, tmp_path / "killed", resume=True, workers=1, report=False)
    assert again.parameters == done.parameters
    assert (tmp_path / "killed/parameters.yaml").read_bytes() == (tmp_path / "whole/parameters.yaml").read_bytes()
    assert kept(tmp_path / "killed") == kept(tmp_path / "whole")
    assert again.outcome.facts["runs of the co-simulation"].startswith(
        f"{len(kept(tmp_path / 'whole')) - len(before)} now"
    )


def test_wrong_files_are_refused_before_anything_runs(tmp_path: Path) -> None:
    path = twin(tmp_path)
    good = json.loads(path.read_text())

    def faults(**target: Any) -> str:
        path.write_text(json.dumps({**good, "target": {**good["target"], **target}}))
        with pytest.raises(ScenarioError) as error:
            check_file(path)
        return str(error.value)

    offset = good["target"]["parameters"]["offset"]
    assert "temperature_ofset" in faults(parameters={"offset": {**offset, "path": "weather.temperature_ofset"}})
    assert "'load_scal'" in faults(series={"load": {"of": "demand.load_scal"}})
    assert "must be above 0 MW" in faults(
        parameters={"x": {"path": "demand.reference", "low": "-2 MW", "high": "5 MW"}}
    )
    assert "least_squares has no whole numbers" in faults(parameters={"offset": {**offset, "whole": True}})
    (tmp_path / "other_day.yaml").write_text(
        json.dumps({**SCENARIO, "horizon": {"start": "2014-01-13 00:00", "duration": "24 h", "step": "30 min"}})
    )
    assert "no row of it lies in a fit period and in the scenario's horizon" in faults(scenario="other_day.yaml")
    # Rows by another clock than the scenario's would be held against it hours apart.
    data = {**good["data"][0], "time": {"column": "time", "zone": "UTC"}}
    path.write_text(json.dumps({**good, "data": [data]}))
    with pytest.raises(ScenarioError, match=r"UTC\+0 here, and the weather 'melbourne_2014_01' is at UTC\+10.*`local`"):
        check_file(path)
    stamped = {**good["data"][0], "time": {"column": "time", "zone": "+10:00", "stamps": "end"}}
    good["target"]["series"]["load"]["stamps"] = "end"
    path.write_text(json.dumps({**good, "data": [stamped]}))
    with pytest.raises(ScenarioError, match="says what a row is, and the `time` of its data does too"):
        check_file(path)
