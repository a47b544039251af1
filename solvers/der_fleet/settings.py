"""The settings of each DER: names, defaults by category, allowed ranges, utility profiles.

Names are those of `solvers/ieee1547_tables.py`; `UV1_trip_V_pu`, `UV1_trip_s`, `OF1_trip_Hz`, `OF1_trip_s` and so on
for the shall-trip elements; those of `OWN` below for what the standard leaves to the maker.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import inf
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from solvers.der_fleet.arrays import Booleans, Floats, Integers
from solvers.ieee1547_tables import (
    ABNORMAL_CATEGORIES,
    CEASE_RESPONSE,
    MOMENTARY_CESSATION_RESPONSE,
    NORMAL_CATEGORIES,
    PHASE_JUMP_CESSATION,
    PHASE_JUMP_POSITIVE_SEQUENCE,
    PROFILES,
    RANDOM_DELAY_CAPACITY,
    REACTIVE_CAPABILITY,
    RESTORE_TIME,
    ROCOF,
    SETTINGS,
    Edition,
    Profile,
    trip_settings,
)

ReactiveMode: TypeAlias = Literal["constant_power_factor", "constant_reactive_power", "volt_var", "watt_var"]
MayTrip: TypeAlias = Literal["never", "at_once", "random"]

#: Choices: name -> what may be chosen, the default first.
CHOICES: Final[Mapping[str, tuple[str, ...]]] = {
    "category": ("III", "II", "I"),
    "normal_category": ("B", "A"),
    "reactive_mode": ("constant_power_factor", "constant_reactive_power", "volt_var", "watt_var"),
    "priority": ("reactive", "active"),  # beyond Table 7's reactive power, which always goes first
    "may_trip": ("never", "at_once", "random"),
}

#: Switches: name -> default.
FLAGS: Final[Mapping[str, bool]] = {
    "three_phase": True,
    "phase_to_phase": False,  # the phase-to-phase voltages apply as well
    "battery": False,
    "ES_permit_service": True,
    "ES_randomised": False,  # a randomised delay instead of the ramp
    "PF_absorbing": False,
    "VV_auto_Vref": False,
    "VW_enabled": False,
    "FD_enabled": True,
    "AP_limit_enabled": False,
    "RT_permissive_ceases": False,  # in permissive operation: cease, else go on
    "Q_reduced_at_low_power": True,  # Table 7's reduction below 20 % of active power
}


@dataclass(frozen=True)
class Own:
    """A number that the standard leaves to the DER's maker or only bounds."""

    name: str
    unit: str
    default: float
    low: float
    high: float
    meaning: str


OWN: Final[tuple[Own, ...]] = (
    Own("rating_kVA", "kVA", 100.0, 0.0, inf, "nameplate apparent power"),
    Own("P_min_pu", "pu", 0.0, 0.0, 1.0, "least active power"),
    Own("P_charge_max_pu", "pu", 1.0, 0.0, 1.0, "charging power of a battery"),
    Own("I_max_pu", "pu", 1.2, 1.0, inf, "current limit; 1.2 as DER_A's Imax and OpenDER"),
    Own("MC_V_low_pu", "pu", 0.5, 0.0, 0.88, "Category III: momentary cessation below; movable by mutual agreement"),
    Own("MC_response_s", "s", 0.05, 0.0, MOMENTARY_CESSATION_RESPONSE.value, "time to momentary cessation"),
    Own("CE_response_s", "s", 0.10, 0.0, CEASE_RESPONSE.value, "time to cease to energize"),
    Own("RT_recovery_s", "s", 0.4, 0.0, RESTORE_TIME.value, "ramp back to full output; 80 % is reached at 4/5 of it"),
    Own("PJ_cessation_s", "s", 0.0, 0.0, PHASE_JUMP_CESSATION.value, "momentary cessation after a phase-angle jump"),
    Own("ROCOF_trip_Hz_s", "Hz/s", inf, 0.0, inf, "trips above (a legacy relay); inf: never"),
    Own("PJ_trip_deg", "deg", inf, PHASE_JUMP_POSITIVE_SEQUENCE.value, inf, "trips above (vector shift); inf: never"),
    Own("may_trip_probability", "1", 0.5, 0.0, 1.0, "may_trip random: probability that a unit trips in a disturbance"),
    Own("storage_h", "h", inf, 0.0, inf, "battery: hours at nameplate power between empty and full"),
    Own("storage_efficiency", "1", 1.0, 0.0, 1.0, "battery: of charging"),
    Own("storage_start_pu", "pu", 0.5, 0.0, 1.0, "battery: state of charge at the start"),
)

_TRIP_ELEMENTS: Final = tuple((row.element, row.quantity) for row in trip_settings("I"))


def trip_names(element: str) -> tuple[str, str]:
    """The names of an element's threshold and clearing time."""
    unit = "V_pu" if element[1] == "V" else "Hz"
    return f"{element}_trip_{unit}", f"{element}_trip_s"


@dataclass(frozen=True)
class Range:
    """Default and allowed range of one setting for one pair of categories."""

    default: float
    low: float
    high: float
    unit: str


def setting_range(name: str, category: str, normal_category: str, edition: Edition = "1547a-2020") -> Range:
    """Default and range of the number `name`. Raises KeyError for an unknown name."""
    for own in OWN:
        if own.name == name:
            low = own.low
            if name == "ROCOF_trip_Hz_s":
                low = next(row.value for row in ROCOF if row.category == category)
            return Range(own.default, low, own.high, own.unit)
    for limit in REACTIVE_CAPABILITY:
        if limit.category == normal_category and name in ("Q_max_inject_pu", "Q_max_absorb_pu"):
            least = limit.inject if name == "Q_max_inject_pu" else limit.absorb
            return Range(least, least, 1.0, "pu")
    for trip in TRIP_ROWS[edition]:
        if trip.category == category and name in trip_names(trip.element):
            if name.endswith("_s"):
                return Range(trip.clearing, *trip.clearing_range, "s")
            return Range(trip.threshold, *trip.threshold_range, "pu" if trip.quantity == "voltage" else "Hz")
    for row in SETTINGS:
        if row.name == name and row.category in (None, category, normal_category):
            default = 0.0 if name == "VW_P2_pu" else row.default  # the lesser of 0.2 and P_min_pu; see fleet_settings
            return Range(default, row.low, row.high, row.unit)
    raise KeyError(name)


TRIP_ROWS: Final = {
    edition: tuple(row for category in ABNORMAL_CATEGORIES for row in trip_settings(category, edition))
    for edition in ("2018", "1547a-2020")
}
NUMBERS: Final[tuple[str, ...]] = tuple(
    dict.fromkeys(
        [
            *(name for element, _ in _TRIP_ELEMENTS for name in trip_names(element)),
            *(row.name for row in SETTINGS),
            "Q_max_inject_pu",
            "Q_max_absorb_pu",
            *(own.name for own in OWN),
        ]
    )
)


class SettingsError(ValueError):
    """Settings that no DER may have; the text names every one, what is allowed and what came."""


@dataclass(frozen=True)
class FleetSettings:
    """The settings of `n` DER: one array (n,) for each name."""

    n: int
    numbers: Mapping[str, Floats]  #: by the names in NUMBERS
    flags: Mapping[str, Booleans]  #: by the names in FLAGS
    choices: Mapping[str, NDArray[np.str_]]  #: by the names in CHOICES
    edition: Edition

    def __getitem__(self, name: str) -> Floats:
        return self.numbers[name]

    def is_(self, name: str, choice: str) -> Booleans:
        """(n,) which DER have chosen `choice` of `name`."""
        return np.asarray(self.choices[name] == choice)

    @property
    def category(self) -> Integers:
        """(n,) index into ABNORMAL_CATEGORIES."""
        return np.searchsorted(ABNORMAL_CATEGORIES, self.choices["category"])

    def changed(self, values: Mapping[str, ArrayLike], which: Booleans, *, check: bool = True) -> FleetSettings:
        """A copy with `values` at the DER where `which` (n,) is true; categories, which set defaults, stay.

        Raises SettingsError as `fleet_settings` does.
        """
        merged: dict[str, ArrayLike] = {**self.choices, **self.flags, **self.numbers}
        for name, value in values.items():
            _known(name)
            if name in ("category", "normal_category"):
                raise SettingsError(f"'{name}' cannot change while a DER runs; start another fleet with it")
            merged[name] = np.where(which, np.asarray(value), merged[name])
        return fleet_settings(self.n, merged, edition=self.edition, check=check)


def _known(name: str) -> None:
    if name not in CHOICES and name not in FLAGS and name not in NUMBERS:
        similar = [known for known in (*CHOICES, *FLAGS, *NUMBERS) if known.lower()[:3] == name.lower()[:3]]
        raise SettingsError(f"there is no setting '{name}'. Did you mean one of: {', '.join(similar) or 'none'}?")


def profile(name: str) -> Profile:
    """A utility's or state's profile. Raises SettingsError for an unknown name."""
    for known in PROFILES:
        if known.name.lower() == name.lower():
            return known
    raise SettingsError(f"there is no profile '{name}'. Use one of: {', '.join(known.name for known in PROFILES)}.")


def fleet_settings(
    n: int,
    values: Mapping[str, ArrayLike] | None = None,
    *,
    profile_name: str | None = None,
    edition: Edition = "1547a-2020",
    check: bool = True,
) -> FleetSettings:
    """Settings of `n` DER: the defaults of each one's categories, then a profile, then `values`.

    `values`: by name, one for all or an array (n,); NaN keeps a number's default. Raises SettingsError for an unknown
    name or choice, and (unless `check` is false) for a number outside the range that its category and `edition` allow.
    """
    given = dict(values or {})
    for name in given:
        _known(name)
    profiled: dict[str, ArrayLike] = {}
    if profile_name is not None:
        chosen = profile(profile_name)
        profiled = {"category": chosen.category, **chosen.values}
    merged = {**profiled, **given}
    choices = {name: _choice(name, merged.get(name, known[0]), n) for name, known in CHOICES.items()}
    flags = {name: _flag(name, merged.get(name, default), n) for name, default in FLAGS.items()}
    kinds = list(_kinds(choices))
    numbers: dict[str, Floats] = {}
    for name in NUMBERS:
        numbers[name] = np.empty(n)
        for category, normal, rows in kinds:
            numbers[name][rows] = setting_range(name, category, normal, edition).default
    for layer in (profiled, given):  # NaN in `given` leaves what the profile says
        for name, value in layer.items():
            if name in numbers:
                number = _number(name, value, n)
                numbers[name] = np.where(np.isnan(number), numbers[name], number)
    if "VW_P2_pu" not in merged:
        numbers["VW_P2_pu"] = np.minimum(0.2, numbers["P_min_pu"])
    settings = FleetSettings(n, numbers, flags, choices, edition)
    if check:
        faults = range_faults(settings)
        if faults:
            raise SettingsError(
                "\n".join(faults) + "\nCorrect them, choose another category or edition, or do without the check."
            )
    return settings


def _number(name: str, value: ArrayLike, n: int) -> Floats:
    try:
        return np.broadcast_to(np.asarray(value, dtype=np.float64), (n,)).copy()
    except (TypeError, ValueError):
        raise SettingsError(f"'{name}' must be a number (one or {n} of them), got {value!r}") from None


def _flag(name: str, value: ArrayLike, n: int) -> Booleans:
    array = np.asarray(value)
    if array.dtype != np.bool_ or array.shape not in ((), (1,), (n,)):
        raise SettingsError(f"'{name}' must be true or false (one or {n} of them), got {value!r}")
    return np.broadcast_to(array, (n,)).copy()


def _choice(name: str, value: ArrayLike, n: int) -> NDArray[np.str_]:
    array = np.broadcast_to(np.asarray(value, dtype=np.str_), (n,)).copy()
    wrong = sorted(set(array.tolist()) - set(CHOICES[name]))
    if wrong:
        raise SettingsError(f"'{name}' must be one of {', '.join(CHOICES[name])}, got {', '.join(wrong)}")
    return array


def _kinds(choices: Mapping[str, NDArray[np.str_]]) -> Iterator[tuple[str, str, Booleans]]:
    for category in ABNORMAL_CATEGORIES:
        for normal in NORMAL_CATEGORIES:
            rows = (choices["category"] == category) & (choices["normal_category"] == normal)
            if rows.any():
                yield category, normal, rows


def range_faults(settings: FleetSettings) -> list[str]:
    """What lies outside its allowed range: one line for each setting and category; none when all is well."""
    faults = []
    for category, normal, rows in _kinds(settings.choices):
        for name in NUMBERS:
            allowed = setting_range(name, category, normal, settings.edition)
            came = settings.numbers[name][rows]
            wrong = ~((came >= allowed.low - 1e-12) & (came <= allowed.high + 1e-12))
            if wrong.any():
                faults.append(
                    f"{name}: Category {category}/{normal} ({settings.edition}) allows {allowed.low:g} to "
                    f"{allowed.high:g} {allowed.unit}, got {came[wrong][0]:g} ({int(wrong.sum())} DER)"
                )
    for low, high, gap in (
        ("VV_V1_pu", "VV_V2_pu", 0.02),
        ("VV_V2_pu", "VV_V3_pu", 0.0),
        ("VV_V3_pu", "VV_V4_pu", 0.02),
    ):
        if (settings[high] - settings[low] < gap - 1e-12).any():
            faults.append(f"{high}: must be at least {gap:g} pu above {low}")
    if (settings["VW_V2_pu"] - settings["VW_V1_pu"] < 0.01 - 1e-12).any():
        faults.append("VW_V2_pu: must be at least 0.01 pu above VW_V1_pu")
    if (settings.flags["ES_randomised"] & (settings["rating_kVA"] >= RANDOM_DELAY_CAPACITY)).any():
        faults.append(f"ES_randomised: is for DER below {RANDOM_DELAY_CAPACITY:g} kVA")
    return faults
