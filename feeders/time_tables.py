"""Tables of measured quantities over time, read from plain CSV files.

The format is in `tables/weather/README.md`: comment lines, a header whose columns carry their units
in brackets, rows that are evenly spaced in local standard time.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Instants = NDArray[np.datetime64]

_MINUTE = "%Y-%m-%d %H:%M"


class TimeTableError(ValueError):
    """A table cannot be read, or does not hold what is asked of it."""


@dataclass(frozen=True)
class Column:
    """A column that a table may have: values outside `low` to `high` [unit] are refused as impossible."""

    name: str
    unit: str
    low: float
    high: float

    @property
    def header(self) -> str:
        """The column as the header names it."""
        return f"{self.name} [{self.unit}]"

    def check(self, values: Floats, where: str) -> None:
        """Raise TimeTableError at the first of `values` [unit] that is not a number or not possible."""
        wrong = np.flatnonzero(~((values >= self.low) & (values <= self.high)))
        if len(wrong):
            raise TimeTableError(
                f"{where}, data row {wrong[0] + 1}: {self.name} must be from {self.low:g} to {self.high:g} "
                f"[{self.unit}], got {values[wrong[0]]:g}. Correct the row, or convert the unit."
            )


@dataclass(frozen=True)
class TimeTable:
    """Quantities at the same instants: `time` (n) local standard time, each of `columns` (n)."""

    name: str
    time: Instants
    columns: Mapping[str, Floats]
    facts: Mapping[str, float] = field(default_factory=dict)  #: of the comment lines, such as "latitude"

    def at(self, column: str, instants: Instants) -> Floats:
        """`column` at `instants` (m), linear between rows; outside the rows, that of the nearest."""
        axis = self.time.astype("datetime64[ns]").astype(np.int64)
        return np.interp(instants.astype("datetime64[ns]").astype(np.int64), axis, self.columns[column])

    def require_span(self, start: datetime, duration: int, step: int) -> None:
        """Raise TimeTableError unless the rows reach from `start` to the last step before `duration` [ns]."""
        first, last = self.time[0].item(), self.time[-1].item()
        end = start + timedelta(microseconds=(duration - 1) // step * step / 1e3)
        if start < first or end > last:
            raise TimeTableError(
                f"'{self.name}' covers {first:{_MINUTE}} to {last:{_MINUTE}} (local standard time); "
                f"the scenario needs {start:{_MINUTE}} to {end:{_MINUTE}}. "
                "Move the scenario's start, shorten it, or give a longer table."
            )


def grid(start: datetime, duration: int, step: int) -> Instants:
    """The instants from `start` to the first multiple of `step` [ns] at or after `duration` [ns]."""
    count = -(-duration // step) + 1
    return np.datetime64(start, "ns") + np.arange(count, dtype=np.int64) * np.timedelta64(step, "ns")


def read_time_table(path: Path, columns: Sequence[Column], required: Sequence[str]) -> TimeTable:
    """Read the CSV table in `path`, which may have `columns` and must have those named in `required`.

    Raises TimeTableError if the file is missing, has an unknown column or another unit, a row that is
    not a number or out of the column's range, a time with a zone, or uneven rows.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = [line for line in file if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise TimeTableError(f"cannot read the table '{path}': {error}") from error
    comments = [line[1:] for line in lines if line.startswith("#")]
    rows = list(csv.reader(line for line in lines if not line.startswith("#")))
    if len(rows) < 3:
        raise TimeTableError(f"'{path.name}' has {max(len(rows) - 1, 0)} data rows; it needs two or more.")
    header, body = [cell.strip() for cell in rows[0]], rows[1:]
    chosen = _match_header(path.name, header, columns, required)
    ragged = next((number for number, row in enumerate(body, 1) if len(row) != len(header)), None)
    if ragged:
        raise TimeTableError(
            f"'{path.name}', data row {ragged}: {len(body[ragged - 1])} cells; the header has {len(header)}."
        )
    cells = dict(zip(header, zip(*body, strict=True), strict=True))
    values = {column.name: _numbers(path.name, column, cells[column.header]) for column in chosen}
    return TimeTable(path.stem, _instants(path.name, cells["time"]), values, _facts(comments))


def _match_header(name: str, header: Sequence[str], columns: Sequence[Column], required: Sequence[str]) -> list[Column]:
    """The columns that the header names. Raises TimeTableError for one that is unknown, double or missing."""
    known = {column.header: column for column in columns}
    allowed = f"Allowed are: time, {', '.join(known)}."
    for cell in header:
        if cell != "time" and cell not in known:
            raise TimeTableError(f"'{name}' has the unknown column '{cell}'. {allowed}")
        if header.count(cell) > 1:
            raise TimeTableError(f"'{name}' has the column '{cell}' twice.")
    for cell in ("time", *(column.header for column in columns if column.name in required)):
        if cell not in header:
            raise TimeTableError(f"'{name}' has no column '{cell}'. {allowed}")
    return [known[cell] for cell in header if cell != "time"]


def _numbers(name: str, column: Column, cells: Sequence[str]) -> Floats:
    values = np.empty(len(cells))
    for index, cell in enumerate(cells):
        try:
            values[index] = float(cell)
        except ValueError:
            raise TimeTableError(
                f"'{name}', data row {index + 1}: {column.header} must be a number, got '{cell}'. "
                "Fill the gap; nothing is filled in silently."
            ) from None
    column.check(values, f"'{name}'")
    return values


def _instants(name: str, cells: Sequence[str]) -> Instants:
    """The times (n) of the rows. Raises TimeTableError unless they are naive and evenly spaced."""
    times = []
    for number, cell in enumerate(cells, 1):
        try:
            time = datetime.fromisoformat(cell.strip())
        except ValueError:
            raise TimeTableError(
                f"'{name}', data row {number}: the time must look like '2014-01-16 13:30', got '{cell}'."
            ) from None
        if time.tzinfo is not None:
            raise TimeTableError(
                f"'{name}', data row {number}: the time '{cell}' has a zone. Write local standard time without a zone."
            )
        times.append(time)
    instants = np.array(times, "datetime64[s]")
    interval = np.diff(instants).astype(np.int64)
    if interval[0] <= 0 or (interval != interval[0]).any():
        odd = int(np.argmax(interval != interval[0])) if interval[0] > 0 else 0
        raise TimeTableError(
            f"'{name}', data row {odd + 2}: rows must be evenly spaced and ascend, but {instants[odd + 1]} "
            f"follows {instants[odd]}. Fill the gap, or sort the rows."
        )
    return instants


def _facts(comments: Sequence[str]) -> dict[str, float]:
    """Comment lines of the form "name: number"."""
    facts = {}
    for line in comments:
        name, _, value = line.partition(":")
        try:
            facts[name.strip()] = float(value)
        except ValueError:
            continue  # a remark in words
    return facts
