"""Balances: recorded powers that must add up, each in the unit of its port, at every recorded step.

A model that says of itself that its powers add up says so before the last conversion. Here they are added up from what
was recorded of it, and of those who gave its inputs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosim.check import Check
from cosim.contract import Balance, Port, Term
from cosim.federation import LinkSpec
from cosim.port_statements import bounds_text, where
from cosim.recorded_inputs import RecordedInputs, UnknownInputError, brought
from cosim.units import UNITS, format_duration

BALANCES = "balances"  #: the attribute of a balance's first output
_POWERS = ("power", "apparent power", "reactive power", "ratio")
_WRONG = "What was recorded contradicts itself: do not use the results."

Floats = NDArray[np.float64]


def balance_faults(ports: Sequence[Port], balances: Sequence[Balance]) -> Iterator[str]:
    """What is wrong with a federate's balances, in words."""
    outputs = {port.name: port for port in ports if port.direction == "out"}
    known = {port.name: port for port in ports if port.direction == "in"} | outputs
    for balance in balances:
        what = f"the balance '{balance.name}'"
        if not balance.terms or balance.terms[0].port not in outputs:
            yield f"{what} must begin with an output"
        names = [term.port for term in balance.terms] + [*(balance.where or ())[:1]]
        for name in names:
            if name not in known or UNITS[known[name].unit][0] not in (*_POWERS, "per unit"):
                yield f"{what} names '{name}', which is no power, no ratio and no voltage of it"
        shapes = {known[term.port].shape for term in balance.terms if term.port in known and not term.total}
        if len(shapes - {()}) > 1:
            yield f"{what} adds up what is of different lengths"
        if UNITS[balance.unit][0] not in _POWERS:
            yield f"{what} is in {balance.unit}, which is no power"


def written(balances: Sequence[Balance], output: str, ports: Sequence[Port], links: Sequence[LinkSpec]) -> str:
    """The balances that begin with `output`, and how their inputs come, as text; "" if there are none."""
    own = [balance for balance in balances if balance.terms[0].port == output]
    if not own:
        return ""
    outputs = {port.name for port in ports if port.direction == "out"}
    names = {term.port for balance in own for term in balance.terms}
    names |= {balance.where[0] for balance in own if balance.where is not None}
    inputs = {name: brought(ports, links, name) for name in sorted(names - outputs)}
    return json.dumps({"balances": [asdict(balance) for balance in own], "inputs": inputs})


def check_balances(recorded: RecordedInputs, group: Mapping[str, Any], name: str) -> Iterator[Check]:
    """Whether what a federate says adds up does. Raises ResultsError."""
    for array in group.values():
        if BALANCES not in array.attributes:
            continue
        stated = json.loads(array.attributes[BALANCES])
        for fields in stated["balances"]:
            balance = Balance(**fields | {"terms": tuple(Term(**term) for term in fields["terms"])})
            title = f"{balance.name} of {name}"
            try:
                yield _judged(title, balance, stated["inputs"], recorded, group, name)
            except UnknownInputError as error:
                if not recorded.left_out(error):
                    detail = f"cannot be checked: {error} is not recorded"
                    yield Check(name=title, passed=False, detail=detail, federate=name)


def _judged(
    title: str,
    balance: Balance,
    inputs: Mapping[str, Any],
    recorded: RecordedInputs,
    group: Mapping[str, Any],
    name: str,
) -> Check:
    times = recorded.times
    parts = [_part(term, balance.unit, inputs, recorded) for term in balance.terms]
    width = max(part.ndim for part in parts)
    parts = [part.reshape(*part.shape, *[1] * (width - part.ndim)) for part in parts]
    left: Floats = sum(parts[1:], parts[0])
    low, high = (np.asarray(bound, dtype=float) for bound in balance.bounds)
    beyond = np.maximum(low - left, left - high)
    if balance.share:
        beyond = beyond - balance.share * np.max([np.abs(np.broadcast_to(one, left.shape)) for one in parts], axis=0)
    if balance.where is not None:
        other, least, most = balance.where
        size = np.abs(_value(other, inputs, recorded)[0])
        held = (size >= least) & (size <= most)
        beyond = np.where(held.reshape(len(times), *[1] * (width - 1)), beyond, -np.inf)
    outside = ~(beyond <= 0)  # NaN is outside
    if not outside.any():
        largest = float(np.abs(left).max()) if left.size else 0.0
        detail = f"adds up, {largest:.3g} {balance.unit} left at most"
        return Check(name=title, passed=True, detail=detail, federate=name)
    place = np.unravel_index(int(np.where(outside, np.nan_to_num(beyond, nan=np.inf), -np.inf).argmax()), left.shape)
    whole = next((term.port for term in balance.terms if not term.total and term.port in group), "")
    words = [
        f"{term.port.replace('_', ' ')} {np.broadcast_to(part, left.shape)[place]:.4g}"
        for term, part in zip(balance.terms, parts, strict=True)
    ]
    least, most = (float(np.broadcast_to(bound, left.shape[1:])[place[1:]]) for bound in (low, high))
    at = where(group, group[whole], place[1:]) if width > 1 else ""
    time, steps = int(times[place[0]]), int(outside.reshape(len(times), -1).any(axis=1).sum())
    detail = (
        f"{' + '.join(words)} {balance.unit} leave {left[place]:.4g} {balance.unit}{at} at {format_duration(time)} "
        f"(possible: {bounds_text(least, most, balance.unit)}), outside in {steps} of {len(times)} steps"
    )
    return Check(name=title, passed=False, detail=detail, federate=name, time=time, remedy=_WRONG)


def _value(name: str, inputs: Mapping[str, Any], recorded: RecordedInputs) -> tuple[NDArray[Any], str]:
    """An input or output (steps, ...), and its unit."""
    if name in inputs:
        return recorded.value(name, inputs[name]), inputs[name]["unit"]
    array = recorded.output(name)
    return array[...], array.attributes["units"]


def _part(term: Term, unit: str, inputs: Mapping[str, Any], recorded: RecordedInputs) -> Floats:
    """What a term gives [unit], (steps, ...) or, where its elements are added up, (steps,)."""
    values, own = _value(term.port, inputs, recorded)
    scale = 1.0 if UNITS[own][0] == "ratio" else UNITS[own][1] / UNITS[unit][1]
    part: Floats = values.real * (np.asarray(term.factor, dtype=float) * scale)
    return part.reshape(len(part), -1).sum(axis=1) if term.total else part
