"""Admittances of branches and of a whole grid, MATPOWER's branch model.

A branch is a π circuit (series impedance r + jx, charging b) behind an ideal transformer with
complex ratio N = a·exp(jφ) at its `from` end. With y = 1/(r + jx), MATPOWER User's Manual 8.1,
equation 3.2:

    Yff = (y + jb/2)/a²    Yft = -y/N*    Ytf = -y/N    Ytt = y + jb/2
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from solvers.transmission_grid import Booleans, Branches, Complexes, TransmissionCase


@dataclass(frozen=True)
class BranchAdmittances:
    """The four entries [pu] of each branch, shape (branch,)."""

    ff: Complexes
    ft: Complexes
    tf: Complexes
    tt: Complexes


def branch_admittances(branches: Branches) -> BranchAdmittances:
    """Admittances of all branches as if in service."""
    series = 1 / (branches.resistance + 1j * branches.reactance)
    ratio = branches.ratio * np.exp(1j * branches.shift)
    tt = series + 0.5j * branches.susceptance
    return BranchAdmittances(
        ff=(tt / branches.ratio**2).astype(np.complex128), ft=-series / ratio.conj(), tf=-series / ratio, tt=tt
    )


def bus_admittance(case: TransmissionCase, branch: BranchAdmittances, in_service: Booleans) -> Any:
    """The bus admittance matrix [pu] with the branches `in_service`, a scipy CSC array (bus, bus)."""
    from scipy.sparse import csc_matrix

    count = len(case.buses)
    start, end = case.branches.from_bus[in_service], case.branches.to_bus[in_service]
    diagonal = np.arange(count)
    entries = np.concatenate(
        [
            branch.ff[in_service],
            branch.ft[in_service],
            branch.tf[in_service],
            branch.tt[in_service],
            case.buses.shunt / case.base_mva,
        ]
    )
    rows = np.concatenate([start, start, end, end, diagonal])
    columns = np.concatenate([start, end, start, end, diagonal])
    return csc_matrix((entries, (rows, columns)), shape=(count, count))


def branch_flows(
    case: TransmissionCase, branch: BranchAdmittances, in_service: Booleans, voltage: Complexes
) -> tuple[Complexes, Complexes]:
    """Power [MVA] that enters each branch at its `from` and its `to` end; 0 out of service."""
    start, end = voltage[case.branches.from_bus], voltage[case.branches.to_bus]
    at_start = start * np.conj(branch.ff * start + branch.ft * end) * case.base_mva
    at_end = end * np.conj(branch.tf * start + branch.tt * end) * case.base_mva
    return np.where(in_service, at_start, 0), np.where(in_service, at_end, 0)
