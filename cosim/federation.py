"""The federation: what a scenario expands to, and what the engine runs.

Within one base time the federates solve in the order of their slots, a microsecond of HELICS time each, so
that a value published at a slot is read at every later one. Federates that iterate share a range of slots.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from fnmatch import fnmatch
from typing import Any, NamedTuple, Protocol

from cosim.contract import Context, Federate, Port, Time
from cosim.registry import federate_class
from cosim.scenario import Limits
from cosim.settings import Settings
from cosim.site import Site
from cosim.units import Duration

MAIN_PROCESS = "main"  #: the process of all federates that need none of their own; it holds the broker

ROWS = 1_000  #: stored together at least
QUARTER = 6 * 3600 * 10**9  #: [ns] of a day

SLOT = 1_000  #: [ns] of HELICS time from one slot to the next


def is_recorded(output: str, exclude: Iterable[str]) -> bool:
    """Whether the output `federate.port` is to be recorded; patterns of `exclude` have `*` and `?`."""
    return not any(fnmatch(output, pattern) for pattern in exclude)


class Labelled(Protocol):
    """Something with named coordinates: a port, or a recorded column."""

    @property
    def coordinates(self) -> Mapping[str, Sequence[str]]: ...


class PortReference(Settings):
    """A port of a federate, or one label of its first coordinate."""

    federate: str
    port: str
    label: str | None = None

    def __str__(self) -> str:
        return f"{self.federate}.{self.port}" + (f"[{self.label}]" if self.label is not None else "")

    @classmethod
    def parse(cls, text: str) -> PortReference:
        """Read `federate.port` or `federate.port[label]`. Raises ValueError."""
        federate, dot, rest = text.partition(".")
        port, bracket, label = rest.partition("[")
        if not (federate and dot and port) or (bracket and not label.endswith("]")):
            raise ValueError(f"must be 'federate.port' or 'federate.port[label]', got '{text}'")
        return cls(federate=federate, port=port, label=label[:-1] if bracket else None)

    def index(self, port: Labelled) -> tuple[int, ...]:
        """The position of the label in the array of a port or column; () for the whole. Raises ValueError."""
        if self.label is None:
            return ()
        labels = list(next(iter(port.coordinates.values()), ()))
        return (labels.index(self.label),)

    def shape(self, port: Port) -> tuple[int, ...]:
        """The shape of the part of `port` that is meant."""
        return port.shape if self.label is None else port.shape[1:]


class LinkSpec(Settings):
    """A value's way from one federate to another."""

    source: PortReference
    destination: PortReference
    gain: float = 1.0
    lagged: bool = False
    """True: the link does not order the two within a base time; the destination takes the last value."""
    late: bool = False
    """True: the source may begin later than the destination, which has its initial value until then."""
    tolerance: float | None = None
    """A boundary link: the largest trusted difference between what was used and what then held [port's unit]."""

    @property
    def key(self) -> str:
        return f"{self.source}->{self.destination}"


class Span(NamedTuple):
    """When a federate acts, or may: at each multiple of `step`, from `first` to `last` [ns] after it."""

    step: Time
    first: Time
    last: Time

    def meets(self, start: Time, end: Time) -> bool:
        """Whether that is at some time from `start` to `end` [ns], both included."""
        latest = (end - self.first) // self.step * self.step  # the last multiple at which it begins by `end`
        return latest + self.last >= start


class Bundle(NamedTuple):
    """What one federate gives to another process, as one value of HELICS."""

    source: str
    process: str  #: where it is used
    parts: tuple[str, ...]  #: the ports, or their labels, in the order in which they follow each other

    @property
    def key(self) -> str:
        """Its name in HELICS."""
        return f"{self.source} for {self.process}"


class StandIn(Settings):
    """That a federate takes the place of another one of the day."""

    federate: str
    """The one of the day."""
    opening: Duration
    """When the event window opens; before it, both are the same feeder in two models."""


class FederateSpec(Settings):
    """One federate as the engine starts it."""

    name: str
    kind: str
    settings: dict[str, Any]
    slot: int
    """Its first slot within a base time."""
    opening: int | None = None
    """The slot of the first base time in which it says what it will about give, where others need that before."""
    group: int | None = None
    """The number of the iterated group that it belongs to."""
    process: str
    """The process that it runs in; federates of one process take turns."""
    step: Duration | None = None
    """Its own base step where that is a multiple of the federation's."""
    stands_for: StandIn | None = None
    """Whose place it takes, if it is the feeder of an event window."""


class IterationGroup(Settings):
    """Federates that repeat their solution at one time until their inputs no longer change."""

    members: tuple[str, ...]
    """In their order within a round; the first one decides when to stop."""
    first_slot: int
    max_rounds: int

    def slot(self, member: str, round_number: int) -> int:
        """The slot of `member` in a round, counted from 0."""
        return self.first_slot + round_number * len(self.members) + self.members.index(member)


class OrderSpec(Settings):
    """That one output holds what another one has ordered by message, and nobody else orders there."""

    obeying: PortReference
    ordered: PortReference


class LeftOut(Settings):
    """Something that a scenario or its files hold and nobody uses; not an error, but never unsaid."""

    federate: str | None = None
    """Whose file or setting it is; none: something that the scenario offers."""
    what: str
    """In one sentence."""

    def __str__(self) -> str:
        return self.what if self.federate is None else f"{self.federate}: {self.what}"


class Federation(Settings):
    """All that the engine needs, as plain data: it is handed to the processes as JSON."""

    scenario: str
    seed: int
    start: datetime
    duration: Duration
    step: Duration
    federates: tuple[FederateSpec, ...]
    links: tuple[LinkSpec, ...]
    groups: tuple[IterationGroup, ...] = ()
    exclude: tuple[str, ...] = ()
    unlooked: tuple[str, ...] = ()
    """Outputs, as `federate.port`, of which something is expected that nobody can look at: they are not recorded."""
    chunk: Duration | None = None
    """Simulated time per stored chunk; none: as `rows_per_chunk` says."""
    crash_safe: bool = False
    """Whether what is recorded is brought to the disk as it arises."""
    limits: Limits
    left_out: tuple[LeftOut, ...] = ()
    orders: tuple[OrderSpec, ...] = ()
    site: Site | None = None
    """Where on Earth it plays, where that is known."""

    def rows_per_chunk(self, spec: FederateSpec) -> int:
        """How many rows of a federate are stored together: few files a day, and not for each of them a few numbers."""
        step = spec.step or self.step
        return max(1, self.chunk // step if self.chunk is not None else max(ROWS, QUARTER // step))

    def context(self, name: str) -> Context:
        """What the federate `name` may know of the run."""
        own = next((spec.step for spec in self.federates if spec.name == name), None)
        return Context(name=name, seed=self.seed, start=self.start, duration=self.duration, step=own or self.step)

    def build(self, spec: FederateSpec) -> Federate:
        """The federate itself, not yet started."""
        kind = federate_class(spec.kind)
        return kind(kind.Config.model_validate(spec.settings), self.context(spec.name))

    def links_to(self, name: str) -> Sequence[LinkSpec]:
        """The links that end at the federate `name`."""
        return [link for link in self.links if link.destination.federate == name]

    def links_from(self, name: str) -> Sequence[LinkSpec]:
        """The links that begin at the federate `name`."""
        return [link for link in self.links if link.source.federate == name]

    def bundles(self) -> tuple[Bundle, ...]:
        """What crosses the borders of processes."""
        process = {spec.name: spec.process for spec in self.federates}
        found: dict[tuple[str, str], dict[str, None]] = {}
        for link in self.links:
            source, to = link.source.federate, process[link.destination.federate]
            if process[source] != to:
                found.setdefault((source, to), {})[str(link.source)] = None
        return tuple(Bundle(source, to, tuple(parts)) for (source, to), parts in found.items())

    def spans_elsewhere(self, process: str) -> dict[str, tuple[Span, ...]]:
        """When federates act, or may, in each process other than `process`."""
        return {
            name: tuple(sorted({span for spec in specs for span in self._spans(spec)}))
            for name, specs in self.processes.items()
            if name != process
        }

    def _spans(self, spec: FederateSpec) -> Iterator[Span]:
        slots = self._slots(spec)
        yield Span(spec.step or self.step, slots[0] * SLOT, slots[-1] * SLOT)
        if spec.opening is not None:  # once: at the first of the multiples of the whole duration
            yield Span(self.duration, spec.opening * SLOT, spec.opening * SLOT)

    def _slots(self, spec: FederateSpec) -> range:
        """The slots in which a federate acts, or may."""
        if spec.group is None:
            return range(spec.slot, spec.slot + 1)
        group = self.groups[spec.group]
        return range(group.slot(spec.name, 0), group.slot(spec.name, group.max_rounds) + 1)

    @property
    def processes(self) -> dict[str, tuple[FederateSpec, ...]]:
        """The federates of each process."""
        found: dict[str, tuple[FederateSpec, ...]] = {}
        for spec in self.federates:
            found[spec.process] = (*found.get(spec.process, ()), spec)
        return found

    @property
    def carrier(self) -> str | None:
        """The federate that carries the messages."""
        return next((s.name for s in self.federates if federate_class(s.kind).messaging == "carrier"), None)

    @property
    def agents(self) -> tuple[str, ...]:
        """The federates that send and receive messages."""
        return tuple(s.name for s in self.federates if federate_class(s.kind).messaging == "agent")
