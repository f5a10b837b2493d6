"""One self-contained HTML page on a finished run."""

from pyg_mmea.report.figure import Plot, Table
from pyg_mmea.report.page import write_report

__all__ = ["Plot", "Table", "write_report"]
