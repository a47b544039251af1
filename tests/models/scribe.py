"""A federate with an engine of its own process, which writes files and a log. For tests of the engine."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from cosim.contract import Exchange, Federate, Port, Time
from cosim.settings import Settings

BUSY = "import time\nend = time.process_time() + {}\nwhile time.process_time() < end: pass"


class Scribe(Federate):
    needs_process: ClassVar[bool] = True

    class Config(Settings):
        child_works: float = 0.0
        """How long a child of its start uses the processor, while it waits for the child [s]."""
        exit_code: int | None = None
        """With it the process ends at the first step, as an engine in it may do."""

    config: Config

    def ports(self) -> Sequence[Port]:
        return [Port("y", "1", "out", "nothing")]

    def start(self, folder: Path) -> None:
        Path("note.txt").write_text("written by a bare name")
        Path("deep").mkdir()
        (Path("deep") / "table.csv").write_text("1,2\n")
        (folder / "engine.log").write_text("engine: loading\nengine: pole 7 is not in the model\n")
        if self.config.child_works:
            subprocess.run([sys.executable, "-c", BUSY.format(self.config.child_works)], check=True)

    def solve(self, time: Time, inputs: Exchange) -> Exchange:
        if self.config.exit_code is not None:
            os._exit(self.config.exit_code)
        return Exchange({"y": np.zeros(())})
