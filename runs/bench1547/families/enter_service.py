"""Enter service (1547.1-2020 5.6, Table 11): six cases of criteria, delay, ramp and randomised delay.

Each: no export with permit service off; none while voltage or frequency is outside the criteria; the delay starts again
after an excursion; the ramp is kept; permit service off ends it within 2 s, and on does not start it within 5 s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from runs.bench1547.criteria import CEASED_P, MARGIN, POWER_ACCURACY, Finding, ceased_after, time_accuracy
from runs.bench1547.sequence import REPEATS, Case, Plan, Sequence1547, remark
from runs.bench1547.stand import Trace
from runs.bench1547.wave import Wave
from solvers import ieee1547_tables as tables

FRACTION = tables.ENTER_SERVICE_FRACTION
EXPORT = 0.002  #: [pu] of active power from which the device is seen to export
WAIT = 60.0  #: [s] at least, to see that nothing is exported (steps e and h)
EXCURSION = 0.1  #: [s] of step i
PATIENCE = 60.0  #: [s] after delay and ramp, for the device to reach its rated power
OFF, AGAIN = 8.0, 5.0  #: [s] of steps k and l


@dataclass(frozen=True)
class Trial:
    """A row of Table 11."""

    number: int
    what: str
    delay: float  #: [s]
    ramp: float  #: [s] nan: the randomised delay is used
    random: float  #: [s]
    high: tuple[float, float]  #: criteria: highest voltage [pu] and frequency [Hz]
    low: tuple[float, float]  #: criteria: lowest voltage [pu] and frequency [Hz]
    initial: tuple[float, float]  #: [pu], [Hz] outside the criteria
    final: tuple[float, float]  #: [pu], [Hz] inside the criteria
    note: str = ""


#: As transcribed by UL1741SB.
TRIALS = (
    Trial(1, "default", 300, 300, 0, (1.05, 60.1), (0.917, 59.5), (0.897, 60.0), (0.937, 60.0)),
    Trial(2, "default, randomised", 0, 0, 300, (1.05, 60.1), (0.917, 59.5), (1.0, 59.48), (1.0, 59.52)),
    Trial(3, "maxima", 600, 1000, 0, (1.06, 61.0), (0.95, 59.9), (1.08, 60.0), (1.04, 60.0)),
    Trial(4, "maxima, randomised", 0, 0, 1000, (1.06, 61.0), (0.95, 59.9), (1.0, 61.02), (1.0, 60.98)),
    Trial(5, "minima", 0, 1, 0, (1.05, 60.1), (0.88, 59.0), (0.86, 60.0), (0.90, 60.0)),
    Trial(
        6,
        "minima, randomised",
        0,
        0,
        1,
        (1.05, 60.1),
        (0.88, 59.0),
        (1.0, 58.98),
        (1.0, 59.02),
        "the only open transcription prints 59.92 Hz as the final frequency; 59.02 Hz is used, as in the other cases",
    ),
)


def sequences(plan: Plan) -> list[Sequence1547]:
    """The six cases."""
    return [_sequence(plan, trial) for trial in TRIALS]


def _sequence(plan: Plan, trial: Trial) -> Sequence1547:
    repeats = REPEATS if trial.random else 1
    cases = [_case(plan, trial, f"start {number + 1}") for number in range(repeats)]
    notes = [trial.note]
    if not trial.random:
        notes.append(remark(tables.ENTER_SERVICE_STEP.citation))
    return Sequence1547(
        name=f"enter_service/case{trial.number}",
        title=f"case {trial.number} ({trial.what}): delay {trial.delay:g} s, "
        + (f"randomised {trial.random:g} s" if trial.random else f"ramp {trial.ramp:g} s"),
        clause="5.6, Table 11",
        requirement="4.10, Table 4; 4.6.1",
        cases=cases,
        note="; ".join(note for note in notes if note),
        compare=_scattered if trial.random else _alone,
    )


def _case(plan: Plan, trial: Trial, label: str) -> Case:
    settings = plan.settings(
        **{
            **plan.wide_trips(),
            **plan.flat_droop(),
            "ES_permit_service": False,
            "ES_delay_s": float(trial.delay),
            "ES_ramp_s": float(trial.ramp) or plan.default("ES_ramp_s"),
            "ES_randomised": trial.random > 0,
            "ES_random_delay_s": float(trial.random) or plan.default("ES_random_delay_s"),
            "ES_V_high_pu": trial.high[0],
            "ES_f_high_Hz": trial.high[1],
            "ES_V_low_pu": trial.low[0],
            "ES_f_low_Hz": trial.low[1],
        }
    )
    wave = Wave().hold(WAIT)  # steps c to e
    inside = {"voltage": trial.final[0], "frequency": trial.final[1]}
    outside = {"voltage": trial.initial[0], "frequency": trial.initial[1]}
    wave.to(**outside).hold(0.2).change({"ES_permit_service": True})  # f, g
    wave.hold(max(WAIT, 2.0 * trial.delay))  # h
    if trial.delay:
        wave.to(**inside).hold(0.25 * trial.delay).to(**outside).hold(EXCURSION)  # i
    start = wave.end
    wave.to(**inside)
    for expected in (FRACTION * trial.delay, trial.delay, FRACTION * (trial.delay + trial.ramp)):
        wave.watch(expected)
    wave.hold(trial.delay + trial.ramp + trial.random + PATIENCE)  # j
    off = wave.end
    wave.change({"ES_permit_service": False}).hold(OFF)  # k
    on = wave.end
    if trial.delay:
        wave.change({"ES_permit_service": True}).hold(AGAIN)  # l
    return Case(label, settings, wave, _check(plan, trial, start, off, on), in_service=False)


def _check(plan: Plan, trial: Trial, start: float, off: float, on: float) -> Callable[[Trace], Iterator[Finding]]:
    def check(trace: Trace) -> Iterator[Finding]:
        if not trace.changed:
            return
        early = trace.within(0.0, start)
        yield Finding("active power before the criteria hold", "pu", _most(trace, early), high=CEASED_P, end=start)
        entering = trace.within(start, off)
        exporting = np.flatnonzero(trace.p[entering] > EXPORT)
        first = float(trace.time[entering][exporting[0]] - start) if len(exporting) else np.inf
        longest = trial.random * (1.0 + MARGIN * 0.01) + time_accuracy(0.0) * MARGIN if trial.random else PATIENCE
        # the step in which export begins counts from its start: before it nothing was seen
        begin = first - float(trace.step[entering][exporting[0]]) if len(exporting) else first
        yield Finding(
            "time to first export",
            "s",
            max(begin, 0.0) if begin < FRACTION * trial.delay else first,
            FRACTION * trial.delay,
            trial.delay * (2.0 - FRACTION) + longest,
            start,
            off,
            lead=True,
        )
        if not trial.random:
            yield from _ramp(trace, trial, start, entering)
        yield Finding("active power in the end", "pu", float(trace.p[trace.at(off)]), 0.9, start=start, end=off)
        gone = ceased_after(trace, off, on)
        allowed = tables.PERMIT_SERVICE_RESPONSE
        yield Finding(
            "time to cease after permit service off",
            "s",
            gone,
            high=allowed + MARGIN * time_accuracy(allowed) + plan.dt,
            start=off,
            end=on,
        )
        if trial.delay:
            part = trace.within(on, on + AGAIN)
            yield Finding("active power 5 s after permit service on", "pu", _most(trace, part), high=CEASED_P, start=on)

    return check


def _ramp(trace: Trace, trial: Trial, start: float, entering: slice) -> Iterator[Finding]:
    since = trace.time[entering] - start - FRACTION * trial.delay
    power = trace.p[entering]
    ceiling = np.clip(since / (FRACTION * trial.ramp), 0.0, 1.0) + tables.ENTER_SERVICE_STEP.value
    over = power - ceiling
    worst = int(over.argmax())
    yield Finding(
        "active power over the ramp, at most a step of 20 %",
        "pu",
        float(over[worst]),
        high=MARGIN * POWER_ACCURACY,
        start=float(trace.time[entering][worst]),
        end=float(trace.time[entering][worst]),
    )
    steps = np.diff(power, prepend=0.0) - trace.step[entering] / trial.ramp
    yield Finding(
        "largest sudden rise of active power",
        "pu",
        float(steps.max()),
        high=tables.ENTER_SERVICE_STEP.value + MARGIN * POWER_ACCURACY,
        start=start,
    )
    rated = np.flatnonzero(power >= 1.0 - 0.2 * POWER_ACCURACY)
    when = float(trace.time[entering][rated[0]] - start) if len(rated) else np.inf
    yield Finding(
        "time to rated power",
        "s",
        when,
        FRACTION * (trial.delay + trial.ramp) - 0.2 * POWER_ACCURACY * trial.ramp,
        trial.delay + trial.ramp + PATIENCE,
        start,
    )


def _most(trace: Trace, part: slice) -> float:
    return float(trace.p[part].max())


def _alone(traces: Sequence[Trace]) -> Iterable[Finding]:
    return ()


def _scattered(traces: Sequence[Trace]) -> Iterator[Finding]:
    """Randomised delays differ from start to start."""
    if not all(trace.changed for trace in traces):
        return
    last = [trace.time[np.flatnonzero(trace.p > CEASED_P)[:1]] for trace in traces]
    firsts = [float(first[0]) for first in last if len(first)]
    yield Finding("spread of the randomised delays", "s", max(firsts, default=0.0) - min(firsts, default=0.0), 1e-3)
