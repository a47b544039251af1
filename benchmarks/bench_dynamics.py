"""Processor seconds per simulated second of transmission dynamics at 5 ms: ANDES alone, stepped, and the light model.

python -m benchmarks.bench_dynamics [CASE] [GRID]

"alone" is ANDES' own run with its step set to the coupling step; "andes_dynamics" the federate stepped in a plain
loop, outputs included; "frequency_response" the light federate on the same grid.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from cosim.contract import Context, Exchange, Federate
from federates.andes_dynamics import AndesDynamics
from federates.frequency_response import AggregateDynamics
from feeders.andes_engine import generated_code
from feeders.dynamic_cases import load_dynamic_case

STEP = 5 * 10**6  #: [ns]
SECONDS = 2


def stepped(kind: type[Federate], folder: Path, **config: Any) -> float:
    """Processor seconds per simulated second of a federate, a fault at 0.5 s for 0.1 s at the middle bus."""
    federate = kind(kind.Config.model_validate(config), Context("grid", 1, datetime(2014, 1, 16), 10**11, STEP))
    ports = [port for port in federate.ports() if port.direction == "in"]
    federate.start(folder)
    values = {
        port.name: np.array(
            np.broadcast_to(np.asarray(port.initial, complex if port.is_complex else float), port.shape)
        )
        for port in ports
    }
    fault = values["fault_admittance"].copy()
    fault[len(fault) // 2] = 1 / 0.01j
    federate.solve(0, Exchange(values))
    began = time.process_time()
    for number in range(1, SECONDS * 200 + 1):
        held = values | {"fault_admittance": fault} if 100 <= number < 120 else values
        federate.solve(number * STEP, Exchange(held))
        federate.commit(number * STEP)
    spent = time.process_time() - began
    federate.close()
    return spent / SECONDS


def alone(case: str, folder: Path) -> float:
    """The same of ANDES' own run."""
    import andes

    found = load_dynamic_case(case)
    code = {"pycode_path": str(generated_code(folder))}
    system = andes.load(str(found.path), setup=False, no_output=True, default_config=True, options=code)
    bus = system.Bus.idx.v[len(found.bus) // 2]
    system.add("Fault", {"bus": bus, "tf": 0.5, "tc": 0.6, "xf": 0.01, "rf": 0.0})
    system.setup()
    system.PFlow.run()
    settings = system.TDS.config
    settings.tstep, settings.tf, settings.tol, settings.criteria, settings.no_tqdm = STEP / 1e9, SECONDS, 1e-6, 0, 1
    system.TDS.init()
    began = time.process_time()
    system.TDS.run(no_summary=True)
    return (time.process_time() - began) / SECONDS


def main(case: str = "ieee39", grid: str = "case39") -> None:
    """Print one JSON object."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        result = {
            "case": case,
            "alone": alone(case, folder),
            "andes_dynamics": stepped(AndesDynamics, folder, case=case),
            "frequency_response": stepped(AggregateDynamics, folder, case=grid),
        }
    result["overhead"] = result["andes_dynamics"] / result["alone"] - 1
    print(json.dumps(result))


if __name__ == "__main__":
    main(*sys.argv[1:])
