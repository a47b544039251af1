"""GridLAB-D models (GLM text) built from the published tables, with homes if wanted.

Every model carries the guards without which GridLAB-D is silently wrong (each one has a test that shows
what happens without it): rectangular complex numbers (`FORMATS`), a `metronome`, and `fault_check`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import numpy as np

from feeders.published_feeder import (
    PHASES,
    Complexes,
    Loads,
    PublishedFeeder,
    Regulators,
    with_lumped_distributed_loads,
)

#: To be set before a model is loaded. GridLAB-D writes complex numbers in polar form otherwise, and the
#: getters then take the angle in degrees for an imaginary part.
FORMATS: Mapping[str, str] = {
    "complex_output_format": "RECT",
    "complex_format": "%+.12lg%+.12lg%c",
    "double_format": "%+.12lg",
}

HEAD = "head"  #: the swing meter at the head of the feeder
WEATHER = "weather"  #: the climate object
SQRT3 = math.sqrt(3.0)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_LOAD_PROPERTY = {"PQ": "constant_power", "I": "constant_current", "Z": "constant_impedance"}


class GlmError(ValueError):
    """The model cannot be written: a name or a setting that GridLAB-D would misread."""


@dataclass(frozen=True)
class Clock:
    """When and how fast the model runs.

    `start` is local standard time without a zone, and the first time at which results are wanted. The
    model is in the zone UTC, so that GridLAB-D never shifts it, and begins `warm_up` earlier.
    """

    start: datetime
    duration: timedelta
    step: int  #: coupling interval [s]
    warm_up: timedelta = timedelta(0)

    @property
    def model_start(self) -> datetime:
        """When the model begins."""
        return self.start - self.warm_up

    def __post_init__(self) -> None:
        if self.start.tzinfo is not None:
            raise GlmError(f"the start must be local standard time without a zone, got {self.start}")
        if self.step < 1 or self.start.microsecond or self.warm_up.total_seconds() % self.step:
            raise GlmError(
                "GridLAB-D steps in whole seconds: give a start and a step in whole seconds, "
                "and a warm-up that is a multiple of the step"
            )


@dataclass(frozen=True)
class Site:
    """Where the sun is seen from."""

    latitude: float = 0.0  #: [deg], north positive
    longitude: float = 0.0  #: [deg], east positive
    utc_offset: float = 0.0  #: [h], local standard time minus UTC

    @property
    def solar_longitude(self) -> float:
        """Longitude from the local zone's meridian [deg], since the model's clock pretends to be UTC."""
        return self.longitude - 15.0 * self.utc_offset


@dataclass(frozen=True)
class Solver:
    """How the power flow is solved.

    Newton-Raphson is the default: `fault_check` works with nothing else, and it is faster than the sweep
    on a feeder with homes. A model for the sweep (FBS) has no `fault_check` and must open no switch.
    """

    method: Literal["NR", "FBS"] = "NR"
    voltage_error: float = 1e-4  #: largest change of a voltage between iterations [pu of nominal]
    regulators: Literal["published taps", "automatic"] = "published taps"


def node_name(node: str) -> str:
    """The GridLAB-D name of a published node; those begin with digits, which GLM refuses."""
    return valid_name("n_" + re.sub(r"\W", "_", node))


def valid_name(name: str) -> str:
    """`name`, if GLM takes it as one word; else GlmError."""
    if not _NAME.fullmatch(name):
        raise GlmError(
            f"'{name}' is not a name that GridLAB-D takes: use letters, digits and _, "
            "begin with a letter or _, at most 63 characters"
        )
    return name


def feeder_glm(
    feeder: PublishedFeeder,
    clock: Clock,
    *,
    site: Site | None = None,
    solver: Solver | None = None,
    extra: Iterable[str] = (),
) -> str:
    """The GLM text of `feeder`; `extra` are objects to put behind it, for example homes.

    Spot loads stand in objects `load_0`, `load_1`, ... in the order of the spot loads of the feeder
    after `with_lumped_distributed_loads`. Normally open switches are left out: they close loops, which
    the sweep cannot solve, and carry nothing.
    """
    solver = solver or Solver()
    feeder = with_lumped_distributed_loads(feeder)
    parts = [
        clock_text(clock),
        _modules(solver),
        _climate(site or Site()),
        *_nodes(feeder),
        *_lines(feeder),
        *_transformers(feeder),
        *_regulators(feeder, solver),
        *_switches(feeder),
        *_capacitors(feeder),
        *_loads(feeder),
        *extra,
        metronome(HEAD, clock.step),
        fault_check() if solver.method == "NR" else "",
    ]
    return "\n".join(parts) + "\n"


def metronome(swing: str, step: int) -> str:
    """A recorder that makes every multiple of `step` [s] one of the model's own event times.

    `step_to` a time that is not one corrupts the temperatures of houses.
    """
    return gridlabd_object(
        "recorder",
        {"parent": valid_name(swing), "property": "nominal_voltage", "interval": step, "file": '"/dev/null"'},
    )


def fault_check() -> str:
    """The object that takes a section behind an opened switch to 0 V.

    Without it voltages there explode or turn to NaN while every return code says success. Even with it a
    switch must stay open for two steps: closed again after one, its section stays dead.
    """
    return gridlabd_object(
        "fault_check",
        {
            "name": "fault_check_guard",
            "check_mode": "SWITCHING",
            "strictly_radial": "FALSE",
            "reliability_mode": "TRUE",
        },
    )


def load_values(loads: Loads, kv: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Complexes:
    """What GridLAB-D calls a load's value, per load and phase.

    Parameters
    ----------
    loads
        Loads with `power` [kVA] at nominal voltage.
    kv
        (loads,) nominal line-to-line voltage at each load [kV].

    Returns
    -------
    (loads, 3) power [VA] for model PQ, current [A] for I, impedance [ohm] for Z; 0 where no load is.

    Notes
    -----
    A constant current is given at nominal voltage and angle; GridLAB-D turns it with the voltage, so that
    its magnitude and power factor hold, as the published solutions assume.

    """
    nominal = nominal_phasors(loads.delta, kv)
    power = loads.power * 1e3
    some = power != 0
    current = np.conj(np.divide(power, nominal, out=np.zeros_like(power), where=some))
    impedance = np.divide(np.abs(nominal) ** 2, np.conj(power), out=np.zeros_like(power), where=some)
    model = np.array(loads.model)[:, None]
    value: Complexes = np.select([model == "PQ", model == "I"], [power, current], impedance)
    return value


def nominal_phasors(
    delta: np.ndarray[tuple[int], np.dtype[np.bool_]], kv: np.ndarray[tuple[int], np.dtype[np.float64]]
) -> Complexes:
    """(loads, 3) nominal voltage across each phase of a wye or delta load [V]."""
    wye = np.exp(-2j * np.pi / 3 * np.arange(3))
    across = np.where(delta[:, None], wye - np.roll(wye, -1), wye)
    phasors: Complexes = across * (kv[:, None] * 1e3 / SQRT3)
    return phasors


def clock_text(clock: Clock) -> str:
    """The global settings and the clock that every model needs when it is stepped from outside."""
    # The day after the end: who steps the model owns the clock.
    stop = clock.start + clock.duration + timedelta(days=1)
    return (
        # A seed of 0 would mix in the clock of the machine.
        "#set randomseed=1\n"
        "#set show_progress=FALSE\n"
        "#set iteration_limit=1000\n"
        f"#set minimum_timestep={clock.step}\n"
        "#set suppress_repeat_messages=1\n"
        f"clock {{\n  timezone UTC0;\n  starttime '{clock.model_start:%Y-%m-%d %H:%M:%S}';\n"
        f"  stoptime '{stop:%Y-%m-%d %H:%M:%S}';\n}}\n"
    )


def _modules(solver: Solver) -> str:
    return (
        # Thousands a day otherwise, of full batteries and voltages near the standard's edge.
        "#set warn=FALSE\n"
        "module tape;\nmodule climate;\nmodule generators;\n"
        "module residential { implicit_enduses NONE; }\n"
        f"module powerflow {{\n  solver_method {solver.method};\n  line_capacitance TRUE;\n"
        f"  default_maximum_voltage_error {_number(solver.voltage_error)};\n}}\n"
    )


def _climate(site: Site) -> str:
    # Without a file GridLAB-D computes the sun's position and the flux on each wall from what is set.
    return gridlabd_object(
        "climate",
        {
            "name": WEATHER,
            "latitude": site.latitude,
            "longitude": site.solar_longitude,
        },
    )


def _nodes(feeder: PublishedFeeder) -> Iterator[str]:
    nodes = feeder.nodes
    live = live_nodes(feeder)
    for name, phases, kv in zip(nodes.name, nodes.phases, nodes.kv, strict=True):
        if name not in live:
            continue
        volts = kv * 1e3 / SQRT3
        if name == feeder.source.node:
            start = feeder.source.voltage * volts
            yield gridlabd_object(
                "meter",
                {"name": HEAD, "bustype": "SWING", "phases": "ABCN", "nominal_voltage": volts}
                | {f"voltage_{p}": v for p, v in zip(PHASES, start, strict=True)},
            )
        else:
            yield gridlabd_object("node", {"name": node_name(name), "phases": phases + "N", "nominal_voltage": volts})


def live_nodes(feeder: PublishedFeeder) -> set[str]:
    """Nodes that are connected without a normally open switch; the others are dead stubs."""
    links = [
        *zip(feeder.lines.from_node, feeder.lines.to_node, strict=True),
        *zip(feeder.transformers.from_node, feeder.transformers.to_node, strict=True),
        *zip(feeder.regulators.from_node, feeder.regulators.to_node, strict=True),
        *(
            (a, b)
            for a, b, closed in zip(
                feeder.switches.from_node, feeder.switches.to_node, feeder.switches.closed, strict=True
            )
            if closed
        ),
    ]
    return {node for link in links for node in link}


def _end(feeder: PublishedFeeder, node: str) -> str:
    return HEAD if node == feeder.source.node else node_name(node)


def _lines(feeder: PublishedFeeder) -> Iterator[str]:
    table, lines = feeder.configurations, feeder.lines
    omega = 2 * math.pi * 60.0
    for name, phases, z, b in zip(table.name, table.phases, table.impedance, table.susceptance, strict=True):
        present = [PHASES.index(p) for p in phases]
        values: dict[str, object] = {"name": valid_name(f"configuration_{name}")}
        for i in present:
            for j in present:
                values[f"z{i + 1}{j + 1}"] = z[i, j]
                values[f"c{i + 1}{j + 1}"] = b[i, j] * 1e3 / omega  # uS/mile -> nF/mile
        yield gridlabd_object("line_configuration", values)
    for k, (a, b) in enumerate(zip(lines.from_node, lines.to_node, strict=True)):
        yield gridlabd_object(
            "underground_line" if lines.underground[k] else "overhead_line",
            {
                "name": valid_name(f"line_{k}"),
                "phases": lines.phases[k] + "N",
                "from": _end(feeder, a),
                "to": _end(feeder, b),
                "length": lines.length[k],
                "configuration": f"configuration_{lines.configuration[k]}",
            },
        )


def _transformers(feeder: PublishedFeeder) -> Iterator[str]:
    t = feeder.transformers
    connect = {"YY": ("WYE_WYE", "ABCN"), "DD": ("DELTA_DELTA", "ABC")}
    for k, name in enumerate(t.name):
        if t.connection[k] not in connect:
            raise GlmError(f"transformer {name}: connection {t.connection[k]} is none of {', '.join(connect)}")
        connection, phases = connect[t.connection[k]]
        yield gridlabd_object(
            "transformer_configuration",
            {
                "name": f"transformer_configuration_{k}",
                "connect_type": connection,
                "power_rating": t.rating[k],
                "primary_voltage": t.kv_high[k] * 1e3,
                "secondary_voltage": t.kv_low[k] * 1e3,
                "resistance": t.impedance[k].real,
                "reactance": t.impedance[k].imag,
            },
        )
        yield gridlabd_object(
            "transformer",
            {
                "name": f"transformer_{k}",
                "phases": phases,
                "from": _end(feeder, t.from_node[k]),
                "to": _end(feeder, t.to_node[k]),
                "configuration": f"transformer_configuration_{k}",
            },
        )


def _regulators(feeder: PublishedFeeder, solver: Solver) -> Iterator[str]:
    r = feeder.regulators
    for k in range(len(r.name)):
        values: dict[str, object] = {
            "name": f"regulator_configuration_{k}",
            "connect_type": "WYE_WYE",
            # Type A multiplies the voltage by 1 + 0.00625 tap, as the published solutions do.
            "Type": "A",
            "raise_taps": 16,
            "lower_taps": 16,
            "regulation": 16 * Regulators.STEP,
            "band_center": r.level[k],
            "band_width": r.bandwidth[k],
            "time_delay": 30.0,
            "current_transducer_ratio": r.ct_primary[k],
            "power_transducer_ratio": r.pt_ratio[k],
            "CT_phase": r.monitoring[k],
            "PT_phase": r.monitoring[k],
            "Control": "MANUAL" if solver.regulators == "published taps" else "LINE_DROP_COMP",
            "control_level": "BANK" if r.ganged[k] else "INDIVIDUAL",
        }
        for i, p in enumerate(PHASES):
            if p in r.phases[k]:
                values[f"tap_pos_{p}"] = int(r.tap[k, i])
                values[f"compensator_r_setting_{p}"] = r.compensator[k, i].real
                values[f"compensator_x_setting_{p}"] = r.compensator[k, i].imag
        yield gridlabd_object("regulator_configuration", values)
        yield gridlabd_object(
            "regulator",
            {
                "name": f"regulator_{k}",
                "phases": r.phases[k] + "N",
                "from": _end(feeder, r.from_node[k]),
                "to": _end(feeder, r.to_node[k]),
                "configuration": f"regulator_configuration_{k}",
            },
        )


def _switches(feeder: PublishedFeeder) -> Iterator[str]:
    s = feeder.switches
    for k in np.flatnonzero(s.closed):
        yield gridlabd_object(
            "switch",
            {
                "name": f"switch_{k}",
                "phases": s.phases[k] + "N",
                "from": _end(feeder, s.from_node[k]),
                "to": _end(feeder, s.to_node[k]),
                "status": "CLOSED",
            },
        )


def _capacitors(feeder: PublishedFeeder) -> Iterator[str]:
    volts = dict(zip(feeder.nodes.name, feeder.nodes.kv * 1e3 / SQRT3, strict=True))
    for k, (node, kvar) in enumerate(zip(feeder.capacitors.node, feeder.capacitors.reactive, strict=True)):
        phases = "".join(p for p, q in zip(PHASES, kvar, strict=True) if q) + "N"
        values: dict[str, object] = {
            "name": f"capacitor_{k}",
            "parent": _end(feeder, node),
            "phases": phases,
            "phases_connected": phases,
            "nominal_voltage": volts[node],
            "cap_nominal_voltage": volts[node],
            "control": "MANUAL",
        }
        for p, q in zip(PHASES, kvar, strict=True):
            if q:
                values |= {f"capacitor_{p}": q * 1e3, f"switch{p}": "CLOSED"}
        yield gridlabd_object("capacitor", values)


def _loads(feeder: PublishedFeeder) -> Iterator[str]:
    loads, nodes = feeder.spot_loads, feeder.nodes
    kv = nodes.kv[[nodes.name.index(n) for n in loads.node]]
    for k, values in enumerate(load_values(loads, kv)):
        if not values.any():
            continue
        used = "".join(sorted({q for p in np.flatnonzero(values) for q in _phases_of(int(p), bool(loads.delta[k]))}))
        yield gridlabd_object(
            "load",
            {
                "name": load_name(k),
                "parent": _end(feeder, loads.node[k]),
                "phases": used + ("D" if loads.delta[k] else "N"),
                "nominal_voltage": kv[k] * 1e3 / SQRT3,
            }
            | {f"{load_property(loads.model[k])}_{PHASES[p]}": values[p] for p in np.flatnonzero(values)},
        )


def load_name(k: int) -> str:
    """The name of the k-th spot load's object."""
    return f"load_{k}"


def load_property(model: str) -> str:
    """The stem of GridLAB-D's load property for a model of the tables ("PQ", "I" or "Z")."""
    return _LOAD_PROPERTY[model]


def _phases_of(p: int, delta: bool) -> str:
    return PHASES[p] + PHASES[(p + 1) % 3] if delta else PHASES[p]


def gridlabd_object(kind: str, values: Mapping[str, object]) -> str:
    """One GLM object; raises GlmError if a value cannot be written."""
    return f"object {kind} {{\n" + "".join(f"  {k} {_value(v)};\n" for k, v in values.items()) + "}\n"


def _value(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, int | np.integer):
        return str(int(value))
    if isinstance(value, complex | np.complexfloating):
        number = complex(value)
        return f"{_number(number.real)}{'' if number.imag < 0 else '+'}{_number(number.imag)}j"
    if isinstance(value, float | np.floating) or (isinstance(value, np.ndarray) and value.ndim == 0):
        return _number(float(value))
    raise GlmError(f"a value of type {type(value).__name__} cannot be written to GLM")


def _number(value: float) -> str:
    if not math.isfinite(value):
        raise GlmError(f"a value is not a finite number: {value}")
    return format(value, ".12g")
