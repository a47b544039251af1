"""Dropping what a batch does not keep of a run, once verdict, figures and report are made."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from cosim.batch_folder import write_atomically
from cosim.engine.recorder import DIMENSIONS
from cosim.results import MANIFEST, RESULTS
from cosim.simulation import Run


def is_kept(key: str, patterns: Iterable[str]) -> bool:
    """Whether the output `federate.port` is kept."""
    return any(fnmatchcase(key, pattern) for pattern in patterns)


def keep_only(run: Run, patterns: Sequence[str]) -> None:
    """Drop every output of the run and its twin that no pattern names; labels and times go with the last output.

    The manifest says under `dropped` what is gone; its `digest` stays that of the full results, so that runs can
    still be held against each other. The store is replaced whole. Raises OSError.
    """
    for one in (run, run.baseline):
        if one is not None and (one.folder / RESULTS).is_dir():
            _keep_only(one.folder, patterns)


def _keep_only(folder: Path, patterns: Sequence[str]) -> None:
    import zarr

    store, new, old = (folder / name for name in (RESULTS, f".{RESULTS}.new", f".{RESULTS}.old"))
    shutil.rmtree(new, ignore_errors=True)
    shutil.copytree(store, new, copy_function=os.link)
    (new / ".zmetadata").unlink(missing_ok=True)
    root = zarr.open_group(str(new), mode="r+", zarr_format=2, use_consolidated=False)
    dropped = [key for name, group in sorted(root.groups()) for key in _thin(root, name, group, patterns)]
    zarr.consolidate_metadata(root.store)
    store.rename(old)
    new.rename(store)
    shutil.rmtree(old)
    manifest = json.loads((folder / MANIFEST).read_text())
    write_atomically(folder / MANIFEST, json.dumps({**manifest, "dropped": dropped}, indent=2) + "\n")


def _thin(root: Any, name: str, group: Any, patterns: Sequence[str]) -> list[str]:
    """Remove what is not kept from one federate's group, and the group if nothing is left; what was removed."""
    arrays = dict(group.arrays())
    recorded = [key for key, array in arrays.items() if key != "time" and array.attrs[DIMENSIONS][0] == "time"]
    gone = [key for key in recorded if not is_kept(f"{name}.{key}", patterns)]
    if len(gone) == len(recorded):
        del root[name]
    else:
        dimensions = {d for key in recorded if key not in gone for d in arrays[key].attrs[DIMENSIONS]}
        for key in arrays:
            if key in gone or (key not in recorded and key not in dimensions):
                del group[key]
    return [f"{name}.{key}" for key in sorted(gone)]
