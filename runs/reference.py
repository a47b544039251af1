"""The reference of scenarios, batches and calibrations, made from the settings classes: it cannot drift from them."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from cosim.errors import Fault, ScenarioError
from cosim.perturbations import perturbation_class, perturbation_kinds
from cosim.registry import federate_class, federate_kinds, submodules, unknown
from cosim.scenario import Scenario
from cosim.settings import Settings

if TYPE_CHECKING:
    from runs.calibrate.target import Target

_FILLED_BY_WIRING = ("event_window", "perturbations")  #: federate kinds that no scenario names
BATCH, CALIBRATION = "batch", "calibration"  #: other files than the scenario


def settings_class(kind: str | None) -> type[Settings]:
    """The settings of the scenario (None), a batch or calibration file, a calibration's target
    (`calibration.temperature_response`), a federate kind or a perturbation. Raises ScenarioError.
    """
    if kind is None:
        return Scenario
    if kind == BATCH:
        from runs.batch.file import BatchFile

        return BatchFile
    if kind == CALIBRATION:
        from runs.calibrate.file import CalibrationFile

        return CalibrationFile
    if kind in (targets := _targets()):
        return targets[kind].Config
    if kind in perturbation_kinds():
        return perturbation_class(kind)
    if kind in federate_kinds():
        return federate_class(kind).Config
    known = [BATCH, CALIBRATION, *targets, *federate_kinds(), *perturbation_kinds()]
    raise ScenarioError([Fault("cosim schema", unknown("file, federate kind or perturbation", kind, known) + ".")])


def _targets() -> dict[str, type[Target]]:
    """The targets of calibrations by the name under which `cosim schema` knows them."""
    from runs.calibrate.target import PACKAGE, target_class

    return {f"{CALIBRATION}.{kind}": target_class(kind) for kind in submodules(PACKAGE)}


def json_schema(kind: str | None) -> dict[str, Any]:
    """The JSON schema of those settings."""
    return settings_class(kind).model_json_schema()


def reference(kind: str | None) -> str:
    """Those settings as Markdown tables: the setting, its type, its default, what it means."""
    found = settings_class(kind)
    return "\n".join(_section(kind or "scenario", found.model_json_schema(), inspect.getdoc(found) or "", "#"))


def whole_reference() -> str:
    """The page `docs/scenario_reference.md`."""
    lines = [
        "# Scenario reference",
        "",
        "Made from the settings classes by `make docs`; do not edit. A setting without a default is required.",
        "Quantities may be written with a unit (`5 min`, `40 degC`, `750 kW`); durations must be.",
        "",
    ]
    lines += _section("The scenario", Scenario.model_json_schema(), inspect.getdoc(Scenario) or "", "##")
    lines += ["", "## Federate kinds", ""]
    for kind in federate_kinds():
        if kind not in _FILLED_BY_WIRING:
            item = federate_class(kind)
            lines += _section(f"`{kind}`", item.Config.model_json_schema(), inspect.getdoc(item) or "", "###")
    lines += ["", "## Perturbations", ""]
    for kind in perturbation_kinds():
        found = perturbation_class(kind)
        lines += _section(f"`{kind}`", found.model_json_schema(), inspect.getdoc(found) or "", "###")
    return "\n".join(lines).rstrip() + "\n"


def file_reference() -> str:
    """The page `docs/file_reference.md`: what stands in batch and calibration files."""
    lines = [
        "# Batch and calibration files",
        "",
        "Made from the settings classes by `make docs`; do not edit. A setting without a default is required.",
        "",
    ]
    for title, kind in (("Batch file", BATCH), ("Calibration file", CALIBRATION)):
        found = settings_class(kind)
        lines += _section(title, found.model_json_schema(), inspect.getdoc(found) or "", "##")
    lines += ["", "## Targets of calibrations", ""]
    for name, target in _targets().items():
        heading = f"`{name.removeprefix(CALIBRATION + '.')}`"
        lines += _section(heading, target.Config.model_json_schema(), inspect.getdoc(target) or "", "###")
        for word, choices in (("objective", target.objectives), ("baselines", target.baselines)):
            lines += [f"- `{word}`: " + "; ".join(f"`{key}`, {text}" for key, text in choices.items())] * bool(choices)
        lines += [""]
    return "\n".join(lines).rstrip() + "\n"


PAGES = {"scenario_reference.md": whole_reference, "file_reference.md": file_reference}


def _section(title: str, schema: dict[str, Any], words: str, heading: str) -> list[str]:
    """A heading, a table of the settings, and a section for each nested object."""
    lines = [f"{heading} {title}", "", words, "", *_table(schema), ""]
    for name, part in schema.get("$defs", {}).items():
        if part.get("type") == "object":
            described = part.get("description", "")
            lines += [f"{heading}# {title.strip('`')}: {name}", "", described, "", *_table(part), ""]
    return lines


def _table(schema: dict[str, Any]) -> list[str]:
    properties = schema.get("properties", {})
    if not properties:
        return ["No settings."]
    rows = ["| setting | type | default | meaning |", "| --- | --- | --- | --- |"]
    for name, entry in properties.items():
        meaning = " ".join(str(entry.get("description", "")).split())
        default = "required" if name in schema.get("required", ()) else f"`{_default(entry)}`"
        rows.append(f"| `{name}` | {_type(entry)} | {default} | {meaning} |".replace("|`", "| `"))
    return rows


def _default(entry: dict[str, Any]) -> str:
    value = entry.get("default")
    if value is None:
        return "none"
    if isinstance(value, dict):
        return "its own defaults"
    return str(value).replace("|", "\\|")


def _type(entry: dict[str, Any]) -> str:
    """A schema type in words, with its bounds."""
    if "anyOf" in entry:
        return " or ".join(dict.fromkeys(_type(option) for option in entry["anyOf"] if option.get("type") != "null"))
    if "$ref" in entry:
        return str(entry["$ref"]).rsplit("/", 1)[-1]
    if "enum" in entry:
        return ", ".join(f"`{value}`" for value in entry["enum"])
    if "const" in entry:
        return f"`{entry['const']}`"
    kind = str(entry.get("type", "any"))
    if entry.get("format") == "duration with unit":
        kind = "duration"
    elif "unit" in entry:
        kind = f"number [{entry['unit']}]"
    elif kind == "array":
        items: dict[str, Any] = entry.get("items") or next(iter(entry.get("prefixItems", ())), {})
        kind = f"list of {_type(items)}" if items else "list"
    bounds = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
    words = [f"{word} {entry[key]:g}" for key, word in bounds.items() if isinstance(entry.get(key), int | float)]
    return kind + (f", {' and '.join(words)}" if words and max(map(abs, _bounds(entry))) < 1e15 else "")


def _bounds(entry: dict[str, Any]) -> list[float]:
    keys = ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum")
    return [entry[key] for key in keys if isinstance(entry.get(key), int | float)]


if __name__ == "__main__":
    import sys
    from pathlib import Path

    for page in map(Path, sys.argv[1:]):
        page.write_text(PAGES[page.name](), encoding="utf-8")
