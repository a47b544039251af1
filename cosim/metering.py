"""What a feeder and its operator tell each other: meter readings one way, demand-response requests the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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

    def at(self, time: Time) -> float:
        """The offset [K] that holds at `time` [ns]."""
        return self.offset if time / 1e9 < self.until else 0.0


def requested(before: Request, messages: Sequence[Message]) -> Request:
    """The request that holds after `messages`: the last one counts. Raises ContractError for any other message."""
    for message in messages:
        before = _request(message)
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
    return Request(offset, until)


@dataclass(frozen=True)
class Meter:
    """The powers [MW] of the steps since the last reading."""

    source: str  #: the feeder
    destination: str  #: the agent that gets the readings; "": nobody
    interval: Time  #: [ns] a reading is sent at each multiple of it
    powers: tuple[float, ...] = ()

    def reading(self, time: Time, power: float) -> tuple[Meter, list[Message]]:
        """The meter after the step to `time` at `power` [MW], and its reading where one is due: their mean."""
        if not self.destination:
            return self, []
        powers = (*self.powers, power) if time > 0 else self.powers
        if time % self.interval or not powers:
            return self._with(powers), []
        payload: Mapping[str, float] = {"power_MW": float(np.mean(powers)), "time_s": time / 1e9}
        return self._with(()), [Message(self.source, self.destination, time, payload)]

    def _with(self, powers: tuple[float, ...]) -> Meter:
        return Meter(self.source, self.destination, self.interval, powers)
