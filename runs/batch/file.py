"""The batch file: which variants of a scenario run, and what is kept of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PrivateAttr, ValidationError, model_validator

from cosim.errors import Fault, ScenarioError
from cosim.model import NAME
from cosim.scenario import Scenario, faults_of, load
from cosim.settings import InputFile, Settings
from cosim.units import PositiveDuration, quantity
from cosim.yaml_places import Document, Location, read_yaml
from runs.batch.figures import FigureSpec, named_figures
from runs.batch.values import Distribution, Values

EVERYTHING = ("*",)  #: the pattern of every output
MOST_SAMPLES = 1_000_000


class Seeds(Settings):
    """Other seeds of the whole scenario: every random draw of a run follows from it."""

    count: int = Field(ge=1, le=MOST_SAMPLES)
    """How many."""
    first: int = Field(default=1, ge=0)
    """The first; the others follow by one."""


class Vary(Settings):
    """Parameters that change together: exactly one of `grid`, `zip`, `list` and `seeds`."""

    grid: dict[str, Values] = Field(default_factory=dict)
    """Every combination of the parameters' values; the last parameter changes fastest."""
    zip: dict[str, Values] = Field(default_factory=dict)
    """The first values of all, the second values of all, and so on; all need as many."""
    list: tuple[dict[str, Any], ...] = ()
    """Sets of parameters, each with one value for each parameter."""
    seeds: Seeds | None = None
    """Seeds of the whole scenario."""

    @model_validator(mode="after")
    def _one(self) -> Vary:
        given = [name for name in ("grid", "zip", "list", "seeds") if getattr(self, name)]
        if len(given) != 1:
            got = ", ".join(given) or "none"
            raise ValueError(f"must have exactly one of grid, zip, list and seeds, got {got}")
        lengths = {name: len(values.all()) for name, values in self.zip.items()}
        if len(set(lengths.values())) > 1:
            counted = ", ".join(f"{name} has {length}" for name, length in lengths.items())
            raise ValueError(f"zip needs as many values of each parameter; {counted}")
        if any(set(entry) != set(self.list[0]) for entry in self.list):
            raise ValueError("every set of the list must give the same parameters")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters that change."""
        if self.seeds is not None:
            return ("seed",)
        return tuple(self.grid or self.zip or self.list[0])


class Sample(Settings):
    """Points of a space of parameters, drawn by a quasi-random sequence."""

    method: Literal["latin_hypercube", "sobol"] = "latin_hypercube"
    """Latin hypercube: any number of points. Sobol (scrambled): a power of 2."""
    n: int = Field(ge=1, le=MOST_SAMPLES)
    """How many points."""
    seed: int | None = Field(default=None, ge=0)
    """The seed of the points; by default the batch's."""
    parameters: dict[str, Distribution] = Field(min_length=1)
    """The distribution of each parameter."""

    @model_validator(mode="after")
    def _balanced(self) -> Sample:
        if self.method == "sobol" and self.n & (self.n - 1):
            lower = 1 << (self.n.bit_length() - 1)
            raise ValueError(f"sobol needs a power of 2 as n, such as {lower} or {2 * lower}, got {self.n}")
        return self


class Group(Settings):
    """A named part of the batch, for comparison with the others."""

    name: str = NAME
    """The value in the column `group` of the table."""
    set: dict[str, Any] = Field(default_factory=dict)
    """Settings of all runs of this group, by path or parameter name."""
    vary: tuple[Vary, ...] = ()
    """What changes within this group only; combined with what changes in all."""


class RunLimits(Settings):
    """What one run may take before it is ended."""

    time: PositiveDuration | None = None
    """Longest wall time of a run; none: as long as it advances."""
    memory: Annotated[float, quantity("B")] | None = Field(default=None, gt=0)
    """Largest resident memory of all processes of a run together, as `2 GB` [B]."""


def _patterns(written: Any) -> Any:
    if written in ("all", "none"):
        return EVERYTHING if written == "all" else ()
    return (written,) if isinstance(written, str) else written


class BatchFile(Settings):
    """Many variants of one scenario."""

    name: str = NAME
    """Names the batch and its folder; letters, digits, `_` and `-`."""
    description: str = ""
    """The question that the batch answers."""
    scenario: InputFile
    """The base scenario; a relative path counts from the batch file's folder."""
    baseline: bool = True
    """Run the twin beside each run: undisturbed, where there are perturbations; with DER held, where an event window
    has DER."""
    seed: int = Field(default=1, ge=0, le=2**63 - 1)
    """The seed of the sampled points; the runs' own seed is the scenario's `seed`."""
    parameters: dict[str, str] = Field(default_factory=dict)
    """Short names: name -> path into the scenario, as `share: perturbations[heat].share`."""
    set: dict[str, Any] = Field(default_factory=dict)
    """Settings of all runs that differ from the base scenario's, by path or parameter name."""
    vary: tuple[Vary, ...] = ()
    """What changes: each block by itself, all blocks in every combination; the last block changes fastest."""
    sample: Sample | None = None
    """Sampled points, each combined with every combination of `vary`."""
    groups: tuple[Group, ...] = ()
    """Named parts of the batch; without any, all runs are one part."""
    limits: RunLimits = RunLimits()
    """What one run may take."""
    retries: int = Field(default=2, ge=0, le=100)
    """How often a run is started again whose process was lost."""
    keep: Annotated[tuple[str, ...], BeforeValidator(_patterns)] = EVERYTHING
    """Which recorded outputs stay on disk: `all`, `none`, or patterns of `federate.port` with `*` and `?`. Verdict,
    figures and the run's report are made before the others go."""
    figures: Annotated[dict[str, FigureSpec], BeforeValidator(named_figures)] = Field(default_factory=dict)
    """Summary figures of each run, the columns of the table: a list of ready ones, or name -> what to compute."""
    report_per_run: bool = False
    """Write a report.html for each run too."""

    _document: Document = PrivateAttr(default_factory=lambda: Document("batch", None))
    _folder: Path = PrivateAttr(default_factory=Path)
    _base: Scenario | None = PrivateAttr(default=None)

    @property
    def folder(self) -> Path:
        """The batch file's folder, from which its relative paths count."""
        return self._folder

    @property
    def file(self) -> str:
        """The batch file's name in its folder; "" for a batch from plain data."""
        return self._document.name if self._document.lines else ""

    @property
    def base(self) -> Scenario:
        """The base scenario."""
        if self._base is None:  # not read from a file
            self._base = load(self.scenario)
        return self._base

    def place(self, *location: str | int) -> str:
        """Where `location` stands in the batch file."""
        return self._document.place(location)

    def blocks(self, group: Group | None, number: int) -> Iterator[tuple[Location, tuple[str, ...]]]:
        """Whatever varies parameters in the group of that number: its place in the file, and their names."""
        for position, block in enumerate(self.vary):
            yield ("vary", position), block.names
        for position, block in enumerate(group.vary if group else ()):
            yield ("groups", number, "vary", position), block.names
        if self.sample is not None:
            yield ("sample",), tuple(self.sample.parameters)

    def path(self, name: str) -> str:
        """The path into the scenario that a parameter's name stands for."""
        return self.parameters.get(name, name)

    def as_mapping(self) -> dict[str, Any]:
        """The batch as plain data, as it could be written in a file."""
        return self.model_dump(mode="json", exclude_defaults=True)


def load_batch(path: str | Path) -> BatchFile:
    """Read and check a batch file and its base scenario. Raises ScenarioError with every fault that was found."""
    path = Path(path)
    return _validate(read_yaml(path), path.resolve().parent)


def batch_from_mapping(value: Mapping[str, Any], folder: Path) -> BatchFile:
    """A batch from plain data; relative paths count from `folder`. Raises ScenarioError."""
    return _validate(Document("batch", dict(value)), folder)


def _validate(document: Document, folder: Path) -> BatchFile:
    from runs.batch.plan import check_paths

    try:
        batch = BatchFile.model_validate(document.value, context={"folder": folder})
    except ValidationError as error:
        raise ScenarioError(faults_of(error, document)) from None
    batch._document, batch._folder, batch._base = document, folder, load(batch.scenario)
    faults = [*_given_twice(batch), *check_paths(batch)]
    if faults:
        raise ScenarioError(faults)
    return batch


def _given_twice(batch: BatchFile) -> Iterator[Fault]:
    """Groups of one name, and parameters that two blocks vary."""
    names = [group.name for group in batch.groups]
    for number, name in enumerate(names):
        if name in names[:number]:
            yield Fault(batch.place("groups", number, "name"), f"the name '{name}' is already used.", "Choose another.")
    for number, group in enumerate(batch.groups or (None,)):
        seen: set[str] = set()
        for place, block in batch.blocks(group, number):
            yield from _labels_of_one_path(batch, place, block)
            paths = {batch.path(name): name for name in block}
            for path in sorted(seen & set(paths)):
                yield Fault(batch.place(*place), f"'{paths[path]}' is already varied above.", "Vary it in one block.")
            seen |= set(paths)


def _labels_of_one_path(batch: BatchFile, place: Location, labels: tuple[str, ...]) -> Iterator[Fault]:
    """Parameters of one block that set the same value, of which only the last would count."""
    first: dict[str, str] = {}
    for label in labels:
        other = first.setdefault(batch.path(label), label)
        if other != label:
            problem = f"'{other}' and '{label}' are the same setting, {batch.path(label)}."
            yield Fault(batch.place(*place), problem, "Vary one of them.")


__all__ = ["BatchFile", "RunLimits", "batch_from_mapping", "load_batch"]
