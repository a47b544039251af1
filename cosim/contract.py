"""The federate contract: everything a model must do to take part in a co-simulation.

A newcomer reads this file and `docs/add_a_federate.md`, and writes one file `federates/<kind>.py`.
The engine calls, in this order: `ports`, `start`, then at each time `solve` (again at the same time
if `iterative`) and `commit`, and at last `close`. A federate never sees HELICS, sockets or clocks.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from cosim.settings import Settings

Time = int  #: [ns] since the scenario's start; an integer, so that equal times compare equal
Array = NDArray[np.float64] | NDArray[np.complex128]


@dataclass(frozen=True)
class Port:
    """One quantity that a federate takes in or gives out: an array over named coordinates."""

    name: str
    unit: str  #: as written in `cosim/units.py`, for example "MW", "pu", "degC", "1"
    direction: Literal["in", "out"]
    title: str  #: what it is, in a few words; the long name in results and report
    coordinates: Mapping[str, Sequence[str]] = field(default_factory=dict)  #: dimension -> labels
    initial: complex | tuple[Any, ...] | None = None  #: an input's value before the first, one number or nested
    #: tuples in its shape; such an input may stay unlinked
    is_complex: bool = False
    limit: float | None = None  #: an output that must stay within ±limit for the run to be trusted
    range: tuple[float, float] | None = None  #: what an output (of a complex one the magnitude) can physically be;
    #: an end may be infinite; a value beyond it fails the verdict
    expected: tuple[float, float] | None = None  #: likewise, what an engineer expects; what lies beyond it is named in
    #: the verdict's list of physics to look at, and leaves the run trusted, as it can be what a study is about
    absent: float | None = (
        None  #: an output's value where there is nothing to hold against these, as 0 pu at a dead bus
    )
    remedy: str = ""  #: what to look at or to set where an output is beyond one of these, in a sentence
    needs: tuple[str, ...] = ()  #: inputs, as `name` or `name[label]`: where one of them is 0, so must an output be;
    #: each is one number or has the output's shape
    outlasts: Time = 0  #: [ns] that an output may go on without what it needs, as a compressor ends its cycle
    sun: Literal["", "daylight", "elevation"] = ""  #: "daylight": an output that is 0 at night; "elevation": that of
    #: the sun [deg], as the model sees it: the verdict holds both against the sun of the scenario's place
    foretells: tuple[str, float] | None = None  #: an output of the same federate that the values by `lead` foretell,
    #: and the largest trusted error [1], root mean square over that of the output
    obeys: str = ""  #: the output `federate.port` whose values come as orders, by message: an output must be one that
    #: was ordered, and none older than what the network delivered; 0 where nothing was

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(len(labels) for labels in self.coordinates.values())


@dataclass(frozen=True)
class Flow:
    """A recorded power [W, kW, MW] that fills or empties a stock, or a recorded energy [kWh, MWh] that came in a step.

    Of complex power [kVA, MVA] the real part counts. It has the shape of the stock's energy.
    """

    output: str  #: the name of the output
    over: Literal["step that begins", "step that ends"]  #: in which the recorded value flows, from step to step
    sign: Literal[1, -1] = 1  #: 1: positive fills the stock, -1: positive empties it
    charging: float | tuple[Any, ...] = 1.0  #: share of what flows in that the stock gets [1]; also nested tuples
    discharging: float | tuple[Any, ...] = 1.0  #: share of what the stock gives that flows out [1]; as above


@dataclass(frozen=True)
class Stock:
    """A store of energy: its recorded change must be the integral of its recorded flows, at every recorded step.

    The verdict holds a run to it, and to the limits; who carries out a flow declares the stock.
    """

    energy: str  #: the name of the output [kWh, MWh]
    flows: tuple[Flow, ...] = ()  #: all that fill and empty it, losses and what is drawn among them
    capacity: float | tuple[Any, ...] | None = None  #: largest energy, one number or nested tuples in the shape of it
    least: float | None = 0.0  #: smallest energy
    tolerance: float = 1e-6  #: largest trusted error of the whole balance [energy's unit]: of numbers, not of physics
    unbalanced: str = ""  #: why its flows are not recorded, where they are not: the verdict quotes it


@dataclass(frozen=True)
class Term:
    """One part of a balance."""

    port: str  #: an output, or an input as its links bring it; of complex values the real part counts
    factor: float | tuple[Any, ...] = 1.0  #: one number or nested tuples in the port's shape: [1], or of a port in
    #: [1] the balance's unit
    total: bool = False  #: the elements are added up


@dataclass(frozen=True)
class Balance:
    """Recorded powers that must add up to nothing, or to what `bounds` allow, at every recorded step.

    The verdict adds them up anew from what was recorded, each in the unit of its port: what a model says of its own
    balance is made before a wrong unit, sign or label comes in.
    """

    name: str  #: what adds up, in a few words
    unit: str  #: a power
    terms: tuple[Term, ...]  #: the first is an output; each is one number or as long as the others
    bounds: tuple[float | tuple[Any, ...], float | tuple[Any, ...]]  #: least and largest trusted sum [unit]
    share: float = 0.0  #: of the largest term, by which the sum may be beyond the bounds [1]
    where: tuple[str, float, float] | None = None  #: an input or output of one number: held only where its magnitude
    #: lies between the two


@dataclass(frozen=True)
class Message:
    """What agents send each other; an agent is `federate` or `federate/part`."""

    source: str
    destination: str
    sent: Time
    payload: Mapping[str, Any]  #: numbers, texts and lists of them (it travels as JSON)


@dataclass(frozen=True)
class Exchange:
    """What crosses a federate's border at one time: a value for each port, and messages."""

    values: Mapping[str, Array] = field(default_factory=dict)
    messages: Sequence[Message] = ()


@dataclass(frozen=True)
class Context:
    """What a federate may know of the run that it is part of."""

    name: str  #: the federate's own name in this run
    seed: int  #: derive every random number from it with `cosim.seeds.generator`
    start: datetime  #: local standard time, without a zone
    duration: Time
    step: Time  #: the base step; every federate steps at multiples of it


class Fact(Protocol):
    """One fact of the world that federates share, such as where on Earth they are: a frozen dataclass of plain data."""

    def contradiction(self, other: Self) -> str:
        """What cannot be true of this and of `other`, in words that name who states each; empty if they agree."""


class Federate(ABC):
    """A model with ports. State changes in `commit` only, if the class says `iterative`."""

    iterative: ClassVar[bool] = False  #: `solve` may be repeated at one time
    needs_process: ClassVar[bool] = False  #: holds the GIL or a process-wide engine
    messaging: ClassVar[Literal["none", "agent", "carrier"]] = "none"  #: the carrier delivers the agents' messages
    preload: ClassVar[tuple[str, ...]] = ()  #: modules that `start` imports late, safe to import before a fork

    class Config(Settings):
        """The settings that a scenario may give; frozen, unknown keys refused."""

    def __init__(self, config: Any, context: Context) -> None:
        """Read tables and check settings, quickly: `cosim validate` builds every federate.

        It may set `self.config` to a copy that is filled in, as with the files that a file names: what the run's own
        processes are given, and what the manifest holds.
        """
        self.config = config
        self.context = context

    @abstractmethod
    def ports(self) -> Sequence[Port]:
        """The quantities taken in and given out, known before `start`."""

    def left_out(self) -> Sequence[str]:
        """What its files or settings hold and it does not use, a sentence each; `cosim validate` and the report say it.

        Only what leaves its answer right. What would change the answer is a ConfigError of `__init__`.
        """
        return ()

    def recipients(self) -> Sequence[str]:
        """The agents that it may send messages to, as far as its settings name them; each must exist."""
        return ()

    def facts(self) -> Sequence[Fact]:
        """What this federate, once built, makes known to those built after it.

        A setting whose type is that of a fact (or that or None) and which the scenario does not give takes it. A fact
        that contradicts one of its type that was known before is refused.
        """
        return ()

    def stocks(self) -> Sequence[Stock]:
        """The stores of energy among the outputs: each output in [kWh] or [MWh] is one."""
        return ()

    def balances(self) -> Sequence[Balance]:
        """What of its outputs and inputs adds up."""
        return ()

    def window_settings(self) -> Mapping[str, Any] | None:
        """What a federate that stands for this one in an event window has to take into settings of the same names.

        None: nothing could stand for it, and a window that is to follow it is refused.
        """
        return None

    def start(self, folder: Path) -> None:  # noqa: B027 - nothing to start is common
        """Start engines, in the federate's own process; `folder` is scratch space, emptied after.

        What an engine says belongs into a `*.log` there: the run's log and errors take it up. What is written into the
        working folder is kept in the run's folder.
        """

    def next_time(self, time: Time) -> Time | None:
        """The first time after `time` at which to solve (None: no more); by default each base step."""
        return (time // self.context.step + 1) * self.context.step

    @abstractmethod
    def solve(self, time: Time, inputs: Exchange) -> Exchange:
        """Give every output at `time`; `inputs.values` holds every input port, in its shape."""

    def opening(self, time: Time, inputs: Exchange) -> Exchange | None:
        """What it will about give at the run's first `time`, for those who need a value of it before they solve.

        Called once before its first `solve` where a boundary link from it is lagged: the other side begins with this
        instead of a guess. Inputs that wait for the other side hold their initial value. None: it cannot tell.
        """
        return self.solve(time, inputs) if self.iterative else None

    def commit(self, time: Time) -> None:  # noqa: B027 - stateless models have nothing to accept
        """Accept the last solution; after it `time` does not come back."""

    def close(self) -> None:  # noqa: B027
        """Release what `start` took; called once, also after a fault."""
