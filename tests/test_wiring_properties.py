"""References to ports, and the order that the wiring gives to federates, for any links."""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosim.errors import ScenarioError
from cosim.federation import PortReference
from cosim.scenario import from_mapping
from cosim.wiring import wire

MODELS = Path(__file__).parent / "models"
NAMES = st.from_regex(r"[A-Za-z][A-Za-z0-9_-]{0,20}", fullmatch=True)
LABELS = st.one_of(st.none(), st.text(string.ascii_letters + string.digits + " .:->_/[", max_size=12))


@given(NAMES, st.from_regex(r"[a-z_.]{1,20}", fullmatch=True), LABELS)
def test_a_reference_survives_its_text(federate: str, port: str, label: str | None) -> None:
    reference = PortReference(federate=federate, port=port, label=label)
    assert PortReference.parse(str(reference)) == reference


@given(st.text(max_size=30))
def test_what_is_no_reference_is_refused_and_nothing_else_happens(text: str) -> None:
    try:
        reference = PortReference.parse(text)
    except ValueError:
        return
    assert str(reference) == text


@st.composite
def graphs(draw: Any) -> tuple[int, set[tuple[int, int]]]:
    """A number of federates, and links between them: any directed graph without loops."""
    count = draw(st.integers(1, 8))
    pairs = [(a, b) for a in range(count) for b in range(count) if a != b]
    return count, draw(st.sets(st.sampled_from(pairs), max_size=14)) if pairs else set()


def federation(kind: str, count: int, links: set[tuple[int, int]], **more: Any) -> Any:
    port = "stamp" if kind == "ticker.py" else "y"
    return wire(
        from_mapping(
            {
                "name": "graph",
                "horizon": {"start": "2014-01-16 00:00", "duration": "10 min"},
                "federates": [{"name": f"f{number}", "model": {"kind": kind}} for number in range(count)],
                "links": [{"source": f"f{a}.{port}", "destination": f"f{b}.x", **more} for a, b in sorted(links)],
            },
            MODELS,
        )
    )


@given(graphs())
@settings(max_examples=60, deadline=None)
def test_links_without_a_cycle_are_kept_in_order(graph: tuple[int, set[tuple[int, int]]]) -> None:
    count, links = graph
    downhill = {(min(pair), max(pair)) for pair in links}
    wired = federation("ticker.py", count, downhill)
    slots = {spec.name: spec.slot for spec in wired.federates}
    assert all(slots[f"f{a}"] < slots[f"f{b}"] for a, b in downhill)
    assert all(slots["communications"] < slots[f"f{number}"] for number in range(count))


@given(graphs())
@settings(max_examples=60, deadline=None)
def test_a_lagged_link_joins_no_two_of_one_slot(graph: tuple[int, set[tuple[int, int]]]) -> None:
    """In one slot its value would be new in one process and old through HELICS."""
    count, links = graph
    wired = federation("ticker.py", count, links, lagged=True)
    slots = {spec.name: spec.slot for spec in wired.federates}
    assert all(slots[f"f{a}"] != slots[f"f{b}"] for a, b in links)
    uphill = {(max(pair), min(pair)) for pair in links}  # no circle: who takes goes first
    slots = {spec.name: spec.slot for spec in federation("ticker.py", count, uphill, lagged=True).federates}
    assert all(slots[f"f{b}"] < slots[f"f{a}"] for a, b in uphill)


@given(graphs())
@settings(max_examples=60, deadline=None)
def test_cycles_become_groups_and_the_rest_is_in_order(graph: tuple[int, set[tuple[int, int]]]) -> None:
    count, links = graph
    reach = _reachable(count, links)
    wired = federation("linear_loop.py", count, links, tolerance=1.0)
    rings = {
        frozenset(f"f{b}" for b in range(count) if b == a or (b in reach[a] and a in reach[b]))
        for a in range(count)
        if a in reach[a]
    }
    assert {frozenset(group.members) for group in wired.groups} == rings
    specs = {spec.name: spec for spec in wired.federates}
    for a, b in links:
        source, destination = specs[f"f{a}"], specs[f"f{b}"]
        if source.group is None or source.group != destination.group:
            assert _last_slot(wired, source) < destination.slot


@given(graphs())
@settings(max_examples=60, deadline=None)
def test_cycles_of_federates_that_cannot_repeat_a_step_are_refused(graph: tuple[int, set[tuple[int, int]]]) -> None:
    count, links = graph
    reach = _reachable(count, links)
    if any(number in reach[number] for number in range(count)):
        with pytest.raises(ScenarioError, match="form a cycle"):
            federation("ticker.py", count, links)
    else:
        federation("ticker.py", count, links)


def _last_slot(wired: Any, spec: Any) -> int:
    if spec.group is None:
        return spec.slot
    group = wired.groups[spec.group]
    return max(group.slot(member, group.max_rounds) for member in group.members)


def _reachable(count: int, links: set[tuple[int, int]]) -> list[set[int]]:
    """By brute force: where one comes from each node with one link or more."""
    reach = [{b for a, b in links if a == number} for number in range(count)]
    for _ in range(count):
        reach = [found | {c for b in found for c in reach[b]} for found in reach]
    return reach
