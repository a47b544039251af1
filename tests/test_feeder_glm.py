"""The GLM builder, without GridLAB-D: names, values, guards."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feeders.glm import (
    Clock,
    GlmError,
    Site,
    Solver,
    feeder_glm,
    gridlabd_object,
    load_values,
    node_name,
    nominal_phasors,
    valid_name,
)
from feeders.homes import HomeDistributions, draw_homes
from feeders.homes_glm import celsius, fahrenheit, home_objects, place_homes, without_replaced
from feeders.published_feeder import Loads, load_feeder

CLOCK = Clock(datetime(2014, 1, 14), timedelta(days=1), 60)


def _loads(delta: bool, model: str, *power: complex) -> Loads:
    return Loads(("n",), ("",), np.array([delta]), (model,), np.array([power]) * np.ones((1, 3)))


@pytest.mark.parametrize(
    ("delta", "model", "power", "phase", "value"),
    # As GridLAB-D's own model of the IEEE 13-node feeder has them (test_IEEE_13_NR.glm, Battelle).
    [
        (True, "Z", (0, 230 + 132j, 0), 1, 56.5993 + 32.4831j),  # 646
        (False, "Z", (128 + 86j, 0, 0), 0, 31.0501 + 20.8618j),  # 652
        (True, "I", (0, 0, 170 + 151j), 2, -17.2414 + 51.8677j),  # 692
        (False, "I", (0, 0, 170 + 80j), 2, -6.5443 + 77.9524j),  # 611
        (False, "PQ", (160 + 110j, 0, 0), 0, 160e3 + 110e3j),
    ],
)
def test_load_values(delta: bool, model: str, power: tuple[complex, ...], phase: int, value: complex) -> None:
    values = load_values(_loads(delta, model, *power), np.array([4.16]))[0]
    assert values[phase] == pytest.approx(value, rel=2e-4)
    assert not np.delete(values, phase).any()


@given(
    st.lists(
        st.tuples(st.booleans(), st.sampled_from(["PQ", "I", "Z"]), st.floats(1, 1e3), st.floats(-500, 500)),
        min_size=1,
        max_size=8,
    )
)
def test_load_values_of_many_are_those_of_each(rows: list[tuple[bool, str, float, float]]) -> None:
    delta = np.array([row[0] for row in rows])
    power = np.array([[complex(row[2], row[3])] * 3 for row in rows])
    models, kv = tuple(row[1] for row in rows), np.full(len(rows), 4.16)
    together = load_values(Loads(("n",) * len(rows), ("",) * len(rows), delta, models, power), kv)
    for k in range(len(rows)):
        one = load_values(Loads(("n",), ("",), delta[k : k + 1], models[k : k + 1], power[k : k + 1]), kv[:1])
        assert np.array_equal(one[0], together[k])
    # At nominal voltage every model draws its power.
    nominal = nominal_phasors(delta, kv)
    model = np.array(models)[:, None]
    drawn = np.select(
        [model == "PQ", model == "I"],
        [together, nominal * np.conj(together)],
        np.abs(nominal) ** 2 / np.conj(together),
    )
    assert drawn == pytest.approx(power * 1e3)


@pytest.mark.parametrize("name", ["1a", "a b", "a;b", "", "a" * 64, 'a"', "é"])
def test_names_that_gridlabd_misreads_are_refused(name: str) -> None:
    with pytest.raises(GlmError, match="is not a name"):
        valid_name(name)


def test_published_names_become_valid() -> None:
    for name in ("ieee13", "ieee123"):
        names = [node_name(n) for n in load_feeder(name).nodes.name]
        assert len(set(names)) == len(names)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), complex(1, float("nan"))])
def test_values_that_are_not_finite_are_refused(value: complex) -> None:
    with pytest.raises(GlmError, match="not a finite number"):
        gridlabd_object("node", {"nominal_voltage": value})


def test_every_model_carries_the_guards() -> None:
    text = feeder_glm(load_feeder("ieee13"), CLOCK)
    assert "interval 60;" in text
    assert "#set minimum_timestep=60" in text
    assert "check_mode SWITCHING;" in text
    assert "reliability_mode TRUE;" in text
    assert "randomseed=1" in text
    # fault_check knows only Newton-Raphson; GridLAB-D refuses it with the sweep.
    assert "fault_check" not in feeder_glm(load_feeder("ieee13"), CLOCK, solver=Solver(method="FBS"))


def test_clock_wants_whole_seconds_and_no_zone() -> None:
    with pytest.raises(GlmError, match="whole seconds"):
        Clock(datetime(2014, 1, 1), timedelta(days=1), 0)
    with pytest.raises(GlmError, match="multiple of the step"):
        Clock(datetime(2014, 1, 1), timedelta(days=1), 60, timedelta(seconds=90))
    with pytest.raises(GlmError, match="without a zone"):
        Clock(datetime.fromisoformat("2014-01-01T00:00+10:00"), timedelta(days=1), 60)


def test_solar_longitude_counts_from_the_zone() -> None:
    assert Site(-37.8, 145.0, 10.0).solar_longitude == pytest.approx(-5.0)


@given(st.floats(-80, 80))
def test_fahrenheit_and_back(temperature: float) -> None:
    assert celsius(fahrenheit(temperature)) == pytest.approx(temperature, abs=1e-9)
    assert float(fahrenheit(40.0)) == pytest.approx(104.0)


@pytest.mark.parametrize("count", [1, 7, 100, 253, 1000])
@pytest.mark.parametrize("name", ["ieee13", "ieee123"])
def test_placement(name: str, count: int) -> None:
    feeder = load_feeder(name)
    placement = place_homes(feeder, count)
    sizes = np.bincount(placement.transformer, minlength=len(placement.node))
    assert sizes.sum() == count
    assert sizes.min() >= 1
    assert sizes.max() <= 10
    assert (placement.rating >= 7.5 * sizes - 1e-9).all()
    assert ((placement.replaced >= 0) & (placement.replaced <= 1)).all()
    gone = (feeder.spot_loads.power - without_replaced(feeder, placement).spot_loads.power).real.sum()
    room = np.floor(np.where(~feeder.spot_loads.delta[:, None], feeder.spot_loads.power.real, 0) / 4.0).sum()
    if count <= room - 50:
        assert gone == pytest.approx(4.0 * count)
    for node, phase in zip(placement.node, placement.phase, strict=True):
        assert "ABC"[phase] in feeder.nodes.phases[feeder.nodes.name.index(node)]
        assert feeder.nodes.kv[feeder.nodes.name.index(node)] == pytest.approx(4.16)


def test_hundred_homes_replace_ten_whole_spot_loads() -> None:
    placement = place_homes(load_feeder("ieee123"), 100)
    assert np.bincount(placement.transformer).tolist() == [10] * 10
    assert len(set(placement.node)) == 10
    assert set(placement.phase.tolist()) == {0, 1, 2}


def test_placement_errors_name_the_node() -> None:
    feeder = load_feeder("ieee13")
    with pytest.raises(GlmError, match="no node 999"):
        place_homes(feeder, 10, nodes=("999",))
    with pytest.raises(GlmError, match="no wye spot load"):
        place_homes(feeder, 10, nodes=("671",))  # delta only


def test_home_objects_are_in_gridlabd_units() -> None:
    feeder = load_feeder("ieee123")
    homes = draw_homes(10, HomeDistributions(pv_share=1, battery_share=1), np.random.default_rng(1))
    text = "".join(home_objects(feeder, homes, place_homes(feeder, 10), Site(-37.8, 145.0, 10.0)))

    def written(name: str) -> list[float]:
        return [float(value) for value in re.findall(rf"^  {name} ([-+.\de]+);$", text, re.MULTILINE)]

    assert written("floor_area") == pytest.approx(homes.floor_area * 10.763910)  # sf
    assert written("cooling_setpoint") == pytest.approx(homes.cooling_setpoint * 1.8 + 32)  # degF
    assert written("thermostat_deadband")[0] == pytest.approx(homes.deadband[0] * 1.8)  # degF
    assert len(re.findall(r"^object triplex_load \{\n  name battery_", text, re.MULTILINE)) == 10
    assert written("longitude") == pytest.approx([-5.0] * 10)
    heaters = int((homes.water_power > 0).sum())
    assert len(re.findall(r"^object ZIPload \{\n  name water_heater_", text, re.MULTILINE)) == heaters
    # North is 0 and the roofs look there; west of it is 360 less.
    assert written("orientation_azimuth") == pytest.approx(np.mod(-homes.pv_azimuth, 360.0))
