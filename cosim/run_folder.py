"""A folder in use by one run at a time."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cosim.errors import MachineError


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Have `folder` alone as long as the context lasts; the lock goes with this process, however that ends.

    Raises MachineError where another has it, OSError where it cannot be opened.
    """
    lock = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise MachineError(f"{folder} is in use by another run; choose another with --out") from None
        except OSError:  # a file system without locks
            pass
        yield
    finally:
        os.close(lock)
