"""A federate that cannot say what its ports are."""

from collections.abc import Sequence

from cosim.contract import Exchange, Federate, Port, Time


class Wrong(Federate):
    def ports(self) -> Sequence[Port]:
        return {}["ports"]

    def solve(self, time: Time, inputs: Exchange) -> Exchange:
        return Exchange()
