"""The event window of a scenario: seconds to minutes at millisecond steps, opened at the state the day has reached."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator

from cosim.contract import Time
from cosim.model import NAME, Model
from cosim.settings import Settings
from cosim.units import Duration, PositiveDuration, format_duration, parse, quantity, written

_CLOCK = re.compile(r"(\d{1,2}):([0-5]\d)(?::([0-5]\d))?")
_SECOND = 10**9
SHORTEST_STEP = 10**6  #: [ns] of a window


class WindowTimes(Settings):
    """When a federate steps that works in the window and follows the day outside; filled in by the wiring."""

    at: Duration = Field(ge=0)
    """When the window opens, counted from the scenario's start."""
    duration: PositiveDuration
    """How long it is open."""
    step: PositiveDuration
    """Step in the window."""
    day_step: PositiveDuration
    """Step before and after."""

    def holds(self, time: Time) -> bool:
        """Whether `time` [ns] is in the window, its end not included."""
        return self.at <= time < self.at + self.duration

    def next_time(self, time: Time) -> Time:
        """The first time after `time`: each step of the window, its end, multiples of the day's step outside."""
        if self.holds(time):
            return time + self.step
        following = (time // self.day_step + 1) * self.day_step
        return min(following, self.at) if time < self.at else following


def _opening(value: Any) -> str:
    if isinstance(value, int | float):
        raise ValueError(f"must be a time of day in quotes, as '18:30', or a duration with its unit, got {value}")
    text = str(value).strip()
    found = _CLOCK.fullmatch(text)
    if found:
        if int(found[1]) > 23:
            raise ValueError(f"must be a time of day from '00:00' to '23:59:59', got '{text}'")
        return text
    seconds = parse(text, "s", bare=False)
    if seconds < 0:
        raise ValueError(f"must not be before the start, got '{text}'")
    return format_duration(round(seconds * 1e9))


class WindowTransmission(Model):
    """The dynamics of the transmission grid."""

    kind: str = "andes_dynamics"
    """The federate kind: andes_dynamics, or frequency_response for large grids and many runs."""


class WindowModel(Model):
    """The feeder in the window."""

    kind: str = "window_feeder"
    """The federate kind."""


class WindowFeeder(Settings):
    """A feeder of the scenario that is followed at the window's steps."""

    name: str = NAME
    """The name of a feeder of the scenario; of one that stands for several, all of them."""
    model: WindowModel = WindowModel()
    """Its model in the window; it takes what it needs to know of the feeder from the day's model."""


class EventWindow(Settings):
    """Seconds to minutes at millisecond steps, opened inside the day at the state that the day has reached."""

    at: Annotated[str, BeforeValidator(_opening)]
    """When it opens: a time of day, in quotes as '18:30', or a duration since the start; a multiple of `horizon.step`.
    A time of day before that of the start is on the next day."""
    duration: PositiveDuration = written("20 s")
    """How long it is open."""
    step: PositiveDuration = written("5 ms")
    """The coupling step in it. It becomes the run's base step; the day keeps `horizon.step`."""
    transmission: WindowTransmission | None = None
    """The transmission grid's dynamics; without it the window's voltages at the heads are the day's."""
    feeders: tuple[WindowFeeder, ...] = ()
    """The feeders that are followed; the others keep their power."""
    disturbances: tuple[Model, ...] = ()
    """What disturbs the grid in the window: perturbations whose `time` counts from its opening."""
    frequency: Literal["machines", "bus"] = "machines"
    """What DER and loads see: `machines` the frequency of the machines, weighted with their inertia, which is what a
    measurement without errors sees in a grid that stays together; `bus` what a meter makes of the angle of its bus's
    voltage, which jumps at every fault, as some inverters' controls do."""
    sources: Literal["sun", "full"] = "full"
    """What the sources of the DER can give: by the sun, global horizontal irradiance over 1000 W/m2 of the rating; or
    all of the rating."""
    der_response: bool = True
    """Whether DER respond in the window; without, they keep giving what they gave at its opening. So runs the
    twin of a scenario whose window has DER: the two differ in their response alone."""
    mean_mismatch: Annotated[float, quantity("1"), Field(gt=0, le=1)] = 0.02
    """Largest mean over the window of the mismatch at the boundary with which a run is trusted, as a share of the
    feeders' mean apparent power [1], as 0.02 or "2 %". Transmission holds the feeders' admittance of the step before:
    each switching costs one step with up to the feeders' whole power, so a fault in a window of 1 s at 5 ms some 1.5 %,
    of 20 s some 0.1 %. More than the limit is an error that stays."""

    @field_validator("step")
    @classmethod
    def _whole(cls, step: int) -> int:
        if step < SHORTEST_STEP:
            raise ValueError(f"must be at least 1 ms, got {format_duration(step)}")
        return step

    def opening(self, start: datetime) -> Time:
        """When it opens [ns] after the `start` of the scenario."""
        found = _CLOCK.fullmatch(self.at)
        if found is None:
            return round(parse(self.at, "s", bare=False) * 1e9)
        hour, minute, second = (int(part or 0) for part in found.groups())
        at = start.replace(hour=hour, minute=minute, second=second, microsecond=0)
        if at < start:
            at += timedelta(days=1)
        return round((at - start) / timedelta(microseconds=1)) * 1000

    def times(self, start: datetime, day_step: Time) -> WindowTimes:
        """When federates step that work in the window and follow the day outside."""
        durations = {"at": self.opening(start), "duration": self.duration, "step": self.step, "day_step": day_step}
        return WindowTimes.model_validate({name: f"{value} ns" for name, value in durations.items()})

    def disturbance(self, model: Model, start: datetime) -> dict[str, Any]:
        """The settings of a disturbance, its `time` counted from the scenario's start."""
        settings = model.settings
        if "time" in settings:
            since = round(parse(settings["time"], "s", bare=False) * _SECOND)
            settings["time"] = f"{self.opening(start) + since} ns"
        return settings
