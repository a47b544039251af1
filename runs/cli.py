"""The command line: `cosim run|batch|validate|wire|compare|verify|report|list|schema|replay|respond|comply|...`.

Exit codes: 0 good; 1 the run failed or cannot be trusted; 2 the input was wrong; 130 interrupted. Results go to
standard output, progress and errors to standard error; `--json` prints one object. Imports are late, so that
`--help` and `validate` stay quick.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer

from runs.batch.command import TlsCa, TlsCert, TlsKey
from runs.batch.command import register as register_batch
from runs.bench1547.command import register as register_bench1547
from runs.calibrate.command import register as register_calibrate
from runs.comply.command import register as register_comply
from runs.entry import INTERRUPTED, begin
from runs.interruption import INTERRUPTION
from runs.respond import register as register_respond

if TYPE_CHECKING:
    from distributed import Client
    from rich.console import Console

    from cosim.batch_folder import Batch
    from cosim.errors import CosimError
    from cosim.simulation import Run

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Power-system co-simulation with a verdict that can be trusted.",
)

ScenarioFile = Annotated[Path, typer.Argument(metavar="SCENARIO", help="A scenario file (YAML).")]
RunFolder = Annotated[Path, typer.Argument(metavar="DIR", help="The folder of a run.")]
Json = Annotated[bool, typer.Option("--json", help="Print one machine-readable object.")]
Out = Annotated[Path | None, typer.Option("--out", "-o", help="Folder for the results; by default results/NAME.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an earlier run's folder.")]
NoReport = Annotated[bool, typer.Option("--no-report", help="Do not write report.html.")]


SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="PATH=VALUE", help="A setting in place of the file's, as dispatch.interval='15 min'."
    ),
]


def _show_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print(f"cosim {version('cosim')}")
        raise typer.Exit


@app.callback()
def _cosim(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """What comes before the command."""


@app.command()
def run(
    scenario: ScenarioFile,
    out: Out = None,
    baseline: Annotated[
        bool, typer.Option(help="Run its twin beside it: undisturbed; of an event window with DER, with DER held.")
    ] = True,
    half_step: Annotated[
        bool, typer.Option("--half-step", help="Run it also at half the event window's step, and say what changes.")
    ] = False,
    settings: SetOption = None,
    seed: Annotated[int | None, typer.Option(help="Use another seed than the scenario's.")] = None,
    scheduler: Annotated[
        str | None, typer.Option(help="Spread its processes over the workers of the Dask scheduler at this address.")
    ] = None,
    tls_ca: TlsCa = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    workers: Annotated[int, typer.Option(min=0, help="Spread them over so many Dask workers started here.")] = 0,
    crash_safe: Annotated[
        bool, typer.Option("--crash-safe", help="Bring what is recorded to the disk each second; see `cosim recover`.")
    ] = False,
    overwrite: Overwrite = False,
    no_report: NoReport = False,
    as_json: Json = False,
) -> None:
    """Run a scenario (beside its twin), judge it, and leave a folder with results and report."""
    import cosim
    from runs.progress import show_progress
    from runs.set_option import load_with

    given = [f"seed={seed}"] if seed is not None else []
    given += ["outputs.crash_safe=true"] if crash_safe else []
    loaded = load_with(scenario, [*(settings or ()), *given])
    with (
        INTERRUPTION.deferred() as stop,
        _dask(scheduler, workers, (tls_ca, tls_cert, tls_key)) as cluster,
        show_progress(quiet=as_json) as progress,
    ):
        finished = cosim.run(
            loaded,
            out,
            baseline=baseline,
            half_step=half_step,
            overwrite=overwrite,
            progress=progress,
            stop=stop,
            workers=cluster,
        )
    _finish(finished, no_report=no_report, as_json=as_json)


@contextmanager
def _dask(
    scheduler: str | None, workers: int, files: tuple[Path | None, Path | None, Path | None]
) -> Iterator[Client | None]:
    """A client of the Dask scheduler to use, if any; `workers` new ones live as long as the context."""
    if scheduler is None and any(files):
        raise typer.BadParameter("--tls-ca, --tls-cert and --tls-key are for a scheduler elsewhere; give --scheduler")
    if not workers and scheduler is None:
        yield None
        return
    if workers and scheduler is not None:
        raise typer.BadParameter("give --scheduler or --workers, not both")
    from distributed import Client

    from runs.dask_clusters import connected, own_cluster, tls_of, unprotected

    if scheduler is not None:
        tls = tls_of(*files)
        with connected(scheduler, tls) as client:
            addresses = [str(client.scheduler.address), *client.scheduler_info(n_workers=-1)["workers"]]
            for warning in filter(None, (unprotected(addresses), tls.warning if tls is not None else "")):
                _complain(warning)
            yield client
        return
    connect: Any = Client
    with TemporaryDirectory(prefix="cosim-") as folder, own_cluster(Path(folder)) as cluster:
        # Ctrl-C goes to every process of a terminal; what starts while it is ignored will ignore it too
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            cluster.scale(workers)
            client = connect(cluster, set_as_default=False)
            client.wait_for_workers(workers)
        finally:
            signal.signal(signal.SIGINT, before)
        with client:
            yield client


def _finish(finished: Run, *, no_report: bool, as_json: bool, extra: dict[str, Any] | None = None) -> None:
    """Report on a run and exit by its verdict."""
    from cosim.errors import CosimError
    from runs.report import write_report
    from runs.summary import print_summary, summarise

    summary = summarise(finished)
    report, unwritten = None, None
    try:
        report = None if no_report else write_report(finished)
    except CosimError as error:  # said after the run's own verdict
        unwritten = error
    if as_json:
        shown = {"folder": str(finished.folder), "report": report and str(report), **summary.model_dump(mode="json")}
        _print_json(shown | (extra or {}))
    else:
        print_summary(summary, _console())
        _console().print(f"Results: {finished.folder}" + (f"   Report: {report}" if report else ""), highlight=False)
    if not finished.trustworthy:
        _complain(finished.cause or "the run cannot be trusted; see the failed checks above and in verdict.json")
    if unwritten is not None:
        raise unwritten
    if not finished.trustworthy:
        raise typer.Exit(1)


@app.command()
def validate(
    scenario: ScenarioFile,
    settings: SetOption = None,
    no_code: Annotated[
        bool, typer.Option("--no-code", help="Refuse a scenario that names Python files, instead of executing them.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Check a scenario completely, without running it."""
    import cosim
    from runs.set_option import load_with

    _say_what_is_executed(scenario, settings or (), refuse=no_code)
    federation = cosim.wire(load_with(scenario, settings or ()))
    left_out = [str(entry) for entry in federation.left_out]
    if as_json:
        shown = {"valid": True, "scenario": federation.scenario, "federates": len(federation.federates)}
        _print_json(shown | {"left_out": left_out})
        return
    print(f"{scenario}: good ({len(federation.federates)} federates, {len(federation.links)} links)")
    for line in left_out:
        print(f"  not used: {line}")


def _say_what_is_executed(scenario: Path, settings: Sequence[str], *, refuse: bool) -> None:
    """Name the Python files that a scenario brings before they are executed. Raises ScenarioError to `refuse` them."""
    from cosim.errors import Fault, ScenarioError
    from cosim.scenario import python_files
    from runs.set_option import python_given

    files = sorted({*python_files(scenario), *python_given(settings, scenario.resolve().parent)})
    if files and refuse:
        problem = "is Python, which the scenario names as a federate, and was not executed."
        raise ScenarioError([Fault(file, problem, "Read it, and leave out --no-code.") for file in files])
    for file in files:
        _complain(f"executes {file}, which the scenario names")


@app.command()
def wire(scenario: ScenarioFile, settings: SetOption = None, as_json: Json = False) -> None:
    """Print the federation that a scenario expands to: federates, ports, links, units, steps."""
    import cosim
    from runs.set_option import load_with
    from runs.wire_tables import print_federation

    federation = cosim.wire(load_with(scenario, settings or ()))
    if as_json:
        _print_json(json.loads(federation.model_dump_json()))
    else:
        print_federation(federation, _console())


@app.command()
def compare(
    first: Annotated[Path, typer.Argument(metavar="DIR_A", help="The folder of a run or batch.")],
    second: Annotated[Path, typer.Argument(metavar="DIR_B", help="The folder of another.")],
    as_json: Json = False,
) -> None:
    """Compare two runs, variable by variable, or two batches, figure by figure."""
    import cosim
    from cosim.batch_folder import is_batch

    if is_batch(first) and is_batch(second):
        from runs.batch.compare import compare_batches, print_batch_comparison

        batches = compare_batches(*(_batch_as_it_is(folder) for folder in (first, second)))
        if as_json:
            _print_json(batches.model_dump(mode="json"))
        else:
            print_batch_comparison(batches, _console())
        return
    from runs.compare import compare as compare_runs
    from runs.compare import print_comparison

    comparison = compare_runs(cosim.open(first), cosim.open(second))
    if as_json:
        _print_json(comparison.model_dump(mode="json"))
    else:
        print_comparison(comparison, _console())
    if comparison.first_damage or comparison.second_damage:
        raise typer.Exit(1)


def _batch_as_it_is(folder: Path) -> Batch:
    """A batch whose every byte is as written; if runs are missing, standard error says so. Raises ResultsError."""
    from cosim.batch_folder import checked_batch, incomplete

    batch = checked_batch(folder, verify=True, complete=False)
    if batch.missing:
        _complain(incomplete(batch))
    return batch


@app.command()
def verify(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of a run or a batch.")],
    as_json: Json = False,
) -> None:
    """Hold every stored byte of a run or a batch against what was written; name what is damaged or missing."""
    from runs.verify import print_verified, verify_folder

    found = verify_folder(folder)
    if as_json:
        _print_json(found.model_dump(mode="json"))
    else:
        print_verified(found, _console())
    if not found.good:
        raise typer.Exit(1)


@app.command()
def recover(folder: RunFolder, as_json: Json = False) -> None:
    """Store what a run had recorded that was killed with `cosim` itself, or by a crash of the machine."""
    from cosim.recovery import recover as recover_run

    told = recover_run(folder)
    if as_json:
        _print_json({"recovered": told})
    else:
        print("\n".join(told))


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of a run or a batch.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Where to write it; by default in the folder.")
    ] = None,
) -> None:
    """Write the report.html of a run or a batch (again)."""
    import cosim
    from cosim.batch_folder import is_batch
    from cosim.simulation import require_whole
    from runs.report import write_report

    if is_batch(folder):
        from runs.batch_report import write_batch_report

        print(write_batch_report(_batch_as_it_is(folder), out))
        return
    opened = cosim.open(folder)
    require_whole(opened, "a report of it would show what no run gave")
    print(write_report(opened, out))


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List what there is to use: scenarios, federates, perturbations."""
    from runs.catalogue import catalogue, print_catalogue

    if as_json:
        _print_json(catalogue())
    else:
        print_catalogue(_console())


@app.command()
def schema(
    kind: Annotated[
        str | None, typer.Argument(help="A federate kind, perturbation, `batch` or `calibration`; none: the scenario.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Print the settings of a scenario, batch or calibration file, a federate kind or a perturbation."""
    from runs.reference import json_schema, reference

    if as_json:
        _print_json(json_schema(kind))
    else:
        print(reference(kind))


@app.command()
def replay(folder: RunFolder, out: Out = None, overwrite: Overwrite = False, as_json: Json = False) -> None:
    """Run again what made a run, and say whether the results are bit-identical."""
    from cosim.simulation import replay as replay_run
    from runs.progress import show_progress

    target = out or folder.with_name(folder.name + "-replay")
    with INTERRUPTION.deferred() as stop, show_progress(quiet=as_json) as progress:
        again, same = replay_run(folder, target, overwrite=overwrite, progress=progress, stop=stop)
    if as_json:
        _print_json({"identical": same, "folder": str(again.folder), "digest": again.manifest["digest"]})
    elif same:
        print(f"bit-identical: {folder} and {again.folder}, digest {again.manifest['digest'][:16]}")
    if not same:
        _complain(f"the results differ; see `cosim compare {folder} {again.folder}`")
        raise typer.Exit(1)


for _register in (register_batch, register_respond, register_comply, register_calibrate, register_bench1547):
    _register(app)


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False))


def _console() -> Console:
    from rich.console import Console

    return Console()


def _complain(text: str) -> None:
    print(f"cosim: {text}", file=sys.stderr)


def _as_object(error: CosimError) -> dict[str, Any]:
    """An error as `--json` prints it; the text goes to standard error all the same."""
    from cosim.errors import ScenarioError

    found: dict[str, Any] = {"error": type(error).__name__, "message": str(error), "exit_code": error.exit_code}
    if isinstance(error, ScenarioError):
        found["faults"] = [asdict(fault) for fault in error.faults]
    return found


def command_line() -> int:
    """Run the command line and give its exit code; every error of the project is one message on standard error."""
    from cosim.errors import CosimError

    try:
        return int(app(standalone_mode=False) or 0)  # so called, typer returns the code of a typer.Exit
    except CosimError as error:
        _complain(str(error))
        if "--json" in sys.argv[1:]:
            _print_json(_as_object(error))
        return error.exit_code
    except typer.TyperException as error:  # a wrong command or option
        message = error.format_message() if hasattr(error, "format_message") else str(error)
        _complain(f"{message.removesuffix('.')}. See `cosim --help`.")
        return 2
    except typer.Abort:
        return INTERRUPTED


if __name__ == "__main__":
    begin(command_line)
