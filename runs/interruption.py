"""Ctrl-C, SIGTERM and SIGHUP end a command in order: whichever comes first, however many follow."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
MERGED = 3.0  #: [s] in which further signals are taken for the same wish


class Interruption:
    """What signals do to this process: they raise KeyboardInterrupt, or while it is `deferred` only set an event."""

    def __init__(self) -> None:
        self._last: float | None = None
        self._stop: threading.Event | None = None
        self._deferred = False  #: a signal came that has to be told yet

    def install(self) -> None:
        """Take the signals that are not ignored, as `nohup` and a shell's background jobs have them."""
        for number in SIGNALS:
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._receive)

    @staticmethod
    def ignore() -> None:
        """From now on nothing interrupts: the command is over, and only its end is left."""
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        merged = self._last is not None and now - self._last < MERGED
        self._last = now
        if self._stop is not None:
            self._deferred = True
            self._stop.set()
        elif not merged:  # a second one would hit what the first made close
            raise KeyboardInterrupt

    @contextmanager
    def deferred(self) -> Iterator[threading.Event]:
        """The event that a signal sets as long as the context lasts; it ends in KeyboardInterrupt then."""
        stop = threading.Event()
        self._stop, self._deferred = stop, False
        try:
            yield stop
        finally:
            self._stop = None
            if self._deferred:
                raise KeyboardInterrupt


INTERRUPTION = Interruption()  #: of this process
