"""What a MATPOWER file holds and nobody takes is refused where it would change the grid, and else named."""

from __future__ import annotations

from pathlib import Path

import pytest

import cosim
from cosim.errors import ScenarioError
from cosim.scenario import from_mapping
from feeders.transmission_case import CaseError, load_case, read_matpower

#: Three buses; bus 3 hangs on whatever a test adds.
GRID = """function mpc = grid
mpc.version = '2';
mpc.baseMVA = 100;
mpc.bus = [
1 3 0 0 0 0 1 1 0 230 1 1.1 0.9;
2 1 50 10 0 0 1 1 0 230 1 1.1 0.9;
3 1 40 10 0 0 1 1 0 230 1 1.1 0.9;
];
mpc.gen = [
1 90 0 100 -100 1 100 1 200 0 GEN;
];
mpc.branch = [
1 2 0.01 0.1 0 0 0 0 0 0 1 -360 360;
2 3 0.01 0.1 0 0 BRANCH;
];
"""
OTHER_COLUMNS = "0 0 0 0 0 0 0 0 0 0 0"


def grid(more: str = "", gen: str = OTHER_COLUMNS, branch: str = "0 0 0 0 1 -360 360") -> str:
    return GRID.replace("GEN", gen).replace("BRANCH", branch) + more


#: (f_bus, t_bus, psw, qsw, state, rating, status): closed, so that bus 3 is alive; without it 20 MWh went unserved.
SWITCH = "mpc.switch = [2 3 0 0 1 1000 1];"


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (SWITCH, "the table mpc.switch is not read, and may change the grid. Merge the buses"),
        ("mpc.storage = [2 0 0 20 100 50 70 0.8 0.9 100 -50 70 0.1 0 0 0 1];", "Give storages as `dispatch.storage`"),
        ("mpc.dcconv = [1 2 3];", "the table mpc.dcconv is not read"),
        ("mpc.A = [1 2 3];", "Leave the user's own constraints out"),
        ("mpc.load = [1 2 50 10 1];", "Add the loads to mpc.bus"),
        ("mpc.gadgets = {'x'; 'y'};", "the table mpc.gadgets is not read"),
        ("mpc.gadgets.size = [1 2; 3 4];", "the table mpc.gadgets is not read"),
    ],
)
def test_a_table_that_may_change_the_grid_is_refused_by_name(more: str, words: str) -> None:
    with pytest.raises(CaseError, match="grid: ") as caught:
        read_matpower(grid(more), "grid")
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            grid("mpc.bus_name = {'North'; 'Mid'; 'South'};"),
            "not read: mpc.bus_name (buses are called by their numbers).",
        ),
        (grid("mpc.areas = [1 1];"), "not read: mpc.areas (areas'"),
        (grid("mpc.reserves.zones = [1 1;\n0 1];\nmpc.reserves.req = [60; 20];"), "the dispatch holds no reserve"),
        (
            grid("mpc.gencost = [2 0 0 2 10 0; 2 0 0 2 3 0];"),
            "rows 2 and on are not used: reactive power costs nothing.",
        ),
        (grid("mpc.gencost = [2 500 0 2 10 0];"), "costs of start-up and shut-down"),
        (grid(branch="0 0 0 0 1 -30 30"), "limits of the angle of 1 branches"),
        (grid(branch="80 0 0 0 1 -360 360"), "1 branches have ratings B or C and no rating A"),
        (grid(gen="40 80 0 0 0 0 0 0 0 0 0"), "capability curves"),
        (grid(gen="0 0 0 0 0 0 0 0 0 0 0.5"), "participation factors (APF)"),
        (grid(gen="0 0 0 0 0 0 0 0 0 7 0"), "ramp limits of reactive power"),
        (grid("mpc.dcline = [1 3 1 10 9 0 0 1 1 0 40 -9 9 -9 9 0 0];"), "1 lines have limits between which"),
        (grid("mpc.dcline = [1 3 1 10 9 0 0 1 1 10 10 -9 9 -9 9 0 0];"), "do not hold the voltages VF and VT"),
    ],
)
def test_what_leaves_the_answer_right_is_named(text: str, words: str) -> None:
    (sentence,) = read_matpower(text, "grid").left_out
    assert words in sentence


def test_nothing_is_named_of_what_is_taken_or_empty() -> None:
    assert read_matpower(grid("mpc.switch = [];\nmpc.storage = [\n];\nmpc.genfuel = {'coal'};"), "grid").left_out == ()
    assert load_case("case39").left_out == ()


def test_a_scenario_says_it(tmp_path: Path) -> None:
    scenario = {
        "name": "grid",
        "horizon": {"start": "2014-01-16 00:00", "duration": "5 min"},
        "transmission": {"case": "grid.m"},
        "dispatch": {},
    }
    costs = "mpc.gencost = [2 0 0 2 10 0];"
    (tmp_path / "grid.m").write_text(grid(costs + "mpc.bus_name = {'North'; 'Mid'; 'South'};"))
    named = cosim.wire(from_mapping(scenario, tmp_path)).left_out
    assert [str(entry) for entry in named] == [
        "transmission: not read: mpc.bus_name (buses are called by their numbers)."
    ], "once, though two federates read the file"
    (tmp_path / "grid.m").write_text(grid(SWITCH))
    with pytest.raises(ScenarioError, match=r"transmission\.case: grid: the table mpc\.switch is not read"):
        cosim.wire(from_mapping(scenario, tmp_path))
