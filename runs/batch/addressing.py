"""Where a parameter of a batch acts: a dotted path into the scenario, as the scenario's file writes it.

`perturbations[heat].share`, `perturbations.heat.share`, `feeders[0].model.homes.ev_share`,
`feeders[*].model.homes.count`, `weather.table`: entries of a list by name, by position or, with `*`, all of them.
A path may end at a whole section. What the file leaves to its default has a path too.
"""

from __future__ import annotations

import os
import re
import types
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin

from cosim.errors import ContractError
from cosim.model import Model
from cosim.perturbations import perturbation_class
from cosim.registry import UnknownKindError, unknown
from cosim.scenario import Scenario, federate_config
from cosim.settings import Settings
from cosim.yaml_places import Location, dotted

_STEPS = re.compile(r"(?:^|\.)([^.\[\]]+)|\[([^\[\]]+)\]")
ALL = "*"  #: every entry of a list


class PathError(ValueError):
    """A path leads nowhere; the text says why and names what is near."""


def parse_path(path: str) -> tuple[str, ...]:
    """The steps of `a.b[c].d`: its names and labels. Raises PathError."""
    found = list(_STEPS.finditer(path))
    if not found or path.startswith(".") or "".join(match.group() for match in found) != path:
        raise PathError(f"must be a path such as `feeders[oak].model.homes.ev_share`, got '{path}'")
    return tuple(match.group(1) or match.group(2) for match in found)


def locations(document: Mapping[str, Any], path: str, folder: Path) -> list[Location]:
    """Every place in `document` (a scenario as written) that `path` means; more than one only with `*`.

    Raises PathError with the nearest settings or entries where the schema has none of that name.
    """
    return list(_walk(document, Scenario, parse_path(path), (), folder))


def assign(document: dict[str, Any], location: Location, value: Any) -> None:
    """Write `value` at `location`, in place; sections that are not written yet are added. Raises PathError."""
    here: Any = document
    for number, step in enumerate(location[:-1]):
        if isinstance(here, dict) and here.get(str(step)) is None:
            here[str(step)] = {}
        here = here[step]
        if not isinstance(here, dict | list):
            raise PathError(f"`{dotted(location[: number + 1])}` holds {here!r}, not a section")
    here[location[-1]] = value


def counted_from(value: Any, here: Path, folder: Path) -> Any:
    """`value` of a setting that is named in the folder `here`, for a scenario in `folder`.

    A text in it that is a path to a file in `here` becomes one from `folder`; all else stays as it is written.
    """
    if isinstance(value, dict):
        return {key: counted_from(item, here, folder) for key, item in value.items()}
    if isinstance(value, list):
        return [counted_from(item, here, folder) for item in value]
    if not isinstance(value, str) or not ("/" in value or Path(value).suffix) or here.resolve() == folder.resolve():
        return value
    try:
        there = not Path(value).is_absolute() and (here / value).is_file()
    except (OSError, ValueError):  # a text that cannot be a path
        return value
    return os.path.relpath((here / value).resolve(), folder.resolve()) if there else value


def _walk(value: Any, annotation: Any, steps: Sequence[str], done: Location, folder: Path) -> Iterator[Location]:
    if not steps:
        yield done
        return
    kinds = list(_members(annotation))
    entry = next((kind for kind in kinds if get_origin(kind) in (tuple, list, Sequence)), None)
    if entry is not None:
        for position in _positions(value, steps[0], done):
            yield from _walk(value[position], get_args(entry)[0], steps[1:], (*done, position), folder)
        return
    mapping = next((kind for kind in kinds if get_origin(kind) in (dict, Mapping)), None)
    if mapping is not None:
        inside = value.get(steps[0]) if isinstance(value, dict) else None
        yield from _walk(inside, get_args(mapping)[1], steps[1:], (*done, steps[0]), folder)
        return
    if Any in kinds:
        inside = value.get(steps[0]) if isinstance(value, dict) else None
        yield from _walk(inside, Any, steps[1:], (*done, steps[0]), folder)
        return
    fields = _fields([kind for kind in kinds if _is_settings(kind)], value, done, folder)
    if not fields:
        raise PathError(f"`{dotted(done)}` is a single value, without settings inside; leave `{steps[0]}` out")
    if steps[0] not in fields:
        raise PathError(unknown("setting", steps[0], fields, dotted(done) or "a scenario"))
    inside = value.get(steps[0]) if isinstance(value, dict) else None
    yield from _walk(inside, fields[steps[0]], steps[1:], (*done, steps[0]), folder)


def _is_settings(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Settings)


def _members(annotation: Any) -> Iterator[Any]:
    """The types that an annotation stands for, without `Annotated`, `None` and unions around them."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _members(get_args(annotation)[0])
    elif origin in (Union, types.UnionType):
        for member in get_args(annotation):
            yield from _members(member)
    elif annotation is not type(None):
        yield annotation


def _positions(value: Any, step: str, done: Location) -> list[int]:
    """The positions in the list `value` that `step` means: all, one by its number, or one by its name."""
    entries = value if isinstance(value, list | tuple) else []
    if step == ALL:
        if not entries:
            raise PathError(f"`{dotted(done)}` has no entries")
        return list(range(len(entries)))
    names = [_name(entry, number) for number, entry in enumerate(entries)]
    if step in names:
        return [names.index(step)]
    if step.isdigit() and int(step) < len(entries):
        return [int(step)]
    raise PathError(unknown("entry", step, [name for name in names if name], dotted(done)))


def _name(entry: Any, position: int) -> str:
    """An entry's name; a perturbation without one has its kind and number, as in results."""
    if not isinstance(entry, dict):
        return ""
    default = f"{entry['kind']}_{position + 1}" if isinstance(entry.get("kind"), str) else ""
    return str(entry.get("name") or default)


def _fields(classes: Sequence[type[Settings]], value: Any, done: Location, folder: Path) -> dict[str, Any]:
    """The settings that may stand in a section, with their annotations; for a model those of its kind too."""
    fields: dict[str, Any] = {}
    for found in classes:
        for each in (found, *_config(found, value, done, folder)):
            for name, field in each.model_fields.items():
                fields[field.alias or name] = field.annotation
    return fields


def _config(found: type[Settings], value: Any, done: Location, folder: Path) -> Iterator[type[Settings]]:
    """The settings class of the federate or perturbation that a model section names."""
    if not issubclass(found, Model):
        return
    written = value.get("kind") if isinstance(value, dict) else None
    kind = written or found.model_fields["kind"].get_default()
    if not isinstance(kind, str):
        raise PathError(f"`{dotted(done)}` names no kind")
    try:
        disturbs = {"perturbations", "disturbances"} & set(done)
        yield perturbation_class(kind) if disturbs else federate_config(kind, folder)
    except (UnknownKindError, ContractError) as error:
        raise PathError(f"{error}") from None
