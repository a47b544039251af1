"""What an output needs: where an input is 0 that it depends on, such as a voltage or an availability, it is 0 too.

What rests at 0, such as the availability of a charger in a home that has none, tells nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from cosim.check import Check
from cosim.contract import Port
from cosim.federation import LinkSpec
from cosim.port_statements import where
from cosim.recorded_inputs import RecordedInputs, UnknownInputError, brought
from cosim.units import format_duration

NEEDS = "needs"  #: the attribute of an output that needs inputs
_WRONG = "The federate does not heed its inputs: do not use its results."


def _parts(need: str) -> tuple[str, str]:
    """The name and the label, or ""."""
    name, _, label = need.partition("[")
    return name, label.removesuffix("]")


def needs_faults(ports: Sequence[Port]) -> Iterator[str]:
    """What is wrong with what outputs need, in words."""
    inputs = {port.name: port for port in ports if port.direction == "in"}
    for port in ports:
        for need in port.needs:
            name, label = _parts(need)
            given = inputs.get(name)
            labels = () if given is None else tuple(next(iter(given.coordinates.values()), ()))
            if given is None or (label and label not in labels):
                yield f"the output '{port.name}' needs '{need}', which is no input"
            elif (given.shape[1:] if label else given.shape) not in ((), port.shape):
                yield f"the output '{port.name}' needs '{need}', which is of another length"


def written(port: Port, ports: Sequence[Port], links: Sequence[LinkSpec]) -> str:
    """What an output needs and how it comes, as text; "" if it is nothing that comes over links."""
    found = []
    for need in port.needs:
        name, label = _parts(need)
        given = next(one for one in ports if one.direction == "in" and one.name == name)
        how = brought(ports, links, name)
        row = list(next(iter(given.coordinates.values()))).index(label) if label else None
        if how["links"]:
            found.append({"need": need, "name": name, "row": row, "how": how, "outlasts": port.outlasts})
    return json.dumps(found) if found else ""


def check_needs(recorded: RecordedInputs, group: Mapping[str, Any], name: str) -> Iterator[Check]:
    """Whether each output of a federate is 0 where it must be. Raises ResultsError."""
    good = 0
    for key, array in group.items():
        for stated in json.loads(array.attributes.get(NEEDS, "[]")):
            title = f"{key.replace('_', ' ')} of {name} without {stated['need']}"
            try:
                found = _wrong(title, stated, recorded, group, key, name)
            except UnknownInputError as error:
                if recorded.left_out(error):
                    continue
                found = Check(name=title, passed=False, detail=f"cannot be checked: {error} is not recorded")
            good += found is None
            if found is not None:
                yield found
    if good:
        detail = f"nothing of what {good} outputs are where what they need is not there"
        yield Check(name=f"needs of {name}", passed=True, detail=detail, federate=name)


def _wrong(
    title: str, stated: Mapping[str, Any], recorded: RecordedInputs, group: Mapping[str, Any], key: str, name: str
) -> Check | None:
    """The largest value that must be 0; None if all are."""
    given = recorded.value(stated["name"], stated["how"])
    given = given if stated["row"] is None else given[:, stated["row"]]
    rest = np.broadcast_to(np.asarray(stated["how"]["rest"]), stated["how"]["shape"])
    missing = (given == 0) & ((rest if stated["row"] is None else rest[stated["row"]]) != 0)
    if not missing.any():
        return None
    times = recorded.times.reshape(-1, *[1] * (missing.ndim - 1))
    there = np.maximum.accumulate(np.where(missing, times[0] - 1, times), axis=0)  # when it was so last
    missing = times - there > stated["outlasts"]
    values = np.abs(recorded.output(key)[...])
    wrong = np.where(missing.reshape(*given.shape, *[1] * (values.ndim - given.ndim)), values, 0.0)
    if not np.any(wrong > 0.0):
        return None
    place = np.unravel_index(int(wrong.argmax()), wrong.shape)
    time, unit = int(recorded.times[place[0]]), group[key].attributes["units"]
    steps = int((wrong > 0.0).reshape(len(wrong), -1).any(axis=1).sum())
    detail = (
        f"{wrong[place]:.4g} {unit}{where(group, group[key], place[1:])} at {format_duration(time)}, must be 0; "
        f"so in {steps} of {len(wrong)} steps"
    )
    return Check(name=title, passed=False, detail=detail, federate=name, time=time, remedy=_WRONG)
