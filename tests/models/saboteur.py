"""A follower that fails on purpose: what, where and when are its settings. For tests of the engine."""

import os
import signal
import tempfile
import time as clock
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from cosim.contract import Context, Exchange, Federate, Port, Time
from cosim.errors import SolverError
from cosim.settings import Settings
from cosim.units import Duration, PositiveDuration, written

ACTS = ("raise", "solver_error", "kill", "loop", "sleep", "exit_0", "exit_5")


class Saboteur(Federate):
    class Config(Settings):
        fault: str = "none"
        """One of ACTS, or what a solution or next time can be wrong in (see `solve` and `next_time`)."""
        stage: Literal["start", "next_time", "solve", "commit", "close"] = "solve"
        at: Duration = written("20 min")
        """Simulated time of the fault."""
        interval: PositiveDuration = written("60 s")
        width: int = 2
        temporary_file: bool = False
        """Start makes a temporary file that only `close` removes."""

    config: Config

    def __init__(self, config: Config, context: Context) -> None:
        super().__init__(config, context)
        self.state = 0.0
        self.files: list[Path] = []

    def ports(self) -> Sequence[Port]:
        labels = {"element": [str(number) for number in range(self.config.width)]}
        return [
            Port("x", "MW", "in", "what comes in", labels, initial=0.0),
            Port("y", "MW", "out", "what goes out", labels),
            Port("level", "1", "out", "a scalar"),
        ]

    def start(self, folder: Path) -> None:
        (folder / "made_by_start").write_text("scratch")
        if self.config.temporary_file:
            handle, name = tempfile.mkstemp(prefix="saboteur")
            os.close(handle)
            self.files.append(Path(name))
        self._act("start", self.config.at)

    def next_time(self, time: Time) -> Time | None:
        following = (time // self.config.interval + 1) * self.config.interval
        if self.config.fault == "never":
            return None
        if time >= self.config.at:
            self._act("next_time", time)
            if self.config.fault == "backwards":
                return time - self.config.interval
            if self.config.fault == "standstill":
                return time
            if self.config.fault == "off_step":
                return time + 1_000_000
        return following

    def solve(self, time: Time, inputs: Exchange) -> Exchange:
        values = {"y": np.full(self.config.width, self.state + 1.0), "level": np.asarray(self.state)}
        if time >= self.config.at:
            self._act("solve", time)
            wrong = {
                "nan": {"y": np.full(self.config.width, np.nan)},
                "infinity": {"level": np.asarray(np.inf)},
                "shape": {"y": np.zeros(self.config.width + 1)},
                "complex": {"level": np.asarray(1.0 + 1.0j)},
                "undeclared": {"z": np.zeros(1)},
                "text": {"level": "high"},
            }
            values |= wrong.get(self.config.fault, {})
            if self.config.fault == "missing":
                del values["level"]
            if self.config.fault == "nothing":
                return None
        return Exchange(values)

    def commit(self, time: Time) -> None:
        if time >= self.config.at:
            self._act("commit", time)
        self.state += 1.0

    def close(self) -> None:
        for file in self.files:
            file.unlink()
        self._act("close", self.config.at)

    def _act(self, stage: str, time: Time) -> None:
        if stage != self.config.stage or self.config.fault not in ACTS:
            return
        match self.config.fault:
            case "raise":
                raise ZeroDivisionError("the model divided by nothing")
            case "solver_error":
                raise SolverError("the power flow did not converge in 30 iterations")
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "loop":
                while True:
                    pass
            case "sleep":
                clock.sleep(3600)
            case "exit_0":
                os._exit(0)
            case "exit_5":
                os._exit(5)
