"""Finding federates by kind and perturbations by name, and checking them when they are found.

A federate of kind `x` is the one `Federate` subclass in `federates/x.py`, or an entry point `x` of
the group `cosim.federates`, or, where the kind ends in `.py`, the one in that file.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
import pkgutil
import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType

from cosim.contract import Federate
from cosim.errors import ContractError
from cosim.settings import Settings

ENTRY_POINT_GROUP = "cosim.federates"
MOST_NAMED = 12  #: names listed where none is near
_METHODS = {"next_time": 1, "solve": 2, "commit": 1, "start": 1, "ports": 0, "close": 0}


class UnknownKindError(LookupError):
    """No federate of that kind; the text names the nearest that there are."""


def unknown(what: str, name: str, known: Iterable[str], where: str = "") -> str:
    """The sentence for a name that does not exist (`where`, if that matters), with the nearest that do, or all."""
    known = sorted(known)
    return f"there is no {what} '{name}'{where and f' in {where}'}. {_instead(name, known)}"


def _instead(name: str, known: list[str]) -> str:
    if not known:
        return "There are none"
    near = difflib.get_close_matches(name, known, n=3)
    if near and len(near) < len(known):
        return f"Did you mean: {', '.join(near)}? There are {len(known)} in all"
    more = f" and {len(known) - MOST_NAMED} more" if len(known) > MOST_NAMED else ""
    return f"Use one of: {', '.join(near or known[:MOST_NAMED])}{more}"


def submodules(package: str) -> list[str]:
    """Names of the public modules in `package`, found without importing them."""
    found = importlib.import_module(package).__path__
    return sorted(entry.name for entry in pkgutil.iter_modules(found) if not entry.name.startswith("_"))


def federate_kinds() -> list[str]:
    """Every kind that a scenario may name, without importing any."""
    return sorted({*submodules("federates"), *(entry.name for entry in entry_points(group=ENTRY_POINT_GROUP))})


@cache
def federate_class(kind: str) -> type[Federate]:
    """The class of `kind`. Raises UnknownKindError or, where it breaks the contract, ContractError."""
    if kind.endswith(".py"):
        return _check(kind, _only_federate(kind, _module_from_file(Path(kind))))
    if kind in submodules("federates"):
        with _readable(kind):
            module = importlib.import_module(f"federates.{kind}")
        return _check(kind, _only_federate(kind, module))
    for entry in entry_points(group=ENTRY_POINT_GROUP, name=kind):
        with _readable(kind):
            found = entry.load()
        return _check(kind, found)
    raise UnknownKindError(unknown("federate kind", kind, federate_kinds()))


@contextmanager
def _readable(kind: str) -> Iterator[None]:
    """Turn what goes wrong while a federate's file is read into a ContractError that says where."""
    try:
        yield
    except Exception as error:
        raise ContractError(f"federate kind '{kind}' cannot be read: {described(error)}") from error


def described(error: BaseException) -> str:
    """An error of a model's code in one line: its class, text, file and line."""
    if isinstance(error, SyntaxError):
        return f"SyntaxError: {error.msg} ({Path(error.filename or '?').name}, line {error.lineno})"
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({Path(frame.filename).name}, line {frame.lineno})"


def _only_federate(kind: str, module: ModuleType) -> type[Federate]:
    own = [
        item
        for item in vars(module).values()
        if inspect.isclass(item) and issubclass(item, Federate) and item.__module__ == module.__name__
    ]
    if len(own) != 1:
        names = ", ".join(item.__name__ for item in own) or "none"
        raise ContractError(f"federate kind '{kind}' must define exactly one Federate class, got {names}")
    return own[0]


def _module_from_file(path: Path) -> ModuleType:
    name = f"cosim_federate_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise UnknownKindError(f"there is no file '{path}' with a federate; correct the path")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # pydantic resolves annotations through it
    with _readable(str(path)):
        spec.loader.exec_module(module)
    return module


def _check(kind: str, found: type[Federate]) -> type[Federate]:
    """Hold a class against the contract before the first call, as the message can still name it."""
    if inspect.isabstract(found):
        missing = ", ".join(sorted(found.__abstractmethods__))
        raise ContractError(f"federate kind '{kind}' ({found.__name__}) does not define: {missing}")
    for method, count in _METHODS.items():
        parameters = list(inspect.signature(getattr(found, method)).parameters)[1:]
        if len(parameters) != count:
            raise ContractError(
                f"federate kind '{kind}': {found.__name__}.{method} must take {count} arguments after self, "
                f"got ({', '.join(parameters)})"
            )
    if not issubclass(found.Config, Settings):
        raise ContractError(f"federate kind '{kind}': {found.__name__}.Config must derive from Settings")
    if found.messaging not in ("none", "agent", "carrier"):
        raise ContractError(
            f"federate kind '{kind}': messaging must be none, agent or carrier, got {found.messaging!r}"
        )
    return found
