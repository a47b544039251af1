"""The published IEEE PES distribution test feeders, as arrays read from plain CSV tables.

Each folder in `tables/` is one feeder; its README says where the figures come from and in which units
they stand. Nothing here knows GridLAB-D or OpenDSS: both models are built from the same tables.

Three-phase quantities have a last axis of length 3 in the order A, B, C; for a delta connection the
order is AB, BC, CA. A phase that does not exist holds zero.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

PHASES = "ABC"
TABLES = Path(__file__).parent / "tables"

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]


class FeederTableError(ValueError):
    """A feeder is unknown, or one of its tables contradicts itself or another."""


#: [pu] that a node's voltage is expected to keep: Range B of ANSI C84.1-2020 for service above 600 V.
VOLTAGE_BAND = (0.95, 1.058)


@dataclass(frozen=True)
class Source:
    """The stiff voltage source at the head of the feeder."""

    node: str
    kv: float  #: nominal line-to-line voltage [kV]
    voltage: Complexes  #: (3,) published line-to-neutral voltage [pu]


@dataclass(frozen=True)
class Nodes:
    """All nodes; `xy` are drawing coordinates without a unit, NaN where none are published."""

    name: tuple[str, ...]
    phases: tuple[str, ...]  #: for example "ABC" or "AC"
    kv: Floats  #: (nodes,) nominal line-to-line voltage [kV]
    xy: Floats  #: (nodes, 2)


@dataclass(frozen=True)
class Lines:
    """Line segments."""

    from_node: tuple[str, ...]
    to_node: tuple[str, ...]
    phases: tuple[str, ...]
    length: Floats  #: (lines,) [ft]
    configuration: tuple[str, ...]
    underground: NDArray[np.bool_]  #: (lines,)


@dataclass(frozen=True)
class LineConfigurations:
    """Phase matrices per mile, after Kron reduction of the neutral."""

    name: tuple[str, ...]
    phases: tuple[str, ...]
    impedance: Complexes  #: (configurations, 3, 3) [ohm/mile]
    susceptance: Floats  #: (configurations, 3, 3) [uS/mile]


@dataclass(frozen=True)
class Loads:
    """Loads; `to_node` is empty for a spot load, else the load is spread evenly along a segment."""

    node: tuple[str, ...]
    to_node: tuple[str, ...]
    delta: NDArray[np.bool_]  #: (loads,) connected between phases
    model: tuple[str, ...]  #: "PQ" constant power, "I" constant current magnitude, "Z" constant impedance
    power: Complexes  #: (loads, 3) at nominal voltage [kVA]


@dataclass(frozen=True)
class Capacitors:
    """Shunt capacitors, in wye."""

    node: tuple[str, ...]
    reactive: Floats  #: (capacitors, 3) given out at nominal voltage [kvar]


@dataclass(frozen=True)
class Transformers:
    """Three-phase transformers."""

    name: tuple[str, ...]
    from_node: tuple[str, ...]
    to_node: tuple[str, ...]
    rating: Floats  #: (transformers,) [kVA]
    kv_high: Floats  #: (transformers,) line to line [kV]
    kv_low: Floats  #: (transformers,) line to line [kV]
    connection: tuple[str, ...]  #: high and low side, "YY" (both grounded) or "DD"
    impedance: Complexes  #: (transformers,) on the rating [pu]


@dataclass(frozen=True)
class Regulators:
    """Step voltage regulators (voltage ratio 1 + 0.00625 tap), with the taps of the published solution."""

    name: tuple[str, ...]
    from_node: tuple[str, ...]
    to_node: tuple[str, ...]
    phases: tuple[str, ...]
    monitoring: tuple[str, ...]  #: the phases whose voltage and current are measured
    ganged: NDArray[np.bool_]  #: (regulators,) all phases move together
    level: Floats  #: (regulators,) voltage to hold, on the secondary of the PT [V]
    bandwidth: Floats  #: (regulators,) whole width [V]
    pt_ratio: Floats  #: (regulators,)
    ct_primary: Floats  #: (regulators,) rating [A]
    compensator: Complexes  #: (regulators, 3) line-drop compensator R + jX [V]
    tap: NDArray[np.int64]  #: (regulators, 3)

    STEP = 0.00625  #: ratio per tap [pu]; 32 steps over ±10 %


@dataclass(frozen=True)
class Switches:
    """Switches without impedance."""

    name: tuple[str, ...]
    from_node: tuple[str, ...]
    to_node: tuple[str, ...]
    phases: tuple[str, ...]
    closed: NDArray[np.bool_]  #: (switches,)


@dataclass(frozen=True)
class PublishedFeeder:
    """One feeder as published."""

    name: str
    source: Source
    nodes: Nodes
    lines: Lines
    configurations: LineConfigurations
    spot_loads: Loads
    distributed_loads: Loads
    capacitors: Capacitors
    transformers: Transformers
    regulators: Regulators
    switches: Switches


def available_feeders() -> tuple[str, ...]:
    """The names that `load_feeder` knows."""
    return tuple(sorted(folder.name for folder in TABLES.iterdir() if (folder / "nodes.csv").is_file()))


@cache
def load_feeder(name: str) -> PublishedFeeder:
    """The feeder called `name`; its tables are read once.

    Raises
    ------
    FeederTableError
        If there is no such feeder, or its tables contradict each other.

    """
    if name not in available_feeders():
        raise FeederTableError(f"there is no published feeder '{name}'; there are: {', '.join(available_feeders())}")
    folder = TABLES / name
    feeder = PublishedFeeder(
        name=name,
        source=_source(_Table(folder / "source.csv")),
        nodes=_nodes(_Table(folder / "nodes.csv")),
        lines=_lines(_Table(folder / "lines.csv")),
        configurations=_configurations(_Table(folder / "line_configurations.csv")),
        spot_loads=_loads(_Table(folder / "spot_loads.csv")),
        distributed_loads=_loads(_Table(folder / "distributed_loads.csv")),
        capacitors=_capacitors(_Table(folder / "capacitors.csv")),
        transformers=_transformers(_Table(folder / "transformers.csv")),
        regulators=_regulators(_Table(folder / "regulators.csv")),
        switches=_switches(_Table(folder / "switches.csv")),
    )
    check_feeder(feeder)
    return feeder


def check_feeder(feeder: PublishedFeeder) -> None:
    """Raise FeederTableError with every contradiction between the tables of `feeder`."""
    phases = dict(zip(feeder.nodes.name, feeder.nodes.phases, strict=True))
    faults = [f"node '{n}' stands twice" for n in phases if feeder.nodes.name.count(n) > 1]
    if feeder.source.node not in phases:
        faults.append(f"the source's node '{feeder.source.node}' is not a node")
    links = (
        ("line", feeder.lines.from_node, feeder.lines.to_node, feeder.lines.phases),
        ("switch", feeder.switches.from_node, feeder.switches.to_node, feeder.switches.phases),
        ("regulator", feeder.regulators.from_node, feeder.regulators.to_node, feeder.regulators.phases),
    )
    for kind, from_nodes, to_nodes, linked in links:
        for a, b, p in zip(from_nodes, to_nodes, linked, strict=True):
            faults += [f"{kind} {a}-{b}: node '{n}' does not exist" for n in (a, b) if n not in phases]
            faults += [
                f"{kind} {a}-{b} has phases {p}, node '{n}' only {phases[n]}"
                for n in (a, b)
                if n in phases and not set(p) <= set(phases[n])
            ]
    for c, p in zip(feeder.lines.configuration, feeder.lines.phases, strict=True):
        if c not in feeder.configurations.name:
            faults.append(f"line configuration '{c}' does not exist")
        elif feeder.configurations.phases[feeder.configurations.name.index(c)] != p:
            faults.append(f"a line with phases {p} has configuration '{c}' of other phases")
    for kind, names, values in (
        ("load", feeder.spot_loads.node, feeder.spot_loads.power),
        ("capacitor", feeder.capacitors.node, feeder.capacitors.reactive),
    ):
        faults += [f"{kind} at '{n}': no such node" for n in names if n not in phases]
        if not np.isfinite(values).all():
            faults.append(f"a {kind}'s value is not finite")
    faults += [f"load model '{m}' is none of PQ, I, Z" for m in feeder.spot_loads.model if m not in _MODELS]
    if faults:
        raise FeederTableError(f"feeder {feeder.name}: " + "; ".join(faults))


def with_lumped_distributed_loads(feeder: PublishedFeeder) -> PublishedFeeder:
    """The same feeder with each distributed load as two spot loads that give the same drop and loss.

    Two thirds of the load stand at a new node a quarter of the way along, one third at the far end.
    The new node is called "<from>_<to>".

    References
    ----------
    W. H. Kersting, Distribution System Modeling and Analysis, 2nd ed., 2007, section 3.4.2 ("the exact
    lumped load model").

    """
    loads = feeder.distributed_loads
    lumped = replace(
        feeder,
        distributed_loads=Loads((), (), np.zeros(0, dtype=np.bool_), (), np.zeros((0, 3), np.complex128)),
    )
    for k, (a, b) in enumerate(zip(loads.node, loads.to_node, strict=True)):
        lumped = _lump(lumped, a, b, bool(loads.delta[k]), loads.model[k], loads.power[k])
    return lumped


def _lump(feeder: PublishedFeeder, a: str, b: str, delta: bool, model: str, power: Complexes) -> PublishedFeeder:
    lines, nodes, loads = feeder.lines, feeder.nodes, feeder.spot_loads
    segments = list(zip(lines.from_node, lines.to_node, strict=True))
    if (a, b) not in segments:
        raise FeederTableError(f"feeder {feeder.name}: the distributed load {a}-{b} has no such line")
    k, middle = segments.index((a, b)), f"{a}_{b}"
    ends = [nodes.name.index(a), nodes.name.index(b)]
    return replace(
        feeder,
        nodes=Nodes(
            (*nodes.name, middle),
            (*nodes.phases, lines.phases[k]),
            np.append(nodes.kv, nodes.kv[ends[0]]),
            np.vstack([nodes.xy, np.array([0.75, 0.25]) @ nodes.xy[ends]]),
        ),
        lines=Lines(
            (*lines.from_node, middle),
            (*lines.to_node[:k], middle, *lines.to_node[k + 1 :], b),
            (*lines.phases, lines.phases[k]),
            np.append(
                np.where(np.arange(len(segments)) == k, lines.length / 4, lines.length),
                0.75 * lines.length[k],
            ),
            (*lines.configuration, lines.configuration[k]),
            np.append(lines.underground, lines.underground[k]),
        ),
        spot_loads=Loads(
            (*loads.node, middle, b),
            (*loads.to_node, "", ""),
            np.append(loads.delta, [delta, delta]),
            (*loads.model, model, model),
            np.vstack([loads.power, 2 / 3 * power, power / 3]),
        ),
    )


_MODELS = ("PQ", "I", "Z")


class _Table:
    """One CSV file: columns as texts, or as floats."""

    def __init__(self, path: Path) -> None:
        with path.open(newline="") as file:
            head, *rows = list(csv.reader(file))
        wrong = [k + 2 for k, row in enumerate(rows) if len(row) != len(head)]
        if wrong:
            raise FeederTableError(f"{path}:{wrong[0]}: has not the {len(head)} columns {', '.join(head)}")
        self.path, self.head, self.rows = path, head, rows

    def text(self, column: str) -> tuple[str, ...]:
        k = self._index(column)
        return tuple(row[k] for row in self.rows)

    def real(self, *columns: str) -> Floats:
        """One column gives (rows,), several give (rows, columns); an empty cell is NaN."""
        try:
            values = [[float(row[self._index(c)] or "nan") for c in columns] for row in self.rows]
        except ValueError as error:
            raise FeederTableError(f"{self.path}: {error}") from None
        array = np.array(values, dtype=np.float64).reshape(len(self.rows), len(columns))
        return array[:, 0] if len(columns) == 1 else array

    def per_phase(self, stem: str) -> Floats:
        return self.real(*(f"{stem}_{p}" for p in PHASES))

    def symmetric(self, stem: str) -> Floats:
        """(rows, 3, 3) from the six columns of the upper triangle."""
        upper = self.real(*(f"{stem}_{p}" for p in ("AA", "AB", "AC", "BB", "BC", "CC")))
        return upper[:, np.array([[0, 1, 2], [1, 3, 4], [2, 4, 5]])]

    def _index(self, column: str) -> int:
        if column not in self.head:
            raise FeederTableError(f"{self.path}: has no column '{column}', only {', '.join(self.head)}")
        return self.head.index(column)


def _source(t: _Table) -> Source:
    angle = np.deg2rad(t.per_phase("degree"))
    return Source(t.text("node")[0], float(t.real("kV")[0]), (t.per_phase("pu") * np.exp(1j * angle))[0])


def _nodes(t: _Table) -> Nodes:
    return Nodes(t.text("node"), t.text("phases"), t.real("kV"), t.real("x", "y"))


def _lines(t: _Table) -> Lines:
    return Lines(
        t.text("from"),
        t.text("to"),
        t.text("phases"),
        t.real("length"),
        t.text("configuration"),
        np.array([kind == "underground" for kind in t.text("kind")], dtype=np.bool_),
    )


def _configurations(t: _Table) -> LineConfigurations:
    impedance = t.symmetric("R") + 1j * t.symmetric("X")
    return LineConfigurations(t.text("configuration"), t.text("phases"), impedance, t.symmetric("B"))


def _loads(t: _Table) -> Loads:
    spot = "node" in t.head
    return Loads(
        t.text("node" if spot else "from"),
        ("",) * len(t.rows) if spot else t.text("to"),
        np.array([connection == "D" for connection in t.text("connection")], dtype=np.bool_),
        t.text("model"),
        t.per_phase("kW") + 1j * t.per_phase("kvar"),
    )


def _capacitors(t: _Table) -> Capacitors:
    return Capacitors(t.text("node"), t.per_phase("kvar"))


def _transformers(t: _Table) -> Transformers:
    high, low = t.text("connection_high"), t.text("connection_low")
    return Transformers(
        t.text("name"),
        t.text("from"),
        t.text("to"),
        t.real("kVA"),
        t.real("kV_high"),
        t.real("kV_low"),
        tuple(a + b for a, b in zip(high, low, strict=True)),
        ((t.real("R_percent") + 1j * t.real("X_percent")) / 100).astype(np.complex128),
    )


def _regulators(t: _Table) -> Regulators:
    return Regulators(
        t.text("name"),
        t.text("from"),
        t.text("to"),
        t.text("phases"),
        t.text("monitoring"),
        t.real("ganged") == 1,
        t.real("voltage_level"),
        t.real("bandwidth"),
        t.real("PT_ratio"),
        t.real("CT_primary"),
        t.per_phase("R") + 1j * t.per_phase("X"),
        t.per_phase("tap").astype(np.int64),
    )


def _switches(t: _Table) -> Switches:
    closed = np.array([state == "closed" for state in t.text("state")], dtype=np.bool_)
    return Switches(t.text("name"), t.text("from"), t.text("to"), t.text("phases"), closed)
