"""Both models on one case, and what differs."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np

from solvers.der_fleet import DerFleet, Mode, fleet_settings

from .cases import Case

_RATING = 100e3  # [VA]
_CONTINUOUS, _ENTERING, _TRIPPED = "continuous", "entering_service", "tripped"
_STATUS = {
    "Continuous Operation": _CONTINUOUS,
    "Not Defined": "unspecified",
    "Mandatory Operation": "mandatory",
    "Permissive Operation": "permissive",
    "Momentary Cessation": "momentary_cessation",
    "Cease to Energize": "cease_to_energize",
    "Entering Service": _ENTERING,
    "Trip": _TRIPPED,
}
_REACTIVE = {
    "constant_power_factor": "CONST_PF_MODE_ENABLE",
    "volt_var": "QV_MODE_ENABLE",
    "watt_var": "QP_MODE_ENABLE",
    "constant_reactive_power": "CONST_Q_MODE_ENABLE",
}


@dataclass(frozen=True)
class Answer:
    """At the end of every step: mode, active and reactive power [pu]."""

    mode: list[str]
    p: np.ndarray
    q: np.ndarray
    failed: str = ""  #: the exception that ended it


def steps(case: Case) -> list[tuple[tuple[float, float, float], float, float]]:
    """Voltage, frequency and power of each step."""
    return [
        (hold.voltage, hold.frequency, hold.power) for hold in case.holds for _ in range(round(hold.seconds / case.dt))
    ]


def run_fleet(case: Case) -> Answer:
    """The fleet model."""
    fleet = DerFleet(fleet_settings(1, case.settings, check=False), in_service=case.in_service)
    modes, p, q = [], [], []
    for voltage, frequency, power in steps(case):
        output = fleet.step(case.dt, np.array([voltage]), None, np.array([frequency]), np.array([power]))
        modes.append(Mode(int(output.mode[0])).name.lower())
        p.append(output.p_pu[0])
        q.append(output.q_pu[0])
    return Answer(modes, np.array(p), np.array(q))


def run_opender(case: Case) -> Answer:
    """OpenDER 2.2.0, set up as the fleet is."""
    import opender

    logging.disable(logging.CRITICAL)  # it warns of every setting that the standard's ranges do not hold
    try:
        opender.DER.t_s = case.dt
        der = _opender(case)
        modes, p, q = [], [], []
        three = case.settings.get("three_phase", True)
        key = "p_dem_pu" if case.settings.get("battery", False) else "p_dc_pu"
        for voltage, frequency, power in steps(case):
            der.update_der_input(v_pu=list(voltage) if three else voltage[0], f=frequency, **{key: power})
            try:
                der.run()
            except TypeError as error:
                return Answer(modes, np.array(p), np.array(q), f"TypeError: {error}")
            modes.append(_STATUS[der.der_status])
            p.append(der.p_out_pu)
            q.append(der.q_out_pu)
        return Answer(modes, np.array(p), np.array(q))
    finally:
        logging.disable(logging.NOTSET)


def _opender(case: Case):  # the class is the library's
    import opender

    settings = fleet_settings(1, case.settings, check=False)
    value = {name: float(array[0]) for name, array in settings.numbers.items()}
    flag = {name: bool(array[0]) for name, array in settings.flags.items()}
    choice = {name: str(array[0]) for name, array in settings.choices.items()}
    battery = flag["battery"]
    file_kind = opender.DERCommonFileFormatBESS if battery else opender.DERCommonFileFormat
    three = flag["three_phase"]
    file = file_kind(
        NP_VA_MAX=_RATING,
        NP_P_MAX=_RATING,
        NP_Q_MAX_INJ=value["Q_max_inject_pu"] * _RATING,
        NP_Q_MAX_ABS=value["Q_max_absorb_pu"] * _RATING,
        NP_P_MAX_CHARGE=_RATING,
        NP_APPARENT_POWER_CHARGE_MAX=_RATING,
        NP_AC_V_NOM=240,
        NP_PHASE="THREE" if three else "SINGLE",
        NP_NORMAL_OP_CAT=f"CAT_{choice['normal_category']}",
        NP_ABNORMAL_OP_CAT=f"CAT_{choice['category']}",
    )
    file.NP_PHASE = "THREE" if three else "SINGLE"
    file.STATUS_INIT = case.in_service
    # Category III is the one that must cease momentarily; with the switch on, OpenDER does it in every category.
    file.MC_ENABLE = choice["category"] == "III"
    file.MC_LVRT_V1 = value["MC_V_low_pu"]
    file.MC_RESP_T = value["MC_response_s"]
    file.NP_CTE_RESP_T = value["CE_response_s"]
    file.MC_RETURN_T = 0.0
    file.NP_RT_RAMP_UP_TIME = value["RT_recovery_s"]
    file.NP_INV_DELAY = 0.0
    file.NP_CURRENT_PU = value["I_max_pu"]
    file.NP_PRIO_OUTSIDE_MIN_Q_REQ = choice["priority"].upper()
    for element in ("OV2", "OV1", "UV1", "UV2"):
        setattr(file, f"{element}_TRIP_V", value[f"{element}_trip_V_pu"])
        setattr(file, f"{element}_TRIP_T", value[f"{element}_trip_s"])
    for element in ("OF2", "OF1", "UF1", "UF2"):
        setattr(file, f"{element}_TRIP_F", value[f"{element}_trip_Hz"])
        setattr(file, f"{element}_TRIP_T", value[f"{element}_trip_s"])
    file.ES_DELAY, file.ES_RAMP_RATE, file.ES_RANDOMIZED_DELAY = value["ES_delay_s"], value["ES_ramp_s"], 0
    for mode, label in _REACTIVE.items():
        setattr(file, label, choice["reactive_mode"] == mode)
    file.CONST_PF = value["PF_power_factor"]
    file.CONST_PF_EXCITATION = "ABS" if flag["PF_absorbing"] else "INJ"
    file.CONST_PF_RT = value["PF_response_s"]
    file.CONST_Q, file.CONST_Q_RT = value["Q_setpoint_pu"], value["Q_response_s"]
    for i in (1, 2, 3, 4):
        setattr(file, f"QV_CURVE_V{i}", value[f"VV_V{i}_pu"])
        setattr(file, f"QV_CURVE_Q{i}", value[f"VV_Q{i}_pu"])
    file.QV_OLRT, file.QV_VREF = value["VV_response_s"], value["VV_Vref_pu"]
    file.QV_VREF_AUTO_MODE, file.QV_VREF_TIME = flag["VV_auto_Vref"], value["VV_Vref_time_s"]
    for i in (1, 2, 3):
        setattr(file, f"QP_CURVE_P{i}_GEN", value[f"WV_P{i}_pu"])
        setattr(file, f"QP_CURVE_Q{i}_GEN", value[f"WV_Q{i}_pu"])
        setattr(file, f"QP_CURVE_P{i}_LOAD", value[f"WV_P{i}_charge_pu"])
        setattr(file, f"QP_CURVE_Q{i}_LOAD", value[f"WV_Q{i}_charge_pu"])
    file.QP_RT = value["WV_response_s"]
    file.PV_MODE_ENABLE = flag["VW_enabled"]
    file.PV_CURVE_V1, file.PV_CURVE_P1 = value["VW_V1_pu"], value["VW_P1_pu"]
    file.PV_CURVE_V2, file.PV_CURVE_P2, file.PV_OLRT = value["VW_V2_pu"], value["VW_P2_pu"], value["VW_response_s"]
    file.PF_MODE_ENABLE = flag["FD_enabled"]
    file.PF_DBOF, file.PF_DBUF = value["FD_dbOF_Hz"], value["FD_dbUF_Hz"]
    file.PF_KOF, file.PF_KUF, file.PF_OLRT = value["FD_kOF_pu"], value["FD_kUF_pu"], value["FD_response_s"]
    file.AP_LIMIT_ENABLE, file.AP_LIMIT, file.AP_RT = (
        flag["AP_limit_enabled"],
        value["AP_limit_pu"],
        value["AP_response_s"],
    )
    return opender.DER_BESS(file) if battery else opender.DER_PV(file)


@dataclass(frozen=True)
class Difference:
    """What differs, by kind: mode, trip, active power, reactive power, failure; "" where nothing does."""

    kinds: tuple[str, ...]
    text: str


def compare(case: Case, fleet: Answer, other: Answer) -> Difference:
    """Where the two are apart by more than one step, or by more than 0.003 pu of what is within a step."""
    if other.failed:
        return Difference(("failure",), other.failed)
    kinds, notes = [], []
    tripped = [np.array([mode == _TRIPPED for mode in answer.mode]) for answer in (fleet, other)]
    at = _apart(*tripped)
    if at is not None:
        kinds.append("trip")
        notes.append(f"{at * case.dt:.2f} s: fleet {fleet.mode[at]}, OpenDER {other.mode[at]}")
    at = _mode_apart(fleet.mode, other.mode)
    if at is not None and "trip" not in kinds:
        kinds.append("mode")
        notes.append(f"{at * case.dt:.2f} s: fleet {fleet.mode[at]}, OpenDER {other.mode[at]}")
    for kind, mine, its in (("active power", fleet.p, other.p), ("reactive power", fleet.q, other.q)):
        at = _outside(mine, its, 0.003)
        if at is not None and "trip" not in kinds:
            kinds.append(kind)
            notes.append(f"{kind} at {at * case.dt:.2f} s: fleet {mine[at]:.4f}, OpenDER {its[at]:.4f} pu")
    return Difference(tuple(kinds), "; ".join(notes))


def _apart(mine: np.ndarray, its: np.ndarray) -> int | None:
    """The first step at which the two differ and neighbours do not explain it."""
    return _outside(mine.astype(float), its.astype(float), 1e-9)


def _mode_apart(mine: list[str], its: list[str]) -> int | None:
    for k, mode in enumerate(mine):
        if mode not in its[max(k - 1, 0) : k + 2]:
            return k
    return None


def _outside(mine: np.ndarray, its: np.ndarray, tolerance: float) -> int | None:
    """The first step whose value is not within what the other has one step before to one step after."""
    padded = np.concatenate([its[:1], its, its[-1:]])
    low = np.minimum(np.minimum(padded[:-2], padded[1:-1]), padded[2:]) - tolerance
    high = np.maximum(np.maximum(padded[:-2], padded[1:-1]), padded[2:]) + tolerance
    bad = np.flatnonzero((mine < low) | (mine > high))
    return int(bad[0]) if bad.size else None
