"""Limit active power (1547.1-2020 5.13; IEEE 1547-2018 4.6.2): 66, 33 and 0 %, with droop and volt-watt on top."""

from __future__ import annotations

from runs.bench1547.families import droop, volt_watt
from runs.bench1547.families.steps import Step, walk
from runs.bench1547.sequence import Plan, Sequence1547, remark
from runs.bench1547.wave import Wave
from solvers import ieee1547_tables as tables

LIMITS = (0.66, 0.33, 0.0)
REPEATS = 3
LOW, HIGH, RAISED = 59.0, 61.0, 1.08  #: [Hz], [Hz], [pu] of steps d, e and f


def sequences(plan: Plan) -> list[Sequence1547]:
    """One sequence for each limit."""
    return [_sequence(plan, limit) for limit in LIMITS]


def _sequence(plan: Plan, limit: float) -> Sequence1547:
    slope, line = droop.default_characteristic(plan), volt_watt.default_characteristic(plan)
    obey = plan.default("AP_response_s")

    def steps() -> list[Step]:
        def constant(value: float, label: str, time: float | None, hold: float, **to: float) -> Step:
            return Step(label, lambda _: value, time, to=to, hold=hold)

        slow, fast = 4.0 * line.response, 4.0 * slope.response
        return [
            Step(
                "c",
                lambda _: limit,
                None,
                change={"AP_limit_enabled": True, "AP_limit_pu": limit},
                hold=4.0 / 3.0 * obey,  # judged over its last quarter, which begins when the 30 s are over
                one_sided="high",
            ),
            constant(slope.power(LOW, limit), "d, 59 Hz", None, fast, frequency=LOW),
            constant(limit, "d, back", None, fast, frequency=60.0),
            constant(slope.power(HIGH, limit), "e, 61 Hz", None, fast, frequency=HIGH),
            constant(limit, "e, back", None, fast, frequency=60.0),
            constant(line.power(RAISED, limit), "f, 1.08 pu", None, slow, voltage=RAISED),
            constant(limit, "f, back", None, slow, voltage=1.0),
            Step("b", lambda _: 1.0, None, change={"AP_limit_enabled": False}, hold=4.0 / 3.0 * obey),
        ]

    case = walk(
        f"{100 * limit:g} %",
        plan.settings(**{**plan.wide_trips(), **slope.settings(), **line.settings()}),
        steps() * REPEATS,
        wave=Wave(),
        settle=5.0,
        y="p",
        x="voltage",
        x_accuracy=0.0,
    )
    return Sequence1547(
        name=f"active_power_limit/{100 * limit:g}%",
        title=f"active power limit {100 * limit:g} %, three times",
        clause="5.13",
        requirement="4.6.2; 6.5.2.7, Table 23; 5.4.2, Table 10",
        cases=[case],
        note=remark(tables.setting("VW_P2_pu", plan.category, plan.normal).citation),
    )
