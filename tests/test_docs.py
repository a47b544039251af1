"""The pages are up to date with the code, and every command that they show works."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from docs.fill import filled
from runs.reference import PAGES

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES)
def test_reference_is_made_from_the_schema(page: str) -> None:
    assert (DOCS / page).read_text() == PAGES[page](), "run `make docs`"


@pytest.mark.parametrize("page", sorted(path.name for path in DOCS.glob("*.md")))
def test_shown_files_are_up_to_date(page: str) -> None:
    assert (DOCS / page).read_text() == filled(DOCS / page), "run `make docs`"


@pytest.mark.parametrize("page", sorted([*DOCS.glob("*.md"), ROOT / "README.md"], key=str), ids=lambda path: path.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def commands(page: Path) -> list[list[str]]:
    """Every command of the page that a reader would type, except the `make` ones."""
    found = []
    for language, text in BLOCK.findall(page.read_text()):
        if language == "python":
            found.append([sys.executable, "-c", text])
        else:
            lines = [shlex.split(line, comments=True) for line in text.splitlines()]
            found += [line for line in lines if line and line[0] in ("cosim", "python")]
    return found


HUNDRED_RUNS = [pytest.mark.long, pytest.mark.timeout(3600)]  # in small: tests/test_batch_report.py
TUTORIALS = [
    "add_a_federate.md",
    "calibrate.md",
    "event_window.md",
    pytest.param("tutorial.md", marks=pytest.mark.long),  # what its commands do is in the tests of each
    pytest.param("batch.md", marks=HUNDRED_RUNS),
]


@pytest.mark.timeout(240)
@pytest.mark.parametrize("page", TUTORIALS)
def test_tutorials_run(page: str, tmp_path: Path) -> None:
    for name in ("docs", "runs"):
        (tmp_path / name).symlink_to(ROOT / name)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for command in commands(DOCS / page):
        done = subprocess.run(
            command, cwd=tmp_path, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{shlex.join(command)}\n{done.stdout}\n{done.stderr}"
        assert done.stdout.strip(), f"{shlex.join(command)} printed nothing"
