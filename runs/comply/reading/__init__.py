"""Traces from a run's folder, CSV, Parquet or COMTRADE; each kind in its own file."""

from __future__ import annotations

from pathlib import Path

from cosim.errors import Fault, ScenarioError
from runs.comply.settings import Fleet
from runs.comply.trace import TraceSource


def open_source(
    place: Path, fleet: Fleet, *, group: str | None = None, nominal_volts: float | None = None
) -> TraceSource:
    """The traces in `place`. Raises ScenarioError if it is none of the kinds that can be read.

    `group`: the group of a run's results; `nominal_volts` [V]: phase-to-neutral base of COMTRADE's waves.
    """
    if place.is_dir():
        from runs.comply.reading.run_folder import RunSource

        return RunSource(place, fleet, group)
    if not place.is_file():
        raise ScenarioError([Fault(str(place), "there is no such file or folder.", "Name a trace, or a run's folder.")])
    kind = place.suffix.lower()
    if kind == ".csv":
        from runs.comply.reading.csv_file import CsvSource

        return CsvSource(place)
    if kind in (".parquet", ".pq"):
        from runs.comply.reading.parquet_file import ParquetSource

        return ParquetSource(place)
    if kind in (".cfg", ".cff"):
        from runs.comply.reading.comtrade_file import ComtradeSource

        return ComtradeSource(place, fleet, nominal_volts)
    raise ScenarioError(
        [
            Fault(
                str(place),
                f"'{kind}' is no kind of trace.",
                "Give .csv, .parquet, .cfg or .cff (COMTRADE), or a run's folder.",
            )
        ]
    )
