"""Gives its step's time, and what it saw at its input: who stepped before whom can be read off. For tests of order."""

from collections.abc import Sequence

import numpy as np

from cosim.contract import Exchange, Federate, Port, Time
from cosim.settings import Settings
from cosim.units import PositiveDuration, written

SECOND = 10**9


class Ticker(Federate):
    class Config(Settings):
        interval: PositiveDuration = written("60 s")

    config: Config

    def ports(self) -> Sequence[Port]:
        return [
            Port("x", "s", "in", "what another one gave last", initial=-1.0),
            Port("stamp", "s", "out", "time of the step"),
            Port("saw", "s", "out", "the input at the step"),
        ]

    def next_time(self, time: Time) -> Time | None:
        return (time // self.config.interval + 1) * self.config.interval

    def solve(self, time: Time, inputs: Exchange) -> Exchange:
        return Exchange({"stamp": np.asarray(time / SECOND), "saw": inputs.values["x"]})
