"""The boundary of an event window: hands each feeder its voltage and frequency, and checks the powers on both sides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from cosim.contract import Array, Context, Exchange, Federate, Port, Stock, Time
from cosim.event_window import WindowTimes
from cosim.settings import Settings
from cosim.units import quantity, written

Complexes = NDArray[np.complex128]
PHASES = ("A", "B", "C")
STANDARD_IRRADIANCE = 1000.0  #: [W/m2] at which a PV module has its rating, IEC 61215
HOUR = 3600e9  #: [ns]


class EventWindow(Federate):
    """Stands between the transmission grid and the feeders of an event window.

    In the window a feeder's head has the voltage that the dynamics give its bus, and the frequency that the scenario
    chose; from the day's first step after it, and before it, the voltage of the day's power flow, turned so that no
    angle jumps when the window closes, and nominal frequency. Imposed sags, jumps and traces act in the window.

    The dynamics hold a feeder as the admittance that it had a step before, and say what it draws so (grid_power). What
    it then draws at that voltage comes a step later (feeder_load). The difference is the mismatch: it is large for a
    step at a fault. Its mean over the window, as a share of what the feeders drew, is judged; the energy that follows
    from it is recorded.
    """

    class Config(Settings):
        """Filled in by the wiring from the scenario's `event_window`."""

        times: WindowTimes = WindowTimes(
            at=written("0 s"), duration=written("1 min"), step=written("1 min"), day_step=written("1 min")
        )
        """When it steps."""
        buses: tuple[str, ...] = ()
        """The buses where feeders hang; without a transmission grid the feeders' names."""
        day: bool = True
        """Whether there is a power flow of the day."""
        dynamics: bool = True
        """Whether there are dynamics of the grid in the window."""
        sun: bool = False
        """Whether the sun decides what sources of DER can give."""
        mean_mismatch: Annotated[float, quantity("1"), Field(gt=0, le=1)] = 0.02
        """Largest mean over the window of the mismatch at the boundary, of the feeders' mean apparent power [1]."""
        nominal_frequency: float = Field(default=60.0, gt=0)
        """Nominal frequency [Hz]."""

    config: EventWindow.Config

    def __init__(self, config: EventWindow.Config, context: Context) -> None:
        super().__init__(config, context)
        places = len(config.buses)
        self._turn: Complexes = np.ones(places, dtype=complex)  #: of the day's voltages
        self._head: Complexes = np.ones(places, dtype=complex)  #: [pu] given last, without what is imposed
        self._given: tuple[Time, Complexes] | None = None  #: the last time in the window, grid_power then [MVA]
        self._follows = False  #: the voltages given last are those of the window
        self._mismatch = np.zeros(places)  #: [MVA ns] integral of the mismatch
        self._apparent = np.zeros(places)  #: [MVA ns] integral of the apparent power that feeders drew
        self._elapsed = 0  #: [ns] accounted for
        self._energy = np.zeros(2)  #: [MWh] as the dynamics have it, as the feeders have it

    def ports(self) -> Sequence[Port]:
        """Places are labelled by their buses; mismatch and energies are those up to the step before."""
        config = self.config
        bus = {"bus": config.buses}
        ports = [
            Port("voltage_factor", "1", "in", "what an imposed sag leaves of a voltage", bus, initial=1.0),
            Port("angle_change", "deg", "in", "imposed change of a voltage's angle", bus, initial=0.0),
            Port("frequency_change", "Hz", "in", "imposed change of frequency", bus, initial=0.0),
            Port("open", "1", "out", "the window is open (1) or not (0)"),
            Port("head_voltage", "pu", "out", "voltage that feeders have at their head", bus, is_complex=True),
            Port("head_frequency", "Hz", "out", "frequency that feeders have", bus),
        ]
        if config.day:
            ports.append(Port("day_voltage", "pu", "in", "bus voltage of the day", bus, initial=1.0, is_complex=True))
        if config.sun:
            ports += [
                Port("ghi", "W/m2", "in", "global horizontal irradiance"),
                Port("sun", "pu", "out", "what the sun lets sources of DER give, of their rating"),
            ]
        if config.dynamics:
            each = {**bus, "phase": PHASES}
            what = "mean mismatch of the boundary up to now, of the feeders' mean apparent power"
            ports += [
                Port("voltage", "pu", "in", "bus voltage in the window", bus, initial=1.0, is_complex=True),
                Port("grid_frequency", "Hz", "in", "frequency in the window", bus, initial=config.nominal_frequency),
                Port("grid_power", "MVA", "in", "what feeders draw in the dynamics", bus, 0.0, is_complex=True),
                Port("feeder_load", "MVA", "in", "what feeders drew", each, initial=0.0, is_complex=True),
                Port("mismatch", "MVA", "out", "mismatch of feeders and dynamics a step before", bus),
                Port("mean_mismatch", "%", "out", what, limit=100.0 * config.mean_mismatch),
                Port("grid_energy", "MWh", "out", "energy drawn by feeders in the window, as in the dynamics"),
                Port("feeder_energy", "MWh", "out", "energy drawn by feeders in the window, as they have it"),
            ]
        return ports

    def stocks(self) -> Sequence[Stock]:
        """The two energies count up what the boundary's two sides had; they are held against each other."""
        if not self.config.dynamics:
            return ()
        why = "it counts what feeders drew within the window; `mean_mismatch` holds the two counts together"
        return tuple(Stock(name, least=None, unbalanced=why) for name in ("grid_energy", "feeder_energy"))

    def next_time(self, time: Time) -> Time | None:
        """Each step of the window and its end, the day's steps outside."""
        return self.config.times.next_time(time)

    def opening(self, time: Time, inputs: Exchange) -> Exchange | None:
        """What feeders are told at the start, and what the sun gives: with the day's voltages as they are before it."""
        return self.solve(time, inputs)

    def solve(self, time: Time, inputs: Exchange) -> Exchange:
        """Give voltages and frequencies at `time`; account for the step that ends there."""
        config, values = self.config, inputs.values
        inside = config.times.holds(time)
        outputs: dict[str, Array] = {"open": np.asarray(float(inside))}
        frequency = np.full(len(config.buses), config.nominal_frequency)
        if config.dynamics:
            outputs |= self._account(time, np.asarray(values["feeder_load"], dtype=complex).sum(axis=1))
            if inside:
                self._given = time, np.array(values["grid_power"], dtype=complex)
        # at a close between two steps of the day its voltage is from before the window, what tripped still in service
        follows = inside or (self._follows and time % config.times.day_step != 0)
        if follows and config.dynamics:
            head = np.array(values["voltage"], dtype=complex)
            if inside:
                frequency = np.asarray(values["grid_frequency"]).real
        else:
            day = np.array(values["day_voltage"], dtype=complex) if config.day else np.ones(len(config.buses), complex)
            if self._follows and config.dynamics:
                self._turn = _unit(self._head) / _unit(day)
            head = day * self._turn
        self._follows, self._head = follows, head
        if inside:
            angle = np.radians(np.asarray(values["angle_change"]).real)
            head = head * np.asarray(values["voltage_factor"]).real * np.exp(1j * angle)
            frequency = frequency + np.asarray(values["frequency_change"]).real
        outputs["head_voltage"], outputs["head_frequency"] = head, frequency
        if config.sun:
            share = float(np.real(values["ghi"])) / STANDARD_IRRADIANCE
            outputs["sun"] = np.asarray(min(max(share, 0.0), 1.0))
        return Exchange(outputs)

    def _account(self, time: Time, drawn: Complexes) -> dict[str, Array]:
        """Mismatch and energies with what feeders drew (bus,) [MVA] at the last time in the window."""
        mismatch = np.zeros(len(self.config.buses))
        if self._given is not None:
            before, power = self._given
            length = time - before
            mismatch = np.abs(power - drawn)
            self._mismatch += mismatch * length
            self._apparent += np.abs(drawn) * length
            self._elapsed += length
            self._energy += np.array([power.real.sum(), drawn.real.sum()]) * length / HOUR
            self._given = None
        return {
            "mismatch": mismatch,
            "mean_mismatch": np.asarray(100.0 * self._mean_mismatch()),
            "grid_energy": np.asarray(self._energy[0]),
            "feeder_energy": np.asarray(self._energy[1]),
        }

    def _mean_mismatch(self) -> float:
        """Of the worst bus: the mismatch up to now, as its mean over the whole window, over the mean apparent power."""
        if not self._apparent.any():
            return 0.0
        mean = self._mismatch / self.config.times.duration
        share = np.divide(mean * self._elapsed, self._apparent, out=np.zeros_like(mean), where=self._apparent > 0.0)
        return float(share.max())


def _unit(phasor: Complexes) -> Complexes:
    """Of the same angle and length 1; 1 where it is dead."""
    size = np.abs(phasor)
    return np.where(size > 0.0, phasor / np.where(size > 0.0, size, 1.0), 1.0 + 0.0j)
