"""Orders that hold until a newer one comes, whatever the network does to their messages."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cosim.contract import Time


@dataclass(frozen=True)
class HeldOrders:
    """The last order to each of a number of receivers.

    The one that was sent last holds, not the one that came last: a network may deliver them out of order. An order is
    void from the moment at which its receiver goes out; what is sent later holds again.
    """

    amount: NDArray[np.float64]  #: NaN where none ever came
    sent: NDArray[np.int64]  #: [ns] -1 where none ever came
    void: NDArray[np.bool_]  #: the receiver has been out since it was sent

    @classmethod
    def none(cls, count: int) -> HeldOrders:
        """Of `count` receivers to whom nothing was ever sent."""
        return cls(np.full(count, np.nan), np.full(count, -1, dtype=np.int64), np.zeros(count, dtype=bool))

    def copy(self) -> HeldOrders:
        """Another one that may be changed."""
        return HeldOrders(self.amount.copy(), self.sent.copy(), self.void.copy())

    def take(self, receiver: int, amount: float, sent: Time) -> None:
        """Hold an order unless a newer one is held; of two that were sent at one time the second counts."""
        if sent >= self.sent[receiver]:
            self.amount[receiver], self.sent[receiver], self.void[receiver] = amount, sent, False

    def end(self, out: NDArray[np.bool_], time: Time) -> None:
        """The receivers that are `out` go out at `time` [ns]: what was sent to them up to then is void."""
        self.void[out & (self.sent >= 0)] = True
        self.sent[out] = np.maximum(self.sent[out], time + 1)

    @property
    def holding(self) -> NDArray[np.float64]:
        """The orders that hold; 0 where there is none, or a void one."""
        return np.where(self.void, 0.0, np.nan_to_num(self.amount))

    @property
    def given(self) -> NDArray[np.bool_]:
        """Where there is an order, void or not."""
        return ~np.isnan(self.amount)
