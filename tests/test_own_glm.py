"""GridLAB-D models that others wrote: what is read of them, what is refused before the start, what is left out.

The models are reduced from the shapes of public ones: the taxonomy feeders (a node with hyphens in its name is the
swing, single-phase switches, asserts), TESP's (a swing without a voltage) and the IEEE feeders (complex numbers in
polar form, parts in files of their own).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gridlabd_alone import alone

from cosim.contract import Context, Exchange
from cosim.errors import ConfigError
from federates.gridlabd_feeder import GridlabdFeeder
from feeders.glm import Clock
from feeders.glm_reader import read_glm
from feeders.own_model import OwnPlan

STEP = 60 * 10**9
START = datetime(2014, 1, 16, 12)
SWING = "object meter { name src; bustype SWING; phases ABCN; nominal_voltage 7200; VOLTAGE }"
VOLTAGE = "voltage_A 7200; voltage_B -3600-6235.38j; voltage_C -3600+6235.38j;"
LINE = """
object line_configuration { name lc; z11 0.35+1.0j; z22 0.35+1.0j; z33 0.35+1.0j; z12 0.1+0.4j; z13 0.1+0.4j;
  z21 0.1+0.4j; z23 0.1+0.4j; z31 0.1+0.4j; z32 0.1+0.4j; }
"""
LOAD = """
object overhead_line { name l2; phases ABCN; from src; to b; length 5000 ft; configuration lc; }
object node { name b; phases ABCN; nominal_voltage 7200; }
object load { name lo; parent b; phases ABCN; nominal_voltage 7200; constant_power_A 300000+100000j;
  constant_power_B 300000+100000j; constant_power_C 300000+100000j; }
"""
MODULES = "module tape;\nmodule powerflow { solver_method NR; };\n"
MODEL = MODULES + SWING.replace("VOLTAGE", VOLTAGE) + LINE + LOAD
SINGLE_PHASE = """
object switch { name sw; phases CN; from b; to nodec; status CLOSED; }
object node { name nodec; phases CN; nominal_voltage 7200; }
object load { name lc1; parent nodec; phases CN; nominal_voltage 7200; constant_power_C 50000+20000j; }
"""


def _head() -> list[complex]:
    """(3,) what the head of MODEL draws [MVA], by hand: Kirchhoff's laws for one phase of a balanced line."""
    impedance = ((0.35 + 1.0j) - (0.1 + 0.4j)) * 5000 / 5280  # self less mutual, as the three currents add up to zero
    load, volts = 300e3 + 100e3j, 7200 + 0j
    for _ in range(30):
        volts = 7200 - impedance * np.conj(load / volts)
    return [(load + impedance * abs(load / volts) ** 2) / 1e6] * 3


HEAD = _head()


def _write(folder: Path, text: str, name: str = "own.glm") -> dict[str, Any]:
    (folder / name).write_text(text)
    return {"glm": str(folder / name), "swing": "src"}


def _federate(settings: dict[str, Any], steps: int = 3, start: datetime = START) -> GridlabdFeeder:
    settings = {"warm_up": "1 min", **settings}
    return GridlabdFeeder(GridlabdFeeder.Config.model_validate(settings), Context("oak", 1, start, steps * STEP, STEP))


def _run(settings: dict[str, Any], folder: Path, steps: int = 3, start: datetime = START) -> dict[str, np.ndarray]:
    """The outputs of each step; the folder is the working folder, too."""
    folder.mkdir(exist_ok=True)
    federate = _federate(settings, steps, start)
    os.chdir(folder)
    federate.start(folder)
    inputs = Exchange({"head_voltage": np.array(1.0 + 0j)})
    found = [federate.solve(k * STEP, inputs).values for k in range(steps)]
    federate.close()
    return {name: np.array([values[name] for values in found]) for name in found[0]}


def _native(path: Path) -> list[complex]:
    """What GridLAB-D alone gives at the meter src after two minutes [VA]."""
    from feeders.glm import FORMATS
    from feeders.gridlabd_library import load_library

    clock = f"clock {{ timezone UTC0; starttime '{START}'; stoptime '{START + timedelta(hours=1)}'; }}\n"
    alone_path = path.with_name("native.glm")
    alone_path.write_text(clock + path.read_text())
    engine = load_library()()
    for name, value in FORMATS.items():
        engine.set_global(name, value)
    engine.load(str(alone_path))
    engine.step_to(f"{START + timedelta(minutes=2):%Y-%m-%dT%H:%M:%S}")
    return [complex(engine.get_property("src", f"measured_power_{p}")[1].split()[0]) for p in "ABC"]


# What runs ------------------------------------------------------------------------------------------------------------


def test_a_closed_switch_of_one_phase_runs_as_in_gridlabd_alone(tmp_path: Path) -> None:
    """With the guard `fault_check` GridLAB-D ended such a model, with exit code 255 and no reason."""
    own = _write(tmp_path, MODEL + SINGLE_PHASE)
    given = alone(_run, own, tmp_path / "run")["power"][-1] * 1e6
    assert given == pytest.approx(alone(_native, Path(own["glm"])), rel=1e-9)
    assert given[2].real == pytest.approx(350e3, rel=0.01)


def test_a_swing_without_a_voltage_and_polar_numbers(tmp_path: Path) -> None:
    """The nominal voltage holds, as GridLAB-D itself takes it; the model's polar form is not what we read."""
    text = "#set complex_output_format=POLAR_DEG\n" + MODULES + SWING.replace("VOLTAGE", "") + LINE + LOAD
    own = _write(tmp_path, text)
    assert alone(_run, own, tmp_path / "run")["power"][-1] == pytest.approx(HEAD, rel=1e-5)


def test_a_node_with_a_hyphen_as_swing_and_files_beside_their_file(tmp_path: Path) -> None:
    """What is included and played is found from the file that names it, whatever the working folder; asserts are left
    out; what is written goes to the working folder, also where the model names a folder elsewhere."""
    (tmp_path / "parts" / "data").mkdir(parents=True)
    (tmp_path / "lines.glm").write_text(LINE)
    (tmp_path / "parts" / "load.glm").write_text(
        LOAD.replace("from src", "from src-1")
        + 'object player { parent lo; property constant_power_A; file "data/step.player"; }\n'
        'object recorder { parent src-1; property voltage_A; interval 60; file "../out/volts.csv"; }\n'
        "object complex_assert { parent b; target voltage_A; value 1+0j; within 0.1; };\n"
    )
    rows = "2014-01-16 11:00:00,300000+100000j\n2014-01-16 12:02:00,400000+100000j\n"
    (tmp_path / "parts" / "data" / "step.player").write_text(rows)
    head = SWING.replace("VOLTAGE", VOLTAGE).replace("object meter", "object node").replace("name src", "name src-1")
    text = (
        MODULES
        + "module assert;\n#define LINES=lines.glm\n"
        + head
        + '\n#include "${LINES}"\n#include "parts/load.glm"\n'
    )
    given = alone(_run, _write(tmp_path, text) | {"swing": "src-1"}, tmp_path / "run")["power"]
    assert given[:2] == pytest.approx(np.array([HEAD, HEAD]), rel=1e-5)
    assert given[2, 0].real == pytest.approx(0.4008, rel=1e-3)  # 400 kW and what the line takes
    rows = (tmp_path / "run" / "out" / "volts.csv").read_text().splitlines()
    assert len([row for row in rows if row.startswith("2014")]) >= 2
    assert not (tmp_path / "out").exists()


def test_times_of_players_are_local_standard_time(tmp_path: Path) -> None:
    """A clock of EST+5EDT: 12:01 EST is 12:01, 13:02 EDT is 12:02, and 17:03 UTC is 12:03 by POSIX' rule for TZ.

    GridLAB-D itself stops at EST under the scenario's clock, and would take UTC for local time.
    """
    rows = [f"2014-01-16 {at},{kw}000+100000j\n" for at, kw in (("11:00:00 EST", 300), ("12:01:00 EST", 310))]
    rows += ["2014-01-16 13:02:00 EDT,320000+100000j\n", "2014-01-16 17:03:00 UTC,330000+100000j\n"]
    (tmp_path / "zones.player").write_text("".join(rows))
    player = 'object player { parent lo; property constant_power_A; file "zones.player"; }'
    own = _write(tmp_path, "clock { timezone EST+5EDT; }\n" + MODEL + player)
    given = alone(_run, own, tmp_path / "run", 5)["power"][:, 0].real
    assert given == pytest.approx(np.array([0.300, 0.310, 0.320, 0.330, 0.330]), abs=0.001)
    with pytest.raises(
        ConfigError, match=r"zones\.player: the model's clock knows no zone 'EST' It knows UTC, GMT, PST"
    ):
        _federate(_write(tmp_path, "clock { timezone PST+8PDT; }\n" + MODEL + player))
    with pytest.raises(
        ConfigError, match=r"zones\.player: zone 'EST', and the time zone '' of the model's clock is not"
    ):
        _federate(_write(tmp_path, MODEL + player))


@pytest.mark.parametrize("out", [Path("results/here"), Path("with blank/ä")])
def test_a_run_from_another_folder(
    run_to_end: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: Path
) -> None:
    """The same result for any --out; what the model writes is in the run's folder, and its log beside."""
    own = _write(tmp_path, MODEL + 'object recorder { parent lo; property voltage_A; interval 60; file "volts.csv"; }')
    (caller := tmp_path / "caller").mkdir()
    monkeypatch.chdir(caller)
    feeders = [{"name": "oak", "model": {"kind": "gridlabd_feeder", "warm_up": "1 min", **own}}]
    scenario = {"name": "own", "horizon": {"start": START.isoformat(), "duration": "3 min"}, "feeders": feeders}
    end = run_to_end(scenario, out)
    assert end.run.trustworthy, end.fault
    assert end.run.results["oak"]["power"].values[-1] == pytest.approx(HEAD, rel=1e-5)
    assert "timestamp,voltage_A" in (caller / out / "files" / "oak" / "volts.csv").read_text()
    assert [entry.name for entry in caller.iterdir()] == [out.parts[0]]
    assert "GridLAB-D" not in end.fault


def test_a_fault_names_the_line_in_its_own_file(run_to_end: Callable, tmp_path: Path) -> None:
    (tmp_path / "part.glm").write_text("\nobject node { name b2; nominal_voltage 7200; length 7 bananas; }\n")
    own = _write(tmp_path, MODEL + '\n#include "part.glm"\n')
    feeders = [{"name": "oak", "model": {"kind": "gridlabd_feeder", "warm_up": "1 min", **own}}]
    scenario = {"name": "own", "horizon": {"start": START.isoformat(), "duration": "3 min"}, "feeders": feeders}
    end = run_to_end(scenario)
    assert "part.glm(2): " in end.fault
    assert "length" in end.fault
    assert "collapse" not in end.fault


# What is refused before the start -------------------------------------------------------------------------------------


def _second(swing: str) -> str:
    return MODEL + SWING.replace("src", swing).replace("VOLTAGE", VOLTAGE)


@pytest.mark.parametrize(
    ("text", "changes", "field", "words"),
    [
        (MODEL, {"swing": "srk"}, "swing", ["has no meter or node or substation 'srk'", "Use one of: src"]),
        (MODEL, {"swing": "b"}, "swing", ["'b' is not its swing", "Use one of: src"]),
        (MODEL, {"meters": ["scr"]}, "meters.0", ["has no meter or triplex_meter 'scr'", "Use one of: src"]),
        (MODEL, {"meters": ["lo"]}, "meters.0", ["'lo', it is a load"]),
        (MODEL, {"climate": "sky"}, "climate", ["has no climate 'sky'", "It has none"]),
        (MODEL.replace("bustype SWING", "bustype PQ"), {}, "swing", ["no object with `bustype SWING`"]),
        (MODEL, {"swing": ""}, "swing", ["has no meter or node or substation ''", "Use one of: src"]),
        (
            MODEL.replace("object meter", "object triplex_meter"),
            {},
            "glm",
            ["its swing is a triplex_meter (src)", "Take a meter, node or substation of three phases, with a name"],
        ),
        (_second("other"), {}, "glm", ["2 swing nodes (src, other)", "Make the others PQ"]),
        (MODEL + '#include "gone.glm"\n', {}, "glm", ["own.glm(11): #include names 'gone.glm'"]),
        (MODEL + 'object player { parent lo; file "onw.glm"; }', {}, "glm", ["'onw.glm'", "Did you mean: own.glm?"]),
        (MODEL + "module market;\n", {}, "glm", ["no module 'market'"]),
        (
            MODEL.replace("NR", "FBS")
            + "object switch { name tie; phases ABCN; from src; to b; status OPEN;"
            + ' object player { property status; file "own.glm"; }; }',
            {},
            "glm",
            ["switch 'tie' is operated", "Use `solver_method NR`"],
        ),
    ],
)
def test_what_is_refused_before_the_start(
    tmp_path: Path, text: str, changes: dict[str, Any], field: str, words: Sequence[str]
) -> None:
    with pytest.raises(ConfigError) as caught:
        _federate(_write(tmp_path, text) | changes)
    assert caught.value.field == field
    for word in words:
        assert word in str(caught.value)


# What is named as left out --------------------------------------------------------------------------------------------


def test_what_the_scenario_does_not_reach_is_named(tmp_path: Path) -> None:
    text = (
        "clock { timezone EST+5EDT; starttime '2000-01-01 00:00:00'; }\nmodule climate;\nmodule residential;\n"
        "module assert;\nobject climate { name sky; temperature 90; }\nobject house { name h1; }\n"
        "object assert { parent lo; target phases; value ABC; };\n"
    )
    sentences = "\n".join(_federate(_write(tmp_path, text + MODEL)).left_out())
    for words in (
        "does not reach its climate sky",
        "its loads (1) are as it has them; a demand's `load_scale` does not reach them",
        "its houses do not hear perturbations of devices, nor requests of demand response",
        "its clock, EST+5EDT",
        "its assert objects (1)",
    ):
        assert words in sentences
    player = 'object player { parent src; property voltage_A; file "own.glm"; }'
    assert "of its swing and the scenario both set its voltage" in "\n".join(
        _federate(_write(tmp_path, MODEL + player)).left_out()
    )


# How a model is read --------------------------------------------------------------------------------------------------


def test_a_swing_that_others_call_by_its_number_is_a_meter_to_them(tmp_path: Path) -> None:
    """As in GridLAB-D's own IEEE 123-node feeder; a bus that is a swing only where nothing feeds it is none."""
    text = MODULES + SWING.replace("VOLTAGE", VOLTAGE).replace("object meter", "object node:150") + LINE
    text += LOAD.replace("from src", "from node:150").replace("name b;", "name b; bustype SWING_PQ;")
    plan = OwnPlan(Path(_write(tmp_path, text)["glm"]), "src", "", ())
    written = plan.text(Clock(START, timedelta(hours=1), 60), None, tmp_path)
    assert "object meter:150 {" in written
    assert "from meter:150;" in written


def test_a_model_is_read_as_gridlabd_reads_it(tmp_path: Path) -> None:
    (tmp_path / "a b").mkdir()
    (tmp_path / "a b" / "x.player").write_text("")
    own = tmp_path / "own.glm"
    own.write_text(
        "// object node { name commented; }\n"
        "#define HOT=1\n#define DIR=a b\n"
        "#ifdef HOT\nobject node { name hot; }\n#else\nobject node { name cold; }\n#endif\n"
        '#ifndef HOT\n#include "missing.glm"\n#endif\n'
        "module powerflow {\n  solver_method NR;  // not FBS;\n};\n"
        "schedule evening { * 18-20 * * * 1.0; * 21-23 * * * 0.0; }\n"
        "object load:7 { name \"the last; {load}\"; groupid 'x;y'; constant_power_A 1+2j;\n"
        "  configuration object line_configuration { name inner; z11 1+1j; };\n"
        '  object player { property constant_power_A; file "${DIR}/x.player"; };\n'
        '  object recorder { property constant_power_A; file "csv:out.csv"; };\n};\n'
    )
    model = read_glm(own)
    assert [(item.kind, item.name) for item in model.objects] == [
        ("node", "hot"),
        ("load", "the last; {load}"),
        ("line_configuration", "inner"),
        ("player", ""),
        ("recorder", ""),
    ]
    assert model.modules == {"powerflow": {"solver_method": "NR"}}
    assert model.objects[3].parent == "the last; {load}"
    assert model.files == [tmp_path / "a b" / "x.player"]
    assert model.place(model.objects[1].line) == f"{own}(16)"
    (moved := tmp_path / "moved.player").write_text("")
    assert read_glm(own, [moved]).files == [moved]  # as on a machine that was sent copies
