"""The frequency of a whole grid as one mass: inertia, damping, and governors with limits.

The swing equation of all machines together, with the governor and turbine TGOV1 of each (IEEE PES-TR1, Dynamic Models
for Turbine-Governors in Power System Studies, 2013, section 2.1):

    2 H S dw/dt = sum(rating · p) - imbalance - D w
    T1 dx/dt = -w / R - x                        lowest <= x + loading <= highest
    T3 dz/dt = (1 - T2/T3) x - z                 p = z + T2/T3 x - Dt w

w is the deviation of the frequency [pu]. With T1 = 0, T2 = FH TR, T3 = TR it is the low-order model of P. M. Anderson
and M. Mirheydar, A low-order system frequency response model, IEEE Trans. Power Systems 5(3), 1990, whose closed
form is here too. The equations are linear between limits, so a step under constant imbalance is exact for any length:
only the moment when a valve meets its limit is rounded to a step.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from solvers.transmission_grid import Booleans, Floats

__all__ = ["FrequencyResponse", "Governors", "Machines", "sfr_nadir", "sfr_step_response", "typical_governors"]

_SHORTEST_VALVE_TIME = 1e-6  #: [s] a valve time of 0 is taken as this


@dataclass(frozen=True)
class Machines:
    """One entry per generator; per unit on its own rating."""

    rating: Floats  #: [MVA]
    inertia: Floats  #: [s] inertia constant H
    damping: Floats  #: [pu power per pu frequency]
    reactance: Floats  #: [pu] subtransient reactance x''


@dataclass(frozen=True)
class Governors:
    """One entry per generator; per unit on its rating. No governor is an infinite droop."""

    droop: Floats  #: [pu frequency per pu power] R
    valve_time: Floats  #: [s] T1
    lead_time: Floats  #: [s] T2
    lag_time: Floats  #: [s] T3
    turbine_damping: Floats  #: [pu power per pu frequency] Dt
    lowest: Floats  #: [pu] VMIN
    highest: Floats  #: [pu] VMAX


def typical_governors(count: int, droop: float = 0.05) -> Governors:
    """Reheat steam turbines, typical values of Anderson and Mirheydar (1990): TR = 8 s, FH = 0.3; valve 0.1 s."""
    full = np.ones(count)
    return Governors(droop * full, 0.1 * full, 0.3 * 8.0 * full, 8.0 * full, 0 * full, 0 * full, 1.0 * full)


class FrequencyResponse:
    """State: the frequency's deviation, and valve and turbine of each generator."""

    def __init__(
        self,
        machines: Machines,
        governors: Governors,
        loading: Floats,
        *,
        nominal: float = 60.0,
        load_damping: float = 0.0,
    ) -> None:
        """At rest with `loading` (generator,) [pu on its rating]; `load_damping` [MW per pu frequency] of all loads.

        A valve that is beyond its limits at rest stays where it is: the limit moves there.
        """
        self._machines, self._governors = machines, governors
        self._nominal, self._load_damping = nominal, load_damping
        self._in_service: Booleans = np.ones(len(machines.rating), dtype=bool)
        self._lowest = np.minimum(governors.lowest - loading, 0.0)
        self._highest = np.maximum(governors.highest - loading, 0.0)
        self._state = np.zeros(1 + 2 * len(machines.rating))
        self._held: Booleans = np.zeros(len(machines.rating), dtype=bool)
        self._updates: dict[tuple[float, bytes, bytes], Floats] = {}

    @property
    def frequency(self) -> float:
        """[Hz]."""
        return self._nominal * (1 + float(self._state[0]))

    @property
    def mechanical_power(self) -> Floats:
        """Change of each generator's mechanical power since the opening [MW] (generator,), 0 out of service."""
        power: Floats = self._capacity() * (self._power_rows() @ self._state)
        return power

    @property
    def stored(self) -> float:
        """Inertia constant times rating of what is in service [MWs]."""
        return float((self._machines.inertia * self._capacity()).sum())

    def rate(self, imbalance: float) -> float:
        """The rate of change [Hz/s] at this moment under `imbalance` [MW]."""
        return self._nominal * float((self._matrix() @ np.append(self._state, imbalance))[0])

    def trip(self, out: Booleans) -> None:
        """Take the generators `out` (generator,) out of service; their inertia and governors are gone."""
        self._in_service = self._in_service & ~out
        if not self.stored > 0:
            raise ValueError("no generator with inertia is left in service")

    def advance(self, step: float, imbalance: float) -> None:
        """Move on by `step` [s] while `imbalance` [MW] more is drawn than at the opening."""
        valves = slice(1, 1 + len(self._held))
        self._state = self._update(step) @ np.append(self._state, imbalance)
        valve = self._state[valves]
        wanted = -self._state[0] / self._governors.droop
        stopped = ((valve >= self._highest) & (wanted >= self._highest)) | (
            (valve <= self._lowest) & (wanted <= self._lowest)
        )
        self._state[valves] = np.clip(valve, self._lowest, self._highest)
        self._held = stopped

    def _capacity(self) -> Floats:
        capacity: Floats = np.where(self._in_service, self._machines.rating, 0.0)
        return capacity

    def _power_rows(self) -> Floats:
        """The matrix (generator, state) from the state to mechanical power [pu on rating]."""
        governors, count = self._governors, len(self._held)
        rows = np.zeros((count, 1 + 2 * count))
        each = np.arange(count)
        rows[:, 0] = -governors.turbine_damping
        rows[each, 1 + each] = governors.lead_time / governors.lag_time
        rows[each, 1 + count + each] = 1.0
        return rows

    def _matrix(self) -> Floats:
        """d/dt of (state, imbalance), with the valves at their limits held."""
        governors, count, capacity = self._governors, len(self._held), self._capacity()
        each = np.arange(count)
        matrix = np.zeros((2 + 2 * count, 2 + 2 * count))
        damping = float((self._machines.damping * capacity).sum()) + self._load_damping
        matrix[0, : 1 + 2 * count] = capacity @ self._power_rows()
        matrix[0, 0] -= damping
        matrix[0, -1] = -1.0
        matrix[0] /= 2 * self.stored
        valve = np.where(self._held, 0.0, 1 / np.maximum(governors.valve_time, _SHORTEST_VALVE_TIME))
        matrix[1 + each, 0] = -valve / governors.droop
        matrix[1 + each, 1 + each] = -valve
        matrix[1 + count + each, 1 + each] = (1 - governors.lead_time / governors.lag_time) / governors.lag_time
        matrix[1 + count + each, 1 + count + each] = -1 / governors.lag_time
        return matrix

    def _update(self, step: float) -> Floats:
        """The matrix (state, state + 1) over `step` [s]; kept, as modes and steps come back."""
        from scipy.linalg import expm

        key = (step, self._held.tobytes(), self._in_service.tobytes())
        found = self._updates.get(key)
        if found is None:
            if len(self._updates) > 256:
                self._updates.clear()
            found = self._updates[key] = expm(self._matrix() * step)[:-1]
        return found


def sfr_step_response(
    time: Floats, step: float, inertia: float, damping: float, droop: float, reheat: float, high: float, gain: float
) -> Floats:
    """The frequency's deviation [pu] after a load step, shape of `time` [s]: the closed form.

    `step` [pu] of load added at time 0, `inertia` H [s], `damping` D [pu], `droop` R [pu], `reheat` TR [s], `high`
    the high-pressure share FH, `gain` Km. Anderson and Mirheydar (1990); for a damping ratio below 1.
    """
    natural, ratio, damped = _sfr_roots(inertia, damping, droop, reheat, high, gain)
    size = np.sqrt((1 - 2 * reheat * ratio * natural + (reheat * natural) ** 2) / (1 - ratio**2))
    phase = np.arctan2(damped * reheat, 1 - ratio * natural * reheat) - np.arctan2(np.sqrt(1 - ratio**2), -ratio)
    final = -droop * step / (damping * droop + gain)
    response: Floats = final * (1 + size * np.exp(-ratio * natural * time) * np.sin(damped * time + phase))
    return response


def sfr_nadir(
    step: float, inertia: float, damping: float, droop: float, reheat: float, high: float, gain: float
) -> tuple[float, float]:
    """When [s] the largest deviation comes after a load step, and the deviation [pu]; as `sfr_step_response`."""
    natural, ratio, damped = _sfr_roots(inertia, damping, droop, reheat, high, gain)
    time = float(np.arctan2(damped * reheat, ratio * natural * reheat - 1) / damped)
    at = sfr_step_response(np.array([time]), step, inertia, damping, droop, reheat, high, gain)
    return time, float(at[0])


def _sfr_roots(
    inertia: float, damping: float, droop: float, reheat: float, high: float, gain: float
) -> tuple[float, float, float]:
    """Natural frequency [rad/s], damping ratio, damped frequency [rad/s]. Raises ValueError if it does not swing."""
    stiffness = damping * droop + gain
    natural = float(np.sqrt(stiffness / (2 * inertia * droop * reheat)))
    ratio = natural * (2 * inertia * droop + (damping * droop + gain * high) * reheat) / (2 * stiffness)
    if not ratio < 1:
        raise ValueError(f"the closed form is for a damping ratio below 1, got {ratio:.3g}")
    return natural, ratio, float(natural * np.sqrt(1 - ratio**2))
