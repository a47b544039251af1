"""The part that the trips of one named unit share: its availability goes from 1 to 0."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from cosim.contract import Array, Port, Time
from cosim.errors import ConfigError
from cosim.perturbations import Target, ports_named, require_label
from cosim.perturbations._timed import TimedPerturbation


def unit_targets(inputs: Mapping[str, Sequence[Port]], dimension: str, label: str, field: str) -> list[Target]:
    """Every federate with an availability of `dimension`. Raises ConfigError if there is none or no `label`."""
    found = ports_named(inputs, f"{dimension}_available")
    if not found:
        raise ConfigError(field, f"no federate of this scenario has a {dimension} that can trip.")
    for target in found:
        require_label(target, dimension, label, field)
    return found


def unit_effect(perturbation: TimedPerturbation, elapsed: Time, target: Target, label: str) -> Array:
    """1 everywhere but at `label`, which is 0 until the perturbation is over."""
    (labels,) = target.port.coordinates.values()
    available = np.ones(target.port.shape)
    available[list(labels).index(label)] = float(perturbation.over(elapsed))
    return available
