"""House populations: what homes are drawn from, fitted so that simulated homes draw what measured homes draw.

What a home uses is its cooling, as `solvers/house_population.py` has it, and all else, by hour of the day. The mean of
the homes is fitted hour by hour: the parameters of houses and thermostats by least squares, and for each set of them
the mean course of all else by bounded linear least squares. Then the differences between homes and the hour-to-hour
deviations of a home come from the single homes. A hundred homes are drawn, as a scenario draws them, and scored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from cosim.calibrated import Criterion, Parameter, Score
from cosim.errors import Fault, SolverError
from cosim.seeds import generator
from cosim.settings import Settings
from feeders.homes import HomeDistributions, draw_homes, plug_power
from feeders.thermal_homes import houses_of
from runs.calibrate.split import Split
from runs.calibrate.target import Figure, Need, Needs, Outcome, Table, Target, Task
from solvers.diurnal_temperature import temperature_between_extremes
from solvers.house_population import Climate, mean_wall_irradiance, simulate
from solvers.scores import cv_rmse, nmbe, peak_error

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

STEP = 1800  #: [s] of the simulation
WARM_UP = 2  #: days simulated before the fit, so that the houses' mass has forgotten its start
PLUG_HEAT = 0.9  #: share of plugs' power that heats the home, as `feeders/homes_glm.py` has it
SCALE = 0.25  #: [kW] what an hour's residual weighs against the priors
LEAST_PLUG = 0.35  #: [kW] a home's mean use without cooling is at no hour below this: it is near that at night

#: What is fitted: unit, mean and standard deviation of what is known before the fit, meaning. Of those marked
#: `logarithmic` the prior holds for the logarithm.
PRIORS: Mapping[str, tuple[str, float, float, bool, str]] = {
    "envelope": ("1", 1.0, 0.3, True, "factor on the conductance of envelope and air exchange"),
    "thermal_mass": ("1", 2.0, 0.4, True, "thermal mass per floor area [Btu/(degF sf)]"),
    "shading": ("1", 1.0, 0.4, True, "factor on the sun that passes the windows"),
    "cooling_setpoint_mean": ("degC", 24.0, 1.0, False, "mean set-point"),
    "cooling_setpoint_spread": (
        "K",
        2.0,
        0.25,
        True,
        "spread of the set-points; it stands for all by which homes differ in when they cool",
    ),
    "cooling_capacity": ("W/m2", 55.0, 0.3, True, "cooling capacity per floor area at 35 degC"),
}


class HousePopulation(Target):
    """Distributions of houses, thermostats and plugs."""

    needs: ClassVar[Sequence[Needs]] = (
        Needs([Need("home", "kWh", 0.0, 30.0, many=True)], data="homes"),
        Needs(
            [
                Need("low", "degC", -30.0, 45.0),
                Need("high", "degC", -30.0, 55.0),
                Need("dew_point", "degC", -40.0, 35.0),
                Need("radiation", "W/m2", 0.0, 450.0),
            ],
            data="weather",
        ),
    )

    objectives: ClassVar[Mapping[str, str]] = {
        "least squares": "of the mean home's hourly power against the measured mean, with priors",
    }
    baselines: ClassVar[Mapping[str, str]] = {
        "same slot a week before": "the measured power of the same hour a week before",
        "degree hours": "regression on the hour and degree hours",
    }

    class Config(Settings):
        """Settings of the fit."""

        latitude: float = Field(ge=-90, le=90)
        """Where the homes are: degrees north of the equator."""
        longitude: float = Field(ge=-180, le=180)
        """Degrees east of Greenwich."""
        homes: int = Field(default=40, ge=10, le=1000)
        """Homes simulated in the fit."""
        count: int = Field(default=100, ge=10, le=10_000)
        """Homes of the neighbourhood that is scored."""
        fixed: dict[str, float] = Field(default_factory=dict)
        """Distributions that are not fitted: name of `feeders/homes.py` -> value."""
        integrity: int = Field(default=5, ge=0, le=6)
        """GridLAB-D's level of thermal integrity that `envelope` is a factor on, 0 the worst."""
        mild_below: float = 22.0
        """Days with a lower mean temperature show how homes differ without cooling [degC]."""

    config: HousePopulation.Config

    def check(self, task: Task) -> Sequence[Fault]:
        """A split is needed, and weather for all days of it, a row a day."""
        if task.file.split is None:
            return [Fault("calibration", "has no split.", "Say what is fitted and what is held out.")]
        weather = task.tables["weather"]
        if weather.step != 24 * 3600:
            return [Fault("weather", f"has a row every {weather.step} s.", "Give daily lows and highs, a row a day.")]
        wrong = np.flatnonzero(weather.columns["low"] > weather.columns["high"])
        if len(wrong):
            return [Fault("weather", f"has a low above the high on {weather.days[wrong[0]]}.", "Correct the rows.")]
        homes = task.tables["homes"].days
        wanted = np.unique(homes[task.file.split.fit_days(homes) | task.file.split.held_out_days(homes)])
        known = weather.days[np.isfinite(sum(weather.columns.values()))]
        missing = wanted[~np.isin(wanted, known)]
        if len(missing):
            return [
                Fault(
                    "weather",
                    f"lacks {len(missing)} days of the split, first {missing[0]}.",
                    "Give weather for all of it.",
                )
            ]
        return ()

    def calibrate(self, task: Task) -> Outcome:
        """Fit to the mean of the homes, then their differences; draw a neighbourhood and score it."""
        from scipy.optimize import least_squares

        split = task.file.split
        if split is None:
            raise SolverError("a house population needs a split of its days")
        data = _join(task.tables, self.config)
        fit, held = split.fit_days(data.days), split.held_out_days(data.days)
        fit &= np.isfinite(data.mean)
        task.progress("fitting the mean of the homes")
        problem = _Problem(self.config, data, fit, task.file.seed)
        start = np.array([np.log(m) if log else m for _, m, _, log, _ in PRIORS.values()])
        for evaluations in (12, 8):  # the second time with the heat of the plugs that the first one found
            found = least_squares(problem.residuals, start, diff_step=1e-2, max_nfev=evaluations)
            start = found.x
            base, weekend = problem.plugs(start)
            problem.gains = base
        values = _natural(found.x)
        drawn = problem.distributions(values, base, weekend)
        task.progress("drawing and scoring the neighbourhood")
        simulated = simulate_homes(
            HomeDistributions(**drawn), self.config.count, data.climate, data.wall, task.file.seed
        )
        scores = _scores(data, simulated, split, fit, held)
        intervals = _intervals(found, problem.count)
        parameters = {
            name: Parameter(
                value=values[name],
                unit=unit,
                interval=intervals[name][:2],
                identified=intervals[name][2],
                note=meaning if intervals[name][2] else f"{meaning}; the data say little beyond the prior",
            )
            for name, (unit, _, _, _, meaning) in PRIORS.items()
        }
        for name in ("plug_power_median", "plug_power_spread", "plug_noise", "plug_noise_correlation"):
            parameters[name] = Parameter(value=drawn[name], unit="kW" if name.endswith("median") else "1")
        for name in ("plug_shape", "plug_weekend_shape"):
            parameters[name] = Parameter(value=drawn[name], note="by hour of the day, mean 1 over weekdays")
        rest = {name: value for name, value in drawn.items() if name not in parameters}
        in_words = split.in_words(data.days[fit | held])
        left_out = "single homes look like PV or net of it where so marked in the calibration file"
        return Outcome(
            parameters=parameters,
            structure={"distributions": rest},
            fitted=f"{data.homes.shape[1]} homes, {in_words[0]}",
            held_out=in_words[1],
            scores=scores,
            figures=_figures(data, simulated, held, split),
            warnings=(
                "The weather at the homes was not measured: it is that of stations near by, its hours made of daily "
                "lows and highs by the shape of a design day.",
                "COP, floor area and level of integrity are assumed: the loads cannot tell them from envelope, "
                f"shading and capacity; {left_out}.",
            ),
        )


# ------------------------------------------------------------------------------------------------ data


@dataclass(frozen=True)
class _Data:
    """Hourly (hours,) data on the days that the weather has."""

    wall: NDArray[np.datetime64]
    homes: Floats  #: (hours, homes) [kW]
    mean: Floats
    climate: Climate  #: on the steps of the simulation

    @property
    def temperature(self) -> Floats:
        """Mean of each hour [degC]."""
        return np.asarray(self.climate.temperature.reshape(len(self.wall), -1).mean(axis=1))

    @property
    def days(self) -> NDArray[np.datetime64]:
        return self.wall.astype("datetime64[D]")

    @property
    def hour(self) -> NDArray[np.int64]:
        return (self.wall.astype("datetime64[h]").astype(np.int64) % 24).astype(np.int64)

    @property
    def weekend(self) -> Flags:
        return np.asarray((self.days.astype(np.int64) + 3) % 7 >= 5)


def _join(tables: Mapping[str, Table], config: HousePopulation.Config) -> _Data:
    """Both files, on every hour of the weather's days, which begin at midnight of local standard time."""
    loads, weather = tables["homes"], tables["weather"]
    utc = weather.utc[0] + np.arange(24 * len(weather.utc)) * np.timedelta64(3600, "s")
    matrix = np.stack([loads.columns[name] for name in sorted(loads.columns)], axis=1)
    homes = np.full((len(utc), matrix.shape[1]), np.nan)
    _, here, there = np.intersect1d(utc, loads.utc, return_indices=True)
    homes[here] = matrix[there]
    wall = (utc + _shift(loads)).astype("datetime64[s]")
    return _Data(wall, homes, homes.mean(axis=1), climate_of_days(weather, config.latitude, config.longitude))


def _shift(table: Table) -> np.timedelta64:
    """The wall clock less UTC at the table's last row: all that is fitted must be on one side of a clock change."""
    return np.timedelta64(table.wall[-1] - table.utc[-1])


def climate_of_days(weather: Table, latitude: float, longitude: float) -> Climate:
    """The weather on the steps of the simulation, from one row a day.

    Temperature by the shape of a design day; the dew point as its mean of the day; the sun as under a clear sky
    (Haurwitz) times what of it the day's measured mean of global irradiance is, split after Erbs.
    """
    import pandas as pd
    import pvlib

    per = 24 * 3600 // STEP
    steps = len(weather.utc) * per
    hours = (np.arange(steps) + 0.5) * STEP / 3600
    instants = pd.DatetimeIndex(weather.utc[0] + (hours * 3600).astype("timedelta64[s]"), tz="UTC")
    column = weather.columns
    temperature = temperature_between_extremes(column["low"], column["high"], hours)
    humidity = np.repeat(_saturation(column["dew_point"]), per) / _saturation(temperature)
    sun = pvlib.solarposition.get_solarposition(instants, latitude, longitude)
    clear = pvlib.clearsky.haurwitz(sun["apparent_zenith"])["ghi"].to_numpy()
    share = column["radiation"] / clear.reshape(-1, per).mean(axis=1)
    ghi = clear * np.repeat(np.clip(share, 0.0, 1.2), per)
    parts = pvlib.irradiance.erbs(ghi, sun["zenith"].to_numpy(), instants)
    walls = mean_wall_irradiance(
        np.clip(np.nan_to_num(np.asarray(parts["dni"])), 0, 1000),
        np.nan_to_num(np.asarray(parts["dhi"])),
        np.radians(sun["elevation"].to_numpy()),
    )
    return Climate(temperature, walls, np.clip(humidity, 0.05, 1.0))


def _saturation(temperature: Floats) -> Floats:
    """Pressure of saturated water vapour [hPa] (Magnus; WMO Guide to Instruments, annex 4.B)."""
    pressure: Floats = 6.112 * np.exp(17.62 * temperature / (243.12 + temperature))
    return pressure


# ------------------------------------------------------------------------------------------------ fit


class _Problem:
    """The fit of the homes' mean."""

    def __init__(self, config: HousePopulation.Config, data: _Data, fit: Flags, seed: int) -> None:
        self.config, self.data, self.seed = config, data, seed
        last = int(np.flatnonzero(fit)[-1]) + 1
        first = max(int(np.flatnonzero(fit)[0]) - 24 * WARM_UP, 0)
        self._span = slice(first, last)
        self._fit = fit[self._span]
        self.count = int(fit.sum())
        self.differences = _differences(data, fit, config.mild_below)
        hour, weekend = data.hour[self._span], data.weekend[self._span]
        self._design = np.zeros((last - first, 30))
        self._design[np.arange(last - first), hour] = 1.0
        self._design[weekend, 24 + hour[weekend] // 4] = 1.0
        self._measured = data.mean[self._span]
        low = np.nanmean(np.where(self._fit, self._measured, np.nan))
        self.gains = np.full(24, 0.6 * low)  #: (24,) of plugs [kW]

    def distributions(self, values: Mapping[str, float], base: Floats, weekend: Floats) -> dict[str, Any]:
        """Settings of `HomeDistributions`."""
        level = [0.0] * 7
        level[self.config.integrity] = 1.0
        spread = self.differences["plug_power_spread"]
        mean = float(base.mean())
        return {
            "integrity_weights": tuple(level),
            "water_heater_share": 0.0,
            "oversizing_max": 0.0,
            **self.config.fixed,
            **{name: float(value) for name, value in values.items()},
            **self.differences,
            "plug_power_median": mean / float(np.exp(spread**2 / 2)),
            "plug_shape": tuple((base / mean).round(4).tolist()),
            "plug_weekend_shape": tuple((weekend / mean).round(4).tolist()),
        }

    def _cooling(self, x: Floats) -> Floats:
        """(hours of the span) mean cooling power of the homes [kW]."""
        values = _natural(x)
        settings = self.distributions(values, np.full(24, 0.5), np.full(24, 0.5))
        drawn = draw_homes(
            self.config.homes,
            HomeDistributions(**settings),
            generator(self.seed, "house_population", "fit"),
            stratified=True,
        )
        climate = self.data.climate
        per = 3600 // STEP
        steps = slice(self._span.start * per, self._span.stop * per)
        part = Climate(climate.temperature[steps], climate.irradiance[steps], climate.humidity[steps])
        gains = np.repeat(self.gains[self.data.hour[self._span]], per)[:, None] * PLUG_HEAT * 1e3
        power = simulate(houses_of(drawn), part, gains, float(STEP)).cooling_power
        hourly: Floats = power.mean(axis=1).reshape(-1, per).mean(axis=1)
        return hourly

    def _solve(self, cooling: Floats) -> Floats:
        from scipy.optimize import lsq_linear

        design = np.vstack([self._design[self._fit], np.hstack([np.zeros((6, 24)), 3 * np.eye(6)])])
        wanted = np.concatenate([(self._measured - cooling)[self._fit], np.zeros(6)])
        low = np.concatenate([np.full(24, LEAST_PLUG), np.full(6, -0.3)])
        return np.asarray(lsq_linear(design, wanted, bounds=(low, np.full(30, 5.0))).x)

    def plugs(self, x: Floats) -> tuple[Floats, Floats]:
        """(24,) mean use without cooling on weekdays and at weekends [kW]."""
        solved = self._solve(self._cooling(x))
        return solved[:24], solved[:24] + np.repeat(solved[24:], 4)

    def residuals(self, x: Floats) -> Floats:
        """Of the hours, then of the priors."""
        cooling = self._cooling(x)
        solved = self._solve(cooling)
        error = (self._design @ solved + cooling - self._measured)[self._fit] / SCALE
        prior = [
            (v - (np.log(mean) if log else mean)) / spread
            for v, (_, mean, spread, log, _) in zip(x, PRIORS.values(), strict=True)
        ]
        return np.concatenate([error, prior])


def _natural(x: Floats) -> dict[str, float]:
    """The parameters from the numbers that are searched."""
    return {
        name: float(np.exp(v) if log else v) for (name, (_, _, _, log, _)), v in zip(PRIORS.items(), x, strict=True)
    }


def _intervals(found: Any, count: int) -> dict[str, tuple[float, float, bool]]:
    """95 % intervals, and whether the data say more than the prior.

    From the Jacobian with the priors, widened for the residuals' autocorrelation at one hour: of `count` residuals
    count (1 - r) / (1 + r) are independent.
    """
    error = found.fun[:count]
    r = float(np.clip(np.corrcoef(error[:-1], error[1:])[0, 1], 0.0, 0.98))
    weight = (1 - r) / (1 + r) / max(float(np.mean(error**2)), 1e-12)
    data = found.jac[:count]
    prior = found.jac[count:]
    covariance = np.linalg.inv(weight * data.T @ data + prior.T @ prior)
    out = {}
    for k, (name, (_, _, spread, log, _)) in enumerate(PRIORS.items()):
        deviation = float(np.sqrt(covariance[k, k]))
        low, high = found.x[k] - 1.96 * deviation, found.x[k] + 1.96 * deviation
        low, high = (float(np.exp(low)), float(np.exp(high))) if log else (float(low), float(high))
        out[name] = (low, high, deviation < 0.6 * spread)
    return out


def _differences(data: _Data, fit: Flags, mild: float) -> dict[str, float]:
    """How homes differ without cooling, and from hour to hour, on mild days of the fit."""
    mean = {day: data.temperature[data.days == day].mean() for day in np.unique(data.days[fit])}
    cool = fit & np.array([mean.get(day, np.inf) < mild for day in data.days]) & np.isfinite(data.mean)
    if cool.sum() < 72:
        raise SolverError("fewer than three mild days in the fit: raise mild_below")
    homes, hour = data.homes[cool], data.hour[cool]
    level = homes.mean(axis=0)
    profile = np.stack([homes[hour == h].mean(axis=0) for h in range(24)])[hour]
    deviation = homes / np.maximum(profile, 0.05)
    variance = float(np.median(deviation.var(axis=0)))
    lag = [np.corrcoef(deviation[:-1, k], deviation[1:, k])[0, 1] for k in range(homes.shape[1])]
    return {
        "plug_power_spread": float(np.std(np.log(level), ddof=1)),
        "plug_noise": float(np.sqrt(np.log1p(variance))),
        "plug_noise_correlation": float(np.clip(np.nanmedian(lag), 0.0, 0.95)),
    }


# ------------------------------------------------------------------------------------------------ neighbourhood


def simulate_homes(
    distributions: HomeDistributions,
    count: int,
    climate: Climate,
    wall: NDArray[np.datetime64],
    seed: int,
) -> Floats:
    """(hours, homes) power of `count` homes without vehicles, PV and water heaters [kW], at the hours `wall`."""
    homes = draw_homes(count, distributions, generator(seed, "house_population", "homes"), stratified=True)
    began = wall[0].astype("datetime64[s]").astype(datetime)
    plugs = plug_power(homes, distributions, began, len(wall), generator(seed, "house_population", "plugs"))
    per = 3600 // STEP
    gains = np.repeat(plugs, per, axis=0) * PLUG_HEAT * 1e3
    power = simulate(houses_of(homes), climate, gains, float(STEP)).cooling_power
    hourly: Floats = power.reshape(len(wall), per, count).mean(axis=1) + plugs
    return hourly


def _scores(data: _Data, simulated: Floats, split: Split, fit: Flags, held: Flags) -> list[Score]:
    """Of the neighbourhood's mean home, of its parts, beside two baselines."""
    model = simulated.mean(axis=1)
    week = np.concatenate([np.full(168, np.nan), data.mean[:-168]])
    degree = _degree_hours(data, fit)
    parts = {"fit": fit, "held-out": held & np.isfinite(data.mean)}
    parts |= {name: split.event_days(name, data.days) & np.isfinite(data.mean) for name in split.events}
    scores = []
    for part, rows in parts.items():
        measured = data.mean[rows]
        named = {"same slot a week before": week[rows], "degree hours": degree[rows]}
        for label, function in (("CV(RMSE)", cv_rmse), ("NMBE", nmbe), ("peak error", peak_error)):
            value = function(measured, model[rows])
            limits = {"CV(RMSE)": 30.0, "NMBE": 10.0}
            criteria = (
                (
                    Criterion(
                        name="ASHRAE Guideline 14",
                        limit=limits[label],
                        scale="one building, hourly",
                        applies=False,
                        met=abs(value) <= limits[label],
                    ),
                )
                if label in limits
                else ()
            )
            baselines = {name: function(measured, other) for name, other in named.items()}
            scores.append(
                Score(
                    part=part,
                    quantity="mean power of a home",
                    score=label,
                    value=value,
                    baselines=baselines,
                    criteria=criteria,
                )
            )
        days = np.unique(data.days[rows])
        energy = np.array(
            [model[rows & (data.days == d)].mean() / data.mean[rows & (data.days == d)].mean() for d in days]
        )
        peaks = [data.hour[rows][np.argmax(v[rows])] for v in (model, data.mean)]
        mean_days = [np.array([v[rows & (data.hour == h)].mean() for h in range(24)]) for v in (model, data.mean)]
        scores += [
            Score(part=part, quantity="energy of a day", score="mean error", value=100 * float(np.mean(energy - 1))),
            Score(
                part=part,
                quantity="energy of a day",
                score="largest error",
                value=100 * float((energy - 1)[np.argmax(np.abs(energy - 1))]),
            ),
            Score(part=part, quantity="hour of the peak", score="difference", value=_hours_apart(*peaks), unit="h"),
            Score(
                part=part,
                quantity="peak of the mean day",
                score="error",
                value=100 * float(mean_days[0].max() / mean_days[1].max() - 1),
            ),
            Score(
                part=part,
                quantity="hour of the mean day's peak",
                score="difference",
                value=_hours_apart(int(mean_days[0].argmax()), int(mean_days[1].argmax())),
                unit="h",
            ),
        ]
        scores += _single_homes(part, data.homes[rows], simulated[rows])
    return scores


def _hours_apart(hour: int, measured: int) -> float:
    """How much later than `measured` an hour of the day is, from -12 to 11 h: 0 comes an hour after 23."""
    return float((hour - measured + 12) % 24 - 12)


def _single_homes(part: str, measured: Floats, simulated: Floats) -> list[Score]:
    """Spread, coincidence, ramps and load duration."""
    level = [h.mean(axis=0) for h in (simulated, measured)]
    peak = [h.max(axis=0) for h in (simulated, measured)]
    within = float(np.mean((level[0] >= level[1].min()) & (level[0] <= level[1].max())))
    size = measured.shape[1]
    groups = [simulated[:, k : k + size] for k in range(0, simulated.shape[1] - size + 1, size)]
    coincidence = [float(np.mean([g.mean(1).max() / g.max(0).mean() for g in groups])), 0.0]
    coincidence[1] = float(measured.mean(axis=1).max() / peak[1].mean())
    ramps = [np.abs(np.diff(h, axis=0)).ravel() for h in (simulated, measured)]
    duration = [np.quantile(h.mean(axis=1), np.linspace(0.02, 0.98, 25)) for h in (simulated, measured)]
    named = "single homes"
    return [
        Score(part=part, quantity=named, score="mean power within the measured range", value=100 * within),
        Score(
            part=part,
            quantity=named,
            score="spread of mean power over the measured spread",
            value=100 * float(np.std(level[0], ddof=1) / np.std(level[1], ddof=1)),
        ),
        Score(
            part=part,
            quantity=named,
            score="error of the mean of the homes' own peaks",
            value=100 * float(peak[0].mean() / peak[1].mean() - 1),
        ),
        Score(
            part=part,
            quantity=f"coincidence of {size} homes",
            score="error",
            value=100 * (coincidence[0] / coincidence[1] - 1),
        ),
        Score(
            part=part,
            quantity="95th percentile of a home's hourly ramp",
            score="error",
            value=100 * float(np.nanquantile(ramps[0], 0.95) / np.nanquantile(ramps[1], 0.95) - 1),
        ),
        Score(
            part=part,
            quantity="load-duration curve",
            score="CV(RMSE) of its quantiles",
            value=100 * float(np.sqrt(np.mean((duration[0] - duration[1]) ** 2)) / duration[1].mean()),
        ),
    ]


def _degree_hours(data: _Data, fit: Flags) -> Floats:
    """A regression on the hour of the day and, in each third of it, the degrees above 18 degC."""
    hour = np.zeros((len(data.mean), 24))
    hour[np.arange(len(data.mean)), data.hour] = 1.0
    warm = np.maximum(data.temperature - 18.0, 0.0)
    third = np.stack([warm * (data.hour // 8 == k) for k in range(3)], axis=1)
    design = np.hstack([hour, third])
    rows = fit & np.isfinite(design).all(axis=1)
    solved = np.linalg.lstsq(design[rows], data.mean[rows], rcond=None)[0]
    predicted: Floats = design @ solved
    return predicted


def _figures(data: _Data, simulated: Floats, held: Flags, split: Split) -> list[Figure]:
    """Measured against simulated on event days, the mean day, single homes."""

    def line(x: Any, y: Floats, name: str) -> dict[str, Any]:
        shown = [str(v) for v in x] if np.asarray(x).dtype.kind == "M" else np.asarray(x).tolist()
        return {"type": "scatter", "mode": "lines", "name": name, "x": shown, "y": np.round(y, 4).tolist()}

    axes = {"yaxis": {"title": {"text": "kW a home"}}}
    model = simulated.mean(axis=1)
    figures = [
        Figure(
            title=f"Event {name}: mean home",
            note="Held out: never fitted to.",
            data=[line(data.wall[rows], data.mean[rows], "measured"), line(data.wall[rows], model[rows], "simulated")],
            layout=axes,
            wide=True,
            height=420,
        )
        for name in split.events
        if (rows := split.event_days(name, data.days)).any()
    ]
    hours = np.arange(24)
    days = [
        line(hours, np.array([np.nanmean(v[held & (data.hour == h)]) for h in hours]), name)
        for v, name in ((data.mean, "measured"), (model, "simulated"))
    ]
    figures.append(
        Figure(title="Mean day of what is held out", note="Hours of the wall clock.", data=days, layout=axes)
    )
    levels = [
        line(np.linspace(0, 1, h.shape[1]), np.sort(h[held & np.isfinite(data.mean)].mean(axis=0)), name)
        for h, name in ((data.homes, "measured"), (simulated, "simulated"))
    ]
    figures.append(
        Figure(title="Single homes", note="Mean power of each, in order; held-out days.", data=levels, layout=axes)
    )
    return figures
