"""Tables of measured quantities over time, read from plain CSV files.

The format is in `tables/weather/README.md`: comment lines, a header whose columns carry their units
in brackets, rows that are evenly spaced in local standard time.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Instants = NDArray[np.datetime64]

_MINUTE = "%Y-%m-%d %H:%M"
_NUMBER = re.compile(r"[-+]?\d")  #: how one begins, also where a unit follows

#: What a row of a table is: the value at its time, or the mean of the interval that begins or ends at it.
Side = Literal["instant", "start", "end"]
SIDES: tuple[Side, ...] = get_args(Side)


#: What comment lines may say of the place, and how.
FACTS = {
    "latitude": "degrees, north is positive",
    "longitude": "degrees, east is positive",
    "altitude": "metres above the sea",
    "utc_offset": "hours that local standard time is ahead of UTC",
}
#: What others call it, which would else pass for a remark.
OTHER_NAMES = {
    **dict.fromkeys(("lat",), "latitude"),
    **dict.fromkeys(("lon", "long", "lng"), "longitude"),
    **dict.fromkeys(("elevation",), "altitude"),
    **dict.fromkeys(("timezone", "time_zone", "tz", "utc"), "utc_offset"),
}


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
    """Quantities at the same times: `time` (n) local standard time, evenly spaced, each of `columns` (n)."""

    name: str
    time: Instants
    columns: Mapping[str, Floats]
    facts: Mapping[str, float] = field(default_factory=dict)  #: of the comment lines, such as "latitude"
    stamps: Side = "instant"  #: what each row is

    def at(self, column: str, instants: Instants) -> Floats:
        """`column` at `instants` (m); outside the rows, that of the nearest.

        Linear between rows that are instants. A row that is a mean holds throughout its interval, so that its energy
        is kept at any step that divides it.
        """
        axis, wanted = _nanoseconds(self._begins()), _nanoseconds(instants)
        if self.stamps == "instant":
            return np.interp(wanted, axis, self.columns[column])
        row = np.clip(np.searchsorted(axis, wanted, side="right") - 1, 0, len(axis) - 1)
        return self.columns[column][row]

    def _begins(self) -> Instants:
        """When each row's interval begins; its own time, where rows are instants."""
        return self.time - self._interval() if self.stamps == "end" else self.time

    def _interval(self) -> np.timedelta64:
        return np.timedelta64(self.time[1] - self.time[0])

    def require_span(self, start: datetime, duration: int, step: int) -> None:
        """Raise TimeTableError unless the rows reach from `start` to the last step before `duration` [ns].

        Where they are means, also if `step` is longer than their interval: it would leave rows out.
        """
        means = self.stamps != "instant"
        begins = self._begins()
        first, last = begins[0].item(), (begins[-1] + self._interval()).item() if means else begins[-1].item()
        end = start + timedelta(microseconds=(duration - 1) // step * step / 1e3)
        if start < first or end > last or (means and end == last):
            raise TimeTableError(
                f"'{self.name}' covers {first:{_MINUTE}} to {last:{_MINUTE}} (local standard time); "
                f"the scenario needs {start:{_MINUTE}} to {end:{_MINUTE}}. "
                "Move the scenario's start, shorten it, or give a longer table."
            )
        if means and np.timedelta64(step, "ns") > self._interval():
            raise TimeTableError(
                f"'{self.name}' has means of {self._interval().astype('timedelta64[s]').astype(int)} s, "
                f"and steps of {step / 1e9:g} s would leave some out. Take a shorter step, or longer means."
            )


def _nanoseconds(instants: Instants) -> NDArray[np.int64]:
    return instants.astype("datetime64[ns]").astype(np.int64)


def grid(start: datetime, duration: int, step: int) -> Instants:
    """The instants from `start` to the first multiple of `step` [ns] at or after `duration` [ns]."""
    count = -(-duration // step) + 1
    return np.datetime64(start, "ns") + np.arange(count, dtype=np.int64) * np.timedelta64(step, "ns")


def read_time_table(
    path: Path, columns: Sequence[Column], required: Sequence[str], stamps: Side | None = None
) -> TimeTable:
    """Read the CSV table in `path`, which may have `columns` and must have those named in `required`.

    `stamps` says what a row is; None: what the table's comment line `# stamps: ...` says, without one instants.

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
    side = stamps or _side(path.name, comments)
    return TimeTable(path.stem, _instants(path.name, cells["time"]), values, _facts(path.name, comments), side)


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


def _side(name: str, comments: Sequence[str]) -> Side:
    """What a row is, by the comment line "stamps: ..."; instants without one."""
    for line in comments:
        key, colon, text = line.partition(":")
        if colon and key.strip().lower() == "stamps":
            found = [side for side in SIDES if side == text.strip()]
            if not found:
                raise TimeTableError(f"'{name}': `# stamps:` must be {', '.join(SIDES)}, got '{text.strip()}'.")
            return found[0]
    return "instant"


def _facts(name: str, comments: Sequence[str]) -> dict[str, float]:
    """Comment lines of the form "name: number". Raises TimeTableError for one of `FACTS` that is no number.

    Unless a fact is read, nobody can hold it against the scenario's place.
    """
    facts = {}
    for line in comments:
        key, _, text = (part.strip() for part in line.partition(":"))
        key = key.lower().replace(" ", "_")
        fact = OTHER_NAMES.get(key, key)
        try:
            value: float | None = float(text)
        except ValueError:
            value = None
        if fact in FACTS and (value is None if key == fact else _NUMBER.match(text)):
            raise TimeTableError(
                f"'{name}': the comment line `{line.strip()}` is not read. "
                f"Write `# {fact}: ...`, a number: {FACTS[fact]}."
            )
        if value is not None:
            facts[key] = value  # else a remark in words
    return facts
