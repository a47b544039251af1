"""Whether what stands for a feeder in an event window draws what the feeder of the day does.

Its power goes to the transmission grid in place of the day's, outside the window too. So before the window opens the
two are the same feeder in two models, and are held against each other. What the stand-in has beside the day's feeder,
such as DER of the window's own, is not in the power that it gives for this.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from cosim.check import Check, Store, within
from cosim.federation import Federation

POWER, DAY_POWER = "power", "day_power"  #: the outputs of the day's feeder, and of what stands for it
#: [%] of the day's apparent power. Two engines on one feeder of published tables agree to 0.1 %; where all load is
#: homes, whose reactive power the window takes from one power factor, to 1.7 %.
LIMIT = 2.0
_REMEDY = (
    "Until the window opens both must be the same feeder: leave out settings of the window's that shape loads and PV, "
    "such as home_power_factor and home_pv."
)


def stand_ins(federation: Federation, store: Store) -> Iterator[Check]:
    """For each feeder of an event window: the largest difference from that of the day before the opening."""
    for spec in federation.federates:
        day = spec.stands_for
        if day is None:
            continue
        name = f"power of {spec.name} against {day.federate}"
        ours, theirs = store.get(spec.name, {}), store.get(day.federate, {})
        if DAY_POWER not in ours or POWER not in theirs:
            yield Check(name=name, passed=False, detail="was not recorded", federate=spec.name)
            continue
        times, here, there = np.intersect1d(ours["time"][...], theirs["time"][...], return_indices=True)
        before = times < day.opening
        drawn, wanted = ours[DAY_POWER][...][here][before], theirs[POWER][...][there][before]
        size = np.abs(wanted).sum(axis=1)
        yield within(
            name,
            100.0 * np.abs(drawn - wanted).sum(axis=1) / np.maximum(size, 1e-9),
            times[before],
            LIMIT,
            "%",
            spec.name,
            _REMEDY,
        )
