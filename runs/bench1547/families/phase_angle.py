"""Voltage phase-angle change ride-through (1547.1-2020 5.5.5, Table 9; IEEE 1547-2018 6.5.2.6).

One phase by 60 degrees for 0.5 s; all phases by +20 and by -20 degrees for 60 s. Momentary cessation for up to 0.5 s
is accepted, and each jump is one: the return is another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from runs.bench1547.criteria import CEASED_P, MARGIN, Finding, time_accuracy
from runs.bench1547.device import Array
from runs.bench1547.sequence import Case, Plan, Sequence1547, remark
from runs.bench1547.stand import Trace
from runs.bench1547.wave import Wave
from solvers import ieee1547_tables as tables

START = 30.0  #: [s] of condition A
SHORT, LONG = 0.5, 60.0  #: [s] of conditions B to D, and of E and F
AFTER = 10.0  #: [s]
_BELOW = 0.1  #: [deg] the requirement for one phase of three is "less than" 60 degrees


def sequences(plan: Plan) -> list[Sequence1547]:
    """Each phase on its own, and all of them both ways."""
    individual = tables.PHASE_JUMP_INDIVIDUAL.value - _BELOW
    cases: list[tuple[str, tuple[float, float, float], float]] = []
    if plan.phases == 1:
        cases.append(("single phase", (tables.PHASE_JUMP_SINGLE_PHASE.value, 0.0, 0.0), SHORT))
    else:
        for phase, name in enumerate("abc"):
            angles = [0.0, 0.0, 0.0]
            angles[phase] = individual
            cases.append((f"phase {name}", (angles[0], angles[1], angles[2]), SHORT))
    together = tables.PHASE_JUMP_POSITIVE_SEQUENCE.value
    for sign in (1.0, -1.0):
        cases.append((f"all phases {sign * together:+g} deg", (sign * together,) * 3, LONG))
    return [_sequence(plan, label, angles, seconds) for label, angles, seconds in cases]


def _sequence(plan: Plan, label: str, angles: tuple[float, float, float], seconds: float) -> Sequence1547:
    wave = Wave().hold(START).to(angle=angles).hold(seconds).to(angle=0.0).hold(AFTER)
    settings = plan.settings(**plan.wide_trips())
    single = "deg" not in label
    row = tables.PHASE_JUMP_INDIVIDUAL if single else tables.PHASE_JUMP_POSITIVE_SEQUENCE
    return Sequence1547(
        name=f"phase_angle/{label.replace(' ', '_')}",
        title=f"{label}{f' by {max(angles):g} deg' if single else ''} for {seconds:g} s",
        clause="5.5.5",
        requirement="6.5.2.6",
        cases=[Case(label, settings, wave, _check(plan, START, START + seconds))],
        note=remark(row.citation),
    )


def _check(plan: Plan, start: float, back: float) -> Callable[[Trace], Iterator[Finding]]:
    def check(trace: Trace) -> Iterator[Finding]:
        before = float(trace.p[trace.at(start)])
        allowed = tables.PHASE_JUMP_CESSATION.value
        high = allowed + MARGIN * time_accuracy(allowed) + plan.dt
        for name, jump, end in (("jump", start, back), ("return", back, back + AFTER)):
            part = trace.within(jump, end)
            out = np.abs(trace.p[part]) <= CEASED_P
            yield Finding(
                f"longest cessation after the {name}",
                "s",
                _longest(out, trace.step[part]),
                high=high,
                start=jump,
                end=end,
                lead=True,
            )
        yield Finding(
            f"active power {AFTER:g} s after",
            "pu",
            float(trace.p[-1]),
            tables.RESTORE_CURRENT.value * before,
            start=back,
            end=back + AFTER,
        )

    return check


def _longest(out: NDArray[np.bool_], steps: Array) -> float:
    """The longest time [s] for which `out` holds without a break."""
    longest = current = 0.0
    for ceased, step in zip(out, steps, strict=True):
        current = current + float(step) if ceased else 0.0
        longest = max(longest, current)
    return longest
