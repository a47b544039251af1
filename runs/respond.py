"""`cosim respond`: what the fleet model does under an imposed waveform."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import typer
from numpy.typing import NDArray

from cosim.errors import Fault, ScenarioError
from cosim.settings import Settings
from runs.waveform import Waveform, read_waveform

if TYPE_CHECKING:
    from solvers.der_fleet import FleetSettings

Floats = NDArray[np.float64]

_BEFORE = 1e-9  #: [s] of the first sample that give the output at its own time
_DIGITS = 6  #: decimals of a time [s] in the answer


class Response(Settings):
    """The answer; all times [s] are in the waveform's own time."""

    tripped: bool
    """The DER tripped at least once."""
    trip_time_s: float | None
    """When it tripped first."""
    element: str | None
    """What tripped it: OV2, OV1, UV1, UV2, OF2, OF1, UF1, UF2, ROCOF, PHASE_JUMP, MAY_TRIP or PERMIT_SERVICE."""
    modes: list[tuple[float, float, str]]
    """Start, end and mode, from the first to the last sample."""
    reenter_time_s: float | None
    """When it first began to enter service, after a trip or a cold start."""
    category: Literal["I", "II", "III"]
    """Abnormal operating performance category."""
    normal_category: Literal["A", "B"]
    """Normal operating performance category."""
    edition: Literal["2018", "1547a-2020"]
    """Edition whose allowed ranges the settings were checked against."""
    may_trip: Literal["never", "at_once", "random"]
    """What it does where it may trip."""
    series: str | None
    """Path of the written time series."""


@dataclass(frozen=True)
class Series:
    """The DER's answer at the times of the samples, arrays (k,)."""

    p_pu: Floats
    q_pu: Floats
    mode: list[str]


def respond(
    wave: Waveform | Path,
    settings: FleetSettings,
    *,
    power_pu: float = 1.0,
    seed: int = 0,
    in_service: bool = True,
    out: Path | None = None,
) -> Response:
    """The answer of one DER with `settings` (n = 1) to `wave`.

    `power_pu`: what its source gives, or (battery) is asked for. Raises ScenarioError for a waveform that cannot be
    used and where `out` cannot be written.
    """
    waveform = read_waveform(wave) if isinstance(wave, Path) else wave
    answer, series = simulate(waveform, settings, power_pu=power_pu, seed=seed, in_service=in_service)
    if out is None:
        return answer
    _write(out, waveform, series)
    return answer.update(series=str(out))


def simulate(
    wave: Waveform, settings: FleetSettings, *, power_pu: float = 1.0, seed: int = 0, in_service: bool = True
) -> tuple[Response, Series]:
    """As `respond`, with the time series: at each sample's time the output then, before it answers that sample."""
    from solvers.der_fleet import ELEMENTS, DerFleet, Mode

    fleet = DerFleet(settings, seed, in_service=in_service)
    available = np.array([power_pu])
    steps = np.diff(wave.time_s, prepend=wave.time_s[0] - _BEFORE)
    origin = float(wave.time_s[0])
    p, q = np.empty(len(steps)), np.empty(len(steps))
    changes: list[tuple[float, str]] = []
    labels: list[str] = []
    trip: tuple[float, str] | None = None
    reenter: float | None = None
    for k, dt in enumerate(steps):
        held = max(k - 1, 0)
        angle = None if wave.angle_deg is None else wave.angle_deg[held : held + 1]
        now = fleet.step(
            float(dt), wave.voltage_pu[held : held + 1], angle, wave.frequency_hz[held : held + 1], available
        )
        p[k], q[k] = now.p_pu[0], now.q_pu[0]
        mode = Mode(int(now.mode[0]))
        labels.append(mode.name.lower())
        begun = origin if k == 0 else float(wave.time_s[held])
        if trip is None and now.element[0] >= 0:
            trip = (origin + float(now.trip_time_s[0]) - _BEFORE, ELEMENTS[int(now.element[0])])
        if reenter is None and np.isfinite(now.reenter_time_s[0]):
            reenter = origin + float(now.reenter_time_s[0]) - _BEFORE
        if not changes or changes[-1][1] != labels[-1]:
            changes.append((_moment(mode, begun, origin, now.trip_time_s[0], now.reenter_time_s[0]), labels[-1]))
    answer = Response(
        tripped=trip is not None,
        trip_time_s=None if trip is None else round(trip[0], _DIGITS),
        element=None if trip is None else trip[1],
        modes=_spans(changes, float(wave.time_s[-1])),
        reenter_time_s=None if reenter is None else round(reenter, _DIGITS),
        category=settings.choices["category"][0],
        normal_category=settings.choices["normal_category"][0],
        edition=settings.edition,
        may_trip=settings.choices["may_trip"][0],
        series=None,
    )
    return answer, Series(p, q, labels)


def _moment(mode: Any, begun: float, origin: float, tripped: float, reentered: float) -> float:
    """When a mode that a step from `begun` [s] ends in began: trip and entry fall within the step."""
    if mode.name == "TRIPPED" and np.isfinite(tripped):
        return max(begun, origin + float(tripped) - _BEFORE)
    if mode.name == "ENTERING_SERVICE" and np.isfinite(reentered):
        return max(begun, origin + float(reentered) - _BEFORE)
    return begun


def _spans(changes: list[tuple[float, str]], end: float) -> list[tuple[float, float, str]]:
    starts = [round(start, _DIGITS) for start, _ in changes] + [round(end, _DIGITS)]
    return [(starts[i], starts[i + 1], mode) for i, (_, mode) in enumerate(changes)]


def _write(out: Path, wave: Waveform, series: Series) -> None:
    """A CSV file that `cosim comply` reads."""
    try:
        with out.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["time_s", "va_pu", "vb_pu", "vc_pu", "f_hz", "p_pu", "q_pu", "mode"])
            rows = zip(
                wave.time_s.tolist(),
                wave.voltage_pu.tolist(),
                wave.frequency_hz.tolist(),
                series.p_pu.tolist(),
                series.q_pu.tolist(),
                series.mode,
                strict=True,
            )
            for time, voltage, frequency, p, q, mode in rows:
                writer.writerow([time, *voltage, frequency, round(p, 9), round(q, 9), mode])
    except OSError as error:
        raise ScenarioError(
            [Fault(str(out), f"cannot be written ({error.strerror})", "Choose another path.")]
        ) from None


def read_settings(path: Path) -> dict[str, Any]:
    """Settings by name from a YAML or JSON file, or a CSV file of name and value (EPRI's Common File Format).

    Raises ScenarioError.
    """
    import yaml

    if not path.is_file():
        raise ScenarioError([Fault(str(path), "there is no such file", "Correct the path.")])
    text = path.read_text(encoding="utf-8-sig")
    if path.suffix.lower() == ".csv":
        pairs = [row for row in csv.reader(text.splitlines()) if len(row) >= 2 and row[0].upper() != "PARAMETER"]
        return {row[0].strip().removesuffix("-AS").removesuffix("-SS"): yaml.safe_load(row[1]) for row in pairs}
    try:
        loaded = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ScenarioError([Fault(str(path), f"is not YAML or JSON ({error})", "Correct it.")]) from None
    if not isinstance(loaded, Mapping):
        raise ScenarioError([Fault(str(path), "holds no settings", "Write one 'name: value' a line.")])
    return {str(name): value for name, value in loaded.items()}


def device_settings(
    values: Mapping[str, Any], *, profile: str | None = None, edition: str = "1547a-2020", place: str = "settings"
) -> FleetSettings:
    """The settings of one DER by the fleet's names or EPRI's labels. Raises ScenarioError."""
    from solvers.der_fleet import SettingsError, fleet_settings
    from solvers.der_fleet.common_file_format import translate

    if edition not in ("2018", "1547a-2020"):
        raise ScenarioError([Fault("--edition", f"must be 2018 or 1547a-2020, got '{edition}'")])
    known: Literal["2018", "1547a-2020"] = "2018" if edition == "2018" else "1547a-2020"
    try:
        return fleet_settings(1, translate(values), profile_name=profile, edition=known)
    except SettingsError as error:
        raise ScenarioError([Fault(place, line) for line in str(error).splitlines()]) from None


def register(app: typer.Typer) -> None:
    """Add the command `respond` to `app`."""
    app.command("respond")(_command)


def _command(
    wave: Annotated[Path, typer.Argument(metavar="WAVE.csv", help="time_s; v_pu or va_pu,vb_pu,vc_pu; f_hz.")],
    category: Annotated[str | None, typer.Option(help="Abnormal performance category: I, II or III.")] = None,
    normal: Annotated[str | None, typer.Option(help="Normal performance category: A or B.")] = None,
    settings: Annotated[Path | None, typer.Option(help="Settings by name (YAML, JSON, CSV).")] = None,
    profile: Annotated[str | None, typer.Option(help="A utility's or state's profile of settings.")] = None,
    edition: Annotated[
        str, typer.Option(help="2018 or 1547a-2020: whose ranges the settings must keep.")
    ] = "1547a-2020",
    p: Annotated[float, typer.Option("--p", help="Available active power, per unit of rating.")] = 1.0,
    may_trip: Annotated[
        str | None, typer.Option(help="Where tripping is allowed: never (default), at_once or random.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of lots and randomised delays.")] = 0,
    cold_start: Annotated[bool, typer.Option(help="Begin out of service.")] = False,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write the time series to this CSV file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one machine-readable object.")] = False,
) -> None:
    """Impose a waveform on a DER of the fleet model and say what it does."""
    values = {} if settings is None else read_settings(settings)
    for name, label, given in (
        ("category", "NP_ABNORMAL_OP_CAT", category),
        ("normal_category", "NP_NORMAL_OP_CAT", normal),
        ("may_trip", "may_trip", may_trip),
    ):
        if given is not None:
            values.pop(label, None)
            values[name] = given
    if not -1.0 <= p <= 1.0:
        raise ScenarioError([Fault("--p", f"must be between -1 and 1 (per unit of rating), got {p:g}")])
    place = "settings" if settings is None else str(settings)
    device = device_settings(values, profile=profile, edition=edition, place=place)
    answer = respond(wave, device, power_pu=p, seed=seed, in_service=not cold_start, out=out)
    if as_json:
        print(json.dumps(answer.model_dump(mode="json"), indent=2))
    else:
        _print(answer)


def _print(answer: Response) -> None:
    print(f"Category {answer.category}/{answer.normal_category}, may-trip regions: {answer.may_trip}")
    for start, end, mode in answer.modes:
        print(f"{start:12.3f} s to {end:12.3f} s  {mode.replace('_', ' ')}")
    if answer.tripped:
        print(f"tripped at {answer.trip_time_s} s by {answer.element}")
    else:
        print("did not trip")
    if answer.reenter_time_s is not None:
        print(f"began to enter service at {answer.reenter_time_s} s")
    if answer.series is not None:
        print(f"time series: {answer.series}")
