"""Homes of one thermal mass each on a three-node line: a feeder small enough for closed forms. For tests."""

from collections.abc import Sequence

import numpy as np

from cosim.contract import Context, Exchange, Federate, Port, Time
from cosim.settings import Settings

CLASSES = ("thermostat", "ev_charger", "water_heater", "home")
NODES = ("1.A", "2.A", "3.A")


class Homes(Federate):
    """dT/dt = ((outside - T) / resistance - cooling) / capacity; a thermostat with a dead band switches cooling."""

    class Config(Settings):
        count: int = 20
        rated: float = 4.0
        """Electric power of a running air conditioner [kW]; it takes out three times as much heat."""
        resistance: float = 2.0
        """[K/kW]"""
        capacity: float = 4.0
        """[kWh/K]"""
        setpoint: float = 24.0
        """[degC]"""
        ev: float = 0.0
        """Power of each home's charger, always on while available [kW]."""

    config: Config

    def __init__(self, config: Config, context: Context) -> None:
        super().__init__(config, context)
        spread = np.linspace(-1.0, 1.0, config.count)
        self.state = config.setpoint + spread, spread > 0
        self.next_state = self.state

    def ports(self) -> Sequence[Port]:
        home = {"home": [f"h{number:03d}" for number in range(self.config.count)]}
        phase, node = {"phase": ("A", "B", "C")}, {"node_phase": NODES}
        return [
            Port("head_voltage", "pu", "in", "voltage at the head", initial=1.0, is_complex=True),
            Port("temperature", "degC", "in", "air temperature"),
            Port("device_available", "1", "in", "1 where a device may run", {"device_class": CLASSES, **home}, 1.0),
            Port("power", "MVA", "out", "power at the head", phase, is_complex=True),
            Port("node_voltage", "pu", "out", "node voltage", node, is_complex=True),
            Port("home_temperature", "degC", "out", "indoor air temperature", home),
            Port("hvac_power", "kW", "out", "power of the air conditioners", home),
            Port("ev_power", "kW", "out", "power of the EV chargers", home),
        ]

    def solve(self, time: Time, inputs: Exchange) -> Exchange:
        config, (inside, cooling) = self.config, self.state
        available = inputs.values["device_available"].real > 0.5
        cooling = np.where(
            inside > config.setpoint + 1.0, True, np.where(inside < config.setpoint - 1.0, False, cooling)
        )
        hvac = config.rated * (cooling & available[0])
        ev = config.ev * available[1]
        hours = self.context.step / 3.6e12
        outside = float(inputs.values["temperature"].real)
        inside = inside + hours / config.capacity * ((outside - inside) / config.resistance - 3.0 * hvac)
        self.next_state = inside, cooling
        total = (hvac + ev).sum() * 1e-3
        head = complex(inputs.values["head_voltage"])
        return Exchange(
            {
                "power": np.full(3, total / 3, dtype=complex) * (1 + 0.2j),
                "node_voltage": head * (1.0 - total * np.array([0.0, 0.3, 0.6])),
                "home_temperature": inside,
                "hvac_power": hvac,
                "ev_power": ev,
            }
        )

    def opening(self, time: Time, inputs: Exchange) -> Exchange:
        return self.solve(time, inputs)

    def commit(self, time: Time) -> None:
        self.state = self.next_state
