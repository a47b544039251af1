"""Rolling multi-period DC optimal dispatch: a Pyomo model built once, re-solved warm by HiGHS.

Minimise generation cost + value of lost load × shedding over the look-ahead, subject to

    balance[t]      Σ_g power + Σ_k (discharge - charge) + Σ_b shed = Σ_b load           dual λ_t
    curve[g, t]     power = p_min + Σ_s segment      (costs that are not one straight line)
    ramp[g, t]      |power_t - power_(t-1)| <= ramp × time between the periods' middles
    storage[k, t]   energy_t = energy_(t-1) + hours_t (√η charge - discharge / √η)
    line[l, t]      |PTDF_l · injection_t + shift_flow_l| <= rating_l                    dual μ_lt

and bounds on power, storage and shedding. The LMP of bus b is (λ_t + Σ_l μ_lt PTDF_lb) / hours_t:
the cost of 1 MW more load there, as a dual is the change of cost per change of right-hand side
(Wood, Wollenberg and Sheblé, *Power Generation, Operation, and Control*, 3rd ed., chapter 8). It is
capped at the value of lost load, since that MW could be shed as well.

Lines and shedding enter only where they matter. After each solve all branch flows are computed, and
the violated (line, period) pairs become rows that stay for later solves; shedding at a bus becomes a
column once the bus's LMP exceeds the value of lost load, or once the problem is infeasible without.
Both loops end at the optimum of the full problem: no violated line, no column worth entering.

Pyomo states the problem (`solvers/dispatch_model.py`) and compiles it to matrix form once; afterwards
loads, limits and initial states go to HiGHS as whole arrays of bounds. That was chosen by measurement.
One re-solve of the same small model (balance, ramps, 10 segments, 18 periods) three ways, parameters and
reading included, one core, median of 20 (HiGHS 1.15.1, Pyomo 6.10.1):

                    arrays to HiGHS    appsi Highs, mutable Params    contrib.solver Highs
    case118               2.9 ms                  67 ms                      68 ms
    ACTIVSg2000            26 ms                 419 ms                        -

since Pyomo updates and reads one Python object per bound. Quadratic costs as they are (HiGHS' QP solver,
which does not start warm) take 350 ms on case118 and 15 ms on case39; in segments, 2 ms and 1 ms.

Rolling 5-minute dispatches of this module, look-ahead 4 h in 18 periods, CPU time of one shared core
(it moved between runs as the ranges say):

                    intervals   segments   build    first solve   re-solve   line rows
    case39                288         20   1.2 s          9 ms     1-4 ms           0
    case118               288         20   1.2 s         41 ms     3-5 ms           0
    ACTIVSg2000           100         20   2.3 s        0.45 s      38 ms          38
    ACTIVSg10k             24         10   3.6 s        1.4 s   80-105 ms          18

A storage may charge and discharge at once where the price is negative: burning energy then pays, and a
linear programme cannot forbid it. Prices of a look-ahead are not bounded below: where ramps will bind
soon, one more MW now lets units climb earlier, and can be worth as much as the load that is then not shed.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, fields, replace

import numpy as np

from solvers.dispatch_model import DispatchNetwork, build_model, compile_model, pass_to_highs
from solvers.ptdf import BoolArray, FloatArray, IntArray, NetworkError, Ptdf, island_labels

#: names of HiGHS' model status
OPTIMAL, INFEASIBLE = ("kOptimal",), ("kInfeasible", "kUnboundedOrInfeasible")

FLOW_TOLERANCE = 1e-4  #: [MW] a flow this far above its rating becomes a row
PRICE_TOLERANCE = 1e-4  #: [$/MWh] an LMP this far above the value of lost load opens shedding


#: families in the order in which they are tried, and what to do about each
_REMEDIES = {
    "storage targets": "Lower final_energy, or start with more stored energy",
    "ramp limits": "Raise the ramp limits",
    "line limits": "Raise the ratings or line_limit_factor",
    "minimum generation": "Take units out of service or lower their p_min",
    "generation capacity": "Add generation",
}
_SHEDDING_REMEDY = ", or set value_of_lost_load so that load may be shed"


class DispatchError(Exception):
    """The dispatch could not be solved."""


class DispatchInfeasible(DispatchError):  # noqa: N818 - named as the field says it
    """No dispatch satisfies all limits; `family` names the limits that conflict with the load."""

    def __init__(self, family: str, detail: str) -> None:
        self.family = family
        super().__init__(f"the dispatch is infeasible because of {family}: {detail}")


class DispatchTimeout(DispatchError):  # noqa: N818
    """The solve took longer than its guard; an unfinished solution is never returned."""


@dataclass(frozen=True)
class SolveStats:
    """What a solve took."""

    build_seconds: float  #: once: Pyomo model, compilation, hand-over to HiGHS
    solve_seconds: float  #: this solve, lazily added rows included
    rounds: int  #: runs of HiGHS
    iterations: int  #: simplex iterations in all rounds
    lines_added: int  #: (line, period) rows added in this solve
    line_rows: int  #: rows held in all
    shed_columns: int  #: shedding columns held in all


@dataclass(frozen=True)
class DispatchSolution:
    """An optimal dispatch over T periods; the first is the one to carry out."""

    power: FloatArray  #: (T, G) [MW]
    lmp: FloatArray  #: (T, n) [$/MWh]; the value of lost load (0 without) at de-energised buses
    shed: FloatArray  #: (T, n) [MW], the load of de-energised buses included
    flow: FloatArray  #: (T, m) [MW]
    charge: FloatArray  #: (T, K) [MW]
    discharge: FloatArray  #: (T, K) [MW]
    energy: FloatArray  #: (T, K) [MWh] at each period's end
    cost: FloatArray  #: (T,) [$/h] generation, storage cycling and shedding
    load: FloatArray  #: (T,) [MW] in all
    mismatch: FloatArray  #: (T,) [MW] generation + storage + shedding - load
    objective: float  #: [$] the whole look-ahead, less the value of stored energy
    stats: SolveStats


def look_ahead(interval: float, horizon: float) -> FloatArray:
    """Lengths of the look-ahead's periods [h] for an `interval` and `horizon` [s].

    Twelve intervals at full resolution, since there ramps bind; then blocks of six intervals, and of
    twelve from four hours (of 5-minute intervals) on, since storage needs hours ahead but not their
    detail, and only the first interval is ever carried out. Four hours of 5 minutes are 18 periods
    instead of 48. The last block is cut at the horizon.
    """
    lengths: list[float] = []
    left = max(1, round(horizon / interval))
    while left:
        done = sum(lengths)
        block = 1 if done < 12 else 6 if done < 48 else 12
        lengths.append(min(block, left))
        left -= int(lengths[-1])
    return np.array(lengths) * interval / 3600.0


@dataclass(frozen=True)
class _Demand:
    """What one solve was asked for."""

    served: FloatArray  #: (T, n) [MW] load at energised buses
    lost: FloatArray  #: (T, n) [MW] load at others
    available: BoolArray  #: (G,)
    previous: FloatArray  #: (G,) [MW]
    stored: FloatArray  #: (K,) [MWh]
    within_reach: bool  #: whether targets of storages give way to what can be reached


@dataclass
class _Bounds:
    """Limits of all rows and columns, as wanted or as HiGHS has them."""

    row_lower: FloatArray
    row_upper: FloatArray
    column_lower: FloatArray
    column_upper: FloatArray

    def copy(self) -> _Bounds:
        return _Bounds(*(getattr(self, item.name).copy() for item in fields(self)))


def _require_finite(load: FloatArray, buses: tuple[str, ...]) -> None:
    bad = np.flatnonzero(~np.isfinite(load).all(axis=0))
    if len(bad):
        names = ", ".join(buses[bus] for bus in bad[:5])
        raise DispatchError(f"the load of buses {names} is not a finite number. Check what feeds the forecast")


class RollingDispatch:
    """A dispatch that is built once and solved again and again as time moves on.

    Parameters (T periods):
        network: what does not change.
        hours: (T,) lengths of the look-ahead's periods [h], for example of `look_ahead`.
        value_of_lost_load: [$/MWh]; None forbids shedding.
        wall_seconds: guard on the wall time of one `solve`; passing it raises DispatchTimeout.

    Not thread-safe. Solutions depend on the inputs and on the solves before (through the warm start,
    among equally cheap solutions), never on timing: HiGHS runs its serial dual simplex to the end.
    """

    def __init__(
        self,
        network: DispatchNetwork,
        hours: FloatArray,
        *,
        value_of_lost_load: float | None,
        wall_seconds: float = 120.0,
    ) -> None:
        from scipy.sparse import coo_array

        begin = time.perf_counter()
        self.network = network
        self.hours = hours
        self.value_of_lost_load = value_of_lost_load
        self._lost_load_price = value_of_lost_load or 0.0
        self._wall_seconds = wall_seconds
        self._matrix = compile_model(build_model(network, hours), len(hours))
        self._bounds = _Bounds(*(getattr(self._matrix, item.name).copy() for item in fields(_Bounds)))  # what HiGHS has
        try:
            self._highs = pass_to_highs(self._matrix)
        except ValueError as error:
            raise DispatchError(str(error)) from error
        count = len(network.generators)
        self._at_bus = coo_array(
            (np.ones(count), (np.arange(count), network.generator_bus)), shape=(count, len(network.buses))
        ).tocsr()
        self._storage_at_bus = np.zeros((len(network.storages.bus), len(network.buses)))
        self._storage_at_bus[np.arange(len(network.storages.bus)), network.storages.bus] = 1.0
        #: (line, period) rows in HiGHS, in order, after the model's own
        self._line, self._line_period = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
        #: (bus, period) shedding columns in HiGHS, in order, after the model's own
        self._shed_bus, self._shed_period = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
        self._set_topology(np.ones(len(network.branches), dtype=bool))
        self._build_seconds = time.perf_counter() - begin

    # ------------------------------------------------------------------ the network

    def _set_topology(self, in_service: BoolArray) -> None:
        """Take the branches in service: new factors, and rows of the known lines from them.

        The island with the most buses stays energised; generators elsewhere stop and load there is lost.
        """
        net = self.network
        labels = island_labels(len(net.buses), net.from_bus, net.to_bus, in_service)
        self._energised = labels == np.argmax(np.bincount(labels))
        try:
            self._ptdf = Ptdf(
                len(net.buses),
                net.from_bus,
                net.to_bus,
                net.reactance,
                net.tap,
                net.shift,
                in_service,
                net.base_mva,
                self._energised,
            )
        except NetworkError as error:
            raise DispatchError(str(error)) from error
        self._in_service = in_service.copy()
        self._slot = np.full(len(net.branches), -1)  # branch -> its row of `_rows`
        self._rows = np.zeros((0, len(net.buses)))  # PTDF rows of the monitored lines
        known, period = self._line, self._line_period
        if len(known):
            first = len(self._matrix.row_lower)
            self._highs.deleteRows(len(known), np.arange(first, first + len(known), dtype=np.int32))
            self._bounds.row_lower = self._bounds.row_lower[:first]
            self._bounds.row_upper = self._bounds.row_upper[:first]
            self._line = self._line_period = np.zeros(0, dtype=np.int64)
            carrying = self._ptdf.susceptance[known] != 0.0
            self._add_lines(known[carrying], period[carrying])

    def _add_lines(self, lines: IntArray, periods: IntArray) -> None:
        """Append a row for each (line, period); their limits follow with `_send`."""
        new = np.unique(lines[self._slot[lines] < 0])
        self._slot[new] = len(self._rows) + np.arange(len(new))
        self._rows = np.vstack([self._rows, self._ptdf.rows(new)])
        net, matrix = self.network, self._matrix
        starts, columns, values, total = [], [], [], 0
        for line, period in zip(lines.tolist(), periods.tolist(), strict=True):
            row = self._rows[self._slot[line]]
            own = np.flatnonzero(self._shed_period == period)
            place = np.r_[
                matrix.power[:, period],
                matrix.discharge[:, period],
                matrix.charge[:, period],
                len(matrix.cost) + own,
            ]
            at_storage = row[net.storages.bus]
            value = np.r_[row[net.generator_bus], at_storage, -at_storage, row[self._shed_bus[own]]]
            used = np.flatnonzero(value)
            starts.append(total)
            columns.append(place[used])
            values.append(value[used])
            total += len(used)
        free = np.full(len(lines), np.inf)
        self._highs.addRows(
            len(lines),
            -free,
            free,
            total,
            np.array(starts, dtype=np.int32),
            np.concatenate(columns).astype(np.int32) if columns else np.zeros(0, dtype=np.int32),
            np.concatenate(values) if values else np.zeros(0),
        )
        self._bounds.row_lower = np.r_[self._bounds.row_lower, -free]
        self._bounds.row_upper = np.r_[self._bounds.row_upper, free]
        self._line, self._line_period = np.r_[self._line, lines], np.r_[self._line_period, periods]

    def _add_shedding(self, buses: IntArray, periods: IntArray) -> None:
        """Append a shedding column for each (bus, period); their limits follow with `_send`."""
        first = len(self._matrix.row_lower)
        starts, rows, values, total = [], [], [], 0
        for bus, period in zip(buses.tolist(), periods.tolist(), strict=True):
            own = np.flatnonzero(self._line_period == period)
            factor = self._rows[self._slot[self._line[own]], bus]
            used = np.flatnonzero(factor)
            starts.append(total)
            rows.append(np.r_[self._matrix.balance[period], first + own[used]])
            values.append(np.r_[1.0, factor[used]])
            total += 1 + len(used)
        zero = np.zeros(len(buses))
        self._highs.addCols(
            len(buses),
            self._lost_load_price * self.hours[periods],
            zero,
            zero,
            total,
            np.array(starts, dtype=np.int32),
            np.concatenate(rows).astype(np.int32),
            np.concatenate(values),
        )
        self._bounds.column_lower = np.r_[self._bounds.column_lower, zero]
        self._bounds.column_upper = np.r_[self._bounds.column_upper, zero]
        self._shed_bus, self._shed_period = np.r_[self._shed_bus, buses], np.r_[self._shed_period, periods]

    # ------------------------------------------------------------------ one solve

    def solve(
        self,
        load: FloatArray,
        *,
        generator_available: BoolArray | None = None,
        branch_available: BoolArray | None = None,
        previous: FloatArray | None = None,
        stored: FloatArray | None = None,
        within_reach: bool = False,
    ) -> DispatchSolution:
        """Dispatch the look-ahead.

        Parameters (T periods, n buses, m branches, G generators, K storages):
            load: (T, n) [MW] average of each period at each bus; negative is an injection.
            generator_available: (G,) all, if None.
            branch_available: (m,) all, if None.
            previous: (G,) set-points before the first period [MW], from which ramps are counted; NaN
                where unknown, and all unknown if None. A unit that comes back may jump to p_min.
            stored: (K,) energy at the start [MWh]; needed if there are storages.
            within_reach: a storage that stands below its plan (orders were lost, its bus was dead) comes as
                near its target as it can; if not, a target out of reach is infeasible.

        Raises DispatchInfeasible, DispatchTimeout, and DispatchError for whatever else HiGHS says.
        """
        begin = time.perf_counter()
        net = self.network
        _require_finite(load, net.buses)
        count = len(net.generators)
        branches = np.ones(len(net.branches), dtype=bool) if branch_available is None else branch_available
        if (branches != self._in_service).any():
            self._set_topology(branches)
        wanted = np.ones(count, dtype=bool) if generator_available is None else generator_available
        available = wanted & self._energised[net.generator_bus]
        known = np.full(count, np.nan) if previous is None else previous
        energy = np.zeros(len(net.storages.bus)) if stored is None else stored
        lost = np.where(self._energised, 0.0, load)
        served = load - lost
        if self.value_of_lost_load is None and (lost > 0.0).any():
            self._refuse_lost_load(lost)
        demand = _Demand(served, lost, available, known, energy, within_reach)
        rows_before, iterations, rounds = len(self._line), 0, 0
        while True:
            self._send(self._wanted_bounds(demand))
            status = self._run(begin)
            iterations += int(self._highs.getInfo().simplex_iteration_count)
            rounds += 1
            if status in OPTIMAL:
                stats = SolveStats(
                    self._build_seconds,
                    time.perf_counter() - begin,
                    rounds,
                    iterations,
                    len(self._line) - rows_before,
                    len(self._line),
                    len(self._shed_bus),
                )
                solution = self._read(demand, stats)
                if not (self._open_lines(solution) or self._open_shedding(solution, served)):
                    break
            elif status in INFEASIBLE:
                if not self._open_all_shedding(served):
                    raise self._diagnosis(demand, begin)
            else:
                raise DispatchError(f"HiGHS ended with {status}. Check the case for extreme costs or limits")
        if self.value_of_lost_load is not None:
            solution = replace(solution, lmp=np.minimum(solution.lmp, self.value_of_lost_load))
        return replace(solution, stats=replace(stats, solve_seconds=time.perf_counter() - begin))

    def _refuse_lost_load(self, lost: FloatArray) -> None:
        buses = np.flatnonzero((lost > 0.0).any(axis=0))
        names = ", ".join(self.network.buses[bus] for bus in buses[:5])
        raise DispatchInfeasible(
            "branch availability",
            f"buses {names} are cut off with {lost.max(axis=0).sum():.1f} MW of load and shedding is not "
            "allowed. Set value_of_lost_load, or keep a branch to them in service",
        )

    def _wanted_bounds(self, demand: _Demand) -> _Bounds:
        """The limits that this solve needs, in HiGHS' order."""
        net, matrix, bounds = self.network, self._matrix, self._bounds.copy()
        low, high = net.p_min * demand.available, net.p_max * demand.available
        bounds.column_lower[matrix.power] = low[:, None]
        bounds.column_upper[matrix.power] = high[:, None]
        # the first period's ramp limits are limits of a variable; one that cannot be met (a unit that
        # trips or comes back) gives way to the unit's own limits
        reach = net.ramp * self.hours[0] * 60.0
        before = np.where(demand.available, demand.previous, np.nan)
        bounds.column_lower[matrix.power[:, 0]] = np.clip(np.fmax(before - reach, low), low, high)
        bounds.column_upper[matrix.power[:, 0]] = np.clip(np.fmin(before + reach, high), low, high)
        curved = net.costs.curved
        bounds.row_lower[matrix.curve] = bounds.row_upper[matrix.curve] = low[curved, None]
        total = demand.served.sum(axis=1)
        bounds.row_lower[matrix.balance] = bounds.row_upper[matrix.balance] = total
        bounds.row_lower[matrix.storage[:, 0]] = bounds.row_upper[matrix.storage[:, 0]] = demand.stored
        power = net.storages.power * self._energised[net.storages.bus]
        bounds.column_upper[matrix.charge] = bounds.column_upper[matrix.discharge] = power[:, None]
        reach = demand.stored + np.sqrt(net.storages.efficiency) * power * self.hours.sum()
        limited = np.minimum(net.storages.final_energy, reach)
        target = np.where((power > 0.0) & (not demand.within_reach), net.storages.final_energy, limited)
        bounds.column_lower[matrix.energy[:, -1]] = target
        shed = demand.served[self._shed_period, self._shed_bus]
        bounds.column_upper[len(matrix.cost) :] = np.maximum(shed, 0.0)
        if len(self._line):
            by_load = (demand.served @ self._rows.T)[self._line_period, self._slot[self._line]]
            offset = by_load - self._ptdf.shift_flow[self._line]
            limit = net.rating[self._line]
            bounds.row_lower[len(matrix.row_lower) :] = offset - limit
            bounds.row_upper[len(matrix.row_lower) :] = offset + limit
        return bounds

    def _send(self, wanted: _Bounds) -> None:
        """Tell HiGHS the limits that differ from those it has."""
        has = self._bounds
        rows = np.flatnonzero((wanted.row_lower != has.row_lower) | (wanted.row_upper != has.row_upper))
        if len(rows):
            self._highs.changeRowsBounds(
                len(rows), rows.astype(np.int32), wanted.row_lower[rows], wanted.row_upper[rows]
            )
        columns = np.flatnonzero((wanted.column_lower != has.column_lower) | (wanted.column_upper != has.column_upper))
        if len(columns):
            self._highs.changeColsBounds(
                len(columns),
                columns.astype(np.int32),
                wanted.column_lower[columns],
                wanted.column_upper[columns],
            )
        self._bounds = wanted

    def _run(self, begin: float) -> str:
        """Run HiGHS, once more from scratch if the warm start led nowhere; the name of its status."""
        status = self._run_once(begin)
        if status not in (*OPTIMAL, *INFEASIBLE):
            self._highs.clearSolver()
            status = self._run_once(begin)
        return status

    def _run_once(self, begin: float) -> str:
        left = self._wall_seconds - (time.perf_counter() - begin)
        if left > 0.0:
            # HiGHS counts its time limit over all runs of one object
            self._highs.setOptionValue("time_limit", self._highs.getRunTime() + left)
            self._highs.run()
        status = str(self._highs.getModelStatus().name)
        if left <= 0.0 or status == "kTimeLimit":
            raise DispatchTimeout(
                f"the dispatch was not solved within {self._wall_seconds:g} s. Shorten the look-ahead, "
                "use fewer cost segments, or raise the guard"
            )
        return status

    def _read(self, demand: _Demand, stats: SolveStats) -> DispatchSolution:
        """HiGHS' solution in the network's terms."""
        net, matrix, hours = self.network, self._matrix, self.hours
        answer = self._highs.getSolution()
        value = np.array(answer.col_value) + 0.0  # no negative zeros
        dual = np.array(answer.row_dual)
        power = value[matrix.power].T
        charge, discharge = value[matrix.charge].T, value[matrix.discharge].T
        shed = np.zeros(demand.served.shape)
        shed[self._shed_period, self._shed_bus] = value[len(matrix.cost) :]
        storage = discharge - charge
        injection = power @ self._at_bus + storage @ self._storage_at_bus + shed - demand.served
        congestion = np.zeros((len(hours), len(self._rows)))
        np.add.at(congestion, (self._line_period, self._slot[self._line]), dual[len(matrix.row_lower) :])
        lmp = (dual[matrix.balance][:, None] + congestion @ self._rows) / hours[:, None]
        lmp[:, ~self._energised] = self._lost_load_price
        running = net.costs.base @ demand.available.astype(float)
        spent = matrix.cost * value[: len(matrix.cost)]
        variable = sum(spent[part].sum(axis=0) for part in (matrix.power, matrix.segment, matrix.discharge)) / hours
        running -= self._straight_offset(demand.available)
        shed_all = shed + np.maximum(demand.lost, 0.0)
        cost = running + variable + self._lost_load_price * shed_all.sum(axis=1)
        energy = value[matrix.energy].T
        return DispatchSolution(
            power=power,
            lmp=lmp,
            shed=shed_all,
            flow=self._ptdf.flows(injection),
            charge=charge,
            discharge=discharge,
            energy=energy,
            cost=cost,
            load=(demand.served + demand.lost).sum(axis=1),
            mismatch=power.sum(axis=1) + storage.sum(axis=1) + shed.sum(axis=1) - demand.served.sum(axis=1),
            objective=float(cost @ hours - energy[-1] @ net.storages.terminal_value),
            stats=stats,
        )

    def _straight_offset(self, available: BoolArray) -> float:
        """What the objective counts for straight costs at p_min, which `base` holds already [$/h]."""
        costs = self.network.costs
        at_minimum = costs.slope[costs.first] * self.network.p_min * available
        return float(at_minimum[~costs.curved].sum())

    def _open_lines(self, solution: DispatchSolution) -> bool:
        """Add the (line, period) pairs above their rating; whether there were any."""
        over = np.abs(solution.flow) > self.network.rating + FLOW_TOLERANCE
        over[self._line_period, self._line] = False
        periods, lines = np.nonzero(over)
        if len(lines):
            self._add_lines(lines, periods)
        return len(lines) > 0

    def _open_shedding(self, solution: DispatchSolution, served: FloatArray) -> bool:
        """Add the columns whose bus is dearer than the value of lost load; whether there were any."""
        if self.value_of_lost_load is None:
            return False
        dear = (solution.lmp > self.value_of_lost_load + PRICE_TOLERANCE) & (served > 0.0)
        return self._open(dear & self._energised)

    def _open_all_shedding(self, served: FloatArray) -> bool:
        """Add every bus with load in every period; whether any was missing."""
        return self.value_of_lost_load is not None and self._open((served > 0.0) & self._energised)

    def _open(self, wanted: BoolArray) -> bool:
        wanted = wanted.copy()
        wanted[self._shed_period, self._shed_bus] = False
        periods, buses = np.nonzero(wanted)
        if len(buses):
            self._add_shedding(buses, periods)
        return len(buses) > 0

    # ------------------------------------------------------------------ infeasible: why?

    def _diagnosis(self, demand: _Demand, begin: float) -> DispatchInfeasible:
        """Relax one family of limits after the other; the first that gives a solution is the cause."""
        strict = self._bounds
        for family, remedy in _REMEDIES.items():
            self._send(self._relaxed(strict, demand, family))
            if self._run(begin) in OPTIMAL:
                self._send(strict)
                shedding = _SHEDDING_REMEDY if self.value_of_lost_load is None else ""
                return DispatchInfeasible(family, f"{self._figures(demand)}. {remedy}{shedding}")
        self._send(strict)
        return DispatchInfeasible(
            "several families of limits together",
            f"{self._figures(demand)}; relaxing {', '.join(_REMEDIES)} one at a time does not help. "
            "Check the load against the limits of the generators",
        )

    def _relaxed(self, strict: _Bounds, demand: _Demand, family: str) -> _Bounds:
        net, matrix, bounds = self.network, self._matrix, strict.copy()
        if family == "storage targets":
            bounds.column_lower[matrix.energy] = 0.0
        elif family == "ramp limits":
            bounds.row_lower[matrix.ramp], bounds.row_upper[matrix.ramp] = -np.inf, np.inf
            bounds.column_lower[matrix.power[:, 0]] = net.p_min * demand.available
            bounds.column_upper[matrix.power[:, 0]] = net.p_max * demand.available
        elif family == "line limits":
            bounds.row_lower[len(matrix.row_lower) :] = -np.inf
            bounds.row_upper[len(matrix.row_lower) :] = np.inf
        elif family == "minimum generation":
            # more may be taken from the balance than there is load
            bounds.row_upper[matrix.balance] = np.inf
        else:
            bounds.row_lower[matrix.balance] = -np.inf
        return bounds

    def _figures(self, demand: _Demand) -> str:
        """Load and limits of the tightest period, for the error's text."""
        load = demand.served.sum(axis=1)
        least, most = (float(limit[demand.available].sum()) for limit in (self.network.p_min, self.network.p_max))
        return (
            f"load {load.min():.1f} to {load.max():.1f} MW over the look-ahead, available generators from "
            f"{least:.1f} to {most:.1f} MW"
        )
