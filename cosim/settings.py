"""The base of everything that a user may set: frozen, unknown keys refused, docstrings kept."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationInfo

from cosim.input_files import MISSING, unfit


class Settings(BaseModel):
    """Frozen settings. The docstring under each field is its line in the scenario reference."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        validate_default=True,
        allow_inf_nan=False,
    )

    def update(self, **changes: Any) -> Self:
        """A validated copy with `changes`, written as in a scenario; the original stays as it was."""
        return type(self).model_validate({**self.model_dump(mode="json"), **changes})


def without_effect(config: Settings, names: Sequence[str], because: str, prefix: str = "") -> list[str]:
    """A sentence if any of the settings `names` is given, which has no effect `because` of another; see `left_out`."""
    given = [f"`{prefix}{name}`" for name in names if name in config.model_fields_set]
    verb = "has" if len(given) == 1 else "have"
    return [f"{', '.join(given)} {verb} no effect: {because}."] if given else []


def _existing_file(path: Path, info: ValidationInfo) -> Path:
    folder = Path((info.context or {}).get("folder", "."))
    named = folder / path.expanduser()
    problem = unfit(named)
    if problem == MISSING:
        raise ValueError(f"there is no file '{path}' in {folder.resolve()}; correct the path or add the file")
    if problem:
        raise ValueError(f"'{path}' in {folder.resolve()} {problem}; name another file")
    return named.resolve()


def _name_or_file(text: str, info: ValidationInfo) -> str:
    if "/" in text or "\\" in text or Path(text).suffix:
        return str(_existing_file(Path(text), info))
    return text


#: A file that must exist; a relative path counts from the scenario file's folder.
InputFile = Annotated[Path, AfterValidator(_existing_file)]

#: The name of something shipped, or (with a folder or a suffix) a file as in `InputFile`.
NameOrFile = Annotated[str, AfterValidator(_name_or_file)]
