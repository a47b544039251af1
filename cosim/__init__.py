"""Power-system co-simulation with a verdict that can be trusted.

scenario = cosim.load("heat_wave.yaml")
run = cosim.run(scenario, out="results/heat")
run.verdict, run.results, run.baseline
run = cosim.open("results/heat")
batch = cosim.open_batch("results/rebound_share")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cosim.batch_folder import Batch, open_batch
    from cosim.scenario import Scenario, load
    from cosim.simulation import Run, run
    from cosim.simulation import open_run as open  # noqa: A004 - reads as `cosim.open(folder)`
    from cosim.wiring import wire

__all__ = ["Batch", "Run", "Scenario", "load", "open", "open_batch", "run", "wire"]

_PLACES = {
    "Batch": ("cosim.batch_folder", "Batch"),
    "Run": ("cosim.simulation", "Run"),
    "Scenario": ("cosim.scenario", "Scenario"),
    "load": ("cosim.scenario", "load"),
    "open": ("cosim.simulation", "open_run"),
    "open_batch": ("cosim.batch_folder", "open_batch"),
    "run": ("cosim.simulation", "run"),
    "wire": ("cosim.wiring", "wire"),
}


def __getattr__(name: str) -> Any:
    """Import on first use: a federation's processes need little of this."""
    from importlib import import_module

    if name not in _PLACES:
        raise AttributeError(f"module 'cosim' has no attribute '{name}'")
    module, attribute = _PLACES[name]
    return getattr(import_module(module), attribute)
