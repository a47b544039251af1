"""`--set PATH=VALUE` on the command line: as if the file said it, named where it is wrong, shown with the run."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path

import pytest
from typer.testing import CliRunner

import cosim
from cosim.errors import ScenarioError
from cosim.simulation import open_run
from runs.cli import app
from runs.report import write_report
from runs.set_option import load_with
from runs.summary import summarise

SCENARIOS = Path(__file__).parents[1] / "runs" / "scenarios"
HOT, FAULT = SCENARIOS / "hot_afternoon.yaml", SCENARIOS / "fault_ride_through.yaml"
MODELS = Path(__file__).parent / "models"


def test_the_version() -> None:
    assert CliRunner().invoke(app, ["--version"]).stdout == f"cosim {version('cosim')}\n"


def test_as_if_the_file_said_it() -> None:
    options = ["feeders[feeder].model.homes.count=7", "horizon.duration=3 h", "perturbations[*].share=0.25", "seed=5"]
    loaded = load_with(HOT, options)
    plain = cosim.load(HOT).as_mapping()
    plain["feeders"][0]["model"]["homes"]["count"] = 7
    plain["horizon"]["duration"] = "3 h"
    plain["perturbations"][0]["share"] = 0.25
    plain["seed"] = 5
    assert loaded.as_mapping() == plain
    assert load_with(HOT, ["seed=1", "seed=2"]).seed == 2
    assert load_with(FAULT, ["event_window.at=18:01"]).event_window.at == "18:01"  # type: ignore[union-attr]
    assert load_with(HOT, ["feeders[0].model.homes={count: 3, pv_share: 0}"]).feeders[0].model.settings["homes"] == {
        "count": 3,
        "pv_share": 0,
    }


def test_a_file_that_is_set_counts_from_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    for path in ("here/mine.csv", "mine.csv", "other.csv"):
        (tmp_path / path).write_text("")
    (scenario := tmp_path / "hot.yaml").write_text(HOT.read_text())
    monkeypatch.chdir(tmp_path / "here")
    for given, counted in (("mine.csv", "here/mine.csv"), ("other.csv", "other.csv")):
        assert load_with(scenario, [f"weather.table={given}"]).weather.settings["table"] == counted  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("feeders[0].model.homes.ct=7", "there is no setting 'ct' in feeders[0].model.homes"),
        ("feeders[elm].model.homes.count=7", "there is no entry 'elm' in feeders"),
        ("horizon.step", "must be a path and a value"),
        ("=5", "must be a path and a value"),
        ("perturbations={", "is not valid YAML"),
        ("seed=1\nname: x", "must hold one value"),
        ("feeders[0].model.homes.count=0", "feeders[0].model.homes.count: must be at least 1, got 0"),
        ("horizon.duration=30 s", "horizon: duration must be a whole number of steps"),
    ],
)
def test_a_fault_names_the_option(option: str, words: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        load_with(HOT, ["seed=4", option])
    assert words in str(caught.value)
    if "horizon: " not in words:  # the section as a whole stands in the file
        assert f"--set {option}" in str(caught.value)


def test_validate_and_wire_take_it() -> None:
    option = ["--set", "horizon.duration=3 h", "--set", "seed=77"]
    assert json.loads(CliRunner().invoke(app, ["wire", "--json", str(HOT), *option]).stdout)["seed"] == 77
    assert CliRunner().invoke(app, ["validate", str(HOT), *option]).exit_code == 0
    result = CliRunner().invoke(app, ["validate", str(HOT), "--set", "seed=-1"])
    assert isinstance(result.exception, ScenarioError)
    assert "--set seed=-1: seed: must be at least 0" in str(result.exception)


def test_python_that_is_set_is_python_all_the_same(tmp_path: Path) -> None:
    """`--no-code` refuses it before it is executed, wherever it is named."""
    scenario = {"name": "one", "horizon": {"start": "2014-01-16"}, "federates": []}
    (tmp_path / "one.yaml").write_text(
        json.dumps(scenario | {"federates": [{"name": "a", "model": {"kind": "weather"}}]})
    )
    code = tmp_path / "bad.py"
    code.write_text("raise SystemExit('was executed')\n")
    command = ["validate", str(tmp_path / "one.yaml"), "--no-code", "--set", "federates[0].model.kind=bad.py"]
    result = CliRunner().invoke(app, command)
    assert isinstance(result.exception, ScenarioError)
    assert "was not executed" in str(result.exception)


def test_the_manifest_and_the_report_show_it(tmp_path: Path) -> None:
    scenario = {"name": "one", "horizon": {"start": "2014-01-16", "duration": "3 min"}}
    scenario["federates"] = [{"name": "own", "model": {"kind": str(MODELS / "leaver.py")}}]
    (tmp_path / "one.yaml").write_text(json.dumps(scenario))
    command = ["run", str(tmp_path / "one.yaml"), "--out", str(tmp_path / "run"), "--json"]
    result = CliRunner().invoke(app, [*command, "--set", "horizon.duration=2 min", "--seed", "8"])
    assert result.exit_code == 0, result.output
    run = open_run(tmp_path / "run")
    given = ["horizon.duration=2 min", "seed=8"]
    assert run.manifest["set"] == given
    assert run.manifest["seed"] == 8
    assert summarise(run).settings_given == tuple(given)
    assert "horizon.duration=2 min; seed=8" in write_report(run).read_text()
