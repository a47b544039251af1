"""The dynamics of a transmission grid in ANDES, advanced step by step under loads that others give.

ANDES (H. Cui, F. Li, K. Tomsovic, Hybrid symbolic-numeric framework for power system modeling and analysis, IEEE
Trans. Power Systems 36(2), 2021) is GPL-3 software: this file imports it late, in the process that runs it.

What is decided here:

- *Time.* Each step is ANDES' own implicit trapezoidal step to a time that is computed from integers. (`TDS.run` up to
  a moved end time stops where the step has no exact binary fraction.) A step that does not converge is halved.
- *Switching* happens between two steps. The network is then solved anew with the states held, so that what is read
  at the time of a fault is the voltage with the fault, and the next step starts from the new derivatives. (ANDES' own
  run starts that step from the old ones, an error of the order of one step.) Where Newton's method does not lead
  there when a fault is applied or cleared, that is done in parts, each solved from the last.
- *Loads and faults* all act through one load per bus: S(v) = P v^0 + I v + Z v². What the case itself draws has shares
  of the three; the power of a feeder is held as an admittance between two exchanges, which has a solution at any
  voltage; a fault is an admittance.
- *Dead buses.* A part without a generator in service is switched off; its voltage is 0.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from feeders.dynamic_cases import DynamicCase
from solvers.admittance import branch_admittances, bus_admittance
from solvers.transmission_grid import Booleans, Complexes, Floats, Integers, TransmissionCase

LOWEST_VOLTAGE = 0.1  #: [pu] below it a feeder's power says nothing of its admittance: the last one holds
_LIVING = 0.5  #: [pu] the lowest voltage at which dynamics can open
_HALVINGS = 10  #: of a step that does not converge
_NETWORK_ITERATIONS = 30
_NETWORK_TOLERANCE = 1e-8  #: [pu] of the bus mismatch after switching
_FALSE_VOLTAGE = 1e-6  #: [pu] no fault that can be had leaves as little: what is below solves no network
_FAULT_SOURCE = 0.02j  #: [pu] of the grid behind a fault, by which the way to its admittance is divided
_LEAST_PART = 2.0**-9  #: of that way: where no smaller one has a solution there is none
_TOLERANCE = 1e-6  #: [pu], [rad] of Newton's last correction in a step
_LARGE_CHANGE = 0.1  #: [pu] of an admittance: beyond it the Jacobian is made anew
_SERIES_OFFSET = 1e-8 + 1e-8j  #: [pu] that ANDES adds to the impedance of every branch
_BALANCE = 1e-3  #: [pu] of the equations' residuals at the opening


class DynamicsError(Exception):
    """The dynamics cannot be opened at this state, or have no solution from here on."""


@dataclass(frozen=True)
class LoadShares:
    """How the case's own load depends on voltage: shares of constant power, current and impedance; their sum is 1."""

    power: float = 0.0
    current: float = 0.0
    impedance: float = 1.0


@dataclass(frozen=True)
class Opening:
    """The state at which the dynamics open, as solved by a power flow."""

    voltage: Complexes  #: (bus,) [pu]
    generation: Complexes  #: (generator,) [MVA]


@dataclass(frozen=True)
class Switches:
    """What is in service, and what is connected beside the case's own load."""

    generator: Booleans  #: (generator,) in service; once out it stays out
    branch: Booleans  #: (branch,)
    fault: Complexes  #: (bus,) [pu] admittance to earth
    load_change: Complexes  #: (bus,) [MVA] at the opening's voltage; depends on voltage as the case's own load

    def same(self, other: Switches | None) -> bool:
        return other is not None and all(
            np.array_equal(getattr(self, name), getattr(other, name)) for name in ("generator", "branch", "load_change")
        )


@dataclass(frozen=True)
class Snapshot:
    """What can be read at one time."""

    voltage: Complexes  #: (bus,) [pu], 0 where dead
    speed: Floats  #: (generator,) [pu]
    generation: Complexes  #: (generator,) [MVA]
    load: Complexes  #: (bus,) [MVA] of the case, changes and feeders, without faults
    feeder_power: Complexes  #: (feeder bus,) [MVA] the part that feeders draw
    generator_in_service: Booleans  #: (generator,)
    alive: Booleans  #: (bus,)
    mismatch: float  #: [MVA] largest of any bus: generation - load - fault - what the network takes
    angle_spread: float  #: [deg] largest of any machine in service: its rotor angle from the centre of inertia


class AndesEngine:
    """A case in ANDES. `advance` moves on, `switch` changes what is in service, `read` gives what there is."""

    def __init__(
        self,
        case: DynamicCase,
        folder: Path,
        *,
        grid: TransmissionCase | None = None,
        feeder_positions: Integers | None = None,
        shares: LoadShares | None = None,
        largest_step: float = 0.01,
    ) -> None:
        """Load ANDES and the file. `open` must follow.

        With `grid` its network takes the place of the file's. `feeder_positions` (feeder,) are buses whose load comes
        from feeders instead of the case. No inner step is longer than `largest_step` [s]. Raises DynamicsError.
        """
        self._case, self._grid = case, grid
        self._feeder_positions = np.zeros(0, dtype=np.int64) if feeder_positions is None else feeder_positions
        self._shares, self._largest_step = shares or LoadShares(), largest_step
        self._messages = _Messages()
        with self._speaking("to read its case"):
            self._system = _load(case, folder)
            if grid is not None:
                _replace_network(self._system, case, grid)

    # ---- opening -------------------------------------------------------------------------------------------------

    def open(self, feeder_power: Complexes, switches: Switches, opening: Opening | None = None) -> None:
        """Solve the power flow, initialise the machines, then apply faults and changed loads, if there are any.

        Feeders draw `feeder_power` (feeder,) [MVA]. With a `grid` the `opening` is needed: its voltages hold, and what
        generators give there beyond feeders and branches is the case's own load. Raises DynamicsError.
        """
        with self._speaking("at its opening"):
            self._open(opening, feeder_power, switches)
        self._time = 0  #: [ns] since the opening
        self.switch(switches)

    def _open(self, opening: Opening | None, feeder_power: Complexes, switches: Switches) -> None:
        system, case, grid = self._system, self._case, self._grid
        buses = len(case.bus)
        self._load_row = _one_load_per_bus(system)
        system.setup()  # events of the file never come: only `TDS.run` looks at them
        static = {str(key): row for row, key in enumerate(system.PV.idx.v)}
        slack = {str(key): row for row, key in enumerate(system.Slack.idx.v)}
        own = np.array(case.load)
        own[self._feeder_positions] = 0
        if opening is not None and grid is not None:
            if np.abs(opening.voltage).min() < _LIVING:
                raise DynamicsError("a bus is dead at the opening")
            for index, key in enumerate(case.generator_key):
                bus = int(case.generator_bus[index])
                table, row = (system.PV, static[key]) if key in static else (system.Slack, slack[key])
                table.p0.v[row] = opening.generation[index].real / case.base_mva
                table.q0.v[row] = opening.generation[index].imag / case.base_mva
                table.v0.v[row] = abs(opening.voltage[bus])
                if key in slack:
                    system.Slack.a0.v[row] = np.angle(opening.voltage[bus])
            system.Bus.v0.v[:] = np.abs(opening.voltage)
            system.Bus.a0.v[:] = np.angle(opening.voltage)
            own = self._own_load(grid, opening, feeder_power, switches)
        total = own.copy()
        np.add.at(total, self._feeder_positions, feeder_power)
        system.PQ.p0.v[:], system.PQ.q0.v[:] = 0.0, 0.0
        system.PQ.p0.v[self._load_row] = total.real / case.base_mva
        system.PQ.q0.v[self._load_row] = total.imag / case.base_mva
        self._machines = _machine_rows(system, case)
        self._rotors = _rotors(self._machines)
        self._branch_key = [system.Line.idx.v[row] for row in case.branch_row]
        self._generator_in = np.ones(len(case.generator), dtype=bool)
        self._branch_in = np.array([system.Line.u.v[row] > 0 for row in case.branch_row])
        self._set_service(switches.generator, switches.branch)
        if not system.PFlow.run():
            raise DynamicsError("the power flow of the opening does not converge")
        system.TDS.config.test_init = 0  # loads are set below; `_check_opening` looks at the residuals then
        system.TDS.config.tol = _TOLERANCE
        system.TDS.config.criteria = 0
        system.TDS.config.no_tqdm = 1
        system.TDS.init()
        self._alive = np.ones(buses, dtype=bool)
        self._first_voltage = self._magnitude().copy()
        self._own, self._fault = own / case.base_mva, np.zeros(buses, dtype=complex)
        self._change = np.zeros(buses, dtype=complex)
        #: (bus,) [MVA] changes of load that the opening's state has in it already
        self._first_change = switches.load_change if opening is not None and grid is not None else self._change
        self._feeder_admittance = np.zeros(len(self._feeder_positions), dtype=complex)
        self._switches: Switches | None = None
        self._set_feeders(feeder_power)
        self._apply_loads()
        self._check_opening()
        self._restored: Floats | None = None
        self._note_solved(0.0)
        self._reset_extremes()

    def _own_load(
        self, grid: TransmissionCase, opening: Opening, feeder_power: Complexes, switches: Switches
    ) -> Complexes:
        """What is left of each bus's power [MVA] (bus,) for the case's own load, feeders taken off."""
        admittance = bus_admittance(grid, branch_admittances(grid.branches), switches.branch)
        given = -opening.voltage * np.conj(admittance @ opening.voltage) * grid.base_mva
        np.add.at(given, self._case.generator_bus, opening.generation)
        np.subtract.at(given, self._feeder_positions, feeder_power)
        own: Complexes = np.where(np.abs(given) < 1e-6, 0, given)
        return own

    def _check_opening(self) -> None:
        """Raises DynamicsError naming what is not at rest."""
        system = self._system
        system.TDS.fg_update(system.exist.pflow_tds)
        system.dae.f[system.no_check_init] = 0.0
        residual = np.abs(system.dae.fg)
        worst = int(np.argmax(np.nan_to_num(residual, nan=np.inf)))
        if not residual[worst] < _BALANCE:
            names = [str(system.dae.xy_name[row]) for row in np.argsort(-residual)[:3]]
            raise DynamicsError(
                f"the machines of {self._case.name} are not at rest at the opening (residual {residual[worst]:.2g} pu "
                f"of {', '.join(names)}): a generator is beyond its machine, exciter or governor limits"
            )
        system.TDS.fg_update(system.exist.pflow_tds)

    # ---- what happens between two times --------------------------------------------------------------------------

    def set_feeders(self, power: Complexes) -> None:
        """From now on feeders draw `power` [MVA] (feeder,) at the voltage that `read` gave last."""
        self._set_feeders(power)
        self._apply_loads()

    def _set_feeders(self, power: Complexes) -> None:
        voltage = self._magnitude()[self._feeder_positions]
        readable = voltage >= LOWEST_VOLTAGE
        self._feeder_admittance = np.where(
            readable, power / self._case.base_mva / np.where(readable, voltage, 1.0) ** 2, self._feeder_admittance
        )

    def switch(self, switches: Switches) -> bool:
        """Change what is in service, and solve the network anew; whether anything changed."""
        faulted = not np.array_equal(switches.fault, self._fault)
        if switches.same(self._switches) and not faulted:
            return False
        system = self._system
        with self._speaking():
            before, fault_before = system.dae.y.copy(), self._fault
            if faulted and not np.any(self._fault):
                self._restored = before
            self._set_service(switches.generator, switches.branch)
            self._fault = switches.fault.copy()
            self._change = (switches.load_change - self._first_change) / self._case.base_mva
            self._apply_loads()
            if faulted and not np.any(self._fault) and self._restored is not None:
                # a cleared fault: Newton starts from the voltages before it, as in ANDES' own model of a fault
                system.dae.y[:] = self._restored
                system.vars_to_models()
            self._switches = switches
            self._drop_dead_parts()
            system.TDS._last_switch_t = float(system.dae.t)  # ANDES renews its Jacobian for 0.1 s after
            given = system.dae.y.copy()
            if not self._solve_network() and not (faulted and self._solve_by_parts(before, fault_before)):
                self._put(given)  # the next step solves the same equations together with the states
            self._note_extremes()
        return True

    def _set_service(self, generator: Booleans, branch: Booleans) -> None:
        system = self._system
        for index in np.flatnonzero(self._generator_in & ~generator):
            for model, row in self._machines[index]:
                system.set_status(model.class_name, model.idx.v[row], 0)
            if not system.TDS.initialized:
                key = self._case.generator_key[index]
                for table in (system.PV, system.Slack):
                    for own in table.idx.v:
                        if str(own) == key:
                            system.set_status(table.class_name, own, 0)
            self._generator_in[index] = False
        for index in np.flatnonzero(self._branch_in != branch):
            system.set_status("Line", self._branch_key[index], int(branch[index]))
        self._branch_in = branch.copy()

    def _drop_dead_parts(self) -> None:
        """Switch off every part without a generator in service, and switch on what has one again."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        system, count = self._system, len(self._case.bus)
        rows = self._case.branch_row[self._branch_in]
        start, end = system.Line.a1.a[rows], system.Line.a2.a[rows]
        _, part = connected_components(coo_array((np.ones(len(rows)), (start, end)), shape=(count, count)))
        alive = np.isin(part, part[self._case.generator_bus[self._generator_in]])
        for bus in np.flatnonzero(alive != self._alive):
            system.set_status("Bus", system.Bus.idx.v[bus], int(alive[bus]))
        if not alive.any():
            raise DynamicsError("no generator is left in service: the whole grid is dead")
        self._alive = alive
        if system.conn._dirty:  # as in ANDES' own switching
            system.conn.check_connectivity(info=False)

    def _apply_loads(self) -> None:
        """Write all loads and faults into ANDES' one load per bus."""
        load, first = self._system.PQ, self._first_voltage
        own = self._own + self._change
        admittance = self._shares.impedance * own / first**2 + np.conj(self._fault)
        np.add.at(admittance, self._feeder_positions, self._feeder_admittance)
        before = load.Req.v[self._load_row] + 1j * load.Xeq.v[self._load_row]
        for constant, value in (
            ((load.Ppf, load.Qpf), self._shares.power * own),
            ((load.Ipeq, load.Iqeq), self._shares.current * own / first),
            ((load.Req, load.Xeq), admittance),
        ):
            constant[0].v[self._load_row] = value.real
            constant[1].v[self._load_row] = value.imag
        if np.abs(admittance - before).max(initial=0.0) > _LARGE_CHANGE:
            self._system.TDS._last_switch_t = float(self._system.dae.t)

    def _solve_network(self, *, whole: bool = True) -> bool:
        """Newton's method on the algebraic equations with the states held; whether it found a solution.

        `whole`: of the network as it is, not with a part of its faults.
        """
        from andes.shared import matrix

        system, tds = self._system, self._system.TDS
        models = system.exist.pflow_tds
        tds.niter = 0
        for _ in range(_NETWORK_ITERATIONS):
            tds.fg_update(models)
            if np.abs(system.dae.g).max() < _NETWORK_TOLERANCE:
                if self._false():
                    return False
                self._note_solved(self._time / 1e9, whole=whole)
                return True
            system.j_update(models)
            correction = np.ravel(tds.solver.linsolve(system.dae.gy, matrix(system.dae.g)))
            if not np.isfinite(correction).all():
                return False
            system.dae.y -= correction
            system.vars_to_models()
            tds.niter += 1
        return False

    def _false(self) -> bool:
        """Whether what was found is no voltage of a grid.

        A magnitude of 0 solves a bus's power balance in polar coordinates whatever its neighbours' are, though not
        Kirchhoff's law; a negative one may, but exciters do not take it as the magnitude that it stands for.
        """
        return bool(self._magnitude()[self._alive].min() < _FALSE_VOLTAGE)

    def _put(self, algebraic: Floats) -> None:
        """Set the algebraic variables."""
        self._system.dae.y[:] = algebraic
        self._system.vars_to_models()
        self._system.TDS.fg_update(self._system.exist.pflow_tds)

    def _solve_by_parts(self, start: Floats, fault: Complexes) -> bool:
        """Go from the solution `start` under the faults `fault` (bus,) [pu] to those there are; whether it led there.

        The way is that of the voltage that a fault would leave behind `_FAULT_SOURCE`, so that parts of it change the
        voltages alike; each part starts from the last's solution, and one that has none is halved.
        """
        target, system = self._fault, self._system
        left_from, left_to = 1 / (1 + fault * _FAULT_SOURCE), 1 / (1 + target * _FAULT_SOURCE)
        done, part, solved = 0.0, 0.5, start
        self._put(start)
        try:
            while part >= _LEAST_PART:
                reached = min(done + part, 1.0)
                left = left_from + reached * (left_to - left_from)
                self._fault = target if reached == 1.0 else (1 / left - 1) / _FAULT_SOURCE
                self._apply_loads()
                if self._solve_network(whole=reached == 1.0):
                    done, solved, part = reached, system.dae.y.copy(), 2 * part
                    if done == 1.0:
                        return True
                else:
                    self._put(solved)
                    part /= 2
        finally:
            self._fault = target
            self._apply_loads()
        return False

    def advance(self, time: int) -> Iterator[tuple[float, Floats]]:
        """Integrate to `time` [ns since the opening]; yields each inner step [s] and its angles [rad] (bus,)."""
        self._reset_extremes()
        begin, span = self._time, time - self._time
        count = max(1, int(np.ceil(span / 1e9 / self._largest_step - 1e-9)))
        for number in range(count):
            start, end = begin + span * number // count, begin + span * (number + 1) // count
            with self._speaking():
                self._step(start / 1e9, end / 1e9, _HALVINGS)
            self._note_extremes()
            yield (end - start) / 1e9, self.angles()
        self._time = time

    def _step(self, start: float, end: float, halvings: int) -> None:
        system, tds = self._system, self._system.TDS
        tds.h = end - start
        system.dae.t[...] = end
        if tds.itm_step():
            tds.chatter = False
            if not self._false():
                self._note_solved(end)
                return
            system.dae.x[:], system.dae.y[:], system.dae.f[:] = tds.x0, tds.y0, tds.f0
            system.vars_to_models()
            tds.last_converged = False  # ANDES renews its Jacobian then
        tds.busted = False
        if halvings == 0:
            time, voltage, whole = self._solved
            lowest = int(np.argmin(voltage))
            part = "" if whole else ", with a part only of the fault that is applied or cleared then"
            raise DynamicsError(
                f"no solution between {start:.6f} and {end:.6f} s after the opening; the lowest voltage solved last is "
                f"{voltage[lowest]:.3f} pu at bus {self._case.bus[lowest]}, at {time:.6f} s{part}"
            )
        middle = (start + end) / 2
        self._step(start, middle, halvings - 1)
        self._step(middle, end, halvings - 1)

    # ---- reading -------------------------------------------------------------------------------------------------

    def _magnitude(self) -> Floats:
        magnitude: Floats = self._system.Bus.v.v
        return magnitude

    def _present(self) -> Floats:
        """Voltage magnitudes [pu] (bus,), 0 where dead."""
        present: Floats = np.where(self._alive, np.abs(self._magnitude()), 0.0)
        return present

    def angles(self) -> Floats:
        """Angle of each bus's voltage [rad] (bus,) against a frame that turns at nominal frequency; not wrapped."""
        angle: Floats = np.array(self._system.Bus.a.v)
        return angle

    def _note_solved(self, time: float, *, whole: bool = True) -> None:
        """Keep `time` [s] and the voltages [pu] of a state that was found, dead buses left out; `whole` as above."""
        self._solved = time, np.where(self._alive, self._magnitude(), np.inf), whole

    def _reset_extremes(self) -> None:
        self.lowest = self.highest = self._present()

    def _note_extremes(self) -> None:
        now = self._present()
        self.lowest, self.highest = np.minimum(self.lowest, now), np.maximum(self.highest, now)

    def inertia(self) -> Floats:
        """Inertia constant times rating of each generator in service [MWs] (generator,), 0 out of service."""
        total = np.zeros(len(self._machines))
        for index, parts in enumerate(self._machines):
            if self._generator_in[index]:
                total[index] = sum(model.M.v[row] / 2 for model, row in parts) * self._case.base_mva
        return total

    def _angle_spread(self) -> float:
        """Largest rotor angle [deg] of a machine in service from the centre of inertia; not wrapped.

        The centre is that of all of them: a machine that slips, and a part of the grid that runs on its own, leave it.
        """
        angle, inertia, service = [], [], []
        for model, rows, generator in self._rotors:
            angle.append(model.delta.v[rows])
            inertia.append(model.M.v[rows])
            service.append(self._generator_in[generator])
        present = np.concatenate(service)
        angles, weight = np.concatenate(angle)[present], np.concatenate(inertia)[present]
        return float(np.degrees(np.abs(angles - weight @ angles / weight.sum()).max()))

    def read(self) -> Snapshot:
        """Everything now."""
        base = self._case.base_mva
        magnitude = np.where(self._alive, self._magnitude(), 0.0)
        voltage = magnitude * np.exp(1j * self.angles())
        speed: Floats = np.array([parts[0][0].omega.v[parts[0][1]] for parts in self._machines])
        power = [sum(m.Pe.v[row] + 1j * m.Qe.v[row] for m, row in parts) for parts in self._machines]
        generation = np.where(self._generator_in, power, 0).astype(np.complex128) * base
        feeder = self._feeder_admittance * magnitude[self._feeder_positions] ** 2 * base
        own = self._own + self._change
        ratio = magnitude / self._first_voltage
        shares = self._shares
        kept = shares.power * self._alive + shares.current * ratio + shares.impedance * ratio**2
        load = (own * kept * base).astype(np.complex128)
        np.add.at(load, self._feeder_positions, feeder)
        injected = -load - magnitude**2 * np.conj(self._fault) * base
        np.add.at(injected, self._case.generator_bus, generation)
        taken = voltage * np.conj(self._network() @ voltage) * base
        mismatch = float(np.abs(np.where(self._alive, injected - taken, 0)).max())
        return Snapshot(
            voltage,
            speed,
            generation,
            load,
            feeder,
            self._generator_in.copy(),
            self._alive,
            mismatch,
            self._angle_spread(),
        )

    def _network(self) -> Any:
        """The admittance matrix [pu] of lines and shunts in service, from the branch model of MATPOWER's manual."""
        from scipy.sparse import coo_array

        key = self._branch_in.tobytes()
        if getattr(self, "_network_key", None) != key:
            line, shunt, count = self._system.Line, self._system.Shunt, len(self._case.bus)
            on, ratio = line.u.v, line.tap.v * np.exp(1j * line.phi.v)
            series = on / (line.r.v + 1j * line.x.v + _SERIES_OFFSET)
            half = on * (line.g.v + 1j * line.b.v) / 2
            start, end, at = line.a1.a, line.a2.a, shunt.a.a
            entries = np.concatenate(
                [
                    (series + half + on * (line.g1.v + 1j * line.b1.v)) / line.tap.v**2,
                    -series / ratio.conj(),
                    -series / ratio,
                    series + half + on * (line.g2.v + 1j * line.b2.v),
                    shunt.u.v * (shunt.g.v + 1j * shunt.b.v) if shunt.n else np.zeros(0),
                ]
            )
            rows = np.concatenate([start, start, end, end, at]).astype(int)
            columns = np.concatenate([start, end, start, end, at]).astype(int)
            self._network_matrix = coo_array((entries, (rows, columns)), shape=(count, count)).tocsr()
            self._network_key = key
        return self._network_matrix

    @contextlib.contextmanager
    def _speaking(self, when: str = "") -> Iterator[None]:
        """What ANDES says goes into the error, and nowhere else."""
        self._messages.clear()
        try:
            with np.errstate(all="ignore"):
                yield
        except DynamicsError as error:
            said = self._messages.last()
            raise DynamicsError(f"{error}{': ' + said if said else ''}") from error
        except (ArithmeticError, ValueError, TypeError, KeyError, IndexError) as error:
            raise DynamicsError(f"ANDES failed {when}: {error}. {self._messages.last()}".rstrip()) from error

    def close(self) -> None:
        """Give back the logger."""
        self._messages.close()


class _Messages(logging.Handler):
    """Keeps the last errors that ANDES logs; without it they would go to standard error."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self._lines: list[str] = []
        self._logger = logging.getLogger("andes")
        self._before = (self._logger.propagate, self._logger.level)
        self._logger.propagate = False
        self._logger.setLevel(logging.ERROR)
        self._logger.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(" ".join(record.getMessage().split())[:300])

    def clear(self) -> None:
        self._lines.clear()

    def last(self) -> str:
        return "; ".join(self._lines[-2:])

    def close(self) -> None:
        self._logger.removeHandler(self)
        self._logger.propagate = self._before[0]
        self._logger.setLevel(self._before[1])
        super().close()


def generated_code(folder: Path) -> Path:
    """The folder of the functions that ANDES generates from its models, about 8 s of work once per environment.

    It lies beside the environment's packages, so it goes with them; where that cannot be written, in `folder`, for
    this run only. It is made under another name and then renamed: two runs at once do no harm to each other.
    """
    import andes

    name = f"andes-{andes.__version__}-python{sys.version_info.major}.{sys.version_info.minor}"
    parent = Path(sys.prefix) / "share" / "cosim"
    try:
        parent.mkdir(parents=True, exist_ok=True)
        writable = os.access(parent, os.W_OK)
    except OSError:
        writable = False
    place = (parent if writable else folder) / name
    if place.is_dir():
        return place / "pycode"
    place.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=place.parent))
    try:
        (scratch / "pycode").mkdir()
        made = andes.System(
            no_undill=True, default_config=True, no_output=True, options={"pycode_path": str(scratch / "pycode")}
        )
        made.prepare(quick=True, nomp=True)
        for module in [module for module in sys.modules if module.partition(".")[0] == "pycode"]:
            del sys.modules[module]  # they were read from the other name
        scratch.chmod(0o755)
        with contextlib.suppress(OSError):  # another run was faster
            scratch.rename(place)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return place / "pycode"


def _load(case: DynamicCase, folder: Path) -> Any:
    """The case's file in ANDES, not yet set up."""
    import andes

    system = andes.load(
        str(case.path),
        setup=False,
        no_output=True,
        default_config=True,
        autogen_stale=False,
        options={"pycode_path": str(generated_code(folder))},
    )
    if system is None:
        raise DynamicsError(f"ANDES cannot read {case.path.name}")
    weights = dict.fromkeys(("p2p", "p2i", "p2z", "q2q", "q2i", "q2z"), 1.0)
    for name, value in {**weights, "pq2z": 0}.items():
        setattr(system.PQ.config, name, value)
    return system


def _one_load_per_bus(system: Any) -> Integers:
    """Give every bus a load of its own; the row (bus,) of it in ANDES' table of loads. Others draw nothing."""
    for bus in system.Bus.idx.v:
        system.add("PQ", {"idx": f"all {bus}", "bus": bus, "p0": 0.0, "q0": 0.0, "Vn": system.Bus.get("Vn", bus)})
    row = {key: index for index, key in enumerate(system.PQ.idx.v)}
    return np.array([row[f"all {bus}"] for bus in system.Bus.idx.v])


def _replace_network(system: Any, case: DynamicCase, grid: TransmissionCase) -> None:
    """Put the branches and shunts of `grid` in the place of the file's."""
    key, line, branches = system.Bus.idx.v, system.Line, grid.branches
    for index, row in enumerate(case.branch_row.tolist()):
        start, end = branches.from_bus[index], branches.to_bus[index]
        values = {
            "u": float(branches.in_service[index]),
            "bus1": key[start],
            "bus2": key[end],
            "Sn": grid.base_mva,
            "Vn1": system.Bus.Vn.v[start],  # as the bus has it: ANDES then leaves the impedances as they are
            "Vn2": system.Bus.Vn.v[end],
            "r": branches.resistance[index],
            "x": branches.reactance[index],
            "b": branches.susceptance[index],
            "tap": branches.ratio[index],
            "phi": branches.shift[index],
            **dict.fromkeys(("g", "g1", "b1", "g2", "b2"), 0.0),
        }
        for name, value in values.items():
            getattr(line, name).v[row] = value
    for row in range(system.Shunt.n):
        system.Shunt.g.v[row] = system.Shunt.b.v[row] = 0.0
    for bus in np.flatnonzero(grid.buses.shunt):
        shunt = grid.buses.shunt[bus] / grid.base_mva
        base = {"Sn": grid.base_mva, "Vn": system.Bus.Vn.v[bus]}
        system.add("Shunt", {"idx": f"grid {key[bus]}", "bus": key[bus], "g": shunt.real, "b": shunt.imag, **base})


def _machine_rows(system: Any, case: DynamicCase) -> list[list[tuple[Any, int]]]:
    """For each generator its machines: model and row."""
    of: dict[str, list[tuple[Any, int]]] = {key: [] for key in case.generator_key}
    for model in system.SynGen.models.values():
        for row in range(model.n):
            of[str(model.gen.v[row])].append((model, row))
    return [of[key] for key in case.generator_key]


def _rotors(machines: list[list[tuple[Any, int]]]) -> list[tuple[Any, Integers, Integers]]:
    """For each model of machines the rows of those in `machines`, and the generator that each belongs to."""
    found: dict[str, tuple[Any, list[int], list[int]]] = {}
    for generator, parts in enumerate(machines):
        for model, row in parts:
            _, rows, generators = found.setdefault(model.class_name, (model, [], []))
            rows.append(row)
            generators.append(generator)
    return [(model, np.array(rows), np.array(generators)) for model, rows, generators in found.values()]
