"""How long a transmission power flow takes; no test, called by the benchmark or by hand.

python -m tests.timing_transmission case118 case_ACTIVSg2000
"""

from __future__ import annotations

import sys
from time import perf_counter

import numpy as np

from feeders.transmission_case import load_case
from solvers.ac_power_flow import AcPowerFlow


def power_flow_milliseconds(
    name: str, reactive_limits: bool = False, solves: int = 9, change: float = 0.02
) -> tuple[float, float, float]:
    """Milliseconds to read the case, of the first solve, and of a re-solve (median).

    A re-solve starts from the last solution after each bus's load has changed by up to ±`change`.
    """
    begin = perf_counter()
    case = load_case(name)
    read = perf_counter() - begin
    flow, random = AcPowerFlow(case, reactive_limits=reactive_limits), np.random.default_rng(1)
    scheduled, times, solution = case.generators.power.real, [], None
    for _ in range(solves + 1):
        load = case.buses.load * (1 + change * random.uniform(-1, 1, len(case.buses)))
        begin = perf_counter()
        solution = flow.solve(load, scheduled, start=solution)
        times.append(perf_counter() - begin)
    return 1e3 * read, 1e3 * times[0], 1e3 * float(np.median(times[1:]))


if __name__ == "__main__":
    for case_name in sys.argv[1:] or ["case39", "case118", "case_ACTIVSg2000", "case_ACTIVSg10k"]:
        for limits in (False, True):
            figures = "  ".join(f"{figure:9.2f}" for figure in power_flow_milliseconds(case_name, limits))
            print(f"{case_name:20} limits {limits!s:5}  read, first, again [ms]  {figures}")
