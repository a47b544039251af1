"""The transmission grid in an event window, light: one frequency for the whole grid, voltages by superposition."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from cosim.contract import Array, Context, Exchange, Time
from cosim.errors import ConfigError, SolverError
from cosim.grid_dynamics import GridDynamics, GridInputs, GridLabels, WindowConfig
from cosim.settings import NameOrFile, without_effect
from cosim.units import quantity
from feeders.dynamic_cases import DYNAMIC_CASES, CaseError, load_dynamic_case
from feeders.transmission_case import load_case
from solvers.ac_power_flow import AcPowerFlow, PowerFlowError
from solvers.frequency_measures import SlidingRate
from solvers.frequency_response import FrequencyResponse, Governors, Machines, typical_governors
from solvers.transmission_grid import Complexes
from solvers.voltage_sag import SubtransientNetwork, served_load

LOST = 0.5  #: of nominal frequency: below it the equations say nothing of a grid
LOWEST_VOLTAGE = 0.1  #: [pu] below it a feeder's power says nothing of its admittance: the last one holds

Frequency = Annotated[float, quantity("Hz"), Field(gt=0)]


class AggregateDynamics(GridDynamics):
    """The ports of the kind andes_dynamics, from two light models, for large grids and many runs.

    *Frequency*: all machines are one mass with their governors (`solvers/frequency_response.py`), driven by the
    balance of power: what generators gave at the opening and are still there, against loads, feeders, faults and the
    losses of the opening. *Voltage*: machines are constant voltages behind x'' (`solvers/voltage_sag.py`), which is
    right for some tenths of a second after an event, as exciters do not act. Every bus has the one frequency.

    Inputs at a time act as in andes_dynamics. The case's own load keeps its power while its bus has 0.7 of its first
    voltage or more, and falls with the square of the voltage below. generation is mechanical power and the reactive
    power behind x''.
    """

    class Config(WindowConfig):
        """Settings of the light dynamics."""

        case: NameOrFile = "case39"
        """A MATPOWER or pandapower case by name, or a MATPOWER file (.m)."""
        machines: str | None = None
        """A published dynamic case whose machines and governors are taken: ieee14 for case14, ieee39 for case39.
        Without it all machines have the values below."""
        from_day: bool = False
        """Whether the window opens at the day's state (inputs opening_voltage, opening_generation) or the case's."""
        nominal_frequency: Frequency = 60.0
        """Nominal frequency."""
        inertia_constant: float = Field(default=4.0, gt=0)
        """Inertia constant of every machine on its rating [s]; steam and hydro units have 2 to 10 s (Kundur 1994)."""
        reactance: float = Field(default=0.2, gt=0)
        """Subtransient reactance of every machine on its rating [pu]."""
        droop: float = Field(default=0.05, gt=0)
        """Droop of every governor on its machine's rating [pu frequency per pu power]."""
        governed_share: float = Field(default=1.0, gt=0, le=1)
        """Share of the machines' rating that has a governor which acts [1]; the droop is divided by it."""
        load_damping: float = Field(default=1.0, ge=0)
        """Change of the case's own load with frequency [pu power per pu frequency]; typically 1 to 2 (Kundur 1994)."""

    config: AggregateDynamics.Config

    def __init__(self, config: AggregateDynamics.Config, context: Context) -> None:
        try:
            self._case = case = load_case(config.case)
        except CaseError as error:
            raise ConfigError("case", str(error)) from error
        self._machines, self._governors = self._typical(config)
        if config.machines is not None:
            self._machines, self._governors = self._published(config.machines)
        labels = GridLabels(case.buses.label, case.branches.label, case.generators.label, case.buses.load.tolist())
        super().__init__(config, context, labels, from_day=config.from_day)
        self._response: FrequencyResponse | None = None
        self._since = 0.0  #: [s] since the opening

    def _typical(self, config: Config) -> tuple[Machines, Governors]:
        """Machines of the settings' values; a rating is the case's largest power, at least what it gives."""
        generators = self._case.generators
        largest = np.where(np.isfinite(generators.highest_active), generators.highest_active, 0)
        rating = np.maximum.reduce([largest, np.abs(generators.power), np.ones(len(generators))])
        full = np.ones(len(generators))
        machines = Machines(rating, config.inertia_constant * full, 0 * full, config.reactance * full)
        return machines, typical_governors(len(generators), config.droop / config.governed_share)

    def _published(self, name: str) -> tuple[Machines, Governors]:
        try:
            found = load_dynamic_case(name, self._case)
        except CaseError as error:
            raise ConfigError("machines", f"{error}.", f"Dynamic cases: {', '.join(DYNAMIC_CASES)}.") from error
        if found.governors is None:
            raise ConfigError("machines", f"the governors of {name} are not of the type TGOV1.", "Leave it out.")
        return found.machines, found.governors

    def left_out(self) -> Sequence[str]:
        """What the case's file holds and nobody uses; typical machines beside published ones."""
        typical = ["inertia_constant", "reactance", "droop", "governed_share"]
        because = f"machines and governors are those of {self.config.machines}"
        idle = [] if self.config.machines is None else without_effect(self.config, typical, because)
        return (*idle, *self._case.left_out)

    def start(self, folder: Path) -> None:
        """Solve the case's power flow, if the window opens there."""
        if self._from_day:
            return
        case = self._case
        try:
            found = AcPowerFlow(case, "capacity", False).solve(
                case.buses.load,
                np.where(case.generators.in_service, case.generators.power.real, 0),
                case.generators.in_service,
                case.branches.in_service,
                None,
            )
        except PowerFlowError as error:
            raise SolverError(f"{error}. Correct the case, or let the window open from the day.") from error
        self._published_state = found.voltage, found.generation

    def solve(self, time: Time, inputs: Exchange) -> Exchange:
        """Advance to `time`, then switch. Raises SolverError if no generator is left."""
        given = self.read(inputs)
        since = (time - self.config.at) / 1e9
        if self._response is None:
            response, before = self._open(given), self.config.nominal_frequency
        else:
            response, before = self._response, self._response.frequency
            step = since - self._since
            self._set_feeders(given.feeder_load)
            response.advance(step, self._imbalance())
            self._angle += np.pi * (before + response.frequency - 2 * self.config.nominal_frequency) * step
        self._since = since
        return self._switch(response, given, since, before)

    def _open(self, given: GridInputs) -> FrequencyResponse:
        case = self._case
        if given.opening_voltage is None or given.opening_generation is None:
            voltage, generation = self._published_state
        else:
            voltage, generation = given.opening_voltage, given.opening_generation
        runs = given.generator & (case.generators.in_service | (generation != 0))
        if not runs.any():
            raise SolverError("no generator is in service at the window's opening; open the window at another time.")
        generation = np.where(runs, generation, 0)
        reactance = self._machines.reactance * case.base_mva / self._machines.rating
        branch = given.branch & (case.branches.in_service | self._from_day)
        self._network = SubtransientNetwork(case, reactance, voltage, generation, runs, branch)
        self._own = self._network.load.copy()
        np.subtract.at(self._own, self._positions, given.feeder_load)
        self._generation, self._runs, self._branch = generation, runs, branch
        #: (bus,) [MVA] changes of load that the day's state has in it already
        self._first_change = given.load_change if self._from_day else np.zeros_like(given.load_change)
        self._losses = float(generation.real.sum() - self._network.load.real.sum())
        self._first, self._magnitude = np.abs(voltage), np.abs(voltage)
        at = np.maximum(self._magnitude[self._positions], LOWEST_VOLTAGE)
        self._first_feeder = self._feeder = np.conj(given.feeder_load) / case.base_mva / at**2
        self._angle = 0.0
        self._rate = SlidingRate(self.config.rocof_window / 1e9)
        self._response = FrequencyResponse(
            self._machines,
            self._governors,
            generation.real / self._machines.rating,
            nominal=self.config.nominal_frequency,
            load_damping=self.config.load_damping * max(float(self._own.real.sum()), 0.0),
        )
        if not runs.all():
            self._response.trip(~runs)
        return self._response

    def _set_feeders(self, power: Complexes) -> None:
        """Feeders draw `power` (feeder,) [MVA] at the voltage given last; held as an admittance [pu]."""
        at = self._magnitude[self._positions]
        readable = at >= LOWEST_VOLTAGE
        new = np.conj(power) / self._case.base_mva / np.where(readable, at, 1) ** 2
        self._feeder = np.where(readable, new, self._feeder)

    def _feeder_power(self) -> Complexes:
        power: Complexes = np.conj(self._feeder) * self._magnitude[self._positions] ** 2 * self._case.base_mva
        return power

    def _load(self) -> Complexes:
        """What is drawn now [MVA] (bus,), faults not counted."""
        load = served_load(self._own + self._change, self._magnitude, self._first)
        np.add.at(load, self._positions, self._feeder_power())
        return load

    def _imbalance(self) -> float:
        """What is drawn now beyond what the generators that run gave at the opening [MW]."""
        fault = float((self._magnitude**2 * self._fault.real).sum()) * self._case.base_mva
        given = float(self._generation.real[self._runs].sum())
        return float(self._load().real.sum()) + fault + self._losses - given

    def _switch(self, response: FrequencyResponse, given: GridInputs, since: float, before: float) -> Exchange:
        case, nominal = self._case, self.config.nominal_frequency
        if (out := self._runs & ~given.generator).any():
            self._runs = self._runs & given.generator
            if not self._runs.any():
                raise SolverError("no generator is left in service: the whole grid is dead. Trip fewer of them.")
            response.trip(out)
        self._branch = given.branch & (case.branches.in_service | self._from_day)
        self._fault, self._change = given.fault, given.load_change - self._first_change
        connected = given.fault + np.conj(self._change) / case.base_mva / np.maximum(self._first, 1e-6) ** 2
        np.add.at(connected, self._positions, self._feeder - self._first_feeder)
        last = self._magnitude
        voltage = self._network.voltage(self._runs, self._branch, connected)
        self._magnitude = np.abs(voltage)
        power = response.mechanical_power + np.where(self._runs, self._generation.real, 0)
        frequency = response.frequency
        if frequency < LOST * nominal:
            raise SolverError(
                f"the frequency has fallen to {frequency:.1f} Hz: there is more load than the generators that are left "
                "can carry. Trip or add less, or shed load."
            )
        low, high = min(before, frequency), max(before, frequency)
        buses = np.ones(len(case.buses))
        values: dict[str, Array] = {
            "voltage": voltage * np.exp(1j * self._angle),
            "voltage_lowest": np.minimum(last, self._magnitude),
            "voltage_highest": np.maximum(last, self._magnitude),
            "frequency": frequency * buses,
            "frequency_lowest": low * buses,
            "frequency_highest": high * buses,
            "coi_frequency": np.asarray(frequency),
            "frequency_deviation": np.asarray(100.0 * (frequency / nominal - 1.0)),
            "rocof": np.asarray(self._rate.add(since, frequency)),
            "generation": power + 1j * self._network.generation(voltage, self._runs).imag,
            "generator_speed": np.where(self._runs, frequency / nominal, 0.0),
            "generator_in_service": self._runs.astype(float),
            "load": np.asarray(self._load().sum()),
            "power_mismatch": np.asarray(self._network.mismatch(voltage, self._runs, connected)),
        }
        return Exchange(values if not len(self._positions) else values | {"feeder_power": self._feeder_power()})
