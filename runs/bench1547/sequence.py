"""A test sequence: what is set, what is played, what is required, and where the standard says so."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from runs.bench1547.criteria import Finding
from runs.bench1547.device import Settings
from runs.bench1547.stand import Job, Trace
from runs.bench1547.wave import Wave
from solvers import ieee1547_tables as tables

REPEATS = 5  #: of a trip test (1547.1 5.4, 5.5)


@dataclass(frozen=True)
class Plan:
    """What is to be tested."""

    category: tables.AbnormalCategory = "III"
    normal: tables.NormalCategory = "B"
    edition: tables.Edition = "2018"
    phases: int = 3
    dt: float = 0.01  #: [s] the fine step

    def phase_sets(self) -> Sequence[tuple[str, tuple[int, ...]]]:
        """Each phase on its own and all together, with names."""
        if self.phases == 1:
            return (("single phase", (0,)),)
        return ("all phases", (0, 1, 2)), ("phase a", (0,)), ("phase b", (1,)), ("phase c", (2,))

    def default(self, name: str) -> float:
        """The default of a setting, by the table's name."""
        return tables.setting(name, self.category, self.normal).default

    def trips(self) -> Sequence[tables.TripSetting]:
        """The shall-trip rows of the category."""
        return tables.trip_settings(self.category, self.edition)

    def settings(self, **changes: float | str | bool) -> Settings:
        """All defaults of the categories, with `changes`; every optional function off."""
        names = dict.fromkeys(row.name for row in tables.SETTINGS)
        settings: dict[str, float | str | bool] = {name: self.default(name) for name in names}
        for row in self.trips():
            settings[threshold_name(row)] = row.threshold
            settings[f"{row.element}_trip_s"] = row.clearing
        return {
            **settings,
            "category": self.category,
            "normal_category": self.normal,
            "ES_permit_service": True,
            "ES_randomised": False,
            "reactive_mode": "constant_power_factor",
            "PF_absorbing": False,
            "VV_auto_Vref": False,
            "VW_enabled": False,
            "FD_enabled": True,
            "AP_limit_enabled": False,
            **changes,
        }

    def wide_trips(self) -> dict[str, float | str | bool]:
        """Trip settings at the ends of their ranges, out of a test's way."""
        wide: dict[str, float | str | bool] = {}
        for row in self.trips():
            wide[threshold_name(row)] = row.threshold_range[1 if row.over else 0]
            wide[f"{row.element}_trip_s"] = row.clearing_range[1]
        return wide

    def flat_droop(self) -> dict[str, float | str | bool]:
        """Droop settings that move active power as little as the ranges allow."""
        return {
            **{name: tables.setting(name, self.category, self.normal).high for name in ("FD_dbOF_Hz", "FD_dbUF_Hz")},
            **{name: tables.setting(name, self.category, self.normal).high for name in ("FD_kOF_pu", "FD_kUF_pu")},
        }


def threshold_name(row: tables.TripSetting) -> str:
    """The name of a trip element's threshold setting."""
    return f"{row.element}_trip_V_pu" if row.quantity == "voltage" else f"{row.element}_trip_Hz"


@dataclass(frozen=True)
class Case:
    """One run of one device within a sequence."""

    label: str
    settings: Settings
    wave: Wave
    check: Callable[[Trace], Iterable[Finding]]
    in_service: bool = True

    @property
    def job(self) -> Job:
        return Job(self.settings, self.wave, self.in_service)


def _nothing(traces: Sequence[Trace]) -> Iterable[Finding]:
    return ()


@dataclass(frozen=True)
class Sequence1547:
    """One row of the bench's table: a test with its repeats and variants."""

    name: str  #: family/what, for selection by pattern
    title: str
    clause: str  #: of IEEE 1547.1-2020
    requirement: str  #: clause and table of IEEE 1547-2018
    cases: Sequence[Case]
    note: str = ""  #: what of it is unverified or in dispute
    disputed: bool = False  #: a failure proves nothing, since the sources contradict each other
    compare: Callable[[Sequence[Trace]], Iterable[Finding]] = _nothing  #: findings across the cases

    @property
    def family(self) -> str:
        return self.name.split("/")[0]


def remark(*citations: tables.Citation) -> str:
    """What citations say of their own trustworthiness, in one line."""
    notes = []
    for citation in citations:
        if not citation.verified:
            notes.append(f"{citation.table or citation.clause}: no open source states this number")
        if citation.disagreement:
            notes.append(f"{citation.table or citation.clause}: {citation.disagreement}")
    return "; ".join(dict.fromkeys(notes))
