"""6.4.2: voltage disturbance ride-through, by mode; response, current, consecutive disturbances, restored output."""

from __future__ import annotations

import itertools

import numpy as np

from runs.comply.clauses._finding import NO_OUTPUT, finding, summed_up
from runs.comply.clauses.shall_trip import coarse
from runs.comply.expected import control_acted, expected_share
from runs.comply.operation import Operation, Outage
from runs.comply.path import TOLERANCE, Visit
from runs.comply.verdict import Fault, Finding, Result
from solvers import ieee1547_tables as tables
from solvers.ieee1547_tables import Mode

_GROUPS: tuple[tuple[str, bool, tuple[Mode, ...], str], ...] = (
    ("6.4.2.3 mandatory", False, ("mandatory",), "Low voltage, mandatory operation"),
    ("6.4.2.3 permissive", False, ("permissive",), "Low voltage, permissive operation"),
    ("6.4.2.3 cessation", False, ("momentary_cessation", "cease_to_energize"), "Low voltage, cessation"),
    ("6.4.2.4 permissive", True, ("permissive",), "High voltage, permissive operation"),
    ("6.4.2.4 cessation", True, ("momentary_cessation", "cease_to_energize"), "High voltage, cessation"),
)


def judge(op: Operation) -> list[Finding]:
    """Findings for continuous operation, each mode, consecutive disturbances and restored output."""
    return [
        _continuous(op),
        *(_group(op, *group) for group in _GROUPS if _exists(op, group[1], group[2])),
        _consecutive(op),
        _restored(op),
    ]


def _exists(op: Operation, high: bool, modes: tuple[Mode, ...]) -> bool:
    rows = tables.ride_through(op.path.held.category, "voltage")
    return any(row.mode in modes and (row.low >= 1.0) == high for row in rows)


def answers_to(op: Operation, outage: Outage) -> str:
    """The clause that an outage that was not allowed is held against: voltage first, then what else moved."""
    if outage.visit.mode != "continuous":
        return "voltage"
    earliest = outage.start - tables.CEASE_RESPONSE.value - op.tolerance
    for visit in op.path.frequency_visits:
        if visit.first <= outage.first and visit.end >= earliest and visit.mode != "continuous":
            return "high frequency" if visit.row.low > tables.NOMINAL_FREQUENCY else "low frequency"
    return "continuous"


def was_trip(outage: Outage) -> bool:
    """Whether an outage lasted on after voltage had come back."""
    return outage.ending == "tripped"


def forbidden(outage: Outage) -> Fault | None:
    """What was wrong with an outage; None: it was required or allowed.

    In permissive operation and cessation the output may be away, but the DER shall come back: it shall not trip.
    """
    if outage.cause == "forbidden":
        return (
            "tripped though ride-through was required" if was_trip(outage) else "ceased though operation was required"
        )
    if outage.cause in ("required cessation", "permitted") and outage.allowance is None and was_trip(outage):
        return "tripped though ride-through was required"
    return None


def _continuous(op: Operation) -> Finding:
    row = next(r for r in tables.ride_through(op.path.held.category, "voltage") if r.mode == "continuous")
    visits = [v for v in op.path.voltage_visits if v.mode == "continuous"]
    return _ridden(
        op,
        "6.4.2.2",
        "Continuous operation",
        "0.88 to 1.10 pu and 58.8 to 61.2 Hz: remain in operation without end",
        row.citation,
        visits,
        [o for o in op.outages if answers_to(op, o) == "continuous"],
    )


def _group(op: Operation, clause: str, high: bool, modes: tuple[Mode, ...], title: str) -> Finding:
    visits = [v for v in op.path.voltage_visits if v.mode in modes and (v.row.low >= 1.0) == high]
    outages = [o for o in op.outages if o.visit.mode in modes and (o.visit.row.low >= 1.0) == high]
    rows = [
        r for r in tables.ride_through(op.path.held.category, "voltage") if r.mode in modes and (r.low >= 1.0) == high
    ]
    used = min((v.row for v in visits), key=lambda r: (r.citation.disagreement == "", r.low), default=rows[0])
    finding_ = _ridden(op, clause, title, _demand(visits[0].row if visits else rows[0]), used.citation, visits, outages)
    if not visits or not op.path.trace.has_output:
        return finding_
    extra = []
    if "cessation" in clause:
        extra = [_response(op, clause, title, visit) for visit in visits]
    elif modes == ("mandatory",):
        extra = [_current(op, clause, title, visit) for visit in visits]
    return summed_up([f for f in (finding_, *extra) if f is not None])


def _demand(row: tables.RideThroughRow) -> str:
    ends = f"{row.low:g} {'≤' if row.low_closed else '<'} V {'≤' if row.high_closed else '<'} {row.high:g} pu"
    if np.isinf(row.high):
        ends = f"V > {row.low:g} pu"
    if np.isnan(row.minimum):
        length = "no ride-through time"
    elif row.slope:
        length = f"ride through {row.minimum:g} s + {row.slope:g} s/pu·(V − {row.low:g})"
    else:
        length = f"ride through {row.minimum:g} s"
    response = "" if np.isnan(row.response) else f", within {row.response:g} s"
    return f"{ends}: {row.mode.replace('_', ' ')}{response}; {length}"


def _ridden(
    op: Operation,
    clause: str,
    title: str,
    demand: str,
    citation: tables.Citation,
    visits: list[Visit],
    outages: list[Outage],
) -> Finding:
    """Whether the DER stayed where it had to."""

    def say(result: Result, explanation: str, **more: object) -> Finding:
        return finding(clause, title, demand, citation, result, explanation, **more)  # type: ignore[arg-type]

    if not op.path.trace.has_output:
        return say("not checkable", NO_OUTPUT)
    if not any(op.energised_between(v.start, v.end) or _was_in_service(op, v) for v in visits):
        return say("not exercised", "voltage was never there while the DER was in service")
    told = []
    for outage in outages:
        fault = forbidden(outage)
        if fault is not None:
            begun = next((d[0].start for d in op.path.disturbances if d[0].start <= outage.start <= d[-1].end), None)
            needed = outage.visit.row.minimum
            margin = None if begun is None or not np.isfinite(needed) else outage.start - (outage.visit.start + needed)
            counted_before = op.path.voltage_visits[0].mode != "continuous" and begun == op.path.voltage_visits[0].start
            told.append(
                say(
                    "indeterminate" if counted_before else "fail",
                    _seen(op, outage),
                    fault=fault,
                    margin_s=margin,
                    margin_pu=_distance(op, outage),
                    evidence=op.evidence(outage),
                    warnings=["the disturbance began before the trace: time ridden through is not known"]
                    if counted_before
                    else [],
                    limit_s=None if margin is None else max(outage.start - outage.visit.start, op.tolerance),
                )
            )
        elif outage.cause == "permitted" or (was_trip(outage) and outage.allowance is not None):
            why = outage.allowance.reason if outage.allowance is not None else outage.reason
            told.append(
                say(
                    "permitted",
                    f"no output from {outage.start:g} s to {outage.end:g} s, which was allowed: {why}",
                    evidence=op.evidence(outage),
                )
            )
    if told:
        return summed_up(told)
    spare = min((_spare(op, visit) for visit in visits if np.isfinite(visit.row.minimum)), default=None)
    return say("pass", "remained as required", margin_s=spare)


def _seen(op: Operation, outage: Outage) -> str:
    """An outage that was not allowed: when, at which voltage, how long after it came there."""
    until = f"to {outage.end:g} s" if outage.stop < op.path.trace.time.size else "on"
    row, index = outage.visit.row, max(outage.first - 1, 0)
    values = op.path.highest if row.low >= 1.0 else op.path.lowest
    told = f"no output from {outage.start:g} s {until}: {outage.reason} at {float(values[index]):.3f} pu"
    if outage.visit.mode == "continuous":
        return told
    lasted = outage.start - outage.visit.start
    return f"{told}, where voltage had been for {lasted:g} s of {row.minimum:g} s that must be ridden through"


def _spare(op: Operation, visit: Visit) -> float:
    """How far a visit was from the end of what it asks for [s]: ended before it, or ridden through beyond it."""
    row, stay = visit.row, slice(visit.first, visit.stop)
    worst = op.path.highest[stay].max() if row.low >= 1.0 else op.path.lowest[stay].min()
    needed = row.minimum + (row.slope * (float(worst) - row.low) if row.slope else 0.0)
    if visit.duration <= needed:
        return needed - visit.duration
    ended = min((o.start for o in op.outages if visit.start <= o.start <= visit.end), default=visit.end)
    return ended - visit.start - needed


def _was_in_service(op: Operation, visit: Visit) -> bool:
    """Whether the DER gave output shortly before a stay in which it then ceased as it should."""
    outage = op.out_at(visit.first)
    return outage is None or (outage.cause != "out of service at the start" and outage.ending != "tripped")


def _distance(op: Operation, outage: Outage) -> float:
    """How far the voltage was from where it would have been allowed: to the row's outer end [pu], negative."""
    row = outage.visit.row
    index = min(outage.first, op.path.trace.time.size - 1)
    if row.low >= 1.0:
        return float(op.path.highest[index]) - row.high
    low = float(op.path.lowest[index])
    return row.low - low if row.mode != "continuous" else max(row.low - low, float(op.path.highest[index]) - row.high)


def _response(op: Operation, clause: str, title: str, visit: Visit) -> Finding | None:
    """Whether output ceased in time after voltage came to a region of cessation."""
    limit = visit.row.response
    step, slack = op.tolerance, op.slack(limit)
    outage = op.out_at(visit.first)
    if outage is not None:
        ended = outage.end
        if outage.stop < visit.stop:
            ended_early = True
        else:
            return None
    else:
        ended_early = False
        ended = 0.0

    def say(result: Result, explanation: str, **more: object) -> Finding:
        return finding(clause, title, _demand(visit.row), visit.row.citation, result, explanation, **more)  # type: ignore[arg-type]

    if ended_early:
        return say(
            "fail" if visit.end - ended > step + TOLERANCE else "indeterminate",
            f"gave output again at {ended:g} s though the voltage asked for cessation until {visit.end:g} s",
            fault="returned too early",
            margin_s=ended - visit.end,
            limit_s=visit.end - ended,
        )
    following = next((o for o in op.outages if visit.first < o.first < visit.stop), None)
    if following is None:
        elapsed = visit.duration
        seen = float(op.path.trace.time[visit.stop - 1]) - visit.start
        if elapsed <= limit + step + slack + TOLERANCE:
            return None  # it was over before a response had to show
        if seen + step <= limit + step + slack + TOLERANCE:
            return say(
                "indeterminate",
                f"gave output for {seen:g} s, then there is no sample for as long as voltage asked for cessation",
                fault="did not cease though it had to",
                margin_s=limit - seen,
                warnings=coarse(op, limit, op.resolution(visit.stop)),
                limit_s=limit,
            )
        return say(
            "fail",
            f"went on giving output for {elapsed:g} s",
            fault="did not cease though it had to",
            margin_s=limit - elapsed,
            evidence={"onset_s": visit.start, "end_s": visit.end, "during": op.state((visit.first + visit.stop) // 2)},
            limit_s=max(limit, elapsed),
        )
    if following.stop < visit.stop and visit.end - following.end > step + TOLERANCE:
        return say(
            "fail",
            f"gave output again at {following.end:g} s though the voltage asked for cessation until {visit.end:g} s",
            fault="returned too early",
            margin_s=following.end - visit.end,
            limit_s=visit.end - following.end,
        )
    elapsed = following.start - visit.start
    resolution = op.resolution(following.first)
    late = op.late(elapsed, limit, step=resolution)
    results: dict[str, Result] = {"no": "pass", "perhaps": "indeterminate", "yes": "fail"}
    return say(
        results[late],
        f"ceased {elapsed:g} s after {visit.start:g} s",
        fault="ceased too late",
        margin_s=limit - elapsed,
        evidence={"onset_s": visit.start, "response_s": round(elapsed, 9), **op.evidence(following)},
        warnings=coarse(op, limit, resolution),
        limit_s=limit,
    )


def _current(op: Operation, clause: str, title: str, visit: Visit) -> Finding | None:
    """Whether enough current flowed in mandatory operation."""
    limit = tables.MANDATORY_CURRENT
    reference = op.before(visit.first)
    before = op.current(reference) if reference >= 0 else None
    if before is None or before < 0.1:
        return None
    settle = visit.start + tables.RESTORE_TIME.value + op.slack(tables.RESTORE_TIME.value)
    first = int(np.searchsorted(op.path.trace.time, settle + op.tolerance - TOLERANCE))
    allowed = op.path.allowed(visit.start, visit.end)
    last = visit.stop if allowed is None else min(visit.stop, int(np.searchsorted(op.path.trace.time, allowed.start)))
    picked = np.arange(first, last)
    picked = picked[~op.ceased[picked]]
    if not picked.size:
        return None
    trace = op.path.trace
    if trace.current is not None:
        current = trace.current[picked]
    else:
        assert trace.active is not None
        reactive = trace.reactive[picked] if trace.reactive is not None else 0.0
        current = np.hypot(trace.active[picked], reactive) / np.maximum(trace.voltage[:, picked].mean(axis=0), 0.02)
    ratio = current / (before * expected_share(op, reference, picked))
    worst = int(ratio.argmin())
    missing = float(ratio[worst]) - limit.value
    band = 0.01 if op.path.held.accuracy == "exact" else 0.05
    result: Result = "pass" if missing >= -0.01 else "indeterminate" if missing >= -band else "fail"
    warnings = []
    acted = control_acted(op, visit.start, float(trace.time[picked[worst]])) if result == "fail" else None
    if acted is not None:
        result = "indeterminate"
        warnings.append(f"{acted} meanwhile: how much output that leaves is not known")
    return finding(
        clause,
        title,
        f"apparent current of at least {100 * limit.value:g} % of that before",
        limit.citation,
        result,
        f"{100 * float(ratio[worst]):.0f} % at {trace.time[picked[worst]]:g} s",
        fault="too little current",
        margin_pu=missing,
        warnings=warnings,
        evidence={"onset_s": visit.start, "before": op.state(reference), "during": op.state(int(picked[worst]))},
    )


def _consecutive(op: Operation) -> Finding:
    row = op.path.consecutive
    sets = op.path.disturbances
    demand = f"ride through {row.sets} disturbance sets, at least {row.minimum_gap:g} s apart, in {row.window:g} min"

    def say(result: Result, explanation: str, **more: object) -> Finding:
        return finding("6.4.2.5", "Consecutive disturbances", demand, row.window_citation, result, explanation, **more)  # type: ignore[arg-type]

    if not op.path.trace.has_output:
        return say("not checkable", NO_OUTPUT)
    evidence = {"sets": [[visits[0].start, visits[-1].end] for visits in sets[:50]]}
    later = [visits for visits in sets[1:] if _was_in_service(op, visits[0])]
    if not later:
        return say("not exercised", f"{len(sets)} disturbance set(s), not a second one in service", evidence=evidence)
    for visits in later:
        for outage in op.outages:
            if visits[0].start - TOLERANCE <= outage.start <= visits[-1].end:
                fault = forbidden(outage)
                if fault == "tripped though ride-through was required":
                    return say("fail", f"tripped at {outage.start:g} s in a later set", fault=fault, evidence=evidence)
                if was_trip(outage) and outage.allowance is not None and "sets" in outage.allowance.reason:
                    return say("permitted", outage.allowance.reason, evidence=evidence)
    return say("pass", f"{len(later)} later set(s) ridden through or tripped as allowed", evidence=evidence)


def _restored(op: Operation) -> Finding:
    """Output after each return of voltage to continuous or mandatory operation."""
    demand = (
        f"{100 * tables.RESTORE_CURRENT.value:g} % of the active current before, {tables.RESTORE_TIME.value:g} s after "
        "voltage returned to continuous or mandatory operation"
    )

    def say(result: Result, explanation: str, **more: object) -> Finding:
        return finding(
            "6.4.2.7",
            "Restore output",
            demand,
            tables.RESTORE_CURRENT.citation,
            result,
            explanation,
            **more,  # type: ignore[arg-type]
        )

    if not op.path.trace.has_output:
        return say("not checkable", NO_OUTPUT)
    told = [f for before, visit in _returns(op) if (f := _one_return(op, before, visit, say)) is not None]
    return (
        summed_up(told)
        if told
        else say("not exercised", "voltage never came back to where output is asked for while in service")
    )


def _returns(op: Operation) -> list[tuple[Visit, Visit]]:
    """Each stay after which output is asked for again, with the stay that follows it.

    It is in continuous operation after any other mode, and in mandatory operation after cessation or permissive one.
    """
    return [
        (a, b)
        for a, b in itertools.pairwise(op.path.voltage_visits)
        if b.mode == "continuous" or (b.mode == "mandatory" and a.mode != "continuous")
    ]


def _one_return(op: Operation, before: Visit, visit: Visit, say: object) -> Finding | None:
    assert callable(say)
    limit = tables.RESTORE_TIME.value
    step, slack = op.tolerance, op.slack(limit)
    if visit.duration < limit + slack + 2.0 * step:
        return None
    reference = op.before(before.first)
    if reference < 0 or op.ceased[reference]:
        return None
    outage = op.out_at(visit.first) or op.out_at(min(visit.first + 1, op.path.trace.time.size - 1))
    if outage is not None:
        if outage.cause in ("shall trip", "service not permitted", "no source", "out of service at the start"):
            return None
        if outage.allowance is not None and outage.ending != "restored":
            return None  # it may have tripped
        if forbidden(outage) is not None and outage.ending == "tripped":
            return None  # that is said of ride-through itself
    current = op.active_current(reference)
    apparent = current is None
    if apparent:
        current = op.current(reference)
    if current is None or current < 0.05:
        return None
    trace = op.path.trace
    picked = np.arange(visit.first, min(visit.stop, int(np.searchsorted(trace.time, visit.start + 5.0)) + 1))
    if apparent:
        now = trace.current[picked] if trace.current is not None else np.zeros(picked.size)
    else:
        assert trace.active is not None
        now = trace.active[picked] / np.maximum(trace.voltage[:, picked].mean(axis=0), 0.02)
    wanted = tables.RESTORE_CURRENT.value * current * expected_share(op, reference, picked)
    reached = np.flatnonzero(now >= wanted - 0.005)
    moment = float(trace.time[picked[reached[0]]]) if reached.size else float(trace.time[picked[-1]])
    elapsed = moment - visit.start
    if not reached.size and elapsed <= limit + slack + step:
        return None
    resolution = op.resolution(int(picked[reached[0]])) if reached.size else step
    late = op.late(elapsed, limit, step=resolution) if reached.size else "yes"
    results: dict[str, Result] = {"no": "pass", "perhaps": "indeterminate", "yes": "fail"}
    warnings = coarse(op, limit, resolution)
    acted = control_acted(op, before.start, moment) if late == "yes" else None
    if acted is not None:
        late = "perhaps"
        warnings.append(f"{acted} meanwhile: how much output that leaves is not known")
    index = min(int(np.searchsorted(trace.time, visit.start + limit)), trace.time.size - 1)
    return say(  # type: ignore[no-any-return]
        results[late],
        f"{'reached' if reached.size else 'not reached'} {elapsed:g} s after {visit.start:g} s",
        fault="returned too slowly",
        margin_s=limit - elapsed,
        evidence={"return_s": visit.start, "before": op.state(reference), "after": op.state(index)},
        warnings=warnings,
        limit_s=limit,
    )
