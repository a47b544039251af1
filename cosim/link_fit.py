"""Whether the two ends of a link are the same quantity: unit, type, and the labels that each value belongs to.

A length says nothing: four leads of an hour and four of thirty minutes are both four. So along each dimension the
labels must be the same in the same order, or the link says that it joins by label. Nothing is broadcast: a number
goes to one label of an array, `port[label]`, and each further label takes a link of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from cosim.contract import Port
from cosim.federation import LinkSpec, PortReference
from cosim.units import NANOSECONDS, parse

#: Units of what does not add up: two voltages at one place are no voltage of twice the size.
INTENSIVE = ("pu", "%", "V", "kV", "Hz", "Hz/s", "degC", "degF", "K", "m/s", "km/h", "W/m2", "$/MWh")
SHOWN = 4  #: labels named where two lists differ

Axis = tuple[str, tuple[str, ...]]  #: a dimension and its labels


def misfit(link: LinkSpec, source: Port, destination: Port) -> str:
    """Why the two ports of a link do not fit, and what to do; "" if they do."""
    if source.unit != destination.unit:
        return f"the source is in {source.unit}, the destination in {destination.unit}. Link ports of one unit."
    if source.is_complex != destination.is_complex:
        kind = "complex" if source.is_complex else "real"
        return f"the source is {kind}, the destination is not. Link ports of one type."
    axes = _axes(link.source, source), _axes(link.destination, destination)
    problem = _apart(*axes)
    if problem:
        return problem
    if link.lagged and destination.initial is None:
        return f"a lagged link needs an initial value, and '{destination.name}' has none. Leave `lagged` out."
    if link.late and destination.initial is None:
        return f"its source begins later, and '{destination.name}' has no value until then."
    return ""


def _axes(end: PortReference, port: Port) -> list[Axis]:
    """The dimensions that are left of a port at this end of a link."""
    found = [(dimension, tuple(labels)) for dimension, labels in port.coordinates.items()]
    return found if end.label is None else found[1:]


def _apart(source: list[Axis], destination: list[Axis]) -> str:
    if len(source) != len(destination):
        shapes = " against ".join(str(tuple(len(labels) for _, labels in axes)) for axes in (source, destination))
        return f"the shapes differ, {shapes}. Choose a label, as in `port[label]`, or ports of one shape."
    for (dimension, given), (other, taken) in zip(source, destination, strict=True):
        if dimension != other:
            return (
                f"the source is over {dimension}, the destination over {other}. Link label by label, as in "
                "`port[label]`, or call the dimension alike."
            )
        if tuple(map(_meaning, given)) != tuple(map(_meaning, taken)):
            return _labels_differ(dimension, given, taken)
    return ""


def _meaning(label: str) -> str | int:
    """What a label says: of a time its length [ns], so that `60 min` is `1 h`; else the text itself."""
    if label.rpartition(" ")[2] not in NANOSECONDS:
        return label
    try:
        return round(parse(label, "s", bare=False) * 1e9)
    except ValueError:
        return label


def _labels_differ(dimension: str, given: Sequence[str], taken: Sequence[str]) -> str:
    if dimension == "lead":
        finer = " Or link them `by_label: true`." if set(taken) <= set(given) else ""
        return (
            f"the source's leads are {_some(given)}, the destination's {_some(taken)}. Give both one `interval` and "
            f"one `lookahead`, or leave them out where the wiring fills them in.{finer}"
        )
    if set(taken) <= set(given):
        how = "in another order" if len(given) == len(taken) else f"only {len(taken)} of its {len(given)}"
        return (
            f"the destination has the source's labels of '{dimension}' {how}. Say `by_label: true`: each takes the "
            "value of its own label."
        )
    missing = [label for label in taken if label not in set(given)]
    return (
        f"the labels of '{dimension}' differ: the source has {_some(given)}, and not {_some(missing)} of the "
        "destination. Link label by label, as in `port[label]`."
    )


def _some(labels: Sequence[str]) -> str:
    more = f", ... ({len(labels)})" if len(labels) > SHOWN else ""
    return ", ".join(labels[:SHOWN]) + more


def joined_by_label(link: LinkSpec, source: Port | None, destination: Port | None) -> list[LinkSpec]:
    """A link for each label of the destination, from the same label of the source.

    Raises ValueError where that cannot be had.
    """
    ends = [(link.source, source), (link.destination, destination)]
    if any(end.label is not None for end, _ in ends):
        raise ValueError("joins by label and names one too; leave `by_label` or the label out")
    if source is None or destination is None:
        return [link]  # said with the place of the end that is wrong
    given, taken = (next(iter(port.coordinates.items()), None) for port in (source, destination))
    if given is None or taken is None or given[0] != taken[0]:
        raise ValueError("joins by label, which needs two ports over one dimension")
    missing = [label for label in taken[1] if label not in set(given[1])]
    if missing:
        raise ValueError(f"joins by label, and the source has no {taken[0]} {_some(missing)}")
    return [
        link.model_copy(
            update={
                "source": link.source.model_copy(update={"label": label}),
                "destination": link.destination.model_copy(update={"label": label}),
            }
        )
        for label in taken[1]
    ]


def not_additive(port: Port, links: Sequence[LinkSpec]) -> str:
    """Why the links that end at one input cannot add up there; "" if they can.

    Powers and energies add up. Of a voltage, a temperature, a price or an availability (an input that rests at 1)
    several links can make a mean only: their gains add up to 1.
    """
    if port.unit not in INTENSIVE and not (port.unit == "1" and _rests_at_one(port)):
        return ""
    for labels in _overlapping(links):
        shares = sum(link.gain for link in labels)
        if len(labels) > 1 and abs(shares - 1.0) > 1e-9:
            sources = " and ".join(str(link.source) for link in labels[:SHOWN])
            return (
                f"takes {sources}, which would add up to {shares:g} times {port.unit if port.unit != '1' else 'it'}: "
                "a quantity of this kind does not add. Leave one out, or give gains that sum to 1."
            )
    return ""


def _rests_at_one(port: Port) -> bool:
    return port.initial is not None and bool(np.any(np.asarray(port.initial) == 1.0))


def _overlapping(links: Sequence[LinkSpec]) -> list[list[LinkSpec]]:
    """The links that end at each label of one input; those that end at the whole count for every label."""
    whole = [link for link in links if link.destination.label is None]
    by_label: Mapping[str, list[LinkSpec]] = {
        label: [link for link in links if link.destination.label == label]
        for label in {str(link.destination.label) for link in links if link.destination.label is not None}
    }
    return [[*whole, *entry] for entry in by_label.values()] or [whole]
