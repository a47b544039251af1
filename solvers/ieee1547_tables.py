"""The numbers of IEEE 1547-2018 and 1547a-2020, each with its table, its source and how far it can be trusted.

Data only: what a DER does with them is in `solvers/der_fleet`, what is required of a trace is decided elsewhere.
The standard's text is not here; every number is a second-hand transcription by the sources named beside it:

ODER: EPRI OpenDER 2.2.0 (BSD-3). UL: ua-kxie/UL1741SB. SVP: sandialabs/svp_1547.1 (Apache-2.0). PYD: NREL/PyDSS
(BSD-3). TDC: tdcosim/TDcoSim. PQA: a utility power-quality analyser's quotation of Tables 14 to 16, 19 and 20. PEM:
IEEE Power & Energy Magazine Nov/Dec 2017 p. 58 (ballot draft). MCHP: Microchip documentation quoting 6.5.2.6. R21: an
inverter's manual for California Rule 21.

A row with `verified = False` has no open source (or none for that edition) and belongs in no unmarked verdict; a row
with a `disagreement` has sources that contradict each other. Voltages are per unit of nominal, powers per unit of the
nameplate rating (active power: active rating; reactive power: apparent-power rating), times in seconds, frequencies
in Hz of a 60 Hz system. `nan` stands for "the table says N/A".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf, nan
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

AbnormalCategory: TypeAlias = Literal["I", "II", "III"]
NormalCategory: TypeAlias = Literal["A", "B"]
Edition: TypeAlias = Literal["2018", "1547a-2020"]
Quantity: TypeAlias = Literal["voltage", "frequency"]
Mode: TypeAlias = Literal[
    "continuous", "mandatory", "permissive", "momentary_cessation", "cease_to_energize", "unspecified", "none"
]  #: "none": no ride-through is required; "unspecified": the table has no row there

ABNORMAL_CATEGORIES: Final[tuple[AbnormalCategory, ...]] = ("I", "II", "III")
NORMAL_CATEGORIES: Final[tuple[NormalCategory, ...]] = ("A", "B")
BOTH_EDITIONS: Final[tuple[Edition, ...]] = ("2018", "1547a-2020")
NOMINAL_FREQUENCY: Final = 60.0  #: [Hz]


@dataclass(frozen=True)
class Citation:
    """Where a number comes from and how far it can be trusted."""

    clause: str  #: of the standard, for example "6.4.1"
    table: str = ""  #: for example "Table 11"; "" where the clause gives the number in its text
    sources: tuple[str, ...] = ()  #: abbreviations as in the module's docstring; empty: no open source
    verified: bool = True  #: an open source states this number (for the row's editions)
    disagreement: str = ""  #: what other sources say instead, or what the sources leave open
    editions: tuple[Edition, ...] = BOTH_EDITIONS

    def __str__(self) -> str:
        place = f"{self.table}, {self.clause}" if self.table else self.clause
        return f"IEEE 1547 ({' and '.join(self.editions)}) {place}" + ("" if self.verified else " [not verified]")


# ---------------------------------------------------------------------------------------------------------------
# Shall-trip: 6.4.1 Tables 11 to 13 (voltage), 6.5.1 Table 18 (frequency). A threshold itself does not trip: OV and OF
# act above it, UV and UF below it (the ride-through rows own their ends, see RIDE_THROUGH).


@dataclass(frozen=True)
class TripSetting:
    """One shall-trip element: default and allowed range of its threshold and clearing time."""

    category: AbnormalCategory
    element: str  #: OV2, OV1, UV1, UV2, OF2, OF1, UF1, UF2
    quantity: Quantity
    over: bool  #: trips above the threshold, else below it
    threshold: float  #: default [pu] or [Hz]
    threshold_range: tuple[float, float]  #: [pu] or [Hz], both ends allowed
    clearing: float  #: default clearing time [s]
    clearing_range: tuple[float, float]  #: [s], both ends allowed
    citation: Citation


_TRIP_TABLE: Final = {"I": "Table 11", "II": "Table 12", "III": "Table 13"}
_TRIP_SOURCES: Final = ("ODER", "UL", "PYD")
_FLEXIBLE: Final = (
    "UL gives the ranges of the 2018 text; OpenDER accepts the union of all categories, as 1547a-2020 ('to provide "
    "more flexibility for adoption of Category III') would need; its exact ranges were not reachable"
)


def _voltage_trip(
    category: AbnormalCategory,
    element: str,
    threshold: float,
    threshold_range: tuple[float, float],
    clearing: float,
    clearing_range: tuple[float, float],
    *,
    editions: tuple[Edition, ...] = BOTH_EDITIONS,
    verified: bool = True,
    disagreement: str = "",
    sources: tuple[str, ...] = _TRIP_SOURCES,
) -> TripSetting:
    citation = Citation("6.4.1", _TRIP_TABLE[category], sources, verified, disagreement, editions)
    over = element.startswith("O")
    return TripSetting(
        category, element, "voltage", over, threshold, threshold_range, clearing, clearing_range, citation
    )


def _frequency_trips(category: AbnormalCategory) -> tuple[TripSetting, ...]:
    citation = Citation("6.5.1", "Table 18", _TRIP_SOURCES)
    rows = (
        ("OF2", True, 62.0, (61.8, 66.0), 0.16, (0.16, 1000.0)),
        ("OF1", True, 61.2, (61.0, 66.0), 300.0, (180.0, 1000.0)),
        ("UF1", False, 58.5, (50.0, 59.0), 300.0, (180.0, 1000.0)),
        ("UF2", False, 56.5, (50.0, 57.0), 0.16, (0.16, 1000.0)),
    )
    return tuple(
        TripSetting(category, element, "frequency", over, threshold, wide, clearing, span, citation)
        for element, over, threshold, wide, clearing, span in rows
    )


_PYD_UV2: Final = "PYD caps the threshold at 0.45 pu; UL and PEM say 0.50 pu"

#: Rows of both editions; where the editions differ there is a row for each, see `Citation.editions`.
TRIP_SETTINGS: Final[tuple[TripSetting, ...]] = (
    _voltage_trip("I", "OV2", 1.20, (1.20, 1.20), 0.16, (0.16, 0.16)),
    _voltage_trip("I", "OV1", 1.10, (1.10, 1.20), 2.0, (1.0, 13.0)),
    _voltage_trip("I", "UV1", 0.70, (0.0, 0.88), 2.0, (2.0, 21.0)),
    _voltage_trip("I", "UV2", 0.45, (0.0, 0.50), 0.16, (0.16, 2.0)),
    *_frequency_trips("I"),
    _voltage_trip("II", "OV2", 1.20, (1.20, 1.20), 0.16, (0.16, 0.16)),
    _voltage_trip("II", "OV1", 1.10, (1.10, 1.20), 2.0, (1.0, 13.0)),
    _voltage_trip("II", "UV1", 0.70, (0.0, 0.88), 10.0, (2.0, 21.0)),
    _voltage_trip("II", "UV2", 0.45, (0.0, 0.50), 0.16, (0.16, 2.0), disagreement=_PYD_UV2),
    *_frequency_trips("II"),
    _voltage_trip("III", "OV2", 1.20, (1.20, 1.20), 0.16, (0.16, 0.16)),
    _voltage_trip("III", "OV1", 1.10, (1.10, 1.20), 13.0, (1.0, 13.0)),
    _voltage_trip("III", "UV1", 0.88, (0.0, 0.88), 21.0, (21.0, 50.0), editions=("2018",), disagreement=_FLEXIBLE),
    _voltage_trip(
        "III",
        "UV1",
        0.88,
        (0.0, 0.88),
        21.0,
        (2.0, 50.0),
        editions=("1547a-2020",),
        verified=False,
        disagreement=_FLEXIBLE,
        sources=("ODER",),
    ),
    _voltage_trip("III", "UV2", 0.50, (0.0, 0.50), 2.0, (2.0, 21.0), editions=("2018",), disagreement=_FLEXIBLE),
    _voltage_trip(
        "III",
        "UV2",
        0.50,
        (0.0, 0.50),
        2.0,
        (0.16, 21.0),
        editions=("1547a-2020",),
        verified=False,
        disagreement=_FLEXIBLE,
        sources=("ODER",),
    ),
    *_frequency_trips("III"),
)


# ---------------------------------------------------------------------------------------------------------------
# Ride-through: 6.4.2 Tables 14 to 16 (voltage), 6.5.2 Table 19 (frequency).


@dataclass(frozen=True)
class RideThroughRow:
    """One region between `low` and `high`; a closed end belongs to the region."""

    category: AbnormalCategory
    quantity: Quantity
    low: float  #: [pu] or [Hz]
    high: float  #: [pu] or [Hz]
    low_closed: bool
    high_closed: bool
    mode: Mode
    minimum: float  #: minimum ride-through time [s] at `low`; inf: without end; nan: N/A
    slope: float  #: more of it [s/pu] per unit of voltage above `low`
    response: float  #: maximum response time [s]; nan: N/A
    citation: Citation


_VOLTAGE_TABLE: Final = {"I": "Table 14", "II": "Table 15", "III": "Table 16"}
_RESPONSE_NOTE: Final = "the response time is in OpenDER's comments and setters only"


def _row(
    category: AbnormalCategory,
    low: float,
    high: float,
    ends: Literal["[)", "(]", "[]", "()"],
    mode: Mode,
    minimum: float,
    *,
    slope: float = 0.0,
    response: float = nan,
    disagreement: str = "",
    sources: tuple[str, ...] = ("PQA", "ODER", "TDC"),
) -> RideThroughRow:
    notes = "; ".join(note for note in (disagreement, _RESPONSE_NOTE if response == response else "") if note)
    citation = Citation("6.4.2", _VOLTAGE_TABLE[category], sources, True, notes)
    return RideThroughRow(
        category, "voltage", low, high, ends[0] == "[", ends[1] == "]", mode, minimum, slope, response, citation
    )


def _high_voltage_rows(category: Literal["I", "II"]) -> tuple[RideThroughRow, ...]:
    return (
        _row(category, 1.175, 1.20, "(]", "permissive", 0.2),
        _row(category, 1.15, 1.175, "(]", "permissive", 0.5),
        _row(category, 1.10, 1.15, "(]", "permissive", 1.0),
        _row(category, 0.88, 1.10, "[]", "continuous", inf),
    )


def _above(category: AbnormalCategory) -> RideThroughRow:
    label = "OpenDER labels Category III momentary cessation" if category == "III" else ""
    return _row(category, 1.20, inf, "()", "cease_to_energize", nan, response=0.16, disagreement=label)


def _frequency_rows(category: AbnormalCategory) -> tuple[RideThroughRow, ...]:
    citation = Citation("6.5.2", "Table 19", ("PQA", "UL", "SVP"))

    def row(low: float, high: float, ends: str, mode: Mode, minimum: float) -> RideThroughRow:
        return RideThroughRow(
            category, "frequency", low, high, ends[0] == "[", ends[1] == "]", mode, minimum, 0.0, nan, citation
        )

    return (
        row(62.0, inf, "()", "none", nan),
        row(61.8, 62.0, "(]", "unspecified", nan),
        row(61.2, 61.8, "(]", "mandatory", 299.0),
        row(58.8, 61.2, "[]", "continuous", inf),
        row(57.0, 58.8, "[)", "mandatory", 299.0),
        row(0.0, 57.0, "[)", "none", nan),
    )


_TENSION_II: Final = "1547.1's condition B (0 to 0.30 pu for 0.16 s) asks for more than the table's N/A; unresolved"
_TENSION_III: Final = (
    "1547.1's conditions B and C (1 s below 0.05 pu, then 9 s below 0.50 pu, no trip) ask for 10 s where the table "
    "lists 1 s; unresolved. OpenDER counts 0.50 pu itself to this row. 0.50 pu is movable by mutual agreement"
)

#: From high to low, without gap or overlap, for each category and quantity.
RIDE_THROUGH: Final[tuple[RideThroughRow, ...]] = (
    _above("I"),
    *_high_voltage_rows("I"),
    _row(
        "I",
        0.70,
        0.88,
        "[)",
        "mandatory",
        0.7,
        slope=4.0,
        disagreement="PYD has 1.5 s at 0.88 pu where the slope gives 1.42 s",
        sources=("PQA", "ODER", "PYD", "TDC"),
    ),
    _row("I", 0.50, 0.70, "[)", "permissive", 0.16, response=0.16),
    _row("I", 0.0, 0.50, "[)", "cease_to_energize", nan, response=0.16),
    *_frequency_rows("I"),
    _above("II"),
    *_high_voltage_rows("II"),
    _row(
        "II",
        0.65,
        0.88,
        "[)",
        "mandatory",
        3.0,
        slope=8.7,
        disagreement="SVP's test ramp of 0.115 pu/s is 1/8.7",
        sources=("PQA", "ODER", "PYD", "TDC", "UL", "SVP", "PEM"),
    ),
    _row(
        "II",
        0.45,
        0.65,
        "[)",
        "permissive",
        0.32,
        response=0.16,
        disagreement="TDC has 1.16 s for 0.16 s in its Category II entry",
    ),
    _row("II", 0.30, 0.45, "[)", "permissive", 0.16, response=0.16),
    _row("II", 0.0, 0.30, "[)", "cease_to_energize", nan, response=0.16, disagreement=_TENSION_II),
    *_frequency_rows("II"),
    _above("III"),
    _row(
        "III",
        1.10,
        1.20,
        "(]",
        "momentary_cessation",
        12.0,
        response=0.083,
        disagreement="TDC has 1.12 for 1.20 pu",
        sources=("PQA", "ODER", "TDC", "UL", "SVP", "R21"),
    ),
    _row("III", 0.88, 1.10, "[]", "continuous", inf),
    _row("III", 0.70, 0.88, "[)", "mandatory", 20.0, sources=("PQA", "ODER", "TDC", "UL", "SVP", "R21")),
    _row("III", 0.50, 0.70, "[)", "mandatory", 10.0, sources=("PQA", "ODER", "TDC", "UL", "SVP", "R21")),
    _row("III", 0.0, 0.50, "[)", "momentary_cessation", 1.0, response=0.083, disagreement=_TENSION_III),
    *_frequency_rows("III"),
)

FREQUENCY_WINDOW: Final = 600.0  #: [s]; Table 19's 299 s are cumulative in any such window (PQA)
CONTINUOUS_VOLTS_PER_HERTZ: Final = 1.1  #: per-unit V/f up to which 58.8 to 61.2 Hz is continuous (PQA, Table 19)


@dataclass(frozen=True)
class Limit:
    """One number of a clause."""

    value: float
    unit: str
    meaning: str
    citation: Citation
    category: AbnormalCategory | None = None


# 6.4.2.7 and around it: return of output after a disturbance.
RESTORE_TIME: Final = Limit(
    0.4, "s", "time to restore output after return", Citation("6.4.2.7", "", ("ODER", "SolarPV-DER"))
)
RESTORE_CURRENT: Final = Limit(
    0.8, "pu", "active current to restore, of the pre-disturbance one", Citation("6.4.2.7", "", (), verified=False)
)
MANDATORY_CURRENT: Final = Limit(
    0.8,
    "pu",
    "total apparent current in mandatory operation, of the pre-disturbance one",
    Citation("6.4.2", "", ("UL",)),
)
MOMENTARY_CESSATION_RESPONSE: Final = Limit(
    0.083, "s", "momentary cessation, response", Citation("6.4.2", "Table 16", ("ODER",))
)
CEASE_RESPONSE: Final = Limit(0.16, "s", "cease to energize, response", Citation("6.4.2", "Tables 14 to 16", ("ODER",)))


@dataclass(frozen=True)
class ConsecutiveDisturbances:
    """6.4.2.5: disturbance sets that must be ridden through one after another."""

    category: AbnormalCategory
    sets: int
    minimum_gap: float  #: [s] between successive sets
    window: float  #: [min] after which the count starts again
    citation: Citation
    window_citation: Citation


def _consecutive(category: AbnormalCategory, sets: int, gap: float, window: float) -> ConsecutiveDisturbances:
    return ConsecutiveDisturbances(
        category,
        sets,
        gap,
        window,
        Citation("6.4.2.5", "Table 17", ("PYD", "SVP")),
        Citation("6.4.2.5", "Table 17", (), verified=False),
    )


CONSECUTIVE: Final[tuple[ConsecutiveDisturbances, ...]] = (
    _consecutive("I", 2, 20.0, 60.0),
    _consecutive("II", 2, 10.0, 60.0),
    _consecutive("III", 3, 5.0, 20.0),
)

#: 6.5.2.5 Table 21: rate of change of frequency to ride through.
ROCOF: Final[tuple[Limit, ...]] = (
    Limit(0.5, "Hz/s", "frequency change to ride through", Citation("6.5.2.5", "Table 21", ("UL",)), "I"),
    Limit(2.0, "Hz/s", "frequency change to ride through", Citation("6.5.2.5", "Table 21", ("UL",)), "II"),
    Limit(3.0, "Hz/s", "frequency change to ride through", Citation("6.5.2.5", "Table 21", ("UL", "SVP")), "III"),
)
ROCOF_WINDOW: Final = Limit(0.1, "s", "shortest averaging window", Citation("6.5.2.5", "", (), verified=False))

# 6.5.2.6: change of the voltage's phase angle to ride through, within a cycle.
PHASE_JUMP_POSITIVE_SEQUENCE: Final = Limit(
    20.0, "deg", "positive-sequence phase-angle change, up to and with", Citation("6.5.2.6", "", ("MCHP",))
)
PHASE_JUMP_INDIVIDUAL: Final = Limit(
    60.0, "deg", "individual phase of a three-phase unit, less than", Citation("6.5.2.6", "", ("MCHP",))
)
PHASE_JUMP_SINGLE_PHASE: Final = Limit(
    60.0, "deg", "single-phase unit, up to and with", Citation("6.5.2.6", "", ("MCHP",))
)
PHASE_JUMP_CESSATION: Final = Limit(
    0.5, "s", "momentary cessation accepted after a phase jump", Citation("6.5.2.6", "", ("MCHP",))
)

#: 6.5.2.3 Table 20: active power to hold at low frequency; II and III hold the pre-disturbance power.
LOW_FREQUENCY_POWER_I: Final = Limit(
    0.8,
    "pu",
    "active power at low frequency, of rating, or pre-disturbance if less",
    Citation("6.5.2.3", "Table 20", ("PQA",)),
    "I",
)


# ---------------------------------------------------------------------------------------------------------------
# Settings by name. `category`: of abnormal or normal performance to which the row applies; None: to all.


@dataclass(frozen=True)
class Setting:
    """A setting's default and allowed range."""

    name: str
    unit: str
    default: float
    low: float
    high: float
    meaning: str
    citation: Citation
    category: AbnormalCategory | NormalCategory | None = None


_ES: Final = Citation("4.10.2", "Table 4", ("ODER", "UL"))
_VV: Final = Citation("5.3.3", "Table 8", ("ODER", "UL", "SVP"))
_VV_RANGE: Final = Citation("5.3.3", "Table 8", ("ODER",))
_WV: Final = Citation("5.3.4", "Table 9", ("ODER", "UL"))
_VW: Final = Citation("5.4.2", "Table 10", ("ODER", "UL", "SVP"))
_VW_P2: Final = Citation(
    "5.4.2",
    "Table 10",
    ("ODER", "UL", "SVP"),
    True,
    "default is the lesser of 0.2 of rating and the minimum power; PSCo uses 0.20 flat",
)
_VW_TIME: Final = Citation(
    "5.4.2", "Table 10", ("ODER", "UL"), True, "SVP's curve 2 has 90 s where UL ends the range at 60 s"
)
_FD: Final = Citation("6.5.2.7", "Table 24", ("ODER", "UL", "SVP"))
_FD_K: Final = Citation(
    "6.5.2.7", "Table 24", ("UL", "SVP"), True, "OpenDER accepts kUF up to 10, which is taken for a slip"
)
_TEN_SECONDS: Final = Citation("5.3", "", ("ODER", "UL"))

SETTINGS: Final[tuple[Setting, ...]] = (
    Setting("ES_V_low_pu", "pu", 0.917, 0.88, 0.95, "enter service, lowest voltage", _ES),
    Setting("ES_V_high_pu", "pu", 1.05, 1.05, 1.06, "enter service, highest voltage", _ES),
    Setting("ES_f_low_Hz", "Hz", 59.5, 59.0, 59.9, "enter service, lowest frequency", _ES),
    Setting("ES_f_high_Hz", "Hz", 60.1, 60.1, 61.0, "enter service, highest frequency", _ES),
    Setting("ES_delay_s", "s", 300.0, 0.0, 600.0, "enter service, delay", _ES),
    Setting("ES_ramp_s", "s", 300.0, 1.0, 1000.0, "enter service, duration of the ramp", _ES),
    Setting("ES_random_delay_s", "s", 300.0, 1.0, 1000.0, "enter service, largest randomised delay (< 500 kVA)", _ES),
    Setting("PF_power_factor", "1", 1.0, 0.0, 1.0, "constant power factor", Citation("5.3.2", "", ("ODER", "UL"))),
    Setting("PF_response_s", "s", 10.0, 0.0, 10.0, "constant power factor, response time", _TEN_SECONDS),
    Setting("Q_setpoint_pu", "pu", 0.0, -0.44, 0.44, "constant reactive power", Citation("5.3.5", "", ("ODER", "UL"))),
    Setting("Q_response_s", "s", 10.0, 0.0, 10.0, "constant reactive power, response time", _TEN_SECONDS),
    Setting("VV_Vref_pu", "pu", 1.0, 0.95, 1.05, "volt-var, reference voltage", _VV),
    Setting("VV_Vref_time_s", "s", 300.0, 300.0, 5000.0, "volt-var, time constant of the autonomous reference", _VV),
    Setting("VV_V1_pu", "pu", 0.90, 0.82, 0.98, "volt-var, V1", _VV_RANGE, "A"),
    Setting("VV_V2_pu", "pu", 1.00, 0.97, 1.00, "volt-var, V2", _VV_RANGE, "A"),
    Setting("VV_V3_pu", "pu", 1.00, 1.00, 1.03, "volt-var, V3", _VV_RANGE, "A"),
    Setting("VV_V4_pu", "pu", 1.10, 1.02, 1.18, "volt-var, V4", _VV_RANGE, "A"),
    Setting("VV_Q1_pu", "pu", 0.25, 0.0, 0.44, "volt-var, Q1 (injecting)", _VV_RANGE, "A"),
    Setting("VV_Q2_pu", "pu", 0.0, -0.25, 0.44, "volt-var, Q2", _VV_RANGE, "A"),
    Setting("VV_Q3_pu", "pu", 0.0, -0.25, 0.44, "volt-var, Q3", _VV_RANGE, "A"),
    Setting("VV_Q4_pu", "pu", -0.25, -0.25, 0.0, "volt-var, Q4 (absorbing)", _VV_RANGE, "A"),
    Setting("VV_response_s", "s", 10.0, 1.0, 90.0, "volt-var, open-loop response time", _VV, "A"),
    Setting("VV_V1_pu", "pu", 0.92, 0.82, 0.98, "volt-var, V1", _VV_RANGE, "B"),
    Setting("VV_V2_pu", "pu", 0.98, 0.97, 1.00, "volt-var, V2", _VV_RANGE, "B"),
    Setting("VV_V3_pu", "pu", 1.02, 1.00, 1.03, "volt-var, V3", _VV_RANGE, "B"),
    Setting("VV_V4_pu", "pu", 1.08, 1.02, 1.18, "volt-var, V4", _VV_RANGE, "B"),
    Setting("VV_Q1_pu", "pu", 0.44, 0.0, 0.44, "volt-var, Q1 (injecting)", _VV_RANGE, "B"),
    Setting("VV_Q2_pu", "pu", 0.0, -0.44, 0.44, "volt-var, Q2", _VV_RANGE, "B"),
    Setting("VV_Q3_pu", "pu", 0.0, -0.44, 0.44, "volt-var, Q3", _VV_RANGE, "B"),
    Setting("VV_Q4_pu", "pu", -0.44, -0.44, 0.0, "volt-var, Q4 (absorbing)", _VV_RANGE, "B"),
    Setting("VV_response_s", "s", 5.0, 1.0, 90.0, "volt-var, open-loop response time", _VV, "B"),
    Setting("WV_P1_pu", "pu", 0.2, 0.0, 0.7, "watt-var, P1 (generating)", _WV),
    Setting("WV_P2_pu", "pu", 0.5, 0.4, 0.8, "watt-var, P2 (generating)", _WV),
    Setting("WV_P3_pu", "pu", 1.0, 0.5, 1.0, "watt-var, P3 (generating)", _WV),
    Setting("WV_Q1_pu", "pu", 0.0, -0.25, 0.44, "watt-var, Q1 (generating)", _WV, "A"),
    Setting("WV_Q2_pu", "pu", 0.0, -0.25, 0.44, "watt-var, Q2 (generating)", _WV, "A"),
    Setting("WV_Q3_pu", "pu", -0.25, -0.25, 0.44, "watt-var, Q3 (generating)", _WV, "A"),
    Setting("WV_Q1_pu", "pu", 0.0, -0.44, 0.44, "watt-var, Q1 (generating)", _WV, "B"),
    Setting("WV_Q2_pu", "pu", 0.0, -0.44, 0.44, "watt-var, Q2 (generating)", _WV, "B"),
    Setting("WV_Q3_pu", "pu", -0.44, -0.44, 0.44, "watt-var, Q3 (generating)", _WV, "B"),
    Setting("WV_P1_charge_pu", "pu", -0.2, -0.7, 0.0, "watt-var, P'1 (absorbing)", _WV),
    Setting("WV_P2_charge_pu", "pu", -0.5, -0.8, -0.4, "watt-var, P'2 (absorbing)", _WV),
    Setting("WV_P3_charge_pu", "pu", -1.0, -1.0, -0.5, "watt-var, P'3 (absorbing)", _WV),
    Setting("WV_Q1_charge_pu", "pu", 0.0, -0.44, 0.44, "watt-var, Q'1 (absorbing)", _WV),
    Setting("WV_Q2_charge_pu", "pu", 0.0, -0.44, 0.44, "watt-var, Q'2 (absorbing)", _WV),
    Setting("WV_Q3_charge_pu", "pu", 0.44, -0.44, 0.44, "watt-var, Q'3 (absorbing)", _WV),
    Setting("WV_response_s", "s", 10.0, 0.0, 10.0, "watt-var, response time", _TEN_SECONDS),
    Setting("VW_V1_pu", "pu", 1.06, 1.05, 1.09, "volt-watt, V1", _VW),
    Setting("VW_P1_pu", "pu", 1.0, 0.0, 1.0, "volt-watt, P1", _VW),
    Setting("VW_V2_pu", "pu", 1.10, 1.06, 1.10, "volt-watt, V2", _VW),
    Setting("VW_P2_pu", "pu", 0.2, -1.0, 1.0, "volt-watt, P2 (or the minimum power if less)", _VW_P2),
    Setting("VW_response_s", "s", 10.0, 0.5, 60.0, "volt-watt, open-loop response time", _VW_TIME),
    Setting("FD_dbOF_Hz", "Hz", 0.036, 0.017, 1.0, "droop, over-frequency deadband", _FD),
    Setting("FD_dbUF_Hz", "Hz", 0.036, 0.017, 1.0, "droop, under-frequency deadband", _FD),
    Setting("FD_kOF_pu", "pu", 0.05, 0.02, 0.05, "droop, over-frequency slope", _FD),
    Setting("FD_kUF_pu", "pu", 0.05, 0.02, 0.05, "droop, under-frequency slope", _FD_K),
    Setting("FD_response_s", "s", 5.0, 1.0, 10.0, "droop, open-loop response time", _FD, "I"),
    Setting("FD_response_s", "s", 5.0, 1.0, 10.0, "droop, open-loop response time", _FD, "II"),
    Setting("FD_response_s", "s", 5.0, 0.2, 10.0, "droop, open-loop response time", _FD, "III"),
    Setting("AP_limit_pu", "pu", 1.0, 0.0, 1.0, "active-power limit, of rating", Citation("4.6.2", "", ("ODER", "UL"))),
    Setting(
        "AP_response_s", "s", 30.0, 0.0, 30.0, "active-power limit, time to obey", Citation("4.6.2", "", ("ODER", "UL"))
    ),
)

MODE_TRANSITION: Final = (5.0, 300.0)  #: [s] for a change between reactive-power modes (ODER)
SETTINGS_CHANGE: Final = 30.0  #: [s] at most for a change of settings (ODER)
PERMIT_SERVICE_RESPONSE: Final = 2.0  #: [s] to cease and trip when permit service goes (4.6.1, UL)
RANDOM_DELAY_CAPACITY: Final = 500.0  #: [kVA]; below it a randomised delay may stand in for the ramp (4.10.3, UL)
ENTER_SERVICE_STEP: Final = Limit(
    0.2, "pu", "largest step of active power when entering service", Citation("4.10.3", "", (), verified=False)
)
ENTER_SERVICE_FRACTION: Final = 0.985  #: of a delay or ramp that must have passed (1547.1, 5.6; UL)


# 5.2 Table 7: reactive capability, in per unit of apparent-power rating, for P >= 0.2; linear from there to 5 % (ODER).
@dataclass(frozen=True)
class ReactiveCapability:
    """The least reactive power that a DER can inject and absorb."""

    category: NormalCategory
    inject: float  #: [pu of apparent-power rating]
    absorb: float  #: [pu of apparent-power rating]
    full_from: float  #: active power [pu] from which all of it must be there
    none_below: float  #: active power [pu] below which none is asked for
    citation: Citation


REACTIVE_CAPABILITY: Final[tuple[ReactiveCapability, ...]] = (
    ReactiveCapability("A", 0.44, 0.25, 0.2, 0.05, Citation("5.2", "Table 7", ("ODER",))),
    ReactiveCapability("B", 0.44, 0.44, 0.2, 0.05, Citation("5.2", "Table 7", ("ODER",))),
)

#: 4.5: reactive power [pu of nameplate] below which a DER has ceased to energize: (< 500 kVA, >= 500 kVA) (UL)
CEASED_REACTIVE_POWER: Final = (0.10, 0.03)


# 4.4 Table 3: minimum measurement and calculation accuracy (UL, SVP).
@dataclass(frozen=True)
class Accuracy:
    """Accuracy of one quantity; `relative` ones are of the base named in `basis`."""

    quantity: Literal["voltage", "frequency", "active_power", "reactive_power", "time"]
    state: Literal["steady", "transient"]
    value: float
    basis: str
    window: str
    valid: tuple[float, float]  #: range of the measured quantity
    citation: Citation


_ACCURACY: Final = Citation("4.4", "Table 3", ("UL", "SVP"))
ACCURACY: Final[tuple[Accuracy, ...]] = (
    Accuracy("voltage", "steady", 0.01, "pu of nominal", "10 cycles", (0.5, 1.2), _ACCURACY),
    Accuracy("frequency", "steady", 0.010, "Hz", "60 cycles", (50.0, 66.0), _ACCURACY),
    Accuracy("active_power", "steady", 0.05, "pu of apparent-power rating", "10 cycles", (0.2, 1.0), _ACCURACY),
    Accuracy("reactive_power", "steady", 0.05, "pu of apparent-power rating", "10 cycles", (0.2, 1.0), _ACCURACY),
    Accuracy("time", "steady", 0.01, "of the measured time", "", (5.0, 600.0), _ACCURACY),
    Accuracy("voltage", "transient", 0.02, "pu of nominal", "5 cycles", (0.5, 1.2), _ACCURACY),
    Accuracy("frequency", "transient", 0.100, "Hz", "5 cycles", (50.0, 66.0), _ACCURACY),
    Accuracy("time", "transient", 2.0 / 60.0, "s (2 cycles)", "", (0.1, 5.0), _ACCURACY),
)


# ---------------------------------------------------------------------------------------------------------------
# Profiles: settings that a utility or a state asks for instead of the defaults.


@dataclass(frozen=True)
class Profile:
    """Named deviations from a category's defaults."""

    name: str
    category: AbnormalCategory
    values: MappingProxyType[str, float | bool]  #: by setting name, as in `Setting.name` or `UV1_trip_V_pu`
    sources: tuple[str, ...]
    verified: bool = True
    note: str = field(default="")


PROFILES: Final[tuple[Profile, ...]] = (
    Profile(
        "PSCo",
        "II",
        MappingProxyType(
            {
                "OV1_trip_V_pu": 1.10,
                "OV1_trip_s": 2.0,
                "UV1_trip_V_pu": 0.70,
                "UV1_trip_s": 5.0,
                "UV2_trip_V_pu": 0.45,
                "UV2_trip_s": 0.32,
                "VW_enabled": True,
                "VW_P2_pu": 0.20,
            }
        ),
        ("PQA",),
        note="a utility's settings sheet; its category is not stated there, the values lie in Category II's ranges",
    ),
    Profile(
        "Rule 21",
        "III",
        MappingProxyType({"UV2_trip_s": 1.5, "OF1_trip_s": 300.0, "UF1_trip_s": 300.0}),
        ("TDC",),
        verified=False,
        note=(
            "read from the Rule 21 column of a DER_A table (tvl0 1.5 s, fl/fh 58.5/61.2 Hz at 300 s); 1.5 s is inside "
            "1547a-2020's range for UV2 as OpenDER has it, below the 2018 range"
        ),
    ),
)


# ---------------------------------------------------------------------------------------------------------------
# Look-ups.


def trip_settings(category: AbnormalCategory, edition: Edition = "1547a-2020") -> tuple[TripSetting, ...]:
    """The shall-trip rows of `category` in `edition`, in the tables' order."""
    return tuple(row for row in TRIP_SETTINGS if row.category == category and edition in row.citation.editions)


def ride_through(category: AbnormalCategory, quantity: Quantity) -> tuple[RideThroughRow, ...]:
    """The ride-through rows of `category` for `quantity`, from high to low."""
    return tuple(row for row in RIDE_THROUGH if row.category == category and row.quantity == quantity)


def setting(name: str, category: AbnormalCategory, normal_category: NormalCategory) -> Setting:
    """The row of the setting `name`. Raises KeyError for a name that is in no table."""
    for row in SETTINGS:
        if row.name == name and row.category in (None, category, normal_category):
            return row
    raise KeyError(name)
