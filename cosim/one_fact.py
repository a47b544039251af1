"""One fact of the world in one place: settings of two federates that mean the same may not differ.

What one federate of a scenario states, the wiring fills into the settings of those that need it too. Where one of these
states it itself, and otherwise, the scenario contradicts itself and is refused. An operator may be meant to be wrong
about the grid: what its setting `wrong_about` names may differ.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from cosim.errors import Fault
from cosim.scenario import Scenario
from cosim.settings import Settings
from cosim.wiring_parts import Part

#: what transmission and its operator know of the grid
OF_GRID = ("case", "load_multiplier", "minimum_generation", "ramp", "storage")
OF_OPERATOR = ("ramp", "storage")  #: of it what may be stated with the operator alone
#: What a demand model knows of the weather: demand's name -> weather's.
OF_WEATHER = {"weather_table": "table", "weather_stamps": "stamps", "temperature_offset": "temperature_offset"}
WRONG_ABOUT = "wrong_about"  #: the setting that names what may differ
LONGEST = 60  #: characters of a value that is quoted


@dataclass(frozen=True)
class Elsewhere:
    """A value that another federate of the scenario states."""

    value: Any
    whose: str  #: for example "`transmission`"


def stated_elsewhere(
    name: str, written: Mapping[str, Any], fields: Mapping[str, Any], parts: Mapping[str, Part]
) -> dict[str, Elsewhere]:
    """What others of the federates `parts` state of what the federate `name` with the settings `fields` needs.

    `written` are its own settings. The grid of an event window's dynamics is the day's, called `grid` where their
    `case` is that of the machines.
    """
    if name in ("weather", "transmission"):
        return {}
    if name == "demand":
        return _settings_of(parts.get("weather"), OF_WEATHER) if "model" in written else {}
    own = {"grid": "case"} if "grid" in fields else {key: key for key in OF_GRID}
    return _settings_of(parts.get("transmission"), own)


def stated_by_operator(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What the grid takes from the `settings` of its operator where it does not state it itself."""
    wrong = settings.get(WRONG_ABOUT, ())
    return {name: settings[name] for name in OF_OPERATOR if name in settings and name not in wrong}


def _settings_of(part: Part | None, names: Mapping[str, str]) -> dict[str, Elsewhere]:
    if part is None:
        return {}
    fields = type(part.config).model_fields
    known = {name: getattr(part.config, own) for name, own in names.items() if own in fields}
    return {name: Elsewhere(value, f"`{part.name}`") for name, value in known.items()}


def contradictions(
    scenario: Scenario, part: Part, written: Mapping[str, Any], elsewhere: Mapping[str, Elsewhere]
) -> Iterator[Fault]:
    """What is `written` for a federate otherwise than it is stated `elsewhere`."""
    location, config = part.location, part.config
    if location[0] == "federates":
        return  # a federate of the user's own, which may be about another grid
    fields = type(config).model_fields
    wrong = tuple(getattr(config, WRONG_ABOUT, ()))
    for name, other in elsewhere.items():
        if name not in fields:
            continue
        own, stated = getattr(config, name), _as_read(config, name, other.value)
        if own == stated and name in wrong:
            place = scenario.place((*location, WRONG_ABOUT, wrong.index(name)))
            yield Fault(
                place, f"{name} is as in {other.whose}, so there is nothing to be wrong about.", "Leave it out."
            )
        elif own != stated and name in written and name not in wrong:
            remedy = "State it once"
            remedy += f", or add {name} to `{WRONG_ABOUT}` if it is meant to differ." if WRONG_ABOUT in fields else "."
            problem = f"is {_quoted(own)} here and {_quoted(stated)} in {other.whose}: it is one fact."
            yield Fault(scenario.place((*location, name)), problem, remedy)


def _as_read(config: Settings, name: str, value: Any) -> Any:
    """`value` as the settings would hold it; itself where they refuse it."""
    try:
        return getattr(config.update(**{name: value}), name)
    except ValidationError:
        return value


def _quoted(value: Any) -> str:
    text = str(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
