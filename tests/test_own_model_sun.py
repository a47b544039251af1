"""Sun, weather and place in a GridLAB-D model of one's own: they are the scenario's."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gridlabd_alone import alone

from cosim.contract import Context, Exchange
from cosim.errors import ConfigError, UnknownFactError
from federates.gridlabd_feeder import WEATHER, GridlabdFeeder
from federates.weather import Weather
from feeders.glm_reader import read_glm
from feeders.own_sun import SunObject, sun_objects

STEP = 300 * 10**9
START = datetime(2014, 6, 21, 4)
STEPS = 17 * 12
GREENSBORO = {"latitude": 36.1, "longitude": -79.95, "utc_offset": -5.0}

#: Written for the purpose: a roof of 5 kW behind a service, with a US clock and daylight saving.
MODEL = """
clock { timezone EST+5EDT; starttime '2014-07-14 00:00:00'; stoptime '2014-07-15 00:00:00'; }
module tape; module climate; module generators;
module residential { implicit_enduses NONE; }
module powerflow { solver_method NR; }
object climate { name sky; PLACE }
object meter { name top; bustype SWING; phases ABCN; nominal_voltage 7200;
  voltage_A 7200+0j; voltage_B -3600-6235.4j; voltage_C -3600+6235.4j; }
object transformer_configuration { name tc; connect_type SINGLE_PHASE_CENTER_TAPPED; primary_voltage 7200;
  secondary_voltage 120; power_rating 50; powerA_rating 50; resistance 0.012; reactance 0.015; }
object transformer { name t1; phases AS; from top; to m1; configuration tc; }
object triplex_meter { name m1; phases AS; nominal_voltage 120; }
object triplex_meter { name m2; parent m1; phases AS; nominal_voltage 120; }
object inverter { name inv; parent m2; phases AS; inverter_type FOUR_QUADRANT; four_quadrant_control_mode CONSTANT_PF;
  generator_mode CONSTANT_PF; power_factor 1.0; rated_power 6000; inverter_efficiency 0.96; generator_status ONLINE;
  object solar { name pv; panel_type SINGLE_CRYSTAL_SILICON; rated_power 5000; orientation FIXED_AXIS; tilt_angle 25;
    orientation_azimuth 180; SOLAR }; }
"""
HERE = "latitude 36.1; longitude -79.95;"


def _model(folder: Path, place: str = HERE, solar: str = "") -> Path:
    path = folder / "own.glm"
    path.write_text(MODEL.replace("PLACE", place).replace("SOLAR }", solar + " }"))
    return path


def _feeder(glm: Path, **settings: Any) -> GridlabdFeeder:
    own = {"glm": str(glm), "swing": "top", "climate": "sky", "meters": ["m2"], **GREENSBORO, **settings}
    return GridlabdFeeder(GridlabdFeeder.Config.model_validate(own), Context("f", 1, START, STEPS * STEP, STEP))


def _weather(**settings: Any) -> dict[str, np.ndarray]:
    found = Weather(
        Weather.Config.model_validate({"table": "greensboro_tmy3", **settings}),
        Context("weather", 1, START, STEPS * STEP, STEP),
    )
    found.start(Path())
    steps = [found.solve(k * STEP, Exchange()).values for k in range(STEPS)]
    return {name: np.array([step[name] for step in steps]) for name, _, _ in WEATHER}


def _roof(glm: Path, folder: Path, weather: dict[str, np.ndarray]) -> np.ndarray:
    """(steps,) what the roof gives [kW]."""
    folder.mkdir(exist_ok=True)
    feeder = _feeder(glm)
    feeder.start(folder)
    given = []
    for k in range(STEPS):
        values = {"head_voltage": np.array(1.0 + 0j), **{name: row[k] for name, row in weather.items()}}
        given.append(-feeder.solve(k * STEP, Exchange(values)).values["home_power"][0])
    return np.array(given)


@pytest.mark.parametrize(
    "solar", ["", f"SOLAR_TILT_MODEL SOLPOS; {HERE}"], ids=["of its climate", "of its own, with NREL's SOLPOS"]
)
def test_the_sun_stands_where_the_model_and_the_weather_say(solar: str, tmp_path: Path) -> None:
    """3.22 kW at noon and 23.3 kWh that day: pvlib's irradiance on the roof, its rating and the efficiencies.

    With the longitude as it stands GridLAB-D gave 1.96 (1.71) kW and 20.4 (18.2) kWh: its clock is called UTC.
    """
    pd = pytest.importorskip("pandas")
    pvlib = pytest.importorskip("pvlib")
    weather = _weather()
    given = alone(_roof, _model(tmp_path, solar=solar), tmp_path / "run", weather)
    times = pd.DatetimeIndex(np.datetime64(START) + np.arange(STEPS) * np.timedelta64(300, "s"), tz="UTC")
    sun = pvlib.solarposition.get_solarposition(times + pd.Timedelta(hours=5), 36.1, -79.95)
    roof = pvlib.irradiance.get_total_irradiance(
        25, 180, sun.zenith, sun.azimuth, weather["dni"], weather["ghi"], weather["dhi"], model="isotropic"
    ).poa_global.to_numpy()
    assert np.corrcoef(given, roof)[0, 1] > 0.999
    assert given[8 * 12] == pytest.approx(3.22, rel=0.03)
    assert given.sum() / 12 == pytest.approx(23.3, rel=0.04)
    assert not Path("_checkpoint.json").exists(), "what GridLAB-D writes of its objects stays in the scratch folder"


def test_a_weather_file_of_the_model_gives_way_to_the_scenarios_weather(tmp_path: Path) -> None:
    """At night all day no roof gives anything, whatever the model's own file says; and it says that it is left out."""
    glm = _model(tmp_path, place='tmyfile "somewhere.tmy2"; interpolate LINEAR;')
    dark = alone(_roof, glm, tmp_path / "run", _weather(irradiance_scale=0))
    assert np.abs(dark).max() == 0.0
    texts = _feeder(glm).left_out()
    assert [text for text in texts if "somewhere.tmy2" in text and "the scenario's weather is taken" in text]
    assert [text for text in texts if "EST+5EDT" in text]


def test_where_the_model_says_that_it_is_becomes_a_fact(tmp_path: Path) -> None:
    """It contradicts the weather's place, so that the wiring refuses both (bad_scenarios has the words)."""
    scenario, sky, solar = _feeder(_model(tmp_path, solar="latitude 36N06:00; longitude 4W57;")).facts()
    assert scenario.contradiction(sky) == ""
    assert "4.95 W" in scenario.contradiction(solar)
    assert "6,552 km apart" in scenario.contradiction(solar)


def test_a_place_in_an_included_file_is_found(tmp_path: Path) -> None:
    glm = _model(tmp_path)
    (tmp_path / "sky.glm").write_text("object climate { name sky; latitude -37.8; longitude 145; }")
    glm.write_text(glm.read_text().replace(f"object climate {{ name sky; {HERE} }}", '#include "sky.glm"'))
    scenario, sky = _feeder(glm).facts()
    assert "'sky' of own.glm is at 37.8 S, 145 E" in scenario.contradiction(sky)


def test_a_model_that_sees_the_sun_needs_a_place_and_the_weather(tmp_path: Path) -> None:
    nowhere = dict.fromkeys(GREENSBORO)
    with pytest.raises(UnknownFactError, match=r"own\.glm sees the sun.*Add `weather`"):
        _feeder(_model(tmp_path), **nowhere)
    with pytest.raises(ConfigError, match=r"does not follow the scenario's weather.*Give `climate: sky`"):
        _feeder(_model(tmp_path), climate="", site={**GREENSBORO, "source": "the weather"})
    assert _feeder(_model(tmp_path, place="temperature 90;"), climate="", **nowhere).facts() == ()


def test_objects_are_read_as_gridlabd_reads_them(tmp_path: Path) -> None:
    (path := tmp_path / "sky.glm").write_text(
        'object climate:3 { name "sky"; latitude 36N12:30; longitude 79W57; } object solar { tilt_angle 20 deg; }'
    )
    assert sun_objects(read_glm(path)) == [
        SunObject("climate", "sky", pytest.approx(36 + 12.5 / 60), pytest.approx(-79.95), ""),
        SunObject("solar", "", None, None, ""),
    ]
