"""The event window's share of the wiring: which federates it adds, what they are told, how they are linked.

The dynamics of the grid work in the window only; a feeder of the window follows its feeder of the day at the day's
step outside. Between them stands the hand-over (kind event_window): it gives each feeder the voltage of its bus, the
day's or the dynamics', and holds the powers on both sides of the boundary against each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import gcd
from typing import Any

from cosim.contract import Time
from cosim.errors import ConfigError, Fault
from cosim.event_window import SHORTEST_STEP, EventWindow
from cosim.federation import Federation, LinkSpec, PortReference, StandIn
from cosim.model import Model
from cosim.perturbations import Perturbation
from cosim.registry import unknown
from cosim.scenario import Feeder, Scenario
from cosim.settings import Settings
from cosim.units import NANOSECONDS, format_duration
from cosim.wiring_parts import Part, Wish
from cosim.yaml_places import Location

DYNAMICS = "dynamics"  #: the federate of the transmission grid's dynamics
WINDOW = "window"  #: the hand-over
PLACE: Location = ("event_window",)
LONGEST_STEP = NANOSECONDS["s"]  #: of a day in which disturbances of a window can act as well

#: What of a device class of the day's feeder the feeder of the window says whether it may run.
_RETURNED = {"hvac_in_service": "thermostat"}

#: Of the device classes of the day's feeder, those that can trip in the window, and the input that makes them.
_TRIPPED_IN_WINDOW = {"thermostat": "hvac_available", "home": "home_available"}


def window_name(feeder: str) -> str:
    """The name of the federate that stands for a feeder in the window."""
    return f"{feeder}_window"


def place_of(feeder: Feeder) -> str:
    """The label of the place where a feeder hangs: its bus, or without a transmission grid its own name."""
    return feeder.bus if feeder.bus is not None else feeder.name


def followed(scenario: Scenario) -> dict[str, int]:
    """The feeders that the window follows, by name, each with the position of its entry there."""
    window = scenario.event_window
    found: dict[str, int] = {}
    for position, entry in enumerate(() if window is None else window.feeders):
        for number, feeder in scenario.single_feeders():
            if entry.name in (feeder.name, scenario.feeders[number].name):
                found.setdefault(feeder.name, position)
    return found


def stand_in(scenario: Scenario, part: Part) -> StandIn | None:
    """Whose place a federate takes in the window, if it is the feeder of one."""
    window = scenario.event_window
    feeder = next((feeder for feeder in followed(scenario) if window_name(feeder) == part.name), None)
    if window is None or feeder is None:
        return None
    opening = window.opening(scenario.horizon.start)
    return StandIn.model_validate({"federate": feeder, "opening": f"{opening} ns"})


def beside_the_day(scenario: Scenario, parts: Mapping[str, Part]) -> Iterator[tuple[str, str]]:
    """What feeders of the window have and those of the day do not: the federate, and a sentence."""
    for feeder in followed(scenario):
        own = parts.get(window_name(feeder))
        groups = [] if own is None else [group.name for group in getattr(own.config, "der", ())]
        if own is not None and groups:
            yield (
                own.name,
                f"DER of `der` ({', '.join(groups)}) are not in '{feeder}' of the day: its voltages, taps and readings "
                "are without them; the power that the transmission grid sees is with them, all day.",
            )


def window_sections(scenario: Scenario) -> Iterator[tuple[str, Location, Model]]:
    """Every federate that the window adds: its name, place and model. The feeders of the day must be known before."""
    window = scenario.event_window
    if window is None:
        return
    if window.transmission is not None:
        yield DYNAMICS, (*PLACE, "transmission"), window.transmission
    for name, position in followed(scenario).items():
        yield window_name(name), (*PLACE, "feeders", position, "model"), window.feeders[position].model
    yield WINDOW, PLACE, Model(kind="event_window")


def window_step(scenario: Scenario, name: str) -> Time | None:
    """The base step of a federate that the window adds; None for those of the day."""
    own = {section for section, _, _ in window_sections(scenario)}
    return scenario.base_step if name in own or (own and name == "perturbations") else None


def window_host(scenario: Scenario, name: str, parts: Mapping[str, Part]) -> str | None:
    """The federate in whose process the federate `name` is to run; None if it has no say in that.

    Who steps with a window takes turns with its dynamics within milliseconds: two processes could never work at the
    same time there, and each turn would cost a way through HELICS.
    """
    with_window = window_step(scenario, name) is not None
    return DYNAMICS if with_window and DYNAMICS in parts and parts[DYNAMICS].federate.needs_process else None


def check_disturbance(scenario: Scenario, item: Perturbation, *, in_window: bool) -> None:
    """Hold a perturbation, its times counted from the scenario's start, against the window. Raises ConfigError."""
    window = scenario.event_window
    if window is None or not in_window:
        if item.window_only and scenario.horizon.step > LONGEST_STEP:
            problem = "acts at the steps of an event window, the day's are too long for it."
            raise ConfigError("kind", problem, "Put it under `event_window.disturbances`.")
        if item.window_only:
            _check_on_steps(item, 0, scenario.horizon.step, "the run's step", "horizon.step")
        return
    opens = window.opening(scenario.horizon.start)
    close = opens + window.duration
    _check_on_steps(item, opens, window.step, "the window's step", "event_window.step")
    onset, changes = getattr(item, "time", None), item.changes() or ()
    if onset is not None and onset >= close:
        problem = f"sets in when the window has closed, {format_duration(window.duration)} after its opening."
        raise ConfigError("time", problem, "Choose an earlier time or a longer window.")
    if onset is not None and onset <= opens:
        problem = "sets in at the opening, before anything was seen undisturbed."
        raise ConfigError("time", problem, f"Let it set in {format_duration(window.step)} after the opening or later.")
    if item.window_only and not item.may_stay and getattr(item, "lasting", close) is None:
        raise ConfigError("lasting", "is missing: it must be over when the window closes.", "Say how long it lasts.")
    if item.window_only and any(change > close for change in changes):
        problem = "lasts until the window has closed, and the day's steps are too long for it."
        raise ConfigError("lasting", problem, "Shorten it, or lengthen the window.")
    if not item.returns_in_window and any(onset is not None and onset < change < close for change in changes):
        problem = "ends in the window, in which what has tripped is not connected again."
        raise ConfigError("lasting", problem, "Leave it out, or let it last beyond the window.")


def _check_on_steps(item: Perturbation, begin: Time, step: Time, whose: str, field: str) -> None:
    """Raise ConfigError where `item` sets in or ends between two steps: it would act at the later one, or not at all.

    Its `time` counts from `begin`. What is on the steps is on half of them, too.
    """
    for name, since in (("time", begin), ("lasting", 0)):
        value = getattr(item, name, None)
        if value is None or (value - since) % step == 0:
            continue
        below = (value - since) // step * step
        nearest = [format_duration(near) for near in (below, below + step) if near > 0 or name == "time"]
        problem = f"{format_duration(value - since)} is not a multiple of {whose} of {format_duration(step)}."
        finer = gcd(value - since, step)
        remedy = f"Write {' or '.join(nearest)}"
        remedy += f", or set {field} to {format_duration(finer)}." if finer >= SHORTEST_STEP else "."
        raise ConfigError(name, problem, remedy)


def check_window(scenario: Scenario, faults: list[Fault]) -> None:
    """Hold the window against the horizon and the feeders."""
    window, horizon = scenario.event_window, scenario.horizon
    if window is None:
        return
    at, end = window.opening(horizon.start), window.opening(horizon.start) + window.duration
    step = format_duration(horizon.step)
    if at % horizon.step:
        problem = f"opens {format_duration(at)} after the start, which is not a multiple of the day's step of {step}."
        faults.append(Fault(scenario.place((*PLACE, "at")), problem, "Choose a time at which the day has a state."))
    elif at == 0 and window.transmission is not None and scenario.feeders:
        problem = "opens at the first step, at which the power flow has not met the feeders yet."
        faults.append(Fault(scenario.place((*PLACE, "at")), problem, "Open it a step later, or begin earlier."))
    elif end > horizon.duration:
        problem = f"the window closes {format_duration(end)} after the start, the run ends before."
        faults.append(Fault(scenario.place((*PLACE, "at")), problem, "Open it earlier or lengthen the horizon."))
    for name, value, whole in (("duration", window.duration, "steps"), ("step", horizon.step, "step")):
        if value % window.step:
            what = "the window" if whole == "steps" else "the day's step"
            problem = f"{what} must be a whole number of the window's steps, {format_duration(window.step)}."
            faults.append(Fault(scenario.place((*PLACE, name)), problem, "Change one of them."))
    for number, model in enumerate(window.disturbances):
        able = ("spot_load", *_TRIPPED_IN_WINDOW)
        for position, device in enumerate(model.settings.get("devices", ())):
            if device not in able:
                place = scenario.place((*PLACE, "disturbances", number, "devices", position))
                problem = f"'{device}' cannot trip in the window, in which homes are held at their power."
                faults.append(Fault(place, problem, f"Name {' or '.join(able)}, or let it trip in `perturbations`."))
    known = {feeder.name for feeder in scenario.feeders} | {f.name for _, f in scenario.single_feeders()}
    seen: set[str] = set()
    for position, entry in enumerate(window.feeders):
        place = scenario.place((*PLACE, "feeders", position, "name"))
        if entry.name not in known:
            faults.append(Fault(place, f"{unknown('feeder', entry.name, sorted(known))}."))
        elif entry.name in seen:
            faults.append(Fault(place, f"feeder '{entry.name}' is there twice.", "Name each once."))
        seen.add(entry.name)
    if window.transmission is not None and scenario.transmission is None:
        problem = "needs the day's transmission grid, at whose state it opens."
        faults.append(Fault(scenario.place((*PLACE, "transmission")), problem, "Add `transmission`."))
    if not window.feeders and window.transmission is None:
        problem = "has neither `transmission` nor `feeders`."
        faults.append(Fault(scenario.place(PLACE), problem, "Add what is to be followed in it."))
    if scenario.coupling.mode == "iterated" and window.feeders:
        problem = "`iterated` cannot be had with an event window: its feeders step at other times."
        faults.append(Fault(scenario.place(("coupling", "mode")), problem, "Use `mode: loose`."))
    if window.sources == "sun" and scenario.weather is None:
        faults.append(Fault(scenario.place((*PLACE, "sources")), "there is no sun.", "Add `weather`."))


def window_knowledge(
    scenario: Scenario, name: str, fields: Mapping[str, Any], parts: Mapping[str, Part]
) -> dict[str, Any]:
    """What the wiring fills into the settings of the federate `name` that the window adds."""
    window = scenario.event_window
    if window is None:
        return {}
    times = window.times(scenario.horizon.start, scenario.horizon.step).model_dump(mode="json")
    if name == WINDOW:
        return {"times": times, **_hand_over(scenario, window)}
    known: dict[str, Any] = dict(times)
    if name == DYNAMICS:
        known["feeder_buses"] = _buses(scenario)
        return known | ({} if "grid" in fields else {"from_day": True})
    of_window = {window_name(feeder): feeder for feeder in followed(scenario)}
    if name in of_window and of_window[name] in parts:
        known |= parts[of_window[name]].federate.window_settings() or {}
    return known if window.der_response else known | {"der_response": False}


def check_followed(scenario: Scenario, parts: Mapping[str, Part], faults: list[Fault]) -> None:
    """What stands for a feeder in the window must be that feeder: the same network, the same homes."""
    for feeder, position in followed(scenario).items():
        day, own = parts.get(feeder), parts.get(window_name(feeder))
        if day is None or own is None:
            continue
        known = day.federate.window_settings()
        if known is None:
            place = scenario.place((*PLACE, "feeders", position, "name"))
            problem = f"'{feeder}' cannot be followed in an event window: no model of its kind stands for it there."
            remedy = "Leave it out, so that it keeps its power in the window, or give it a published feeder."
            faults.append(Fault(place, problem, remedy))
            continue
        for name, value in known.items():
            if name in type(own.config).model_fields and not _same(own.config, name, value):
                problem = f"differs from '{feeder}' of the day, which it stands for."
                place = scenario.place((*PLACE, "feeders", position, "model", name))
                faults.append(Fault(place, problem, "Leave it out: it is taken from the feeder of the day."))


def _same(config: Settings, name: str, value: Any) -> bool:
    """Whether a setting holds what it would if it were given as `value`."""
    return bool(getattr(config, name) == getattr(config.update(**{name: value}), name))


def der_responding(scenario: Scenario, federation: Federation) -> bool:
    """Whether a wired scenario has a window with DER that respond, and that can be held."""
    own = {window_name(feeder) for feeder in followed(scenario)}
    settings = [spec.settings for spec in federation.federates if spec.name in own]
    return any(one.get("der_response") and (one.get("der") or any(one.get("home_pv_rating", ()))) for one in settings)


def _buses(scenario: Scenario) -> list[str]:
    return sorted({str(feeder.bus) for _, feeder in scenario.single_feeders() if feeder.bus is not None})


def _hand_over(scenario: Scenario, window: EventWindow) -> dict[str, Any]:
    places = sorted({place_of(feeder) for _, feeder in scenario.single_feeders()})
    return {
        "buses": places,
        "day": scenario.transmission is not None,
        "dynamics": window.transmission is not None and bool(places),
        "sun": window.sources == "sun",
        "mean_mismatch": window.mean_mismatch,
    }


def window_links(scenario: Scenario, parts: Mapping[str, Part]) -> list[Wish]:
    """All links of the federates that the window adds, beside inputs that take common outputs of the same name."""
    window = scenario.event_window
    if window is None or WINDOW not in parts:
        return []
    return [*_opening_links(parts), *_grid_links(scenario, window, parts), *_feeder_links(scenario, window, parts)]


def _wish(source: str, destination: str, location: Location = PLACE, **more: Any) -> Wish:
    ends = PortReference.parse(source), PortReference.parse(destination)
    return Wish(LinkSpec(source=ends[0], destination=ends[1], **more), location)


def _opening_links(parts: Mapping[str, Part]) -> Iterator[Wish]:
    """The day's state at the opening."""
    if DYNAMICS in parts:
        for port, of_day in (("opening_voltage", "voltage"), ("opening_generation", "generation")):
            if parts[DYNAMICS].port(port, "in") is not None:
                yield _wish(f"transmission.{of_day}", f"{DYNAMICS}.{port}", (*PLACE, "transmission"))


def _grid_links(scenario: Scenario, window: EventWindow, parts: Mapping[str, Part]) -> Iterator[Wish]:
    """Voltages and frequencies into the hand-over, powers into it and into the dynamics."""
    names = followed(scenario)
    buses = _buses(scenario)
    for bus in buses if scenario.transmission is not None else ():
        yield _wish(f"transmission.voltage[{bus}]", f"{WINDOW}.day_voltage[{bus}]")
    if DYNAMICS not in parts:
        return
    for bus in buses:
        seen = "coi_frequency" if window.frequency == "machines" else f"frequency[{bus}]"
        yield _wish(f"{DYNAMICS}.voltage[{bus}]", f"{WINDOW}.voltage[{bus}]", late=True)
        yield _wish(f"{DYNAMICS}.{seen}", f"{WINDOW}.grid_frequency[{bus}]", late=True)
        yield _wish(f"{DYNAMICS}.feeder_power[{bus}]", f"{WINDOW}.grid_power[{bus}]", late=True)
    for _, feeder in scenario.single_feeders():
        source = window_name(feeder.name) if feeder.name in names else feeder.name
        for destination in (f"{DYNAMICS}.feeder_load", f"{WINDOW}.feeder_load") if feeder.bus is not None else ():
            yield _wish(f"{source}.power", f"{destination}[{feeder.bus}]", gain=feeder.multiplier, lagged=True)


def _feeder_links(scenario: Scenario, window: EventWindow, parts: Mapping[str, Part]) -> Iterator[Wish]:
    """The head's voltage and frequency, the state of the day's feeder, and what is out back to the day."""
    names = followed(scenario)
    for _, feeder in scenario.single_feeders():
        if feeder.name not in names:
            continue
        own = parts[window_name(feeder.name)]
        bus = place_of(feeder)
        for port, given in (("head_voltage", "head_voltage"), ("frequency", "head_frequency")):
            if own.port(port, "in") is not None:
                yield _wish(f"{WINDOW}.{given}[{bus}]", f"{own.name}.{port}", own.location)
        of_day = parts[feeder.name]
        for wanted in own.ports:
            given_port = of_day.port(wanted.name, "out")
            if wanted.direction == "in" and given_port is not None:
                yield _wish(f"{of_day.name}.{wanted.name}", f"{own.name}.{wanted.name}", own.location)
        groups = own.port("der_available", "in")
        if window.sources == "sun" and groups is not None:
            for group in groups.coordinates["group"]:
                yield _wish(f"{WINDOW}.sun", f"{own.name}.der_available[{group}]", own.location)
        yield from _returns(parts, of_day, own)


def _returns(parts: Mapping[str, Part], of_day: Part, own: Part) -> Iterator[Wish]:
    """What tripped in the window is out in the day.

    Where perturbations act on the same devices, both sides count half: a device runs above 0.5, so if both allow it.
    """
    devices = of_day.port("device_available", "in")
    if devices is None:
        return
    disturbed = "perturbations" in parts and parts["perturbations"].port(f"{of_day.name}.device_available", "out")
    for port, device in _RETURNED.items():
        if own.port(port, "out") is not None and device in devices.coordinates.get("device_class", ()):
            gain = 0.5 if disturbed else 1.0
            destination = f"{of_day.name}.device_available[{device}]"
            yield _wish(f"{own.name}.{port}", destination, own.location, gain=gain, lagged=True)


def shared_device_links(scenario: Scenario, parts: Mapping[str, Part], source: PortReference) -> list[Wish] | None:
    """The links of a perturbed `device_available` of a feeder that the window follows; None: it is not such a one."""
    federate, _, port = source.port.partition(".")
    own = parts.get(window_name(federate))
    if port != "device_available" or federate not in followed(scenario) or own is None:
        return None
    devices = parts[federate].port(port, "in")
    labels = () if devices is None else devices.coordinates["device_class"]
    wishes = []
    for label in labels:
        half = any(device == label and own.port(back, "out") is not None for back, device in _RETURNED.items())
        text = f"{source.federate}.{source.port}[{label}]"
        destination = f"{federate}.{port}[{label}]"
        wishes.append(_wish(text, destination, ("perturbations",), gain=0.5 if half else 1.0))
    for label, port in _TRIPPED_IN_WINDOW.items():
        if label in labels and own.port(port, "in") is not None:
            wishes.append(_wish(f"{source.federate}.{source.port}[{label}]", f"{own.name}.{port}", ("perturbations",)))
    return wishes
