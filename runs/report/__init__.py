"""A run's report: one self-contained HTML file."""

from runs.report.page import write_comparison_report, write_report

__all__ = ["write_comparison_report", "write_report"]
