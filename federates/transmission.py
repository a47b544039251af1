"""The transmission grid: an AC power flow at each step; generators, loads and storages follow their orders."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from cosim.contract import Context, Exchange, Federate, Message, Port, Time
from cosim.errors import ConfigError, ContractError, SolverError
from cosim.settings import NameOrFile, Settings
from feeders.transmission_case import CaseError, load_case
from solvers.ac_power_flow import AcPowerFlow, PowerFlowError, PowerFlowSolution, Sharing
from solvers.transmission_grid import Complexes, Floats

MINUTE = 60 * 10**9
BALANCE_LIMIT = 0.01  #: [MW], [MVA] of the power flow's errors; Newton's method stops far below it

#: What a message to a generator and to a bus may hold.
GENERATOR_ORDERS, BUS_ORDERS = ("setpoint_MW",), ("load_shed_MW", "storage_MW")


@dataclass(frozen=True)
class _Orders:
    """What was asked by messages; NaN where none came."""

    setpoint: Floats  #: (generator,) [MW]
    load_shed: Floats  #: (bus,) [MW]
    storage: Floats  #: (bus,) [MW] into the grid

    def copy(self) -> _Orders:
        return _Orders(self.setpoint.copy(), self.load_shed.copy(), self.storage.copy())

    def after(self, before: _Orders) -> _Orders:
        """These, and where none came those `before`."""
        return _Orders(
            np.where(np.isnan(self.setpoint), before.setpoint, self.setpoint),
            np.where(np.isnan(self.load_shed), before.load_shed, self.load_shed),
            np.where(np.isnan(self.storage), before.storage, self.storage),
        )


@dataclass(frozen=True)
class _Step:
    """What a solved time leaves to the next one."""

    time: Time
    orders: _Orders  #: the last ones to have come
    output: Floats  #: (generator,) [MW] what the ramp limits let the generator schedule; 0 while it is out
    solution: PowerFlowSolution


class Transmission(Federate):
    """AC power flow of a published transmission case under load, orders and outages.

    The load at a bus is the case's (active and reactive power alike) times `load_multiplier` and
    the input load_scale; at a feeder's bus it is what the feeders take instead. load_change adds.

    A generator holds the last set-point that came as a message {"setpoint_MW": x} to
    "<name>/<generator>", inside its limits, and moves to it no faster than the case's ramp limit
    allows, after a trip from zero; where the case gives no ramp it moves at once. Before its first
    set-point it follows the case's own dispatch in proportion to the load. What load, losses and
    outages then ask beyond the schedule is shared as `slack` says: slack_deviation.

    A bus obeys the last messages {"load_shed_MW": x} and {"storage_MW": x} to "<name>/bus <label>".
    The first lowers the case's load there by x, reactive power in proportion, at most to zero; 0 ends
    it. What feeders take and load_change are not shed: at a feeder's bus the order changes nothing.
    The second is the active power that storages at the bus give, negative while they charge; what
    they can give is for the sender to know. Storage is no load: generation + storage = load + losses.

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
        self._generator = {f"{context.name}/{label}": index for index, label in enumerate(self._case.generators.label)}
        self._committed: _Step | None = None
        self._pending: _Step | None = None
        generators, buses = np.full(len(self._case.generators), np.nan), np.full(len(self._case.buses), np.nan)
        self._no_orders = _Orders(generators, buses, buses)
        self._received: tuple[Time, _Orders] = (-1, self._no_orders)

    def ports(self) -> Sequence[Port]:
        """Labels are MATPOWER's bus numbers; a second generator at bus 30 is "30-2"."""
        case = self._case
        bus, branch = {"bus": case.buses.label}, {"branch": case.branches.label}
        generator = {"generator": case.generators.label}
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
            Port("voltage", "pu", "out", "bus voltage, 0 where dead", bus, is_complex=True),
            Port("generation", "MVA", "out", "power of a generator", generator, is_complex=True),
            Port("branch_loading", "%", "out", "larger end's power over the rating, 0 where unrated", branch),
            Port("load", "MVA", "out", "total load that is served", is_complex=True),
            Port("load_shed", "MW", "out", "load shed as ordered, total carried out"),
            Port("storage", "MW", "out", "power of storages into the grid as ordered, total"),
            Port("losses", "MW", "out", "losses of branches, shunts and DC lines"),
            Port("slack_deviation", "MW", "out", "generation beyond the schedule"),
            Port("reactive_excess", "Mvar", "out", "reactive power beyond the generators' limits"),
            Port("unserved_load", "MW", "out", "load at dead buses"),
            Port("energy_balance", "MW", "out", "generation + storage - load - losses", limit=BALANCE_LIMIT),
            Port("power_mismatch", "MVA", "out", "largest mismatch of a bus", limit=BALANCE_LIMIT),
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

    def start(self, folder: Path) -> None:
        """Build the power flow; loads the solver's library."""
        self._power_flow = AcPowerFlow(self._case, self.config.slack, self.config.reactive_limits)

    def solve(self, time: Time, inputs: Exchange) -> Exchange:
        """Solve the power flow from the last committed one. Raises SolverError if it diverges."""
        orders = self._orders(time, inputs.messages)
        load, shed = self._load(inputs, orders)
        storage = np.nan_to_num(orders.storage)
        available = np.asarray(inputs.values["generator_available"]).real > 0.5
        output = self._schedule(time, orders.setpoint, load - storage, available)
        try:
            solution = self._power_flow.solve(
                load - storage,
                output,
                available,
                np.asarray(inputs.values["branch_available"]).real > 0.5,
                None if self._committed is None else self._committed.solution,
            )
        except PowerFlowError as error:
            raise SolverError(str(error)) from error
        self._pending = _Step(time, orders, output, solution)
        alive = solution.voltage != 0
        return Exchange(
            {
                "voltage": solution.voltage,
                "generation": solution.generation,
                "branch_loading": solution.loading,
                "load": np.asarray(load[alive].sum()),
                "load_shed": np.asarray(shed.sum()),
                "storage": np.asarray(storage[alive].sum()),
                "losses": np.asarray(solution.losses),
                "slack_deviation": np.asarray(solution.slack_deviation),
                "reactive_excess": np.asarray(solution.reactive_excess),
                "unserved_load": np.asarray(load[~alive].real.sum()),
                "energy_balance": np.asarray(solution.energy_balance),
                "power_mismatch": np.asarray(np.abs(solution.mismatch).max()),
            }
        )

    def commit(self, time: Time) -> None:
        """Accept the last solution: the next solve starts and ramps from it."""
        self._committed = self._pending

    def _load(self, inputs: Exchange, orders: _Orders) -> tuple[Complexes, Floats]:
        """Load at each bus [MVA] without what is shed, and the load shed [MW], both of shape (bus,)."""
        own = self._own_load * float(np.asarray(inputs.values["load_scale"]).real)
        demand = np.maximum(own.real, 0.0)
        shed: Floats = np.minimum(np.nan_to_num(orders.load_shed), demand)
        share = np.divide(shed, demand, out=np.zeros_like(demand), where=demand > 0)
        load = own - (shed + 1j * share * own.imag) + np.asarray(inputs.values["load_change"])
        if len(self._feeder_positions):
            load[self._feeder_positions] += np.asarray(inputs.values["feeder_load"]).sum(axis=1)
        return load, shed

    def _orders(self, time: Time, messages: Sequence[Message]) -> _Orders:
        """The orders that hold now; those that came at `time` hold for a repeated solve too."""
        received = (self._received[1] if self._received[0] == time else self._no_orders).copy()
        for message in messages:
            self._take(message, received)
        self._received = (time, received)
        return received.after(self._no_orders if self._committed is None else self._committed.orders)

    def _take(self, message: Message, orders: _Orders) -> None:
        """Write what a message asks into `orders`. Raises ContractError."""
        bus = message.destination.removeprefix(f"{self.context.name}/bus ")
        if bus == message.destination:
            position = self._generator_position(message)
            orders.setpoint[position] = _amounts(message, GENERATOR_ORDERS)["setpoint_MW"]
            return
        try:
            position = self._case.bus_position(bus)
        except CaseError as error:
            raise ContractError(
                f"a message from '{message.source}' is addressed to '{message.destination}': {error}"
            ) from error
        amounts = _amounts(message, BUS_ORDERS)
        if amounts.get("load_shed_MW", 0.0) < 0:
            raise ContractError(
                f"a message from '{message.source}' to '{message.destination}' must shed 0 MW or more, "
                f"asks for {amounts['load_shed_MW']:g} MW"
            )
        orders.load_shed[position] = amounts.get("load_shed_MW", orders.load_shed[position])
        orders.storage[position] = amounts.get("storage_MW", orders.storage[position])

    def _generator_position(self, message: Message) -> int:
        try:
            return self._generator[message.destination]
        except KeyError:
            known = ", ".join(list(self._generator)[:3])
            raise ContractError(
                f"a message from '{message.source}' is addressed to '{message.destination}', which is no "
                f"generator and no bus of {self._case.name}. Agents here are called {known}, ... and "
                f"{self.context.name}/bus {self._case.buses.label[0]}, ..."
            ) from None

    def _schedule(self, time: Time, setpoint: Floats, load: Complexes, available: np.ndarray) -> Floats:
        """What each generator is scheduled to give now [MW], shape (generator,)."""
        generators = self._case.generators
        in_case = np.where(generators.in_service, generators.power.real, 0.0)
        demand, given = float(load.real.sum()), float(in_case.sum())
        needed = demand * given / max(float(self._case.buses.load.real.sum()), 1e-9)
        follow = in_case * (needed / given if given else 0.0)
        # some cases dispatch a generator beyond its own limits (case39 at bus 31); leave it there
        low = np.minimum(generators.lowest_active, in_case)
        low = np.where(low > 0, self.config.minimum_generation * low, low)
        high = np.maximum(generators.highest_active, in_case)
        wanted = np.clip(np.where(np.isnan(setpoint), follow, setpoint), low, high)
        if self._committed is not None:
            room = generators.ramp * ((time - self._committed.time) / MINUTE)
            before = self._committed.output
            ramped = np.clip(wanted, before - room, before + room)
            wanted = np.where(np.isnan(setpoint), wanted, ramped)
        return np.where(available & generators.in_service, wanted, 0.0)


def _amounts(message: Message, allowed: Sequence[str]) -> dict[str, float]:
    """The orders in a message [MW], by name. Raises ContractError."""
    payload = message.payload
    numbers = (
        isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        for value in payload.values()
    )
    if not payload or not payload.keys() <= set(allowed) or not all(numbers):
        wanted = " or ".join(f'{{"{name}": a finite number}}' for name in allowed)
        raise ContractError(
            f"a message from '{message.source}' to '{message.destination}' must hold {wanted}, holds {dict(payload)}"
        )
    return {name: float(value) for name, value in payload.items()}
