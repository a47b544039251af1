"""The equivalent of a feeder: its algebra, its homes against GridLAB-D's, and the error that its parameters state."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gridlabd_alone import alone
from numpy.testing import assert_allclose
from scipy.linalg import expm

import cosim
from cosim.calibrated import read_parameter_file
from cosim.contract import Context, Exchange, Message
from cosim.errors import ConfigError, SolverError
from cosim.registry import federate_class
from feeders.equivalents import NAMES, TABLES
from feeders.homes import HomeDistributions, draw_homes
from feeders.thermal_homes import houses_of
from runs.calibrate.file import load_calibration
from runs.calibrate.target import Task, target_class
from solvers import feeder_equivalent as model

ROOT = Path(__file__).parents[1]
MINUTE = 60 * 10**9
HOT = {"temperature": 40.0, "relative_humidity": 0.2, "wind_speed": 3.0, "ghi": 900.0, "dni": 800.0, "dhi": 100.0}
KELVIN = 1.8 / 3412.142  #: kW/K per Btu/(h degF)
SHIPPED = read_parameter_file(TABLES / "ieee123.yaml")


def homes(count: int) -> model.ThermalHomes:
    drawn = draw_homes(count, HomeDistributions(), np.random.default_rng(3))
    return model.thermal_homes(houses_of(drawn))


# ------------------------------------------------------------------------------------------ the algebra


def test_the_step_of_two_nodes_is_the_matrix_exponential() -> None:
    """Against scipy's general matrix exponential, one home after the other."""
    house = homes(6)
    step = model.thermal_step(house, 0.25)
    for k in range(6):
        air = [-(house.envelope[k] + house.coupling[k]) / house.air[k], house.coupling[k] / house.air[k]]
        mass = [house.coupling[k] / house.mass[k], -house.coupling[k] / house.mass[k]]
        expected = expm(0.25 * np.array([air, mass]))
        found = [
            [step.air_from_air[k], step.air_from_mass[k]],
            [step.mass_from_air[k], step.mass_from_mass[k]],
        ]
        assert_allclose(found, expected, rtol=1e-9)


def test_heat_is_conserved() -> None:
    """What the sun and the air conditioner bring and take is in the building or has gone through its envelope."""
    house, hours, parts = homes(20), 1.0, 20_000
    step = model.thermal_step(house, hours / parts)
    air = mass = np.full(20, 22.0)
    lost = np.zeros(20)
    for _ in range(parts):
        before = air
        air, mass = model.next_temperatures(house, step, air, mass, 38.0, np.full(20, -3.0), np.full(20, 1.0))
        lost += house.envelope * ((before + air) / 2 - 38.0) * hours / parts
    stored = house.air * (air - 22.0) + house.mass * (mass - 22.0)
    assert_allclose(stored, (-3.0 + 1.0) * hours - lost, rtol=1e-5)


def test_without_gains_a_home_takes_the_temperature_of_its_surroundings() -> None:
    house = homes(5)
    step = model.thermal_step(house, 24 * 30.0)
    nothing = np.zeros(5)
    air, mass = model.next_temperatures(house, step, np.full(5, 30.0), np.full(5, 25.0), 12.0, nothing, nothing)
    assert_allclose([air, mass], 12.0, atol=1e-6)


def test_head_without_load_and_at_once_for_many() -> None:
    assert not model.head_power(np.zeros(3, complex), 1.0, 0.02 + 0.06j, 0.0).any()
    assert_allclose(model.head_power(np.zeros(3, complex), 1.02, 0j, 0.9).imag, -0.3 * 1.02**2)
    delivered = np.array([[1.0 + 0.3j, 0.8 + 0.2j, 0.9j], [0.5, 0.4, 0.3]], dtype=complex)
    together = model.head_power(delivered, np.array([[1.0], [0.97]]), 0.02 + 0.06j, 0.6)
    apart = [model.head_power(row, v, 0.02 + 0.06j, 0.6) for row, v in zip(delivered, (1.0, 0.97), strict=True)]
    assert_allclose(together, apart)
    losses = [model.head_power(np.full(3, p, complex), 1.0, 0.02 + 0j, 0.0).real.sum() - 3 * p for p in (1.0, 2.0)]
    assert losses[1] == pytest.approx(4 * losses[0])


def test_zip() -> None:
    assert model.zip_factor(1.0, 0.3, 0.3) == pytest.approx(1.0)
    assert model.zip_factor(0.9, 1.0, 0.0) == pytest.approx(0.81)
    assert model.zip_factor(0.9, 0.0, 1.0) == pytest.approx(0.9)
    assert_allclose(model.zip_factor(np.array([0.9, 1.1]), 0.0, 0.0), 1.0)


def test_irradiance_on_walls_is_the_mean_over_their_directions() -> None:
    """Against the sum over many walls of the cosine of the angle of incidence."""
    zenith = np.deg2rad(40.0)
    directions = np.linspace(0, 2 * np.pi, 10_000, endpoint=False)
    beam = 700.0 * np.maximum(np.sin(zenith) * np.cos(directions), 0.0).mean()
    found = model.wall_irradiance(700.0, 120.0, 700.0 * np.cos(zenith) + 120.0)
    assert found == pytest.approx(beam + 60.0, rel=1e-6)
    assert model.wall_irradiance(0.0, 40.0, 40.0) == 20.0


# ----------------------------------------------------------------------------- against GridLAB-D's houses


def _houses(folder: Path) -> dict[str, np.ndarray]:
    """What GridLAB-D makes of 40 homes; in a process of its own."""
    federate = _federate("gridlabd_feeder", {"feeder": "ieee13", "homes": {"count": 40, "cooling_share": 1.0}})
    federate.start(folder)
    federate.solve(0, Exchange(_inputs(federate, {})))
    drawn, engine = federate._plan.homes, federate._running.engine
    own = model.thermal_homes(houses_of(drawn))
    theirs = {
        "envelope": engine.read_real("house", "UA") * KELVIN,
        "coupling": engine.read_real("house", "mass_heat_coeff") * KELVIN,
        "air": engine.read_real("house", "air_heat_capacity") * KELVIN,
        "mass": engine.read_real("house", "mass_heat_capacity") * KELVIN,
        "aperture": engine.read_real("house", "solar_heatgain_factor") * 0.3048**2,
        "capacity": engine.read_real("house", "design_cooling_capacity") / 3412.142,
        "fan": engine.read_real("house", "fan_design_power") / 1e3,
    }
    return {name: np.stack([getattr(own, name), value]) for name, value in theirs.items()}


def test_homes_are_those_of_gridlabd(tmp_path: Path) -> None:
    for name, (own, theirs) in alone(_houses, tmp_path).items():
        assert_allclose(own, theirs, rtol=1e-6, err_msg=name)


def _afternoon(kind: str, folder: Path) -> dict[str, np.ndarray]:
    """A feeder with 100 homes over two hours; totals over time."""
    federate = _federate(kind, {"feeder": "ieee123", "homes": {"count": 100}})
    federate.start(folder)
    found = []
    for k in range(120):
        values = _inputs(federate, {"temperature": 36.0 + k / 30, "load_scale": 0.9, "ghi": 800.0, "dni": 850.0})
        found.append(federate.solve(k * MINUTE, Exchange(values)).values)
        federate.commit(k * MINUTE)
    federate.close()
    names = ("power", "hvac_power", "pv_power", "ev_power")
    return {name: np.array([np.sum(values[name]) for values in found]) for name in names}


def test_the_equivalent_follows_the_detailed_feeder(tmp_path: Path) -> None:
    """Other weather, homes and voltage than those of the fit; GridLAB-D is the reference."""
    (tmp_path / "detailed").mkdir()
    detailed = alone(_afternoon, "gridlabd_feeder", tmp_path / "detailed")
    own = _afternoon("equivalent_feeder", tmp_path)
    assert_allclose(own["ev_power"], detailed["ev_power"], rtol=1e-9)
    assert own["power"].real.mean() == pytest.approx(detailed["power"].real.mean(), rel=0.01)
    assert own["pv_power"].mean() == pytest.approx(detailed["pv_power"].mean(), rel=0.03)
    assert own["hvac_power"][30:].mean() == pytest.approx(detailed["hvac_power"][30:].mean(), rel=0.06)
    error = np.abs(own["power"] - detailed["power"]).mean() / np.abs(detailed["power"]).mean()
    assert error < 0.03


# ------------------------------------------------------------------------------------------- the federate


def _federate(kind: str, settings: Mapping[str, Any], step: int = MINUTE) -> Any:
    found = federate_class(kind)
    context = Context("feeder", 11, datetime(2014, 1, 14, 14), 86_400 * 10**9, step)
    place = {"latitude": -37.81, "longitude": 144.96, "utc_offset": 10.0}
    return found(found.Config.model_validate({**place, **settings}), context)


def _inputs(federate: Any, changes: Mapping[str, Any]) -> dict[str, np.ndarray]:
    values = {**HOT, "head_voltage": 1.01 + 0j, "load_scale": 1.0, **changes}
    ports = [port for port in federate.ports() if port.direction == "in"]
    return {port.name: np.array(values.get(port.name, port.initial)) * np.ones(port.shape) for port in ports}


SMALL = {"homes": {"count": 30, "cooling_share": 1.0, "ev_share": 1.0}}


def _steps(settings: Mapping[str, Any], changes: Mapping[int, Mapping[str, Any]], count: int, **more: Any) -> Any:
    federate = _federate("equivalent_feeder", settings, **more)
    federate.start(Path())
    found, sent = [], []
    for k in range(count):
        letters = [Message("dispatch", "feeder", 0, changes[k]["ask"])] if "ask" in changes.get(k, {}) else []
        values = {name: value for name, value in changes.get(k, {}).items() if name != "ask"}
        time = k * federate.context.step
        exchange = federate.solve(time, Exchange(_inputs(federate, values), letters))
        federate.commit(time)
        found.append(exchange.values)
        sent += exchange.messages
    return found, sent


def test_devices_that_trip_draw_nothing_and_their_homes_warm_up() -> None:
    tripped = np.ones((4, 30))
    tripped[0, :10] = 0  # thermostats
    tripped[3, 20:] = 0  # homes
    base, _ = _steps(SMALL, {}, 60)
    out, _ = _steps(SMALL, {k: {"device_available": tripped} for k in range(10, 40)}, 60)
    during = [values["hvac_power"] for values in out[10:40]]
    assert not np.array(during)[:, :10].any()
    assert not np.array([values["home_power"] for values in out[10:40]])[:, 20:].any()
    warmer = out[39]["home_temperature"] - base[39]["home_temperature"]
    assert warmer[:10].min() > 0.5
    assert_allclose(warmer[10:20], 0.0, atol=1e-12)
    saved = sum(a["power"].real.sum() - b["power"].real.sum() for a, b in zip(base, out, strict=True))
    back = sum(b["power"].real.sum() - a["power"].real.sum() for a, b in zip(base[40:], out[40:], strict=True))
    assert saved > 0
    assert back > 0, "the homes cool down again"


def test_a_request_moves_the_set_points_until_its_end() -> None:
    base, _ = _steps(SMALL, {}, 60)
    asked, _ = _steps(SMALL, {5: {"ask": {"thermostat_offset_degC": 2.0, "until_s": 1800.0}}}, 60)
    saved = np.array(
        [a["hvac_power"].sum() - b["hvac_power"].sum() for a, b in zip(base, asked, strict=True)],
    )
    assert not saved[:5].any()
    assert saved[6:25].mean() > 0.2 * np.mean([values["hvac_power"].sum() for values in base[6:25]])
    assert saved[31:45].mean() < 0


def test_readings_are_means_of_their_interval() -> None:
    settings = {**SMALL, "meter_to": "dispatch", "metering_interval": "5 min"}
    found, sent = _steps(settings, {}, 11)
    power = np.array([values["power"].real.sum() for values in found])
    # As results take it: each value holds until the next step, that at the interval's end belongs to the next reading.
    assert [message.payload for message in sent] == [
        {"power_MW": pytest.approx(power[0:5].mean()), "time_s": 300.0, "interval_s": 300.0},
        {"power_MW": pytest.approx(power[5:10].mean()), "time_s": 600.0, "interval_s": 300.0},
    ]


def test_longer_steps_draw_the_same_energy() -> None:
    """Thermostats act each minute within a longer step too."""
    short, _ = _steps(SMALL, {}, 180)
    long, _ = _steps({**SMALL, "warm_up": "1 h"}, {}, 36, step=5 * MINUTE)
    energies = [np.mean([values["hvac_power"].sum() for values in found]) for found in (short, long)]
    assert energies[1] == pytest.approx(energies[0], rel=0.05)


def test_parts_add_up_and_voltage_counts() -> None:
    found, _ = _steps(SMALL, {}, 3)
    assert max(abs(float(values["energy_balance"])) for values in found) < 1e-12
    running = _federate("equivalent_feeder", SMALL)._model
    low, high = (running.spot_load(voltage, 1.0).real.sum() for voltage in (0.9, 1.0))
    assert 0 < high - low < 0.1 * high, "regulators keep most of the change from the loads"
    with pytest.raises(SolverError, match=r"0\.1 pu: a feeder in service has 0\.5 to 1\.5 pu"):
        _steps(SMALL, {0: {"head_voltage": 0.1 + 0j}}, 1)


def test_settings_that_both_feeders_have_mean_the_same() -> None:
    detailed, own = (federate_class(kind).Config for kind in ("gridlabd_feeder", "equivalent_feeder"))
    pairs = [(detailed.model_fields, own.model_fields)]
    pairs.append((detailed().homes.__class__.model_fields, own().homes.__class__.model_fields))
    for theirs, ours in pairs:
        for name in set(theirs) & set(ours) - {"homes"}:
            assert theirs[name].default == ours[name].default, name
            assert theirs[name].annotation == ours[name].annotation, name


def test_parameters_of_another_feeder_are_refused() -> None:
    with pytest.raises(ConfigError, match="was fitted to the feeder ieee123, this is ieee13"):
        _federate("equivalent_feeder", {"feeder": "ieee13"})


# --------------------------------------------------------------------------------------- the stated error


def test_the_shipped_parameters_state_their_error() -> None:
    scores = {(score.part, score.quantity, score.score): score for score in SHIPPED.provenance.scores}
    held_out = scores["held-out", "active power at the head, hourly", "CV(RMSE)"]
    assert held_out.value < held_out.baselines["degree-hour regression"]
    assert {part for part, _, _ in scores} == {"fit", "held-out", "trip"}
    trip = {name for part, name, _ in scores if part == "trip"}
    assert trip == {"energy shed", "rebound", "rebound peak, mean of 15 min"}
    assert set(SHIPPED.parameters) == set(NAMES)
    assert all(parameter.interval is not None for parameter in SHIPPED.parameters.values())
    assert "CV(RMSE)" in SHIPPED.headline


def test_the_page_says_what_the_parameters_state() -> None:
    page = (ROOT / "docs" / "scaling.md").read_text()
    unseen = [score for score in SHIPPED.provenance.scores if score.part != "fit"]
    said = {score.quantity: score.value for score in unseen if score.score in ("CV(RMSE)", "RMSE", "error")}
    for quantity, words in (
        ("active power at the head, hourly", "| active power, CV(RMSE) | {:.2f} % ("),
        ("active power at the head, hourly, with other homes of the same distributions", "drawn anew | {:.1f} % |"),
        ("power of air conditioners, hourly", "alone, CV(RMSE) | {:.1f} % |"),
        ("reactive power at the head, hourly, of the mean apparent power", "mean apparent power | {:.1f} % |"),
        ("energy shed", "trips shed | {:.1f} % |"),
        ("rebound", "returns after them | {:.1f} % |"),
        ("rebound peak, mean of 15 min", "what returns | {:.0f} % |"),
    ):
        assert words.format(said[quantity]) in page, quantity


def test_a_held_out_scenario_of_the_fit_is_refused(tmp_path: Path) -> None:
    folder = ROOT / "runs" / "calibrations" / "feeder_equivalent"
    path = tmp_path / "leak.yaml"
    target = {"kind": "feeder_equivalent", "fit": [str(folder / "fit.yaml")], "held_out": [str(folder / "fit.yaml")]}
    path.write_text(f"name: leak\ntarget: {target}\n")
    file = load_calibration(path)
    found = target_class(file.target.kind)
    faults = found(found.Config.model_validate(file.target.settings)).check(Task(file, {}, tmp_path))
    assert [fault.problem for fault in faults] == ["its days and homes are among those that are fitted to."]


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_the_shipped_parameters_are_what_the_fit_gives(tmp_path: Path) -> None:
    file = load_calibration(ROOT / "runs" / "calibrations" / "feeder_equivalent.yaml")
    found = target_class(file.target.kind)
    target = found(found.Config.model_validate(file.target.settings, context={"folder": file.folder}))
    outcome = target.calibrate(Task(file, {}, tmp_path))
    for name, parameter in SHIPPED.parameters.items():
        assert float(outcome.parameters[name].array) == pytest.approx(float(parameter.array), rel=1e-3), name
    again = {(s.part, s.quantity, s.score): s.value for s in outcome.scores}
    for score in SHIPPED.provenance.scores:
        assert again[score.part, score.quantity, score.score] == pytest.approx(score.value, abs=0.05)


def test_the_detailed_runs_of_the_fit_are_valid() -> None:
    for path in sorted((ROOT / "runs" / "calibrations" / "feeder_equivalent").glob("*.yaml")):
        assert cosim.wire(cosim.load(path)).federates


def test_an_equivalent_of_a_model_of_ones_own_is_refused_before_it_is_simulated(tmp_path: Path) -> None:
    """It ended in an AxisError after the runs: the equivalent keeps the homes of a published feeder."""
    (tmp_path / "own.glm").write_text("module powerflow;\nobject meter { name src; bustype SWING; }\n")
    scenario = "name: t\nhorizon: {start: 2014-01-DAY 00:00}\nweather: {table: melbourne_2014_01}\nfeeders:\n"
    scenario += "  - name: oak\n    model: {kind: gridlabd_feeder, glm: own.glm, swing: src}\n"
    for name, day in (("fit", "16"), ("held", "14")):
        (tmp_path / f"{name}.yaml").write_text(scenario.replace("DAY", day))
    text = "name: t\ntarget: {kind: feeder_equivalent, fit: [fit.yaml], held_out: [held.yaml]}\n"
    (tmp_path / "calibrate.yaml").write_text(text)
    file = load_calibration(tmp_path / "calibrate.yaml")
    found = target_class("feeder_equivalent")
    faults = found(found.Config.model_validate(file.target.settings, context={"folder": tmp_path})).check(
        Task(file, {}, tmp_path)
    )
    assert len([fault for fault in faults if "a GridLAB-D model of your own" in fault.problem]) == 2
