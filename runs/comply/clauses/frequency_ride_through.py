"""6.5.2: frequency disturbance ride-through, rate of change, phase angle, and active power at low frequency."""

from __future__ import annotations

import numpy as np

from runs.comply.clauses._finding import NO_OUTPUT, finding, summed_up
from runs.comply.clauses.voltage_ride_through import answers_to, forbidden, was_trip
from runs.comply.expected import expected_share
from runs.comply.operation import Operation, Outage
from runs.comply.path import Visit, phase_jumps, rocof, rocof_limit
from runs.comply.verdict import Finding, Result
from solvers import ieee1547_tables as tables

_JUMP = 5.0  #: [deg] from which a change of phase angle counts as a disturbance


def judge(op: Operation) -> list[Finding]:
    """Findings for low and high frequency, power at low frequency, ROCOF and phase angle."""
    return [
        _mandatory(op, "6.5.2.3", "Low-frequency ride-through", high=False),
        _low_frequency_power(op),
        _mandatory(op, "6.5.2.4", "High-frequency ride-through", high=True),
        _rocof(op),
        _phase_angle(op),
    ]


def _visits(op: Operation, *, high: bool) -> list[Visit]:
    return [
        v for v in op.path.frequency_visits if v.mode != "continuous" and (v.row.low > tables.NOMINAL_FREQUENCY) == high
    ]


def _in_service(op: Operation, visit: Visit) -> bool:
    return visit.first == 0 or not op.ceased[visit.first - 1] or op.energised_between(visit.start, visit.end)


def _mandatory(op: Operation, clause: str, title: str, *, high: bool) -> Finding:
    rows = tables.ride_through(op.path.held.category, "frequency")
    row = next(r for r in rows if r.mode == "mandatory" and (r.low > tables.NOMINAL_FREQUENCY) == high)
    span = f"{row.low:g} < f ≤ {row.high:g} Hz" if high else f"{row.low:g} ≤ f < {row.high:g} Hz"
    demand = f"{span}: mandatory operation, {row.minimum:g} s in any 10 minutes"

    def say(result: Result, explanation: str, **more: object) -> Finding:
        return finding(clause, title, demand, row.citation, result, explanation, **more)  # type: ignore[arg-type]

    visits = _visits(op, high=high)
    extreme = op.path.frequency.max() if high else op.path.frequency.min()
    margin = float(row.high - extreme if high else extreme - row.low) / tables.NOMINAL_FREQUENCY
    if not op.path.trace.has_output:
        return say("not checkable", NO_OUTPUT, margin_pu=margin)
    if not any(_in_service(op, v) for v in visits):
        return say("not exercised", "frequency was never there while the DER was in service", margin_pu=margin)
    told = []
    for outage in op.outages:
        if forbidden(outage) is not None and answers_to(op, outage) == ("high frequency" if high else "low frequency"):
            begun = next((v.start for v in reversed(visits) if v.first <= outage.first), outage.start)
            before = op.path.frequency_visits[0].mode != "continuous" and begun == op.path.trace.time[0]
            told.append(
                say(
                    "indeterminate" if before else "fail",
                    f"no output from {outage.start:g} s to {outage.end:g} s: {outage.reason}",
                    fault=forbidden(outage),
                    margin_s=outage.start - begun - row.minimum,
                    margin_pu=-margin,
                    evidence=op.evidence(outage),
                    warnings=["the excursion began before the trace: its time is not known"] if before else [],
                    limit_s=max(outage.start - begun, op.tolerance),
                )
            )
        elif _allowed_here(op, outage, visits):
            assert outage.allowance is not None
            told.append(
                say(
                    "permitted",
                    f"no output from {outage.start:g} s, which was allowed: {outage.allowance.reason}",
                    evidence=op.evidence(outage),
                )
            )
    if told:
        return summed_up(told)
    stays = [v for v in visits if v.mode == "mandatory"]
    spare = row.minimum - max((v.duration for v in stays), default=0.0)
    return say("pass", "remained as required", margin_s=spare, margin_pu=margin)


def _allowed_here(op: Operation, outage: Outage, visits: list[Visit]) -> bool:
    return (
        outage.cause == "permitted"
        and outage.allowance is not None
        and outage.visit.mode == "continuous"
        and any(v.start <= outage.start <= v.end + op.tolerance + tables.CEASE_RESPONSE.value for v in visits)
    )


def _low_frequency_power(op: Operation) -> Finding:
    limit = tables.LOW_FREQUENCY_POWER_I
    first = op.path.held.category == "I"
    demand = "active power not below that before" + (f", or {limit.value:g} pu if less" if first else "")

    def say(result: Result, explanation: str, **more: object) -> Finding:
        return finding(
            "6.5.2.3 power",
            "Active power at low frequency",
            demand,
            limit.citation,
            result,
            explanation,
            **more,  # type: ignore[arg-type]
        )

    trace = op.path.trace
    if trace.active is None:
        return say("not checkable", NO_OUTPUT if not trace.has_output else "the trace has no p_pu")
    told = []
    for visit in _visits(op, high=False):
        if visit.mode != "mandatory" or visit.first == 0 or visit.stop - visit.first < 3:
            continue
        reference = visit.first - 1
        picked = np.arange(visit.first, visit.stop)
        calm = ~op.ceased[picked] & (op.path.lowest[picked] >= 0.88) & (op.path.highest[picked] <= 1.10)
        picked = picked[calm]
        if op.ceased[reference] or not picked.size or op.path.voltage_visit(reference).mode != "continuous":
            continue
        before = float(trace.active[reference]) * expected_share(op, reference, picked)
        wanted = np.minimum(before, limit.value) if first else before
        missing = trace.active[picked] - wanted
        worst = int(missing.argmin())
        value = float(missing[worst])
        band = 0.01 if op.path.held.accuracy == "exact" else 0.05
        result: Result = "pass" if value >= -0.01 else "fail" if value < -band else "indeterminate"
        warnings = []
        if result == "fail" and trace.available is None:
            result, warnings = "indeterminate", ["without available_pu a loss of source cannot be told from a fault"]
        told.append(
            say(
                result,
                f"{wanted[worst] + value:.3f} pu at {trace.time[picked[worst]]:g} s, {before[worst]:.3f} pu before",
                fault="did not follow its control function",
                margin_pu=value,
                warnings=warnings,
            )
        )
    return summed_up(told) if told else say("not exercised", "no low frequency in service")


def _rocof(op: Operation) -> Finding:
    limit = rocof_limit(op.path)
    demand = f"ride through frequency changes up to {limit.value:g} Hz/s, averaged over {tables.ROCOF_WINDOW.value:g} s"

    def say(result: Result, explanation: str, **more: object) -> Finding:
        return finding(
            "6.5.2.5",
            "Rate of change of frequency",
            demand,
            limit.citation,
            result,
            explanation,
            **more,  # type: ignore[arg-type]
        )

    trace = op.path.trace
    if not trace.has_output:
        return say("not checkable", NO_OUTPUT)
    if float(np.ptp(trace.frequency)) < 0.01:
        return say("not exercised", "the frequency did not change")
    rate = rocof(op.path)
    if rate is None:
        return say("not checkable", f"a sample every {op.tolerance:g} s is coarser than the averaging window")
    served = np.where(op.ceased, 0.0, np.abs(rate))
    # A trip shows as the end of output: the sample before it still counts as served.
    top = float(served.max())
    doubt = f"{tables.ROCOF_WINDOW.citation}: no open source states the averaging window"
    near = [o for o in op.outages if o.first > 0 and _fast_before(op, o, rate, 0.2 * limit.value)]
    for outage in near:
        if forbidden(outage) is not None and outage.visit.mode == "continuous":
            return say(
                "fail",
                f"no output from {outage.start:g} s while the frequency changed by at most {top:.3g} Hz/s",
                fault=forbidden(outage),
                evidence=op.evidence(outage),
                warnings=[doubt],
            )
        if outage.allowance is not None and "ROCOF" in outage.allowance.reason and was_trip(outage):
            return say("permitted", outage.allowance.reason, evidence=op.evidence(outage), warnings=[doubt])
    if top < 0.2 * limit.value:
        return say("not exercised", f"at most {top:.3g} Hz/s in service")
    return say("pass", f"up to {top:.3g} Hz/s ridden through", warnings=[doubt], evidence={"largest_Hz_per_s": top})


def _fast_before(
    op: Operation, outage: Outage, rate: np.ndarray[tuple[int], np.dtype[np.float64]], least: float
) -> bool:
    early = int(np.searchsorted(op.path.trace.time, outage.start - 0.5))
    return bool(np.abs(rate[early : outage.first + 1]).max() >= least)


def _phase_angle(op: Operation) -> Finding:
    single = len(op.path.trace.voltage) == 1
    limit = tables.PHASE_JUMP_SINGLE_PHASE if single else tables.PHASE_JUMP_POSITIVE_SEQUENCE
    demand = (
        f"ride through changes up to {limit.value:g}°"
        + ("" if single else f" of the positive sequence and below {tables.PHASE_JUMP_INDIVIDUAL.value:g}° of a phase")
        + f" within a cycle; momentary cessation up to {tables.PHASE_JUMP_CESSATION.value:g} s"
    )

    def say(result: Result, explanation: str, **more: object) -> Finding:
        return finding(
            "6.5.2.6",
            "Change of phase angle",
            demand,
            limit.citation,
            result,
            explanation,
            **more,  # type: ignore[arg-type]
        )

    if not op.path.trace.has_output:
        return say("not checkable", NO_OUTPUT)
    jumps = phase_jumps(op.path)
    if jumps is None:
        return say("not checkable", "the trace has no phase angles (angle_a_deg, ...)")
    if op.tolerance > 0.1:
        return say("not checkable", f"a sample every {op.tolerance:g} s cannot show a change within a cycle")
    largest = np.maximum(*jumps)
    if largest.max() < _JUMP:
        return say("not exercised", f"the angle changed by at most {largest.max():.2g}° in a cycle")
    for outage in op.outages:
        early = int(np.searchsorted(op.path.trace.time, outage.start - 0.5))
        if outage.first == 0 or largest[early : outage.first + 1].max() < _JUMP:
            continue
        if forbidden(outage) is not None and outage.visit.mode == "continuous":
            return say(
                "fail",
                f"no output from {outage.start:g} s to {outage.end:g} s after a change of {largest.max():.3g}°",
                fault=forbidden(outage),
                evidence=op.evidence(outage),
            )
        if outage.allowance is not None and "phase" in outage.allowance.reason:
            return say("permitted", outage.allowance.reason, evidence=op.evidence(outage))
    return say("pass", f"changes up to {largest.max():.3g}° ridden through", margin_pu=None)
