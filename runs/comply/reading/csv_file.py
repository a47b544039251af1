"""Traces from CSV: one DER; or many, by a column `der` or by columns named `DER:quantity`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from cosim.errors import Fault, ScenarioError
from runs.comply.reading.columns import KNOWN, assemble, doubles, portion, split_wide
from runs.comply.trace import Array, Trace


def traces_of_frame(frame: Any, place: str, default: str) -> dict[str, dict[str, Any]]:
    """DER -> quantity -> column (a pandas Series) of a table."""
    frame = frame.rename(columns=lambda name: str(name).strip())
    if "der" in frame.columns:
        return {
            str(name): {key: part[key] for key in KNOWN if key in part.columns}
            for name, part in frame.groupby("der", sort=False)
        }
    wide = split_wide(list(frame.columns))
    if wide:
        return {der: {key: frame[column] for key, column in columns.items()} for der, columns in wide.items()}
    return {default: {key: frame[key] for key in frame.columns if key in KNOWN}}


def numbers(series: Any, name: str, place: str) -> Array:
    """A column as numbers. Raises ScenarioError for texts."""
    if series.dtype == bool:
        return np.asarray(series, dtype=np.float64)
    if series.dtype.kind in "fiu":
        return doubles(series.to_numpy())
    import pandas

    values = pandas.to_numeric(series, errors="coerce")
    wrong = values.isna() & series.notna()
    if wrong.any():
        row = int(np.flatnonzero(wrong.to_numpy())[0])
        raise ScenarioError(
            [
                Fault(
                    place,
                    f"{name} is '{series.iloc[row]}' in sample {row + 1}.",
                    "Write numbers only, with a decimal point.",
                )
            ]
        )
    return np.ascontiguousarray(values.to_numpy(dtype=np.float64))


class CsvSource:
    """A CSV file."""

    zero = ""

    def __init__(self, place: Path) -> None:
        """Read the file. Raises ScenarioError."""
        import pandas

        try:
            frame = pandas.read_csv(place, skipinitialspace=True, comment="#")
        except (ValueError, UnicodeDecodeError, pandas.errors.ParserError) as error:
            text = str(error).strip().splitlines()[0]
            raise ScenarioError(
                [Fault(str(place), f"is not readable as CSV: {text}.", "See docs/comply.md.")]
            ) from None
        self.place = place
        self._columns = traces_of_frame(frame, str(place), place.stem)
        self.names = tuple(self._columns)

    def traces(self, share: tuple[int, int]) -> Iterator[Trace]:
        for name in portion(self.names, share):
            where = str(self.place) if len(self.names) == 1 else f"{self.place}, {name}"
            columns = {key: numbers(series, key, where) for key, series in self._columns[name].items()}
            yield assemble(name, columns, where)
