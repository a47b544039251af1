"""6.4.1 and 6.5.1: shall trip on abnormal voltage and frequency."""

from __future__ import annotations

import numpy as np

from runs.comply.clauses._finding import NO_OUTPUT, finding, summed_up
from runs.comply.operation import Operation, Outage
from runs.comply.path import TOLERANCE, Due
from runs.comply.settings import Element
from runs.comply.verdict import Fault, Finding, Result


def judge(op: Operation) -> list[Finding]:
    """A finding for each element."""
    return [_element(op, element) for element in op.path.held.elements]


def _say(op: Operation, element: Element, result: Result, explanation: str, **more: object) -> Finding:
    row = element.row
    unit = "pu" if row.quantity == "voltage" else "Hz"
    side = "above" if row.over else "below"
    return finding(
        f"{row.citation.clause} {row.element}",
        f"Shall trip {row.element}",
        f"{row.quantity} {side} {element.threshold:g} {unit} for {element.clearing:g} s: cease to energize and trip",
        row.citation,
        result,
        explanation,
        **more,  # type: ignore[arg-type]  # the named arguments of `finding`
    )


def _element(op: Operation, element: Element) -> Finding:
    stretches = [b for b in op.path.beyond if b.element is element]
    scale = 1.0 if element.row.quantity == "voltage" else 1.0 / 60.0
    closest = op.path.closest(element) * scale
    if not op.path.trace.has_output:
        return _say(op, element, "not checkable", NO_OUTPUT, margin_pu=closest)
    if not stretches:
        return _say(op, element, "not exercised", "the threshold was not crossed", margin_pu=closest)
    dues = [due for b in stretches if (due := b.due)]
    if not dues:
        longest = max(b.end - b.start for b in stretches)
        return _say(
            op,
            element,
            "not exercised",
            f"beyond the threshold for at most {longest:g} s",
            margin_s=element.clearing - longest,
            margin_pu=closest,
        )
    return summed_up([_due(op, due) for due in dues])


def _due(op: Operation, due: Due) -> Finding:
    element = due.element
    step, slack = op.tolerance, op.slack(element.clearing)
    outage = next((o for o in op.outages if o.end > due.by - slack - step), None)
    # The time ran out so late before the quantity came back that a clock within its accuracy might not have seen it;
    # or no sample was taken meanwhile.
    seen = float(op.path.trace.time[max(int(np.searchsorted(op.path.trace.time, due.end - TOLERANCE)) - 1, 0)])
    barely = seen + step - due.by <= slack + step + TOLERANCE
    unseen = [f"no sample between {seen:g} s and {due.end:g} s shows it"] if due.end - seen > 1.5 * step else []
    if outage is None or outage.start > due.end + slack + step:
        return _never(op, due, barely, "it went on giving output", warnings=unseen)
    elapsed = outage.start - due.start
    evidence = {
        "element": element.name,
        "onset_s": due.start,
        "clearing_time_s": round(elapsed, 9),
        **op.evidence(outage),
    }
    if outage.cause in ("out of service at the start", "no source"):
        return _say(op, element, "not exercised", "it gave no output before", evidence=evidence)
    if _restored_without_trip(op, outage, due):
        why = f"output was back at {outage.end:g} s as after momentary cessation"
        return _never(op, due, barely, why, evidence, warnings=unseen)
    if elapsed < 0.0:
        return _say(
            op, element, "pass", "it had ceased to energize before", evidence=evidence, limit_s=element.clearing
        )
    resolution = op.resolution(outage.first)
    late = op.late(elapsed, element.clearing, step=resolution)
    results: dict[str, tuple[Result, Fault | None]] = {
        "no": ("pass", None),
        "perhaps": ("indeterminate", "tripped too late"),
        "yes": ("fail", "tripped too late"),
    }
    result, fault = results[late]
    return _say(
        op,
        element,
        result,
        f"ceased {elapsed:g} s after {due.start:g} s",
        fault=fault,
        margin_s=element.clearing - elapsed,
        evidence=evidence,
        warnings=coarse(op, element.clearing, resolution),
        limit_s=element.clearing,
    )


def _restored_without_trip(op: Operation, outage: Outage, due: Due) -> bool:
    """Whether the output came back at once when the voltage did, or even before: then it had not tripped."""
    if outage.stop >= op.path.trace.time.size or outage.end < due.by - TOLERANCE:
        return False
    return outage.ending in ("restored", "unknown") and outage.end - due.by < op.path.held.number("ES_delay_s") - 1.0


def _never(
    op: Operation,
    due: Due,
    barely: bool,
    why: str,
    evidence: dict[str, object] | None = None,
    *,
    warnings: list[str],
) -> Finding:
    element = due.element
    return _say(
        op,
        element,
        "indeterminate" if barely else "fail",
        f"should have tripped by {due.by:g} s, but {why}",
        fault="did not trip though it had to",
        margin_s=due.by - due.end,
        evidence=evidence or {"element": element.name, "onset_s": due.start, "end_s": due.end, "due_s": due.by},
        warnings=warnings if barely else [],
        limit_s=element.clearing,
    )


def coarse(op: Operation, limit: float, step: float | None = None) -> list[str]:
    """A warning where the sampling, or the `step` [s] before the sample that decides, cannot resolve a limit [s]."""
    if step is not None and step > op.tolerance and step > limit / 2.0 + TOLERANCE:
        if op.path.trace.sampling is None:
            return [f"the sample that shows it came {step:g} s after the one before: too late to see {limit:g} s"]
        return [
            f"outside the window samples are {step:g} s apart, too far to see {limit:g} s: let it close later than "
            "what is to be judged"
        ]
    if op.tolerance <= limit / 2.0 + TOLERANCE:
        return []
    return [f"a sample every {op.tolerance:g} s is too coarse to see {limit:g} s; give at most {limit / 2.0:g} s"]
