"""Units and durations: conversions there and back, texts there and back, exactly where numbers are whole."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from cosim.units import LONGEST, NANOSECONDS, UNITS, Duration, Temperature, convert, format_duration, parse

NUMBERS = st.floats(-1e9, 1e9, allow_nan=False)
SAME_DIMENSION = [(a, b) for a in UNITS for b in UNITS if UNITS[a][0] == UNITS[b][0]]
OTHER_DIMENSION = [(a, b) for a in UNITS for b in UNITS if UNITS[a][0] != UNITS[b][0]]


class Settings(BaseModel):
    duration: Duration = 0
    temperature: Temperature = 0.0


@given(NUMBERS, st.sampled_from(SAME_DIMENSION))
def test_there_and_back(value: float, pair: tuple[str, str]) -> None:
    unit, other = pair
    there = convert(value, unit, other)
    span = max(abs(value), abs(UNITS[unit][2] - UNITS[other][2]) / UNITS[unit][1])  # an offset may cancel digits
    assert math.isclose(convert(there, other, unit), value, rel_tol=1e-12, abs_tol=1e-12 * max(span, 1e-300) + 1e-12)


@given(NUMBERS, st.sampled_from(SAME_DIMENSION), st.sampled_from(SAME_DIMENSION))
def test_through_a_third_unit(value: float, first: tuple[str, str], second: tuple[str, str]) -> None:
    assume(first[1] == second[0])
    direct = convert(value, first[0], second[1])
    through = convert(convert(value, *first), *second)
    assert math.isclose(direct, through, rel_tol=1e-9, abs_tol=1e-6 * max(abs(direct), 1e-9) + 1e-9)


@given(st.sampled_from(OTHER_DIMENSION))
def test_other_dimensions_are_refused_with_the_units_that_would_do(pair: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match="Use one of"):
        convert(1.0, *pair)


@given(st.integers(-LONGEST, LONGEST))
def test_a_duration_survives_its_text(time: int) -> None:
    assert Settings(duration=format_duration(time)).duration == time


@given(st.integers(0, 10**6), st.sampled_from(sorted(NANOSECONDS)))
def test_whole_durations_are_exact(count: int, unit: str) -> None:
    assume(count * NANOSECONDS[unit] <= LONGEST)
    assert Settings(duration=f"{count} {unit}").duration == count * NANOSECONDS[unit]


@given(st.integers(0, 10**9), st.integers(1, 10**9))
def test_durations_add_up(first: int, second: int) -> None:
    total = Settings(duration=f"{first} us").duration + Settings(duration=f"{second} us").duration
    assert total == Settings(duration=f"{first + second} us").duration


@given(st.one_of(st.integers(), st.floats(), st.booleans(), st.text(), st.none(), st.lists(st.integers())))
def test_what_is_no_duration_is_refused_and_nothing_else_happens(value: object) -> None:
    try:
        time = Settings(duration=value).duration
    except ValidationError:
        return
    assert abs(time) <= LONGEST
    assert isinstance(value, str)


@given(NUMBERS)
def test_a_number_with_its_own_unit_is_itself(value: float) -> None:
    assert parse(f"{value!r} MW", "MW", bare=False) == value
    assert parse(value, "MW", bare=True) == value


# Fixed points that anyone can check: freezing, boiling, the two scales' crossing; SI brochure, 9th ed., table 8.
@pytest.mark.parametrize(
    ("value", "unit", "to", "expected"),
    [
        (32.0, "degF", "degC", 0.0),
        (212.0, "degF", "degC", 100.0),
        (-40.0, "degF", "degC", -40.0),
        (273.15, "K", "degC", 0.0),
        (36.0, "km/h", "m/s", 10.0),
        (1.0, "d", "h", 24.0),
        (750.0, "kW", "MW", 0.75),
        (50.0, "%", "1", 0.5),
        (8.0, "kbit/s", "bit/s", 8000.0),
    ],
)
def test_known_conversions(value: float, unit: str, to: str, expected: float) -> None:
    assert math.isclose(convert(value, unit, to), expected, abs_tol=1e-9)


def test_a_temperature_with_another_unit() -> None:
    assert math.isclose(Settings(temperature="104 degF").temperature, 40.0, abs_tol=1e-12)
