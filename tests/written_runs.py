"""Runs written by the engine's own journal, recorder and manifest, but with values that a test chooses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from cosim.check import Check
from cosim.contract import Port
from cosim.engine.journal import Column, JournalWriter
from cosim.engine.recorder import Recorder
from cosim.engine.supervisor import Fault, Outcome
from cosim.federation import MAIN_PROCESS, FederateSpec, Federation, LinkSpec, PortReference
from cosim.manifest import write_manifest
from cosim.results import BASELINE, VERDICT
from cosim.scenario import from_mapping
from cosim.simulation import Run
from cosim.verdict import Verdict

MINUTE = 60 * 10**9
START = datetime(2014, 1, 16)


def out(name: str, unit: str, title: str = "", *, is_complex: bool = False, **coordinates: Sequence[str]) -> Port:
    """An output port."""
    return Port(name, unit, "out", title or name, coordinates, is_complex=is_complex)


@dataclass
class Written:
    """What a run shall hold: for each federate its outputs, each with its values over time."""

    outputs: Mapping[str, Sequence[tuple[Port, Any]]]
    step: int = 10 * MINUTE
    duration: int = 24 * 60 * MINUTE
    perturbations: Sequence[Mapping[str, Any]] = ()
    targets: Sequence[tuple[str, Sequence[str]]] = ()  #: federates acted on, and by which perturbations
    links: Sequence[tuple[str, str, float, Any]] = ()  #: source, destination, tolerance, used values
    scenario: Mapping[str, Any] = field(default_factory=dict)
    fault: str | None = None
    checks: Sequence[Check] = (Check(name="no fault", passed=True, detail="no federate failed"),)
    to_look_at: Sequence[Check] = ()

    def write(self, folder: Path, baseline: Written | None = None) -> Run:
        """Write it to `folder`, beside its undisturbed twin."""
        scratch = folder / "journals"
        scratch.mkdir(parents=True)
        federation = self._federation()
        steps = {name: self._journal(scratch, name, columns) for name, columns in self.outputs.items()}
        recorder = Recorder(scratch, folder, federation)
        recorder.take_full_chunks()
        recorder.finish()
        fault = None if self.fault is None else Fault("x", 0, self.fault, "")
        busy = dict.fromkeys(steps, 0.5)
        outcome = Outcome(fault, steps=steps, busy=busy, startup=1.0, wall=2.0, peak_memory=10**8)
        horizon = {"start": START.isoformat(), "duration": f"{self.duration} ns", "step": f"{self.step} ns"}
        scenario = from_mapping({"name": "written", "horizon": horizon, **self.scenario})
        write_manifest(scenario, federation, folder, outcome)
        good = self.fault is None and all(check.passed for check in self.checks)
        verdict = Verdict(
            trustworthy=good, fault=self.fault, checks=tuple(self.checks), to_look_at=tuple(self.to_look_at)
        )
        (folder / VERDICT).write_text(verdict.model_dump_json())
        if baseline is not None:
            baseline.write(folder / BASELINE)
        return Run(folder)

    def _federation(self) -> Federation:
        targets = [{"federate": federate, "perturbations": list(names)} for federate, names in self.targets]
        settings = {"perturbations": [dict(entry) for entry in self.perturbations], "targets": targets}
        specs = tuple(
            FederateSpec(name=name, kind="weather", settings=settings, slot=1, process=MAIN_PROCESS)
            for name in self.outputs
        )
        return Federation.model_validate(
            {
                "scenario": "written",
                "seed": 1,
                "start": START,
                "duration": f"{self.duration} ns",
                "step": f"{self.step} ns",
                "federates": [spec.model_dump() for spec in specs],
                "links": [link.model_dump() for link in self._links()],
                "chunk": "4 h",
                "limits": {},
            }
        )

    def _links(self) -> list[LinkSpec]:
        return [
            LinkSpec(
                source=PortReference.parse(source),
                destination=PortReference.parse(destination),
                tolerance=tolerance,
                lagged=True,
            )
            for source, destination, tolerance, _ in self.links
        ]

    def _journal(self, scratch: Path, name: str, outputs: Sequence[tuple[Port, Any]]) -> int:
        columns = [Column.of_port(port) for port, _ in outputs]
        values = {port.name: np.asarray(series) for port, series in outputs}
        for link, (_, _, _, used) in zip(self._links(), self.links, strict=True):
            if link.destination.federate == name:
                column = Column(f"used {link.key}", "MVA", "as used", {}, is_complex=True, link=link.key)
                columns.append(column)
                values[column.name] = np.asarray(used, dtype=complex)
        count = len(next(iter(values.values())))
        writer = JournalWriter(scratch, name, columns)
        rows = [values[column.name].astype(column.dtype).reshape(count, -1).view(np.float64) for column in columns]
        for row in range(count):
            writer.append(row * self.step, [numbers[row] for numbers in rows])
        writer.close()
        return count


def constant(value: complex, count: int = 144) -> np.ndarray[Any, Any]:
    """A value at each of `count` times."""
    return np.full(count, value)
