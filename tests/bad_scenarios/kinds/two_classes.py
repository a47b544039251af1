"""Two federates in one file."""

from collections.abc import Sequence

from cosim.contract import Exchange, Federate, Port, Time


class First(Federate):
    def ports(self) -> Sequence[Port]:
        return []

    def solve(self, time: Time, inputs: Exchange) -> Exchange:
        return Exchange()


class Second(First):
    pass
