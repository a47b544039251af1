"""The ride-through mode that voltage and frequency ask for, row by row of Tables 14 to 16 and 19."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

import numpy as np

from solvers.der_fleet.arrays import Booleans, Codes, Floats, Integers
from solvers.der_fleet.phases import Measured
from solvers.der_fleet.settings import FleetSettings
from solvers.ieee1547_tables import (
    ABNORMAL_CATEGORIES,
    CONTINUOUS_VOLTS_PER_HERTZ,
    NOMINAL_FREQUENCY,
    AbnormalCategory,
    Quantity,
    RideThroughRow,
    ride_through,
)


class Mode(IntEnum):
    """What a DER is doing; of two that apply the larger one holds."""

    CONTINUOUS = 0
    UNSPECIFIED = 1  #: frequency where no ride-through is required: goes on until it trips
    MANDATORY = 2
    PERMISSIVE = 3
    MOMENTARY_CESSATION = 4
    CEASE_TO_ENERGIZE = 5
    ENTERING_SERVICE = 6
    TRIPPED = 7


_MODE_OF: Final = {
    "continuous": Mode.CONTINUOUS,
    "unspecified": Mode.UNSPECIFIED,
    "none": Mode.UNSPECIFIED,
    "mandatory": Mode.MANDATORY,
    "permissive": Mode.PERMISSIVE,
    "momentary_cessation": Mode.MOMENTARY_CESSATION,
    "cease_to_energize": Mode.CEASE_TO_ENERGIZE,
}


class Side:
    """The regions below (or above) the continuous one, for all DER; region 0 is the continuous one.

    Arrays (regions, n): where each begins, its mode, its minimum ride-through time at `origin` and its slope.
    """

    def __init__(self, quantity: Quantity, *, above: bool, category: Integers) -> None:
        self.above = above
        rows = [_outward(name, quantity, above) for name in ABNORMAL_CATEGORIES]
        depth = max(map(len, rows))
        fill = np.inf if above else -np.inf
        edge, minimum, slope, origin = (np.full((depth, 3), value) for value in (fill, 0.0, 0.0, 0.0))
        mode = np.zeros((depth, 3), np.int8)
        for column, regions in enumerate(rows):
            for index, row in enumerate(regions):
                edge[index, column] = _edge(row, above)
                mode[index, column] = _MODE_OF[row.mode]
                minimum[index, column] = np.nan_to_num(row.minimum, nan=0.0)
                slope[index, column] = row.slope
                origin[index, column] = row.low
        self.edge: Floats = edge[:, category]
        self.mode: Codes = mode[:, category]
        self.minimum: Floats = minimum[:, category]
        self.slope: Floats = slope[:, category]
        self.origin: Floats = origin[:, category]

    def region(self, value: Floats, rows: Integers) -> Integers:
        """(rows,) how many edges `value` (rows,) has passed, 0 in the continuous region."""
        edge = self.edge[:, rows]
        passed = value > edge if self.above else value < edge
        return np.asarray(passed.sum(axis=0), dtype=np.intp)


def _outward(category: AbnormalCategory, quantity: Quantity, above: bool) -> list[RideThroughRow]:
    """The rows on one side, from the continuous region outwards."""
    rows = ride_through(category, quantity)
    inner = next(index for index, row in enumerate(rows) if row.mode == "continuous")
    return list(reversed(rows[:inner])) if above else list(rows[inner + 1 :])


def _edge(row: RideThroughRow, above: bool) -> float:
    """The number that a value must pass to be in `row`; the row's own end moves it by the smallest step."""
    if above:
        return float(np.nextafter(row.low, -np.inf)) if row.low_closed else row.low
    return float(np.nextafter(row.high, np.inf)) if row.high_closed else row.high


class RideThrough:
    """Modes by region; also, for the may-trip regions, the minimum ride-through time where the DER is."""

    def __init__(self, settings: FleetSettings) -> None:
        category = settings.category
        self.low = Side("voltage", above=False, category=category)
        self.high = Side("voltage", above=True, category=category)
        self.low_frequency = Side("frequency", above=False, category=category)
        self.high_frequency = Side("frequency", above=True, category=category)
        # Table 16's cessation threshold is movable by mutual agreement.
        movable = (self.low.mode == Mode.MOMENTARY_CESSATION) & (settings.choices["category"] == "III")
        self.low.edge = np.where(movable, settings["MC_V_low_pu"], self.low.edge)
        if settings.n:
            self._quiet = (
                float(self.low.edge[0].max()),
                float(self.high.edge[0].min()),
                float(self.low_frequency.edge[0].max()),
                float(self.high_frequency.edge[0].min()),
            )

    def step(self, measured: Measured) -> Asked | None:
        """What voltage and frequency ask for; None: continuous operation of all."""
        low, high, low_frequency, high_frequency = self._quiet
        voltage_abnormal = measured.lowest < low or measured.highest > high
        frequency_abnormal = measured.slowest < low_frequency or measured.fastest > high_frequency
        # 1e-12: 1.1 pu at 60 Hz is 1.1 and not more.
        most = CONTINUOUS_VOLTS_PER_HERTZ / NOMINAL_FREQUENCY * (1.0 + 1e-12)
        if not voltage_abnormal and not frequency_abnormal and measured.highest <= most * measured.slowest:
            return None
        asked = Asked(len(measured.frequency))
        if voltage_abnormal:
            asked.below = self._side(asked, self.low, measured.low, asked.low_minimum)
            asked.above = self._side(asked, self.high, measured.high, asked.high_minimum)
        if frequency_abnormal:
            asked.slow = self._side(asked, self.low_frequency, measured.frequency, None)
            asked.fast = self._side(asked, self.high_frequency, measured.frequency, None)
        # The quotient belongs to the continuous row; beyond it the other rows say what is required.
        asked.volts_per_hertz = (measured.high > most * measured.frequency) & (asked.mode == Mode.CONTINUOUS)
        return asked

    @staticmethod
    def _side(asked: Asked, side: Side, value: Floats, minimum: Floats | None) -> Booleans:
        """Raise the modes by one side's regions; gives (n,) who is beyond the continuous one."""
        beyond = value > side.edge[0] if side.above else value < side.edge[0]
        rows = np.flatnonzero(beyond)
        if rows.size:
            region = side.region(value[rows], rows) - 1
            mode = side.mode[region, rows]
            asked.mode[rows] = np.maximum(asked.mode[rows], mode)
            if minimum is None:
                asked.frequency_free[rows] |= mode == Mode.UNSPECIFIED
            else:
                minimum[rows] = side.minimum[region, rows] + side.slope[region, rows] * (
                    value[rows] - side.origin[region, rows]
                )
        return np.asarray(beyond)


class Asked:
    """What one step's voltage and frequency ask of each DER, arrays (n,)."""

    def __init__(self, n: int) -> None:
        self.mode: Codes = np.zeros(n, np.int8)
        self.below: Booleans = np.zeros(n, bool)  #: voltage below the continuous region
        self.above: Booleans = np.zeros(n, bool)  #: voltage above it
        self.slow: Booleans = np.zeros(n, bool)  #: frequency below it
        self.fast: Booleans = np.zeros(n, bool)  #: frequency above it
        self.low_minimum: Floats = np.full(n, np.inf)  #: minimum ride-through time [s] at this low voltage
        self.high_minimum: Floats = np.full(n, np.inf)  #: minimum ride-through time [s] at this high voltage
        self.frequency_free: Booleans = np.zeros(n, bool)  #: no ride-through required at this frequency
        self.volts_per_hertz: Booleans = np.zeros(n, bool)  #: V/f is beyond what continuous operation covers
