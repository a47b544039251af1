"""The communications network: takes every message in, gives each out when it arrives, or never.

It is the run's one carrier: what agents sent since the last step comes in as messages, what has
arrived by now goes out. The delay model is `solvers/communications.py`.
"""

from __future__ import annotations

import heapq
import json
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Annotated, ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from cosim import seeds
from cosim.contract import Context, Exchange, Federate, Message, Port, Time
from cosim.errors import ConfigError
from cosim.settings import Settings
from cosim.units import Duration, quantity
from solvers import communications as model

DEFAULT = "default"  #: the link of the messages that no rule matches

#: Upper edges [s] of the latency bins but the last, three to a decade: 1, 2, 5, 10 ms ... 1000 s
BIN_EDGES = np.array([digit * 10.0**decade for decade in range(-3, 3) for digit in (1, 2, 5)] + [1000.0])
BIN_LABELS = (*(f"up to {edge:g} s" for edge in BIN_EDGES), "above 1000 s")


class ConstantLatency(Settings):
    """Every message takes the same time."""

    distribution: Literal["constant"]
    mean: Duration
    """The latency."""

    def build(self) -> model.Latency:
        """The distribution in seconds."""
        return model.Constant(self.mean * 1e-9)


class UniformLatency(Settings):
    """Any latency between two bounds is as likely as another."""

    distribution: Literal["uniform"]
    low: Duration
    """The shortest latency."""
    high: Duration
    """The longest latency."""

    def build(self) -> model.Latency:
        """The distribution in seconds."""
        return model.Uniform(self.low * 1e-9, self.high * 1e-9)


class LogNormalLatency(Settings):
    """The logarithm of the latency is normal: a long tail."""

    distribution: Literal["lognormal"]
    median: Duration
    """Half of the messages are faster."""
    sigma: float
    """Standard deviation of the natural logarithm [1]."""

    def build(self) -> model.Latency:
        """The distribution in seconds."""
        return model.LogNormal(self.median * 1e-9, self.sigma)


class ShiftedGammaLatency(Settings):
    """A smallest latency plus a gamma-distributed wait."""

    distribution: Literal["shifted_gamma"]
    minimum: Duration
    """What distance and processing cost at best."""
    mean: Duration
    """The expected latency, the minimum included."""
    shape: float
    """Shape of the gamma part [1]; 1 is exponential."""

    def build(self) -> model.Latency:
        """The distribution in seconds."""
        return model.ShiftedGamma(self.minimum * 1e-9, self.mean * 1e-9, self.shape)


class Profile(Settings):
    """What the channels of a link are like."""

    latency: Annotated[
        ConstantLatency | UniformLatency | LogNormalLatency | ShiftedGammaLatency,
        Field(discriminator="distribution"),
    ]
    """Time from leaving the queue to arrival, above zero."""
    bandwidth: Annotated[float, quantity("bit/s")] | None = None
    """A message needs its bits divided by this, and the next one waits; none: unlimited."""
    loss: float = 0.0
    """Share of messages that are sent and never arrive [1]."""
    max_queue: Annotated[float, quantity("B")] | None = None
    """A message that would make the bytes waiting exceed this is dropped; none: no limit."""
    shared: bool = False
    """All who use the link share one channel (a radio cell); otherwise each pair has its own (a line)."""
    outage: Literal["drop", "hold"] = "drop"
    """Messages sent while the link is down are dropped, or held until it is back."""

    def build(self) -> model.Profile:
        """The profile in SI units. Raises CommunicationError (a ValueError)."""
        return model.Profile(
            latency=self.latency.build(),
            bandwidth=math.inf if self.bandwidth is None else self.bandwidth,
            loss=self.loss,
            max_queue=math.inf if self.max_queue is None else self.max_queue,
            shared=self.shared,
            outage=self.outage,
            source="the scenario",
        )

    @model_validator(mode="after")
    def _possible(self) -> Profile:
        self.build()
        return self


class Link(Settings):
    """The messages from certain agents to certain agents, and the profile that they get."""

    name: str = Field(min_length=1)
    """The link's name in results and in outages."""
    source: str = "*"
    """Pattern of the sending agents, for example "feeder_*/*"."""
    destination: str = "*"
    """Pattern of the receiving agents, for example "dispatch"."""
    profile: str
    """A profile named under `profiles`, or one of: ideal, fibre, lte, rf_mesh."""

    def covers(self, other: Link) -> bool:
        """Whether it takes every message that `other` would take, as far as their patterns tell."""
        pairs = ((self.source, other.source), (self.destination, other.destination))
        return all(pattern in ("*", text) for pattern, text in pairs)

    def carries(self, source: str, destination: str) -> bool:
        """Whether the link takes messages from `source` to `destination`."""
        return fnmatchcase(source, self.source) and fnmatchcase(destination, self.destination)


class _Numbered(NamedTuple):
    """A message and its number in the order of sending."""

    sequence: int
    message: Message


class _InFlight(NamedTuple):
    """A message on its way; the order of these is the order of delivery."""

    arrival: Time
    source: str
    sequence: int
    link: int
    message: Message


ChannelKey = tuple[int, str, str]  #: link, source, destination; the last two empty where shared


class Communications(Federate):
    """Delays, queues and loses messages by link.

    A message belongs to the first link rule whose patterns match its source and destination, else
    to the link "default". Its size is that of its payload as JSON plus `header`. Messages that
    arrive at the same nanosecond are delivered by source, then in the order sent. Steps round
    delivery up: what arrives between two steps is delivered at the later one; a message is never
    delivered at the time at which it was sent.

    A link's availability is seen when messages are taken in, once a step: an outage drops or holds
    what was sent during the step before; what was already under way arrives.
    """

    messaging: ClassVar[Literal["none", "agent", "carrier"]] = "carrier"
    preload: ClassVar[tuple[str, ...]] = ("scipy.special",)

    class Config(Settings):
        """Settings of the communications network."""

        profile: str = "fibre"
        """The profile of messages that no link matches."""
        links: tuple[Link, ...] = ()
        """Link rules; the first that matches a message takes it."""
        profiles: Mapping[str, Profile] = Field(default_factory=dict)
        """Profiles of one's own, by name, beside ideal, fibre, lte and rf_mesh."""
        agents: tuple[str, ...] = ()
        """Who sends and receives messages; filled in by the wiring."""
        header: Annotated[float, quantity("B")] = Field(default=62, ge=0)
        """Overhead of a message: by default IPv4 20 B (RFC 791), TCP 20 B (RFC 9293) and a TLS 1.3 record
        22 B (RFC 8446)."""

    config: Communications.Config

    def __init__(self, config: Communications.Config, context: Context) -> None:
        super().__init__(config, context)
        self._labels = (*(link.name for link in config.links), DEFAULT)
        self._profiles = self._chosen_profiles()
        count = len(self._labels)
        self._link_of_pair: dict[tuple[str, str], int] = {}
        self._channels: dict[ChannelKey, model.Channel] = {}
        self._held: defaultdict[ChannelKey, list[_Numbered]] = defaultdict(list)
        self._in_flight: list[_InFlight] = []
        self._sequence = 0
        self._sent = np.zeros(count)
        self._delivered = np.zeros(count)
        self._dropped = np.zeros(count)
        self._histogram = np.zeros((count, len(BIN_LABELS)))

    def left_out(self) -> Sequence[str]:
        """Link rules that no agent fits, and profiles that no link has."""
        return (*self._dead_rules(), *self._covered_rules(), *self._idle_profiles())

    def _dead_rules(self) -> Iterator[str]:
        agents = self.config.agents
        for rule in self.config.links if agents else ():
            for pattern in (rule.source, rule.destination):
                if not any(fnmatchcase(agent, pattern.partition("/")[0]) for agent in agents):
                    known = ", ".join(agents)
                    yield f"link '{rule.name}' carries nothing: no agent is called '{pattern}', only {known}."

    def _covered_rules(self) -> Iterator[str]:
        rules = self.config.links
        for position, rule in enumerate(rules):
            for before in rules[:position]:
                if before.covers(rule):
                    yield f"link '{rule.name}' carries nothing: '{before.name}' before it takes all of its messages."
                    break

    def _idle_profiles(self) -> Iterator[str]:
        used = {self.config.profile, *(link.profile for link in self.config.links)}
        for name in self.config.profiles:
            if name not in used:
                yield f"no link has the profile '{name}'."

    def ports(self) -> Sequence[Port]:
        """Counts are cumulative since the start; sent = delivered + dropped + in flight at every step."""
        link = {"link": self._labels}
        bins = {**link, "latency_bin": BIN_LABELS}
        return (
            Port("link_available", "1", "in", "link is up (1) or down (0)", link, initial=1.0),
            Port("sent", "1", "out", "messages taken in since the start", link),
            Port("delivered", "1", "out", "messages delivered since the start", link),
            Port("dropped", "1", "out", "messages lost or dropped since the start", link),
            Port("in_flight", "1", "out", "messages queued, held or under way", link),
            Port("latency_mean", "s", "out", "mean latency of those delivered this step, 0 if none", link),
            Port("latency_max", "s", "out", "longest latency of those delivered this step, 0 if none", link),
            Port("queue", "B", "out", "bytes waiting to be sent or held", link),
            Port("latency_histogram", "1", "out", "messages delivered since the start, by latency", bins),
        )

    def solve(self, time: Time, inputs: Exchange) -> Exchange:
        """Take in what was sent since the last step, deliver what has arrived by `time`."""
        self._take_in(time, inputs.messages, np.asarray(inputs.values["link_available"]).real > 0.5)
        arrived = list(self._arrived(time))
        link = np.array([entry.link for entry in arrived], int)
        latency = np.array([(entry.arrival - entry.message.sent) * 1e-9 for entry in arrived])
        count = np.bincount(link, minlength=len(self._labels)).astype(float)
        total = np.bincount(link, latency, minlength=len(self._labels))
        longest = np.zeros(len(self._labels))
        np.maximum.at(longest, link, latency)
        # A hair above each edge: a latency of just 1 ms may come out as 0.001 s and a rounding error.
        np.add.at(self._histogram, (link, np.searchsorted(BIN_EDGES * (1 + 1e-12), latency)), 1.0)
        self._delivered += count
        return Exchange(
            values={
                "sent": self._sent.copy(),
                "delivered": self._delivered.copy(),
                "dropped": self._dropped.copy(),
                "in_flight": self._sent - self._delivered - self._dropped,
                "latency_mean": total / np.maximum(count, 1.0),
                "latency_max": longest,
                "queue": self._queue(time),
                "latency_histogram": self._histogram.copy(),
            },
            messages=[entry.message for entry in arrived],
        )

    def _chosen_profiles(self) -> tuple[model.Profile, ...]:
        """The profile of each link. Raises ConfigError for a name that is taken or unknown."""
        for index, name in enumerate(self._labels[:-1]):
            if name in self._labels[:index] or name == DEFAULT:
                raise ConfigError(
                    f"links.{index}.name",
                    f"the name '{name}' is taken.",
                    "Give every link a name of its own.",
                )
        for name in self.config.profiles:
            if name in model.PROFILES:
                raise ConfigError(
                    f"profiles.{name}", f"the name '{name}' is that of a shipped profile.", "Choose another."
                )
        known = model.PROFILES | {name: profile.build() for name, profile in self.config.profiles.items()}
        asked = [(f"links.{index}.profile", link.profile) for index, link in enumerate(self.config.links)]
        asked.append(("profile", self.config.profile))
        for field, name in asked:
            if name not in known:
                raise ConfigError(
                    field, f"there is no communications profile '{name}'.", f"Use one of: {', '.join(known)}."
                )
        return tuple(known[name] for _, name in asked)

    def _link(self, message: Message) -> int:
        pair = (message.source, message.destination)
        if pair not in self._link_of_pair:
            rules = self.config.links
            self._link_of_pair[pair] = next(
                (index for index, rule in enumerate(rules) if rule.carries(*pair)), len(rules)
            )
        return self._link_of_pair[pair]

    def _channel_key(self, message: Message) -> ChannelKey:
        link = self._link(message)
        if self._profiles[link].shared:
            return (link, "", "")
        return (link, message.source, message.destination)

    def _channel(self, key: ChannelKey) -> model.Channel:
        if key not in self._channels:
            link, source, destination = key
            generator = seeds.generator(self.context.seed, self.context.name, self._labels[link], source, destination)
            self._channels[key] = model.Channel(self._profiles[link], generator)
        return self._channels[key]

    def _take_in(self, time: Time, messages: Sequence[Message], available: NDArray[np.bool_]) -> None:
        """Send, hold or drop each of `messages`, and send what was held where the link is back."""
        new: defaultdict[ChannelKey, list[_Numbered]] = defaultdict(list)
        # The sort is stable: what one agent sent at one time keeps its order.
        for message in sorted(messages, key=lambda message: (message.sent, message.source)):
            new[self._channel_key(message)].append(_Numbered(self._sequence, message))
            self._sequence += 1
        for key in sorted({*new, *self._held}):
            link, come = key[0], new[key]
            self._sent[link] += len(come)
            if available[link]:
                back = self._held.pop(key, [])
                self._send(key, [*back, *come], earliest=time if back else 0)
            elif self._profiles[link].outage == "hold":
                self._held[key] += come
            else:
                self._channel(key).skip(len(come))
                self._dropped[link] += len(come)

    def _send(self, key: ChannelKey, numbered: list[_Numbered], earliest: Time) -> None:
        """Put messages on their channel, none before `earliest`."""
        entry = np.maximum(np.array([message.sent for _, message in numbered], np.int64), earliest)
        size = np.array([self._size(message) for _, message in numbered])
        arrival, arrives = self._channel(key).send(entry, size)
        self._dropped[key[0]] += len(numbered) - np.count_nonzero(arrives)
        for (sequence, message), when, comes in zip(numbered, arrival.tolist(), arrives.tolist(), strict=True):
            if comes:
                heapq.heappush(self._in_flight, _InFlight(when, message.source, sequence, key[0], message))

    def _arrived(self, time: Time) -> Iterator[_InFlight]:
        while self._in_flight and self._in_flight[0].arrival <= time:
            yield heapq.heappop(self._in_flight)

    def _size(self, message: Message) -> float:
        """Bytes on the channel [B]."""
        return self.config.header + len(json.dumps(dict(message.payload), separators=(",", ":")).encode())

    def _queue(self, time: Time) -> NDArray[np.float64]:
        """Bytes waiting or held, by link [B]."""
        queue = np.zeros(len(self._labels))
        for (link, _, _), channel in self._channels.items():
            queue[link] += channel.backlog(time)
        for (link, _, _), messages in self._held.items():
            queue[link] += sum(self._size(message) for _, message in messages)
        return queue
