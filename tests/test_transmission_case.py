"""Transmission cases: what the reader takes, what it refuses, and the arrays that come out."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from feeders.transmission_case import (
    PANDAPOWER_ONLY,
    CaseError,
    case_names,
    load_case,
    read_matpower,
    turned_to_high_voltage,
)
from solvers.admittance import branch_admittances, bus_admittance

LARGE = {"case_ACTIVSg25k", "case_ACTIVSg70k", "case_SyntheticUSA"}

THREE_BUSES = """function mpc = three
mpc.version = '2';
mpc.baseMVA = 100;   % a comment with mpc.bus = [ in it
mpc.bus = [
    1  3  0   0  0  0  1  1.02  0    230  1  1.1  0.9;
    5  2  0   0  0  0  1  1     -1   230  1  1.1  0.9;
    7  1  90, 30 0  19 1  0.99  -3.5 115  1  1.1  0.9;   % commas are blanks too
];
mpc.gen = [
    5  40  5  50  -50  1    100  1  80   10  0 0 0 0 0 0  2  30  0  0  0;
    1  30  0  90  -90  1.02 100  1  100  0   0 0 0 0 0 0  0  25  0  0  0;
    5  0   0  20  -20  1.01 100  0  50   0   0 0 0 0 0 0  0  0   15 0  0;
];
mpc.branch = [
    1  5  0.01  0.1  0.02  100  0  0  0     0   1  -360  360;
    5  1  0.01  0.1  0.02  100  0  0  0     0   1  -360  360;
    5  1  0.01  0.1  0.02  0    0  0  0     0   0  -360  360;
    7  1  0.0   0.2  0.01  0    0  0  0.95  30  1  -360  360;
];
mpc.gencost = [
    2  100  5  3  0.02  20  7  0;
    2  0    0  2  30    4  0  0;
    1  0    0  2  0     0  50 900;
];
mpc.genfuel = {'coal'; 'gas'; 'wind'};
mpc.dcline = [
    1  7  1  10  9.5  1  2  1 1 0 20 -5 5 -5 5 0 0;
];
"""


def three_buses(old: str = "", new: str = "") -> str:
    assert not old or THREE_BUSES.count(old) == 1
    return THREE_BUSES.replace(old, new)


def test_reader_sorts_columns() -> None:
    case = read_matpower(THREE_BUSES, "three")
    assert case.buses.label == ("1", "5", "7")
    assert case.buses.load.tolist() == [0, 0, 90 + 30j]
    assert case.buses.shunt.tolist() == [0, 0, 19j]
    assert np.angle(case.buses.voltage[2], deg=True) == pytest.approx(-3.5)
    assert case.branches.from_bus.tolist() == [0, 1, 1, 2]
    assert case.branches.ratio.tolist() == [1, 1, 1, 0.95]
    assert case.branches.shift[3] == pytest.approx(np.pi / 6)
    assert case.branches.in_service.tolist() == [True, True, False, True]
    assert case.generators.power[0] == 40 + 5j
    assert case.generators.ramp.tolist() == [2, 2.5, 0.5]  # [MW/min] per minute, in 10, in 30 minutes
    assert case.generators.fuel == ("coal", "gas", "wind")
    assert case.generators.costs is not None
    assert case.generators.costs.polynomial.tolist() == [[7, 20, 0.02], [4, 30, 0], [0, 0, 0]]
    assert case.generators.costs.points[2].tolist() == [[0, 0], [50, 900]]
    assert np.isnan(case.generators.costs.points[:2]).all()
    assert case.dc_injection().tolist() == [-10 + 1j, 0, 9.5 + 2j]


def test_what_is_commented_out_or_switched_off_is_not_read() -> None:
    """In MATLAB lines between %{ and %} are a comment, and `if` of 0 is passed over: the reactance stays 0.2."""
    other = "mpc.branch = [\n7 1 0 0.9 0.01 0 0 0 0.95 30 1 -360 360;\n];\nmpc.baseMVA = 10;\n"
    for hidden in (f"%{{\n{other}%}}\n", f"  %{{ \n{other}%}}", f"old = 0;\nif old\n{other}end\n"):
        case = read_matpower(THREE_BUSES + hidden, "three")
        assert (case.branches.reactance.tolist(), case.base_mva) == ([0.1, 0.1, 0.1, 0.2], 100)
    with pytest.raises(CaseError, match="computes 'old=1'"):
        read_matpower(THREE_BUSES + f"old = 1;\nif old\n{other}end\n", "three")
    assert read_matpower(THREE_BUSES + "% mpc.genfuel = {'oil'; 'oil'; 'oil'};\n", "three").generators.fuel[0] == "coal"


@pytest.mark.parametrize(
    ("power", "losses", "arrives"),
    [("9.5", "0 0", 9.5), ("0", "0 0", 10), ("0", "1 0.02", 8.8), ("9.5", "1 0.02", 8.8)],
)
def test_a_dc_line_loses_what_matpower_says(power: str, losses: str, arrives: float) -> None:
    """PT = PF - (LOSS0 + LOSS1 PF), as MATPOWER's toggle_dcline sets it; solved cases without LOSS0, LOSS1 keep PT."""
    case = read_matpower(
        three_buses("10  9.5  1  2  1 1 0 20 -5 5 -5 5 0 0", f"10 {power} 1 2 1 1 0 20 -5 5 -5 5 {losses}"), "three"
    )
    assert case.dc_injection()[2].real == pytest.approx(arrives)


def test_labels_are_unique_and_say_which() -> None:
    case = read_matpower(THREE_BUSES, "three")
    assert case.branches.label == ("1-5", "5-1", "5-1-2", "7-1")
    assert case.generators.label == ("5-1", "1", "5-2")
    case = load_case("case_ACTIVSg200")
    for labels in (case.buses.label, case.branches.label, case.generators.label):
        assert len(set(labels)) == len(labels)


def test_arrays_are_read_only() -> None:
    with pytest.raises(ValueError, match="read-only"):
        load_case("case39").buses.load[0] = 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (three_buses("mpc.gen = [", "mpc.generators = ["), "'mpc.gen' is missing"),
        (three_buses("'2'", "'1'"), "version 2, is '1'"),
        (three_buses("1  3  0   0", "1  1  0   0"), "no bus is the reference"),
        (three_buses("5  2  0   0", "1  2  0   0"), "bus 1 is there more than once"),
        (three_buses("7  1  0.0   0.2", "8  1  0.0   0.2"), "mpc.branch row 4 names bus 8"),
        (three_buses("7  1  0.0   0.2", "7  1  0.0   0"), "row 4 has no impedance"),
        (three_buses("7  1  0.0   0.2", "7  1  0.0   NaN"), "mpc.branch row 4 holds a number that is not finite"),
        (three_buses("7  1  0.0   0.2", "7  1  0.0   x"), "numbers only, found 'x'"),
        (three_buses("30 0  19", "30 0"), "mpc.bus row 3 has 12 columns, the first row has 13"),
        (three_buses("2  0    0  2  30    4  0  0;", ""), "a row for each of the 3 generators, has 2"),
        (three_buses("2  0    0  2  30  ", "3  0    0  2  30  "), "row 2 must be of model 1 or 2"),
        (three_buses("2  100  5  3  0.02  20  7  0", "2  100  5  4  0.02  20  7  0"), "above the second degree"),
        (
            three_buses("7  1  0.0   0.2  0.01  0    0  0  0.95  30  1", "7 1 0 0.2 0.01 0 0 0 0.95 30 NaN"),
            "row 4 holds a num",
        ),
        (three_buses("100  1  80   10", "100  1  NaN  10"), "mpc.gen row 1 has a limit that is not a number"),
        (three_buses("100  1  80   10", "100  1  80   90"), "row 1 has its lowest power .PMIN. above its highest"),
        (three_buses("7  1  0.0   0.2", "7.5 1  0.0   0.2"), "mpc.branch row 4 has a bus number that is not whole"),
        (three_buses("baseMVA = 100", "baseMVA = 0"), "baseMVA must be positive"),
        (THREE_BUSES + "mpc.bus(:, 3) = mpc.bus(:, 3) * 2;\n", r"computes 'mpc.bus\(:,3\)=mpc.bus\(:,3\)\*2'"),
        ("", "'mpc.baseMVA' is missing"),
    ],
)
def test_faults_are_named(text: str, message: str) -> None:
    with pytest.raises(CaseError, match=message):
        read_matpower(text, "three")


def test_unknown_case_names_the_closest() -> None:
    with pytest.raises(CaseError, match=r"no transmission case 'case40'.*case30"):
        load_case("case40")
    with pytest.raises(CaseError, match=r"file 'nowhere/grid.m' does not exist"):
        load_case("nowhere/grid.m")
    with pytest.raises(CaseError, match=r"case39 has no bus '40'. Closest"):
        load_case("case39").bus_position("40")


@pytest.mark.parametrize("name", sorted(set(case_names()) - LARGE - set(PANDAPOWER_ONLY)))
def test_every_shipped_case_loads(name: str) -> None:
    case = load_case(name)
    assert len(case.buses) > 3
    assert np.isfinite(case.buses.load).all()
    assert (case.branches.reactance != 0).any()


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "buses", "branches", "generators", "dc_lines"),
    [
        ("case_ACTIVSg25k", 25_000, 32_230, 4_834, 0),
        ("case_ACTIVSg70k", 70_000, 88_207, 10_390, 0),
        ("case_SyntheticUSA", 82_000, 104_121, 13_419, 9),
    ],
)
def test_large_cases_load(name: str, buses: int, branches: int, generators: int, dc_lines: int) -> None:
    case = load_case(name)
    counts = (len(case.buses), len(case.branches), len(case.generators), len(case.dc_lines))
    assert counts == (buses, branches, generators, dc_lines)


def test_units_of_radial_cases() -> None:
    # M. E. Baran and F. F. Wu, IEEE Transactions on Power Delivery 4 (1989) 1401: 3715 kW, 2300 kvar
    case = load_case("case33bw")
    assert case.buses.load.sum() == pytest.approx(3.715 + 2.3j)
    # first branch: 0.0922 + j0.0470 ohm at 12.66 kV on 10 MVA
    assert case.branches.resistance[0] == pytest.approx(0.0922 * 10 / 12.66**2)


def test_case141_power_factor() -> None:
    case = load_case("case141")  # its table holds apparent power, at a power factor of 0.85
    loaded = case.buses.load[case.buses.load != 0]
    assert np.allclose(loaded.real / np.abs(loaded), 0.85)


def test_a_file_reads_as_the_name_does(tmp_path) -> None:
    path = tmp_path / "three.m"
    path.write_text(THREE_BUSES)
    case = load_case(path)
    assert case.name == "three"
    assert case.buses.label == ("1", "5", "7")


@pytest.mark.parametrize("name", ["case_ACTIVSg200", "case_ACTIVSg2000"])
def test_turning_transformers_round_keeps_the_admittances(name: str) -> None:
    case = load_case(name)
    tilted = replace(
        case,
        branches=replace(
            case.branches,
            ratio=1 + 0.1 * np.sin(np.arange(len(case.branches))),
            shift=0.3 * np.cos(np.arange(len(case.branches))),
        ),
    )
    turned = turned_to_high_voltage(tilted)
    base = turned.buses.base_voltage
    assert (base[case.branches.from_bus] < base[case.branches.to_bus]).sum() > 50
    assert (base[turned.branches.from_bus] >= base[turned.branches.to_bus]).all()
    before = bus_admittance(tilted, branch_admittances(tilted.branches), tilted.branches.in_service)
    after = bus_admittance(turned, branch_admittances(turned.branches), turned.branches.in_service)
    assert abs(before - after).max() < 1e-9 * abs(before).max()


def test_no_heavy_import() -> None:
    code = (
        "import sys; from feeders.transmission_case import load_case; load_case('case118');"
        "print([m for m in ('pandas', 'scipy', 'pandapower', 'lightsim2grid', 'matpower') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
