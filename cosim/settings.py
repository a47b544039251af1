"""The base of everything that a user may set: frozen, unknown keys refused, docstrings kept."""

from __future__ import annotations

from typing import Any, Self

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """Frozen settings. The docstring under each field is its line in the scenario reference."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        validate_default=True,
        allow_inf_nan=False,
        ser_json_timedelta="float",
    )

    def update(self, **changes: Any) -> Self:
        """A validated copy with `changes`, written as in a scenario; the original stays as it was."""
        return type(self).model_validate({**self.model_dump(mode="json"), **changes})
