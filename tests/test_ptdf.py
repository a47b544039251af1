"""PTDF rows against the bus-angle DC power flow, on random networks and on published cases."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from solvers.ptdf import NetworkError, Ptdf, island_labels

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Network:
    bus_count: int
    from_bus: NDArray[np.int64]
    to_bus: NDArray[np.int64]
    reactance: Floats
    tap: Floats
    shift: Floats
    in_service: NDArray[np.bool_]

    def ptdf(self, reference: int | None = None, energised: NDArray[np.bool_] | None = None) -> Ptdf:
        return Ptdf(
            self.bus_count,
            self.from_bus,
            self.to_bus,
            self.reactance,
            self.tap,
            self.shift,
            self.in_service,
            base_mva=100.0,
            energised=energised,
            reference=reference,
        )


def random_network(seed: int, buses: int, extra: int) -> Network:
    """A random tree (so that it is connected) with `extra` chords."""
    rng = np.random.default_rng(seed)
    tree_from = np.array([rng.integers(0, bus) for bus in range(1, buses)], dtype=np.int64)
    chords = np.array([rng.choice(buses, 2, replace=False) for _ in range(extra)], dtype=np.int64).reshape(-1, 2)
    from_bus = np.r_[tree_from, chords[:, 0]]
    to_bus = np.r_[np.arange(1, buses), chords[:, 1]]
    count = len(from_bus)
    return Network(
        buses,
        from_bus,
        to_bus,
        rng.uniform(0.01, 0.5, count),
        rng.choice([1.0, 0.95, 1.05], count),
        rng.choice([0.0, 0.0, 0.17, -0.09], count),
        np.ones(count, dtype=bool),
    )


def dense_angle_flows(network: Network, injection: Floats) -> Floats:
    """The DC power flow written branch by branch, least squares on the singular B: no reference chosen."""
    matrix = np.zeros((network.bus_count, network.bus_count))
    shifted = np.zeros(network.bus_count)
    for i, j, x, tap, shift, on in zip(
        network.from_bus,
        network.to_bus,
        network.reactance,
        network.tap,
        network.shift,
        network.in_service,
        strict=True,
    ):
        b = 100.0 * on / (x * tap)
        matrix[i, i] += b
        matrix[j, j] += b
        matrix[i, j] -= b
        matrix[j, i] -= b
        shifted[i] += b * shift
        shifted[j] -= b * shift
    angle = np.linalg.lstsq(matrix, injection + shifted, rcond=None)[0]
    b = 100.0 * network.in_service / (network.reactance * network.tap)
    return b * (angle[network.from_bus] - angle[network.to_bus] - network.shift)


networks = st.builds(random_network, seed=st.integers(0, 10_000), buses=st.integers(2, 15), extra=st.integers(0, 10))


@settings(max_examples=50, deadline=None)
@given(network=networks, seed=st.integers(0, 1000))
def test_rows_and_angles_give_the_dc_power_flow(network: Network, seed: int) -> None:
    injection = np.random.default_rng(seed).normal(0.0, 100.0, network.bus_count)
    injection -= injection.mean()
    ptdf = network.ptdf()
    expected = dense_angle_flows(network, injection)
    every = np.arange(len(network.from_bus))
    np.testing.assert_allclose(ptdf.flows(injection), expected, atol=1e-6)
    np.testing.assert_allclose(ptdf.rows(every) @ injection + ptdf.shift_flow, expected, atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(network=networks, seed=st.integers(0, 1000), pick=st.integers(0, 14))
def test_balanced_flows_do_not_depend_on_the_reference(network: Network, seed: int, pick: int) -> None:
    injection = np.random.default_rng(seed).normal(0.0, 100.0, network.bus_count)
    injection -= injection.mean()
    other = network.ptdf(reference=pick % network.bus_count)
    np.testing.assert_allclose(other.flows(injection), network.ptdf().flows(injection), atol=1e-6)
    every = np.arange(len(network.from_bus))
    by_rows = other.rows(every) @ injection + other.shift_flow
    np.testing.assert_allclose(by_rows, network.ptdf().flows(injection), atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), buses=st.integers(3, 12), extra=st.integers(1, 6))
def test_a_branch_out_of_service_is_a_network_built_without_it(seed: int, buses: int, extra: int) -> None:
    network = random_network(seed, buses, extra)
    out = len(network.from_bus) - 1  # a chord, so the tree still holds the network together
    keep = np.arange(len(network.from_bus)) != out
    tripped = replace(network, in_service=keep)
    rebuilt = Network(
        buses,
        *(getattr(network, name)[keep] for name in ("from_bus", "to_bus", "reactance", "tap", "shift", "in_service")),
    )
    np.testing.assert_allclose(
        tripped.ptdf().rows(np.flatnonzero(keep)), rebuilt.ptdf().rows(np.arange(int(keep.sum()))), atol=1e-9
    )
    assert not tripped.ptdf().rows([out]).any()
    assert tripped.ptdf().shift_flow[out] == 0.0


def test_flows_of_several_periods_are_the_flows_of_each() -> None:
    network = random_network(1, 8, 4)
    injection = np.random.default_rng(2).normal(size=(5, 8))
    injection -= injection.mean(axis=1, keepdims=True)
    together = network.ptdf().flows(injection)
    np.testing.assert_allclose(together, [network.ptdf().flows(one) for one in injection], atol=1e-12)


def test_two_parallel_lines_share_by_susceptance() -> None:
    network = Network(
        2,
        np.array([0, 0]),
        np.array([1, 1]),
        np.array([0.1, 0.3]),
        np.ones(2),
        np.zeros(2),
        np.ones(2, dtype=bool),
    )
    np.testing.assert_allclose(network.ptdf().flows(np.array([40.0, -40.0])), [30.0, 10.0])
    # reference bus 0 takes the injection at bus 1, against the branches' direction
    np.testing.assert_allclose(network.ptdf().rows([0, 1]), [[0.0, -0.75], [0.0, -0.25]])


def test_a_phase_shifter_drives_a_loop_flow() -> None:
    # two parallel branches of 0.1 pu, one shifted by φ: φ drives b φ / 2 round the loop
    network = Network(
        2,
        np.array([0, 0]),
        np.array([1, 1]),
        np.array([0.1, 0.1]),
        np.ones(2),
        np.array([0.0, 0.157]),
        np.ones(2, dtype=bool),
    )
    loop = 100.0 / 0.1 * 0.157 / 2
    np.testing.assert_allclose(network.ptdf().shift_flow, [loop, -loop])


def test_an_island_is_refused_unless_left_out() -> None:
    network = random_network(3, 6, 0)
    cut = replace(network, in_service=np.arange(5) != 4)  # bus 5 hangs on the last branch of the tree
    with pytest.raises(NetworkError, match=r"must be one island, got 2: 1 buses .* position 5"):
        cut.ptdf()
    live = np.arange(6) != 5
    ptdf = cut.ptdf(energised=live)
    assert not ptdf.rows([0])[:, 5].any()
    assert ptdf.flows(np.array([1.0, -1.0, 0.0, 0.0, 0.0, 0.0]))[4] == 0.0


def test_island_labels_count_the_parts() -> None:
    labels = island_labels(5, np.array([0, 2]), np.array([1, 3]), np.array([True, True]))
    assert len(set(labels.tolist())) == 3
    assert labels[0] == labels[1] != labels[2] == labels[3]


def test_a_branch_without_reactance_is_refused() -> None:
    network = replace(random_network(4, 3, 0), reactance=np.array([0.1, 0.0]))
    with pytest.raises(NetworkError, match=r"branch 1 .* reactance of 0 pu"):
        network.ptdf()


def test_one_bus_has_no_flows() -> None:
    none = np.array([], dtype=np.int64)
    ptdf = Ptdf(1, none, none, np.array([]), np.array([]), np.array([]), np.array([], dtype=bool), 100.0)
    assert ptdf.flows(np.array([0.0])).shape == (0,)
