"""Where federates run changes no bit of the results."""

from pathlib import Path

import pytest

import cosim
from cosim.engine.warm import WarmLauncher
from cosim.scenario import from_mapping

ROOT = Path(__file__).parents[1]


def digest(scenario: cosim.Scenario, folder: Path, launcher: WarmLauncher) -> str:
    run = cosim.run(scenario, out=folder, launcher=launcher)
    assert run.trustworthy, run.verdict
    return str(run.manifest["digest"])


def test_one_process_or_one_for_each_federate(tmp_path: Path, zygote: WarmLauncher) -> None:
    """Dispatch, transmission, demand and battery share a process, or are five HELICS federates; messages and all."""
    horizon = {"start": "2014-01-16T00:00:00", "duration": "2 h", "step": "5 min"}
    shared = cosim.load(ROOT / "docs" / "examples" / "price_battery.yaml").update(horizon=horizon)
    separate = shared.update(placement="separate")
    assert set(cosim.wire(shared).processes) == {"main"}
    assert len(cosim.wire(separate).processes) == 5
    assert digest(shared, tmp_path / "shared", zygote) == digest(separate, tmp_path / "separate", zygote)


def test_iterated_rounds_across_processes(tmp_path: Path, zygote: WarmLauncher) -> None:
    """Transmission and feeder repeat a step in one process' main thread and across processes alike."""
    horizon = {"start": "2014-01-16T12:00:00", "duration": "10 min", "step": "5 min"}
    scenario = cosim.load(ROOT / "runs" / "scenarios" / "iterated_coupling.yaml").update(
        horizon=horizon, perturbations=[]
    )
    separate = scenario.update(placement="separate")
    assert digest(scenario, tmp_path / "shared", zygote) == digest(separate, tmp_path / "separate", zygote)


def test_an_event_window_in_one_process_or_through_helics(tmp_path: Path, zygote: WarmLauncher) -> None:
    """Hand-over and feeder share the process of the dynamics, or each of the nine is a HELICS federate by itself."""
    pytest.importorskip("andes", reason="andes is an extra")
    shared = from_mapping(
        {
            "name": "placed",
            "horizon": {"start": "2014-01-16 17:00", "duration": "2 min", "step": "60 s"},
            "weather": {"table": "melbourne_2014_01"},
            "demand": {"table": "victoria_2014_01"},
            "transmission": {"case": "case39"},
            "feeders": [{"name": "oak", "bus": 15, "model": {"kind": "opendss_feeder"}}],
            "event_window": {
                "at": "1 min",
                "duration": "200 ms",
                "step": "5 ms",
                "mean_mismatch": 1,
                "transmission": {"kind": "andes_dynamics", "case": "ieee39"},
                "feeders": [{"name": "oak", "model": {"der": [{"count": 20}]}}],
                "disturbances": [{"kind": "BusFault", "bus": 16, "time": "50 ms", "lasting": "50 ms"}],
            },
            "coupling": {"power_tolerance": 1000},
        }
    )
    apart, separate = shared.update(placement="engines_apart"), shared.update(placement="separate")
    together = {"dynamics", "window", "oak_window", "perturbations"}
    assert {spec.name for spec in cosim.wire(shared).processes["dynamics"]} == together
    assert {name: len(specs) for name, specs in cosim.wire(apart).processes.items()} == {
        "dynamics": 1,
        "oak": 1,
        "main": 7,
    }
    assert digest(shared, tmp_path / "shared", zygote) == digest(separate, tmp_path / "separate", zygote)
