"""Start-up of a run, its processes started cold and forked warm: `python -m benchmarks.bench_startup [REPEATS]`.

Prints JSON. Both in turn in one process, so that ratios hold on a busy machine. `startup` is the wall time from the
call to the first step of all federates; `cpu` is the processor time of the whole run with all its processes, of which
20 steps are the smaller part.
"""

from __future__ import annotations

import contextlib
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

import cosim
from cosim.engine.warm import WarmLauncher
from cosim.scenario import from_mapping

ROOT = Path(__file__).parents[1]
HORIZON = {"start": "2014-01-16T00:00:00", "duration": "20 min", "step": "60 s"}


def small() -> Any:
    """Two agents in two processes that exchange messages: nothing but the engine."""
    agents = [{"name": name, "model": {"kind": "talker.py", "to": other}} for name, other in ("ab", "ba")]
    mapping = {"name": "small", "horizon": HORIZON, "federates": agents, "placement": "separate"}
    return from_mapping(mapping, ROOT / "tests" / "models")


def neighbourhood() -> Any:
    """The default scenario's first 20 minutes."""
    scenario = cosim.load(ROOT / "runs" / "scenarios" / "heat_wave_neighbourhood.yaml")
    return scenario.update(horizon=HORIZON, perturbations=[])


def startup(scenario: Any, launcher: WarmLauncher | None) -> float:
    """One run's wall time to its first step [s]. Raises SystemExit if it cannot be trusted."""
    with tempfile.TemporaryDirectory() as folder:
        run = cosim.run(scenario, Path(folder) / "run", baseline=False, launcher=launcher)
        if not run.trustworthy:
            raise SystemExit(f"the run cannot be trusted: {run.verdict.failed}")
        return float(run.manifest["timings"]["startup_s"])


def used() -> float:
    """Processor time of this process and all that it waited for, and of what lives below it [s]."""
    own = psutil.Process()
    total = 0.0
    for process in [own, *own.children(recursive=True)]:
        with contextlib.suppress(psutil.Error):
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def compare(scenario: Any, repeats: int) -> dict[str, float]:
    """Medians of cold and warm runs, in turn."""
    figures: dict[str, list[float]] = {name: [] for name in ("cold", "warm", "cold cpu", "warm cpu")}
    with WarmLauncher() as launcher:
        before = time.monotonic()
        startup(scenario, launcher)
        first = time.monotonic() - before
        for _ in range(repeats):
            for name, how in (("cold", None), ("warm", launcher)):
                spent = used()
                figures[name].append(startup(scenario, how))
                figures[f"{name} cpu"].append(used() - spent)
    medians = {name: statistics.median(values) for name, values in figures.items()}
    return {
        "cold_startup_s": medians["cold"],
        "warm_startup_s": medians["warm"],
        "startup_ratio": medians["cold"] / medians["warm"],
        "cold_cpu_s": medians["cold cpu"],
        "warm_cpu_s": medians["warm cpu"],
        "cpu_ratio": medians["cold cpu"] / medians["warm cpu"],
        "first_warm_run_s": first,
    }


def main() -> None:
    """Measure, and print."""
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    print(
        json.dumps({"small": compare(small(), repeats), "neighbourhood": compare(neighbourhood(), repeats)}, indent=2)
    )


if __name__ == "__main__":
    main()
