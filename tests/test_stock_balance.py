"""The balance of stored energy: right books pass, and each way in which books have been wrong is found.

The right values are the first law: what a stock gained is what flowed in, less what was lost on the way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cosim.check import Check
from cosim.contract import Flow, Port, Stock
from cosim.stock_balance import STOCK, check_stocks, read, stock_faults, unbalanced_energies, written
from cosim.stored_arrays import DIMENSIONS, arrays, create_group, write_array

MINUTE = 60 * 10**9
STEPS, HOMES = 181, 4
HOME = {"home": ("1", "2", "3", "4")}
LEVELS = np.array([3.0, 5.0, 6.0, 9.0])  #: at the start [kWh]
BATTERY = Stock("energy", (Flow("power", "step that begins", charging=0.9, discharging=0.8),), capacity=(13.5,) * HOMES)
TIMES = np.arange(STEPS, dtype=np.int64) * MINUTE


def books() -> dict[str, np.ndarray]:
    """Batteries that charge and discharge for three hours, at times of unequal distance [kW, kWh]."""
    times = TIMES.copy()
    times[90:] += 7 * MINUTE
    phase = np.linspace(0.0, 6.0, STEPS)[:, None] + np.arange(HOMES)
    power = 2.0 * np.sin(phase)
    hours = np.diff(times)[:, None] / 3.6e12
    change = np.where(power[:-1] > 0, power[:-1] * 0.9, power[:-1] / 0.8) * hours
    return {"time": times, "power": power, "energy": LEVELS + np.vstack([np.zeros(HOMES), change.cumsum(axis=0)])}


def judged(
    folder: Path, values: Mapping[str, Any], stock: Stock = BATTERY, units: Mapping[str, str] | None = None
) -> Check:
    """What the balance says of stored `values`."""
    create_group(folder)
    write_array(folder / "home", np.array(HOME["home"]), {DIMENSIONS: ["home"]})
    for name, array in values.items():
        unit = {"power": "kW", "energy": "kWh"} | dict(units or {})
        attributes = {"units": unit.get(name, "ns"), DIMENSIONS: ["time", "home"][: array.ndim]}
        if name == "energy":
            attributes[STOCK] = written(stock)
        write_array(folder / name, array, attributes)
    (found,) = check_stocks({"model": arrays(folder)}, "model")
    return found


def test_right_books_balance_to_the_last_digits(tmp_path: Path) -> None:
    found = judged(tmp_path / "run", books())
    assert found.passed, found.detail
    assert "away from what flowed (limit 1e-06 kWh)" in found.detail


def test_blocks_do_not_change_the_balance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cosim.stock_balance._BLOCK", 7 * HOMES)
    assert judged(tmp_path / "run", books()).passed
    wrong = books()
    wrong["energy"][100:, 2] += 1e-3
    found = judged(tmp_path / "wrong", wrong)
    assert not found.passed
    assert found.time == wrong["time"][100]


def leak(values: dict[str, np.ndarray]) -> None:
    values["energy"] = LEVELS + (values["energy"] - LEVELS) * 0.99


def loss_each_hour(values: dict[str, np.ndarray]) -> None:
    values["energy"] = values["energy"] * 0.99 ** (values["time"][:, None] / 3.6e12)


def wrong_sign(values: dict[str, np.ndarray]) -> None:
    values["power"] = -values["power"]


def shifted_by_a_step(values: dict[str, np.ndarray]) -> None:
    values["power"] = np.roll(values["power"], 1, axis=0)


def kilowatts_for_megawatts(values: dict[str, np.ndarray]) -> None:
    values["power"] = values["power"] / 1e3


def meter_open_but_it_charges_on(values: dict[str, np.ndarray]) -> None:
    values["power"] = np.where(np.arange(STEPS)[:, None] > 60, 0.0, values["power"])


def swapped_homes(values: dict[str, np.ndarray]) -> None:
    values["power"] = values["power"][:, [1, 0, 2, 3]]


def one_jump_and_back(values: dict[str, np.ndarray]) -> None:
    values["energy"][50, 3] += 0.01


def not_a_number(values: dict[str, np.ndarray]) -> None:
    values["energy"][50, 3] = np.nan


def flow_not_a_number(values: dict[str, np.ndarray]) -> None:
    values["power"][50, 3] = np.nan


@pytest.mark.parametrize(
    "defect",
    [
        leak,
        loss_each_hour,
        wrong_sign,
        shifted_by_a_step,
        kilowatts_for_megawatts,
        meter_open_but_it_charges_on,
        swapped_homes,
        one_jump_and_back,
        not_a_number,
        flow_not_a_number,
    ],
)
def test_a_planted_defect_is_found(defect: Callable[[dict[str, np.ndarray]], None], tmp_path: Path) -> None:
    values = books()
    defect(values)
    assert not judged(tmp_path / "run", values).passed


def test_the_first_error_is_named_with_its_element(tmp_path: Path) -> None:
    values = books()
    values["energy"][100:, 2] += 0.5
    found = judged(tmp_path / "run", values)
    assert found.detail == "0.5 kWh away from what flowed (limit 1e-06 kWh), at home 3, first at 107 min"


def test_a_battery_fuller_than_full_or_emptier_than_empty_fails(tmp_path: Path) -> None:
    """The flows agree with the energy in both: the limits alone are broken."""
    for name, level, what in (("full", 13.4, "above capacity"), ("empty", 0.1, "below the least")):
        values = books()
        values["energy"] += level - LEVELS
        found = judged(tmp_path / name, values)
        assert not found.passed
        assert what in found.detail


def test_units_are_those_that_are_stored(tmp_path: Path) -> None:
    """The same books in megawatts and megawatt-hours balance; megawatts said to be kilowatts do not."""
    values = books()
    values["power"] = values["power"] / 1e3
    assert judged(tmp_path / "right", values, units={"power": "MW"}).passed
    values["power"] = values["power"] * (1 + 2j)  # of complex power the real part flows
    assert judged(tmp_path / "complex", values, units={"power": "MVA"}).passed
    assert not judged(tmp_path / "wrong", values).passed


def test_means_of_the_step_that_ends_and_amounts_of_a_step(tmp_path: Path) -> None:
    values = books()
    values["power"] = np.vstack([np.zeros(HOMES), values["power"][:-1]])
    ended = Stock("energy", (Flow("power", "step that ends", charging=0.9, discharging=0.8),))
    assert judged(tmp_path / "mean", values, ended).passed
    values["power"][1:] *= np.diff(values["time"])[:, None] / 3.6e12
    assert judged(tmp_path / "amount", values, ended, {"power": "kWh"}).passed
    assert not judged(tmp_path / "taken_for_power", values, ended).passed


def test_what_cannot_be_checked_does_not_pass_in_silence(tmp_path: Path) -> None:
    values = books()
    del values["power"]
    found = judged(tmp_path / "flow", values)
    assert not found.passed
    assert found.detail == "cannot be checked: power is not recorded"
    found = judged(tmp_path / "said", books(), Stock("energy", unbalanced="it only counts"))
    assert found.detail == "within its limits; not balanced: it only counts"


def test_an_energy_without_a_stock_is_physics_to_look_at(tmp_path: Path) -> None:
    judged(tmp_path / "run", books())
    assert not list(unbalanced_energies({"model": arrays(tmp_path / "run")}, "model"))
    write_array(tmp_path / "run" / "other", books()["energy"], {"units": "kWh", DIMENSIONS: ["time", "home"]})
    (found,) = unbalanced_energies({"model": arrays(tmp_path / "run")}, "model")
    assert found.name == "balance of other of model"
    assert "declares no stock" in found.detail


def test_a_stock_survives_its_way_into_the_store() -> None:
    assert read(written(BATTERY)) == BATTERY


def test_faults_of_a_stock_are_named() -> None:
    ports = [
        Port("energy", "kWh", "out", "energy", HOME),
        Port("power", "kW", "out", "power", HOME),
        Port("total", "kW", "out", "power"),
        Port("share", "1", "out", "share", HOME),
    ]
    assert not list(stock_faults(ports, [BATTERY]))
    wrong = (
        (Stock("share", (Flow("power", "step that ends"),)), "no real output in kWh or MWh"),
        (Stock("energy"), "must have flows, or say in `unbalanced` why"),
        (Stock("energy", (Flow("none", "step that ends"),)), "no output of a power or an energy"),
        (Stock("energy", (Flow("share", "step that ends"),)), "no output of a power or an energy"),
        (Stock("energy", (Flow("total", "step that ends"),)), "must have the labels of the stock"),
        (Stock("energy", (Flow("power", "step that ends", charging=1.1),)), "efficiencies above 0 and up to 1"),
        (Stock("energy", (Flow("power", "step that ends"),), capacity=(1.0,)), "one number or have its shape"),
    )
    for stock, problem in wrong:
        (found,) = stock_faults(ports, [stock])
        assert problem in found
