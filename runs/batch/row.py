"""The row of a finished run: what the batch's table says of it, written last into the run's folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from cosim.settings import Settings

Outcome = Literal["good", "untrusted", "failed", "timeout", "memory", "lost", "invalid"]
OUTCOMES: tuple[str, ...] = get_args(Outcome)
CACHEABLE = ("good", "untrusted")  #: outcomes that follow from the scenario alone, whatever the machine did


class Row(Settings):
    """What is known of a finished run. `None` as a figure: it could not be computed for this run."""

    run: str
    """The run's name, as `0001`."""
    number: int
    """Its place in the plan, from 1."""
    group: str = ""
    """The batch's group."""
    key: str = ""
    """The content hash; "" for a variant that is invalid."""
    parameters: Mapping[str, Any] = {}
    """As written in the scenario: label -> value."""
    outcome: Outcome
    error: str = ""
    """What went wrong and what to do; "" for a good run."""
    verdict: Literal["good", "bad", ""] = ""
    """"" where the run ended without one."""
    to_look_at: int | None = None
    """How many physical expectations of it or of its twin did not hold; none where it ended without a verdict."""
    figures: Mapping[str, float | None] = {}
    digest: str = ""
    """Of the results, all outputs included, those not kept too."""
    baseline_digest: str = ""
    """Of the undisturbed twin's."""
    code: str = ""
    """The hash of the code that made it, versions of packages included."""
    wall_s: float | None = None
    """Wall time of the whole run [s], its twin and start-up included."""
    startup_s: float | None = None
    """Of it, until the first step [s]."""
    simulated_s: float | None = None
    """Simulated time [s], without the twin's."""
    peak_memory_mb: float | None = None
    """Largest resident memory of all its processes together [MB]."""
    attempts: int = 1
    """How often it was started."""
    worker: str = ""
    """Who ran it last."""
    cached: bool = False
    """Taken from the cache, not run."""
    log: str = ""
    """The run's log file, relative to the batch's folder."""

    @property
    def finished_well(self) -> bool:
        """Whether the run ran to its end, trusted or not."""
        return self.outcome in CACHEABLE


def read_row(file: Path) -> Row:
    """A row as it was written. Raises OSError, ValueError."""
    return Row.model_validate_json(file.read_text())


__all__ = ["CACHEABLE", "OUTCOMES", "Outcome", "Row", "read_row"]
