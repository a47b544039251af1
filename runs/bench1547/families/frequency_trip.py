"""Over- and underfrequency trip (1547.1-2020 5.5.1, 5.5.2): every element at the ends of its ranges.

Four repeats step to twice the accuracy beyond the set-point, the fifth to 101 % (99 %) of it, held for 1.5 times the
clearing time (A.3). Droop is as flat as its ranges allow; where it still takes all active power away, the trip shows
after the return to nominal frequency.
"""

from __future__ import annotations

from runs.bench1547.criteria import FREQUENCY_ACCURACY
from runs.bench1547.families.trip import EARLY_NOTE, trip_cases
from runs.bench1547.sequence import Plan, Sequence1547, remark, threshold_name
from runs.bench1547.wave import Wave
from solvers import ieee1547_tables as tables

STEP = 2.0 * FREQUENCY_ACCURACY  #: [Hz] to either side of the set-point


def sequences(plan: Plan) -> list[Sequence1547]:
    """One sequence for each element, magnitude and time."""
    return [
        _sequence(plan, row, threshold, clearing)
        for row in plan.trips()
        if row.quantity == "frequency"
        for threshold in sorted({row.threshold_range[0], row.threshold, row.threshold_range[1]})
        for clearing in sorted({row.clearing_range[0], row.clearing, row.clearing_range[1]})
    ]


def _sequence(plan: Plan, row: tables.TripSetting, threshold: float, clearing: float) -> Sequence1547:
    sign = 1.0 if row.over else -1.0
    beyond = threshold + sign * STEP
    earliest = _required(plan, beyond) or clearing > row.clearing_range[0]
    settings = plan.settings(
        **{
            **plan.wide_trips(),
            **plan.flat_droop(),
            threshold_name(row): threshold,
            f"{row.element}_trip_s": clearing,
        }
    )

    def signal(wave: Wave, value: float) -> Wave:
        return wave.to(frequency=value)

    cases = trip_cases(
        f"{threshold:g} Hz",
        settings,
        clearing,
        plan.dt,
        signal,
        approach=threshold - sign * STEP,
        beyond=beyond,
        far_beyond=threshold * (1.0 + sign * 0.01),
        earliest=earliest,
    )
    notes = [remark(row.citation), EARLY_NOTE if earliest else ""]
    return Sequence1547(
        name=f"frequency_trip/{row.element}/{threshold:g}Hz/{clearing:g}s",
        title=f"{row.element} at {threshold:g} Hz, {clearing:g} s",
        clause="5.5.1" if row.over else "5.5.2",
        requirement=f"{row.citation.clause}, {row.citation.table}",
        cases=cases,
        note="; ".join(note for note in notes if note),
    )


def _required(plan: Plan, frequency: float) -> bool:
    """Whether any ride-through is required at `frequency` [Hz]."""
    return any(
        row.low < frequency < row.high and row.minimum > 0.0 for row in tables.ride_through(plan.category, "frequency")
    )
