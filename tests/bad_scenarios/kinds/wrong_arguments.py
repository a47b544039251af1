"""A federate whose solve lacks an argument."""

from collections.abc import Sequence

from cosim.contract import Exchange, Federate, Port, Time


class Wrong(Federate):
    def ports(self) -> Sequence[Port]:
        return []

    def solve(self, time: Time) -> Exchange:
        return Exchange()
