"""Every boundary of every table, generated from the tables: just inside, just outside, and exactly at it.

"Just" is the smallest step of a float and the accuracy band of Table 3. One DER a case, all stepped together. What is
expected is read row by row from the tables here, without the model's own look-up.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest

from solvers.der_fleet import ELEMENTS, DerFleet, Mode, fleet_settings
from solvers.ieee1547_tables import (
    ABNORMAL_CATEGORIES,
    ACCURACY,
    RIDE_THROUGH,
    TRIP_SETTINGS,
    RideThroughRow,
    ride_through,
    trip_settings,
)

_MRA = {a.quantity: a.value for a in ACCURACY if a.state == "steady"}


@dataclass(frozen=True)
class Case:
    category: str
    voltage: float
    frequency: float


def _around(value: float, quantity: str) -> list[float]:
    band = _MRA[quantity]
    near = [math.nextafter(value, -math.inf), value, math.nextafter(value, math.inf)]
    return [value - band, *near, value + band]


def _cases(category: str, quantity: str) -> list[Case]:
    edges = {row.threshold for row in trip_settings(category, "2018") if row.quantity == quantity}
    edges |= {edge for row in ride_through(category, quantity) for edge in (row.low, row.high)}
    values = sorted({value for edge in edges if 0.0 < edge < math.inf for value in _around(edge, quantity)})
    if quantity == "voltage":
        return [Case(category, value, 60.0) for value in values]
    return [Case(category, 1.0, value) for value in values]


def _quantity(case: Case, quantity: str) -> float:
    return case.voltage if quantity == "voltage" else case.frequency


def _row_of(category: str, quantity: str, value: float) -> RideThroughRow:
    """The one row whose interval, with its own open or closed ends, holds `value`."""
    found = [
        row
        for row in RIDE_THROUGH
        if row.category == category
        and row.quantity == quantity
        and (row.low < value or (row.low_closed and row.low == value))
        and (value < row.high or (row.high_closed and row.high == value))
    ]
    assert len(found) == 1, (category, quantity, value, found)
    return found[0]


def _shall_trip(case: Case) -> tuple[float, str] | None:
    """Clearing time [s] and element that the trip tables ask for at a value that stays."""
    due = [
        (row.clearing, row.threshold if row.over else -row.threshold, row.element)
        for row in TRIP_SETTINGS
        if row.category == case.category
        and "2018" in row.citation.editions
        and (
            _quantity(case, row.quantity) > row.threshold if row.over else _quantity(case, row.quantity) < row.threshold
        )
    ]
    return (min(due)[0], min(due)[2]) if due else None


def _fleet(cases: list[Case], **values: object) -> DerFleet:
    settings = {"category": [case.category for case in cases], **values}
    return DerFleet(fleet_settings(len(cases), settings, edition="2018"))


def _run(fleet: DerFleet, cases: list[Case], dt: float, seconds: float, *, lead: int = 3):
    """Nominal for `lead` steps, then each case's own quantities; gives the last output and the modes in between."""
    n = len(cases)
    nominal, sixty, full = np.ones((n, 3)), np.full(n, 60.0), np.ones(n)
    voltage = np.repeat(np.array([[case.voltage] for case in cases]), 3, axis=1)
    frequency = np.array([case.frequency for case in cases])
    for _ in range(lead):
        fleet.step(dt, nominal, None, sixty, full)
    first = fleet.step(dt, voltage, None, frequency, full)
    last = first
    for _ in range(round(seconds / dt) - 1):
        last = fleet.step(dt, voltage, None, frequency, full)
    return first, last


@pytest.mark.parametrize("category", ABNORMAL_CATEGORIES)
@pytest.mark.parametrize(("quantity", "dt", "seconds"), [("voltage", 0.02, 25.0), ("frequency", 0.5, 305.0)])
def test_trips_or_not_by_which_element_and_when(category: str, quantity: str, dt: float, seconds: float) -> None:
    cases = _cases(category, quantity)
    _, last = _run(_fleet(cases), cases, dt, seconds)
    for index, case in enumerate(cases):
        expected = _shall_trip(case)
        if expected is None:
            assert not last.tripped[index], case
        else:
            assert last.tripped[index], case
            assert ELEMENTS[last.element[index]] == expected[1], case
            assert last.trip_time_s[index] - 3 * dt == pytest.approx(expected[0], abs=1e-9), case


@pytest.mark.parametrize("category", ABNORMAL_CATEGORIES)
def test_clearing_time_itself_trips_and_a_step_less_does_not(category: str) -> None:
    """The event ends one step before each element's clearing time, or at it."""
    for row in trip_settings(category, "2018"):
        dt = min(0.02, row.clearing / 8)
        beyond = row.threshold + (0.01 if row.over else -0.01)
        case = Case(category, *((beyond, 60.0) if row.quantity == "voltage" else (1.0, beyond)))
        if _shall_trip(case) != (row.clearing, row.element):
            continue
        dt = dt if row.clearing < 100 else 1.0
        steps = round(row.clearing / dt)
        for held, trips in ((steps - 1, False), (steps, True)):
            fleet = _fleet([case])
            _run(fleet, [case], dt, held * dt)
            _, after = _run(fleet, [Case(category, 1.0, 60.0)], dt, dt, lead=0)
            assert bool(after.tripped[0]) is trips, (row.element, held)


def test_every_trip_element_was_reached() -> None:
    for category in ABNORMAL_CATEGORIES:
        reached = {(_shall_trip(case) or (0, ""))[1] for q in ("voltage", "frequency") for case in _cases(category, q)}
        assert reached >= {row.element for row in trip_settings(category, "2018")}, category


@pytest.mark.parametrize("category", ABNORMAL_CATEGORIES)
@pytest.mark.parametrize("quantity", ["voltage", "frequency"])
def test_mode_at_every_boundary_is_the_row_that_owns_it(category: str, quantity: str) -> None:
    cases = _cases(category, quantity)
    first, _ = _run(_fleet(cases), cases, 0.01, 0.01)
    for index, case in enumerate(cases):
        row = _row_of(category, quantity, _quantity(case, quantity))
        asked = {"none": "unspecified"}.get(row.mode, row.mode)
        assert Mode(first.mode[index]).name.lower() == asked, case


@pytest.mark.parametrize("category", ABNORMAL_CATEGORIES)
def test_minimum_ride_through_time_of_every_row(category: str) -> None:
    """A DER that trips as soon as it may trips when its row's time, with its slope, is over, and not before."""
    dt = 0.02
    values = sorted(
        {
            value
            for row in ride_through(category, "voltage")
            if row.mode != "continuous"
            for low, high in [(row.low, min(row.high, 1.3))]
            for value in (low + 1e-6, 0.5 * (low + high), high - 1e-6)
        }
    )
    cases = [Case(category, value, 60.0) for value in values]
    _, last = _run(_fleet(cases, may_trip="at_once"), cases, dt, 25.0)
    for index, case in enumerate(cases):
        row = _row_of(category, "voltage", case.voltage)
        minimum = 0.0 if math.isnan(row.minimum) else row.minimum + row.slope * (case.voltage - row.low)
        shall = _shall_trip(case)
        expected = minimum if shall is None else min(minimum, shall[0])
        assert last.trip_time_s[index] - 3 * dt == pytest.approx(expected, abs=dt + 1e-9), case


def test_the_299_seconds_of_frequency() -> None:
    """Table 19: ridden through for 299 s and no more by a DER that trips as soon as it may."""
    for category in ABNORMAL_CATEGORIES:
        cases = [Case(category, 1.0, 61.5), Case(category, 1.0, 58.7), Case(category, 1.0, 60.5)]
        # The step in frequency itself exceeds the rate that must be ridden through, so it begins unseen.
        fleet = _fleet(cases, may_trip="at_once")
        _, last = _run(fleet, cases, 0.5, 310.0, lead=0)
        assert last.trip_time_s[:2] == pytest.approx(299.0, abs=0.5 + 1e-9)
        assert not last.tripped[2]


def test_rows_leave_no_gap_and_no_overlap() -> None:
    for category in ABNORMAL_CATEGORIES:
        for quantity in ("voltage", "frequency"):
            rows = ride_through(category, quantity)
            for upper, lower in pairwise(rows):
                assert upper.low == lower.high
                assert upper.low_closed is not lower.high_closed
