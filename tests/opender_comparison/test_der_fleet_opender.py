"""The fleet and OpenDER give the same answers within a step, but for differences that are known and explained."""

from __future__ import annotations

from importlib import metadata

import pytest

pytest.importorskip("opender", reason="the comparison needs the extra `opender`")

from .cases import Case, all_cases
from .differences import KNOWN, explanation
from .models import Difference, compare, run_fleet, run_opender
from .table import PAGE, page, results

CASES = all_cases()
QUICK = CASES[::6]


@pytest.fixture(autouse=True)
def _version() -> None:
    if metadata.version("opender") != "2.2.0":
        pytest.skip(f"the differences are known for OpenDER 2.2.0, this is {metadata.version('opender')}")


def _unexpected(found: list[tuple[Case, Difference]]) -> list[str]:
    return [
        f"{case.name}: {difference.text}"
        for case, difference in found
        if difference.kinds and explanation(case, difference) is None
    ]


def test_there_are_several_hundred_cases_of_every_kind() -> None:
    assert len(CASES) >= 400
    assert len({case.name for case in CASES}) == len(CASES)
    groups = {case.group for case in CASES}
    assert groups >= {
        "voltage",
        "frequency",
        "unbalance",
        "single-phase",
        "consecutive",
        "recovery",
        "volt-var",
        "reactive power",
        "volt-watt",
        "droop",
        "enter service",
        "limits",
        "battery",
    }


def test_same_answers_on_a_sample() -> None:
    found = results(QUICK)
    assert not _unexpected(found)
    assert sum(not difference.kinds for _, difference in found) > 0.9 * len(found)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("voltage III 0.5", "mode"),
        ("voltage II 1.2", "trip"),
        ("frequency I 58.8", "mode"),
        ("recovery III from 0.4 pu, P 0.5", "active power"),
        ("cold start on a healthy grid", "failure"),
    ],
)
def test_a_known_difference_is_there(name: str, kind: str) -> None:
    """Were the two to agree by accident of the comparison, this would notice."""
    case = next(case for case in CASES if case.name == name)
    difference = compare(case, run_fleet(case), run_opender(case))
    assert kind in difference.kinds
    assert explanation(case, difference) is not None


def test_a_planted_difference_is_unexpected() -> None:
    """A timer that is 10 % off is found and not explained away."""
    case = next(case for case in CASES if case.name == "voltage II 0.69")
    shifted = Case(case.name, case.group, case.holds, {**case.settings, "UV1_trip_s": 2.4 * 0.9}, case.dt)
    difference = compare(case, run_fleet(shifted), run_opender(case))
    assert "trip" in difference.kinds
    assert explanation(case, difference) is None


@pytest.mark.long
def test_same_answers_on_all_cases_and_the_page_says_so() -> None:
    found = results(CASES)
    assert not _unexpected(found)
    used = {id(explanation(case, difference)) for case, difference in found if difference.kinds}
    assert used == {id(known) for known in KNOWN}
    assert PAGE.read_text(encoding="utf-8") == page(found)
