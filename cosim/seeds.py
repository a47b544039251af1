"""Random numbers that depend on the run's seed and on names, never on the order of calls."""

from __future__ import annotations

import hashlib

import numpy as np


def generator(seed: int, *names: str | int) -> np.random.Generator:
    """A generator keyed by (`seed`, `names`): the same key gives the same numbers on any machine."""
    key = hashlib.sha256("\0".join(map(str, (seed, *names))).encode()).digest()
    return np.random.Generator(np.random.Philox(key=np.frombuffer(key[:16], dtype=np.uint64)))
