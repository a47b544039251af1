"""Low- and high-frequency ride-through (1547.1-2020 5.5.3, 5.5.4): 299 s, three times, at 90 to 100 % of power.

The three excursions lie 310 s apart, so that no ten minutes hold more than Table 19's cumulative 299 s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from runs.bench1547.criteria import FREQUENCY_ACCURACY, POWER_ACCURACY, Finding, band
from runs.bench1547.sequence import Case, Plan, Sequence1547
from runs.bench1547.stand import Trace
from runs.bench1547.wave import Wave
from solvers import ieee1547_tables as tables

DWELL, PAUSE, TIMES = 299.0, 310.0, 3
SETTLE = 5.0  #: [s]
RESPONSES = 3.0  #: droop settles within so many response times


def rocof(plan: Plan) -> float:
    """The rate of change of frequency [Hz/s] of the category (Table 21)."""
    return next(row.value for row in tables.ROCOF if row.category == plan.category)


def sequences(plan: Plan) -> list[Sequence1547]:
    """One excursion to each end of Table 19's mandatory operation."""
    return [_sequence(plan, "low", 57.0, "5.5.3"), _sequence(plan, "high", 61.8, "5.5.4")]


def droop_power(plan: Plan, frequency: float, power: float) -> float:
    """Active power [pu] with the flattest droop at `frequency` [Hz], from `power` [pu] before; 1 pu is available."""
    flat = plan.flat_droop()
    over = frequency - 60.0 - float(flat["FD_dbOF_Hz"])
    under = 60.0 - float(flat["FD_dbUF_Hz"]) - frequency
    moved = (
        power - max(over, 0.0) / (60.0 * float(flat["FD_kOF_pu"])) + max(under, 0.0) / (60.0 * float(flat["FD_kUF_pu"]))
    )
    return min(max(moved, 0.0), 1.0)


def _sequence(plan: Plan, side: str, frequency: float, clause: str) -> Sequence1547:
    wave = Wave().hold(SETTLE)
    ramp = abs(frequency - 60.0) / rocof(plan)
    spans = []
    for time in range(TIMES):
        wave.to(frequency=frequency, over=ramp)
        spans.append((wave.end, wave.end + DWELL))
        wave.hold(DWELL).to(frequency=60.0, over=ramp).hold(SETTLE if time == TIMES - 1 else PAUSE)
    settings = plan.settings(**{**plan.wide_trips(), **plan.flat_droop()})
    return Sequence1547(
        name=f"frequency_ride_through/{side}",
        title=f"{frequency:g} Hz for {DWELL:g} s, {TIMES} times",
        clause=clause,
        requirement="6.5.2, Tables 19 to 21",
        cases=[Case(f"{frequency:g} Hz", settings, wave, _check(plan, frequency, spans))],
        note=(
            "the excursions lie 310 s apart, since Table 19 counts 299 s in any ten minutes; 299 s are held as 1547.1 "
            "prints, the ramps come on top"
        ),
    )


def _check(plan: Plan, frequency: float, spans: list[tuple[float, float]]) -> Callable[[Trace], Iterator[Finding]]:
    def check(trace: Trace) -> Iterator[Finding]:
        low, high = band(lambda f: droop_power(plan, f, 1.0), frequency, FREQUENCY_ACCURACY, POWER_ACCURACY)
        settle = RESPONSES * plan.default("FD_response_s")
        for number, (start, end) in enumerate(spans, 1):
            part = trace.within(start + settle, end)
            for what, value in (("least", float(trace.p[part].min())), ("most", float(trace.p[part].max()))):
                yield Finding(
                    f"{what} active power in excursion {number}",
                    "pu",
                    value,
                    low,
                    high,
                    start + settle,
                    end,
                    drawn="p",
                    lead=True,
                )
        yield Finding(
            "active power at the end", "pu", float(trace.p[-1]), 0.8, start=trace.time[-1], end=trace.time[-1]
        )

    return check
