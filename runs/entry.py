"""Where the command `cosim` begins: streams and signals are made safe before anything large is imported."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import NoReturn

from runs.interruption import INTERRUPTION
from runs.streams import flush_streams, steady_streams

INTERRUPTED = 130  #: the exit code after Ctrl-C, SIGTERM and SIGHUP


def begin(command: Callable[[], int]) -> NoReturn:
    """Call `command` and exit with its code."""
    steady_streams()
    try:
        INTERRUPTION.install()
        code = command() if _stands_somewhere() else 2
    except KeyboardInterrupt:
        code = INTERRUPTED
    INTERRUPTION.ignore()
    if code == INTERRUPTED:
        print("cosim: interrupted; every process of the run was ended, and what was recorded is kept", file=sys.stderr)
    flush_streams()
    sys.exit(code)


def _stands_somewhere() -> bool:
    """Whether the working folder is there: all relative paths count from it."""
    try:
        os.getcwd()  # noqa: PTH109 - cheaper than pathlib before anything else is there
    except FileNotFoundError:
        print("cosim: the working folder no longer exists; change to one that does", file=sys.stderr)
        return False
    return True


def main() -> NoReturn:
    """Run the command line."""

    def command() -> int:
        from runs.cli import command_line

        return command_line()

    begin(command)
