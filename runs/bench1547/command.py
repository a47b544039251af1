"""`cosim bench1547`: the bench on the command line."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, cast, get_args

import typer

from cosim.errors import ConfigError, Fault, ScenarioError

_WIDTH = 200


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("bench1547")(bench1547)


def bench1547(
    device: Annotated[str, typer.Option(help="What to test: fleet, opender, module:Class or file.py:Class.")] = "fleet",
    category: Annotated[str, typer.Option(help="Abnormal operating performance category: I, II or III.")] = "III",
    normal: Annotated[str, typer.Option(help="Normal operating performance category: A or B.")] = "B",
    edition: Annotated[str, typer.Option(help="Of the shall-trip ranges: 2018 or 1547a-2020.")] = "2018",
    sequences: Annotated[
        str, typer.Option(help="Only these: families or patterns, separated by commas ('voltage_trip/UV1/*').")
    ] = "*",
    dt: Annotated[float, typer.Option(help="The fine time step [s], 0.001 to 0.05.")] = 0.01,
    as_json: Annotated[bool, typer.Option("--json", help="Print one machine-readable object.")] = False,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write the report, with plots, to this HTML file.")
    ] = None,
) -> None:
    """Put a DER model through test sequences in the manner of IEEE 1547.1-2020; exits 3 where it fails."""
    from runs.bench1547.device import load_device
    from runs.bench1547.report import write_report
    from runs.bench1547.runner import bench
    from runs.bench1547.sequence import Plan
    from runs.bench1547.terminal import print_report
    from solvers import ieee1547_tables as tables

    _refuse_unknown(
        ("category", category, get_args(tables.AbnormalCategory)),
        ("normal", normal, get_args(tables.NormalCategory)),
        ("edition", edition, get_args(tables.Edition)),
    )
    if not 0.001 <= dt <= 0.05:
        raise ScenarioError([Fault("--dt", f"must lie between 0.001 and 0.05 s, got {dt:g}", "The usual is 0.01.")])
    try:
        make = load_device(device)
        plan = Plan(
            category=cast("tables.AbnormalCategory", category),
            normal=cast("tables.NormalCategory", normal),
            edition=cast("tables.Edition", edition),
            phases=make(1).phases,
            dt=dt,
        )
        with _progress(quiet=as_json) as progress:
            report, judged = bench(make, device=device, plan=plan, pattern=sequences, progress=progress)
    except ConfigError as error:
        raise ScenarioError([Fault(f"--{error.field}", error.problem, error.remedy)]) from error
    if out is not None:
        write_report(report, judged, out)
    if as_json:
        print(json.dumps(report.model_dump(mode="json"), indent=2, ensure_ascii=False))
    else:
        from rich.console import Console

        # a table squeezed into the 80 columns of a pipe is not to be read
        print_report(report, Console() if sys.stdout.isatty() else Console(width=_WIDTH))
        if out is not None:
            print(f"Report: {out}")
    if not report.passed:
        raise typer.Exit(3)


def _refuse_unknown(*given: tuple[str, str, tuple[str, ...]]) -> None:
    faults = [
        Fault(f"--{name}", f"must be one of {', '.join(allowed)}, got '{value}'", "Correct it.")
        for name, value, allowed in given
        if value not in allowed
    ]
    if faults:
        raise ScenarioError(faults)


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """Show how many cases are done, on standard error."""
    if quiet or not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("cases", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
