"""The project's own fleet model on the bench."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from runs.bench1547.device import Array, Bank, Settings
from solvers.der_fleet import DerFleet, fleet_settings


class FleetBank(Bank):
    """A `DerFleet` of `members` three-phase DER. The bench's settings have the fleet's names."""

    phases = 3

    def restart(self, settings: Sequence[Settings], *, in_service: NDArray[np.bool_]) -> None:
        values = {name: np.array([own[name] for own in settings]) for name in settings[0]}
        # unchecked: some of 1547.1's characteristics lie outside Table 8's ranges for a reference of 1 pu
        self._fleet = DerFleet(fleet_settings(self.members, values, check=False), in_service=in_service)

    def step(
        self, dt_s: float, voltage_pu: Array, angle_deg: Array, frequency_hz: Array, available_pu: Array
    ) -> tuple[Array, Array]:
        output = self._fleet.step(dt_s, voltage_pu, angle_deg, frequency_hz, available_pu)
        return output.p_pu, output.q_pu

    def change(self, member: int, settings: Settings) -> None:
        self._fleet.change(dict(settings), np.arange(self.members) == member, check=False)
