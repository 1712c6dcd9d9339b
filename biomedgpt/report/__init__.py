"""Reports about runs: one HTML file each, readable anywhere."""

from biomedgpt.report.history import History, read_fairseq_log
from biomedgpt.report.html import ReportExample, write_report

__all__ = ["History", "ReportExample", "read_fairseq_log", "write_report"]
