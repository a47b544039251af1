"""Voltage and frequency that are imposed: steps at given times. For tests."""

from collections.abc import Sequence

import numpy as np

from cosim.contract import Exchange, Federate, Port, Time
from cosim.settings import Settings


class GridTrace(Federate):
    class Config(Settings):
        times: tuple[float, ...] = (0.0,)
        """[s] when the values begin to hold."""
        voltages: tuple[float, ...] = (1.0,)
        """[pu]"""
        frequencies: tuple[float, ...] = (60.0,)
        """[Hz]"""

    config: Config

    def ports(self) -> Sequence[Port]:
        return [
            Port("voltage", "pu", "out", "a voltage", is_complex=True),
            Port("frequency", "Hz", "out", "a frequency"),
        ]

    def solve(self, time: Time, inputs: Exchange) -> Exchange:
        # Half a nanosecond: a time written in seconds is the nanosecond that it rounds to.
        row = int(np.searchsorted(self.config.times, time / 1e9 + 5e-10, side="right")) - 1
        voltage, frequency = self.config.voltages[row], self.config.frequencies[row]
        return Exchange({"voltage": np.asarray(complex(voltage)), "frequency": np.asarray(frequency)})
