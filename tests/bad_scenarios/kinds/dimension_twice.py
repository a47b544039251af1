"""Two ports that mean different labels by one dimension."""

from collections.abc import Sequence

from cosim.contract import Exchange, Federate, Port, Time


class Wrong(Federate):
    def ports(self) -> Sequence[Port]:
        return [Port("x", "MW", "out", "a", {"bus": ("1", "2")}), Port("y", "MW", "out", "b", {"bus": ("1", "2", "3")})]

    def solve(self, time: Time, inputs: Exchange) -> Exchange:
        return Exchange()
