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

Pyomo states the problem and compiles it to matrix form once; afterwards loads, limits and initial
states go to HiGHS as whole arrays of bounds. Measured on one core (18 periods, 10 segments, no line
rows; median of 20 re-solves, HiGHS 1.15.1, Pyomo 6.10.1), parameters, solve and reading together:

    case118         this way 2.9 ms; appsi Highs with mutable Params 67 ms; contrib.solver 68 ms
    ACTIVSg2000     this way  26 ms; appsi Highs with mutable Params 419 ms

because Pyomo updates and reads one Python object per bound while the solve itself takes 2 to 17 ms.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from solvers.ptdf import BoolArray, FloatArray, IntArray, NetworkError, Ptdf, island_labels

if TYPE_CHECKING:
    from scipy.sparse import csc_array

FLOW_TOLERANCE = 1e-4  #: [MW] a flow this far above its rating becomes a row
PRICE_TOLERANCE = 1e-4  #: [$/MWh] an LMP this far above the value of lost load opens shedding


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
class CostCurves:
    """Convex piecewise linear costs of G generators in S segments, ordered by generator."""

    base: FloatArray  #: (G,) [$/h] cost at p_min
    generator: IntArray  #: (S,) position of the generator, ascending; each has at least one segment
    width: FloatArray  #: (S,) [MW]; the widths of a generator sum to p_max - p_min
    slope: FloatArray  #: (S,) [$/MWh], not falling within a generator


@dataclass(frozen=True)
class Storages:
    """K storages; each array (K,)."""

    bus: IntArray
    power: FloatArray  #: [MW] charging and discharging alike
    energy: FloatArray  #: [MWh] capacity
    efficiency: FloatArray  #: [1] of a full cycle, shared equally by charging and discharging
    final_energy: FloatArray  #: [MWh] least at the look-ahead's end; 0 for none
    terminal_value: FloatArray  #: [$/MWh] of what is left at the look-ahead's end
    cycle_cost: FloatArray  #: [$/MWh] of discharged energy; above 0 it breaks ties against idle cycling

    @classmethod
    def none(cls) -> Storages:
        """No storage at all."""
        empty = np.zeros(0)
        return cls(np.zeros(0, dtype=np.int64), *(empty for _ in range(6)))


@dataclass(frozen=True)
class DispatchNetwork:
    """What does not change while dispatching: n buses, m branches, G generators, K storages."""

    buses: tuple[str, ...]
    branches: tuple[str, ...]
    generators: tuple[str, ...]
    base_mva: float
    from_bus: IntArray  #: (m,) position
    to_bus: IntArray  #: (m,)
    reactance: FloatArray  #: (m,) [pu]
    tap: FloatArray  #: (m,) [1], 1 for a line
    shift: FloatArray  #: (m,) [rad]
    rating: FloatArray  #: (m,) [MW], inf where unlimited
    generator_bus: IntArray  #: (G,)
    p_min: FloatArray  #: (G,) [MW]; both limits 0 for a unit that is never in service
    p_max: FloatArray  #: (G,) [MW]
    ramp: FloatArray  #: (G,) [MW/min], inf where unlimited
    costs: CostCurves
    storages: Storages

    def __post_init__(self) -> None:
        for name in ("p_min", "p_max"):
            _refuse(~np.isfinite(getattr(self, name)), self.generators, f"{name} must be finite")
        _refuse(self.p_max < self.p_min, self.generators, "p_max must not be below p_min")
        _refuse(~(self.ramp > 0), self.generators, "ramp must be above 0 MW/min")
        _refuse(~(self.rating > 0), self.branches, "rating must be above 0 MW, inf for unlimited")


def _refuse(bad: BoolArray, labels: tuple[str, ...], rule: str) -> None:
    if bad.any():
        raise ValueError(f"{rule}; it is not so for {', '.join(np.array(labels)[bad][:5])}")


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


def cost_curves(
    polynomial: FloatArray, points: FloatArray, p_min: FloatArray, p_max: FloatArray, segments: int
) -> CostCurves:
    """Cut cost functions into segments.

    A linear programme holds convex costs only; where a cost is not (falling heat rates), its convex
    envelope stands for it, the largest convex function that is nowhere above it.

    Parameters (G generators, P points):
        polynomial: (G, 3) c0 [$/h], c1 [$/MWh], c2 [$/MW²h]; used where `points` has none.
        points: (G, P, 2) [MW], [$/h] of piecewise linear costs, NaN-padded; their own segments are
            kept, the first and last extended to the limits.
        p_min, p_max: (G,) [MW].
        segments: number of equal segments of a quadratic cost. Chords overestimate the cost by at most
            c2 width² / 4 and miss the marginal cost by at most c2 width.
    """
    given: BoolArray = np.logical_or.reduce(~np.isnan(points[:, :, 0]), axis=1)
    spread = p_max - p_min
    count = np.where(~given & (polynomial[:, 2] > 0.0) & (spread > 0.0), segments, 1)
    generator = np.repeat(np.arange(len(p_min)), count)
    step = np.arange(len(generator)) - np.repeat(np.cumsum(count) - count, count)
    width = (spread / count)[generator]
    left = p_min[generator] + step * width
    slope = polynomial[generator, 1] + polynomial[generator, 2] * (2 * left + width)
    base = polynomial[:, 0] + (polynomial[:, 1] + polynomial[:, 2] * p_min) * p_min
    smooth = ~given[generator]
    parts = [(generator[smooth], width[smooth], slope[smooth])]
    for one in np.flatnonzero(given):
        own = points[one][~np.isnan(points[one, :, 0])]
        base[one], widths, slopes = _piecewise(own, p_min[one], p_max[one])
        parts.append((np.full(len(widths), one), widths, slopes))
    owner, width, slope = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(owner, kind="stable")
    return CostCurves(base, owner[order], width[order], slope[order])


def _piecewise(own: FloatArray, p_min: float, p_max: float) -> tuple[float, FloatArray, FloatArray]:
    """Cost at p_min, widths and slopes between the limits of one piecewise linear cost (P, 2)."""
    megawatt, cost = _convex_envelope(own).T
    slopes = np.diff(cost) / np.diff(megawatt) if len(megawatt) > 1 else np.zeros(1)
    inner = megawatt[1:-1][(megawatt[1:-1] > p_min) & (megawatt[1:-1] < p_max)]
    edges = np.r_[p_min, inner, p_max]
    middle = (edges[1:] + edges[:-1]) / 2
    slope = slopes[np.clip(np.searchsorted(megawatt, middle) - 1, 0, len(slopes) - 1)]
    first = int(np.clip(np.searchsorted(megawatt, p_min, side="right") - 1, 0, len(slopes) - 1))
    return float(cost[first] + slopes[first] * (p_min - megawatt[first])), np.diff(edges), slope


def _convex_envelope(points: FloatArray) -> FloatArray:
    """The lower convex hull of points (P, 2), from left to right (Andrew's monotone chain)."""
    hull: list[FloatArray] = []
    for point in points[np.argsort(points[:, 0], kind="stable")]:
        while len(hull) > 1:
            (ax, ay), (bx, by) = hull[-2], hull[-1]
            if (bx - ax) * (point[1] - ay) - (by - ay) * (point[0] - ax) > 0.0:
                break
            hull.pop()
        if not hull or point[0] > hull[-1][0]:
            hull.append(point)
    return np.array(hull)


def build_model(network: DispatchNetwork, hours: FloatArray) -> Any:
    """The Pyomo model of `network` over periods of `hours` (T,) [h], without lines and shedding.

    Load is 0 and storages are empty in it; `RollingDispatch` puts the present ones in.
    """
    import pyomo.environ as pyo

    costs, storages = network.costs, network.storages
    generators, periods = range(len(network.generators)), range(len(hours))
    curved = _curved(costs)
    pieces = [np.flatnonzero(costs.generator == one).tolist() if curved[one] else [] for one in generators]
    bent = [segment for piece in pieces for segment in piece]
    hour, slope, width = hours.tolist(), costs.slope.tolist(), costs.width.tolist()
    p_min, p_max = network.p_min.tolist(), network.p_max.tolist()
    straight = {one: slope[first] for one, first in enumerate(_first_segment(costs)) if not curved[one]}
    root = np.sqrt(storages.efficiency).tolist()
    units = range(len(root))
    rows = ramp_limits(network, hours)

    model = pyo.ConcreteModel("rolling dispatch")
    model.power = pyo.Var(generators, periods, bounds=lambda m, g, t: (p_min[g], p_max[g]))
    model.segment = pyo.Var(bent, periods, bounds=lambda m, s, t: (0.0, width[s]))
    model.charge = pyo.Var(units, periods, bounds=lambda m, k, t: (0.0, float(storages.power[k])))
    model.discharge = pyo.Var(units, periods, bounds=lambda m, k, t: (0.0, float(storages.power[k])))
    model.energy = pyo.Var(units, periods, bounds=lambda m, k, t: (0.0, float(storages.energy[k])))
    model.demand = pyo.Param(periods, initialize=0.0)
    model.stored = pyo.Param(units, initialize=0.0)
    model.balance = pyo.Constraint(
        periods,
        rule=lambda m, t: (
            pyo.quicksum(m.power[g, t] for g in generators)
            + pyo.quicksum(m.discharge[k, t] - m.charge[k, t] for k in units)
            == m.demand[t]
        ),
    )
    model.curve = pyo.Constraint(
        [one for one in generators if curved[one]],
        periods,
        rule=lambda m, g, t: m.power[g, t] - pyo.quicksum(m.segment[s, t] for s in pieces[g]) == p_min[g],
    )
    model.ramp = pyo.Constraint(
        list(rows),
        rule=lambda m, g, t: pyo.inequality(-rows[g, t], m.power[g, t] - m.power[g, t - 1], rows[g, t]),
    )
    model.storage = pyo.Constraint(
        units,
        periods,
        rule=lambda m, k, t: (
            m.energy[k, t] - hour[t] * (root[k] * m.charge[k, t] - m.discharge[k, t] / root[k])
            == (m.energy[k, t - 1] if t else m.stored[k])
        ),
    )
    model.cost = pyo.Objective(
        expr=pyo.quicksum(hour[t] * slope[s] * model.segment[s, t] for s in bent for t in periods)
        + pyo.quicksum(hour[t] * price * model.power[g, t] for g, price in straight.items() for t in periods)
        + pyo.quicksum(hour[t] * float(storages.cycle_cost[k]) * model.discharge[k, t] for k in units for t in periods)
        - pyo.quicksum(float(storages.terminal_value[k]) * model.energy[k, periods[-1]] for k in units)
    )
    return model


def ramp_limits(network: DispatchNetwork, hours: FloatArray) -> dict[tuple[int, int], float]:
    """Ramp limits [MW] between periods t-1 and t by (generator, t), where they can bind at all.

    A unit that ramps at r changes its average from one period to the next by at most r times the time
    between their middles; where that exceeds p_max - p_min, the limits say it already.
    """
    between = (hours[1:] + hours[:-1]) / 2 * 60.0
    allowed = network.ramp[:, None] * between[None, :]
    binding = np.argwhere(allowed < (network.p_max - network.p_min)[:, None])
    return {(g, t + 1): float(allowed[g, t]) for g, t in binding.tolist()}


def _curved(costs: CostCurves) -> BoolArray:
    return np.bincount(costs.generator, minlength=len(costs.base)) > 1


def _first_segment(costs: CostCurves) -> IntArray:
    return np.searchsorted(costs.generator, np.arange(len(costs.base)))


@dataclass(frozen=True)
class _Matrix:
    """The compiled model, and where its variables and constraints stand in it."""

    cost: FloatArray
    rows: csc_array
    row_lower: FloatArray
    row_upper: FloatArray
    column_lower: FloatArray
    column_upper: FloatArray
    power: IntArray  #: (G, T) columns
    segment: IntArray  #: (segments of curved costs, T)
    charge: IntArray  #: (K, T)
    discharge: IntArray
    energy: IntArray
    balance: IntArray  #: (T,) rows
    curve: IntArray  #: (curved generators, T)
    ramp: IntArray  #: (ramp limits,)
    storage: IntArray  #: (K, T)


def compile_model(model: Any, periods: int) -> _Matrix:
    """Compile the Pyomo model to arrays; a constraint with two limits becomes one row."""
    from pyomo.repn.plugins.standard_form import LinearStandardFormCompiler

    form = LinearStandardFormCompiler().write(model, mixed_form=True)
    kind = np.array([entry.bound_type for entry in form.rows])
    side = np.asarray(form.rhs, dtype=float)
    lower, upper = np.where(kind <= 0, side, -np.inf), np.where(kind >= 0, side, np.inf)
    # the compiler writes a constraint lo <= x <= up as two neighbouring rows, the upper one first
    owner = np.array([id(entry.constraint) for entry in form.rows])
    twin = np.r_[False, owner[1:] == owner[:-1]]
    lower[np.flatnonzero(twin) - 1] = lower[twin]
    row_of = dict(zip(owner[~twin].tolist(), range(int((~twin).sum())), strict=True))
    column_of = {id(variable): position for position, variable in enumerate(form.columns)}

    def places(component: Any, known: dict[int, int]) -> IntArray:
        return np.array([known[id(item)] for item in component.values()], dtype=np.int64)

    columns = {
        name: places(getattr(model, name), column_of).reshape(-1, periods)
        for name in ("power", "segment", "charge", "discharge", "energy")
    }
    rows = {name: places(getattr(model, name), row_of) for name in ("balance", "curve", "ramp", "storage")}
    limits = np.array([variable.bounds for variable in form.columns], dtype=float)
    return _Matrix(
        form.c.toarray().ravel(),
        form.A.tocsr()[np.flatnonzero(~twin)].tocsc(),
        lower[~twin],
        upper[~twin],
        limits[:, 0],
        limits[:, 1],
        balance=rows["balance"],
        curve=rows["curve"].reshape(-1, periods),
        ramp=rows["ramp"],
        storage=rows["storage"].reshape(-1, periods),
        **columns,
    )


@dataclass
class _Bounds:
    """Limits of all rows and columns, as wanted or as HiGHS has them."""

    row_lower: FloatArray
    row_upper: FloatArray
    column_lower: FloatArray
    column_upper: FloatArray

    def copy(self) -> _Bounds:
        return _Bounds(*(getattr(self, item.name).copy() for item in fields(self)))


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
        self._wall_seconds = wall_seconds
        self._matrix = compile_model(build_model(network, hours), len(hours))
        self._bounds = _Bounds(*(getattr(self._matrix, item.name).copy() for item in fields(_Bounds)))  # what HiGHS has
        self._highs = _pass_to_highs(self._matrix)
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
        assert self.value_of_lost_load is not None  # narrows the type: callers ask only then
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
            self.value_of_lost_load * self.hours[periods],
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
    ) -> DispatchSolution:
        """Dispatch the look-ahead.

        Parameters (T periods, n buses, m branches, G generators, K storages):
            load: (T, n) [MW] average of each period at each bus; negative is an injection.
            generator_available: (G,) all, if None.
            branch_available: (m,) all, if None.
            previous: (G,) set-points before the first period [MW], from which ramps are counted; NaN
                where unknown, and all unknown if None. A unit that comes back may jump to p_min.
            stored: (K,) energy at the start [MWh]; needed if there are storages.

        Raises DispatchInfeasible, DispatchTimeout, and DispatchError for whatever else HiGHS says.
        """
        begin = time.perf_counter()
        net = self.network
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
        demand = _Demand(served, lost, available, known, energy)
        rows_before, iterations, rounds = len(self._line), 0, 0
        while True:
            self._send(self._wanted_bounds(demand))
            status = self._run(begin)
            iterations += int(self._highs.getInfo().simplex_iteration_count)
            rounds += 1
            if status == "kOptimal":
                solution = self._read(demand)
                if not (self._open_lines(solution) or self._open_shedding(solution, served)):
                    break
            elif status in ("kInfeasible", "kUnboundedOrInfeasible"):
                if not self._open_all_shedding(served):
                    raise self._diagnosis(demand, begin)
            else:
                raise DispatchError(f"HiGHS ended with {status}. Check the case for extreme costs or limits")
        stats = SolveStats(
            self._build_seconds,
            time.perf_counter() - begin,
            rounds,
            iterations,
            len(self._line) - rows_before,
            len(self._line),
            len(self._shed_bus),
        )
        if self.value_of_lost_load is not None:
            solution = replace(solution, lmp=np.minimum(solution.lmp, self.value_of_lost_load))
        return replace(solution, stats=stats)

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
        curved = _curved(net.costs)
        bounds.row_lower[matrix.curve] = bounds.row_upper[matrix.curve] = low[curved, None]
        total = demand.served.sum(axis=1)
        bounds.row_lower[matrix.balance] = bounds.row_upper[matrix.balance] = total
        bounds.row_lower[matrix.storage[:, 0]] = bounds.row_upper[matrix.storage[:, 0]] = demand.stored
        power = net.storages.power * self._energised[net.storages.bus]
        bounds.column_upper[matrix.charge] = bounds.column_upper[matrix.discharge] = power[:, None]
        bounds.column_lower[matrix.energy[:, -1]] = net.storages.final_energy
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
        for attempt in range(2):
            left = self._wall_seconds - (time.perf_counter() - begin)
            if left > 0.0:
                # HiGHS counts its time limit over all runs of one object
                self._highs.setOptionValue("time_limit", self._highs.getRunTime() + left)
                self._highs.run()
            status = self._highs.getModelStatus().name
            if left <= 0.0 or status == "kTimeLimit":
                raise DispatchTimeout(
                    f"the dispatch was not solved within {self._wall_seconds:g} s. Shorten the look-ahead, "
                    "use fewer cost segments, or raise the guard"
                )
            if status in ("kOptimal", "kInfeasible", "kUnboundedOrInfeasible") or attempt:
                return str(status)
            self._highs.clearSolver()
        raise DispatchError("unreachable: the second attempt always returns")

    def _read(self, demand: _Demand) -> DispatchSolution:
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
        lmp[:, ~self._energised] = self.value_of_lost_load or 0.0
        running = net.costs.base @ demand.available.astype(float)
        spent = matrix.cost * value[: len(matrix.cost)]
        variable = sum(spent[part].sum(axis=0) for part in (matrix.power, matrix.segment, matrix.discharge)) / hours
        running -= self._straight_offset(demand.available)
        shed_all = shed + np.maximum(demand.lost, 0.0)
        cost = running + variable + (self.value_of_lost_load or 0.0) * shed_all.sum(axis=1)
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
            stats=SolveStats(0.0, 0.0, 0, 0, 0, 0, 0),
        )

    def _straight_offset(self, available: BoolArray) -> float:
        """What the objective counts for straight costs at p_min, which `base` holds already [$/h]."""
        costs, straight = self.network.costs, ~_curved(self.network.costs)
        slope = costs.slope[_first_segment(costs)]
        return float((slope * self.network.p_min * available)[straight].sum())

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
            if self._run(begin) == "kOptimal":
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


#: families in the order in which they are tried, and what to do about each
_REMEDIES = {
    "storage targets": "Lower final_energy, or start with more stored energy",
    "ramp limits": "Raise the ramp limits",
    "line limits": "Raise the ratings or line_limit_factor",
    "minimum generation": "Take units out of service or lower their p_min",
    "generation capacity": "Add generation",
}
_SHEDDING_REMEDY = ", or set value_of_lost_load so that load may be shed"


@dataclass(frozen=True)
class _Demand:
    """What one solve was asked for."""

    served: FloatArray  #: (T, n) [MW] load at energised buses
    lost: FloatArray  #: (T, n) [MW] load at others
    available: BoolArray  #: (G,)
    previous: FloatArray  #: (G,) [MW]
    stored: FloatArray  #: (K,) [MWh]


def _pass_to_highs(matrix: _Matrix) -> Any:
    import highspy

    highs = highspy.Highs()  # type: ignore[no-untyped-call]
    for option, setting in (
        ("output_flag", False),
        ("threads", 1),
        ("parallel", "off"),
        ("solver", "simplex"),
        ("random_seed", 0),
    ):
        highs.setOptionValue(option, setting)
    problem = highspy.HighsLp()
    problem.num_row_, problem.num_col_ = matrix.rows.shape
    problem.col_cost_ = matrix.cost
    problem.col_lower_, problem.col_upper_ = matrix.column_lower, matrix.column_upper
    problem.row_lower_, problem.row_upper_ = matrix.row_lower, matrix.row_upper
    problem.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    problem.a_matrix_.start_ = matrix.rows.indptr
    problem.a_matrix_.index_ = matrix.rows.indices
    problem.a_matrix_.value_ = matrix.rows.data
    if highs.passModel(problem) == highspy.HighsStatus.kError:
        raise DispatchError("HiGHS refuses the model. Check the case for costs or limits that are not finite")
    return highs
