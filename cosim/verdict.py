"""The verdict: whether a run can be trusted, from what was recorded and how it ended.

A run is good only if every check passes. A check that cannot be made because something is missing fails.
What an engineer would not expect, but can be what a study is about (a tripped unit must be picked up by someone), is
no check: it is listed beside them as physics to look at.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np

from cosim.balance import check_balances
from cosim.check import Check, Store, within
from cosim.engine.supervisor import Outcome
from cosim.errors import ResultsError
from cosim.federation import Federation
from cosim.forecasts import check_forecasts
from cosim.needs import check_needs
from cosim.obedience import check_orders
from cosim.port_statements import check_values, expectations
from cosim.recorded_inputs import RecordedInputs
from cosim.results import COUPLING, DISTURBING, RESULTS
from cosim.settings import Settings
from cosim.stand_ins import stand_ins
from cosim.stock_balance import check_stocks, unbalanced_energies
from cosim.stored_arrays import arrays, groups
from cosim.sun import check_sun
from cosim.units import format_duration

#: Input of a boundary -> the setting that says which mismatch is acceptable there.
BOUNDARY_TOLERANCES = {"feeder_load": "coupling.power_tolerance", "head_voltage": "coupling.voltage_tolerance"}
_TOLERATE = "Raise {} if that much is acceptable, or shorten horizon.step."


class Verdict(Settings):
    """All checks of a run, the fault that ended it, if one did, and what in its physics to look at."""

    trustworthy: bool
    fault: str | None = None
    """Who failed, at what simulated time, why, and what to do next."""
    checks: tuple[Check, ...]
    to_look_at: tuple[Check, ...] = ()
    """Physical expectations that did not hold, or were not looked at: the run can be trusted all the same."""
    expectations: int = 0
    """How many there were."""

    @property
    def failed(self) -> list[Check]:
        """The checks that did not pass."""
        return [check for check in self.checks if not check.passed]


def judge(federation: Federation, folder: Path, outcome: Outcome) -> Verdict:
    """Judge the run in `folder`."""
    checks = [_no_fault(outcome), *_reached(federation, outcome)]
    expected: list[Check] = []
    try:
        store = _store(folder)
        checks += _of_stored(federation, store, outcome)
        expected += [
            *_untaken(federation),
            *(() if outcome.fault is not None else _never_acted(federation, store)),
            *_unlooked(federation),
            *(c for spec in federation.federates for c in expectations(store, spec.name)),
            *(c for spec in federation.federates for c in unbalanced_energies(store, spec.name)),
        ]
    except ResultsError as error:
        checks.append(Check(name="recorded", passed=False, detail=str(error)))
    return Verdict(
        trustworthy=all(check.passed for check in checks),
        fault=None if outcome.fault is None else str(outcome.fault),
        checks=tuple(checks),
        to_look_at=tuple(check for check in expected if not check.passed),
        expectations=len(expected),
    )


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


def _store(folder: Path) -> Store:
    """All that was recorded. Raises ResultsError."""
    path = folder / RESULTS
    if not path.is_dir():
        raise ResultsError(f"the results cannot be opened: there is no {path}")
    return {name: arrays(path / name) for name in groups(path)}


def _untaken(federation: Federation) -> Iterator[Check]:
    """What the scenario offers and nobody takes: the run is good, and may not answer what was asked."""
    for entry in federation.left_out:
        if entry.federate is None:
            yield Check(name="not used", passed=False, detail=entry.what.removesuffix("."))


def _never_acted(federation: Federation, store: Store) -> Iterator[Check]:
    """Perturbations that wait for something, and for which it never came."""
    if DISTURBING not in store or "affected" not in store[DISTURBING]:
        return
    affected = store[DISTURBING]["affected"]
    most = affected[...].max(axis=0)
    known = " ".join(entry.what for entry in federation.left_out)
    for name, count in zip(store[DISTURBING]["perturbation"][...].tolist(), most.tolist(), strict=True):
        if count == 0 and f"'{name}' changes nothing" not in known:
            yield Check(name=f"perturbation '{name}'", passed=False, detail="changed nothing in all of the run")


def _unlooked(federation: Federation) -> Iterator[Check]:
    """Expectations that nobody can look at, as their outputs were left out."""
    ports: dict[str, list[str]] = {}
    for output in federation.unlooked:
        federate, _, port = output.partition(".")
        ports.setdefault(federate, []).append(port.replace("_", " "))
    for federate, names in ports.items():
        detail = "was not held against what is expected of it: `outputs.exclude` leaves it out"
        yield Check(name=f"{', '.join(names)} of {federate}", passed=False, detail=detail, federate=federate)


def _of_stored(federation: Federation, store: Store, outcome: Outcome) -> Iterator[Check]:
    """What was recorded: all of it there, finite, inside its limits, and the boundary in agreement.

    Raises ResultsError.
    """
    for spec in federation.federates:
        yield from _recorded(store, spec.name, outcome.steps.get(spec.name, 0))
        yield from check_values(store, spec.name)
        yield from check_stocks(store, spec.name)
        if "time" in store.get(spec.name, {}):
            group, inputs = store[spec.name], RecordedInputs(federation, store, spec.name)
            yield from check_balances(inputs, group, spec.name)
            yield from check_needs(inputs, group, spec.name)
            yield from check_sun(group, spec.name, federation.start, federation.site)
            yield from check_forecasts(group, spec.name)
    yield from check_orders(federation, store)
    yield from _links(federation, store)
    yield from _mismatch(federation, store)
    yield from stand_ins(federation, store)


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


def _mismatch(federation: Federation, store: Store) -> Iterator[Check]:
    """Every boundary link stays within its tolerance, from the first step on."""
    for link in federation.links:
        if link.tolerance is None:
            continue
        title = f"boundary mismatch {link.key}"
        if COUPLING not in store or link.key not in store[COUPLING]:
            yield Check(name=title, passed=False, detail="was not recorded", federate=link.destination.federate)
            continue
        array, times = store[COUPLING][link.key], store[COUPLING]["time"][...]
        both = np.isin(times, _common_times(store, link.source.federate, link.destination.federate))
        yield within(
            title,
            array[...][both],
            times[both],
            link.tolerance,
            array.attributes["units"],
            link.destination.federate,
            _TOLERATE.format(BOUNDARY_TOLERANCES.get(link.destination.port, "the link's tolerance")),
        )


def _common_times(store: Store, *names: str) -> Any:
    """The times [ns] at which all of the federates solved."""
    return reduce(np.intersect1d, (store[name]["time"][...] for name in names))


def _links(federation: Federation, store: Store) -> Iterator[Check]:
    """Every link's source recorded values; that they arrived was checked by the destination as it ran."""
    silent = [link.key for link in federation.links if link.source.federate not in store]
    detail = (
        f"all {len(federation.links)} links carried data" if not silent else f"nothing came over {', '.join(silent)}"
    )
    yield Check(name="links", passed=not silent, detail=detail)
