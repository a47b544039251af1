"""`--set PATH=VALUE`: a setting of a scenario given on the command line, by the paths that batch files use."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from cosim.errors import Fault, ScenarioError
from cosim.scenario import Scenario, absolute_kind, from_mapping
from cosim.yaml_places import Document, parse_yaml, read_yaml
from runs.batch.addressing import PathError, assign, counted_from, locations


def load_with(path: Path, options: Sequence[str]) -> Scenario:
    """The scenario in a file with settings as `path=value`, the last of one path counting; the value is YAML.

    A file that a value names counts from the working folder, where there is one, or else from the scenario's.

    Raises ScenarioError, whose faults name the option where it is the option that is wrong.
    """
    read = read_yaml(path)
    document = Document(read.name, deepcopy(read.value), read.lines, dict(read.options))
    folder = path.resolve().parent
    for option in options:
        where, value = _parsed(option)
        try:
            for location in locations(document.value, where, folder):
                assign(document.value, location, counted_from(deepcopy(value), Path.cwd(), folder))
                document.options[location] = option
        except PathError as error:
            raise ScenarioError([_fault(option, str(error))]) from None
    return from_mapping(document.value, folder, document)


def python_given(options: Sequence[str], folder: Path) -> list[str]:
    """The Python files that options name: loading the scenario with them executes these. Raises ScenarioError."""
    texts = (text for option in options for text in _texts(counted_from(_parsed(option)[1], Path.cwd(), folder)))
    return [absolute_kind(text, folder) for text in texts if text.endswith(".py")]


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for entry in value.values() if isinstance(value, dict) else value:
            yield from _texts(entry)


def _parsed(option: str) -> tuple[str, Any]:
    """The path and the value. Raises ScenarioError."""
    path, equals, text = option.partition("=")
    if not equals or not path.strip():
        raise ScenarioError([_fault(option, "must be a path and a value, as in `dispatch.interval=15 min`")])
    try:
        read = parse_yaml(f"value: {text}", option).value
    except ScenarioError as error:
        first = error.faults[0]
        raise ScenarioError([Fault(f"--set {option}", first.problem, first.remedy)]) from None
    if set(read) != {"value"}:
        raise ScenarioError([_fault(option, "must hold one value")])
    value = read["value"]
    # a time of day is a number of base 60 to YAML; in a shell quotes around it are easily lost
    return path.strip(), text.strip() if isinstance(value, int) and ":" in text else value


def _fault(option: str, problem: str) -> Fault:
    return Fault(f"--set {option}", f"{problem.rstrip('.')}.")
