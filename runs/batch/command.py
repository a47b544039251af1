"""`cosim batch`: many variants of one scenario, run on Dask."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import typer

if TYPE_CHECKING:
    from runs.batch.executor import Choice, Ended
    from runs.batch.plan import Plan

RESULTS_FOLDER = Path("results")
TlsCa = Annotated[Path | None, typer.Option("--tls-ca", metavar="FILE", help="The scheduler's CA certificate (PEM).")]
TlsCert = Annotated[Path | None, typer.Option("--tls-cert", metavar="FILE", help="Our certificate for it (PEM).")]
TlsKey = Annotated[Path | None, typer.Option("--tls-key", metavar="FILE", help="Our key for it (PEM, mode 0600).")]

MOST_SHOWN = 5  #: failed runs that are shown with their errors


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(batch)


def batch(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A batch file (YAML).")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for the results; by default results/NAME.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would run, how long and how large.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on: run what is missing or has changed.")] = False,
    rerun_failed: Annotated[
        bool, typer.Option("--rerun-failed", help="Go on, and run again what did not run to its end.")
    ] = False,
    rerun: Annotated[
        list[str] | None, typer.Option("--rerun", metavar="RUN", help="Go on, and run this one again.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", "-w", min=1, help="Processes on this machine; by default its cores.")
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option("--scheduler", metavar="ADDRESS", help="Run on this Dask scheduler instead.")
    ] = None,
    tls_ca: TlsCa = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    dashboard: Annotated[
        bool, typer.Option("--dashboard", help="Show Dask's web page, which every user of this machine can look at.")
    ] = False,
    verify: Annotated[
        str, typer.Option("--verify", metavar="full|quick", help="Of finished runs: compare every byte, or the sizes.")
    ] = "full",
    cache: Annotated[
        Path | None, typer.Option("--cache", metavar="DIR", help="Share finished runs with other batches here.")
    ] = None,
    no_report: Annotated[bool, typer.Option("--no-report", help="Do not write report.html.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one machine-readable object.")] = False,
) -> None:
    """Run the variants of a scenario on Dask; leave a folder with a table and every run's results."""
    from runs.batch.file import load_batch
    from runs.batch.plan import make_plan

    if verify not in ("full", "quick"):
        raise typer.BadParameter("must be 'full' or 'quick'", param_hint="--verify")
    if scheduler is None and (tls_ca or tls_cert or tls_key):
        raise typer.BadParameter("is for a scheduler elsewhere; give --scheduler too", param_hint="--tls-ca")
    loaded = load_batch(file)
    plan = make_plan(loaded)
    folder = out or RESULTS_FOLDER / loaded.name
    count = workers or os.cpu_count() or 1
    if dry_run:
        _estimate(plan, folder, count, as_json=as_json)
        if not plan.valid:
            raise typer.Exit(1)
        return
    from runs.batch.executor import Choice, run_batch
    from runs.batch.progress import show_batch

    tls = None
    if scheduler is not None:
        from runs.dask_clusters import tls_of

        tls = tls_of(tls_ca, tls_cert, tls_key)
    choice = Choice(
        resume=resume or rerun_failed or bool(rerun),
        rerun_failed=rerun_failed,
        rerun=_known(rerun or [], plan),
        workers=count,
        scheduler=scheduler,
        tls=tls,
        dashboard=dashboard,
        cache=cache,
        verify=cast(Literal["full", "quick"], verify),
    )
    try:
        with show_batch(quiet=as_json) as show:
            ended = run_batch(plan, folder, choice, show)
    except KeyboardInterrupt:
        _say_kept(folder, len(plan.variants))
        raise
    again = _again(file, out, choice, workers)
    report = None if no_report else _write_report(ended, again)
    if as_json:
        print(json.dumps(_summary(ended, again, report), indent=2, ensure_ascii=False))
    else:
        _print(ended, report)
    if ended.failed:
        _complain(ended, again)
        raise typer.Exit(1)


def _say_kept(folder: Path, total: int) -> None:
    """Say on standard error what an interrupted batch has left, and how to go on."""
    from cosim.batch_folder import finished_runs, missing_runs
    from runs.batch.earlier import read_earlier

    written = read_earlier(folder)
    finished = total - len(missing_runs(written)) if "table" in written else len(finished_runs(folder))
    print(
        f"cosim: {finished} of {total} runs are finished and kept in {folder}; add --resume to go on", file=sys.stderr
    )


def _known(rerun: list[str], plan: Plan) -> tuple[str, ...]:
    """The names of runs to make again. Raises ScenarioError where there is no such run."""
    from cosim.errors import Fault, ScenarioError
    from cosim.registry import unknown

    runs = [variant.run for variant in plan.variants]
    faults = [Fault("--rerun", unknown("run", name, runs) + ".") for name in rerun if name not in runs]
    if faults:
        raise ScenarioError(faults)
    return tuple(rerun)


def _estimate(plan: Plan, folder: Path, workers: int, *, as_json: bool) -> None:
    """Print what a dry run finds."""
    from runs.batch.estimate import estimate, print_estimate

    found = estimate(plan, folder, workers)
    if as_json:
        print(found.model_dump_json(indent=2))
    else:
        print_estimate(found)


def _write_report(ended: Ended, again: str) -> Path:
    from cosim.batch_folder import Batch
    from runs.batch_report import write_batch_report

    return write_batch_report(Batch(ended.folder), again=again)


def _summary(ended: Ended, again: str, report: Path | None) -> dict[str, Any]:
    failed = [{"run": row.run, "outcome": row.outcome, "error": row.error, "log": row.log} for row in ended.failed]
    return {
        "folder": str(ended.folder),
        "report": report and str(report),
        "runs": len(ended.rows),
        "outcomes": dict(Counter(row.outcome for row in ended.rows)),
        "failed": failed,
        "rerun": again if failed else None,
    }


def _print(ended: Ended, report: Path | None) -> None:
    from rich.console import Console

    outcomes = ", ".join(f"{count} {outcome}" for outcome, count in Counter(row.outcome for row in ended.rows).items())
    text = f"{len(ended.rows)} runs: {outcomes}\nResults: {ended.folder}" + (f"   Report: {report}" if report else "")
    Console().print(text, highlight=False, soft_wrap=True)


def _again(file: Path, out: Path | None, choice: Choice, workers: int | None) -> str:
    """The command that runs again what failed."""
    words = ["cosim", "batch", str(file), "--rerun-failed"]
    given = {"--out": out, "--workers": workers, "--scheduler": choice.scheduler, "--cache": choice.cache}
    if choice.tls is not None:
        given |= {"--tls-ca": choice.tls.ca, "--tls-cert": choice.tls.cert, "--tls-key": choice.tls.key}
    for option, value in given.items():
        if value is not None:
            words += [option, str(value)]
    return shlex.join(words)


def _complain(ended: Ended, again: str) -> None:
    """Say on standard error what failed, and how to run just that again."""
    lines = [f"cosim: {len(ended.failed)} of {len(ended.rows)} runs failed or cannot be trusted"]
    for row in ended.failed[:MOST_SHOWN]:
        first, *more = row.error.splitlines() or [""]
        lines.append(f"  run {row.run}, {row.outcome}: {first}" + (" ..." if more else ""))
    if len(ended.failed) > MOST_SHOWN:
        lines.append(f"  and {len(ended.failed) - MOST_SHOWN} more; see the columns outcome and error of the table")
    if any(not row.finished_well for row in ended.failed):
        lines.append(f"To run just those again: {again}")
    if any(row.finished_well for row in ended.failed):
        lines.append("Those that cannot be trusted have run to their end: see the verdict.json in their folders")
    print("\n".join(lines), file=sys.stderr)
