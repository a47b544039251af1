"""AC power flow of a transmission grid: Newton-Raphson of lightsim2grid (KLU), re-solved quickly.

The admittance matrix, bus types and injections are made here from the case's arrays; lightsim2grid
does the Newton steps. Its own grid model is passed by: it stores loads in single precision when
they change as a vector, knows one island, and its transformers need base voltages. pandapower is
the reference solver in the tests.

What is decided here:

- *Slack.* The difference between generation and load plus losses is shared by all generators in
  proportion to their capacity (or headroom), in each island: a grid of 70,000 buses has no single
  generator that could carry it. None is driven beyond its limits as long as others have room: what it
  cannot take the others share. `slack="reference"` is the textbook's single slack.
- *Reactive limits* are enforced: a bus whose generators pass their limit is held at the limit, and
  its voltage set free, until the voltage would come back across its set-point. One bus in each
  island is exempt; what its generators are short of is `reactive_excess`.
- *Islands.* A part of the grid without a generator in service, or (if it is not the reference
  bus's) whose generators cannot carry its load, is dead: voltage 0, its load counted in `unserved`.
- *Set-points.* The last generator in service at a bus gives its voltage, as in MATPOWER.
- *Repeatability.* Nothing is kept between solves but the matrix of the last branch status, which
  changes no digit. A warm start is an argument: the previous solution.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from solvers.admittance import branch_admittances, branch_flows, bus_admittance
from solvers.ptdf import island_labels
from solvers.transmission_grid import (
    ISOLATED,
    PQ,
    REFERENCE,
    Booleans,
    Complexes,
    Floats,
    Integers,
    TransmissionCase,
)

Sharing = Literal["capacity", "headroom", "reference"]

_NEWTON_ITERATIONS = 30
_ROUNDS = 30  #: of the loop around Newton for reactive limits
_RELEASES = 3  #: times that a bus may return from its reactive limit, against endless switching
_LOSSES = 0.01  #: of the load, to tell who will reach a limit before the losses are known
_SHARE_TOLERANCE = 1e-3  #: [MW] of the imbalance, for generators at a reactive limit


class PowerFlowError(Exception):
    """The power flow has no solution that Newton's method finds, or the grid is dead."""


@dataclass(frozen=True)
class PowerFlowSolution:
    """A solved grid; arrays over buses, branches or generators."""

    voltage: Complexes  #: (bus,) [pu]; 0 where dead
    generation: Complexes  #: (generator,) [MVA]
    branch_from: Complexes  #: (branch,) [MVA] into the branch at its `from` end
    branch_to: Complexes  #: (branch,) [MVA] into the branch at its `to` end
    loading: Floats  #: (branch,) [%] of the rating, the larger end; 0 where unrated
    losses: float  #: [MW] in branches, shunts and DC lines
    unserved: Complexes  #: (bus,) [MVA] load at dead buses
    slack_deviation: float  #: [MW] generation in excess of the set-points
    reactive_excess: float  #: [Mvar] beyond generators' limits, all of them together
    mismatch: Complexes  #: (bus,) [MVA] generation - load - what the branch flows take
    at_limit: Integers  #: (bus,) +1, -1: its generators are at the upper, lower reactive limit
    iterations: int  #: Newton steps

    @property
    def energy_balance(self) -> float:
        """Generation - load - losses [MW]: the sum of all buses' mismatch."""
        return float(self.mismatch.real.sum())


@dataclass(frozen=True)
class _Topology:
    """What follows from the branches in service."""

    in_service: Booleans
    admittance: Any  #: sparse (bus, bus)
    island: Integers  #: (bus,)


@dataclass
class _State:
    """One island's unknowns while the loop around Newton runs."""

    voltage: Complexes
    at_limit: Integers
    imbalance: float = 0.0  #: [pu] shared by the generators
    iterations: int = 0


@dataclass(frozen=True)
class _Island:
    """One island's data in per unit, buses counted within the island."""

    admittance: Any
    scheduled: Complexes  #: generation - load, reactive power of regulating buses not included
    share: Floats  #: of the imbalance, sums to 1
    regulated: Booleans
    setpoint: Floats
    lowest: Floats  #: net reactive injection at the generators' limits
    highest: Floats
    anchor: int  #: the bus that keeps its voltage, whatever its generators' limits
    pivot: int  #: the bus that keeps its angle: the reference, with or without a generator
    labels: tuple[str, ...]


class AcPowerFlow:
    """Power flows of one grid, `case`, under changing loads, set-points and outages.

    `slack` says who shares the active imbalance: all generators by "capacity" (their upper limit, up
    to that limit) or by "headroom" (what is left to the limit that the imbalance drives them to), or
    only those at the "reference" bus (where it has none in service, at the largest generator's bus).
    `reactive_limits` enforces them; if not, `reactive_excess` tells by how much they are passed.
    `tolerance` is the largest mismatch of a bus [MVA].
    """

    def __init__(
        self,
        case: TransmissionCase,
        slack: Sharing = "capacity",
        reactive_limits: bool = True,
        tolerance: float = 1e-6,
    ) -> None:
        from lightsim2grid.algorithm import NR_KLU

        self._newton_raphson = NR_KLU
        self.case = case
        self.slack: Sharing = slack
        self.reactive_limits = reactive_limits
        self.tolerance = tolerance
        self._branch = branch_admittances(case.branches)
        self._dc_injection = case.dc_injection()
        self._topology: _Topology | None = None
        self._connect(None)

    def solve(
        self,
        load: Complexes,
        generation: Floats,
        generator_available: Booleans | None = None,
        branch_available: Booleans | None = None,
        start: PowerFlowSolution | None = None,
        sharing: Booleans | None = None,
    ) -> PowerFlowSolution:
        """Solve for `load` (bus,) [MVA] and active set-points `generation` (generator,) [MW].

        `generator_available`, `branch_available` (bool) take elements out besides those that the
        case has out of service. `start` is a solution to start from, else the case's voltages.
        `sharing` (bool) are the generators that share the imbalance, in an island that has some of them.
        Raises PowerFlowError with the bus of the largest mismatch if Newton's method does not
        converge from `start`, from the case's voltages, nor from a DC power flow.
        """
        case, buses, generators = self.case, self.case.buses, self.case.generators
        topology = self._connect(branch_available)
        running = generators.in_service & (buses.kind[generators.bus] != ISOLATED)
        if generator_available is not None:
            running = running & generator_available
        alive = self._alive(topology, running, load)
        if not alive.any():
            raise PowerFlowError("no part of the grid has a generator in service that could carry it")
        running = running & alive[generators.bus]
        scheduled = np.where(running, generation, 0.0)
        share = self._shares(topology.island, running, scheduled, load, sharing)

        voltage = np.zeros(len(buses), dtype=complex)
        at_limit = np.zeros(len(buses), dtype=np.int64)
        imbalance = np.zeros(len(buses))
        iterations = 0
        for island in np.unique(topology.island[alive]):
            members = np.flatnonzero(topology.island == island)
            part = self._island(members, topology, running, scheduled, share, load)
            state = self._solve_island(part, topology, members, start)
            voltage[members], at_limit[members] = state.voltage, state.at_limit
            imbalance[members] = state.imbalance * case.base_mva
            iterations += state.iterations
        power = scheduled + share * imbalance[generators.bus]
        return self._solution(topology, running, power, scheduled, load, voltage, at_limit, iterations)

    def _connect(self, branch_available: Booleans | None) -> _Topology:
        branches, dead = self.case.branches, self.case.buses.kind == ISOLATED
        in_service = branches.in_service & ~dead[branches.from_bus] & ~dead[branches.to_bus]
        if branch_available is not None:
            in_service = in_service & branch_available
        if self._topology is None or not np.array_equal(in_service, self._topology.in_service):
            self._topology = _Topology(
                in_service=in_service,
                admittance=bus_admittance(self.case, self._branch, in_service),
                island=island_labels(len(self.case.buses), branches.from_bus, branches.to_bus, in_service),
            )
        return self._topology

    def _alive(self, topology: _Topology, running: Booleans, load: Complexes) -> Booleans:
        """Which buses are in an island that its generators can carry, shape (bus,)."""
        buses, generators, island = self.case.buses, self.case.generators, topology.island
        count = int(island.max()) + 1
        regulates = running & (buses.kind[generators.bus] != PQ)
        regulating = np.bincount(island[generators.bus[regulates]], minlength=count) > 0
        capacity = _per(generators.bus[running], generators.highest_active[running], island, count)
        demand = _per(np.arange(len(buses)), (load - self._dc_injection).real, island, count)
        main = np.bincount(island[buses.kind == REFERENCE], minlength=count) > 0
        able: Booleans = (regulating & (main | (capacity >= demand)))[island] & (buses.kind != ISOLATED)
        return able

    def _shares(
        self,
        island: Integers,
        running: Booleans,
        scheduled: Floats,
        load: Complexes,
        sharing: Booleans | None,
    ) -> Floats:
        """Each generator's share of its island's imbalance, shape (generator,), 1 in an island."""
        buses, generators = self.case.buses, self.case.generators
        able = running & (buses.kind[generators.bus] != PQ)
        capacity = np.where(
            np.isfinite(generators.highest_active), generators.highest_active, np.abs(generators.power.real)
        )
        capacity = np.where(able, np.maximum(capacity, 0.0), 0.0)
        weight, count = capacity, int(island.max()) + 1
        where = island[generators.bus]
        demand = _per(np.arange(len(buses)), (load - self._dc_injection).real, island, count)
        short = demand - np.bincount(where, scheduled, count)
        short = short + _LOSSES * np.maximum(demand, 0.0)
        floor = np.where(np.isfinite(generators.lowest_active), generators.lowest_active, 0.0)
        room = np.where(short[where] >= 0, capacity - scheduled, scheduled - floor)
        room = np.where(able & (True if sharing is None else sharing), np.maximum(room, 0.0), 0.0)
        if self.slack == "capacity":
            weight = _within_room(capacity, room, np.abs(short), where, count)
        elif self.slack == "headroom":
            weight = room
        elif self.slack == "reference":
            weight = np.where(able & (buses.kind[generators.bus] == REFERENCE), np.maximum(capacity, 1e-6), 0.0)
        for fallback in (capacity, able.astype(float)):
            total = np.bincount(where, weight, count)
            weight = np.where(total[where] > 0, weight, fallback)
        if self.slack == "reference":
            weight = _largest_only(weight, generators.bus, where, buses.kind)
        total = np.bincount(where, weight, count)[where]
        share: Floats = np.divide(weight, total, out=np.zeros_like(weight), where=total > 0)
        return share

    def _island(
        self,
        members: Integers,
        topology: _Topology,
        running: Booleans,
        scheduled: Floats,
        share: Floats,
        load: Complexes,
    ) -> _Island:
        case, buses, generators = self.case, self.case.buses, self.case.generators
        count, base = len(buses), case.base_mva
        at, on = generators.bus[running], running
        regulated = np.zeros(count, dtype=bool)
        regulated[at] = buses.kind[at] != PQ
        setpoint = np.abs(buses.voltage)
        setpoint[at] = generators.voltage_setpoint[on]  # numpy keeps the last one
        fixed = np.where(buses.kind[at] == PQ, generators.power.imag[on], 0.0)
        demand = load - self._dc_injection
        injection = np.bincount(at, scheduled[on], count) + 1j * np.bincount(at, fixed, count) - demand
        bus_share = np.bincount(at, share[on], count).astype(float)  # of integers if none is on
        lowest = np.bincount(at, generators.lowest_reactive[on], count) - demand.imag
        highest = np.bincount(at, generators.highest_reactive[on], count) - demand.imag
        whole = len(members) == count
        admittance = topology.admittance if whole else topology.admittance[members][:, members]
        weight = bus_share[members] * regulated[members]
        reference = buses.kind[members] == REFERENCE
        anchor = int(np.where(regulated[members], 1 + weight + reference, 0.0).argmax())
        return _Island(
            admittance=admittance,
            scheduled=injection[members] / base,
            share=bus_share[members],
            regulated=regulated[members],
            setpoint=setpoint[members],
            lowest=lowest[members] / base,
            highest=highest[members] / base,
            anchor=anchor,
            pivot=int(reference.argmax()) if reference.any() else anchor,
            labels=buses.label if whole else tuple(buses.label[index] for index in members.tolist()),
        )

    def _solve_island(
        self, island: _Island, topology: _Topology, members: Integers, start: PowerFlowSolution | None
    ) -> _State:
        """Newton's method from the best start that works, around it the loop for reactive limits."""
        own = self.case.buses.voltage[members]
        own = np.where(own == 0, 1.0, own)
        fresh = np.zeros(len(members), dtype=np.int64)
        starts = [_State(own, fresh)]
        if start is not None:
            before = start.voltage[members]
            starts.insert(0, _State(np.where(before == 0, own, before), start.at_limit[members]))
        fault: PowerFlowError | None = None
        for state in starts:
            try:
                return self._settle(island, state, own)
            except PowerFlowError as error:
                fault = error
        angles = self._dc_angles(island, topology, members)
        try:
            return self._settle(island, _State(np.exp(1j * angles), fresh), own)
        except PowerFlowError as error:
            raise fault or error from None

    def _settle(self, island: _Island, state: _State, own: Complexes) -> _State:
        """Repeat Newton's method until all reactive limits are kept; returns the state."""
        releases = np.zeros(len(state.voltage), dtype=np.int64)
        state = replace(state, at_limit=np.where(island.regulated, state.at_limit, 0))
        if not self.reactive_limits:
            state.at_limit = np.zeros_like(state.at_limit)
        state.at_limit[island.anchor] = 0
        for _ in range(_ROUNDS):
            before = state.imbalance
            state = self._newton(island, state)
            changed = self.reactive_limits and _switch(island, state, releases, self.tolerance / self.case.base_mva)
            held = float(island.share[state.at_limit != 0].sum())
            drift = abs(state.imbalance - before) * held * self.case.base_mva
            if not changed and drift <= _SHARE_TOLERANCE:
                turn = own[island.pivot] / state.voltage[island.pivot]
                state.voltage = state.voltage * (turn / abs(turn))
                return state
        raise PowerFlowError(
            f"reactive limits still switch after {_ROUNDS} rounds; is the grid short of reactive power? "
            "Solve it with reactive_limits false to see which generators pass their limits"
        )

    def _newton(self, island: _Island, state: _State) -> _State:
        controlled = island.regulated & (state.at_limit == 0)
        taking = controlled & (island.share > 0)
        taking[island.anchor] = True
        free_share = np.where(taking, island.share, 0.0)
        held_share = island.share - free_share
        total = free_share.sum()
        weight = free_share / total if total > 0 else (np.arange(len(taking)) == island.anchor).astype(float)
        limit = np.where(state.at_limit > 0, island.highest, np.where(state.at_limit < 0, island.lowest, 0.0))
        target = island.scheduled + held_share * state.imbalance
        target = np.where(state.at_limit != 0, target.real + 1j * limit, target)
        guess = np.where(controlled, state.voltage / np.abs(state.voltage) * island.setpoint, state.voltage)
        others = np.flatnonzero(taking & (np.arange(len(taking)) != island.anchor))
        solver = self._newton_raphson()
        converged = solver.solve(
            island.admittance,
            guess.astype(np.complex128),
            target,
            np.concatenate([[island.anchor], others]).astype(np.int32),
            weight,
            np.flatnonzero(controlled & ~taking).astype(np.int32),
            np.flatnonzero(~controlled).astype(np.int32),
            _NEWTON_ITERATIONS,
            self.tolerance / self.case.base_mva,
        )
        if not converged:
            raise PowerFlowError(self._divergence(island, np.array(solver.get_V()), target, controlled, weight))
        voltage = np.array(solver.get_V())
        net = (voltage * np.conj(island.admittance @ voltage)).real.sum() - island.scheduled.real.sum()
        return replace(
            state,
            voltage=voltage,
            imbalance=float(net),
            iterations=state.iterations + int(solver.get_nb_iter()),
        )

    def _divergence(
        self, island: _Island, voltage: Complexes, target: Complexes, controlled: Booleans, weight: Floats
    ) -> str:
        with np.errstate(all="ignore"):
            error = voltage * np.conj(island.admittance @ voltage) - target
            error = np.where(controlled, error.real, error)
            error = np.where(weight > 0, 0, error)
            size = np.abs(error) * self.case.base_mva
        if not np.isfinite(size).all():
            worst, text = int(np.argmin(np.isfinite(size))), "voltages became infinite"
        else:
            worst = int(size.argmax())
            text = f"largest mismatch {size[worst]:.3g} MVA"
        demand = -float(np.minimum(island.scheduled.real, 0).sum()) * self.case.base_mva
        return (
            f"AC power flow of {self.case.name} did not converge in {_NEWTON_ITERATIONS} Newton steps: {text} "
            f"at bus {island.labels[worst]} (net load {demand:.0f} MW at {len(voltage)} buses). "
            "The load is more than the grid can carry, or a set-point is wrong: lower the load or add generation"
        )

    def _dc_angles(self, island: _Island, topology: _Topology, members: Integers) -> Floats:
        """Voltage angles [rad] of a DC power flow, a start where the case's own voltages fail."""
        from scipy.sparse import csc_matrix
        from scipy.sparse.linalg import spsolve

        position = np.full(len(self.case.buses), -1)
        position[members] = np.arange(len(members))
        branches = self.case.branches
        inside = topology.in_service & (position[branches.from_bus] >= 0)
        start, end = position[branches.from_bus[inside]], position[branches.to_bus[inside]]
        reactance = branches.reactance[inside]
        susceptance = 1 / np.where(reactance == 0, 1e-4, reactance) / branches.ratio[inside]
        shifted = susceptance * branches.shift[inside]
        count = len(members)
        matrix = csc_matrix(
            (
                np.concatenate([susceptance, -susceptance, -susceptance, susceptance]),
                (np.concatenate([start, start, end, end]), np.concatenate([start, end, start, end])),
            ),
            shape=(count, count),
        )
        power = island.scheduled.real - island.share * island.scheduled.real.sum()
        power = power + np.bincount(start, shifted, count) - np.bincount(end, shifted, count)
        others = np.flatnonzero(np.arange(count) != island.anchor)
        angles = np.zeros(count)
        if len(others):
            angles[others] = spsolve(matrix[others][:, others], power[others])
        return angles

    def _solution(
        self,
        topology: _Topology,
        running: Booleans,
        power: Floats,
        scheduled: Floats,
        load: Complexes,
        voltage: Complexes,
        at_limit: Integers,
        iterations: int,
    ) -> PowerFlowSolution:
        case, buses, generators = self.case, self.case.buses, self.case.generators
        count, alive = len(buses), voltage != 0
        demand = np.where(alive, load - self._dc_injection, 0)
        into = voltage * np.conj(topology.admittance @ voltage) * case.base_mva + demand
        reactive = _share_reactive(case, running, into.imag)
        generation = power + 1j * reactive
        at_from, at_to = branch_flows(case, self._branch, topology.in_service, voltage)
        larger = np.maximum(np.abs(at_from), np.abs(at_to))
        rated = case.branches.rating > 0
        loading = np.divide(100 * larger, case.branches.rating, out=np.zeros_like(larger), where=rated)
        shunt = np.abs(voltage) ** 2 * buses.shunt.conj()
        produced = np.bincount(generators.bus, power, count) + 1j * np.bincount(generators.bus, reactive, count)
        taken = _sum_at(case.branches.from_bus, at_from, count) + _sum_at(case.branches.to_bus, at_to, count)
        dc_losses = -float(np.where(alive, self._dc_injection, 0).real.sum())
        excess = np.maximum(reactive - generators.highest_reactive, generators.lowest_reactive - reactive)
        return PowerFlowSolution(
            voltage=voltage,
            generation=generation,
            branch_from=at_from,
            branch_to=at_to,
            loading=loading,
            losses=float((at_from + at_to).real.sum() + shunt.real.sum()) + dc_losses,
            unserved=np.where(alive, 0, load),
            slack_deviation=float((power - scheduled).sum()),
            reactive_excess=float(np.maximum(excess[running], 0.0).sum()),
            mismatch=produced - demand - shunt - taken,
            at_limit=at_limit,
            iterations=iterations,
        )


def _per(bus: Integers, values: Floats, island: Integers, count: int) -> Floats:
    """Sums of `values` at `bus` in each island, shape (island,)."""
    return np.bincount(island[bus], values, count).astype(float)


def _sum_at(bus: Integers, values: Complexes, count: int) -> Complexes:
    """Sums of complex `values` at each bus, shape (bus,)."""
    return np.bincount(bus, values.real, count) + 1j * np.bincount(bus, values.imag, count)


def _within_room(capacity: Floats, room: Floats, short: Floats, island: Integers, count: int) -> Floats:
    """What each generator takes of its island's imbalance `short` (island,) [MW]: by `capacity`, at most its `room`.

    A generator that reaches its limit leaves the rest to the others; where all together have too little room they
    share by room.
    """
    taken = np.zeros_like(room)
    open_, left = room > 0.0, short.copy()
    for _ in range(len(room)):
        total = np.bincount(island, np.where(open_, capacity, 0.0), count)[island]
        part = np.divide(capacity * left[island], total, out=np.zeros_like(room), where=open_ & (total > 0.0))
        full = open_ & (part >= room)
        if not full.any():
            return np.where(open_, part, taken)
        taken[full] = room[full]
        open_ = open_ & ~full
        left = short - np.bincount(island, taken, count)
    return taken


def _largest_only(weight: Floats, bus: Integers, island: Integers, kind: Integers) -> Floats:
    """Keep, in each island, the weights at one bus only: a reference bus, else that of the largest."""
    order = np.lexsort((weight, (kind[bus] == REFERENCE) & (weight > 0), island))
    chosen = np.full(int(island.max()) + 1, -1)
    chosen[island[order]] = bus[order]  # the last of each island stays
    kept: Floats = np.where(bus == chosen[island], weight, 0.0)
    return kept


def _switch(island: _Island, state: _State, releases: Integers, tolerance: float) -> bool:
    """Put buses at the reactive limits that they pass, release those that need it no more.

    Changes `state.at_limit` and `releases`; says whether anything changed. A bus at its upper limit
    returns when its voltage rises above the set-point: then less reactive power would do.
    """
    reactive = (state.voltage * np.conj(island.admittance @ state.voltage)).imag
    magnitude = np.abs(state.voltage)
    free = island.regulated & (state.at_limit == 0)
    free[island.anchor] = False
    above = free & (reactive > island.highest + tolerance)
    below = free & (reactive < island.lowest - tolerance)
    may = releases < _RELEASES
    back = may & (state.at_limit > 0) & (magnitude > island.setpoint)
    back |= may & (state.at_limit < 0) & (magnitude < island.setpoint)
    releases[back] += 1
    state.at_limit = np.where(above, 1, np.where(below, -1, np.where(back, 0, state.at_limit)))
    return bool((above | below | back).any())


def _share_reactive(case: TransmissionCase, running: Booleans, needed: Floats) -> Floats:
    """Share the reactive power `needed` (bus,) [Mvar] among a bus's generators by their range.

    At buses without voltage control the generators give what the case says.
    """
    generators, count = case.generators, len(case.buses)
    bus = generators.bus
    free = running & (case.buses.kind[bus] != PQ)
    wide = np.abs(needed)[bus] + np.abs(generators.power.imag) + 1.0  # stands for an infinite limit
    lowest = np.where(np.isfinite(generators.lowest_reactive), generators.lowest_reactive, -wide)
    highest = np.where(np.isfinite(generators.highest_reactive), generators.highest_reactive, wide)
    span = np.where(free, np.maximum(highest - lowest, 0.0), 0.0)
    whole = np.bincount(bus, span, count)[bus]
    number = np.bincount(bus, free, count)[bus]
    part = np.where(whole > 0, span / np.where(whole > 0, whole, 1.0), 1.0 / np.maximum(number, 1))
    base = np.bincount(bus, np.where(free, lowest, 0.0), count)[bus]
    shared = lowest + (needed[bus] - base) * part
    reactive: Floats = np.where(free, shared, np.where(running, generators.power.imag, 0.0))
    return reactive
