"""Constant power factor and constant reactive power (1547.1-2020 5.14.3, 5.14.6).

Each set-point is walked through steps of power and of voltage, then switched off; 90 % within 10 s.
"""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt

from runs.bench1547.criteria import MARGIN, VOLTAGE_ACCURACY
from runs.bench1547.device import Settings
from runs.bench1547.families.steps import Step, walk
from runs.bench1547.families.volt_var import VH, VL
from runs.bench1547.sequence import Plan, Sequence1547, remark
from runs.bench1547.wave import Wave
from solvers import ieee1547_tables as tables

AV = MARGIN * VOLTAGE_ACCURACY  #: [pu]
LOW_POWER = 0.2  #: [pu] the least at which the full reactive power must be there (Table 7)


def sequences(plan: Plan) -> list[Sequence1547]:
    """Least and middle power factor, and all and half of the reactive capability, to both sides."""
    absorbing = {"A": 0.97, "B": 0.90}[plan.normal]
    factors = ((0.90, False), (absorbing, True), (0.95, False), ((1.0 + absorbing) / 2.0, True))
    capability = next(row for row in tables.REACTIVE_CAPABILITY if row.category == plan.normal)
    values = (capability.inject, -capability.absorb, 0.5 * capability.inject, -0.5 * capability.absorb)
    return [_factor(plan, factor, absorbs) for factor, absorbs in factors] + [_value(plan, q) for q in values]


def _factor(plan: Plan, factor: float, absorbs: bool) -> Sequence1547:
    side = "absorbing" if absorbs else "injecting"
    share = sqrt(1.0 / factor**2 - 1.0) * (-1.0 if absorbs else 1.0)
    return _sequence(
        plan,
        f"power_factor/{factor:.3g}_{side}",
        f"power factor {factor:.3g} {side}",
        "5.14.3",
        "5.3.2",
        {"reactive_mode": "constant_power_factor", "PF_power_factor": factor, "PF_absorbing": absorbs},
        {"PF_power_factor": 1.0},
        lambda p: share * p,
        remark(tables.setting("PF_power_factor", plan.category, plan.normal).citation),
    )


def _value(plan: Plan, q: float) -> Sequence1547:
    return _sequence(
        plan,
        f"reactive_power/{q:+.3g}pu",
        f"reactive power {q:+.3g} pu",
        "5.14.6",
        "5.3.5; 5.2, Table 7",
        {"reactive_mode": "constant_reactive_power", "Q_setpoint_pu": q},
        {"Q_setpoint_pu": 0.0},
        lambda _: q,
        remark(tables.setting("Q_setpoint_pu", plan.category, plan.normal).citation),
    )


def _sequence(
    plan: Plan,
    name: str,
    title: str,
    clause: str,
    requirement: str,
    on: Settings,
    off: Settings,
    curve: Callable[[float], float],
    note: str,
) -> Sequence1547:
    response = plan.default("Q_response_s")
    steps = [
        Step("g, low power", curve, response, to={"available": LOW_POWER}),
        Step("h, rated power", curve, response, to={"available": 1.0}),
        Step("i, low voltage", curve, response, to={"voltage": VL + AV}),
        Step("j, high voltage", curve, response, to={"voltage": VH - AV}),
        Step("k, low voltage", curve, response, to={"voltage": VL + AV}),
        Step("l, nominal voltage", curve, response, to={"voltage": 1.0}),
        Step("q, off", lambda _: 0.0, response, change=off),
        Step("on again", curve, response, change=on),
    ]
    case = walk(
        title,
        plan.settings(**{**plan.wide_trips(), **on}),
        steps,
        wave=Wave(),
        settle=2.0 * response,
        y="q",
        x="p",
        x_accuracy=0.0,
        two_sided=False,
    )
    return Sequence1547(f"constant_reactive/{name}", title, clause, requirement, [case], note)
