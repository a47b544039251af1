"""The part that imposed traces share: a CSV file with a column of times and one of values."""

from __future__ import annotations

from functools import cached_property

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
    """Imposes what a file says on the head of the feeders at a bus; its last value holds on."""

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
        """(samples,) times [s] and values. Raises ValueError."""
        try:
            table = np.genfromtxt(self.file, delimiter=",", names=True, dtype=float, encoding="utf-8")
        except (OSError, ValueError) as error:
            raise ValueError(f"the trace {self.file} cannot be read: {error}") from None
        names = table.dtype.names or ()
        missing = [name for name in ("time_s", self.column) if name not in names]
        if missing:
            raise ValueError(f"the trace {self.file} has no column {missing[0]}; it has {', '.join(names)}")
        times, values = np.atleast_1d(table["time_s"]), np.atleast_1d(table[self.column])
        if not (np.isfinite(times).all() and np.isfinite(values).all() and (np.diff(times) > 0).all()):
            raise ValueError(f"the trace {self.file} must have finite values at rising times")
        return times, values

    @model_validator(mode="after")
    def _readable(self) -> Trace:
        _ = self.samples
        return self

    def trigger(self) -> Trigger:
        return AtTime(self.time)

    def check(self, duration: Time) -> None:
        require_before("time", self.time, duration)
        if self.samples[0][0] < 0.0:
            raise ConfigError("file", "begins before its onset.", "Let time_s begin at 0.")

    def value(self, elapsed: Time) -> float:
        """At `elapsed` [ns] after the onset, between samples on a straight line."""
        times, values = self.samples
        return float(np.interp(elapsed / 1e9, times, values))
