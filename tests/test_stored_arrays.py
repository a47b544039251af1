"""Stored arrays are those that Zarr itself and xarray read and write, and what is damaged is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray
import zarr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from written_runs import Written, constant, out

from cosim.errors import ResultsError
from cosim.stored_arrays import (
    CONSOLIDATED,
    DIMENSIONS,
    ArrayWriter,
    StoredArray,
    arrays,
    consolidate,
    create_group,
    write_array,
)

TYPES = st.sampled_from([np.dtype("<f8"), np.dtype("<c16"), np.dtype("<i8"), np.dtype("<U3")])


@given(values=TYPES.flatmap(lambda dtype: arrays_of.arrays(dtype, arrays_of.array_shapes(max_dims=3, min_side=0))))
def test_zarr_reads_what_is_written(tmp_path_factory: pytest.TempPathFactory, values: np.ndarray) -> None:
    store = tmp_path_factory.mktemp("store")
    create_group(store / "g")
    write_array(store / "g" / "a", values, {DIMENSIONS: [f"d{n}" for n in range(values.ndim)]})
    read = zarr.open_group(str(store / "g"), mode="r", use_consolidated=False)["a"]
    assert (read.shape, read.dtype) == (values.shape, values.dtype)
    assert read[...].tobytes() == values.tobytes()
    assert StoredArray(store / "g" / "a")[...].tobytes() == values.tobytes()


@given(rows=st.integers(1, 9), chunk=st.integers(1, 4), low=st.integers(-10, 10), high=st.integers(-10, 10))
def test_a_slice_reads_as_of_the_array(
    tmp_path_factory: pytest.TempPathFactory, rows: int, chunk: int, low: int, high: int
) -> None:
    values = np.random.default_rng(rows).normal(size=(rows, 3))
    path = tmp_path_factory.mktemp("store") / "a"
    writer = ArrayWriter(path, values.dtype, (3,), chunk, {})
    for first in range(0, rows, chunk):
        writer.write(first, values[first : first + chunk])
    writer.set_length(rows)
    stored = StoredArray(path)
    for key in (slice(low, high), (slice(low, high), 1), slice(None, None, 2), 0, (..., 2), (slice(low, None), [0, 2])):
        assert np.array_equal(stored[key], values[key])
    assert np.array_equal(zarr.open_array(str(path), mode="r")[...], values)


def test_a_chunk_that_zarr_wrote_is_read(tmp_path: Path) -> None:
    values = np.arange(10.0).reshape(5, 2)
    theirs = zarr.create_array(str(tmp_path / "a"), shape=(5, 2), chunks=(2, 2), dtype="f8", zarr_format=2)
    theirs[...] = values
    assert np.array_equal(StoredArray(tmp_path / "a")[1:], values[1:])


def test_what_was_not_counted_is_not_there(tmp_path: Path) -> None:
    """As a crash between the chunks and the length of an array leaves it."""
    writer = ArrayWriter(tmp_path / "a", np.dtype(float), (), 2, {})
    writer.write(0, np.ones(2))
    writer.set_length(2)
    writer.write(2, np.ones(2))
    assert StoredArray(tmp_path / "a")[...].tolist() == [1.0, 1.0]
    writer.drop_rest()
    assert not (tmp_path / "a" / "1").exists()


@pytest.fixture
def store(tmp_path: Path) -> Path:
    power = (out("power", "MVA", is_complex=True, node=("a", "b")), np.tile(constant(5.0 + 1j)[:, None], (1, 2)))
    Written({"suburb": [power], "weather": [(out("temperature", "degC"), constant(0.0))]}).write(tmp_path / "run")
    return tmp_path / "run" / "results.zarr"


@pytest.mark.parametrize("consolidated", [True, False])
def test_xarray_opens_a_run_with_and_without_consolidated_metadata(store: Path, consolidated: bool) -> None:
    opened = xarray.open_zarr(store, group="suburb", consolidated=False)
    tree: Any = xarray.open_datatree(store, engine="zarr", consolidated=consolidated)
    assert tree["suburb"].to_dataset().identical(opened.load())
    for name, array in arrays(store / "suburb").items():
        if name != "time":
            assert np.array_equal(opened[name].values, array[...])
    assert (tree["weather"]["temperature"].values == 0.0).all()
    assert tree.attrs["scenario"] == "written"


def test_a_missing_chunk_is_no_zeros(store: Path) -> None:
    (store / "weather" / "temperature" / "0").unlink()
    with pytest.raises(ResultsError, match=r"weather/temperature/0 is missing; run the scenario again"):
        _ = arrays(store / "weather")["temperature"][...]


@pytest.mark.parametrize("name", ["power/0.0", "power/.zarray", "power/.zattrs"])
def test_what_is_cut_short_is_named(store: Path, name: str) -> None:
    path = store / "suburb" / name
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(ResultsError, match=rf"suburb/{name} is damaged .*; run the scenario again"):
        _ = (StoredArray(path.parent).attributes, StoredArray(path.parent)[...])


def test_consolidated_metadata_are_those_of_zarr(store: Path) -> None:
    ours = (store / CONSOLIDATED).read_text()
    consolidate(store)
    assert (store / CONSOLIDATED).read_text() == ours
    theirs = zarr.open_consolidated(str(store), zarr_format=2)
    assert {path for path, _ in theirs.members(max_depth=None)} >= {"suburb", "suburb/power", "weather/temperature"}
