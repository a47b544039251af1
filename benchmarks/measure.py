"""One measurement in a fresh process, printed as JSON: `python -m benchmarks.measure WHAT SCENARIO [KEY=VALUE]`.

A fresh process each time: GridLAB-D can be loaded once a process, and nothing is warm from another measurement.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any


def plain(scenario: Any) -> dict[str, float]:
    """The scenario's federates called one after the other in this process: the bare engines."""
    import cosim
    from benchmarks.plain_loop import run_plain

    federation = cosim.wire(scenario)
    began = time.monotonic()
    _, wall = run_plain(federation)
    return {
        "start_s": time.monotonic() - began - wall,
        "wall_s": wall,
        "steps": federation.duration / federation.step,
        "peak_MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3,
    }


def federation(scenario: Any) -> dict[str, float]:
    """The scenario as a federation, without its twin."""
    import cosim

    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        run = cosim.run(scenario, Path(folder) / "run", baseline=False)
        total = time.monotonic() - began
        if not run.trustworthy:
            raise SystemExit(f"the run cannot be trusted: {[check.detail for check in run.verdict.failed]}")
        timings = run.manifest["timings"]
    return {
        "start_s": timings["startup_s"],
        "wall_s": timings["simulation_s"],
        "total_s": total,
        "busy_s": sum(timings["busy_s"].values()),
        **{f"busy {name}": seconds for name, seconds in timings["busy_s"].items()},
        "peak_MB": timings["peak_memory_MB"],
    }


def dispatch(scenario: Any) -> dict[str, float]:
    """The scenario's dispatch alone over its whole horizon at a constant load scale: build and re-solve apart."""
    import statistics

    import numpy as np

    import cosim
    from cosim.contract import Exchange

    wired = cosim.wire(scenario)
    spec = next(entry for entry in wired.federates if entry.name == "dispatch")
    began = time.monotonic()
    federate = wired.build(spec)
    federate.start(Path(tempfile.gettempdir()))
    build = time.monotonic() - began
    ports = [port for port in federate.ports() if port.direction == "in"]
    solves = []
    moment = federate.next_time(-1)
    while moment is not None and moment < wired.duration:
        scale = 0.9 + 0.05 * np.sin(2 * np.pi * moment / 86_400e9)
        values = {
            port.name: np.array(np.broadcast_to(1.0 if port.initial is None else port.initial, port.shape))
            for port in ports
        }
        values |= {name: np.full_like(values[name], scale) for name in values if name.startswith("load_scale")}
        before = time.monotonic()
        federate.solve(moment, Exchange(values))
        federate.commit(moment)
        solves.append(time.monotonic() - before)
        moment = federate.next_time(moment)
    return {"build_s": build, "first_s": solves[0], "again_ms": 1e3 * statistics.median(solves[1:])}


def main() -> None:
    """Measure, and print."""
    import cosim

    what, path, *changes = sys.argv[1:]
    scenario = cosim.load(path)
    for change in changes:
        keys, _, value = change.partition("=")
        scenario = _changed(scenario, keys.split("."), json.loads(value))
    print(json.dumps({"plain": plain, "federation": federation, "dispatch": dispatch}[what](scenario)))


def _changed(scenario: Any, keys: list[str], value: Any) -> Any:
    """The scenario with the setting at a dotted path changed."""
    mapping = scenario.as_mapping()
    place = mapping
    for key in keys[:-1]:
        place = place[int(key)] if isinstance(place, list) else place[key]
    place[keys[-1]] = value
    return scenario.update(**mapping)


if __name__ == "__main__":
    main()
