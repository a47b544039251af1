"""A storage on the transmission grid: what the grid that holds its energy and the operator that plans it must know."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from cosim.settings import Settings
from cosim.units import Power, Price, quantity

Energy = Annotated[float, quantity("MWh")]


class StorageUnit(Settings):
    """A storage that the operator dispatches and the grid carries out."""

    name: str
    """What results and orders call it."""
    bus: str = Field(coerce_numbers_to_str=True)
    """The bus at which it stands."""
    power: Power = Field(gt=0)
    """Highest charging and discharging power."""
    energy: Energy = Field(gt=0)
    """Capacity [MWh]."""
    efficiency: float = Field(default=0.85, gt=0, le=1)
    """Of a full cycle [1], shared equally by charging and discharging."""
    initial: Energy = Field(ge=0)
    """Energy at the start [MWh]."""
    final: Energy | None = Field(default=None, ge=0)
    """Least energy at the end of each look-ahead [MWh]; none: `initial` again, or 0 with a terminal value."""
    terminal_value: Price = Field(default=0.0, ge=0)
    """What energy left at the end of the look-ahead is worth."""
    cycle_cost: Price = Field(default=0.1, ge=0)
    """Cost of discharged energy (wear); above zero it keeps the storage from cycling for nothing."""

    @model_validator(mode="after")
    def _within_capacity(self) -> StorageUnit:
        for name in ("initial", "final"):
            value = getattr(self, name)
            if value is not None and value > self.energy:
                raise ValueError(f"{name} must be at most the capacity {self.energy:g} MWh, got {value:g} MWh")
        return self

    @property
    def target(self) -> float:
        """Least energy at the end of the look-ahead [MWh]."""
        if self.final is not None:
            return self.final
        return 0.0 if self.terminal_value > 0 else self.initial
