"""Settings of homes that have no effect with the others, and shares of which no home is drawn."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

import numpy as np

from feeders.homes import HomeDistributions, Homes
from solvers.home_heating import HEAT_PUMP

#: What homes may have: the settings that act on it alone, what it is called, and the share that decides on it.
DEPENDENT = {
    "cooling": (
        ("cop_mean", "cooling_setpoint_mean", "cooling_setpoint_spread"),
        "no home is cooled",
        ("cooling_share", "heat_pump_share"),
    ),
    "heat_pump": (
        ("heating_cop_mean", "auxiliary_share", "auxiliary_lockout"),
        "no home has a heat pump",
        ("heat_pump_share",),
    ),
    "ev": (("ev_power", "ev_population"), "no home has an electric vehicle", ("ev_share",)),
    "water_heater": ((), "no home has a water heater", ("water_heater_share",)),
    "pv": (("pv_power_min", "pv_power_max", "pv_volt_var"), "no home has PV", ("pv_share",)),
    "battery": (("battery_power", "battery_energy"), "no home has a battery", ("battery_share",)),
}


def idle_settings(
    given: Mapping[str, object], homes: Homes, drawn_from: HomeDistributions | None = None
) -> Iterator[str]:
    """A sentence for each of the settings `given` of which the drawn `homes` show nothing.

    A calibrated population wins over what is given as it is by default: `drawn_from` holds what then counts.
    """
    has = {
        "cooling": homes.cooling | (homes.heating == HEAT_PUMP),
        "heat_pump": homes.heating == HEAT_PUMP,
        "ev": homes.ev_power > 0,
        "water_heater": homes.water_power > 0,
        "pv": homes.pv_power > 0,
        "battery": homes.battery_power > 0,
    }
    for device, (names, without, shares) in DEPENDENT.items():
        if np.any(has[device]):
            continue
        yield from _no_effect(names, given, without)
        wanted = [f"`homes.{share}`" for share in shares if given.get(share)]
        if wanted:
            yield f"{', '.join(wanted)}: {without} of the {len(homes)} that were drawn."
    if given.get("ev_population") and np.any(has["ev"]):
        yield from _no_effect(("ev_power",), given, "chargers are those of `ev_population`")
    for name, value in given.items():
        counts = getattr(drawn_from, name, value)
        if counts != value:
            yield f"`homes.{name}` has no effect: it is the default, and the population's {counts} wins over that."


def _no_effect(names: Collection[str], given: Mapping[str, object], because: str) -> Iterator[str]:
    found = [f"`homes.{name}`" for name in names if name in given]
    if found:
        yield f"{', '.join(found)} {'has' if len(found) == 1 else 'have'} no effect: {because}."
