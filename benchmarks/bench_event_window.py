"""Wall seconds per simulated second of an event window: 39-bus dynamics in ANDES, a 123-node feeder, 1,000 DER, 5 ms.

python -m benchmarks.bench_event_window [SECONDS] [DER]

The window of a run, from its opening to its close, against the federates alone: each federate's own methods take
`busy` processor-bound seconds; what the run takes beyond the sum of them, that no other federate covers, is coupling.
`step_halving` runs the window again at half the step and compares the DER's lost power.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import cosim
from cosim.scenario import from_mapping
from runs.recorded import Recorded
from runs.window_results import summarise_window

TDCOSIM = 0.038  #: [s] wall per simulated second and DER, as published


def scenario(seconds: float, der: int, step: str = "5 ms") -> dict[str, Any]:
    """A day of two minutes with a window; the day costs next to nothing."""
    return {
        "name": "bench_event_window",
        "horizon": {"start": "2014-01-16 17:30", "duration": "2 min", "step": "60 s"},
        "weather": {"table": "melbourne_2014_01"},
        "transmission": {"case": "case39"},
        "feeders": [{"name": "oak", "bus": 15, "multiplier": 40, "model": {"kind": "opendss_feeder"}}],
        "event_window": {
            "at": "1 min",
            "duration": f"{seconds:g} s",
            "step": step,
            "sources": "sun",
            "mean_mismatch": 1000,
            "transmission": {"kind": "andes_dynamics", "case": "ieee39"},
            "feeders": [
                {"name": "oak", "model": {"der": [{"name": "pv", "count": der, "rating": 3, "legacy_share": 0.3}]}}
            ],
            "disturbances": [
                {"kind": "BusFault", "bus": 16, "time": "500 ms", "lasting": "150 ms", "reactance": 0.001}
            ],
        },
        "coupling": {"power_tolerance": 1000},
    }


def measured(folder: Path, seconds: float, der: int, step: str = "5 ms") -> dict[str, Any]:
    """One run: wall time and each federate's share per simulated second, and the DER's lost power."""
    run = cosim.run(from_mapping(scenario(seconds, der, step)), out=folder, baseline=False)
    if run.verdict.fault:
        raise SystemExit(run.verdict.fault)
    timings = run.manifest["timings"]
    busy = {name: spent / seconds for name, spent in timings["busy_s"].items()}
    wall, engines = timings["simulation_s"] / seconds, sum(busy.values())
    summary = summarise_window(Recorded(run))
    if summary is None:
        raise SystemExit("the run has no window")
    return {
        "wall_per_s": wall,
        "engines_per_s": engines,
        "overhead": wall / engines - 1,
        "by_federate": {name: spent for name, spent in busy.items() if spent > 0.001 * engines},
        "der_lost_mw": summary.feeders[0].der_lost_mw,
        "tripped_mw": summary.feeders[0].tripped_mw,
        "nadir_hz": None if summary.frequency is None else summary.frequency.lowest_hz,
    }


def main(seconds: str = "4", der: str = "1000") -> None:
    """Print one JSON object."""
    with tempfile.TemporaryDirectory() as name:
        coarse = measured(Path(name) / "coarse", float(seconds), int(der))
        fine = measured(Path(name) / "fine", float(seconds), int(der), "2.5 ms")
    per_der = coarse["wall_per_s"] / int(der)
    result = {
        "der": int(der),
        **coarse,
        "times_less_than_tdcosim": TDCOSIM / per_der,
        "step_halving": {
            "der_lost_mw": fine["der_lost_mw"] / coarse["der_lost_mw"] - 1,
            "nadir_hz": None if fine["nadir_hz"] is None else fine["nadir_hz"] - coarse["nadir_hz"],
        },
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main(*sys.argv[1:])
