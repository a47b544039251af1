"""The transmission grid's dynamics in ANDES, in an event window: machines, governors, exciters of a published case."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from cosim.contract import Array, Context, Exchange, Port, Time
from cosim.errors import ConfigError, ContractError, SolverError
from cosim.grid_dynamics import GridDynamics, GridInputs, GridLabels, WindowConfig
from cosim.settings import NameOrFile
from cosim.units import PositiveDuration, format_duration, written
from feeders.andes_engine import AndesEngine, DynamicsError, LoadShares, Opening, Snapshot, Switches
from feeders.dynamic_cases import DYNAMIC_CASES, CaseError, load_dynamic_case
from feeders.transmission_case import load_case
from solvers.frequency_measures import AngleFrequency, SlidingRate
from solvers.transmission_grid import Floats

Share = Annotated[float, Field(ge=0, le=1)]
ANGLE_LIMIT = 180.0  #: [deg] of a rotor from the centre of inertia: half a turn, beyond it a pole has slipped


class AndesDynamics(GridDynamics):
    """Generators, governors, exciters and network of a published case, stepped with the loads of feeders.

    It works in a window and is idle outside. With `grid`, the day's transmission case, it opens at the day's voltages
    and dispatch (inputs opening_voltage and opening_generation at the window's first time): the network is that of
    `grid`, the machines are those of `case`, and what the day's power flow says beyond generators, branches and
    feeders is the case's own load. Without `grid` it opens at the case's published state.

    Inputs at a time act so: feeder_load over the step that ends there, held as the admittance that it was at the
    voltage given last; the others from that time on, and the outputs show the network just after. A generator that
    was out once stays out. A part of the grid without a generator is dead; its voltage is 0.

    frequency is what a meter makes of the voltage's angle (a lag and a washout): a fault makes it jump, as in the
    field. coi_frequency is that of the machines, weighted with their inertia. It means nothing when they no longer run
    in step: angle_spread, the largest rotor angle from their centre, then exceeds its limit and fails the verdict.
    """

    needs_process: ClassVar[bool] = True

    class Config(WindowConfig):
        """Settings of the dynamics."""

        case: str = "ieee39"
        """A published dynamic case: ieee14, kundur, ieee39, npcc, wecc."""
        grid: NameOrFile | None = None
        """The day's transmission case, whose state the window opens at: case14 for ieee14, case39 for ieee39."""
        inner_step: PositiveDuration = written("10 ms")
        """Longest step of the integration; a coupling step is divided evenly."""
        power_share: Share = 0.0
        """Share of the case's own load that draws constant power; a severe fault then has no solution [1]."""
        current_share: Share = 0.0
        """Share of the case's own load that draws constant current; the rest is constant impedance [1]."""
        frequency_lag: PositiveDuration = written("20 ms")
        """Time constant of the lag in the measurement of frequency."""
        frequency_washout: PositiveDuration = written("100 ms")
        """Time constant of the washout in the measurement of frequency."""

    config: AndesDynamics.Config

    def __init__(self, config: AndesDynamics.Config, context: Context) -> None:
        try:
            self._grid = None if config.grid is None else load_case(config.grid)
        except CaseError as error:
            raise ConfigError("grid", str(error)) from error
        try:
            self._case = case = load_dynamic_case(config.case, self._grid)
        except CaseError as error:
            raise ConfigError("case", f"{error}.", f"Dynamic cases: {', '.join(DYNAMIC_CASES)}.") from error
        if config.power_share + config.current_share > 1:
            raise ConfigError("power_share", "and current_share must not exceed 1 together.", "Lower one of them.")
        labels = GridLabels(case.bus, case.branch, case.generator, case.load)
        super().__init__(config, context, labels, from_day=self._grid is not None)
        self._engine: AndesEngine | None = None
        self._open = False

    def ports(self) -> Sequence[Port]:
        """Those of all dynamics, and whether the machines still run in step."""
        title = "rotor angle of a machine from the centre of inertia; beyond 180 deg synchronism is lost"
        return [*super().ports(), Port("angle_spread", "deg", "out", title, limit=ANGLE_LIMIT)]

    def start(self, folder: Path) -> None:
        """Load ANDES and the case. Where ANDES was never used it first generates code, which takes some 10 s."""
        config = self.config
        impedance = 1 - config.power_share - config.current_share
        try:
            self._engine = AndesEngine(
                self._case,
                folder,
                grid=self._grid,
                feeder_positions=self._positions,
                shares=LoadShares(config.power_share, config.current_share, impedance),
                largest_step=config.inner_step / 1e9,
            )
        except DynamicsError as error:
            raise SolverError(f"{error}. Install the version of andes that constraints.txt names.") from error

    def solve(self, time: Time, inputs: Exchange) -> Exchange:
        """Advance to `time`, then switch. Raises SolverError where the dynamics have no solution."""
        if self._engine is None:
            raise ContractError("solve was called before start")
        given = self.read(inputs)
        try:
            if not self._open:
                return self._first(self._engine, given)
            return self._next(self._engine, time - self.config.at, given)
        except DynamicsError as error:
            raise SolverError(f"{error}. {self._advice()}") from error

    def _advice(self) -> str:
        """What to do where there is no solution."""
        if not self._open:
            return "Open the window at another time, or correct the dispatch that it opens at."
        opened = f"The window opened at {format_duration(self.config.at)}."
        if self.config.power_share > 0:
            return (
                f"{opened} A bus collapses under too much constant power, or a fault that stays too long: clear it "
                "earlier, give it impedance, lower power_share, or shorten the step."
            )
        return f"{opened} A fault may stay too long: clear it earlier, give it impedance, or shorten the step."

    def _first(self, engine: AndesEngine, given: GridInputs) -> Exchange:
        opening = None
        if given.opening_voltage is not None and given.opening_generation is not None:
            opening = Opening(given.opening_voltage, given.opening_generation)
        engine.open(given.feeder_load, _switches(given), opening)
        self._open = True
        snapshot = engine.read()
        self._alive = snapshot.alive
        lag, washout = self.config.frequency_lag / 1e9, self.config.frequency_washout / 1e9
        self._meter = AngleFrequency(engine.angles(), self._case.frequency, lag, washout)
        self._rate = SlidingRate(self.config.rocof_window / 1e9)
        return self._outputs(engine, snapshot, 0.0, self._meter.frequency, self._meter.frequency)

    def _next(self, engine: AndesEngine, since: Time, given: GridInputs) -> Exchange:
        engine.set_feeders(given.feeder_load)
        lowest = highest = self._meter.frequency
        for length, angles in engine.advance(since):
            self._meter.advance(length, angles)
            lowest = np.minimum(lowest, self._meter.frequency)
            highest = np.maximum(highest, self._meter.frequency)
        if engine.switch(_switches(given)):
            self._meter.jump(engine.angles())
        return self._outputs(engine, engine.read(), since / 1e9, lowest, highest)

    def _outputs(
        self, engine: AndesEngine, snapshot: Snapshot, since: float, lowest: Floats, highest: Floats
    ) -> Exchange:
        """Every output; `since` the opening [s]. A dead bus shows the machines' frequency."""
        inertia = engine.inertia()
        coi = self._case.frequency * float(inertia @ snapshot.speed / inertia.sum())
        self._meter.restart(snapshot.alive & ~self._alive, engine.angles(), coi)
        self._alive = snapshot.alive
        values: dict[str, Array] = {
            "voltage": snapshot.voltage,
            "voltage_lowest": engine.lowest,
            "voltage_highest": engine.highest,
            "frequency": np.where(snapshot.alive, self._meter.frequency, coi),
            "frequency_lowest": np.where(snapshot.alive, lowest, coi),
            "frequency_highest": np.where(snapshot.alive, highest, coi),
            "coi_frequency": np.asarray(coi),
            "frequency_deviation": np.asarray(100.0 * (coi / self._case.frequency - 1.0)),
            "rocof": np.asarray(self._rate.add(since, coi)),
            "generation": snapshot.generation,
            "generator_speed": snapshot.speed,
            "generator_in_service": snapshot.generator_in_service.astype(float),
            "load": np.asarray(snapshot.load.sum()),
            "power_mismatch": np.asarray(snapshot.mismatch),
            "angle_spread": np.asarray(snapshot.angle_spread),
        }
        return Exchange(values if not len(self._positions) else values | {"feeder_power": snapshot.feeder_power})

    def close(self) -> None:
        """Let go of ANDES."""
        if self._engine is not None:
            self._engine.close()
        self._engine = None


def _switches(given: GridInputs) -> Switches:
    return Switches(given.generator, given.branch, given.fault, given.load_change)
