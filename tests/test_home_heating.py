"""Electric heating of homes: GridLAB-D's curves, sizes, thermostat and energy, and what a trip leaves behind.

The reference is GridLAB-D 6 itself, and where an answer has a closed form, that.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import fields, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gridlabd_alone import alone
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

import cosim
from cosim.contract import Context, Exchange, Message
from cosim.errors import ConfigError
from cosim.perturbations.load_trip_weather import Condition, WhenMet
from cosim.registry import federate_class
from feeders.homes import HomeDistributions, Homes, HomesError, draw_homes, temperature_at_start, thermostat_shifts
from feeders.homes_glm import celsius, fahrenheit
from feeders.thermal_homes import heaters_of, houses_of
from solvers import feeder_equivalent as model
from solvers.home_heating import GAS, HEAT_PUMP, RESISTANCE, Heaters, heat_pump_performance, heating_at, switched

ROOT = Path(__file__).parents[1]
MINUTE = 60 * 10**9
KILOWATT = 3412.142  #: [Btu/h]
DARK = {"relative_humidity": 0.6, "wind_speed": 3.0, "ghi": 0.0, "dni": 0.0, "dhi": 0.0}
WINTER: Mapping[str, Any] = {
    "count": 40,
    "heat_pump_share": 0.5,
    "resistance_share": 0.25,
    "heating_setpoint": 20.9,
    "heating_setpoint_spread": 1.5,
    "ev_share": 0.0,
    "water_heater_share": 0.0,
    "pv_share": 0.0,
    "battery_share": 0.0,
}


def _drawn(count: int = 200, **changes: Any) -> Homes:
    own = {"heat_pump_share": 0.4, "resistance_share": 0.3, "heating_setpoint": 20.9, **changes}
    return draw_homes(count, HomeDistributions(**own), np.random.default_rng(4))


def _heaters(homes: Homes) -> Heaters:
    return heaters_of(homes, houses_of(homes))


# ----------------------------------------------------------------------------------------- who is heated how


def test_homes_with_gas_are_drawn_as_before_there_was_electric_heating() -> None:
    """The digest is that of the homes drawn by the code before; every scenario's homes stay what they were."""
    before = [
        "floor_area",
        "integrity",
        "cooling",
        "cop",
        "oversizing",
        "envelope",
        "thermal_mass",
        "shading",
        "cooling_capacity",
        "cooling_setpoint",
        "heating_setpoint",
        "deadband",
        "temperature",
        "plug_power",
        "schedule_skew",
        "water_power",
        "water_volume",
        "water_setpoint",
        "water_temperature",
        "water_draw",
        "ev_power",
        "ev_arrival",
        "ev_departure",
        "ev_energy",
        "ev_battery",
        "pv_power",
        "pv_tilt",
        "pv_azimuth",
        "battery_power",
        "battery_energy",
        "battery_charge",
    ]
    other = HomeDistributions(
        cooling_share=0.5,
        heating_setpoint=20.0,
        cooling_setpoint_spread=2.5,
        envelope_spread=0.2,
        cooling_capacity=47.0,
        cooling_capacity_spread=0.2,
    )
    digest = hashlib.sha256()
    for stratified in (False, True):
        for distributions in (HomeDistributions(), other):
            generator = np.random.default_rng(5)
            homes = draw_homes(300, distributions, generator, stratified=stratified)
            for name in sorted(before):
                digest.update(name.encode() + np.ascontiguousarray(getattr(homes, name)).tobytes())
            digest.update(generator.random(3).tobytes())
    assert digest.hexdigest() == "38fef6c59edf11fd53f8e9e080a2b053df2cc503926c5a836f6d6ade5120d6ba"


def test_shares_and_set_points_are_those_stated() -> None:
    many = _drawn(4000, heating_setpoint_spread=1.5, auxiliary_share=0.7)
    assert (many.heating == HEAT_PUMP).mean() == pytest.approx(0.4, abs=0.02)
    assert (many.heating == RESISTANCE).mean() == pytest.approx(0.3, abs=0.02)
    assert many.auxiliary.sum() / (many.heating == HEAT_PUMP).sum() == pytest.approx(0.7, abs=0.03)
    assert many.heating_setpoint.mean() == pytest.approx(20.9, abs=0.1)
    assert many.heating_setpoint.std() == pytest.approx(1.5, rel=0.05)
    assert many.cooling[many.heating == HEAT_PUMP].all(), "a heat pump cools as well"
    assert (many.cooling_setpoint >= many.heating_setpoint + 2 * many.deadband - 1e-9).all()


@settings(max_examples=20)
@given(st.floats(0, 0.5), st.floats(0, 0.5), st.integers(0, 2**32))
def test_a_larger_share_keeps_its_homes_and_all_else(one: float, other: float, seed: int) -> None:
    low, high = sorted((one, other))
    for name, kind in (("heat_pump_share", HEAT_PUMP), ("resistance_share", RESISTANCE)):
        few = draw_homes(30, HomeDistributions(**{name: low}), np.random.default_rng(seed))
        more = draw_homes(30, HomeDistributions(**{name: high}), np.random.default_rng(seed))
        assert not ((few.heating == kind) & (more.heating != kind)).any()
        for field in fields(few):
            if field.name not in ("heating", "cooling", "auxiliary"):
                assert np.array_equal(getattr(few, field.name), getattr(more, field.name))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"heat_pump_share": 0.7, "resistance_share": 0.4}, "at most 1 together"),
        ({"auxiliary_lockout": -5.0}, "needs heat_pump_share"),
        ({"heat_pump_share": 0.5, "auxiliary_lockout": -20.0}, "above -17.7 degC"),
        ({"heat_pump_share": 0.5, "auxiliary_share": 0.0, "auxiliary_lockout": -5.0}, "auxiliary_share above 0"),
    ],
)
def test_what_gridlabd_would_take_for_something_else_is_refused(change: dict[str, float], words: str) -> None:
    with pytest.raises(HomesError, match=words):
        replace(HomeDistributions(), **change)  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------ curves and balance


def test_a_heat_pump_is_rated_at_47_degf_and_loses_capacity_and_cop_in_the_cold() -> None:
    assert heat_pump_performance(float(celsius(47.0))) == pytest.approx((1.0, 1.0), abs=5e-4)
    outdoors = np.linspace(20.0, -25.0, 46)
    capacity, power = np.array([heat_pump_performance(t) for t in outdoors.tolist()]).T
    assert (np.diff(capacity) < 0).all()
    assert (np.diff(capacity / power) < 0).all()
    # A real machine's second rating is at 17 degF: about half its heat, at two thirds of the COP.
    capacity, power = heat_pump_performance(float(celsius(17.0)))
    assert capacity == pytest.approx(0.525, abs=0.005)
    assert capacity / power == pytest.approx(0.668, abs=0.005)


def test_an_element_has_a_cop_of_one_whatever_the_voltage() -> None:
    heaters = _heaters(homes := _drawn())
    element = homes.heating == RESISTANCE
    for voltage in (0.9, 1.0, 1.05):
        heat, power = heating_at(heaters, np.zeros(len(homes), bool), -10.0, voltage)
        fan = heaters.fan * (0.0135 + 0.7332 * voltage + 0.2534 * voltage**2)
        # GridLAB-D's shares of a fan's load add up to 1.0001.
        assert_allclose((heat - heaters.fan)[element], (power - fan)[element], rtol=1e-4)
        assert_allclose((power - fan)[element], heaters.capacity[element] * voltage**2, rtol=1e-4)
        assert_allclose(power[homes.heating == GAS], fan[homes.heating == GAS], rtol=2e-4)
        helped = homes.auxiliary
        heat, power = heating_at(heaters, helped, -10.0, voltage)
        assert_allclose((heat - heaters.fan)[helped], (power - fan)[helped], rtol=1e-4)


@pytest.mark.parametrize("outdoors", [5.0, -5.0])
def test_at_rest_the_heat_given_is_the_heat_lost(outdoors: float) -> None:
    """Closed form: the mean power times the COP, and the fan's heat, are UA times the mean difference of temperature;
    gains and sun are none."""
    homes = _drawn(60, auxiliary_share=0.0)
    houses = houses_of(homes)
    thermal, heaters = model.thermal_homes(houses), heaters_of(homes, houses)
    step = model.thermal_step(thermal, 1 / 60)
    air = mass = homes.heating_setpoint.copy()
    on = helped = np.zeros(60, bool)
    nothing, warmth, energy, given = np.zeros(60), np.zeros(60), np.zeros(60), np.zeros(60)
    for minute in range(48 * 60):
        on, helped = switched(heaters, on, helped, nothing, air, outdoors, heaters.setpoint, homes.deadband)
        heat, power = heating_at(heaters, helped, outdoors, 1.0)
        heat, power = np.where(on, heat, 0.0), np.where(on, power, 0.0)
        if minute >= 24 * 60:
            warmth, energy, given = warmth + air, energy + power, given + heat
        air, mass = model.next_temperatures(thermal, step, air, mass, outdoors, heat, nothing)
    lost = thermal.envelope * (warmth / (24 * 60) - outdoors)
    holds = ~on | (air > homes.heating_setpoint - homes.deadband / 2)
    assert holds.mean() > 0.8, "the machines are large enough for this day"
    assert_allclose((given / (24 * 60))[holds], lost[holds], rtol=0.03)
    # What was drawn, less the fan, times the COP, and the fan's heat again, is the heat given.
    of_capacity, of_power = heat_pump_performance(outdoors)
    cop = np.where(homes.heating == HEAT_PUMP, homes.heating_cop * of_capacity / of_power, 1.0)
    duty = given / (heaters.capacity * np.where(homes.heating == HEAT_PUMP, of_capacity, 1.0) + heaters.fan)
    electric = homes.electric_heating
    assert_allclose(((energy - duty * heaters.fan) * cop + duty * heaters.fan)[electric], given[electric], rtol=1e-9)


def test_auxiliary_heat_takes_over_a_deadband_below_the_compressors_start_or_below_the_lockout() -> None:
    heaters = replace(
        _heaters(_drawn(5, heat_pump_share=1.0, resistance_share=0.0)),
        lockout=np.array([-273.15, -273.15, -273.15, -5.0, -5.0]),
    )
    setpoint, deadband = np.full(5, 20.0), np.full(5, 1.0)
    air = np.array([19.6, 19.4, 18.4, 19.4, 20.4])
    off, new, old = np.zeros(5, bool), np.zeros(5), np.full(5, 1 / 30)
    on, helped = switched(heaters, off, off, new, air, -8.0, setpoint, deadband)
    assert on.tolist() == [False, True, True, True, False]
    assert helped.tolist() == [False, False, True, False, False]
    on, helped = switched(heaters, on, helped, old, np.full(5, 20.4), -8.0, setpoint, deadband)
    assert helped.tolist() == [False, False, True, True, False], "it stays until heating stops"
    on, helped = switched(heaters, on, helped, old, np.full(5, 20.6), -8.0, setpoint, deadband)
    assert not on.any()
    assert not helped.any()


# ------------------------------------------------------------------------------------------- against GridLAB-D


def _federate(kind: str, homes: Mapping[str, Any], start: datetime = datetime(2014, 1, 14)) -> Any:
    found = federate_class(kind)
    settings = {"feeder": "ieee123", "homes": dict(homes)}
    if "latitude" in found.Config.model_fields:
        settings |= {"latitude": 36.1, "longitude": -79.95, "utc_offset": -5.0}
    return found(found.Config.model_validate(settings), Context("feeder", 11, start, 86_400 * 10**9, MINUTE))


def _inputs(federate: Any, changes: Mapping[str, Any]) -> dict[str, np.ndarray]:
    values = {**DARK, "temperature": -5.0, "head_voltage": 1.01 + 0j, "load_scale": 0.5, **changes}
    ports = [port for port in federate.ports() if port.direction == "in"]
    return {port.name: np.array(values.get(port.name, port.initial)) * np.ones(port.shape) for port in ports}


def _sizes(folder: Path) -> dict[str, np.ndarray]:
    """GridLAB-D's sizes and, at four temperatures, its capacity and COP; in a process of its own."""
    federate = _federate("gridlabd_feeder", WINTER)
    federate.start(folder)
    engine = None
    found: dict[str, list[np.ndarray]] = {"adj_heating_cap": [], "adj_heating_cop": []}
    for k, outdoors in enumerate((8.0, 0.0, -10.0, -20.0)):
        federate.solve(k * MINUTE, Exchange(_inputs(federate, {"temperature": outdoors})))
        federate.commit(k * MINUTE)
        engine = federate._running.engine
        for name, series in found.items():
            series.append(engine.read_real("house", name))
    assert engine is not None
    read = {
        name: engine.read_real("house", name)
        for name in ("design_heating_capacity", "auxiliary_heat_capacity", "fan_design_power", "heating_COP")
    }
    federate.close()
    return read | {name: np.array(series) for name, series in found.items()}


def test_sizes_and_curves_are_those_of_gridlabd(tmp_path: Path) -> None:
    theirs = alone(_sizes, tmp_path)
    heaters = _heaters(homes := _drawn_by_federate())
    pump = homes.heating == HEAT_PUMP
    assert_allclose(heaters.capacity, theirs["design_heating_capacity"] / KILOWATT, rtol=1e-6)
    assert_allclose(heaters.auxiliary, theirs["auxiliary_heat_capacity"] / KILOWATT, rtol=1e-6)
    assert_allclose(heaters.fan, theirs["fan_design_power"] / 1e3, rtol=1e-6)
    assert_allclose(heaters.cop[pump], theirs["heating_COP"][pump], rtol=1e-6)
    for k, outdoors in enumerate((8.0, 0.0, -10.0, -20.0)):
        capacity, power = heat_pump_performance(outdoors)
        assert_allclose(heaters.capacity[pump] * capacity, theirs["adj_heating_cap"][k][pump] / KILOWATT, rtol=1e-6)
        assert_allclose(heaters.cop[pump] * capacity / power, theirs["adj_heating_cop"][k][pump], rtol=1e-6)


def _drawn_by_federate() -> Homes:
    return _federate("gridlabd_feeder", WINTER)._plan.homes  # type: ignore[no-any-return]


def _cold(kind: str, folder: Path) -> dict[str, np.ndarray]:
    """Five cold hours of 40 homes; for an hour half of the thermostats are out, at the end a request to save."""
    federate = _federate(kind, WINTER)
    federate.start(folder)
    tripped = np.ones((4, 40))
    tripped[0, ::2] = 0.0
    ask = Message("dispatch", "feeder", 0, {"thermostat_offset_degC": 1.5, "until_s": 18_000.0})
    found = []
    for k in range(300):
        changes = {"temperature": -4.0 - 8.0 * k / 300} | ({"device_available": tripped} if 120 <= k < 180 else {})
        letters = [ask] if k == 270 else []
        found.append(federate.solve(k * MINUTE, Exchange(_inputs(federate, changes), letters)).values)
        federate.commit(k * MINUTE)
    federate.close()
    names = ("power", "hvac_power", "home_power", "home_temperature")
    return {name: np.array([values[name] for values in found]) for name in names}


@pytest.fixture(scope="module")
def cold(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """What the equivalent and GridLAB-D make of the same cold hours."""
    own = _cold("equivalent_feeder", tmp_path_factory.mktemp("own"))
    return own, alone(_cold, "gridlabd_feeder", tmp_path_factory.mktemp("gridlabd"))


def test_cold_hours_are_lived_as_in_gridlabd(cold: tuple[dict[str, np.ndarray], dict[str, np.ndarray]]) -> None:
    own, theirs = cold
    kind = _drawn_by_federate().heating
    for which, tolerance in ((RESISTANCE, 0.02), (HEAT_PUMP, 0.04), (GAS, 0.03)):
        ours, energy = (found["hvac_power"][:, kind == which].sum() / 60 for found in (own, theirs))
        assert ours == pytest.approx(energy, rel=tolerance), which
        mean, temperature = (found["home_temperature"][:, kind == which].mean() for found in (own, theirs))
        assert mean == pytest.approx(temperature, abs=0.1), which
    hourly, measured = (found["home_power"].sum(1).reshape(5, 60).mean(1) for found in (own, theirs))
    assert np.abs(hourly - measured).max() < 0.05 * measured.max()


def test_what_the_homes_draw_for_heat_is_what_their_meters_show(
    cold: tuple[dict[str, np.ndarray], dict[str, np.ndarray]],
) -> None:
    """Heating's share of the meter; in GridLAB-D `hvac_load` would be off by the square of an element's voltage."""
    for found in cold:
        rest = found["home_power"] - found["hvac_power"]
        # What is left are the plugs, without a trace of the elements' 10 to 40 kW.
        assert rest.min() > 0.05
        assert rest.max() < 2.5


def test_a_trip_in_the_cold_cools_the_homes_and_its_return_draws_more(
    cold: tuple[dict[str, np.ndarray], dict[str, np.ndarray]],
) -> None:
    """Cold-load pickup from the physics: all machines start together, and auxiliary heat helps."""
    homes = _drawn_by_federate()
    out = np.zeros(40, bool)
    out[::2] = True
    electric = out & homes.electric_heating
    for found in cold:
        assert not found["hvac_power"][121:180, out].any()
        fall = found["home_temperature"][120, out] - found["home_temperature"][179, out]
        assert fall.min() > 0.5
        assert (found["home_temperature"][:, ~out].std(0) < 1.5).all()
        before = found["hvac_power"][60:120, electric].sum(1).mean()
        pickup = found["hvac_power"][181:196, electric].sum(1).mean()
        assert pickup > 1.8 * before
    own, theirs = (found["hvac_power"][181:196, electric].sum(1).mean() for found in cold)
    assert own == pytest.approx(theirs, rel=0.1)


def test_a_request_to_save_saves_in_winter_too(cold: tuple[dict[str, np.ndarray], dict[str, np.ndarray]]) -> None:
    electric = _drawn_by_federate().electric_heating
    for found in cold:
        before, after = (found["hvac_power"][part, :][:, electric].sum() for part in (slice(255, 270), slice(272, 287)))
        assert after < 0.6 * before


def _locked_out(kind: str, folder: Path) -> dict[str, np.ndarray]:
    """Two hours colder than the lockout; some heat pumps have no auxiliary heat."""
    settings = {**WINTER, "count": 30, "heat_pump_share": 1.0, "resistance_share": 0.0, "auxiliary_share": 0.7}
    federate = _federate(kind, {**settings, "auxiliary_lockout": -5.0})
    federate.start(folder)
    found = []
    for k in range(120):
        found.append(federate.solve(k * MINUTE, Exchange(_inputs(federate, {"temperature": -8.0}))).values)
        federate.commit(k * MINUTE)
    federate.close()
    found_power = np.array([values["hvac_power"] for values in found])
    homes = federate._plan.homes
    return {"power": found_power, "auxiliary": homes.auxiliary, "element": _heaters(homes).auxiliary}


def test_below_the_lockout_auxiliary_heat_does_all(tmp_path: Path) -> None:
    (tmp_path / "gridlabd").mkdir()
    theirs = alone(_locked_out, "gridlabd_feeder", tmp_path / "gridlabd")
    own = _locked_out("equivalent_feeder", tmp_path)
    helped = own["auxiliary"]
    assert np.array_equal(helped, theirs["auxiliary"])
    assert 0 < helped.sum() < 30
    for homes in (helped, ~helped):
        ours, energy = (found["power"][30:, homes].sum() for found in (own, theirs))
        assert ours == pytest.approx(energy, rel=0.03)
    # A compressor draws a third of its auxiliary heat or less: none runs for longer than a thermostat's cycle.
    drawn, element = theirs["power"][30:, helped], theirs["element"][helped]
    compressor = (drawn > 0.5) & (drawn < 0.8 * element)
    assert compressor.any()
    assert not (compressor[:-2] & compressor[1:-1] & compressor[2:]).any()


# ------------------------------------------------------------------------------------------------- thermostats


def test_an_offset_saves_in_summer_and_winter_and_never_lets_the_deadbands_meet() -> None:
    homes = _drawn(300, heating_setpoint_spread=1.5)
    cooling, heating = thermostat_shifts(homes, 2.0)
    assert (cooling == 2.0).all()
    assert_allclose(heating, np.where(homes.electric_heating, -2.0, 0.0))
    cooling, heating = thermostat_shifts(homes, -6.0)
    gap = homes.cooling_setpoint + cooling - homes.heating_setpoint - heating
    assert (gap >= 2 * homes.deadband - 1e-9).all(), "GridLAB-D ends a model whose bands overlap"
    assert (heating >= 0).all()
    assert (cooling <= 0).all()


def test_homes_start_where_their_day_keeps_them() -> None:
    homes = _drawn(300)
    conductance = houses_of(homes).conductance
    assert np.array_equal(temperature_at_start(homes, conductance, 25.0), homes.temperature)
    summer = draw_homes(300, HomeDistributions(), np.random.default_rng(1))
    night = temperature_at_start(summer, houses_of(summer).conductance, 15.2)  # the coldest of Melbourne's table
    assert np.array_equal(night, summer.temperature)
    cold = temperature_at_start(homes, conductance, -15.0)
    assert np.abs(cold - homes.heating_setpoint).max() <= 0.5 * homes.deadband.max() + 1e-9
    assert float(fahrenheit(0.0)) == 32.0


def test_a_window_does_not_take_elements_for_compressors() -> None:
    day = _federate("gridlabd_feeder", WINTER)
    homes = _drawn_by_federate()
    told = day.window_settings()
    assert told["homes_with_elements"] == ((homes.heating == RESISTANCE) | homes.auxiliary).sum() > 0
    found = federate_class("window_feeder")
    with pytest.raises(ConfigError, match="takes all power of heating and cooling for compressors"):
        found(
            found.Config.model_validate({"homes": 5, "homes_with_elements": 2}),
            Context("feeder_window", 1, datetime(2014, 1, 14), 10**9, 10**6),
        )


def test_cold_is_a_condition_as_heat_is() -> None:
    trigger = WhenMet(Condition(temperature_at_most=-10.0, held_for="30 min"), 60 * MINUTE)
    course = [-5.0] * 10 + [-12.0] * 60
    onsets = [trigger.onset(k * MINUTE, value) for k, value in enumerate(course)]
    assert onsets[39] is None
    assert onsets[40] == 40 * MINUTE
    with pytest.raises(ValueError, match="is never met"):
        Condition(temperature_at_least=5.0, temperature_at_most=0.0)


# ------------------------------------------------------------------------------------------------ page and scenario


def test_the_page_has_the_curves() -> None:
    page = (ROOT / "docs" / "winter.md").read_text()
    performances = [heat_pump_performance(outdoors) for outdoors in (8.3, 0.0, -8.3, -16.7, -25.0)]
    capacities = " | ".join(f"{capacity:.2f}" for capacity, _ in performances)
    cops = " | ".join(f"{3.3 * capacity / power:.2f}" for capacity, power in performances)
    assert f"| capacity, of that at 8.3 °C | {capacities} |" in page
    assert f"| {cops} |" in page


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_winter_storm_and_what_comes_back(tmp_path: Path) -> None:
    """The shipped scenario against the figures of its page, the net energy of those without supply among them."""
    run = cosim.run(cosim.load(ROOT / "runs" / "scenarios" / "winter_storm.yaml"), out=tmp_path / "run")
    assert run.verdict.trustworthy
    assert run.baseline is not None
    power, undisturbed = (r.results["feeder"]["home_power"].values for r in (run, run.baseline))
    out = ~power[250].astype(bool)
    assert out.sum() == 30
    change = (power - undisturbed)[:, out].sum(1) / 60
    assert not change[:240].any()
    shed = -change[240:330].sum()
    assert shed == pytest.approx(257, abs=5)
    back = [change[330 : 330 + 60 * hours].sum() for hours in (1, 4, 16)]
    assert back == pytest.approx([67, 190, 190], abs=10)
    pickup, without = (found[330:345, out].sum(1).mean() for found in (power, undisturbed))
    assert pickup > 1.5 * without
