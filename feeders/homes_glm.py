"""Homes as GridLAB-D objects, on centre-tapped transformers of a published feeder.

Units are turned into GridLAB-D's own here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from feeders.glm import SQRT3, GlmError, Site, gridlabd_object, node_name, valid_name
from feeders.homes import INTEGRITY, PLUG_SHAPE, Homes, spread_evenly
from feeders.published_feeder import PHASES, PublishedFeeder
from feeders.water_tanks import lost_share, tanks_of
from solvers.home_heating import HEAT_PUMP, HEATING, NO_LOCKOUT
from solvers.house_population import INTEGRITY_LEVELS, WATT_PER_BTU_H

Floats = NDArray[np.float64]

SQUARE_FEET = 1 / 0.3048**2  #: per m2
GALLONS = 1 / 3.785411784  #: US gallons per L
RATINGS = (10, 15, 25, 37.5, 50, 75, 100, 167, 250, 333, 500)  #: standard single-phase sizes [kVA]


def fahrenheit(celsius: Floats | float) -> Floats:
    """[degC] to [degF]."""
    return np.asarray(celsius, dtype=np.float64) * 1.8 + 32.0


def celsius(fahrenheit: Floats | float) -> Floats:
    """[degF] to [degC]."""
    return (np.asarray(fahrenheit, dtype=np.float64) - 32.0) / 1.8


@dataclass(frozen=True)
class Placement:
    """Which homes stand on which transformer, and what they replace.

    A transformer stands at one node and phase, and takes the place of a part of one published spot load.
    """

    node: tuple[str, ...]  #: (transformers,)
    phase: NDArray[np.int64]  #: (transformers,) 0, 1, 2 for A, B, C
    rating: Floats  #: (transformers,) [kVA]
    transformer: NDArray[np.int64]  #: (homes,) the transformer of each home
    replaced: Floats  #: (spot loads, 3) share of each published spot load that homes replace


def place_homes(
    feeder: PublishedFeeder,
    count: int,
    *,
    per_transformer: int = 10,
    power_per_home: float = 4.0,
    nodes: Sequence[str] = (),
    kva_per_home: float = 7.5,
) -> Placement:
    """Put `count` homes in groups of at most `per_transformer` on the feeder.

    Candidates are the wye spot loads at the primary voltage (at `nodes`, if given), phase by phase, each
    with room for its power divided by `power_per_home` [kW] homes. Groups are spread evenly over them,
    first where a whole group has room. Where homes exceed the room, they are added nevertheless and the
    spot load there vanishes.

    Raises
    ------
    GlmError
        If a node does not exist or has no such spot load.

    """
    loads = feeder.spot_loads
    unknown = [n for n in nodes if n not in feeder.nodes.name]
    if unknown:
        raise GlmError(f"feeder {feeder.name} has no node {', '.join(unknown)}")
    primary = dict(zip(feeder.nodes.name, feeder.nodes.kv == feeder.source.kv, strict=True))
    fit = np.array([primary[n] and (not nodes or n in nodes) for n in loads.node]) & ~loads.delta
    room = np.floor(np.where(fit[:, None], loads.power.real, 0.0) / power_per_home + 1e-9).astype(np.int64)
    k, p = np.nonzero(room)
    if not len(k):
        raise GlmError(
            f"feeder {feeder.name} has no wye spot load of {power_per_home} kW or more to replace"
            + (f" at the nodes {', '.join(nodes)}" if nodes else "")
        )
    sizes = _group_sizes(room[k, p], count, per_transformer)
    used = np.flatnonzero(sizes)
    groups = [
        (slot, size)
        for slot in used
        for size in np.diff(np.linspace(0, sizes[slot], -(-sizes[slot] // per_transformer) + 1).round().astype(int))
    ]
    share = np.zeros(loads.power.shape)
    np.add.at(share, (k[used], p[used]), sizes[used] * power_per_home)
    share = np.minimum(np.divide(share, loads.power.real, out=np.zeros_like(share), where=loads.power.real > 0), 1.0)
    size = np.array([n for _, n in groups])
    return Placement(
        node=tuple(loads.node[k[slot]] for slot, _ in groups),
        phase=np.array([p[slot] for slot, _ in groups], dtype=np.int64),
        rating=np.array([_rating(n * kva_per_home) for n in size]),
        transformer=np.repeat(np.arange(len(groups)), size),
        replaced=share,
    )


def _group_sizes(room: NDArray[np.int64], count: int, per_transformer: int) -> NDArray[np.int64]:
    """Homes at each candidate: whole groups spread over those with most room, then the rest in turn."""
    sizes = np.zeros(len(room), dtype=np.int64)
    size = min(per_transformer, int(room.max()))
    whole = np.flatnonzero(room >= size)
    chosen = whole[spread_evenly(min(-(-count // size), len(whole)), len(whole))]
    for step in (size, 1):
        candidates = chosen if step == size else np.arange(len(room))
        while count > 0 and (sizes[candidates] + step <= room[candidates]).any():
            for c in candidates:
                if sizes[c] + step <= room[c] and count > 0:
                    sizes[c] += (added := min(step, count))
                    count -= added
        if count == 0:
            return sizes
    extra, rest = divmod(count, len(room))
    sizes += extra
    sizes[spread_evenly(rest, len(room))] += 1
    return sizes


def _rating(kva: float) -> float:
    return float(next((r for r in RATINGS if r >= kva), RATINGS[-1]))


def without_replaced(feeder: PublishedFeeder, placement: Placement) -> PublishedFeeder:
    """The feeder with the spot loads that the homes leave."""
    loads = feeder.spot_loads
    return replace(feeder, spot_loads=replace(loads, power=loads.power * (1 - placement.replaced)))


def home_objects(
    feeder: PublishedFeeder,
    homes: Homes,
    placement: Placement,
    site: Site,
    *,
    volt_var: bool = False,
    plugs_written: bool = False,
) -> Iterator[str]:
    """The GLM objects of all homes: transformers, services, houses and what is in them.

    With `volt_var` each PV inverter's reactive power is there to be written, see `_pv_reactive`; with `plugs_written`
    the power of each home's plugs is, in place of a schedule.
    """
    yield _schedule("plug_shape", PLUG_SHAPE)
    yield from _services(feeder, placement)
    lost = lost_share(tanks_of(homes)).tolist()
    for k in range(len(homes)):
        phase = PHASES[placement.phase[t := placement.transformer[k]]]
        yield from _home(homes, k, phase, int(t), site, plugs_written, lost[k])
        if volt_var and homes.pv_power[k] > 0:
            yield _pv_reactive(k, phase)


def home_object(kind: str, k: int) -> str:
    """The name of an object of the k-th home; padded, so that names sort in the order of homes."""
    return f"{kind}_{k:05d}"


def _schedule(name: str, shape: Sequence[float]) -> str:
    return f"schedule {name} {{\n" + "".join(f"  * {h} * * * {v};\n" for h, v in enumerate(shape)) + "}\n"


def _services(feeder: PublishedFeeder, placement: Placement) -> Iterator[str]:
    volts = dict(zip(feeder.nodes.name, feeder.nodes.kv * 1e3 / SQRT3, strict=True))
    kinds = {
        (float(r), int(p), volts[n]) for r, p, n in zip(placement.rating, placement.phase, placement.node, strict=True)
    }
    for rating, p, primary in sorted(kinds):
        # 1.2 % + j1.5 % is usual for residential transformers of this size (assumed).
        yield gridlabd_object(
            "transformer_configuration",
            {
                "name": _configuration(rating, p),
                "connect_type": "SINGLE_PHASE_CENTER_TAPPED",
                "install_type": "PADMOUNT",
                "primary_voltage": primary,
                "secondary_voltage": 120.0,
                "power_rating": rating,
                f"power{PHASES[p]}_rating": rating,
                "resistance": 0.012,
                "reactance": 0.015,
            },
        )
    # 1/0 aluminium triplex, as the PNNL taxonomy feeders have it.
    yield gridlabd_object(
        "triplex_line_conductor",
        {"name": "service_conductor", "resistance": 0.97, "geometric_mean_radius": 0.0111},
    )
    yield gridlabd_object(
        "triplex_line_configuration",
        {
            "name": "service_drop",
            **{f"conductor_{c}": "service_conductor" for c in "12N"},
            "insulation_thickness": 0.08,
            "diameter": 0.368,
        },
    )
    for t, (node, phase, rating) in enumerate(zip(placement.node, placement.phase, placement.rating, strict=True)):
        phases = f"{PHASES[phase]}S"
        yield gridlabd_object(
            "transformer",
            {
                "name": f"home_transformer_{t}",
                "phases": phases,
                "from": node_name(node),
                "to": f"service_{t}",
                "configuration": _configuration(float(rating), int(phase)),
            },
        )
        yield gridlabd_object("triplex_node", {"name": f"service_{t}", "phases": phases, "nominal_voltage": 120.0})


def _configuration(rating: float, phase: int) -> str:
    return valid_name(f"home_transformer_{rating:g}_kVA_{PHASES[phase]}".replace(".", "_"))


def _envelope(homes: Homes, k: int) -> dict[str, float]:
    """What differs from the level of thermal integrity and from GridLAB-D's defaults."""
    found: dict[str, float] = {}
    if (factor := float(homes.envelope[k])) != 1.0:
        roof, wall, floor, door, window, changes = INTEGRITY_LEVELS[homes.integrity[k]].tolist()
        found |= {"Rroof": roof / factor, "Rwall": wall / factor, "Rfloor": floor / factor, "Rdoors": door / factor}
        found |= {"Rwindows": 1 / (window * factor), "airchange_per_hour": changes * factor}
    if homes.thermal_mass[k] != 2.0:
        found["total_thermal_mass_per_floor_area"] = float(homes.thermal_mass[k])
    if homes.shading[k] != 1.0:
        found["window_exterior_transmission_coefficient"] = 0.6 * float(homes.shading[k])
    if homes.cooling_capacity[k] > 0 and homes.cooling[k]:
        found["design_cooling_capacity"] = float(homes.cooling_capacity[k]) * 1e3 / WATT_PER_BTU_H
    return found


def _heating(homes: Homes, k: int) -> dict[str, float | str]:
    """What heats the home."""
    found: dict[str, float | str] = {"heating_system_type": HEATING[homes.heating[k]]}
    if not homes.auxiliary[k]:
        found["auxiliary_system_type"] = "NONE"
    elif homes.auxiliary_lockout[k] > NO_LOCKOUT:
        found |= {"auxiliary_system_type": "ELECTRIC", "auxiliary_strategy": "DEADBAND|LOCKOUT"}
        found["aux_heat_temperature_lockout"] = float(fahrenheit(homes.auxiliary_lockout[k]))
    else:
        found |= {"auxiliary_system_type": "ELECTRIC", "auxiliary_strategy": "DEADBAND"}
    if homes.heating[k] == HEAT_PUMP:
        found["heating_COP"] = float(homes.heating_cop[k])
    return found


def _home(
    homes: Homes, k: int, phase: str, t: int, site: Site, plugs_written: bool, tank_share: float
) -> Iterator[str]:
    yield gridlabd_object(
        "triplex_line",
        {
            "name": home_object("service_line", k),
            "phases": f"{phase}S",
            "from": f"service_{t}",
            "to": home_object("meter", k),
            "length": 100.0,  # [ft] (assumed)
            "configuration": "service_drop",
        },
    )
    yield gridlabd_object(
        "triplex_meter", {"name": home_object("meter", k), "phases": f"{phase}S", "nominal_voltage": 120.0}
    )
    yield gridlabd_object(
        "house",
        {
            "name": home_object("house", k),
            "parent": home_object("meter", k),
            "floor_area": homes.floor_area[k] * SQUARE_FEET,
            "thermal_integrity_level": INTEGRITY[homes.integrity[k]],
            "cooling_system_type": "ELECTRIC" if homes.cooling[k] else "NONE",
            **_heating(homes, k),
            "cooling_COP": homes.cop[k],
            "over_sizing_factor": homes.oversizing[k],
            "cooling_setpoint": fahrenheit(homes.cooling_setpoint[k]),
            "heating_setpoint": fahrenheit(homes.heating_setpoint[k]),
            "thermostat_deadband": homes.deadband[k] * 1.8,
            "air_temperature": fahrenheit(homes.temperature[k]),
            "mass_temperature": fahrenheit(homes.temperature[k]),
            # An air conditioner's breaker must not trip in a heat wave only because it is drawn large.
            "hvac_breaker_rating": 200.0,
            **_envelope(homes, k),
        },
    )
    skew = int(homes.schedule_skew[k])
    yield gridlabd_object(
        "ZIPload",
        {
            "name": home_object("plug", k),
            "parent": home_object("house", k),
            "schedule_skew": skew,
            "base_power": 0.0 if plugs_written else f"plug_shape*{homes.plug_power[k]:.9g}",
            "heatgain_fraction": 0.9,
            "power_fraction": 0.4,
            "current_fraction": 0.3,
            "impedance_fraction": 0.3,
            "power_pf": 0.97,
            "current_pf": 0.97,
            "impedance_pf": 0.97,
        },
    )
    if homes.water_power[k] > 0:
        # Not `waterheater`: see `feeders/water_tanks.py`, whose tanks set the power of this element. Its share of the
        # heat comes into the home as it heats, in the mean of a day what the tank loses through its wall.
        yield gridlabd_object(
            "ZIPload",
            {
                "name": home_object("water_heater", k),
                "parent": home_object("house", k),
                "base_power": 0.0,
                "is_240": "TRUE",
                "breaker_val": 100.0,
                "heatgain_fraction": tank_share,
                "power_fraction": 0.0,
                "current_fraction": 0.0,
                "impedance_fraction": 1.0,
                "impedance_pf": 1.0,
            },
        )
    if homes.ev_power[k] > 0:
        # Not `evcharger_det`: it draws trips from GridLAB-D's own random numbers, warns of the minimum time
        # step that the metronome needs, stops a step late, and an arrival's energy cannot be given. The
        # sessions of `homes.charge` set the power of this load instead.
        yield gridlabd_object(
            "ZIPload",
            {
                "name": home_object("ev", k),
                "parent": home_object("house", k),
                "base_power": 0.0,
                "is_240": "TRUE",
                "breaker_val": 100.0,
                "heatgain_fraction": 0.0,
                "power_fraction": 1.0,
                "current_fraction": 0.0,
                "impedance_fraction": 0.0,
                "power_pf": 0.99,
            },
        )
    if homes.pv_power[k] > 0:
        yield from _solar(homes, k, phase, site)
    if homes.battery_power[k] > 0:
        yield _battery(k, phase)


def _solar(homes: Homes, k: int, phase: str, site: Site) -> Iterator[str]:
    equator = 180.0 if site.latitude >= 0 else 0.0
    westwards = homes.pv_azimuth[k] if site.latitude >= 0 else -homes.pv_azimuth[k]
    yield gridlabd_object(
        "inverter",
        {
            "name": home_object("pv_inverter", k),
            "parent": home_object("meter", k),
            "phases": f"{phase}S",
            "inverter_type": "FOUR_QUADRANT",
            "four_quadrant_control_mode": "CONSTANT_PF",
            "generator_mode": "CONSTANT_PF",
            "power_factor": 1.0,
            "rated_power": homes.pv_power[k] * 1e3,
            "inverter_efficiency": 0.96,
            "generator_status": "ONLINE",
        },
    )
    yield gridlabd_object(
        "solar",
        {
            "name": home_object("pv", k),
            "parent": home_object("pv_inverter", k),
            "panel_type": "SINGLE_CRYSTAL_SILICON",
            "rated_power": homes.pv_power[k] * 1e3,
            # The default model of the sun's position is wrong in the southern hemisphere.
            "SOLAR_TILT_MODEL": "SOLPOS",
            "latitude": site.latitude,
            "longitude": site.solar_longitude,
            "orientation": "FIXED_AXIS",
            "tilt_angle": homes.pv_tilt[k],
            "orientation_azimuth": (equator + westwards) % 360.0,
        },
    )


def _pv_reactive(k: int, phase: str) -> str:
    """The reactive part of a PV inverter.

    A load beside the inverter, which takes a reactive power only in CONSTANT_PQ, where it no longer follows
    its panels.
    """
    return gridlabd_object(
        "triplex_load",
        {
            "name": home_object("pv_reactive", k),
            "parent": home_object("meter", k),
            "phases": f"{phase}S",
            "nominal_voltage": 120.0,
        },
    )


def _battery(k: int, phase: str) -> str:
    """A battery with its inverter: a load, whose power is written; see `feeders/home_batteries.py`."""
    return gridlabd_object(
        "triplex_load",
        {
            "name": home_object("battery", k),
            "parent": home_object("meter", k),
            "phases": f"{phase}S",
            "nominal_voltage": 120.0,
        },
    )
