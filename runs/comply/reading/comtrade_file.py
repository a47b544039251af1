"""Traces from COMTRADE (IEEE C37.111), read by the library `comtrade`.

A file may hold RMS channels under the names of the CSV columns, or instantaneous voltages and currents of each phase;
of the latter the phasors are taken over one cycle, and frequency, P and Q follow from them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosim.errors import Fault, ScenarioError
from runs.comply.reading.columns import KNOWN, assemble, portion
from runs.comply.settings import Fleet
from runs.comply.trace import Array, Trace
from solvers.ieee1547_tables import NOMINAL_FREQUENCY

_PER_CYCLE = 16  #: samples a cycle that a phasor needs at least
_SCALE = {"V": 1.0, "KV": 1e3, "A": 1.0, "KA": 1e3}
_OUTPUTS = 4  #: values a cycle that are kept of the phasors

Complex = NDArray[np.complex128]


class ComtradeSource:
    """A COMTRADE record: one DER."""

    zero = ""

    def __init__(self, place: Path, fleet: Fleet, nominal_volts: float | None) -> None:
        """Remember the record. Raises ScenarioError where the library is absent."""
        try:
            import comtrade  # noqa: F401
        except ImportError:
            raise ScenarioError(
                [Fault(str(place), "COMTRADE needs the library comtrade.", "Install it: pip install 'cosim[comply]'.")]
            ) from None
        self.place = place
        self.names: tuple[str, ...] = (place.stem,)
        self._fleet = fleet
        self._nominal = nominal_volts

    def traces(self, share: tuple[int, int]) -> Iterator[Trace]:
        for name in portion(self.names, share):
            yield assemble(name, self._read(name), str(self.place))

    def _read(self, name: str) -> dict[str, Array]:
        import comtrade

        record = comtrade.Comtrade(use_numpy_arrays=True, ignore_warnings=True)
        try:
            record.load(str(self.place))
        except Exception as error:  # the library raises many kinds for damaged records
            raise ScenarioError([Fault(str(self.place), f"is not readable as COMTRADE: {error}.")]) from None
        time = np.asarray(record.time, dtype=np.float64)
        analog = [np.asarray(values, dtype=np.float64) for values in record.analog]
        named = {
            str(channel.name).strip().lower(): values
            for channel, values in zip(record.cfg.analog_channels, analog, strict=True)
        }
        if "f_hz" in named:
            return {"time_s": time, **{key: values for key, values in named.items() if key in KNOWN}}
        return self._from_waves(name, time, record.cfg.analog_channels, analog)

    def _from_waves(self, name: str, time: Array, channels: list[Any], analog: list[Array]) -> dict[str, Array]:
        volts, amperes = _by_phase(channels, analog, "V"), _by_phase(channels, analog, "A")
        rating = self._fleet.held(name).rating_kVA
        faults = []
        if not volts or len(volts) == 2:
            faults.append(
                Fault(
                    str(self.place),
                    f"has voltages of {'no phase' if not volts else 'phases ' + ' and '.join(volts)}.",
                    "Give channels in V or kV of phase A, B and C (or one), or channels named as in CSV.",
                )
            )
        if self._nominal is None:
            faults.append(Fault(str(self.place), "holds volts.", "Give --nominal-volts, phase to neutral."))
        if amperes and rating is None:
            faults.append(Fault(str(self.place), "holds amperes.", "Give --rating-kva."))
        steps = np.diff(time)
        rate = 1.0 / float(np.median(steps))
        if rate < _PER_CYCLE * NOMINAL_FREQUENCY:
            faults.append(
                Fault(
                    str(self.place),
                    f"{rate:g} samples a second are too few for phasors.",
                    f"Give at least {_PER_CYCLE * NOMINAL_FREQUENCY:g}, or RMS channels named as in CSV.",
                )
            )
        if faults or self._nominal is None:
            raise ScenarioError(faults)
        length = round(rate / NOMINAL_FREQUENCY)
        every = max(1, length // _OUTPUTS)
        v = np.stack([phasors(values, time, length)[::every] for values in volts.values()])
        kept = time[length - 1 :][::every]
        frequency, angle = _frequency(v, kept)
        columns: dict[str, Array] = {"time_s": kept, "f_hz": frequency}
        keys = ("va_pu", "vb_pu", "vc_pu") if len(v) == 3 else ("v_pu",)
        columns |= {key: np.abs(row) / self._nominal for key, row in zip(keys, v, strict=True)}
        keys = ("angle_a_deg", "angle_b_deg", "angle_c_deg") if len(v) == 3 else ("angle_deg",)
        columns |= dict(zip(keys, angle, strict=True))
        if len(amperes) == len(v) and rating is not None:
            i = np.stack([phasors(values, time, length)[::every] for values in amperes.values()])
            power = (v * np.conj(i)).sum(axis=0) / (1e3 * rating)
            columns |= {"p_pu": power.real, "q_pu": power.imag}
        return columns


def _by_phase(channels: list[Any], analog: list[Array], unit: str) -> dict[str, Array]:
    found: dict[str, Array] = {}
    for channel, values in zip(channels, analog, strict=True):
        scale = str(channel.uu).strip().upper()
        phase = str(channel.ph).strip().upper() or str(channel.name).strip().upper()[-1:]
        if scale in _SCALE and scale.endswith(unit) and phase in ("A", "B", "C") and phase not in found:
            found[phase] = values * _SCALE[scale]
    return dict(sorted(found.items()))


def phasors(values: Array, time: Array, length: int) -> Complex:
    """RMS phasors of a wave over the cycle before each sample (length n - `length` + 1), turning with time removed."""
    turned = values * np.exp(-2j * np.pi * NOMINAL_FREQUENCY * time)
    sums = np.cumsum(np.concatenate([[0.0], turned]))
    return np.asarray(np.sqrt(2.0) * (sums[length:] - sums[:-length]) / length)


def _frequency(v: Complex, time: Array) -> tuple[Array, Array]:
    """Frequency [Hz] from the positive sequence's turning, and the phases' angles [deg] without its steady part."""
    turn = np.exp(2j * np.pi / 3.0)
    positive = v[0] if len(v) == 1 else v[0] + turn * v[1] + turn**2 * v[2]
    angle = np.unwrap(np.angle(positive))
    width = 2 * _OUTPUTS  # the mean over two cycles keeps a cycle's ripple out
    slope = np.gradient(angle, time)
    slope = np.convolve(
        np.pad(slope, (width // 2, width - 1 - width // 2), mode="edge"), np.ones(width) / width, "valid"
    )
    return NOMINAL_FREQUENCY + slope / (2.0 * np.pi), np.angle(v, deg=True)
