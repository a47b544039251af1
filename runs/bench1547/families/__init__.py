"""The families of test sequences, one file each with a function `sequences(plan)`."""

from __future__ import annotations

import importlib

from runs.bench1547.sequence import Plan, Sequence1547

#: In the order of IEEE 1547.1-2020's clauses.
FAMILIES = (
    "voltage_trip",
    "voltage_ride_through",
    "frequency_trip",
    "frequency_ride_through",
    "rocof",
    "phase_angle",
    "enter_service",
    "active_power_limit",
    "constant_reactive",
    "volt_var",
    "watt_var",
    "volt_watt",
    "droop",
    "priority",
)


def all_sequences(plan: Plan) -> list[Sequence1547]:
    """Every sequence that applies to `plan`."""
    found: list[Sequence1547] = []
    for family in FAMILIES:
        found += importlib.import_module(f"runs.bench1547.families.{family}").sequences(plan)
    return found
