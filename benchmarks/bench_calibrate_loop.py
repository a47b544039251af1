"""What calibration in the loop costs beside its runs: `python -m benchmarks.bench_calibrate_loop`.

The same points, first as the calibration asks for them (one generation after the other, each as small as the search
makes it), then as one batch. Prints JSON: runs an hour of both, and their ratio, which holds on a busy machine.
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import Any

from runs.batch.executor import Choice, run_batch
from runs.batch.file import RunLimits
from runs.calibrate.loop.searched import Searched
from runs.calibrate.loop.simulations import at_points, batch_of
from runs.calibrate.run import calibrate

ROOT = Path(__file__).parents[1]
FILE = ROOT / "runs" / "calibrations" / "neighbourhood.yaml"
WORKERS = 2


def bench() -> dict[str, float]:
    """The shipped neighbourhood; some minutes."""
    import yaml

    written: dict[str, Any] = yaml.safe_load(FILE.read_text())["target"]
    searched = {name: Searched.model_validate(each) for name, each in written["parameters"].items()}
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        done = calibrate(FILE, Path(folder) / "loop", workers=WORKERS, report=False)
        whole = time.perf_counter() - began
        runs = int(done.outcome.facts["runs of the co-simulation"].split()[0])
        points = [
            {name: each.written(number / max(runs - 1, 1)) for name, each in searched.items()} for number in range(runs)
        ]
        batch = batch_of("bench", FILE.parent / written["scenario"], {}, searched, None, (), RunLimits())
        began = time.perf_counter()
        run_batch(at_points(batch, points), Path(folder) / "batch", Choice(workers=WORKERS), lambda state: None)
        alone = time.perf_counter() - began
    return {
        "runs": runs,
        "runs_per_hour": 3600 * runs / whole,
        "runs_per_hour_of_one_batch": 3600 * runs / alone,
        "share": alone / whole,
    }


if __name__ == "__main__":
    print(json.dumps(bench(), indent=2))
