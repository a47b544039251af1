"""The calibration file: which data, which split, what is fitted."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, PrivateAttr, ValidationError, ValidationInfo, model_validator

from cosim.errors import Fault, ScenarioError
from cosim.model import NAME
from cosim.scenario import faults_of
from cosim.settings import Settings
from cosim.units import UNITS
from cosim.yaml_places import Document, read_yaml
from runs.calibrate.split import Split

FORMATS = {".csv": "csv", ".parquet": "parquet", ".pq": "parquet", ".zarr": "zarr"}


def _data_file(path: Path, info: ValidationInfo) -> Path:
    """A file, or a folder that is a Zarr store."""
    folder = Path((info.context or {}).get("folder", "."))
    full = (folder / path.expanduser()).resolve()
    if full.suffix.lower() not in FORMATS:
        raise ValueError(f"must be a .csv, .parquet or .zarr, got '{path}'")
    if not full.exists():
        raise ValueError(f"there is no data '{path}' in {folder.resolve()}; correct the path or get the data")
    return full


class Clock(Settings):
    """The column that holds the time of each row, and the clock that it was written by."""

    column: str
    """The column's name in the file."""
    zone: str
    """The clock of the column: an IANA name (`Australia/Melbourne`: wall clock with its daylight saving), `UTC`, or
    a fixed offset (`+10:00`). Stated even where the times carry offsets: the two must agree."""
    local: str | None = None
    """The zone of the people whose load it is, an IANA name; none: `zone`."""
    stamps: Literal["instant", "start", "end"] = "start"
    """What a row is: the mean of the interval that starts or ends at its time, or the value at its time. Times at the
    end of an interval are moved to its start when they are read."""
    format: str | None = None
    """How times are written, as `%d.%m.%Y %H:%M`; none: ISO 8601."""


class ColumnOfFile(Settings):
    """A column of the file, and its unit."""

    column: str
    """The column's name in the file."""
    unit: str = "1"
    """The unit of the numbers in the file, converted to the one that the target needs; `time` for a time,
    `text` for a name."""
    range: tuple[float, float] | None = None
    """Values outside [low, high] [unit] are reported as outliers and left out; none: only what is impossible is."""

    around: float | None = None
    """What the mean is known to be about [the unit that the target needs]; a mean that is thirty times larger or
    smaller is refused, as its unit must be wrong. None: not known, and a wrong unit of the whole column cannot be
    found."""

    @model_validator(mode="after")
    def _known_unit(self) -> ColumnOfFile:
        if self.unit not in UNITS and self.unit not in ("time", "text"):
            raise ValueError(f"unit '{self.unit}' is unknown. Use one of: {', '.join(UNITS)}, time, text")
        if self.range is not None and self.range[0] >= self.range[1]:
            raise ValueError(f"range must be [low, high], got {self.range[0]:g} to {self.range[1]:g}")
        return self


class DataFile(Settings):
    """A file of measured data: CSV, Parquet or Zarr."""

    name: str = "data"
    """How the target and the report call it."""
    file: Annotated[Path, AfterValidator(_data_file)]
    """The file; a relative path counts from the calibration file's folder."""
    source: str
    """Where the data come from."""
    licence: str
    """The terms under which they may be used."""
    time: Clock
    """The time of each row."""
    columns: dict[str, ColumnOfFile]
    """The target's quantity -> the file's column."""
    separator: str = Field(default=",", min_length=1, max_length=1)
    """Between the columns of a CSV, one character."""
    decimal: Literal[".", ","] = "."
    """The decimal sign of a CSV."""
    longest_gap: float = Field(default=0.02, ge=0, le=0.5)
    """The share of missing rows or values up to which the data are used, without them [1]; gaps are reported
    and never filled."""


def _named_apart(data: tuple[DataFile, ...]) -> tuple[DataFile, ...]:
    names = [item.name for item in data]
    if again := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"two files are named '{again[0]}'; give each a name of its own")
    return data


class TargetModel(Settings):
    """What is calibrated: its kind, and beside it the settings of that kind."""

    model_config = ConfigDict(extra="allow")

    kind: str
    """A name from `runs/calibrate/targets/`."""

    @property
    def settings(self) -> dict[str, Any]:
        """The settings as they were written."""
        return dict(self.model_extra or {})


class CalibrationFile(Settings):
    """One calibration: data, split, target."""

    name: str = NAME
    """Names the parameters; letters, digits, `_` and `-`."""
    description: str = ""
    """What it is for."""
    seed: int = Field(default=1, ge=0, le=2**63 - 1)
    """Every random number comes from it."""
    data: Annotated[tuple[DataFile, ...], AfterValidator(_named_apart)] = ()
    """The measured data; none for a target that makes its own by simulation."""
    split: Split | None = None
    """What is fitted to and what is held out; a target that makes its own data may do without."""
    further_splits: dict[str, Split] = Field(default_factory=dict)
    """The same model fitted and scored again on other splits, which test it otherwise; name -> split. The parameters
    that are kept are those of `split`."""
    target: TargetModel
    """What is fitted."""
    objective: str | None = None
    """What the fit makes small, one of the target's `objectives`; none: its first."""
    baselines: tuple[str, ...] | None = None
    """What the scores are held against on the same data, some of the target's `baselines` by name; none: all."""

    _document: Document = PrivateAttr(default_factory=lambda: Document("calibration", None))
    _folder: Path = PrivateAttr(default_factory=Path)

    @property
    def document(self) -> Document:
        """What it was read from."""
        return self._document

    @property
    def folder(self) -> Path:
        """The folder from which relative paths count."""
        return self._folder

    def data_file(self, name: str) -> DataFile:
        """The data called `name`. Raises ScenarioError."""
        for item in self.data:
            if item.name == name:
                return item
        place = self.document.place(("data",))
        raise ScenarioError([Fault(place, f"has no data named '{name}', which the target needs.", "Add them.")])


def load_calibration(path: str | Path) -> CalibrationFile:
    """Read and check a calibration file and its target's settings. Raises ScenarioError with every fault found."""
    from runs.calibrate.target import UnknownTargetError, target_class

    path = Path(path)
    document, folder = read_yaml(path), path.resolve().parent
    faults: list[Fault] = []
    file = None
    try:
        file = CalibrationFile.model_validate(document.value, context={"folder": folder})
    except ValidationError as error:
        faults += faults_of(error, document)
    written = document.value.get("target")
    if isinstance(written, dict) and isinstance(written.get("kind"), str):
        settings = {str(key): value for key, value in written.items() if key != "kind"}
        try:
            target_class(written["kind"]).Config.model_validate(settings, context={"folder": folder})
        except UnknownTargetError as error:
            faults.append(Fault(document.place(("target", "kind")), f"{error}."))
        except ValidationError as error:
            faults += faults_of(error, document, ("target",))
    if file is None or faults:
        raise ScenarioError(faults)
    file._document, file._folder = document, folder
    return file


__all__ = ["CalibrationFile", "Clock", "ColumnOfFile", "DataFile", "load_calibration"]
