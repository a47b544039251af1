"""What a feeder and its operator tell each other: meter readings one way, demand-response requests the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from cosim.contract import Message, Time
from cosim.errors import ContractError


@dataclass(frozen=True)
class Request:
    """A demand-response request: thermostats give way by `offset` [K] until a time [s].

    A positive offset saves in summer and winter: cooling sets in that much warmer, electric heating that much colder.
    """

    offset: float = 0.0
    until: float = 0.0
    sent: Time = -1  #: [ns]

    def at(self, time: Time) -> float:
        """The offset [K] that holds at `time` [ns]."""
        return self.offset if time / 1e9 < self.until else 0.0


def requested(before: Request, messages: Sequence[Message]) -> Request:
    """The request that holds after `messages`: the one that was sent last, whenever it came.

    Raises ContractError for any other message.
    """
    for message in messages:
        request = _request(message)
        before = request if request.sent >= before.sent else before
    return before


def _request(message: Message) -> Request:
    payload = message.payload
    try:
        offset, until = float(payload["thermostat_offset_degC"]), float(payload["until_s"])
    except (KeyError, TypeError, ValueError):
        offset = until = float("nan")
    if set(payload) != {"thermostat_offset_degC", "until_s"} or not np.isfinite([offset, until]).all():
        raise ContractError(
            f"{message.source} sent {dict(payload)}; a feeder takes demand-response requests with the numbers "
            "thermostat_offset_degC and until_s"
        )
    return Request(offset, until, message.sent)


@dataclass(frozen=True)
class Meter:
    """The energy since the last reading, of a power that holds from each step to the next, as results take it."""

    source: str  #: the feeder
    destination: str  #: the agent that gets the readings; "": nobody
    interval: Time  #: [ns] a reading is sent at each multiple of it
    energy: float = 0.0  #: [MW ns] since `since`
    since: Time = 0  #: [ns] when the last reading was due
    last: tuple[Time, float] | None = None  #: [ns], [MW] the step before

    def reading(self, time: Time, power: float) -> tuple[Meter, list[Message]]:
        """The meter after the step to `time`, from which on it sees `power` [MW], and its reading where one is due.

        A reading is the mean from the one before, or from the first step, to `time`; `power` counts in the next one.
        """
        if not self.destination:
            return self, []
        if self.last is None:
            return replace(self, since=time, last=(time, power)), []
        before, held = self.last
        energy = self.energy + held * (time - before)
        if time % self.interval:
            return replace(self, energy=energy, last=(time, power)), []
        length = time - self.since
        payload: Mapping[str, float] = {
            "power_MW": energy / length,
            "time_s": time / 1e9,
            "interval_s": length / 1e9,
        }
        meter = replace(self, energy=0.0, since=time, last=(time, power))
        return meter, [Message(self.source, self.destination, time, payload)]
