"""Kills the Dask worker that its run is made on. For tests of batches."""

from collections.abc import Sequence

import numpy as np
import psutil

from cosim.contract import Exchange, Federate, Port, Time
from cosim.settings import Settings


class WorkerKiller(Federate):
    class Config(Settings):
        kills: bool = False

    config: Config

    def ports(self) -> Sequence[Port]:
        return [Port("y", "1", "out", "nothing much")]

    def solve(self, time: Time, inputs: Exchange) -> Exchange:
        if self.config.kills:
            parents = psutil.Process().parents()
            worker = next(entry for entry in parents if "runs.batch.zygote" not in entry.cmdline())
            worker.kill()  # forked processes have the command line of their zygote
        return Exchange({"y": np.asarray(1.0)})
