"""Every file in bad_batches/ is refused with the faults that its header expects, all of them, and no others.

The headers read as those of bad_scenarios/. `base.yml` is the scenario that all name.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from test_bad_scenarios import FOREIGN, as_expected, expectations, fits

from cosim.errors import Fault, ScenarioError
from runs.batch.file import load_batch
from runs.batch.plan import make_plan

FILES = sorted((Path(__file__).parent / "bad_batches").glob("*.yaml"))


def faults(file: Path) -> list[Fault]:
    """All faults found in a batch file and its plan."""
    try:
        make_plan(load_batch(file))
    except ScenarioError as error:
        return list(error.faults)
    return []


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_is_refused_with_its_faults_in_plain_words(file: Path) -> None:
    told = faults(file)
    found, expected = [as_expected(fault, file) for fault in told], expectations(file)
    assert expected, "the file has no header `# expect: ...`"
    missing = [entry for entry in expected if not any(fits(entry, text) for text in found)]
    unexpected = [text for text in found if not any(fits(entry, text) for entry in expected)]
    assert (missing, unexpected) == ([], [])
    assert len(found) == len(expected)
    for text in map(str, told):
        assert not FOREIGN.search(text), text
        assert text.endswith(".")
        assert "\n" not in text
        assert len(text) < 500


def test_a_base_scenario_with_faults_says_them_of_its_own_file(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("name: base\nhorizon: {start: 2014-01-16 12:00, duration: 30}\n")
    (tmp_path / "batch.yaml").write_text("name: x\nscenario: base.yaml\n")
    with pytest.raises(ScenarioError, match=r"base\.yaml:2: horizon\.duration: has no unit"):
        load_batch(tmp_path / "batch.yaml")
