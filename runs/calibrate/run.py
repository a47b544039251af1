"""Running a calibration: read and check, fit, score, and leave a folder."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from cosim.calibrated import ParameterFile, Provenance, Score
from cosim.errors import Fault, MachineError, ScenarioError
from runs.calibrate.data import missing_notices, read_tables, sources
from runs.calibrate.file import CalibrationFile, load_calibration
from runs.calibrate.target import Figure, Outcome, Table, Target, Task, target_class

PARAMETERS, SCORES, REPORT, MANIFEST = "parameters.yaml", "scores.csv", "report.html", "manifest.json"
RESULTS_FOLDER = Path("results")
LIBRARIES = ("cosim", "numpy", "scipy", "pandas")


@dataclass(frozen=True)
class Calibration:
    """A finished calibration."""

    folder: Path
    parameters: ParameterFile
    outcome: Outcome
    seconds: float

    @property
    def scores(self) -> Sequence[Score]:
        """Every score."""
        return self.parameters.provenance.scores

    @property
    def figures(self) -> Sequence[Figure]:
        """Those of the report."""
        return self.outcome.figures


def calibrate(
    file: CalibrationFile | str | Path,
    out: str | Path | None = None,
    *,
    overwrite: bool = False,
    resume: bool = False,
    workers: int = 1,
    scheduler: str | None = None,
    report: bool = True,
    progress: Callable[[str], None] = lambda text: None,
) -> Calibration:
    """Check the data, fit, score, and write the folder.

    Raises ScenarioError with every fault of file and data before anything is fitted, MachineError where the folder
    cannot be written, SolverError where the fit fails.
    """
    began = time.perf_counter()
    if not isinstance(file, CalibrationFile):
        file = load_calibration(file)
    folder = Path(out) if out is not None else RESULTS_FOLDER / f"calibration_{file.name}"
    _refuse_foreign(folder, overwrite=overwrite, resume=resume)
    progress("reading and checking the data")
    target, task = _checked(file, folder, workers, scheduler, resume, progress)
    tables = task.tables
    _prepare(folder)
    outcome = target.calibrate(task)
    if objective := target.objective_of(file):
        outcome = replace(outcome, facts={"Objective": objective, **outcome.facts})
    notices = _notices(file, tables)
    parameters = ParameterFile(
        name=file.name,
        kind=file.target.kind,
        description=file.description,
        parameters=dict(outcome.parameters),
        structure=dict(outcome.structure),
        provenance=Provenance(
            data=sources(file),
            fitted=outcome.fitted,
            held_out=outcome.held_out,
            scores=_held_against(file, type(target), outcome.scores),
            warnings=(*notices, *outcome.warnings),
            versions={"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}},
            seed=file.seed,
            command=f"cosim calibrate {file.document.name}",
        ),
    )
    finished = Calibration(folder, parameters, outcome, time.perf_counter() - began)
    try:
        _write(file, finished)
        if report:
            from runs.calibrate.report import write_report

            write_report(finished, folder / REPORT)
    except OSError as error:
        raise MachineError(f"cannot write to {folder}: {error.strerror}; choose another with --out") from None
    return finished


def check(file: CalibrationFile | str | Path) -> tuple[Mapping[str, Table], list[str]]:
    """Read and check file and data, and fit nothing: the tables, and what is to be known of them.

    Raises ScenarioError with every fault.
    """
    if not isinstance(file, CalibrationFile):
        file = load_calibration(file)
    _, task = _checked(file, RESULTS_FOLDER, 1, None, False, lambda text: None)
    return task.tables, _notices(file, task.tables)


def _checked(
    file: CalibrationFile,
    folder: Path,
    workers: int,
    scheduler: str | None,
    resume: bool,
    progress: Callable[[str], None],
) -> tuple[Target, Task]:
    """The target and what it is given, checked. Raises ScenarioError."""
    kind = target_class(file.target.kind)
    _refuse_unknown_choices(file, kind)
    target = kind(kind.Config.model_validate(file.target.settings, context={"folder": file.folder}))
    task = Task(file, read_tables(file, target.reads(file)), folder, workers, scheduler, resume, progress)
    faults = list(target.check(task))
    if faults:
        raise ScenarioError(faults)
    return target, task


def _refuse_unknown_choices(file: CalibrationFile, kind: type[Target]) -> None:
    """Raise ScenarioError if the file names an objective or a baseline that the target has not."""
    faults = []
    given: list[tuple[tuple[str | int, ...], str, Mapping[str, str]]] = []
    given += [(("objective",), file.objective, kind.objectives)] if file.objective is not None else []
    given += [(("baselines", number), name, kind.baselines) for number, name in enumerate(file.baselines or ())]
    for place, name, known in given:
        if name not in known:
            remedy = f"Use one of: {', '.join(known)}." if known else "Leave it out."
            faults.append(Fault(file.document.place(place), f"'{name}' is unknown to {file.target.kind}.", remedy))
    if faults:
        raise ScenarioError(faults)


def _held_against(file: CalibrationFile, kind: type[Target], scores: Sequence[Score]) -> tuple[Score, ...]:
    """The scores beside the chosen baselines alone."""
    left_out = set() if file.baselines is None else set(kind.baselines) - set(file.baselines)
    return tuple(
        score.model_copy(update={"baselines": {k: v for k, v in score.baselines.items() if k not in left_out}})
        for score in scores
    )


def _notices(file: CalibrationFile, tables: Mapping[str, Table]) -> list[str]:
    """Gaps and outliers of the data, in words."""
    found = [notice for table in tables.values() for notice in table.notices]
    return found + [
        text for item in file.data if item.name in tables for text in missing_notices(item, tables[item.name])
    ]


def _refuse_foreign(folder: Path, *, overwrite: bool, resume: bool) -> None:
    """Raise MachineError if the folder holds something that must not be written over."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())) and not resume:
        ours = folder.is_dir() and (folder / MANIFEST).is_file()
        if not (overwrite and ours):
            what = "is not an earlier calibration's folder" if overwrite else "exists and is not empty"
            remedy = "" if overwrite else ", or add --overwrite or --resume"
            raise MachineError(f"{folder} {what}; choose another with --out{remedy}")


def _prepare(folder: Path) -> None:
    """Make the folder. Raises MachineError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # said before the fit, so that a killed calibration's folder is known as one
        (folder / MANIFEST).write_text(json.dumps({"finished": False}) + "\n", encoding="utf-8")
    except OSError as error:
        raise MachineError(f"cannot write to {folder}: {error.strerror}; choose another with --out") from None


def _write(file: CalibrationFile, finished: Calibration) -> None:
    """The parameter file, the scores and the manifest. Raises OSError."""
    folder, made = finished.folder, finished.parameters.provenance
    finished.parameters.write(folder / PARAMETERS)
    score_table(made.scores).to_csv(folder / SCORES, index=False)
    manifest: dict[str, Any] = {
        "finished": True,
        "calibration": json.loads(file.model_dump_json(exclude_defaults=True)),
        "data": [item.model_dump(mode="json") for item in made.data],
        "versions": made.versions,
        "seed": made.seed,
        "seconds": round(finished.seconds, 2),
        "facts": dict(finished.outcome.facts),
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


def score_table(scores: Sequence[Score]) -> Any:
    """The scores as a pandas DataFrame: a row each, a column for every baseline and criterion."""
    import pandas

    rows = []
    for score in scores:
        row: dict[str, Any] = {
            "part": score.part,
            "quantity": score.quantity,
            "score": score.score,
            "unit": score.unit,
            "value": score.value,
        }
        row |= {f"baseline: {name}": value for name, value in score.baselines.items()}
        for limit in score.criteria:
            note = "" if limit.applies else " (for orientation)"
            row[f"{limit.name}{note}"] = f"{limit.limit:g}: {'met' if limit.met else 'not met'}"
        rows.append(row)
    return pandas.DataFrame(rows)
