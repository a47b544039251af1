"""What an event window did: frequency, voltage, power lost by cause, who tripped, and which settings would have held.

All from what was recorded; times count from the window's opening. Beside a run may stand its twin, in which DER were
held, and the same at half the window's step.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
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
HALVING_LIMIT = 0.01  #: share by which half the step may change lost power before a smaller step is advised
SETTLED_FREQUENCY = 0.02  #: [Hz] around what it is when the window closes
TOO_LATE = 0.05  #: last part of the window [1]: with an extreme in it, nothing tells that frequency has settled

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
    """From when on it stays within 0.02 Hz of what it is at the close; none if the run ended before, or if the lowest
    or highest is in the last 5 % of the window."""
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
    """How many DER would have tripped under the recorded voltages and frequency, had all the settings of a make."""

    @property
    def best_make(self) -> str | None:
        """The settings with which the fewest would have tripped; of equal ones category III."""
        return (
            min(self.would_trip, key=lambda make: (self.would_trip[make], make != "III")) if self.would_trip else None
        )


class Change(Settings):
    """What half the step changes of a figure."""

    figure: str
    full: float
    """With the step of the run."""
    half: float

    @property
    def share(self) -> float:
        """Of the larger of the two if there was none before, else of the figure [1]."""
        return (self.half - self.full) / (self.full or self.half or 1.0)


class Halving(Settings):
    """A run beside the same at half the window's step."""

    step_ms: float
    """The half."""
    power: tuple[Change, ...]
    """The most power of DER lost at a time [MW], that of the tripped ones, and of each element that tripped them; of
    all feeders."""
    nadir_hz: Change | None = None

    @property
    def largest(self) -> float:
        """The largest change of a power [1]."""
        return max((abs(change.share) for change in self.power), default=0.0)


class WindowSummary(Settings):
    """The figures of an event window."""

    opened_s: float
    """[s] after the start of the run."""
    duration_s: float
    step_ms: float
    frequency: Frequency | None = None
    frequency_der_held: Frequency | None = None
    """Of the twin: the same disturbances, and DER that keep giving what they gave at the opening."""
    der_respond: bool = False
    """Whether it has DER that respond."""
    halving: Halving | None = None
    """What half the step changes, if that was run too."""
    feeders: tuple[FollowedFeeder, ...] = ()
    mean_mismatch_percent: float | None = None
    """Of the boundary, of the apparent power that the feeders drew."""
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


def differ_by_der(run: Recorded, twin: Recorded | None) -> bool:
    """Whether DER respond in a run and are held in its twin."""
    return twin is not None and der_are_held(twin) and not der_are_held(run)


def der_are_held(run: Recorded) -> bool:
    """Whether the DER of a run's event window do not respond."""
    window = run.run.manifest["scenario"].get("event_window") or {}
    return window.get("der_response") is False


def summarise_window(run: Recorded, twin: Recorded | None = None, half: Recorded | None = None) -> WindowSummary | None:
    """The figures of the run's event window, beside those of its twin and at half the step; None if it has none."""
    window = opened(run)
    if window is None:
        return None
    feeders = tuple(_feeders(run, window))
    held = differ_by_der(run, twin)
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
        frequency_der_held=_frequency(twin, window) if twin is not None and held else None,
        der_respond=not der_are_held(run) and any(feeder.der for feeder in feeders),
        halving=None if half is None else _halving(run, half, window, feeders),
        feeders=feeders,
        mean_mismatch_percent=None if mean is None else float(mean.values.real[-1]),
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
    if not values.size:
        return None
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
        settled_s=settled_from(times, values, (window.end - window.at) / 1e9, window.step / 1e9),
        steepest_hz_per_s=steepest,
    )


def settled_from(times: Floats, values: Floats, duration: float, step: float) -> float | None:
    """The time [s] from which on a frequency (time,) [Hz] stays as it is at the close of a window.

    `duration` and `step` [s] are the window's. None where an extreme is so late that it may still be moving, and where
    the run ended before the close.
    """
    late = (1.0 - TOO_LATE) * duration
    if max(times[values.argmin()], times[values.argmax()]) >= late or times[-1] < duration - 1.5 * step:
        return None
    return _from_when(times, np.abs(values - values[-1]) <= SETTLED_FREQUENCY)


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


def _halving(run: Recorded, half: Recorded, window: Opened, feeders: Sequence[FollowedFeeder]) -> Halving | None:
    """Nothing where the run at half the step ended early."""
    if half.reached < window.end:
        return None
    fine = Opened(window.at, window.end, window.step // 2, window.feeders)
    figures = _lost_powers(feeders), _lost_powers(tuple(_feeders(half, fine)))
    nadirs = _frequency(run, window), _frequency(half, fine)
    names = [name for name in {**figures[0], **figures[1]} if any(found.get(name) for found in figures)]
    return Halving(
        step_ms=fine.step / 1e6,
        power=tuple(
            Change(figure=name, full=figures[0].get(name, 0.0), half=figures[1].get(name, 0.0)) for name in names
        ),
        nadir_hz=None
        if nadirs[0] is None or nadirs[1] is None
        else Change(figure="nadir", full=nadirs[0].lowest_hz, half=nadirs[1].lowest_hz),
    )


def _lost_powers(feeders: Sequence[FollowedFeeder]) -> dict[str, float]:
    """What `Halving` compares [MW]."""
    from solvers.der_fleet import ELEMENTS

    found = {
        "DER power lost": sum(feeder.der_lost_mw for feeder in feeders),
        "DER power tripped": sum(feeder.tripped_mw for feeder in feeders),
    }
    for feeder in feeders:
        for entry in feeder.lost:
            if entry.cause in ELEMENTS:
                found[entry.cause] = found.get(entry.cause, 0.0) + entry.most_mw
    return found


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
    if not len(rises):
        return np.zeros(tripped_by.shape[1], int)
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


def der_voltages(run: Recorded, window: Opened, federate: str, chosen: NDArray[np.intp] | None = None) -> Floats | None:
    """(time, der, 3) in the window [pu], of all DER or the `chosen`; one with one phase has it three times."""
    single = run.get(federate, "v_pu")
    names = ("v_pu",) * 3 if single is not None else ("va_pu", "vb_pu", "vc_pu")
    found = [run.get(federate, name) for name in names]
    if any(variable is None for variable in found):
        return None
    of = slice(None) if chosen is None else chosen
    return np.stack([in_window(variable, window)[:, of] for variable in found if variable is not None], axis=2)


def would_trip(run: Recorded, window: Opened, federate: str) -> dict[str, int]:
    """How many DER would have tripped with each make's settings under the recorded voltages and frequency.

    All that were in service at the opening are replayed, one for all at a place. The voltages are those that were,
    whatever the others do, and angles do not jump: a first answer, to be checked with a run. None are where no DER
    tripped.
    """
    from solvers.der_fleet import DerFleet
    from solvers.der_fleet.mixture import MAKES, mixed_settings

    frequency, tripped_by = run.get(federate, "f_hz"), run.get(federate, "tripped_by")
    if frequency is None or tripped_by is None:
        return {}
    codes = in_window(tripped_by, window).astype(int)
    if not first_trips(codes).any():
        return {}
    plan = federate_of(run, federate).plan
    served = np.flatnonzero(codes[0] == 0)
    _, first, counts = np.unique(plan.der_port[served], axis=0, return_index=True, return_counts=True)
    chosen = served[first]  # one DER at each place
    voltage = der_voltages(run, window, federate, chosen)
    if voltage is None:
        return {}
    places, hertz, seconds = chosen.size, in_window(frequency, window), window.seconds(frequency)
    makes = [make for make in MAKES for _ in range(places)]
    three_phase = np.tile(plan.three_phase[chosen], len(MAKES))
    fleet, full = DerFleet(mixed_settings(makes, {"three_phase": three_phase})), np.ones(len(makes))
    out = np.zeros(len(makes), bool)
    for k, length in enumerate(np.diff(seconds).tolist()):
        out |= fleet.step(length, np.tile(voltage[k], (len(MAKES), 1)), None, hertz[k] * full, full).tripped
    found = out.reshape(len(MAKES), places) @ counts
    return dict(zip(MAKES, found.tolist(), strict=True))


def window_rows(window: WindowSummary) -> Iterator[tuple[str, str]]:
    """The figures as a name and a line each."""
    if window.frequency is not None:
        yield "Frequency", frequency_text(window.frequency)
        if window.frequency_der_held is not None:
            yield "DER held", f"{frequency_text(window.frequency_der_held)} (the twin)"
        elif window.der_respond:
            yield "DER held", NO_TWIN
    for feeder in window.feeders:
        back = "not back above" if feeder.recovered_s is None else f"from {feeder.recovered_s:.3g} s on above"
        yield "Voltage", f"{feeder.feeder} {feeder.lowest_pu:.3f} to {feeder.highest_pu:.3f} pu, {back} 0.9 pu"
        lost = sorted(feeder.lost, key=lambda entry: -entry.most_mw)
        words = [f"{entry.cause.replace('_', ' ')} {entry.most_mw:.3g} MW" for entry in lost[:4]]
        if words:
            yield "Lost", f"{feeder.feeder}, at most: {', '.join(words)}"
        if feeder.der:
            yield "DER", f"{trip_words(feeder)}, {feeder.tripped_mw:.3g} MW at most"
        if feeder.would_trip:
            yield "Replayed", replay_text(feeder)
    if window.halving is not None:
        yield "Half step", halving_text(window.halving)


#: Why there is no frequency with DER held.
NO_TWIN = "not known, as the twin was not run (--no-baseline)"


def frequency_text(found: Frequency) -> str:
    """Nadir, highest and when it settled."""
    text = f"nadir {found.lowest_hz:.3f} Hz at {found.lowest_s:.3g} s, highest {found.highest_hz:.3f}"
    settled = "" if found.settled_s is None else f", settled from {found.settled_s:.3g} s on"
    return f"{text}, {found.at_close_hz:.3f} at the close{settled}"


def halving_text(halving: Halving) -> str:
    """What half the step changes."""
    parts = [f"{change.figure} by {100.0 * change.share:+.2g} %" for change in halving.power]
    if halving.nadir_hz is not None:
        parts.append(f"nadir by {1e3 * (halving.nadir_hz.half - halving.nadir_hz.full):+.2g} mHz")
    text = f"{halving.step_ms:g} ms changes {', '.join(parts)}"
    return text if halving.largest < HALVING_LIMIT else f"{text}: choose a smaller step"


def trip_words(feeder: FollowedFeeder) -> str:
    """Who tripped, and why."""
    total = sum(feeder.tripped.values())
    if not total:
        return f"none of the {feeder.der} of {feeder.feeder} tripped in the window"
    why = ", ".join(f"{count} {element}" for element, count in feeder.tripped.items())
    by_make = ", ".join(
        f"{count} of {feeder.makes[make]} {make}" for make, count in feeder.tripped_by_make.items() if count
    )
    return f"{total} of {feeder.der} of {feeder.feeder} tripped ({why}; {by_make})"


def replay_text(feeder: FollowedFeeder) -> str:
    """Which settings would have held, and what that is worth."""
    best = feeder.best_make
    most = max(feeder.would_trip, key=lambda make: feeder.would_trip[make])
    text = f"under these voltages {feeder.would_trip.get(best or '', 0)} would have tripped had all settings {best}"
    return text + (f", {feeder.would_trip[most]} with {most}" if most != best else "")


def der_text(feeder: FollowedFeeder) -> str:
    """Who tripped, why, and which settings would have held, in a sentence or two."""
    text = trip_words(feeder)
    if not feeder.would_trip:
        return text
    return (
        f"{text}. Replayed under the recorded voltages and frequency, which other settings would change, "
        f"{replay_text(feeder).removeprefix('under these voltages ')}; a run with them tells"
    )
