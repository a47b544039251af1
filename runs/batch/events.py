"""The log of a batch: what happened when, a JSON object a line."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


class EventLog:
    """Appends events to a file; each is there as soon as it is written."""

    def __init__(self, path: Path) -> None:
        """Open `path` to append to. Raises OSError."""
        self._file = path.open("a", buffering=1)
        self._lock = threading.Lock()

    def __enter__(self) -> EventLog:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._file.close()

    def write(self, event: str, **known: Any) -> None:
        """Append one event, with the time. Raises OSError."""
        line = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event, **known}
        with self._lock:
            if not self._file.closed:
                self._file.write(json.dumps(line, ensure_ascii=False) + "\n")
