"""Takes a reading that it needs and a magnitude that it may do without, and gives both. For tests of links."""

from collections.abc import Sequence

from cosim.contract import Exchange, Federate, Port, Time


class Meter(Federate):
    def ports(self) -> Sequence[Port]:
        return [
            Port("reading", "1", "in", "a reading"),
            Port("magnitude", "pu", "in", "a magnitude", initial=1.0),
            Port("read", "1", "out", "the reading"),
            Port("seen", "pu", "out", "the magnitude"),
        ]

    def solve(self, time: Time, inputs: Exchange) -> Exchange:
        return Exchange({"read": inputs.values["reading"], "seen": inputs.values["magnitude"]})
