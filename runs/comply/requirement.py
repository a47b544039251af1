"""What the standard demands for a waveform, whatever the DER did: `cosim comply --requirement-only`."""

from __future__ import annotations

import itertools

from pydantic import BaseModel, ConfigDict

from runs.comply.path import TOLERANCE, Path, rocof_allowances
from runs.comply.settings import Held
from runs.comply.trace import Trace


class Requirement(BaseModel):
    """The demand on one DER; all times are the trace's own [s]."""

    model_config = ConfigDict(frozen=True)

    der: str
    category: str
    edition: str
    shall_trip_by_s: float | None  #: None: nothing asks for a trip
    element: str | None  #: the shall-trip element that asks for it
    no_trip_before_s: float | None  #: None: a trip is never allowed along this waveform
    required_modes: list[tuple[float, float, str]]  #: (start, end, mode); "tripped": out of service
    citations: list[str]
    warnings: list[str]


def requirement(trace: Trace, held: Held) -> Requirement:
    """What `trace`'s voltage and frequency demand of a DER that is held to `held`.

    `no_trip_before_s` counts Tables 14 to 16 and 19 and a trip that is due. Beyond them a change of frequency or phase
    angle that is too fast allows a trip too; that is said in the warnings.
    """
    path = Path(trace, held)
    due = path.dues[0] if path.dues else None
    allowance = next((a for a in path.allowances if a.in_tables), None)
    moments = ([due.by] if due else []) + ([allowance.start] if allowance else [])
    rows = {str(v.row.citation) for v in (*path.voltage_visits, *path.frequency_visits) if v.mode != "continuous"}
    return Requirement(
        der=trace.name,
        category=held.category,
        edition=held.edition,
        shall_trip_by_s=_rounded(due.by) if due else None,
        element=due.element.name if due else None,
        no_trip_before_s=_rounded(min(moments)) if moments else None,
        required_modes=required_modes(path),
        citations=sorted(rows | ({str(due.element.row.citation)} if due else set())),
        warnings=[*held.warnings, *start_warnings(path), *fast_change_warnings(path), *doubts(path)],
    )


def _rounded(value: float) -> float:
    """Without the rounding noise of sums of times."""
    return round(value, 9)


def required_modes(path: Path) -> list[tuple[float, float, str]]:
    """The mode that is required from when to when; after a trip that is due, "tripped" to the end."""
    cut = path.dues[0].by if path.dues else path.trace.end
    moments = sorted({v.start for v in (*path.voltage_visits, *path.frequency_visits)} | {cut, path.trace.end})
    modes: list[tuple[float, float, str]] = []
    starts_v = iter(path.voltage_visits)
    starts_f = iter(path.frequency_visits)
    voltage, frequency = next(starts_v), next(starts_f)
    for start, end in itertools.pairwise(moments):
        while voltage.end <= start + TOLERANCE:
            voltage = next(starts_v)
        while frequency.end <= start + TOLERANCE:
            frequency = next(starts_f)
        mode = "tripped" if start >= cut - TOLERANCE else combined(voltage.mode, frequency.mode)
        if modes and modes[-1][2] == mode:
            modes[-1] = (modes[-1][0], _rounded(end), mode)
        else:
            modes.append((_rounded(start), _rounded(end), mode))
    return modes


def combined(voltage: str, frequency: str) -> str:
    """The mode that holds where voltage and frequency each ask for one."""
    if voltage in ("permissive", "momentary_cessation", "cease_to_energize"):
        return voltage
    if frequency in ("none", "unspecified"):
        return frequency
    return "mandatory" if "mandatory" in (voltage, frequency) else "continuous"


def start_warnings(path: Path) -> list[str]:
    """Counters that were already running when the trace began."""
    found = []
    for name, visits in (("voltage", path.voltage_visits), ("frequency", path.frequency_visits)):
        if visits[0].mode != "continuous":
            found.append(
                f"the {name} is outside continuous operation when the trace begins: its timers started before it"
            )
    return found


def fast_change_warnings(path: Path) -> list[str]:
    """Changes too fast to have to be ridden through."""
    found = rocof_allowances(path)
    if not found:
        return []
    return [
        f"at {found[0].start:g} s {found[0].reason} ({found[0].citation}): a trip there is allowed beside the tables"
    ]


def doubts(path: Path) -> list[str]:
    """Rows that were used and whose numbers are not verified, or on which sources disagree."""
    citations = {v.row.citation for v in (*path.voltage_visits, *path.frequency_visits) if v.mode != "continuous"}
    citations |= {b.element.row.citation for b in path.beyond}
    return sorted(
        f"{c}: " + (c.disagreement or "no open source states this number")
        for c in citations
        if not c.verified or c.disagreement
    )
