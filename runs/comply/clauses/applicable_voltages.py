"""4.3: which voltages apply."""

from __future__ import annotations

import numpy as np

from runs.comply.clauses._finding import finding
from runs.comply.operation import Operation
from runs.comply.verdict import Finding
from solvers.ieee1547_tables import Citation


def judge(op: Operation) -> list[Finding]:
    """Whether the trace shows each applicable voltage, so that the worst of them could decide."""
    demand = "the least and the greatest applicable phase voltage decide"
    citation = Citation("4.3")
    trace = op.path.trace
    if len(trace.voltage) == 1:
        text = "one voltage only: right for a single-phase DER; of a three-phase one the worst phase is not known"
        return [finding("4.3", "Applicable voltages", demand, citation, "not checkable", text)]
    spread = float(np.max(trace.highest - trace.lowest))
    if spread < 1e-3:
        return [finding("4.3", "Applicable voltages", demand, citation, "not exercised", "the phases were equal")]
    text = f"phases up to {spread:.3f} pu apart; every clause was judged by the worst one"
    return [finding("4.3", "Applicable voltages", demand, citation, "pass", text)]
