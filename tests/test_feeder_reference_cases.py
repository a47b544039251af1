"""GridLAB-D on the published tables gives the published voltages; a case is a folder, added without code."""

from __future__ import annotations

import csv
import json
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from gridlabd_alone import alone

CASES = sorted((Path(__file__).parent / "reference_cases" / "feeders").iterdir())


def _solve(name: str, regulators: str, folder: Path) -> dict[tuple[str, str], complex]:
    """Voltages [pu] of a feeder without homes."""
    from feeders.glm import HEAD, SQRT3, Clock, Solver, feeder_glm, live_nodes, node_name
    from feeders.gridlabd_engine import Engine
    from feeders.published_feeder import load_feeder

    feeder = load_feeder(name)
    clock = Clock(datetime(2014, 1, 14), timedelta(hours=1), 60)
    solver = Solver(regulators=regulators, voltage_error=1e-7)  # type: ignore[arg-type]
    engine = Engine(feeder_glm(feeder, clock, solver=solver), folder)
    engine.step_to(clock.start + timedelta(minutes=1))
    return {
        (node, p): engine.read(HEAD if node == feeder.source.node else node_name(node), f"voltage_{p}")
        / (kv * 1e3 / SQRT3)
        for node, phases, kv in zip(feeder.nodes.name, feeder.nodes.phases, feeder.nodes.kv, strict=True)
        if node in live_nodes(feeder)
        for p in phases
    }


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_published_voltages(case: Path, tmp_path: Path) -> None:
    params = json.loads((case / "params.json").read_text())
    with (case / "expected.csv").open() as file:
        expected = {
            (row["node"], row["phase"]): (float(row["pu"]), float(row["degree"])) for row in csv.DictReader(file)
        }
    voltage = alone(_solve, params["feeder"], params["regulators"], tmp_path)
    missing = voltage.keys() - expected.keys()
    assert {node for node, _ in missing} <= {"632_671"}, "every node that is published is compared"
    solved = np.array([voltage[key] for key in expected])
    magnitude, angle = np.array(list(expected.values())).T
    assert np.abs(np.abs(solved) - magnitude).max() <= params["tolerance_pu"]
    turned = np.angle(solved * np.exp(-1j * np.deg2rad(angle)), deg=True)
    assert np.abs(turned).max() <= params["tolerance_degree"]
