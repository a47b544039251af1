"""What the federates of one process exchange: among themselves in memory, with other processes through HELICS.

The way a value or message takes makes no difference to what arrives: where the federates run changes no bit of the
results.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from cosim.contract import Array, Message
from cosim.engine.connection import Membership, signal_key
from cosim.engine.outputs import Outputs
from cosim.errors import ContractError
from cosim.federation import FederateSpec, Federation

LETTER = 2**20  #: [B] of messages that travel together; HELICS takes sixteen times as much


class Switchboard:
    """The exchange of one process."""

    def __init__(self, federation: Federation, membership: Membership, inside: Sequence[str]) -> None:
        self.federation, self.membership, self.inside = federation, membership, frozenset(inside)
        self._carrier, self._agents = federation.carrier, frozenset(federation.agents)
        self._offered: dict[str, Array] = {}
        self._published: set[str] = set()
        self._agreed: dict[str, bool] = {}
        self._letters: dict[str, list[bytes]] = defaultdict(list)

    def offer(self, source: str, parts: Mapping[str, Array]) -> None:
        """Say where that lies which the federate `source` gives to those who use it."""
        self._offered |= parts
        self.membership.offer(source, parts)

    def publish(self, source: str) -> None:
        """Say that there is a new value of all that the federate `source` offers."""
        self._published.add(source)
        self.membership.publish(source)

    def value(self, key: str, source: str) -> Array | None:
        """Where the newest value `key` of the federate `source` lies; None as long as none ever came."""
        if source not in self.inside:
            return self.membership.value(key)
        return self._offered[key] if source in self._published else None

    def signal(self, group: int, agreed: bool) -> None:
        """Tell the members of a group whether this round is the last."""
        self._agreed[signal_key(group)] = agreed
        self.membership.signal(signal_key(group), agreed)

    def signalled(self, group: int) -> bool:
        """Whether the leader of a group has ended the rounds."""
        key = signal_key(group)
        if self.federation.groups[group].members[0] in self.inside:
            return self._agreed.get(key, False)
        return self.membership.signalled(key)

    def send(self, sender: str, messages: Sequence[Message]) -> None:
        """Hand an agent's messages to the carrier, or the carrier's to the agents that they are for, in their order.

        All that goes one way travels together: a letter by itself costs HELICS more than the messages in it.
        """
        bags: dict[str, list[bytes]] = {}
        for message in messages:
            bags.setdefault(self._receiver_of(sender, message), []).append(_written(message))
        for to, bag in bags.items():
            for letter in _letters(bag):
                if to in self.inside:
                    self._letters[to].append(letter)
                else:
                    self.membership.send(to if sender == self._carrier else sender, letter)

    def _receiver_of(self, sender: str, message: Message) -> str:
        """The federate that gets a message next. Raises ContractError if there is none of that name."""
        if sender != self._carrier:
            return str(self._carrier)
        to = message.destination.partition("/")[0]
        if to not in self._agents:
            agents = ", ".join(sorted(self._agents))
            raise ContractError(f"{message.source} sent a message to '{to}', which is no agent; agents: {agents}")
        return to

    def receive(self, receiver: str) -> list[Message]:
        """All messages that have come for `receiver`: the carrier's by time and source, an agent's as delivered."""
        letters = self._letters.pop(receiver, [])
        if receiver == self._carrier:
            for agent in self.membership.correspondents:
                letters += self.membership.receive(agent)
        elif receiver in self.membership.correspondents and self._carrier not in self.inside:
            letters += self.membership.receive(receiver)
        messages = [Message(*entry) for letter in letters for entry in json.loads(letter)]
        if receiver == self._carrier:
            messages.sort(key=lambda message: (message.sent, message.source))
        return messages


def _written(message: Message) -> bytes:
    """A message as JSON, its fields in their order."""
    return json.dumps((message.source, message.destination, message.sent, message.payload)).encode()


def _letters(bag: Sequence[bytes]) -> Iterator[bytes]:
    """The messages of a bag as lists in JSON, each of about `LETTER` at most."""
    letter: list[bytes] = []
    size = 0
    for message in bag:
        if letter and size + len(message) > LETTER:
            yield b"[" + b",".join(letter) + b"]"
            letter, size = [], 0
        letter.append(message)
        size += len(message)
    yield b"[" + b",".join(letter) + b"]"


class Line:
    """One federate's line to the switchboard."""

    def __init__(self, switchboard: Switchboard, spec: FederateSpec, outputs: Outputs, messaging: str) -> None:
        self._board, self._spec, self._messaging = switchboard, spec, messaging
        federation = switchboard.federation
        self._sources = [(str(link.source), link.source.federate) for link in federation.links_to(spec.name)]
        own = {str(link.source): link.source for link in federation.links_from(spec.name)}
        switchboard.offer(spec.name, {key: outputs.part(reference) for key, reference in own.items()})

    def value(self, position: int) -> Array | None:
        """Where the newest value of the link at `position` lies; None as long as none ever came."""
        return self._board.value(*self._sources[position])

    def publish(self) -> None:
        """Say that there is a new value of every output."""
        self._board.publish(self._spec.name)

    def send(self, messages: Sequence[Message]) -> None:
        """Send messages, in their order."""
        if messages:
            self._board.send(self._spec.name, messages)

    def receive(self) -> list[Message]:
        """Take all messages that have come."""
        return [] if self._messaging == "none" else self._board.receive(self._spec.name)

    def signal(self, agreed: bool) -> None:
        """Leader of an iterated group: tell the others whether this round is the last."""
        self._board.signal(self._group, agreed)

    def signalled(self) -> bool:
        """Member of an iterated group: whether the leader has ended the rounds."""
        return self._board.signalled(self._group)

    @property
    def _group(self) -> int:
        if self._spec.group is None:
            raise ContractError(f"'{self._spec.name}' belongs to no iterated group")
        return self._spec.group
