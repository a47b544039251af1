"""The dispatch as a Pyomo model, and that model compiled to the arrays that HiGHS takes.

`solvers/dispatch.py` says what the model is and solves it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from solvers.cost_curves import CostCurves
from solvers.ptdf import BoolArray, FloatArray, IntArray

if TYPE_CHECKING:
    from scipy.sparse import csc_array


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


def build_model(network: DispatchNetwork, hours: FloatArray) -> Any:
    """The Pyomo model of `network` over periods of `hours` (T,) [h], without lines and shedding.

    Load is 0 and storages are empty in it; `RollingDispatch` puts the present ones in.
    """
    import pyomo.environ as pyo

    costs, storages = network.costs, network.storages
    generators, periods = range(len(network.generators)), range(len(hours))
    curved = costs.curved
    pieces = [np.flatnonzero(costs.generator == one).tolist() if curved[one] else [] for one in generators]
    bent = [segment for piece in pieces for segment in piece]
    hour, slope, width = hours.tolist(), costs.slope.tolist(), costs.width.tolist()
    p_min, p_max = network.p_min.tolist(), network.p_max.tolist()
    straight = {one: slope[first] for one, first in enumerate(costs.first) if not curved[one]}
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


@dataclass(frozen=True)
class CompiledModel:
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


def compile_model(model: Any, periods: int) -> CompiledModel:
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
    return CompiledModel(
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


def pass_to_highs(matrix: CompiledModel) -> Any:
    """A silent, serial HiGHS that holds the model. Raises ValueError if it refuses it."""
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
        raise ValueError("HiGHS refuses the model. Check the case for costs or limits that are not finite")
    return highs
