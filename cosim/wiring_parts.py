"""What the wiring handles: federates and links while a federation is being put together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, cast, get_args

from cosim.contract import Balance, Fact, Federate, Port, Stock
from cosim.federation import LinkSpec
from cosim.settings import Settings
from cosim.yaml_places import Location


@dataclass(frozen=True)
class Part:
    """A federate while the federation is being put together."""

    name: str
    location: Location
    kind: str
    config: Settings
    federate: Federate
    ports: Sequence[Port]
    left_out: Sequence[str] = ()
    stocks: Sequence[Stock] = ()
    balances: Sequence[Balance] = ()

    def port(self, name: str, direction: str) -> Port | None:
        """The port of that name and direction, if there is one."""
        return next((port for port in self.ports if port.name == name and port.direction == direction), None)


@dataclass(frozen=True)
class Wish:
    """A link that is wanted, and the place to name if it cannot be had."""

    link: LinkSpec
    location: Location


@dataclass(frozen=True)
class KnownFacts:
    """The facts that are known while federates are built, the first of each type."""

    first: dict[type, Fact] = field(default_factory=dict)

    def learn(self, facts: Iterable[Fact]) -> list[str]:
        """Take in `facts`; the contradictions to facts that were known before."""
        pairs = [(self.first.setdefault(type(fact), fact), fact) for fact in facts]
        return [problem for known, fact in pairs if (problem := known.contradiction(fact))]

    def settings(self, config: type[Settings]) -> dict[str, Any]:
        """The known facts, as plain data, by the settings of `config` that hold one of their type."""
        found = {}
        for name, setting in config.model_fields.items():
            for kind in (setting.annotation, *get_args(setting.annotation)):
                if isinstance(kind, type) and kind in self.first:
                    found[name] = asdict(cast(Any, self.first[kind]))
        return found
