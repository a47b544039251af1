"""A federate's outputs in one row of numbers: nothing moves, nothing is lost, and what does not fit names its port."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosim.contract import Exchange, Port
from cosim.engine.outputs import Outputs
from cosim.engine.row import Layout, Row, numbers_of
from cosim.errors import ContractError
from cosim.federation import PortReference

BUS = {"bus": ("1", "2", "3")}
PORTS = (
    Port("voltage", "pu", "out", "voltage", BUS, is_complex=True),
    Port("load", "MW", "out", "load", {**BUS, "phase": ("A", "B")}),
    Port("frequency", "Hz", "out", "frequency"),
)
GIVEN: dict[str, Any] = {
    "voltage": np.array([1.0, 0.9 - 0.1j, 0.0]),
    "load": np.arange(6).reshape(3, 2),
    "frequency": 60.0,
}


@given(st.lists(st.tuples(st.lists(st.integers(0, 3), max_size=3).map(tuple), st.booleans()), max_size=6))
def test_arrays_fill_the_row_one_after_the_other(layouts: list[tuple[tuple[int, ...], bool]]) -> None:
    row = Row(Layout(*layout) for layout in layouts)
    for number, array in enumerate(row.arrays):
        array[...] = number + 1
    kinds = [complex if pairs else float for _, pairs in layouts]
    expected = [np.full(layouts[k][0], k + 1, kind) for k, kind in enumerate(kinds)]
    np.testing.assert_array_equal(row.numbers, np.concatenate([np.zeros(0), *map(numbers_of, expected)]))
    for array, other in zip(row.arrays, expected, strict=True):
        assert array.shape == other.shape
        assert array.dtype == other.dtype


def test_an_accepted_solution_is_seen_where_the_row_was_looked_at_before() -> None:
    outputs = Outputs(PORTS)
    voltage, phases = outputs.part(PortReference.parse("f.voltage[2]")), outputs.part(PortReference.parse("f.load[3]"))
    recorded = outputs.numbers(PORTS[:1])
    outputs.accept(Exchange(GIVEN))
    assert voltage == 0.9 - 0.1j
    np.testing.assert_array_equal(phases, [4.0, 5.0])
    np.testing.assert_array_equal(recorded, [1.0, 0.0, 0.9, -0.1, 0.0, 0.0])
    outputs.accept(Exchange(GIVEN | {"frequency": np.float32(59.5)}))
    assert outputs.arrays["frequency"] == 59.5


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"load": np.zeros(3)}, r"output 'load' must have the shape \(3, 2\), got \(3,\)"),
        ({"frequency": "60"}, "output 'frequency' must hold numbers"),
        ({"frequency": 60.0 + 0.0j}, "output 'frequency' is declared real, got complex values"),
        ({"load": np.full((3, 2), np.nan)}, r"output 'load' \[MW\] holds NaN or infinity"),
        ({"voltage": np.array([1.0, complex(0.0, np.inf), 1.0])}, r"output 'voltage' \[pu\] holds NaN or infinity"),
        ({"speed": np.ones(3)}, r"missing: \[\], not declared: \['speed'\]"),
    ],
)
def test_what_does_not_fit_is_named(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ContractError, match=said):
        Outputs(PORTS).accept(Exchange(GIVEN | wrong))


def test_what_is_missing_is_named() -> None:
    with pytest.raises(ContractError, match=r"missing: \['frequency'\]"):
        Outputs(PORTS).accept(Exchange({name: value for name, value in GIVEN.items() if name != "frequency"}))
    with pytest.raises(ContractError, match="must return an Exchange, got dict"):
        Outputs(PORTS).accept(GIVEN)  # type: ignore[arg-type]
