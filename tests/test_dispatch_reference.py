"""The dispatch of published cases against published answers; each case is a folder with its origin."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from feeders.transmission_case import TransmissionCase, load_case
from solvers.cost_curves import cost_curves
from solvers.dispatch import RollingDispatch
from solvers.dispatch_model import DispatchNetwork, Storages
from solvers.ptdf import Ptdf

FOLDER = Path(__file__).parent / "reference_cases" / "dispatch"
CASES = sorted(path.name for path in FOLDER.iterdir())


def read(case: str) -> tuple[TransmissionCase, dict[str, Any], dict[str, Any]]:
    params = json.loads((FOLDER / case / "params.json").read_text())
    return load_case(params["case"]), params, json.loads((FOLDER / case / "matpower.json").read_text())


def network_of(case: TransmissionCase, segments: int) -> DispatchNetwork:
    generators, branches = case.generators, case.branches
    assert generators.costs is not None
    assert generators.in_service.all()
    low, high = generators.lowest_active, generators.highest_active
    costs = generators.costs
    return DispatchNetwork(
        buses=case.buses.label,
        branches=branches.label,
        generators=generators.label,
        base_mva=case.base_mva,
        from_bus=branches.from_bus,
        to_bus=branches.to_bus,
        reactance=branches.reactance,
        tap=branches.ratio,
        shift=branches.shift,
        rating=np.where(branches.rating > 0, branches.rating, np.inf),
        generator_bus=generators.bus,
        p_min=low,
        p_max=high,
        ramp=np.full(len(generators), np.inf),
        costs=cost_curves(costs.polynomial, costs.points, low, high, segments),
        storages=Storages.none(),
    )


@pytest.mark.parametrize("name", CASES)
def test_published_dispatch(name: str) -> None:
    case, params, expected = read(name)
    network = network_of(case, params["segments"])
    solver = RollingDispatch(network, np.ones(1), value_of_lost_load=None)
    solution = solver.solve(case.buses.load.real[None, :])
    assert solution.objective == pytest.approx(expected["objective"], rel=params["objective_rtol"])
    # segments overestimate a convex cost, never underestimate it
    assert solution.objective >= expected["objective"] * (1 - 1e-6)
    for bus, price in expected["lmp"].items():
        assert solution.lmp[0, network.buses.index(bus)] == pytest.approx(price, abs=params["lmp_atol"])
    for generator, power in expected.get("power", {}).items():
        place = network.generators.index(generator)
        assert solution.power[0, place] == pytest.approx(power, abs=params["power_atol"])
    for branch, flow in expected.get("flow", {}).items():
        assert solution.flow[0, network.branches.index(branch)] == pytest.approx(flow, abs=1e-3)


@pytest.mark.parametrize("name", [name for name in CASES if name != "case5"])
def test_published_ptdf(name: str) -> None:
    case, params, expected = read(name)
    branches = case.branches
    ptdf = Ptdf(
        len(case.buses),
        branches.from_bus,
        branches.to_bus,
        branches.reactance,
        branches.ratio,
        branches.shift,
        branches.in_service,
        case.base_mva,
        reference=int(np.flatnonzero(case.buses.kind == 3)[0]),
    )
    chosen = [branches.label.index(label) for label in expected["ptdf"]]
    np.testing.assert_allclose(ptdf.rows(chosen), list(expected["ptdf"].values()), atol=params["ptdf_atol"])
