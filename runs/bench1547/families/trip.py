"""What voltage and frequency trip tests share (1547.1-2020 5.4.2, 5.4.3, 5.5.1, 5.5.2, A.3).

The set-point is approached, held, then crossed. Active and reactive power alone cannot tell a trip from momentary
cessation, so the clearing time is bracketed: after a pulse that ends before the earliest acceptable clearing time the
device must be back; after one that lasts until the latest it must stay out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from runs.bench1547.criteria import CEASED_P, MARGIN, Finding, ceased_after, energized, time_accuracy
from runs.bench1547.device import Settings
from runs.bench1547.sequence import REPEATS, Case
from runs.bench1547.stand import Trace
from runs.bench1547.wave import Wave

SETTLE = 1.0  #: [s] at nominal before anything happens
AFTER = 12.0  #: [s] watched after the return to nominal; enter service takes 300 s
_DELAY = 0.003  #: [s] each repeat begins so much later than the one before, off the device's own rhythm
RETURNED = 0.5  #: [pu] active power of a device that did not trip
EARLY_NOTE = (
    "the early limit tests that the range of adjustment is real; the standard itself demands no trip before the "
    "clearing time, only ride-through"
)


def trip_cases(
    label: str,
    settings: Settings,
    clearing: float,
    dt: float,
    signal: Callable[[Wave, float], Wave],
    *,
    approach: float,
    beyond: float,
    far_beyond: float,
    earliest: bool,
) -> Sequence[Case]:
    """Five repeats that must trip, one without crossing the set-point and, with `earliest`, a pulse that must not.

    `signal(wave, value)` sets the tested quantity; it is held at `approach`, then stepped to `beyond`; the last repeat
    goes to `far_beyond` and holds for 1.5 times the clearing time.
    """
    accuracy = time_accuracy(clearing)
    latest = clearing + MARGIN * accuracy + dt
    first = clearing - MARGIN * accuracy - dt
    hold = clearing + 2.0 * accuracy

    def wave(value: float, pulse: float, delay: float) -> tuple[Wave, float]:
        built = Wave().hold(SETTLE)
        signal(built, approach).hold(hold + delay)
        start = built.end
        for expected in (first, clearing):
            if 0.0 < expected < pulse:
                built.watch(expected)
        signal(built, value).hold(pulse)
        return built, start

    def home(built: Wave) -> Wave:
        return built.to(voltage=1.0, frequency=60.0).hold(AFTER)

    cases = []
    for repeat in range(REPEATS):
        last = repeat == REPEATS - 1
        pulse = max(1.5 * clearing, latest + dt) if last else latest + dt
        built, start = wave(far_beyond if last else beyond, pulse, _DELAY * repeat)
        must = _must_trip(start, start + pulse, first if earliest else 0.0, latest)
        cases.append(Case(f"{label}, repeat {repeat + 1}", settings, home(built), must))
    built, start = wave(approach, 1.5 * clearing, 0.0)
    stays = _must_stay(start, built.end)
    cases.append(Case(f"{label}, not crossed", settings, home(built), stays))
    if earliest and first > dt:
        built, start = wave(beyond, first, 0.0)
        cases.append(Case(f"{label}, pulse of {first:.3g} s", settings, home(built), _must_stay(start, start + first)))
    return cases


def _must_trip(start: float, end: float, first: float, latest: float) -> Callable[[Trace], Sequence[Finding]]:
    def check(trace: Trace) -> Sequence[Finding]:
        clearing = ceased_after(trace, start, end)
        # ceased early means momentary cessation, no power by droop, or an early trip, which the short pulse tells: all
        # that is known of the clearing time then is that it is no longer than the pulse that the device stays out after
        known = clearing >= first and bool(energized(trace)[trace.at(start)])
        back = trace.within(end, end + AFTER)
        stays_out = float(np.abs(trace.p[back]).max())
        return [
            Finding("active power before the step", "pu", float(trace.p[trace.at(SETTLE)]), RETURNED, start=SETTLE),
            Finding(
                "clearing time" if known else "clearing time (ceased before), at most",
                "s",
                clearing if known else min(end - start, latest),
                high=latest,
                start=start,
                end=start + latest,
                lead=True,
            ),
            Finding("active power after the return", "pu", stays_out, high=CEASED_P, start=end, end=end + AFTER),
        ]

    return check


def _must_stay(start: float, end: float) -> Callable[[Trace], Sequence[Finding]]:
    def check(trace: Trace) -> Sequence[Finding]:
        after = trace.within(end, end + AFTER)
        back = float(trace.p[after][-1])
        return [
            Finding(
                f"active power back after a pulse of {end - start:.3g} s",
                "pu",
                back,
                RETURNED,
                start=start,
                end=end + AFTER,
            )
        ]

    return check


def on_phases(value: float, chosen: tuple[int, ...]) -> ArrayLike:
    """Voltages [pu] of the three phases: `value` on the chosen, nominal on the others."""
    voltages = np.ones(3)
    voltages[list(chosen)] = value
    return voltages
