"""What every federate of a transmission grid's dynamics has: the window that it works in, and its ports.

A model of another kind takes the place of one by giving the same ports; feeders and perturbations need not know.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from cosim.contract import Context, Exchange, Federate, Port, Time
from cosim.errors import ConfigError
from cosim.settings import Settings
from cosim.units import Duration, PositiveDuration, format_duration, written

PHASES = ("A", "B", "C")
DEVIATION_LIMIT = 10.0  #: [%] of nominal frequency: turbines are tripped well within it, IEEE C37.106
MISMATCH_LIMIT = 0.1  #: [MVA] of a bus: what Newton's method leaves in a step of the dynamics


class WindowConfig(Settings):
    """Settings that dynamics of every kind have."""

    feeder_buses: tuple[str, ...] = ()
    """Buses whose load comes from feeders instead of the case; the wiring fills this in."""
    at: Duration = Field(default=written("0 s"), ge=0)
    """When the window opens, counted from the scenario's start."""
    duration: PositiveDuration | None = None
    """How long it is open; without it, to the end of the run."""
    step: PositiveDuration | None = None
    """Coupling step in the window; without it, the run's base step."""
    rocof_window: PositiveDuration = written("500 ms")
    """Time over which the rate of change of frequency is taken."""


@dataclass(frozen=True)
class GridLabels:
    """A grid as its ports show it."""

    bus: tuple[str, ...]
    branch: tuple[str, ...]
    generator: tuple[str, ...]
    load: Sequence[complex]  #: (bus,) [MVA] of the case


@dataclass(frozen=True)
class GridInputs:
    """The inputs at one time."""

    feeder_load: NDArray[np.complex128]  #: (feeder bus,) [MVA]
    load_change: NDArray[np.complex128]  #: (bus,) [MVA]
    fault: NDArray[np.complex128]  #: (bus,) [pu] admittance to earth
    generator: NDArray[np.bool_]  #: (generator,) may run
    branch: NDArray[np.bool_]  #: (branch,) is closed
    opening_voltage: NDArray[np.complex128] | None  #: (bus,) [pu]
    opening_generation: NDArray[np.complex128] | None  #: (generator,) [MVA]


class GridDynamics(Federate):
    """Base of the dynamics of a transmission grid: times, ports and inputs. A kind adds `solve`."""

    config: WindowConfig

    def __init__(self, config: WindowConfig, context: Context, labels: GridLabels, *, from_day: bool) -> None:
        """Check the window. `from_day`: the state at the opening comes from inputs. Raises ConfigError."""
        super().__init__(config, context)
        self._labels, self._from_day = labels, from_day
        named = config.feeder_buses
        if len(set(named)) < len(named) or not set(named) <= set(labels.bus):
            known = ", ".join(labels.bus[:5])
            raise ConfigError("feeder_buses", "must name buses of the case, each once.", f"Buses: {known}, ...")
        self._step = config.step or context.step
        for field, length in (("at", config.at), ("step", self._step)):
            if length % context.step:
                base = format_duration(context.step)
                raise ConfigError(field, f"must be a multiple of the base step {base}, got {format_duration(length)}.")
        self._positions = np.array([labels.bus.index(bus) for bus in named], dtype=np.int64)

    def ports(self) -> Sequence[Port]:
        """Labels are MATPOWER's, as in the kind transmission."""
        labels = self._labels
        bus, branch, generator = {"bus": labels.bus}, {"branch": labels.branch}, {"generator": labels.generator}
        fault = "admittance of a fault to earth"
        away = "deviation of the machines' frequency, of nominal; beyond 10 % none stays connected"
        ports = [
            Port("load_change", "MVA", "in", "load added at a bus at its first voltage", bus, 0.0, is_complex=True),
            Port("generator_available", "1", "in", "generator may run (1) or not (0)", generator, initial=1.0),
            Port("branch_available", "1", "in", "branch is closed (1) or tripped (0)", branch, initial=1.0),
            Port("fault_admittance", "pu", "in", fault, bus, 0.0, is_complex=True),
            Port("voltage", "pu", "out", "bus voltage, 0 where dead", bus, is_complex=True),
            Port("voltage_lowest", "pu", "out", "lowest bus voltage since the last time", bus),
            Port("voltage_highest", "pu", "out", "highest bus voltage since the last time", bus),
            Port("frequency", "Hz", "out", "frequency as measured at a bus", bus),
            Port("frequency_lowest", "Hz", "out", "lowest frequency at a bus since the last time", bus),
            Port("frequency_highest", "Hz", "out", "highest frequency at a bus since the last time", bus),
            Port("coi_frequency", "Hz", "out", "frequency of the machines, weighted with their inertia"),
            Port("frequency_deviation", "%", "out", away, limit=DEVIATION_LIMIT),
            Port("rocof", "Hz/s", "out", "rate of change of the machines' frequency"),
            Port("generation", "MVA", "out", "power of a generator", generator, is_complex=True),
            Port("generator_speed", "1", "out", "speed of a generator over nominal", generator),
            Port("generator_in_service", "1", "out", "generator runs (1) or is out (0)", generator),
            Port("load", "MVA", "out", "load that is served, total", is_complex=True),
            Port("power_mismatch", "MVA", "out", "largest mismatch of a bus", limit=MISMATCH_LIMIT),
        ]
        if self._from_day:
            ports += [
                Port("opening_voltage", "pu", "in", "bus voltage of the day", bus, is_complex=True),
                Port("opening_generation", "MVA", "in", "power of a generator in the day", generator, is_complex=True),
            ]
        if len(self._positions):
            at = {"feeder_bus": self.config.feeder_buses}
            first = tuple((labels.load[position] / 3,) * 3 for position in self._positions)
            each = {**at, "phase": PHASES}
            drawn = "power drawn by feeders at the end of the step"
            ports += [
                Port("feeder_load", "MVA", "in", "load of feeders at a bus", each, initial=first, is_complex=True),
                Port("feeder_power", "MVA", "out", drawn, at, is_complex=True),
            ]
        return ports

    def next_time(self, time: Time) -> Time | None:
        """Every step of the window, its end not included."""
        begin, length = self.config.at, self.config.duration
        following = begin if time < begin else begin + ((time - begin) // self._step + 1) * self._step
        return following if length is None or following < begin + length else None

    def read(self, inputs: Exchange) -> GridInputs:
        """The inputs as arrays of the kinds that models take."""
        values = inputs.values
        feeders = np.zeros(0, dtype=complex)
        if len(self._positions):
            feeders = np.asarray(values["feeder_load"], dtype=complex).sum(axis=1)
        return GridInputs(
            feeders,
            np.array(values["load_change"], dtype=complex),
            np.array(values["fault_admittance"], dtype=complex),
            np.asarray(values["generator_available"]).real > 0.5,
            np.asarray(values["branch_available"]).real > 0.5,
            np.array(values["opening_voltage"], dtype=complex) if self._from_day else None,
            np.array(values["opening_generation"], dtype=complex) if self._from_day else None,
        )
