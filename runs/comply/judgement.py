"""Judging every DER of a source, and what the fleet lost and got back."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from cosim.errors import Fault, ScenarioError
from runs.comply.judge import judge_trace
from runs.comply.operation import Operation
from runs.comply.picture import Picture, depth_of, kind_of, picture
from runs.comply.reading import open_source
from runs.comply.requirement import Requirement, requirement
from runs.comply.settings import Fleet
from runs.comply.verdict import EXERCISED, ORDER, Finding, Result, Verdict, nearness

_PARALLEL_FROM = 64  #: DER from which a second process pays for its start
_POINTS = 400  #: of the fleet's curves
_OF_A_KIND = 3  #: pictures of DER that are of one kind


class Loss(BaseModel):
    """Active power that was away for one cause, over time."""

    model_config = ConfigDict(frozen=True)

    cause: str
    lost: list[float]  #: in `FleetView.unit`, at each of `FleetView.time_s`


class FleetView(BaseModel):
    """What all DER together lost, by cause, and got back."""

    model_config = ConfigDict(frozen=True)

    unit: str  #: "MW", or "pu" (of one DER's rating each) where ratings are not known
    time_s: list[float]
    close_s: float | None  #: the end of the event window, which begins at 0; None: there is none
    losses: list[Loss]
    lost_most: dict[str, float]  #: cause -> the most that was away at a time
    lost: float  #: sum of all outages' power before
    returned: float  #: sum of their power at return


class Least(BaseModel):
    """The DER that came nearest to a boundary of a clause, or went farthest beyond it."""

    model_config = ConfigDict(frozen=True)

    der: str
    margin_s: float | None
    margin_pu: float | None


class Judgement(BaseModel):
    """The verdict on every DER of a source."""

    model_config = ConfigDict(frozen=True)

    source: str
    time_zero: str  #: what all times count from; "": the file's own zero
    result: Result
    counts: dict[str, int]  #: DER by result
    clauses: dict[str, dict[str, int]]  #: clause -> result -> DER
    least: dict[
        str, Least
    ]  #: clause -> of those that it was put to the test on, who came nearest or went farthest beyond
    fleet: FleetView
    der: list[Verdict]
    not_simulated: list[Finding]

    @property
    def failed(self) -> bool:
        return self.result == "fail"


class Judged(BaseModel):
    """A judgement and what its pictures need (not part of the JSON)."""

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    judgement: Judgement
    pictures: list[Picture]


class _Piece(BaseModel):
    """What one process found."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    verdicts: list[Verdict]
    pictures: list[Picture]
    outages: list[tuple[str, float, float, float, float]]  #: cause, start, end, lost, returned
    span: tuple[float, float]
    close: float | None = None


def comply(
    place: str | Path,
    fleet: Fleet,
    *,
    group: str | None = None,
    nominal_volts: float | None = None,
    workers: int | None = None,
    pictured: int = 12,
) -> Judged:
    """Judge every DER in `place` by what `fleet` says it is held to.

    `pictured`: of so many DER, the worst of each kind, the traces are kept for the report. Raises ScenarioError with
    all that is wrong with traces or settings; there is no verdict then.
    """
    from runs.comply.clauses import not_simulated

    source = open_source(Path(place), fleet, group=group, nominal_volts=nominal_volts)
    workers = workers or min(os.cpu_count() or 1, max(1, len(source.names) // _PARALLEL_FROM))
    arguments = [(Path(place), fleet, group, nominal_volts, (part, workers), pictured) for part in range(workers)]
    if workers == 1:
        pieces = [_judge_share(*arguments[0])]
    else:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            pieces = list(pool.map(_judge_share, *zip(*arguments, strict=True)))
    verdicts = [verdict for piece in pieces for verdict in piece.verdicts]
    results = [verdict.result for verdict in verdicts]
    judgement = Judgement(
        source=str(place),
        time_zero=source.zero,
        result=_overall(results),
        counts={result: results.count(result) for result in ORDER if result in results},
        clauses=_by_clause(verdicts),
        least=_least(verdicts),
        fleet=_fleet_view(pieces, known=all(verdict.rating_kVA for verdict in verdicts)),
        der=verdicts,
        not_simulated=not_simulated.rows(),
    )
    return Judged(judgement=judgement, pictures=_worst([p for piece in pieces for p in piece.pictures], pictured))


def requirements(
    place: str | Path, fleet: Fleet, *, group: str | None = None, nominal_volts: float | None = None
) -> list[Requirement]:
    """What the waveforms in `place` demand of each DER, whatever it did. Raises ScenarioError."""
    source = open_source(Path(place), fleet, group=group, nominal_volts=nominal_volts)
    return [requirement(trace, fleet.held(trace.name)) for trace in source.traces((0, 1))]


def _judge_share(
    place: Path, fleet: Fleet, group: str | None, nominal_volts: float | None, share: tuple[int, int], pictured: int
) -> _Piece:
    source = open_source(place, fleet, group=group, nominal_volts=nominal_volts)
    piece = _Piece(verdicts=[], pictures=[], outages=[], span=(0.0, 0.0))
    for trace in source.traces(share):
        if not trace.has_output:
            raise ScenarioError(
                [
                    Fault(
                        f"{place}, {trace.name}",
                        "has neither p_pu and q_pu nor i_pu: what the DER did is not in it.",
                        "Add them, or ask for --requirement-only.",
                    )
                ]
            )
        verdict, op = judge_trace(trace, fleet.held(trace.name))
        piece.verdicts.append(verdict)
        piece.outages.extend(_losses(op, verdict))
        piece.span, piece.close = (float(trace.time[0]), trace.end), trace.close
        piece.pictures = _keep(piece.pictures, verdict, op, pictured)
    return piece


def _keep(pictures: list[Picture], verdict: Verdict, op: Operation, most: int) -> list[Picture]:
    """The pictures of the worst DER so far, of those of one kind the ones with the deepest sags."""
    alike = [p for p in pictures if (p.result, p.kind) == (verdict.result, kind_of(verdict))]
    if most == 0 or (len(alike) >= _OF_A_KIND and depth_of(op) <= min(p.depth for p in alike)):
        return pictures
    return _worst([*pictures, picture(verdict, op)], most)


def _worst(pictures: list[Picture], most: int) -> list[Picture]:
    """At most `most` of `pictures`, the worst results first, a few of each kind."""
    number: Counter[tuple[str, str]] = Counter()
    kept = []
    for one in sorted(pictures, key=lambda p: (ORDER.index(p.result), -p.depth)):
        number[one.result, one.kind] += 1
        if number[one.result, one.kind] <= _OF_A_KIND:
            kept.append(one)
    return kept[:most]


def _losses(op: Operation, verdict: Verdict) -> Iterator[tuple[str, float, float, float, float]]:
    size = (verdict.rating_kVA or 1000.0) / 1000.0
    for outage in op.outages:
        if outage.cause != "out of service at the start" and outage.before > 0.0:
            back = _returned(op, outage.stop) * size
            yield outage.reason, outage.start, outage.end, outage.before * size, back


def _returned(op: Operation, stop: int) -> float:
    """The most output [pu] after an outage until the next."""
    until = next((o.first for o in op.outages if o.first > stop), op.output.size)
    return float(op.output[stop:until].max()) if stop < until else 0.0


def _overall(results: Sequence[Result]) -> Result:
    for result in ("fail", "indeterminate", "pass"):
        if result in results:
            return result
    return "not exercised"


def _by_clause(verdicts: list[Verdict]) -> dict[str, dict[str, int]]:
    table: dict[str, dict[str, int]] = {}
    for verdict in verdicts:
        for finding in verdict.findings:
            row = table.setdefault(finding.clause, {})
            row[finding.result] = row.get(finding.result, 0) + 1
    return dict(sorted(table.items(), key=lambda item: _order(item[0])))


def _least(verdicts: list[Verdict]) -> dict[str, Least]:
    found: dict[str, tuple[Finding, str]] = {}
    for verdict in verdicts:
        for finding in verdict.findings:
            known = found.get(finding.clause)
            measured = finding.margin_s is not None or finding.margin_pu is not None
            if finding.result in EXERCISED and measured and (known is None or nearness(finding) < nearness(known[0])):
                found[finding.clause] = finding, verdict.der
    return {clause: Least(der=der, margin_s=f.margin_s, margin_pu=f.margin_pu) for clause, (f, der) in found.items()}


def _order(clause: str) -> tuple[Any, ...]:
    number, _, rest = clause.partition(" ")
    return ([int(part) for part in number.split(".")], rest)


def _fleet_view(pieces: list[_Piece], *, known: bool) -> FleetView:
    outages = [outage for piece in pieces for outage in piece.outages]
    spans = [piece.span for piece in pieces if piece.verdicts]
    begin, end = min(s[0] for s in spans), max(s[1] for s in spans)
    moments = np.unique([x for o in outages for x in (o[1], o[2])] or [begin])
    if moments.size > _POINTS // 2:
        moments = np.linspace(moments[0], moments[-1], _POINTS // 2)
    time = np.unique(np.concatenate([[begin, end], moments, np.nextafter(moments, -np.inf)]))
    time = time[(time >= begin) & (time <= end)]
    losses = []
    for cause in sorted({o[0] for o in outages}):
        own = np.array([o[1:4] for o in outages if o[0] == cause])
        starts, ends = np.argsort(own[:, 0]), np.argsort(own[:, 1])
        gone = np.concatenate([[0.0], np.cumsum(own[starts, 2])])[np.searchsorted(own[starts, 0], time, side="right")]
        back = np.concatenate([[0.0], np.cumsum(own[ends, 2])])[np.searchsorted(own[ends, 1], time, side="right")]
        losses.append(Loss(cause=cause, lost=np.round(gone - back, 6).tolist()))
    return FleetView(
        unit="MW" if known else "pu",
        time_s=time.tolist(),
        close_s=pieces[0].close,
        losses=losses,
        lost_most={loss.cause: max(loss.lost) for loss in losses},
        lost=round(sum(o[3] for o in outages), 6),
        returned=round(sum(o[4] for o in outages), 6),
    )
