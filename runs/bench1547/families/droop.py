"""Frequency droop (1547.1-2020 5.15.2, 5.15.3): over- and underfrequency, two characteristics.

The frequency moves at the category's rate of change, in the printed steps from deadband to the end of the continuous
region and back. The default deadband moves active power by less than the accuracy band can show, so the bench adds a
characteristic of its own with the widest deadband and the steepest droop.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from runs.bench1547.criteria import FREQUENCY_ACCURACY
from runs.bench1547.device import Settings
from runs.bench1547.families.frequency_ride_through import rocof
from runs.bench1547.families.steps import Step, walk
from runs.bench1547.sequence import Plan, Sequence1547, remark
from runs.bench1547.wave import Wave
from solvers import ieee1547_tables as tables

NOMINAL = tables.NOMINAL_FREQUENCY
FL, FH = 58.8, 61.2  #: [Hz] ends of the continuous operating region
SMALL = 0.1  #: [pu] the change of active power of a small step, stated by the manufacturer
OVER_POWERS = (1.0, 0.66, 0.2)
UNDER_POWER = 0.5


@dataclass(frozen=True)
class Characteristic:
    """Deadband, droop and response time, the same to both sides."""

    number: int
    deadband: float  #: [Hz]
    droop: float  #: [pu]
    response: float  #: [s]

    def settings(self) -> Settings:
        """As a device takes it."""
        return {
            "FD_dbOF_Hz": self.deadband,
            "FD_dbUF_Hz": self.deadband,
            "FD_kOF_pu": self.droop,
            "FD_kUF_pu": self.droop,
            "FD_response_s": self.response,
        }

    def power(self, frequency: float, before: float, available: float = 1.0) -> float:
        """Active power [pu] at `frequency` [Hz] (Table 23), from `before` [pu] in the deadband."""
        over = max(frequency - NOMINAL - self.deadband, 0.0)
        under = max(NOMINAL - self.deadband - frequency, 0.0)
        return min(max(before + (under - over) / (NOMINAL * self.droop), 0.0), available)


def default_characteristic(plan: Plan) -> Characteristic:
    """Characteristic 1: the default."""
    return Characteristic(1, plan.default("FD_dbOF_Hz"), plan.default("FD_kOF_pu"), plan.default("FD_response_s"))


def sequences(plan: Plan) -> list[Sequence1547]:
    """Overfrequency from three powers, underfrequency from half power; characteristic 2 as UL1741SB has it."""
    fast = Characteristic(2, 0.017, 0.02, 0.2) if plan.category == "III" else Characteristic(2, 0.017, 0.03, 1.0)
    deadband = tables.setting("FD_dbOF_Hz", plan.category, plan.normal).high
    droop = tables.setting("FD_kOF_pu", plan.category, plan.normal).low
    wide = Characteristic(3, deadband, droop, plan.default("FD_response_s"))
    found = []
    for characteristic in (default_characteristic(plan), fast):
        found += [_sequence(plan, characteristic, power, over=True) for power in OVER_POWERS]
        found.append(_sequence(plan, characteristic, UNDER_POWER, over=False))
    return [*found, _sequence(plan, wide, 1.0, over=True), _sequence(plan, wide, UNDER_POWER, over=False)]


def _sequence(plan: Plan, characteristic: Characteristic, power: float, *, over: bool) -> Sequence1547:
    side = "over" if over else "under"

    def curve(frequency: float) -> float:
        return characteristic.power(frequency, power)

    rate = rocof(plan)
    steps = []
    before = NOMINAL
    for label, frequency in _frequencies(characteristic, over=over):
        ramp = abs(frequency - before) / rate
        steps.append(Step(label, curve, characteristic.response, to={"frequency": frequency}, over=ramp))
        before = frequency
    limit: Settings = {"AP_limit_enabled": True, "AP_limit_pu": power} if power < 1.0 else {}
    case = walk(
        f"characteristic {characteristic.number} at {power:g} pu",
        plan.settings(**{**plan.wide_trips(), **characteristic.settings(), **limit}),
        steps,
        wave=Wave(),
        settle=35.0,  # the active power limit may take 30 s
        y="p",
        x="frequency",
        x_accuracy=FREQUENCY_ACCURACY,
        two_sided=False,
    )
    rows = [tables.setting(name, plan.category, plan.normal) for name in ("FD_kOF_pu", "FD_kUF_pu")]
    return Sequence1547(
        name=f"droop/{side}/characteristic{characteristic.number}/{power:g}pu",
        title=f"{side}frequency, characteristic {characteristic.number}, power {power:g} pu",
        clause="5.15.2" if over else "5.15.3",
        requirement="6.5.2.7, Tables 22 to 24",
        cases=[case],
        note=remark(rows[0 if over else 1].citation),
    )


def _frequencies(characteristic: Characteristic, *, over: bool) -> list[tuple[str, float]]:
    """Steps h to o (overfrequency) or g to n (underfrequency), and the bench's own end to end."""
    sign = 1.0 if over else -1.0
    small = SMALL * NOMINAL * characteristic.droop
    edge = NOMINAL + sign * characteristic.deadband
    end = FH if over else FL
    walked = [
        edge - sign * FREQUENCY_ACCURACY,
        edge + sign * FREQUENCY_ACCURACY,
        edge + sign * min(small, abs(end - edge)),
        end,
        end - sign * min(small, abs(end - edge)),
        edge + sign * FREQUENCY_ACCURACY,
        edge - sign * FREQUENCY_ACCURACY,
        NOMINAL,
    ]
    steps = list(zip("hijklmno" if over else "ghijklmn", walked, strict=True))
    steps += [("end to end", end), ("end to end, back", NOMINAL)]
    steps = [(label, round(frequency, 4)) for label, frequency in steps]
    return steps[:1] + [after for before, after in pairwise(steps) if after[1] != before[1]]
