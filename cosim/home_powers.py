"""The powers of a feeder and its homes, as every federate kind with homes records them, and how they add up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosim.contract import Balance, Port, Term, Time

HEAD = "head_voltage"  #: the input without which a feeder is dark
IN_SERVICE = (0.9, 1.1)  #: [pu] of the head, within which spot loads are near their published power
#: By which spot loads may differ from the published ones times the load scale there, as their voltage does [1].
VOLTAGE_SHARE = 0.15

Floats = NDArray[np.float64]


def home_power_ports(homes: Mapping[str, Sequence[str]], cycle: Time = 0) -> Sequence[Port]:
    """The powers at each home's meter and behind it; none without a voltage, nor of what may not run.

    `cycle` [ns]: the shortest of a compressor, which it ends when its thermostat may not run any more.
    """
    meter = (HEAD, "device_available[home]")

    def power(name: str, title: str, *devices: str, **more: Any) -> Port:
        needs = (*meter, *(f"device_available[{device}]" for device in devices))
        return Port(name, "kW", "out", title, homes, needs=needs, **more)

    return (
        power("home_power", "power drawn at the home's meter"),
        power("hvac_power", "power of heating and cooling", "thermostat", outlasts=cycle),
        power("ev_power", "charging power of the vehicle", "ev_charger"),
        power("water_heater_power", "power of the water heater", "water_heater"),
        power("pv_power", "power given by rooftop PV", sun="daylight"),
        power("battery_power", "power drawn by the battery"),
    )


def feeder_balances(limit: float, published: float, plugs: Floats, unknown: float = 1e-6) -> Sequence[Balance]:
    """Of a feeder whose power flow is good to `limit` [MW].

    `published` [MW]: the spot loads at scale 1 and 1 pu. `plugs` (homes,) [kW]: the most that lights, plugs and
    appliances draw at 1 pu, which are not recorded; `unknown` [kW]: what else the meters may see.
    """
    parts = ("hvac_power", "ev_power", "water_heater_power", "battery_power")
    return (
        Balance(
            "power at the head",
            "MW",
            (
                Term("power", total=True),
                Term("losses", -1.0),
                Term("spot_load", -1.0),
                Term("home_power", -1.0, total=True),
            ),
            (-limit, limit),
        ),
        Balance(
            "spot loads",
            "MW",
            (Term("spot_load"), Term("load_scale", -published)),
            (-limit, limit),
            share=VOLTAGE_SHARE,
            where=(HEAD, *IN_SERVICE),
        ),
        Balance(
            "power of homes",
            "kW",
            (Term("home_power"), Term("pv_power"), *(Term(part, -1.0) for part in parts)),
            (-unknown, tuple((1.21 * plugs + unknown).tolist())),  # as impedances do at 1.1 pu
        ),
    )
