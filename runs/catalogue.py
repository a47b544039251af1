"""What there is to use: scenarios that come with the project, federate kinds, perturbations."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING

from cosim.perturbations import perturbation_class, perturbation_kinds
from cosim.registry import federate_class, federate_kinds

if TYPE_CHECKING:
    from rich.console import Console

SCENARIOS = Path(__file__).parent / "scenarios"


def catalogue() -> dict[str, dict[str, str]]:
    """Each class of things, by name, with a line on each."""
    return {
        "scenarios": {str(path): _description(path) for path in sorted(SCENARIOS.glob("*.yaml"))},
        "federates": {kind: _first_line(federate_class(kind)) for kind in federate_kinds()},
        "perturbations": {kind: _first_line(perturbation_class(kind)) for kind in perturbation_kinds()},
    }


def print_catalogue(console: Console) -> None:
    """Print the catalogue as tables."""
    from rich.table import Table

    for title, entries in catalogue().items():
        table = Table(title[:-1], "what it is", title=title.capitalize(), title_justify="left")
        for name, line in entries.items():
            table.add_row(_short(name), line)
        console.print(table)


def _short(name: str) -> str:
    path = Path(name)
    return str(path.relative_to(Path.cwd())) if path.is_absolute() and path.is_relative_to(Path.cwd()) else name


def _first_line(item: type) -> str:
    return (inspect.getdoc(item) or "").partition("\n")[0]


def _description(path: Path) -> str:
    from cosim.yaml_places import read_yaml

    return str(read_yaml(path).value.get("description", "")).strip().partition("\n")[0]
