"""What a port states of its values, held against what was recorded: `limit`, `range` and `expected`.

The first two are part of the verdict. What goes beyond `expected` can be the very subject of a study, such as the
deviation of all others when a unit trips: it makes no run untrustworthy, and is listed as physics to look at.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosim.check import Check, Store, within
from cosim.contract import Port
from cosim.stored_arrays import DIMENSIONS, StoredArray
from cosim.units import format_duration

ROUNDING = 1e-9  #: of a bound, or of 1 where it is smaller: a stock that ends at -1e-17 MWh is empty, not below empty


def attributes_of(port: Port) -> dict[str, Any]:
    """What a port states, as attributes of its recorded values; an open end of a range is null there."""
    stated: dict[str, Any] = {}
    if port.limit is not None:
        stated["limit"] = port.limit
    for name in ("range", "expected"):
        bounds = getattr(port, name)
        if bounds is not None:
            stated[name] = [bound if np.isfinite(bound) else None for bound in bounds]
    if stated and port.absent is not None:
        stated["absent"] = port.absent
    if stated and port.remedy:
        stated["remedy"] = port.remedy
    if port.sun:
        stated["sun"] = port.sun
    if port.foretells is not None:
        stated["foretells"] = list(port.foretells)
    return stated


def check_values(store: Store, name: str) -> Iterator[Check]:
    """Outputs that declare a limit, such as an energy balance, or a physical range stay within it."""
    for key, array in store.get(name, {}).items():
        limit, remedy = array.attributes.get("limit"), array.attributes.get("remedy")
        if limit is not None:
            values = np.abs(array[...]).reshape(array.shape[0], -1).max(axis=1)
            times, unit = store[name]["time"][...], array.attributes["units"]
            yield within(_title(key, name), values, times, limit, unit, name, remedy)
        if "range" in array.attributes:
            yield _held(store[name], name, key, array, "range")


def expectations(store: Store, name: str) -> Iterator[Check]:
    """Of each output of a federate that states what is expected of it: whether that held."""
    for key, array in store.get(name, {}).items():
        if "expected" in array.attributes:
            yield _held(store[name], name, key, array, "expected")


def _held(group: Mapping[str, StoredArray], name: str, key: str, array: StoredArray, statement: str) -> Check:
    """Whether all values of an array lie inside the bounds that it states."""
    low, high = _bounds(array, statement)
    times, unit = group["time"][...], array.attributes["units"]
    values = _magnitude(array)[: len(times)]
    beyond = np.fmax(low - ROUNDING * max(abs(low), 1.0) - values, values - high - ROUNDING * max(abs(high), 1.0))
    absent = array.attributes.get("absent")
    if absent is not None:
        beyond = np.where(values == absent, -np.inf, beyond)
    title, bounds = _title(key, name), bounds_text(low, high, unit)
    outside = ~(beyond <= 0) & (values != absent)  # NaN is outside
    if not outside.any():
        return Check(name=title, passed=True, detail=f"always {bounds}", federate=name)
    place = np.unravel_index(int(np.where(outside, np.nan_to_num(beyond, nan=np.inf), -np.inf).argmax()), values.shape)
    steps = int(outside.reshape(len(values), -1).any(axis=1).sum())
    time = int(times[place[0]])
    at = where(group, array, place[1:])
    word = "expected" if statement == "expected" else "possible"
    detail = (
        f"{values[place]:.4g} {unit}{at} at {format_duration(time)} ({word}: {bounds}), "
        f"outside in {steps} of {len(values)} steps"
    )
    remedy = array.attributes.get("remedy")
    return Check(name=title, passed=False, detail=detail, federate=name, time=time, remedy=remedy)


def _title(key: str, name: str) -> str:
    return f"{key.replace('_', ' ')} of {name}"


def _bounds(array: StoredArray, statement: str) -> tuple[float, float]:
    low, high = array.attributes[statement]
    return -np.inf if low is None else low, np.inf if high is None else high


def _magnitude(array: StoredArray) -> NDArray[np.float64]:
    values = array[...]
    magnitude: NDArray[np.float64] = np.abs(values) if np.iscomplexobj(values) else values.real
    return magnitude


def bounds_text(low: float, high: float, unit: str) -> str:
    """Bounds in words; an end may be infinite."""
    if np.isinf(low):
        return f"at most {high:.4g} {unit}"
    return f"at least {low:.4g} {unit}" if np.isinf(high) else f"{low:.4g} to {high:.4g} {unit}"


def where(group: Mapping[str, StoredArray], array: StoredArray, place: tuple[Any, ...]) -> str:
    """The labels of a value, as ` at bus 7, phase A`."""
    dimensions = array.attributes[DIMENSIONS][1:]
    names = [f"{name.partition(' of ')[0]} {group[name][...][at]}" for name, at in zip(dimensions, place, strict=True)]
    return f" at {', '.join(names)}" if names else ""
