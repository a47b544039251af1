"""Shedding and storage from the dispatch's decision through the communications to the transmission grid."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import cosim
from benchmarks.plain_loop import run_plain
from cosim.scenario import from_mapping

MINUTES = 26
INTERVAL = 5
WHOLE = 6254.23 + 1387.1j  #: [MVA] case39's load
STORAGE = {"name": "battery", "bus": 16, "power": 100, "energy": 100, "initial": 50, "final": 0}


def played(tmp_path: Any, **changes: Any) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """What transmission and dispatch gave at each step: the unit at bus 33 (632 MW) is lost from minute 5 to 15."""
    scenario = {
        "name": "shortage",
        "horizon": {"start": "2014-01-16 15:00", "duration": f"{MINUTES} min", "step": "60 s"},
        "demand": {"table": None, "lookahead": "30 min"},
        "transmission": {"case": "case39"},
        "dispatch": {"interval": f"{INTERVAL} min", "lookahead": "30 min", "storage": [STORAGE]},
        "perturbations": [
            {"kind": "GeneratorTrip", "generator": "33", "time": "5 min", "lasting": "10 min"},
        ],
        **changes,
    }
    kept, _ = run_plain(cosim.wire(from_mapping(scenario, tmp_path)), keep=True)
    grid, operator = (
        {name: np.array([step[name] for step in kept[federate]]) for name in kept[federate][0]}
        for federate in ("transmission", "dispatch")
    )
    return grid, operator


def test_a_generator_trip_sheds_load_on_the_grid_a_step_after_the_dispatch(tmp_path: Any) -> None:
    grid, operator = played(tmp_path)
    ordered = operator["load_shed"].sum(axis=1)
    assert ordered[:2].tolist() == [0, 0]  # at minute 5 nobody has yet told that the unit is lost
    assert ordered[2] > 100  # what line 2-3 cannot bring; the exact amount is the dispatch's affair
    assert ordered[-1] == 0
    # sent at minute 0, 5, ..., there within milliseconds, so carried out from the next step on
    heard = np.r_[0.0, np.repeat(ordered, INTERVAL)[: MINUTES - 1]]
    assert grid["load_shed"] == pytest.approx(heard)
    assert grid["load"].real == pytest.approx(WHOLE.real - heard)
    assert grid["load"].imag.min() < WHOLE.imag - 1
    given = np.r_[0.0, np.repeat(operator["storage_power"].sum(axis=1), INTERVAL)[: MINUTES - 1]]
    assert np.abs(given).max() > 10
    assert grid["storage"] == pytest.approx(given)
    assert np.abs(grid["storage_shortfall"][1:]).max() < 1e-6
    supplied = grid["generation"].real.sum(axis=1) + grid["storage"]
    assert supplied == pytest.approx(grid["load"].real + grid["losses"], abs=1e-3)
    assert np.abs(grid["energy_balance"]).max() < 1e-3


def test_slow_communications_shed_later(tmp_path: Any) -> None:
    slow = {
        "profile": "slow",
        "profiles": {"slow": {"latency": {"distribution": "constant", "mean": "150 s"}}},
    }
    grid, operator = played(tmp_path, communications=slow)
    ordered = operator["load_shed"].sum(axis=1)
    assert ordered[2:].max() > 100
    # two and a half minutes: heard at the third step after it was sent
    heard = np.r_[np.zeros(3), np.repeat(ordered, INTERVAL)[: MINUTES - 3]]
    assert grid["load_shed"] == pytest.approx(heard)


def test_orders_that_never_arrive_shed_nothing(tmp_path: Any) -> None:
    lost = {
        "links": [{"name": "orders", "source": "dispatch", "profile": "dead"}],
        "profiles": {"dead": {"latency": {"distribution": "constant", "mean": "1 s"}, "loss": 1.0}},
    }
    grid, operator = played(tmp_path, communications=lost)
    assert operator["load_shed"].sum(axis=1).max() > 100
    assert grid["load_shed"].max() == 0
    assert grid["load"] == pytest.approx(np.full(MINUTES, WHOLE))


def test_an_operator_who_is_told_nothing_takes_its_orders_for_carried_out(tmp_path: Any) -> None:
    deaf = {
        "links": [{"name": "telemetry", "source": "transmission", "profile": "dead"}],
        "profiles": {"dead": {"latency": {"distribution": "constant", "mean": "1 s"}, "loss": 1.0}},
    }
    grid, operator = played(tmp_path, communications=deaf)
    assert operator["load_shed"].max() == 0  # it never heard that the unit is lost
    assert grid["slack_share"][6] > 5
