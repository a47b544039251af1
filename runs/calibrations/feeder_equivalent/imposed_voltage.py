"""A voltage imposed on a feeder's head: what tells how the load of the feeder depends on voltage."""

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from cosim.contract import Exchange, Federate, Port, Time
from cosim.settings import Settings
from cosim.units import PositiveDuration, written


class ImposedVoltage(Federate):
    """A voltage that steps between levels, one after the other, and begins again."""

    class Config(Settings):
        """Settings of the imposed voltage."""

        levels: tuple[float, ...] = Field(default=(1.0,), min_length=1)
        """The magnitudes [pu]."""
        every: PositiveDuration = written("3 h")
        """How long each level holds."""

    config: Config

    def ports(self) -> Sequence[Port]:
        return [Port("head_voltage", "pu", "out", "voltage imposed on the feeder's head", is_complex=True)]

    def solve(self, time: Time, inputs: Exchange) -> Exchange:
        level = self.config.levels[time // self.config.every % len(self.config.levels)]
        return Exchange({"head_voltage": np.asarray(complex(level))})
