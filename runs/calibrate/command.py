"""`cosim calibrate`: fit models to measured history on the command line."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from runs.calibrate.run import Calibration

_WIDTH = 160
_SHOWN = 40  #: rows of the table of scores


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("calibrate")(calibrate)


def calibrate(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A calibration file (YAML).")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for the results; by default results/calibration_NAME.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier calibration's folder.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where a killed calibration stopped.")] = False,
    workers: Annotated[
        int | None,
        typer.Option("--workers", "-w", min=1, help="Processes for simulations in the loop; by default the cores."),
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option("--scheduler", metavar="ADDRESS", help="Run them on this Dask scheduler instead.")
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Check file and data, and fit nothing.")] = False,
    no_report: Annotated[bool, typer.Option("--no-report", help="Do not write report.html.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one machine-readable object.")] = False,
) -> None:
    """Fit model parameters to measured series, and score them on periods that the fit has not seen."""
    from runs.calibrate.run import PARAMETERS, REPORT
    from runs.calibrate.run import calibrate as run_calibration

    if check:
        _check(file, as_json=as_json)
        return
    with _progress(quiet=as_json) as progress:
        done = run_calibration(
            file,
            out,
            overwrite=overwrite,
            resume=resume,
            workers=workers or os.cpu_count() or 1,
            scheduler=scheduler,
            report=not no_report,
            progress=progress,
        )
    report = None if no_report else done.folder / REPORT
    if as_json:
        shown = {
            "folder": str(done.folder),
            "parameters": str(done.folder / PARAMETERS),
            "report": report and str(report),
            "seconds": round(done.seconds, 2),
            "scores": [score.model_dump(mode="json") for score in done.scores],
            "warnings": list(done.parameters.provenance.warnings),
            "facts": dict(done.outcome.facts),
        }
        print(json.dumps(shown, indent=2, ensure_ascii=False))
        return
    from rich.console import Console

    console = Console() if sys.stdout.isatty() else Console(width=_WIDTH)
    print_calibration(done, console)
    more = f"   Report: {report}" if report else ""
    console.print(f"Parameters: {done.folder / PARAMETERS}{more}", highlight=False, soft_wrap=True)


def _check(file: Path, *, as_json: bool) -> None:
    from runs.calibrate.run import check as check_file

    tables, notices = check_file(file)
    if as_json:
        print(json.dumps({"valid": True, "rows": {name: len(t.utc) for name, t in tables.items()}, "notices": notices}))
        return
    rows = ", ".join(f"{name}: {len(table.utc):,} rows" for name, table in tables.items())
    print(f"{file}: good ({rows or 'makes its own data'})")
    for notice in notices:
        print(notice)


def print_calibration(done: Calibration, console: Console) -> None:
    """The scores beside their baselines, what was chosen, and the warnings."""
    from rich.table import Table

    made = done.parameters.provenance
    console.print(f"{done.parameters.name} ({done.parameters.kind}), {done.seconds:.1f} s", style="bold")
    console.print(f"fitted to {made.fitted}; held out: {made.held_out or 'nothing'}", highlight=False)
    names = list(dict.fromkeys(name for score in made.scores for name in score.baselines))
    table = Table("part", "quantity", "score", "value", *names, "criteria")
    for score in made.scores[:_SHOWN]:
        beside = [f"{score.baselines[name]:.4g}" if name in score.baselines else "" for name in names]
        limits = ", ".join(
            f"{limit.name} {limit.limit:g}{'' if limit.applies else ' (' + limit.scale + ')'}"
            for limit in score.criteria
        )
        table.add_row(score.part, score.quantity, score.score, f"{score.value:.4g} {score.unit}", *beside, limits)
    console.print(table)
    if len(made.scores) > _SHOWN:
        console.print(f"{len(made.scores) - _SHOWN} more scores are in scores.csv", highlight=False)
    for name, text in done.outcome.facts.items():
        console.print(f"{name}: {text}", highlight=False)
    for warning in made.warnings:
        console.print(f"! {warning}", highlight=False)


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Callable[[str], None]]:
    """Show what goes on, on standard error."""
    if quiet or not sys.stderr.isatty():
        yield lambda text: None
        return
    from rich.console import Console

    with Console(stderr=True).status("starting") as status:
        yield lambda text: status.update(text)
