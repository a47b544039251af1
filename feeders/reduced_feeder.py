"""A published feeder as `solvers.feeder_voltage` takes it: its linear part, reduced to head, ports and node phases.

Lines are π circuits, transformers their leakage impedance, capacitors and line charging admittances at nominal
frequency; closed switches and voltage regulators (ratio 1 + 0.00625 tap) are ideal: the voltages behind them are
multiples of those before them, and are eliminated. Reactances stay those of 60 Hz.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from feeders.glm import live_nodes
from feeders.published_feeder import PHASES, Complexes, Floats, PublishedFeeder, Regulators
from solvers.feeder_voltage import ReducedFeeder

SQRT3 = math.sqrt(3.0)
_FEET = 1 / 5280.0  #: miles in a foot
#: Of its rating, the admittance to earth of a winding in delta, whose voltage to earth nothing else holds (as OpenDSS)
_ANTIFLOAT = 1e-6


@dataclass(frozen=True)
class Port:
    """Where a device is connected: a node, and one of its phases or (delta) the pair that begins with it."""

    node: str
    phase: int  #: 0, 1, 2 for A, B, C, or for AB, BC, CA
    delta: bool = False

    @property
    def label(self) -> str:
        """For example "48.A" or "65.AB"."""
        return f"{self.node}.{PHASES[self.phase]}{PHASES[(self.phase + 1) % 3] if self.delta else ''}"


@dataclass(frozen=True)
class Service:
    """A single-phase transformer at a node of the feeder; its secondary is a node of one phase."""

    name: str
    node: str
    phase: int
    rating: float  #: [kVA]
    impedance: complex  #: [pu of the rating]


def reduce_feeder(
    feeder: PublishedFeeder,
    ports: Sequence[Port],
    node_phases: Sequence[str],
    taps: NDArray[np.int64] | None = None,
    services: Sequence[Service] = (),
) -> ReducedFeeder:
    """`feeder` (with its distributed loads lumped) seen from its head, from `ports` and at `node_phases`.

    `node_phases`: labels such as "48.A" of the voltages to report; `taps` (regulators, 3), by default the published
    ones; the secondaries of `services` may bear ports, under their names.
    """
    network = _Network(feeder, feeder.regulators.tap if taps is None else taps, services)
    incidence = np.zeros((len(ports), network.size))
    for row, port in enumerate(ports):
        base = network.volts[port.node] * (SQRT3 if port.delta else 1.0)
        incidence[row, network.index[port.node, port.phase]] = 1.0 / base
        if port.delta:
            incidence[row, network.index[port.node, (port.phase + 1) % 3]] = -1.0 / base
    reported = np.zeros((len(node_phases), network.size))
    for row, label in enumerate(node_phases):
        node, _, phase = label.rpartition(".")
        reported[row, network.index[node, PHASES.index(phase)]] = 1.0 / network.volts[node]
    return network.reduce(incidence, reported)


class _Network:
    """The nodal equations in volts and amperes."""

    def __init__(self, feeder: PublishedFeeder, taps: NDArray[np.int64], services: Sequence[Service]) -> None:
        nodes, live = feeder.nodes, live_nodes(feeder)
        self.volts = dict(zip(nodes.name, nodes.kv * 1e3 / SQRT3, strict=True))
        pairs = [(n, p) for n, phases in zip(nodes.name, nodes.phases, strict=True) for p in phases if n in live]
        present = [(n, PHASES.index(p)) for n, p in pairs]
        for service in services:
            self.volts[service.name] = self.volts[service.node]
            present.append((service.name, service.phase))
        self.index = {key: k for k, key in enumerate(present)}
        self.size = len(present)
        self.source = feeder.source
        self._admittance = np.zeros((self.size, self.size), np.complex128)
        for rows, block in (*self._lines(feeder), *self._transformers(feeder), *self._capacitors(feeder)):
            self._admittance[np.ix_(rows, rows)] += block
        for service in services:
            self._add_service(service)
        self._tied = _Ties(self.size, [self.index[self.source.node, p] for p in range(3)])
        self._tie(feeder, taps)

    def reduce(self, incidence: Floats, reported: Floats) -> ReducedFeeder:
        """`incidence` (ports, node phases) and `reported` (rows, node phases), both [pu/V]."""
        ties = self._tied.matrix()
        admittance = ties.T @ self._admittance @ ties
        head_volts = self.volts[self.source.node]
        inner = np.linalg.inv(admittance[3:, 3:])
        to_inner = -inner @ admittance[3:, :3] * head_volts  # of the head's voltages [V/pu]
        to_head = ties[:, :3] * head_volts + ties[:, 3:] @ to_inner
        # A current of 1 MVA at a port is `incidence` times 1e6 amperes at its node phases.
        by_current = ((ties[:, 3:] @ inner @ ties[:, 3:].T) @ incidence.T * 1e6).astype(np.complex128)
        head = admittance[:3, :3] * head_volts + admittance[:3, 3:] @ to_inner
        share = admittance[:3, 3:] @ inner @ ties[:, 3:].T @ incidence.T - ties[:, :3].T @ incidence.T
        return ReducedFeeder(
            no_load=incidence @ to_head,
            impedance=incidence @ by_current,
            node_no_load=reported @ to_head,
            node_impedance=reported @ by_current,
            head_admittance=head * head_volts / 1e6,
            head_share=share * head_volts,
        )

    def _rows(self, *ends: tuple[str, str]) -> list[int]:
        return [self.index[node, PHASES.index(p)] for node, phases in ends for p in phases]

    def _lines(self, feeder: PublishedFeeder) -> Iterator[tuple[list[int], Complexes]]:
        lines, table = feeder.lines, feeder.configurations
        for k, phases in enumerate(lines.phases):
            c, which = table.name.index(lines.configuration[k]), [PHASES.index(p) for p in phases]
            miles = lines.length[k] * _FEET
            series = np.linalg.inv(table.impedance[c][np.ix_(which, which)] * miles)
            shunt = 0.5j * table.susceptance[c][np.ix_(which, which)] * 1e-6 * miles
            block = np.block([[series + shunt, -series], [-series, series + shunt]])
            yield self._rows((lines.from_node[k], phases), (lines.to_node[k], phases)), block

    def _transformers(self, feeder: PublishedFeeder) -> Iterator[tuple[list[int], Complexes]]:
        t = feeder.transformers
        across = np.eye(3) - np.roll(np.eye(3), 1, axis=1)  # AB, BC, CA
        for k in range(len(t.name)):
            sides = []
            for letter, kv in zip(t.connection[k], (t.kv_high[k], t.kv_low[k]), strict=True):
                winding = across / (kv * 1e3) if letter == "D" else np.eye(3) / (kv * 1e3 / SQRT3)
                sides.append(winding)
            windings = np.hstack([sides[0], -sides[1]])  # per-unit voltage across each phase's leakage impedance
            leakage = t.rating[k] * 1e3 / 3.0 / t.impedance[k]
            block = leakage * windings.T @ windings
            for side, (letter, kv) in enumerate(zip(t.connection[k], (t.kv_high[k], t.kv_low[k]), strict=True)):
                if letter == "D":
                    rows = slice(3 * side, 3 * side + 3)
                    block[rows, rows] += np.eye(3) * _ANTIFLOAT * t.rating[k] * 1e3 / (kv * 1e3) ** 2
            yield self._rows((t.from_node[k], PHASES), (t.to_node[k], PHASES)), block

    def _capacitors(self, feeder: PublishedFeeder) -> Iterator[tuple[list[int], Complexes]]:
        for node, reactive in zip(feeder.capacitors.node, feeder.capacitors.reactive, strict=True):
            phases = "".join(p for p, q in zip(PHASES, reactive, strict=True) if q)
            kvar = reactive[[PHASES.index(p) for p in phases]]
            yield self._rows((node, phases)), np.diag(1j * kvar * 1e3 / self.volts[node] ** 2)

    def _add_service(self, service: Service) -> None:
        # Referred to the primary, so that the secondary's nominal voltage is the node's own.
        y = service.rating * 1e3 / self.volts[service.node] ** 2 / service.impedance
        rows = [self.index[service.node, service.phase], self.index[service.name, service.phase]]
        self._admittance[np.ix_(rows, rows)] += y * np.array([[1, -1], [-1, 1]])

    def _tie(self, feeder: PublishedFeeder, taps: NDArray[np.int64]) -> None:
        switches, r = feeder.switches, feeder.regulators
        for k in np.flatnonzero(switches.closed):
            for p in map(PHASES.index, switches.phases[k]):
                self._tied.tie(self.index[switches.from_node[k], p], self.index[switches.to_node[k], p], 1.0)
        for row in range(len(r.name)):
            for p in map(PHASES.index, r.phases[row]):
                ratio = 1.0 + Regulators.STEP * float(taps[row, p])
                self._tied.tie(self.index[r.from_node[row], p], self.index[r.to_node[row], p], ratio)


class _Ties:
    """Voltages that are fixed multiples of others: each belongs to a root, with a ratio to it."""

    def __init__(self, size: int, head: Sequence[int]) -> None:
        self._root: list[int] = list(range(size))
        self._ratio = np.ones(size)
        self._head = list(head)

    def tie(self, a: int, b: int, ratio: float) -> None:
        """Make the voltage of `b` `ratio` times that of `a`."""
        old, new = self._root[b], self._root[a]
        factor = ratio * float(self._ratio[a] / self._ratio[b])
        if old in self._head:
            old, new, factor = new, old, 1.0 / factor
        for k, root in enumerate(list(self._root)):
            if root == old:
                self._ratio[k] *= factor
                self._root[k] = new

    def matrix(self) -> Floats:
        """(all, roots) each voltage by those of the roots, the head's first."""
        rest = [root for root in sorted(set(self._root)) if root not in self._head]
        column = {root: c for c, root in enumerate([*self._head, *rest])}
        matrix = np.zeros((len(self._root), len(column)))
        for row, (root, ratio) in enumerate(zip(self._root, self._ratio, strict=True)):
            matrix[row, column[root]] = ratio
        return matrix
