"""A federate that does not say how to solve."""

from collections.abc import Sequence

from cosim.contract import Federate, Port


class Abstract(Federate):
    def ports(self) -> Sequence[Port]:
        return []
