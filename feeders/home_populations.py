"""Calibrated populations of homes: from parameter files to distributions, and to what people do day by day."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from feeders.ev_sessions import home_sessions
from feeders.glm import Clock
from feeders.homes import HomeDistributions, Homes, HomesError, plug_power
from feeders.neighbourhood import HomeDays
from solvers.ev_charging import RANKS, ChargingPopulation, draw_chargers, stratified

#: Where the parameter files are that come with the project.
CALIBRATED = Path(__file__).parent / "tables" / "calibrated"


class Parameters(Protocol):
    """What is read of a parameter file (`cosim.calibrated.ParameterFile`)."""

    @property
    def name(self) -> str: ...

    @property
    def parameters(self) -> Mapping[str, Any]: ...

    @property
    def structure(self) -> Mapping[str, Any]: ...

    def value(self, name: str) -> Any: ...


def distributions_of(file: Parameters, changed: Mapping[str, Any]) -> HomeDistributions:
    """The distributions of a calibrated house population, with the settings that a scenario `changed`.

    Raises
    ------
    HomesError
        If the file has a parameter that homes are not drawn from, or one outside its range.

    """
    known = {field.name for field in fields(HomeDistributions)}
    found: dict[str, Any] = {name: _plain(file.value(name)) for name in file.parameters}
    found |= {name: _plain(value) for name, value in file.structure.get("distributions", {}).items()}
    unknown = sorted(set(found) - known)
    if unknown:
        raise HomesError(f"'{file.name}' has {', '.join(unknown)}, which homes are not drawn from")
    return HomeDistributions(**{**found, **changed})


def charging_population(file: Parameters) -> ChargingPopulation:
    """The population of chargers of a parameter file. Raises HomesError if a parameter is missing or misshapen."""
    names = [field.name for field in fields(ChargingPopulation)]
    missing = [name for name in names if name not in file.parameters]
    unread = sorted(set(file.parameters) - set(names))
    if unread:
        raise HomesError(f"'{file.name}' has {', '.join(unread)}, which no charger is drawn from")
    if missing:
        raise HomesError(f"'{file.name}' lacks {', '.join(missing)}; run `cosim calibrate` again")
    values = {name: np.asarray(file.value(name), dtype=np.float64) for name in names}
    for name in ("parking", "energy"):
        try:
            values[name] = values[name].reshape(2, -1, len(RANKS))
        except ValueError:
            raise HomesError(f"'{file.name}': {name} must have rows of {len(RANKS)} quantiles") from None
    return ChargingPopulation(**{name: float(v) if v.ndim == 0 else v for name, v in values.items()})  # type: ignore[arg-type]


def drawn_days(
    homes: Homes,
    distributions: HomeDistributions | None,
    charging: ChargingPopulation | None,
    clock: Clock,
    generator: Callable[[str], np.random.Generator],
) -> tuple[Homes, HomeDays]:
    """What people do from the model's start to its end, and the homes with the chargers drawn for it.

    `distributions` of the plugs, or None to follow the mean day; `charging` likewise for vehicles.
    """
    days = HomeDays()
    if distributions is not None:
        first = clock.model_start.replace(minute=0, second=0, microsecond=0)
        hours = -(-(clock.start + clock.duration - first) // timedelta(hours=1)) + 1
        days = replace(
            days,
            plug_power=plug_power(homes, distributions, first, hours, generator("plugs")),
            plug_start=first,
        )
    owners = np.flatnonzero(homes.ev_power > 0)
    if charging is not None and len(owners):
        chargers = draw_chargers(charging, stratified(len(owners), generator("chargers")))
        power = np.zeros(len(homes))
        power[owners] = chargers.power
        homes = replace(homes, ev_power=power)
        sessions = home_sessions(charging, chargers, owners, clock.start, clock.duration, generator("sessions"))
        days = replace(days, sessions=sessions)
    return homes, days


def _plain(value: Any) -> Any:
    """A number, or a tuple of numbers."""
    array = np.asarray(value, dtype=np.float64)
    return float(array) if array.ndim == 0 else tuple(array.tolist())
