"""4.6: obeying a withdrawn permission and an active-power limit."""

from __future__ import annotations

import numpy as np

from runs.comply import accuracy
from runs.comply.clauses._finding import NO_OUTPUT, finding
from runs.comply.following import Target, follow
from runs.comply.operation import Operation
from runs.comply.path import TOLERANCE
from runs.comply.spans import spans
from runs.comply.verdict import Finding, Result
from solvers import ieee1547_tables as tables
from solvers.ieee1547_tables import Citation


def judge(op: Operation) -> list[Finding]:
    """Permit service, limit active power, and the change of modes, which traces do not show."""
    return [_permit(op), _limit(op), _modes(op)]


def _permit(op: Operation) -> Finding:
    limit = tables.PERMIT_SERVICE_RESPONSE
    citation = Citation("4.6.1", "", ("UL",))

    def say(result: Result, explanation: str, **more: object) -> Finding:
        demand = f"cease to energize and trip within {limit:g} s after permission is withdrawn"
        return finding("4.6.1", "Permit service", demand, citation, result, explanation, **more)  # type: ignore[arg-type]

    trace = op.path.trace
    if not trace.has_output:
        return say("not checkable", NO_OUTPUT)
    if trace.permit is None:
        return say("not checkable", "the trace has no column permit_service")
    withdrawn = [(a, b) for a, b in spans(trace.permit < 0.5) if a > 0 and not op.ceased[a - 1]]
    if not withdrawn:
        return say("not exercised", "permission was not withdrawn in service")
    first, stop = withdrawn[0]
    gone = np.flatnonzero(op.ceased[first:stop])
    if not gone.size:
        elapsed = op.path.at(stop) - op.path.at(first)
        result: Result = "fail" if elapsed > limit + op.slack(limit) + op.tolerance else "not exercised"
        return say(result, f"output went on for {elapsed:g} s", fault="did not obey", margin_s=limit - elapsed)
    elapsed = op.path.at(first + int(gone[0])) - op.path.at(first)
    results: dict[str, Result] = {"no": "pass", "perhaps": "indeterminate", "yes": "fail"}
    if not op.ceased[first + int(gone[0]) : stop].all():
        return say("fail", "output came back while service was not permitted", fault="did not obey")
    return say(
        results[op.late(elapsed, limit)],
        f"ceased {elapsed:g} s after permission was withdrawn",
        fault="did not obey",
        margin_s=limit - elapsed,
        limit_s=limit,
    )


def _limit(op: Operation) -> Finding:
    response = op.path.held.number("AP_response_s")
    citation = op.path.held.citation("AP_limit_pu")

    def say(result: Result, explanation: str, **more: object) -> Finding:
        demand = f"active power at most the limit, {response:g} s after it is given"
        return finding("4.6.2", "Limit active power", demand, citation, result, explanation, **more)  # type: ignore[arg-type]

    trace = op.path.trace
    limit = trace.limit
    if limit is None and op.path.held.switched("AP_limit_enabled"):
        limit = np.full(trace.time.size, op.path.held.number("AP_limit_pu"))
    if trace.active is None:
        return say("not checkable", "the trace has no p_pu")
    if limit is None:
        return say("not checkable", "the trace has no column p_limit_pu, and no limit is set")
    found = follow(op, Target(np.full(limit.size, -np.inf), limit), trace.active, response, ~op.ceased, residue=0.0)
    if found is None or limit.min() >= 1.0 - TOLERANCE:
        return say("not exercised", "no limit below rating for long enough")
    band = accuracy.control_band(exact=op.path.held.accuracy == "exact")
    result: Result = "fail" if found.excess > band else "pass"
    explanation = f"{found.measured:.3f} pu at {found.time:g} s where at most {found.high:.3f} pu was allowed"
    return say(result, explanation, fault="did not obey", margin_pu=band - found.excess)


def _modes(op: Operation) -> Finding:
    low, high = tables.MODE_TRANSITION
    return finding(
        "4.6.3",
        "Execution of mode or parameter changes",
        f"a change of settings within {tables.SETTINGS_CHANGE:g} s, of modes over {low:g} to {high:g} s",
        Citation("4.6.3", "", ("ODER",)),
        "not checkable",
        "a trace does not say when a command was given",
    )
