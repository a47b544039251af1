"""Residential EV charging, session by session: a population of chargers fitted to recorded sessions, and drawn.

What a session is like depends on what came before it in this chain, each link a table of quantiles:

    day of the week -> hour of arrival -> parking time -> energy

so that the joint distribution is kept where it matters (who arrives in the evening stays the night, who stays long
needs more). Chargers differ from each other in how often they are used, in their power and in their energy: a
charger's own effect enters the rank of each of its sessions (a Gaussian copula), which leaves the distribution over
all sessions as it was measured.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

#: Probabilities of the quantiles of a session's parking time and energy.
RANKS = np.array([0, 0.01, 0.025, *np.arange(0.05, 0.96, 0.05), 0.975, 0.99, 1])
#: Probabilities of the quantiles over chargers.
USER_RANKS = np.linspace(0, 1, 11)
#: Arrival hours from which the parking time has a distribution of its own.
ARRIVAL_BLOCKS = np.array([0, 6, 10, 13, 15, 16, 17, 18, 19, 20, 21, 22])
#: Parking times [h] from which the energy has a distribution of its own.
PARKING_CLASSES = np.array([0.0, 0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 11.0, 14.0, 18.0, 30.0])
_FEWEST = 12  #: sessions below which a cell of a table borrows from all others of its kind


@dataclass(frozen=True)
class Sessions:
    """(sessions,) arrays; a charger is the same for all its sessions."""

    charger: Ints  #: its number
    day: Ints  #: of the arrival, counted from any Monday: 5 and 6 modulo 7 are the weekend
    arrival: Floats  #: time of day [h]
    parking: Floats  #: [h]
    energy: Floats  #: [kWh]

    def __len__(self) -> int:
        return len(self.charger)

    def take(self, chosen: NDArray[np.bool_] | Ints) -> Sessions:
        """The sessions `chosen` (flags or positions)."""
        return Sessions(
            self.charger[chosen], self.day[chosen], self.arrival[chosen], self.parking[chosen], self.energy[chosen]
        )

    @property
    def start(self) -> Floats:
        """Hours since day 0."""
        start: Floats = self.day * 24.0 + self.arrival
        return start


@dataclass(frozen=True)
class ChargingPopulation:
    """What chargers and sessions are drawn from; row 0 is a weekday, row 1 a weekend day."""

    use: Floats  #: (11,) quantiles over chargers of the chance that a session begins on a free day [1]
    weekend_use: float  #: the same chance at the weekend, as a factor
    again: float  #: chance of another session on a day with one, once the charger is free [1]
    arrival: Floats  #: (2, 24) share of the sessions that begin in each hour [1]
    parking: Floats  #: (2, blocks, ranks) quantiles of the parking time [h]
    energy: Floats  #: (2, classes, ranks) quantiles of the energy [kWh]
    power: Floats  #: (11,) quantiles over chargers of the charging power, by their sessions [kW]
    own: float  #: correlation of the energy's rank between sessions of one charger [1]


def is_weekend(day: Ints) -> Ints:
    """1 on Saturday and Sunday, else 0."""
    return (np.mod(day, 7) >= 5).astype(np.int64)


def fit_population(sessions: Sessions, observed: Bools, *, rounds: int = 6) -> ChargingPopulation:
    """The population of chargers that recorded sessions come from.

    Parameters
    ----------
    sessions
        Recorded sessions, all on observed days.
    observed
        (chargers, days) whether a charger was in use and its sessions are among those given.
    rounds
        How often use and hours of arrival are changed until sessions drawn come as recorded.

    """
    end = is_weekend(sessions.day)
    hour = sessions.arrival.astype(np.int64)
    arrival = np.stack([np.bincount(hour[end == k], minlength=24)[:24] + 0.02 for k in (0, 1)])
    block = np.searchsorted(ARRIVAL_BLOCKS, sessions.arrival, side="right") - 1
    kind = np.searchsorted(PARKING_CLASSES, sessions.parking, side="right") - 1
    parking = _tables(sessions.parking, end, block, len(ARRIVAL_BLOCKS))
    energy = _tables(sessions.energy, end, kind, len(PARKING_CLASSES))
    rank = _rank(sessions.energy, end, kind, energy)
    first = np.unique(np.stack([sessions.charger, sessions.day]), axis=1)
    days = np.zeros(observed.shape, dtype=bool)
    days[first[0], first[1]] = True
    weekend = is_weekend(np.arange(observed.shape[1]))[None, :] == 1
    with np.errstate(invalid="ignore", divide="ignore"):
        use = (days & observed).sum(1) / observed.sum(1)
    use = use[observed.sum(1) >= 14]
    often = [(days & observed & w).sum() / max((observed & w).sum(), 1) for w in (~weekend, weekend)]
    share = (~weekend & observed).sum() / observed.sum()
    mean = share * often[0] + (1 - share) * often[1]
    power = _charging_power(sessions)
    population = ChargingPopulation(
        use=np.quantile(use * often[0] / mean, USER_RANKS),
        weekend_use=float(often[1] / often[0]),
        again=float(1 - first.shape[1] / len(sessions)),
        arrival=arrival / arrival.sum(1, keepdims=True),
        parking=parking,
        energy=energy,
        power=np.quantile(power, USER_RANKS),
        own=_own_correlation(sessions.charger, rank),
    )
    return _allow_for_busy_days(population, sessions, observed, rounds)


def _tables(values: Floats, end: Ints, cell: Ints, cells: int) -> Floats:
    """(2, cells, ranks) quantiles of `values`; a cell with few sessions takes those of both kinds of day, or all."""
    table = np.empty((2, cells, len(RANKS)))
    for k in range(2):
        for c in range(cells):
            for chosen in ((end == k) & (cell == c), cell == c, abs(cell - c) <= 1, np.ones(len(cell), dtype=bool)):
                if chosen.sum() >= _FEWEST:
                    break
            table[k, c] = np.quantile(values[chosen], RANKS)
    return table


def _rank(values: Floats, end: Ints, cell: Ints, table: Floats) -> Floats:
    """The rank of each value in its cell of `table`, in (0, 1)."""
    rank = np.empty(len(values))
    for k in range(table.shape[0]):
        for c in range(table.shape[1]):
            chosen = (end == k) & (cell == c)
            rank[chosen] = np.interp(values[chosen], np.maximum.accumulate(table[k, c]), RANKS)
    return np.clip(rank, 0.005, 0.995)


def _own_correlation(charger: Ints, rank: Floats) -> float:
    """Correlation of normal scores within chargers, from the variance between chargers with ten sessions or more."""
    score = np.array([NormalDist().inv_cdf(r) for r in rank.tolist()])
    count = np.bincount(charger)
    mean = np.divide(np.bincount(charger, score), count, out=np.zeros(len(count)), where=count > 0)
    enough = count >= 10
    if enough.sum() < 3:
        return 0.0
    noise = float(np.mean(1 / count[enough]))
    between = (float(np.var(mean[enough])) - noise * float(np.var(score))) / max(1 - noise, 1e-9)
    return float(np.clip(between / float(np.var(score)), 0.0, 0.95))


def _charging_power(sessions: Sessions, longest: float = 3.0) -> Floats:
    """(sessions,) the power of each session's charger, so that one that is much in use counts more.

    The 99th percentile of the mean power of a charger's sessions of half an hour to `longest` [h].
    """
    rate = sessions.energy / np.maximum(sessions.parking, 1e-9)
    fast = (sessions.parking >= 0.5) & (sessions.parking <= longest)
    found = [
        np.full((own := sessions.charger == k).sum(), np.quantile(rate[fast & own], 0.99))
        for k in np.unique(sessions.charger)
        if (fast & (sessions.charger == k)).sum() >= 5
    ]
    power: Floats = np.clip(np.concatenate(found) if found else np.array([7.2]), 2.3, 22.0)
    return power


def _allow_for_busy_days(
    population: ChargingPopulation, sessions: Sessions, observed: Bools, rounds: int
) -> ChargingPopulation:
    """Change chance of use and hours until sessions come as recorded: a car that is there cannot arrive."""
    wanted = len(sessions) / observed.sum()
    target = population.arrival
    for _ in range(rounds):
        chargers = draw_chargers(population, np.random.default_rng(0).random((400, 3)))
        drawn = draw_sessions(population, chargers, np.arange(70), np.random.default_rng(1))
        drawn = drawn.take(drawn.day >= 14)
        end, hour = is_weekend(drawn.day), drawn.arrival.astype(np.int64)
        found = np.stack([np.bincount(hour[end == k], minlength=24) + 1.0 for k in (0, 1)])
        arrival = population.arrival * (target / (found / found.sum(1, keepdims=True))) ** 0.8
        scale = wanted / max(len(drawn) / (400 * 56), 1e-9)
        population = replace(
            population,
            use=np.minimum(population.use * scale, 1.0),
            arrival=arrival / arrival.sum(1, keepdims=True),
        )
    return population


@dataclass(frozen=True)
class Chargers:
    """(chargers,) what stays the same for a charger."""

    use: Floats  #: chance of a session on a free weekday [1]
    power: Floats  #: [kW]
    score: Floats  #: its own part of the energy's rank, standard normal


def draw_chargers(population: ChargingPopulation, uniform: Floats) -> Chargers:
    """Chargers from (chargers, 3) uniform numbers."""
    from scipy.special import ndtri

    return Chargers(
        use=np.interp(uniform[:, 0], USER_RANKS, population.use),
        power=np.interp(uniform[:, 1], USER_RANKS, population.power),
        score=ndtri(np.clip(uniform[:, 2], 1e-9, 1 - 1e-9)),
    )


def stratified(count: int, generator: np.random.Generator) -> Floats:
    """(count, 3) uniform numbers, one in each of `count` equal parts (a Latin hypercube): tens of chargers then have
    the population's share of those that are much in use.
    """
    order = generator.permuted(np.tile(np.arange(count)[:, None], (1, 3)), axis=0)
    numbers: Floats = (order + generator.random((count, 3))) / count
    return numbers


def draw_sessions(
    population: ChargingPopulation, chargers: Chargers, days: Ints, generator: np.random.Generator
) -> Sessions:
    """Sessions of `chargers` on successive `days` (counted from a Monday); ordered by charger, then time.

    No two sessions of a charger overlap; none has more energy than its charger gives while it lasts. The first days
    have a few sessions too many, since no car is there from before: draw some more days ahead of those needed.
    """
    count = len(chargers.use)
    free_at = np.full(count, -np.inf)
    found: list[tuple[NDArray[Any], ...]] = []
    from scipy.special import ndtr, ndtri

    for day in days.tolist():
        end = int(is_weekend(np.array([day]))[0])
        chance = np.minimum(chargers.use * (population.weekend_use if end else 1.0), 1.0)
        for turn in range(3):
            uniform = generator.random((count, 4))
            cumulative = np.concatenate([[0.0], np.cumsum(population.arrival[end])])
            arrival = np.minimum(np.interp(uniform[:, 1], cumulative / cumulative[-1], np.arange(25.0)), 23.999)
            begins = (uniform[:, 0] < chance) & (day * 24 + arrival > free_at)
            block = np.searchsorted(ARRIVAL_BLOCKS, arrival, side="right") - 1
            parking = _quantile(population.parking[end][block], uniform[:, 2])
            kind = np.searchsorted(PARKING_CLASSES, parking, side="right") - 1
            noise = ndtri(np.clip(uniform[:, 3], 1e-9, 1 - 1e-9))
            rank = ndtr(np.sqrt(population.own) * chargers.score + np.sqrt(1 - population.own) * noise)
            energy = np.minimum(_quantile(population.energy[end][kind], rank), chargers.power * parking)
            who = np.flatnonzero(begins)
            found.append((who, np.full(len(who), day), arrival[who], parking[who], energy[who]))
            free_at[who] = day * 24 + arrival[who] + parking[who]
            chance = np.where(begins, population.again, 0.0)
            if turn == 2 or not begins.any():
                break
    columns = [np.concatenate(parts) for parts in zip(*found, strict=True)]
    sessions = Sessions(columns[0].astype(np.int64), columns[1].astype(np.int64), *columns[2:])
    return sessions.take(np.lexsort((sessions.start, sessions.charger)))


def _quantile(tables: Floats, rank: Floats) -> Floats:
    """The value at `rank` (n) of each row of `tables` (n, ranks), linear between quantiles."""
    right = np.clip(np.searchsorted(RANKS, rank, side="right"), 1, len(RANKS) - 1)
    row = np.arange(len(rank))
    low, high = tables[row, right - 1], tables[row, right]
    weight = (rank - RANKS[right - 1]) / (RANKS[right] - RANKS[right - 1])
    values: Floats = low + (high - low) * weight
    return values


def charging_profile(sessions: Sessions, power: Floats, days: int, step: float = 1.0) -> Floats:
    """(steps, chargers) energy [kWh] charged in each step of `step` [h] since day 0, if each session charges at once.

    `power` (chargers) [kW]. What is charged after `days` is left out.
    """
    steps = round(days * 24 / step)
    out = np.zeros((steps, len(power)))
    rate = power[sessions.charger]
    begin = sessions.start
    finish = begin + np.minimum(sessions.energy / rate, np.maximum(sessions.parking, 1e-6))
    rate = sessions.energy / np.maximum(finish - begin, 1e-9)
    first = np.floor(begin / step).astype(np.int64)
    for shift in range(int(np.max(np.ceil((finish - begin) / step), initial=0)) + 1):
        slot = first + shift
        within = np.clip(np.minimum(finish, (slot + 1) * step) - np.maximum(begin, slot * step), 0.0, None)
        fits = (within > 0) & (slot >= 0) & (slot < steps)
        np.add.at(out, (slot[fits], sessions.charger[fits]), (rate * within)[fits])
    return out


def ks_distance(one: Floats, other: Floats) -> float:
    """The Kolmogorov-Smirnov distance of two samples, ties counted rightly [1]."""
    points = np.unique(np.concatenate([one, other]))
    below = [np.searchsorted(np.sort(s), points, side="right") / len(s) for s in (one, other)]
    return float(np.abs(below[0] - below[1]).max())
