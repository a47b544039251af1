"""5.4 and 6.5.2.7: volt-watt, and frequency-droop."""

from __future__ import annotations

import numpy as np

from runs.comply import accuracy
from runs.comply.clauses._finding import finding
from runs.comply.clauses.reactive_power import in_normal_operation
from runs.comply.expected import volt_watt
from runs.comply.following import Target, follow
from runs.comply.operation import Operation
from runs.comply.path import TOLERANCE
from runs.comply.spans import spans
from runs.comply.verdict import Finding, Result
from solvers import ieee1547_tables as tables


def judge(op: Operation) -> list[Finding]:
    """Volt-watt, then frequency-droop."""
    return [_volt_watt(op), _droop(op)]


def _volt_watt(op: Operation) -> Finding:
    held, trace = op.path.held, op.path.trace
    response = held.number("VW_response_s")

    def say(result: Result, explanation: str, **more: object) -> Finding:
        demand = f"active power at most by the curve, 90 % of a change within {response:g} s"
        return finding("5.4.2", "Volt-watt", demand, held.citation("VW_P2_pu"), result, explanation, **more)  # type: ignore[arg-type]

    if trace.active is None:
        return say("not checkable", "the trace has no p_pu")
    if held.switched("VW_enabled") is None:
        return say("not checkable", "the settings do not say whether volt-watt is on (VW_enabled)")
    if not held.switched("VW_enabled"):
        return say("not exercised", "volt-watt is off")
    if op.tolerance > response / 2.0:
        return say("not checkable", f"a sample every {op.tolerance:g} s is too coarse for {response:g} s")
    exact = held.accuracy == "exact"
    high = volt_watt(op, trace.lowest - (0.0 if exact else accuracy.BAND * accuracy.voltage(None)))
    found = follow(op, Target(np.full(high.size, -np.inf), high), trace.active, response, in_normal_operation(op))
    if found is None or volt_watt(op, np.array([trace.highest.max()]))[0] >= 1.0 - TOLERANCE:
        return say("not exercised", "voltage did not reach the curve for long enough")
    band = accuracy.control_band(exact=exact)
    result: Result = "fail" if found.excess > band else "pass"
    explanation = f"at worst {found.measured:.3f} pu at {found.time:g} s, where at most {found.high:.3f} pu was allowed"
    return say(result, explanation, fault="did not follow its control function", margin_pu=band - found.excess)


def _droop(op: Operation) -> Finding:
    held, trace = op.path.held, op.path.trace
    number = held.number
    response = number("FD_response_s")

    def say(result: Result, explanation: str, **more: object) -> Finding:
        demand = (
            f"beyond {number('FD_dbOF_Hz'):g} Hz less power by 1/{number('FD_kOF_pu'):g}, "
            f"below -{number('FD_dbUF_Hz'):g} Hz more by 1/{number('FD_kUF_pu'):g} where there is any, "
            f"90 % within {response:g} s"
        )
        return finding("6.5.2.7", "Frequency-droop", demand, held.citation("FD_kUF_pu"), result, explanation, **more)  # type: ignore[arg-type]

    if trace.active is None:
        return say("not checkable", "the trace has no p_pu")
    if held.switched("FD_enabled") is False:
        return say("not exercised", "frequency-droop is off")
    if op.tolerance > response / 2.0:
        return say("not checkable", f"a sample every {op.tolerance:g} s is too coarse for {response:g} s")
    nominal = tables.NOMINAL_FREQUENCY
    exact = held.accuracy == "exact"
    read = 0.0 if exact else accuracy.BAND * accuracy.frequency(None)
    over = trace.frequency - nominal - number("FD_dbOF_Hz")
    under = nominal - number("FD_dbUF_Hz") - trace.frequency
    away = (over > TOLERANCE) | ((under > TOLERANCE) if trace.available is not None else False)
    low, high = np.full(trace.time.size, -np.inf), np.full(trace.time.size, np.inf)
    fit = np.zeros(trace.time.size, dtype=bool)
    calm = ~op.ceased & (trace.lowest >= 0.88) & (trace.highest <= 1.10)
    for first, stop in spans(away):
        if first == 0 or op.ceased[first - 1] or not calm[first - 1] or op.path.at(stop) - op.path.at(first) < response:
            continue
        before = float(trace.active[first - 1])
        part = slice(first, stop)
        if over[first] > 0.0:
            drop = np.maximum(over[part] - read, 0.0) / (nominal * number("FD_kOF_pu"))
            high[part] = np.maximum(before - drop, 0.0) if before >= 0.0 else before - drop
        else:
            assert trace.available is not None
            rise = np.maximum(under[part] - read, 0.0) / (nominal * number("FD_kUF_pu"))
            low[part] = np.minimum(before + rise, np.minimum(trace.available[part], 1.0))
        fit[part] = calm[part]
    found = follow(op, Target(low, high), trace.active, response, fit)
    if found is None:
        return say("not exercised", f"frequency did not stay beyond the deadband for {response:g} s in normal service")
    band = accuracy.control_band(exact=exact)
    result: Result = "fail" if found.excess > band else "pass"
    return say(result, found.told, fault="did not follow its control function", margin_pu=band - found.excess)
