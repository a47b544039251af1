"""A federate whose settings are a plain dictionary."""

from collections.abc import Sequence

from cosim.contract import Exchange, Federate, Port, Time


class Wrong(Federate):
    Config = dict

    def ports(self) -> Sequence[Port]:
        return []

    def solve(self, time: Time, inputs: Exchange) -> Exchange:
        return Exchange()
