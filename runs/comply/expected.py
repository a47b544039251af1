"""How much of its output before a disturbance a DER can still be expected to give."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from runs.comply.operation import Operation
from runs.comply.trace import Array
from solvers import ieee1547_tables as tables


def expected_share(op: Operation, before: int, picked: NDArray[np.int64]) -> Array:
    """The share of the active power before, at samples `picked` (n,): less with less sun, droop, volt-watt or limits."""
    trace, held = op.path.trace, op.path.held
    share = np.ones(picked.size)
    if trace.active is None:
        return share
    power = max(float(trace.active[before]), 1e-6)
    for values in (trace.available, trace.limit):
        if values is not None:
            share = np.minimum(share, np.maximum(values[picked], 1e-3) / power)
    if held.switched("FD_enabled") is not False:
        over = trace.frequency[picked] - tables.NOMINAL_FREQUENCY - held.number("FD_dbOF_Hz")
        drop = np.maximum(over, 0.0) / (tables.NOMINAL_FREQUENCY * held.number("FD_kOF_pu"))
        share = np.minimum(share, np.maximum(power - drop, 1e-3) / power)
    if held.switched("VW_enabled"):
        share = np.minimum(share, np.maximum(volt_watt(op, trace.highest[picked]), 1e-3) / power)
    return share


def volt_watt(op: Operation, voltage: Array) -> Array:
    """The active power [pu] that the volt-watt curve leaves (5.4.2)."""
    number = op.path.held.number
    return np.interp(
        voltage, [number("VW_V1_pu"), number("VW_V2_pu")], [number("VW_P1_pu"), number("VW_P2_pu")]
    )
