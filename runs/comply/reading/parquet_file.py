"""Traces from Parquet: as CSV; a file with a row group for each DER is read one DER at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from cosim.errors import Fault, ScenarioError
from runs.comply.reading.columns import KNOWN, assemble, doubles, portion, split_wide
from runs.comply.reading.csv_file import numbers, traces_of_frame
from runs.comply.trace import Array, Trace


class ParquetSource:
    """A Parquet file."""

    zero = ""

    def __init__(self, place: Path) -> None:
        """Open the file and find its DER. Raises ScenarioError."""
        self.place = place
        file = self._open()
        self._groups = _group_of_each(file)
        self._wide = split_wide(file.schema_arrow.names) if not self._groups else {}
        self._frames: dict[str, dict[str, Any]] = {}
        if self._groups:
            self.names: tuple[str, ...] = tuple(self._groups)
        elif self._wide:
            self.names = tuple(self._wide)
        else:
            self._frames = traces_of_frame(file.read().to_pandas(), str(place), place.stem)
            self.names = tuple(self._frames)

    def _open(self) -> Any:
        try:
            from pyarrow import ArrowInvalid, parquet
        except ImportError:
            raise ScenarioError(
                [Fault(str(self.place), "Parquet needs pyarrow.", "Install it: pip install 'cosim[comply]'.")]
            ) from None
        try:
            return parquet.ParquetFile(self.place, memory_map=True)
        except (ArrowInvalid, OSError) as error:
            raise ScenarioError([Fault(str(self.place), f"is not readable as Parquet: {error}.")]) from None

    def traces(self, share: tuple[int, int]) -> Iterator[Trace]:
        file = self._open()
        good: Array | None = None
        for name in portion(self.names, share):
            where = str(self.place) if len(self.names) == 1 else f"{self.place}, {name}"
            columns = self._columns(file, name, where)
            if good is not None and "time_s" in columns and np.array_equal(columns["time_s"], good):
                columns["time_s"] = good
            trace = assemble(name, columns, where, checked_time=good)
            good = trace.time
            yield trace

    def _columns(self, file: Any, name: str, where: str) -> dict[str, Array]:
        if self._groups:
            wanted = [key for key in file.schema_arrow.names if key in KNOWN]
            table = file.read_row_groups(self._groups[name], columns=wanted, use_threads=False)
            return {key: _array(table.column(key), key, where) for key in wanted}
        if self._wide:
            columns = self._wide[name]
            table = file.read(columns=list(columns.values()), use_threads=False)
            return {key: _array(table.column(column), key, where) for key, column in columns.items()}
        return {key: numbers(series, key, where) for key, series in self._frames[name].items()}


def _array(column: Any, name: str, place: str) -> Array:
    import pyarrow

    kind = column.type
    if pyarrow.types.is_floating(kind) or pyarrow.types.is_integer(kind):
        return doubles(column.combine_chunks().to_numpy(zero_copy_only=False))
    return numbers(column.to_pandas(), name, place)


def _group_of_each(file: Any) -> dict[str, list[int]]:
    """DER -> its row groups, by the statistics of column `der`; none if a row group holds several DER."""
    names = file.schema_arrow.names
    if "der" not in names:
        return {}
    column = names.index("der")
    groups: dict[str, list[int]] = {}
    for index in range(file.metadata.num_row_groups):
        statistics = file.metadata.row_group(index).column(column).statistics
        if statistics is None or not statistics.has_min_max or statistics.min != statistics.max:
            return {}
        groups.setdefault(str(statistics.min), []).append(index)
    return groups
