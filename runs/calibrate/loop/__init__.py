"""Calibration with the real co-simulation inside the loop: parts of the target `scenario`."""
