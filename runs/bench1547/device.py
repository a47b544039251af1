"""The interface of a device under test: what a DER model must offer to be put on the bench.

Write one class with `phases`, `restart` and `step` (see `Device`), and name it to the bench as `module:Class` or
`file.py:Class`. A model that steps many DER at once derives from `Bank` instead, and the bench runs all repeats and
variants of a sequence as its members. `docs/bench1547.md` is the tutorial.

Settings travel under the names of the EPRI Common File Format for DER settings (EPRI 3002020201, the labels that
IEEE 1547.1-2020 commissioning reports use); `SETTINGS` lists all that the bench ever sends, with their units.
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

#: Every setting that the bench sends -> its unit and meaning. A value in pu of power is on the nameplate apparent power.
SETTINGS: Mapping[str, str] = {
    "NP_ABNORMAL_OP_CAT": "CAT_I, CAT_II or CAT_III: abnormal operating performance category (6.4, 6.5)",
    "NP_NORMAL_OP_CAT": "CAT_A or CAT_B: normal operating performance category (5.2, 5.3)",
    "ES_PERMIT_SERVICE": "bool: permit service (4.10.3)",
    "ES_V_LOW": "[pu] enter service, minimum voltage",
    "ES_V_HIGH": "[pu] enter service, maximum voltage",
    "ES_F_LOW": "[Hz] enter service, minimum frequency",
    "ES_F_HIGH": "[Hz] enter service, maximum frequency",
    "ES_DELAY": "[s] enter service, intentional delay",
    "ES_RAMP_RATE": "[s] enter service, duration of the ramp to rated power",
    "ES_RANDOMIZED_DELAY": "[s] enter service, upper end of the randomised delay; 0: not used",
    "AP_LIMIT_ENABLE": "bool: limit active power (4.6.2)",
    "AP_LIMIT": "[pu] active power limit",
    "CONST_PF_MODE_ENABLE": "bool: constant power factor (5.3.2)",
    "CONST_PF": "[1] power factor, 0 to 1",
    "CONST_PF_EXCITATION": "INJ or ABS: the side of CONST_PF",
    "CONST_Q_MODE_ENABLE": "bool: constant reactive power (5.3.5)",
    "CONST_Q": "[pu] reactive power, positive injects",
    "QV_MODE_ENABLE": "bool: volt-var (5.3.3)",
    **{f"QV_CURVE_V{i}": f"[pu] volt-var curve, voltage {i}" for i in (1, 2, 3, 4)},
    **{f"QV_CURVE_Q{i}": f"[pu] volt-var curve, reactive power {i}" for i in (1, 2, 3, 4)},
    "QV_OLRT": "[s] volt-var open-loop response time (90 %)",
    "QV_VREF": "[pu] volt-var reference voltage",
    "QV_VREF_AUTO_MODE": "bool: volt-var autonomous reference voltage",
    "QV_VREF_TIME": "[s] time constant of the autonomous reference voltage",
    "QP_MODE_ENABLE": "bool: watt-var (5.3.4)",
    **{f"QP_CURVE_P{i}_GEN": f"[pu] watt-var curve, active power {i}" for i in (1, 2, 3)},
    **{f"QP_CURVE_Q{i}_GEN": f"[pu] watt-var curve, reactive power {i}" for i in (1, 2, 3)},
    "PV_MODE_ENABLE": "bool: volt-watt (5.4.2)",
    "PV_CURVE_V1": "[pu] volt-watt curve, voltage 1",
    "PV_CURVE_P1": "[pu] volt-watt curve, active power 1",
    "PV_CURVE_V2": "[pu] volt-watt curve, voltage 2",
    "PV_CURVE_P2": "[pu] volt-watt curve, active power 2",
    "PV_OLRT": "[s] volt-watt open-loop response time (90 %)",
    "PF_DBOF": "[Hz] droop, overfrequency deadband",
    "PF_DBUF": "[Hz] droop, underfrequency deadband",
    "PF_KOF": "[pu] droop, overfrequency",
    "PF_KUF": "[pu] droop, underfrequency",
    "PF_OLRT": "[s] droop open-loop response time (90 %)",
    **{
        f"{element}_TRIP_{kind}": f"{unit} shall-trip {element}, {what}"
        for element in ("OV2", "OV1", "UV1", "UV2")
        for kind, unit, what in (("V", "[pu]", "voltage"), ("T", "[s]", "clearing time"))
    },
    **{
        f"{element}_TRIP_{kind}": f"{unit} shall-trip {element}, {what}"
        for element in ("OF2", "OF1", "UF1", "UF2")
        for kind, unit, what in (("F", "[Hz]", "frequency"), ("T", "[s]", "clearing time"))
    },
}


class Device(Protocol):
    """One DER on the bench; constructed without arguments.

    A device may also offer `change(settings)`: new settings while it runs, its state kept. Without it the steps that
    change a setting on a running device are reported as not exercised.
    """

    phases: int  #: 1 or 3

    def restart(self, settings: Settings, *, in_service: bool) -> None:
        """Forget everything and take `settings` (all of `SETTINGS`).

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

    phases: ClassVar[int] = 3  #: 1 or 3

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


class LoopedBank(Bank):
    """Devices of one class, stepped one after the other."""

    def __init__(self, members: int, make: Callable[[], Device]) -> None:
        super().__init__(members)
        self.devices = [make() for _ in range(members)]
        self.phases = self.devices[0].phases  # type: ignore[misc]  # a device's own, known only now

    def restart(self, settings: Sequence[Settings], *, in_service: NDArray[np.bool_]) -> None:
        for device, own, running in zip(self.devices, settings, in_service, strict=True):
            device.restart(own, in_service=bool(running))

    def step(
        self, dt_s: float, voltage_pu: Array, angle_deg: Array, frequency_hz: Array, available_pu: Array
    ) -> tuple[Array, Array]:
        powers = [
            device.step(dt_s, voltage_pu[i], angle_deg[i], float(frequency_hz[i]), float(available_pu[i]))
            for i, device in enumerate(self.devices)
        ]
        p, q = np.array(powers, dtype=np.float64).T
        return p, q

    def change(self, member: int, settings: Settings) -> None:
        change = getattr(self.devices[member], "change", None)
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
    return lambda members: LoopedBank(members, cast("Callable[[], Device]", kind))


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
