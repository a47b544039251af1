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

from cosim.batch_folder import ROW, RUNS, run_folder, run_problems, write_atomically
from cosim.results import RESULTS
from runs.batch.plan import Variant
from runs.batch.row import CACHEABLE, Row
from runs.batch.task import WORK, as_written, finished_row


class Cache:
    """A folder of finished runs."""

    def __init__(self, folder: Path) -> None:
        """Make the folder if it is not there. Raises OSError."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder

    def store(self, row: Row, run: Path) -> None:
        """Keep the run in the folder `run`, if its outcome depends on its scenario alone. Raises OSError."""
        target = self._place(row.key)
        if row.outcome in CACHEABLE and not target.exists():
            _appear(run, target)

    def take(self, variant: Variant, out: Path) -> Row | None:
        """Put the run into the batch in `out`, if it is here: its row there, or None. Raises OSError."""
        here = self._place(variant.key)
        row = finished_row(here)
        if row is None or row.key != variant.key or row.outcome not in CACHEABLE:
            return None
        if run_problems(here.parents[1], here.name):
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
        write_atomically(copy / ROW, as_written(row))
        target = run_folder(out, variant.run)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(target, ignore_errors=True)
        copy.rename(target)
        around.rmdir()
        return row

    def _place(self, key: str) -> Path:
        return run_folder(self.folder / key[:2], key)


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
