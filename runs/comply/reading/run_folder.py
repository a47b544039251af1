"""Traces from a run's folder: any group of its results that has voltage, frequency and power over time.

Times count from the opening of the event window that the group has, else from the first sample.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosim.errors import Fault, ScenarioError
from cosim.units import UNITS
from runs.comply.own_settings import run_window
from runs.comply.reading.columns import KNOWN, VOLTAGES, assemble, portion
from runs.comply.settings import Fleet
from runs.comply.trace import Array, Trace, time_faults

#: What a quantity may be called in results, beside its column's name.
_ALIASES = {
    "v_pu": ("voltage_pu", "voltage"),
    "f_hz": ("frequency_hz", "frequency"),
    "p_pu": ("active_power_pu", "active_power", "p"),
    "q_pu": ("reactive_power_pu", "reactive_power", "q"),
    "i_pu": ("current_pu", "current"),
    "available_pu": ("available_power", "available"),
    "tripped": ("tripped_by",),
}
_WANTED = dict.fromkeys(("v_pu", "p_pu", "q_pu", "i_pu", "available_pu", "p_limit_pu", *VOLTAGES), "pu") | {
    "f_hz": "Hz"
}
_BYTES = 1e9  #: of traces that are held in memory at a time


class RunSource:
    """The DER of one group of a run's results."""

    def __init__(self, folder: Path, fleet: Fleet, group: str | None) -> None:
        """Open the results. Raises ScenarioError if no group has what a verdict needs."""
        import cosim

        self.place = folder
        self.fleet = fleet
        tree = cosim.open(folder).results
        found = {
            path.strip("/"): names
            for path, node in tree.subtree_with_keys
            if (names := _quantities(node)) and "f_hz" in names
        }
        if group is not None and group not in found:
            raise ScenarioError(
                [Fault(f"{folder}: {group}", "has no DER traces.", f"Groups that have: {_list(found)}.")]
            )
        if not found:
            raise ScenarioError(
                [
                    Fault(
                        str(folder),
                        "no group of its results has voltage [pu] and frequency [Hz] over time.",
                        "Record them at the DER: v_pu (or va_pu, vb_pu, vc_pu), f_hz, p_pu and q_pu.",
                    )
                ]
            )
        # Machines and buses have voltage and frequency as well; DER have an output.
        given = {name: own for name, own in found.items() if own.keys() & {"p_pu", "i_pu"}} or found
        if group is None and len(given) > 1:
            raise ScenarioError(
                [Fault(str(folder), "several groups have DER traces.", f"Choose --group: {_list(given)}.")]
            )
        self.group = group or next(iter(given))
        self._window = run_window(folder, self.group)
        self.zero = "" if self._window is None else self._window.zero
        self._names = found[self.group]
        data = self._data()
        self._dimension = next(
            (d for d in data[self._names["p_pu" if "p_pu" in self._names else "f_hz"]].dims if d != "time"), None
        )
        labels = data[self._dimension].values if self._dimension else [self.group]
        self.names = tuple(str(label) for label in labels)

    def _data(self) -> Any:
        import cosim

        return cosim.open(self.place).results[self.group].to_dataset()

    def traces(self, share: tuple[int, int]) -> Iterator[Trace]:
        data = self._data()
        seconds = self._seconds(np.asarray(data["time"].values))
        place = f"{self.place}: {self.group}"
        faults = time_faults(seconds, place, may_jump=self._window is not None)
        if faults:
            raise ScenarioError(faults)
        names = portion(self.names, share)
        at_once = max(1, int(_BYTES / (8.0 * seconds.size * (len(self._names) + 2))))
        for begin in range(0, len(names), at_once):
            chosen = names[begin : begin + at_once]
            loaded = self._load(data, chosen)
            for row, name in enumerate(chosen):
                columns = {key: np.ascontiguousarray(values[row]) for key, values in loaded.items()}
                trace = assemble(name, {"time_s": seconds, **columns}, f"{place}, {name}", checked_time=seconds)
                yield trace if self._window is None else replace(trace, sampling=self._window.step)

    def _seconds(self, time: NDArray[Any]) -> Array:
        """(samples,) [s]."""
        if time.dtype.kind == "M":
            time = (time - time[0]).astype("timedelta64[ns]")
        passed = time.astype("timedelta64[ns]") if time.dtype.kind == "m" else np.rint(time)
        opens = 0 if self._window is None else self._window.opens
        return np.asarray((passed.astype(np.int64) - opens) / 1e9)

    def _load(self, data: Any, chosen: tuple[str, ...]) -> dict[str, Array]:
        """Quantity -> (DER, samples)."""
        rows = [self.names.index(name) for name in chosen]
        loaded: dict[str, Array] = {}
        for key, name in self._names.items():
            variable = data[name]
            if self._dimension in variable.dims:
                variable = variable.isel({self._dimension: rows})
            phases = [d for d in variable.dims if d not in ("time", self._dimension)]
            for index in range(variable.sizes[phases[0]] if phases else 1):
                part = variable.isel({phases[0]: index}) if phases else variable
                values = part.transpose("time", ...).values.astype(np.float64)
                values = values[:, None].repeat(len(chosen), axis=1) if values.ndim == 1 else values
                column = VOLTAGES[index] if phases else key
                loaded[column] = values.T * self._factors(variable, key, chosen)[:, None]
        return loaded

    def _factors(self, variable: Any, key: str, chosen: tuple[str, ...]) -> Array:
        """What makes a DER's values per unit (or Hz)."""
        unit = str(variable.attrs.get("units", _WANTED.get(key, "1")))
        wanted = _WANTED.get(key)
        if wanted is None or unit == wanted:
            return np.ones(len(chosen))
        kilo = {"power": 1e3, "apparent power": 1e3, "reactive power": 1e3}.get(UNITS.get(unit, ("",))[0])
        ratings = [self.fleet.held(name).rating_kVA for name in chosen]
        if kilo is None or any(rating is None for rating in ratings):
            raise ScenarioError(
                [
                    Fault(
                        f"{self.place}: {self.group}.{variable.name}",
                        f"is in {unit}, but {wanted} is wanted.",
                        "Give rating_kVA of each DER in the settings file, or record it in per unit.",
                    )
                ]
            )
        return np.array([kilo * UNITS[unit][1] / rating for rating in ratings if rating is not None])


def _quantities(node: Any) -> dict[str, str]:
    """Quantity -> variable of a group, where it has voltage over time."""
    present = {str(name) for name, variable in node.data_vars.items() if "time" in variable.dims}
    found = {}
    for key in KNOWN:
        name = next((n for n in (key, *_ALIASES.get(key, ())) if n in present), None)
        if name is not None:
            found[key] = name
    return found if "v_pu" in found or all(phase in found for phase in VOLTAGES) else {}


def _list(found: dict[str, Any]) -> str:
    return ", ".join(found) or "none"
