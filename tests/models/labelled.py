"""A federate whose ports have the labels, the dimension and the unit that its settings say."""

from collections.abc import Sequence

import numpy as np

from cosim.contract import Exchange, Federate, Port, Time
from cosim.settings import Settings


class Labelled(Federate):
    """Gives 1, 2, 3, ... on `y`, and on `seen` what came in on `x`."""

    class Config(Settings):
        """Settings."""

        labels: tuple[str, ...] = ("a", "b", "c")
        """Labels of both ports."""
        dimension: str = "bus"
        """Their dimension."""
        unit: str = "MW"
        """Their unit."""
        rest: float = 0.0
        """The input's initial value."""

    config: Config

    def ports(self) -> Sequence[Port]:
        config = self.config
        over = {config.dimension: config.labels}
        return [
            Port("x", config.unit, "in", "what comes in", over, initial=config.rest),
            Port("y", config.unit, "out", "what goes out", over),
            Port("seen", config.unit, "out", "what came in", over),
        ]

    def solve(self, time: Time, inputs: Exchange) -> Exchange:
        given = np.arange(1.0, len(self.config.labels) + 1.0)
        return Exchange({"y": given, "seen": inputs.values["x"]})
