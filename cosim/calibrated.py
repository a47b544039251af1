"""Calibrated parameters: what a fit to measured data found, how sure it is, and from which data.

`cosim calibrate` writes a parameter file; a federate names it in its settings (`parameter_file`), and so it reaches
the manifest, the summary and the report of every run that uses it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field, ValidationError, ValidationInfo, WithJsonSchema, model_validator

from cosim.errors import ConfigError, ScenarioError
from cosim.settings import Settings
from cosim.yaml_places import read_yaml

#: A parameter's value: one number, or a list or table of numbers.
Value = float | tuple[float, ...] | tuple[tuple[float, ...], ...]

SUFFIX = ".yaml"
HEADLINE = "CV(RMSE)"  #: the score that stands for a calibration in one line; without it the first one does


class Parameter(Settings):
    """What was fitted: its value, and how well the data determine it."""

    value: Value
    """The best estimate; of a list or table of numbers, each."""
    unit: str = "1"
    """The unit of the value."""
    interval: tuple[Value, Value] | None = None
    """The 95 % confidence interval, low and high, each in the value's shape; none: not known."""
    identified: bool = True
    """False: the data cannot tell it from others, or hardly depend on it; the value is one of many that would do."""
    note: str = ""
    """What it means, what its entries stand for, with which parameters it is confused."""

    @model_validator(mode="after")
    def _interval_of_the_same_shape(self) -> Parameter:
        if self.interval is not None and any(np.shape(bound) != np.shape(self.value) for bound in self.interval):
            raise ValueError("interval must hold a low and a high end in the shape of value")
        return self

    @property
    def array(self) -> NDArray[np.float64]:
        """The value as an array; a number has shape ()."""
        return np.asarray(self.value, dtype=np.float64)


class Criterion(Settings):
    """A published limit of a score, and the scale for which it was written."""

    name: str
    """Who states it, for example "ASHRAE Guideline 14"."""
    limit: float
    """The largest magnitude that meets it [the score's unit]."""
    scale: str = ""
    """What it was written for, for example "one building, hourly"."""
    applies: bool = True
    """Whether this score is of that scale; else the limit is shown for orientation only."""
    met: bool
    """Whether the score meets it."""


class Score(Settings):
    """One score of one quantity on one part of the data."""

    part: str
    """"fit", "held-out", or the name of an event."""
    quantity: str
    """What was predicted."""
    score: str
    """Its name, for example "CV(RMSE)"."""
    value: float
    """The score of the calibrated model."""
    unit: str = "%"
    """The unit of value, baselines and limits."""
    baselines: dict[str, float] = Field(default_factory=dict)
    """Baseline -> its score on the same data."""
    criteria: tuple[Criterion, ...] = ()
    """The published limits of this score."""


class DataSource(Settings):
    """A file of measured data."""

    file: str
    """Its name, without folders."""
    sha256: str
    """Of its bytes."""
    source: str = ""
    """Where it comes from."""
    licence: str = ""
    """The terms under which it may be used."""


class Provenance(Settings):
    """How the parameters were made."""

    data: tuple[DataSource, ...] = ()
    """The measured data; none: it was made by simulation, see `fitted`."""
    fitted: str
    """What the parameters were fitted to, in words: periods, days, sessions, runs."""
    held_out: str = ""
    """What they were scored on and never fitted to."""
    scores: tuple[Score, ...] = ()
    """Scores on the fit, the held-out part and events, beside baselines and criteria."""
    warnings: tuple[str, ...] = ()
    """What a user must know: gaps, outliers, what could not be told apart."""
    versions: dict[str, str] = Field(default_factory=dict)
    """Of Python, this project and the libraries that count."""
    seed: int = 0
    """Every random number of the calibration comes from it."""
    command: str = ""
    """What makes the same file again."""


class ParameterFile(Settings):
    """Calibrated parameters with their provenance, as they stand in a YAML file."""

    name: str
    """How scenarios name them."""
    kind: str
    """The calibration target, for example "temperature_response"; a federate takes only the kind that it knows."""
    description: str = ""
    """In a sentence."""
    parameters: dict[str, Parameter]
    """By name."""
    structure: dict[str, Any] = Field(default_factory=dict)
    """What was chosen and not fitted, and is needed to use the parameters: knots, time constants, labels."""
    provenance: Provenance
    """How they were made."""

    def value(self, name: str) -> NDArray[np.float64]:
        """A parameter as an array. Raises KeyError."""
        return self.parameters[name].array

    @property
    def headline(self) -> str:
        """The calibration in one line: fitted to what, with which error on what was held out."""
        made = self.provenance
        text = f"{self.name}: fitted to {made.fitted}"
        unseen = [score for score in made.scores if score.part != "fit"]
        if unseen:
            named = [score for score in unseen if score.score == HEADLINE] or unseen[:1]
            errors = "; ".join(f"{s.quantity} {s.score} {s.value:.3g} {s.unit} ({s.part})" for s in named[:4])
            text += f", error on unseen data: {errors}"
        sources = ", ".join(dict.fromkeys(data.source or data.file for data in made.data))
        return f"{text}, from {sources}" if sources else text

    def write(self, path: Path) -> Path:
        """Write the file. Raises OSError."""
        import yaml

        class Dumper(yaml.SafeDumper):
            """Lists of numbers on as few lines as they need, all else a line each."""

        def listed(dumper: yaml.SafeDumper, values: list[Any]) -> yaml.Node:
            flat = not any(isinstance(value, dict | list | str) for value in values)
            return dumper.represent_sequence("tag:yaml.org,2002:seq", values, flow_style=flat)

        Dumper.add_representer(list, listed)
        plain = self.model_dump(mode="json", exclude_defaults=True)
        text = yaml.dump(plain, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=118)
        path.write_text(text, encoding="utf-8")
        return path


def read_parameter_file(path: Path) -> ParameterFile:
    """A parameter file, read once as long as it stays as it is. Raises ScenarioError with every fault and its line."""
    try:
        state = path.stat()
    except OSError:
        return _read(path)
    return _read(path, state.st_ino, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=200)
def _read(path: Path, *state: int) -> ParameterFile:
    """The parameter file at `path` in its `state`. Raises ScenarioError."""
    from cosim.scenario import faults_of

    document = read_yaml(path)
    try:
        return ParameterFile.model_validate(document.value)
    except ValidationError as error:
        raise ScenarioError(faults_of(error, document)) from None


def parameter_file(folder: Path, kind: str) -> Any:
    """The type of a setting that names calibrated parameters: a name shipped in `folder`, or a file.

    The setting holds the file's absolute path, so that its hash is among the inputs of the manifest; a relative path
    counts from the scenario's folder. Write `population: parameter_file(CALIBRATED, "house_population") | None`.
    """

    def find(text: str, info: ValidationInfo) -> str:
        if "/" in text or "\\" in text or Path(text).suffix:
            base = Path((info.context or {}).get("folder", "."))
            path = (base / Path(text).expanduser()).resolve()
            if not path.is_file():
                raise ValueError(f"there is no file '{text}' in {base.resolve()}; correct the path or add the file")
        else:
            path = (folder / f"{text}{SUFFIX}").resolve()
            if not path.is_file():
                raise ValueError(f"there is no calibrated {kind} '{text}'. {_known(folder, kind)}")
        try:
            found = read_parameter_file(path)
        except ScenarioError as error:
            raise ValueError(f"'{text}' is no parameter file: {error.faults[0]}") from None
        if found.kind != kind:
            raise ValueError(f"'{text}' holds {found.kind} parameters; {kind} is needed. {_known(folder, kind)}")
        return str(path)

    return Annotated[
        str, AfterValidator(find), WithJsonSchema({"type": "string", "format": f"name or file of {kind} parameters"})
    ]


def _known(folder: Path, kind: str) -> str:
    names = [name for name, file in shipped(folder).items() if file.kind == kind]
    return (
        f"Use one of: {', '.join(names)}; or the path of a file that `cosim calibrate` made"
        if names
        else ("Give the path of a file that `cosim calibrate` made")
    )


def shipped(folder: Path) -> dict[str, ParameterFile]:
    """The readable parameter files in `folder`, by name."""
    found = {}
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        try:
            found[path.stem] = read_parameter_file(path)
        except ScenarioError:
            continue
    return found


def require(file: ParameterFile, names: Sequence[str], setting: str) -> None:
    """Raise ConfigError at `setting` unless the file has the parameters `names`, all of them and no others."""
    unread = sorted(set(file.parameters) - set(names))
    if unread:
        problem = f"'{file.name}' has {', '.join(unread)}, which nothing here reads."
        raise ConfigError(setting, problem, "Remove them, or give the file that was meant.")
    missing = [name for name in names if name not in file.parameters]
    if missing:
        raise ConfigError(setting, f"'{file.name}' lacks {', '.join(missing)}.", "Run `cosim calibrate` again.")


class CalibratedInput(Settings):
    """A parameter file that a federate of a run uses."""

    federate: str
    setting: str
    """The setting that names it."""
    name: str
    kind: str
    file: str
    sha256: str
    headline: str


def calibrated_inputs(federates: Sequence[tuple[str, Mapping[str, Any]]]) -> list[CalibratedInput]:
    """The parameter files named anywhere in the settings of federates (name, settings)."""
    found = []
    for federate, settings in federates:
        for setting, text in _texts(settings):
            path = Path(text)
            if not (text.endswith(SUFFIX) and path.is_absolute() and path.is_file()):
                continue
            try:
                file = read_parameter_file(path)
            except ScenarioError:
                continue  # another YAML file
            sha = hashlib.sha256(path.read_bytes()).hexdigest()
            found.append(
                CalibratedInput(
                    federate=federate,
                    setting=setting,
                    name=file.name,
                    kind=file.kind,
                    file=str(path),
                    sha256=sha,
                    headline=file.headline,
                )
            )
    return found


def _texts(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _texts(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            yield from _texts(item, f"{path}[{number}]")


__all__ = [
    "CalibratedInput",
    "Criterion",
    "DataSource",
    "Parameter",
    "ParameterFile",
    "Provenance",
    "Score",
    "calibrated_inputs",
    "parameter_file",
    "read_parameter_file",
    "require",
    "shipped",
]
