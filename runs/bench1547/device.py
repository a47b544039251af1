"""The interface of a device under test: what a DER model must offer to be put on the bench.

Write one class with `phases`, `restart` and `step` (see `Device`), and name it to the bench as `module:Class` or
`file.py:Class`. A model that steps many DER at once derives from `Bank` instead, and the bench runs all repeats and
variants of a sequence as its members. `docs/bench1547.md` is the tutorial.

Settings travel under the names of `solvers/ieee1547_tables.py` (`UV1_trip_V_pu`, `UV1_trip_s`, `OF2_trip_Hz`,
`VV_V1_pu`, ...) and of `OTHER_SETTINGS` here; a device gets all of them at every restart.
"""

from __future__ import annotations

import importlib
import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from cosim.errors import ConfigError

Array = NDArray[np.float64]
Settings = Mapping[str, float | str | bool]

#: What the bench sends beside the table's settings and the trips -> its meaning.
OTHER_SETTINGS: Mapping[str, str] = {
    "category": "I, II or III: abnormal operating performance category (6.4, 6.5)",
    "normal_category": "A or B: normal operating performance category (5.2, 5.3)",
    "ES_permit_service": "bool: may be in service (4.6.1, 4.10.3)",
    "ES_randomised": "bool: enter service with all power after a random delay up to ES_random_delay_s, without ramp",
    "reactive_mode": "constant_power_factor, constant_reactive_power, volt_var or watt_var (5.3)",
    "PF_absorbing": "bool: PF_power_factor absorbs reactive power, else injects",
    "VV_auto_Vref": "bool: volt-var's autonomous reference voltage, with VV_Vref_time_s",
    "VW_enabled": "bool: volt-watt (5.4.2)",
    "FD_enabled": "bool: frequency droop (6.5.2.7); always true",
    "AP_limit_enabled": "bool: limit active power to AP_limit_pu (4.6.2)",
}


class Device(Protocol):
    """One DER on the bench; constructed without arguments.

    A device may also offer `change(settings)`: new settings while it runs, its state kept. Without it the steps that
    change a setting on a running device are reported as not exercised.
    """

    phases: int  #: 1 or 3

    def restart(self, settings: Settings, *, in_service: bool) -> None:
        """Forget everything and take `settings`.

        `in_service` true: running in steady state at nominal voltage and frequency; false: out of service, its enter
        service criteria not yet met, as after a trip or at a cold start.
        """

    def step(
        self, dt_s: float, voltage_pu: Array, angle_deg: Array, frequency_hz: float, available_pu: float
    ) -> tuple[float, float]:
        """Let `dt_s` [s] pass with these inputs held; give (P, Q) [pu] at its end, positive when injecting.

        Voltage magnitudes [pu] and angles [deg] have shape (phases,). The angles are the deviation from the nominal
        0, -120, 120 in a frame that turns at `frequency_hz`: they move in a phase-angle jump only. `available_pu` is
        the active power that the source can give [pu]. P and Q are totals of all phases. `dt_s` varies from call to
        call, between 1 ms and 1 s.
        """


class Bank(ABC):
    """`members` DER of one kind, stepped together; the bench runs repeats and variants side by side on it."""

    phases: int = 3  #: 1 or 3
    together: ClassVar[int] = 400  #: how many members the bench may run side by side

    def __init__(self, members: int) -> None:
        self.members = members

    @abstractmethod
    def restart(self, settings: Sequence[Settings], *, in_service: NDArray[np.bool_]) -> None:
        """As `Device.restart`, one entry a member; `in_service` has shape (members,)."""

    @abstractmethod
    def step(
        self, dt_s: float, voltage_pu: Array, angle_deg: Array, frequency_hz: Array, available_pu: Array
    ) -> tuple[Array, Array]:
        """As `Device.step`; voltage and angle have shape (members, phases), all others (members,)."""

    def change(self, member: int, settings: Settings) -> None:
        """Give one running member new values for some settings; its state stays.

        Raises NotImplementedError where the model cannot.
        """
        raise NotImplementedError


class SingleBank(Bank):
    """One `Device`; the bench runs its cases one after the other."""

    together = 1

    def __init__(self, members: int, make: Callable[[], Device]) -> None:
        super().__init__(members)
        self.device = make()

    @property
    def phases(self) -> int:  # type: ignore[override]  # a device says so itself, when it is there
        return self.device.phases

    def restart(self, settings: Sequence[Settings], *, in_service: NDArray[np.bool_]) -> None:
        self.device.restart(settings[0], in_service=bool(in_service[0]))

    def step(
        self, dt_s: float, voltage_pu: Array, angle_deg: Array, frequency_hz: Array, available_pu: Array
    ) -> tuple[Array, Array]:
        p, q = self.device.step(dt_s, voltage_pu[0], angle_deg[0], float(frequency_hz[0]), float(available_pu[0]))
        return np.array([p], dtype=np.float64), np.array([q], dtype=np.float64)

    def change(self, member: int, settings: Settings) -> None:
        change = getattr(self.device, "change", None)
        if change is None:
            raise NotImplementedError
        change(settings)


#: Gives a bank of so many members.
Maker = Callable[[int], Bank]


def load_device(entry: str) -> Maker:
    """The maker named by `entry`: `fleet`, `opender`, `module:Class` or `file.py:Class`.

    Raises `ConfigError` where it names nothing that can be tested.
    """
    if entry == "fleet":
        from runs.bench1547.fleet_device import FleetBank

        return FleetBank
    if entry == "opender":
        from runs.bench1547.opender_device import opender_maker

        return opender_maker()
    return maker_of(_load_class(entry))


def maker_of(kind: type[Any]) -> Maker:
    """A maker of banks of `kind`, a subclass of `Bank` or a class as described in `Device`."""
    if issubclass(kind, Bank):
        return kind
    missing = [name for name in ("restart", "step") if not callable(getattr(kind, name, None))]
    if missing:
        raise ConfigError(
            "device",
            f"{kind.__name__} has no {' and no '.join(missing)}",
            "A device has `phases`, `restart` and `step`; see runs/bench1547/device.py.",
        )
    return lambda members: SingleBank(members, cast("Callable[[], Device]", kind))


def _load_class(entry: str) -> type[Any]:
    place, colon, name = entry.rpartition(":")
    if not colon or not place or not name:
        raise ConfigError("device", f"'{entry}' names no device", "Give fleet, opender, module:Class or file.py:Class.")
    try:
        if place.endswith(".py"):
            if not Path(place).is_file():
                raise ConfigError("device", f"there is no file '{place}'", "Correct the path in file.py:Class.")
            spec = importlib.util.spec_from_file_location(Path(place).stem, place)
            if spec is None or spec.loader is None:
                raise ConfigError("device", f"'{place}' is not a Python file", "Give file.py:Class.")
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
        else:
            module = importlib.import_module(place)
    except (ImportError, SyntaxError) as error:
        raise ConfigError("device", f"'{place}' cannot be imported: {error}", "Correct the module or file.") from error
    kind = getattr(module, name, None)
    if not isinstance(kind, type):
        known = ", ".join(sorted(key for key, value in vars(module).items() if isinstance(value, type)))
        raise ConfigError("device", f"'{place}' has no class '{name}'", f"Its classes: {known or 'none'}.")
    return kind
