"""Settings that have no effect with the others are named, where they are given; what a scenario leaves out is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import cosim
import feeders.equivalents
from cosim.errors import ScenarioError
from cosim.scenario import from_mapping

PLACE = {"weather": {"table": "melbourne_2014_01"}}
GRID = {"transmission": {"case": "case39"}, "demand": {}}


def named(**sections: Any) -> list[str]:
    horizon = {"start": "2014-01-16 12:00", "duration": "10 min", "step": "60 s"}
    return [str(entry) for entry in cosim.wire(from_mapping({"name": "idle", "horizon": horizon} | sections)).left_out]


def feeder(kind: str, homes: dict[str, Any], **settings: Any) -> dict[str, Any]:
    return PLACE | {"feeders": [{"name": "oak", "model": {"kind": kind, "homes": {"count": 9} | homes, **settings}}]}


@pytest.mark.parametrize("kind", ["gridlabd_feeder", "equivalent_feeder"])
@pytest.mark.parametrize(
    ("homes", "words"),
    [
        ({"ev_share": 0, "ev_power": 11}, "`homes.ev_power` has no effect: no home has an electric vehicle."),
        ({"cooling_share": 0, "cop_mean": 4}, "`homes.cop_mean` has no effect: no home is cooled."),
        ({"heating_cop_mean": 3}, "`homes.heating_cop_mean` has no effect: no home has a heat pump."),
        ({"pv_share": 0.001}, "`homes.pv_share`: no home has PV of the 9 that were drawn."),
        ({"pv_share": 0, "battery_share": 0.5}, "`homes.battery_share`: no home has a battery of the 9"),
        ({"water_heater_share": 0.001}, "`homes.water_heater_share`: no home has a water heater of the 9"),
    ],
)
def test_of_homes(kind: str, homes: dict[str, Any], words: str) -> None:
    assert any(f"oak: {words}" in entry for entry in named(**feeder(kind, homes)))


@pytest.mark.parametrize(
    ("homes", "words"),
    [
        ({"pv_share": 0, "pv_volt_var": "B"}, "`homes.pv_volt_var` has no effect: no home has PV."),
        ({"ev_power": 11, "ev_population": "trondheim_2019"}, "`homes.ev_power` has no effect: chargers are those"),
        (
            {"cop_mean": 3.3, "population": "fontana_june_2017"},
            "`homes.cop_mean` has no effect: it is the default, and",
        ),
    ],
)
def test_of_homes_in_detail(homes: dict[str, Any], words: str) -> None:
    assert any(words in entry for entry in named(**feeder("gridlabd_feeder", homes)))


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        (feeder("gridlabd_feeder", {}, metering_interval="5 min"), "`metering_interval` has no effect: nobody gets"),
        (GRID | {"demand": {"quantity": "victoria"}}, "demand: `quantity` has no effect: there is no `model`."),
        (GRID | {"demand": {"forecast_persistence": 0.5}}, "`forecast_persistence` has no effect"),
        (
            GRID | PLACE | {"demand": {"table": "victoria_2014_01", "model": "victoria_2012_2013"}},
            "demand: `table` has no effect: the demand follows the `model`.",
        ),
        (
            GRID | {"dispatch": {"demand_response": {"price_threshold": 90}}},
            "`demand_response` has no effect: no feeder",
        ),
    ],
)
def test_of_other_federates(sections: dict[str, Any], words: str) -> None:
    assert any(words in entry for entry in named(**sections))


def test_of_a_dispatch() -> None:
    """Every unit at one price: nothing is left to cut into segments."""
    prices = [{"generator": str(bus), "price": 10 + bus} for bus in range(30, 40)]
    found = named(**GRID, dispatch={"segments": 5, "costs": prices})
    assert found == ["dispatch: `segments` has no effect: no unit's cost is quadratic."]
    assert named(**GRID, dispatch={"segments": 5}) == []
    with pytest.raises(ScenarioError, match=r"dispatch\.costs\[10\]\.generator: generator '30' has a price already"):
        named(**GRID, dispatch={"costs": [*prices, prices[0]]})


def test_a_parameter_that_nobody_reads_is_refused(tmp_path: Path) -> None:
    shipped = (Path(feeders.equivalents.TABLES) / "ieee123.yaml").read_text()
    more = shipped.replace("parameters:\n", "parameters:\n  gain_of_the_moon:\n    value: 1.0\n", 1)
    (tmp_path / "more.yaml").write_text(more)
    with pytest.raises(ScenarioError, match="gain_of_the_moon"):
        named(**feeder("equivalent_feeder", {}, parameters=str(tmp_path / "more.yaml")))


def test_of_the_weather() -> None:
    """The typical year of Greensboro has humidity and wind of its own; the table of Melbourne has neither."""
    given = {"dew_point": 12, "wind_speed": 3}
    ours = {"weather": {"table": "greensboro_tmy3", **given}}
    oak = {"feeders": [{"name": "oak", "model": {"kind": "equivalent_feeder", "homes": {"count": 3}}}]}
    assert named(**ours, **oak) == [
        "weather: `dew_point` has no effect: the source has the humidity itself.",
        "weather: `wind_speed` has no effect: the source has the wind itself.",
    ]
    assert named(weather={"table": "melbourne_2014_01", **given}, **oak) == []


def test_of_a_window() -> None:
    window = {
        "at": "12:05",
        "duration": "1 s",
        "transmission": {"kind": "frequency_response", "machines": "ieee39", "droop": 0.04},
        "feeders": [{"name": "oak", "model": {"home_power_factor": 0.9, "home_pv": {"oversize": 1.2}}}],
    }
    oak = [{"name": "oak", "bus": 15, "model": {"kind": "opendss_feeder"}}]
    found = named(**GRID, feeders=oak, event_window=window)
    assert "dynamics: `droop` has no effect: machines and governors are those of ieee39." in found
    assert "oak_window: `home_power_factor` has no effect: the feeder has no homes." in found
    assert "oak_window: `home_pv` has no effect: no home has PV." in found


def test_of_a_trip() -> None:
    trip = {"kind": "LoadTrip", "name": "t", "devices": ["thermostat"], "share": 1, "time": "1 min", "lasting": "2 min"}
    (entry,) = named(**feeder("equivalent_feeder", {}), perturbations=[trip | {"return_over": "5 min"}])
    assert entry == "LoadTrip 't' does not use `return_over`: all return at once."
    assert named(**feeder("equivalent_feeder", {}), perturbations=[trip]) == []


def test_what_the_shipped_scenarios_give_all_counts() -> None:
    """What is left are truths: a feeder without meters under a dispatch, a window's DER that the day does not have."""
    folder = Path(__file__).parents[1] / "runs" / "scenarios"
    small = ["fault_ride_through", "generator_trip", "heat_wave_neighbourhood", "hot_afternoon", "pv_volt_var", "town"]
    for name in small:
        left = [str(entry) for entry in cosim.wire(cosim.load(folder / f"{name}.yaml")).left_out]
        assert [text for text in left if not text.startswith("oak_window: DER of `der` (pv) are not in 'oak'")] == [], (
            name
        )
