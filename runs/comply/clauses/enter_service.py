"""4.10: enter service: criteria and delay, then the ramp."""

from __future__ import annotations

import numpy as np

from runs.comply import accuracy
from runs.comply.clauses._finding import NO_OUTPUT, finding, summed_up
from runs.comply.operation import Operation, Outage
from runs.comply.path import TOLERANCE
from runs.comply.spans import Mask
from runs.comply.verdict import Finding, Result
from solvers import ieee1547_tables as tables

_STEP = 0.02  #: [pu] rise beyond the ramp's that counts as a step


def judge(op: Operation) -> list[Finding]:
    """A finding for criteria and delay, one for the ramp."""
    entries = [o for o in op.outages if o.stop < op.path.trace.time.size and _was_out_of_service(op, o)]
    return [_delay(op, entries), _ramp(op, entries)]


def _was_out_of_service(op: Operation, outage: Outage) -> bool:
    if outage.cause in ("out of service at the start", "service not permitted"):
        return True
    if outage.cause in ("no source", "phase jump"):
        return False
    if outage.ending == "tripped":
        return True
    due = any(
        outage.start - op.tolerance <= d.by <= outage.end and d.end - d.by > op.slack(d.element.clearing)
        for d in op.path.dues
    )
    if due or outage.cause == "shall trip":
        return outage.ending != "restored"
    return outage.ending == "slow" and outage.allowance is not None and outage.cause != "forbidden"


def _criteria(op: Operation) -> Mask:
    """Whether service may be entered, by voltage, frequency and permission."""
    number, path = op.path.held.number, op.path
    good = (path.lowest >= number("ES_V_low_pu") - TOLERANCE) & (path.highest <= number("ES_V_high_pu") + TOLERANCE)
    good &= (path.frequency >= number("ES_f_low_Hz") - TOLERANCE) & (
        path.frequency <= number("ES_f_high_Hz") + TOLERANCE
    )
    if path.trace.permit is not None:
        good &= path.trace.permit >= 0.5
    return good


def _delay(op: Operation, entries: list[Outage]) -> Finding:
    number = op.path.held.number
    delay = number("ES_delay_s")
    demand = (
        f"{number('ES_V_low_pu'):g} to {number('ES_V_high_pu'):g} pu and {number('ES_f_low_Hz'):g} to "
        f"{number('ES_f_high_Hz'):g} Hz for {delay:g} s before service is entered"
    )

    def say(result: Result, explanation: str, **more: object) -> Finding:
        citation = op.path.held.citation("ES_delay_s")
        return finding("4.10.2", "Enter service, criteria and delay", demand, citation, result, explanation, **more)  # type: ignore[arg-type]

    if not op.path.trace.has_output:
        return say("not checkable", NO_OUTPUT)
    if not entries:
        return say("not exercised", "service was not entered along the trace")
    good = _criteria(op)
    told = []
    for entry in entries:
        bad = np.flatnonzero(~good[: entry.stop])
        # The last sample before the first output shows whether the criteria held when it was let go.
        since = op.path.at(int(bad[-1]) + 1) if bad.size else float(op.path.trace.time[0])
        waited = max(0.0, entry.end - max(since, entry.start))
        known = bad.size > 0 or entry.first > 0
        need = delay if op.path.held.accuracy == "exact" else delay * tables.ENTER_SERVICE_FRACTION
        result: Result = "pass" if waited >= need - op.tolerance - TOLERANCE else "fail" if known else "indeterminate"
        told.append(
            say(
                result,
                f"output at {entry.end:g} s, {waited:g} s after the criteria were met",
                fault="returned too early",
                margin_s=waited - delay,
                evidence={"out_since_s": entry.start, "criteria_met_since_s": since, **op.evidence(entry)},
                warnings=[]
                if known
                else ["the DER was out of service when the trace began: its delay started before it"],
                limit_s=delay,
            )
        )
    return summed_up(told)


def _ramp(op: Operation, entries: list[Outage]) -> Finding:
    held, trace = op.path.held, op.path.trace
    duration = held.number("ES_ramp_s")
    largest = tables.ENTER_SERVICE_STEP
    demand = f"to rated power over {duration:g} s at the earliest, in steps of at most {100 * largest.value:g} %"

    def say(result: Result, explanation: str, **more: object) -> Finding:
        citation = held.citation("ES_ramp_s")
        return finding("4.10.3", "Enter service, ramp", demand, citation, result, explanation, **more)  # type: ignore[arg-type]

    if trace.active is None:
        return say("not checkable", "the trace has no p_pu")
    if not entries:
        return say("not exercised", "service was not entered along the trace")
    if held.switched("ES_randomised"):
        return say("permitted", "a randomised delay stands in for the ramp", warnings=_too_large(op))
    told = []
    for entry in entries:
        until = next((o.first for o in op.outages if o.first > entry.stop), trace.time.size)
        stop = min(until, int(np.searchsorted(trace.time, entry.end + duration)))
        if stop - entry.stop < 2:
            continue
        time, power = trace.time[entry.stop : stop], trace.active[entry.stop : stop]
        gone = time - entry.end + max(2.0 * op.tolerance, op.resolution(entry.stop))
        window = max(op.tolerance, duration / 100.0)
        earlier = np.interp(time - window, time, power, left=0.0)
        step = max(0.0, float((power - earlier - (window + op.tolerance) / duration).max()))
        step = step if step > _STEP else 0.0
        excess = power - gone / duration - min(step, largest.value)
        worst = int(excess.argmax())
        value = float(excess[worst])
        band = 0.01 if held.accuracy == "exact" else accuracy.power()
        result: Result = "pass" if value <= 0.01 else "indeterminate" if value <= band else "fail"
        told.append(
            say(
                result,
                f"{power[worst]:.3f} pu at {time[worst]:g} s, {gone[worst]:.3g} s after output began",
                fault="returned too fast",
                margin_pu=-value,
                evidence={"entered_s": entry.end, "largest_step_pu": round(step, 3)},
                warnings=[f"{largest.citation}: no open source states the step of 20 %"] if step else [],
            )
        )
    return summed_up(told) if told else say("not exercised", "the trace ends where service is entered")


def _too_large(op: Operation) -> list[str]:
    if op.path.held.is_small:
        return []
    return [f"a randomised delay is for DER below {tables.RANDOM_DELAY_CAPACITY:g} kVA"]
