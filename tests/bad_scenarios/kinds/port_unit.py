"""A port in a unit that does not exist."""

from collections.abc import Sequence

from cosim.contract import Exchange, Federate, Port, Time


class Wrong(Federate):
    def ports(self) -> Sequence[Port]:
        return [Port("x", "parsec", "in", "far", initial=0.0)]

    def solve(self, time: Time, inputs: Exchange) -> Exchange:
        return Exchange()
