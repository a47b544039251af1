"""The pass criteria of the bench: accuracies, bands, and what is read from a trace.

The band is that of IEEE 1547.1-2020 4.2 as the public test tools apply it (UL1741SB, svp_1547.1): a quantity Y that
follows f(X) lies between the least and the greatest of f(X ± 1.5 accuracy of X) ± 1.5 accuracy of Y. The accuracies are
those of IEEE 1547-2018 Table 3 (4.4).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf

import numpy as np
from numpy.typing import NDArray

from runs.bench1547.device import Array
from runs.bench1547.stand import Trace
from runs.bench1547.wave import VOLTAGE
from solvers import ieee1547_tables as tables

MARGIN = 1.5  #: of the accuracy, to either side (1547.1 4.2)


def _accuracy(quantity: str, state: str) -> tables.Accuracy:
    return next(row for row in tables.ACCURACY if (row.quantity, row.state) == (quantity, state))


VOLTAGE_ACCURACY = _accuracy("voltage", "steady").value  #: [pu]
FREQUENCY_ACCURACY = _accuracy("frequency", "steady").value  #: [Hz]
POWER_ACCURACY = _accuracy("active_power", "steady").value  #: [pu], active and reactive alike

#: What counts as ceased (4.5: no active power; reactive power under 10 % below 500 kVA). 1 % is read as no power.
CEASED_P = 0.01
CEASED_Q = tables.CEASED_REACTIVE_POWER[0]


def time_accuracy(duration: float) -> float:
    """The accuracy [s] of a time of `duration` [s]: two cycles below 5 s, 1 % from there."""
    steady, transient = _accuracy("time", "steady"), _accuracy("time", "transient")
    return transient.value if duration < steady.valid[0] else steady.value * duration


@dataclass(frozen=True)
class Finding:
    """One measured value against its limits."""

    quantity: str  #: what was measured, for example "clearing time"
    unit: str
    measured: float  #: inf where it never happened
    low: float = -inf
    high: float = inf
    start: float = 0.0  #: [s] where in the trace it was measured
    end: float = 0.0
    drawn: str = ""  #: "p" or "q" where the limits belong on that plot
    lead: bool = False  #: the sequence's own quantity, shown when all is well

    @property
    def margin(self) -> float:
        """The distance to the nearer limit, negative outside [unit]."""
        return min(self.measured - self.low, self.high - self.measured)

    @property
    def passed(self) -> bool:
        return bool(self.margin >= -1e-9)

    @property
    def relative(self) -> float:
        """The margin on the scale of the limits, to compare findings of different units."""
        scale = self.high - self.low if np.isfinite(self.high - self.low) else self._finite_limit()
        return self.margin / scale if scale > 0 else self.margin

    def _finite_limit(self) -> float:
        return max((abs(limit) for limit in (self.low, self.high) if np.isfinite(limit)), default=1.0)


def band(curve: Callable[[float], float], x: float, x_accuracy: float, y_accuracy: float) -> tuple[float, float]:
    """Lowest and highest Y that 1547.1 4.2 accepts at `x`; `curve` is monotonic within the accuracy of X."""
    ends = curve(x - MARGIN * x_accuracy), curve(x), curve(x + MARGIN * x_accuracy)
    return min(ends) - MARGIN * y_accuracy, max(ends) + MARGIN * y_accuracy


def energized(trace: Trace) -> NDArray[np.bool_]:
    """Where the device exchanges power, shape (steps,) of bool."""
    on: NDArray[np.bool_] = (np.abs(trace.p) > CEASED_P) | (np.abs(trace.q) > CEASED_Q)
    return on


def ceased_after(trace: Trace, start: float, end: float) -> float:
    """How long [s] after `start` the device stopped for good, seen until `end`; inf where it never did."""
    part = trace.within(start, end)
    on = np.flatnonzero(energized(trace)[part])
    times = trace.time[part]
    if len(on) == 0:
        return float(times[0] - start)
    if on[-1] + 1 >= len(times):
        return inf
    return float(times[on[-1] + 1] - start)


def apparent_current(trace: Trace) -> Array:
    """Total apparent current [pu], shape (steps,): apparent power over the mean voltage magnitude.

    For balanced angles the mean of the magnitudes is the positive-sequence voltage.
    """
    voltage = trace.inputs[:, VOLTAGE].mean(axis=1)
    current: Array = np.hypot(trace.p, trace.q) / np.maximum(voltage, 0.01)
    return current


def active_current(trace: Trace) -> Array:
    """Active current [pu], shape (steps,)."""
    current: Array = trace.p / np.maximum(trace.inputs[:, VOLTAGE].mean(axis=1), 0.01)
    return current


def response(
    trace: Trace,
    y: Array,
    *,
    name: str,
    start: float,
    end: float,
    expected: tuple[float, float],
    response_time: float | None,
    two_sided: bool = True,
    drawn: str = "",
) -> list[Finding]:
    """The findings after a step at `start` that is held until `end` [s].

    The final value (mean of the last quarter) must lie in `expected`; the value one `response_time` after the step must
    have gone 90 % of the way from the initial to the final value, within the band of 1547.1 4.2 with time as X. With
    `two_sided` false a faster response passes. A `response_time` of None asks for the final value only.
    """
    last = trace.within(end - 0.25 * (end - start), end)
    final = float(y[last].mean())
    findings = [Finding(f"{name}, final", "pu", final, *expected, trace.time[last][0], end, drawn=drawn, lead=True)]
    if response_time is None:
        return findings
    initial = float(y[trace.at(start)])

    def way(time: float) -> float:
        left: float = 0.1 ** (max(time, 0.0) / response_time)
        return final + (initial - final) * left

    low, high = band(way, response_time, time_accuracy(response_time), POWER_ACCURACY)
    if not two_sided:
        reach = MARGIN * POWER_ACCURACY
        low, high = (low, max(final, high) + reach) if final >= initial else (min(final, low) - reach, high)
    then = start + response_time
    measured = float(np.interp(then, trace.time, y))
    findings.append(Finding(f"{name}, one response time on", "pu", measured, low, high, then, then, drawn=drawn))
    return findings
