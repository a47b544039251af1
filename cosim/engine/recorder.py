"""Turns the journals of a running federation into a Zarr store, chunk by chunk.

The store is one `xarray.DataTree`: a group per federate, and a group `coupling` with the boundary mismatch
and the number of rounds. What the store looks like is in `cosim/results.py`; this is the writing side.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cosim.contract import Time
from cosim.engine.files import ROUNDS
from cosim.engine.journal import Column, JournalReader
from cosim.federation import Federation
from cosim.results import COUPLING, RESULTS, describe_time, group_attributes
from cosim.stored_arrays import DIMENSIONS, ArrayWriter, StoredArray, consolidate, create_group, write_array

#: [B] of all of a federate's arrays together at most; a chunk that is full is written while the run goes on.
CHUNK_SIZE = 32 * 2**20


@dataclass
class _Group:
    """The store's group of one federate."""

    reader: JournalReader
    columns: list[Column] = field(default_factory=list)
    arrays: dict[str, ArrayWriter] = field(default_factory=dict)
    rows: int = 0
    chunk: int = 1  #: rows in a chunk

    def limit(self) -> None:
        """Hold a chunk of all arrays to what memory bears: at millisecond steps hours are too many rows."""
        self.chunk = min(self.chunk, max(1, CHUNK_SIZE // self.reader.row_size))

    def stored(self, name: str) -> Any:
        """All that is stored of an array."""
        return StoredArray(self.arrays[name].path)[...]


class Recorder:
    """Writes one run's store."""

    def __init__(self, scratch: Path, folder: Path, federation: Federation) -> None:
        """Begin an empty store in `folder`. Raises OSError."""
        self.federation = federation
        self._store = folder / RESULTS
        create_group(self._store, group_attributes(federation))
        self._groups = {
            spec.name: _Group(JournalReader(scratch, spec.name), chunk=federation.rows_per_chunk(spec))
            for spec in federation.federates
        }

    def take_full_chunks(self) -> None:
        """Store every chunk that is complete."""
        for name, group in self._groups.items():
            if group.reader.pending():
                group.limit()
            while group.reader.pending() >= group.chunk:
                self._append(name, group, group.reader.next_rows(group.chunk))
                group.reader.took(group.chunk)

    def finish(self) -> None:
        """Store the rest, and what follows from all of it, once all federates have ended. Raises OSError.

        The journals go first: on a full disk they make room for what they held.
        """
        rest = {
            name: group.reader.next_rows(count)
            for name, group in self._groups.items()
            if (count := group.reader.pending())
        }
        for group in self._groups.values():
            group.reader.remove()
        full: OSError | None = None
        for name, rows in rest.items():
            try:
                group = self._groups[name]
                group.limit()
                for first in range(0, rows.size, group.chunk):
                    self._append(name, group, rows[first : first + group.chunk])
            except OSError as error:
                full = error
        if full is not None:
            raise full
        self._write_coupling()
        consolidate(self._store)

    def steps(self) -> dict[str, int]:
        """How many steps of each federate are stored."""
        return {name: group.rows for name, group in self._groups.items()}

    def reached(self) -> dict[str, Time]:
        """The time [ns] of the last step of each federate that is stored."""
        return {name: int(group.stored("time")[-1]) for name, group in self._groups.items() if group.rows}

    def _append(self, name: str, group: _Group, rows: np.ndarray[Any, Any]) -> None:
        """Store rows after those stored before; what an earlier try left half done is written over."""
        if not group.arrays:
            self._create(name, group)
        end = group.rows + rows.size
        for key, array in group.arrays.items():
            array.write(group.rows, rows[key])
        for array in group.arrays.values():
            array.set_length(end)
        group.rows = end

    def mend(self) -> None:
        """Take back what could be stored in part only. Raises OSError."""
        for name, group in self._groups.items():
            if group.rows == 0:
                shutil.rmtree(self._store / name, ignore_errors=True)
                continue
            for array in group.arrays.values():
                if array.length != group.rows:
                    array.set_length(group.rows)
                array.drop_rest()

    def _create(self, name: str, group: _Group) -> None:
        group.columns = group.reader.columns
        target = self._store / name
        create_group(target)
        arrays = {"time": ArrayWriter(target / "time", np.dtype(np.int64), (), group.chunk, self._attributes_of_time())}
        labels: dict[str, tuple[str, ...]] = {}
        for column in group.columns:
            attributes: dict[str, Any] = {"units": column.unit, "long_name": column.title, **column.stated}
            own = _dimensions(column, labels)
            attributes[DIMENSIONS] = ["time", *own]
            arrays[column.name] = ArrayWriter(target / column.name, column.dtype, column.shape, group.chunk, attributes)
            labels |= own
        for dimension, names in labels.items():
            values = np.array(names, dtype=f"U{max(map(len, names), default=1) or 1}")
            write_array(target / dimension, values, {"long_name": dimension, DIMENSIONS: [dimension]})
        group.arrays = arrays

    def _attributes_of_time(self) -> dict[str, Any]:
        return describe_time(self.federation) | {DIMENSIONS: ["time"]}

    def _write_coupling(self) -> None:
        """The mismatch of each boundary link: what the destination used against what then held at the source.

        All share one time axis; a link has NaN at times at which not both of its ends solved.
        """
        found: list[tuple[str, Any, Any, dict[str, Any]]] = []  # name, times, values, attributes
        for link in self.federation.links:
            if link.tolerance is None:
                continue
            source, destination = self._groups[link.source.federate], self._groups[link.destination.federate]
            column = next((c for c in destination.columns if c.link == link.key), None)
            if column is None or link.source.port not in source.arrays:
                continue
            mismatch, times = self._mismatch(link, source, destination, column)
            attributes = {
                "units": column.unit,
                "long_name": f"largest boundary mismatch of {link.source} as used by {link.destination.federate}",
                "tolerance": link.tolerance,
                "lagged": link.lagged,
            }
            found.append((link.key, times, mismatch, attributes))
        leaders = [name for name, group in self._groups.items() if ROUNDS in group.arrays]
        for name in leaders:
            group = self._groups[name]
            attributes = {"units": "1", "long_name": f"rounds until the coupling led by {name} agreed"}
            key = "rounds" if len(leaders) == 1 else f"rounds {name}"
            found.append((key, group.stored("time"), group.stored(ROUNDS), attributes))
        found = [entry for entry in found if entry[1].size]
        target = self._store / COUPLING
        create_group(target)
        if found:
            axis = np.unique(np.concatenate([times for _, times, _, _ in found]))
            write_array(target / "time", axis, self._attributes_of_time())
            for name, times, values, attributes in found:
                spread = np.full(axis.size, np.nan)
                spread[np.searchsorted(axis, times)] = values
                write_array(target / name, spread, attributes | {DIMENSIONS: ["time"]})

    def _mismatch(self, link: Any, source: _Group, destination: _Group, column: Column) -> tuple[Any, Any]:
        spec = next(c for c in source.columns if c.name == link.source.port)
        index = (
            () if link.source.label is None else (list(next(iter(spec.coordinates.values()))).index(link.source.label),)
        )
        at_source, at_destination = source.stored("time"), destination.stored("time")
        times = np.intersect1d(at_source, at_destination)
        held = source.stored(link.source.port)[np.isin(at_source, times)]
        used = destination.stored(column.name)[np.isin(at_destination, times)]
        difference = np.abs(link.gain * (held[(slice(None), *index)] - used))
        return difference.reshape(times.size, -1).max(axis=1) if times.size else np.zeros(0), times


def _dimensions(column: Column, known: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """The labels of a column's dimensions by name; one that is `known` with other labels has a name of its own."""
    return {
        name if known.get(name, tuple(labels)) == tuple(labels) else f"{name} of {column.name}": tuple(labels)
        for name, labels in column.coordinates.items()
    }
