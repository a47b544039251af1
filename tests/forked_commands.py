"""Commands of `cosim`, each in a process forked from one that has imported everything: hundreds a minute.

Run as a program it reads commands as lines of JSON, each a list of words, and answers each with a line: the exit code,
what was said, the processor time [s] and the largest resident memory [MB].
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
MOST_SECONDS = 60  #: of processor time, at which a command is ended; what counts as slow is for the test to say
MOST_WAIT = 120.0  #: [s] after which a command that only waits is ended


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int  #: negative for a signal
    said: str
    seconds: float  #: of processor time
    memory: float  #: [MB]


class Commands:
    """The process that forks."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def __call__(self, words: Sequence[str]) -> Ended:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(list(words)) + "\n")
        self._process.stdin.flush()
        return Ended(**json.loads(self._process.stdout.readline()))


@contextmanager
def commands(folder: Path) -> Iterator[Commands]:
    """Start the process, with `folder` to stand in."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
    pipe = subprocess.PIPE
    started = [sys.executable, str(Path(__file__).resolve())]
    with subprocess.Popen(started, stdin=pipe, stdout=pipe, text=True, cwd=folder, env=environment) as process:
        yield Commands(process)
        assert process.stdin is not None
        process.stdin.close()


def _forked(words: Sequence[str]) -> Ended:
    with tempfile.TemporaryFile() as said:
        pid = os.fork()
        if pid == 0:
            _become(words, said.fileno())
        began = time.monotonic()
        while True:
            found, status, usage = os.wait4(pid, os.WNOHANG)
            if found:
                break
            if time.monotonic() - began > MOST_WAIT:
                os.kill(pid, 9)
            time.sleep(0.002)
        said.seek(0)
        text = said.read(200_000).decode(errors="replace")
    seconds = usage.ru_utime + usage.ru_stime
    return Ended(os.waitstatus_to_exitcode(status), text, seconds, usage.ru_maxrss / 1e3)


def _become(words: Sequence[str], said: int) -> None:
    """What the shell would start."""
    from runs.cli import command_line
    from runs.entry import begin

    try:
        resource.setrlimit(resource.RLIMIT_CPU, (MOST_SECONDS, MOST_SECONDS))
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(said, 1)
        os.dup2(said, 2)
        sys.argv = ["cosim", *words]
        begin(command_line)
    except SystemExit as error:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(error.code if isinstance(error.code, int) else 1)
    finally:
        import traceback

        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)


def main() -> None:
    """Answer each line."""
    sys.path.insert(0, str(ROOT))
    import runs.cli
    import runs.report  # noqa: F401

    for line in sys.stdin:
        print(json.dumps(vars(_forked(json.loads(line)))), flush=True)


if __name__ == "__main__":
    main()
