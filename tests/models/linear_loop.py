"""y = offset + slope x, able to repeat a step: two in a ring have one fixed point. For tests of iteration."""

from collections.abc import Sequence

import numpy as np

from cosim.contract import Exchange, Federate, Port, Time
from cosim.settings import Settings


class LinearLoop(Federate):
    iterative = True

    class Config(Settings):
        offset: float = 1.0
        slope: float = 0.5

    config: Config

    def ports(self) -> Sequence[Port]:
        return [Port("x", "MW", "in", "what comes in", initial=0.0), Port("y", "MW", "out", "what goes out")]

    def solve(self, time: Time, inputs: Exchange) -> Exchange:
        return Exchange({"y": np.asarray(self.config.offset + self.config.slope * inputs.values["x"])})
