"""Two ports of one name."""

from collections.abc import Sequence

from cosim.contract import Exchange, Federate, Port, Time


class Wrong(Federate):
    def ports(self) -> Sequence[Port]:
        return [Port("x", "MW", "in", "first", initial=0.0), Port("x", "MW", "in", "second", initial=0.0)]

    def solve(self, time: Time, inputs: Exchange) -> Exchange:
        return Exchange()
