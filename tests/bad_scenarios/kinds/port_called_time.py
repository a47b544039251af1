"""An output of the name that results keep for the time."""

from collections.abc import Sequence

from cosim.contract import Exchange, Federate, Port, Time


class Wrong(Federate):
    def ports(self) -> Sequence[Port]:
        return [Port("time", "s", "out", "the time")]

    def solve(self, time: Time, inputs: Exchange) -> Exchange:
        return Exchange()
