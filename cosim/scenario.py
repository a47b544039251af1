"""The scenario: what a user writes, in the words of the domain.

Each section that is a model (`weather`, `transmission`, a feeder's `model`, ...) names a federate `kind` and
gives that federate's own settings beside it; they are checked against the federate's `Config`.
`cosim/wiring.py` expands a scenario to the federation that runs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PrivateAttr, ValidationError, field_validator, model_validator

from cosim.contract import Fact, Time
from cosim.errors import ContractError, Fault, ScenarioError
from cosim.event_window import SHORTEST_STEP, EventWindow, WindowModel, WindowTransmission
from cosim.model import NAME, Model
from cosim.perturbations import perturbation_class
from cosim.registry import UnknownKindError, federate_class
from cosim.settings import Settings
from cosim.site import Site, SiteSettings
from cosim.trial_import import try_import
from cosim.units import PositiveDuration, format_duration, written
from cosim.yaml_places import Document, Location, read_yaml

#: The kind of a section that does not name one.
DEFAULT_KINDS = {
    "weather": "weather",
    "demand": "demand",
    "transmission": "transmission",
    "dispatch": "dispatch",
    "communications": "communications",
}


class Horizon(Settings):
    """Which stretch of time is simulated."""

    start: datetime
    """The first instant, in local standard time without a zone, as `2014-01-16 00:00`."""
    duration: PositiveDuration = written("24 h")
    """How long."""
    step: PositiveDuration = written("60 s")
    """The base step: every federate steps at multiples of it."""

    @field_validator("start", mode="before")
    @classmethod
    def _no_number(cls, start: Any) -> Any:
        if isinstance(start, int | float):
            raise ValueError(f"must be a date and a time, as `2014-01-16 00:00`, got {start}")
        return start

    @field_validator("start")
    @classmethod
    def _without_zone(cls, start: datetime) -> datetime:
        if start.tzinfo is not None:
            raise ValueError("must be local standard time without a zone; leave the offset out")
        return start

    @model_validator(mode="after")
    def _possible(self) -> Horizon:
        if self.duration % self.step:
            duration, step = format_duration(self.duration), format_duration(self.step)
            raise ValueError(f"duration must be a whole number of steps, got {duration} and steps of {step}")
        if self.start.year < 1700 or self.start.year + self.duration // (365 * 86_400 * 10**9) > 2200:
            raise ValueError(
                "the run must lie between the years 1700 and 2200, which results can hold to the nanosecond"
            )
        return self


class WeatherModel(Model):
    """Where the weather comes from."""

    kind: str = DEFAULT_KINDS["weather"]
    """The federate kind."""


class DemandModel(Model):
    """How the system's load changes over the day."""

    kind: str = DEFAULT_KINDS["demand"]
    """The federate kind."""


class TransmissionModel(Model):
    """The transmission grid and its power flow."""

    kind: str = DEFAULT_KINDS["transmission"]
    """The federate kind."""


class DispatchModel(Model):
    """Who decides what generators and storage do, and at what price."""

    kind: str = DEFAULT_KINDS["dispatch"]
    """The federate kind."""


class CommunicationsModel(Model):
    """How messages travel between agents; without this section with the kind's default links."""

    kind: str = DEFAULT_KINDS["communications"]
    """The federate kind."""


class Feeder(Settings):
    """A distribution feeder, and the transmission bus that it hangs on."""

    name: str = NAME
    """Its name in results and messages."""
    bus: str | None = Field(default=None, coerce_numbers_to_str=True)
    """The transmission bus, by its number or name in the case; none where there is no transmission."""
    buses: tuple[Annotated[str, Field(coerce_numbers_to_str=True)], ...] = ()
    """In place of `bus`: a feeder at each of these, of the same settings and named `name`-1, `name`-2, ..."""
    count: int | None = Field(default=None, ge=1, le=10_000)
    """So many feeders of the same settings, named `name`-1, `name`-2, ...; with `buses` at these in turn.
    Each draws homes of its own."""
    multiplier: float = Field(default=1.0, gt=0)
    """How many such feeders it stands for at the bus [1]."""
    model: Model
    """The feeder's federate."""

    @model_validator(mode="after")
    def _one_way(self) -> Feeder:
        if self.bus is not None and self.buses:
            raise ValueError("bus and buses must not both be given; name one bus, or several")
        if self.count is not None and self.count < len(self.buses):
            raise ValueError(
                f"count must be at least the number of buses, {len(self.buses)}, got {self.count}; leave it out "
                "for one feeder at each bus"
            )
        return self

    def each(self) -> tuple[Feeder, ...]:
        """The feeders that it stands for, each with a name and a bus of its own; itself if it is but one."""
        if self.count is None and not self.buses:
            return (self,)
        number = self.count or len(self.buses)
        width = len(str(number))
        places = self.buses or (self.bus,)
        return tuple(
            self.model_copy(
                update={
                    "name": f"{self.name}-{k + 1:0{width}d}",
                    "bus": places[k % len(places)],
                    "buses": (),
                    "count": None,
                }
            )
            for k in range(number)
        )


class ExtraFederate(Settings):
    """A federate of the user's own."""

    name: str = NAME
    """Its name in results and links."""
    model: Model
    """The federate."""


class Link(Settings):
    """A connection beside those that the wiring makes by itself."""

    source: str
    """Where the value comes from: `federate.port` or `federate.port[label]`."""
    destination: str
    """Where it goes: `federate.port` or `federate.port[label]`; powers that are linked to one place add up."""
    by_label: bool = False
    """True: every label of the destination takes the source's value of the same label, whatever their order and
    however many more the source has. Otherwise the two ports must have the same labels in the same order."""
    gain: float = 1.0
    """What the value is multiplied with [1]; not 0."""
    lagged: bool = False
    """True: the destination does not wait for the source's value of the same time, but takes the last one."""
    tolerance: float | None = Field(default=None, gt=0)
    """Largest trusted difference between the value that was used and the one that then held [the port's unit];
    needed in a cycle of federates that iterate: they repeat a step until they agree to it."""

    @field_validator("gain")
    @classmethod
    def _not_nothing(cls, gain: float) -> float:
        if gain == 0:
            raise ValueError("must not be 0; leave the link out")
        return gain


class Coupling(Settings):
    """How transmission and distribution agree on the boundary."""

    mode: Literal["loose", "iterated"] = "loose"
    """`loose`: one exchange a step. `iterated`: repeated at one time until both agree to the tolerance."""
    power_tolerance: float = Field(default=5.0, gt=0)
    """Largest boundary mismatch of power with which a run is trusted [MVA]."""
    voltage_tolerance: float = Field(default=1e-3, gt=0)
    """Largest boundary mismatch of voltage with which a run is trusted [pu]."""
    max_rounds: int = Field(default=20, ge=1, le=1000)
    """Iterated: the most rounds at one time."""


class Limits(Settings):
    """When a silent federate counts as hung."""

    step: PositiveDuration = written("8 s")
    """The longest that one solve, or a standstill of all, may take [wall time]."""
    start: PositiveDuration = written("180 s")
    """The longest that building and starting may take [processor time], and joining or a first step [wall time]."""
    idle: PositiveDuration = written("8 s")
    """The longest without any processor time while starting [wall time]."""


class Outputs(Settings):
    """What is kept of the run."""

    exclude: tuple[str, ...] = ()
    """Outputs not to record, as `federate.port` with `*` and `?`."""
    chunk: PositiveDuration | None = None
    """Simulated time per stored chunk; none: 1,000 steps or a quarter of a day, whichever is more."""
    crash_safe: bool = False
    """Whether what is recorded is on the disk itself within a second: a crash of the whole machine then loses no more,
    and `cosim recover` stores it. Otherwise it may lose what the system has not yet written, often half a minute."""


class Scenario(Settings):
    """One co-simulation, in the words of the domain."""

    name: str = NAME
    """Names the run; letters, digits, `_` and `-`."""
    description: str = ""
    """What the scenario is for."""
    seed: int = Field(default=1, ge=0, le=2**63 - 1)
    """Every random number of the run comes from it."""
    horizon: Horizon
    """Which stretch of time is simulated."""
    site: SiteSettings | None = None
    """Where on Earth it plays; none: at the place that the weather's file states."""
    weather: WeatherModel | None = None
    """Where the weather comes from."""
    demand: DemandModel | None = None
    """How the system's load changes over the day."""
    transmission: TransmissionModel | None = None
    """The transmission grid."""
    dispatch: DispatchModel | None = None
    """The dispatch of generators and storage."""
    feeders: tuple[Feeder, ...] = ()
    """The distribution feeders."""
    communications: CommunicationsModel = CommunicationsModel()
    """How messages travel."""
    perturbations: tuple[Model, ...] = ()
    """What disturbs the grid; a scenario with perturbations is run beside its undisturbed twin, one whose event window
    has DER beside itself with DER held (`event_window.der_response`)."""
    event_window: EventWindow | None = None
    """Seconds to minutes at millisecond steps, opened inside the day."""
    federates: tuple[ExtraFederate, ...] = ()
    """Federates of the user's own."""
    links: tuple[Link, ...] = ()
    """Links beside those made by the wiring."""
    coupling: Coupling = Coupling()
    """How transmission and distribution agree."""
    placement: Literal["shared", "engines_apart", "separate"] = "shared"
    """`shared`: light federates share the main process, those of an event window the process of its dynamics.
    `engines_apart`: all light ones share the main process, so that what a window's dynamics exchange with the others
    passes HELICS at each step. `separate`: every federate has a process of its own and is a HELICS federate by itself.
    The later, the slower; the results are the same to the bit."""
    limits: Limits = Limits()
    """When a silent federate counts as hung."""
    outputs: Outputs = Outputs()
    """What is kept of the run."""

    _document: Document = PrivateAttr(default_factory=lambda: Document("scenario", None))
    _folder: Path = PrivateAttr(default_factory=Path)

    @property
    def folder(self) -> Path:
        """The folder from which relative paths count."""
        return self._folder

    @property
    def document(self) -> Document:
        """What the scenario was read from."""
        return self._document

    def place(self, location: Sequence[str | int]) -> str:
        """Where `location` stands in the file that the scenario was read from."""
        return self._document.place(location)

    def facts(self) -> tuple[Fact, ...]:
        """What the scenario itself states of the world that its federates share."""
        if self.site is None:
            return ()
        return (Site(**self.site.model_dump(), source=self.place(("site",))),)

    def single_feeders(self) -> tuple[tuple[int, Feeder], ...]:
        """Every feeder by itself, with the position of its entry in `feeders`."""
        return tuple((number, one) for number, feeder in enumerate(self.feeders) for one in feeder.each())

    @property
    def base_step(self) -> Time:
        """The step [ns] of which every federate's is a multiple: the event window's, or the day's."""
        return self.horizon.step if self.event_window is None else self.event_window.step

    def disturbing(self) -> tuple[tuple[Location, Model], ...]:
        """Everything that disturbs, with its place: the perturbations, then the window's, timed like them."""
        found: list[tuple[Location, Model]] = [(("perturbations", n), m) for n, m in enumerate(self.perturbations)]
        window = self.event_window
        if window is not None:
            for number, model in enumerate(window.disturbances):
                timed = Model(kind=model.kind, **window.disturbance(model, self.horizon.start))
                found.append((("event_window", "disturbances", number), timed))
        return tuple(found)

    def undisturbed(self) -> Scenario:
        """The twin: the same scenario without what disturbs it."""
        window = self.event_window
        calm = None if window is None else window.model_copy(update={"disturbances": ()})
        return self.model_copy(update={"perturbations": (), "event_window": calm})

    def with_der_held(self) -> Scenario:
        """The same scenario, its perturbations and disturbances included, with DER that do not respond in the window.

        A copy as it is where there is no window.
        """
        window = self.event_window
        held = None if window is None else window.model_copy(update={"der_response": False})
        return self.model_copy(update={"event_window": held})

    def with_half_step(self) -> Scenario:
        """The same scenario with half the event window's step. Raises ScenarioError without one, or below 1 ms."""
        window = self.event_window
        if window is None:
            problem = "the scenario has no event window whose step could be halved."
            raise ScenarioError(
                [Fault(self.place(()), problem, "Add `event_window`, or do not ask for half the step.")]
            )
        if window.step % 2 or window.step < 2 * SHORTEST_STEP:
            problem = f"half of {format_duration(window.step)} is no step of at least {format_duration(SHORTEST_STEP)}."
            place = self.place(("event_window", "step"))
            raise ScenarioError([Fault(place, problem, "Choose a longer step, or do not ask for half of it.")])
        return self.model_copy(update={"event_window": window.model_copy(update={"step": window.step // 2})})

    def update(self, **changes: Any) -> Scenario:
        """A validated copy with whole sections replaced. Raises ScenarioError."""
        return from_mapping({**self.as_mapping(), **changes}, folder=self._folder)

    def as_mapping(self) -> dict[str, Any]:
        """The scenario as plain data, as it could be written in a file."""
        return json.loads(self.model_dump_json(exclude_defaults=True))  # type: ignore[no-any-return]


def load(path: str | Path) -> Scenario:
    """Read and check a scenario file. Raises ScenarioError with every fault that was found in it."""
    path = Path(path)
    return _validate(read_yaml(path), path.resolve().parent)


def from_mapping(value: dict[str, Any], folder: Path | None = None, document: Document | None = None) -> Scenario:
    """A scenario from plain data; relative paths count from `folder`, faults are placed in `document` if given.

    Raises ScenarioError.
    """
    return _validate(document or Document("scenario", value), folder or Path.cwd())


def _validate(document: Document, folder: Path) -> Scenario:
    faults: list[Fault] = []
    scenario = None
    try:
        scenario = Scenario.model_validate(document.value, context={"folder": folder})
    except ValidationError as error:
        faults += faults_of(error, document)
    for location, kind, settings in _models(document.value):
        found = perturbation_class if {"perturbations", "disturbances"} & set(location) else federate_config
        try:
            found(kind, folder).model_validate(settings, context={"folder": folder})
        except ValidationError as error:
            faults += faults_of(error, document, location)
        except (UnknownKindError, ContractError) as error:
            faults.append(Fault(document.place((*location, "kind")), f"{error}."))
    if scenario is None or faults:
        raise ScenarioError(faults)
    scenario._document, scenario._folder = document, folder
    return scenario


def is_disturbed(document: Mapping[str, Any]) -> bool:
    """Whether anything disturbs in a scenario, as plain data; then it has a twin."""
    window = document.get("event_window") or {}
    return bool(document.get("perturbations") or window.get("disturbances"))


def federate_config(kind: str, folder: Path) -> type[Settings]:
    """The settings class of a federate kind. Raises UnknownKindError, ContractError."""
    found = absolute_kind(kind, folder)
    if found.endswith(".py") and Path(found).is_file():
        try_import(Path(found))
    return federate_class(found).Config


def python_files(path: Path) -> list[str]:
    """The Python files of the user's that a scenario file names: loading it executes them. Raises ScenarioError."""
    document = read_yaml(path)
    kinds = {kind for _, kind, _ in _models(document.value) if kind.endswith(".py")}
    return sorted(absolute_kind(kind, path.resolve().parent) for kind in kinds)


def absolute_kind(kind: str, folder: Path) -> str:
    """The kind as any process can find it: a file's path made absolute from the scenario's folder."""
    return str((folder / kind).resolve()) if kind.endswith(".py") else kind


def _models(value: Any) -> Iterator[tuple[Location, str, dict[str, Any]]]:
    """Every model written in a raw scenario: its place, kind and settings; also where other parts are wrong."""

    def entries(section: str) -> Iterator[tuple[int, Any]]:
        listed = value.get(section)
        yield from enumerate(listed if isinstance(listed, list) else ())

    places: list[tuple[Location, Any]] = [((name,), value.get(name)) for name in DEFAULT_KINDS]
    places += [
        (("feeders", position, "model"), entry.get("model"))
        for position, entry in entries("feeders")
        if isinstance(entry, dict)
    ]
    places += [
        (("federates", position, "model"), entry.get("model"))
        for position, entry in entries("federates")
        if isinstance(entry, dict)
    ]
    places += [(("perturbations", position), entry) for position, entry in entries("perturbations")]
    places += _window_places(value.get("event_window"))
    for location, entry in places:
        if isinstance(entry, dict):
            settings = {str(key): setting for key, setting in entry.items()}
            kind = settings.pop("kind", _default_kind(location))
            if isinstance(kind, str):
                yield location, kind, settings


def _window_places(window: Any) -> list[tuple[Location, Any]]:
    """The models written in a raw event window, with their places."""
    if not isinstance(window, dict):
        return []
    places: list[tuple[Location, Any]] = [(("event_window", "transmission"), window.get("transmission"))]
    for section in ("feeders", "disturbances"):
        listed = window.get(section)
        for position, entry in enumerate(listed if isinstance(listed, list) else ()):
            location: Location = ("event_window", section, position)
            if section == "disturbances":
                places.append((location, entry))
            elif isinstance(entry, dict):
                places.append(((*location, "model"), entry.get("model")))
    return places


def _default_kind(location: Location) -> str | None:
    """The kind of the model at `location` where it names none."""
    if location[0] != "event_window":
        return DEFAULT_KINDS.get(str(location[0]))
    section = {"transmission": WindowTransmission, "feeders": WindowModel}.get(str(location[1]))
    return None if section is None else str(section.model_fields["kind"].default)


#: Pydantic's kinds of errors in the words of a scenario's author; `{}` takes the error's context.
_WORDS = {
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "date_from_datetime_parsing": "must be a date, as 2014-01-16",
    "dict_type": "must be a mapping of settings",
    "finite_number": "must be a finite number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "greater_than": "must be above {gt}",
    "greater_than_equal": "must be at least {ge}",
    "int_from_float": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "less_than": "must be below {lt}",
    "less_than_equal": "must be at most {le}",
    "list_type": "must be a list",
    "literal_error": "must be {expected}",
    "model_type": "must be a mapping of settings",
    "path_type": "must be the path of a file",
    "string_pattern_mismatch": "must begin with a letter and hold only letters, digits, `_` and `-`",
    "string_too_long": "must have at most {max_length} characters",
    "string_too_short": "must have at least {min_length} characters",
    "string_type": "must be text",
    "too_short": "must hold at least {min_length} entries",
    "tuple_type": "must be a list",
    "union_tag_invalid": "must have {discriminator}: one of {expected_tags}",
    "union_tag_not_found": "must have {discriminator}",
}


def faults_of(error: ValidationError, document: Document, location: Location = ()) -> list[Fault]:
    """Pydantic's errors as faults with their places, in the words of a scenario's author."""
    details = error.errors(include_url=False)
    places = [detail["loc"] for detail in details]
    faults = []
    for detail in details:
        kind, loc = detail["type"], detail["loc"]
        if kind == "too_short" and any(place != loc and place[: len(loc)] == loc for place in places):
            continue  # the entries are there, and wrong
        path, written = document.written((*location, *loc))
        faults.append(Fault(document.place(path), f"{_problem(detail, written)}.", _remedy(kind)))
    return faults


def _problem(detail: Any, written: Any) -> str:
    kind = detail["type"]
    if kind == "extra_forbidden":
        return "is not a setting that exists here"
    if kind == "missing":
        return "is required"
    if kind == "invalid_key":
        return "must be text, as every key"
    if kind == "value_error":
        return str(detail["ctx"]["error"]).rstrip(".")
    if kind.startswith("datetime"):
        words = "must be a date and a time, as `2014-01-16 00:00`"
    elif kind in _WORDS:
        words = _WORDS[kind].format(**detail.get("ctx", {}))
    else:
        words = detail["msg"].removeprefix("Input should be ")
    return f"{words}, got {'nothing' if written is None else repr(written)}"


def _remedy(kind: str) -> str:
    return {
        "extra_forbidden": "Remove it or correct its spelling; see `cosim schema`.",
        "missing": "Add it; see `cosim schema`.",
    }.get(kind, "")
