"""A voltage that falls. For tests of what feeders cannot bear."""

from collections.abc import Sequence

import numpy as np

from cosim.contract import Exchange, Federate, Port, Time
from cosim.settings import Settings
from cosim.units import PositiveDuration, written


class Sag(Federate):
    class Config(Settings):
        after: PositiveDuration = written("5 min")
        voltage: float = 0.5
        """[pu]"""

    config: Config

    def ports(self) -> Sequence[Port]:
        return [Port("voltage", "pu", "out", "a voltage", is_complex=True)]

    def solve(self, time: Time, inputs: Exchange) -> Exchange:
        return Exchange({"voltage": np.asarray(1.0 if time < self.config.after else self.config.voltage)})
