"""`cosim comply`: the contract of its output and exit codes, and the report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from cosim.errors import ScenarioError
from runs.comply import comply, read_fleet
from runs.comply.command import register
from runs.comply.report import write_report
from runs.comply.verdict import ORDER


@pytest.fixture(scope="module")
def app() -> typer.Typer:
    app = typer.Typer()
    register(app)
    app.command("other")(lambda: None)
    return app


def run(app: typer.Typer, *arguments: object) -> tuple[int, Any]:
    done = CliRunner().invoke(app, ["comply", *map(str, arguments), "--json"])
    if isinstance(done.exception, ScenarioError):
        return done.exception.exit_code, str(done.exception)
    return done.exit_code, json.loads(done.stdout)


def wave(place: Path, out: tuple[float, float] | None = None, *, output: bool = True) -> Path:
    """Category III: 0.6 pu from 10 s (the file's own time) for 5 s."""
    time = np.round(np.arange(5.0, 25.0, 0.01), 9)
    rows = pd.DataFrame({"time_s": time, "v_pu": np.where((time >= 10.0) & (time < 15.0), 0.6, 1.0), "f_hz": 60.0})
    if output:
        rows["p_pu"] = 0.8
        rows["q_pu"] = 0.0
        if out is not None:
            rows.loc[(time >= out[0]) & (time < out[1]), "p_pu"] = 0.0
    rows.to_csv(place, index=False)
    return place


def test_requirement_only(app: typer.Typer, tmp_path: Path) -> None:
    time = np.round(np.arange(100.0, 110.0, 0.01), 9)
    place = tmp_path / "wave.csv"
    pd.DataFrame({"time_s": time, "v_pu": np.where(time >= 102.0, 0.3, 1.0), "f_hz": 60.0}).to_csv(place, index=False)
    code, found = run(app, place, "--category", "III", "--requirement-only")
    assert code == 0
    assert found["shall_trip_by_s"] == 104.0
    assert found["element"] == "UV2"
    assert found["no_trip_before_s"] == 103.0
    assert found["required_modes"] == [
        [100.0, 102.0, "continuous"],
        [102.0, 104.0, "momentary_cessation"],
        [104.0, 110.0, "tripped"],
    ]


def test_nothing_is_demanded(app: typer.Typer, tmp_path: Path) -> None:
    code, found = run(app, wave(tmp_path / "w.csv", output=False), "--category", "III", "--requirement-only")
    assert code == 0
    assert (found["shall_trip_by_s"], found["element"], found["no_trip_before_s"]) == (None, None, None)


def test_exit_codes(app: typer.Typer, tmp_path: Path) -> None:
    assert run(app, wave(tmp_path / "good.csv"), "--category", "III")[0] == 0
    assert run(app, wave(tmp_path / "bad.csv", (12.0, 99.0)), "--category", "III")[0] == 3
    code, text = run(app, wave(tmp_path / "blind.csv", output=False), "--category", "III")
    assert code == 2
    assert "--requirement-only" in text
    code, text = run(app, tmp_path / "good.csv")
    assert code == 2
    assert "--category" in text


def test_each_clause_is_told(app: typer.Typer, tmp_path: Path) -> None:
    _, found = run(app, wave(tmp_path / "bad.csv", (12.0, 99.0)), "--category", "III", "--rating-kva", 500)
    (der,) = found["der"]
    clauses = {f["clause"]: f for f in der["findings"]}
    wanted = ("4.3", "4.5", "4.6", "4.10", "5.2", "5.3", "5.4", "6.4.1", "6.4.2", "6.5.1", "6.5.2")
    assert all(any(name.startswith(part) for name in clauses) for part in wanted)
    failed = clauses["6.4.2.3 mandatory"]
    assert failed["result"] == "fail"
    assert failed["fault"] == "tripped though ride-through was required"
    assert failed["margin_s"] == pytest.approx(12.0 - 20.0)
    assert "Table 16" in failed["citation"]
    assert failed["evidence"]["before"]["p_pu"] == 0.8
    assert [step["mode"] for step in failed["evidence"]["path"]] == ["continuous", "mandatory", "continuous"]
    assert all(f["result"] in ORDER for f in clauses.values())
    assert len({f["clause"].split(".")[0] for f in found["not_simulated"]}) >= 7
    assert all(f["explanation"] for f in found["not_simulated"])


def test_doubtful_numbers_are_said_so(app: typer.Typer, tmp_path: Path) -> None:
    _, found = run(app, wave(tmp_path / "good.csv"), "--category", "III")
    (restored,) = [f for f in found["der"][0]["findings"] if f["clause"] == "6.4.2.7"]
    assert restored["result"] == "pass"
    assert any("no open source" in warning for warning in restored["warnings"])


def test_coarse_sampling_leaves_doubt(tmp_path: Path) -> None:
    """Momentary cessation within 0.083 s cannot be seen at 0.1 s."""
    time = np.round(np.arange(0.0, 10.0, 0.1), 9)
    sag = (time >= 2.0) & (time < 2.8)
    rows = pd.DataFrame({"time_s": time, "v_pu": np.where(sag, 0.3, 1.0), "f_hz": 60.0, "p_pu": 0.8, "q_pu": 0.0})
    rows.loc[(time >= 2.1) & (time < 3.0), "p_pu"] = 0.0
    rows.to_csv(tmp_path / "t.csv", index=False)
    (der,) = comply(tmp_path / "t.csv", read_fleet("III")).judgement.der
    (found,) = [f for f in der.findings if f.clause == "6.4.2.3 cessation"]
    assert found.result == "indeterminate"
    assert any("too coarse to see 0.083 s" in warning for warning in found.warnings)


def test_a_disturbance_that_began_before_the_trace(tmp_path: Path) -> None:
    time = np.round(np.arange(0.0, 10.0, 0.01), 9)
    rows = pd.DataFrame(
        {"time_s": time, "v_pu": 0.6, "f_hz": 60.0, "p_pu": np.where(time < 3.0, 0.8, 0.0), "q_pu": 0.0}
    )
    rows.to_csv(tmp_path / "t.csv", index=False)
    (der,) = comply(tmp_path / "t.csv", read_fleet("III")).judgement.der
    assert der.result == "indeterminate"
    assert any("started before it" in warning for warning in der.warnings)


def test_readable_output(app: typer.Typer, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["comply", str(wave(tmp_path / "bad.csv", (12.0, 99.0))), "--category", "III"])
    assert done.exit_code == 3
    assert done.stdout.startswith("FAIL")
    assert "[not verified]" in done.stdout
    done = CliRunner().invoke(app, ["comply", str(tmp_path / "bad.csv"), "--category", "III", "--requirement-only"])
    assert done.exit_code == 0
    assert "mandatory" in done.stdout


def test_report(tmp_path: Path) -> None:
    """One file without anything from a network, with planes, trace, fleet and clauses."""
    judged = comply(wave(tmp_path / "bad.csv", (12.0, 99.0)), read_fleet("III"))
    page = write_report(judged, tmp_path / "report.html").read_text()
    assert page.count("Plotly.newPlot(") == 4
    assert 'src="http' not in page
    for text in ("FAIL", "tripped though ride-through was required", "6.4.2.3 mandatory", "Unintentional islanding"):
        assert text in page
    with pytest.raises(ScenarioError, match="cannot be written"):
        write_report(judged, tmp_path / "none" / "report.html")


def test_the_judge_does_not_know_the_model() -> None:
    """Only the tables are shared with the model and the bench."""
    import ast

    import runs.comply

    for file in Path(runs.comply.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                assert not name.startswith(("solvers.der_fleet", "runs.bench1547", "runs.respond")), (file, name)
