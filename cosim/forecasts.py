"""Whether what was foretold came: a forecast by lead against the same quantity at the later time, both recorded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from cosim.check import Check
from cosim.units import parse

_WRONG = "The forecast is of another time, unit or quantity: do not use the results."


def check_forecasts(group: Mapping[str, Any], name: str) -> Iterator[Check]:
    """Each output by lead that foretells another one, lead by lead. Raises ResultsError."""
    for key, array in group.items():
        if "foretells" not in array.attributes:
            continue
        truth, limit = array.attributes["foretells"]
        title = f"{key.replace('_', ' ')} of {name}"
        if truth not in group:
            continue  # left out of the record
        times, came, told = group["time"][...], group[truth][...], array[...]
        worst, at = 0.0, ""
        for position, label in enumerate(group[array.dimensions[1]][...].tolist()):
            lead = round(parse(label, "s", bare=False) * 1e9)
            _, earlier, later = np.intersect1d(times + lead, times, return_indices=True)
            if not len(earlier):
                continue
            size = max(float(np.abs(came[later]).mean()), 1e-12)
            error = float(np.sqrt(np.mean((told[earlier, position] - came[later]) ** 2))) / size
            if not error <= worst:
                worst, at = error, label
        passed = bool(worst <= limit)
        detail = f"off by {worst:.2g} of {truth.replace('_', ' ')} in the mean (limit {limit:.2g})"
        detail += f", {at} ahead" if at else ""
        yield Check(name=title, passed=passed, detail=detail, federate=name, remedy=None if passed else _WRONG)
