"""Volt-var (1547.1-2020 5.14.4, 5.14.5, Tables 25 to 27): three characteristics, three powers, autonomous Vref.

The characteristics' points are sent as absolute voltages with a reference of 1 pu. To the printed steps the bench adds
one from end to end, since small steps cannot show a wrong response time within the accuracy band.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from runs.bench1547.criteria import CEASED_P, MARGIN, VOLTAGE_ACCURACY, Finding
from runs.bench1547.device import Settings
from runs.bench1547.families.steps import Step, piecewise, walk
from runs.bench1547.sequence import Case, Plan, Sequence1547, remark
from runs.bench1547.stand import Trace
from runs.bench1547.wave import Wave
from solvers import ieee1547_tables as tables

VL, VH = 0.88, 1.10  #: [pu] ends of the continuous operating region
AV = MARGIN * VOLTAGE_ACCURACY  #: [pu]
POWERS = (1.0, 0.66, 0.2)


@dataclass(frozen=True)
class Characteristic:
    """A volt-var curve and its response time."""

    number: int
    points: tuple[tuple[float, float], ...]  #: (V [pu], Q [pu]) 1 to 4
    response: float  #: [s]

    def settings(self) -> Settings:
        """As a device takes it."""
        return {
            "reactive_mode": "volt_var",
            "VV_Vref_pu": 1.0,
            "VV_response_s": self.response,
            **{f"VV_V{i}_pu": v for i, (v, _) in enumerate(self.points, 1)},
            **{f"VV_Q{i}_pu": q for i, (_, q) in enumerate(self.points, 1)},
        }


def default_characteristic(plan: Plan) -> Characteristic:
    """Characteristic 1: the default of the category."""
    points = tuple((plan.default(f"VV_V{i}_pu"), plan.default(f"VV_Q{i}_pu")) for i in (1, 2, 3, 4))
    return Characteristic(1, points, plan.default("VV_response_s"))


def characteristics(plan: Plan) -> Sequence[Characteristic]:
    """Tables 25 to 27, as transcribed by UL1741SB; reactive power in shares of the category's capability."""
    capability = next(row for row in tables.REACTIVE_CAPABILITY if row.category == plan.normal)
    inject, absorb = capability.inject, -capability.absorb
    return (
        default_characteristic(plan),
        Characteristic(2, ((0.88, inject), (1.04, 0.5 * inject), (1.07, 0.5 * inject), (1.10, absorb)), 1.0),
        Characteristic(3, ((0.90, inject), (0.93, 0.5 * absorb), (0.96, 0.5 * absorb), (1.10, absorb)), 90.0),
    )


def sequences(plan: Plan) -> list[Sequence1547]:
    """Characteristic 1 at three powers, 2 and 3 at rated power, and the autonomous reference voltage."""
    found = []
    for characteristic in characteristics(plan):
        for power in POWERS if characteristic.number == 1 else POWERS[:1]:
            found.append(_sequence(plan, characteristic, power))
    return found + [_reference(plan, time) for time in _reference_times(plan)]


def _sequence(plan: Plan, characteristic: Characteristic, power: float) -> Sequence1547:
    curve = piecewise(characteristic.points)
    steps = [
        Step(label, curve, characteristic.response, to={"voltage": voltage})
        for label, voltage in _voltages(characteristic.points)
    ]
    case = walk(
        f"characteristic {characteristic.number} at {power:g} pu",
        plan.settings(**{**plan.wide_trips(), **characteristic.settings()}),
        steps,
        wave=Wave(available=power),
        settle=2.0 * characteristic.response,
        y="q",
        x="voltage",
        x_accuracy=VOLTAGE_ACCURACY,
    )
    return Sequence1547(
        name=f"volt_var/characteristic{characteristic.number}/{power:g}pu",
        title=f"characteristic {characteristic.number}{plan.normal}, power {power:g} pu",
        clause="5.14.4",
        requirement="5.3.3, Table 8",
        cases=[case],
        note=remark(tables.setting("VV_V1_pu", plan.category, plan.normal).citation),
    )


def _voltages(points: Sequence[tuple[float, float]]) -> list[tuple[str, float]]:
    """Steps g to dd, without those outside the continuous region, and the bench's own end to end."""
    (v1, _), (v2, _), (v3, _), (v4, _) = points
    up = [v3 - AV, v3 + AV, (v3 + v4) / 2, v4 - AV, v4 + AV, VH - AV]
    down = [v2 + AV, v2 - AV, (v1 + v2) / 2, v1 + AV, v1 - AV, VL + AV]
    walked = [*up, *up[-2::-1], 1.0, *down, *down[-2::-1], 1.0]
    labels = [*"ghijklmnopqrstuvwxyz", "aa", "bb", "cc", "dd"]
    steps = list(zip(labels, walked, strict=True))
    steps += [("end to end, down", VL + AV), ("end to end, up", VH - AV), ("end to end, back", VL + AV)]
    allowed = [(label, round(v, 4)) for label, v in steps if VL + AV - 1e-9 <= v <= VH - AV + 1e-9]
    return allowed[:1] + [after for before, after in pairwise(allowed) if after[1] != before[1]]


def _reference_times(plan: Plan) -> tuple[float, float]:
    row = tables.setting("VV_Vref_time_s", plan.category, plan.normal)
    return row.low, row.high


def _reference(plan: Plan, time: float) -> Sequence1547:
    characteristic = default_characteristic(plan)
    (v1, q1), (v2, _), (v3, _), (v4, q4) = characteristic.points
    settings = plan.settings(
        **{**plan.wide_trips(), **characteristic.settings(), "VV_auto_Vref": True, "VV_Vref_time_s": time}
    )
    wave = Wave().hold(4.0 * characteristic.response)
    high = wave.end
    wave.to(voltage=(v3 + v4) / 2)
    wave.hold(4.0 * time)
    low = wave.end
    wave.to(voltage=(v1 + v2) / 2)
    wave.hold(4.0 * time)
    case = Case(f"Tref {time:g} s", settings, wave, _follows(characteristic, ((high, low, q4), (low, wave.end, q1))))
    return Sequence1547(
        name=f"volt_var/autonomous_vref/{time:g}s",
        title=f"autonomous reference voltage, Tref {time:g} s",
        clause="5.14.5",
        requirement="5.3.3, Table 8",
        cases=[case],
        note="within 4 Tref, as UL 1741 SB amends 5.14.5.3, which prints 1 Tref",
    )


def _follows(
    characteristic: Characteristic, spans: Sequence[tuple[float, float, float]]
) -> Callable[[Trace], Iterator[Finding]]:
    def check(trace: Trace) -> Iterator[Finding]:
        yield Finding("active power before", "pu", float(trace.p[trace.at(spans[0][0])]), CEASED_P, end=spans[0][0])
        for start, end, most in spans:
            answered = start + 2.0 * characteristic.response
            part = trace.within(start, answered)
            side = trace.q[part] * (1.0 if most > 0 else -1.0)
            yield Finding(
                "reactive power at first, of the curve's end", "1", float(side.max() / abs(most)), 0.1, start=start
            )
            yield Finding(
                "reactive power in the end, of the curve's end",
                "1",
                float(abs(trace.q[trace.at(end)] / most)),
                high=0.1,
                start=start,
                end=end,
                lead=True,
            )

    return check
