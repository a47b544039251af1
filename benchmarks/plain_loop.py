"""The floor for a federation: the same federates in one process, called one after the other, nothing between.

No HELICS, no processes, no checks, no recording. It also checks the engine: values must be bit-identical to
those of the federation (`tests/test_plain_loop.py`). Iterated groups are not supported.
"""

from __future__ import annotations

import tempfile
import time as clock
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cosim.contract import Array, Exchange, Federate, Message
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


def run_plain(federation: Federation, keep: bool = False) -> tuple[dict[str, list[Any]], float]:
    """Run all federates; each one's outputs at each step if `keep`, and the wall time [s] after the start."""
    specs = sorted(federation.federates, key=lambda spec: (spec.slot, spec.name))
    federates: dict[str, Federate] = {}
    inputs: dict[str, Inputs] = {}
    sources: dict[str, list[Any]] = {}
    mail = Mail()
    kept: dict[str, list[Any]] = {spec.name: [] for spec in specs}
    with tempfile.TemporaryDirectory() as scratch:
        for spec in specs:
            federate = federates[spec.name] = federation.build(spec)
            federate.start(Path(scratch))
            inputs[spec.name] = Inputs(federate.ports(), federation.links_to(spec.name))
            sources[spec.name] = _sources(federation, spec, federate)
        due = {spec.name: federates[spec.name].next_time(-1) for spec in specs}
        began = clock.monotonic()
        for time in range(0, federation.duration, federation.step):
            for spec in specs:
                if due[spec.name] == time:
                    outputs = _step(
                        federation, spec, federates[spec.name], inputs[spec.name], sources[spec.name], mail, time
                    )
                    due[spec.name] = federates[spec.name].next_time(time)
                    if keep:
                        kept[spec.name].append(outputs)
        wall = clock.monotonic() - began
        for federate in federates.values():
            federate.close()
    return kept, wall


def _sources(federation: Federation, spec: FederateSpec, federate: Federate) -> list[Any]:
    ports = {port.name: port for port in federate.ports() if port.direction == "out"}
    return [
        (str(i.source), i.source.port, i.source.index(ports[i.source.port])) for i in federation.links_from(spec.name)
    ]


def _step(
    federation: Federation,
    spec: FederateSpec,
    federate: Federate,
    inputs: Inputs,
    sources: list[Any],
    mail: Mail,
    time: int,
) -> dict[str, Array]:
    inputs.read(Direct(federation, spec.name, mail), complete=True)
    solution: Exchange = federate.solve(time, inputs.take())
    inputs.messages = []
    federate.commit(time)
    for key, port, index in sources:
        part: Any = np.asarray(solution.values[port])[(*index, ...)]
        if key in mail.values:
            mail.values[key][...] = part
        else:
            mail.values[key] = np.array(part)
    carrier = federation.carrier
    for message in solution.messages:
        to = message.destination.partition("/")[0] if spec.name == carrier else str(carrier)
        mail.letters[to].append(message)
    return {name: value.copy() for name, value in solution.values.items()}
