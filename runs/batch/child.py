"""What the process of one run of a batch does: simulate, judge, reduce to figures, drop what is not kept.

It never touches HELICS: the engines and their broker are in processes of their own, which end with it.
"""

from __future__ import annotations

import os
import sys
import threading
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cosim.batch_folder import ROW
from cosim.code_identity import code_hash
from cosim.engine.warm import WarmLauncher
from cosim.errors import CosimError, MachineError, ScenarioError
from cosim.simulation import Interrupted, Run, run
from cosim.stored_files import write_atomically
from runs.batch.figures import compute_figures
from runs.batch.file import EVERYTHING
from runs.batch.row import Row
from runs.batch.task import DISK, FINISHED, INTERRUPTED, MACHINE, OTHER, RunTask, as_written, is_full, row_of

#: Words in a fault's text by which the machine failed the run, not its model.
_FULL = ("No space left", "Disk quota")
_LOST = ("killed by SIGKILL",)


@dataclass(frozen=True)
class Work:
    """One run, in a folder of its own."""

    task: RunTask
    folder: Path

    def __call__(self, stop: threading.Event) -> int:
        """Make the run and write its row; the exit code says whether the machine was at fault."""
        try:
            return self._make(stop)
        except Interrupted:
            return INTERRUPTED
        except OSError as error:
            if is_full(error):
                return DISK
            traceback.print_exc()
            self._write(self._row("failed", error=f"{error.strerror or error}: {error.filename or 'a file'}"))
            return MACHINE

    def _make(self, stop: threading.Event) -> int:
        code = FINISHED
        try:
            with WarmLauncher(forked=True) as launcher:
                scenario, baseline = self.task.variant.load(), self.task.baseline
                made = run(scenario, self.folder, baseline=baseline, stop=stop, launcher=launcher)
            other = self._other_inputs(made)
            if other:
                self._write(self._row("failed", error=f"has another input file {other}"))
                return OTHER
            row = self._judged(made)
        except ScenarioError as error:  # which it was not where it was planned
            self._write(self._row("failed", error=f"has other input files, by which the scenario is wrong: {error}"))
            return OTHER
        except MachineError as error:
            row, code = self._row("failed", error=str(error)), MACHINE
        except CosimError as error:
            row = self._row("failed", error=str(error))
        if any(words in row.error for words in _FULL):
            return DISK
        if any(words in row.error for words in _LOST):
            code = MACHINE
        self._write(row)
        return code

    def _other_inputs(self, made: Run) -> str:
        """The first input file that is not the one of the plan; "" if all are."""
        folder = self.task.variant.folder
        for one in (made, made.baseline):
            used = {} if one is None else one.manifest["inputs_sha256"]
            for path, sha256 in used.items():
                if self.task.variant.inputs.get(os.path.relpath(path, folder), sha256) != sha256:
                    return str(path)
        return ""

    def _judged(self, made: Run) -> Row:
        """The row of a run that has a verdict."""
        known: dict[str, Any] = {"verdict": "good" if made.trustworthy else "bad"}
        runs = [entry for entry in (made, made.baseline) if entry is not None]
        known["to_look_at"] = len({check.name for entry in runs for check in entry.verdict.to_look_at})
        timings = [entry.manifest["timings"] for entry in runs]
        known["startup_s"] = max(entry["startup_s"] for entry in timings)
        known["peak_memory_mb"] = sum(entry["peak_memory_MB"] for entry in timings)
        known["simulated_s"] = self.task.variant.load().horizon.duration / 1e9
        if made.cause is not None:
            return self._row("failed", error=made.cause, **known)
        known["digest"] = made.manifest["digest"]
        known["baseline_digest"] = made.baseline.manifest["digest"] if made.baseline else ""
        known["figures"] = compute_figures(made, self.task.figures)
        if self.task.report:
            from runs.report import write_report

            write_report(made)
        self._drop(made)
        if made.trustworthy:
            return self._row("good", **known)
        failed = [f"{check.name}: {check.detail}" for entry in runs for check in entry.verdict.failed]
        return self._row("untrusted", error="; ".join(failed), **known)

    def _drop(self, made: Run) -> None:
        """Drop the outputs that are not kept."""
        if self.task.keep == EVERYTHING:
            return
        from runs.batch.keep import keep_only

        keep_only(made, self.task.keep)

    def _write(self, row: Row) -> None:
        """Hand the row to the worker, which completes it."""
        write_atomically(self.folder / ROW, as_written(row))

    def _row(self, outcome: str, error: str = "", **known: Any) -> Row:
        sys.stdout.flush()
        error = error.replace(str(self.folder), str(self.task.folder))
        return row_of(self.task.variant, outcome, error=error, code=code_hash(), **known)
