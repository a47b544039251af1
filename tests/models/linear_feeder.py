"""A feeder whose load rises with time and voltage: P = base (1 + rise t) + slope (|V| - 1), evenly on its phases."""

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from pydantic import Field

from cosim.contract import Exchange, Federate, Port, Time
from cosim.settings import Settings
from cosim.units import PositiveDuration, Power, written

HOUR = 3600 * 10**9


class LinearFeeder(Federate):
    iterative = True

    class Config(Settings):
        base: float = 3.0
        """[MW] at the start."""
        rise: float = 0.5
        """[1/h]"""
        slope: float = 6.0
        """[MW/pu]"""
        rating: Annotated[Power, Field(ge=0)] = 10.0
        interval: PositiveDuration = written("60 s")
        opens: bool = False
        """Whether the head has 1 pu before it is known, so that the feeder can say what it will about draw."""

    config: Config

    def ports(self) -> Sequence[Port]:
        return [
            Port("head_voltage", "pu", "in", "voltage", initial=1.0 if self.config.opens else None, is_complex=True),
            Port("temperature", "degC", "in", "air temperature", initial=20.0),
            Port("power", "MVA", "out", "load at the head", {"phase": ("A", "B", "C")}, is_complex=True),
        ]

    def next_time(self, time: Time) -> Time | None:
        return (time // self.config.interval + 1) * self.config.interval

    def solve(self, time: Time, inputs: Exchange) -> Exchange:
        config, voltage = self.config, abs(complex(inputs.values["head_voltage"]))
        power = config.base * (1 + config.rise * time / HOUR) + config.slope * (voltage - 1)
        return Exchange({"power": np.full(3, power / 3, dtype=complex)})
