"""What the standard demands along a trace's voltage and frequency: regions, shall-trip, and where a trip is allowed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from runs.comply.settings import Element, Held
from runs.comply.spans import constant_spans, spans, time_at
from runs.comply.trace import Array, Trace
from solvers import ieee1547_tables as tables
from solvers.ieee1547_tables import Citation, Mode, RideThroughRow

TOLERANCE = 1e-9  #: [pu], [Hz] or [s] by which numbers that mean the same may differ through rounding
_LEVELS = 400  #: at most so many depths of one disturbance are followed
_AFTERMATH = 0.5  #: [s] after a phase jump or a fast frequency change in which its effect shows


@dataclass(frozen=True)
class Visit:
    """A stay in one region of a ride-through table."""

    row: RideThroughRow
    first: int  #: sample
    stop: int  #: the sample past the last
    start: float  #: [s]
    end: float  #: [s]

    @property
    def duration(self) -> float:
        return self.end - self.start

    @property
    def mode(self) -> Mode:
        return self.row.mode


@dataclass(frozen=True)
class Allowance:
    """A stretch in which no ride-through is required, so that a trip is allowed."""

    start: float  #: [s]
    end: float  #: [s]
    reason: str
    citation: Citation
    in_tables: bool = True  #: it follows from Tables 14 to 16 or 19 alone


@dataclass(frozen=True)
class Due:
    """A shall-trip element whose clearing time ran out."""

    element: Element
    start: float  #: [s], the quantity went beyond the threshold
    end: float  #: [s], it came back, or the trace ended
    by: float  #: [s], the DER shall have ceased to energize and tripped


@dataclass(frozen=True)
class Beyond:
    """A stretch beyond a shall-trip threshold, whether or not its clearing time ran out."""

    element: Element
    first: int
    stop: int
    start: float  #: [s]
    end: float  #: [s]

    @property
    def due(self) -> Due | None:
        by = self.start + self.element.clearing
        return Due(self.element, self.start, self.end, by) if self.end >= by - TOLERANCE else None


@dataclass(frozen=True)
class Reading:
    """How far the readings are moved, to see whether a verdict hangs on their accuracy."""

    voltage: float = 0.0  #: [pu] outward (away from nominal), negative: inward
    frequency: float = 0.0  #: [Hz] outward


@dataclass(frozen=True)
class Path:
    """A trace under one reading, held against what its DER is held to."""

    trace: Trace
    held: Held
    reading: Reading = Reading()

    # -- the quantities as read ------------------------------------------------------------------------------------

    @cached_property
    def lowest(self) -> Array:
        """The least applicable voltage [pu]."""
        shift = self.reading.voltage
        values = self.trace.lowest
        return values if not shift else np.where(values < 1.0, np.maximum(values - shift, 0.0), values)

    @cached_property
    def highest(self) -> Array:
        """The greatest applicable voltage [pu]."""
        shift = self.reading.voltage
        values = self.trace.highest
        return values if not shift else np.where(values > 1.0, values + shift, values)

    @cached_property
    def frequency(self) -> Array:
        """The frequency [Hz]."""
        shift = self.reading.frequency
        values = self.trace.frequency
        return values if not shift else values + shift * np.sign(values - tables.NOMINAL_FREQUENCY)

    def at(self, index: int) -> float:
        """The time of a sample, or of the end [s]."""
        return time_at(self.trace.time, index, self.trace.end)

    # -- shall trip ------------------------------------------------------------------------------------------------

    @cached_property
    def beyond(self) -> tuple[Beyond, ...]:
        """Every stretch beyond a shall-trip threshold, element by element."""
        found = []
        for element in self.held.elements:
            values = self._quantity(element)
            limit = element.threshold + (TOLERANCE if element.over else -TOLERANCE)
            extreme = values.max() if element.over else values.min()
            if extreme <= limit if element.over else extreme >= limit:
                continue
            mask = values > limit if element.over else values < limit
            found += [Beyond(element, a, b, self.at(a), self.at(b)) for a, b in spans(mask)]
        return tuple(found)

    def _quantity(self, element: Element) -> Array:
        if element.row.quantity == "frequency":
            return self.frequency
        return self.highest if element.over else self.lowest

    def closest(self, element: Element) -> float:
        """How far the quantity stayed from an element's threshold, negative: how far beyond [pu] or [Hz]."""
        values = self._quantity(element)
        return float(element.threshold - values.max() if element.over else values.min() - element.threshold)

    @cached_property
    def dues(self) -> tuple[Due, ...]:
        """Every time that an element's clearing time ran out, the earliest first."""
        return tuple(sorted((due for b in self.beyond if (due := b.due)), key=lambda due: due.by))

    # -- regions ---------------------------------------------------------------------------------------------------

    @cached_property
    def voltage_visits(self) -> tuple[Visit, ...]:
        """The stays in the regions of Tables 14 to 16, from the trace's start to its end."""
        rows = tables.ride_through(self.held.category, "voltage")
        low, high = classify(rows, self.lowest), classify(rows, self.highest)
        codes = (
            low if self.highest is self.lowest else np.where(_severity(rows)[low] >= _severity(rows)[high], low, high)
        )
        return self._visits(rows, codes)

    @cached_property
    def frequency_visits(self) -> tuple[Visit, ...]:
        """The stays in the regions of Table 19."""
        rows = tables.ride_through(self.held.category, "frequency")
        return self._visits(rows, classify(rows, self.frequency))

    def _visits(self, rows: tuple[RideThroughRow, ...], codes: NDArray[np.int8]) -> tuple[Visit, ...]:
        return tuple(Visit(rows[code], a, b, self.at(a), self.at(b)) for a, b, code in constant_spans(codes))

    # -- where a trip is allowed ------------------------------------------------------------------------------------

    @cached_property
    def disturbances(self) -> tuple[tuple[Visit, ...], ...]:
        """Disturbance sets: stays outside continuous operation, parted by at least Table 17's gap."""
        gap = self.consecutive.minimum_gap
        sets: list[list[Visit]] = []
        for visit in self.voltage_visits:
            if visit.mode == "continuous":
                continue
            if sets and visit.start - sets[-1][-1].end < gap - TOLERANCE:
                sets[-1].append(visit)
            else:
                sets.append([visit])
        return tuple(tuple(visits) for visits in sets)

    @property
    def consecutive(self) -> tables.ConsecutiveDisturbances:
        """Table 17's row."""
        return next(row for row in tables.CONSECUTIVE if row.category == self.held.category)

    @cached_property
    def allowances(self) -> tuple[Allowance, ...]:
        """Where no ride-through is required, the earliest first."""
        found = [*self._by_voltage(), *self._by_count(), *self._by_frequency(), *self._by_volts_per_hertz()]
        found += [*rocof_allowances(self), *phase_allowances(self)]
        return tuple(sorted(found, key=lambda allowance: allowance.start))

    def _by_voltage(self) -> list[Allowance]:
        found = []
        for visits in self.disturbances:
            for values, side in ((self.lowest, -1.0), (self.highest, 1.0)):
                spent = self._exhaustion(visits, values, side)
                if spent is not None:
                    row = next(v.row for v in visits if v.start - TOLERANCE <= spent <= v.end + TOLERANCE)
                    reason = (
                        "no ride-through is required in this region"
                        if np.isnan(row.minimum)
                        else "the minimum ride-through time is over"
                    )
                    found.append(Allowance(spent, visits[-1].end, reason, row.citation))
        return found

    def _exhaustion(self, visits: tuple[Visit, ...], values: Array, side: float) -> float | None:
        """When the disturbance has lasted longer, at some depth or beyond it, than that depth has to be ridden through.

        The time at a depth counts from all stays of the set, since Table 14 to 16's durations are cumulative.
        """
        picked = np.concatenate([np.arange(v.first, v.stop) for v in visits])
        edge = 1.10 + TOLERANCE if side > 0 else 0.88 - TOLERANCE
        picked = picked[(values[picked] > edge) if side > 0 else (values[picked] < edge)]
        if not picked.size:
            return None
        rows = tables.ride_through(self.held.category, "voltage")
        time = self.trace.time[picked]
        duration = np.diff(self.trace.time, append=self.trace.end)[picked]
        depth = values[picked]
        required = minimum_time(rows, depth)
        enough = int(np.searchsorted(np.cumsum(duration), required.max() + TOLERANCE)) + 1
        time, duration, depth, required = time[:enough], duration[:enough], depth[:enough], required[:enough]
        levels, where = np.unique(depth, return_index=True)
        if levels.size > _LEVELS:
            keep = np.unique(np.linspace(0, levels.size - 1, _LEVELS).round().astype(int))
            levels, where = levels[keep], where[keep]
        earliest = None
        for level, limit in zip(levels, required[where], strict=True):
            within = depth >= level if side > 0 else depth <= level
            spent = np.cumsum(np.where(within, duration, 0.0))
            over = np.flatnonzero(within & (spent >= limit - TOLERANCE))
            if over.size:
                i = int(over[0])
                moment = float(time[i] + max(0.0, limit - (spent[i] - duration[i])))
                earliest = moment if earliest is None else min(earliest, moment)
        return earliest

    def _by_count(self) -> list[Allowance]:
        """A set that comes after as many in the window as Table 17 asks to be ridden through."""
        row = self.consecutive
        starts = [visits[0].start for visits in self.disturbances]
        return [
            Allowance(
                start,
                visits[-1].end,
                f"more than {row.sets} disturbance sets within {row.window:g} min",
                row.window_citation,
                in_tables=False,
            )
            for visits, start in zip(self.disturbances, starts, strict=True)
            if sum(start - 60.0 * row.window < other <= start for other in starts) > row.sets
        ]

    def _by_frequency(self) -> list[Allowance]:
        found = [
            Allowance(v.start, v.end, "no ride-through is required at this frequency", v.row.citation)
            for v in self.frequency_visits
            if v.mode in ("none", "unspecified")
        ]
        mandatory = [v for v in self.frequency_visits if v.mode == "mandatory"]
        for high in (False, True):
            stays = [v for v in mandatory if (v.row.low > tables.NOMINAL_FREQUENCY) == high]
            found += _spent_in_window(stays)
        return found

    def _by_volts_per_hertz(self) -> list[Allowance]:
        """The continuous frequency range is one only up to this ratio (Table 19)."""
        limit = tables.CONTINUOUS_VOLTS_PER_HERTZ
        if self.highest.max() * tables.NOMINAL_FREQUENCY <= limit * self.frequency.min() + TOLERANCE:
            return []
        ratio = self.highest * tables.NOMINAL_FREQUENCY / self.frequency
        citation = tables.ride_through(self.held.category, "frequency")[3].citation
        return [
            Allowance(self.at(a), self.at(b), f"V/f is above {limit:g} pu", citation, in_tables=False)
            for a, b in spans((ratio > limit + TOLERANCE) & (self.highest <= 1.10 + TOLERANCE))
        ]

    def allowed(self, start: float, end: float) -> Allowance | None:
        """The first allowance that touches the stretch from `start` to `end` [s]."""
        return next((a for a in self.allowances if a.start <= end + TOLERANCE and a.end >= start - TOLERANCE), None)

    def voltage_visit(self, index: int) -> Visit:
        """The stay that a sample belongs to."""
        return _holding(self.voltage_visits, index)

    def frequency_visit(self, index: int) -> Visit:
        """The stay that a sample belongs to."""
        return _holding(self.frequency_visits, index)


def _holding(visits: tuple[Visit, ...], index: int) -> Visit:
    import bisect

    return visits[bisect.bisect_right([v.first for v in visits], index) - 1]


def classify(rows: tuple[RideThroughRow, ...], values: Array) -> NDArray[np.int8]:
    """The index into `rows` (high to low, without gap) of the region of each value; closed ends own their value."""
    upward = rows[::-1]
    edges = np.array([row.low - TOLERANCE if row.low_closed else row.low + TOLERANCE for row in upward[1:]])
    codes = np.full(values.size, -1, dtype=np.int8)
    own = next(i for i, row in enumerate(upward) if row.mode == "continuous")
    # Nearly every sample is in continuous operation: look for the region of the others only.
    outside = np.flatnonzero((values < edges[own - 1]) | (values >= edges[own]))
    codes[:] = len(rows) - 1 - own
    codes[outside] = len(rows) - 1 - np.searchsorted(edges, values[outside], side="right")
    return codes


def minimum_time(rows: tuple[RideThroughRow, ...], values: Array) -> Array:
    """The minimum ride-through time at each voltage [s]; 0 where there is none."""
    codes = classify(rows, values)
    base = np.array([0.0 if np.isnan(row.minimum) else row.minimum for row in rows])[codes]
    slope = np.array([row.slope for row in rows])[codes]
    low = np.array([row.low for row in rows])[codes]
    return np.asarray(base + slope * np.where(slope > 0.0, values - low, 0.0))


_RANK: dict[Mode, int] = {
    "continuous": 0,
    "mandatory": 1,
    "permissive": 2,
    "momentary_cessation": 3,
    "cease_to_energize": 4,
    "unspecified": 1,
    "none": 1,
}


def _severity(rows: tuple[RideThroughRow, ...]) -> NDArray[np.int8]:
    return np.array([_RANK[row.mode] for row in rows], dtype=np.int8)


def _spent_in_window(stays: list[Visit]) -> list[Allowance]:
    """Where 299 s of mandatory operation have been used up within the last 10 minutes."""
    found = []
    window = tables.FREQUENCY_WINDOW
    for i, stay in enumerate(stays):
        limit = stay.row.minimum
        # The time used before this stay ages out of the window while the stay goes on; the sum only grows or holds.
        used = [
            max(0.0, min(other.end, stay.start) - max(other.start, stay.start - window)) for other in stays[: i + 1]
        ]
        moment = stay.start + limit - sum(used)
        while moment <= stay.end + TOLERANCE:
            inside = sum(max(0.0, min(o.end, moment) - max(o.start, moment - window)) for o in stays[: i + 1])
            if inside >= limit - TOLERANCE:
                found.append(Allowance(moment, stay.end, f"{limit:g} s in 10 minutes are used up", stay.row.citation))
                break
            moment += limit - inside
    return found


def rocof(path: Path) -> Array | None:
    """The rate of change of frequency [Hz/s], averaged over the shortest window; None: sampled too coarsely."""
    trace, window = path.trace, tables.ROCOF_WINDOW.value
    if trace.step > window:
        return None
    rate = (trace.frequency - np.interp(trace.time - window, trace.time, trace.frequency)) / window
    # Where a window closes the frequency is the day's nominal one again: nothing that a DER sees.
    return rate if trace.close is None else np.where(trace.time < trace.close - TOLERANCE, rate, 0.0)


def rocof_limit(path: Path) -> tables.Limit:
    """Table 21's row."""
    return next(row for row in tables.ROCOF if row.category == path.held.category)


def rocof_allowances(path: Path) -> list[Allowance]:
    """Where the frequency changes faster than has to be ridden through."""
    frequency = path.trace.frequency
    limit = rocof_limit(path)
    if frequency.max() - frequency.min() <= limit.value * tables.ROCOF_WINDOW.value:
        return []
    rate = rocof(path)
    if rate is None:
        return []
    return [
        Allowance(path.at(a), path.at(b) + _AFTERMATH, f"ROCOF above {limit.value:g} Hz/s", limit.citation, False)
        for a, b in spans(np.abs(rate) > limit.value + 1e-6)
    ]


def phase_jumps(path: Path) -> tuple[Array, Array] | None:
    """Within a cycle: change of the positive sequence's angle and the largest of the phases' [deg]; None: no angles."""
    trace = path.trace
    if trace.angle is None:
        return None
    cycle = 1.0 / tables.NOMINAL_FREQUENCY
    before = np.maximum(np.searchsorted(trace.time, trace.time - cycle - TOLERANCE, side="right") - 1, 0)
    phasor = trace.voltage * np.exp(1j * np.deg2rad(trace.angle))
    individual = np.abs(np.angle(phasor * np.conj(phasor[:, before]), deg=True)).max(axis=0)
    if len(phasor) == 1:
        return individual, individual
    turn = np.exp(2j * np.pi / 3.0)
    positive = phasor[0] + turn * phasor[1] + turn**2 * phasor[2]
    if np.abs(positive).max() < 1.5:  # the angles are deviations from 0, -120, 120, not the angles themselves
        positive = phasor.sum(axis=0)
    return np.abs(np.angle(positive * np.conj(positive[before]), deg=True)), individual


def phase_allowances(path: Path) -> list[Allowance]:
    """Where the phase angle jumps further than has to be ridden through."""
    jumps = phase_jumps(path)
    if jumps is None:
        return []
    positive, individual = jumps
    if len(path.trace.voltage) == 1:
        too_far = positive > tables.PHASE_JUMP_SINGLE_PHASE.value + 1e-6
    else:
        too_far = (positive > tables.PHASE_JUMP_POSITIVE_SEQUENCE.value + 1e-6) | (
            individual >= tables.PHASE_JUMP_INDIVIDUAL.value - 1e-6
        )
    citation = tables.PHASE_JUMP_POSITIVE_SEQUENCE.citation
    return [
        Allowance(path.at(a), path.at(b) + _AFTERMATH, "phase-angle change beyond the required", citation, False)
        for a, b in spans(too_far)
    ]
