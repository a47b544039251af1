"""What an earlier execution left in a batch's folder: which of its finished runs the plan still has, under which names.

A finished run is found by its content key wherever it stands. One that the plan no longer has goes to `superseded/`,
from which a later plan takes it back; it is never deleted here. Runs that change their number pass through there too,
so that whatever interrupts this, the next call finds them.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cosim.batch_folder import ROW, RUNS, read_batch, rewrite_row, run_folder, run_problems
from cosim.errors import ResultsError
from runs.batch.plan import Plan, Variant
from runs.batch.row import Row
from runs.batch.task import as_written, finished_row

SUPERSEDED = "superseded"  #: the subfolder of a batch's folder for finished runs that its plan no longer has
THREADS = 8  #: that hold files against their hashes
RETIRED = "row.retired.json"  #: the row of a run that is made again; its files stay until they are replaced

Again = Callable[[Row, Variant], bool]


@dataclass(frozen=True)
class _Found:
    """A finished run and where it stands."""

    folder: Path
    row: Row


@dataclass
class Settled:
    """What of the earlier runs is used, and what is not."""

    kept: dict[str, Row] = field(default_factory=dict)  #: by the name of the run now
    replaced: int = 0  #: finished runs that stay until their replacement is made
    superseded: int = 0  #: finished runs that the plan no longer has
    damaged: dict[str, str] = field(default_factory=dict)  #: what is wrong with runs that are made again


def read_earlier(folder: Path) -> Mapping[str, Any]:
    """`batch.json` as the earlier execution left it; empty where there is none that can be read."""
    with suppress(ResultsError):
        return read_batch(folder)
    return {}


def settle(folder: Path, plan: Plan, again: Again, *, full: bool = True) -> Settled:
    """Put every finished run that the plan still has under its name there, and aside what the plan no longer has.

    `again`: whether a run that fits shall be made again nevertheless. With `full` every byte of the finished runs is
    held against their lists of files, otherwise the rows and the sizes of the other files. Raises OSError.
    """
    settled = Settled()
    (folder / RUNS).mkdir(exist_ok=True)
    variants = {variant.run: variant for variant in plan.variants}
    chosen, spare = _choose(plan, _intact(folder, settled, full=full), again)
    moving = {run: one for run, one in chosen.items() if one.folder != run_folder(folder, run)}
    for one in spare:
        if one.folder.parent.name != RUNS:
            continue
        if one.folder.name not in variants or one.folder.name in moving:
            _aside(folder, one.folder)
            settled.superseded += 1
        else:
            settled.replaced += one.row.finished_well
    moving = {
        run: one if one.folder.parent.name == SUPERSEDED else _Found(_aside(folder, one.folder), one.row)
        for run, one in moving.items()
    }
    _clear(folder, variants, moving)
    settled.kept = {run: _placed(one.row, variants[run]) for run, one in chosen.items()}
    for run, one in moving.items():
        rewrite_row(one.folder, as_written(settled.kept[run]))
    for run, row in settled.kept.items():
        if run in moving:
            moving[run].folder.rename(run_folder(folder, run))
        elif (run_folder(folder, run) / ROW).read_text() != as_written(row):
            rewrite_row(run_folder(folder, run), as_written(row))
    with suppress(OSError):  # it holds something
        (folder / SUPERSEDED).rmdir()
    return settled


def _intact(folder: Path, settled: Settled, *, full: bool) -> list[_Found]:
    """The finished runs that are as they were written. The rows of others are retired, so that they are made again."""
    entries = sorted([*_entries(folder / RUNS), *_entries(folder / SUPERSEDED)])
    places = [where for where in entries if (where / ROW).is_file()]

    def look(where: Path) -> tuple[Row | None, str]:
        problems = run_problems(folder, f"../{where.parent.name}/{where.name}", verify=full)
        return finished_row(where), problems[0].text if problems else ""

    found = []
    with ThreadPoolExecutor(THREADS) as pool:
        for where, (row, problem) in zip(places, pool.map(look, places), strict=True):
            if row is None or problem:
                settled.damaged[where.name] = problem or f"its {ROW} cannot be read"
                retire(where)
            elif row.outcome == "invalid":
                shutil.rmtree(where)  # it holds nothing but its error
            else:
                found.append(_Found(where, row))
    return found


def _choose(plan: Plan, found: list[_Found], again: Again) -> tuple[dict[str, _Found], list[_Found]]:
    """Which finished run serves each run of the plan, those in their place first; and those that serve none."""
    variants = {variant.run: variant for variant in plan.valid}
    chosen: dict[str, _Found] = {}
    spare: dict[str, list[_Found]] = {}
    for one in found:
        variant = variants.get(one.folder.name) if one.folder.parent.name == RUNS else None
        if variant is None or one.row.key != variant.key:
            spare.setdefault(one.row.key, []).append(one)
        elif again(one.row, variant):
            retire(one.folder)
        else:
            chosen[variant.run] = one
    for variant in plan.valid:
        options = spare.get(variant.key, [])
        fitting = next((one for one in options if not again(one.row, variant)), None)
        if variant.run not in chosen and fitting is not None:
            options.remove(fitting)
            chosen[variant.run] = fitting
    return chosen, [one for options in spare.values() for one in options]


def _placed(row: Row, variant: Variant) -> Row:
    """The row with what the plan says of its place now; its results are those of its key."""
    return row.update(
        run=variant.run,
        number=variant.number,
        group=variant.group,
        parameters=dict(variant.parameters),
        log=row.log.replace(f"{RUNS}/{row.run}/", f"{RUNS}/{variant.run}/"),
    )


def _clear(folder: Path, variants: Mapping[str, Variant], moving: Mapping[str, Any]) -> None:
    """Make room for runs that move, and put aside what has no place in the plan; what never finished goes."""
    for where in _entries(folder / RUNS):
        if where.name in variants and where.name not in moving:
            continue
        if (where / RETIRED).is_file():
            _aside(folder, where)
        else:
            shutil.rmtree(where)


def _entries(folder: Path) -> list[Path]:
    return [entry for entry in folder.iterdir() if entry.is_dir()] if folder.is_dir() else []


def _aside(folder: Path, where: Path) -> Path:
    """Move a run to `superseded/`; its place there."""
    target = folder / SUPERSEDED / where.name.strip(".")
    if target.exists():
        target = target.with_name(f"{target.name}-{secrets.token_hex(4)}")
    target.parent.mkdir(exist_ok=True)
    return where.rename(target)


def retire(where: Path) -> None:
    """Make a finished run an unfinished one, whose files stay until it is replaced. Raises OSError."""
    (where / ROW).replace(where / RETIRED)
