"""Running a scenario: itself and its twin side by side, each judged, in one folder."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cosim.engine.files import SCRATCH
from cosim.engine.launcher import Launcher
from cosim.engine.supervisor import Progress, run_federation
from cosim.errors import MachineError, ResultsError, ScenarioError
from cosim.federation import Federation
from cosim.manifest import changed_inputs, write_manifest
from cosim.results import BASELINE, HALF_STEP, MANIFEST, RESULTS, VERDICT, digest, open_tree, read_json
from cosim.run_folder import locked
from cosim.scenario import Scenario, from_mapping
from cosim.stored_files import damage, has_list, list_files
from cosim.verdict import Verdict, judge
from cosim.window_wiring import der_responding
from cosim.wiring import wire

if TYPE_CHECKING:
    import xarray
    from distributed import Client

RESULTS_FOLDER = Path("results")
MAIN = "run"  #: how progress names the run itself, beside its "baseline" and "half_step"


class Interrupted(Exception):  # noqa: N818 - it is no error
    """The user ended the run."""


FOLLOWED = "beside it failed"  #: how the fault of a run reads that was ended because its twin had failed


@dataclass(frozen=True)
class Run:
    """A finished run in its folder."""

    folder: Path

    @cached_property
    def verdict(self) -> Verdict:
        """Whether it can be trusted."""
        return Verdict.model_validate(read_json(self.folder, VERDICT))

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """What it was made from."""
        return read_json(self.folder, MANIFEST)

    @cached_property
    def results(self) -> xarray.DataTree:
        """What was recorded, read when needed."""
        return open_tree(self.folder)

    @cached_property
    def baseline(self) -> Run | None:
        """The twin, if one was run: undisturbed, or with DER held in the event window."""
        return self._beside(BASELINE)

    @cached_property
    def half_step(self) -> Run | None:
        """The same with half the event window's step, if it was run."""
        return self._beside(HALF_STEP)

    def _beside(self, name: str) -> Run | None:
        folder = self.folder / name
        return Run(folder) if (folder / RESULTS).is_dir() else None

    @property
    def _all(self) -> list[Run]:
        """It and what was run beside it."""
        return [one for one in (self, self.baseline, self.half_step) if one is not None]

    @property
    def cause(self) -> str | None:
        """The fault that ended the run or one beside it; of several, the one that came first."""
        faults = [one.verdict.fault for one in self._all if one.verdict.fault]
        return next((fault for fault in faults if FOLLOWED not in fault), faults[0] if faults else None)

    @cached_property
    def damage(self) -> tuple[str, ...]:
        """What is stored otherwise than it was written, of the run and what was run beside it, a sentence each.

        Every byte is compared: with the list of files, and the recorded values with the manifest's digest.
        """
        listed = tuple(damage(self.folder)) if has_list(self.folder) else ()
        return listed or tuple(text for one in self._all if (text := one._other_values(self.folder)))

    def _other_values(self, top: Path) -> str:
        """What is wrong if the recorded values are not those of the manifest's digest; "" if they are."""
        try:
            key = "kept_digest" if self.manifest.get("dropped") else "digest"
            same = digest(self.folder) == self.manifest.get(key)
        except ResultsError as error:
            return str(error)
        name = (self.folder / RESULTS).relative_to(top)
        return "" if same else f"{name} holds other values than those of which {MANIFEST} has the {key}"

    @property
    def trustworthy(self) -> bool:
        """Whether the run, and what was run beside it, passed every check, and is stored as it was written."""
        return all(one.verdict.trustworthy for one in self._all) and not self.damage


def open_run(folder: str | Path) -> Run:
    """Open a run's folder. Raises ResultsError if it is none."""
    path = Path(folder)
    if not _is_run(path):
        raise ResultsError(
            f"'{folder}' is not the folder of a run (it has no {VERDICT}); name one that `cosim run` made"
        )
    return Run(path)


def require_whole(run: Run, why: str) -> None:
    """Raises ResultsError, saying `why` and what is not as it was written, if a run is damaged."""
    if run.damage:
        raise ResultsError(f"{run.folder} is damaged, {why}: {damage_text(run.damage)}; run the scenario again")


_MOST_SHOWN = 5


def damage_text(found: Sequence[str]) -> str:
    """What is damaged, the first of it."""
    more = len(found) - _MOST_SHOWN
    return "; ".join(found[:_MOST_SHOWN]) + (f"; and {more} more" if more > 0 else "")


def _is_run(folder: Path) -> bool:
    """Whether `folder` is a run's, be it one whose supervisor was killed."""
    return (folder / VERDICT).is_file() or (folder / RESULTS).is_dir()


def run(
    scenario: Scenario | str | Path,
    out: str | Path | None = None,
    *,
    baseline: bool = True,
    half_step: bool = False,
    overwrite: bool = False,
    progress: Callable[[str, Progress], None] | None = None,
    stop: threading.Event | None = None,
    launcher: Launcher | None = None,
    workers: Client | str | None = None,
) -> Run:
    """Run a scenario, and beside it its twin unless `baseline` is false.

    The twin is the scenario without what disturbs it. Where an event window has DER that respond, it is the scenario
    with everything that disturbs it, and DER held in the window. With `half_step` a scenario with an event window is
    run a further time at half the window's step.

    `progress` is called with "run", "baseline" or "half_step" and how far it is; setting `stop` ends all, and so does
    a fault of one of them. A run that fails or is ended still leaves its folder, with its records and the verdict.
    `launcher` starts the processes: new ones on this machine by default, forked ones if it is a `WarmLauncher`.
    With `workers`, a Dask client or a scheduler's address, they are spread over the Dask workers that there are.

    Raises ScenarioError for wrong input, MachineError where the folder cannot be written, Interrupted.
    """
    from cosim.scenario import load

    if not isinstance(scenario, Scenario):
        scenario = load(scenario)
    federation = wire(scenario)  # a wrong scenario leaves no folder behind
    beside = _beside(scenario, federation, baseline=baseline, half_step=half_step)
    with ExitStack() as stack:
        if workers is not None:
            from cosim.engine.workers import WorkersLauncher

            launcher = stack.enter_context(WorkersLauncher(workers))
        folder = stack.enter_context(_prepared_folder(scenario, out, overwrite))
        jobs = [(MAIN, scenario, federation, folder)]
        jobs += [(name, other, wired, folder / name) for name, other, wired in beside]
        return _run_all(jobs, folder, progress, stop or threading.Event(), launcher)


def _beside(
    scenario: Scenario, federation: Federation, *, baseline: bool, half_step: bool
) -> list[tuple[str, Scenario, Federation]]:
    """What is run beside a scenario, each with the name of its folder. Raises ScenarioError."""
    found = []
    if baseline and scenario.disturbing():
        responding = der_responding(scenario, federation)
        found.append((BASELINE, scenario.with_der_held() if responding else scenario.undisturbed()))
    if half_step:
        found.append((HALF_STEP, scenario.with_half_step()))
    return [(name, other, wire(other)) for name, other in found]


def _run_all(
    jobs: Sequence[tuple[str, Scenario, Federation, Path]],
    folder: Path,
    progress: Callable[[str, Progress], None] | None,
    stop: threading.Event,
    launcher: Launcher | None,
) -> Run:
    failed: list[str] = []
    with ThreadPoolExecutor(len(jobs)) as pool:
        futures = [
            pool.submit(_run_one, name, entry, wired, where, progress, stop, failed, launcher)
            for name, entry, wired, where in jobs
        ]
        try:
            for future in futures:
                future.result()
        except BaseException:
            stop.set()
            _until_done(futures)
            with suppress(OSError):  # there is a reason already why it cannot be trusted
                list_files(folder)
            raise
    finished = Run(folder)
    try:
        list_files(folder)
    except OSError as error:
        if all(one.verdict.trustworthy for one in finished._all):
            raise _cannot_write(folder, f"{error.strerror}: {error.filename or folder}") from None
    return finished


def _until_done(futures: Sequence[Future[None]]) -> None:
    """Wait for what is closing, through every further Ctrl-C: it leaves a verdict, and no process."""
    while not all(future.done() for future in futures):
        with suppress(KeyboardInterrupt):
            wait(futures)


def _run_one(
    name: str,
    scenario: Scenario,
    federation: Federation,
    folder: Path,
    progress: Callable[[str, Progress], None] | None,
    stop: threading.Event,
    failed: list[str],
    launcher: Launcher | None,
) -> None:
    report = None if progress is None else partial(progress, name)
    outcome = run_federation(federation, folder, report, stop, launcher)
    if outcome.fault is not None and not outcome.interrupted:
        failed.append(name)
        stop.set()
    elif outcome.fault is not None and failed:
        outcome.fault = replace(outcome.fault, cause=f"ended, as the {failed[0]} {FOLLOWED}.", remedy="")
    try:
        verdict = judge(federation, folder, outcome)
        write_manifest(scenario, federation, folder, outcome)
        (folder / VERDICT).write_text(verdict.model_dump_json(indent=2) + "\n")
    except OSError as error:
        raise _cannot_write(folder, str(outcome.fault or f"{error.strerror}: {error.filename}")) from None
    if outcome.interrupted and not failed:
        raise Interrupted


def _cannot_write(folder: Path, cause: str) -> MachineError:
    return MachineError(f"{cause} Nothing more can be written to {folder}; free space or use --out.")


@contextmanager
def _prepared_folder(scenario: Scenario, out: str | Path | None, overwrite: bool) -> Iterator[Path]:
    """The folder for the results, empty, and nobody else's as long as the context lasts. Raises MachineError."""
    folder = (_free_folder(scenario) if out is None else Path(out)).absolute()
    with ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(locked(folder))
        except OSError as error:
            raise MachineError(f"cannot write to {folder}: {error.strerror}; choose another with --out") from None
        _clear(folder, overwrite)
        yield folder


def _free_folder(scenario: Scenario) -> Path:
    """A folder under `results/` that does not exist yet."""
    folder, number = RESULTS_FOLDER / scenario.name, 1
    while folder.exists():
        number += 1
        folder = RESULTS_FOLDER / f"{scenario.name}-{number}"
    return folder


def _clear(folder: Path, overwrite: bool) -> None:
    """Empty the folder of an earlier run, even of one whose `cosim` was killed. Raises MachineError."""
    earlier = _is_run(folder) or (folder / SCRATCH).is_dir()
    if any(folder.iterdir()) and not (overwrite and earlier):
        what = "is not an earlier run's folder" if overwrite else "exists and is not empty"
        raise MachineError(
            f"{folder} {what}; choose another with --out" + ("" if overwrite else ", or add --overwrite")
        )
    try:
        for entry in folder.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
        (folder / SCRATCH).mkdir(mode=0o700)
    except OSError as error:
        raise MachineError(f"cannot write to {folder}: {error.strerror}; choose another with --out") from None


def replay(folder: str | Path, out: str | Path, **options: Any) -> tuple[Run, bool]:
    """Run again what made the run in `folder`; the new run, and whether its results are bit-identical.

    Raises ResultsError if the folder is none, is damaged, or an input file has changed since.
    """
    old = open_run(folder)
    require_whole(old, "there is nothing to hold a replay against")
    changed = changed_inputs(old.manifest)  # first of all: one may be Python that the scenario executes
    if changed:
        raise ResultsError(f"input files have changed since the run in {folder}: {', '.join(changed)}")
    try:
        scenario = from_mapping(old.manifest["scenario"], Path(old.manifest["scenario_folder"]))
    except ScenarioError as error:
        raise ResultsError(f"the scenario of {folder} can no longer be run: {error}") from None
    new = run(scenario, out, baseline=old.baseline is not None, half_step=old.half_step is not None, **options)
    digests = [[one.manifest["digest"] for one in entry._all] for entry in (old, new)]
    return new, digests[0] == digests[1]


__all__ = ["MAIN", "Interrupted", "Progress", "Run", "damage_text", "open_run", "replay", "require_whole", "run"]
