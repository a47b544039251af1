"""What can disturb the grid. One file a type, named after it: `LoadTrip` lives in `load_trip.py`.

A perturbation acts on input ports of federates (its targets). From its onset on, `effect` gives for each
target an array that is multiplied with, or added to, the port's undisturbed value. Adding a type is
adding a file with one class; the wiring and the `perturbations` federate know only this base.
The vocabulary follows PowerSimulationsDynamics.jl (LoadTrip, LoadChange, GeneratorTrip, BranchTrip).
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from cosim.contract import Array, Port, Time
from cosim.errors import ConfigError
from cosim.registry import UnknownKindError, submodules, unknown
from cosim.settings import Settings


@dataclass(frozen=True)
class Target:
    """An input port of a federate that a perturbation acts on."""

    federate: str
    port: Port

    @property
    def key(self) -> str:
        return f"{self.federate}.{self.port.name}"


class Perturbation(Settings, ABC):
    """Base of all perturbations: frozen settings and pure functions of the time since onset."""

    combine: ClassVar[Literal["multiply", "add"]] = "multiply"
    needs_weather: ClassVar[bool] = False
    one_unit: ClassVar[bool] = False  #: every target shows the same unit, so it counts once
    window_only: ClassVar[bool] = False  #: acts at the steps of an event window, and must be over when it closes
    may_stay: ClassVar[bool] = False  #: such a one may do without `lasting`; it is over when the window closes
    returns_in_window: ClassVar[bool] = True  #: whether it can end while an event window is open

    name: str = ""
    """Its name in results; by default its type and place in the list."""

    @abstractmethod
    def targets(self, inputs: Mapping[str, Sequence[Port]]) -> list[Target]:
        """The ports acted on, out of every federate's `inputs`. Raises ConfigError for what is not there."""

    @abstractmethod
    def effect(self, elapsed: Time, target: Target, random: np.random.Generator) -> Array:
        """Factor or addend of shape `target.port.shape` at `elapsed` [ns] after the onset.

        `random` starts anew in every call, so that the same devices are drawn at every time.
        """

    @abstractmethod
    def trigger(self) -> Trigger:
        """What decides when it sets in; a fresh one for each run."""

    def check(self, duration: Time) -> None:
        """Hold the settings against the run's duration [ns]. Raises ConfigError."""

    def looks(self) -> tuple[Time, ...]:
        """Times [ns] after the onset, beside that itself, at which it may do something if it does nothing there."""
        return ()

    def remarks(self, targets: Sequence[Target]) -> list[str]:
        """What it cannot do as it is written, on all its targets: the end of a sentence each, such as `trips no X`."""
        return []

    def changes(self) -> tuple[Time, ...] | None:
        """The times [ns] at which its effect changes; None: it may at every step."""
        return None


class Trigger(ABC):
    """Decides when a perturbation sets in."""

    @abstractmethod
    def onset(self, time: Time, temperature: float) -> Time | None:
        """When it last set in, or None: it has not yet. Called at each step, `temperature` in [degC]."""


class AtTime(Trigger):
    """Sets in at a given time."""

    def __init__(self, at: Time) -> None:
        self.at = at

    def onset(self, time: Time, temperature: float) -> Time | None:
        return self.at if time >= self.at else None


def perturbation_class(kind: str, folder: Path | None = None) -> type[Perturbation]:
    """The class of a perturbation type by its name, as `LoadTrip`. Raises UnknownKindError."""
    modules = {_camel(module): module for module in submodules(__name__)}
    if kind not in modules:
        raise UnknownKindError(unknown("perturbation", kind, modules))
    module = importlib.import_module(f"{__name__}.{modules[kind]}")
    return getattr(module, kind)  # type: ignore[no-any-return]


def perturbation_kinds() -> list[str]:
    """The name of every perturbation type."""
    return sorted(_camel(module) for module in submodules(__name__))


def _camel(module: str) -> str:
    return "".join(word.capitalize() for word in module.split("_"))


def ports_named(inputs: Mapping[str, Sequence[Port]], port: str, federates: Sequence[str] = ()) -> list[Target]:
    """Targets for every federate (of `federates`, if any are named) that has the input `port`."""
    found = [Target(name, item) for name, ports in inputs.items() for item in ports if item.name == port]
    return [target for target in found if not federates or target.federate in federates]


def require_label(target: Target, dimension: str, label: str, field: str) -> None:
    """Raise ConfigError if `label` is not on the target's `dimension`."""
    labels = target.port.coordinates[dimension]
    if label not in labels:
        raise ConfigError(field, unknown(dimension, label, labels, f"'{target.federate}'") + ".")


def require_before(field: str, time: Time, duration: Time) -> None:
    """Raise ConfigError if `time` [ns] is not before the run's end."""
    from cosim.units import format_duration

    if time >= duration:
        raise ConfigError(
            field,
            f"is {format_duration(time)} after the start, but the run ends after {format_duration(duration)}.",
            "Choose an earlier time or a longer horizon.",
        )
