"""Faults of the real engines, in real federations: each ends soon and names federate, simulated time and cause."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import cosim

ENDS_WITHIN = 10.0  #: [s] wall time, beyond what the engines take to start

GLM = """
clock {{ timezone "AEST-10"; starttime "2014-01-16 00:00:00"; stoptime "2014-01-17 00:00:00"; }}
module powerflow {{ solver_method NR; }}
object meter {{ name head; bustype SWING; nominal_voltage 2401.78; phases ABCN;
  voltage_A 2401.78; voltage_B -1200.89-2080j; voltage_C -1200.89+2080j; }}
{rest}
"""


def scenario(duration: str = "10 min", **sections: Any) -> dict[str, Any]:
    return {"name": "faulty", "horizon": {"start": "2014-01-16 12:00", "duration": duration}, **sections}


def check(end: Any, federate: str, time: str, *words: str) -> None:
    assert end.wall - end.run.manifest["timings"]["startup_s"] < ENDS_WITHIN
    assert not end.run.trustworthy
    assert end.fault.startswith(f"federate '{federate}' at simulated {time}:"), end.fault
    for word in words:
        assert word in end.fault
    assert "raised" not in end.fault  # translated into the project's own errors, with the next thing to do
    assert cosim.open(end.run.folder).verdict.fault == end.fault


def feeder(**settings: Any) -> list[dict[str, Any]]:
    return [{"name": "oak", "model": {"kind": "gridlabd_feeder", **settings}}]


def test_a_glm_with_a_syntax_error(run_to_end: Callable, tmp_path: Path) -> None:
    (tmp_path / "mine.glm").write_text(GLM.format(rest="object load { name broken; parent head"))
    end = run_to_end(scenario(feeders=feeder(glm=str(tmp_path / "mine.glm"), swing="head")))
    check(end, "oak", "0 s", "mine")


def test_a_feeder_whose_power_flow_does_not_converge(run_to_end: Callable) -> None:
    """Half of the head's voltage with constant-power loads at several times their rating: past the nose."""
    end = run_to_end(
        scenario(
            weather={},
            feeders=feeder(feeder="ieee13", homes={"count": 3}, warm_up="10 min"),
            federates=[{"name": "sag", "model": {"kind": "sag.py", "after": "5 min", "voltage": 0.05}}],
            links=[{"source": "sag.voltage", "destination": "oak.head_voltage"}],
        )
    )
    check(end, "oak", "5 min")


def test_a_transmission_power_flow_that_does_not_converge(run_to_end: Callable) -> None:
    """The 39-bus grid's 6.25 GW, and then ten times as much again at one bus."""
    end = run_to_end(
        scenario(
            transmission={"case": "case39"},
            perturbations=[{"kind": "LoadChange", "bus": 4, "power": 60_000, "time": "5 min"}],
        ),
        baseline=False,
    )
    check(end, "transmission", "5 min")


def test_an_infeasible_dispatch(run_to_end: Callable) -> None:
    """Lines that may carry a twentieth of their rating, and no load may be shed."""
    end = run_to_end(
        scenario(
            transmission={"case": "case39"},
            demand={"table": None, "lookahead": "10 min"},
            dispatch={"lookahead": "10 min", "value_of_lost_load": None, "line_limit_factor": 0.05},
        )
    )
    check(end, "dispatch", "0 s")


@pytest.mark.parametrize("kind", ["gridlabd_feeder", "opendss_feeder"])
def test_a_feeder_without_a_fault_runs(run_to_end: Callable, kind: str) -> None:
    """The scenarios above fail for their fault, not for something else."""
    settings = {"homes": {"count": 3}, "warm_up": "10 min"} if kind == "gridlabd_feeder" else {}
    feeders = [{"name": "oak", "model": {"kind": kind, "feeder": "ieee13", **settings}}]
    end = run_to_end(scenario(weather={}, feeders=feeders))
    assert end.run.trustworthy, (end.fault, end.run.verdict.failed)
