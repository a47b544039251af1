"""A GridLAB-D model that somebody else wrote, stepped with the guards of the generated ones."""

from __future__ import annotations

import cmath
import difflib
import math
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from feeders.glm import Clock, GlmError, Site, clock_text, fault_check, gridlabd_object
from feeders.glm_players import in_standard_time, look_at, to_standard
from feeders.glm_reader import READERS, WRITERS, GlmObject, edited, read_glm
from feeders.gridlabd_engine import Engine, PowerFlowError, check_model
from feeders.head_voltage import HeadVoltageError, is_dead
from feeders.neighbourhood import PLAUSIBLE, Weather, climate_properties
from feeders.own_sun import sun_edits
from feeders.published_feeder import PHASES

Complexes = NDArray[np.complex128]

METERS = ("meter", "triplex_meter")
#: What may be the swing. A node is made a meter, which is a node that measures; a substation measures by itself.
HEADS = ("meter", "node", "substation")
#: The modules of GridLAB-D 6.0.0 as its Python package brings them.
MODULES = (
    *("assert", "climate", "commercial", "connection", "generators", "optimize", "powerflow", "reliability"),
    *("residential", "tape"),
)
#: Classes whose energy goes on changing while their meter is out of service.
STORES = ("battery", "energy_storage", "evcharger", "evcharger_det")
_SWITCHES = ("switch", "fuse", "recloser", "sectionalizer")
_PHASE_PAIRS = tuple(zip(PHASES, (0.0, -120.0, 120.0), strict=True))  # [deg]


class OwnModelError(GlmError):
    """The model and the settings do not fit; `setting` is the one to change, or the model."""

    def __init__(self, setting: str, problem: str, remedy: str = "Correct the model.") -> None:
        self.setting, self.remedy = setting, remedy
        super().__init__(problem)


class OwnPlan:
    """The model as it was read, checked against what is asked of it; no engine yet."""

    def __init__(
        self, path: Path, swing: str, climate: str, meters: Sequence[str], files: Sequence[Path] | None = None
    ) -> None:
        """Read the model; `files`, if given, are those that it names, in turn.

        Raises
        ------
        OwnModelError
            If a file that it names is missing, a module of it does not exist, or a named object is not there or cannot
            be what it is named for.

        """
        try:
            self.model = read_glm(path, files)
        except GlmError as error:
            raise OwnModelError("glm", str(error)) from None
        self.swing, self.climate, self.meters = swing, climate, tuple(meters)
        strange = [name for name in self.model.modules if name not in MODULES]
        if strange:
            raise OwnModelError("glm", f"{path}: GridLAB-D 6 has no module '{strange[0]}', only {', '.join(MODULES)}")
        self.head = self._find_head(swing)
        if climate:
            self._find(climate, ("climate",), "climate")
        for number, name in enumerate(meters):
            self._find(name, METERS, f"meters.{number}")
        self._check_switching()
        self._check_zones()

    def _find(self, name: str, kinds: Sequence[str], setting: str, among: Iterable[str] = ()) -> GlmObject:
        """The object of that name and one of those classes; it is `among` those named, if any are."""
        found = self.model.named(name)
        if found is not None and found.kind in kinds:
            return found
        known = sorted(among or {item.name for item in self.model.of(*kinds) if item.name})
        near = difflib.get_close_matches(name, known, n=3) or known[:5]
        problem = f"{self.model.path} has no {' or '.join(kinds)} '{name}'{f', it is a {found.kind}' if found else ''}"
        more = f", of {len(known)} in all" if len(known) > len(near) else ""
        raise OwnModelError(setting, problem, f"Use one of: {', '.join(near)}{more}." if near else "It has none.")

    def _find_head(self, name: str) -> GlmObject:
        """The swing. Raises OwnModelError if it is none, or is not the only one."""
        path = self.model.path
        swings = [item for item in self.model.objects if _first_word(item.properties.get("bustype", "")) == "SWING"]
        names = [item.name or f"{item.kind} without a name" for item in swings]
        if not swings:
            raise OwnModelError("swing", f"{path} has no object with `bustype SWING`", "Give it one.")
        fitting = [item.name for item in swings if item.kind in HEADS and item.name]
        if not fitting:
            problem = f"{path}: its swing is a {swings[0].kind} ({names[0]}), which cannot be the head of a feeder"
            raise OwnModelError("glm", problem, "Take a meter, node or substation of three phases, with a name.")
        found = self._find(name, HEADS, "swing", fitting)
        if found not in swings:
            raise OwnModelError("swing", f"{path}: '{name}' is not its swing", f"Use one of: {', '.join(names)}.")
        if len(swings) > 1:
            raise OwnModelError(
                "glm",
                f"{path} has {len(swings)} swing nodes ({', '.join(names[:5])}): only the power of one would be seen, "
                "and only its voltage would follow",
                "Make the others PQ, or each a model of its own.",
            )
        return found

    @property
    def newton(self) -> bool:
        """Whether the power flow is Newton-Raphson; GridLAB-D's own default is the sweep."""
        return self.model.modules.get("powerflow", {}).get("solver_method", "FBS").upper() == "NR"

    def operated_switches(self) -> list[GlmObject]:
        """Switches and the like that something in the model may open or close."""
        players = self.model.of("player", "shaper")
        driven = {item.parent for item in players} | {item.outer.name for item in players if item.outer is not None}
        chance = bool(self.model.of("eventgen"))
        found = []
        for item in self.model.of(*_SWITCHES):
            states = {v.upper() for k, v in item.properties.items() if k == "status" or k.endswith("_state")}
            blows = item.kind == "fuse" and "current_limit" in item.properties
            if chance or blows or item.name in driven or states - {"OPEN", "CLOSED"}:
                found.append(item)
        return found

    def _check_switching(self) -> None:
        """The sweep keeps the voltages behind a switch that opened, and says nothing. Raises OwnModelError."""
        operated = [item for item in self.operated_switches() if item.kind != "fuse"]
        if operated and not self.newton:
            one = operated[0]
            raise OwnModelError(
                "glm",
                f"{self.model.place(one.line)}: {one.kind} '{one.name}' is operated, and the sweep (FBS) keeps the "
                "voltage behind what is open",
                "Use `solver_method NR`.",
            )

    def _check_zones(self) -> None:
        """Times with a zone need one of the model's clock. Raises OwnModelError."""
        for item in self.played():
            zone = look_at(Path(item.properties["file"])).zone
            try:
                known = to_standard(self.model.clock.get("timezone", "")) if zone else {"": timedelta(0)}
            except GlmError as error:
                raise OwnModelError("glm", f"{item.properties['file']}: zone '{zone}', and {error}") from None
            if zone not in known:
                problem = f"{item.properties['file']}: the model's clock knows no zone '{zone}'"
                raise OwnModelError("glm", problem, f"It knows {', '.join(known)}.")

    def played(self) -> list[GlmObject]:
        """The objects that play a file."""
        return [item for item in self.model.of("player", "shaper") if Path(item.properties.get("file", "")).is_file()]

    def guard(self) -> str:
        """The object that takes a section behind an opened switch to 0 V, where one may be opened.

        It ends every model with a closed switch of a single phase ("attempt to restore something that was never
        faulted"); such a model goes without, and a voltage that is none ends the run.
        """
        single = [
            item
            for item in self.model.of("switch", "recloser", "sectionalizer")
            if len(set(item.properties.get("phases", "ABC").upper()) & set("ABC")) == 1
        ]
        wanted = self.newton and self.operated_switches() and not single and not self.model.of("fault_check")
        return fault_check() if wanted else ""

    def left_out(self, clock: Clock) -> Iterator[str]:
        """What of the model and the scenario do not reach each other, a sentence each."""
        model, name = self.model, self.model.path.name
        climates = model.of("climate")
        feeling = [f"{kind} objects ({len(found)})" for kind in ("house", "solar") if (found := model.of(kind))]
        if climates and not self.climate:
            which = ", ".join(item.name or "without a name" for item in climates)
            yield f"{name}: the scenario's weather does not reach its climate {which}, as `climate` is not given"
        if feeling and not climates:
            yield f"{name}: no weather reaches its {' and '.join(feeling)}, as it has no climate object"
        loads = len(model.of("load", "triplex_load", "pqload", "ZIPload"))
        if loads:
            yield f"{name}: its loads ({loads}) are as it has them; a demand's `load_scale` does not reach them"
        if model.of("house"):
            yield f"{name}: its houses do not hear perturbations of devices, nor requests of demand response"
        if model.clock:
            zone = f", {model.clock['timezone']}" if "timezone" in model.clock else ""
            yield f"{name}: its clock{zone}; the scenario's is taken, without daylight saving"
        for item in self.played():
            path = Path(item.properties["file"])
            times, file = look_at(path), path.name
            if times.first is None or times.last is None or item.properties.get("loop", "0") not in ("0", ""):
                continue
            if times.last < clock.start:
                yield f"{name}: the rows of {file} end before the scenario's start, at {times.last}; the last holds"
            if times.first > clock.start + clock.duration:
                yield f"{name}: the rows of {file} begin after the scenario's end, at {times.first}"
        for item in climates if self.climate else ():
            if weather := item.properties.get("tmyfile"):
                yield f"{name}: the weather file '{weather}' of its climate object; the scenario's weather is taken"
        asserts = self.asserts()
        if asserts:
            yield f"{name}: its assert objects ({len(asserts)}), as their values hold for one time and voltage"
        for item in model.of("player", "shaper"):
            if self.head in (model.named(item.parent), item.outer) and "voltage" in item.properties.get("property", ""):
                what = f"the {item.kind} {item.name or item.properties.get('file', '')} of its swing"
                yield f"{name}: {what} and the scenario both set its voltage; the last to write wins"

    def asserts(self) -> list[GlmObject]:
        """Objects that end the simulation where a value is not as written."""
        return [item for item in self.model.objects if item.kind.endswith("assert")]

    def outputs(self) -> list[str]:
        """The files that the model writes, as they are named in the run's folder."""
        return [new for item, name in self._written() if (new := _inside(item.properties[name]))]

    def text(self, clock: Clock, site: Site | None, folder: Path) -> str:
        """The model with the scenario's clock, place and the guards; its lines keep their numbers.

        What it plays with zones in its times is written to `folder` anew, in local standard time. Raises GlmError.
        """
        moved = {id(item): self._played_here(item, folder / f"played_{n}") for n, item in enumerate(self.played())}
        edits = [(*item.spans[name], f'"{moved.get(id(item), item.properties[name])}"') for item, name in self._read()]
        for item, name in self._written():
            if new := _inside(item.properties[name]):
                edits.append((*item.spans[name], f'"{new}"'))
        for item in self.asserts():
            end = self.model.text.find(";", item.end)
            end = end + 1 if end >= 0 and not self.model.text[item.end : end].strip() else item.end
            edits.append((item.start, end, "\n" * self.model.text.count("\n", item.start, end)))
        edits += self._head_as_meter() if self.head.kind == "node" else ()
        edits += sun_edits(self.model, site) if site is not None else ()
        tick = {"parent": f'"{self.swing}"', "property": "nominal_voltage", "interval": clock.step}
        return "\n".join(
            [
                edited(self.model.text, _outermost(edits)),
                clock_text(clock),
                "module tape;",
                gridlabd_object("recorder", tick | {"file": '"/dev/null"'}),
                self.guard(),
            ]
        )

    def _played_here(self, item: GlmObject, place: Path) -> str:
        """The file that an object plays, in local standard time."""
        path = Path(item.properties["file"])
        if not look_at(path).zone:
            return str(path)
        lines = in_standard_time(path, self.model.clock["timezone"])
        place.write_text("".join(lines), "utf-8", errors="surrogateescape")
        return str(place)

    def _head_as_meter(self) -> Iterator[tuple[int, int, str]]:
        """The edits that make the swing, a node, a meter; others may refer to it by class and number."""
        head = self.head
        yield head.start, self.model.text.index("node", head.start) + 4, "object meter"
        if head.label:
            for item in self.model.objects:
                for name, value in item.properties.items():
                    if value == f"node:{head.label}":
                        yield *item.spans[name], f"meter:{head.label}"

    def _read(self) -> list[tuple[GlmObject, str]]:
        return [(item, n) for item in self.model.objects for n in READERS.get(item.kind, ()) if n in item.properties]

    def _written(self) -> list[tuple[GlmObject, str]]:
        return [(item, n) for item in self.model.objects for n in WRITERS.get(item.kind, ()) if n in item.properties]


def _outermost(edits: list[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    """Those that stand in no other."""
    found: list[tuple[int, int, str]] = []
    for edit in sorted(edits, key=lambda one: (one[0], -one[1])):
        if not found or edit[0] >= found[-1][1]:
            found.append(edit)
    return found


def _first_word(text: str) -> str:
    return text.split()[0].upper() if text.strip() else ""


def _inside(written: str) -> str:
    """The path in the working folder for what a model writes; "" for what is no file."""
    kind, _, name = written.rpartition(":")
    parts = [part for part in PurePosixPath(name.replace("\\", "/")).parts if part not in ("/", "..", ".")]
    if name.startswith("/dev/") or not parts or kind not in ("", "file", "csv", "txt"):
        return ""
    return (f"{kind}:" if kind else "") + "/".join(parts)


class OwnModel:
    """The model in GridLAB-D."""

    def __init__(self, plan: OwnPlan, clock: Clock, site: Site | None, folder: Path) -> None:
        """Load the model at `site`, if it is known. What it writes goes to the working folder.

        Raises
        ------
        EngineError
            If GridLAB-D refuses the model, with its own `file(line)` message.

        """
        self.plan, self.clock, self.meters = plan, clock, plan.meters
        text, place = plan.text(clock, site, folder.absolute()), plan.model.place
        check_model(text, folder, place)
        for output in plan.outputs():
            Path(output.rpartition(":")[2]).parent.mkdir(parents=True, exist_ok=True)
        self.engine = Engine(text, folder, place)
        self._power = "distribution_power" if plan.head.kind == "substation" else "measured_power"
        self._source = self._source_voltage()
        self._head_voltage = 1.0
        self._dead = False
        self._controls = dict(
            zip(
                self.engine.names("regulator_configuration"),
                self.engine.read_word("regulator_configuration", "Control").tolist(),
                strict=True,
            )
        )
        self._climates = self.engine.names("climate")
        self._climate: dict[str, float] = {}
        self._next = clock.model_start + timedelta(seconds=clock.step)

    def _source_voltage(self) -> Complexes:
        """(3,) voltage of the swing [V]; a phase that states none has the nominal one, as GridLAB-D gives it."""
        swing = self.plan.swing
        nominal = self.engine.read(swing, "nominal_voltage").real
        phases = self.plan.head.properties.get("phases", "ABCN").upper()
        voltage = np.array([self.engine.read(swing, f"voltage_{p}") for p in PHASES], dtype=np.complex128)
        for k, (phase, angle) in enumerate(_PHASE_PAIRS):
            if voltage[k] == 0 and (phase in phases or "D" in phases):
                voltage[k] = cmath.rect(nominal, math.radians(angle))
                self.engine.write(swing, f"voltage_{phase}", complex(voltage[k]))
        return voltage

    def step(
        self, moment: datetime, head_voltage: float, weather: Weather | None
    ) -> tuple[Complexes, NDArray[np.float64]]:
        """Advance to `moment`.

        Returns
        -------
        (3,) power into the swing [MVA], (meters,) power at each named meter [kW].

        Raises
        ------
        EngineError
            If the power flow fails or a voltage is not plausible.
        HeadVoltageError
            If the head is neither dead nor in service, or dead where the model has storage.

        """
        self._write(head_voltage, weather)
        return self._advance(moment)

    def open(
        self, moment: datetime, head_voltage: float, weather: Weather | None
    ) -> tuple[Complexes, NDArray[np.float64]]:
        """Go through half of the warm-up before `moment`; as `step` there.

        The other half is left to `step`: regulators settle at the voltage that the head then has.
        """
        self._write(head_voltage, weather)
        return self._advance(moment - self.clock.warm_up / 2)

    def _write(self, head_voltage: float, weather: Weather | None) -> None:
        """Tell GridLAB-D what has changed."""
        swing = self.plan.swing
        dead = is_dead(head_voltage)
        if dead != self._dead:
            self._darken(dead)
        if head_voltage != self._head_voltage and not dead:
            for p, volts in zip(PHASES, self._source * head_voltage, strict=True):
                self.engine.write(swing, f"voltage_{p}", complex(volts))
            self._head_voltage = head_voltage
        if weather is not None:
            for name, value in climate_properties(weather).items():
                if self._climate.get(name) != value:
                    for climate in self._climates:
                        self.engine.write(climate, name, value)
                    self._climate[name] = value

    def _advance(self, moment: datetime) -> tuple[Complexes, NDArray[np.float64]]:
        """Step to `moment` and read."""
        swing = self.plan.swing
        while self._next <= moment:
            self.engine.step_to(self._next)
            self._next += timedelta(seconds=self.clock.step)
        self._check_voltages()
        if self._dead:
            return np.zeros(3, dtype=np.complex128), np.zeros(len(self.meters))
        power = np.array([self.engine.read(swing, f"{self._power}_{p}") for p in PHASES], dtype=np.complex128)
        meters = np.array([self.engine.read(m, "measured_real_power").real for m in self.meters], dtype=np.float64)
        return power / 1e6, meters / 1e3

    def _darken(self, dead: bool) -> None:
        """Take the houses out of service behind a dead head, or put them back; no regulator moves meanwhile.

        GridLAB-D has no solution without a source: lines and loads, which remember nothing, keep theirs unseen.
        """
        model = self.plan.model
        if dead and (stores := model.of(*STORES)):
            raise HeadVoltageError(
                f"the head is dead, and GridLAB-D's {stores[0].kind} '{stores[0].name}' at "
                f"{model.place(stores[0].line)} would go on charging: a model with storage cannot be followed through "
                "an outage of its head"
            )
        service = "OUT_OF_SERVICE" if dead else "IN_SERVICE"
        for kind in ("triplex_meter", "triplex_node"):
            for name in self.engine.names(kind):
                self.engine.write(name, "service_status", service)
        for name in self.engine.names("waterheater") if model.of("waterheater") else ():
            self.engine.write(name, "re_override", "OV_OFF" if dead else "OV_NORMAL")
        for name, control in self._controls.items():
            self.engine.write(name, "Control", "MANUAL" if dead else control)
        self._dead = dead

    def close(self) -> None:
        """Have what the model writes on the disk."""
        self.engine.flush()

    def _check_voltages(self) -> None:
        """No voltage may be NaN or far above nominal; 0 V is a phase that is absent or switched off."""
        for kind, ends in _VOLTAGES:
            nominal = self.engine.read_real(kind, "nominal_voltage")
            nominal[nominal == 0.0] = np.inf  # it states none: any finite voltage is plausible
            for end in ends if len(nominal) else "":
                relative = np.abs(self.engine.read_complex(kind, f"voltage_{end}")) / nominal
                wrong = np.flatnonzero(~(relative <= PLAUSIBLE[1]))
                if len(wrong):
                    names = self.engine.names(kind)
                    worst = ", ".join(f"{names[k]} {relative[k]:.3g} pu" for k in wrong[:5])
                    raise PowerFlowError(f"the power flow gives no plausible voltage of phase {end} at {worst}")


#: Classes with voltages, and the phases or legs of each.
_VOLTAGES = (
    *((kind, tuple(PHASES)) for kind in ("node", "meter", "load", "substation")),
    *((kind, ("1", "2")) for kind in ("triplex_node", "triplex_meter", "triplex_load")),
)
