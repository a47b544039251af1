"""The part that imposed traces share: a CSV file with a column of times and one of values."""

from __future__ import annotations

import csv
import math
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from cosim.contract import Time
from cosim.errors import ConfigError
from cosim.perturbations import AtTime, Perturbation, Trigger, require_before
from cosim.settings import InputFile
from cosim.units import Duration

Floats = NDArray[np.float64]


class Trace(Perturbation):
    """Imposes what a file says on the head of the feeders at a bus; its last value holds until the window closes."""

    window_only: ClassVar[bool] = True
    reach: ClassVar[tuple[float, float]]  #: the values that make sense

    bus: str = Field(coerce_numbers_to_str=True)
    """The bus where the feeders hang; without a transmission grid the feeder's name."""
    file: InputFile
    """CSV with a header line: `time_s` since the onset, rising, and the value."""
    column: str
    """The value's column."""
    time: Duration = Field(ge=0)
    """When it sets in."""

    @cached_property
    def samples(self) -> tuple[Floats, Floats]:
        """(samples,) times [s] and values. Raises ValueError with the file and the line."""
        try:
            with Path(self.file).open(encoding="utf-8-sig", newline="") as file:
                return self._read(csv.reader(file))
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise ValueError(f"the trace {self.file} cannot be read: {error}") from None

    def _read(self, rows: Any) -> tuple[Floats, Floats]:
        names = [name.strip() for name in next(rows, [])]
        missing = [name for name in ("time_s", self.column) if name not in names]
        if missing:
            raise ValueError(f"{self.file}:1: has no column {missing[0]}; it has {', '.join(names) or 'none'}")
        found: list[tuple[float, float]] = []
        for row in rows:
            if not "".join(row).strip():
                continue
            place = f"{self.file}:{rows.line_num}"
            time, value = (_number(row, names.index(name), name, place) for name in ("time_s", self.column))
            if found and time <= found[-1][0]:
                raise ValueError(f"{place}: time_s must rise, got {time:g} after {found[-1][0]:g}")
            found.append((time, value))
        if not found:
            raise ValueError(f"{self.file}:1: has no line of values below its header")
        times, values = np.array(found).T
        return times, values

    @model_validator(mode="after")
    def _readable(self) -> Trace:
        _ = self.samples
        return self

    def looks(self) -> tuple[Time, ...]:
        return tuple(round(time * 1e9) for time in self.samples[0])

    def trigger(self) -> Trigger:
        return AtTime(self.time)

    def check(self, duration: Time) -> None:
        require_before("time", self.time, duration)
        if self.samples[0][0] < 0.0:
            raise ConfigError("file", "begins before its onset.", "Let time_s begin at 0.")
        values, (low, high) = self.samples[1], self.reach
        if values.min() < low or values.max() > high:
            most = values[np.argmax(np.abs(values - (low + high) / 2))]
            problem = f"has {most:g} in column '{self.column}', which must lie within {low:g} and {high:g}."
            raise ConfigError("file", problem, "See `cosim schema` for its unit.")

    def value(self, elapsed: Time) -> float:
        """At `elapsed` [ns] after the onset, between samples on a straight line."""
        times, values = self.samples
        return float(np.interp(elapsed / 1e9, times, values))


def _number(row: list[str], column: int, name: str, place: str) -> float:
    """A finite number out of a row. Raises ValueError."""
    text = row[column].strip() if column < len(row) else ""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{place}: {name} must be a finite number, got '{text}'")
    return value
