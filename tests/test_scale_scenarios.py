"""The scenarios that differ in size: each can be wired, the small forms of each run to a good verdict."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import cosim
from cosim.engine.warm import WarmLauncher
from cosim.scenario import Scenario

ROOT = Path(__file__).parents[1]
SCENARIOS = ROOT / "runs" / "scenarios"
DEPLOY = ROOT / "docs" / "deploy"
SIZES = ("town", "region", "interconnection", "usa_snapshot")


def shipped(name: str) -> Scenario:
    return cosim.load(SCENARIOS / f"{name}.yaml")


def changed(name: str, duration: str, **feeders: dict[str, Any]) -> Scenario:
    """A shipped scenario from noon on, shorter, with changes to its feeders by name; those not named are left out."""
    scenario = shipped(name)
    mapping = scenario.as_mapping()
    mapping["horizon"] |= {"start": "2014-01-16 12:00", "duration": duration}
    mapping["feeders"] = [
        feeder | feeders[feeder["name"]] for feeder in mapping["feeders"] if feeder["name"] in feeders
    ]
    mapping["perturbations"] = []
    return scenario.update(**mapping)


@pytest.mark.parametrize("name", SIZES)
def test_is_wired(name: str) -> None:
    federation = cosim.wire(shipped(name))
    kinds = [spec.kind for spec in federation.federates]
    processes = {spec.process for spec in federation.federates}
    expected = {"town": (10, 0), "region": (3, 37), "interconnection": (2, 10), "usa_snapshot": (0, 0)}[name]
    assert (kinds.count("gridlabd_feeder"), kinds.count("equivalent_feeder")) == expected
    assert len(processes) == 1 + expected[0], "the homes of one feeder are in one process, all else in the main one"


def test_one_entry_makes_many_feeders() -> None:
    federation = cosim.wire(shipped("region"))
    buses = {str(link.destination.federate): link.source.label for link in federation.links if link.source.label}
    assert [buses[f"oak-{k}"] for k in (1, 2, 3)] == ["7229", "7049", "4071"]
    assert (buses["ash-01"], buses["ash-37"]) == ("5449", "5016")
    homes = [federation.build(spec)._plan.homes for spec in federation.federates if spec.name in ("ash-01", "ash-02")]
    assert not np.array_equal(homes[0].floor_area, homes[1].floor_area), "each draws homes of its own"
    town = {spec.name for spec in cosim.wire(shipped("town")).federates if spec.kind == "gridlabd_feeder"}
    assert town == {f"elm-{k:02d}" for k in range(1, 11)}


def test_a_scenario_with_many_feeders_survives_its_manifest() -> None:
    scenario = shipped("iterated_coupling").update(
        feeders=[{"name": "oak", "count": 3, "buses": [15, 16], "model": {"kind": "opendss_feeder"}}]
    )
    federation = cosim.wire(scenario)
    assert cosim.wire(scenario.update(**scenario.as_mapping())) == federation
    into = [str(link.destination) for link in federation.links if link.destination.port == "feeder_load"]
    assert into == ["transmission.feeder_load[15]", "transmission.feeder_load[16]", "transmission.feeder_load[15]"]


def test_a_small_town_runs(tmp_path: Path, zygote: WarmLauncher) -> None:
    model = {"kind": "gridlabd_feeder", "feeder": "ieee13", "homes": {"count": 10}}
    town = changed("town", "4 min", elm={"count": 2, "model": model})
    run = cosim.run(town, tmp_path / "run", launcher=zygote)
    assert run.trustworthy, run.verdict.failed
    powers = [run.results[f"elm-{k}"].ds["power"].values.real.sum(axis=1) for k in (1, 2)]
    assert not np.array_equal(*powers)


@pytest.mark.long
def test_a_small_region_runs(tmp_path: Path) -> None:
    """Detailed feeders in processes of their own, equivalents beside the grid."""
    scenario = changed("region", "15 min", oak={"buses": ["7229"]}, ash={"buses": ["5449", "5385", "6199"]})
    run = cosim.run(scenario, tmp_path / "run")
    assert run.trustworthy, run.verdict.failed
    assert run.results["ash-1"].ds["power"].shape == (3, 3)
    detailed, equivalents = run.results["oak-1"].ds["power"], run.results["ash-1"].ds["power"]
    ratio = float(np.abs(equivalents.values.sum()) / np.abs(detailed.values.sum()))
    assert 0.9 < ratio < 1.1, "a feeder and its equivalent with other homes draw about the same"


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", SIZES)
def test_a_whole_day_is_good(name: str, tmp_path: Path) -> None:
    run = cosim.run(shipped(name), tmp_path / "run")
    assert run.trustworthy, run.cause or run.verdict.failed
    if name == "region":
        tripped = run.results["perturbations"].ds["affected"].values
        assert tripped.max() == pytest.approx(0.6 * 40 * (95 + 30), rel=0.03), "60 % of thermostats and chargers"


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_day_with_equivalents_is_the_same_again(tmp_path: Path) -> None:
    scenario = changed("region", "2 h", ash={"buses": ["5449", "5385", "6199"]})
    digests = [cosim.run(scenario, tmp_path / name).manifest["digest"] for name in ("one", "two")]
    assert digests[0] == digests[1]


# --------------------------------------------------------------------------------- files to start from


@pytest.mark.parametrize("path", sorted(DEPLOY.glob("kubernetes_*.yaml")), ids=lambda path: path.stem)
def test_kubernetes_files_fit_together(path: Path) -> None:
    """The parts that must agree: image, volume claim, the scheduler's name and port."""
    document = yaml.safe_load(path.read_text())
    text = path.read_text()
    assert document["kind"] in ("DaskCluster", "Job")
    assert "REGISTRY/cosim:1" in text
    assert "claimName: cosim-results" in text
    cluster = yaml.safe_load((DEPLOY / "kubernetes_cluster.yaml").read_text())
    if document["kind"] == "Job":
        command = document["spec"]["template"]["spec"]["containers"][0]["command"]
        port = cluster["spec"]["scheduler"]["service"]["ports"][0]["port"]
        # The operator calls a cluster's scheduler service <cluster>-scheduler.
        assert f"tcp://{cluster['metadata']['name']}-scheduler:{port}" in command
    else:
        selector = cluster["spec"]["scheduler"]["service"]["selector"]
        assert selector["dask.org/cluster-name"] == cluster["metadata"]["name"]
        assert document["apiVersion"] == "kubernetes.dask.org/v1"


BATCH = """
name: small
scenario: {scenario}
set:
  horizon.duration: 10 min
  perturbations[unit_33].time: 2 min
  perturbations[unit_33].lasting: 5 min
vary:
  - seeds: {{count: 2}}
limits: {{time: 2 min}}
"""


@pytest.mark.long
@pytest.mark.timeout(300)
def test_the_slurm_script_runs_a_batch_on_this_machine(tmp_path: Path) -> None:
    file = tmp_path / "small.yaml"
    file.write_text(BATCH.format(scenario=SCENARIOS / "generator_trip.yaml"))
    command = [sys.executable, str(DEPLOY / "slurm_batch.py"), str(file), "--out", str(tmp_path / "out"), "--here", "2"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(cosim.open_batch(tmp_path / "out").table) == 2
