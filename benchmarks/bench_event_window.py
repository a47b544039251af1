"""Wall seconds per simulated second of an event window: 39-bus dynamics in ANDES, a 123-node feeder, 1,000 DER, 5 ms.

python -m benchmarks.bench_event_window [DER]

`engines` is the time in the federates' own methods, which wait for each other and do not overlap; what the run takes
beyond is coupling and recording. `step_halving` runs a window again at half the step.
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
        "demand": {"table": "victoria_2014_01"},
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


def run_of(folder: Path, mapping: dict[str, Any]) -> Any:
    """A run that reached its end."""
    run = cosim.run(from_mapping(mapping), out=folder, baseline=False)
    if run.verdict.fault:
        raise SystemExit(run.verdict.fault)
    return run


def slope(folder: Path, der: int, day: str) -> dict[str, Any]:
    """Per simulated second, from windows of 1 s and of 5 s: what the day and the start cost falls out."""
    found = []
    for seconds in (1.0, 5.0):
        mapping = scenario(seconds, der)
        mapping["feeders"][0]["model"]["kind"] = day
        found.append(run_of(folder / f"{day}{seconds:g}", mapping).manifest["timings"])
    short, long = found
    busy = {name: (spent - short["busy_s"][name]) / 4.0 for name, spent in long["busy_s"].items()}
    wall, engines = (long["simulation_s"] - short["simulation_s"]) / 4.0, sum(busy.values())
    return {
        "wall_per_s": wall,
        "engines_per_s": engines,
        "overhead": wall / engines - 1,
        "by_federate": {name: spent for name, spent in busy.items() if spent > 0.001 * engines},
        "times_less_than_tdcosim": TDCOSIM * der / wall,
    }


def halving(folder: Path, der: int) -> dict[str, float]:
    """What half the step changes: share of the DER's lost power, nadir [Hz]."""
    found = []
    for step in ("5 ms", "2.5 ms"):
        summary = summarise_window(Recorded(run_of(folder / step.replace(" ", ""), scenario(2.0, der, step))))
        if summary is None or summary.frequency is None:
            raise SystemExit("the run has no window")
        found.append((summary.feeders[0].der_lost_mw, summary.frequency.lowest_hz))
    (lost, nadir), (fine_lost, fine_nadir) = found
    return {"der_lost_mw": lost, "change_of_lost": fine_lost / lost - 1, "change_of_nadir_hz": fine_nadir - nadir}


def main(der: str = "1000") -> None:
    """Print one JSON object; the day's feeder once in the main process, once in a third one."""
    with tempfile.TemporaryDirectory() as name:
        result = {
            "der": int(der),
            "two_processes": slope(Path(name), int(der), "equivalent_feeder"),
            "three_processes": slope(Path(name), int(der), "opendss_feeder"),
            "step_halving": halving(Path(name), int(der)),
        }
    print(json.dumps(result))


if __name__ == "__main__":
    main(*sys.argv[1:])
