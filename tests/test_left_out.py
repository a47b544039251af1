"""What a scenario or its files hold and nobody uses is named wherever a run is looked at."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import cosim
from cosim.scenario import from_mapping
from runs.cli import app
from runs.report import write_report
from runs.summary import remark_rows, summarise

MODELS = Path(__file__).parent / "models"
SENTENCE = "table 'reserves' is not read: <b>reserves</b> are set by the dispatch."


@pytest.fixture
def leaver(tmp_path: Path) -> Path:
    """A scenario whose one federate names something that it does not use."""
    path = tmp_path / "scenario.yaml"
    model = {"kind": str(MODELS / "leaver.py"), "unused": [SENTENCE]}
    scenario = {
        "name": "leaver",
        "horizon": {"start": "2014-01-16 00:00", "duration": "3 min"},
        "federates": [{"name": "own", "model": model}],
    }
    path.write_text(json.dumps(scenario))
    return path


def test_validate_says_it(leaver: Path) -> None:
    assert f"not used: own: {SENTENCE}" in CliRunner().invoke(app, ["validate", str(leaver)]).stdout
    told = json.loads(CliRunner().invoke(app, ["validate", "--json", str(leaver)]).stdout)
    assert told["valid"]
    assert told["left_out"] == [f"own: {SENTENCE}"]


def test_the_manifest_the_summary_and_the_report_say_it(leaver: Path, tmp_path: Path) -> None:
    run = cosim.run(leaver, tmp_path / "run")
    assert run.trustworthy
    assert run.manifest["federation"]["left_out"] == [{"federate": "own", "what": SENTENCE}]
    summary = summarise(run)
    assert summary.left_out == (f"own: {SENTENCE}",)
    assert ("Not used", f"own: {SENTENCE}") in list(remark_rows(summary))
    page = write_report(run).read_text()
    assert "own: table &#39;reserves&#39; is not read: &lt;b&gt;reserves&lt;/b&gt;" in page


def test_nothing_left_out_is_not_mentioned() -> None:
    quiet = {"name": "quiet", "horizon": {"start": "2014-01-16 00:00"}, "federates": []}
    quiet["federates"] = [{"name": "own", "model": {"kind": "leaver.py"}}]
    assert cosim.wire(from_mapping(quiet, MODELS)).left_out == ()
