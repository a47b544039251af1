"""Over- and undervoltage trip (1547.1-2020 5.4.2, 5.4.3): every element, each phase and all, at the ends of its ranges.

Set-points: minimum, default and maximum of magnitude and of time. The source steps from twice the accuracy of voltage
on the safe side of the set-point to twice the accuracy beyond it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from runs.bench1547.criteria import VOLTAGE_ACCURACY
from runs.bench1547.families.trip import EARLY_NOTE, on_phases, trip_cases
from runs.bench1547.sequence import Case, Plan, Sequence1547, remark, threshold_name
from runs.bench1547.wave import Wave
from solvers import ieee1547_tables as tables

STEP = 2.0 * VOLTAGE_ACCURACY  #: [pu] to either side of the set-point


def sequences(plan: Plan) -> list[Sequence1547]:
    """One sequence for each element, magnitude and time."""
    return [
        _sequence(plan, row, threshold, clearing)
        for row in plan.trips()
        if row.quantity == "voltage"
        for threshold in _thresholds(row)
        for clearing in sorted({row.clearing_range[0], row.clearing, row.clearing_range[1]})
    ]


def _thresholds(row: tables.TripSetting) -> Sequence[float]:
    """Magnitudes [pu] to test; the least is one that a step can still cross at 0 pu."""
    lowest = max(row.threshold_range[0], STEP)
    return sorted({lowest, row.threshold, row.threshold_range[1]})


def _sequence(plan: Plan, row: tables.TripSetting, threshold: float, clearing: float) -> Sequence1547:
    rival = next(r for r in plan.trips() if r.element == "OV2") if row.element == "OV1" else None
    beyond = threshold + STEP if row.over else threshold - STEP
    notes = [remark(row.citation)]
    effective = clearing
    if rival is not None and beyond > rival.threshold and rival.clearing < clearing:
        effective = rival.clearing
        notes.append(f"a step over {threshold:g} pu meets OV2 ({rival.threshold:g} pu, {rival.clearing:g} s, fixed)")
    if not row.over and threshold > row.threshold_range[0] and threshold == STEP:
        notes.append(f"{threshold:g} pu is the least magnitude that a step of twice the accuracy can cross")
    earliest = _required(plan, beyond) > 0.0 or effective > row.clearing_range[0]
    if earliest:
        notes.append(EARLY_NOTE)
    return Sequence1547(
        name=f"voltage_trip/{row.element}/{threshold:g}pu/{clearing:g}s",
        title=f"{row.element} at {threshold:g} pu, {clearing:g} s",
        clause="5.4.2" if row.over else "5.4.3",
        requirement=f"{row.citation.clause}, {row.citation.table}",
        cases=list(_cases(plan, row, threshold, clearing, effective, beyond, earliest)),
        note="; ".join(note for note in notes if note),
    )


def _required(plan: Plan, voltage: float) -> float:
    """The least ride-through time [s] at `voltage` [pu]; 0 where none is required."""
    for row in tables.ride_through(plan.category, "voltage"):
        above = voltage > row.low or (row.low_closed and voltage == row.low)
        if above and (voltage < row.high or (row.high_closed and voltage == row.high)):
            minimum = row.minimum + row.slope * (voltage - row.low)
            return minimum if minimum == minimum else 0.0
    return 0.0


def _cases(
    plan: Plan,
    row: tables.TripSetting,
    threshold: float,
    clearing: float,
    effective: float,
    beyond: float,
    earliest: bool,
) -> Iterator[Case]:
    settings = plan.settings(
        **{
            **plan.wide_trips(),
            **plan.flat_droop(),
            threshold_name(row): threshold,
            f"{row.element}_trip_s": clearing,
        }
    )
    for label, phases in plan.phase_sets():

        def signal(wave: Wave, value: float, phases: tuple[int, ...] = phases) -> Wave:
            return wave.to(voltage=on_phases(value, phases))

        yield from trip_cases(
            label,
            settings,
            effective,
            plan.dt,
            signal,
            approach=threshold - STEP if row.over else threshold + STEP,
            beyond=beyond,
            far_beyond=beyond,
            earliest=earliest,
        )
