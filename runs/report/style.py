"""How every figure looks: colours, axes, legend. Distinguishable with colour-blind eyes and in print.

The categorical colours are those of M. Okabe and K. Ito, Color Universal Design (2008), the yellow darkened.
"""

from __future__ import annotations

from typing import Any

BASELINE = "#7f868f"  #: the undisturbed twin, always
DISTURBED = "#0072b2"  #: the run, always
LIMIT = "#d55e00"  #: limits, thresholds and what went wrong, always
WINDOW = "rgba(230, 159, 0, 0.16)"  #: while a perturbation acts
WINDOW_TEXT = "#8a5a00"
SERIES = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#b8a200", "#7a4fa3", "#44546a")
REST = "#c4c8cd"  #: what is too small to be shown by itself
INK, MUTED, GRID = "#1c2733", "#5b6672", "#e6e9ec"


def faded(colour: str, opacity: float) -> str:
    """A hexadecimal colour with an opacity [1], for areas."""
    red, green, blue = (int(colour[position : position + 2], 16) for position in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, {opacity:g})"


def template() -> dict[str, Any]:
    """The layout that all figures share; the page holds it once."""
    axis = {
        "gridcolor": GRID,
        "linecolor": "#aab1b9",
        "zeroline": False,
        "showline": True,
        "ticks": "outside",
        "ticklen": 4,
        "tickcolor": "#aab1b9",
        "automargin": True,
        "title": {"standoff": 10, "font": {"size": 12, "color": MUTED}},
    }
    return {
        "layout": {
            "font": {"family": "Inter, 'Segoe UI', system-ui, sans-serif", "size": 12, "color": INK},
            "paper_bgcolor": "white",
            "plot_bgcolor": "white",
            "colorway": list(SERIES),
            "margin": {"l": 62, "r": 18, "t": 34, "b": 46},
            "legend": {
                "traceorder": "normal",
                "orientation": "h",
                "x": 0,
                "y": 1.02,
                "yanchor": "bottom",
                "font": {"size": 12},
            },
            "hovermode": "x unified",
            "hoverlabel": {"bgcolor": "white", "bordercolor": "#aab1b9", "font": {"size": 12}},
            "xaxis": axis,
            "yaxis": axis,
        }
    }
