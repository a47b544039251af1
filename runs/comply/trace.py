"""A trace measured or simulated at a DER's reference point, and the faults that make it unfit for a verdict."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cosim.errors import Fault

Array = NDArray[np.float64]

_GAP = 1.5  #: a step this much longer than those around it is a gap
_ROUNDING = 1e-9  #: [s] below which two times are one


@dataclass(frozen=True)
class Trace:
    """One DER's trace; every array has shape (samples,), those per phase (phases, samples)."""

    name: str
    time: Array  #: [s], the file's own
    voltage: Array  #: [pu] of nominal, (phases, samples); one row: positive sequence, or a single-phase DER
    frequency: Array  #: [Hz]
    active: Array | None = None  #: [pu] of the nameplate's apparent power, positive when injecting
    reactive: Array | None = None  #: [pu], positive when injecting
    current: Array | None = None  #: [pu] of rated current
    angle: Array | None = None  #: [deg], (phases, samples)
    available: Array | None = None  #: [pu] active power that the source could give
    limit: Array | None = None  #: [pu] active-power limit in force (4.6.2)
    permit: Array | None = None  #: 1 while service is permitted, else 0 (4.6.1)
    tripped: Array | None = None  #: above 0 while the DER says that it is out of service; tells when it tripped
    sampling: float | None = None  #: [s] between samples where it matters most; None: as nearly everywhere

    @cached_property
    def lowest(self) -> Array:
        """The least of the phases' voltages [pu]."""
        return np.asarray(self.voltage[0] if len(self.voltage) == 1 else self.voltage.min(axis=0))

    @cached_property
    def highest(self) -> Array:
        """The greatest of the phases' voltages [pu]."""
        return np.asarray(self.voltage[0] if len(self.voltage) == 1 else self.voltage.max(axis=0))

    @cached_property
    def step(self) -> float:
        """The step between samples [s]: the one given, else the median one."""
        return float(np.median(np.diff(self.time[:100_001]))) if self.sampling is None else self.sampling

    @property
    def close(self) -> float | None:
        """When the stretch that is sampled most finely ends [s]; None: no such stretch was named."""
        if self.sampling is None:
            return None
        fine = np.flatnonzero(np.diff(self.time) <= 1.5 * self.sampling)
        return float(self.time[fine[-1] + 1]) if fine.size else None

    @property
    def end(self) -> float:
        """The time up to which the last sample counts [s]."""
        return float(self.time[-1] + (self.time[-1] - self.time[-2]))

    @property
    def has_output(self) -> bool:
        """Whether the DER's own quantities are in the trace."""
        return self.current is not None or self.active is not None


class TraceSource(Protocol):
    """Traces of many DER, read in pieces, since an hour at 10 ms for 1,000 of them does not fit into memory."""

    names: tuple[str, ...]
    zero: str  #: what the traces' times count from; "": the file's own

    def traces(self, share: tuple[int, int]) -> Iterator[Trace]:
        """Every `share[1]`-th piece of the traces, from piece `share[0]` on; faults raise ScenarioError."""


def time_faults(time: Array, place: str, *, may_jump: bool = False) -> list[Fault]:
    """What is wrong with the times [s] of a trace; with `may_jump` a longer step is no gap."""
    if time.size < 3:
        return [Fault(place, f"has {time.size} samples.", "A verdict needs at least 3; give a longer trace.")]
    if not np.isfinite(time).all():
        row = int(np.flatnonzero(~np.isfinite(time))[0])
        return [
            Fault(place, f"time_s is not a number in sample {row + 1}.", "Fill in or cut out what was not recorded.")
        ]
    steps = np.diff(time)
    if steps.min() <= 0.0:
        row = int(np.flatnonzero(steps <= 0.0)[0])
        return [
            Fault(
                place,
                f"time does not increase: {time[row]:g} s is followed by {time[row + 1]:g} s (sample {row + 2}).",
                "Sort the samples by time and drop repeated ones.",
            )
        ]
    gap = None if may_jump else _first_gap(steps)
    if gap is not None:
        return [
            Fault(
                place,
                f"a gap of {steps[gap]:g} s after {time[gap]:g} s, where the samples around it are "
                f"{_usual(steps, gap):g} s apart.",
                "What happened in it cannot be judged; give the trace without gaps, or cut it there.",
            )
        ]
    return []


def _first_gap(steps: Array) -> int | None:
    """The first step that is longer than the steps on both sides of it; a lasting change of step is no gap."""
    if steps.max() <= _GAP * steps.min() + _ROUNDING:
        return None
    # A step may be as long as the longer of the usual steps before and after it.
    padded = np.concatenate([np.full(3, steps[:4].min()), steps, np.full(3, steps[-4:].min())])
    windows = np.lib.stride_tricks.sliding_window_view(padded, 3)
    usual = np.median(windows, axis=1)
    before, after = usual[: steps.size], usual[4 : 4 + steps.size]
    found = np.flatnonzero(steps > _GAP * np.maximum(before, after) + _ROUNDING)
    return int(found[0]) if found.size else None


def _usual(steps: Array, index: int) -> float:
    near = np.delete(steps, index)[max(0, index - 3) : index + 3]
    return float(np.median(near))


def value_faults(trace: Trace, place: str) -> list[Fault]:
    """What is wrong with a trace's values: gaps in them, units, a missing phase, another nominal frequency."""
    # What is wrong with one phase is mostly wrong with all: it is said once.
    faults = [
        fault for row, name in enumerate(_phase_names(trace)) for fault in _voltage(trace.voltage[row], name, place)
    ]
    faults = faults[:1] + _frequency(trace.frequency, place)
    for name, values in (("p_pu", trace.active), ("q_pu", trace.reactive), ("i_pu", trace.current)):
        if values is not None:
            faults += _power(values, name, place)
    others = {
        "available_pu": trace.available,
        "p_limit_pu": trace.limit,
        "permit_service": trace.permit,
        "tripped": trace.tripped,
    }
    for name, values in others.items():
        if values is not None:
            faults += _finite(values, name, place)
    if trace.angle is not None:
        for row, values in enumerate(trace.angle):
            faults += _finite(values, f"angle of phase {'abc'[row]}", place)
    return faults


def _phase_names(trace: Trace) -> list[str]:
    return ["v_pu"] if len(trace.voltage) == 1 else [f"v{phase}_pu" for phase in "abc"]


def _finite(values: Array, name: str, place: str) -> list[Fault]:
    if np.isfinite(np.sum(values)):  # one pass; a sum of finite values of such size cannot overflow
        return []
    bad = np.flatnonzero(~np.isfinite(values))
    return [
        Fault(
            place,
            f"{name} is not a number in {bad.size} of {values.size} samples, first in sample {bad[0] + 1}.",
            "Fill in or cut out what was not recorded; missing samples are not guessed.",
        )
    ]


def _voltage(values: Array, name: str, place: str) -> list[Fault]:
    faults = _finite(values, name, place)
    if faults:
        return faults
    top = float(values.max())
    if values.min() < 0.0:
        return [Fault(place, f"{name} is negative.", "Give RMS magnitudes, not instantaneous values.")]
    if top == 0.0:
        return [Fault(place, f"{name} is 0 in every sample.", "The phase is missing; give all phases of the DER.")]
    typical = float(np.median(values[:: max(1, values.size // 10_000)]))
    if typical > 2.0:
        guess = "percent" if 50.0 <= typical <= 125.0 else "volts"
        return [
            Fault(
                place,
                f"{name} is about {typical:g}, which looks like {guess}.",
                "Divide by the nominal voltage: per unit is wanted, 1.0 at nominal.",
            )
        ]
    if top > 3.0:
        return [Fault(place, f"{name} reaches {top:g} pu.", "Correct the unit or cut out the false reading.")]
    return []


def _frequency(values: Array, place: str) -> list[Fault]:
    faults = _finite(values, "f_hz", place)
    if faults:
        return faults
    typical = float(np.median(values[:: max(1, values.size // 10_000)]))
    if 47.0 <= typical <= 52.5:
        return [
            Fault(
                place,
                f"f_hz is about {typical:g}: data of a 50 Hz system.",
                "The tables of IEEE 1547 are for 60 Hz; judge 60 Hz data.",
            )
        ]
    if not 40.0 <= float(values.min()) <= float(values.max()) <= 80.0:
        return [
            Fault(
                place,
                f"f_hz lies between {values.min():g} and {values.max():g}.",
                "Give the frequency in Hz, about 60, without false readings.",
            )
        ]
    return []


def _power(values: Array, name: str, place: str) -> list[Fault]:
    faults = _finite(values, name, place)
    if faults:
        return faults
    top = float(max(values.max(), -values.min()))
    if top > (10.0 if name == "i_pu" else 2.0):
        return [
            Fault(
                place,
                f"{name} reaches {top:g}, which looks like W, kW, A or percent.",
                "Divide by the nameplate rating: per unit is wanted, 1.0 at rating.",
            )
        ]
    return []
