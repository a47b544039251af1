"""What GridLAB-D does without each of the guards that every generated model carries, and with it."""

from __future__ import annotations

import re
from concurrent.futures.process import BrokenProcessPool
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from gridlabd_alone import alone

from feeders.glm import FORMATS, HEAD, Clock, Site, Solver, feeder_glm
from feeders.gridlabd_engine import Engine, EngineError, check_model
from feeders.gridlabd_library import built_in_names, load_library
from feeders.homes import HomeDistributions, draw_homes
from feeders.homes_glm import place_homes
from feeders.neighbourhood import Neighbourhood, RunningNeighbourhood, Weather, all_available
from feeders.published_feeder import load_feeder

START = datetime(2014, 1, 16, 12)
CLOCK = Clock(START, timedelta(hours=3), 60)
HOT = 40.0  #: [degC]


def _without(text: str, kind: str) -> str:
    """The model without its objects of a class."""
    return re.sub(rf"object {kind} \{{[^}}]*\}}\n", "", text)


def _neighbourhood(homes: int = 10) -> Neighbourhood:
    feeder = load_feeder("ieee13")
    drawn = draw_homes(homes, HomeDistributions(cooling_share=1.0), np.random.default_rng(3))
    return Neighbourhood(feeder, drawn, place_homes(feeder, homes))


# Complex numbers ------------------------------------------------------------------------------------------


def _voltage_text(formats: bool, folder: Path) -> str:
    from gridlabd import DirectGridLabD

    engine = DirectGridLabD()
    for name, value in FORMATS.items() if formats else ():
        engine.set_global(name, value)
    (folder / "model.glm").write_text(feeder_glm(load_feeder("ieee13"), CLOCK))
    assert engine.load(str(folder / "model.glm")).value == 0
    engine.step_to(f"{START + timedelta(minutes=1):%Y-%m-%dT%H:%M:%S}")
    return str(engine.get_property("n_671", "voltage_B")[1])


def test_without_formats_complex_numbers_are_polar_and_hold_degrees(tmp_path: Path) -> None:
    polar = alone(_voltage_text, False, tmp_path)
    assert re.fullmatch(r"\+252\d\.\d*-122\.\d*d V", polar)
    # Whoever takes the second number for an imaginary part gets a voltage of nearly the right size ...
    wrong = complex(polar.split()[0].replace("d", "j"))
    assert abs(wrong) == pytest.approx(1.0529 * 2401.78, rel=0.002)
    # ... at quite another angle: published is -122.34.
    assert np.angle(wrong, deg=True) == pytest.approx(-2.77, abs=0.01)


def test_with_formats_complex_numbers_are_rectangular(tmp_path: Path) -> None:
    value = complex(alone(_voltage_text, True, tmp_path).split()[0])
    assert abs(value) == pytest.approx(1.0529 * 2401.78, rel=1e-3)
    assert np.angle(value, deg=True) == pytest.approx(-122.34, abs=0.02)


# The metronome --------------------------------------------------------------------------------------------


def _temperatures(recorder: bool, minimum: bool, steps: int, folder: Path) -> np.ndarray:
    """(homes,) indoor temperatures [degF] after two hot hours in `steps` steps."""
    text = _neighbourhood().glm(CLOCK, Site(-37.81, 144.96, 10.0))
    if not recorder:
        text = _without(text, "recorder")
    if not minimum:
        text = text.replace("#set minimum_timestep=60\n", "")
    engine = Engine(text, folder)
    engine.write("weather", "temperature", HOT * 1.8 + 32)
    for k in range(1, steps + 1):
        engine.step_to(START + timedelta(hours=2) * k / steps)
    return engine.read_real("house", "air_temperature")


def test_the_metronome_keeps_the_houses_physics(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("native", "stepped", "unguarded")]
    for folder in folders:
        folder.mkdir()
    # One call of two hours passes through GridLAB-D's own events: its native run.
    native = alone(_temperatures, True, True, 1, folders[0])
    stepped = alone(_temperatures, True, True, 120, folders[1])
    unguarded = alone(_temperatures, False, False, 120, folders[2])
    assert np.array_equal(stepped, native)
    assert np.abs(unguarded - native).max() > 0.2, "the guard may go: GridLAB-D steps right without it"


# fault_check ----------------------------------------------------------------------------------------------


def _voltage_behind_a_switch(check: bool, statuses: tuple[str, ...], folder: Path) -> list[float]:
    """Largest |V| [V] at node 675, with the switch 671-692 closed and then in each of `statuses`."""
    text = feeder_glm(load_feeder("ieee13"), CLOCK)
    engine = Engine(text if check else _without(text, "fault_check"), folder)
    found = []
    for minute, status in enumerate(("", *statuses), start=1):
        if status:
            engine.write("switch_0", "status", status)
        engine.step_to(START + timedelta(minutes=minute))
        found.append(max(abs(engine.read("n_675", f"voltage_{p}")) for p in "ABC"))
    return found


def test_fault_check_takes_an_open_section_to_zero_and_back(tmp_path: Path) -> None:
    # Open for two steps: a switch that is closed again after only one leaves its section dead.
    before, *opened, after = alone(_voltage_behind_a_switch, True, ("OPEN", "", "CLOSED"), tmp_path)
    assert before == pytest.approx(1.0553 * 2401.78, rel=1e-3)
    assert opened == [0.0, 0.0]
    assert after == pytest.approx(before, rel=1e-4)


def test_without_fault_check_the_open_section_is_nonsense(tmp_path: Path) -> None:
    try:
        # One step only: the next ones take a minute each.
        _, opened = alone(_voltage_behind_a_switch, False, ("OPEN",), tmp_path)
    except (EngineError, BrokenProcessPool):
        return  # it may also stop altogether
    assert not opened <= 1.5 * 2401.78, "the guard may go: GridLAB-D opens switches right without it"


# What GridLAB-D does instead of raising an error ------------------------------------------------------------


def _load(text: str, folder: Path) -> None:
    Engine(text, folder)


def test_a_syntax_error_is_an_error_with_its_line(tmp_path: Path) -> None:
    text = feeder_glm(load_feeder("ieee13"), CLOCK).replace("object node {", "object node {{", 1)
    line = text[: text.index("object node {{")].count("\n") + 1
    with pytest.raises(EngineError, match=rf"model\.glm\({line}\): syntax error"):
        alone(_load, text, tmp_path)


def test_an_unknown_unit_ends_the_process_and_is_found_before(tmp_path: Path) -> None:
    text = feeder_glm(load_feeder("ieee13"), CLOCK).replace("length 500;", "length 500 bananas;", 1)
    with pytest.raises(BrokenProcessPool):
        alone(_load, text, tmp_path)
    with pytest.raises(EngineError, match="a unit that it does not know"):
        check_model(text, tmp_path)


def test_a_model_is_checked_without_ending_the_process(tmp_path: Path) -> None:
    good = feeder_glm(load_feeder("ieee13"), CLOCK)
    check_model(good, tmp_path)
    with pytest.raises(EngineError, match=r"model\.glm\(\d+\)"):
        check_model(good.replace("object node {", "object nod {", 1), tmp_path)


def _refusals(folder: Path) -> list[str]:
    engine = Engine(feeder_glm(load_feeder("ieee13"), CLOCK), folder)
    said = []
    for name, prop, value in (
        ("nobody", "voltage_A", 1.0),
        (HEAD, "nothing", 1.0),
        ("switch_0", "status", "AJAR"),
    ):
        with pytest.raises(EngineError) as caught:
            engine.write(name, prop, value)
        said.append(str(caught.value))
    with pytest.raises(EngineError) as caught:
        engine.read(HEAD, "nothing")
    said.append(str(caught.value))
    return said


def test_bad_writes_and_reads_are_errors(tmp_path: Path) -> None:
    said = alone(_refusals, tmp_path)
    assert "nobody.voltage_A" in said[0]
    assert "head.nothing" in said[1]
    assert "AJAR" in said[2]


def _collapse(folder: Path) -> list[str]:
    """Load the feeder beyond its limit, twice: the second call must not hang."""
    plan = _neighbourhood()
    running = RunningNeighbourhood(plan, CLOCK, Site(-37.81, 144.96, 10.0), folder)
    weather = Weather(30.0, 0.3, 2.0, 0.0, 0.0, 0.0)
    running.step(START + timedelta(minutes=1), all_available(10, weather))
    said = []
    for minute in (2, 3):
        with pytest.raises(EngineError) as caught:
            running.step(START + timedelta(minutes=minute), all_available(10, weather, spot_load_scale=40.0))
        said.append(str(caught.value))
    return said


def test_a_collapse_is_an_error_and_does_not_hang(tmp_path: Path) -> None:
    first, second = alone(_collapse, tmp_path)
    assert "2014-01-16 12:02" in first or "outside 0.5 to 1.5 pu" in first
    assert second


def test_the_sweep_refuses_fault_check(tmp_path: Path) -> None:
    """Why Newton-Raphson is the solver of every generated model."""
    text = feeder_glm(load_feeder("ieee13"), CLOCK).replace("solver_method NR", "solver_method FBS")
    with pytest.raises(EngineError, match="Newton-Raphson"):
        alone(_first_step, text, tmp_path)
    folder = tmp_path / "sweep"
    folder.mkdir()
    alone(_first_step, feeder_glm(load_feeder("ieee13"), CLOCK, solver=Solver(method="FBS")), folder)


def _first_step(text: str, folder: Path) -> None:
    Engine(text, folder).step_to(START + timedelta(minutes=1))


# What the library leaves behind -------------------------------------------------------------------------------


def _built_in_names() -> tuple[int, int]:
    import gridlabd  # noqa: F401 - it loads the library

    before = len(built_in_names())
    load_library()
    return before, len(built_in_names())


def test_the_library_names_no_file_in_the_temporary_folder() -> None:
    """It would append to /tmp/gld_debug.log and make /tmp/gridlabd-pmap-3, whatever TMPDIR says."""
    assert alone(_built_in_names) == (2, 0)
