"""The known differences between the fleet and OpenDER 2.2.0, each with which of the two follows the standard."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from .cases import Case
from .models import Difference


@dataclass(frozen=True)
class Known:
    """One kind of difference; `explains` says of which cases."""

    title: str
    follows: str  #: fleet, OpenDER or both
    why: str
    explains: Callable[[Case, Difference], bool]


def _levels(case: Case) -> set[float]:
    return {value for hold in case.holds for value in hold.voltage}


def _category(case: Case) -> str:
    return str(case.settings.get("category", "III"))


KNOWN: Final[tuple[Known, ...]] = (
    Known(
        "A balanced three-phase voltage of exactly 1.05, 1.10 or 1.20 pu counts as above it",
        "fleet",
        "The table's ends are closed there (continuous up to 1.10 pu; OV trips above; enter service up to 1.05 pu). "
        "OpenDER recomputes the phase-to-phase voltages, and round-off carries them across.",
        lambda case, difference: (
            bool(_levels(case) & {1.05, 1.1, 1.2})
            and all(len(set(hold.voltage)) == 1 for hold in case.holds)
            and case.settings.get("three_phase", True)
            and bool({"trip", "mode"} & set(difference.kinds))
        ),
    ),
    Known(
        "Category III at exactly 0.50 pu: momentary cessation",
        "fleet",
        "Table 16 counts 0.50 pu to mandatory operation, [0.50, 0.70); OpenDER compares with less-or-equal.",
        lambda case, difference: _category(case) == "III" and 0.5 in _levels(case) and "mode" in difference.kinds,
    ),
    Known(
        "Category III above 1.20 pu: momentary cessation within 0.05 s instead of cease to energize within 0.10 s",
        "fleet",
        "Table 16's row above 1.20 pu says cease to energize (response 0.16 s). OpenDER has one momentary-cessation "
        "rule for all above 1.10 pu. The DER trips by OV2 at the same moment in both.",
        lambda case, difference: _category(case) == "III" and max(_levels(case)) > 1.2 and "mode" in difference.kinds,
    ),
    Known(
        "58.8 and 61.2 Hz exactly: mandatory operation",
        "fleet",
        "Table 19's continuous row is closed, [58.8, 61.2]; OpenDER lets the mandatory rows overwrite both ends.",
        lambda case, difference: (
            bool({hold.frequency for hold in case.holds} & {58.8, 61.2}) and difference.kinds == ("mode",)
        ),
    ),
    Known(
        "Reactive power at an active power below 5 %",
        "both",
        "Table 7 asks for none there. OpenDER gives none; the fleet goes on along the line P / 20 % to zero.",
        lambda case, difference: (
            min(hold.power for hold in case.holds) < 0.05
            and difference.kinds == ("reactive power",)
            and not case.settings.get("battery", False)
        ),
    ),
    Known(
        "Shape of the return after cessation at part load",
        "both",
        "6.4.2.7 asks for 80 % of the active current within 0.4 s. The fleet comes back to what it had before in the "
        "recovery time; OpenDER raises active current at rated current per recovery time, so part load is back sooner, "
        "and it holds any other rise of active current, such as in a sag, to the same rate.",
        lambda case, difference: (
            case.settings.get("RT_recovery_s", 0.0) > 0.0 and difference.kinds == ("active power",)
        ),
    ),
    Known(
        "Cold start on a healthy grid",
        "fleet",
        "4.10 asks for the delay. OpenDER's timers begin at infinity, so it enters at once, and its droop then divides "
        "an output that is not there yet (TypeError). The other cold starts begin with a step at 0.5 pu.",
        lambda case, difference: not case.in_service and difference.kinds == ("failure",),
    ),
)


def explanation(case: Case, difference: Difference) -> Known | None:
    """The known difference that explains this one; None: it is unexpected."""
    for known in KNOWN:
        if known.explains(case, difference):
            return known
    return None
