"""The fleet as the bench sees it: every boundary of the trip and ride-through tables, just inside and just outside.

Cases are generated from `solvers/ieee1547_tables.py`. "Just" is by the smallest step (1e-9 pu or Hz) and by
the measurement accuracy of Table 3. A trip element acts beyond its threshold, not at it; a ride-through row owns its
closed ends.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from runs.bench1547.criteria import FREQUENCY_ACCURACY, VOLTAGE_ACCURACY
from runs.bench1547.fleet_device import FleetBank
from runs.bench1547.sequence import Plan
from runs.bench1547.stand import grid
from solvers import ieee1547_tables as tables

DT = 0.01
SMALLEST = 1e-9
SETTLE = 0.5  # [s] at nominal, before and after


@dataclass(frozen=True)
class Point:
    """One DER held at one value of voltage or frequency, on all phases or one."""

    what: str
    settings: dict
    voltage: tuple[float, float, float]
    frequency: float
    expected: bool


def play(points, pulse, after):
    """P [pu] of the members over a pulse of `pulse` [s]: (times since its start, (steps, members)); then the return."""
    bank = FleetBank(len(points))
    bank.restart([point.settings for point in points], in_service=np.ones(len(points), bool))
    nominal = np.ones((len(points), 3)), np.zeros((len(points), 3)), np.full(len(points), 60.0), np.ones(len(points))
    held = np.array([p.voltage for p in points]), nominal[1], np.array([p.frequency for p in points]), nominal[3]
    for _ in range(round(SETTLE / DT)):
        before, _ = bank.step(DT, *nominal)
    assert (before > 0.99).all()
    ends = grid(np.array([0.0, pulse - 4 * DT, pulse]), DT)
    powers = np.array([bank.step(step, *held)[0] for step in np.diff(ends, prepend=0.0)])
    for _ in range(round(after / DT)):
        back, _ = bank.step(DT, *nominal)
    return ends, powers, back


def trip_points(plan, row, clearing):
    """The element alone, at its default threshold, just inside, at, and just outside."""
    parked = {**plan.wide_trips(), **plan.flat_droop()}
    name = f"{row.element}_trip_V_pu" if row.quantity == "voltage" else f"{row.element}_trip_Hz"
    parked |= {name: row.threshold, f"{row.element}_trip_s": clearing}
    settings = plan.settings(**parked)
    sign = 1.0 if row.over else -1.0
    accuracy = VOLTAGE_ACCURACY if row.quantity == "voltage" else FREQUENCY_ACCURACY
    for offset in (-accuracy, -SMALLEST, 0.0, SMALLEST, accuracy):
        value = row.threshold + sign * offset
        for phases in ((0, 1, 2), (0,), (1,), (2,)) if row.quantity == "voltage" else ((),):
            voltage = tuple(value if k in phases else 1.0 for k in range(3))
            frequency = 60.0 if row.quantity == "voltage" else value
            yield Point(f"{row.element} {offset:+g} {phases}", settings, voltage, frequency, offset > 0.0)


def trip_cases():
    for category in tables.ABNORMAL_CATEGORIES:
        for row in Plan(category=category).trips():
            for clearing in sorted({row.clearing_range[0], row.clearing}):
                yield pytest.param(category, row, clearing, id=f"{category}-{row.element}-{clearing:g}s")


@pytest.mark.parametrize(("category", "row", "clearing"), list(trip_cases()))
def test_trips_beyond_the_threshold_in_the_clearing_time_and_not_before(category, row, clearing):
    points = list(trip_points(Plan(category=category), row, clearing))
    # a pulse one step short of the clearing time trips nobody, one step longer trips all that are beyond
    _, _, short = play(points, clearing - DT, 15.0)
    _, _, long = play(points, clearing + DT, 15.0)
    assert [p.what for p, back in zip(points, short, strict=True) if back < 0.99] == []
    assert [p.what for p, back in zip(points, long, strict=True) if (back == 0.0) != p.expected] == []


def ceases(category, voltage):
    """Whether the table's row at `voltage` [pu] stops the output."""
    for row in tables.ride_through(category, "voltage"):
        above = voltage > row.low or (row.low_closed and voltage == row.low)
        below = voltage < row.high or (row.high_closed and voltage == row.high)
        if above and below:
            return row.mode in ("momentary_cessation", "cease_to_energize"), row
    raise AssertionError(f"no row of category {category} holds {voltage}")


@pytest.mark.parametrize("category", tables.ABNORMAL_CATEGORIES)
def test_every_voltage_boundary_ceases_or_operates_as_its_row_says(category):
    plan = Plan(category=category)
    settings = plan.settings(**plan.wide_trips())
    edges = sorted({row.low for row in tables.ride_through(category, "voltage") if row.low > 0.0})
    points = []
    for edge in edges:
        for offset in (-VOLTAGE_ACCURACY, -SMALLEST, 0.0, SMALLEST, VOLTAGE_ACCURACY):
            stops, row = ceases(category, edge + offset)
            voltage = (edge + offset,) * 3
            points.append(Point(f"{edge:g} {offset:+g} {row.mode}", settings, voltage, 60.0, stops))
    ends, powers, _ = play(points, 0.15, 1.0)
    then = powers[np.searchsorted(ends, 0.12)]  # after 0.083 s; the fleet's own time to cease is 0.10 s at most
    assert [p.what for p, power in zip(points, then, strict=True) if (power == 0.0) != p.expected] == []


@pytest.mark.parametrize("category", tables.ABNORMAL_CATEGORIES)
def test_nothing_trips_inside_the_continuous_region_at_its_very_ends(category):
    plan = Plan(category=category)
    row = next(r for r in tables.ride_through(category, "voltage") if r.mode == "continuous")
    slow = next(r for r in tables.ride_through(category, "frequency") if r.mode == "continuous")
    settings = plan.settings(**plan.flat_droop())
    points = [Point(f"{v} pu", settings, (v,) * 3, 60.0, False) for v in (row.low, row.high)]
    points += [Point(f"{f} Hz", settings, (1.0,) * 3, f, False) for f in (slow.low, slow.high)]
    _, powers, back = play(points, 400.0, 5.0)
    assert [p.what for p, power in zip(points, powers[-1], strict=True) if power < 0.8] == []
    assert (back > 0.99).all()
