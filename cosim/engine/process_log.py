"""What a process says: kept to a stated size however much it says, and never read whole.

A log is a file that its process writes by itself, at any speed. Its middle is given back to the file system while it
grows (a hole, which costs no room), so that the first and the last part stay.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import TextIO

from cosim.engine.printable import printable

KEPT = 16 * 2**20  #: [B] of a log, half of them its beginning
END = 2**16  #: [B] of a log's end, from which a fault quotes
_BLOCK = 2**20  #: [B] read at once
_KEEP_SIZE, _PUNCH_HOLE = 1, 2  #: of fallocate, as Linux numbers them


def limit(path: Path) -> None:
    """Give back the middle of a log that has grown beyond `KEPT`; where the file system cannot, it stays."""
    try:
        state = path.stat()
        if state.st_blocks * 512 <= KEPT + _BLOCK:
            return
        with path.open("r+b") as file:
            begin, size = ctypes.c_longlong(KEPT // 2), ctypes.c_longlong(state.st_size - KEPT)
            ctypes.CDLL(None).fallocate(file.fileno(), _KEEP_SIZE | _PUNCH_HOLE, begin, size)
    except OSError:  # it is not there yet, or no more
        return


def end_of(path: Path) -> str:
    """The end of a log; "" where there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - END))
            return printable(file.read(END).decode(errors="replace"))
    except OSError:
        return ""


def append(path: Path, title: str, to: TextIO) -> None:
    """Write a log after its title, if it says anything: what is kept of it, what no terminal should obey escaped."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size == 0:
            return
        to.write(f"== {title}\n")
        for begin, end in ((0, size),) if size <= KEPT else ((0, KEPT // 2), (size - KEPT // 2, size)):
            if begin:
                to.write(f"\n... {size - KEPT:,} bytes are left out here ...\n")
            file.seek(begin)
            for position in range(begin, end, _BLOCK):
                to.write(printable(file.read(min(_BLOCK, end - position)).decode(errors="replace")))
        to.write("\n")
