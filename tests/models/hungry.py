"""Takes 50 MB more each step, up to 1 GB. For tests of memory limits."""

import time as clock
from collections.abc import Sequence

import numpy as np

from cosim.contract import Context, Exchange, Federate, Port, Time


class Hungry(Federate):
    def __init__(self, config: object, context: Context) -> None:
        super().__init__(config, context)
        self.eaten: list[np.ndarray] = []

    def ports(self) -> Sequence[Port]:
        return [Port("y", "1", "out", "nothing much")]

    def solve(self, time: Time, inputs: Exchange) -> Exchange:
        if len(self.eaten) < 20:
            self.eaten.append(np.ones(6_250_000))
        clock.sleep(0.2)
        return Exchange({"y": np.asarray(1.0)})
