"""The transmission grid: an AC power flow at each step; generators, loads and storages follow their orders."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from cosim.contract import Array, Balance, Context, Exchange, Federate, Flow, Message, Port, Stock, Term, Time
from cosim.errors import ConfigError, ContractError, SolverError
from cosim.held_orders import HeldOrders
from cosim.settings import NameOrFile, Settings
from cosim.storage_unit import StorageUnit
from cosim.units import PositiveDuration, Power, quantity, written
from feeders.transmission_case import CaseError, load_case
from solvers.ac_power_flow import AcPowerFlow, PowerFlowError, PowerFlowSolution, Sharing
from solvers.generator_schedule import ASSUMED_RAMP, Limits, beyond_limits, beyond_ramps, moved
from solvers.storage_flow import energy_after, possible_power
from solvers.transmission_grid import Booleans, Complexes, Floats

MINUTE, HOUR = 60 * 10**9, 3600 * 10**9
VOLTAGES = (0.0, 2.0)  #: [pu] no bus has more
ROUNDING = 1e-9  #: of a sum of all buses [1]
BALANCE_LIMIT = 0.01  #: [MW], [MVA] of the power flow's errors; Newton's method stops far below it

#: What a message to a generator, a bus and a storage must hold.
GENERATOR_ORDER, BUS_ORDER, STORAGE_ORDER = "setpoint_MW", "load_shed_MW", "storage_MW"


class Expectations(Settings):
    """What an engineer expects of the grid; beyond it the verdict lists it as physics to look at."""

    lowest_voltage: Annotated[float, quantity("pu")] = 0.9
    """Of a bus that is alive [pu]; from 0.9 to about 1.1 a grid of 110 to 300 kV may run for an unlimited time
    (Regulation (EU) 2017/1485, annex II: 0.90 to 1.118)."""
    highest_voltage: Annotated[float, quantity("pu")] = 1.1
    """As above [pu]."""
    branch_loading: Annotated[float, quantity("%")] = Field(default=100.0, gt=0)
    """Of a branch's rating, which it bears for ever."""
    slack: Annotated[float, quantity("%")] = Field(default=3.0, gt=0)
    """Generation beyond the schedule, of the load: what regulation and primary reserve are bought for, 1 to 3 %."""
    generator_excess: Power = Field(default=1.0, gt=0)
    """What a generator gives above its maximum or below its minimum."""
    ramp_excess: Annotated[float, quantity("%/min")] = Field(default=1.0, gt=0)
    """How much faster than its ramp a generator moves, of its capacity a minute; the minute's noise of the load, which
    generators share, stays below."""
    shortfall: Power = Field(default=1.0, gt=0)
    """What a generator, a storage or a shedding order leaves undone."""


@dataclass(frozen=True)
class _Orders:
    """What is asked of whom."""

    setpoint: HeldOrders  #: of generators [MW]
    shed: HeldOrders  #: of buses [MW]
    storage: HeldOrders  #: of storages [MW] into the grid

    def copy(self) -> _Orders:
        return _Orders(self.setpoint.copy(), self.shed.copy(), self.storage.copy())


@dataclass(frozen=True)
class _Units:
    """How generators and storages stand after a step."""

    out: Booleans  #: (generator,) may not run, or stands at a dead bus
    off: Booleans  #: (generator,) out, or waiting for an order after it was
    returning: Booleans  #: (generator,) was off and is not yet where it is asked to be
    output: Floats  #: (generator,) [MW] what the ramp limits let the generator schedule; 0 while it is off
    dark: Booleans  #: (storage,) its bus is dead
    energy: Floats  #: (storage,) [MWh] at the end of the step


@dataclass(frozen=True)
class _Step:
    """What a solved time leaves to the next one."""

    time: Time
    orders: _Orders
    units: _Units
    solution: PowerFlowSolution | None  #: None before the first step


class Transmission(Federate):
    """AC power flow of a published transmission case under load, orders and outages.

    The load at a bus is the case's (active and reactive power alike) times `load_multiplier` and
    the input load_scale; at a feeder's bus it is what the feeders take instead. load_change adds.

    A generator holds the set-point that was sent last as a message {"setpoint_MW": x} to
    "<name>/<generator>", inside its limits, and moves to it no faster than its ramp limit allows.
    A run begins at the set-points of the input `setpoint`; without them a generator follows the
    case's own dispatch in proportion to the load until it is first ordered. What was ordered up to
    an outage ends with it: a unit that comes back stays off until it is ordered anew, starts from
    zero and climbs by its ramp; one that was never ordered climbs to the case's dispatch. What load,
    losses and outages then ask beyond the schedule is shared as `slack` says by all who are not on
    their way back: slack_deviation.

    A bus obeys the message {"load_shed_MW": x} to "<name>/bus <label>" that was sent last. It lowers
    the case's load there by x, reactive power in proportion, at most to zero; 0 ends it. It holds
    through an outage, as opened breakers do. What feeders take and load_change are not shed: at a
    feeder's bus the order changes nothing, and counts as not carried out.

    A storage holds the message {"storage_MW": x} to "<name>/storage <storage>" that was sent last,
    positive into the grid, as far as its power and its energy allow. Its energy is held here, where
    the flow is: at a dead bus nothing flows, and the order ends. Storage is no load: generation +
    storage = load + losses.

    At each multiple of `telemetry_interval` a message to `telemetry_to` tells what is out and what
    each unit and storage did: nobody else knows.

    A branch trip may cut off a part of the grid: without generators that can carry it, it is dead;
    its voltage is 0 and its load counts as unserved. See `solvers/ac_power_flow.py`.
    """

    iterative: ClassVar[bool] = True
    messaging: ClassVar[Literal["none", "agent", "carrier"]] = "agent"
    preload: ClassVar[tuple[str, ...]] = ("scipy.sparse.linalg", "lightsim2grid.algorithm")

    class Config(Settings):
        """Settings of the transmission grid."""

        case: NameOrFile = "case39"
        """A MATPOWER or pandapower case by name (case39, case118, case_ACTIVSg2000, ...) or a MATPOWER file (.m)."""
        load_multiplier: float = Field(default=1.0, gt=0)
        """The case's load is multiplied with this [1]."""
        feeder_buses: tuple[str, ...] = ()
        """Buses whose load comes from feeders instead of the case; the wiring fills this in."""
        minimum_generation: float = Field(default=1.0, ge=0, le=1)
        """Share of the generators' lowest power that holds [1]. At 0 any unit may run down to nothing, which stands
        for shutting it down: nobody commits units here, and few cases have a night that all of them can run through."""
        slack: Sharing = "capacity"
        """Who shares the active imbalance: all generators by "capacity" or "headroom", or the "reference" bus."""
        reactive_limits: bool = False
        """Hold generators at their reactive limits, their bus voltage free, instead of reporting the excess only.
        Far from its published load a case then has unreal voltages or none: it has no reactors to switch."""
        ramp: float = Field(default=ASSUMED_RAMP, gt=0)
        """Ramp limit of generators for which the case has none, in % of their capacity a minute (an assumption)."""
        storage: tuple[StorageUnit, ...] = ()
        """Storages on the grid; filled in from `dispatch`."""
        expect: Expectations = Expectations()
        """What an engineer expects of the grid."""
        telemetry_interval: PositiveDuration = written("1 min")
        """Time between two messages on what is out and what units and storages did."""
        telemetry_to: str = ""
        """The agent that gets them, filled in by the wiring; none: they are not sent."""

    config: Transmission.Config

    def __init__(self, config: Transmission.Config, context: Context) -> None:
        super().__init__(config, context)
        try:
            self._case = load_case(config.case)
        except CaseError as error:
            raise ConfigError("case", str(error)) from error
        try:
            positions = [self._case.bus_position(bus) for bus in config.feeder_buses]
        except CaseError as error:
            raise ConfigError("feeder_buses", str(error), "Hang the feeder on a bus of the case.") from error
        if len(set(positions)) < len(positions):
            raise ConfigError("feeder_buses", "a bus is there twice.", "Name each bus once.")
        self._feeder_positions = np.array(positions, dtype=np.int64)
        self._own_load = self._case.buses.load * config.load_multiplier
        self._feeder_load = self._own_load[self._feeder_positions]
        self._own_load[self._feeder_positions] = 0
        generators = self._case.generators
        self._limits = Limits.of(generators, config.minimum_generation, config.ramp)
        self._capacity = np.maximum(np.abs(self._limits.low), np.abs(self._limits.high))
        self._generator = {f"{context.name}/{label}": index for index, label in enumerate(generators.label)}
        self._storage = {f"{context.name}/storage {unit.name}": index for index, unit in enumerate(config.storage)}
        self._storage_bus = np.array([self._bus_of(n, unit) for n, unit in enumerate(config.storage)], dtype=np.int64)
        self._first_energy, self._storage_power = (
            np.array([getattr(unit, name) for unit in config.storage], dtype=float) for name in ("initial", "power")
        )
        self._storage_size = (  # capacity [MWh] and efficiency [1]
            np.array([unit.energy for unit in config.storage], dtype=float),
            np.array([unit.efficiency for unit in config.storage], dtype=float),
        )
        self._hours = context.step / HOUR
        self._committed: _Step | None = None
        self._pending: _Step | None = None
        self._received: tuple[Time, tuple[Message, ...]] = (-1, ())

    def _bus_of(self, number: int, unit: StorageUnit) -> int:
        if unit.name in [other.name for other in self.config.storage[:number]]:
            raise ConfigError(f"storage.{number}.name", f"'{unit.name}' is there twice.", "Choose another name.")
        try:
            return self._case.bus_position(unit.bus)
        except CaseError as error:
            raise ConfigError(f"storage.{number}.bus", f"{error}.") from error

    def ports(self) -> Sequence[Port]:
        """Labels are MATPOWER's bus numbers; a second generator at bus 30 is "30-2"."""
        case, expect = self._case, self.config.expect
        bus, branch = {"bus": case.buses.label}, {"branch": case.branches.label}
        generator = {"generator": case.generators.label}
        none, some = (0.0, 0.0), (-expect.shortfall, expect.shortfall)
        voltages = (expect.lowest_voltage, expect.highest_voltage)
        loading, slack = (0.0, expect.branch_loading), (-expect.slack, expect.slack)
        excess, faster = (-expect.generator_excess, expect.generator_excess), (0.0, expect.ramp_excess)
        unordered = np.nan
        ports = [
            Port("load_scale", "1", "in", "system load over its reference", initial=1.0),
            Port("load_change", "MVA", "in", "load added at a bus", bus, initial=0.0, is_complex=True),
            Port(
                "generator_available",
                "1",
                "in",
                "generator may run (1) or not (0)",
                generator,
                initial=tuple(case.generators.in_service.astype(float).tolist()),
            ),
            Port(
                "branch_available",
                "1",
                "in",
                "branch is closed (1) or tripped (0)",
                branch,
                initial=tuple(case.branches.in_service.astype(float).tolist()),
            ),
            Port("setpoint", "MW", "in", "set-points at which a run begins, NaN for none", generator, unordered),
            Port(
                "voltage",
                "pu",
                "out",
                "bus voltage, 0 where dead",
                bus,
                is_complex=True,
                range=VOLTAGES,
                expected=voltages,
                absent=0.0,
            ),
            Port(
                "generation",
                "MVA",
                "out",
                "power of a generator",
                generator,
                is_complex=True,
                needs=("generator_available",),
            ),
            Port(
                "branch_loading",
                "%",
                "out",
                "larger end's power over the rating, 0 where unrated",
                branch,
                expected=loading,
                needs=("branch_available",),
            ),
            Port("load", "MVA", "out", "total load that is served", is_complex=True),
            Port("load_shed", "MW", "out", "load shed as ordered, total carried out", expected=none),
            Port("shed_shortfall", "MW", "out", "load ordered to be shed and not shed", expected=some),
            Port("storage", "MW", "out", "power of storages into the grid, total"),
            Port("losses", "MW", "out", "losses of branches, shunts and DC lines"),
            Port("slack_deviation", "MW", "out", "generation beyond the schedule"),
            Port("slack_share", "%", "out", "generation beyond the schedule, of the load", expected=slack),
            Port(
                "limit_excess",
                "MW",
                "out",
                "above the maximum (+) or below the minimum (-)",
                generator,
                expected=excess,
            ),
            Port("ramp_excess", "%/min", "out", "faster than its ramp, of its capacity", generator, expected=faster),
            Port("setpoint_shortfall", "MW", "out", "last ordered and not scheduled", generator, expected=some),
            Port(
                "order",
                "MW",
                "out",
                "set-point that was ordered last and holds, 0 without one",
                generator,
                obeys=f"{self.config.telemetry_to}.setpoint",
            ),
            Port("reactive_excess", "Mvar", "out", "reactive power beyond the generators' limits", expected=(0.0, 1.0)),
            Port("unserved_load", "MW", "out", "load at dead buses", expected=none),
            Port("energy_balance", "MW", "out", "generation + storage - load - losses", limit=BALANCE_LIMIT),
            Port("power_mismatch", "MVA", "out", "largest mismatch of a bus", limit=BALANCE_LIMIT),
        ]
        if self.config.storage:
            at = {"unit": tuple(unit.name for unit in self.config.storage)}
            ports += [
                Port("storage_power", "MW", "out", "discharging (positive) or charging of each storage", at),
                Port("storage_energy", "MWh", "out", "energy in each storage at the step's start", at),
                Port("storage_shortfall", "MW", "out", "last ordered and not carried out", at, expected=some),
                Port(
                    "storage_order",
                    "MW",
                    "out",
                    "power that was ordered last and holds, 0 without an order",
                    at,
                    obeys=f"{self.config.telemetry_to}.storage_power",
                ),
            ]
        if self.config.feeder_buses:
            at = {"feeder_bus": self.config.feeder_buses, "phase": ("A", "B", "C")}
            # Until the feeders have answered, their buses carry the case's load.
            first = tuple((load / 3,) * 3 for load in self._feeder_load.tolist())
            ports.append(
                Port("feeder_load", "MVA", "in", "load of feeders at a bus", at, initial=first, is_complex=True)
            )
        return ports

    def left_out(self) -> Sequence[str]:
        """What the case's file holds and nobody uses."""
        return self._case.left_out

    def stocks(self) -> Sequence[Stock]:
        """What the storages hold: each power is held for the step that begins with it."""
        if not self.config.storage:
            return ()
        capacity, one_way = (
            tuple(values.tolist()) for values in (self._storage_size[0], np.sqrt(self._storage_size[1]))
        )
        flow = Flow("storage_power", "step that begins", sign=-1, charging=one_way, discharging=one_way)
        return (Stock("storage_energy", (flow,), capacity=capacity),)

    def balances(self) -> Sequence[Balance]:
        """Generation and storage give what load and losses take; the load is the case's and that of feeders."""
        rounding = (-BALANCE_LIMIT, BALANCE_LIMIT)
        own = float(self._own_load.real.sum())
        taken = (Term("load_scale", -own), Term("load_change", -1.0, total=True))
        feeders = (Term("feeder_load", -1.0, total=True),) if self.config.feeder_buses else ()
        storages = (Term("storage"), Term("storage_power", -1.0, total=True))
        return (
            Balance(
                "power of the grid",
                "MW",
                (Term("generation", total=True), Term("storage"), Term("load", -1.0), Term("losses", -1.0)),
                rounding,
            ),
            Balance(
                "load of the grid",
                "MW",
                (Term("load"), Term("unserved_load"), Term("load_shed"), *taken, *feeders),
                rounding,
                share=ROUNDING,
            ),
            *((Balance("power of storages", "MW", storages, rounding),) if self.config.storage else ()),
        )

    def start(self, folder: Path) -> None:
        """Build the power flow; loads the solver's library."""
        self._power_flow = AcPowerFlow(self._case, self.config.slack, self.config.reactive_limits)

    def solve(self, time: Time, inputs: Exchange) -> Exchange:
        """Solve the power flow from the last committed one. Raises SolverError if it diverges."""
        before = self._begin(time, inputs) if self._committed is None else self._committed
        available = (np.asarray(inputs.values["generator_available"]).real > 0.5) & self._case.generators.in_service
        orders = self._orders(time, inputs.messages, before, available)
        load, shed = self._load(inputs, orders.shed)
        flow = self._storage_flow(orders.storage, before.units.energy)
        net = load - self._at_buses(flow)
        wanted = self._wanted(orders.setpoint, net)
        running = available & ~orders.setpoint.void
        output, returning = self._schedule(time, before, orders.setpoint, wanted, running)
        try:
            solution = self._power_flow.solve(
                net,
                output,
                running,
                np.asarray(inputs.values["branch_available"]).real > 0.5,
                before.solution,
                ~returning,
            )
        except PowerFlowError as error:
            raise SolverError(str(error)) from error
        alive = solution.voltage != 0
        load = np.where(alive, load, load + shed)  # what a dead bus sheds is not served either
        lit, dark = alive[self._case.generators.bus], ~alive[self._storage_bus]
        flow, shed = np.where(dark, 0.0, flow), np.where(alive, shed, 0.0)
        orders.setpoint.end(available & ~lit & ~before.units.out, time)
        orders.storage.end(dark & ~before.units.dark, time)
        units = _Units(
            out=~available | ~lit,
            off=~running | ~lit,
            returning=returning & lit,
            output=np.where(lit, output, 0.0),
            dark=dark,
            energy=energy_after(before.units.energy, flow, *self._storage_size, self._hours),
        )
        self._pending = _Step(time, orders, units, solution)
        values = self._powers(load, flow, shed, solution)
        values |= self._judged(time, before, orders, units, solution, wanted)
        values["shed_shortfall"] = np.asarray((np.nan_to_num(orders.shed.amount) - shed)[alive].sum())
        if self.config.storage:
            values["storage_power"], values["storage_energy"] = flow, before.units.energy
            values["storage_order"] = orders.storage.holding
            values["storage_shortfall"] = np.nan_to_num(orders.storage.amount) - flow
        return Exchange(values, self._telemetry(time, values, units, shed, inputs))

    def commit(self, time: Time) -> None:
        """Accept the last solution: the next solve starts and ramps from it."""
        self._committed = self._pending

    def _begin(self, time: Time, inputs: Exchange) -> _Step:
        """What a run begins with: units at their first set-points, storages as full as they are said to be."""
        case, count = self._case, len(self._storage_bus)
        first = np.asarray(inputs.values["setpoint"]).real
        setpoint = replace(
            HeldOrders.none(len(first)), amount=first.copy(), sent=np.where(np.isnan(first), -1, time).astype(np.int64)
        )
        none = np.zeros(len(first), dtype=bool)
        orders = _Orders(setpoint, HeldOrders.none(len(case.buses)), HeldOrders.none(count))
        units = _Units(none, none, none, np.zeros(len(first)), np.zeros(count, dtype=bool), self._first_energy)
        return _Step(time, orders, units, None)

    def _orders(self, time: Time, messages: Sequence[Message], before: _Step, available: Booleans) -> _Orders:
        """The orders that hold now; those that came at `time` hold for a repeated solve too."""
        earlier = self._received[1] if self._received[0] == time else ()
        self._received = (time, (*earlier, *messages))
        orders = before.orders.copy()
        orders.setpoint.end(~available & ~before.units.out, time)
        for message in self._received[1]:
            self._take(message, orders)
        return orders

    def _storage_flow(self, orders: HeldOrders, energy: Floats) -> Floats:
        """What storages can carry out of what is asked (storage,) [MW]."""
        asked = np.nan_to_num(np.where(orders.void, 0.0, orders.amount))
        return possible_power(asked, energy, self._storage_power, *self._storage_size, self._hours)

    def _at_buses(self, flow: Floats) -> Floats:
        """What the storages give at each bus (bus,) [MW]."""
        return np.bincount(self._storage_bus, flow, len(self._case.buses)).astype(float)  # of integers without storages

    def _schedule(
        self, time: Time, before: _Step, setpoint: HeldOrders, wanted: Floats, running: Booleans
    ) -> tuple[Floats, Booleans]:
        """What each generator is scheduled to give now [MW], and who is on the way back, both (generator,)."""
        if before.solution is None:
            return np.where(running, wanted, 0.0), np.zeros(len(wanted), dtype=bool)
        back = running & (before.units.returning | before.units.off)
        ramping = back | (setpoint.given & before.orders.setpoint.given)
        minutes = (time - before.time) / MINUTE
        output = moved(wanted, before.units.output, minutes, self._limits, ramping)
        return np.where(running, output, 0.0), back & (output != wanted)

    def _powers(self, load: Complexes, flow: Floats, shed: Floats, solution: PowerFlowSolution) -> dict[str, Array]:
        """What the grid does."""
        alive = solution.voltage != 0
        served = load[alive].sum()
        return {
            "voltage": solution.voltage,
            "generation": solution.generation,
            "branch_loading": solution.loading,
            "load": np.asarray(served),
            "load_shed": np.asarray(shed.sum()),
            "storage": np.asarray(flow.sum()),
            "losses": np.asarray(solution.losses),
            "slack_deviation": np.asarray(solution.slack_deviation),
            "slack_share": np.asarray(100.0 * solution.slack_deviation / max(abs(float(served.real)), 1e-9)),
            "reactive_excess": np.asarray(solution.reactive_excess),
            "unserved_load": np.asarray(load[~alive].real.sum()),
            "energy_balance": np.asarray(solution.energy_balance),
            "power_mismatch": np.asarray(np.abs(solution.mismatch).max()),
        }

    def _judged(
        self, time: Time, before: _Step, orders: _Orders, units: _Units, solution: PowerFlowSolution, wanted: Floats
    ) -> dict[str, Array]:
        """What generators do against their limits, ramps and set-points, all (generator,)."""
        given, on = solution.generation.real, ~units.off
        faster = np.zeros(len(given))
        if before.solution is not None:
            minutes = (time - before.time) / MINUTE
            faster = beyond_ramps(given, before.solution.generation.real, minutes, self._limits, on & ~before.units.off)
        asked = orders.setpoint.amount - np.where(on, wanted, 0.0)
        return {
            "limit_excess": beyond_limits(given, self._limits, on & ~units.returning),
            "ramp_excess": 100.0 * faster / np.maximum(self._capacity, 1e-9),
            "setpoint_shortfall": np.where(orders.setpoint.given, asked, 0.0),
            "order": orders.setpoint.holding,
        }

    def _load(self, inputs: Exchange, orders: HeldOrders) -> tuple[Complexes, Floats]:
        """Load at each bus [MVA] without what is shed, and the load shed [MW], both of shape (bus,)."""
        own = self._own_load * float(np.asarray(inputs.values["load_scale"]).real)
        demand = np.maximum(own.real, 0.0)
        shed: Floats = np.minimum(np.nan_to_num(orders.amount), demand)
        share = np.divide(shed, demand, out=np.zeros_like(demand), where=demand > 0)
        load = own - (shed + 1j * share * own.imag) + np.asarray(inputs.values["load_change"])
        if len(self._feeder_positions):
            load[self._feeder_positions] += np.asarray(inputs.values["feeder_load"]).sum(axis=1)
        return load, shed

    def _take(self, message: Message, orders: _Orders) -> None:
        """Hold what a message asks. Raises ContractError."""
        to, sent = message.destination, message.sent
        bus = to.removeprefix(f"{self.context.name}/bus ")
        if to in self._storage:
            orders.storage.take(self._storage[to], _amount(message, STORAGE_ORDER), sent)
        elif bus == to:
            orders.setpoint.take(self._generator_position(message), _amount(message, GENERATOR_ORDER), sent)
        else:
            try:
                position = self._case.bus_position(bus)
            except CaseError as error:
                raise ContractError(f"a message from '{message.source}' is addressed to '{to}': {error}") from error
            amount = _amount(message, BUS_ORDER)
            if amount < 0:
                raise ContractError(
                    f"a message from '{message.source}' to '{to}' must shed 0 MW or more, asks for {amount:g} MW"
                )
            orders.shed.take(position, amount, sent)

    def _generator_position(self, message: Message) -> int:
        try:
            return self._generator[message.destination]
        except KeyError:
            known = ", ".join(list(self._generator)[:3])
            raise ContractError(
                f"a message from '{message.source}' is addressed to '{message.destination}', which is no "
                f"generator, no bus and no storage of {self._case.name}. Agents here are called {known}, ..., "
                f"{self.context.name}/bus {self._case.buses.label[0]}, ... and "
                f"{', '.join(self._storage) or 'no storage'}"
            ) from None

    def _wanted(self, setpoint: HeldOrders, load: Complexes) -> Floats:
        """What each generator is asked for inside its limits [MW]; before its first order by the case's dispatch."""
        generators, limits = self._case.generators, self._limits
        in_case = np.where(generators.in_service, generators.power.real, 0.0)
        demand, given = float(load.real.sum()), float(in_case.sum())
        needed = demand * given / max(float(self._case.buses.load.real.sum()), 1e-9)
        follow = in_case * (needed / given if given else 0.0)
        wanted: Floats = np.clip(np.where(setpoint.given, setpoint.amount, follow), limits.low, limits.high)
        return wanted

    def _telemetry(
        self, time: Time, values: Mapping[str, Array], units: _Units, shed: Floats, inputs: Exchange
    ) -> Sequence[Message]:
        """What the operator is told: what is out, and what units, storages and loads did."""
        if not self.config.telemetry_to or time % self.config.telemetry_interval:
            return ()
        case = self._case
        cut = case.branches.in_service & (np.asarray(inputs.values["branch_available"]).real < 0.5)
        shedding = np.flatnonzero(shed > 0.0)
        payload: dict[str, Any] = {
            "time_s": time / 1e9,
            "generation_MW": _rounded(values["generation"].real),
            "generators_out": _names(case.generators.label, units.out & case.generators.in_service),
            "branches_out": _names(case.branches.label, cut),
            "losses_MW": float(values["losses"]),
            "load_MW": float(values["load"].real + values["unserved_load"] + values["load_shed"]),
            "shedding": [case.buses.label[bus] for bus in shedding.tolist()],
            "shed_MW": _rounded(shed[shedding]),
        }
        if self.config.storage:
            payload |= {
                "storage_MW": _rounded(values["storage_power"]),
                "storage_MWh": _rounded(values["storage_energy"]),
            }
        return (Message(self.context.name, self.config.telemetry_to, time, payload),)


def _rounded(values: Any) -> list[float]:
    """To the watt, as a message has them."""
    return np.round(np.asarray(values, dtype=float), 6).tolist()  # type: ignore[no-any-return]


def _names(labels: Sequence[str], which: Booleans) -> list[str]:
    return [labels[position] for position in np.flatnonzero(which).tolist()]


def _amount(message: Message, order: str) -> float:
    """The order in a message [MW]. Raises ContractError."""
    value = message.payload.get(order)
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not number or set(message.payload) != {order}:
        raise ContractError(
            f"a message from '{message.source}' to '{message.destination}' must hold "
            f'{{"{order}": a finite number}}, holds {dict(message.payload)}'
        )
    return float(value)  # type: ignore[arg-type]
