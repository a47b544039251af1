"""A GridLAB-D model that somebody else wrote, stepped with the guards of the generated ones."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from feeders.glm import Clock, GlmError, clock_text, fault_check, metronome, valid_name
from feeders.gridlabd_engine import Engine, EngineError, check_model
from feeders.neighbourhood import PLAUSIBLE, Weather, climate_properties
from feeders.published_feeder import PHASES

Complexes = NDArray[np.complex128]

_COMMENT = re.compile(r"//[^\n]*")


def guarded_glm(path: Path, swing: str, clock: Clock) -> str:
    """A model that includes the file `path` and adds the clock and the guards.

    The file's own clock gives way. `swing` is the name of its swing meter.

    Raises
    ------
    GlmError
        If the file does not name the swing meter, or `swing` cannot be a name.

    """
    if '"' in str(path) or "\n" in str(path):
        raise GlmError(f"GridLAB-D cannot include {str(path)!r}; rename it without quotation marks and line ends")
    text = without_comments(path)
    if not re.search(rf"\bname\s+\"?{re.escape(valid_name(swing))}\"?\s*;", text):
        raise GlmError(f"{path} has no object with the name '{swing}'")
    newton = re.search(r"\bsolver_method\s+NR\b", text)
    own_check = re.search(r"\bobject\s+fault_check\b", text)
    return "\n".join(
        [
            f'#include "{path}"',
            clock_text(clock),
            "module tape;",
            metronome(swing, clock.step),
            fault_check() if newton and not own_check else "",
        ]
    )


def without_comments(path: Path) -> str:
    """The text of a GLM file."""
    return _COMMENT.sub("", path.read_text(errors="replace"))


class OwnModel:
    """The model in GridLAB-D."""

    def __init__(self, path: Path, swing: str, climate: str, meters: Sequence[str], clock: Clock, folder: Path) -> None:
        """Load the file.

        Raises
        ------
        GlmError
            If the swing meter is not in the file.
        EngineError
            If GridLAB-D refuses the file, with its own `file(line)` message, or a named object is not
            of the right kind.

        """
        text = guarded_glm(path, swing, clock)
        check_model(text, folder)
        self.engine = Engine(text, folder)
        self.swing, self.climate, self.meters, self.clock = swing, climate, tuple(meters), clock
        for name, kinds in [(swing, ("meter",)), *((m, ("meter", "triplex_meter")) for m in meters)]:
            if not any(name in self.engine.names(kind) for kind in kinds):
                raise EngineError(f"{path}: '{name}' must be a {' or a '.join(kinds)}")
        if climate and climate not in self.engine.names("climate"):
            raise EngineError(f"{path}: '{climate}' must be a climate object")
        self._climates = self.engine.names("climate")
        self._source = np.array([self.engine.read(swing, f"voltage_{p}") for p in PHASES])
        self._head_voltage = 1.0
        self._climate: dict[str, float] = {}
        self._next = clock.model_start + timedelta(seconds=clock.step)

    def step(
        self, moment: datetime, head_voltage: float, weather: Weather | None
    ) -> tuple[Complexes, NDArray[np.float64]]:
        """Advance to `moment`.

        Returns
        -------
        (3,) power into the swing meter [MVA], (meters,) power at each named meter [kW].

        Raises
        ------
        EngineError
            If the power flow fails or a voltage is not plausible.

        """
        if head_voltage != self._head_voltage:
            for p, volts in zip(PHASES, self._source * head_voltage, strict=True):
                self.engine.write(self.swing, f"voltage_{p}", complex(volts))
            self._head_voltage = head_voltage
        if weather is not None:
            for name, value in climate_properties(weather).items():
                if self._climate.get(name) != value:
                    for climate in self._climates:
                        self.engine.write(climate, name, value)
                    self._climate[name] = value
        while self._next <= moment:
            self.engine.step_to(self._next)
            self._next += timedelta(seconds=self.clock.step)
        self._check_voltages()
        power = np.array([self.engine.read(self.swing, f"measured_power_{p}") for p in PHASES], dtype=np.complex128)
        meters = np.array([self.engine.read(m, "measured_real_power").real for m in self.meters], dtype=np.float64)
        return power / 1e6, meters / 1e3

    def _check_voltages(self) -> None:
        """No voltage may be NaN or far above nominal; 0 V is a phase that is absent or switched off."""
        for kind in ("node", "meter", "load"):
            nominal = self.engine.read_real(kind, "nominal_voltage")
            for p in PHASES if len(nominal) else "":
                relative = np.abs(self.engine.read_complex(kind, f"voltage_{p}")) / nominal
                wrong = np.flatnonzero(~(relative <= PLAUSIBLE[1]))
                if len(wrong):
                    names = self.engine.names(kind)
                    worst = ", ".join(f"{names[k]} {relative[k]:.3g} pu" for k in wrong[:5])
                    raise EngineError(f"the power flow gives no plausible voltage of phase {p} at {worst}")
