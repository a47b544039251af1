"""What a batch will take, before it starts: how many runs, which are invalid, how long and how large, from one run."""

from __future__ import annotations

import math
import os
import resource
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cosim.batch_folder import run_folder
from cosim.event_window import EventWindow
from cosim.results import BASELINE, MANIFEST, read_json
from cosim.scenario import Horizon
from cosim.settings import Settings
from runs.batch.plan import Plan, Variant
from runs.batch.row import Row
from runs.batch.task import RunTask, Zygotes, execute, finished_row, kinds_of

if TYPE_CHECKING:
    from rich.console import Console

SPREAD = 1.3  #: how much longer than the timed one the others may take on average, by experience with one machine
ENOUGH = 5  #: finished runs from whose spread the estimate can be made
SHOWN = 5  #: runs shown at each end of the plan


class Invalid(Settings):
    """A variant that cannot run."""

    run: str
    error: str


class Timed(Settings):
    """What one run takes."""

    source: str
    """Which run or runs were measured."""
    wall_s: float
    """Of one run [s]."""
    cpu_low_s: float
    """Processor time of its federates' computing [s]."""
    cpu_high_s: float
    """Processor time with starting its processes and imports [s]."""
    spread: float
    """How much longer the others may take on average [1]."""
    disk_mb: float
    """What stays of a run [MB]."""
    memory_mb: float | None
    """Largest resident memory of its processes together [MB]."""


class Estimate(Settings):
    """What a dry run finds."""

    batch: str
    runs: int
    groups: Mapping[str, int]
    """Runs by group; empty without groups."""
    invalid: tuple[Invalid, ...]
    """Every variant that cannot run, and why."""
    finished: int
    """Runs that are there already and hold."""
    to_run: int
    parameters: tuple[Mapping[str, Any], ...]
    """Run, group and parameters: the first and the last runs."""
    remarks: tuple[str, ...]
    workers: int
    cores: int
    timed: Timed | None
    """None if there is nothing to run, or the timed run failed."""
    seconds: tuple[float, float] | None
    """Wall time of the batch, from and to [s]."""
    disk_mb: float | None
    """What the batch will add to the disk [MB]."""
    free_mb: float
    """What is free there [MB]."""


def estimate(plan: Plan, folder: Path, workers: int) -> Estimate:
    """Estimate from the finished runs in `folder`, or from a timed run of the first valid variant in scratch space."""
    done = {variant.run: row for variant in plan.valid if (row := _done(folder, variant)) is not None}
    waiting = [variant for variant in plan.valid if variant.run not in done]
    remarks = list(plan.remarks)
    timed = None
    if waiting and len(done) >= ENOUGH:
        timed = _from_rows(folder, list(done.values()))
    elif waiting:
        timed, problem = _from_one(plan, waiting[0])
        remarks += [problem] if problem else []
    cores = os.cpu_count() or 1
    shown = plan.variants if len(plan.variants) <= 2 * SHOWN else (*plan.variants[:SHOWN], *plan.variants[-SHOWN:])
    return Estimate(
        batch=plan.batch.name,
        runs=len(plan.variants),
        groups=Counter(variant.group for variant in plan.variants if variant.group),
        invalid=tuple(Invalid(run=variant.run, error=variant.error) for variant in plan.invalid),
        finished=len(done),
        to_run=len(waiting),
        parameters=tuple({"run": v.run, "group": v.group, **v.parameters} for v in shown),
        remarks=tuple(remarks),
        workers=workers,
        cores=cores,
        timed=timed,
        seconds=None if timed is None else batch_seconds(timed, _weights(waiting), workers, cores),
        disk_mb=None if timed is None else timed.disk_mb * sum(_weights(waiting)),
        free_mb=_free(folder),
    )


def batch_seconds(timed: Timed, weights: Sequence[float], workers: int, cores: int) -> tuple[float, float]:
    """Wall time [s] of runs that take `weights` times the timed one, from and to.

    Workers share the cores: a run cannot take less than its own wall time, nor all runs less than their processor time.
    """
    total, used = sum(weights), min(workers, len(weights))
    low = max(timed.wall_s * total / used, timed.wall_s * max(weights), timed.cpu_low_s * total / cores)
    rounds = math.ceil(len(weights) / used) * total / len(weights)
    high = max(timed.wall_s * rounds, timed.cpu_high_s * total / cores) * timed.spread
    return min(low, high), high


def _done(folder: Path, variant: Variant) -> Row | None:
    """The row of a run that is finished and would not run again."""
    row = finished_row(run_folder(folder, variant.run))
    return row if row is not None and row.key == variant.key else None


def _weights(variants: Sequence[Variant]) -> list[float]:
    """How many steps each run simulates, in those of the first."""
    steps = []
    for variant in variants:
        scenario = variant.scenario or {}
        horizon = Horizon.model_validate(scenario["horizon"])
        steps.append(horizon.duration / horizon.step)
        if scenario.get("event_window"):
            window = EventWindow.model_validate(scenario["event_window"])
            steps[-1] += window.duration / window.step
    return [count / steps[0] for count in steps]


def _from_rows(folder: Path, rows: Sequence[Row]) -> Timed:
    """From runs that are finished: their mean, and how sure it is."""
    import numpy as np

    wall = np.array([row.wall_s for row in rows if row.wall_s is not None])
    error = 2.0 * wall.std(ddof=1) / math.sqrt(wall.size)
    sizes = [_size(run_folder(folder, row.run)) for row in rows]
    memory = [row.peak_memory_mb for row in rows if row.peak_memory_mb is not None]
    return Timed(
        source=f"{wall.size} finished runs",
        wall_s=float(wall.mean()),
        cpu_low_s=0.0,
        cpu_high_s=0.0,
        spread=1.0 + float(error / wall.mean()),
        disk_mb=sum(sizes) / len(sizes) / 1e6,
        memory_mb=max(memory, default=None),
    )


def _from_one(plan: Plan, variant: Variant) -> tuple[Timed | None, str]:
    """From one run in scratch space; or what went wrong with it."""
    print(f"timing run {variant.run} ...", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(prefix="cosim-dry-run-") as scratch:
        out = Path(scratch)
        before = _processor_time()
        row = execute(_task(plan, variant, out), lambda: False)
        Zygotes.of_this_process().close()
        used = _processor_time() - before
        if not row.finished_well:
            return None, f"the timed run {variant.run} ended as '{row.outcome}': {row.error}"
        folder = run_folder(out, variant.run)
        busy = sum(
            sum(read_json(one, MANIFEST)["timings"]["busy_s"].values())
            for one in (folder, folder / BASELINE)
            if (one / MANIFEST).is_file()
        )
        timed = Timed(
            source=f"run {variant.run}, timed now",
            wall_s=row.wall_s or 0.0,
            cpu_low_s=min(busy, used),
            cpu_high_s=used,
            spread=SPREAD,
            disk_mb=_size(folder) / 1e6,
            memory_mb=row.peak_memory_mb,
        )
    return timed, ""


def _task(plan: Plan, variant: Variant, out: Path) -> RunTask:
    batch = plan.batch
    return RunTask(
        variant=variant,
        out=out,
        session="dry-run",
        limits=batch.limits,
        retries=0,
        baseline=batch.baseline,
        keep=batch.keep,
        figures=batch.figures,
        report=batch.report_per_run,
        kinds=kinds_of(variant.scenario),
    )


def _processor_time() -> float:
    """Of all ended children of this process [s]."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _size(folder: Path) -> int:
    """All files below `folder` [B]."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _free(folder: Path) -> float:
    """What is free where `folder` is, or will be [MB]."""
    import shutil

    there = next(path for path in (folder.resolve(), *folder.resolve().parents) if path.exists())
    return shutil.disk_usage(there).free / 1e6


def print_estimate(found: Estimate, console: Console | None = None) -> None:
    """Print what a dry run found, every invalid variant included."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = console or Console()
    grouped = ", ".join(f"{name} {count}" for name, count in found.groups.items())
    done = f", {found.finished} finished" if found.finished else ""
    text = f"{found.batch}: {found.runs} runs" + (f" ({grouped})" if grouped else "")
    console.print(Text(f"{text}; {found.to_run} to run{done}, {len(found.invalid)} invalid"))
    columns = list(dict.fromkeys(key for entry in found.parameters for key in entry))
    columns = [name for name in columns if name != "group" or found.groups]
    table = Table(*columns, box=None, pad_edge=False, header_style="dim")
    for position, entry in enumerate(found.parameters):
        if position == SHOWN and found.runs > 2 * SHOWN:
            table.add_row("...")
        table.add_row(*(Text(str(entry.get(name, ""))) for name in columns))
    console.print(table)
    for invalid in found.invalid:
        console.print(Text(f"invalid: run {invalid.run} {invalid.error}", "red"), soft_wrap=True)
    for remark in found.remarks:
        console.print(Text(remark, "yellow"), soft_wrap=True)
    if found.timed is not None and found.seconds is not None:
        low, high = found.seconds
        memory = f", {found.timed.memory_mb:,.0f} MB of memory" if found.timed.memory_mb else ""
        console.print(
            Text(
                f"one run takes {found.timed.wall_s:,.3g} s, {found.timed.disk_mb:,.3g} MB on disk{memory} "
                f"({found.timed.source})"
            )
        )
        console.print(
            Text(
                f"all: {duration_text(low)} to {duration_text(high)} with {found.workers} workers on {found.cores} "
                f"cores; {found.disk_mb:,.3g} MB of {found.free_mb:,.0f} MB free"
            )
        )


def duration_text(seconds: float) -> str:
    """A rough duration."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
