"""How far a prediction is from what was measured: the scores of load forecasting and of building calibration.

ASHRAE Guideline 14-2014, 5.2.11.3, defines CV(RMSE) and NMBE; both are shares of the measured mean. Its degrees of
freedom (n - p) are taken as n, as is usual for scores on data that were not fitted to.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


def comparable(measured: Floats, predicted: Floats) -> Flags:
    """Where both (n) are numbers."""
    return np.asarray(np.isfinite(measured) & np.isfinite(predicted))


def cv_rmse(measured: Floats, predicted: Floats) -> float:
    """Root mean square error over the measured mean [%], where both (n) are numbers."""
    both = comparable(measured, predicted)
    error = predicted[both] - measured[both]
    return float(100 * np.sqrt(np.mean(error**2)) / np.mean(measured[both]))


def nmbe(measured: Floats, predicted: Floats) -> float:
    """Mean of predicted - measured over the measured mean [%]; above 0: predicted too high."""
    both = comparable(measured, predicted)
    return float(100 * np.mean(predicted[both] - measured[both]) / np.mean(measured[both]))


def mape(measured: Floats, predicted: Floats) -> float:
    """Mean absolute error over the measured value [%]; rows that measured 0 do not count."""
    both = comparable(measured, predicted) & (measured != 0)
    return float(100 * np.mean(np.abs(predicted[both] / measured[both] - 1)))


def peak_error(measured: Floats, predicted: Floats) -> float:
    """The predicted maximum over the measured one, less one [%]; the two may be at different times."""
    both = comparable(measured, predicted)
    return float(100 * (np.max(predicted[both]) / np.max(measured[both]) - 1))


SCORES = {"CV(RMSE)": cv_rmse, "NMBE": nmbe, "MAPE": mape, "peak error": peak_error}
