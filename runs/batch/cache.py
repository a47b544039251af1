"""Finished runs by their content hash, shared by batches: what one has run, another takes.

`DIR/<first two digits>/runs/<hash>/` holds a run's folder as it was made. The results, which never change, are hard
links where the file system allows.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from pathlib import Path

from cosim.batch_folder import RUNS, rewrite_row, run_folder, run_problems
from cosim.results import RESULTS
from runs.batch.plan import Variant
from runs.batch.row import CACHEABLE, Row
from runs.batch.task import WORK, as_written, finished_row, swap


class Cache:
    """A folder of finished runs."""

    def __init__(self, folder: Path) -> None:
        """Make the folder if it is not there. Raises OSError."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder

    def store(self, row: Row, run: Path, *, new: bool = False) -> None:
        """Keep the run in the folder `run`, if its outcome depends on its scenario alone. Raises OSError.

        A `new` run takes the place of a damaged one.
        """
        target = self._place(row.key)
        if new and target.exists() and not _is_whole(target):
            _drop(target)
        if row.outcome in CACHEABLE and not target.exists():
            _appear(run, target)

    def take(self, variant: Variant, out: Path) -> Row | None:
        """Put the run into the batch in `out`, if it is here: its row there, or None. Raises OSError."""
        here = self._place(variant.key)
        if not here.exists():
            return None
        row = finished_row(here)
        if row is None or row.key != variant.key or row.outcome not in CACHEABLE or not _is_whole(here):
            _drop(here)
            return None
        around = out / WORK / variant.run
        around.mkdir(parents=True, exist_ok=True)
        copy = around / "cached"
        shutil.rmtree(copy, ignore_errors=True)
        try:
            _copy(here, copy)
        except FileNotFoundError:  # someone clears the cache
            return None
        row = row.update(
            run=variant.run,
            number=variant.number,
            group=variant.group,
            parameters=dict(variant.parameters),
            attempts=1,
            worker="",
            cached=True,
            log=row.log.replace(f"{RUNS}/{row.run}/", f"{RUNS}/{variant.run}/"),
        )
        rewrite_row(copy, as_written(row))
        target = run_folder(out, variant.run)
        target.parent.mkdir(parents=True, exist_ok=True)
        swap(copy, target)
        around.rmdir()
        return row

    def _place(self, key: str) -> Path:
        return run_folder(self.folder / key[:2], key)


def _is_whole(entry: Path) -> bool:
    """Whether every byte of a run in the cache is as it was written; its results may be linked from other batches."""
    return not run_problems(entry.parents[1], entry.name, verify=True)


def _drop(entry: Path) -> None:
    """Remove a run from the cache, at once for everyone. Raises OSError."""
    gone = entry.with_name(f".{entry.name}.{secrets.token_hex(4)}")
    with contextlib.suppress(FileNotFoundError):  # another batch may have been first
        entry.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)


def _appear(source: Path, target: Path) -> None:
    """Copy a folder so that it is whole as soon as it is there."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        _copy(source, partial)
        with contextlib.suppress(FileExistsError):
            partial.rename(target)
    except OSError:
        if not target.exists():  # another batch may have been first
            raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _copy(source: Path, target: Path) -> None:
    shutil.copytree(source, target, copy_function=_link_or_copy)


def _link_or_copy(source: str, target: str) -> None:
    if RESULTS in Path(source).parts:
        with contextlib.suppress(OSError):
            os.link(source, target)
            return
    shutil.copy2(source, target)
