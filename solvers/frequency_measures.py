"""Frequency as it is measured and judged: from voltage angles, its rate of change, its nadir and its recovery."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import numpy as np

from solvers.transmission_grid import Booleans, Floats


class Nadir(NamedTuple):
    """The lowest point of a frequency."""

    time: float  #: [s]
    frequency: float  #: [Hz]


def nadir(time: Floats, frequency: Floats) -> Nadir:
    """The lowest frequency [Hz] and when [s] it came, of samples of shape (time,); the first where it came twice."""
    lowest = int(np.argmin(frequency))
    return Nadir(float(time[lowest]), float(frequency[lowest]))


def recovery_time(time: Floats, frequency: Floats, nominal: float, band: float, since: float = 0.0) -> float:
    """How long [s] after `since` the frequency was last outside `nominal` ± `band` [Hz].

    0 if it never was after `since`, infinite if it still is at the end. Arrays have the shape (time,). The last
    crossing is placed between two samples by linear interpolation.
    """
    away = np.abs(frequency - nominal) - band
    outside = np.flatnonzero((away > 0) & (time >= since))
    if not len(outside):
        return 0.0
    last = int(outside[-1])
    if last == len(time) - 1:
        return float("inf")
    share = away[last] / (away[last] - away[last + 1])
    return float(time[last] + share * (time[last + 1] - time[last]) - since)


def rate_of_change(time: Floats, frequency: Floats, window: float) -> Floats:
    """(f(t) - f(t - window)) / window [Hz/s] at each sample, shape (time,); before the first sample f is the first.

    The window decides what comes out: 500 ms is the usual one (ENTSO-E, Rate of Change of Frequency withstand
    capability, 2018). IEEE 1547-2018, 6.5.2.5, asks for an average over at least 0.1 s.
    """
    before = np.interp(time - window, time, frequency)
    rate: Floats = (frequency - before) / window
    return rate


class SlidingRate:
    """`rate_of_change` while the samples come: `add` gives the rate at the sample added."""

    def __init__(self, window: float) -> None:
        """`window` [s]."""
        self._window = window
        self._samples: deque[tuple[float, float]] = deque()

    def add(self, time: float, frequency: float) -> float:
        """Add a sample [s], [Hz], later than the one before; the rate [Hz/s] over the window that ends with it."""
        samples = self._samples
        samples.append((time, frequency))
        since = time - self._window
        while len(samples) > 2 and samples[1][0] <= since:
            samples.popleft()
        (first_time, first), (second_time, second) = samples[0], samples[min(1, len(samples) - 1)]
        if since <= first_time or second_time == first_time:
            before = first
        else:
            before = first + (second - first) * (since - first_time) / (second_time - first_time)
        return (frequency - before) / self._window


class AngleFrequency:
    """Frequency at many buses from the angles of their voltages, as a meter with two time constants reads it.

    The angle passes a lag (`lag_time`) and is differentiated by a washout (`washout_time`):

        f = f0 + 1/(2 pi) · s / (1 + s washout_time) · 1 / (1 + s lag_time) · angle

    which is the model BusFreq of the ANDES library (defaults 0.02 s and 0.1 s there). A jump of the angle, as a fault
    makes, appears as a spike, as it does in real meters: that tripped 700 MW of inverters in the Blue Cut fire (NERC,
    1,200 MW Fault Induced Solar Photovoltaic Resource Interruption Disturbance Report, 2017).
    The angle is taken to be linear within a step, for which the update is exact.
    """

    def __init__(self, angle: Floats, nominal: float, lag_time: float, washout_time: float) -> None:
        """At rest at `angle` [rad] (bus,), `nominal` [Hz]; time constants [s], above 0."""
        self._nominal, self._lag, self._washout = nominal, lag_time, washout_time
        self._angle = angle.copy()
        self._state = np.array([angle, angle])  #: behind the lag, and behind the washout's own lag
        self._updates: dict[float, Floats] = {}

    @property
    def frequency(self) -> Floats:
        """[Hz] (bus,)."""
        value: Floats = self._nominal + (self._state[0] - self._state[1]) / (2 * np.pi * self._washout)
        return value

    def jump(self, angle: Floats) -> None:
        """The angle is now `angle` [rad] (bus,) at once."""
        self._angle = angle.copy()

    def advance(self, step: float, angle: Floats) -> None:
        """The angle has moved to `angle` [rad] (bus,) within `step` [s]."""
        update = self._updates.get(step)
        if update is None:
            update = self._updates[step] = self._update(step)
        drive = np.array([self._angle, angle])
        self._state = update @ np.concatenate([self._state, drive])
        self._angle = angle.copy()

    def restart(self, where: Booleans, angle: Floats, frequency: float) -> None:
        """Where a bus comes back to life: at rest at `angle` [rad] (bus,) with `frequency` [Hz]."""
        slope = 2 * np.pi * (frequency - self._nominal)
        self._angle = np.where(where, angle, self._angle)
        self._state[0] = np.where(where, angle - slope * self._lag, self._state[0])
        self._state[1] = np.where(where, angle - slope * (self._lag + self._washout), self._state[1])

    def _update(self, step: float) -> Floats:
        """The matrix (2, 4) that takes (states, angle before, angle after) to the states after `step`."""
        from scipy.linalg import expm

        lag, washout = 1 / self._lag, 1 / self._washout
        # d/dt (lagged, washed, angle, slope)
        system = np.array([[-lag, 0, lag, 0], [washout, -washout, 0, 0], [0, 0, 0, 1.0], [0, 0, 0, 0]])
        over = expm(system * step)[:2]
        per_slope = over[:, 3] / step
        update: Floats = np.column_stack([over[:, :2], over[:, 2] - per_slope, per_slope])
        return update
