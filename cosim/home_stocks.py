"""The stocks of energy in homes, as every federate kind with homes records them: batteries, vehicles, water tanks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from cosim.contract import Flow, Port, Stock

Floats = NDArray[np.float64]


def home_stock_ports(homes: Mapping[str, Sequence[str]]) -> Sequence[Port]:
    """The energies and those of their flows that are no load at the meter."""
    return (
        Port("battery_energy", "kWh", "out", "energy in the battery", homes),
        Port("ev_energy_needed", "kWh", "out", "energy that the vehicle is short of", homes),
        Port("ev_energy_driven", "kWh", "out", "energy that vehicles came short of, in the step that ends", homes),
        Port("water_heater_energy", "kWh", "out", "heat in the tank above 0 degC", homes),
        Port("water_heater_draw", "kW", "out", "heat drawn with hot water, mean of the step that ends", homes),
        Port("water_heater_loss", "kW", "out", "heat lost through the tank's wall, mean of the step that ends", homes),
    )


def home_stocks(battery: Floats, one_way: float, vehicle: Floats | None, tank: Floats) -> Sequence[Stock]:
    """The stocks, with the capacities (homes,) [kWh] and the batteries' efficiency one way [1].

    `vehicle`: the most that each can be short of; None where every session says what it is short of.
    """
    return (
        Stock(
            "battery_energy",
            (Flow("battery_power", "step that begins", charging=one_way, discharging=one_way),),
            capacity=tuple(battery.tolist()),
        ),
        Stock(
            "ev_energy_needed",
            (Flow("ev_power", "step that begins", sign=-1), Flow("ev_energy_driven", "step that ends")),
            capacity=None if vehicle is None else tuple(vehicle.tolist()),
        ),
        Stock(
            "water_heater_energy",
            (
                Flow("water_heater_power", "step that begins"),
                Flow("water_heater_draw", "step that ends", sign=-1),
                Flow("water_heater_loss", "step that ends", sign=-1),
            ),
            capacity=tuple(tank.tolist()),
        ),
    )
