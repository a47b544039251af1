"""A port with one label twice."""

from collections.abc import Sequence

from cosim.contract import Exchange, Federate, Port, Time


class Wrong(Federate):
    def ports(self) -> Sequence[Port]:
        return [Port("x", "MW", "in", "buses", {"bus": ("1", "1")}, initial=0.0)]

    def solve(self, time: Time, inputs: Exchange) -> Exchange:
        return Exchange()
