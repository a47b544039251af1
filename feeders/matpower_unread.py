"""What a MATPOWER file may hold beyond what `feeders/transmission_case.py` takes from it: refused or named.

A table that would change the grid's answer is refused; what only informs, or limits what this product does not
optimise, is named. Tables are those of the MATPOWER User's Manual 8.1, appendix B, and of its extensions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from solvers.transmission_grid import CaseError

Floats = NDArray[np.float64]

TAKEN = ("version", "baseMVA", "bus", "gen", "branch", "gencost", "dcline", "genfuel")

#: Tables that leave the answer right, and why.
INFORMATIVE = {
    "areas": "areas' price reference buses, which MATPOWER does not use either",
    "bus_name": "buses are called by their numbers",
    "gentype": "types of units change nothing here",
    "gen_name": "generators are called by their buses",
    "branch_name": "branches are called by their buses",
    "dcline_name": "DC lines are called by their buses",
    "bus_geo": "there is no map",
    "buslocation": "there is no map",
    "dclinecost": "a DC line carries what the file says, whatever it costs",
    "ne_branch": "branches that may be built are not there yet",
    "reserves": "the dispatch holds no reserve, as MATPOWER does not unless asked to",
    "if": "limits of interfaces are not held, as in MATPOWER unless asked for",
    "softlims": "limits of the dispatch are those of the other tables",
    "order": "MATPOWER's own numbering",
    "et": "MATPOWER's computing time",
    "f": "MATPOWER's own result",
    "success": "MATPOWER's own result",
    "iterations": "MATPOWER's own result",
}
#: Tables that would change the answer, and what to do with them.
REFUSED = {
    "switch": "Merge the buses of a closed switch, or write it as a branch of small reactance",
    "storage": "Give storages as `dispatch.storage` and leave the table out",
    "load": "Add the loads to mpc.bus and leave the table out",
    "shunt": "Add the shunts to mpc.bus and leave the table out",
    "trafo": "Write the transformers as branches",
    "A": "Leave the user's own constraints out: the dispatch has none",
    "N": "Leave the user's own costs out: the dispatch has none",
    "userfcn": "Leave the callbacks out",
}
WIDTHS = {"bus": 17, "gen": 25, "branch": 21, "dcline": 23}  #: columns of version 2, results included

#: Columns (counted from 0) whose numbers other than 0 are not taken, and what they are.
COLUMNS: tuple[tuple[str, tuple[int, ...], str], ...] = (
    ("gen", (10, 11, 12, 13, 14, 15), "capability curves (PC1 to QC2MAX): reactive limits are QMIN and QMAX"),
    ("gen", (19,), "ramp limits of reactive power (RAMP_Q)"),
    ("gen", (20,), "participation factors (APF): the imbalance is shared as the scenario's `slack` says"),
    ("gencost", (1, 2), "costs of start-up and shut-down: units are not committed"),
)


def check_known(table: str, rows: int, case: str) -> None:
    """Raise CaseError for a table that is not empty and would change the answer, or that nobody knows."""
    if rows == 0 or table in TAKEN or table in INFORMATIVE or table.endswith("_name"):
        return
    remedy = REFUSED.get(
        table, "Leave it out if the grid is the same without it, else write it in MATPOWER's own tables"
    )
    raise CaseError(f"{case}: the table mpc.{table} is not read, and may change the grid. {remedy}")


def unread(tables: Mapping[str, Floats], texts: Sequence[str]) -> Iterator[str]:
    """What a case's tables and the names of its cell arrays hold and nobody takes, a sentence each."""
    informing = [
        f"mpc.{name} ({INFORMATIVE.get(name, 'names')})"
        for name in (*tables, *texts)
        if name not in TAKEN and tables.get(name, np.ones((1, 1))).size
    ]
    if informing:
        yield f"not read: {', '.join(informing)}."
    for name, columns, what in COLUMNS:
        table = tables.get(name, np.zeros((0, 0)))
        if name == "gencost":
            table = table[: len(tables["gen"])]
        given = [column for column in columns if column < table.shape[1] and table[:, column].any()]
        if given:
            yield f"mpc.{name}: not used are {what}."
    yield from _costs(tables)
    yield from _branches(tables["branch"])
    yield from _dc_lines(tables.get("dcline", np.zeros((0, 0))))
    for name, width in WIDTHS.items():
        found = tables[name].shape[1] if name in tables else 0
        if found > width:
            yield f"mpc.{name} has {found} columns; those beyond {width} are not read."


def _costs(tables: Mapping[str, Floats]) -> Iterator[str]:
    cost, generators = tables.get("gencost"), len(tables["gen"])
    if cost is not None and len(cost) > generators and cost[generators:, 4:].any():
        yield f"mpc.gencost: rows {generators + 1} and on are not used: reactive power costs nothing."


def _branches(branch: Floats) -> Iterator[str]:
    if branch.shape[1] >= 13:
        low, high = branch[:, 11], branch[:, 12]
        # as in MATPOWER 8: unlimited is 0, or ±360 and beyond
        limited = int((((low > -360) & (low != 0)) | ((high < 360) & (high != 0))).sum())
        if limited:
            yield f"mpc.branch: limits of the angle of {limited} branches (ANGMIN, ANGMAX) are not held."
    other = int(((branch[:, 5] == 0) & (branch[:, 6:8] > 0).any(axis=1)).sum())
    if other:
        yield f"mpc.branch: {other} branches have ratings B or C and no rating A; they count as unrated."


def _dc_lines(lines: Floats) -> Iterator[str]:
    if not lines.size:
        return
    on = lines[:, 2] > 0
    free = int((on & (lines[:, 9] != lines[:, 10])).sum()) if lines.shape[1] >= 11 else 0
    dispatched = f"{free} lines have limits between which they could be dispatched; they carry PF. " if free else ""
    if on.any():
        yield (
            f"mpc.dcline: {dispatched}Converters of {int(on.sum())} lines inject QF and QT, and do not hold the "
            "voltages VF and VT as MATPOWER's do."
        )
