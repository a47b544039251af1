"""Fails when its load changes. For tests of what a perturbation breaks."""

from collections.abc import Sequence

import numpy as np

from cosim.contract import Exchange, Federate, Port, Time
from cosim.errors import SolverError


class Fragile(Federate):
    def ports(self) -> Sequence[Port]:
        return [
            Port("load_change", "MVA", "in", "load added at a bus", {"bus": ("A", "B")}, initial=0.0, is_complex=True),
            Port("change", "MVA", "out", "the change", is_complex=True),
        ]

    def solve(self, time: Time, inputs: Exchange) -> Exchange:
        change = inputs.values["load_change"].sum()
        if change:
            raise SolverError(f"the load changed by {change.real:g} MW")
        return Exchange({"change": np.asarray(change)})
