"""The same neighbourhood in GridLAB-D without a federation: the floor for benchmarks.

python -m feeders.gridlabd_bare --homes 100 --hours 24
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from feeders.glm import Clock, Site, Solver
from feeders.homes import HomeDistributions, charge, draw_homes, needed_after, needed_at_start
from feeders.homes_glm import place_homes
from feeders.neighbourhood import Neighbourhood, RunningNeighbourhood, Weather, all_available
from feeders.published_feeder import load_feeder


@dataclass(frozen=True)
class Times:
    """What a bare run took."""

    steps: int
    plan: float  #: tables, homes, placement [s of CPU]
    load: float  #: GridLAB-D's import and the model's load [s of CPU]
    warm_up: float  #: the first step with the warm-up before it [s of CPU]
    step: float  #: each further step [s of CPU]
    wall: float  #: all of it [s]
    memory: float  #: largest resident set [MB]


def hot_day(moment: datetime) -> Weather:
    """A made-up cloudless day of 21 to 43 degC, for benchmarks alone."""
    hour = moment.hour + moment.minute / 60 + moment.second / 3600
    sun = max(0.0, float(np.sin((hour - 5.5) / 14.5 * np.pi)))
    temperature = 32.0 + 11.0 * float(np.sin((hour - 9.0) / 12.0 * np.pi))
    return Weather(temperature, 0.25, 3.0, 900.0 * sun, 800.0 * sun**0.5, 100.0 * sun)


def run_bare(
    folder: Path,
    *,
    feeder: str = "ieee123",
    homes: int = 100,
    start: datetime = datetime(2014, 1, 16),
    steps: int = 1440,
    step: int = 60,
    seed: int = 1,
    weather: Callable[[datetime], Weather] = hot_day,
    read: bool = False,
) -> Times:
    """Run `steps` steps of `step` [s] with the federate's model, weather and vehicles.

    Nothing is read from GridLAB-D unless `read`; batteries then rest, since they follow what is read.
    A process runs this once.
    """
    began, wall = time.process_time(), time.monotonic()
    published = load_feeder(feeder)
    drawn = draw_homes(homes, HomeDistributions(), np.random.default_rng(seed))
    plan = Neighbourhood(published, drawn, place_homes(published, homes))
    planned = time.process_time()
    clock = Clock(start, timedelta(seconds=step * steps), step, timedelta(hours=1))
    site, solver = Site(-37.81, 144.96, 10.0), Solver(regulators="automatic")
    running = RunningNeighbourhood(plan, clock, site, folder, solver)
    loaded = time.process_time()
    needed, hours = needed_at_start(drawn, start.hour + start.minute / 60), step / 3600
    for k in range(steps):
        moment = start + timedelta(seconds=step * k)
        inputs = all_available(homes, weather(moment))
        if read:
            running.step(moment, inputs)
        else:
            hour = moment.hour + moment.minute / 60 + moment.second / 3600
            power = charge(drawn, needed, hour, hours, inputs.ev_charger)
            running.advance(moment, inputs, power)
            needed, _ = needed_after(drawn, needed, power, hour, hours)
        if k == 0:
            warm = time.process_time()
    return Times(
        steps=steps,
        plan=planned - began,
        load=loaded - planned,
        warm_up=warm - loaded,
        step=(time.process_time() - warm) / max(steps - 1, 1),
        wall=time.monotonic() - wall,
        memory=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    )


def main() -> None:
    """Print the times of a bare run as one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--feeder", default="ieee123")
    parser.add_argument("--homes", type=int, default=100)
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--read", action="store_true", help="read every output at each step, too")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        times = run_bare(
            Path(folder), feeder=given.feeder, homes=given.homes, steps=round(60 * given.hours), read=given.read
        )
    print(json.dumps(asdict(times)))


if __name__ == "__main__":
    main()
