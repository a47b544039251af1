"""Power transfer distribution factors (PTDF) of a DC network, row by row and only where asked.

DC power flow (Wood, Wollenberg and Sheblé, *Power Generation, Operation, and Control*, 3rd ed.,
section 6.15; MATPOWER User's Manual, section 3.7 "DC Modeling"): a branch from i to j with series
reactance x, tap ratio τ and phase shift φ carries

    f = b (θ_i - θ_j - φ),    b = baseMVA / (x τ)    [MW/rad]

so that the bus injections are P = B θ + P_shift, with B = Aᵀ diag(b) A, P_shift = -Aᵀ (b φ) and A the
branch-bus incidence. With the reference bus's angle at zero, row l of the PTDF is b_l a_lᵀ B⁻¹: one
sparse triangular solve with the factors of B, which is symmetric. The dense PTDF of 10,000 buses
would take 1 GB; a dispatch needs a few hundred rows of it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


class NetworkError(ValueError):
    """The network has no DC power flow: split into islands, or a branch without reactance."""


def island_labels(bus_count: int, from_bus: IntArray, to_bus: IntArray, in_service: BoolArray) -> IntArray:
    """Number the islands that the branches in service leave: a label per bus (n,), 0, 1, ..."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    ones = np.ones(int(in_service.sum()))
    graph = coo_array((ones, (from_bus[in_service], to_bus[in_service])), shape=(bus_count, bus_count))
    labels = connected_components(graph, directed=False)[1]
    return np.asarray(labels, dtype=np.int64)


class Ptdf:
    """The factors of one network's B matrix, and from them flows and PTDF rows.

    Parameters (n buses, m branches):
        bus_count: n.
        from_bus, to_bus: bus positions (m,), 0 to n-1.
        reactance: series reactance (m,) [pu].
        tap: off-nominal ratio (m,) [1], at the from end; 1 for a line.
        shift: phase shift (m,) [rad], positive delays the to end, as in MATPOWER.
        in_service: (m,) bool; a branch out of service carries 0.
        base_mva: system base [MVA].
        energised: (n,) bool; buses that are not take no part (their columns are 0, and so are the
            flows of their branches). All, if None.
        reference: position of the bus with angle 0; the first energised one if None.

    Raises NetworkError if the energised buses are not one island, or a branch in service has x τ = 0.
    """

    def __init__(
        self,
        bus_count: int,
        from_bus: IntArray,
        to_bus: IntArray,
        reactance: FloatArray,
        tap: FloatArray,
        shift: FloatArray,
        in_service: BoolArray,
        base_mva: float,
        energised: BoolArray | None = None,
        reference: int | None = None,
    ) -> None:
        from scipy.sparse import coo_array, csc_array, diags_array
        from scipy.sparse.linalg import splu

        live = np.ones(bus_count, dtype=bool) if energised is None else energised
        used = in_service & live[from_bus] & live[to_bus]
        _require_reactance(reactance * tap, used)
        _require_one_island(island_labels(bus_count, from_bus, to_bus, used), live)
        self.bus_count = bus_count
        self.reference = int(np.flatnonzero(live)[0]) if reference is None else reference
        self.susceptance: FloatArray = np.zeros(len(from_bus))  #: b (m,) [MW/rad]; 0 out of service
        self.susceptance[used] = base_mva / (reactance[used] * tap[used])
        branch = np.arange(len(from_bus))
        self._incidence = coo_array(
            (
                np.r_[used, -used.astype(float)].astype(float),
                (np.r_[branch, branch], np.r_[from_bus, to_bus]),
            ),
            shape=(len(from_bus), bus_count),
        ).tocsr()
        self._free = np.flatnonzero(live & (np.arange(bus_count) != self.reference))
        self._weighted = diags_array(self.susceptance) @ self._incidence
        matrix = (self._incidence.T @ self._weighted).tocsc()
        reduced = csc_array(matrix[self._free][:, self._free])
        options = {"SymmetricMode": True}
        self._factors = splu(reduced, permc_spec="MMD_AT_PLUS_A", options=options) if len(self._free) else None
        own = -self.susceptance * shift
        self._shift_injection: FloatArray = np.asarray(self._incidence.T @ own)
        self._shift_own = own
        self.shift_flow: FloatArray = self.flows(np.zeros(bus_count))  #: flow of the shifters alone (m,) [MW]

    def angles(self, injection: FloatArray) -> FloatArray:
        """Bus angles (..., n) [rad] for injections (..., n) [MW]; the reference takes the imbalance."""
        angle = np.zeros(injection.shape)
        if self._factors is not None:
            free = (injection - self._shift_injection)[..., self._free]
            angle[..., self._free] = self._factors.solve(np.ascontiguousarray(free.T)).T
        return angle

    def flows(self, injection: FloatArray) -> FloatArray:
        """Branch flows (..., m) [MW], positive from `from_bus`, for injections (..., n) [MW]."""
        angle = self.angles(injection)
        return np.asarray((self._weighted @ angle.T).T) + self._shift_own

    def rows(self, branches: Sequence[int] | IntArray) -> FloatArray:
        """PTDF rows (k, n) [MW/MW] of k branches: flows = row @ injection + `shift_flow`."""
        chosen = np.asarray(branches, dtype=np.int64)
        rows = np.zeros((len(chosen), self.bus_count))
        if self._factors is not None and len(chosen):
            right = self._weighted[chosen][:, self._free].toarray()
            rows[:, self._free] = self._factors.solve(np.ascontiguousarray(right.T)).T
        return rows


def _require_reactance(series: FloatArray, used: BoolArray) -> None:
    bad = np.flatnonzero(used & (series == 0.0))
    if len(bad):
        raise NetworkError(
            f"branch {bad[0]} (and {len(bad) - 1} more) has a series reactance of 0 pu or a tap ratio of 0; "
            "the DC power flow divides by both. Give it a small reactance, or merge its two buses."
        )


def _require_one_island(labels: IntArray, live: BoolArray) -> None:
    islands, sizes = np.unique(labels[live], return_counts=True)
    if len(islands) != 1:
        alone = np.flatnonzero(live & (labels != islands[np.argmax(sizes)]))
        raise NetworkError(
            f"the network must be one island, got {len(islands)}: {len(alone)} buses are cut off from the "
            f"largest, first at position {alone[0] if len(alone) else 'none'}. "
            "Close a branch to them, or leave them out of the energised buses."
        )
