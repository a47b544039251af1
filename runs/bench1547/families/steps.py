"""Tests that walk through a list of steps and look at each response: volt-var, volt-watt, droop and their like."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from runs.bench1547.criteria import POWER_ACCURACY, Finding, band, response
from runs.bench1547.device import Settings
from runs.bench1547.sequence import Case
from runs.bench1547.stand import Trace
from runs.bench1547.wave import AVAILABLE, FREQUENCY, VOLTAGE, Wave

X = Literal["voltage", "frequency", "available", "p"]
HOLD = 4.0  #: response times that each step is held (1547.1 5.14, 5.15)


@dataclass(frozen=True)
class Step:
    """One step of the source or of a setting, and the curve that the response must end on."""

    label: str
    curve: Callable[[float], float]  #: expected Y [pu] at X
    response_time: float | None  #: [s] None: only the final value is judged
    to: Settings = field(default_factory=dict)  #: `voltage`, `frequency` or `available`, the new value
    change: Settings = field(default_factory=dict)  #: settings changed instead
    over: float = 0.0  #: [s] a ramp
    hold: float | None = None  #: [s] by default HOLD response times
    one_sided: Literal["", "high"] = ""  #: "high": too little is no fault


def walk(
    label: str,
    settings: Settings,
    steps: Sequence[Step],
    *,
    wave: Wave,
    settle: float,
    y: Literal["p", "q"],
    x: X,
    x_accuracy: float,
    two_sided: bool = True,
) -> Case:
    """A case that takes `steps` one after the other from `wave`, after `settle` [s].

    `x_accuracy` is that of `x` (0: the curve is a constant of the step); `two_sided` false lets a faster response pass.
    """
    wave.hold(settle)
    spans: list[tuple[Step, float, float]] = []
    for step in steps:
        if step.change:
            wave.change(step.change)
        numbers = {name: float(value) for name, value in step.to.items()}
        wave.to(
            voltage=numbers.get("voltage"),
            frequency=numbers.get("frequency"),
            available=numbers.get("available"),
            over=step.over,
        )
        start = wave.end
        if step.response_time:
            wave.watch(step.response_time)
        wave.hold(step.hold if step.hold is not None else HOLD * (step.response_time or 1.0))
        spans.append((step, start, wave.end))

    def check(trace: Trace) -> Iterator[Finding]:
        if not trace.changed:
            return
        values = trace.p if y == "p" else trace.q
        for step, start, end in spans:
            at = _value(trace, x, start, end)
            low, high = band(step.curve, at, x_accuracy, POWER_ACCURACY)
            yield from response(
                trace,
                values,
                name=f"{'active' if y == 'p' else 'reactive'} power in step {step.label}",
                start=start,
                end=end,
                expected=(-np.inf if step.one_sided else low, high),
                response_time=step.response_time,
                two_sided=two_sided,
                drawn=y,
            )

    return Case(label, settings, wave, check)


def _value(trace: Trace, x: X, start: float, end: float) -> float:
    """X in steady state, over the last quarter of the step."""
    last = trace.within(end - 0.25 * (end - start), end)
    if x == "p":
        return float(trace.p[last].mean())
    if x == "voltage":
        return float(trace.inputs[last, VOLTAGE].mean())
    return float(trace.inputs[last, FREQUENCY if x == "frequency" else AVAILABLE].mean())


def piecewise(points: Sequence[tuple[float, float]]) -> Callable[[float], float]:
    """The line through `points` (x, y), flat outside; two points at one x give no step in between."""
    xs, ys = zip(*points, strict=True)

    def curve(x: float) -> float:
        return float(np.interp(x, xs, ys))

    return curve
