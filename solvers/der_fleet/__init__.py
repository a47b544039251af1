"""What a distributed resource (DER) does under IEEE 1547-2018: thousands of them, stepped together in time.

`DerFleet` is the whole; each function group has its own file and its own state in arrays over DER:

settings.py             names, defaults, allowed ranges, utility profiles
common_file_format.py   the same settings under EPRI's Common File Format labels
phases.py               which phase quantity decides
trip_timers.py          shall-trip elements OV2 to UF2
ride_through.py         the mode that voltage and frequency ask for
disturbance_sets.py     time in a disturbance, consecutive disturbances, the may-trip regions of voltage
frequency_count.py      299 s in any 10 minutes
grid_motion.py          rate of change of frequency, phase-angle jumps
may_trip.py             who trips where tripping is allowed
cessation.py            stopping and restoring the output
enter_service.py        criteria, delay, ramp
reactive_power.py       volt-var, watt-var, constant power factor and reactive power
active_power.py         available power, limit, volt-watt, frequency-droop
battery.py              state of charge
limits.py               capability, apparent power, current
lag.py                  open-loop response, exact for any step
fleet.py                the step

A step holds its inputs for `dt_s` and gives the outputs at its end; a timer that has run for its time within the step
has acted by then, and the moment is known exactly. The step may be anything from 1 ms to 1 s, and may change.
"""

from solvers.der_fleet.fleet import ELEMENTS, DerFleet, FleetOutput
from solvers.der_fleet.ride_through import Mode
from solvers.der_fleet.settings import FleetSettings, SettingsError, fleet_settings

__all__ = ["ELEMENTS", "DerFleet", "FleetOutput", "FleetSettings", "Mode", "SettingsError", "fleet_settings"]
