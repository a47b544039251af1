"""A run's folder: opening it, and the digest of what it holds.

results.zarr    an xarray.DataTree: a group per federate with the dimensions `time` and the ports' coordinates,
each variable with `units` and `long_name`; a group `coupling` with the boundary mismatch
manifest.json   scenario and hash, inputs' hashes, versions, seed, timings, machine, `digest` of the results
verdict.json    whether the run can be trusted, check by check
baseline/       the same of the twin, if there was one
half_step/      the same of the run with half the event window's step, if there was one
report.html     to look at
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cosim.errors import ResultsError
from cosim.federation import Federation
from cosim.stored_arrays import arrays

if TYPE_CHECKING:
    import xarray

RESULTS = "results.zarr"
COUPLING = "coupling"  #: the group of the boundary mismatch
DISTURBING = "perturbations"  #: the group of what disturbs the grid
MANIFEST = "manifest.json"
VERDICT = "verdict.json"
BASELINE = "baseline"
HALF_STEP = "half_step"
REPORT = "report.html"


def group_attributes(federation: Federation) -> dict[str, Any]:
    """What the store's root says of itself."""
    return {"scenario": federation.scenario, "seed": federation.seed, "start": federation.start.isoformat()}


def describe_time(federation: Federation) -> dict[str, Any]:
    """The attributes of a time coordinate in [ns] since the start."""
    return {
        "units": f"nanoseconds since {federation.start.isoformat(sep=' ')}",
        "calendar": "proleptic_gregorian",
        "long_name": "local standard time",
    }


def open_tree(folder: Path) -> xarray.DataTree:
    """A run's results, lazily. Raises ResultsError if there are none or they cannot be read."""
    import xarray

    path = folder / RESULTS
    if not path.is_dir():
        raise ResultsError(f"there are no results in {folder}; name the folder of a run")
    try:
        return xarray.open_datatree(path, engine="zarr", consolidated=False)
    except Exception as error:  # zarr and xarray raise many kinds
        raise ResultsError(f"the results in {folder} cannot be read ({error}); run the scenario again") from error


def read_json(folder: Path, name: str) -> dict[str, Any]:
    """A JSON file of a run's folder. Raises ResultsError."""
    try:
        return json.loads((folder / name).read_text())  # type: ignore[no-any-return]
    except FileNotFoundError:
        raise ResultsError(f"there is no {name} in {folder}; name the folder of a run") from None
    except json.JSONDecodeError as error:
        raise ResultsError(f"{folder / name} is damaged: {error}") from None


def digest(folder: Path) -> str:
    """SHA-256 over every recorded array, with its name, type, shape and bytes; the same for equal results.

    Raises ResultsError if one is damaged.
    """
    total = hashlib.sha256()
    for path, array in arrays(folder / RESULTS).items():
        values = array[...]
        total.update(f"{path}\0{values.dtype.str}\0{values.shape}\0".encode())
        total.update(values)
    return total.hexdigest()
