"""A battery that charges when energy is cheap and discharges when it is dear: a federate in one file."""

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from cosim.contract import Context, Exchange, Federate, Flow, Port, Stock, Time
from cosim.settings import Settings
from cosim.units import Power, Price


class PriceBattery(Federate):
    """Follows the price at its bus."""

    class Config(Settings):
        """Settings of the battery."""

        power: Power = Field(default=20.0, gt=0)
        """Largest charging and discharging power [MW]."""
        energy: float = Field(default=80.0, gt=0)
        """Capacity [MWh]."""
        charge_below: Price = 8.0
        """It charges while the price is below this."""
        discharge_above: Price = 12.0
        """It discharges while the price is above this."""

    config: Config

    def __init__(self, config: Config, context: Context) -> None:
        super().__init__(config, context)
        self.stored = config.energy / 2  # [MWh]
        self.power = 0.0  # [MW] taken from the grid

    def ports(self) -> Sequence[Port]:
        return [
            Port("price", "$/MWh", "in", "price of energy at the battery's bus", initial=10.0),
            Port("power", "MVA", "out", "power taken from the grid", is_complex=True),
            Port("stored", "MWh", "out", "stored energy"),
        ]

    def stocks(self) -> Sequence[Stock]:
        return [Stock("stored", (Flow("power", "step that begins"),), capacity=self.config.energy)]

    def solve(self, time: Time, inputs: Exchange) -> Exchange:
        price = float(inputs.values["price"])
        wanted = self.config.power * ((price < self.config.charge_below) - (price > self.config.discharge_above))
        hours = self.context.step / 3.6e12
        room = (self.config.energy - self.stored) / hours
        self.power = min(max(wanted, -self.stored / hours), room)
        return Exchange({"power": np.array(complex(self.power)), "stored": np.array(self.stored)})

    def commit(self, time: Time) -> None:
        self.stored += self.power * self.context.step / 3.6e12
