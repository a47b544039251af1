"""What was varied in a batch, what came out, and how strongly one goes with the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cosim.batch_folder import FIGURE, PARAMETER, Batch

if TYPE_CHECKING:
    import pandas

Floats = NDArray[np.float64]

GOOD = "good"
GROUP = "group"  #: the table's column
LONG = 26  #: so many characters of a value are shown
LABELS = ("bus", "generator", "branch", "link")  #: settings whose numbers are names
NOISE = 1e-12  #: of a figure's largest value, below which it is rounding
TOGETHER = 0.95  #: from this rank correlation on two parameters cannot be told apart


@dataclass(frozen=True)
class Factor:
    """Something that differs between the runs: a parameter, or the group.

    Of a `nominal` one the values have no order: texts, groups, seeds.
    """

    name: str
    column: str
    unit: str
    values: pandas.Series  #: of all runs
    nominal: bool
    is_seed: bool = False

    @property
    def title(self) -> str:
        """Its name with its unit in brackets."""
        return f"{self.name} [{self.unit}]" if self.unit else self.name

    @property
    def is_number(self) -> bool:
        """Whether its values can stand on a scale: seeds can, without meaning."""
        return self.values.dtype.kind in "iuf"

    def codes(self, chosen: Any) -> tuple[NDArray[np.intp], list[str]]:
        """The number (run,) of each chosen run's value, and the values as text; missing values are one of their own."""
        import pandas

        values = self.values[chosen]
        found, names = pandas.factorize(values, sort=self.is_number, use_na_sentinel=False)
        return found, [shown(value) for value in names]


@dataclass(frozen=True)
class Figure:
    """A summary figure of all runs."""

    name: str
    title: str
    unit: str
    values: Floats  #: (run,), NaN where a run has none


class Outcome:
    """A batch, read for its report."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        self.table = batch.table

    @cached_property
    def good(self) -> NDArray[np.bool_]:
        """Which runs count, (run,): those that ran to a good end."""
        return np.asarray(self.table["outcome"] == GOOD)

    @cached_property
    def groups(self) -> list[str]:
        """The groups, in order; empty where there are not at least two."""
        found = [str(name) for name in self.table[GROUP].unique()]
        return found if len(found) > 1 else []

    @cached_property
    def factors(self) -> list[Factor]:
        """All that differs between the runs."""
        found = [Factor(GROUP, GROUP, "", self.table[GROUP], nominal=True)] if self.groups else []
        for name, entry in self.batch.description["parameters"].items():
            values = self.table[PARAMETER + name]
            if values.nunique(dropna=False) > 1:
                setting = entry["path"].rpartition(".")[2]
                seed = setting == "seed"
                if setting in LABELS:
                    values = values.astype(str)
                nominal = seed or values.dtype.kind not in "iuf"
                found.append(Factor(name, PARAMETER + name, entry["unit"], values, nominal=nominal, is_seed=seed))
        return found

    @cached_property
    def constant(self) -> dict[str, str]:
        """The parameters that have one value in all finished runs."""
        varied = {factor.name for factor in self.factors}
        names = [name for name in self.batch.parameters if name not in varied and len(self.table)]
        return {name: shown(self.table[PARAMETER + name].iloc[0]) for name in names}

    @cached_property
    def figures(self) -> list[Figure]:
        """All summary figures that at least one good run has."""
        found = [
            Figure(name, entry["title"], unit_text(entry["unit"]), _clean(self.table[FIGURE + name]))
            for name, entry in self.batch.description["figures"].items()
        ]
        return [figure for figure in found if np.isfinite(figure.values[self.good]).any()]

    def counted(self, figure: Figure) -> NDArray[np.bool_]:
        """The good runs that have the figure, (run,)."""
        return self.good & np.isfinite(figure.values)


def _clean(values: pandas.Series) -> Floats:
    """As numbers (run,), those that are but rounding 0."""
    found = values.to_numpy(dtype=float)
    size = np.abs(found)
    most = float(size[np.isfinite(size)].max(initial=0.0))
    return np.where(size < NOISE * most, 0.0, found)


def unit_text(unit: str) -> str:
    """A unit for the eye: a number without one needs no `1`."""
    return "" if unit == "1" else unit


def shown(value: Any) -> str:
    """A parameter's value, short enough for an axis."""
    if value is None or value != value:
        return "none"
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text if len(text) <= LONG else text[: LONG - 1] + "…"


# ----------------------------------------------------------------------------------------- strength


def rank_correlation(first: Floats, second: Floats) -> float:
    """Spearman's rank correlation [1] of two series (run,); NaN where one does not vary.

    Ties share their mean rank. C. Spearman, The American Journal of Psychology 15 (1904), 72-101.
    """
    from scipy.stats import rankdata

    ranks = [rankdata(values) - (len(values) + 1) / 2 for values in (first, second)]
    norm = float(np.sqrt((ranks[0] @ ranks[0]) * (ranks[1] @ ranks[1])))
    return float(ranks[0] @ ranks[1]) / norm if norm > 0 else np.nan


def between_values(codes: NDArray[np.intp], values: Floats) -> float:
    """How much of the ranks of `values` (run,) goes with a grouping `codes` (run,): the root of epsilon squared [1].

    Epsilon squared is the share of variance between the groups less what chance alone would give, so it is 0 for
    groups that mean nothing, however many there are. T. L. Kelley, Proceedings of the National Academy of Sciences 21
    (1935), 554-559. NaN where each run has a value of its own, or nothing varies.
    """
    from scipy.stats import rankdata

    groups = np.unique(codes).size
    total = rankdata(values) - (len(values) + 1) / 2
    whole = float(total @ total)
    if groups < 2 or len(values) <= groups or whole == 0:
        return np.nan
    counts, sums = np.bincount(codes), np.bincount(codes, weights=total)
    between = float((sums[counts > 0] ** 2 / counts[counts > 0]).sum())
    share = 1 - (1 - between / whole) * (len(values) - 1) / (len(values) - groups)
    return float(np.sqrt(max(share, 0.0)))


@dataclass(frozen=True)
class Strength:
    """How strongly a figure goes with a factor."""

    value: float  #: from -1 to 1 [1]; NaN where it cannot be told
    signed: bool  #: a rank correlation; else the root of epsilon squared

    @property
    def size(self) -> float:
        """Without its sign; 0 where it cannot be told."""
        return abs(self.value) if np.isfinite(self.value) else 0.0

    @property
    def text(self) -> str:
        """As it stands in the page."""
        if not np.isfinite(self.value):
            return "–"
        return f"ρ {self.value:+.2f}" if self.signed else f"ε {self.value:.2f}"


def strength(factor: Factor, figure: Figure, counted: NDArray[np.bool_]) -> Strength:
    """Of an ordered factor the rank correlation, of a nominal one the root of epsilon squared."""
    values = figure.values[counted]
    if factor.nominal or factor.values[counted].isna().any():
        return Strength(between_values(factor.codes(counted)[0], values), signed=False)
    return Strength(rank_correlation(factor.values[counted].to_numpy(dtype=float), values), signed=True)


def by_strength(factors: Sequence[Factor], figure: Figure, counted: NDArray[np.bool_]) -> list[tuple[Factor, Strength]]:
    """The factors with their strengths, the strongest first."""
    pairs = [(factor, strength(factor, figure, counted)) for factor in factors]
    return sorted(pairs, key=lambda pair: -pair[1].size)


def together(outcome: Outcome) -> Iterator[tuple[str, str]]:
    """Pairs of ordered parameters that change together, so that their effects cannot be told apart."""
    ordered = [factor for factor in outcome.factors if not factor.nominal and not factor.values.isna().any()]
    for first, second in combinations(ordered, 2):
        found = rank_correlation(first.values.to_numpy(dtype=float), second.values.to_numpy(dtype=float))
        if abs(found) >= TOGETHER:
            yield first.name, second.name
