"""Model against judge: on random waveforms the sound fleet model never fails."""

from __future__ import annotations

import numpy as np
import pytest
from comply_cases.simulate import failures
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runs.comply.judge import judge_trace
from runs.comply.settings import Held
from runs.comply.trace import Trace
from solvers import ieee1547_tables as tables
from solvers.der_fleet import DerFleet, fleet_settings

#: Values at and around every boundary, so that random waveforms meet them often.
VOLTS = sorted(
    {v for r in tables.RIDE_THROUGH if r.quantity == "voltage" for v in (r.low, r.high) if 0 <= v < 2}
    | {row.threshold for row in tables.TRIP_SETTINGS if row.quantity == "voltage"}
    | {0.05, 0.6, 0.8, 0.95, 1.02, 1.08, 1.3}
)
HERTZ = sorted(
    {v for r in tables.RIDE_THROUGH if r.quantity == "frequency" for v in (r.low, r.high) if 40 < v < 80}
    | {row.threshold for row in tables.TRIP_SETTINGS if row.quantity == "frequency"}
    | {56.0, 58.0, 59.5, 60.03, 60.5, 62.3}
)
LASTING = (0.03, 0.1, 0.16, 0.2, 0.32, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 13.0, 21.0)
UNITS = 6


def waveforms(rng: np.random.Generator, end: float, dt: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Time (k,), voltages (k, UNITS, 3) [pu] and frequency (k, UNITS) [Hz]: random steps, on one phase or all."""
    time = np.round(np.arange(0.0, end, dt), 9)
    volts, hertz = np.ones((time.size, UNITS, 3)), np.full((time.size, UNITS), 60.0)
    for unit in range(UNITS):
        now = rng.uniform(0.5, 3.0)
        while now < 0.8 * end:
            lasting = rng.choice(LASTING) * rng.choice([1.0, rng.uniform(0.7, 1.3)])
            inside = (time >= now) & (time < now + lasting)
            kind = rng.integers(4)
            phases = rng.permutation(3)[: rng.integers(1, 3)] if kind == 0 else np.arange(3)
            if kind < 3:
                value = max(0.0, rng.choice(VOLTS) + rng.choice([0.0, rng.uniform(-0.03, 0.03)]))
                volts[np.ix_(inside, [unit], phases)] = value
            if kind == 3 or rng.random() < 0.2:
                hertz[inside, unit] = rng.choice(HERTZ)
            now += lasting + rng.choice([0.0, 0.1, 0.3, 1.0, 4.0, 6.0, 15.0, 40.0]) * rng.random()
    return time, volts, hertz


cases = given(seed=st.integers(0, 2**32 - 1), long=st.booleans(), accuracy=st.sampled_from(["exact", "table 3"]))


@settings(max_examples=3, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@cases
def test_the_sound_model_never_fails(seed: int, long: bool, accuracy: str) -> None:
    check(seed, long=long, accuracy=accuracy)


@pytest.mark.long
@pytest.mark.timeout(900)
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@cases
def test_the_sound_model_never_fails_on_many(seed: int, long: bool, accuracy: str) -> None:
    check(seed, long=long, accuracy=accuracy)


def check(seed: int, *, long: bool, accuracy: str) -> None:
    """Judge the model's answers to one lot of waveforms."""
    rng = np.random.default_rng(seed)
    end, dt = (400.0, 0.1) if long else (30.0, rng.choice([0.005, 0.01, 0.02]))
    time, volts, hertz = waveforms(rng, end, dt)
    chosen = {
        "category": rng.choice(tables.ABNORMAL_CATEGORIES, UNITS),
        "normal_category": rng.choice(tables.NORMAL_CATEGORIES, UNITS),
        "reactive_mode": rng.choice(["volt_var", "constant_power_factor", "watt_var"], UNITS),
        "VW_enabled": rng.choice([True, False], UNITS),
    }
    fleet = DerFleet(fleet_settings(UNITS, chosen), seed % 1000)
    available = rng.choice([1.0, 0.95, 0.5, 0.25], UNITS)
    power = np.empty((2, time.size, UNITS))
    for k in range(time.size):
        out = fleet.step(dt, volts[k], None, hertz[k], available)
        power[:, k] = out.p_pu, out.q_pu
    for unit in range(UNITS):
        trace = Trace(f"{unit}", time, volts[:, unit].T.copy(), hertz[:, unit].copy(), *power[:, :, unit].copy())
        held = Held.model_validate(
            {
                "category": chosen["category"][unit],
                "normal_category": chosen["normal_category"][unit],
                "reactive_mode": chosen["reactive_mode"][unit],
                "accuracy": accuracy,
                "values": {"VW_enabled": bool(chosen["VW_enabled"][unit])},
            }
        )
        found, _ = judge_trace(trace, held)
        assert found.result != "fail", (seed, unit, held, failures(found), found.outages)
