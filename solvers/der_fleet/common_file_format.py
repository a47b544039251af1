"""The fleet's settings under the labels of EPRI's Common File Format for DER settings (EPRI 3002020201)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from solvers.der_fleet.settings import SettingsError

_ELEMENTS: Final = ("OV2", "OV1", "UV1", "UV2")
_FREQUENCY_ELEMENTS: Final = ("OF2", "OF1", "UF1", "UF2")

#: label -> the fleet's name, for numbers and flags that need no translation.
LABELS: Final[Mapping[str, str]] = MappingProxyType(
    {
        **{f"{element}_TRIP_V": f"{element}_trip_V_pu" for element in _ELEMENTS},
        **{f"{element}_TRIP_F": f"{element}_trip_Hz" for element in _FREQUENCY_ELEMENTS},
        **{f"{element}_TRIP_T": f"{element}_trip_s" for element in (*_ELEMENTS, *_FREQUENCY_ELEMENTS)},
        "NP_P_MIN_PU": "P_min_pu",
        "ES_PERMIT_SERVICE": "ES_permit_service",
        "ES_V_LOW": "ES_V_low_pu",
        "ES_V_HIGH": "ES_V_high_pu",
        "ES_F_LOW": "ES_f_low_Hz",
        "ES_F_HIGH": "ES_f_high_Hz",
        "ES_DELAY": "ES_delay_s",
        "AP_LIMIT_ENABLE": "AP_limit_enabled",
        "AP_LIMIT": "AP_limit_pu",
        "AP_RT": "AP_response_s",
        "CONST_PF": "PF_power_factor",
        "CONST_PF_RT": "PF_response_s",
        "CONST_Q": "Q_setpoint_pu",
        "CONST_Q_RT": "Q_response_s",
        **{f"QV_CURVE_V{i}": f"VV_V{i}_pu" for i in (1, 2, 3, 4)},
        **{f"QV_CURVE_Q{i}": f"VV_Q{i}_pu" for i in (1, 2, 3, 4)},
        "QV_OLRT": "VV_response_s",
        "QV_VREF": "VV_Vref_pu",
        "QV_VREF_AUTO_MODE": "VV_auto_Vref",
        "QV_VREF_TIME": "VV_Vref_time_s",
        **{f"QP_CURVE_P{i}_GEN": f"WV_P{i}_pu" for i in (1, 2, 3)},
        **{f"QP_CURVE_Q{i}_GEN": f"WV_Q{i}_pu" for i in (1, 2, 3)},
        **{f"QP_CURVE_P{i}_LOAD": f"WV_P{i}_charge_pu" for i in (1, 2, 3)},
        **{f"QP_CURVE_Q{i}_LOAD": f"WV_Q{i}_charge_pu" for i in (1, 2, 3)},
        "QP_RT": "WV_response_s",
        "PV_MODE_ENABLE": "VW_enabled",
        "PV_CURVE_V1": "VW_V1_pu",
        "PV_CURVE_P1": "VW_P1_pu",
        "PV_CURVE_V2": "VW_V2_pu",
        "PV_CURVE_P2": "VW_P2_pu",
        "PV_OLRT": "VW_response_s",
        "PF_MODE_ENABLE": "FD_enabled",
        "PF_DBOF": "FD_dbOF_Hz",
        "PF_DBUF": "FD_dbUF_Hz",
        "PF_KOF": "FD_kOF_pu",
        "PF_KUF": "FD_kUF_pu",
        "PF_OLRT": "FD_response_s",
    }
)

#: The four reactive-power modes in the order in which an enabled one counts.
MODES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "CONST_PF_MODE_ENABLE": "constant_power_factor",
        "QV_MODE_ENABLE": "volt_var",
        "QP_MODE_ENABLE": "watt_var",
        "CONST_Q_MODE_ENABLE": "constant_reactive_power",
    }
)

#: Labels with a word for a value, or with 0 for "not used".
_TRANSLATED: Final = (
    "NP_ABNORMAL_OP_CAT",
    "NP_NORMAL_OP_CAT",
    "NP_VA_MAX",
    "NP_PHASE",
    "NP_TYPE",
    "NP_PRIO_OUTSIDE_MIN_Q_REQ",
    "CONST_PF_EXCITATION",
    "ES_RAMP_RATE",
    "ES_RANDOMIZED_DELAY",
)
ALL_LABELS: Final = (*LABELS, *MODES, *_TRANSLATED)

Value = float | str | bool


def translate(labelled: Mapping[str, Value]) -> dict[str, Value]:
    """`labelled` settings under the fleet's names; names that are the fleet's own pass unchanged.

    Raises SettingsError for a label that the fleet has no setting for while it looks like one (capitals only).
    """
    values: dict[str, Value] = {}
    modes = {MODES[label]: _flag(label, value) for label, value in labelled.items() if label in MODES}
    if any(modes.values()):
        values["reactive_mode"] = next(mode for mode in MODES.values() if modes.get(mode))
    elif modes:
        values |= {"reactive_mode": "constant_reactive_power", "Q_setpoint_pu": 0.0}
    for label, value in labelled.items():
        if label in MODES or (label == "CONST_Q" and "Q_setpoint_pu" in values):
            continue
        if label in LABELS:
            name = LABELS[label]
            switch = label.endswith(("_ENABLE", "_MODE")) or label == "ES_PERMIT_SERVICE"
            values[name] = _flag(label, value) if switch else value
        elif label in _TRANSLATED:
            values |= _translated(label, value)
        elif label.isupper():
            raise SettingsError(f"the fleet has no setting for the label '{label}'. It knows: {', '.join(ALL_LABELS)}.")
        else:
            values[label] = value
    return values


def _flag(label: str, value: Value) -> bool:
    if isinstance(value, str) and value.upper() in ("ENABLED", "DISABLED", "TRUE", "FALSE"):
        return value.upper() in ("ENABLED", "TRUE")
    if value in (True, False, 0, 1):
        return bool(value)
    raise SettingsError(f"'{label}' must be ENABLED or DISABLED, true or false, got {value!r}")


def _translated(label: str, value: Value) -> dict[str, Value]:
    word = str(value).upper()
    if label == "NP_ABNORMAL_OP_CAT":
        return {"category": word.removeprefix("CAT_")}
    if label == "NP_NORMAL_OP_CAT":
        return {"normal_category": word.removeprefix("CAT_")}
    if label == "NP_VA_MAX":
        return {"rating_kVA": float(value) / 1000.0}
    if label == "NP_PHASE":
        return {"three_phase": word == "THREE"}
    if label == "NP_TYPE":
        return {"battery": word == "BESS"}
    if label == "NP_PRIO_OUTSIDE_MIN_Q_REQ":
        return {"priority": word.lower()}
    if label == "CONST_PF_EXCITATION":
        return {"PF_absorbing": word == "ABS"}
    if label == "ES_RANDOMIZED_DELAY":
        used = float(value) > 0.0
        return {"ES_randomised": used, **({"ES_random_delay_s": float(value)} if used else {})}
    # ES_RAMP_RATE: 0 stands for "no ramp", which goes with a randomised delay only.
    return {"ES_ramp_s": float(value)} if float(value) > 0.0 else {}
