"""What a federate's process writes down when it fails, and the supervisor reads."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from cosim.contract import Time

SUFFIX = ".error.json"  #: of a failure's file


@dataclass(frozen=True)
class Failure:
    """One federate's failure."""

    federate: str
    time: Time  #: [ns] simulated
    phase: int
    kind: str  #: the exception's class
    message: str
    stamp: float  #: [s] monotonic clock
    expected: bool  #: an error that the model raised on purpose; otherwise the traceback matters
    secondary: bool  #: it followed from another federate's failure
    traceback: str
    errno: int | None = None  #: what the machine refused, if it was that

    def write(self, folder: Path) -> None:
        """Write it where `read_failures` finds it, whole or not at all."""
        partial = folder / f"{self.federate}.error.partial"
        partial.write_text(json.dumps(asdict(self)))
        partial.rename(folder / f"{self.federate}{SUFFIX}")


def read_failures(folder: Path) -> list[Failure]:
    """All failures written so far, the first cause first."""
    paths = [entry.path for entry in os.scandir(folder) if entry.name.endswith(SUFFIX)]  # asked often
    found = [Failure(**json.loads(Path(path).read_text())) for path in paths]
    return sorted(found, key=lambda failure: (failure.secondary, failure.stamp))
