"""Published cases with machine data: what a study of transmission dynamics needs to know before it starts.

The files come with the package `andes` (GPL-3) and are read where they lie; the package itself is not imported here,
as `cosim validate` must stay quick and the project must run without it.

| name | what | file of the package |
| --- | --- | --- |
| ieee14 | IEEE 14 buses, 5 machines | ieee14/ieee14_full.xlsx |
| kundur | two areas, 4 machines, after Kundur 1994, example 12.6 [not verified] | kundur/kundur_full.xlsx |
| ieee39 | New England, 39 buses, 10 machines (Athay et al. 1979) | ieee39/ieee39_full.xlsx |
| npcc | Northeast US, 140 buses, 48 machines | npcc/npcc.xlsx |
| wecc | Western US, 179 buses, 29 machines | wecc/wecc_full.xlsx |
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from solvers.frequency_response import Governors, Machines
from solvers.transmission_grid import CaseError, Floats, Integers, TransmissionCase, closest_names

__all__ = ["DYNAMIC_CASES", "CaseError", "DynamicCase", "load_dynamic_case"]

DYNAMIC_CASES = {
    "ieee14": "ieee14/ieee14_full.xlsx",
    "kundur": "kundur/kundur_full.xlsx",
    "ieee39": "ieee39/ieee39_full.xlsx",
    "npcc": "npcc/npcc.xlsx",
    "wecc": "wecc/wecc_full.xlsx",
}

_MACHINES = ("GENROU", "GENCLS")  #: sheets of synchronous machines
_STEAM_GOVERNORS = ("TGOV1", "TGOV1N")  #: sheets of governors that `solvers/frequency_response.py` models
_BASE = 100.0  #: [MVA] system base of all these files
_FREQUENCY = 60.0  #: [Hz] of all these files


@dataclass(frozen=True)
class DynamicCase:
    """Labels of a case in the order of its ports, and where each stands in the file.

    Labels are MATPOWER's as in `solvers/transmission_grid.py`: buses by number, generators by their bus, branches by
    both ends.
    """

    name: str
    path: Path
    base_mva: float
    frequency: float  #: [Hz]
    bus: tuple[str, ...]
    generator: tuple[str, ...]
    generator_bus: Integers  #: (generator,) position of its bus
    generator_key: tuple[str, ...]  #: (generator,) `idx` in the file's sheets PV and Slack
    branch: tuple[str, ...]
    branch_row: Integers  #: (branch,) row in the file's sheet Line
    load: tuple[complex, ...]  #: (bus,) [MVA] of the file
    machines: Machines  #: one entry per generator
    governors: Governors | None  #: one entry per generator; None where the file has other governors than TGOV1


def load_dynamic_case(name: str, grid: TransmissionCase | None = None) -> DynamicCase:
    """The case called `name`; with `grid` its branches are labelled and ordered as there.

    Raises CaseError if there is no such case, the package `andes` is absent, or `grid` is another grid.
    """
    if name not in DYNAMIC_CASES:
        raise CaseError(f"there is no dynamic case '{name}'. {closest_names(name, tuple(DYNAMIC_CASES))}")
    path = _cases_folder() / DYNAMIC_CASES[name]
    if not path.is_file():
        raise CaseError(f"the installed package andes has no file '{DYNAMIC_CASES[name]}'. Install andes 2.0 or later")
    sheets = _sheets(path)
    bus = tuple(str(row["idx"]) for row in sheets["Bus"])
    position = {label: index for index, label in enumerate(bus)}
    static = sorted(_of(sheets, "PV", "Slack"), key=lambda row: position[str(row["bus"])])
    load = np.zeros(len(bus), dtype=complex)
    for row in _of(sheets, "PQ"):
        load[position[str(row["bus"])]] += row["u"] * complex(row["p0"], row["q0"]) * _BASE
    ends = [(str(row["bus1"]), str(row["bus2"])) for row in sheets["Line"]]
    branch, rows = _numbered([f"{start}-{end}" for start, end in ends]), np.arange(len(ends))
    if grid is not None:
        rows = _rows_of(grid, bus, ends, name)
        branch = grid.branches.label
        static = _generators_of(grid, static, name)
    machine_of = {str(row["gen"]): row for row in _of(sheets, *_MACHINES)}
    keys = tuple(str(row["idx"]) for row in static)
    if bare := [key for key in keys if key not in machine_of]:
        raise CaseError(f"{name} has generators without a machine: {', '.join(bare)}")
    found = [machine_of[key] for key in keys]
    return DynamicCase(
        name,
        path,
        _BASE,
        _FREQUENCY,
        bus,
        grid.generators.label if grid is not None else _generator_labels([str(row["bus"]) for row in static]),
        np.array([position[str(row["bus"])] for row in static]),
        keys,
        branch,
        rows,
        tuple(load.tolist()),
        _machines(found),
        _governors(found, _of(sheets, *_STEAM_GOVERNORS)),
    )


def _cases_folder() -> Path:
    """The folder of case files of the package `andes`. Raises CaseError where it is absent."""
    found = importlib.util.find_spec("andes")
    if found is None or not found.submodule_search_locations:
        raise CaseError(
            "transmission dynamics with machines need the package andes (GPL-3), which is not installed. "
            'Run `pip install "cosim[dynamics]"`, or choose the kind frequency_response without a dynamic case'
        )
    return Path(found.submodule_search_locations[0]) / "cases"


def _sheets(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Each sheet's rows as records."""
    from openpyxl import load_workbook  # type: ignore[import-untyped]

    book = load_workbook(path, read_only=True)
    sheets = {}
    for sheet in book:
        rows = iter(sheet.values)
        head = next(rows, ())
        sheets[sheet.title] = [dict(zip(head, row, strict=True)) for row in rows if row[0] is not None]
    book.close()
    return sheets


def _of(sheets: dict[str, list[dict[str, Any]]], *names: str) -> list[dict[str, Any]]:
    return [row for name in names for row in sheets.get(name, [])]


def _numbered(labels: list[str]) -> tuple[str, ...]:
    """The second of equal labels gets "-2" behind it, and so on."""
    seen: dict[str, int] = {}
    numbered = []
    for label in labels:
        seen[label] = seen.get(label, 0) + 1
        numbered.append(label if seen[label] == 1 else f"{label}-{seen[label]}")
    return tuple(numbered)


def _generator_labels(buses: list[str]) -> tuple[str, ...]:
    """A generator is called as its bus, "30"; where several stand at it, "30-1", "30-2"."""
    several = {bus for bus in buses if buses.count(bus) > 1}
    seen: dict[str, int] = {}
    labels = []
    for bus in buses:
        seen[bus] = seen.get(bus, 0) + 1
        labels.append(f"{bus}-{seen[bus]}" if bus in several else bus)
    return tuple(labels)


def _rows_of(grid: TransmissionCase, bus: tuple[str, ...], ends: list[tuple[str, str]], name: str) -> Integers:
    """For each branch of `grid` the row of the dynamic case between the same buses. Raises CaseError."""
    free: dict[frozenset[str], list[int]] = {}
    for row, pair in enumerate(ends):
        free.setdefault(frozenset(pair), []).append(row)
    rows = []
    for start, end in zip(grid.branches.from_bus.tolist(), grid.branches.to_bus.tolist(), strict=True):
        between = free.get(frozenset((grid.buses.label[start], grid.buses.label[end])), [])
        rows.append(between.pop(0) if between else -1)
    same = grid.buses.label == bus and -1 not in rows and not any(free.values())
    if not same:
        raise CaseError(
            f"the dynamic case '{name}' is not the same grid as {grid.name}: buses or branches differ. "
            "Pairs that fit: ieee14 and case14, ieee39 and case39"
        )
    return np.array(rows)


def _generators_of(grid: TransmissionCase, static: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    """For each generator of `grid` the dynamic case's at the same bus. Raises CaseError."""
    free: dict[str, list[dict[str, Any]]] = {}
    for row in static:
        free.setdefault(str(row["bus"]), []).append(row)
    wanted = [grid.buses.label[bus] for bus in grid.generators.bus.tolist()]
    if sorted(wanted) != sorted(str(row["bus"]) for row in static):
        raise CaseError(f"the dynamic case '{name}' has its generators at other buses than {grid.name}")
    return [free[bus].pop(0) for bus in wanted]


def _machines(found: list[dict[str, Any]]) -> Machines:
    """Inertia and subtransient reactance of the machines of the file, on its base."""
    rating = _column(found, "Sn")
    reactance = np.array([row["xd2"] if row.get("xd2") is not None else row["xd1"] for row in found], dtype=float)
    return Machines(
        rating=rating,
        inertia=_column(found, "M") / 2,  # M = 2H
        damping=_column(found, "D"),
        reactance=reactance,
    )


def _governors(found: list[dict[str, Any]], steam: list[dict[str, Any]]) -> Governors | None:
    """The machines' governors; machines without one have infinite droop. None where the file has none of the kind."""
    if not steam:
        return None
    of = {str(row["syn"]): row for row in steam}
    rows = [of.get(str(row["idx"])) for row in found]
    none = {"R": np.inf, "T1": 1.0, "T2": 1.0, "T3": 1.0, "Dt": 0.0, "VMIN": -np.inf, "VMAX": np.inf}
    table = [none if row is None else row for row in rows]
    return Governors(
        droop=_column(table, "R"),
        valve_time=_column(table, "T1"),
        lead_time=_column(table, "T2"),
        lag_time=_column(table, "T3"),
        turbine_damping=_column(table, "Dt"),
        lowest=_column(table, "VMIN"),
        highest=_column(table, "VMAX"),
    )


def _column(rows: list[dict[str, Any]], name: str) -> Floats:
    return np.array([row[name] for row in rows], dtype=float)
