"""The report's figures: the planes of voltage or frequency and time, a trace over its modes, the fleet's losses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np

from runs.comply.picture import Curve, Picture
from runs.comply.settings import Element
from solvers import ieee1547_tables as tables
from solvers.ieee1547_tables import AbnormalCategory, Quantity, RideThroughRow

if TYPE_CHECKING:
    from runs.comply.judgement import FleetView

_FILL = {
    "continuous": "rgba(27,110,60,0.10)",
    "mandatory": "rgba(0,99,155,0.16)",
    "permissive": "rgba(240,180,0,0.22)",
    "momentary_cessation": "rgba(120,80,160,0.18)",
    "cease_to_energize": "rgba(179,38,30,0.14)",
    "unspecified": "rgba(95,99,104,0.10)",
    "none": "rgba(95,99,104,0.14)",
    "tripped": "rgba(95,99,104,0.25)",
}
#: Okabe and Ito's colours, which differ for every kind of sight.
_LINES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
_SPAN = {"voltage": (0.01, 1000.0, 0.0, 1.35), "frequency": (0.01, 2000.0, 56.0, 63.0)}  #: time [s] and value drawn


def voltage_plane(category: str, pictures: list[Picture]) -> Any:
    """Voltage over duration: regions, shall-trip lines, and each disturbance."""
    curves = [(p.der, [*p.low, *p.high]) for p in pictures]
    return _plane(category, pictures[0].elements, "voltage", "voltage [pu]", curves)


def frequency_plane(category: str, pictures: list[Picture]) -> Any:
    """Frequency over duration, in the same way."""
    curves = [(p.der, [*p.under, *p.over]) for p in pictures]
    return _plane(category, pictures[0].elements, "frequency", "frequency [Hz]", curves)


def _plane(
    category: str,
    elements: tuple[Element, ...],
    quantity: Quantity,
    title: str,
    curves: list[tuple[str, list[Curve]]],
) -> Any:
    import plotly.graph_objects as go

    figure = go.Figure()
    first, last, bottom, top = _SPAN[quantity]
    kind = cast("AbnormalCategory", category)
    named: set[str] = set()
    for row in tables.ride_through(kind, quantity):
        _region(figure, row, first, last, bottom, top, named)
    for element in elements:
        if element.row.quantity == quantity:
            figure.add_trace(
                go.Scatter(
                    x=[element.clearing, element.clearing, last],
                    y=[top if element.over else bottom, element.threshold, element.threshold],
                    mode="lines",
                    line={"color": "#b3261e", "width": 2, "dash": "dash"},
                    name="shall trip, as set",
                    legendgroup="trip",
                    showlegend="trip" not in named,
                    hovertemplate=f"{element.name}: {element.threshold:g} for {element.clearing:g} s<extra></extra>",
                )
            )
            named.add("trip")
    for number, (der, own) in enumerate(curves):
        _disturbances(figure, der, own, _LINES[number % len(_LINES)], first)
    figure.update_xaxes(type="log", range=[np.log10(first), np.log10(last)], title="at this value or beyond for [s]")
    figure.update_yaxes(range=[bottom, top], title=title)
    return _styled(figure, 480)


def _region(
    figure: Any, row: RideThroughRow, first: float, last: float, bottom: float, top: float, named: set[str]
) -> None:
    """The area in which a row asks for its mode; beyond its minimum time a trip is allowed."""
    import plotly.graph_objects as go

    low, high = max(row.low, bottom), min(row.high, top)
    if high <= low:
        return
    until = [last, last]
    if np.isfinite(row.minimum):
        until = [row.minimum, row.minimum + row.slope * (high - row.low)]
    elif np.isnan(row.minimum) and np.isfinite(row.response):
        until = [row.response, row.response]
    figure.add_trace(
        go.Scatter(
            x=[first, until[0], until[1], first],
            y=[low, low, high, high],
            fill="toself",
            mode="lines",
            line={"width": 0.5, "color": "rgba(95,99,104,0.6)"},
            fillcolor=_FILL[row.mode],
            name=row.mode.replace("_", " "),
            legendgroup=row.mode,
            showlegend=row.mode not in named,
            hoverinfo="name",
        )
    )
    named.add(row.mode)


def _disturbances(figure: Any, der: str, curves: list[Curve], colour: str, first: float) -> None:
    import plotly.graph_objects as go

    for number, curve in enumerate(curves):
        # From the left edge at the deepest value to the duration at it, then on as ever more of it was shallower.
        times = [first, *curve.duration]
        figure.add_trace(
            go.Scatter(
                x=[max(first, t) for t in times],
                y=[curve.value[0], *curve.value],
                mode="lines",
                line={"color": colour, "width": 2},
                name=der,
                legendgroup=der,
                showlegend=number == 0,
                hovertemplate=f"{der}: %{{y:.4g}} for %{{x:.4g}} s<extra></extra>",
            )
        )
        if curve.ends:
            figure.add_trace(
                go.Scatter(
                    x=[max(first, after) for after, _ in curve.ends],
                    y=[value for _, value in curve.ends],
                    mode="markers",
                    marker={"symbol": "x", "size": 9, "color": colour},
                    legendgroup=der,
                    showlegend=False,
                    hovertemplate=f"{der}: output ended after %{{x:.4g}} s<extra></extra>",
                )
            )


def trace_figure(one: Picture) -> Any:
    """Voltage, frequency and output over time; the required modes behind them."""
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    figure = make_subplots(rows=3, cols=1, shared_xaxes=True, vertical_spacing=0.04)
    phases = ["V"] if len(one.voltages) == 1 else ["Va", "Vb", "Vc"]
    rows = [
        *((name, values, 1) for name, values in zip(phases, one.voltages, strict=True)),
        ("f", one.frequency, 2),
        *((name, values, 3) for name, values in one.outputs.items()),
    ]
    for number, (name, values, row) in enumerate(rows):
        figure.add_trace(
            go.Scatter(
                x=one.time,
                y=values,
                name=name,
                mode="lines",
                line={"color": _LINES[number % len(_LINES)], "width": 1.5},
            ),
            row=row,
            col=1,
        )
    for start, end, mode in one.spans[:200]:
        if mode != "continuous":
            figure.add_vrect(x0=start, x1=end, fillcolor=_FILL[mode], line_width=0, layer="below", row="all", col=1)
    for mode in dict.fromkeys(mode for _, _, mode in one.spans[:200] if mode != "continuous"):
        figure.add_trace(
            go.Scatter(
                x=[None],
                y=[None],
                mode="markers",
                marker={"symbol": "square", "size": 12, "color": _FILL[mode]},
                name="required: " + mode.replace("_", " "),
            ),
            row=1,
            col=1,
        )
    for row, title in ((1, "voltage [pu]"), (2, "frequency [Hz]"), (3, "output [pu]")):
        figure.update_yaxes(title=title, row=row, col=1)
    figure.update_xaxes(title="time [s]", row=3, col=1)
    if one.close is not None:
        figure.update_xaxes(range=[0.0, one.close])
    return _styled(figure, 560)


def fleet_figure(fleet: FleetView) -> Any:
    """Active power that was away, by cause, over time."""
    import plotly.graph_objects as go

    figure = go.Figure()
    for number, loss in enumerate(sorted(fleet.losses, key=lambda one: -max(one.lost))):
        figure.add_trace(
            go.Scatter(
                x=fleet.time_s,
                y=loss.lost,
                name=loss.cause,
                stackgroup="lost",
                mode="lines",
                line={"shape": "hv", "width": 0.5, "color": _LINES[number % len(_LINES)]},
            )
        )
    figure.update_xaxes(title="time [s]", range=None if fleet.close_s is None else [0.0, fleet.close_s])
    figure.update_yaxes(title=f"output away [{fleet.unit}]", rangemode="tozero")
    return _styled(figure, 340)


def _styled(figure: Any, height: int) -> Any:
    figure.update_layout(
        template="plotly_white",
        height=height,
        margin={"l": 60, "r": 10, "t": 10, "b": 45},
        legend={"orientation": "h", "y": -60.0 / height, "yanchor": "top", "x": 0.0},
        font={"size": 13},
        hovermode="closest",
    )
    return figure
