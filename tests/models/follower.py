"""A small real model for tests of the engine: y follows x with a first-order lag."""

from collections.abc import Sequence

import numpy as np

from cosim.contract import Context, Exchange, Federate, Port, Time
from cosim.settings import Settings
from cosim.units import PositiveDuration, written


class Follower(Federate):
    class Config(Settings):
        gain: float = 0.5
        width: int = 2
        interval: PositiveDuration = written("60 s")

    config: Config

    def __init__(self, config: Config, context: Context) -> None:
        super().__init__(config, context)
        self.state = np.zeros(config.width)
        self.next_state = self.state

    def ports(self) -> Sequence[Port]:
        labels = {"element": [str(number) for number in range(self.config.width)]}
        return [
            Port("x", "MW", "in", "what is followed", labels, initial=0.0),
            Port("y", "MW", "out", "what follows", labels),
        ]

    def next_time(self, time: Time) -> Time | None:
        return (time // self.config.interval + 1) * self.config.interval

    def solve(self, time: Time, inputs: Exchange) -> Exchange:
        self.next_state = self.state + self.config.gain * (inputs.values["x"] + 1.0 - self.state)
        return Exchange({"y": self.next_state})

    def commit(self, time: Time) -> None:
        self.state = self.next_state
