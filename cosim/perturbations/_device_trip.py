"""The part that the trips of devices on feeders share: which devices, what share, how they come back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from pydantic import Field, field_validator

from cosim.contract import Array, Port, Time
from cosim.errors import ConfigError
from cosim.perturbations import Perturbation, Target, ports_named
from cosim.registry import unknown
from cosim.units import PositiveDuration, written

DeviceClass = Literal["thermostat", "ev_charger", "water_heater", "home"]


class DeviceTrip(Perturbation):
    """Takes a share of devices out of service, for a time, and lets them return.

    The feeder says with its port's initial value which devices there are (1) and which not (0). Only the devices'
    availability is set here; what they draw when they return (the rebound) comes out of the
    feeder's physics.
    """

    devices: tuple[DeviceClass, ...] = Field(min_length=1)
    """The device classes that trip."""
    share: float = Field(gt=0, le=1)
    """The share of devices of each class that trips, drawn with the run's seed [1]."""
    feeders: tuple[str, ...] = ()
    """The feeders that it acts on, by name; all of them if none is named."""
    lasting: PositiveDuration
    """How long the tripped devices stay out."""
    returning: Literal["at_once", "staggered", "random"] = "at_once"
    """How they come back: all together; one after the other; each at its own random time."""
    return_over: PositiveDuration = written("30 min")
    """Staggered and random: the time over which they come back."""

    @field_validator("devices")
    @classmethod
    def _each_once(cls, devices: tuple[DeviceClass, ...]) -> tuple[DeviceClass, ...]:
        if len(set(devices)) < len(devices):
            raise ValueError(f"must name each class once, got {', '.join(devices)}")
        return devices

    def targets(self, inputs: Mapping[str, Sequence[Port]]) -> list[Target]:
        able = [target.federate for target in ports_named(inputs, "device_available")]
        for position, feeder in enumerate(self.feeders):
            if feeder not in able:
                raise ConfigError(f"feeders.{position}", unknown("feeder with devices", feeder, able) + ".")
        if not able:
            raise ConfigError("devices", "no feeder of this scenario has devices.", "Add a feeder with homes.")
        found = ports_named(inputs, "device_available", self.feeders)
        for target in found:
            for position, device in enumerate(self.devices):
                if device not in target.port.coordinates["device_class"]:
                    raise ConfigError(
                        f"devices.{position}",
                        f"feeder '{target.federate}' has no devices of class '{device}'.",
                    )
        return found

    def effect(self, elapsed: Time, target: Target, random: np.random.Generator) -> Array:
        available = np.ones(target.port.shape)
        classes = list(target.port.coordinates["device_class"])
        there = np.broadcast_to(np.asarray(target.port.initial, dtype=float), target.port.shape) > 0
        for device in self.devices:
            row = classes.index(device)
            homes = np.flatnonzero(there[row])
            order = random.permutation(homes)[: max(1, round(self.share * homes.size))]
            out = elapsed < self.lasting + self._return_delay(order.size, random)
            available[row, order[out]] = 0.0
        return available

    def _return_delay(self, count: int, random: np.random.Generator) -> Array:
        """Each tripped device's delay [ns] after `lasting`, in the order in which they were drawn."""
        if self.returning == "staggered":
            return np.linspace(0.0, self.return_over, count)
        if self.returning == "random":
            return random.uniform(0.0, self.return_over, count)
        return np.zeros(count)
