"""The perturbations of a run: turns conditions and times into the availability of what they act on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from cosim.contract import Array, Context, Exchange, Federate, Port, Time
from cosim.event_window import WindowTimes
from cosim.perturbations import AtTime, Perturbation, Target, perturbation_class
from cosim.seeds import generator
from cosim.settings import Settings


class TargetPort(Settings):
    """The shape of an input port that is acted on, filled in by the wiring."""

    federate: str
    """The federate."""
    port: str
    """Its input port."""
    unit: str
    """The port's unit."""
    coordinates: dict[str, tuple[str, ...]]
    """Dimension and labels."""
    is_complex: bool
    """Whether its values are complex."""
    initial: Any = 1.0
    """Its undisturbed value: a number, or nested lists in its shape; where it is 0 there is nothing to disturb."""
    perturbations: tuple[str, ...]
    """The perturbations that act on it."""


class Perturbations(Federate):
    """Publishes, for each port acted on, its factor or addend; and how much each perturbation affects."""

    class Config(Settings):
        """Filled in by the wiring from the scenario's `perturbations`."""

        perturbations: tuple[dict[str, Any], ...] = ()
        """The perturbations as written, each with `kind` and `name`."""
        targets: tuple[TargetPort, ...] = ()
        """The ports acted on."""
        times: WindowTimes | None = None
        """The event window, if there is one."""

    config: Config

    def __init__(self, config: Config, context: Context) -> None:
        super().__init__(config, context)
        self.perturbations: dict[str, Perturbation] = {}
        for entry in config.perturbations:
            settings = {key: value for key, value in entry.items() if key != "kind"}
            self.perturbations[entry["name"]] = perturbation_class(entry["kind"]).model_validate(settings)
        self.triggers = {name: item.trigger() for name, item in self.perturbations.items()}
        self._targets = [self._target(entry) for entry in config.targets]
        self._changes = self._known_changes()
        self.needs_weather = any(item.needs_weather for item in self.perturbations.values())

    def _known_changes(self) -> tuple[Time, ...] | None:
        """The steps of the event window at which something changes; None where that is not known before."""
        found = [item.changes() for item in self.perturbations.values()]
        step = self.context.step if self.config.times is None else self.config.times.step
        known = [times for times in found if times is not None]
        return tuple(-(-time // step) * step for times in known for time in times) if len(known) == len(found) else None

    def _target(self, entry: TargetPort) -> tuple[TargetPort, Target, bool]:
        """A port acted on, and whether what acts on it adds to it."""
        port = Port(entry.port, entry.unit, "in", "", entry.coordinates, entry.initial, entry.is_complex)
        return entry, Target(entry.federate, port), self.perturbations[entry.perturbations[0]].combine == "add"

    def ports(self) -> Sequence[Port]:
        names = {"perturbation": tuple(self.perturbations)}
        ports = [
            Port("active", "1", "out", "perturbation is acting (1) or not (0)", names),
            Port(
                "affected",
                "1",
                "out",
                "devices or units that the perturbation holds out of service or changes",
                names,
            ),
        ]
        if self.needs_weather:
            ports.append(Port("temperature", "degC", "in", "air temperature that decides on the perturbations"))
        for target in self.config.targets:
            title = f"{target.port.replace('_', ' ')} of {target.federate} as perturbed"
            ports.append(
                Port(
                    f"{target.federate}.{target.port}",
                    target.unit,
                    "out",
                    title,
                    target.coordinates,
                    is_complex=target.is_complex,
                )
            )
        return ports

    def left_out(self) -> Sequence[str]:
        """The perturbations that change nothing, and what of the others cannot be done."""
        return tuple(self._unable())

    def _unable(self) -> Iterator[str]:
        for name, item in self.perturbations.items():
            who = f"{type(item).__name__} '{name}'"
            reached = [(entry, target, adds) for entry, target, adds in self._targets if name in entry.perturbations]
            remarks = item.remarks([target for _, target, _ in reached])
            looks = self._looks(name)
            if not looks:
                yield f"{who} changes nothing: it begins and ends between two steps, or after the last."
            elif not any(self._changes_something(name, *one, look) for one in reached for look in looks):
                why = f"it {remarks[0]}" if remarks else "what it acts on is out already, or it adds nothing"
                yield f"{who} changes nothing: {why}."
            else:
                yield from (f"{who} {remark}." for remark in remarks)

    def _looks(self, name: str) -> list[Time]:
        """Times [ns] after its onset at which a perturbation has to show itself; of an unknown onset, that itself."""
        trigger, more = self.triggers[name], self.perturbations[name].looks()
        if not isinstance(trigger, AtTime):
            return [0, *more]
        first = self.next_time(trigger.at - 1)
        lasting = getattr(self.perturbations[name], "lasting", None)
        if first is None or first >= self.context.duration:
            return []
        last = self.context.duration - trigger.at - 1
        if lasting is not None and not more:
            last = min(last, lasting - 1)
        return sorted({time for time in (first - trigger.at, *more, last) if first - trigger.at <= time <= last})

    def _changes_something(self, name: str, entry: TargetPort, target: Target, adds: bool, elapsed: Time) -> bool:
        """Whether at `elapsed` [ns] after its onset a perturbation changes an input that no other holds at 0 then."""
        effect = self.perturbations[name].effect(elapsed, target, self._random(name, target))
        if adds:
            return bool(np.any(effect != 0))
        rest: Array = np.broadcast_to(np.asarray(entry.initial, dtype=float), target.port.shape)
        own = self.triggers[name]
        for other in entry.perturbations:
            trigger = self.triggers[other]
            if other != name and isinstance(trigger, AtTime) and isinstance(own, AtTime):
                since = own.at + elapsed - trigger.at
                if since >= 0:
                    rest = rest * self.perturbations[other].effect(since, target, self._random(other, target))
        return bool(np.any((effect != 1) & (rest != 0)))

    def next_time(self, time: Time) -> Time | None:
        """Each step of the day; in the event window only when something changes, if that is known."""
        times = self.config.times
        if times is None:
            return super().next_time(time)
        if self._changes is None or not times.holds(time):
            return times.next_time(time)
        of_day = (time // times.day_step + 1) * times.day_step
        return min(of_day, times.at + times.duration, *(change for change in self._changes if change > time))

    def solve(self, time: Time, inputs: Exchange) -> Exchange:
        temperature = float(inputs.values["temperature"]) if self.needs_weather else float("nan")
        onsets = {name: trigger.onset(time, temperature) for name, trigger in self.triggers.items()}
        affected = dict.fromkeys(self.perturbations, 0.0)
        values: dict[str, Array] = {}
        for entry, target, additive in self._targets:
            start = np.zeros(target.port.shape) if additive else np.broadcast_to(entry.initial, target.port.shape)
            value: Array = start.astype(complex) if target.port.is_complex else start.astype(float)
            for name in entry.perturbations:
                onset = onsets[name]
                if onset is not None:
                    effect = self.perturbations[name].effect(time - onset, target, self._random(name, target))
                    changed = effect != 0 if additive else (effect != 1) & (start != 0)
                    count = float(np.count_nonzero(changed))
                    one_unit = self.perturbations[name].one_unit
                    affected[name] = max(affected[name], count) if one_unit else affected[name] + count
                    value = value + effect if additive else value * effect
            values[target.key] = value
        values["affected"] = np.array(list(affected.values()))
        values["active"] = (values["affected"] > 0).astype(float)
        return Exchange(values)

    def _random(self, name: str, target: Target) -> np.random.Generator:
        return generator(self.context.seed, "perturbation", name, target.key)
