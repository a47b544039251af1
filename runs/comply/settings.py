"""What a DER is held to: its category, its settings against their allowed ranges, and how readings are trusted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from cosim.errors import Fault, ScenarioError
from cosim.settings import Settings
from solvers import ieee1547_tables as tables
from solvers.ieee1547_tables import AbnormalCategory, Citation, Edition, NormalCategory, TripSetting

ReactiveMode = Literal["volt_var", "watt_var", "constant_power_factor", "constant_reactive_power"]
Value = bool | float

#: Switches that say which function is on, beside `reactive_mode`.
SWITCHES = ("VW_enabled", "FD_enabled", "VV_auto_Vref", "ES_randomised", "AP_limit_enabled", "PF_absorbing")
#: What a settings file may say of how a DER is made or modelled; nothing is judged by it.
MAKERS_OWN = (
    *("three_phase", "phase_to_phase", "battery", "ES_permit_service", "RT_permissive_ceases", "priority", "may_trip"),
    *("Q_reduced_at_low_power", "P_min_pu", "P_charge_max_pu", "I_max_pu", "MC_V_low_pu", "MC_response_s"),
    *("CE_response_s", "RT_recovery_s", "PJ_cessation_s", "ROCOF_trip_Hz_s", "PJ_trip_deg", "may_trip_probability"),
    *("storage_h", "storage_efficiency", "storage_start_pu", "Q_max_inject_pu", "Q_max_absorb_pu"),
)


@dataclass(frozen=True)
class Element:
    """A shall-trip element as it is set."""

    row: TripSetting
    threshold: float  #: [pu] or [Hz]
    clearing: float  #: [s]

    @property
    def name(self) -> str:
        return self.row.element

    @property
    def over(self) -> bool:
        return self.row.over


class Held(Settings):
    """What one DER is held to."""

    make: str = ""
    """What it was made as, in words, for example 1547-2003; nothing is judged by it."""
    category: AbnormalCategory
    """Abnormal operating performance category."""
    normal_category: NormalCategory = "B"
    """Normal operating performance category."""
    reactive_mode: ReactiveMode | None = None
    """The reactive-power mode in force; None: not stated."""
    edition: Edition = "1547a-2020"
    """Edition of the standard."""
    rating_kVA: float | None = Field(None, gt=0.0)  # noqa: N815 - the settings' name
    """Nameplate apparent power [kVA]; None: not known, taken as below 500 kVA."""
    accuracy: Literal["table 3", "exact"] = "table 3"
    """Whether readings are trusted to the accuracy of Table 3 only, or exactly."""
    values: dict[str, Value] = Field(default_factory=dict)
    """Settings by name that differ from the defaults."""

    @cached_property
    def elements(self) -> tuple[Element, ...]:
        """The shall-trip elements as set, in the tables' order."""
        return tuple(
            Element(
                row,
                float(self.values.get(threshold_name(row), row.threshold)),
                float(self.values.get(f"{row.element}_trip_s", row.clearing)),
            )
            for row in tables.trip_settings(self.category, self.edition)
        )

    def number(self, name: str) -> float:
        """A setting's value, or its default for these categories."""
        value = self.values.get(name)
        return tables.setting(name, self.category, self.normal_category).default if value is None else float(value)

    def citation(self, name: str) -> Citation:
        """Where a setting's default and range stand."""
        return tables.setting(name, self.category, self.normal_category).citation

    def switched(self, name: str) -> bool | None:
        """Whether a function is on; None where the settings do not say."""
        value = self.values.get(name)
        return None if value is None else bool(value)

    @property
    def ceased_reactive(self) -> float:
        """Reactive power [pu] up to which a DER has ceased to energize (4.5)."""
        small, large = tables.CEASED_REACTIVE_POWER
        return small if self.is_small else large

    @property
    def is_small(self) -> bool:
        return self.rating_kVA is None or self.rating_kVA < tables.RANDOM_DELAY_CAPACITY

    @cached_property
    def warnings(self) -> tuple[str, ...]:
        """Settings outside their allowed ranges."""
        found = []
        for element in self.elements:
            row = element.row
            for what, value, (low, high), unit in (
                ("threshold", element.threshold, row.threshold_range, "pu" if row.quantity == "voltage" else "Hz"),
                ("clearing time", element.clearing, row.clearing_range, "s"),
            ):
                if not low <= value <= high:
                    found.append(
                        f"{element.name} {what} {value:g} {unit} is outside {low:g} to {high:g} {unit} ({row.citation})"
                    )
        for name in self.values:
            try:
                row_ = tables.setting(name, self.category, self.normal_category)
            except KeyError:
                continue
            value = float(self.values[name])
            if not row_.low <= value <= row_.high:
                span = f"{row_.low:g} to {row_.high:g} {row_.unit}"
                found.append(f"{name} {value:g} {row_.unit} is outside {span} ({row_.citation})")
        return tuple(found)


def threshold_name(row: TripSetting) -> str:
    """The setting that holds an element's threshold."""
    return f"{row.element}_trip_{'V_pu' if row.quantity == 'voltage' else 'Hz'}"


def known_names() -> set[str]:
    """Every setting that a settings file may give."""
    names = {threshold_name(row) for row in tables.TRIP_SETTINGS} | {
        f"{r.element}_trip_s" for r in tables.TRIP_SETTINGS
    }
    return names | {row.name for row in tables.SETTINGS} | set(SWITCHES)


_OWN = ("make", "category", "normal_category", "edition", "rating_kVA", "accuracy", "reactive_mode")


@dataclass(frozen=True)
class Fleet:
    """What each DER is held to: one for all, and changes by DER."""

    common: Held
    by_name: Mapping[str, Held]

    def held(self, name: str) -> Held:
        """What the DER `name` is held to."""
        return self.by_name.get(name, self.common)


def read_fleet(
    category: AbnormalCategory | None,
    file: Path | None = None,
    *,
    der: Mapping[str, Mapping[str, Any]] | None = None,
    **options: Any,
) -> Fleet:
    """What the DER are held to, from options and a settings file (YAML, JSON, or CSV with a row a DER).

    Without a file `der` may give settings of single DER. Options win over the file's own category, edition and rating.
    A YAML file holds settings by name, `profile`, any of the options, and `der: {name: {...}}` for single DER. Raises
    ScenarioError with all faults.
    """
    content = _read(file) if file else {"der": der} if der else {}
    place = str(file) if file else "settings"
    given = {key: value for key, value in {"category": category, **options}.items() if value is not None}
    per_der = content.pop("der", {})
    if not isinstance(per_der, Mapping):
        raise ScenarioError([Fault(f"{place}: der", "is no mapping.", "Write `der: {name: {setting: value}}`.")])
    faults: list[Fault] = []
    common = _held({**content, **given}, place, faults, needs_category=not per_der)
    by_name = {
        str(name): _held({**content, **given, **(own or {})}, f"{place}: der.{name}", faults, needs_category=True)
        for name, own in per_der.items()
    }
    if faults:
        raise ScenarioError(faults)
    singles = {name: held for name, held in by_name.items() if held is not None}
    return Fleet(common or next(iter(singles.values())), singles)


def _held(content: Mapping[str, Any], place: str, faults: list[Fault], *, needs_category: bool) -> Held | None:
    own = {key: content[key] for key in _OWN if key in content}
    values = {key: value for key, value in content.items() if key not in _OWN and key not in MAKERS_OWN}
    values = {**_profile(values.pop("profile", None), place, faults), **values}
    known = known_names()
    for name, value in values.items():
        if name not in known:
            faults.append(Fault(f"{place}: {name}", "is no setting.", _nearest(name, known)))
        elif not isinstance(value, bool | int | float):
            faults.append(Fault(f"{place}: {name}", f"must be a number or true or false, got '{value}'."))
    if "category" not in own:
        if needs_category:
            faults.append(Fault(f"{place}: category", "is missing.", "Give --category I, II or III."))
        return None
    try:
        return Held.model_validate({**own, "values": {k: v for k, v in values.items() if k in known}})
    except ValidationError as error:
        faults.extend(
            Fault(f"{place}: {'.'.join(map(str, item['loc'][:1]))}", item["msg"] + ".") for item in error.errors()
        )
        return None


def _profile(name: object, place: str, faults: list[Fault]) -> dict[str, Value]:
    if name is None:
        return {}
    for profile in tables.PROFILES:
        if profile.name == name:
            return dict(profile.values)
    known = ", ".join(profile.name for profile in tables.PROFILES)
    faults.append(Fault(f"{place}: profile", f"'{name}' is not known.", f"Known are: {known}."))
    return {}


def _nearest(name: str, known: set[str]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, sorted(known), 3, 0.5)
    return f"Did you mean {' or '.join(near)}?" if near else "The names are those of docs/comply.md."


def _read(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise ScenarioError([Fault(str(file), "there is no such file.", "Correct the path of the settings.")])
    if file.suffix.lower() == ".csv":
        return _read_csv(file)
    import yaml

    try:
        content = yaml.safe_load(file.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ScenarioError([Fault(str(file), f"is not readable as YAML or JSON: {error}")]) from None
    if not isinstance(content, dict):
        raise ScenarioError([Fault(str(file), "holds no mapping.", "Write one `name: value` a line.")])
    return {str(key): value for key, value in content.items()}


def _read_csv(file: Path) -> dict[str, Any]:
    import csv

    with file.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    if not rows or "der" not in rows[0]:
        raise ScenarioError([Fault(str(file), "has no column `der`.", "Give a row a DER, settings as columns.")])
    return {
        "der": {
            row["der"]: {k: _value(v) for k, v in row.items() if k != "der" and v not in ("", None)} for row in rows
        }
    }


def _value(text: str) -> Any:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        return float(text)
    except ValueError:
        return text
