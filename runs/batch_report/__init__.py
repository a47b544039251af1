"""A batch's report: one self-contained HTML file of all its runs.

It stands outside `runs/batch/`: what is in there is part of every run's content key, and a report changes no result.
"""

from runs.batch_report.page import write_batch_report

__all__ = ["write_batch_report"]
