"""A report as one HTML page that loads nothing: words, tables, drawings and styles are all in the file."""

from __future__ import annotations

import re
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup, escape

from edgecompress.report.plots import plots
from edgecompress.report.schema import Report
from edgecompress.report.sections import blocks
from edgecompress.report.summary import cards
from edgecompress.report.words import date_text, seconds_text

UNITS = "ms|s|min|h|B|kB|MB|GB|k|M|G|points|threads?|samples"
STAGE_PLOTS = ("stage_parameters", "stage_bytes", "stage_metric")


@cache
def _template() -> Template:
    """The page; everything that is put into it is escaped, except our own drawings."""
    loader = PackageLoader("edgecompress.report")
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["together"] = _together
    return environment.get_template("report.html.j2")


def _together(text: str) -> str:
    """No line break between a number and its unit."""
    return re.sub(rf"(?<=\d) (?=(?:{UNITS})\b|%)", "\u00a0", text)


def render_html(report: Report) -> str:
    """The whole page."""
    # Matplotlib and `canvas` escape what comes from the report.
    drawings = {name: (plot.title, Markup(plot.svg)) for name, plot in plots(report).items()}
    return _template().render(
        report=report,
        cards=cards(report),
        blocks=blocks(report),
        drawings=drawings,
        started=date_text(report.started_at),
        took=seconds_text(report.seconds),
    )


def stage_plots(report: Report) -> str:
    """Parameters, bytes and metric of every stage as an HTML fragment, for notebooks."""
    found = plots(report)
    figures = (f"<figure>{escape(found[name].title)}{found[name].svg}</figure>" for name in STAGE_PLOTS if name in found)
    return f'<div style="max-width: 480px">{"".join(figures)}</div>'
