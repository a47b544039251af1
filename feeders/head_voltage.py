"""What a feeder's head voltage means: in service, dead, or between, where no quasi-static feeder has an answer."""

from __future__ import annotations

DEAD = 1e-3  #: [pu] below it the bus is cut off: power flows give 0 there, up to rounding
IN_SERVICE = (0.5, 1.5)  #: [pu] outside no feeder is in service


class HeadVoltageError(ValueError):
    """The head's voltage is neither that of a feeder in service nor that of a dead bus."""


def is_dead(voltage: float) -> bool:
    """Whether a feeder whose head has `voltage` [pu] is dark.

    Raises
    ------
    HeadVoltageError
        If it is neither dark nor in service.

    """
    if voltage < DEAD:
        return True
    low, high = IN_SERVICE
    if not low <= voltage <= high:  # also of NaN
        raise HeadVoltageError(
            f"the head's voltage is {voltage:.3g} pu: a feeder in service has {low:g} to {high:g} pu, one behind a "
            "dead bus 0. Between them motors stall and contactors drop out, which steps of seconds do not follow. "
            "Look at the transmission grid just before; a sag belongs into an `event_window`"
        )
    return False
