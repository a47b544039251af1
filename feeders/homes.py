"""A population of homes, drawn from stated distributions, as a struct of arrays.

Every property of a home is a quantile of a uniform number of its own: home k gets row k of one matrix of
uniform numbers. So the first ten of 1,000 homes are the same as the ten of 10, and a larger share of
owners keeps every owner of the smaller share; two scenarios then differ by what was changed alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from solvers.home_heating import GAS, HEAT_PUMP, NO_LOCKOUT, RESISTANCE

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

#: Lights, plugs and appliances without water heater and HVAC: mean of 24 hours is 1. Sum of the weekday,
#: April to September shapes of Pratt et al., "Metered end-use consumption and load shapes from the ELCAP
#: residential sample of existing homes in the Pacific Northwest", Energy and Buildings 19 (1993) 179-193,
#: as tabulated in GridLAB-D's `elcap1990.h`.
PLUG_SHAPE = (
    *(0.81, 0.74, 0.70, 0.69, 0.69, 0.74, 0.85, 0.94, 0.98, 1.01, 1.03, 1.04),
    *(1.04, 1.02, 1.01, 1.02, 1.09, 1.20, 1.24, 1.22, 1.29, 1.39, 1.28, 1.00),
)
#: Hot-water use: mean of 24 hours is 1; the water heaters' shape of the same source.
WATER_SHAPE = (
    *(0.45, 0.34, 0.28, 0.26, 0.32, 0.55, 1.09, 1.62, 1.64, 1.62, 1.51, 1.30),
    *(1.15, 1.04, 0.92, 0.87, 0.92, 1.11, 1.28, 1.28, 1.26, 1.28, 1.17, 0.79),
)
#: What the sun warms a home by, so that a cool summer night is not taken for winter [K] (assumed).
SUN_OF_A_DAY = 5.0
#: GridLAB-D's levels of thermal integrity (insulation, windows, air leakage), from the worst.
INTEGRITY = ("VERY_LITTLE", "LITTLE", "BELOW_NORMAL", "NORMAL", "ABOVE_NORMAL", "GOOD", "VERY_GOOD")


class HomesError(ValueError):
    """A distribution's parameter is outside its range."""


@dataclass(frozen=True)
class HomeDistributions:
    """What homes are drawn from.

    "(assumed)" marks a value for which no open measurement is cited; it is there to be changed.
    """

    cooling_share: float = 0.95  #: homes with central air conditioning; hot climate (assumed)
    heat_pump_share: float = 0.0  #: homes that a heat pump heats and cools; the rest of both shares has gas
    resistance_share: float = 0.0  #: homes heated by electric resistance
    auxiliary_share: float = 1.0  #: heat pumps with electric auxiliary heat (GridLAB-D's default)
    water_heater_share: float = 0.5  #: homes with an electric storage water heater (assumed)
    ev_share: float = 0.3  #: homes with an electric vehicle (assumed)
    pv_share: float = 0.3  #: homes with rooftop PV (assumed)
    battery_share: float = 0.4  #: share of the homes with PV that have a battery too (assumed)

    floor_area_median: float = 170.0  #: [m2] (assumed)
    floor_area_spread: float = 0.30  #: standard deviation of the logarithm (assumed)
    integrity_weights: tuple[float, ...] = (
        0.03,
        0.10,
        0.20,
        0.32,
        0.20,
        0.10,
        0.05,
    )  #: of INTEGRITY (assumed)
    envelope: float = 1.0  #: factor on the conductance of walls, windows and air exchange that the level has
    envelope_spread: float = 0.0  #: standard deviation of its logarithm
    thermal_mass: float = 2.0  #: per floor area, GridLAB-D's default [Btu/(degF sf)]
    shading: float = 1.0  #: factor on the sun that passes the windows
    cooling_capacity: float = 0.0  #: per floor area, at 35 degC [W/m2]; 0: GridLAB-D's design rule and `oversizing_max`
    cooling_capacity_spread: float = 0.0  #: standard deviation of its logarithm
    cop_mean: float = 3.3  #: cooling COP at 35 degC (assumed)
    cop_spread: float = 0.4
    oversizing_max: float = 0.3  #: air conditioners are up to this share larger than designed (assumed)

    cooling_setpoint_mean: float = 24.0  #: [degC] (assumed)
    cooling_setpoint_spread: float = 1.2  #: [degC]
    heating_setpoint: float = 18.0  #: mean [degC] (assumed)
    heating_setpoint_spread: float = 0.0  #: [degC]
    heating_cop_mean: float = 3.3  #: of heat pumps at 8.3 degC outdoors (assumed)
    heating_cop_spread: float = 0.3
    auxiliary_lockout: float | None = None  #: [degC] outdoors at or below which auxiliary heat does all; None: at none
    deadband: float = 1.1  #: whole width [degC]; GridLAB-D's default of 2 degF

    plug_power_median: float = 0.55  #: mean over the day [kW] (assumed)
    plug_power_spread: float = 0.35  #: standard deviation of the logarithm
    plug_shape: tuple[float, ...] = PLUG_SHAPE  #: by hour of the day, mean 1
    plug_weekend_shape: tuple[float, ...] = ()  #: by hour of Saturdays and Sundays, in the same scale; none: the same
    plug_noise: float = 0.0  #: standard deviation of the logarithm of what each hour deviates by
    plug_noise_correlation: float = 0.0  #: of that deviation from one hour to the next
    water_volume_median: float = 190.0  #: [L], 50 US gallons (assumed)
    water_setpoint_mean: float = 52.0  #: [degC] (assumed)
    water_setpoint_spread: float = 3.0  #: [degC]
    water_draw_median: float = 170.0  #: [L/day] of hot water (assumed)
    water_draw_spread: float = 0.4  #: standard deviation of the logarithm
    water_power: float = 4.5  #: heating element [kW]

    # Private sessions of 6 to 24 h that begin after noon: Sorensen et al., Data in Brief 36 (2021) 107105,
    # DOI 10.1016/j.dib.2021.107105 (2,885 sessions in Trondheim); the charger is that paper's 7.2 kW.
    ev_power: float = 7.2  #: [kW]
    ev_arrival_mean: float = 18.9  #: [h]
    ev_arrival_spread: float = 2.7  #: [h]
    ev_departure_mean: float = 8.3  #: [h]
    ev_departure_spread: float = 1.6  #: [h]
    ev_energy_median: float = 10.8  #: per session [kWh]
    ev_energy_spread: float = 0.71  #: standard deviation of the logarithm
    ev_battery: float = 60.0  #: largest energy that a vehicle can be short of [kWh] (assumed)

    pv_power_min: float = 3.0  #: [kW] (assumed)
    pv_power_max: float = 8.0  #: [kW] (assumed)
    pv_tilt_mean: float = 22.5  #: [deg], a common roof pitch (assumed)
    pv_azimuth_spread: float = 45.0  #: standard deviation from facing the equator [deg] (assumed)
    battery_power: float = 5.0  #: [kW]
    battery_energy: float = 13.5  #: [kWh], usable

    def __post_init__(self) -> None:
        shares = [f.name for f in fields(self) if f.name.endswith("_share")]
        for name in shares:
            if not 0 <= getattr(self, name) <= 1:
                raise HomesError(f"{name} must be between 0 and 1, got {getattr(self, name)}")
        if self.heat_pump_share + self.resistance_share > 1:
            raise HomesError(
                "heat_pump_share and resistance_share must be at most 1 together, got "
                f"{self.heat_pump_share} and {self.resistance_share}"
            )
        if self.auxiliary_lockout is not None:
            if not self.heat_pump_share * self.auxiliary_share:
                raise HomesError("auxiliary_lockout needs heat_pump_share and auxiliary_share above 0")
            # GridLAB-D takes a lockout of 0 degF or less for none given, and puts 10 degF in its place.
            if not -17.7 < self.auxiliary_lockout <= 60:
                raise HomesError(f"auxiliary_lockout must be above -17.7 degC, got {self.auxiliary_lockout}")
        for name in (f.name for f in fields(self) if f.name not in (*shares, "auxiliary_lockout")):
            values = np.atleast_1d(getattr(self, name))
            if not (np.isfinite(values).all() and (values >= 0).all()):
                raise HomesError(f"{name} must be finite and not negative, got {getattr(self, name)}")
        for name, allowed in (("plug_shape", (24,)), ("plug_weekend_shape", (0, 24))):
            if len(getattr(self, name)) not in allowed:
                raise HomesError(f"{name} must be 24 numbers, one an hour, got {len(getattr(self, name))}")
        if self.plug_noise_correlation >= 1:
            raise HomesError(f"plug_noise_correlation must be below 1, got {self.plug_noise_correlation}")
        if min(self.envelope, self.thermal_mass) <= 0:
            raise HomesError("envelope and thermal_mass must be above 0")
        if len(self.integrity_weights) != len(INTEGRITY) or sum(self.integrity_weights) <= 0:
            raise HomesError(f"integrity_weights must be {len(INTEGRITY)} weights, for {', '.join(INTEGRITY)}")
        if self.deadband <= 0 or self.heating_setpoint + 2 * self.deadband >= self.cooling_setpoint_mean:
            raise HomesError(
                "deadband must be above 0 and heating_setpoint at least two deadbands below "
                f"cooling_setpoint_mean, got {self.deadband}, {self.heating_setpoint} and "
                f"{self.cooling_setpoint_mean}"
            )
        if self.pv_power_max < self.pv_power_min:
            raise HomesError(f"pv_power_max must be at least pv_power_min, got {self.pv_power_max}")


@dataclass(frozen=True)
class Homes:
    """(homes,) arrays. What a home does not have, has power 0."""

    floor_area: Floats  #: [m2]
    integrity: NDArray[np.int64]  #: index into INTEGRITY
    cooling: Bools  #: has an air conditioner
    cop: Floats  #: cooling COP at 35 degC
    oversizing: Floats  #: share by which the air conditioner is larger than designed
    envelope: Floats  #: factor on the conductance that the level of integrity has
    thermal_mass: Floats  #: per floor area [Btu/(degF sf)]
    shading: Floats  #: factor on the sun that passes the windows
    cooling_capacity: Floats  #: at 35 degC [kW of heat]; 0: GridLAB-D's design rule
    heating: NDArray[np.int64]  #: index into `home_heating.HEATING`
    heating_cop: Floats  #: of a heat pump at 8.3 degC outdoors
    auxiliary: Bools  #: a heat pump with electric auxiliary heat
    auxiliary_lockout: Floats  #: [degC] outdoors at or below which auxiliary heat does all, or NO_LOCKOUT
    cooling_setpoint: Floats  #: [degC]
    heating_setpoint: Floats  #: [degC]
    deadband: Floats  #: [degC]
    temperature: Floats  #: indoors at the start of a day that needs no heating [degC]
    plug_power: Floats  #: mean over the day [kW]
    schedule_skew: Floats  #: the home's day is this much later than the mean home's [s], whole minutes
    water_power: Floats  #: heating element [kW]
    water_volume: Floats  #: [L]
    water_setpoint: Floats  #: [degC]
    water_temperature: Floats  #: at the start [degC]
    water_draw: Floats  #: [L/day]
    ev_power: Floats  #: charger [kW]
    ev_arrival: Floats  #: time of day [h]
    ev_departure: Floats  #: time of day [h]
    ev_energy: Floats  #: driven each day [kWh]
    ev_battery: Floats  #: [kWh]
    pv_power: Floats  #: at standard test conditions [kW]
    pv_tilt: Floats  #: [deg]
    pv_azimuth: Floats  #: from facing the equator, westwards positive [deg]
    battery_power: Floats  #: [kW]
    battery_energy: Floats  #: [kWh]
    battery_charge: Floats  #: state of charge at the start [1]

    def __len__(self) -> int:
        return len(self.floor_area)

    @property
    def electric_heating(self) -> Bools:
        """(homes,) which homes are heated by electricity."""
        electric: Bools = self.heating != GAS
        return electric

    @property
    def has_element(self) -> Bools:
        """(homes,) which homes electric resistance can heat, as their heating or as a heat pump's auxiliary heat."""
        has: Bools = (self.heating == RESISTANCE) | self.auxiliary
        return has

    @property
    def thermostat(self) -> Bools:
        """(homes,) which homes have a thermostat that switches electric heating or cooling."""
        return self.cooling | self.electric_heating


def draw_homes(
    count: int, distributions: HomeDistributions, generator: np.random.Generator, *, stratified: bool = False
) -> Homes:
    """Draw `count` homes; see the module's docstring for how draws relate.

    `stratified`: a Latin hypercube. One home is in each of `count` equally likely parts of each distribution, so that
    a hundred homes have the means and spreads of their population; more homes are then all others.
    """
    if count < 1:
        raise HomesError(f"the number of homes must be at least 1, got {count}")
    d = distributions
    # A stream of its own, so that what was drawn before these properties were there stays as it was.
    further = np.random.Generator(generator.bit_generator.jumped())  # type: ignore[attr-defined]
    heating = np.random.Generator(generator.bit_generator.jumped(2))  # type: ignore[attr-defined]
    numbers = np.hstack([generator.random((count, 24)), further.random((count, 2))])
    of_heating = heating.random((count, 4))
    if stratified:
        numbers = (further.permuted(np.tile(np.arange(count)[:, None], (1, 26)), axis=0) + numbers) / count
        of_heating = (heating.permuted(np.tile(np.arange(count)[:, None], (1, 4)), axis=0) + of_heating) / count
    column = iter(numbers.T)
    kind, warmth, performance, helper = of_heating.T

    def uniform(low: float, high: float) -> Floats:
        values: Floats = low + (high - low) * next(column)
        return values

    def normal(mean: float, spread: float) -> Floats:
        return mean + spread * normal_quantile(next(column))

    def lognormal(median: float, spread: float) -> Floats:
        values: Floats = median * np.exp(spread * normal_quantile(next(column)))
        return values

    def owners(share: float) -> Bools:
        has: Bools = next(column) < share
        return has

    cooling = owners(d.cooling_share)
    heater = owners(d.water_heater_share)
    vehicle = owners(d.ev_share)
    solar = owners(d.pv_share)
    battery = owners(d.battery_share) & solar
    # Heat pumps from one end of the numbers and resistance from the other: a larger share of either keeps its owners.
    pump, resistance = kind < d.heat_pump_share, kind >= 1.0 - d.resistance_share
    warm = d.heating_setpoint + d.heating_setpoint_spread * normal_quantile(warmth)
    warmest = d.cooling_setpoint_mean + 3 * d.cooling_setpoint_spread
    setpoint = np.minimum(normal(d.cooling_setpoint_mean, d.cooling_setpoint_spread), warmest)
    setpoint = np.maximum(setpoint, warm + 2 * d.deadband)
    weights = np.cumsum(d.integrity_weights) / sum(d.integrity_weights)
    homes = Homes(
        floor_area=np.clip(lognormal(d.floor_area_median, d.floor_area_spread), 40.0, 600.0),
        integrity=np.minimum(np.searchsorted(weights, next(column), side="right"), len(INTEGRITY) - 1),
        cooling=cooling | pump,
        cop=np.clip(normal(d.cop_mean, d.cop_spread), 1.5, 6.0),
        oversizing=uniform(0.0, d.oversizing_max),
        envelope=np.ones(count),
        thermal_mass=np.full(count, d.thermal_mass),
        shading=np.full(count, d.shading),
        cooling_capacity=np.zeros(count),
        heating=np.where(pump, HEAT_PUMP, np.where(resistance, RESISTANCE, GAS)),
        heating_cop=np.clip(d.heating_cop_mean + d.heating_cop_spread * normal_quantile(performance), 1.5, 6.0),
        auxiliary=(helper < d.auxiliary_share) & pump,
        auxiliary_lockout=np.full(count, NO_LOCKOUT if d.auxiliary_lockout is None else d.auxiliary_lockout),
        cooling_setpoint=setpoint,
        heating_setpoint=warm,
        deadband=np.full(count, d.deadband),
        # Anywhere in the deadband, so that the air conditioners do not start in step.
        temperature=setpoint + d.deadband * uniform(-0.5, 0.5),
        plug_power=lognormal(d.plug_power_median, d.plug_power_spread),
        schedule_skew=60.0 * np.rint(np.clip(normal(0.0, 45.0), -180.0, 180.0)).astype(np.float64),
        water_power=np.where(heater, d.water_power, 0.0),
        water_volume=np.clip(lognormal(d.water_volume_median, 0.2), 100.0, 400.0),
        water_setpoint=(tank := np.clip(normal(d.water_setpoint_mean, d.water_setpoint_spread), 45.0, 70.0)),
        water_temperature=tank + uniform(-4.0, 0.0),
        water_draw=lognormal(d.water_draw_median, d.water_draw_spread),
        ev_power=np.where(vehicle, d.ev_power, 0.0),
        ev_arrival=np.clip(normal(d.ev_arrival_mean, d.ev_arrival_spread), 12.0, 23.9),
        ev_departure=np.clip(normal(d.ev_departure_mean, d.ev_departure_spread), 4.0, 11.9),
        ev_energy=np.minimum(lognormal(d.ev_energy_median, d.ev_energy_spread), d.ev_battery),
        ev_battery=np.full(count, d.ev_battery),
        pv_power=np.where(solar, uniform(d.pv_power_min, d.pv_power_max), 0.0),
        pv_tilt=np.clip(normal(d.pv_tilt_mean, 5.0), 0.0, 60.0),
        pv_azimuth=np.clip(normal(0.0, d.pv_azimuth_spread), -135.0, 135.0),
        battery_power=np.where(battery, d.battery_power, 0.0),
        battery_energy=np.where(battery, d.battery_energy, 0.0),
        battery_charge=uniform(0.2, 0.6),
    )
    envelope = lognormal(d.envelope, d.envelope_spread)
    capacity = lognormal(d.cooling_capacity, d.cooling_capacity_spread) * homes.floor_area / 1e3
    return replace(homes, envelope=envelope, cooling_capacity=capacity)


def temperature_at_start(homes: Homes, conductance: Floats, outdoors: float) -> Floats:
    """Indoor temperature (homes,) [degC] to start from at `outdoors` [degC].

    A home that would rest below its heating set-point, with its mean plug power and a day's sun, starts in the
    deadband of its heating; the others in that of their cooling. `conductance` [W/K] of envelope and air exchange.
    """
    rest = outdoors + SUN_OF_A_DAY + 0.9e3 * homes.plug_power / conductance
    in_deadband = homes.temperature - homes.cooling_setpoint
    return np.where(rest < homes.heating_setpoint, homes.heating_setpoint + in_deadband, homes.temperature)


def thermostat_shifts(homes: Homes, offset: float) -> tuple[Floats, Floats]:
    """How far cooling and heating set-points (homes,) move [K] for a requested `offset` [K].

    A positive offset saves power in summer and winter: cooling sets in that much warmer, electric heating that much
    colder. A negative one cools or heats ahead, only as far as leaves two deadbands between the set-points.
    """
    room = np.maximum(homes.cooling_setpoint - homes.heating_setpoint - 2 * homes.deadband, 0.0)
    shift = np.maximum(offset, -np.where(homes.electric_heating, room / 2, room))
    return shift, np.where(homes.electric_heating, -shift, 0.0)


def plug_power(
    homes: Homes, distributions: HomeDistributions, start: datetime, hours: int, generator: np.random.Generator
) -> Floats:
    """(hours, homes) mean power of lights, plugs and appliances in each hour of the clock from `start` on [kW].

    The day's shape, later or earlier by the home's own skew, times a deviation that is correlated from hour to hour
    and leaves the mean as it is.
    """
    d = distributions
    shapes = np.array([d.plug_shape, d.plug_weekend_shape or d.plug_shape])
    hour = start.hour + np.arange(hours)
    weekend = ((start.weekday() + hour // 24) % 7 >= 5).astype(np.int64)
    at = np.mod(hour[:, None] - homes.schedule_skew / 3600.0, 24.0)
    before = np.floor(at).astype(np.int64) % 24
    part = at - np.floor(at)
    shape = (1 - part) * shapes[weekend[:, None], before] + part * shapes[weekend[:, None], (before + 1) % 24]
    power: Floats = homes.plug_power * shape
    if d.plug_noise > 0:
        noise = generator.standard_normal((hours, len(homes)))
        for k in range(1, hours):
            noise[k] = d.plug_noise_correlation * noise[k - 1] + np.sqrt(1 - d.plug_noise_correlation**2) * noise[k]
        power = power * np.exp(d.plug_noise * noise - d.plug_noise**2 / 2)
    return power


def normal_quantile(probability: Floats) -> Floats:
    """Quantile of the standard normal distribution, for each probability in (0, 1)."""
    quantile = NormalDist().inv_cdf
    clipped = np.clip(probability, 1e-12, 1 - 1e-12)
    return np.array([quantile(p) for p in clipped.tolist()], dtype=np.float64)


def needed_at_start(homes: Homes, hour: float) -> Floats:
    """What each vehicle is short of [kWh] at time of day `hour` [h].

    It has charged undisturbed since its last arrival.
    """
    since = _since_arrival(homes, hour) / 3600.0
    charged = homes.ev_power * np.minimum(since, plugged_hours(homes))
    owner = homes.ev_power > 0
    return np.where(owner, np.maximum(homes.ev_energy - charged, 0.0), 0.0)


def plugged_hours(homes: Homes) -> Floats:
    """How long each vehicle stays [h]."""
    return np.mod(homes.ev_departure - homes.ev_arrival, 24.0)


def plugged_in(homes: Homes, hour: float) -> Bools:
    """Which vehicles are at home at time of day `hour` [h]."""
    present: Bools = _since_arrival(homes, hour) < plugged_hours(homes) * 3600.0
    return present & (homes.ev_power > 0)


def _since_arrival(homes: Homes, hour: float) -> NDArray[np.int64]:
    """Whole seconds since each vehicle's last arrival; whole, so that a time is never just beside another."""
    seconds = np.rint(homes.ev_arrival * 3600.0).astype(np.int64)
    since: NDArray[np.int64] = np.mod(round(hour * 3600.0) - seconds, 86_400)
    return since


def charge(homes: Homes, needed: Floats, hour: float, step: float, allowed: Bools) -> Floats:
    """Charging power over the next step.

    Parameters
    ----------
    homes
        Whose vehicles they are.
    needed
        (homes,) what each vehicle is short of [kWh].
    hour
        Time of day at the step's beginning [h].
    step
        [h]
    allowed
        (homes,) false where the charger is unavailable; the need then stays and is charged later.

    Returns
    -------
    (homes,) power [kW], lower than the charger's in the step that completes the charge.

    """
    wanted = np.minimum(homes.ev_power, needed / step)
    return np.where(plugged_in(homes, hour) & allowed, wanted, 0.0)


def needed_after(homes: Homes, needed: Floats, power: Floats, hour: float, step: float) -> tuple[Floats, Floats]:
    """What each vehicle is short of [kWh] after a step of `step` [h] at `power` [kW] from `hour` [h].

    A vehicle that arrives within the step, or at its end, has driven its day's energy; it is short of its battery's at
    most. The second array is what it came short of more than it was before [kWh].
    """
    arrives = (_since_arrival(homes, hour + step) < round(step * 3600.0)) & (homes.ev_power > 0)
    left = np.maximum(needed - power * step, 0.0)
    driven = np.where(arrives, np.minimum(homes.ev_energy, homes.ev_battery - left), 0.0)
    return left + driven, driven


def self_consumption(net: Floats, power: Floats) -> Floats:
    """Battery output [kW] (positive discharges) that brings a home's exchange with the grid to zero.

    `net` [kW] is the home's demand less its PV, without the battery; `power` [kW] the battery's rating.
    """
    output: Floats = np.clip(net, -power, power)
    return output


def at_hour(shape: Sequence[float], hour: float, skew: Floats) -> Floats:
    """A day's shape (homes,) at time of day `hour` [h], later by `skew` [s] in each home."""
    index = np.floor(hour - skew / 3600.0 + 1e-9).astype(np.int64) % 24
    values: Floats = np.asarray(shape)[index]
    return values


def spread_evenly(count: int, slots: int) -> Sequence[int]:
    """`count` indices spread evenly over `slots`, without repetition."""
    return [int(k) for k in np.floor((np.arange(count) + 0.5) * slots / count)]
