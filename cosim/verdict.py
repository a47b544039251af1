"""The verdict: whether a run can be trusted, from what was recorded and how it ended.

A run is good only if every check passes. A check that cannot be made because something is missing fails.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np

from cosim.contract import Time
from cosim.engine.supervisor import Outcome
from cosim.errors import ResultsError
from cosim.federation import Federation
from cosim.results import COUPLING, RESULTS
from cosim.settings import Settings
from cosim.stored_arrays import StoredArray, arrays, groups
from cosim.units import format_duration

#: Input of a boundary -> the setting that says which mismatch is acceptable there.
BOUNDARY_TOLERANCES = {"feeder_load": "coupling.power_tolerance", "head_voltage": "coupling.voltage_tolerance"}
_TOLERATE = "Raise {} if that much is acceptable, or shorten horizon.step."

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


class Verdict(Settings):
    """All checks of a run, and the fault that ended it, if one did."""

    trustworthy: bool
    fault: str | None = None
    """Who failed, at what simulated time, why, and what to do next."""
    checks: tuple[Check, ...]

    @property
    def failed(self) -> list[Check]:
        """The checks that did not pass."""
        return [check for check in self.checks if not check.passed]


def judge(federation: Federation, folder: Path, outcome: Outcome) -> Verdict:
    """Judge the run in `folder`."""
    checks = [_no_fault(outcome), *_reached(federation, outcome), *_stored(federation, folder, outcome)]
    fault = None if outcome.fault is None else str(outcome.fault)
    return Verdict(trustworthy=all(check.passed for check in checks), fault=fault, checks=tuple(checks))


def _no_fault(outcome: Outcome) -> Check:
    detail = "no federate failed, no solver gave up" if outcome.fault is None else str(outcome.fault)
    return Check(name="no fault", passed=outcome.fault is None, detail=detail)


def _reached(federation: Federation, outcome: Outcome) -> Iterator[Check]:
    """Every federate must have reached the stop time; the first that did not is named."""
    behind = {name: time for name, time in outcome.reached.items() if time != federation.duration}
    missing = {spec.name for spec in federation.federates} - set(outcome.reached)
    stop = format_duration(federation.duration)
    if not behind and not missing:
        yield Check(name="stop time", passed=True, detail=f"all {len(outcome.reached)} federates reached {stop}")
    for name, time in sorted(behind.items(), key=lambda item: item[1]):
        detail = f"'{name}' reached {format_duration(time)} of {stop}"
        yield Check(name="stop time", passed=False, detail=detail, federate=name, time=time)
    for name in sorted(missing):
        yield Check(name="stop time", passed=False, detail=f"'{name}' never started", federate=name)


def _stored(federation: Federation, folder: Path, outcome: Outcome) -> Iterator[Check]:
    """Checks on what was recorded: all of it there, finite, balanced, and the boundary in agreement."""
    path = folder / RESULTS
    if not path.is_dir():
        yield Check(name="recorded", passed=False, detail=f"the results cannot be opened: there is no {path}")
        return
    try:
        store = {name: arrays(path / name) for name in groups(path)}
        yield from _of_stored(federation, store, outcome)
    except ResultsError as error:
        yield Check(name="recorded", passed=False, detail=str(error))


def _of_stored(federation: Federation, store: Store, outcome: Outcome) -> Iterator[Check]:
    """The checks of `_stored`. Raises ResultsError."""
    for spec in federation.federates:
        yield from _recorded(store, spec.name, outcome.steps.get(spec.name, 0))
        yield from _limits(store, spec.name)
    yield from _links(federation, store)
    yield from _mismatch(federation, store)


def _recorded(store: Store, name: str, steps: int) -> Iterator[Check]:
    """Every committed step of a federate is stored, and nothing stored is NaN."""
    if name not in store or "time" not in store[name] or steps == 0:
        yield Check(name="recorded", passed=False, detail=f"'{name}' recorded nothing", federate=name)
        return
    times = store[name]["time"][...]
    problems = []
    if times.size != steps:
        problems.append(f"{times.size} of {steps} steps are stored")
    if np.any(np.diff(times) <= 0):
        problems.append("times do not rise")
    for key, array in store[name].items():
        values = array[...]
        if array.dimensions[:1] == ("time",) and len(values) != times.size:
            problems.append(f"{key} has {len(values)} of {times.size} steps")
        if values.dtype.kind in "fc" and not np.all(np.isfinite(values)):
            problems.append(f"{key} holds NaN or infinity")
    detail = "; ".join(problems) or f"'{name}': {times.size} steps, all finite"
    yield Check(name="recorded", passed=not problems, detail=detail, federate=name)


def _limits(store: Store, name: str) -> Iterator[Check]:
    """Outputs that declare a limit, such as an energy balance, stay within it."""
    if name not in store:
        return
    for key, array in store[name].items():
        limit = array.attributes.get("limit")
        if limit is None:
            continue
        values = np.abs(array[...]).reshape(array.shape[0], -1).max(axis=1)
        yield _within(
            f"{key.replace('_', ' ')} of {name}", values, store[name]["time"], limit, array.attributes["units"], name
        )


def _mismatch(federation: Federation, store: Store) -> Iterator[Check]:
    """Every boundary link stays within its tolerance; a lagged one has no earlier value at its first step."""
    for link in federation.links:
        if link.tolerance is None:
            continue
        title = f"boundary mismatch {link.key}"
        if COUPLING not in store or link.key not in store[COUPLING]:
            yield Check(name=title, passed=False, detail="was not recorded", federate=link.destination.federate)
            continue
        array, times = store[COUPLING][link.key], store[COUPLING]["time"][...]
        both = np.isin(times, _common_times(store, link.source.federate, link.destination.federate))
        if link.lagged and federation.duration == federation.step:
            yield Check(name=title, passed=True, detail="the only step of a lagged link has no earlier value")
            continue
        skip = 1 if link.lagged else 0
        yield _within(
            title,
            array[...][both][skip:],
            times[both][skip:],
            link.tolerance,
            array.attributes["units"],
            link.destination.federate,
            _TOLERATE.format(BOUNDARY_TOLERANCES.get(link.destination.port, "the link's tolerance")),
        )


def _common_times(store: Store, *names: str) -> Any:
    """The times [ns] at which all of the federates solved."""
    return reduce(np.intersect1d, (store[name]["time"][...] for name in names))


def _within(
    name: str, values: Any, times: Any, limit: float, unit: str, federate: str, remedy: str | None = None
) -> Check:
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


def _links(federation: Federation, store: Store) -> Iterator[Check]:
    """Every link's source recorded values; that they arrived was checked by the destination as it ran."""
    silent = [link.key for link in federation.links if link.source.federate not in store]
    detail = (
        f"all {len(federation.links)} links carried data" if not silent else f"nothing came over {', '.join(silent)}"
    )
    yield Check(name="links", passed=not silent, detail=detail)
