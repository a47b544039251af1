"""The whole fleet: what all its DER do in a step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from solvers.der_fleet.active_power import ActivePower
from solvers.der_fleet.arrays import Booleans, Codes, Floats
from solvers.der_fleet.battery import Batteries
from solvers.der_fleet.cessation import Cessation
from solvers.der_fleet.disturbance_sets import DisturbanceSets
from solvers.der_fleet.enter_service import EnterService
from solvers.der_fleet.frequency_count import FrequencyCount
from solvers.der_fleet.grid_motion import PhaseJump, RateOfChange
from solvers.der_fleet.limits import Limits
from solvers.der_fleet.may_trip import MayTrip
from solvers.der_fleet.phases import Measured, measure
from solvers.der_fleet.reactive_power import ReactivePower
from solvers.der_fleet.ride_through import Asked, Mode, RideThrough
from solvers.der_fleet.settings import FleetSettings
from solvers.der_fleet.trip_timers import TRIP_ELEMENTS, TripTimers

#: What trips a DER, by code: the shall-trip elements, then the others.
ELEMENTS: Final = (*TRIP_ELEMENTS, "ROCOF", "PHASE_JUMP", "MAY_TRIP", "PERMIT_SERVICE")
_ROCOF, _PHASE_JUMP, _MAY_TRIP, _PERMIT = range(len(TRIP_ELEMENTS), len(ELEMENTS))


@dataclass(frozen=True)
class FleetOutput:
    """What the DER do at the end of a step; arrays (n,), the caller's to keep."""

    time_s: float  #: [s] since the fleet's start
    p_pu: Floats  #: [pu of nameplate apparent power], positive when injecting
    q_pu: Floats  #: [pu of nameplate apparent power], positive when injecting
    mode: Codes  #: codes of `Mode`
    tripped: Booleans  #: out of service, after a trip or since a cold start
    element: Codes  #: index into ELEMENTS of the latest trip; -1: none yet
    trip_time_s: Floats  #: [s] of the latest trip; NaN: none yet
    reenter_time_s: Floats  #: [s] at which it last began to enter service; NaN: not yet
    may_trip: Booleans  #: inside a may-trip region


class DerFleet:
    """`settings.n` DER, stepped together; see the package for the files of the functions.

    Only the state of the function groups and what `FleetOutput` names are kept. `seed` decides lots and randomised
    delays, nothing else is random.
    """

    def __init__(self, settings: FleetSettings, seed: int = 0, *, in_service: ArrayLike = True) -> None:
        """`in_service` (or (n,)): already running in steady state at the start; else it must enter service first."""
        n = settings.n
        running = np.broadcast_to(np.asarray(in_service, bool), (n,)).copy()
        self.seed = seed
        self.time_s = 0.0
        self._element: Codes = np.full(n, -1, np.int8)
        self._trip_time = np.full(n, np.nan)
        #: [pu] output at the start of the step, in a voltage disturbance the one before it; None: not stepped yet
        self._active: Floats | None = None
        self._slow, self._fast = FrequencyCount(n), FrequencyCount(n)
        self._build(settings)
        self.enter_service = EnterService(settings, seed, in_service=running)

    def _build(self, settings: FleetSettings) -> None:
        """The function groups of `settings`, in their initial state."""
        self.settings = settings
        self.timers = TripTimers(settings)
        self.ride_through = RideThrough(settings)
        self.sets = DisturbanceSets(settings)
        self.rate_of_change = RateOfChange(settings)
        self.phase_jump = PhaseJump(settings)
        self.may_trip = MayTrip(settings, self.seed)
        self.cessation = Cessation(settings)
        self.batteries = Batteries(settings)
        self.active_power = ActivePower(settings)
        self.reactive_power = ReactivePower(settings)
        self.limits = Limits(settings)

    def change(self, values: Mapping[str, ArrayLike], which: ArrayLike = True, *, check: bool = True) -> None:
        """Give running DER new settings, `values` by name for the DER `which` (n,); all state is kept.

        Raises SettingsError as `fleet_settings` does.
        """
        rows = np.broadcast_to(np.asarray(which, bool), (self.settings.n,))
        groups = (
            "timers",
            "sets",
            "rate_of_change",
            "phase_jump",
            "may_trip",
            "cessation",
            "batteries",
            "active_power",
            "reactive_power",
        )
        settings = self.settings.changed(values, rows, check=check)
        earlier = {name: getattr(self, name) for name in groups}
        self._build(settings)
        for name in groups:
            getattr(self, name).retain(earlier[name])
        enter_service = EnterService(settings, self.seed, in_service=~self.enter_service.out)
        enter_service.retain(self.enter_service)
        self.enter_service = enter_service

    def step(
        self,
        dt_s: float,
        voltage_pu: Floats,
        angle_deg: Floats | None,
        frequency_hz: Floats,
        available_pu: Floats,
    ) -> FleetOutput:
        """Let `dt_s` [s] pass with these inputs held.

        `voltage_pu` (n, 3) phase voltages [pu of nominal], a single-phase DER uses column 0; `angle_deg` (n, 3)
        deviation [deg] of the phases' angles from the nominal ones in a frame that turns with the frequency, None: no
        jumps; `frequency_hz` (n,) [Hz]; `available_pu` (n,) [pu of rating] what the source can give (PV) or is asked
        for (battery; negative: charging).

        Raises ValueError where a shape is wrong, the step is not positive or a voltage or frequency is no number.
        """
        n = self.settings.n
        if voltage_pu.shape != (n, 3) or frequency_hz.shape != (n,) or available_pu.shape != (n,) or not dt_s > 0.0:
            raise ValueError(
                f"{n} DER need voltages ({n}, 3), frequencies and powers ({n},) and a positive step, got "
                f"{voltage_pu.shape}, {frequency_hz.shape}, {available_pu.shape} and {dt_s} s"
            )
        flags = self.settings.flags
        measured = measure(voltage_pu, angle_deg, frequency_hz, flags["three_phase"], flags["phase_to_phase"])
        asked = self.ride_through.step(measured)
        jump = None if angle_deg is None else self.phase_jump.step(dt_s, voltage_pu, angle_deg)
        allowed = self._trip(dt_s, measured, asked, jump)
        share = self.cessation.step(dt_s, None if asked is None else asked.mode, None if jump is None else jump[0])
        cap = self.enter_service.step(dt_s, self.time_s, measured, available_pu)
        active, reactive = self._power(dt_s, measured, asked, available_pu, share, cap)
        self.time_s += dt_s
        out = self.enter_service.out
        return FleetOutput(
            self.time_s,
            active,
            reactive,
            self._mode(asked, cap),
            out.copy(),
            self._element.copy(),
            self._trip_time.copy(),
            self.enter_service.reentered.copy(),
            np.zeros(len(out), bool) if allowed is None else allowed & ~out,
        )

    def _trip(
        self,
        dt_s: float,
        measured: Measured,
        asked: Asked | None,
        jump: tuple[Booleans, Booleans, Booleans] | None,
    ) -> Booleans | None:
        """Trip whom an element, a relay, a lot or the lack of permission trips; gives (n,) who may trip."""
        rate = self.rate_of_change.step(dt_s, measured.frequency)
        allowed = self.sets.step(dt_s, self.time_s, asked)
        for permission in self._permissions(dt_s, asked):
            allowed = permission if allowed is None else allowed | permission
        for beyond in (None if rate is None else rate[1], None if jump is None else jump[2]):
            if beyond is not None and beyond.any():
                allowed = beyond if allowed is None else allowed | beyond
        fired = self.timers.step(dt_s, measured)
        if fired is not None:
            self._put_out(fired.which, fired.element, fired.offset)
        at_start = np.zeros(self.settings.n)
        for which, code in (
            (None if rate is None else rate[0], _ROCOF),
            (None if jump is None else jump[1], _PHASE_JUMP),
            (self.may_trip.step(allowed), _MAY_TRIP),
            (~self.enter_service.permit, _PERMIT),
        ):
            if which is not None and which.any():
                self._put_out(which, np.full(self.settings.n, code, np.int8), at_start)
        return allowed

    def _permissions(self, dt_s: float, asked: Asked | None) -> list[Booleans]:
        """Who may trip by frequency, each (n,)."""
        found = [] if asked is None else [asked.frequency_free, asked.volts_per_hertz]
        slow, fast = (None, None) if asked is None else (asked.slow, asked.fast)
        for count, beyond in ((self._slow, slow), (self._fast, fast)):
            exhausted = count.step(dt_s, self.time_s, beyond)
            if exhausted is not None:
                found.append(exhausted)
        return [permission for permission in found if permission.any()]

    def _put_out(self, which: Booleans, element: Codes, offset: Floats) -> None:
        tripping = which & ~self.enter_service.out
        if not tripping.any():
            return
        self._element[tripping] = element[tripping]
        self._trip_time[tripping] = self.time_s + offset[tripping]
        self.enter_service.trip(tripping)

    def _power(
        self,
        dt_s: float,
        measured: Measured,
        asked: Asked | None,
        available_pu: Floats,
        share: Floats | None,
        cap: Floats | None,
    ) -> tuple[Floats, Floats]:
        """(n,) active and reactive power [pu] at the end of the step."""
        source = np.clip(available_pu, 0.0, 1.0)
        most = source
        if self.batteries.any:
            battery = self.batteries.battery
            source = np.where(battery, self.batteries.demand(dt_s, available_pu), source)
            most = np.where(battery, self.batteries.demand(dt_s, np.ones_like(source)), source)
        earlier = source if self._active is None else self._active
        wanted = self.active_power.step(dt_s, measured, source, most, earlier)
        if cap is not None:
            wanted = np.clip(wanted, -cap, cap)
            out = self.enter_service.out
            self.reactive_power.reset(out)
            self.active_power.droop.reset(out)
            self.cessation.reset(out)
        wanted_reactive = self.reactive_power.step(dt_s, measured.mean, wanted)
        active, reactive = self.limits.apply(wanted, wanted_reactive, measured.mean, measured.lowest)
        if share is not None:
            active *= share
            reactive *= share
        if cap is not None:
            active[out] = 0.0
            reactive[out] = 0.0
        if self.batteries.any:
            self.batteries.step(dt_s, active)
        self._active = self._undisturbed(asked, share, earlier, active)
        return active.copy(), reactive

    def _undisturbed(self, asked: Asked | None, share: Floats | None, earlier: Floats, active: Floats) -> Floats:
        """(n,) the output from which droop counts (6.5.2.7: the pre-disturbance one) should frequency move next.

        What the current limit and cessation leave in a sag is no operating point: the output before the sag is, until
        all of it is restored.
        """
        away = np.zeros(len(active), bool) if share is None else share < 1.0
        if asked is not None:
            away |= asked.below | asked.above
        return np.where(away & ~self.enter_service.out, earlier, active) if away.any() else active

    def _mode(self, asked: Asked | None, cap: Floats | None) -> Codes:
        mode = np.zeros(self.settings.n, np.int8) if asked is None else asked.mode.copy()
        if cap is not None:
            mode[(cap < 1.0) & (mode == Mode.CONTINUOUS)] = Mode.ENTERING_SERVICE
            mode[self.enter_service.out] = Mode.TRIPPED
        return mode
