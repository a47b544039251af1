"""What a batch costs beside its runs: workers against one worker and a plain pool, start-up of a run, memory.

python -m benchmarks.bench_batch

A run that computes in one process (two days of the 39-bus grid with its dispatch) for throughput; very small runs for
memory and start-up. Throughput counts from when every worker has finished its first run, so that what is done once
(starting workers, imports) is left out; it is given by itself. Targets: 2 workers at 1.85 times one, 5 % overhead;
`speed_up_of_the_machine`, of two processes that only count, is the most that the first can be here and now.
"""

from __future__ import annotations

import json
import multiprocessing
import statistics
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil

import cosim
from runs.batch.executor import Choice, Ended, run_batch
from runs.batch.figures import FigureSpec, compute_figures
from runs.batch.file import load_batch
from runs.batch.plan import Plan, Variant, make_plan
from runs.batch.progress import State

RUNS = 6  #: for throughput
SMALL_RUNS = 200
EARLY = 40  #: small runs after which memory is taken for the first time
SPEED_UP, OVERHEAD = 1.85, 1.05  #: targets

HORIZON = {"start": "2014-01-16 00:00", "step": "60 s"}
WEATHER = {"weather": {"table": "melbourne_2014_01"}, "demand": {"table": "victoria_2014_01"}}
GRID_DAYS = {
    "name": "grid_days",
    "horizon": {**HORIZON, "duration": "48 h"},  # long beside what starts and ends a run
    **WEATHER,
    "transmission": {"case": "case39", "reactive_limits": False},
    "dispatch": {},
    "outputs": {"chunk": "24 h"},  # fewer and larger writes: it is the run that shall compute
}
SMALL = {"name": "small", "horizon": {**HORIZON, "duration": "30 min"}, **WEATHER}


def plan_of(folder: Path, scenario: dict[str, Any], count: int, figures: dict[str, Any]) -> Plan:
    """A batch of `count` seeds."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "scenario.yaml").write_text(json.dumps(scenario))
    batch = {"name": "bench", "scenario": "scenario.yaml", "vary": [{"seeds": {"count": count}}], "figures": figures}
    (folder / "batch.yaml").write_text(json.dumps(batch))
    return make_plan(load_batch(folder / "batch.yaml"))


def settled_rate(ends: Sequence[float], workers: int) -> float:
    """Runs a second, from the times [s] at which runs ended, once each worker has ended one."""
    ends = sorted(ends)
    return (len(ends) - workers) / (ends[-1] - ends[workers - 1])


def on_dask(plan: Plan, out: Path, workers: int) -> float:
    """Runs a second of a batch."""
    ended = run_batch(plan, out, Choice(workers=workers), lambda state: None)
    _check(ended)
    events = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    ends = [datetime.fromisoformat(e["time"]).timestamp() for e in events if e["event"] == "run finished"]
    return settled_rate(ends, workers)


def _check(ended: Ended) -> None:
    if ended.failed:
        raise SystemExit(f"a run cannot be trusted: {ended.failed[0].error}")


_launcher: Any = None


def _prepare_pool() -> None:
    """A plain pool's process: warm too, or it would be start-up that is compared."""
    global _launcher
    from cosim.engine.warm import WarmLauncher

    _launcher = WarmLauncher()


def _plain(job: tuple[Variant, Path, dict[str, FigureSpec]]) -> float:
    variant, out, figures = job
    run = cosim.run(variant.load(), out / variant.run, launcher=_launcher)
    compute_figures(run, figures)
    return time.monotonic()


def on_pool(plan: Plan, out: Path, workers: int) -> float:
    """Runs a second of a plain pool of processes that makes the same runs and figures."""
    jobs = [(variant, out, dict(plan.batch.figures)) for variant in plan.variants]
    with multiprocessing.get_context("spawn").Pool(workers, _prepare_pool) as pool:
        return settled_rate(list(pool.imap_unordered(_plain, jobs)), workers)


class Memory:
    """Resident memory of a batch's workers and of the processes that fork its runs, early and at the end [B]."""

    def __init__(self) -> None:
        self.early: dict[str, int] = {}
        self.late: dict[str, int] = {}

    def __call__(self, state: State) -> None:
        """Take it when enough runs are done."""
        if state.done == EARLY and not self.early:
            self.early = self._now()
        elif state.done == state.total - 2 and not self.late:
            self.late = self._now()

    @staticmethod
    def _now() -> dict[str, int]:
        workers = [p for p in psutil.Process().children() if any("spawn_main" in word for word in p.cmdline())]
        zygotes = [c for p in workers for c in p.children() if "runs.batch.zygote" in c.cmdline()]
        return {
            "worker": max(p.memory_info().rss for p in workers),
            "zygote": max((p.memory_info().rss for p in zygotes), default=0),
        }


def small_runs(folder: Path) -> dict[str, float]:
    """Memory, start-up and rate over many runs that compute next to nothing."""
    plan = plan_of(folder, SMALL, SMALL_RUNS, {})
    memory = Memory()
    began = time.monotonic()
    ended = run_batch(plan, folder / "out", Choice(workers=2), memory)
    total = time.monotonic() - began
    _check(ended)
    around = []
    for row in ended.rows:
        timings = json.loads((folder / "out" / "runs" / row.run / "manifest.json").read_text())["timings"]
        around.append((row.wall_s or 0.0) - timings["simulation_s"])
    return {
        "small_runs_per_s": SMALL_RUNS / total,
        "start_to_first_step_s": statistics.median(row.startup_s or 0.0 for row in ended.rows),
        "beside_simulation_s": statistics.median(around),
        "worker_MB_early": memory.early["worker"] / 1e6,
        "worker_MB_late": memory.late["worker"] / 1e6,
        "zygote_MB_early": memory.early["zygote"] / 1e6,
        "zygote_MB_late": memory.late["zygote"] / 1e6,
    }


def _loop(_: int) -> float:
    before = time.perf_counter()
    sum(range(30_000_000))
    return time.perf_counter() - before


def machine_speed_up() -> float:
    """How much more two processes compute here than one, if they do nothing but count: the most there is to gain."""
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        pool.map(_loop, [0, 0], 1)
        alone = min(pool.map(_loop, [0]) + pool.map(_loop, [0]))
        return 2.0 * alone / statistics.mean(pool.map(_loop, [0, 0], 1))


def throughput(folder: Path) -> dict[str, float]:
    """Runs a second: one worker, two workers, a plain pool of two."""
    plan = plan_of(folder, GRID_DAYS, RUNS, {"peak": {"of": "demand.load_scale", "reduce": "max"}})
    two = on_dask(plan, folder / "two", 2)
    pool = on_pool(plan, folder / "pool", 2)
    one = on_dask(plan, folder / "one", 1)
    return {
        "one_worker_runs_per_s": one,
        "two_workers_runs_per_s": two,
        "pool_runs_per_s": pool,
        "speed_up": two / one,
        "speed_up_of_the_machine": machine_speed_up(),
        "against_pool": pool / two,
    }


def main() -> None:
    """Print the figures as JSON; exit 1 where a target is missed."""
    parts = {"throughput": throughput, "small": small_runs}
    chosen = sys.argv[1:] or list(parts)
    figures: dict[str, float] = {}
    with TemporaryDirectory() as folder:
        for name in chosen:
            figures |= parts[name](Path(folder) / name)
    print(json.dumps(figures))
    if figures.get("speed_up", SPEED_UP) < SPEED_UP or figures.get("against_pool", OVERHEAD) > OVERHEAD:
        sys.exit(1)


if __name__ == "__main__":
    main()
