"""What the tests of calibration in the loop share: a small scenario, and data that it made itself, with noise."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

import cosim
from cosim.scenario import from_mapping

NOISE = 0.01  #: of the load scale [1]
TRUTH = {"offset": 1.5, "reference": 9000.0}

SCENARIO: dict[str, Any] = {
    "name": "warm_day",
    "seed": 1,
    "horizon": {"start": "2014-01-16 00:00", "duration": "24 h", "step": "30 min"},
    "weather": {"table": "melbourne_2014_01"},
    "demand": {"model": "victoria_2012_2013", "reference": "9000 MW"},
}
SEARCHED = {
    "offset": {"path": "weather.temperature_offset", "low": -4, "high": 6, "start": 0.5},
    "reference": {"path": "demand.reference", "low": "7500 MW", "high": "11000 MW"},
}


def twin(folder: Path, noise: float = NOISE, **target: Any) -> Path:
    """A calibration file whose data the scenario itself made at TRUTH, with noise; JSON is YAML."""
    folder.mkdir(parents=True, exist_ok=True)
    made = json.loads(json.dumps(SCENARIO))
    made["weather"]["temperature_offset"] = TRUTH["offset"]
    made["demand"]["reference"] = f"{TRUTH['reference']} MW"
    run = cosim.run(from_mapping(made, folder), folder / "truth", overwrite=True)
    assert run.trustworthy
    values = run.results["demand"].ds["load_scale"].values
    values = values + noise * np.random.default_rng(1).standard_normal(len(values))
    times = np.datetime64("2014-01-16T00:00") + 30 * np.arange(len(values)).astype("timedelta64[m]")
    rows = [f"{time},{value!r}" for time, value in zip(times, values.tolist(), strict=True)]
    (folder / "measured.csv").write_text("\n".join(["time,load", *rows]))
    (folder / "warm_day.yaml").write_text(json.dumps(SCENARIO))
    data = {
        "file": "measured.csv",
        "source": "a run of the scenario itself, with noise",
        "licence": "that of the project",
        "time": {"column": "time", "zone": "+10:00"},
        "columns": {"load": {"column": "load"}},
    }
    settings = {
        "kind": "scenario",
        "scenario": "warm_day.yaml",
        "parameters": SEARCHED,
        "series": {"load": {"of": "demand.load_scale"}},
        "tolerance": 1e-3,
        **target,
    }
    path = folder / "twin.yaml"
    path.write_text(json.dumps({"name": "twin", "seed": 1, "data": [data], "target": settings}))
    return path
