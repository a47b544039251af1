"""The houses of drawn homes, as two-node models."""

from __future__ import annotations

from feeders.homes import Homes
from solvers.home_heating import Heaters
from solvers.house_population import Houses, houses


def houses_of(homes: Homes) -> Houses:
    """The same houses as those that `feeders/homes_glm.py` gives to GridLAB-D."""
    return houses(
        homes.floor_area,
        homes.integrity,
        homes.cooling,
        cop=homes.cop,
        oversizing=homes.oversizing,
        setpoint=homes.cooling_setpoint,
        deadband=homes.deadband,
        envelope=homes.envelope,
        thermal_mass=homes.thermal_mass,
        shading=homes.shading,
        capacity=homes.cooling_capacity * 1e3 if homes.cooling_capacity.any() else None,
        heating=homes.heating,
        auxiliary=homes.auxiliary,
    )


def heaters_of(homes: Homes, houses: Houses) -> Heaters:
    """What heats those homes; `houses` is theirs."""
    return Heaters(
        kind=homes.heating,
        capacity=houses.heating_capacity / 1e3,
        cop=homes.heating_cop,
        auxiliary=houses.auxiliary_capacity / 1e3,
        lockout=homes.auxiliary_lockout,
        fan=houses.fan_power / 1e3,
        setpoint=homes.heating_setpoint,
    )
