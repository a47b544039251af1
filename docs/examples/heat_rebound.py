"""How much load returns at once: numbers and a figure from the batch heat_rebound.

`python docs/examples/heat_rebound.py [FOLDER]`, by default results/heat_rebound
"""

import sys
from pathlib import Path

import numpy as np
from plotly.subplots import make_subplots

import cosim

BEFORE = slice("2014-01-16 11:50", "2014-01-16 11:59")  # the last ten minutes without the thermostats
AFTER = slice("2014-01-16 12:00", "2014-01-16 12:09")  # the first ten with them
SHARES = (0.05, 0.5, 0.95)
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9")
INK = "#1c2733"

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "results/heat_rebound")
batch = cosim.open_batch(folder)  # refuses a folder that is damaged or not complete
homes = batch.run("0001").manifest["scenario"]["feeders"][0]["model"]["homes"]["count"]  # on each feeder

# What the disturbance changes in each good run [kW per home], (run, time): the run less its undisturbed twin.
power = batch.results("feeder.power").real.sum("phase", skipna=False)
twin = batch.results("feeder.power", baseline=True).real.sum("phase", skipna=False)
change = ((power - twin) * 1e3 / homes).compute()
change = change[(change.outcome == "good").values]

# What returns at once: the mean over ten minutes after the return less the mean over ten minutes before it.
returned = change.sel(time=AFTER).mean("time") - change.sel(time=BEFORE).mean("time")

print("feeder  populations  returns at once [kW per home]: 5 %, median, 95 %")
figure = make_subplots(1, 2, horizontal_spacing=0.11, column_widths=[0.42, 0.58])
feeders = list(dict.fromkeys(returned.group.values))
for place, (feeder, colour) in enumerate(zip(feeders, COLOURS, strict=False)):
    own = returned[(returned.group == feeder).values]
    low, middle, high = np.quantile(own, SHARES)
    print(f"{feeder:6}  {own.size:11}  {low:.2f}  {middle:.2f}  {high:.2f}")

    # Left: a dot for each population, with median and 5 to 95 %.
    beside = place + np.linspace(-0.22, 0.22, own.size)
    dots = {"color": colour, "size": 6, "opacity": 0.7}
    figure.add_scatter(x=beside, y=own.values, mode="markers", marker=dots, showlegend=False, row=1, col=1)
    bar = {"array": [high - middle], "arrayminus": [middle - low], "symmetric": False, "color": INK, "width": 7}
    mark = {"symbol": "line-ew-open", "size": 26, "line": {"width": 2.5}, "color": INK}
    middle_mark = {"x": [place], "y": [middle], "error_y": bar, "marker": mark, "showlegend": False}
    figure.add_scatter(**middle_mark, mode="markers", row=1, col=1)

    # Right: the median over the populations, over time.
    line = change[(change.group == feeder).values].median("run")
    figure.add_scatter(x=change.time.values, y=line.values, name=feeder, line_color=colour, row=1, col=2)

figure.update_xaxes(tickvals=list(range(len(feeders))), ticktext=feeders, showgrid=False, zeroline=False, col=1)
figure.update_xaxes(tickformat="%H:%M", title="local standard time, 16 January 2014", col=2)
figure.update_yaxes(rangemode="tozero", title="load that returns at once [kW per home]", col=1)
figure.update_yaxes(title="change of load, median [kW per home]", col=2)
figure.update_layout(
    title=f"60 % of the thermostats trip at 40 °C and return after an hour ({returned.size} runs; bars: 5 to 95 %)",
    template="plotly_white",
    legend={"orientation": "h", "x": 1, "xanchor": "right", "y": 1.02, "yanchor": "bottom"},
    width=1100,
    height=470,
)
figure.write_html(folder / "heat_rebound.html", config={"displayModeBar": False})
print(f"figure: {folder / 'heat_rebound.html'}")
