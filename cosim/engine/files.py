"""Names that the supervisor and the processes of a run agree on, and how what is secret is written."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

SCRATCH = ".scratch"  #: the subfolder of a run's folder that exists while it runs
FILES = "files"  #: the subfolder of a run's folder that keeps what its federates wrote in their working folders
WORKING = ".files"  #: ends the name of a process's working folder, in the scratch folder
ENGINE_LOGS = "*.scratch/*.log"  #: what engines said, in the scratch folder
FEDERATION_FILE = "federation.json"
BROKER_FILE = "broker.json"
ROUNDS = "coupling_rounds"  #: the recorded number of rounds, at a group's leader
LOOPBACK = "127.0.0.1"  #: where the processes of a run on one machine meet


def write_private(path: Path, content: bytes) -> None:
    """Write a file that is there whole or not at all, and that its owner alone can read. Raises OSError."""
    partial = path.with_name(f"{path.name}.{secrets.token_hex(8)}.partial")
    handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
    partial.rename(path)
