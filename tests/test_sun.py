"""The sun's height against pvlib's, which follows NREL's SPA (good to 0.0003 deg), at places all over the Earth."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pandas as pd
import pytest
from pvlib.solarposition import get_solarposition

from cosim.site import Site
from cosim.sun import elevation

QUARTER = 15 * 60 * 10**9  #: [ns]


@pytest.mark.parametrize(
    "site",
    [
        Site(-37.81, 144.97, 10),
        Site(36.1, -79.95, -5),
        Site(64.1, -21.9, 0),
        Site(-54.8, -68.3, -3),
        Site(1.4, 103.8, 8),
    ],
    ids=lambda site: f"{site.latitude:g}",
)
@pytest.mark.parametrize("start", [datetime(2014, 1, 16), datetime(2024, 6, 21), datetime(1999, 10, 1, 12)])
def test_the_sun_stands_where_pvlib_has_it(site: Site, start: datetime) -> None:
    times = np.arange(96, dtype=np.int64) * QUARTER
    universal = pd.DatetimeIndex(
        np.datetime64(start, "ns") + times - np.timedelta64(site.utc_offset * 3600, "s"), tz="UTC"
    )
    expected = 90.0 - get_solarposition(universal, site.latitude, site.longitude)["zenith"].to_numpy()
    assert np.abs(elevation(times, start, site) - expected).max() < 0.02
