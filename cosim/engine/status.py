"""What each federate is doing: a table in shared memory that its process writes and the supervisor reads."""

from __future__ import annotations

import mmap
import os
import time
from collections.abc import Sequence
from enum import IntEnum
from pathlib import Path

import numpy as np

from cosim.contract import Time

FILE = "status"


class Phase(IntEnum):
    """Where a federate is in its life."""

    CREATED = 0
    BUILDING = 1
    STARTING = 2
    JOINING = 3
    COMPUTING = 4
    WAITING = 5
    CLOSING = 6
    DONE = 7
    FAILED = 8


#: How a phase reads in a message.
PHRASES = {
    Phase.CREATED: "had not begun",
    Phase.BUILDING: "was reading its settings",
    Phase.STARTING: "was starting its engine",
    Phase.JOINING: "was joining the federation",
    Phase.COMPUTING: "was computing",
    Phase.WAITING: "was waiting for others",
    Phase.CLOSING: "was closing",
    Phase.DONE: "had finished",
    Phase.FAILED: "had failed",
}

ROW = np.dtype(
    [
        ("phase", np.int64),
        ("time", np.int64),  # [ns] simulated
        ("stamp", np.float64),  # [s] monotonic clock at the last change
        ("busy", np.float64),  # [s] wall time spent in the federate's own methods since the first step
        ("steps", np.int64),  # committed steps
        ("errno", np.int64),  # why a failure could not be written down; 0: it could
    ]
)


class StatusTable:
    """One row per federate in a memory-mapped file; writes are single words, so no lock is needed."""

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        """Open the table in `folder`; `create` must have made it."""
        self.names = tuple(names)
        with (folder / FILE).open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), ROW.itemsize * len(self.names))
        self.rows = np.frombuffer(self._map, dtype=ROW)
        self._places = {name: place for place, name in enumerate(self.names)}
        self._phase, self._time, self._stamp = self.rows["phase"], self.rows["time"], self.rows["stamp"]

    @classmethod
    def create(cls, folder: Path, names: Sequence[str]) -> StatusTable:
        """Make the table, all federates `CREATED` now. Raises OSError where the disk is full."""
        rows = np.zeros(len(names), dtype=ROW)
        rows["stamp"] = time.monotonic()
        with (folder / FILE).open("wb") as file:
            file.write(rows.tobytes())
            os.fsync(file.fileno())
        return cls(folder, names)

    def row(self, name: str) -> np.void:
        """The row of the federate `name`; assigning to its fields writes the table."""
        return self.rows[self._places[name]]  # type: ignore[no-any-return]

    def enter(self, name: str, phase: Phase, at: Time | None = None) -> None:
        """Note that `name` enters `phase` now, at simulated time `at` [ns] if that changes."""
        place = self._places[name]
        if at is not None:
            self._time[place] = at
        self._stamp[place] = time.monotonic()
        self._phase[place] = phase.value
