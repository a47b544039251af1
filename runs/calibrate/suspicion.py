"""Data that can be read and yet cannot be right: found by what every load, temperature and sun have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from cosim.errors import Fault
from runs.calibrate.file import ColumnOfFile, DataFile
from runs.calibrate.target import Floats, Need, Table

#: Hours of local standard time between which the middle of each quantity's daily wave lies, everywhere inhabited.
#: Temperature: highest two to four hours after solar noon, which zones put between 11 and 14. Sun: solar noon itself.
DAILY = {"temperature": (11.0, 18.5), "sun": (10.5, 14.5)}
LEAST_SWING = 1.0  #: [K] of a daily wave, below which its phase says nothing
#: Hours of the wall clock between which the mean load of a grid is lowest, everywhere that we know.
NIGHT = (0.0, 7.5)
AROUND = 14  #: [d] to either side of a clock change
MORNING = (4.0, 11.0)  #: [h] of the wall clock: the rise that people's clocks set off
JUMP = 1000.0  #: [1] a change of scale that no load makes
FAR = 30.0  #: [1] between the mean and what it is known to be about
BIG = 50.0  #: [1] from day to day


def suspicions(
    name: str,
    data: DataFile,
    table: Table,
    needs: Sequence[Need],
    wanted: Mapping[str, tuple[Need, ColumnOfFile]],
    zone: Any,
) -> list[Fault]:
    """Constant columns, changes of unit within a column, a wrong zone; one fault each, with rows and remedy."""
    faults = []
    phases: list[Fault] = []
    for key, (need, column) in wanted.items():
        values = table.columns[key]
        if values.dtype.kind != "f" or not np.isfinite(values).any():
            continue
        place = f"{name}, {column.column}"
        constant = _constant(place, need, values)
        if constant is not None:
            faults.append(constant)
            continue
        if column.around is not None:
            faults += _magnitude(place, need, values, column.around)
        if need.daily == "load" or (table.step and need.unit in ("MW", "kW", "MWh", "kWh")):
            faults += _scale_change(place, table, values)
        if table.step and need.daily:
            phases += _phase(place, data, table, values, need)
            if need.daily == "load" and isinstance(zone, ZoneInfo):
                phases += _clock_changes(place, data, table, values, zone)
    return faults + phases[:1]  # the first evidence of a wrong zone is enough


def _constant(place: str, need: Need, values: Floats) -> Fault | None:
    known = values[np.isfinite(values)]
    if need.may_be_constant or np.ptp(known) > 1e-9 * max(abs(float(known[0])), 1.0):
        return None
    return Fault(
        place,
        f"is {known[0]:g} {need.unit} in all {len(known):,} rows: a constant column holds nothing to fit to.",
        "Name the column that was meant, or get the data again.",
    )


def _magnitude(place: str, need: Need, values: Floats, around: float) -> list[Fault]:
    """A whole column in another unit than stated: its mean is far from what it is known to be."""
    mean = float(np.nanmean(values))
    ratio = mean / around if around else 1.0
    if 1 / FAR < ratio < FAR:
        return []
    factor = f"{ratio:,.3g} times" if ratio > 1 else f"{1 / ratio:,.3g} times less than" if ratio > 0 else "not at all"
    return [
        Fault(
            place,
            f"has a mean of {mean:,.4g} {need.unit} over all {len(values):,} rows, {factor} the {around:,.4g} "
            f"{need.unit} that it is stated to be around: the unit is wrong.",
            "Correct the column's unit, or around.",
        )
    ]


def _scale_change(place: str, table: Table, values: Floats) -> list[Fault]:
    """A part of the rows that is a thousand times larger or smaller than the rest."""
    magnitude = np.abs(values)
    middle = float(np.nanmedian(magnitude[magnitude > 0])) if (magnitude > 0).any() else 1.0
    for factor, word in ((BIG, "larger"), (1 / BIG, "smaller")):
        with np.errstate(invalid="ignore"):
            odd = magnitude > factor * middle if factor > 1 else (magnitude > 0) & (magnitude < factor * middle)
        if odd.any():
            rows = np.flatnonzero(odd)
            typical = float(np.median(magnitude[rows]))
            ratio = max(typical / middle, middle / typical)
            if ratio > JUMP / 4:
                return [
                    Fault(
                        place,
                        f"{len(rows):,} values, first in row {rows[0] + 1} and last in row {rows[-1] + 1}, are about "
                        f"{ratio:,.0f} times {word} than the rest ({typical:g} against {middle:g} "
                        "after conversion): units off by 1,000.",
                        "Bring the column to one unit.",
                    )
                ]
    return []


def daily_wave(wall: Any, values: Floats) -> tuple[float, float]:
    """Hour of the maximum and half swing of the first harmonic of the mean day of `values` (n) at `wall` (n)."""
    hour = (wall - wall.astype("datetime64[D]")).astype("timedelta64[s]").astype(float) / 3600
    known = np.isfinite(values)
    turn = np.exp(-2j * np.pi * hour[known] / 24)
    wave = 2 * np.mean((values[known] - np.mean(values[known])) * turn)
    return float(-np.angle(wave) * 24 / (2 * np.pi) % 24), float(np.abs(wave))


def _phase(place: str, data: DataFile, table: Table, values: Floats, need: Need) -> list[Fault]:
    """A daily wave at hours at which no such quantity has it."""
    remedy = "State the zone by whose clock the column was written (time.zone), and that of the place (time.local)."
    clock = data.time.local or data.time.zone
    if need.daily in DAILY:
        peak, swing = daily_wave(table.standard, values)
        low, high = DAILY[need.daily]
        if swing > LEAST_SWING and not low <= peak <= high:
            problem = (
                f"the daily wave of the {need.name} is highest at {_clock(peak)} on the stated clock of {clock}; "
                f"everywhere it is between {_clock(low)} and {_clock(high)}: the stated zone is wrong by about "
                f"{(peak - 14.5 + 12) % 24 - 12:+.0f} h, in all {len(values):,} rows."
            )
            return [Fault(place, problem, remedy)]
    if need.daily == "load":
        lowest = _lowest_hour(table.wall, values)
        if lowest is not None and not NIGHT[0] <= lowest <= NIGHT[1]:
            problem = (
                f"the load is lowest at {_clock(lowest)} on the stated clock of {clock}; people's loads are between "
                f"midnight and {_clock(NIGHT[1])}: the stated zone is wrong, in all {len(values):,} rows."
            )
            return [Fault(place, problem, remedy)]
    return []


def _lowest_hour(wall: Any, values: Floats) -> float | None:
    """The hour at which the mean day, as a mean over three hours, is lowest; None if it hardly varies."""
    hour = (wall - wall.astype("datetime64[D]")).astype("timedelta64[h]").astype(int)
    known = np.isfinite(values)
    day = np.bincount(hour[known], values[known], 24) / np.maximum(np.bincount(hour[known], minlength=24), 1)
    smooth = (np.roll(day, 1) + day + np.roll(day, -1)) / 3
    if np.ptp(smooth) < 0.05 * abs(float(np.mean(smooth))):
        return None
    return float(np.argmin(smooth)) + 0.5


def clock_changes(zone: ZoneInfo, first: datetime, last: datetime) -> list[tuple[datetime, float]]:
    """The days on which the clocks of `zone` change between two times (UTC), and by how much [h]."""
    found = []
    day, before = first.replace(tzinfo=UTC), None
    while day <= last.replace(tzinfo=UTC):
        offset = day.astimezone(zone).utcoffset()
        if before is not None and offset is not None and offset != before:
            local = day.astimezone(zone).replace(tzinfo=None)
            found.append((local, (offset - before) / timedelta(hours=1)))
        before = offset
        day += timedelta(days=1)
    return found


def _clock_changes(place: str, data: DataFile, table: Table, values: Floats, zone: ZoneInfo) -> list[Fault]:
    """People's mornings must stay where they are on the wall clock when the clocks change.

    If they move by the hour that the clock was changed, the load does not follow this clock. If they move together at
    the dates on which other zones change theirs, it follows such a one.
    """
    first, last = table.utc[0].item(), table.utc[-1].item()
    own = clock_changes(zone, first, last)
    if own:
        moved = [(day, _morning_shift(table, values, day), change) for day, change in own]
        known = [(day, shift, change) for day, shift, change in moved if shift is not None]
        wrong = [day for day, shift, change in known if abs(shift + change) < 0.26 or abs(shift - change) < 0.26]
        if known and len(wrong) >= max(1, 0.75 * len(known)):
            return [_moved(place, wrong, f"at the clock changes of {zone}", data)]
    for other in ("Australia/Melbourne", "Europe/Paris", "America/New_York"):
        elsewhere = clock_changes(ZoneInfo(other), first, last)
        taken = {day.date() for day, _ in own}
        elsewhere = [(day, change) for day, change in elsewhere if day.date() not in taken]
        moved = [(day, _morning_shift(table, values, day), change) for day, change in elsewhere]
        known = [(day, shift, change) for day, shift, change in moved if shift is not None]
        # the load follows clocks that go forward: on a clock without them its morning comes earlier by as much
        follows = [day for day, shift, change in known if abs(shift + change) < 0.26]
        if len(known) >= 2 and len(follows) == len(known):
            return [_moved(place, follows, f"when the clocks of {other} change", data)]
    return []


def _moved(place: str, days: Sequence[datetime], when: str, data: DataFile) -> Fault:
    listed = ", ".join(f"{day:%Y-%m-%d}" for day in days[:4])
    return Fault(
        place,
        f"the morning rise moves by an hour on the stated clock of {data.time.local or data.time.zone} {when} "
        f"({listed}): the load follows another clock.",
        "State the zone by whose clock the column was written (time.zone), and that of the people (time.local).",
    )


def _morning_shift(table: Table, values: Floats, day: datetime) -> float | None:
    """By how many hours the morning rise of working days comes later after `day` than before; None if unclear."""
    change = np.datetime64(day.date())
    days = table.days
    weekday = (days.astype(np.int64) + 3) % 7 < 5
    rows_a_day = 86_400 // table.step
    slot = ((table.wall - days).astype("timedelta64[s]").astype(np.int64) // table.step) % rows_a_day
    slopes = []
    for chosen in (
        (days >= change - AROUND) & (days < change),
        (days > change) & (days <= change + AROUND),
    ):
        rows = np.flatnonzero(chosen & weekday & np.isfinite(values))
        if len(np.unique(days[rows])) < AROUND // 3:
            return None
        mean = np.bincount(slot[rows], values[rows], rows_a_day) / np.maximum(
            np.bincount(slot[rows], minlength=rows_a_day), 1
        )
        slopes.append(np.diff(np.r_[mean, mean[0]]))
    hours = np.arange(rows_a_day) * 24 / rows_a_day
    morning = (hours >= MORNING[0]) & (hours < MORNING[1])
    reach = max(1, round(1.5 * 3600 / table.step))
    shifts = range(-reach, reach + 1)
    match = [float(np.corrcoef(slopes[0][morning], np.roll(slopes[1], -k)[morning])[0, 1]) for k in shifts]
    best = int(np.argmax(match))
    if match[best] < 0.5 or match[best] - match[reach] < 0.05:
        return 0.0
    return shifts[best] * table.step / 3600


def _clock(hour: float) -> str:
    whole = round(hour * 60) % 1440
    return f"{whole // 60:02d}:{whole % 60:02d}"
