"""What a batch shows while it goes on: runs done, running, failed, simulated days an hour, time left."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from runs.batch.row import Row

DAY = 86_400.0  #: [s]
EVERY = 10.0  #: [s] between two lines where there is no terminal
SETTLED = 2.0  #: [s] after which a rate says something


@dataclass
class State:
    """How far a batch is."""

    total: int
    kept: int = 0  #: finished before, or taken from the cache
    done: int = 0  #: finished now
    failed: int = 0  #: of all that are finished, those that did not run to a good end
    running: set[str] = field(default_factory=set)
    simulated: float = 0.0  #: [s] by the runs finished now
    began: float = field(default_factory=time.monotonic)
    dashboard: str = ""
    notes: list[str] = field(default_factory=list)  #: to be said once

    @property
    def finished(self) -> int:
        """Runs that have a row."""
        return self.kept + self.done

    @property
    def elapsed(self) -> float:
        """Since the first run could start [s]."""
        return time.monotonic() - self.began

    @property
    def days_an_hour(self) -> float | None:
        """Simulated days in an hour of wall time."""
        return self.simulated / DAY * 3600.0 / self.elapsed if self.done and self.elapsed > SETTLED else None

    @property
    def left(self) -> float | None:
        """Wall time until the end [s], if runs go on as they did."""
        return (self.total - self.finished) * self.elapsed / self.done if self.done else None

    def finish(self, row: Row, *, kept: bool = False) -> None:
        """Count a run."""
        self.running.discard(row.run)
        self.failed += row.outcome != "good"
        if kept:
            self.kept += 1
        else:
            self.done += 1
            self.simulated += row.simulated_s or 0.0

    def describe(self) -> str:
        """The state in a line."""
        words = [f"{self.finished} of {self.total} runs done", f"{len(self.running)} running", f"{self.failed} failed"]
        if self.days_an_hour is not None:
            words.append(f"{self.days_an_hour:,.0f} simulated days an hour")
        if self.left is not None and self.finished < self.total:
            words.append(f"{_clock(self.left)} left")
        return ", ".join(words)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


Show = Callable[[State], None]


@contextmanager
def show_batch(*, quiet: bool) -> Iterator[Show]:
    """Progress on standard error: a bar on a terminal, otherwise a line now and then."""
    if quiet:
        yield lambda state: None
    elif sys.stderr.isatty():
        with _bar() as show:
            yield show
    else:
        yield _lines()


@contextmanager
def _bar() -> Iterator[Show]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    console = Console(stderr=True)
    linked = False
    with Progress(*columns, console=console, transient=True) as bars:
        task = bars.add_task("starting", total=None)

        def show(state: State) -> None:
            nonlocal linked
            while state.notes:
                console.print(state.notes.pop(0), highlight=False, soft_wrap=True)
            if state.dashboard and not linked:
                linked = True
                console.print(f"Dashboard: {state.dashboard}", highlight=False)
            words = state.describe().partition(", ")[2]
            bars.update(task, total=state.total, completed=state.finished, description=words)

        yield show


def _lines() -> Show:
    said = {"at": 0.0, "finished": -1.0}
    linked = False

    def show(state: State) -> None:
        nonlocal linked
        while state.notes:
            print(state.notes.pop(0), file=sys.stderr)
        if state.dashboard and not linked:
            linked = True
            print(f"dashboard: {state.dashboard}", file=sys.stderr)
        now, over = time.monotonic(), state.finished == state.total
        if (now - said["at"] > EVERY or over) and state.finished != said["finished"]:
            said["at"], said["finished"] = now, state.finished
            print(state.describe(), file=sys.stderr)

    return show
