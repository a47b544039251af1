"""How much load returns at once: a figure from the batch heat_rebound.

python docs/examples/heat_rebound.py [results/heat_rebound]
"""

import sys
from pathlib import Path

import numpy as np
from plotly.subplots import make_subplots

import cosim

HOMES = 40  # of each feeder
BEFORE = slice("2014-01-16 11:50", "2014-01-16 11:59")  # the last ten minutes without the thermostats
AFTER = slice("2014-01-16 12:00", "2014-01-16 12:09")  # the first ten with them
SHARES = (0.05, 0.5, 0.95)
COLOURS = {"oak": "#0072b2", "elm": "#e69f00", "ash": "#009e73", "fir": "#cc79a7", "yew": "#56b4e9"}

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "results/heat_rebound")
batch = cosim.open_batch(folder)  # refuses a folder that is damaged or not complete

# What the disturbance changes in each run [kW per home], (run, time): the run less its undisturbed twin.
power = batch.results("feeder.power").real.sum("phase", skipna=False)
twin = batch.results("feeder.power", baseline=True).real.sum("phase", skipna=False)
change = ((power - twin) * 1e3 / HOMES).compute()
change = change[(change.outcome == "good").values]

# What returns at once: the mean over ten minutes after the return less the mean over ten minutes before it.
returned = change.sel(time=AFTER).mean("time") - change.sel(time=BEFORE).mean("time")

print("feeder  populations  returns at once [kW per home]: 5 %, median, 95 %")
figure = make_subplots(1, 2, horizontal_spacing=0.11, column_widths=[0.42, 0.58])
for feeder, colour in COLOURS.items():
    own = returned[(returned.group == feeder).values]
    low, middle, high = np.quantile(own, SHARES)
    print(f"{feeder:6}  {own.size:11}  {low:.2f}  {middle:.2f}  {high:.2f}")
    bar = {"array": [high - middle], "arrayminus": [middle - low], "symmetric": False, "color": "#1c2733", "width": 7}
    place = list(COLOURS).index(feeder)
    dots = {"color": colour, "size": 6, "opacity": 0.7}
    mark = {"symbol": "line-ew-open", "size": 26, "line": {"width": 2.5}, "color": "#1c2733"}
    x = place + np.linspace(-0.22, 0.22, own.size)
    figure.add_scatter(x=x, y=own.values, mode="markers", marker=dots, showlegend=False, row=1, col=1)
    figure.add_scatter(x=[place], y=[middle], mode="markers", marker=mark, error_y=bar, showlegend=False, row=1, col=1)
    middle_line = change[(change.group == feeder).values].median("run")
    figure.add_scatter(x=change.time.values, y=middle_line.values, name=feeder, line_color=colour, row=1, col=2)

figure.update_xaxes(tickvals=list(range(len(COLOURS))), ticktext=list(COLOURS), showgrid=False, col=1)
figure.update_xaxes(tickformat="%H:%M", title="local standard time, 16 January 2014", gridcolor="#e6e9ec", col=2)
figure.update_yaxes(rangemode="tozero", title="load that returns at once [kW per home]", gridcolor="#e6e9ec", col=1)
figure.update_yaxes(title="change against the undisturbed twin, median [kW per home]", gridcolor="#e6e9ec", col=2)
figure.update_layout(
    title=f"60 % of the thermostats trip at 40 °C and return after an hour ({returned.size} runs; bars: 5 to 95 %)",
    template="plotly_white",
    legend={"orientation": "h", "x": 1, "xanchor": "right", "y": 1.02, "yanchor": "bottom"},
    width=1100,
    height=470,
)
figure.write_html(folder / "heat_rebound.html")
print(f"figure: {folder / 'heat_rebound.html'}")
