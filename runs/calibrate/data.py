"""Reading measured data, and naming what is wrong with them before anything is fitted. Nothing is ever filled."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, timedelta, timezone
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
from numpy.typing import NDArray

from cosim.calibrated import DataSource
from cosim.errors import Fault, ScenarioError
from cosim.units import UNITS, convert
from runs.calibrate.file import FORMATS, CalibrationFile, ColumnOfFile, DataFile
from runs.calibrate.target import Floats, Instants, Need, Needs, Table

_OFFSET = re.compile(r"[+-]\d{2}:?\d{2}")
_LISTED = 3  #: gaps and outliers that a notice names


def read_tables(file: CalibrationFile, needs: Sequence[Needs]) -> dict[str, Table]:
    """Read and check all data of a calibration. Raises ScenarioError with every fault of every file."""
    tables: dict[str, Table] = {}
    faults: list[Fault] = []
    taken = [need.data for need in needs]
    for number, item in enumerate(file.data):
        if item.name not in taken:
            text = f"the target takes no data named '{item.name}', only {', '.join(taken) or 'what it simulates'}."
            faults.append(
                Fault(file.document.place(("data", number, "name")), text, "Correct the name, or leave it out.")
            )
    for need in needs:
        try:
            tables[need.data] = read_table(file.data_file(need.data), need)
        except ScenarioError as error:
            faults += error.faults
    if faults:
        raise ScenarioError(faults)
    return tables


def sources(file: CalibrationFile) -> tuple[DataSource, ...]:
    """Where the data come from, with their hashes."""
    return tuple(
        DataSource(file=item.file.name, sha256=_sha256(item.file), source=item.source, licence=item.licence)
        for item in file.data
    )


def _sha256(path: Path) -> str:
    """Of a file; of a folder (Zarr) that of its files' names and hashes."""
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    listed = "".join(
        f"{part.relative_to(path)} {_sha256(part)}\n" for part in sorted(path.rglob("*")) if part.is_file()
    )
    return hashlib.sha256(listed.encode()).hexdigest()


def read_table(data: DataFile, needs: Needs) -> Table:
    """Read one file and check it against what the target needs. Raises ScenarioError with every fault found."""
    from runs.calibrate.suspicion import suspicions

    frame = _frame(data)
    wanted = dict(_wanted(data, needs))
    faults = _column_faults(data, needs, frame)
    clock = _zone(data, data.time.zone)
    local = clock if data.time.local is None else _zone(data, data.time.local)
    if faults:
        raise ScenarioError(faults)
    utc = _starts(data, _utc(data, frame, clock))
    columns: dict[str, NDArray[Any]] = {}
    notices: list[str] = []
    for name, (need, column) in wanted.items():
        try:
            columns[name] = _values(data, frame, name, need, column, clock, notices)
        except ScenarioError as error:
            faults += error.faults
    if faults:
        raise ScenarioError(faults)
    order = np.argsort(utc, kind="stable") if not needs.regular else np.arange(len(utc))
    standard, wall = local_clocks(utc[order], local)
    table = Table(data.name, utc[order], standard, wall, {name: column[order] for name, column in columns.items()})
    if needs.regular:
        table = _regular(data, table, notices)
    faults += _missing_faults(data, table, wanted)
    faults += suspicions(str(data.file.name), data, table, [need for need, _ in wanted.values()], wanted, local)
    if faults:
        raise ScenarioError(faults)
    instants = data.time.stamps == "instant"
    return Table(table.name, table.utc, table.standard, table.wall, table.columns, table.step, tuple(notices), instants)


def _starts(data: DataFile, utc: Instants) -> Instants:
    """The times (n) from which on the rows count: those at the ends of intervals moved to their starts."""
    if data.time.stamps != "end":
        return utc
    steps = np.diff(utc.astype("datetime64[s]")).astype(np.int64)
    forward = steps[steps > 0]
    return utc if not len(forward) else utc - np.timedelta64(int(forward.min()), "s")


def _frame(data: DataFile) -> Any:
    """The file as a pandas DataFrame of the columns that matter. Raises ScenarioError."""
    import pandas

    kind = FORMATS[data.file.suffix.lower()]
    asked = [data.time.column, *(column.column for column in data.columns.values())]
    try:
        if kind == "csv":
            frame = pandas.read_csv(data.file, sep=data.separator, decimal=data.decimal, comment="#", dtype=object)
        elif kind == "parquet":
            frame = pandas.read_parquet(data.file)
            frame = frame if data.time.column in frame.columns else frame.reset_index()
        else:
            import xarray

            with xarray.open_zarr(data.file) as store:
                known = [name for name in asked if name in store.variables]
                frame = pandas.DataFrame({name: store[name].to_numpy() for name in known})
    except UnicodeDecodeError as error:
        text = f"is not text in UTF-8: byte {error.object[error.start]:#04x} at {error.start:,}."
        raise ScenarioError([Fault(data.file.name, text, "Save it as CSV in UTF-8.")]) from None
    except Exception as error:  # readers promise no exceptions of their own
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ScenarioError(
            [Fault(data.file.name, f"is not readable as {kind}: {first}.", "Check the file and its suffix.")]
        ) from None
    frame = frame.rename(columns=lambda name: str(name).strip())
    if len(frame) < 2:
        raise ScenarioError(
            [Fault(data.file.name, f"has fewer than two data rows ({len(frame)}).", "Give the whole file.")]
        )
    if kind == "csv" and len(frame.columns) == 1 and len(asked) > 1:
        name = frame.columns[0]
        other = max(";\t,|", key=name.count)
        if name.count(other):
            text = f"is one column, '{name}', when cut at '{data.separator}'."
            raise ScenarioError([Fault(data.file.name, text, f"State `separator: {other!r}`.")])
    return frame


def _wanted(data: DataFile, needs: Needs) -> Iterator[tuple[str, tuple[Need, ColumnOfFile]]]:
    """The columns that the target takes: name -> what is needed and where it stands."""
    for need in needs.columns:
        for name, column in data.columns.items():
            if name == need.name or (need.many and name.startswith(need.name)):
                yield name, (need, column)


def _column_faults(data: DataFile, needs: Needs, frame: Any) -> list[Fault]:
    faults = []
    place = data.file.name
    there = ", ".join(map(str, frame.columns[:12]))
    if data.time.column not in frame.columns:
        faults.append(Fault(place, f"has no column '{data.time.column}' for the time.", f"It has: {there}."))
    known = {name for name, _ in _wanted(data, needs)}
    for name, column in data.columns.items():
        if column.column not in frame.columns:
            faults.append(Fault(place, f"has no column '{column.column}' ({name}).", f"It has: {there}."))
        if name not in known:
            asked = ", ".join(need.name + ("..." if need.many else "") for need in needs.columns)
            faults.append(Fault(place, f"the target knows no column '{name}'.", f"It takes: {asked}."))
    for need in needs.columns:
        if need.required and not any(name == need.name or (need.many and name.startswith(need.name)) for name in known):
            faults.append(Fault(place, f"no column is given for {need.name} [{need.unit}].", "Add it under columns."))
        for name, (own, column) in _wanted(data, needs):
            if own is need and not _compatible(column.unit, need.unit):
                faults.append(
                    Fault(place, f"{name} is given in '{column.unit}', which is no unit of {need.unit}.", "Correct it.")
                )
    return faults


def _compatible(given: str, needed: str) -> bool:
    if given in UNITS and needed in UNITS:
        return UNITS[given][0] == UNITS[needed][0]
    return given == needed


def _zone(data: DataFile, text: str) -> Any:
    """A time zone by its IANA name, or a fixed offset. Raises ScenarioError."""
    if _OFFSET.fullmatch(text):
        hours, minutes = int(text[1:3]), int(text[-2:])
        sign = -1 if text[0] == "-" else 1
        return timezone(sign * timedelta(hours=hours, minutes=minutes))
    try:
        return UTC if text == "UTC" else ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ScenarioError(
            [
                Fault(
                    data.file.name,
                    f"the zone '{text}' is unknown.",
                    "Use an IANA name as Australia/Melbourne, UTC, or an offset as +10:00.",
                )
            ]
        ) from None


def _utc(data: DataFile, frame: Any, zone: Any) -> Instants:
    """The rows' times in UTC (n), datetime64[s]. Raises ScenarioError where they contradict the stated clock."""
    column = frame[data.time.column]
    none = np.flatnonzero(column.isna().to_numpy())
    if len(none):
        place = f"{data.file.name}, {data.time.column}"
        text = f"is empty in row {none[0] + 1} ({len(none)} such rows)."
        raise ScenarioError([Fault(place, text, "Remove the rows, or complete them.")])
    return _times(data, column, data.time.column, zone)


def _times(data: DataFile, column: Any, name: str, zone: Any) -> Instants:
    import pandas

    place = f"{data.file.name}, {name}"
    texts = column.astype(str)
    aware = bool(texts.iloc[:100].str.contains(r"(?:Z|[+-]\d{2}:?\d{2})$", regex=True).all()) and (
        column.dtype == object or getattr(column.dtype, "tz", None) is not None
    )
    try:
        if aware:
            times = pandas.to_datetime(column, utc=True, format=data.time.format or "ISO8601", errors="coerce")
        else:
            times = pandas.to_datetime(column, format=data.time.format or "ISO8601", errors="coerce")
    except (ValueError, TypeError) as error:
        raise ScenarioError([Fault(place, f"holds no times: {error}.", "Give their format.")]) from None
    wrong = np.flatnonzero(times.isna().to_numpy() & column.notna().to_numpy())
    if len(wrong):
        raise ScenarioError(
            [
                Fault(
                    place,
                    f"is no time in row {wrong[0] + 1}: '{texts.iloc[wrong[0]]}' ({len(wrong)} such rows).",
                    "Correct the rows, or give time.format.",
                )
            ]
        )
    if aware:
        _check_offsets(place, texts, times, zone)
        return np.asarray(times.dt.tz_localize(None).to_numpy("datetime64[s]"))
    naive = times.to_numpy("datetime64[s]")
    if isinstance(zone, ZoneInfo):
        return _from_wall(place, naive, zone)
    return np.asarray(naive - np.timedelta64(int(zone.utcoffset(None).total_seconds()), "s"))


def _check_offsets(place: str, texts: Any, times: Any, zone: Any) -> None:
    """Times that carry offsets must carry those of the stated zone."""
    written = times.dt.tz_convert(zone) if str(zone) != "UTC" else times
    sample = np.unique(np.linspace(0, len(texts) - 1, 2000).astype(int))
    for row in sample:
        found = re.search(r"(Z|[+-]\d{2}:?\d{2})$", texts.iloc[row])
        if found is None:
            continue
        stated = written.iloc[row].utcoffset()
        offset = timedelta(0)
        if found[0] != "Z":
            digits = found[0].replace(":", "")
            offset = timedelta(hours=int(digits[1:3]), minutes=int(digits[3:]))
            offset = -offset if digits[0] == "-" else offset
        if stated is not None and offset != stated:
            raise ScenarioError(
                [
                    Fault(
                        place,
                        f"the stated zone contradicts row {row + 1}: '{texts.iloc[row]}' carries the offset "
                        f"{found[0]}, where {zone} has {written.iloc[row]:%z}.",
                        "State the zone by which the column was written.",
                    )
                ]
            )


def _from_wall(place: str, naive: Instants, zone: ZoneInfo) -> Instants:
    """Wall-clock times (n) with daylight saving as UTC; the clock changes of the zone must be seen in the rows."""
    import pandas

    index = pandas.DatetimeIndex(naive)
    missing = index.tz_localize(zone, ambiguous=np.ones(len(index), np.bool_), nonexistent="NaT")
    skipped = np.flatnonzero(np.asarray(missing.isna()))
    if len(skipped):
        raise ScenarioError(
            [
                Fault(
                    place,
                    f"row {skipped[0] + 1} is at {index[skipped[0]]}, an hour that the clocks of {zone} skip "
                    f"({len(skipped)} such rows).",
                    "The column runs on without daylight saving: state its zone as UTC or as a fixed offset.",
                )
            ]
        )
    # of a doubled hour the first half is daylight time: a time that comes again, or runs back, is standard time
    ambiguous = np.asarray(index.tz_localize(zone, ambiguous="NaT", nonexistent="NaT").isna())
    seen: set[Any] = set()
    daylight = np.ones(len(index), np.bool_)
    for row in np.flatnonzero(ambiguous):
        daylight[row] = naive[row] not in seen
        seen.add(naive[row])
    once = [row for row in np.flatnonzero(ambiguous) if (naive == naive[row]).sum() == 1]
    if once and len(once) == ambiguous.sum() and len(index) > 2:
        raise ScenarioError(
            [
                Fault(
                    place,
                    f"the hour of row {once[0] + 1}, {index[once[0]]}, comes twice on the clocks of {zone} but stands "
                    "here once: the clock change is not in the rows.",
                    "The column runs on without daylight saving: state its zone as UTC or as a fixed offset; or add "
                    "the missing hour.",
                )
            ]
        )
    utc = index.tz_localize(zone, ambiguous=daylight).tz_convert("UTC").tz_localize(None)
    return np.asarray(utc.to_numpy("datetime64[s]"))


def local_clocks(utc: Instants, zone: Any) -> tuple[Instants, Instants]:
    """Local standard time and wall clock (n each) of `utc` (n)."""
    wall = _on_wall(utc, zone)
    if not len(utc):
        return utc, wall
    # a summer's data alone never show standard time: look at the months around them
    months = utc[0] + np.arange(-6, 7) * np.timedelta64(30, "D")
    return utc + min((wall - utc).min(), (_on_wall(months, zone) - months).min()), wall


def _on_wall(utc: Instants, zone: Any) -> Instants:
    import pandas

    aware = pandas.DatetimeIndex(utc, tz="UTC").tz_convert(zone)
    return np.asarray(aware.tz_localize(None).to_numpy("datetime64[s]"))


def _values(
    data: DataFile, frame: Any, name: str, need: Need, column: ColumnOfFile, zone: Any, notices: list[str]
) -> NDArray[Any]:
    """A column in the unit of `need`; what is missing, impossible or an outlier is NaN. Raises ScenarioError."""
    import pandas

    place = f"{data.file.name}, {column.column}"
    series = frame[column.column]
    if need.unit == "time":
        return _times(data, series, column.column, zone)
    if need.unit == "text":
        return np.asarray(series.fillna("").astype(str).to_numpy(dtype=object))
    if series.dtype == object:
        texts = series.astype(str).str.strip()
        blank = series.isna() | texts.str.lower().isin(("", "nan", "na", "null", "none"))
        lowered = texts.str.lower().map({"true": "1", "false": "0"}).fillna(texts)
        if data.decimal == ",":
            lowered = lowered.str.replace(",", ".", regex=False)
        values = pandas.to_numeric(lowered, errors="coerce")
        wrong = np.flatnonzero((values.isna() & ~blank).to_numpy())
        if len(wrong):
            raise ScenarioError(
                [
                    Fault(
                        place,
                        f"is no number in row {wrong[0] + 1}: '{texts.iloc[wrong[0]]}' ({len(wrong)} such rows).",
                        _number_remedy(texts.iloc[wrong[0]]),
                    )
                ]
            )
        array = np.array(values, dtype=float)
    else:
        array = np.array(series, dtype=float)
    if column.range is not None:
        low, high = column.range
        out = np.flatnonzero((array < low) | (array > high))
        if len(out):
            notices.append(
                f"{place}: {len(out)} values outside {low:g} to {high:g} {column.unit} are left out as outliers, "
                f"first in row {out[0] + 1} ({array[out[0]]:g})."
            )
            array[out] = np.nan
    if need.unit != column.unit:
        scale, shift = convert(1.0, column.unit, need.unit), convert(0.0, column.unit, need.unit)
        array = array * (scale - shift) + shift
    wrong = np.flatnonzero((array < need.low) | (array > need.high))
    if len(wrong):
        share = len(wrong) / max(int(np.isfinite(array).sum()), 1)
        problem = (
            f"{len(wrong)} values ({share:.1%}) are impossible: {name} must be from {need.low:g} to {need.high:g} "
            f"[{need.unit}], row {wrong[0] + 1} has {array[wrong[0]]:g}."
        )
        remedy = "Check the unit of the column" + (
            ": they may be off by 1,000." if share > 0.5 else "; or give a range, and they count as outliers."
        )
        raise ScenarioError([Fault(place, problem, remedy)])
    return array


def _number_remedy(text: str) -> str:
    """What to do about a cell that is no number."""
    if re.fullmatch(r"-?\d+,\d+", text):
        return "State `decimal: ','` if the comma is the decimal sign."
    if re.fullmatch(r"-?\d{1,3}(,\d{3})+(\.\d*)?", text):
        return "Write the numbers without commas between the thousands."
    return "Correct the rows, or leave the cells empty: gaps are reported."


def _regular(data: DataFile, table: Table, notices: list[str]) -> Table:
    """The table with rows in steady steps; missing rows become NaN and are reported. Raises ScenarioError."""
    name = f"{data.file.name}, {data.time.column}"
    steps = np.diff(table.utc).astype(np.int64)
    again = np.flatnonzero(steps == 0)
    if len(again):
        raise ScenarioError(
            [
                Fault(
                    name,
                    f"{len(again)} rows repeat the time of the row before, first row {again[0] + 2} "
                    f"({_wall_text(table, again[0] + 1)} local): an hour that comes twice at a clock change, or rows "
                    "that were written twice.",
                    "State the zone by whose clock the column runs, or remove the rows.",
                )
            ]
        )
    back = np.flatnonzero(steps < 0)
    if len(back):
        raise ScenarioError(
            [
                Fault(
                    name,
                    f"time runs back in {len(back)} rows, first row {back[0] + 2} ({_wall_text(table, back[0] + 1)} "
                    "local): a clock change that the stated zone does not have, or unsorted rows.",
                    "State the zone by whose clock the column runs, or sort the rows.",
                )
            ]
        )
    step = int(np.median(steps))
    odd = np.flatnonzero(steps % step != 0)
    if len(odd):
        raise ScenarioError(
            [
                Fault(
                    name,
                    f"rows are mostly {step} s apart, but row {odd[0] + 2} comes {steps[odd[0]]} s after the one "
                    f"before ({len(odd)} such rows).",
                    "Bring the rows to one step.",
                )
            ]
        )
    if (steps == step).all():
        return _replaced(table, table.utc, table.standard, table.wall, table.columns, step)
    position = np.r_[0, np.cumsum(steps // step)]
    count = int(position[-1]) + 1
    gaps = np.flatnonzero(steps > step)
    listed = "; ".join(
        f"{_wall_text(table, gap)} to {_wall_text(table, gap + 1)} ({steps[gap] // step - 1} rows)"
        for gap in gaps[:_LISTED]
    )
    more = f" and {len(gaps) - _LISTED} more" if len(gaps) > _LISTED else ""
    notices.append(f"{data.file.name}: {count - len(steps) - 1} rows are missing, between {listed}{more}; not filled.")
    utc = table.utc[0] + np.arange(count) * np.timedelta64(step, "s")
    standard, wall = local_clocks(utc, _zone(data, data.time.local or data.time.zone))
    columns: dict[str, NDArray[Any]] = {}
    for key, column in table.columns.items():
        if column.dtype.kind != "f":
            raise ScenarioError([Fault(name, f"rows are missing, and {key} is no number.", "Complete the rows.")])
        full = np.full(count, np.nan)
        full[position] = column
        columns[key] = full
    return _replaced(table, utc, standard, wall, columns, step)


def _replaced(table: Table, utc: Instants, standard: Instants, wall: Instants, columns: Any, step: int) -> Table:
    return Table(table.name, utc, standard, wall, columns, step)


def _missing_faults(data: DataFile, table: Table, wanted: dict[str, tuple[Need, ColumnOfFile]]) -> list[Fault]:
    """Columns with more gaps than the file allows."""
    faults = []
    for name, (_, column) in wanted.items():
        values = table.columns[name]
        if values.dtype.kind != "f":
            continue
        missing = ~np.isfinite(values)
        share = float(missing.mean())
        if share > data.longest_gap:
            first, last = np.flatnonzero(missing)[[0, -1]]
            faults.append(
                Fault(
                    f"{data.file.name}, {column.column}",
                    f"{missing.sum():,} of {len(values):,} values ({share:.1%}) are missing, from "
                    f"{_wall_text(table, first)} to {_wall_text(table, last)}; at most {data.longest_gap:.0%} may be.",
                    "Get the missing data, take another period, or raise longest_gap; nothing is filled.",
                )
            )
    return faults


def missing_notices(data: DataFile, table: Table) -> Iterator[str]:
    """How many values each column lacks, in words."""
    for name, values in table.columns.items():
        if values.dtype.kind == "f" and (missing := int((~np.isfinite(values)).sum())):
            yield f"{data.file.name}: {name} lacks {missing:,} of {len(values):,} values; left out, not filled."


def _wall_text(table: Table, row: int) -> str:
    return str(table.wall[row].astype("datetime64[m]")).replace("T", " ")


def hour_of_day(wall: Instants) -> Floats:
    """The hour (n) [h] of the wall clock."""
    return np.asarray((wall - wall.astype("datetime64[D]")).astype("timedelta64[s]").astype(float) / 3600)


__all__ = ["hour_of_day", "local_clocks", "missing_notices", "read_table", "read_tables", "sources"]
