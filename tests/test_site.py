"""The place on Earth: one fact of the scenario, from `site` or the weather's file, for all that sees the sun."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gridlabd_alone import alone
from numpy.typing import NDArray

import cosim
from cosim.contract import Exchange
from cosim.errors import ScenarioError
from cosim.scenario import Scenario, from_mapping
from cosim.site import FARTHEST, Site

HOUR = 3600 * 10**9
GREENSBORO = {"latitude": 36.1, "longitude": -79.95, "utc_offset": -5.0}  # as the header of its TMY3 file says
DETAILED = {
    "kind": "gridlabd_feeder",
    "feeder": "ieee13",
    "homes": {"count": 20, "pv_share": 1.0, "battery_share": 0, "ev_share": 0, "water_heater_share": 0},
}
EQUIVALENT = {"kind": "equivalent_feeder", "homes": {"count": 100, "pv_share": 1.0}}


def _scenario(day: str, model: dict[str, Any], **sections: Any) -> Scenario:
    """Thirteen hours of daylight under the typical year of Greensboro."""
    scenario = {
        "name": "roofs",
        "seed": 3,
        "horizon": {"start": f"{day} 06:00", "duration": "13 h", "step": "5 min"},
        "weather": {"table": "greensboro_tmy3"},
        "feeders": [{"name": "f", "model": model}],
    }
    return from_mapping({**scenario, **sections})


def _pv_energy(scenario: Scenario, folder: Path) -> float:
    """What the roofs give [kWh]: the wired weather and feeder, stepped by hand."""
    federation = cosim.wire(scenario)
    weather, feeder = (federation.build(next(f for f in federation.federates if f.name == n)) for n in ("weather", "f"))
    weather.start(folder)
    feeder.start(folder)
    ports = [port for port in feeder.ports() if port.direction == "in"]
    given = 0.0
    for time in range(0, scenario.horizon.duration, scenario.horizon.step):
        values = weather.solve(time, Exchange()).values
        inputs = {p.name: np.array(values.get(p.name, p.initial)) * np.ones(p.shape) for p in ports}
        given += float(feeder.solve(time, Exchange(inputs)).values["pv_power"].sum())
        feeder.commit(time)
    return given * scenario.horizon.step / HOUR


def test_roofs_stand_where_the_weather_was_measured(tmp_path: Path) -> None:
    """1881 kWh in December, as with the place of the weather's file stated; Melbourne's sun gave 2627 kWh.

    The place is the TMY3 file's own: 36.1 N, 79.95 W, UTC-5.
    """
    assert _pv_energy(_scenario("2014-12-21", EQUIVALENT), tmp_path) == pytest.approx(1881, rel=1e-3)
    for same in (
        _scenario("2014-12-21", EQUIVALENT | GREENSBORO),
        _scenario("2014-12-21", EQUIVALENT, site=GREENSBORO),
    ):
        federation = cosim.wire(same)
        (site,) = federation.build(federation.federates[-1]).facts()
        assert (site.latitude, site.longitude, site.utc_offset) == tuple(GREENSBORO.values())


def test_roofs_in_gridlabd_stand_there_too(tmp_path: Path) -> None:
    """394 kWh in December with the place of the weather's file stated, 519 kWh in the sun of Melbourne."""
    assert alone(_pv_energy, _scenario("2014-12-21", DETAILED), tmp_path) == pytest.approx(394.5, rel=1e-3)


def _faults(*arguments: Any, **sections: Any) -> list[str]:
    with pytest.raises(ScenarioError) as caught:
        cosim.wire(_scenario(*arguments, **sections))
    return [str(fault) for fault in caught.value.faults]


def test_two_places_are_refused_with_both() -> None:
    (fault,) = _faults("2014-06-21", EQUIVALENT | {"latitude": -37.81, "longitude": 144.96, "utc_offset": 10})
    assert "'f' is at 37.81 S, 144.96 E, UTC+10" in fault
    assert "the weather 'greensboro_tmy3' at 36.1 N, 79.95 W, UTC-5" in fault
    assert "km apart and 15 h apart on the clock" in fault
    (fault,) = _faults("2014-06-21", EQUIVALENT, site=GREENSBORO | {"utc_offset": -4})
    assert "1 h apart on the clock" in fault
    (fault,) = _faults("2014-06-21", EQUIVALENT, site=GREENSBORO | {"elevation": 1500})
    assert "1,227 m apart in elevation" in fault
    (fault,) = _faults("2014-06-21", EQUIVALENT, weather={"table": "greensboro_tmy3", "latitude": 36.5})
    assert "the settings of 'weather' is at 36.5 N" in fault or "44 km apart" in fault


def test_homes_under_weather_without_a_place_need_one(tmp_path: Path) -> None:
    head = "time,temperature [degC],ghi [W/m2],dni [W/m2],dhi [W/m2]"
    rows = [f"2014-06-21 {hour:02d}:00,25,500,400,100" for hour in range(24)]
    (tmp_path / "own.csv").write_text("\n".join([head, *rows]))
    weather = {"table": str(tmp_path / "own.csv")}
    (fault,) = _faults("2014-06-21", EQUIVALENT, weather=weather)
    assert "homes see the sun, and neither the weather nor the scenario states a place" in fault
    assert "site: {latitude: ..., longitude: ..., utc_offset: ...}" in fault
    federation = cosim.wire(_scenario("2014-06-21", EQUIVALENT, weather=weather, site=GREENSBORO))
    settings = next(spec.settings for spec in federation.federates if spec.name == "f")
    assert settings["site"] == {**GREENSBORO, "elevation": None, "source": "scenario:1: site"}
    # A feeder whose loads are spot loads sees no sun, and needs no place.
    nothing_sees_the_sun = _scenario("2014-06-21", {"kind": "opendss_feeder"}, weather=weather)
    assert cosim.wire(nothing_sees_the_sun).federates


def test_a_demand_model_of_another_clocks_people_is_named() -> None:
    """The calibrated load is of Melbourne (UTC+10), the scenario of Miami (UTC-5)."""
    sections = {"weather": {"table": "miami_tmy2"}, "demand": {"model": "victoria_2012_2013"}}
    federation = cosim.wire(_scenario("2014-06-21", EQUIVALENT, **sections))
    assert any("the clock of Australia/Melbourne" in str(text) for text in federation.left_out)


@pytest.mark.parametrize(
    ("other", "apart"),
    [
        # One minute of arc of a great circle is a nautical mile, 1.852 km, on a sphere of 6371 km to 0.1 %.
        (Site(36.1 + 1 / 60, -79.95, -5), 1.853),
        (Site(-36.1, 100.05, -5), np.pi * 6371),
        (Site(36.1, -79.95, -5), 0.0),
    ],
)
def test_the_distance_between_places(other: Site, apart: float) -> None:
    here = Site(**GREENSBORO)
    assert here.distance(other.latitude, other.longitude) == pytest.approx(apart, rel=1e-3)
    assert (here.contradiction(other) == "") == (apart <= FARTHEST)


def test_an_elevation_that_one_does_not_state_contradicts_nothing() -> None:
    sites: NDArray[Any] = np.array([Site(**GREENSBORO, elevation=height) for height in (None, 273.0, 500.0)])
    assert [a.contradiction(b) == "" for a, b in zip(sites, np.roll(sites, 1), strict=True)] == [True] * 3
