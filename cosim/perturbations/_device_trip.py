"""The part that the trips of devices on feeders share: which devices, what share, how they come back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from cosim.contract import Array, Port, Time
from cosim.errors import ConfigError
from cosim.perturbations import Perturbation, Target, ports_named
from cosim.registry import unknown
from cosim.units import NANOSECONDS, PositiveDuration, format_duration, written

DeviceClass = Literal["thermostat", "ev_charger", "water_heater", "home", "spot_load"]
#: The ports that make devices run, with the dimension of the classes; spot loads by their nodes.
RETURN_OVER = 30 * NANOSECONDS["min"]  #: [ns] unless a perturbation says otherwise
DEVICES, SPOT_LOADS = "device_available", "load_available"


class DeviceTrip(Perturbation):
    """Takes a share of devices out of service, for a time, and lets them return.

    The feeder says with its port's initial value which devices there are (1) and which not (0). Only the devices'
    availability is set here; what they draw when they return (the rebound) comes out of the
    feeder's physics.
    """

    devices: tuple[DeviceClass, ...] = Field(min_length=1)
    """The device classes that trip. Spot loads do on feeders that an event window follows; of the others thermostats
    (of air conditioners and electric heating) and whole homes can trip within it."""
    share: float = Field(gt=0, le=1)
    """The share of devices of each class that trips, drawn with the run's seed [1]; of spot loads it is that of their
    nodes."""
    feeders: tuple[str, ...] = ()
    """The feeders that it acts on, by name; all of them if none is named."""
    lasting: PositiveDuration
    """How long the tripped devices stay out."""
    returning: Literal["at_once", "staggered", "random"] = "at_once"
    """How they come back: all together; one after the other; each at its own random time."""
    return_over: PositiveDuration = written(format_duration(RETURN_OVER))
    """Staggered and random: the time over which they come back."""

    @field_validator("devices")
    @classmethod
    def _each_once(cls, devices: tuple[DeviceClass, ...]) -> tuple[DeviceClass, ...]:
        if len(set(devices)) < len(devices):
            raise ValueError(f"must name each class once, got {', '.join(devices)}")
        return devices

    def targets(self, inputs: Mapping[str, Sequence[Port]]) -> list[Target]:
        with_devices = ports_named(inputs, DEVICES)
        with_spot_loads = ports_named(inputs, SPOT_LOADS)
        names = [target.federate for target in with_devices]
        names += [name for name in map(_day_name, with_spot_loads) if name not in names]
        for position, feeder in enumerate(self.feeders):
            if feeder not in names:
                raise ConfigError(f"feeders.{position}", unknown("feeder with devices", feeder, names) + ".")
        found = []
        others = [device for device in self.devices if device != "spot_load"]
        if others:
            found += [target for target in with_devices if not self.feeders or target.federate in self.feeders]
            if not found:
                raise ConfigError("devices", "no feeder of this scenario has devices.", "Add a feeder with homes.")
        for target in found:
            for device in others:
                if device not in target.port.coordinates["device_class"]:
                    raise ConfigError(
                        f"devices.{self.devices.index(device)}",
                        f"feeder '{target.federate}' has no devices of class '{device}'.",
                    )
        if "spot_load" in self.devices:
            spot = [target for target in with_spot_loads if not self.feeders or _day_name(target) in self.feeders]
            if not spot:
                raise ConfigError(
                    f"devices.{self.devices.index('spot_load')}",
                    "no event window follows a feeder with spot loads.",
                    "Name it in `event_window.feeders`, or leave spot_load out.",
                )
            found += spot
        return found

    def remarks(self, targets: Sequence[Target]) -> list[str]:
        found = []
        for device in self.devices:
            counts = [
                _count(target, device) for target in targets if (target.port.name == SPOT_LOADS) == _is_spot(device)
            ]
            noun = device.replace("_", " ")
            if not sum(counts):
                found.append(f"trips no {noun}: there is none")
            few = [count for count in counts if count and round(self.share * count) == 0]
            if few:
                found.append(f"trips 1 {noun} of {few[0]}, {1 / few[0]:.0%} where {self.share:.2%} were asked for")
        if self.returning == "at_once" and self.return_over != RETURN_OVER:
            found.append("does not use `return_over`: all return at once")
        return found

    def effect(self, elapsed: Time, target: Target, random: np.random.Generator) -> Array:
        available = np.ones(target.port.shape)
        there = _there(target)
        if target.port.name == SPOT_LOADS:
            self._trip(available, there, elapsed, random)
            return available
        classes = list(target.port.coordinates["device_class"])
        for device in self.devices:
            if device != "spot_load":
                row = classes.index(device)
                self._trip(available[row], there[row], elapsed, random)
        return available

    def _trip(self, available: Array, there: NDArray[np.bool_], elapsed: Time, random: np.random.Generator) -> None:
        """Set to 0 what is out of the devices of one class that are `there`, both (devices,)."""
        devices = np.flatnonzero(there)
        order = random.permutation(devices)[: max(1, round(self.share * devices.size))]
        out = elapsed < self.lasting + self._return_delay(order.size, random)
        available[order[out]] = 0.0

    def _return_delay(self, count: int, random: np.random.Generator) -> Array:
        """Each tripped device's delay [ns] after `lasting`, in the order in which they were drawn."""
        if self.returning == "staggered":
            return np.linspace(0.0, self.return_over, count)
        if self.returning == "random":
            return random.uniform(0.0, self.return_over, count)
        return np.zeros(count)


def _is_spot(device: str) -> bool:
    return device == "spot_load"


def _there(target: Target) -> NDArray[np.bool_]:
    """Which of a port's devices there are, in its shape."""
    return np.broadcast_to(np.asarray(target.port.initial, dtype=float), target.port.shape) > 0


def _count(target: Target, device: str) -> int:
    """How many devices of a class there are."""
    there = _there(target)
    if not _is_spot(device):
        there = there[list(target.port.coordinates["device_class"]).index(device)]
    return int(np.count_nonzero(there))


def _day_name(target: Target) -> str:
    """The name of the feeder that an event window's federate stands for."""
    return target.federate.removesuffix("_window")
