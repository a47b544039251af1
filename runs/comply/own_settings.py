"""The settings with which the DER of a run's event window ran: what they are held to where nothing else is said."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cosim.errors import ResultsError
from cosim.federation import Federation


def own_settings(place: Path, group: str | None, legacies_as: str = "") -> Mapping[str, Mapping[str, Any]]:
    """Settings by DER of the run in `place`; empty if it is no run or has no DER that can say them.

    DER from before 2018 are held to their own settings, or to the defaults of the category `legacies_as`.
    """
    from cosim.simulation import open_run

    if not place.is_dir():
        return {}
    try:
        federation = Federation.model_validate(open_run(place).manifest["federation"])
    except (ResultsError, ValueError):
        return {}
    for spec in federation.federates:
        if spec.name == group or (group is None and spec.kind == "window_feeder"):
            settings = getattr(federation.build(spec), "der_settings", None)
            return {} if settings is None else settings(legacies_as=legacies_as)
    return {}
