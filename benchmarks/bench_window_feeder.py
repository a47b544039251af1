"""What a simulated second of a feeder in an event window costs: 123 nodes, 1,000 DER, 5 ms steps.

TDcoSim's cost is that of its authors' paper: 0.038 s of wall time for a simulated second and DER. `parts` are shares of
the time: DER and air conditioners, voltages (in them the fixed point alone), and the rest, which is inputs and outputs.
OpenDSS solves the same feeder for comparison, without DER and motors: head set, solved and read.

`python -m benchmarks.bench_window_feeder` prints one JSON object and ends with 1 when a bound is missed.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import asdict, dataclass

# As in the processes of a run; threads cost more than they give on matrices of this size.
os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))

from datetime import datetime
from pathlib import Path

import numpy as np

from cosim.contract import Context, Exchange
from federates.window_feeder import WindowFeeder
from feeders.opendss_model import OpenDssFeeder
from feeders.published_feeder import load_feeder

DER = 1_000
STEP = 5 * 10**6  #: [ns]
SECONDS = 3
TDCOSIM = 0.038  #: [s] of wall time per simulated second and DER
RATIO_WANTED = 20.0
SAG = (0.5, 0.65, 0.5)  #: start [s], end [s], voltage [pu]
MAKES = {"III": 0.5, "II": 0.2, "1547-2003": 0.3}


@dataclass(frozen=True)
class Result:
    """What was measured; times are wall seconds per simulated second."""

    der: int
    step_ms: float
    quiet: float  #: nothing happens
    fault: float  #: a fault of 0.15 s on a hot day, motors stall
    parts: dict[str, float]  #: shares of `fault`
    iterations: float  #: of the voltages, per step of `fault`
    milliseconds_per_solve: float  #: of the ports' voltages alone, of which a step has two or more, in `fault`
    opendss_milliseconds_per_solve: float | None  #: None: not installed
    tdcosim_ratio: float  #: how many times less than TDcoSim's, in `fault`

    @property
    def good(self) -> bool:
        """At least 20 times less than TDcoSim's published cost."""
        return self.tdcosim_ratio >= RATIO_WANTED


def _feeder() -> WindowFeeder:
    config = WindowFeeder.Config.model_validate(
        {
            "duration": f"{SECONDS} s",
            "der": [{"count": DER, "rating": 3, "makes": MAKES, "settings": {"reactive_mode": "volt_var"}}],
        }
    )
    feeder = WindowFeeder(config, Context("feeder", 1, datetime(2014, 1, 16, 18, 30), SECONDS * 10**9, STEP))
    feeder.start(Path())
    return feeder


def _inputs(feeder: WindowFeeder, voltage: float) -> Exchange:
    given = {"head_voltage": voltage, "temperature": 40.0}
    values = {}
    for port in feeder.ports():
        if port.direction == "in":
            value = np.asarray(given.get(port.name, port.initial), complex if port.is_complex else float)
            values[port.name] = np.array(np.broadcast_to(value, port.shape))
    return Exchange(values)


def window(fault: bool) -> tuple[float, dict[str, float], float, float]:
    """(s/s, shares, iterations a step, ms a fixed point) of one window."""
    feeder = _feeder()
    normal, low = _inputs(feeder, 1.0), _inputs(feeder, SAG[2])
    model = feeder._running()
    spent = {"der_and_motors": 0.0, "voltages": 0.0, "fixed_point": 0.0}
    solves = 0
    advance, solve, fixed_point = model.advance, model.solve, model._solver.solve

    def timed_advance(dt_s: float) -> None:
        began = time.perf_counter()
        advance(dt_s)
        spent["der_and_motors"] += time.perf_counter() - began

    def timed_solve(drive):  # type: ignore[no-untyped-def]
        began = time.perf_counter()
        state = solve(drive)
        spent["voltages"] += time.perf_counter() - began
        return state

    def timed_fixed_point(*arguments):  # type: ignore[no-untyped-def]
        nonlocal solves
        began = time.perf_counter()
        solution = fixed_point(*arguments)
        spent["fixed_point"] += time.perf_counter() - began
        solves += 1
        return solution

    model.advance, model.solve = timed_advance, timed_solve  # type: ignore[method-assign]
    model._solver.solve = timed_fixed_point  # type: ignore[method-assign]
    moment, steps, iterations = feeder.next_time(-1), 0, 0.0
    began = time.perf_counter()
    while moment is not None and moment < SECONDS * 10**9:
        inside = fault and SAG[0] - 1e-9 <= moment / 1e9 < SAG[1] - 1e-9
        values = feeder.solve(moment, low if inside else normal).values
        feeder.commit(moment)
        iterations += float(values["iterations"])
        steps += 1
        moment = feeder.next_time(moment)
    wall = time.perf_counter() - began
    shares = {name: seconds / wall for name, seconds in spent.items()}
    shares["rest"] = 1.0 - shares["der_and_motors"] - shares["voltages"]
    return wall / SECONDS, shares, iterations / steps, 1e3 * spent["fixed_point"] / solves


def opendss_milliseconds(solves: int = 300) -> float | None:
    """A solve of the feeder alone, head set and all voltages read [ms]."""
    try:
        model = OpenDssFeeder(load_feeder("ieee123"))
    except ImportError:
        return None
    taps = model.published_taps()
    began = time.perf_counter()
    for k in range(solves):
        model.solve(1.0 - 0.001 * (k % 2), 1.0, taps)
    return 1e3 * (time.perf_counter() - began) / solves


def bench() -> Result:
    """All of it; a few seconds."""
    quiet = window(fault=False)[0]
    fault, parts, iterations, solve = window(fault=True)
    return Result(
        der=DER,
        step_ms=STEP / 1e6,
        quiet=quiet,
        fault=fault,
        parts=parts,
        iterations=iterations,
        milliseconds_per_solve=solve,
        opendss_milliseconds_per_solve=opendss_milliseconds(),
        tdcosim_ratio=TDCOSIM * DER / fault,
    )


if __name__ == "__main__":
    result = bench()
    print(json.dumps({**asdict(result), "good": result.good}, indent=2))
    sys.exit(0 if result.good else 1)
