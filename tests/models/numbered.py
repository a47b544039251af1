"""A federate whose output follows from its setting: `1000 number` plus the minutes since the start."""

from __future__ import annotations

import time as clock
from collections.abc import Sequence

import numpy as np

from cosim.contract import Exchange, Federate, Port, Time
from cosim.settings import Settings


class Numbered(Federate):
    """Gives its number."""

    class Config(Settings):
        """Its settings."""

        number: int = 1
        """Which it gives."""
        pause: float = 0.01
        """How long a step takes [s]."""

    config: Config

    def ports(self) -> Sequence[Port]:
        """The output."""
        return [Port("k", "1", "out", "a thousand times the number, and the minutes since the start")]

    def solve(self, time: Time, inputs: Exchange) -> Exchange:
        """Give it, after a while."""
        clock.sleep(self.config.pause)
        return Exchange({"k": np.asarray(self.config.number * 1000.0 + time / 6e10)})
