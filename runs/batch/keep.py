"""Dropping what a batch does not keep of a run, once verdict, figures and report are made."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from cosim.results import MANIFEST, RESULTS, digest
from cosim.simulation import Run
from cosim.stored_arrays import CONSOLIDATED, arrays, groups
from cosim.stored_files import write_atomically


def is_kept(key: str, patterns: Iterable[str]) -> bool:
    """Whether the output `federate.port` is kept."""
    return any(fnmatchcase(key, pattern) for pattern in patterns)


def keep_only(run: Run, patterns: Sequence[str]) -> None:
    """Drop every output of the run and its twin that no pattern names; labels and times go with the last output.

    The manifest says under `dropped` what is gone; its `digest` stays that of the full results, so that runs can
    still be held against each other; `kept_digest` is that of what is left. The store is replaced whole.
    Raises OSError.
    """
    for one in (run, run.baseline):
        if one is not None and (one.folder / RESULTS).is_dir():
            _keep_only(one.folder, patterns)


def _keep_only(folder: Path, patterns: Sequence[str]) -> None:
    """Build the smaller store beside the full one, of links to its files, and put it in its place."""
    store, new, old = (folder / name for name in (RESULTS, f".{RESULTS}.new", f".{RESULTS}.old"))
    gone: set[str] = set()  # paths of groups and arrays in the store
    dropped: list[str] = []
    for group in groups(store):
        stored = {name: array.dimensions for name, array in arrays(store / group).items()}
        recorded = {name for name, dimensions in stored.items() if name != "time" and dimensions[:1] == ("time",)}
        kept = {name for name in recorded if is_kept(f"{group}.{name}", patterns)}
        used = {dimension for name in kept for dimension in stored[name]}
        gone |= {f"{group}/{name}" for name in stored if name not in kept and name not in used}
        gone |= set() if kept else {group}
        dropped += [f"{group}.{name}" for name in sorted(recorded - kept)]

    def left_out(path: str, names: list[str]) -> list[str]:
        below = Path(path).relative_to(store)
        return [name for name in names if str(below / name) in gone or name == CONSOLIDATED]

    shutil.rmtree(new, ignore_errors=True)
    shutil.copytree(store, new, ignore=left_out, copy_function=os.link)
    if (store / CONSOLIDATED).is_file():
        written = json.loads((store / CONSOLIDATED).read_text())
        written["metadata"] = {
            key: value for key, value in written["metadata"].items() if gone.isdisjoint(_parents(key))
        }
        (new / CONSOLIDATED).write_text(json.dumps(written))
    store.rename(old)
    new.rename(store)
    shutil.rmtree(old)
    manifest = json.loads((folder / MANIFEST).read_text())
    left = {"dropped": dropped, "kept_digest": digest(folder)}
    write_atomically(folder / MANIFEST, json.dumps({**manifest, **left}, indent=2) + "\n")


def _parents(key: str) -> set[str]:
    """The group and the array that a key of the consolidated metadata belongs to."""
    parts = key.split("/")
    return {"/".join(parts[:count]) for count in range(1, len(parts))}
