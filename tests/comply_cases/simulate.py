"""The fleet model on a waveform, as a trace: only here do model and judge meet."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from runs.comply.judge import judge_trace
from runs.comply.settings import Held
from runs.comply.trace import Trace
from runs.comply.verdict import Verdict
from solvers.der_fleet import DerFleet, fleet_settings

#: Turns the time axis into a waveform: voltage (samples,) or (samples, 3) [pu], frequency (samples,) [Hz].
Wave = tuple[np.ndarray, np.ndarray, np.ndarray]


def steps(
    times: list[tuple[float, float]], end: float, dt: float = 0.01, start: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Time axis, and values that change at the given times: [(from, value), ...]."""
    time = np.round(np.arange(0.0, end, dt), 9)
    values = np.full(time.size, start)
    for begin, value in times:
        values[time >= begin - 1e-9] = value
    return time, values


def answer(
    time: np.ndarray,
    voltage: np.ndarray,
    frequency: np.ndarray | None = None,
    *,
    available: float | np.ndarray = 1.0,
    angle: np.ndarray | None = None,
    in_service: bool = True,
    make: Callable[..., DerFleet] = DerFleet,
    alter: Callable[[DerFleet], None] | None = None,
    **settings: Any,
) -> Trace:
    """The trace of one DER of the fleet model; `settings` by name, checks of ranges off so that defects can be set."""
    fleet = make(fleet_settings(1, settings, check=False), 7, in_service=in_service)
    if alter is not None:
        alter(fleet)
    size = time.size
    frequency = np.full(size, 60.0) if frequency is None else frequency
    volts = voltage if voltage.ndim == 2 else np.repeat(voltage[:, None], 3, axis=1)
    sun = np.broadcast_to(np.asarray(available, float), (size,))
    dt = np.diff(time, append=2 * time[-1] - time[-2])
    p, q = np.empty(size), np.empty(size)
    for k in range(size):
        turned = None if angle is None else np.broadcast_to(angle[k], (1, 3))
        out = fleet.step(float(dt[k]), volts[k : k + 1], turned, frequency[k : k + 1], sun[k : k + 1])
        p[k], q[k] = out.p_pu[0], out.q_pu[0]
    return Trace(
        "der",
        time,
        np.ascontiguousarray(volts.T) if voltage.ndim == 2 else voltage[None],
        frequency,
        p,
        q,
        angle=None
        if angle is None
        else np.ascontiguousarray(np.broadcast_to(angle.reshape(size, -1), (size, 3)).T)
        if voltage.ndim == 2
        else angle.reshape(size, -1)[:, 0][None],
        available=np.array(sun) if np.ndim(available) else None,
    )


def verdict(trace: Trace, **held: Any) -> Verdict:
    """The judge's verdict; by default to Table 3's accuracy, Category III."""
    return judge_trace(trace, Held.model_validate({"category": "III", **held}))[0]


def failures(found: Verdict) -> Mapping[str, str]:
    """Clause -> fault of all that failed."""
    return {f.clause: f"{f.fault}: {f.explanation}" for f in found.findings if f.result == "fail"}
