"""An agent that tells another one the time at every step, and reports what it heard. For tests of messages."""

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np

from cosim.contract import Exchange, Federate, Message, Port, Time
from cosim.settings import Settings


class Talker(Federate):
    messaging: ClassVar[Literal["none", "agent", "carrier"]] = "agent"

    class Config(Settings):
        to: str
        count: int = 3
        """Messages at each step."""

    config: Config

    def ports(self) -> Sequence[Port]:
        return [
            Port("heard", "1", "out", "messages that came"),
            Port("delay", "s", "out", "from sending to hearing, summed over the messages that came"),
            Port("order", "1", "out", "the messages' numbers, in the order in which they came, as one number"),
        ]

    def solve(self, time: Time, inputs: Exchange) -> Exchange:
        heard = inputs.messages
        order = 0.0
        for message in heard:
            order = (order * 31.0 + message.payload["number"]) % 1e6
        values = {
            "heard": np.asarray(float(len(heard))),
            "delay": np.asarray(sum(time - message.sent for message in heard) * 1e-9),
            "order": np.asarray(order),
        }
        source = self.context.name
        sent = [Message(source, self.config.to, time, {"number": number}) for number in range(self.config.count)]
        return Exchange(values, sent)
