"""A report, or the lens on a file, as one HTML page that loads nothing: words, tables, drawings and styles are all in it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup, escape

from edgecompress.report.canvas import Plot
from edgecompress.report.document import Block, Card
from edgecompress.report.plots import plots
from edgecompress.report.schema import Report
from edgecompress.report.sections import blocks
from edgecompress.report.summary import byline, cards

UNITS = "ms|s|min|h|B|kB|MB|GB|k|M|G|points|threads?|samples"
STAGE_PLOTS = ("stage_parameters", "stage_bytes", "stage_metric")


@cache
def _template() -> Template:
    """The page; everything that is put into it is escaped, except our own drawings."""
    loader = PackageLoader("edgecompress.report")
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["together"] = _together
    return environment.get_template("page.html.j2")


def _together(text: str) -> str:
    """No line break between a number and its unit."""
    return re.sub(rf"(?<=\d) (?=(?:{UNITS})\b|%)", "\u00a0", text)


def render_html(report: Report) -> str:
    """The whole page."""
    return render_page(
        "edgecompress report", report.name, byline(report, "version"), cards(report), blocks(report), plots(report), status=report.status,
        num_warnings=len(report.warnings),
    )  # fmt: skip


def render_page(
    kind: str, name: str, byline: Sequence[str], cards: Sequence[Card], blocks: Sequence[Block], drawings: Mapping[str, Plot], *,
    status: str = "done", num_warnings: int = 0,
) -> str:  # fmt: skip
    """Any document as a page.

    Args:
        kind, name, byline: its head.
        cards: headline numbers.
        blocks: its sections.
        drawings: what the blocks name; their makers escape what comes from outside.
        status, num_warnings: what the head must not hide.
    """
    shown = {key: (plot.title, Markup(plot.svg)) for key, plot in drawings.items()}
    return _template().render(
        kind=kind, name=name, byline=byline, cards=cards, blocks=blocks, drawings=shown, status=status, num_warnings=num_warnings
    )


def stage_plots(report: Report) -> str:
    """Parameters, bytes and metric of every stage as an HTML fragment, for notebooks."""
    found = plots(report)
    figures = (f"<figure>{escape(found[name].title)}{found[name].svg}</figure>" for name in STAGE_PLOTS if name in found)
    return f'<div style="max-width: 480px">{"".join(figures)}</div>'
