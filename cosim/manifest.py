"""The manifest: everything that is needed to run the same again, and to see that it is the same."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

from cosim.calibrated import calibrated_inputs
from cosim.engine.supervisor import Outcome
from cosim.federation import Federation
from cosim.results import MANIFEST, digest
from cosim.scenario import Scenario


def scenario_hash(scenario: Scenario) -> str:
    """SHA-256 of the scenario's settings; layout and comments of the file do not count."""
    return hashlib.sha256(json.dumps(scenario.as_mapping(), sort_keys=True).encode()).hexdigest()


def input_hashes(federation: Federation) -> dict[str, str]:
    """SHA-256 of every file that a federate's settings name, and of federates given as files."""
    files = {Path(text) for spec in federation.federates for text in [spec.kind, *_texts(spec.settings)]}
    return {str(path): _hash_of(path) for path in sorted(files) if _is_file(path)}


def changed_inputs(manifest: Mapping[str, Any]) -> list[str]:
    """The input files that are no longer what the manifest says; nothing of them is executed."""
    recorded: dict[str, str] = manifest["inputs_sha256"]
    return [name for name, value in recorded.items() if _hash_of(Path(name)) != value]


def _hash_of(path: Path) -> str:
    """SHA-256 of the file `path`; "" if it is none."""
    return _hash(path, *_state(path)) if _is_file(path) else ""


def _state(path: Path) -> tuple[int, int, int]:
    """What changes when a file does."""
    state = path.stat()
    return state.st_ino, state.st_size, state.st_mtime_ns


@lru_cache(maxsize=10_000)
def _hash(path: Path, *state: int) -> str:
    """SHA-256 of the file `path` in its `state`; a batch asks for the same file in every run."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _is_file(path: Path) -> bool:
    try:
        return path.is_absolute() and path.is_file()
    except OSError:  # a text too long for a path
        return False


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)


def versions() -> dict[str, str]:
    """The versions of Python, this project and what it depends on."""
    return dict(_versions())


@cache
def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "cosim": version("cosim")}
    for requirement in requires("cosim") or ():
        if "extra ==" not in requirement:
            name = requirement.split(">")[0].split("=")[0].strip()
            try:
                found[name] = version(name)
            except PackageNotFoundError:
                continue
    return found


def write_manifest(scenario: Scenario, federation: Federation, folder: Path, outcome: Outcome) -> dict[str, Any]:
    """Write `manifest.json` of the run in `folder`, and return it."""
    manifest = {
        "scenario": scenario.as_mapping(),
        "set": list(dict.fromkeys(scenario.document.options.values())),
        "scenario_folder": str(scenario.folder.resolve()),
        "scenario_sha256": scenario_hash(scenario),
        "inputs_sha256": input_hashes(federation),
        "calibrated": [
            entry.model_dump(mode="json")
            for entry in calibrated_inputs([(spec.name, spec.settings) for spec in federation.federates])
        ],
        "federation": json.loads(federation.model_dump_json()),
        "seed": federation.seed,
        "versions": versions(),
        "machine": {
            "system": platform.platform(),
            "processor": platform.machine(),
            "cores": os.cpu_count(),
            "python": sys.implementation.name,
        },
        "timings": {
            "startup_s": round(outcome.startup, 3),
            "simulation_s": round(outcome.wall, 3),
            "busy_s": {name: round(seconds, 3) for name, seconds in outcome.busy.items()},
            "steps": outcome.steps,
            "peak_memory_MB": round(outcome.peak_memory / 1e6, 1),
        },
        "digest": digest(folder),
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")
    return manifest
