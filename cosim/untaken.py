"""What a scenario offers and nobody takes: said by `cosim validate`, and in the verdict as something to look at.

A demand that no federate reads is no error, and a study of it answers another question than its author thinks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from cosim.errors import Fault
from cosim.federation import LinkSpec
from cosim.registry import unknown
from cosim.scenario import Scenario
from cosim.settings import Settings
from cosim.wiring_parts import Part

#: Sections that are there for others: the input that only they can give, in words.
GIVERS = {"weather": "the weather", "demand": "the demand"}

#: Settings that only shape one output, which has no effect if nobody takes it: (section, output) -> settings.
OF_OUTPUT = {
    ("demand", "load_scale_forecast"): ("interval", "lookahead", "forecast_error", "forecast_persistence"),
}


def untaken(scenario: Scenario, parts: Mapping[str, Part], links: Sequence[LinkSpec]) -> Iterator[str]:
    """A sentence for each thing that the scenario offers and nobody takes."""
    yield from _givers(scenario, parts, links)
    yield from _without_effect(scenario, parts)
    yield from _silent_feeders(parts)


def _givers(scenario: Scenario, parts: Mapping[str, Part], links: Sequence[LinkSpec]) -> Iterator[str]:
    taken = {(link.source.federate, link.source.port) for link in links}
    for section, words in GIVERS.items():
        if section not in parts or _read_otherwise(parts[section], parts):
            continue
        if section not in {federate for federate, _ in taken}:
            yield f"nobody takes {words}: the results are the same without the section `{section}`."
            continue
        for (giver, output), names in OF_OUTPUT.items():
            given = [name for name in names if giver == section and name in _written(scenario, section)]
            if given and (giver, output) not in taken:
                verb = "has" if len(given) == 1 else "have"
                yield f"`{section}.{'`, `'.join(given)}` {verb} no effect: nobody takes {section}.{output}."


def _read_otherwise(giver: Part, parts: Mapping[str, Part]) -> bool:
    """Whether another federate reads the giver's own table, as a demand that follows the weather does."""
    table = getattr(giver.config, "table", None)
    others = (part for part in parts.values() if part is not giver)
    return table is not None and any(getattr(part.config, f"{giver.name}_table", None) == table for part in others)


def _written(scenario: Scenario, section: str) -> Mapping[str, object]:
    model = getattr(scenario, section, None)
    return {} if model is None else model.settings


def _without_effect(scenario: Scenario, parts: Mapping[str, Part]) -> Iterator[str]:
    """Settings of the scenario itself that do nothing beside the others."""
    coupling, window = scenario.coupling, scenario.event_window
    feeders = scenario.single_feeders()
    if coupling.mode == "loose" and "max_rounds" in coupling.model_fields_set:
        yield "`coupling.max_rounds` has no effect: the mode is loose, nothing is repeated."
    attached = [feeder for _, feeder in feeders if feeder.bus is not None]
    tolerances = sorted({"power_tolerance", "voltage_tolerance"} & coupling.model_fields_set)
    if tolerances and not attached:
        yield f"`coupling.{'`, `'.join(tolerances)}` has no effect: no feeder hangs on a bus."
    for position, entry in enumerate(scenario.feeders):
        if entry.multiplier != 1.0 and entry.bus is None and not entry.buses:
            yield f"`feeders[{position}].multiplier` has no effect: '{entry.name}' hangs on no bus."
    if window is not None and window.transmission is None:
        for name in sorted({"frequency", "mean_mismatch"} & window.model_fields_set):
            yield f"`event_window.{name}` has no effect: the window has no `transmission`."
    if window is None and scenario.placement == "engines_apart":
        yield "`placement: engines_apart` has no effect: there is no event window."
    if "communications" in scenario.model_fields_set and not _agents(parts):
        yield "`communications` has no effect: no federate sends messages."


def _agents(parts: Mapping[str, Part]) -> list[str]:
    return [part.name for part in parts.values() if part.federate.messaging == "agent"]


def _silent_feeders(parts: Mapping[str, Part]) -> Iterator[str]:
    """Feeders that a dispatch plans for and that never tell it what they draw."""
    dispatch = parts.get("dispatch")
    for feeder in getattr(dispatch and dispatch.config, "feeders", ()):
        part = parts.get(getattr(feeder, "name", ""))
        if part is not None and "dispatch" not in part.federate.recipients():
            yield (
                f"the dispatch gets no readings of '{part.name}': it plans for the case's load at bus {feeder.bus}, in "
                "whose place the feeder stands."
            )


def check_recipients(scenario: Scenario, parts: Mapping[str, Part], faults: list[Fault]) -> None:
    """Who sends messages must send them to agents that exist; the fault stands at the setting that names another."""
    agents = _agents(parts)
    for part in parts.values():
        for recipient in part.federate.recipients():
            name = recipient.partition("/")[0]
            if name in agents:
                continue
            problem = f"'{part.name}' sends messages to '{recipient}'"
            if name in parts:
                problem += f", and '{name}' ({parts[name].kind}) takes none."
                remedy = f"Name agents only: {', '.join(agents)}."
            else:
                problem, remedy = f"{problem}: {unknown('agent', name, agents)}.", ""
            place = (*part.location, *_setting_that_says(part.config, recipient))
            faults.append(Fault(scenario.place(place), problem, remedy))


def _setting_that_says(config: Settings, text: str) -> tuple[str, ...]:
    """The field of a federate's settings that holds `text`; () if none does, or it was not written there."""
    found = [name for name in type(config).model_fields if getattr(config, name) == text]
    return tuple(found[:1])
