"""A feeder whose load is in kW, given as if it were in MW: its phases and its load contradict each other."""

from collections.abc import Sequence

import numpy as np

from cosim.contract import Balance, Exchange, Federate, Port, Term, Time


class TornFeeder(Federate):
    def ports(self) -> Sequence[Port]:
        return [
            Port("power", "MVA", "out", "load at the head", {"phase": ("A", "B", "C")}, is_complex=True),
            Port("load", "kW", "out", "load"),
        ]

    def balances(self) -> Sequence[Balance]:
        return [Balance("phases", "MW", (Term("power", total=True), Term("load", -1.0)), (0.0, 0.0))]

    def solve(self, time: Time, inputs: Exchange) -> Exchange:
        return Exchange({"power": np.full(3, 1.0 + 0.2j), "load": np.array(3.0)})
