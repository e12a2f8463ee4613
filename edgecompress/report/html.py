"""A report as one HTML page that loads nothing: words, tables, drawings and styles are all in the file."""

from __future__ import annotations

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from edgecompress.report.plots import plots
from edgecompress.report.schema import Report
from edgecompress.report.sections import blocks
from edgecompress.report.summary import cards
from edgecompress.report.words import seconds_text

STAGE_PLOTS = ("stage_parameters", "stage_bytes", "stage_metric")


@cache
def _template() -> Template:
    """The page; everything that is put into it is escaped, except our own drawings."""
    loader = PackageLoader("edgecompress.report")
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True).get_template(
        "report.html.j2"
    )


def render_html(report: Report) -> str:
    """The whole page."""
    drawings = {name: (plot.title, Markup(plot.svg)) for name, plot in plots(report).items()}  # matplotlib and `canvas` escape
    return _template().render(
        report=report, cards=cards(report), blocks=blocks(report), drawings=drawings, took=seconds_text(report.seconds)
    )


def stage_plots(report: Report) -> str:
    """Parameters, bytes and metric of every stage as an HTML fragment, for notebooks."""
    found = plots(report)
    figures = (f"<figure>{found[name].title}{found[name].svg}</figure>" for name in STAGE_PLOTS if name in found)
    return f'<div style="max-width: 480px">{"".join(figures)}</div>'
