"""The verdict as a page: result, clauses, the planes of value and time with the trace over the regions, the fleet."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

from cosim.errors import Fault, ScenarioError
from runs.comply.judgement import Judged, Judgement
from runs.comply.picture import Picture, kind_of
from runs.comply.planes import fleet_figure, frequency_plane, trace_figure, voltage_plane
from runs.comply.summary import held_to, kind_in_words, kinds, margin, who, who_lost
from runs.comply.verdict import EXERCISED, ORDER, Finding, Verdict

_COLOURS = {
    "fail": "#b3261e",
    "indeterminate": "#8a5a00",
    "permitted": "#00639b",
    "pass": "#1b6e3c",
    "not exercised": "#5f6368",
    "not checkable": "#5f6368",
}
_LISTED = 200  #: DER in the table of the fleet

_STYLE = """
body{font:15px/1.45 system-ui,sans-serif;margin:0 auto;max-width:1180px;padding:24px;color:#202124;background:#fff}
h1{font-size:24px;margin:0}h2{font-size:19px;margin:32px 0 8px}h3{font-size:16px;margin:24px 0 4px}
table{border-collapse:collapse;width:100%;font-size:14px}td,th{border-bottom:1px solid #dadce0;padding:5px 8px;
text-align:left;vertical-align:top}th{font-weight:600;background:#f8f9fa}td.n,th.n{text-align:right;white-space:nowrap}
.result{font-weight:600;white-space:nowrap}
.banner{border-left:6px solid;padding:8px 16px;margin:16px 0;background:#f8f9fa}
.banner>b{font-size:20px}.small{color:#5f6368;font-size:13px}details{margin:8px 0}
summary{cursor:pointer;font-weight:600}
.pair{display:grid;grid-template-columns:1fr 1fr;gap:12px}@media(max-width:900px){.pair{grid-template-columns:1fr}}
"""


def write_report(judged: Judged, place: Path) -> Path:
    """Write the page (one file that needs no network). Raises ScenarioError where it cannot be written."""
    page = _page(judged)
    try:
        place.write_text(page, encoding="utf-8")
    except OSError as error:
        raise ScenarioError([Fault(str(place), f"cannot be written: {error.strerror}.")]) from None
    return place


def _page(judged: Judged) -> str:
    from plotly.offline import get_plotlyjs

    judgement = judged.judgement
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>",
        f"<title>IEEE 1547: {escape(Path(judgement.source).name)}</title><style>{_STYLE}</style>",
        f"<script>{get_plotlyjs()}</script>",
        "<h1>IEEE 1547 ride-through and response</h1>",
        f"<div class=small>{escape(judgement.source)}</div>",
        _banner(judgement),
        _pictures(judged),
        _fleet(judgement),
        _overview(judgement),
        _verdicts(judgement),
        _others(judgement),
        "</html>",
    ]
    return "\n".join(parts)


def _banner(judgement: Judgement) -> str:
    colour = _COLOURS[judgement.result]
    counts = ", ".join(f"{number} {name}" for name, number in judgement.counts.items())
    editions = ", ".join(sorted({v.edition for v in judgement.der}))
    zero = f"<div class=small>Times count from {escape(judgement.time_zero)}.</div>" if judgement.time_zero else ""
    return (
        f"<div class=banner style='border-color:{colour}'><b style='color:{colour}'>{judgement.result.upper()}</b> "
        f"{len(judgement.der)} DER: {counts}.<div>Held to {escape(held_to(judgement.der))}; edition {editions}.</div>"
        f"{zero}{_why(judgement)}</div>"
    )


def _why(judgement: Judgement) -> str:
    found = kinds(judgement.der, ("fail", "indeterminate"))
    lines = []
    for kind in found:
        head, *rest = kind_in_words(kind).split("\n")
        lines.append(f"<li><b>{escape(head)}</b><br>{'<br>'.join(escape(line) for line in rest)}")
    return f"<ul>{''.join(lines)}</ul>" if lines else ""


def _coloured(result: str) -> str:
    return f"<span class=result style='color:{_COLOURS[result]}'>{result}</span>"


def _overview(judgement: Judgement) -> str:
    if len(judgement.der) == 1:
        return "<h2>Clauses</h2>" + _parted(judgement.der[0].findings)
    head = "".join(f"<th class=n>{name}" for name in ORDER)
    titles = {f.clause: f.title for v in judgement.der for f in v.findings}
    rows = []
    for clause, counts in judgement.clauses.items():
        if not set(counts) & EXERCISED:
            continue
        cells = "".join(f"<td class=n style='color:{_COLOURS[name]}'>{counts.get(name, '')}" for name in ORDER)
        least = judgement.least.get(clause)
        nearest = f"<td class=n>{margin(least).replace(chr(10), ', ')}<td>{escape(least.der)}" if least else "<td><td>"
        rows.append(f"<tr><td>{clause}<div class=small>{escape(titles[clause])}</div>{cells}{nearest}")
    rest = [clause for clause, counts in judgement.clauses.items() if not set(counts) & EXERCISED]
    return (
        f"<h2>Clauses, DER by result</h2><table><tr><th>clause{head}<th class=n>least margin<th>of DER"
        f"{''.join(rows)}</table>"
        f"<p class=small>Exercised by no DER, or not checkable: {', '.join(rest)}."
    )


def _parted(findings: list[Finding]) -> str:
    """The findings that say something, then the others to unfold."""
    told = [f for f in findings if f.result in EXERCISED]
    rest = [f for f in findings if f.result not in EXERCISED]
    summary = f"{len(rest)} clauses not exercised or not checkable"
    return f"{_findings(told)}<details><summary>{summary}</summary>{_findings(rest)}</details>"


def _findings(findings: list[Finding]) -> str:
    rows = []
    for f in findings:
        warnings = "".join(f"<div class=small>{escape(w)}</div>" for w in f.warnings)
        fault = f"<b>{escape(f.fault)}.</b> " if f.fault else ""
        rows.append(
            f"<tr><td>{f.clause}<div class=small>{escape(f.title)}</div><td>{_coloured(f.result)}"
            f"<td class=n>{margin(f).replace(chr(10), '<br>')}<td>{fault}{escape(f.explanation)}{warnings}"
            f"<td class=small>{escape(f.requirement)}<br>{escape(f.citation)}"
        )
    return f"<table><tr><th>clause<th>result<th>margin<th>what was seen<th>requirement{''.join(rows)}</table>"


def _pictures(judged: Judged) -> str:
    pictures = judged.pictures
    if not pictures:
        return ""
    parts = ["<h2>Trace over the regions</h2>"]
    for category, elements in dict.fromkeys((p.category, p.elements) for p in pictures):
        own = [p for p in pictures if (p.category, p.elements) == (category, elements)]
        names = ", ".join(escape(p.der) for p in own)
        parts.append(
            f"<h3>{escape(_held(own[0]))}</h3><div class=small>{names}: how long each was at a value or beyond it</div>"
        )
        parts.append(
            f"<div class=pair>{_figure(voltage_plane(category, own))}{_figure(frequency_plane(category, own))}</div>"
        )
    for number, one in enumerate(pictures):
        opened = " open" if number == 0 else ""
        kind = f" <span class=small>{escape(one.kind)}</span>" if one.kind else ""
        parts.append(f"<details{opened}><summary>{escape(one.der)} {_coloured(one.result)}{kind}</summary>")
        parts.append(_figure(trace_figure(one)) + "</details>")
    return "\n".join(parts)


def _held(one: Picture) -> str:
    return f"Category {one.category}" + (f", made as {one.make}" if one.make not in ("", one.category) else "")


def _figure(figure: Any) -> str:
    drawn = figure.to_html(full_html=False, include_plotlyjs=False, config={"displayModeBar": False})
    return f"<div>{drawn}</div>"


def _fleet(judgement: Judgement) -> str:
    fleet = judgement.fleet
    if not fleet.losses:
        return "<h2>Fleet</h2><p>No DER lost output."
    known = "" if fleet.unit == "MW" else " Ratings are not known: each DER counts 1 pu."
    rows = "".join(
        f"<tr><td>{escape(cause)}<td class=n>{fleet.lost_most[cause]:.3f}<td>{escape(who(names, makes))}"
        for cause, (names, makes) in who_lost(judgement).items()
    )
    return (
        f"<h2>Fleet</h2><p>Lost {fleet.lost:.3f} {fleet.unit} in all, "
        f"returned {fleet.returned:.3f} {fleet.unit}.{known}</p>"
        f"{_figure(fleet_figure(fleet))}<table>"
        f"<table><tr><th>cause<th class=n>the most at a time [{fleet.unit}]<th>DER{rows}</table>"
    )


def _verdicts(judgement: Judgement) -> str:
    if len(judgement.der) == 1:
        return _notes(judgement.der[0].warnings)
    worst = sorted(judgement.der, key=lambda v: ORDER.index(v.result))
    parts = ["<h2>Each DER</h2>"]
    parts += [_one(v) for v in worst[:_LISTED]]
    if len(worst) > _LISTED:
        parts.append(f"<p>{len(worst) - _LISTED} more are in the JSON.")
    return "\n".join(parts)


def _one(verdict: Verdict) -> str:
    return (
        f"<details><summary>{escape(verdict.der)} {_coloured(verdict.result)} "
        f"<span class=small>{escape(kind_of(verdict))}</span></summary>"
        f"{_parted(verdict.findings)}{_notes(verdict.warnings)}</details>"
    )


def _notes(warnings: list[str]) -> str:
    return "<ul class=small>" + "".join(f"<li>{escape(w)}" for w in warnings) + "</ul>" if warnings else ""


def _others(judgement: Judgement) -> str:
    rows = "".join(
        f"<tr><td>{f.clause}<td>{escape(f.title)}<td>{escape(f.explanation)}" for f in judgement.not_simulated
    )
    return (
        "<h2>What a trace cannot show</h2><details><summary>The other clauses of the standard</summary>"
        f"<table><tr><th>clause<th>title<th>why{rows}</table></details>"
    )
