"""`cosim wire` as tables: federates in the order of their slots, their ports, the links between them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cosim.contract import Federate, Port
from cosim.federation import Federation
from cosim.units import format_duration

if TYPE_CHECKING:
    from rich.console import Console


def print_federation(federation: Federation, console: Console) -> None:
    """Print all that the engine would run."""
    from rich.table import Column, Table

    start, duration, step = federation.start, format_duration(federation.duration), format_duration(federation.step)
    console.print(f"{federation.scenario}: from {start}, {duration} in steps of {step}, seed {federation.seed}")
    federates = Table("slot", "federate", "kind", "process", "step", "repeats", title="Federates", title_justify="left")
    ports = Table(
        Column("port", no_wrap=True), "direction", "unit", "shape", "what it is", title="Ports", title_justify="left"
    )
    for spec in federation.federates:
        federate = federation.build(spec)
        repeats = "" if spec.group is None else f"in group {spec.group}"
        federates.add_row(str(spec.slot), spec.name, Path(spec.kind).name, spec.process, _step(federate), repeats)
        for port in federate.ports():
            ports.add_row(f"{spec.name}.{port.name}", port.direction, port.unit, _shape(port), port.title)
    ends = (Column("from", no_wrap=True), Column("to", no_wrap=True))
    links = Table(*ends, "gain", "when", "tolerance", title="Links", title_justify="left")
    for link in federation.links:
        when = "last value" if link.lagged else "same time"
        tolerance = "" if link.tolerance is None else f"{link.tolerance:g}"
        links.add_row(str(link.source), str(link.destination), f"{link.gain:g}", when, tolerance)
    for table in (federates, ports, links):
        console.print(table)
    agents = ", ".join(federation.agents) or "none"
    console.print(f"Messages: {agents}; carried by {federation.carrier}", highlight=False)


def _step(federate: Federate) -> str:
    first = federate.next_time(-1)
    second = federate.next_time(first) if first is not None else None
    return "" if first is None or second is None else format_duration(second - first)


def _shape(port: Port) -> str:
    return " x ".join(f"{len(labels)} {name}" for name, labels in port.coordinates.items()) or "one"
