"""The settings of DER that were installed under IEEE 1547-2003, before there was ride-through.

They are not a profile of the 2018 standard: their frequency thresholds lie outside its ranges, so they are given to
`fleet_settings` unchecked. What the standard gives is the longest clearing time; a DER that trips sooner conforms too.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

LEGACY: Final = "1547-2003"
LEGACY_CESSATION: Final = "1547-2003 momentary cessation"

#: By setting name. Voltages and clearing times: IEEE 1547-2003 Table 1; frequencies: Table 2, DER up to 30 kW (above,
#: under-frequency is adjustable from 57.0 to 59.8 Hz and 0.16 to 300 s); return: 4.2.6, Range B of ANSI C84.1, 59.3 to
#: 60.5 Hz, up to five minutes. It knows no frequency-droop, no volt-var (4.1.1: shall not regulate the voltage).
#: Open sources for them: Table 1 as transcribed in the grid model PowerModel (module BtmSolar); 0.88 and 1.10 pu in
#: NREL's PyDSS; 59.3 and 60.5 Hz with 0.16 s in TDcoSim's table of DER_A; 300 s in GridLAB-D (inverter_dyn). The
#: voltages of 4.2.6 are not verified.
LEGACY_2003: Final = MappingProxyType[str, float | bool | str](
    {
        "category": "I",
        "normal_category": "A",
        "OV2_trip_V_pu": 1.20,
        "OV2_trip_s": 0.16,
        "OV1_trip_V_pu": 1.10,
        "OV1_trip_s": 1.0,
        "UV1_trip_V_pu": 0.88,
        "UV1_trip_s": 2.0,
        "UV2_trip_V_pu": 0.50,
        "UV2_trip_s": 0.16,
        "OF2_trip_Hz": 60.5,
        "OF2_trip_s": 0.16,
        "OF1_trip_Hz": 60.5,
        "OF1_trip_s": 0.16,
        "UF1_trip_Hz": 59.3,
        "UF1_trip_s": 0.16,
        "UF2_trip_Hz": 59.3,
        "UF2_trip_s": 0.16,
        "ES_V_low_pu": 0.917,
        "ES_V_high_pu": 1.058,
        "ES_f_low_Hz": 59.3,
        "ES_f_high_Hz": 60.5,
        "ES_delay_s": 300.0,
        "FD_enabled": False,
    }
)

#: The same where the inverter stops its output outside 0.88 to 1.10 pu until it trips, and restores it over a second
#: (Blue Cut and San Fernando; NERC, Reliability Guideline: BPS-Connected Inverter-Based Resource Performance, 2018).
LEGACY_2003_CESSATION: Final = MappingProxyType[str, float | bool | str](
    {**LEGACY_2003, "category": "III", "MC_V_low_pu": 0.88, "RT_recovery_s": 1.0}
)
LEGACIES: Final = MappingProxyType({LEGACY: LEGACY_2003, LEGACY_CESSATION: LEGACY_2003_CESSATION})
