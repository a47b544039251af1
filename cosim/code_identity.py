"""Which code runs here, as one hash: who has the same computes the same."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path

from cosim.manifest import versions

#: The project's folders, with what of them a result can depend on: code and tables, but no examples.
_FOLDERS = {"cosim": "*", "federates": "*", "feeders": "*", "solvers": "*", "runs": "*.py"}


@cache
def code_hash() -> str:
    """SHA-256 of the project's code and tables and of the versions of what it uses."""
    import cosim

    root = Path(str(cosim.__file__)).parents[1]
    total = hashlib.sha256(json.dumps(versions(), sort_keys=True).encode())
    for folder, pattern in _FOLDERS.items():
        for path in sorted((root / folder).rglob(pattern)):
            if path.is_file() and "__pycache__" not in path.parts:
                total.update(f"{path.relative_to(root)}\0".encode() + path.read_bytes())
    return total.hexdigest()
