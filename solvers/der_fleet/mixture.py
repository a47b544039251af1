"""Settings of a fleet whose DER were installed in different years and places: each has one of several makes.

A make is a category of IEEE 1547-2018 with its defaults ("I", "II", "III"), a utility's or state's profile, or one of
`legacy.py` for DER from before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from solvers.der_fleet.arrays import Integers
from solvers.der_fleet.legacy import LEGACIES
from solvers.der_fleet.settings import CHOICES, FLAGS, FleetSettings, SettingsError, fleet_settings, profile
from solvers.ieee1547_tables import ABNORMAL_CATEGORIES, PROFILES

MAKES: Final = (*ABNORMAL_CATEGORIES, *(known.name for known in PROFILES), *LEGACIES)


def make_settings(make: str) -> dict[str, float | bool | str]:
    """What a make sets, by setting name. Raises SettingsError for an unknown one."""
    if make in ABNORMAL_CATEGORIES:
        return {"category": make}
    if make in LEGACIES:
        return dict(LEGACIES[make])
    if make not in MAKES:
        raise SettingsError(f"there is no make '{make}' of DER. Use one of: {', '.join(MAKES)}.")
    chosen = profile(make)
    return {"category": chosen.category, **chosen.values}


def spread_makes(n: int, shares: Mapping[str, float], random: np.random.Generator) -> tuple[str, ...]:
    """(n,) a make for each DER: as many of each as its share asks for (largest remainders), in a drawn order.

    Raises SettingsError where a make is unknown or the shares do not add up to 1.
    """
    for make in shares:
        make_settings(make)
    share = np.array(list(shares.values()), dtype=np.float64)
    if not len(share) or (share < 0.0).any() or abs(share.sum() - 1.0) > 1e-6:
        raise SettingsError(f"the shares must be positive and add up to 1, got {dict(shares)}")
    counts = largest_remainders(share, n)
    names = [make for make, count in zip(shares, counts.tolist(), strict=True) for _ in range(count)]
    return tuple(names[k] for k in random.permutation(n).tolist())


def largest_remainders(weight: ArrayLike, total: int) -> Integers:
    """Whole numbers that add up to `total`, as near as can be in proportion to `weight`."""
    exact = np.asarray(weight, dtype=np.float64)
    exact = exact / exact.sum() * total
    counts: Integers = np.floor(exact + 1e-9).astype(np.intp)
    order = np.argsort(-(exact - counts), kind="stable")
    counts[order[: total - int(counts.sum())]] += 1
    return counts


def mixed_settings(makes: Sequence[str], values: Mapping[str, ArrayLike] | None = None) -> FleetSettings:
    """Settings of DER of these `makes`; `values` by name, one for all or (n,), stand above them (NaN: no change).

    Raises SettingsError as `fleet_settings` does; the ranges of the 2018 standard do not hold for legacies.
    """
    n = len(makes)
    merged: dict[str, ArrayLike] = {}
    of_make = {make: make_settings(make) for make in dict.fromkeys(makes)}
    for name in dict.fromkeys(name for settings in of_make.values() for name in settings):
        merged[name] = np.array([of_make[make].get(name, _unset(name)) for make in makes])
    for name, value in (values or {}).items():
        earlier = merged.get(name)
        given = np.broadcast_to(np.asarray(value), (n,))
        if earlier is not None and given.dtype.kind == "f":
            given = np.where(np.isnan(given), np.asarray(earlier), given)
        merged[name] = given
    settings = fleet_settings(n, merged, check=False)
    new = np.array([make not in LEGACIES for make in makes])
    if new.any():  # only for its faults
        fleet_settings(int(new.sum()), {name: np.asarray(value)[new] for name, value in merged.items()})
    return settings


def join_settings(parts: Sequence[FleetSettings]) -> FleetSettings:
    """The settings of several groups of DER, one group after the other; of one edition, which is the first one's."""
    return FleetSettings(
        sum(part.n for part in parts),
        {name: np.concatenate([part.numbers[name] for part in parts]) for name in parts[0].numbers},
        {name: np.concatenate([part.flags[name] for part in parts]) for name in parts[0].flags},
        {name: np.concatenate([part.choices[name] for part in parts]) for name in parts[0].choices},
        parts[0].edition,
    )


def _unset(name: str) -> float | bool | str:
    """What leaves a setting at its default."""
    if name in CHOICES:
        return CHOICES[name][0]
    return FLAGS[name] if name in FLAGS else float("nan")
