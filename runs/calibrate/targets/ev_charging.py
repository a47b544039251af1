"""EV charging: a population of chargers and sessions, fitted to recorded sessions and tried on sessions not seen.

The chargers drawn are as good as their sessions are like the held-out ones: Kolmogorov-Smirnov distances beside the
distance that two samples of one distribution keep in 95 % of cases; and the power that they need together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from cosim.calibrated import Criterion, Parameter, Score
from cosim.errors import Fault, SolverError
from cosim.seeds import generator
from cosim.settings import Settings
from runs.calibrate.target import Figure, Need, Needs, Outcome, Target, Task
from solvers.ev_charging import (
    ChargingPopulation,
    Sessions,
    charging_profile,
    draw_chargers,
    draw_sessions,
    fit_population,
    ks_distance,
    stratified,
)

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

MONDAY = np.datetime64("1970-01-05")  #: days are counted from a Monday
QUANTITIES = {"arrival": ("arrival hour", "h"), "parking": ("parking time", "h"), "energy": ("energy", "kWh")}
MEANING = {
    "use": ("1", "quantiles over chargers of the chance that a session begins on a free weekday"),
    "weekend_use": ("1", "the same chance at the weekend, as a factor"),
    "again": ("1", "chance of another session on a day with one"),
    "arrival": ("1", "share of the sessions in each hour; weekday, weekend"),
    "power": ("kW", "quantiles over chargers of the charging power, each as often as it has sessions"),
    "own": ("1", "correlation of the energy's rank between sessions of one charger"),
}
TABLES = ("parking", "energy")
FEWEST = 10  #: chargers in use on a day whose mean peak counts


class EvCharging(Target):
    """Arrival, parking time, energy and charging power of residential sessions."""

    needs: ClassVar[Sequence[Needs]] = (
        Needs(
            [
                Need("charger", "text"),
                Need("parking", "h", 0.0, 2000.0),
                Need("energy", "kWh", 0.0, 200.0),
                Need("kind", "text", required=False, may_be_constant=True),
            ],
            data="sessions",
            regular=False,
        ),
    )

    baselines: ClassVar[Mapping[str, str]] = {
        "the sessions fitted to": "the distance of the fitted sessions themselves from the held-out ones",
    }

    class Config(Settings):
        """Settings of the fit."""

        kind_of_user: str = ""
        """Only sessions of this kind; none: all."""
        repeats: int = Field(default=30, ge=5, le=500)
        """Populations of chargers that are drawn for the mean daily peak and the bands."""

    config: EvCharging.Config

    def check(self, task: Task) -> Sequence[Fault]:
        """A split is needed, and sessions enough on both sides of it."""
        if task.file.split is None:
            return [Fault("calibration", "has no split.", "Say what is held out.")]
        data = _recorded(task, self.config.kind_of_user)
        held = task.file.split.held_out_days(MONDAY + data.sessions.day)
        if min(held.sum(), (~held).sum()) < 200:
            text = f"leaves {(~held).sum()} sessions to fit and {held.sum()} held out."
            return [Fault("split", text, "Have 200 of each at least.")]
        return ()

    def calibrate(self, task: Task) -> Outcome:
        """Fit, draw, compare; the intervals are from chargers drawn anew (bootstrap)."""
        split = task.file.split
        if split is None:
            raise SolverError("EV charging needs a split of its days")
        data = _recorded(task, self.config.kind_of_user)
        days = np.arange(data.observed.shape[1])
        dates = MONDAY + data.first + days
        held, fitted = split.held_out_days(dates), split.fit_days(dates)
        own = data.sessions.day - data.first
        train, unseen = data.sessions.take(fitted[own]), data.sessions.take(held[own])
        population = fit_population(_from(train, data.first), data.observed & fitted)
        rng = generator(task.file.seed, "ev_charging")
        scores = _distances(population, train, unseen, data, held, self.config.repeats, rng)
        scores += _peaks(population, data, held, self.config.repeats, rng)
        task.progress("chargers drawn anew for the intervals")
        intervals = _bootstrap(data, fitted, self.config.repeats, rng)
        parameters = {}
        for field in fields(ChargingPopulation):
            value = getattr(population, field.name)
            unit, note = MEANING.get(field.name, ("h" if field.name == "parking" else "kWh", _TABLE_NOTE))
            interval = intervals.get(field.name)
            parameters[field.name] = Parameter(value=_plain(value), unit=unit, interval=interval, note=note)
        words = split.in_words(dates)
        return Outcome(
            parameters=parameters,
            structure={},
            fitted=f"{len(train)} sessions of {len(data.observed)} chargers, {words[0]}",
            held_out=f"{len(unseen)} sessions, {words[1]}",
            scores=scores,
            figures=_figures(population, unseen, rng),
            warnings=(
                *data.notices,
                "Charging power was not recorded: it is the highest mean power of a charger's sessions of 0.5 to 3 h; "
                "hourly power assumes that charging begins at plug-in.",
                "The chargers held out are those fitted to, on other days: how far other users differ is the score "
                "'chargers not seen'.",
            ),
        )


_TABLE_NOTE = "quantiles; weekday, weekend; by arrival block or parking class as in solvers/ev_charging.py"


@dataclass(frozen=True)
class _Recorded:
    sessions: Sessions  #: days since MONDAY
    first: int  #: the Monday of the first week, in days since MONDAY
    observed: Flags  #: (chargers, days since `first`) between a charger's first and last session
    power: Floats  #: (chargers,) [kW]
    notices: tuple[str, ...]


def _recorded(task: Task, kind: str) -> _Recorded:
    """The sessions that can be used; what is left out is said."""
    table = task.tables["sessions"]
    columns = table.columns
    notices = []
    keep = np.isfinite(columns["parking"]) & np.isfinite(columns["energy"]) & (columns["parking"] > 0)
    if dropped := int((~keep).sum()):
        notices.append(f"{dropped} sessions without an end or an energy are left out.")
    if kind:
        keep &= columns["kind"].astype(str) == kind
    names, charger = np.unique(columns["charger"][keep].astype(str), return_inverse=True)
    wall = table.wall[keep].astype("datetime64[s]")
    day = (wall.astype("datetime64[D]") - MONDAY).astype(np.int64)
    arrival = (wall - wall.astype("datetime64[D]")).astype(np.int64) / 3600.0
    key = np.stack([charger, wall.astype(np.int64)], axis=1)
    single = np.sort(np.unique(key, axis=0, return_index=True)[1])
    if again := len(key) - len(single):
        notices.append(f"{again} sessions that begin when another of their charger does are left out.")
    sessions = Sessions(charger, day, arrival, columns["parking"][keep], columns["energy"][keep]).take(single)
    first = int(day.min() - day.min() % 7)
    observed = np.zeros((len(names), int(day.max()) - first + 1), dtype=bool)
    power = np.full(len(names), np.nan)
    for k in range(len(names)):
        own = sessions.take(sessions.charger == k)
        observed[k, own.day.min() - first : own.day.max() - first + 1] = True
        fast = (own.parking >= 0.5) & (own.parking <= 3.0)
        if fast.sum() >= 5:
            power[k] = np.clip(np.quantile(own.energy[fast] / own.parking[fast], 0.99), 2.3, 22.0)
    power[np.isnan(power)] = np.nanmedian(power)
    return _Recorded(sessions, first, observed, power, tuple(notices))


def _from(sessions: Sessions, first: int) -> Sessions:
    return Sessions(sessions.charger, sessions.day - first, sessions.arrival, sessions.parking, sessions.energy)


def _draw(population: ChargingPopulation, count: int, days: int, rng: np.random.Generator) -> tuple[Sessions, Floats]:
    """Sessions of `count` chargers over `days` after four weeks ahead, and the chargers' power."""
    chargers = draw_chargers(population, stratified(count, rng))
    drawn = draw_sessions(population, chargers, np.arange(-28, days), rng)
    return drawn, chargers.power


def _distances(
    population: ChargingPopulation,
    train: Sessions,
    unseen: Sessions,
    data: _Recorded,
    held: Flags,
    repeats: int,
    rng: np.random.Generator,
) -> list[Score]:
    """Distances of drawn from recorded sessions, beside the bands of the two-sample test at 95 %."""
    many, _ = _draw(population, 1000, 70, rng)
    many = many.take(many.day >= 0)
    scores = []
    for name, (quantity, _) in QUANTITIES.items():
        model, seen, new = (getattr(s, name) for s in (many, train, unseen))
        band = 135.8 * np.sqrt(1 / len(new) + 1 / len(model))
        value = 100 * ks_distance(model, new)
        scores.append(
            Score(
                part="held-out",
                quantity=quantity,
                score="KS distance",
                value=value,
                baselines={"the sessions fitted to": 100 * ks_distance(seen, new)},
                criteria=(
                    Criterion(
                        name="two-sample test, 95 %",
                        limit=float(band),
                        scale=f"{len(new)} held-out and {len(model)} drawn sessions",
                        met=value <= band,
                    ),
                ),
            )
        )
    return scores + _other_chargers(data, repeats, rng)


def _other_chargers(data: _Recorded, repeats: int, rng: np.random.Generator) -> list[Score]:
    """The same for every fourth charger held out; the band is from which chargers those are, by permutation."""
    sessions = _from(data.sessions, data.first)
    count = len(data.observed)

    def distances(chosen: Flags, drawn: bool) -> list[float]:
        new = sessions.take(chosen[sessions.charger])
        other = sessions.take(~chosen[sessions.charger])
        if drawn:
            other, _ = _draw(fit_population(other, data.observed & ~chosen[:, None]), 1000, 70, rng)
            other = other.take(other.day >= 0)
        return [100 * ks_distance(getattr(other, name), getattr(new, name)) for name in QUANTITIES]

    chosen = np.arange(count) % 4 == 1
    value = distances(chosen, drawn=True)
    random = np.array([distances(rng.permutation(chosen), drawn=False) for _ in range(200)])
    band = np.quantile(random, 0.95, axis=0)
    return [
        Score(
            part="chargers not seen",
            quantity=quantity,
            score="KS distance",
            value=value[k],
            criteria=(
                Criterion(
                    name="permutation of chargers, 95 %",
                    limit=float(band[k]),
                    scale=f"{int(chosen.sum())} of {count} chargers",
                    met=value[k] <= band[k],
                ),
            ),
        )
        for k, (quantity, _) in enumerate(QUANTITIES.values())
    ]


def _peaks(
    population: ChargingPopulation, data: _Recorded, held: Flags, repeats: int, rng: np.random.Generator
) -> list[Score]:
    """The mean over held-out days of the day's highest hourly power per charger in use."""
    days = data.observed.shape[1]
    used = data.observed & held
    count = len(used)
    counted = used.sum(axis=0) >= FEWEST

    def mean_peak(sessions: Sessions, power: Floats) -> float:
        profile = charging_profile(sessions, power, days).reshape(days, 24, -1)
        mean = np.einsum("dhc,cd->dh", profile, used) / np.maximum(used.sum(axis=0), 1)[:, None]
        return float(mean[counted].max(axis=1).mean())

    measured = mean_peak(_from(data.sessions, data.first), data.power)
    drawn = []
    for _ in range(repeats):  # as many chargers as were recorded: fewer have higher peaks
        sessions, power = _draw(population, count, days, rng)
        drawn.append(mean_peak(sessions.take(sessions.day >= 0), power))
    error = 100 * (float(np.mean(drawn)) / measured - 1)
    return [
        Score(
            part="held-out",
            quantity="mean daily peak of a charger",
            score="error",
            value=error,
            criteria=(Criterion(name="this project's aim", limit=10.0, met=abs(error) <= 10.0),),
        ),
        Score(
            part="held-out",
            quantity="mean daily peak of a charger",
            score="spread between populations drawn",
            value=100 * float(np.std(drawn)) / measured,
        ),
        Score(part="held-out", quantity="mean daily peak of a charger", score="measured", value=measured, unit="kW"),
    ]


def _bootstrap(
    data: _Recorded, fitted: Flags, repeats: int, rng: np.random.Generator
) -> dict[str, tuple[float, float]]:
    """95 % intervals of the numbers among the parameters, with chargers drawn anew with replacement."""
    sessions = _from(data.sessions, data.first)
    sessions = sessions.take(fitted[sessions.day])
    count = len(data.observed)
    found: dict[str, list[float]] = {name: [] for name in ("weekend_use", "again", "own")}
    for _ in range(repeats):
        chosen = rng.integers(0, count, count)
        rows = [np.flatnonzero(sessions.charger == k) for k in chosen]
        drawn = sessions.take(np.concatenate(rows))
        numbers = np.repeat(np.arange(count), [len(r) for r in rows])
        renamed = Sessions(numbers, drawn.day, drawn.arrival, drawn.parking, drawn.energy)
        population = fit_population(renamed, data.observed[chosen] & fitted, rounds=0)
        for name, values in found.items():
            values.append(float(getattr(population, name)))
    return {
        name: (float(np.quantile(values, 0.025)), float(np.quantile(values, 0.975))) for name, values in found.items()
    }


def _plain(value: Any) -> Any:
    """A number, a list or a table: one that has a table for each kind of day gets the rows of both."""
    array = np.asarray(value, dtype=np.float64).round(4)
    if array.ndim == 3:
        array = array.reshape(-1, array.shape[-1]).round(3)
    return float(array) if array.ndim == 0 else array.tolist()


def _figures(population: ChargingPopulation, unseen: Sessions, rng: np.random.Generator) -> list[Figure]:
    """Distributions of held-out and drawn sessions."""
    drawn, _ = _draw(population, 500, 70, rng)
    ranks = np.linspace(0.01, 0.99, 99)
    return [
        Figure(
            title=quantity.capitalize(),
            note="Share of sessions below.",
            data=[
                {
                    "type": "scatter",
                    "mode": "lines",
                    "name": label,
                    "x": np.quantile(getattr(s, name), ranks).round(3).tolist(),
                    "y": ranks.round(3).tolist(),
                }
                for label, s in (("held out", unseen), ("drawn", drawn.take(drawn.day >= 0)))
            ],
            layout={"xaxis": {"title": {"text": unit}}},
        )
        for name, (quantity, unit) in QUANTITIES.items()
    ]
