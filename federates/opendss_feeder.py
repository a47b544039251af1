"""A published distribution feeder in OpenDSS, without homes: a feeder whose step may be repeated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from cosim.contract import Context, Exchange, Federate, Port, Time
from cosim.errors import ConfigError, ModelError, SolverError
from cosim.settings import Settings
from feeders.opendss_model import (
    FeederSolution,
    OpenDssError,
    OpenDssFeeder,
    Regulation,
    regulator_labels,
    reported_node_phases,
)
from feeders.published_feeder import PHASES, VOLTAGE_BAND, FeederTableError, PublishedFeeder, load_feeder

BALANCE_LIMIT = 1e-5  #: [MW] of the power flow's error, which stops far below it


class OpendssFeeder(Federate):
    """A feeder in OpenDSS: published spot loads times `load_scale`, under the head's voltage.

    Its step may be repeated with another head voltage, which is what coupling iterated to a tolerance
    needs. Automatic regulators are the only state: each solve starts from the taps of the last
    committed one and moves them as far as their line-drop compensators ask, whose delay (30 s) is
    taken to be shorter than the step.
    """

    iterative: ClassVar[bool] = True
    needs_process: ClassVar[bool] = True

    class Config(Settings):
        """Settings of the feeder."""

        feeder: str = "ieee123"
        """A published feeder: ieee13 or ieee123."""
        regulators: Regulation = "published taps"
        """Whether voltage regulators act, with their published line-drop settings ("automatic"), or stay."""

    config: OpendssFeeder.Config

    def __init__(self, config: OpendssFeeder.Config, context: Context) -> None:
        super().__init__(config, context)
        try:
            self._feeder: PublishedFeeder = load_feeder(config.feeder)
        except FeederTableError as error:
            raise ConfigError("feeder", str(error), "Choose one of them.") from error
        self._committed: FeederSolution | None = None
        self._pending: FeederSolution | None = None

    def ports(self) -> Sequence[Port]:
        """Nodes are labelled "671.A", regulators "4.A"."""
        nodes = {"node_phase": reported_node_phases(self._feeder)}
        title, title_of_power = "voltage at the head, positive sequence", "power drawn at the feeder's head"
        phase = {"phase": tuple(PHASES)}
        ports = [
            Port("head_voltage", "pu", "in", title, initial=1.0, is_complex=True),
            Port("load_scale", "1", "in", "factor on the spot loads", initial=1.0),
            Port("power", "MVA", "out", title_of_power, phase, is_complex=True, needs=("head_voltage",)),
            Port(
                "node_voltage",
                "pu",
                "out",
                f"voltage of {self._feeder.name}",
                nodes,
                expected=VOLTAGE_BAND,
                absent=0.0,
            ),
            Port("losses", "MW", "out", "losses of lines, transformers and regulators"),
            Port("energy_balance", "MW", "out", "head - losses - loads", limit=BALANCE_LIMIT),
        ]
        if self.config.regulators == "automatic":
            regulators = {"regulator": regulator_labels(self._feeder)}
            ports.append(Port("tap", "1", "out", "regulator tap, 0.625 % each", regulators))
        return ports

    def window_settings(self) -> Mapping[str, Any]:
        """The published feeder."""
        return {"feeder": self.config.feeder}

    def start(self, folder: Path) -> None:
        """Build the circuit."""
        try:
            self._model = OpenDssFeeder(self._feeder, self.config.regulators)
        except OpenDssError as error:
            raise ModelError(f"{error}. Correct the feeder's tables.") from error

    def solve(self, time: Time, inputs: Exchange) -> Exchange:
        """Solve from the committed taps. Raises SolverError if there is no solution."""
        try:
            solution = self._model.solve(
                complex(inputs.values["head_voltage"]),
                float(np.real(inputs.values["load_scale"])),
                self._model.published_taps() if self._committed is None else self._committed.taps,
            )
        except OpenDssError as error:
            raise SolverError(str(error)) from error
        self._pending = solution
        outputs = {
            "power": solution.power,
            "node_voltage": np.abs(solution.voltage),
            "losses": np.asarray(solution.losses),
            "energy_balance": np.asarray(solution.balance),
        }
        return Exchange(outputs if not len(solution.taps) else outputs | {"tap": solution.taps.astype(np.float64)})

    def commit(self, time: Time) -> None:
        """Accept the last solution's taps."""
        self._committed = self._pending
