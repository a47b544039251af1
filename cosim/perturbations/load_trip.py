"""LoadTrip: a share of devices on feeders trips at a given time and comes back."""

from __future__ import annotations

from pydantic import Field

from cosim.contract import Time
from cosim.perturbations import AtTime, Trigger, require_before
from cosim.perturbations._device_trip import DeviceTrip
from cosim.units import Duration


class LoadTrip(DeviceTrip):
    """Trips a share of the devices of some classes at a given time."""

    time: Duration = Field(ge=0)
    """When they trip, counted from the scenario's start."""

    def trigger(self) -> Trigger:
        return AtTime(self.time)

    def check(self, duration: Time) -> None:
        require_before("time", self.time, duration)
