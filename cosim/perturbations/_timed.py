"""The part that perturbations with a fixed onset and a bounded effect share."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from cosim.contract import Time
from cosim.perturbations import AtTime, Perturbation, Trigger, require_before
from cosim.units import Duration, PositiveDuration


class TimedPerturbation(Perturbation):
    """One unit, from `time` on, until `lasting` has passed if that is given."""

    one_unit: ClassVar[bool] = True

    time: Duration = Field(ge=0)
    """When it sets in, counted from the scenario's start."""
    lasting: PositiveDuration | None = None
    """How long it lasts; without it, to the end of the run."""

    def trigger(self) -> Trigger:
        return AtTime(self.time)

    def check(self, duration: Time) -> None:
        require_before("time", self.time, duration)

    def changes(self) -> tuple[Time, ...] | None:
        return (self.time,) if self.lasting is None else (self.time, self.time + self.lasting)

    def over(self, elapsed: Time) -> bool:
        """Whether the effect has ended at `elapsed` [ns] after the onset."""
        return self.lasting is not None and elapsed >= self.lasting
