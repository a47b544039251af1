"""Records much: fills any disk. For tests of what happens then."""

from collections.abc import Sequence

import numpy as np

from cosim.contract import Exchange, Federate, Port, Time
from cosim.seeds import generator
from cosim.settings import Settings


class Filler(Federate):
    class Config(Settings):
        width: int = 2000

    config: Config

    def ports(self) -> Sequence[Port]:
        labels = {"element": [str(number) for number in range(self.config.width)]}
        return [
            Port("noise", "1", "out", "numbers that no compression makes smaller", labels),
            Port("step", "1", "out", "number of the step, counted from 1"),
        ]

    def solve(self, time: Time, inputs: Exchange) -> Exchange:
        noise = generator(self.context.seed, time).random(self.config.width)
        return Exchange({"noise": noise, "step": np.asarray(1.0 + time // self.context.step)})
