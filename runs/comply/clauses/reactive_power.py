"""5.2 and 5.3: reactive-power capability, and the control mode in force."""

from __future__ import annotations

import numpy as np

from runs.comply import accuracy
from runs.comply.clauses._finding import finding
from runs.comply.following import Following, Target, follow
from runs.comply.operation import Operation
from runs.comply.path import TOLERANCE
from runs.comply.settings import ReactiveMode
from runs.comply.spans import Mask
from runs.comply.trace import Array
from runs.comply.verdict import Finding, Result
from solvers import ieee1547_tables as tables

_MODES: tuple[tuple[str, ReactiveMode, str, str], ...] = (
    ("5.3.2", "constant_power_factor", "Constant power factor", "PF_response_s"),
    ("5.3.3", "volt_var", "Volt-var", "VV_response_s"),
    ("5.3.4", "watt_var", "Watt-var", "WV_response_s"),
    ("5.3.5", "constant_reactive_power", "Constant reactive power", "Q_response_s"),
)


def judge(op: Operation) -> list[Finding]:
    """Capability, then each mode."""
    told = [_mode(op, *mode) for mode in _MODES]
    followed = next((f for _, f in told if f is not None), None)
    return [_capability(op, followed), *(finding_ for finding_, _ in told)]


def in_normal_operation(op: Operation) -> Mask:
    """Samples in service with voltage and frequency in continuous operation."""
    path = op.path
    normal = ~op.ceased & (path.lowest >= 0.88 - TOLERANCE) & (path.highest <= 1.10 + TOLERANCE)
    return np.asarray(normal & (path.frequency >= 58.8) & (path.frequency <= 61.2))


def _mode(
    op: Operation, clause: str, mode: ReactiveMode, title: str, response: str
) -> tuple[Finding, Following | None]:
    held, trace = op.path.held, op.path.trace
    limit = held.number(response)
    demand = f"reactive power by the curve, 90 % of a change within {limit:g} s"
    citation = held.citation(
        {"constant_power_factor": "PF_power_factor", "constant_reactive_power": "Q_setpoint_pu"}.get(mode, response)
    )

    def say(result: Result, explanation: str, **more: object) -> Finding:
        return finding(clause, title, demand, citation, result, explanation, **more)  # type: ignore[arg-type]

    if trace.active is None or trace.reactive is None:
        return say("not checkable", "the trace has no p_pu and q_pu"), None
    if held.reactive_mode is None:
        return say("not checkable", "the settings do not say which mode is in force (reactive_mode)"), None
    if held.reactive_mode != mode:
        return say("not exercised", f"the mode in force is {held.reactive_mode.replace('_', ' ')}"), None
    if mode == "volt_var" and held.switched("VV_auto_Vref"):
        return say("not checkable", "with an autonomous reference the curve hangs on voltage before the trace"), None
    if op.tolerance > limit / 2.0:
        return say("not checkable", f"a sample every {op.tolerance:g} s is too coarse for {limit:g} s"), None
    band = accuracy.control_band(exact=held.accuracy == "exact")
    eligible = in_normal_operation(op) & (np.abs(trace.active) >= 0.2)
    found = follow(op, _target(op, mode), trace.reactive, limit, eligible)
    if found is None:
        return say("not exercised", f"no {limit:g} s of normal operation with P of at least 0.2 pu"), None
    if (
        found.excess <= band
        and max(abs(found.reach_low), abs(found.reach_high)) < 0.02
        and mode != "constant_power_factor"
    ):
        return say("not exercised", "the curve asked for no reactive power"), None
    result: Result = "fail" if found.excess > band else "pass"
    return (
        say(
            result,
            found.told,
            fault="did not follow its control function",
            margin_pu=band - found.excess,
            limit_s=limit,
        ),
        found if result == "pass" else None,
    )


def _target(op: Operation, mode: ReactiveMode) -> Target:
    """The reactive power asked for, over the accuracy of what the curve reads."""
    trace, number = op.path.trace, op.path.held.number
    exact = op.path.held.accuracy == "exact"
    read = 0.0 if exact else accuracy.BAND * accuracy.power()
    assert trace.active is not None
    if mode == "volt_var":
        shift = number("VV_Vref_pu") - 1.0
        volts = [number(f"VV_V{i}_pu") + shift for i in range(1, 5)]
        vars_ = [number(f"VV_Q{i}_pu") for i in range(1, 5)]
        read = 0.0 if exact else accuracy.BAND * accuracy.voltage(None)
        # The curve falls with voltage; which of unequal phases it reads is the maker's choice.
        return Target(np.interp(trace.highest + read, volts, vars_), np.interp(trace.lowest - read, volts, vars_))
    if mode == "constant_reactive_power":
        wanted = np.full(trace.time.size, number("Q_setpoint_pu"))
        return Target(wanted, wanted)
    if mode == "watt_var":
        return _watt_var(op, trace.active, read)
    factor = number("PF_power_factor")
    slope = float(np.sqrt(max(0.0, 1.0 - factor**2)) / max(factor, 1e-6))
    sign = -1.0 if op.path.held.switched("PF_absorbing") else 1.0
    one, other = sign * slope * (trace.active - read), sign * slope * (trace.active + read)
    return Target(np.minimum(one, other), np.maximum(one, other))


def _watt_var(op: Operation, active: Array, read: float) -> Target:
    number = op.path.held.number
    charging = [(number(f"WV_P{i}_charge_pu"), number(f"WV_Q{i}_charge_pu")) for i in (3, 2, 1)]
    giving = [(number(f"WV_P{i}_pu"), number(f"WV_Q{i}_pu")) for i in (1, 2, 3)]
    powers, vars_ = zip(*charging, *giving, strict=True)
    ends = [np.interp(active + d, powers, vars_) for d in (-read, 0.0, read)]
    return Target(np.minimum.reduce(ends), np.maximum.reduce(ends))


def _capability(op: Operation, followed: Following | None) -> Finding:
    row = next(r for r in tables.REACTIVE_CAPABILITY if r.category == op.path.held.normal_category)
    demand = f"inject {row.inject:g} and absorb {row.absorb:g} of rated apparent power from P = {row.full_from:g} pu on"

    def say(result: Result, explanation: str, **more: object) -> Finding:
        return finding("5.2", "Reactive-power capability", demand, row.citation, result, explanation, **more)  # type: ignore[arg-type]

    if op.path.trace.reactive is None:
        return say("not checkable", "the trace has no q_pu")
    if followed is None:
        return say("not exercised", "no control mode that was judged asked for it")
    sides = []
    if followed.reach_high >= 0.95 * row.inject:
        sides.append("injection")
    if followed.reach_low <= -0.95 * row.absorb:
        sides.append("absorption")
    if not sides:
        return say("not exercised", f"asked for {followed.reach_low:.2f} to {followed.reach_high:.2f} pu only")
    return say("pass", f"{' and '.join(sides)} asked for in full and given")
