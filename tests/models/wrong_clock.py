"""A feeder in GridLAB-D whose clock is another continent's: its sun stands elsewhere."""

from dataclasses import replace

from federates.gridlabd_feeder import GridlabdFeeder
from feeders.glm import Site


class WrongClock(GridlabdFeeder):
    def _sun_site(self) -> Site:
        site = super()._sun_site()
        return replace(site, utc_offset=site.utc_offset - 8)
