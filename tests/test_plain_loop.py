"""A federation gives bit for bit what the same federates give when called one after the other in one process."""

from pathlib import Path

import numpy as np

import cosim
from benchmarks.plain_loop import run_plain
from cosim.results import open_tree

EXAMPLE = Path(__file__).parents[1] / "docs" / "examples" / "price_battery.yaml"


def test_federation_equals_plain_loop(tmp_path: Path) -> None:
    scenario = cosim.load(EXAMPLE)
    run = cosim.run(scenario, out=tmp_path / "run")
    assert run.trustworthy, run.verdict
    plain, _ = run_plain(cosim.wire(scenario), keep=True)
    tree = open_tree(run.folder)
    compared = 0
    for name, steps in plain.items():
        group = tree[name].to_dataset()
        for variable in steps[0]:
            expected = np.array([step[variable] for step in steps])
            np.testing.assert_array_equal(group[variable].values, expected, err_msg=f"{name}.{variable}")
            compared += expected.size
    assert compared > 10_000
