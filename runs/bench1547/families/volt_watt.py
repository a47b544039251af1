"""Volt-watt (1547.1-2020 5.14.9, Tables 31 to 33): three characteristics at three powers."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from runs.bench1547.criteria import MARGIN, VOLTAGE_ACCURACY
from runs.bench1547.device import Settings
from runs.bench1547.families.steps import Step, piecewise, walk
from runs.bench1547.families.volt_var import POWERS, VH, VL
from runs.bench1547.sequence import Plan, Sequence1547, remark
from runs.bench1547.wave import Wave
from solvers import ieee1547_tables as tables

AV = MARGIN * VOLTAGE_ACCURACY  #: [pu]


@dataclass(frozen=True)
class Characteristic:
    """A volt-watt line and its response time."""

    number: int
    v1: float  #: [pu]
    v2: float  #: [pu]
    p2: float  #: [pu] at v2; 1 pu at v1
    response: float  #: [s]

    def settings(self) -> Settings:
        """As a device takes it."""
        return {
            "VW_enabled": True,
            "VW_V1_pu": self.v1,
            "VW_P1_pu": 1.0,
            "VW_V2_pu": self.v2,
            "VW_P2_pu": self.p2,
            "VW_response_s": self.response,
        }

    def power(self, voltage: float, before: float) -> float:
        """Active power [pu] at `voltage` [pu] of a device that would give `before` [pu] otherwise."""
        return min(before, piecewise(((self.v1, 1.0), (self.v2, self.p2)))(voltage))


def default_characteristic(plan: Plan) -> Characteristic:
    """Characteristic 1, with P2 of 0.2 pu, the larger of what the default may be."""
    return Characteristic(1, plan.default("VW_V1_pu"), plan.default("VW_V2_pu"), 0.2, plan.default("VW_response_s"))


def sequences(plan: Plan) -> list[Sequence1547]:
    """As transcribed by UL1741SB; characteristics 2 and 3 with P2 of 0, the minimum power of most inverters."""
    characteristics = (
        default_characteristic(plan),
        Characteristic(2, 1.05, 1.10, 0.0, 60.0),
        Characteristic(3, 1.09, 1.10, 0.0, 0.5),
    )
    return [_sequence(plan, characteristic, power) for characteristic in characteristics for power in POWERS]


def _sequence(plan: Plan, characteristic: Characteristic, power: float) -> Sequence1547:
    def curve(voltage: float) -> float:
        return characteristic.power(voltage, power)

    steps = [
        Step(label, curve, characteristic.response, to={"voltage": voltage})
        for label, voltage in _voltages(characteristic, whole=power == 1.0)
    ]
    case = walk(
        f"characteristic {characteristic.number} at {power:g} pu",
        plan.settings(**{**plan.wide_trips(), **characteristic.settings()}),
        steps,
        wave=Wave(available=power),
        settle=max(2.0 * characteristic.response, 5.0),
        y="p",
        x="voltage",
        x_accuracy=VOLTAGE_ACCURACY,
    )
    notes = ["two-sided as 1547.1-2020 prints it; UL 1741 SB drops the lower limits"]
    if characteristic.number == 1:
        notes.append(remark(tables.setting("VW_P2_pu", plan.category, plan.normal).citation))
    if characteristic.number == 2:
        notes.append(remark(tables.setting("VW_response_s", plan.category, plan.normal).citation))
    return Sequence1547(
        name=f"volt_watt/characteristic{characteristic.number}/{power:g}pu",
        title=f"characteristic {characteristic.number}{plan.normal}, power {power:g} pu",
        clause="5.14.9",
        requirement="5.4.2, Table 10",
        cases=[case],
        note="; ".join(note for note in notes if note),
    )


def _voltages(characteristic: Characteristic, *, whole: bool) -> list[tuple[str, float]]:
    """Steps g to s, without those outside the continuous region, and with `whole` the bench's own end to end.

    Below rated power a long step would tell whether a maker lags the limit or the output, which is not settled.
    """
    v1, v2 = characteristic.v1, characteristic.v2
    up = [VL + AV, v1 - AV, v1 + AV, (v1 + v2) / 2, v2 - AV, v2 + AV, VH - AV]
    steps = [pair for pair in zip("ghijklmnopqrs", [*up, *up[-2::-1]], strict=True) if pair[1] <= VH - AV + 1e-9]
    if whole:
        # nearly VH, where the whole of the line is gone down; VH itself would also test its round-off
        steps += [("end to end, up", VH - 0.001), ("end to end, down", 1.0)]
    allowed = [(label, round(v, 4)) for label, v in steps]
    return allowed[:1] + [after for before, after in pairwise(allowed) if after[1] != before[1]]
