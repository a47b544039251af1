"""A published feeder with loads, air conditioners and a DER fleet, stepped at milliseconds under its head's voltage.

`WindowPlan` is what stands where (cheap); `WindowFeeder` is the model. A step from one instant to the next goes

1. fleet and air conditioners let the time pass with the voltages and the frequency of the earlier instant held, as a
   controller with a measuring delay of one step does;
2. the voltages of the new instant follow from the head's voltage and what is drawn and put in there, by a fixed point
   to a stated tolerance: loads answer at once, motors along their running curves, and an inverter's current stays
   within its limit.

So the second part may be repeated with another head voltage (iterated coupling); the first is done once.
Regulators stay at their taps, reactances at 60 Hz.

Outside a window loads are those of the day: spot loads follow the voltage as published, and nobody stalls. In it
(`hold_loads`) a part of them is air conditioners. The rest of a spot load is then what both need to draw together,
at the opening's voltage, what is published. So does the composite load model of WECC: it is told the whole load at
the bus, starts its motors there, and its static parts make up for their reactive power.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from feeders.homes_glm import Placement, without_replaced
from feeders.opendss_model import reported_node_phases
from feeders.published_feeder import PHASES, PublishedFeeder, with_lumped_distributed_loads
from feeders.reduced_feeder import Port, Service, reduce_feeder
from solvers.air_conditioner_stall import AirConditioners, StallParameters
from solvers.der_fleet import ELEMENTS, DerFleet, FleetOutput, FleetSettings, Mode
from solvers.der_fleet.mixture import largest_remainders
from solvers.feeder_voltage import (
    INJECTION_BREAK,
    POWER_BREAK,
    CollapseError,
    PortDemand,
    PortVoltages,
    Solution,
)
from solvers.window_loads import NOMINAL_FREQUENCY, StaticLoads

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]
Integers = NDArray[np.intp]
Booleans = NDArray[np.bool_]

#: What can take power away, in the order of `WindowState.lost`: the elements that trip DER, DER that stay connected
#: but give less, and loads.
CAUSES = (
    *ELEMENTS,
    "momentary_cessation",
    "cease_to_energize",
    "entering_service",
    "limited",  # in service, but ramping back, at a limit of current or power, or following droop or volt-watt
    "ac_stall",
    "ac_thermal_trip",
    "load_trip",
)
#: 1.2 % + j1.5 % is usual for residential transformers, as in the feeder of the day (assumed).
SERVICE_IMPEDANCE = 0.012 + 0.015j
_MOST_PASSES = 40  #: of evaluating motors and inverters at the voltages found
_MOST_PASSES_FROM_ABOVE = 400  #: of the same with motors as admittances, which is slower
_LEAST_VOLTAGE = 1e-3  #: [pu] below which an admittance is not computed from a power
#: Index into CAUSES of what a DER in service does not give, by its mode
_CAUSE_OF_MODE = np.full(len(Mode), CAUSES.index("limited"), np.intp)
_CAUSE_OF_MODE[Mode.MOMENTARY_CESSATION] = CAUSES.index("momentary_cessation")
_CAUSE_OF_MODE[Mode.CEASE_TO_ENERGIZE] = CAUSES.index("cease_to_energize")
_CAUSE_OF_MODE[Mode.ENTERING_SERVICE] = CAUSES.index("entering_service")
#: Of the power of published loads, by their model
VOLTAGE_EXPONENT = {"PQ": 0, "I": 1, "Z": 2}
_SOME_POWER = 1e-3  #: [pu of rating] of missing power from which a DER that is limited counts
_PHASOR = np.exp(-2j * np.pi / 3.0 * np.arange(3))  #: nominal of A, B, C
_DELTA_PHASOR = _PHASOR - np.roll(_PHASOR, -1)


@dataclass(frozen=True)
class DerSite:
    """Where one DER is connected: to one phase of a node or a home's service, or to all three of a node."""

    name: str
    node: str
    phases: str  #: "A", "B", "C" or "ABC"


def spread_der(
    feeder: PublishedFeeder, group: str, count: int, phases: Literal["single", "three"], nodes: Sequence[str] = ()
) -> list[DerSite]:
    """`count` DER of a group, in proportion to the spot loads where they stand.

    `phases` "single": each on one phase that has a wye load; "three": each at a node with three phases and a load. At
    `nodes` only, if any are given. Raises ValueError where there is no such place.
    """
    loads = feeder.spot_loads
    present = dict(zip(feeder.nodes.name, feeder.nodes.phases, strict=True))
    unknown = [node for node in nodes if node not in present]
    if unknown:
        raise ValueError(f"feeder {feeder.name} has no node {', '.join(unknown)}")
    weight: dict[tuple[str, str], float] = {}
    for k, node in enumerate(loads.node):
        if nodes and node not in nodes:
            continue
        if phases == "three" and present[node] == PHASES:
            weight[node, PHASES] = weight.get((node, PHASES), 0.0) + float(loads.power[k].real.sum())
        elif phases == "single" and not loads.delta[k]:
            for p in np.flatnonzero(loads.power[k].real > 0.0):
                weight[node, PHASES[p]] = weight.get((node, PHASES[p]), 0.0) + float(loads.power[k, p].real)
    if not weight:
        kind = "spot load at a node with three phases" if phases == "three" else "wye spot load"
        raise ValueError(f"feeder {feeder.name} has no {kind}" + (f" at {', '.join(nodes)}" if nodes else ""))
    counts = largest_remainders(list(weight.values()), count)
    places = [place for place, number in zip(weight, counts.tolist(), strict=True) for _ in range(number)]
    return [DerSite(f"{group}.{k + 1}", node, p) for k, (node, p) in enumerate(places)]


class WindowPlan:
    """What stands where on a published feeder: spot loads, homes on their transformers, DER."""

    def __init__(
        self,
        feeder: PublishedFeeder,
        placement: Placement | None = None,
        der: Sequence[DerSite] = (),
        home_der: Sequence[int] = (),
    ) -> None:
        """`placement`: of the homes, if there are any; `home_der`: homes with a DER, which follow those of `der`."""
        self.published = feeder
        self.feeder = with_lumped_distributed_loads(without_replaced(feeder, placement) if placement else feeder)
        self.node_phases = reported_node_phases(feeder)
        self.services: tuple[Service, ...] = ()
        self.home_service: Integers = np.zeros(0, np.intp)
        if placement is not None:
            self.services = tuple(
                Service(f"service_{t}", node, int(phase), float(rating), SERVICE_IMPEDANCE)
                for t, (node, phase, rating) in enumerate(
                    zip(placement.node, placement.phase, placement.rating, strict=True)
                )
            )
            self.home_service = placement.transformer.astype(np.intp)
        self.homes = len(self.home_service)
        at_home = [self.services[self.home_service[home]] for home in home_der]
        self.der = (
            *der,
            *(DerSite(f"home.{h + 1}", s.name, PHASES[s.phase]) for h, s in zip(home_der, at_home, strict=True)),
        )
        self.der_home = np.array([-1] * len(der) + list(home_der), np.intp)  #: (der,) the home it stands at, or -1
        loads = self.feeder.spot_loads
        self.load_row, phase = np.nonzero(loads.power)
        self.load_power: Complexes = loads.power[self.load_row, phase] / 1e3  #: (loads,) [MVA] at nominal voltage
        self.load_model = np.array(loads.model)[self.load_row]
        load_ports = [
            Port(loads.node[k], int(p), bool(loads.delta[k])) for k, p in zip(self.load_row, phase, strict=True)
        ]
        self.load_labels = tuple(port.label for port in load_ports)  #: may repeat: several loads at one place
        home_ports = [Port(s.name, s.phase) for s in self.services]
        der_ports = [[Port(site.node, PHASES.index(p)) for p in site.phases] for site in self.der]
        self.ports = tuple(dict.fromkeys([*load_ports, *home_ports, *(port for group in der_ports for port in group)]))
        row = {port: k for k, port in enumerate(self.ports)}
        self.load_port: Integers = np.array([row[port] for port in load_ports], np.intp)
        service_port = np.array([row[port] for port in home_ports], np.intp)
        self.home_port: Integers = service_port[self.home_service] if self.homes else np.zeros(0, np.intp)
        #: (der, 3) the port of each phase; a single-phase DER has its one three times
        self.der_port: Integers = np.array(
            [[row[group[i % len(group)]] for i in range(3)] for group in der_ports], np.intp
        ).reshape(-1, 3)
        self.three_phase: Booleans = np.array([len(site.phases) == 3 for site in self.der], bool)

    def nominal_phasors(self) -> Complexes:
        """(ports,) of magnitude 1."""
        return np.array(
            [_DELTA_PHASOR[port.phase] / np.sqrt(3.0) if port.delta else _PHASOR[port.phase] for port in self.ports]
        )


@dataclass(frozen=True)
class LoadModel:
    """How loads behave in the window."""

    home: StaticLoads = field(default_factory=StaticLoads)  #: what is on in homes beside the air conditioner
    spot_frequency_slope: tuple[float, float] = (0.0, 0.0)  #: of P and Q of spot loads [pu/pu]; their ZIP is published
    power_break: float = POWER_BREAK  #: [pu] below which they become constant impedance
    stall: StallParameters = field(default_factory=StallParameters)


@dataclass(frozen=True)
class Drive:
    """What acts on the feeder at an instant."""

    head: Complexes  #: (3,) voltage at the head [pu]
    frequency: float  #: [Hz]
    load_scale: float  #: [1] on the spot loads
    load_available: Floats  #: (loads,) [1] connected
    spot_cooling_share: float  #: [1] of the spot loads' power that is air conditioners
    home_power: Complexes  #: (homes,) demand beside the air conditioner [MVA], less what no DER of the fleet gives
    home_cooling: Floats  #: (homes,) active power of the air conditioner [MW]
    home_available: Floats  #: (homes,) [1] connected
    available: Floats  #: (der,) what the source can give [pu of rating]
    cooling_available: Floats | float = 1.0  #: (homes,) [1] air conditioners that may run


@dataclass(frozen=True)
class WindowState:
    """An instant."""

    power: Complexes  #: (3,) into the feeder at its head [MVA]
    node_voltage: Complexes  #: (node phases,) [pu]
    voltage: Complexes  #: (ports,) [pu]
    der_voltage: Floats  #: (der, 3) magnitude at each DER [pu]
    der_power: Complexes  #: (der,) put in [pu of rating]
    mode: NDArray[np.int8]  #: (der,) codes of `Mode`
    element: NDArray[np.int8]  #: (der,) what tripped it, index into ELEMENTS; -1: it is in service
    lost: Floats  #: (causes,) [MW] that DER do not give or loads do not get, by CAUSES
    lost_count: NDArray[np.int64]  #: (causes,) how many DER or (in full or in part) loads
    load: float  #: [MW] drawn by loads
    generation: float  #: [MW] put in by DER
    charge: Floats  #: (der,) [pu of capacity] of batteries, with what flowed in the step that ends here
    stalled_power: float  #: [MW] drawn by stalled air conditioners
    losses: float  #: [MW] of lines and transformers
    mismatch: float  #: [pu] largest error of a voltage
    iterations: int  #: of the voltages, in all passes


@dataclass(frozen=True)
class _Settled:
    """Ports whose devices draw what they do at these voltages."""

    solution: Solution
    iterations: int
    moved: float  #: [pu] by the last pass


class WindowFeeder:
    """The model; `advance`, `solve` as often as needed, `accept`, and so on from instant to instant."""

    def __init__(
        self,
        plan: WindowPlan,
        settings: FleetSettings | None,
        loads: LoadModel | None = None,
        *,
        seed: int = 0,
        tolerance: float = 1e-6,
        taps: NDArray[np.int64] | None = None,
    ) -> None:
        """`settings` of the plan's DER, None if there are none; `tolerance` [pu] of the voltages."""
        self.plan, self.loads, self.tolerance = plan, loads or LoadModel(), tolerance
        self.settings = settings
        self.fleet = None if settings is None else DerFleet(settings, seed)
        self.rating: Floats = np.zeros(0) if settings is None else settings["rating_kVA"] / 1e3  #: (der,) [MVA]
        self._permissive_ceases = np.zeros(0, bool) if settings is None else settings.flags["RT_permissive_ceases"]
        self._current_limit: Floats = np.zeros(0) if settings is None else settings["I_max_pu"]
        self.spot_cooling = AirConditioners(len(plan.load_port), self.loads.stall)
        self.home_cooling = AirConditioners(plan.homes, self.loads.stall)
        self._voltage_exponent = np.array([VOLTAGE_EXPONENT[model] for model in plan.load_model], float)
        self._phasor = plan.nominal_phasors()
        self._sees_jumps = settings is not None and _sees_jumps(settings)
        # A single-phase DER gives all its power to one port, a three-phase one a third to each.
        rows = np.arange(len(plan.der))
        self._entry_der = np.concatenate([rows[~plan.three_phase], np.repeat(rows[plan.three_phase], 3)])
        self._entry_port = np.concatenate(
            [plan.der_port[~plan.three_phase, 0], plan.der_port[plan.three_phase].ravel()]
        )
        self._entry_share = np.where(plan.three_phase, 1.0 / 3.0, 1.0)
        self._output: FleetOutput | None = None
        self._held: Complexes | None = None  #: (der,) power [MVA] that held DER put in; None: they respond
        self._angle = 0.0  #: [deg] that the frequency's deviation has turned the feeder by
        self._last: tuple[WindowState, Drive] | None = None
        #: (der,) [pu] batteries' charge at the start of the step that ends now, and its length [s]
        self._charge_before: tuple[Floats, float] = (np.zeros(0) if self.fleet is None else self._charge(), 0.0)
        #: (ports,) [pu] voltage at which loads draw the power that is given or published; None: at any
        self._reference: Floats | None = None
        self.set_taps(plan.published.regulators.tap if taps is None else taps)

    def set_taps(self, taps: NDArray[np.int64]) -> None:
        """Put the regulators to `taps` (regulators, 3)."""
        plan = self.plan
        self.taps = taps.copy()
        self._reduced = reduce_feeder(plan.feeder, plan.ports, plan.node_phases, taps, plan.services)
        self._solver = PortVoltages(self._reduced, self.tolerance / 2.0)

    def hold_loads(self, held: bool) -> None:
        """Loads answer to the voltage from now on, drawing what the day says at that of the last instant; or no longer.

        Where there was no voltage to draw anything at, they draw it at 1 pu.
        """
        if not held:
            self._reference = None
        elif self._reference is None:
            size = np.ones(len(self.plan.ports)) if self._last is None else np.abs(self._last[0].voltage)
            self._reference = np.where(size > self.loads.power_break, size, 1.0)

    def hold_der(self, held: bool) -> None:
        """DER keep putting in what they did at the last instant, as far as their current allows; or no longer."""
        if not held:
            self._held = None
        elif self._held is None and self._last is not None:
            self._held = self._last[0].der_power * self.rating

    def advance(self, dt_s: float, *, settled: bool = False) -> None:
        """Let `dt_s` [s] pass for DER, unless they are held, and air conditioners under the last accepted instant.

        `settled`: it is so long that no air conditioner stalls in it or still is.
        """
        if self._last is None:
            return
        state, drive = self._last
        self._charge_before = state.charge, dt_s
        if self.fleet is not None and self._held is None:
            turned = self._turned(dt_s, drive.frequency)
            frequency = np.full(len(self.rating), drive.frequency)
            angle = self._angles(state) if self._sees_jumps else None
            self._output = self.fleet.step(dt_s, state.der_voltage, angle, frequency, drive.available)
            self._angle = turned
        size = np.abs(state.voltage)
        for units, port in ((self.spot_cooling, self.plan.load_port), (self.home_cooling, self.plan.home_port)):
            (units.settle if settled else units.step)(dt_s, size[port])

    def _angles(self, state: WindowState) -> Floats:
        """(der, 3) deviation [deg] of the phases' angles from the nominal ones, in a frame that turns with f."""
        deviation = np.degrees(np.angle(state.voltage * np.conj(self._phasor))) - self._angle
        return np.asarray(deviation[self.plan.der_port])

    def _turned(self, dt_s: float, frequency: float) -> float:
        return self._angle + 360.0 * (frequency - NOMINAL_FREQUENCY) * dt_s

    def accept(self, state: WindowState, drive: Drive) -> None:
        """Make `state`, solved with `drive`, the last instant.

        Batteries hold what flowed: at a low voltage that is less than the fleet had in mind, and held DER have none.
        """
        self._last = (state, drive)
        if self.fleet is not None:
            self.fleet.batteries.charge[:] = state.charge

    def solve(self, drive: Drive) -> WindowState:
        """The instant with `drive`. Raises CollapseError where there is none."""
        given = self._given(drive)
        settled = self._solved(drive, given)
        return self._state(drive, settled.solution, given, settled.iterations, settled.moved)

    def power_without(self, drive: Drive, der: Booleans) -> Complexes:
        """(3,) power into the feeder at its head [MVA] were the DER `der` (der,) not there. Raises CollapseError."""
        settled = self._solved(drive, np.where(der, 0.0, self._given(drive)))
        return self._reduced.head_power(drive.head, settled.solution.injected)

    def _solved(self, drive: Drive, given: Complexes) -> _Settled:
        """The ports with DER that put in `given` (der,) [MVA]. Raises CollapseError."""
        static = self._static(drive)
        try:
            settled = self._settle(static, drive, given, self._start(drive))
        except CollapseError:
            found = self._settle_from_above(static, drive, given)
            if found is None:
                raise
            settled = found
        if settled.moved > self.tolerance:
            settled = self._settle_from_above(static, drive, given) or settled
        return settled

    def _settle(self, static: PortDemand, drive: Drive, given: Complexes, voltage: Complexes) -> _Settled:
        """The fixed point from `voltage` (ports,) [pu], as far as `_MOST_PASSES` lead. Raises CollapseError."""
        iterations, moved, followed = 0, 0.0, True
        for _ in range(_MOST_PASSES):
            demand, follows = self._demand(static, drive, given, voltage)
            if not follows and not followed:
                moved = 0.0  # what it was solved with does not depend on the voltages
                break
            followed = follows
            solution = self._solver.solve(drive.head, demand, voltage)
            iterations += solution.iterations
            moved = float(np.abs(solution.voltage - voltage).max(initial=0.0))
            voltage = solution.voltage
            if moved <= self.tolerance / 2.0:
                break
        return _Settled(solution, iterations, moved)

    def _settle_from_above(self, static: PortDemand, drive: Drive, given: Complexes) -> _Settled | None:
        """The fixed point from the voltages without devices, running motors as admittances; None: it is not found.

        Running motors draw the more the lower the voltage is, so the power of an earlier pass may be more than the
        feeder carries, and passes may go to and fro. An admittance can always be carried, and is at most that of a
        stalled motor: each pass lowers the voltages and raises the admittances, until both hold.
        """
        voltage, iterations = np.asarray(self._reduced.no_load @ drive.head), 0
        for _ in range(_MOST_PASSES_FROM_ABOVE):
            demand, _ = self._demand(static, drive, given, voltage, as_admittances=True)
            try:
                solution = self._solver.solve(drive.head, demand, voltage)
            except CollapseError:
                return None
            iterations += solution.iterations
            moved = float(np.abs(solution.voltage - voltage).max(initial=0.0))
            voltage = solution.voltage
            if moved <= self.tolerance / 2.0:
                return _Settled(solution, iterations, moved)
        return None

    def _start(self, drive: Drive) -> Complexes:
        """The last voltages, moved with the head's."""
        if self._last is None:
            return np.asarray(self._reduced.no_load @ drive.head)
        state, before = self._last
        return np.asarray(state.voltage + self._reduced.no_load @ (drive.head - before.head))

    def _given(self, drive: Drive) -> Complexes:
        """(der,) power [MVA] that the DER put in, as far as their current allows."""
        if self._held is not None:
            return self._held
        if self._output is None:  # before the first step: what the sources give
            return np.asarray(np.clip(drive.available, 0.0, 1.0) * self.rating, dtype=np.complex128)
        return np.asarray((self._output.p_pu + 1j * self._output.q_pu) * self.rating)

    def _static(self, drive: Drive) -> PortDemand:
        """What follows from the drive alone, at the ports."""
        plan, ports = self.plan, len(self.plan.ports)
        spot = plan.load_power * (drive.load_scale * drive.load_available)
        if self._reference is not None:
            spot = spot - self._cooling_at_opening(drive, self._reference[plan.load_port])
        slope = StaticLoads(frequency_slope=self.loads.spot_frequency_slope)
        spot = slope.demand(spot, drive.frequency).power
        model = StaticLoads() if self._reference is None else self.loads.home
        reference = 1.0 if self._reference is None else self._reference[plan.home_port]
        home = model.demand(drive.home_power * drive.home_available, drive.frequency, reference)
        parts = {
            kind: _at_ports(plan.load_port, np.where(plan.load_model == kind, spot, 0.0), ports)
            for kind in VOLTAGE_EXPONENT
        }
        stalled = _at_ports(plan.load_port, self._spot_cooling(drive) * self.spot_cooling.stalled_demand(), ports)
        stalled += _at_ports(plan.home_port, self._home_cooling(drive) * self.home_cooling.stalled_demand(), ports)
        nothing = np.zeros(ports, np.complex128)
        return PortDemand(
            power=parts["PQ"] + _at_ports(plan.home_port, home.power, ports),
            current=parts["I"] + _at_ports(plan.home_port, home.current, ports),
            impedance=parts["Z"] + _at_ports(plan.home_port, home.impedance, ports) + stalled,
            injection=nothing,
            limited=nothing,
            power_break=self.loads.power_break,
        )

    def _cooling_at_opening(self, drive: Drive, voltage: Floats) -> Complexes:
        """(loads,) what the spot loads' air conditioners drew at `voltage` (loads,) [pu], as nominal power [MVA]."""
        drawn = self._spot_cooling(drive) * self.loads.stall.running(voltage)
        return np.asarray(drawn / voltage**self._voltage_exponent)

    def _spot_cooling(self, drive: Drive) -> Floats:
        """(loads,) active power of the spot loads' air conditioners, all of them running at 1 pu [MW]."""
        return self.plan.load_power.real * (drive.load_scale * drive.load_available * drive.spot_cooling_share)

    def _home_cooling(self, drive: Drive) -> Floats:
        return drive.home_cooling * drive.home_available * drive.cooling_available

    def _demand(
        self,
        static: PortDemand,
        drive: Drive,
        given: Complexes,
        voltage: Complexes,
        *,
        as_admittances: bool = False,
    ) -> tuple[PortDemand, bool]:
        """With motors and inverters as they are at `voltage` (ports,) [pu]; and whether that matters.

        Running motors draw constant power, or with `as_admittances` constant impedance.
        """
        plan, ports, size = self.plan, len(self.plan.ports), np.abs(voltage)
        injection, impedance = np.zeros(ports, np.complex128), static.impedance
        if drive.spot_cooling_share > 0.0:
            running = self.spot_cooling.running_demand(size[plan.load_port], drive.frequency)
            if self._reference is None:  # all of them are in the published loads
                running = running - self.loads.stall.running(size[plan.load_port], drive.frequency)
            injection -= _at_ports(plan.load_port, self._spot_cooling(drive) * running, ports)
        if plan.homes:
            running = self.home_cooling.running_demand(size[plan.home_port], drive.frequency)
            injection -= _at_ports(plan.home_port, self._home_cooling(drive) * running, ports)
        if as_admittances:
            impedance = impedance - injection / np.maximum(size, _LEAST_VOLTAGE) ** 2
            injection = np.zeros(ports, np.complex128)
        limited, follows = static.limited, drive.spot_cooling_share > 0.0 or plan.homes > 0
        if self.fleet is not None:
            beyond = self._beyond(given, size)
            if beyond is None:
                injection += self._der_at_ports(given)
            else:
                follows = True
                limited = self._der_at_ports(np.where(beyond > 0.0, given * beyond, 0.0))
                injection += self._der_at_ports(np.where(beyond > 0.0, 0.0, given))
        return replace(static, injection=injection, impedance=impedance, limited=limited), follows

    def _beyond(self, given: Complexes, size: Floats) -> Floats | None:
        """(der,) share of its power that a DER at its current limit puts in at 1 pu, 0 within; None: none is there."""
        if float(size.min(initial=1.0)) * float(self._current_limit.min(initial=np.inf)) >= 1.0:
            return None  # no more than the rating is given
        mean = size[self.plan.der_port].mean(axis=1)
        wanted, most = np.abs(given), self._current_limit * self.rating
        # below the break all current falls with the voltage: one that is within its limit there stays within it
        over = wanted > most * np.maximum(mean, INJECTION_BREAK)
        share = np.zeros(len(wanted))
        np.divide(most, wanted, out=share, where=over)
        return share

    def _der_at_ports(self, power: Complexes) -> Complexes:
        shared = (power * self._entry_share)[self._entry_der]
        return _at_ports(self._entry_port, shared, len(self.plan.ports))

    def _state(self, drive: Drive, solution: Solution, given: Complexes, iterations: int, moved: float) -> WindowState:
        plan, reduced, size = self.plan, self._reduced, np.abs(solution.voltage)
        power = reduced.head_power(drive.head, solution.injected)
        put_in = solution.voltage * np.conj(solution.injected)
        share = self._beyond(given, size) if len(given) else None
        if share is not None:
            mean = size[plan.der_port].mean(axis=1)
            falls = np.minimum(mean / INJECTION_BREAK, 1.0)
            given = np.where(share > 0.0, given * share * mean * falls, given * falls**2)
        der = np.divide(given, self.rating, out=np.zeros_like(given), where=self.rating > 0.0)
        generation = float(given.real.sum())
        lost, count = self._lost(drive, der.real)
        stalled = (self._spot_cooling(drive) * self.spot_cooling.stalled_share * size[plan.load_port] ** 2).sum()
        stalled += (self._home_cooling(drive) * self.home_cooling.stalled_share * size[plan.home_port] ** 2).sum()
        return WindowState(
            power=power,
            node_voltage=reduced.node_voltage(drive.head, solution.injected),
            voltage=solution.voltage,
            der_voltage=size[plan.der_port],
            der_power=der,
            mode=self._mode(),
            element=self._element(),
            lost=lost,
            lost_count=count,
            load=generation - float(put_in.real.sum()),
            generation=generation,
            charge=self._charge_with(der.real),
            stalled_power=float(stalled) * self.loads.stall.stalled.real,
            losses=float(power.real.sum() + put_in.real.sum()),
            mismatch=max(solution.mismatch, moved),
            iterations=iterations,
        )

    def _charge(self) -> Floats:
        return np.zeros(0) if self.fleet is None else self.fleet.batteries.charge.copy()

    def _charge_with(self, active: Floats) -> Floats:
        """(der,) charge [pu of capacity] at the end of the step in which DER put in `active` (der,) [pu of rating]."""
        before, dt_s = self._charge_before
        return before if self.fleet is None else self.fleet.batteries.after(before, dt_s, active)

    def _mode(self) -> NDArray[np.int8]:
        return np.zeros(len(self.rating), np.int8) if self._output is None else self._output.mode

    def _element(self) -> NDArray[np.int8]:
        if self._output is None:
            return np.full(len(self.rating), -1, np.int8)
        return np.where(self._output.tripped, self._output.element, -1).astype(np.int8)

    def _lost(self, drive: Drive, active: Floats) -> tuple[Floats, NDArray[np.int64]]:
        """(causes,) power [MW] and how many lose it."""
        lost, count = np.zeros(len(CAUSES)), np.zeros(len(CAUSES), np.int64)
        if self.settings is not None:
            mode, element = self._mode(), self._element()
            missing = np.maximum(np.clip(drive.available, 0.0, 1.0) - active, 0.0) * self.rating
            cause = _CAUSE_OF_MODE[mode]
            cause[(mode == Mode.PERMISSIVE) & self._permissive_ceases] = CAUSES.index("cease_to_energize")
            cause = np.where(element >= 0, element, cause)
            concerned = (cause != CAUSES.index("limited")) | (missing > _SOME_POWER * self.rating)
            lost += np.bincount(cause, missing, len(CAUSES))
            count += np.bincount(cause[concerned], minlength=len(CAUSES))
        plan = self.plan
        tripped = plan.load_power.real * drive.load_scale * (1.0 - drive.load_available)
        homes = drive.home_power.real * (1.0 - drive.home_available) + drive.home_cooling - self._home_cooling(drive)
        cut_off = np.concatenate([tripped, homes])
        for name, power in (
            ("ac_stall", self._cooling(drive, "stalled_share")),
            ("ac_thermal_trip", self._cooling(drive, "tripped_share")),
            ("load_trip", cut_off),
        ):
            lost[CAUSES.index(name)] = power.sum()
            count[CAUSES.index(name)] = np.count_nonzero(power)
        return lost, count

    def _cooling(self, drive: Drive, share: str) -> Floats:
        """(loads + homes,) running power [MW] of the air conditioners in a `share` of them."""
        spot = self._spot_cooling(drive) * getattr(self.spot_cooling, share)
        return np.concatenate([spot, self._home_cooling(drive) * getattr(self.home_cooling, share)])


def _sees_jumps(settings: FleetSettings) -> bool:
    """Whether any DER does something at a phase-angle jump."""
    acts = np.isfinite(settings["PJ_trip_deg"]) | (settings["PJ_cessation_s"] > 0.0)
    return bool((acts | ~settings.is_("may_trip", "never")).any())


def _at_ports(port: Integers, power: Complexes, ports: int) -> Complexes:
    """(ports,) sums of `power` (devices,) at `port` (devices,)."""
    return np.asarray(np.bincount(port, power.real, ports) + 1j * np.bincount(port, power.imag, ports))
