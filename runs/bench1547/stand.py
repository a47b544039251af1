"""The test stand: plays waves to a bank of devices and records what they give back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np

from cosim.errors import ConfigError
from runs.bench1547.device import Array, Bank, Maker, Settings
from runs.bench1547.wave import ANGLE, AVAILABLE, FREQUENCY, VOLTAGE, Wave

_GROWTH = 0.02  #: a step is at most this share of the time since the last change: responses stay resolved
_LONGEST = 0.5  #: [s] the longest step, far from any change
_SIMILAR = 1.5  #: waves whose lengths differ by no more than this factor run side by side


@dataclass(frozen=True)
class Trace:
    """One device's recorded test; arrays of shape (steps,), the inputs (steps, 8) as in `wave.py`."""

    time: Array  #: [s] at the end of each step
    step: Array  #: [s] length of each step
    inputs: Array
    p: Array  #: [pu]
    q: Array  #: [pu]
    changed: bool  #: the device took every change of settings that the wave holds

    def within(self, start: float, end: float) -> slice:
        """The steps that lie in `start` to `end` [s]."""
        first, last = np.searchsorted(self.time, (start + 1e-9, end + 1e-9), side="right")
        return slice(int(first), int(last))

    def at(self, time: float) -> int:
        """The last step that has ended by `time` [s]."""
        return max(int(np.searchsorted(self.time, time + 1e-9, side="right")) - 1, 0)

    def until(self, time: float) -> Trace:
        """The part of the record up to `time` [s]."""
        end = self.at(time) + 1
        return Trace(self.time[:end], self.step[:end], self.inputs[:end], self.p[:end], self.q[:end], self.changed)


@dataclass(frozen=True)
class Job:
    """What to play to one device."""

    settings: Settings
    wave: Wave
    in_service: bool = True


def record(make: Maker, jobs: Sequence[Job], dt: float, progress: Callable[[int], None] | None = None) -> list[Trace]:
    """Play every job; traces in the order of `jobs`. `dt` [s] is the fine step; `progress` hears of finished jobs.

    Raises `ConfigError` where a device raises or gives what is no power.
    """
    traces: dict[int, Trace] = {}
    probe = make(1)
    for members in _groups([job.wave.end for job in jobs], probe.together):
        bank = probe if len(members) == 1 else make(len(members))
        for member, trace in zip(members, _play(bank, [jobs[i] for i in members], dt), strict=True):
            traces[member] = trace
        if progress is not None:
            progress(len(members))
    return [traces[i] for i in range(len(jobs))]


def grid(breakpoints: Array, dt: float) -> Array:
    """Step ends [s] that meet every breakpoint: `dt` after each, then growing, at most `_LONGEST`."""
    edges = np.unique(np.round(breakpoints, 3))
    parts = [_between(start, end, dt) for start, end in pairwise(edges)]
    return np.concatenate(parts)


def _between(start: float, end: float, dt: float) -> Array:
    length = end - start
    ends = _growing(dt, 2.0 ** np.ceil(np.log2(max(length, dt))))
    count = int(np.searchsorted(ends, length - 1e-9))
    inner = ends[:count]
    # a last step under half of its neighbour's is not worth a step of its own, and could fall under 1 ms
    if count and length - inner[-1] < 0.5 * (inner[-1] - (inner[-2] if count > 1 else 0.0)):
        inner = inner[:-1]
    parts: Array = np.append(start + inner, end)
    return parts


@cache
def _growing(dt: float, length: float) -> Array:
    ends = [dt]
    while ends[-1] < length:
        ends.append(ends[-1] + max(dt, min(_GROWTH * ends[-1], _LONGEST)))
    return np.array(ends)


def _groups(lengths: Sequence[float], together: int) -> Iterator[list[int]]:
    """Indices of waves of similar length, at most `together` a group."""
    order = sorted(range(len(lengths)), key=lambda i: lengths[i])
    group: list[int] = []
    for i in order:
        if group and (len(group) == together or lengths[i] > _SIMILAR * lengths[group[0]]):
            yield group
            group = []
        group.append(i)
    if group:
        yield group


def _play(bank: Bank, jobs: Sequence[Job], dt: float) -> Iterator[Trace]:
    ends = grid(np.concatenate([job.wave.breakpoints() for job in jobs]), dt)
    steps = np.diff(ends, prepend=0.0)
    inputs = np.stack([job.wave.sample(ends - 0.5 * steps) for job in jobs])  # (jobs, steps, 8)
    changes = sorted(
        ((time, member, settings) for member, job in enumerate(jobs) for time, settings in job.wave.changes),
        key=lambda change: change[0],
    )
    changed = np.ones(len(jobs), dtype=np.bool_)
    p, q = np.empty((len(ends), len(jobs))), np.empty((len(ends), len(jobs)))
    with _blamed_on_device("restart", 0.0):
        bank.restart([job.settings for job in jobs], in_service=np.array([job.in_service for job in jobs]))
    phases = bank.phases
    for k, (end, step) in enumerate(zip(ends, steps, strict=True)):
        while changes and changes[0][0] <= end - step + 1e-9:
            _, member, settings = changes.pop(0)
            changed[member] &= _change(bank, member, settings)
        now = inputs[:, k]
        with _blamed_on_device("step", end):
            p[k], q[k] = bank.step(
                float(step),
                now[:, VOLTAGE][:, :phases],
                now[:, ANGLE][:, :phases],
                now[:, FREQUENCY],
                now[:, AVAILABLE],
            )
    wrong = np.flatnonzero(~np.isfinite(p + q).all(axis=1))
    if len(wrong):
        raise ConfigError(
            "device", f"gave no finite power {ends[wrong[0]]:.3f} s into a test", "step must return (P, Q) in per unit."
        )
    for member, job in enumerate(jobs):
        whole = Trace(ends, steps, inputs[member], p[:, member], q[:, member], bool(changed[member]))
        yield whole.until(job.wave.end)


@contextmanager
def _blamed_on_device(method: str, time: float) -> Iterator[None]:
    """Whatever a device raises is its author's to mend, and is told as such."""
    try:
        yield
    except Exception as error:
        raise ConfigError(
            "device",
            f"its {method} raised {type(error).__name__} {time:.3f} s into a test: {error}",
            "Correct the device; runs/bench1547/device.py says what it gets and gives.",
        ) from error


def _change(bank: Bank, member: int, settings: Settings) -> bool:
    try:
        bank.change(member, settings)
    except NotImplementedError:
        return False
    return True
