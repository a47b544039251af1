"""An output with a limit. For tests of the verdict."""

from collections.abc import Sequence

import numpy as np

from cosim.contract import Exchange, Federate, Port, Time
from cosim.settings import Settings


class Balance(Federate):
    class Config(Settings):
        error: float = 0.0
        """[MW]"""

    config: Config

    def ports(self) -> Sequence[Port]:
        return [Port("error", "MW", "out", "error of the balance", limit=0.1)]

    def solve(self, time: Time, inputs: Exchange) -> Exchange:
        return Exchange({"error": np.asarray(self.config.error)})
