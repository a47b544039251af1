"""The event window of a run: when it opened, and the settings with which its DER ran.

The DER are held to these where nothing else is said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from cosim.errors import ResultsError
from cosim.federation import FederateSpec, Federation
from cosim.units import parse


@dataclass(frozen=True)
class RunWindow:
    """The window of one feeder of a run."""

    opens: int  #: [ns] after the start of the run
    step: float  #: [s]
    clock: datetime  #: when it opened

    @property
    def zero(self) -> str:
        """What times count from, in words."""
        return f"the opening of the window, {self.clock:%Y-%m-%d %H:%M:%S}"


def run_window(place: Path, group: str) -> RunWindow | None:
    """The window of the feeder `group` of the run in `place`; None: it has none."""
    federation = _federation(place)
    spec = None if federation is None else _feeder(federation, group)
    if federation is None or spec is None or not spec.settings.get("duration"):
        return None
    opens, step = (round(parse(spec.settings.get(name) or "0 s", "s", bare=False) * 1e9) for name in ("at", "step"))
    return RunWindow(opens, (step or federation.step) / 1e9, federation.start + timedelta(microseconds=opens / 1e3))


def own_settings(
    place: Path, group: str | None, legacies_as: str = "", accuracy: str = "exact"
) -> Mapping[str, Mapping[str, Any]]:
    """Settings by DER of the run in `place`, each with its make; empty if it has no DER that can say them.

    DER from before 2018 are held to their own settings, or to the defaults of the category `legacies_as`. What a run
    recorded is taken at its word, not to the accuracy of meters, if `accuracy` does not say "table 3".
    """
    federation = _federation(place)
    spec = None if federation is None else _feeder(federation, group)
    if federation is None or spec is None:
        return {}
    feeder = federation.build(spec)
    settings, makes = getattr(feeder, "der_settings", None), getattr(feeder, "makes", ())
    if settings is None:
        return {}
    own = settings(legacies_as=legacies_as)
    return {name: {**own[name], "make": make, "accuracy": accuracy} for name, make in zip(own, makes, strict=True)}


def _feeder(federation: Federation, group: str | None) -> FederateSpec | None:
    return next(
        (s for s in federation.federates if s.kind == "window_feeder" and group in (None, s.name)),
        None,
    )


def _federation(place: Path) -> Federation | None:
    from cosim.simulation import open_run

    if not place.is_dir():
        return None
    try:
        return Federation.model_validate(open_run(place).manifest["federation"])
    except (ResultsError, KeyError, ValueError):
        return None
