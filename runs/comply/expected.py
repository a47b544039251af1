"""How much of its output before a disturbance a DER can still be expected to give."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from runs.comply.operation import Operation
from runs.comply.trace import Array
from solvers import ieee1547_tables as tables


def expected_share(op: Operation, before: int, picked: NDArray[np.int64]) -> Array:
    """The share (n,) of the active power before that droop, volt-watt, source and limits leave at `picked` (n,)."""
    trace, held = op.path.trace, op.path.held
    share = np.ones(picked.size)
    if trace.active is None:
        return share
    power = max(float(trace.active[before]), 1e-6)
    for values in (trace.available, trace.limit):
        if values is not None:
            share = np.minimum(share, np.maximum(values[picked], 1e-3) / power)
    if held.switched("FD_enabled") is not False:
        over = _recent_most(op, picked) - tables.NOMINAL_FREQUENCY - held.number("FD_dbOF_Hz")
        drop = np.maximum(over, 0.0) / (tables.NOMINAL_FREQUENCY * held.number("FD_kOF_pu"))
        share = np.minimum(share, np.maximum(power - drop, 1e-3) / power)
    if held.switched("VW_enabled"):
        # The curve may go down to the minimum power, which a trace does not tell.
        left = volt_watt(op, trace.highest[picked], lowest=held.values.get("VW_P2_pu", 0.0))
        share = np.minimum(share, np.maximum(left, 1e-3) / power)
    return share


def control_acted(op: Operation, start: float, end: float) -> str | None:
    """The control of active power that acted between `start` and `end` [s], or whose effect may have lasted until then.

    Droop counts from the output at the moment when frequency left the deadband, which may have been away; volt-watt
    lets go as slowly as it takes hold. So restoring does not bound what they leave of the output.
    """
    held, trace = op.path.held, op.path.trace
    if held.switched("FD_enabled") is not False:
        first, stop = np.searchsorted(trace.time, [start - 2.0 * held.number("FD_response_s"), end])
        offset = trace.frequency[first : stop + 1] - tables.NOMINAL_FREQUENCY
        if (offset > held.number("FD_dbOF_Hz")).any() or (-offset > held.number("FD_dbUF_Hz")).any():
            return "frequency left the droop's deadband"
    if held.switched("VW_enabled"):
        first, stop = np.searchsorted(trace.time, [start - 2.0 * held.number("VW_response_s"), end])
        if (trace.highest[first : stop + 1] > held.number("VW_V1_pu")).any():
            return "voltage reached the volt-watt curve"
    return None


def _recent_most(op: Operation, picked: NDArray[np.int64]) -> Array:
    """The greatest frequency [Hz] from two response times of the droop before the first of `picked` to each of them.

    Droop lets go as slowly as it takes hold.
    """
    trace = op.path.trace
    begin = float(trace.time[picked[0]]) - 2.0 * op.path.held.number("FD_response_s")
    first = int(np.searchsorted(trace.time, begin))
    most = np.maximum.accumulate(trace.frequency[first : int(picked[-1]) + 1])
    return np.asarray(most[picked - first])


def volt_watt(op: Operation, voltage: Array, *, lowest: float | None = None) -> Array:
    """The active power [pu] that the volt-watt curve leaves (5.4.2), with P2 or `lowest` at its end."""
    number = op.path.held.number
    return np.interp(
        voltage,
        [number("VW_V1_pu"), number("VW_V2_pu")],
        [number("VW_P1_pu"), number("VW_P2_pu") if lowest is None else lowest],
    )
