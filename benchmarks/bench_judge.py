"""How long the judge takes to read and judge an hour at 10 ms of many DER on two cores.

python -m benchmarks.bench_judge [DER] [file.parquet]

The file is made first (not timed): each DER has a disturbance of its own, some fail. The target: 1,000 DER in
under 60 s.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from runs.comply import comply, read_fleet

HOUR = 360_000  #: samples at 10 ms
TARGET = 60.0  #: [s] for 1,000 DER


def make(place: Path, count: int) -> None:
    """A Parquet file with a row group for each DER; voltage carries noise, as measurements do."""
    import pyarrow
    from pyarrow import parquet

    seconds = np.round(np.arange(HOUR) * 0.01, 9)
    rng = np.random.default_rng(1547)
    hertz = 60.0 + 0.01 * np.sin(seconds / 30.0)
    noise = 0.001 * rng.standard_normal(HOUR)
    writer = None
    for number in range(count):
        begin = int(rng.integers(30_000, HOUR - 90_000))
        lasting = int(rng.integers(10, 900))
        depth = rng.choice([0.3, 0.6, 0.8])
        volts = 1.0 + noise
        volts[begin : begin + lasting] -= 1.0 - depth
        power = np.full(HOUR, 0.8)
        if depth < 0.5:  # momentary cessation, and a trip where UV2 asks for it
            power[begin + 5 : begin + lasting + 20] = 0.0
            if lasting > 200:
                power[begin + 5 :] = 0.0
                back = begin + lasting + 30_500
                power[back:] = np.minimum(0.8, np.arange(1, HOUR - back + 1) / 30_000.0)
        elif number % 20 == 0:  # a trip that should not be
            power[begin + lasting // 2 :] = 0.0
        table = pyarrow.table(
            {
                "der": pyarrow.array([f"der{number:05d}"] * HOUR).dictionary_encode(),
                "time_s": seconds,
                "v_pu": volts,
                "f_hz": hertz,
                "p_pu": power,
                "q_pu": np.zeros(HOUR),
            }
        )
        writer = writer or parquet.ParquetWriter(place, table.schema, compression="lz4")
        writer.write_table(table, row_group_size=HOUR)
    if writer is not None:
        writer.close()


def measure(place: Path) -> dict[str, float]:
    """Seconds to judge the file, and what was judged."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = time.perf_counter()
    judgement = comply(place, read_fleet("III", rating_kVA=100.0), workers=2).judgement
    seconds = time.perf_counter() - begun
    count = len(judgement.der)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "der": count,
        "failed": judgement.counts.get("fail", 0),
        "seconds": seconds,
        "seconds_per_1000_der": seconds * 1000.0 / count,
        "million_samples_per_second": count * HOUR / seconds / 1e6,
        "cpu_seconds_per_1000_der": (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        * 1000.0
        / count,
        "memory_of_a_process_MiB": after.ru_maxrss / 1024.0,
    }


def main() -> None:
    """Print the figures as JSON; exit 1 where the target is missed."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    with TemporaryDirectory() as folder:
        place = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(folder) / "hour.parquet"
        if not place.exists():
            make(place, count)
        figures = measure(place)
    print(json.dumps(figures))
    if figures["seconds_per_1000_der"] > TARGET:
        sys.exit(1)


if __name__ == "__main__":
    main()
