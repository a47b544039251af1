"""The bench's report: one self-contained HTML page, the table and the decisive test of each sequence as a plot."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from runs.bench1547.device import Array
from runs.bench1547.result import BenchReport
from runs.bench1547.runner import Judged
from runs.bench1547.stand import Trace
from runs.bench1547.terminal import limits_text, measured_text, number, summary
from runs.bench1547.wave import ANGLE, FREQUENCY, VOLTAGE

_POINTS = 400  #: kept of a quiet trace; whatever moves is kept besides
_MOVED = 0.004  #: of the axis: a smaller move is not drawn
_COLOURS = {"pass": "#1a7f37", "fail": "#b42318", "indeterminate": "#b7791f", "not exercised": "#667085"}

_PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>
body{{font:14px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:1150px;padding:0 1rem;color:#1d2939}}
table{{border-collapse:collapse;width:100%}} td,th{{text-align:left;padding:.3rem .5rem;vertical-align:top;
border-bottom:1px solid #e4e7ec}} th{{background:#f9fafb}} .o{{font-weight:600;white-space:nowrap}}
details{{border:1px solid #e4e7ec;border-radius:6px;margin:.5rem 0;padding:.4rem .8rem}} summary{{cursor:pointer}}
.n{{color:#667085}} .f{{height:640px}}
</style></head><body><h1>{title}</h1><p>{lead}</p>
<table><tr><th>result</th><th>sequence</th><th>measured</th><th>limits</th><th>margin</th><th>1547.1-2020</th>
<th>1547-2018</th></tr>{rows}</table><h2>The decisive test of each sequence</h2>{plots}
<script>{plotly}</script><script>const figures={figures};
document.querySelectorAll("details").forEach(d=>d.addEventListener("toggle",()=>{{const f=d.querySelector(".f");
if(d.open&&!f.dataset.drawn){{const g=figures[+f.dataset.figure];Plotly.newPlot(f,g.data,g.layout,{{responsive:true}});
f.dataset.drawn=1}}}}));</script></body></html>
"""


def write_report(report: BenchReport, judged: Sequence[Judged], path: Path) -> Path:
    """Write the page to `path`."""
    from plotly.offline import get_plotlyjs

    title = f"IEEE 1547.1 bench: {report.device}, category {report.category}/{report.normal_category}"
    lead = (
        f"<b>{escape(summary(report))}</b>. Step {report.dt_s:g} s, shall-trip ranges of edition {report.edition}. "
        "Pass bands: 1.5 times the accuracy of IEEE 1547-2018 Table 3 to either side. A row that is indeterminate "
        "failed a test on which the sources of the numbers contradict each other."
    )
    page = _PAGE.format(
        title=escape(title),
        lead=lead,
        rows="".join(_table_row(item) for item in judged),
        plots="".join(_section(number_, item) for number_, item in enumerate(judged)),
        plotly=get_plotlyjs(),
        figures=json.dumps([_figure(item) for item in judged]).replace("</", "<\\/"),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")
    return path


def _table_row(item: Judged) -> str:
    row = item.row
    cells = [
        f'<td class="o" style="color:{_COLOURS[row.outcome]}">{row.outcome}</td>',
        f"<td>{escape(row.sequence)}"
        + (f'<br><span class="n">{escape(row.note)}</span>' if row.note else "")
        + "</td>",
        f"<td>{escape(measured_text(row))}</td>",
        f"<td>{'' if row.decisive is None else escape(limits_text(row.decisive))}</td>",
        f"<td>{'' if row.decisive is None else number(row.decisive.margin)}</td>",
        f"<td>{escape(row.clause)}</td>",
        f"<td>{escape(row.requirement)}</td>",
    ]
    return f"<tr>{''.join(cells)}</tr>"


def _section(figure: int, item: Judged) -> str:
    row = item.row
    label = item.sequence.cases[item.case].label
    failures = "".join(
        f"<li>{escape(found.case)}: {escape(found.quantity)} "
        f"{'never' if found.measured is None else number(found.measured)}, {escape(limits_text(found))}</li>"
        for found in row.failed
    )
    return (
        f'<details><summary><span class="o" style="color:{_COLOURS[row.outcome]}">{row.outcome}</span> '
        f"{escape(row.family)}: {escape(row.title)} ({escape(label)})</summary>"
        f'<ul>{failures}</ul><div class="f" data-figure="{figure}"></div></details>'
    )


def _figure(item: Judged) -> dict[str, Any]:
    """A plotly figure: voltage, frequency, active and reactive power over time, with the limits."""
    trace = item.traces[item.case]
    panels: list[list[tuple[str, Array]]] = [
        [(f"v {'abc'[k]}", trace.inputs[:, VOLTAGE][:, k]) for k in range(3)],
        [("f", trace.inputs[:, FREQUENCY])],
        [("P", trace.p)],
        [("Q", trace.q)],
    ]
    names = ["voltage [pu]", "frequency [Hz]", "P [pu]", "Q [pu]"]
    if np.ptp(trace.inputs[:, ANGLE]) > 0.0:
        panels[1] = [(f"angle {'abc'[k]}", trace.inputs[:, ANGLE][:, k]) for k in range(3)]
        names[1] = "angle [deg]"
    data: list[dict[str, Any]] = []
    layout: dict[str, Any] = {"margin": {"t": 20, "b": 40, "l": 60, "r": 10}, "showlegend": False, "shapes": []}
    count = len(panels)
    for number_, (name, series) in enumerate(zip(names, panels, strict=True), 1):
        top = 1.0 - (number_ - 1) / count
        axis = "" if number_ == 1 else str(number_)
        layout[f"yaxis{axis}"] = {"title": {"text": name}, "domain": [top - 1.0 / count + 0.03, top], "anchor": "x"}
        for label, values in series:
            times, kept = thinned(trace, values)
            data.append({"type": "scatter", "mode": "lines", "name": label, "x": times, "y": kept, "yaxis": f"y{axis}"})
    layout["xaxis"] = {"title": {"text": "time [s]"}, "anchor": f"y{count}"}
    for finding in item.findings:
        if finding.drawn:
            layout["shapes"].append(_band(finding.start, finding.end, finding.low, finding.high, finding.drawn, trace))
    if item.row.decisive is not None:
        found = item.row.decisive
        layout["shapes"].append(
            {
                "type": "rect",
                "xref": "x",
                "yref": "paper",
                "x0": found.start_s,
                "x1": max(found.end_s, found.start_s),
                "y0": 0,
                "y1": 1,
                "fillcolor": _COLOURS[item.row.outcome],
                "opacity": 0.08,
                "line": {"width": 0},
            }
        )
    return {"data": data, "layout": layout}


def _band(start: float, end: float, low: float, high: float, drawn: str, trace: Trace) -> dict[str, Any]:
    values = trace.p if drawn == "p" else trace.q
    return {
        "type": "rect",
        "xref": "x",
        "yref": "y3" if drawn == "p" else "y4",
        "x0": start,
        "x1": end,
        "y0": low if np.isfinite(low) else float(values.min()) - 0.1,
        "y1": high if np.isfinite(high) else float(values.max()) + 0.1,
        "fillcolor": "#2e90fa",
        "opacity": 0.25,
        "line": {"width": 1, "color": "#2e90fa"},
    }


def thinned(trace: Trace, values: Array) -> tuple[list[float], list[float]]:
    """Times and values to draw: every move, and a few points where nothing moves."""
    reach = max(float(np.ptp(values)), 1e-3)
    level = np.round((values - values.min()) / (_MOVED * reach)).astype(np.int64)
    kept = np.zeros(len(values), dtype=np.bool_)
    moves = np.flatnonzero(np.diff(level))
    kept[moves] = kept[moves + 1] = True
    kept[:: max(1, len(values) // _POINTS)] = True
    kept[[0, -1]] = True
    return np.round(trace.time[kept], 3).tolist(), np.round(values[kept], 5).tolist()
