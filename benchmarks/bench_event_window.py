"""Wall seconds per simulated second of an event window: 39-bus dynamics in ANDES, a 123-node feeder, 1,000 DER, 5 ms.

python -m benchmarks.bench_event_window [DER]

`alone` is the same federates called one after the other in one process, with nothing between; what the run takes
beyond is coupling and recording. `by_federate` is the time in each one's own methods in the run; they do not overlap.
`step_halving` runs a window again at half the step, with a fault long enough that inverters from before 2018 trip.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cosim
from benchmarks.plain_loop import run_plain
from cosim.scenario import from_mapping
from runs.summary import summarise

TDCOSIM = 0.038  #: [s] wall per simulated second and DER, as published
REPEATS = 7
SHORT, LONG = 1.0, 5.0  #: [s] of the windows


#: The day's feeder, which takes no part in the window, and the placement.
PLACED = {
    "default": ("opendss_feeder", "shared"),
    "two_processes": ("equivalent_feeder", "engines_apart"),
    "three_processes": ("opendss_feeder", "engines_apart"),
}


def scenario(seconds: float, der: int) -> dict[str, Any]:
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
            "step": "5 ms",
            "sources": "sun",
            "mean_mismatch": 1,
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


def alone_s(mapping: dict[str, Any]) -> float:
    """Wall time of the same federates in a plain loop [s]."""
    return run_plain(cosim.wire(from_mapping(mapping)))[1]


def per_second(short: Mapping[str, float], long: Mapping[str, float]) -> dict[str, float]:
    """Per simulated second, from windows of 1 s and of 5 s: what the day and the start cost falls out."""
    return {name: (spent - short[name]) / (LONG - SHORT) for name, spent in long.items()}


def of_federation(folder: Path, der: int, day: str, placement: str) -> dict[str, float]:
    """What a simulated second takes in a run [s], `wall` and by federate."""
    found = []
    for seconds in (SHORT, LONG):
        mapping = scenario(seconds, der)
        mapping["feeders"][0]["model"]["kind"], mapping["placement"] = day, placement
        timings = run_of(folder / f"{day} {placement} {seconds:g}", mapping).manifest["timings"]
        found.append({"wall": timings["simulation_s"]} | timings["busy_s"])
    return per_second(*found)


def of_plain_loop(der: int) -> float:
    """What a simulated second takes in a plain loop [s], in a fresh process as each of a run's is."""
    found = []
    for seconds in (SHORT, LONG):
        with ProcessPoolExecutor(1, get_context("spawn")) as fresh:
            found.append({"alone": fresh.submit(alone_s, scenario(seconds, der)).result()})
    return per_second(*found)["alone"]


def coupling(folder: Path, der: int) -> dict[str, Any]:
    """Medians of `REPEATS` rounds; in each the plain loop and each way to place the federates, in turn."""
    alone: list[float] = []
    found: dict[str, list[dict[str, float]]] = {name: [] for name in PLACED}
    for number in range(REPEATS):
        alone.append(of_plain_loop(der))
        for name, how in PLACED.items():
            found[name].append(of_federation(folder / str(number), der, *how))
    return {"alone_per_s": statistics.median(alone)} | {
        name: _medians(rounds, alone, der) for name, rounds in found.items()
    }


def _medians(rounds: Sequence[Mapping[str, float]], alone: Sequence[float], der: int) -> dict[str, Any]:
    median = {name: statistics.median(each[name] for each in rounds) for name in rounds[0]}
    wall = median.pop("wall")
    return {
        "wall_per_s": wall,
        "overhead": statistics.median(each["wall"] / floor for each, floor in zip(rounds, alone, strict=True)) - 1,
        "outside": statistics.median(each["wall"] / _busy(each) for each in rounds) - 1,
        "by_federate": median,
        "times_less_than_tdcosim": TDCOSIM * der / wall,
    }


def _busy(slopes: Mapping[str, float]) -> float:
    """The time in the federates' own methods, which are not called at the same time."""
    return sum(spent for name, spent in slopes.items() if name != "wall")


def halving(folder: Path, der: int) -> dict[str, Any]:
    """What half the step changes where timers along the feeder decide: shares of lost power, nadir [Hz].

    A fault of 0.25 s that leaves voltages about 0.5 pu; of the DER 30 % are from before 2018, 28 % of category II, the
    others III.
    """
    mapping = scenario(3.0, der)
    mapping["event_window"]["disturbances"][0] |= {"lasting": "250 ms", "reactance": 0.012}
    mapping["event_window"]["feeders"][0]["model"]["der"][0]["makes"] = {"III": 0.6, "II": 0.4}
    run = cosim.run(from_mapping(mapping), out=folder / "halving", baseline=False, half_step=True)
    window = summarise(run).window
    if run.cause or window is None or window.halving is None or window.halving.nadir_hz is None:
        raise SystemExit(run.cause or "the run has no window")
    nadir = window.halving.nadir_hz
    return {
        "power": [change.model_dump() | {"share": change.share} for change in window.halving.power],
        "nadir_hz": nadir.full,
        "change_of_nadir_hz": nadir.half - nadir.full,
    }


def main(der: str = "1000") -> None:
    """Print one JSON object."""
    with tempfile.TemporaryDirectory() as name:
        result = {
            "der": int(der),
            "coupling": coupling(Path(name), int(der)),
            "step_halving": halving(Path(name), int(der)),
        }
    print(json.dumps(result))


if __name__ == "__main__":
    main(*sys.argv[1:])
