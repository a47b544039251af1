"""What the verdict takes a federate's inputs for is what the federate was given, to the bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cosim.contract import Exchange, Federate, Time
from cosim.recorded_inputs import RecordedInputs, UnknownInputError, brought
from cosim.results import RESULTS
from cosim.scenario import from_mapping
from cosim.stored_arrays import arrays, groups
from cosim.wiring import wire
from federates.equivalent_feeder import EquivalentFeeder
from federates.transmission import Transmission
from tests.judged_loop import judged
from tests.test_defects_of_meaning import AFTERNOON

LAGGED = {"lagged": True, "tolerance": 50.0}

#: Links in both orders, with gains, at labels, several to one input, at other steps, and lagged.
SCENARIO: dict[str, Any] = AFTERNOON | {
    "horizon": {"start": "2014-01-16 16:30", "duration": "45 min", "step": "5 min"},
    "perturbations": [
        {"kind": "LoadChange", "name": "step", "bus": "15", "power": "5 MW", "time": "10 min"},
        *AFTERNOON["perturbations"][:1],
        *AFTERNOON["perturbations"][3:],
    ],
    "links": [
        {
            "source": "oak.power[A]",
            "destination": "transmission.load_change[7]",
            "gain": 0.5,
            "lagged": True,
            "tolerance": 50.0,
        },
        {
            "source": "elm.power[B]",
            "destination": "transmission.load_change[7]",
            "gain": -2.0,
            "lagged": True,
            "tolerance": 50.0,
        },
    ],
}


def noted(kind: type[Federate], given: dict[str, list[Any]], patch: pytest.MonkeyPatch) -> None:
    """Note every input of each federate of a kind."""
    solve = kind.solve

    def noting(self: Any, time: Time, inputs: Exchange) -> Exchange:
        for name, value in inputs.values.items():
            given.setdefault(f"{self.context.name}.{name}", []).append(np.array(value))
        return solve(self, time, inputs)

    patch.setattr(kind, "solve", noting)


def test_inputs_are_worked_out_as_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, list[Any]] = {}
    noted(Transmission, given, monkeypatch)
    noted(EquivalentFeeder, given, monkeypatch)
    assert judged(SCENARIO, tmp_path).trustworthy
    federation = wire(from_mapping(SCENARIO, tmp_path))
    store = {name: arrays(tmp_path / RESULTS / name) for name in groups(tmp_path / RESULTS)}
    compared = set()
    for spec in federation.federates:
        ports, links = federation.build(spec).ports(), federation.links_to(spec.name)
        recorded = RecordedInputs(federation, store, spec.name)
        for port in ports:
            key = f"{spec.name}.{port.name}"
            if port.direction == "in" and key in given:
                found = recorded.value(port.name, brought(ports, links, port.name))
                steps = given[key][-len(found) :]  # before them stands what its opening was given
                np.testing.assert_array_equal(found, np.array(steps), err_msg=key)
                compared.add(key)
    assert {"transmission.load_change", "transmission.feeder_load", "oak.device_available", "elm.dni"} <= compared


def test_what_was_not_recorded_is_named(tmp_path: Path) -> None:
    excluded = SCENARIO | {"outputs": {"exclude": ["demand.load_scale"]}}
    verdict = judged(excluded, tmp_path)
    assert verdict.trustworthy
    assert "load scale of demand: was not held" in " ".join(check.text for check in verdict.to_look_at)
    federation = wire(from_mapping(excluded, tmp_path))
    store = {name: arrays(tmp_path / RESULTS / name) for name in groups(tmp_path / RESULTS)}
    (spec,) = (one for one in federation.federates if one.name == "transmission")
    ports = federation.build(spec).ports()
    with pytest.raises(UnknownInputError, match=r"demand\.load_scale"):
        RecordedInputs(federation, store, spec.name).value(
            "load_scale", brought(ports, federation.links_to(spec.name), "load_scale")
        )
