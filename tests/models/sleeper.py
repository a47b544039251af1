"""Takes 20 ms of wall time a step. For tests of runs that should be ended."""

import time as clock
from collections.abc import Sequence

import numpy as np

from cosim.contract import Exchange, Federate, Port, Time


class Sleeper(Federate):
    def ports(self) -> Sequence[Port]:
        return [Port("y", "1", "out", "nothing much")]

    def solve(self, time: Time, inputs: Exchange) -> Exchange:
        clock.sleep(0.02)
        return Exchange({"y": np.asarray(1.0)})
