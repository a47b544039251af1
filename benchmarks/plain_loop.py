"""The floor for a federation: the same federates in one process, called one after the other, nothing between.

No HELICS, no processes, no checks, no recording. It also checks the engine: values must be bit-identical to
those of the federation (`tests/test_plain_loop.py`). Iterated groups are not supported.
"""

from __future__ import annotations

import tempfile
import time as clock
from collections import defaultdict
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np

from cosim.contract import Array, Exchange, Message, Time
from cosim.engine.inputs import Inputs
from cosim.federation import FederateSpec, Federation


@dataclass
class Mail:
    """Values published and messages sent, by whom they are for."""

    values: dict[str, Array] = field(default_factory=dict)
    letters: dict[str, list[Message]] = field(default_factory=lambda: defaultdict(list))


class Direct:
    """Stands where a line to the engine's switchboard stands, for one federate."""

    def __init__(self, federation: Federation, name: str, mail: Mail) -> None:
        self._name, self._mail, self._is_carrier = name, mail, name == federation.carrier
        self._keys = [str(link.source) for link in federation.links_to(name)]

    def value(self, position: int) -> Array | None:
        """Where the last published value lies."""
        return self._mail.values.get(self._keys[position])

    def receive(self) -> list[Message]:
        """Take what was sent here, in the engine's order: `cosim/engine/switchboard.py`."""
        letters = self._mail.letters.pop(self._name, [])
        return sorted(letters, key=lambda letter: (letter.sent, letter.source)) if self._is_carrier else letters


class Member:
    """A federate of the loop, started."""

    def __init__(self, federation: Federation, spec: FederateSpec, mail: Mail, scratch: Path) -> None:
        self.name, self._mail, self._carrier = spec.name, mail, federation.carrier
        self.federate = federation.build(spec)
        self.federate.start(scratch)
        ports = list(self.federate.ports())
        outputs = {port.name: port for port in ports if port.direction == "out"}
        self._inputs = Inputs(ports, federation.links_to(spec.name))
        self._source = Direct(federation, spec.name, mail)
        own = {str(link.source): link.source for link in federation.links_from(spec.name)}
        self._gives: list[tuple[str, str, tuple[Any, ...]]] = [
            (key, end.port, (*end.index(outputs[end.port]), ...)) for key, end in own.items()
        ]
        self.due = self.federate.next_time(-1)

    def open(self) -> None:
        """Hand over what will about be found at the first time, before it is."""
        self._inputs.read(self._source, complete=False)
        opening = self.federate.opening(0, self._inputs.take())
        if opening is not None:
            self._give(opening)

    def step(self, time: Time) -> Exchange:
        """Solve, commit, and hand over what was found."""
        self._inputs.read(self._source, complete=True)
        solution = self.federate.solve(time, self._inputs.take())
        self._inputs.messages = []
        self.federate.commit(time)
        self.due = self.federate.next_time(time)
        self._give(solution)
        for message in solution.messages:
            to = message.destination.partition("/")[0] if self.name == self._carrier else str(self._carrier)
            self._mail.letters[to].append(message)
        return solution

    def _give(self, solution: Exchange) -> None:
        for key, port, place in self._gives:
            part = np.asarray(solution.values[port])[place]
            if key in self._mail.values:
                self._mail.values[key][...] = part
            else:
                self._mail.values[key] = np.array(part)


def run_plain(federation: Federation, keep: bool = False) -> tuple[dict[str, list[Any]], float]:
    """Run all federates; each one's outputs at each step if `keep`, and the wall time [s] after the start."""
    specs = sorted(federation.federates, key=lambda spec: (spec.slot, spec.name))
    mail = Mail()
    kept: dict[str, list[Any]] = {spec.name: [] for spec in specs}
    with tempfile.TemporaryDirectory() as scratch:
        members = [Member(federation, spec, mail, Path(scratch)) for spec in specs]
        steps = [(spec.slot, member, False) for member, spec in zip(members, specs, strict=True)]
        early = [(spec.opening, m, True) for m, spec in zip(members, specs, strict=True) if spec.opening is not None]
        first = sorted([*steps, *early], key=itemgetter(0))  # openings come in between, in their slots
        began = clock.monotonic()
        for time in range(0, federation.duration, federation.step):
            for _, member, opens in first if time == 0 else steps:
                if opens:
                    member.open()
                elif member.due == time:
                    solution = member.step(time)
                    if keep:
                        kept[member.name].append({name: value.copy() for name, value in solution.values.items()})
        wall = clock.monotonic() - began
        for member in members:
            member.federate.close()
    return kept, wall
