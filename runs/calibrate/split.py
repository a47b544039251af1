"""Which days a calibration fits to, which it is scored on and never sees, and which events are shown apart."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from cosim.settings import Settings

Days = NDArray[np.datetime64]  #: datetime64[D]
Flags = NDArray[np.bool_]

Period = tuple[date, date]  #: first and last day, both included

FIT, HELD_OUT = "fit", "held-out"


class Split(Settings):
    """Days (of the local wall clock) to fit to and days held out. What is not held out is fitted to.

    Nothing of a held-out day may reach the fit: periods that overlap are refused.
    """

    fit: tuple[Period, ...] = ()
    """Periods to fit to, each [first day, last day]; none: every day of the data that is not held out."""
    held_out: tuple[Period, ...] = ()
    """Periods that the fit never sees, each [first day, last day]."""
    held_out_weeks: int | None = Field(default=None, ge=2)
    """ISO weeks whose number this divides are held out as well, as far as `fit` does not leave them out anyway."""
    events: dict[str, Period] = Field(default_factory=dict)
    """Event days within what is held out, scored and drawn by themselves: name -> [first day, last day]."""
    folds: int = Field(default=4, ge=2, le=52)
    """Blocked cross-validation within the fit chooses what is not fitted (knots, penalties, lags): so many parts,
    each of whole blocks of days."""
    block_days: int = Field(default=7, ge=1, le=366)
    """Days of a block of the cross-validation."""

    @model_validator(mode="after")
    def _no_leak(self) -> Split:
        if not self.held_out and self.held_out_weeks is None:
            raise ValueError("must hold something out: give held_out periods or held_out_weeks")
        for first, last in (*self.fit, *self.held_out, *self.events.values()):
            if last < first:
                raise ValueError(f"a period's last day must not come before its first, got {first} to {last}")
        for mine in self.fit:
            for other in self.held_out:
                if common := _common(mine, other):
                    raise ValueError(
                        f"held-out days leak into the fit: {common[0]} to {common[1]} are in both fit and held_out; "
                        "shorten one of the two periods"
                    )
        for one, two in combinations(self.fit, 2):
            if common := _common(one, two):
                raise ValueError(f"two fit periods share {common[0]} to {common[1]}; count each day once")
        for name, period in self.events.items():
            for mine in self.fit:
                if common := _common(mine, period):
                    raise ValueError(
                        f"held-out days leak into the fit: {common[0]} to {common[1]} of the event '{name}' "
                        "are in fit; an event must be held out"
                    )
        return self

    def held_out_days(self, days: Days) -> Flags:
        """Which of `days` (n) are held out."""
        found = _within(days, self.held_out)
        if self.held_out_weeks is not None:
            inside = _within(days, self.fit) | found if self.fit else np.ones(len(days), np.bool_)
            found |= inside & (iso_weeks(days) % self.held_out_weeks == 0)
        return found

    def fit_days(self, days: Days) -> Flags:
        """Which of `days` (n) may be fitted to; none of them is held out."""
        wanted = _within(days, self.fit) if self.fit else np.ones(len(days), np.bool_)
        return np.asarray(wanted & ~self.held_out_days(days))

    def event_days(self, name: str, days: Days) -> Flags:
        """Which of `days` (n) belong to the event `name`."""
        return _within(days, [self.events[name]])

    def fold_of(self, days: Days) -> NDArray[np.int64]:
        """The fold (0 ... folds - 1) of each of `days` (n): blocks of whole days in turn."""
        return self.block_of(days) % self.folds

    def block_of(self, days: Days) -> NDArray[np.int64]:
        """The number of the block of whole days in which each of `days` (n) lies."""
        return np.asarray(days.astype("datetime64[D]").astype(np.int64) // self.block_days)

    def in_words(self, days: Days) -> tuple[str, str]:
        """What is fitted and what is held out of `days` (n), in words."""
        fitted = _spans(self.fit) if self.fit else f"{days.min()} to {days.max()}"
        held = [_spans(self.held_out)] if self.held_out else []
        if self.held_out_weeks is not None:
            weeks = f"ISO weeks divisible by {self.held_out_weeks}"
            held.append(weeks)
        without = "" if self.fit and self.held_out_weeks is None else f" without {' and '.join(held)}"
        return fitted + without, " and ".join(held)


def iso_weeks(days: Days) -> NDArray[np.int64]:
    """The ISO 8601 week number (1 ... 53) of each of `days` (n)."""
    day = days.astype("datetime64[D]").astype(np.int64)
    thursday = day - (day + 3) % 7 + 3  # 1 January 1970 was a Thursday: Monday is (day + 3) % 7 == 0
    year = thursday.astype("datetime64[D]").astype("datetime64[Y]").astype("datetime64[D]").astype(np.int64)
    return np.asarray((thursday - year) // 7 + 1)


def _within(days: Days, periods: tuple[Period, ...] | list[Period]) -> Flags:
    found = np.zeros(len(days), np.bool_)
    for first, last in periods:
        found |= (days >= np.datetime64(first)) & (days < np.datetime64(last + timedelta(days=1)))
    return found


def _common(one: Period, two: Period) -> Period | None:
    first, last = max(one[0], two[0]), min(one[1], two[1])
    return (first, last) if first <= last else None


def _spans(periods: tuple[Period, ...]) -> str:
    return ", ".join(str(first) if first == last else f"{first} to {last}" for first, last in periods)
