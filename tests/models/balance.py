"""Outputs that state what their values can be: a limit, a range, an expectation. For tests of the verdict."""

from collections.abc import Sequence

import numpy as np

from cosim.contract import Exchange, Federate, Port, Stock, Time
from cosim.settings import Settings


class Balance(Federate):
    class Config(Settings):
        error: float = 0.0
        """[MW]"""

    config: Config

    def ports(self) -> Sequence[Port]:
        bus = {"bus": ("1", "2")}
        remedy = "Look at the tap changers."
        return [
            Port("error", "MW", "out", "error of the balance", limit=0.1),
            Port("stored", "MWh", "out", "energy in a tank", range=(0.0, 10.0)),
            Port("head", "pu", "out", "voltage", bus, is_complex=True, expected=(0.9, 1.1), absent=0.0, remedy=remedy),
        ]

    def stocks(self) -> Sequence[Stock]:
        return [Stock("stored", least=None, unbalanced="it stays as it is")]

    def solve(self, time: Time, inputs: Exchange) -> Exchange:
        return Exchange({"error": np.asarray(self.config.error), "stored": np.asarray(5.0), "head": np.array([1j, 0j])})
