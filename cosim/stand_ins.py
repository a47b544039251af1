"""Whether what stands for a feeder in an event window draws what the feeder of the day does.

Its power goes to the transmission grid in place of the day's, outside the window too. So before the window opens the
two are the same feeder in two models, and are held against each other.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from cosim.check import Check, Store, within
from cosim.federation import Federation

POWER = "power"  #: the output that both have
#: [%] of the day's apparent power; two engines on one feeder of published tables agree to 0.1 %.
LIMIT = 5.0


def stand_ins(federation: Federation, store: Store) -> Iterator[Check]:
    """For each feeder of an event window: the largest difference from that of the day before the opening."""
    for spec in federation.federates:
        day = spec.stands_for
        if day is None or not all(POWER in store.get(name, {}) for name in (spec.name, day.federate)):
            continue
        ours, theirs = store[spec.name], store[day.federate]
        times, here, there = np.intersect1d(ours["time"][...], theirs["time"][...], return_indices=True)
        before = times < day.opening
        drawn, wanted = (store_[POWER][...][rows][before] for store_, rows in ((ours, here), (theirs, there)))
        size = np.abs(wanted).sum(axis=1)
        yield within(
            f"power of {spec.name} against {day.federate}",
            100.0 * np.abs(drawn - wanted).sum(axis=1) / np.maximum(size, 1e-9),
            times[before],
            LIMIT,
            "%",
            spec.name,
        )
