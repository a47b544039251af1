"""Rate-of-change-of-frequency ride-through (1547.1-2020 5.5.3, 5.5.4; IEEE 1547-2018 6.5.2.5, Table 21).

The source ramps to and fro within the ride-through frequencies, at the category's rate, twice in each direction.
"""

from __future__ import annotations

from collections.abc import Iterator

from runs.bench1547.criteria import CEASED_P, Finding
from runs.bench1547.families.frequency_ride_through import droop_power, rocof
from runs.bench1547.sequence import Case, Plan, Sequence1547, remark
from runs.bench1547.stand import Trace
from runs.bench1547.wave import Wave
from solvers import ieee1547_tables as tables

HIGHEST, LOWEST = 61.7, 57.1  #: [Hz] inside Table 19's mandatory operation
AFTER = 20.0  #: [s]


def sequences(plan: Plan) -> list[Sequence1547]:
    """One sequence at the category's rate."""
    rate = rocof(plan)
    wave = Wave().hold(5.0)
    start = wave.end
    frequency = 60.0
    for target in (HIGHEST, LOWEST, HIGHEST, LOWEST, 60.0):
        wave.to(frequency=target, over=abs(target - frequency) / rate)
        frequency = target
    end = wave.end
    wave.hold(AFTER)

    def check(trace: Trace) -> Iterator[Finding]:
        part = trace.within(start, end)
        least = 0.8 * droop_power(plan, HIGHEST, 1.0)
        yield Finding(
            "least active power while the frequency moves",
            "pu",
            float(trace.p[part].min()),
            max(least, CEASED_P),
            start=start,
            end=end,
            drawn="p",
            lead=True,
        )
        yield Finding("active power 20 s after", "pu", float(trace.p[-1]), 0.9, start=end, end=end + AFTER)

    row = next(row for row in tables.ROCOF if row.category == plan.category)
    return [
        Sequence1547(
            name="rocof/category",
            title=f"{rate:g} Hz/s between {LOWEST:g} and {HIGHEST:g} Hz",
            clause="5.5.3, 5.5.4",
            requirement="6.5.2.5, Table 21",
            cases=[Case(f"{rate:g} Hz/s", plan.settings(**{**plan.wide_trips(), **plan.flat_droop()}), wave, check)],
            note=remark(row.citation, tables.ROCOF_WINDOW.citation),
        )
    ]
