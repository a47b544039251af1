"""A scenario run in this process, its federates taking turns, recorded and judged: the engine's own code but HELICS.

It costs a tenth of a run in processes of its own, so that many wrong models can be held against the verdict.
"""

from __future__ import annotations

from collections.abc import Mapping
from heapq import heapify, heappop, heapreplace
from itertools import islice
from pathlib import Path
from typing import Any

from cosim.engine.host import Stepper
from cosim.engine.recorder import Recorder
from cosim.engine.status import StatusTable
from cosim.engine.supervisor import Outcome
from cosim.engine.switchboard import Switchboard
from cosim.federation import Federation
from cosim.scenario import from_mapping
from cosim.verdict import Verdict, judge
from cosim.wiring import wire


class NobodyElse:
    """Stands where the membership in a federation stands: there is no other process."""

    correspondents = ()

    def offer(self, source: str, parts: Mapping[str, Any]) -> None:
        """Nobody elsewhere takes it."""

    def publish(self, source: str) -> None:
        """Nobody elsewhere reads it."""


def judged(scenario: Mapping[str, Any], folder: Path) -> Verdict:
    """The verdict on a run of `scenario`. Raises ScenarioError, and what a federate raises."""
    federation = wire(from_mapping(dict(scenario), folder))
    names = [spec.name for spec in federation.federates]
    status = StatusTable.create(folder, names)
    steppers = [Stepper(folder, federation, spec, status) for spec in federation.federates]
    switchboard = Switchboard(federation, NobodyElse(), names)  # type: ignore[arg-type]
    for stepper in steppers:
        stepper.start()
        stepper.connect(switchboard)
    take_turns(steppers)
    for stepper in steppers:
        stepper.close(failed=False)
    return _judged(federation, folder, status)


def take_turns(steppers: list[Stepper]) -> None:
    """Let the federates step to the end in the order of their times and slots, as `cosim/engine/host.py` does."""
    turns = []
    for number, stepper in enumerate(steppers):
        run = stepper.run()
        turns += [(time, number, run) for time in islice(run, 1)]
    heapify(turns)
    while turns:
        _, number, run = turns[0]
        following = next(run, None)
        if following is None:
            heappop(turns)
        else:
            heapreplace(turns, (following, number, run))


def _judged(federation: Federation, folder: Path, status: StatusTable) -> Verdict:
    recorder = Recorder(folder, folder, federation)
    recorder.finish()
    names = [spec.name for spec in federation.federates]
    outcome = Outcome(
        reached={name: int(status.row(name)["time"]) for name in names},
        steps={name: int(status.row(name)["steps"]) for name in names},
    )
    return judge(federation, folder, outcome)
