"""A grid of two buses, each behind an impedance: V = 1 - z S / (1 MVA), S being the load. For tests of coupling."""

from collections.abc import Sequence

import numpy as np

from cosim.contract import Exchange, Federate, Port, Time
from cosim.settings import Settings

BUSES = ("A", "B")
PHASES = ("A", "B", "C")


class LinearGrid(Federate):
    iterative = True

    class Config(Settings):
        impedance: float = 0.02
        """[pu] on 1 MVA."""
        feeder_buses: tuple[str, ...] = ()

    config: Config

    def ports(self) -> Sequence[Port]:
        ports = [
            Port("load_change", "MVA", "in", "load added at a bus", {"bus": BUSES}, initial=0.0, is_complex=True),
            Port("voltage", "pu", "out", "bus voltage", {"bus": BUSES}, is_complex=True),
        ]
        if self.config.feeder_buses:
            at = {"bus": self.config.feeder_buses, "phase": PHASES}
            ports.append(Port("feeder_load", "MVA", "in", "load of feeders", at, initial=0.0, is_complex=True))
        return ports

    def solve(self, time: Time, inputs: Exchange) -> Exchange:
        load = np.array(inputs.values["load_change"])
        for row, bus in enumerate(self.config.feeder_buses):
            load[BUSES.index(bus)] += inputs.values["feeder_load"][row].sum()
        return Exchange({"voltage": 1.0 - self.config.impedance * load})
