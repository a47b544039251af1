"""What runs cost, from measurements: fills the tables of `docs/scaling.md`.

python -m benchmarks.bench_scale

Each figure comes from a fresh process. Processor time is what counts: a busy machine changes it least.
"""

from __future__ import annotations

import json
import os
import platform
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "scaling.md"
SCENARIOS = ROOT / "runs" / "scenarios"
HOUR = 3600 * 10**9
CORES = (2, 100, 10_000)

#: Scenario, the two durations [h] from which start-up and step are told apart, and the day for which a run stands.
RUNS = (
    ("heat_wave_neighbourhood", 1, 4),
    ("region", 2, 8),
    ("interconnection", 1, 6),
)
CASES = ("case39", "case_ACTIVSg2000", "case_ACTIVSg10k", "case_SyntheticUSA")
DISPATCHED = ("case39", "case_ACTIVSg2000", "case_ACTIVSg10k")

Figures = dict[str, float]


# ------------------------------------------------------------------- one measurement, in a process of its own


def run(name: str, hours: str) -> Figures:
    """A run without its twin, in the afternoon or a whole day: processor and wall time [s], memory and disk [MB]."""
    import cosim

    scenario = cosim.load(SCENARIOS / f"{name}.yaml")
    horizon = scenario.horizon.model_dump(mode="json")
    if float(hours) < 24:
        horizon["start"] = f"{scenario.horizon.start:%Y-%m-%d} 12:00"
    scenario = scenario.update(horizon={**horizon, "duration": f"{hours} h"}, perturbations=[])
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        found = cosim.run(scenario, Path(folder) / "run", baseline=False)
        wall = time.monotonic() - began
        if not found.trustworthy:
            raise SystemExit(f"the run cannot be trusted: {[check.detail for check in found.verdict.failed]}")
        timings = found.manifest["timings"]
        disk = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
    return {
        "cpu_s": _processor(),
        "wall_s": wall,
        "steps": scenario.horizon.duration / scenario.horizon.step,
        "peak_MB": timings["peak_memory_MB"],
        "disk_MB": disk / 1e6,
    }


def _processor() -> float:
    """Processor time of this process and those that it waited for [s]."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def power_flow(case: str) -> Figures:
    """Reading a case, its first power flow, and one after a change of load by 1 %: processor time [s]."""
    from feeders.transmission_case import load_case
    from solvers.ac_power_flow import AcPowerFlow

    began = time.process_time()
    grid = load_case(case)
    read = time.process_time() - began
    flow = AcPowerFlow(grid, "capacity", False)
    generators, buses = grid.generators, grid.buses
    output = np.where(generators.in_service, generators.power.real, 0.0)
    yes, closed = np.ones(len(generators), bool), np.ones(len(grid.branches), bool)
    began = time.process_time()
    solution = flow.solve(buses.load, output, yes, closed, None)
    first = time.process_time() - began
    again = []
    for scale in (0.99, 1.0, 0.99, 1.0):
        began = time.process_time()
        solution = flow.solve(buses.load * scale, output, yes, closed, solution)
        again.append(time.process_time() - began)
    return {"read_s": read, "first_s": first, "again_s": float(np.median(again)), "peak_MB": _peak()}


def dispatch(case: str) -> Figures:
    """Building and solving the rolling dispatch, four hours ahead: processor time [s]."""
    import cosim
    from cosim.contract import Exchange

    scenario = cosim.load(SCENARIOS / "generator_trip.yaml").update(
        transmission={"case": case, "minimum_generation": 0}, perturbations=[]
    )
    federation = cosim.wire(scenario)
    spec = next(entry for entry in federation.federates if entry.name == "dispatch")
    began = time.process_time()
    federate = federation.build(spec)
    federate.start(Path(tempfile.gettempdir()))
    build = time.process_time() - began
    ports = [port for port in federate.ports() if port.direction == "in"]
    solves = []
    for number in range(13):
        scale = 0.9 + 0.01 * np.sin(number / 3)
        values = {p.name: np.array(np.broadcast_to(1.0 if p.initial is None else p.initial, p.shape)) for p in ports}
        values |= {name: np.full_like(values[name], scale) for name in values if name.startswith("load_scale")}
        values["losses"] = np.zeros(())
        began = time.process_time()
        federate.solve(number * HOUR // 12, Exchange(values))
        federate.commit(number * HOUR // 12)
        solves.append(time.process_time() - began)
    return {"build_s": build, "first_s": solves[0], "again_s": float(np.median(solves[1:])), "peak_MB": _peak()}


def feeder(kind: str, homes: str) -> Figures:
    """A feeder alone, an afternoon hour in steps of 60 s: processor time a step [s], memory [MB]."""
    from datetime import datetime

    from cosim.contract import Context, Exchange
    from cosim.registry import federate_class

    found = federate_class(kind)
    config = found.Config.model_validate({"feeder": "ieee123", "homes": {"count": int(homes)}})
    minute = 60 * 10**9
    federate = found(config, Context("oak", 1, datetime(2014, 1, 16, 14), HOUR, minute))
    hot = {"temperature": 41.0, "relative_humidity": 0.15, "wind_speed": 4.0, "ghi": 800.0, "dni": 800.0, "dhi": 90.0}
    values = {
        port.name: np.array(
            np.broadcast_to(hot.get(port.name, 0.0) if port.initial is None else port.initial, port.shape)
        )
        for port in federate.ports()
        if port.direction == "in"
    }
    with tempfile.TemporaryDirectory() as folder:
        federate.start(Path(folder))
        federate.solve(0, Exchange(values))
        federate.commit(0)
        before = _processor()
        for number in range(1, 60):
            federate.solve(number * minute, Exchange(values))
            federate.commit(number * minute)
        step = (_processor() - before) / 59
        federate.close()
    return {"step_s": step, "peak_MB": _peak()}


def messages(count: str) -> Figures:
    """Messages through the communications network: processor time each [s]."""
    from datetime import datetime

    from cosim.contract import Context, Exchange, Message
    from cosim.registry import federate_class

    found = federate_class("communications")
    minute = 60 * 10**9
    federate = found(found.Config(), Context("communications", 1, datetime(2014, 1, 16), HOUR, minute))
    federate.start(Path(tempfile.gettempdir()))
    values = {"link_available": np.ones(1)}
    began = time.process_time()
    for number in range(10):
        now = number * minute
        sent = [Message("dispatch", f"transmission/{k}", now, {"setpoint_MW": k / 7}) for k in range(int(count))]
        federate.solve(now, Exchange(values, sent))
        federate.commit(now)
    return {"message_s": (time.process_time() - began) / 10 / int(count)}


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


MEASUREMENTS: dict[str, Callable[..., Figures]] = {
    function.__name__: function for function in (run, power_flow, dispatch, feeder, messages)
}


# ------------------------------------------------------------------------------------------------ the page


def measured(what: str, *arguments: Any) -> Figures:
    """One measurement in a fresh process. Raises CalledProcessError."""
    command = [sys.executable, "-m", "benchmarks.bench_scale", what, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    figures: Figures = json.loads(done.stdout.splitlines()[-1])
    print(f"  {what} {' '.join(map(str, arguments))}: {json.dumps(figures)}", flush=True)
    return figures


def coefficients() -> list[str]:
    """What each part costs."""
    lines = ["| AC power flow of | read the case [s] | first [s] | each further one [ms] | memory [MB] |"]
    lines.append("| --- | --- | --- | --- | --- |")
    for case in CASES:
        row = measured("power_flow", case)
        lines.append(_row(case, row["read_s"], row))
    lines += ["", "| rolling dispatch of | build [s] | first [s] | each further one [ms] | memory [MB] |"]
    lines.append("| --- | --- | --- | --- | --- |")
    for case in DISPATCHED:
        row = measured("dispatch", case)
        lines.append(_row(case, row["build_s"], row))
    lines += ["", "| feeder | homes | each step [ms] | each step and home [ms] | memory [MB] |"]
    lines.append("| --- | --- | --- | --- | --- |")
    for kind in ("gridlabd_feeder", "equivalent_feeder"):
        for homes in (100, 300):
            row = measured("feeder", kind, homes)
            step = 1e3 * row["step_s"]
            lines.append(f"| {kind} | {homes} | {step:.2f} | {step / homes:.4f} | {row['peak_MB']:.0f} |")
    each = 1e6 * measured("messages", 2000)["message_s"]
    return [*lines, "", f"A message through the communications network: {each:.0f} µs.", ""]


def _row(case: str, before: float, row: Figures) -> str:
    return f"| {case} | {before:.2f} | {row['first_s']:.3f} | {1e3 * row['again_s']:.3g} | {row['peak_MB']:.0f} |"


def runs() -> tuple[list[str], dict[str, Figures]]:
    """What a run costs: start-up and steps apart, and the day that they predict beside a measured one."""
    lines = [
        "| run, without its twin | start-up [CPU s] | a step [CPU ms] | steps a day | day predicted [CPU s] | "
        "day measured [CPU s] | wall [s] | memory, all processes [MB] | results [MB] |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    days = {}
    for name, short, long in RUNS:
        few, many, day = (measured("run", name, hours) for hours in (short, long, 24))
        step = (many["cpu_s"] - few["cpu_s"]) / (many["steps"] - few["steps"])
        start = few["cpu_s"] - step * few["steps"]
        days[name] = day
        lines.append(
            f"| {name} | {start:.1f} | {1e3 * step:.1f} | {day['steps']:.0f} | {start + step * day['steps']:.0f} | "
            f"{day['cpu_s']:.0f} | {day['wall_s']:.0f} | {day['peak_MB']:.0f} | {day['disk_MB']:.0f} |"
        )
    return [*lines, ""], days


def batches(days: dict[str, Figures]) -> list[str]:
    """What batches cost on more cores: the measured day times their number."""
    lines = [
        f"| work | runs | CPU time [core-h] | {' | '.join(f'{cores:,} cores' for cores in CORES)} |",
        f"| --- | --- | --- | {' | '.join('---' for _ in CORES)} |",
    ]
    cases = (
        ("1,000 neighbourhood days", "heat_wave_neighbourhood", 1000),
        ("1,000 neighbourhood days, each with its undisturbed twin", "heat_wave_neighbourhood", 2000),
        ("1,000 region days", "region", 1000),
        ("one interconnection day", "interconnection", 1),
        ("1,000 interconnection days", "interconnection", 1000),
    )
    for text, name, count in cases:
        total, alone = count * days[name]["cpu_s"], days[name]["wall_s"]
        cells = " | ".join(_time(max(total / cores, alone)) for cores in CORES)
        lines.append(f"| {text} | {count:,} | {total / 3600:.2f} | {cells} |")
    return [*lines, ""]


def _time(seconds: float) -> str:
    for unit, size in (("h", 3600.0), ("min", 60.0)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def main() -> None:
    """Measure, and fill the page; with a name, one measurement only, printed as JSON."""
    if len(sys.argv) > 1:
        print(json.dumps(MEASUREMENTS[sys.argv[1]](*sys.argv[2:])))
        return
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    lines, days = runs()
    parts = {
        "machine": [f"Measured by `python -m benchmarks.bench_scale` on {machine}.", ""],
        "runs": lines,
        "coefficients": coefficients(),
        "batches": batches(days),
    }
    text = PAGE.read_text()
    for name, part in parts.items():
        text = re.sub(
            rf"(<!-- {name} -->\n).*?(<!-- end -->)",
            lambda found, part=part: found[1] + "\n".join(part) + found[2],  # type: ignore[misc]
            text,
            flags=re.DOTALL,
        )
    PAGE.write_text(text)
    print(f"written: {PAGE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
