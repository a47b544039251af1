"""A user's Python file may hang, die or exit when it is imported, and is not executed unasked."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import cosim
from cosim import trial_import
from cosim.errors import ResultsError, ScenarioError
from cosim.simulation import replay

SOUND = '''
import numpy as np
from cosim.contract import Exchange, Federate, Port

class Constant(Federate):
    """Gives one."""

    def ports(self):
        return (Port("k", "1", "out", "one"),)

    def solve(self, time, inputs):
        return Exchange({"k": np.asarray(1.0)})
'''

UNFIT = {
    "exits": ("import sys\nsys.exit(0)\n", "ends its process (exit code 0)"),
    "exits later": (SOUND + "raise SystemExit(3)\n", "ends its process (exit code 3)"),
    "dies": ("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n", "ends its process (SIGSEGV)"),
    "leaves at once": ("import os\nos._exit(0)\n", "ends its process (exit code 0)"),
    "hangs": ("import time\ntime.sleep(600)\n", "did not end within 2 s"),
    "raises": ("raise RuntimeError('no licence')\n", "RuntimeError: no licence"),
    "is no Python": ("def f(:\n", "SyntaxError"),
}


def scenario(folder: Path, code: str) -> Path:
    (folder / "mine.py").write_text(code)
    path = folder / "s.yaml"
    path.write_text(
        "name: own\nhorizon: {start: 2014-01-16 00:00, duration: 2 min, step: 60 s}\n"
        "federates:\n  - {name: a, model: {kind: mine.py}}\n"
    )
    return path


@pytest.mark.parametrize("name", UNFIT)
def test_an_import_that_goes_wrong_is_one_sentence(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial_import, "LIMIT", 2.0 if name == "hangs" else 60.0)
    code, problem = UNFIT[name]
    with pytest.raises(ScenarioError) as caught:
        cosim.load(scenario(tmp_path, code))
    (fault,) = caught.value.faults
    assert problem in str(fault)
    assert fault.place.endswith("s.yaml:4: federates[0].model.kind")


def test_a_federate_that_exits_when_it_is_built(tmp_path: Path) -> None:
    code = SOUND + "\n    def __init__(self, config, context):\n        raise SystemExit(0)\n"
    with pytest.raises(ScenarioError, match="cannot be built: SystemExit"):
        cosim.wire(cosim.load(scenario(tmp_path, code)))


def validate(path: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "runs.cli", "validate", str(path), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_validate_says_what_it_executes_and_need_not(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    path = scenario(tmp_path, f"open({str(mark)!r}, 'w')\n{SOUND}")
    refused = validate(path, "--no-code")
    assert refused.returncode == 2
    assert "mine.py: is Python, which the scenario names" in refused.stderr
    assert not mark.exists()
    done = validate(path)
    assert done.returncode == 0
    assert f"executes {tmp_path / 'mine.py'}" in done.stderr
    assert mark.exists()


def test_replay_looks_at_hashes_before_it_imports(tmp_path: Path) -> None:
    """A run's folder that came from elsewhere: its Python may be another's by now."""
    path = scenario(tmp_path, SOUND)
    cosim.run(path, tmp_path / "out")
    recorded = json.loads((tmp_path / "out" / "manifest.json").read_text())["inputs_sha256"]
    assert str(tmp_path / "mine.py") in recorded
    mark = tmp_path / "mark"
    (tmp_path / "mine.py").write_text(f"open({str(mark)!r}, 'w')\n{SOUND}")
    with pytest.raises(ResultsError, match="input files have changed"):
        replay(tmp_path / "out", tmp_path / "again")
    assert not mark.exists()
    (tmp_path / "mine.py").unlink()
    with pytest.raises(ResultsError, match="input files have changed"):
        replay(tmp_path / "out", tmp_path / "again")
