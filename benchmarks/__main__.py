"""`make bench`: measures, prints, and writes the figures to `docs/performance.md`.

Figures move with the machine; ratios of medians, taken in turn in one run, are what to compare.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
DAY = "runs/scenarios/heat_wave_neighbourhood.yaml"
GRID = "runs/scenarios/generator_trip.yaml"
PAGE = ROOT / "docs" / "performance.md"
REPEATS = 3

Figures = dict[str, float]


def measure(what: str, scenario: str, *changes: str) -> Figures:
    """One measurement in a fresh process. Raises CalledProcessError."""
    command = [sys.executable, "-m", "benchmarks.measure", what, scenario, *changes]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    figures: Figures = json.loads(done.stdout.splitlines()[-1])
    print(
        f"  {what} {scenario} {' '.join(changes)}: " + ", ".join(f"{k} {v:.3g}" for k, v in figures.items()), flush=True
    )
    return figures


def in_turn(*commands: tuple[str, ...]) -> list[Figures]:
    """Each command `REPEATS` times, in turn; the median of each figure."""
    rounds = [[measure(*command) for command in commands] for _ in range(REPEATS)]
    return [
        {key: statistics.median(results[number][key] for results in rounds) for key in rounds[0][number]}
        for number in range(len(commands))
    ]


def day() -> list[str]:
    """The default day as a federation against the bare engines, and where the time goes."""
    bare, whole = in_turn(("plain", DAY), ("federation", DAY))
    lines = [
        "## The default day against its bare engines",
        "",
        "The same 24 hours at 60 s, without the twin: as a federation, and by calling the same federates one after the",
        f"other in one process (no HELICS, no processes, no recording). Medians of {REPEATS} runs each, in turn.",
        "",
        "| | federation | bare engines | ratio |",
        "| --- | --- | --- | --- |",
        f"| wall time of the day [s] | {whole['wall_s']:.2f} | {bare['wall_s']:.2f} "
        f"| **{whole['wall_s'] / bare['wall_s']:.2f}** |",
        f"| start-up to the first step [s] | {whole['start_s']:.2f} | {bare['start_s']:.2f} "
        f"| {whole['start_s'] - bare['start_s']:+.2f} s |",
        f"| peak memory, all processes [MB] | {whole['peak_MB']:.0f} | {bare['peak_MB']:.0f} "
        f"| {whole['peak_MB'] / bare['peak_MB']:.2f} |",
        "",
        "Where the federation's time goes (wall time inside each federate's own methods; the rest is exchange, waiting",
        "for each other and recording; federates of different processes run at the same time):",
        "",
        "| federate | [s] | share of the wall time |",
        "| --- | --- | --- |",
    ]
    busy = {key.removeprefix("busy "): value for key, value in whole.items() if key.startswith("busy ")}
    for name, seconds in sorted(busy.items(), key=lambda item: -item[1]):
        lines.append(f"| {name} | {seconds:.2f} | {seconds / whole['wall_s']:.0%} |")
    return [*lines, ""]


def homes() -> list[str]:
    """Cost per step as homes grow."""
    sizes = (100, 300, 1000)
    rows = in_turn(*(("plain", DAY, f"feeders.0.model.homes.count={n}", 'horizon.duration="4 h"') for n in sizes))
    lines = [
        "## Homes on one feeder",
        "",
        "The bare engines over 4 hours.",
        "",
        "| homes | per step [ms] | per step and home [ms] | start-up [s] | memory [MB] |",
        "| --- | --- | --- | --- | --- |",
    ]
    for count, row in zip(sizes, rows, strict=True):
        step = 1e3 * row["wall_s"] / row["steps"]
        lines.append(f"| {count} | {step:.1f} | {step / count:.3f} | {row['start_s']:.1f} | {row['peak_MB']:.0f} |")
    return [*lines, ""]


def dispatch() -> list[str]:
    """Build and re-solve of the rolling dispatch."""
    cases = ("case39", "case118", "case_ACTIVSg2000")
    rows = in_turn(*(("dispatch", GRID, f'transmission.case="{case}"', "perturbations=[]") for case in cases))
    lines = [
        "## Rolling dispatch",
        "",
        "The model is built once (reading the case, Pyomo, hand-over to HiGHS); each interval only changes parameters",
        "and re-solves. Look-ahead 4 hours, one day of 5-minute intervals.",
        "",
        "| case | build [s] | first solve [s] | re-solve, median [ms] |",
        "| --- | --- | --- | --- |",
    ]
    for case, row in zip(cases, rows, strict=True):
        lines.append(f"| {case} | {row['build_s']:.2f} | {row['first_s']:.3f} | {row['again_ms']:.1f} |")
    return [*lines, ""]


def der() -> list[str]:
    """The IEEE 1547 fleet model against OpenDER, and the judge."""
    fleet = _script("benchmarks.bench_der_fleet")
    judge = _script("benchmarks.bench_judge", "100")
    rate, peer, ratio = fleet["fleet_der_steps_per_s"], fleet["opender_der_steps_per_s"], fleet["ratio"]
    sizes = ", ".join(f"{size / 1e3:.2f} kB at {int(n):,}" for n, size in fleet["bytes_per_der"].items())
    return [
        "## DER fleet and judge",
        "",
        "10,000 DER, 60 s at 10 ms steps with a sag, against EPRI OpenDER on the same waveform in the same run; the",
        "judge on an hour at 10 ms of 100 DER, two processes.",
        "",
        "| | |",
        "| --- | --- |",
        f"| fleet model, DER-steps a second | {rate:,.0f} |",
        f"| OpenDER 2.2.0, DER-steps a second | {peer:,.0f} |" if peer else "| OpenDER | not installed |",
        f"| ratio | **{ratio:,.0f}** |" if ratio else "| ratio | - |",
        f"| memory per DER, by number of DER | {sizes} |",
        f"| judge, seconds for 1,000 DER-hours | {judge['seconds_per_1000_der']:.0f} |",
        "",
    ]


def batch() -> list[str]:
    """What a batch on Dask costs beside its runs."""
    found = _script("benchmarks.bench_batch")
    return [
        "## Batches",
        "",
        "A day of the 39-bus grid with its dispatch, which computes in one process, and 200 runs of next to nothing.",
        "",
        "| | |",
        "| --- | --- |",
        f"| 2 workers against 1 | **{found['speed_up']:.2f}** |",
        f"| 2 processes that only count against 1, on this machine | {found['speed_up_of_the_machine']:.2f} |",
        f"| a plain pool of 2 processes against 2 workers | {found['against_pool']:.2f} |",
        f"| from a run's call to its first step [s] | {found['start_to_first_step_s']:.2f} |",
        f"| all of a run beside its simulation [s] | {found['beside_simulation_s']:.2f} |",
        f"| memory of a worker after 40 and after 198 runs [MB] | {found['worker_MB_early']:.0f}, "
        f"{found['worker_MB_late']:.0f} |",
        "",
    ]


def startup() -> list[str]:
    """A run's start, cold and forked warm."""
    found = _script("benchmarks.bench_startup")
    lines = [
        "## Start-up of a run",
        "",
        "From the call to the first step, with processes started cold and forked warm as in a batch; processor time of",
        "a run of 20 steps with all its processes.",
        "",
        "| | cold [s] | warm [s] | ratio | processor time cold [s] | warm [s] |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, row in found.items():
        cold, warm = row["cold_startup_s"], row["warm_startup_s"]
        lines.append(
            f"| {name} | {cold:.2f} | {warm:.2f} | **{cold / warm:.1f}** "
            f"| {row['cold_cpu_s']:.1f} | {row['warm_cpu_s']:.1f} |"
        )
    return [*lines, ""]


def windows() -> list[str]:
    """Feeders and grids at millisecond steps."""
    feeder, grid = _script("benchmarks.bench_window_feeder"), _script("benchmarks.bench_dynamics")
    whole = _script("benchmarks.bench_event_window")
    lines = [
        "## Event windows",
        "",
        f"The dynamics of the 39-bus grid in ANDES and an IEEE 123-node feeder with {whole['der']:,} DER, coupled at",
        "5 ms: seconds for a simulated second. Alone: the same federates called one after the other in one process.",
        "By default they share a process in the federation (`placement: shared`). With `engines_apart` the dynamics",
        "have their own, and what they exchange with the others passes HELICS twice a step. The day's feeder takes no",
        "part in the window; in OpenDSS it is one process more, and HELICS then keeps one clock for all.",
        "Medians of seven rounds, in turn.",
        "",
        "| | default | through HELICS, two processes | through HELICS, three processes |",
        "| --- | --- | --- | --- |",
    ]
    coupling = whole["coupling"]
    columns = [coupling[name] for name in ("default", "two_processes", "three_processes")]
    lines += [
        _row("federation [s]", (f"{one['wall_per_s']:.2f}" for one in columns)),
        _row("alone [s]", [f"{coupling['alone_per_s']:.2f}"] * len(columns)),
        _row("overhead of the coupling, against alone", (f"**{one['overhead']:.0%}**" for one in columns)),
        _row("time outside the federates' own methods, against in them", (f"{one['outside']:.0%}" for one in columns)),
        _row(
            "TDcoSim's published 0.038 s a DER, over this",
            (f"**{one['times_less_than_tdcosim']:.0f}**" for one in columns),
        ),
    ]
    for name in ("dynamics", "window", "oak_window"):
        lines.append(_row(f"of it in `{name}` [s]", (f"{one['by_federate'][name]:.3f}" for one in columns)))
    return [
        *lines,
        "",
        *_halving_lines(whole["step_halving"]),
        "",
        "Each by itself:",
        "",
        "| | |",
        "| --- | --- |",
        f"| feeder, quiet and with a fault [s] | {feeder['quiet']:.2f}, {feeder['fault']:.2f} |",
        f"| its voltages, a solve [ms] | {feeder['milliseconds_per_solve']:.2f} |",
        f"| ANDES alone [s of one core] | {grid['alone']:.2f} |",
        f"| ANDES as a federate | {grid['andes_dynamics']:.2f} ({grid['overhead']:+.0%}) |",
        f"| the aggregate frequency response | {grid['frequency_response']:.3f} |",
        "",
    ]


def _row(title: str, cells: Iterable[str]) -> str:
    return f"| {' | '.join([title, *cells])} |"


def _halving_lines(found: dict[str, Any]) -> list[str]:
    """What half the step changes."""
    lines = [
        "At half the step, with a fault of 0.25 s that leaves voltages about 0.5 pu, and DER of three makes:",
        "",
        "| | 5 ms | 2.5 ms | change |",
        "| --- | --- | --- | --- |",
    ]
    for power in found["power"]:
        lines.append(f"| {power['figure']} [MW] | {power['full']:.3f} | {power['half']:.3f} | {power['share']:+.2%} |")
    change = found["change_of_nadir_hz"]
    return [*lines, f"| nadir [Hz] | {found['nadir_hz']:.4f} | {found['nadir_hz'] + change:.4f} | {change:+.1e} Hz |"]


def calibration() -> list[str]:
    """Calibration of a system's load, and with the co-simulation in the loop."""
    lines = ["## Calibration", "", "| | |", "| --- | --- |"]
    if (ROOT.parent / "shared" / "data").is_dir():
        load = _script("benchmarks.bench_calibrate")
        lines.append(
            f"| Victoria, 35,088 half hours fitted and scored [s], of processor time [s] "
            f"| **{load['seconds']:.0f}**, {load['cpu_seconds']:.0f} |"
        )
    loop = _script("benchmarks.bench_calibrate_loop")
    lines += [
        f"| in the loop: runs an hour, as the search asks for them | {loop['runs_per_hour']:,.0f} |",
        f"| the same {loop['runs']:.0f} runs as one batch | {loop['runs_per_hour_of_one_batch']:,.0f} |",
    ]
    return [*lines, ""]


def _script(module: str, *arguments: str) -> dict[str, Any]:
    """The figures that another benchmark prints as JSON; missing its bound is said by itself."""
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    figures: dict[str, Any] = json.loads(done.stdout)
    print(f"  {module}: {figures}", flush=True)
    return figures


PARTS = {part.__name__: part for part in (day, homes, dispatch, der, startup, batch, calibration, windows)}


def sections(page: str) -> dict[str, str]:
    """The sections of the page by their titles, in their order."""
    parts = page.split("\n## ")[1:]
    return {part.partition("\n")[0]: f"## {part.rstrip()}\n" for part in parts}


def main(*names: str) -> None:
    """Measure the parts named, or all; what was measured takes the place of what the page said of it."""
    unknown = set(names) - set(PARTS)
    if unknown:
        raise SystemExit(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    page = sections(PAGE.read_text())
    for name in names or PARTS:
        page |= sections("\n" + "\n".join(PARTS[name]()))
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    head = (
        f"# Performance\n\nWritten by `make bench` on {machine}; one section by `python -m benchmarks` and one of\n"
        f"{', '.join(PARTS)}. Figures move with the machine and its load; compare ratios.\n"
    )
    PAGE.write_text("\n".join([head, *page.values()]))
    print(f"written: {PAGE.relative_to(ROOT)}")


if __name__ == "__main__":
    main(*sys.argv[1:])
