"""The journal: each federate's committed values, appended to a file as they arise.

A row is written whole with one system call, so a killed process loses nothing that it had committed. The
supervisor turns the rows into chunks of the Zarr store while the run goes on.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosim.contract import Port, Stock, Time
from cosim.port_statements import attributes_of
from cosim.stock_balance import STOCK, written

SYNCED_WITHIN = 1.0  #: [s] after which a crash-safe row is on the disk


@dataclass(frozen=True)
class Column:
    """One recorded quantity."""

    name: str
    unit: str
    title: str
    coordinates: Mapping[str, Sequence[str]]
    is_complex: bool
    stated: Mapping[str, Any] = field(default_factory=dict)  #: what the port and its stock state of its values
    link: str | None = None  #: the link whose used value this is; None for an output

    @classmethod
    def of_port(cls, port: Port, stock: Stock | None = None, more: Mapping[str, Any] | None = None) -> Column:
        """`more`: what else is stated of its values."""
        stated = attributes_of(port) | ({} if stock is None else {STOCK: written(stock)}) | dict(more or {})
        return cls(port.name, port.unit, port.title, port.coordinates, port.is_complex, stated)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(len(labels) for labels in self.coordinates.values())

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(np.complex128 if self.is_complex else np.float64)


def row_type(columns: Sequence[Column]) -> np.dtype[Any]:
    """The layout of a row: the time [ns], then each column's array."""
    return np.dtype([("time", np.int64), *((column.name, column.dtype, column.shape) for column in columns)])


class JournalWriter:
    """Appends rows for one federate."""

    def __init__(self, folder: Path, federate: str, columns: Sequence[Column], *, crash_safe: bool = False) -> None:
        """`crash_safe`: rows are on the disk itself a second after they were written."""
        self._synced = time.monotonic() if crash_safe else math.inf
        described = [{**vars(c), "coordinates": {k: list(v) for k, v in c.coordinates.items()}} for c in columns]
        partial = folder / f"{federate}.columns.partial"
        partial.write_text(json.dumps(described))
        row = np.zeros(row_type(columns).itemsize // 8)
        self._time, self._values, self._data = row[:1].view(np.int64), row[1:], row.data.cast("B")
        self._file = os.open(folder / f"{federate}.rows", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        partial.rename(folder / f"{federate}.columns.json")

    def append(self, at: Time, parts: Sequence[NDArray[np.float64]]) -> None:
        """Write one row, its numbers in parts that follow each other. Raises OSError where the disk is full."""
        self._time[0] = at
        np.concatenate(parts, out=self._values)
        data = self._data
        while data:  # a full disk shows as a short write first, then as an error
            data = data[os.write(self._file, data) :]
        if self._synced < math.inf and (now := time.monotonic()) - self._synced > SYNCED_WITHIN:
            os.fdatasync(self._file)
            self._synced = now

    def close(self) -> None:
        if self._synced < math.inf:
            os.fdatasync(self._file)
        os.close(self._file)


class JournalReader:
    """Reads the rows that one federate has written so far; whole rows only."""

    def __init__(self, folder: Path, federate: str) -> None:
        self._rows_path = folder / f"{federate}.rows"
        self._columns_path = folder / f"{federate}.columns.json"
        self._columns: list[Column] | None = None
        self._dtype: np.dtype[Any] | None = None
        self._read = 0

    @property
    def columns(self) -> list[Column]:
        """The columns; empty as long as the federate has not begun."""
        if self._columns is None:
            if not self._columns_path.exists():
                return []
            self._columns = [Column(**entry) for entry in json.loads(self._columns_path.read_text())]
        return self._columns

    @property
    def row_size(self) -> int:
        """Of one row [B]."""
        return self._row.itemsize

    def pending(self) -> int:
        """How many whole rows can be taken."""
        if not self.columns:
            return 0
        return self._rows_path.stat().st_size // self._row.itemsize - self._read

    def next_rows(self, count: int) -> np.ndarray[Any, Any]:
        """The next `count` rows; they stay pending until `took`."""
        return np.fromfile(self._rows_path, dtype=self._row, count=count, offset=self._read * self._row.itemsize)

    @property
    def _row(self) -> np.dtype[Any]:
        """The layout of a row, once it is known."""
        if self._dtype is None:
            self._dtype = row_type(self.columns)
        return self._dtype

    def took(self, count: int) -> None:
        """Note that the next `count` rows are stored."""
        self._read += count

    def remove(self) -> None:
        """Remove the journal; its federate has ended."""
        self._rows_path.unlink(missing_ok=True)
