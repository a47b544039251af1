"""Batteries, vehicles and water tanks of homes through outages, and feeders behind a dead bus.

The right values are the first law, written out here again beside that of the verdict, and what a dark home does: an
open meter has no power, so what is stored stays, tanks cool, houses warm, and what was missed is drawn afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gridlabd_alone import alone

from cosim.contract import Context, Exchange, Federate
from cosim.errors import SolverError
from federates.equivalent_feeder import EquivalentFeeder
from federates.gridlabd_feeder import DEVICE_CLASSES, GridlabdFeeder
from feeders.head_voltage import HeadVoltageError, is_dead
from feeders.water_tanks import BAND, WaterTanks, after, element_share

MINUTE = 60 * 10**9
EVENING = datetime(2014, 1, 16, 17, 30)
COUNT = 12
HOT = {"temperature": 40.0, "relative_humidity": 0.2, "wind_speed": 3.0, "ghi": 500.0, "dni": 400.0, "dhi": 100.0}
MELBOURNE = {"latitude": -37.81, "longitude": 144.96, "utc_offset": 10.0}
SHARES = {"cooling_share": 1.0, "pv_share": 0.7, "battery_share": 1.0, "ev_share": 1.0, "water_heater_share": 1.0}
SMALL_BATTERY = {"battery_energy": 1.5, "battery_power": 5.0}
KINDS: Mapping[str, tuple[Any, Mapping[str, Any]]] = {
    "gridlabd": (GridlabdFeeder, {"feeder": "ieee13", "homes": {"count": COUNT, **SHARES, **SMALL_BATTERY}}),
    "equivalent": (EquivalentFeeder, {"feeder": "ieee123", "homes": {"count": COUNT, **SHARES}}),
}


@dataclass(frozen=True)
class Told:
    """What acts on the feeder in each of `steps` steps."""

    steps: int
    dead: Sequence[int] = ()  #: steps with a dead head
    out: Mapping[str, Sequence[int]] | None = (
        None  #: device class -> steps in which the first half of the homes lack it
    )

    def inputs(self, federate: Federate, step: int) -> Exchange:
        available = np.ones((len(DEVICE_CLASSES), COUNT))
        for name, steps in (self.out or {}).items():
            available[DEVICE_CLASSES.index(name), : COUNT // 2] = step not in steps
        values: dict[str, Any] = {"head_voltage": 0.0 if step in self.dead else 1.0, "load_scale": 1.0, **HOT}
        values["device_available"] = available
        ports = [port for port in federate.ports() if port.direction == "in"]
        return Exchange({port.name: np.asarray(values[port.name]) * np.ones(port.shape) for port in ports})


def outputs_of(kind: str, told: Told, folder: Path, step: int = MINUTE) -> dict[str, np.ndarray]:
    """(steps, ...) by port."""
    made, settings = KINDS[kind]
    context = Context("feeder", 5, EVENING, 86_400 * 10**9, step)
    federate = made(made.Config.model_validate({**MELBOURNE, "metering_interval": f"{step} ns", **settings}), context)
    federate.start(folder)
    found: dict[str, list[np.ndarray]] = {}
    for k in range(told.steps):
        values = federate.solve(k * step, told.inputs(federate, k)).values
        federate.commit(k * step)
        for name, value in values.items():
            found.setdefault(name, []).append(np.array(value))
    federate.close()
    return {name: np.stack(values) for name, values in found.items()}


def assert_balanced(found: Mapping[str, np.ndarray], hours: float) -> None:
    """The first law for every home at every step: batteries at 0.96 sqrt(0.9) each way, vehicles and tanks at 1."""
    way = 0.96 * np.sqrt(0.9)
    drawn = found["battery_power"][:-1]
    into = np.where(drawn > 0, drawn * way, drawn / way) * hours
    assert np.diff(found["battery_energy"], axis=0) == pytest.approx(into, abs=1e-9)
    charged = found["ev_energy_driven"][1:] - found["ev_power"][:-1] * hours
    assert np.diff(found["ev_energy_needed"], axis=0) == pytest.approx(charged, abs=1e-9)
    heated = found["water_heater_power"][:-1] - found["water_heater_draw"][1:] - found["water_heater_loss"][1:]
    assert np.diff(found["water_heater_energy"], axis=0) == pytest.approx(heated * hours, abs=1e-9)
    for name in ("battery_energy", "ev_energy_needed", "water_heater_energy"):
        assert found[name].min() >= 0.0, name


DARK = range(20, 40)
DEAD = range(50, 65)
HELD = range(70, 80)


@pytest.fixture(scope="module", params=list(KINDS))
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, np.ndarray]]:
    """Half of the homes dark, then the whole feeder, then two classes of devices off in half of the homes."""
    told = Told(90, DEAD, {"home": DARK, "ev_charger": HELD, "water_heater": HELD})
    kind = request.param
    folder = tmp_path_factory.mktemp(kind)
    return kind, alone(outputs_of, kind, told, folder) if kind == "gridlabd" else outputs_of(kind, told, folder)


def test_every_stock_balances_through_outages(run: tuple[str, dict[str, np.ndarray]]) -> None:
    kind, found = run
    assert_balanced(found, 1 / 60)
    assert found["battery_power"].min() < -0.5
    assert found["ev_power"].max() > 5.0
    assert found["water_heater_power"].max() > 3.0
    if kind == "gridlabd":  # a small battery, so that some run empty within a step
        assert (found["battery_energy"] < 1e-9).any()
        assert (found["battery_energy"] <= SMALL_BATTERY["battery_energy"]).all()


def test_behind_an_open_meter_what_is_stored_stays(run: tuple[str, dict[str, np.ndarray]]) -> None:
    _, found = run
    half = np.s_[: COUNT // 2]
    for name in ("home_power", "hvac_power", "ev_power", "water_heater_power", "pv_power", "battery_power"):
        assert np.abs(found[name][DARK.start : DARK.stop, half]).max() < 1e-9, name
    for name in ("battery_energy", "ev_energy_needed"):
        kept = found[name][DARK.start : DARK.stop + 1, half] - found["ev_energy_driven"][
            DARK.start : DARK.stop + 1, half
        ].cumsum(axis=0) * (name == "ev_energy_needed")
        assert np.ptp(kept, axis=0) == pytest.approx(np.zeros(COUNT // 2), abs=1e-9), name
    assert (np.diff(found["water_heater_energy"][DARK.start : DARK.stop + 1, half], axis=0) < 0).all(), "tanks cool"


def test_a_feeder_behind_a_dead_bus_is_dark_and_returns_with_more(run: tuple[str, dict[str, np.ndarray]]) -> None:
    _, found = run
    dead = np.s_[DEAD.start : DEAD.stop]
    assert not found["power"][dead].any()
    for name in ("home_power", "hvac_power", "ev_power", "water_heater_power", "pv_power", "battery_power", "losses"):
        assert np.abs(found[name][dead]).max() < 1e-9, name
    if "node_voltage" in found:
        assert not found["node_voltage"][dead].any()
        assert np.ptp(found["tap"][DEAD.start - 1 : DEAD.stop], axis=0) == pytest.approx(0.0), "no supply, no motion"
    assert np.ptp(found["battery_energy"][DEAD.start : DEAD.stop + 1], axis=0) == pytest.approx(0.0)
    assert (np.diff(found["home_temperature"][dead], axis=0) > 0).all(), "houses warm at 40 degC"
    before = found["hvac_power"][DEAD.start - 10 : DEAD.start].sum(axis=1).mean()
    assert found["hvac_power"][DEAD.stop + 3].sum() > 1.15 * before, "cold-load pickup: all cool at once"
    assert found["home_power"][DEAD.stop + 3].sum() > found["home_power"][DEAD.start - 1].sum()


@pytest.mark.parametrize("kind", list(KINDS))
def test_dead_at_the_start_for_a_step_and_at_the_end(kind: str, tmp_path: Path) -> None:
    """The homes lived in supply before the start; 40 minutes of a dead bus in the warm-up would be 2 K more."""
    dead = (0, 1, 4, 8, 9)
    told = Told(10, dead)
    found = alone(outputs_of, kind, told, tmp_path) if kind == "gridlabd" else outputs_of(kind, told, tmp_path)
    alive = [k for k in range(10) if k not in dead]
    assert not found["power"][list(dead)].any()
    assert (found["power"][alive].real.sum(axis=1) > 1.0).all()
    assert found["home_temperature"][0].mean() < 26.0
    assert_balanced(found, 1 / 60)


def test_a_voltage_between_dead_and_in_service_is_refused_with_its_cause(tmp_path: Path) -> None:
    made, settings = KINDS["equivalent"]
    federate = made(made.Config.model_validate({**MELBOURNE, **settings}), Context("f", 5, EVENING, 10**13, MINUTE))
    federate.start(tmp_path)
    low = {**Told(1).inputs(federate, 0).values, "head_voltage": np.array(0.3 + 0j)}
    with pytest.raises(SolverError, match=r"head's voltage is 0\.3 pu: a feeder in service has 0\.5 to 1\.5 pu"):
        federate.solve(0, Exchange(low))
    assert [is_dead(voltage) for voltage in (0.0, 1e-9, 0.5, 1.0)] == [True, True, False, False]
    for voltage in (0.01, 0.49, 1.6, float("nan")):
        with pytest.raises(HeadVoltageError):
            is_dead(voltage)


def test_long_steps_balance_too(tmp_path: Path) -> None:
    """At 15 minutes a vehicle's last step and an element's are shorter than the step."""
    found = outputs_of("equivalent", Told(24, range(8, 12)), tmp_path, 15 * MINUTE)
    assert_balanced(found, 0.25)


def test_a_tank_cools_as_its_time_constant_says() -> None:
    """190 L that nothing is drawn from: 2.4 Btu/(h degF) is 1.266 W/K, 190 L hold 0.2209 kWh/K: 174.5 h."""
    one = np.ones(1)
    tank = WaterTanks(190 * 4.186 / 3600 * one, 4.5 * one, 52 * one, 0 * one, 0 * one)
    temperature, drawn, lost = after(tank, 54 * one, 0 * one, 24 * one, 0 * one, 174.5)
    assert temperature == pytest.approx(24 + 30 / np.e, abs=0.02)
    assert drawn == pytest.approx(0.0)
    assert lost == pytest.approx(30 * (1 - 1 / np.e) * 0.2209 / 174.5, rel=1e-3)


def test_an_element_is_on_no_longer_than_the_tank_needs() -> None:
    one = np.ones(1)
    tank, on, air, draw = (
        WaterTanks(0.22 * one, 4.5 * one, 52 * one, 0 * one, 0 * one),
        np.ones(1, bool),
        24 * one,
        0 * one,
    )
    share = element_share(tank, on, 53 * one, air, draw, 1.0)
    assert 0.0 < share < 0.1
    temperature, _, _ = after(tank, 53 * one, 4.5 * share, air, draw, 1.0)
    assert temperature == pytest.approx(52 + BAND)
    assert element_share(tank, on, 20 * one, air, draw, 1 / 60) == pytest.approx(1.0)
    assert element_share(tank, ~on, 20 * one, air, draw, 1 / 60) == pytest.approx(0.0)
