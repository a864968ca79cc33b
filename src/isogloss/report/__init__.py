"""Runs as a page: tables with intervals, curves, confusions, worst errors, margins and provenance in a single HTML file.

`load_run` reads and checks what the evaluation wrote, `write_report` typesets it. matplotlib and jinja2 are imported
only when something is drawn.
"""

from isogloss.report.page import write_report
from isogloss.report.summary import RunSummary, load_run
from isogloss.report.table1 import table1_markdown

__all__ = ["RunSummary", "load_run", "table1_markdown", "write_report"]
