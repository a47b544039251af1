"""4.5: what is left of the output when a DER has ceased to energize."""

from __future__ import annotations

import numpy as np

from runs.comply.clauses._finding import NO_OUTPUT, finding
from runs.comply.operation import ACTIVE_FLOOR, Operation
from runs.comply.verdict import Finding, Result
from solvers import ieee1547_tables as tables
from solvers.ieee1547_tables import Citation

_CITATION = Citation("4.5", "", ("UL",))


def judge(op: Operation) -> list[Finding]:
    """One finding."""
    limit = op.path.held.ceased_reactive
    demand = f"no active power, reactive power at most {100 * limit:g} % of nameplate"
    warnings = [] if op.path.held.rating_kVA else ["the rating is not known: taken as below 500 kVA"]

    def say(result: Result, explanation: str, **more: object) -> Finding:
        return finding("4.5", "Cease to energize", demand, _CITATION, result, explanation, warnings=warnings, **more)  # type: ignore[arg-type]

    trace = op.path.trace
    if not trace.has_output:
        return [say("not checkable", NO_OUTPUT)]
    if trace.active is None or trace.reactive is None:
        return [say("not checkable", "the trace has no p_pu and q_pu")]
    worst, where = -1.0, 0
    for first, stop in _asked(op):
        still = np.flatnonzero(np.abs(trace.active[first:stop]) <= ACTIVE_FLOOR) + first
        if still.size:
            index = int(still[np.abs(trace.reactive[still]).argmax()])
            if abs(float(trace.reactive[index])) > worst:
                worst, where = abs(float(trace.reactive[index])), index
    if worst < 0.0:
        return [say("not exercised", "it never had to cease, or never did")]
    explanation = f"{worst:.3f} pu of reactive power at {trace.time[where]:g} s"
    return [
        say(
            "pass" if worst <= limit + 1e-9 else "fail",
            explanation,
            margin_pu=limit - worst,
            fault="did not cease though it had to",
        )
    ]


def _asked(op: Operation) -> list[tuple[int, int]]:
    """The stretches of samples in which the DER had to have ceased."""
    time = op.path.trace.time
    asked = []
    for visit in op.path.voltage_visits:
        if visit.mode in ("momentary_cessation", "cease_to_energize"):
            limit = visit.row.response
            asked.append((int(np.searchsorted(time, visit.start + limit + op.slack(limit) + op.tolerance)), visit.stop))
    delay = op.path.held.number("ES_delay_s")
    for due in op.path.dues:
        limit = tables.CEASE_RESPONSE.value
        until = due.end + tables.ENTER_SERVICE_FRACTION * delay
        asked.append(
            (
                int(np.searchsorted(time, due.by + op.slack(due.element.clearing) + limit)),
                int(np.searchsorted(time, until)),
            )
        )
    return [(a, b) for a, b in asked if b > a]
