"""docs/ieee1547_opender_differences.md, made from the comparison: `python -m tests.opender_comparison.table`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from .cases import Case, all_cases
from .differences import KNOWN, explanation
from .models import Difference, compare, run_fleet, run_opender

PAGE = Path(__file__).parents[2] / "docs" / "ieee1547_opender_differences.md"

_HEAD = """# The fleet model against OpenDER 2.2.0

Made by `python -m tests.opender_comparison.table`; a test fails when a case differs that is not in this table, or when
a row no longer occurs. OpenDER is EPRI's model of IEEE 1547-2018 (BSD-3); it is a second opinion, not the standard.

Both models get the same waveforms and settings (response times of cessation, current limit, clearing times shortened so
that they are seen). "The same" means: mode, trip and re-entry within one step, active and reactive power within what
the other has from one step before to one step after, and 0.003 pu.

"""

_TAIL = """
## Where OpenDER has no answer
Not compared, since OpenDER 2.2.0 has no such function: rate-of-change-of-frequency and phase-angle-jump ride-through,
counting of consecutive disturbances, the cumulative 299 s of frequency ride-through in ten minutes, tripping in
may-trip regions. Its flag for "minimum ride-through time passed" is inverted for high voltage and does not act.
Start inside a ride-through region is left out as well: OpenDER's timers begin at infinity, so it trips in its first
step, where the standard's clearing times count from the onset.
"""


def results(cases: list[Case]) -> list[tuple[Case, Difference]]:
    """Each case with its difference."""
    return [(case, compare(case, run_fleet(case), run_opender(case))) for case in cases]


def page(found: list[tuple[Case, Difference]]) -> str:
    """The text of the page."""
    lines = [_HEAD, "## Cases\n| group | cases | the same | different |\n| --- | --- | --- | --- |\n"]
    total = Counter(case.group for case, _ in found)
    different = Counter(case.group for case, difference in found if difference.kinds)
    for group, count in total.items():
        lines.append(f"| {group} | {count} | {count - different[group]} | {different[group]} |\n")
    lines.append(
        f"| all | {total.total()} | {total.total() - different.total()} | {different.total()} |\n\n"
        "## Differences\n| difference (what OpenDER does) | follows the standard | why | cases |\n"
        "| --- | --- | --- | --- |\n"
    )
    for known in KNOWN:
        cases = [case.name for case, diff in found if diff.kinds and explanation(case, diff) is known]
        lines.append(f"| {known.title} | {known.follows} | {known.why} | {len(cases)}: {'; '.join(cases)} |\n")
    return "".join([*lines, _TAIL])


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(results(all_cases())), encoding="utf-8")
