"""The published tables: totals, distances and other people's models of the same feeders."""

from __future__ import annotations

import csv
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from feeders.published_feeder import (
    FeederTableError,
    available_feeders,
    check_feeder,
    load_feeder,
    with_lumped_distributed_loads,
)

CASES = Path(__file__).parent / "reference_cases" / "feeders"
OPENDSS = Path(__file__).parents[2] / "shared" / "models" / "opendss"


@pytest.mark.parametrize("name", available_feeders())
def test_every_feeder_loads_and_is_physical(name: str) -> None:
    feeder = load_feeder(name)
    table = feeder.configurations
    for phases, z in zip(table.phases, table.impedance, strict=True):
        present = ["ABC".index(p) for p in phases]
        part = z[np.ix_(present, present)]
        assert np.array_equal(z, z.T)
        assert np.linalg.eigvalsh(part.real).min() > 0, "a line must not create power"
    assert (feeder.lines.length > 0).all()
    assert np.abs(feeder.source.voltage) == pytest.approx(np.ones(3))


@pytest.mark.parametrize(
    ("name", "total"),
    # Totals printed under the spot load tables of the IEEE PES documents [kW + j kvar].
    [
        ("ieee13", (1158 + 606j, 973 + 627j, 1135 + 753j)),
        ("ieee123", (1420 + 775j, 915 + 515j, 1155 + 630j)),
    ],
)
def test_spot_loads_add_up_to_the_published_totals(name: str, total: tuple[complex, ...]) -> None:
    assert load_feeder(name).spot_loads.power.sum(axis=0) == pytest.approx(np.array(total))


def test_capacitors_add_up_to_the_published_totals() -> None:
    assert load_feeder("ieee13").capacitors.reactive.sum(axis=0).tolist() == [200, 200, 300]
    assert load_feeder("ieee123").capacitors.reactive.sum(axis=0).tolist() == [250, 250, 250]


def test_line_lengths_are_the_differences_of_the_published_distances() -> None:
    with (CASES / "ieee123_published" / "expected.csv").open() as file:
        mile = {row["node"]: float(row["mile"]) for row in csv.DictReader(file)}
    lines = load_feeder("ieee123").lines
    published = np.array([mile[b] - mile[a] for a, b in zip(lines.from_node, lines.to_node, strict=True)])
    # Distances are printed to 0.001 mile, so a difference is good to 5.28 ft.
    assert np.abs(np.abs(published) * 5280 - lines.length).max() <= 5.3


def test_lines_are_those_of_the_opendss_model() -> None:
    master = OPENDSS / "123Bus" / "IEEE123Master.dss"
    if not master.exists():
        pytest.skip(f"no copy of the OpenDSS test feeders at {OPENDSS}")
    pattern = r"^New Line\.(?!Sw)\S+.*Bus1=(\w+)[.\d]*\s+Bus2=(\w+)[.\d]*\s+LineCode=(\d+)\s+Length=([\d.]+)"
    theirs = {
        (a, b): (c, 1000 * float(length)) for a, b, c, length in re.findall(pattern, master.read_text(), re.MULTILINE)
    }
    lines = load_feeder("ieee123").lines
    ours = {
        (a, b): (c, length)
        for a, b, c, length in zip(lines.from_node, lines.to_node, lines.configuration, lines.length, strict=True)
    }
    assert ours.keys() == theirs.keys()
    other = {key for key in ours if ours[key] != pytest.approx(theirs[key])}
    assert other == {("80", "81"), ("89", "90")}, "only these lengths differ from the published table"


def test_unknown_feeder_names_what_exists() -> None:
    with pytest.raises(FeederTableError, match=r"'ieee8500'.*ieee123, ieee13"):
        load_feeder("ieee8500")


def test_contradictions_are_reported_together() -> None:
    feeder = load_feeder("ieee13")
    lines = replace(feeder.lines, to_node=("nowhere", *feeder.lines.to_node[1:]))
    loads = replace(feeder.spot_loads, model=("P", *feeder.spot_loads.model[1:]))
    with pytest.raises(FeederTableError) as caught:
        check_feeder(replace(feeder, lines=lines, spot_loads=loads))
    assert "'nowhere' does not exist" in str(caught.value)
    assert "'P' is none of PQ, I, Z" in str(caught.value)


def test_lumped_loads_keep_power_length_and_load_moment() -> None:
    feeder = load_feeder("ieee13")
    lumped = with_lumped_distributed_loads(feeder)
    check_feeder(lumped)
    total = feeder.spot_loads.power.sum(axis=0) + feeder.distributed_loads.power.sum(axis=0)
    assert lumped.spot_loads.power.sum(axis=0) == pytest.approx(total)
    assert lumped.lines.length.sum() == pytest.approx(feeder.lines.length.sum())
    # An even load drops as much voltage as the whole of it half way: 2/3 at 1/4 and 1/3 at the end.
    position = {"632_671": 0.25, "671": 1.0}
    added = slice(len(feeder.spot_loads.node), None)
    moment = sum(
        position[node] * power
        for node, power in zip(lumped.spot_loads.node[added], lumped.spot_loads.power[added], strict=True)
    )
    assert moment == pytest.approx(0.5 * feeder.distributed_loads.power[0])
    assert not lumped.distributed_loads.node
