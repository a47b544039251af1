"""The batch's table: a row per finished run, and what `batch.json` says of its columns."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cosim.batch_folder import FIGURE, PARAMETER, ROW, RUNS, finished_runs, run_folder, write_table
from cosim.manifest import versions
from runs.batch.plan import Plan
from runs.batch.row import Row, read_row
from runs.batch.values import same_unit, split

if TYPE_CHECKING:
    import pandas


def describe(plan: Plan) -> dict[str, Any]:
    """What `batch.json` holds from the start; relative paths in `batch` count from `folder`."""
    batch = plan.batch
    return {
        "batch": batch.as_mapping(),
        "folder": str(batch.folder),
        "file": batch.file,
        "scenario": batch.base.name,
        "seed": batch.seed,
        "runs": len(plan.variants),
        "plan_sha256": plan.hash,
        "versions": versions(),
        "parameters": {label: {"path": batch.path(label), "unit": _unit(plan, label) or ""} for label in plan.labels},
        "figures": {name: {"unit": unit, "title": title} for name, (unit, title) in plan.figures.items()},
    }


def collect(folder: Path, plan: Plan) -> list[Row]:
    """Write the table of all runs of the plan that are finished, and `batch.json` with its checksums; their rows.

    A run of an earlier scenario that still waits for its replacement is none of them.
    Raises OSError, ValueError where a row cannot be read.
    """
    planned = {variant.run: variant.key for variant in plan.variants}
    found = [(run, read_row(run_folder(folder, run) / ROW)) for run in finished_runs(folder) if run in planned]
    rows = sorted((row for run, row in found if row.key == planned[run]), key=lambda row: row.number)
    write_table(folder, table_of(plan, rows), describe(plan))
    return rows


def table_of(plan: Plan, rows: Sequence[Row]) -> pandas.DataFrame:
    """The rows as a table, in their order; see `cosim.batch_folder.CIRCUMSTANCES` for what differs by execution."""
    import pandas

    columns: dict[str, Any] = {
        "run": [row.run for row in rows],
        "number": [row.number for row in rows],
        "group": [row.group for row in rows],
        "key": [row.key for row in rows],
    }
    for label in plan.labels:
        columns[PARAMETER + label] = _parameter(plan, label, rows)
    columns |= {
        "outcome": [row.outcome for row in rows],
        "verdict": [row.verdict for row in rows],
        "to_look_at": pandas.array([row.to_look_at for row in rows], dtype="Int64"),
        "error": [row.error for row in rows],
    }
    for name in plan.batch.figures:
        columns[FIGURE + name] = pandas.array([row.figures.get(name) for row in rows], dtype="float64")
    columns |= {
        "digest": [row.digest for row in rows],
        "baseline_digest": [row.baseline_digest for row in rows],
        "code": [row.code for row in rows],
        "seconds.simulated": _numbers([row.simulated_s for row in rows]),
        "seconds.wall": _numbers([row.wall_s for row in rows]),
        "seconds.startup": _numbers([row.startup_s for row in rows]),
        "memory_mb": _numbers([row.peak_memory_mb for row in rows]),
        "attempts": [row.attempts for row in rows],
        "cached": [row.cached for row in rows],
        "worker": [row.worker for row in rows],
        "folder": [f"{RUNS}/{row.run}" for row in rows],
        "log": [row.log for row in rows],
    }
    return pandas.DataFrame(columns)


def _numbers(values: Sequence[float | None]) -> Any:
    import numpy as np

    return np.array([np.nan if value is None else value for value in values], dtype=float)


def _unit(plan: Plan, label: str) -> str | None:
    """The unit that all values of a parameter are written in; "" for bare numbers, None for other values."""
    return same_unit(variant.parameters[label] for variant in plan.variants if label in variant.parameters)


def _parameter(plan: Plan, label: str, rows: Sequence[Row]) -> Any:
    """A parameter's column: numbers in their unit, else texts, sections as JSON; null where a run has none of it."""
    import pandas

    values = [row.parameters.get(label) for row in rows]
    if _unit(plan, label) is not None:
        numbers = [None if value is None else (split(value) or (None,))[0] for value in values]
        whole = all(isinstance(variant.parameters.get(label, 0), int) for variant in plan.variants)
        if whole and None not in numbers:
            return pandas.array([int(value) for value in values], dtype="int64")  # type: ignore[arg-type]
        return _numbers(numbers)
    texts = [
        value if value is None or isinstance(value, str) else json.dumps(value, sort_keys=True) for value in values
    ]
    return pandas.array(texts, dtype="str")


def parameters_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a table's row."""
    return {str(name).removeprefix(PARAMETER): value for name, value in row.items() if str(name).startswith(PARAMETER)}
