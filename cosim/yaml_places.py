"""Reading YAML so that every value can be found again: its line in the file, and no key given twice.

A file can hold far more than it is long: aliases that expand, brackets that nest. It is measured before it is read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import yaml

from cosim.errors import Fault, ScenarioError
from cosim.input_files import read_text

MOST_VALUES = 300_000  #: that a file may hold, those counted that its aliases stand for
DEEPEST = 100  #: levels of lists and mappings in each other
LONGEST_TEXT = 100_000  #: [characters] of one value
LONGEST_NUMBER = 40  #: [characters]; Python reads longer ones in quadratic time

_OF_NUMBERS = frozenset("+-.0123456789_:e")
_OF_HEXADECIMALS = _OF_NUMBERS | frozenset("xabcdf")

Location = tuple[str | int, ...]  #: a path inside the file: keys and list positions

_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Base):  # type: ignore[misc]
    """Leaves dates as text: the settings read them, and know their place if they are wrong."""

    yaml_implicit_resolvers: ClassVar = {
        first: [entry for entry in entries if entry[0] != "tag:yaml.org,2002:timestamp"]
        for first, entries in _Base.yaml_implicit_resolvers.items()
    }


@dataclass
class Document:
    """A YAML file's value, and the line of each location in it."""

    name: str
    value: Any
    lines: Mapping[Location, int] = field(default_factory=dict)
    options: dict[Location, str] = field(
        default_factory=dict
    )  #: what was given in place of the file's, as `path=value`

    def place(self, location: Sequence[str | int]) -> str:
        """Where `location` stands: `file.yaml:12: feeders[0].bus`; the nearest parent's line if it is missing."""
        path = tuple(location)
        given = next(
            (self.options[path[:size]] for size in range(len(path), -1, -1) if path[:size] in self.options), ""
        )
        if given:
            return f"--set {given}: {dotted(path)}"
        known = next((path[:size] for size in range(len(path), -1, -1) if path[:size] in self.lines), ())
        return f"{self.name}:{self.lines.get(known, 1)}: {dotted(path) or '(whole file)'}"

    def written(self, location: Sequence[str | int]) -> tuple[Location, Any]:
        """`location` without the parts that no file has (a union's variant), and what is written there."""
        value: Any = self.value
        path: list[str | int] = []
        for number, part in enumerate(location):
            if isinstance(value, dict | list) and part in (value if isinstance(value, dict) else range(len(value))):
                value = value[part]  # type: ignore[index]
                path.append(part)
            elif number == len(location) - 1:
                value = None
                path.append(part)
        return tuple(path), value


def dotted(location: Sequence[str | int]) -> str:
    """`("feeders", 0, "bus")` as `feeders[0].bus`."""
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def read_yaml(path: Path) -> Document:
    """Read one YAML mapping. Raises ScenarioError with the place of every fault found."""
    return parse_yaml(read_text(path), path.name)


def parse_yaml(text: str, name: str) -> Document:
    """Parse YAML text that must hold one mapping; see `read_yaml`."""
    loader = _Loader(text)
    try:
        _measure(text, name)
        node = loader.get_single_node()
        document = Document(name, None)
        faults: list[Fault] = []
        _walk(node, (), document, faults)
        if not isinstance(node, yaml.MappingNode):
            faults.append(Fault(f"{name}:1", "must hold a mapping of sections.", "See `cosim schema`."))
        if faults:
            raise ScenarioError(faults)
        document.value = loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{name}:{mark.line + 1}" if mark else name
        problem = (error.problem or str(error)).removeprefix("but ")
        raise ScenarioError(
            [Fault(place, f"is not valid YAML: {problem}.", "Check the indentation (spaces, no tabs) and the quotes.")]
        ) from None
    except yaml.reader.ReaderError as error:
        place = f"{name}:{text.count(chr(10), 0, error.position) + 1}"
        problem = f"holds the character {error.character!r}, which no text has."
        raise ScenarioError([Fault(place, problem, "Remove it.")]) from None
    except (yaml.YAMLError, ValueError) as error:
        raise ScenarioError([Fault(name, f"is not valid YAML: {error}.")]) from None
    finally:
        loader.dispose()
    return document


def _measure(text: str, name: str) -> None:
    """Raise ScenarioError for a file that holds too much, before anything is built of it: events cost no memory."""
    sizes: dict[str, int] = {}  # how many values an anchor stands for
    entered: list[tuple[str | None, int]] = []  # the anchor of each level, and how many values came before it
    values = 0
    loader = _Loader(text)
    try:
        while loader.check_event():
            event = loader.get_event()
            place = f"{name}:{event.start_mark.line + 1}"
            if isinstance(event, yaml.CollectionEndEvent):
                anchor, before = entered.pop()
                if anchor is not None:
                    sizes[anchor] = values - before
                continue
            if not isinstance(event, yaml.NodeEvent):
                continue
            if isinstance(event, yaml.AliasEvent) and event.anchor in {anchor for anchor, _ in entered}:
                raise ScenarioError([Fault(place, f"`*{event.anchor}` stands within itself.", "Remove it.")])
            if isinstance(event, yaml.CollectionStartEvent):
                entered.append((event.anchor, values))
            elif isinstance(event, yaml.ScalarEvent):
                _check_scalar(event, place)
            values += sizes.get(str(event.anchor), 1) if isinstance(event, yaml.AliasEvent) else 1
            _check_extent(len(entered), values, place)
    finally:
        loader.dispose()


def _check_extent(depth: int, values: int, place: str) -> None:
    """Raise ScenarioError for what nests too deeply, or holds too many values."""
    if depth > DEEPEST:
        problem = f"nests more than {DEEPEST} levels deep."
        raise ScenarioError([Fault(place, problem, "Close the brackets, or write it flatter.")])
    if values > MOST_VALUES:
        problem = f"holds more than {MOST_VALUES:,} values, aliases (`*`) counted as what they stand for."
        raise ScenarioError([Fault(place, problem, "Write less; a feeder's `count` and `buses` stand for many.")])


def _check_scalar(event: yaml.ScalarEvent, place: str) -> None:
    """Raise ScenarioError for a value too long to be meant."""
    text = event.value
    if len(text) > LONGEST_TEXT:
        problem = f"has a value of {len(text):,} characters; at most {LONGEST_TEXT:,} are read."
        raise ScenarioError([Fault(place, problem, "Shorten it.")])
    if event.implicit[0] and len(text) > LONGEST_NUMBER and text[0] in "+-.0123456789" and _number(text):
        raise ScenarioError([Fault(place, f"has a number of {len(text):,} characters.", "Round it.")])


def _number(text: str) -> bool:
    """Whether plain `text` is a number in YAML, base 60 included; a file's hash is none."""
    small = text.lower()
    return set(small) <= (_OF_HEXADECIMALS if small.lstrip("+-").startswith("0x") else _OF_NUMBERS)


def _walk(node: yaml.Node | None, path: Location, document: Document, faults: list[Fault]) -> None:
    if node is None:
        return
    lines: dict[Location, int] = document.lines  # type: ignore[assignment]
    lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key_node, value_node in node.value:
            key = str(key_node.value)
            here = (*path, key)
            if key in seen:
                place = f"{document.name}:{key_node.start_mark.line + 1}: {dotted(here)}"
                faults.append(Fault(place, "is given twice.", "Keep one of the two."))
            seen.add(key)
            lines[here] = key_node.start_mark.line + 1
            _walk(value_node, here, document, faults)
    elif isinstance(node, yaml.SequenceNode):
        for position, item in enumerate(node.value):
            _walk(item, (*path, position), document, faults)
