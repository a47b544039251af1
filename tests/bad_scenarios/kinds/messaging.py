"""A federate with a way of messaging that does not exist."""

from collections.abc import Sequence

from cosim.contract import Exchange, Federate, Port, Time


class Wrong(Federate):
    messaging = "pigeon"

    def ports(self) -> Sequence[Port]:
        return []

    def solve(self, time: Time, inputs: Exchange) -> Exchange:
        return Exchange()
