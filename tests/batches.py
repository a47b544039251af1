"""What the tests of batches share: a small batch file, one run of it, and what is left of it on the machine."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from runs.batch.file import load_batch
from runs.batch.plan import Plan, make_plan
from runs.batch.row import Row
from runs.batch.task import RunTask, execute, kinds_of

MODELS = Path(__file__).parent / "models"


def small_scenario(duration: str = "30 min", kind: str = "saboteur.py", **settings: Any) -> dict[str, Any]:
    """Two federates in one process, with results that follow from the seed: messages over a network that loses some."""
    return {
        "name": "small",
        "horizon": {"start": "2014-01-16 00:00", "duration": duration},
        "federates": [
            {"name": "bad", "model": {"kind": str(MODELS / kind), **settings}},
            {"name": "a", "model": {"kind": str(MODELS / "talker.py"), "to": "b"}},
            {"name": "b", "model": {"kind": str(MODELS / "talker.py"), "to": "a/part"}},
        ],
        "communications": {"profile": "rf_mesh"},
        "limits": {"step": "60 s", "start": "120 s", "idle": "60 s"},
    }


def write_batch_file(folder: Path, scenario: Mapping[str, Any], vary: Sequence[Any], **batch: Any) -> Path:
    """A batch file with its scenario beside it; its path. JSON is YAML."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "small.yaml").write_text(json.dumps(scenario))
    path = folder / "batch.yaml"
    figures = {"heard": {"of": "a.heard", "reduce": "sum"}}
    path.write_text(
        json.dumps({"name": "tiny", "scenario": "small.yaml", "vary": list(vary), "figures": figures, **batch})
    )
    return path


def plan_of(folder: Path, scenario: Mapping[str, Any], vary: Sequence[Any], **batch: Any) -> Plan:
    """The plan of such a batch."""
    return make_plan(load_batch(write_batch_file(folder, scenario, vary, **batch)))


def task_of(plan: Plan, out: Path, number: int = 1, code: str = "") -> RunTask:
    """What a worker is given to make one run of the plan."""
    batch, variant = plan.batch, plan.variants[number - 1]
    assert variant.valid, variant.error
    out.mkdir(exist_ok=True)
    return RunTask(
        variant=variant,
        out=out,
        session="test",
        limits=batch.limits,
        retries=batch.retries,
        baseline=batch.baseline,
        keep=batch.keep,
        figures=batch.figures,
        report=batch.report_per_run,
        code=code,
        kinds=kinds_of(variant.scenario),
    )


def run_one(plan: Plan, out: Path, stop: Callable[[], bool] = lambda: False, number: int = 1) -> Row:
    """What a worker and its client do for one run of the plan, in this process."""
    return execute(task_of(plan, out, number), stop)


def wait_until(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until, f"after {seconds} s still not: {what}"
        time.sleep(0.02)
    return found


def processes_in(folder: Path) -> list[psutil.Process]:
    """Every process that has a file in `folder` open, or names it in its command line."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            names = [*process.cmdline(), *(entry.path for entry in process.open_files())]
            if process.pid != psutil.Process().pid and any(str(folder) in name for name in names):
                found.append(process)
    return [process for process in found if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]


def events_of(folder: Path) -> list[dict[str, Any]]:
    """What the batch in `folder` has logged."""
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def started(folder: Path) -> list[str]:
    """The runs that were started, as often as they were."""
    return [event["run"] for event in events_of(folder) if event["event"] == "run started"]
