"""LoadTripWeather: a weather condition trips a share of devices on feeders."""

from __future__ import annotations

from pydantic import Field, model_validator

from cosim.contract import Time
from cosim.perturbations import Trigger, require_before
from cosim.perturbations._device_trip import DeviceTrip
from cosim.settings import Settings
from cosim.units import Duration, PositiveDuration, Temperature, written


class Condition(Settings):
    """The weather that trips devices: a temperature held for a time, inside a window if one is given."""

    temperature_at_least: Temperature | None = None
    """The air temperature at or above which the condition holds [degC]."""
    temperature_at_most: Temperature | None = None
    """The air temperature at or below which the condition holds [degC]."""
    held_for: Duration = Field(default=written("0 s"), ge=0)
    """How long the temperature must have held without a break."""
    window_start: Duration | None = Field(default=None, ge=0)
    """The condition can hold only from here on, counted from the scenario's start."""
    window_end: PositiveDuration | None = None
    """The condition can hold only before here, counted from the scenario's start."""

    @model_validator(mode="after")
    def _says_something(self) -> Condition:
        low, high = self.temperature_at_least, self.temperature_at_most
        if low is None and high is None and self.window_start is None:
            raise ValueError("needs temperature_at_least, temperature_at_most or window_start")
        if low is not None and high is not None and high < low:
            raise ValueError(f"is never met: at most {high:g} degC and at least {low:g} degC")
        if self.window_end is not None and self.window_end <= (self.window_start or 0):
            raise ValueError("window_end must be after window_start")
        return self

    def holds(self, time: Time, temperature: float) -> bool:
        """Whether the condition holds at `time` [ns] with air at `temperature` [degC]."""
        inside = (self.window_start or 0) <= time and (self.window_end is None or time < self.window_end)
        hot = self.temperature_at_least is None or temperature >= self.temperature_at_least
        cold = self.temperature_at_most is None or temperature <= self.temperature_at_most
        return inside and hot and cold


class LoadTripWeather(DeviceTrip):
    """Trips a share of the devices of some classes when a weather condition is met.

    Where the condition is never met nothing trips, and the run's summary says so. It sets in again only when all
    devices are back and the condition has been broken and met anew.
    """

    needs_weather = True

    condition: Condition
    """The weather that trips the devices."""

    def trigger(self) -> Trigger:
        spread = 0 if self.returning == "at_once" else self.return_over
        return WhenMet(self.condition, self.lasting + spread)

    def check(self, duration: Time) -> None:
        require_before("condition.window_start", self.condition.window_start or 0, duration)
        require_before("condition.held_for", self.condition.held_for, duration)


class WhenMet(Trigger):
    """Sets in when the condition has held long enough; once for each unbroken spell of it."""

    def __init__(self, condition: Condition, out_for: Time) -> None:
        self.condition = condition
        self.out_for = out_for
        self.held_since: Time | None = None
        self.last_onset: Time | None = None
        self.armed = True

    def onset(self, time: Time, temperature: float) -> Time | None:
        if not self.condition.holds(time, temperature):
            self.held_since = None
            self.armed = self.last_onset is None or time >= self.last_onset + self.out_for
            return self.last_onset
        if self.held_since is None:
            self.held_since = time
        if self.armed and time - self.held_since >= self.condition.held_for:
            self.last_onset, self.armed = time, False
        return self.last_onset
