"""Watt-var (1547.1-2020 5.14.7, 5.14.8, Tables 28 to 30): three characteristics, by steps of the available power."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from runs.bench1547.criteria import MARGIN, POWER_ACCURACY
from runs.bench1547.device import Settings
from runs.bench1547.families.steps import Step, piecewise, walk
from runs.bench1547.sequence import Plan, Sequence1547, remark
from runs.bench1547.wave import Wave
from solvers import ieee1547_tables as tables

AP = MARGIN * POWER_ACCURACY  #: [pu]
LEAST = 0.05  #: [pu] below it no reactive power need be there (Table 7)

Points = tuple[tuple[float, float], ...]


def default_points(plan: Plan) -> Points:
    """Characteristic 1: (P [pu], Q [pu]) 1 to 3, the default of the category."""
    return tuple((plan.default(f"WV_P{i}_pu"), plan.default(f"WV_Q{i}_pu")) for i in (1, 2, 3))


def watt_var_settings(points: Points) -> Settings:
    """As a device takes them."""
    return {
        "reactive_mode": "watt_var",
        **{f"WV_P{i}_pu": p for i, (p, _) in enumerate(points, 1)},
        **{f"WV_Q{i}_pu": q for i, (_, q) in enumerate(points, 1)},
    }


def sequences(plan: Plan) -> list[Sequence1547]:
    """Three characteristics, as transcribed by UL1741SB."""
    most = plan.default("WV_Q3_pu")
    half = {"A": -0.13, "B": -0.22}[plan.normal]
    found = (
        default_points(plan),
        ((0.2, half), (0.5, half), (1.0, most)),
        ((0.2, 0.0), (0.5, most), (1.0, most)),
    )
    return [_sequence(plan, number, points) for number, points in enumerate(found, 1)]


def _sequence(plan: Plan, number: int, points: Points) -> Sequence1547:
    response = plan.default("WV_response_s")
    curve = piecewise(points)
    steps = [Step(label, curve, response, to={"available": power}) for label, power in _powers(points)]
    case = walk(
        f"characteristic {number}",
        plan.settings(**{**plan.wide_trips(), **watt_var_settings(points)}),
        steps,
        wave=Wave(available=0.2),
        settle=2.0 * response,
        y="q",
        x="p",
        x_accuracy=POWER_ACCURACY,
        two_sided=False,
    )
    return Sequence1547(
        name=f"watt_var/characteristic{number}",
        title=f"characteristic {number}{plan.normal}",
        clause="5.14.7",
        requirement="5.3.4, Table 9",
        cases=[case],
        note=remark(tables.setting("WV_P1_pu", plan.category, plan.normal).citation),
    )


def _powers(points: Sequence[tuple[float, float]]) -> list[tuple[str, float]]:
    """Steps h to y, without those over 1 pu, and the bench's own end to end."""
    (p1, _), (p2, _), (p3, _) = points
    up = [p1 - AP, p1 + AP, (p1 + p2) / 2, p2 - AP, p2 + AP, (p2 + p3) / 2, p3 - AP, p3 + AP, 1.0]
    labels = list("hijklmnopqrstuvwx")
    steps = [*zip(labels, [*up, *up[-2::-1]], strict=True), ("end to end, up", 1.0), ("end to end, down", p1)]
    allowed = [(label, round(p, 4)) for label, p in steps if LEAST <= p <= 1.0]
    return allowed[:1] + [after for before, after in pairwise(allowed) if after[1] != before[1]]
