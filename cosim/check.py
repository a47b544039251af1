"""One thing that was checked in a run, and how a worst value is put into words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from cosim.contract import Time
from cosim.settings import Settings
from cosim.stored_arrays import StoredArray
from cosim.units import format_duration

Store = Mapping[str, Mapping[str, StoredArray]]  #: group -> array's name -> array


class Check(Settings):
    """One thing that was checked."""

    name: str
    passed: bool
    detail: str
    """What was found, with the figure and the limit."""
    federate: str | None = None
    time: Time | None = None
    """Simulated time [ns] of the worst value."""
    remedy: str | None = None
    """What to do next where it failed, in a sentence."""

    @property
    def text(self) -> str:
        """All of it in words."""
        return f"{self.name}: {self.detail}" + (f". {self.remedy}" if self.remedy else "")


def within(
    name: str, values: Any, times: Any, limit: float, unit: str, federate: str, remedy: str | None = None
) -> Check:
    """Whether `values` (time,) stay at or below `limit`; NaN is within no limit, and nothing recorded neither."""
    if not len(values):
        return Check(name=name, passed=False, detail="nothing was recorded", federate=federate)
    worst = int(np.argmax(values))
    time = int(times[worst])
    detail = f"at most {values[worst]:.3g} {unit} (limit {limit:g} {unit}), at {format_duration(time)}"
    beyond = bool(values[worst] > limit)  # not so of NaN, which no limit admits
    return Check(
        name=name,
        passed=bool(values[worst] <= limit),
        detail=detail,
        federate=federate,
        time=time,
        remedy=remedy if beyond else None,
    )
