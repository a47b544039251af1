"""Priority of responses (1547.1-2020 5.16.1, Tables 38 and 39): eight steps in each of the four reactive modes.

Droop and volt-watt (P2 of 0.2) are on and active power is limited to 50 %. The expected active powers are those of
Tables 38 and 39; expected reactive powers come from the curves, at the measured voltage or power.
"""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt

from runs.bench1547.device import Settings
from runs.bench1547.families import droop, volt_var, volt_watt, watt_var
from runs.bench1547.families.steps import Step, X, piecewise, walk
from runs.bench1547.sequence import Case, Plan, Sequence1547
from runs.bench1547.wave import Wave

#: Voltage [pu], frequency [Hz] and active power [pu] of the eight steps.
STEPS = (
    (1.00, 60.00, 0.5),
    (1.09, 60.00, 0.4),
    (1.09, 60.33, 0.302),
    (1.09, 60.00, 0.4),
    (1.09, 59.36, 0.4),
    (1.00, 59.36, 0.601),
    (1.00, 60.00, 0.5),
    (1.00, 59.36, 0.701),
)
LIMIT = 0.5  #: [pu]
FACTOR = 0.9
INJECTED = 0.44  #: [pu]
HOLD = 40.0  #: [s] four times the slowest response


def sequences(plan: Plan) -> list[Sequence1547]:
    """One sequence for each reactive mode."""
    curve = volt_var.default_characteristic(plan)
    points = watt_var.default_points(plan)
    share = sqrt(1.0 / FACTOR**2 - 1.0)
    modes: tuple[tuple[str, Settings, X, Callable[[float], float]], ...] = (
        ("volt_var", curve.settings(), "voltage", piecewise(curve.points)),
        (
            "constant_reactive_power",
            {"reactive_mode": "constant_reactive_power", "Q_setpoint_pu": INJECTED},
            "p",
            lambda _: INJECTED,
        ),
        (
            "constant_power_factor",
            {"reactive_mode": "constant_power_factor", "PF_power_factor": FACTOR},
            "p",
            lambda p: share * p,
        ),
        ("watt_var", watt_var.watt_var_settings(points), "p", piecewise(points)),
    )
    return [_sequence(plan, name, settings, x, expected) for name, settings, x, expected in modes]


def _sequence(plan: Plan, name: str, mode: Settings, x: X, expected: Callable[[float], float]) -> Sequence1547:
    settings = plan.settings(
        **{
            **plan.wide_trips(),
            **droop.default_characteristic(plan).settings(),
            **volt_watt.default_characteristic(plan).settings(),
            "AP_limit_enabled": True,
            "AP_limit_pu": LIMIT,
            **mode,
        }
    )
    note = "the accuracy of voltage is not added to the band of active power, as in UL1741SB"
    if name == "volt_var" and plan.normal == "A":
        note += "; Table 38 prints 0.25 pu at 1.09 pu, where the default curve gives 0.225 pu, which is used"
    return Sequence1547(
        name=f"priority/{name}",
        title=f"eight steps with {name.replace('_', ' ')}",
        clause="5.16.1, " + ("Table 38" if plan.normal == "A" else "Table 39"),
        requirement="4.7",
        cases=[
            _case("active power", settings, "p", "voltage", None),
            _case("reactive power", settings, "q", x, expected),
        ],
        note=note,
    )


def _case(label: str, settings: Settings, y: str, x: X, expected: Callable[[float], float] | None) -> Case:
    steps = [
        Step(
            str(number),
            expected if expected is not None else _constant(power),
            None,
            to={"voltage": voltage, "frequency": frequency},
            hold=HOLD,
        )
        for number, (voltage, frequency, power) in enumerate(STEPS, 1)
    ]
    return walk(label, settings, steps, wave=Wave(), settle=HOLD, y="p" if y == "p" else "q", x=x, x_accuracy=0.0)


def _constant(value: float) -> Callable[[float], float]:
    return lambda _: value
