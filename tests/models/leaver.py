"""A federate that names what it does not use."""

from collections.abc import Sequence

import numpy as np

from cosim.contract import Exchange, Federate, Port, Time
from cosim.settings import Settings


class Leaver(Federate):
    """Gives a constant."""

    class Config(Settings):
        """Settings."""

        unused: tuple[str, ...] = ()
        """What it says to leave out."""

    config: Config

    def ports(self) -> Sequence[Port]:
        return [Port("level", "1", "out", "a level")]

    def left_out(self) -> Sequence[str]:
        return self.config.unused

    def solve(self, time: Time, inputs: Exchange) -> Exchange:
        return Exchange({"level": np.array(1.0)})
