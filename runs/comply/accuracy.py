"""How exactly times and magnitudes are known: Table 3's accuracy and the trace's sampling."""

from __future__ import annotations

from solvers import ieee1547_tables as tables

_VALUES = {(row.quantity, row.state): row for row in tables.ACCURACY}
_VOLTAGE_WINDOW = 10 / tables.NOMINAL_FREQUENCY  #: [s], 10 cycles: what lasts shorter is measured as a transient
_FREQUENCY_WINDOW = 60 / tables.NOMINAL_FREQUENCY  #: [s], 60 cycles

BAND = 1.5  #: 1547.1's pass bands: one and a half times the accuracy, of input and output
EXACT_BAND = 0.02  #: [pu] granted to exact traces: a control may read the power before or after its limits


def voltage(lasted: float | None) -> float:
    """Accuracy of a voltage [pu] that lasted [s]; None: long."""
    short = lasted is not None and lasted < _VOLTAGE_WINDOW
    return _VALUES["voltage", "transient" if short else "steady"].value


def frequency(lasted: float | None) -> float:
    """Accuracy of a frequency [Hz] that lasted [s]; None: long."""
    short = lasted is not None and lasted < _FREQUENCY_WINDOW
    return _VALUES["frequency", "transient" if short else "steady"].value


def time(duration: float) -> float:
    """Accuracy of a measured time [s]: two cycles up to 5 s, else 1 % of it."""
    steady = _VALUES["time", "steady"]
    return steady.value * duration if duration > steady.valid[0] else _VALUES["time", "transient"].value


def power() -> float:
    """Accuracy of active and reactive power [pu of the apparent-power rating]."""
    return _VALUES["active_power", "steady"].value


def control_band(*, exact: bool) -> float:
    """By how much a controlled power may be off [pu]: 1547.1's pass band, one and a half times the accuracy."""
    return EXACT_BAND if exact else BAND * power()
