"""What a run shows while it goes on: simulated time, speed, the slowest federate."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from cosim.simulation import Progress
from cosim.units import format_duration

Show = Callable[[str, Progress], None]


@contextmanager
def show_progress(*, quiet: bool) -> Iterator[Show | None]:
    """Progress on standard error: bars on a terminal, otherwise a line every tenth of the run."""
    if quiet:
        yield None
    elif sys.stderr.isatty():
        with _bars() as show:
            yield show
    else:
        yield _lines()


def describe(progress: Progress) -> str:
    """Speed and the slowest federate, in a few words."""
    if progress.starting:
        return "starting engines"
    speed = progress.time / 1e9 / progress.wall if progress.wall > 0.5 else 0.0
    share = min(progress.slowest_share, 1.0)  # the first step was seen up to one look after it began
    return f"{speed:,.0f} x real time, slowest: {progress.slowest} ({share:.0%})"


@contextmanager
def _bars() -> Iterator[Show]:
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description:>9}"),
        BarColumn(),
        TextColumn("{task.fields[clock]}"),
        TextColumn("{task.fields[words]}"),
        TimeRemainingColumn(),
    )
    tasks = {}
    lock = threading.Lock()
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:

        def show(name: str, progress: Progress) -> None:
            clock = f"{progress.time / 3.6e12:5.2f} of {format_duration(progress.duration)}"
            with lock:
                if name not in tasks:
                    tasks[name] = bars.add_task(name, total=progress.duration, clock="", words="")
            bars.update(tasks[name], completed=progress.time, clock=clock, words=describe(progress))

        yield show


def _lines() -> Show:
    said: dict[str, int] = {}

    def show(name: str, progress: Progress) -> None:
        tenth = 10 * progress.time // progress.duration
        if tenth > said.get(name, -1):
            said[name] = tenth
            print(f"{name:>9}: {progress.time / 3.6e12:5.2f} h, {describe(progress)}", file=sys.stderr)

    return show
