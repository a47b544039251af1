"""A section of a scenario that names a federate or a perturbation by its kind."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, Field

from cosim.settings import Settings

NAME = Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$", max_length=60)


class Model(Settings):
    """A federate: its kind, and beside it the settings of that kind."""

    model_config = ConfigDict(extra="allow")

    kind: str
    """The federate kind: a name from `cosim list`, or a Python file beside the scenario."""

    @property
    def settings(self) -> dict[str, Any]:
        """The settings as they were written."""
        return dict(self.model_extra or {})
