"""A run's findings as data (`schema`) and for people: Markdown, one HTML page, a table for the terminal."""

from __future__ import annotations

from pathlib import Path

from edgecompress.report.compare import comparison, comparison_table, not_ranked
from edgecompress.report.schema import Report
from edgecompress.report.table import summary_table
from edgecompress.store import write_atomic

__all__ = ["Report", "comparison", "comparison_table", "not_ranked", "summary_table", "write_report"]

MARKDOWN_FILE = "report.md"
HTML_FILE = "report.html"


def write_report(report: Report, folder: Path | str) -> Path:
    """Writes `report.json`, `report.md` and `report.html` into `folder` (made if missing), each of them whole or not at all.

    Everything is rendered before the first file is written, so that the three belong together.

    Returns:
        The path of `report.html`.

    Raises:
        StorageError: when the folder cannot be written.
    """
    # Matplotlib and jinja2 cost half a second that a run without a report need not pay.
    from edgecompress.report.html import render_html
    from edgecompress.report.markdown import render_markdown

    html, markdown = render_html(report), render_markdown(report)
    path = report.save(folder).parent
    write_atomic(path / MARKDOWN_FILE, markdown)
    write_atomic(path / HTML_FILE, html)
    return path / HTML_FILE
