"""What the DER did: when it gave no output, why that may have been, and how it came back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np

from runs.comply import accuracy
from runs.comply.path import TOLERANCE, Allowance, Beyond, Path, Visit, phase_jumps
from runs.comply.spans import Mask, spans
from runs.comply.trace import Array
from solvers import ieee1547_tables as tables

ACTIVE_FLOOR = 0.01  #: [pu] active power up to which a DER counts as ceased; the standard says none (4.5)
_VOLTAGE_FLOOR = 0.02  #: [pu] below which a current does not follow from P and Q
_LOW_VOLTAGE = 0.2  #: [pu] below which the floor of active power goes down with the voltage
_SUDDEN = 0.05  #: [pu] of output a second before that makes an end of output sudden
_FADE = 1.0  #: [s]

Cause = Literal[
    "out of service at the start",
    "service not permitted",
    "no source",
    "shall trip",
    "required cessation",
    "permitted",
    "phase jump",
    "forbidden",
]
#: How an outage ended.
Ending = Literal["restored", "slow", "tripped", "unknown"]


@dataclass(frozen=True)
class Outage:
    """A stretch without output."""

    first: int  #: the first sample without output
    stop: int  #: the first sample with output again; the number of samples if there is none
    start: float  #: [s]
    end: float  #: [s]
    cause: Cause
    ending: Ending
    due_back: float | None  #: [s], voltage and frequency asked for output again; None: they never did
    beyond: Beyond | None  #: the shall-trip element beyond whose threshold it began
    visit: Visit  #: the region of voltage that it answers to
    allowance: Allowance | None  #: why a trip was allowed, while it lasted
    reason: str  #: the cause in words
    before: float  #: [pu] active power (or current) before it
    after: float  #: [pu] active power (or current) at its return; 0: none

    def told(self) -> dict[str, Any]:
        """As it stands in the report."""
        return {
            "start_s": self.start,
            "end_s": self.end,
            "cause": self.reason,
            "ending": self.ending,
            "before_pu": round(self.before, 4),
            "after_pu": round(self.after, 4),
        }


@dataclass(frozen=True)
class Operation:
    """A DER's conduct along a path."""

    path: Path

    @cached_property
    def tolerance(self) -> float:
        """The trace's sampling step [s]."""
        return self.path.trace.step

    def resolution(self, index: int) -> float:
        """How long before the sample `index` that what it shows may have happened unseen [s]: the step before it."""
        time = self.path.trace.time
        if not 0 < index < time.size:
            return self.tolerance
        step = float(time[index] - time[index - 1])
        return step if step > 1.5 * self.tolerance else self.tolerance

    def slack(self, limit: float) -> float:
        """By how much a measured time may exceed a limit [s] and still be in doubt [s]."""
        return 0.0 if self.path.held.accuracy == "exact" else accuracy.time(limit)

    def late(self, elapsed: float, limit: float, *, step: float | None = None) -> Literal["yes", "no", "perhaps"]:
        """Whether `elapsed` [s] exceeds `limit` [s], one sample and Table 3's accuracy granted."""
        step = self.tolerance if step is None else step
        if elapsed <= limit + step + TOLERANCE:
            return "no" if step <= limit / 2.0 + TOLERANCE else "perhaps"
        return "perhaps" if elapsed - step <= limit + self.slack(limit) + TOLERANCE else "yes"

    # -- output ----------------------------------------------------------------------------------------------------

    @cached_property
    def ceased(self) -> Mask:
        """Whether there is no output, sample by sample."""
        trace = self.path.trace
        if trace.active is None:
            if trace.current is None:
                return np.zeros(trace.time.size, dtype=bool)
            return trace.current <= self.path.held.ceased_reactive + TOLERANCE
        ceased = np.abs(trace.active) <= ACTIVE_FLOOR
        if trace.reactive is not None:
            ceased &= np.abs(trace.reactive) <= self.path.held.ceased_reactive + TOLERANCE
        if trace.lowest.min() < _LOW_VOLTAGE:
            # There even a full current gives little power: look at the current, as far as it can be told at all.
            low = np.flatnonzero(trace.lowest < _LOW_VOLTAGE)
            mean = trace.voltage[:, low].mean(axis=0)
            ceased[low] &= np.abs(trace.active[low]) <= ACTIVE_FLOOR * np.minimum(1.0, mean / _LOW_VOLTAGE)
            ceased[low] |= mean < _VOLTAGE_FLOOR
        return ceased

    @cached_property
    def output(self) -> Array:
        """Active power, or current where it is all there is [pu]."""
        trace = self.path.trace
        return trace.active if trace.active is not None else trace.current  # type: ignore[return-value]

    def current(self, index: int) -> float | None:
        """Apparent current [pu]; None where it does not follow from the trace."""
        trace = self.path.trace
        if trace.current is not None:
            return float(trace.current[index])
        if trace.active is None or trace.reactive is None or trace.lowest[index] < _VOLTAGE_FLOOR:
            return None
        mean = float(trace.voltage[:, index].mean())
        return float(np.hypot(trace.active[index], trace.reactive[index])) / mean

    def active_current(self, index: int) -> float | None:
        """Active current [pu]; None where it does not follow from the trace."""
        trace = self.path.trace
        if trace.active is None or trace.lowest[index] < _VOLTAGE_FLOOR:
            return None
        return float(trace.active[index]) / float(trace.voltage[:, index].mean())

    @cached_property
    def steady_before(self) -> int:
        """The last sample before voltage or frequency first left continuous operation; -1: there is none."""
        firsts = [v.first for v in (*self.path.voltage_visits, *self.path.frequency_visits) if v.mode != "continuous"]
        return min(firsts) - 1 if firsts else self.path.trace.time.size - 1

    def before(self, index: int) -> int:
        """The sample that shows the output before the disturbance that `index` is in; -1: the trace began in it."""
        for visits in self.path.disturbances:
            if visits[0].first <= index and self.path.at(index) <= visits[-1].end + self.path.consecutive.minimum_gap:
                first = visits[0].first
                while first > 0 and self.ceased[first - 1]:
                    first -= 1
                return first - 1 if first > 0 and visits[0].first > 0 else -1
        return index - 1

    # -- outages ---------------------------------------------------------------------------------------------------

    @cached_property
    def outages(self) -> tuple[Outage, ...]:
        """Every stretch without output."""
        if not self.path.trace.has_output:
            return ()
        return tuple(self._outage(a, b) for a, b in spans(self.ceased))

    def _outage(self, first: int, stop: int) -> Outage:
        path = self.path
        start, end = path.at(first), path.at(stop)
        output = self.output
        back = self._due_back(first, stop)
        after = float(output[min(stop, output.size - 1)]) if stop < output.size else 0.0
        outage = Outage(
            first,
            stop,
            start,
            end,
            cause="forbidden",
            ending="unknown",
            due_back=back,
            beyond=None,
            visit=self._region(first),
            allowance=None,
            reason="",
            before=float(output[max(0, self.before(first))]),
            after=after,
        )
        outage = replace(outage, ending=self._ending(outage))
        cause, reason, beyond, allowance = self._cause(outage)
        return replace(outage, cause=cause, reason=reason, beyond=beyond, allowance=allowance)

    def _due_back(self, first: int, stop: int) -> float | None:
        """When output was asked for again, long enough to see it restored; None: never up to its return.

        Asked for it is in mandatory and continuous operation, unless over-frequency droop or the source leaves nothing.
        """
        path, trace, held = self.path, self.path.trace, self.path.held
        wait = tables.RESTORE_TIME.value
        last = min(int(np.searchsorted(trace.time, path.at(stop) + wait + self.tolerance)) + 1, trace.time.size)
        asked = np.zeros(last - first, dtype=bool)
        for visit in path.voltage_visits:
            if visit.stop > first and visit.first < last and visit.mode in ("mandatory", "continuous"):
                asked[max(visit.first, first) - first : min(visit.stop, last) - first] = True
        if held.switched("FD_enabled") is not False:
            asked &= trace.frequency[first:last] <= tables.NOMINAL_FREQUENCY + held.number("FD_dbOF_Hz") + TOLERANCE
        for values in (trace.available, trace.limit):
            if values is not None:
                asked &= values[first:last] > 2.0 * ACTIVE_FLOOR
        for begin, end in spans(asked):
            if begin + first > stop:
                break
            if path.at(end + first) - path.at(begin + first) >= wait - TOLERANCE:
                return path.at(begin + first)
        return None

    def _ending(self, outage: Outage) -> Ending:
        limit = tables.RESTORE_TIME.value
        if outage.due_back is None:
            return "unknown"
        if outage.stop >= self.path.trace.time.size:
            seen = float(self.path.trace.time[-1]) + self.tolerance - outage.due_back
            return "tripped" if seen > limit + self.slack(limit) + self.tolerance else "unknown"
        elapsed = outage.end - outage.due_back
        if elapsed <= limit + self.slack(limit) + self.tolerance + TOLERANCE:
            return "restored"
        if elapsed - self.resolution(outage.stop) <= limit + TOLERANCE:
            return "unknown"  # it was back at the next sample, which came too late to see when
        return "slow" if elapsed <= 10.0 * limit else "tripped"

    def _cause(self, outage: Outage) -> tuple[Cause, str, Beyond | None, Allowance | None]:
        path, trace = self.path, self.path.trace
        step = self.tolerance
        if outage.first == 0:
            return "out of service at the start", "out of service when the trace begins", None, None
        if trace.permit is not None and (trace.permit[: outage.first + 1][-max(1, round(2.5 / step)) :] < 0.5).any():
            return "service not permitted", "service was not permitted", None, None
        if self._without_source(outage.first):
            return "no source", "its source or an active-power limit left nothing to give", None, None
        beyond = self._reached(outage)
        if beyond is not None:
            return "shall trip", f"shall trip {beyond.element.name}", beyond, None
        visit = outage.visit
        until = outage.start
        if visit.mode not in ("mandatory", "continuous"):
            # The output was away anyhow, so that a trip may have come at any moment until it was due back.
            back = outage.due_back
            until = outage.end if back is None else min(outage.end, back + tables.RESTORE_TIME.value)
            known = self._tripped_at(outage)
            until = until if known is None else known
        allowance = path.allowed(outage.start - step - self._trip_grace, max(until, outage.start))
        if visit.mode in ("momentary_cessation", "cease_to_energize"):
            return "required cessation", f"{visit.mode.replace('_', ' ')} was required", None, allowance
        if visit.mode == "permissive":
            return "permitted", "permissive operation", None, allowance
        if allowance is not None:
            return "permitted", allowance.reason, None, allowance
        if self._after_jump(outage):
            return "phase jump", "cessation after a phase-angle change", None, None
        if self._faded(outage):
            return "no source", "its output faded away", None, None
        return "forbidden", f"lost in {visit.mode} operation", None, None

    def _tripped_at(self, outage: Outage) -> float | None:
        """When in an outage the DER says it tripped [s]; None: it does not say."""
        tripped = self.path.trace.tripped
        if tripped is None:
            return None
        since = np.flatnonzero(tripped[outage.first : outage.stop] > 0.0)
        return self.path.at(outage.first + int(since[0])) if since.size else None

    @property
    def _trip_grace(self) -> float:
        """A trip that was decided while allowed may show this much later [s]."""
        return tables.CEASE_RESPONSE.value if self.path.held.accuracy == "table 3" else 0.0

    def _reached(self, outage: Outage) -> Beyond | None:
        """The shall-trip element whose clearing time was over, within accuracy, when the output ended."""
        step = self.tolerance
        for beyond in self.path.beyond:
            clearing = beyond.element.clearing
            elapsed = outage.start - beyond.start
            spare = max(self.slack(clearing), step) + step
            if elapsed >= clearing - spare and outage.start <= beyond.end + spare and elapsed >= 0.0:
                visit = outage.visit
                # Cessation that the region asks for anyhow tells nothing about the element.
                if visit.mode in ("momentary_cessation", "cease_to_energize") and elapsed < clearing - step:
                    continue
                return beyond
        return None

    def _region(self, index: int) -> Visit:
        """The region that an end of output answers to: the present one, or one that was just left."""
        now = self.path.voltage_visit(index)
        if now.mode not in ("continuous", "mandatory"):
            return now
        earliest = self.path.at(index) - tables.CEASE_RESPONSE.value - self.tolerance
        for visit in self.path.voltage_visits:
            if visit.first < now.first and visit.end >= earliest and visit.mode not in ("continuous", "mandatory"):
                return visit
        return now

    def _without_source(self, index: int) -> bool:
        trace = self.path.trace
        for values in (trace.available, trace.limit):
            if values is not None and float(values[index]) <= 2.0 * ACTIVE_FLOOR:
                return True
        if trace.active is None or self.path.held.switched("FD_enabled") is False:
            return False
        deadband = tables.NOMINAL_FREQUENCY + self.path.held.number("FD_dbOF_Hz")
        if trace.frequency[index] <= deadband:
            return False
        normal = np.flatnonzero(trace.frequency[:index] <= deadband)
        before = self.before(int(normal[-1]) + 1) if normal.size else -1
        if before < 0:
            return False
        return droop_power(self.path, float(trace.active[before]), float(trace.frequency[index])) <= 2.0 * ACTIVE_FLOOR

    def _faded(self, outage: Outage) -> bool:
        """Whether the output had gone down slowly, as with the sun; only a sudden end is a trip."""
        trace = self.path.trace
        if trace.available is not None:
            return False
        earlier = int(np.searchsorted(trace.time, outage.start - _FADE - self.tolerance))
        return earlier < outage.first and float(np.abs(self.output[earlier : outage.first]).max()) < _SUDDEN

    def _after_jump(self, outage: Outage) -> bool:
        jumps = phase_jumps(self.path)
        limit = tables.PHASE_JUMP_CESSATION.value
        if jumps is None or outage.end - outage.start > limit + self.slack(limit) + self.tolerance:
            return False
        near = int(np.searchsorted(self.path.trace.time, outage.start - limit))
        return bool((jumps[1][near : outage.first + 1] > 5.0).any())

    def out_at(self, index: int) -> Outage | None:
        """The outage that a sample is in."""
        return next((o for o in self.outages if o.first <= index < o.stop), None)

    def energised_between(self, start: float, end: float) -> bool:
        """Whether there was output at any sample in [start, end) [s]."""
        time = self.path.trace.time
        a, b = np.searchsorted(time, [start - TOLERANCE, end - TOLERANCE])
        return bool((~self.ceased[a:b]).any())

    def state(self, index: int) -> dict[str, float | None]:
        """P, Q and I [pu] at a sample."""
        trace = self.path.trace
        index = min(max(index, 0), trace.time.size - 1)
        current = self.current(index)
        return {
            "p_pu": None if trace.active is None else round(float(trace.active[index]), 4),
            "q_pu": None if trace.reactive is None else round(float(trace.reactive[index]), 4),
            "i_pu": None if current is None else round(current, 4),
        }

    def evidence(self, outage: Outage) -> dict[str, Any]:
        """The story of an outage: output before, during, after, and the path through the planes."""
        return {
            **outage.told(),
            "before": self.state(outage.first - 1),
            "during": self.state((outage.first + min(outage.stop, self.path.trace.time.size) - 1) // 2),
            "after": self.state(outage.stop) if outage.stop < self.path.trace.time.size else None,
            "path": self.around(outage.start, outage.end),
        }

    def around(self, start: float, end: float) -> list[dict[str, Any]]:
        """The stays in regions from a little before `start` to `end` [s], at most twenty."""
        path = self.path
        told = []
        for name, visits in (("voltage", path.voltage_visits), ("frequency", path.frequency_visits)):
            for visit in visits:
                if visit.end < start - 30.0 or visit.start > end or (name, visit.mode) == ("frequency", "continuous"):
                    continue
                if name == "frequency":
                    values = path.frequency
                else:
                    values = path.highest if visit.row.low >= 1.0 else path.lowest
                span = values[visit.first : visit.stop]
                told.append(
                    {
                        "quantity": name,
                        "mode": visit.mode,
                        "start_s": visit.start,
                        "end_s": visit.end,
                        "least": round(float(span.min()), 5),
                        "most": round(float(span.max()), 5),
                    }
                )
        return told[:20]


def droop_power(path: Path, before: float, frequency: float) -> float:
    """Active power [pu] that over-frequency droop leaves of the power before (6.5.2.7)."""
    held, nominal = path.held, tables.NOMINAL_FREQUENCY
    above = max(0.0, frequency - nominal - held.number("FD_dbOF_Hz"))
    return max(0.0, before - above / (nominal * held.number("FD_kOF_pu")))
