"""One run as a page: Table 1, Figure 2, DET curves, confusion matrices and training curves in a single HTML file.

`load_run` reads and checks what the evaluation wrote, `write_report` typesets it. matplotlib and jinja2 are imported
only when something is drawn.
"""

from isogloss.report.page import write_report
from isogloss.report.summary import RunSummary, load_run
from isogloss.report.table1 import table1_markdown

__all__ = ["RunSummary", "load_run", "table1_markdown", "write_report"]
