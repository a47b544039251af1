"""From named columns to a trace: which columns there may be, and which must be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosim.errors import Fault, ScenarioError
from runs.comply.trace import Array, Trace, time_faults, value_faults

VOLTAGES = ("va_pu", "vb_pu", "vc_pu")
ANGLES = ("angle_a_deg", "angle_b_deg", "angle_c_deg")
#: Columns that are read; any other is left alone.
KNOWN = (
    *("time_s", "v_pu", *VOLTAGES, "f_hz", "p_pu", "q_pu", "i_pu", *ANGLES, "angle_deg"),
    *("available_pu", "p_limit_pu", "permit_service", "tripped"),
)


def column_faults(names: set[str], place: str) -> list[Fault]:
    """What is missing among the columns `names`."""
    faults = []
    if "time_s" not in names:
        faults.append(_missing("time_s", "time in seconds", names, place))
    if "f_hz" not in names:
        faults.append(_missing("f_hz", "frequency in Hz", names, place))
    phases = [name for name in VOLTAGES if name in names]
    if "v_pu" not in names and len(phases) != 3:
        if phases:
            absent = [name for name in VOLTAGES if name not in names]
            faults.append(
                Fault(
                    place,
                    f"a phase is missing: there is {' and '.join(phases)} but no {' and no '.join(absent)}.",
                    "Give all three phases; a single-phase DER or the positive sequence goes into v_pu.",
                )
            )
        else:
            faults.append(_missing("v_pu", "voltage in per unit (or va_pu, vb_pu, vc_pu)", names, place))
    return faults


def _missing(name: str, meaning: str, names: set[str], place: str) -> Fault:
    return Fault(
        place, f"has no column {name}.", f"Add it: {meaning}. It has {', '.join(sorted(names)[:12]) or 'none'}."
    )


def assemble(name: str, columns: Mapping[str, Array], place: str, *, checked_time: Array | None = None) -> Trace:
    """The trace of one DER from its columns. Raises ScenarioError with all that is wrong with it.

    `checked_time`: a time axis that was found good already; a trace with that very array is not checked for it again.
    """
    faults = column_faults(set(columns), place)
    if faults:
        raise ScenarioError(faults)
    time = columns["time_s"]
    if time is not checked_time:
        faults = time_faults(time, place)
        if faults:
            raise ScenarioError(faults)
    trace = Trace(
        name,
        time,
        np.atleast_2d(columns["v_pu"]) if "v_pu" in columns else np.stack([columns[key] for key in VOLTAGES]),
        columns["f_hz"],
        columns.get("p_pu"),
        columns.get("q_pu"),
        columns.get("i_pu"),
        _angles(columns),
        columns.get("available_pu"),
        columns.get("p_limit_pu"),
        columns.get("permit_service"),
        columns.get("tripped"),
    )
    faults = value_faults(trace, place)
    if faults:
        raise ScenarioError(faults)
    return trace


def _angles(columns: Mapping[str, Array]) -> Array | None:
    if "v_pu" in columns:
        one = columns.get("angle_deg", columns.get("angle_a_deg"))
        return None if one is None else np.atleast_2d(one)
    if all(key in columns for key in ANGLES):
        return np.stack([columns[key] for key in ANGLES])
    return None


def split_wide(names: list[str]) -> dict[str, dict[str, str]]:
    """For columns named `DER:quantity`: DER -> quantity -> column; columns without a DER belong to each."""
    own: dict[str, dict[str, str]] = {}
    shared: dict[str, str] = {}
    for name in names:
        der, colon, quantity = name.rpartition(":")
        if colon and quantity.strip() in KNOWN:
            own.setdefault(der.strip(), {})[quantity.strip()] = name
        elif name.strip() in KNOWN:
            shared[name.strip()] = name
    return {der: {**shared, **columns} for der, columns in own.items()}


def doubles(values: NDArray[Any]) -> Array:
    """Values in double precision; of single precision the decimals that were meant: 0.88 is not below 0.88."""
    if values.dtype == np.float32:
        return np.asarray(np.round(values.astype(np.float64), 6))
    return np.ascontiguousarray(values, dtype=np.float64)


def portion(names: tuple[str, ...], share: tuple[int, int]) -> tuple[str, ...]:
    """The `share[0]`-th of `share[1]` equal parts of `names`."""
    bounds = np.linspace(0, len(names), share[1] + 1).round().astype(int)
    return names[bounds[share[0]] : bounds[share[0] + 1]]
