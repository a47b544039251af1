"""Two runs against each other: what their scenarios set otherwise, and by how much each variable differs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from cosim.results import COUPLING
from cosim.settings import Settings
from cosim.simulation import Run, damage_text
from runs.recorded import Recorded, Variable
from runs.summary import hours_of

if TYPE_CHECKING:
    from rich.console import Console


class Change(Settings):
    """A setting of the scenario that is not the same in both."""

    setting: str
    """Its place, as `perturbations[0].share`."""
    first: Any
    """None: it is not set there."""
    second: Any


class Difference(Settings):
    """By how much a variable of the second run differs from that of the first, where both recorded it."""

    variable: str
    unit: str
    title: str
    largest: float
    """The largest absolute difference over all times and elements."""
    rms: float
    """The root of the mean square difference over all elements and the time that was compared."""
    relative: float
    """The largest difference over the largest magnitude in either run [1]; of a residual, at least over its limit."""
    time: datetime | None
    """Of the largest difference; none where there is no difference."""
    where: str | None
    """The element of the largest difference."""
    times: int
    """How many times were compared."""


class Comparison(Settings):
    """All in which two runs differ."""

    first: str
    second: str
    """The folders."""
    identical: bool
    """Whether the results are equal, bit by bit: their digests are, and both are stored as they were written."""
    first_trustworthy: bool
    second_trustworthy: bool
    first_damage: tuple[str, ...]
    """What of the first is not as it was written."""
    second_damage: tuple[str, ...]
    changes: tuple[Change, ...]
    variables: tuple[Difference, ...]
    """Every variable that both recorded over the same elements; those that differ most in proportion first."""
    not_compared: tuple[str, ...]
    """What only one of them recorded, or both over other elements or times."""


MOST_COMPARED = 1e150  #: a difference whose square is a number


def compare(first: Run, second: Run) -> Comparison:
    """Compare two runs, finished or not; what is damaged is named. Raises ResultsError if one cannot be read."""
    ours, theirs = Recorded(first), Recorded(second)
    differences, remarks = [], list(_alone(ours, theirs))
    for variable in _all(ours).values():
        other = _all(theirs).get(variable.key)
        if other is None:
            continue
        problem = _misfit(variable, other)
        found = None if problem else _difference(ours, variable, other)
        if found is None:
            remarks.append(
                f"{variable.key}: {problem or 'they hold values that are no numbers, or beyond all measure'}"
            )
        else:
            differences.append(found)
    scenarios = first.manifest["scenario"], second.manifest["scenario"]
    return Comparison(
        first=str(first.folder),
        second=str(second.folder),
        identical=not (first.damage or second.damage) and first.manifest["digest"] == second.manifest["digest"],
        first_trustworthy=first.trustworthy,
        second_trustworthy=second.trustworthy,
        first_damage=first.damage,
        second_damage=second.damage,
        changes=tuple(_changes(*(dict(_settings(scenario)) for scenario in scenarios))),
        variables=tuple(sorted(differences, key=lambda difference: -difference.relative)),
        not_compared=tuple(remarks),
    )


def _all(run: Recorded) -> dict[str, Variable]:
    """Every variable by its key, those of the boundary too."""
    groups = {**run.groups, COUPLING: dict(run.coupling)}
    return {variable.key: variable for variables in groups.values() for variable in variables.values()}


def _alone(ours: Recorded, theirs: Recorded) -> Iterator[str]:
    """Federates and variables that only one of the runs recorded."""
    for run, other, which in ((ours, theirs, "first"), (theirs, ours, "second")):
        for group, variables in run.groups.items():
            if group not in other.groups:
                yield f"{group}: only the {which} run recorded it"
                continue
            for name in variables:
                if name not in other.groups[group]:
                    yield f"{group}.{name}: only the {which} run recorded it"


def _misfit(ours: Variable, theirs: Variable) -> str:
    """Why two variables cannot be compared; "" if they can."""
    if ours.unit != theirs.unit:
        return f"the units differ, {ours.unit} against {theirs.unit}"
    if tuple(ours.labels) != tuple(theirs.labels):
        return f"the dimensions differ, {_names(ours.labels)} against {_names(theirs.labels)}"
    for dimension, labels in ours.labels.items():
        if labels != theirs.labels[dimension]:
            return _label_misfit(dimension, labels, theirs.labels[dimension])
    if not np.intersect1d(ours.times, theirs.times).size:
        return "they have no time in common"
    return ""


def _label_misfit(dimension: str, ours: tuple[str, ...], theirs: tuple[str, ...]) -> str:
    if len(ours) != len(theirs):
        return f"the labels of {dimension} differ, {len(ours)} against {len(theirs)}"
    one, other = next((a, b) for a, b in zip(ours, theirs, strict=True) if a != b)
    return f"the labels of {dimension} differ, '{one}' against '{other}'"


def _names(labels: Mapping[str, object]) -> str:
    return "x".join(labels) or "a scalar"


def _difference(run: Recorded, ours: Variable, theirs: Variable) -> Difference | None:
    """How much two variables differ; None where that is no number. What is NaN in both is equal."""
    largest, squares, compared, times = 0.0, 0.0, 0.0, 0
    hours = hours_of(run, ours.times)
    magnitude = float(ours.attributes.get("limit") or ours.attributes.get("tolerance") or 0.0)
    time, where = None, None
    for block_times, block in ours.blocks():
        first, last = np.searchsorted(theirs.times, [block_times[0], block_times[-1] + 1])
        _, here, there = np.intersect1d(block_times, theirs.times[first:last], return_indices=True)
        if not here.size:
            continue
        mine = block[here].reshape(here.size, -1)
        other = np.asarray(theirs.array[first:last])[there].reshape(here.size, -1)
        difference = np.where(np.isnan(mine) & np.isnan(other), 0.0, np.abs(mine - other))
        if not np.all(difference < MOST_COMPARED):
            return None
        position = int(difference.argmax())
        row, column = divmod(position, difference.shape[1])
        if difference[row, column] > largest:
            largest = float(difference[row, column])
            time = run.local(int(block_times[here[row]]))
            where = _label(ours, column)
        held = hours[np.searchsorted(ours.times, block_times[here])]
        squares += float(held @ (difference**2).mean(axis=1))
        compared += float(held.sum())
        magnitude = max(magnitude, float(np.fmax.reduce(np.abs([mine, other]), axis=None, initial=0.0)))
        times += here.size
    return Difference(
        variable=ours.key,
        unit=ours.unit,
        title=ours.title,
        largest=largest,
        rms=float(np.sqrt(squares / compared)) if compared else 0.0,
        relative=largest / magnitude if magnitude else 0.0,
        time=time,
        where=where,
        times=times,
    )


def _label(variable: Variable, column: int) -> str | None:
    """The labels of an element by its position among all of them."""
    if not variable.labels:
        return None
    positions = np.unravel_index(column, [len(labels) for labels in variable.labels.values()])
    return ", ".join(labels[int(p)] for labels, p in zip(variable.labels.values(), positions, strict=True))


def _settings(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Every single setting with its place."""
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _settings(item, f"{place}.{key}" if place else str(key))
    elif isinstance(value, list) and value:
        for position, item in enumerate(value):
            yield from _settings(item, f"{place}[{position}]")
    else:
        yield place, value


def _changes(first: Mapping[str, Any], second: Mapping[str, Any]) -> Iterator[Change]:
    for setting in [*first, *(key for key in second if key not in first)]:
        ours, theirs = first.get(setting), second.get(setting)
        if ours != theirs:
            yield Change(setting=setting, first=ours, second=theirs)


def print_comparison(comparison: Comparison, console: Console) -> None:
    """Print it as tables: changed settings, then the variables that differ."""
    from rich.table import Table
    from rich.text import Text

    console.print(Text(f"first:  {comparison.first}{_doubt(comparison.first_trustworthy)}"))
    console.print(Text(f"second: {comparison.second}{_doubt(comparison.second_trustworthy)}"))
    damaged = {"first": comparison.first_damage, "second": comparison.second_damage}
    for which, found in damaged.items():
        if found:
            console.print(Text(f"The {which} is damaged: {damage_text(found)}", "red"), soft_wrap=True)
    if not any(damaged.values()):
        console.print("The results are bit-identical." if comparison.identical else "The results differ.")
    if comparison.changes:
        table = Table("setting", "first", "second", title="Scenario", title_justify="left")
        for change in comparison.changes:
            table.add_row(Text(change.setting), *(Text(_shown(value)) for value in (change.first, change.second)))
        console.print(table)
    differing = [difference for difference in comparison.variables if difference.largest > 0.0]
    if differing:
        table = Table("variable", "unit", "largest", "rms", "share", "when", "where", title="Largest differences first")
        table.title_justify = "left"
        for item in differing:
            when = "" if item.time is None else f"{item.time:%Y-%m-%d %H:%M:%S}"
            numbers = (f"{item.largest:.4g}", f"{item.rms:.4g}", f"{item.relative:.2%}")
            table.add_row(*(Text(cell) for cell in (item.variable, item.unit, *numbers, when, item.where or "")))
        console.print(table)
    equal = len(comparison.variables) - len(differing)
    console.print(f"{len(differing)} variables differ, {equal} are equal.", highlight=False)
    for remark in comparison.not_compared:
        console.print(Text(f"not compared: {remark}", "yellow"))


def _doubt(trustworthy: bool) -> str:
    return "" if trustworthy else "  (cannot be trusted)"


def _shown(value: Any) -> str:
    return "not set" if value is None else str(value)
