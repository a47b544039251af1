"""The plan of a batch: which runs there are, in which order, under which names, and what makes each unique."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from cosim.batch_folder import run_name
from cosim.code_identity import code_hash
from cosim.contract import Port
from cosim.errors import Fault, ScenarioError
from cosim.federation import Federation
from cosim.manifest import input_hashes
from cosim.registry import federate_class, unknown
from cosim.scenario import Scenario, from_mapping, is_disturbed
from cosim.seeds import generator
from cosim.window_wiring import der_responding
from cosim.wiring import wire
from cosim.yaml_places import Document, Location
from runs.batch.addressing import PathError, assign, counted_from, locations
from runs.batch.figures import figure_problem, unit_and_title
from runs.batch.file import BatchFile, Group, Sample, Vary
from runs.batch.keep import is_kept

#: Parts of a scenario that change no result: its names, and when a silent federate counts as hung.
IRRELEVANT = ("name", "description", "limits")
MOST_RUNS = 1_000_000


@dataclass(frozen=True)
class Variant:
    """One run of a batch, before it runs."""

    number: int  #: from 1
    run: str  #: its name, as "0001"
    group: str  #: "" where the batch has no groups
    parameters: Mapping[str, Any]  #: label -> value as it could be written in the scenario
    scenario: Mapping[str, Any] | None  #: as plain data; None if it is invalid
    folder: Path  #: from which the scenario's relative paths count
    key: str  #: content hash: equal keys give equal results; "" if it is invalid
    error: str = ""  #: why it is invalid
    inputs: Mapping[str, str] = field(default_factory=dict)  #: SHA-256 of input files, by their path from `folder`

    @property
    def valid(self) -> bool:
        """Whether it can run."""
        return self.scenario is not None

    def load(self) -> Scenario:
        """The scenario itself. Raises ScenarioError."""
        if self.scenario is None:
            raise ScenarioError([Fault(f"run {self.run}", self.error)])
        return from_mapping(dict(self.scenario), self.folder)


@dataclass(frozen=True)
class Plan:
    """All runs of a batch, in order."""

    batch: BatchFile
    variants: tuple[Variant, ...]
    figures: Mapping[str, tuple[str, str]] = field(default_factory=dict)  #: unit and title of each figure
    remarks: tuple[str, ...] = ()  #: what the author may not expect: figures that a group cannot have, equal runs

    @property
    def labels(self) -> tuple[str, ...]:
        """Every parameter of any run, in the order in which they appear."""
        return tuple(dict.fromkeys(label for variant in self.variants for label in variant.parameters))

    @property
    def valid(self) -> tuple[Variant, ...]:
        """The variants that can run."""
        return tuple(variant for variant in self.variants if variant.valid)

    @property
    def invalid(self) -> tuple[Variant, ...]:
        """The variants that cannot run."""
        return tuple(variant for variant in self.variants if not variant.valid)

    @property
    def hash(self) -> str:
        """SHA-256 of all runs: their names, parameters and keys."""
        listed = [[v.run, v.group, dict(v.parameters), v.key or v.error] for v in self.variants]
        return _sha256(listed)


@dataclass
class _Wired:
    """What wiring found of scenarios that differ in their seed only."""

    inputs: Mapping[str, str] = field(default_factory=dict)
    kinds: tuple[str, ...] = ()
    error: str = ""


def make_plan(batch: BatchFile) -> Plan:
    """Every run of `batch`, each checked completely; what is wrong with a variant stands in its `error`.

    Raises ScenarioError where the batch itself is wrong: too many runs, figures that no run can have.
    """
    _check_count(batch)
    points = [(group, values) for group in batch.groups or (None,) for values in _points(batch, group)]
    wired: dict[str, _Wired] = {}
    built: dict[str, Any] = {}
    variants = []
    for number, (group, values) in enumerate(points, start=1):
        run = run_name(number, len(points))
        name = group.name if group else ""
        scenario, key, error = None, "", ""
        inputs: Mapping[str, str] = {}
        try:
            loaded = variant_scenario(batch, group, values)
            scenario, key, error, inputs = _checked(batch, loaded, wired, built)
        except (ScenarioError, PathError) as wrong:
            error = str(wrong)
        if error:
            error = _with(values, error)
        variants.append(Variant(number, run, name, values, scenario, batch.base.folder, key, error, inputs))
    checked = _check_outputs(batch, variants)
    return Plan(batch, tuple(variants), checked.figures, (*checked.remarks, *_equal_runs(variants)))


def variant_scenario(batch: BatchFile, group: Group | None, values: Mapping[str, Any]) -> Scenario:
    """The base scenario with the settings of the batch, of its group, and of one run. Raises ScenarioError, PathError.

    Faults name the places in the base scenario's file.
    """
    base = batch.base
    written = deepcopy(base.document.value)
    settings = [*batch.set.items(), *(group.set.items() if group else ()), *values.items()]
    for name, value in settings:
        for location in locations(written, batch.path(name), base.folder):
            assign(written, location, counted_from(deepcopy(value), batch.folder, base.folder))
    return from_mapping(written, base.folder, Document(base.document.name, written, base.document.lines))


def _checked(
    batch: BatchFile, scenario: Scenario, wired: dict[str, _Wired], built: dict[str, Any]
) -> tuple[Mapping[str, Any] | None, str, str, Mapping[str, str]]:
    """A scenario as plain data, its key, the error of its wiring in their place, and the hashes of its input files."""
    plain = scenario.as_mapping()
    shape = _sha256({name: value for name, value in plain.items() if name != "seed"})
    if shape not in wired:
        wired[shape] = _wire(scenario, built)
    found = wired[shape]
    if found.error:
        return None, "", found.error, {}
    return plain, content_key(batch, plain, found.inputs, found.kinds), "", found.inputs


def _wire(scenario: Scenario, built: dict[str, Any]) -> _Wired:
    """Wire a scenario, which checks it completely; what is wrong comes as text."""
    try:
        federation = wire(scenario, built)
    except ScenarioError as error:
        return _Wired(error=str(error))
    return _Wired(_relative_inputs(federation, scenario.folder), tuple(spec.kind for spec in federation.federates))


def _relative_inputs(federation: Federation, folder: Path) -> dict[str, str]:
    """The hash of every input file, by its path from the scenario's folder: a moved project has the same."""
    return {os.path.relpath(path, folder): value for path, value in input_hashes(federation).items()}


def content_key(
    batch: BatchFile, scenario: Mapping[str, Any], inputs: Mapping[str, str], kinds: Sequence[str] = ()
) -> str:
    """The content hash of a run: of all that its results, figures and stored outputs follow from."""
    return _sha256(
        {
            "scenario": {name: value for name, value in scenario.items() if name not in IRRELEVANT},
            "inputs": dict(inputs),
            "baseline": batch.baseline and is_disturbed(scenario),
            "figures": {name: spec.model_dump(mode="json") for name, spec in batch.figures.items()},
            "keep": list(batch.keep),
            "report": batch.report_per_run,
            "code": code_hash(),
            "plugins": {kind: found for kind in sorted(set(kinds)) if (found := _plugin_hash(kind))},
        }
    )


@cache
def _plugin_hash(kind: str) -> str:
    """SHA-256 of the file of a federate that another package gives; "" for one of the project's or the user's own.

    The project's are part of `code_hash`, the user's are input files.
    """
    import inspect

    found = federate_class(kind)
    if kind.endswith(".py") or found.__module__.startswith("federates."):
        return ""
    return hashlib.sha256(Path(inspect.getfile(found)).read_bytes()).hexdigest()


@dataclass
class _Checked:
    """What the outputs of each group's first run say of figures."""

    figures: dict[str, tuple[str, str]] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)


def _check_outputs(batch: BatchFile, variants: Sequence[Variant]) -> _Checked:
    """Hold the figures and `keep` against what the first valid run of each group records.

    Raises ScenarioError for a figure that no group can have, and a pattern that keeps nothing.
    """
    checked = _Checked()
    first = {variant.group: variant for variant in reversed(variants) if variant.valid}
    if not first:
        return checked
    wired = {group: wire(variant.load()) for group, variant in sorted(first.items())}
    recorded = {group: _outputs(federation) for group, federation in wired.items()}
    faults = []
    for name, spec in batch.figures.items():
        problems = {}
        for group, outputs in recorded.items():
            twin = batch.baseline and is_disturbed(first[group].scenario or {})
            held = der_responding(first[group].load(), wired[group])
            problems[group] = figure_problem(spec, outputs, has_twin=twin, der_held=held)
        wrong = {group: problem for group, problem in problems.items() if problem}
        if len(wrong) == len(problems):
            text = next(iter(wrong.values()))
            faults.append(Fault(batch.place("figures", name), f"{text}.", "`cosim wire` lists the outputs."))
            continue
        checked.remarks += [f"figure '{name}' stays empty in group '{group}': {text}" for group, text in wrong.items()]
        able = next(group for group in recorded if group not in wrong)
        checked.figures[name] = unit_and_title(spec, recorded[able])
    keys = {
        f"{federate}.{port}" for outputs in recorded.values() for federate, ports in outputs.items() for port in ports
    }
    for position, pattern in enumerate(batch.keep):
        if not any(is_kept(key, [pattern]) for key in keys):
            place = batch.place("keep", position)
            faults.append(Fault(place, f"{unknown('output', pattern, keys)}.", "`cosim wire` lists the outputs."))
    if faults:
        raise ScenarioError(faults)
    return checked


def _outputs(federation: Federation) -> dict[str, dict[str, Port]]:
    """The outputs that a run records: federate -> port -> it."""
    return {
        spec.name: {
            port.name: port
            for port in federation.build(spec).ports()
            if port.direction == "out" and not is_kept(f"{spec.name}.{port.name}", federation.exclude)
        }
        for spec in federation.federates
    }


def _equal_runs(variants: Sequence[Variant]) -> Iterator[str]:
    """Runs that are given more than once."""
    runs: dict[str, list[str]] = {}
    for variant in variants:
        if variant.key:
            runs.setdefault(variant.key, []).append(variant.run)
    equal = [entry for entry in runs.values() if len(entry) > 1]
    if equal:
        count = sum(len(entry) - 1 for entry in equal)
        yield f"{count} runs repeat others, with equal results; the first: {', '.join(equal[0][:5])}"


def _sha256(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def _with(values: Mapping[str, Any], error: str) -> str:
    """An error that says of which parameters it is."""
    named = ", ".join(f"{name} = {_short(value)}" for name, value in values.items())
    return f"with {named}: {error}" if named else error


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= 60 else text[:57] + "..."


# ------------------------------------------------------------------------- the points of the batch


def _check_count(batch: BatchFile) -> None:
    """Multiply the lengths of all blocks before any point is built. Raises ScenarioError for too many runs."""
    common = math.prod(map(_length, batch.vary)) * (batch.sample.n if batch.sample is not None else 1)
    count = common * sum(math.prod(map(_length, group.vary)) for group in batch.groups) if batch.groups else common
    if count > MOST_RUNS:
        problem = f"gives {count:,} runs; at most {MOST_RUNS:,} are possible."
        raise ScenarioError([Fault(batch.place("vary"), problem, "Sample instead of taking every combination.")])


def _length(block: Vary) -> int:
    """How many sets of parameters a block has."""
    if block.seeds is not None:
        return block.seeds.count
    if block.zip:
        return len(next(iter(block.zip.values())).all())
    return len(block.list) or math.prod(len(values.all()) for values in block.grid.values())


def _points(batch: BatchFile, group: Group | None) -> Iterator[dict[str, Any]]:
    """The parameters of each run of a group, in order."""
    blocks = [_entries(block) for block in (*batch.vary, *(group.vary if group else ()))]
    if batch.sample is not None:
        blocks.append(sampled(batch.sample, batch.seed))
    for combination in product(*blocks):
        yield {name: value for entry in combination for name, value in entry.items()}


def _first(block: Vary) -> dict[str, Any]:
    """The first set of parameters of a block."""
    if block.grid or block.zip:
        return {name: values.all()[0] for name, values in (block.grid or block.zip).items()}
    return _entries(block)[0]


def _entries(block: Vary) -> list[dict[str, Any]]:
    """The sets of parameters of one block."""
    if block.seeds is not None:
        return [{"seed": block.seeds.first + number} for number in range(block.seeds.count)]
    if block.list:
        return [dict(entry) for entry in block.list]
    if block.zip:
        columns = [values.all() for values in block.zip.values()]
        return [dict(zip(block.zip, row, strict=True)) for row in zip(*columns, strict=True)]
    return [
        dict(zip(block.grid, row, strict=True)) for row in product(*(values.all() for values in block.grid.values()))
    ]


def sampled(sample: Sample, seed: int) -> list[dict[str, Any]]:
    """The sampled points: each label with its value at each point."""
    from scipy.stats import qmc

    random = generator(seed if sample.seed is None else sample.seed, "sample", sample.method)
    sampler = qmc.LatinHypercube if sample.method == "latin_hypercube" else qmc.Sobol
    quantiles = sampler(len(sample.parameters), rng=int(random.integers(2**63))).random(sample.n)
    columns = [kind.at(quantiles[:, number]) for number, kind in enumerate(sample.parameters.values())]
    return [dict(zip(sample.parameters, row, strict=True)) for row in zip(*columns, strict=True)]


# ------------------------------------------------------------------------------- paths of the batch


def check_paths(batch: BatchFile) -> list[Fault]:
    """A fault for every parameter whose path is not in the schema of the scenario, in each group."""
    faults: dict[str, Fault] = {}
    for position, group in enumerate(batch.groups or (None,)):
        written = deepcopy(batch.base.document.value)
        for name, place, value in _settings(batch, group, position):
            try:
                for location in locations(written, batch.path(name), batch.base.folder):
                    assign(written, location, deepcopy(value))
            except PathError as error:
                faults.setdefault(batch.place(*place), Fault(batch.place(*place), _path_problem(batch, name, error)))
    used = {
        name for number, group in enumerate(batch.groups or (None,)) for name, *_ in _settings(batch, group, number)
    }
    for name in batch.parameters:
        if name not in used:
            where = batch.place("parameters", name)
            faults[where] = Fault(where, "is a parameter that nothing varies or sets.", "Vary it or remove it.")
    return list(faults.values())


def _path_problem(batch: BatchFile, name: str, error: PathError) -> str:
    text = str(error)
    if name not in batch.parameters and batch.parameters and "." not in name and "[" not in name:
        text = unknown("parameter", name, batch.parameters) + f"; as a path, {text}"
    return text.rstrip(".") + "."


def _settings(batch: BatchFile, group: Group | None, position: int) -> Iterator[tuple[str, Location, Any]]:
    """Every parameter that is set or varied in a group: its name, its place in the file, and its first value."""
    for name, value in batch.set.items():
        yield name, ("set", name), value
    for name, value in group.set.items() if group else ():
        yield name, ("groups", position, "set", name), value
    blocks: list[tuple[Location, Vary]] = [(("vary", number), block) for number, block in enumerate(batch.vary)]
    blocks += [
        (("groups", position, "vary", number), block) for number, block in enumerate(group.vary if group else ())
    ]
    for place, block in blocks:
        kind = "grid" if block.grid else "zip" if block.zip else "list" if block.list else "seeds"
        inside: Location = (kind, 0) if kind == "list" else (kind,)
        for name, value in _first(block).items():
            yield name, (*place, *inside, *(() if kind == "seeds" else (name,))), value
    if batch.sample is not None:
        for name, kind_of in batch.sample.parameters.items():
            yield name, ("sample", "parameters", name), kind_of.at(np.array([0.5]))[0]
