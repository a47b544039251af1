"""The results of all runs of a batch as one xarray object, opened lazily with Dask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cosim.batch_folder import PARAMETER, run_folder
from cosim.errors import ResultsError
from cosim.registry import unknown
from cosim.results import BASELINE, RESULTS
from cosim.stored_arrays import DIMENSIONS, StoredArray, arrays, group_attributes, groups

if TYPE_CHECKING:
    import xarray

    from cosim.batch_folder import Batch

RUN = "run"
BLOCK = 16_000_000  #: [B] of a Dask block


def joined(batch: Batch, what: str, *, baseline: bool, elapsed: bool) -> Any:
    """See `Batch.results`."""
    group, _, port = what.partition(".")
    opened = _opened(batch, group, port, baseline=baseline, elapsed=elapsed)
    _check_units(opened)
    names = list(dict.fromkeys(str(name) for dataset in opened.values() for name in dataset.data_vars))
    whole = _stacked(batch, opened, names)
    return whole[port] if port else whole


def bands(
    batch: Batch, what: str, shares: Sequence[float], *, by: str | None, baseline: bool, elapsed: bool
) -> xarray.DataArray:
    """See `Batch.quantiles`."""
    import xarray

    if "." not in what:
        raise ResultsError(f"quantiles are of one output, as `{what}.power`")
    array = joined(batch, what, baseline=baseline, elapsed=elapsed)
    array = array.isel({RUN: np.flatnonzero(array.coords["recorded"].to_numpy())})
    attributes = array.attrs
    array = (array.real if np.iscomplexobj(array) else array).chunk({RUN: -1})
    if by is None:
        return _quantiles(array, shares).assign_attrs(attributes)
    on_runs = [str(name) for name, coordinate in array.coords.items() if coordinate.dims == (RUN,)]
    if by not in on_runs:
        raise ResultsError(unknown("parameter", by, on_runs))
    of_run = array.coords[by].to_series().reset_index(drop=True).dropna()
    values = sorted(of_run.unique())
    parts = [_quantiles(array.isel({RUN: of_run.index[of_run == value].to_numpy()}), shares) for value in values]
    found = xarray.concat(parts, dim=by, join="exact", coords="minimal", compat="override")
    return found.assign_coords({by: values}).assign_attrs(attributes)


def _quantiles(array: xarray.DataArray, shares: Sequence[float]) -> xarray.DataArray:
    """Quantiles over the runs, (quantile, ...), lazily."""
    import xarray

    found = xarray.apply_ufunc(
        quantiles_over_last,
        array,
        kwargs={"shares": tuple(shares)},
        input_core_dims=[[RUN]],
        output_core_dims=[["quantile"]],
        dask="parallelized",
        output_dtypes=[float],
        dask_gufunc_kwargs={"output_sizes": {"quantile": len(shares)}},
    )
    return found.transpose("quantile", ...).assign_coords(quantile=list(shares))  # type: ignore[no-any-return]


def quantiles_over_last(values: Any, shares: Sequence[float]) -> Any:
    """Quantiles (..., share) over the last axis of `values`, interpolated linearly; NaN is left out, without warning.

    As `numpy.nanquantile`, which warns where everything is NaN.
    """
    ordered = np.sort(np.asarray(values, dtype=float), axis=-1)  # NaN at the end
    count = np.isfinite(ordered).sum(axis=-1, keepdims=True)
    place = np.asarray(shares) * np.maximum(count - 1, 0)
    low, high = np.floor(place).astype(int), np.ceil(place).astype(int)
    below, above = (np.take_along_axis(ordered, index, axis=-1) for index in (low, high))
    return np.where(count > 0, below + (above - below) * (place - low), np.nan)


def _opened(batch: Batch, group: str, port: str, *, baseline: bool, elapsed: bool) -> dict[str, xarray.Dataset]:
    """The datasets of all runs that recorded the federate (and its output), by run. Raises ResultsError."""
    opened: dict[str, xarray.Dataset] = {}
    folders = {run: run_folder(batch.folder, run) / (BASELINE if baseline else "") for run in batch.runs}
    for run, folder in folders.items():
        dataset = _open(folder, group, port, elapsed=elapsed)
        if dataset is not None:
            opened[run] = dataset
    if not opened:
        whose = "undisturbed twin" if baseline else "run"
        what = f"{group}.{port}" if port else group
        known = {name for folder in folders.values() for name in _known(folder / RESULTS, whole=not port)}
        if not known:
            raise ResultsError(f"no {whose} in {batch.folder} has stored results; see `keep` of the batch")
        raise ResultsError(f"no {whose} has it: {unknown('output', what, known, str(batch.folder))}")
    return opened


def _open(folder: Path, group: str, port: str, *, elapsed: bool) -> xarray.Dataset | None:
    """A federate's results of one run, or one output of it, lazily; None if there are none.

    Read with `cosim.stored_arrays`: of 60 outputs a run in a fifth of the processor time that xarray's own way takes.
    """
    import xarray

    path = folder / RESULTS / group
    stored = arrays(path, *(("time", port) if port else ()))
    if "time" not in stored or (port and port not in stored):
        return None
    start = group_attributes(folder / RESULTS)["start"]
    coordinates: dict[str, Any] = {"time": _times(stored["time"][...], start, elapsed=elapsed)}
    variables = {}
    for name, array in stored.items():
        if name == "time" or array.dimensions[0] != "time":
            continue
        for dimension in array.dimensions[1:]:
            if dimension not in coordinates:
                coordinates[dimension] = StoredArray(path / dimension)[...]
        attributes = {key: value for key, value in array.attributes.items() if key != DIMENSIONS}
        variables[name] = (array.dimensions, _lazy(array), attributes)
    # a crash may have cut the last step short
    rows = min([len(coordinates["time"]), *(array.shape[0] for _, array, _ in variables.values())])
    coordinates["time"] = coordinates["time"][:rows]
    cut = {name: (dimensions, array[:rows], attributes) for name, (dimensions, array, attributes) in variables.items()}
    return xarray.Dataset(cut, coordinates)


def _lazy(array: StoredArray) -> Any:
    """A stored array as a Dask array in blocks of whole stored chunks."""
    import dask.array

    rows = max(1, array.chunks[0])
    row = max(1, int(np.prod(array.shape[1:])) * array.dtype.itemsize)
    blocks = max(1, BLOCK // (row * rows)) * rows
    chunks = (blocks, *array.shape[1:])
    return dask.array.from_array(array, chunks, name=False, inline_array=True)  # type: ignore[no-untyped-call]


def _times(times: Any, start: str, *, elapsed: bool) -> Any:
    """Local standard time, or the time since the start, of [ns] since the start."""
    since = times.astype("timedelta64[ns]")
    return since if elapsed else np.datetime64(start, "ns") + since


def _known(store: Path, *, whole: bool) -> set[str]:
    """The federates, or the outputs as `federate.port`, that a run has stored."""
    if whole:
        return set(groups(store))
    return {f"{group}.{name}" for group in groups(store) for name in arrays(store / group) if name != "time"}


def _check_units(opened: Mapping[str, xarray.Dataset]) -> None:
    """Raise ResultsError where two runs recorded a variable in different units."""
    seen: dict[str, tuple[str, str]] = {}
    for run, dataset in opened.items():
        for name, array in dataset.data_vars.items():
            unit = str(array.attrs.get("units", ""))
            first, before = seen.setdefault(str(name), (run, unit))
            if before != unit:
                raise ResultsError(
                    f"'{name}' is in {before} in run {first} and in {unit} in run {run}; open them apart"
                )


def _stacked(batch: Batch, opened: Mapping[str, xarray.Dataset], names: Sequence[str]) -> xarray.Dataset:
    """One dataset over all runs of the batch, with the parameters on `run`."""
    import xarray

    axes = _axes(opened)
    aligned = []
    for dataset in opened.values():
        wanted = {name: axis for name, axis in axes.items() if not np.array_equal(axis, dataset.indexes[name])}
        aligned.append(dataset.reindex(wanted) if wanted else dataset)
    whole = xarray.concat(
        aligned,
        dim=RUN,
        data_vars="all",
        join="exact",
        coords="minimal",
        compat="override",
        combine_attrs="override",
    ).assign_coords({RUN: list(opened)})
    absent = [run for run in batch.runs if run not in opened]
    if absent:
        whole = whole.reindex({RUN: list(batch.runs)})
    for name in names:
        source = next(dataset for dataset in opened.values() if name in dataset)
        whole[name].attrs.update(source[name].attrs)
    recorded = np.isin(list(batch.runs), list(opened))
    return whole.assign_coords(_coordinates(batch, whole) | {"recorded": (RUN, recorded)})


def _axes(opened: Mapping[str, xarray.Dataset]) -> dict[str, Any]:
    """For each dimension the values that any run has: times in their order, labels as they first appear."""
    axes: dict[str, Any] = {}
    for dataset in opened.values():
        for name, index in dataset.indexes.items():
            key = str(name)
            if key not in axes:
                axes[key] = index.to_numpy()
            elif not np.array_equal(axes[key], index.to_numpy()):
                both = np.concatenate([axes[key], index.to_numpy()])
                axes[key] = np.unique(both) if key == "time" else np.array(list(dict.fromkeys(both.tolist())))
    return axes


def _coordinates(batch: Batch, whole: xarray.Dataset) -> dict[str, Any]:
    """Parameters, group, outcome and verdict of each run, under names that the dataset does not use yet."""
    table = batch.table.set_index("run").loc[list(whole[RUN].to_numpy())]
    columns = {"group": "group", "outcome": "outcome", "verdict": "verdict"}
    columns |= {name: PARAMETER + name for name in batch.parameters}
    units = table.attrs.get("units", {})
    found = {}
    for name, column in columns.items():
        free = name if name not in whole.variables and name not in whole.dims else column
        found[free] = (RUN, table[column].to_numpy(), {"units": units[column]} if units.get(column) else {})
    return found
