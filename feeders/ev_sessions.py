"""Vehicles that come, charge and leave as a list of sessions says, day by day."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from solvers.ev_charging import Chargers, ChargingPopulation, draw_sessions

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

AHEAD = 14  #: days drawn before the start, so that vehicles are there as on any other day


@dataclass(frozen=True)
class HomeSessions:
    """(sessions,) arrays, in the order of arrival."""

    home: Ints
    arrival: Ints  #: [s] since the start, negative before it
    departure: Ints  #: [s]
    energy: Floats  #: [kWh]


def home_sessions(
    population: ChargingPopulation,
    chargers: Chargers,
    owners: Ints,
    start: datetime,
    duration: timedelta,
    generator: np.random.Generator,
) -> HomeSessions:
    """The sessions of the homes `owners` (chargers,) that touch the time from `start` on, in whole seconds."""
    first = start.replace(hour=0, minute=0, second=0, microsecond=0)
    days = np.arange(-AHEAD, -(-(duration + (start - first)) // timedelta(days=1)) + 1)
    drawn = draw_sessions(population, chargers, days + start.weekday() + 7 * AHEAD, generator)
    midnight = drawn.day - start.weekday() - 7 * AHEAD
    arrival = np.rint(midnight * 86_400 + drawn.arrival * 3600).astype(np.int64) - int((start - first).total_seconds())
    departure = arrival + np.maximum(np.rint(drawn.parking * 3600).astype(np.int64), 1)
    there = (departure > 0) & (arrival < duration.total_seconds())
    order = np.flatnonzero(there)[np.argsort(arrival[there], kind="stable")]
    return HomeSessions(owners[drawn.charger[order]], arrival[order], departure[order], drawn.energy[order])


class Vehicles:
    """The vehicles of all homes, stepped through their sessions."""

    def __init__(self, sessions: HomeSessions, power: Floats, begin: int) -> None:
        """`power` (homes,) of the chargers [kW]; before `begin` [s] all charged undisturbed."""
        self.sessions, self.charger = sessions, power
        self.needed = np.zeros(len(power))  #: (homes,) what the vehicle that is there is short of [kWh]
        self.needed_before = self.needed  #: (homes,) the same before the last step in which it charged
        self.driven = np.zeros(len(power))  #: (homes,) what it then came short of, more than the one before it [kWh]
        self._leaves = np.full(len(power), np.iinfo(np.int64).min)
        self._next = 0
        self._time = begin
        self._arrivals(begin)
        before = np.zeros(len(power))
        earlier = slice(0, self._next)
        before[sessions.home[earlier]] = (begin - sessions.arrival[earlier]) / 3600.0
        self.needed = np.maximum(self.needed - power * before, 0.0)

    def power(self, time: int, step: int, allowed: Bools) -> Floats:
        """(homes,) charging power over the `step` [s] from `time` [s] on [kW].

        A vehicle draws its charger's power until it has its energy or leaves; a charger that is not `allowed` leaves
        it short for as long.
        """
        left = self.needed.copy()
        self._arrivals(time)
        self.needed_before, self.driven = self.needed.copy(), self.needed - left
        wanted = np.minimum(self.charger, self.needed / (step / 3600.0))
        drawn: Floats = np.where((self._leaves > time) & allowed, wanted, 0.0)
        self.needed = np.maximum(self.needed - drawn * step / 3600.0, 0.0)
        return drawn

    def _arrivals(self, time: int) -> None:
        """The vehicles that have come by `time` are short of their session's energy; one that left is gone with it."""
        last = int(np.searchsorted(self.sessions.arrival, time, side="right"))
        for k in range(self._next, last):
            home = self.sessions.home[k]
            self.needed[home], self._leaves[home] = self.sessions.energy[k], self.sessions.departure[k]
        self._next = last
