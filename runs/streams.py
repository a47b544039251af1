"""Standard streams that never end a command: closed ones, full disks, readers that went away, texts without letters."""

from __future__ import annotations

import errno
import io
import os
import sys


class SteadyStream(io.TextIOWrapper):
    """A text stream that can be written to whatever becomes of its other end; what cannot be shown is escaped."""

    lost: OSError | None = None  #: why nothing arrives any more

    @classmethod
    def around(cls, stream: io.TextIOWrapper) -> SteadyStream:
        """Takes the place of `stream`."""
        encoding, lines = stream.encoding, stream.line_buffering
        return cls(stream.detach(), encoding=encoding, errors="backslashreplace", line_buffering=lines)

    def write(self, text: str) -> int:
        """Write `text`, if anybody takes it."""
        try:
            return super().write(text)
        except OSError as error:
            self._lose(error)
            return len(text)

    def flush(self) -> None:
        """Hand over what was written, if anybody takes it."""
        try:
            super().flush()
        except OSError as error:
            self._lose(error)

    def _lose(self, error: OSError) -> None:
        """Write to nowhere from now on."""
        self.lost = self.lost or error
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())
        os.close(nowhere)


def steady_streams() -> None:
    """Make standard input, output and error safe to use, whatever they are."""
    _fill_closed()
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # it was closed when Python began
            stream = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 - it lives as long as the process
        if isinstance(stream, io.TextIOWrapper):
            setattr(sys, name, SteadyStream.around(stream))


def _fill_closed() -> None:
    """Let the numbers 0 to 2 be taken: a file that is opened under one of them would get what is printed."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free


def flush_streams() -> None:
    """Hand over what was written; say so where standard output took nothing, but for a reader that went away."""
    sys.stdout.flush()
    lost = getattr(sys.stdout, "lost", None)
    if lost is not None and lost.errno != errno.EPIPE:
        print(f"cosim: cannot write to standard output: {lost.strerror}", file=sys.stderr)
    sys.stderr.flush()
