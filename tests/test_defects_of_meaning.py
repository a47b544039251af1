"""Planted defects of meaning: each leaves a run whole, with numbers that are wrong, and the verdict must name it.

The right value is that of the sound model, whose run the verdict calls good; each defect changes one thing in it, as
a slip in a model's code would.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import federates.equivalent_feeder
import federates.transmission
import feeders.equivalents
from cosim.contract import Array, Exchange, Federate, Message, Time
from cosim.engine.inputs import Inputs
from cosim.engine.outputs import Outputs
from cosim.errors import ScenarioError
from cosim.held_orders import HeldOrders
from cosim.metering import Meter
from cosim.verdict import Verdict
from federates.demand import Demand
from federates.dispatch import Dispatch
from federates.equivalent_feeder import EquivalentFeeder
from federates.transmission import Transmission
from federates.weather import Weather
from feeders.equivalents import RunningEquivalent
from tests.judged_loop import judged

Patch = pytest.MonkeyPatch
Values = dict[str, Array]
Plant = Callable[[Patch], None]

HOUR = 3600 * 10**9  #: [ns]
HOMES = {"count": 8, "ev_share": 1.0, "pv_share": 1.0, "battery_share": 1.0, "water_heater_share": 1.0}
FEEDER = {"kind": "equivalent_feeder", "homes": HOMES, "warm_up": "5 min"}
#: A hot afternoon on the 39-bus grid: a unit trips, a bus goes dead, devices trip and return.
AFTERNOON: dict[str, Any] = {
    "name": "afternoon",
    "horizon": {"start": "2014-01-16 16:30", "duration": "2 h", "step": "5 min"},
    "weather": {"table": "melbourne_2014_01"},
    "demand": {"table": "victoria_2014_01", "scale": 0.8},
    "transmission": {"case": "case39"},
    "dispatch": {
        "interval": "15 min",
        "lookahead": "1 h",
        "storage": [{"name": "pond", "bus": "20", "power": 100, "energy": 200, "initial": 100, "final": 0}],
    },
    "feeders": [
        {"name": "oak", "bus": "15", "multiplier": 3, "model": FEEDER},
        {"name": "elm", "bus": "12", "model": FEEDER},
    ],
    "perturbations": [
        {"kind": "GeneratorTrip", "name": "unit", "generator": "33", "time": "30 min", "lasting": "40 min"},
        {"kind": "BranchTrip", "name": "one", "branch": "12-11", "time": "60 min", "lasting": "20 min"},
        {"kind": "BranchTrip", "name": "two", "branch": "12-13", "time": "60 min", "lasting": "20 min"},
        {
            "kind": "LoadTrip",
            "name": "devices",
            "time": "20 min",
            "lasting": "20 min",
            "devices": ["thermostat", "ev_charger", "water_heater", "home"],
            "share": 0.5,
            "feeders": ["oak"],
        },
    ],
}
#: The homes under the weather alone, from before sunset into the night.
NIGHT: dict[str, Any] = {
    "name": "night",
    "horizon": {"start": "2014-01-16 19:00", "duration": "3 h", "step": "15 min"},
    "weather": {"table": "melbourne_2014_01"},
    "feeders": [{"name": "oak", "model": {**FEEDER, "warm_up": "15 min"}}],
}


def outputs(kind: type[Federate], change: Callable[[Values], Mapping[str, Any]]) -> Plant:
    """The same kind that gives some outputs otherwise."""
    solve = kind.solve

    def wrong(self: Any, time: Time, inputs: Exchange) -> Exchange:
        right = solve(self, time, inputs)
        values = dict(right.values)
        return Exchange(values | dict(change(values)), right.messages)

    return lambda patch: patch.setattr(kind, "solve", wrong)


def inputs(kind: type[Federate], change: Callable[[Values], Mapping[str, Any]]) -> Plant:
    """The same kind that reads some inputs otherwise."""
    solve = kind.solve

    def wrong(self: Any, time: Time, given: Exchange) -> Exchange:
        values = dict(given.values)
        return solve(self, time, Exchange(values | dict(change(values)), given.messages))

    return lambda patch: patch.setattr(kind, "solve", wrong)


def a_step_late(kind: type[Federate], name: str) -> Plant:
    """The same kind that reads an input of the step before."""
    last: dict[int, Any] = {}
    solve = kind.solve

    def wrong(self: Any, time: Time, given: Exchange) -> Exchange:
        now = given.values[name]
        values = {**given.values, name: last.get(id(self), now)}
        last[id(self)] = now
        return solve(self, time, Exchange(values, given.messages))

    return lambda patch: patch.setattr(kind, "solve", wrong)


def a_step_early(kind: type[Federate], name: str) -> Plant:
    """The same kind that gives an output of the step before."""
    last: dict[int, Any] = {}
    solve = kind.solve

    def wrong(self: Any, time: Time, given: Exchange) -> Exchange:
        right = solve(self, time, given)
        before = last.get(id(self), right.values[name])
        last[id(self)] = right.values[name]
        return Exchange({**right.values, name: before}, right.messages)

    return lambda patch: patch.setattr(kind, "solve", wrong)


def replaced(where: Any, name: str, make: Callable[[Any], Any]) -> Plant:
    """Something of a class or module made anew from what it is."""
    return lambda patch: patch.setattr(where, name, make(getattr(where, name)))


def started(kind: type[Federate], change: Callable[[Any], None]) -> Plant:
    """The same kind whose parameters are changed after it was built."""
    start = kind.start

    def wrong(self: Any, folder: Path) -> None:
        start(self, folder)
        change(self)

    return lambda patch: patch.setattr(kind, "start", wrong)


def one_bus_times(factor: float) -> Plant:
    """The load of one bus counted `factor` times."""

    def change(grid: Any) -> None:
        grid._own_load[2] *= factor

    return started(Transmission, change)


def first_only(take: Any) -> Any:
    """An order is kept though newer ones come."""

    def wrong(self: HeldOrders, receiver: int, amount: float, sent: Time) -> None:
        if np.isnan(self.amount[receiver]):
            take(self, receiver, amount, sent)

    return wrong


def times(factor: float, word: str = "") -> Callable[[Any], Any]:
    """What a function gives times `factor`; only if it was asked for `word`, where that is given."""
    return lambda found: lambda *args: found(*args) * (factor if not word or word in args else 1.0)


def without_gain(take: Any) -> Any:
    """Inputs that leave out a link's gain."""

    def wrong(self: Inputs) -> Exchange:
        links = self._links
        self._links = [link.model_copy(update={"gain": 1.0}) for link in links]
        found: Exchange = take(self)
        self._links = links
        return found

    return wrong


def of_bus_14(part: Any) -> Any:
    """A feeder that is given the voltage of the bus beside its own."""

    def wrong(self: Outputs, reference: Any) -> Array:
        other = {"label": "14"} if (reference.port, reference.label) == ("voltage", "15") else {}
        return part(self, reference.model_copy(update=other))  # type: ignore[no-any-return]

    return wrong


def night_roofs(roofs: Any) -> Any:
    """PV that gives power whenever there is air."""
    return lambda self, sun, weather: roofs(self, sun, weather) + 0.1 * self.plan.homes.pv_power


def behind(name: str, value: float) -> Callable[[Values], Mapping[str, Any]]:
    """An input that is `value` throughout."""
    return lambda values: {name: np.full_like(values[name], value)}


def scaled(name: str, factor: float) -> Callable[[Values], Mapping[str, Any]]:
    """A value times `factor`."""
    return lambda values: {name: np.asarray(values[name]) * factor}


def both_ways(stored_after: Any) -> Any:
    """The efficiency of a stock counted twice."""

    def wrong(stored: Any, output: Any, capacity: Any, step: float) -> Any:
        from feeders.home_batteries import ONE_WAY

        return stored_after(stored, np.where(output < 0.0, output * ONE_WAY, output / ONE_WAY), capacity, step)

    return wrong


def reading_in_kilowatt(reading: Any) -> Any:
    """A meter whose messages hold another unit than they say."""

    def wrong(self: Meter, time: Time, power: float) -> tuple[Meter, list[Message]]:
        meter, messages = reading(self, time, power)
        return meter, [
            replace(one, payload={**one.payload, "power_MW": one.payload["power_MW"] / 1e3}) for one in messages
        ]

    return wrong


@dataclass(frozen=True)
class Defect:
    """What is wrong, and how the verdict has to name it."""

    plant: Plant
    federate: str
    says: str
    scenario: Mapping[str, Any] = field(default_factory=lambda: AFTERNOON)


DEFECTS: dict[str, Defect] = {
    # signs, units, phases
    "PV of the wrong sign": Defect(outputs(EquivalentFeeder, scaled("pv_power", -1)), "oak", "power of homes"),
    "air conditioners in W": Defect(outputs(EquivalentFeeder, scaled("hvac_power", 1e3)), "oak", "power of homes"),
    "homes in W": Defect(outputs(EquivalentFeeder, scaled("home_power", 1e3)), "oak", "power at the head"),
    "MW for kW at the head": Defect(outputs(EquivalentFeeder, scaled("power", 1e-3)), "oak", "power at the head"),
    "each phase holds the total": Defect(
        outputs(EquivalentFeeder, lambda v: {"power": np.full(3, v["power"].sum())}), "oak", "power at the head"
    ),
    "one phase for the total": Defect(
        inputs(Transmission, lambda v: {"feeder_load": v["feeder_load"] * [1, 0, 0]}),
        "transmission",
        "load of the grid",
    ),
    "losses of a feeder negative": Defect(outputs(EquivalentFeeder, scaled("losses", -1)), "oak", "power at the head"),
    "losses of the grid negative": Defect(
        outputs(Transmission, scaled("losses", -1)), "transmission", "power of the grid"
    ),
    "storage of the wrong sign": Defect(
        outputs(Transmission, scaled("storage", -1)), "transmission", "power of storages"
    ),
    "voltage in kV": Defect(
        outputs(Transmission, lambda v: {"voltage": v["voltage"] * np.r_[345.0, np.ones(38)]}),
        "transmission",
        "voltage",
    ),
    "generation in per unit": Defect(
        outputs(Transmission, scaled("generation", 0.01)), "transmission", "power of the grid"
    ),
    "set-points in per unit": Defect(outputs(Dispatch, scaled("setpoint", 0.01)), "dispatch", "power of the dispatch"),
    "storage left out of the dispatch": Defect(
        outputs(Dispatch, lambda v: {"planned_load": v["planned_load"] + 40.0}), "dispatch", "power of the dispatch"
    ),
    # counted twice, or not at all
    "multiplier forgotten": Defect(replaced(Inputs, "take", without_gain), "transmission", "load of the grid"),
    "load scale applied twice": Defect(
        inputs(Transmission, lambda v: {"load_scale": v["load_scale"] ** 2}), "transmission", "load of the grid"
    ),
    "load scale of a feeder applied twice": Defect(
        inputs(EquivalentFeeder, lambda v: {"load_scale": v["load_scale"] ** 2}), "oak", "spot loads"
    ),
    "load scale of the step before": Defect(
        a_step_late(Transmission, "load_scale"), "transmission", "load of the grid"
    ),
    "a bus without its load": Defect(one_bus_times(0.0), "transmission", "load of the grid"),
    "a bus with twice its load": Defect(one_bus_times(2.0), "transmission", "load of the grid"),
    "a feeder without its spot loads": Defect(
        replaced(RunningEquivalent, "spot_load", times(0.0)), "oak", "spot loads"
    ),
    "unserved load not counted": Defect(
        outputs(Transmission, scaled("unserved_load", 0)), "transmission", "load of the grid"
    ),
    # what is out, dead or open
    "a tripped unit keeps its power": Defect(
        inputs(Transmission, behind("generator_available", 1)), "transmission", "generation of transmission without"
    ),
    "the flow of another branch": Defect(
        outputs(Transmission, lambda v: {"branch_loading": np.roll(v["branch_loading"], 1)}),
        "transmission",
        "branch loading of transmission without",
    ),
    "a feeder draws behind a dead bus": Defect(
        inputs(EquivalentFeeder, behind("head_voltage", 1.0)), "elm", "power of elm without head_voltage"
    ),
    "thermostats run on": Defect(
        inputs(EquivalentFeeder, lambda v: {"device_available": v["device_available"] * 0 + 1}),
        "oak",
        "without device_available[thermostat]",
    ),
    "a battery charges behind an open meter": Defect(
        replaced(feeders.equivalents, "possible_output", lambda found: lambda *args: found(*args) - 0.1),
        "oak",
        "battery power of oak without device_available[home]",
    ),
    # orders
    "set-points read as kW": Defect(
        replaced(federates.transmission, "_amount", times(1e-3)), "transmission", "was never ordered"
    ),
    "orders to another unit": Defect(
        replaced(Transmission, "_generator_position", lambda found: lambda self, message: 9 - found(self, message)),
        "transmission",
        "was never ordered",
    ),
    "storage orders of the wrong sign": Defect(
        replaced(federates.transmission, "_amount", times(-1.0, "storage_MW")),
        "transmission",
        "storage order of transmission against dispatch.storage_power",
    ),
    "a stale order": Defect(replaced(HeldOrders, "take", first_only), "transmission", "is no longer ordered"),
    # stocks
    "a storage leaks 1 % a step": Defect(
        replaced(federates.transmission, "energy_after", times(0.99)), "transmission", "balance of storage energy"
    ),
    "a storage's energy of the step before": Defect(
        a_step_early(Transmission, "storage_energy"), "transmission", "balance of storage energy"
    ),
    "a battery leaks 1 % a step": Defect(
        replaced(feeders.equivalents, "stored_after", times(0.99)), "oak", "balance of battery energy"
    ),
    "a battery's efficiency counts twice": Defect(
        replaced(feeders.equivalents, "stored_after", both_ways), "oak", "balance of battery energy"
    ),
    "a vehicle charges beyond its need": Defect(
        replaced(feeders.equivalents, "charge", lambda found: lambda homes, *rest: homes.ev_power * 1.0),
        "oak",
        "balance of ev energy needed",
    ),
    "a tank above its limit": Defect(
        outputs(EquivalentFeeder, lambda v: {"water_heater_energy": v["water_heater_energy"] + 20.0}),
        "oak",
        "above capacity",
    ),
    "a tank that loses nothing": Defect(
        outputs(EquivalentFeeder, scaled("water_heater_loss", 0)), "oak", "balance of water heater energy"
    ),
    # place and time
    "another latitude": Defect(
        replaced(
            federates.equivalent_feeder,
            "sun_path",
            lambda found: lambda t, north, east, zone: found(t, -north, east, zone),
        ),
        "oak",
        "sun in sun elevation",
    ),
    "a clock of summer time": Defect(
        replaced(
            federates.equivalent_feeder,
            "sun_path",
            lambda found: lambda t, north, east, zone: found(t, north, east, zone + 1),
        ),
        "oak",
        "sun in sun elevation",
    ),
    "the sun's height in radians": Defect(
        outputs(EquivalentFeeder, lambda v: {"sun_elevation": np.deg2rad(v["sun_elevation"])}),
        "oak",
        "sun in sun elevation",
    ),
    "PV at night": Defect(replaced(RunningEquivalent, "roofs", night_roofs), "oak", "sun in pv power", NIGHT),
    "weather of another continent's clock": Defect(
        outputs(Weather, lambda v: {"ghi": v["ghi"] + 100.0}), "weather", "sun in ghi", NIGHT
    ),
    "temperature in degF": Defect(
        outputs(Weather, lambda v: {"temperature": 1.8 * v["temperature"] + 32}), "weather", "temperature"
    ),
    "humidity in %": Defect(outputs(Weather, scaled("relative_humidity", 100)), "weather", "relative humidity"),
    "a forecast an hour late": Defect(
        replaced(Demand, "_scale", lambda found: lambda self, t: found(self, t if len(t) == 1 else t - HOUR)),
        "demand",
        "load scale forecast",
    ),
    "a forecast in %": Defect(outputs(Demand, scaled("load_scale_forecast", 100)), "demand", "load scale forecast"),
    # labels
    "the voltage of another bus": Defect(
        replaced(Outputs, "part", of_bus_14), "oak", "boundary mismatch transmission.voltage[15]"
    ),
}

#: What the verdict cannot see: docs/verdict.md says why, each by these words.
UNSEEN: dict[str, Plant] = {
    "the price of another bus": outputs(Dispatch, lambda v: {"lmp": np.roll(v["lmp"], 1)}),
    "the angle of a voltage": outputs(
        Transmission, lambda v: {"voltage": np.abs(v["voltage"]) * np.exp(1j * np.rad2deg(np.angle(v["voltage"])))}
    ),
    "phases that are swapped": outputs(EquivalentFeeder, lambda v: {"power": v["power"][::-1]}),
    "the weather of another place": outputs(Weather, lambda v: {"temperature": v["temperature"] - 15.0}),
    "a demand of another hour": replaced(Demand, "_scale", lambda found: lambda self, t: found(self, t + HOUR)),
    "a meter reading in another unit": replaced(Meter, "reading", reading_in_kilowatt),
}


@pytest.mark.parametrize("scenario", [AFTERNOON, NIGHT], ids=lambda scenario: scenario["name"])
def test_the_sound_model_is_trusted(scenario: Mapping[str, Any], tmp_path: Path) -> None:
    verdict = judged(scenario, tmp_path)
    assert verdict.trustworthy, _failures(verdict)


@pytest.mark.parametrize("name", DEFECTS)
def test_a_defect_is_named(name: str, tmp_path: Path, monkeypatch: Patch) -> None:
    defect = DEFECTS[name]
    defect.plant(monkeypatch)
    verdict = judged(defect.scenario, tmp_path)
    assert not verdict.trustworthy
    assert any(defect.says in check.text and check.federate == defect.federate for check in verdict.failed), _failures(
        verdict
    )


@pytest.mark.parametrize("name", UNSEEN)
def test_what_cannot_be_seen_is_said_in_the_docs(name: str, tmp_path: Path, monkeypatch: Patch) -> None:
    """One that is seen after all: move it up, and out of the page."""
    assert f"**{name}**" in (Path(__file__).parents[1] / "docs" / "verdict.md").read_text()
    UNSEEN[name](monkeypatch)
    assert judged(AFTERNOON, tmp_path).trustworthy


def test_there_are_enough_of_them() -> None:
    assert len(DEFECTS) >= 40


def test_a_feeder_at_another_place_is_refused(tmp_path: Path) -> None:
    elsewhere = {**NIGHT, "feeders": [{"name": "oak", "model": {**FEEDER, "latitude": 36.1, "warm_up": "0 s"}}]}
    with pytest.raises(ScenarioError, match=r"8,\d\d\d km apart"):
        judged(elsewhere, tmp_path)


def _failures(verdict: Verdict) -> list[str]:
    return [check.text for check in verdict.failed]
