"""The published feeders in OpenDSS (DSS C-API), without homes: a power flow that may be repeated.

The circuit is built from the same tables as the GridLAB-D model, command by command: `Compile` would
change the process's working folder. Each feeder has an engine (a DSS context) of its own.

What is set away from OpenDSS's defaults: the source has next to no impedance (the published solutions
start at the head), loads keep their model at any voltage (`vminpu`, `vmaxpu`; by default they turn into
impedances outside 0.95 to 1.05 pu), and regulators multiply the voltage by 1 + 0.00625 tap.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from feeders.glm import live_nodes
from feeders.head_voltage import DEAD
from feeders.published_feeder import PHASES, Complexes, Floats, PublishedFeeder, with_lumped_distributed_loads

SQRT3 = math.sqrt(3.0)
Regulation = Literal["automatic", "published taps"]

_LOAD_MODEL = {"PQ": 1, "Z": 2, "I": 5}
_PLAUSIBLE = (0.5, 1.5)  #: [pu] a node voltage outside is no solution of a feeder in service
_TOLERANCE = 1e-9  #: [pu] largest change of a voltage in the last iteration


class OpenDssError(Exception):
    """OpenDSS refused the circuit or found no solution."""


@dataclass(frozen=True)
class FeederSolution:
    """A solved feeder."""

    power: Complexes  #: (3,) [MVA] into the feeder at its head, phases A, B, C
    voltage: Complexes  #: (node phases,) [pu] of the nominal line-to-neutral voltage
    losses: float  #: [MW] in lines, transformers, regulators, switches and capacitors
    load: float  #: [MW] drawn by the loads
    taps: NDArray[np.int64]  #: (regulator controls,) empty with published taps

    @property
    def balance(self) -> float:
        """Head - losses - loads [MW]."""
        return float(self.power.real.sum()) - self.losses - self.load


class OpenDssFeeder:
    """`feeder` in an OpenDSS engine.

    With `regulators="automatic"` the line-drop compensators act in each solve, from the taps handed to
    it; else the published taps stay. Raises OpenDssError if OpenDSS refuses the circuit.
    """

    def __init__(self, feeder: PublishedFeeder, regulators: Regulation = "published taps") -> None:
        import opendssdirect

        dss: Any = opendssdirect.dss.NewContext()
        self._dss = dss
        self._exception = opendssdirect.DSSException
        self.feeder = with_lumped_distributed_loads(feeder)
        self._automatic = regulators == "automatic"
        dss.Basic.AllowChangeDir(False)
        dss.Basic.AllowForms(False)
        for command in feeder_commands(self.feeder, regulators):
            self._command(command)
        self._command("Solve")
        self.node_phases = reported_node_phases(feeder)
        order = {name: position for position, name in enumerate(dss.Circuit.AllNodeNames())}
        split = [label.rsplit(".", 1) for label in self.node_phases]
        self._nodes = np.array([order[f"{node.lower()}.{PHASES.index(phase) + 1}"] for node, phase in split])
        kv = dict(zip(self.feeder.nodes.name, self.feeder.nodes.kv, strict=True))
        self._volts = np.array([kv[node] for node, _ in split]) * 1e3 / SQRT3
        source = self.feeder.source.voltage
        self._source = complex(source[0])
        if not np.allclose(source, source[0] * np.exp(-2j * np.pi / 3 * np.arange(3))):
            raise OpenDssError(f"the source of {feeder.name} must be balanced, is {source} pu")

    def published_taps(self) -> NDArray[np.int64]:
        """The taps that the first solve may start from, one for each control; empty if none act."""
        controls = regulator_controls(self.feeder) if self._automatic else ()
        return np.array([self.feeder.regulators.tap[k, i] for k, i in controls], dtype=np.int64)

    def solve(self, head_voltage: complex, load_scale: float, taps: NDArray[np.int64]) -> FeederSolution:
        """Solve with the head at `head_voltage` [pu] (positive sequence), all loads times `load_scale`.

        `taps` are those that automatic regulators start from. The result depends on nothing else: it is
        the same to the last bit whatever was solved before. A head without voltage is a dead feeder.
        Raises OpenDssError if there is no solution.
        """
        if abs(head_voltage) < DEAD:
            nothing = np.zeros(len(self.node_phases), dtype=np.complex128)
            return FeederSolution(np.zeros(3, dtype=np.complex128), nothing, 0.0, 0.0, taps)
        dss, voltage = self._dss, head_voltage * self._source
        dss.Vsources.Name("source")
        dss.Vsources.PU(abs(voltage))
        dss.Vsources.AngleDeg(math.degrees(math.atan2(voltage.imag, voltage.real)))
        dss.Solution.LoadMult(load_scale)
        for control, tap in enumerate(taps.tolist(), start=1):
            dss.RegControls.Idx(control)
            dss.RegControls.TapNumber(tap)
        # A mode that is set makes OpenDSS forget the last solution, and start from no load.
        dss.Solution.Mode(0)
        self._command("Solve")
        if not dss.Solution.Converged():
            raise OpenDssError(
                f"no solution in {dss.Solution.Iterations()} iterations with the head at {abs(voltage):.4g} pu and "
                f"loads times {load_scale:.4g}. The load is more than the feeder can carry, or the voltage is too low"
            )
        solution = self._read()
        magnitude = np.abs(solution.voltage)
        wrong = np.flatnonzero(~((magnitude >= _PLAUSIBLE[0]) & (magnitude <= _PLAUSIBLE[1])))
        if len(wrong):
            worst = ", ".join(f"{self.node_phases[k]} {magnitude[k]:.3g} pu" for k in wrong[:5])
            raise OpenDssError(
                f"voltages outside {_PLAUSIBLE[0]} to {_PLAUSIBLE[1]} pu at {len(wrong)} node phases ({worst}) with "
                f"the head at {abs(voltage):.4g} pu and loads times {load_scale:.4g}. Lower the load or raise the head"
            )
        return solution

    def _read(self) -> FeederSolution:
        dss = self._dss
        dss.Circuit.SetActiveElement("Vsource.source")
        entering = -np.array(dss.CktElement.Powers()[:6]).view(np.complex128) / 1e3
        volts = np.array(dss.Circuit.AllBusVolts()).view(np.complex128)
        taps = []
        if self._automatic:
            for control in range(1, dss.RegControls.Count() + 1):
                dss.RegControls.Idx(control)
                taps.append(int(dss.RegControls.TapNumber()))
        return FeederSolution(
            power=entering,
            voltage=(volts[self._nodes] / self._volts).astype(np.complex128),
            losses=float(dss.Circuit.Losses()[0]) / 1e6,
            load=self._load(),
            taps=np.array(taps, dtype=np.int64),
        )

    def _load(self) -> float:
        """What all loads draw [MW]."""
        dss = self._dss
        total, more = 0.0, dss.Loads.First()
        while more:
            total += sum(dss.CktElement.Powers()[0::2])
            more = dss.Loads.Next()
        return total / 1e3

    def _command(self, text: str) -> None:
        try:
            self._dss.Text.Command(text)
        except self._exception as error:
            raise OpenDssError(f"OpenDSS refused '{text}': {error}") from error


def reported_node_phases(feeder: PublishedFeeder) -> tuple[str, ...]:
    """Labels of the reported voltages, for example "671.A": nodes in service, with those of lumped loads."""
    lumped = with_lumped_distributed_loads(feeder)
    live = live_nodes(lumped)
    pairs = zip(lumped.nodes.name, lumped.nodes.phases, strict=True)
    return tuple(f"{name}.{phase}" for name, phases in pairs if name in live for phase in phases)


def regulator_labels(feeder: PublishedFeeder) -> tuple[str, ...]:
    """Labels of the regulator controls, for example "4.A"."""
    return tuple(f"{feeder.regulators.name[k]}.{PHASES[i]}" for k, i in regulator_controls(feeder))


def feeder_commands(feeder: PublishedFeeder, regulators: Regulation) -> Iterator[str]:
    """The OpenDSS commands that build `feeder`, whose distributed loads are lumped."""
    source = feeder.source
    tiny = "[1e-7, 1e-7]"
    yield "Clear"
    yield "Set DefaultBaseFrequency=60"
    yield (
        f"New Circuit.{_word(feeder.name)} bus1={_word(source.node)} phases=3 basekv={source.kv:.12g} pu=1 angle=0 "
        f"Z1={tiny} Z0={tiny}"
    )
    yield from _lines(feeder)
    yield from _transformers(feeder)
    yield from _regulators(feeder, regulators)
    yield from _switches(feeder)
    yield from _capacitors(feeder)
    yield from _loads(feeder)
    yield f"Set Tolerance={_TOLERANCE} MaxIterations=200 MaxControlIter=100"
    yield f"Set ControlMode={'static' if regulators == 'automatic' else 'off'}"


def _word(name: str) -> str:
    """`name`, if OpenDSS takes it as one word."""
    if not name.replace("-", "").replace("_", "").isalnum():
        raise OpenDssError(f"'{name}' is no name for OpenDSS: use letters, digits, - and _")
    return name


def _bus(node: str, phases: str) -> str:
    return _word(node) + "".join(f".{PHASES.index(phase) + 1}" for phase in phases)


def _matrix(matrix: Floats, phases: str) -> str:
    rows = [PHASES.index(phase) for phase in phases]
    return "[" + " | ".join(" ".join(f"{matrix[i, j]:.12g}" for j in rows) for i in rows) + "]"


def _lines(feeder: PublishedFeeder) -> Iterator[str]:
    table, lines = feeder.configurations, feeder.lines
    nanofarad = 1e3 / (2 * math.pi * 60.0)  # per microsiemens
    for name, phases, z, b in zip(table.name, table.phases, table.impedance, table.susceptance, strict=True):
        yield (
            f"New LineCode.c{_word(name)} nphases={len(phases)} basefreq=60 units=mi rmatrix={_matrix(z.real, phases)} "
            f"xmatrix={_matrix(z.imag, phases)} cmatrix={_matrix(b * nanofarad, phases)}"
        )
    for k, (a, b, phases) in enumerate(zip(lines.from_node, lines.to_node, lines.phases, strict=True)):
        yield (
            f"New Line.l{k} phases={len(phases)} bus1={_bus(a, phases)} bus2={_bus(b, phases)} "
            f"linecode=c{lines.configuration[k]} length={lines.length[k]:.12g} units=ft"
        )


def _transformers(feeder: PublishedFeeder) -> Iterator[str]:
    t = feeder.transformers
    connect = {"Y": "wye", "D": "delta"}
    for k in range(len(t.name)):
        high, low = (connect[letter] for letter in t.connection[k])
        resistance, reactance = 100 * t.impedance[k].real, 100 * t.impedance[k].imag
        yield (
            f"New Transformer.t{k} phases=3 windings=2 xhl={reactance:.12g} %Rs=[{resistance / 2:.12g}, "
            f"{resistance / 2:.12g}] buses=[{_bus(t.from_node[k], PHASES)}, {_bus(t.to_node[k], PHASES)}] "
            f"conns=[{high}, {low}] kVs=[{t.kv_high[k]:.12g}, {t.kv_low[k]:.12g}] kVAs=[{t.rating[k]:.12g}, "
            f"{t.rating[k]:.12g}]"
        )


def regulator_controls(feeder: PublishedFeeder) -> Iterator[tuple[int, int]]:
    """Regulator and phase of each control: one per phase, one for a ganged regulator's monitored phase."""
    r = feeder.regulators
    for k in range(len(r.name)):
        for phase in r.monitoring[k] if r.ganged[k] else r.phases[k]:
            yield k, PHASES.index(phase)


def _regulators(feeder: PublishedFeeder, regulators: Regulation) -> Iterator[str]:
    r = feeder.regulators
    kv = dict(zip(feeder.nodes.name, feeder.nodes.kv, strict=True))
    # next to no impedance and no losses, as in the published solutions
    ideal = "xhl=0.001 %Rs=[1e-6, 1e-6] ppm_antifloat=0 conns=[wye, wye]"
    for k in range(len(r.name)):
        for phases in (r.phases[k],) if r.ganged[k] else r.phases[k]:
            first = PHASES.index(phases[0])
            volts = kv[r.from_node[k]] / (1 if len(phases) > 1 else SQRT3)
            ends = f"[{_bus(r.from_node[k], phases)}, {_bus(r.to_node[k], phases)}]"
            yield (
                f"New Transformer.r{k}{phases} phases={len(phases)} windings=2 {ideal} "
                f"buses={ends} kVs=[{volts:.12g}, {volts:.12g}] "
                f"kVAs=[5000, 5000] taps=[1, {1 + r.STEP * r.tap[k, first]:.12g}]"
            )
    if regulators == "published taps":
        return
    for k, i in regulator_controls(feeder):
        transformer = f"r{k}{r.phases[k] if r.ganged[k] else PHASES[i]}"
        monitored = f" ptphase={r.phases[k].index(PHASES[i]) + 1}" if r.ganged[k] else ""
        yield (
            f"New RegControl.r{k}{PHASES[i]} transformer={transformer} winding=2 vreg={r.level[k]:.12g} "
            f"band={r.bandwidth[k]:.12g} ptratio={r.pt_ratio[k]:.12g} ctprim={r.ct_primary[k]:.12g} "
            f"R={r.compensator[k, i].real:.12g} X={r.compensator[k, i].imag:.12g}{monitored}"
        )


def _switches(feeder: PublishedFeeder) -> Iterator[str]:
    s = feeder.switches
    for k in np.flatnonzero(s.closed):
        phases = s.phases[k]
        yield (
            f"New Line.s{k} phases={len(phases)} bus1={_bus(s.from_node[k], phases)} bus2={_bus(s.to_node[k], phases)} "
            "r1=1e-6 r0=1e-6 x1=0 x0=0 c1=0 c0=0 length=1 units=none"
        )


def _capacitors(feeder: PublishedFeeder) -> Iterator[str]:
    kv = dict(zip(feeder.nodes.name, feeder.nodes.kv, strict=True))
    for k, (node, reactive) in enumerate(zip(feeder.capacitors.node, feeder.capacitors.reactive, strict=True)):
        for phase, kvar in zip(PHASES, reactive, strict=True):
            if kvar:
                yield (
                    f"New Capacitor.c{k}{phase} phases=1 bus1={_bus(node, phase)} kV={kv[node] / SQRT3:.12g} "
                    f"kvar={kvar:.12g}"
                )


def _loads(feeder: PublishedFeeder) -> Iterator[str]:
    loads = feeder.spot_loads
    kv = dict(zip(feeder.nodes.name, feeder.nodes.kv, strict=True))
    for k, (node, power) in enumerate(zip(loads.node, loads.power, strict=True)):
        for i in np.flatnonzero(power):
            phases = PHASES[i] + PHASES[(i + 1) % 3] if loads.delta[k] else PHASES[i]
            volts = kv[node] if loads.delta[k] else kv[node] / SQRT3
            yield (
                f"New Load.d{k}{PHASES[i]} phases=1 bus1={_bus(node, phases)} "
                f"conn={'delta' if loads.delta[k] else 'wye'} model={_LOAD_MODEL[loads.model[k]]} kV={volts:.12g} "
                f"kW={power[i].real:.12g} kvar={power[i].imag:.12g} vminpu=0.3 vmaxpu=2 vlowpu=0.2"
            )
