"""The units that ports and settings may use, and settings that are written with a unit.

A setting is written as `"5 min"`, `"104 degF"`, `"750 kW"`; it is stored in the one unit that its
type names. A duration has no default unit: a bare number is refused.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema

#: unit -> (dimension, factor, offset): value in the base unit = value * factor + offset
UNITS: dict[str, tuple[str, float, float]] = {
    "1": ("ratio", 1.0, 0.0),
    "%": ("ratio", 0.01, 0.0),
    "%/min": ("rate of a ratio", 1.0, 0.0),
    "pu": ("per unit", 1.0, 0.0),
    "ns": ("time", 1e-9, 0.0),
    "us": ("time", 1e-6, 0.0),
    "ms": ("time", 1e-3, 0.0),
    "s": ("time", 1.0, 0.0),
    "min": ("time", 60.0, 0.0),
    "h": ("time", 3600.0, 0.0),
    "d": ("time", 86400.0, 0.0),
    "W": ("power", 1e-6, 0.0),
    "kW": ("power", 1e-3, 0.0),
    "MW": ("power", 1.0, 0.0),
    "kVA": ("apparent power", 1e-3, 0.0),
    "MVA": ("apparent power", 1.0, 0.0),
    "kvar": ("reactive power", 1e-3, 0.0),
    "Mvar": ("reactive power", 1.0, 0.0),
    "kWh": ("energy", 1e-3, 0.0),
    "MWh": ("energy", 1.0, 0.0),
    "V": ("voltage", 1.0, 0.0),
    "kV": ("voltage", 1e3, 0.0),
    "A": ("current", 1.0, 0.0),
    "Hz": ("frequency", 1.0, 0.0),
    "Hz/s": ("rate of change of frequency", 1.0, 0.0),
    "deg": ("angle", 1.0, 0.0),
    "degC": ("temperature", 1.0, 0.0),
    "degF": ("temperature", 5.0 / 9.0, -160.0 / 9.0),
    "K": ("temperature", 1.0, -273.15),
    "m/s": ("speed", 1.0, 0.0),
    "km/h": ("speed", 1 / 3.6, 0.0),
    "W/m2": ("irradiance", 1.0, 0.0),
    "bit/s": ("data rate", 1.0, 0.0),
    "kbit/s": ("data rate", 1e3, 0.0),
    "Mbit/s": ("data rate", 1e6, 0.0),
    "B": ("data", 1.0, 0.0),
    "kB": ("data", 1e3, 0.0),
    "MB": ("data", 1e6, 0.0),
    "GB": ("data", 1e9, 0.0),
    "$/MWh": ("price", 1.0, 0.0),
    "$/h": ("cost rate", 1.0, 0.0),
    "$": ("cost", 1.0, 0.0),
}


#: How many there are in one unit; whole numbers, as a duration must not lose a nanosecond.
NANOSECONDS = {
    "ns": 1,
    "us": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "min": 60 * 10**9,
    "h": 3_600 * 10**9,
    "d": 86_400 * 10**9,
}
LONGEST = (
    50 * 365 * NANOSECONDS["d"]
)  #: [ns] HELICS takes seconds as doubles: beyond, they miss a slot's half of 500 ns


def convert(value: float, unit: str, to: str) -> float:
    """Convert `value` [unit] to [to]. Raises ValueError with the units that would do."""
    dimension = UNITS[to][0]
    if unit not in UNITS or UNITS[unit][0] != dimension:
        known = ", ".join(name for name, entry in UNITS.items() if entry[0] == dimension)
        raise ValueError(f"unit '{unit}' is not a unit of {dimension}. Use one of: {known}")
    _, factor, offset = UNITS[unit]
    _, to_factor, to_offset = UNITS[to]
    return (value * factor + offset - to_offset) / to_factor


def parse(text: object, to: str, *, bare: bool) -> float:
    """Read `"value unit"`; a bare number counts as [to] where `bare` is true."""
    if isinstance(text, bool):
        raise ValueError(f"must be a number with a unit of {UNITS[to][0]}, got {text}")
    if isinstance(text, int | float):
        if bare:
            return float(text)
        raise ValueError(f"has no unit; write for example '{text} {to}'")
    words = str(text).split()
    try:
        value = float(words[0])
    except (IndexError, ValueError):
        raise ValueError(f"must be a number and a unit, for example '10 {to}', got '{text}'") from None
    if len(words) == 1:
        return parse(value, to, bare=bare)
    return convert(value, " ".join(words[1:]), to)


def _duration(text: object) -> int:
    if isinstance(text, int) and not isinstance(text, bool):
        raise ValueError(f"has no unit; write for example '{text} s'")
    try:
        value, unit = str(text).split()
        exact = Fraction(value) * NANOSECONDS[unit]
    except (ValueError, KeyError):
        exact = Fraction(0)  # `parse` says what is wrong; NaN and infinity are left
        if not math.isfinite(parse(text, "s", bare=False)):
            raise ValueError("must be a finite duration") from None
    if abs(exact) > LONGEST:
        raise ValueError(f"must be at most 50 years, got '{text}'")
    return round(exact)


def format_duration(time: int) -> str:
    """Write a duration [ns] in the largest unit that leaves a whole number."""
    if time == 0:
        return "0 s"
    for unit, size in (("h", 3_600 * 10**9), ("min", 60 * 10**9), ("s", 10**9), ("ms", 10**6), ("us", 10**3)):
        if time % size == 0:
            return f"{time // size} {unit}"
    return f"{time} ns"


def quantity(unit: str) -> Any:
    """An annotation's metadata: a float stored in [unit], written bare or with a compatible unit."""
    return BeforeValidator(lambda text: parse(text, unit, bare=True))


Duration = Annotated[
    int,
    BeforeValidator(_duration),
    PlainSerializer(format_duration),
    WithJsonSchema({"type": "string", "examples": ["60 s", "5 min", "24 h"], "format": "duration with unit"}),
]
PositiveDuration = Annotated[Duration, Field(gt=0)]
Temperature = Annotated[float, quantity("degC"), WithJsonSchema({"type": ["number", "string"], "unit": "degC"})]
Power = Annotated[float, quantity("MW"), WithJsonSchema({"type": ["number", "string"], "unit": "MW"})]
Price = Annotated[float, quantity("$/MWh"), WithJsonSchema({"type": ["number", "string"], "unit": "$/MWh"})]


def written(text: str) -> Any:
    """A setting's default written as in a scenario, `written("60 s")`; pydantic reads it like any other."""
    return text
