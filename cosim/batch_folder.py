"""A batch's folder: its layout, the checks that find what was damaged, and opening it.

batch.json      the batch as plain data, versions, seed, what the table's columns mean, checksums of the table
table.parquet   a row per finished run: parameters, outcome, verdict, figures, timings
runs/0001/      a run's folder (`cosim/results.py`), and
    files.json  every stored file with its size and SHA-256, `row.json` too
    row.json    the run's row, written last: a run without it is not finished
log.jsonl       what happened, an event a line
report.html     to look at

    batch = cosim.open_batch("results/rebound_share")
    batch.table                          # pandas, a row per run
    batch.results("oak.power")           # xarray, lazily: run, time; the parameters are coordinates on run
    batch.quantiles("oak.power", by="share")
    batch.run("0003").verdict
"""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cosim.errors import ResultsError
from cosim.registry import unknown
from cosim.results import read_json
from cosim.simulation import Run, open_run
from cosim.stored_files import damage, file_hash, list_files, relist, write_atomically

if TYPE_CHECKING:
    import pandas
    import xarray

BATCH = "batch.json"
TABLE = "table.parquet"
RUNS = "runs"
ROW = "row.json"
LOG = "log.jsonl"

PARAMETER = "param."  #: prefix of the table's columns of parameters
FIGURE = "figure."  #: prefix of its columns of figures

#: Columns that tell how the runs were made, not what came out: they differ from one execution to the next.
CIRCUMSTANCES = ("attempts", "cached", "worker", "seconds.wall", "seconds.startup", "memory_mb", "log")

_THREADS = 8  #: that look at files, which is waiting for the disk


# ------------------------------------------------------------------------------------- writing


def run_folder(folder: Path, run: str) -> Path:
    """The folder of the run named `run` in the batch's `folder`."""
    return folder / RUNS / run


def run_name(number: int, runs: int) -> str:
    """The name of the run `number` (from 1) of a batch of so many runs, as `0001`."""
    return f"{number:0{max(4, len(str(runs)))}d}"


def finish_run(folder: Path, row: str) -> None:
    """Mark the run in `folder` as finished: list its files, then write `row` (JSON). Raises OSError.

    Nothing that the list holds may be written after.
    """
    row = row if row.endswith("\n") else row + "\n"
    list_files(folder, {ROW: row})
    write_atomically(folder / ROW, row)


def rewrite_row(folder: Path, row: str) -> None:
    """Replace the row of a finished run; interrupted in between, it counts as damaged. Raises OSError, ValueError."""
    relist(folder, ROW, row)
    write_atomically(folder / ROW, row)


def write_table(folder: Path, table: pandas.DataFrame, description: Mapping[str, Any]) -> None:
    """Write the table, then `batch.json` with its checksums: `description` and what `open_batch` checks.

    `table` must hold the row of every finished run in `folder`. Raises OSError.
    """
    temporary = folder / f".{TABLE}.{secrets.token_hex(8)}"
    try:
        table.to_parquet(temporary, index=False)
        temporary.replace(folder / TABLE)
    finally:
        temporary.unlink(missing_ok=True)
    checks = {
        "rows": len(table),
        "sha256": file_hash(folder / TABLE),
        "row_sha256": {run: file_hash(run_folder(folder, run) / ROW) for run in table["run"]},
    }
    write_batch(folder, {**description, "table": checks})


def write_batch(folder: Path, description: Mapping[str, Any]) -> None:
    """Write `batch.json`. Raises OSError."""
    write_atomically(folder / BATCH, json.dumps(description, indent=1) + "\n")


def is_batch(folder: Path) -> bool:
    """Whether `folder` is a batch's."""
    return (folder / BATCH).is_file()


def read_batch(folder: Path) -> dict[str, Any]:
    """`batch.json` as written. Raises ResultsError if the folder is no batch's."""
    if not is_batch(folder):
        raise ResultsError(f"'{folder}' is not the folder of a batch (it has no {BATCH}); name one of `cosim batch`")
    return read_json(folder, BATCH)


# ------------------------------------------------------------------------------------- checking


@dataclass(frozen=True)
class Problem:
    """Something in a batch's folder that is not as it was written."""

    run: str  #: "" where it concerns the whole batch
    text: str

    def __str__(self) -> str:
        return f"run {self.run}: {self.text}" if self.run else self.text


def finished_runs(folder: Path) -> list[str]:
    """The names of all runs that are finished, in order."""
    runs = folder / RUNS
    return sorted(entry.name for entry in runs.iterdir() if (entry / ROW).is_file()) if runs.is_dir() else []


def run_problems(folder: Path, run: str, *, verify: bool = False) -> list[Problem]:
    """What is damaged in a finished run: files that are missing, have another size or, with `verify`, other bytes.

    Its row is compared byte by byte in any case.
    """
    where = run_folder(folder, run)
    if not where.is_dir():
        return [Problem(run, f"its folder {where} is missing")]
    if not (where / ROW).is_file():
        return [Problem(run, f"it has no {ROW}, so it is not finished")]
    return [Problem(run, text) for text in damage(where, full=verify, always=(ROW,))]


def batch_problems(folder: Path, *, verify: bool = False, complete: bool | None = None) -> list[Problem]:
    """Everything in a batch's folder that is not as it was written. Raises ResultsError if it is no batch's.

    Without `verify` the sizes of all files are compared; with it their bytes. Planned runs without a row are problems
    if it must be `complete`, by default with `verify`.
    """
    written = read_batch(folder)
    checks = written.get("table")
    finished = finished_runs(folder)
    if checks is None or not (folder / TABLE).is_file():
        missing = f"{len(finished)} runs are finished, but there is no {TABLE}"
        return [Problem("", missing)]
    problems = []
    if file_hash(folder / TABLE) != checks["sha256"]:
        problems.append(Problem("", f"{TABLE} is not the one that {BATCH} describes"))
    listed: Mapping[str, str] = checks["row_sha256"]
    with ThreadPoolExecutor(_THREADS) as pool:
        found = pool.map(lambda run: run_problems(folder, run, verify=verify), listed)
        for (run, sha256), own in zip(listed.items(), found, strict=True):
            problems += own
            row = run_folder(folder, run) / ROW
            if not own and file_hash(row) != sha256:
                problems.append(Problem(run, f"the table is out of step with its {ROW}"))
    problems += [Problem(run, "it is finished, but not in the table") for run in finished if run not in listed]
    if verify if complete is None else complete:
        problems += [Problem(run, "it is planned, but not in the table") for run in missing_runs(written)]
    return problems


def missing_runs(written: Mapping[str, Any]) -> list[str]:
    """The planned runs that have no row in the table, by what `batch.json` holds; all where there is no table."""
    planned = int(written.get("runs", 0))
    listed = (written.get("table") or {}).get("row_sha256", {})
    names = (run_name(number, planned) for number in range(1, planned + 1))
    return [name for name in names if name not in listed]


# -------------------------------------------------------------------------------------- opening


@dataclass(frozen=True)
class Batch:
    """A batch in its folder; see the top of this file."""

    folder: Path

    @cached_property
    def description(self) -> dict[str, Any]:
        """What the batch was made from: `batch.json`."""
        return read_batch(self.folder)

    @cached_property
    def table(self) -> pandas.DataFrame:
        """A row per finished run, in order; `attrs["units"]` holds the units of its columns."""
        import pandas

        try:
            table = pandas.read_parquet(self.folder / TABLE)
        except (OSError, ValueError) as error:
            raise ResultsError(f"{self.folder / TABLE} cannot be read ({error}); {_remedy(self.folder)}") from None
        table.attrs["units"] = self._units
        return table

    @property
    def _units(self) -> dict[str, str]:
        parameters = {PARAMETER + name: entry["unit"] for name, entry in self.description["parameters"].items()}
        figures = {FIGURE + name: entry["unit"] for name, entry in self.description["figures"].items()}
        return {**parameters, **figures, "seconds.wall": "s", "seconds.startup": "s", "memory_mb": "MB"}

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of what was varied."""
        return tuple(self.description["parameters"])

    @property
    def figures(self) -> tuple[str, ...]:
        """The names of the summary figures."""
        return tuple(self.description["figures"])

    @cached_property
    def missing(self) -> tuple[str, ...]:
        """The names of planned runs that have no row: the batch was ended before they were made."""
        return tuple(missing_runs(self.description))

    @property
    def runs(self) -> tuple[str, ...]:
        """The names of all finished runs, failed ones included."""
        return tuple(self.table["run"])

    def run(self, name: str | int) -> Run:
        """One run, by its name or its number. Raises ResultsError if there is none or it left no results."""
        if isinstance(name, int):
            numbers = self.table.set_index("number")["run"]
            name = str(numbers.get(name, name))
        if name not in self.runs:
            raise ResultsError(f"{unknown('run', name, self.runs, str(self.folder))}")
        row = self.table.set_index("run").loc[name]
        if row["outcome"] == "invalid":
            raise ResultsError(f"run {name} never ran: {row['error']}")
        return open_run(run_folder(self.folder, name))

    def results(self, what: str, *, baseline: bool = False, elapsed: bool = False) -> Any:
        """What all runs recorded, lazily: of a federate (`oak`) a Dataset, of an output (`oak.power`) a DataArray.

        The first dimension is `run`, with the parameters, `group` and `outcome` as coordinates on it. A run that
        failed or did not record it has NaN. Times and labels of all runs are joined, with NaN where a run has none.
        `baseline`: of the undisturbed twins. `elapsed`: time since each run's start instead of the local time,
        for runs that start at different times.

        Raises ResultsError if no run has it, or units differ.
        """
        from cosim.batch_dataset import joined

        return joined(self, what, baseline=baseline, elapsed=elapsed)

    def quantiles(
        self,
        what: str,
        shares: Sequence[float] = (0.05, 0.5, 0.95),
        *,
        by: str | None = None,
        baseline: bool = False,
        elapsed: bool = False,
    ) -> xarray.DataArray:
        """Quantiles of an output over all runs that have it, (by, quantile, ...): for each value of parameter `by`.

        Of complex outputs the real part is taken. Raises ResultsError.
        """
        from cosim.batch_dataset import bands

        return bands(self, what, shares, by=by, baseline=baseline, elapsed=elapsed)

    def problems(self, *, verify: bool = False) -> list[Problem]:
        """What is not as it was written; with `verify` every byte is compared."""
        return batch_problems(self.folder, verify=verify)


def open_batch(folder: str | Path, *, verify: bool = False) -> Batch:
    """Open the folder of a batch and check it: sizes of all files; with `verify` all bytes, and every planned run.

    Without `verify`, a batch that ended before all its runs were made opens; a log message says so (`Batch.missing`).
    Raises ResultsError, naming the runs, if anything is damaged, missing or out of step.
    """
    batch = checked_batch(folder, verify=verify)
    if batch.missing:
        logging.getLogger(__name__).warning(incomplete(batch))
    return batch


def checked_batch(folder: str | Path, *, verify: bool = False, complete: bool | None = None) -> Batch:
    """As `open_batch`, for who says himself what is missing; `complete` as in `batch_problems`. Raises ResultsError."""
    path = Path(folder)
    problems = batch_problems(path, verify=verify, complete=complete)
    if problems:
        raise ResultsError(_text(path, problems))
    return Batch(path)


def incomplete(batch: Batch) -> str:
    """What to know of a batch of which runs are missing."""
    planned = batch.description["runs"]
    return (
        f"{len(batch.missing)} of the {planned} planned runs in {batch.folder} have not been made; "
        f"{_remedy(batch.folder)}"
    )


_MOST_SHOWN = 10


def _text(folder: Path, problems: Sequence[Problem]) -> str:
    shown = [f"  {problem}" for problem in problems[:_MOST_SHOWN]]
    if len(problems) > _MOST_SHOWN:
        shown.append(f"  and {len(problems) - _MOST_SHOWN} more")
    return "\n".join([f"the batch in {folder} is damaged or not complete:", *shown, _remedy(folder)])


def _remedy(folder: Path) -> str:
    """The command that mends it."""
    return (
        f"`cosim batch FILE --resume --out {folder}` runs again what is damaged, makes what is missing, keeps the rest"
    )
