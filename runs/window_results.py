"""What an event window did: frequency, voltage, power lost by cause, who tripped, and which settings would have held.

All from what was recorded; times count from the window's opening.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from cosim.contract import Time
from cosim.federation import Federation
from cosim.settings import Settings
from runs.recorded import Floats, Recorded, Variable

if TYPE_CHECKING:
    from federates.window_feeder import WindowFeeder

DYNAMICS, WINDOW = "dynamics", "window"
RECOVERED_VOLTAGE = 0.9  #: [pu] the lower end of normal operation, IEEE 1547-2018, 6.4.2
REPLAY_STEP = 0.01  #: [s] of replaying DER with other settings
RECOVERED_FREQUENCY = 0.1  #: [Hz] around what it is when the window closes

OF_LOADS = ("ac_stall", "ac_thermal_trip", "load_trip")  #: the causes that take power from loads

Flags = NDArray[np.bool_]


class Frequency(Settings):
    """Of the machines, in the window."""

    lowest_hz: float
    lowest_s: float
    """When [s] after the opening, as are all times here."""
    highest_hz: float
    highest_s: float
    at_close_hz: float
    settled_s: float | None = None
    """From when on it stays within 0.1 Hz of what it is at the close."""
    steepest_hz_per_s: float | None = None


class Lost(Settings):
    """Power that DER do not give or loads do not get, for one cause."""

    cause: str
    most_mw: float
    """At a time, of all feeders that the federate stands for."""
    most_s: float
    at_close_mw: float
    most_count: int
    """DER or loads of one feeder."""


class FollowedFeeder(Settings):
    """A feeder in the window."""

    feeder: str
    stands_for: float
    """How many feeders."""
    lowest_pu: float
    """The lowest voltage of a node."""
    highest_pu: float
    recovered_s: float | None = None
    """From when on every node has 0.9 pu or more; none: not before the close."""
    der: int = 0
    tripped: dict[str, int] = Field(default={})
    """How many DER tripped in the window, by what tripped them."""
    tripped_by_make: dict[str, int] = Field(default={})
    makes: dict[str, int] = Field(default={})
    lost: tuple[Lost, ...] = ()
    der_lost_mw: float = 0.0
    """The most power that DER did not give at a time, tripped or not."""
    tripped_mw: float = 0.0
    """The most power of tripped DER at a time, of those that tripped in the window."""
    out_at_end: int = 0
    """DER that are out of service at the end of the run."""
    would_trip: dict[str, int] = Field(default={})
    """How many DER would have tripped under the same voltages and frequencies, had all the settings of a make."""

    @property
    def best_make(self) -> str | None:
        """The settings with which the fewest would have tripped; of equal ones category III."""
        return (
            min(self.would_trip, key=lambda make: (self.would_trip[make], make != "III")) if self.would_trip else None
        )


class WindowSummary(Settings):
    """The figures of an event window."""

    opened_s: float
    """[s] after the start of the run."""
    duration_s: float
    step_ms: float
    frequency: Frequency | None = None
    feeders: tuple[FollowedFeeder, ...] = ()
    mean_mismatch_mva: float | None = None
    energy_error_mwh: float | None = None
    """Energy that feeders drew beyond what the dynamics gave them."""


@dataclass(frozen=True)
class Opened:
    """The window of a run: its times [ns] and its feeders, name of the feeder -> name of the federate."""

    at: Time
    end: Time
    step: Time
    feeders: Mapping[str, str]

    def inside(self, variable: Variable) -> Flags:
        """(time,) which of a variable's times lie in the window, its end included."""
        return np.asarray((variable.times >= self.at) & (variable.times <= self.end))

    def seconds(self, variable: Variable) -> Floats:
        """(times in the window,) [s] after the opening."""
        return np.asarray((variable.times[self.inside(variable)] - self.at) / 1e9)


def opened(run: Recorded) -> Opened | None:
    """The run's window, if it has one and got there."""
    from cosim.event_window import WindowTimes

    settings = run.settings(WINDOW)
    if "times" not in settings or run.get(WINDOW, "open") is None:
        return None
    times = WindowTimes.model_validate(settings["times"])
    federates = {spec["name"]: spec for spec in run.federation["federates"]}
    feeders = {name.removesuffix("_window"): name for name in federates if name.endswith("_window")}
    if run.reached < times.at:
        return None
    return Opened(times.at, times.at + times.duration, times.step, feeders)


def summarise_window(run: Recorded) -> WindowSummary | None:
    """The figures of the run's event window; None if it has none."""
    window = opened(run)
    if window is None:
        return None
    mean, energies = (
        run.get(WINDOW, "mean_mismatch"),
        [run.get(WINDOW, f"{side}_energy") for side in ("feeder", "grid")],
    )
    drawn, given = (None if found is None else float(found.values.real[-1]) for found in energies)
    return WindowSummary(
        opened_s=window.at / 1e9,
        duration_s=(window.end - window.at) / 1e9,
        step_ms=window.step / 1e6,
        frequency=_frequency(run, window),
        feeders=tuple(_feeders(run, window)),
        mean_mismatch_mva=None if mean is None else float(mean.values.real[-1]),
        energy_error_mwh=None if drawn is None or given is None else drawn - given,
    )


def in_window(variable: Variable, window: Opened) -> Floats:
    """The values in the window, real."""
    values: Floats = variable.values.real[window.inside(variable)]
    return values


def _frequency(run: Recorded, window: Opened) -> Frequency | None:
    variable, rate = run.get(DYNAMICS, "coi_frequency"), run.get(DYNAMICS, "rocof")
    if variable is None or not variable.times.size:
        return None
    values, times = in_window(variable, window), window.seconds(variable)
    low, high = int(values.argmin()), int(values.argmax())
    steepest = None
    if rate is not None:
        rates = in_window(rate, window)
        steepest = float(rates[np.abs(rates).argmax()])
    return Frequency(
        lowest_hz=float(values[low]),
        lowest_s=float(times[low]),
        highest_hz=float(values[high]),
        highest_s=float(times[high]),
        at_close_hz=float(values[-1]),
        settled_s=_from_when(times, np.abs(values - values[-1]) <= RECOVERED_FREQUENCY),
        steepest_hz_per_s=steepest,
    )


def _from_when(times: Floats, holds: Flags) -> float | None:
    """The time from which on something holds to the end; None if it does not hold there."""
    if not holds[-1]:
        return None
    broken = np.flatnonzero(~holds)
    return float(times[broken[-1] + 1]) if broken.size else float(times[0])


def multiplier(run: Recorded, federate: str) -> float:
    """How many feeders a federate stands for."""
    gains = [link["gain"] for link in run.federation["links"] if link["source"]["federate"] == federate]
    return max((float(gain) for gain in gains), default=1.0)


def _feeders(run: Recorded, window: Opened) -> Iterator[FollowedFeeder]:
    for feeder, federate in window.feeders.items():
        voltage = run.get(federate, "node_voltage")
        if voltage is None or not window.inside(voltage).any():
            continue
        nodes, times = in_window(voltage, window), window.seconds(voltage)
        share = multiplier(run, federate)
        yield FollowedFeeder(
            feeder=feeder,
            stands_for=share,
            lowest_pu=float(nodes.min()),
            highest_pu=float(nodes.max()),
            recovered_s=_from_when(times, nodes.min(axis=1) >= RECOVERED_VOLTAGE),
            lost=tuple(_lost(run, window, federate, share)),
            **_der_power(run, window, federate, share),
            **_trips(run, window, federate),
        )


def _lost(run: Recorded, window: Opened, federate: str, share: float) -> Iterator[Lost]:
    power, count = run.get(federate, "lost_power"), run.get(federate, "lost_count")
    if power is None or count is None:
        return
    values, numbers, times = in_window(power, window), in_window(count, window), window.seconds(power)
    for column, cause in enumerate(power.labels["cause"]):
        most = int(values[:, column].argmax())
        if values[most, column] * share > 1e-3:
            yield Lost(
                cause=cause,
                most_mw=float(values[most, column]) * share,
                most_s=float(times[most]),
                at_close_mw=float(values[-1, column]) * share,
                most_count=int(numbers[:, column].max()),
            )


def _der_power(run: Recorded, window: Opened, federate: str, share: float) -> dict[str, Any]:
    """The most power [MW] that all DER did not give, and that those did not that tripped since the opening."""
    power = run.get(federate, "lost_power")
    if power is None:
        return {}
    from solvers.der_fleet import ELEMENTS

    causes, values = power.labels["cause"], in_window(power, window) * share
    tripped = values[:, [causes.index(element) for element in ELEMENTS]].sum(axis=1)
    lost = values[:, [k for k, cause in enumerate(causes) if cause not in OF_LOADS]].sum(axis=1)
    return {"der_lost_mw": float((lost - lost[0]).max()), "tripped_mw": float((tripped - tripped[0]).max())}


def _trips(run: Recorded, window: Opened, federate: str) -> dict[str, Any]:
    """Who tripped in the window, and by what."""
    tripped_by = run.get(federate, "tripped_by")
    if tripped_by is None:
        return {}
    from solvers.der_fleet import ELEMENTS

    values = in_window(tripped_by, window).astype(int)
    elements, makes = first_trips(values), np.array(makes_of(run, federate))
    codes, counts = np.unique(elements[elements > 0], return_counts=True)
    found = {ELEMENTS[code - 1]: int(number) for code, number in zip(codes, counts, strict=True)}
    own = {str(make): int((makes == make).sum()) for make in np.unique(makes)}
    return {
        "der": values.shape[1],
        "tripped": found,
        "makes": own,
        "tripped_by_make": {make: int(((makes == make) & (elements > 0)).sum()) for make in own},
        "out_at_end": int((np.asarray(tripped_by.array[-1]) > 0).sum()),
        "would_trip": would_trip(run, window, federate),
    }


def first_trips(tripped_by: NDArray[np.int_]) -> NDArray[np.int_]:
    """(der,) what tripped each DER first, of (time, der) codes; 0: it did not trip, or was out from the beginning."""
    rises = (tripped_by[1:] > 0) & (tripped_by[:-1] == 0)
    first = rises.argmax(axis=0)
    codes = tripped_by[1:][first, np.arange(tripped_by.shape[1])]
    return np.where(rises.any(axis=0), codes, 0)


def federate_of(run: Recorded, name: str) -> WindowFeeder:
    """A feeder of the window as it was built, not started."""
    federation = Federation.model_validate(run.federation)
    return federation.build(next(spec for spec in federation.federates if spec.name == name))  # type: ignore[return-value]


def makes_of(run: Recorded, name: str) -> Sequence[str]:
    """(der,) the make of each DER."""
    return federate_of(run, name).makes


def der_voltages(run: Recorded, window: Opened, federate: str) -> Floats | None:
    """(time, der, 3) in the window [pu]; a DER with one phase has it three times."""
    single = run.get(federate, "v_pu")
    names = ("v_pu",) * 3 if single is not None else ("va_pu", "vb_pu", "vc_pu")
    found = [run.get(federate, name) for name in names]
    if any(variable is None for variable in found):
        return None
    return np.stack([in_window(variable, window) for variable in found if variable is not None], axis=2)


def would_trip(run: Recorded, window: Opened, federate: str) -> dict[str, int]:
    """How many DER would have tripped with each make's settings under the recorded voltages and frequency.

    The voltages are those that were, whatever the others do: a first answer, to be checked with a run. Only DER that
    tripped are replayed, and none where none did.
    """
    from solvers.der_fleet import DerFleet
    from solvers.der_fleet.mixture import MAKES, mixed_settings

    voltage, frequency = der_voltages(run, window, federate), run.get(federate, "f_hz")
    tripped_by = run.get(federate, "tripped_by")
    if voltage is None or frequency is None or tripped_by is None:
        return {}
    concerned = np.flatnonzero(first_trips(in_window(tripped_by, window).astype(int)))
    if not concerned.size:
        return {}
    hertz, count = in_window(frequency, window), concerned.size
    makes = [make for make in MAKES for _ in range(count)]
    fleet, full = DerFleet(mixed_settings(makes, {"three_phase": False})), np.ones(len(makes))
    out = np.zeros(len(makes), bool)
    seconds = window.seconds(frequency)
    rows = np.arange(0, seconds.size, max(1, round(REPLAY_STEP * 1e9 / window.step)))
    for k, following in pairwise(rows.tolist()):
        at_each = np.tile(voltage[k, concerned], (len(MAKES), 1))
        out |= fleet.step(float(seconds[following] - seconds[k]), at_each, None, hertz[k] * full, full).tripped
    return dict(zip(MAKES, out.reshape(len(MAKES), count).sum(axis=1).tolist(), strict=True))


def window_rows(window: WindowSummary) -> Iterator[tuple[str, str]]:
    """The figures as a name and a line each."""
    found = window.frequency
    if found is not None:
        nadir = f"nadir {found.lowest_hz:.3f} Hz {found.lowest_s:.3g} s after the opening"
        text = f"{nadir}, highest {found.highest_hz:.3f} Hz"
        if found.settled_s is not None:
            text += f"; within {RECOVERED_FREQUENCY:g} Hz of its last value from {found.settled_s:.3g} s on"
        yield "Frequency", text
    for feeder in window.feeders:
        text = f"{feeder.feeder} {feeder.lowest_pu:.3f} to {feeder.highest_pu:.3f} pu; "
        held = (
            "not back above 0.9 pu"
            if feeder.recovered_s is None
            else f"above 0.9 pu from {feeder.recovered_s:.3g} s on"
        )
        yield "Voltage", text + held
        lost = sorted(feeder.lost, key=lambda entry: -entry.most_mw)
        words = [f"{entry.cause.replace('_', ' ')} {entry.most_mw:.3g} MW" for entry in lost[:4]]
        if words:
            yield "Lost", f"{feeder.feeder}, at most: {', '.join(words)}"
        if feeder.der:
            yield "DER", der_text(feeder)


def der_text(feeder: FollowedFeeder) -> str:
    """Who tripped, why, and which settings would have held, in a sentence."""
    total = sum(feeder.tripped.values())
    if not total:
        return f"none of the {feeder.der} of {feeder.feeder} tripped in the window"
    why = ", ".join(f"{count} {element}" for element, count in feeder.tripped.items())
    by_make = ", ".join(
        f"{count} of {feeder.makes[make]} {make}" for make, count in feeder.tripped_by_make.items() if count
    )
    text = f"{total} of {feeder.der} of {feeder.feeder} tripped ({why}; {by_make})"
    best = feeder.best_make
    if best is not None:
        text += f"; with settings {best} {feeder.would_trip[best]} of them would have"
    return text
