"""Orders that came by message against what was ordered: the right receiver, sign and unit, and none that is stale.

What holds must be something that was ordered at this time or before. Older than the last order it may be only as long
as the network may still have that one: what was sent a step before the network held nothing and lost nothing since has
come.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from cosim.check import Check, Store
from cosim.federation import Federation, OrderSpec
from cosim.port_statements import where
from cosim.units import format_duration

ROUNDING = 1e-9  #: of an order, or of 1 of its unit
_WRONG = "Orders went to another receiver, or were read in another unit: do not use the results."

Times = NDArray[np.int64]


def check_orders(federation: Federation, store: Store) -> Iterator[Check]:
    """Every output that states whose orders it obeys. Raises ResultsError."""
    for order in federation.orders:
        obeying, ordered = order.obeying, order.ordered
        groups = store.get(obeying.federate, {}), store.get(ordered.federate, {})
        if obeying.port in groups[0] and ordered.port in groups[1]:
            yield _judged(order, federation, store)


def _judged(order: OrderSpec, federation: Federation, store: Store) -> Check:
    group, sender = store[order.obeying.federate], store[order.ordered.federate]
    array = group[order.obeying.port]
    times, held = group["time"][...], array[...]
    sent_at, sent = sender["time"][...], sender[order.ordered.port][...]
    delivered = _delivered(federation, store, times, sent_at)
    newest = np.searchsorted(sent_at, times, side="right") - 1
    margin = ROUNDING * np.maximum(np.abs(held), 1.0)
    never = np.abs(held) > margin  # 0 where no order holds
    stale = never.copy()
    # An order of 0 may be none: whoever is out is not ordered anything.
    rows = np.arange(len(sent_at))[:, None]
    last = np.maximum.accumulate(np.where(np.abs(sent) > 0.0, rows, -1), axis=0)
    due = np.where(delivered[:, None] < 0, -1, last[np.maximum(delivered, 0)])
    for row in range(len(sent_at)):
        same = (np.abs(held - sent[row]) <= margin) & (row <= newest)[:, None]
        never &= ~same
        stale &= ~(same & (row >= due))
    stale &= due >= 0
    title = f"{order.obeying.port.replace('_', ' ')} of {order.obeying.federate} against {order.ordered}"
    for wrong, what in ((never, "was never ordered"), (stale, "is no longer ordered")):
        if wrong.any():
            place = tuple(int(k) for k in np.argwhere(wrong)[0])
            time = int(times[place[0]])
            detail = (
                f"{held[place]:.6g} {array.attributes['units']}{where(group, array, place[1:])} {what}, first at "
                f"{format_duration(time)}; so in {int(wrong.any(axis=1).sum())} of {len(times)} steps"
            )
            return Check(
                name=title, passed=False, detail=detail, federate=order.obeying.federate, time=time, remedy=_WRONG
            )
    return Check(name=title, passed=True, detail="as ordered", federate=order.obeying.federate)


def _delivered(federation: Federation, store: Store, times: Times, sent_at: Times) -> Times:
    """At each of `times` (n) the row of the newest order sent at `sent_at` that has surely come; -1 for none."""
    carrier = store.get(federation.carrier or "", {})
    none = np.full(len(times), -1)
    if not {"time", "in_flight", "dropped"} <= set(carrier):
        return none
    carried = carrier["time"][...]
    waiting, lost = (carrier[name][...].sum(axis=1) for name in ("in_flight", "dropped"))
    empty = np.where(waiting == 0, np.arange(len(carried)), -1)
    empty = np.maximum.accumulate(empty)  # the last step at which the network held nothing, at each of its steps
    now = np.searchsorted(carried, times, side="left") - 1  # what is delivered at a time may be read after it
    at = np.where(now < 0, -1, empty[np.maximum(now, 0)])
    before = np.searchsorted(sent_at, carried[np.maximum(at - 1, 0)], side="right") - 1
    row = np.where(at < 1, -1, before)
    taken = np.searchsorted(carried, sent_at[np.maximum(row, 0)], side="left")
    kept = lost[np.maximum(at, 0)] == np.append(0.0, lost)[taken]
    return np.where(kept, row, -1)
