"""Workers that must not take part, and workers that are lost: no row of theirs counts, and no run is lost with them."""

from __future__ import annotations

import contextlib
import shutil
import threading
from pathlib import Path
from typing import Any

import psutil
import pytest

import cosim
from cosim.batch_folder import run_folder
from cosim.code_identity import code_hash
from cosim.errors import MachineError
from cosim.manifest import versions
from runs.batch import dispatch, task
from runs.batch.admission import NotAdmittedError, Question, answer, came_back, require_admitted
from runs.batch.executor import Choice, run_batch
from runs.batch.plan import Plan
from runs.batch.task import WORK, OtherError, Zygotes, finished_row, made_of, make, take_in
from tests.batches import MODELS, plan_of, run_one, small_scenario, task_of, wait_until
from tests.clusters import Scheduler, other_code

SEEDS = [{"seeds": {"count": 1}}]


@pytest.fixture
def question(tmp_path: Path) -> Question:
    """What a client asks whose batch is in `tmp_path`."""
    (tmp_path / WORK).mkdir()
    (tmp_path / "table.csv").write_text("1")
    inputs = {str(tmp_path / "table.csv"): "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"}  # of "1"
    asked = Question("s1", tmp_path, "", versions(), inputs, ())
    asked.write_token()
    return asked


@pytest.fixture(scope="module", autouse=True)
def _zygotes() -> Any:
    yield
    Zygotes.of_this_process().close()


# Who may take part ---------------------------------------------------------------------------------------------------


def test_who_sees_the_same_folder_and_files_may_take_part(question: Question) -> None:
    with pytest.raises(NotAdmittedError):
        require_admitted(question.session)
    given = answer(question)
    assert given.refusal == ""
    require_admitted(question.session)
    assert came_back(question, given)
    assert not came_back(question, given)  # what it wrote is gone: nobody answers with another's token


def test_what_a_worker_writes_must_come_back(question: Question) -> None:
    """It sees the client's token in a copy of the folder, and writes into that copy."""
    given = answer(question)
    question.answer_file(given).write_text("of another")
    assert not came_back(question, given)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"out": Path("/nowhere")}, "does not see the batch's folder /nowhere (No such file or directory)"),
        ({"session": "s2"}, "does not see the batch's folder"),
        ({"versions": {"numpy": "0.1"}}, f"has numpy {versions()['numpy']} instead of 0.1"),
        ({"code": "of another tree"}, "runs other code of cosim"),
        ({"inputs": {str(MODELS / "numbered.py"): "0"}}, f"sees another {MODELS / 'numbered.py'}"),
        ({"inputs": {"/nowhere/at.all": "0"}}, "sees no /nowhere/at.all"),
    ],
)
def test_who_does_not_is_refused_and_told_why(
    question: Question, monkeypatch: pytest.MonkeyPatch, wrong: dict[str, Any], told: str
) -> None:
    monkeypatch.setattr("runs.batch.admission.SEEN_WITHIN", 0.0)
    given = answer(Question(**{**question.__dict__, **wrong}))
    assert told in given.refusal


def test_a_worker_whose_code_changes_makes_no_more_runs(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, small_scenario("10 min"), SEEDS)
    with pytest.raises(OtherError, match="runs other code of cosim"):
        make(task_of(plan, tmp_path / "out", code="of another tree"), lambda: False)
    assert not list(tmp_path.glob("out/.work/*/*/"))


def test_an_input_file_that_changes_after_the_plan_makes_no_row(tmp_path: Path) -> None:
    """The plan holds the hash of the federate's file, and so does the row's key: another file is another run."""
    model = Path(shutil.copy(MODELS / "numbered.py", tmp_path))
    scenario = {
        "name": "s",
        "horizon": {"start": "2014-01-16 00:00", "duration": "5 min"},
        "federates": [{"name": "a", "model": {"kind": str(model)}}],
    }
    plan = plan_of(tmp_path, scenario, SEEDS, figures={})
    model.write_text(model.read_text().replace("1000.0", "2000.0"))
    with pytest.raises(OtherError, match=f"has another input file {model}"):
        make(task_of(plan, tmp_path / "out"), lambda: False)


# What counts ---------------------------------------------------------------------------------------------------------


def test_a_run_counts_when_all_of_it_is_there(tmp_path: Path) -> None:
    plan, out = plan_of(tmp_path, small_scenario("10 min"), SEEDS), tmp_path / "out"
    made = make(task_of(plan, out), lambda: False)
    assert made.row.code == code_hash()
    assert not run_folder(out, "0001").exists()
    chunk = made.folder / "results.zarr/bad/level/0"
    whole = chunk.read_bytes()
    chunk.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert made_of(plan.variants[0], out) == (None, "results.zarr/bad/level/0 holds other bytes than were written")
    chunk.write_bytes(whole)
    found, problem = made_of(plan.variants[0], out)
    assert (found, problem) == (made, "")
    take_in(made, out)
    assert finished_row(run_folder(out, "0001")) == made.row
    assert not (out / WORK / "0001").exists()


# What stands still ---------------------------------------------------------------------------------------------------


def numbered(folder: Path, count: int, duration: str = "20 min", **batch: Any) -> Plan:
    """So many runs whose last value is `1000 number + 19`."""
    scenario = {
        "name": "numbers",
        "horizon": {"start": "2014-01-16 00:00", "duration": duration},
        "federates": [{"name": "a", "model": {"kind": str(MODELS / "numbered.py")}}],
    }
    vary = [{"grid": {"federates[a].model.number": {"start": 1, "stop": count, "step": 1}}}]
    figures = {"last": {"of": "a.k", "reduce": "last"}}
    return plan_of(folder, scenario, vary, figures=figures, limits={"time": "60 s"}, retries=5, **batch)


def named(what: str) -> list[psutil.Process]:
    """The living processes that came of this one and have `what` in their command line."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if any(what in word for word in process.cmdline()):
                found.append(process)
    return found


def stop_a_worker(folder: Path, what: str, stopped: list[psutil.Process]) -> threading.Thread:
    """Stop a process of this batch's workers (SIGSTOP) once a run is finished."""

    def stop() -> None:
        wait_until(lambda: list(folder.glob("runs/*/row.json")), 60, "a run is finished")
        stopped.append(named(what)[-1])
        stopped[0].suspend()

    thread = threading.Thread(target=stop)
    thread.start()
    return thread


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "what",
    [
        pytest.param("multiprocessing.spawn", id="worker", marks=pytest.mark.long),
        pytest.param("runs.batch.zygote", id="zygote"),
    ],
)
def test_a_process_that_stands_still_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """Its run is made elsewhere, the batch ends, and so does everything that it had started."""
    monkeypatch.setattr(dispatch, "SILENT", 5.0)
    monkeypatch.setattr(task, "STOPPED", 3.0)
    plan = numbered(tmp_path, 6)
    stopped: list[psutil.Process] = []
    thread = stop_a_worker(tmp_path / "out", what, stopped)
    ended = run_batch(plan, tmp_path / "out", Choice(workers=2), lambda state: None)
    thread.join()
    assert [row.outcome for row in ended.rows] == ["good"] * 6
    assert [row.figures["last"] for row in ended.rows] == [1000.0 * number + 19 for number in range(1, 7)]
    wait_until(lambda: not stopped[0].is_running(), 20, "it is gone")


def test_a_run_that_stands_still_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no limit of time here: a process that is stopped would stand there for ever."""
    monkeypatch.setattr(task, "STOPPED", 1.0)
    monkeypatch.setattr(task, "STOPPED_POLL", 0.2)
    plan = plan_of(tmp_path, small_scenario(fault="sleep"), SEEDS, retries=0)
    rows: list[Any] = []
    thread = threading.Thread(target=lambda: rows.append(run_one(plan, tmp_path / "out")))
    thread.start()
    child, *_ = wait_until(
        lambda: [one for zygote in named("runs.batch.zygote") for one in zygote.children()], 60, "it"
    )
    child.suspend()
    thread.join(60)
    assert rows[0].outcome == "failed"
    assert "stood still for 1 s (SIGSTOP), and was ended" in rows[0].error
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


# Workers elsewhere ---------------------------------------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.timeout(300)
def test_a_worker_without_the_folder_is_refused(tmp_path: Path) -> None:
    """It once ended with `20 good`, exit 0, and an empty table. A mount in its own namespace hides the folder."""
    plan = numbered(tmp_path / "batch", 4)
    out = tmp_path / "batch" / "out"
    with Scheduler(tmp_path / "dask") as scheduler:
        hide = f'mount -t tmpfs none {tmp_path / "batch"} && exec "$@"'
        blind = scheduler.worker(before=["unshare", "--mount", "sh", "-c", hide, "sh"])
        if not scheduler.joined(1, or_ended=blind):
            pytest.skip("a mount namespace needs rights that this user does not have")
        with pytest.raises(MachineError, match=f"no worker .* can take part: .* does not see the batch's folder {out}"):
            run_batch(plan, out, Choice(scheduler=scheduler.address), lambda state: None)
        scheduler.worker()
        scheduler.joined(2)
        ended = run_batch(plan, out, Choice(scheduler=scheduler.address, resume=True), lambda state: None)
    assert [row.figures["last"] for row in ended.rows] == [1019.0, 2019.0, 3019.0, 4019.0]
    assert len(cosim.open_batch(out, verify=True).table) == 4


@pytest.mark.long
@pytest.mark.timeout(300)
def test_a_worker_with_other_code_is_refused(tmp_path: Path) -> None:
    """It has the same versions; its copy of the code adds a half. Once 10 of 20 rows were wrong by it, and good."""
    plan, out = numbered(tmp_path / "batch", 6), tmp_path / "out"
    notes: list[str] = []
    with Scheduler(tmp_path / "dask") as scheduler:
        scheduler.worker(root=other_code(tmp_path / "other"))
        scheduler.worker()
        scheduler.joined(2)
        ended = run_batch(plan, out, Choice(scheduler=scheduler.address), lambda state: notes.extend(state.notes))
    assert [row.figures["last"] for row in ended.rows] == [1000.0 * number + 19 for number in range(1, 7)]
    assert len({row.worker for row in ended.rows}) == 1
    assert any("is refused: it runs other code of cosim" in note for note in notes)
    assert {row.code for row in ended.rows} == {code_hash()}
