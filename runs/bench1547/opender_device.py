"""EPRI's OpenDER on the bench: an optional extra, `pip install opender`.

Where OpenDER needs coaxing, the adapter does so and says why; it corrects nothing that OpenDER does afterwards.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from math import pi, radians
from typing import Any

import numpy as np

from cosim.errors import ConfigError
from cosim.seeds import generator
from runs.bench1547.device import Array, Maker, Settings, SingleBank

_RATING = 100e3  #: [VA]
_NOMINAL = 480.0  #: [V]
_TRIPS = ("OV2", "OV1", "UV1", "UV2", "OF2", "OF1", "UF1", "UF2")
_MODES = {
    "CONST_PF_MODE_ENABLE": "constant_power_factor",
    "CONST_Q_MODE_ENABLE": "constant_reactive_power",
    "QV_MODE_ENABLE": "volt_var",
    "QP_MODE_ENABLE": "watt_var",
}
#: OpenDER's label (EPRI Common File Format) -> the bench's setting, where the value is the same.
_SAME = {
    "ES_PERMIT_SERVICE": "ES_permit_service",
    "ES_V_LOW": "ES_V_low_pu",
    "ES_V_HIGH": "ES_V_high_pu",
    "ES_F_LOW": "ES_f_low_Hz",
    "ES_F_HIGH": "ES_f_high_Hz",
    "ES_DELAY": "ES_delay_s",
    "ES_RAMP_RATE": "ES_ramp_s",
    "AP_LIMIT_ENABLE": "AP_limit_enabled",
    "AP_LIMIT": "AP_limit_pu",
    "CONST_PF": "PF_power_factor",
    "CONST_Q": "Q_setpoint_pu",
    "QV_VREF": "VV_Vref_pu",
    "QV_VREF_AUTO_MODE": "VV_auto_Vref",
    "QV_VREF_TIME": "VV_Vref_time_s",
    "QV_OLRT": "VV_response_s",
    "PV_MODE_ENABLE": "VW_enabled",
    "PV_CURVE_V1": "VW_V1_pu",
    "PV_CURVE_P1": "VW_P1_pu",
    "PV_CURVE_V2": "VW_V2_pu",
    "PV_CURVE_P2": "VW_P2_pu",
    "PV_OLRT": "VW_response_s",
    "PF_DBOF": "FD_dbOF_Hz",
    "PF_DBUF": "FD_dbUF_Hz",
    "PF_KOF": "FD_kOF_pu",
    "PF_KUF": "FD_kUF_pu",
    "PF_OLRT": "FD_response_s",
    **{f"QV_CURVE_{axis}{i}": f"VV_{axis}{i}_pu" for axis in "VQ" for i in (1, 2, 3, 4)},
    **{f"QP_CURVE_{axis}{i}_GEN": f"WV_{axis}{i}_pu" for axis in "PQ" for i in (1, 2, 3)},
    **{f"{element}_TRIP_T": f"{element}_trip_s" for element in _TRIPS},
    **{f"{element}_TRIP_V": f"{element}_trip_V_pu" for element in _TRIPS if element[1] == "V"},
    **{f"{element}_TRIP_F": f"{element}_trip_Hz" for element in _TRIPS if element[1] == "F"},
}


def opender_maker() -> Maker:
    """A maker of OpenDER devices. Raises `ConfigError` where OpenDER is not installed."""
    try:
        opender = importlib.import_module("opender")
    except ImportError as error:
        raise ConfigError("device", "OpenDER is not installed", "Install it with: pip install opender") from error
    return lambda members: SingleBank(members, lambda: OpenDerDevice(opender))


class OpenDerDevice:
    """A three-phase `DER_PV` of OpenDER; `opender` is the module."""

    phases = 3

    def __init__(self, opender: Any) -> None:
        self._opender = opender
        self._starts = 0

    def restart(self, settings: Settings, *, in_service: bool) -> None:
        with _quiet():
            self._restart(settings, in_service)
        if not in_service:
            # a cold start on a healthy grid skips the delay and then raises TypeError; one step at 0.5 pu avoids that
            self.step(0.001, np.full(3, 0.5), np.zeros(3), 60.0, 1.0)

    def _restart(self, settings: Settings, in_service: bool) -> None:
        self._starts += 1
        self._settings = dict(settings)
        # a new object each time: reinitialize() drops the PV class's own functions
        self._der = self._opender.DER_PV()
        file = self._der.der_file
        file.NP_VA_MAX = file.NP_P_MAX = _RATING
        file.NP_P_MAX_OVER_PF = file.NP_P_MAX_UNDER_PF = 0.9 * _RATING
        file.NP_OVER_PF = file.NP_UNDER_PF = 0.9
        file.NP_V_DC, file.NP_AC_V_NOM = 2.0 * _NOMINAL, _NOMINAL
        file.NP_ABNORMAL_OP_CAT = f"CAT_{settings['category']}"
        file.NP_NORMAL_OP_CAT = f"CAT_{settings['normal_category']}"
        file.NP_Q_MAX_INJ = 0.44 * _RATING
        file.NP_Q_MAX_ABS = (0.25 if settings["normal_category"] == "A" else 0.44) * _RATING
        file.initialize_NP_Q_CAPABILTY_BY_P_CURVE()
        file.STATUS_INIT = in_service
        # its own delays, at what the bench's time limits leave room for
        file.AP_RT, file.CONST_PF_RT, file.CONST_Q_RT, file.QP_RT = 15.0, 5.0, 5.0, 5.0
        file.NP_MODE_TRANSITION_TIME = 5.0
        if settings["ES_randomised"]:
            # OpenDER leaves drawing the delay to its user
            draw = generator(0, "bench1547", "opender", self._starts)
            file.ES_RANDOMIZED_DELAY = settings["ES_random_delay_s"]
            file.ES_RANDOMIZED_DELAY_ACTUAL = float(draw.uniform(0.0, float(settings["ES_random_delay_s"])))
        self._apply()
        self._der = self._opender.DER_PV(file)

    def change(self, settings: Settings) -> None:
        self._settings.update(settings)
        with _quiet():
            self._apply()

    def step(
        self, dt_s: float, voltage_pu: Array, angle_deg: Array, frequency_hz: float, available_pu: float
    ) -> tuple[float, float]:
        self._opender.DER.t_s = dt_s
        nominal = (0.0, -2.0 * pi / 3.0, 2.0 * pi / 3.0)
        self._der.update_der_input(
            v_pu=[float(v) for v in voltage_pu],
            theta=[base + radians(float(angle)) for base, angle in zip(nominal, angle_deg, strict=True)],
            f=frequency_hz,
            p_dc_pu=available_pu,
        )
        p, q = self._der.run()
        return float(p) / _RATING, float(q) / _RATING

    def _apply(self) -> None:
        """Write the settings into OpenDER's file object."""
        file, settings = self._der.der_file, self._settings
        for label, name in _SAME.items():
            setattr(file, label, settings[name])
        for label, mode in _MODES.items():
            setattr(file, label, settings["reactive_mode"] == mode)
        if settings["ES_randomised"]:
            file.ES_RAMP_RATE = 0.0  # else OpenDER takes the ramp, also after a randomised delay
        file.CONST_PF_EXCITATION = "ABS" if settings["PF_absorbing"] else "INJ"


@contextmanager
def _quiet() -> Iterator[None]:
    """OpenDER warns on the root logger of settings that 1547.1 itself prescribes; errors stay audible."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
