"""A federate that fails while it is built."""

from collections.abc import Sequence
from typing import Any

from cosim.contract import Context, Exchange, Federate, Port, Time


class Wrong(Federate):
    def __init__(self, config: Any, context: Context) -> None:
        super().__init__(config, context)
        self.ratio = 1 / 0

    def ports(self) -> Sequence[Port]:
        return []

    def solve(self, time: Time, inputs: Exchange) -> Exchange:
        return Exchange()
