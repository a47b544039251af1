"""From scenario to federation: builds every federate, links their ports, orders them within a step.

All faults of a scenario are found here, before anything starts: names used twice, labels that do not exist,
units and shapes that do not fit, inputs without a source, cycles that nobody iterates.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from fnmatch import fnmatch
from graphlib import CycleError, TopologicalSorter
from typing import Any

import numpy as np
from pydantic import ValidationError

from cosim.balance import balance_faults
from cosim.contract import Context, Federate, Port, Time
from cosim.errors import ConfigError, Fault, ScenarioError, UnknownFactError
from cosim.federation import (
    MAIN_PROCESS,
    SLOT,
    FederateSpec,
    Federation,
    IterationGroup,
    LeftOut,
    LinkSpec,
    OrderSpec,
    PortReference,
    is_recorded,
)
from cosim.link_fit import joined_by_label, misfit, not_additive
from cosim.model import Model
from cosim.needs import needs_faults
from cosim.one_fact import contradictions, stated_by_operator, stated_elsewhere
from cosim.perturbations import Perturbation, perturbation_class
from cosim.registry import described, federate_class, unknown
from cosim.results import COUPLING, DISTURBING
from cosim.scenario import DEFAULT_KINDS, Feeder, Scenario, absolute_kind, faults_of
from cosim.site import Site
from cosim.stock_balance import stock_faults
from cosim.units import UNITS, format_duration
from cosim.untaken import check_recipients, untaken
from cosim.window_wiring import (
    PLACE,
    beside_the_day,
    check_disturbance,
    check_followed,
    check_window,
    followed,
    shared_device_links,
    stand_in,
    window_host,
    window_knowledge,
    window_links,
    window_name,
    window_sections,
    window_step,
)
from cosim.wiring_parts import KnownFacts, Part, Wish
from cosim.yaml_places import Location

MOST_BUILT = 100  #: federates that are kept for the next scenario, as each may hold a whole grid

#: Whose outputs an unlinked input of the same name takes, the first that has it.
COMMON_SOURCES = ("weather", "demand", "transmission", "dispatch")

#: Names that no federate of a scenario may have.
RESERVED = {
    DISTURBING: "what disturbs the grid",
    COUPLING: "the results' group of the boundary mismatch",
    MAIN_PROCESS: "the process that federates share",
}


def wire(scenario: Scenario, built: dict[str, Part] | None = None) -> Federation:
    """Expand a scenario. Raises ScenarioError with every fault that was found.

    Who wires many scenarios that have much in common gives the same `built` each time: federates that are equal are
    built once.
    """
    faults: list[Fault] = []
    _check_names(scenario, faults)
    check_window(scenario, faults)
    if faults:
        raise ScenarioError(faults)
    facts = KnownFacts()
    parts = _build(scenario, facts, faults, built)
    check_followed(scenario, parts, faults)
    for part in parts.values():
        _check_ports(scenario, part, faults)
    if faults:
        raise ScenarioError(faults)
    disturbance = _perturbations(scenario, parts, faults)
    if disturbance is not None:
        parts[disturbance.name] = disturbance
    wishes = [
        *_coupling_links(scenario, parts, faults),
        *_own_links(scenario, parts, faults),
        *window_links(scenario, parts),
        *_perturbation_links(scenario, parts),
    ]
    ends = (wish.link.destination for wish in wishes)
    wishes += _common_links(parts, {f"{end.federate}.{end.port}" for end in ends})
    links = [wish.link for wish in wishes if _check_link(scenario, parts, wish, faults)]
    _check_sums(scenario, parts, wishes, links, faults)
    _check_inputs(scenario, parts, {link.destination.federate + "." + link.destination.port for link in links}, faults)
    _check_steps(scenario, parts, faults)
    check_recipients(scenario, parts, faults)
    _check_exclude(scenario, parts, links, faults)
    if faults:
        raise ScenarioError(faults)
    slots, groups = _order(scenario, parts, links)
    specs = [
        FederateSpec(
            name=part.name,
            kind=part.kind,
            settings=part.config.model_dump(mode="json"),
            slot=slots[part.name],
            opening=slots.get(_opening_of(part.name)),
            group=next((number for number, group in enumerate(groups) if part.name in group.members), None),
            process=_process(scenario, part, parts),
            step=_step(scenario, part.name),
            stands_for=stand_in(scenario, part),
        )
        for part in parts.values()
    ]
    return Federation(
        scenario=scenario.name,
        seed=scenario.seed,
        start=scenario.horizon.start,
        duration=f"{scenario.horizon.duration} ns",  # type: ignore[arg-type]
        step=f"{scenario.base_step} ns",  # type: ignore[arg-type]
        federates=tuple(sorted(specs, key=lambda spec: (spec.slot, spec.name))),
        links=tuple(links),
        groups=tuple(groups),
        exclude=scenario.outputs.exclude,
        unlooked=tuple(_unlooked(scenario, parts, links)),
        chunk=None if scenario.outputs.chunk is None else f"{scenario.outputs.chunk} ns",  # type: ignore[arg-type]
        crash_safe=scenario.outputs.crash_safe,
        limits=scenario.limits.model_dump(mode="json"),  # type: ignore[arg-type]
        left_out=tuple(_left_out(scenario, parts, links)),
        orders=tuple(_orders(parts)),
        site=facts.first.get(Site),  # type: ignore[arg-type]
    )


def _orders(parts: Mapping[str, Part]) -> Iterator[OrderSpec]:
    """Who obeys whose orders, where nobody else can send any there."""
    for part in parts.values():
        for port in part.ports:
            sender, _, ordered = port.obeys.partition(".")
            given = parts[sender].port(ordered, "out") if sender in parts else None
            if port.obeys and given is not None and given.shape == port.shape:
                others = (other for name, other in parts.items() if name not in (part.name, sender))
                if not any(_may_send(other, part.name) for other in others):
                    obeying = PortReference(federate=part.name, port=port.name)
                    yield OrderSpec(obeying=obeying, ordered=PortReference(federate=sender, port=ordered))


def _may_send(part: Part, to: str) -> bool:
    """Whether an agent may send messages to the federate `to`: who does not name whom it sends to may to all."""
    unnamed = type(part.federate).recipients is Federate.recipients
    return part.federate.messaging == "agent" and (unnamed or to in part.federate.recipients())


def _left_out(scenario: Scenario, parts: Mapping[str, Part], links: Sequence[LinkSpec]) -> Iterator[LeftOut]:
    """What the scenario offers and nobody takes, then what its federates' files and settings hold and nobody uses.

    Each is said once, though several federates may read one file.
    """
    said: set[str] = set()
    disturbing = parts["perturbations"].left_out if "perturbations" in parts else ()
    for sentence in (*untaken(scenario, parts, links), *disturbing):
        yield LeftOut(what=sentence)
    for name, sentence in beside_the_day(scenario, parts):
        yield LeftOut(federate=name, what=sentence)
    for part in parts.values():
        new = [sentence for sentence in part.left_out if sentence not in {*said, *disturbing}]
        yield from (LeftOut(federate=part.name, what=sentence) for sentence in new)
        said.update(new)


def _step(scenario: Scenario, name: str) -> Any:
    """The base step of one federate where it differs from the federation's."""
    own = window_step(scenario, name)
    step = scenario.horizon.step if own is None else own
    return None if step == scenario.base_step else f"{step} ns"


def _process(scenario: Scenario, part: Part, parts: Mapping[str, Part]) -> str:
    """Where a federate runs; the carrier of the messages always in the main process, which holds the broker."""
    alone = scenario.placement == "separate" and part.federate.messaging != "carrier"
    if alone or part.federate.needs_process:
        return part.name
    host = window_host(scenario, part.name, parts) if scenario.placement == "shared" else None
    return host or MAIN_PROCESS


def _sections(scenario: Scenario) -> Iterable[tuple[str, Location, Model]]:
    """Every federate that the scenario names: its name, place and model."""
    for section in DEFAULT_KINDS:
        model = getattr(scenario, section)
        if model is not None:
            yield section, (section,), model
    for position, feeder in scenario.single_feeders():
        yield feeder.name, ("feeders", position, "model"), feeder.model
    for position, extra in enumerate(scenario.federates):
        yield extra.name, ("federates", position, "model"), extra.model
    yield from window_sections(scenario)


def _check_names(scenario: Scenario, faults: list[Fault]) -> None:
    seen: dict[str, Location] = {}
    for name, location, _ in _sections(scenario):
        place = (*location[:-1], "name") if len(location) > 1 else location
        if name in RESERVED:
            problem = f"the name '{name}' is kept for {RESERVED[name]}."
            faults.append(Fault(scenario.place(place), problem, "Choose another name."))
        elif name in seen:
            first = scenario.place(seen[name])
            faults.append(
                Fault(
                    scenario.place(place),
                    f"the name '{name}' is already used at {first}.",
                    "Choose another name.",
                )
            )
        seen.setdefault(name, place)


def _build(
    scenario: Scenario, facts: KnownFacts, faults: list[Fault], built: dict[str, Part] | None
) -> dict[str, Part]:
    """Build every federate, handing each what the scenario knows and its settings have a field for."""
    parts: dict[str, Part] = {}
    facts.learn(scenario.facts())
    known = _common_knowledge(scenario)
    of_window = {name for name, _, _ in window_sections(scenario)}
    for name, location, model in _sections(scenario):
        kind = absolute_kind(model.kind, scenario.folder)
        found = federate_class(kind)
        settings = model.settings
        fields = found.Config.model_fields
        elsewhere = stated_elsewhere(name, settings, fields, parts)
        shared = known | (_forecast_of_dispatch(scenario) if name == "demand" else {})
        if name in of_window:
            shared = window_knowledge(scenario, name, fields, parts)
        shared |= {key: other.value for key, other in elsewhere.items()} | facts.settings(found.Config)
        written = model.settings
        settings |= {key: value for key, value in shared.items() if key in fields and key not in settings}
        context = _context(scenario, name)
        same = json.dumps([kind, settings, str(scenario.folder), asdict(context)], sort_keys=True, default=str)
        if built is not None and same in built:
            parts[name] = replace(built[same], location=location)
            _learn(scenario, facts, parts[name], faults)
            faults += contradictions(scenario, parts[name], written, elsewhere)
            continue
        try:
            config = found.Config.model_validate(settings, context={"folder": scenario.folder})
            federate = found(config, context)
            ports, left_out = tuple(federate.ports()), tuple(federate.left_out())
            stocks, balances = tuple(federate.stocks()), tuple(federate.balances())
            parts[name] = Part(name, location, kind, federate.config, federate, ports, left_out, stocks, balances)
            if built is not None:
                if len(built) >= MOST_BUILT:
                    built.clear()
                built[same] = parts[name]
            _learn(scenario, facts, parts[name], faults)
            faults += contradictions(scenario, parts[name], written, elsewhere)
        except ValidationError as error:
            faults += faults_of(error, scenario.document, location)
        except UnknownFactError as error:
            if not faults:  # else one before it was to make the fact known
                faults.append(_config_fault(scenario, location, error))
        except ConfigError as error:
            faults.append(_config_fault(scenario, location, error))
        except (Exception, SystemExit) as error:  # a model's own code
            problem = f"federate '{name}' cannot be built: {described(error)}."
            faults.append(
                Fault(scenario.place(location), problem, "This is a fault of the model, not of the scenario.")
            )
    return parts


def _learn(scenario: Scenario, facts: KnownFacts, part: Part, faults: list[Fault]) -> None:
    """Make known what a built federate states; it may not contradict what was stated before."""
    for problem in facts.learn(part.federate.facts()):
        remedy = "State it once, or correct one of the two."
        faults.append(Fault(scenario.place(part.location), problem + ".", remedy))


def _check_ports(scenario: Scenario, part: Part, faults: list[Fault]) -> None:
    """Ports must be told apart, in known units, and recordable: one list of labels for each dimension."""
    labels: dict[str, Sequence[str]] = {}
    seen: set[tuple[str, str]] = set()
    dimensions = {dimension for port in part.ports if port.direction == "out" for dimension in port.coordinates}
    for port in part.ports:
        problem = ""
        if port.direction not in ("in", "out"):
            problem = f"must have the direction in or out, got {port.direction!r}"
        elif (port.name, port.direction) in seen:
            problem = "is there twice"
        elif port.unit not in UNITS:
            problem = f"has the unknown unit '{port.unit}'; units are: {', '.join(UNITS)}"
        elif any(low > high for low, high in (port.range or (0, 0), port.expected or (0, 0))):
            problem = "has a range whose lower end is above its upper"
        elif port.name == "time" or "time" in port.coordinates or port.name in {*port.coordinates, *dimensions}:
            problem = "must not be called time, nor like a dimension: results keep these names for coordinates"
        for dimension, names in port.coordinates.items():
            if len(set(names)) < len(names):
                problem = f"has a label twice on its dimension '{dimension}'"
            elif port.direction == "out" and list(labels.setdefault(dimension, names)) != list(names):
                problem = f"has other labels on its dimension '{dimension}' than an output before it"
        if problem:
            remedy = "This is a fault of the model, not of the scenario."
            faults.append(
                Fault(scenario.place(part.location), f"port '{port.name}' of '{part.name}' {problem}.", remedy)
            )
        seen.add((port.name, port.direction))
    stated = (
        *stock_faults(part.ports, part.stocks),
        *balance_faults(part.ports, part.balances),
        *needs_faults(part.ports),
    )
    for problem in stated:
        remedy = "This is a fault of the model, not of the scenario."
        faults.append(Fault(scenario.place(part.location), f"{problem} ('{part.name}').", remedy))


def _config_fault(scenario: Scenario, location: Location, error: ConfigError) -> Fault:
    path = tuple(int(part) if part.isdigit() else part for part in error.field.split(".") if part)
    if path[:1] == ("feeder_buses",):  # filled in by the wiring: point to what the author wrote
        named = (n for n, feeder in scenario.single_feeders() if f"'{feeder.bus}'" in error.problem)
        found = ((number, "buses" if scenario.feeders[number].buses else "bus") for number in named)
        location, path = ("feeders",), next(found, ())
    return Fault(scenario.place((*location, *path)), error.problem.rstrip(".") + ".", error.remedy)


def _context(scenario: Scenario, name: str) -> Context:
    horizon = scenario.horizon
    step = window_step(scenario, name) or horizon.step
    return Context(name, scenario.seed, horizon.start, horizon.duration, step)


def _common_knowledge(scenario: Scenario) -> dict[str, Any]:
    """What the wiring fills into settings that have a field of that name and do not give it."""
    attached = [feeder for _, feeder in scenario.single_feeders() if feeder.bus is not None]
    known: dict[str, Any] = {
        "feeder_buses": sorted({str(feeder.bus) for feeder in attached}),
        "feeders": [{"name": f.name, "bus": str(f.bus), "multiplier": f.multiplier} for f in attached],
    }
    classes = {
        name: federate_class(absolute_kind(model.kind, scenario.folder)) for name, _, model in _sections(scenario)
    }
    known["agents"] = sorted(name for name, found in classes.items() if found.messaging == "agent")
    if scenario.transmission is not None:
        known["setpoints_to"] = "transmission"
    if scenario.dispatch is not None:
        known["meter_to"] = known["telemetry_to"] = "dispatch"
        known |= stated_by_operator(scenario.dispatch.settings)
    return known


def _forecast_of_dispatch(scenario: Scenario) -> dict[str, Any]:
    """How far and how finely the demand has to be forecast: as the dispatch looks ahead."""
    written = {} if scenario.dispatch is None else scenario.dispatch.settings
    return {key: written[key] for key in ("interval", "lookahead") if key in written}


def _perturbations(scenario: Scenario, parts: Mapping[str, Part], faults: list[Fault]) -> Part | None:
    """The federate that carries out the scenario's perturbations; None if there are none."""
    inputs = {name: [port for port in part.ports if port.direction == "in"] for name, part in parts.items()}
    entries: list[dict[str, Any]] = []
    targets: dict[str, dict[str, Any]] = {}
    for location, model in scenario.disturbing():
        name = model.settings.get("name") or f"{model.kind}_{int(location[-1]) + 1}"
        if name in {entry["name"] for entry in entries}:
            faults.append(
                Fault(
                    scenario.place((*location, "name")),
                    f"the name '{name}' is already used.",
                    "Choose another.",
                )
            )
            continue
        context = {"folder": scenario.folder}
        item: Perturbation = perturbation_class(model.kind).model_validate(model.settings, context=context)
        try:
            item.check(scenario.horizon.duration)
            check_disturbance(scenario, item, in_window=location[0] == PLACE[0])
            found = item.targets(inputs)
        except ConfigError as error:
            faults.append(_config_fault(scenario, location, error))
            continue
        entries.append({"kind": model.kind, **item.model_dump(mode="json"), "name": name})
        for target in found:
            entry = targets.setdefault(
                target.key,
                {
                    "federate": target.federate,
                    "port": target.port.name,
                    "unit": target.port.unit,
                    "coordinates": {key: list(labels) for key, labels in target.port.coordinates.items()},
                    "is_complex": target.port.is_complex,
                    "initial": 0.0 if target.port.is_complex else np.asarray(target.port.initial, dtype=float).tolist(),
                    "perturbations": [],
                },
            )
            entry["perturbations"].append(name)
    if faults or not entries:
        return None
    kind = federate_class("perturbations")
    settings: dict[str, Any] = {"perturbations": entries, "targets": list(targets.values())}
    if scenario.event_window is not None:
        horizon = scenario.horizon
        times = scenario.event_window.times(horizon.start, horizon.step)
        settings["times"] = times.model_dump(mode="json")
    config = kind.Config.model_validate(settings)
    federate = kind(config, _context(scenario, "perturbations"))
    ports, unable = tuple(federate.ports()), tuple(federate.left_out())
    return Part("perturbations", ("perturbations",), "perturbations", config, federate, ports, unable)


def _coupling_links(scenario: Scenario, parts: Mapping[str, Part], faults: list[Fault]) -> list[Wish]:
    """Voltage down and power up, for each feeder at its bus."""
    wishes: list[Wish] = []
    if scenario.dispatch is not None and scenario.transmission is None:
        problem = "has no transmission grid to send its set-points to."
        faults.append(Fault(scenario.place(("dispatch",)), problem, "Add `transmission`."))
    iterated = scenario.coupling.mode == "iterated"
    feeders = scenario.single_feeders()
    able = [feeder.name for _, feeder in feeders if parts[feeder.name].federate.iterative]
    if iterated and not able:
        kinds = ", ".join(f"'{feeder.name}' ({feeder.model.kind})" for _, feeder in feeders) or "there are no feeders"
        place = scenario.place(("coupling", "mode"))
        faults.append(
            Fault(
                place,
                f"no feeder can repeat a step: {kinds}.",
                "Use `mode: loose`, or a feeder that iterates.",
            )
        )
    for position, feeder in feeders:
        location: Location = ("feeders", position, "bus")
        if scenario.transmission is None:
            if feeder.bus is not None:
                faults.append(
                    Fault(
                        scenario.place(location),
                        "there is no transmission grid with buses.",
                        "Add `transmission`.",
                    )
                )
        elif feeder.bus is None:
            faults.append(
                Fault(
                    scenario.place(location[:-1]),
                    "needs `bus`, as the scenario has a transmission grid.",
                    "Name one.",
                )
            )
        else:
            wishes += _boundary(scenario, feeder, location, lagged=not (iterated and feeder.name in able))
    return wishes


def _boundary(scenario: Scenario, feeder: Feeder, location: Location, *, lagged: bool) -> list[Wish]:
    """Its voltage down to it; its power up, which that of the event window gives where there is one."""
    bus = feeder.bus
    giver = window_name(feeder.name) if feeder.name in followed(scenario) else feeder.name
    voltage = LinkSpec(
        source=PortReference(federate="transmission", port="voltage", label=bus),
        destination=PortReference(federate=feeder.name, port="head_voltage"),
        tolerance=scenario.coupling.voltage_tolerance,
    )
    power = LinkSpec(
        source=PortReference(federate=giver, port="power"),
        destination=PortReference(federate="transmission", port="feeder_load", label=bus),
        gain=feeder.multiplier,
        lagged=lagged,
        tolerance=scenario.coupling.power_tolerance,
    )
    return [Wish(voltage, location), Wish(power, location)]


def _own_links(scenario: Scenario, parts: Mapping[str, Part], faults: list[Fault]) -> list[Wish]:
    wishes = []
    for position, link in enumerate(scenario.links):
        ends = {}
        for end in ("source", "destination"):
            try:
                ends[end] = PortReference.parse(getattr(link, end))
            except ValueError as error:
                faults.append(Fault(scenario.place(("links", position, end)), f"{error}."))
        if len(ends) == 2:
            spec = LinkSpec(
                source=ends["source"],
                destination=ends["destination"],
                gain=link.gain,
                lagged=link.lagged,
                tolerance=link.tolerance,
            )
            wishes += _joined(scenario, parts, Wish(spec, ("links", position)), link.by_label, faults)
    return wishes


def _joined(
    scenario: Scenario, parts: Mapping[str, Part], wish: Wish, by_label: bool, faults: list[Fault]
) -> list[Wish]:
    """The link itself, or where it joins by label one for each."""
    if not by_label:
        return [wish]
    ends = ((wish.link.source, "out"), (wish.link.destination, "in"))
    ports = [parts[end.federate].port(end.port, way) if end.federate in parts else None for end, way in ends]
    try:
        return [Wish(link, wish.location) for link in joined_by_label(wish.link, *ports)]
    except ValueError as error:
        faults.append(Fault(scenario.place((*wish.location, "by_label")), f"link {wish.link.key}: {error}."))
        return []


def _perturbation_links(scenario: Scenario, parts: Mapping[str, Part]) -> list[Wish]:
    if "perturbations" not in parts:
        return []
    wishes = []
    for port in parts["perturbations"].ports:
        federate, dot, target = port.name.partition(".")
        if dot:
            source = PortReference(federate="perturbations", port=port.name)
            shared = shared_device_links(scenario, parts, source)
            if shared is not None:
                wishes += shared
                continue
            link = LinkSpec(source=source, destination=PortReference(federate=federate, port=target))
            wishes.append(Wish(link, ("perturbations",)))
    return wishes


def _common_links(parts: Mapping[str, Part], linked: set[str]) -> list[Wish]:
    """Inputs of the same name as an output of weather, demand, transmission or dispatch take it."""
    wishes = []
    for part in parts.values():
        for port in part.ports:
            if port.direction == "out" or f"{part.name}.{port.name}" in linked:
                continue
            for source in COMMON_SOURCES:
                if source != part.name and source in parts and parts[source].port(port.name, "out") is not None:
                    link = LinkSpec(
                        source=PortReference(federate=source, port=port.name),
                        destination=PortReference(federate=part.name, port=port.name),
                    )
                    wishes.append(Wish(link, part.location))
                    break
    return wishes


def _check_link(scenario: Scenario, parts: Mapping[str, Part], wish: Wish, faults: list[Fault]) -> bool:
    """Hold both ends of a link against the ports that there are."""
    before = len(faults)
    ends: dict[str, Port] = {}
    for end, direction in (("source", "out"), ("destination", "in")):
        reference: PortReference = getattr(wish.link, end)
        location = (*wish.location, end) if wish.location[0] == "links" else wish.location
        place = scenario.place(location)
        part = parts.get(reference.federate)
        if part is None:
            faults.append(Fault(place, f"{unknown('federate', reference.federate, parts)}."))
            continue
        port = part.port(reference.port, direction)
        if port is None:
            names = [item.name for item in part.ports if item.direction == direction]
            faults.append(Fault(place, f"{unknown(f'{direction}put', reference.port, names, repr(part.name))}."))
            continue
        try:
            reference.index(port)
        except ValueError:
            dimension, labels = next(iter(port.coordinates.items()), ("label", ()))
            faults.append(Fault(place, f"{unknown(dimension, str(reference.label), labels, repr(part.name))}."))
            continue
        ends[end] = port
    if len(ends) == 2:
        problem = misfit(wish.link, ends["source"], ends["destination"])
        if problem:
            faults.append(Fault(scenario.place(wish.location), f"link {wish.link.key}: {problem}"))
    return len(faults) == before


def _check_sums(
    scenario: Scenario,
    parts: Mapping[str, Part],
    wishes: Sequence[Wish],
    links: Sequence[LinkSpec],
    faults: list[Fault],
) -> None:
    """What ends at one input must be able to add up there; the fault stands at the last link that the author wrote."""
    ending: dict[tuple[str, str], list[Wish]] = {}
    kept = {id(link) for link in links}
    for wish in wishes:
        if id(wish.link) in kept:
            ending.setdefault((wish.link.destination.federate, wish.link.destination.port), []).append(wish)
    for (federate, name), found in ending.items():
        port = parts[federate].port(name, "in")
        problem = "" if port is None else not_additive(port, [wish.link for wish in found])
        if problem:
            own = [wish.location for wish in found if wish.location[0] == "links"] or [found[-1].location]
            faults.append(Fault(scenario.place(own[-1]), f"{federate}.{name} {problem}"))


def _check_inputs(scenario: Scenario, parts: Mapping[str, Part], linked: set[str], faults: list[Fault]) -> None:
    """Inputs that need a source must have one; a federation needs one carrier for its agents."""
    if faults:
        return
    for part in parts.values():
        for port in part.ports:
            if port.direction == "in" and port.initial is None and f"{part.name}.{port.name}" not in linked:
                sources = [other.name for other in parts.values() if other.port(port.name, "out") is not None]
                remedy = (
                    f"Link it to one of: {', '.join(sources)}." if sources else "Add the section or link that gives it."
                )
                what = f"input '{port.name}' [{port.unit}] of '{part.name}' has no source."
                faults.append(Fault(scenario.place(part.location), what, remedy))
    carriers = [part.name for part in parts.values() if part.federate.messaging == "carrier"]
    if len(carriers) != 1:
        place = scenario.place(("communications",))
        faults.append(Fault(place, f"needs exactly one federate that carries messages, got {len(carriers)}."))


def _check_steps(scenario: Scenario, parts: Mapping[str, Part], faults: list[Fault]) -> None:
    """Every federate must step at multiples of the base step, as far as its first two times tell."""
    step = scenario.base_step
    for part in parts.values():
        for time in _first_times(part):
            if time is not None and time % step:
                faults.append(
                    Fault(
                        scenario.place(part.location),
                        f"'{part.name}' steps at {format_duration(time)}, which is not a multiple of the base step "
                        f"{format_duration(step)}.",
                        "Change its interval or `horizon.step`.",
                    )
                )
                break


def _check_exclude(
    scenario: Scenario, parts: Mapping[str, Part], links: Sequence[LinkSpec], faults: list[Fault]
) -> None:
    """A pattern of outputs not to record must name some, and none that the verdict needs."""
    outputs = [f"{part.name}.{port.name}" for part in parts.values() for port in part.ports if port.direction == "out"]
    boundary = {f"{link.source.federate}.{link.source.port}" for link in links if link.tolerance is not None}
    held = {f"{part.name}.{port.name}" for part in parts.values() for port in part.ports if _decides(port)}
    for position, pattern in enumerate(scenario.outputs.exclude):
        place = scenario.place(("outputs", "exclude", position))
        found = [output for output in outputs if fnmatch(output, pattern)]
        needed = sorted(boundary & set(found))
        of_twin = "perturbations" not in parts and fnmatch("perturbations", pattern.partition(".")[0])
        if needed:
            problem = f"leaves out {', '.join(needed)}, from which the boundary mismatch is computed."
            faults.append(Fault(place, problem, "Name outputs within the federates only."))
        elif held & set(found):
            problem = f"leaves out {', '.join(sorted(held & set(found)))}, from which the verdict is made."
            faults.append(Fault(place, problem, "Name outputs without a limit or a physical range only."))
        elif not found and not of_twin:
            faults.append(Fault(place, f"{unknown('output', pattern, outputs)}."))
        apart = [(energy, flow) for energy, flow in _stocks_without_flow(scenario, parts) if fnmatch(flow, pattern)]
        if apart:
            energy, flow = apart[0]
            further = f" (and {len(apart) - 1} more like it)" if len(apart) > 1 else ""
            problem = f"leaves out {flow}, without which {energy} cannot be held against what flowed{further}."
            faults.append(Fault(place, problem, f"Leave out {energy} too, or neither."))


def _stocks_without_flow(scenario: Scenario, parts: Mapping[str, Part]) -> Iterable[tuple[str, str]]:
    """Each recorded energy of a stock with each of its flows that is not to be recorded."""
    for part in parts.values():
        for stock in part.stocks:
            if is_recorded(f"{part.name}.{stock.energy}", scenario.outputs.exclude):
                flows = (f"{part.name}.{flow.output}" for flow in stock.flows)
                missing = (flow for flow in flows if not is_recorded(flow, scenario.outputs.exclude))
                yield from ((f"{part.name}.{stock.energy}", flow) for flow in missing)


def _decides(port: Port) -> bool:
    """Whether the verdict depends on the values of an output."""
    return port.direction == "out" and (port.limit is not None or port.range is not None)


def _unlooked(scenario: Scenario, parts: Mapping[str, Part], links: Sequence[LinkSpec]) -> Iterable[str]:
    """Outputs of which something is expected, such as a stock's balance, and that are not recorded."""
    read = {
        f"{link.source.federate}.{link.source.port}"
        for link in links
        if link.destination.port in _held_inputs(parts[link.destination.federate]) and link.tolerance is None
    }
    for part in parts.values():
        balanced = {term.port for balance in part.balances for term in balance.terms}
        for port in part.ports:
            output = f"{part.name}.{port.name}"
            held = port.expected is not None or any(stock.energy == port.name for stock in part.stocks)
            held = held or bool(port.needs or port.sun or port.foretells or port.name in balanced) or output in read
            if port.direction == "out" and held and not is_recorded(output, scenario.outputs.exclude):
                yield output


def _held_inputs(part: Part) -> set[str]:
    """The names that a federate's outputs are held against, its inputs among them."""
    terms = {term.port for balance in part.balances for term in balance.terms}
    return terms | {need.partition("[")[0] for port in part.ports for need in port.needs}


def _first_times(part: Part) -> tuple[Time | None, ...]:
    """The first two times at which a federate steps."""
    first = part.federate.next_time(-1)
    return first, part.federate.next_time(first) if first is not None else None


def _order(
    scenario: Scenario, parts: Mapping[str, Part], links: Sequence[LinkSpec]
) -> tuple[dict[str, int], list[IterationGroup]]:
    """Each federate's first slot, that of its opening if it has one, and the iterated groups.

    Raises ScenarioError for a cycle that nobody iterates.
    """
    before: dict[str, set[str]] = {name: set() for name in parts}
    for link in links:
        if not link.lagged:
            before[link.destination.federate].add(link.source.federate)
    cycles = _cycles(before)
    for cycle in cycles:
        stuck = [name for name in cycle if not parts[name].federate.iterative]
        if stuck:
            path = " -> ".join((*cycle, cycle[0]))
            link = next(
                i for i in links if i.destination.federate in cycle and i.source.federate in cycle and not i.lagged
            )
            own = next(
                (n for n, item in enumerate(scenario.links) if PortReference.parse(item.source) == link.source),
                None,
            )
            place = scenario.place(("links", own) if own is not None else ("links",))
            problem = f"the links form a cycle ({path}), and {', '.join(stuck)} cannot repeat a step."
            raise ScenarioError([Fault(place, problem, "Mark one link of the cycle `lagged: true`.")])
        _check_cycle(scenario, parts, cycle)
    of = {name: cycle[0] for cycle in cycles for name in cycle}
    units: dict[str, set[str]] = {}
    for name, sources in before.items():
        units.setdefault(of.get(name, name), set()).update(
            of.get(s, s) for s in sources if of.get(s, s) != of.get(name, name)
        )
    ends = ((link.source.federate, link.destination.federate) for link in links if link.lagged)
    lagged = {(of.get(source, source), of.get(destination, destination)) for source, destination in ends}
    carriers = {name for name, part in parts.items() if part.federate.messaging == "carrier"}
    needed = carriers.union(*(_reachable(name, units) for name in carriers))
    for name, sources in units.items():
        if name not in needed:  # what disturbs the carrier comes before it
            sources |= carriers
    _add_openings(parts, links, before, units, of)
    members = {cycle[0]: cycle for cycle in cycles}
    rounds = scenario.coupling.max_rounds + 1
    slots: dict[str, int] = {}
    groups: list[IterationGroup] = []
    sorter = TopologicalSorter(units)
    sorter.prepare()
    slot = 1
    while sorter.is_active():
        level = sorted(sorter.get_ready())
        for turn in _turns(level, lagged):
            width = 1
            for unit in turn:
                cycle = members.get(unit, (unit,))
                slots |= dict.fromkeys(cycle, slot)
                if unit in members:
                    most = scenario.coupling.max_rounds
                    groups.append(IterationGroup(members=cycle, first_slot=slot, max_rounds=most))
                    width = max(width, rounds * len(cycle))
            slot += width
        sorter.done(*level)
    if slot * SLOT >= scenario.base_step:
        problem = f"needs {slot} slots of 1 us within a step; the step is too short for so many rounds."
        raise ScenarioError(
            [Fault(scenario.place(("coupling", "max_rounds")), problem, "Lower it or lengthen the step.")]
        )
    return slots, groups


def _add_openings(
    parts: Mapping[str, Part],
    links: Sequence[LinkSpec],
    before: Mapping[str, set[str]],
    units: dict[str, set[str]],
    of: Mapping[str, str],
) -> None:
    """Let the source of a lagged boundary say what it will about give before its destination takes its first step.

    It waits for its own sources but for those that wait for the destination. These say first what they will about give,
    too, as far as they can; the inputs that take it need a value in case they cannot.
    """
    for link in links:
        source, destination = link.source.federate, link.destination.federate
        if (
            not link.lagged
            or link.late
            or link.tolerance is None
            or source in of
            or _first_times(parts[source])[0] != 0
        ):
            continue
        if _open_before(source, destination, parts, links, before, units, of):
            units[of.get(destination, destination)].add(_opening_of(source))


def _open_before(
    source: str,
    destination: str,
    parts: Mapping[str, Part],
    links: Sequence[LinkSpec],
    before: Mapping[str, set[str]],
    units: dict[str, set[str]],
    of: Mapping[str, str],
) -> bool:
    """Whether `source` can open before `destination` solves; if so, its opening is a unit, after its sources."""
    waiting = {name for name in before[source] if destination in {name} | _reachable(name, before)}
    initial = {port.name: port.initial for port in parts[source].ports if port.direction == "in"}
    ends = (end.destination for end in links if end.source.federate in waiting and not end.lagged)
    if any(initial[end.port] is None for end in ends if end.federate == source):
        return False
    units.setdefault(_opening_of(source), set()).update(of.get(name, name) for name in before[source] - waiting)
    for name in waiting - {destination} - set(of):
        at_first = _first_times(parts[name])[0] == 0
        if at_first and _open_before(name, destination, parts, links, before, units, of):
            units[_opening_of(source)].add(_opening_of(name))
    return True


def _opening_of(name: str) -> str:
    """What the opening of the federate `name` is called where federates are ordered; no federate's name has a space."""
    return f"{name} opening"


def _turns(level: Sequence[str], lagged: set[tuple[str, str]]) -> Iterator[list[str]]:
    """Those that need nothing of each other, in turns: who takes a lagged value goes before the one who gives it.

    In one slot it would be the new value in one process, and the last one through HELICS. `lagged` are sources and
    destinations; where they lag behind each other in a circle, each has a turn of its own, in the order of their names.
    """
    before: dict[str, set[str]] = {name: set() for name in level}
    for source, destination in lagged:
        if source in before and destination in before and source != destination:
            before[source].add(destination)
    sorter = TopologicalSorter(before)
    try:
        sorter.prepare()
    except CycleError:
        linked = {name for name in level if before[name]}.union(*before.values())
        sorter = TopologicalSorter({name: {other for other in linked if other < name} for name in level})
        sorter.prepare()
    while sorter.is_active():
        turn = sorted(sorter.get_ready())
        yield turn
        sorter.done(*turn)


def _check_cycle(scenario: Scenario, parts: Mapping[str, Part], cycle: Sequence[str]) -> None:
    """Federates that iterate step at the same times, to a tolerance of every link between them."""
    faults = []
    leader = parts[cycle[0]]
    for part in (parts[name] for name in cycle[1:]):
        if _first_times(part) != _first_times(leader):
            slow = max(part, leader, key=lambda entry: _first_times(entry)[1] or scenario.horizon.duration)
            problem = f"'{part.name}' and '{leader.name}' iterate with each other, but step at different times."
            faults.append(Fault(scenario.place(slow.location), problem, "Give them one interval."))
    for position, link in enumerate(scenario.links):
        ends = {PortReference.parse(link.source).federate, PortReference.parse(link.destination).federate}
        if ends <= set(cycle) and not link.lagged and link.tolerance is None:
            problem = "needs `tolerance`, as its ends repeat their step until they agree."
            faults.append(Fault(scenario.place(("links", position)), problem, "Add it, in the port's unit."))
    if faults:
        raise ScenarioError(faults)


def _cycles(before: Mapping[str, set[str]]) -> list[tuple[str, ...]]:
    """The strongly connected sets of more than one federate, each led by the one that most depend on."""
    found: list[set[str]] = []
    remaining = {name: set(sources) for name, sources in before.items()}
    while True:
        try:
            TopologicalSorter(remaining).prepare()
            break
        except CycleError as error:
            seed = error.args[1][0]
            both = _reachable(seed, before) & _reachable(seed, _reversed(before))
            found.append(both | {seed})
            remaining = {
                n: {s for s in sources if s not in both} for n, sources in remaining.items() if n not in both | {seed}
            }
    ordered = []
    for cycle in found:
        demand = {name: sum(name in before[other] for other in cycle) for name in cycle}
        ordered.append(tuple(sorted(cycle, key=lambda name: (-demand[name], name))))
    return ordered


def _reversed(edges: Mapping[str, set[str]]) -> dict[str, set[str]]:
    back: dict[str, set[str]] = {name: set() for name in edges}
    for name, sources in edges.items():
        for source in sources:
            back[source].add(name)
    return back


def _reachable(start: str, edges: Mapping[str, set[str]]) -> set[str]:
    seen: set[str] = set()
    todo = list(edges[start])
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo += edges[name]
    return seen
