"""Every file in bad_scenarios/ is refused with the faults that its header expects, all of them, and no others.

A header line reads `# expect: line 7: feeders[0].bus: there is no bus 'Z'`: the line, the place and words of the
message, with ` ... ` for what does not matter. `(file)` stands for a fault without a line.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

import cosim
from cosim.errors import Fault, ScenarioError

FOLDER = Path(__file__).parent / "bad_scenarios"
FILES = sorted(FOLDER.glob("*.yaml"))
REFUSED_WITHIN = 3.0  #: [s] of processor time, as the machine may be busy

#: Words of libraries and of Python that a scenario's author should not need to know.
FOREIGN = re.compile(
    r"Input should|String should|[Tt]uple|dictionary|instance of|pydantic|ctx|datetime\.|NoneType|discriminator|"
    r"after validation|Traceback|unable to|<class|0x[0-9a-f]{4}|got None\b|built-in"
)


def expectations(file: Path) -> list[str]:
    """The header's expected faults."""
    lines = file.read_bytes().decode(errors="replace").splitlines()
    return [line.removeprefix("# expect: ") for line in lines if line.startswith("# expect: ")]


def faults(file: Path) -> list[Fault]:
    """All faults found in a scenario."""
    try:
        cosim.wire(cosim.load(file))
    except ScenarioError as error:
        return list(error.faults)
    return []


def as_expected(fault: Fault, file: Path) -> str:
    """A fault as a header would expect it."""
    place = re.sub(rf"^.*{re.escape(file.name)}:(\d+)", r"line \1", fault.place)
    return f"{place.replace(str(file), '(file)').replace(file.name, '(file)')}: {fault.problem} {fault.remedy}".strip()


def fits(expected: str, found: str) -> bool:
    """Whether the parts of `expected` follow each other in `found`, the first at its beginning."""
    return re.match(".*".join(map(re.escape, expected.split(" ... "))), found, re.DOTALL) is not None


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_is_refused_with_its_faults(file: Path) -> None:
    began = time.process_time()
    found = [as_expected(fault, file) for fault in faults(file)]
    assert time.process_time() - began < REFUSED_WITHIN
    expected = expectations(file)
    assert expected, "the file has no header `# expect: ...`"
    assert found, "the scenario was accepted"
    missing = [entry for entry in expected if not any(fits(entry, text) for text in found)]
    unexpected = [text for text in found if not any(fits(entry, text) for entry in expected)]
    assert (missing, unexpected) == ([], [])
    assert len(found) == len(expected)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_is_refused_in_plain_words(file: Path) -> None:
    for fault in faults(file):
        text = str(fault)
        assert not FOREIGN.search(text), text
        assert "\n" not in text
        assert text.endswith(".")
        assert ".." not in text.replace("...", "").replace("../", "")
        assert len(text) < 500


def test_there_are_enough() -> None:
    assert len(FILES) >= 45


def test_the_command_line_says_all_of_it_and_exits_with_2() -> None:
    file = FOLDER / "many_faults.yaml"
    command = [sys.executable, "-m", "runs.cli", "validate", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    told = " ".join(done.stderr.split())
    for fault in faults(file):
        assert " ".join(str(fault).split()) in told


def test_a_scenario_that_is_not_there() -> None:
    with pytest.raises(ScenarioError, match="there is no such file"):
        cosim.load(FOLDER / "nowhere.yaml")
    with pytest.raises(ScenarioError, match="is a folder, not a file"):
        cosim.load(FOLDER)


def test_with_json_the_error_is_an_object_with_every_fault() -> None:
    file = FOLDER / "many_faults.yaml"
    command = [sys.executable, "-m", "runs.cli", "validate", "--json", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    found = json.loads(done.stdout)
    assert done.returncode == found["exit_code"] == 2
    assert found["error"] == "ScenarioError"
    assert [fault["place"] for fault in found["faults"]] == [fault.place for fault in faults(file)]
    assert found["message"] in done.stderr
