"""What goes wrong in an event window ends as the verdict demands: soon, named, with nothing left behind."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

import cosim

MINUTE = 60 * 10**9


def mapping(transmission: dict[str, Any], disturbances: list[dict[str, Any]], **window: Any) -> dict[str, Any]:
    """The 39-bus grid with a feeder at bus 15 and a window after a minute."""
    return {
        "name": "faulty",
        "horizon": {"start": "2014-01-16 17:00", "duration": "3 min", "step": "60 s"},
        "transmission": {"case": "case39"},
        "feeders": [{"name": "oak", "bus": 15, "multiplier": 40, "model": {"kind": "opendss_feeder"}}],
        "event_window": {
            "at": "1 min",
            "duration": "1 s",
            "transmission": transmission,
            "feeders": [{"name": "oak", "model": {"der": [{"name": "pv", "count": 20}]}}],
            "disturbances": disturbances,
            **window,
        },
        "coupling": {"power_tolerance": 100},
    }


def in_window(text: str) -> None:
    """The simulated time that a fault names lies in the window."""
    value, unit = text.partition("at simulated ")[2].partition(":")[0].split(" ")
    size = {"ms": 10**6, "s": 10**9, "min": MINUTE, "h": 60 * MINUTE}[unit]
    assert MINUTE <= int(value) * size < MINUTE + 10**11, text


def test_dynamics_without_a_generator(run_to_end: Callable) -> None:
    """All ten generators trip: there is no frequency any more."""
    trips = [
        {"kind": "GeneratorTrip", "name": f"g{bus}", "generator": str(bus), "time": "100 ms"} for bus in range(30, 40)
    ]
    end = run_to_end(mapping({"kind": "frequency_response"}, trips), baseline=False)
    assert not end.run.trustworthy
    assert end.fault.startswith("federate 'dynamics' at simulated 60100 ms:"), end.fault
    assert "no generator is left" in end.fault
    assert "raised" not in end.fault
    times = end.run.results["oak_window"].ds.time.values  # what was recorded before can be opened
    assert times[-1] >= times[0] + np.timedelta64(60, "s")


def test_a_mismatch_beyond_its_tolerance(run_to_end: Callable) -> None:
    """A fault at the feeders' bus leaves a mismatch of a step; a tolerance of 1 kVA of 100 MVA does not bear it."""
    fault = [{"kind": "BusFault", "bus": 15, "time": "100 ms", "lasting": "100 ms"}]
    end = run_to_end(mapping({"kind": "frequency_response"}, fault, mean_mismatch="0.001 %"), baseline=False)
    assert not end.run.trustworthy
    assert end.fault == ""
    failed = next(check for check in end.run.verdict.failed if check.name == "mean mismatch of window")
    assert failed.federate == "window"


@pytest.fixture
def andes() -> None:
    pytest.importorskip("andes", reason="andes is an extra")


@pytest.mark.long
@pytest.mark.usefixtures("andes")
def test_dynamics_that_diverge(run_to_end: Callable) -> None:
    """Constant-power loads and a bolted fault: the network has no solution; ANDES says so, and where."""
    fault = [{"kind": "BusFault", "bus": 16, "time": "100 ms", "lasting": "500 ms"}]
    end = run_to_end(mapping({"case": "ieee39", "power_share": 1.0}, fault), baseline=False)
    assert not end.run.trustworthy
    assert end.fault.startswith("federate 'dynamics' at simulated 6"), end.fault
    in_window(end.fault)
    assert "power_share" in end.fault
    assert "raised" not in end.fault


def kill_in_window(folder: Path, process: str) -> None:
    """Kill a process of the run as soon as its window's results begin to grow."""
    rows = folder / ".scratch" / "dynamics.rows"
    until = time.monotonic() + 90
    while time.monotonic() < until and not (rows.exists() and rows.stat().st_size > 0):
        time.sleep(0.002)
    for found in psutil.Process().children(recursive=True):
        words = found.cmdline()
        if str(folder / ".scratch") in words and process in words:
            os.kill(found.pid, signal.SIGKILL)
            return


@pytest.mark.long
@pytest.mark.usefixtures("andes")
def test_a_federate_killed_in_the_window(run_to_end: Callable, tmp_path: Path) -> None:
    """Its name, the simulated time in the window, and what it recorded up to then."""
    folder = tmp_path / "run"
    killer = threading.Thread(target=kill_in_window, args=(folder, "dynamics"), daemon=True)
    killer.start()
    end = run_to_end(mapping({"case": "ieee39"}, [], duration="20 s"), out=folder, cold=True, baseline=False)
    killer.join()
    assert not end.run.trustworthy
    in_window(end.fault)
    assert "dynamics" in end.fault, "it is named, or as one of those that shared the process"
    assert "SIGKILL" in end.fault
    recorded = cosim.open(folder).results["dynamics"].ds
    assert 0 < recorded.time.size < 4000
    assert np.isfinite(recorded.coi_frequency.values).all()
