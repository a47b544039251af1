"""A user's Python file is imported in a process of its own first: what hangs, dies or exits there hurts nobody."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

from cosim.errors import ContractError

LIMIT = 20.0  #: [s] that an import may take

#: Imports the file named last; errors are said when it is imported in earnest, which they do not end.
_CODE = """
import importlib.util, os, sys
done, path = int(sys.argv[1]), sys.argv[2]
sys.path[:] = sys.argv[3:]
spec = importlib.util.spec_from_file_location("cosim_trial", path)
module = importlib.util.module_from_spec(spec)
sys.modules[spec.name] = module
try:
    spec.loader.exec_module(module)
except Exception:
    pass
os.write(done, b"1")
os._exit(0)
"""


def try_import(path: Path) -> None:
    """Import the Python file at `path` elsewhere. Raises ContractError if it hangs, dies or ends its process."""
    state = path.stat()
    problem = _tried(path, state.st_size, state.st_mtime_ns)
    if problem:
        raise ContractError(f"the Python file '{path}' cannot be used: {problem}")


@lru_cache(maxsize=1000)
def _tried(path: Path, *state: int) -> str:
    """What is wrong with importing `path` in its `state`; "" if nothing."""
    ready, done = os.pipe()
    command = [sys.executable, "-c", _CODE, str(done), str(path), *sys.path]
    quiet = subprocess.DEVNULL
    child = subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet, pass_fds=(done,), start_new_session=True)
    os.close(done)
    answered = bool(select.select([ready], [], [], LIMIT)[0])
    imported = answered and bool(os.read(ready, 1))
    os.close(ready)
    if answered:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # its number stays its own until it is reaped
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)  # it, and what it started
    code = child.wait()
    if not answered:
        return f"importing it did not end within {LIMIT:g} s"
    return "" if imported else f"importing it ends its process ({_ending(code)})"


def _ending(code: int) -> str:
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name
