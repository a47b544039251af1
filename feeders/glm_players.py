"""The times in what a GridLAB-D model plays, for a clock in local standard time.

GridLAB-D takes a stamp without a zone as local, and one with a zone by its clock. Where the scenario's clock takes the
place of the model's, a zone must go: GridLAB-D stops at one that it does not know, and takes UTC for local time.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from feeders.glm import GlmError

_STAMP = re.compile(r"\s*(\d{4}-\d\d-\d\d[ T]\d\d:\d\d(?::\d\d)?)(\.\d+)?(?:\s+([A-Z]{2,5}))?\s*,")
_ZONE = re.compile(r"([A-Z]{3,5})([+-]?\d{1,2})(?::(\d\d))?([A-Z]{3,5})?")
_TAIL = 4096  #: [B] in which the last row must lie
UNIVERSAL = ("UTC", "GMT")


@dataclass(frozen=True)
class Played:
    """What a file of rows `time, value` says of its times."""

    first: datetime | None  #: as written; None where rows count from each other, or there are none
    last: datetime | None
    zone: str  #: of the first row; "" if it has none


def look_at(path: Path) -> Played:
    """The first and last stamp of a file."""
    with path.open("rb") as file:
        head = file.read(_TAIL).decode("utf-8", "replace")
        file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL))
        tail = file.read().decode("utf-8", "replace")
    first, last = ([found for line in text.splitlines() if (found := _STAMP.match(line))] for text in (head, tail))
    if not first or not last:
        return Played(None, None, "")
    return Played(datetime.fromisoformat(first[0][1]), datetime.fromisoformat(last[-1][1]), first[0][3] or "")


def to_standard(timezone: str) -> dict[str, timedelta]:
    """What to add to a stamp in each zone that a clock's `timezone`, as EST+5EDT, knows, to have local standard time.

    Raises GlmError if it is none of that form.
    """
    found = _ZONE.fullmatch(timezone)
    if found is None:
        raise GlmError(f"the time zone '{timezone}' of the model's clock is not of the form EST+5EDT")
    west = timedelta(hours=int(found[2]), minutes=int(found[3] or 0) * (-1 if found[2].startswith("-") else 1))
    shifts = {**dict.fromkeys(UNIVERSAL, -west), found[1]: timedelta(0)}
    return shifts | ({found[4]: timedelta(hours=-1)} if found[4] else {})


def in_standard_time(path: Path, timezone: str) -> Iterator[str]:
    """The lines of a file with its stamps in local standard time, without a zone. Raises GlmError."""
    shifts = to_standard(timezone)
    with path.open(encoding="utf-8", errors="surrogateescape") as file:
        for number, line in enumerate(file, 1):
            found = _STAMP.match(line)
            if found is None or not found[3]:
                yield line
                continue
            if found[3] not in shifts:
                raise GlmError(f"{path}({number}): the model's clock, {timezone}, knows no zone '{found[3]}'")
            moment = datetime.fromisoformat(found[1]) + shifts[found[3]]
            yield f"{moment:%Y-%m-%d %H:%M:%S}{found[2] or ''},{line[found.end() :]}"
