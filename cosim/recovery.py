"""After a crash of the machine, or of `cosim` itself: what federates had recorded is in their journals still."""

from __future__ import annotations

import shutil
from pathlib import Path

from cosim.engine.files import FEDERATION_FILE, SCRATCH
from cosim.engine.recorder import Recorder
from cosim.engine.supervisor import Fault, Outcome
from cosim.errors import ResultsError
from cosim.federation import Federation
from cosim.results import BASELINE, HALF_STEP, VERDICT
from cosim.run_folder import locked
from cosim.stored_files import list_files
from cosim.verdict import judge


def recover(folder: Path) -> list[str]:
    """Store what the journals of a killed run and of its twin hold, and judge it: it did not end, so it is not good.

    Gives a line for each run that was recovered. Raises ResultsError where there is nothing to recover, or it still
    runs, OSError where it cannot be stored.
    """
    runs = [path for path in (folder, folder / BASELINE, folder / HALF_STEP) if (path / SCRATCH).is_dir()]
    if not runs:
        raise ResultsError(f"{folder} has nothing to recover: it is not the folder of a run that was killed")
    with locked(folder):
        told = [_recover_one(path) for path in runs]
        list_files(folder)
    return told


def _recover_one(folder: Path) -> str:
    """Recover one run by itself."""
    scratch = folder / SCRATCH
    steps: dict[str, int] = {}
    if (scratch / FEDERATION_FILE).is_file():
        federation = Federation.model_validate_json((scratch / FEDERATION_FILE).read_text())
        recorder = Recorder(scratch, folder, federation)
        recorder.take_full_chunks()
        recorder.finish()
        steps = recorder.steps()
        cause = "the run was killed with its supervisor, or the machine crashed."
        fault = Fault("", 0, cause, "What was recorded is kept; run it again.")
        verdict = judge(federation, folder, Outcome(fault=fault, reached=recorder.reached(), steps=steps))
        (folder / VERDICT).write_text(verdict.model_dump_json(indent=2) + "\n")
    shutil.rmtree(scratch)
    return f"{folder}: " + (
        ", ".join(f"{count} steps of {name}" for name, count in steps.items()) or "nothing recorded"
    )
