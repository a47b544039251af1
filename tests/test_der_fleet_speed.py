"""The fleet's speed beside OpenDER's, and its memory; the figures themselves are the benchmark's."""

from __future__ import annotations

import pytest

from benchmarks.bench_der_fleet import RATIO_WANTED, bench, bytes_per_der


def test_memory_is_linear_in_the_number_of_der() -> None:
    few, many = bytes_per_der(1_000), bytes_per_der(20_000)
    assert many <= 1.1 * few


@pytest.mark.long
def test_a_thousand_times_openders_rate() -> None:
    pytest.importorskip("opender", reason="the comparison needs the extra `opender`")
    result = bench()
    assert result.ratio is not None
    assert result.ratio >= RATIO_WANTED
    assert result.good
