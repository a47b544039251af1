"""The feeder with homes in GridLAB-D, as a federate: contract, physics, messages, faults."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gridlabd_alone import alone

from cosim.contract import Context, Exchange, Message
from cosim.errors import ConfigError, ContractError, ModelError, SolverError
from cosim.metering import Request, requested
from federates.gridlabd_feeder import DEVICE_CLASSES, GridlabdFeeder

MINUTE = 60 * 10**9
NOON = datetime(2014, 1, 16, 12)
SMALL: dict[str, Any] = {"feeder": "ieee13", "homes": {"count": 20, "cooling_share": 1.0}}
HOT = {"temperature": 40.0, "relative_humidity": 0.2, "wind_speed": 3.0, "ghi": 900.0, "dni": 800.0, "dhi": 100.0}

MELBOURNE = {"latitude": -37.81, "longitude": 144.96, "utc_offset": 10.0}
Run = tuple[dict[str, np.ndarray], list[Message]]


def _context(start: datetime = NOON, step: int = MINUTE, seed: int = 5) -> Context:
    return Context("feeder", seed, start, 86_400 * 10**9, step)


def _federate(settings: Mapping[str, Any], context: Context) -> GridlabdFeeder:
    return GridlabdFeeder(GridlabdFeeder.Config.model_validate({**MELBOURNE, **settings}), context)


def _inputs(federate: GridlabdFeeder, changes: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Every input port's value: hot weather, everything available, unless `changes` say otherwise."""
    values = {"head_voltage": 1.0 + 0j, "load_scale": 1.0, **HOT, **changes}
    ports = [port for port in federate.ports() if port.direction == "in"]
    return {port.name: np.array(values.get(port.name, port.initial)) * np.ones(port.shape) for port in ports}


def _run(
    settings: Mapping[str, Any],
    changes: Sequence[Mapping[str, Any]],
    folder: Path,
    messages: Mapping[int, Sequence[Message]] | None = None,
    context: Context | None = None,
) -> Run:
    """Outputs, (steps, ...) by port, and the messages sent; `changes` are each step's own inputs."""
    federate = _federate(settings, context or _context())
    federate.start(folder)
    found: dict[str, list[np.ndarray]] = {}
    sent: list[Message] = []
    for k, change in enumerate(changes):
        exchange = federate.solve(k * MINUTE, Exchange(_inputs(federate, change), (messages or {}).get(k, ())))
        federate.commit(k * MINUTE)
        for name, value in exchange.values.items():
            found.setdefault(name, []).append(value)
        sent += exchange.messages
    federate.close()
    return {name: np.stack(values) for name, values in found.items()}, sent


def _available(count: int = 20, **share: float) -> np.ndarray:
    """Availability with the first `share` of each named class off."""
    values = np.ones((len(DEVICE_CLASSES), count))
    for name, off in share.items():
        values[DEVICE_CLASSES.index(name), : round(off * count)] = 0.0
    return values


# The contract ---------------------------------------------------------------------------------------------


def test_outputs_have_the_declared_shapes_kinds_and_are_finite(tmp_path: Path) -> None:
    outputs, _ = alone(_run, SMALL, [{}] * 3, tmp_path)
    declared = {port.name: port for port in _federate(SMALL, _context()).ports() if port.direction == "out"}
    assert outputs.keys() == declared.keys()
    for name, values in outputs.items():
        assert values.shape == (3, *declared[name].shape), name
        assert np.iscomplexobj(values) == declared[name].is_complex, name
        assert np.isfinite(values).all(), name


def test_boundary_ports() -> None:
    federate = _federate(SMALL, _context())
    ports = {port.name: port for port in federate.ports()}
    assert ports["head_voltage"].is_complex
    assert ports["head_voltage"].initial == 1.0
    assert list(ports["power"].coordinates["phase"]) == ["A", "B", "C"]
    assert ports["device_available"].shape == (4, 20)
    assert ports["temperature"].initial is None, "a feeder without weather would run at 0 degC unnoticed"
    assert "671.B" in ports["node_voltage"].coordinates["node_phase"]
    assert ports["energy_balance"].limit == pytest.approx(2e-4 * 3.266)
    assert federate.needs_process
    assert not federate.iterative


def test_same_seed_same_homes_other_seed_others() -> None:
    one, same, other = (_federate(SMALL, _context(seed=s))._plan for s in (5, 5, 6))
    assert one is not None
    assert same is not None
    assert other is not None
    assert np.array_equal(one.homes.floor_area, same.homes.floor_area)
    assert not np.array_equal(one.homes.floor_area, other.homes.floor_area)


def _digest(folder: Path) -> str:
    outputs, sent = _run({**SMALL, "meter_to": "dispatch"}, [{}] * 45, folder)
    joined = b"".join(outputs[name].tobytes() for name in sorted(outputs)) + repr(sent).encode()
    return hashlib.sha256(joined).hexdigest()


def test_two_runs_give_equal_bytes(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in "ab"]
    for folder in folders:
        folder.mkdir()
    assert alone(_digest, folders[0]) == alone(_digest, folders[1])


# Physics --------------------------------------------------------------------------------------------------


def test_powers_add_up(tmp_path: Path) -> None:
    settings = {"feeder": "ieee13", "homes": {"count": 40, "pv_share": 0.6, "battery_share": 0.6, "ev_share": 0.6}}
    changes = [{"load_scale": 0.9 + k / 300} for k in range(30)]
    context = _context(datetime(2014, 1, 16, 18))
    outputs, _ = alone(_run, settings, changes, tmp_path, None, context)
    limit = next(p.limit for p in _federate(settings, context).ports() if p.name == "energy_balance")
    assert limit is not None
    assert np.abs(outputs["energy_balance"]).max() < limit / 2
    known = (
        outputs["hvac_power"]
        + outputs["ev_power"]
        + outputs["water_heater_power"]
        - outputs["pv_power"]
        + outputs["battery_power"]
    )
    plug = outputs["home_power"] - known
    # What is left at each meter is lights, plugs and appliances: 0.1 to 4 kW.
    assert plug.min() > 0.05
    assert plug.max() < 4.0
    for name in ("hvac_power", "ev_power", "water_heater_power", "pv_power"):
        assert outputs[name].min() >= 0.0, name
        assert outputs[name].max() > 0.5, name
    # A battery's energy changes by what it draws, less its losses (90 % there and back, inverter 96 %).
    drawn = outputs["battery_power"][:-1].sum(axis=0) / 60
    stored = outputs["battery_energy"][-1] - outputs["battery_energy"][0]
    assert (stored <= drawn + 0.05).all()
    assert (stored >= 1.2 * np.minimum(drawn, 0) + 0.8 * np.maximum(drawn, 0) - 0.05).all()


def test_tripped_thermostats_shed_warm_up_and_rebound(tmp_path: Path) -> None:
    settings = {"feeder": "ieee13", "homes": {"count": 50, "cooling_share": 1.0, "ev_share": 0.0, "pv_share": 0.0}}
    trip, back, end = 30, 60, 100
    off = {"device_available": _available(50, thermostat=0.6)}
    changes = [off if trip <= k < back else {} for k in range(end)]
    weather = {"temperature": 36.0}
    folders = [tmp_path / name for name in ("base", "trip")]
    for folder in folders:
        folder.mkdir()
    base, _ = alone(_run, settings, [weather] * end, folders[0])
    hit, _ = alone(_run, settings, [weather | dict(change) for change in changes], folders[1])
    assert np.array_equal(base["power"][:trip], hit["power"][:trip])
    # GridLAB-D's thermostats keep a minimum cycle of two minutes.
    assert not hit["hvac_power"][trip + 2 : back, :30].any()
    shed = (base["power"] - hit["power"]).real.sum(axis=1)[trip + 2 : back]
    assert shed.mean() > 0.3 * base["hvac_power"][trip:back].sum(axis=1).mean() / 1e3
    warmer = hit["home_temperature"][back - 1, :30] - base["home_temperature"][back - 1, :30]
    assert (warmer > 0.5).all()
    assert np.abs((hit["home_temperature"] - base["home_temperature"])[:, 30:]).max() < 1.2, (
        "the others keep their deadband"
    )
    rebound = (hit["power"] - base["power"]).real.sum(axis=1)[back + 2 : back + 22]
    assert rebound.mean() > 0.02 * 50 / 50, "all return at once and cool with more than before"
    assert (hit["hvac_power"][back + 3, :30] > 0).mean() > 0.9


def test_other_devices_stop_and_catch_up(tmp_path: Path) -> None:
    settings = {
        "feeder": "ieee13",
        "homes": {"count": 20, "ev_share": 1.0, "water_heater_share": 1.0, "pv_share": 0.0},
    }
    off = {"device_available": _available(20, ev_charger=1.0, water_heater=1.0)}
    evening = _context(datetime(2014, 1, 16, 19))
    changes = [off if k < 60 else {} for k in range(120)]
    folders = [tmp_path / name for name in ("base", "off")]
    for folder in folders:
        folder.mkdir()
    base, _ = alone(_run, settings, [{}] * 120, folders[0], None, evening)
    hit, _ = alone(_run, settings, changes, folders[1], None, evening)
    for name in ("ev_power", "water_heater_power"):
        assert not hit[name][1:60].any(), name
        assert base[name][1:60].any(), name
        assert hit[name][61:120].sum() > base[name][61:120].sum(), f"{name} comes later"


def test_a_home_without_supply_draws_nothing_and_returns(tmp_path: Path) -> None:
    settings = {"feeder": "ieee13", "homes": {"count": 20, "cooling_share": 1.0, "pv_share": 1.0, "ev_share": 1.0}}
    out = {"device_available": _available(20, home=0.5)}
    # Off from the very start, back, and off again for a single step.
    changes = [out if k < 20 or k == 40 else {} for k in range(60)]
    outputs, _ = alone(_run, settings, changes, tmp_path)
    dark = np.array([k < 20 or k == 40 for k in range(60)])
    for name in ("home_power", "hvac_power", "ev_power", "water_heater_power", "pv_power", "battery_power"):
        assert np.abs(outputs[name][dark, :10]).max() < 1e-9, name
    known = outputs["hvac_power"] + outputs["ev_power"] + outputs["water_heater_power"] - outputs["pv_power"]
    plug = outputs["home_power"] - known - outputs["battery_power"]
    assert plug[~dark].min() > 0.02, "lights and plugs are back at once"
    assert (outputs["pv_power"][~dark] > 0.5).all()
    assert (np.diff(outputs["home_temperature"][:20, :10], axis=0) > 0).all(), "a dark house warms at 40 degC"
    assert np.abs(outputs["energy_balance"]).max() < 2e-4 * 3.266


def test_head_voltage_acts_by_its_magnitude(tmp_path: Path) -> None:
    settings = {**SMALL, "regulators": "published taps"}
    turned = np.exp(0.3j)
    changes = [{"head_voltage": 1.0 + 0j}] * 2 + [{"head_voltage": 0.95 + 0j}] * 2 + [{"head_voltage": 0.95 * turned}]
    outputs, _ = alone(_run, settings, changes, tmp_path)
    names = _federate(SMALL, _context())._plan
    assert names is not None
    head = names.node_phases.index("650.A")
    assert outputs["node_voltage"][:, head] == pytest.approx([1.0, 1.0, 0.95, 0.95, 0.95])
    assert outputs["power"][4].real.sum() == pytest.approx(outputs["power"][3].real.sum(), rel=0.02)


def test_spot_loads_scale(tmp_path: Path) -> None:
    settings = {**SMALL, "regulators": "published taps"}
    outputs, _ = alone(_run, settings, [{"load_scale": s} for s in (1.0, 0.5, 0.0, 1.0)], tmp_path)
    homes = outputs["home_power"].sum(axis=1) / 1e3
    spot = outputs["power"].real.sum(axis=1) - outputs["losses"] - homes - outputs["energy_balance"]
    # 3.466 MW of published load less 20 homes of 4 kW, at voltages within a few per cent of nominal.
    assert spot[0] == pytest.approx(3.466 - 0.080, rel=0.02)
    assert spot[1] == pytest.approx(0.5 * spot[0], rel=0.02)
    assert spot[2] == 0.0
    assert spot[3] == pytest.approx(spot[0], rel=1e-3)


# Messages -------------------------------------------------------------------------------------------------


def _request(offset: object, until: object) -> Message:
    return Message("dispatch", "feeder", 0, {"thermostat_offset_degC": offset, "until_s": until})


def test_demand_response_sheds_for_its_time(tmp_path: Path) -> None:
    settings = {"feeder": "ieee13", "homes": {"count": 50, "cooling_share": 1.0, "ev_share": 0.0, "pv_share": 0.0}}
    weather = {"temperature": 36.0}
    folders = [tmp_path / name for name in ("base", "asked")]
    for folder in folders:
        folder.mkdir()
    base, _ = alone(_run, settings, [weather] * 60, folders[0])
    asked, _ = alone(_run, settings, [weather] * 60, folders[1], {10: [_request(2.0, 30 * 60.0)]})
    saved = (base["hvac_power"] - asked["hvac_power"]).sum(axis=1)
    assert not saved[:10].any()
    assert saved[13:30].mean() > 0.3 * base["hvac_power"][13:30].sum(axis=1).mean()
    assert saved[33:45].mean() < 0, "the set-points are back and the homes cool down"


def test_bad_requests_are_refused() -> None:
    for message in (
        _request("warm", 60.0),
        _request(float("nan"), 60.0),
        Message("dispatch", "feeder", 0, {"thermostat_offset_degC": 1.0}),
        Message("dispatch", "feeder", 0, {"setpoint_MW": 1.0}),
    ):
        with pytest.raises(ContractError, match="thermostat_offset_degC and until_s"):
            requested(Request(), [message])


def test_meter_readings_are_means_of_their_interval(tmp_path: Path) -> None:
    settings = {**SMALL, "meter_to": "dispatch", "metering_interval": "5 min"}
    outputs, sent = alone(_run, settings, [{}] * 11, tmp_path)
    power = outputs["power"].real.sum(axis=1)
    assert [(m.source, m.destination, m.sent) for m in sent] == [
        ("feeder", "dispatch", 5 * MINUTE),
        ("feeder", "dispatch", 10 * MINUTE),
    ]
    # Each value holds until the next step, as results take it.
    assert sent[0].payload == {"power_MW": pytest.approx(power[0:5].mean()), "time_s": 300.0, "interval_s": 300.0}
    assert sent[1].payload == {"power_MW": pytest.approx(power[5:10].mean()), "time_s": 600.0, "interval_s": 300.0}
    _, silent = alone(_run, SMALL, [{}] * 16, tmp_path)
    assert silent == []


# Faults ---------------------------------------------------------------------------------------------------


def test_a_collapse_is_a_solver_error(tmp_path: Path) -> None:
    with pytest.raises(SolverError, match=r"head.s voltage is 0\.2 pu"):
        alone(_run, SMALL, [{}, {"head_voltage": 0.2 + 0j, "load_scale": 8.0}], tmp_path)


@pytest.mark.parametrize(
    ("settings", "field", "said"),
    [
        ({"feeder": "ieee8500"}, "feeder", "ieee123, ieee13"),
        ({"feeder": "ieee13", "homes": {"nodes": ["999"]}}, "homes.nodes", "no node 999"),
        ({"homes": {"pv_power_min": 9.0}}, "homes", "pv_power_max"),
        ({"homes": {"heating_setpoint": 23.5}}, "homes", "heating_setpoint"),
        ({"warm_up": "90 s"}, "warm_up", "multiple of the step"),
        ({"metering_interval": "30 s"}, "metering_interval", "multiple of the step"),
        ({"swing": "head"}, "swing", "a model of your own"),
    ],
)
def test_bad_settings_name_their_place(settings: dict[str, Any], field: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        _federate(settings, _context())
    assert caught.value.field == field


def test_steps_of_less_than_a_second_are_refused() -> None:
    with pytest.raises(ConfigError, match="whole seconds"):
        _federate(SMALL, _context(step=10**8))


# Models of one's own --------------------------------------------------------------------------------------

OWN = """
clock { timezone EST+5EDT; starttime '2000-01-01 0:00:00'; stoptime '2000-01-02 0:00:00'; }
module powerflow { solver_method NR; }
object meter {
  name source; bustype SWING; phases ABCN; nominal_voltage 2400;
  voltage_A 2400; voltage_B -1200-2078.46j; voltage_C -1200+2078.46j;
}
object line_configuration { name lc; z11 0.5+1j; z22 0.5+1j; z33 0.5+1j; z12 0; z13 0; z23 0; }
object overhead_line { name line; phases ABCN; from source; to end; length 5280 ft; configuration lc; }
object meter { name end; phases ABCN; nominal_voltage 2400; }
object load { parent end; phases ABCN; nominal_voltage 2400; constant_power_A 30000+10000j; }
"""


def _own(tmp_path: Path, text: str = OWN) -> dict[str, Any]:
    path = tmp_path / "own.glm"
    path.write_text(text)
    return {"glm": str(path), "swing": "source", "meters": ["end"]}


HOUSE = """
module residential;
module climate;
object climate { name sky; }
object transformer_configuration { name tc; connect_type SINGLE_PHASE_CENTER_TAPPED; install_type PADMOUNT;
  primary_voltage 2400; secondary_voltage 120; power_rating 25; powerA_rating 25; resistance 0.012; reactance 0.015; }
object transformer { name t; phases AS; from end; to home; configuration tc; }
object triplex_meter { name home; phases AS; nominal_voltage 120;
  object house { name villa; floor_area 1500 sf; cooling_system_type ELECTRIC; heating_system_type GAS;
    cooling_setpoint 75; air_temperature 75; mass_temperature 75;
    object waterheater { name tank; tank_volume 50 gal; heating_element_capacity 4.5 kW; temperature 118 degF;
      tank_setpoint 125 degF; water_demand 0.1; };
  };
}
"""


def test_a_dead_head_darkens_a_model_of_ones_own_and_its_house_returns(tmp_path: Path) -> None:
    """Dark is 0 MW and a house that warms at 40 degC; back, it cools without a pause, and its tank is heated."""
    settings = {**_own(tmp_path, OWN + HOUSE), "climate": "sky", "meters": ["home", "end"]}
    changes = [{"head_voltage": complex(not 10 <= k < 25)} for k in range(28)]
    outputs, _ = alone(_run, settings, changes, tmp_path)
    assert not outputs["power"][10:25].any()
    assert not outputs["home_power"][10:25].any()
    assert (outputs["home_power"][25:, 0] > outputs["home_power"][:10, 0].mean() + 3.0).all()
    assert (outputs["power"][25:].real.sum(axis=1) > outputs["power"][:10].real.sum(axis=1).mean() + 0.003).all()


def test_storage_in_a_model_of_ones_own_behind_a_dead_head_is_no_good_run(tmp_path: Path) -> None:
    store = """
module generators;
object inverter { name inv; parent end; phases ABCN; inverter_type FOUR_QUADRANT;
  four_quadrant_control_mode CONSTANT_PQ;
  generator_mode CONSTANT_PQ; P_Out -1000; Q_Out 0; rated_power 5000; inverter_efficiency 0.96;
  generator_status ONLINE; }
object battery { name cell; parent inv; use_internal_battery_model TRUE; battery_type LI_ION; battery_capacity 10000;
  rated_power 5000; round_trip_efficiency 0.9; state_of_charge 0.5; nominal_voltage 480; }
"""
    dead = [{}, {"head_voltage": 0j}]
    with pytest.raises(SolverError, match=r"battery 'cell' at .*own\.glm\(\d+\) would go on charging"):
        alone(_run, _own(tmp_path, OWN + store), dead, tmp_path)


def test_a_model_of_ones_own(tmp_path: Path) -> None:
    folder = tmp_path / "scratch"
    folder.mkdir()
    changes = [{}, {}, {"head_voltage": 1.05 + 0j}]
    outputs, _ = alone(_run, _own(tmp_path), changes, folder)
    assert outputs["home_power"] == pytest.approx(np.full((3, 1), 30.0), rel=1e-6)
    # I = S/V, loss = R |I|^2 for one mile of 0.5 ohm.
    current = abs(30e3 + 10e3j) / 2400
    assert outputs["power"][0, 0].real * 1e6 == pytest.approx(30e3 + 0.5 * current**2, rel=1e-4)
    assert outputs["power"][2, 0].real * 1e6 == pytest.approx(30e3 + 0.5 * (current / 1.05) ** 2, rel=1e-4)
    assert "fault_check" not in (folder / "model.glm").read_text()  # nothing in it opens a switch


def test_a_broken_model_of_ones_own_shows_its_line(tmp_path: Path) -> None:
    broken = OWN.replace("bustype SWING;", "bustype SWING")
    with pytest.raises(ModelError, match=r"own\.glm\(5\): property bustype .*run\.log"):
        alone(_run, _own(tmp_path, broken), [{}], tmp_path)
    with pytest.raises(ModelError, match="a unit that it does not know"):
        alone(_run, _own(tmp_path, OWN.replace("5280 ft", "5280 feets")), [{}], tmp_path)


def test_settings_of_ones_own_model(tmp_path: Path) -> None:
    good = _own(tmp_path)
    with pytest.raises(ConfigError, match=r"swing: .* has no meter or node or substation 'nobody' Use one of: source"):
        _federate({**good, "swing": "nobody"}, _context())
    with pytest.raises(ConfigError, match="belongs to a published feeder"):
        _federate({**good, "feeder": "ieee13"}, _context())
    with pytest.raises(ConfigError, match=r"meters\.1: .* has no meter or triplex_meter 'line', it is a overhead_line"):
        _federate({**good, "meters": ["end", "line"]}, _context())
    (quoted := tmp_path / 'a "b" ä.glm').write_text(OWN)
    _federate({**good, "glm": str(quoted)}, _context())
    names = {port.name for port in _federate(good, _context()).ports()}
    assert names == {"head_voltage", "power", "home_power"}
