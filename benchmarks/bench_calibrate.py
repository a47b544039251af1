"""How long a calibration takes: Victoria, two years half-hourly fitted and a third scored, data checks and all.

In one process of its own on at most two cores; numpy's threads are left as they are. CPU seconds are what the machine's
load does not change. Needs the shared data.

`python -m benchmarks.bench_calibrate` prints one JSON object and ends with 1 when a bound is missed.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from runs.calibrate.run import calibrate

FILE = Path(__file__).parents[1] / "runs" / "calibrations" / "victoria.yaml"
CORES = 2
SECONDS_WANTED = 60.0


@dataclass(frozen=True)
class Result:
    """What was measured."""

    seconds: float  #: [s] from the call to the written report
    cpu_seconds: float  #: [s] of all threads
    peak_megabytes: float
    cv_rmse: float  #: [%] on the held-out year, that the right thing was timed

    @property
    def good(self) -> bool:
        """In under a minute on two cores."""
        return self.seconds < SECONDS_WANTED


def measure() -> Result:
    """Calibrate once. Raises ScenarioError where the data are not there."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    before = resource.getrusage(resource.RUSAGE_SELF)
    began = time.perf_counter()
    with TemporaryDirectory() as folder:
        done = calibrate(FILE, Path(folder) / "victoria")
    seconds = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_SELF)
    (score,) = (each for each in done.scores if (each.part, each.score) == ("held-out", "CV(RMSE)"))
    return Result(
        seconds=round(seconds, 1),
        cpu_seconds=round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 1),
        peak_megabytes=round(after.ru_maxrss / 1024),
        cv_rmse=score.value,
    )


if __name__ == "__main__":
    result = measure()
    print(json.dumps({**asdict(result), "good": result.good}, indent=2))
    sys.exit(0 if result.good else 1)
