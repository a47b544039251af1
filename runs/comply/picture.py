"""What the report draws of one DER: its trace thinned out, and its disturbances in the planes of value and time."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from runs.comply.operation import Operation
from runs.comply.settings import Element
from runs.comply.spans import spans
from runs.comply.trace import Array
from runs.comply.verdict import Result, Verdict

_POINTS = 1500  #: of one curve


@dataclass(frozen=True)
class Curve:
    """A disturbance in a plane: how long the quantity was at a value or beyond it."""

    duration: list[float]  #: [s]
    value: list[float]  #: [pu] or [Hz]
    ends: list[tuple[float, float]]  #: ([s] after its onset, value) at which the output ended


@dataclass(frozen=True)
class Picture:
    """One DER."""

    der: str
    result: Result
    kind: str  #: its make and what took its output away, in words; a few of each kind are drawn
    depth: float  #: [pu] how far the voltage went from nominal
    category: str
    make: str  #: what it was made as; "": not known
    elements: tuple[Element, ...]  #: the shall-trip elements as set
    close: float | None  #: [s] the end of the window, which begins at 0; None: there is none
    time: list[float]  #: [s]
    voltages: list[list[float]]  #: [pu], one a phase
    frequency: list[float]  #: [Hz]
    outputs: dict[str, list[float]]  #: name -> [pu]
    spans: list[tuple[float, float, str]]  #: required modes
    low: list[Curve] = field(default_factory=list)
    high: list[Curve] = field(default_factory=list)
    under: list[Curve] = field(default_factory=list)
    over: list[Curve] = field(default_factory=list)


def picture(verdict: Verdict, op: Operation) -> Picture:
    """What to draw of a judged DER."""
    from runs.comply.requirement import required_modes

    trace, path = op.path.trace, op.path
    kept = _thinned(op)
    outputs = {"P": trace.active, "Q": trace.reactive, "I": trace.current}
    return Picture(
        der=verdict.der,
        result=verdict.result,
        kind=kind_of(verdict),
        depth=depth_of(op),
        category=verdict.category,
        make=verdict.make,
        elements=path.held.elements,
        close=trace.close,
        time=_list(trace.time, kept),
        voltages=[_list(row, kept) for row in trace.voltage],
        frequency=_list(trace.frequency, kept),
        outputs={name: _list(values, kept) for name, values in outputs.items() if values is not None},
        spans=required_modes(path),
        low=_curves(op, path.lowest < 0.88, path.lowest, -1.0),
        high=_curves(op, path.highest > 1.10, path.highest, 1.0),
        under=_curves(op, path.frequency < 58.8, path.frequency, -1.0),
        over=_curves(op, path.frequency > 61.2, path.frequency, 1.0),
    )


def kind_of(verdict: Verdict) -> str:
    """Of which kind a DER is: its make and what took its output away."""
    causes = dict.fromkeys(outage["cause"] for outage in verdict.outages)
    return ", ".join([*([verdict.make] if verdict.make else []), *causes])


def depth_of(op: Operation) -> float:
    """How far the voltage went from nominal [pu]."""
    return max(1.0 - float(op.path.lowest.min()), float(op.path.highest.max()) - 1.0)


def _list(values: Array, kept: NDArray[np.int64]) -> list[float]:
    return np.round(values[kept], 5).tolist()  # type: ignore[no-any-return]


def _thinned(op: Operation) -> NDArray[np.int64]:
    """Samples to draw: some evenly spread, and those around every change."""
    trace = op.path.trace
    size = trace.time.size
    if size <= _POINTS:
        return np.arange(size)
    change = np.zeros(size - 1)
    for values in (*trace.voltage, trace.frequency / 60.0, trace.active, trace.reactive, trace.current):
        if values is not None:
            change += np.abs(np.diff(values))
    strong = np.argsort(change)[-_POINTS // 3 :]
    strong = strong[change[strong] > 1e-4]
    even = np.linspace(0, size - 1, _POINTS // 2).round().astype(int)
    return np.unique(np.clip(np.concatenate([even, strong, strong + 1]), 0, size - 1))


def _curves(op: Operation, mask: NDArray[np.bool_], values: Array, side: float) -> list[Curve]:
    """A curve for each of the longest disturbances."""
    trace = op.path.trace
    stretches = sorted(spans(mask), key=lambda s: s[0] - s[1])[:20]
    found = []
    for first, stop in stretches:
        duration = np.diff(
            trace.time[first : stop + 1] if stop < trace.time.size else np.append(trace.time[first:], trace.end)
        )
        depth = values[first:stop]
        order = np.argsort(side * -depth, kind="stable")  # from the deepest on
        lasted = np.cumsum(duration[order])
        pick = np.unique(np.linspace(0, lasted.size - 1, min(200, lasted.size)).round().astype(int))
        ends = [
            (max(outage.start - float(trace.time[first]), 1e-3), round(float(values[max(outage.first - 1, first)]), 5))
            for outage in op.outages
            if first <= outage.first <= stop
        ]
        found.append(Curve(np.round(lasted[pick], 6).tolist(), np.round(depth[order][pick], 5).tolist(), ends))
    return found
