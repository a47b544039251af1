"""Reading a waveform that is imposed on a DER, and refusing one that is not what it seems.

Columns: `time_s`; `v_pu`, or `va_pu,vb_pu,vc_pu`; `f_hz`; optionally `angle_deg`, or `angle_a_deg,angle_b_deg,
angle_c_deg` (absolute near 0, -120, 120, or deviations from that). Other columns are not looked at.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cosim.errors import Fault, ScenarioError

Floats = NDArray[np.float64]

_PHASES = ("va_pu", "vb_pu", "vc_pu")
_ANGLES = ("angle_a_deg", "angle_b_deg", "angle_c_deg")
_NOMINAL_ANGLES = np.array([0.0, -120.0, 120.0])
_GAP = 1.5  #: neighbouring steps that a step may last before something is missing
_COARSEST = 1.0  #: [s]


@dataclass(frozen=True)
class Waveform:
    """Sampled quantities; a sample holds until the next one."""

    time_s: Floats  #: (k,) [s] in the file's own time
    voltage_pu: Floats  #: (k, 3) [pu]
    frequency_hz: Floats  #: (k,) [Hz]
    angle_deg: Floats | None  #: (k, 3) deviation from the nominal angles [deg]


def read_waveform(path: Path) -> Waveform:
    """The waveform of a CSV file. Raises ScenarioError, which names every fault found."""
    columns = _read(path)
    faults = list(_column_faults(path, columns))
    if faults:
        raise ScenarioError(faults)
    time = columns["time_s"]
    voltage = _voltage(columns)
    frequency = columns["f_hz"]
    faults = [
        *_number_faults(path, columns),
        *_time_faults(path, time),
        *_voltage_faults(path, voltage),
        *_frequency_faults(path, frequency),
    ]
    if faults:
        raise ScenarioError(faults)
    return Waveform(time, voltage, frequency, _angles(columns))


def _read(path: Path) -> dict[str, Floats]:
    """The file's columns by lower-case name; what is not a number is NaN."""
    if not path.is_file():
        raise ScenarioError([Fault(str(path), "there is no such file", "Correct the path.")])
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = [row for row in csv.reader(file) if row and not row[0].startswith("#")]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ScenarioError([Fault(str(path), f"is not a CSV file in UTF-8 ({error})", "Export it again.")]) from None
    if len(rows) < 3:
        raise ScenarioError([Fault(str(path), "has no header with at least two rows of numbers under it")])
    header = [name.strip().lower() for name in rows[0]]
    table = np.full((len(rows) - 1, len(header)), np.nan)
    for index, row in enumerate(rows[1:]):
        for column, text in enumerate(row[: len(header)]):
            try:
                table[index, column] = float(text)
            except ValueError:
                continue
    return {name: table[:, column] for column, name in enumerate(header)}


def _column_faults(path: Path, columns: dict[str, Floats]) -> Iterator[Fault]:
    wanted = "The columns are time_s; v_pu, or va_pu,vb_pu,vc_pu; f_hz."
    there = ", ".join(columns)
    if "time_s" not in columns:
        yield Fault(str(path), f"has no column time_s, only {there}", wanted)
    present = [name for name in _PHASES if name in columns]
    if present and len(present) < 3:
        missing = ", ".join(name for name in _PHASES if name not in present)
        yield Fault(
            str(path),
            f"one or more phases are missing: {', '.join(present)} without {missing}",
            "Give all three phases, or v_pu for a single-phase or balanced waveform.",
        )
    elif present and "v_pu" in columns:
        yield Fault(str(path), "has v_pu and phase voltages as well", "Keep one of them.")
    elif not present and "v_pu" not in columns:
        yield Fault(str(path), f"has no voltage in per unit, only {there}", wanted)
    angles = [name for name in _ANGLES if name in columns]
    if 0 < len(angles) < 3:
        yield Fault(str(path), f"has only {', '.join(angles)} of the phase angles", "Give all three or none.")
    if "f_hz" not in columns:
        yield Fault(str(path), f"has no frequency column f_hz, only {there}", wanted)


def _number_faults(path: Path, columns: dict[str, Floats]) -> Iterator[Fault]:
    for name in ("time_s", "v_pu", *_PHASES, "f_hz", "angle_deg", *_ANGLES):
        if name in columns and not np.isfinite(columns[name]).all():
            first = int(np.flatnonzero(~np.isfinite(columns[name]))[0])
            count = int((~np.isfinite(columns[name])).sum())
            yield Fault(
                str(path),
                f"{name} has {count} value(s) that are missing, NaN or no number, the first in data row {first + 1}",
                "Fill or cut them; nothing is guessed.",
            )


def _time_faults(path: Path, time: Floats) -> Iterator[Fault]:
    if not np.isfinite(time).all():
        return
    steps = np.diff(time)
    back = np.flatnonzero(steps <= 0.0)
    if back.size:
        yield Fault(
            str(path),
            f"time does not increase: {time[back[0]]:g} s is followed by {time[back[0] + 1]:g} s",
            "Sort the rows and remove duplicates.",
        )
        return
    # A lasting change of the sampling is no gap: then a neighbour is as long.
    before, after = np.append(steps[1:2], steps[:-1]), np.append(steps[1:], steps[-2:-1])
    usual = np.maximum(before, after) if len(steps) > 1 else steps
    gaps = np.flatnonzero(steps > _GAP * usual)
    if gaps.size:
        first = int(gaps[0])
        yield Fault(
            str(path),
            f"has {gaps.size} gap(s): samples come every {usual[first]:g} s, but none between {time[first]:g} s and "
            f"{time[first + 1]:g} s",
            "Fill the gap or judge the parts one by one.",
        )
    elif steps.max() > _COARSEST:
        yield Fault(str(path), f"is sampled every {steps.max():g} s", "Sample at 1 s or finer.")


def _voltage_faults(path: Path, voltage: Floats) -> Iterator[Fault]:
    if not np.isfinite(voltage).all():
        return
    usual, largest = float(np.median(voltage)), float(voltage.max())
    if (voltage < 0.0).any():
        yield Fault(str(path), "has negative voltages", "Give RMS magnitudes in per unit, not instantaneous values.")
    elif usual > 3.0:
        kind = "percent or volts" if 50.0 <= usual <= 150.0 else "volts"
        yield Fault(
            str(path), f"voltage is about {usual:.4g}, which is {kind}, not per unit", "Divide by the nominal voltage."
        )
    elif largest > 3.0:
        yield Fault(str(path), f"voltage reaches {largest:.4g} pu", "Check the units and the row.")


def _frequency_faults(path: Path, frequency: Floats) -> Iterator[Fault]:
    if not np.isfinite(frequency).all():
        return
    usual = float(np.median(frequency))
    if 48.0 <= usual <= 52.0:
        yield Fault(
            str(path), f"frequency is about {usual:.4g} Hz: a 50 Hz grid", "IEEE 1547's tables are for 60 Hz only."
        )
    elif usual < 40.0 or usual > 80.0:
        yield Fault(str(path), f"frequency is about {usual:.4g}, which is not Hz of a 60 Hz grid", "Give f_hz in Hz.")
    elif (frequency < 40.0).any() or (frequency > 80.0).any():
        odd = float(frequency[(frequency < 40.0) | (frequency > 80.0)][0])
        yield Fault(str(path), f"frequency jumps to {odd:.4g} Hz", "Check the row; a lost reading is not a frequency.")


def _voltage(columns: dict[str, Floats]) -> Floats:
    if "v_pu" in columns:
        return np.repeat(columns["v_pu"][:, None], 3, axis=1)
    return np.column_stack([columns[name] for name in _PHASES])


def _angles(columns: dict[str, Floats]) -> Floats | None:
    if "angle_a_deg" in columns:
        angles = np.column_stack([columns[name] for name in _ANGLES])
        # Phase b starts near -120 where angles are absolute and near 0 where they are deviations.
        absolute = np.abs((angles[0, 1] - angles[0, 0] + 120.0 + 180.0) % 360.0 - 180.0) < 60.0
        return angles - _NOMINAL_ANGLES if absolute else angles
    if "angle_deg" in columns:
        return np.repeat(columns["angle_deg"][:, None], 3, axis=1)
    return None
