"""The system operator's dispatch: set-points and prices, every interval, for the hours ahead.

At each interval the operator forecasts the load of every bus, solves `solvers/dispatch.py` over the
look-ahead, and sends the first interval's decisions as messages: set-points to generators, load shedding
to buses, power to storages. Where energy is dear it asks feeders for demand response. What it knows of
the feeders it knows from meter readings, and of the grid (what is out, what units and storages did) from
telemetry; both arrive when the communications network delivers them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from cosim.contract import Array, Balance, Context, Exchange, Federate, Message, Port, Term, Time
from cosim.errors import ConfigError, ContractError, SolverError
from cosim.settings import NameOrFile, Settings, without_effect
from cosim.storage_unit import StorageUnit
from cosim.units import PositiveDuration, Price, format_duration, quantity, written
from feeders.transmission_case import CaseError, Generators, TransmissionCase, load_case
from solvers.cost_curves import cost_curves
from solvers.dispatch import DispatchError, DispatchSolution, RollingDispatch, look_ahead
from solvers.dispatch_model import DispatchNetwork, Storages
from solvers.generator_schedule import ASSUMED_RAMP, ramps
from solvers.ptdf import island_labels
from solvers.storage_flow import energy_after

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]
H = 3600 * 10**9
BALANCE_LIMIT = 1e-3  #: [MW] of the solver's errors
MOST_LOST = 0.2  #: of a load, what its transmission may lose [1]
LEAST_SHED = 1e-6  #: [MW] less than this is the solver's rounding, not an order


class GeneratorCost(Settings):
    """A constant marginal cost in place of the case's."""

    generator: str = Field(coerce_numbers_to_str=True)
    """The generator's label in the case."""
    price: Price
    """Cost of its energy."""


class DemandResponse(Settings):
    """When and how the operator asks feeders to use less."""

    price_threshold: Price
    """An LMP at the feeder's bus from here on, or load shed there, makes the operator ask."""
    offset: float = 2.0
    """How far thermostats move in the saving direction [K]."""
    duration: PositiveDuration = written("1 h")
    """How long a request holds; a new one is sent when it has run out."""
    feeders: tuple[str, ...] | None = None
    """Who is asked; none: every attached feeder."""


class FeederAttachment(Settings):
    """A feeder, the bus where it hangs, and how many of its kind it stands for."""

    name: str
    """The feeder's name in the scenario."""
    bus: str = Field(coerce_numbers_to_str=True)
    """Its bus in the case."""
    multiplier: float = Field(default=1.0, gt=0)
    """The feeder's power counts this many times [1]."""


@dataclass(frozen=True)
class _Telemetry:
    """What the grid told last."""

    time: float  #: [s] of which it tells
    power: Floats  #: (generator,) [MW]
    running: Booleans  #: (generator,) may run
    closed: Booleans  #: (branch,)
    losses: float  #: [MW]
    load: float  #: [MW] what is shed and unserved included
    shedding: Booleans  #: (bus,) sheds load as ordered
    storage_power: Floats  #: (storage,) [MW] into the grid
    energy: Floats  #: (storage,) [MWh]


class Dispatch(Federate):
    """Rolling multi-period DC optimal dispatch of a transmission case.

    The load of a bus at lead τ is the case's times `load_multiplier` times the forecast load scale; at
    a feeder's bus it is the feeder's last reading times its multiplier times scale(τ) / scale(reading),
    once every feeder there has reported (until then the case's). Transmission losses, those of shunts
    included, are the last ones told, spread over the buses in proportion to load; before any was told
    the share that they have in the case's own dispatch. DC lines carry what the case says, always.

    What is out, where units stand and what storages hold is what telemetry told last, brought forward to
    the interval's start: a unit goes on towards its set-point by its ramp, a storage at its power. Until
    something was told the operator takes its orders for carried out.

    Shedding is ordered from each bus that sheds, {"load_shed_MW": x} to "<setpoints_to>/bus <label>" at
    each interval, and ended there with x = 0, again at each interval as long as telemetry tells of
    shedding there. What is shed stays in the forecast. The grid can shed the case's load only, not that
    of feeders, which can be asked for demand response. A storage's power goes to "<setpoints_to>/storage
    <name>" as {"storage_MW": x}, positive into the grid.
    """

    messaging: ClassVar[Literal["none", "agent", "carrier"]] = "agent"
    preload: ClassVar[tuple[str, ...]] = (
        "scipy.sparse",
        "pyomo.environ",
        "pyomo.repn.plugins.standard_form",
        "highspy",
    )

    class Config(Settings):
        """Settings of the dispatch."""

        case: NameOrFile = "case39"
        """The transmission case, a MATPOWER name or file; filled in from `transmission`, and refused if it differs."""
        interval: PositiveDuration = written("5 min")
        """Time between dispatches."""
        lookahead: PositiveDuration = written("4 h")
        """How far the dispatch plans ahead, a multiple of `interval`."""
        segments: int = Field(default=20, ge=1, le=1000)
        """Pieces into which a quadratic cost is cut."""
        ramp: float = Field(default=ASSUMED_RAMP, gt=0)
        """Ramp limit of generators for which the case has none, in % of their capacity a minute (an assumption); filled
        in from `transmission`."""
        value_of_lost_load: Price | None = Field(default=10_000.0, gt=0)
        """Price at which load is shed; none: never, a shortage then ends the run."""
        line_limit_factor: float = Field(default=1.0, gt=0)
        """Share of the branches' ratings that the dispatch may use [1]; case branches without one are unlimited."""
        load_multiplier: float = Field(default=1.0, gt=0)
        """Scales the case's loads [1]; filled in from `transmission`, and refused if it differs."""
        minimum_generation: float = Field(default=1.0, ge=0, le=1)
        """Share of the generators' lowest power that holds [1]; filled in from `transmission`, and refused if it
        differs."""
        wrong_about: tuple[Literal["case", "load_multiplier", "minimum_generation", "ramp"], ...] = ()
        """What of the grid the operator is meant to be wrong about: these may differ from `transmission`."""
        storage: tuple[StorageUnit, ...] = ()
        """Storages that the operator dispatches."""
        costs: tuple[GeneratorCost, ...] = ()
        """Marginal costs that replace the case's."""
        demand_response: DemandResponse | None = None
        """Requests to feeders when energy is dear; none: never."""
        feeders: tuple[FeederAttachment, ...] = ()
        """The feeders whose readings come in; filled in by the wiring."""
        setpoints_to: str = "transmission"
        """The federate whose generators and buses carry out the dispatch; filled in by the wiring."""
        solve_guard: PositiveDuration = written("2 min")
        """Wall time after which a solve ends the run; it never changes a solution."""
        expected_forecast_error: Annotated[float, quantity("%"), Field(gt=0)] = 3.0
        """How far the load for which an interval is dispatched may be from the one that comes, beyond which the verdict
        lists it as physics to look at. Minutes ahead operators err by less than 1 %, a day ahead by 2 to 3 %."""

        @model_validator(mode="after")
        def _whole_intervals(self) -> Dispatch.Config:
            if self.lookahead % self.interval:
                raise ValueError(
                    "lookahead must be a multiple of interval, got "
                    f"{format_duration(self.lookahead)} and {format_duration(self.interval)}"
                )
            return self

    config: Dispatch.Config

    def __init__(self, config: Dispatch.Config, context: Context) -> None:
        super().__init__(config, context)
        try:
            self._case = load_case(config.case)
        except CaseError as error:
            raise ConfigError("case", f"{error}.") from error
        case = self._case
        self._hours = look_ahead(config.interval * 1e-9, config.lookahead * 1e-9)
        self._mean = _block_means(self._hours, config.interval)
        self._network = _network(config, case)
        self._quadratic = bool((_costs(config, case.generators)[0][:, 2] > 0).any())
        self._feeder_bus = np.array(
            [_position(case, f.bus, f"feeders.{number}.bus") for number, f in enumerate(config.feeders)], dtype=int
        )
        self._feeder_at_bus = np.zeros((len(config.feeders), len(case.buses)), dtype=bool)
        self._feeder_at_bus[np.arange(len(config.feeders)), self._feeder_bus] = True
        self._multiplier = np.array([feeder.multiplier for feeder in config.feeders])
        self._feeder_index = {feeder.name: number for number, feeder in enumerate(config.feeders)}
        self._asked = _asked_feeders(config, self._feeder_index)
        self._load = case.buses.load.real * config.load_multiplier
        self._dc_injection = case.dc_injection().real
        self._previous: Floats = np.full(len(case.generators), np.nan)  # [MW] the last set-points
        self._stored: Floats = np.array([unit.initial for unit in config.storage])  # [MWh] as planned
        self._shedding = np.zeros(len(case.buses), dtype=bool)  # where shedding was ordered last
        self._told: _Telemetry | None = None
        self._planned: deque[tuple[float, float]] = deque(maxlen=64)  # [s], [MW]: the loads of past dispatches
        self._loss_share = case.loss_share()
        self._own_share: Floats = np.ones(len(case.buses))  # of the forecast at each bus, the rest is losses
        self._reading: Floats = np.full(len(config.feeders), np.nan)  # [MW]
        self._read_at: Floats = np.full(len(config.feeders), -np.inf)  # [s]
        self._read_over: Floats = np.zeros(len(config.feeders))  # [s] the length of which it is the mean
        self._scales: deque[tuple[float, float]] = deque(maxlen=512)  # [s], [1]: the scale at past dispatches
        self._held_until: Floats = np.full(len(config.feeders), -np.inf)  # [s] demand response asked for
        self._solver: RollingDispatch | None = None
        self._solution: DispatchSolution | None = None

    def ports(self) -> Sequence[Port]:
        """Labels of buses, branches and generators are the case's."""
        case, config = self._case, self.config
        generator = {"generator": case.generators.label}
        bus = {"bus": case.buses.label}
        leads = np.arange(1, config.lookahead // config.interval + 1) * config.interval
        lead = {"lead": tuple(format_duration(int(time)) for time in leads)}
        ports = [
            Port("load_scale", "1", "in", "system load over its reference", initial=1.0),
            Port(
                "load_scale_forecast",
                "1",
                "in",
                "forecast of the load scale by lead; 0 where there is none: the load stays as it is",
                lead,
                initial=0.0,
            ),
            Port("setpoint", "MW", "out", "active power asked of each generator", generator),
            Port("lmp", "$/MWh", "out", "locational marginal price", bus),
            Port("load_shed", "MW", "out", "load that the dispatch orders to be shed", bus),
            Port("cost", "$/h", "out", "cost of generation, storage cycling and lost load"),
            Port("planned_load", "MW", "out", "load and losses for which the interval was dispatched"),
            Port(
                "forecast_error",
                "%",
                "out",
                "load planned for the time told last, less the one told, of it; 0 if none was told",
                expected=(-config.expected_forecast_error, config.expected_forecast_error),
            ),
            Port("dispatch_balance", "MW", "out", "generation + storage + shed - load", limit=BALANCE_LIMIT),
        ]
        if config.storage:
            storage = {"storage": tuple(unit.name for unit in config.storage)}
            ports += [
                Port("storage_power", "MW", "out", "discharging (positive) or charging asked of each storage", storage),
                Port("storage_level", "%", "out", "energy that the operator takes each storage to hold", storage),
            ]
        return ports

    def balances(self) -> Sequence[Balance]:
        """Set-points and storages give the planned load, but what is shed; what that would have lost is in the plan."""
        storage = (Term("storage_power", total=True),) if self.config.storage else ()
        given = (Term("setpoint", total=True), Term("planned_load", -1.0), *storage)
        least, most = Term("load_shed", total=True), Term("load_shed", 1.0 + MOST_LOST, total=True)
        return (
            Balance("power of the dispatch", "MW", (*given, least), (-np.inf, BALANCE_LIMIT)),
            Balance("power of the dispatch and lost with shed load", "MW", (*given, most), (-BALANCE_LIMIT, np.inf)),
        )

    def recipients(self) -> Sequence[str]:
        """Who carries out the dispatch, and the feeders that may be asked for demand response."""
        asked = () if self.config.demand_response is None else self._asked
        return (self.config.setpoints_to, *(self.config.feeders[position].name for position in asked))

    def left_out(self) -> Sequence[str]:
        """What the case's file holds and nobody uses; settings of what the case or the scenario does not have."""
        config, case, found = self.config, self._case, []
        if not len(self._asked):
            found += without_effect(config, ["demand_response"], "no feeder can be asked")
        if not (case.branches.rating > 0).any():
            found += without_effect(config, ["line_limit_factor"], "no branch of the case has a rating")
        if not self._quadratic:
            found += without_effect(config, ["segments"], "no unit's cost is quadratic")
        return (*found, *case.left_out)

    def start(self, folder: Path) -> None:
        """Build the model once; Pyomo and HiGHS are imported here."""
        self._refuse_islands()
        try:
            self._solver = RollingDispatch(
                self._network,
                self._hours,
                value_of_lost_load=self.config.value_of_lost_load,
                wall_seconds=self.config.solve_guard * 1e-9,
            )
        except DispatchError as error:
            raise SolverError(str(error)) from error

    def _refuse_islands(self) -> None:
        """One price and one balance hold for one synchronous grid only."""
        case, net = self._case, self._network
        labels = island_labels(len(net.buses), net.from_bus, net.to_bus, case.branches.in_service)
        count = labels.max() + 1
        load = np.bincount(labels, np.maximum(case.buses.load.real, 0.0), count)
        capacity = np.bincount(labels[net.generator_bus], net.p_max, count)
        working = int(((load > 0.0) & (capacity > 0.0)).sum())
        if working > 1:
            raise SolverError(
                f"{case.name} is {working} islands with load and generation, and the dispatch balances one. "
                "Give each its own case and dispatch"
            )

    def next_time(self, time: Time) -> Time:
        """The next interval's start."""
        return (time // self.config.interval + 1) * self.config.interval

    def solve(self, time: Time, inputs: Exchange) -> Exchange:
        """Dispatch the interval that starts at `time`."""
        if self._solver is None:
            raise ContractError("dispatch: solve() was called before start()")
        now = time / 1e9
        self._scales.append((now, float(inputs.values["load_scale"].real)))
        self._take_messages(inputs.messages)
        running, closed = self._in_service()
        error, stored = self._forecast_error(), self._energy(now)
        try:
            solution = self._solver.solve(
                self._forecast(inputs),
                generator_available=running,
                branch_available=closed,
                previous=self._positions(now),
                stored=stored,
                within_reach=self._told is not None,
            )
        except DispatchError as fault:
            raise SolverError(str(fault)) from fault
        self._solution = solution
        values: dict[str, Array] = {
            "setpoint": solution.power[0],
            "lmp": solution.lmp[0],
            "load_shed": self._to_shed(solution),
            "cost": np.asarray(solution.cost[0]),
            "planned_load": np.asarray(solution.load[0]),
            "forecast_error": np.asarray(error),
            "dispatch_balance": np.asarray(solution.mismatch[0]),
        }
        if self.config.storage:
            values["storage_power"] = solution.discharge[0] - solution.charge[0]
            values["storage_level"] = 100.0 * stored / self._network.storages.energy
        messages = [
            *self._setpoints(time, running),
            *self._shedding_orders(time),
            *self._storage_orders(time),
            *self._requests(time),
        ]
        return Exchange(values, messages)

    def commit(self, time: Time) -> None:
        """The interval's set-points, shedding and stored energy are where the next dispatch starts."""
        if self._solution is not None:
            self._previous = self._solution.power[0]
            self._shedding = self._solution.shed[0] > LEAST_SHED
            self._stored = np.clip(self._solution.energy[0], 0.0, self._network.storages.energy)
            self._planned.append((time / 1e9, float(self._solution.load[0])))
            self._held_until[self._dear(time / 1e9)] = (time + self._request_duration) / 1e9

    def close(self) -> None:
        """Let go of HiGHS."""
        self._solver = None

    # ------------------------------------------------------------------ what the operator knows

    def _take_messages(self, messages: Iterable[Message]) -> None:
        """Keep the newest telemetry and reading of each feeder; a network may deliver them out of order."""
        for message in messages:
            sender = message.source.partition("/")[0]
            if sender == self.config.setpoints_to and sender not in self._feeder_index:
                told = self._telemetry(message)
                if self._told is None or told.time > self._told.time:
                    self._told = told
            else:
                self._take_reading(message, self._feeder_index.get(sender))

    def _take_reading(self, message: Message, feeder: int | None) -> None:
        if feeder is None or not {"power_MW", "time_s"} <= message.payload.keys():
            raise ContractError(
                f"dispatch takes meter readings with power_MW and time_s from {', '.join(self._feeder_index)}; "
                f"got {sorted(message.payload)} from '{message.source}'"
            )
        if message.payload["time_s"] > self._read_at[feeder]:
            self._read_at[feeder] = message.payload["time_s"]
            self._reading[feeder] = message.payload["power_MW"]
            self._read_over[feeder] = message.payload.get("interval_s", 0.0)

    def _telemetry(self, message: Message) -> _Telemetry:
        """What a message from the grid tells. Raises ContractError for any other message."""
        case, payload = self._case, message.payload
        try:
            return _Telemetry(
                time=float(payload["time_s"]),
                power=_column(payload["generation_MW"], len(case.generators)),
                running=~np.isin(case.generators.label, payload["generators_out"]),
                closed=~np.isin(case.branches.label, payload["branches_out"]),
                losses=float(payload["losses_MW"]),
                load=float(payload["load_MW"]),
                shedding=np.isin(case.buses.label, payload["shedding"]),
                storage_power=_column(payload.get("storage_MW", ()), len(self.config.storage)),
                energy=_column(payload.get("storage_MWh", ()), len(self.config.storage)),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ContractError(
                f"'{message.source}' sent {sorted(payload)}, which is no telemetry of {case.name} ({error}); "
                "the grid's units and storages must be the dispatch's"
            ) from error

    def _in_service(self) -> tuple[Booleans, Booleans]:
        """Which generators may run and which branches are closed, as far as was told."""
        units, branches = self._case.generators.in_service, self._case.branches.in_service
        return (units, branches) if self._told is None else (units & self._told.running, branches & self._told.closed)

    def _positions(self, now: float) -> Floats:
        """Where units stand [MW]: as told, and since then on the way to their set-points; NaN where that is unknown."""
        if self._told is None:
            return self._previous
        ramp = np.where(np.isfinite(self._network.ramp), self._network.ramp, 0.0)  # infinite for a unit of no size
        room = ramp * (now - self._told.time) / 60.0
        asked = np.where(np.isnan(self._previous), self._told.power, self._previous)
        return np.clip(asked, self._told.power - room, self._told.power + room)

    def _energy(self, now: float) -> Floats:
        """What storages hold [MWh]: as told, and since then at the power that was told."""
        if self._told is None:
            return self._stored
        storages, told = self._network.storages, self._told
        hours = (now - told.time) / 3600.0
        return energy_after(told.energy, told.storage_power, storages.energy, storages.efficiency, hours)

    def _forecast_error(self) -> float:
        """The load for which the time told of was dispatched, against the one told [%]."""
        if self._told is None:
            return 0.0
        planned = [load for start, load in self._planned if start <= self._told.time]
        came = self._told.load + self._told.losses
        return 100.0 * (planned[-1] - came) / came if planned and came > 0.0 else 0.0

    def _forecast(self, inputs: Exchange) -> Floats:
        """Load of each period and bus (T, n) [MW], losses included."""
        now = float(inputs.values["load_scale"].real)
        ahead = inputs.values["load_scale_forecast"].real
        scale = self._mean @ np.r_[now, np.where(ahead > 0.0, ahead, now)]
        load = scale[:, None] * self._load
        past, scales = np.array(self._scales).T
        then = np.interp(self._read_at - self._read_over / 2, past, scales)  # a mean is that of its interval's middle
        shape = np.where(then > 0.0, scale[:, None] / np.where(then > 0.0, then, 1.0), 1.0)
        silent = np.isnan(self._reading)
        at_bus = self._feeder_at_bus
        metered = at_bus.any(axis=0) & ~at_bus[silent].any(axis=0)
        load = np.where(metered, (shape * self._multiplier * np.nan_to_num(self._reading)) @ at_bus, load)
        weight = np.maximum(load, 0.0)
        share = weight / np.maximum(weight.sum(axis=1, keepdims=True), 1e-9)
        # the losses that are told hold those of DC lines, which their two injections hold already
        told = self._loss_share * float(weight[0].sum()) if self._told is None else self._told.losses
        losses = max(told + float(self._dc_injection.sum()), 0.0)
        forecast: Floats = load + share * losses - self._dc_injection
        # what is shed takes its share of the losses along, which nobody can be ordered to shed
        self._own_share = load[0] / np.where(load[0] > 0.0, load[0] + share[0] * losses, 1.0)
        return forecast

    # ------------------------------------------------------------------ what the operator says

    def _setpoints(self, time: Time, running: Booleans) -> list[Message]:
        """One message to each generator that can run, as far as was told."""
        solution = self._solution
        if solution is None:
            return []
        return [
            Message(
                self.context.name,
                f"{self.config.setpoints_to}/{self._case.generators.label[position]}",
                time,
                {"setpoint_MW": float(solution.power[0, position])},
            )
            for position in np.flatnonzero(running).tolist()
        ]

    def _shedding_orders(self, time: Time) -> list[Message]:
        """One message to each bus where load is to be shed, was at the last dispatch, or is as telemetry tells."""
        if self._solution is None:
            return []
        shed = self._to_shed(self._solution)
        still = self._shedding if self._told is None else self._shedding | self._told.shedding
        source, grid, label = self.context.name, self.config.setpoints_to, self._case.buses.label
        return [
            Message(source, f"{grid}/bus {label[bus]}", time, {"load_shed_MW": float(shed[bus])})
            for bus in np.flatnonzero((shed > 0.0) | still).tolist()
        ]

    def _to_shed(self, solution: DispatchSolution) -> Floats:
        """The load to shed at each bus (bus,) [MW], without the losses that go with it."""
        return np.where(solution.shed[0] > LEAST_SHED, solution.shed[0] * self._own_share, 0.0)

    def _storage_orders(self, time: Time) -> list[Message]:
        """One message to each storage."""
        if self._solution is None:
            return []
        power = (self._solution.discharge[0] - self._solution.charge[0]).tolist()
        return [
            Message(
                self.context.name,
                f"{self.config.setpoints_to}/storage {unit.name}",
                time,
                {"storage_MW": power[number]},
            )
            for number, unit in enumerate(self.config.storage)
        ]

    @property
    def _request_duration(self) -> Time:
        return 0 if self.config.demand_response is None else self.config.demand_response.duration

    def _dear(self, now: float) -> NDArray[np.int64]:
        """The feeders to ask for demand response at `now` [s]: dear or short, and not asked already."""
        response, solution = self.config.demand_response, self._solution
        if response is None or solution is None:
            return np.zeros(0, dtype=np.int64)
        bus = self._feeder_bus[self._asked]
        dear = (solution.lmp[0, bus] >= response.price_threshold) | (solution.shed[0, bus] > 0.0)
        asked: NDArray[np.int64] = self._asked[dear & (self._held_until[self._asked] <= now)]
        return asked

    def _requests(self, time: Time) -> list[Message]:
        response = self.config.demand_response
        if response is None:
            return []
        until = (time + response.duration) / 1e9
        return [
            Message(
                self.context.name,
                self.config.feeders[feeder].name,
                time,
                {"thermostat_offset_degC": response.offset, "until_s": until},
            )
            for feeder in self._dear(time / 1e9).tolist()
        ]


def _block_means(hours: Floats, interval: Time) -> Floats:
    """Weights (T, 1 + leads) that average a curve, linear between now and the leads, over each period."""
    length = np.rint(hours * H / interval).astype(int)
    end = np.cumsum(length)
    weights = np.zeros((len(length), end[-1] + 1))
    for row, (first, last, count) in enumerate(zip(end - length, end, length, strict=True)):
        weights[row, first : last + 1] = 1.0 / count
        weights[row, [first, last]] = 0.5 / count
    return weights


def _column(values: Sequence[float], count: int) -> Floats:
    """Finite numbers (count,). Raises TypeError, ValueError."""
    column = np.array(values, dtype=float).reshape(-1)
    if column.shape != (count,) or not np.isfinite(column).all():
        raise ValueError(f"{len(column)} of {count} finite numbers")
    return column


def _position(case: TransmissionCase, bus: str, field: str) -> int:
    try:
        return case.bus_position(bus)
    except CaseError as error:
        raise ConfigError(field, f"{error}.") from error


def _asked_feeders(config: Dispatch.Config, index: dict[str, int]) -> NDArray[np.int64]:
    """Positions of the feeders that demand response asks. Raises ConfigError."""
    response = config.demand_response
    if response is None or response.feeders is None:
        return np.arange(len(config.feeders))
    for number, name in enumerate(response.feeders):
        if name not in index:
            known = ", ".join(index) or "none"
            raise ConfigError(
                f"demand_response.feeders.{number}",
                f"there is no attached feeder '{name}'.",
                f"Attached feeders: {known}.",
            )
    return np.array([index[name] for name in response.feeders], dtype=np.int64)


def _network(config: Dispatch.Config, case: TransmissionCase) -> DispatchNetwork:
    """The case in the solver's terms. Raises ConfigError."""
    generators, branches = case.generators, case.branches
    lowest = np.where(generators.in_service, generators.lowest_active, 0.0)
    lowest = np.where(lowest > 0.0, config.minimum_generation * lowest, lowest)
    highest = np.where(generators.in_service, generators.highest_active, 0.0)
    polynomial, points = _costs(config, generators)
    try:
        return DispatchNetwork(
            buses=case.buses.label,
            branches=branches.label,
            generators=generators.label,
            base_mva=case.base_mva,
            from_bus=branches.from_bus,
            to_bus=branches.to_bus,
            reactance=branches.reactance,
            tap=branches.ratio,
            shift=branches.shift,
            rating=np.where(branches.rating > 0.0, branches.rating * config.line_limit_factor, np.inf),
            generator_bus=generators.bus,
            p_min=lowest,
            p_max=highest,
            ramp=ramps(generators, config.ramp),
            costs=cost_curves(polynomial, points, lowest, highest, config.segments),
            storages=_storages(config, case),
        )
    except ValueError as error:
        raise ConfigError("case", f"{case.name} cannot be dispatched: {error}.", "Correct the case.") from error


def _costs(config: Dispatch.Config, generators: Generators) -> tuple[Floats, Floats]:
    """Polynomial (G, 3) and piecewise (G, P, 2) costs with the overrides. Raises ConfigError."""
    known = generators.costs
    polynomial = np.full((len(generators), 3), np.nan) if known is None else known.polynomial.copy()
    points = np.zeros((len(generators), 0, 2)) if known is None else known.points.copy()
    place = {label: position for position, label in enumerate(generators.label)}
    for number, cost in enumerate(config.costs):
        if cost.generator not in place:
            raise ConfigError(
                f"costs.{number}.generator",
                f"the case has no generator '{cost.generator}'.",
                f"It has: {', '.join(generators.label[:20])}.",
            )
        if cost.generator in (other.generator for other in config.costs[:number]):
            problem = f"generator '{cost.generator}' has a price already."
            raise ConfigError(f"costs.{number}.generator", problem, "Give one price for each.")
        polynomial[place[cost.generator]] = 0.0, cost.price, 0.0
        points[place[cost.generator]] = np.nan
    without = np.isnan(polynomial).any(axis=1) & generators.in_service
    if without.any():
        names = ", ".join(np.array(generators.label)[without][:5])
        raise ConfigError(
            "costs", f"the case has no costs, and none are given for generators {names}.", "Give a price for each."
        )
    return np.nan_to_num(polynomial), points


def _storages(config: Dispatch.Config, case: TransmissionCase) -> Storages:
    units = config.storage
    names = [unit.name for unit in units]
    for number, name in enumerate(names):
        if name in names[:number]:
            raise ConfigError(f"storage.{number}.name", f"'{name}' is there twice.", "Choose another name.")

    def column(values: Iterable[Any]) -> Floats:
        return np.array(list(values), dtype=float)

    return Storages(
        bus=np.array([_position(case, unit.bus, f"storage.{i}.bus") for i, unit in enumerate(units)], dtype=np.int64),
        power=column(unit.power for unit in units),
        energy=column(unit.energy for unit in units),
        efficiency=column(unit.efficiency for unit in units),
        final_energy=column(unit.target for unit in units),
        terminal_value=column(unit.terminal_value for unit in units),
        cycle_cost=column(unit.cycle_cost for unit in units),
    )
