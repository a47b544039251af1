"""Every boundary of every table, just inside and just outside: what is demanded, and what is said of who did not obey.

The cases are generated from `solvers/ieee1547_tables.py`; no number of the standard is typed here.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from comply_cases.simulate import failures, verdict

from runs.comply import accuracy
from runs.comply.requirement import Requirement, requirement
from runs.comply.settings import Held
from runs.comply.trace import Trace
from solvers import ieee1547_tables as tables
from solvers.ieee1547_tables import RideThroughRow, TripSetting

ONSET = 1.0
SMALLEST = 1e-6  #: [pu] or [Hz], the smallest step of a reading
EDITIONS = tables.BOTH_EDITIONS

TRIPS = [
    pytest.param(e, row, id=f"{row.category}-{row.element}-{e}")
    for e in EDITIONS
    for row in tables.TRIP_SETTINGS
    if e in row.citation.editions
]
ROWS = [pytest.param(r, id=f"{r.category}-{r.quantity}-{r.low:g}-{r.high:g}") for r in tables.RIDE_THROUGH]


def excursion(quantity: str, value: float, lasting: float, dt: float, after: float = 5.0) -> Trace:
    """A step of voltage or frequency to `value` for `lasting` [s]."""
    time = np.round(np.arange(0.0, ONSET + lasting + after, dt), 9)
    nominal = 1.0 if quantity == "voltage" else 60.0
    values = np.where((time >= ONSET - 1e-9) & (time < ONSET + lasting - 1e-9), value, nominal)
    steady = np.full(time.size, 60.0 if quantity == "voltage" else 1.0)
    voltage, frequency = (values, steady) if quantity == "voltage" else (steady, values)
    return Trace("case", time, voltage[None], frequency)


def demanded(quantity: str, value: float, lasting: float, category: str, edition: str, dt: float = 0.01) -> Requirement:
    held = Held.model_validate({"category": category, "edition": edition})
    return requirement(excursion(quantity, value, lasting, dt), held)


def first_due(category: str, edition: str, quantity: str, value: float, lasting: float) -> tuple[float, str] | None:
    """By the tables alone: the first element whose clearing time runs out."""
    due = [
        (row.clearing, row.element)
        for row in tables.trip_settings(category, edition)
        if row.quantity == quantity
        and (value > row.threshold if row.over else value < row.threshold)
        and lasting >= row.clearing - 1e-9
    ]
    return min(due) if due else None


def step_of(seconds: float) -> float:
    return 0.01 if seconds < 30.0 else 0.1


@pytest.mark.parametrize(("edition", "row"), TRIPS)
@pytest.mark.parametrize("offset", [-SMALLEST, 0.0, SMALLEST])
@pytest.mark.parametrize("spare", [-1, 0, 1])
def test_shall_trip(edition: str, row: TripSetting, offset: float, spare: int) -> None:
    dt = step_of(row.clearing)
    lasting, value = row.clearing + spare * dt, row.threshold + offset
    found = demanded(row.quantity, value, lasting, row.category, edition, dt)
    due = first_due(row.category, edition, row.quantity, value, lasting)
    assert found.element == (due[1] if due else None)
    if due:
        assert found.shall_trip_by_s == pytest.approx(ONSET + due[0])
    beyond = offset > 0 if row.over else offset < 0
    assert (found.element is not None and found.shall_trip_by_s == pytest.approx(ONSET + row.clearing)) == (
        beyond and spare >= 0
    )


def inside(row: RideThroughRow) -> list[tuple[float, bool]]:
    """Values at and next to the row's ends: (value, whether it belongs to the row)."""
    cases = []
    if row.low > 0.0:
        cases += [(row.low - SMALLEST, False), (row.low, row.low_closed), (row.low + SMALLEST, True)]
    if math.isfinite(row.high):
        cases += [(row.high - SMALLEST, True), (row.high, row.high_closed), (row.high + SMALLEST, False)]
    return cases


@pytest.mark.parametrize("row", ROWS)
def test_region_and_its_ends(row: RideThroughRow) -> None:
    for value, belongs in inside(row):
        found = demanded(row.quantity, value, 0.1, row.category, "2018")
        mode = next((m for start, end, m in found.required_modes if start <= ONSET + 0.05 < end), None)
        here = next(
            r
            for r in tables.ride_through(row.category, row.quantity)
            if (value > r.low or (r.low_closed and value == r.low))
            and (value < r.high or (r.high_closed and value == r.high))
        )
        assert (here is row) == belongs
        assert mode == here.mode, value


@pytest.mark.parametrize("row", ROWS)
def test_minimum_ride_through_time(row: RideThroughRow) -> None:
    ends = [value for value, belongs in inside(row) if belongs]
    for value in ends:
        minimum = 0.0 if math.isnan(row.minimum) else row.minimum + row.slope * (value - row.low)
        long = 400.0 if math.isinf(minimum) else minimum + 2.0
        dt = step_of(long)
        found = demanded(row.quantity, value, long, row.category, "2018", dt)
        due = first_due(row.category, "2018", row.quantity, value, long)
        if math.isinf(minimum):
            assert found.no_trip_before_s is None
            continue
        assert found.no_trip_before_s == pytest.approx(ONSET + min(minimum, due[0] if due else math.inf), abs=1e-6)
        if minimum > 2 * dt and not (due and due[0] <= minimum):
            short = demanded(row.quantity, value, math.floor(minimum / dt - 1e-6) * dt - dt, row.category, "2018", dt)
            assert short.no_trip_before_s is None


def with_output(trace: Trace, out: tuple[float, float] | None) -> Trace:
    """The trace of a DER that gives 0.8 pu but for `out` [s]."""
    power = np.full(trace.time.size, 0.8)
    if out is not None:
        power[(trace.time >= out[0] - 1e-9) & (trace.time < out[1])] = 0.0
    return Trace(trace.name, trace.time, trace.voltage, trace.frequency, power, np.zeros(power.size))


def band(row: TripSetting) -> float:
    return accuracy.voltage(row.clearing) if row.quantity == "voltage" else accuracy.frequency(row.clearing)


@pytest.mark.parametrize(("edition", "row"), TRIPS)
def test_a_der_that_never_trips_fails_outside_the_accuracy_band_only(edition: str, row: TripSetting) -> None:
    dt = step_of(row.clearing)
    for part, result in ((0.5, "indeterminate"), (1.5, "fail")):
        value = row.threshold + (1 if row.over else -1) * part * band(row)
        trace = with_output(excursion(row.quantity, value, row.clearing * 1.5 + 1.0, dt), None)
        found = verdict(trace, category=row.category, edition=edition, values={"FD_enabled": False})
        own = next(f for f in found.findings if f.clause.endswith(row.element))
        assert own.result == result, own
        assert own.fault == "did not trip though it had to"


@pytest.mark.parametrize(("edition", "row"), TRIPS)
@pytest.mark.parametrize(("late", "result"), [(0.0, "pass"), (0.5, "indeterminate"), (3.0, "fail")])
def test_clearing_time_to_its_accuracy(edition: str, row: TripSetting, late: float, result: str) -> None:
    """`late`: how many times the accuracy of time the trip comes after the clearing time."""
    dt = 0.01 if row.clearing < 30.0 else 0.1
    delay = max(late * accuracy.time(row.clearing), 2 * dt if late else 0.0)
    value = row.threshold + (1 if row.over else -1) * 3.0 * band(row)
    trace = excursion(row.quantity, value, row.clearing * 1.5 + 1.0, dt)
    moment = math.floor((ONSET + row.clearing + delay) / dt + 1e-6) * dt
    found = verdict(with_output(trace, (moment, 1e9)), category=row.category, edition=edition)
    own = next(f for f in found.findings if f.clause.endswith(row.element))
    assert own.result == result, own
    assert own.margin_s == pytest.approx(-(moment - ONSET - row.clearing), abs=1e-6)


MANDATORY = [p for p in ROWS if p.values[0].mode == "mandatory"]


@pytest.mark.parametrize("row", MANDATORY)
def test_a_trip_where_ride_through_is_required(row: RideThroughRow) -> None:
    value = (row.low + row.high) / 2.0
    minimum = row.minimum + row.slope * (value - row.low)
    dt = step_of(minimum)
    trace = excursion(row.quantity, value, minimum * 0.9, dt)
    found = verdict(with_output(trace, (ONSET + minimum * 0.5, 1e9)), category=row.category)
    assert "tripped though ride-through was required" in "".join(failures(found).values())
    # Just after the minimum time, and before the shall-trip element that follows it.
    late = excursion(row.quantity, value, minimum + 0.8, dt)
    moment = ONSET + minimum + 5 * dt
    found = verdict(with_output(late, (moment, 1e9)), category=row.category, values={"FD_enabled": False})
    assert found.result == "pass", failures(found)
    if row.quantity == "voltage":  # 299 s are within the accuracy of the 300 s after which it shall trip
        assert any(f.result == "permitted" for f in found.findings)


def test_every_table_row_is_in_a_case() -> None:
    assert {p.values[1] for p in TRIPS} == set(tables.TRIP_SETTINGS)
    assert {p.values[0] for p in ROWS} == set(tables.RIDE_THROUGH)
