"""Where federates run changes no bit of the results."""

from pathlib import Path

import cosim

ROOT = Path(__file__).parents[1]


def digest(scenario: cosim.Scenario, folder: Path) -> str:
    run = cosim.run(scenario, out=folder)
    assert run.trustworthy, run.verdict
    return str(run.manifest["digest"])


def test_one_process_or_one_for_each_federate(tmp_path: Path) -> None:
    """Dispatch, transmission, demand and battery share a process, or are five HELICS federates; messages and all."""
    horizon = {"start": "2014-01-16T00:00:00", "duration": "2 h", "step": "5 min"}
    shared = cosim.load(ROOT / "docs" / "examples" / "price_battery.yaml").update(horizon=horizon)
    separate = shared.update(placement="separate")
    assert set(cosim.wire(shared).processes) == {"main"}
    assert len(cosim.wire(separate).processes) == 5
    assert digest(shared, tmp_path / "shared") == digest(separate, tmp_path / "separate")


def test_iterated_rounds_across_processes(tmp_path: Path) -> None:
    """Transmission and feeder repeat a step in one process' main thread and across processes alike."""
    horizon = {"start": "2014-01-16T12:00:00", "duration": "10 min", "step": "5 min"}
    scenario = cosim.load(ROOT / "runs" / "scenarios" / "iterated_coupling.yaml").update(
        horizon=horizon, perturbations=[]
    )
    separate = scenario.update(placement="separate")
    assert digest(scenario, tmp_path / "shared") == digest(separate, tmp_path / "separate")
