"""Faults of federates in real federations: each ends soon, names its cause, and leaves nothing but its results.

Where it matters how a process ends, it is started as `cosim run` starts it (`cold`); elsewhere it is forked.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cosim

ENDS_WITHIN = 10.0  #: [s] wall time
MINUTE = 60 * 10**9

SHARED, ALONE = "saboteur.py", "saboteur_alone.py"
KINDS = pytest.mark.parametrize("kind", [SHARED, ALONE], ids=["shared", "alone"])


def check(end: Any, *words: str, minutes: int = 20) -> None:
    """The run ended in time with a bad verdict that says `words`, and its first `minutes` can be opened."""
    assert end.wall - end.run.manifest["timings"]["startup_s"] < ENDS_WITHIN
    assert not end.run.trustworthy
    for word in ("federate 'bad'", *words):
        assert word in end.fault
    opened = cosim.open(end.run.folder)
    assert opened.verdict.fault == end.fault
    assert opened.manifest["digest"]
    if minutes:
        bad, good = opened.results["bad"], opened.results["good"]
        assert bad["level"].values.tolist() == list(range(minutes))
        assert good.sizes["time"] in (minutes - 1, minutes, minutes + 1)
        assert np.isfinite(good["y"].values).all()
        assert not end.run.verdict.checks[0].passed
        assert "bad" in {check.federate for check in end.run.verdict.failed}


def check_closing(end: Any, words: str) -> None:
    """The run ended in time with a bad verdict that says `words`, and all of its results can be opened."""
    assert end.wall < ENDS_WITHIN
    assert not end.run.trustworthy
    assert "'bad'" in end.fault
    assert words in end.fault
    assert cosim.open(end.run.folder).results["good"].sizes["time"] == 60


@KINDS
@pytest.mark.parametrize(
    ("stage", "minutes"), [("solve", 20), ("commit", 20), ("next_time", 21)], ids=["solve", "commit", "next_time"]
)
def test_a_federate_raises(run_to_end: Callable, pair: Callable, kind: str, stage: str, minutes: int) -> None:
    end = run_to_end(pair(kind, fault="raise", stage=stage), cold=stage == "solve")
    check(end, "simulated 20 min", "ZeroDivisionError", "the model divided by nothing", "run.log", minutes=minutes)
    assert "saboteur.py" in (end.run.folder / "run.log").read_text()


@KINDS
def test_a_federate_raises_while_starting(run_to_end: Callable, pair: Callable, kind: str) -> None:
    end = run_to_end(pair(kind, fault="raise", stage="start"))
    check(end, "simulated 0", "ZeroDivisionError", minutes=0)


def test_a_solver_fails(run_to_end: Callable, pair: Callable) -> None:
    end = run_to_end(pair(fault="solver_error"))
    check(end, "simulated 20 min", "the power flow did not converge in 30 iterations")
    assert "raised" not in end.fault  # an error made on purpose needs no traceback


@KINDS
def test_a_federate_is_killed(run_to_end: Callable, pair: Callable, kind: str) -> None:
    end = run_to_end(pair(kind, fault="kill"), cold=True)
    check(end, "simulated 20 min", "killed by SIGKILL", "computing")


def test_a_federate_is_killed_while_starting(run_to_end: Callable, pair: Callable) -> None:
    end = run_to_end(pair(ALONE, fault="kill", stage="start"))
    check(end, "simulated 0", "killed by SIGKILL", "starting its engine", minutes=0)


@KINDS
@pytest.mark.parametrize("code", [0, 5])
def test_a_federate_exits_early(run_to_end: Callable, pair: Callable, kind: str, code: int) -> None:
    end = run_to_end(pair(kind, fault=f"exit_{code}"), cold=True)
    check(end, "simulated 20 min", f"exit code {code}", "before the stop time")


def test_a_federate_exits_while_starting(run_to_end: Callable, pair: Callable) -> None:
    end = run_to_end(pair(ALONE, fault="exit_0", stage="start"))
    check(end, "simulated 0", "exit code 0", "starting its engine", minutes=0)


@KINDS
def test_a_federate_hangs(run_to_end: Callable, pair: Callable, kind: str) -> None:
    end = run_to_end(pair(kind, fault="loop"), cold=True)
    check(end, "simulated 20 min", "hangs", "it has been computing for", "limits.step (now 2 s)")


@pytest.mark.parametrize("fault", ["loop", pytest.param("sleep", marks=pytest.mark.long)])
def test_a_federate_hangs_in_its_first_step(run_to_end: Callable, pair: Callable, fault: str) -> None:
    scenario = pair(fault=fault, at="0 s")
    scenario["limits"]["start"] = "4 s"  # engines may need longer for their first step
    check(run_to_end(scenario), "simulated 0", "it has been computing for", "limits.start (now 4 s)", minutes=0)


def test_federates_that_sleep(run_to_end: Callable, pair: Callable, tmp_path: Path) -> None:
    """In a step, with the default limits too, or while they start or close. Side by side, as all of it is waiting."""
    defaults = pair(fault="sleep")
    del defaults["limits"]
    scenarios = {"defaults": defaults}
    stages = ("start", "solve", "close")
    for kind in (SHARED, ALONE):
        scenarios |= {f"{stage} {kind}": pair(kind, fault="sleep", stage=stage) for stage in stages}
    with ThreadPoolExecutor(len(scenarios)) as pool:
        runs = {name: pool.submit(run_to_end, given, tmp_path / name) for name, given in scenarios.items()}
        ends = {name: run.result() for name, run in runs.items()}
    check(ends["defaults"], "simulated 20 min", "hangs", "limits.step (now 8 s)")
    for kind in (SHARED, ALONE):
        start, step, close = (ends[f"{stage} {kind}"] for stage in stages)
        check(start, "never joins", "starting its engine", "no processor time", "limits.idle (now 4 s)", minutes=0)
        check(step, "simulated 20 min", "hangs", "it has been computing for", "limits.step (now 2 s)")
        check_closing(close, "hangs: it has been closing")


@pytest.mark.parametrize("kind", [SHARED, pytest.param(ALONE, marks=pytest.mark.long)], ids=["shared", "alone"])
def test_a_federate_never_joins_and_is_busy(run_to_end: Callable, pair: Callable, kind: str) -> None:
    scenario = pair(kind, fault="loop", stage="start")
    scenario["limits"]["start"] = "2 s"
    end = run_to_end(scenario)
    words = "did not join within 2 s of processor time"
    check(end, words, "starting its engine", "limits.start (now 2 s)", minutes=0)


@KINDS
@pytest.mark.parametrize(
    ("fault", "words"), [("raise", "the model divided by nothing"), ("exit_5", "exit code 5")], ids=["raise", "exit_5"]
)
def test_a_federate_fails_while_closing(
    run_to_end: Callable, pair: Callable, kind: str, fault: str, words: str
) -> None:
    check_closing(run_to_end(pair(kind, fault=fault, stage="close")), words)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("nan", "output 'y' [MW] holds NaN or infinity"),
        ("infinity", "output 'level' [1] holds NaN or infinity"),
        ("shape", "output 'y' must have the shape (2,), got (3,)"),
        ("complex", "output 'level' is declared real, got complex"),
        ("undeclared", "not declared: ['z']"),
        ("missing", "missing: ['level']"),
        ("text", "output 'level' must hold numbers"),
        ("nothing", "solve must return an Exchange, got NoneType"),
    ],
)
def test_a_solution_breaks_the_contract(run_to_end: Callable, pair: Callable, fault: str, words: str) -> None:
    check(run_to_end(pair(fault=fault)), "simulated 20 min", words)


@pytest.mark.parametrize("fault", ["backwards", "standstill", "off_step"])
def test_the_next_time_breaks_the_contract(run_to_end: Callable, pair: Callable, fault: str) -> None:
    end = run_to_end(pair(fault=fault))
    words = "a multiple of the base step 1 min, got 1200001 ms" if fault == "off_step" else "a later time, got"
    check(end, "simulated 20 min", "next_time at 20 min must give", words, minutes=21)


@pytest.mark.parametrize("lagged", [False, True], ids=["ordered", "lagged"])
def test_a_link_carries_nothing(run_to_end: Callable, pair: Callable, lagged: bool) -> None:
    scenario = pair(fault="never")
    scenario["links"] = [{"source": "bad.y", "destination": "good.x", "lagged": lagged}]
    end = run_to_end(scenario)
    assert end.wall < ENDS_WITHIN
    assert not end.run.trustworthy
    assert "federate 'good'" in end.fault
    assert "link bad.y->good.x carried nothing" in end.fault
    assert ("simulated 59 min" if lagged else "simulated 0") in end.fault


def test_what_a_federate_takes_is_released_after_a_fault(run_to_end: Callable, pair: Callable) -> None:
    scenario = pair(fault="raise", temporary_file=True)
    third = {"name": "third", "model": {"kind": ALONE, "temporary_file": True}}
    scenario["federates"] = [*scenario["federates"], third]
    check(run_to_end(scenario), "ZeroDivisionError")  # run_to_end looks at the folder for temporary files
