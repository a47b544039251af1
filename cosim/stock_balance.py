"""The balance of stored energy: what a stock gained must be what flowed into it, at every recorded step.

It is made from what was recorded alone: a federate's `Stock` is stored beside the energy that it is of. The error is
that of the whole time up to a step, so a small leak that lasts is found as well as one large jump.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosim.check import Check, Store
from cosim.contract import Flow, Port, Stock, Time
from cosim.stored_arrays import StoredArray
from cosim.units import UNITS, format_duration

STOCK = "stock"  #: the attribute of a stored energy
ENERGY_UNITS = tuple(unit for unit, (dimension, _, _) in UNITS.items() if dimension == "energy")

_HOUR = 3.6e12  #: [ns]
_BLOCK = 2**22  #: numbers of an array that are looked at together
_FLOWS = ("power", "apparent power", "energy")
_DECLARE = "Give the federate `stocks()` with the flows of it, or with the reason why there are none."
_WRONG = "The federate's energy and flows contradict each other: do not use its results."

Floats = NDArray[np.float64]


def written(stock: Stock) -> str:
    """A stock as text, which any reader of a store can keep as an attribute."""
    return json.dumps(asdict(stock))


def read(text: str) -> Stock:
    """A stock from its text."""
    fields = {name: _tuples(value) for name, value in json.loads(text).items()}
    flows = (Flow(**{name: _tuples(value) for name, value in flow.items()}) for flow in fields["flows"])
    return Stock(**fields | {"flows": tuple(flows)})


def _tuples(value: Any) -> Any:
    """Lists, as JSON has them, turned into tuples."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def stock_faults(ports: Sequence[Port], stocks: Sequence[Stock]) -> Iterator[str]:
    """What is wrong with a federate's stocks, in words: outputs that are not there, of another shape or unit."""
    outputs = {port.name: port for port in ports if port.direction == "out"}
    seen: set[str] = set()
    for stock in stocks:
        port = outputs.get(stock.energy)
        if port is None or port.unit not in ENERGY_UNITS or port.is_complex:
            yield f"the stock '{stock.energy}' is no real output in {' or '.join(ENERGY_UNITS)}"
            continue
        if stock.energy in seen:
            yield f"the stock '{stock.energy}' is there twice"
        seen.add(stock.energy)
        if bool(stock.flows) == bool(stock.unbalanced):
            yield f"the stock '{stock.energy}' must have flows, or say in `unbalanced` why it has none"
        for flow in stock.flows:
            yield from _flow_faults(port, flow, outputs.get(flow.output))
        if stock.capacity is not None and np.shape(stock.capacity) not in ((), port.shape):
            yield f"the capacity of the stock '{stock.energy}' must be one number or have its shape {port.shape}"


def _flow_faults(energy: Port, flow: Flow, port: Port | None) -> Iterator[str]:
    what = f"the flow '{flow.output}' of the stock '{energy.name}'"
    if port is None or UNITS[port.unit][0] not in _FLOWS:
        yield f"{what} is no output of a power or an energy"
    elif {k: list(v) for k, v in port.coordinates.items()} != {k: list(v) for k, v in energy.coordinates.items()}:
        yield f"{what} must have the labels of the stock"
    for share in map(np.asarray, (flow.charging, flow.discharging)):
        if share.shape not in ((), energy.shape) or not np.all((share > 0.0) & (share <= 1.0)):
            yield f"{what} must have efficiencies above 0 and up to 1, one number or in the shape {energy.shape}"


def check_stocks(store: Store, name: str) -> Iterator[Check]:
    """Whether every stock of a federate gained what flowed into it, and stayed within its limits.

    Raises ResultsError.
    """
    recorded = store.get(name, {})
    for energy, array in recorded.items():
        if STOCK not in array.attributes:
            continue
        stock = read(array.attributes[STOCK])
        needed = ["time", energy, *(flow.output for flow in stock.flows)]
        missing = [one for one in needed if one not in recorded]
        if missing:
            passed, detail, time = False, f"cannot be checked: {', '.join(missing)} is not recorded", None
        elif len({len(recorded[one]) for one in needed}) > 1:
            passed, detail, time = False, "cannot be checked: not all of it has the same steps", None
        else:
            passed, detail, time = _judged(energy, stock, recorded)
        remedy = None if passed else _WRONG
        yield Check(name=_title(energy, name), passed=passed, detail=detail, federate=name, time=time, remedy=remedy)


def unbalanced_energies(store: Store, name: str) -> Iterator[Check]:
    """The energies of a federate that no stock holds to a flow, which is no fault, but must be said."""
    recorded = store.get(name, {})
    stocks = [read(array.attributes[STOCK]) for array in recorded.values() if STOCK in array.attributes]
    held = {stock.energy for stock in stocks} | {flow.output for stock in stocks for flow in stock.flows}
    for energy, array in recorded.items():
        if array.attributes.get("units") in ENERGY_UNITS and energy not in held:
            detail = "was not held against what flowed: its federate declares no stock"
            yield Check(name=_title(energy, name), passed=False, detail=detail, federate=name, remedy=_DECLARE)


def _title(energy: str, name: str) -> str:
    return f"balance of {energy.replace('_', ' ')} of {name}"


@dataclass
class _Extreme:
    """The largest excess over a limit, and the first time at which there was one."""

    limit: float
    value: float = -math.inf
    time: Time = 0
    place: tuple[int, ...] = ()
    first: bool = field(default=False)  #: an excess was found, and is kept

    def take(self, times: NDArray[np.int64], values: Floats) -> None:
        """Look at `values` (times, ...); NaN is beyond every limit."""
        if self.first or not values.size:
            return
        rows = values.reshape(len(values), -1)
        beyond = ~(rows <= self.limit)
        row = int(np.argmax(beyond.any(axis=1))) if beyond.any() else int(np.argmax(rows.max(axis=1)))
        column = int(np.argmax(beyond[row])) if beyond.any() else int(np.argmax(rows[row]))
        if beyond.any() or rows[row, column] > self.value:
            self.value, self.time, self.first = float(rows[row, column]), int(times[row]), bool(beyond.any())
            self.place = tuple(int(k) for k in np.unravel_index(column, values.shape[1:])) if values.ndim > 1 else ()


def _judged(name: str, stock: Stock, recorded: Mapping[str, StoredArray]) -> tuple[bool, str, Time | None]:
    """Hold one stock against its flows and limits, block by block: whether they hold, the words, when."""
    energy, unit = recorded[name], recorded[name].attributes["units"]
    times = recorded["time"][...]
    balance = _Extreme(stock.tolerance)
    below, above = _Extreme(stock.tolerance), _Extreme(stock.tolerance)
    largest = None if stock.capacity is None else np.asarray(stock.capacity, dtype=np.float64)
    rows = max(2, _BLOCK // max(1, math.prod(energy.shape[1:])))
    gained: Floats = np.zeros(energy.shape[1:])
    for start in range(0, len(times), rows):
        values = energy[start : start + rows]
        if stock.least is not None:
            below.take(times[start : start + rows], stock.least - values)
        if largest is not None:
            above.take(times[start : start + rows], values - largest)
    for start in range(0, len(times) - 1, rows):
        stop = min(start + rows, len(times) - 1)
        flowed = gained + np.cumsum(_flowed(stock, recorded, unit, times, start, stop), axis=0)
        if stock.flows:
            balance.take(times[start + 1 : stop + 1], np.abs(energy[start + 1 : stop + 1] - energy[0:1] - flowed))
        gained = flowed[-1]
    labels = [recorded[one][...] for one in energy.dimensions[1:] if one in recorded]
    for extreme, what in ((balance, "away from what flowed"), (below, "below the least"), (above, "above capacity")):
        if extreme.first:
            place = " ".join(str(names[k]) for names, k in zip(labels, extreme.place, strict=False))
            where = f"at {energy.dimensions[1]} {place}, " if place else ""
            detail = f"{extreme.value:.3g} {unit} {what} (limit {extreme.limit:g} {unit}), {where}"
            return False, f"{detail}first at {format_duration(extreme.time)}", extreme.time
    if stock.unbalanced:
        return True, f"within its limits; not balanced: {stock.unbalanced}", None
    if len(times) < 2:
        return True, "within its limits; one step has no change to balance", None
    detail = f"at most {balance.value:.3g} {unit} away from what flowed (limit {balance.limit:g} {unit})"
    return True, f"{detail}, at {format_duration(balance.time)}", balance.time


def _flowed(
    stock: Stock, recorded: Mapping[str, StoredArray], unit: str, times: NDArray[np.int64], start: int, stop: int
) -> Floats:
    """(stop - start, ...) energy that flowed in from each time `start` to before `stop` until the next [unit]."""
    hours = np.diff(times[start : stop + 1]) / _HOUR
    hours = hours.reshape(-1, *[1] * (recorded[stock.energy].ndim - 1))
    total: Floats = np.zeros((stop - start, *recorded[stock.energy].shape[1:]))
    for flow in stock.flows:
        array = recorded[flow.output]
        shift = 0 if flow.over == "step that begins" else 1
        dimension, factor, _ = UNITS[array.attributes["units"]]
        inward = flow.sign * array[start + shift : stop + shift].real * (factor / UNITS[unit][1])
        kept = np.where(inward > 0.0, inward * np.asarray(flow.charging), inward / np.asarray(flow.discharging))
        total += kept if dimension == "energy" else kept * hours
    return total
