"""Calibration: models fitted to measured history and scored on history that they have not seen."""
