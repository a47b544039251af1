"""Volt-var of the fleet on a power flow of the IEEE 34-node feeder, against the published reference.

Five DER of 300 kVA at nodes 824, 858, 848, 840 and 854, unity power factor at 300 kW first, which settles the
regulators, then 240 kW with the default volt-var curve of Category B. EPRI's OpenDER in its own loop and OpenDSS's
InvControl agree on the result: Q = 0, -33.5, -31.8, -30.5, 0 kvar, losses 81.8 kW (feeder and places: the examples of
OpenDER_interface, BSD-3).
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from solvers.der_fleet import DerFleet, fleet_settings
from solvers.der_fleet.reactive_power import volt_var, volt_var_curve

FEEDER = Path(__file__).parents[1].parent / "shared" / "models" / "opendss" / "34Bus" / "ieee34Mod2.dss"
NODES = ("824", "858", "848", "840", "854")
RATING = 300.0  # [kVA]
REFERENCE = (0.0, -33.5, -31.8, -30.5, 0.0)  # [kvar]

pytestmark = pytest.mark.skipif(not FEEDER.is_file(), reason=f"the published feeder is not at {FEEDER}")


class _Feeder:
    """The feeder with five generators, solved by OpenDSS with its regulators in action."""

    def __init__(self) -> None:
        dss = pytest.importorskip("opendssdirect")
        self.dss = dss
        folder = Path.cwd()
        try:
            dss.Text.Command(f'Redirect "{FEEDER}"')
        finally:
            os.chdir(folder)  # OpenDSS changes to the file's folder
        dss.Text.Command("CalcVoltageBases")
        for index, node in enumerate(NODES):
            dss.Text.Command(f"New Generator.d{index} Bus1={node}.1.2.3 Phases=3 kV=24.9 Model=1 Vminpu=0.5 Vmaxpu=1.5")

    def solve(self, active_kw: float, reactive_kvar: np.ndarray) -> np.ndarray:
        """(5, 3) phase voltages [pu]."""
        for index, reactive in enumerate(reactive_kvar):
            self.dss.Text.Command(f"Generator.d{index}.kW={active_kw}")
            self.dss.Text.Command(f"Generator.d{index}.kvar={reactive}")
        self.dss.Text.Command("solve")
        assert self.dss.Solution.Converged()
        voltages = []
        for node in NODES:
            self.dss.Circuit.SetActiveBus(node)
            voltages.append(np.array(self.dss.Bus.puVmagAngle())[::2][:3])
        return np.array(voltages)

    def losses(self) -> float:
        return float(self.dss.Circuit.Losses()[0]) / 1e3


def test_volt_var_function_in_a_snapshot_loop() -> None:
    feeder = _Feeder()
    curve = volt_var_curve(fleet_settings(5))
    feeder.solve(300.0, np.zeros(5))
    reactive = np.zeros(5)
    for _ in range(40):
        voltage = feeder.solve(240.0, RATING * reactive)
        reactive = reactive + 0.5 * (volt_var(voltage.mean(axis=1), curve) - reactive)
    assert RATING * reactive == pytest.approx(REFERENCE, abs=0.1)
    assert feeder.losses() == pytest.approx(81.8, abs=0.1)


def test_the_fleet_stepped_beside_the_feeder_settles_there() -> None:
    feeder = _Feeder()
    fleet = DerFleet(fleet_settings(5, {"reactive_mode": "volt_var", "rating_kVA": RATING}))
    feeder.solve(300.0, np.zeros(5))
    reactive, share = np.zeros(5), np.full(5, 240.0 / RATING)
    for _ in range(40):
        voltage = feeder.solve(240.0, RATING * reactive)
        output = fleet.step(1.0, voltage, None, np.full(5, 60.0), share)
        reactive = output.q_pu
    assert RATING * reactive == pytest.approx(REFERENCE, abs=1.0)
    assert RATING * output.p_pu == pytest.approx(240.0)
