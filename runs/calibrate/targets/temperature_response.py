"""Temperature response of a load: of a system, of distribution networks, of a building."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from itertools import combinations, product
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field

from cosim.calibrated import Parameter, Score
from cosim.errors import ContractError, Fault
from cosim.settings import Settings
from feeders.load_model import LoadCalendar, drivers
from runs.calibrate.series import RESIDUALS, Scale, parts_of, score_series, series_figures
from runs.calibrate.split import Period, Split
from runs.calibrate.target import Figure, Flags, Floats, Need, Needs, Outcome, Table, Target, Task
from solvers import baselines
from solvers.temperature_response import (
    HOLIDAY,
    WORKDAYS,
    Drivers,
    Fit,
    Smoothness,
    Structure,
    Trial,
    cross_validate,
    design,
    fit,
    indistinct,
    with_memory,
)

EDGES = {0.0: (0.0, 45.0), 24.0: (3.0, 36.0), 72.0: (5.0, 32.0)}
TERMS = ("profile", "season", "turn_of_year", "trend", "mean")
LEAST_FIT, LEAST_HELD_OUT = 14, 7  #: [d]
LEAST_TREND = 1.5  #: [years] of data below which a trend cannot be told from the season
WEAK = 0.5  #: [1] standard deviation over value, from which a parameter's sign is in doubt: it is not identified
CONFUSED = 0.9  #: [1] correlation of two estimates, from which the data hardly tell them apart: each is known 2.3
#: times more exactly where the other is given
TAKES_PART = 0.3  #: [1] share in a direction from which on a parameter is named
TYPICAL = 18.0  #: [degC]
FEBRUARY, AUGUST = 45.0, 226.0  #: [d] of the year
Z95 = 1.959964


def _distinct(lags: tuple[float, ...]) -> tuple[float, ...]:
    if len(set(lags)) < len(lags):
        raise ValueError(f"time constants must differ, got {', '.join(f'{hours:g}' for hours in lags)} h")
    return lags


def _names_of_their_own(periods: dict[str, tuple[Period, ...]]) -> dict[str, tuple[Period, ...]]:
    for name in periods:
        if name in TERMS or name.startswith("temperature"):
            raise ValueError(f"a period must not be named '{name}', which is a term of the model; take another name")
    return periods


def _whole_weeks(memory: Mapping[int, float]) -> Mapping[int, float]:
    for days, weight in memory.items():
        if days < 7 or days % 7:
            raise ValueError(f"a memory must reach back whole weeks, 7 days or more, got {days}")
        if not -1 <= weight <= 1.5:
            raise ValueError(f"a weight of the memory must be from -1 to 1.5, got {weight:g}")
    return memory


Lags = Annotated[tuple[Annotated[float, Field(ge=0, le=2000)], ...], Field(min_length=1), AfterValidator(_distinct)]
Weights = Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=1)]
Memory = Annotated[dict[int, float], AfterValidator(_whole_weeks)]


@dataclass(frozen=True)
class _Fitted:
    """The fit of one quantity on one split."""

    fit: Fit
    trials: list[Trial]
    alike: int  #: trials that cross-validation cannot tell from the best
    forecast: Floats  #: (n) [MW], with memory where the model has one
    plain: Floats  #: (n) [MW], from weather and calendar alone
    used: Flags  #: (n) which rows may have been fitted to


@dataclass(frozen=True)
class _Contrast:
    """A quantity that is linear in the coefficients."""

    key: str
    row: Floats  #: (p) its derivative by the coefficients [unit]
    unit: str
    note: str
    part: bool = True  #: False: a sum of others, which it is not held against


class TemperatureResponse(Target):
    """See `solvers/temperature_response.py` for the model.

    What is not fitted (time constants, smoothness, memory) is chosen by blocked cross-validation within the fit days;
    how many choices it cannot tell from the best is said.
    """

    needs: ClassVar[Sequence[Needs]] = (
        Needs(
            (
                Need("load", "MW", 0.0, 2e6, many=True, daily="load"),
                Need("temperature", "degC", -70.0, 60.0, daily="temperature"),
                Need("holiday", "1", 0.0, 1.0, required=False, may_be_constant=True),
                Need("sun", "W/m2", 0.0, 1500.0, required=False, daily="sun"),
            )
        ),
    )

    objectives: ClassVar[Mapping[str, str]] = {
        "CV(RMSE)": "penalised least squares of ln load; what is not fitted has the least cross-validated CV(RMSE)",
        "MAPE": "penalised least squares of ln load; what is not fitted has the least cross-validated MAPE",
    }
    baselines: ClassVar[Mapping[str, str]] = {
        "week before": "the measured load of the same slot a week before",
        "degree hours": "regression on the hour of the week and heating and cooling degree hours",
        "Hong with lags": "T. Hong's benchmark with means of the temperature over 24 and 72 h",
    }

    class Config(Settings):
        """Settings of the temperature response."""

        scale: Scale = "system"
        """How large the load is: building, distribution network or system. Criteria written for a building are shown
        for larger loads, and do not apply."""
        lags: Annotated[tuple[Lags, ...], Field(min_length=1)] = ((0.0, 24.0, 72.0), (0.0, 8.0, 48.0))
        """Sets of time constants of the temperature's weighted means [h] to choose between; 0: the temperature."""
        memory: Annotated[tuple[Memory, ...], Field(min_length=1)] = ({},)
        """Memories of the level to choose between: lag [d] in whole weeks -> weight. With one, a forecast uses the
        measured load of so many days before, and no later; {}: none, weather and calendar only."""
        temperature_smoothness: Weights = (0.3, 3.0, 30.0, 300.0)
        """Penalties on bends over temperature to choose between, in rows of half an hour."""
        season_smoothness: Weights = (0.3, 3.0, 30.0)
        """Likewise over the year."""
        season: Annotated[tuple[Annotated[int, Field(ge=4, le=52)], ...], Field(min_length=1)] = (10,)
        """Numbers of smooth functions over the year to choose between; their smoothness is chosen besides."""
        holidays: tuple[date, ...] = ()
        """Days that count as Sundays, besides those of the data's column holiday."""
        periods: Annotated[dict[str, tuple[Period, ...]], AfterValidator(_names_of_their_own)] = Field(
            default_factory=dict
        )
        """Periods with a daily profile of their own: name -> [[first day, last day], ...]."""
        turn_of_year: bool = True
        """Working days from 20 December to 30 January have a profile of their own."""
        selection_step: int = Field(default=30, ge=1)
        """Cross-validation takes a row each so many minutes; the final fit takes all."""

    config: TemperatureResponse.Config

    def check(self, task: Task) -> Sequence[Fault]:
        """Every split must leave days to fit to, and data to score on."""
        table = task.tables["data"]
        faults = list(_unfit(task, table))
        if task.file.split is None:
            place = task.file.document.place(("split",))
            return [*faults, Fault(place, "is required.", "Say which days are held out.")]
        for name, split in {"split": task.file.split, **task.file.further_splits}.items():
            place = task.file.document.place(("split",) if name == "split" else ("further_splits", name))
            days = np.unique(table.days)
            held, fitted = split.held_out_days(days), split.fit_days(days)
            for what, chosen, least in (("fit to", fitted, LEAST_FIT), ("hold out", held, LEAST_HELD_OUT)):
                if chosen.sum() < least:
                    problem = f"leaves {chosen.sum()} days of the data ({days[0]} to {days[-1]}) to {what}."
                    remedy = f"Give periods within the data, {least} days at least."
                    faults.append(Fault(place, problem, remedy))
            if fitted.any() and len(np.unique(split.fold_of(days[fitted]))) < 2:
                problem = f"blocks of {split.block_days} days put all fit days into one part."
                faults.append(
                    Fault(place, problem, "Make block_days shorter: cross-validation needs two parts or more.")
                )
            reach = [max(memory, default=0) for memory in self.config.memory]
            if fitted.any() and max(reach) > fitted.sum() / 3:
                place = task.file.document.place(("target", "memory", int(np.argmax(reach))))
                problem = f"reaches {max(reach)} d back, of {fitted.sum()} days to fit to."
                faults.append(Fault(place, problem, "Make it shorter than a third of them."))
            for event in split.events:
                outside = days[split.event_days(event, days) & ~held]
                if len(outside) or not split.event_days(event, days).any():
                    what = f"on {outside[0]} is not held out" if len(outside) else "has no data"
                    faults.append(Fault(place, f"the event '{event}' {what}.", "Hold its days out."))
        return faults

    def calibrate(self, task: Task) -> Outcome:
        """Fit every load column on every split; keep the parameters of the main one."""
        table = task.tables["data"]
        names = [name for name in table.columns if name.startswith("load")]
        parameters: dict[str, Parameter] = {}
        scores: list[Score] = []
        figures: list[Figure] = []
        warnings: list[str] = []
        facts: dict[str, str] = {}
        models: dict[str, Any] = {}
        terms: dict[str, list[str]] = {}
        main = task.file.split
        if main is None:
            raise ContractError("a calibration without a split must not pass the check")
        calendar = self._calendar(task, table, main)
        for label, split in [("", main), *((f"{name}: ", s) for name, s in task.file.further_splits.items())]:
            fitted = self._fit_all(task, table, split, names, calendar)
            references = {}
            for name in names:
                one = fitted[name]
                references = self._baselines(task, table, name, split)
                parts = parts_of(split, table, one.used)
                scores += score_series(
                    _short(name), table.columns[name], one.forecast, references, parts, self.config.scale, label
                )
                chosen = one.fit
                told = f"{label}{_short(name)}"
                facts[f"{told}: chosen"] = _in_words(one)
                if chosen.memory:
                    held = parts["held-out"]
                    own = score_series(
                        _short(name), table.columns[name], one.plain, {}, {"held-out": held}, self.config.scale, label
                    )
                    scores += [
                        s.model_copy(update={"part": f"{s.part} without memory"}) for s in own if s.score == "CV(RMSE)"
                    ]
                drawn = self._figures(label, name, table, one, references, parts)
                if label:  # of splits that only test the model, what was held out
                    figures += [figure for figure in drawn if figure.section != RESIDUALS]
                    continue
                figures += drawn
                models[_short(name)] = chosen.structure.as_mapping() | {
                    "memory": {int(k): float(v) for k, v in chosen.memory.items()},
                    "smoothness": vars(chosen.smoothness),
                }
                terms[_short(name)] = [term.name for term in chosen.terms]
                contrasts = list(self._contrasts(chosen, table, calendar, name, one.used))
                derived, confused, least = _derived(chosen, contrasts)
                facts[f"{_short(name)}: known least"] = least
                parameters |= {f"{_short(name)}.{key}": value for key, value in derived.items()}
                parameters |= {f"{_short(name)}.{key}": value for key, value in _coefficients(chosen)}
                if doubtful := [key for key, value in derived.items() if not value.identified]:
                    warnings.append(f"{_short(name)}: the data do not determine {', '.join(doubtful)}")
                warnings += [f"{_short(name)}: {text}" for text in confused]
        fitted_text, held_text = main.in_words(table.days)
        return Outcome(
            parameters=parameters,
            structure={"calendar": calendar.as_mapping(), "models": models, "terms": terms, "unit": "MW"},
            fitted=fitted_text,
            held_out=held_text,
            scores=scores,
            figures=figures,
            warnings=warnings,
            facts=facts | self._information(models),
        )

    def _loss(self, task: Task) -> Literal["CV(RMSE)", "MAPE"]:
        """What cross-validation judges by."""
        return "MAPE" if task.file.objective == "MAPE" else "CV(RMSE)"

    def _information(self, models: Mapping[str, Any]) -> dict[str, str]:
        """What each forecast knows when it is made."""
        told = {"Every simulated value uses": "the measured temperature of its time and before, and the calendar"}
        for name, model in models.items():
            if model["memory"]:
                lags = ", ".join(f"{days} d" for days in model["memory"])
                told[f"{name} uses besides"] = (
                    f"the measured load of exactly {lags} before, as the week-before baseline"
                )
        return told

    def _calendar(self, task: Task, table: Table, split: Split) -> LoadCalendar:
        holidays = {np.datetime64(day) for day in self.config.holidays}
        if "holiday" in table.columns:
            holidays |= set(table.days[table.columns["holiday"] > 0.5])
        clock = task.file.data_file("data").time
        days = table.days[split.fit_days(table.days)]
        middle = days[0] + (days[-1] - days[0]) // 2
        return LoadCalendar(
            clock.local or clock.zone,
            np.array(sorted(holidays), dtype="datetime64[D]"),
            {name: tuple(spans) for name, spans in self.config.periods.items()},
            datetime.combine(middle.item(), datetime.min.time()),
        )

    def _fit_all(
        self, task: Task, table: Table, split: Split, names: Sequence[str], calendar: LoadCalendar
    ) -> dict[str, _Fitted]:
        config = self.config
        step = table.step / 3600
        rows_a_day = 86_400 // table.step
        days = table.days
        rows, hidden = split.fit_days(days), split.held_out_days(days)
        temperature = table.columns["temperature"]
        span = (days[rows][-1] - days[rows][0]).astype(int) / 365.25
        blocks = days.astype(np.int64) // 7
        every = max(1, round(config.selection_step * 60 / table.step))
        smoothness = [
            Smoothness(temperature=warm, season=season)
            for warm in config.temperature_smoothness
            for season in config.season_smoothness
        ]
        trials: dict[str, list[Trial]] = {name: [] for name in names}
        known: dict[Structure, Any] = {}
        for lags, season in product(config.lags, config.season):
            structure = Structure(
                lags=lags,
                ranges=tuple(_edges(hours) for hours in lags),
                season=season,
                periods=tuple(config.periods),
                turn_of_year=config.turn_of_year,
                trend=bool(span > LEAST_TREND),
            )
            driven = drivers(structure, calendar, table.wall, temperature, step)
            known[structure] = driven
            task.progress(f"cross-validation, lags {', '.join(f'{hours:g}' for hours in lags)} h")
            loads = np.stack([table.columns[name] for name in names], axis=1)
            found_trials = cross_validate(
                structure,
                driven,
                loads,
                rows,
                split.fold_of(days),
                split.block_of(days),
                config.memory,
                smoothness,
                rows_a_day,
                every,
                self._loss(task),
            )
            for name, tried in zip(names, found_trials, strict=True):
                trials[name] += tried
        found = {}
        for name in names:
            alike = indistinct(trials[name])
            best = alike[0].choice
            structure, driven = best.structure, known[best.structure]
            task.progress(f"{_short(name)}: fit")
            one = fit(
                structure,
                driven,
                table.columns[name],
                rows,
                blocks,
                best.memory,
                best.smoothness,
                rows_a_day,
                hidden,
            )
            log = one.predict(driven)
            with np.errstate(divide="ignore", invalid="ignore"):
                measured = np.log(table.columns[name])
            forecast = with_memory(log, measured, best.memory, rows_a_day)
            found[name] = _Fitted(one, trials[name], len(alike), np.exp(forecast), np.exp(log), rows)
        return found

    def _baselines(self, task: Task, table: Table, name: str, split: Split) -> dict[str, Floats]:
        load, temperature = table.columns[name], table.columns["temperature"]
        fit_rows = split.fit_days(table.days)
        found: dict[str, Floats] = {}
        for key in self.baselines if task.file.baselines is None else task.file.baselines:
            if key == "week before":
                found[key] = baselines.week_before(load, 86_400 // table.step)
            elif key == "degree hours":
                found[key] = baselines.degree_hours(table.wall, temperature, load, fit_rows)
            else:
                found[key] = baselines.hong(table.wall, temperature, load, fit_rows, table.step / 3600)
        return found

    def _figures(
        self,
        label: str,
        name: str,
        table: Table,
        one: _Fitted,
        references: Mapping[str, Floats],
        parts: Mapping[str, Flags],
    ) -> list[Figure]:
        key = next(iter(references), "")
        reference = (key, references[key]) if key else ("", np.full(len(one.forecast), np.nan))
        return series_figures(
            f"{label}{_short(name)}",
            "MW",
            table,
            table.columns[name],
            one.forecast,
            reference,
            parts,
            table.columns["temperature"],
        )

    def _contrasts(
        self, one: Fit, table: Table, calendar: LoadCalendar, name: str, fitted: Flags
    ) -> Iterator[_Contrast]:
        """Quantities that an engineer knows, each a linear function of the coefficients."""
        temperature = table.columns["temperature"]
        driven = drivers(one.structure, calendar, table.wall, temperature, table.step / 3600)
        rows = fitted & np.isfinite(temperature)
        typical = self._at(one, calendar)
        working = rows & (driven.day_type < WORKDAYS)
        lags = one.structure.lags
        for key, hours, share, words in (
            ("hot_sensitivity", (13.0, 18.0), 0.98, "hottest 2 % of working afternoons (13 to 18 h)"),
            ("cold_sensitivity", (17.0, 22.0), 0.02, "coldest 2 % of working evenings (17 to 22 h)"),
        ):
            then = working & (driven.hour >= hours[0]) & (driven.hour < hours[1])
            edge = np.quantile(temperature[then], share)
            then &= temperature >= edge if share > 0.5 else temperature <= edge
            own = driven.rows(then)
            base = design(one.structure, own)[0].mean(axis=0)
            level = float(np.nanmean(table.columns[name][then]))

            def warmer(kelvin: Floats, own: Drivers = own, base: Floats = base, level: float = level) -> Floats:
                """The change (p) of the load [MW] where the temperature's means (lags) are so much higher."""
                changed = replace(own, temperatures=own.temperatures + kelvin)
                return np.asarray(level * (design(one.structure, changed)[0].mean(axis=0) - base))

            at = f"in the {words}, {temperature[then].mean():.0f} degC."
            whole = warmer(np.ones(len(lags)))
            yield _Contrast(key, whole, "MW/K", f"MW for 1 K more, now and in the time before, {at}", len(lags) == 1)
            for number, lag in enumerate(lags if len(lags) > 1 else ()):
                of = f"the mean of {lag:g} h" if lag else "the temperature of the hour"
                note = f"MW for 1 K more of {of} alone, {at}"
                yield _Contrast(f"{key}_{lag:g}h", warmer(np.eye(len(lags))[number]), "MW/K", note)
        sunday, tuesday = typical(11.0, HOLIDAY), typical(11.0, 1)
        note = "Sundays against Tuesday to Thursday, 11:00, 18 degC."
        yield _Contrast("sunday_effect", 100 * (sunday - tuesday), "%", note)
        if one.structure.season:
            august = typical(12.0, 1, day=AUGUST) - typical(12.0, 1)
            note = "Mid-August against mid-February, working days at noon, 18 degC in both."
            yield _Contrast("season_effect", 100 * august, "%", note)
        if one.structure.trend:
            year = typical(12.0, 1, years=1.0) - typical(12.0, 1)
            yield _Contrast("yearly_change", 100 * year, "%/year", "Of the level, besides weather and calendar.")

    def _at(self, one: Fit, calendar: LoadCalendar) -> Callable[..., Floats]:
        """The row (p) of the design matrix at an hour of a day type, at 18 degC, by default in mid-February."""
        anchor = np.array([calendar.middle], "datetime64[s]")
        base = drivers(one.structure, calendar, anchor, np.array([TYPICAL]), 1.0)

        def row(hour: float, kind: int, *, years: float = 0.0, day: float = FEBRUARY) -> Floats:
            at = replace(
                base,
                hour=np.array([hour]),
                day_type=np.array([kind]),
                years=np.array([years]),
                year_day=np.array([day]),
            )
            return np.asarray(design(one.structure, at)[0][0])

        return row


def _derived(one: Fit, contrasts: Sequence[_Contrast]) -> tuple[dict[str, Parameter], list[str], str]:
    """Each contrast with its interval (delta method), what is confused, and the combination known least, in words.

    Two are confused where their estimates are correlated by more than `CONFUSED`: each could be had much more exactly
    if the other were known. Beyond pairs, the combination known least is the eigenvector of the correlation matrix
    with the largest eigenvalue, that of the scaled information with the least.
    """
    rows = np.stack([each.row for each in contrasts])
    covariance = rows @ one.covariance @ rows.T
    deviation = np.sqrt(np.maximum(np.diag(covariance), 1e-300))
    correlation = covariance / np.outer(deviation, deviation)
    parts = [number for number, each in enumerate(contrasts) if each.part]
    partners: dict[int, list[str]] = {number: [] for number in range(len(contrasts))}
    warnings = []
    for first, second in combinations(parts, 2):
        r = float(correlation[first, second])
        if abs(r) > CONFUSED:
            for number, other in ((first, second), (second, first)):
                partners[number].append(f"{contrasts[other].key} (correlation of the estimates {r:+.2f})")
            warnings.append(
                f"{contrasts[first].key} and {contrasts[second].key} can hardly be told apart: the estimates are "
                f"correlated by {r:+.2f}"
            )
    parameters = {}
    for number, each in enumerate(contrasts):
        value, spread = float(each.row @ one.coefficients), Z95 * float(deviation[number])
        weak = float(deviation[number]) > WEAK * abs(value)
        confused = f" Confused with {', '.join(partners[number])}." if partners[number] else ""
        parameters[each.key] = Parameter(
            value=_round(value),
            unit=each.unit,
            interval=(_round(value - spread), _round(value + spread)),
            identified=not weak and not confused,
            note=each.note + (" Its sign is in doubt." if weak else "") + confused,
        )
    size, direction = (x[..., -1] for x in np.linalg.eigh(correlation[np.ix_(parts, parts)]))
    large = [(share, contrasts[parts[k]].key) for k, share in enumerate(direction) if abs(share) > TAKES_PART]
    told = " ".join(f"{share * np.sign(large[0][0]):+.2f} {key}" for share, key in large)
    least = f"{told} (each over its standard deviation; variance {size:.1f} of {len(parts)}, 1 each if uncorrelated)"
    return parameters, warnings, least


def _unfit(task: Task, table: Table) -> Iterator[Fault]:
    """What the model cannot be fitted to: steps that are no part of an hour, loads without a logarithm."""
    data = task.file.data_file("data")
    if table.step > 3600 or 3600 % table.step:
        problem = f"has a row each {table.step / 60:g} min."
        yield Fault(f"{data.file.name}, {data.time.column}", problem, "Give means over an hour or a whole part of it.")
    for name, values in table.columns.items():
        if name.startswith("load") and (zero := np.flatnonzero(values == 0)).size:
            place = f"{data.file.name}, {data.columns[name].column}"
            problem = f"is 0 in {len(zero):,} rows, first in row {zero[0] + 1}: an outage or a meter that was off."
            yield Fault(place, problem, "Give the column a range without 0: they count as outliers and are left out.")


def _coefficients(one: Fit) -> Iterator[tuple[str, Parameter]]:
    """The coefficients of ln of the load, by term; each interval is that of the distance from the term's mean.

    Constants can move between the terms without any change of the load, so that alone no coefficient is determined.
    """
    yield "mean", Parameter(value=_round(one.mean), note="Of ln of the load in MW.")
    for term in one.terms:
        values = one.coefficients[term.columns]
        centre = np.eye(len(values)) - (1 / len(values) if len(values) > 1 else 0.0)
        own = centre @ one.covariance[term.columns, term.columns] @ centre
        spread = Z95 * np.sqrt(np.maximum(np.diag(own), 0.0))
        effective = float(np.trace(one.information[term.columns, term.columns]))
        count = len(values)
        yield (
            term.name,
            Parameter(
                value=_rounds(values),
                interval=(_rounds(values - spread), _rounds(values + spread)),
                identified=effective > 0.1 * count,
                note=f"Coefficients of ln load; the data determine {effective:.1f} of {count}, penalties the rest.",
            ),
        )


def _in_words(one: _Fitted) -> str:
    """What cross-validation chose, and how much it matters."""
    errors = sorted(trial.error for trial in one.trials)
    fitted = one.fit
    memory = ", ".join(f"{weight:.2g} of {days} d before" for days, weight in fitted.memory.items()) or "none"
    smooth, lags = fitted.smoothness, ", ".join(f"{hours:g}" for hours in fitted.structure.lags)
    return (
        f"lags {lags} h; memory {memory}; smoothness over temperature {smooth.temperature:.3g}, over the year "
        f"{smooth.season:.3g} (of {fitted.structure.season} functions): of {len(errors)} choices that with the "
        f"least cross-validated error, {errors[0]:.2f} % (the worst {errors[-1]:.2f} %); within one standard error of "
        f"it: {one.alike - 1}"
    )


def _edges(hours: float) -> tuple[float, float]:
    """Between which temperatures knots stand; means over longer times vary less."""
    nearest = min(EDGES, key=lambda known: abs(known - hours))
    return EDGES[nearest]


def _short(name: str) -> str:
    return name.removeprefix("load").lstrip("_") or "load"


def _round(value: float) -> float:
    return float(f"{value:.5g}")


def _rounds(values: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(_round(float(value)) for value in values)
