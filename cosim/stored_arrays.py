"""The arrays of a run's Zarr store, written and read file by file.

The store is an ordinary one of Zarr's format 2 (https://zarr-specs.readthedocs.io/en/latest/v2/v2.0.html), which Zarr
and xarray open as any other. Zarr's own package takes each chunk and each attribute through an event loop and a pool
of threads; for the many small arrays of a run that cost more processor time than all else that its supervisor does.

Unlike there, a chunk that is missing is an error here and no zeros: all are written, so someone has removed it.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from cosim.contract import Array
from cosim.errors import ResultsError

GROUP, ARRAY, ATTRIBUTES, CONSOLIDATED = ".zgroup", ".zarray", ".zattrs", ".zmetadata"
DIMENSIONS = "_ARRAY_DIMENSIONS"  #: the attribute in which xarray looks for the names of an array's dimensions

#: Zarr's default for format 2.
_COMPRESSOR = {"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1, "blocksize": 0}

_AGAIN = "run the scenario again"


# ------------------------------------------------------------------------------------- writing


def create_group(path: Path, attributes: Mapping[str, Any] | None = None) -> None:
    """Make an empty group, in place of what was there. Raises OSError."""
    if path.exists():
        shutil.rmtree(path)
    path.mkdir(parents=True)
    _write(path / ATTRIBUTES, attributes or {})
    _write(path / GROUP, {"zarr_format": 2})


def write_array(path: Path, values: Array, attributes: Mapping[str, Any]) -> None:
    """Store an array whole. Raises OSError."""
    writer = ArrayWriter(path, values.dtype, values.shape[1:], max(1, len(values)), attributes)
    writer.write(0, values)
    writer.set_length(len(values))


def consolidate(path: Path) -> None:
    """Write all metadata below the group `path` into one file too, which remote readers want. Raises OSError."""
    found = [entry for name in (GROUP, ARRAY, ATTRIBUTES) for entry in path.rglob(name)]
    metadata = {entry.relative_to(path).as_posix(): json.loads(entry.read_bytes()) for entry in sorted(found)}
    _write(path / CONSOLIDATED, {"zarr_consolidated_format": 1, "metadata": metadata})


class ArrayWriter:
    """Stores an array in chunks along its first axis; what is stored counts once its length is set."""

    def __init__(
        self, path: Path, dtype: np.dtype[Any], row: tuple[int, ...], chunk: int, attributes: Mapping[str, Any]
    ) -> None:
        """Make an empty array of rows of shape `row`, `chunk` of them to a chunk. Raises OSError."""
        self.path, self.dtype, self.row, self.chunk, self.length = path, dtype, row, chunk, 0
        self._compressor = _codec(_COMPRESSOR)
        path.mkdir(parents=True)  # a name may have a slash
        _write(path / ATTRIBUTES, attributes)
        self.set_length(0)

    def write(self, first: int, rows: Array) -> None:
        """Store rows from `first` on, a multiple of `chunk`; the last chunk may be incomplete. Raises OSError."""
        if not math.prod(self.row):
            return
        for start in range(0, len(rows), self.chunk):
            part = rows[start : start + self.chunk]
            whole = np.zeros((self.chunk, *self.row), dtype=self.dtype)
            whole[: len(part)] = part
            self._path_of((first + start) // self.chunk).write_bytes(self._compressor.encode(whole))

    def set_length(self, length: int) -> None:
        """Say that so many rows are stored. Raises OSError."""
        metadata = {
            "shape": [length, *self.row],
            "chunks": [self.chunk, *(max(1, count) for count in self.row)],
            "dtype": self.dtype.str,
            "fill_value": None,  # any other would turn equal data, such as the time 0, into missing values
            "order": "C",
            "filters": None,
            "dimension_separator": ".",
            "compressor": _COMPRESSOR,
            "zarr_format": 2,
        }
        partial = self.path / f"{ARRAY}.partial"  # a half of it, on a full disk, would cost the whole array
        _write(partial, metadata)
        partial.replace(self.path / ARRAY)
        self.length = length

    def drop_rest(self) -> None:
        """Remove chunks beyond the length, and what of the metadata a full disk cut short. Raises OSError."""
        (self.path / f"{ARRAY}.partial").unlink(missing_ok=True)
        number = -(-self.length // self.chunk)
        while (path := self._path_of(number)).exists():
            path.unlink()
            number += 1

    def _path_of(self, number: int) -> Path:
        return self.path / _chunk_name(number, 1 + len(self.row))


def _chunk_name(number: int, dimensions: int) -> str:
    return ".".join([str(number), *["0"] * (dimensions - 1)])


def _write(path: Path, metadata: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(metadata, indent=2))


# ------------------------------------------------------------------------------------- reading


class StoredArray:
    """An array in a store, read when indexed."""

    def __init__(self, path: Path) -> None:
        """Read its metadata. Raises ResultsError."""
        self.path = path
        metadata = _read(path / ARRAY)
        try:
            self.shape: tuple[int, ...] = tuple(metadata["shape"])
            self.chunks: tuple[int, ...] = tuple(metadata["chunks"])
            self.dtype: np.dtype[Any] = np.dtype(metadata["dtype"])
            self._compressor = metadata["compressor"]
        except (KeyError, TypeError) as error:
            raise ResultsError(f"{path / ARRAY} is damaged ({error}); {_AGAIN}") from None
        if any(chunk < count for chunk, count in zip(self.chunks[1:], self.shape[1:], strict=True)):
            raise ResultsError(f"{path} was not written by a run: its rows are in several chunks; open it with xarray")

    @cached_property
    def attributes(self) -> dict[str, Any]:
        """Its attributes. Raises ResultsError."""
        return _read(self.path / ATTRIBUTES)

    @property
    def dimensions(self) -> tuple[str, ...]:
        """The names of its dimensions. Raises ResultsError."""
        return tuple(self.attributes[DIMENSIONS])

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> Any:
        """As of a NumPy array; only chunks that a slice along the first axis needs are read. Raises ResultsError."""
        first, *rest = key if isinstance(key, tuple) else (key,)
        if not isinstance(first, slice) or first.step not in (None, 1):
            return self._rows(0, len(self))[key]
        start, stop, _ = first.indices(len(self))
        return self._rows(start, max(start, stop))[(slice(None), *rest)]

    def _rows(self, start: int, stop: int) -> Array:
        """Rows from `start` to before `stop`."""
        found = np.empty((stop - start, *self.shape[1:]), dtype=self.dtype)
        chunk = self.chunks[0]
        if found.size:
            for number in range(start // chunk, -(-stop // chunk)):
                rows = self._chunk(number)
                low, high = max(start, number * chunk), min(stop, (number + 1) * chunk)
                found[low - start : high - start] = rows[low - number * chunk : high - number * chunk]
        return found

    def _chunk(self, number: int) -> Array:
        path = self.path / _chunk_name(number, self.ndim)
        try:
            stored = path.read_bytes()
            data = stored if self._compressor is None else _codec(self._compressor).decode(stored)
            chunk = np.frombuffer(data, dtype=self.dtype).reshape(self.chunks)
        except FileNotFoundError:
            raise ResultsError(f"{path} is missing; {_AGAIN}") from None
        except OSError as error:
            raise ResultsError(f"{path} cannot be read ({error.strerror})") from None
        except (RuntimeError, ValueError) as error:
            raise ResultsError(f"{path} is damaged ({error}); {_AGAIN}") from None
        return chunk[(slice(None), *(slice(count) for count in self.shape[1:]))]


def _codec(settings: Mapping[str, Any]) -> Any:
    from numcodecs import get_codec  # type: ignore[import-untyped]

    return get_codec(dict(settings))


def groups(store: Path) -> list[str]:
    """The names of the groups in a store."""
    return sorted(path.parent.name for path in store.glob(f"*/{GROUP}"))


def arrays(group: Path, *names: str) -> dict[str, StoredArray]:
    """The arrays below a group by their path in it, in order; if `names` are given, those of them that are there.

    Raises ResultsError.
    """
    found = names or sorted(path.parent.relative_to(group).as_posix() for path in group.rglob(ARRAY))
    return {name: StoredArray(group / name) for name in found if (group / name / ARRAY).exists()}


def group_attributes(group: Path) -> dict[str, Any]:
    """The attributes of a group. Raises ResultsError."""
    return _read(group / ATTRIBUTES)


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_bytes())  # type: ignore[no-any-return]
    except FileNotFoundError:
        raise ResultsError(f"{path} is missing; {_AGAIN}") from None
    except OSError as error:
        raise ResultsError(f"{path} cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise ResultsError(f"{path} is damaged ({error}); {_AGAIN}") from None
